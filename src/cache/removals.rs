//! When keys were removed in this process alone. A second tier keeps a tombstone, by which a set that is merged tells what was
//! removed from what nobody has; L1 keeps nothing.

#![forbid(unsafe_code)]

use crate::clock;
use crate::sync::{Mutex, lock};

/// A merged set follows the read of what it started from soon.
const REMEMBERED: usize = 4096;

/// A table without collisions resolved: a key that takes another's line makes it forgotten.
#[derive(Default)]
pub(super) struct Removals(Mutex<Vec<(u64, i64)>>);

impl Removals {
    /// What has this hash is removed now. Without memory for it, it is taken for what nobody has.
    pub fn remember(&self, hash: u64) {
        let mut lines = lock(&self.0);
        if lines.is_empty() && lines.try_reserve_exact(REMEMBERED).is_ok() {
            lines.resize(REMEMBERED, (0, 0));
        }
        if let Some(line) = lines.get_mut(hash as usize % REMEMBERED) {
            *line = (hash, clock::unix_ms());
        }
    }

    /// The Unix time at which what has this hash was removed last, if that is remembered.
    pub fn at_ms(&self, hash: u64) -> Option<i64> {
        let line = lock(&self.0).get(hash as usize % REMEMBERED).copied();
        line.filter(|(known, at_ms)| *known == hash && *at_ms != 0).map(|(_, at_ms)| at_ms)
    }
}
