//! Owed writes, as a database takes them. Every writer of it is ours, and every write changes the version.

#![forbid(unsafe_code)]

use rusqlite::{Connection, OptionalExtension, Result, params};

use super::statements::{self, Write as Row};
use super::{Change, SqliteStore};
use crate::clock;
use crate::l2::replay::{Answers, Present, Seen, Target, Write};
use crate::l2::{Attempt, Expected};

const LOOK: &str = "SELECT version, value IS NOT NULL FROM entries
     WHERE key = ?1 AND (ends_at_ms = 0 OR ends_at_ms > ?2)";

/// What has ended is not there, and no version that can be given is 0.
fn look(connection: &Connection, key: &[u8], now_ms: i64) -> Result<(u64, bool)> {
    let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)? as u64, row.get(1)?));
    let found = connection.prepare_cached(LOOK)?.query_row(params![key, now_ms], read).optional()?;
    Ok(found.unwrap_or((0, false)))
}

impl Target for SqliteStore {
    fn look(&self, keys: &[&[u8]], attempt: Attempt<'_>) -> Answers<Seen> {
        let seen = self.pool.read(attempt, |connection| {
            let now_ms = clock::unix_ms();
            keys.iter().map(|key| look(connection, key, now_ms)).collect::<Result<Vec<_>>>()
        })?;
        let answer = |seen: (u64, bool)| {
            let present = match seen {
                (0, _) => Present::Nothing,
                (version, true) => Present::Ours { clock: version, version },
                (clock, false) => Present::Tombstone { clock },
            };
            Ok(Seen { present, mark: seen.0.to_be_bytes().to_vec() })
        };
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
        if look(connection, key, now_ms)?.0.to_be_bytes() != write.seen.mark[..] {
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
