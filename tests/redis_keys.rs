//! Under which names things lie in Redis: keys of any bytes, prefixes, databases, and tombstones beside their entries.

#[path = "support/redis.rs"]
mod support;

use redis::cmd;
use serde_json::json;
use support::{PREFIX, Server, stored};
use tokencache::cache::{Cache, SetOptions, SetOutcome};
use tokencache::error::Result;

fn expecting(expected_version: u64) -> SetOptions {
    SetOptions { expected_version, ..SetOptions::default() }
}

fn version(outcome: Result<SetOutcome>) -> u64 {
    match outcome.expect("a write") {
        SetOutcome::Stored(version) => version,
        SetOutcome::Owed(_) => panic!("owed to L2"),
        SetOutcome::Conflict => panic!("a conflict"),
    }
}

fn data(cache: &Cache, key: &[u8]) -> Option<Vec<u8>> {
    cache.get(key).expect("a read").map(|entry| entry.data().to_vec())
}

fn tombstones(server: &Server) -> Vec<Vec<u8>> {
    let begin = format!("{PREFIX}__tokencache:gone:");
    server.keys().into_iter().filter(|key| key.starts_with(begin.as_bytes())).collect()
}

/// The hash slot of a key in a cluster.
fn slot(key: &[u8]) -> u16 {
    let begin = key.iter().position(|byte| *byte == b'{').map(|at| at + 1);
    let tag = begin.and_then(|begin| {
        let len = key[begin..].iter().position(|byte| *byte == b'}')?;
        (len > 0).then(|| &key[begin..begin + len])
    });
    let crc = tag.unwrap_or(key).iter().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            (crc << 1) ^ if crc >> 15 == 1 { 0x1021 } else { 0 }
        })
    });
    crc % 16_384
}

#[test]
fn keys_of_any_bytes_are_kept_apart_and_beside_their_tombstones() {
    let Some(server) = Server::start() else { return };
    let cache = server.open_without_l1();
    assert_eq!(slot(b"123456789"), 0x31C3, "the example in the specification of the cluster");
    let keys: [&[u8]; 16] = [
        b"k",
        b"k\0",
        b"\0k",
        b"k\n",
        b"k\r\n",
        b"\xff\xfe",
        b"{",
        b"{}",
        b"}",
        b"a}b",
        b"{tag}rest",
        b"{tag",
        b"tag}",
        b"{}{tag}",
        b"{a}{b}",
        b" *?[k]",
    ];
    for (number, key) in keys.iter().enumerate() {
        let seen = version(cache.set(key, &[number as u8, 0], SetOptions::default()));
        let seen = version(cache.set(key, &[number as u8, 1], expecting(seen)));
        assert_eq!(cache.set(key, &[number as u8, 2], expecting(seen ^ 2)), Ok(SetOutcome::Conflict));
        assert_eq!(cache.set(key, &[number as u8, 3], expecting(u64::MAX)), Ok(SetOutcome::Conflict));
        version(cache.set(key, &[number as u8, 4], expecting(seen)));
        assert_eq!(server.run::<i64>(cmd("EXISTS").arg(stored(key))), 1, "{key:?}");
    }
    for (number, key) in keys.iter().enumerate() {
        assert_eq!(data(&cache, key), Some(vec![number as u8, 4]), "{key:?}");
        assert_eq!(cache.touch(key), Ok(true));
    }
    assert_eq!(server.keys().len(), keys.len());
    for key in keys {
        let before = tombstones(&server);
        cache.remove(key).expect("removed");
        assert_eq!(data(&cache, key), None);
        let after = tombstones(&server);
        let new: Vec<_> = after.iter().filter(|stone| !before.contains(stone)).collect();
        let [stone] = new[..] else { panic!("{key:?}: {new:?}") };
        assert!(stone.ends_with(key), "{stone:?}");
        let can_be_tagged = slot(&[b"{", &stored(key)[..], b"}"].concat()) == slot(&stored(key));
        let has_tag = key == b"{tag}rest" || key == b"{a}{b}";
        if can_be_tagged || has_tag {
            assert_eq!(slot(stone), slot(&stored(key)), "{stone:?}");
        }
    }
    assert_eq!(tombstones(&server).len(), keys.len());
}

#[test]
fn prefixes_are_kept_apart_byte_for_byte() {
    let Some(server) = Server::start() else { return };
    let open = |prefix: &str| server.open(json!({"l1": {"enabled": false}, "l2": {"key_prefix": prefix}}));
    let prefixes = ["", "orders:", "bestellungen-ä:", "a{b}c:", "x}y:", "nul\0:"];
    for prefix in prefixes {
        let cache = open(prefix);
        assert_eq!(data(&cache, b"k"), None);
        cache.set(b"k", prefix.as_bytes(), SetOptions::default()).expect("stored");
        version(cache.set(b"other", b"1", expecting(u64::MAX)));
        assert_eq!(server.run::<i64>(cmd("EXISTS").arg(format!("{prefix}k"))), 1);
    }
    for prefix in prefixes {
        let cache = open(prefix);
        assert_eq!(data(&cache, b"k"), Some(prefix.as_bytes().to_vec()));
        cache.remove(b"k").expect("removed");
        let own = |key: &Vec<u8>| key.starts_with(prefix.as_bytes());
        assert!(
            server.keys().iter().any(|key| own(key) && key.ends_with(b"k")),
            "a tombstone within the prefix"
        );
    }
}

#[test]
fn databases_are_kept_apart() {
    let Some(server) = Server::start() else { return };
    for database in [0, 3] {
        let url = format!("redis://127.0.0.1:{}/{database}", server.port());
        let cache = server.open(json!({"l1": {"enabled": false}, "l2": {"url": url}}));
        assert_eq!(data(&cache, b"k"), None);
        cache.set(b"k", b"1", SetOptions::default()).expect("stored");
    }
    let keyspace: String = server.ask("INFO keyspace");
    assert!(keyspace.contains("db0:keys=1") && keyspace.contains("db3:keys=1"), "{keyspace}");
}
