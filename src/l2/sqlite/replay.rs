//! Owed writes, as a database takes them. Every writer of it is ours, and every write changes the version.

#![forbid(unsafe_code)]

use rusqlite::{Connection, OptionalExtension, Result, params};

use super::SqliteStore;
use super::statements::{self, Write as Row};
use crate::clock;
use crate::l2::replay::{Present, Seen, Target, Write};
use crate::l2::{Attempt, Expected, Failure};

const LOOK: &str = "SELECT version, value IS NOT NULL FROM entries
     WHERE key = ?1 AND (ends_at_ms = 0 OR ends_at_ms > ?2)";

/// What has ended is not there, and no version that can be given is 0.
fn look(connection: &Connection, key: &[u8], now_ms: i64) -> Result<(u64, bool)> {
    let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)? as u64, row.get(1)?));
    let found = connection.prepare_cached(LOOK)?.query_row(params![key, now_ms], read).optional()?;
    Ok(found.unwrap_or((0, false)))
}

impl Target for SqliteStore {
    fn look(&self, key: &[u8], attempt: Attempt<'_>) -> std::result::Result<Seen, Failure> {
        let seen = self.pool.read(attempt, |connection| look(connection, key, clock::unix_ms()))?;
        let present = match seen {
            (0, _) => Present::Nothing,
            (version, true) => Present::Ours { clock: version, version },
            (clock, false) => Present::Tombstone { clock },
        };
        Ok(Seen { present, mark: seen.0.to_be_bytes().to_vec() })
    }

    fn replay(
        &self,
        key: &[u8],
        write: &Write<'_>,
        seen: &Seen,
        attempt: Attempt<'_>,
    ) -> std::result::Result<bool, Failure> {
        let (value, lifetime) = write.value.unzip();
        self.capacity.admit(key.len(), value.map_or(0, <[u8]>::len))?;
        let row = Row {
            key,
            value,
            version: write.clock,
            written_at_ms: write.written_at_ms,
            lifetime: lifetime.unwrap_or_default(),
        };
        self.pool.write(attempt, |connection| {
            let now_ms = clock::unix_ms();
            if look(connection, key, now_ms)?.0.to_be_bytes() != seen.mark[..] {
                return Ok(false);
            }
            statements::write(connection, &row, Expected::Anything, now_ms)?;
            if self.capacity.is_limited() {
                self.capacity.keep(connection, Some(key), now_ms, &self.usage)?;
            }
            Ok(true)
        })
    }
}
