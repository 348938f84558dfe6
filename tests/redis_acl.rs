//! The least rights that the library needs: everything works with them, and nothing could be left out.

#[path = "support/monitor.rs"]
mod monitor;
#[path = "support/redis.rs"]
mod support;

use std::collections::BTreeSet;
use std::sync::Arc;

use monitor::Monitor;
use redis::cmd;
use serde_json::json;
use support::{Server, stored};
use tokencache::cache::{Cache, SetOptions, SetOutcome};
use tokencache::clock;
use tokencache::entry::{Asked, NEVER};
use tokencache::error::{Error, Result};

/// What a user of the library needs, besides `~PREFIX*`, and `+select` for another database than 0; the line is in the
/// README. `HELLO` brings the password, for which nobody needs a right.
const COMMANDS: &str = "+hmget +pttl +hset +pexpire +persist +unlink +get +set +rename +multi +exec +evalsha +eval \
                        +time +ping";

fn rights(commands: &str) -> String {
    format!("ACL SETUSER app reset on >secret ~p:* -@all {commands}")
}

fn open(server: &Server, url: Option<String>) -> Result<Arc<Cache>> {
    let mut members = json!({
        "l1": {"enabled": false},
        "l2": {"username": "app", "password": "secret", "require_at_open": true},
        "resilience": {"deadline_ms": 3_000, "max_attempts": 1},
    });
    if let Some(url) = url {
        members["l2"]["url"] = url.into();
    }
    Cache::open(server.document(members).as_bytes())
}

fn lasting(asked: Asked) -> SetOptions {
    SetOptions { asked, ..SetOptions::default() }
}

fn stored_version(outcome: SetOutcome) -> u64 {
    match outcome {
        SetOutcome::Stored(version) => version,
        SetOutcome::Conflict => panic!("a conflict"),
    }
}

/// Every kind of call, on keys of every kind.
fn suite(server: &Server) -> Result<()> {
    let cache = open(server, None)?;
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
    server.ask::<()>(&rights(COMMANDS));
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
    for left_out in COMMANDS.split_whitespace() {
        let rest: Vec<_> = COMMANDS.split_whitespace().filter(|right| *right != left_out).collect();
        server.ask::<()>(&rights(&rest.join(" ")));
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
fn another_database_needs_one_more() {
    let Some(server) = Server::start() else { return };
    let url = format!("redis://127.0.0.1:{}/3", server.port());
    server.ask::<()>(&rights(COMMANDS));
    let refused = open(&server, Some(url.clone())).map(drop);
    assert_eq!(support::status(refused), "TC_L2_DENIED");
    server.ask::<()>(&rights(&format!("{COMMANDS} +select")));
    assert_eq!(support::status(open(&server, Some(url)).map(drop)), "TC_OK");
}

#[test]
fn keys_outside_the_prefix_are_not_touched_by_anything_that_is_sent() {
    let Some(server) = Server::start() else { return };
    server.ask::<()>(&rights(COMMANDS));
    suite(&server).expect("the suite passes");
    for key in server.keys() {
        assert!(key.starts_with(b"p:"), "{}", String::from_utf8_lossy(&key));
    }
    server.run::<()>(cmd("SET").arg("q:k").arg("theirs"));
    assert_eq!(server.run::<i64>(cmd("EXISTS").arg(stored(b"q:k"))), 0);
}
