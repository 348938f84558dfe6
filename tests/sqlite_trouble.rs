//! The SQLite store when its file is not what it should be, not where it should be, or not free.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use tokencache::l2::{Attempt, Class, Expected, Store};

#[path = "support/mounted.rs"]
mod mounted;
#[path = "support/sqlite.rs"]
mod support;
use mounted::{Mounted, mount};
use support::*;

fn refusal(path: &Path) -> (Class, String) {
    let failure = store(path).connect(soon()).unwrap_err();
    assert!(failure.message.contains(&path.display().to_string()), "{failure}");
    (failure.class, failure.message.to_string())
}

#[test]
fn a_newer_schema_is_refused() {
    let (_directory, path) = place();
    set(&store(&path), "a", b"1");
    python_once("import sqlite3,sys\nsqlite3.connect(sys.argv[1]).execute('pragma user_version=2')", &path);
    let (class, message) = refusal(&path);
    assert_eq!(class, Class::Protocol);
    assert!(message.contains("newer version of this library (schema 2, this one knows 1)"), "{message}");
}

#[test]
fn what_is_no_database_of_ours_is_refused_and_left_alone() {
    let (directory, path) = place();
    fs::write(&path, "This is a letter and no database. ".repeat(100)).unwrap();
    let before = fs::read(&path).unwrap();
    let (class, message) = refusal(&path);
    assert_eq!(class, Class::Protocol);
    assert!(message.contains("is not a SQLite database"), "{message}");
    assert_eq!(fs::read(&path).unwrap(), before);

    let other = directory.path().join("other.db");
    python_once("import sqlite3,sys\nsqlite3.connect(sys.argv[1]).execute('create table t(x)')", &other);
    let before = fs::read(&other).unwrap();
    let (class, message) = refusal(&other);
    assert_eq!(class, Class::Protocol);
    assert!(message.contains("something else"), "{message}");
    assert_eq!(fs::read(&other).unwrap(), before);

    assert_eq!(refusal(directory.path()).0, Class::Unreachable);
}

#[test]
fn a_file_damaged_while_it_is_open_is_told_and_one_removed_is_made_anew() {
    let (_directory, path) = place();
    let store = store(&path);
    set(&store, "a", b"1");
    fs::remove_file(&path).unwrap();
    fs::write(&path, "no database at all ".repeat(1000)).unwrap();
    assert_eq!(class(store.get(b"a", soon())), Class::Protocol);
    fs::remove_file(&path).unwrap();
    assert!(get(&store, "a").is_none(), "a fresh database");
    set(&store, "a", b"2");
    assert_eq!(*get(&support::store(&path), "a").unwrap().bytes, *b"2");
    check_integrity(&path);
}

#[test]
fn a_directory_that_goes_and_comes_back() {
    let (directory, _) = place();
    let (home, away) = (directory.path().join("home"), directory.path().join("away"));
    let path = home.join("tokens.db");
    let (status, message) = refusal(&path);
    assert_eq!(status, Class::Unreachable);
    assert!(message.contains("create its directory"), "{message}");
    fs::create_dir(&home).unwrap();
    let store = store(&path);
    set(&store, "a", b"1");
    fs::rename(&home, &away).unwrap();
    assert_eq!(class(store.get(b"a", soon())), Class::Unreachable);
    assert_eq!(class(put(&store, "a", b"2", 1, FOREVER, Expected::Anything)), Class::Unreachable);
    fs::rename(&away, &home).unwrap();
    assert_eq!(
        *get(&store, "a").unwrap().bytes,
        *b"1",
        "nothing was written to where the path no longer leads"
    );
    set(&store, "a", b"3");
}

#[test]
fn a_file_replaced_by_a_rename_is_the_one_that_is_read_and_written() {
    let (directory, path) = place();
    let other = directory.path().join("other.db");
    let replacement = store(&other);
    set(&replacement, "a", b"new");
    replacement.close();
    let store = store(&path);
    set(&store, "a", b"old");
    set(&store, "b", b"old");
    fs::rename(&other, &path).unwrap();
    assert_eq!(*get(&store, "a").unwrap().bytes, *b"new");
    assert!(get(&store, "b").is_none(), "the log of the old file is not applied to the new one");
    set(&store, "c", b"new");
    assert!(get(&support::store(&path), "c").is_some());
    check_integrity(&path);
}

#[test]
fn a_lock_of_another_process_ends_a_call_at_its_deadline() {
    let (_directory, path) = place();
    set(&store(&path), "a", b"1");
    let script = "import sqlite3,sys\nc=sqlite3.connect(sys.argv[1],isolation_level=None,timeout=60)\n\
                  c.execute('pragma locking_mode=exclusive')\nc.execute('begin exclusive')\n\
                  c.execute('delete from entries')\nprint('held',flush=True)\nsys.stdin.read()";
    let (mut holder, _output) = python(script, &path);
    let store = store(&path);
    // On a loaded machine the deadline may pass before the lock is met.
    wait_until("the lock is met", || {
        let started = Instant::now();
        let failure = store.get(b"a", within(Duration::from_millis(200))).unwrap_err();
        let took = started.elapsed();
        assert!(took >= Duration::from_millis(200) && took < GENEROUS / 4, "{took:?}");
        assert!([Class::Busy, Class::Timeout].contains(&failure.class), "{failure}");
        let is_busy = failure.class == Class::Busy;
        assert!(!is_busy || failure.message.contains("locked by another process"), "{failure}");
        is_busy
    });
    drop(holder.stdin.take());
    assert!(get(&store, "a").is_some(), "the other process's delete was rolled back");
    holder.wait().unwrap();
}

/// SQLite looks at the clock once in a few hundred beginnings, and says that it was late when all has begun.
#[test]
fn a_write_whose_deadline_is_over_when_it_begins_keeps_no_lock() {
    let (_directory, path) = place();
    let store = store(&path);
    set(&store, "a", b"1");
    let other = rusqlite::Connection::open(&path).expect("another connection");
    for round in 0..2000 {
        let late = Attempt { deadline: Instant::now(), ..soon() };
        let written = store.set(b"a", b"2", 1, 0, FOREVER, Expected::Anything, late);
        if let Err(failure) = written {
            assert_eq!(failure.class, Class::Timeout, "{round}: {failure}");
            other.execute_batch("BEGIN IMMEDIATE; ROLLBACK").expect("nobody is writing");
        }
    }
}

#[test]
fn a_full_disk_is_full_and_what_was_there_stays() {
    let (directory, _) = place();
    if !mount(&["-t", "tmpfs", "-o", "size=1m", "tmpfs"], directory.path()) {
        println!("skipped: a tmpfs cannot be mounted here");
        return;
    }
    let _mounted = Mounted(directory.path());
    let path = directory.path().join("tokens.db");
    let store = store(&path);
    set(&store, "first", b"1");
    let failure = (0..1000)
        .find_map(|i| put(&store, &format!("k{i}"), &[7; 7000], 1, FOREVER, Expected::Anything).err())
        .expect("1 MB is not enough");
    assert_eq!(failure.class, Class::Full, "{failure}");
    assert_eq!(*get(&store, "first").unwrap().bytes, *b"1");
    drop(store);
    check_integrity(&path);
}

#[test]
fn a_read_only_file_system_denies() {
    let (directory, path) = place();
    let store = store(&path);
    set(&store, "a", b"1");
    store.close();
    let here = directory.path();
    if !mount(&["--bind", &here.display().to_string()], here) {
        println!("skipped: nothing can be mounted here");
        return;
    }
    let _mounted = Mounted(here);
    if !mount(&["-o", "remount,ro,bind"], here) {
        println!("skipped: nothing can be mounted read-only here");
        return;
    }
    let store = store_of(&path, 0);
    assert_eq!(class(put(&store, "a", b"2", 1, FOREVER, Expected::Anything)), Class::Denied);
    assert_eq!(refusal(&here.join("none.db")).0, Class::Denied);
}

/// Another user.
#[test]
fn child_is_denied() {
    let Some(path) = role("denied") else { return };
    let (class, message) = refusal(&path);
    assert_eq!(class, Class::Denied, "{message}");
    assert_eq!(refusal(&path.with_file_name("none.db")).0, Class::Denied);
}

#[test]
fn a_file_of_another_user_denies() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;

    const NOBODY: u32 = 65534;
    let (directory, path) = place();
    set(&store(&path), "a", b"1");
    // The directory lets them look, and the file does not.
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = command("child_is_denied", "denied", &path);
    match command.uid(NOBODY).gid(NOBODY).status() {
        Ok(status) => assert!(status.success()),
        Err(error) => println!("skipped: another user cannot be taken on here ({error})"),
    }
}

#[test]
fn a_file_replaced_while_its_only_connection_is_in_use_is_not_given_the_old_log() {
    use tokencache::l2::sqlite::pool::Pool;
    use tokencache::l2::sqlite::schema::ENTRIES;

    let (directory, path) = place();
    let other = directory.path().join("other.db");
    let replacement = store(&other);
    set(&replacement, "a", b"new");
    replacement.close();
    let pool = Pool::new(path.clone(), &ENTRIES);
    let value = "SELECT value FROM entries WHERE key = x'61'";
    pool.write(soon(), |connection| {
        let sql = "INSERT INTO entries (key, version, written_at_ms, expires_at_ms, sliding_ms, ends_at_ms, used_at_ms, \
                   value) VALUES (x'61', 1, 0, 0, 0, 0, 0, x'6f6c64')";
        connection.execute(sql, ()).map(drop)
    })
    .unwrap();
    let seen = pool.read(soon(), |_| {
        fs::rename(&other, &path).unwrap();
        Ok(pool.read(soon(), |connection| connection.query_row(value, (), |row| row.get::<_, Vec<u8>>(0))))
    });
    assert_eq!(seen.unwrap().unwrap(), b"new");
    drop(pool);
    check_integrity(&path);
}

#[test]
fn closing_a_file_that_was_replaced_leaves_the_log_of_its_replacement() {
    let (directory, path) = place();
    let log = directory.path().join("tokens.db-wal");
    let other = directory.path().join("other.db");
    store(&other).connect(soon()).unwrap();
    let old = store(&path);
    set(&old, "a", b"old");
    fs::rename(&other, &path).unwrap();
    for name in ["tokens.db-wal", "tokens.db-shm"] {
        fs::remove_file(directory.path().join(name)).unwrap();
    }
    let new = store(&path);
    set(&new, "a", b"new");
    assert!(fs::metadata(&log).unwrap().len() > 0);
    old.close();
    assert!(fs::metadata(&log).unwrap().len() > 0, "the log of the new file");
    set(&new, "b", b"new");
    // A connection that begins now sees what is in the log by its name.
    assert_eq!(*get(&store(&path), "a").unwrap().bytes, *b"new");
    assert_eq!(*get(&store(&path), "b").unwrap().bytes, *b"new");
    drop(new);
    check_integrity(&path);
}
