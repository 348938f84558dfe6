//! A link to Redis that is slow, broken without a goodbye, cut into single bytes, or falsified.

#[path = "support/certificates.rs"]
mod certificates;
#[path = "support/crypto.rs"]
mod crypto;
#[path = "support/proxy.rs"]
mod proxy;
#[path = "support/sealed.rs"]
mod sealed;
#[path = "support/redis.rs"]
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use certificates::{Certificates, For};
use proxy::Proxy;
use serde_json::{Value, json};
use support::cache::{merge, statistics};
use support::{GENEROUS, Server, document, free_port, is_installed, status, wait_until, written};
use tokencache::cache::{Cache, SetOptions};

/// Beyond the deadline, on a machine that has much to do; the one case that is held to 50 ms is a cell of the retry table.
const LATE: Duration = Duration::from_secs(10);
/// What is no more than that above its deadline is held to be in time.
const TIMELY: Duration = Duration::from_secs(1);
/// So many calls must end at their deadline.
const CALLS: usize = 64;

/// A cache whose every read is answered by L2, asked once, without a circuit that would end the asking.
fn open(url: &str, more: Value) -> Arc<Cache> {
    let mut members = json!({
        "l1": {"enabled": false},
        "resilience": {"deadline_ms": 60_000, "max_attempts": 1, "circuit_failures": 0},
    });
    merge(&mut members, more);
    Cache::open(document(url, members).as_bytes()).expect("the cache opens")
}

fn set(cache: &Cache, key: &str, value: &[u8]) -> &'static str {
    written(cache.set(key.as_bytes(), value, SetOptions::default()))
}

fn get(cache: &Cache, key: &str) -> Result<Option<Vec<u8>>, &'static str> {
    let found = cache.get(key.as_bytes()).map_err(|error| error.kind.name())?;
    Ok(found.map(|entry| entry.data().to_vec()))
}

/// How many links were made, or lost.
fn links(cache: &Cache, what: &str) -> u64 {
    statistics(cache)["l2"]["store"][format!("links_{what}")].as_u64().expect("a number")
}

/// The value of a key, told from every other one by any piece of it.
fn value(key: &str, len: usize) -> Vec<u8> {
    key.bytes().cycle().take(len).collect()
}

/// The server is as slow as can be, and yet not given up: what it says late comes over the link that is used on.
#[test]
fn a_reply_that_is_5_s_late_is_nobody_elses_and_keeps_nobody() {
    let Some(server) = Server::start() else { return };
    let proxy = Proxy::before(server.port());
    let patient = json!({
        "coherence": {"heartbeat_ms": 60_000, "heartbeat_timeout_ms": 60_000},
        "resilience": {"deadline_ms": 500},
    });
    let cache = open(&proxy.url(), patient);
    let keys: Vec<String> = (0..64).map(|number| format!("key {number:02} ")).collect();
    for key in &keys {
        wait_until("it is stored", || set(&cache, key, &value(key, 3_000)) == "TC_OK");
    }
    let made = links(&cache, "made");
    proxy.delay(Duration::from_secs(5));
    let (begin, next) = (Instant::now(), AtomicUsize::new(0));
    let (late, timely) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                // Where the machine stands still now and then, it takes some more to show that nobody is kept.
                let is_little = || timely.load(Ordering::Relaxed) < CALLS && begin.elapsed() < GENEROUS;
                while begin.elapsed() < Duration::from_secs(6) || is_little() {
                    let key = &keys[next.fetch_add(1, Ordering::Relaxed) % keys.len()];
                    let asked = Instant::now();
                    match get(&cache, key) {
                        Ok(found) => assert_eq!(found, Some(value(key, 3_000)), "another key's reply"),
                        Err("TC_L2_TIMEOUT") => drop(late.fetch_add(1, Ordering::Relaxed)),
                        Err(other) => panic!("{other}"),
                    }
                    let over = asked.elapsed().saturating_sub(Duration::from_millis(500));
                    assert!(over < LATE, "{over:?}");
                    timely.fetch_add(usize::from(over < TIMELY), Ordering::Relaxed);
                }
            });
        }
    });
    let (late, timely) = (late.into_inner(), timely.into_inner());
    // All that was asked for comes now, before and between what is asked for next.
    proxy.heal();
    wait_until("what is late has come", || get(&cache, &keys[0]).is_ok());
    for key in keys.iter().chain(&keys) {
        wait_until("it is read", || match get(&cache, key) {
            Ok(found) => {
                assert_eq!(found, Some(value(key, 3_000)), "another key's reply");
                true
            }
            Err(status) => {
                assert_eq!(status, "TC_L2_TIMEOUT");
                false
            }
        });
    }
    assert!(late >= CALLS && timely >= CALLS, "{late} late replies, {timely} calls ended in time");
    assert_eq!(links(&cache, "made"), made, "the late replies came over another link");
    println!("{late} late replies over one link, none taken for another");
}

#[test]
fn a_link_that_is_reset_is_made_anew_and_what_was_said_is_true() {
    let Some(server) = Server::start() else { return };
    let proxy = Proxy::before(server.port());
    let cache = open(&proxy.url(), json!({}));
    for round in 0..3_u8 {
        wait_until("it is connected", || set(&cache, "k", &[round]) == "TC_OK");
        let links = proxy.accepted();
        // Callers are in the middle of whatever they do.
        let broken = thread::scope(|scope| {
            let writers: Vec<_> = (0..4)
                .map(|writer| {
                    let (cache, server, proxy) = (&cache, &server, &proxy);
                    scope.spawn(move || {
                        let key = format!("writer {writer} ");
                        let mut owed = 0;
                        for number in 0.. {
                            let value = format!("{round} {number}").into_bytes();
                            match set(cache, &key, &value) {
                                "TC_OK" => {
                                    let there = server.fields(key.as_bytes()).remove("data");
                                    assert_eq!(there, Some(value), "acknowledged and not there");
                                }
                                "TC_DEGRADED" => owed += 1,
                                other => panic!("{other}"),
                            }
                            if proxy.accepted() > links && number > 50 {
                                break;
                            }
                        }
                        owed
                    })
                })
                .collect();
            thread::sleep(Duration::from_millis(20));
            proxy.reset();
            writers.into_iter().map(|writer| writer.join().expect("a writer")).sum::<usize>()
        });
        println!("{broken} writes were owed");
        assert!(cache.flush(GENEROUS));
    }
    assert!(links(&cache, "lost") >= 3);
}

#[test]
fn single_bytes_are_as_good_as_whole_pieces() {
    let Some(server) = Server::start() else { return };
    let proxy = Proxy::before(server.port());
    proxy.pass_byte_by_byte();
    let cache = open(&proxy.url(), json!({}));
    wait_until("it is connected", || get(&cache, "nothing") == Ok(None));
    for len in [0, 1, 100, 7_000, 30_000] {
        let key = format!("{len} bytes ");
        assert_eq!(set(&cache, &key, &value(&key, len)), "TC_OK");
        assert_eq!(get(&cache, &key), Ok(Some(value(&key, len))));
        let seen = cache.get(key.as_bytes()).expect("a read").expect("an entry").version();
        let swap = SetOptions { expected_version: seen, ..SetOptions::default() };
        assert_eq!(written(cache.set(key.as_bytes(), b"swapped", swap)), "TC_OK");
        assert_eq!(written(cache.remove(key.as_bytes())), "TC_OK");
        assert_eq!(get(&cache, &key), Ok(None));
    }
}

#[test]
fn over_a_thin_line_what_takes_too_long_is_owed_and_arrives_when_there_is_room() {
    let Some(server) = Server::start() else { return };
    let proxy = Proxy::before(server.port());
    let cache = open(&proxy.url(), json!({"resilience": {"deadline_ms": 1_000}}));
    wait_until("it is connected", || set(&cache, "k", b"1") == "TC_OK");
    proxy.throttle(20_000);
    let large = value("large ", 200_000);
    let begin = Instant::now();
    assert_eq!(set(&cache, "large", &large), "TC_DEGRADED");
    assert!(begin.elapsed() < Duration::from_secs(1) + LATE, "{:?}", begin.elapsed());
    assert_eq!(get(&cache, "large"), Ok(Some(large.clone())), "it is read here");
    proxy.heal();
    assert!(cache.flush(GENEROUS));
    assert_eq!(server.fields(b"large")["data"], large);
    proxy.throttle(5_000);
    assert_eq!(get(&cache, "large"), Err("TC_L2_TIMEOUT"));
    proxy.heal();
    wait_until("it is read from L2", || get(&cache, "large") == Ok(Some(large.clone())));
}

/// Under the seal a falsified reply is an answer of its own kind, and never other bytes.
#[test]
fn a_byte_of_a_reply_that_is_flipped_gives_no_bytes_that_nobody_wrote() {
    let Some(server) = Server::start() else { return };
    let sealed = || sealed::sealing(&[("active", 1)], json!({}));
    let wanted = value("sealed ", 64);
    let writer = open(&server.url(), sealed());
    wait_until("it is stored", || set(&writer, "k", &wanted) == "TC_OK");
    drop(writer);
    let (next, right, refused) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let read = |at: Option<usize>| {
        let proxy = Proxy::before(server.port());
        let mut members = sealed();
        // A length that is falsified leaves us waiting for what never comes.
        let deadline_ms = if at.is_some() { 1_000 } else { 30_000 };
        merge(&mut members, json!({"resilience": {"deadline_ms": deadline_ms}}));
        let cache = open(&proxy.url(), members);
        wait_until("it is connected", || get(&cache, "another") == Ok(None));
        let before = proxy.passed()[1];
        if let Some(at) = at {
            proxy.flip_after(at);
        }
        let found = get(&cache, "k");
        (found, proxy.passed()[1] - before)
    };
    let (found, reply_len) = read(None);
    assert_eq!(found, Ok(Some(wanted.clone())));
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= reply_len {
                        break;
                    }
                    match read(Some(at)).0 {
                        // What became of the time to live, or of a window, is not under the seal.
                        Ok(found) => {
                            assert!(found.is_none() || found.as_ref() == Some(&wanted), "{at}: {found:?}");
                            right.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(status) => {
                            let is_told = status.starts_with("TC_SEAL_") || status.starts_with("TC_L2_");
                            assert!(is_told, "{at}: {status}");
                            refused.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
            });
        }
    });
    let (right, refused) = (right.into_inner(), refused.into_inner());
    println!("{reply_len} bytes of a reply: {refused} flips refused, {right} without effect on the value");
    assert!(refused > 64, "{refused}");
}

/// TLS takes nothing that was falsified, in either direction: then the link is lost, and the write is owed.
#[test]
fn a_byte_that_is_flipped_under_tls_costs_the_link_and_nothing_else() {
    if !is_installed("openssl") {
        println!("skipped: openssl is not installed");
        return;
    }
    let made = Certificates::new();
    made.authority("ours");
    made.issue("ours", "good", For::Server("IP:127.0.0.1"));
    let path = |path: std::path::PathBuf| path.display().to_string();
    let (port, trusted) = (free_port(), path(made.certificate("ours")));
    let (chain, key) = (path(made.certificate("good")), path(made.key("good")));
    let tls = ["--tls-port", &port.to_string(), "--tls-cert-file", &chain, "--tls-key-file", &key];
    let options = [&tls[..], &["--tls-ca-cert-file", &trusted, "--tls-auth-clients", "no"]].concat();
    let Some(server) = Server::with(&options) else { return };
    let mut owed = 0;
    let flips: [fn(&Proxy, usize); 2] = [Proxy::flip_request_after, Proxy::flip_after];
    for (flip, at) in flips.into_iter().flat_map(|flip| [0, 3, 5, 20, 60].map(|at| (flip, at))) {
        let proxy = Proxy::before(port);
        let url = proxy.url().replace("redis://", "rediss://");
        // A length that is falsified leaves both sides waiting, until the silence is noticed.
        let members = json!({
            "l2": {"ca_file": trusted},
            "coherence": {"heartbeat_timeout_ms": 250},
            "resilience": {"deadline_ms": 3_000},
        });
        let cache = open(&url, members);
        wait_until("it is connected", || set(&cache, "k", b"before") == "TC_OK");
        flip(&proxy, at);
        let answer = set(&cache, "k", b"after");
        if answer == "TC_OK" {
            assert_eq!(server.fields(b"k")["data"], b"after", "{at}");
        } else {
            assert_eq!(answer, "TC_DEGRADED", "{at}");
            owed += 1;
        }
        assert!(cache.flush(GENEROUS), "{at}");
        assert_eq!(server.fields(b"k")["data"], b"after", "{at}");
        wait_until("it is read", || status(cache.get(b"k").map(drop)) == "TC_OK");
    }
    assert!(owed >= 5, "{owed} of 10 were owed");
}
