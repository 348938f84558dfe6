//! After a failover: what this process wrote lately may be gone on the new primary although it was acknowledged, and is
//! made again there. Until it is, it answers reads here as what is owed does.

#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use serde_json::{Value, json};

use super::{Answer, Cache, write::Write};
use crate::clock;
use crate::coherence::Coherence;
use crate::entry::Secret;
use crate::epoch::Epoch;
use crate::error::Error;
use crate::journal::{
    Change, Known, Moment, Numbered, Pass, Recent, Record, Replay, Verdict, has_slid_out, verdict_again,
};
use crate::l2::{Attempt, Expected, Failure, Hearing, Mark, Store, Stored, Succession, Witness};
use crate::log::{Level, Logger};
use crate::runtime::lock;

/// Hears what happens to an L2 that can fail over: for L1, and for what was written lately.
pub(super) struct FailoverWitness {
    coherence: Arc<Coherence>,
    recent: Arc<Recent>,
    log: Arc<Logger>,
    has_warned: AtomicBool,
}

impl FailoverWitness {
    pub fn of(coherence: &Arc<Coherence>, recent: &Arc<Recent>, log: &Arc<Logger>) -> Arc<dyn Witness> {
        let (coherence, recent, log) = (Arc::clone(coherence), Arc::clone(recent), Arc::clone(log));
        Arc::new(FailoverWitness { coherence, recent, log, has_warned: false.into() })
    }
}

impl Witness for FailoverWitness {
    fn changed(&self, key: &[u8]) {
        self.coherence.changed(key);
        if let Some(key) = self.coherence.own_key(key) {
            self.recent.changed(key);
        }
    }

    fn may_have_changed(&self, key: &[u8]) {
        self.coherence.may_have_changed(key);
    }

    fn all_changed(&self) {
        self.coherence.all_changed();
        self.recent.all_changed();
    }

    fn hears(&self) {
        self.coherence.hears();
    }

    fn is_deaf(&self, hearing: Hearing, why: &Failure) {
        self.coherence.is_deaf(hearing, why);
    }

    fn has_parted(&self, is_demoted: bool) {
        self.coherence.has_parted(is_demoted);
        self.recent.has_parted(is_demoted);
    }

    fn has_met(&self, succession: &Succession) {
        self.recent.has_met(succession);
        if let Succession::Unknown(why) = succession
            && !self.has_warned.swap(true, Ordering::Relaxed)
        {
            self.log.write(Level::Warn, "l2", || {
                format!(
                    "{why}. Until then, after each lost link, removals of the last 30 s are made again, and sets only \
                     where L2 still has the key."
                )
            });
        }
    }

    fn begins(&self, key: &[u8]) -> Result<Mark, Failure> {
        self.coherence.begins(key)
    }

    fn ends(&self, key: &[u8], mark: Mark) {
        self.coherence.ends(key, mark);
    }

    fn settles(&self) {
        self.coherence.settles();
    }
}

impl Cache {
    /// Before a write or a read begins in an L2 that can fail over.
    pub(super) fn moment(&self) -> Option<Moment> {
        self.recent.as_ref().map(|recent| recent.moment())
    }

    /// L2 has acknowledged a write that began at the moment `since`: of `sealed`, or with none a removal. L1 still
    /// has what it was made onto.
    pub(super) fn remember(
        &self,
        write: &Write<'_>,
        sealed: Option<Cow<'_, [u8]>>,
        clock: u64,
        since: Option<Moment>,
    ) {
        let (Some(recent), Some(since)) = (&self.recent, since) else { return };
        let change = match sealed {
            None => Change::Remove,
            Some(sealed) => {
                // Without memory for it there is nothing to make again, and nothing else is lost.
                let bytes = match sealed {
                    Cow::Owned(bytes) => Some(Secret::from(bytes)),
                    Cow::Borrowed(bytes) => Secret::copy(bytes),
                };
                let Some(bytes) = bytes else { return recent.overtake(write.key, clock) };
                Change::Set { bytes, lifetime: write.lifetime }
            }
        };
        let known = match write.expected {
            Expected::Anything => self.known(write.key, None),
            Expected::Absent => Known::Absent,
            Expected::Version(version) => Known::Version(version),
        };
        let record = Record {
            change,
            clock,
            written_at_ms: write.written_at_ms,
            known,
            base: None,
            over: None,
            link: None,
        };
        self.remember_record(recent, write.key, record, since, write.started);
    }

    /// Something newer may be owed by now, and brought to L2 by another process: then this must not come back here.
    /// Of a call that began at `started`.
    pub(super) fn remember_record(
        &self,
        recent: &Recent,
        key: &[u8],
        record: Record,
        since: Moment,
        started: Instant,
    ) {
        let clock = record.clock;
        recent.remember(key, record, since);
        let owed = self.owed_record(key, started);
        if !owed.is_ok_and(|owed| owed.is_none_or(|owed| owed.record.clock <= clock)) {
            recent.forget(key, clock);
        }
    }

    /// What is to be made again of `key`.
    pub(super) fn to_be_made_again(&self, key: &[u8]) -> Result<Option<Numbered>, Failure> {
        let Some(recent) = &self.recent else { return Ok(None) };
        if recent.again().is_surely_empty() {
            return Ok(None);
        }
        recent.again().find(key, Attempt::at_once())
    }

    /// What L2 has of `key`, under one primary from the question whether it is to be made again there to the answer.
    pub(super) fn read_store(
        &self,
        (key, stored_key): (&[u8], &[u8]),
        slot: u32,
        epoch: &mut Epoch,
        store: &dyn Store,
        attempt: Attempt<'_>,
    ) -> Result<Option<Stored>, Failure> {
        loop {
            let since = self.moment();
            self.take_epoch(slot, epoch, store, attempt)?;
            let again = self.to_be_made_again(key)?;
            let found = match again {
                None => store.get(stored_key, attempt)?,
                Some(again) => {
                    *epoch = self.unverified_epoch(slot);
                    self.look_for((key, stored_key), again.record, store, attempt)?
                }
            };
            if self.has_stood(key, since, found.as_ref()) {
                return Ok(found);
            }
        }
    }

    /// Whether the primary is still the one that it was `since` the read of `key` began that `found` this there.
    pub(super) fn has_stood(&self, key: &[u8], since: Option<Moment>, found: Option<&Stored>) -> bool {
        let (Some(recent), Some(since)) = (&self.recent, since) else { return true };
        let has_stood = recent.term() == since.term;
        if has_stood {
            recent.found(key, since, |record| self.is_of(found, record));
        }
        has_stood
    }

    /// Whether `found` is what `record` has left in L2.
    fn is_of(&self, found: Option<&Stored>, record: &Record) -> bool {
        match (found, record.change.value()) {
            (None, None) => true,
            (Some(found), Some((bytes, _))) => {
                self.store.as_ref().is_some_and(|store| store.has_left(bytes, record.clock, found))
            }
            _ => false,
        }
    }

    /// What `key` is when `again` has been made again as it will be.
    fn look_for(
        &self,
        (key, stored_key): (&[u8], &[u8]),
        again: Record,
        store: &dyn Store,
        attempt: Attempt<'_>,
    ) -> Result<Option<Stored>, Failure> {
        let present = store.look(&[stored_key], attempt)?.remove(0)?.present;
        let is_sure = self.recent.as_ref().is_none_or(|recent| recent.is_undoubted(key));
        match verdict_again(&again, present, store.now_ms(), is_sure) {
            Verdict::Write => Ok(self.as_made_again(again)),
            Verdict::Keep => store.get(stored_key, attempt),
            Verdict::Lose(_) => {
                if let Some(recent) = &self.recent {
                    recent.forget(key, again.clock);
                }
                store.get(stored_key, attempt)
            }
        }
    }

    fn as_made_again(&self, again: Record) -> Option<Stored> {
        let since_ms = again.written_at_ms;
        if has_slid_out(&again, clock::unix_ms()) { None } else { self.as_stored(again, since_ms) }
    }

    /// Whether `again`, which is to be made again of `key`, can neither have ended nor been taken away.
    fn stands(&self, key: &[u8], again: &Record) -> bool {
        let is_undoubted = self.recent.as_ref().is_none_or(|recent| recent.is_undoubted(key));
        is_undoubted && !has_slid_out(again, clock::unix_ms())
    }

    /// What is to be made again of `key`, and [`Cache::stands`].
    pub(super) fn standing_again(&self, key: &[u8]) -> Result<Option<Numbered>, Failure> {
        Ok(self.to_be_made_again(key)?.filter(|again| self.stands(key, &again.record)))
    }

    /// What is to be made again answers for `key` where L2 cannot.
    pub(super) fn made_again(&self, key: &[u8]) -> Result<Option<Answer>, Error> {
        let again = self.standing_again(key)?;
        let answer = |again: Numbered| {
            let since_ms = again.record.written_at_ms;
            self.answer_for_l2(key, again, since_ms)
        };
        again.map(answer).transpose()
    }

    /// Makes again what is to be, as `replay` says.
    pub(super) fn make_again(
        &self,
        recent: &Recent,
        replay: &Replay<'_, dyn Store>,
    ) -> Result<Pass, Failure> {
        if recent.again().is_empty(Attempt::at_once())? {
            return Ok(Pass::default());
        }
        let Some(turn) = recent.again().claim_replay()? else { return Ok(Pass::default()) };
        let passed = replay.run(&turn);
        if recent.again().is_empty(Attempt::at_once())? {
            self.sum_up(recent, recent.is_sure());
        }
        passed
    }

    fn sum_up(&self, recent: &Recent, is_sure: bool) {
        let progress = recent.again().progress();
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let now = [load(&progress.kept), load(&progress.replayed), load(&progress.superseded)];
        let before = std::mem::replace(&mut *lock(&self.replays.summed_up), now);
        let [kept, written, lost] = [0, 1, 2].map(|at| now[at] - before[at]);
        let is_news = is_sure || written + lost > 0;
        self.log.write(if is_news { Level::Warn } else { Level::Debug }, "l2", || {
            let has = if is_sure { "has" } else { "may have" };
            format!(
                "L2 {has} another primary now: of {} keys that were written here in the 30 s before, {kept} were there, \
                 {written} were written again, and {lost} were not, because of what is there.",
                kept + written + lost
            )
        });
    }

    /// L2 has `record` of `key` now, by a replay that began at the moment `since`.
    pub(super) fn remember_replay(&self, key: &[u8], record: &Record, since: Option<Moment>) {
        if let (Some(recent), Some(since)) = (&self.recent, since)
            && let Ok(record) = record.copy()
        {
            self.remember_record(recent, key, record, since, Instant::now());
        }
    }

    pub(super) fn describe_failover(&self) -> Value {
        let Some(recent) = &self.recent else { return Value::Null };
        let (figures, progress) = (recent.figures(), recent.again().progress());
        json!({
            "primary_changes": figures.changes,
            "remembered_entries": figures.remembered.entries,
            "remembered_bytes": figures.remembered.bytes,
            "forgotten": figures.forgotten,
            "pending": figures.again.entries,
            "still_there": progress.kept.load(Ordering::Relaxed),
            "written_again": progress.replayed.load(Ordering::Relaxed),
            "superseded": progress.superseded.load(Ordering::Relaxed),
            "failed": progress.failed.load(Ordering::Relaxed),
        })
    }
}
