//! The SQLite store among processes: first opens, lost updates, kills and forks.

use std::path::Path;
use std::time::{Duration, Instant};

use tokencache::clock;
use tokencache::l2::sqlite::SqliteStore;
use tokencache::l2::sqlite::fork::{after_fork_in_child, after_fork_in_parent, before_fork};
use tokencache::l2::{Class, Expected, Store, Written};

#[path = "support/sqlite.rs"]
mod support;
use support::*;

const PROCESSES: usize = 8;
const INCREMENTS: u32 = 200;

/// One of the processes below.
#[test]
fn child_increments() {
    let Some(path) = role("increment") else { return };
    let store = store(&path);
    for _ in 0..INCREMENTS {
        increment(&store);
    }
}

fn increment(store: &SqliteStore) {
    loop {
        let (count, expected) = match get(store, "n") {
            Some(found) => {
                (u32::from_le_bytes(found.bytes[..].try_into().unwrap()), Expected::Version(found.version))
            }
            None => (0, Expected::Absent),
        };
        let next = (count + 1).to_le_bytes();
        if put(store, "n", &next, 1, FOREVER, expected).unwrap() != Written::Conflict {
            return;
        }
    }
}

#[test]
fn processes_that_open_a_new_file_together_lose_no_update() {
    let (_directory, path) = place();
    let children: Vec<_> = (0..PROCESSES).map(|_| spawn("child_increments", "increment", &path)).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let total = PROCESSES as u32 * INCREMENTS;
    let found = get(&store(&path), "n").unwrap();
    assert_eq!(*found.bytes, total.to_le_bytes());
    assert_eq!(found.version, u64::from(total), "each write took the next version");
    check_integrity(&path);
}

/// Writes until it is killed.
#[test]
fn child_writes_on() {
    let Some(path) = role("write") else { return };
    let store = store(&path);
    for i in 0_u32.. {
        set(&store, &format!("k{}", i % 50), &[i as u8; 7000]);
        set(&store, "last", &i.to_le_bytes());
    }
}

#[test]
fn a_writer_killed_at_any_moment_leaves_a_good_database() {
    let (_directory, path) = place();
    let store = store(&path);
    for round in 0..10 {
        let _ = store.remove(b"last", 1, Expected::Anything, soon()).unwrap();
        let mut child = spawn("child_writes_on", "write", &path);
        wait_until("the child writes", || {
            get(&store, "last").is_some_and(|last| last.bytes[..] >= [10 + round][..])
        });
        child.kill().unwrap();
        child.wait().unwrap();
        set(&store, "mine", &[round]);
        assert_eq!(*get(&store, "mine").unwrap().bytes, [round]);
    }
    check_integrity(&path);
}

/// Forks as `pthread_atfork` would have it, runs `child` there, and answers how it ended.
fn fork(child: impl FnOnce() -> bool) -> libc::pid_t {
    before_fork();
    // SAFETY: the child runs nothing but `child` and leaves without unwinding or destructors.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0);
    if pid > 0 {
        after_fork_in_parent();
        return pid;
    }
    after_fork_in_child();
    let answer = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child));
    // SAFETY: ends this process.
    unsafe { libc::_exit(i32::from(!answer.unwrap_or(false))) }
}

/// Forks until a child may use the database, and runs `child` there, which succeeds, while the parent does something
/// else: where a call of the parent gets no turn for longer than a fork waits, its child goes without.
fn fork_in_time(path: &Path, store: &SqliteStore, child: impl Fn() -> bool, meanwhile: impl Fn()) {
    let barred = path.with_extension("barred");
    wait_until("a child may use it", || {
        let started = Instant::now();
        let pid = fork(|| match store.get(b"n", soon()) {
            Err(failure) if failure.message.contains("forked") => std::fs::write(&barred, b"").is_ok(),
            _ => child(),
        });
        assert!(started.elapsed() < GENEROUS / 2);
        meanwhile();
        assert_eq!(exit_code(pid), 0);
        std::fs::remove_file(&barred).is_err()
    });
}

/// How the child `pid` ended.
fn exit_code(pid: libc::pid_t) -> i32 {
    let end = Instant::now() + GENEROUS;
    loop {
        let mut status = 0;
        // SAFETY: `status` outlives the call.
        if unsafe { libc::waitpid(pid, &raw mut status, libc::WNOHANG) } == pid {
            return status;
        }
        if Instant::now() >= end {
            // SAFETY: our own child.
            unsafe { libc::kill(pid, libc::SIGKILL) };
            panic!("the child hangs");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The forks happen in processes of their own, because each bars the other tests of this binary.
fn in_a_process_of_its_own(name: &str) {
    let (_directory, path) = place();
    assert!(spawn(name, name, &path).wait().unwrap().success());
    check_integrity(&path);
}

#[test]
fn parent_and_child_work_on_after_a_fork_while_others_write() {
    in_a_process_of_its_own("child_forks_while_threads_write");
}

#[test]
fn child_forks_while_threads_write() {
    let Some(path) = role("child_forks_while_threads_write") else { return };
    let store = store(&path);
    let is_over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|_| {
                let (store, is_over) = (&store, &is_over);
                scope.spawn(move || {
                    let mut written = 0;
                    while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                        increment(store);
                        written += 1;
                    }
                    written
                })
            })
            .collect();
        wait_until("the threads write", || get(&store, "n").is_some());
        for round in 0..20 {
            let child = || {
                (0..10).for_each(|_| increment(&store));
                set(&store, &format!("child{round}"), b"was here") > 0
            };
            let meanwhile = || {
                set(&store, &format!("parent{round}"), b"too");
            };
            fork_in_time(&path, &store, child, meanwhile);
            assert!(
                get(&store, &format!("child{round}")).is_some(),
                "what the child was acknowledged is kept"
            );
        }
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
        let written: u32 = writers.into_iter().map(|writer| writer.join().unwrap()).sum();
        assert_eq!(*get(&store, "n").unwrap().bytes, (written + 20 * 10).to_le_bytes(), "no update is lost");
    });
    (0..20).for_each(|round| assert!(get(&store, &format!("parent{round}")).is_some()));
}

#[test]
fn what_a_child_writes_after_its_parent_closed_is_kept() {
    in_a_process_of_its_own("child_forks_and_closes");
}

#[test]
fn child_forks_and_closes() {
    let Some(path) = role("child_forks_and_closes") else { return };
    let (opened, closed) = (path.with_extension("opened"), path.with_extension("closed"));
    let store = store(&path);
    set(&store, "parent", b"1");
    let pid = fork(|| {
        // With a connection that came over the fork, the parent would not see that the child uses the log, and its
        // close would remove it.
        get(&store, "parent").expect("what the parent wrote");
        std::fs::write(&opened, b"").unwrap();
        wait_until("the parent has closed", || closed.exists());
        set(&store, "child", b"1") > 0
    });
    wait_until("the child reads", || opened.exists());
    store.close();
    std::fs::write(&closed, b"").unwrap();
    assert_eq!(exit_code(pid), 0);
    assert!(get(&support::store(&path), "child").is_some(), "what the child was acknowledged is kept");
}

#[test]
fn a_waiting_writer_goes_on_in_the_parent_and_leaves_nothing_in_the_child() {
    in_a_process_of_its_own("child_forks_while_a_writer_waits");
}

#[test]
fn child_forks_while_a_writer_waits() {
    let Some(path) = role("child_forks_while_a_writer_waits") else { return };
    let store = store(&path);
    set(&store, "a", b"1");
    let script = "import sqlite3,sys\nc=sqlite3.connect(sys.argv[1],isolation_level=None)\n\
                  c.execute('begin immediate')\nprint('held',flush=True)\nsys.stdin.read()";
    let (mut holder, _output) = python(script, &path);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..3)
            .map(|i| {
                scope.spawn({
                    let store = &store;
                    move || set(store, &format!("waited{i}"), b"1")
                })
            })
            .collect();
        // Whether they have begun to wait or not, the fork has to leave them whole.
        std::thread::sleep(Duration::from_millis(20));
        // The child reads, and waits for nobody but the other process.
        fork_in_time(&path, &store, || get(&store, "a").is_some() && is_busy(&store), || ());
        drop(holder.stdin.take());
        holder.wait().unwrap();
        writers.into_iter().for_each(|writer| assert!(writer.join().unwrap() > 0));
    });
}

#[test]
fn a_fork_in_the_middle_of_a_call_leaves_the_child_without_sqlite() {
    in_a_process_of_its_own("child_forks_in_the_middle_of_a_call");
}

#[test]
fn child_forks_in_the_middle_of_a_call() {
    use tokencache::l2::sqlite::pool::Pool;
    use tokencache::l2::sqlite::schema::ENTRIES;

    let Some(path) = role("child_forks_in_the_middle_of_a_call") else { return };
    let (pool, store) = (Pool::new(path.clone(), &ENTRIES), store(&path));
    set(&store, "a", b"1");
    let forked = std::sync::Barrier::new(2);
    std::thread::scope(|scope| {
        let (pool, forked) = (&pool, &forked);
        let caller = scope.spawn(move || {
            pool.write(soon(), |connection| {
                forked.wait();
                forked.wait();
                connection.query_row("SELECT count(*) FROM entries", (), |row| row.get::<_, i64>(0))
            })
        });
        forked.wait();
        let started = clock::monotonic_ms();
        let pid = fork(|| {
            let fresh = store_of(&path, 0);
            let failure = store.get(b"a", soon()).unwrap_err();
            failure.message.contains("forked")
                && failure.class == Class::Unreachable
                && class(fresh.get(b"a", soon())) == Class::Unreachable
                && class(put(&store, "a", b"2", 9, FOREVER, Expected::Anything)) == Class::Unreachable
        });
        assert!(clock::monotonic_ms() - started >= 100, "it waited for the call");
        assert_eq!(exit_code(pid), 0);
        forked.wait();
        assert_eq!(caller.join().unwrap().unwrap(), 1, "the call in the parent ends as if nothing had been");
    });
    assert_eq!(*get(&store, "a").unwrap().bytes, *b"1");
}
