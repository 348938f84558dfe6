//! The check finds what is planted.

use crate::history::{Log, Rule, Rules, check};
use crate::script::{CONFLICT, DEGRADED, Limits, OK, Script, TIMEOUT};

const KEY: u32 = 3;
const OTHER: u32 = 4;

/// Workers 1 and 2, and one who reads when all is over.
pub fn cast() -> (Script, Script, Script) {
    (Script::new(1), Script::new(2), Script::of_the_end(9))
}

pub fn found_by(rules: &Rules, scripts: impl IntoIterator<Item = Script>) -> Vec<Rule> {
    let logs: Vec<Log> = scripts.into_iter().map(Script::log).collect();
    check(&logs, rules).violations.into_iter().map(|violation| violation.rule).collect()
}

fn finds<const N: usize>(rule: Rule, scripts: [Script; N]) {
    assert_eq!(found_by(&Rules::default(), scripts), [rule]);
}

pub fn ttl(ttl_ms: u32) -> Limits {
    Limits { ttl_ms, ..Limits::default() }
}

pub fn sliding(sliding_ms: u32) -> Limits {
    Limits { sliding_ms, ..Limits::default() }
}

#[test]
fn a_value_of_another_key_is_found() {
    let (mut one, mut two, _) = cast();
    let other = one.set(OTHER, (10, 20));
    two.read(KEY, (30, 40), other);
    finds(Rule::NobodyWrote, [one, two]);
}

#[test]
fn a_value_that_says_another_key_than_it_was_written_to_is_found() {
    let (mut one, mut two, _) = cast();
    one.set(KEY, (10, 20));
    two.read_line(KEY, (30, 40), OK, 0, &format!("{OTHER} 1 0"));
    finds(Rule::NobodyWrote, [one, two]);
}

#[test]
fn a_value_that_nobody_wrote_is_found() {
    for seen in ["? ? ?", "3 1 1", "3 7 0", "- - -"] {
        let (mut one, mut two, _) = cast();
        one.set(KEY, (10, 20));
        two.read_line(KEY, (30, 40), DEGRADED, 0, seen);
        finds(Rule::NobodyWrote, [one, two]);
    }
}

#[test]
fn a_value_read_before_it_was_written_is_found() {
    let (mut one, mut two, _) = cast();
    let set = one.set(KEY, (50, 60));
    two.read(KEY, (30, 40), set);
    finds(Rule::NobodyWrote, [one, two]);
}

#[test]
fn a_value_whose_write_was_refused_is_found() {
    let (mut one, mut two, _) = cast();
    let base = one.set(KEY, (10, 20));
    let refused = one.swap(KEY, (30, 40), Some(base), CONFLICT);
    two.read(KEY, (50, 60), refused);
    finds(Rule::NobodyWrote, [one, two]);
}

#[test]
fn another_version_than_the_writer_was_told_is_found() {
    let (mut one, mut two, _) = cast();
    let set = one.set(KEY, (10, 20));
    two.read_line(KEY, (30, 40), OK, 77, &format!("{KEY} {} {}", set.writer, set.sequence));
    finds(Rule::WrongVersion, [one, two]);
}

#[test]
fn an_own_write_that_is_not_read_back_is_found() {
    for (status, read_status) in [(OK, OK), (OK, DEGRADED), (DEGRADED, DEGRADED)] {
        let (mut one, mut two, _) = cast();
        let old = two.set(KEY, (10, 20));
        one.set_with(KEY, (30, 40), status, Limits::default());
        one.read_as(KEY, (50, 60), old, read_status);
        finds(Rule::OwnWriteLost, [one, two]);
    }
}

#[test]
fn an_own_remove_that_is_undone_is_found() {
    let (mut one, mut two, _) = cast();
    let old = two.set(KEY, (10, 20));
    one.remove(KEY, (30, 40), DEGRADED);
    one.read_as(KEY, (50, 60), old, DEGRADED);
    finds(Rule::OwnWriteLost, [one, two]);
}

#[test]
fn an_own_write_that_is_gone_is_found() {
    for status in [OK, DEGRADED] {
        let (mut one, _, _) = cast();
        one.set_with(KEY, (30, 40), status, Limits::default());
        one.read_nothing(KEY, (50, 60));
        finds(Rule::OwnWriteLost, [one]);
    }
}

#[test]
fn a_process_that_goes_back_is_found() {
    let (mut one, mut two, _) = cast();
    let old = one.set(KEY, (10, 20));
    // Of unknown outcome, so that nothing but the read says that it was made.
    let new = one.set_with(KEY, (30, 40), TIMEOUT, Limits::default());
    two.read(KEY, (50, 60), new);
    two.read_as(KEY, (70, 80), old, DEGRADED);
    finds(Rule::Backwards, [one, two]);
}

#[test]
fn a_value_that_was_gone_and_is_back_is_found() {
    let (mut one, mut two, _) = cast();
    let set = one.set(KEY, (10, 20));
    one.remove(KEY, (30, 40), TIMEOUT);
    two.read_nothing(KEY, (50, 60));
    two.read(KEY, (70, 80), set);
    finds(Rule::Backwards, [one, two]);
}

#[test]
fn a_value_after_its_end_is_found() {
    for status in [OK, DEGRADED] {
        let (mut one, mut two, _) = cast();
        let set = one.set_with(KEY, (10, 20), OK, ttl(100));
        two.read_as(KEY, (319, 320), set, status);
        two.read_as(KEY, (321, 322), set, status);
        finds(Rule::Ended, [one, two]);
    }
}

#[test]
fn a_value_after_its_window_closed_is_found() {
    let (mut one, mut two, _) = cast();
    let set = one.set_with(KEY, (10, 20), OK, sliding(100));
    one.read(KEY, (300, 310), set);
    two.read(KEY, (600, 610), set);
    two.read(KEY, (911, 912), set);
    finds(Rule::Ended, [one, two]);
}

#[test]
fn a_read_older_than_the_bound_is_found() {
    let (mut one, mut two, _) = cast();
    let old = one.set(KEY, (10, 20));
    one.set(KEY, (30, 40));
    two.read(KEY, (60, 70), old);
    two.read(KEY, (61, 70), old);
    let rules = Rules { bound_ms: 20, ..Rules::default() };
    assert_eq!(found_by(&rules, [one, two]), [Rule::Stale]);
}

#[test]
fn what_an_l2_that_goes_back_never_has_again_is_found() {
    let (mut one, mut two, mut end) = cast();
    let old = one.set(KEY, (10, 20));
    one.set(KEY, (30, 40));
    one.read(KEY, (61, 70), old);
    two.read_nothing(KEY, (61, 70));
    end.read(KEY, (900, 910), old);
    let rules = Rules { bound_ms: 20, l2_goes_back: true, ..Rules::default() };
    assert_eq!(
        found_by(&rules, [one, two, end]),
        [Rule::OwnWriteLost, Rule::Vanished, Rule::NotThereInTheEnd]
    );
}

#[test]
fn a_resurrection_is_found() {
    let (mut one, mut two, _) = cast();
    let old = one.set(KEY, (10, 20));
    one.remove(KEY, (30, 40), OK);
    two.read(KEY, (50, 60), old);
    finds(Rule::Resurrected, [one, two]);
}

#[test]
fn an_acknowledged_write_that_vanishes_is_found() {
    let (mut one, mut two, _) = cast();
    one.remove(KEY, (10, 20), OK);
    one.set(KEY, (30, 40));
    two.read_nothing(KEY, (50, 60));
    finds(Rule::Vanished, [one, two]);
}

#[test]
fn two_swaps_of_the_same_are_found() {
    let (mut one, mut two, _) = cast();
    let base = one.set(KEY, (10, 20));
    one.swap(KEY, (30, 40), Some(base), OK);
    two.swap(KEY, (35, 45), Some(base), OK);
    finds(Rule::LostUpdate, [one, two]);
}

#[test]
fn a_swap_of_what_had_been_replaced_or_removed_is_found() {
    for is_removed in [false, true] {
        let (mut one, mut two, _) = cast();
        let base = one.set(KEY, (10, 20));
        if is_removed {
            one.remove(KEY, (30, 40), OK);
        } else {
            one.set(KEY, (30, 40));
        }
        two.swap(KEY, (50, 60), Some(base), OK);
        finds(Rule::LostUpdate, [one, two]);
    }
}

#[test]
fn a_swap_of_nothing_over_something_is_found() {
    let (mut one, mut two, _) = cast();
    one.set(KEY, (10, 20));
    two.swap(KEY, (30, 40), None, OK);
    finds(Rule::LostUpdate, [one, two]);
}

#[test]
fn an_end_without_an_acknowledged_or_kept_write_is_found() {
    for status in [OK, DEGRADED] {
        let (mut one, mut two, mut end) = cast();
        let old = one.set(KEY, (10, 20));
        two.set_with(KEY, (30, 40), status, Limits::default());
        end.read(KEY, (900, 910), old);
        finds(Rule::NotThereInTheEnd, [one, two, end]);
    }
}

#[test]
fn an_end_with_what_was_removed_or_without_anything_is_found() {
    for status in [OK, DEGRADED] {
        let (mut one, mut two, mut end) = cast();
        let old = one.set(KEY, (10, 20));
        two.remove(KEY, (30, 40), status);
        two.set_with(OTHER, (50, 60), status, Limits::default());
        end.read(KEY, (900, 910), old);
        end.read_nothing(OTHER, (920, 930));
        let found = found_by(&Rules::default(), [one, two, end]);
        assert_eq!(found, [Rule::NotThereInTheEnd, Rule::NotThereInTheEnd]);
    }
}

#[test]
fn an_end_that_cannot_be_read_is_found() {
    let (mut one, _, mut end) = cast();
    one.set(KEY, (10, 20));
    end.read_line(KEY, (900, 910), TIMEOUT, 0, "- - -");
    finds(Rule::NotThereInTheEnd, [one, end]);
}

#[test]
fn an_owed_write_that_wins_against_one_that_came_later_is_found() {
    let (mut one, mut two, mut end) = cast();
    let owed = two.set_with(KEY, (30, 40), DEGRADED, Limits::default());
    one.set(KEY, (50, 60));
    end.read(KEY, (900, 910), owed);
    finds(Rule::NotThereInTheEnd, [one, two, end]);
}

#[test]
fn what_was_set_after_a_loss_and_is_gone_is_found() {
    let (mut one, mut two, mut end) = cast();
    two.loss(KEY, (10, 20));
    one.set(KEY, (30, 40));
    two.read_nothing(KEY, (50, 60));
    finds(Rule::Vanished, [one, two]);
    let (mut one, mut two, _) = cast();
    two.loss(KEY, (10, 20));
    one.set(KEY, (30, 40));
    end.read_nothing(KEY, (900, 910));
    finds(Rule::NotThereInTheEnd, [one, two, end]);
}
