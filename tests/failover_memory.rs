//! What is remembered of the last writes, and what of it is to be made again.

#[path = "support/journal.rs"]
mod journal;
#[path = "support/sqlite.rs"]
mod sqlite;
#[path = "support/redis.rs"]
mod support;

use std::time::{Duration, Instant};

use journal::{removal, set as record, time, value};
use support::wait_until;
use tokencache::clock::unix_ms;
use tokencache::entry::Secret;
use tokencache::journal::{Change, Extent, Known, Recent, Record};
use tokencache::l2::{Class, Failure, Succession};

fn remember(recent: &Recent, key: &[u8], record: Record) {
    recent.remember(key, record, recent.moment());
}

fn unknown() -> Succession {
    Succession::Unknown(Failure::new(Class::Denied, "no word"))
}

#[test]
fn a_memory_keeps_the_newest_within_its_bounds() {
    let cost = 128 + 1 + 4;
    let recent =
        Recent::new(Extent { age_ms: 60_000, max_bytes: 10 * cost, max_entries: 5, ..Extent::DEFAULT });
    for key in *b"abcdefg" {
        remember(&recent, &[key], record(b"1234"));
    }
    let figures = recent.figures();
    assert_eq!((figures.remembered.entries, figures.remembered.bytes, figures.forgotten), (5, 5 * cost, 2));
    remember(&recent, b"g", record(&[0; 1100]));
    assert_eq!(recent.figures().remembered.entries, 1, "one that is dear");
    remember(&recent, b"h", record(&vec![0; 2000]));
    assert_eq!(recent.figures().remembered.entries, 0, "one that is too dear");
    assert_eq!(recent.figures().forgotten, 2 + 4 + 2);
}

#[test]
fn a_memory_grows_old_only_while_there_is_a_link() {
    const AGE: Duration = Duration::from_millis(40);
    let new = || Recent::new(Extent { age_ms: 40, ..Extent::DEFAULT });
    let mut recent = new();
    let passes = || {
        let begin = Instant::now();
        wait_until("time passes", || begin.elapsed() > Duration::from_millis(100));
    };
    remember(&recent, b"old", record(b"1"));
    passes();
    recent.sweep();
    assert_eq!(recent.figures().remembered.entries, 0);
    wait_until("the link is lost before it has grown old", || {
        recent = new();
        let begin = Instant::now();
        remember(&recent, b"new", record(b"1"));
        recent.has_parted(false);
        begin.elapsed() < AGE / 2
    });
    passes();
    recent.sweep();
    recent.has_met(&Succession::Another);
    assert_eq!(recent.figures().again.entries, 1);
    assert_eq!(recent.term(), 1);
}

#[test]
fn a_write_that_raced_the_change_is_made_again() {
    let recent = Recent::new(Extent::DEFAULT);
    let before = recent.moment();
    recent.has_parted(false);
    recent.has_met(&Succession::Another);
    recent.remember(b"k", record(b"1"), before);
    assert_eq!(recent.figures().again.entries, 1);
    // Until something newer is there, or owed.
    let older = Record { clock: time(1), ..record(b"0") };
    remember(&recent, b"k", older);
    assert_eq!(recent.figures().again.entries, 1);
    remember(&recent, b"k", record(b"2"));
    assert_eq!((recent.figures().again.entries, recent.figures().remembered.entries), (0, 1));
    recent.remember(b"k", removal(), before);
    recent.overtake(b"k", u64::MAX);
    assert_eq!((recent.figures().again.entries, recent.figures().remembered.entries), (0, 0));
}

/// The base was the removal: merged with what the new primary has, all that was removed would come back.
#[test]
fn what_was_merged_with_an_owed_removal_is_made_again_as_it_is() {
    let recent = Recent::new(Extent::DEFAULT);
    let base = Secret::copy(b"");
    remember(&recent, b"k", Record { base, over: Some(time(unix_ms() - 1000)), ..record(b"1") });
    recent.has_met(&Succession::Another);
    let again = recent.again().find(b"k", sqlite::soon()).unwrap().expect("it").record;
    assert!(again.base.is_none() && again.over.is_none());
    assert_eq!(value(&again), Some(&b"1"[..]));
}

#[test]
fn what_was_flushed_stays_so_unless_the_server_began_anew_as_a_replica() {
    for (is_demoted, expected) in [(false, 1), (true, 2)] {
        let recent = Recent::new(Extent::DEFAULT);
        remember(&recent, b"before", record(b"1"));
        recent.all_changed();
        remember(&recent, b"after", record(b"1"));
        recent.has_parted(is_demoted);
        recent.has_met(&unknown());
        assert_eq!(recent.figures().again.entries, expected);
    }
}

#[test]
fn what_was_written_before_a_flush_that_nobody_told_here_is_in_doubt() {
    for (ago_ms, was_heard, is_doubted) in [(0, false, true), (10 * 60_000, false, false), (0, true, false)] {
        let recent = Recent::new(Extent::DEFAULT);
        if was_heard {
            recent.all_changed();
        }
        remember(&recent, b"k", record(b"1"));
        recent.has_parted(false);
        recent.has_met(&Succession::Emptied(unix_ms() - ago_ms));
        assert_eq!((recent.figures().again.entries, recent.is_sure()), (1, true));
        assert_eq!(recent.is_undoubted(b"k"), !is_doubted, "{ago_ms} ms ago, heard: {was_heard}");
    }
}

#[test]
fn a_link_that_was_lost_in_between_leaves_room_for_doubt() {
    let recent = Recent::new(Extent::DEFAULT);
    let is_doubted = |key: &str| !recent.is_undoubted(key.as_bytes());
    remember(&recent, b"before", record(b"1"));
    recent.has_parted(false);
    recent.has_met(&Succession::Same);
    remember(&recent, b"after", record(b"1"));
    assert_eq!(recent.figures().again.entries, 0, "it is the same primary");
    recent.has_met(&Succession::Another);
    assert_eq!((recent.figures().again.entries, recent.is_sure()), (2, true));
    assert_eq!([is_doubted("before"), is_doubted("after")], [true, false]);
    remember(&recent, b"later", record(b"1"));
    recent.has_met(&unknown());
    assert_eq!(["before", "after", "later"].map(is_doubted), [true, false, true]);
    assert!(!recent.is_sure());
}

#[test]
fn who_has_heard_nothing_for_long_is_not_sure_any_more() {
    for (deaf_ms, expected) in [(40, false), (3_600_000, true)] {
        let recent = Recent::new(Extent { deaf_ms, ..Extent::DEFAULT });
        remember(&recent, b"k", record(b"1"));
        let begin = Instant::now();
        recent.has_parted(false);
        wait_until("time passes", || begin.elapsed() > Duration::from_millis(100));
        recent.has_met(&Succession::Another);
        assert_eq!((recent.figures().again.entries, recent.is_undoubted(b"k")), (1, expected), "{deaf_ms}");
    }
}

#[test]
fn of_several_writes_of_a_key_the_newest_is_made_onto_what_lay_there_before_the_first() {
    let recent = Recent::new(Extent::DEFAULT);
    for (text, version) in [(b"1", 7), (b"2", 8), (b"3", 9)] {
        remember(&recent, b"k", Record { known: Known::Version(version), ..record(text) });
    }
    recent.has_met(&Succession::Another);
    let found = journal::find(recent.again(), "k").expect("it is to be made again");
    assert_eq!((value(&found), found.known), (Some(&b"3"[..]), Known::Version(7)));
}

#[test]
fn what_is_forgotten_is_what_was_written_until_then() {
    let recent = Recent::new(Extent::DEFAULT);
    let [older, newer] = [1, 2].map(|clock| Record { clock: time(clock), ..record(b"1") });
    let (first, second) = (older.clock, newer.clock);
    remember(&recent, b"k", newer);
    recent.forget(b"k", first);
    assert_eq!(recent.figures().remembered.entries, 1, "it is newer");
    recent.forget(b"k", second);
    assert_eq!(recent.figures().remembered.entries, 0);
    // What is to be made again already, too.
    let before = recent.moment();
    recent.has_met(&Succession::Another);
    recent.remember(b"k", older, before);
    assert_eq!(recent.figures().again.entries, 1);
    recent.forget(b"k", first);
    assert_eq!(recent.figures().again.entries, 0);
}

#[test]
fn what_a_read_did_not_find_there_somebody_has_taken_away() {
    let recent = Recent::new(Extent::DEFAULT);
    remember(&recent, b"k", record(b"1"));
    let before = recent.moment();
    remember(&recent, b"k", record(b"2"));
    // A read that began before it may have been answered before it.
    recent.found(b"k", before, |_| false);
    recent.found(b"k", recent.moment(), |there| there.change.value().is_some());
    assert_eq!(recent.figures().remembered.entries, 1);
    recent.found(b"k", recent.moment(), |_| false);
    assert_eq!(recent.figures().remembered.entries, 0);
}

#[test]
fn what_has_changed_when_it_was_due_to_end_is_in_doubt() {
    let recent = Recent::new(Extent::DEFAULT);
    for key in [b"a", b"b"] {
        let mut brief = record(b"1");
        if let Change::Set { lifetime, .. } = &mut brief.change {
            lifetime.expires_at_ms = 1;
        }
        remember(&recent, key, brief);
    }
    recent.changed(b"b");
    recent.has_met(&Succession::Another);
    assert_eq!([b"a", b"b"].map(|key| recent.is_undoubted(key)), [true, false]);
}

#[test]
fn what_was_owed_before_the_answer_is_newer() {
    let recent = Recent::new(Extent::DEFAULT);
    for is_another in [false, true] {
        let since = recent.moment();
        let older = record(b"1");
        recent.overtake(b"k", older.clock + 1);
        if is_another {
            recent.has_met(&Succession::Another);
        }
        recent.remember(b"k", older, since);
        assert_eq!((recent.figures().remembered.entries, recent.figures().again.entries), (0, 0));
    }
}

#[test]
fn what_was_owed_itself_is_remembered_when_it_has_arrived_whatever_else_is_owed_meanwhile() {
    let recent = Recent::new(Extent { max_entries: 100, ..Extent::DEFAULT });
    let since = recent.moment();
    let (owed, another) = (record(b"1"), record(b"2"));
    // Its replay may have begun before this process knew that it was owed.
    recent.overtake(b"k", owed.clock);
    for key in 0..50_u8 {
        recent.overtake(&[key, 0], another.clock + 1);
    }
    recent.remember(b"k", owed, since);
    assert_eq!(recent.figures().remembered.entries, 1);
    // Beyond its bounds nobody knows any more what is older.
    for key in 0..200_u8 {
        recent.overtake(&[key, 0], another.clock + 1);
    }
    recent.remember(b"j", another, since);
    assert_eq!(recent.figures().remembered.entries, 1);
}
