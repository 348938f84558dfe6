//! Bytes that occur nowhere else, and the look for them in any of the forms in which they may be told.

#![allow(dead_code, reason = "no test needs all of it")]

use base64ct::{Base64, Encoding};

/// Shorter pieces would be found by chance.
const PIECE: usize = 16;

/// A secret that is looked for.
pub struct Canary {
    name: &'static str,
    pub bytes: Vec<u8>,
}

impl Canary {
    pub fn text(name: &'static str, length: usize) -> Canary {
        Canary { name, bytes: (0..length).map(|_| fastrand::alphanumeric() as u8).collect() }
    }

    pub fn bytes(name: &'static str, length: usize) -> Canary {
        Canary { name, bytes: (0..length).map(|_| fastrand::u8(..)).collect() }
    }

    pub fn as_text(&self) -> &str {
        std::str::from_utf8(&self.bytes).expect("a text")
    }

    pub fn base64(&self) -> String {
        Base64::encode_string(&self.bytes)
    }

    /// Every piece of it, in every form.
    fn needles(&self) -> Vec<(String, Vec<u8>)> {
        let mut needles = Vec::new();
        for (number, piece) in self.bytes.chunks_exact(PIECE).enumerate() {
            let mut add = |form: &str, bytes: Vec<u8>| {
                needles.push((format!("{} at {}, {form}", self.name, number * PIECE), bytes));
            };
            let hex: String = piece.iter().map(|byte| format!("{byte:02x}")).collect();
            add("in upper hex", hex.to_uppercase().into());
            add("in hex", hex.into());
            let list = format!("{piece:?}");
            add("as numbers", list.trim_matches(['[', ']']).into());
            for shift in 0..3 {
                let text = base64_within(piece, shift);
                add("in base64 of a URL", text.replace('+', "-").replace('/', "_").into());
                add("in base64", text.into());
            }
            add("raw", piece.to_vec());
        }
        needles
    }
}

/// What the base64 of something longer has of `piece` when `shift` bytes lie before it.
fn base64_within(piece: &[u8], shift: usize) -> String {
    let text = Base64::encode_string(&[&[0; 2][..shift], piece].concat());
    text[(shift * 8).div_ceil(6)..(shift + piece.len()) * 8 / 6].to_owned()
}

/// Which of the canaries are in `haystack`, and where.
pub fn hits(haystack: &[u8], canaries: &[&Canary]) -> Vec<String> {
    let needles: Vec<_> = canaries.iter().flat_map(|canary| canary.needles()).collect();
    // Most places are passed by with one look, because a core is long.
    let mut begins = vec![false; 1 << 16];
    let begin = |bytes: &[u8]| usize::from(u16::from_be_bytes([bytes[0], bytes[1]]));
    for (_, needle) in &needles {
        begins[begin(needle)] = true;
    }
    let mut found = Vec::new();
    for at in (1..haystack.len()).map(|next| next - 1) {
        if begins[begin(&haystack[at..at + 2])] {
            let here = needles.iter().filter(|(_, needle)| haystack[at..].starts_with(needle));
            found.extend(here.map(|(what, _)| format!("byte {at}: {what}: {}", around(haystack, at))));
        }
    }
    found
}

/// The line of a log, or what of it is near.
fn around(haystack: &[u8], at: usize) -> String {
    let near = &haystack[at.saturating_sub(60)..haystack.len().min(at + 60)];
    String::from_utf8_lossy(near).escape_debug().to_string()
}
