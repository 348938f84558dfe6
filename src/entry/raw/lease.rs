//! What is handed out of an entry that is held and not counted: a head of its own, in memory of the thread that got it.

use std::cell::UnsafeCell;
use std::mem::{MaybeUninit, offset_of};
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::hazard::Hazard;
use super::{HEAD_ALIGN, PublicHead, Raw};

/// One cache line.
#[repr(C, align(64))]
pub struct Lease {
    /// References to the value that was handed out, after the first.
    more: AtomicUsize,
    /// What holds the entry.
    hazard: UnsafeCell<MaybeUninit<&'static Hazard>>,
    public: UnsafeCell<MaybeUninit<PublicHead>>,
}

const PUBLIC: usize = offset_of!(Lease, public);

// The address of a public head tells a lease from a counted reference.
const _: () = assert!(size_of::<Lease>() == 64 && PUBLIC.is_multiple_of(HEAD_ALIGN));

// SAFETY: what is in cells is written by `lend`, before anybody has it, and then read by those who have a reference; what they
// read, they read before they give that back to `more` or let go of the hazard.
unsafe impl Sync for Lease {}

impl Lease {
    pub const fn new() -> Lease {
        Lease {
            more: AtomicUsize::new(0),
            hazard: UnsafeCell::new(MaybeUninit::uninit()),
            public: UnsafeCell::new(MaybeUninit::uninit()),
        }
    }

    /// Hands out what `hazard` holds, with this head.
    ///
    /// # Safety
    /// The hazard is the one of this lease, and this thread's; it holds the entry of `public`, and is let go of by nobody but
    /// [`release`].
    #[inline(always)]
    pub unsafe fn lend(&'static self, hazard: &'static Hazard, public: &PublicHead) -> *const PublicHead {
        // SAFETY: what was handed out before is released, or the hazard would hold that.
        unsafe {
            (*self.hazard.get()).write(hazard);
            (*self.public.get()).write(*public);
            // Of the whole lease, because `behind` goes back to its beginning.
            ptr::from_ref(self).byte_add(PUBLIC).cast()
        }
    }

    /// The lease behind what was handed out, if it is one.
    ///
    /// # Safety
    /// `public` came from [`Lease::lend`] or [`Raw::into_public`], and is not released yet.
    #[inline(always)]
    unsafe fn behind(public: *const PublicHead) -> Option<&'static Lease> {
        let is_lease = public.addr().is_multiple_of(HEAD_ALIGN);
        // SAFETY: by the contract and its address the head of a lease, which is never freed.
        is_lease.then(|| unsafe { &*public.byte_sub(PUBLIC).cast::<Lease>() })
    }
}

/// Adds a reference to what was handed out.
///
/// # Safety
/// `public` was handed out and is not released for the last time yet.
pub unsafe fn retain(public: *const PublicHead) {
    // SAFETY: the same contract.
    unsafe {
        match Lease::behind(public) {
            Some(lease) => drop(lease.more.fetch_add(1, Ordering::Relaxed)),
            None => Raw::retain_public(public),
        }
    }
}

/// Takes back a reference to what was handed out.
///
/// # Safety
/// `public` was handed out, and this reference is not used again.
#[inline(always)]
pub unsafe fn release(public: *const PublicHead) {
    // SAFETY: the same contract.
    let Some(lease) = (unsafe { Lease::behind(public) }) else {
        // SAFETY: the same contract.
        return drop(unsafe { Raw::from_public(public) });
    };
    if lease.more.load(Ordering::Acquire) != 0 {
        if lease.more.fetch_sub(1, Ordering::AcqRel) != 0 {
            return;
        }
        lease.more.store(0, Ordering::Relaxed);
    }
    // SAFETY: written when it was handed out.
    unsafe { lease.hazard.get().read().assume_init() }.let_go();
}
