//! The statements on entries. A row is *live* when it has a value and has not ended.

#![forbid(unsafe_code)]

use rusqlite::{Connection, OptionalExtension, Result, Row, ffi, params};

use crate::entry::{Lifetime, Secret};
use crate::l2::{Expected, Stored};

/// How long a tombstone is kept: as long as anything may be owed.
const TOMBSTONE_MS: i64 = 86_400_000;

/// The latest version that can be proposed; beyond it SQLite's integers would end.
const LATEST_VERSION: u64 = (i64::MAX >> 1) as u64;

/// The longest window: centuries, and no sum of it and a time overflows.
const LONGEST_MS: i64 = i64::MAX >> 2;

macro_rules! live {
    ($now:literal) => {
        concat!("value IS NOT NULL AND (ends_at_ms = 0 OR ends_at_ms > ", $now, ")")
    };
}

pub(super) use live;

const GET: &str = concat!(
    "SELECT version, written_at_ms, expires_at_ms, sliding_ms, ends_at_ms, used_at_ms, value
     FROM entries WHERE key = ?1 AND ",
    live!("?2")
);

/// `?9`: over whatever is there.
const UPSERT: &str = concat!(
    "INSERT INTO entries
         (key, used_at_ms, version, written_at_ms, expires_at_ms, sliding_ms, ends_at_ms, value)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
     ON CONFLICT (key) DO UPDATE SET
         used_at_ms = ?2, version = max(?3, version + 1), written_at_ms = ?4, expires_at_ms = ?5,
         sliding_ms = ?6, ends_at_ms = ?7, value = ?8
     WHERE ?9 OR NOT (",
    live!("?2"),
    ") RETURNING version"
);

/// A tombstone over a row that is there and has ended: where nothing is to be there, nothing is removed.
const BURY: &str = concat!(
    "UPDATE entries SET
         used_at_ms = ?2, version = max(?3, version + 1), written_at_ms = ?4, expires_at_ms = ?5,
         sliding_ms = ?6, ends_at_ms = ?7, value = ?8
     WHERE key = ?1 AND NOT ?9 AND NOT (",
    live!("?2"),
    ") RETURNING version"
);

/// `?9`: the version that must be there.
const REPLACE: &str = concat!(
    "UPDATE entries SET
         used_at_ms = ?2, version = max(?3, version + 1), written_at_ms = ?4, expires_at_ms = ?5,
         sliding_ms = ?6, ends_at_ms = ?7, value = ?8
     WHERE key = ?1 AND version = ?9 AND ",
    live!("?2"),
    " RETURNING version"
);

const IS_LIVE: &str = concat!("SELECT 1 FROM entries WHERE key = ?1 AND ", live!("?2"));

const END: &str =
    concat!("SELECT ends_at_ms, sliding_ms, used_at_ms FROM entries WHERE key = ?1 AND ", live!("?2"));

const TOUCH: &str = concat!(
    "UPDATE entries SET ends_at_ms =
         min(?2 + sliding_ms, CASE expires_at_ms WHEN 0 THEN ?2 + sliding_ms ELSE expires_at_ms END)
     WHERE key = ?1 AND sliding_ms != 0 AND ",
    live!("?2"),
    " RETURNING ends_at_ms"
);

/// The live entry of `key`, and when it was last known to be used.
pub(super) fn get(connection: &Connection, key: &[u8], now_ms: i64) -> Result<Option<(Stored, i64)>> {
    connection.prepare_cached(GET)?.query_row(params![key, now_ms], stored).optional()
}

fn stored(row: &Row<'_>) -> Result<(Stored, i64)> {
    let out_of_memory = || rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_NOMEM), None);
    let bytes = Secret::copy(row.get_ref(6)?.as_blob()?).ok_or_else(out_of_memory)?;
    let lifetime = Lifetime { expires_at_ms: row.get(2)?, sliding_ms: row.get(3)? };
    let version = row.get::<_, i64>(0)? as u64;
    let stored = Stored { bytes, version, written_at_ms: row.get(1)?, lifetime, ends_at_ms: row.get(4)? };
    Ok((stored, row.get(5)?))
}

/// What is to stand under a key.
pub(super) struct Write<'a> {
    pub key: &'a [u8],
    /// `None` for a tombstone.
    pub value: Option<&'a [u8]>,
    pub version: u64,
    pub written_at_ms: i64,
    pub lifetime: Lifetime,
}

/// Writes, if what is there is `expected`, and answers the version. A removal leaves a tombstone also where nothing was:
/// an older write may be owed, here or in another process, and must not come after it.
pub(super) fn write(
    connection: &Connection,
    write: &Write<'_>,
    expected: Expected,
    now_ms: i64,
) -> Result<Option<u64>> {
    let (sql, condition) = match expected {
        Expected::Anything => (UPSERT, 1),
        Expected::Absent => (if write.value.is_some() { UPSERT } else { BURY }, 0),
        Expected::Version(version) => (REPLACE, version as i64),
    };
    let sliding_ms = write.lifetime.sliding_ms.min(LONGEST_MS);
    let lifetime = Lifetime { sliding_ms, ..write.lifetime };
    let ends_at_ms = match write.value {
        Some(_) => lifetime.ends_at_ms(now_ms),
        None => now_ms.saturating_add(TOMBSTONE_MS),
    };
    let version = write.version.min(LATEST_VERSION) as i64;
    let values = params![
        write.key,
        now_ms,
        version,
        write.written_at_ms,
        lifetime.expires_at_ms,
        sliding_ms,
        ends_at_ms,
        write.value,
        condition
    ];
    let mut statement = connection.prepare_cached(sql)?;
    statement
        .query_row(values, |row| row.get::<_, i64>(0))
        .optional()
        .map(|found| found.map(|new| new as u64))
}

/// Whether there is a live entry.
pub(super) fn is_live(connection: &Connection, key: &[u8], now_ms: i64) -> Result<bool> {
    connection.prepare_cached(IS_LIVE)?.exists(params![key, now_ms])
}

/// The end of an entry.
pub(super) struct End {
    pub ends_at_ms: i64,
    pub slides: bool,
    pub used_at_ms: i64,
}

/// The end of the live entry of `key`.
pub(super) fn end(connection: &Connection, key: &[u8], now_ms: i64) -> Result<Option<End>> {
    let read = |row: &Row<'_>| {
        let slides = row.get::<_, i64>(1)? != 0;
        Ok(End { ends_at_ms: row.get(0)?, slides, used_at_ms: row.get(2)? })
    };
    connection.prepare_cached(END)?.query_row(params![key, now_ms], read).optional()
}

/// Renews the window of the live entry of `key`, if it slides, and answers its new end.
pub(super) fn touch(connection: &Connection, key: &[u8], now_ms: i64) -> Result<Option<i64>> {
    connection.prepare_cached(TOUCH)?.query_row(params![key, now_ms], |row| row.get(0)).optional()
}
