//! `tc_stats`: counters and health as one JSON document.

#![forbid(unsafe_code)]

use std::sync::atomic::Ordering;

use serde_json::{Map, Value, json};

use super::Cache;
use crate::config;
use crate::error::{Error, Result};

impl Cache {
    /// The document. `hits` were counted by the C ABI.
    pub fn statistics(&self, hits: u64) -> Result<String> {
        if self.signal.is_closing() {
            return Err(Error::closed());
        }
        let config = self.config.load();
        let document = json!({
            "name": config.name,
            "version": env!("CARGO_PKG_VERSION"),
            "l1": self.describe_l1(hits, &config),
            "l2": self.describe_l2(&config),
            "coherence": self.coherence.as_ref().map_or(Value::Null, |coherence| coherence.describe()),
            "journal": self.describe_journal(),
            "encryption": self.describe_seal(),
            "asynchronous": { "accepted": self.accepted.load(Ordering::Acquire) },
            "dropped_log_records": self.log.dropped(),
        });
        Ok(document.to_string())
    }

    fn describe_l1(&self, hits: u64, config: &config::Config) -> Value {
        let mut l1 = Map::new();
        l1.insert("enabled".into(), config.l1.is_enabled.into());
        l1.insert("entries".into(), self.l1.entries().into());
        l1.insert("bytes".into(), self.l1.bytes().into());
        l1.insert("capacity_bytes".into(), config.l1.capacity_bytes.into());
        l1.insert("evictions".into(), self.l1.evictions().into());
        self.stats.describe_l1(hits, &mut l1);
        l1.into()
    }

    fn describe_l2(&self, config: &config::Config) -> Value {
        let mut l2 = Map::new();
        let kind = match config.l2.kind {
            config::Kind::None => "none",
            config::Kind::Sqlite { .. } => "sqlite",
            config::Kind::Redis(_) => "redis",
        };
        l2.insert("kind".into(), kind.into());
        if let Some(store) = &self.store {
            self.stats.describe_l2(&mut l2);
            let figures: Map<String, Value> =
                store.figures().into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
            l2.insert("store".into(), figures.into());
            l2.insert("circuit".into(), self.circuit.describe());
            l2.insert("failover".into(), self.describe_failover());
        }
        l2.into()
    }
}
