//! One connection, and the file that it is to: the path may stand for another one later.

#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, Flock, FlockArg};
use nix::sys::stat::{FileStat, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::diagnosis::{diagnose, refused_file};
use super::pause::Limit;
use super::schema::Schema;
use crate::l2::{Class, Failure};

/// Instructions of SQLite's machine between two looks at the clock: some 10 µs.
const STEPS: i32 = 1000;

/// Which file it is, whatever its name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    pub fn of(path: &Path) -> io::Result<Identity> {
        fs::metadata(path).map(|file| Identity { device: file.dev(), inode: file.ino() })
    }
}

/// A file, its log, and the index of that which processes share, as they were when it was opened.
#[derive(Clone, Copy)]
pub(super) struct Opened {
    pub file: Identity,
    log: Option<Identity>,
    index: Option<Identity>,
}

impl Opened {
    fn at(path: &Path, file: Identity) -> Opened {
        let [log, index] = companions(path).map(|name| Identity::of(&name).ok());
        Opened { file, log, index }
    }

    /// Whether the file is still at `path`, and its log or the index of that is not. SQLite leaves both there while anybody
    /// has the file open; where somebody else has removed them, whoever opens it next makes others, and the two do not see
    /// each other's writes.
    pub fn is_cut(&self, path: &Path) -> bool {
        let Ok(file) = Identity::of(path) else { return false };
        let now = Opened::at(path, file);
        file == self.file && (now.log, now.index) != (self.log, self.index)
    }
}

/// A connection to a file.
pub(super) struct Link {
    pub connection: Connection,
    pub opened: Opened,
}

impl Link {
    /// Opens the database at `path`, and makes it first when there is none. `last` is what was opened
    /// before, and will be this.
    pub fn open(path: &Path, schema: &Schema, last: &Mutex<Option<Opened>>) -> Result<Link, Failure> {
        make_file(path).map_err(|error| refused_file(path, &error))?;
        let identity = Identity::of(path).map_err(|error| refused_file(path, &error))?;
        forget_another(last, identity, path)?;
        let before = Opened::at(path, identity);
        let connection = connect(path).map_err(|error| diagnose(path, &error))?;
        schema.settle(&connection, path)?;
        let opened = Opened::at(path, identity);
        let link = Link { connection, opened };
        let is_another_log = before.log.is_some() && before.log != opened.log;
        if is_another_log || Identity::of(path).ok() != Some(identity) {
            // The log that it met may be that of the file before.
            link.close_without_checkpoint();
            return Err(replaced(path));
        }
        *lock(last) = Some(opened);
        Ok(link)
    }

    /// Closes it and leaves the log as it is, for whoever opens the file next.
    pub fn close_without_checkpoint(self) {
        let _ = self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
    }
}

/// Lets go of `last` when it was another file than `now`. Under the lock, so that nobody opens the new file before the
/// log of the old one is gone, and nobody looks for that log twice: the new one may get its number.
fn forget_another(last: &Mutex<Option<Opened>>, now: Identity, path: &Path) -> Result<(), Failure> {
    let mut last = lock(last);
    if let Some(another) = last.filter(|last| last.file != now) {
        remove_log(&another, path)?;
        *last = None;
    }
    Ok(())
}

fn lock(last: &Mutex<Option<Opened>>) -> MutexGuard<'_, Option<Opened>> {
    last.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where another file took the place of `last`, the log of the old one is still there, whoever is using it, and SQLite
/// would apply it to the new one: it is removed. By one process after the other, for what the first has removed the next
/// may find made anew.
fn remove_log(last: &Opened, path: &Path) -> Result<(), Failure> {
    let Some(folder) = path.parent().and_then(|folder| File::open(in_words(folder)).ok()) else {
        return Ok(());
    };
    let turn = folder.try_clone().map(|folder| Flock::lock(folder, FlockArg::LockExclusiveNonblock));
    if matches!(turn, Ok(Err((_, Errno::EWOULDBLOCK)))) {
        return Err(replaced(path));
    }
    // All below in the folder itself, which may come and go by its name: what is looked at is what is removed.
    let here =
        |path: &Path| Some(Identity::from(&fstatat(&folder, path.file_name()?, AtFlags::empty()).ok()?));
    let names = companions(path);
    let log = here(&names[0]);
    let is_its_own = log.is_some() && log == last.log;
    let is_replaced = here(path).is_some_and(|now| now != last.file);
    if is_its_own && is_replaced {
        // The log last: whoever finds it gone finds all gone.
        for name in names.iter().rev().filter_map(|name| name.file_name()) {
            let _ = unlinkat(&folder, name, UnlinkatFlags::NoRemoveDir);
        }
    }
    Ok(())
}

fn replaced(path: &Path) -> Failure {
    let message = format!("The database {} was replaced while it was being opened.", path.display());
    Failure::new(Class::Busy, message)
}

fn in_words(folder: &Path) -> &Path {
    if folder.as_os_str().is_empty() { Path::new(".") } else { folder }
}

impl From<&FileStat> for Identity {
    fn from(file: &FileStat) -> Identity {
        Identity { device: file.st_dev, inode: file.st_ino }
    }
}

fn companions(path: &Path) -> [PathBuf; 2] {
    ["-wal", "-shm"].map(|end| {
        let mut name = OsString::from(path);
        name.push(end);
        name.into()
    })
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    // Without CREATE, so that SQLite never makes the file with another mode; without URI, so that no path is one.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::ZERO)?;
    connection.progress_handler(STEPS, Some(Limit::is_over))?;
    Ok(connection)
}

/// Makes the file, empty and for its owner alone, unless it is there.
fn make_file(path: &Path) -> io::Result<()> {
    // A process that closes any descriptor of a file loses its locks on it: nobody may have opened the file through
    // SQLite before this descriptor is closed.
    static MAKING: Mutex<()> = Mutex::new(());
    let _making = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            // A directory that we may not write to matters only when the file is not there.
            if Identity::of(path).is_ok() { Ok(()) } else { Err(error) }
        }
        _ => Ok(()),
    }
}
