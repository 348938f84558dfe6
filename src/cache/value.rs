//! What a value may be, and how long it lives.

#![forbid(unsafe_code)]

use super::{Cache, SetOptions};
use crate::config::{Config, FromValue};
use crate::entry::{self, Defaults, Lifetime, Secret};
use crate::error::{Error, Kind, Result};
use crate::msal;

impl Cache {
    /// Whether `data` may be stored, for a caller that copies it first.
    pub fn check_value(&self, data: &[u8]) -> Result<()> {
        check_value(data, &self.config.load())
    }
}

/// How long `data` lives that is stored at Unix time `now_ms`.
pub(super) fn resolve(data: &[u8], options: SetOptions, config: &Config, now_ms: i64) -> Lifetime {
    let expiry = &config.expiry;
    let defaults = Defaults { ttl_ms: expiry.default_ttl_ms, sliding_ms: expiry.sliding_ms };
    let is_silent = options.asked.ttl_ms == 0 && options.asked.expires_at_ms == 0;
    let found = (is_silent && expiry.from_value == FromValue::Msal)
        .then(|| entry::last_token_expires_at_ms(data))
        .flatten();
    Lifetime::resolve(options.asked, defaults, found, now_ms)
}

/// `data` without the access tokens that have ended, where the document says so and there are any.
pub(super) fn pruned(data: &[u8], config: &Config, now_ms: i64) -> Option<Secret> {
    if config.msal.prune_expired { msal::prune(data, now_ms) } else { None }
}

/// Refuses what is longer than the document allows.
pub(super) fn check_value(data: &[u8], config: &Config) -> Result<()> {
    let limit = config.limits.max_value_bytes;
    if data.len() > limit {
        let len = data.len();
        let message = format!("The value is {len} bytes long; limits.max_value_bytes allows {limit}.");
        return Err(Error::new(Kind::ValueTooLarge, message));
    }
    Ok(())
}
