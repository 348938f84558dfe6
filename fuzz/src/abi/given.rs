//! What calls are given: texts, keys, values, options and places for answers, good ones and bad ones.

use std::ffi::{c_char, c_void};
use std::path::PathBuf;
use std::ptr;
use std::sync::LazyLock;

use arbitrary::Arbitrary;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokencache::ffi::{TC_VERSION_ABSENT, tc_set_options, tc_value};

const NTS: usize = usize::MAX;

/// Where the databases are.
static FOLDER: LazyLock<TempDir> =
    LazyLock::new(|| tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder"));

/// A pointer with the length that is said of it; what it points to is as long as it may be read, and no byte longer.
pub struct Given {
    kept: Option<Box<[u8]>>,
    pub len: usize,
}

impl Given {
    fn of(bytes: &[u8]) -> Given {
        Given { kept: Some(bytes.into()), len: bytes.len() }
    }

    pub fn text(&self) -> *const c_char {
        self.bytes().cast()
    }

    pub fn bytes(&self) -> *const c_void {
        self.kept.as_ref().map_or(ptr::null(), |kept| kept.as_ptr().cast())
    }
}

/// What is said of the length of a buffer.
#[derive(Arbitrary, Debug)]
pub enum Length {
    Its,
    Text,
    Impossible(u8),
}

impl Length {
    fn of(&self, bytes: &[u8]) -> Given {
        match self {
            Length::Its => Given::of(bytes),
            Length::Text => Given { len: NTS, ..Given::of(&[bytes, b"\0"].concat()) },
            Length::Impossible(less) => Given { len: NTS - 1 - usize::from(*less), ..Given::of(bytes) },
        }
    }
}

#[derive(Arbitrary, Debug)]
pub enum Key {
    Known(u8),
    Any(Vec<u8>, Length),
    Null(u8),
}

impl Key {
    pub fn given(&self) -> Given {
        match self {
            Key::Known(which) => Given::of(format!("key-{}", which % 4).as_bytes()),
            Key::Any(bytes, length) => length.of(bytes),
            Key::Null(len) => Given { kept: None, len: usize::from(*len) },
        }
    }
}

#[derive(Arbitrary, Debug)]
pub enum Bytes {
    Some(Vec<u8>),
    Long(u16),
    TooLong,
    Impossible(Vec<u8>, u8),
    Null(u8),
}

impl Bytes {
    pub fn given(&self) -> Given {
        match self {
            Bytes::Some(bytes) => Given::of(bytes),
            Bytes::Long(len) => Given::of(&vec![b't'; usize::from(*len)]),
            Bytes::TooLong => Given::of(&vec![b't'; (1 << 20) + 1]),
            Bytes::Impossible(bytes, less) => Length::Impossible(*less).of(bytes),
            Bytes::Null(len) => Given { kept: None, len: usize::from(*len) },
        }
    }
}

#[derive(Arbitrary, Debug)]
pub enum Document {
    Alone,
    Tiny,
    Sqlite,
    Sealed,
    Behind,
    Journal,
    Unreachable,
    Null,
    Any(Vec<u8>, Length),
}

impl Document {
    pub fn given(&self) -> Given {
        let plain = json!({"algorithm": "none"});
        let ring = json!({"version": 1, "keys": [{"state": "active", "material": "AA".repeat(21) + "AE="}]});
        let file = |name: &str| -> PathBuf { FOLDER.path().join(name) };
        let members = match self {
            Document::Alone => json!({}),
            Document::Tiny => json!({"l1": {"capacity_bytes": 65_536}, "limits": {"max_value_bytes": 1024}}),
            Document::Sqlite => {
                json!({"l2": {"kind": "sqlite", "path": file("plain.db")}, "encryption": plain})
            }
            Document::Sealed => json!({
                "l2": {"kind": "sqlite", "path": file("sealed.db")},
                "encryption": {"algorithm": "aes-256-gcm", "keyring": ring},
            }),
            Document::Behind => json!({
                "l2": {"kind": "sqlite", "path": file("behind.db"), "write": "behind"}, "encryption": plain,
            }),
            Document::Journal => json!({
                "l2": {"kind": "sqlite", "path": file("owing.db")}, "encryption": plain,
                "resilience": {"journal_path": file("owed.db")},
            }),
            // No server is there, and nobody waits for one.
            Document::Unreachable => json!({
                "l2": {"kind": "redis", "url": "redis://127.0.0.1:1/0"}, "encryption": plain,
                "resilience": {"deadline_ms": 20, "close_ms": 20, "circuit_failures": 1},
            }),
            Document::Null => return Given { kept: None, len: 7 },
            Document::Any(bytes, length) => return length.of(bytes),
        };
        let Value::Object(mut members) = members else { unreachable!("all of them are") };
        members.insert("version".into(), 1.into());
        members.insert("logging".into(), json!({"to": "none"}));
        Given::of(Value::from(members).to_string().as_bytes())
    }
}

#[derive(Arbitrary, Debug)]
pub enum Options {
    None,
    Any { size: Option<u8>, ttl_ms: i64, expires_at_ms: i64, sliding_ms: i64, version: u64, flags: u64 },
    Usual { ttl_ms: i16, sliding_ms: u8, version: Version, is_local: bool },
}

#[derive(Arbitrary, Debug)]
pub enum Version {
    Anything,
    Absent,
    Last,
}

impl Options {
    /// `None` for a null pointer.
    pub fn given(&self, last_version: u64) -> Option<tc_set_options> {
        let whole = size_of::<tc_set_options>();
        match *self {
            Options::None => None,
            Options::Any { size, ttl_ms, expires_at_ms, sliding_ms, version, flags } => {
                Some(tc_set_options {
                    // No longer than it is: what is beyond would be read.
                    struct_size: size.map_or(whole, |size| usize::from(size).min(whole)),
                    ttl_ms,
                    expires_at_ms,
                    sliding_ms,
                    expected_version: version,
                    flags,
                })
            }
            Options::Usual { ttl_ms, sliding_ms, ref version, is_local } => Some(tc_set_options {
                struct_size: whole,
                ttl_ms: ttl_ms.into(),
                expires_at_ms: 0,
                sliding_ms: sliding_ms.into(),
                expected_version: match version {
                    Version::Anything => 0,
                    Version::Absent => TC_VERSION_ABSENT,
                    Version::Last => last_version,
                },
                flags: is_local.into(),
            }),
        }
    }
}

/// Where an answer is to be written.
#[derive(Arbitrary, Debug, Clone, Copy)]
pub enum Output {
    Good,
    Null,
    Misaligned,
}

/// A place for a value, or none.
pub struct Place {
    kind: Output,
    /// Twice as long as a pointer, so that there is room beside its alignment.
    room: [*const tc_value; 2],
}

impl Place {
    pub fn new(kind: Output) -> Place {
        Place { kind, room: [ptr::null(); 2] }
    }

    pub fn at(&mut self) -> *mut *const tc_value {
        match self.kind {
            Output::Good => self.room.as_mut_ptr(),
            Output::Null => ptr::null_mut(),
            Output::Misaligned => self.room.as_mut_ptr().wrapping_byte_add(1),
        }
    }

    /// What was written there; elsewhere nothing is.
    pub fn value(&self) -> *const tc_value {
        assert!(self.room[1].is_null() && (matches!(self.kind, Output::Good) || self.room[0].is_null()));
        self.room[0]
    }
}
