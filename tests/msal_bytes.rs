//! Whatever bytes are given for MSAL documents, a merge answers.

use std::fs;

use proptest::prelude::*;
use proptest::test_runner::Config;
use serde_json::{Map, Value, json};
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

/// A node of which nothing is known: texts, and objects of such.
fn node() -> impl Strategy<Value = Value> {
    let text = prop::sample::select(vec!["", "1", "2"]).prop_map(Value::from);
    let name = prop::sample::select(vec!["a", "b", "c"]).prop_map(str::to_owned);
    text.prop_recursive(4, 40, 3, move |inner| {
        prop::collection::hash_map(name.clone(), inner, 0..3)
            .prop_map(|members| Value::Object(members.into_iter().collect()))
    })
}

/// What comes of such a node, as it is promised: of the one who changed it; of both, member by member, where both did.
fn joined(base: Option<&Value>, mine: Option<&Value>, theirs: Option<&Value>) -> Option<Value> {
    let (ours, others) = match (mine, theirs) {
        (mine, theirs) if mine == theirs || mine == base => return theirs.cloned(),
        (mine, theirs) if theirs == base => return mine.cloned(),
        (Some(one), None) | (None, Some(one)) => return Some(one.clone()),
        (Some(Value::Object(ours)), Some(Value::Object(others))) => (ours, others),
        // Of two that nothing else decides between, an object before a text, and the later in the alphabet.
        (mine, theirs) => {
            let rank = |value: &Option<&Value>| value.map(|it| (it.is_object(), it.to_string()));
            return [mine, theirs].into_iter().max_by_key(rank).flatten().cloned();
        }
    };
    let names = ours.keys().chain(others.keys());
    let member = |name: &String| {
        let base = base.and_then(|base| base.get(name));
        Some((name.clone(), joined(base, ours.get(name), others.get(name))?))
    };
    Some(Value::Object(names.filter_map(member).collect::<Map<_, _>>()))
}

proptest! {
    #![proptest_config(Config { cases: 5_000, failure_persistence: None, ..Config::default() })]

    #[test]
    fn what_nothing_is_known_of_is_joined_member_by_member(
        base in node(), mine in node(), theirs in node(), of_base in 0..4_u8,
    ) {
        // Of three that have nothing in common little is told.
        let mine = if of_base & 1 == 0 { mine } else { joined(None, Some(&base), Some(&mine)).expect("both") };
        let theirs = if of_base & 2 == 0 { theirs } else { joined(None, Some(&base), Some(&theirs)).expect("both") };
        let [base, mine, theirs] = [base, mine, theirs].map(|node| json!({"Ours": node}));
        let bytes = |document: &Value| serde_json::to_vec(document).expect("JSON");
        let (before, ours, others) = (bytes(&base), bytes(&mine), bytes(&theirs));
        let merged = merge(Some(&before), Side::written(&ours, 1), Side::written(&others, 2));
        let merged = merged.expect("documents").expect("memory");
        let expected = joined(base.get("Ours"), mine.get("Ours"), theirs.get("Ours"));
        let found: Value = serde_json::from_slice(&merged.bytes).expect("a document");
        prop_assert_eq!(found.get("Ours"), expected.as_ref());
    }
}

/// As deep as MSAL reads, and as long as a value may be: to compare all that is left on each level took seconds.
#[test]
fn what_differs_on_the_innermost_level_is_joined() {
    const LEVELS: usize = 62;
    let document = |inner: &str| {
        let (open, close) = ("{\"a\":".repeat(LEVELS), "}".repeat(LEVELS));
        format!("{{\"Ours\":{open}{{{inner},\"long\":\"{}\"}}{close}}}", "x".repeat(1_000_000)).into_bytes()
    };
    let base = document(r#""mine":"0","theirs":"0""#);
    let [mine, theirs] = [r#""mine":"1","theirs":"0""#, r#""mine":"0","theirs":"1""#].map(document);
    let merged = merge(Some(&base), Side::written(&mine, 1), Side::written(&theirs, 2));
    let merged = merged.expect("documents").expect("memory");
    assert!(*merged.bytes == document(r#""mine":"1","theirs":"1""#)[..]);
}
