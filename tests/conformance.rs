//! One script of operations and answers, run by a runner in each language on each backend: tests/conformance/README.md.

#[path = "support/dotnet.rs"]
mod dotnet;
#[path = "support/library.rs"]
mod library;
#[path = "support/program.rs"]
mod program;
#[path = "support/redis.rs"]
mod redis_server;
#[path = "conformance/script.rs"]
mod script;

use std::any::Any;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use library::library;
use program::ROOT;
use redis_server::Server;
use script::Script;
use serde_json::json;

const DEADLINE: Duration = Duration::from_secs(120);

/// A second tier of its own for one runner.
struct Backend {
    document: serde_json::Value,
    /// What must live as long as the runner.
    _alive: Box<dyn Any>,
}

/// Each backend, made in a folder; `None` where this machine has none.
type Make = fn(&Path) -> Option<Backend>;
const BACKENDS: [(&str, Make); 3] = [("l1", l1), ("sqlite", sqlite), ("redis", redis)];

/// Deadlines that no slow machine misses.
fn patient() -> serde_json::Value {
    json!({ "deadline_ms": 60_000, "close_ms": 60_000 })
}

fn l1(_folder: &Path) -> Option<Backend> {
    let document = json!({ "version": 1, "logging": { "to": "none" }, "resilience": patient() });
    Some(Backend { document, _alive: Box::new(()) })
}

fn sqlite(folder: &Path) -> Option<Backend> {
    let document = json!({
        "version": 1,
        "l2": { "kind": "sqlite", "path": folder.join("tokens.db") },
        "encryption": { "algorithm": "none" },
        "logging": { "to": "none" },
        "resilience": patient(),
    });
    Some(Backend { document, _alive: Box::new(()) })
}

fn redis(_folder: &Path) -> Option<Backend> {
    let server = Server::start()?;
    let document = json!({
        "version": 1,
        "l2": { "kind": "redis", "url": format!("redis://127.0.0.1:{}/0", server.port()), "key_prefix": "conf:" },
        "encryption": { "algorithm": "none" },
        "logging": { "to": "none" },
        "coherence": { "heartbeat_timeout_ms": 30_000 },
        "resilience": patient(),
    });
    Some(Backend { document, _alive: Box::new(server) })
}

#[test]
fn the_script_has_an_answer_for_each_step_on_every_backend() {
    let script = Script::read();
    for backend in ["l1", "sqlite", "redis"] {
        for step in &script.steps {
            step.answer(backend);
        }
    }
}

#[test]
fn c_answers_as_the_script_says() {
    let folder = tempfile::tempdir().unwrap();
    let runner = program::link(program::c().arg(source("runner.c")), folder.path());
    conforms("C", || Command::new(&runner));
}

#[test]
fn cpp_answers_as_the_script_says() {
    if !program::is_installed("c++") {
        println!("skipped: c++ is not installed");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let runner = program::link(program::cpp("c++", "c++17").arg(source("runner.cpp")), folder.path());
    conforms("C++", || Command::new(&runner));
}

#[test]
fn python_answers_as_the_script_says() {
    conforms("Python", || {
        let mut python = Command::new("python3");
        python.arg(source("runner.py")).env("PYTHONPATH", format!("{ROOT}/bindings/python/src"));
        python
    });
}

#[test]
fn dotnet_answers_as_the_script_says() {
    let Some(runner) = dotnet::build("bindings/dotnet/Conformance") else { return };
    conforms("C#", || {
        let mut command = dotnet::dotnet();
        command.arg(&runner);
        command
    });
}

fn source(name: &str) -> String {
    format!("{ROOT}/tests/conformance/{name}")
}

/// Runs the script on each backend by a runner of its own.
fn conforms(language: &str, runner: impl Fn() -> Command) {
    let script = Script::read();
    let mut differences = Vec::new();
    for (name, make) in BACKENDS {
        let folder = tempfile::tempdir().unwrap();
        let Some(backend) = make(folder.path()) else { continue };
        let mut command = runner();
        command.arg(source("script.txt")).arg(backend.document.to_string()).arg(name);
        command.env("TOKENCACHE_LIBRARY", fs::canonicalize(library()).unwrap());
        let ended = program::run_to_end(&mut command, folder.path(), DEADLINE);
        if let Some(what) = script.difference(name, &ended.output) {
            differences.push(format!("{language} on {name}, {what}\n{}", ended.errors));
        } else if !ended.is_success() {
            differences.push(format!("{language} on {name}: {}\n{}", ended.status, ended.errors));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
