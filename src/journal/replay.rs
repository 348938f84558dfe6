//! Brings to L2 what is owed to it.

#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::ledger::Due;
use super::progress::{Barred, Joined, Pass};
use super::recent::Moment;
use super::record::{Numbered, Onto, Record};
use super::verdict::{Because, Verdict, has_slid_out, is_old, verdict, verdict_again};
use super::{Journal, Turn};
use crate::clock;
use crate::defect;
use crate::entry::Secret;
use crate::l2::replay::{Answers, Present, Seen, Target, Write};
use crate::l2::{Attempt, Class, Failure};
use crate::log::{Level, Logger};
use crate::stats::count;

/// Records that are under way at once: a trip to L2 for each would be slow, and more would keep a server from others.
const BATCH: usize = 32;

/// How often somebody else may come between a look and a write before a record waits for the next pass.
const LOOKS: usize = 8;

/// A key of the library's own, which does not exist.
const PROBED: &[u8] = b"__tokencache:probe";

/// Why writes are replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// L2 has not taken them.
    Owed,
    /// It had, and its primary has changed since, or may have.
    Again,
}

/// Hears of a write of a key that L2 has now, and of when its replay began.
pub type Hears<'a> = dyn Fn(&[u8], &Record, Option<Moment>) + Sync + 'a;

/// How a replay is done.
pub struct Replay<'a, T: ?Sized> {
    /// Why.
    pub cause: Cause,
    /// L2.
    pub target: &'a T,
    /// What it puts in front of a key.
    pub key_prefix: &'a [u8],
    /// How long one question may take.
    pub patience: Duration,
    /// Ends the pass early.
    pub is_closing: &'a (dyn Fn() -> bool + Sync),
    /// Taken before L2 is asked what lies there, for `written`.
    pub moment: &'a (dyn Fn() -> Option<Moment> + Sync),
    /// Told of each key before it is settled: L2 has the last word again, and what L1 holds is to be read anew.
    pub decided: &'a (dyn Fn(&[u8]) + Sync),
    /// Whether what is to be made again cannot have been taken away with intent.
    pub is_sure: &'a (dyn Fn(&[u8]) -> bool + Sync),
    /// Told of each write that L2 has now.
    pub written: &'a Hears<'a>,
    /// Merges a record that has a base with what lies in L2 by now.
    pub join: &'a (dyn Fn(&Due) -> Result<Joined, Failure> + Sync),
    /// Hears of what was lost.
    pub log: &'a Logger,
}

enum End {
    Written,
    Kept,
    Lost(Because),
    Refused(Failure),
    /// Others write the key again and again.
    Contended,
}

impl Due {
    fn as_write<'a>(&'a self, cause: Cause, key: &'a [u8], seen: &'a Seen) -> Write<'a> {
        let Record { change, clock, written_at_ms, .. } = &self.record;
        let mut write = Write {
            key,
            seen,
            value: change.value(),
            clock: *clock,
            written_at_ms: *written_at_ms,
            ends_at_ms: None,
        };
        // What is owed could not be renewed by anybody, so that its window begins now; what is made again goes on.
        if cause != Cause::Owed {
            write.value = write.value.filter(|_| !has_slid_out(&self.record, clock::unix_ms()));
            let end = write.value.map(|(_, lifetime)| lifetime.ends_at_ms(*written_at_ms));
            write.ends_at_ms = end.filter(|end| *end != 0);
        }
        write
    }
}

type Ends<'d> = Vec<(&'d Due, End)>;

/// When it began, of each number.
type Moments = HashMap<u64, Option<Moment>>;

impl<T: Target + ?Sized> Replay<'_, T> {
    /// Replays everything that is owed, oldest first, and what comes meanwhile. What L2 refuses for itself, by what lies
    /// there, for want of room or of a right, stays owed and holds up nothing else.
    ///
    /// # Errors
    /// The first failure that is not about one key, of L2 or of the journal. What was done until then is done.
    pub fn run(&self, turn: &Turn<'_>) -> Result<Pass, Failure> {
        let mut pass = Pass::default();
        // What it answers over tells its time too: ours may have stepped since something was owed.
        let ended = self.must_answer().and_then(|()| self.work(turn, &mut pass));
        let Pass { replayed, superseded, refused, .. } = pass;
        // What is made again may take several passes, and is summed up by whoever asks for them.
        if self.cause == Cause::Owed && (superseded > 0 || refused > 0) {
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
        let (mut after, mut barred) = (0, Barred::default());
        loop {
            let batch = turn.batch(self.target.now_ms(), after, BATCH, self.attempt())?;
            let Some(last) = batch.last() else { return Ok(()) };
            after = last.sequence;
            defect::point("replay");
            turn.journal.fence(self.target, self.attempt())?;
            let moments = batch.iter().map(|due| (due.sequence, (self.moment)())).collect();
            let batch = self.still_owed(turn, batch)?;
            let tried: Vec<_> = batch.iter().filter(|due| barred.is_tried(&due.record.change)).collect();
            pass.refused += (batch.len() - tried.len()) as u64;
            let mut ends = Ends::new();
            let decided = self.decide(&self.join_each(tried, &mut ends), &mut ends);
            self.conclude(turn.journal, ends, &moments, pass, &mut barred)?;
            decided?;
        }
    }

    /// What of `batch` nothing newer has taken the place of before its moments were taken. What is owed in a file stays
    /// there until its replay, which is one at a time; what is made again may be overtaken, and that be brought by others.
    fn still_owed(&self, turn: &Turn<'_>, mut batch: Vec<Due>) -> Result<Vec<Due>, Failure> {
        if self.cause == Cause::Again {
            for due in std::mem::take(&mut batch) {
                if turn.journal.sequence(&due.key, self.attempt())? == Some(due.sequence) {
                    batch.push(due);
                }
            }
        }
        Ok(batch)
    }

    /// Merges what is to be merged, and answers the rest.
    fn join_each<'d>(&self, mut tried: Vec<&'d Due>, ends: &mut Ends<'d>) -> Vec<&'d Due> {
        tried.retain(|due| {
            let is_merged = due.record.base.is_some() && due.record.over.is_none();
            let end = if is_merged { self.merge(due) } else { None };
            let is_plain = end.is_none();
            ends.extend(end.map(|end| (*due, end)));
            is_plain
        });
        tried
    }

    /// What comes of a merge, where there is something to merge it with.
    fn merge(&self, due: &Due) -> Option<End> {
        match (self.join)(due) {
            Ok(Joined::Plain) => None,
            Ok(Joined::Written) => Some(End::Written),
            Ok(Joined::Removed) => Some(End::Lost(Because::Removed)),
            Ok(Joined::Overtaken) => Some(End::Kept),
            Ok(Joined::Contended) => Some(End::Contended),
            Err(failure) => Some(End::Refused(failure)),
        }
    }

    /// Looks, and writes what wins. On a failure of L2 as a whole, `ends` has what was done before.
    fn decide<'d>(&self, batch: &[&'d Due], ends: &mut Ends<'d>) -> Result<(), Failure> {
        let stored = |due: &'d Due| (due, [self.key_prefix, &due.key].concat());
        let mut open: Vec<_> = batch.iter().copied().map(stored).collect();
        for _ in 0..LOOKS {
            if open.is_empty() {
                return Ok(());
            }
            let keys: Vec<_> = open.iter().map(|(_, key)| &key[..]).collect();
            let seen = self.target.look(&keys, self.attempt())?;
            let now_ms = self.target.now_ms();
            let mut winning = Vec::new();
            for ((due, key), seen) in open.into_iter().zip(seen) {
                match seen.map(|seen| (self.verdict(due, seen.present, now_ms), seen)) {
                    Ok((Verdict::Write, seen)) => winning.push((due, key, seen)),
                    Ok((Verdict::Keep, _)) => ends.push((due, End::Kept)),
                    Ok((Verdict::Lose(because), _)) => {
                        let merged = due.record.over.and_then(|_| self.merge(due));
                        ends.push((due, merged.unwrap_or(End::Lost(because))));
                    }
                    Err(failure) => ends.push((due, End::Refused(failure))),
                }
            }
            open = self.write(winning, ends)?;
        }
        ends.extend(open.into_iter().map(|(due, _)| (due, End::Contended)));
        Ok(())
    }

    fn verdict(&self, due: &Due, present: Present, now_ms: i64) -> Verdict {
        match self.cause {
            Cause::Owed => verdict(&due.record, present, now_ms),
            Cause::Again => verdict_again(&due.record, present, now_ms, (self.is_sure)(&due.key)),
        }
    }

    /// Writes, and answers what has to be looked at again.
    fn write<'d>(
        &self,
        winning: Vec<(&'d Due, Vec<u8>, Seen)>,
        ends: &mut Ends<'d>,
    ) -> Result<Vec<(&'d Due, Vec<u8>)>, Failure> {
        let mut again = Vec::new();
        if winning.is_empty() {
            return Ok(again);
        }
        let writes: Vec<_> =
            winning.iter().map(|(due, key, seen)| due.as_write(self.cause, key, seen)).collect();
        let written = match self.target.replay(&writes, self.attempt()) {
            Err(failure) if matches!(failure.class, Class::Unreachable | Class::Timeout) => {
                self.write_each(&writes, failure)?
            }
            written => written?,
        };
        for ((due, key, _), written) in winning.into_iter().zip(written) {
            match written {
                Ok(true) => ends.push((due, End::Written)),
                Ok(false) => again.push((due, key)),
                Err(failure) => ends.push((due, End::Refused(failure))),
            }
        }
        Ok(again)
    }

    /// Writes one by one, after `failure` of all, where L2 answers nevertheless: it may break off at one of them.
    fn write_each(&self, writes: &[Write<'_>], failure: Failure) -> Answers<bool> {
        self.must_answer().map_err(|_| failure)?;
        let one = |write: &Write<'_>| match self.target.replay(&[*write], self.attempt()) {
            Ok(mut written) => Ok(written.remove(0)),
            Err(failure) => {
                self.must_answer()?;
                Ok(Err(Failure::new(Class::Protocol, format!("L2 breaks off when it is sent: {failure}"))))
            }
        };
        writes.iter().map(one).collect()
    }

    fn must_answer(&self) -> Result<(), Failure> {
        let probed = self.target.look(&[&[self.key_prefix, PROBED].concat()], self.attempt())?;
        probed.into_iter().try_for_each(|probed| probed.map(drop))
    }

    /// Counts, tells, and settles what has been decided.
    fn conclude(
        &self,
        journal: &Journal,
        ends: Ends<'_>,
        moments: &Moments,
        pass: &mut Pass,
        barred: &mut Barred,
    ) -> Result<(), Failure> {
        let mut settled = Vec::with_capacity(ends.len());
        let (mut written, mut kept, mut lost, mut arrived, mut failed) = (0, 0, vec![], vec![], None);
        let tell = |due: &Due| {
            let moment = moments.get(&due.sequence).copied().flatten();
            (self.written)(&due.key, &due.record, moment);
        };
        for (due, end) in ends {
            let end = match end {
                End::Refused(failure) => self.weigh(journal, due, failure),
                end => Ok(end),
            };
            match end {
                Ok(End::Written) => {
                    written += 1;
                    arrived.push(due);
                    tell(due);
                }
                Ok(End::Kept) => {
                    kept += 1;
                    tell(due);
                }
                Ok(End::Lost(because)) => lost.push((due, because)),
                Ok(refused @ (End::Contended | End::Refused(_))) => {
                    pass.refused += 1;
                    if let End::Refused(failure) = refused {
                        barred.add(&due.record.change, failure.class);
                    }
                    continue;
                }
                Err(failure) => {
                    failed.get_or_insert(failure);
                    continue;
                }
            }
            (self.decided)(&due.key);
            settled.push((&due.key[..], due.sequence));
        }
        // A later write of a key stays owed.
        let crossed_out =
            if settled.is_empty() { Ok(Vec::new()) } else { journal.ledger.settle(&settled, self.attempt()) };
        let crossed_out = match crossed_out {
            Ok(crossed_out) => crossed_out,
            // On a disk that is full nothing can be taken away either. What is owed behind it must not wait for that.
            Err(failure) => {
                self.log.write(Level::Warn, "journal", || {
                    format!("What L2 has by now cannot be crossed out yet: {failure}")
                });
                if failure.class == Class::Protocol {
                    pass.refused += settled.len() as u64;
                    return failed.map_or(Ok(()), Err);
                }
                Vec::new()
            }
        };
        pass.replayed += written;
        journal.progress.replayed.fetch_add(written, Ordering::Relaxed);
        pass.kept += kept;
        journal.progress.kept.fetch_add(kept, Ordering::Relaxed);
        pass.superseded += lost.len() as u64;
        for (due, because) in lost {
            count(&journal.progress.superseded);
            self.log.write(Level::Info, "journal", || {
                let (key, because) = (self.log.key(&due.key), because.words());
                match self.cause {
                    Cause::Owed => format!("The owed write of {key} was given up: {because}."),
                    Cause::Again => format!("{key} is not written again: {because}."),
                }
            });
        }
        // What was crossed out nothing has started from: what is owed since has a base of its own.
        for due in arrived.into_iter().filter(|due| !crossed_out.contains(&due.sequence)) {
            self.rebase(journal, due)?;
        }
        failed.map_or(Ok(()), Err)
    }

    /// L2 has what `written` was, and a later record of its key that is to be merged has started from that: what is not in
    /// it any more was removed.
    fn rebase(&self, journal: &Journal, written: &Due) -> Result<(), Failure> {
        let (Some(_), Some((bytes, _))) = (&written.record.base, written.record.change.value()) else {
            return Ok(());
        };
        while let Some(Numbered { sequence, record }) = journal.find(&written.key, self.attempt())? {
            // Over another write since, it has started from that.
            if record.base.is_none() || record.over != written.record.over {
                return Ok(());
            }
            let Some(base) = Secret::copy(bytes) else { return Ok(()) };
            let rebased = Record { base: Some(base), over: None, ..record };
            match journal.owe_onto(&written.key, rebased, Onto::Number(Some(sequence)), self.attempt()) {
                Ok(false) => {}
                Ok(true) => return Ok(()),
                // With the base it has it is merged as well; what was removed in between may come back.
                Err(failure) if failure.class == Class::Full => return Ok(()),
                Err(failure) => return Err(failure),
            }
        }
        Ok(())
    }

    /// L2 has refused a record: for itself alone, or `Err` for all.
    fn weigh(&self, journal: &Journal, due: &Due, failure: Failure) -> Result<End, Failure> {
        count(&journal.progress.failed);
        match failure.class {
            Class::Full => {}
            Class::Denied => self.must_answer()?,
            Class::Protocol => {
                // One that answers nothing sensibly any more fails here too.
                self.must_answer()?;
                // What nothing but a person can mend must not keep the journal from ever being empty.
                if is_old(&due.record, self.target.now_ms()) {
                    return Ok(End::Lost(Because::Refused));
                }
            }
            _ => return Err(failure),
        }
        self.log.write(Level::Info, "journal", || {
            format!("The owed write of {} stays owed: {failure}", self.log.key(&due.key))
        });
        Ok(End::Refused(failure))
    }

    fn attempt(&self) -> Attempt<'_> {
        Attempt { deadline: Instant::now() + self.patience, is_closing: self.is_closing }
    }
}
