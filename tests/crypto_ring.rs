//! The key ring from outside: what is accepted, and what is refused in which words, none of which is a key.

use tokencache::crypto::ring::MAX_BYTES;
use tokencache::error::Kind;

#[path = "support/crypto.rs"]
mod support;
use support::{base64, key, key_id, member, parse};

fn ring_of(keys: &[String]) -> String {
    format!(r#"{{"version": 1, "keys": [{}]}}"#, keys.join(", "))
}

fn refusal(text: &str) -> String {
    let error = parse(text).err().unwrap_or_else(|| panic!("accepted: {text}"));
    assert_eq!(error.kind, Kind::InvalidConfig);
    assert!(error.message.starts_with("The key ring cannot be used: "), "{error}");
    assert!(error.message.ends_with(['.', '?']), "{error}");
    for number in 0..8 {
        assert!(!error.message.contains(&base64(&key(number))[..8]), "{error}");
    }
    error.message
}

#[test]
fn what_the_contract_shows_is_a_ring() {
    let (first, second, third) = (key_id(1), key_id(2), key_id(3));
    let ring = parse(&format!(
        r#"{{ "version": 1, "keys": [
             {{ "id": "{first}", "created": "2026-11-24T10:00:00Z", "state": "active", "material": "{}" }},
             {{ "id": "{second}", "created": "2026-08-20T10:00:00Z", "state": "retired", "material": "{}" }},
             {{ "id": "{third}", "state": "revoked" }} ] }}"#,
        base64(&key(1)),
        base64(&key(2))
    ))
    .expect("a ring");
    let ids: Vec<_> = ring.keys().iter().map(|key| key.id).collect();
    assert_eq!(ids, [first, second, third]);
    assert_eq!(ring.keys()[0].created.as_deref(), Some("2026-11-24T10:00:00Z"));
}

#[test]
fn an_id_may_be_left_out_and_is_checked_when_given() {
    assert_eq!(parse(&ring_of(&[member("active", 1)])).expect("a ring").known().active, key_id(1));
    let wrong = member("active", 1).replacen('{', &format!(r#"{{"id": "{}", "#, key_id(2)), 1);
    let refused = refusal(&ring_of(&[wrong]));
    for part in [&key_id(1).to_string(), &key_id(2).to_string(), "/keys/0", "edited by hand?"] {
        assert!(refused.contains(part), "{refused}");
    }
}

#[test]
fn base64_is_read_as_writers_of_json_escape_it() {
    let bytes: [u8; 32] = std::array::from_fn(|at| if at % 2 == 0 { 0xFB } else { 0xFF });
    let plain = base64(&bytes);
    assert!(plain.contains('+') && plain.contains('/'), "{plain}");
    let dotnet = plain.replace('+', "\\u002B").replace('/', "\\/");
    let ring = |text: &str| {
        parse(&ring_of(&[format!(r#"{{"state": "active", "material": "{text}"}}"#)])).expect("a ring").known()
    };
    assert_eq!(ring(&plain), ring(&dotnet));
}

#[test]
fn exactly_one_key_is_active() {
    assert!(refusal(&ring_of(&[])).contains("none of its keys is active"));
    assert!(refusal(&ring_of(&[member("retired", 1)])).contains("none of its keys is active"));
    let two = refusal(&ring_of(&[member("active", 1), member("retired", 3), member("active", 2)]));
    assert!(two.contains("/keys/0") && two.contains("/keys/2") && two.contains("are both active"), "{two}");
    let twice = refusal(&ring_of(&[member("active", 1), member("retired", 1)]));
    assert!(twice.contains(&format!("/keys/1 has the id {} of /keys/0", key_id(1))), "{twice}");
}

#[test]
fn what_is_no_key_is_refused_by_its_place() {
    let active = member("active", 1);
    let short = format!(r#"{{"state": "retired", "material": "{}"}}"#, base64(&key(2)[..31]));
    let long = format!(r#"{{"state": "retired", "material": "{}"}}"#, base64(&[&key(2)[..], &[0]].concat()));
    let uniform = format!(r#"{{"state": "retired", "material": "{}"}}"#, base64(&[7; 32]));
    let cases = [
        (short, "/keys/1/material must be 32 bytes in base64."),
        (long, "/keys/1/material must be 32 bytes in base64."),
        (uniform, "/keys/1 is one byte 32 times"),
        (r#"{"state": "retired", "material": 5}"#.into(), "/keys/1/material must be 32 bytes in base64."),
        (r#"{"state": "retired"}"#.into(), "/keys/1 is retired and has neither /material nor /wrapped."),
        (r#"{"state": "revoked"}"#.into(), "/keys/1 needs an /id"),
        (r#"{"state": "asleep"}"#.into(), "/keys/1/state must be \"active\""),
        (r#"{"material": ""}"#.into(), "/keys/1/state must be \"active\""),
        (r#"{"state": "revoked", "id": "7f3a"}"#.into(), "/keys/1/id must be 32 hexadecimal digits"),
        (r#"{"state": "revoked", "id": 7}"#.into(), "/keys/1/id must be a text."),
        ("7".into(), "/keys/1 must be a JSON object."),
        (
            member("retired", 2).replacen('{', r#"{"created": "yesterday", "#, 1),
            "/keys/1/created must be a time",
        ),
        (
            member("retired", 2).replacen('{', r#"{"wrapped": [], "#, 1),
            "/keys/1 has /material and /wrapped, which say the same thing;",
        ),
        (
            member("retired", 2).replacen('{', r#"{"colour": 1, "#, 1),
            "/keys/1/colour is not known; /keys/1 may have id",
        ),
        (member("retired", 2).replacen('{', r#"{"state": "retired", "#, 1), "/keys/1/state is given twice."),
    ];
    for (key, expected) in cases {
        let refused = refusal(&ring_of(&[active.clone(), key]));
        assert!(refused.contains(expected), "{refused}");
    }
}

#[test]
fn what_is_no_ring_is_refused() {
    let whole = ring_of(&[member("active", 1)]);
    for length in 0..whole.len() {
        let refused = refusal(&whole[..length]);
        assert!(refused.contains("was it still being written?"), "{length}: {refused}");
    }
    let cases = [
        ("[]", "it must be a JSON object."),
        (r#"{"keys": []}"#, "its /version is missing"),
        (r#"{"version": 2, "keys": []}"#, "its /version must be 1."),
        (r#"{"version": 1}"#, "its /keys are missing"),
        (r#"{"version": 1, "keys": {}}"#, "/keys must be a list."),
        (r#"{"version": 1, "kyes": []}"#, "/kyes is not known; it may have version, keys."),
        (r#"{"version": 1, "version": 1}"#, "/version is given twice."),
        (r#"{"version": 1} x"#, "it is not JSON"),
    ];
    for (text, expected) in cases {
        let refused = refusal(text);
        assert!(refused.contains(expected), "{refused}");
    }
    let mut long = whole.clone();
    long.extend(std::iter::repeat_n(' ', MAX_BYTES - whole.len()));
    assert!(parse(&long).is_ok());
    long.push(' ');
    assert!(refusal(&long).contains("1048577 bytes; it must have 1048576 at most"));
}

#[test]
fn what_stands_at_the_wrong_place_is_not_repeated() {
    let secret = base64(&key(1));
    for text in [
        format!(r#""{secret}""#),
        format!(r#"{{"version": "{secret}", "keys": []}}"#),
        format!(r#"{{"version": 1, "keys": "{secret}"}}"#),
        format!(r#"{{"version": 1, "keys": ["{secret}"]}}"#),
        format!(r#"{{"version": 1, "keys": [{{"state": "{secret}"}}]}}"#),
        format!(r#"{{"version": 1, "keys": [{{"state": "active", "id": "{secret}"}}]}}"#),
        format!(r#"{{"version": 1, "keys": [{{"state": "active", "material": ["{secret}"]}}]}}"#),
        format!(r#"{{"version": 1, "keys": [{{"state": "active", "wrapped": "{secret}"}}]}}"#),
        format!(r#"{{"version": 1, "keys": [{{"state": "active", "created": "{secret}"}}]}}"#),
        format!(r#"{{"version": 1, "keys": [{{"state": "active", "material": "{secret}}}]}}"#),
    ] {
        refusal(&text);
    }
}

#[test]
fn whatever_happens_to_a_ring_it_is_read_or_refused_in_a_sentence() {
    let whole = ring_of(&[member("active", 1), member("retired", 2)]).into_bytes();
    for _ in 0..20_000 {
        let mut bytes = whole.clone();
        for _ in 0..fastrand::usize(1..4) {
            let at = fastrand::usize(..bytes.len());
            match fastrand::u8(0..3) {
                0 => bytes[at] = fastrand::u8(32..127),
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, *fastrand::choice(br#"{}[]",:\0"#).expect("some")),
            }
        }
        let Ok(text) = String::from_utf8(bytes) else { continue };
        if let Err(error) = parse(&text) {
            assert!(error.message.ends_with(['.', '?']) && error.message.len() < 400, "{text}: {error}");
            assert!(!error.message.contains(&base64(&key(1))[..8]), "{text}: {error}");
        }
    }
}
