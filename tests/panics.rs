//! Hosts in whose library a panic is planted, at each of its named points: a status, and no later call is the worse for
//! it. The points are those of a build with debug assertions.

#[path = "support/crypto.rs"]
mod crypto;
#[path = "support/library.rs"]
mod library;
#[path = "support/program.rs"]
mod program;
#[path = "support/puppet.rs"]
mod puppet;
#[path = "support/sealed.rs"]
mod sealed;
#[path = "support/redis.rs"]
mod support;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use program::ROOT;
use puppet::Puppet;
use serde_json::{Value, json};
use support::Server;
use support::cache::merge;
use tokencache::defect::POINTS;

const DEADLINE: Duration = Duration::from_secs(120);
/// Those of the link to Redis, and of L2 as a file alone; all others are met before both.
const OF_REDIS: [&str; 4] = ["connect", "heartbeat", "post", "push"];
/// A call that fails half a dozen times in a row opens the circuit, and so may a defect.
const TIMES: u32 = 3;

fn members() -> Value {
    let more = json!({
        "coherence": {"heartbeat_ms": 50, "heartbeat_timeout_ms": 250},
        "expiry": {"sliding_ms": 600_000},
        "resilience": {"deadline_ms": 6_000, "probe_ms": 100, "circuit_failures": 2, "close_ms": 40_000},
        "logging": {"to": "none"},
    });
    let mut members = sealed::sealing(&[("active", 1)], json!({}));
    merge(&mut members, more);
    members
}

/// A document whose L2 is a file in `folder`, in a folder of its own that may go away.
fn document(folder: &Path) -> String {
    let store = folder.join("store");
    fs::create_dir(&store).expect("a folder");
    let mut document = json!({"version": 1, "l2": {"kind": "sqlite", "path": store.join("tokens.db")}});
    merge(&mut document, members());
    document.to_string()
}

/// What is wrong with the end of a host in which a panic was planted at `point`.
fn complaint(mut host: Command, point: &str, folder: &Path) -> Option<String> {
    let at = host.env("TOKENCACHE_PANIC_AT", format!("{point}:{TIMES}"));
    let ended = program::run_to_end(at, folder, DEADLINE);
    let planted = ended.errors.matches(&format!("planted at {point}")).count();
    println!("{point}: {planted} times; {}", ended.output.trim());
    if !ended.is_success() {
        return Some(format!("{point}: {}\n{}{}", ended.status, ended.output, ended.errors));
    }
    (planted == 0).then(|| format!("{point}: it is never reached"))
}

fn everywhere(host: impl Fn(&Path, &str) -> Command + Sync) {
    if !cfg!(debug_assertions) {
        println!("skipped: a release has no points");
        return;
    }
    let server = Server::start();
    let (left, complaints) = (Mutex::new(POINTS.into_iter()), Mutex::new(Vec::new()));
    let work = || {
        loop {
            let Some(point) = left.lock().expect("nobody panics here").next() else { break };
            let folder = tempfile::tempdir().expect("a folder");
            let document = match (&server, OF_REDIS.contains(&point)) {
                (_, false) => document(folder.path()),
                (Some(server), true) => server.document(members()),
                (None, true) => continue,
            };
            let complaint = complaint(host(folder.path(), &document), point, folder.path());
            complaints.lock().expect("nobody panics here").extend(complaint);
        }
    };
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(work);
        }
    });
    let complaints = complaints.into_inner().expect("nobody panics here");
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn a_panic_at_each_named_point_is_a_status_and_costs_no_later_call_in_c() {
    let compiled = tempfile::tempdir().expect("a folder");
    let program = program::compile(&["panics.c"], compiled.path());
    everywhere(|folder, document| {
        let mut host = Command::new(&program);
        host.arg(folder).arg(document);
        host
    });
}

/// Without its heartbeat nobody would notice that a link has fallen silent.
#[test]
fn a_link_whose_heartbeat_has_panicked_is_given_up_and_made_anew() {
    let Some(server) = Server::start() else { return };
    let document = server.document(json!({"coherence": {"heartbeat_ms": 50}}));
    let mut cache = Puppet::within(&["env", "TOKENCACHE_PANIC_AT=heartbeat:1"], &document);
    cache.set("k", "1");
    let mut links = |what: &str| {
        let told: Value = serde_json::from_str(&cache.say("stats")).expect("JSON");
        told["l2"]["store"][format!("links_{what}")].as_u64().expect("a number")
    };
    support::wait_until("the link is made anew", || links("made") > 1);
    assert_eq!(links("lost"), 1);
    cache.set("k", "2");
    support::wait_until("changes are heard of again", || cache.has("k", "2"));
}

#[test]
fn a_panic_at_each_named_point_is_a_status_and_costs_no_later_call_in_python() {
    everywhere(|folder, document| {
        let mut host = Command::new("python3");
        host.arg(Path::new(ROOT).join("tests/panics/host.py")).arg(document).arg(folder);
        host.env("PYTHONPATH", Path::new(ROOT).join("bindings/python/src"));
        host.env("PYTHONDONTWRITEBYTECODE", "1").env("TOKENCACHE_LIBRARY", library::library());
        host
    });
}
