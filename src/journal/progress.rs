//! What replays have done.

#![forbid(unsafe_code)]

use std::sync::atomic::AtomicU64;

/// What the replays of a process have done, for `tc_stats`.
#[derive(Debug, Default)]
pub struct Progress {
    /// Writes that reached L2.
    pub replayed: AtomicU64,
    /// Writes that were there.
    pub kept: AtomicU64,
    /// Writes that lost against what was there.
    pub superseded: AtomicU64,
    /// Writes that L2 did not take, each time that it did not.
    pub failed: AtomicU64,
}

/// What one pass has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pass {
    /// Writes that reached L2.
    pub replayed: u64,
    /// Writes that were there.
    pub kept: u64,
    /// Writes that lost against what was there.
    pub superseded: u64,
    /// Writes that stay owed, although L2 answers.
    pub refused: u64,
}
