//! The statements on a journal file.

#![forbid(unsafe_code)]

use rusqlite::{Connection, OptionalExtension, Result, Row, params};

use super::bounds::Owed;
use super::ledger::{BATCH_BYTES, Due};
use super::record::{Change, Known, Numbered, Record, cost_bytes};
use crate::entry::{Lifetime, Secret};
use crate::l2::LinkId;
use crate::l2::sqlite::schema::Schema;

pub(super) static SCHEMA: Schema = Schema {
    // "TKCj"
    application_id: 0x544B_436A,
    version: 4,
    // In the first there was nothing to merge, in the second what was given up could arrive late, in the third what was
    // merged with an owed plain write was one itself.
    upgrades: &[
        (1, "ALTER TABLE owed ADD COLUMN base BLOB"),
        (2, "CREATE TABLE links (run INTEGER, client INTEGER, PRIMARY KEY (run, client)) WITHOUT ROWID"),
        (3, "ALTER TABLE owed ADD COLUMN over_clock INTEGER"),
    ],
    // The values come last, so that the numbers before them are read without touching their pages.
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
            over_clock INTEGER,             -- of the plain write that was owed before a merged one; NULL: none was
            value BLOB,                     -- NULL: a removal
            base BLOB                       -- what it is merged with L2 from; NULL: it is written as it is
        );
        CREATE TABLE links (                -- over which L2 may get yet what is owed
            run INTEGER,                    -- the beginning of the server's run id
            client INTEGER,
            PRIMARY KEY (run, client)
        ) WITHOUT ROWID;
        CREATE INDEX owed_by_end ON owed (expires_at_ms) WHERE value IS NOT NULL AND expires_at_ms != 0;",
};

const FIND: &str =
    "SELECT sequence, clock, known, written_at_ms, expires_at_ms, sliding_ms, value, base, over_clock FROM owed
     WHERE key = ?1 AND EXISTS (SELECT 1 FROM journal WHERE identity = ?2)";

const BATCH: &str =
    "SELECT sequence, clock, known, written_at_ms, expires_at_ms, sliding_ms, value, base, over_clock, key FROM owed
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
    let sql =
        "SELECT sequence, clock, known, length(value) + coalesce(length(base), 0) FROM owed WHERE key = ?1";
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
         (sequence, key, clock, known, written_at_ms, expires_at_ms, sliding_ms, value, base, over_clock)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
         ON CONFLICT (key) DO UPDATE SET
             sequence = ?1, clock = ?3, known = ?4, written_at_ms = ?5, expires_at_ms = ?6, sliding_ms = ?7,
             value = ?8, base = ?9, over_clock = ?10";
    connection.prepare_cached(sql)?.execute(params![
        sequence as i64,
        key,
        clock as i64,
        known,
        record.written_at_ms,
        lifetime.expires_at_ms,
        lifetime.sliding_ms,
        bytes,
        record.base.as_deref(),
        record.over.map(|clock| clock as i64)
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
        let key: Vec<u8> = row.get(9)?;
        let len =
            |column| -> Result<usize> { Ok(row.get_ref(column)?.as_blob_or_null()?.map_or(0, <[u8]>::len)) };
        let value_len = len(6)? + len(7)?;
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

pub(super) fn add_link(connection: &Connection, link: LinkId) -> Result<()> {
    let sql = "INSERT OR IGNORE INTO links (run, client) VALUES (?1, ?2)";
    connection.prepare_cached(sql)?.execute(params![link.run as i64, link.client as i64])?;
    Ok(())
}

pub(super) fn links(connection: &Connection) -> Result<Vec<LinkId>> {
    let read = |row: &Row<'_>| {
        let (run, client): (i64, i64) = (row.get(0)?, row.get(1)?);
        Ok(LinkId { run: run as u64, client: client as u64 })
    };
    connection.prepare_cached("SELECT run, client FROM links")?.query_map((), read)?.collect()
}

pub(super) fn delete_link(connection: &Connection, link: LinkId) -> Result<()> {
    let sql = "DELETE FROM links WHERE run = ?1 AND client = ?2";
    connection.prepare_cached(sql)?.execute(params![link.run as i64, link.client as i64])?;
    Ok(())
}

pub(super) fn delete(connection: &Connection, sequence: u64) -> Result<()> {
    connection.prepare_cached("DELETE FROM owed WHERE sequence = ?1")?.execute(params![sequence as i64])?;
    Ok(())
}

/// Makes removals of the sets that have ended at `now_ms`; answers how many bytes that freed.
pub(super) fn bury_ended(connection: &Connection, now_ms: i64) -> Result<u64> {
    let sum =
        format!("SELECT coalesce(sum(length(value) + coalesce(length(base), 0)), 0) FROM owed WHERE {ENDED}");
    let freed_bytes = connection.prepare_cached(&sum)?.query_row(params![now_ms], |row| number(row, 0))?;
    let bury =
        format!("UPDATE owed SET value = NULL, base = NULL, expires_at_ms = 0, sliding_ms = 0 WHERE {ENDED}");
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
    let change = match secret(row, 6)? {
        Some(bytes) => {
            Change::Set { bytes, lifetime: Lifetime { expires_at_ms: row.get(4)?, sliding_ms: row.get(5)? } }
        }
        None => Change::Remove,
    };
    let clock = row.get::<_, i64>(1)? as u64;
    let (written_at_ms, known) = (row.get(3)?, known(row.get(2)?));
    let over = row.get::<_, Option<i64>>(8)?.map(|clock| clock as u64);
    let record = Record { change, clock, written_at_ms, known, base: secret(row, 7)?, over, link: None };
    Ok(Numbered { sequence: number(row, 0)?, record })
}

fn secret(row: &Row<'_>, column: usize) -> Result<Option<Secret>> {
    let out_of_memory =
        || rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_NOMEM), None);
    let bytes = row.get_ref(column)?.as_blob_or_null()?;
    bytes.map(|bytes| Secret::copy(bytes).ok_or_else(out_of_memory)).transpose()
}
