//! How much a journal file holds, for readers that may not afford a look into it: a word in a file beside it, which is
//! mapped into every process that shares the journal.
//!
//! ```text
//! 0      8 bytes   "TCOWED\0\0"                                        in every version
//! 8      8 bytes   version of the rest, 1                              in every version
//! 16     8 bytes   0: nobody knows; else 1 more than the records       in every version, whether it is 0
//! ```
//!
//! Numbers are of the machine's own order. It may be too high, after a process died between its change and its commit;
//! it never says that there is nothing while something is owed. So it is raised under the write lock of the journal
//! before the commit, and lowered to what the holder of that lock finds committed. Whoever maps it says first that
//! nobody knows, because the system may have kept the journal and not the word when the machine lost its power; whoever
//! cannot map it writes so before each commit.

#![forbid(unsafe_code)]

use std::fs::{File, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::epoch::{PAGE_WORDS, Words};
use crate::error::{Error, Result as Outcome};
use crate::l2::sqlite::sidecar::{self, Identity, Repair, Sidecar};
use crate::l2::{Class, Failure};
use crate::runtime::lock;

const MAGIC: &[u8; 8] = b"TCOWED\0\0";
const VERSION: u64 = 1;
/// Where the word is.
const COUNT: usize = 2;
const COUNT_AT: u64 = COUNT as u64 * 8;
const FILE_BYTES: usize = PAGE_WORDS * 8;
/// How often a file is looked for that others make and replace at the same time.
const TRIES: usize = 4;

/// The word beside one journal.
pub(super) struct Counter {
    sidecar: Sidecar,
    /// Those of the file while it is mapped, else 0: nobody knows.
    words: Words<PAGE_WORDS>,
    file: Mutex<Option<Attached>>,
    /// What it said last in a file that is no longer there.
    left: AtomicU64,
}

struct Attached {
    file: File,
    identity: Identity,
    is_mapped: bool,
}

/// Why the word cannot be read here.
struct Blind {
    failure: Failure,
    /// Others may read it, and it cannot be told to them either that something is owed.
    is_mute: bool,
}

impl Counter {
    /// The counter of the journal at `path`, which is not touched yet.
    pub fn new(path: PathBuf) -> Outcome<Counter> {
        let words = Words::private().map_err(|_| Error::out_of_memory(FILE_BYTES))?;
        Ok(Counter { sidecar: Sidecar::new(path, "-owed"), words, file: Mutex::default(), left: 0.into() })
    }

    /// As many records at least as are owed; `None` when only the journal can say.
    #[inline]
    pub fn load(&self) -> Option<u64> {
        self.words[COUNT].load(Ordering::Acquire).checked_sub(1)
    }

    /// As [`Counter::load`], by a file that went since this was asked last, and was whole until then.
    pub fn left(&self) -> Option<u64> {
        self.left.swap(0, Ordering::AcqRel).checked_sub(1)
    }

    /// Before a change, under the write lock of the journal: makes sure that the others can be told of it.
    pub fn prepare(&self) -> Result<(), Failure> {
        let mut attached = lock(&self.file);
        let Err(blind) = self.ensure(&mut attached, Repair::Replace) else { return Ok(()) };
        if blind.is_mute {
            return Err(blind.failure);
        }
        if let Some(Attached { file, .. }) = &*attached {
            file.write_all_at(&[0; 8], COUNT_AT).map_err(|error| self.failed("cannot be written", &error))?;
        }
        Ok(())
    }

    /// Before the commit, after [`Counter::prepare`]: at most `entries` will be owed.
    pub fn tell(&self, entries: u64) {
        self.say(entries.saturating_add(1));
    }

    /// Nobody knows until somebody counts.
    pub fn forget(&self) {
        self.say(0);
    }

    fn say(&self, word: u64) {
        if lock(&self.file).as_ref().is_some_and(|attached| attached.is_mapped) {
            self.words[COUNT].store(word, Ordering::Release);
        }
    }

    /// Whether the word is that of the file which stands beside the journal now; if not, it is made so, and nobody knows
    /// until somebody has counted.
    pub fn look(&self) -> Result<(), Failure> {
        self.ensure(&mut lock(&self.file), Repair::Leave).map_err(|blind| blind.failure)
    }

    fn ensure(&self, attached: &mut Option<Attached>, repair: Repair) -> Result<(), Blind> {
        if let Some(before) = attached {
            let is_whole = before.file.metadata().is_ok_and(|about| is_whole(&about));
            if before.is_mapped && is_whole && self.sidecar.is(before.identity) {
                return Ok(());
            }
            // Others may still have it, and do not hear of what is owed from now on.
            if before.is_mapped && is_whole {
                self.left.store(self.words[COUNT].swap(0, Ordering::AcqRel), Ordering::Release);
            }
            *attached = None;
            self.words.detach().map_err(|error| self.deaf("cannot be let go", &error))?;
        }
        let (file, is_known) = self.find(repair)?;
        let about = file.metadata().map_err(|error| self.mute("cannot be read", &error))?;
        let mapped = if is_known {
            self.words
                .attach(&file, PAGE_WORDS)
                .map_err(|error| self.deaf("cannot be mapped into memory", &error))
        } else {
            Err(Blind { failure: self.of_another_version(), is_mute: false })
        };
        *attached = Some(Attached { file, identity: Identity::of(&about), is_mapped: mapped.is_ok() });
        mapped?;
        self.left.store(0, Ordering::Release);
        self.words[COUNT].store(0, Ordering::Release);
        Ok(())
    }

    /// The file, and whether it is of this version.
    fn find(&self, repair: Repair) -> Result<(File, bool), Blind> {
        for _ in 0..TRIES {
            match self.sidecar.open() {
                Ok(file) => match version(&file) {
                    Ok(Some(version)) => return Ok((file, version == VERSION)),
                    Ok(None) if repair == Repair::Replace => self.make(repair)?,
                    Ok(None) => return Err(Blind { failure: self.damaged(), is_mute: true }),
                    Err(error) => return Err(self.mute("cannot be read", &error)),
                },
                Err(error) if error.kind() == ErrorKind::NotFound => self.make(repair)?,
                Err(error) => return Err(self.mute("cannot be opened for writing", &error)),
            }
        }
        let message = format!("The counter {} is replaced again and again.", self.sidecar.path().display());
        Err(Blind { failure: Failure::new(Class::Busy, message), is_mute: true })
    }

    /// Where it cannot be made, there is none that others read.
    fn make(&self, repair: Repair) -> Result<(), Blind> {
        let mut bytes = [0; FILE_BYTES];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..16].copy_from_slice(&VERSION.to_ne_bytes());
        self.sidecar.make(&bytes, repair).map_err(|error| self.deaf("cannot be made", &error))
    }

    fn deaf(&self, what: &str, error: &io::Error) -> Blind {
        Blind { failure: self.failed(what, error), is_mute: false }
    }

    fn mute(&self, what: &str, error: &io::Error) -> Blind {
        Blind { failure: self.failed(what, error), is_mute: true }
    }

    fn failed(&self, what: &str, error: &io::Error) -> Failure {
        let path = self.sidecar.path().display();
        let message = format!(
            "The counter {path} {what} ({error}), and without it the processes that share the journal are not told \
             that something is owed; let whoever may write to the journal write to this file and its folder."
        );
        Failure::new(sidecar::class_of(error), message)
    }

    fn of_another_version(&self) -> Failure {
        let message = format!(
            "The counter {} was made by another version of Tokencache; stop the processes of that version and remove \
             the file.",
            self.sidecar.path().display()
        );
        Failure::new(Class::Unreachable, message)
    }

    fn damaged(&self) -> Failure {
        let message =
            format!("The counter {} is damaged; the next write replaces it.", self.sidecar.path().display());
        Failure::new(Class::Unreachable, message)
    }
}

/// Of which version it is, if it is a counter at all.
fn version(file: &File) -> io::Result<Option<u64>> {
    let about = file.metadata()?;
    let mut head = [0; 16];
    if !about.is_file() || !is_whole(&about) {
        return Ok(None);
    }
    file.read_exact_at(&mut head, 0)?;
    let (magic, version) = head.split_at(8);
    let version = u64::from_ne_bytes(version.try_into().unwrap_or_default());
    Ok((magic == MAGIC).then_some(version))
}

/// Long enough for the word to be touched, whatever the version.
fn is_whole(about: &Metadata) -> bool {
    about.len() >= FILE_BYTES as u64
}
