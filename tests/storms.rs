//! Many callers at once, before a Redis that is there, goes, and comes back: it is asked once for what they all want.

#[path = "support/proxy.rs"]
mod proxy;
#[path = "support/redis.rs"]
mod support;

use std::sync::Arc;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use proxy::Proxy;
use redis::cmd;
use serde_json::{Value, json};
use support::cache::{merge, statistics};
use support::{Server, document, stored, wait_until};
use tokencache::cache::Cache;

const CALLERS: usize = 64;
const KEYS: usize = 8;

fn open(url: &str, more: Value) -> Arc<Cache> {
    Cache::open(document_of(url, more).as_bytes()).expect("the cache opens")
}

fn document_of(url: &str, more: Value) -> String {
    let mut members = json!({
        // Nobody is asked but for what the callers want.
        "coherence": {"heartbeat_ms": 60_000, "heartbeat_timeout_ms": 60_000},
        "resilience": {"max_attempts": 1},
    });
    merge(&mut members, more);
    document(url, members)
}

fn key(number: usize) -> Vec<u8> {
    format!("key {}", number % KEYS).into_bytes()
}

fn stock(server: &Server) {
    for number in 0..KEYS {
        server.run::<()>(cmd("HSET").arg(stored(&key(number))).arg("data").arg(key(number)));
    }
}

/// How often entries were read.
fn loads(server: &Server) -> usize {
    let stats: String = server.ask("INFO commandstats");
    let line = stats.lines().find_map(|line| line.strip_prefix("cmdstat_hmget:calls="));
    line.map_or(0, |line| line.split(',').next().expect("a number").parse().expect("a number"))
}

/// Has all callers read all keys at once; how many of the reads failed.
fn storm(cache: &Cache) -> usize {
    let (begin, failed) = (Barrier::new(CALLERS), AtomicUsize::new(0));
    thread::scope(|scope| {
        for caller in 0..CALLERS {
            let (begin, failed) = (&begin, &failed);
            scope.spawn(move || {
                begin.wait();
                for number in caller..caller + KEYS {
                    match cache.get(&key(number)) {
                        Ok(found) => assert_eq!(found.expect("an entry").data(), key(number)),
                        Err(_) => drop(failed.fetch_add(1, Ordering::Relaxed)),
                    }
                }
            });
        }
    });
    failed.into_inner()
}

#[test]
fn sixty_four_callers_who_miss_the_same_keys_load_each_once() {
    let Some(server) = Server::start() else { return };
    stock(&server);
    let cache = open(&server.url(), json!({}));
    wait_until("it is connected", || cache.get(b"another").is_ok());
    for round in 0..20 {
        let before = loads(&server);
        assert_eq!(storm(&cache), 0);
        assert_eq!(loads(&server) - before, KEYS, "round {round}");
        cache.clear().expect("cleared");
    }
}

#[test]
fn before_a_server_that_is_away_callers_make_one_attempt_a_second_and_one_load_of_each_key_when_it_is_back() {
    let Some(mut server) = Server::start() else { return };
    let proxy = Proxy::before(server.port());
    for circuit_failures in [0, 5] {
        let resilience = json!({"circuit_failures": circuit_failures, "deadline_ms": 200});
        let cache = open(&proxy.url(), json!({"resilience": resilience}));
        wait_until("it is connected", || cache.get(b"another").is_ok());
        server.kill();
        let (begin, before) = (Instant::now(), proxy.accepted());
        let mut failed = 0;
        while begin.elapsed() < Duration::from_secs(4) {
            failed += storm(&cache);
        }
        let (attempts, seconds) = (proxy.accepted() - before, begin.elapsed().as_secs_f64());
        assert!(failed >= CALLERS * KEYS, "{failed}");
        assert!(attempts as f64 <= seconds + 1.0, "{attempts} attempts in {seconds:.1} s");
        let retries = &statistics(&cache)["l2"]["retries"];
        println!(
            "circuit {circuit_failures}: {failed} calls failed, {attempts} attempts to connect in {seconds:.1} s, \
             {retries} retries"
        );
        server.restart();
        stock(&server);
        wait_until("L2 is used again", || cache.get(b"another").is_ok());
        // A circuit that has just closed lets few through at first, and the others go without.
        wait_until("everybody is served", || storm(&cache) == 0);
        assert!(loads(&server) >= KEYS);
        // A deadline so short is missed on a busy machine also where nothing is wrong.
        let patient = json!({"resilience": {"circuit_failures": circuit_failures}});
        cache.configure(document_of(&proxy.url(), patient).as_bytes()).expect("configured");
        let settled = loads(&server);
        assert_eq!(storm(&cache), 0);
        assert_eq!(loads(&server), settled, "what everybody has is not asked for again");
        cache.clear().expect("cleared");
        assert_eq!(storm(&cache), 0);
        assert_eq!(loads(&server) - settled, KEYS);
        assert!(cache.close());
    }
}
