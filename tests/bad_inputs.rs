//! Bad inputs and faults of the host, from C and from Python, each in a child process: it must end by itself, with
//! the statuses that it expects. `BAD_INPUTS="30 31" cargo test --test bad_inputs` runs those rows alone.

#[path = "support/library.rs"]
mod library;
#[path = "support/program.rs"]
mod program;

use std::env;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use library::library;

const DEADLINE: Duration = Duration::from_secs(60);
const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The number, what is wrong, and whether each language can do it wrong.
#[rustfmt::skip]
const ROWS: [(u32, &str, [bool; 2]); 40] = [
    (1, "null handle", BOTH),
    (2, "random handle", BOTH),
    (3, "closed handle", BOTH),
    (4, "closed twice", BOTH),
    (5, "handle of another kind", BOTH),
    (6, "closed while 8 threads read", BOTH),
    (7, "null key", BOTH),
    (8, "null value of length 0", BOTH),
    (9, "null value of another length", BOTH),
    (10, "impossible length", BOTH),
    (11, "value one byte too large", BOTH),
    (12, "empty key", BOTH),
    (13, "key too long", BOTH),
    (14, "key of any bytes", BOTH),
    (15, "document that is not UTF-8", BOTH),
    (16, "document 10,000 levels deep", BOTH),
    (17, "unknown member", BOTH),
    (18, "options of another size", BOTH),
    (19, "unknown flag", BOTH),
    (20, "null output", BOTH),
    (21, "buffer too small", BOTH),
    (22, "misaligned output", BOTH),
    (23, "impossible time", BOTH),
    (25, "value used after close", BOTH),
    (26, "callback that raises", [false, true]),
    (29, "callback that uses the cache", BOTH),
    (30, "callback that closes the cache", BOTH),
    (31, "callback that blocks", BOTH),
    (32, "null callback", BOTH),
    (33, "callback that nobody keeps", [false, true]),
    (34, "fork after open", BOTH),
    (35, "child that exits", BOTH),
    (37, "unloaded while open", [true, false]),
    (38, "1,000 threads come and go", BOTH),
    (39, "storm of signals", BOTH),
    (41, "little memory, odd capacities", BOTH),
    (42, "no more files", BOTH),
    (43, "two copies of the library", BOTH),
    (44, "stack of 64 KiB", BOTH),
    (45, "opened 10,000 times", BOTH),
];
const BOTH: [bool; 2] = [true, true];

#[test]
fn each_is_answered_and_none_takes_the_host_down() {
    let folder = tempfile::tempdir().unwrap();
    let sources = ["main", "handles", "arguments", "documents", "callbacks", "processes", "limits"];
    let sources = sources.map(|name| format!("bad_inputs/{name}.c"));
    let sources: Vec<_> = sources.iter().map(String::as_str).collect();
    let program = program::compile(&sources, folder.path());
    let chosen = env::var("BAD_INPUTS").unwrap_or_default();
    let chosen: Vec<u32> = chosen.split_whitespace().map(|row| row.parse().unwrap()).collect();

    let rows = ROWS.iter().filter(|row| chosen.is_empty() || chosen.contains(&row.0));
    let left = Mutex::new(rows.flat_map(|row| [(row, 0), (row, 1)]));
    let outcomes = Mutex::new(Vec::new());
    let work = || {
        loop {
            let next = left.lock().unwrap().next();
            let Some((&(row, _, languages), language)) = next else { break };
            let outcome = languages[language].then(|| run(row, language, &program, folder.path()));
            outcomes.lock().unwrap().push(((row, language), outcome));
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(work);
        }
    });
    let mut outcomes = outcomes.into_inner().unwrap();
    outcomes.sort_by_key(|(which, _)| *which);
    report(&outcomes);
}

fn run(row: u32, language: usize, program: &Path, folder: &Path) -> Result<(), String> {
    let own = folder.join(format!("{row}-{language}"));
    std::fs::create_dir(&own).unwrap();
    let mut command = if language == 0 { Command::new(program) } else { python() };
    if language == 0 {
        command.arg(&own).arg(row.to_string());
    } else {
        command.arg(row.to_string()).arg(&own);
    }
    // How many arenas glibc makes depends on which threads meet, and what is held must not.
    command.env("MALLOC_ARENA_MAX", "2");
    program::run(&mut command, &own, DEADLINE)
}

fn python() -> Command {
    let package = Path::new(ROOT).join("bindings/python");
    let mut command = Command::new("python3");
    command.arg(package.join("tests/bad_inputs.py"));
    command.env("PYTHONPATH", package.join("src")).env("TOKENCACHE_LIBRARY", library());
    // A crash says where it was in Python.
    command.env("PYTHONFAULTHANDLER", "1");
    command
}

type Outcome = ((u32, usize), Option<Result<(), String>>);

fn report(outcomes: &[Outcome]) {
    println!("row  C       Python  what");
    for pair in outcomes.chunks(2) {
        let words = [&pair[0].1, &pair[1].1].map(|outcome| match outcome {
            Some(Ok(())) => "ok",
            Some(Err(_)) => "FAILED",
            None => "–",
        });
        let (row, what, _) = ROWS.iter().find(|row| row.0 == pair[0].0.0).unwrap();
        println!("{row:>3}  {:<6}  {:<6}  {what}", words[0], words[1]);
    }
    let failures = outcomes.iter().filter_map(|(_, outcome)| outcome.as_ref()?.as_ref().err());
    let failures: Vec<_> = failures.map(String::as_str).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
