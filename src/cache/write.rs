//! The write path: L2 first, then L1, so that what is acknowledged is shared.

#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::time::{Duration, Instant};

use super::owed::OwedBefore;
use super::terms::Terms;
use super::unheard::{Attempted, Attempts, Fate};
use super::{Cache, SetOptions, SetOutcome};
use crate::clock;
use crate::config::{self, Config};
use crate::entry::{self, Entry, Lifetime, Parts, Secret};
use crate::epoch::Epoch;
use crate::error::{Error, Kind, Result};
use crate::journal::{Change, Known, Record};
use crate::l1::Arrival;
use crate::l2::{Class, Expected, Failure, LinkId, Store, Written};
use crate::stats::{Latency, Operation};

/// A set, resolved.
pub(super) struct Write<'a> {
    pub key: &'a [u8],
    pub data: &'a [u8],
    pub slot: u32,
    pub lifetime: Lifetime,
    pub written_at_ms: i64,
    pub expected: Expected,
    pub is_local: bool,
    /// It waits for L2, whatever the document says: it could not be kept.
    pub waits: bool,
    /// It goes the way of what is owed for its key: that is to be merged, and would be with this one, too, if it met it in L2.
    pub follows: bool,
    pub started: Instant,
}

impl Write<'_> {
    fn after(&self, owed_before: Option<OwedBefore>) -> Self {
        Write { follows: owed_before.is_some_and(|owed| owed.is_merged), ..*self }
    }
}

/// A set that L2 did not take.
pub(super) struct Untaken<'w> {
    pub failure: Failure,
    sealed: Cow<'w, [u8]>,
    clock: u64,
    known: Known,
    pub fate: Fate,
}

impl Cache {
    /// Stores `data` under `key`.
    pub fn set(&self, key: &[u8], data: &[u8], options: SetOptions) -> Result<SetOutcome> {
        self.set_since(key, data, options, Instant::now())
    }

    /// As [`Cache::set`], for a call that began at `started`.
    pub fn set_since(
        &self,
        key: &[u8],
        data: &[u8],
        options: SetOptions,
        started: Instant,
    ) -> Result<SetOutcome> {
        let config = self.config.load();
        self.set_under(&Terms::from(&**config), key, data, options, started, Some(&config))
    }

    /// As [`Cache::set_since`], under `terms`; with `config` for what goes to L2.
    // In line, so that what goes to L2 is left out where L1 alone takes it.
    #[inline(always)]
    pub(super) fn set_under(
        &self,
        terms: &Terms,
        key: &[u8],
        data: &[u8],
        options: SetOptions,
        started: Instant,
        config: Option<&Config>,
    ) -> Result<SetOutcome> {
        self.check_key(key, &terms.limits)?;
        terms.check_value(data)?;
        let hash = self.l1.fetch(key);
        let now_ms = clock::unix_ms();
        let pruned = terms.pruned(data, now_ms);
        let data = pruned.as_deref().unwrap_or(data);
        let expected = match options.expected_version {
            0 => Expected::Anything,
            u64::MAX => Expected::Absent,
            version => Expected::Version(version),
        };
        let lifetime = terms.lifetime(data, options, now_ms);
        let slot = self.slot(key);
        let is_local = self.stays_here(options);
        let (written_at_ms, waits, follows) = (now_ms, false, false);
        let write =
            Write { key, data, slot, lifetime, written_at_ms, expected, is_local, waits, follows, started };
        match (self.store.as_deref().zip(config), lifetime.has_ended(now_ms)) {
            (Some((store, config)), true) if !is_local => self.remove_through(&write, store, config),
            (Some((store, config)), false) if !is_local => self.set_through(&write, store, config),
            (_, has_ended) => self.set_here(&write, hash, has_ended, terms.max_ttl_ms),
        }
    }

    /// Whether `data` may be stored, for a caller that copies it first.
    pub fn check_value(&self, data: &[u8]) -> Result<()> {
        Terms::from(&**self.config.load()).check_value(data)
    }

    /// Removes `key` from both tiers; says whether the removal is owed to L2.
    pub fn remove(&self, key: &[u8]) -> Result<SetOutcome> {
        self.remove_since(key, Instant::now())
    }

    /// As [`Cache::remove`], for a call that began at `started`.
    pub fn remove_since(&self, key: &[u8], started: Instant) -> Result<SetOutcome> {
        let config = self.config.load();
        self.check_key(key, &config.limits)?;
        let write = Write {
            key,
            data: b"",
            slot: self.slot(key),
            lifetime: Lifetime::default(),
            written_at_ms: clock::unix_ms(),
            expected: Expected::Anything,
            is_local: self.store.is_none(),
            waits: false,
            follows: false,
            started,
        };
        match &self.store {
            Some(store) => self.remove_through(&write, store.as_ref(), &config),
            None => self.set_here(&write, self.l1.fetch(key), true, config.l1.max_ttl_ms),
        }
    }

    fn set_through(&self, write: &Write<'_>, store: &dyn Store, config: &Config) -> Result<SetOutcome> {
        let owed_before = self.look_at_owed(write)?;
        let write = &write.after(owed_before);
        let untaken = match self.put_through(write, owed_before, store, config)? {
            Ok(outcome) => return Ok(outcome),
            Err(untaken) => untaken,
        };
        let Untaken { failure, mut sealed, mut clock, known, fate } = untaken;
        if fate == Fate::Undone {
            // It follows what others have written and got acknowledged while it was tried.
            clock = self.versions.next();
            sealed = self.sealed(write.key, write.data, clock, write.lifetime.expires_at_ms, config)?;
        }
        let version = store.version_of(&sealed, clock);
        let bytes = Secret::copy(&sealed).ok_or_else(|| Error::out_of_memory(sealed.len()))?;
        let change = Change::Set { bytes, lifetime: write.lifetime };
        let epoch = match self.keep_or_fail(write, change, (clock, known), (failure, fate)) {
            Err(error) if self.may_wait(write, config, &error) => {
                return self.set_through(&Write { waits: true, ..*write }, store, config);
            }
            kept => kept?,
        };
        self.hold(write, version, epoch);
        self.bring(write);
        Ok(SetOutcome::Owed(version))
    }

    /// Stores in L2, and then in L1; `owed_before` is settled by it. What L2 did not take comes back.
    pub(super) fn put_through<'w>(
        &self,
        write: &Write<'w>,
        owed_before: Option<OwedBefore>,
        store: &dyn Store,
        config: &Config,
    ) -> Result<std::result::Result<SetOutcome, Untaken<'w>>> {
        let call = self.call(Operation::Set, write.key, config, write.started);
        let stored_key = Self::stored_key(write.key, config);
        let mut epoch = self.epoch(write.slot);
        let (clock, since) = (self.clock_after(owed_before), self.moment());
        let sealed = self.sealed(write.key, write.data, clock, write.lifetime.expires_at_ms, config)?;
        let Write { written_at_ms, expected, .. } = *write;
        let (value, known) = (Some((&*sealed, write.lifetime)), self.known(write.key, owed_before));
        let attempted = Attempted { key: &stored_key, value, clock, written_at_ms, expected, known };
        let mut attempts = Attempts::default();
        let outcome = call.run_unless(self.is_behind(write, config), |attempt| {
            attempts.make(&attempted, store, attempt, || {
                self.take_epoch(write.slot, &mut epoch, store, attempt)?;
                self.fence(owed_before, store, attempt)
            })
        });
        let outcome = attempts.end(outcome, expected);
        match outcome {
            Ok(Written::Stored(version)) => {
                self.settle(write.key, owed_before, write.started);
                self.remember(write, Some(sealed), clock, since);
                self.fill(write, version, epoch)?;
                Ok(Ok(SetOutcome::Stored(version)))
            }
            Ok(Written::Conflict) => Ok(Ok(self.conflict(write))),
            Err(failure) => Ok(Err(Untaken { failure, sealed, clock, known, fate: attempts.fate() })),
        }
    }

    /// What is owed is brought to L2; also when that was tried a moment ago, where L2 may have taken this one itself.
    fn bring(&self, write: &Write<'_>) {
        if write.follows { self.replay_soon() } else { self.replay() }
    }

    /// Whether a write does not wait for L2.
    fn is_behind(&self, write: &Write<'_>, config: &Config) -> bool {
        let is_behind = write.follows || config.l2.write == config::Write::Behind;
        is_behind && write.expected == Expected::Anything && !write.waits
    }

    /// Whether L2 itself is to take a write that did not wait for it, since the journal has refused it with `error`.
    fn may_wait(&self, write: &Write<'_>, config: &Config, error: &Error) -> bool {
        let is_in_time = write.started.elapsed() < Duration::from_millis(config.resilience.deadline_ms);
        self.is_behind(write, config) && is_in_time && error.kind != Kind::Closed
    }

    /// Since when the journal may take the time of a call. Half of it is for L2, where that is to take what the journal does
    /// not.
    fn may_keep_since(&self, write: &Write<'_>) -> Instant {
        let config = self.config.load();
        let half = Duration::from_millis(config.resilience.deadline_ms / 2);
        let since = if self.is_behind(write, &config) { write.started.checked_sub(half) } else { None };
        since.unwrap_or(write.started)
    }

    /// When a write is made that is later than what is owed.
    fn clock_after(&self, owed_before: Option<OwedBefore>) -> u64 {
        self.versions.next_after(owed_before.map_or(0, |owed| owed.clock))
    }

    /// What is owed for this key. What is to be compared cannot be, while something is.
    fn look_at_owed(&self, write: &Write<'_>) -> Result<Option<OwedBefore>> {
        if write.expected != Expected::Anything {
            self.is_held_up(write.key, write.started)?;
        }
        Ok(self.owed_before(write.key, write.started))
    }

    /// L2 did not take it: it is owed, where it can be, and else nobody knows whether L2 has it. Answers the epoch under
    /// which L1 may hold it, which is over: the journal alone vouches for it.
    fn keep_or_fail(
        &self,
        write: &Write<'_>,
        change: Change,
        (clock, known): (u64, Known),
        (failure, fate): (Failure, Fate),
    ) -> Result<Epoch> {
        self.distrust(write);
        if write.expected != Expected::Anything {
            return Err(failure.into());
        }
        let epoch = self.unverified_epoch(write.slot);
        let link = self.late_over(fate);
        let record =
            Record { change, clock, written_at_ms: write.written_at_ms, known, base: None, over: None, link };
        self.keep(write.key, record, failure, self.may_keep_since(write)).map_err(Error::from)?;
        Ok(epoch)
    }

    /// Over which link L2 may get yet what has come to `fate`.
    pub(super) fn late_over(&self, fate: Fate) -> Option<LinkId> {
        self.store.as_ref().filter(|_| fate == Fate::Unheard)?.link()
    }

    /// L1 takes what is owed since `epoch`, to be served as what it is.
    pub(super) fn hold(&self, write: &Write<'_>, version: u64, epoch: Epoch) {
        let turn = self.l1.turn(write.slot);
        // Without it the journal itself answers.
        if let Ok(entry) = self.entry(write, version, epoch, self.max_ttl_ms()) {
            self.l1.put(entry, Arrival::Written);
        }
        drop(turn);
    }

    pub(super) fn remove_through(
        &self,
        write: &Write<'_>,
        store: &dyn Store,
        config: &Config,
    ) -> Result<SetOutcome> {
        let call = self.call(Operation::Remove, write.key, config, write.started);
        let stored_key = Self::stored_key(write.key, config);
        let epoch = self.epoch(write.slot);
        let owed_before = self.look_at_owed(write)?;
        let write = &write.after(owed_before);
        let (clock, since) = (self.clock_after(owed_before), self.moment());
        let Write { written_at_ms, expected, .. } = *write;
        let known = self.known(write.key, owed_before);
        let attempted = Attempted { key: &stored_key, value: None, clock, written_at_ms, expected, known };
        let mut attempts = Attempts::default();
        let outcome = call.run_unless(self.is_behind(write, config), |attempt| {
            attempts.make(&attempted, store, attempt, || self.fence(owed_before, store, attempt))
        });
        let outcome = attempts.end(outcome, expected);
        match outcome {
            Ok(Written::Stored(_)) => {
                self.settle(write.key, owed_before, write.started);
                self.remember(write, None, clock, since);
                let turn = self.l1.turn(write.slot);
                let _ = self.advance(write.slot, epoch);
                self.l1.remove(write.key);
                drop(turn);
                Ok(SetOutcome::Stored(0))
            }
            Ok(Written::Conflict) => Ok(self.conflict(write)),
            Err(failure) => {
                let (is_closed, fate) = (failure.class == Class::Closed, attempts.fate());
                let clock = if fate == Fate::Undone { self.versions.next() } else { clock };
                let kept = self.keep_or_fail(write, Change::Remove, (clock, known), (failure, fate));
                // A sign-out that did not reach L2 must not be undone by a copy that only this process knows.
                if !is_closed {
                    self.l1.remove(write.key);
                }
                match kept {
                    Err(error) if self.may_wait(write, config, &error) => {
                        return self.remove_through(&Write { waits: true, ..*write }, store, config);
                    }
                    kept => kept?,
                };
                self.bring(write);
                Ok(SetOutcome::Owed(0))
            }
        }
    }

    /// L2 has it: L1 takes it too, unless somebody else changed the slot in between.
    fn fill(&self, write: &Write<'_>, version: u64, epoch: Epoch) -> Result<()> {
        let sample = Latency::sample();
        let turn = self.l1.turn(write.slot);
        let advanced = self.advance(write.slot, epoch);
        match advanced {
            Some(own) => match self.entry(write, version, own, self.max_ttl_ms()) {
                Ok(entry) => {
                    self.l1.put(entry, Arrival::Written);
                }
                Err(_) => self.l1.remove(write.key),
            },
            None => self.l1.remove(write.key),
        }
        drop(turn);
        self.stats.l1_set.record_sample(sample);
        Ok(())
    }

    /// By the document of now, which may be another than before L2 was waited for.
    fn max_ttl_ms(&self) -> i64 {
        self.config.load().l1.max_ttl_ms
    }

    fn conflict(&self, write: &Write<'_>) -> SetOutcome {
        // Somebody else wrote, so what we hold may be old.
        self.bump(write.slot);
        self.conflict_here()
    }

    /// Nobody knows whether L2 took it: what L1 has of this key is checked before it is served again.
    pub(super) fn distrust(&self, write: &Write<'_>) {
        let turn = self.l1.turn(write.slot);
        self.bump(write.slot);
        self.l1.remove_shared(write.key);
        drop(turn);
    }

    /// Our write is done: what was read before it is void.
    fn advance(&self, slot: u32, epoch: Epoch) -> Option<Epoch> {
        self.coherence.as_ref().and_then(|coherence| coherence.epochs.advance(slot, epoch))
    }

    pub(super) fn entry(
        &self,
        write: &Write<'_>,
        version: u64,
        epoch: Epoch,
        max_ttl_ms: i64,
    ) -> Result<Entry> {
        let entry = Entry::new(Parts {
            key: write.key,
            data: write.data,
            version,
            written_at_ms: write.written_at_ms,
            lifetime: write.lifetime,
            deadline_ms: entry::deadline_ms(write.lifetime.ends_at_ms(write.written_at_ms), max_ttl_ms),
            stay_until_ms: entry::deadline_ms(0, max_ttl_ms),
            slot: write.slot,
            epoch,
            is_local: write.is_local,
            flags: 0,
        });
        entry.ok_or_else(|| Error::out_of_memory(write.data.len()))
    }
}
