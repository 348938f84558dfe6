//! Envelopes that were made once and must open for good. `BLESS=1` makes them anew, which no release may need: then
//! what it stored would be lost.

use std::path::Path;
use std::sync::Once;

use serde_json::{Value, json};
use tokencache::crypto::{self, Context, Ring, Stamp, TOMBSTONE};

#[path = "support/crypto.rs"]
mod support;
use support::{base64, key, key_id, member, parse};

const LENGTHS: [usize; 4] = [0, 1, 2000, 7000];
const CONTEXTS: [(&str, &str); 3] = [("orders:", "user-a"), ("", "schlüssel-\u{0}-1"), ("a:", "")];

fn path() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/tkc1.json")
}

fn ring() -> Ring {
    parse(&format!(r#"{{"version": 1, "keys": [{}]}}"#, member("active", 1))).expect("a ring")
}

/// What is sealed: bytes that no two lengths share.
fn value(length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from((at * 7 + length) % 251).expect("below 251")).collect()
}

fn stamp(number: usize) -> Stamp {
    Stamp {
        version: 0x0199_0000_0000_0001 + number as u64,
        created_at_ms: 1_787_306_520_000,
        expires_at_ms: if number.is_multiple_of(2) { 0 } else { 1_787_310_120_000 },
        flags: if number == 3 { TOMBSTONE } else { 0 },
    }
}

fn wanted() -> Value {
    let ring = ring();
    let cases = LENGTHS.iter().enumerate().flat_map(|(number, length)| {
        CONTEXTS.iter().map(move |(namespace, name)| (number, *length, *namespace, *name))
    });
    let entries: Vec<Value> = cases
        .map(|(number, length, namespace, name)| {
            let salt: [u8; 32] = std::array::from_fn(|at| u8::try_from(at * 3 + number).expect("below 256"));
            let (stamp, value) = (stamp(number), value(length));
            let context = Context { namespace: namespace.as_bytes(), name: name.as_bytes() };
            let envelope = crypto::seal_with_salt(&ring, &context, &stamp, &value, &salt).expect("memory");
            json!({
                "namespace": base64(namespace.as_bytes()), "name": base64(name.as_bytes()),
                "version": stamp.version, "created_at_ms": stamp.created_at_ms,
                "expires_at_ms": stamp.expires_at_ms, "flags": stamp.flags,
                "salt": base64(&salt), "value": base64(&value), "envelope": base64(&envelope),
            })
        })
        .collect();
    json!({ "format": "TKC1", "key": base64(&key(1)), "key_id": key_id(1).to_string(), "entries": entries })
}

fn committed() -> Value {
    static BLESSED: Once = Once::new();
    if std::env::var_os("BLESS").is_some() {
        BLESSED.call_once(|| {
            std::fs::create_dir_all(path().parent().expect("a folder")).expect("made");
            std::fs::write(path(), format!("{:#}\n", wanted())).expect("written");
        });
    }
    let text = std::fs::read_to_string(path()).expect("tests/vectors/tkc1.json is committed");
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn the_committed_vectors_are_what_is_sealed_today() {
    assert!(committed() == wanted(), "the seal has changed: what was stored before would not open any more");
}

#[test]
fn every_committed_vector_opens() {
    let (ring, committed) = (ring(), committed());
    let entries = committed["entries"].as_array().expect("a list");
    assert_eq!(entries.len(), LENGTHS.len() * CONTEXTS.len());
    for entry in entries {
        let bytes = |name: &str| support::bytes(entry[name].as_str().expect("a text"));
        let (namespace, name) = (bytes("namespace"), bytes("name"));
        let context = Context { namespace: &namespace, name: &name };
        let opened = crypto::open(&ring, &context, &bytes("envelope")).unwrap_or_else(|why| panic!("{why}"));
        assert_eq!(&opened.bytes[..], bytes("value"));
        assert_eq!(json!(opened.stamp.version), entry["version"]);
        assert_eq!(json!(opened.stamp.flags), entry["flags"]);
        assert_eq!(json!(opened.stamp.created_at_ms), entry["created_at_ms"]);
        assert_eq!(json!(opened.stamp.expires_at_ms), entry["expires_at_ms"]);
    }
}
