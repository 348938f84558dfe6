//! What every second tier promises. A store keeps bytes, versions and lifetimes; it knows nothing of L1, of
//! encryption or of retries. Its calls block at most until the deadline they are given.

#![forbid(unsafe_code)]

pub mod failure;
pub mod redis;
pub mod replay;
mod sleeper;
pub mod sqlite;

use std::sync::Arc;
use std::time::Instant;

use crate::config::Config;
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

/// One link to one run of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkId {
    /// Which run.
    pub run: u64,
    /// Which of its clients the link is there.
    pub client: u64,
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

/// What the keys of the library itself begin with, under the prefix.
pub const OWN: &[u8] = b"__tokencache:";

/// Whether changes that others make are heard of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hearing {
    /// There was no link yet.
    NotYet,
    /// All of them.
    All,
    /// There is no link, or it is silent.
    Lost,
    /// There is a way to L2, but not to its changes.
    Refused,
}

impl Hearing {
    /// Its word in `tc_stats`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Hearing::NotYet => "not_yet",
            Hearing::All => "up",
            Hearing::Lost => "down",
            Hearing::Refused => "unavailable",
        }
    }
}

/// Whether a new link leads to the server that the one before led to, in the same life of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Succession {
    /// It does, or there was none before.
    Same,
    /// It leads to another server, or to one that was started anew: what that never had, or has lost, is not there.
    Another,
    /// As [`Succession::Another`], and everything was deleted there at this Unix time, with all word of what was newer.
    Emptied(i64),
    /// It does not say, for this reason.
    Unknown(Failure),
}

/// What a [`Witness`] remembers of a write that has begun.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mark {
    /// Which table it was told.
    pub table: u32,
    /// Which write it is.
    pub number: u32,
}

/// Hears what happens to L2. No method waits for anything, so that a store may call it under its own locks. Keys are
/// as L2 knows them.
pub trait Witness: Send + Sync {
    /// Somebody else has changed `key`.
    fn changed(&self, key: &[u8]);

    /// Somebody else may have changed `key`, and it was not told.
    fn may_have_changed(&self, key: &[u8]);

    /// Anybody may have changed anything.
    fn all_changed(&self);

    /// From now on every change is told.
    fn hears(&self);

    /// From now on changes may be missed.
    fn is_deaf(&self, hearing: Hearing, why: &Failure);

    /// There is no link any more. With `is_demoted` because its server has become a replica of another, which also
    /// explains why everything changed there just before.
    fn has_parted(&self, _is_demoted: bool) {}

    /// There is a link, which nobody uses before this returns.
    fn has_met(&self, _succession: &Succession) {}

    /// A write of `key` is about to be committed, by a store that does not tell others itself. Called under the lock
    /// that all writers take; refused where others could not hear of it.
    fn begins(&self, key: &[u8]) -> Result<Mark, Failure>;

    /// The write of `key` is committed, or will not be.
    fn ends(&self, key: &[u8], mark: Mark);

    /// As [`Witness::begins`], without a write: a time to repair what writers share.
    fn settles(&self);
}

/// One try at an operation.
#[derive(Clone, Copy)]
pub struct Attempt<'a> {
    /// When the try must have ended, whatever happened.
    pub deadline: Instant,
    /// Whether the cache is closing: a wait asks it now and then and ends early with [`Class::Closed`].
    pub is_closing: &'a (dyn Fn() -> bool + Sync),
}

impl Attempt<'static> {
    /// One at something that never waits.
    #[must_use]
    pub fn at_once() -> Attempt<'static> {
        fn never() -> bool {
            false
        }
        Attempt { deadline: Instant::now(), is_closing: &never }
    }
}

/// Takes the answer to a read, or `None` when it was not tried.
pub type Answered = Box<dyn FnOnce(Option<Result<Option<Stored>, Failure>>) + Send>;

/// A second tier. Any method may be called from any thread at any time.
pub trait Store: Send + Sync + replay::Target {
    /// Waits until L2 can be used, or says why not. Idempotent.
    fn connect(&self, attempt: Attempt<'_>) -> Result<(), Failure>;

    /// Waits until what happens to L2 can be heard of, as far as that depends on a link. Costs nothing where there is one.
    fn ready(&self, _attempt: Attempt<'_>) -> Result<(), Failure> {
        Ok(())
    }

    /// The live entry of `key`. What has expired is absent.
    fn get(&self, key: &[u8], attempt: Attempt<'_>) -> Result<Option<Stored>, Failure>;

    /// Begins a read and gives its answer, due at `deadline`, to `done` on a thread of the library, where that can be
    /// done without keeping a thread waiting. Else `done` gets `None`, at once.
    fn begin_get(&self, _key: Arc<[u8]>, _deadline: Instant, done: Answered) {
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

    /// Whether a write that failed as `class` may have been made, or be made yet.
    fn may_have_written(&self, class: Class) -> bool {
        matches!(class, Class::Unreachable | Class::Timeout)
    }

    /// The newest link: what was given up may still be on its way over it.
    fn link(&self) -> Option<LinkId> {
        None
    }

    /// The version that a set of `bytes` with the version `proposed` gets where nothing later lies.
    fn version_of(&self, _bytes: &[u8], proposed: u64) -> u64 {
        proposed
    }

    /// Whether a set of `bytes` with the version `proposed` may have left `found`.
    fn has_left(&self, bytes: &[u8], proposed: u64, found: &Stored) -> bool {
        found.version == self.version_of(bytes, proposed)
    }

    /// Removes `key` if what is there is `expected`, leaving a tombstone with at least `version`, unless nothing was expected and nothing there.
    /// An absent key is removed already, but is not what [`Expected::Version`] expects: [`Written::Conflict`].
    fn remove(
        &self,
        key: &[u8],
        version: u64,
        expected: Expected,
        attempt: Attempt<'_>,
    ) -> Result<Written, Failure>;

    /// Renews the sliding window of the live entry of `key`, and answers its new end (as [`Stored::ends_at_ms`]);
    /// `None` when there is no live entry. An entry that does not slide keeps its end. `known` is its lifetime, where
    /// the caller knows that it is still that.
    fn touch(
        &self,
        key: &[u8],
        known: Option<Lifetime>,
        attempt: Attempt<'_>,
    ) -> Result<Option<i64>, Failure>;

    /// Takes over what can change while open, from a configuration of the same kind.
    fn configure(&self, config: &Config);

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
