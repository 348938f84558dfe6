//! The TTL of a key in Redis is the earlier of its absolute and its sliding end, and nothing is left there for ever.

#[path = "support/monitor.rs"]
mod monitor;
#[path = "support/proxy.rs"]
mod proxy;
#[path = "support/redis.rs"]
mod support;

use std::collections::HashSet;
use std::sync::LazyLock;
use std::thread;
use std::time::{Duration, Instant};

use monitor::Monitor;
use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRunner};
use proxy::Proxy;
use redis::{Connection, FromRedisValue, cmd};
use serde_json::json;
use support::{Server, document, status, stored, wait_until};
use tokencache::cache::{Cache, SetOptions, SetOutcome};
use tokencache::clock;
use tokencache::entry::{Asked, NEVER};

/// The last ticks that .NET can say.
const LAST_TICKS: i64 = 3_155_378_975_999_999_999;

fn lasting(asked: Asked) -> SetOptions {
    SetOptions { asked, ..SetOptions::default() }
}

/// How a write asks, and through which path.
#[derive(Clone, Copy, Debug)]
struct Write {
    ttl_ms: i64,
    expires_in_ms: i64,
    sliding_ms: i64,
    is_swap: bool,
    is_removed: bool,
}

fn writes() -> impl Strategy<Value = Write> {
    // An end within a second could come before it is looked at.
    let ttl_ms = prop_oneof![Just(0), Just(NEVER), 60_000..10_000_000_000_i64];
    let expires_in_ms = prop_oneof![Just(0_i64), 60_000..10_000_000_000_i64];
    let sliding_ms = prop_oneof![Just(0), 60_000..1_000_000_000_i64];
    let flags = (any::<bool>(), prop::bool::weighted(0.1));
    (ttl_ms, expires_in_ms, sliding_ms, flags).prop_map(|(ttl_ms, expires_in_ms, sliding_ms, flags)| Write {
        ttl_ms,
        expires_in_ms,
        sliding_ms,
        is_swap: flags.0,
        is_removed: flags.1,
    })
}

struct Bench {
    cache: std::sync::Arc<Cache>,
    connection: Connection,
    /// What may stand there for ever.
    endless: HashSet<Vec<u8>>,
    written: u64,
}

impl Bench {
    fn ask<T: FromRedisValue>(&mut self, name: &str, key: &[u8]) -> T {
        cmd(name).arg(key).query(&mut self.connection).expect("an answer")
    }

    fn hold(&mut self, write: Write) -> Result<(), TestCaseError> {
        let key = format!("k{}", self.written % 50).into_bytes();
        self.written += 1;
        let (before, begin) = (clock::unix_ms(), Instant::now());
        let expires_at_ms = if write.expires_in_ms == 0 { 0 } else { before + write.expires_in_ms };
        let asked = Asked { ttl_ms: write.ttl_ms, expires_at_ms, sliding_ms: write.sliding_ms };
        let mut options = lasting(asked);
        if write.is_swap {
            let here = self.cache.get(&key).expect("a read");
            options.expected_version = here.map_or(u64::MAX, |entry| entry.version());
        }
        let outcome = self.cache.set(&key, &self.written.to_le_bytes(), options).expect("a write");
        prop_assert!(matches!(outcome, SetOutcome::Stored(_)));
        let is_silent = write.ttl_ms == 0 && write.expires_in_ms == 0;
        let default_ms = if is_silent { 14 * 86_400_000 } else { 0 };
        let bounds = [write.ttl_ms, write.expires_in_ms, write.sliding_ms, default_ms];
        let asked = bounds.into_iter().filter(|bound| *bound > 0).min();
        let left = loop {
            let left: i64 = self.ask("PTTL", &stored(&key));
            let passed = begin.elapsed().as_millis() as i64;
            // The clock of the day is read in whole milliseconds, here and there.
            let is_right = asked.map_or(left == -1, |least| (least - passed - 3..=least + 2).contains(&left));
            // The read before may have sent a renewal of the old window after this write; it sees that and mends it.
            if is_right || passed > 10_000 {
                prop_assert!(is_right, "{left}, asked {asked:?}");
                break left;
            }
        };
        if left == -1 {
            self.endless.insert(stored(&key));
        } else {
            self.endless.remove(&stored(&key));
        }
        if write.is_removed {
            self.cache.remove(&key).expect("removed");
            self.endless.remove(&stored(&key));
        }
        Ok(())
    }
}

#[test]
fn every_ttl_is_the_least_that_was_asked_and_nothing_is_endless_that_was_not_asked_to_be() {
    let Some(server) = Server::start() else { return };
    let connection = server.connection().expect("a connection");
    let cache = server.open(json!({"l1": {"enabled": false}}));
    let bench = std::cell::RefCell::new(Bench { cache, connection, endless: HashSet::new(), written: 0 });
    let cases = if support::cache::is_long() { 20_000 } else { 2_000 };
    let mut runner =
        TestRunner::new(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases) });
    runner.run(&writes(), |write| bench.borrow_mut().hold(write)).expect("every bound holds");

    let mut bench = bench.into_inner();
    let (mut entries, mut tombstones) = (0, 0);
    for key in server.keys() {
        let left: i64 = bench.ask("PTTL", &key);
        let is_endless = bench.endless.contains(&key);
        assert_eq!(left == -1, is_endless, "{}: {left}", String::from_utf8_lossy(&key));
        assert!(!key.starts_with(b"p:__tokencache:cas:"), "left on the stage");
        if key.starts_with(b"p:__tokencache:gone:") { tombstones += 1 } else { entries += 1 }
    }
    assert!(entries > 10 && tombstones > 10 && !bench.endless.is_empty(), "{entries} {tombstones}");
}

static FAR: LazyLock<[Asked; 6]> = LazyLock::new(|| {
    // The year 9999 ends at 253402300799999; before the last whole millisecond and far beyond all of them.
    let at = |expires_at_ms| Asked { expires_at_ms, ..Asked::default() };
    [
        at(253_402_300_799_999),
        at(253_402_300_800_000),
        at(i64::MAX),
        Asked { ttl_ms: i64::MAX, ..Asked::default() },
        Asked { sliding_ms: i64::MAX, ..Asked::default() },
        Asked { ttl_ms: i64::MAX, sliding_ms: i64::MAX, ..Asked::default() },
    ]
});

#[test]
fn an_end_beyond_what_dot_net_can_say_is_written_as_something_that_it_can() {
    let Some(server) = Server::start() else { return };
    let cache = server.open_without_l1();
    for (number, asked) in FAR.iter().enumerate() {
        let key = format!("far{number}").into_bytes();
        for round in 0..2 {
            let entry = cache.get(&key).expect("a read");
            let expected_version = if round == 0 { 0 } else { entry.expect("an entry").version() };
            let options = SetOptions { expected_version, ..lasting(*asked) };
            let outcome = cache.set(&key, &[round], options);
            assert!(matches!(outcome, Ok(SetOutcome::Stored(1..))), "{asked:?}: {outcome:?}");
            let fields = server.fields(&key);
            for name in ["absexp", "sldexp"] {
                let ticks: i64 = String::from_utf8_lossy(&fields[name]).parse().expect("a number");
                let is_sayable =
                    ticks == -1 || (1..=LAST_TICKS).contains(&ticks) || (name == "sldexp" && ticks > 0);
                assert!(is_sayable, "{asked:?}: {name} {ticks}");
            }
            assert_eq!(cache.get(&key).expect("a read").expect("an entry").data(), [round]);
        }
        assert_eq!(cache.touch(&key), Ok(true), "{asked:?}");
        assert!(cache.get(&key).expect("a read").is_some(), "{asked:?}");
    }
}

#[test]
fn an_entry_is_served_until_its_end_and_not_after_it() {
    let Some(server) = Server::start() else { return };
    for cache in [server.open(json!({})), server.open_without_l1()] {
        let ends = clock::unix_ms() + 300;
        cache
            .set(b"short", b"1", lasting(Asked { expires_at_ms: ends, ..Asked::default() }))
            .expect("stored");
        loop {
            let now = clock::unix_ms();
            let is_there = cache.get(b"short").expect("a read").is_some();
            assert!(!is_there || now <= ends, "served {} ms after its end", now - ends);
            if !is_there {
                // Redis counts from the moment at which the set arrived, and may let go a little early, not much.
                assert!(clock::unix_ms() >= ends - 5, "gone {} ms before its end", ends - now);
                break;
            }
        }
    }
}

#[test]
fn reads_renew_a_sliding_entry_in_l2_while_it_is_used() {
    let Some(server) = Server::start() else { return };
    for cache in [server.open(json!({})), server.open_without_l1()] {
        // Where the machine stands still for a window, nobody uses or renews it for so long, and it ends.
        wait_until("its window is renewed", || {
            let asked = Asked { ttl_ms: 4_000, sliding_ms: 1_500, ..Asked::default() };
            cache.set(b"slides", b"1", lasting(asked)).expect("stored");
            let begin = Instant::now();
            let (mut last, mut at) = (0, 0);
            while cache.get(b"slides").expect("a read").is_some() {
                assert!(at < 4_100, "it outlived its absolute end: {at} ms");
                (last, at) = (at, begin.elapsed().as_millis());
                thread::sleep(Duration::from_millis(5));
            }
            last > 2_500
        });
    }
}

/// A touch asks what lies there, and others may put something else there between any two of its questions.
#[test]
fn a_touch_takes_nothing_from_what_is_stored_under_it_meanwhile() {
    let Some(server) = Server::start() else { return };
    let (slow, writer) = (Proxy::before(server.port()), server.open_without_l1());
    let cache = Cache::open(document(&slow.url(), json!({"l1": {"enabled": false}})).as_bytes());
    let cache = cache.expect("the cache opens");
    let set = |sliding_ms| {
        let asked = Asked { ttl_ms: 86_400_000, sliding_ms, ..Asked::default() };
        writer.set(b"key", b"1", lasting(asked)).expect("stored");
    };
    wait_until("both came between", || {
        set(600_000);
        assert!(cache.get(b"key").expect("a read").is_some());
        slow.delay(Duration::from_millis(100));
        let (mut monitor, mut seen) = (Monitor::of(&server), Vec::new());
        let touched = thread::scope(|scope| {
            let touching = scope.spawn(|| cache.touch(b"key"));
            for (asked, sliding_ms) in [("HMGET", 1_200_000), ("PEXPIRE", 0)] {
                wait_until("it is asked", || {
                    seen.extend(monitor.seen());
                    seen.iter().any(|words| words[0] == asked && (asked == "HMGET" || words[3..] == ["GT"]))
                });
                set(sliding_ms);
            }
            touching.join().expect("no panic")
        });
        slow.delay(Duration::ZERO);
        assert!(touched.expect("an answer"));
        let left_ms = server.pttl(&stored(b"key"));
        assert!(left_ms > 80_000_000, "what was stored last for a day ends in {left_ms} ms");
        seen.extend(monitor.seen());
        // Those of the two sets are two.
        seen.iter().filter(|words| words[0] == "PEXPIRE").count() >= 5
    });
}

/// The server takes such a moment, and not the time until then as it was when it was asked for.
#[test]
fn a_key_of_another_type_that_ends_beyond_what_is_possible_does_not_end_with_us() {
    let Some(server) = Server::start() else { return };
    let slow = Proxy::before(server.port());
    let cache = Cache::open(document(&slow.url(), json!({"l1": {"enabled": false}})).as_bytes());
    let cache = cache.expect("the cache opens");
    server.ask::<()>("SET p:key x");
    server.ask::<()>(&format!("PEXPIREAT p:key {}", i64::MAX));
    slow.delay(Duration::from_millis(20));
    let hour = Asked { ttl_ms: 3_600_000, ..Asked::default() };
    assert_eq!(status(cache.set(b"key", b"1", lasting(hour))), "TC_L2_PROTOCOL");
    let left_ms = server.pttl(&stored(b"key"));
    assert!(left_ms > 86_400_000, "it ends in {left_ms} ms");
}
