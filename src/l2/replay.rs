//! What a replay of owed writes asks of L2: what lies under a key now, and a write that happens only while that still
//! lies there.

#![forbid(unsafe_code)]

use super::{Attempt, Failure};
use crate::clock;
use crate::entry::Lifetime;

/// What lies under a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Present {
    /// No live entry, and no word of a removal.
    Nothing,
    /// No live entry; one was removed at this hybrid time.
    Tombstone {
        /// When.
        clock: u64,
    },
    /// An entry that this library wrote.
    Ours {
        /// The hybrid time of the write.
        clock: u64,
        /// Its version.
        version: u64,
    },
    /// An entry of a writer that knows nothing of hybrid clocks.
    Foreign {
        /// Its version.
        version: u64,
    },
}

/// What a look at a key saw.
#[derive(Debug)]
pub struct Seen {
    /// What lies there.
    pub present: Present,
    /// By which the store itself knows whether it still does.
    pub mark: Vec<u8>,
}

/// What a replay puts in its place.
#[derive(Clone, Copy)]
pub struct Write<'a> {
    /// The bytes and until when they live; `None` removes.
    pub value: Option<(&'a [u8], Lifetime)>,
    /// The hybrid time of the write.
    pub clock: u64,
    /// Its Unix time.
    pub written_at_ms: i64,
}

/// What takes replays.
pub trait Target {
    /// What lies under `key`.
    fn look(&self, key: &[u8], attempt: Attempt<'_>) -> Result<Seen, Failure>;

    /// Writes if what lies under `key` is what was `seen`; whether it was. A removal leaves a tombstone, as
    /// [`super::Store::remove`] does, and a sliding window starts now.
    fn replay(
        &self,
        key: &[u8],
        write: &Write<'_>,
        seen: &Seen,
        attempt: Attempt<'_>,
    ) -> Result<bool, Failure>;

    /// Unix time, by its own clock where it has one.
    fn now_ms(&self) -> i64 {
        clock::unix_ms()
    }
}
