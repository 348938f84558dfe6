//! The least rights that the library needs: everything works with them, and nothing could be left out.

#[path = "support/heard.rs"]
mod heard;
#[path = "support/monitor.rs"]
mod monitor;
#[path = "support/redis.rs"]
mod support;

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use heard::Heard;
use monitor::Monitor;
use redis::cmd;
use serde_json::json;
use support::Server;
use tokencache::cache::{Cache, SetOptions, SetOutcome};
use tokencache::clock;
use tokencache::entry::{Asked, NEVER};
use tokencache::error::{Error, Result};
use tokencache::log::Level;

/// The line of the README that lets a user of the library do what it needs.
static LINE: LazyLock<String> = LazyLock::new(|| {
    let readme =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).expect("the README");
    let line = readme.lines().find(|line| line.starts_with("ACL SETUSER tokencache ")).expect("the line");
    line.replace(">PASSWORD", ">secret").replace("~orders:*", "~p:*")
});

fn commands() -> Vec<&'static str> {
    LINE.split_whitespace().filter(|word| word.starts_with('+')).collect()
}

/// Gives the user what the README says, but for what is left out.
fn allow(server: &Server, left_out: &str) {
    server.ask::<()>("ACL SETUSER tokencache reset");
    let words: Vec<_> = LINE.split_whitespace().filter(|word| *word != left_out).collect();
    server.ask::<()>(&words.join(" "));
}

fn open(server: &Server) -> Result<Arc<Cache>> {
    // Not the first database, so that SELECT is needed too.
    let url = format!("redis://127.0.0.1:{}/1", server.port());
    let members = json!({
        "l1": {"enabled": false},
        "l2": {"url": url, "username": "tokencache", "password": "secret", "require_at_open": true},
        // What is refused is to be told, and not kept for later.
        "resilience": {"deadline_ms": 30_000, "max_attempts": 1, "journal_max_entries": 0},
    });
    let document = server.document(members);
    let end = Instant::now() + support::GENEROUS;
    loop {
        match Cache::open(document.as_bytes()) {
            // On a loaded machine the greeting may come too late.
            Err(error) if error.kind.name() == "TC_L2_TIMEOUT" && Instant::now() < end => {}
            answer => return answer,
        }
    }
}

fn lasting(asked: Asked) -> SetOptions {
    SetOptions { asked, ..SetOptions::default() }
}

fn stored_version(outcome: SetOutcome) -> u64 {
    match outcome {
        SetOutcome::Stored(version) => version,
        SetOutcome::Owed(_) => panic!("owed to L2"),
        SetOutcome::Conflict => panic!("a conflict"),
    }
}

/// Every kind of call, on keys of every kind.
fn suite(server: &Server) -> Result<()> {
    let cache = open(server)?;
    let kinds = [
        Asked { ttl_ms: NEVER, ..Asked::default() },
        Asked { ttl_ms: 60_000, ..Asked::default() },
        Asked { expires_at_ms: clock::unix_ms() + 60_000, sliding_ms: 30_000, ..Asked::default() },
    ];
    // The last two cannot be kept beside another key by a hash tag, and take another path.
    for key in [&b"k"[..], b"{tag}k", b"a}b", b"{}"] {
        cache.remove(key)?;
        for asked in kinds {
            let plain = lasting(asked);
            stored_version(cache.set(key, b"1", plain)?);
            let seen = cache.get(key)?.expect("an entry").version();
            let seen =
                stored_version(cache.set(key, b"2", SetOptions { expected_version: seen, ..plain })?);
            let conflict = SetOptions { expected_version: seen ^ 2, ..plain };
            assert_eq!(cache.set(key, b"3", conflict)?, SetOutcome::Conflict);
            let absent = SetOptions { expected_version: u64::MAX, ..plain };
            assert_eq!(cache.set(key, b"3", absent)?, SetOutcome::Conflict);
            assert!(cache.touch(key)?);
            cache.remove(key)?;
            assert!(!cache.touch(key)?);
            stored_version(cache.set(key, b"4", absent)?);
        }
        let past = lasting(Asked { expires_at_ms: clock::unix_ms() - 1, ..Asked::default() });
        let seen = cache.get(key)?.expect("an entry").version();
        assert_eq!(
            cache.set(key, b"5", SetOptions { expected_version: seen ^ 2, ..past })?,
            SetOutcome::Conflict
        );
        cache.set(key, b"5", SetOptions { expected_version: seen, ..past })?;
        let gone = cache.set(key, b"5", SetOptions { expected_version: seen, ..past })?;
        assert_eq!(gone, SetOutcome::Conflict);
        cache.set(key, b"5", past)?;
        assert!(cache.get(key)?.is_none());
    }
    Ok(())
}

#[test]
fn the_least_rights_are_enough() {
    let Some(server) = Server::start() else { return };
    allow(&server, "");
    let mut monitor = Monitor::of(&server);
    if let Err(error) = suite(&server) {
        let log: redis::Value = server.ask("ACL LOG");
        panic!("{error:?}\n{log:?}");
    }
    let mut sent: BTreeSet<String> = BTreeSet::new();
    for words in monitor.seen() {
        sent.insert(words[0].to_lowercase());
    }
    println!("{sent:?}");
    let log: Vec<redis::Value> = server.ask("ACL LOG");
    assert!(log.is_empty(), "something was denied, and nobody said so: {log:?}");
}

#[test]
fn none_of_the_least_rights_could_be_left_out() {
    let Some(server) = Server::start() else { return };
    for left_out in commands() {
        allow(&server, left_out);
        server.ask::<()>("FLUSHALL");
        server.ask::<()>("SCRIPT FLUSH");
        server.ask::<()>("ACL LOG RESET");
        let answer = suite(&server);
        let log: Vec<redis::Value> = server.ask("ACL LOG");
        // What the library can do without is missed silently, and shows in the server's own log.
        assert!(answer.is_err() || !log.is_empty(), "{left_out} is not needed");
        if let Err(Error { kind, message }) = answer {
            assert_eq!(kind.name(), "TC_L2_DENIED", "without {left_out}: {message}");
        }
    }
}

#[test]
fn that_writes_are_denied_is_said_once_for_each_kind() {
    let Some(server) = Server::start() else { return };
    allow(&server, "");
    server.ask::<()>("ACL SETUSER tokencache -hset -unlink");
    let cache = open(&server).expect("it opens");
    let heard = Heard::from(&cache, Level::Warn);
    for number in 0..50 {
        let key = format!("key {number}").into_bytes();
        assert!(cache.set(&key, b"token", SetOptions::default()).is_err());
        assert!(cache.remove(&key).is_err());
    }
    assert_eq!(heard.count("status=TC_L2_DENIED"), 2, "{:#?}", heard.records());
}

#[test]
fn keys_outside_the_prefix_are_not_touched_by_anything_that_is_sent() {
    let Some(server) = Server::start() else { return };
    allow(&server, "");
    suite(&server).expect("the suite passes");
    let keys = "redis.call('SELECT', 1) return redis.call('KEYS', '*')";
    let keys: Vec<Vec<u8>> = server.run(cmd("EVAL").arg(keys).arg(0));
    assert!(!keys.is_empty());
    for key in keys {
        assert!(key.starts_with(b"p:"), "{}", String::from_utf8_lossy(&key));
    }
    assert!(server.keys().is_empty(), "and no other database");
}

#[test]
fn what_the_acl_forbids_is_named() {
    let Some(server) = Server::start() else { return };
    allow(&server, "+hmget");
    let error = open(&server).expect("the cache opens").get(b"k").expect_err("denied");
    assert!(error.message.contains("does not let this user run hmget"), "{error}");

    allow(&server, "~p:*");
    server.ask::<()>("ACL SETUSER tokencache ~q:*");
    let error = open(&server).expect("the cache opens").get(b"k").expect_err("denied");
    assert!(error.message.contains("at this key; its ACL must name l2.key_prefix"), "{error}");
}
