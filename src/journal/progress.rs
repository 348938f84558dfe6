//! What replays have done, and what a pass leaves out.

#![forbid(unsafe_code)]

use std::sync::atomic::AtomicU64;

use super::record::Change;
use crate::l2::Class;

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

/// What came of a record that is to be merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joined {
    /// L2 has both.
    Written,
    /// Nothing of it was left by a later removal.
    Removed,
    /// Something newer is owed in its place, or has reached L2 past the journal.
    Overtaken,
    /// Others write the key again and again.
    Contended,
    /// There is nothing to merge it with, or it cannot be: it is written as every other.
    Plain,
}

/// What a pass does not try any more, because L2 has refused what is like it, and would refuse each of many.
pub(super) struct Barred {
    /// Sets of values of this length and longer.
    sets_from_len: usize,
    removals: bool,
}

impl Default for Barred {
    fn default() -> Barred {
        Barred { sets_from_len: usize::MAX, removals: false }
    }
}

impl Barred {
    pub fn is_tried(&self, change: &Change) -> bool {
        change.value().map_or(!self.removals, |(bytes, _)| bytes.len() < self.sets_from_len)
    }

    /// L2 has refused `change` as `class`. Where there is no room for it there may be for less, and who may not remove may
    /// still write.
    pub fn add(&mut self, change: &Change, class: Class) {
        match (class, change.value()) {
            (Class::Full, Some((bytes, _))) => self.sets_from_len = self.sets_from_len.min(bytes.len()),
            (Class::Denied, Some(_)) => self.sets_from_len = 0,
            (Class::Denied, None) => self.removals = true,
            _ => {}
        }
    }
}
