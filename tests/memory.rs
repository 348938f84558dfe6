//! L1 keeps its limit in resident memory, not only in its own count.

#[path = "support/cache.rs"]
mod support;

use std::fs;
use std::process::{Command, Stdio};

use serde_json::json;
use support::{is_long, open_alone, statistics};
use tokencache::cache::{Cache, SetOptions};

const LIMIT: u64 = 10_000_000;
const THREADS: &str = "TOKENCACHE_TEST_THREADS";

#[test]
fn resident_memory_stays_at_the_limit_whoever_stores() {
    if let Ok(threads) = std::env::var(THREADS) {
        store_from(threads.parse().expect("a number"));
        return;
    }
    for threads in [1, 4] {
        let status = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "resident_memory_stays_at_the_limit_whoever_stores"])
            .env(THREADS, threads.to_string())
            .stdout(Stdio::null())
            .status();
        assert!(status.expect("a child").success(), "with {threads} threads");
    }
}

fn store_from(threads: u64) {
    let cache = open_alone(json!({"l1": {"capacity_bytes": LIMIT}}));
    let before = peak_bytes();
    let sets = if is_long() { 5_000_000 } else { 400_000 } / threads;
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let cache = &cache;
            scope.spawn(move || store(cache, thread, sets));
        }
    });
    let grown = peak_bytes() - before;
    // The bar for four threads is 5/4. What arenas of the C library add to it depends on how busy the machine is, so
    // benches/run judges it, and this holds what no load explains.
    let allowed = if threads == 1 { LIMIT * 11 / 10 } else { LIMIT * 2 } + 4_000_000;
    eprintln!(
        "{threads} threads, {sets} sets each: +{grown} bytes over a limit of {LIMIT}, {allowed} allowed"
    );
    assert!(grown <= allowed, "grown by {grown} bytes, {allowed} allowed");
    assert!(statistics(&cache)["l1"]["bytes"].as_u64().expect("a number") <= LIMIT);
    cache.close();
}

fn store(cache: &Cache, thread: u64, sets: u64) {
    let value = vec![b't'; 7_500];
    for number in 0..sets {
        let size = 6_500 + (number.wrapping_mul(0x9E37_79B9) >> 16) as usize % 1_000;
        let key = format!("{thread}-{number}");
        cache.set(key.as_bytes(), &value[..size], SetOptions::default()).expect("stored");
    }
}

/// The most that this process has had in memory.
fn peak_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("procfs");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("a peak");
    line.split_whitespace().nth(1).expect("a number").parse::<u64>().expect("a number") * 1024
}

#[test]
fn a_value_of_a_mebibyte_is_admitted_at_the_default_sizes() {
    let cache = open_alone(json!({}));
    for number in 0..100 {
        let key = format!("large-{number}");
        cache.set(key.as_bytes(), &vec![5; 1 << 20], SetOptions::default()).expect("stored");
        assert!(cache.peek(key.as_bytes()).is_some(), "{key}");
    }
    cache.close();
}

#[test]
fn tiny_entries_do_not_push_l1_over_its_limit() {
    let cache = open_alone(json!({"l1": {"capacity_bytes": 65_536}, "limits": {"max_value_bytes": 1024}}));
    for number in 0..20_000_u32 {
        cache.set(&number.to_le_bytes(), b"", SetOptions::default()).expect("stored");
        assert!(cache.peek(&number.to_le_bytes()).is_some());
    }
    assert!(statistics(&cache)["l1"]["bytes"].as_u64().expect("a number") <= 65_536);
    cache.close();
}
