//! What goes when the database has reached its capacity: first what has expired, then the oldest
//! tombstones, then the longest unused, and the latest tombstones when nothing else is left.

#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::{Connection, Result, params};

use super::usage::Usage;
use crate::l2::replay::TRACED_MS;
use crate::l2::{Class, Failure};

/// Entries deleted at once.
const BATCH: i64 = 8;

/// Batches in one transaction, so that nobody waits long for it when the capacity was lowered.
const BATCHES: usize = 32;

/// The latest tombstones, which outlive entries: what was removed a moment ago may be owed by others as it was before. No
/// more, for they are counted with each write of a full database.
const SPARED: i64 = 256;

/// What an empty database takes, and what the pages of an entry hold beside it.
const OVERHEAD_BYTES: u64 = 10 * 4096;

/// Never `?3`, the key just written.
const DELETE_EXPIRED: &str = "DELETE FROM entries WHERE id IN
     (SELECT id FROM entries WHERE ends_at_ms != 0 AND ends_at_ms <= ?1 AND key IS NOT ?3
      ORDER BY ends_at_ms LIMIT ?2)";

/// What ended leaves a sign of when it was written: an older write may be owed, and must not come after it.
const BURY_EXPIRED: &str = "UPDATE entries SET value = NULL, ends_at_ms = ?1 + ?3 WHERE id IN
     (SELECT id FROM entries WHERE value IS NOT NULL AND ends_at_ms != 0 AND ends_at_ms <= ?1
      ORDER BY ends_at_ms LIMIT ?2)";

const FORGET_ENDED: &str = "DELETE FROM entries WHERE id IN
     (SELECT id FROM entries WHERE value IS NULL AND ends_at_ms <= ?1 ORDER BY ends_at_ms LIMIT ?2)";

/// Where the clock was ahead, what is written now would go before all that was used then.
const USE_NOW: &str = "UPDATE entries SET used_at_ms = ?1 WHERE id IN
     (SELECT id FROM entries WHERE value IS NOT NULL AND used_at_ms > ?1 LIMIT ?2)";

/// But for the latest `?3`.
const DELETE_TOMBSTONES: &str = "DELETE FROM entries WHERE id IN
     (SELECT id FROM entries WHERE value IS NULL AND key IS NOT ?2 AND ends_at_ms <=
         (SELECT ends_at_ms FROM entries WHERE value IS NULL ORDER BY ends_at_ms DESC LIMIT 1 OFFSET ?3)
      ORDER BY ends_at_ms LIMIT ?1)";

const DELETE_UNUSED: &str = "DELETE FROM entries WHERE id IN
     (SELECT id FROM entries WHERE value IS NOT NULL AND key IS NOT ?2 ORDER BY used_at_ms LIMIT ?1)";

/// The room that a database may take, and what was let go to stay within it.
pub(super) struct Capacity {
    /// 0 for no limit.
    bytes: AtomicU64,
    /// Bytes of the pages in use when they were last counted.
    used_bytes: AtomicU64,
    evicted: AtomicU64,
    expired: AtomicU64,
}

impl Capacity {
    pub fn new(bytes: u64) -> Capacity {
        let zero = || AtomicU64::new(0);
        Capacity { bytes: AtomicU64::new(bytes), used_bytes: zero(), evicted: zero(), expired: zero() }
    }

    pub fn set(&self, bytes: u64) {
        self.bytes.store(bytes, Ordering::Relaxed);
    }

    pub fn is_limited(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) != 0
    }

    pub fn used_bytes(&self) -> u64 {
        self.used_bytes.load(Ordering::Relaxed)
    }

    pub fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    pub fn expired(&self) -> u64 {
        self.expired.load(Ordering::Relaxed)
    }

    /// Refuses what would not fit into an empty database.
    pub fn admit(&self, key_len: usize, value_len: usize) -> std::result::Result<(), Failure> {
        let capacity = self.bytes.load(Ordering::Relaxed);
        let needed = (key_len as u64).saturating_add(value_len as u64).saturating_add(OVERHEAD_BYTES);
        if capacity == 0 || needed <= capacity {
            return Ok(());
        }
        let message = format!(
            "A value of {value_len} bytes never fits into the database: it needs {needed} bytes with its key and \
             overhead, and l2.capacity_bytes is {capacity}; raise the capacity, or store less."
        );
        Err(Failure::new(Class::Full, message))
    }

    /// Keeps the database within its capacity, inside the transaction of `connection`. `kept` is the key just written.
    pub fn keep(
        &self,
        connection: &Connection,
        kept: Option<&[u8]>,
        now_ms: i64,
        usage: &Usage,
    ) -> Result<()> {
        let capacity = self.bytes.load(Ordering::Relaxed);
        let mut used = self.count(connection)?;
        if capacity == 0 || used <= capacity {
            return Ok(());
        }
        usage.record(connection)?;
        for _ in 0..BATCHES {
            if self.delete_expired(connection, kept, now_ms)? == 0
                && delete_tombstones(connection, kept, SPARED)? == 0
                && self.delete_unused(connection, kept)? == 0
                && delete_tombstones(connection, kept, 0)? == 0
            {
                break;
            }
            used = self.count(connection)?;
            if used <= capacity {
                break;
            }
        }
        Ok(())
    }

    /// Lets go of the values of a batch of what has ended, and of a batch of tombstones that are over, and has a few batches
    /// used now that are said to have been later; answers how many there were.
    pub fn tidy(&self, connection: &Connection, now_ms: i64) -> Result<u64> {
        let ahead =
            connection.prepare_cached(USE_NOW)?.execute(params![now_ms, BATCH * BATCHES as i64])? as u64;
        let buried =
            connection.prepare_cached(BURY_EXPIRED)?.execute(params![now_ms, BATCH, TRACED_MS])? as u64;
        self.expired.fetch_add(buried, Ordering::Relaxed);
        let forgotten = connection.prepare_cached(FORGET_ENDED)?.execute(params![now_ms, BATCH])? as u64;
        Ok(ahead + buried + forgotten)
    }

    /// Deletes a batch of what has ended, and answers how many.
    fn delete_expired(&self, connection: &Connection, kept: Option<&[u8]>, now_ms: i64) -> Result<u64> {
        let deleted =
            connection.prepare_cached(DELETE_EXPIRED)?.execute(params![now_ms, BATCH, kept])? as u64;
        self.expired.fetch_add(deleted, Ordering::Relaxed);
        Ok(deleted)
    }

    fn delete_unused(&self, connection: &Connection, kept: Option<&[u8]>) -> Result<u64> {
        let deleted = connection.prepare_cached(DELETE_UNUSED)?.execute(params![BATCH, kept])? as u64;
        self.evicted.fetch_add(deleted, Ordering::Relaxed);
        Ok(deleted)
    }

    fn count(&self, connection: &Connection) -> Result<u64> {
        let number = |sql| connection.prepare_cached(sql)?.query_row((), |row| row.get::<_, i64>(0));
        let pages = number("PRAGMA page_count")? - number("PRAGMA freelist_count")?;
        let used = (pages * number("PRAGMA page_size")?) as u64;
        self.used_bytes.store(used, Ordering::Relaxed);
        Ok(used)
    }
}

/// Deletes a batch of the oldest tombstones but for the latest `spared`, and answers how many. Nobody misses one as they
/// would an entry, so that they count as neither evicted nor expired.
fn delete_tombstones(connection: &Connection, kept: Option<&[u8]>, spared: i64) -> Result<usize> {
    connection.prepare_cached(DELETE_TOMBSTONES)?.execute(params![BATCH, kept, spared])
}
