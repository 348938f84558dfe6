//! Which entries were read lately. A read does not write; what it used is remembered here and recorded later, many
//! reads at once.

#![forbid(unsafe_code)]

use std::sync::{Mutex, MutexGuard, PoisonError};

use foldhash::HashMap;
use rusqlite::{Connection, Result, params};

/// A use is worth recording when the one on record is older.
const COARSE_MS: i64 = 1000;

/// Keys remembered at most; more uses within a second are not told apart.
const BOUND: usize = 1024;

const RECORD: &str =
    "UPDATE entries SET used_at_ms = ?2 WHERE key = ?1 AND used_at_ms < ?2 AND value IS NOT NULL";

/// The uses that are not recorded yet.
#[derive(Default)]
pub(super) struct Usage(Mutex<HashMap<Vec<u8>, i64>>);

impl Usage {
    /// Remembers a use at `now_ms` of an entry whose last recorded one was at `recorded_ms`.
    pub fn remember(&self, key: &[u8], recorded_ms: i64, now_ms: i64) {
        if now_ms.saturating_sub(recorded_ms) < COARSE_MS {
            return;
        }
        let mut uses = self.lock();
        if let Some(last) = uses.get_mut(key) {
            *last = now_ms;
        } else if uses.len() < BOUND {
            uses.insert(key.to_vec(), now_ms);
        }
    }

    /// Records what is remembered, inside the transaction of `connection`.
    pub fn record(&self, connection: &Connection) -> Result<()> {
        let uses = std::mem::take(&mut *self.lock());
        let mut statement = connection.prepare_cached(RECORD)?;
        for (key, used_at_ms) in uses {
            statement.execute(params![key, used_at_ms])?;
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Vec<u8>, i64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
