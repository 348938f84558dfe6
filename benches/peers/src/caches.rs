//! Each peer as it comes, but for its hash and for what an entry costs.

#![forbid(unsafe_code)]

use std::sync::{Mutex, PoisonError};

use dashmap::DashMap;
use foldhash::fast::RandomState;
use lru::LruCache;
use quick_cache::Weighter;
use quick_cache::sync::DefaultLifecycle;

use crate::value::Value;
use crate::{OVERHEAD_BYTES, Peer, cost_bytes};

type Key = Box<[u8]>;

/// TinyLFU in front of an LRU; reads and writes are logged, and the log is worked off by whoever calls.
pub struct Moka(moka::sync::Cache<Key, Value, RandomState>);

impl Peer for Moka {
    fn open(capacity_bytes: u64) -> Moka {
        let builder = moka::sync::Cache::builder()
            .max_capacity(capacity_bytes)
            .weigher(|key: &Key, value: &Value| cost_bytes(key, value) as u32);
        Moka(builder.build_with_hasher(RandomState::default()))
    }

    fn get(&self, key: &[u8]) -> Option<Value> {
        self.0.get(key)
    }

    fn set(&self, key: &[u8], value: Value) {
        self.0.insert(key.into(), value);
    }
}

/// S3-FIFO's kin in shards, each behind a lock that readers share.
pub struct Quick(quick_cache::sync::Cache<Key, Value, Bytes, RandomState>);

#[derive(Clone)]
pub struct Bytes;

impl Weighter<Key, Value> for Bytes {
    fn weight(&self, key: &Key, value: &Value) -> u64 {
        cost_bytes(key, value)
    }
}

/// Of an entry of the benchmarks, from which quick_cache reckons how many there will be.
const USUAL_BYTES: u64 = 7_000 + 73 + OVERHEAD_BYTES;

impl Peer for Quick {
    fn open(capacity_bytes: u64) -> Quick {
        let entries = capacity_bytes.div_ceil(USUAL_BYTES) as usize;
        Quick(quick_cache::sync::Cache::with(
            entries,
            capacity_bytes,
            Bytes,
            RandomState::default(),
            DefaultLifecycle::default(),
        ))
    }

    fn get(&self, key: &[u8]) -> Option<Value> {
        self.0.get(key)
    }

    fn set(&self, key: &[u8], value: Value) {
        self.0.insert(key.into(), value);
    }
}

/// A map in shards that keeps everything.
pub struct Dash(DashMap<Key, Value, RandomState>);

impl Peer for Dash {
    fn open(_capacity_bytes: u64) -> Dash {
        Dash(DashMap::with_hasher(RandomState::default()))
    }

    fn get(&self, key: &[u8]) -> Option<Value> {
        self.0.get(key).map(|found| found.clone())
    }

    fn set(&self, key: &[u8], value: Value) {
        self.0.insert(key.into(), value);
    }
}

/// What hit ratios are compared with: who was used longest ago goes.
pub struct Lru(Mutex<Entries>);

struct Entries {
    by_use: LruCache<Key, Value, RandomState>,
    bytes: u64,
    capacity_bytes: u64,
}

impl Lru {
    fn lock(&self) -> std::sync::MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Peer for Lru {
    fn open(capacity_bytes: u64) -> Lru {
        let by_use = LruCache::unbounded_with_hasher(RandomState::default());
        Lru(Mutex::new(Entries { by_use, bytes: 0, capacity_bytes }))
    }

    fn get(&self, key: &[u8]) -> Option<Value> {
        self.lock().by_use.get(key).cloned()
    }

    fn set(&self, key: &[u8], value: Value) {
        let mut entries = self.lock();
        entries.bytes += cost_bytes(key, &value);
        if let Some((key, before)) = entries.by_use.push(key.into(), value) {
            entries.bytes -= cost_bytes(&key, &before);
        }
        while entries.bytes > entries.capacity_bytes {
            let Some((key, value)) = entries.by_use.pop_lru() else { return };
            entries.bytes -= cost_bytes(&key, &value);
        }
    }
}
