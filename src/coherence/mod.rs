//! Other people's changes, turned into epochs: whether we hear of them, since when, and what it means for what L1
//! has. Redis tells us itself; the processes that share a SQLite file tell each other by a table beside it.

#![forbid(unsafe_code)]

mod shared;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use serde_json::{Value, json};

use crate::epoch::{self, Epoch, EpochTable, Reach};
use crate::error::Result;
use crate::l2::{Failure, Hearing, Mark, OWN, Witness};
use crate::log::{Level, Logger};
use crate::stats::count;
use crate::sync::{Mutex, MutexGuard, lock};
use shared::Shared;

/// What is known of the changes that others make to the L2 of one cache.
pub struct Coherence {
    /// The counters by which an entry of L1 is trusted.
    pub epochs: EpochTable,
    prefix_len: usize,
    status: Mutex<Status>,
    shared: Option<Shared>,
    /// Everything has changed there, and whether because its server becomes a replica of another is still to be seen.
    is_emptied: AtomicBool,
    heard: AtomicU64,
    lost: AtomicU64,
    restored: AtomicU64,
    log: Arc<Logger>,
}

/// Whether changes are heard of.
struct Status {
    hearing: Hearing,
    since: Instant,
    reason: String,
}

impl Coherence {
    /// For an L2 that tells us of changes itself, whose keys begin with a prefix of `prefix_len` bytes.
    ///
    /// # Errors
    /// `OutOfMemory`.
    pub fn told(prefix_len: usize, log: &Arc<Logger>) -> Result<Coherence> {
        Coherence::new(prefix_len, Reach::Own, None, log)
    }

    /// For the processes that share the database at `path`, whose keys begin with `prefix` there.
    ///
    /// # Errors
    /// `OutOfMemory`.
    pub fn shared(path: PathBuf, prefix: &[u8], log: &Arc<Logger>) -> Result<Coherence> {
        Coherence::new(prefix.len(), Reach::Shared, Some(Shared::new(path, prefix)), log)
    }

    fn new(prefix_len: usize, reach: Reach, shared: Option<Shared>, log: &Arc<Logger>) -> Result<Coherence> {
        let status =
            Status { hearing: Hearing::NotYet, since: Instant::now(), reason: "no link to L2 yet".into() };
        Ok(Coherence {
            epochs: EpochTable::new(reach)?,
            prefix_len,
            status: Mutex::new(status),
            shared,
            is_emptied: false.into(),
            heard: 0.into(),
            lost: 0.into(),
            restored: 0.into(),
            log: Arc::clone(log),
        })
    }

    /// Checks what can be lost without a word: the file that processes share. To be called at each heartbeat.
    pub fn look(&self) {
        if let Some(shared) = &self.shared {
            self.settled(shared.look(&self.epochs));
        }
    }

    /// Whether nobody is known to have changed anything in `slot` since `epoch`.
    #[must_use]
    pub fn slot_stands(&self, slot: u32, epoch: Epoch) -> bool {
        // In this order: its slot has moved when that is over.
        !self.is_emptied.load(Ordering::Acquire) && self.epochs.slot_stands(slot, epoch)
    }

    /// A read that is under way is looked at again before it is served, and joined by nobody: L2 may be another than the
    /// one that it asked, and not everything that makes it so is told. Those who share a file are left alone.
    pub fn doubt_reads_under_way(&self) {
        if self.shared.is_none() {
            self.epochs.bump_all();
        }
    }

    /// What has changed everything was no server that becomes a replica. A store tells us one thing after the other.
    fn was_emptied(&self) {
        if self.is_emptied.load(Ordering::Relaxed) {
            self.epochs.change_all();
            self.is_emptied.store(false, Ordering::Release);
        }
    }

    /// As one object of `tc_stats`.
    #[must_use]
    pub fn describe(&self) -> Value {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let status = self.status();
        json!({
            "feed": status.hearing.word(),
            "since_ms": u64::try_from(status.since.elapsed().as_millis()).unwrap_or(u64::MAX),
            "reason": status.reason,
            "changes_heard": load(&self.heard),
            "feeds_lost": load(&self.lost),
            "feeds_restored": load(&self.restored),
        })
    }

    fn status(&self) -> MutexGuard<'_, Status> {
        lock(&self.status)
    }

    /// The slot of a key.
    #[must_use]
    pub fn slot(&self, key: &[u8]) -> u32 {
        self.shared.as_ref().map_or_else(|| epoch::slot(key), |shared| shared.slot_of(key))
    }

    /// The slot of a key as L2 knows it; none for what is the library's own.
    fn stored_slot(&self, stored_key: &[u8]) -> Option<u32> {
        let key = self.own_key(stored_key)?;
        Some(epoch::slot(if self.shared.is_some() { stored_key } else { key }))
    }

    /// A key as L2 knows it, as callers do; none for what is the library's own.
    #[must_use]
    pub fn own_key<'a>(&self, stored_key: &'a [u8]) -> Option<&'a [u8]> {
        stored_key.get(self.prefix_len..).filter(|key| !key.starts_with(OWN))
    }

    fn settled(&self, settled: std::result::Result<(), Failure>) {
        match settled {
            Ok(()) => self.hears(),
            Err(failure) => self.is_deaf(Hearing::Refused, &failure),
        }
    }
}

impl Witness for Coherence {
    fn changed(&self, key: &[u8]) {
        count(&self.heard);
        self.may_have_changed(key);
    }

    fn may_have_changed(&self, key: &[u8]) {
        if let Some(slot) = self.stored_slot(key) {
            self.epochs.bump(slot);
        }
    }

    fn all_changed(&self) {
        count(&self.heard);
        self.is_emptied.store(true, Ordering::Release);
        self.epochs.bump_all();
        if self.shared.is_some() {
            self.was_emptied();
        }
    }

    fn has_parted(&self, is_demoted: bool) {
        if is_demoted {
            self.is_emptied.store(false, Ordering::Release);
        }
        self.was_emptied();
    }

    fn hears(&self) {
        self.was_emptied();
        let mut status = self.status();
        let is_news = self.epochs.feed();
        if status.hearing == Hearing::All {
            drop(status);
            if is_news {
                count(&self.lost);
                count(&self.restored);
                self.log.write(Level::Info, "coherence", || {
                    "The epoch file was another one; L1 is trusted by the new one from now on.".into()
                });
            }
            return;
        }
        let for_s = status.since.elapsed().as_secs_f64();
        let before = std::mem::replace(
            &mut *status,
            Status { hearing: Hearing::All, since: Instant::now(), reason: String::new() },
        );
        drop(status);
        if before.hearing != Hearing::NotYet {
            count(&self.restored);
            self.log.write(Level::Info, "coherence", || {
                format!("Changes of L2 are heard of again after {for_s:.1} s; L1 is trusted again.")
            });
        }
    }

    fn is_deaf(&self, hearing: Hearing, why: &Failure) {
        let mut status = self.status();
        self.epochs.starve();
        let was = status.hearing;
        if was == hearing && *status.reason == *why.message {
            return;
        }
        if was == Hearing::All {
            count(&self.lost);
        }
        let since = if was == Hearing::All { Instant::now() } else { status.since };
        *status = Status { hearing, since, reason: why.message.to_string() };
        drop(status);
        if was != hearing {
            let level =
                if was == Hearing::NotYet && hearing == Hearing::Lost { Level::Debug } else { Level::Warn };
            self.log.write(level, "coherence", || {
                format!("Changes of L2 are not heard of, so every hit of L1 is checked against it: {why}")
            });
        }
    }

    fn begins(&self, key: &[u8]) -> std::result::Result<Mark, Failure> {
        // Nobody keeps the library's own entries in L1.
        let (Some(shared), Some(slot)) = (&self.shared, self.stored_slot(key)) else {
            return Ok(Mark::default());
        };
        let begun = shared.begin(&self.epochs, slot);
        let (mark, verdict) = begun.inspect_err(|failure| self.is_deaf(Hearing::Refused, failure))?;
        self.settled(verdict);
        Ok(mark)
    }

    fn ends(&self, key: &[u8], mark: Mark) {
        if let (Some(shared), Some(slot)) = (&self.shared, self.stored_slot(key)) {
            shared.end(&self.epochs, slot, mark);
        }
    }

    fn settles(&self) {
        if let Some(shared) = &self.shared {
            self.settled(shared.settle(&self.epochs));
        }
    }
}
