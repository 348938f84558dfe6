//! What readers alone see: L1's limit, renewal, entries that hide others, a repair in the middle of a read.

#[path = "support/cache.rs"]
mod support;

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use serde_json::json;
use support::{Shared, statistics, wait_until};
use tokencache::cache::{Cache, SetOptions};
use tokencache::entry::Asked;
use tokencache::resilience::{Decision, FailedAttempt, Hook};

#[test]
fn a_process_that_only_reads_keeps_the_limit_too() {
    let shared = Shared::new();
    let writer = shared.open(json!({}));
    for number in 0..500 {
        writer.set(format!("k{number}").as_bytes(), &[1; 4_000], SetOptions::default()).expect("stored");
    }
    let capacity = 65_536;
    let reader = shared.open(json!({"l1": {"capacity_bytes": capacity}}));
    for number in 0..500 {
        assert!(reader.get(format!("k{number}").as_bytes()).expect("a read").is_some());
        assert!(statistics(&reader)["l1"]["bytes"].as_u64().expect("a number") <= capacity);
    }
    reader.close();
    writer.close();
}

#[test]
fn reads_answered_by_l2_renew_a_sliding_entry() {
    let shared = Shared::new();
    let cache = shared.open(json!({"l1": {"enabled": false}}));
    // Where the machine stands still for a window, nobody uses it for so long, and it ends.
    wait_until("it outlives its window", || {
        let asked = Asked { sliding_ms: 1_000, ..Asked::default() };
        cache.set(b"slides", b"1", SetOptions { asked, ..SetOptions::default() }).expect("stored");
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_millis(2_500) {
            if cache.get(b"slides").expect("a read").is_none() {
                println!("gone after {:?}", begin.elapsed());
                return false;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        true
    });
    cache.close();
}

#[test]
fn overwriting_a_local_only_entry_never_shows_the_hidden_one() {
    let shared = Shared::new();
    let cache = shared.open(json!({}));
    cache.set(b"k", b"hidden", SetOptions::default()).expect("stored");
    let local = SetOptions { is_local: true, ..SetOptions::default() };
    cache.set(b"k", b"mine", local).expect("stored");
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for _ in 0..50_000 {
                cache.set(b"k", b"mine", local).expect("stored");
            }
        });
        while !writer.is_finished() {
            assert_eq!(cache.get(b"k").expect("a read").expect("an entry").data(), b"mine");
            assert!(cache.touch(b"k").expect("a touch"));
        }
    });
    cache.close();
}

#[test]
fn what_l1_may_not_keep_longer_is_kept_anew_after_one_read() {
    let shared = Shared::new();
    let cache = shared.open(json!({"l1": {"max_ttl_ms": 150}}));
    cache.set(b"k", b"1", SetOptions::default()).expect("stored");
    wait_until("L1 has it no more", || cache.peek(b"k").is_none());
    // It may stay so briefly that a busy machine does not see it.
    wait_until("the read brings it back to L1", || {
        cache.get(b"k").expect("a read");
        cache.peek(b"k").is_some()
    });
    cache.close();
}

#[test]
fn a_lower_limit_of_the_stay_in_l1_holds_for_what_is_there() {
    let shared = Shared::new();
    let (here, there) = (shared.open(json!({})), shared.open(json!({})));
    here.set(b"k", b"old", SetOptions::default()).expect("stored");
    there.set(b"k", b"new", SetOptions::default()).expect("stored");
    here.configure(shared.document(json!({"l1": {"max_ttl_ms": 100}})).as_bytes()).expect("applied");
    assert_eq!(here.get(b"k").expect("a read").expect("an entry").data(), b"new");
    here.close();
    there.close();
}

#[test]
fn a_lower_limit_of_the_stay_in_l1_holds_for_what_is_there_alone() {
    let cache = support::open_alone(json!({}));
    let slides =
        SetOptions { asked: Asked { sliding_ms: 60_000, ..Asked::default() }, ..SetOptions::default() };
    cache.set(b"stays", b"1", SetOptions::default()).expect("stored");
    cache.set(b"slides", b"1", slides).expect("stored");
    let document = json!({"version": 1, "l1": {"max_ttl_ms": 100}, "logging": {"to": "none"}});
    cache.configure(document.to_string().as_bytes()).expect("applied");
    for key in [&b"stays"[..], b"slides"] {
        wait_until("L1 has it no more", || cache.get(key).expect("a read").is_none());
    }
    cache.close();
}

/// Brings L2 back in its first question, and reads in it what the outer call asked for.
struct Repair {
    cache: Mutex<Weak<Cache>>,
    away: PathBuf,
    home: PathBuf,
    has_read: AtomicBool,
}

impl Hook for Repair {
    fn decide(&self, failed: &FailedAttempt) -> Decision {
        if self.away.exists() {
            fs::rename(&self.away, &self.home).expect("L2 is back");
        }
        let cache = self.cache.lock().expect("a lock").upgrade().expect("an open cache");
        let read = cache.get(&failed.key).expect("a read inside the callback");
        self.has_read.store(read.is_some(), Ordering::SeqCst);
        Decision::Retry(0)
    }
}

#[test]
fn a_callback_may_repair_l2_and_read_the_very_key_that_failed() {
    let shared = Shared::new();
    let (home, away) = (shared.folder().join("home"), shared.folder().join("away"));
    fs::create_dir(&home).expect("a folder");
    let more = json!({"l2": {"path": home.join("tokens.db")}, "resilience": {"deadline_ms": 30_000}});
    let cache = shared.open(more);
    cache.set(b"k", b"1", SetOptions::default()).expect("stored");
    cache.clear().expect("cleared");
    fs::rename(&home, &away).expect("L2 is away");
    let repair = Arc::new(Repair {
        cache: Mutex::new(Arc::downgrade(&cache)),
        away,
        home,
        has_read: AtomicBool::new(false),
    });
    cache.on_retry(Some(Arc::clone(&repair) as Arc<dyn Hook>));
    let begin = Instant::now();
    assert_eq!(cache.get(b"k").expect("the outer read").expect("an entry").data(), b"1");
    assert!(begin.elapsed() < Duration::from_secs(20), "it waited for itself: {:?}", begin.elapsed());
    assert!(repair.has_read.load(Ordering::SeqCst));
    cache.close();
}

/// Brings L2 back in its question, and applies a document.
struct Apply {
    cache: Mutex<Weak<Cache>>,
    away: PathBuf,
    home: PathBuf,
    document: String,
}

impl Hook for Apply {
    fn decide(&self, _: &FailedAttempt) -> Decision {
        fs::rename(&self.away, &self.home).expect("L2 is back");
        let cache = self.cache.lock().expect("a lock").upgrade().expect("an open cache");
        cache.configure(self.document.as_bytes()).expect("applied");
        Decision::Retry(0)
    }
}

#[test]
fn a_lower_limit_of_the_stay_in_l1_holds_for_what_is_just_being_set() {
    let shared = Shared::new();
    let (home, away) = (shared.folder().join("home"), shared.folder().join("away"));
    fs::create_dir(&home).expect("a folder");
    let mut more = json!({"l2": {"path": home.join("tokens.db")}, "resilience": {"deadline_ms": 30_000}});
    let cache = shared.open(more.clone());
    cache.set(b"other", b"1", SetOptions::default()).expect("stored");
    fs::rename(&home, &away).expect("L2 is away");
    more["l1"] = json!({"max_ttl_ms": 100});
    let document = shared.document(more);
    let apply = Apply { cache: Mutex::new(Arc::downgrade(&cache)), away, home, document };
    cache.on_retry(Some(Arc::new(apply)));
    cache.set(b"k", b"1", SetOptions::default()).expect("stored");
    wait_until("L1 has it no more", || cache.peek(b"k").is_none());
    assert!(cache.get(b"k").expect("a read").is_some(), "L2 has it");
    cache.close();
}
