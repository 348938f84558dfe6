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
use tokencache::cache::Cache;
use writes::{History, KEY, Seen, Stale};

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

/// Plays `scene` again, twice at most, if something late was served in it: where a thread of the library gets no turn,
/// what it is told is heard late, and where it does something wrong it does so each time. What was late the last time.
fn again_where_late<T: std::fmt::Debug>(what: &str, mut scene: impl FnMut() -> Vec<T>) -> Vec<T> {
    let mut late = scene();
    for _ in 0..2 {
        if late.is_empty() {
            break;
        }
        println!("{what}: once more after {late:?}");
        late = scene();
    }
    late
}

/// Of a fault that is made by `during` and noticed: nothing old is served as sure, and at least so much that is fresh.
fn nothing_old(what: &str, cache: &Cache, server: &mut Server, fresh: u64, during: impl Fn(&mut Server)) {
    let late = again_where_late(what, || {
        let seen = History::of(server, cache, &during);
        tell(what, &seen, cache);
        assert!(seen.fresh > fresh, "{what}: {}", seen.fresh);
        seen.stale
    });
    assert!(late.is_empty(), "{what}: {late:?}");
    wait_until("it is restored", || figure(cache, "feeds_lost") == figure(cache, "feeds_restored"));
}

/// Waits until more than so many losses were noticed.
fn wait_for_loss(cache: &Cache, before: u64) {
    wait_until("it is noticed", || figure(cache, "feeds_lost") > before);
}

#[test]
fn nothing_old_is_served_as_sure_when_the_link_is_lost_with_a_word() {
    let Some(mut server) = Server::start() else { return };
    let cache = open(&server.url(), json!({}));
    nothing_old("CLIENT KILL", &cache, &mut server, 1_000, |server| {
        for _ in 1..=5 {
            wait_for_trust(&cache);
            run_for_a_while();
            let lost = figure(&cache, "feeds_lost");
            wait_until("its link is cut", || server.ask::<i64>("CLIENT KILL USER default") > 0);
            let killed = Instant::now();
            wait_for_loss(&cache, lost);
            recover("CLIENT KILL", &cache, killed);
        }
    });
    assert!(figure(&cache, "feeds_lost") >= 5 && figure(&cache, "changes_heard") > 100);

    nothing_old("FLUSHALL", &cache, &mut server, 100, |server| {
        for _ in 0..20 {
            wait_for_trust(&cache);
            server.ask::<()>("FLUSHALL");
        }
    });

    nothing_old("restarted", &cache, &mut server, 100, |server| {
        for _ in 1..=2 {
            wait_for_trust(&cache);
            run_for_a_while();
            let lost = figure(&cache, "feeds_lost");
            // The writer finds the socket of the new one where that of the old one was.
            server.restart();
            let back = Instant::now();
            wait_for_loss(&cache, lost);
            recover("restarted", &cache, back);
        }
    });
}

#[test]
fn nothing_old_is_served_as_sure_when_the_server_stands_still() {
    let Some(mut server) = Server::start() else { return };
    let cache = open(&server.url(), json!({}));
    nothing_old("stopped", &cache, &mut server, 1_000, |server| {
        for round in 1..=3 {
            wait_for_trust(&cache);
            run_for_a_while();
            let lost = figure(&cache, "feeds_lost");
            server.stop();
            let stopped = Instant::now();
            wait_for_loss(&cache, lost);
            println!("stopped: noticed after {:?}", stopped.elapsed());
            if round == 3 {
                // So long that the link is given up too.
                wait_until("it is given up", || statistics(&cache)["l2"]["store"]["link_is_up"] == 0);
            }
            server.go_on();
            recover("stopped", &cache, Instant::now());
        }
    });
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
        let late = again_where_late(what, || late_after(what, cut, &mut server));
        assert!(late.is_empty(), "{what}: {late:?}");
    }
}

/// What was served as sure though it was old, and later than a cut excuses.
fn late_after(what: &str, cut: Cut, server: &mut Server) -> Vec<Stale> {
    let proxy = Proxy::before(server.port());
    let cache = open(&proxy.url(), json!({}));
    let mut cuts = Vec::new();
    let seen = History::of(server, &cache, |_| {
        for round in 1..=3 {
            wait_for_trust(&cache);
            run_for_a_while();
            let lost = figure(&cache, "feeds_lost");
            cut(&proxy);
            let begin = Instant::now();
            wait_for_loss(&cache, lost);
            println!("{what}: noticed after {:?}", begin.elapsed());
            run_for_a_while();
            if round == 3 {
                // Also where changes still come, while nothing that is asked is answered.
                wait_until("it is given up", || statistics(&cache)["l2"]["store"]["links_lost"] != 0);
            }
            cuts.push(begin);
            proxy.heal();
            recover(what, &cache, Instant::now());
        }
    });
    tell(what, &seen, &cache);
    assert!(seen.fresh > 1_000, "{what}: {}", seen.fresh);
    let is_excused =
        |at: Instant| cuts.iter().any(|begin| (*begin..=*begin + HEARTBEAT + TIMEOUT + LOAD).contains(&at));
    let (within, late): (Vec<_>, Vec<_>) = seen.stale.into_iter().partition(|stale| is_excused(stale.at));
    println!("{what}: {} stale within the limit, {} beyond it", within.len(), late.len());
    late
}
