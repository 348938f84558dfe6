//! What a set asks of the document. It is kept beside the document too, in words that are read without a reference to it:
//! to take one and to give it back are two locked instructions, where a set in L1 alone has seven others.

#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicU64, Ordering};

use super::SetOptions;
use crate::config::{Config, Expiry, FromValue, Limits};
use crate::entry::{self, Defaults, Lifetime, Secret};
use crate::error::{Error, Kind, Result};
use crate::msal;

/// What one document says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Terms {
    pub limits: Limits,
    expiry: Expiry,
    pub max_ttl_ms: i64,
    prunes: bool,
}

impl From<&Config> for Terms {
    fn from(config: &Config) -> Terms {
        Terms {
            limits: config.limits,
            expiry: config.expiry,
            max_ttl_ms: config.l1.max_ttl_ms,
            prunes: config.msal.prune_expired,
        }
    }
}

impl Terms {
    pub fn check_value(&self, data: &[u8]) -> Result<()> {
        let limit = self.limits.max_value_bytes;
        if data.len() > limit {
            let len = data.len();
            let message = format!("The value is {len} bytes long; limits.max_value_bytes allows {limit}.");
            return Err(Error::new(Kind::ValueTooLarge, message));
        }
        Ok(())
    }

    /// `data` without the access tokens that have ended, where the document says so and there are any.
    pub fn pruned(&self, data: &[u8], now_ms: i64) -> Option<Secret> {
        if self.prunes { msal::prune(data, now_ms) } else { None }
    }

    pub fn lifetime(&self, data: &[u8], options: SetOptions, now_ms: i64) -> Lifetime {
        let Expiry { default_ttl_ms, sliding_ms, from_value } = self.expiry;
        let is_silent = options.asked.ttl_ms == 0 && options.asked.expires_at_ms == 0;
        let found = (is_silent && from_value == FromValue::Msal)
            .then(|| entry::last_token_expires_at_ms(data))
            .flatten();
        Lifetime::resolve(options.asked, Defaults { ttl_ms: default_ttl_ms, sliding_ms }, found, now_ms)
    }

    fn words(&self) -> [u64; 6] {
        let is_msal = self.expiry.from_value == FromValue::Msal;
        [
            self.limits.max_key_bytes as u64,
            self.limits.max_value_bytes as u64,
            self.expiry.default_ttl_ms as u64,
            self.expiry.sliding_ms as u64,
            self.max_ttl_ms as u64,
            u64::from(is_msal) | u64::from(self.prunes) << 1,
        ]
    }

    #[inline]
    fn of_words([max_key, max_value, default_ttl, sliding, max_ttl, kinds]: [u64; 6]) -> Terms {
        let from_value = if kinds & 1 != 0 { FromValue::Msal } else { FromValue::Off };
        Terms {
            limits: Limits { max_key_bytes: max_key as usize, max_value_bytes: max_value as usize },
            expiry: Expiry { default_ttl_ms: default_ttl as i64, sliding_ms: sliding as i64, from_value },
            max_ttl_ms: max_ttl as i64,
            prunes: kinds & 2 != 0,
        }
    }
}

/// The terms of now.
pub(super) struct Published {
    /// Odd while the words are changed.
    changes: AtomicU64,
    words: [AtomicU64; 6],
}

impl Published {
    pub fn new(terms: Terms) -> Published {
        Published { changes: 0.into(), words: terms.words().map(AtomicU64::new) }
    }

    /// Those of one document, unless they are changed at this moment.
    #[inline]
    pub fn read(&self) -> Option<Terms> {
        let before = self.changes.load(Ordering::Acquire);
        // Whoever sees a new word sees that there was a change when it looks again.
        let words = self.words.each_ref().map(|word| word.load(Ordering::Acquire));
        let is_whole = before.is_multiple_of(2) && self.changes.load(Ordering::Relaxed) == before;
        is_whole.then(|| Terms::of_words(words))
    }

    /// By one at a time.
    pub fn change(&self, terms: Terms) {
        let before = self.changes.load(Ordering::Relaxed);
        self.changes.store(before + 1, Ordering::Relaxed);
        for (word, now) in self.words.iter().zip(terms.words()) {
            word.store(now, Ordering::Release);
        }
        self.changes.store(before + 2, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(document: &str) -> Terms {
        Terms::from(&Config::parse(document.as_bytes()).expect("a document"))
    }

    #[test]
    fn whoever_reads_while_they_change_sees_those_of_one_document_or_none() {
        let both = [
            terms(r#"{"version": 1, "limits": {"max_key_bytes": 100}, "expiry": {"default_ttl_ms": -1}}"#),
            terms(
                r#"{"version": 1, "limits": {"max_value_bytes": 4096}, "l1": {"max_ttl_ms": 5000},
                      "expiry": {"sliding_ms": 7000, "from_value": "off"}, "msal": {"prune_expired": true}}"#,
            ),
        ];
        let published = Published::new(both[0]);
        assert_eq!(published.read(), Some(both[0]));
        std::thread::scope(|scope| {
            let change = || (0..20_000).for_each(|round| published.change(both[(round + 1) % 2]));
            let writer = scope.spawn(change);
            while !writer.is_finished() {
                assert!(published.read().is_none_or(|seen| both.contains(&seen)));
            }
        });
        assert_eq!(published.read(), Some(both[0]));
    }
}
