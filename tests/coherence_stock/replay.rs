//! The recorded traffic of .NET services, sent again by a raw client while our L1 holds the same keys.

use std::collections::BTreeMap;
use std::time::Instant;

use redis::{Connection, Value, cmd};
use tokencache::cache::Cache;
use tokencache::clock;
use tokencache::entry::Entry;

use crate::support::Server;
use crate::support::cache::statistics;
use crate::traffic::{Recorded, UNIX_EPOCH_TICKS, recorded};
use crate::{catch_up, is_one, left_ms, open_at, read, until};

const PREFIX: &str = "orders:";
/// What is left of a life may end while a loaded machine looks at it.
const SHORT_MS: i64 = 30_000;
/// Clocks are read apart, and our own renewal of a short window may come in between.
const APART_MS: i64 = 2_000;

/// How many commands of each kind were sent, and what came of them.
#[derive(Debug, Default, PartialEq)]
struct Tally {
    sent: BTreeMap<String, usize>,
    heard: usize,
    replaced: usize,
    kept: usize,
    gone: usize,
}

/// What lies under a key.
#[derive(PartialEq)]
struct Lying {
    absexp: i64,
    sldexp: i64,
    data: Vec<u8>,
}

#[test]
fn the_recorded_traffic_of_the_stock_cache_is_heard_command_by_command() {
    let sent = [("EXPIRE", 30), ("HGET", 8), ("HMGET", 40), ("HMSET", 25), ("PEXPIRE", 10), ("UNLINK", 8)];
    replay("redis/stock-traffic.txt", &sent);
}

#[test]
fn the_recorded_traffic_of_the_adapter_of_identity_web_is_heard_command_by_command() {
    let sent = [("EXPIRE", 17), ("HMGET", 48), ("HMSET", 9), ("PEXPIRE", 1), ("UNLINK", 3)];
    replay("identity-web/traffic.txt", &sent);
}

/// Twice: as it was recorded, where most writes are the bytes that lie there already, and with a mark in each value.
fn replay(file: &str, sent: &[(&str, usize)]) {
    for is_marked in [false, true] {
        let Some(server) = Server::start() else { return };
        let cache = open_at(&server, PREFIX);
        let mut replay = Replay {
            link: server.connection().expect("a connection"),
            cache: &cache,
            tally: Tally::default(),
            renewed: None,
            renewals: 0,
        };
        let commands = recorded(file);
        for (at, command) in commands.iter().enumerate() {
            replay.send(command, is_marked.then_some(at));
        }
        let tally = replay.tally;
        let values = if is_marked { "each value marked" } else { "values as recorded" };
        println!("{file}, {values}: {tally:?}");
        let sent: BTreeMap<_, _> = sent.iter().map(|(name, count)| (name.to_string(), *count)).collect();
        assert_eq!(tally.sent, sent);
        assert_eq!(tally.heard, tally.replaced + tally.kept + tally.gone);
        let count = |name: &str| sent.get(name).copied().unwrap_or(0);
        if is_marked {
            assert_eq!(tally.replaced, count("HMSET"));
        }
    }
}

struct Replay<'a> {
    link: Connection,
    cache: &'a Cache,
    tally: Tally,
    /// What our own reads have renewed, and how often: once in the life of each entry here.
    renewed: Option<Entry>,
    renewals: u64,
}

impl Replay<'_> {
    fn send(&mut self, recorded: &Recorded, mark: Option<usize>) {
        let redis_key = recorded.redis_key();
        let key = redis_key.strip_prefix(PREFIX).expect("the prefix of the recording").as_bytes();
        let named = format!("{} {redis_key}", recorded.name());
        let mut before = self.lying(redis_key);
        if before.is_none() && recorded.name() == "HMSET" {
            let mut seed = cmd("HMSET");
            seed.arg(redis_key).arg(&["absexp", "-1", "sldexp", "-1", "data", "before"]);
            seed.query::<()>(&mut self.link).expect("an entry");
            before = self.lying(redis_key);
        }
        let before = before.map(|(lying, _)| lying);
        let held = self.held(key);
        assert_eq!(held.is_some(), before.is_some(), "{named}");

        let heard = self.heard();
        let answer: Value = recorded.command(mark).query(&mut self.link).expect("an answer");
        catch_up(self.cache);
        let heard = self.heard() - heard;
        *self.tally.sent.entry(recorded.name().to_owned()).or_default() += 1;
        let changes = match recorded.name() {
            "HMSET" => true,
            "EXPIRE" | "PEXPIRE" | "UNLINK" => answer == Value::Int(1),
            _ => false,
        };
        // The server tells also what it lets go at its end, which is another change.
        let is_brief = recorded.is_brief();
        assert!(heard == u64::from(changes) || (is_brief && heard == 2), "{named}: {heard} pushes");
        if changes {
            self.tally.heard += 1;
            assert!(self.cache.peek(key).is_none(), "{named}: served, and somebody has changed it");
            let held = held.expect("what was changed was there");
            self.compare(&named, redis_key, key, &before.expect("it was there"), &held);
            if is_brief {
                cmd("UNLINK").arg(redis_key).query::<()>(&mut self.link).expect("removed");
                catch_up(self.cache);
            }
        } else if let Some(held) = held {
            let now = self.cache.peek(key).expect("a read changes nothing");
            assert!(is_one(&held, &now), "{named}");
        }
    }

    /// That a read after the command finds what lies there now, and makes a new entry only of something new.
    fn compare(&mut self, named: &str, redis_key: &str, key: &[u8], before: &Lying, held: &Entry) {
        let (begun, lying) = (Instant::now(), self.lying(redis_key));
        let found = read(self.cache, key);
        let Some((lying, ends_ms)) = lying else {
            assert!(found.is_none(), "{named}");
            self.tally.gone += 1;
            return;
        };
        let is_kept = *before == lying;
        if is_kept {
            self.tally.kept += 1
        } else {
            self.tally.replaced += 1
        }
        let Some(found) = found else {
            assert!(ends_ms < SHORT_MS, "{named}: not found");
            return;
        };
        assert_eq!(found.data(), lying.data, "{named}");
        assert_eq!(is_one(&found, held), is_kept, "{named}");
        let (left, passed) = (left_ms(&found), begun.elapsed().as_millis() as i64);
        assert!(left <= ends_ms.saturating_add(APART_MS), "{named}: {left} ms left of {ends_ms}");
        // For ever is a little less when it is counted from now.
        let least = ends_ms.min(i64::MAX / 2) - passed - APART_MS;
        assert!(left >= least, "{named}: {left} ms left of {ends_ms}");
    }

    /// The entry that L1 serves, where there is one in L2, and nothing of our own is under way.
    fn held(&mut self, key: &[u8]) -> Option<Entry> {
        catch_up(self.cache);
        let found = read(self.cache, key)?;
        let is_due = left_ms(&found) <= found.lifetime().sliding_ms / 4 * 3;
        if is_due && !self.renewed.as_ref().is_some_and(|renewed| is_one(renewed, &found)) {
            let renewals = self.renewals;
            until("our own renewal is done", || {
                self.count(|all| &all["l2"]["latency"]["touch"]["count"]) > renewals
            });
            self.renewals += 1;
            self.renewed = Some(found);
            return self.held(key);
        }
        self.cache.peek(key)
    }

    fn heard(&self) -> u64 {
        self.count(|all| &all["coherence"]["changes_heard"])
    }

    fn count(&self, of: impl Fn(&serde_json::Value) -> &serde_json::Value) -> u64 {
        of(&statistics(self.cache)).as_u64().expect("a count")
    }

    /// What lies under a key, and in how many milliseconds it ends.
    fn lying(&mut self, redis_key: &str) -> Option<(Lying, i64)> {
        let mut both = redis::pipe();
        both.cmd("HMGET").arg(redis_key).arg(&["absexp", "sldexp", "data"]).cmd("PTTL").arg(redis_key);
        let (fields, pttl_ms): ([Option<Vec<u8>>; 3], i64) = both.query(&mut self.link).expect("an answer");
        let [Some(absexp), Some(sldexp), Some(data)] = fields else { return None };
        let number = |text: &[u8]| std::str::from_utf8(text).expect("text").parse::<i64>().expect("a number");
        let (absexp, sldexp) = (number(&absexp), number(&sldexp));
        // What slides and has no other end yet lives for a window from when it is read.
        let is_endless = pttl_ms < 0 && absexp < 0 && sldexp > 0;
        let pttl_ms = if is_endless { sldexp / 10_000 } else { pttl_ms };
        let own_ms =
            if absexp < 0 { i64::MAX } else { (absexp - UNIX_EPOCH_TICKS) / 10_000 - clock::unix_ms() };
        let ends_ms = own_ms.min(if pttl_ms < 0 { i64::MAX } else { pttl_ms });
        Some((Lying { absexp, sldexp, data }, ends_ms))
    }
}
