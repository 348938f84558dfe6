//! What our own scripts write is told to us too, as if somebody else had written it: these are the keys whose next
//! change is our own.

#![forbid(unsafe_code)]

use std::sync::Mutex;

use foldhash::HashMap;

use crate::clock;
use crate::runtime::lock;

/// How long an echo may be under way. Some never come: a server tells a key once in each turn of its loop, and not to
/// whom changed it last.
const UNDER_WAY_MS: i64 = 5000;
/// From so many on, those that did not come are looked for.
const MANY: usize = 256;

/// The echoes of one link.
#[derive(Default)]
pub(super) struct Echoes(Mutex<HashMap<Vec<u8>, Awaited>>);

struct Awaited {
    count: u32,
    until_ms: i64,
}

impl Echoes {
    /// A script of ours is about to write `key`.
    pub fn expect(&self, key: &[u8]) {
        let now_ms = clock::coarse_ms();
        let mut awaited = lock(&self.0);
        if awaited.len() >= MANY {
            awaited.retain(|_, echo| echo.until_ms > now_ms);
        }
        let echo = awaited.entry(key.to_vec()).or_insert(Awaited { count: 0, until_ms: 0 });
        echo.count += 1;
        echo.until_ms = now_ms + UNDER_WAY_MS;
    }

    /// One that was expected will not come, or has: whether it was still awaited.
    pub fn take(&self, key: &[u8]) -> bool {
        let mut awaited = lock(&self.0);
        let Some(echo) = awaited.get_mut(key) else { return false };
        let is_awaited = echo.until_ms > clock::coarse_ms();
        echo.count -= 1;
        if echo.count == 0 || !is_awaited {
            awaited.remove(key);
        }
        is_awaited
    }

    /// The link on which they would come is gone.
    pub fn forget(&self) {
        lock(&self.0).clear();
    }
}
