//! Reads that nobody waits for, on a real Redis: they answer, and a close ends them.

use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use serde_json::json;
use tokencache::cache::{Answer, SetOptions};
use tokencache::error::Result;

#[path = "support/redis.rs"]
mod support;
use support::{GENEROUS, Server, wait_until};

#[test]
fn closing_ends_a_read_in_the_background_that_a_silent_server_does_not_answer() {
    let Some(server) = Server::start() else { return };
    let patient = json!({"resilience": {"deadline_ms": 60_000, "close_ms": 100}, "l1": {"enabled": false}});
    let cache = server.open(patient);
    cache.set(b"k", b"1", SetOptions::default()).expect("a link");
    server.stop();
    let (told, landed) = channel();
    cache.get_in_background(b"k", Instant::now(), Box::new(move |found| told.send(found).unwrap()));
    let begin = Instant::now();
    cache.close();
    let refused = landed.recv_timeout(GENEROUS).expect("an answer").expect_err("no entry");
    assert_eq!(refused.kind.name(), "TC_CLOSED");
    assert!(begin.elapsed() < GENEROUS / 2, "{:?}", begin.elapsed());
    server.go_on();
}

#[test]
fn reads_that_are_sent_together_end_each_at_its_own_deadline() {
    let Some(server) = Server::start() else { return };
    let patient = json!({
        "resilience": {"deadline_ms": 60_000, "max_attempts": 1}, "l1": {"enabled": false},
        "coherence": {"heartbeat_timeout_ms": 20_000},
    });
    let cache = server.open(patient);
    cache.set(b"0", b"1", SetOptions::default()).expect("a link");
    server.stop();
    let (told, landed) = channel();
    let (now, late) = (Instant::now(), Duration::from_millis(59_500));
    for number in 0..40 {
        let (told, is_late) = (told.clone(), number % 3 == 0);
        let started =
            if is_late { now.checked_sub(late).expect("a machine that is up for a minute") } else { now };
        let told = move |found: Result<Answer>| told.send((is_late, found)).expect("somebody listens");
        cache.get_in_background(number.to_string().as_bytes(), started, Box::new(told));
    }
    for _ in 0..14 {
        let (is_late, found) = landed.recv_timeout(GENEROUS).expect("an answer");
        assert_eq!((is_late, found.expect_err("no entry").kind.name()), (true, "TC_L2_TIMEOUT"));
    }
    assert!(landed.try_recv().is_err(), "the others have time");
    server.go_on();
    for _ in 0..26 {
        let (is_late, found) = landed.recv_timeout(GENEROUS).expect("an answer");
        assert!(!is_late && found.expect("an answer of the server").entry().is_none());
    }
}

#[test]
fn another_server_is_not_answered_for_by_what_l1_has_of_the_one_before() {
    let (Some(here), Some(there)) = (Server::start(), Server::start()) else { return };
    let (cache, another) = (here.open(json!({})), here.open(json!({})));
    // What this one writes it takes with it.
    another.set(b"k", b"here", SetOptions::default()).expect("stored");
    wait_until("it is in L1", || cache.get(b"k").expect("a read").is_some() && cache.peek(b"k").is_some());
    cache.configure(there.document(json!({})).as_bytes()).expect("configured");
    assert!(cache.peek(b"k").is_none());
    assert!(cache.get(b"k").expect("a read").is_none());
}
