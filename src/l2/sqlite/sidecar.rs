//! A small file beside a database, which the processes that share the database map into memory: made whole under
//! another name, with the rights of the database, and never resized.

#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::l2::Class;

/// Where it stands, and beside which database.
pub struct Sidecar {
    database: PathBuf,
    path: PathBuf,
}

/// Which file it is, whatever its name. A new file may get the number of one that is gone, and was made later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    device: u64,
    inode: u64,
    made: Option<SystemTime>,
}

/// What to do where another file is in its place.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Repair {
    /// Nobody else is about to write: put another in its place.
    Replace,
    /// Leave it there.
    Leave,
}

impl Sidecar {
    /// The file whose name is that of `database` and `end`.
    #[must_use]
    pub fn new(database: PathBuf, end: &str) -> Sidecar {
        let database = at_home(database);
        let mut path = OsString::from(&database);
        path.push(end);
        Sidecar { database, path: path.into() }
    }

    /// The database.
    #[must_use]
    pub fn database(&self) -> &Path {
        &self.database
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens it for reading and writing. A link in its place is not followed.
    ///
    /// # Errors
    /// Those of the system.
    pub fn open(&self) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).custom_flags(libc::O_NOFOLLOW).open(&self.path)
    }

    /// As [`Sidecar::open`], and makes it, empty, when it is not there.
    ///
    /// # Errors
    /// Those of the system.
    pub fn open_or_make(&self) -> io::Result<File> {
        match self.open() {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            opened => return opened,
        }
        match OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&self.path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => self.open(),
            made => {
                let file = made?;
                self.share(&file, &fs::metadata(&self.database)?)?;
                Ok(file)
            }
        }
    }

    /// Gives `file` the rights of the database: whoever may write there must be able to say so here.
    fn share(&self, file: &File, database: &fs::Metadata) -> io::Result<()> {
        if nix::unistd::geteuid().is_root() {
            std::os::unix::fs::fchown(file, Some(database.uid()), Some(database.gid()))?;
        }
        file.set_permissions(Permissions::from_mode(database.mode() & 0o666))
    }

    /// Makes it, with `bytes` in it and the rights of the database.
    ///
    /// # Errors
    /// Those of the system.
    pub fn make(&self, bytes: &[u8], repair: Repair) -> io::Result<()> {
        let database = fs::metadata(&self.database)?;
        let mut name = OsString::from(&self.path);
        name.push(format!(".{}.{:08x}", std::process::id(), random()?));
        let beside = Removed(PathBuf::from(name));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside.0)?;
        file.write_all(bytes)?;
        self.share(&file, &database)?;
        match repair {
            Repair::Replace => fs::rename(&beside.0, &self.path),
            // Not over that of another process, which may have trusted it already.
            Repair::Leave => match fs::hard_link(&beside.0, &self.path) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
                linked => linked,
            },
        }
    }

    /// Whether the file of `identity` is the one that stands there.
    #[must_use]
    pub fn is(&self, identity: Identity) -> bool {
        Identity::at(&self.path).is_ok_and(|now| now == identity)
    }
}

/// Where a database is, that a later chdir must not move. SQLite keeps the log beside the file itself, not beside a link
/// to it, and so is everything else: who comes by another link is to find the same.
#[must_use]
pub fn at_home(database: PathBuf) -> PathBuf {
    let path = std::path::absolute(&database).unwrap_or(database);
    if path.is_symlink() { fs::canonicalize(&path).unwrap_or(path) } else { path }
}

impl Identity {
    /// Of what stands at `path`, itself where it is a link.
    ///
    /// # Errors
    /// Those of the system.
    pub fn at(path: &Path) -> io::Result<Identity> {
        fs::symlink_metadata(path).map(|file| Identity::of(&file))
    }

    /// Of the file that `about` is about.
    #[must_use]
    pub fn of(about: &fs::Metadata) -> Identity {
        Identity { device: about.dev(), inode: about.ino(), made: about.created().ok() }
    }
}

/// Whether `file` still has a name: one that was removed or replaced has none.
#[must_use]
pub fn has_links(file: &File) -> bool {
    file.metadata().is_ok_and(|file| file.nlink() > 0)
}

/// What an error with such a file means.
#[must_use]
pub fn class_of(error: &io::Error) -> Class {
    match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => Class::Denied,
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Class::Full,
        _ => Class::Unreachable,
    }
}

/// Random bits of the operating system.
///
/// # Errors
/// When it has none.
pub fn random() -> io::Result<u32> {
    getrandom::u32().map_err(io::Error::other)
}

/// A name that is removed when it is no longer needed.
struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
