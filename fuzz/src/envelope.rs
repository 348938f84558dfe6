//! The bytes of an entry, which may be an envelope.

use std::sync::LazyLock;

use tokencache::crypto::envelope::Envelope;
use tokencache::crypto::wrap::UnwrapKeys;
use tokencache::crypto::{Context, Ring, open, open_plain, refuse_sealed, seal_with_salt};

/// The ring and the context of the test vectors, so that they are a beginning.
const VECTORS: &str = include_str!("../../tests/vectors/tkc1.json");
const CONTEXT: Context<'static> = Context { namespace: b"orders:", name: b"user-a" };

static RING: LazyLock<Ring> = LazyLock::new(|| {
    let vectors: serde_json::Value = serde_json::from_str(VECTORS).expect("JSON");
    let key = serde_json::json!({"state": "active", "material": vectors["key"]});
    let ring = serde_json::json!({"version": 1, "keys": [key]}).to_string();
    Ring::parse(&ring, "The ring", &UnwrapKeys::none()).expect("a ring")
});

pub fn run(bytes: &[u8]) {
    let _ = refuse_sealed(bytes);
    if let Ok((plain, None)) = open_plain(&CONTEXT, bytes) {
        assert_eq!(&plain[..], bytes, "plain text is taken as it is");
    }
    match open(&RING, &CONTEXT, bytes) {
        Ok(opened) => is_what_would_be_sealed(bytes, &opened),
        Err(refusal) => assert!(!refusal.to_string().is_empty()),
    }
}

/// Nothing opens that the library would not have written.
fn is_what_would_be_sealed(bytes: &[u8], opened: &tokencache::crypto::Opened) {
    let envelope = Envelope::parse(bytes).unwrap_or_else(|_| panic!("it was opened"));
    if !opened.is_retired {
        let again = seal_with_salt(&RING, &CONTEXT, &opened.stamp, &opened.bytes, envelope.salt);
        let again = again.expect("sealed");
        assert_eq!(again, bytes);
    }
}
