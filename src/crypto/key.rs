//! A key and its name. The name is derived from the key, so the same id is the same key on every machine.

#![forbid(unsafe_code)]

use std::fmt;

use base64ct::{Base64, Encoding};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::{Zeroize, Zeroizing};

use super::locked::KEY_BYTES;
use crate::error::{Error, Kind, Result};

/// How long its base64 is.
const TEXT_BYTES: usize = 44;
const ID_INFO: &[u8] = b"tokencache/key-id/1";

/// The name of a key. It tells nothing of the key itself, and may be shown.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub [u8; 16]);

impl KeyId {
    /// The id that `text`, 32 hexadecimal digits, names.
    #[must_use]
    pub fn parse(text: &str) -> Option<KeyId> {
        from_hex(text).map(KeyId)
    }

    /// Its beginning, for a list of several.
    #[must_use]
    pub fn short(&self) -> String {
        format!("{}…", hex(&self.0[..4]))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// The bytes of a key, on their way into a ring. Wiped when dropped; boxed, so that a move leaves no copy behind.
pub struct Material(pub(super) Box<Zeroizing<[u8; KEY_BYTES]>>);

impl Material {
    /// A copy of `bytes`.
    #[must_use]
    pub fn copy(bytes: &[u8; KEY_BYTES]) -> Material {
        let mut material = Material::zeros();
        material.0.copy_from_slice(bytes);
        material
    }

    pub(super) fn zeros() -> Material {
        Material(Box::new(Zeroizing::new([0; KEY_BYTES])))
    }

    /// A new key, of the operating system's random bytes.
    ///
    /// # Errors
    /// `OutOfMemory`: it gave none.
    pub fn generate() -> Result<Material> {
        let mut material = Material::zeros();
        getrandom::fill(&mut material.0[..]).map_err(|error| {
            let message = format!("The operating system gave no random bytes ({error}); no key was made.");
            Error::new(Kind::OutOfMemory, message)
        })?;
        Ok(material)
    }

    /// Its base64, for a ring. Whoever has it has the key.
    #[must_use]
    pub fn reveal(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(TEXT_BYTES));
        let mut buffer = Zeroizing::new([0; TEXT_BYTES]);
        text.push_str(Base64::encode(&self.0[..], &mut buffer[..]).expect("there is room for 44 characters"));
        text
    }

    /// The key that `text`, base64, holds.
    #[must_use]
    pub fn from_base64(text: &[u8]) -> Option<Material> {
        let mut material = Material::zeros();
        let decoded = Base64::decode(text, &mut material.0[..]).ok()?.len();
        (decoded == KEY_BYTES).then_some(material)
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> KeyId {
        let (mut extracted, hkdf) = Hkdf::<Sha256>::extract(None, &self.0[..]);
        extracted.zeroize();
        let mut id = [0; 16];
        hkdf.expand(ID_INFO, &mut id).expect("HKDF gives as many as 8160 bytes");
        KeyId(id)
    }

    /// Whether it is one byte 32 times: no generator makes that, a person who fills in a form does.
    #[must_use]
    pub fn is_uniform(&self) -> bool {
        self.0.iter().all(|byte| *byte == self.0[0])
    }
}

/// `bytes` in hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

/// The bytes that `text`, 2 N hexadecimal digits, names.
pub(super) fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, at) in bytes.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(&text[at..at + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_is_shown() {
        let id = KeyId([0x7f, 0x3a, 0x9c, 1, 0xd2, 0xe4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0xff]);
        assert_eq!(id.to_string(), "7f3a9c01d2e40607".to_owned() + "08090a0b0c0d0eff");
        assert_eq!(KeyId::parse(&id.to_string()), Some(id));
        assert_eq!(KeyId::parse(&id.to_string().to_uppercase()), Some(id));
        assert_eq!(id.short(), "7f3a9c01…");
        for text in ["", "7f3a", "+f3a9c01d2e4060708090a0b0c0d0eff", "ü3a9c01d2e4060708090a0b0c0d0eff"] {
            assert_eq!(KeyId::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_key_is_exactly_32_bytes_of_base64() {
        assert!(Material::from_base64(b"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").is_some());
        for text in [
            "",
            "AAEC",
            "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gIQ==",
            "no base64 at all, but 44 characters long!",
        ] {
            assert!(Material::from_base64(text.as_bytes()).is_none(), "{text}");
        }
        assert!(Material::copy(&[7; KEY_BYTES]).is_uniform());
    }

    #[test]
    fn a_new_key_is_another_each_time_and_is_read_as_it_is_revealed() {
        let [one, other] = [(); 2].map(|()| Material::generate().expect("random bytes"));
        assert_ne!(one.id(), other.id());
        assert!(!one.is_uniform());
        assert_eq!(Material::from_base64(one.reveal().as_bytes()).expect("base64").id(), one.id());
    }
}
