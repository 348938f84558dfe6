//! When what is owed is brought to L2: on a worker, one replay at a time, with pauses that grow while nothing arrives.

#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::Cache;
use super::owed::{PATIENCE, UNHURRIED};
use crate::journal::{Cause, Pass, Replay, Sight};
use crate::l2::{Attempt, Failure};
use crate::log::Level;
use crate::runtime::lock;
use crate::stats::count;

/// How many times the pause between replays that bring nothing to L2 doubles.
const DOUBLINGS: u32 = 3;

/// The replays of one cache.
#[derive(Default)]
pub(super) struct Replays {
    pub is_running: AtomicBool,
    rest: Mutex<Rest>,
    /// Why reads have to look into the journal's file, as it was said last.
    pub blind: Mutex<String>,
    pub lost_files: AtomicU64,
    /// What had become of all that was made again when that was last told: there, written, lost.
    pub summed_up: Mutex<[u64; 3]>,
}

/// Between a replay that ended early, or brought nothing to L2, and the next.
#[derive(Default)]
struct Rest {
    until: Option<Instant>,
    vain: u32,
}

/// A cache is replaying, until this is dropped.
struct Replaying(Arc<Cache>);

impl Drop for Replaying {
    fn drop(&mut self) {
        self.0.replays.is_running.store(false, Ordering::Release);
        self.0.signal.notify();
    }
}

impl Cache {
    /// Looks whether the journal is the one that it was, and says once what is not as it should be.
    pub(super) fn look_at_journal(&self) {
        let Some(journal) = &self.journal else { return };
        let is_closing = || self.signal.is_closing();
        let soon = Attempt { deadline: Instant::now() + PATIENCE, is_closing: &is_closing };
        let Sight { lost, blind } = journal.look(soon);
        if let Some(lost) = lost {
            count(&self.replays.lost_files);
            self.log.write(Level::Warn, "journal", || lost.to_string());
        }
        let reason = blind.map(|failure| failure.to_string()).unwrap_or_default();
        let mut said = lock(&self.replays.blind);
        if *said == reason {
            return;
        }
        said.clone_from(&reason);
        drop(said);
        self.log.write(if reason.is_empty() { Level::Info } else { Level::Warn }, "journal", || {
            if reason.is_empty() {
                "The counter beside the journal can be used again.".into()
            } else {
                format!("Every read that L1 does not answer looks into the journal first: {reason}")
            }
        });
    }

    /// Brings to L2 what is owed to it, on a worker, unless it is known to be down.
    pub(super) fn replay(&self) {
        if self.owes_nothing() || self.circuit.is_open() || self.signal.is_closing() {
            return;
        }
        let is_early = lock(&self.replays.rest).until.is_some_and(|until| Instant::now() < until);
        if is_early || self.replays.is_running.swap(true, Ordering::AcqRel) {
            return;
        }
        let Some(replaying) = self.me.upgrade().map(Replaying) else { return };
        // Where no thread can be made now, the next tending tries again.
        let _ = self.runtime.workers.run(Box::new(move || replaying.0.replay_now()));
    }

    /// As [`Cache::replay`], also when the last one was a moment ago.
    pub(super) fn replay_soon(&self) {
        *lock(&self.replays.rest) = Rest::default();
        self.replay();
    }

    fn replay_now(&self) {
        let passed = self.replay_all();
        let mut rest = lock(&self.replays.rest);
        rest.vain = match &passed {
            Ok(pass) if pass.refused > 0 && pass.replayed == 0 => rest.vain.saturating_add(1),
            _ => 0,
        };
        let is_vain = passed.is_err() || rest.vain > 0;
        rest.until = is_vain.then(|| {
            let pause = Duration::from_millis(self.config.load().resilience.probe_ms);
            Instant::now() + pause * (1 << rest.vain.saturating_sub(1).min(DOUBLINGS))
        });
        drop(rest);
        if let Err(failure) = passed {
            self.log.write(Level::Debug, "journal", || format!("What is owed to L2 stays owed: {failure}"));
        }
    }

    fn replay_all(&self) -> std::result::Result<Pass, Failure> {
        let (Some(journal), Some(store)) = (&self.journal, &self.store) else { return Ok(Pass::default()) };
        let (config, has_probed) = (self.config.load(), AtomicBool::new(false));
        let replay = Replay {
            cause: Cause::Owed,
            target: store.as_ref(),
            key_prefix: config.l2.key_prefix.as_bytes(),
            patience: UNHURRIED,
            is_closing: &|| self.signal.is_closing(),
            moment: &|| self.moment(),
            decided: &|key| {
                self.probe_soon(store.as_ref(), &has_probed);
                self.bump(self.slot(key));
            },
            is_sure: &|_| true,
            written: &|key, record, since| self.remember_replay(key, record, since),
            join: &|due| self.join_owed(due, journal),
            log: &self.log,
        };
        let again = match &self.recent {
            Some(recent) => self.make_again(
                recent,
                &Replay {
                    cause: Cause::Again,
                    is_sure: &|key| recent.is_undoubted(key),
                    join: &|due| self.join_owed(due, recent.again()),
                    ..replay
                },
            )?,
            None => Pass::default(),
        };
        let Some(turn) = journal.claim_replay()? else { return Ok(again) };
        let pass = replay.run(&turn)?;
        Ok(Pass {
            replayed: pass.replayed + again.replayed + again.kept,
            refused: pass.refused + again.refused,
            ..pass
        })
    }
}
