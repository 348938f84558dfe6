//! PEM and a little DER: what it takes to find a key in a file, and to say which key is the wrong one. Everything is
//! decoded into memory that is wiped.

#![forbid(unsafe_code)]

use base64ct::{Base64, Encoding};
use zeroize::Zeroizing;

/// A block of a PEM file.
pub(super) struct Block {
    /// What stands in its first line.
    pub label: String,
    /// What it holds.
    pub der: Zeroizing<Vec<u8>>,
}

/// The first block of `text`; or what is wrong, as the rest of a sentence.
pub(super) fn first_block(text: &str) -> Result<Block, String> {
    const BEGIN: &str = "-----BEGIN ";
    const DASHES: &str = "-----";
    let (_, rest) = text.split_once(BEGIN).ok_or("holds no PEM block (-----BEGIN …-----)")?;
    let (label, rest) = rest.split_once(DASHES).ok_or("has a PEM block whose first line does not end")?;
    let end = format!("-----END {label}{DASHES}");
    let (body, _) =
        rest.split_once(end.as_str()).ok_or("has a PEM block without an end; is the file whole?")?;
    // Of the old form: Proc-Type and DEK-Info.
    if body.contains(':') {
        return Err("has a key that is encrypted by a passphrase".into());
    }
    let mut base64 = Zeroizing::new(String::with_capacity(body.len()));
    base64.extend(body.chars().filter(|c| !c.is_ascii_whitespace()));
    let mut der = Zeroizing::new(vec![0; base64.len() / 4 * 3 + 3]);
    let length =
        Base64::decode(base64.as_bytes(), &mut der).map_err(|_| "has a PEM block that is not base64")?.len();
    der.truncate(length);
    Ok(Block { label: label.into(), der })
}

/// A key of RSA in PKCS#1, as the PKCS#8 around it: its algorithm added, nothing changed.
pub(super) fn pkcs8(pkcs1: &[u8]) -> Zeroizing<Vec<u8>> {
    const VERSION_AND_RSA: [u8; 18] =
        [2, 1, 0, 0x30, 13, 6, 9, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 1, 1, 5, 0];
    let octets = head(4, pkcs1.len());
    let inside = VERSION_AND_RSA.len() + octets.len() + pkcs1.len();
    let sequence = head(0x30, inside);
    let mut whole = Zeroizing::new(Vec::with_capacity(sequence.len() + inside));
    for part in [&sequence[..], &VERSION_AND_RSA, &octets, pkcs1] {
        whole.extend_from_slice(part);
    }
    whole
}

/// The tag and the length of something in DER.
fn head(tag: u8, length: usize) -> Vec<u8> {
    let bytes = length.to_be_bytes();
    let significant = &bytes[bytes.iter().take_while(|byte| **byte == 0).count().min(bytes.len() - 1)..];
    match significant {
        [short] if *short < 128 => vec![tag, *short],
        // A length has at most 8 bytes.
        _ => [&[tag, 0x80 | significant.len() as u8], significant].concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_found_among_other_text() {
        let text =
            "Bag Attributes\n-----BEGIN PRIVATE KEY-----\r\nAAEC\r\nAwQ=\r\n-----END PRIVATE KEY-----\r\n";
        let block = first_block(text).expect("a block");
        assert_eq!((block.label.as_str(), &block.der[..]), ("PRIVATE KEY", &[0, 1, 2, 3, 4][..]));
    }

    #[test]
    fn what_is_no_block_says_why() {
        let cases = [
            ("", "holds no PEM block"),
            ("-----BEGIN X", "does not end"),
            ("-----BEGIN X-----\nAAEC\n", "without an end"),
            ("-----BEGIN X-----\n!!!!\n-----END X-----", "not base64"),
            ("-----BEGIN X-----\nProc-Type: 4,ENCRYPTED\n\nAAEC\n-----END X-----", "by a passphrase"),
        ];
        for (text, expected) in cases {
            let complaint = first_block(text).err().expect(text);
            assert!(complaint.contains(expected), "{complaint}");
        }
    }

    #[test]
    fn lengths_are_as_der_wants_them() {
        assert_eq!(head(4, 0), [4, 0]);
        assert_eq!(head(4, 127), [4, 127]);
        assert_eq!(head(4, 128), [4, 0x81, 128]);
        assert_eq!(head(0x30, 1193), [0x30, 0x82, 4, 0xA9]);
    }
}
