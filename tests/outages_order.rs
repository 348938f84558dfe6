//! What is owed follows what others got acknowledged while it was tried in vain.

#[path = "support/cache.rs"]
mod cache;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use cache::{Shared, wait_until};
use rusqlite::Connection;
use serde_json::json;
use tokencache::cache::{Answer, Cache, SetOptions, SetOutcome};
use tokencache::resilience::{Decision, FailedAttempt, Hook};

/// Lets go of the database when the first attempt has failed, and has another cache store there before the call gives up.
struct Meanwhile {
    holder: Mutex<Connection>,
    other: Arc<Cache>,
}

impl Hook for Meanwhile {
    fn decide(&self, _: &FailedAttempt) -> Decision {
        self.holder.lock().expect("the holder").execute_batch("ROLLBACK").expect("it held the database");
        let stored = self.other.set(b"k", b"theirs", SetOptions::default()).expect("the database is free");
        assert!(matches!(stored, SetOutcome::Stored(_)), "{stored:?}");
        Decision::GiveUp
    }
}

/// A key that another cache stored while this one's `write` of it was held up, and the two.
fn held_up(shared: &Shared, write: impl FnOnce(&Cache) -> SetOutcome) -> [Arc<Cache>; 2] {
    let [other, cache] = [30_000, 400].map(|deadline_ms| {
        shared.open(json!({"resilience": {"deadline_ms": deadline_ms, "max_attempts": 2}}))
    });
    wait_until("it has the database", || cache.get(b"k").is_ok());
    let holder = Connection::open(shared.database()).expect("the database");
    holder.execute_batch("BEGIN IMMEDIATE").expect("nobody else holds it");
    let meanwhile = Meanwhile { holder: Mutex::new(holder), other: Arc::clone(&other) };
    cache.on_retry(Some(Arc::new(meanwhile)));
    let outcome = write(&cache);
    assert!(matches!(outcome, SetOutcome::Owed(_)), "{outcome:?}");
    cache.on_retry(None);
    [other, cache]
}

fn value(cache: &Cache) -> Option<Vec<u8>> {
    let answer = cache.answer(b"k").expect("an answer");
    match answer {
        Answer::Fresh(entry) | Answer::Degraded(entry) => Some(entry.data().to_vec()),
        Answer::Absent => None,
    }
}

/// What `write` leaves is what each reads, before and after it has reached the database.
fn stands(expected: Option<&[u8]>, write: impl FnOnce(&Cache) -> SetOutcome) {
    let shared = Shared::new();
    let [other, cache] = held_up(&shared, write);
    assert_eq!(value(&cache).as_deref(), expected, "where it was written");
    wait_until("it has reached the database", || cache.flush(Duration::from_secs(1)));
    for reader in [&cache, &other] {
        assert_eq!(value(reader).as_deref(), expected);
    }
}

#[test]
fn a_set_that_was_held_up_follows_what_was_stored_meanwhile() {
    stands(Some(b"ours"), |cache| cache.set(b"k", b"ours", SetOptions::default()).expect("it is owed"));
}

#[test]
fn a_sign_out_that_was_held_up_follows_what_was_stored_meanwhile() {
    stands(None, |cache| cache.remove(b"k").expect("it is owed"));
}

/// It has ended by the time it is read, and still nobody reads what was stored before it.
#[test]
fn a_set_that_was_held_up_and_has_ended_follows_what_was_stored_meanwhile() {
    stands(None, |cache| {
        let mut options = SetOptions::default();
        options.asked.ttl_ms = 1;
        cache.set(b"k", b"ours", options).expect("it is owed")
    });
}
