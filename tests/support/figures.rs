//! What a server was asked, counted by itself, and how long things took.

#![allow(dead_code)]

use std::collections::BTreeMap;
use std::time::Duration;

use redis::{Connection, cmd};

use crate::support::Server;

/// The commands that a server has run, counted over a link of its own, which stays the same so that it does not count
/// how it was made.
pub struct Commands(Connection);

impl Commands {
    pub fn of(server: &Server) -> Commands {
        Commands(server.connection().expect("a connection"))
    }

    /// How often each command was run up to now, but for the question itself.
    pub fn run(&mut self) -> BTreeMap<String, u64> {
        let text: String = cmd("INFO").arg("commandstats").query(&mut self.0).expect("an answer");
        let calls = text.lines().filter_map(|line| {
            let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
            let calls = rest.split(',').next()?.parse().ok()?;
            (name != "info").then(|| (name.to_owned(), calls))
        });
        calls.collect()
    }

    /// How often `name` was run.
    pub fn calls(&mut self, name: &str) -> u64 {
        self.run().get(name).copied().unwrap_or(0)
    }

    /// What was run since `before`.
    pub fn since(&mut self, before: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
        let mut now = self.run();
        for (name, calls) in before {
            now.entry(name.clone()).and_modify(|now| *now -= calls);
        }
        now.retain(|_, calls| *calls != 0);
        now
    }
}

/// The share of `times` that is not above the answer is `share`.
pub fn quantile(times: &mut [Duration], share: f64) -> Duration {
    times.sort_unstable();
    times[((times.len() - 1) as f64 * share) as usize]
}
