//! Whatever bytes are given for MSAL documents, a merge answers.

use std::fs;

use proptest::prelude::*;
use proptest::test_runner::Config;
use tokencache::msal::{Side, merge, prune};

fn file(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/fixtures/msal/merge/{name}.json", env!("CARGO_MANIFEST_DIR"));
    fs::read(path).expect("a fixture")
}

/// Something that begins like a document, and is torn, turned and filled as it comes.
fn anything() -> impl Strategy<Value = Vec<u8>> {
    let scraps = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"",
        "\\",
        "\\u00e",
        "\\ud800",
        "null",
        "1e999",
        "-",
        "\"AccessToken\"",
        "\"Account\"",
        "\"secret\"",
        "\"target\"",
        "\"cached_at\"",
        "\"client_id\":\"c\",",
        "\"environment\":\"e\",",
        "\"a\":{}",
        " ",
        "\u{fc}",
    ]);
    let torn = (0..9000_usize, 0..9000_usize, any::<u8>()).prop_map(|(from, to, byte)| {
        let mut bytes = file("rotated-refresh-token.a");
        let (from, to) = (from.min(to), from.max(to).min(bytes.len()));
        if from < bytes.len() {
            bytes[from] = byte;
            if byte > 127 {
                bytes.drain(from..to);
            }
        }
        bytes
    });
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        prop::collection::vec(scraps, 0..40).prop_map(|scraps| scraps.concat().into_bytes()),
        torn,
    ]
}

proptest! {
    #![proptest_config(Config { cases: 10_000, failure_persistence: None, ..Config::default() })]

    #[test]
    fn nothing_makes_it_panic(base in anything(), mine in anything(), theirs in anything(), at: i64) {
        let fixture = file("rotated-refresh-token.b");
        for (base, mine, theirs) in [(&base, &mine, &theirs), (&fixture, &mine, &fixture), (&fixture, &mine, &theirs)] {
            let _ = merge(Some(base), Side::written(mine, at), Side::written(theirs, at));
            let _ = merge(None, Side::written(mine, at), Side::removed(at));
            let _ = prune(mine, at);
        }
    }
}
