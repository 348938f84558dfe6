//! Whole histories: what processes in two languages wrote and read at the same time, held against what is promised.

#[path = "support/history.rs"]
mod history;
#[path = "history/innocent.rs"]
mod innocent;
#[path = "support/library.rs"]
mod library;
#[path = "history/planted.rs"]
mod planted;
#[path = "support/program.rs"]
mod program;
#[path = "history/script.rs"]
mod script;
#[path = "support/redis.rs"]
mod support;
#[path = "support/workers.rs"]
mod workers;

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write as _};

use history::{Log, Report, Rules, check};
use serde_json::{Value, json};
use support::Server;
use support::cache::{Shared, is_long};
use workers::{Crew, Language, Orders};

const KEYS: u32 = 24;

/// Two workers of each language on the L2 of `document`, and what is wrong with what they saw.
fn play(document: &str, rules: &Rules) -> Report {
    let often = if is_long() { 20 } else { 1 };
    let mut crew = Crew::new();
    for (language, operations) in [(Language::C, 10_000), (Language::Python, 5_000)] {
        let orders = Orders { keys: KEYS, operations: operations * often, operations_per_second: 0 };
        crew.start(language, document, orders);
        crew.start(language, document, orders);
    }
    crew.wait();
    let history = crew.finish(document);
    check(&history.logs, rules)
}

fn hold(name: &str, report: &Report) {
    report.must_be_clean(name);
    assert_eq!((report.killed, report.failed_reads, report.unknown_writes), (0, 0, 0), "{report}");
    assert!(report.conflicts > 0, "they never met: {report}");
}

/// Holds what was played, and plays it again, twice at most, where all that was wrong was late.
fn run(name: &str, rules: &Rules, play: impl Fn() -> Option<Report>) {
    for more in (0..3).rev() {
        let Some(report) = play() else { return };
        if more == 0 || !report.is_only_late(rules) {
            return hold(name, &report);
        }
        println!("history of {name}, which is played once more: {report}");
    }
}

fn on_sqlite(name: &str, rules: &Rules, l1: Value) {
    run(name, rules, || {
        let shared = Shared::new();
        Some(play(&shared.document(json!({ "l1": l1 })), rules))
    });
}

fn on_redis(name: &str, rules: &Rules, l1: Value) {
    run(name, rules, || {
        let server = Server::start()?;
        Some(play(&server.document(json!({ "l1": l1 })), rules))
    });
}

#[test]
fn four_processes_on_sqlite_see_nothing_that_is_not_so() {
    on_sqlite("SQLite", &Rules::default(), json!({ "enabled": false }));
}

#[test]
fn four_processes_on_redis_see_nothing_that_is_not_so() {
    on_redis("Redis", &Rules::default(), json!({ "enabled": false }));
}

#[test]
fn four_processes_with_memory_before_sqlite_see_nothing_that_is_not_so() {
    on_sqlite("SQLite with L1", &Rules::default(), json!({ "enabled": true }));
}

#[test]
fn four_processes_with_memory_before_redis_see_nothing_that_is_not_so() {
    let rules = Rules { bound_ms: 20, ..Rules::default() };
    on_redis("Redis with L1", &rules, json!({ "enabled": true }));
}

#[test]
fn a_killed_writer_leaves_a_history_without_a_flaw() {
    let shared = Shared::new();
    let document =
        shared.document(json!({ "resilience": { "deadline_ms": 30_000 }, "l1": { "enabled": false } }));
    let mut crew = Crew::new();
    let orders = Orders { keys: KEYS, operations: 0, operations_per_second: 0 };
    crew.start(Language::Python, &document, orders);
    let rounds = if is_long() { 50 } else { 5 };
    for _ in 0..rounds {
        let killed = crew.start(Language::C, &document, orders);
        crew.wait_for_operations(200);
        crew.kill(killed);
    }
    let history = crew.finish(&document);
    let report = check(&history.logs, &Rules::default());
    report.must_be_clean("writers that are killed");
    assert_eq!(report.killed, rounds, "{report}");
}

#[test]
fn ten_million_operations_are_checked_while_one_waits() {
    let operations = if is_long() { 10_000_000 } else { 200_000 };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let logs = synthetic(folder.path(), operations);
    let report = check(&logs, &Rules::default());
    report.must_be_clean("workers that never were");
    assert_eq!(report.reads + report.writes, operations, "{report}");
}

/// Logs of workers that take turns, on 1,000 keys.
fn synthetic(folder: &std::path::Path, operations: u64) -> Vec<Log> {
    const WORKERS: u64 = 8;
    let paths: Vec<_> = (0..WORKERS).map(|worker| folder.join(worker.to_string())).collect();
    let mut files: Vec<_> =
        paths.iter().map(|path| BufWriter::new(File::create(path).expect("a file"))).collect();
    for (number, file) in files.iter_mut().enumerate() {
        writeln!(file, "worker {number}").expect("written");
    }
    let mut newest: Vec<Option<(u64, u64, u64)>> = vec![None; 1000];
    let mut written = [0; WORKERS as usize];
    let (mut now_ns, mut line) = (1_u64, String::new());
    for operation in 0..operations {
        let (worker, key) = (operation % WORKERS, fastrand::usize(..newest.len()));
        let (begin_ns, end_ns) = (now_ns, now_ns + 30_000);
        now_ns += 40_000;
        line.clear();
        let is_read = fastrand::u8(..10) < 8;
        match newest[key] {
            Some((writer, sequence, version)) if is_read => {
                writeln!(line, "r {key} {begin_ns} {end_ns} 0 2 {version} {key} {writer} {sequence}")
            }
            None if is_read => writeln!(line, "r {key} {begin_ns} {end_ns} 1 0 0 - - -"),
            _ => {
                let sequence = written[worker as usize];
                written[worker as usize] += 1;
                newest[key] = Some((worker, sequence, operation + 1));
                writeln!(line, "b {sequence} set {key} {begin_ns} 0 0 0 - -").expect("text");
                writeln!(line, "e {sequence} {end_ns} 0 {}", operation + 1)
            }
        }
        .expect("text");
        files[worker as usize].write_all(line.as_bytes()).expect("written");
    }
    for (file, path) in files.iter_mut().zip(&paths) {
        writeln!(file, "q {now_ns}").expect("written");
        file.flush().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
    paths.into_iter().map(Log::File).collect()
}
