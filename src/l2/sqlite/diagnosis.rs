//! What SQLite's codes and the system's errors mean for the caller.

#![forbid(unsafe_code)]

use std::io;
use std::path::Path;

use nix::errno::Errno;
use nix::unistd::{AccessFlags, eaccess};
use rusqlite::ffi::{self, ErrorCode};

use crate::l2::{Class, Failure};

/// What went wrong with the database at `path`.
pub(super) fn diagnose(path: &Path, error: &rusqlite::Error) -> Failure {
    let rusqlite::Error::SqliteFailure(code, text) = error else {
        return failure(Class::Protocol, path, &format!("gave an answer that is not understood: {error}."));
    };
    let text = text.clone().unwrap_or_else(|| ffi::code_to_str(code.extended_code).to_owned());
    let (class, what) = explain(path, *code);
    failure(class, path, &format!("{what} SQLite says: {text} (code {}).", code.extended_code))
}

/// Whether a connection that failed so is not to be used again.
pub(super) fn spoils(class: Class) -> bool {
    matches!(class, Class::Unreachable | Class::Denied | Class::Protocol)
}

/// Why the file could not be made or looked at.
pub(super) fn refused_file(path: &Path, error: &io::Error) -> Failure {
    let (class, way_out) = match error.kind() {
        io::ErrorKind::PermissionDenied => (Class::Denied, "give this user access to its directory"),
        io::ErrorKind::ReadOnlyFilesystem => (Class::Denied, "choose a path that can be written to"),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => (Class::Full, "make room on its disk"),
        io::ErrorKind::NotFound => (Class::Unreachable, "create its directory"),
        _ => (Class::Unreachable, "check its path"),
    };
    failure(class, path, &format!("cannot be opened ({error}); {way_out}."))
}

fn failure(class: Class, path: &Path, what: &str) -> Failure {
    Failure::new(class, format!("The database {} {what}", path.display()))
}

fn explain(path: &Path, code: ffi::Error) -> (Class, &'static str) {
    match code.extended_code {
        ffi::SQLITE_READONLY_DBMOVED => {
            return (
                Class::Unreachable,
                "was moved or removed while it was open; the next try opens it anew.",
            );
        }
        ffi::SQLITE_IOERR_NOMEM => return OUT_OF_MEMORY,
        ffi::SQLITE_IOERR_SHMSIZE => return NO_ROOM,
        _ => {}
    }
    match code.code {
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed => {
            (Class::Busy, "is locked by another process; end its transaction, or allow a longer deadline.")
        }
        ErrorCode::CannotOpen => cannot_open(path),
        ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::AuthorizationForStatementDenied => {
            (Class::Denied, "is read-only; let this user write to the file and its directory.")
        }
        ErrorCode::NotADatabase => {
            (Class::Protocol, "is not a SQLite database; give another path, or remove the file.")
        }
        ErrorCode::DatabaseCorrupt => {
            (Class::Protocol, "is damaged; remove the file with its -wal and -shm, and it is made anew.")
        }
        ErrorCode::DiskFull => NO_ROOM,
        ErrorCode::SystemIoFailure => (Class::Unreachable, "could not be read or written; check its disk."),
        ErrorCode::OperationInterrupted => {
            (Class::Timeout, "did not answer in time; allow a longer deadline, or check its disk.")
        }
        ErrorCode::OutOfMemory => OUT_OF_MEMORY,
        ErrorCode::TooBig => (Class::Full, "cannot hold a key or value of this length."),
        _ => (Class::Protocol, "gave an answer that is not understood."),
    }
}

const NO_ROOM: (Class, &str) = (Class::Full, "has no room to grow; make room on its disk.");
const OUT_OF_MEMORY: (Class, &str) = (Class::Unreachable, "could not be used: memory ran out.");

/// SQLite says only that it cannot; the system knows whether it may.
fn cannot_open(path: &Path) -> (Class, &'static str) {
    let denied =
        |path: &Path, mode| matches!(eaccess(path, mode), Err(Errno::EACCES | Errno::EROFS | Errno::EPERM));
    let directory = path.parent().unwrap_or(path);
    if eaccess(path, AccessFlags::W_OK) == Err(Errno::EROFS) {
        (Class::Denied, "lies on a read-only file system; choose a path that can be written to.")
    } else if denied(path, AccessFlags::R_OK | AccessFlags::W_OK) {
        (Class::Denied, "may not be opened; let this user read and write the file.")
    } else if denied(directory, AccessFlags::W_OK | AccessFlags::X_OK) {
        (
            Class::Denied,
            "may not be opened; let this user write to its directory, where SQLite keeps its log.",
        )
    } else {
        (Class::Unreachable, "cannot be opened; check that its directory exists and that it is a file.")
    }
}
