//! Brings to L2 what is owed to it.

#![forbid(unsafe_code)]

use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use super::ledger::Due;
use super::record::Change;
use super::verdict::{Because, Verdict, is_old, verdict};
use super::{Journal, Turn};
use crate::l2::replay::{Target, Write};
use crate::l2::{Attempt, Class, Failure};
use crate::log::{Level, Logger};
use crate::stats::count;

/// Records read at once.
const BATCH: usize = 64;

/// How often somebody else may come between a look and a write before a record waits for the next pass.
const LOOKS: usize = 8;

/// A key of the library's own, which does not exist.
const PROBED: &[u8] = b"__tokencache:probe";

/// What the replays of a process have done, for `tc_stats`.
#[derive(Debug, Default)]
pub struct Progress {
    /// Writes that reached L2.
    pub replayed: AtomicU64,
    /// Writes that lost against what was there.
    pub superseded: AtomicU64,
    /// Writes that L2 did not take, each time that it did not.
    pub failed: AtomicU64,
}

/// What one pass has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pass {
    /// Writes that reached L2.
    pub replayed: u64,
    /// Writes that lost against what was there.
    pub superseded: u64,
    /// Writes that stay owed, although L2 answers.
    pub refused: u64,
}

/// How a replay is done.
pub struct Replay<'a, T: ?Sized> {
    /// L2.
    pub target: &'a T,
    /// What it puts in front of a key.
    pub key_prefix: &'a [u8],
    /// How long one question may take.
    pub patience: Duration,
    /// Ends the pass early.
    pub is_closing: &'a (dyn Fn() -> bool + Sync),
    /// Told of each key before it is settled: L2 has the last word again, and what L1 holds is to be read anew.
    pub decided: &'a (dyn Fn(&[u8]) + Sync),
    /// Hears of what was lost.
    pub log: &'a Logger,
}

enum End {
    Written,
    Lost(Because),
    /// Others write the key again and again.
    Contended,
}

impl<T: Target + ?Sized> Replay<'_, T> {
    /// Replays everything that is owed, oldest first, and what comes meanwhile. What L2 refuses for itself, by what lies
    /// there or for want of room, stays owed and holds up nothing else; when there is no room, removals still go.
    ///
    /// # Errors
    /// The first failure that is not about one key, of L2 or of the journal. What was done until then is done.
    pub fn run(&self, turn: &Turn<'_>) -> Result<Pass, Failure> {
        let mut pass = Pass::default();
        let ended = self.work(turn, &mut pass);
        let Pass { replayed, superseded, refused } = pass;
        if superseded > 0 || refused > 0 {
            self.log.write(Level::Warn, "journal", || {
                format!(
                    "Of what was owed to L2, {replayed} writes were replayed, {superseded} lost against what was \
                     there, and {refused} stay owed because L2 refuses them or others write their keys all the time."
                )
            });
        }
        ended.map(|()| pass)
    }

    fn work(&self, turn: &Turn<'_>, pass: &mut Pass) -> Result<(), Failure> {
        let journal = turn.journal;
        let (mut after, mut is_full) = (0, false);
        loop {
            let batch = turn.batch(after, BATCH, self.attempt())?;
            let Some(last) = batch.last() else { return Ok(()) };
            after = last.sequence;
            for due in &batch {
                if is_full && !matches!(due.record.change, Change::Remove) {
                    pass.refused += 1;
                    continue;
                }
                match self.decide(due) {
                    Ok(end) => self.settle(journal, due, end, pass)?,
                    Err(failure) => {
                        count(&journal.progress.failed);
                        is_full |= failure.class == Class::Full;
                        self.refuse(journal, due, failure, pass)?;
                    }
                }
            }
        }
    }

    /// Looks, and writes what wins.
    fn decide(&self, due: &Due) -> Result<End, Failure> {
        let key = [self.key_prefix, &due.key].concat();
        let record = &due.record;
        let write =
            Write { value: record.change.value(), clock: record.clock, written_at_ms: record.written_at_ms };
        for _ in 0..LOOKS {
            let seen = self.target.look(&key, self.attempt())?;
            if let Verdict::Lose(because) = verdict(record, seen.present, self.target.now_ms()) {
                return Ok(End::Lost(because));
            }
            if self.target.replay(&key, &write, &seen, self.attempt())? {
                return Ok(End::Written);
            }
        }
        Ok(End::Contended)
    }

    /// L2 has failed: for this record alone, or `Err` for all.
    fn refuse(&self, journal: &Journal, due: &Due, failure: Failure, pass: &mut Pass) -> Result<(), Failure> {
        match failure.class {
            Class::Full => {}
            Class::Protocol => {
                // One that answers nothing sensibly any more fails here too.
                self.target.look(&[self.key_prefix, PROBED].concat(), self.attempt())?;
                // What nothing but a person can mend must not keep the journal from ever being empty.
                if is_old(&due.record, self.target.now_ms()) {
                    return self.settle(journal, due, End::Lost(Because::Refused), pass);
                }
            }
            _ => return Err(failure),
        }
        pass.refused += 1;
        self.log.write(Level::Info, "journal", || {
            format!("The owed write of {} stays owed: {failure}", self.log.key(&due.key))
        });
        Ok(())
    }

    fn settle(&self, journal: &Journal, due: &Due, end: End, pass: &mut Pass) -> Result<(), Failure> {
        match end {
            End::Written => {
                pass.replayed += 1;
                count(&journal.progress.replayed);
            }
            End::Lost(because) => {
                pass.superseded += 1;
                count(&journal.progress.superseded);
                self.log.write(Level::Info, "journal", || {
                    let key = self.log.key(&due.key);
                    format!("The owed write of {key} was given up: {}.", because.words())
                });
            }
            End::Contended => {
                pass.refused += 1;
                return Ok(());
            }
        }
        (self.decided)(&due.key);
        // A later write of the key stays owed.
        journal.settle(&due.key, due.sequence, self.attempt()).map(drop)
    }

    fn attempt(&self) -> Attempt<'_> {
        Attempt { deadline: Instant::now() + self.patience, is_closing: self.is_closing }
    }
}
