//! Caches and files for tests of the tiers together.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokencache::cache::Cache;

/// A folder of its own, with a database to be in it.
pub struct Shared {
    folder: TempDir,
}

#[allow(dead_code)]
impl Shared {
    pub fn new() -> Shared {
        Shared { folder: tempfile::tempdir().expect("a temporary folder") }
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn database(&self) -> PathBuf {
        self.folder().join("tokens.db")
    }

    /// A document with this database as L2, a deadline that no load of the machine breaks, and `more` members.
    pub fn document(&self, more: Value) -> String {
        let mut document = json!({
            "version": 1,
            "l2": { "kind": "sqlite", "path": self.database() },
            "encryption": { "algorithm": "none" },
            "resilience": { "deadline_ms": 30_000 },
            "logging": { "to": "none" },
        });
        merge(&mut document, more);
        document.to_string()
    }

    pub fn open(&self, more: Value) -> Arc<Cache> {
        Cache::open(self.document(more).as_bytes()).expect("the cache opens")
    }
}

/// A cache with L1 alone.
#[allow(dead_code)]
pub fn open_alone(more: Value) -> Arc<Cache> {
    let mut document = json!({ "version": 1, "logging": { "to": "none" } });
    merge(&mut document, more);
    Cache::open(document.to_string().as_bytes()).expect("the cache opens")
}

/// What the cache says of itself.
#[allow(dead_code)]
pub fn statistics(cache: &Cache) -> Value {
    serde_json::from_str(&cache.statistics(0).expect("an open cache")).expect("JSON")
}

/// Waits until `condition` holds.
#[allow(dead_code)]
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Whether the long lines run whole.
#[allow(dead_code)]
pub fn is_long() -> bool {
    std::env::var_os("TOKENCACHE_TEST_LONG").is_some()
}

/// Puts the members of `more` over those of `into`.
pub fn merge(into: &mut Value, more: Value) {
    match (into, more) {
        (Value::Object(into), Value::Object(more)) => {
            for (name, value) in more {
                merge(into.entry(name).or_insert(Value::Null), value);
            }
        }
        (into, more) => *into = more,
    }
}
