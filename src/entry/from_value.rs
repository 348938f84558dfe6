//! What a value says of its own end. An MSAL cache without refresh tokens is of no use after its last access token,
//! so it ends with it; this is what MSAL itself suggests for such a blob (`SuggestedCacheExpiry`).
//!
//! The format is that of `SerializeMsalV3`: a JSON object with the sections `AccessToken` and `RefreshToken`, each a
//! map of items; `expires_on` of an access token is Unix time in seconds, written as text.

#![forbid(unsafe_code)]

use std::collections::HashMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

/// The two sections that decide. Everything else is skipped without a copy of it being made.
#[derive(Deserialize)]
struct Blob {
    #[serde(rename = "AccessToken")]
    access_tokens: Option<HashMap<String, AccessToken>>,
    #[serde(rename = "RefreshToken")]
    refresh_tokens: Option<HashMap<String, IgnoredAny>>,
}

#[derive(Deserialize)]
struct AccessToken {
    expires_on: Seconds,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Seconds {
    Text(String),
    Number(i64),
}

impl Seconds {
    fn to_ms(&self) -> Option<i64> {
        let seconds = match self {
            Seconds::Text(text) => text.parse().ok()?,
            Seconds::Number(number) => *number,
        };
        if seconds > 0 { seconds.checked_mul(1000) } else { None }
    }
}

/// The Unix time in ms at which the last access token in `value` ends, when `value` is an MSAL cache that holds
/// access tokens and no refresh tokens.
#[must_use]
pub fn last_token_expires_at_ms(value: &[u8]) -> Option<i64> {
    if value.first() != Some(&b'{') {
        return None;
    }
    let blob: Blob = serde_json::from_slice(value).ok()?;
    if blob.refresh_tokens.is_some_and(|tokens| !tokens.is_empty()) {
        return None;
    }
    // One token whose end cannot be read may be the last to end: then the blob says nothing.
    let ends: Option<Vec<i64>> = blob.access_tokens?.values().map(|token| token.expires_on.to_ms()).collect();
    ends?.into_iter().max()
}
