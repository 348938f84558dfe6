//! The layout of an envelope, TKC1: what an entry looks like in L2 when it is sealed. 128 bytes more than its value,
//! all numbers big-endian.
//!
//! | at | bytes | what |
//! |---|---|---|
//! | 0 | 4 | magic `F6 'TKC'`: F6 is never in UTF-8 |
//! | 4 | 1 | format version, 1 |
//! | 5 | 1 | suite |
//! | 6 | 2 | flags |
//! | 8 | 16 | the id of the key |
//! | 24 | 8 | the version of the entry |
//! | 32 | 8 | when it was written, Unix ms |
//! | 40 | 8 | when it ends, Unix ms; 0 for never |
//! | 48 | 32 | salt |
//! | 80 | 32 | commitment to key, header and context |
//! | 112 | n | the sealed value |
//! | 112 + n | 16 | tag |
//!
//! Suite 1 is HKDF-SHA256 and AES-256-GCM. Suite 0 is clear: its key id and salt are zeros, its commitment is the hash
//! of the context, and its tag the first 16 bytes of the SHA-256 of everything before it; it keeps damage out, not
//! people.

#![forbid(unsafe_code)]

use super::KeyId;

/// The first bytes.
pub const MAGIC: [u8; 4] = *b"\xF6TKC";
/// The version of the format.
pub const FORMAT: u8 = 1;
/// The suite without a key.
pub const CLEAR: u8 = 0;
/// HKDF-SHA256 with AES-256-GCM.
pub const AES_256_GCM: u8 = 1;
/// The flag of a removal that is remembered.
pub const TOMBSTONE: u16 = 1;

/// Where the commitment begins.
pub const COMMITMENT_AT: usize = 80;
/// Where the sealed value begins.
pub const HEADER_BYTES: usize = 112;
/// How long the tag is.
pub const TAG_BYTES: usize = 16;
/// What sealing adds.
pub const OVERHEAD: usize = HEADER_BYTES + TAG_BYTES;
/// What the commitment commits to, beside the salt and the context.
pub const BOUND_BYTES: usize = SALT_AT;

const KEY_AT: usize = 8;
const VERSION_AT: usize = 24;
const CREATED_AT: usize = 32;
const EXPIRES_AT: usize = 40;
const SALT_AT: usize = 48;

/// What an envelope says of its entry: in the open, but nobody can alter it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// The version of the entry.
    pub version: u64,
    /// Unix time of the write.
    pub created_at_ms: i64,
    /// Unix time of its end; 0 for never.
    pub expires_at_ms: i64,
    /// [`TOMBSTONE`] and nothing else, in this version.
    pub flags: u16,
}

/// An envelope, taken apart. Nothing in it has been checked but its length.
#[derive(Clone, Copy)]
pub struct Envelope<'a> {
    /// How it is sealed.
    pub suite: u8,
    /// Under which key.
    pub key: KeyId,
    /// What it says of its entry.
    pub stamp: Stamp,
    /// The first bytes, up to [`HEADER_BYTES`].
    pub header: &'a [u8; HEADER_BYTES],
    /// Makes the key of this entry one of its own.
    pub salt: &'a [u8; 32],
    /// To be compared before anything is opened.
    pub commitment: &'a [u8; 32],
    /// The sealed value.
    pub body: &'a [u8],
    /// Its tag.
    pub tag: &'a [u8; TAG_BYTES],
}

/// Why bytes are not an envelope that this version can take apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// They do not begin like one.
    NotOurs,
    /// They begin like one, and end too early.
    TooShort,
    /// The version of their format never existed.
    NoFormat,
    /// They have a newer format.
    Newer(u8),
}

impl<'a> Envelope<'a> {
    /// `bytes`, taken apart.
    ///
    /// # Errors
    /// Why that cannot be done.
    pub fn parse(bytes: &'a [u8]) -> Result<Envelope<'a>, Malformed> {
        if !bytes.starts_with(&MAGIC) {
            let is_cut = !bytes.is_empty() && MAGIC.starts_with(bytes);
            return Err(if is_cut { Malformed::TooShort } else { Malformed::NotOurs });
        }
        match bytes.get(MAGIC.len()) {
            // Before the length, because a newer format may well be shorter.
            Some(&format) if format > FORMAT => return Err(Malformed::Newer(format)),
            Some(0) => return Err(Malformed::NoFormat),
            _ => {}
        }
        let (header, rest) = bytes.split_first_chunk::<HEADER_BYTES>().ok_or(Malformed::TooShort)?;
        let (body, tag) = rest.split_last_chunk::<TAG_BYTES>().ok_or(Malformed::TooShort)?;
        let stamp = Stamp {
            version: u64::from_be_bytes(part(header, VERSION_AT)),
            created_at_ms: i64::from_be_bytes(part(header, CREATED_AT)),
            expires_at_ms: i64::from_be_bytes(part(header, EXPIRES_AT)),
            flags: u16::from_be_bytes(part(header, 6)),
        };
        Ok(Envelope {
            suite: header[5],
            key: KeyId(part(header, KEY_AT)),
            stamp,
            header,
            salt: reference(header, SALT_AT),
            commitment: reference(header, COMMITMENT_AT),
            body,
            tag,
        })
    }
}

/// A header whose commitment is still missing.
#[must_use]
pub fn header(suite: u8, key: KeyId, stamp: &Stamp, salt: &[u8; 32]) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &MAGIC);
    put(4, &[FORMAT, suite]);
    put(6, &stamp.flags.to_be_bytes());
    put(KEY_AT, &key.0);
    put(VERSION_AT, &stamp.version.to_be_bytes());
    put(CREATED_AT, &stamp.created_at_ms.to_be_bytes());
    put(EXPIRES_AT, &stamp.expires_at_ms.to_be_bytes());
    put(SALT_AT, salt);
    header
}

fn reference<const N: usize>(header: &[u8; HEADER_BYTES], at: usize) -> &[u8; N] {
    header[at..].first_chunk().expect("every part lies inside the header")
}

fn part<const N: usize>(header: &[u8; HEADER_BYTES], at: usize) -> [u8; N] {
    *reference(header, at)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp { version: 7, created_at_ms: 8, expires_at_ms: 9, flags: TOMBSTONE };

    #[test]
    fn what_is_written_is_what_is_read() {
        let mut bytes = header(AES_256_GCM, KeyId([3; 16]), &STAMP, &[4; 32]).to_vec();
        bytes.extend_from_slice(b"value");
        bytes.extend_from_slice(&[5; TAG_BYTES]);
        let envelope = Envelope::parse(&bytes).expect("an envelope");
        assert_eq!((envelope.suite, envelope.key, envelope.stamp), (AES_256_GCM, KeyId([3; 16]), STAMP));
        assert_eq!((envelope.salt, envelope.commitment), (&[4; 32], &[0; 32]));
        assert_eq!((envelope.body, envelope.tag), (&b"value"[..], &[5; TAG_BYTES]));
        assert_eq!(bytes.len(), b"value".len() + OVERHEAD);
        assert_eq!(OVERHEAD, 128);
    }

    #[test]
    fn what_cannot_be_taken_apart_says_why() {
        let whole = [&header(AES_256_GCM, KeyId([3; 16]), &STAMP, &[4; 32])[..], &[0; TAG_BYTES]].concat();
        let why = |bytes: &[u8]| Envelope::parse(bytes).err();
        assert_eq!(why(&whole), None);
        for length in 1..whole.len() {
            assert_eq!(why(&whole[..length]), Some(Malformed::TooShort), "{length}");
        }
        assert_eq!(why(b""), Some(Malformed::NotOurs));
        assert_eq!(why(b"{}"), Some(Malformed::NotOurs));
        let with_format = |format| [&MAGIC[..], &[format], &whole[5..]].concat();
        assert_eq!(why(&with_format(2)), Some(Malformed::Newer(2)));
        assert_eq!(why(&with_format(2)[..5]), Some(Malformed::Newer(2)));
        assert_eq!(why(&with_format(0)), Some(Malformed::NoFormat));
    }
}
