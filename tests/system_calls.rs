//! What the kernel sees of the library: no call for a hit, nor to learn that nothing is owed, and threads that take no
//! signal.

#[path = "support/library.rs"]
mod library;
#[path = "support/program.rs"]
mod program;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(300);
const FEW: u32 = 100_000;
const MANY: u32 = 1_000_000;
/// Calls of the C library that come and go between two runs of one program.
const TOLERANCE: usize = 20;

#[test]
fn a_hit_does_no_system_call() {
    assert_none("hits.c", false);
}

#[test]
fn a_hit_before_an_l2_does_no_system_call() {
    assert_none("hits.c", true);
}

/// The circuit is open, so that nothing else asks for anything.
#[test]
fn a_miss_before_a_journal_in_which_nothing_is_owed_does_no_system_call() {
    assert_none("misses.c", false);
}

#[test]
fn threads_of_the_library_block_every_signal() {
    let folder = tempfile::tempdir().unwrap();
    let program = program::compile(&["signals.c"], folder.path());
    run(Command::new(program).arg(folder.path()).arg(""), folder.path());
    print!("{}", fs::read_to_string(folder.path().join("output")).unwrap());
}

fn assert_none(source: &str, is_shared: bool) {
    if !can_trace() {
        println!("skipped: strace is not installed, or may not trace here");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let program = program::compile(&[source], folder.path());
    // The first run makes the database, which the others find.
    let [_, few, many] = [1, FEW, MANY].map(|reads| count(&program, reads, is_shared, folder.path()));
    println!(
        "{source}: {few} system calls of a thread with {FEW} reads, {many} with {MANY} (SQLite behind it: {is_shared})"
    );
    assert!(few.abs_diff(many) <= TOLERANCE);
}

/// The calls of the program's first thread, which is the one that reads; others wake up as time goes by.
fn count(program: &Path, reads: u32, is_shared: bool, folder: &Path) -> usize {
    let calls = folder.join("calls");
    let mut strace = Command::new("strace");
    strace.arg("-ff").arg("-o").arg(&calls).arg(program).arg(folder).arg(reads.to_string());
    if is_shared {
        strace.env("TOKENCACHE_TEST_SQLITE", "1");
    }
    run(&mut strace, folder);
    // A file for each thread; the first thread's is the one that begins with the program.
    let files: Vec<_> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    let traces = files.iter().filter(|path| path.file_stem().is_some_and(|stem| stem == "calls"));
    let mut counts = Vec::new();
    for trace in traces {
        let text = fs::read_to_string(trace).unwrap();
        counts.extend(text.starts_with("execve(").then(|| text.lines().count()));
        fs::remove_file(trace).unwrap();
    }
    assert_eq!(counts.len(), 1, "one program ran");
    counts[0]
}

fn can_trace() -> bool {
    let probe = Command::new("strace").args(["-o", "/dev/null", "true"]).stderr(Stdio::null()).status();
    probe.is_ok_and(|status| status.success())
}

fn run(command: &mut Command, folder: &Path) {
    if let Err(why) = program::run(command, folder, DEADLINE) {
        panic!("{why}");
    }
}
