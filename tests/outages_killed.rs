//! Processes that are killed while L2 is away: what they acknowledged reaches it, from the file of the journal.

#[path = "support/history.rs"]
mod history;
#[path = "support/library.rs"]
mod library;
#[path = "support/program.rs"]
mod program;
#[path = "support/sqlite.rs"]
mod sqlite;
#[path = "support/redis.rs"]
mod support;
#[path = "support/workers.rs"]
mod workers;

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Stdio};
use std::time::{Duration, Instant};

use history::{Rules, check};
use serde_json::{Value, json};
use sqlite::{command, python, role};
use support::cache::{Shared, is_long, merge};
use support::{GENEROUS, Server, written};
use tokencache::cache::{Answer, Cache, SetOptions};
use workers::{Crew, Language, Orders};

/// What is promised for all that a process owed.
const ARRIVAL: Duration = Duration::from_secs(60);

fn keys() -> usize {
    if is_long() { 10_000 } else { 1_000 }
}

/// Each key is written twice.
fn writes() -> usize {
    2 * keys()
}

/// Of the write `number`: its key, and the value that is set, or `None` for a remove.
fn write(number: usize) -> (String, Option<String>) {
    let (key, round) = (number % keys(), number / keys());
    // The last write removes one half of the keys, and sets the other.
    let removes = (key + round) % 2 == 0;
    (format!("k{key}"), (!removes).then(|| format!("{number}")))
}

/// What must be there in the end.
fn effects() -> HashMap<String, Option<String>> {
    (0..writes()).map(write).collect()
}

/// Opens the cache of the document at `path`, waits for a line, and says of each write that it is kept; until it is
/// killed.
#[test]
fn child_writes() {
    let Some(path) = role("write") else { return };
    let cache = Cache::open(&fs::read(path).expect("a document")).expect("the cache opens");
    let mut output = std::io::stdout();
    let mut say = |words: &str| writeln!(output, "\n{words}").and_then(|()| output.flush()).expect("heard");
    say("open");
    std::io::stdin().lines().next();
    for number in 0..writes() {
        let (key, value) = write(number);
        let answer = match value {
            Some(value) => cache.set(key.as_bytes(), value.as_bytes(), SetOptions::default()),
            None => cache.remove(key.as_bytes()),
        };
        say(&format!("{} {number}", written(answer)));
    }
    std::io::stdin().lines().for_each(drop);
}

/// Opens the cache of the document at `path`, and ends when nothing is owed.
#[test]
fn child_flushes() {
    let Some(path) = role("flush") else { return };
    let cache = Cache::open(&fs::read(path).expect("a document")).expect("the cache opens");
    assert!(cache.flush(ARRIVAL), "{}", cache.statistics(0).expect("statistics"));
}

/// A process that is told when to write.
struct Writer {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Writer {
    fn open(document: &Path) -> Writer {
        let mut command = command("child_writes", "write", document);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a child");
        let lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let mut writer = Writer { child, lines };
        writer.hear(|line| line == "open");
        writer
    }

    fn hear(&mut self, is_it: impl Fn(&str) -> bool) {
        let mut lines = self.lines.by_ref().map(|line| line.expect("text"));
        assert!(lines.any(|line| is_it(&line)), "it has ended");
    }

    /// Has it write all, and kills it when the last was acknowledged.
    fn write_and_die(mut self) {
        let begin = Instant::now();
        writeln!(self.child.stdin.as_mut().expect("its input"), "go").expect("told");
        for number in 0..writes() {
            let line = format!("TC_DEGRADED {number}");
            self.hear(|said| {
                assert!(!said.starts_with("TC_") || said == line, "{said}");
                said == line
            });
        }
        println!("{} writes were owed in {:?}", writes(), begin.elapsed());
        self.child.kill().expect("killed");
        self.child.wait().expect("its end");
    }
}

/// While L2 does not take it, another process knows of all that is owed, whatever L2 says.
fn all_is_known(document: &Path) {
    let cache = Cache::open(&fs::read(document).expect("a document")).expect("the cache opens");
    for (key, expected) in effects() {
        match (cache.answer(key.as_bytes()).expect("an answer"), expected) {
            (Answer::Absent, None) => {}
            (Answer::Degraded(entry), Some(value)) => assert_eq!(entry.data(), value.as_bytes(), "{key}"),
            (answer, expected) => panic!("{key}: {answer:?}, and not {expected:?}"),
        }
    }
}

/// Another process brings what is owed to L2; how long that took from its start to its end.
fn flush(document: &Path) {
    let begin = Instant::now();
    let status = command("child_flushes", "flush", document).status().expect("a child");
    let took = begin.elapsed();
    assert!(status.success() && took < ARRIVAL, "{status} after {took:?}");
    println!("they were in L2 after {took:?}");
}

/// Reads all back, by a cache that has no journal.
fn all_is_there(document: &str) {
    let cache = Cache::open(document.as_bytes()).expect("the cache opens");
    for (key, expected) in effects() {
        let found = cache.get(key.as_bytes()).expect("a read").map(|entry| entry.data().to_vec());
        assert_eq!(found, expected.map(String::into_bytes), "{key}");
    }
}

fn fill(document: &str) {
    let cache = Cache::open(document.as_bytes()).expect("the cache opens");
    for key in effects().keys() {
        assert_eq!(written(cache.set(key.as_bytes(), b"old", SetOptions::default())), "TC_OK");
    }
}

fn quick(deadline_ms: u64, more: Value) -> Value {
    let mut members = json!({"resilience": {"deadline_ms": deadline_ms, "max_attempts": 1}});
    merge(&mut members, more);
    members
}

#[test]
fn what_a_killed_process_owed_reaches_a_redis_that_comes_back_empty_or_with_its_old_data() {
    let Some(mut server) = Server::start() else { return };
    let dump = server.folder().join("dump.rdb");
    for is_empty in [true, false] {
        let plain = server.document(json!({}));
        fill(&plain);
        server.ask::<()>("SAVE");
        let path = server.folder().join("document.json");
        let journal = server.folder().join("owed.db");
        fs::write(&path, server.document(quick(30_000, json!({"resilience": {"journal_path": journal}}))))
            .expect("written");
        let writer = Writer::open(&path);
        server.kill();
        if is_empty {
            fs::remove_file(&dump).expect("removed");
        }
        writer.write_and_die();
        all_is_known(&path);
        server.restart();
        assert_eq!(server.keys().is_empty(), is_empty);
        flush(&path);
        all_is_there(&plain);
        println!("onto {}", if is_empty { "nothing" } else { "its old data" });
    }
}

/// A database in a folder of its own, beside the journal.
fn database(deadline_ms: u64) -> (Shared, String, std::path::PathBuf) {
    let shared = Shared::new();
    let home = shared.folder().join("home");
    fs::create_dir(&home).expect("a folder");
    let database = json!({"l2": {"path": home.join("tokens.db")}});
    let mut members =
        quick(deadline_ms, json!({"resilience": {"journal_path": shared.folder().join("owed.db")}}));
    merge(&mut members, database.clone());
    let path = shared.folder().join("document.json");
    fs::write(&path, shared.document(members)).expect("written");
    let mut patient = json!({"resilience": {"deadline_ms": 30_000}});
    merge(&mut patient, database);
    let plain = shared.document(patient);
    fill(&plain);
    (shared, plain, path)
}

#[test]
fn what_a_killed_process_owed_reaches_a_database_whose_folder_was_away() {
    let (shared, plain, path) = database(30_000);
    let writer = Writer::open(&path);
    let (home, away) = (shared.folder().join("home"), shared.folder().join("away"));
    fs::rename(&home, &away).expect("away");
    writer.write_and_die();
    fs::rename(&away, &home).expect("back");
    flush(&path);
    all_is_there(&plain);
}

#[test]
fn what_a_killed_process_owed_reaches_a_database_that_another_program_held() {
    // Reads go on, so that no circuit opens, and each write waits for its deadline.
    let (shared, plain, path) = database(5);
    let writer = Writer::open(&path);
    let script = "import sqlite3,sys\nc=sqlite3.connect(sys.argv[1],isolation_level=None,timeout=60)\n\
                  c.execute('begin immediate')\nc.execute('update entries set used_at_ms = 1')\n\
                  print('held',flush=True)\nsys.stdin.read()";
    let (mut holder, _output) = python(script, &shared.folder().join("home/tokens.db"));
    writer.write_and_die();
    all_is_known(&path);
    drop(holder.stdin.take());
    holder.wait().expect("its end");
    flush(&path);
    all_is_there(&plain);
}

/// Workers on a Redis that is killed, stopped and restarted while `scene` goes on; its histories have no flaw.
fn under_outages(name: &str, scene: impl FnOnce(&mut Crew, &mut Server, &str)) {
    // What it has acknowledged it has also when it was killed: with `everysec` it may put off its writes.
    let Some(mut server) = Server::with(&["--appendonly", "yes", "--appendfsync", "no"]) else { return };
    let journal = server.folder().join("owed.db");
    let resilience = json!({"deadline_ms": 300, "close_ms": 60_000, "journal_path": journal});
    let members = json!({"coherence": {"heartbeat_timeout_ms": 250}, "resilience": resilience});
    let document = server.document(members);
    let mut crew = Crew::new();
    scene(&mut crew, &mut server, &document);
    crew.stop();
    let cache = Cache::open(document.as_bytes()).expect("the cache opens");
    assert!(cache.flush(GENEROUS), "{}", cache.statistics(0).expect("statistics"));
    drop(cache);
    let history = crew.finish(&document);
    // A server that stands still is noticed when a heartbeat stays away; later where the machine has much else to do.
    let rules = Rules { bound_ms: if is_long() { 2_000 } else { 10_000 }, ..Rules::default() };
    let report = check(&history.logs, &rules);
    report.must_be_clean(name);
    assert!(report.degraded_writes > 0, "{report}");
}

fn orders() -> Orders {
    Orders { keys: 24, operations: 0, operations_per_second: 500 }
}

/// The next thing that happens to the server.
fn strike(server: &mut Server, is_up: &mut bool) {
    if !*is_up {
        server.restart();
    } else if fastrand::bool() {
        server.kill();
    } else {
        server.stop();
        std::thread::sleep(Duration::from_millis(fastrand::u64(..2_000)));
        server.go_on();
        return;
    }
    *is_up = !*is_up;
}

#[test]
fn writers_that_are_killed_while_l2_comes_and_goes_lose_nothing_that_was_acknowledged() {
    let kills = if is_long() { 200 } else { 20 };
    under_outages("writers that are killed under outages", |crew, server, document| {
        let mut is_up = true;
        for _ in 0..kills {
            let writer = crew.start(Language::C, document, orders());
            strike(server, &mut is_up);
            crew.wait_for_operations(fastrand::u64(1..200));
            crew.kill(writer);
        }
        if !is_up {
            server.restart();
        }
    });
}

#[test]
fn two_languages_see_nothing_that_is_not_so_while_l2_comes_and_goes() {
    let lasts = Duration::from_secs(if is_long() { 180 } else { 15 });
    under_outages("outages", |crew, server, document| {
        for language in [Language::C, Language::Python] {
            crew.start(language, document, orders());
            crew.start(language, document, orders());
        }
        crew.wait_for_operations(100);
        let (begin, mut is_up) = (Instant::now(), true);
        while begin.elapsed() < lasts {
            strike(server, &mut is_up);
            std::thread::sleep(Duration::from_millis(fastrand::u64(..1_500)));
        }
        if !is_up {
            server.restart();
        }
        crew.wait_for_operations(200);
    });
}
