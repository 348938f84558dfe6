//! What was counted, and how long it took.

#![forbid(unsafe_code)]

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde_json::{Map, Value, json};

use crate::error::Kind;

/// A number below 16 that differs between most threads that run at once, without a thread-local: their stacks lie
/// far apart.
#[inline(always)]
#[must_use]
pub fn stripe() -> usize {
    let marker = 0u8;
    let address = &raw const marker as u64 >> 16;
    (address.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 60) as usize
}

/// Latencies of one operation in one tier.
pub struct Latency(Mutex<Histogram<u64>>);

impl Default for Latency {
    fn default() -> Self {
        // 1 ns to 100 s with two digits: 28 KiB. These bounds are valid, so this cannot fail.
        Latency(Mutex::new(Histogram::new_with_bounds(1, 100_000_000_000, 2).expect("valid bounds")))
    }
}

impl Latency {
    /// Records one.
    pub fn record(&self, took: Duration) {
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        if let Ok(mut histogram) = self.0.lock() {
            histogram.saturating_record(nanoseconds.max(1));
        }
    }

    /// The present, for one in 64 at random: of what takes less time than two looks at the clock.
    #[must_use]
    pub fn sample() -> Option<Instant> {
        (fastrand::u8(..) < 4).then(Instant::now)
    }

    /// Records one that [`Latency::sample`] has chosen.
    pub fn record_sample(&self, sample: Option<Instant>) {
        if let Some(started) = sample {
            self.record(started.elapsed());
        }
    }

    fn to_json(&self) -> Value {
        let Ok(histogram) = self.0.lock() else { return Value::Null };
        let us = |nanoseconds: u64| nanoseconds as f64 / 1000.0;
        json!({
            "count": histogram.len(),
            "p50_us": us(histogram.value_at_quantile(0.5)),
            "p99_us": us(histogram.value_at_quantile(0.99)),
            "max_us": us(histogram.max()),
        })
    }
}

/// The operations that are timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Operation {
    /// A read.
    Get = 1,
    /// A write.
    Set = 2,
    /// A removal.
    Remove = 3,
    /// The renewal of a sliding entry.
    Touch = 4,
    /// Opening or restoring the link to L2.
    Connect = 5,
}

impl Operation {
    /// All of them.
    pub const ALL: [Operation; 5] =
        [Operation::Get, Operation::Set, Operation::Remove, Operation::Touch, Operation::Connect];

    /// Its name in logs and counters.
    #[must_use]
    pub fn name(self) -> &'static str {
        ["get", "set", "remove", "touch", "connect"][self as usize - 1]
    }
}

/// The counters of one cache.
#[derive(Default)]
pub struct Stats {
    /// Reads answered by L1, without those that the C ABI counts itself.
    pub l1_hits: AtomicU64,
    /// Reads that L1 could not answer.
    pub l1_misses: AtomicU64,
    /// Entries found in L1 that had to be checked against L2 first.
    pub l1_unverified: AtomicU64,
    /// Reads answered by L1 because L2 could not be asked.
    pub degraded_reads: AtomicU64,
    /// Writes that L2 did not take and that are kept for it.
    pub owed_writes: AtomicU64,
    /// Reads of L2 that found an entry.
    pub l2_hits: AtomicU64,
    /// Reads of L2 that found none.
    pub l2_misses: AtomicU64,
    /// Reads that were answered by the read of another caller.
    pub shared_reads: AtomicU64,
    /// Conditional writes that came too late.
    pub conflicts: AtomicU64,
    /// Attempts after the first.
    pub retries: AtomicU64,
    /// Times the retry callback was asked.
    pub callbacks: AtomicU64,
    /// Samples of L1: one read in 1,024 is timed.
    pub l1_get: Latency,
    /// Samples of L1: one write in 64 is timed.
    pub l1_set: Latency,
    l2: [Latency; 5],
    errors: [(AtomicU64, AtomicU64); 8],
}

/// Raises a counter by one.
pub fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

const L2_KINDS: [Kind; 8] = [
    Kind::L2Unreachable,
    Kind::L2Timeout,
    Kind::L2Busy,
    Kind::L2Denied,
    Kind::L2Protocol,
    Kind::L2Suspended,
    Kind::L2Full,
    Kind::Closed,
];

impl Stats {
    /// The latencies of `operation` in L2, all its attempts counted.
    #[must_use]
    pub fn l2(&self, operation: Operation) -> &Latency {
        &self.l2[operation as usize - 1]
    }

    /// Counts a failed attempt of `kind`, or with `is_final` a call that failed for it.
    pub fn failed(&self, kind: Kind, is_final: bool) {
        if let Some(row) = L2_KINDS.iter().position(|known| *known == kind) {
            let (attempts, calls) = &self.errors[row];
            count(if is_final { calls } else { attempts });
        }
    }

    /// The counters of L1 as members of a JSON object; `hits` were counted elsewhere.
    pub fn describe_l1(&self, hits: u64, into: &mut Map<String, Value>) {
        into.insert("hits".into(), (hits + load(&self.l1_hits)).into());
        into.insert("misses".into(), load(&self.l1_misses).into());
        into.insert("unverified".into(), load(&self.l1_unverified).into());
        into.insert("degraded_reads".into(), load(&self.degraded_reads).into());
        into.insert("latency".into(), json!({ "get": self.l1_get.to_json(), "set": self.l1_set.to_json() }));
    }

    /// The counters of L2 as members of a JSON object.
    pub fn describe_l2(&self, into: &mut Map<String, Value>) {
        into.insert("hits".into(), load(&self.l2_hits).into());
        into.insert("misses".into(), load(&self.l2_misses).into());
        into.insert("shared_reads".into(), load(&self.shared_reads).into());
        into.insert("owed_writes".into(), load(&self.owed_writes).into());
        into.insert("conflicts".into(), load(&self.conflicts).into());
        into.insert("retries".into(), load(&self.retries).into());
        into.insert("retry_callbacks".into(), load(&self.callbacks).into());
        let by_kind = |calls: bool| -> Map<String, Value> {
            let rows = L2_KINDS.iter().zip(&self.errors);
            rows.map(|(kind, (attempts, finals))| {
                (kind.name().to_owned(), load(if calls { finals } else { attempts }).into())
            })
            .collect()
        };
        into.insert("failed_attempts".into(), by_kind(false).into());
        into.insert("failed_calls".into(), by_kind(true).into());
        let latency: Map<String, Value> = Operation::ALL
            .iter()
            .map(|operation| (operation.name().to_owned(), self.l2(*operation).to_json()))
            .collect();
        into.insert("latency".into(), latency.into());
    }
}

fn load(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}
