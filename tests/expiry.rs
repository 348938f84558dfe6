//! Until when an entry lives: the earliest of everything asked, configured, and found in the value.

#[path = "support/cache.rs"]
mod support;

use std::fs;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::{Value, json};
use support::{Shared, open_alone, wait_until};
use tokencache::cache::{SetOptions, SetOutcome};
use tokencache::clock;
use tokencache::entry::{Asked, Defaults, Lifetime, NEVER, deadline_ms, last_token_expires_at_ms};

#[test]
fn an_msal_blob_without_refresh_tokens_ends_where_msal_says() {
    let scenarios: Value = serde_json::from_str(&fixture("scenarios.json")).expect("JSON");
    let mut suggested = 0;
    for scenario in scenarios["scenarios"].as_array().expect("a list") {
        for blob in scenario["blobs"].as_array().expect("a list") {
            let file = blob["file"].as_str().expect("a name");
            let found = last_token_expires_at_ms(fixture(file).as_bytes());
            let expected = suggestion(scenario, blob["key"].as_str().expect("a key"));
            assert_eq!(found, expected, "{file}");
            suggested += usize::from(expected.is_some());
        }
    }
    assert!(suggested >= 5, "only {suggested} blobs have a suggestion of MSAL");
}

/// The last expiry that MSAL suggested for this key, when it wrote.
fn suggestion(scenario: &Value, key: &str) -> Option<i64> {
    let notifications = scenario["notifications"].as_array()?;
    let mut writes = notifications.iter().filter(|notification| {
        notification["notification"] == "AfterAccess"
            && notification["HasStateChanged"] == true
            && notification["SuggestedCacheKey"] == key
    });
    parse_utc(writes.next_back()?["SuggestedCacheExpiry"].as_str()?)
}

/// `2026-01-15T12:59:59+00:00` in Unix milliseconds.
fn parse_utc(text: &str) -> Option<i64> {
    let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<i64>().ok();
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    let (y, m) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (m * 306 + 5) / 10 + day - 1 - 719_468;
    Some((((days * 24 + hour) * 60 + minute) * 60 + second) * 1000)
}

fn fixture(name: &str) -> String {
    fs::read_to_string(format!("{}/tests/fixtures/msal/{name}", env!("CARGO_MANIFEST_DIR")))
        .expect("a fixture")
}

#[test]
fn what_is_no_msal_cache_says_nothing() {
    for value in
        ["", "{}", "{", "[]", "null", "{\"AccessToken\": {}}", "{\"AccessToken\": {\"a\": {}}}", "\u{0}"]
    {
        assert_eq!(last_token_expires_at_ms(value.as_bytes()), None, "{value:?}");
    }
}

#[test]
fn a_set_that_has_expired_already_removes() {
    let shared = Shared::new();
    for cache in [open_alone(json!({})), shared.open(json!({}))] {
        cache.set(b"a", b"1", SetOptions::default()).expect("stored");
        let asked = Asked { expires_at_ms: clock::unix_ms() - 1, ..Asked::default() };
        let outcome = cache.set(b"a", b"2", SetOptions { asked, ..SetOptions::default() });
        assert_eq!(outcome, Ok(SetOutcome::Stored(0)));
        assert!(cache.get(b"a").expect("a read").is_none());
        // The blob's only token ended in January 2026.
        let outcome = cache.set(b"b", fixture("app-token.json").as_bytes(), SetOptions::default());
        assert_eq!(outcome, Ok(SetOutcome::Stored(0)));
        cache.close();
    }
}

#[test]
fn an_entry_is_served_until_its_end_and_not_after_it() {
    let shared = Shared::new();
    for cache in
        [open_alone(json!({})), shared.open(json!({})), shared.open(json!({"l1": {"enabled": false}}))]
    {
        // On a busy machine it may be over before anybody looks.
        wait_until("it is served until its end", || {
            let ends = clock::unix_ms() + 300;
            let asked = Asked { expires_at_ms: ends, ..Asked::default() };
            cache.set(b"short", b"1", SetOptions { asked, ..SetOptions::default() }).expect("stored");
            let mut reads = 0;
            loop {
                let now = clock::unix_ms();
                let is_there = cache.get(b"short").expect("a read").is_some();
                assert!(!is_there || now <= ends, "served {} ms after its end", now - ends);
                if !is_there {
                    break reads > 0;
                }
                reads += 1;
            }
        });
        cache.close();
    }
}

#[test]
fn reads_renew_a_sliding_entry_up_to_its_absolute_end() {
    let shared = Shared::new();
    for cache in [open_alone(json!({})), shared.open(json!({}))] {
        // Where the machine stands still for a window, nobody uses it for so long, and it ends.
        wait_until("its window is renewed", || {
            let asked = Asked { sliding_ms: 600, ttl_ms: 2_500, ..Asked::default() };
            cache.set(b"slides", b"1", SetOptions { asked, ..SetOptions::default() }).expect("stored");
            let begin = Instant::now();
            let (mut last, mut at) = (Duration::ZERO, Duration::ZERO);
            while cache.get(b"slides").expect("a read").is_some() {
                assert!(at < Duration::from_millis(2_600), "it outlived its absolute end");
                (last, at) = (at, begin.elapsed());
                std::thread::yield_now();
            }
            last > Duration::from_millis(1_200)
        });
        cache.close();
    }
}

#[test]
fn l1_does_not_keep_an_entry_longer_than_its_own_limit() {
    let shared = Shared::new();
    let cache = shared.open(json!({"l1": {"max_ttl_ms": 200}}));
    wait_until("L1 has it", || {
        cache.set(b"a", b"1", SetOptions::default()).expect("stored");
        cache.peek(b"a").is_some()
    });
    wait_until("L1 has it no more", || cache.peek(b"a").is_none());
    assert!(cache.get(b"a").expect("a read").is_some(), "L2 still has it");
    cache.close();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// L1's end ≤ L2's end ≤ every bound given.
    #[test]
    fn every_bound_holds(
        ttl_ms in prop_oneof![Just(0), Just(NEVER), 1..10_000_000_000_i64],
        expires_in_ms in prop_oneof![Just(0_i64), 1..10_000_000_000_i64],
        sliding_ms in prop_oneof![Just(0), 1..1_000_000_000_i64],
        default_ttl_ms in prop_oneof![Just(NEVER), 1..10_000_000_000_i64],
        default_sliding_ms in prop_oneof![Just(0), 1..1_000_000_000_i64],
        found_in_ms in prop_oneof![Just(None), (1..10_000_000_000_i64).prop_map(Some)],
        max_ttl_ms in prop_oneof![Just(0), 1..1_000_000_000_i64],
    ) {
        let (unix, monotonic) = (clock::unix_ms(), clock::monotonic_ms());
        let expires_at_ms = if expires_in_ms == 0 { 0 } else { unix + expires_in_ms };
        let asked = Asked { ttl_ms, expires_at_ms, sliding_ms };
        let defaults = Defaults { ttl_ms: default_ttl_ms, sliding_ms: default_sliding_ms };
        let found = found_in_ms.map(|after| unix + after);
        let lifetime = Lifetime::resolve(asked, defaults, found, unix);
        let l2_ends = lifetime.ends_at_ms(unix);
        let l2_left = if l2_ends == 0 { i64::MAX } else { l2_ends - unix };
        let l1_ends = deadline_ms(l2_ends, max_ttl_ms);
        // The clocks are read a moment apart, longer where this thread gets no turn in between.
        let apart = clock::monotonic_ms() - monotonic + 20;
        let l1_left = if l1_ends == i64::MAX { i64::MAX } else { l1_ends - monotonic };

        let is_silent = ttl_ms == 0 && expires_in_ms == 0;
        let mut bounds = vec![];
        if ttl_ms > 0 { bounds.push(ttl_ms); }
        if expires_in_ms > 0 { bounds.push(expires_in_ms); }
        if is_silent && default_ttl_ms > 0 { bounds.push(default_ttl_ms); }
        if is_silent { bounds.extend(found_in_ms); }
        let window = if sliding_ms == 0 { default_sliding_ms } else { sliding_ms };
        if window > 0 { bounds.push(window); }
        for bound in &bounds {
            prop_assert!(l2_left <= *bound, "L2 keeps it {l2_left} ms, asked {bound}");
        }
        prop_assert_eq!(bounds.is_empty(), l2_left == i64::MAX);
        prop_assert!(l1_left <= l2_left.saturating_add(apart), "L1 {l1_left} L2 {l2_left}");
        if max_ttl_ms > 0 { prop_assert!(l1_left <= max_ttl_ms + apart); }
    }
}
