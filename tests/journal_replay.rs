//! Replays onto a target that answers and fails as it is told.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use rusqlite::{Connection, params};
use tokencache::clock;
use tokencache::entry::Secret;
use tokencache::journal::{Due, Joined, Journal, Pass, Record};
use tokencache::l2::replay::{Answers, Present, Seen, Target, Write};
use tokencache::l2::{Attempt, Class, Failure, LinkId};
use tokencache::log::{Level, Sink};

#[path = "support/journal.rs"]
mod journal;
#[path = "support/sqlite.rs"]
mod sqlite;
use journal::*;
use sqlite::soon;

const HOUR_MS: i64 = 3_600_000;

/// A target that a test tells what to say.
#[derive(Default)]
struct Told {
    present: HashMap<Vec<u8>, Present>,
    failing: HashMap<Vec<u8>, Class>,
    /// Fails for everything.
    is_mad: bool,
    /// How far its clock is ahead of ours.
    lead_ms: i64,
    /// How often a write finds something else than what was seen.
    conflicts: Mutex<u32>,
    /// The keys, and whether something was stored under them.
    written: Mutex<Vec<(Vec<u8>, bool)>>,
}

impl Target for Told {
    fn look(&self, keys: &[&[u8]], _attempt: Attempt<'_>) -> Answers<Seen> {
        if self.is_mad {
            return Ok(keys.iter().map(|_| Err(Failure::new(Class::Protocol, "It is mad."))).collect());
        }
        let present = |key: &[u8]| self.present.get(key).copied().unwrap_or(Present::Nothing);
        Ok(keys.iter().map(|key| Ok(Seen { present: present(key), mark: key.to_vec() })).collect())
    }

    fn replay(&self, writes: &[Write<'_>], _attempt: Attempt<'_>) -> Answers<bool> {
        Ok(writes.iter().map(|write| self.replay_one(write)).collect())
    }

    fn now_ms(&self) -> i64 {
        clock::unix_ms() + self.lead_ms
    }
}

impl Told {
    fn replay_one(&self, write: &Write<'_>) -> Result<bool, Failure> {
        assert_eq!(write.seen.mark, write.key);
        if let Some(class) = self.failing.get(write.key) {
            return Err(Failure::new(*class, "It fails as it was told."));
        }
        let mut conflicts = self.conflicts.lock().unwrap();
        if *conflicts > 0 {
            *conflicts -= 1;
            return Ok(false);
        }
        self.written.lock().unwrap().push((write.key.to_vec(), write.value.is_some()));
        Ok(true)
    }

    fn keys(&self) -> Vec<String> {
        let written = self.written.lock().unwrap();
        written.iter().map(|(key, _)| String::from_utf8(key.clone()).unwrap()).collect()
    }
}

#[test]
fn everything_that_is_owed_reaches_l2_in_order_under_its_prefix() {
    each_kind(|journal| {
        for i in 0..200 {
            owe(journal, &format!("{i:03}"), if i % 2 == 0 { set(b"1") } else { removal() });
        }
        let (target, told) = (Told::default(), Mutex::new(Vec::new()));
        let decided = |key: &[u8]| {
            assert!(journal.find(key, soon()).unwrap().is_some(), "it is told before it is settled");
            told.lock().unwrap().push(key.to_vec());
        };
        let pass = replay_with(journal, &target, b"p:", &quiet(), &decided).unwrap();
        assert_eq!(pass, Pass { replayed: 200, superseded: 0, refused: 0, kept: 0 });
        let expected: Vec<_> = (0..200).map(|i| format!("p:{i:03}")).collect();
        assert_eq!(target.keys(), expected);
        assert_eq!(told.lock().unwrap().len(), 200);
        let written = target.written.lock().unwrap();
        assert!(written.iter().enumerate().all(|(i, (_, is_set))| *is_set == (i % 2 == 0)));
        assert!(journal.is_empty(soon()).unwrap());
        assert_eq!(journal.progress().replayed.load(Ordering::Relaxed), 200);
    });
}

/// By that of L2, what was owed is neither from the future nor over.
#[test]
fn a_clock_that_steps_while_something_is_owed_makes_it_neither_older_nor_over() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("owed.db");
    let journal = open(&path);
    for (lead_ms, ends_in_ms) in [(HOUR_MS, None), (-HOUR_MS, Some(HOUR_MS / 2))] {
        let then_ms = clock::unix_ms() + lead_ms;
        owe(&journal, "a", set_until(b"1", ends_in_ms.map_or(0, |ends_in_ms| then_ms + ends_in_ms)));
        let update = "UPDATE owed SET clock = ?1, written_at_ms = ?2";
        let connection = Connection::open(&path).expect("the file");
        connection.execute(update, params![time(then_ms) as i64, then_ms]).expect("as it was then");
        let before = Present::Ours { clock: time(then_ms - 60_000), version: 1 };
        let target = Told { present: [(b"a".to_vec(), before)].into(), lead_ms, ..Told::default() };
        assert_eq!(replay(&journal, &target, b"").unwrap().replayed, 1, "{lead_ms}");
        assert_eq!(*target.written.lock().unwrap(), [(b"a".to_vec(), true)], "{lead_ms}");
    }
}

#[test]
fn what_is_written_meanwhile_stays_owed_and_follows() {
    let journal = in_memory();
    owe(&journal, "a", set(b"1"));
    owe(&journal, "b", set(b"1"));
    let target = Told::default();
    let decided = |key: &[u8]| {
        if key == b"a" && target.written.lock().unwrap().len() == 2 {
            owe(&journal, "a", set(b"2"));
        }
    };
    let pass = replay_with(&journal, &target, b"", &quiet(), &decided).unwrap();
    assert_eq!(pass.replayed, 3);
    assert_eq!(target.keys(), ["a", "b", "a"], "what was settled is not what came meanwhile");
    assert!(journal.is_empty(soon()).unwrap());
}

#[test]
fn a_failure_of_l2_ends_the_pass_and_loses_nothing() {
    let journal = in_memory();
    for key in ["a", "b", "c"] {
        owe(&journal, key, set(b"1"));
    }
    for class in [Class::Unreachable, Class::Timeout, Class::Busy, Class::Suspended, Class::Closed] {
        let target = Told { failing: [(b"b".to_vec(), class)].into(), ..Told::default() };
        owe(&journal, "a", set(b"1"));
        assert_eq!(replay(&journal, &target, b"").unwrap_err().class, class);
        assert_eq!(keys(&all(&journal)), ["b"]);
    }
    assert_eq!(journal.progress().failed.load(Ordering::Relaxed), 5);
}

#[test]
fn a_key_that_l2_refuses_holds_up_nothing_else_and_is_given_up_after_a_day() {
    let journal = in_memory();
    for key in ["a", "b", "c"] {
        owe(&journal, key, set(b"1"));
    }
    let target = Told { failing: [(b"b".to_vec(), Class::Protocol)].into(), ..Told::default() };
    let pass = replay(&journal, &target, b"").unwrap();
    assert_eq!(pass, Pass { replayed: 2, superseded: 0, refused: 1, kept: 0 });
    assert_eq!(keys(&all(&journal)), ["b"]);
    owe(&journal, "b", Record { written_at_ms: clock::unix_ms() - 25 * HOUR_MS, ..removal() });
    assert_eq!(replay(&journal, &target, b"").unwrap().superseded, 1);
    assert!(journal.is_empty(soon()).unwrap());

    // An L2 that has gone mad refuses everything, and nothing is given up for that.
    owe(&journal, "b", Record { written_at_ms: clock::unix_ms() - 25 * HOUR_MS, ..removal() });
    let target = Told { is_mad: true, ..Told::default() };
    assert_eq!(replay(&journal, &target, b"").unwrap_err().class, Class::Protocol);
    assert!(find(&journal, "b").is_some());
}

#[test]
fn removals_go_on_where_there_is_no_room() {
    let journal = in_memory();
    for i in 0..200 {
        owe(&journal, &format!("s{i}"), set(b"1"));
    }
    owe(&journal, "gone", removal());
    let failing = (0..200).map(|i| (format!("s{i}").into_bytes(), Class::Full)).collect();
    let target = Told { failing, ..Told::default() };
    let pass = replay(&journal, &target, b"").unwrap();
    assert_eq!(pass, Pass { replayed: 1, superseded: 0, refused: 200, kept: 0 });
    assert_eq!(target.keys(), ["gone"]);
    let failed = journal.progress().failed.load(Ordering::Relaxed);
    assert!(failed < 100, "{failed}: soon sets are not even tried");
}

#[test]
fn a_change_between_look_and_write_is_looked_at_again() {
    let journal = in_memory();
    owe(&journal, "a", set(b"1"));
    let target = Told { conflicts: 3.into(), ..Told::default() };
    assert_eq!(replay(&journal, &target, b"").unwrap().replayed, 1);
    owe(&journal, "a", set(b"1"));
    let target = Told { conflicts: 1000.into(), ..Told::default() };
    assert_eq!(replay(&journal, &target, b"").unwrap(), Pass { refused: 1, ..Pass::default() });
    assert!(find(&journal, "a").is_some());
}

/// What a loser's line is told, between the crossing out of a batch and what follows it.
struct Hears<F>(F);

impl<F: Fn(String) + Send + Sync + 'static> Sink for Hears<F> {
    fn write(&self, level: Level, _target: &'static str, message: &str) -> bool {
        (self.0)(format!("{} {message}", level.word()));
        true
    }
}

fn based(value: &[u8], base: &[u8]) -> Record {
    Record { base: Secret::copy(base), ..set(value) }
}

#[test]
fn what_is_owed_after_a_record_was_crossed_out_keeps_the_base_that_it_started_from() {
    let journal = Arc::new(in_memory());
    owe(&journal, "a", based(b"base and first", b"base"));
    owe(&journal, "lost", set(b"1"));
    let log = quiet();
    let late = Arc::clone(&journal);
    let owe_late = Hears(move |line: String| {
        if line.starts_with("info") {
            owe(&late, "a", based(b"older and second", b"older"));
        }
    });
    log.redirect(Level::Info, Some(Box::new(owe_late)));
    let present = [(b"lost".to_vec(), Present::Foreign { version: 5 })].into();
    let bases = Mutex::new(Vec::new());
    let join = |due: &Due| {
        bases.lock().unwrap().push(due.record.base.as_deref().expect("a base").to_vec());
        Ok(Joined::Written)
    };
    let target = Told { present, ..Told::default() };
    replay_joined(&journal, &target, b"", &log, &|_| (), &join).unwrap();
    // With the first value as its base, all of that would be missing from the second with intent.
    assert_eq!(*bases.lock().unwrap(), [&b"base"[..], b"older"]);
}

#[test]
fn what_was_owed_onto_a_record_before_that_was_crossed_out_starts_from_it() {
    let journal = in_memory();
    owe(&journal, "a", based(b"base and first", b"base"));
    let decided = |key: &[u8]| {
        if find(&journal, "a").is_some_and(|there| value(&there) == Some(b"base and first")) {
            owe(&journal, std::str::from_utf8(key).unwrap(), based(b"base, first and second", b"base"));
        }
    };
    let bases = Mutex::new(Vec::new());
    let join = |due: &Due| {
        bases.lock().unwrap().push(due.record.base.as_deref().expect("a base").to_vec());
        Ok(Joined::Written)
    };
    replay_joined(&journal, &Told::default(), b"", &quiet(), &decided, &join).unwrap();
    assert_eq!(*bases.lock().unwrap(), [&b"base"[..], b"base and first"]);
}

/// What is merged with an owed plain write goes by the time of that, until that has arrived with it.
#[test]
fn what_is_over_a_plain_write_is_written_as_it_is_where_that_wins_and_else_merged() {
    each_kind(|journal| {
        let now_ms = clock::unix_ms();
        let over = |value, base, at_ms| Record { over: Some(time(at_ms)), ..based(value, base) };
        owe(journal, "wins", over(b"wins and first", b"wins", now_ms - 500));
        owe(journal, "loses", over(b"loses and first", b"loses", now_ms - 1500));
        let there = Present::Ours { clock: time(now_ms - 1000), version: 1 };
        let present = [(b"wins".to_vec(), there), (b"loses".to_vec(), there)].into();
        let later =
            [("wins", now_ms - 500, &b"wins and first"[..]), ("loses", now_ms - 100, b"removed since")];
        let decided = |key: &[u8]| {
            for (name, at_ms, base) in later.iter().filter(|(name, ..)| name.as_bytes() == key) {
                if find(journal, name).is_some_and(|there| value(&there) != Some(b"second")) {
                    owe(journal, name, over(b"second", base, *at_ms));
                }
            }
        };
        let joined = Mutex::new(Vec::new());
        let join = |due: &Due| {
            joined.lock().unwrap().push(due.record.base.as_deref().expect("a base").to_vec());
            Ok(Joined::Written)
        };
        let target = Told { present, ..Told::default() };
        replay_joined(journal, &target, b"", &quiet(), &decided, &join).unwrap();
        assert_eq!(*joined.lock().unwrap(), [&b"loses"[..], b"wins and first"]);
        let written = target.written.lock().unwrap();
        assert_eq!(*written, [(b"wins".to_vec(), true), (b"loses".to_vec(), true)]);
    });
}

#[test]
fn losers_are_counted_and_logged_without_their_keys() {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let log = quiet();
    let kept = Arc::clone(&lines);
    log.redirect(Level::Info, Some(Box::new(Hears(move |line| kept.lock().unwrap().push(line)))));
    let journal = in_memory();
    owe(&journal, "secret-user", set(b"1"));
    owe(&journal, "other", set(b"1"));
    let present = [(b"secret-user".to_vec(), Present::Foreign { version: 5 })].into();
    let target = Told { present, ..Told::default() };
    let pass = replay_with(&journal, &target, b"", &log, &|_| ()).unwrap();
    assert_eq!(pass, Pass { replayed: 1, superseded: 1, refused: 0, kept: 0 });
    assert_eq!(journal.progress().superseded.load(Ordering::Relaxed), 1);
    let lines = lines.lock().unwrap();
    let hashed = log.key(b"secret-user");
    assert_eq!(
        lines[0],
        format!("info The owed write of {hashed} was given up: another program has written it meanwhile.")
    );
    assert!(lines[1].starts_with("warn Of what was owed to L2, 1 writes were replayed, 1 lost"), "{lines:?}");
    assert!(lines.iter().all(|line| !line.contains("secret-user")));
}

/// L2, while a process gives up another write over the same link, so many times.
struct Meanwhile<'a> {
    journal: &'a Journal,
    left: Mutex<u32>,
    ended: Mutex<Vec<LinkId>>,
}

impl Target for Meanwhile<'_> {
    fn look(&self, _: &[&[u8]], _: Attempt<'_>) -> Answers<Seen> {
        Ok(Vec::new())
    }

    fn replay(&self, _: &[Write<'_>], _: Attempt<'_>) -> Answers<bool> {
        Ok(Vec::new())
    }

    fn end_links(&self, links: &[LinkId], _: Attempt<'_>) -> Result<(), Failure> {
        self.ended.lock().unwrap().extend(links);
        let mut left = self.left.lock().unwrap();
        if *left > 0 {
            *left -= 1;
            owe(self.journal, "later", Record { link: links.first().copied(), ..set(b"1") });
        }
        Ok(())
    }
}

#[test]
fn a_link_over_which_another_write_is_given_up_while_it_is_dealt_with_is_not_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder.path().join("owed.db"));
    let link = LinkId { run: 1, client: 2 };
    owe(&journal, "a", Record { link: Some(link), ..set(b"1") });
    let target = Meanwhile { journal: &journal, left: 1.into(), ended: Mutex::default() };
    for expected in [vec![link], vec![link], vec![]] {
        journal.fence(&target, soon()).unwrap();
        assert_eq!(std::mem::take(&mut *target.ended.lock().unwrap()), expected);
    }
}
