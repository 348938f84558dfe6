//! The second tier as a SQLite file that the processes of one machine share.

#![forbid(unsafe_code)]

mod connection;
mod diagnosis;
mod eviction;
pub mod fork;
mod pause;
pub mod pool;
mod registry;
mod replay;
pub mod schema;
mod statements;
mod transaction;
mod usage;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use eviction::Capacity;
use pool::Pool;
use schema::ENTRIES;
use statements::Write;
use usage::Usage;

use super::{Attempt, Expected, Failure, Store, Stored, Written};
use crate::clock;
use crate::config;
use crate::entry::Lifetime;

/// How long `tend` deletes what has expired before it lets others write for a while.
const TENDING: Duration = Duration::from_millis(50);

/// A store in a file.
pub struct SqliteStore {
    pool: Pool,
    capacity: Capacity,
    usage: Usage,
}

impl SqliteStore {
    /// A store in the file at `path`, which is opened when it is needed. Beyond `capacity_bytes` (0 for no limit) what
    /// has expired goes, then the oldest tombstones, then the longest unused.
    #[must_use]
    pub fn new(path: PathBuf, capacity_bytes: u64) -> SqliteStore {
        SqliteStore {
            pool: Pool::new(path, &ENTRIES),
            capacity: Capacity::new(capacity_bytes),
            usage: Usage::default(),
        }
    }

    /// Remembers a use, for the order of eviction.
    fn remember(&self, key: &[u8], recorded_ms: i64, now_ms: i64) {
        if self.capacity.is_limited() {
            self.usage.remember(key, recorded_ms, now_ms);
        }
    }
}

impl Store for SqliteStore {
    fn connect(&self, attempt: Attempt<'_>) -> Result<(), Failure> {
        self.pool.read(attempt, |connection| statements::is_live(connection, b"", 0).map(drop))
    }

    fn get(&self, key: &[u8], attempt: Attempt<'_>) -> Result<Option<Stored>, Failure> {
        self.pool.read(attempt, |connection| {
            let now_ms = clock::unix_ms();
            let found = statements::get(connection, key, now_ms)?;
            Ok(found.map(|(stored, used_at_ms)| {
                self.remember(key, used_at_ms, now_ms);
                stored
            }))
        })
    }

    fn set(
        &self,
        key: &[u8],
        bytes: &[u8],
        version: u64,
        written_at_ms: i64,
        lifetime: Lifetime,
        expected: Expected,
        attempt: Attempt<'_>,
    ) -> Result<Written, Failure> {
        self.capacity.admit(key.len(), bytes.len())?;
        let write = Write { key, value: Some(bytes), version, written_at_ms, lifetime };
        self.pool.write(attempt, |connection| {
            let now_ms = clock::unix_ms();
            let Some(version) = statements::write(connection, &write, expected, now_ms)? else {
                return Ok(Written::Conflict);
            };
            if self.capacity.is_limited() {
                self.capacity.keep(connection, Some(key), now_ms, &self.usage)?;
            }
            Ok(Written::Stored(version))
        })
    }

    fn remove(
        &self,
        key: &[u8],
        version: u64,
        expected: Expected,
        attempt: Attempt<'_>,
    ) -> Result<Written, Failure> {
        let tombstone = Write { key, value: None, version, written_at_ms: 0, lifetime: Lifetime::default() };
        self.pool.write(attempt, |connection| {
            let now_ms = clock::unix_ms();
            let Some(version) = statements::write(connection, &tombstone, expected, now_ms)? else {
                // Whoever names a version has seen an entry, and it is gone: somebody else was here.
                let is_other =
                    matches!(expected, Expected::Version(_)) || statements::is_live(connection, key, now_ms)?;
                return Ok(if is_other { Written::Conflict } else { Written::Stored(version) });
            };
            if self.capacity.is_limited() {
                self.capacity.keep(connection, Some(key), now_ms, &self.usage)?;
            }
            Ok(Written::Stored(version))
        })
    }

    fn touch(&self, key: &[u8], attempt: Attempt<'_>) -> Result<Option<i64>, Failure> {
        let end = self.pool.read(attempt, |connection| {
            let now_ms = clock::unix_ms();
            let end = statements::end(connection, key, now_ms)?;
            if let Some(end) = &end {
                self.remember(key, end.used_at_ms, now_ms);
            }
            Ok(end)
        })?;
        match end {
            Some(end) if end.slides => {
                self.pool.write(attempt, |connection| statements::touch(connection, key, clock::unix_ms()))
            }
            end => Ok(end.map(|end| end.ends_at_ms)),
        }
    }

    fn configure(&self, kind: &config::Kind) {
        if let config::Kind::Sqlite { capacity_bytes, .. } = kind {
            self.capacity.set(*capacity_bytes);
        }
    }

    fn tend(&self, attempt: Attempt<'_>) -> Result<(), Failure> {
        let until = attempt.deadline.min(Instant::now() + TENDING);
        loop {
            let expired = self.pool.write(attempt, |connection| {
                let now_ms = clock::unix_ms();
                self.usage.record(connection)?;
                self.capacity.keep(connection, None, now_ms, &self.usage)?;
                self.capacity.delete_expired(connection, None, now_ms)
            })?;
            if expired == 0 || Instant::now() >= until {
                break;
            }
        }
        self.pool.read(attempt, |connection| {
            connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", (), |_| Ok(()))
        })
    }

    fn figures(&self) -> Vec<(&'static str, u64)> {
        vec![
            ("pages_bytes", self.capacity.used_bytes()),
            ("evicted_entries", self.capacity.evicted()),
            ("expired_entries", self.capacity.expired()),
            ("idle_connections", self.pool.idle() as u64),
        ]
    }

    fn close(&self) {
        self.pool.close();
    }
}
