//! One counter per slot of keys: "has anybody changed this since I read it?" An entry remembers the epochs of its
//! slot and of everything as they were before the read of L2 began, and may be served while both still stand. So one
//! change is one increment, and a change that arrives while a read is under way marks the result at birth.

#![forbid(unsafe_code)]

use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};

use foldhash::quality::FixedState;

const SLOTS: usize = 1 << 16;

/// The counters of one cache.
pub struct EpochTable {
    slots: Box<[AtomicU64]>,
    global: AtomicU64,
}

impl Default for EpochTable {
    fn default() -> Self {
        EpochTable { slots: (0..SLOTS).map(|_| AtomicU64::new(0)).collect(), global: AtomicU64::new(0) }
    }
}

/// The slot of `key`.
#[must_use]
pub fn slot(key: &[u8]) -> u32 {
    (FixedState::with_seed(1).hash_one(key) >> 48) as u32
}

impl EpochTable {
    /// The epochs of `slot` and of everything, to be taken *before* a read of L2 begins.
    #[must_use]
    pub fn now(&self, slot: u32) -> (u64, u64) {
        (self.at(slot).load(Ordering::Acquire), self.global.load(Ordering::Acquire))
    }

    /// Whether nobody has changed anything in `slot` since `epoch`.
    #[inline]
    #[must_use]
    pub fn stands(&self, slot: u32, epoch: (u64, u64)) -> bool {
        self.at(slot).load(Ordering::Acquire) == epoch.0 && self.global.load(Ordering::Relaxed) == epoch.1
    }

    /// Somebody changed something in `slot`.
    pub fn bump(&self, slot: u32) {
        self.at(slot).fetch_add(1, Ordering::AcqRel);
    }

    /// Nothing that was read before may be trusted without another look.
    pub fn bump_all(&self) {
        self.global.fetch_add(1, Ordering::AcqRel);
    }

    /// Our own write, begun at `epoch`, is done: answers the epoch under which its entry is valid, or `None` when
    /// somebody else changed something in between.
    #[must_use]
    pub fn advance(&self, slot: u32, epoch: (u64, u64)) -> Option<(u64, u64)> {
        let next = epoch.0 + 1;
        let swapped = self.at(slot).compare_exchange(epoch.0, next, Ordering::AcqRel, Ordering::Acquire);
        if swapped.is_err() {
            self.bump(slot);
            return None;
        }
        Some((next, epoch.1))
    }

    #[inline]
    fn at(&self, slot: u32) -> &AtomicU64 {
        &self.slots[slot as usize % SLOTS]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_own_write_advances_only_an_epoch_that_stood() {
        let table = EpochTable::default();
        let before = table.now(7);
        let own = table.advance(7, before).expect("nobody interfered");
        assert!(table.stands(7, own) && !table.stands(7, before));
        table.bump(7);
        assert_eq!(table.advance(7, own), None);
        assert!(!table.stands(7, own));
    }
}
