//! What can happen to a SQLite file.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use rusqlite::Connection;
use serde_json::json;

use super::walk::{Fault, Victim, up_to_ms};
use crate::support::cache::Shared;

pub struct Sqlite {
    shared: Shared,
}

impl Sqlite {
    pub fn new() -> Sqlite {
        Sqlite { shared: Shared::new() }
    }

    /// Somebody else does `statements` with the file, and holds on to it for a while.
    fn held_by(&self, statements: &str) {
        let connection = Connection::open(self.shared.database()).expect("the database");
        connection.busy_timeout(Duration::from_secs(60)).expect("a time");
        connection.execute_batch(statements).expect("it is done");
        sleep(up_to_ms(1_500));
        connection.execute_batch("ROLLBACK").expect("it is let go");
    }
}

impl Victim for Sqlite {
    const NAME: &str = "SQLite";

    fn document(&self) -> String {
        let journal = self.shared.folder().join("owed.db");
        let resilience = json!({"deadline_ms": 300, "close_ms": 60_000, "journal_path": journal});
        self.shared.document(json!({"resilience": resilience}))
    }

    const FAULTS: &[Fault<Sqlite>] = &[
        ("file locked", |sqlite, _| sqlite.held_by("BEGIN IMMEDIATE")),
        ("file locked after a write", |sqlite, _| {
            sqlite.held_by("BEGIN IMMEDIATE; UPDATE entries SET used_at_ms = 1");
        }),
        ("snapshot held", |sqlite, _| sqlite.held_by("BEGIN; SELECT count(*) FROM entries")),
        ("log truncated", |sqlite, _| {
            let connection = Connection::open(sqlite.shared.database()).expect("the database");
            // Busy where others are at it; then it is what it can be.
            let _ = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(()));
        }),
        ("epochs unlinked", |sqlite, _| {
            let _ = fs::remove_file(sqlite.shared.folder().join("tokens.db-epochs"));
        }),
    ];

    /// An unlinked table of epochs is noticed at the next heartbeat.
    const BOUND: Duration = Duration::from_secs(3);
}
