//! The seal between the tiers: L1 holds what callers get, L2 what was sealed.

#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

use super::Cache;
use crate::clock;
use crate::config::{Config, Unreadable};
use crate::crypto::{self, Context, Foreign, Refusal, Ring, Stamp, ring::KeyState};
use crate::defect;
use crate::entry::{Entry, Lifetime, Secret, earliest};
use crate::error::{Error, Kind, Result};
use crate::l2::Stored;
use crate::log::Level;
use crate::stats::count;

/// What the seal came to.
#[derive(Default)]
pub(super) struct Counters {
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
        defect::point("seal");
        let Some(ring) = self.keys.ring() else { return Ok(Cow::Borrowed(data)) };
        let context = Context { namespace: config.l2.key_prefix.as_bytes(), name: key };
        let stamp = Stamp { version, created_at_ms: clock::unix_ms(), expires_at_ms, flags: 0 };
        crypto::seal(&ring, &context, &stamp, data).map(Cow::Owned)
    }

    /// An envelope as a set of `data` would store it.
    pub fn protect(&self, key: &[u8], data: &[u8]) -> Result<Entry> {
        let config = self.config.load();
        self.check_key(key, &config.limits)?;
        self.check_value(data)?;
        self.check_ring()?;
        let envelope = self.sealed(key, data, self.versions.next(), 0, &config)?;
        Entry::apart(&envelope, clock::unix_ms(), 0).ok_or_else(|| Error::out_of_memory(envelope.len()))
    }

    fn check_ring(&self) -> Result<()> {
        let message =
            "This cache has no key ring; set /encryption/algorithm to \"aes-256-gcm\" and name one.";
        self.keys.ring().map(drop).ok_or_else(|| Error::new(Kind::InvalidConfig, message))
    }

    /// What `envelope` holds, sealed for `key`; nothing when it has ended.
    pub fn unprotect(&self, key: &[u8], envelope: &[u8]) -> Result<Option<Entry>> {
        let config = self.config.load();
        self.check_key(key, &config.limits)?;
        self.check_ring()?;
        let limit = config.limits.max_value_bytes.saturating_add(crypto::envelope::OVERHEAD);
        if envelope.len() > limit {
            let len = envelope.len();
            let message = format!(
                "The envelope is {len} bytes long; of a value that limits.max_value_bytes allows it has {limit} at most."
            );
            return Err(Error::new(Kind::ValueTooLarge, message));
        }
        let bytes = Secret::copy(envelope).ok_or_else(|| Error::out_of_memory(envelope.len()))?;
        let stored =
            Stored { bytes, version: 0, written_at_ms: 0, lifetime: Lifetime::default(), ends_at_ms: 0 };
        let Some(opened) = self.opened(key, &stored.bytes, &config).map_err(|refusal| self.told(&refusal))?
        else {
            return Err(self.told(&Refusal::Foreign(Foreign::Unknown)));
        };
        let Some((opened, flags)) = self.checked(opened, stored) else { return Ok(None) };
        let entry = Entry::apart(&opened.bytes, opened.written_at_ms, flags);
        entry.ok_or_else(|| Error::out_of_memory(opened.bytes.len())).map(Some)
    }

    /// What somebody else has put into L2 may be longer than a value may be here.
    pub(super) fn check_found(&self, stored: &Stored, config: &Config) -> Result<()> {
        let seal = if crypto::is_envelope(&stored.bytes) { crypto::envelope::OVERHEAD } else { 0 };
        let (len, limit) = (stored.bytes.len().saturating_sub(seal), config.limits.max_value_bytes);
        if len <= limit {
            return Ok(());
        }
        let message = format!(
            "L2 holds a value of {len} bytes under this key; limits.max_value_bytes allows {limit}. Raise it, or store or \
             remove the key."
        );
        Err(Error::new(Kind::ValueTooLarge, message))
    }

    /// What L2 holds of `key`, opened, and the flags of its value; nothing when it has ended by what is sealed in it, or
    /// when it cannot be opened and the document calls that a miss.
    pub(super) fn unsealed(
        &self,
        key: &[u8],
        stored: Stored,
        config: &Config,
    ) -> Result<Option<(Stored, u32)>> {
        match self.opened(key, &stored.bytes, config) {
            Ok(None) => Ok(Some((stored, 0))),
            Ok(Some(opened)) => Ok(self.checked(opened, stored)),
            Err(refusal) => self.refused(key, &refusal, config),
        }
    }

    /// What `bytes` hold, sealed for `key`, also under a key that has come into the ring since it was read; `None` where
    /// they are what callers get.
    fn opened(
        &self,
        key: &[u8],
        bytes: &[u8],
        config: &Config,
    ) -> std::result::Result<Option<crypto::Opened>, Refusal> {
        defect::point("open");
        let context = Context { namespace: config.l2.key_prefix.as_bytes(), name: key };
        let ring = self.keys.ring();
        let tried = ring.as_ref().map(Arc::as_ptr);
        let opened = self.open_with(ring.clone(), &context, bytes, config);
        if !matches!(opened, Err(Refusal::UnknownKey { .. } | Refusal::MissingUnwrapKey { .. })) {
            return opened;
        }
        self.seek_key();
        // Somebody else may have read it in the meantime.
        let ring = self.keys.ring();
        if ring.as_ref().map(Arc::as_ptr) == tried {
            return opened;
        }
        self.open_with(ring, &context, bytes, config)
    }

    /// Whether `bytes` are sealed under a key that is not here, for which the ring would be read again.
    pub(super) fn misses_a_key(&self, bytes: &[u8]) -> bool {
        self.keys.ring().is_some_and(|ring| crypto::misses_a_key(&ring, bytes))
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
                count(&self.seals.plain);
                let is_clear = foreign == Foreign::Clear;
                let stamp = stamp.filter(|_| is_clear).unwrap_or_default();
                Ok(Some(crypto::Opened { bytes, stamp, is_retired: false }))
            }
            opened => opened.map(Some),
        }
    }

    /// What is sealed in an entry holds, whatever its store says: that may have been altered.
    fn checked(&self, opened: crypto::Opened, stored: Stored) -> Option<(Stored, u32)> {
        if opened.stamp.flags & crypto::TOMBSTONE != 0 {
            return None;
        }
        let sealed_end = opened.stamp.expires_at_ms;
        if sealed_end != 0 && sealed_end <= clock::unix_ms() {
            count(&self.seals.expired);
            return None;
        }
        let mut lifetime = stored.lifetime;
        lifetime.expires_at_ms = earliest(lifetime.expires_at_ms, sealed_end);
        let written_at_ms =
            if opened.stamp.created_at_ms == 0 { stored.written_at_ms } else { opened.stamp.created_at_ms };
        let flags = if opened.is_retired { RETIRED_KEY } else { 0 };
        if opened.is_retired {
            count(&self.seals.retired);
        }
        let ends_at_ms = earliest(stored.ends_at_ms, sealed_end);
        Some((Stored { bytes: opened.bytes, lifetime, written_at_ms, ends_at_ms, ..stored }, flags))
    }

    /// The refusal in words, counted.
    fn told(&self, refusal: &Refusal) -> Error {
        let kind = refusal.kind();
        if let Some(row) = SEAL_KINDS.iter().position(|known| *known == kind) {
            count(&self.seals.refused[row]);
        }
        let mut message = refusal.to_string();
        if let Refusal::UnknownKey { id, .. } = refusal {
            self.peers.announce_soon();
            message += &self.peers.holders_of(*id);
        }
        Error::new(kind, message)
    }

    fn refused(&self, key: &[u8], refusal: &Refusal, config: &Config) -> Result<Option<(Stored, u32)>> {
        let Error { kind, message } = self.told(refusal);
        let is_miss = config.encryption.unreadable == Unreadable::Miss && SEAL_KINDS.contains(&kind);
        self.log.write(Level::Warn, "encryption", || {
            let answer = if is_miss { "TC_NOT_FOUND" } else { kind.name() };
            format!("operation=get tier=l2 key={} status={answer}: {message}", self.log.key(key))
        });
        if is_miss {
            count(&self.seals.missed);
            return Ok(None);
        }
        Err(Error::new(kind, message))
    }

    /// What `tc_stats` says of the seal.
    pub(super) fn describe_seal(&self) -> Value {
        let Some(ring) = self.keys.ring() else { return json!({ "algorithm": "none" }) };
        let ids = |state: KeyState| -> Vec<String> {
            let keys = ring.keys().iter().filter(|key| key.state == state);
            keys.map(|key| key.id.to_string()).collect()
        };
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &self.seals;
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
            "ring_problem": self.keys.problem(),
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
