//! The two ends of a process that meets an outage: it begins before L2 does, or it is closed while L2 is away.

#[path = "support/crypto.rs"]
mod crypto;
#[path = "support/proxy.rs"]
mod proxy;
#[path = "support/sealed.rs"]
mod sealed;
#[path = "support/redis.rs"]
mod support;

use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use proxy::Proxy;
use sealed::heard::Heard;
use serde_json::{Value, json};
use support::cache::{Shared, merge, statistics};
use support::{GENEROUS, Server, document, free_port, status, written};
use tokencache::cache::{Answer, Cache, SetOptions};

/// Beyond what was said, on a machine that has much to do; what waits in vain would wait for much longer.
const LATE: Duration = Duration::from_secs(10);

fn open(url: &str, more: Value) -> Arc<Cache> {
    let mut members = json!({
        "coherence": {"heartbeat_timeout_ms": 250},
        "resilience": {"deadline_ms": 400, "max_attempts": 1, "close_ms": 300},
    });
    merge(&mut members, more);
    Cache::open(document(url, members).as_bytes()).expect("the cache opens")
}

fn set(cache: &Cache, key: &str) -> &'static str {
    written(cache.set(key.as_bytes(), key.as_bytes(), SetOptions::default()))
}

fn owed(cache: &Cache) -> u64 {
    statistics(cache)["journal"]["owed_entries"].as_u64().expect("a number")
}

#[test]
fn what_is_owed_to_a_server_that_nobody_has_seen_yet_is_served_here_and_reaches_it() {
    let folder = tempfile::tempdir().expect("a folder");
    for journal in [json!({}), json!({"resilience": {"journal_path": folder.path().join("owed.db")}})] {
        let port = free_port();
        let cache = open(&format!("redis://127.0.0.1:{port}/0"), journal);
        let names: Vec<String> = (0..50).map(|number| format!("key {number}")).collect();
        for key in &names {
            assert_eq!(set(&cache, key), "TC_DEGRADED");
        }
        assert_eq!(written(cache.remove(b"key 0")), "TC_DEGRADED");
        for key in &names[1..] {
            let answer = cache.answer(key.as_bytes()).expect("a read");
            assert!(matches!(answer, Answer::Degraded(entry) if entry.data() == key.as_bytes()), "{key}");
        }
        assert!(matches!(cache.answer(b"key 0"), Ok(Answer::Absent)));
        assert!(["TC_L2_UNREACHABLE", "TC_L2_SUSPENDED"].contains(&status(cache.get(b"another").map(drop))));
        let Some(server) = Server::at(port, &[]) else { return };
        let begin = Instant::now();
        assert!(cache.flush(GENEROUS), "{} are still owed", owed(&cache));
        println!("all of 50 were there {:?} after the server", begin.elapsed());
        for key in &names[1..] {
            assert_eq!(server.fields(key.as_bytes())["data"], key.as_bytes());
        }
        assert!(server.fields(b"key 0").is_empty());
        assert!(cache.close());
    }
}

/// The first failure begins a replay, which waits for a link longer than it takes the circuit to open.
#[test]
fn what_is_brought_to_l2_while_the_circuit_is_open_is_still_read() {
    let port = free_port();
    let (url, rarely) = (format!("redis://127.0.0.1:{port}/0"), json!({"resilience": {"probe_ms": 10_000}}));
    let cache = open(&url, rarely.clone());
    let names: Vec<String> = (0..10).map(|number| format!("key {number}")).collect();
    for key in &names {
        assert_eq!(set(&cache, key), "TC_DEGRADED");
    }
    assert_eq!(status(cache.get(b"another").map(drop)), "TC_L2_SUSPENDED");
    // With a deadline that no load of the machine breaks.
    cache.configure(document(&url, rarely).as_bytes()).expect("configured");
    let Some(_server) = Server::at(port, &[]) else { return };
    assert!(cache.flush(GENEROUS), "{} are still owed", owed(&cache));
    for key in &names {
        let answer = cache.answer(key.as_bytes());
        let found = answer.as_ref().ok().cloned().and_then(Answer::entry);
        assert!(found.is_some_and(|entry| entry.data() == key.as_bytes()), "{key}: {answer:?}");
    }
}

#[test]
fn to_touch_what_is_owed_is_no_read_of_it() {
    let cache = open(&format!("redis://127.0.0.1:{}/0", free_port()), json!({}));
    let degraded_reads = || statistics(&cache)["l1"]["degraded_reads"].as_u64().expect("a number");
    assert_eq!(set(&cache, "key"), "TC_DEGRADED");
    assert!(cache.touch(b"key").expect("it is owed"));
    assert_eq!(degraded_reads(), 0);
    assert!(matches!(cache.answer(b"key"), Ok(Answer::Degraded(_))));
    assert_eq!(degraded_reads(), 1);
    assert_eq!(written(cache.remove(b"key")), "TC_DEGRADED");
    assert!(!cache.touch(b"key").expect("its removal is owed"));
}

type Inflict = fn(&Proxy);

/// Whatever keeps L2 from answering: it says nothing, it is as slow as can be, it is cut at every word.
#[test]
fn a_cache_that_is_closed_in_an_outage_is_closed_in_time_and_says_how_much_is_owed() {
    let Some(server) = Server::start() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let faults: [(&str, Inflict); 4] = [
        ("silent", Proxy::fall_silent),
        ("slow", |proxy| proxy.delay(Duration::from_secs(5))),
        ("thin", |proxy| proxy.throttle(100)),
        ("cut", |proxy| proxy.cut_after(0)),
    ];
    for (fault, inflict) in faults {
        for (kind, journal) in [
            ("lost with this cache", json!({})),
            ("still owed to L2", json!({"resilience": {"journal_path": folder.path().join(fault)}})),
            ("lost with this cache", json!({"l2": {"write": "behind"}})),
        ] {
            let proxy = Proxy::before(server.port());
            let cache = open(&proxy.url(), journal);
            let heard = Heard::of(&cache);
            assert!(["TC_OK", "TC_DEGRADED"].contains(&set(&cache, "before")));
            assert!(cache.flush(GENEROUS));
            inflict(&proxy);
            for number in 0..7 {
                assert_eq!(set(&cache, &format!("key {number}")), "TC_DEGRADED", "{fault}");
            }
            let (begin, owed) = (Instant::now(), owed(&cache));
            assert!(!cache.close(), "{fault}");
            let took = begin.elapsed();
            assert!(took < Duration::from_millis(300 + 400) + LATE, "{fault}: {took:?}");
            assert!(heard.says(&[&format!("{kind}: {owed};")]), "{fault}: {owed} {kind}");
            println!("{fault}: closed after {took:?} with {owed} owed");
        }
    }
}

/// Also what another thread has begun when the cache is closed, and is told a moment later.
#[test]
fn nothing_that_is_acknowledged_while_a_cache_closes_is_lost() {
    let shared = Shared::new();
    for round in 0..100 {
        let cache = shared.open(json!({"l2": {"write": "behind"}}));
        let begin = Barrier::new(9);
        let (closed, acknowledged) = thread::scope(|scope| {
            let write = |writer| {
                begin.wait();
                let name = |number| format!("{round} {writer} {number}");
                (0..20).map(name).take_while(|key| set(&cache, key) == "TC_DEGRADED").collect::<Vec<_>>()
            };
            let writers: Vec<_> = (0..8).map(|writer| scope.spawn(move || write(writer))).collect();
            begin.wait();
            let closed = cache.close();
            let acknowledged = writers.into_iter().flat_map(|writer| writer.join().expect("its end"));
            (closed, acknowledged.collect::<Vec<_>>())
        });
        assert!(closed, "it had the time");
        let after = shared.open(json!({}));
        for key in acknowledged {
            assert!(after.get(key.as_bytes()).expect("a read").is_some(), "{key} is lost");
        }
    }
}
