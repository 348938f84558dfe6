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
pub mod sidecar;
mod statements;
mod transaction;
mod usage;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use eviction::Capacity;
use pool::Pool;
use schema::ENTRIES;
use statements::Write;
use usage::Usage;

use super::{Attempt, Class, Expected, Failure, Mark, Store, Stored, Witness, Written};
use crate::clock;
use crate::config::{self, Config};
use crate::entry::Lifetime;

/// How long `tend` deletes what has expired before it lets others write for a while.
const TENDING: Duration = Duration::from_millis(50);

/// A store in a file.
pub struct SqliteStore {
    pool: Pool,
    witness: Arc<dyn Witness>,
    capacity: Capacity,
    usage: Usage,
}

impl SqliteStore {
    /// A store in the file at `path`, which is opened when it is needed. Beyond `capacity_bytes` (0 for no limit) what
    /// has expired goes, then the oldest tombstones, then the longest unused. `witness` tells others of each write.
    #[must_use]
    pub fn new(path: PathBuf, capacity_bytes: u64, witness: Arc<dyn Witness>) -> SqliteStore {
        SqliteStore {
            pool: Pool::new(path, &ENTRIES),
            witness,
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

    /// Makes `write` where what is there is `expected`, so that whoever shares the file hears of it: from before it is
    /// committed to after. Answers the version, or `None` where something else is there.
    fn write(
        &self,
        write: &Write<'_>,
        expected: Expected,
        attempt: Attempt<'_>,
    ) -> Result<Option<u64>, Failure> {
        let mut change = None;
        let written = self.pool.write(attempt, |connection| {
            let now_ms = clock::unix_ms();
            // An earlier try at this transaction, which was rolled back, ends here.
            match Change::begin(&self.witness, write.key) {
                Ok(begun) => change = Some(begun),
                Err(failure) => return Ok(Err(failure)),
            }
            let version = statements::write(connection, write, expected, now_ms)?;
            if version.is_some() && self.capacity.is_limited() {
                self.capacity.keep(connection, Some(write.key), now_ms, &self.usage)?;
            }
            Ok(Ok(version))
        });
        drop(change);
        written?
    }
}

/// A write that others are told of, until it is dropped.
struct Change<'a> {
    witness: &'a Arc<dyn Witness>,
    key: &'a [u8],
    mark: Mark,
}

impl<'a> Change<'a> {
    fn begin(witness: &'a Arc<dyn Witness>, key: &'a [u8]) -> Result<Change<'a>, Failure> {
        let mark = witness.begins(key)?;
        Ok(Change { witness, key, mark })
    }
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        self.witness.ends(self.key, self.mark);
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

    /// What was not committed in time is rolled back.
    fn may_have_written(&self, class: Class) -> bool {
        class == Class::Unreachable
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
        Ok(self.write(&write, expected, attempt)?.map_or(Written::Conflict, Written::Stored))
    }

    fn remove(
        &self,
        key: &[u8],
        version: u64,
        expected: Expected,
        attempt: Attempt<'_>,
    ) -> Result<Written, Failure> {
        let tombstone = Write { key, value: None, version, written_at_ms: 0, lifetime: Lifetime::default() };
        if let Some(version) = self.write(&tombstone, expected, attempt)? {
            return Ok(Written::Stored(version));
        }
        // There was no row, or one that is not the expected one.
        let is_other = match expected {
            Expected::Anything => false,
            // Whoever names a version has seen an entry, and it is gone: somebody else was here.
            Expected::Version(_) => true,
            Expected::Absent => self
                .pool
                .read(attempt, |connection| statements::is_live(connection, key, clock::unix_ms()))?,
        };
        Ok(if is_other { Written::Conflict } else { Written::Stored(version) })
    }

    fn touch(
        &self,
        key: &[u8],
        _known: Option<Lifetime>,
        attempt: Attempt<'_>,
    ) -> Result<Option<i64>, Failure> {
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

    fn configure(&self, config: &Config) {
        if let config::Kind::Sqlite { capacity_bytes, .. } = &config.l2.kind {
            self.capacity.set(*capacity_bytes);
        }
    }

    fn tend(&self, attempt: Attempt<'_>) -> Result<(), Failure> {
        if self.pool.was_cut() {
            // What was only in that log is no more.
            self.witness.all_changed();
        }
        let until = attempt.deadline.min(Instant::now() + TENDING);
        loop {
            let tidied = self.pool.write(attempt, |connection| {
                let now_ms = clock::unix_ms();
                self.witness.settles();
                self.usage.record(connection)?;
                self.capacity.keep(connection, None, now_ms, &self.usage)?;
                self.capacity.tidy(connection, now_ms)
            })?;
            if tidied == 0 || Instant::now() >= until {
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
