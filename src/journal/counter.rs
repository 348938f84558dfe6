//! How much is owed, for readers that may not afford a look into the file.

#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicU64, Ordering};

/// A number beside a journal file. It may be too high, after a process died between its change and its commit; it is
/// never 0 while something is owed.
pub trait Counter: Send + Sync {
    /// It.
    fn load(&self) -> u64;

    /// Changes it. Called by one process at a time: under the lock of the file.
    fn store(&self, entries: u64);
}

/// A number of this process alone: for a file that no other process uses.
#[derive(Default)]
pub struct InProcess(AtomicU64);

impl Counter for InProcess {
    fn load(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    fn store(&self, entries: u64) {
        self.0.store(entries, Ordering::Release);
    }
}
