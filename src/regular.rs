//! Files that somebody else keeps and may replace at any time: read whole, and only where that keeps nobody waiting.

#![forbid(unsafe_code)]

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use zeroize::Zeroizing;

/// A regular file that is open.
pub struct Regular {
    file: File,
    /// Of the open file: the one at its path may be another by now.
    pub metadata: Metadata,
}

impl Regular {
    /// Opens the file at `path`.
    ///
    /// # Errors
    /// What is wrong, as the rest of a sentence that begins with the file.
    pub fn open(path: &Path) -> Result<Regular, String> {
        // A pipe without a writer would keep us waiting for ever.
        let file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path);
        let opened = file.and_then(|file| Ok(Regular { metadata: file.metadata()?, file }));
        let opened = opened.map_err(|error| unreadable(&error))?;
        if !opened.metadata.is_file() {
            return Err("is not a regular file; name one that is.".into());
        }
        Ok(opened)
    }

    /// All of its bytes, at most `max_bytes`, in one buffer that never grows, so that no copy of a secret is left behind.
    ///
    /// # Errors
    /// What is wrong, as the rest of a sentence that begins with the file.
    pub fn read(mut self, max_bytes: usize) -> Result<Zeroizing<Vec<u8>>, String> {
        let expected = usize::try_from(self.metadata.len()).ok().filter(|length| *length <= max_bytes);
        let expected = expected.ok_or_else(|| format!("has more than {max_bytes} bytes."))?;
        let mut bytes = Zeroizing::new(vec![0; expected + 1]);
        let mut filled = 0;
        loop {
            match self.file.read(&mut bytes[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(unreadable(&error)),
            }
            if filled > expected {
                return Err("grew while it was read; was it still being written?".into());
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    /// All of it as text.
    ///
    /// # Errors
    /// What is wrong, as the rest of a sentence that begins with the file.
    pub fn read_text(self, max_bytes: usize) -> Result<Zeroizing<String>, String> {
        let bytes = self.read(max_bytes)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| "is not UTF-8.".to_owned())?;
        Ok(Zeroizing::new(text.to_owned()))
    }
}

fn unreadable(error: &io::Error) -> String {
    format!("cannot be read ({error}).")
}
