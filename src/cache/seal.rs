//! The seal between the tiers: L1 holds what callers get, L2 what was sealed. The key ring behind it, read again when
//! its file changes, when an entry names a key that is not in it, and when the document is applied anew.

#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::Cache;
use crate::clock;
use crate::config::redis::Source;
use crate::config::{Config, Encryption, Unreadable};
use crate::crypto::{self, Context, Foreign, Refusal, Ring, Stamp, files, ring::KeyState, wrap::UnwrapKeys};
use crate::entry::{Entry, Lifetime, Secret};
use crate::error::{Error, Kind, Result};
use crate::l2::Stored;
use crate::log::{Level, Logger};
use crate::runtime::lock;
use crate::stats::count;

/// Between two readings of the ring because of keys that are not in it.
const PACE: Duration = Duration::from_secs(5);

/// The ring in use, and where it came from.
#[derive(Default)]
pub(super) struct Keys {
    ring: ArcSwapOption<Ring>,
    reading: Mutex<Reading>,
    counters: Counters,
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

#[derive(Default)]
struct Counters {
    retired: AtomicU64,
    plain: AtomicU64,
    expired: AtomicU64,
    missed: AtomicU64,
    refused: [AtomicU64; SEAL_KINDS.len()],
}

const SEAL_KINDS: [Kind; 6] = [
    Kind::SealUnknownKey,
    Kind::SealBroken,
    Kind::SealWrongContext,
    Kind::SealRevokedKey,
    Kind::SealForeign,
    Kind::SealUnsupported,
];

/// A file, and what tells that it was replaced or written to.
#[derive(PartialEq)]
struct Mark {
    path: PathBuf,
    state: Option<(u64, u64, u64, i64, i64)>,
}

impl Mark {
    fn of(path: &Path) -> Mark {
        let state = std::fs::metadata(path).ok();
        let state = state.map(|it| (it.dev(), it.ino(), it.size(), it.mtime(), it.mtime_nsec()));
        Mark { path: path.to_owned(), state }
    }
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
        files::read_unwrap_keys(&encryption.unwrap_key_files, encryption.strict_files)?
    };
    let (text, name) = ring_text(source, encryption.strict_files, &mut warnings)?;
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
        Keys { ring: loaded.ring.into(), reading: Mutex::new(reading), counters: Counters::default() }
    }

    /// The same ring in a forked child, whose memory has to be locked anew.
    pub fn reopened(&self, encryption: &Encryption) -> Keys {
        let ring = self.ring.load_full();
        if let Some(ring) = &ring {
            ring.relock();
        }
        let reading = Reading { files: marks(encryption), ..Reading::default() };
        Keys { ring: ring.into(), reading: Mutex::new(reading), counters: Counters::default() }
    }

    pub fn ring(&self) -> Option<Arc<Ring>> {
        self.ring.load_full()
    }

    /// Takes over what was read; whether the keys are others now.
    fn take(&self, reading: &mut Reading, loaded: Loaded) -> bool {
        reading.files = loaded.files;
        reading.problem = None;
        let before = self.ring.swap(loaded.ring.clone());
        before.as_deref().map(Ring::keys) != loaded.ring.as_deref().map(Ring::keys)
    }
}

fn warn(log: &Logger, warnings: &[String]) {
    for warning in warnings {
        log.write(Level::Warn, "encryption", || warning.clone());
    }
}

impl Cache {
    /// `data` as L2 is to hold it.
    pub(super) fn sealed<'a>(
        &self,
        key: &[u8],
        data: &'a [u8],
        version: u64,
        expires_at_ms: i64,
        config: &Config,
    ) -> Result<Cow<'a, [u8]>> {
        let Some(ring) = self.keys.ring() else { return Ok(Cow::Borrowed(data)) };
        let context = Context { namespace: config.l2.key_prefix.as_bytes(), name: key };
        let stamp = Stamp { version, created_at_ms: clock::unix_ms(), expires_at_ms, flags: 0 };
        crypto::seal(&ring, &context, &stamp, data).map(Cow::Owned)
    }

    /// An envelope as a set of `data` would store it.
    pub fn protect(&self, key: &[u8], data: &[u8]) -> Result<Entry> {
        let config = self.config.load();
        self.check_key(key, &config)?;
        self.check_value(data)?;
        if self.keys.ring().is_none() {
            let message = "This cache has no key ring to seal with; set /encryption/algorithm to \"aes-256-gcm\" and name one.";
            return Err(Error::new(Kind::InvalidConfig, message));
        }
        let envelope = self.sealed(key, data, self.versions.next(), 0, &config)?;
        Entry::apart(&envelope, clock::unix_ms(), 0).ok_or_else(|| Error::out_of_memory(envelope.len()))
    }

    /// What `envelope` holds, sealed for `key`; nothing when it has ended.
    pub fn unprotect(&self, key: &[u8], envelope: &[u8]) -> Result<Option<Entry>> {
        let config = self.config.load();
        self.check_key(key, &config)?;
        let bytes = Secret::copy(envelope).ok_or_else(|| Error::out_of_memory(envelope.len()))?;
        let stored =
            Stored { bytes, version: 0, written_at_ms: 0, lifetime: Lifetime::default(), ends_at_ms: 0 };
        let Some((opened, flags)) = self.unsealed(key, stored, &config)? else { return Ok(None) };
        let entry = Entry::apart(&opened.bytes, opened.written_at_ms, flags);
        entry.ok_or_else(|| Error::out_of_memory(opened.bytes.len())).map(Some)
    }

    /// What L2 holds of `key`, opened, and the flags of its value; nothing when it has ended by what is sealed in it, or
    /// when it cannot be opened and the document calls that a miss.
    pub(super) fn unsealed(
        &self,
        key: &[u8],
        stored: Stored,
        config: &Config,
    ) -> Result<Option<(Stored, u32)>> {
        let context = Context { namespace: config.l2.key_prefix.as_bytes(), name: key };
        let mut opened = self.open_with(self.keys.ring(), &context, &stored.bytes, config);
        if let Err(Refusal::UnknownKey { .. } | Refusal::MissingUnwrapKey { .. }) = opened
            && self.may_read_ring_again()
        {
            self.read_ring_again(config);
            opened = self.open_with(self.keys.ring(), &context, &stored.bytes, config);
        }
        match opened {
            Ok(None) => Ok(Some((stored, 0))),
            Ok(Some(opened)) => Ok(self.checked(opened, stored)),
            Err(refusal) => self.refused(key, &refusal, config),
        }
    }

    /// `None` where what lies there is what callers get.
    fn open_with(
        &self,
        ring: Option<Arc<Ring>>,
        context: &Context<'_>,
        bytes: &[u8],
        config: &Config,
    ) -> std::result::Result<Option<crypto::Opened>, Refusal> {
        let Some(ring) = ring else { return crypto::refuse_sealed(bytes).map(|()| None) };
        match crypto::open(&ring, context, bytes) {
            Err(Refusal::Foreign(foreign)) if config.encryption.accept_plaintext => {
                let (bytes, stamp) = crypto::open_plain(context, bytes)?;
                count(&self.keys.counters.plain);
                let is_clear = foreign == Foreign::Clear;
                let stamp = stamp.filter(|_| is_clear).unwrap_or_default();
                Ok(Some(crypto::Opened { bytes, stamp, is_retired: false }))
            }
            opened => opened.map(Some),
        }
    }

    /// What is sealed in an entry holds, whatever its store says: that may have been altered.
    fn checked(&self, opened: crypto::Opened, stored: Stored) -> Option<(Stored, u32)> {
        let sealed_end = opened.stamp.expires_at_ms;
        if sealed_end != 0 && sealed_end <= clock::unix_ms() {
            count(&self.keys.counters.expired);
            return None;
        }
        let earlier = |end: i64| match (end, sealed_end) {
            (0, end) | (end, 0) => end,
            (one, other) => one.min(other),
        };
        let mut lifetime = stored.lifetime;
        lifetime.expires_at_ms = earlier(lifetime.expires_at_ms);
        let written_at_ms =
            if opened.stamp.created_at_ms == 0 { stored.written_at_ms } else { opened.stamp.created_at_ms };
        let flags = if opened.is_retired { RETIRED_KEY } else { 0 };
        if opened.is_retired {
            count(&self.keys.counters.retired);
        }
        let ends_at_ms = earlier(stored.ends_at_ms);
        Some((Stored { bytes: opened.bytes, lifetime, written_at_ms, ends_at_ms, ..stored }, flags))
    }

    fn refused(&self, key: &[u8], refusal: &Refusal, config: &Config) -> Result<Option<(Stored, u32)>> {
        let kind = refusal.kind();
        if let Some(row) = SEAL_KINDS.iter().position(|known| *known == kind) {
            count(&self.keys.counters.refused[row]);
        }
        let message = match refusal {
            Refusal::UnknownKey { id, .. } => {
                self.peers.announce_soon();
                format!("{refusal}{}", self.peers.holders_of(*id))
            }
            _ => refusal.to_string(),
        };
        let is_miss = config.encryption.unreadable == Unreadable::Miss && SEAL_KINDS.contains(&kind);
        self.log.write(Level::Warn, "encryption", || {
            let answer = if is_miss { "TC_NOT_FOUND" } else { kind.name() };
            format!("operation=get tier=l2 key={} status={answer}: {message}", self.log.key(key))
        });
        if is_miss {
            count(&self.keys.counters.missed);
            return Ok(None);
        }
        Err(Error::new(kind, message))
    }

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
        let config = self.config.load();
        let is_changed = lock(&self.keys.reading).files.iter().any(|mark| Mark::of(&mark.path) != *mark);
        if is_changed {
            self.read_ring_again(&config);
        }
    }

    /// A ring that cannot be read leaves the one in use where it is.
    fn read_ring_again(&self, config: &Config) {
        let mut reading = lock(&self.keys.reading);
        let files = marks(&config.encryption);
        match load(&config.encryption) {
            Ok(loaded) => {
                let warnings = loaded.warnings.clone();
                let is_changed = self.keys.take(&mut reading, loaded);
                drop(reading);
                if is_changed {
                    warn(&self.log, &warnings);
                    self.ring_changed();
                }
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
        let is_changed = self.keys.take(&mut lock(&self.keys.reading), loaded);
        if is_changed {
            self.ring_changed();
        }
    }

    /// What was opened under the ring before may be revoked now, or retired, so it is opened again.
    fn ring_changed(&self) {
        // A read that is under way was opened under the ring before, and must not land.
        if let Some(epochs) = &self.epochs {
            epochs.bump_all();
        }
        self.l1.forget_shared();
        self.log.write(Level::Info, "encryption", || match self.keys.ring() {
            Some(ring) => format!("The key ring has changed: {}.", ring.known()),
            None => "The key ring is gone.".into(),
        });
        self.peers.announce_soon();
    }

    /// What `tc_stats` says of the seal.
    pub(super) fn describe_seal(&self) -> Value {
        let Some(ring) = self.keys.ring() else { return json!({ "algorithm": "none" }) };
        let ids = |state: KeyState| -> Vec<String> {
            let keys = ring.keys().iter().filter(|key| key.state == state);
            keys.map(|key| key.id.to_string()).collect()
        };
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &self.keys.counters;
        let refused: serde_json::Map<String, Value> = SEAL_KINDS
            .iter()
            .zip(&counters.refused)
            .map(|(kind, counter)| (kind.name().to_owned(), load(counter).into()))
            .collect();
        json!({
            "algorithm": "aes-256-gcm",
            "active": ids(KeyState::Active).first(),
            "retired": ids(KeyState::Retired),
            "revoked": ids(KeyState::Revoked),
            "keys_are_locked": ring.is_locked(),
            "ring_problem": lock(&self.keys.reading).problem,
            "opened_by_retired_keys": load(&counters.retired),
            "accepted_plaintext": load(&counters.plain),
            "ended_by_their_seal": load(&counters.expired),
            "unreadable_as_misses": load(&counters.missed),
            "refused": refused,
            "peers": self.peers.describe(),
        })
    }
}

/// `flags` of a value: it was sealed under a retired key.
const RETIRED_KEY: u32 = 1;
