//! Forks of real programs: what a child may rely on, and what the others must not lose.

#[path = "support/library.rs"]
mod library;
#[path = "support/program.rs"]
mod program;
#[path = "support/redis.rs"]
mod redis;

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use redis::Server;
use redis::cache::is_long;

/// Longer than the programs give themselves, so that they can say where they hang.
const DEADLINE: Duration = Duration::from_secs(1000);

/// Writes and empties the log for as long as it lives, as any process may that shares the file.
const WRITER: &str = r#"
import os, sqlite3, sys, time
folder = sys.argv[1]
path = folder + "/store/tokens.db"
def connect():
    return sqlite3.connect(path, timeout=60, isolation_level=None)
def is_made():
    return os.path.exists(path) and connect().execute("PRAGMA application_id").fetchone()[0] != 0
# A table of somebody else's in a file that has none yet would make it theirs.
while not is_made():
    time.sleep(0.01)
connection = connect()
connection.execute("CREATE TABLE IF NOT EXISTS beside (n)")
while True:
    connection.execute("INSERT INTO beside VALUES (1)")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    open(folder + "/beside", "w").close()
"#;

const CHECK: &str = r#"
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1] + "/store/tokens.db", timeout=60)
assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
print(connection.execute("SELECT count(*) FROM beside").fetchone()[0], end="")
"#;

#[test]
fn what_a_child_wrote_outlives_its_parents_close_and_its_own_exit() {
    hands_over("alone");
}

#[test]
fn what_a_child_wrote_is_kept_though_the_parents_threads_write_during_the_fork() {
    hands_over("threads");
}

#[test]
fn a_child_works_on_whatever_was_in_flight() {
    let folder = tempfile::tempdir().unwrap();
    passes("fork_in_flight", "", folder.path());
}

#[test]
fn children_may_exit_fork_again_serve_and_come_from_a_callback() {
    let folder = tempfile::tempdir().unwrap();
    passes("fork_family", "", folder.path());
}

#[test]
fn an_l2_that_cannot_serve_is_left_alone_and_a_child_begins_anew() {
    let folder = tempfile::tempdir().unwrap();
    passes("fork_circuit", "", folder.path());
}

#[test]
fn no_child_hangs_whichever_lock_another_thread_held() {
    let folder = tempfile::tempdir().unwrap();
    passes("fork_stress", "", folder.path());
}

#[test]
fn what_is_owed_in_memory_stays_with_the_parent() {
    let folder = tempfile::tempdir().unwrap();
    passes("fork_owed", "memory", folder.path());
}

#[test]
fn what_is_owed_in_a_file_is_shared_with_the_child() {
    let folder = tempfile::tempdir().unwrap();
    passes("fork_owed", "file", folder.path());
}

#[test]
fn forks_under_load_on_sqlite() {
    forks_under_load(None, false);
}

#[test]
fn forks_under_load_on_sqlite_with_a_journal_file() {
    forks_under_load(None, true);
}

#[test]
fn forks_under_load_on_redis() {
    if let Some(server) = Server::start() {
        forks_under_load(Some(&server), false);
    }
}

#[test]
fn forks_under_load_on_redis_with_a_journal_file() {
    if let Some(server) = Server::start() {
        forks_under_load(Some(&server), true);
    }
}

fn forks_under_load(server: Option<&Server>, has_journal: bool) {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let program = program::compile(&["fork.c", "fork_load.c"], folder);
    let mut command = Command::new(program);
    command.arg(folder).arg(if is_long() { "1000" } else { "100" });
    if let Some(server) = server {
        command.env("TOKENCACHE_TEST_REDIS", format!("redis://127.0.0.1:{}", server.port()));
    }
    if has_journal {
        command.env("TOKENCACHE_TEST_JOURNAL", "1");
    }
    if let Err(why) = program::run(&mut command, folder, DEADLINE) {
        panic!("{why}");
    }
    let kind = if server.is_some() { "Redis" } else { "SQLite" };
    print!("{kind}, journal file {has_journal}: {}", fs::read_to_string(folder.join("output")).unwrap());
}

fn hands_over(chosen: &str) {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let writer = Writer::begin(folder);
    passes("fork_handover", chosen, folder);
    drop(writer);
    let output = python(CHECK, folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    println!("  beside {} checkpoints", String::from_utf8_lossy(&output.stdout));
}

fn passes(name: &str, chosen: &str, folder: &Path) {
    let program = program::compile(&["fork.c", &format!("{name}.c")], folder);
    if let Err(why) = program::run(Command::new(program).arg(folder).arg(chosen), folder, DEADLINE) {
        panic!("{why}");
    }
    println!("{name} {chosen} {}", fs::read_to_string(folder.join("output")).unwrap().trim_end());
}

fn python(script: &str, folder: &Path) -> Command {
    let mut command = Command::new("python3");
    command.args(["-c", script]).arg(folder);
    command
}

/// The process beside.
struct Writer(Child);

impl Writer {
    fn begin(folder: &Path) -> Writer {
        Writer(python(WRITER, folder).stdin(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}
