//! What the table says of changes, and when it says nothing.

#![forbid(unsafe_code)]

use super::*;

fn table(reach: Reach) -> EpochTable {
    let table = EpochTable::new(reach).expect("there is memory");
    assert!(table.feed());
    table
}

#[test]
fn an_own_write_advances_only_an_epoch_that_stood() {
    let table = table(Reach::Own);
    let before = table.now(7);
    let own = table.advance(7, before).expect("nobody interfered");
    assert!(table.stands(7, own) && !table.stands(7, before));
    table.bump(7);
    assert_eq!(table.advance(7, own), None);
    assert!(!table.stands(7, own));
}

#[test]
fn a_shared_write_voids_what_was_read_before_and_during_it() {
    let table = table(Reach::Shared);
    let before = table.now(7);
    let number = table.begin(Some(7));
    let during = table.now(7);
    assert!(!table.stands(7, before) && !table.stands(7, during), "what is read now is not to be trusted");
    table.end(Some(7), number);
    assert!(!table.stands(7, before) && !table.stands(7, during));
    let own = table.advance(7, before).expect("nobody else wrote");
    assert!(table.stands(7, own) && table.stands(7, table.now(7)));
}

#[test]
fn the_next_writer_heals_what_a_dead_one_left() {
    let table = table(Reach::Shared);
    let _dead = table.begin(Some(7));
    let before = table.now(7);
    table.bump(7);
    assert!(!table.stands(7, table.now(7)), "a bump does not heal it");
    let number = table.begin(Some(7));
    table.end(Some(7), number);
    assert!(table.stands(7, table.now(7)));
    assert_eq!(table.advance(7, before), None, "who began before the dead one was healed does not know");
}

#[test]
fn writers_that_end_in_another_order_leave_it_settled() {
    let table = table(Reach::Shared);
    let first = table.begin(Some(7));
    let second = table.begin(Some(7));
    table.end(Some(7), second);
    let between = table.now(7);
    assert!(table.stands(7, between), "the second writer began after the first had committed");
    table.end(Some(7), first);
    assert!(table.stands(7, between));
}

#[test]
fn counters_wrap_without_touching_each_other() {
    let table = table(Reach::Shared);
    table.at(7).store(join(u32::MAX, u32::MAX), Ordering::Release);
    let number = table.begin(Some(7));
    table.end(Some(7), number);
    assert_eq!(table.at(7).load(Ordering::Acquire), 0);
    assert_eq!(changed(join(u32::MAX, u32::MAX)), 0);
}

#[test]
fn without_a_feed_nothing_is_trusted_and_it_is_known_until_when_it_was() {
    let table = table(Reach::Own);
    let fed = table.now(7);
    assert!(table.starve() && !table.starve());
    let ended_ms = table.stood_until_ms(fed).expect("the end is remembered");
    assert!(clock::coarse_ms() - ended_ms < 60_000);
    let starved = table.now(7);
    assert!(!table.stands(7, fed) && !table.stands(7, starved) && table.slot_stands(7, fed));
    assert!(table.feed());
    assert!(!table.stands(7, starved) && table.stands(7, table.now(7)));
    assert_eq!(table.stood_until_ms(starved), None);
}

#[test]
fn what_was_read_before_everything_changed_is_known_to_be_old() {
    let table = table(Reach::Own);
    let before = table.now(7);
    table.bump_all();
    assert!(!table.stands(7, before) && table.slot_stands(7, before), "nobody knows");
    table.change_all();
    assert!(!table.slot_stands(7, before) && table.stands(7, table.now(7)));
}

#[test]
fn a_retired_table_vouches_for_nothing() {
    let table = table(Reach::Shared);
    let before = table.now(7);
    table.retire();
    assert!(!table.stands(7, before) && !table.stands(7, table.now(7)) && table.is_open());
    table.revive();
    assert!(!table.stands(7, before) && table.stands(7, table.now(7)) && !table.is_open());
}
