//! What keeps records, whether in memory or in a file.

#![forbid(unsafe_code)]

use super::bounds::{Bounds, Owed};
use super::record::{Numbered, Onto, Record};
use crate::l2::{Attempt, Failure, LinkId};

/// What the records of one batch may cost, unless a single one costs more.
pub(super) const BATCH_BYTES: u64 = 1 << 20;

/// A record that is to be replayed.
#[derive(Debug)]
pub struct Due {
    /// Its key.
    pub key: Vec<u8>,
    /// Its number.
    pub sequence: u64,
    /// The record.
    pub record: Record,
}

/// The links over which L2 may get yet what is owed.
#[derive(Debug, Default)]
pub(super) struct Links {
    pub ids: Vec<LinkId>,
    /// The highest number that had been given when they were looked up.
    pub last_sequence: u64,
}

/// What is not as it should be with a journal.
#[derive(Debug, Default)]
pub struct Sight {
    /// What was lost since the last look.
    pub lost: Option<Failure>,
    /// Why every read that L1 does not answer has to look into the file.
    pub blind: Option<Failure>,
}

/// The right to replay, until it is dropped.
pub(super) type Turn = Box<dyn Send + Sync>;

/// A place for records: the newest of each key.
pub(super) trait Ledger: Send + Sync {
    /// Whether what is owed was what `record` may take the place of, and it has.
    fn owe(
        &self,
        key: &[u8],
        record: Record,
        onto: Onto,
        bounds: &Bounds,
        attempt: Attempt<'_>,
    ) -> Result<bool, Failure>;

    fn find(&self, key: &[u8], attempt: Attempt<'_>) -> Result<Option<Numbered>, Failure>;

    fn sequence(&self, key: &[u8], attempt: Attempt<'_>) -> Result<Option<u64>, Failure>;

    /// Forgets each record that is still the one of its number, and answers the numbers of those.
    fn settle(&self, settled: &[(&[u8], u64)], attempt: Attempt<'_>) -> Result<Vec<u64>, Failure>;

    /// The oldest records numbered higher than `after`.
    fn batch(&self, after: u64, limit: usize, attempt: Attempt<'_>) -> Result<Vec<Due>, Failure>;

    /// The links over which L2 may get yet what other processes have owed to it. What this process has sent arrives over
    /// its own link in order, and its newest one has ended those before.
    fn links(&self, _attempt: Attempt<'_>) -> Result<Links, Failure> {
        Ok(Links::default())
    }

    /// Nothing arrives over `links` any more, unless something has been owed since they were looked up: that may have been
    /// given up over one of them that goes on.
    fn forget_links(&self, _links: &Links, _attempt: Attempt<'_>) -> Result<(), Failure> {
        Ok(())
    }

    /// Makes removals of the sets that have ended, which frees their room.
    fn bury_ended(&self, attempt: Attempt<'_>) -> Result<(), Failure>;

    /// How many records there are, where that is known without a look into a file.
    fn entries(&self) -> Option<u64>;

    /// Looks whether what can be lost without a word is still there.
    fn look(&self, attempt: Attempt<'_>) -> Sight;

    fn owed(&self, attempt: Attempt<'_>) -> Result<Owed, Failure>;

    fn claim(&self) -> Result<Option<Turn>, Failure>;

    fn rename(&self, identity: &str, attempt: Attempt<'_>) -> Result<(), Failure>;

    /// Takes nothing more, unless something is owed; whether so. What is in a file is not lost with this process.
    fn end(&self) -> bool {
        true
    }

    /// Takes nothing more, and answers what is left.
    fn close(&self, attempt: Attempt<'_>) -> Result<Owed, Failure>;
}
