//! The SQLite store in one process: what it keeps, what it refuses, what it lets go.

use std::os::unix::fs::PermissionsExt;

use tokencache::clock;
use tokencache::config::Config;
use tokencache::entry::Lifetime;
use tokencache::l2::replay::{Present, Target, Write as Replayed};
use tokencache::l2::sqlite::SqliteStore;
use tokencache::l2::{Class, Expected, Store, Written};

#[path = "support/sqlite.rs"]
mod support;
use support::*;

#[test]
fn nothing_is_opened_before_it_is_used_and_the_files_are_for_their_owner_alone() {
    let (directory, path) = place();
    let store = store(&path);
    assert!(!path.exists());
    store.connect(soon()).unwrap();
    store.connect(soon()).unwrap();
    set(&store, "a", b"1");
    let mut names = 0;
    for file in std::fs::read_dir(directory.path()).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", file.file_name());
        names += 1;
    }
    assert_eq!(names, 4, "the database, its log, the log's index and the epoch file");
}

#[test]
fn an_entry_comes_back_as_it_was_written() {
    let (_directory, path) = place();
    let lifetime = Lifetime { expires_at_ms: clock::unix_ms() + 3_600_000, sliding_ms: 60_000 };
    let value: Vec<u8> = (0..7000_u32).map(|i| i as u8).collect();
    let before = clock::unix_ms();
    put(&store(&path), "a", &value, 77, lifetime, Expected::Anything).unwrap();
    let found = get(&store(&path), "a").unwrap();
    assert_eq!(*found.bytes, *value);
    assert_eq!((found.version, found.lifetime), (77, lifetime));
    assert!(found.written_at_ms >= before);
    assert!(found.ends_at_ms >= before + 60_000 && found.ends_at_ms <= clock::unix_ms() + 60_000);

    let store = store(&path);
    set(&store, "", b"");
    assert!(get(&store, "").unwrap().bytes.is_empty(), "an empty value is a value");
    assert!(get(&store, "b").is_none());
}

#[test]
fn what_has_expired_is_absent_and_tended_away() {
    let (_directory, path) = place();
    let store = store(&path);
    let end = clock::unix_ms() + 30;
    put(&store, "a", b"1", 5, Lifetime { expires_at_ms: end, sliding_ms: 0 }, Expected::Anything).unwrap();
    put(&store, "s", b"1", 5, Lifetime { expires_at_ms: 0, sliding_ms: 30 }, Expected::Anything).unwrap();
    wait_past(clock::unix_ms() + 60);
    assert!(get(&store, "a").is_none() && get(&store, "s").is_none());
    assert_eq!(store.touch(b"s", None, soon()).unwrap(), None);
    assert_eq!(put(&store, "a", b"2", 6, FOREVER, Expected::Version(5)).unwrap(), Written::Conflict);
    assert_eq!(store.remove(b"a", 6, Expected::Version(5), soon()).unwrap(), Written::Conflict);
    store.tend(soon()).unwrap();
    assert!(store.figures().contains(&("expired_entries", 2)), "{:?}", store.figures());
    assert_eq!(put(&store, "a", b"2", 6, FOREVER, Expected::Absent).unwrap(), Written::Stored(6));
}

#[test]
fn a_touch_moves_a_window_up_to_the_absolute_end_and_nothing_else() {
    let (_directory, path) = place();
    let store = store(&path);
    let now = clock::unix_ms();
    let sliding = Lifetime { expires_at_ms: 0, sliding_ms: 50_000 };
    let both = Lifetime { expires_at_ms: now + 40_000, sliding_ms: 50_000 };
    put(&store, "sliding", b"1", 1, sliding, Expected::Anything).unwrap();
    put(&store, "both", b"1", 1, both, Expected::Anything).unwrap();
    set(&store, "still", b"1");
    wait_past(now + 5);
    let end = store.touch(b"sliding", None, soon()).unwrap().unwrap();
    assert!(end > now + 50_000 + 5);
    assert_eq!(get(&store, "sliding").unwrap().ends_at_ms, end);
    assert_eq!(store.touch(b"both", None, soon()).unwrap(), Some(now + 40_000));
    assert_eq!(store.touch(b"still", None, soon()).unwrap(), Some(0));
    assert_eq!(store.touch(b"none", None, soon()).unwrap(), None);
    assert_eq!(get(&store, "sliding").unwrap().version, 1, "a touch is not a write");
}

#[test]
fn versions_of_a_key_never_repeat_and_never_go_back() {
    let (_directory, path) = place();
    let store = store(&path);
    assert_eq!(put(&store, "a", b"1", 100, FOREVER, Expected::Anything).unwrap(), Written::Stored(100));
    assert_eq!(put(&store, "a", b"2", 50, FOREVER, Expected::Anything).unwrap(), Written::Stored(101));
    assert_eq!(store.remove(b"a", 7, Expected::Anything, soon()).unwrap(), Written::Stored(102));
    assert!(get(&store, "a").is_none());
    assert_eq!(put(&store, "a", b"3", 60, FOREVER, Expected::Absent).unwrap(), Written::Stored(103));
    assert_eq!(put(&store, "a", b"4", 500, FOREVER, Expected::Version(103)).unwrap(), Written::Stored(500));
    let Written::Stored(huge) = put(&store, "a", b"5", u64::MAX - 1, FOREVER, Expected::Anything).unwrap()
    else {
        panic!("stored");
    };
    assert_eq!(set(&store, "a", b"6"), huge + 1);
}

#[test]
fn a_write_that_expects_something_else_changes_nothing() {
    let (_directory, path) = place();
    let store = store(&path);
    assert_eq!(put(&store, "a", b"0", 1, FOREVER, Expected::Version(1)).unwrap(), Written::Conflict);
    assert!(get(&store, "a").is_none(), "an update does not insert");
    assert_eq!(put(&store, "a", b"1", 10, FOREVER, Expected::Absent).unwrap(), Written::Stored(10));
    assert_eq!(put(&store, "a", b"2", 11, FOREVER, Expected::Absent).unwrap(), Written::Conflict);
    assert_eq!(put(&store, "a", b"2", 11, FOREVER, Expected::Version(9)).unwrap(), Written::Conflict);
    assert_eq!(store.remove(b"a", 12, Expected::Version(9), soon()).unwrap(), Written::Conflict);
    assert_eq!(store.remove(b"a", 12, Expected::Absent, soon()).unwrap(), Written::Conflict);
    let found = get(&store, "a").unwrap();
    assert_eq!((&*found.bytes, found.version), (&b"1"[..], 10));
    assert_eq!(store.remove(b"a", 12, Expected::Version(10), soon()).unwrap(), Written::Stored(12));
    assert_eq!(put(&store, "a", b"2", 13, FOREVER, Expected::Version(12)).unwrap(), Written::Conflict);
    assert_eq!(store.remove(b"a", 13, Expected::Version(12), soon()).unwrap(), Written::Conflict);
    assert_eq!(store.remove(b"a", 13, Expected::Absent, soon()).unwrap(), Written::Stored(13));
    assert_eq!(store.remove(b"none", 14, Expected::Version(1), soon()).unwrap(), Written::Conflict);
    assert_eq!(store.remove(b"none", 14, Expected::Absent, soon()).unwrap(), Written::Stored(14));
    assert_eq!(store.remove(b"none", 14, Expected::Anything, soon()).unwrap(), Written::Stored(14));
}

#[test]
fn beyond_the_capacity_the_expired_go_first_and_then_the_longest_unused() {
    const CAPACITY: u64 = 512 * 1024;
    let (_directory, path) = place();
    let store = store_of(&path, CAPACITY);
    let value = [7; 7000];
    let end = clock::unix_ms() + 2000;
    let short = Lifetime { expires_at_ms: end, sliding_ms: 0 };
    set(&store, "first", &value);
    for i in 0..10 {
        put(&store, &format!("short{i}"), &value, 1, short, Expected::Anything).unwrap();
    }
    let mut written = 0;
    while store.figures()[0].1 + 5 * 8192 < CAPACITY {
        set(&store, &format!("long{written}"), &value);
        written += 1;
    }
    wait_past(end);
    // More than a second after it was written, so that this use is recorded.
    assert!(get(&store, "first").is_some());
    for i in 0..8 {
        set(&store, &format!("new{i}"), &value);
    }
    let figure = |name| store.figures().iter().find(|figure| figure.0 == name).unwrap().1;
    assert!(figure("expired_entries") >= 8 && figure("evicted_entries") == 0, "{:?}", store.figures());
    for i in 8..40 {
        set(&store, &format!("new{i}"), &value);
        assert!(get(&store, &format!("new{i}")).is_some(), "what was just written stays");
        assert!(figure("pages_bytes") <= CAPACITY);
    }
    assert!(figure("evicted_entries") > 0);
    assert!(get(&store, "first").is_some(), "used lately");
    assert!(get(&store, "long0").is_none() && get(&store, "new39").is_some());
    check_integrity(&path);

    let document = format!(
        r#"{{"version": 1, "encryption": {{"algorithm": "none"}},
            "l2": {{"kind": "sqlite", "path": {path:?}, "capacity_bytes": {}}}}}"#,
        CAPACITY / 2
    );
    store.configure(&Config::parse(document.as_bytes()).unwrap());
    wait_until("tending shrinks it", || {
        store.tend(soon()).unwrap();
        figure("pages_bytes") <= CAPACITY / 2
    });
}

#[test]
fn what_was_used_while_the_clock_was_ahead_does_not_push_out_what_is_written_now() {
    let (_directory, path) = place();
    let store = store_of(&path, 1 << 20);
    for n in 0..200 {
        set(&store, &format!("old{n}"), &[1; 5000]);
    }
    let other = rusqlite::Connection::open(&path).expect("another connection");
    other.execute("UPDATE entries SET used_at_ms = used_at_ms + 86400000", ()).expect("it was ahead");
    store.tend(soon()).expect("tended");
    for n in 0..20 {
        set(&store, &format!("new{n}"), &[2; 5000]);
    }
    for n in 0..20 {
        assert!(get(&store, &format!("new{n}")).is_some(), "{n}");
    }
}

#[test]
fn a_removal_of_what_was_never_there_is_in_the_way_of_an_older_write_that_is_owed() {
    let (_directory, path) = place();
    let store = store_of(&path, 1024 * 1024);
    let older = |seen| Replayed {
        key: b"k",
        seen,
        value: Some((b"older", Lifetime::default())),
        clock: 5,
        written_at_ms: 5,
        ends_at_ms: None,
    };
    let look = || store.look(&[b"k"], soon()).unwrap().remove(0).unwrap();
    let seen = look();
    assert_eq!(seen.present, Present::Nothing);
    assert_eq!(store.remove(b"k", 7, Expected::Anything, soon()).unwrap(), Written::Stored(7));
    assert!(
        !store.replay(&[older(&seen)], soon()).unwrap().remove(0).unwrap(),
        "somebody was there meanwhile"
    );
    assert_eq!(look().present, Present::Tombstone { clock: 7 });
}

#[test]
fn tombstones_never_push_out_entries() {
    const CAPACITY: u64 = 1024 * 1024;
    let (_directory, path) = place();
    let store = store_of(&path, CAPACITY);
    let figure = |name| store.figures().iter().find(|figure| figure.0 == name).unwrap().1;
    let key = |i: u32| format!("{i:0900}");
    let remove = |i| store.remove(key(i).as_bytes(), 1, Expected::Anything, soon()).unwrap();

    set(&store, "first", &[7; 7000]);
    for i in 0..3000 {
        // Every other one was never there.
        if i % 2 == 0 {
            set(&store, &key(i), b"");
        }
        assert_eq!(remove(i), Written::Stored(2 - u64::from(i % 2)));
        assert!(figure("pages_bytes") <= CAPACITY, "{:?}", store.figures());
    }
    for i in 0..20 {
        set(&store, &format!("new{i}"), &[7; 7000]);
        assert!(figure("pages_bytes") <= CAPACITY, "{:?}", store.figures());
    }
    assert!((0..20).all(|i| get(&store, &format!("new{i}")).is_some()) && get(&store, "first").is_some());
    assert_eq!(figure("evicted_entries"), 0);
    set(&store, &key(2999), b"");
    assert!(get(&store, &key(2999)).unwrap().version > 1, "the latest tombstones are the last to go");
    check_integrity(&path);
}

/// Others may owe what was there before: it would come after the removal.
#[test]
fn a_full_database_remembers_the_latest_removals() {
    const CAPACITY: u64 = 1024 * 1024;
    let (_directory, path) = place();
    let store = store_of(&path, CAPACITY);
    let figure = |name| store.figures().iter().find(|figure| figure.0 == name).unwrap().1;
    let fill = |round: &str| {
        for i in 0..300 {
            set(&store, &format!("{round}{i}"), &[7; 7000]);
        }
    };
    fill("before");
    set(&store, "gone", b"value");
    store.remove(b"gone", 1, Expected::Anything, soon()).unwrap();
    fill("after");
    assert!(figure("evicted_entries") > 300 && figure("pages_bytes") <= CAPACITY, "{:?}", store.figures());
    let seen = store.look(&[b"gone"], soon()).unwrap().remove(0).unwrap();
    assert!(matches!(seen.present, Present::Tombstone { .. }), "{:?}", seen.present);
}

#[test]
fn a_value_that_never_fits_is_refused_with_both_numbers() {
    let (_directory, path) = place();
    let store = store_of(&path, 100_000);
    let failure = put(&store, "secret-key", &[0; 200_000], 1, FOREVER, Expected::Anything).unwrap_err();
    assert_eq!(failure.class, Class::Full);
    assert!(failure.message.contains("200000") && failure.message.contains("100000"), "{failure}");
    assert!(!failure.message.contains("secret-key"));
}

#[test]
fn a_closed_store_says_so_and_leaves_no_log() {
    let (directory, path) = place();
    let store = store(&path);
    set(&store, "a", b"1");
    store.close();
    store.close();
    assert_eq!(class(store.get(b"a", soon())), Class::Closed);
    assert_eq!(class(put(&store, "a", b"2", 1, FOREVER, Expected::Anything)), Class::Closed);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 2, "the log is in the database");
    assert_eq!(*get(&support::store(&path), "a").unwrap().bytes, *b"1");
}

#[test]
fn threads_share_a_store_and_lose_nothing() {
    let (_directory, path) = place();
    let store = store(&path);
    set(&store, "n", &0_u32.to_le_bytes());
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let store = &store;
            scope.spawn(move || {
                for i in 0..100 {
                    increment(store);
                    set(store, &format!("{thread}-{i}"), &[1; 7000]);
                }
            });
        }
    });
    assert_eq!(*get(&store, "n").unwrap().bytes, 800_u32.to_le_bytes());
    check_integrity(&path);
}

fn increment(store: &SqliteStore) {
    loop {
        let found = get(store, "n").unwrap();
        let next = u32::from_le_bytes(found.bytes[..].try_into().unwrap()) + 1;
        let expected = Expected::Version(found.version);
        let written = put(store, "n", &next.to_le_bytes(), found.version, FOREVER, expected).unwrap();
        if written != Written::Conflict {
            return;
        }
    }
}

#[test]
fn a_wait_ends_when_the_cache_closes() {
    let (_directory, path) = place();
    let store = store(&path);
    set(&store, "a", b"1");
    let script = "import sqlite3,sys\nc=sqlite3.connect(sys.argv[1],isolation_level=None)\n\
                  c.execute('begin immediate')\nprint('held',flush=True)\nsys.stdin.read()";
    let (mut holder, _output) = python(script, &path);
    let closing = || true;
    let attempt =
        tokencache::l2::Attempt { deadline: std::time::Instant::now() + GENEROUS, is_closing: &closing };
    let started = std::time::Instant::now();
    assert_eq!(class(store.remove(b"a", 1, Expected::Anything, attempt)), Class::Closed);
    assert!(started.elapsed() < GENEROUS / 2);
    assert!(is_busy(&store));
    assert!(get(&store, "a").is_some(), "readers are not in the way");
    drop(holder.stdin.take());
    holder.wait().unwrap();
}
