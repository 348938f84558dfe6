//! Reads that nobody waits for, on a real Redis: they answer, and a close ends them.

use std::sync::mpsc::channel;
use std::time::Instant;

use serde_json::json;
use tokencache::cache::SetOptions;

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
    cache.get_in_background(b"k".to_vec(), Instant::now(), Box::new(move |found| told.send(found).unwrap()));
    let begin = Instant::now();
    cache.close();
    let refused = landed.recv_timeout(GENEROUS).expect("an answer").expect_err("no entry");
    assert_eq!(refused.kind.name(), "TC_CLOSED");
    assert!(begin.elapsed() < GENEROUS / 2, "{:?}", begin.elapsed());
    server.go_on();
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
