//! A sliding entry that is read from memory is kept alive in Redis, by a word now and then.

#[path = "support/figures.rs"]
mod figures;
#[path = "support/monitor.rs"]
mod monitor;
#[path = "support/proxy.rs"]
mod proxy;
#[path = "support/redis.rs"]
mod support;

use std::thread;
use std::time::{Duration, Instant};

use figures::Commands;
use monitor::Monitor;
use proxy::Proxy;
use redis::cmd;
use serde_json::json;
use support::cache::statistics;
use support::{Server, document, stored, wait_until};
use tokencache::cache::{Answer, Cache, SetOptions};
use tokencache::entry::Asked;

const TICKS_PER_MS: i64 = 10_000;
const HOUR_MS: i64 = 3_600_000;

fn sliding(sliding_ms: i64) -> SetOptions {
    SetOptions { asked: Asked { sliding_ms, ..Asked::default() }, ..SetOptions::default() }
}

fn wait_for_feed(cache: &Cache) {
    wait_until("changes are heard of", || statistics(cache)["coherence"]["feed"] == "up");
}

/// An entry as another writes it, with a window and what is left of its life.
fn write(server: &Server, key: &[u8], window_ms: i64, left_ms: Option<i64>) {
    let ticks = if window_ms == 0 { -1 } else { window_ms * TICKS_PER_MS };
    let mut entry = redis::pipe();
    entry.atomic().cmd("HSET").arg(stored(key)).arg("absexp").arg(-1).arg("sldexp").arg(ticks);
    entry.arg("data").arg("1");
    match left_ms {
        Some(left_ms) => entry.cmd("PEXPIRE").arg(stored(key)).arg(left_ms),
        None => entry.cmd("PERSIST").arg(stored(key)),
    };
    entry.exec(&mut server.connection().expect("a connection")).expect("written");
}

#[test]
fn a_hundred_thousand_hits_within_one_window_send_a_few_words_and_write_nothing() {
    let Some(server) = Server::start() else { return };
    let cache = server.open(json!({}));
    wait_for_feed(&cache);
    // So long that it does not end while a loaded machine stands still.
    const WINDOW_MS: i64 = 16_000;
    cache.set(b"k", b"1", sliding(WINDOW_MS)).expect("stored");
    let mut commands = Commands::of(&server);
    let before = commands.run();
    let mut monitor = Monitor::of(&server);
    let begin = Instant::now();
    let (mut hits, mut last) = (0_u64, begin);
    while hits < 100_000 || begin.elapsed() < Duration::from_millis(WINDOW_MS as u64 / 2) {
        last = Instant::now();
        // After a touch it is read once more: another's write may have been hidden by it.
        assert!(cache.get(b"k").expect("a read").is_some(), "hit {hits} was none");
        hits += 1;
        if hits > 100_000 {
            thread::sleep(Duration::from_millis(1));
        }
    }
    // A touch is made by a worker, which may be at it.
    wait_until("the work is done", || cache.flush(Duration::from_secs(1)));
    let seen = monitor.seen();
    let since = commands.since(&before);
    let touches = since.get("pexpire").copied().unwrap_or(0);
    let took = begin.elapsed();
    println!("{hits} hits within {took:?}: {touches} touches; {since:?}");
    let most = took.as_millis() as u64 / (WINDOW_MS as u64 / 4) + 1;
    assert!((1..=most).contains(&touches), "{touches} touches in {took:?}");
    for words in &seen {
        let name = words[0].to_lowercase();
        assert!(["hello", "pexpire", "hmget", "pttl"].contains(&name.as_str()), "{words:?}");
    }
    let left_ms = server.pttl(b"p:k");
    let rested_ms = last.elapsed().as_millis() as i64;
    assert!(left_ms + rested_ms > WINDOW_MS / 2, "{left_ms} ms left after {rested_ms} ms of rest");
}

#[test]
fn a_window_is_outlived_by_use_and_not_by_rest() {
    let Some(server) = Server::start() else { return };
    let (cache, other) = (server.open(json!({})), server.open(json!({})));
    wait_for_feed(&cache);
    wait_for_feed(&other);
    // Where the machine stands still for most of a window, nobody uses or renews it for so long, and it ends.
    wait_until("it outlives three windows", || outlives_three_windows(&server, &cache, &other));
}

const WINDOW: Duration = Duration::from_secs(4);

/// Whether it did: it is used by both for so long, and then by nobody until it is gone.
fn outlives_three_windows(server: &Server, cache: &Cache, other: &Cache) -> bool {
    cache.set(b"k", b"1", sliding(WINDOW.as_millis() as i64)).expect("stored");
    let mut is_there = true;
    wait_until("both hold it", || {
        is_there = other.get(b"k").expect("a read").is_some();
        !is_there || cache.peek(b"k").is_some() && other.peek(b"k").is_some()
    });
    let Some(first) = other.peek(b"k").filter(|_| is_there) else { return false };
    let mut commands = Commands::of(server);
    let before = commands.run();
    let begin = Instant::now();
    let (mut last, mut reads) = (begin, 0);
    while begin.elapsed() < WINDOW * 3 + WINDOW / 8 {
        // The other one, too, keeps what the touches of this one make unverified.
        let now = Instant::now();
        for cache in [cache, other] {
            match cache.answer(b"k").expect("a read") {
                Answer::Fresh(_) => {}
                Answer::Absent => {
                    println!("gone after {:?} of use", begin.elapsed());
                    return false;
                }
                Answer::Degraded(_) => panic!("nothing is wrong with L2"),
            }
        }
        (last, reads) = (now, reads + 2);
        thread::sleep(Duration::from_millis(2));
    }
    let since = commands.since(&before);
    println!("{reads} reads in three windows: {since:?}");
    assert!(since["pexpire"] <= 2 * 4 * 4 && !since.contains_key("hset") && !since.contains_key("evalsha"));
    assert!(since["hmget"] <= 3 * since["pexpire"], "a touch looks itself, and costs each of both a read");
    assert!(other.peek(b"k").is_none_or(|entry| entry.is_same(&first)), "it was replaced");
    let left_ms = server.pttl(b"p:k");
    assert!(left_ms > 0 || last.elapsed() > WINDOW / 2, "it was renewed here and not in L2");
    wait_until("it is gone", || server.pttl(b"p:k") == -2);
    let rested = last.elapsed();
    println!("gone after {rested:?} of rest");
    assert!(rested > WINDOW / 2 && rested < WINDOW + Duration::from_secs(10), "{rested:?}");
    for cache in [cache, other] {
        assert!(matches!(cache.answer(b"k"), Ok(Answer::Absent)));
    }
    true
}

#[test]
fn a_window_of_an_hour_is_renewed_from_its_second_quarter_on() {
    println!(
        "skipped: an hour under libfaketime: the library asks the kernel what time it is, past the C library"
    );
    let Some(server) = Server::start() else { return };
    let cache = server.open(json!({}));
    wait_for_feed(&cache);
    let mut commands = Commands::of(&server);
    write(&server, b"young", HOUR_MS, Some(HOUR_MS * 9 / 10));
    write(&server, b"old", HOUR_MS, Some(HOUR_MS / 2));
    let before = commands.calls("pexpire");
    wait_until("it is read and trusted", || {
        cache.get(b"young").expect("a read").is_some() && cache.peek(b"young").is_some()
    });
    // Of the old one more than a quarter had passed when it came here.
    wait_until("it is renewed", || {
        assert!(cache.get(b"old").expect("a read").is_some());
        server.pttl(b"p:old") > HOUR_MS - 120_000
    });
    for key in [&b"young"[..], b"old"] {
        for _ in 0..10_000 {
            assert!(cache.get(key).expect("a read").is_some());
        }
        assert!(cache.peek(key).is_some(), "the own touch leaves it trusted");
    }
    wait_until("the work is done", || cache.flush(Duration::from_secs(1)));
    assert_eq!(commands.calls("pexpire") - before, 1);
    assert!(server.pttl(b"p:young") <= HOUR_MS * 9 / 10);
}

#[test]
fn what_somebody_else_has_written_meanwhile_is_not_renewed() {
    let Some(server) = Server::start() else { return };
    let proxy = Proxy::before(server.port());
    let quiet = json!({"coherence": {"heartbeat_ms": 60_000, "heartbeat_timeout_ms": 60_000}});
    let cache = Cache::open(document(&proxy.url(), quiet).as_bytes()).expect("the cache opens");
    wait_for_feed(&cache);
    let mut commands = Commands::of(&server);
    const WINDOW_MS: i64 = 12_000;

    // It was heard of: nothing is sent.
    cache.set(b"heard", b"0", sliding(WINDOW_MS)).expect("stored");
    let set = Instant::now();
    write(&server, b"heard", 0, None);
    wait_until("it is heard of", || cache.peek(b"heard").is_none());
    let before = commands.calls("pexpire");
    wait_until("a quarter of the window passes", || {
        assert!(cache.peek(b"heard").is_none());
        set.elapsed() > Duration::from_millis(WINDOW_MS as u64 / 2)
    });
    let answer = cache.get(b"heard").expect("a read").expect("an entry");
    assert_eq!((answer.data(), answer.lifetime().sliding_ms), (&b"1"[..], 0));
    wait_until("the work is done", || cache.flush(Duration::from_secs(1)));
    assert_eq!((commands.calls("pexpire") - before, server.pttl(b"p:heard")), (0, -1));

    // It was not heard of yet: what is sent does nothing to an entry that is to stay.
    cache.set(b"unheard", b"0", sliding(WINDOW_MS)).expect("stored");
    let set = Instant::now();
    proxy.fall_silent_to_client();
    write(&server, b"unheard", 0, None);
    let before = commands.calls("pexpire");
    wait_until("the touch is sent", || {
        let _ = cache.peek(b"unheard");
        assert!(set.elapsed() < Duration::from_secs(60));
        commands.calls("pexpire") > before
    });
    assert_eq!(server.pttl(b"p:unheard"), -1, "it got an end that nobody gave it");
    assert_eq!(server.run::<String>(cmd("HGET").arg("p:unheard").arg("data")), "1");
    proxy.heal();
    wait_until("the change is heard of", || {
        cache.get(b"unheard").expect("a read").is_some_and(|entry| entry.data() == b"1")
    });
    assert_eq!(server.pttl(b"p:unheard"), -1);
}
