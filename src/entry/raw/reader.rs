//! What a thread that reads has of its own: the hazards by which it holds entries, the leases that it hands out, where it says
//! that it is inside a cache, and its hits. So threads that read the same key write to nothing in common.

use std::cell::Cell;
use std::marker::PhantomData;
use std::ptr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::hazard::Hazard;
use super::lasting::{Lasting, Link, List};
use super::lease::Lease;

/// How many caches it counts the hits of.
pub const CACHES: usize = 256;
/// How many values a thread hands out before it counts, and one hazard more, for what it looks at in passing: writers look at
/// all of them.
const LEASES: usize = 4;
const HAZARDS: usize = LEASES + 1;

/// It is never freed: when its thread ends it waits for another one, because leases outlive threads.
#[repr(C, align(128))]
pub struct Reader {
    /// These and the next reader stand in one cache line, because that is all that a writer looks at.
    hazards: [Hazard; HAZARDS],
    link: Link<Reader>,
    /// The handle whose cache the thread is reading; 0 for none.
    inside: AtomicU64,
    leases: [Lease; LEASES],
    hits: [AtomicU64; CACHES],
}

/// Of threads that have none of their own, because they are ending or there was no memory.
static SPARE: Reader = Reader::new();
static READERS: List<Reader> = List::of(&SPARE);

thread_local! {
    static OWN: Cell<Option<Own>> = const { Cell::new(None) };
}

/// The key of the C library whose destructor gives back the reader of an ending thread, and one more, or 0 while there is none.
/// A destructor of Rust's would not be called where the first read is in the destructor of another key.
static KEY: AtomicU32 = AtomicU32::new(0);

extern "C" fn leave(_: *mut libc::c_void) {
    if let Some(own) = OWN.take() {
        own.0.link.give_back();
    }
}

/// Has [`leave`] called when this thread ends; whether it will be.
fn will_leave() -> bool {
    let mut key = KEY.load(Ordering::Acquire);
    if key == 0 {
        let mut made = 0;
        // SAFETY: `made` can be written, and the destructor stays where it is, because this library is never unloaded.
        if unsafe { libc::pthread_key_create(&raw mut made, Some(leave)) } != 0 {
            return false;
        }
        key = made + 1;
        if let Err(others) = KEY.compare_exchange(0, key, Ordering::AcqRel, Ordering::Acquire) {
            // SAFETY: made above and known to nobody.
            unsafe { libc::pthread_key_delete(made) };
            key = others;
        }
    }
    // SAFETY: a key that was made and is never deleted. The value says only that there is one.
    unsafe { libc::pthread_setspecific(key - 1, ptr::from_ref(&KEY).cast()) == 0 }
}

impl Lasting for Reader {
    #[inline(always)]
    fn link(&self) -> &Link<Reader> {
        &self.link
    }
}

impl Reader {
    const fn new() -> Reader {
        Reader {
            hazards: [const { Hazard::vacant() }; HAZARDS],
            link: Link::owned(),
            inside: AtomicU64::new(0),
            leases: [const { Lease::new() }; LEASES],
            hits: [const { AtomicU64::new(0) }; CACHES],
        }
    }

    /// That of this thread, unless it is ending or there is no memory.
    #[inline(always)]
    pub fn own() -> Option<Own> {
        OWN.get().or_else(Reader::arrive)
    }

    #[cold]
    #[inline(never)]
    fn arrive() -> Option<Own> {
        if !will_leave() {
            return None;
        }
        let reader = READERS.claim(|_| true, || Some(Reader::new()))?;
        let own = Own(reader, PhantomData);
        OWN.set(Some(own));
        Some(own)
    }

    /// All of them, also those that wait for a thread.
    #[inline(always)]
    pub fn all() -> impl Iterator<Item = &'static Reader> {
        READERS.all()
    }

    pub(super) fn hazards(&'static self) -> &'static [Hazard] {
        &self.hazards
    }

    /// Those that any thread may claim.
    pub(super) fn spare() -> &'static [Hazard] {
        &SPARE.hazards
    }

    /// After this [`Reader::is_inside`] knows of each visit of before: also of one whose thread has not said so by itself, but
    /// by what it has named since.
    pub fn hear(&self) {
        self.hazards.iter().for_each(Hazard::hear);
    }

    /// Whether its thread is inside the cache of `handle`.
    pub fn is_inside(&self, handle: u64) -> bool {
        self.inside.load(Ordering::SeqCst) == handle
    }

    /// In a forked child, where no other thread is: what they were doing is over, and their readers wait for new ones. What
    /// they held may have been lent, and stays.
    pub fn forget_others() {
        let own = OWN.get().map(|own| ptr::from_ref(own.0));
        for reader in Reader::all() {
            reader.inside.store(0, Ordering::SeqCst);
            reader.link.set_owned(ptr::eq(reader, &SPARE) || own == Some(ptr::from_ref(reader)));
        }
        // Those are never lent.
        SPARE.hazards.iter().for_each(Hazard::forget);
    }

    /// Its hits of the cache of this number.
    pub fn hits(&self, cache: usize) -> u64 {
        self.hits[cache % CACHES].load(Ordering::Relaxed)
    }
}

/// That of this thread, which it does not leave.
#[derive(Clone, Copy)]
pub struct Own(&'static Reader, PhantomData<*const ()>);

impl Own {
    /// A hazard that holds nothing.
    #[inline(always)]
    pub(super) fn vacant(self) -> Option<&'static Hazard> {
        let first = &self.0.hazards[0];
        if first.is_vacant() { Some(first) } else { self.another_vacant() }
    }

    #[cold]
    fn another_vacant(self) -> Option<&'static Hazard> {
        self.0.hazards.iter().find(|hazard| hazard.is_vacant())
    }

    /// The lease of `hazard`, if that is its own and has one.
    #[inline(always)]
    pub(super) fn lease(self, hazard: &Hazard) -> Option<&'static Lease> {
        let number =
            ptr::from_ref(hazard).addr().wrapping_sub(self.0.hazards.as_ptr().addr()) / size_of::<Hazard>();
        self.0.leases.get(number)
    }

    /// Says that this thread is inside the cache of `handle`, until what it returns is dropped. Nothing that is done there
    /// enters again.
    #[inline(always)]
    pub fn enter(self, handle: u64) -> Visit {
        self.arrive_at(handle, Ordering::SeqCst)
    }

    /// As [`Own::enter`], and not heard of before this thread has named an entry in one of its hazards.
    #[inline(always)]
    pub fn enter_unheard(self, handle: u64) -> Visit {
        // Whoever waits for the end of the visit before may find this one instead, and comes behind that end all the same.
        self.arrive_at(handle, Ordering::Release)
    }

    #[inline(always)]
    fn arrive_at(self, handle: u64, order: Ordering) -> Visit {
        debug_assert_eq!(self.0.inside.load(Ordering::Relaxed), 0, "one visit at a time");
        self.0.inside.store(handle, order);
        Visit(self.0)
    }

    /// One more hit of the cache of this number; how many there were.
    #[inline(always)]
    pub fn count_hit(self, cache: usize) -> u64 {
        let hits = &self.0.hits[cache % CACHES];
        let before = hits.load(Ordering::Relaxed);
        hits.store(before + 1, Ordering::Relaxed);
        before
    }
}

/// Inside, until dropped.
pub struct Visit(&'static Reader);

impl Drop for Visit {
    #[inline(always)]
    fn drop(&mut self) {
        self.0.inside.store(0, Ordering::Release);
    }
}
