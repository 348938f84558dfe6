//! Eight processes of two languages that add tokens to one MSAL token cache: every token is in it at the end, also when
//! L2 is away in between.

#[path = "support/library.rs"]
mod library;
#[path = "support/redis.rs"]
mod support;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use support::cache::{Shared, merge};
use support::{Server, wait_until};
use tokencache::cache::{Base, Cache, SetOptions, SetOutcome};

const WRITERS: usize = 8;
const TOKENS: usize = 50;
const KEY: &[u8] = b"alice.home";

/// A Rust process below; `tests/merge/worker.py` does the same.
#[test]
fn child_adds_tokens() {
    let Ok(document) = std::env::var("TC_TEST_DOCUMENT") else { return };
    let [writer, log] = ["TC_TEST_WRITER", "TC_TEST_LOG"].map(|name| std::env::var(name).expect("an order"));
    let cache = Cache::open(document.as_bytes()).expect("the cache opens");
    let mut log = fs::File::create(log).expect("a file");
    for number in 0..TOKENS {
        let taken = loop {
            if let Some(taken) = add(&cache, &format!("w{writer}-{number}")) {
                break taken;
            }
        };
        writeln!(log, "{taken}").expect("written");
    }
    while !cache.flush(Duration::from_secs(1)) {}
    cache.close();
}

fn add(cache: &Cache, name: &str) -> Option<&'static str> {
    let base = cache.get(KEY).ok()?;
    let mut document: Value = base.as_ref().map_or_else(|| json!({}), |base| read(base.data()));
    document["AccessToken"][name] = json!({
        "home_account_id": "alice.home", "environment": "login.windows.net", "client_id": "c1", "realm": "home",
        "credential_type": "AccessToken", "target": format!("{name}/read"), "secret": format!("made-up-{name}"),
        "cached_at": "1800000000", "expires_on": "4070908800",
    });
    let base = base.as_ref().map(|base| Base { data: base.data(), version: base.version() });
    let bytes = serde_json::to_vec(&document).expect("JSON");
    match cache.set_merged(KEY, base, &bytes, SetOptions::default()).ok()? {
        (SetOutcome::Stored(_), Some(stored)) => {
            assert!(read(stored.data())["AccessToken"].get(name).is_some(), "{name} is not stored");
            Some("stored")
        }
        (SetOutcome::Owed(_), Some(_)) => Some("degraded"),
        _ => None,
    }
}

fn read(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).expect("JSON")
}

struct Writers {
    children: Vec<Child>,
    folder: PathBuf,
}

impl Writers {
    fn start(document: &str, folder: &Path) -> Writers {
        let folder = folder.to_owned();
        let start = |writer: usize| {
            let log = folder.join(format!("log-{writer}"));
            let mut command = if writer.is_multiple_of(2) {
                let mut command = Command::new(std::env::current_exe().expect("this program"));
                command.args(["child_adds_tokens", "--exact", "--test-threads=1"]);
                command.env("TC_TEST_DOCUMENT", document).env("TC_TEST_WRITER", writer.to_string());
                command.env("TC_TEST_LOG", &log);
                command
            } else {
                let root = Path::new(env!("CARGO_MANIFEST_DIR"));
                let mut command = Command::new("python3");
                command.arg(root.join("tests/merge/worker.py")).arg(document);
                command.arg(writer.to_string()).arg(TOKENS.to_string()).arg(&log);
                command
                    .env("PYTHONPATH", root.join("bindings/python/src"))
                    .env("PYTHONDONTWRITEBYTECODE", "1");
                command.env("TOKENCACHE_LIBRARY", library::library());
                command
            };
            command.stdout(Stdio::null()).spawn().expect("a child")
        };
        let children = (0..WRITERS).map(start).collect();
        Writers { children, folder }
    }

    /// How often each word stands in the logs.
    fn count(&self, word: &str) -> usize {
        let log = |writer| fs::read_to_string(self.folder.join(format!("log-{writer}"))).unwrap_or_default();
        (0..WRITERS).map(|writer| log(writer).lines().filter(|line| *line == word).count()).sum()
    }

    /// What became of a token, by the log.
    fn word(&self, writer: usize, number: usize) -> String {
        let log = fs::read_to_string(self.folder.join(format!("log-{writer}"))).unwrap_or_default();
        log.lines().nth(number).unwrap_or("nothing").to_owned()
    }

    fn done(&self) -> usize {
        self.count("stored") + self.count("degraded")
    }

    /// Takes L2 away by `leave` when a quarter is done, and brings it back by `come` when much is owed.
    fn through_an_outage(&self, leave: impl FnOnce(), come: impl FnOnce()) {
        let all = WRITERS * TOKENS;
        wait_until("a quarter is done", || self.done() >= all / 4);
        leave();
        wait_until("much is owed", || self.count("degraded") >= all / 8);
        come();
    }

    fn wait(&mut self) {
        for child in &mut self.children {
            assert!(child.wait().expect("its end").success());
        }
    }
}

impl Drop for Writers {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn all_are_there(what: &str, writers: &Writers, cache: &Cache) {
    let found = cache.get(KEY).expect("a read").expect("an entry");
    let document = read(found.data());
    let tokens = document["AccessToken"].as_object().expect("a section");
    let all = WRITERS * TOKENS;
    println!(
        "{what}: {} of {all} tokens are there; {} of the writes were owed meanwhile",
        tokens.len(),
        writers.count("degraded")
    );
    let each = (0..WRITERS).flat_map(|writer| (0..TOKENS).map(move |number| (writer, number)));
    let lost: Vec<_> = each
        .filter(|(writer, number)| !tokens.contains_key(&format!("w{writer}-{number}")))
        .map(|(writer, number)| format!("w{writer}-{number} ({})", writers.word(writer, number)))
        .collect();
    assert!(lost.is_empty(), "lost are {}", lost.join(", "));
    assert_eq!(tokens.len(), all);
}

fn patient(more: Value) -> Value {
    let mut members = json!({ "resilience": { "deadline_ms": 20_000, "close_ms": 60_000 } });
    merge(&mut members, more);
    members
}

/// Deadlines that an outage ends soon.
fn hasty(more: Value) -> Value {
    let mut members = patient(json!({
        "coherence": { "heartbeat_timeout_ms": 250 },
        "resilience": { "deadline_ms": 1000, "probe_ms": 100 },
    }));
    merge(&mut members, more);
    members
}

#[test]
fn eight_writers_of_two_languages_lose_nothing_on_redis() {
    let Some(server) = Server::start() else { return };
    let document = server.document(patient(json!({})));
    let mut writers = Writers::start(&document, server.folder());
    writers.wait();
    all_are_there("redis", &writers, &server.open_without_l1());
}

#[test]
fn eight_writers_of_two_languages_lose_nothing_on_sqlite() {
    let shared = Shared::new();
    let document = shared.document(patient(json!({})));
    let mut writers = Writers::start(&document, shared.folder());
    writers.wait();
    all_are_there("sqlite", &writers, &shared.open(json!({})));
}

/// What is owed lies in one file that all of them share.
#[test]
fn an_outage_of_redis_loses_nothing() {
    let Some(server) = Server::start() else { return };
    let journal = server.folder().join("owed.db");
    let document = server.document(hasty(json!({ "resilience": { "journal_path": journal } })));
    let mut writers = Writers::start(&document, server.folder());
    writers.through_an_outage(|| server.stop(), || server.go_on());
    writers.wait();
    assert!(writers.count("degraded") > 0);
    all_are_there("redis, away in between", &writers, &server.open_without_l1());
}

/// What is owed lies in the memory of each. Another process holds the database meanwhile.
#[test]
fn an_outage_of_sqlite_loses_nothing() {
    let shared = Shared::new();
    let document = shared.document(hasty(json!({})));
    let mut writers = Writers::start(&document, shared.folder());
    let script = "import sqlite3,sys\nc=sqlite3.connect(sys.argv[1],isolation_level=None,timeout=60)\n\
                  c.execute('BEGIN IMMEDIATE')\nprint('held',flush=True)\nsys.stdin.read()";
    let mut holder = None;
    writers.through_an_outage(
        || {
            let mut child = Command::new("python3");
            child.args(["-c", script]).arg(shared.database()).stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut child = child.spawn().expect("python3");
            let mut line = String::new();
            BufReader::new(child.stdout.take().expect("its output")).read_line(&mut line).expect("text");
            assert_eq!(line, "held\n");
            holder = Some(child);
        },
        || {},
    );
    let mut holder = holder.expect("a process");
    drop(holder.stdin.take());
    holder.wait().expect("its end");
    writers.wait();
    assert!(writers.count("degraded") > 0);
    let cache = shared.open(json!({}));
    wait_until("what was owed is there", || cache.flush(Duration::from_secs(1)));
    all_are_there("sqlite, held in between", &writers, &cache);
}
