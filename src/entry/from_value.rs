//! What a value says of its own end. An MSAL cache without refresh tokens is of no use after its last access token,
//! so it ends with it; this is what MSAL itself suggests for such a blob (`SuggestedCacheExpiry`).
//!
//! The format is that of `SerializeMsalV3`: a JSON object with the sections `AccessToken` and `RefreshToken`, each a
//! map of items; `expires_on` of an access token is Unix time in seconds, written as text.

#![forbid(unsafe_code)]

use std::fmt;

use serde::de::{Error, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// The two sections that decide. Everything else is skipped without a copy of it being made.
#[derive(Deserialize)]
struct Blob {
    #[serde(rename = "AccessToken")]
    access_tokens: Option<LastEnd>,
    #[serde(rename = "RefreshToken")]
    _refresh_tokens: Option<Nothing>,
}

#[derive(Deserialize)]
struct AccessToken {
    expires_on: Seconds,
}

/// The Unix time in ms at which the last of several access tokens ends. One whose end cannot be read may be the last:
/// then the blob says nothing.
struct LastEnd(Option<i64>);

impl<'de> Deserialize<'de> for LastEnd {
    fn deserialize<D: Deserializer<'de>>(blob: D) -> Result<LastEnd, D::Error> {
        struct Tokens;

        impl<'de> Visitor<'de> for Tokens {
            type Value = LastEnd;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("access tokens")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut tokens: A) -> Result<LastEnd, A::Error> {
                let mut last = None;
                while tokens.next_key::<IgnoredAny>()?.is_some() {
                    let AccessToken { expires_on } = tokens.next_value()?;
                    let end_ms = expires_on.0.checked_mul(1000).filter(|end_ms| *end_ms > 0);
                    last = last.max(Some(end_ms.ok_or_else(|| A::Error::custom("a time that cannot be"))?));
                }
                Ok(LastEnd(last))
            }
        }

        blob.deserialize_map(Tokens)
    }
}

/// A section without an item. The first item ends the reading of the blob, most of which comes after it.
struct Nothing;

impl<'de> Deserialize<'de> for Nothing {
    fn deserialize<D: Deserializer<'de>>(blob: D) -> Result<Nothing, D::Error> {
        struct Tokens;

        impl<'de> Visitor<'de> for Tokens {
            type Value = Nothing;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("no refresh token")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut tokens: A) -> Result<Nothing, A::Error> {
                match tokens.next_key::<IgnoredAny>()? {
                    None => Ok(Nothing),
                    Some(_) => Err(A::Error::custom("a refresh token")),
                }
            }
        }

        blob.deserialize_map(Tokens)
    }
}

/// Unix time: MSAL writes it as text.
struct Seconds(i64);

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(blob: D) -> Result<Seconds, D::Error> {
        struct TextOrNumber;

        impl Visitor<'_> for TextOrNumber {
            type Value = Seconds;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("seconds")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Seconds, E> {
                text.parse().map(Seconds).map_err(E::custom)
            }

            fn visit_i64<E: Error>(self, seconds: i64) -> Result<Seconds, E> {
                Ok(Seconds(seconds))
            }

            fn visit_u64<E: Error>(self, seconds: u64) -> Result<Seconds, E> {
                i64::try_from(seconds).map(Seconds).map_err(E::custom)
            }
        }

        blob.deserialize_any(TextOrNumber)
    }
}

/// The Unix time in ms at which the last access token in `value` ends, when `value` is an MSAL cache that holds
/// access tokens and no refresh tokens.
#[inline]
#[must_use]
pub fn last_token_expires_at_ms(value: &[u8]) -> Option<i64> {
    if value.first() == Some(&b'{') { last_token(value) } else { None }
}

fn last_token(value: &[u8]) -> Option<i64> {
    serde_json::from_slice::<Blob>(value).ok()?.access_tokens?.0
}
