//! A user completes MFA on one server, and the next request reaches the other: is MFA asked for again?

#[path = "support/library.rs"]
mod library;
#[path = "support/program.rs"]
mod program;
#[path = "support/redis.rs"]
mod support;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use serde_json::{Value, json};
use support::Server;
use support::cache::{Shared, is_long, merge};

/// A process in Python with a cache of its own.
struct Worker {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Worker {
    fn start(document: &str, kind: &str) -> Worker {
        let mut command = Command::new("python3");
        command.arg(Path::new(program::ROOT).join("tests/mfa/worker.py")).arg(document).arg(kind);
        command.env("PYTHONPATH", Path::new(program::ROOT).join("bindings/python/src"));
        command.env("TOKENCACHE_LIBRARY", fs::canonicalize(library::library()).expect("a library"));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("python3");
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().expect("its output"));
        let mut worker = Worker { child, input, output };
        assert_eq!(worker.answer(), "ready");
        worker
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("text");
        line.trim_end().to_owned()
    }

    fn say(&mut self, line: &str) -> String {
        self.input
            .as_mut()
            .expect("its input")
            .write_all(format!("{line}\n").as_bytes())
            .expect("it listens");
        self.answer()
    }

    fn completes_mfa(&mut self, user: u64, level: u64) {
        assert_eq!(self.say(&format!("mfa user{user} {level}")), "done");
    }

    /// Whether the user is asked for MFA once more.
    fn prompts(&mut self, user: u64, level: u64) -> bool {
        match &*self.say(&format!("request user{user} {level}")) {
            "prompt" => true,
            "served" => false,
            other => panic!("a worker has failed: {other}"),
        }
    }

    /// Ends it; what it says last.
    fn end(mut self) -> String {
        drop(self.input.take());
        let last = self.answer();
        assert!(self.child.wait().expect("its end").success());
        last
    }
}

/// Plays it, on two servers that have `document`, with `users` at a time between whose requests others come. Answers how
/// many prompts there were, and hits of L1.
fn play(document: &str, kind: &str, rounds: u64, users: u64) -> (u64, u64) {
    let mut servers = [Worker::start(document, kind), Worker::start(document, kind)];
    let mut prompts = 0;
    for level in 1..=rounds / users {
        let [here, there] = &mut servers;
        (0..users).for_each(|user| here.completes_mfa(user, level));
        for user in 0..users {
            // The first may come from L2, the second from L1.
            prompts += u64::from(there.prompts(user, level)) + u64::from(there.prompts(user, level));
            prompts += u64::from(here.prompts(user, level));
        }
        servers.swap(0, 1);
    }
    let hits = servers.map(|server| server.end().parse().unwrap_or(0_u64));
    (prompts, hits.iter().sum())
}

fn scene(place: &str, document: &str, users: u64) {
    let rounds = if is_long() { 100_000 } else { 3_000 };
    let started = Instant::now();
    let (with_us, hits) = play(document, "ours", rounds, users);
    let took = started.elapsed().as_secs_f64();
    let mut alone: Value = serde_json::from_str(document).expect("JSON");
    merge(&mut alone, json!({"l1": {"enabled": false}}));
    let few = rounds.min(3_000);
    let (without_us, _) = play(&alone.to_string(), "plain", few, users);
    println!(
        "MFA on {place}: with us {with_us} prompts in {rounds} rounds ({} requests, {hits} hits of L1, {took:.1} s); L1 \
         with a plain TTL: {without_us} prompts in {few} rounds",
        3 * rounds
    );
    assert_eq!(with_us, 0, "nobody is asked twice");
    assert!(without_us > few, "the scene shows what it is about");
    assert!(hits >= rounds, "L1 is on");
}

#[test]
fn on_a_file_nobody_is_asked_twice() {
    let shared = Shared::new();
    scene("SQLite", &shared.document(json!({"resilience": {"deadline_ms": 30_000}})), 1);
}

/// A browser needs some milliseconds to come back, and Redis a part of one to tell the other server: here, the time that
/// the others of a crowd take.
#[test]
fn on_redis_nobody_is_asked_twice() {
    let Some(server) = Server::start() else { return };
    scene("Redis", &server.document(json!({})), 50);
    let rounds = 3_000;
    let (prompts, _) = play(&server.document(json!({"l2": {"key_prefix": "at-once:"}})), "ours", rounds, 1);
    println!("MFA on Redis: {prompts} prompts in {rounds} rounds where the next request comes at once");
}
