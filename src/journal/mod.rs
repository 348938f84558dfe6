//! What this machine owes to L2: the newest write of each key that L2 has not taken, until a replay brings it there.
//! Keys are the callers' own, without the prefix that L2 puts in front.

#![forbid(unsafe_code)]

mod book;
mod bounds;
mod counter;
mod crossed;
mod file;
mod ledger;
mod memory;
mod progress;
mod recent;
mod record;
mod replay;
mod rows;
mod turn;
mod verdict;

use std::path::PathBuf;

pub use bounds::Owed;
pub use ledger::{Due, Sight};
pub use progress::{Joined, Pass, Progress};
pub use recent::{Extent, Moment, Recent};
pub use record::{Change, Known, Numbered, Onto, Record};
pub use replay::{Cause, Replay};
pub use verdict::{Because, Verdict, has_slid_out, is_later, is_old, merged_clock, verdict, verdict_again};

use crate::clock;
use crate::error::{Error, Kind, Result as Outcome};
use crate::l2::replay::Target;
use crate::l2::{Attempt, Class, Failure};
use bounds::Bounds;
use file::File;
use ledger::Ledger;
use memory::Memory;

/// What the configuration says of the journal.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its file; without one it is kept in memory.
    pub path: Option<PathBuf>,
    /// Bytes that may be owed: keys, values and what each record takes beside them.
    pub max_bytes: u64,
    /// Keys that may be owed.
    pub max_entries: u64,
}

/// What is owed. Any method may be called from any thread at any time.
pub struct Journal {
    ledger: Box<dyn Ledger>,
    bounds: Bounds,
    progress: Progress,
}

/// The right to replay, which one process has at a time.
pub struct Turn<'a> {
    journal: &'a Journal,
    _held: ledger::Turn,
}

impl Journal {
    /// The journal of the L2 that `identity` names: its kind, where it is, and the prefix of the keys. The text is kept
    /// in the file and shown to people.
    ///
    /// # Errors
    /// `InvalidConfig` for a file that cannot be used on this machine, or belongs to another L2. One that is busy until
    /// the deadline is looked at again when it is needed. `OutOfMemory`.
    pub fn open(settings: &Settings, identity: &str, attempt: Attempt<'_>) -> Outcome<Journal> {
        let ledger: Box<dyn Ledger> = match &settings.path {
            None => Box::new(Memory::default()),
            Some(path) => {
                let file = File::new(path.clone(), identity.to_owned())?;
                match file.check(attempt) {
                    Ok(()) => {}
                    Err(failure) if matches!(failure.class, Class::Busy | Class::Timeout) => {}
                    Err(failure) => return Err(unusable(&failure)),
                }
                Box::new(file)
            }
        };
        let bounds = Bounds::new(settings.max_bytes, settings.max_entries);
        Ok(Journal { ledger, bounds, progress: Progress::default() })
    }

    /// A journal in memory that no configuration speaks of.
    fn within(max_bytes: u64, max_entries: u64) -> Journal {
        let bounds = Bounds::new(max_bytes, max_entries);
        Journal { ledger: Box::new(Memory::default()), bounds, progress: Progress::default() }
    }

    /// Takes over the limits of a new configuration. What is owed already stays.
    pub fn configure(&self, max_bytes: u64, max_entries: u64) {
        self.bounds.set(max_bytes, max_entries);
    }

    /// What is owed is owed to `identity` from now on: the same L2, under another address. Processes that share the file
    /// cannot use it until they have heard of it too.
    ///
    /// # Errors
    /// What stops the file from being written, or that it belongs to a third. Then nothing has changed.
    pub fn rename(&self, identity: &str, attempt: Attempt<'_>) -> Result<(), Failure> {
        self.ledger.rename(identity, attempt)
    }

    /// Owes `record`, in the place of what was owed for `key`. It is kept when this returns.
    ///
    /// # Errors
    /// [`Class::Full`] beyond the limits, or what stops the file from being written. Then nothing has changed.
    pub fn owe(&self, key: &[u8], record: Record, attempt: Attempt<'_>) -> Result<(), Failure> {
        self.owe_onto(key, record, Onto::Anything, attempt).map(drop)
    }

    /// As [`Journal::owe`], while what is owed is still what `onto` says; whether it was.
    ///
    /// # Errors
    /// As for [`Journal::owe`].
    pub fn owe_onto(
        &self,
        key: &[u8],
        record: Record,
        onto: Onto,
        attempt: Attempt<'_>,
    ) -> Result<bool, Failure> {
        let clock = record::believable(record.clock, clock::unix_ms());
        self.ledger.owe(key, Record { clock, ..record }, onto, &self.bounds, attempt)
    }

    /// What is owed for `key`, as it is due now. A set that has ended is a removal: what lies in L2 is older.
    ///
    /// # Errors
    /// What stops the file from being read: nobody knows then whether the key was removed.
    pub fn find(&self, key: &[u8], attempt: Attempt<'_>) -> Result<Option<Numbered>, Failure> {
        if self.is_empty(attempt)? {
            return Ok(None);
        }
        let found = self.ledger.find(key, attempt)?;
        let now_ms = clock::unix_ms();
        Ok(found.map(|found| Numbered { record: found.record.due(now_ms), ..found }))
    }

    /// The number of what is owed for `key`. Whoever writes to L2 past the journal asks for it before, and settles it
    /// after: what was owed then is older than that write.
    ///
    /// # Errors
    /// What stops the file from being read.
    pub fn sequence(&self, key: &[u8], attempt: Attempt<'_>) -> Result<Option<u64>, Failure> {
        if self.is_empty(attempt)? {
            return Ok(None);
        }
        self.ledger.sequence(key, attempt)
    }

    /// L2 has what `sequence` is the number of, or something later: it is owed no more. Whether it still was.
    ///
    /// # Errors
    /// What stops the file from being written; then it stays owed.
    pub fn settle(&self, key: &[u8], sequence: u64, attempt: Attempt<'_>) -> Result<bool, Failure> {
        Ok(!self.ledger.settle(&[(key, sequence)], attempt)?.is_empty())
    }

    /// Ends the links over which `target` may get yet what was given up and is owed, or sees that it has it: whatever is
    /// written there from now on is later. To be called before it is.
    ///
    /// # Errors
    /// What stops the file from being read, or `target` from being asked.
    pub fn fence(&self, target: &(impl Target + ?Sized), attempt: Attempt<'_>) -> Result<(), Failure> {
        let links = self.ledger.links(attempt)?;
        if links.ids.is_empty() {
            return Ok(());
        }
        target.end_links(&links.ids, attempt)?;
        // Where the file cannot be written they are ended again, which harms nothing.
        let _ = self.ledger.forget_links(&links, attempt);
        Ok(())
    }

    /// Whether nothing is owed: one load, unless the counter beside the file cannot be read.
    ///
    /// # Errors
    /// What stops the file from being read then.
    #[inline]
    pub fn is_empty(&self, attempt: Attempt<'_>) -> Result<bool, Failure> {
        match self.ledger.entries() {
            Some(entries) => Ok(entries == 0),
            None => self.ledger.owed(attempt).map(|owed| owed.entries == 0),
        }
    }

    /// Whether nothing is owed, as far as that is known without a look into the file.
    #[inline]
    #[must_use]
    pub fn is_surely_empty(&self) -> bool {
        self.ledger.entries() == Some(0)
    }

    /// Looks whether the file and the counter beside it are those that they were, and makes anew what is gone. To be
    /// called now and then.
    pub fn look(&self, attempt: Attempt<'_>) -> Sight {
        self.ledger.look(attempt)
    }

    /// How much is owed.
    ///
    /// # Errors
    /// What stops the file from being read.
    pub fn owed(&self, attempt: Attempt<'_>) -> Result<Owed, Failure> {
        self.ledger.owed(attempt)
    }

    /// Lets go of the values of sets that have ended. What remains is the removal of what they were set over.
    ///
    /// # Errors
    /// What stops the file from being written.
    pub fn bury_ended(&self, attempt: Attempt<'_>) -> Result<(), Failure> {
        self.ledger.bury_ended(attempt)
    }

    /// The right to replay; `None` while another has it, in this process or another.
    ///
    /// # Errors
    /// When the lock beside the file cannot be used.
    pub fn claim_replay(&self) -> Result<Option<Turn<'_>>, Failure> {
        Ok(self.ledger.claim()?.map(|held| Turn { journal: self, _held: held }))
    }

    /// What the replays of this process have done so far.
    #[must_use]
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Takes nothing more where what is owed would be lost with this process, unless something is owed; whether so.
    #[must_use]
    pub fn end(&self) -> bool {
        self.ledger.end()
    }

    /// Takes nothing more, lets go of the file, and answers what is left. What is owed in memory stays until the journal is
    /// dropped.
    ///
    /// # Errors
    /// What stops the file from being read.
    pub fn close(&self, attempt: Attempt<'_>) -> Result<Owed, Failure> {
        self.ledger.close(attempt)
    }
}

impl Turn<'_> {
    /// The oldest records that are numbered higher than `after`, at most `limit`, as they are due at Unix time `now_ms`.
    ///
    /// # Errors
    /// What stops the file from being read.
    pub fn batch(
        &self,
        now_ms: i64,
        after: u64,
        limit: usize,
        attempt: Attempt<'_>,
    ) -> Result<Vec<Due>, Failure> {
        let batch = self.journal.ledger.batch(after, limit, attempt)?;
        Ok(batch.into_iter().map(|next| Due { record: next.record.due(now_ms), ..next }).collect())
    }
}

fn unusable(failure: &Failure) -> Error {
    let message = format!("The file at /resilience/journal_path cannot be the journal. {failure}");
    Error::new(Kind::InvalidConfig, message)
}
