//! The check lets pass what only looks wrong.

use crate::history::Rules;
use crate::planted::{cast, found_by, sliding, ttl};
use crate::script::{CONFLICT, DEGRADED, Limits, OK, Script, TIMEOUT};

const KEY: u32 = 3;
const OTHER: u32 = 4;

fn passes<const N: usize>(scripts: [Script; N]) {
    assert_eq!(found_by(&Rules::default(), scripts), []);
}

#[test]
fn writes_at_the_same_time_may_come_in_any_order() {
    let (mut one, mut two, mut end) = cast();
    let left = one.set(KEY, (10, 40));
    let right = two.set(KEY, (20, 30));
    one.read(KEY, (50, 60), right);
    two.read(KEY, (50, 60), left);
    one.read(KEY, (70, 80), left);
    end.read(KEY, (900, 910), right);
    passes([one, two, end]);
}

#[test]
fn a_read_during_a_write_may_see_both() {
    let (mut one, mut two, _) = cast();
    let old = one.set(KEY, (10, 20));
    let new = one.set(KEY, (30, 60));
    two.read(KEY, (35, 36), old);
    two.read(KEY, (37, 38), new);
    passes([one, two]);
}

#[test]
fn a_write_of_unknown_outcome_may_come_late_or_never() {
    let (mut one, mut two, mut end) = cast();
    let late = one.set_with(KEY, (10, 20), TIMEOUT, Limits::default());
    let never = two.set(KEY, (30, 40));
    two.read(KEY, (50, 60), never);
    two.read(KEY, (70, 80), late);
    let killed = one.set_never_ended(OTHER, 90);
    let after = two.set(OTHER, (100, 110));
    two.read(OTHER, (120, 130), after);
    two.read(OTHER, (140, 150), killed);
    end.read(KEY, (900, 910), late);
    end.read(OTHER, (920, 930), after);
    passes([one, two, end]);
}

#[test]
fn a_remove_of_unknown_outcome_may_leave_nothing_at_any_time() {
    let (mut one, mut two, mut end) = cast();
    one.remove(KEY, (10, 20), TIMEOUT);
    let set = two.set(KEY, (30, 40));
    two.read(KEY, (50, 60), set);
    two.read_nothing(KEY, (70, 80));
    end.read_nothing(KEY, (900, 910));
    passes([one, two, end]);
}

#[test]
fn what_ends_may_leave_nothing() {
    let (mut one, mut two, mut end) = cast();
    one.set(KEY, (10, 20));
    let short = one.set_with(KEY, (30, 40), OK, ttl(400));
    two.read(KEY, (50, 60), short);
    two.read_nothing(KEY, (431, 432));
    two.swap(KEY, (435, 437), None, TIMEOUT);
    end.read_nothing(KEY, (900, 910));
    passes([one, two, end]);
}

#[test]
fn a_window_that_is_renewed_stays_open() {
    let (mut one, mut two, _) = cast();
    let set = one.set_with(KEY, (10, 20), OK, sliding(100));
    for begin in (100..2000).step_by(90) {
        two.read(KEY, (begin, begin + 1), set);
    }
    passes([one, two]);
}

#[test]
fn a_worker_that_was_killed_may_have_renewed_a_window() {
    let (mut one, mut two, _) = cast();
    let set = one.set_with(KEY, (10, 20), OK, sliding(100));
    one.set(OTHER, (300, 310));
    one.is_killed();
    two.read(KEY, (600, 610), set);
    passes([one, two]);
}

#[test]
fn a_degraded_read_may_be_older_than_what_others_wrote() {
    let (mut one, mut two, _) = cast();
    let old = one.set(KEY, (10, 20));
    one.set(KEY, (30, 40));
    one.remove(KEY, (50, 60), OK);
    two.read_as(KEY, (70, 80), old, DEGRADED);
    passes([one, two]);
}

#[test]
fn an_owed_write_may_be_seen_late_and_by_its_writer_alone() {
    let (mut one, mut two, mut end) = cast();
    let old = one.set(KEY, (10, 20));
    let owed = two.set_with(KEY, (30, 40), DEGRADED, Limits::default());
    one.read(KEY, (50, 60), old);
    two.read_as(KEY, (50, 60), owed, DEGRADED);
    one.read(KEY, (70, 80), owed);
    end.read(KEY, (900, 910), owed);
    passes([one, two, end]);
}

#[test]
fn an_owed_write_may_lose_against_one_that_came_later() {
    let (mut one, mut two, mut end) = cast();
    let owed = two.set_with(KEY, (30, 40), DEGRADED, Limits::default());
    let newer = one.set(KEY, (50, 60));
    two.read_as(KEY, (70, 80), owed, DEGRADED);
    two.read(KEY, (90, 100), newer);
    end.read(KEY, (900, 910), newer);
    passes([one, two, end]);
}

#[test]
fn an_owed_write_need_not_be_kept_where_that_is_not_asked() {
    let (mut one, mut two, mut end) = cast();
    let old = one.set(KEY, (10, 20));
    two.set_with(KEY, (30, 40), DEGRADED, Limits::default());
    end.read(KEY, (900, 910), old);
    let rules = Rules { degraded_is_kept: false, ..Rules::default() };
    assert_eq!(found_by(&rules, [one, two, end]), []);
}

#[test]
fn swaps_one_after_another_and_one_refused_are_right() {
    let (mut one, mut two, mut end) = cast();
    let first = one.swap(KEY, (10, 20), None, OK);
    two.swap(KEY, (15, 25), None, CONFLICT);
    let second = two.swap(KEY, (30, 40), Some(first), OK);
    one.remove(KEY, (50, 60), OK);
    let third = one.swap(KEY, (70, 80), None, OK);
    two.swap(KEY, (90, 100), Some(second), CONFLICT);
    end.read(KEY, (900, 910), third);
    passes([one, two, end]);
}

#[test]
fn an_l2_that_forgets_may_answer_nothing() {
    let (mut one, mut two, _) = cast();
    one.set(KEY, (10, 20));
    two.read_nothing(KEY, (30, 40));
    one.swap(KEY, (50, 60), None, OK);
    let rules = Rules { l2_forgets: true, ..Rules::default() };
    assert_eq!(found_by(&rules, [one, two]), []);
}

#[test]
fn an_l2_that_goes_back_may_answer_what_was_before_until_it_has_the_rest_again() {
    let (mut one, mut two, mut end) = cast();
    let old = one.set(KEY, (10, 20));
    let lost = one.set(KEY, (30, 40));
    one.read(KEY, (50, 55), old);
    two.swap(KEY, (52, 57), Some(old), CONFLICT);
    one.read(KEY, (58, 59), lost);
    end.read(KEY, (900, 910), lost);
    let rules = Rules { bound_ms: 20, l2_goes_back: true, ..Rules::default() };
    assert_eq!(found_by(&rules, [one, two, end]), []);
}

#[test]
fn what_l2_lost_may_be_gone_and_what_was_owed_to_it_may_come() {
    let (mut one, mut two, mut end) = cast();
    one.set(KEY, (10, 20));
    let owed = one.set_with(OTHER, (12, 22), DEGRADED, Limits::default());
    two.loss(KEY, (30, 40));
    two.loss(OTHER, (30, 40));
    one.read_nothing(KEY, (35, 45));
    one.read(OTHER, (50, 60), owed);
    end.read_nothing(KEY, (900, 910));
    passes([one, two, end]);
}
