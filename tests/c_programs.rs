//! Programs in C, as an application would write them, against the built library; then again under valgrind.

#[path = "support/library.rs"]
mod library;
#[path = "support/program.rs"]
mod program;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(120);
/// Of a program in which every instruction costs fifty.
const SLOW_DEADLINE: Duration = Duration::from_secs(300);

#[test]
fn entries() {
    passes("entries");
}

#[test]
fn options() {
    passes("options");
}

#[test]
fn versions() {
    passes("versions");
}

#[test]
fn asynchronous() {
    passes("asynchronous");
}

#[test]
fn callbacks() {
    passes("callbacks");
}

#[test]
fn lifecycle() {
    passes("lifecycle");
}

fn passes(name: &str) {
    let folder = tempfile::tempdir().unwrap();
    let program = program::compile(&[&format!("{name}.c")], folder.path());
    for tier in ["l1", "sqlite"] {
        let own = |kind: &str| {
            let own = folder.path().join(format!("{tier}-{kind}"));
            fs::create_dir(&own).unwrap();
            own
        };
        run(Command::new(&program), &own("plain"), tier, DEADLINE);
        if program::is_installed("valgrind") {
            let mut valgrind = Command::new("valgrind");
            valgrind.args([
                "-q",
                "--error-exitcode=9",
                "--leak-check=full",
                "--errors-for-leak-kinds=definite",
            ]);
            // Threads that poll would otherwise keep the one processor from those that they wait for.
            valgrind.args(["--show-leak-kinds=definite", "--fair-sched=try"]).arg(&program);
            valgrind.env("TOKENCACHE_TEST_SLOW", "1");
            run(valgrind, &own("valgrind"), tier, SLOW_DEADLINE);
        }
    }
    if !program::is_installed("valgrind") {
        println!("skipped: valgrind is not installed");
    }
}

fn run(mut command: Command, folder: &Path, tier: &str, deadline: Duration) {
    if let Err(why) = program::run(command.arg(folder).arg(tier), folder, deadline) {
        panic!("{why}");
    }
}
