//! How entries are sealed in L2, and where the keys come from.

#![forbid(unsafe_code)]

use std::path::PathBuf;

use super::reader::{Settings, at_home};
use super::source::{Source, source};

pub(super) const KEYRING: [&str; 3] =
    ["/encryption/keyring", "/encryption/keyring_env", "/encryption/keyring_file"];

/// How entries are sealed in L2.
#[derive(Clone, Debug, PartialEq)]
pub struct Encryption {
    /// The key ring; `None` where L2 holds entries in plain text.
    pub keyring: Option<Source>,
    /// Private keys for what in the ring is wrapped.
    pub unwrap_key_files: Vec<PathBuf>,
    /// Whether plain entries found in L2 are read.
    pub accept_plaintext: bool,
    /// Whether a file that others can read is refused.
    pub strict_files: bool,
    /// What a read does with an entry that it cannot open.
    pub unreadable: Unreadable,
}

/// What a read does with an entry that it cannot open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// It fails, and says why.
    Error,
    /// It finds nothing; the reason is logged and counted.
    Miss,
}

impl Encryption {
    pub(super) fn from_settings(settings: &Settings) -> Encryption {
        // An object again as text, because the ring is read by the room that knows keys.
        let ring = settings.secret_json(KEYRING[0]).map(Source::Inline);
        let paths = settings.get("/encryption/unwrap_key_files");
        let paths = paths.as_ref().and_then(|paths| paths.as_array()).into_iter().flatten();
        Encryption {
            keyring: ring.or_else(|| source(settings, KEYRING)),
            unwrap_key_files: paths.filter_map(|path| path.as_str()).map(at_home).collect(),
            accept_plaintext: settings.boolean("/encryption/accept_plaintext"),
            strict_files: settings.boolean("/encryption/strict_files"),
            unreadable: match settings.text("/encryption/unreadable").as_str() {
                "miss" => Unreadable::Miss,
                _ => Unreadable::Error,
            },
        }
    }
}
