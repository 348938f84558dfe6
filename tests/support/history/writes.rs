//! Every write of a history, and for each key what the rules ask of them.

use std::fmt::Write as _;

use super::ladder::Ladder;
use super::log::{Begun, Ended, Event, Kind, Log, Tag};
use super::{Rules, seconds, status_name};

pub const OK: i8 = 0;
pub const NOT_FOUND: i8 = 1;
pub const CONFLICT: i8 = 2;
pub const DEGRADED: i8 = 3;
const INVALID_ARGUMENT: i8 = -1;
const VALUE_TOO_LARGE: i8 = -5;
/// Of a call that has not returned.
pub const OPEN: i8 = i8::MIN;

const NS_PER_MS: u64 = 1_000_000;

/// A place in [`Writes`].
pub type Id = u32;

#[derive(Debug, Clone, Copy)]
pub struct Write {
    pub begin_ns: u64,
    end_ns: u64,
    pub version: u64,
    pub base: Option<Tag>,
    pub key: u32,
    ttl_ms: u32,
    pub sliding_ms: u32,
    pub kind: Kind,
    pub status: i8,
}

impl Write {
    fn begun(begun: &Begun) -> Write {
        let Begun { kind, key, begin_ns, ttl_ms, sliding_ms, base, .. } = *begun;
        Write { begin_ns, end_ns: u64::MAX, version: 0, base, key, ttl_ms, sliding_ms, kind, status: OPEN }
    }

    /// L2 has it.
    pub fn is_acknowledged(&self) -> bool {
        self.status == OK
    }

    /// It is kept for L2.
    pub fn is_owed(&self) -> bool {
        self.status == DEGRADED
    }

    pub fn is_kept(&self, rules: &Rules) -> bool {
        self.is_acknowledged() || self.is_owed() && rules.degraded_is_kept
    }

    /// Nothing was written.
    pub fn is_refused(&self) -> bool {
        matches!(self.status, CONFLICT | INVALID_ARGUMENT | VALUE_TOO_LARGE)
    }

    /// Whether it was made, nobody knows: if it was, then at any time after its begin.
    pub fn is_unknown(&self) -> bool {
        !self.is_acknowledged() && !self.is_owed() && !self.is_refused()
    }

    /// When it was made at the latest.
    pub fn settled_ns(&self) -> u64 {
        if self.is_unknown() { u64::MAX } else { self.end_ns }
    }

    pub fn ends(&self) -> bool {
        self.ttl_ms != 0 || self.sliding_ms != 0
    }

    /// When its time is over at the latest, the window of a sliding one apart.
    pub fn last_ns(&self) -> u64 {
        // The library took the time during the call; of one that was killed nobody knows how long it lasted.
        let asked_ns = if self.status == OPEN { self.begin_ns } else { self.end_ns };
        if self.ttl_ms == 0 { u64::MAX } else { asked_ns + u64::from(self.ttl_ms) * NS_PER_MS }
    }

    /// When its time is over at the earliest.
    fn first_end_ns(&self) -> u64 {
        let limits = [self.ttl_ms, self.sliding_ms].into_iter().filter(|limit| *limit != 0);
        limits.min().map_or(u64::MAX, |limit| self.begin_ns + u64::from(limit) * NS_PER_MS)
    }

    /// Whether it was made before `other` began, so that it cannot follow it.
    pub fn is_older_than(&self, other: &Write) -> bool {
        // Where the other one has ended, a write that was owed all the time lands on nothing, and may.
        self.settled_ns() < other.begin_ns && !(self.is_owed() && other.ends())
    }
}

/// All of them. Those of one worker stand together, in their order.
#[derive(Debug, Default)]
pub struct Writes {
    all: Vec<Write>,
    /// By the number of the worker: where his begin, and how many they are.
    workers: Vec<(Id, u32)>,
}

impl Writes {
    pub fn of(logs: &[Log]) -> Writes {
        let mut writes = Writes::default();
        for log in logs {
            let mut worker = None;
            log.each(|event| match event {
                Event::Worker { number, .. } => worker = Some(writes.enter(number)),
                Event::Begun(begun) => writes.begin(worker.expect("the head of a log"), &begun),
                Event::Ended(ended) => writes.end(worker.expect("the head of a log"), &ended),
                Event::Read(_) | Event::Quit => {}
            });
        }
        writes
    }

    fn enter(&mut self, number: u32) -> usize {
        let worker = number as usize;
        if self.workers.len() <= worker {
            self.workers.resize(worker + 1, (Id::MAX, 0));
        }
        assert_eq!(self.workers[worker].0, Id::MAX, "two logs are of worker {number}");
        self.workers[worker].0 = Id::try_from(self.all.len()).expect("fewer than 2^32 writes");
        worker
    }

    fn begin(&mut self, worker: usize, begun: &Begun) {
        let (_, count) = &mut self.workers[worker];
        assert_eq!(begun.sequence, *count, "a write of worker {worker} out of order");
        *count += 1;
        self.all.push(Write::begun(begun));
    }

    fn end(&mut self, worker: usize, ended: &Ended) {
        let (first, count) = self.workers[worker];
        assert_eq!(ended.sequence + 1, count, "the end of a write of worker {worker} out of order");
        let write = &mut self.all[(first + ended.sequence) as usize];
        (write.end_ns, write.status, write.version) = (ended.end_ns, ended.status, ended.version);
    }

    pub fn get(&self, id: Id) -> &Write {
        &self.all[id as usize]
    }

    pub fn find(&self, tag: Tag) -> Option<Id> {
        let (first, count) = self.workers.get(tag.writer as usize)?;
        (tag.sequence < *count).then(|| first + tag.sequence)
    }

    pub fn each(&self) -> impl Iterator<Item = (Id, &Write)> {
        (0..).zip(&self.all)
    }

    /// For people.
    pub fn tell(&self, id: Id) -> String {
        let write = self.get(id);
        let is_his = |(first, count): &(Id, u32)| (*first..first.saturating_add(*count)).contains(&id);
        let worker = self.workers.iter().position(is_his).expect("somebody's");
        let mut text = match write.kind {
            Kind::Set => "set",
            Kind::Swap => "compare-and-swap",
            Kind::Remove => "remove",
            Kind::Loss => "loss",
        }
        .to_owned();
        let _ = write!(text, " {worker}/{}", id - self.workers[worker].0);
        let _ = write!(text, " of key {}, {} s", write.key, seconds(write.begin_ns));
        match write.status {
            OPEN => text += " and never ended",
            status => {
                let _ = write!(text, " to {} s, {}", seconds(write.end_ns), status_name(status));
            }
        }
        for (name, limit) in [("ttl", write.ttl_ms), ("sliding", write.sliding_ms)] {
            if limit != 0 {
                let _ = write!(text, ", {name} {limit} ms");
            }
        }
        text
    }
}

/// What was done to one key.
#[derive(Debug, Default)]
pub struct Key {
    /// The acknowledged sets, and removes: by their end, which began last?
    pub sets: Ladder,
    pub removes: Ladder,
    /// What may leave nothing behind: by when it may first have, what was made last?
    pub absences: Ladder,
    /// What is there or was followed by something, when all is over: the one that began last.
    pub newest: Option<Id>,
    /// When a remove that was owed began first.
    first_owed_remove_ns: Option<u64>,
}

impl Key {
    pub fn each_of(writes: &Writes, rules: &Rules) -> Vec<Key> {
        let mut keys: Vec<Key> = Vec::new();
        for (id, write) in writes.each().filter(|(_, write)| !write.is_refused()) {
            if keys.len() <= write.key as usize {
                keys.resize_with(write.key as usize + 1, Key::default);
            }
            let key = &mut keys[write.key as usize];
            if write.kind == Kind::Loss {
                key.absences.note(write.begin_ns, write.settled_ns(), id);
                continue;
            }
            let is_remove = write.kind == Kind::Remove;
            if write.is_acknowledged() {
                let ladder = if is_remove { &mut key.removes } else { &mut key.sets };
                ladder.note(write.end_ns, write.begin_ns, id);
            }
            if is_remove
                && write.is_owed()
                && key.first_owed_remove_ns.is_none_or(|first| write.begin_ns < first)
            {
                key.first_owed_remove_ns = Some(write.begin_ns);
            }
            if is_remove || write.ends() {
                let gone_ns = write.first_end_ns().saturating_sub(rules.slack_ms * NS_PER_MS);
                let gone_ns = if is_remove { write.begin_ns } else { gone_ns };
                key.absences.note(gone_ns, write.settled_ns(), id);
            }
            if write.is_kept(rules)
                && key.newest.is_none_or(|newest| writes.get(newest).begin_ns < write.begin_ns)
            {
                key.newest = Some(id);
            }
        }
        for key in &mut keys {
            for ladder in [&mut key.sets, &mut key.removes, &mut key.absences] {
                ladder.settle();
            }
        }
        keys
    }

    /// Whether a process that owes a remove may say that there is nothing, whatever L2 has.
    pub fn may_be_hidden(&self, time_ns: u64) -> bool {
        self.first_owed_remove_ns.is_some_and(|first_ns| first_ns <= time_ns)
    }

    /// Whether `write` can have been followed by nothing until `time_ns`.
    pub fn can_be_absent(&self, write: &Write, time_ns: u64) -> bool {
        self.absences.mark_until(time_ns).is_some_and(|mark_ns| mark_ns >= write.begin_ns)
    }
}
