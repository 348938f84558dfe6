//! Who wins when an owed write meets what lies in L2 by then, and one that is made again what another primary has.

#![forbid(unsafe_code)]

use super::record::{Change, Known, Record, believable, is_ahead};
use crate::l2::replay::Present;

/// How long L2 remembers a removal. Beyond it, nothing there may mean that a later write was removed again.
const REMEMBERED_MS: i64 = 86_400_000;

/// What becomes of an owed write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is written.
    Write,
    /// It is there.
    Keep,
    /// It is given up, because of what is there.
    Lose(Because),
}

/// Why an owed write lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Because {
    /// Another cache has written later.
    Newer,
    /// Another cache has removed the key later.
    Removed,
    /// A writer that knows nothing of clocks has written meanwhile.
    Foreign,
    /// It was owed for so long that nobody knows any more whether the key was removed.
    Old,
    /// L2 has refused it for so long, by what lies there.
    Refused,
    /// Its window is over, as far as is known here.
    Ended,
    /// It may have been taken away with intent: while nobody heard of it, or on a primary that is still the same.
    Gone,
}

impl Because {
    /// Why, in words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Because::Newer => "another cache has written it later",
            Because::Removed => "another cache has removed it later",
            Because::Foreign => "another program has written it meanwhile",
            Because::Old => "it was owed for more than a day, and nothing is there",
            Because::Refused => "L2 has refused it for more than a day",
            Because::Ended => "its sliding window is over",
            Because::Gone => "nothing is there, and somebody may have taken it away unheard",
        }
    }
}

/// Decides at Unix time `now_ms`. `record` is as it is due then.
#[must_use]
pub fn verdict(record: &Record, present: Present, now_ms: i64) -> Verdict {
    let removes = matches!(record.change, Change::Remove);
    let is_known = |version| record.known == Known::Version(version);
    let ours = believable(record.over.unwrap_or(record.clock), now_ms);
    // What lies there with a time that cannot be right would else win for ever.
    let theirs = |clock| if is_ahead(clock, now_ms) { 0 } else { clock };
    let (wins, because) = match present {
        // A removal has nothing to lose there.
        Present::Nothing => (removes || !is_old(record, now_ms), Because::Old),
        // At the same moment a removal wins.
        Present::Tombstone { clock } => {
            (ours > theirs(clock) || (removes && ours == theirs(clock)), Because::Removed)
        }
        Present::Ended { clock } => (ours > theirs(clock), Because::Newer),
        // The same moment is most likely this very write, whose answer was lost.
        Present::Ours { clock, version } => (is_known(version) || ours >= theirs(clock), Because::Newer),
        Present::Foreign { version } => (is_known(version), Because::Foreign),
    };
    if wins { Verdict::Write } else { Verdict::Lose(because) }
}

/// Whether what is `present` at Unix time `now_ms` was written or removed after the hybrid time `clock` of a write that was
/// made onto `known`. Of a writer that knows nothing of clocks nobody can say so.
#[must_use]
pub fn is_later(present: Present, clock: u64, known: Known, now_ms: i64) -> bool {
    match present {
        Present::Nothing | Present::Foreign { .. } => false,
        Present::Ours { version, .. } if known == Known::Version(version) => false,
        Present::Ours { clock: theirs, .. }
        | Present::Tombstone { clock: theirs }
        | Present::Ended { clock: theirs } => theirs > clock && !is_ahead(theirs, now_ms),
    }
}

/// The hybrid time of what is merged of `record` and of what is `present` at Unix time `now_ms`: after both, and not after
/// what comes to be owed in the place of `record` while it is merged.
#[must_use]
pub fn merged_clock(record: &Record, present: Present, now_ms: i64) -> u64 {
    let theirs = match present {
        Present::Nothing | Present::Foreign { .. } => 0,
        Present::Ours { clock, .. } | Present::Tombstone { clock } | Present::Ended { clock } => clock,
    };
    let theirs = if is_ahead(theirs, now_ms) { 0 } else { theirs };
    record.clock.max(theirs).saturating_add(1)
}

/// Decides as [`verdict`] does on a write that L2 had acknowledged before its primary changed, or without `is_sure` may
/// have: it never lives longer for being made again.
#[must_use]
pub fn verdict_again(record: &Record, present: Present, now_ms: i64, is_sure: bool) -> Verdict {
    let is_this = |clock| clock == record.clock;
    match (&record.change, present) {
        (Change::Set { .. }, Present::Ours { clock, .. })
        | (Change::Remove, Present::Tombstone { clock })
            if is_this(clock) =>
        {
            Verdict::Keep
        }
        (Change::Set { .. }, Present::Nothing) if has_slid_out(record, now_ms) => {
            Verdict::Lose(Because::Ended)
        }
        (Change::Set { .. }, Present::Nothing) if !is_sure => Verdict::Lose(Because::Gone),
        _ => verdict(record, present, now_ms),
    }
}

/// Whether the window of a set is over. Renewals are not known here; what they have kept alive is not brought back, and
/// what it was set over goes.
#[must_use]
pub fn has_slid_out(record: &Record, now_ms: i64) -> bool {
    record.change.value().is_some_and(|(_, lifetime)| {
        lifetime.sliding_ms != 0 && lifetime.ends_at_ms(record.written_at_ms) <= now_ms
    })
}

/// Whether it has been owed for longer than L2 remembers.
#[must_use]
pub fn is_old(record: &Record, now_ms: i64) -> bool {
    now_ms.saturating_sub(record.written_at_ms) >= REMEMBERED_MS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{Lifetime, Secret};

    const NOW_MS: i64 = 1_800_000_000_000;
    const NOW: u64 = (NOW_MS as u64) << 16;
    const MINUTE: u64 = 60_000 << 16;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;

    const WRITE: Verdict = Verdict::Write;
    const NEWER: Verdict = Verdict::Lose(Because::Newer);
    const REMOVED: Verdict = Verdict::Lose(Because::Removed);
    const FOREIGN: Verdict = Verdict::Lose(Because::Foreign);
    const OLD: Verdict = Verdict::Lose(Because::Old);

    fn record(removes: bool, clock: u64, known: Known) -> Record {
        let set = Change::Set { bytes: Secret::from(vec![1]), lifetime: Lifetime::default() };
        let change = if removes { Change::Remove } else { set };
        Record {
            change,
            clock,
            written_at_ms: (clock >> 16) as i64,
            known,
            base: None,
            over: None,
            link: None,
        }
    }

    /// What is there, when the write was made, and the verdicts on a set and on a removal that knew nothing of L2, that
    /// there was none, another version (1), and the version that is there (7).
    #[test]
    fn each_meeting_has_its_winner() {
        let tombstone = |clock| Present::Tombstone { clock };
        let ours = |clock| Present::Ours { clock, version: 7 };
        let foreign = Present::Foreign { version: 7 };
        let all = |verdict| [verdict; 4];
        let but_known = |verdict| [verdict, verdict, verdict, WRITE];
        let rows = [
            ("nothing", Present::Nothing, NOW - HOUR, all(WRITE), all(WRITE)),
            ("nothing, almost a day", Present::Nothing, NOW - DAY + MINUTE, all(WRITE), all(WRITE)),
            ("nothing, a day", Present::Nothing, NOW - DAY, all(OLD), all(WRITE)),
            ("nothing, clock ahead", Present::Nothing, NOW + DAY, all(WRITE), all(WRITE)),
            ("removed before", tombstone(NOW - 2 * HOUR), NOW - HOUR, all(WRITE), all(WRITE)),
            ("removed since", tombstone(NOW - MINUTE), NOW - HOUR, all(REMOVED), all(REMOVED)),
            ("removed then", tombstone(NOW - HOUR), NOW - HOUR, all(REMOVED), all(WRITE)),
            ("removed, clock ahead", tombstone(NOW + HOUR), NOW - HOUR, all(WRITE), all(WRITE)),
            ("removed, a little ahead", tombstone(NOW + MINUTE), NOW - HOUR, all(REMOVED), all(REMOVED)),
            ("removed, ours ahead", tombstone(NOW - MINUTE), NOW + DAY, all(WRITE), all(WRITE)),
            ("removed ahead, ours too", tombstone(NOW + DAY), NOW + DAY, all(WRITE), all(WRITE)),
            (
                "removed ahead a little, ours much",
                tombstone(NOW + MINUTE),
                NOW + DAY,
                all(REMOVED),
                all(REMOVED),
            ),
            ("written before", ours(NOW - 2 * HOUR), NOW - HOUR, all(WRITE), all(WRITE)),
            ("written since", ours(NOW - MINUTE), NOW - HOUR, but_known(NEWER), but_known(NEWER)),
            ("written then", ours(NOW - HOUR), NOW - HOUR, all(WRITE), all(WRITE)),
            ("written, clock ahead", ours(NOW + HOUR), NOW - HOUR, all(WRITE), all(WRITE)),
            ("written, a little ahead", ours(NOW + MINUTE), NOW - HOUR, but_known(NEWER), but_known(NEWER)),
            ("written, ours ahead", ours(NOW - MINUTE), NOW + DAY, all(WRITE), all(WRITE)),
            ("written ahead, ours too", ours(NOW + DAY), NOW + DAY, all(WRITE), all(WRITE)),
            (
                "written ahead a little, ours much",
                ours(NOW + MINUTE),
                NOW + DAY,
                but_known(NEWER),
                but_known(NEWER),
            ),
            ("owed long, written before", ours(NOW - 3 * DAY), NOW - 2 * DAY, all(WRITE), all(WRITE)),
            ("foreign", foreign, NOW - HOUR, but_known(FOREIGN), but_known(FOREIGN)),
            ("foreign, ours ahead", foreign, NOW + DAY, but_known(FOREIGN), but_known(FOREIGN)),
            ("foreign, owed long", foreign, NOW - 2 * DAY, but_known(FOREIGN), but_known(FOREIGN)),
        ];
        let known = [Known::Nothing, Known::Absent, Known::Version(1), Known::Version(7)];
        for (name, present, clock, sets, removals) in rows {
            for (removes, expected) in [(false, sets), (true, removals)] {
                for (known, expected) in known.into_iter().zip(expected) {
                    let found = verdict(&record(removes, clock, known), present, NOW_MS);
                    assert_eq!(found, expected, "{name}, removes: {removes}, {known:?}");
                }
            }
        }
    }

    #[test]
    fn what_is_merged_follows_both_and_not_what_came_to_be_owed_meanwhile() {
        let record = record(false, NOW - MINUTE, Known::Nothing);
        for (present, expected) in [
            (Present::Nothing, NOW - MINUTE + 1),
            (Present::Foreign { version: 7 }, NOW - MINUTE + 1),
            (Present::Ours { clock: NOW - HOUR, version: 7 }, NOW - MINUTE + 1),
            (Present::Tombstone { clock: NOW - 9 }, NOW - 8),
            (Present::Ended { clock: NOW + MINUTE }, NOW + MINUTE + 1),
            (Present::Ours { clock: NOW + DAY, version: 7 }, NOW - MINUTE + 1),
        ] {
            assert_eq!(merged_clock(&record, present, NOW_MS), expected, "{present:?}");
        }
    }

    /// What is made again, what is there, and the verdicts where the primary is another and where it may be.
    #[test]
    fn what_is_made_again_neither_doubles_nor_lives_longer() {
        let ours = |clock| Present::Ours { clock, version: 7 };
        let tombstone = |clock| Present::Tombstone { clock };
        let slides = |sliding_ms| {
            let lifetime = Lifetime { expires_at_ms: 0, sliding_ms };
            let change = Change::Set { bytes: Secret::from(vec![1]), lifetime };
            Record { change, ..record(false, NOW - MINUTE, Known::Nothing) }
        };
        let (set, removal) =
            (record(false, NOW - MINUTE, Known::Nothing), record(true, NOW - MINUTE, Known::Nothing));
        let (ended, gone) = (Verdict::Lose(Because::Ended), Verdict::Lose(Because::Gone));
        let rows = [
            (&set, ours(NOW - MINUTE), [Verdict::Keep; 2]),
            (&set, ours(NOW - HOUR), [WRITE; 2]),
            (&set, ours(NOW - 1), [NEWER; 2]),
            (&set, tombstone(NOW - MINUTE), [REMOVED; 2]),
            (&set, tombstone(NOW - HOUR), [WRITE; 2]),
            (&set, Present::Foreign { version: 7 }, [FOREIGN; 2]),
            (&set, Present::Nothing, [WRITE, gone]),
            (&removal, ours(NOW - MINUTE), [WRITE; 2]),
            (&removal, tombstone(NOW - MINUTE), [Verdict::Keep; 2]),
            (&removal, tombstone(NOW - 1), [REMOVED; 2]),
            (&removal, Present::Nothing, [WRITE; 2]),
            (&slides(60_000), Present::Nothing, [ended; 2]),
            (&slides(60_000), ours(NOW - HOUR), [WRITE; 2]),
            (&slides(60_000), ours(NOW - MINUTE), [Verdict::Keep; 2]),
            (&slides(60_001), Present::Nothing, [WRITE, gone]),
        ];
        for (at, (record, present, expected)) in rows.into_iter().enumerate() {
            let found = [true, false].map(|is_sure| verdict_again(record, present, NOW_MS, is_sure));
            assert_eq!(found, expected, "row {at}");
        }
    }
}
