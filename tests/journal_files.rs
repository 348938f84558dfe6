//! The file of a journal: shared, kept, counted, and refused with a sentence when it is not ours or not whole.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tokencache::clock;
use tokencache::error::Kind;
use tokencache::journal::Journal;
use tokencache::l2::Class;
use tokencache::l2::sqlite::fork::{after_fork_in_parent, before_fork};

#[path = "support/journal.rs"]
mod journal;
#[path = "support/sqlite.rs"]
mod sqlite;
use journal::*;
use sqlite::{command, python, python_once, role, soon, wait_until, within};

#[test]
fn a_file_is_shared_and_keeps_what_is_owed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("owed.db");
    let (one, other) = (open(&path), open(&path));
    owe(&one, "a", set(b"1"));
    owe(&other, "b", removal());
    owe(&other, "a", set(b"2"));
    assert_eq!(find(&one, "a").as_ref().map(value), Some(Some(&b"2"[..])));
    assert_eq!(find(&one, "b").as_ref().map(value), Some(None));
    let turn = one.claim_replay().unwrap().unwrap();
    assert!(other.claim_replay().unwrap().is_none(), "also within one process");
    drop(turn);
    assert!(other.claim_replay().unwrap().is_some());
    drop((one, other));
    let again = open(&path);
    assert_eq!(again.owed(soon()).unwrap().entries, 2);
    assert_eq!(keys(&all(&again)), ["b", "a"]);
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", file.file_name());
    }
}

#[test]
fn a_file_that_was_removed_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("owed.db");
    let journal = open(&path);
    owe(&journal, "a", set(b"1"));
    for file in std::fs::read_dir(folder.path()).unwrap() {
        std::fs::remove_file(file.unwrap().path()).unwrap();
    }
    assert!(find(&journal, "a").is_none());
    owe(&journal, "b", set(b"1"));
    assert_eq!(keys(&all(&journal)), ["b"]);
    assert_eq!(keys(&all(&open(&path))), ["b"]);
}

/// Somebody who is not here may owe nothing there either; what was owed there may be a removal.
#[test]
fn a_folder_that_is_away_hides_nothing_where_nothing_was_owed() {
    let place = tempfile::tempdir().unwrap();
    let [here, away] = ["here", "away"].map(|name| place.path().join(name));
    std::fs::create_dir(&here).unwrap();
    let (journal, other) = (open(&here.join("owed.db")), open(&here.join("owed.db")));
    let leaves = || {
        std::fs::rename(&here, &away).unwrap();
        wait_until("it is missed", || journal.look(soon()).blind.is_some());
    };
    assert!(journal.is_empty(soon()).unwrap());
    leaves();
    assert!(find(&journal, "a").is_none() && journal.sequence(b"a", soon()).unwrap().is_none());
    assert_eq!(journal.owe(b"a", removal(), soon()).unwrap_err().class, Class::Unreachable);
    std::fs::rename(&away, &here).unwrap();
    owe(&other, "a", removal());
    assert!(find(&journal, "a").is_some());
    leaves();
    assert_eq!(journal.find(b"a", soon()).map(drop).unwrap_err().class, Class::Unreachable);
    std::fs::rename(&away, &here).unwrap();
    assert_eq!(find(&journal, "a").as_ref().map(value), Some(None));
}

fn refused(path: &Path, identity: &str) -> String {
    match Journal::open(&settings(Some(path)), identity, soon()) {
        Ok(_) => panic!("this should have been refused"),
        Err(error) => {
            assert_eq!(error.kind, Kind::InvalidConfig);
            assert!(
                error.message.starts_with("The file at /resilience/journal_path cannot be the journal. The ")
            );
            assert!(error.message.contains(path.to_str().unwrap()), "{error}");
            error.message
        }
    }
}

#[test]
fn the_journal_of_another_l2_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("owed.db");
    let journal = open(&path);
    owe(&journal, "a", set(b"1"));
    let message = refused(&path, "redis cache:6379/0 billing:");
    assert!(message.contains(IDENTITY) && message.contains("billing:"), "{message}");
    assert!(message.contains("1 writes are owed in it"), "{message}");
    // Also one that comes to its place while it is open.
    drop(journal);
    let other = folder.path().join("other.db");
    drop(Journal::open(&settings(Some(&other)), "sqlite /tokens.db", soon()).unwrap());
    let journal = open(&path);
    std::fs::rename(&other, &path).unwrap();
    let failure = journal.owe(b"a", set(b"1"), soon()).unwrap_err();
    assert!(failure.message.contains("another L2 (sqlite /tokens.db)"), "{failure}");
    assert!(failure.message.contains("nothing is owed in it, so remove the file"), "{failure}");
    assert!(find(&journal, "a").is_none() && all(&journal).is_empty());
}

#[test]
fn a_journal_follows_its_l2_to_another_address() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("owed.db");
    let (one, other) = (open(&path), open(&path));
    owe(&one, "a", set(b"1"));
    one.rename("redis moved:6379/0 orders:", soon()).unwrap();
    owe(&one, "b", set(b"1"));
    assert!(other.owe(b"c", set(b"1"), soon()).is_err());
    assert!(other.find(b"a", soon()).unwrap_err().message.contains("moved:6379"), "it is owed still");
    assert!(find(&other, "c").is_none());
    other.rename("redis moved:6379/0 orders:", soon()).unwrap();
    owe(&other, "c", set(b"1"));
    assert_eq!(keys(&all(&other)), ["a", "b", "c"]);
    assert!(refused(&path, IDENTITY).contains("moved:6379"));
    drop(Journal::open(&settings(Some(&path)), "redis moved:6379/0 orders:", soon()).unwrap());
    let third = Journal::open(&settings(Some(&folder.path().join("third.db"))), "third", soon()).unwrap();
    drop(third);
    std::fs::rename(folder.path().join("third.db"), &path).unwrap();
    assert!(one.rename("fourth", soon()).unwrap_err().message.contains("another L2 (third)"));
}

#[test]
fn what_is_no_journal_is_refused_with_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("text"), "not a database, however long it is".repeat(500)).unwrap();
    assert!(refused(&at("text"), IDENTITY).contains("is not a SQLite database"));

    python_once(
        "import sqlite3,sys\nc=sqlite3.connect(sys.argv[1])\nc.execute('create table t(n)')",
        &at("foreign"),
    );
    assert!(refused(&at("foreign"), IDENTITY).contains("a SQLite database of something else"));

    drop(open(&at("newer")));
    python_once(
        "import sqlite3,sys\nsqlite3.connect(sys.argv[1]).execute('pragma user_version=9')",
        &at("newer"),
    );
    assert!(refused(&at("newer"), IDENTITY).contains("a newer version of this library"));

    drop(sqlite::store(&at("entries")));
    sqlite::set(&sqlite::store(&at("entries")), "a", b"1");
    assert!(refused(&at("entries"), IDENTITY).contains("a SQLite database of something else"));

    std::fs::create_dir(at("folder")).unwrap();
    assert!(refused(&at("folder"), IDENTITY).contains("cannot be"));
    assert!(refused(&at("missing/owed.db"), IDENTITY).contains("create its directory"));
}

#[test]
fn damage_is_an_answer_and_never_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole.db");
    let journal = open(&whole);
    for i in 0..200 {
        owe(&journal, &format!("k{i}"), set(&[1; 3000]));
    }
    drop(journal);
    python_once(
        "import sqlite3,sys\nsqlite3.connect(sys.argv[1]).execute('pragma wal_checkpoint(truncate)').fetchall()",
        &whole,
    );
    let bytes = std::fs::read(&whole).unwrap();
    let path = folder.path().join("damaged.db");
    let mut refusals = 0;
    for round in 0..60 {
        let mut damaged = bytes.clone();
        if round % 2 == 0 {
            damaged.truncate(bytes.len() * round / 60);
        } else {
            let from = bytes.len() * (round - 1) / 60;
            damaged[from..from + 200].fill(0xA5);
        }
        std::fs::write(&path, damaged).unwrap();
        for companion in ["damaged.db-wal", "damaged.db-shm"] {
            let _ = std::fs::remove_file(folder.path().join(companion));
        }
        let Ok(journal) = Journal::open(&settings(Some(&path)), IDENTITY, soon()) else {
            refusals += 1;
            continue;
        };
        let answers = [
            journal.owe(b"k1", set(b"1"), soon()).err(),
            journal.owe(b"new", removal(), soon()).err(),
            journal.find(b"k2", soon()).err(),
            journal.bury_ended(soon()).err(),
            journal.claim_replay().unwrap().unwrap().batch(clock::unix_ms(), 0, 500, soon()).err(),
        ];
        for failure in answers.into_iter().flatten() {
            refusals += 1;
            assert!(failure.message.contains("damaged.db"), "{failure}");
        }
    }
    assert!(refusals > 20, "{refusals}");
}

#[test]
fn what_others_put_into_a_row_is_an_answer_too() {
    let changes = [
        "update owed set value='text'",
        "update owed set clock='text'",
        "update owed set known=x'00'",
        "update journal set entries=-5, bytes=-5",
        "update journal set last_sequence='x'",
        "update journal set identity=x'ff'",
        "delete from journal",
        "drop table owed",
        "drop table journal",
    ];
    for change in changes {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("owed.db");
        owe(&open(&path), "a", set(b"1"));
        let script = format!(
            "import sqlite3,sys\nc=sqlite3.connect(sys.argv[1])\nc.execute(\"{change}\")\nc.commit()"
        );
        python_once(&script, &path);
        let Ok(journal) = Journal::open(&settings(Some(&path)), IDENTITY, soon()) else { continue };
        let _ = (journal.find(b"a", soon()), journal.owe(b"a", set(b"2"), soon()), journal.owed(soon()));
        let _ = journal.claim_replay().unwrap().unwrap().batch(clock::unix_ms(), 0, 10, soon());
        let _ = journal.settle(b"a", 1, soon());
    }
}

#[test]
fn a_file_that_is_busy_is_looked_at_later_and_its_failure_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("owed.db");
    drop(open(&path));
    let script = "import sqlite3,sys\nc=sqlite3.connect(sys.argv[1],isolation_level=None)\n\
                  c.execute('begin immediate')\nprint('held',flush=True)\nsys.stdin.read()";
    let (mut holder, _output) = python(script, &path);
    let brief = || within(Duration::from_millis(30));
    let journal = Journal::open(&settings(Some(&path)), IDENTITY, brief()).unwrap();
    // On a loaded machine the time may be over before the lock is met.
    wait_until("it is busy", || journal.owe(b"a", set(b"1"), brief()).unwrap_err().class == Class::Busy);
    drop(holder.stdin.take());
    holder.wait().unwrap();
    owe(&journal, "a", set(b"1"));
}

#[test]
fn who_comes_by_a_link_to_the_file_hears_of_what_is_owed_and_waits_for_the_turn_of_others() {
    let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = folder.path().join("owed.db");
    let one = open(&path);
    symlink(&path, elsewhere.path().join("link.db")).unwrap();
    let other = open(&elsewhere.path().join("link.db"));
    assert!(one.is_empty(soon()).unwrap());
    owe(&other, "a", removal());
    assert!(!one.is_empty(soon()).unwrap() && find(&one, "a").is_some());
    let turn = one.claim_replay().unwrap().unwrap();
    assert!(other.claim_replay().unwrap().is_none());
    drop(turn);
    assert_eq!(std::fs::read_dir(elsewhere.path()).unwrap().count(), 1, "the link alone");
}

#[test]
fn nothing_is_made_at_the_end_of_a_link_that_somebody_laid_in_the_place_of_the_lock() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder.path().join("owed.db"));
    symlink(folder.path().join("elsewhere"), folder.path().join("owed.db-replay")).unwrap();
    assert_eq!(journal.claim_replay().map(drop).unwrap_err().class, Class::Unreachable);
    assert!(!folder.path().join("elsewhere").exists());
}

/// Another user.
#[test]
fn child_may_write_the_journal() {
    let Some(path) = role("another user") else { return };
    let journal = open(&path);
    owe(&journal, "a", set(b"1"));
    assert!(journal.claim_replay().unwrap().is_some());
    std::fs::write(path.with_extension("done"), b"").unwrap();
}

#[test]
fn whoever_may_write_the_file_may_bring_what_is_owed() {
    const NOBODY: u32 = 65534;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("owed.db");
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o777)).unwrap();
    drop(open(&path));
    // Who shares it with others says so before it is used.
    for name in ["owed.db", "owed.db-owed"] {
        std::fs::set_permissions(folder.path().join(name), PermissionsExt::from_mode(0o666)).unwrap();
    }
    let journal = open(&path);
    assert!(journal.claim_replay().unwrap().is_some());
    let mut child = command("child_may_write_the_journal", "another user", &path);
    match child.uid(NOBODY).gid(NOBODY).status() {
        Ok(status) => assert!(status.success() && path.with_extension("done").exists()),
        Err(error) => println!("skipped: another user cannot be taken on here ({error})"),
    }
    assert_eq!(keys(&all(&journal)), ["a"]);
}

#[test]
fn nobody_waits_for_a_new_name_that_waits_for_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("owed.db");
    let journal = open(&path);
    owe(&journal, "a", set(b"1"));
    let script = "import sqlite3,sys\nc=sqlite3.connect(sys.argv[1],isolation_level=None)\n\
                  c.execute('begin immediate')\nprint('held',flush=True)\nsys.stdin.read()";
    let (mut holder, _output) = python(script, &path);
    std::thread::scope(|scope| {
        let renaming = scope.spawn(|| journal.rename("redis moved:6379/0 orders:", soon()));
        let end = Instant::now() + Duration::from_millis(300);
        while Instant::now() < end {
            let began = Instant::now();
            assert!(find(&journal, "a").is_some());
            assert!(began.elapsed() < Duration::from_secs(5), "a read waited {:?}", began.elapsed());
        }
        assert!(!renaming.is_finished(), "it still waits");
        drop(holder.stdin.take());
        renaming.join().unwrap().unwrap();
    });
    holder.wait().unwrap();
    assert_eq!(keys(&all(&journal)), ["a"]);
    owe(&journal, "b", set(b"1"));
    assert!(refused(&path, IDENTITY).contains("moved:6379"));
}

/// They would hold each other until the fork loses its patience, and the child its database.
#[test]
fn a_fork_waits_for_no_new_name_that_waits_for_a_read() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder.path().join("owed.db"));
    owe(&journal, "a", set(b"1"));
    let is_over = AtomicBool::new(false);
    let goes_on = || !is_over.load(Ordering::Relaxed);
    let times: Vec<_> = thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while goes_on() {
                    assert!(find(&journal, "a").is_some());
                }
            });
        }
        scope.spawn(|| {
            for number in (0..).take_while(|_| goes_on()) {
                journal.rename(&format!("redis moved{number}:6379/0 orders:"), soon()).unwrap();
            }
        });
        let forks = (0..50).map(|_| {
            thread::sleep(Duration::from_micros(200));
            let began = Instant::now();
            before_fork();
            after_fork_in_parent();
            began.elapsed()
        });
        let times = forks.collect();
        is_over.store(true, Ordering::Relaxed);
        times
    });
    // A machine that has much to do may hold up one or the other.
    let late = times.iter().filter(|time| **time >= Duration::from_secs(1)).count();
    assert!(late < 5, "{times:?}");
}
