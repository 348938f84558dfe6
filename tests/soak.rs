//! A walk through random faults: workers in two languages on each second tier, with a journal, while servers, links,
//! files and workers themselves are hurt. What they saw is held against what is promised, and those that live through
//! all of it may not grow. `make soak MINUTES=10` is the long form.

#[path = "support/history.rs"]
mod history;
#[path = "support/library.rs"]
mod library;
#[path = "soak/pair.rs"]
mod pair;
#[path = "support/program.rs"]
mod program;
#[path = "support/proxy.rs"]
mod proxy;
#[path = "soak/redis.rs"]
mod redis;
#[path = "soak/sqlite.rs"]
mod sqlite;
#[path = "support/redis.rs"]
mod support;
#[path = "soak/table.rs"]
mod table;
#[path = "soak/usage.rs"]
mod usage;
#[path = "soak/walk.rs"]
mod walk;
#[path = "support/workers.rs"]
mod workers;

use std::time::Duration;

use walk::Outcome;

/// How much may be held more in the end than at the beginning: links are made anew, allocators keep some.
const MORE_DESCRIPTORS: u64 = 8;
const MORE_THREADS: u64 = 4;
const MORE_RESIDENT_KB: u64 = 32 << 10;

fn minutes() -> Option<f64> {
    std::env::var("TOKENCACHE_SOAK_MINUTES").ok().map(|text| text.parse().expect("a number of minutes"))
}

#[test]
fn random_faults_break_no_promise_and_leave_nothing_behind() {
    let lasts = minutes().map_or(Duration::from_secs(15), |minutes| Duration::from_secs_f64(60.0 * minutes));
    let outcomes: Vec<Outcome> = std::thread::scope(|scope| {
        let redis = redis::Redis::start();
        // Seconds are too short for it: a failover, with all that is made again, takes some.
        let pair = minutes().and_then(|_| pair::Pair::start());
        let walks = [
            redis.map(|redis| scope.spawn(move || walk::walk(redis, lasts))),
            pair.map(|pair| scope.spawn(move || walk::walk(pair, lasts))),
            Some(scope.spawn(move || walk::walk(sqlite::Sqlite::new(), lasts))),
        ];
        walks.into_iter().flatten().map(|walk| walk.join().expect("a walk to its end")).collect()
    });
    table::print(&outcomes);
    for outcome in outcomes {
        outcome.report.must_be_clean(outcome.name);
        for (language, first, last) in outcome.elders {
            let grown = |first: u64, last: u64, more: u64| last > first + more;
            let is_flat = !grown(first.descriptors, last.descriptors, MORE_DESCRIPTORS)
                && !grown(first.threads, last.threads, MORE_THREADS)
                && !grown(first.resident_kb, last.resident_kb, MORE_RESIDENT_KB);
            assert!(is_flat, "{}, {language}: {first} at first, {last} in the end", outcome.name);
        }
    }
}
