//! The tier in memory by itself: its limit, who goes, and readers beside writers.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

use tokencache::entry::{Entry, Parts};
use tokencache::l1::{Arrival, L1};

fn tier(capacity_bytes: u64) -> L1 {
    L1::new(capacity_bytes, true).expect("memory for its tables")
}

fn put(l1: &L1, key: &str, data: &[u8], arrival: Arrival) {
    let _turn = l1.turn(0);
    l1.put(Entry::new(Parts::lasting(key.as_bytes(), data)).expect("memory for an entry"), arrival);
}

#[test]
fn an_entry_that_may_not_stay_costs_more_for_its_limits() {
    let cost_bytes = |stay_until_ms| {
        let l1 = tier(1 << 20);
        let parts = Parts { stay_until_ms, ..Parts::lasting(b"key", &[0; 8 * 1024]) };
        l1.put(Entry::new(parts).expect("memory for an entry"), Arrival::Written);
        l1.bytes()
    };
    let more_bytes = cost_bytes(1 << 40) - cost_bytes(i64::MAX);
    assert!((16..=32).contains(&more_bytes), "24, in pieces of 16: {more_bytes}");
}

/// As a read does, which is noted.
fn found(l1: &L1, key: &str) -> Option<Vec<u8>> {
    let entry = l1.get(key.as_bytes())?;
    entry.mark_read();
    Some(entry.data().to_vec())
}

#[test]
fn any_history_keeps_the_limit_and_answers_with_what_was_stored_last() {
    const CAPACITY_BYTES: u64 = 200_000;
    let mut random = fastrand::Rng::with_seed(7);
    let (l1, mut stored) = (tier(CAPACITY_BYTES), HashMap::new());
    for step in 0..200_000_u32 {
        let key = format!("key{}", random.u32(..2_000));
        match random.u32(..10) {
            0..4 => {
                let data = vec![step as u8; random.usize(..if step % 100 == 0 { 100_000 } else { 1_500 })];
                put(&l1, &key, &data, if random.bool() { Arrival::Written } else { Arrival::Read });
                assert_eq!(
                    found(&l1, &key).as_ref(),
                    Some(&data),
                    "right after it was stored, {} bytes",
                    data.len()
                );
                stored.insert(key, data);
            }
            4 => {
                l1.remove(key.as_bytes());
                stored.remove(&key);
                assert_eq!(found(&l1, &key), None, "it was removed");
            }
            _ => {
                if let Some(data) = found(&l1, &key) {
                    assert_eq!(stored.get(&key), Some(&data), "what is there is what was stored last");
                }
            }
        }
        assert!(l1.bytes() <= CAPACITY_BYTES, "{} bytes", l1.bytes());
    }
    assert!(l1.evictions() > 0 && l1.entries() > 0);
    l1.clear();
    assert_eq!((l1.entries(), l1.bytes()), (0, 0));
}

#[test]
fn many_small_entries_find_places_beyond_the_first() {
    const ENTRIES: usize = 40_000;
    let l1 = tier(16 << 20);
    let keys: Vec<String> = (0..ENTRIES).map(|number| format!("a{number}")).collect();
    for key in &keys {
        put(&l1, key, b"1", Arrival::Written);
    }
    assert_eq!((l1.entries(), l1.evictions()), (ENTRIES as u64, 0), "all fit, {} bytes", l1.bytes());
    assert!(keys.iter().all(|key| found(&l1, key).is_some()));
    l1.set_capacity_bytes(1 << 20);
    assert!(l1.bytes() <= 1 << 20 && l1.entries() > 1_000);
    l1.sweep(i64::MAX);
    assert_eq!(l1.entries(), 0, "what is dead by the clock");
}

#[test]
fn what_is_read_from_l2_does_not_push_out_what_was_written_lately() {
    for read_before in [0, 1_000] {
        let l1 = tier(1 << 20);
        let read = |numbers: std::ops::Range<usize>| {
            for number in numbers {
                let key = format!("read{number}");
                put(&l1, &key, &[0; 1_000], Arrival::Read);
                found(&l1, &key);
            }
        };
        read(0..read_before);
        let written: Vec<String> = (0..100).map(|number| format!("written{number}")).collect();
        for key in &written {
            put(&l1, key, &[1; 1_000], Arrival::Written);
        }
        read(1_000..20_000);
        let lost = written.iter().filter(|key| found(&l1, key).is_none()).count();
        assert_eq!(lost, 0, "a tenth of the capacity, after {read_before} reads");
    }
}

#[test]
fn what_replaces_an_old_entry_lately_stays_whatever_is_hot() {
    let l1 = tier(1 << 20);
    let keys: Vec<String> = (0..1_060).map(|number| format!("a{number}")).collect();
    let write = |keys: &[String]| keys.iter().for_each(|key| put(&l1, key, &[0; 800], Arrival::Written));
    write(&keys);
    assert_eq!(l1.evictions(), 0, "there is room for all, {} bytes", l1.bytes());
    let (replaced, hot) = keys.split_at(50);
    write(replaced);
    for number in 0..60 {
        for key in hot {
            found(&l1, key);
        }
        put(&l1, &format!("b{number}"), &[0; 800], Arrival::Written);
    }
    let lost = replaced.iter().filter(|key| found(&l1, key).is_none()).count();
    assert_eq!((lost, l1.evictions() > 0), (0, true), "they and what came after is a tenth of the capacity");
}

#[test]
fn one_value_may_fill_the_tier_and_one_that_does_not_fit_leaves_nothing_old() {
    let l1 = tier(1 << 20);
    for number in 0..100 {
        put(&l1, &format!("a{number}"), &[0; 9_000], Arrival::Written);
    }
    put(&l1, "large", &[1; 950_000], Arrival::Written);
    assert!(found(&l1, "large").is_some() && l1.bytes() <= 1 << 20);
    put(&l1, "large", &[2; 1 << 20], Arrival::Written);
    assert_eq!(found(&l1, "large"), None);
    l1.enable(false);
    put(&l1, "a", b"1", Arrival::Written);
    assert_eq!((found(&l1, "a"), l1.entries()), (None, 0), "it is off");
}

#[test]
fn readers_beside_writers_see_whole_entries_of_their_key() {
    let l1 = tier(100_000);
    let keys: Vec<String> = (0..60).map(|number| format!("key{number}")).collect();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for seed in 0..2 {
            let (l1, keys, is_over) = (&l1, &keys, &is_over);
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(seed);
                for _ in 0..60_000 {
                    let key = &keys[random.usize(..keys.len())];
                    let arrival = if random.bool() { Arrival::Written } else { Arrival::Read };
                    match random.u32(..8) {
                        0 => l1.remove(key.as_bytes()),
                        _ => put(l1, key, &key.repeat(random.usize(1..700)).into_bytes(), arrival),
                    }
                }
                is_over.store(true, Ordering::Release);
            });
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(seed + 2);
                let mut hits = 0_u64;
                while !is_over.load(Ordering::Acquire) {
                    let key = &keys[random.usize(..keys.len())];
                    if let Some(entry) = l1.get(key.as_bytes()) {
                        assert_eq!(entry.key(), key.as_bytes());
                        let is_whole = entry.data().chunks(key.len()).all(|part| part == key.as_bytes());
                        assert!(is_whole, "the bytes of {key}");
                        hits += 1;
                    }
                }
                assert!(hits > 0);
            });
        }
    });
}
