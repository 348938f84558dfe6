//! The tiers together: single flight, versions, compare-and-swap, local-only entries, what L1 keeps.

#[path = "support/cache.rs"]
mod support;

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};

use serde_json::json;
use support::{Shared, is_long, open_alone, statistics};
use tokencache::cache::{Base, Cache, SetOptions, SetOutcome};
use tokencache::entry::{Entry, Tier};

fn expecting(expected_version: u64) -> SetOptions {
    SetOptions { expected_version, ..SetOptions::default() }
}

fn local() -> SetOptions {
    SetOptions { is_local: true, ..SetOptions::default() }
}

fn version(outcome: tokencache::error::Result<SetOutcome>) -> u64 {
    match outcome.expect("a write") {
        SetOutcome::Stored(version) => version,
        SetOutcome::Owed(_) => panic!("owed to L2"),
        SetOutcome::Conflict => panic!("a conflict"),
    }
}

#[test]
fn the_first_read_is_answered_by_l2_and_the_next_by_l1() {
    let shared = Shared::new();
    let writer = shared.open(json!({}));
    writer.set(b"alice", b"token", SetOptions::default()).expect("stored");
    let reader = shared.open(json!({}));
    let first = reader.get(b"alice").expect("a read").expect("an entry");
    let second = reader.get(b"alice").expect("a read").expect("an entry");
    assert_eq!((first.tier(), second.tier()), (Tier::L2, Tier::L1));
    assert_eq!((first.data(), second.data()), (&b"token"[..], &b"token"[..]));
    assert_eq!(first.data().as_ptr(), second.data().as_ptr(), "both show the same bytes");
    assert_eq!(first.version(), second.version());
    reader.close();
    assert_eq!(second.data(), b"token", "values outlive their cache");
    writer.close();
}

#[test]
fn sixty_four_threads_that_miss_one_key_make_one_read_of_l2() {
    let shared = Shared::new();
    let cache = shared.open(json!({}));
    let size = 900_000;
    for round in 0..20 {
        let key = format!("missed-{round}");
        cache.set(key.as_bytes(), &vec![7; size], SetOptions::default()).expect("stored");
        cache.clear().expect("cleared");
        let before = statistics(&cache)["l2"]["hits"].as_u64().expect("a number");
        let (start, key) = (Barrier::new(64), key.as_bytes());
        std::thread::scope(|scope| {
            for _ in 0..64 {
                scope.spawn(|| {
                    start.wait();
                    let entry = cache.get(key).expect("a read").expect("an entry");
                    assert_eq!(entry.data().len(), size);
                });
            }
        });
        let reads = statistics(&cache)["l2"]["hits"].as_u64().expect("a number") - before;
        assert_eq!(reads, 1, "in round {round}");
    }
    cache.close();
}

#[test]
fn compare_and_swap_refuses_what_is_not_there() {
    let shared = Shared::new();
    for cache in
        [open_alone(json!({})), shared.open(json!({})), shared.open(json!({"l1": {"enabled": false}}))]
    {
        cache.remove(b"k").expect("removed");
        let first = version(cache.set(b"k", b"1", expecting(u64::MAX)));
        assert_eq!(cache.set(b"k", b"2", expecting(u64::MAX)), Ok(SetOutcome::Conflict));
        let second = version(cache.set(b"k", b"2", expecting(first)));
        assert!(second > first);
        assert_eq!(cache.set(b"k", b"3", expecting(first)), Ok(SetOutcome::Conflict));
        assert_eq!(cache.get(b"k").expect("a read").expect("an entry").data(), b"2");
        cache.remove(b"k").expect("removed");
        assert_eq!(cache.set(b"k", b"4", expecting(second)), Ok(SetOutcome::Conflict), "it is gone");
        assert!(cache.get(b"k").expect("a read").is_none());
        let again = version(cache.set(b"k", b"5", expecting(u64::MAX)));
        assert!(again > second, "versions never repeat");
        cache.close();
    }
}

#[test]
fn threads_that_compare_and_swap_in_l1_alone_lose_nothing() {
    let cache = open_alone(json!({}));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| increment(&cache, 500));
        }
    });
    assert_eq!(number(&cache), 4_000);
    cache.close();
}

#[test]
fn a_plain_set_is_not_lost_to_a_compare_and_swap_of_what_was_before_it() {
    let cache = open_alone(json!({}));
    let is_over = AtomicBool::new(false);
    // Each says of which plain set it was made.
    let read = || cache.get(b"k").expect("a read");
    let round = |entry: &Entry| u32::from_le_bytes(entry.data()[..4].try_into().expect("four bytes"));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    if let Some(before) = read() {
                        cache.set(b"k", before.data(), expecting(before.version())).expect("an answer");
                    }
                }
            });
        }
        let is_lost = |number: &u32| {
            let stored = cache.set(b"k", &number.to_le_bytes(), SetOptions::default());
            stored.is_err() || read().is_none_or(|entry| round(&entry) != *number)
        };
        let lost = (0..200_000).find(is_lost);
        is_over.store(true, Ordering::Relaxed);
        assert_eq!(lost, None);
    });
    cache.close();
}

const INCREMENTS: &str = "TOKENCACHE_TEST_INCREMENTS";

#[test]
fn eight_processes_that_compare_and_swap_lose_nothing() {
    let shared = Shared::new();
    let document = shared.document(json!({"resilience": {"deadline_ms": 30_000}}));
    if let Ok(document) = std::env::var(INCREMENTS) {
        let cache = Cache::open(document.as_bytes()).expect("opens");
        increment(&cache, 200);
        cache.close();
        return;
    }
    let children: Vec<_> = (0..8)
        .map(|_| {
            Command::new(std::env::current_exe().expect("this program"))
                .args(["--exact", "eight_processes_that_compare_and_swap_lose_nothing"])
                .env(INCREMENTS, &document)
                .stdout(Stdio::null())
                .spawn()
                .expect("a child")
        })
        .collect();
    for mut child in children {
        assert!(child.wait().expect("its end").success());
    }
    let cache = Cache::open(document.as_bytes()).expect("opens");
    assert_eq!(number(&cache), 1_600);
    cache.close();
}

fn increment(cache: &Cache, times: u64) {
    for _ in 0..times {
        loop {
            let entry = cache.get(b"counter").expect("a read");
            let (now, version) = entry.map_or((0, u64::MAX), |entry| (parse(entry.data()), entry.version()));
            let next = (now + 1).to_string();
            match cache.set(b"counter", next.as_bytes(), expecting(version)).expect("a write") {
                SetOutcome::Stored(_) => break,
                SetOutcome::Owed(_) => panic!("owed to L2"),
                SetOutcome::Conflict => {}
            }
        }
    }
}

fn number(cache: &Cache) -> u64 {
    parse(cache.get(b"counter").expect("a read").expect("an entry").data())
}

fn parse(data: &[u8]) -> u64 {
    std::str::from_utf8(data).expect("text").parse().expect("a number")
}

#[test]
fn a_local_only_entry_hides_the_shared_one_until_it_goes() {
    let shared = Shared::new();
    let (here, there) = (shared.open(json!({})), shared.open(json!({})));
    there.set(b"k", b"shared", SetOptions::default()).expect("stored");
    here.set(b"k", b"mine", local()).expect("stored");
    assert_eq!(here.get(b"k").expect("a read").expect("an entry").data(), b"mine");
    assert_eq!(there.get(b"k").expect("a read").expect("an entry").data(), b"shared");
    here.clear().expect("cleared");
    assert_eq!(here.get(b"k").expect("a read").expect("an entry").data(), b"shared");
    here.set(b"k", b"mine", local()).expect("stored");
    here.set(b"k", b"ours", SetOptions::default()).expect("stored");
    assert_eq!(here.get(b"k").expect("a read").expect("an entry").data(), b"ours");
    here.set(b"k", b"mine", local()).expect("stored");
    here.remove(b"k").expect("removed");
    assert!(here.get(b"k").expect("a read").is_none(), "a remove takes both");
    here.close();
    there.close();
}

#[test]
fn a_merge_that_leaves_nothing_leaves_no_local_only_entry_either() {
    let shared = Shared::new();
    let cache = shared.open(json!({}));
    version(cache.remove(b"k"));
    let (data, version) = (b"{}", version(cache.set(b"k", b"{}", local())));
    let base = Some(Base { data, version });
    let (outcome, left) = cache.set_merged(b"k", base, data, SetOptions::default()).expect("merged");
    assert_eq!((outcome, left.is_some()), (SetOutcome::Stored(0), false));
    assert!(cache.get(b"k").expect("a read").is_none());
}

#[test]
fn an_overwritten_entry_is_never_missed_while_it_is_overwritten() {
    let cache = open_alone(json!({}));
    cache.set(b"k", b"0", SetOptions::default()).expect("stored");
    let rounds = if is_long() { 2_000_000 } else { 100_000 };
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for round in 0..rounds {
                cache.set(b"k", format!("{round}").as_bytes(), SetOptions::default()).expect("stored");
            }
        });
        while !writer.is_finished() {
            assert!(cache.get(b"k").expect("a read").is_some());
        }
    });
    cache.close();
}

#[test]
fn of_many_fresh_sets_into_a_full_hot_cache_each_is_readable_at_once_and_the_newest_eighth_stays() {
    let capacity = 10 * 1024 * 1024;
    let cache = open_alone(json!({"l1": {"capacity_bytes": capacity}}));
    let value = vec![1; 7_000];
    for number in 0..1_500 {
        cache.set(format!("hot-{number}").as_bytes(), &value, SetOptions::default()).expect("stored");
    }
    for _ in 0..20 {
        for number in 0..1_500 {
            let _ = cache.peek(format!("hot-{number}").as_bytes());
        }
    }
    for number in 0..20_000 {
        let key = format!("fresh-{number}");
        cache.set(key.as_bytes(), &value, SetOptions::default()).expect("stored");
        assert!(cache.peek(key.as_bytes()).is_some(), "{key} is not readable right after it was set");
    }
    let newest = capacity / 8 / 7_000;
    for number in 20_000 - newest..20_000 {
        assert!(cache.peek(format!("fresh-{number}").as_bytes()).is_some(), "fresh-{number} has gone");
    }
    assert!(statistics(&cache)["l1"]["bytes"].as_u64().expect("a number") <= capacity);
    cache.close();
}

#[test]
fn an_entry_that_l1_cannot_hold_lives_in_l2_alone_or_is_refused_where_there_is_none() {
    let shared = Shared::new();
    let small = json!({"l1": {"capacity_bytes": 65_536}, "limits": {"max_value_bytes": 1_048_576}});
    let cache = shared.open(small.clone());
    let big = vec![3; 1_000_000];
    cache.set(b"big", &big, SetOptions::default()).expect("stored");
    assert!(cache.peek(b"big").is_none());
    assert_eq!(cache.get(b"big").expect("a read").expect("an entry").data(), big);
    cache.close();
    let cache = open_alone(small);
    let refused = cache.set(b"big", &big, SetOptions::default()).expect_err("too large");
    assert_eq!(refused.kind.name(), "TC_VALUE_TOO_LARGE");
    cache.close();
}

#[test]
fn another_process_that_removes_and_stores_again_is_told_from_what_was_read() {
    let shared = Shared::new();
    let (a, b) = (shared.open(json!({})), shared.open(json!({})));
    let seen = version(a.set(b"k", b"same", SetOptions::default()));
    b.remove(b"k").expect("removed");
    b.set(b"k", b"same", SetOptions::default()).expect("stored");
    assert_eq!(a.set(b"k", b"late", expecting(seen)), Ok(SetOutcome::Conflict));
    // The conflict told us: what L1 holds is checked before it is served.
    assert!(a.get(b"k").expect("a read").expect("an entry").version() > seen);
    a.close();
    b.close();
}

#[test]
fn threads_of_one_cache_read_their_own_writes() {
    let shared = Shared::new();
    let cache: Arc<Cache> = shared.open(json!({}));
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let cache = &cache;
            scope.spawn(move || {
                for round in 0..500_u32 {
                    let key = format!("own-{thread}");
                    cache.set(key.as_bytes(), &round.to_le_bytes(), SetOptions::default()).expect("stored");
                    let read = cache.get(key.as_bytes()).expect("a read").expect("an entry");
                    assert_eq!(read.data(), round.to_le_bytes());
                }
            });
        }
    });
    cache.close();
}
