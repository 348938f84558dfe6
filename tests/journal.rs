//! What is owed: the newest write of each key, within limits, in memory and in a file.

use tokencache::clock;
use tokencache::journal::{Change, Known, Owed, Record};
use tokencache::l2::Class;

#[path = "support/journal.rs"]
mod journal;
#[path = "support/sqlite.rs"]
mod sqlite;
use journal::*;
use sqlite::{soon, wait_past, wait_until};

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
        let mut end_ms = 0;
        // On a busy machine it may have ended before anybody looks.
        wait_until("it is owed as a set", || {
            end_ms = clock::unix_ms() + 50;
            owe(journal, "a", removal());
            owe(journal, "a", set_until(&[1; 100], end_ms));
            owe(journal, "b", set_until(&[1; 100], end_ms));
            find(journal, "a").as_ref().and_then(value).is_some()
        });
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
fn a_journal_in_memory_that_ends_takes_nothing_that_would_be_lost() {
    let journal = in_memory();
    owe(&journal, "a", set(b"1"));
    assert!(!journal.end(), "something is owed");
    owe(&journal, "b", set(b"1"));
    for due in all(&journal) {
        assert!(journal.settle(&due.key, due.sequence, soon()).unwrap());
    }
    assert!(journal.end());
    let owed = journal.owe(b"c", set(b"1"), soon());
    assert_eq!(owed.unwrap_err().class, Class::Closed);
    assert_eq!(journal.close(soon()).unwrap(), Owed::default());

    let journal = in_memory();
    owe(&journal, "a", set(b"1"));
    assert_eq!(journal.close(soon()).unwrap().entries, 1);
    assert_eq!(journal.owe(b"a", set(b"1"), soon()).unwrap_err().class, Class::Closed);
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
        let first = turn.batch(clock::unix_ms(), 0, 7, soon()).unwrap();
        let second = turn.batch(clock::unix_ms(), first[6].sequence, 7, soon()).unwrap();
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
            let batch = turn.batch(clock::unix_ms(), after, 64, soon()).unwrap();
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
