//! What the tests of the journal share.

#![allow(dead_code)]

use std::path::Path;
use std::time::Duration;

use tokencache::clock;
use tokencache::entry::{Lifetime, Secret};
use tokencache::journal::{
    Cause, Change, Due, Joined, Journal, Known, Moment, Pass, Record, Replay, Settings,
};
use tokencache::l2::Failure;
use tokencache::l2::replay::Target;
use tokencache::log::{self, Level, Logger};

use super::sqlite::soon;

pub const IDENTITY: &str = "redis cache:6379/0 orders:";

pub fn settings(path: Option<&Path>) -> Settings {
    Settings { path: path.map(Into::into), max_bytes: 1 << 30, max_entries: 1 << 20 }
}

pub fn open(path: &Path) -> Journal {
    Journal::open(&settings(Some(path)), IDENTITY, soon()).expect("a journal")
}

/// Runs `test` with a journal in memory, and with one in a file.
pub fn each_kind(test: impl Fn(&Journal)) {
    test(&Journal::open(&settings(None), IDENTITY, soon()).expect("a journal"));
    let folder = tempfile::tempdir().expect("a folder");
    test(&open(&folder.path().join("owed.db")));
}

pub fn time(ms: i64) -> u64 {
    (ms as u64) << 16
}

pub fn set_until(value: &[u8], expires_at_ms: i64) -> Record {
    let now_ms = clock::unix_ms();
    let lifetime = Lifetime { expires_at_ms, sliding_ms: 0 };
    let bytes = Secret::copy(value).expect("memory");
    let change = Change::Set { bytes, lifetime };
    Record {
        change,
        clock: time(now_ms),
        written_at_ms: now_ms,
        known: Known::Nothing,
        base: None,
        over: None,
        link: None,
    }
}

pub fn set(value: &[u8]) -> Record {
    set_until(value, 0)
}

pub fn removal() -> Record {
    Record { change: Change::Remove, ..set(b"") }
}

pub fn owe(journal: &Journal, key: &str, record: Record) {
    journal.owe(key.as_bytes(), record, soon()).expect("room");
}

/// The value that is owed for `key`; `None` for a removal.
pub fn value(record: &Record) -> Option<&[u8]> {
    record.change.value().map(|(bytes, _)| bytes)
}

pub fn find(journal: &Journal, key: &str) -> Option<Record> {
    journal.find(key.as_bytes(), soon()).expect("a look").map(|found| found.record)
}

pub fn all(journal: &Journal) -> Vec<Due> {
    let turn = journal.claim_replay().expect("a lock").expect("a turn");
    let mut due: Vec<Due> = Vec::new();
    loop {
        let after = due.last().map_or(0, |last| last.sequence);
        let batch = turn.batch(clock::unix_ms(), after, 1000, soon()).expect("a batch");
        if batch.is_empty() {
            return due;
        }
        due.extend(batch);
    }
}

pub fn keys(due: &[Due]) -> Vec<&str> {
    due.iter().map(|due| std::str::from_utf8(&due.key).expect("text")).collect()
}

pub fn quiet() -> Logger {
    let (name, key_prefix) = (String::new(), String::new());
    Logger::new(log::Settings { name, level: Level::Error, to_stderr: false, clear_keys: false, key_prefix })
}

pub fn replay<T: Target + ?Sized>(journal: &Journal, target: &T, key_prefix: &[u8]) -> Result<Pass, Failure> {
    replay_with(journal, target, key_prefix, &quiet(), &|_| ())
}

pub fn replay_with<T: Target + ?Sized>(
    journal: &Journal,
    target: &T,
    key_prefix: &[u8],
    log: &Logger,
    decided: &(dyn Fn(&[u8]) + Sync),
) -> Result<Pass, Failure> {
    replay_joined(journal, target, key_prefix, log, decided, &|_| Ok(Joined::Plain))
}

/// As [`replay_with`], and `join` merges.
pub fn replay_joined<T: Target + ?Sized>(
    journal: &Journal,
    target: &T,
    key_prefix: &[u8],
    log: &Logger,
    decided: &(dyn Fn(&[u8]) + Sync),
    join: &(dyn Fn(&Due) -> Result<Joined, Failure> + Sync),
) -> Result<Pass, Failure> {
    let turn = journal.claim_replay().expect("a lock").expect("a turn");
    let patience = Duration::from_secs(60);
    let (is_sure, written) = (&|_: &[u8]| true, &|_: &[u8], _: &Record, _: Option<Moment>| ());
    Replay {
        cause: Cause::Owed,
        target,
        key_prefix,
        patience,
        is_closing: &|| false,
        moment: &|| None,
        decided,
        is_sure,
        written,
        join,
        log,
    }
    .run(&turn)
}

pub fn in_memory() -> Journal {
    Journal::open(&settings(None), IDENTITY, soon()).expect("a journal")
}
