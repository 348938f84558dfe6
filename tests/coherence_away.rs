//! What L1 answers while the SQLite file is locked, or away with its folder, or on a full disk; and that it is trusted
//! again after.

#[path = "support/cache.rs"]
mod cache;
#[path = "support/mounted.rs"]
mod mounted;
#[path = "support/sqlite.rs"]
mod support;

use std::fs;
use std::io::BufReader;
use std::path::Path;
use std::process::{Child, ChildStdout};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokencache::cache::{Answer, Cache, SetOptions, SetOutcome};
use tokencache::coherence::Coherence;
use tokencache::entry::{Entry, Tier};
use tokencache::l2::Witness;
use tokencache::l2::sqlite::fork::{after_fork_in_parent, before_fork};
use tokencache::log::{Level, Logger, Settings};

use cache::{Shared, statistics};
use mounted::{Mounted, mount};
use support::{python, wait_until};

/// Holds the lock of all.
const LOCK: &str = "import sqlite3,sys\nc=sqlite3.connect(sys.argv[1],isolation_level=None,timeout=60)\n\
                    c.execute('pragma locking_mode=exclusive')\nc.execute('begin exclusive')\n\
                    c.execute('update entries set used_at_ms=0')\nprint('held',flush=True)\nsys.stdin.read()";

/// Whose table is looked at often.
fn quick(more: Value) -> Value {
    let mut quick = json!({"coherence": {"heartbeat_ms": 50}});
    cache::merge(&mut quick, more);
    quick
}

fn set(cache: &Cache, key: &str, text: &str) {
    wait_until("it is stored", || cache.set(key.as_bytes(), text.as_bytes(), SetOptions::default()).is_ok());
}

/// Sets what L2 does not take.
fn owe(cache: &Cache) {
    let outcome = cache.set(b"owed", b"new", SetOptions::default());
    assert!(matches!(outcome, Ok(SetOutcome::Owed(_))), "{outcome:?}");
}

/// Status, tier and text of a read.
fn read(cache: &Cache, key: &str) -> String {
    let shown = |status: &str, entry: &Entry| {
        let tier = if entry.tier() == Tier::L1 { "l1" } else { "l2" };
        format!("{status} {tier} {}", String::from_utf8_lossy(entry.data()))
    };
    match cache.answer(key.as_bytes()) {
        Ok(Answer::Fresh(entry)) => shown("fresh", &entry),
        Ok(Answer::Degraded(entry)) => shown("degraded", &entry),
        Ok(Answer::Absent) => "absent".into(),
        Err(error) => error.kind.name().into(),
    }
}

fn feed(cache: &Cache) -> String {
    statistics(cache)["coherence"]["feed"].as_str().expect("a word").to_owned()
}

/// Tells whoever shares the database at `path` that somebody wrote `key`, as another process would.
fn tell_others(path: &Path, key: &str) {
    let settings = Settings {
        name: "another".into(),
        level: Level::Error,
        to_stderr: false,
        clear_keys: false,
        key_prefix: String::new(),
    };
    let other = Coherence::shared(path.to_owned(), b"", &Arc::new(Logger::new(settings))).expect("memory");
    let mark = other.begins(key.as_bytes()).expect("it can be told");
    other.ends(key.as_bytes(), mark);
}

/// Stores under each key, and reads until L1 has it.
fn fill(cache: &Cache, keys: &[&str]) {
    for key in keys {
        set(cache, key, "kept");
        wait_until("L1 is trusted", || read(cache, key) == "fresh l1 kept");
    }
}

/// Lets another process take the lock of all, which it gets in a moment in which nobody has the file open.
fn lock(path: &Path) -> (Child, BufReader<ChildStdout>) {
    let is_held = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_held.load(Ordering::SeqCst) {
                before_fork();
                after_fork_in_parent();
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        let held = python(LOCK, path);
        is_held.store(true, Ordering::SeqCst);
        held
    })
}

#[test]
fn while_the_database_is_locked_the_shared_table_still_vouches_for_l1() {
    let shared = Shared::new();
    let cache = shared.open(quick(json!({"resilience": {"deadline_ms": 300}})));
    fill(&cache, &["k", "changed", "owed"]);
    let (mut holder, _output) = lock(&shared.database());
    assert_eq!(read(&cache, "k"), "fresh l1 kept");
    tell_others(&shared.database(), "changed");
    for key in ["changed", "never seen"] {
        // On a loaded machine the deadline may pass before the lock is met.
        wait_until("the lock is met", || {
            let answer = read(&cache, key);
            assert!(answer.starts_with("TC_L2_"), "nobody can say what was written: {answer}");
            answer == "TC_L2_BUSY"
        });
    }
    owe(&cache);
    assert_eq!(read(&cache, "owed"), "degraded l1 new");
    assert_eq!(read(&cache, "k"), "fresh l1 kept");
    assert_eq!(feed(&cache), "up");
    drop(holder.stdin.take());
    holder.wait().expect("its end");
    for key in ["k", "changed"] {
        wait_until("it is there again", || read(&cache, key) == "fresh l1 kept");
    }
    wait_until("it has come to L2", || read(&cache, "owed") == "fresh l1 new");
}

#[test]
fn without_its_folder_l1_answers_degraded_what_nobody_is_known_to_have_changed() {
    let shared = Shared::new();
    let (home, away) = (shared.folder().join("home"), shared.folder().join("away"));
    let path = home.join("tokens.db");
    fs::create_dir(&home).expect("a folder");
    let caches = [0, 1].map(|_| shared.open(quick(json!({"l2": {"path": path}}))));
    let cache = &caches[0];
    for round in 0..3 {
        fill(cache, &["k", "changed", "owed"]);
        wait_until("the other has it too", || read(&caches[1], "k") == "fresh l1 kept");
        // Nobody reads it before the folder is gone.
        tell_others(&path, "changed");
        fs::rename(&home, &away).expect("renamed");
        wait_until("the heartbeat misses it", || feed(cache) == "unavailable");
        assert_eq!(read(cache, "k"), "degraded l1 kept", "round {round}");
        assert_eq!(read(cache, "changed"), "TC_L2_UNREACHABLE", "somebody wrote it");
        assert_eq!(read(cache, "never seen"), "TC_L2_UNREACHABLE");
        owe(cache);
        assert_eq!(read(cache, "owed"), "degraded l1 new");
        assert_eq!(read(cache, "k"), "degraded l1 kept");
        fs::rename(&away, &home).expect("renamed");
        for cache in &caches {
            wait_until("L1 is trusted again", || read(cache, "k") == "fresh l1 kept");
            assert_eq!(feed(cache), "up");
        }
        for cache in &caches {
            wait_until("it has come to L2", || read(cache, "owed") == "fresh l1 new");
        }
        // It is counted a moment after.
        wait_until("it is counted", || {
            let coherence = statistics(cache)["coherence"].clone();
            coherence["feeds_lost"] == coherence["feeds_restored"]
                && coherence["feeds_lost"].as_u64() > Some(round)
        });
        // Both hear of each other again, at once.
        set(&caches[1], "k", "theirs");
        assert_eq!(read(cache, "k"), "fresh l2 theirs");
    }
}

#[test]
fn nothing_is_served_degraded_for_longer_than_stale_ms() {
    let shared = Shared::new();
    let (home, away) = (shared.folder().join("home"), shared.folder().join("away"));
    fs::create_dir(&home).expect("a folder");
    let open = |stale_ms: u64| {
        let more = json!({"l2": {"path": home.join("tokens.db")}, "resilience": {"stale_ms": stale_ms}});
        shared.open(quick(more))
    };
    let (never, briefly, long) = (open(0), open(2_000), open(600_000));
    let caches = [&never, &briefly, &long];
    caches.iter().for_each(|cache| fill(cache, &["k"]));
    caches.iter().for_each(|cache| wait_until("L1 has it", || read(cache, "k") == "fresh l1 kept"));
    fs::rename(&home, &away).expect("renamed");
    caches.iter().for_each(|cache| wait_until("it is missed", || feed(cache) == "unavailable"));
    assert_eq!(read(&never, "k"), "TC_L2_UNREACHABLE");
    wait_until("it is over", || read(&briefly, "k").starts_with("TC_L2_"));
    assert_eq!(read(&long, "k"), "degraded l1 kept");
}

#[test]
fn on_a_full_disk_where_the_file_must_be_made_writes_are_refused_as_full() {
    let shared = Shared::new();
    if !mount(&["-t", "tmpfs", "-o", "size=2m", "tmpfs"], shared.folder()) {
        println!("skipped: a tmpfs cannot be mounted here");
        return;
    }
    let _mounted = Mounted(shared.folder());
    let cache = shared.open(quick(json!({})));
    fill(&cache, &["k"]);
    let (epochs, filler) = (shared.folder().join("tokens.db-epochs"), shared.folder().join("filler"));
    fs::remove_file(&epochs).expect("it was there");
    // Its pages are given back when nobody has it mapped any more; then the filler takes them.
    wait_until("the disk is full, and the file is missing", || {
        let _ = fs::remove_file(&epochs);
        let file = fs::OpenOptions::new().create(true).append(true).open(&filler).expect("a file");
        let full = std::io::Write::write_all(&mut &file, &[7; 65_536]).is_err();
        full && !epochs.exists() && feed(&cache) == "unavailable"
    });
    let now = cache.get(b"k").expect("a read").expect("an entry").version();
    let swap = SetOptions { expected_version: now, ..SetOptions::default() };
    let failure = cache.set(b"k", b"new", swap).expect_err("there is no room to tell others");
    assert_eq!(failure.kind.name(), "TC_L2_FULL", "{failure}");
    assert!(failure.to_string().contains("tokens.db-epochs cannot be made"), "{failure}");
    assert_eq!(read(&cache, "k"), "fresh l2 kept");
    assert_eq!(read(&cache, "k"), "fresh l2 kept", "every hit is verified");
    let names =
        fs::read_dir(shared.folder()).expect("its names").map(|name| name.expect("a name").file_name());
    assert!(names.into_iter().all(|name| !name.to_string_lossy().contains("-epochs.")), "nothing is left");
    fs::remove_file(&filler).expect("it was there");
    set(&cache, "k", "new");
    wait_until("L1 is trusted again", || read(&cache, "k") == "fresh l1 new");
    assert_eq!(feed(&cache), "up");
}
