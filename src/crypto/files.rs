//! Files that hold secrets: who else can write or read them, and how they are replaced without a moment in between.

#![forbid(unsafe_code)]

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use zeroize::Zeroizing;

use super::ring::MAX_BYTES;
use super::wrap::UnwrapKeys;
use crate::error::{Error, Kind, Result};
use crate::regular::Regular;

const OTHERS_WRITE: u32 = 0o022;
const OTHERS_READ: u32 = 0o044;
const OURS_ALONE: u32 = 0o600;

/// What a file with a secret in it holds, and a sentence for the log where others can read it.
pub struct Private {
    /// The text.
    pub text: Zeroizing<String>,
    /// What somebody should know of it.
    pub warning: Option<String>,
}

/// Reads the file at `path`. One that group or others can write is refused, one that they can read is warned of, and
/// refused where `is_strict`.
///
/// # Errors
/// `InvalidConfig`, by its path and with the command that mends it.
pub fn read(path: &Path, is_strict: bool) -> Result<Private> {
    let shown = path.display();
    let refused =
        |complaint: String| Error::new(Kind::InvalidConfig, format!("The file {shown} {complaint}"));
    let file = Regular::open(path).map_err(refused)?;
    let mode = file.metadata.permissions().mode();
    let readable = mode & OTHERS_READ != 0;
    if mode & OTHERS_WRITE != 0 {
        let mode = mode & 0o777;
        return Err(refused(format!(
            "can be written by its group or by others (mode {mode:04o}), who could put their own key into it; chmod \
             go-w {shown}."
        )));
    }
    let mode = mode & 0o777;
    if readable && is_strict {
        return Err(refused(format!(
            "can be read by its group or by others (mode {mode:04o}), and /encryption/strict_files is true; chmod 600 \
             {shown}."
        )));
    }
    let warning = readable.then(|| {
        format!(
            "The file {shown} can be read by its group or by others (mode {mode:04o}); chmod 600 {shown}."
        )
    });
    let text = file.read_text(MAX_BYTES).map_err(refused)?;
    Ok(Private { text, warning })
}

/// Reads private keys to unwrap with, and gives back what somebody should know of their files.
///
/// # Errors
/// `InvalidConfig`, by the path of the file that is wrong.
pub fn read_unwrap_keys(paths: &[PathBuf], is_strict: bool) -> Result<(UnwrapKeys, Vec<String>)> {
    let mut keys = UnwrapKeys::none();
    let mut warnings = Vec::new();
    for path in paths {
        let file = read(path, is_strict)?;
        keys.add_pem(&file.text, &format!("The file {}", path.display()))?;
        warnings.extend(file.warning);
    }
    Ok((keys, warnings))
}

/// Writes a new file at `path`, for this user alone, whole or not at all.
///
/// # Errors
/// `InvalidConfig`, by its path; also where there is a file already.
pub fn create(path: &Path, text: &str) -> Result<()> {
    let shown = path.display();
    let is_there = || {
        let message = format!("The file {shown} is there already, and may hold keys; name one that is not.");
        Error::new(Kind::InvalidConfig, message)
    };
    // Asked for a plain sentence; it is the link that never takes another file's place.
    if fs::symlink_metadata(path).is_ok() {
        return Err(is_there());
    }
    let draft = Draft::write(path, text, None).map_err(|error| unwritten(path, &error))?;
    fs::hard_link(&draft.path, path).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => is_there(),
        _ => unwritten(path, &error),
    })?;
    drop(draft);
    settle(path);
    Ok(())
}

/// A file that is being changed; others who change it by this type wait for it.
pub struct Held {
    path: PathBuf,
    metadata: fs::Metadata,
    _lock: Option<Flock<File>>,
}

impl Held {
    /// Holds the file at `path`, or the one that it leads to.
    ///
    /// # Errors
    /// `InvalidConfig`, by its path.
    pub fn new(path: &Path) -> Result<Held> {
        let unreadable = |error: io::Error| {
            Error::new(Kind::InvalidConfig, format!("The file {} cannot be read ({error}).", path.display()))
        };
        let real = path.canonicalize().map_err(unreadable)?;
        // The folder, because the file is another one after each change. Some file systems have no locks.
        let folder = File::open(folder(&real)).ok();
        let lock = folder.and_then(|folder| Flock::lock(folder, FlockArg::LockExclusive).ok());
        let metadata = fs::metadata(&real).map_err(unreadable)?;
        Ok(Held { path: real, metadata, _lock: lock })
    }

    /// Who may do what with it, before it is replaced.
    #[must_use]
    pub fn mode(&self) -> u32 {
        self.metadata.mode() & 0o777
    }

    /// Puts `text` in its place, whole or not at all, of the same owner and for that owner alone.
    ///
    /// # Errors
    /// `InvalidConfig`, by its path; then it is as it was.
    pub fn replace(&self, text: &str) -> Result<()> {
        let unwritten = |error| unwritten(&self.path, &error);
        let draft = Draft::write(&self.path, text, Some(&self.metadata)).map_err(unwritten)?;
        draft.rename(&self.path).map_err(unwritten)?;
        settle(&self.path);
        Ok(())
    }
}

/// What is to become a file, beside it. Gone when dropped, unless it has.
struct Draft {
    path: PathBuf,
    has_become: bool,
}

impl Draft {
    fn write(beside: &Path, text: &str, owner: Option<&fs::Metadata>) -> io::Result<Draft> {
        let mut name = std::ffi::OsString::from(".");
        name.push(beside.file_name().ok_or(io::ErrorKind::IsADirectory)?);
        name.push(format!(".{:016x}.tmp", getrandom::u64().map_err(io::Error::other)?));
        let path = folder(beside).join(name);
        let mut file = File::options().write(true).create_new(true).mode(OURS_ALONE).open(&path)?;
        let draft = Draft { path, has_become: false };
        if let Some(owner) = owner {
            let made = file.metadata()?;
            if (made.uid(), made.gid()) != (owner.uid(), owner.gid()) {
                fchown(&file, Some(owner.uid()), Some(owner.gid()))?;
            }
        }
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        Ok(draft)
    }

    fn rename(mut self, path: &Path) -> io::Result<()> {
        fs::rename(&self.path, path)?;
        self.has_become = true;
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.has_become {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Has the folder written as well, so that a name survives a loss of power. The file is in its place whether this works
/// or not.
fn settle(path: &Path) {
    let _ = File::open(folder(path)).and_then(|folder| folder.sync_all());
}

fn unwritten(path: &Path, error: &io::Error) -> Error {
    let shown = path.display();
    let message = format!("The file {shown} cannot be written ({error}); nothing was changed.");
    Error::new(Kind::InvalidConfig, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_mode(mode: u32, text: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ring.json");
        std::fs::write(&path, text).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("ours");
        (folder, path)
    }

    fn refusal(path: &Path, is_strict: bool) -> String {
        read(path, is_strict).err().expect("refused").message
    }

    #[test]
    fn a_file_of_ours_alone_is_read_without_a_word() {
        for mode in [0o600, 0o400, 0o700] {
            let (_folder, path) = with_mode(mode, b"{}\n");
            let file = read(&path, true).expect("read");
            assert_eq!((file.text.as_str(), file.warning), ("{}\n", None));
        }
    }

    #[test]
    fn one_that_others_can_read_is_warned_of_or_refused() {
        for mode in [0o644, 0o640, 0o604] {
            let (_folder, path) = with_mode(mode, b"{}");
            let warning = read(&path, false).expect("read").warning.expect("a warning");
            assert!(
                warning.contains(&format!("mode {mode:04o}")) && warning.contains("chmod 600"),
                "{warning}"
            );
            assert!(refusal(&path, true).contains("/encryption/strict_files is true"));
        }
    }

    #[test]
    fn one_that_others_can_write_is_always_refused() {
        for mode in [0o620, 0o602, 0o666] {
            let (_folder, path) = with_mode(mode, b"{}");
            assert!(refusal(&path, false).contains("can be written"), "{mode:o}");
            assert!(refusal(&path, true).contains("can be written"), "{mode:o}");
        }
    }

    #[test]
    fn a_file_is_made_once_and_replaced_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ring.json");
        create(&path, "one").expect("made");
        assert!(create(&path, "two").expect_err("refused").message.contains("is there already"));
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).expect("a link");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("ours");
        let held = Held::new(&link).expect("held");
        assert_eq!(held.mode(), 0o640);
        held.replace("three").expect("replaced");
        assert_eq!(fs::read_to_string(&path).expect("read"), "three");
        assert_eq!(fs::metadata(&path).expect("there").mode() & 0o777, 0o600);
        assert!(link.is_symlink());
        let dangling = folder.path().join("dangling");
        std::os::unix::fs::symlink(folder.path().join("none"), &dangling).expect("a link");
        assert!(create(&dangling, "four").is_err());
        assert_eq!(fs::read_dir(folder.path()).expect("read").count(), 3);
    }

    #[test]
    fn two_who_change_a_file_wait_for_each_other() {
        let (_folder, path) = with_mode(0o600, b"0");
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..25 {
                        let held = Held::new(&path).expect("held");
                        let count: u32 = read(&path, true).expect("read").text.parse().expect("a number");
                        held.replace(&(count + 1).to_string()).expect("replaced");
                    }
                });
            }
        });
        assert_eq!(fs::read_to_string(&path).expect("read"), "100");
    }

    #[test]
    fn what_is_no_such_file_is_named() {
        let (folder, path) = with_mode(0o600, b"\xFF");
        assert!(refusal(&path, false).ends_with("ring.json is not UTF-8."));
        let pipe = folder.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("made");
        assert!(refusal(&pipe, false).ends_with("is not a regular file; name one that is."));
        assert!(refusal(folder.path(), false).ends_with("is not a regular file; name one that is."));
        assert!(refusal(&folder.path().join("none"), false).contains("none cannot be read (No such file"));
        std::fs::write(&path, vec![b' '; MAX_BYTES + 1]).expect("written");
        assert!(refusal(&path, false).contains("more than 1048576 bytes"));
    }
}
