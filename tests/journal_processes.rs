//! A journal file among processes: kills, turns and forks.

use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::Stdio;

use tokencache::journal::Journal;
use tokencache::l2::sqlite::fork::{after_fork_in_child, after_fork_in_parent, before_fork};

#[path = "support/journal.rs"]
mod journal;
#[path = "support/sqlite.rs"]
mod sqlite;
use journal::*;
use sqlite::{check_integrity, command, place, role, soon, spawn, wait_until};

const KILLED_AFTER: usize = 1000;

/// Says the number of each write that it was promised, until it is killed.
#[test]
fn child_owes() {
    let Some(path) = role("owe") else { return };
    let journal = open(&path);
    let mut output = std::io::stdout();
    for i in 0_usize.. {
        owe(&journal, &format!("k{i}"), set(&[i as u8; 3000]));
        writeln!(output, "\nowed {i}").and_then(|()| output.flush()).expect("somebody listens");
    }
}

#[test]
fn a_kill_loses_nothing_that_was_promised() {
    let (_folder, path) = place();
    let mut child = command("child_owes", "owe", &path).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut promised = lines.filter_map(|line| line.strip_prefix("owed ")?.parse::<usize>().ok());
    let mut last = promised.find(|i| *i >= KILLED_AFTER).expect("it owes on");
    child.kill().unwrap();
    last = promised.last().unwrap_or(last);
    child.wait().unwrap();
    let journal = open(&path);
    for i in 0..=last {
        let found = find(&journal, &format!("k{i}"));
        assert_eq!(found.as_ref().and_then(value), Some(&[i as u8; 3000][..]), "{i} of {last}");
    }
    let owed = journal.owed(soon()).unwrap();
    assert!((last as u64 + 1..=last as u64 + 2).contains(&owed.entries), "{owed:?} after {last}");
    assert_eq!(all(&journal).len(), owed.entries as usize);
    drop(journal);
    check_integrity(&path);
}

const WRITERS: usize = 4;
const WRITES: usize = 200;

#[test]
fn child_owes_some() {
    let Some(path) = role("some") else { return };
    let journal = open(&path);
    for i in 0..WRITES {
        owe(&journal, &format!("k{}", i % 50), set(b"shared"));
        owe(&journal, &format!("k{}-{i}", std::process::id()), removal());
    }
}

#[test]
fn processes_that_make_a_file_together_owe_into_it_together() {
    let (_folder, path) = place();
    let children: Vec<_> = (0..WRITERS).map(|_| spawn("child_owes_some", "some", &path)).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let journal = open(&path);
    let due = all(&journal);
    assert_eq!(due.len(), WRITERS * WRITES + 50);
    let owed = journal.owed(soon()).unwrap();
    assert_eq!(owed.entries as usize, due.len());
    let bytes: usize =
        due.iter().map(|due| due.key.len() + value(&due.record).map_or(0, <[u8]>::len) + 128).sum();
    assert_eq!(owed.bytes as usize, bytes);
}

/// Holds the turn until it is killed.
#[test]
fn child_replays() {
    let Some(path) = role("replay") else { return };
    let journal = open(&path);
    let _turn = journal.claim_replay().unwrap().expect("nobody else replays");
    std::fs::write(path.with_extension("held"), "").unwrap();
    loop {
        std::thread::park();
    }
}

#[test]
fn the_turn_to_replay_dies_with_its_process() {
    let (_folder, path) = place();
    let journal = open(&path);
    let mut child = spawn("child_replays", "replay", &path);
    wait_until("the child has the turn", || path.with_extension("held").exists());
    assert!(journal.claim_replay().unwrap().is_none());
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(journal.claim_replay().unwrap().is_some());
}

/// A program that was forked while it had the turn, and whose child lives on without exec, as those of a server do.
const FORKED: &str = r"
import fcntl, os, sys, time
lock = open(sys.argv[1] + '-replay', 'a+')
fcntl.lockf(lock, fcntl.LOCK_EX)
if os.fork() == 0:
    time.sleep(1000)
print('held', flush=True)
os.close(1)
sys.stdin.read()
";

#[test]
fn a_child_that_was_forked_meanwhile_does_not_keep_the_turn() {
    let (_folder, path) = place();
    let journal = open(&path);
    let (mut holder, _output) = sqlite::python(FORKED, &path);
    assert!(journal.claim_replay().unwrap().is_none());
    let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", holder.id())).unwrap();
    holder.kill().unwrap();
    holder.wait().unwrap();
    let is_free = journal.claim_replay().unwrap().is_some();
    let child = nix::unistd::Pid::from_raw(children.trim().parse().expect("one child"));
    nix::sys::signal::kill(child, nix::sys::signal::Signal::SIGKILL).unwrap();
    assert!(is_free);
}

#[test]
fn a_fork_leaves_the_journal_usable_for_both() {
    let (_folder, path) = place();
    let journal = open(&path);
    owe(&journal, "before", set(b"1"));
    // What the handlers of `pthread_atfork` do, in the parent and, as far as one process can show it, in the child.
    before_fork();
    after_fork_in_parent();
    owe(&journal, "parent", set(b"1"));
    before_fork();
    after_fork_in_child();
    owe(&journal, "child", set(b"1"));
    assert_eq!(keys(&all(&journal)), ["before", "parent", "child"]);
    works(&path);
}

fn works(path: &Path) {
    let journal: Journal = open(path);
    assert_eq!(journal.owed(soon()).unwrap().entries, 3);
}
