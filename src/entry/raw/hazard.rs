//! How a thread holds an entry without counting it: it names the entry where whoever takes it away from its
//! [`Spot`](super::Spot) looks, and raises the count on behalf of those that name it.

use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use super::{Head, Raw};

/// Beside the address of a head: its count was raised for this hazard.
const COUNTED: usize = 2;

/// What a thread holds in this place; null while that is vacant.
pub struct Hazard(AtomicPtr<Head>);

impl Hazard {
    pub const fn vacant() -> Hazard {
        Hazard(AtomicPtr::new(ptr::null_mut()))
    }

    #[inline(always)]
    pub fn is_vacant(&self) -> bool {
        self.0.load(Ordering::Acquire).is_null()
    }

    /// Names `head`. Only the thread whose hazard it is does that, while it is vacant; whether it was in time is seen where
    /// `head` lay.
    #[inline(always)]
    pub fn name(&self, head: *mut Head) {
        self.0.store(head, Ordering::SeqCst);
    }

    /// Comes behind whatever is named here, and sees what its thread did before.
    pub fn hear(&self) {
        let _ = self.0.load(Ordering::SeqCst);
    }

    /// As [`Hazard::name`], for one that any thread may take; whether it was vacant.
    pub fn claim(&self, head: *mut Head) -> bool {
        self.0.compare_exchange(ptr::null_mut(), head, Ordering::SeqCst, Ordering::Relaxed).is_ok()
    }

    /// It is vacant again.
    #[inline(always)]
    pub fn let_go(&self) {
        let held = self.0.swap(ptr::null_mut(), Ordering::AcqRel);
        if held.addr() & COUNTED != 0 {
            Hazard::uncount(held);
        }
    }

    /// In a forked child: whoever held something by it is not here. A count that was raised for it stays, because this is no
    /// place to free anything.
    pub fn forget(&self) {
        self.0.store(ptr::null_mut(), Ordering::SeqCst);
    }

    #[cold]
    fn uncount(held: *mut Head) {
        let head = held.map_addr(|address| address & !COUNTED);
        // SAFETY: whoever marked it raised the count for this hazard, which named the head and does not any more.
        drop(unsafe { Raw::from_pointer(head) });
    }

    /// Raises the count of `head` if it is named here, for nobody else will keep it alive soon.
    #[inline]
    pub fn count(&self, head: &Raw) {
        let named = head.0.as_ptr();
        if self.0.load(Ordering::SeqCst) == named {
            let marked = named.map_addr(|address| address | COUNTED);
            let counted = head.clone();
            // Where it was let go of in between, what was read of it comes before it is freed.
            if self.0.compare_exchange(named, marked, Ordering::SeqCst, Ordering::Acquire).is_ok() {
                std::mem::forget(counted);
            }
        }
    }
}
