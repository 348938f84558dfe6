//! Lists of what is never freed, and waits for the next owner when it has none. No lock, because in a forked child nobody would
//! release it.

use std::iter;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

/// What stands in such a list.
pub trait Lasting: Sync + Sized + 'static {
    /// Its place there.
    fn link(&self) -> &Link<Self>;
}

/// A place in a list, and whether it is somebody's.
#[repr(C)]
pub struct Link<T> {
    next: AtomicPtr<T>,
    is_owned: AtomicBool,
}

impl<T> Link<T> {
    /// That of one which is its maker's.
    pub const fn owned() -> Link<T> {
        Link { next: AtomicPtr::new(ptr::null_mut()), is_owned: AtomicBool::new(true) }
    }

    /// It waits for another owner, who sees what this one has done.
    pub fn give_back(&self) {
        self.is_owned.store(false, Ordering::Release);
    }

    /// In a forked child, where nobody else is.
    pub fn set_owned(&self, is_owned: bool) {
        self.is_owned.store(is_owned, Ordering::Relaxed);
    }

    fn claim(&self) -> bool {
        !self.is_owned.load(Ordering::Relaxed) && !self.is_owned.swap(true, Ordering::Acquire)
    }
}

/// A list; it only grows.
pub struct List<T>(AtomicPtr<T>);

impl<T: Lasting> List<T> {
    pub const fn empty() -> List<T> {
        List(AtomicPtr::new(ptr::null_mut()))
    }

    pub const fn of(first: &'static T) -> List<T> {
        List(AtomicPtr::new(ptr::from_ref(first).cast_mut()))
    }

    /// All of them, also those that wait.
    #[inline(always)]
    pub fn all(&self) -> impl Iterator<Item = &'static T> + use<T> {
        // SAFETY: null, or one that is never freed and was published with what it points at.
        let follow = |at: *mut T| unsafe { at.as_ref() };
        let first = follow(self.0.load(Ordering::SeqCst));
        iter::successors(first, move |one| follow(one.link().next.load(Ordering::Relaxed)))
    }

    /// One that waits and `fits`, or one that is made; `None` when there is no memory for it.
    pub fn claim(&self, fits: impl Fn(&T) -> bool, make: impl FnOnce() -> Option<T>) -> Option<&'static T> {
        self.all().find(|one| fits(one) && one.link().claim()).or_else(|| self.add(make))
    }

    fn add(&self, make: impl FnOnce() -> Option<T>) -> Option<&'static T> {
        let mut room = Vec::new();
        room.try_reserve_exact(1).ok()?;
        room.push(make()?);
        let one: &'static T = room.leak().first()?;
        let publish = |first| {
            one.link().next.store(first, Ordering::Relaxed);
            Some(ptr::from_ref(one).cast_mut())
        };
        // Whoever looks through all and does not see this one yet has done before what this one sees when it looks.
        self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, publish).ok()?;
        Some(one)
    }
}
