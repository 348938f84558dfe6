//! Why an entry was not opened, in words that name the key, the time and the way out.

#![forbid(unsafe_code)]

use std::fmt;

use super::wrap::Recipient;
use super::{Foreign, KeyId};
use crate::error::{Error, Kind};
use crate::timestamp;

/// The keys of a ring, by name, as they were when it refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Under which it seals.
    pub active: KeyId,
    /// What else it opens.
    pub retired: Vec<KeyId>,
}

/// What of an envelope is newer than this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Novelty {
    /// The version of its format.
    Format(u8),
    /// How it is sealed.
    Suite(u8),
    /// Flags that are not known here.
    Flags(u16),
}

/// Why an entry was not opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The ring does not have its key.
    UnknownKey {
        /// The key.
        id: KeyId,
        /// When its header says that it was written.
        written_at_ms: i64,
        /// The keys that are here.
        known: Known,
    },
    /// The ring has its key, wrapped for others.
    MissingUnwrapKey {
        /// The key.
        id: KeyId,
        /// When its header says that it was written.
        written_at_ms: i64,
        /// For whom it is wrapped.
        wanted: Vec<Recipient>,
    },
    /// It is sealed, and there is no ring here.
    NoRing {
        /// The key.
        id: KeyId,
        /// When its header says that it was written.
        written_at_ms: i64,
    },
    /// Its key is revoked.
    RevokedKey {
        /// The key.
        id: KeyId,
        /// When its header says that it was written.
        written_at_ms: i64,
        /// The keys that are here.
        known: Known,
    },
    /// It is damaged or cut short.
    Broken {
        /// Which part, as the rest of a sentence.
        what: &'static str,
        /// Its key, where it can still be told.
        id: Option<KeyId>,
    },
    /// It was sealed for another place, or its header was altered.
    WrongContext {
        /// The key.
        id: KeyId,
        /// When its header says that it was written.
        written_at_ms: i64,
    },
    /// It is no envelope.
    Foreign(Foreign),
    /// It was written by a newer version of this library.
    Unsupported(Novelty),
    /// There is no memory for so many bytes.
    OutOfMemory(usize),
}

impl Refusal {
    /// Its kind, which is a status of the C ABI.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Refusal::UnknownKey { .. } | Refusal::MissingUnwrapKey { .. } | Refusal::NoRing { .. } => {
                Kind::SealUnknownKey
            }
            Refusal::RevokedKey { .. } => Kind::SealRevokedKey,
            Refusal::Broken { .. } => Kind::SealBroken,
            Refusal::WrongContext { .. } => Kind::SealWrongContext,
            Refusal::Foreign(_) => Kind::SealForeign,
            Refusal::Unsupported(_) => Kind::SealUnsupported,
            Refusal::OutOfMemory(_) => Kind::OutOfMemory,
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Error {
        match refusal {
            Refusal::OutOfMemory(bytes) => Error::out_of_memory(bytes),
            refusal => Error::new(refusal.kind(), refusal.to_string()),
        }
    }
}

const HEADING: &str = "see \"Keys differ between machines\" in the README.";

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::UnknownKey { id, written_at_ms, known } => write!(
                formatter,
                "The entry was sealed under the key {id}, which is not in this ring ({known}); its header says that \
                 it was written {}. Give this process the ring of the one that wrote it; {HEADING}",
                timestamp::minute(*written_at_ms)
            ),
            Refusal::MissingUnwrapKey { id, written_at_ms, wanted } => write!(
                formatter,
                "The entry was sealed under the key {id}, which is in this ring, but wrapped for private keys that \
                 are not here (SHA-256 of the public key: {}); its header says that it was written {}. Name one of \
                 them in /encryption/unwrap_key_files; {HEADING}",
                list(wanted.iter().map(Recipient::short)),
                timestamp::minute(*written_at_ms)
            ),
            Refusal::NoRing { id, written_at_ms } => write!(
                formatter,
                "The entry was sealed under the key {id}, and this cache has no key ring; its header says that it was \
                 written {}. Set /encryption/algorithm to \"aes-256-gcm\" and give this process the ring of the one \
                 that wrote it; {HEADING}",
                timestamp::minute(*written_at_ms)
            ),
            Refusal::RevokedKey { id, written_at_ms, known } => write!(
                formatter,
                "The entry was sealed under the key {id}, which is revoked in this ring ({known}), so it stays shut; \
                 its header says that it was written {}. Store the value again, or remove it; {HEADING}",
                timestamp::minute(*written_at_ms)
            ),
            Refusal::Broken { what, id } => {
                write!(formatter, "The entry is damaged: {what}")?;
                if let Some(id) = id {
                    write!(formatter, " (sealed under the key {id})")?;
                }
                formatter.write_str(". Store the value again, or remove it.")
            }
            Refusal::WrongContext { id, written_at_ms } => write!(
                formatter,
                "The entry was sealed under the key {id}, which is here, but for another cache key or another \
                 /l2/key_prefix, or its header was altered; the header says that it was written {}. Was it copied, \
                 renamed, or restored under another prefix? It opens only where it was sealed for.",
                timestamp::minute(*written_at_ms)
            ),
            Refusal::Foreign(foreign) => {
                write!(
                    formatter,
                    "The entry is not sealed by this library: it {foreign}. {}",
                    foreign.way_out()
                )
            }
            Refusal::Unsupported(novelty) => write!(
                formatter,
                "The entry has {novelty}, which Tokencache {} does not know; a newer Tokencache wrote it, so update \
                 this one.",
                env!("CARGO_PKG_VERSION")
            ),
            Refusal::OutOfMemory(bytes) => fmt::Display::fmt(&Error::out_of_memory(*bytes), formatter),
        }
    }
}

impl fmt::Display for Known {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "active {}", self.active.short())?;
        match self.retired.as_slice() {
            [] => formatter.write_str(", none retired"),
            retired => write!(formatter, ", retired {}", list(retired.iter().map(KeyId::short))),
        }
    }
}

impl fmt::Display for Novelty {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Novelty::Format(format) => write!(formatter, "the format {format}"),
            Novelty::Suite(suite) => write!(formatter, "the suite {suite}"),
            Novelty::Flags(flags) => write!(formatter, "the flags {flags:#06x}"),
        }
    }
}

/// The first few, and how many more there are.
fn list(names: impl ExactSizeIterator<Item = String>) -> String {
    const SHOWN: usize = 8;
    let more = names.len().saturating_sub(SHOWN);
    let mut list = names.take(SHOWN).collect::<Vec<_>>().join(", ");
    if more > 0 {
        list.push_str(&format!(" and {more} more"));
    }
    list
}
