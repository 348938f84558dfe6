//! Holds what processes wrote and read against what a cache promises.
//!
//! Workers (tests/c/history.c, tests/history/worker.py) note every operation with the time of its begin and its end.
//! Every value says which write it is, so that a read names the write that it saw. One write is *older* than another
//! when it was made before the other began; of two that overlapped neither is, and one whose outcome nobody knows is
//! older than none. [`check`] goes through the logs twice, first for the writes, which it keeps, then for the reads,
//! which it does not: n log n, and 48 bytes or so for a write.

#![allow(dead_code, unused_imports, reason = "no test needs all of it")]

#[path = "history/judge.rs"]
mod judge;
#[path = "history/ladder.rs"]
mod ladder;
#[path = "history/log.rs"]
pub mod log;
#[path = "history/story.rs"]
mod story;
#[path = "history/writes.rs"]
mod writes;

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

pub use log::{Kind, Log, Tag};

/// How many violations of each rule are told in full.
const TOLD: u64 = 5;

/// What may be asked of the caches of a history.
#[derive(Debug, Clone)]
pub struct Rules {
    /// How long after the end of an acknowledged write others may still be answered with something older.
    pub bound_ms: u64,
    /// How far the clocks of a cache may be from ours where something ends.
    pub slack_ms: u64,
    /// A write answered with `TC_DEGRADED` reaches L2 in the end.
    pub degraded_is_kept: bool,
    /// L2 may lose entries: it is too small, or starts empty.
    pub l2_forgets: bool,
    /// L2 may go back to what it had before, and has the rest again within the bound: after a failover. What is swapped
    /// meanwhile replaces what was lost.
    pub l2_goes_back: bool,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules { bound_ms: 0, slack_ms: 200, degraded_is_kept: true, l2_forgets: false, l2_goes_back: false }
    }
}

/// What can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// A read answers another key's value, or one that nobody wrote.
    NobodyWrote,
    /// A read answers a write with another version than its writer was told.
    WrongVersion,
    /// A process does not read its own write back.
    OwnWriteLost,
    /// A process reads something older than it has read before.
    Backwards,
    /// A read answers what has ended.
    Ended,
    /// A read answers something older than a set that was acknowledged the bound before it.
    Stale,
    /// A read answers something older than a remove that was acknowledged the bound before it.
    Resurrected,
    /// A read finds nothing although a set was acknowledged and nothing took it away.
    Vanished,
    /// A compare-and-swap replaced what another had replaced already.
    LostUpdate,
    /// What is there in the end is older than a write that was acknowledged or kept, or cannot be read.
    NotThereInTheEnd,
}

/// What was done, and what was wrong.
#[derive(Debug, Default)]
pub struct Report {
    pub workers: u64,
    /// Workers that did not come to an orderly end.
    pub killed: u64,
    pub reads: u64,
    pub l1_reads: u64,
    pub degraded_reads: u64,
    pub failed_reads: u64,
    pub writes: u64,
    pub conflicts: u64,
    pub degraded_writes: u64,
    /// Writes of which nobody knows whether they were made.
    pub unknown_writes: u64,
    /// From the first begin to the last end.
    pub lasted: Duration,
    pub violations: Vec<Violation>,
    /// Those that are not told included.
    pub violated: BTreeMap<Rule, u64>,
    /// What the check itself took.
    pub checked_in: Duration,
}

#[derive(Debug)]
pub struct Violation {
    pub rule: Rule,
    /// A sentence with both operations.
    pub text: String,
    /// Which key, and when.
    place: (u32, u64),
}

/// Holds a history against the rules.
pub fn check(logs: &[Log], rules: &Rules) -> Report {
    let started = Instant::now();
    let mut report = judge::judge(logs, rules);
    report.checked_in = started.elapsed();
    if let Some(first) = report.violations.first() {
        story::tell(logs, first.place);
    }
    report
}

impl Report {
    /// Prints a line of figures, and ends the test if anything was wrong.
    pub fn must_be_clean(&self, name: &str) {
        println!("history of {name}: {self}");
        let told: Vec<_> = self.violations.iter().map(|it| format!("{:?}: {}", it.rule, it.text)).collect();
        assert!(told.is_empty(), "{name}: {self}\n{}", told.join("\n"));
    }

    fn blame(&mut self, rule: Rule, place: (u32, u64), text: impl FnOnce() -> String) {
        let count = self.violated.entry(rule).or_default();
        *count += 1;
        if *count <= TOLD {
            self.violations.push(Violation { rule, text: text(), place });
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let share = |part: u64, of: u64| part * 100 / of.max(1);
        write!(
            f,
            "{} operations of {} workers ({} killed) in {:.1} s: {} reads ({} % from L1, {} degraded, {} failed), \
             {} writes ({} conflicts, {} degraded, {} unknown); {} violations, checked in {:.2} s",
            self.reads + self.writes,
            self.workers,
            self.killed,
            self.lasted.as_secs_f64(),
            self.reads,
            share(self.l1_reads, self.reads),
            self.degraded_reads,
            self.failed_reads,
            self.writes,
            self.conflicts,
            self.degraded_writes,
            self.unknown_writes,
            self.violated.values().sum::<u64>(),
            self.checked_in.as_secs_f64(),
        )?;
        if self.violated.is_empty() { Ok(()) } else { write!(f, ": {:?}", self.violated) }
    }
}

fn seconds(ns: u64) -> String {
    format!("{}.{:09}", ns / 1_000_000_000, ns % 1_000_000_000)
}

fn status_name(status: i8) -> String {
    match status {
        writes::OK => "TC_OK".to_owned(),
        writes::NOT_FOUND => "TC_NOT_FOUND".to_owned(),
        writes::CONFLICT => "TC_CONFLICT".to_owned(),
        writes::DEGRADED => "TC_DEGRADED".to_owned(),
        other => format!("status {other}"),
    }
}
