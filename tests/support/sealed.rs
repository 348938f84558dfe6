//! Caches that seal, on both kinds of L2, and what lies there in the hands of somebody who has no key.

#![allow(dead_code, reason = "no test needs all of it")]

#[path = "heard.rs"]
pub mod heard;

use std::sync::Arc;

use redis::cmd;
use rusqlite::{Connection, OptionalExtension, params};
use serde_json::{Value, json};
use tokencache::cache::{Cache, SetOptions, SetOutcome};
use tokencache::entry::Entry;
use tokencache::error::Result;

use crate::crypto::member;
use crate::support::cache::{Shared, merge, statistics};
use crate::support::{GENEROUS, PREFIX, Server};

/// An L2, and who can write to it.
pub trait Place {
    fn document(&self, more: Value) -> String;
    /// What lies there under a whole name, prefix and all.
    fn bytes(&self, name: &str) -> Option<Vec<u8>>;
    /// Puts `bytes` there without an end, as a writer that knows nothing of versions.
    fn put(&self, name: &str, bytes: &[u8]);
    /// Whether an entry is there, which L2 keeps for ever from now on.
    fn keep(&self, name: &str) -> bool;
}

pub struct Sqlite(Shared);

impl Sqlite {
    pub fn new() -> Sqlite {
        Sqlite(Shared::new())
    }

    /// Writes values, as SQL spells them, into columns of entries: name, column, value. Whether the schema lets anybody
    /// do that, of each.
    pub fn alter(&self, changes: &[(String, &str, &str)]) -> Vec<bool> {
        let mut connection = self.connection();
        let changing = connection.transaction().expect("a transaction");
        let alter = |(name, column, value): &(String, &str, &str)| {
            let write = format!("UPDATE entries SET {column} = {value} WHERE key = ?1");
            changing.execute(&write, [name.as_bytes()]).is_ok_and(|rows| rows == 1)
        };
        let taken = changes.iter().map(alter).collect();
        changing.commit().expect("committed");
        taken
    }

    /// A connection that keeps every writer out until it commits.
    pub fn hold(&self) -> Connection {
        let connection = self.connection();
        connection.execute_batch("BEGIN IMMEDIATE").expect("the lock");
        connection
    }

    fn connection(&self) -> Connection {
        let connection = Connection::open(self.0.database()).expect("the database");
        connection.busy_timeout(GENEROUS).expect("patience");
        connection
    }
}

impl Place for Sqlite {
    fn document(&self, more: Value) -> String {
        // Many servers share a loaded machine: one that gets no turn for a while is not lost.
        let mut members = json!({
            "l2": { "key_prefix": PREFIX },
            "coherence": { "heartbeat_timeout_ms": 30_000 },
            "resilience": { "deadline_ms": 30_000 },
        });
        merge(&mut members, more);
        self.0.document(members)
    }

    fn bytes(&self, name: &str) -> Option<Vec<u8>> {
        let select = "SELECT value FROM entries WHERE key = ?1 AND value IS NOT NULL";
        let row = self.connection().query_row(select, [name.as_bytes()], |row| row.get(0));
        row.optional().expect("a row")
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        let write = "INSERT INTO entries VALUES (NULL, ?1, abs(random()), 0, 0, 0, 0, 0, ?2)
            ON CONFLICT (key) DO UPDATE SET value = ?2, version = abs(random()), expires_at_ms = 0, ends_at_ms = 0";
        self.connection().execute(write, params![name.as_bytes(), bytes]).expect("written");
    }

    fn keep(&self, name: &str) -> bool {
        let write =
            "UPDATE entries SET expires_at_ms = 0, ends_at_ms = 0 WHERE key = ?1 AND value IS NOT NULL";
        self.connection().execute(write, [name.as_bytes()]).expect("written") == 1
    }
}

impl Place for Server {
    fn document(&self, more: Value) -> String {
        Server::document(self, more)
    }

    fn bytes(&self, name: &str) -> Option<Vec<u8>> {
        self.run(cmd("HGET").arg(name).arg("data"))
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        let mut write = cmd("HSET");
        write.arg(name).arg("absexp").arg(-1).arg("sldexp").arg(-1).arg("data").arg(bytes);
        self.run::<()>(&write);
        self.run::<()>(cmd("PERSIST").arg(name));
    }

    fn keep(&self, name: &str) -> bool {
        let script = "if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
            redis.call('HSET', KEYS[1], 'absexp', '-1')
            redis.call('PERSIST', KEYS[1])
            return 1";
        self.run(cmd("EVAL").arg(script).arg(1).arg(name))
    }
}

/// Checks on SQLite and, where there is one, on a real Redis.
pub fn everywhere(check: impl Fn(&dyn Place)) {
    check(&Sqlite::new());
    if let Some(server) = Server::start() {
        check(&server);
    }
}

/// A ring of test keys, by state and number.
pub fn ring(keys: &[(&str, u8)]) -> Value {
    let keys: Vec<Value> = keys
        .iter()
        .map(|(state, number)| serde_json::from_str(&member(state, *number)).expect("a key"))
        .collect();
    json!({ "version": 1, "keys": keys })
}

/// Members that seal under `keys`; `encryption` has what else there is to say of it.
pub fn sealing(keys: &[(&str, u8)], encryption: Value) -> Value {
    let mut members = json!({ "encryption": { "algorithm": "aes-256-gcm", "keyring": ring(keys) } });
    merge(&mut members["encryption"], encryption);
    members
}

/// A cache whose every read is answered by L2.
pub fn open(place: &dyn Place, keys: &[(&str, u8)], encryption: Value) -> Arc<Cache> {
    let mut members = sealing(keys, encryption);
    merge(&mut members, json!({ "l1": { "enabled": false } }));
    open_with(place, members)
}

/// A cache on the same L2 that seals nothing.
pub fn open_plain(place: &dyn Place) -> Arc<Cache> {
    open_with(place, json!({ "l1": { "enabled": false } }))
}

pub fn open_with(place: &dyn Place, members: Value) -> Arc<Cache> {
    Cache::open(place.document(members).as_bytes()).expect("the cache opens")
}

/// The whole name of a key of these caches.
pub fn name(key: &str) -> String {
    format!("{PREFIX}{key}")
}

pub fn set(cache: &Cache, key: &str, value: &[u8]) -> u64 {
    set_over(cache, key, value, 0).expect("no conflict")
}

/// The new version; `None`: a conflict.
pub fn set_over(cache: &Cache, key: &str, value: &[u8], expected_version: u64) -> Option<u64> {
    let options = SetOptions { expected_version, ..SetOptions::default() };
    match cache.set(key.as_bytes(), value, options).expect("a write") {
        SetOutcome::Stored(version) => Some(version),
        SetOutcome::Owed(_) => panic!("owed to L2"),
        SetOutcome::Conflict => None,
    }
}

pub fn entry(cache: &Cache, key: &str) -> Entry {
    cache.get(key.as_bytes()).expect("a read").expect("an entry")
}

/// How a read ends: its status, and what it says.
pub fn refusal(answer: Result<Option<Entry>>) -> (&'static str, String) {
    let error = answer.expect_err("nothing is handed out");
    (error.kind.name(), error.message)
}

/// What `tc_stats` says of the seal.
pub fn encryption(cache: &Cache) -> Value {
    statistics(cache)["encryption"].take()
}

/// How often a read was refused with `status`.
pub fn refused(cache: &Cache, status: &str) -> u64 {
    encryption(cache)["refused"][status].as_u64().expect("a counter of that name")
}
