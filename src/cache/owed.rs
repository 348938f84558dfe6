//! What L2 still owes us a place for: writes that it did not take are kept in the journal, answer reads until it has
//! them, and are brought to it when it is back.

#![forbid(unsafe_code)]

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::read::as_entry;
use super::{Answer, Cache};
use crate::clock;
use crate::config::{self, Config};
use crate::entry::Entry;
use crate::error::{Error, Kind, Result};
use crate::journal::{Change, Journal, Known, Numbered, Onto, Record, Settings};
use crate::l2::{Attempt, Class, Failure, Store, Stored};
use crate::log::Level;
use crate::runtime::lock;
use crate::stats::count;

/// How long the journal's file may take beyond the deadline of a call.
pub(super) const PATIENCE: Duration = Duration::from_millis(40);
/// How long a replay waits for one answer, and a file that others are using, when the cache opens.
pub(super) const UNHURRIED: Duration = Duration::from_secs(2);

/// What is owed for a key when that is written past the journal.
#[derive(Clone, Copy, Debug)]
pub(super) struct OwedBefore {
    number: u64,
    /// Its hybrid time, which may be ahead of the clock of now: it went back, or is that of another process.
    pub clock: u64,
    /// It is to be merged with what lies in L2.
    pub is_merged: bool,
}

/// The journal of a cache that has an L2.
pub(super) fn open(config: &Config) -> Result<Option<Journal>> {
    let Some(identity) = identity(config) else { return Ok(None) };
    let resilience = &config.resilience;
    let settings = Settings {
        path: resilience.journal_path.clone(),
        max_bytes: resilience.journal_max_bytes,
        max_entries: resilience.journal_max_entries,
    };
    let is_closing = || false;
    let attempt = Attempt { deadline: Instant::now() + UNHURRIED, is_closing: &is_closing };
    Journal::open(&settings, &identity, attempt).map(Some)
}

/// Which L2 something is owed to, without a secret.
fn identity(config: &Config) -> Option<String> {
    let prefix = &config.l2.key_prefix;
    match &config.l2.kind {
        config::Kind::None => None,
        config::Kind::Sqlite { path, .. } => Some(format!("sqlite {} {prefix}", absolute(path).display())),
        config::Kind::Redis(redis) => Some(format!("{} {prefix}", redis.address)),
    }
}

fn absolute(path: &Path) -> std::path::PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Whether a plain write that ended with `class` is kept.
fn is_kept(class: Class) -> bool {
    match class {
        Class::Unreachable
        | Class::Timeout
        | Class::Busy
        | Class::Denied
        | Class::Full
        | Class::Suspended => true,
        Class::Protocol | Class::Closed => false,
    }
}

impl Cache {
    /// Keeps a write that L2 did not take for the reason of `failure`, or says why it cannot be kept.
    pub(super) fn keep(
        &self,
        key: &[u8],
        record: Record,
        failure: Failure,
        started: Instant,
    ) -> std::result::Result<(), Failure> {
        self.keep_onto(key, record, Onto::Anything, &failure, started).map(drop)
    }

    /// As [`Cache::keep`], while what is owed is still what `onto` says; whether it was.
    pub(super) fn keep_onto(
        &self,
        key: &[u8],
        record: Record,
        onto: Onto,
        failure: &Failure,
        started: Instant,
    ) -> std::result::Result<bool, Failure> {
        let Some(journal) = self.journal.as_ref().filter(|_| is_kept(failure.class)) else {
            return Err(Failure::new(failure.class, failure.to_string()));
        };
        let (is_closing, clock) = (|| false, record.clock);
        let kept = journal.owe_onto(key, record, onto, self.to_journal(started, &is_closing));
        if let (Ok(true), Some(recent)) = (&kept, &self.recent) {
            recent.overtake(key, clock);
        }
        let kept = kept.map_err(|refusal| match refusal.class {
            Class::Closed => refusal,
            _ => Failure::new(
                failure.class,
                format!("{failure} Nor could the write be kept for later: {refusal}"),
            ),
        })?;
        if kept {
            // A read that began before may not have seen that it is owed, and is to leave nothing that is trusted.
            self.bump(self.slot(key));
            count(&self.stats.owed_writes);
        }
        Ok(kept)
    }

    /// What is owed for `key`.
    pub(super) fn owed_record(&self, key: &[u8], started: Instant) -> Result<Option<Numbered>> {
        let Some(journal) = &self.journal else { return Ok(None) };
        let is_closing = || self.signal.is_closing();
        journal.find(key, self.to_journal(started, &is_closing)).map_err(Error::from)
    }

    fn to_journal<'a>(&self, started: Instant, is_closing: &'a (dyn Fn() -> bool + Sync)) -> Attempt<'a> {
        let deadline = started + Duration::from_millis(self.config.load().resilience.deadline_ms);
        Attempt { deadline: deadline.max(Instant::now()) + PATIENCE, is_closing }
    }

    /// What is known of L2's entry of `key` before it is written, whether or not it could still be checked. What is
    /// owed is not in L2: the journal remembers what it was made onto.
    pub(super) fn known(&self, key: &[u8], owed_before: Option<OwedBefore>) -> Known {
        let here = self.l1.get(key).filter(|_| owed_before.is_none());
        let here = here.filter(|here| !here.is_local() && here.is_alive(clock::coarse_ms()));
        here.map_or(Known::Nothing, |here| Known::Version(here.version()))
    }

    /// What is owed for `key` before it is written past the journal.
    pub(super) fn owed_before(&self, key: &[u8], started: Instant) -> Option<OwedBefore> {
        let is_closing = || false;
        // The other half is for L2.
        let half = Duration::from_millis(self.config.load().resilience.deadline_ms / 2);
        let attempt = Attempt { deadline: started + half, is_closing: &is_closing };
        // Unknown, it stays owed, and the replay finds that L2 has something newer.
        let owed = self.journal.as_ref()?.find(key, attempt).ok()??;
        let (number, Record { clock, base, .. }) = (owed.sequence, owed.record);
        Some(OwedBefore { number, clock, is_merged: base.is_some() })
    }

    /// What was `owed` is written over past the journal: an attempt at it that was given up must not arrive after that.
    pub(super) fn fence(
        &self,
        owed: Option<OwedBefore>,
        store: &dyn Store,
        attempt: Attempt<'_>,
    ) -> std::result::Result<(), Failure> {
        match &self.journal {
            Some(journal) if owed.is_some() => journal.fence(store, attempt),
            _ => Ok(()),
        }
    }

    /// L2 has something newer than what was `owed`.
    pub(super) fn settle(&self, key: &[u8], owed: Option<OwedBefore>, started: Instant) {
        if let (Some(journal), Some(OwedBefore { number, .. })) = (&self.journal, owed) {
            let is_closing = || false;
            let settled = journal.settle(key, number, self.to_journal(started, &is_closing));
            if let Err(failure) = settled {
                self.log.write(Level::Warn, "journal", || {
                    format!("A write that L2 has was not crossed out of the journal: {failure}")
                });
            }
        }
    }

    /// Whether a conditional write of `key` has to wait: what it is compared with has not reached L2.
    pub(super) fn is_held_up(&self, key: &[u8], started: Instant) -> Result<()> {
        let Some(journal) = &self.journal else { return Ok(()) };
        let is_closing = || self.signal.is_closing();
        let sequence = journal.sequence(key, self.to_journal(started, &is_closing));
        let is_free = sequence.map_err(Error::from)?.is_none();
        if is_free && self.to_be_made_again(key).map_err(Error::from)?.is_none() {
            return Ok(());
        }
        let message = "The newest write of this key is still owed to L2, so that no other can be compared with it; try \
                       again when tc_flush answers TC_OK.";
        Err(Error::new(Kind::L2Busy, message))
    }

    /// Whether [`Cache::owed`] reads a file, which others may keep locked, or a disk that hangs.
    pub(super) fn has_to_look_into_a_file(&self) -> bool {
        let may_be_owed = self.journal.as_ref().is_some_and(|journal| !journal.is_surely_empty());
        may_be_owed && self.config.load().resilience.journal_path.is_some()
    }

    /// What is owed answers for `key`, whatever L2 may say.
    pub(super) fn owed(&self, key: &[u8], started: Instant) -> Result<Option<Answer>> {
        let Some(journal) = &self.journal else { return Ok(None) };
        if journal.is_surely_empty() {
            return Ok(None);
        }
        let is_closing = || self.signal.is_closing();
        // Where the journal cannot be read nobody knows whether the key was removed.
        let found = journal.find(key, self.to_journal(started, &is_closing)).map_err(Error::from)?;
        found.map(|found| self.answer_for_l2(key, found, clock::unix_ms())).transpose()
    }

    /// A write that L2 is to have, as L2 would hold it when its window began at Unix time `since_ms`; `None` for a
    /// removal.
    pub(super) fn as_stored(&self, record: Record, since_ms: i64) -> Option<Stored> {
        let Record { change: Change::Set { bytes, lifetime }, clock, written_at_ms, .. } = record else {
            return None;
        };
        let version = self.version_there(&bytes, clock);
        Some(Stored { bytes, version, written_at_ms, lifetime, ends_at_ms: lifetime.ends_at_ms(since_ms) })
    }

    /// The version that a set of `bytes` at the hybrid time `clock` has in L2.
    pub(super) fn version_there(&self, bytes: &[u8], clock: u64) -> u64 {
        self.store.as_ref().map_or(clock, |store| store.version_of(bytes, clock))
    }

    pub(super) fn answer_for_l2(&self, key: &[u8], found: Numbered, since_ms: i64) -> Result<Answer> {
        let Some(stored) = self.as_stored(found.record, since_ms) else { return Ok(Answer::Absent) };
        count(&self.stats.degraded_reads);
        let is_it = |here: &Entry| here.version() == stored.version && here.is_alive(clock::coarse_ms());
        if let Some(here) = self.l1.get(key).filter(is_it) {
            return Ok(Answer::Degraded(here));
        }
        let Some((stored, flags)) = self.unsealed(key, stored, &self.config.load())? else {
            return Ok(Answer::Absent);
        };
        let slot = self.slot(key);
        let under = (slot, self.unverified_epoch(slot));
        as_entry(key, &stored, flags, under, &self.config.load()).map(Answer::Degraded)
    }

    /// Whether nothing is owed to L2, as far as can be known without waiting.
    pub(super) fn owes_nothing(&self) -> bool {
        let is_closing = || false;
        let soon = Attempt { deadline: Instant::now() + PATIENCE, is_closing: &is_closing };
        self.journals().all(|journal| journal.is_empty(soon).unwrap_or(false))
    }

    /// As [`Cache::owes_nothing`], and no file is looked into.
    pub(super) fn surely_owes_nothing(&self) -> bool {
        self.journals().all(Journal::is_surely_empty)
    }

    fn journals(&self) -> impl Iterator<Item = &Journal> {
        self.journal.as_ref().into_iter().chain(self.recent.as_ref().map(|recent| recent.again()))
    }

    /// Takes over the limits of the journal, and the address of what it is owed to.
    pub(super) fn configure_journal(&self, before: &Config, next: &Config) -> Result<()> {
        let Some(journal) = &self.journal else { return Ok(()) };
        let (was, is) = (identity(before), identity(next));
        if let Some(identity) = is.filter(|is| Some(is) != was.as_ref()) {
            let is_closing = || self.signal.is_closing();
            let attempt = Attempt { deadline: Instant::now() + UNHURRIED, is_closing: &is_closing };
            journal.rename(&identity, attempt).map_err(Error::from)?;
        }
        journal.configure(next.resilience.journal_max_bytes, next.resilience.journal_max_entries);
        Ok(())
    }

    /// Lets go of the journal, and says what is left in it.
    pub(super) fn close_journal(&self) {
        let Some(journal) = &self.journal else { return };
        let is_closing = || false;
        let soon = Attempt { deadline: Instant::now() + PATIENCE, is_closing: &is_closing };
        if let Ok(owed) = journal.close(soon)
            && owed.entries > 0
        {
            let entries = owed.entries;
            match &self.config.load().resilience.journal_path {
                Some(path) => self.log.write(Level::Warn, "journal", || {
                    format!("Writes still owed to L2: {entries}; they are kept in {}.", path.display())
                }),
                None => self.log.write(Level::Error, "journal", || {
                    format!(
                        "Writes that L2 never took, lost with this cache: {entries}; resilience.journal_path keeps \
                         them."
                    )
                }),
            }
        }
        let again = self.recent.as_ref().map_or(0, |recent| recent.figures().again.entries);
        if again > 0 {
            self.log.write(Level::Error, "l2", || {
                format!(
                    "Writes that L2 had acknowledged, not made again on its new primary in time: {again}."
                )
            });
        }
    }

    pub(super) fn describe_journal(&self) -> Value {
        let Some(journal) = &self.journal else { return Value::Null };
        let is_closing = || false;
        let soon = Attempt { deadline: Instant::now() + PATIENCE, is_closing: &is_closing };
        let owed = journal.owed(soon).ok();
        let progress = journal.progress();
        json!({
            "owed_entries": owed.as_ref().map(|owed| owed.entries),
            "owed_bytes": owed.as_ref().map(|owed| owed.bytes),
            "is_replaying": self.replays.is_running.load(Ordering::Acquire),
            "replayed": progress.replayed.load(Ordering::Relaxed),
            "superseded": progress.superseded.load(Ordering::Relaxed),
            "failed": progress.failed.load(Ordering::Relaxed),
            "lost_files": self.replays.lost_files.load(Ordering::Relaxed),
            "reason": *lock(&self.replays.blind),
        })
    }
}
