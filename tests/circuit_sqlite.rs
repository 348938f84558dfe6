//! The circuit before a file that cannot be used, and before one that can be read and not written.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokencache::cache::{Cache, SetOptions, SetOutcome};
use tokencache::error::Result;

#[path = "support/cache.rs"]
mod cache;
#[path = "support/mounted.rs"]
mod mounted;
#[path = "support/sqlite.rs"]
mod support;

use cache::{Shared, statistics};
use mounted::{Mounted, mount};
use support::{GENEROUS, python, wait_until};

fn open(shared: &Shared, deadline_ms: u64) -> Arc<Cache> {
    let cache = shared.open(json!({
        "l1": {"enabled": false},
        "l2": {"path": shared.folder().join("home/tokens.db")},
        "resilience": {"deadline_ms": deadline_ms, "max_attempts": 1},
    }));
    // Also where the deadline is so short that a busy machine misses it.
    wait_until("it is read", || get(&cache) == "TC_OK");
    cache
}

fn home() -> Shared {
    let shared = Shared::new();
    fs::create_dir(shared.folder().join("home")).expect("a folder");
    shared
}

fn status<T>(answer: Result<T>) -> &'static str {
    answer.map_or_else(|error| error.kind.name(), |_| "TC_OK")
}

fn get(cache: &Cache) -> &'static str {
    status(cache.get(b"k"))
}

/// Of a key of its own: what is owed for it would answer for L2.
fn set(cache: &Cache) -> &'static str {
    match cache.set(b"set", b"1", SetOptions::default()) {
        Ok(SetOutcome::Owed(_)) => "TC_DEGRADED",
        answer => status(answer),
    }
}

fn state(cache: &Cache) -> String {
    statistics(cache)["l2"]["circuit"]["state"].as_str().expect("a word").to_owned()
}

fn recovery(cache: &Cache, what: &str) {
    let begin = Instant::now();
    wait_until("the file is used again", || get(cache) == "TC_OK");
    println!("{what}: used again after {:?}", begin.elapsed());
    assert!(begin.elapsed() < GENEROUS / 3);
    wait_until("it is closed", || state(cache) == "closed");
}

/// Holds the database in `mode` until its input ends.
fn holding(mode: &str) -> String {
    format!(
        "import sqlite3,sys\nc=sqlite3.connect(sys.argv[1],isolation_level=None,timeout=60)\n\
         c.execute('pragma locking_mode={mode}')\nc.execute('begin immediate')\n\
         c.execute('update entries set used_at_ms = 1')\nprint('held',flush=True)\nsys.stdin.read()"
    )
}

#[test]
fn a_file_that_somebody_has_for_himself_is_left_alone_until_he_ends() {
    let shared = home();
    let path = shared.folder().join("home/tokens.db");
    open(&shared, 30_000).close();
    // In WAL mode readers are barred only by a connection that finds no other one when it comes.
    let (mut holder, _output) = python(&holding("exclusive"), &path);
    let cache = shared.open(json!({
        "l1": {"enabled": false}, "l2": {"path": path}, "resilience": {"deadline_ms": 100, "max_attempts": 1},
    }));
    let seen: Vec<_> = (0..5).map(|_| get(&cache)).collect();
    // On a loaded machine the deadline may pass before the lock is met.
    let is_expected = |status: &&str| ["TC_L2_BUSY", "TC_L2_TIMEOUT"].contains(status);
    assert!(seen.contains(&"TC_L2_BUSY") && seen.iter().all(is_expected), "{seen:?}");
    let begin = Instant::now();
    for _ in 0..100 {
        assert_eq!((get(&cache), set(&cache)), ("TC_L2_SUSPENDED", "TC_DEGRADED"));
    }
    // A call that waited would wait for its deadline, and there are two in a round.
    assert!(begin.elapsed() < Duration::from_secs(15), "{:?}", begin.elapsed());
    drop(holder.stdin.take());
    recovery(&cache, "locked");
    holder.wait().expect("its end");
}

#[test]
fn a_file_that_somebody_writes_for_long_is_read_as_ever() {
    let shared = home();
    let cache = open(&shared, 100);
    let (mut holder, _output) = python(&holding("normal"), &shared.folder().join("home/tokens.db"));
    for _ in 0..30 {
        assert_eq!(set(&cache), "TC_DEGRADED");
    }
    wait_until("it is read", || get(&cache) == "TC_OK");
    assert_eq!(state(&cache), "closed");
    drop(holder.stdin.take());
    wait_until("it is written again", || set(&cache) == "TC_OK");
    holder.wait().expect("its end");
}

#[test]
fn a_folder_that_goes_is_left_alone_until_it_is_back() {
    let shared = home();
    let cache = open(&shared, 30_000);
    let (home, away) = (shared.folder().join("home"), shared.folder().join("away"));
    fs::rename(&home, &away).expect("away");
    for _ in 0..5 {
        assert_eq!(set(&cache), "TC_DEGRADED");
    }
    assert_eq!((get(&cache), set(&cache)), ("TC_L2_SUSPENDED", "TC_DEGRADED"));
    let error = cache.get(b"k").expect_err("suspended");
    assert!(error.message.contains("tokens.db"), "{error}");
    fs::rename(&away, &home).expect("back");
    recovery(&cache, "moved");
}

#[test]
fn a_read_only_file_system_is_read_as_ever() {
    let shared = home();
    let home = shared.folder().join("home");
    // Stays open, so that there is a log: without one, SQLite does not open what it may not write to.
    let writer = open(&shared, 30_000);
    assert_eq!(set(&writer), "TC_OK");
    if !mount(&["--bind", &home.display().to_string()], &home) {
        println!("skipped: nothing can be mounted here");
        return;
    }
    let _mounted = Mounted(&home);
    if !mount(&["-o", "remount,ro,bind"], &home) {
        println!("skipped: nothing can be mounted read-only here");
        return;
    }
    let cache = open(&shared, 30_000);
    for _ in 0..30 {
        assert_eq!(set(&cache), "TC_DEGRADED");
    }
    assert_eq!((get(&cache), state(&cache).as_str()), ("TC_OK", "closed"));
}
