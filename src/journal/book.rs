//! What L2 has acknowledged lately, by the order in which it has, and by key.

#![forbid(unsafe_code)]

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::record::Record;
use crate::clock;

/// How far the clocks of two servers may be apart.
pub(super) const CLOCKS_APART_MS: i64 = 1000;

/// The newest acknowledged write of each key, oldest first, and what was heard since.
#[derive(Default)]
pub(super) struct Book {
    pub numbers: HashMap<Arc<[u8]>, u64>,
    pub written: BTreeMap<u64, Written>,
    pub bytes: u64,
    pub last_number: u64,
    /// Since when there is no link: nothing grows old meanwhile.
    pub parted_ms: Option<i64>,
    /// What had the last number when everything was changed at once, and when.
    pub flushed: Option<(u64, i64)>,
    /// What had the last number when the link was lost last, and led to the same server then: what others did in between
    /// was not told.
    pub unheard: u64,
    /// Of each key the newest write that was owed lately: its hybrid time, and when that was.
    pub overtaken: HashMap<Arc<[u8]>, (u64, i64)>,
    /// What is older than this may be overtaken too: nobody knows any more.
    overtaken_before: u64,
    /// Of what is to be made again, what somebody may have taken away with intent.
    pub doubted: HashSet<Arc<[u8]>>,
}

/// A write that L2 has acknowledged.
pub(super) struct Written {
    pub key: Arc<[u8]>,
    pub record: Record,
    pub at_ms: i64,
    /// Somebody else has changed it, or it has ended.
    pub is_doubted: bool,
}

impl Book {
    pub fn find(&self, key: &[u8]) -> Option<&Written> {
        self.written.get(self.numbers.get(key)?)
    }

    pub fn take(&mut self, key: &[u8]) -> Option<Written> {
        let number = self.numbers.remove(key)?;
        let written = self.written.remove(&number)?;
        self.bytes -= written.cost_bytes();
        Some(written)
    }

    pub fn take_oldest(&mut self) -> Option<Written> {
        let (_, written) = self.written.pop_first()?;
        self.numbers.remove(&written.key);
        self.bytes -= written.cost_bytes();
        Some(written)
    }

    pub fn put(&mut self, written: Written) {
        self.last_number += 1;
        self.bytes += written.cost_bytes();
        self.numbers.insert(Arc::clone(&written.key), self.last_number);
        self.written.insert(self.last_number, written);
    }

    /// Whether what was told of everything that changed at this Unix time was heard here.
    pub fn has_heard(&self, changed_at_ms: i64) -> bool {
        let unix_ms = |at_ms| clock::unix_ms() - (clock::coarse_ms() - at_ms);
        self.flushed.is_some_and(|(_, at_ms)| (unix_ms(at_ms) - changed_at_ms).abs() <= CLOCKS_APART_MS)
    }

    pub fn forget_old(&mut self, before_ms: i64, gone: &mut Vec<Written>) {
        while self.written.first_key_value().is_some_and(|(_, oldest)| oldest.at_ms < before_ms) {
            gone.extend(self.take_oldest());
        }
    }
}

impl Book {
    /// Whether a write of `key` at the hybrid time `clock` is older than one that was owed.
    pub fn is_overtaken(&self, key: &[u8], clock: u64) -> bool {
        clock < self.overtaken.get(key).map_or(self.overtaken_before, |(newest, _)| *newest)
    }

    pub fn overtake(&mut self, key: &[u8], clock: u64, now_ms: i64) {
        let newest = self.overtaken.entry(Arc::from(key)).or_default();
        *newest = (clock.max(newest.0), now_ms);
    }

    /// Forgets of what was owed before `before_ms`; of all, where that is more than `max_entries`.
    pub fn forget_overtaken(&mut self, before_ms: i64, max_entries: u64) {
        self.overtaken.retain(|_, (_, at_ms)| *at_ms >= before_ms);
        if self.overtaken.len() as u64 > max_entries {
            let newest = self.overtaken.drain().map(|(_, (clock, _))| clock).max();
            self.overtaken_before = self.overtaken_before.max(newest.unwrap_or(0));
        }
    }
}

impl Written {
    /// By what is known here of renewals, which is nothing.
    pub fn has_ended(&self, now_ms: i64) -> bool {
        let ends_at_ms = self
            .record
            .change
            .value()
            .map_or(0, |(_, lifetime)| lifetime.ends_at_ms(self.record.written_at_ms));
        ends_at_ms != 0 && ends_at_ms <= now_ms
    }

    pub fn cost_bytes(&self) -> u64 {
        self.record.cost_bytes(self.key.len())
    }
}
