//! What somebody can do to sealed entries who can write to L2 and has no key: bytes are never the answer, and the
//! status says what was done.

#[path = "support/crypto.rs"]
mod crypto;
#[path = "support/sealed.rs"]
mod sealed;
#[path = "support/redis.rs"]
mod support;

use std::collections::BTreeMap;

use redis::cmd;
use sealed::*;
use serde_json::json;
use support::{PREFIX, Server};
use tokencache::cache::Cache;

const ONE: &[(&str, u8)] = &[("active", 1)];
const HEADER: usize = 112;

fn value() -> Vec<u8> {
    (0..300_u32).map(|at| (at * 7) as u8).collect()
}

/// The status with which every read of it ends.
fn read(cache: &Cache, key: &str) -> &'static str {
    let (status, message) = refusal(cache.get(key.as_bytes()));
    assert!(message.ends_with('.') && message.len() < 600, "{message}");
    status
}

/// Writes over `data` and leaves the rest of the hash as our writer left it.
fn write_data(server: &Server, bytes: &[u8]) {
    server.run::<()>(cmd("HSET").arg(name("k")).arg("data").arg(bytes));
}

/// What a flipped byte at this place is to be told as, by the layout of the envelope.
fn expected(at: usize, flipped: u8) -> &'static [&'static str] {
    match at {
        0..4 => &["TC_SEAL_FOREIGN"],
        4 if flipped == 0 => &["TC_SEAL_BROKEN"],
        4 | 5 if flipped != 0 => &["TC_SEAL_UNSUPPORTED"],
        5 => &["TC_SEAL_FOREIGN"],
        8..24 => &["TC_SEAL_UNKNOWN_KEY"],
        6..HEADER => &["TC_SEAL_WRONG_CONTEXT"],
        _ => &["TC_SEAL_BROKEN"],
    }
}

#[test]
fn every_single_byte_of_a_stored_entry_flipped_in_a_real_redis_gives_no_bytes() {
    let Some(server) = Server::start() else { return };
    let cache = open(&server, ONE, json!({}));
    set(&cache, "k", &value());
    let whole = server.bytes(&name("k")).expect("an entry");
    assert_eq!(whole.len(), 300 + 128);
    let mut told = BTreeMap::<&str, u32>::new();
    for at in 0..whole.len() {
        for mask in [0x01, 0x80, 0xFF, whole[at]] {
            let mut bytes = whole.clone();
            bytes[at] ^= mask;
            if bytes == whole {
                continue;
            }
            write_data(&server, &bytes);
            let status = read(&cache, "k");
            assert!(expected(at, bytes[at]).contains(&status), "byte {at} flipped by {mask:#x}: {status}");
            *told.entry(status).or_default() += 1;
        }
    }
    println!("{told:?}");
    for (status, times) in told {
        assert_eq!(refused(&cache, status), u64::from(times), "{status}");
    }
    write_data(&server, &whole);
    assert_eq!(entry(&cache, "k").data(), value(), "as it was, it opens");
}

#[test]
fn an_entry_cut_short_or_lengthened_in_a_real_redis_gives_no_bytes() {
    let Some(server) = Server::start() else { return };
    let cache = open(&server, ONE, json!({}));
    set(&cache, "k", &value());
    let whole = server.bytes(&name("k")).expect("an entry");
    for length in 0..whole.len() {
        write_data(&server, &whole[..length]);
        let expected = if length == 0 { "TC_SEAL_FOREIGN" } else { "TC_SEAL_BROKEN" };
        assert_eq!(read(&cache, "k"), expected, "of {length} bytes");
    }
    for more in [1, 16, 128, whole.len()] {
        write_data(&server, &[&whole[..], &whole[..more]].concat());
        assert_eq!(read(&cache, "k"), "TC_SEAL_BROKEN", "{more} bytes too many");
    }
    write_data(&server, &whole[1..]);
    assert_eq!(read(&cache, "k"), "TC_SEAL_FOREIGN");
}

#[test]
fn parts_of_two_entries_of_one_key_do_not_go_together() {
    everywhere(|place| {
        let cache = open(place, ONE, json!({}));
        let [one, two] = [0, 1].map(|_| {
            set(&cache, "k", &value());
            place.bytes(&name("k")).expect("an entry")
        });
        for (cut, expected) in [
            (32, "TC_SEAL_WRONG_CONTEXT"),
            (48, "TC_SEAL_WRONG_CONTEXT"),
            (80, "TC_SEAL_WRONG_CONTEXT"),
            (HEADER, "TC_SEAL_BROKEN"),
            (HEADER + 150, "TC_SEAL_BROKEN"),
            (HEADER + 300, "TC_SEAL_BROKEN"),
        ] {
            place.put(&name("k"), &[&one[..cut], &two[cut..]].concat());
            assert_eq!(read(&cache, "k"), expected, "cut at {cut}");
        }
    });
}

#[test]
fn two_entries_swapped_are_told_as_what_they_are_each_time() {
    everywhere(|place| {
        for members in [json!({}), json!({ "l1": { "enabled": false } })] {
            let mut members = members;
            support::cache::merge(&mut members, sealing(ONE, json!({})));
            let cache = open_with(place, members);
            set(&cache, "user-a", b"token of a");
            set(&cache, "user-b", b"token of b");
            let [a, b] = ["user-a", "user-b"].map(|key| place.bytes(&name(key)).expect("an entry"));
            place.put(&name("user-a"), &b);
            place.put(&name("user-b"), &a);
            // What is in L1 was never in the hands of whoever swapped them.
            cache.clear().expect("cleared");
            for key in ["user-a", "user-b", "user-a"] {
                assert_eq!(read(&cache, key), "TC_SEAL_WRONG_CONTEXT", "{key}");
            }
            let (_, message) = refusal(cache.get(b"user-a"));
            for words in ["another cache key", "/l2/key_prefix", &crypto::key_id(1).to_string()] {
                assert!(message.contains(words), "{message}");
            }
            assert!(!message.contains("user-") && !message.contains("token of"), "{message}");
            place.put(&name("user-a"), &a);
            assert_eq!(entry(&cache, "user-a").data(), b"token of a", "back in its place it opens");
        }
    });
}

#[test]
fn a_hash_renamed_or_copied_by_redis_itself_is_of_the_wrong_context() {
    let Some(server) = Server::start() else { return };
    let cache = open(&server, ONE, json!({}));
    set(&cache, "a", b"token of a");
    server.ask::<()>("COPY p:a p:b");
    assert_eq!(read(&cache, "b"), "TC_SEAL_WRONG_CONTEXT");
    assert_eq!(entry(&cache, "a").data(), b"token of a");
    server.ask::<()>("RENAME p:a p:c");
    assert_eq!(read(&cache, "c"), "TC_SEAL_WRONG_CONTEXT");
}

#[test]
fn an_entry_copied_under_another_prefix_is_of_the_wrong_context() {
    everywhere(|place| {
        let cache = open(place, ONE, json!({}));
        set(&cache, "k", b"token");
        let bytes = place.bytes(&name("k")).expect("an entry");
        let there = |prefix: &str| {
            let mut members = sealing(ONE, json!({}));
            let l2 = json!({ "l1": { "enabled": false }, "l2": { "key_prefix": prefix } });
            support::cache::merge(&mut members, l2);
            open_with(place, members)
        };
        place.put("staging:k", &bytes);
        assert_eq!(read(&there("staging:"), "k"), "TC_SEAL_WRONG_CONTEXT");
        // The same name in L2, cut elsewhere into a prefix and a key.
        place.put("p:x:k", &bytes);
        let whole = there("p:x:");
        set(&whole, "k", b"token");
        assert_eq!(read(&cache, "x:k"), "TC_SEAL_WRONG_CONTEXT");
        assert_eq!(entry(&whole, "k").data(), b"token");
        assert_eq!(read(&there("p:x"), ":k"), "TC_SEAL_WRONG_CONTEXT");
        assert_eq!(PREFIX, "p:");
    });
}

#[test]
fn an_older_entry_put_back_opens_because_it_was_sealed_for_this_place() {
    // The seal keeps places apart, not times; what bounds a replay is the end that was sealed.
    everywhere(|place| {
        let cache = open(place, ONE, json!({}));
        set(&cache, "k", b"old");
        let old = place.bytes(&name("k")).expect("an entry");
        let newer = set(&cache, "k", b"new");
        place.put(&name("k"), &old);
        let read = entry(&cache, "k");
        assert_eq!(read.data(), b"old");
        assert_ne!(read.version(), newer);
    });
}
