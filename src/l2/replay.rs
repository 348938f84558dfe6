//! What a replay of owed writes asks of L2: what lies under a key now, and a write that happens only while that still
//! lies there.

#![forbid(unsafe_code)]

use super::{Attempt, Failure, LinkId};
use crate::clock;
use crate::entry::Lifetime;

/// For how long at least it is remembered that an entry was there which ended within that time.
pub const TRACED_MS: i64 = 300_000;

/// What lies under a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Present {
    /// No live entry, and no word of one.
    Nothing,
    /// No live entry; one was removed.
    Tombstone {
        /// The hybrid time at which it was.
        clock: u64,
    },
    /// No live entry; one was here and has ended.
    Ended {
        /// The hybrid time at which it was written.
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
    /// Where.
    pub key: &'a [u8],
    /// What must still lie there.
    pub seen: &'a Seen,
    /// The bytes and until when they live; `None` removes.
    pub value: Option<(&'a [u8], Lifetime)>,
    /// The hybrid time of the write.
    pub clock: u64,
    /// Its Unix time.
    pub written_at_ms: i64,
    /// Unix time at which L2 lets go of it when nothing renews it, where that is before a window that starts now ends.
    pub ends_at_ms: Option<i64>,
}

/// An answer for each of several keys, or the failure of all.
pub type Answers<T> = Result<Vec<Result<T, Failure>>, Failure>;

/// What takes replays. Several keys at once, none of them twice, so that a trip or a transaction serves them all.
pub trait Target {
    /// What lies under each of `keys`.
    fn look(&self, keys: &[&[u8]], attempt: Attempt<'_>) -> Answers<Seen>;

    /// Writes each for which what was seen is still there; whether it was. A removal leaves a tombstone, as
    /// [`super::Store::remove`] does, and a sliding window starts now.
    fn replay(&self, writes: &[Write<'_>], attempt: Attempt<'_>) -> Answers<bool>;

    /// Ends each of `links` that is not this one, and waits until what was sent over this one is done: what is on its way
    /// there must not arrive after what is written from now on, by whomever.
    fn end_links(&self, _links: &[LinkId], _attempt: Attempt<'_>) -> Result<(), Failure> {
        Ok(())
    }

    /// Unix time, by its own clock where it has one.
    fn now_ms(&self) -> i64 {
        clock::unix_ms()
    }
}
