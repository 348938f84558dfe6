//! The statements on a journal file.

#![forbid(unsafe_code)]

use rusqlite::{Connection, OptionalExtension, Result, Row, params};

use super::bounds::Owed;
use super::ledger::{BATCH_BYTES, Due};
use super::record::{Change, Known, Numbered, Record, cost_bytes};
use crate::entry::{Lifetime, Secret};
use crate::l2::sqlite::schema::Schema;

pub(super) static SCHEMA: Schema = Schema {
    // "TKCj"
    application_id: 0x544B_436A,
    version: 1,
    // The value comes last, so that the numbers before it are read without touching its pages.
    script: "
        CREATE TABLE journal (
            id INTEGER PRIMARY KEY CHECK (id = 1),
            identity TEXT NOT NULL,         -- the L2 and the prefix that it belongs to
            entries INTEGER NOT NULL,
            bytes INTEGER NOT NULL,
            last_sequence INTEGER NOT NULL
        );
        CREATE TABLE owed (
            sequence INTEGER PRIMARY KEY,   -- never given twice
            key BLOB NOT NULL UNIQUE,
            clock INTEGER NOT NULL,
            known INTEGER NOT NULL,         -- a version of L2; 0: nothing known, -1: that there was none
            written_at_ms INTEGER NOT NULL,
            expires_at_ms INTEGER NOT NULL, -- 0: no absolute end
            sliding_ms INTEGER NOT NULL,    -- 0: does not slide
            value BLOB                      -- NULL: a removal
        );
        CREATE INDEX owed_by_end ON owed (expires_at_ms) WHERE value IS NOT NULL AND expires_at_ms != 0;",
};

const FIND: &str = "SELECT sequence, clock, known, written_at_ms, expires_at_ms, sliding_ms, value FROM owed
     WHERE key = ?1 AND EXISTS (SELECT 1 FROM journal WHERE identity = ?2)";

const BATCH: &str =
    "SELECT sequence, clock, known, written_at_ms, expires_at_ms, sliding_ms, value, key FROM owed
     WHERE sequence > ?1 AND EXISTS (SELECT 1 FROM journal WHERE identity = ?2) ORDER BY sequence LIMIT ?3";

const ENDED: &str = "value IS NOT NULL AND expires_at_ms != 0 AND expires_at_ms <= ?1";

/// What the file says of itself.
#[derive(Clone, PartialEq)]
pub(super) struct State {
    pub identity: String,
    pub owed: Owed,
    pub last_sequence: u64,
}

/// `None` for a file that nobody has used yet.
pub(super) fn state(connection: &Connection) -> Result<Option<State>> {
    let read = |row: &Row<'_>| {
        let owed = Owed { entries: number(row, 1)?, bytes: number(row, 2)? };
        Ok(State { identity: row.get(0)?, owed, last_sequence: number(row, 3)? })
    };
    let sql = "SELECT identity, entries, bytes, last_sequence FROM journal";
    connection.prepare_cached(sql)?.query_row((), read).optional()
}

pub(super) fn keep_state(connection: &Connection, state: &State) -> Result<()> {
    let sql = "INSERT OR REPLACE INTO journal (id, identity, entries, bytes, last_sequence)
         VALUES (1, ?1, ?2, ?3, ?4)";
    let State { identity, owed, last_sequence } = state;
    let numbers = [owed.entries, owed.bytes, *last_sequence].map(|number| number as i64);
    let [entries, bytes, last_sequence] = numbers;
    connection.prepare_cached(sql)?.execute(params![identity, entries, bytes, last_sequence])?;
    Ok(())
}

/// What is known of a record without reading its value.
pub(super) struct Outline {
    pub sequence: u64,
    pub clock: u64,
    pub known: Known,
    pub cost_bytes: u64,
}

pub(super) fn outline(connection: &Connection, key: &[u8]) -> Result<Option<Outline>> {
    let read = |row: &Row<'_>| {
        let value_len = row.get::<_, Option<i64>>(3)?.unwrap_or(0);
        Ok(Outline {
            sequence: number(row, 0)?,
            clock: row.get::<_, i64>(1)? as u64,
            known: known(row.get(2)?),
            cost_bytes: cost_bytes(key.len(), value_len as usize),
        })
    };
    let sql = "SELECT sequence, clock, known, length(value) FROM owed WHERE key = ?1";
    connection.prepare_cached(sql)?.query_row(params![key], read).optional()
}

pub(super) fn put(
    connection: &Connection,
    key: &[u8],
    sequence: u64,
    clock: u64,
    known: Known,
    record: &Record,
) -> Result<()> {
    let known = match known {
        Known::Nothing => 0,
        Known::Absent => -1,
        Known::Version(version) => version as i64,
    };
    let (bytes, lifetime) = record.change.value().unzip();
    let lifetime = lifetime.unwrap_or_default();
    let sql = "INSERT INTO owed
         (sequence, key, clock, known, written_at_ms, expires_at_ms, sliding_ms, value)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
         ON CONFLICT (key) DO UPDATE SET
             sequence = ?1, clock = ?3, known = ?4, written_at_ms = ?5, expires_at_ms = ?6, sliding_ms = ?7,
             value = ?8";
    connection.prepare_cached(sql)?.execute(params![
        sequence as i64,
        key,
        clock as i64,
        known,
        record.written_at_ms,
        lifetime.expires_at_ms,
        lifetime.sliding_ms,
        bytes
    ])?;
    Ok(())
}

pub(super) fn find(connection: &Connection, key: &[u8], identity: &str) -> Result<Option<Numbered>> {
    connection.prepare_cached(FIND)?.query_row(params![key, identity], numbered).optional()
}

pub(super) fn batch(connection: &Connection, after: u64, limit: usize, identity: &str) -> Result<Vec<Due>> {
    let mut statement = connection.prepare_cached(BATCH)?;
    let mut rows = statement.query(params![after as i64, identity, limit as i64])?;
    let mut room_bytes = BATCH_BYTES;
    let mut batch = Vec::new();
    while let Some(row) = rows.next()? {
        let key: Vec<u8> = row.get(7)?;
        let value_len = row.get_ref(6)?.as_blob_or_null()?.map_or(0, <[u8]>::len);
        let cost_bytes = cost_bytes(key.len(), value_len);
        if cost_bytes > room_bytes && !batch.is_empty() {
            break;
        }
        room_bytes = room_bytes.saturating_sub(cost_bytes);
        let Numbered { sequence, record } = numbered(row)?;
        batch.push(Due { key, sequence, record });
    }
    Ok(batch)
}

pub(super) fn delete(connection: &Connection, sequence: u64) -> Result<()> {
    connection.prepare_cached("DELETE FROM owed WHERE sequence = ?1")?.execute(params![sequence as i64])?;
    Ok(())
}

/// Makes removals of the sets that have ended at `now_ms`; answers how many bytes that freed.
pub(super) fn bury_ended(connection: &Connection, now_ms: i64) -> Result<u64> {
    let sum = format!("SELECT coalesce(sum(length(value)), 0) FROM owed WHERE {ENDED}");
    let freed_bytes = connection.prepare_cached(&sum)?.query_row(params![now_ms], |row| number(row, 0))?;
    let bury = format!("UPDATE owed SET value = NULL, expires_at_ms = 0, sliding_ms = 0 WHERE {ENDED}");
    connection.prepare_cached(&bury)?.execute(params![now_ms])?;
    Ok(freed_bytes)
}

/// A number that is never below 0, unless somebody else has put it there.
fn number(row: &Row<'_>, column: usize) -> Result<u64> {
    row.get::<_, i64>(column).map(|number| number.max(0) as u64)
}

fn known(number: i64) -> Known {
    match number {
        0 => Known::Nothing,
        -1 => Known::Absent,
        version => Known::Version(version as u64),
    }
}

fn numbered(row: &Row<'_>) -> Result<Numbered> {
    let change = match row.get_ref(6)?.as_blob_or_null()? {
        Some(bytes) => {
            let out_of_memory = || {
                rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_NOMEM), None)
            };
            let bytes = Secret::copy(bytes).ok_or_else(out_of_memory)?;
            Change::Set { bytes, lifetime: Lifetime { expires_at_ms: row.get(4)?, sliding_ms: row.get(5)? } }
        }
        None => Change::Remove,
    };
    let clock = row.get::<_, i64>(1)? as u64;
    let record = Record { change, clock, written_at_ms: row.get(3)?, known: known(row.get(2)?) };
    Ok(Numbered { sequence: number(row, 0)?, record })
}
