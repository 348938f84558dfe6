//! The tier in memory. It keeps its limit in bytes, keys and overhead counted; admits every new entry; and of the
//! newest writes keeps an eighth of its capacity whether anybody reads them or not.

#![forbid(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use foldhash::fast::RandomState;
use quick_cache::sync::Cache as Table;
use quick_cache::{Lifecycle, OptionsBuilder, Weighter};

use crate::defect;
use crate::entry::{Entry, Key, cost_bytes};
use crate::sync::{Mutex, MutexGuard, lock, step};

/// The share of the capacity for entries that were read again and again. The rest is a queue of the newest, with room
/// for all that is fresh although a shard may hold more than its share of it: where it had not, entries of all ages would
/// go, and leave a heap in holes [measured with four threads: 1.15 of the limit at 0.75, 1.75 at 0.86].
const HOT_ALLOCATION: f64 = 0.75;

#[derive(Clone)]
struct ByCost;

impl Weighter<Entry, Entry> for ByCost {
    fn weight(&self, _key: &Entry, entry: &Entry) -> u64 {
        entry.cost_bytes()
    }
}

/// The share of the capacity whose newest writes are not evicted. More than the promised eighth, because what an
/// entry costs is more than its key and bytes.
const FRESH_ALLOCATION: f64 = 0.14;

/// Keeps the newest writes and counts evictions. It frees at once: deferred frees are how a tier outgrows its limit.
#[derive(Clone, Default)]
struct KeepFresh(Arc<Freshness>);

#[derive(Default)]
struct Freshness {
    /// What all writes so far cost.
    written_bytes: AtomicU64,
    /// How much of that is fresh.
    fresh_bytes: AtomicU64,
    evictions: AtomicU64,
}

impl Freshness {
    fn set_capacity_bytes(&self, capacity_bytes: u64) {
        self.fresh_bytes.store((capacity_bytes as f64 * FRESH_ALLOCATION) as u64, Ordering::Relaxed);
    }

    fn stamp(&self, entry: &Entry) {
        let cost_bytes = entry.cost_bytes();
        entry.set_written_mark(self.written_bytes.fetch_add(cost_bytes, Ordering::Relaxed) + cost_bytes);
    }
}

impl Lifecycle<Entry, Entry> for KeepFresh {
    type RequestState = ();

    fn is_pinned(&self, _key: &Entry, entry: &Entry) -> bool {
        let mark = entry.written_mark();
        let since = self.0.written_bytes.load(Ordering::Relaxed).wrapping_sub(mark);
        mark != 0 && since < self.0.fresh_bytes.load(Ordering::Relaxed)
    }

    fn on_evict(&self, _state: &mut (), key: Entry, value: Entry) {
        self.0.evictions.fetch_add(1, Ordering::Relaxed);
        drop((key, value));
    }
}

/// How an entry comes to L1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Somebody stored it: it takes its place among the newest.
    Written,
    /// It was read from L2: what was evicted a while ago comes back as one that is read often.
    Read,
}

/// The tier.
pub struct L1 {
    table: Table<Entry, Entry, ByCost, RandomState, KeepFresh>,
    freshness: Arc<Freshness>,
    /// Writers of a key take turns, so that comparing and storing is one step.
    turns: Box<[Mutex<()>]>,
    is_enabled: AtomicBool,
    earliest_deadline_ms: AtomicI64,
}

impl L1 {
    /// A tier of `capacity_bytes` that admits values of up to `max_value_bytes` wherever that is possible.
    #[must_use]
    pub fn new(capacity_bytes: u64, max_value_bytes: usize, is_enabled: bool) -> L1 {
        let lifecycle = KeepFresh::default();
        lifecycle.0.set_capacity_bytes(capacity_bytes);
        let options = OptionsBuilder::new()
            .weight_capacity(capacity_bytes)
            .estimated_items_capacity(usize::try_from(capacity_bytes / 4096).unwrap_or(usize::MAX).max(32))
            .hot_allocation(HOT_ALLOCATION)
            .shards(shards(capacity_bytes, max_value_bytes))
            .build()
            .expect("capacity and estimate are given");
        L1 {
            freshness: Arc::clone(&lifecycle.0),
            table: Table::with_options(options, ByCost, RandomState::default(), lifecycle),
            turns: (0..64).map(|_| Mutex::new(())).collect(),
            is_enabled: AtomicBool::new(is_enabled),
            earliest_deadline_ms: AtomicI64::new(i64::MAX),
        }
    }

    /// The entry of `key`, alive or not.
    #[inline]
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<Entry> {
        step();
        self.table.get(&Key(key))
    }

    /// The right to write entries of `slot`, until it is dropped.
    pub fn turn(&self, slot: u32) -> MutexGuard<'_, ()> {
        lock(&self.turns[slot as usize % self.turns.len()])
    }

    /// Stores `entry` in place of what was under its key. Call it with the [`L1::turn`] of its slot.
    pub fn put(&self, entry: Entry, arrival: Arrival) {
        defect::point("l1-put");
        // Replaced in its place an entry would keep its place in the queue, which may be the first to go.
        if arrival == Arrival::Written || self.table.contains_key(&Key(entry.key())) {
            self.table.remove(&Key(entry.key()));
            step();
        }
        if self.is_enabled.load(Ordering::Relaxed) && self.holds(entry.cost_bytes()) {
            // A few large values must not fill their shard with what cannot go.
            if arrival == Arrival::Written && entry.cost_bytes() <= self.table.shard_capacity() / 16 {
                self.freshness.stamp(&entry);
            }
            let deadline_ms = entry.deadline_ms();
            self.table.insert(entry.clone(), entry);
            // Not before: a sweep in between would forget it.
            self.note_deadline(deadline_ms);
        }
    }

    /// Whether a key and a value of these lengths can be held at all.
    #[must_use]
    pub fn admits(&self, key_len: usize, value_len: usize) -> bool {
        self.is_enabled.load(Ordering::Relaxed) && self.holds(cost_bytes(key_len, value_len))
    }

    fn holds(&self, cost_bytes: u64) -> bool {
        cost_bytes as f64 <= self.table.shard_capacity() as f64 * HOT_ALLOCATION
    }

    /// An entry that is here ends at `deadline_ms`.
    pub fn note_deadline(&self, deadline_ms: i64) {
        self.earliest_deadline_ms.fetch_min(deadline_ms, Ordering::Relaxed);
    }

    /// Removes the entry of `key`.
    pub fn remove(&self, key: &[u8]) {
        self.table.remove(&Key(key));
    }

    /// Removes the entry of `key` unless this process alone knows of it.
    pub fn remove_shared(&self, key: &[u8]) {
        self.table.remove_if(&Key(key), |entry| !entry.is_local());
    }

    /// Removes what L2 has too.
    pub fn forget_shared(&self) {
        self.table.retain(|_, entry| entry.is_local());
    }

    /// Removes everything.
    pub fn clear(&self) {
        self.table.clear();
    }

    /// Removes, and so wipes, what is dead at the coarse monotonic time `now_ms`.
    pub fn sweep(&self, now_ms: i64) {
        if now_ms < self.earliest_deadline_ms.load(Ordering::Relaxed) {
            return;
        }
        self.earliest_deadline_ms.store(i64::MAX, Ordering::Relaxed);
        self.table.retain(|_, entry| {
            let deadline_ms = entry.deadline_ms();
            if now_ms < deadline_ms {
                self.note_deadline(deadline_ms);
            }
            now_ms < deadline_ms
        });
    }

    /// Takes over a new limit; what no longer fits is evicted now.
    pub fn set_capacity_bytes(&self, capacity_bytes: u64) {
        if self.table.capacity() != capacity_bytes {
            self.freshness.set_capacity_bytes(capacity_bytes);
            self.table.set_capacity(capacity_bytes);
        }
    }

    /// Switches the tier on or off; off, it holds nothing.
    pub fn enable(&self, is_enabled: bool) {
        self.is_enabled.store(is_enabled, Ordering::Relaxed);
        if !is_enabled {
            // Whoever puts an entry in has seen that it is off, once it has had its turn.
            self.turns.iter().for_each(|turn| drop(lock(turn)));
            self.clear();
        }
    }

    /// How many entries it holds.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.table.len() as u64
    }

    /// How many bytes it holds, keys and overhead counted.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.table.weight()
    }

    /// How many entries had to go for others.
    #[must_use]
    pub fn evictions(&self) -> u64 {
        self.freshness.evictions.load(Ordering::Relaxed)
    }
}

/// Few shards: each holds at least four of the largest values, or there is one.
fn shards(capacity_bytes: u64, max_value_bytes: usize) -> usize {
    let largest = cost_bytes(1024, max_value_bytes);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let shards = usize::try_from(capacity_bytes / largest.saturating_mul(4)).unwrap_or(usize::MAX);
    let shards = shards.clamp(1, cores.saturating_mul(4).next_power_of_two());
    if shards.is_power_of_two() { shards } else { shards.next_power_of_two() / 2 }
}
