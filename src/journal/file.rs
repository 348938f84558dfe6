//! What is owed, in a SQLite file that the processes of one machine share. A record is in the file when [`Ledger::owe`]
//! returns: it survives the death of every process, by whatever signal. Of what was written in the last moments before
//! the machine itself lost its power, the system may have kept nothing; what it kept is whole.

#![forbid(unsafe_code)]

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard};

use rusqlite::Connection;

use super::bounds::{Bounds, Owed};
use super::counter::Counter;
use super::crossed::CrossedOut;
use super::ledger::{Due, Ledger, Links, Sight, Turn};
use super::record::{Numbered, Onto, Record};
use super::rows::{self, State};
use super::turn::FileTurn;
use crate::clock;
use crate::error::Result as Outcome;
use crate::l2::sqlite::pool::Pool;
use crate::l2::sqlite::sidecar::{Identity, Sidecar};
use crate::l2::{Attempt, Class, Failure};
use crate::runtime::lock;

/// Records in a file.
pub(super) struct File {
    pool: Pool,
    lock: Sidecar,
    /// Of the L2 that it belongs to.
    identity: RwLock<String>,
    counter: Counter,
    seen: Mutex<Seen>,
    crossed_out: CrossedOut,
}

/// What this process has seen of the file.
#[derive(Default)]
struct Seen {
    file: Option<Identity>,
    /// How many records were in it, once that is known.
    entries: Option<u64>,
    /// How many were in those that are gone, until somebody is told.
    lost: Option<u64>,
}

impl File {
    /// The journal at `path` of the L2 that `identity` names. The file is opened when it is needed.
    pub fn new(path: PathBuf, identity: String) -> Outcome<File> {
        let pool = Pool::new(path, &rows::SCHEMA);
        let counter = Counter::new(pool.path().to_owned())?;
        let lock = Sidecar::new(pool.path().to_owned(), "-replay");
        Ok(File {
            pool,
            lock,
            identity: identity.into(),
            counter,
            seen: Mutex::default(),
            crossed_out: CrossedOut::default(),
        })
    }

    /// Makes sure that the file is one that this cache can use, and brings the counter up to date.
    pub fn check(&self, attempt: Attempt<'_>) -> Result<(), Failure> {
        self.change(attempt, |_, _| Ok(Ok(())))
    }

    /// Runs `work` in a transaction of its own, and keeps what it makes of the state.
    fn change<T>(
        &self,
        attempt: Attempt<'_>,
        mut work: impl FnMut(&Connection, &mut State) -> rusqlite::Result<Result<T, Failure>>,
    ) -> Result<T, Failure> {
        self.pool.write(attempt, |connection| {
            // Not before the lock of the file is had: whoever has the right to write may be about to rename.
            let identity = self.identity();
            let found = rows::state(connection)?;
            let mut state = match &found {
                Some(state) if state.identity != *identity => {
                    // What it counts is none of ours.
                    self.counter.forget();
                    return Ok(Err(self.another(state, &identity)));
                }
                Some(state) => state.clone(),
                None => State { identity: identity.clone(), owed: Owed::default(), last_sequence: 0 },
            };
            if let Err(failure) = self.counter.prepare() {
                return Ok(Err(failure));
            }
            self.notice();
            let answer = work(connection, &mut state)?;
            if found.as_ref() != Some(&state) {
                rows::keep_state(connection, &state)?;
            }
            lock(&self.seen).entries = Some(state.owed.entries);
            // Others are kept out until the commit, and it may fail: never less than what may be there.
            let before = found.map_or(0, |before| before.owed.entries);
            self.counter.tell(before.max(state.owed.entries));
            Ok(answer)
        })?
    }

    /// Notices that the file is another one than before. Answers whether it is there.
    fn notice(&self) -> bool {
        let Ok(about) = fs::metadata(self.pool.path()) else { return false };
        let now = Identity::of(&about);
        let mut seen = lock(&self.seen);
        if seen.file.replace(now).is_some_and(|before| before != now) {
            self.lose(&mut seen);
        }
        true
    }

    /// Whether the file is not there, and nothing was owed in it when it went: until it is there again nobody owes.
    fn is_away(&self) -> bool {
        lock(&self.seen).entries == Some(0)
            && fs::metadata(self.pool.path()).is_err_and(|error| error.kind() == ErrorKind::NotFound)
    }

    /// What was in the file is gone, and its numbers are given again.
    fn lose(&self, seen: &mut Seen) {
        // The word beside it is of the old one, unless another process was here before.
        let gone = seen.entries.max(self.counter.load()).unwrap_or(0);
        seen.lost = Some(seen.lost.unwrap_or(0).saturating_add(gone));
        self.crossed_out.clear();
    }

    /// What was lost with a file that is gone, told once.
    fn lost(&self) -> Option<Failure> {
        let entries = lock(&self.seen).lost.take()?;
        let path = self.pool.path().display();
        let message = format!(
            "The journal {path} or its log was removed or replaced while it was open, and with it up to {entries} writes \
             that were owed to L2; what the file in its place holds is owed from now on."
        );
        Some(Failure::new(Class::Unreachable, message))
    }

    /// Deletes of these records those that are `due`.
    fn delete(
        &self,
        records: &[(&[u8], u64)],
        due: impl Fn(&[u8], u64) -> bool,
        attempt: Attempt<'_>,
    ) -> Result<Vec<u64>, Failure> {
        self.change(attempt, |connection, state| {
            let mut forgotten = Vec::with_capacity(records.len());
            for (key, sequence) in records.iter().filter(|(key, sequence)| due(key, *sequence)) {
                let found = rows::outline(connection, key)?;
                let Some(found) = found.filter(|found| found.sequence == *sequence) else { continue };
                rows::delete(connection, *sequence)?;
                state.owed.entries = state.owed.entries.saturating_sub(1);
                state.owed.bytes = state.owed.bytes.saturating_sub(found.cost_bytes);
                forgotten.push(*sequence);
            }
            Ok(Ok(forgotten))
        })
    }

    /// Tries again to delete what could not be.
    fn delete_crossed_out(&self, attempt: Attempt<'_>) {
        let crossed_out = self.crossed_out.all();
        let records: Vec<_> = crossed_out.iter().map(|(key, sequence)| (&key[..], *sequence)).collect();
        // Asked in the transaction, which notices a file that was put in the place of theirs.
        let due = |key: &[u8], sequence| self.crossed_out.has(key, sequence);
        if !records.is_empty() && self.delete(&records, due, attempt).is_ok() {
            self.crossed_out.forget(&crossed_out);
        }
    }

    /// Whether the file that is there now has a record only because it cannot be deleted.
    fn is_crossed_out(&self, key: &[u8], sequence: u64) -> bool {
        self.crossed_out.has(key, sequence) && self.notice() && self.crossed_out.has(key, sequence)
    }

    /// Only within a call of SQLite, or where none follows: before it a fork may be waited for, which waits for a new name
    /// to be given, which waits here.
    fn identity(&self) -> RwLockReadGuard<'_, String> {
        self.identity.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn another(&self, found: &State, ours: &str) -> Failure {
        let (path, there) = (self.pool.path().display(), &found.identity);
        let way_out = match found.owed.entries {
            0 => "nothing is owed in it, so remove the file where this L2 has moved".to_owned(),
            owed => format!(
                "{owed} writes are owed in it, so where this L2 has moved open it under the old address and have \
                 tc_configure name the new one"
            ),
        };
        let message = format!(
            "The journal {path} is that of another L2 ({there}), and not of {ours}; {way_out}, else give each L2 and \
             key_prefix a resilience.journal_path of its own."
        );
        Failure::new(Class::Protocol, message)
    }
}

impl Ledger for File {
    fn owe(
        &self,
        key: &[u8],
        record: Record,
        onto: Onto,
        bounds: &Bounds,
        attempt: Attempt<'_>,
    ) -> Result<bool, Failure> {
        let cost_bytes = record.cost_bytes(key.len());
        self.change(attempt, |connection, state| {
            let now_ms = clock::unix_ms();
            let mut before = rows::outline(connection, key)?;
            let owed = before.as_ref().map(|before| before.sequence);
            if !onto.is(owed.filter(|sequence| !self.crossed_out.has(key, *sequence))) {
                return Ok(Ok(false));
            }
            let freed = |before: &Option<rows::Outline>| before.as_ref().map(|before| before.cost_bytes);
            let mut owed = bounds.admit(state.owed, cost_bytes, freed(&before));
            if owed.is_err() {
                state.owed.bytes = state.owed.bytes.saturating_sub(rows::bury_ended(connection, now_ms)?);
                before = rows::outline(connection, key)?;
                owed = bounds.admit(state.owed, cost_bytes, freed(&before));
            }
            match owed {
                Ok(owed) => state.owed = owed,
                Err(full) => return Ok(Err(full)),
            }
            state.last_sequence += 1;
            let (clock, known) = record.following(before.map(|it| (it.clock, it.known)), now_ms);
            rows::put(connection, key, state.last_sequence, clock, known, &record)?;
            if let Some(link) = record.link {
                rows::add_link(connection, link)?;
            }
            Ok(Ok(true))
        })
    }

    fn find(&self, key: &[u8], attempt: Attempt<'_>) -> Result<Option<Numbered>, Failure> {
        let found = self.pool.read(attempt, |connection| {
            let ours = self.identity();
            let found = rows::find(connection, key, &ours)?;
            if found.is_none() && rows::outline(connection, key)?.is_some() {
                // Somebody has led it to another address: what is owed is owed there, and not forgotten here.
                let moved = rows::state(connection)?.filter(|state| state.identity != *ours);
                return Ok(moved.map_or(Ok(None), |state| Err(self.another(&state, &ours))));
            }
            Ok(Ok(found))
        })??;
        Ok(found.filter(|found| !self.is_crossed_out(key, found.sequence)))
    }

    fn sequence(&self, key: &[u8], attempt: Attempt<'_>) -> Result<Option<u64>, Failure> {
        let outline = self.pool.read(attempt, |connection| rows::outline(connection, key))?;
        let sequence = outline.map(|outline| outline.sequence);
        Ok(sequence.filter(|sequence| !self.is_crossed_out(key, *sequence)))
    }

    fn settle(&self, settled: &[(&[u8], u64)], attempt: Attempt<'_>) -> Result<Vec<u64>, Failure> {
        self.delete(settled, |_, _| true, attempt).inspect_err(|failure| {
            // Not where the file is that of another L2 by now, which is to have them as well.
            if failure.class != Class::Protocol {
                self.crossed_out.add(settled);
            }
        })
    }

    fn batch(&self, after: u64, limit: usize, attempt: Attempt<'_>) -> Result<Vec<Due>, Failure> {
        if after == 0 {
            self.delete_crossed_out(attempt);
        }
        let (mut after, mut is_left_out) = (after, false);
        loop {
            let read = |connection: &_| rows::batch(connection, after, limit, &self.identity());
            let mut batch = self.pool.read(attempt, read)?;
            let Some(last) = batch.last() else { break };
            after = last.sequence;
            batch.retain(|due| !self.is_crossed_out(&due.key, due.sequence));
            if !batch.is_empty() {
                return Ok(batch);
            }
            is_left_out = true;
        }
        if is_left_out {
            let message = "What L2 has by now cannot be crossed out of the journal yet.";
            return Err(Failure::new(Class::Busy, message));
        }
        if self.counter.load().is_some_and(|entries| entries > 0) {
            // The settling of the last one has left the counter as it was before.
            self.check(attempt)?;
        }
        Ok(Vec::new())
    }

    fn links(&self, attempt: Attempt<'_>) -> Result<Links, Failure> {
        self.pool.read(attempt, |connection| {
            // First: a link that is added in between is looked up again.
            let last_sequence = rows::state(connection)?.map_or(0, |state| state.last_sequence);
            Ok(Links { ids: rows::links(connection)?, last_sequence })
        })
    }

    fn forget_links(&self, links: &Links, attempt: Attempt<'_>) -> Result<(), Failure> {
        self.change(attempt, |connection, state| {
            if state.last_sequence != links.last_sequence {
                return Ok(Ok(()));
            }
            links.ids.iter().try_for_each(|link| rows::delete_link(connection, *link)).map(Ok)
        })
    }

    fn bury_ended(&self, attempt: Attempt<'_>) -> Result<(), Failure> {
        self.change(attempt, |connection, state| {
            let freed_bytes = rows::bury_ended(connection, clock::unix_ms())?;
            state.owed.bytes = state.owed.bytes.saturating_sub(freed_bytes);
            Ok(Ok(()))
        })
    }

    fn entries(&self) -> Option<u64> {
        self.counter.load()
    }

    fn owed(&self, attempt: Attempt<'_>) -> Result<Owed, Failure> {
        let state = match self.pool.read(attempt, rows::state) {
            Err(_) if self.is_away() => None,
            state => state?,
        };
        // Also where somebody has led it to another address.
        let owed = state.map_or_else(Owed::default, |state| state.owed);
        let mut seen = lock(&self.seen);
        // It may be another file already, and what was in the one before is told yet.
        seen.entries = seen.entries.max(Some(owed.entries));
        Ok(owed)
    }

    fn look(&self, attempt: Attempt<'_>) -> Sight {
        if self.pool.was_cut() {
            self.lose(&mut lock(&self.seen));
        }
        let is_there = self.notice();
        let mut counted = self.counter.look();
        let is_known = counted.is_err() || self.counter.load().is_some();
        if !is_there || !is_known || lock(&self.seen).lost.is_some() {
            // Also makes the file anew, so that what it owed is not missed later.
            match self.check(attempt) {
                Err(failure) if !matches!(failure.class, Class::Busy | Class::Timeout) => {
                    counted = Err(failure)
                }
                _ => {}
            }
        }
        if let entries @ Some(_) = self.counter.load().or_else(|| self.counter.left()) {
            lock(&self.seen).entries = entries;
        }
        Sight { lost: self.lost(), blind: counted.err() }
    }

    fn claim(&self) -> Result<Option<Turn>, Failure> {
        Ok(FileTurn::take(&self.lock)?.map(|turn| Box::new(turn) as Turn))
    }

    fn rename(&self, identity: &str, attempt: Attempt<'_>) -> Result<(), Failure> {
        let mut held = None;
        self.pool.write(attempt, |connection| {
            // From the lock of the file until it is done, so that no call of this process falls between the two names, nor
            // waits here as long as the file does.
            held = None;
            let ours = self.identity.write().unwrap_or_else(PoisonError::into_inner);
            let ours = held.insert(ours);
            match rows::state(connection)? {
                Some(state) if state.identity == **ours => {
                    rows::keep_state(connection, &State { identity: identity.to_owned(), ..state }).map(Ok)
                }
                Some(state) if state.identity != identity => Ok(Err(self.another(&state, ours))),
                _ => Ok(Ok(())),
            }
        })??;
        if let Some(mut ours) = held {
            identity.clone_into(&mut ours);
        }
        // It is owed to the L2 of the new name.
        self.crossed_out.clear();
        Ok(())
    }

    fn close(&self, attempt: Attempt<'_>) -> Result<Owed, Failure> {
        let owed = self.owed(attempt);
        self.pool.close();
        owed
    }
}
