//! What a database of this library looks like, and which databases are not ours.

#![forbid(unsafe_code)]

use std::path::Path;

use rusqlite::Connection;

use super::diagnosis::diagnose;
use super::transaction;
use crate::l2::{Class, Failure};

/// A kind of database.
pub struct Schema {
    /// `PRAGMA application_id`.
    pub application_id: i32,
    /// `PRAGMA user_version`.
    pub version: i32,
    /// What makes this version of an older one, each from the one before.
    pub upgrades: &'static [(i32, &'static str)],
    /// The statements that make it.
    pub script: &'static str,
}

/// The shared tier.
pub static ENTRIES: Schema = Schema {
    // "TKCe"
    application_id: 0x544B_4365,
    version: 1,
    upgrades: &[],
    // The value comes last, so that the numbers before it are read and changed without touching its pages.
    script: "
        CREATE TABLE entries (
            id INTEGER PRIMARY KEY,
            key BLOB NOT NULL UNIQUE,
            version INTEGER NOT NULL,
            written_at_ms INTEGER NOT NULL,
            expires_at_ms INTEGER NOT NULL, -- 0: no absolute end
            sliding_ms INTEGER NOT NULL,    -- 0: does not slide
            ends_at_ms INTEGER NOT NULL,    -- the end in force; 0: never
            used_at_ms INTEGER NOT NULL,
            value BLOB                      -- NULL: removed, kept until ends_at_ms for its version
        );
        CREATE INDEX entries_by_end ON entries (ends_at_ms) WHERE ends_at_ms != 0;
        CREATE INDEX entries_by_use ON entries (used_at_ms) WHERE value IS NOT NULL;
        -- Without it, a database made before it was here works as well, and looks longer for its tombstones.
        CREATE INDEX entries_by_removal ON entries (ends_at_ms) WHERE value IS NULL;",
};

/// With two indexes and values of 7 KB, 4 KB pages make a set a third of what 16 KB pages make it: an index then
/// costs a quarter to log, and a changed number leaves the value's own pages alone.
const PAGE_BYTES: u32 = 4096;

/// Pages in the log after which a writer moves them into the database; `tend` does it before, off the caller's path.
const LOG_PAGES: u32 = 4096;

/// What the log is cut down to when it has grown further.
const LOG_BYTES: u32 = PAGE_BYTES * LOG_PAGES;

enum Found {
    Ours,
    Empty,
    Foreign(i32),
    Version(i32),
}

impl Schema {
    /// Makes `connection` ready, and the database too when it is empty; refuses one that is not ours.
    pub(super) fn settle(&self, connection: &Connection, path: &Path) -> Result<(), Failure> {
        let failed = |error| diagnose(path, &error);
        let mut found =
            transaction::run(connection, "BEGIN", || self.recognise(connection)).map_err(failed)?;
        if matches!(found, Found::Foreign(0)) {
            // One that is being made, or whose locks a fork has just taken away, may look like it: not to its writer.
            match transaction::run(connection, "BEGIN IMMEDIATE", || self.recognise(connection))
                .map_err(failed)
            {
                Ok(certain) => found = certain,
                Err(failure) if failure.class == Class::Busy => return Err(failure),
                Err(_) => {}
            }
        }
        if matches!(found, Found::Version(version) if self.upgrades.iter().any(|(from, _)| *from == version))
        {
            let upgraded = transaction::run(connection, "BEGIN IMMEDIATE", || self.upgrade(connection));
            found = upgraded.map_err(failed)?;
        }
        self.refuse(&found, path)?;
        let mode = tune(connection).map_err(failed)?;
        if mode != "wal" {
            return Err(no_log(path, &mode));
        }
        if matches!(found, Found::Empty) {
            let found = transaction::run(connection, "BEGIN IMMEDIATE", || self.make(connection));
            self.refuse(&found.map_err(failed)?, path)?;
        }
        Ok(())
    }

    fn recognise(&self, connection: &Connection) -> rusqlite::Result<Found> {
        let number = |sql| connection.query_row(sql, (), |row| row.get::<_, i32>(0));
        // The first read takes the lock under which the others see the same database.
        let tables = number("SELECT count(*) FROM sqlite_schema")?;
        let (id, version) = (number("PRAGMA application_id")?, number("PRAGMA user_version")?);
        Ok(match (tables, id, version) {
            (0, 0, 0) => Found::Empty,
            (_, id, version) if id == self.application_id && version == self.version => Found::Ours,
            (_, id, version) if id == self.application_id => Found::Version(version),
            (_, id, _) => Found::Foreign(id),
        })
    }

    /// Makes the tables, unless another process has just done so.
    fn make(&self, connection: &Connection) -> rusqlite::Result<Found> {
        let found = self.recognise(connection)?;
        if !matches!(found, Found::Empty) {
            return Ok(found);
        }
        connection.execute_batch(self.script)?;
        connection.pragma_update(None, "application_id", self.application_id)?;
        connection.pragma_update(None, "user_version", self.version)?;
        Ok(Found::Ours)
    }

    /// Brings an older database up to this version, unless another process has just done so.
    fn upgrade(&self, connection: &Connection) -> rusqlite::Result<Found> {
        let mut found = self.recognise(connection)?;
        while let Found::Version(version) = found {
            let Some((_, script)) = self.upgrades.iter().find(|(from, _)| *from == version) else { break };
            connection.execute_batch(script)?;
            connection.pragma_update(None, "user_version", version + 1)?;
            found = self.recognise(connection)?;
        }
        Ok(found)
    }

    fn refuse(&self, found: &Found, path: &Path) -> Result<(), Failure> {
        let path = path.display();
        let message = match *found {
            Found::Ours | Found::Empty => return Ok(()),
            Found::Foreign(id) => format!(
                "The file {path} is a SQLite database of something else (application_id {id:#x}, ours is {:#x}); \
                 give the cache a path of its own.",
                self.application_id
            ),
            Found::Version(version) if version > self.version => format!(
                "The database {path} was written by a newer version of this library (schema {version}, this one \
                 knows {}); update the library here, or give it another path.",
                self.version
            ),
            Found::Version(version) => format!(
                "The database {path} has schema {version}, and this library knows {} alone; remove the file, and \
                 it is made anew.",
                self.version
            ),
        };
        Err(Failure::new(Class::Protocol, message))
    }
}

/// What each connection is set to; answers the mode of the journal.
fn tune(connection: &Connection) -> rusqlite::Result<String> {
    connection.execute_batch(&format!("PRAGMA page_size = {PAGE_BYTES}; PRAGMA trusted_schema = OFF"))?;
    let mode = connection.query_row("PRAGMA journal_mode = WAL", (), |row| row.get(0))?;
    for pragma in ["synchronous = NORMAL", "secure_delete = FAST", "temp_store = MEMORY"] {
        connection.execute_batch(&format!("PRAGMA {pragma}"))?;
    }
    connection.execute_batch(&format!(
        "PRAGMA wal_autocheckpoint = {LOG_PAGES}; PRAGMA journal_size_limit = {LOG_BYTES}"
    ))?;
    Ok(mode)
}

fn no_log(path: &Path, mode: &str) -> Failure {
    let message = format!(
        "The database {} cannot be shared by processes: its journal stays in mode {mode} instead of WAL; put it on \
         a local file system.",
        path.display()
    );
    Failure::new(Class::Protocol, message)
}
