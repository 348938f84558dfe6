//! The table that processes share: a file beside the database. It is made whole under another name and never resized;
//! whoever finds that it is another one than before trusts nothing until it has that one.
//!
//! ```text
//! 0      8 bytes   "TCEPOCHS"                    in every version
//! 8      8 bytes   version of the rest, 2        in every version
//! 16     8 bytes   epoch of everything           in every version
//! 4096   8 bytes   epoch of slot 0, and so on    of version 2: 65,536 slots
//! ```
//!
//! Numbers are of the machine's own order. A process that finds a version that it does not know moves the epoch of
//! everything with each of its writes, and trusts nothing itself; an older one it replaces with its first write. In version
//! 1 a slot was that of the key without its prefix.

#![forbid(unsafe_code)]

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::epoch::{self, EpochTable, Extent, FILE_BYTES, GLOBAL, HEADER_WORDS};
use crate::l2::sqlite::sidecar::{self, Identity, Repair, Sidecar, has_links};
use crate::l2::{Class, Failure, Mark};
use crate::sync::{Mutex, MutexGuard, lock};

const MAGIC: &[u8; 8] = b"TCEPOCHS";
const VERSION: u64 = 2;
/// How often a file is looked for that others make and replace at the same time.
const TRIES: usize = 4;

/// The file beside one database.
pub(super) struct Shared {
    sidecar: Sidecar,
    prefix: Vec<u8>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    file: Option<Attached>,
    /// Counts the files that were attached: a mark of an earlier one means nothing to the present.
    attached: u32,
    database: Option<Identity>,
}

struct Attached {
    file: File,
    version: u64,
    extent: Extent,
    identity: Identity,
}

impl Shared {
    pub fn new(database: PathBuf, prefix: &[u8]) -> Shared {
        let sidecar = Sidecar::new(database, "-epochs");
        Shared { sidecar, prefix: prefix.to_vec(), state: Mutex::default() }
    }

    /// The slot of a key: that of its row, which another process may write under another prefix.
    pub fn slot_of(&self, key: &[u8]) -> u32 {
        if self.prefix.is_empty() { epoch::slot(key) } else { epoch::slot(&[&self.prefix, key].concat()) }
    }

    /// Whether the counters are those of the file that stands beside the database now; if not, they are made so.
    pub fn look(&self, epochs: &EpochTable) -> Result<(), Failure> {
        let mut state = self.state();
        let database = Identity::at(self.sidecar.database()).ok();
        let known = state.database;
        if known.is_some() && database.is_some() && known != database {
            epochs.bump_all();
        }
        state.database = database.or(known);
        self.ensure(&mut state, epochs, Repair::Leave)?;
        state.verdict(self.sidecar.path())
    }

    /// As [`Shared::look`], under the write lock of the database.
    pub fn settle(&self, epochs: &EpochTable) -> Result<(), Failure> {
        let mut state = self.state();
        self.repair(&mut state, epochs)?;
        state.verdict(self.sidecar.path())
    }

    /// Under the write lock of the database: a write to `slot` is about to be committed. Answers also whether what this
    /// process has may be trusted.
    pub fn begin(&self, epochs: &EpochTable, slot: u32) -> Result<(Mark, Result<(), Failure>), Failure> {
        let mut state = self.state();
        // By its links alone, because this stands before every write: a file that was removed or replaced has none.
        let is_good = |attached: &Attached| has_links(&attached.file) && attached.version >= VERSION;
        if epochs.is_open() || !state.file.as_ref().is_some_and(is_good) {
            self.repair(&mut state, epochs)?;
        }
        let mark = Mark { table: state.attached, number: epochs.begin(state.slot(slot)) };
        Ok((mark, state.verdict(self.sidecar.path())))
    }

    /// The write of `mark` is committed, or will not be.
    pub fn end(&self, epochs: &EpochTable, slot: u32, mark: Mark) {
        let state = self.state();
        match state.slot(slot) {
            slot if state.attached == mark.table => epochs.end(slot, mark.number),
            // Whoever has the new file may have read what was there before the write.
            Some(slot) => epochs.bump(slot),
            None => epochs.bump_all(),
        }
    }

    /// Under the write lock of the database, so that whoever left an epoch of everything open is dead, or let this file
    /// go when it was away with its folder.
    fn repair(&self, state: &mut State, epochs: &EpochTable) -> Result<(), Failure> {
        self.ensure(state, epochs, Repair::Replace)?;
        if state.file.as_ref().is_some_and(|attached| attached.version < VERSION) {
            // Before another stands there: whoever has it trusts nothing in it any more.
            epochs.retire();
            if self.make(Repair::Replace).is_ok() {
                self.ensure(state, epochs, Repair::Replace)?;
            }
        }
        if epochs.is_open() {
            epochs.revive();
        }
        Ok(())
    }

    fn ensure(&self, state: &mut State, epochs: &EpochTable, repair: Repair) -> Result<(), Failure> {
        if let Some(attached) = &state.file {
            let is_in_place = self.sidecar.is(attached.identity);
            let is_whole = attached.file.metadata().is_ok_and(|file| is_long_enough(&file, attached.extent));
            if is_in_place && is_whole {
                return Ok(());
            }
            // Others may still have it: what they trusted by it is void, until they have found the new one.
            if is_whole {
                epochs.retire();
            }
            state.file = None;
            epochs.detach(is_whole).map_err(|error| self.failed("cannot be let go", &error))?;
        }
        epochs.starve();
        let attached = self.find(repair)?;
        let taken = epochs.attach(&attached.file, attached.extent);
        taken.map_err(|error| self.failed("cannot be mapped into memory", &error))?;
        if state.attached != 0 {
            // A copy from before, put back there, would count the same changes again.
            epochs.renew(random_half().map_err(|error| self.failed("cannot be used", &error))?);
        }
        state.attached = state.attached.wrapping_add(1);
        state.file = Some(attached);
        Ok(())
    }

    fn find(&self, repair: Repair) -> Result<Attached, Failure> {
        for _ in 0..TRIES {
            match self.sidecar.open() {
                Ok(file) => match attached(file) {
                    Ok(Some(attached)) => return Ok(attached),
                    Ok(None) if repair == Repair::Replace => self.make(repair)?,
                    Ok(None) => return Err(self.damaged()),
                    Err(error) => return Err(self.failed("cannot be read", &error)),
                },
                Err(error) if error.kind() == ErrorKind::NotFound => self.make(repair)?,
                Err(error) => return Err(self.failed("cannot be opened for writing", &error)),
            }
        }
        let message =
            format!("The epoch file {} is replaced again and again.", self.sidecar.path().display());
        Err(Failure::new(Class::Busy, message))
    }

    fn make(&self, repair: Repair) -> Result<(), Failure> {
        let made = fresh().and_then(|bytes| self.sidecar.make(&bytes, repair));
        made.map_err(|error| self.failed("cannot be made", &error))
    }

    fn failed(&self, what: &str, error: &io::Error) -> Failure {
        let path = self.sidecar.path().display();
        let message = format!(
            "The epoch file {path} {what} ({error}), and without it the processes that share the database do not hear \
             of each other's writes; let whoever may write to the database write to this file and its folder."
        );
        Failure::new(sidecar::class_of(error), message)
    }

    fn damaged(&self) -> Failure {
        let message = format!(
            "The epoch file {} is damaged; the next write replaces it.",
            self.sidecar.path().display()
        );
        Failure::new(Class::Unreachable, message)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl State {
    /// Whether what this process has may be trusted.
    fn verdict(&self, path: &Path) -> Result<(), Failure> {
        let Some(other) = self.file.as_ref().filter(|attached| attached.extent != Extent::Whole) else {
            return Ok(());
        };
        let way_out = if other.version < VERSION {
            "the next write replaces it"
        } else {
            "stop the processes of that version and remove the file"
        };
        let message = format!(
            "The epoch file {} was made by another version of Tokencache; {way_out}.",
            path.display()
        );
        Err(Failure::new(Class::Unreachable, message))
    }

    /// Where a write to `slot` is told: where another version laid out the slots, to everybody.
    fn slot(&self, slot: u32) -> Option<u32> {
        let is_whole = self.file.as_ref().is_some_and(|attached| attached.extent == Extent::Whole);
        is_whole.then_some(slot)
    }
}

/// A file of this version, with an epoch of everything that no other file had.
fn fresh() -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; FILE_BYTES];
    let half = u64::from(random_half()?);
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..16].copy_from_slice(&VERSION.to_ne_bytes());
    bytes[GLOBAL * 8..][..8].copy_from_slice(&(half << 32 | half).to_ne_bytes());
    Ok(bytes)
}

/// One that no other file had.
fn random_half() -> io::Result<u32> {
    Ok(sidecar::random()? >> 1)
}

/// What `file` can be used for, if it is an epoch file at all.
fn attached(file: File) -> io::Result<Option<Attached>> {
    let about = file.metadata()?;
    let mut head = [0; 16];
    if !about.is_file() || !is_long_enough(&about, Extent::Header) {
        return Ok(None);
    }
    file.read_exact_at(&mut head, 0)?;
    let mut version = [0; 8];
    version.copy_from_slice(&head[8..]);
    let version = u64::from_ne_bytes(version);
    let extent = if version == VERSION { Extent::Whole } else { Extent::Header };
    let is_ours = head[..8] == *MAGIC && is_long_enough(&about, extent);
    let identity = Identity::of(&about);
    Ok(is_ours.then_some(Attached { file, version, extent, identity }))
}

fn is_long_enough(file: &fs::Metadata, extent: Extent) -> bool {
    match extent {
        Extent::Whole => file.len() == FILE_BYTES as u64,
        Extent::Header => file.len() >= (HEADER_WORDS * 8) as u64,
    }
}
