//! Who wins when an owed write meets what lies in L2 by then.

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
        }
    }
}

/// Decides at Unix time `now_ms`. `record` is as it is due then.
#[must_use]
pub fn verdict(record: &Record, present: Present, now_ms: i64) -> Verdict {
    let removes = matches!(record.change, Change::Remove);
    let is_known = |version| record.known == Known::Version(version);
    let ours = believable(record.clock, now_ms);
    // What lies there with a time that cannot be right would else win for ever.
    let theirs = |clock| if is_ahead(clock, now_ms) { 0 } else { clock };
    let (wins, because) = match present {
        // A removal has nothing to lose there.
        Present::Nothing => (removes || !is_old(record, now_ms), Because::Old),
        // At the same moment a removal wins.
        Present::Tombstone { clock } => {
            (ours > theirs(clock) || (removes && ours == theirs(clock)), Because::Removed)
        }
        // The same moment is most likely this very write, whose answer was lost.
        Present::Ours { clock, version } => (is_known(version) || ours >= theirs(clock), Because::Newer),
        Present::Foreign { version } => (is_known(version), Because::Foreign),
    };
    if wins { Verdict::Write } else { Verdict::Lose(because) }
}

/// Whether it has been owed for longer than L2 remembers.
pub(super) fn is_old(record: &Record, now_ms: i64) -> bool {
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
        Record { change, clock, written_at_ms: (clock >> 16) as i64, known, base: None }
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
}
