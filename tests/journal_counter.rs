//! The counter beside a journal file: it never says that nothing is owed while something is, whoever is killed, and
//! whatever happens to the file.

use std::fs::{self, File, Permissions};
use std::io::{BufRead, BufReader, Write as _};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rusqlite::Connection;
use tokencache::clock;
use tokencache::error::Kind;
use tokencache::journal::Journal;

#[path = "support/journal.rs"]
mod journal;
#[path = "support/sqlite.rs"]
mod sqlite;
use journal::*;
use sqlite::{check_integrity, command, place, python, role, soon, within};

const NOBODY: u32 = 65534;
/// Where its word is.
const COUNT_AT: u64 = 16;
const WHOLE: u64 = 4096;

fn counter(journal: &Path) -> PathBuf {
    let mut path = journal.as_os_str().to_owned();
    path.push("-owed");
    path.into()
}

/// 0: nobody knows; else one more than the records.
fn word(journal: &Path) -> u64 {
    let mut word = [0; 8];
    File::open(counter(journal)).unwrap().read_exact_at(&mut word, COUNT_AT).unwrap();
    u64::from_ne_bytes(word)
}

fn put_word(journal: &Path, word: u64) {
    let file = File::options().write(true).open(counter(journal)).unwrap();
    file.write_all_at(&word.to_ne_bytes(), COUNT_AT).unwrap();
}

fn is_empty(journal: &Journal) -> bool {
    journal.is_empty(soon()).unwrap()
}

fn settle_all(journal: &Journal) {
    for due in all(journal) {
        journal.settle(&due.key, due.sequence, soon()).unwrap();
    }
    assert!(all(journal).is_empty());
}

/// What a look complains of.
fn blind(journal: &Journal) -> String {
    journal.look(soon()).blind.map(|failure| failure.to_string()).unwrap_or_default()
}

#[test]
fn what_one_owes_another_sees_without_the_file() {
    let (_folder, path) = place();
    let (one, other) = (open(&path), open(&path));
    assert!(is_empty(&one) && is_empty(&other));
    owe(&one, "a", set(b"1"));
    // No time for the file.
    assert!(!other.is_empty(within(Duration::ZERO)).unwrap() && find(&other, "a").is_some());
    assert_eq!(word(&path), 2);
    let sequence = other.sequence(b"a", soon()).unwrap().unwrap();
    assert!(other.settle(b"a", sequence, soon()).unwrap());
    // Nobody may find 0 before the record is really gone.
    assert!(!is_empty(&one) && find(&one, "a").is_none());
    assert!(all(&one).is_empty());
    assert!(one.is_empty(within(Duration::ZERO)).unwrap() && other.is_empty(within(Duration::ZERO)).unwrap());
    // What a process left that died between its counting and its commit.
    put_word(&path, 8);
    assert!(!is_empty(&one) && find(&one, "a").is_none());
    drop(open(&path));
    assert!(is_empty(&one), "opening counts again");
    assert_eq!(fs::metadata(counter(&path)).unwrap().mode() & 0o777, 0o600);
}

/// Owes, settles and counts for as long as it lives.
#[test]
fn child_owes_and_settles() {
    let Some(path) = role("counter") else { return };
    let journal = open(&path);
    println!("\nbegun");
    std::io::stdout().flush().unwrap();
    for i in 0_usize.. {
        let key = format!("{}-{}", std::process::id(), i % 3);
        owe(&journal, &key, if i % 2 == 0 { set(&[1; 500]) } else { removal() });
        let sequence = journal.sequence(key.as_bytes(), soon()).unwrap();
        // Others settle too.
        if let Some(sequence) = sequence {
            journal.settle(key.as_bytes(), sequence, soon()).unwrap();
        }
        if let Some(turn) = journal.claim_replay().unwrap() {
            for due in turn.batch(clock::unix_ms(), 0, 10, soon()).unwrap() {
                journal.settle(&due.key, due.sequence, soon()).unwrap();
            }
            turn.batch(clock::unix_ms(), 0, 10, soon()).unwrap();
        }
    }
}

fn start(path: &Path) -> (Child, BufReader<ChildStdout>) {
    let mut child =
        command("child_owes_and_settles", "counter", path).stdout(Stdio::piped()).spawn().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while line != "begun\n" {
        line.clear();
        assert!(output.read_line(&mut line).unwrap() > 0, "it begins");
    }
    (child, output)
}

/// Under the lock of the journal, so that nobody is between counting and commit: the records, and what the word says.
fn compare(connection: &mut Connection, path: &Path) -> (u64, u64) {
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();
    let rows: i64 = transaction.query_row("SELECT count(*) FROM owed", (), |row| row.get(0)).unwrap();
    let word = word(path);
    transaction.rollback().unwrap();
    (rows.try_into().unwrap(), word)
}

#[test]
fn no_kill_makes_it_say_nothing_while_something_is_owed() {
    let kills = if std::env::var_os("TOKENCACHE_TEST_LONG").is_some() { 1000 } else { 200 };
    let (_folder, path) = place();
    // Mapped for the whole test, as by a process that lives on.
    let witness = open(&path);
    let (is_over, looks, full, nothing) =
        (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let look = |connection: &mut Connection| {
        let (rows, word) = compare(connection, &path);
        assert!(word == 0 || word > rows, "{rows} records, and the counter says {word}, less 1");
        looks.fetch_add(1, Ordering::Relaxed);
        full.fetch_add(u64::from(rows > 0), Ordering::Relaxed);
        nothing.fetch_add(u64::from(word == 1), Ordering::Relaxed);
        // Nobody else settles a record of a process that is dead, but it may be settled by now.
        rows
    };
    let connect = || {
        let connection = Connection::open(&path).unwrap();
        connection.busy_timeout(Duration::from_secs(60)).unwrap();
        connection
    };
    std::thread::scope(|scope| {
        let over = OnDrop(&is_over);
        scope.spawn(|| {
            let mut connection = connect();
            while !is_over.load(Ordering::Relaxed) {
                look(&mut connection);
                let _ = witness.is_empty(soon()).unwrap();
            }
        });
        let mut connection = connect();
        let mut children = [start(&path), start(&path)];
        for kill in 0..kills {
            let child = &mut children[kill % 2];
            // A random point of what it is doing: it needs some hundred µs for each step.
            std::thread::sleep(Duration::from_micros(fastrand::u64(0..5_000)));
            child.0.kill().unwrap();
            child.0.wait().unwrap();
            look(&mut connection);
            *child = start(&path);
        }
        for (child, _) in &mut children {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        let rows = look(&mut connection);
        assert!(rows == 0 || !is_empty(&witness));
        drop(over);
    });
    settle_all(&witness);
    assert_eq!(word(&path), 1, "it heals");
    check_integrity(&path);
    println!(
        "{kills} kills, {} looks under the lock, {} with something owed, {} with the word at nothing: never both",
        looks.load(Ordering::Relaxed),
        full.load(Ordering::Relaxed),
        nothing.load(Ordering::Relaxed)
    );
    assert!(full.into_inner() > 0 && nothing.into_inner() > 0);
}

/// Says that it is over also where a test fails.
struct OnDrop<'a>(&'a AtomicBool);

impl Drop for OnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// As after a loss of power, when the system kept the journal and not the counter.
#[test]
fn what_it_said_before_anybody_counted_is_not_believed() {
    let (_folder, path) = place();
    owe(&open(&path), "a", removal());
    put_word(&path, 1);
    let journal = open(&path);
    assert!(!is_empty(&journal) && find(&journal, "a").is_some());
    drop(journal);
    // And where the one that opens it cannot count, because the file is busy.
    put_word(&path, 1);
    let script = "import sqlite3,sys\nc=sqlite3.connect(sys.argv[1],isolation_level=None)\n\
                  c.execute('begin immediate')\nprint('held',flush=True)\nsys.stdin.read()";
    let (mut holder, _output) = python(script, &path);
    let journal = Journal::open(&settings(Some(&path)), IDENTITY, within(Duration::from_millis(30))).unwrap();
    assert!(!is_empty(&journal) && find(&journal, "a").is_some());
    drop(holder.stdin.take());
    holder.wait().unwrap();
    assert_eq!((blind(&journal).as_str(), word(&path)), ("", 2), "a look counts");
}

#[test]
fn one_that_was_deleted_is_made_anew_by_whoever_looks_or_writes() {
    let (_folder, path) = place();
    let (one, other) = (open(&path), open(&path));
    for is_writing in [false, true] {
        owe(&one, "a", removal());
        settle_all(&one);
        fs::remove_file(counter(&path)).unwrap();
        if is_writing {
            owe(&one, "b", removal())
        } else {
            assert_eq!(blind(&one), "")
        }
        assert_eq!(word(&path), if is_writing { 2 } else { 1 });
        // Whoever still has the old one asks the journal.
        assert_eq!(is_empty(&other), !is_writing);
        assert_eq!(blind(&other), "");
        assert!(fs::metadata(counter(&path)).unwrap().nlink() == 1);
        settle_all(&other);
        assert!(is_empty(&one) && is_empty(&other));
        owe(&other, "c", removal());
        assert!(!is_empty(&one), "they have the same one again");
        settle_all(&one);
    }
    // Moved away, so that it still has a name.
    fs::rename(counter(&path), path.with_extension("moved")).unwrap();
    let third = open(&path);
    owe(&one, "e", removal());
    assert!(!is_empty(&third) && !is_empty(&other));
    settle_all(&one);
    // Replaced by a third that never had the old one: found at the next look.
    fs::remove_file(counter(&path)).unwrap();
    owe(&open(&path), "d", removal());
    let _ = one.look(soon());
    assert!(!is_empty(&one) && find(&one, "d").is_some());
}

#[test]
fn one_that_is_damaged_is_replaced_by_the_next_writer() {
    let garbage = vec![0xA5; 4096];
    for damage in [&b""[..], b"TCOWED\0\0", &garbage, &garbage[..100]] {
        let (_folder, path) = place();
        let journal = open(&path);
        owe(&journal, "a", removal());
        // Another name for it, because a mapped file that shrinks takes down whoever reads it.
        fs::remove_file(counter(&path)).unwrap();
        fs::write(counter(&path), damage).unwrap();
        let said = blind(&journal);
        assert!(said.contains("-owed is damaged"), "{said}");
        assert!(!is_empty(&journal));
        owe(&journal, "b", removal());
        assert_eq!((fs::metadata(counter(&path)).unwrap().len(), word(&path)), (WHOLE, 3));
        assert_eq!(blind(&journal), "");
    }
}

#[test]
fn one_that_is_cut_short_is_let_go_at_the_next_look_or_write() {
    for is_writing in [false, true] {
        let (_folder, path) = place();
        let journal = open(&path);
        File::options().write(true).open(counter(&path)).unwrap().set_len(0).unwrap();
        if !is_writing {
            assert!(blind(&journal).contains("is damaged"));
        }
        owe(&journal, "a", removal());
        assert!(!is_empty(&journal));
        assert_eq!(word(&path), 2);
    }
}

#[test]
fn one_of_another_version_is_told_that_nobody_knows_and_left_alone() {
    let (_folder, path) = place();
    drop(open(&path));
    let mut other = fs::read(counter(&path)).unwrap();
    other[8..16].copy_from_slice(&2_u64.to_ne_bytes());
    other.extend_from_slice(&[7; 4096]);
    fs::write(counter(&path), &other).unwrap();
    put_word(&path, 1);
    let journal = open(&path);
    for key in ["a", "b"] {
        put_word(&path, 1);
        owe(&journal, key, removal());
        assert_eq!(word(&path), 0, "before the commit");
        assert!(!is_empty(&journal) && find(&journal, key).is_some());
    }
    let said = blind(&journal);
    assert!(said.contains("another version") && said.contains("remove the file"), "{said}");
    assert!(fs::read(counter(&path)).unwrap()[4096..].iter().all(|byte| *byte == 7));
    fs::remove_file(counter(&path)).unwrap();
    assert_eq!((blind(&journal).as_str(), word(&path)), ("", 3));
}

/// Another user, who may write to the journal and not to its counter.
#[test]
fn child_may_not_write_the_counter() {
    let Some(path) = role("no counter") else { return };
    let refused =
        Journal::open(&settings(Some(&path)), IDENTITY, soon()).err().expect("it cannot tell the others");
    assert_eq!(refused.kind, Kind::InvalidConfig);
    assert!(refused.message.contains("-owed cannot be opened for writing"), "{refused}");
    assert!(refused.message.contains("let whoever may write to the journal write to this file"), "{refused}");
    fs::write(path.with_extension("done"), b"").unwrap();
}

/// Another user, who may write to the journal and not to its folder.
#[test]
fn child_may_not_make_the_counter() {
    let Some(path) = role("no folder") else { return };
    let journal = open(&path);
    owe(&journal, "b", set(b"1"));
    assert!(!is_empty(&journal) && find(&journal, "b").is_some() && find(&journal, "a").is_some());
    let said = blind(&journal);
    assert!(said.contains("-owed cannot be made") && said.contains("and its folder"), "{said}");
    settle_all(&journal);
    assert!(is_empty(&journal));
    File::options().write(true).open(path.with_extension("done")).unwrap().set_len(1).unwrap();
}

#[test]
fn who_may_write_the_journal_and_not_its_counter_is_refused_or_asks_the_journal() {
    for (name, has_counter) in
        [("child_may_not_write_the_counter", true), ("child_may_not_make_the_counter", false)]
    {
        let (folder, path) = place();
        let journal = open(&path);
        owe(&journal, "a", removal());
        for end in ["", "-wal", "-shm"] {
            let mut name = path.as_os_str().to_owned();
            name.push(end);
            fs::set_permissions(name, Permissions::from_mode(0o666)).unwrap();
        }
        fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
        let mut lock = path.as_os_str().to_owned();
        lock.push("-replay");
        for file in [PathBuf::from(lock), path.with_extension("done")] {
            if !has_counter {
                fs::write(&file, b"").unwrap();
                fs::set_permissions(file, Permissions::from_mode(0o666)).unwrap();
            }
        }
        if !has_counter {
            fs::remove_file(counter(&path)).unwrap();
            fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        }
        let mut child = command(name, if has_counter { "no counter" } else { "no folder" }, &path);
        match child.uid(NOBODY).gid(NOBODY).status() {
            Ok(status) => {
                let is_done =
                    fs::metadata(path.with_extension("done")).is_ok_and(|f| has_counter || f.len() == 1);
                assert!(status.success() && is_done, "{name}");
            }
            Err(error) => println!("skipped: another user cannot be taken on here ({error})"),
        }
        if has_counter {
            assert!(!is_empty(&journal) && all(&journal).len() == 1, "nothing of the other's was kept");
        }
    }
}

#[test]
fn a_dangling_link_in_its_place_is_not_followed() {
    let (folder, path) = place();
    let journal = open(&path);
    fs::remove_file(counter(&path)).unwrap();
    symlink(folder.path().join("elsewhere"), counter(&path)).unwrap();
    let refused = journal.owe(b"a", removal(), soon()).unwrap_err();
    assert!(refused.message.contains("cannot be opened for writing"), "{refused}");
    assert!(is_empty(&journal) && !folder.path().join("elsewhere").exists());
    fs::remove_file(counter(&path)).unwrap();
    owe(&journal, "a", removal());
    assert!(!is_empty(&journal));
}

#[test]
fn a_journal_that_was_removed_or_replaced_is_missed_once_and_counted_anew() {
    let (folder, path) = place();
    let (one, other) = (open(&path), open(&path));
    owe(&one, "a", set(b"1"));
    owe(&one, "b", set(b"1"));
    assert!(one.look(soon()).lost.is_none() && other.look(soon()).lost.is_none());
    let remove = || {
        for end in ["", "-wal", "-shm"] {
            let mut name = path.as_os_str().to_owned();
            name.push(end);
            fs::remove_file(name).unwrap();
        }
    };
    let says_once = |journal: &Journal, words: &str| {
        let lost = journal.look(soon()).lost.expect("something was lost");
        assert!(lost.message.contains(words) && lost.message.contains(path.to_str().unwrap()), "{lost}");
        assert!(journal.look(soon()).lost.is_none(), "once");
    };
    remove();
    says_once(&one, "with it up to 2 writes");
    assert_eq!(word(&path), 1);
    says_once(&other, "with it up to 2 writes");
    // A write comes before the look.
    owe(&one, "c", set(b"1"));
    remove();
    owe(&one, "d", set(b"1"));
    says_once(&one, "with it up to 1 writes");
    assert_eq!(keys(&all(&one)), ["d"]);
    // Another journal of the same L2, with more in it than the counter says.
    let elsewhere = folder.path().join("other.db");
    let restored = open(&elsewhere);
    for key in ["x", "y", "z"] {
        owe(&restored, key, removal());
    }
    drop(restored);
    settle_all(&one);
    // With its log, which SQLite would apply to whatever comes to its place.
    remove();
    fs::rename(&elsewhere, &path).unwrap();
    says_once(&other, "up to 0 writes");
    assert_eq!((is_empty(&one), word(&path)), (false, 4));
    assert_eq!(keys(&all(&one)), ["x", "y", "z"]);
}
