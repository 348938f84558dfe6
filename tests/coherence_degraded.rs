//! What is answered while Redis, or its feed of changes, cannot be had; and what is not.

#[path = "support/figures.rs"]
mod figures;
#[path = "support/proxy.rs"]
mod proxy;
#[path = "support/redis.rs"]
mod support;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use figures::Commands;
use proxy::Proxy;
use redis::cmd;
use serde_json::{Value, json};
use support::cache::statistics;
use support::{Server, document, stored, wait_until};
use tokencache::cache::{Answer, Cache, SetOptions, SetOutcome};
use tokencache::clock;
use tokencache::entry::Asked;
use tokencache::log::{Level, Sink};

fn open(url: &str, stale_ms: u64, more: Value) -> Arc<Cache> {
    let mut members = json!({
        "coherence": {"heartbeat_ms": 100, "heartbeat_timeout_ms": 250},
        "resilience": {"deadline_ms": 300, "max_attempts": 1, "stale_ms": stale_ms},
    });
    support::cache::merge(&mut members, more);
    Cache::open(document(url, members).as_bytes()).expect("the cache opens")
}

fn feed(cache: &Cache) -> Value {
    statistics(cache)["coherence"]["feed"].clone()
}

fn wait_for_feed(cache: &Cache, word: &str) {
    wait_until(word, || feed(cache) == word);
}

fn write(server: &Server, key: &[u8], value: &[u8]) {
    let mut entry = cmd("HSET");
    entry.arg(stored(key)).arg("absexp").arg(-1).arg("sldexp").arg(-1).arg("data").arg(value);
    server.run::<()>(&entry);
}

/// Reads `key` until L1 vouches for it.
fn read(cache: &Cache, key: &[u8]) {
    wait_until("it is read and trusted", || {
        // The deadline is so short that a busy machine may miss it.
        cache.get(key).is_ok_and(|found| found.is_some()) && cache.peek(key).is_some()
    });
}

/// How `key` is answered.
fn answer(cache: &Cache, key: &[u8]) -> String {
    let text = |entry: &tokencache::entry::Entry| String::from_utf8_lossy(entry.data()).into_owned();
    match cache.answer(key) {
        Ok(Answer::Fresh(entry)) => format!("fresh {}", text(&entry)),
        Ok(Answer::Degraded(entry)) => format!("degraded {}", text(&entry)),
        Ok(Answer::Absent) => "absent".into(),
        Err(error) => error.kind.name().into(),
    }
}

fn lasting(asked: Asked) -> SetOptions {
    SetOptions { asked, ..SetOptions::default() }
}

#[test]
fn an_entry_that_nobody_is_known_to_have_changed_is_served_while_redis_is_away() {
    let Some(mut server) = Server::start() else { return };
    let cache = open(&server.url(), 60_000, json!({}));
    let strict = open(&server.url(), 0, json!({}));
    wait_for_feed(&cache, "up");
    wait_for_feed(&strict, "up");
    for key in [&b"calm"[..], b"moved"] {
        write(&server, key, b"1");
        read(&cache, key);
        read(&strict, key);
    }
    let here = SetOptions { is_local: true, ..SetOptions::default() };
    cache.set(b"local", b"1", here).expect("stored");
    write(&server, b"moved", b"2");
    wait_until("it is heard of", || cache.peek(b"moved").is_none() && strict.peek(b"moved").is_none());

    // First a server that stands still, then one that is gone.
    for round in 0..2 {
        if round == 0 {
            server.stop()
        } else {
            server.kill()
        }
        wait_for_feed(&cache, "down");
        wait_for_feed(&strict, "down");
        let unavailable = |answer: &str| ["TC_L2_TIMEOUT", "TC_L2_UNREACHABLE"].contains(&answer);
        assert_eq!(answer(&cache, b"calm"), "degraded 1");
        for (cache, key) in [(&cache, &b"moved"[..]), (&cache, b"unknown"), (&strict, b"calm")] {
            let answer = answer(cache, key);
            assert!(unavailable(&answer), "{}: {answer}", String::from_utf8_lossy(key));
        }
        assert_eq!(answer(&cache, b"local"), "fresh 1");
        assert!(cache.peek(b"calm").is_none(), "it is no plain hit");
        assert!(statistics(&cache)["l1"]["degraded_reads"].as_u64() >= Some(1));
        if round == 0 {
            server.go_on();
            wait_for_feed(&cache, "up");
            wait_until("it is trusted again", || {
                answer(&cache, b"calm") == "fresh 1" && cache.peek(b"calm").is_some()
            });
        }
    }
    server.restart();
    write(&server, b"calm", b"3");
    wait_for_feed(&cache, "up");
    wait_until("it is read again", || answer(&cache, b"calm") == "fresh 3");
    wait_until("the new server says that it knows nothing of it", || {
        let answer = answer(&cache, b"moved");
        assert!(answer == "absent" || answer.starts_with("TC_L2_"), "{answer}");
        answer == "absent"
    });
    cache.clear().expect("cleared");
}

#[test]
fn what_could_not_be_checked_is_served_for_stale_ms_and_never_beyond_its_end() {
    let Some(mut server) = Server::start() else { return };
    // On a machine that stands still for as long as what is measured here there is nothing to be seen.
    wait_until("both are served for a while", || {
        let is_seen = is_served_for_stale_ms(&mut server);
        server.restart();
        is_seen
    });
}

/// Whether both entries were served as degraded before they were over.
fn is_served_for_stale_ms(server: &mut Server) -> bool {
    const STALE: Duration = Duration::from_millis(1_000);
    let cache = open(&server.url(), 1_000, json!({}));
    wait_for_feed(&cache, "up");
    write(server, b"old", b"1");
    read(&cache, b"old");
    let read_at = Instant::now();
    // Longer than it may be unverified: until the loss the feed has vouched for it.
    wait_until("time passes", || read_at.elapsed() > STALE + STALE / 2);
    let ends_at_ms = clock::unix_ms() + 500;
    let asked = Asked { expires_at_ms: ends_at_ms, ..Asked::default() };
    cache.set(b"ends", b"1", lasting(asked)).expect("stored");
    if cache.peek(b"old").is_none() || cache.peek(b"ends").is_none() {
        return false;
    }

    server.kill();
    let lost = Instant::now();
    wait_for_feed(&cache, "down");
    // It was vouched for until the loss was noticed.
    let noticed = Instant::now();
    let (mut last, mut last_of_ends) = (None, None);
    loop {
        let at = Instant::now();
        let old = answer(&cache, b"old");
        assert_ne!(old, "fresh 1", "a dead server confirms nothing");
        let at_ms = clock::unix_ms();
        if answer(&cache, b"ends") == "degraded 1" {
            assert!(at_ms <= ends_at_ms, "served {} ms after its end", at_ms - ends_at_ms);
            last_of_ends = Some(at_ms);
        }
        if old != "degraded 1" {
            break;
        }
        last = Some(at);
    }
    for _ in 0..10 {
        assert!(answer(&cache, b"old").starts_with("TC_L2_"), "it came back");
    }
    let Some(last) = last else { return false };
    println!("served for {:?} after the loss, stale_ms {STALE:?}", last.duration_since(lost));
    let after = last.saturating_duration_since(noticed);
    assert!(after < STALE + Duration::from_secs(1), "{after:?}");
    // A call that waits in vain may take its whole deadline, and there are two in a round.
    last.duration_since(lost) > STALE / 5 && last_of_ends.is_some()
}

/// Keeps the records of a log.
#[derive(Clone, Default)]
struct Records(Arc<Mutex<Vec<String>>>);

impl Sink for Records {
    fn write(&self, _level: Level, target: &'static str, message: &str) -> bool {
        self.0.lock().expect("nobody panics here").push(format!("{target}: {message}"));
        true
    }
}

#[test]
fn a_server_that_refuses_to_tell_its_changes_is_asked_at_every_hit() {
    let Some(server) = Server::start() else { return };
    let members = json!({
        "l2": {"username": "app", "password": "secret"},
        "coherence": {"heartbeat_ms": 50, "heartbeat_timeout_ms": 30_000},
        "resilience": {"deadline_ms": 30_000},
    });
    // The user comes after the log, so that no record is missed.
    let cache = open(&server.url(), 60_000, members);
    let records = Records::default();
    cache.on_log(Level::Warn, Some(Box::new(records.clone())));
    server.ask::<()>("ACL SETUSER app on >secret ~p:* +@all -client|tracking");
    let mut commands = Commands::of(&server);
    wait_until("the link is made", || cache.get(b"k").is_ok() && feed(&cache) == "unavailable");
    write(&server, b"k", b"0");
    let before = commands.calls("hmget");
    for round in 1..=200 {
        assert!(cache.peek(b"k").is_none(), "nobody vouches for it");
        let expected = if round <= 100 { "fresh 0" } else { "fresh 1" };
        if round == 101 {
            write(&server, b"k", b"1");
        }
        assert_eq!(answer(&cache, b"k"), expected);
    }
    assert_eq!(commands.calls("hmget") - before, 200);
    let refused = || {
        let text: String = server.ask("INFO commandstats");
        let line = text.lines().find(|line| line.starts_with("cmdstat_client|tracking:")).expect("a line");
        let count = line.split("rejected_calls=").nth(1).and_then(|rest| rest.split(',').next());
        count.and_then(|count| count.parse::<u64>().ok()).expect("a number")
    };
    let asked = refused();
    wait_until("it is asked again and again", || refused() >= asked + 10);
    let told: Vec<String> = records.0.lock().expect("records").clone();
    println!("{told:#?}");
    let warnings: Vec<_> = told.iter().filter(|record| record.starts_with("coherence: ")).collect();
    assert!(warnings.len() == 1, "{warnings:?}");
    assert!(warnings[0].contains("CLIENT TRACKING") && warnings[0].contains("+client|tracking"));
    let reason = statistics(&cache)["coherence"]["reason"].as_str().expect("a text").to_owned();
    assert!(reason.contains("+client|tracking"), "{reason}");

    let links = statistics(&cache)["l2"]["store"]["links_made"].clone();
    server.ask::<()>("ACL SETUSER app +client|tracking");
    let allowed = Instant::now();
    wait_for_feed(&cache, "up");
    println!("heard of {:?} after it was allowed", allowed.elapsed());
    read(&cache, b"k");
    let before = commands.calls("hmget");
    for _ in 0..200 {
        assert_eq!(answer(&cache, b"k"), "fresh 1");
    }
    assert_eq!(commands.calls("hmget"), before);
    write(&server, b"k", b"2");
    wait_until("it is heard of", || cache.peek(b"k").is_none());
    assert_eq!(statistics(&cache)["l2"]["store"]["links_made"], links, "without another link");
}

#[test]
fn an_own_write_whose_answer_was_lost_is_owed_and_read_again() {
    let Some(server) = Server::start() else { return };
    for (silently, is_remove) in [(false, false), (true, false), (false, true), (true, true)] {
        let proxy = Proxy::before(server.port());
        let cache = open(&proxy.url(), 60_000, json!({}));
        wait_for_feed(&cache, "up");
        wait_until("it is stored", || {
            let stored = cache.set(b"k", b"1", SetOptions::default());
            matches!(stored, Ok(SetOutcome::Stored(_))) && cache.peek(b"k").is_some()
        });
        assert_eq!(cache.peek(b"k").expect("a hit").data(), b"1");
        assert!(cache.flush(support::GENEROUS));
        if silently {
            proxy.fall_silent_to_client()
        } else {
            proxy.cut_after(0)
        }
        let written =
            if is_remove { cache.remove(b"k") } else { cache.set(b"k", b"2", SetOptions::default()) };
        assert!(matches!(written, Ok(SetOutcome::Owed(_))), "its answer is lost: {written:?}");
        // On a loaded machine a deadline so short passes before the server has its turn.
        let effect = (!is_remove).then(|| b"2".to_vec());
        wait_until("it has reached the server", || server.fields(b"k").get("data").cloned() == effect);
        assert!(cache.peek(b"k").is_none());
        // Whether L2 has taken it is not known, and so it is owed.
        assert_eq!(answer(&cache, b"k"), if is_remove { "absent" } else { "degraded 2" });
        proxy.heal();
        let expected = if is_remove { "absent" } else { "fresh 2" };
        wait_until("it is read again", || answer(&cache, b"k") == expected);
        wait_for_feed(&cache, "up");
    }
}

/// As a server before Redis 6, or a proxy that does not know RESP3.
#[test]
fn a_server_that_does_not_know_how_to_tell_has_every_hit_checked() {
    let Some(server) = Server::with(&["--rename-command", "HELLO", ""]) else { return };
    let patient =
        json!({"coherence": {"heartbeat_timeout_ms": 30_000}, "resilience": {"deadline_ms": 30_000}});
    let cache = open(&server.url(), 60_000, patient);
    wait_for_feed(&cache, "unavailable");
    cache.set(b"k", b"1", SetOptions::default()).expect("stored");
    let mut commands = Commands::of(&server);
    let before = commands.run();
    for _ in 0..100 {
        let answer = cache.answer(b"k").expect("a read");
        assert!(matches!(answer, Answer::Fresh(entry) if entry.data() == b"1"));
    }
    assert_eq!(commands.since(&before)["hmget"], 100);
    server.run::<()>(cmd("HSET").arg(stored(b"k")).arg("data").arg("2"));
    assert_eq!(cache.get(b"k").expect("a read").expect("an entry").data(), b"2");
    let entry = cache.get(b"k").expect("a read").expect("an entry");
    let swap = SetOptions { expected_version: entry.version(), ..SetOptions::default() };
    assert!(matches!(cache.set(b"k", b"3", swap), Ok(SetOutcome::Stored(_))));
    cache.remove(b"k").expect("removed");
    assert!(cache.get(b"k").expect("a read").is_none());
    let reason = statistics(&cache)["coherence"]["reason"].to_string();
    assert!(reason.contains("HELLO 3"), "{reason}");
}

#[test]
fn what_was_there_before_is_not_served_once_l2_was_seen_to_have_something_that_cannot_be_read() {
    let Some(mut server) = Server::start() else { return };
    let proxy = Proxy::before(server.port());
    let cache = open(&proxy.url(), 60_000, json!({"limits": {"max_value_bytes": 100}}));
    wait_for_feed(&cache, "up");
    let keys: [(&[u8], &str); 3] =
        [(b"sealed", "TC_SEAL_BROKEN"), (b"long", "TC_VALUE_TOO_LARGE"), (b"list", "TC_L2_PROTOCOL")];
    for (key, _) in keys {
        write(&server, key, b"1");
        read(&cache, key);
    }
    // Nobody tells of the changes: only a look shows them.
    proxy.fall_silent();
    wait_for_feed(&cache, "down");
    write(&server, b"sealed", b"\xF6TKC");
    write(&server, b"long", &[b'x'; 101]);
    server.run::<()>(cmd("DEL").arg(stored(b"list")));
    server.run::<()>(cmd("RPUSH").arg(stored(b"list")).arg("2"));
    proxy.cut();
    proxy.heal();
    wait_for_feed(&cache, "up");
    for (key, status) in keys {
        wait_until("it is seen", || answer(&cache, key) == status);
    }
    server.kill();
    wait_for_feed(&cache, "down");
    for (key, _) in keys {
        let answer = answer(&cache, key);
        assert!(answer.starts_with("TC_L2_"), "{}: {answer}", String::from_utf8_lossy(key));
    }
}

#[test]
fn what_was_deleted_with_everything_else_is_not_served_while_redis_is_away() {
    let Some(mut server) = Server::start() else { return };
    let cache = open(&server.url(), 60_000, json!({}));
    wait_for_feed(&cache, "up");
    write(&server, b"k", b"1");
    read(&cache, b"k");
    server.ask::<()>("FLUSHALL");
    wait_until("it is heard of", || cache.peek(b"k").is_none());
    server.kill();
    wait_for_feed(&cache, "down");
    let answer = answer(&cache, b"k");
    assert!(answer.starts_with("TC_L2_"), "{answer}");
}

#[test]
fn what_a_primary_forgets_as_it_becomes_a_replica_is_served_until_there_is_another() {
    let (Some(server), Some(other)) = (Server::start(), Server::with(&["--repl-diskless-sync-delay", "0"]))
    else {
        return;
    };
    // Not by a heartbeat, but by a word that everything has changed is it seen that this is no primary any more.
    let rarely = json!({"coherence": {"heartbeat_ms": 10_000, "heartbeat_timeout_ms": 2000}});
    let cache = open(&server.url(), 60_000, rarely);
    wait_for_feed(&cache, "up");
    write(&server, b"k", b"1");
    read(&cache, b"k");
    server.ask::<()>(&format!("REPLICAOF 127.0.0.1 {}", other.port()));
    wait_for_feed(&cache, "down");
    assert_eq!(answer(&cache, b"k"), "degraded 1");
}
