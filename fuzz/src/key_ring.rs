//! The key ring, as it is read to be used and as it is read to be changed.

use tokencache::crypto::edit::Edit;
use tokencache::crypto::wrap::UnwrapKeys;
use tokencache::crypto::{Context, Ring, Stamp, open, seal};

const NAME: &str = "The key ring";
/// A run of base64 shorter than a key, and longer than an id or as much as is shown of a name that is not known.
const TELLING: usize = 40;

pub fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let unwrap = UnwrapKeys::none();
    match Ring::parse(text, NAME, &unwrap) {
        Ok(ring) => seals_and_opens(&ring),
        Err(error) => tells_nothing(&error.message, text),
    }
    match Edit::parse(text, NAME, &unwrap) {
        // What it writes it reads.
        Ok(edit) => {
            if let Ok(written) = edit.text() {
                let again = Edit::parse(&written, NAME, &unwrap).expect("a ring that it wrote");
                assert_eq!(again.keys().len(), edit.keys().len());
            }
        }
        Err(error) => tells_nothing(&error.message, text),
    }
}

fn seals_and_opens(ring: &Ring) {
    if !ring.keys().iter().any(|key| key.id == ring.known().active && key.wanted.is_empty()) {
        return;
    }
    let context = Context { namespace: b"p:", name: b"key" };
    let stamp = Stamp { version: 1, created_at_ms: 2, expires_at_ms: 0, flags: 0 };
    let sealed = seal(ring, &context, &stamp, b"token").expect("sealed");
    let opened = open(ring, &context, &sealed).unwrap_or_else(|_| panic!("it opens what it sealed"));
    assert_eq!(&opened.bytes[..], b"token");
}

/// No sentence shows what may be a key.
fn tells_nothing(sentence: &str, text: &str) {
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/-_=".contains(byte);
    for run in text.as_bytes().split(|byte| !is_base64(byte)).filter(|run| run.len() >= TELLING) {
        let run = std::str::from_utf8(&run[..TELLING]).expect("ASCII");
        assert!(!sentence.contains(run), "it shows {run}: {sentence}");
    }
}
