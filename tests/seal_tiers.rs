//! The seal between the tiers, on both kinds of L2: what lies there, what comes back, and what never does.

#[path = "support/crypto.rs"]
mod crypto;
#[path = "support/sealed.rs"]
mod sealed;
#[path = "support/redis.rs"]
mod support;

use std::time::Duration;

use crypto::key_id;
use sealed::heard::Heard;
use sealed::*;
use serde_json::json;
use support::{Server, wait_until};
use tokencache::cache::{Base, Cache, SetOptions, SetOutcome};
use tokencache::clock;
use tokencache::entry::{Asked, Tier};

const ONE: &[(&str, u8)] = &[("active", 1)];
const RETIRED: u32 = 1;
/// Nothing that a ciphertext has by chance.
const TOKEN: &[u8] = b"{\"secret\": \"a token that nobody else is to read\"}";

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[test]
fn what_lies_in_l2_is_an_envelope_and_l1_has_the_value() {
    everywhere(|place| {
        let cache = open_with(place, sealing(ONE, json!({})));
        for length in [0, 1, 2, TOKEN.len(), 7_000, 65_536] {
            let value: Vec<u8> = TOKEN.iter().copied().cycle().take(length).collect();
            set(&cache, "alice", &value);
            let envelope = place.bytes(&name("alice")).expect("an entry");
            assert_eq!(envelope.len(), length + 128);
            assert!(envelope.starts_with(b"\xF6TKC"));
            assert!(!holds(&envelope, b"secret"));
            let here = entry(&cache, "alice");
            assert_eq!((here.data(), here.tier(), here.flags()), (&value[..], Tier::L1, 0));
            cache.clear().expect("cleared");
            let there = entry(&cache, "alice");
            assert_eq!((there.data(), there.tier(), there.version()), (&value[..], Tier::L2, here.version()));
            assert_eq!(entry(&cache, "alice").tier(), Tier::L1, "opened once, and kept open");
        }
    });
}

#[test]
fn the_same_value_set_twice_has_another_version_and_other_bytes() {
    everywhere(|place| {
        let cache = open(place, ONE, json!({}));
        let mut seen: Vec<(u64, Vec<u8>)> = Vec::new();
        for _ in 0..5 {
            let version = set(&cache, "k", TOKEN);
            assert_eq!(entry(&cache, "k").version(), version);
            seen.push((version, place.bytes(&name("k")).expect("an entry")));
        }
        for (index, (version, bytes)) in seen.iter().enumerate() {
            for (other, others) in &seen[..index] {
                assert!(version != other && bytes[48..] != others[48..]);
            }
        }
    });
}

#[test]
fn threads_that_compare_and_swap_lose_no_update_under_the_seal() {
    everywhere(|place| {
        let caches = [open(place, ONE, json!({})), open_with(place, sealing(ONE, json!({})))];
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let cache = &caches[thread % 2];
                scope.spawn(move || (0..25).for_each(|_| increment(cache)));
            }
        });
        assert_eq!(entry(&caches[0], "n").data(), b"200");
    });
}

fn increment(cache: &Cache) {
    loop {
        let seen = cache.get(b"n").expect("a read");
        let number = |bytes: &[u8]| String::from_utf8_lossy(bytes).parse::<u64>().expect("a number");
        let (now, version) = seen.map_or((0, u64::MAX), |entry| (number(entry.data()), entry.version()));
        if set_over(cache, "n", (now + 1).to_string().as_bytes(), version).is_some() {
            return;
        }
    }
}

#[test]
fn a_compare_and_swap_notices_whoever_wrote_in_between() {
    everywhere(|place| {
        let (cache, other) = (open(place, ONE, json!({})), open(place, ONE, json!({})));
        let plain = open_plain(place);
        let first = set_over(&cache, "k", b"1", u64::MAX).expect("nothing was there");
        assert_eq!(set_over(&cache, "k", b"2", u64::MAX), None);
        // The same value again is a write as any other.
        let second = set(&other, "k", b"1");
        assert_eq!(set_over(&cache, "k", b"2", first), None);
        set(&plain, "k", b"1");
        assert_eq!(set_over(&cache, "k", b"2", second), None);
        let third = set(&cache, "k", b"1");
        place.put(&name("k"), b"1");
        assert_eq!(set_over(&cache, "k", b"2", third), None, "a writer that knows nothing of versions");
        assert_eq!(place.bytes(&name("k")).as_deref(), Some(&b"1"[..]), "a conflict writes nothing");
        let fourth = set(&cache, "k", b"1");
        assert!(set_over(&cache, "k", b"2", fourth).is_some());
        assert_eq!(entry(&cache, "k").data(), b"2");
    });
}

#[test]
fn a_stock_writer_that_sets_data_alone_is_a_conflict() {
    let Some(server) = Server::start() else { return };
    let cache = open(&server, ONE, json!({}));
    let seen = set(&cache, "k", TOKEN);
    server.ask::<()>("HSET p:k data theirs");
    assert_eq!(set_over(&cache, "k", b"late", seen), None);
    assert_eq!(server.ask::<String>("HGET p:k data"), "theirs");
    assert_eq!(refusal(cache.get(b"k")).0, "TC_SEAL_FOREIGN");
}

#[test]
fn a_plain_entry_is_refused_until_plain_text_is_accepted_and_then_the_first_set_seals_it() {
    everywhere(|place| {
        let plain = open_plain(place);
        let seen = set(&plain, "k", TOKEN);
        let strict = open(place, ONE, json!({}));
        let (status, message) = refusal(strict.get(b"k"));
        assert_eq!(status, "TC_SEAL_FOREIGN");
        assert!(
            message.contains("plain JSON") && message.contains("/encryption/accept_plaintext"),
            "{message}"
        );
        assert!(!message.contains("secret"), "{message}");
        assert_eq!(refused(&strict, "TC_SEAL_FOREIGN"), 1);

        let patient = open(place, ONE, json!({ "accept_plaintext": true }));
        let read = entry(&patient, "k");
        assert_eq!((read.data(), read.version(), read.flags()), (TOKEN, seen, 0));
        assert_eq!(encryption(&patient)["accepted_plaintext"], 1);
        assert_eq!(place.bytes(&name("k")).as_deref(), Some(TOKEN), "a read moves nothing");
        set_over(&patient, "k", TOKEN, seen).expect("nobody came between");
        assert_eq!(place.bytes(&name("k")).expect("an entry").len(), TOKEN.len() + 128);
        assert_eq!(entry(&strict, "k").data(), TOKEN);
    });
}

#[test]
fn what_others_sealed_is_not_plain_text() {
    everywhere(|place| {
        let patient = open(place, ONE, json!({ "accept_plaintext": true }));
        for (bytes, words) in [(&b"\x1F\x8B\x08 and so on"[..], "gzip"), (b"gAAAAABm", "Fernet")] {
            place.put(&name("k"), bytes);
            let (status, message) = refusal(patient.get(b"k"));
            assert!(status == "TC_SEAL_FOREIGN" && message.contains(words), "{status} {message}");
        }
    });
}

#[test]
fn a_cache_without_a_ring_never_hands_out_an_envelope() {
    everywhere(|place| {
        set(&open(place, ONE, json!({})), "k", TOKEN);
        let plain = open_plain(place);
        let (status, message) = refusal(plain.get(b"k"));
        assert_eq!(status, "TC_SEAL_UNKNOWN_KEY");
        for words in [&key_id(1).to_string()[..], "no key ring", "\"Keys differ between machines\""] {
            assert!(message.contains(words), "{message}");
        }
        set(&plain, "k", b"plain");
        assert_eq!(entry(&plain, "k").data(), b"plain", "a set heals it");
    });
}

#[test]
fn an_end_that_was_sealed_holds_whatever_l2_says() {
    everywhere(|place| {
        let cache = open(place, ONE, json!({}));
        let mut end = 0;
        // On a busy machine it may be over before anybody can keep it.
        wait_until("an entry is kept beyond its end", || {
            end = clock::unix_ms() + 400;
            let asked = Asked { expires_at_ms: end, ..Asked::default() };
            cache.set(b"k", TOKEN, SetOptions { asked, ..SetOptions::default() }).expect("stored");
            place.keep(&name("k"))
        });
        wait_until("it is over", || clock::unix_ms() > end);
        assert!(place.bytes(&name("k")).is_some(), "L2 still has it");
        assert!(cache.get(b"k").expect("no error").is_none());
        assert_eq!(encryption(&cache)["ended_by_their_seal"], 1);
    });
}

#[test]
fn an_end_that_was_sealed_holds_in_l1_too_however_the_entry_is_renewed() {
    everywhere(|place| {
        let (writer, cache) = (open(place, ONE, json!({})), open_with(place, sealing(ONE, json!({}))));
        let mut end = 0;
        wait_until("an entry is kept beyond its end, and renewed before", || {
            end = clock::unix_ms() + 1000;
            let asked = Asked { expires_at_ms: end, sliding_ms: 60_000, ..Asked::default() };
            writer.set(b"k", TOKEN, SetOptions { asked, ..SetOptions::default() }).expect("stored");
            let is_kept = place.keep(&name("k")) && cache.get(b"k").expect("no error").is_some();
            is_kept && cache.touch(b"k").expect("no error") && clock::unix_ms() < end
        });
        wait_until("it is over", || clock::unix_ms() > end);
        assert!(cache.get(b"k").expect("no error").is_none());
    });
}

#[test]
fn an_end_that_was_sealed_outlives_a_merge_with_what_was_owed() {
    let place = Sqlite::new();
    let mut members = sealing(ONE, json!({}));
    support::cache::merge(&mut members, json!({ "resilience": { "deadline_ms": 300 } }));
    let cache = open_with(&place, members);
    let end = clock::unix_ms() + 3_600_000;
    let asked = Asked { expires_at_ms: end, ..Asked::default() };
    let options = SetOptions { asked, ..SetOptions::default() };
    let document =
        |client: &str| format!(r#"{{"AppMetadata": {{"{client}": {{"client_id": "{client}"}}}}}}"#);
    cache.set(b"k", document("a").as_bytes(), options).expect("stored");
    let before = entry(&cache, "k");
    assert!(place.keep(&name("k")));
    let held = place.hold();
    let base = Base { data: before.data(), version: before.version() };
    let owed = cache.set_merged(b"k", Some(base), document("b").as_bytes(), options).expect("merged").0;
    assert!(matches!(owed, SetOutcome::Owed(_)), "{owed:?}");
    held.execute_batch("COMMIT").expect("committed");
    assert!(cache.flush(Duration::from_secs(60)));
    cache.clear().expect("cleared");
    assert_eq!(entry(&cache, "k").lifetime().expires_at_ms, end);
}

#[test]
fn what_is_longer_than_a_value_may_be_is_not_merged_with() {
    everywhere(|place| {
        let cache = open_with(place, json!({ "limits": { "max_value_bytes": 1000 } }));
        set(&cache, "k", b"{}");
        let long = format!(r#"{{"AppMetadata": {{"a": {{"client_id": "{}"}}}}}}"#, "a".repeat(1000));
        place.put(&name("k"), long.as_bytes());
        let base = Base { data: long.as_bytes(), version: 0 };
        let refused = cache.set_merged(b"k", Some(base), b"{}", SetOptions::default()).expect_err("refused");
        assert_eq!(refused.kind.name(), "TC_VALUE_TOO_LARGE");
        assert!(refused.message.starts_with("L2 holds a value of "), "{refused}");
    });
}

#[test]
fn an_earlier_end_that_was_sealed_is_the_one_that_is_told() {
    everywhere(|place| {
        let cache = open(place, ONE, json!({}));
        let end = clock::unix_ms() + 3_600_000;
        let asked = Asked { expires_at_ms: end, ..Asked::default() };
        cache.set(b"k", TOKEN, SetOptions { asked, ..SetOptions::default() }).expect("stored");
        assert!(place.keep(&name("k")));
        assert_eq!(entry(&cache, "k").lifetime().expires_at_ms, end);
    });
}

#[test]
fn what_cannot_be_opened_is_a_miss_where_the_document_says_so_counted_and_logged() {
    everywhere(|place| {
        set(&open(place, &[("active", 2)], json!({})), "k", TOKEN);
        let cache = open(place, ONE, json!({ "unreadable": "miss" }));
        let heard = Heard::of(&cache);
        assert!(cache.get(b"k").expect("no error").is_none());
        place.put(&name("plain"), TOKEN);
        assert!(cache.get(b"plain").expect("no error").is_none());
        assert_eq!(encryption(&cache)["unreadable_as_misses"], 2);
        assert_eq!(refused(&cache, "TC_SEAL_UNKNOWN_KEY"), 1);
        assert_eq!(refused(&cache, "TC_SEAL_FOREIGN"), 1);
        assert!(heard.says(&["warn encryption: ", "status=TC_NOT_FOUND", &key_id(2).to_string()]));
        assert!(heard.says(&["status=TC_NOT_FOUND", "plain JSON"]));
        assert!(!heard.says(&["secret"]));
        set(&cache, "k", b"anew");
        assert_eq!(entry(&cache, "k").data(), b"anew");
    });
}

#[test]
fn an_entry_under_a_retired_key_says_so_until_it_is_set_again() {
    everywhere(|place| {
        set(&open(place, ONE, json!({})), "k", TOKEN);
        let rotated = &[("active", 2), ("retired", 1)];
        for cache in [open(place, rotated, json!({})), open_with(place, sealing(rotated, json!({})))] {
            for _ in 0..2 {
                let read = entry(&cache, "k");
                assert_eq!((read.data(), read.flags()), (TOKEN, RETIRED), "from {:?}", read.tier());
            }
            assert!(encryption(&cache)["opened_by_retired_keys"].as_u64() >= Some(1));
        }
        let cache = open(place, rotated, json!({}));
        set_over(&cache, "k", TOKEN, entry(&cache, "k").version())
            .expect("a retired key keeps versions true");
        assert_eq!(entry(&cache, "k").flags(), 0);
        let alone = open(place, &[("active", 2)], json!({}));
        assert_eq!(entry(&alone, "k").data(), TOKEN, "the old key is not needed any more");
    });
}

#[test]
fn an_entry_under_a_revoked_key_stays_shut() {
    everywhere(|place| {
        set(&open(place, ONE, json!({})), "k", TOKEN);
        let cache = open(place, &[("active", 2), ("revoked", 1)], json!({}));
        for times in 1..=3 {
            let (status, message) = refusal(cache.get(b"k"));
            assert_eq!(status, "TC_SEAL_REVOKED_KEY");
            assert!(message.contains(&key_id(1).to_string()) && message.contains("is revoked"), "{message}");
            assert_eq!(refused(&cache, status), times);
        }
    });
}

#[test]
fn every_refusal_is_counted_under_its_name_and_no_other() {
    everywhere(|place| {
        set(&open(place, &[("active", 3)], json!({})), "unknown", TOKEN);
        set(&open(place, &[("active", 2)], json!({})), "revoked", TOKEN);
        let cache = open(place, &[("active", 1), ("revoked", 2)], json!({}));
        set(&cache, "whole", TOKEN);
        let whole = place.bytes(&name("whole")).expect("an entry");
        let altered = |at: usize, byte: u8| {
            let mut bytes = whole.clone();
            bytes[at] = byte;
            bytes
        };
        place.put(&name("moved"), &whole);
        place.put(&name("broken"), &whole[..100]);
        place.put(&name("newer"), &altered(4, 2));
        place.put(&name("foreign"), TOKEN);
        let cases = [
            ("unknown", "TC_SEAL_UNKNOWN_KEY"),
            ("revoked", "TC_SEAL_REVOKED_KEY"),
            ("moved", "TC_SEAL_WRONG_CONTEXT"),
            ("broken", "TC_SEAL_BROKEN"),
            ("newer", "TC_SEAL_UNSUPPORTED"),
            ("foreign", "TC_SEAL_FOREIGN"),
        ];
        for (number, (key, expected)) in (1..).zip(cases) {
            for _ in 0..number {
                assert_eq!(refusal(cache.get(key.as_bytes())).0, expected, "{key}");
            }
        }
        for (number, (_, status)) in (1..).zip(cases) {
            assert_eq!(refused(&cache, status), number, "{status}");
        }
    });
}

#[test]
fn a_value_of_the_greatest_length_has_room_for_its_seal() {
    everywhere(|place| {
        let most = 262_144;
        let mut members = sealing(ONE, json!({}));
        let limits = json!({ "limits": { "max_value_bytes": most }, "l1": { "enabled": false } });
        support::cache::merge(&mut members, limits);
        let cache = open_with(place, members);
        let value = vec![7; most];
        set(&cache, "k", &value);
        assert_eq!(entry(&cache, "k").data(), value);
        let envelope = cache.protect(b"k", &value).expect("sealed");
        assert_eq!(envelope.data().len(), most + 128);
        let opened = cache.unprotect(b"k", envelope.data()).expect("opened").expect("not over");
        assert_eq!(opened.data(), value);
        let longer = cache.set(b"k", &vec![7; most + 1], SetOptions::default()).expect_err("refused");
        assert_eq!(longer.kind.name(), "TC_VALUE_TOO_LARGE");
    });
}

/// What somebody has made of it would take sixteen times its length in memory, in every process that shares this L2.
#[test]
fn a_list_of_peers_that_is_longer_than_any_can_be_is_not_read() {
    let ours = json!(key_id(1).to_string());
    for (blanks, known) in [(1_000_000, 2), (5_000_000, 1)] {
        everywhere(|place| {
            // The file, with its tables.
            set(&open_plain(place), "k", TOKEN);
            let peer = json!({
                "id": 7, "name": "orders", "host": "far", "process": 8, "library": "1.0.0",
                "active": ours, "opens": [ours], "behind_ms": 0, "written_at_ms": clock::unix_ms(),
            });
            let list = format!("{{\"peers\": [{peer}{}]}}", " ".repeat(blanks));
            place.put(&name("__tokencache:peers"), list.as_bytes());
            let _cache = open(place, ONE, json!({}));
            let list = || place.bytes(&name("__tokencache:peers")).unwrap_or_default();
            wait_until("it is told", || list().len() < blanks);
            let list: serde_json::Value = serde_json::from_slice(&list()).expect("JSON");
            assert_eq!(list["peers"].as_array().map(Vec::len), Some(known), "{blanks}");
        });
    }
}

#[test]
fn waiters_that_share_a_read_share_its_refusal() {
    everywhere(|place| {
        let cache = open(place, ONE, json!({}));
        place.put(&name("k"), TOKEN);
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| assert_eq!(refusal(cache.get(b"k")).0, "TC_SEAL_FOREIGN"));
            }
        });
        assert!(cache.flush(Duration::from_secs(60)));
    });
}
