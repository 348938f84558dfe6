//! Reads that wait for a link, or for an answer, while a write comes to be owed: none of them hides it from those that come after.

#[path = "support/proxy.rs"]
mod proxy;
#[path = "support/redis.rs"]
mod support;

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use proxy::Proxy;
use rusqlite::Connection;
use serde_json::{Value, json};
use support::cache::{merge, statistics};
use support::{Server, document, wait_until, written};
use tokencache::cache::{Answer, Cache, SetOptions};

/// A write, and what the key holds to those who read after it.
type Owing = (fn(&Cache) -> &'static str, Option<&'static [u8]>);

const OWING: [Owing; 2] = [
    (|cache| written(cache.set(b"k", b"new", SetOptions::default())), Some(b"new")),
    (|cache| written(cache.remove(b"k")), None),
];

/// A server that can be read and not written to, where `k` is old, and the way there.
fn scene() -> Option<(Server, Proxy)> {
    let server = Server::start()?;
    assert_eq!(written(server.open_without_l1().set(b"k", b"old", SetOptions::default())), "TC_OK");
    server.ask::<()>("CONFIG SET min-replicas-to-write 1");
    let proxy = Proxy::before(server.port());
    Some((server, proxy))
}

fn open(proxy: &Proxy, more: Value) -> Arc<Cache> {
    let mut members =
        json!({"resilience": {"max_attempts": 1, "close_ms": 0}, "coherence": {"heartbeat_ms": 60_000}});
    merge(&mut members, more);
    Cache::open(document(&proxy.url(), members).as_bytes()).expect("the cache opens")
}

fn answers(cache: &Cache, expected: Option<&[u8]>) {
    for _ in 0..3 {
        let answer = cache.answer(b"k").expect("an answer");
        match (&answer, expected) {
            (Answer::Degraded(entry), Some(expected)) => assert_eq!(entry.data(), expected),
            (Answer::Absent, None) => {}
            _ => panic!("{answer:?} while {expected:?} is owed"),
        }
    }
    assert_eq!(statistics(cache)["journal"]["owed_entries"], 1);
}

#[test]
fn a_read_that_waited_for_the_link_does_not_hide_what_was_owed_meanwhile() {
    for (write, expected) in OWING {
        let Some((_server, proxy)) = scene() else { return };
        proxy.fall_silent();
        let cache = open(&proxy, json!({"l2": {"write": "behind"}}));
        let reader = thread::spawn({
            let cache = Arc::clone(&cache);
            move || cache.get(b"k").map(drop)
        });
        wait_until("it waits for the link", || proxy.held() > 0);
        assert_eq!(write(&cache), "TC_DEGRADED");
        proxy.heal();
        reader.join().expect("the reader").expect("an answer");
        answers(&cache, expected);
    }
}

#[test]
fn a_read_whose_answer_was_under_way_does_not_hide_what_was_owed_meanwhile() {
    for (write, expected) in OWING {
        let Some((server, proxy)) = scene() else { return };
        let journal = server.folder().join("owed.db");
        let cache = open(&proxy, json!({"resilience": {"journal_path": journal}}));
        wait_until("it is in L1", || cache.get(b"k").is_ok() && cache.peek(b"k").is_some());
        let holder = Connection::open(&journal).expect("the journal");
        holder.execute_batch("BEGIN IMMEDIATE").expect("nobody else holds it");
        let begin = |work: fn(&Cache) -> &'static str| {
            let cache = Arc::clone(&cache);
            thread::spawn(move || work(&cache))
        };
        let writer = begin(write);
        wait_until("it is to be owed", || cache.peek(b"k").is_none());
        proxy.hold();
        let reader = begin(|cache| cache.get(b"k").map_or("an error", |_| "an answer"));
        wait_until("it is asked", || proxy.held() > 0);
        holder.execute_batch("ROLLBACK").expect("it held the journal");
        assert_eq!(writer.join().expect("the writer"), "TC_DEGRADED");
        proxy.release();
        assert_eq!(reader.join().expect("the reader"), "an answer");
        answers(&cache, expected);
    }
}

/// What is owed cannot be looked up meanwhile, and a replay will find that L2 has something newer.
#[test]
fn a_journal_that_somebody_has_for_himself_keeps_no_write_from_l2_and_none_beyond_its_deadline() {
    let Some(server) = Server::start() else { return };
    let deadline = Duration::from_secs(3);
    let journal = server.folder().join("owed.db");
    let members = json!({
        "resilience": {"journal_path": journal, "deadline_ms": deadline.as_millis() as u64, "close_ms": 0},
    });
    server.open(members.clone()).close();
    let holder = Connection::open(&journal).expect("the journal");
    holder.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE").expect("it is held");
    let cache = server.open(members);
    for write in [OWING[0].0, OWING[1].0] {
        let begin = Instant::now();
        assert_eq!(write(&cache), "TC_OK");
        // 50 ms beyond it on a quiet machine.
        assert!(begin.elapsed() < deadline + deadline / 3, "{:?}", begin.elapsed());
    }
}

#[test]
fn a_write_behind_that_the_journal_cannot_take_in_time_is_taken_by_l2() {
    let Some(server) = Server::start() else { return };
    let journal = server.folder().join("owed.db");
    let cache = server.open(json!({
        "l2": {"write": "behind"},
        "resilience": {"journal_path": journal, "deadline_ms": 2000, "close_ms": 0},
    }));
    wait_until("it is connected", || cache.get(b"k").is_ok());
    let holder = Connection::open(&journal).expect("the journal");
    holder.execute_batch("BEGIN IMMEDIATE").expect("it is held");
    for (write, expected) in OWING {
        assert_eq!(write(&cache), "TC_OK");
        cache.clear().expect("cleared");
        let there = cache.get(b"k").expect("a read");
        assert_eq!(there.as_ref().map(|entry| entry.data()), expected);
    }
}

#[test]
fn a_touch_that_waits_for_the_journal_and_then_for_l2_ends_at_its_deadline() {
    let Some(server) = Server::start() else { return };
    let (deadline, proxy) = (Duration::from_secs(3), Proxy::before(server.port()));
    let journal = server.folder().join("owed.db");
    let resilience = json!({"journal_path": journal, "deadline_ms": deadline.as_millis() as u64});
    open(&proxy, json!({"resilience": resilience})).close();
    let holder = Connection::open(&journal).expect("the journal");
    holder.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE").expect("it is held");
    let cache = open(&proxy, json!({"resilience": resilience}));
    wait_until("it is connected", || statistics(&cache)["coherence"]["feed"] == "up");
    proxy.fall_silent();
    let begin = Instant::now();
    let toucher = thread::spawn(move || cache.touch(b"k").map_err(|error| error.kind.name()));
    thread::sleep(deadline * 2 / 3);
    drop(holder);
    let touched = toucher.join().expect("its end");
    assert!(touched.is_err(), "{touched:?}");
    assert!(begin.elapsed() < deadline + deadline / 3, "{:?}", begin.elapsed());
}
