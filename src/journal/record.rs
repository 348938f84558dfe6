//! What is owed for one key: a set that L2 has not taken, or a removal.

#![forbid(unsafe_code)]

use crate::entry::{Lifetime, Secret};
use crate::l2::{Class, Failure, LinkId};

/// What a record takes beside its key and value.
const OVERHEAD_BYTES: u64 = 128;

/// A hybrid clock that is further ahead than this is an error of a clock.
const CLOCK_ERROR_MS: i64 = 5 * 60_000;

/// What a write does.
#[derive(Debug)]
pub enum Change {
    /// It stores.
    Set {
        /// The bytes exactly as they would lie in L2, sealed where entries are.
        bytes: Secret,
        /// Until when they live.
        lifetime: Lifetime,
    },
    /// It removes.
    Remove,
}

/// What was known of L2's entry when a write was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// Nothing.
    Nothing,
    /// That there was none.
    Absent,
    /// Its version.
    Version(u64),
}

/// A write that is owed.
#[derive(Debug)]
pub struct Record {
    /// What it does.
    pub change: Change,
    /// Its hybrid time.
    pub clock: u64,
    /// Its Unix time.
    pub written_at_ms: i64,
    /// What it was made onto.
    pub known: Known,
    /// The bytes that a set started from, as they would lie in L2, when it is to be merged there; empty where nothing was
    /// there. `None` for what is written as it is.
    pub base: Option<Secret>,
    /// The hybrid time of the plain write that was owed before: it is that which meets what lies in L2, and only where it
    /// loses this is merged. `base` is what it stored then, empty for a removal.
    pub over: Option<u64>,
    /// The link over which L2 may get it yet: an attempt that was given up.
    pub link: Option<LinkId>,
}

/// What a record may take the place of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Onto {
    /// Whatever is owed.
    Anything,
    /// What has this number, or nothing at all.
    Number(Option<u64>),
}

impl Onto {
    pub(super) fn is(self, number: Option<u64>) -> bool {
        match self {
            Onto::Anything => true,
            Onto::Number(expected) => expected == number,
        }
    }
}

/// A record, and the number by which it is told from a later one of the same key.
#[derive(Debug)]
pub struct Numbered {
    /// Higher for later ones; never given twice.
    pub sequence: u64,
    /// The record.
    pub record: Record,
}

impl Change {
    /// What it holds.
    #[must_use]
    pub fn value(&self) -> Option<(&[u8], Lifetime)> {
        match self {
            Change::Set { bytes, lifetime } => Some((bytes, *lifetime)),
            Change::Remove => None,
        }
    }

    /// As it stands at `now_ms`: a set that has ended leaves its key absent, and so it removes what it was set over.
    /// A window does not end while it is owed: nobody could have renewed it, and in L1 somebody may have.
    #[must_use]
    pub fn due(self, now_ms: i64) -> Change {
        match &self {
            Change::Set { lifetime, .. } if lifetime.has_ended(now_ms) => Change::Remove,
            _ => self,
        }
    }

    fn copy(&self) -> Option<Change> {
        Some(match self {
            Change::Set { bytes, lifetime } => {
                Change::Set { bytes: Secret::copy(bytes)?, lifetime: *lifetime }
            }
            Change::Remove => Change::Remove,
        })
    }
}

impl Record {
    /// What it costs under a key of `key_len` bytes.
    pub(super) fn cost_bytes(&self, key_len: usize) -> u64 {
        let base_len = self.base.as_ref().map_or(0, |base| base.len());
        cost_bytes(key_len, self.change.value().map_or(0, |(bytes, _)| bytes.len()) + base_len)
    }

    /// What this record says when it takes the place of one with `before`: it is the later write, whatever the clocks
    /// say, and it was made onto the same entry of L2 unless it knows better.
    pub(super) fn following(&self, before: Option<(u64, Known)>, now_ms: i64) -> (u64, Known) {
        let Some((clock, known)) = before else { return (self.clock, self.known) };
        let known = if self.known == Known::Nothing { known } else { self.known };
        (believable(self.clock.max(clock.saturating_add(1)), now_ms), known)
    }

    pub(crate) fn copy(&self) -> Result<Record, Failure> {
        let change = self.change.copy().ok_or_else(out_of_memory)?;
        let base = self.base.as_ref().map(|base| Secret::copy(base).ok_or_else(out_of_memory)).transpose()?;
        let Record { clock, written_at_ms, known, over, link, .. } = *self;
        Ok(Record { change, clock, written_at_ms, known, base, over, link })
    }

    /// As it stands at Unix time `now_ms`.
    pub(super) fn due(self, now_ms: i64) -> Record {
        let (change, clock) = (self.change.due(now_ms), believable(self.clock, now_ms));
        let base = self.base.filter(|_| change.value().is_some());
        let over = self.over.filter(|_| base.is_some());
        Record { change, clock, base, over, ..self }
    }

    /// What a merged set that takes its place is over.
    pub(crate) fn under(&self) -> Option<u64> {
        if self.base.is_some() { self.over } else { Some(self.clock) }
    }
}

pub(super) fn out_of_memory() -> Failure {
    Failure::new(Class::Unreachable, "The journal could not be read: memory ran out.")
}

pub(super) fn cost_bytes(key_len: usize, value_len: usize) -> u64 {
    (key_len as u64).saturating_add(value_len as u64).saturating_add(OVERHEAD_BYTES)
}

/// Whether `clock` is so far ahead of `now_ms` that the clock it was read from was wrong.
pub(super) fn is_ahead(clock: u64, now_ms: i64) -> bool {
    (clock >> 16) as i64 > now_ms.saturating_add(CLOCK_ERROR_MS)
}

/// `clock`, or the present when it cannot be right.
pub(super) fn believable(clock: u64, now_ms: i64) -> u64 {
    if is_ahead(clock, now_ms) { (now_ms.max(1) as u64) << 16 } else { clock }
}
