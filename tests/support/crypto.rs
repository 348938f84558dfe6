//! Rings and envelopes for the tests of the seal.

#![allow(dead_code, reason = "no test needs all of it")]

use base64ct::{Base64, Encoding};
use tokencache::crypto::wrap::UnwrapKeys;
use tokencache::crypto::{self, Context, KeyId, Material, Opened, Refusal, Ring, Stamp};

/// Where the entries of these tests belong.
pub const HERE: Context<'static> = Context { namespace: b"orders:", name: b"user-a" };

/// 2026-08-21T10:02:00Z, and an hour later.
pub const STAMP: Stamp =
    Stamp { version: 42, created_at_ms: 1_787_306_520_000, expires_at_ms: 1_787_310_120_000, flags: 0 };

/// The bytes of test key `number`.
pub fn key(number: u8) -> [u8; 32] {
    std::array::from_fn(|at| number.wrapping_mul(32).wrapping_add(u8::try_from(at).expect("below 32")))
}

/// The name of test key `number`.
pub fn key_id(number: u8) -> KeyId {
    Material::copy(&key(number)).id()
}

/// Base64 of `bytes`.
pub fn base64(bytes: &[u8]) -> String {
    Base64::encode_string(bytes)
}

/// A ring of test keys, by state and number.
pub fn ring(keys: &[(&str, u8)]) -> Ring {
    let keys: Vec<String> = keys.iter().map(|(state, number)| member(state, *number)).collect();
    parse(&format!(r#"{{"version": 1, "keys": [{}]}}"#, keys.join(", "))).expect("a ring")
}

/// A key as a ring has it.
pub fn member(state: &str, number: u8) -> String {
    format!(r#"{{"state": "{state}", "material": "{}"}}"#, base64(&key(number)))
}

/// The ring that `text` holds, without private keys.
pub fn parse(text: &str) -> tokencache::error::Result<Ring> {
    Ring::parse(text, "The key ring", &UnwrapKeys::none())
}

/// `value`, sealed for these tests' place.
pub fn seal(ring: &Ring, value: &[u8]) -> Vec<u8> {
    crypto::seal(ring, &HERE, &STAMP, value).expect("memory")
}

/// What opens.
pub fn opened(ring: &Ring, bytes: &[u8]) -> Opened {
    crypto::open(ring, &HERE, bytes).unwrap_or_else(|refusal| panic!("{refusal}"))
}

/// Why `bytes` do not open.
pub fn refusal(ring: &Ring, bytes: &[u8]) -> Refusal {
    crypto::open(ring, &HERE, bytes).err().expect("refused")
}

/// The bytes that `text`, base64, holds.
pub fn bytes(text: &str) -> Vec<u8> {
    Base64::decode_vec(text).expect("base64")
}
