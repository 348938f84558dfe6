//! Reads under way while many writes come to be owed: what they found before leaves nothing that hides one.

#[path = "support/cache.rs"]
mod cache;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use cache::Shared;
use rusqlite::Connection;
use serde_json::json;
use tokencache::cache::{Answer, Cache, SetOptions, SetOutcome};

const KEYS: usize = 300;

fn value(answer: Answer) -> Option<Vec<u8>> {
    answer.entry().map(|entry| entry.data().to_vec())
}

/// Has others read each key while `write` owes it to a database that can be read and not written; then each is as `expected`.
fn stands(has_file: bool, expected: Option<&[u8]>, write: impl Fn(&Cache, &[u8]) -> SetOutcome) {
    let shared = Shared::new();
    let name = |number| format!("k{number}").into_bytes();
    let before = shared.open(json!({}));
    for number in 0..KEYS {
        before.set(&name(number), b"old", SetOptions::default()).expect("the database is free");
    }
    let mut members = json!({"l2": {"write": "behind"}, "resilience": {"close_ms": 10}});
    if has_file {
        members["resilience"]["journal_path"] = json!(shared.folder().join("owed.db"));
    }
    let cache = shared.open(members);
    let holder = Connection::open(shared.database()).expect("the database");
    holder.execute_batch("BEGIN IMMEDIATE").expect("nobody else holds it");
    let (now, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        for in_background in [false, false, true] {
            let (cache, now, is_over) = (&cache, &now, &is_over);
            scope.spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    let key = name(now.load(Ordering::Relaxed));
                    if in_background {
                        cache.get_in_background(&key, Instant::now(), Box::new(|_| ()));
                    } else {
                        cache.answer(&key).expect("an answer");
                    }
                }
            });
        }
        for number in 0..KEYS {
            now.store(number, Ordering::Relaxed);
            thread::sleep(Duration::from_micros(300));
            let outcome = write(&cache, &name(number));
            assert!(matches!(outcome, SetOutcome::Owed(_)), "{outcome:?}");
        }
        is_over.store(true, Ordering::Relaxed);
    });
    let is_hidden = |number: &usize| {
        let answer = cache.answer(&name(*number)).expect("an answer");
        value(answer).as_deref() != expected
    };
    let hidden = (0..KEYS).filter(is_hidden).count();
    assert_eq!(hidden, 0, "of {KEYS}, in a file: {has_file}, where {expected:?} is owed");
    holder.execute_batch("ROLLBACK").expect("it held the database");
}

#[test]
fn no_read_that_began_before_a_write_was_owed_hides_it() {
    for has_file in [false, true] {
        stands(has_file, Some(b"new"), |cache, key| {
            cache.set(key, b"new", SetOptions::default()).expect("it is owed")
        });
        stands(has_file, None, |cache, key| cache.remove(key).expect("it is owed"));
    }
}

/// Whoever holds the file, or a disk that hangs, would keep an event loop until the deadline.
#[test]
fn a_read_in_the_background_leaves_the_file_of_the_journal_to_another_thread() {
    let shared = Shared::new();
    let owed = shared.folder().join("owed.db");
    let cache = shared.open(json!({
        "l2": {"write": "behind"}, "resilience": {"close_ms": 10, "journal_path": owed}
    }));
    let holder = Connection::open(shared.database()).expect("the database");
    holder.execute_batch("BEGIN IMMEDIATE").expect("nobody else holds it");
    let outcome = cache.set(b"alice", b"token", SetOptions::default()).expect("it is owed");
    assert!(matches!(outcome, SetOutcome::Owed(_)), "{outcome:?}");
    for (key, expected) in [(b"alice", Some(b"token".to_vec())), (b"carol", None)] {
        let (tell, told) = mpsc::channel();
        let done = move |answer: tokencache::error::Result<Answer>| {
            tell.send((thread::current().id(), answer.map(value))).expect("somebody listens");
        };
        cache.get_in_background(key, Instant::now(), Box::new(done));
        let (by, answer) = told.recv_timeout(Duration::from_secs(60)).expect("an answer");
        assert_eq!(answer.expect("it can be read"), expected);
        assert_ne!(by, thread::current().id());
    }
    holder.execute_batch("ROLLBACK").expect("it held the database");
}
