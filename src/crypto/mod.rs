//! Entries sealed at rest. What is sealed is bound to its key and its prefix, and what cannot be opened is never bytes,
//! always a [`Refusal`] that says why.
//!
//! [`envelope`] has the layout, [`ring`] the keys; this file joins them.

#![forbid(unsafe_code)]

mod cipher;
mod document;
pub mod edit;
pub mod envelope;
pub mod files;
mod foreign;
mod key;
mod locked;
mod pem;
mod refusal;
pub mod ring;
pub mod wrap;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use self::cipher::OneTime;
use self::envelope::{AES_256_GCM, CLEAR, COMMITMENT_AT, Envelope, HEADER_BYTES, Malformed, OVERHEAD};
pub use self::envelope::{Stamp, TOMBSTONE};
pub use self::foreign::Foreign;
pub use self::key::{KeyId, Material};
pub use self::refusal::{Known, Novelty, Refusal};
use self::ring::Lookup;
pub use self::ring::Ring;
use crate::entry::Secret;
use crate::error::{Error, Kind, Result};

/// Where an entry belongs.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// What its keys begin with.
    pub namespace: &'a [u8],
    /// Its key.
    pub name: &'a [u8],
}

/// An entry that was sealed.
pub struct Opened {
    /// Its value.
    pub bytes: Secret,
    /// What its envelope says, which nobody has altered.
    pub stamp: Stamp,
    /// Whether it was sealed under a key that is not the active one any more.
    pub is_retired: bool,
}

/// `plaintext`, sealed under the active key of `ring` for `context`.
///
/// # Errors
/// `OutOfMemory`, also where the operating system gives no random bytes.
pub fn seal(ring: &Ring, context: &Context<'_>, stamp: &Stamp, plaintext: &[u8]) -> Result<Vec<u8>> {
    let mut salt = [0; 32];
    getrandom::fill(&mut salt).map_err(|error| {
        let message = format!("The operating system gave no random bytes ({error}); nothing was sealed.");
        Error::new(Kind::OutOfMemory, message)
    })?;
    seal_with_salt(ring, context, stamp, plaintext, &salt)
}

/// [`seal`] with a `salt` that is given. For test vectors only: two entries of one salt give their secret away.
///
/// # Errors
/// `OutOfMemory`.
pub fn seal_with_salt(
    ring: &Ring,
    context: &Context<'_>,
    stamp: &Stamp,
    plaintext: &[u8],
    salt: &[u8; 32],
) -> Result<Vec<u8>> {
    let length = plaintext.len().saturating_add(OVERHEAD);
    // It holds the value itself until that is sealed where it lies.
    let mut sealed = Zeroizing::new(Vec::new());
    sealed.try_reserve_exact(length).map_err(|_| Error::out_of_memory(length))?;
    let (id, key) = ring.active();
    let mut header = envelope::header(AES_256_GCM, id, stamp, salt);
    let once = OneTime::derive(key, salt, &header, context);
    header[COMMITMENT_AT..].copy_from_slice(once.commitment());
    sealed.extend_from_slice(&header);
    sealed.extend_from_slice(plaintext);
    let tag = once.seal(&header, &mut sealed[HEADER_BYTES..]).ok_or_else(|| Error::out_of_memory(length))?;
    sealed.extend_from_slice(&tag);
    Ok(std::mem::take(&mut *sealed))
}

/// The entry that `bytes` hold, sealed for `context` under any key of `ring` that opens.
///
/// # Errors
/// Why there is none.
pub fn open(ring: &Ring, context: &Context<'_>, bytes: &[u8]) -> std::result::Result<Opened, Refusal> {
    let envelope = take_apart(bytes)?;
    if envelope.suite == CLEAR {
        return Err(Refusal::Foreign(Foreign::Clear));
    }
    let id = envelope.key;
    let written_at_ms = envelope.stamp.created_at_ms;
    let (key, is_retired) = match ring.find(id) {
        Lookup::Opens { key, is_retired } => (key, is_retired),
        Lookup::Unknown => return Err(Refusal::UnknownKey { id, written_at_ms, known: ring.known() }),
        Lookup::Revoked => return Err(Refusal::RevokedKey { id, written_at_ms, known: ring.known() }),
        Lookup::Wrapped(wanted) => {
            return Err(Refusal::MissingUnwrapKey { id, written_at_ms, wanted: wanted.to_vec() });
        }
    };
    let once = OneTime::derive(key, envelope.salt, envelope.header, context);
    if !bool::from(once.commitment().ct_eq(envelope.commitment)) {
        return Err(Refusal::WrongContext { id, written_at_ms });
    }
    // Only now are the flags what their writer wrote; an unknown one before would be damage.
    check_flags(&envelope)?;
    let length = envelope.body.len();
    let mut plaintext = Zeroizing::new(Vec::new());
    plaintext.try_reserve_exact(length).map_err(|_| Refusal::OutOfMemory(length))?;
    plaintext.resize(length, 0);
    match once.open(envelope.header, envelope.body, envelope.tag, &mut plaintext) {
        Some(true) => {}
        Some(false) => {
            return Err(Refusal::Broken { what: "its value does not match its tag", id: Some(id) });
        }
        None => return Err(Refusal::OutOfMemory(length)),
    }
    Ok(Opened { bytes: Secret::from(std::mem::take(&mut *plaintext)), stamp: envelope.stamp, is_retired })
}

/// Whether `bytes` have the form of what this library seals.
#[must_use]
pub fn is_envelope(bytes: &[u8]) -> bool {
    Envelope::parse(bytes).is_ok()
}

/// Whether `bytes` are sealed under a key that `ring` does not have, or cannot unwrap.
#[must_use]
pub fn misses_a_key(ring: &Ring, bytes: &[u8]) -> bool {
    let is_missing = |key| matches!(ring.find(key), Lookup::Unknown | Lookup::Wrapped(_));
    take_apart(bytes).is_ok_and(|envelope| envelope.suite != CLEAR && is_missing(envelope.key))
}

/// What `bytes` hold for a cache that accepts plain text: an envelope of the clear suite for `context`, with its
/// stamp, or bytes that nobody sealed, as they are.
///
/// # Errors
/// Why they are not taken: an envelope that needs a key, or what looks sealed by something else, is never plain text.
pub fn open_plain(
    context: &Context<'_>,
    bytes: &[u8],
) -> std::result::Result<(Secret, Option<Stamp>), Refusal> {
    let copy = |bytes: &[u8]| Secret::copy(bytes).ok_or(Refusal::OutOfMemory(bytes.len()));
    let envelope = match take_apart(bytes) {
        Err(Refusal::Foreign(foreign)) if foreign.may_be_plain() && !is_damaged_envelope(bytes) => {
            return Ok((copy(bytes)?, None));
        }
        taken => taken?,
    };
    let (id, written_at_ms) = (envelope.key, envelope.stamp.created_at_ms);
    if envelope.suite != CLEAR {
        return Err(Refusal::NoRing { id, written_at_ms });
    }
    if cipher::checksum(envelope.header, envelope.body) != *envelope.tag {
        return Err(Refusal::Broken { what: "its value does not match its checksum", id: None });
    }
    if cipher::digest(context) != *envelope.commitment {
        return Err(Refusal::WrongContext { id, written_at_ms });
    }
    check_flags(&envelope)?;
    Ok((copy(envelope.body)?, Some(envelope.stamp)))
}

/// Whether a cache without a ring may hand out `bytes`: anything may be a value there, except what this library sealed.
///
/// # Errors
/// Why they stay shut.
pub fn refuse_sealed(bytes: &[u8]) -> std::result::Result<(), Refusal> {
    match take_apart(bytes) {
        Err(Refusal::Foreign(_)) => Ok(()),
        Ok(envelope) if envelope.suite == CLEAR => Err(Refusal::Foreign(Foreign::Clear)),
        Ok(envelope) => {
            Err(Refusal::NoRing { id: envelope.key, written_at_ms: envelope.stamp.created_at_ms })
        }
        Err(refusal) => Err(refusal),
    }
}

/// Whether one of the first bytes of an envelope is all that keeps `bytes` from being one.
fn is_damaged_envelope(bytes: &[u8]) -> bool {
    let right = envelope::MAGIC.iter().zip(bytes).filter(|(magic, byte)| magic == byte).count();
    bytes.len() >= OVERHEAD && right + 1 >= envelope::MAGIC.len()
}

fn take_apart(bytes: &[u8]) -> std::result::Result<Envelope<'_>, Refusal> {
    let envelope = Envelope::parse(bytes).map_err(|malformed| match malformed {
        Malformed::NotOurs => Refusal::Foreign(Foreign::recognise(bytes)),
        Malformed::TooShort => Refusal::Broken { what: "it is cut short", id: None },
        Malformed::NoFormat => Refusal::Broken { what: "its format is 0, which nothing writes", id: None },
        Malformed::Newer(format) => Refusal::Unsupported(Novelty::Format(format)),
    })?;
    match envelope.suite {
        CLEAR | AES_256_GCM => Ok(envelope),
        suite => Err(Refusal::Unsupported(Novelty::Suite(suite))),
    }
}

/// A flag changes what a value means, so one that is unknown is not passed over.
fn check_flags(envelope: &Envelope<'_>) -> std::result::Result<(), Refusal> {
    match envelope.stamp.flags & !TOMBSTONE {
        0 => Ok(()),
        unknown => Err(Refusal::Unsupported(Novelty::Flags(unknown))),
    }
}
