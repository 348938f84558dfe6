//! The configuration document: what a caller may say, what holds where the caller says nothing, and what can change
//! while a cache is open.

#![forbid(unsafe_code)]

pub mod encryption;
pub mod json;
pub mod members;
mod nearest;
pub mod reader;
pub mod redis;
mod rules;
pub mod schema;
pub mod shape;
pub mod source;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;

pub use self::encryption::{Encryption, Unreadable};
use self::members::{Live, MEMBERS};
use self::reader::Settings;
pub use self::redis::Redis;
pub use self::source::Source;
use crate::error::{self, Error, Result};
use crate::log::Level;

/// A document that was accepted, with every default in place.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Who this is, in logs and to its peers.
    pub name: String,
    /// How long keys and values may be.
    pub limits: Limits,
    /// The tier in this process.
    pub l1: L1,
    /// The tier that processes share.
    pub l2: L2,
    /// How long entries live.
    pub expiry: Expiry,
    /// What is done to MSAL caches.
    pub msal: Msal,
    /// How they are sealed in L2.
    pub encryption: Encryption,
    /// How it is noticed that changes of L2 are no longer heard of.
    pub coherence: Coherence,
    /// What a call does when L2 fails.
    pub resilience: Resilience,
    /// What is logged, and where.
    pub logging: Logging,
    /// What an open cache cannot change, as the document says it. Secrets can change, so none is in here.
    fixed: BTreeMap<&'static str, Value>,
}

/// How long keys and values may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// The longest key.
    pub max_key_bytes: usize,
    /// The longest value.
    pub max_value_bytes: usize,
}

/// The tier in this process.
#[derive(Clone, Debug, PartialEq)]
pub struct L1 {
    /// Where it is not, L2 answers every read.
    pub is_enabled: bool,
    /// Keys, values and overhead counted.
    pub capacity_bytes: u64,
    /// The longest stay; 0 for as long as the entry lives.
    pub max_ttl_ms: i64,
}

/// The tier that processes share.
#[derive(Clone, Debug, PartialEq)]
pub struct L2 {
    /// What it is.
    pub kind: Kind,
    /// When a write returns.
    pub write: Write,
    /// Put in front of every key, byte for byte.
    pub key_prefix: String,
    /// Whether opening waits for it, and fails with it.
    pub require_at_open: bool,
}

/// When a write returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// When L2 has it.
    Through,
    /// When it is in the journal.
    Behind,
}

/// The kinds of second tier.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// There is none.
    None,
    /// A file that the processes of one machine share.
    Sqlite {
        /// The file.
        path: PathBuf,
        /// Beyond it entries are dropped; 0 for no limit.
        capacity_bytes: u64,
    },
    /// A Redis that servers share.
    Redis(Box<Redis>),
}

/// How long entries live.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Expiry {
    /// Where the caller says nothing: from now, or -1 for never.
    pub default_ttl_ms: i64,
    /// A window that reads renew; 0 for none.
    pub sliding_ms: i64,
    /// Whether an end is looked for in the value.
    pub from_value: FromValue,
}

/// What is done to MSAL caches.
#[derive(Clone, Debug, PartialEq)]
pub struct Msal {
    /// Whether access tokens that have ended are left out when one is written.
    pub prune_expired: bool,
}

/// Where in a value an end is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FromValue {
    /// An MSAL cache without refresh tokens ends with its last access token.
    Msal,
    /// Nowhere.
    Off,
}

/// How it is noticed that changes of L2 are no longer heard of.
#[derive(Clone, Debug, PartialEq)]
pub struct Coherence {
    /// How often it is checked.
    pub heartbeat_ms: u64,
    /// How long a server may be silent.
    pub heartbeat_timeout_ms: u64,
}

/// What a call does when L2 fails.
#[derive(Clone, Debug, PartialEq)]
pub struct Resilience {
    /// The whole of a call: queueing, connecting, every attempt.
    pub deadline_ms: u64,
    /// How often L2 is asked in one call.
    pub max_attempts: u32,
    /// Before the second attempt; it doubles from there, with full jitter.
    pub backoff_ms: u64,
    /// The longest backoff.
    pub max_backoff_ms: u64,
    /// How long an entry that cannot be verified may be served; 0 for not at all.
    pub stale_ms: i64,
    /// So many failed attempts in a row open the circuit; 0 for no circuit.
    pub circuit_failures: u32,
    /// Where this share of the last attempts failed, the circuit opens too.
    pub circuit_ratio: f64,
    /// While it is open L2 is probed once in this time.
    pub probe_ms: u64,
    /// How long closing flushes.
    pub close_ms: u64,
    /// Where what is owed to L2 survives the process; in memory where there is none.
    pub journal_path: Option<PathBuf>,
    /// Bytes that may be owed.
    pub journal_max_bytes: u64,
    /// Keys that may be owed.
    pub journal_max_entries: u64,
}

/// What is logged, and where.
#[derive(Clone, Debug, PartialEq)]
pub struct Logging {
    /// Where lines go when no callback is set.
    pub to: LogTo,
    /// The least urgent that is logged.
    pub level: Level,
    /// How keys look.
    pub keys: Keys,
}

/// Where lines of the log go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogTo {
    /// Standard error.
    Stderr,
    /// Nowhere.
    None,
}

/// How keys look in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    /// As the first 8 bytes of SHA-256(`key_prefix` ‖ key) in hex.
    Hashed,
    /// As they are.
    Clear,
}

impl Config {
    /// The configuration that `document` asks for.
    ///
    /// # Errors
    /// `InvalidConfig`, by the name of the member that is wrong.
    pub fn parse(document: &[u8]) -> Result<Config> {
        let settings = Settings::read(document)?;
        rules::check(&settings)?;
        Ok(Config::from_settings(&settings))
    }

    /// Whether a cache that runs under `self` can go on under `next`.
    ///
    /// # Errors
    /// `InvalidConfig`, by the name of the first member that cannot change while the cache is open.
    pub fn check_change(&self, next: &Config) -> Result<()> {
        for (pointer, now) in &self.fixed {
            // A member that one of the documents leaves out hangs on /l2/kind, which both have.
            match next.fixed.get(pointer) {
                Some(wanted) if wanted != now => {
                    return Err(refused(format!(
                        "{pointer} cannot change while the cache is open (it is {now}, the new document says \
                         {wanted}); close it and open another."
                    )));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn from_settings(settings: &Settings) -> Config {
        Config {
            name: if settings.is_given("/name") { settings.text("/name") } else { program_name() },
            limits: Limits {
                max_key_bytes: settings.number("/limits/max_key_bytes"),
                max_value_bytes: settings.number("/limits/max_value_bytes"),
            },
            l1: L1 {
                is_enabled: settings.boolean("/l1/enabled"),
                capacity_bytes: settings.number("/l1/capacity_bytes"),
                max_ttl_ms: settings.number("/l1/max_ttl_ms"),
            },
            l2: L2::from_settings(settings),
            expiry: Expiry::from_settings(settings),
            msal: Msal { prune_expired: settings.boolean("/msal/prune_expired") },
            encryption: Encryption::from_settings(settings),
            coherence: Coherence {
                heartbeat_ms: settings.number("/coherence/heartbeat_ms"),
                heartbeat_timeout_ms: settings.number("/coherence/heartbeat_timeout_ms"),
            },
            resilience: Resilience {
                deadline_ms: settings.number("/resilience/deadline_ms"),
                max_attempts: settings.number("/resilience/max_attempts"),
                backoff_ms: settings.number("/resilience/backoff_ms"),
                max_backoff_ms: settings.number("/resilience/max_backoff_ms"),
                stale_ms: settings.number("/resilience/stale_ms"),
                circuit_failures: settings.number("/resilience/circuit_failures"),
                circuit_ratio: settings.fraction("/resilience/circuit_ratio"),
                probe_ms: settings.number("/resilience/probe_ms"),
                close_ms: settings.number("/resilience/close_ms"),
                journal_path: settings
                    .is_given("/resilience/journal_path")
                    .then(|| settings.text("/resilience/journal_path").into()),
                journal_max_bytes: settings.number("/resilience/journal_max_bytes"),
                journal_max_entries: settings.number("/resilience/journal_max_entries"),
            },
            logging: Logging::from_settings(settings),
            fixed: fixed(settings),
        }
    }
}

impl L2 {
    fn from_settings(settings: &Settings) -> L2 {
        let kind = match settings.text("/l2/kind").as_str() {
            "sqlite" => Kind::Sqlite {
                path: settings.text("/l2/path").into(),
                capacity_bytes: settings.number("/l2/capacity_bytes"),
            },
            "redis" => Kind::Redis(Box::new(Redis::from_settings(settings))),
            _ => Kind::None,
        };
        let key_prefix = settings.text("/l2/key_prefix");
        let write = if settings.text("/l2/write") == "behind" { Write::Behind } else { Write::Through };
        L2 { kind, write, key_prefix, require_at_open: settings.boolean("/l2/require_at_open") }
    }
}

impl Expiry {
    fn from_settings(settings: &Settings) -> Expiry {
        Expiry {
            default_ttl_ms: settings.number("/expiry/default_ttl_ms"),
            sliding_ms: settings.number("/expiry/sliding_ms"),
            from_value: match settings.text("/expiry/from_value").as_str() {
                "off" => FromValue::Off,
                _ => FromValue::Msal,
            },
        }
    }
}

impl Logging {
    fn from_settings(settings: &Settings) -> Logging {
        Logging {
            to: match settings.text("/logging/to").as_str() {
                "none" => LogTo::None,
                _ => LogTo::Stderr,
            },
            level: match settings.text("/logging/level").as_str() {
                "error" => Level::Error,
                "info" => Level::Info,
                "debug" => Level::Debug,
                _ => Level::Warn,
            },
            keys: match settings.text("/logging/keys").as_str() {
                "clear" => Keys::Clear,
                _ => Keys::Hashed,
            },
        }
    }
}

fn fixed(settings: &Settings) -> BTreeMap<&'static str, Value> {
    let members = MEMBERS.iter().filter(|member| member.live == Live::No);
    let said = |member: &members::Member| {
        // Where it is not given it is in memory, which is another place than any file.
        let in_memory = (member.pointer == "/resilience/journal_path").then_some(Value::Null);
        Some((member.pointer, settings.get(member.pointer).or(in_memory)?))
    };
    members.filter_map(said).collect()
}

fn program_name() -> String {
    let program = std::env::current_exe().ok().or_else(|| std::env::args_os().next().map(PathBuf::from));
    let name = program.as_deref().and_then(std::path::Path::file_name);
    name.map_or_else(|| "tokencache".into(), |name| name.to_string_lossy().into_owned())
}

fn refused(message: impl Into<String>) -> Error {
    Error::new(error::Kind::InvalidConfig, message)
}
