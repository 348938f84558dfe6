//! What every second tier promises. A store keeps bytes, versions and lifetimes; it knows nothing of L1, of
//! encryption or of retries. Its calls block at most until the deadline they are given.

#![forbid(unsafe_code)]

pub mod failure;
pub mod redis;
pub mod replay;
pub mod sqlite;

use std::time::Instant;

use crate::config;
use crate::entry::{Lifetime, Secret};
pub use failure::{Class, Failure};

/// An entry as L2 holds it.
#[derive(Debug)]
pub struct Stored {
    /// The bytes, wiped when dropped.
    pub bytes: Secret,
    /// Changes with every write, whoever makes it. Never 0 or `u64::MAX`.
    pub version: u64,
    /// Unix time of the write; 0 when the writer did not say.
    pub written_at_ms: i64,
    /// Until when it lives.
    pub lifetime: Lifetime,
    /// Unix time at which L2 lets it go when nothing renews it, the sliding window counted; 0 for never.
    pub ends_at_ms: i64,
}

/// What a set asks of the entry that is there before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Nothing: it stores over anything.
    Anything,
    /// That no live entry exists.
    Absent,
    /// That the live entry has this version.
    Version(u64),
}

/// How a set ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// Stored, under this version.
    Stored(u64),
    /// What is there is not what was expected; nothing was written.
    Conflict,
}

/// One try at an operation.
#[derive(Clone, Copy)]
pub struct Attempt<'a> {
    /// When the try must have ended, whatever happened.
    pub deadline: Instant,
    /// Whether the cache is closing: a wait asks it now and then and ends early with [`Class::Closed`].
    pub is_closing: &'a (dyn Fn() -> bool + Sync),
}

/// Takes the answer to a read, or `None` when it was not tried.
pub type Answered = Box<dyn FnOnce(Option<Result<Option<Stored>, Failure>>) + Send>;

/// A second tier. Any method may be called from any thread at any time.
pub trait Store: Send + Sync {
    /// Waits until L2 can be used, or says why not. Idempotent.
    fn connect(&self, attempt: Attempt<'_>) -> Result<(), Failure>;

    /// The live entry of `key`. What has expired is absent.
    fn get(&self, key: &[u8], attempt: Attempt<'_>) -> Result<Option<Stored>, Failure>;

    /// Begins a read and gives its answer, due at `deadline`, to `done` on a thread of the library, where that can be
    /// done without keeping a thread waiting. Else `done` gets `None`, at once.
    fn begin_get(&self, _key: &[u8], _deadline: Instant, done: Answered) {
        done(None);
    }

    /// Stores `bytes` with `lifetime`, written at `written_at_ms`, if what is there is `expected`. `version` is a
    /// proposal: where the entry had a later one, the next after that is taken, so that versions of a key never
    /// repeat and never go back. A sliding window starts now.
    #[expect(clippy::too_many_arguments, reason = "each is one thing that a write says")]
    fn set(
        &self,
        key: &[u8],
        bytes: &[u8],
        version: u64,
        written_at_ms: i64,
        lifetime: Lifetime,
        expected: Expected,
        attempt: Attempt<'_>,
    ) -> Result<Written, Failure>;

    /// Removes `key` if what is there is `expected`, leaving a tombstone with at least `version` where something was.
    /// An absent key is removed already, but is not what [`Expected::Version`] expects: [`Written::Conflict`].
    fn remove(
        &self,
        key: &[u8],
        version: u64,
        expected: Expected,
        attempt: Attempt<'_>,
    ) -> Result<Written, Failure>;

    /// Renews the sliding window of the live entry of `key`, and answers its new end (as [`Stored::ends_at_ms`]);
    /// `None` when there is no live entry. An entry that does not slide keeps its end.
    fn touch(&self, key: &[u8], attempt: Attempt<'_>) -> Result<Option<i64>, Failure>;

    /// Takes over what can change while open, from a configuration of the same kind.
    fn configure(&self, kind: &config::Kind);

    /// Work that no caller waits for, called about twice a second: records what was used, forgets what has expired,
    /// restores what was lost.
    fn tend(&self, attempt: Attempt<'_>) -> Result<(), Failure>;

    /// How far its clock is ahead of ours, where it has one of its own and it is known.
    fn clock_lead_ms(&self) -> Option<i64> {
        None
    }

    /// Numbers for `tc_stats`: pairs of name and value.
    fn figures(&self) -> Vec<(&'static str, u64)>;

    /// The cache is closing: ends what no thread of a caller waits for.
    fn interrupt(&self) {}

    /// Lets go of every resource. Later calls fail with [`Class::Closed`].
    fn close(&self);
}
