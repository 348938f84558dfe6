//! The key ring in use, and where it came from: read again when one of its files changes, when an entry names a key that
//! is not in it, and when the document is applied anew. A ring that cannot be read leaves the one in use where it is.

#![forbid(unsafe_code)]

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use zeroize::Zeroizing;

use super::{Cache, Over};
use crate::config::Encryption;
use crate::config::redis::Source;
use crate::crypto::{Ring, files, wrap::UnwrapKeys};
use crate::error::{Error, Kind, Result};
use crate::log::{Level, Logger};
use crate::runtime::lock;

/// Between two readings of the ring because of keys that are not in it.
const PACE: Duration = Duration::from_secs(5);
/// How long a reading is waited for: far longer than it takes, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(1);

/// The ring in use, and what is known of its sources.
#[derive(Default)]
pub(super) struct Keys {
    ring: ArcSwapOption<Ring>,
    reading: Mutex<Reading>,
    is_reading: AtomicBool,
}

/// What is known of the sources of the ring.
#[derive(Default)]
struct Reading {
    /// The files as they were when they were read.
    files: Vec<Mark>,
    /// When an unknown key last made us read them.
    asked_at: Option<Instant>,
    /// Why the last reading was of no use, if it was not.
    problem: Option<String>,
}

/// A file, and what tells that it was replaced, written to, or given to somebody.
#[derive(PartialEq)]
struct Mark {
    path: PathBuf,
    state: Option<[i64; 5]>,
}

impl Mark {
    fn of(path: &Path) -> Mark {
        let state = std::fs::metadata(path).ok();
        // Not when it was written, which whoever writes may set: every change of it, and of its mode, moves its ctime.
        let state =
            state.map(|it| [it.dev() as i64, it.ino() as i64, it.size() as i64, it.ctime(), it.ctime_nsec()]);
        Mark { path: path.to_owned(), state }
    }
}

/// What a ring makes of what was opened under the one before.
enum Effect {
    /// The keys are the same.
    Nothing,
    /// All of it opens, though its key may not be the active one any more.
    Renewed,
    /// Some of it may stay shut.
    Shut,
}

/// A ring that was read.
pub(super) struct Loaded {
    ring: Option<Arc<Ring>>,
    files: Vec<Mark>,
    warnings: Vec<String>,
}

/// Reads what `encryption` names.
///
/// # Errors
/// `InvalidConfig`, by the place that is wrong.
pub(super) fn load(encryption: &Encryption) -> Result<Loaded> {
    let Some(source) = &encryption.keyring else {
        return Ok(Loaded { ring: None, files: vec![], warnings: vec![] });
    };
    let files = marks(encryption);
    let (unwrap, mut warnings) = if encryption.unwrap_key_files.is_empty() {
        (UnwrapKeys::none(), vec![])
    } else {
        let read = files::read_unwrap_keys(&encryption.unwrap_key_files, encryption.strict_files);
        read.map_err(|error| unusable("A private key of /encryption/unwrap_key_files", &error))?
    };
    let (text, name) = ring_text(source, encryption.strict_files, &mut warnings)
        .map_err(|error| unusable("The key ring", &error))?;
    let ring = Ring::parse(&text, &name, &unwrap)?;
    if !ring.is_locked() {
        warnings.push(
            "The keys may be swapped to disk: this process may lock no more memory; raise its limit (ulimit -l)."
                .into(),
        );
    }
    if encryption.accept_plaintext {
        warnings.push(
            "/encryption/accept_plaintext is true: whoever can write to L2 can inject entries that nobody sealed; \
             make it false when the migration is over."
                .into(),
        );
    }
    Ok(Loaded { ring: Some(Arc::new(ring)), files, warnings })
}

/// The files that `encryption` names, as they are now. Taken before they are read, so that a change in between is a
/// change.
fn marks(encryption: &Encryption) -> Vec<Mark> {
    let ring_file = if let Some(Source::File(path)) = &encryption.keyring { Some(path) } else { None };
    ring_file.into_iter().chain(&encryption.unwrap_key_files).map(|path| Mark::of(path)).collect()
}

/// A file or a variable says what is wrong with it, and not what it is for.
fn unusable(what: &str, error: &Error) -> Error {
    Error::new(error.kind, format!("{what} cannot be used. {}", error.message))
}

fn ring_text(
    source: &Source,
    is_strict: bool,
    warnings: &mut Vec<String>,
) -> Result<(Zeroizing<String>, String)> {
    let refused = |message: String| Error::new(Kind::InvalidConfig, message);
    match source {
        Source::File(path) => {
            let file = files::read(path, is_strict)?;
            warnings.extend(file.warning);
            Ok((file.text, format!("The key ring in {}", path.display())))
        }
        Source::Environment(name) => {
            let text = source.read().map_err(refused)?;
            Ok((text, format!("The key ring in the environment variable {name}")))
        }
        Source::Inline(_) => {
            Ok((source.read().map_err(refused)?, "The key ring at /encryption/keyring".into()))
        }
    }
}

impl Keys {
    pub fn new(loaded: Loaded, log: &Logger) -> Keys {
        warn(log, &loaded.warnings);
        let reading = Reading { files: loaded.files, ..Reading::default() };
        Keys { ring: loaded.ring.into(), reading: Mutex::new(reading), ..Keys::default() }
    }

    /// The same ring in a forked child, whose memory has to be locked anew.
    pub fn reopened(&self, encryption: &Encryption) -> Keys {
        let ring = self.ring.load_full();
        if let Some(ring) = &ring {
            ring.relock();
        }
        // As if never seen: the files may have changed between the fork and now, and are read at the first look.
        let unseen = |mark: Mark| Mark { state: None, ..mark };
        let files = marks(encryption).into_iter().map(unseen).collect();
        let reading = Reading { files, ..Reading::default() };
        Keys { ring: ring.into(), reading: Mutex::new(reading), ..Keys::default() }
    }

    /// Why the last reading was of no use, if it was not.
    pub fn problem(&self) -> Option<String> {
        lock(&self.reading).problem.clone()
    }

    fn has_changed(&self) -> bool {
        let paths: Vec<_> = lock(&self.reading).files.iter().map(|mark| mark.path.clone()).collect();
        let now: Vec<_> = paths.iter().map(|path| Mark::of(path)).collect();
        lock(&self.reading).files != now
    }

    pub fn ring(&self) -> Option<Arc<Ring>> {
        self.ring.load_full()
    }

    /// Takes over what was read.
    fn take(&self, reading: &mut Reading, loaded: Loaded) -> Effect {
        reading.files = loaded.files;
        reading.problem = None;
        let before = self.ring.swap(loaded.ring.clone());
        match (before.as_deref(), loaded.ring.as_deref()) {
            (before, now) if before.map(Ring::keys) == now.map(Ring::keys) => Effect::Nothing,
            (Some(before), Some(now)) if before.opened().all(|id| now.opened().any(|it| it == id)) => {
                Effect::Renewed
            }
            _ => Effect::Shut,
        }
    }
}

fn warn(log: &Logger, warnings: &[String]) {
    for warning in warnings {
        log.write(Level::Warn, "encryption", || warning.clone());
    }
}

impl Cache {
    fn may_read_ring_again(&self) -> bool {
        let mut reading = lock(&self.keys.reading);
        let is_due = reading.asked_at.is_none_or(|at| at.elapsed() >= PACE);
        if is_due {
            reading.asked_at = Some(Instant::now());
        }
        is_due
    }

    /// Reads the ring again if one of its files is another than the one that was read.
    pub(super) fn watch_ring(&self) {
        if !lock(&self.keys.reading).files.is_empty() {
            self.begin_reading(false);
        }
    }

    /// Reads the ring again because of an entry under a key that is not in it, and waits for whoever does.
    pub(super) fn seek_key(&self) {
        if self.may_read_ring_again() {
            self.begin_reading(true);
        }
        let is_over = || !self.keys.is_reading.load(Ordering::Acquire);
        self.signal.wait_until(Instant::now() + PATIENCE, is_over);
    }

    /// Has the ring read, `always` or where it has changed, unless somebody does. On a worker: the files may lie on
    /// something that hangs.
    fn begin_reading(&self, always: bool) {
        if self.keys.is_reading.swap(true, Ordering::AcqRel) {
            return;
        }
        let read = move |me: Arc<Cache>| {
            let over = Over(&me.keys.is_reading);
            if always || me.keys.has_changed() {
                me.read_ring_again();
            }
            drop(over);
            me.signal.notify();
        };
        let begun = self.me.upgrade().map(|me| self.runtime.workers.run(Box::new(move || read(me))));
        if !matches!(begun, Some(Ok(()))) {
            self.keys.is_reading.store(false, Ordering::Release);
        }
    }

    /// A ring that cannot be read leaves the one in use where it is.
    fn read_ring_again(&self) {
        let config = self.config.load_full();
        let files = marks(&config.encryption);
        let loaded = load(&config.encryption);
        let mut reading = lock(&self.keys.reading);
        // A newer document has brought its own, or is about to.
        if !Arc::ptr_eq(&config, &self.config.load()) {
            return;
        }
        match loaded {
            Ok(loaded) => {
                let warnings = loaded.warnings.clone();
                let effect = self.keys.take(&mut reading, loaded);
                drop(reading);
                if !matches!(effect, Effect::Nothing) {
                    warn(&self.log, &warnings);
                }
                self.ring_changed(&effect);
            }
            Err(error) => {
                // Looked at again only when it changes again.
                reading.files = files;
                let message = format!("{error} The key ring in use stays.");
                if reading.problem.as_ref() != Some(&message) {
                    self.log.write(Level::Warn, "encryption", || message.clone());
                    reading.problem = Some(message);
                }
            }
        }
    }

    /// Takes over the ring of a new document.
    pub(super) fn use_ring(&self, loaded: Loaded) {
        warn(&self.log, &loaded.warnings);
        let effect = self.keys.take(&mut lock(&self.keys.reading), loaded);
        self.ring_changed(&effect);
    }

    /// L1 forgets what it has of L2, and does not keep what a read under way brings yet.
    pub(super) fn distrust_all(&self) {
        if let Some(coherence) = &self.coherence {
            coherence.epochs.change_all();
        }
        self.l1.forget_shared();
    }

    /// What L1 has of L2 is read again, as far as L2 can be asked.
    fn look_again(&self) {
        if let Some(coherence) = &self.coherence {
            coherence.epochs.bump_all();
        }
    }

    /// What was opened under the ring before is opened again: it may be revoked now, or retired. Only in the first case
    /// must L1 not have it any more, for L2 may be away.
    fn ring_changed(&self, effect: &Effect) {
        match effect {
            Effect::Nothing => return,
            Effect::Renewed => self.look_again(),
            Effect::Shut => self.distrust_all(),
        }
        self.log.write(Level::Info, "encryption", || match self.keys.ring() {
            Some(ring) => format!("The key ring has changed: {}.", ring.known()),
            None => "The key ring is gone.".into(),
        });
        self.peers.announce_soon();
    }
}
