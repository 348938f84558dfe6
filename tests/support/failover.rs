//! A primary and its replica behind the address of a service, and what a cache says of a failover.

#![allow(dead_code, reason = "no test needs all of it")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokencache::cache::{Cache, SetOptions};
use tokencache::entry::Asked;

use crate::proxy::Proxy;
use crate::support::{self, Server, cache::statistics, document, wait_until, written};

/// Within what all is to be there again after the primary has changed.
pub const SOON: Soon = Soon(Duration::from_secs(5));

pub struct Soon(Duration);

impl Soon {
    /// How long it took since `begin`, and whether that is too long; a word and no more, because others use the machine.
    pub fn told(&self, begin: Instant) -> String {
        let took = begin.elapsed();
        let late = if took > self.0 { " (LATE)" } else { "" };
        format!("{:.2} s{late}", took.as_secs_f64())
    }
}

/// The primary, and the one that is to follow it.
pub struct Pair {
    pub old: Server,
    pub new: Server,
    /// The address of the service.
    pub proxy: Proxy,
}

impl Pair {
    pub fn start() -> Option<Pair> {
        let old = Server::with(&["--repl-diskless-sync-delay", "0"])?;
        let port = old.port().to_string();
        let new = Server::with(&["--replicaof", "127.0.0.1", &port, "--repl-diskless-sync-delay", "0"]);
        let proxy = Proxy::before(old.port());
        let pair = Pair { old, new: new.expect("a replica"), proxy };
        wait_until("the replica follows", || {
            pair.new.ask::<String>("INFO replication").contains("master_link_status:up")
        });
        Some(pair)
    }

    pub fn open(&self, more: Value) -> Arc<Cache> {
        Cache::open(document(&self.proxy.url(), more).as_bytes()).expect("the cache opens")
    }

    /// Waits until the replica has all that the primary has.
    pub fn catch_up(&self) {
        let offset = |server: &Server, name: &str| {
            let info: String = server.ask("INFO replication");
            let found = info.lines().find_map(|line| line.strip_prefix(name).map(str::to_owned));
            found.expect("an offset")
        };
        wait_until("the replica has it all", || {
            offset(&self.old, "master_repl_offset:") == offset(&self.new, "slave_repl_offset:")
        });
    }

    /// Makes a primary of the replica, and tells neither the old one nor the service.
    pub fn promote(&self) {
        self.new.ask::<()>("REPLICAOF NO ONE");
    }

    /// The service leads to the new primary.
    pub fn fail_over(&self) {
        self.proxy.repoint(self.new.port());
        self.proxy.cut();
    }
}

pub fn set(cache: &Cache, key: &str, text: &str) {
    set_for(cache, key, text, Asked::default());
}

pub fn set_for(cache: &Cache, key: &str, text: &str, asked: Asked) {
    let answer = cache.set(key.as_bytes(), text.as_bytes(), SetOptions { asked, ..SetOptions::default() });
    assert_eq!(written(answer), "TC_OK", "{key}");
}

/// Over the version that is read.
pub fn swap(cache: &Cache, key: &str, text: &str) {
    let expected_version = cache.get(key.as_bytes()).expect("a read").expect("an entry").version();
    let answer =
        cache.set(key.as_bytes(), text.as_bytes(), SetOptions { expected_version, ..Default::default() });
    assert_eq!(written(answer), "TC_OK", "{key}");
}

/// What is read; nothing for what is not there.
pub fn found(cache: &Cache, key: &str) -> String {
    let entry = cache.get(key.as_bytes()).unwrap_or_else(|error| panic!("{key}: {error}"));
    entry.map(|entry| String::from_utf8_lossy(entry.data()).into_owned()).unwrap_or_default()
}

/// What the cache says of what it makes again.
pub fn again(cache: &Cache) -> Value {
    statistics(cache)["l2"]["failover"].clone()
}

pub fn remembered(cache: &Cache) -> u64 {
    again(cache)["remembered_entries"].as_u64().expect("a number")
}

pub fn is_up(cache: &Cache) -> bool {
    statistics(cache)["l2"]["store"]["link_is_up"] == json!(1)
}

/// Waits until the primary has changed so often, and nothing is to be made again or owed.
pub fn again_is_done(cache: &Cache, changes: u64) {
    wait_until("all is made again", || {
        again(cache)["primary_changes"].as_u64() >= Some(changes) && cache.flush(support::GENEROUS)
    });
}
