//! Owed writes, as a database takes them. Every writer of it is ours, and every write changes the version.

#![forbid(unsafe_code)]

use rusqlite::{Connection, OptionalExtension, Result, params};

use super::statements::{self, Write as Row, live};
use super::{Change, SqliteStore};
use crate::clock;
use crate::l2::replay::{Answers, Present, Seen, Target, Write};
use crate::l2::{Attempt, Expected};

/// What has ended is still a sign of when it was written; a removal never had an end of its own.
const LOOK: &str = concat!(
    "SELECT version, ",
    live!("?2"),
    ", expires_at_ms != 0 OR sliding_ms != 0 FROM entries WHERE key = ?1"
);

fn look(connection: &Connection, key: &[u8], now_ms: i64) -> Result<Present> {
    let read = |row: &rusqlite::Row<'_>| {
        let version = row.get::<_, i64>(0)? as u64;
        Ok(match (row.get(1)?, row.get(2)?) {
            (true, _) => Present::Ours { clock: version, version },
            (false, true) => Present::Ended { clock: version },
            (false, false) => Present::Tombstone { clock: version },
        })
    };
    let found = connection.prepare_cached(LOOK)?.query_row(params![key, now_ms], read).optional()?;
    Ok(found.unwrap_or(Present::Nothing))
}

/// By which it is known whether that is still there: every write changes the version, none is 0, and what ends meanwhile
/// keeps its own.
fn mark(present: Present) -> [u8; 9] {
    let (version, is_live) = match present {
        Present::Nothing => (0, false),
        Present::Tombstone { clock } | Present::Ended { clock } => (clock, false),
        Present::Ours { version, .. } | Present::Foreign { version } => (version, true),
    };
    let mut mark = [u8::from(is_live); 9];
    mark[1..].copy_from_slice(&version.to_be_bytes());
    mark
}

impl Target for SqliteStore {
    fn look(&self, keys: &[&[u8]], attempt: Attempt<'_>) -> Answers<Seen> {
        let seen = self.pool.read(attempt, |connection| {
            let now_ms = clock::unix_ms();
            keys.iter().map(|key| look(connection, key, now_ms)).collect::<Result<Vec<_>>>()
        })?;
        let answer = |present| Ok(Seen { present, mark: mark(present).to_vec() });
        Ok(seen.into_iter().map(answer).collect())
    }

    fn replay(&self, writes: &[Write<'_>], attempt: Attempt<'_>) -> Answers<bool> {
        let mut changes = Vec::new();
        let answers = self.pool.write(attempt, |connection| {
            let now_ms = clock::unix_ms();
            let mut answers = Vec::with_capacity(writes.len());
            // Those of an earlier try at this transaction, which was rolled back, end here.
            changes.clear();
            for write in writes {
                match Change::begin(&self.witness, write.key) {
                    Ok(change) => changes.push(change),
                    Err(failure) => return Ok(Err(failure)),
                }
            }
            for write in writes {
                let value_len = write.value.map_or(0, |(value, _)| value.len());
                answers.push(match self.capacity.admit(write.key.len(), value_len) {
                    Ok(()) => Ok(self.replay_one(connection, write, now_ms)?),
                    Err(failure) => Err(failure),
                });
            }
            Ok(Ok(answers))
        });
        drop(changes);
        answers?
    }
}

impl SqliteStore {
    fn replay_one(&self, connection: &Connection, write: &Write<'_>, now_ms: i64) -> Result<bool> {
        let key = write.key;
        if mark(look(connection, key, now_ms)?) != write.seen.mark[..] {
            return Ok(false);
        }
        let (value, lifetime) = write.value.unzip();
        let row = Row {
            key,
            value,
            version: write.clock,
            written_at_ms: write.written_at_ms,
            lifetime: lifetime.unwrap_or_default(),
        };
        statements::write(connection, &row, Expected::Anything, now_ms)?;
        if self.capacity.is_limited() {
            self.capacity.keep(connection, Some(key), now_ms, &self.usage)?;
        }
        Ok(true)
    }
}
