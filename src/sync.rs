//! The locks of the rooms that a model checker looks into: those of the standard library, or under the feature
//! `shuttle` its own, at each of which another thread may come in.

#![forbid(unsafe_code)]

#[cfg(feature = "shuttle")]
pub use shuttle::sync::{Condvar, Mutex, MutexGuard};
use std::sync::PoisonError;
#[cfg(not(feature = "shuttle"))]
pub use std::sync::{Condvar, Mutex, MutexGuard};

/// Locks, also after a panic elsewhere: what these locks guard is valid between any two statements.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A place where another thread may come in.
#[inline(always)]
pub fn step() {
    #[cfg(feature = "shuttle")]
    shuttle::thread::yield_now();
}
