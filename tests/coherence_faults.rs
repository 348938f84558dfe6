//! When changes are no longer heard of, nothing old is served as if it were sure.

#[path = "support/proxy.rs"]
mod proxy;
#[path = "support/redis.rs"]
mod support;
#[path = "support/writes.rs"]
mod writes;

use std::sync::Arc;
use std::time::{Duration, Instant};

use proxy::Proxy;
use serde_json::{Value, json};
use support::cache::statistics;
use support::{Server, document, wait_until};
use tokencache::cache::{Cache, SetOptions};
use writes::{History, KEY, Seen};

const HEARTBEAT: Duration = Duration::from_millis(200);
const TIMEOUT: Duration = Duration::from_millis(250);
/// What a loaded machine may add to a limit that is held to be none of the tests' business.
const LOAD: Duration = Duration::from_millis(200);

type Cut = fn(&Proxy);

fn open(url: &str, more: Value) -> Arc<Cache> {
    let mut members = json!({
        "coherence": {"heartbeat_ms": 200, "heartbeat_timeout_ms": 250},
        "resilience": {"deadline_ms": 300, "max_attempts": 1},
    });
    support::cache::merge(&mut members, more);
    let cache = Cache::open(document(url, members).as_bytes()).expect("the cache opens");
    wait_until("changes are heard of", || is_fed(&cache));
    cache
}

fn is_fed(cache: &Cache) -> bool {
    statistics(cache)["coherence"]["feed"] == "up"
}

fn figure(cache: &Cache, name: &str) -> u64 {
    statistics(cache)["coherence"][name].as_u64().expect("a number")
}

/// Until L1 vouches again for what it reads.
fn wait_for_trust(cache: &Cache) {
    wait_until("L1 is trusted", || is_fed(cache) && cache.peek(KEY).is_some());
}

/// How long it took from `repaired` until L1 was trusted, said and held to ten times what was promised.
fn recover(what: &str, cache: &Cache, repaired: Instant) {
    wait_for_trust(cache);
    let took = repaired.elapsed();
    println!("{what}: L1 is trusted again after {took:?}");
    assert!(took < (HEARTBEAT + TIMEOUT + Duration::from_secs(1)) * 10, "{what}: {took:?}");
}

/// Waits until L1 has been read and written for a while.
fn run_for_a_while() {
    let begin = Instant::now();
    wait_until("time passes", || begin.elapsed() > Duration::from_millis(500));
}

fn tell(what: &str, seen: &Seen, cache: &Cache) {
    println!(
        "{what}: {} fresh, {} degraded, {} failed, the oldest fresh one {:?} behind, {} stale; {}",
        seen.fresh,
        seen.degraded,
        seen.failed,
        seen.worst,
        seen.stale.len(),
        statistics(cache)["coherence"]
    );
}

#[test]
fn nothing_old_is_served_as_sure_when_the_link_is_lost_with_a_word() {
    let Some(mut server) = Server::start() else { return };
    let cache = open(&server.url(), json!({}));
    let seen = History::of(&mut server, &cache, |server| {
        for round in 1..=5 {
            wait_for_trust(&cache);
            run_for_a_while();
            assert_eq!(server.ask::<i64>("CLIENT KILL USER default"), 1);
            let killed = Instant::now();
            wait_until("it is noticed", || figure(&cache, "feeds_lost") >= round);
            recover("CLIENT KILL", &cache, killed);
        }
    });
    tell("CLIENT KILL", &seen, &cache);
    assert!(seen.stale.is_empty() && seen.fresh > 1_000, "{:?}", seen.stale);
    assert!(figure(&cache, "feeds_lost") >= 5 && figure(&cache, "changes_heard") > 100);
    assert_eq!(figure(&cache, "feeds_lost"), figure(&cache, "feeds_restored"));

    let seen = History::of(&mut server, &cache, |server| {
        for _ in 0..20 {
            wait_for_trust(&cache);
            server.ask::<()>("FLUSHALL");
        }
    });
    tell("FLUSHALL", &seen, &cache);
    assert!(seen.stale.is_empty() && seen.fresh > 100, "{:?}", seen.stale);

    let lost = figure(&cache, "feeds_lost");
    let seen = History::of(&mut server, &cache, |server| {
        for round in 1..=2 {
            wait_for_trust(&cache);
            run_for_a_while();
            // The writer finds the socket of the new one where that of the old one was.
            server.restart();
            let back = Instant::now();
            wait_until("it is noticed", || figure(&cache, "feeds_lost") >= lost + round);
            recover("restarted", &cache, back);
        }
    });
    tell("restarted", &seen, &cache);
    assert!(seen.stale.is_empty() && seen.fresh > 100, "{:?}", seen.stale);
}

#[test]
fn nothing_old_is_served_as_sure_when_the_server_stands_still() {
    let Some(mut server) = Server::start() else { return };
    let cache = open(&server.url(), json!({}));
    let seen = History::of(&mut server, &cache, |server| {
        for round in 1..=3 {
            wait_for_trust(&cache);
            run_for_a_while();
            server.stop();
            let stopped = Instant::now();
            wait_until("it is noticed", || figure(&cache, "feeds_lost") >= round);
            println!("stopped: noticed after {:?}", stopped.elapsed());
            assert!(stopped.elapsed() < (HEARTBEAT + TIMEOUT) * 10, "{:?}", stopped.elapsed());
            if round == 3 {
                // So long that the link is given up too.
                wait_until("it is given up", || statistics(&cache)["l2"]["store"]["link_is_up"] == 0);
            }
            server.go_on();
            recover("stopped", &cache, Instant::now());
        }
    });
    tell("stopped", &seen, &cache);
    assert!(seen.stale.is_empty() && seen.fresh > 1_000, "{:?}", seen.stale);
    assert_eq!(figure(&cache, "feeds_lost"), figure(&cache, "feeds_restored"));
}

#[test]
fn nothing_old_is_served_as_sure_for_longer_than_a_heartbeat_and_its_timeout_after_a_silent_cut() {
    let Some(mut server) = Server::start() else { return };
    let directions: [(&str, Cut); 3] = [
        ("cut in both directions", Proxy::fall_silent),
        ("cut toward us", Proxy::fall_silent_to_client),
        ("cut toward the server", Proxy::fall_silent_to_server),
    ];
    for (what, cut) in directions {
        let proxy = Proxy::before(server.port());
        let cache = open(&proxy.url(), json!({}));
        let mut cuts = Vec::new();
        let seen = History::of(&mut server, &cache, |_| {
            for round in 1..=3 {
                wait_for_trust(&cache);
                run_for_a_while();
                let lost = figure(&cache, "feeds_lost");
                cut(&proxy);
                let begin = Instant::now();
                wait_until("it is noticed", || figure(&cache, "feeds_lost") > lost);
                println!("{what}: noticed after {:?}", begin.elapsed());
                run_for_a_while();
                if round == 3 {
                    // Also where changes still come, while nothing that is asked is answered.
                    wait_until("it is given up", || statistics(&cache)["l2"]["store"]["links_lost"] != 0);
                }
                cuts.push((begin, Instant::now()));
                proxy.heal();
                recover(what, &cache, Instant::now());
            }
        });
        tell(what, &seen, &cache);
        let is_excused = |at: Instant| {
            cuts.iter().any(|(begin, _)| (*begin..=*begin + HEARTBEAT + TIMEOUT + LOAD).contains(&at))
        };
        let late: Vec<_> = seen.stale.iter().filter(|stale| !is_excused(stale.at)).collect();
        println!(
            "{what}: {} stale within the limit, {} beyond it",
            seen.stale.len() - late.len(),
            late.len()
        );
        assert!(late.is_empty() && seen.fresh > 1_000, "{what}: {late:?}");
    }
}

/// Redis says nothing of SWAPDB, and the README says what to do about it.
#[test]
fn a_read_that_was_under_way_when_l1_was_cleared_vouches_for_nothing() {
    let Some(server) = Server::start() else { return };
    let proxy = Proxy::before(server.port());
    let calm = json!({
        "coherence": {"heartbeat_ms": 60_000, "heartbeat_timeout_ms": 60_000},
        "resilience": {"deadline_ms": 30_000},
    });
    let cache = open(&proxy.url(), calm);
    for (database, value) in [(1, b"new"), (0, b"old")] {
        let url = format!("redis://127.0.0.1:{}/{database}", server.port());
        let writer = Cache::open(document(&url, json!({})).as_bytes()).expect("the cache opens");
        writer.set(KEY, value, SetOptions::default()).expect("stored");
    }
    let data = || cache.get(KEY).expect("a read").map(|entry| entry.data().to_vec());
    // What comes before an answer is heard before it.
    assert!(cache.get(b"nothing").expect("a read").is_none());
    std::thread::scope(|scope| {
        proxy.fall_silent_to_client();
        let under_way = scope.spawn(data);
        wait_until("its answer is on the way", || proxy.held() > 0);
        server.ask::<()>("SWAPDB 0 1");
        cache.clear().expect("cleared");
        let after = scope.spawn(data);
        let begin = Instant::now();
        wait_until("it is under way too", || begin.elapsed() > Duration::from_millis(100));
        proxy.heal();
        assert_eq!(under_way.join().expect("no panic").as_deref(), Some(&b"old"[..]));
        assert_eq!(after.join().expect("no panic").as_deref(), Some(&b"new"[..]), "it began after the swap");
    });
    assert_eq!(data().as_deref(), Some(&b"new"[..]), "and nothing old is left");
}
