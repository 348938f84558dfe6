//! Where log records go, and how keys appear in them.

#![forbid(unsafe_code)]

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::{ArcSwap, ArcSwapOption};
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use sha2::{Digest, Sha256};

/// The weight of a record. The numbers are those of `tc_level`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(i32)]
pub enum Level {
    /// Something failed that somebody must look at.
    Error = 1,
    /// Something is not as it should be, and was dealt with.
    Warn = 2,
    /// What happens rarely and is worth knowing.
    Info = 3,
    /// Every attempt.
    Debug = 4,
}

impl Level {
    /// Its word in the configuration document.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Level::Error => "error",
            Level::Warn => "warn",
            Level::Info => "info",
            Level::Debug => "debug",
        }
    }
}

/// A pipe takes this much in one piece or not at all.
const MAX_LINE_BYTES: usize = 4096;

/// Takes log records. Implemented in `ffi` over the application's callback.
pub trait Sink: Send + Sync {
    /// Takes a record, or answers `false` when it had to drop it. Must not block.
    fn write(&self, level: Level, target: &'static str, message: &str) -> bool;
}

/// What the configuration says of logs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The name of the cache.
    pub name: String,
    /// The lightest record that is written.
    pub level: Level,
    /// Whether records go to standard error when no sink is set.
    pub to_stderr: bool,
    /// Whether keys appear as they are.
    pub clear_keys: bool,
    /// What stands before every key in L2.
    pub key_prefix: String,
}

struct Chosen {
    level: Level,
    sink: Box<dyn Sink>,
}

/// The log of one cache.
pub struct Logger {
    settings: ArcSwap<Settings>,
    chosen: Arc<ArcSwapOption<Chosen>>,
    dropped: AtomicU64,
}

impl Logger {
    /// A log with these settings.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Logger { settings: ArcSwap::from_pointee(settings), chosen: Arc::default(), dropped: 0.into() }
    }

    /// The same destination, for another inside of the same cache.
    #[must_use]
    pub fn renewed(&self) -> Self {
        let settings = ArcSwap::new(self.settings.load_full());
        Logger { settings, chosen: Arc::clone(&self.chosen), dropped: 0.into() }
    }

    /// Takes over new settings.
    pub fn apply(&self, settings: Settings) {
        self.settings.store(Arc::new(settings));
    }

    /// Sends records at or above `level` to `sink` instead; `None` goes back to the settings.
    pub fn redirect(&self, level: Level, sink: Option<Box<dyn Sink>>) {
        self.chosen.store(sink.map(|sink| Arc::new(Chosen { level, sink })));
    }

    /// Writes a record, if anybody wants it.
    pub fn write(&self, level: Level, target: &'static str, message: impl FnOnce() -> String) {
        if let Some(chosen) = &*self.chosen.load() {
            if level <= chosen.level && !chosen.sink.write(level, target, &message()) {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
            return;
        }
        let settings = self.settings.load();
        if settings.to_stderr && level <= settings.level {
            let line = format!("tokencache[{}] {} {target}: {}", settings.name, level.word(), message());
            if !to_stderr(one_line(line)) {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Records that the sink had to drop.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// How `key` appears in a record: hashed, the same in every process, unless the settings say otherwise.
    #[must_use]
    pub fn key(&self, key: &[u8]) -> String {
        let settings = self.settings.load();
        if settings.clear_keys {
            return String::from_utf8_lossy(key).escape_debug().to_string();
        }
        let digest = Sha256::new().chain_update(settings.key_prefix.as_bytes()).chain_update(key).finalize();
        digest[..8].iter().fold(String::with_capacity(16), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

/// `record` as one line, whatever a name, a path or a server has put into it.
fn one_line(record: String) -> String {
    if !record.contains(char::is_control) {
        return record;
    }
    let mut line = String::with_capacity(record.len() + 16);
    for c in record.chars() {
        if c.is_control() {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line
}

// Not through the lock of std::io::Stderr: another thread may hold it for ever in a forked child.
// Nor into a pipe that nobody empties: a line that would have to wait is dropped, and one of this length never waits
// where there is room at all.
fn to_stderr(mut line: String) -> bool {
    line.truncate((0..MAX_LINE_BYTES).rev().find(|end| line.is_char_boundary(*end)).unwrap_or(0));
    line.push('\n');
    let Ok(descriptor) = std::io::stderr().as_fd().try_clone_to_owned() else { return false };
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    let mut room = [PollFd::new(&descriptor, PollFlags::OUT)];
    if !matches!(poll(&mut room, Some(&at_once)), Ok(1)) {
        return false;
    }
    without_sigpipe(|| std::fs::File::from(descriptor).write_all(line.as_bytes()));
    true
}

/// Writes on a thread of the host, which a pipe that nobody reads any more must not end.
fn without_sigpipe(write: impl FnOnce() -> io::Result<()>) {
    let pipe = SigSet::from(Signal::SIGPIPE);
    let Ok(before) = pipe.thread_swap_mask(SigmaskHow::SIG_BLOCK) else { return };
    let is_broken = write().is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe);
    if !before.contains(Signal::SIGPIPE) {
        if is_broken {
            // It is pending on this thread, so this does not wait; Linux keeps it also where the host ignores it.
            let _ = pipe.wait();
        }
        let _ = before.thread_set_mask();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_one_line_whatever_stands_in_it() {
        assert_eq!(one_line("a\nb\u{1b}[31mc é".into()), "a\\nb\\u{1b}[31mc é");
    }
}
