//! What the tests of the SQLite store share.

#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokencache::clock;
use tokencache::coherence::Coherence;
use tokencache::entry::Lifetime;
use tokencache::l2::sqlite::SqliteStore;
use tokencache::l2::{Attempt, Class, Expected, Failure, Store, Stored, Written};
use tokencache::log::{Level, Logger, Settings};

pub const FOREVER: Lifetime = Lifetime { expires_at_ms: 0, sliding_ms: 0 };

/// Long enough for a loaded machine.
pub const GENEROUS: Duration = Duration::from_secs(60);

static OPEN: fn() -> bool = || false;

/// An attempt that has `time`.
pub fn within(time: Duration) -> Attempt<'static> {
    Attempt { deadline: Instant::now() + time, is_closing: &OPEN }
}

pub fn soon() -> Attempt<'static> {
    within(GENEROUS)
}

/// A directory, and the path of a database in it.
pub fn place() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("tokens.db");
    (directory, path)
}

pub fn store(path: &Path) -> SqliteStore {
    store_of(path, 0)
}

/// A store that tells others of its writes, of at most `capacity_bytes`.
pub fn store_of(path: &Path, capacity_bytes: u64) -> SqliteStore {
    let settings = Settings {
        name: "test".into(),
        level: Level::Error,
        to_stderr: false,
        clear_keys: false,
        key_prefix: String::new(),
    };
    let log = Arc::new(Logger::new(settings));
    let witness = Coherence::shared(path.to_owned(), b"", &log).expect("there is memory");
    SqliteStore::new(path.to_owned(), capacity_bytes, Arc::new(witness))
}

pub fn set(store: &SqliteStore, key: &str, bytes: &[u8]) -> u64 {
    match put(store, key, bytes, 1, FOREVER, Expected::Anything).expect("a set") {
        Written::Stored(version) => version,
        Written::Conflict => panic!("a plain set conflicts with nothing"),
    }
}

pub fn put(
    store: &SqliteStore,
    key: &str,
    bytes: &[u8],
    version: u64,
    lifetime: Lifetime,
    expected: Expected,
) -> Result<Written, Failure> {
    store.set(key.as_bytes(), bytes, version, clock::unix_ms(), lifetime, expected, soon())
}

pub fn get(store: &SqliteStore, key: &str) -> Option<Stored> {
    store.get(key.as_bytes(), soon()).expect("a get")
}

pub fn class<T>(answer: Result<T, Failure>) -> Class {
    match answer {
        Ok(_) => panic!("this should have failed"),
        Err(failure) => failure.class,
    }
}

/// Whether a write meets a lock within a short deadline; on a loaded machine that may pass before.
pub fn is_busy(store: &SqliteStore) -> bool {
    let brief = || within(Duration::from_millis(50));
    (0..10).any(|_| class(store.remove(b"a", 1, Expected::Anything, brief())) == Class::Busy)
}

/// Waits until `condition` holds.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + GENEROUS;
    while !condition() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The time that an entry ends soon, and that has passed when this returns.
pub fn wait_past(unix_ms: i64) {
    wait_until("the clock moves on", || clock::unix_ms() > unix_ms);
}

/// Runs the test `name` of this binary in a process of its own, told `role` and `path`.
pub fn spawn(name: &str, role: &str, path: &Path) -> Child {
    command(name, role, path).spawn().expect("a child process")
}

/// What [`spawn`] runs.
pub fn command(name: &str, role: &str, path: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this binary"));
    command
        .args([name, "--exact", "--nocapture", "--test-threads=1"])
        .env("TC_TEST_ROLE", role)
        .env("TC_TEST_PATH", path)
        .stdout(Stdio::null());
    command
}

/// What [`spawn`] told this process, when it is such a child in `role`.
pub fn role(role: &str) -> Option<PathBuf> {
    (std::env::var("TC_TEST_ROLE").as_deref() == Ok(role))
        .then(|| std::env::var_os("TC_TEST_PATH").expect("a path").into())
}

/// Runs a Python script that holds something until its input ends; returns when it has printed a line.
pub fn python(script: &str, path: &Path) -> (Child, std::io::BufReader<ChildStdout>) {
    let mut child = Command::new("python3")
        .args(["-c", script])
        .arg(path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3");
    let mut output = std::io::BufReader::new(child.stdout.take().expect("its output"));
    let mut line = String::new();
    std::io::BufRead::read_line(&mut output, &mut line).expect("a line");
    assert!(!line.is_empty(), "the script failed");
    (child, output)
}

/// Runs a Python script to its end.
pub fn python_once(script: &str, path: &Path) {
    let status = Command::new("python3").args(["-c", script]).arg(path).status().expect("python3");
    assert!(status.success());
}

/// SQLite's own check of the whole file, by another copy of SQLite.
pub fn check_integrity(path: &Path) {
    python_once(
        "import sqlite3,sys\nc=sqlite3.connect(sys.argv[1],timeout=60)\n\
         assert c.execute('pragma integrity_check').fetchall()==[('ok',)]",
        path,
    );
}
