//! Files that hold secrets, and who else can write or read them.

#![forbid(unsafe_code)]

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::ring::MAX_BYTES;
use super::wrap::UnwrapKeys;
use crate::error::{Error, Kind, Result};

const OTHERS_WRITE: u32 = 0o022;
const OTHERS_READ: u32 = 0o044;

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
    let unreadable = |error: std::io::Error| refused(format!("cannot be read ({error})."));
    // A pipe without a writer would keep us waiting for ever.
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(unreadable)?;
    // Of the open file, because the one at its path may be another by now.
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(refused("is not a regular file; name one that is.".into()));
    }
    let mode = metadata.permissions().mode();
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
    let text = read_text(file, metadata.len()).map_err(refused)?;
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

/// Into one buffer that never grows, so that no copy of the secret is left behind.
fn read_text(file: File, length: u64) -> std::result::Result<Zeroizing<String>, String> {
    let too_long = || format!("has more than {MAX_BYTES} bytes.");
    let expected = usize::try_from(length).ok().filter(|length| *length <= MAX_BYTES).ok_or_else(too_long)?;
    let mut bytes = Zeroizing::new(vec![0; expected + 1]);
    let mut filled = 0;
    let mut file = file;
    loop {
        match file.read(&mut bytes[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(format!("cannot be read ({error}).")),
        }
        if filled > expected {
            return Err("grew while it was read; was it still being written?".into());
        }
    }
    let text = std::str::from_utf8(&bytes[..filled]).map_err(|_| "is not UTF-8.".to_owned())?;
    Ok(Zeroizing::new(text.to_owned()))
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
