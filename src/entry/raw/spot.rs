//! Where an entry lies for readers that take no lock, and how they hold it there.

use std::mem::ManuallyDrop;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, Ordering};

use super::hazard::Hazard;
use super::reader::{Own, Reader};
use super::{Head, PublicHead, Raw};
use crate::entry::Entry;

/// A place for one entry.
pub struct Spot(AtomicPtr<Head>);

impl Spot {
    /// One where nothing lies.
    #[must_use]
    pub fn empty() -> Spot {
        Spot(AtomicPtr::new(ptr::null_mut()))
    }

    /// What lies here, held for `reader`.
    #[inline(always)]
    #[must_use]
    pub fn hold(&self, reader: Option<Own>) -> Option<Held> {
        let head = self.0.load(Ordering::Acquire);
        if head.is_null() {
            return None;
        }
        match reader.and_then(Own::vacant) {
            Some(hazard) => {
                hazard.name(head);
                self.confirm(hazard, head)
            }
            None => self.hold_by_spare(head),
        }
    }

    #[cold]
    fn hold_by_spare(&self, head: *mut Head) -> Option<Held> {
        loop {
            if let Some(hazard) = Reader::spare().iter().find(|hazard| hazard.claim(head)) {
                return self.confirm(hazard, head);
            }
            // Each is another's for as long as it looks at one entry.
            std::thread::yield_now();
        }
    }

    /// Holds what lies here by `hazard`, which names `head`: whoever takes away what is seen here after it was named sees that
    /// it is.
    #[inline(always)]
    fn confirm(&self, hazard: &'static Hazard, head: *mut Head) -> Option<Held> {
        let now = self.0.load(Ordering::SeqCst);
        if now == head { Held::new(hazard, now) } else { self.confirm_another(hazard, now) }
    }

    #[cold]
    fn confirm_another(&self, hazard: &'static Hazard, mut now: *mut Head) -> Option<Held> {
        loop {
            // What it named may be gone, and its address another's: a count that was raised for it is given back.
            hazard.let_go();
            let head = now;
            if head.is_null() {
                return None;
            }
            // Another may have claimed a spare one in between.
            if !hazard.claim(head) {
                return self.hold_by_spare(head);
            }
            now = self.0.load(Ordering::SeqCst);
            if now == head {
                return Held::new(hazard, now);
            }
        }
    }

    /// Where what lies here begins, as it was a moment ago.
    #[inline(always)]
    pub(super) fn address(&self) -> *const Head {
        self.0.load(Ordering::Relaxed)
    }

    /// What lies here, not held.
    ///
    /// # Safety
    /// Nobody takes it away as long as this is used.
    #[inline(always)]
    pub(super) unsafe fn see(&self) -> Option<ManuallyDrop<Entry>> {
        let head = NonNull::new(self.0.load(Ordering::Acquire))?;
        Some(ManuallyDrop::new(Entry(Raw(head))))
    }

    /// Puts `entry` here, and gives back what lay here.
    pub fn swap(&self, entry: Option<Entry>) -> Option<Entry> {
        let new = entry.map_or(ptr::null_mut(), |entry| {
            assert!(!entry.0.is_view(), "what lies in a tier is an entry");
            entry.0.into_pointer()
        });
        let old = self.0.swap(new, Ordering::SeqCst);
        if old.is_null() {
            return None;
        }
        // SAFETY: it was put here as a reference, which is this one's now.
        let old = unsafe { Raw::from_pointer(old) };
        for reader in Reader::all() {
            for hazard in reader.hazards() {
                hazard.count(&old);
            }
        }
        Some(Entry(old))
    }
}

impl Drop for Spot {
    fn drop(&mut self) {
        if !self.0.get_mut().is_null() {
            // Not by itself: what lies here may be held, or lent.
            drop(self.swap(None));
        }
    }
}

/// An entry that is held where it lies, also when it lies nowhere any more, and is not counted. It may be dropped on any
/// thread.
pub struct Held {
    hazard: &'static Hazard,
    entry: ManuallyDrop<Entry>,
}

impl Held {
    /// What `hazard` names, and was seen to lie in its place since; `None` for null.
    #[inline(always)]
    fn new(hazard: &'static Hazard, head: *mut Head) -> Option<Held> {
        Some(Held { hazard, entry: ManuallyDrop::new(Entry(Raw(NonNull::new(head)?))) })
    }

    /// A counted reference to it.
    #[inline]
    #[must_use]
    pub fn counted(self) -> Entry {
        Entry::clone(&self)
    }

    /// Gives it away as the address of its public head, for [`release`](super::release): uncounted, where a lease of `reader`
    /// goes with what holds it.
    #[inline(always)]
    #[must_use]
    pub fn lend(self, reader: Own) -> *const PublicHead {
        let Some(lease) = reader.lease(self.hazard) else {
            return self.counted().into_raw().into_public();
        };
        // SAFETY: it is that of the hazard, which holds the entry and is not let go of by `self`.
        let lent = unsafe { lease.lend(self.hazard, self.entry.0.public()) };
        std::mem::forget(self);
        lent
    }
}

impl Drop for Held {
    #[inline(always)]
    fn drop(&mut self) {
        self.hazard.let_go();
    }
}

impl std::ops::Deref for Held {
    type Target = Entry;

    #[inline(always)]
    fn deref(&self) -> &Entry {
        // SAFETY: `Spot::swap` lets no view in.
        unsafe { std::hint::assert_unchecked(!self.entry.0.is_view()) };
        &self.entry
    }
}
