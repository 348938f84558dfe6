//! What is owed: the newest write of each key, within limits, in memory and in a file.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokencache::clock;
use tokencache::error::Kind;
use tokencache::journal::{Change, Counter, InProcess, Journal, Known, Owed, Record};
use tokencache::l2::Class;

#[path = "support/journal.rs"]
mod journal;
#[path = "support/sqlite.rs"]
mod sqlite;
use journal::*;
use sqlite::{python, python_once, soon, wait_past, within};

#[test]
fn the_newest_write_of_a_key_is_owed_and_nothing_else() {
    each_kind(|journal| {
        assert!(journal.is_empty(soon()).unwrap() && find(journal, "a").is_none());
        owe(journal, "a", set(b"1"));
        owe(journal, "b", set(b"other"));
        owe(journal, "a", set(b"22"));
        assert_eq!(find(journal, "a").as_ref().map(value), Some(Some(&b"22"[..])));
        owe(journal, "a", removal());
        assert_eq!(find(journal, "a").as_ref().map(value), Some(None));
        owe(journal, "", set(b""));
        assert_eq!(find(journal, "").as_ref().map(value), Some(Some(&b""[..])), "an empty value is a value");
        assert!(find(journal, "c").is_none());
        assert_eq!(journal.owed(soon()).unwrap().entries, 3);
        assert!(!journal.is_empty(soon()).unwrap());
    });
}

#[test]
fn a_record_comes_back_as_it_was_owed() {
    each_kind(|journal| {
        let known = [Known::Nothing, Known::Absent, Known::Version(1), Known::Version(u64::MAX - 1)];
        for (i, known) in known.into_iter().enumerate() {
            let key = format!("k{i}");
            let end_ms = clock::unix_ms() + 60_000;
            let record =
                Record { clock: time(1_000) + 7, written_at_ms: 5, known, ..set_until(&[7; 7000], end_ms) };
            owe(journal, &key, record);
            let found = find(journal, &key).unwrap();
            assert_eq!((found.clock, found.written_at_ms, found.known), (time(1_000) + 7, 5, known));
            let (bytes, lifetime) = found.change.value().unwrap();
            assert_eq!((bytes, lifetime.expires_at_ms, lifetime.sliding_ms), (&[7; 7000][..], end_ms, 0));
        }
    });
}

#[test]
fn a_later_write_has_the_later_time_and_is_made_onto_the_same_entry() {
    each_kind(|journal| {
        let now = time(clock::unix_ms());
        owe(journal, "a", Record { clock: now, known: Known::Version(5), ..set(b"1") });
        owe(journal, "a", Record { clock: now - time(60_000), ..set(b"2") });
        let found = find(journal, "a").unwrap();
        assert_eq!((found.clock, found.known), (now + 1, Known::Version(5)));
        owe(journal, "a", Record { known: Known::Absent, ..set(b"3") });
        assert_eq!(find(journal, "a").unwrap().known, Known::Absent, "it knew better");
    });
}

#[test]
fn a_clock_far_ahead_is_taken_for_now() {
    each_kind(|journal| {
        let before = clock::unix_ms();
        owe(journal, "far", Record { clock: time(before + 86_400_000), ..set(b"1") });
        owe(journal, "near", Record { clock: time(before + 60_000), ..set(b"1") });
        let far = find(journal, "far").unwrap().clock >> 16;
        assert!((before as u64..=clock::unix_ms() as u64).contains(&far));
        assert_eq!(find(journal, "near").unwrap().clock, time(before + 60_000));
        owe(journal, "far", set(b"2"));
        assert!(find(journal, "far").unwrap().clock >> 16 <= clock::unix_ms() as u64 + 1);
    });
}

#[test]
fn limits_refuse_with_their_names_and_figures_and_change_nothing() {
    each_kind(|journal| {
        journal.configure(3 * (128 + 1 + 100), 3);
        for key in ["a", "b", "c"] {
            owe(journal, key, set(&[1; 100]));
        }
        let full = Owed { entries: 3, bytes: 687 };
        assert_eq!(journal.owed(soon()).unwrap(), full);
        let refused = journal.owe(b"d", removal(), soon()).unwrap_err();
        assert_eq!(refused.class, Class::Full);
        assert!(refused.message.contains("687 bytes in 3 entries"), "{refused}");
        assert!(refused.message.contains("resilience.journal_max_bytes is 687"), "{refused}");
        let refused = journal.owe(b"a", set(&[2; 101]), soon()).unwrap_err();
        assert!(refused.message.contains("journal_max_bytes"), "{refused}");
        assert_eq!(find(journal, "a").as_ref().map(value), Some(Some(&[1; 100][..])));
        assert_eq!(journal.owed(soon()).unwrap(), full);

        owe(journal, "a", set(&[2; 100]));
        owe(journal, "b", removal());
        assert_eq!(journal.owed(soon()).unwrap(), Owed { entries: 3, bytes: 587 });
        journal.configure(10_000, 3);
        let refused = journal.owe(b"d", removal(), soon()).unwrap_err();
        assert!(refused.message.contains("it holds 3 entries"), "{refused}");
        assert!(refused.message.contains("resilience.journal_max_entries is 3"), "{refused}");
        // A limit that was lowered keeps nobody from making it less.
        journal.configure(1, 1);
        owe(journal, "a", set(&[3; 99]));
        owe(journal, "a", removal());
        assert_eq!(journal.owed(soon()).unwrap(), Owed { entries: 3, bytes: 487 });
    });
}

#[test]
fn a_set_that_has_ended_is_owed_as_a_removal_and_gives_up_its_room() {
    each_kind(|journal| {
        let end_ms = clock::unix_ms() + 50;
        owe(journal, "a", removal());
        owe(journal, "a", set_until(&[1; 100], end_ms));
        owe(journal, "b", set_until(&[1; 100], end_ms));
        assert!(find(journal, "a").as_ref().and_then(value).is_some());
        wait_past(end_ms);
        for key in ["a", "b"] {
            assert_eq!(find(journal, key).as_ref().map(value), Some(None), "what lies in L2 is older");
        }
        assert!(all(journal).iter().all(|due| matches!(due.record.change, Change::Remove)));
        let before = journal.owed(soon()).unwrap();
        assert_eq!(before, Owed { entries: 2, bytes: 458 });
        journal.configure(before.bytes, 10);
        owe(journal, "c", set(&[1; 50]));
        assert_eq!(journal.owed(soon()).unwrap(), Owed { entries: 3, bytes: 437 });
        journal.bury_ended(soon()).unwrap();
        assert_eq!(find(journal, "c").as_ref().and_then(value), Some(&[1; 50][..]));
    });
}

#[test]
fn batches_come_in_the_order_of_the_writes() {
    each_kind(|journal| {
        for i in 0..100 {
            owe(journal, &format!("k{i:02}"), set(b"1"));
        }
        owe(journal, "k50", set(b"2"));
        let due = all(journal);
        let mut expected: Vec<_> = (0..100).filter(|i| *i != 50).map(|i| format!("k{i:02}")).collect();
        expected.push("k50".into());
        assert_eq!(keys(&due), expected);
        let turn = journal.claim_replay().unwrap().unwrap();
        let first = turn.batch(0, 7, soon()).unwrap();
        let second = turn.batch(first[6].sequence, 7, soon()).unwrap();
        assert_eq!((keys(&first), keys(&second)), (keys(&due[..7]), keys(&due[7..14])));
    });
}

#[test]
fn batches_of_long_values_are_short() {
    each_kind(|journal| {
        for key in ["a", "b", "c"] {
            owe(journal, key, set(&vec![1; 600_000]));
        }
        owe(journal, "huge", set(&vec![1; 3_000_000]));
        let turn = journal.claim_replay().unwrap().unwrap();
        let mut after = 0;
        for key in ["a", "b", "c", "huge"] {
            let batch = turn.batch(after, 64, soon()).unwrap();
            assert_eq!(keys(&batch), [key]);
            after = batch[0].sequence;
        }
    });
}

#[test]
fn only_the_record_that_was_replayed_is_settled() {
    each_kind(|journal| {
        owe(journal, "a", set(b"1"));
        let first = journal.sequence(b"a", soon()).unwrap().unwrap();
        owe(journal, "a", set(b"2"));
        assert!(!journal.settle(b"a", first, soon()).unwrap());
        assert!(!journal.settle(b"b", first, soon()).unwrap());
        let second = journal.sequence(b"a", soon()).unwrap().unwrap();
        assert!(second > first);
        assert!(journal.settle(b"a", second, soon()).unwrap());
        assert!(!journal.settle(b"a", second, soon()).unwrap());
        assert_eq!(journal.owed(soon()).unwrap(), Owed::default());
        assert!(journal.is_empty(soon()).unwrap() && find(journal, "a").is_none());
        owe(journal, "a", set(b"3"));
        assert!(journal.sequence(b"a", soon()).unwrap().unwrap() > second, "no number is given twice");
    });
}

#[test]
fn one_replays_at_a_time() {
    each_kind(|journal| {
        let turn = journal.claim_replay().unwrap().unwrap();
        assert!(journal.claim_replay().unwrap().is_none());
        drop(turn);
        assert!(journal.claim_replay().unwrap().is_some());
    });
}

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

#[test]
fn the_counter_says_more_rather_than_less() {
    struct Shared(Arc<InProcess>);
    impl Counter for Shared {
        fn load(&self) -> u64 {
            self.0.load()
        }
        fn store(&self, entries: u64) {
            self.0.store(entries);
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("owed.db");
    let number = Arc::new(InProcess::default());
    let open = || {
        let counter = Box::new(Shared(Arc::clone(&number)));
        Journal::open(&settings(Some(&path)), IDENTITY, Some(counter), soon()).unwrap()
    };
    let (one, other) = (open(), open());
    owe(&one, "a", set(b"1"));
    assert!(!other.is_empty(soon()).unwrap() && find(&other, "a").is_some());
    let sequence = other.sequence(b"a", soon()).unwrap().unwrap();
    assert!(other.settle(b"a", sequence, soon()).unwrap());
    // Nobody may find 0 before the record is really gone.
    assert!(!one.is_empty(soon()).unwrap() && find(&one, "a").is_none());
    assert!(all(&one).is_empty());
    assert!(one.is_empty(soon()).unwrap());
    // What a process left that died between its counting and its commit.
    number.store(7);
    drop((one, other));
    assert!(open().is_empty(soon()).unwrap(), "opening counts again");
}

fn refused(path: &Path, identity: &str) -> String {
    match Journal::open(&settings(Some(path)), identity, None, soon()) {
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
    // Also one that comes to its place while it is open.
    drop(journal);
    let other = folder.path().join("other.db");
    drop(Journal::open(&settings(Some(&other)), "sqlite /tokens.db", None, soon()).unwrap());
    let journal = open(&path);
    std::fs::rename(&other, &path).unwrap();
    let failure = journal.owe(b"a", set(b"1"), soon()).unwrap_err();
    assert!(failure.message.contains("another L2 (sqlite /tokens.db)"), "{failure}");
    assert!(find(&journal, "a").is_none() && all(&journal).is_empty());
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
        let Ok(journal) = Journal::open(&settings(Some(&path)), IDENTITY, None, soon()) else {
            refusals += 1;
            continue;
        };
        let answers = [
            journal.owe(b"k1", set(b"1"), soon()).err(),
            journal.owe(b"new", removal(), soon()).err(),
            journal.find(b"k2", soon()).err(),
            journal.bury_ended(soon()).err(),
            journal.claim_replay().unwrap().unwrap().batch(0, 500, soon()).err(),
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
        let Ok(journal) = Journal::open(&settings(Some(&path)), IDENTITY, None, soon()) else { continue };
        let _ = (journal.find(b"a", soon()), journal.owe(b"a", set(b"2"), soon()), journal.owed(soon()));
        let _ = journal.claim_replay().unwrap().unwrap().batch(0, 10, soon());
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
    let journal = Journal::open(&settings(Some(&path)), IDENTITY, None, brief()).unwrap();
    let failure = journal.owe(b"a", set(b"1"), brief()).unwrap_err();
    assert_eq!(failure.class, Class::Busy, "{failure}");
    drop(holder.stdin.take());
    holder.wait().unwrap();
    owe(&journal, "a", set(b"1"));
}

#[test]
fn no_value_is_ever_shown() {
    each_kind(|journal| {
        owe(journal, "a", set(b"secret-token"));
        let found = journal.find(b"a", soon()).unwrap().unwrap();
        let due = all(journal);
        let shown = format!("{found:?} {due:?} {:?}", due[0].record.change);
        let numbers = format!("{:?}", b"secret-token");
        assert!(!shown.contains("secret-token") && !shown.contains(&numbers[1..]), "{shown}");
    });
}
