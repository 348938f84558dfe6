//! What a read answers to entries in L2 that this library did not write: a thousand of each kind, each with the status
//! that the README's table gives it.

#[path = "support/crypto.rs"]
mod crypto;
#[path = "support/sealed.rs"]
mod sealed;
#[path = "support/redis.rs"]
mod support;

use std::collections::BTreeMap;

use fastrand::Rng;
use redis::{cmd, pipe};
use sealed::{Sqlite, everywhere, name};
use serde_json::json;
use support::{Server, status, stored, wait_until, written};
use tokencache::cache::{Cache, SetOptions};
use tokencache::entry::Entry;
use tokencache::error::Error;

const MANY: usize = 1_000;
/// The last tick of the year 9999.
const LAST: i64 = 3_155_378_975_999_999_999;
/// The ticks of 2020-01-01.
const PAST: i64 = 637_134_336_000_000_000;

/// What a field says.
#[derive(Clone, Copy, PartialEq)]
enum Says {
    Nothing,
    Later,
    Over,
    Nonsense,
}

/// Something that stands in `absexp`, or in `sldexp`; `None`: the field is missing.
fn field(random: &mut Rng, is_window: bool) -> (Option<Vec<u8>>, Says) {
    const NONSENSE: [&str; 14] = [
        "",
        " ",
        "-",
        "1.5",
        "0x10",
        "NaN",
        "inf",
        "-inf",
        "ten",
        "1 2",
        "1e400",
        "9e999",
        "1_000",
        "99999999999999999999",
    ];
    let text = |number: i64| Some(number.to_string().into_bytes());
    match random.u8(0..10) {
        0 => (None, Says::Nothing),
        1 => (text(-1), Says::Nothing),
        2..=4 if is_window => (text(random.i64(36_000_000_000..LAST)), Says::Later),
        2..=4 => (text(random.i64(LAST / 10 * 9..=LAST)), Says::Later),
        5 if is_window => (text(random.i64(i64::MIN..-1)), Says::Over),
        5 => (text(random.i64(0..PAST)), Says::Over),
        6 if is_window => (text(0), Says::Over),
        6 => (text(random.i64(i64::MIN..-1)), Says::Nonsense),
        7 if !is_window => (text(random.i64(LAST + 1..=i64::MAX)), Says::Nonsense),
        7 | 8 => (random.choice(NONSENSE).map(|text| text.as_bytes().to_vec()), Says::Nonsense),
        _ => (Some(vec![0xFF, random.u8(..), 0]), Says::Nonsense),
    }
}

/// What stands in our own field: nothing there may change what is read.
fn ver(random: &mut Rng) -> Option<Vec<u8>> {
    let hex = |random: &mut Rng, len: usize| (0..len).map(|_| random.digit(16) as u8).collect();
    match random.u8(0..4) {
        0 => None,
        1 => Some(hex(random, 64)),
        2 => Some((0..random.usize(0..100)).map(|_| random.u8(..)).collect()),
        _ => {
            let len = random.usize(0..64);
            Some(hex(random, len))
        }
    }
}

fn answer(cache: &Cache, key: &[u8]) -> (&'static str, Option<Vec<u8>>) {
    match cache.get(key) {
        Ok(Some(entry)) => ("TC_OK", Some(entry.data().to_vec())),
        Ok(None) => ("TC_NOT_FOUND", None),
        Err(error) => (error.kind.name(), None),
    }
}

#[test]
fn a_thousand_odd_hashes_are_each_read_as_the_table_says() {
    let Some(server) = Server::start() else { return };
    let cache = server.open_without_l1();
    let seed = fastrand::u64(..);
    let mut random = Rng::with_seed(seed);
    let mut told = BTreeMap::<&str, u32>::new();
    for number in 0..MANY {
        let key = format!("k{number}");
        let data = (random.u8(0..8) != 0)
            .then(|| (0..random.usize(0..300)).map(|_| random.u8(..)).collect::<Vec<u8>>());
        let ((absexp, absolute), (sldexp, window)) = (field(&mut random, false), field(&mut random, true));
        let mut entry = cmd("HSET");
        // A hash has at least one field.
        entry.arg(stored(key.as_bytes())).arg("strange").arg("field");
        let fields =
            [("absexp", absexp), ("sldexp", sldexp), ("data", data.clone()), ("ver", ver(&mut random))];
        for (name, value) in fields {
            if let Some(value) = value {
                entry.arg(name).arg(value);
            }
        }
        server.run::<()>(&entry);
        let (expected, bytes) = match (&data, absolute, window) {
            (None, ..) => ("TC_NOT_FOUND", None),
            (_, Says::Nonsense, _) | (_, _, Says::Nonsense) => ("TC_L2_PROTOCOL", None),
            (_, Says::Over, _) | (_, _, Says::Over) => ("TC_NOT_FOUND", None),
            (Some(data), ..) => ("TC_OK", Some(data.clone())),
        };
        let found = answer(&cache, key.as_bytes());
        assert_eq!(found, (expected, bytes), "number {number} of seed {seed}: {entry:?}");
        *told.entry(expected).or_default() += 1;
        // A set or a remove mends whatever it is.
        if number % 2 == 0 {
            assert_eq!(written(cache.set(key.as_bytes(), b"mended", SetOptions::default())), "TC_OK");
            assert_eq!(answer(&cache, key.as_bytes()), ("TC_OK", Some(b"mended".to_vec())));
        } else {
            assert_eq!(written(cache.remove(key.as_bytes())), "TC_OK");
            assert_eq!(answer(&cache, key.as_bytes()), ("TC_NOT_FOUND", None));
        }
    }
    println!("{told:?}");
    assert!(told.len() == 3 && told.values().all(|times| *times > 50), "{told:?}");
}

#[test]
fn a_thousand_keys_of_other_types_are_refused_and_left_as_they_are() {
    let Some(server) = Server::start() else { return };
    let cache = server.open_without_l1();
    let mut connection = server.connection().expect("a connection");
    let kinds: [&[&str]; 5] = [&["SET"], &["RPUSH"], &["SADD"], &["ZADD"], &["XADD"]];
    let mut make = pipe();
    for number in 0..MANY {
        let kind = kinds[number % kinds.len()];
        let made = make.cmd(kind[0]).arg(stored(format!("k{number}").as_bytes()));
        match kind[0] {
            "ZADD" => made.arg(1).arg("member"),
            "XADD" => made.arg("*").arg("field").arg("value"),
            _ => made.arg("value"),
        };
        made.ignore();
    }
    make.query::<()>(&mut connection).expect("made");
    let dump = |key: &str| server.run::<Vec<u8>>(cmd("DUMP").arg(stored(key.as_bytes())));
    for number in 0..MANY {
        let key = format!("k{number}");
        let before = dump(&key);
        assert_eq!(answer(&cache, key.as_bytes()).0, "TC_L2_PROTOCOL", "{key}");
        let set = cache.set(key.as_bytes(), b"ours", SetOptions::default());
        assert_eq!(written(set), "TC_L2_PROTOCOL", "{key}");
        assert_eq!(dump(&key), before, "{key}");
    }
}

/// The client has read it whole by then; it goes no further, and what mends it is said.
#[test]
fn a_value_longer_than_is_allowed_here_is_too_large_wherever_it_was_found() {
    const LIMIT: usize = 1_000;
    everywhere(|place| {
        for seals in [false, true] {
            let members = |limit: usize| {
                let mut members = json!({"limits": {"max_value_bytes": limit}});
                if seals {
                    support::cache::merge(&mut members, sealed::sealing(&[("active", 1)], json!({})));
                }
                members
            };
            let (large, small) =
                (sealed::open_with(place, members(1 << 20)), sealed::open_with(place, members(LIMIT)));
            for (len, expected) in [
                (0, "TC_OK"),
                (LIMIT - 1, "TC_OK"),
                (LIMIT, "TC_OK"),
                (LIMIT + 1, "TC_VALUE_TOO_LARGE"),
                (LIMIT + 128, "TC_VALUE_TOO_LARGE"),
                (LIMIT + 129, "TC_VALUE_TOO_LARGE"),
                (1 << 20, "TC_VALUE_TOO_LARGE"),
            ] {
                sealed::set(&large, "k", &vec![b'x'; len]);
                // A reader that asks before Redis has told it may get the value from before.
                let is_here = |found: &Result<Option<Entry>, Error>| match found {
                    Ok(Some(entry)) => entry.data().len() == len,
                    Ok(None) => false,
                    Err(error) => error.message.contains(&format!("{len} bytes")),
                };
                let mut found = small.get(b"k");
                wait_until("the change is heard of", || {
                    found = small.get(b"k");
                    is_here(&found)
                });
                if let Err(error) = &found {
                    for words in [&format!("{len} bytes"), "limits.max_value_bytes allows 1000"] {
                        assert!(error.message.contains(words), "{error}");
                    }
                }
                assert_eq!(status(found), expected, "{len} bytes, sealed: {seals}");
                assert_eq!(large.get(b"k").expect("a read").expect("an entry").data().len(), len);
            }
            sealed::set(&small, "k", b"mended");
            assert_eq!(sealed::entry(&small, "k").data(), b"mended");
        }
    });
}

/// A row in which another program has written is an answer, whatever it has written.
#[test]
fn a_thousand_odd_rows_of_a_database_are_each_an_answer() {
    let place = Sqlite::new();
    let cache = sealed::open_plain(&place);
    let columns =
        ["version", "written_at_ms", "expires_at_ms", "sliding_ms", "ends_at_ms", "used_at_ms", "value"];
    let values = [
        "NULL",
        "''",
        "'text'",
        "x''",
        "x'00'",
        "x'FFFFFFFFFFFFFFFF'",
        "0",
        "-1",
        "1",
        "1.5",
        "1e300",
        "-1e300",
        "9223372036854775807",
        "-9223372036854775808",
        "zeroblob(100000)",
    ];
    let seed = fastrand::u64(..);
    let mut random = Rng::with_seed(seed);
    let mut told = BTreeMap::<&str, u32>::new();
    let mut changes = Vec::new();
    for number in 0..MANY {
        let key = format!("k{number}");
        sealed::set(&cache, &key, b"value");
        let (column, value) = (random.choice(columns).expect("one"), random.choice(values).expect("one"));
        changes.push((name(&key), column, value));
    }
    let taken = place.alter(&changes);
    for (number, ((_, column, value), is_taken)) in changes.iter().zip(taken).enumerate() {
        let key = format!("k{number}");
        let (status, data) = answer(&cache, key.as_bytes());
        let what = format!("number {number} of seed {seed}: {column} = {value}: {status}");
        let may_be = ["TC_OK", "TC_NOT_FOUND", "TC_L2_PROTOCOL"];
        assert!(may_be.contains(&status), "{what}");
        if *column != "value" {
            assert!(data.is_none_or(|data| data == b"value"), "{what}");
        }
        if !is_taken {
            assert_eq!(status, "TC_OK", "{what}");
        }
        *told.entry(status).or_default() += 1;
        // A version that leaves no room for the next one keeps its row as it is.
        assert!(["TC_OK", "TC_L2_PROTOCOL"].contains(&written(cache.remove(key.as_bytes()))), "{what}");
    }
    println!("{told:?}");
}
