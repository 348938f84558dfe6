//! How a thread sleeps until another wakes it. Not by `thread::park`: `thread::current` panics on a thread that is ending,
//! where destructors of the application may still call.

#![forbid(unsafe_code)]

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::Wake;
use std::time::Duration;

use crate::runtime::lock;

/// One thread that sleeps, or is about to.
#[derive(Default)]
pub(super) struct Sleeper {
    is_woken: Mutex<bool>,
    news: Condvar,
}

impl Sleeper {
    /// Until somebody has woken it since it slept last, and at most so long.
    pub(super) fn sleep(&self, at_most: Duration) {
        let mut is_woken = lock(&self.is_woken);
        if !*is_woken {
            is_woken = self.news.wait_timeout(is_woken, at_most).unwrap_or_else(PoisonError::into_inner).0;
        }
        *is_woken = false;
    }

    /// Ends its sleep, or the next one before it begins.
    pub(super) fn rouse(&self) {
        *lock(&self.is_woken) = true;
        self.news.notify_one();
    }
}

impl Wake for Sleeper {
    fn wake(self: Arc<Self>) {
        self.rouse();
    }
}
