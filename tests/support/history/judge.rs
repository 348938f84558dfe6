//! The rules.

use std::collections::HashMap;
use std::time::Duration;

use super::log::{Ended, Event, Kind, Log, Read, Seen};
use super::writes::{CONFLICT, DEGRADED, Id, Key, NOT_FOUND, OK, Writes};
use super::{Report, Rule, Rules, Tag, seconds, status_name};

const NS_PER_MS: u64 = 1_000_000;
const L1: u8 = 1;

/// What a worker knows of a key.
#[derive(Debug, Default, Clone)]
struct Known {
    /// His own last kept write.
    own: Option<Id>,
    /// Of the writes that he was answered with as current, the one that began last.
    seen: Option<Id>,
    /// When he last began a read that found nothing.
    absent_ns: u64,
}

#[derive(Debug, Default)]
struct Worker {
    number: u32,
    is_final: bool,
    has_quit: bool,
    last_ns: u64,
    known: Vec<Known>,
}

impl Worker {
    fn known(&mut self, key: u32) -> &mut Known {
        if self.known.len() <= key as usize {
            self.known.resize(key as usize + 1, Known::default());
        }
        &mut self.known[key as usize]
    }

    fn tell(&self, read: &Read) -> String {
        let from = if read.tier == L1 { " from L1" } else { "" };
        format!(
            "worker {} read key {}, {} s to {} s, {}{from}",
            self.number,
            read.key,
            seconds(read.begin_ns),
            seconds(read.end_ns),
            status_name(read.status)
        )
    }
}

/// A read of an entry that slides.
struct Access {
    write: Id,
    begin_ns: u64,
    end_ns: u64,
    worker: u32,
    status: i8,
    tier: u8,
}

struct Judge<'a> {
    rules: &'a Rules,
    writes: Writes,
    keys: Vec<Key>,
    accesses: Vec<Access>,
    /// The last that was heard of each worker that was killed.
    kills_ns: Vec<u64>,
    report: Report,
    first_ns: u64,
    last_ns: u64,
}

pub fn judge(logs: &[Log], rules: &Rules) -> Report {
    let writes = Writes::of(logs);
    let keys = Key::each_of(&writes, rules);
    let (report, accesses, kills_ns) = (Report::default(), Vec::new(), Vec::new());
    let mut judge = Judge { rules, writes, keys, accesses, kills_ns, report, first_ns: u64::MAX, last_ns: 0 };
    for log in logs {
        let mut worker = Worker::default();
        log.each(|event| judge.event(&mut worker, &event));
        judge.report.workers += 1;
        if !worker.has_quit {
            judge.report.killed += 1;
            judge.kills_ns.push(worker.last_ns);
        }
    }
    if !rules.l2_goes_back {
        judge.swaps();
    }
    judge.slides();
    judge.report.lasted = Duration::from_nanos(judge.last_ns.saturating_sub(judge.first_ns));
    judge.report.unknown_writes = judge.writes.each().filter(|(_, write)| write.is_unknown()).count() as u64;
    judge.report
}

impl Judge<'_> {
    fn event(&mut self, worker: &mut Worker, event: &Event) {
        match event {
            Event::Worker { number, is_final } => (worker.number, worker.is_final) = (*number, *is_final),
            Event::Begun(begun) => {
                self.first_ns = self.first_ns.min(begun.begin_ns);
                self.report.writes += 1;
            }
            Event::Ended(ended) => self.written(worker, ended),
            Event::Read(read) => self.read(worker, read),
            Event::Quit => worker.has_quit = true,
        }
    }

    fn written(&mut self, worker: &mut Worker, ended: &Ended) {
        worker.last_ns = ended.end_ns;
        self.last_ns = self.last_ns.max(ended.end_ns);
        let tag = Tag { writer: worker.number, sequence: ended.sequence };
        let id = self.writes.find(tag).expect("known from the first look at the log");
        let write = self.writes.get(id);
        self.report.conflicts += u64::from(write.status == CONFLICT);
        self.report.degraded_writes += u64::from(write.is_owed());
        if write.is_kept(self.rules) {
            worker.known(write.key).own = Some(id);
        }
    }

    fn read(&mut self, worker: &mut Worker, read: &Read) {
        self.first_ns = self.first_ns.min(read.begin_ns);
        worker.last_ns = read.end_ns;
        self.last_ns = self.last_ns.max(read.end_ns);
        self.report.reads += 1;
        self.report.l1_reads += u64::from(read.tier == L1);
        match read.status {
            OK | DEGRADED => {
                self.report.degraded_reads += u64::from(read.status == DEGRADED);
                if let Some(id) = self.identify(worker, read) {
                    self.found(worker, read, id);
                }
            }
            NOT_FOUND => self.found_nothing(worker, read),
            _ => {
                self.report.failed_reads += 1;
                if worker.is_final {
                    self.report.blame(Rule::NotThereInTheEnd, (read.key, read.end_ns), || worker.tell(read));
                }
            }
        }
    }

    /// The write that a read was answered with, when it can have been.
    fn identify(&mut self, worker: &Worker, read: &Read) -> Option<Id> {
        let id = match read.seen {
            Seen::Value { tag, .. } => self.writes.find(tag),
            Seen::Nothing | Seen::Unreadable => None,
        };
        let Some(id) = id else {
            self.report.blame(Rule::NobodyWrote, (read.key, read.end_ns), || {
                format!("{}: {:?}", worker.tell(read), read.seen)
            });
            return None;
        };
        let write = self.writes.get(id);
        let says_key = matches!(read.seen, Seen::Value { key, .. } if key == read.key);
        let is_possible = says_key
            && write.key == read.key
            && write.kind != Kind::Remove
            && !write.is_refused()
            && write.begin_ns < read.end_ns;
        if !is_possible {
            self.blame(Rule::NobodyWrote, worker, read, id, None);
        }
        is_possible.then_some(id)
    }

    fn found(&mut self, worker: &mut Worker, read: &Read, id: Id) {
        let write = *self.writes.get(id);
        if read.begin_ns > write.last_ns().saturating_add(self.slack_ns()) {
            self.blame(Rule::Ended, worker, read, id, None);
        }
        let is_current = read.status == OK;
        if is_current && write.is_acknowledged() && read.version != 0 && read.version != write.version {
            self.blame(Rule::WrongVersion, worker, read, id, None);
        }
        if write.sliding_ms != 0 {
            let Read { begin_ns, end_ns, status, tier, .. } = *read;
            self.accesses.push(Access { write: id, begin_ns, end_ns, worker: worker.number, status, tier });
        }
        let key = &self.keys[read.key as usize];
        if worker.is_final {
            self.must_not_be_older(worker, read, id, &[(Rule::NotThereInTheEnd, key.newest)]);
            return;
        }
        let known = worker.known(read.key).clone();
        // It was there and was gone; only what its writer still owed, or what ends by a clock, may appear later.
        if write.is_acknowledged()
            && !write.ends()
            && write.settled_ns() < known.absent_ns
            && !key.may_be_hidden(known.absent_ns)
            && !self.may_be_back(known.absent_ns, read)
        {
            self.report.blame(Rule::Backwards, (read.key, read.end_ns), || {
                let (read, write) = (worker.tell(read), self.writes.tell(id));
                format!("{read}: {write}; but it had found nothing at {} s", seconds(known.absent_ns))
            });
        }
        let due = |id: &Id| !self.may_be_back(self.writes.get(*id).settled_ns(), read);
        let mut newer =
            vec![(Rule::OwnWriteLost, known.own.filter(due)), (Rule::Backwards, known.seen.filter(due))];
        if is_current {
            newer.push((Rule::Resurrected, key.removes.before(read.begin_ns, self.bound_ns())));
            newer.push((Rule::Stale, key.sets.before(read.begin_ns, self.bound_ns())));
        }
        self.must_not_be_older(worker, read, id, &newer);
        if is_current && known.seen.is_none_or(|seen| self.writes.get(seen).begin_ns < write.begin_ns) {
            worker.known(read.key).seen = Some(id);
        }
    }

    fn found_nothing(&mut self, worker: &mut Worker, read: &Read) {
        let known = worker.known(read.key);
        known.absent_ns = read.begin_ns;
        let own = known.own;
        let Some(key) = self.keys.get(read.key as usize).filter(|_| !self.rules.l2_forgets) else { return };
        let mut lost = if worker.is_final {
            vec![(Rule::NotThereInTheEnd, key.newest)]
        } else {
            let due = |id: &Id| !self.may_be_back(self.writes.get(*id).settled_ns(), read);
            vec![(Rule::OwnWriteLost, own.filter(due))]
        };
        if !worker.is_final && !key.may_be_hidden(read.end_ns) {
            lost.push((Rule::Vanished, key.sets.before(read.begin_ns, self.bound_ns())));
        }
        let is_lost = |id: Id| {
            let write = self.writes.get(id);
            write.kind != Kind::Remove && !key.can_be_absent(write, read.end_ns)
        };
        if let Some((rule, Some(id))) = lost.into_iter().find(|(_, id)| id.is_some_and(is_lost)) {
            self.blame(rule, worker, read, id, None);
        }
    }

    /// Whether L2 may have gone back behind `time_ns` where it was read.
    fn may_be_back(&self, time_ns: u64, read: &Read) -> bool {
        self.rules.l2_goes_back && read.begin_ns < time_ns.saturating_add(self.bound_ns())
    }

    /// Blames a read that answered `id` by the first of the rules whose write is newer.
    fn must_not_be_older(&mut self, worker: &Worker, read: &Read, id: Id, newer: &[(Rule, Option<Id>)]) {
        let is_newer = |other: Id| self.writes.get(id).is_older_than(self.writes.get(other));
        if let Some((rule, other)) = newer.iter().find(|(_, other)| other.is_some_and(is_newer)) {
            self.blame(*rule, worker, read, id, *other);
        }
    }

    /// No acknowledged swap replaced what had been replaced, by a swap or by anything that ended before it began.
    fn swaps(&mut self) {
        let mut swaps_by_base = HashMap::new();
        for (id, write) in self.writes.each() {
            if write.kind != Kind::Swap || !write.is_acknowledged() {
                continue;
            }
            let key = &self.keys[write.key as usize];
            let set = key.sets.before(write.begin_ns, 0);
            let other = match write.base.map(|tag| self.writes.find(tag)) {
                Some(Some(base)) => {
                    let removed = key.removes.before(write.begin_ns, 0);
                    let is_newer = |other: &Id| self.writes.get(base).is_older_than(self.writes.get(*other));
                    swaps_by_base.insert(base, id).or(set.filter(is_newer)).or(removed.filter(is_newer))
                }
                // The read that it is based on is to blame.
                Some(None) => None,
                None => set.filter(|set| {
                    !self.rules.l2_forgets && !key.can_be_absent(self.writes.get(*set), write.settled_ns())
                }),
            };
            if let Some(other) = other {
                self.report.blame(Rule::LostUpdate, (write.key, write.begin_ns), || {
                    let base = write.base.and_then(|tag| self.writes.find(tag));
                    let base = base.map_or("nothing".to_owned(), |base| self.writes.tell(base));
                    format!("{} replaced {base}; but {}", self.writes.tell(id), self.writes.tell(other))
                });
            }
        }
    }

    /// A window that no read has renewed closes.
    fn slides(&mut self) {
        let mut accesses = std::mem::take(&mut self.accesses);
        accesses.sort_unstable_by_key(|access| (access.write, access.begin_ns));
        for of_one in accesses.chunk_by(|one, other| one.write == other.write) {
            let id = of_one[0].write;
            let write = self.writes.get(id);
            if write.is_owed() {
                // Its window does not begin before L2 has it, and when that was nobody knows.
                continue;
            }
            // One that nobody saw reach L2 may have been there late.
            let mut last_ns = if write.is_acknowledged() { write.settled_ns() } else { of_one[0].end_ns };
            for access in of_one {
                let window_ns = u64::from(write.sliding_ms) * NS_PER_MS + self.slack_ns();
                // The read in whose middle a worker was killed is in no log, and has renewed whatever it read.
                let from_ns = last_ns.saturating_sub(window_ns);
                let is_killed = |kill_ns: &u64| (from_ns..access.begin_ns).contains(kill_ns);
                if access.begin_ns > last_ns.saturating_add(window_ns) && !self.kills_ns.iter().any(is_killed)
                {
                    self.report.blame(Rule::Ended, (write.key, access.end_ns), || {
                        let Access { begin_ns, worker, status, tier, .. } = *access;
                        let from = if tier == L1 { " from L1" } else { "" };
                        format!(
                            "worker {worker} read at {} s, {}{from}: {}; last used {} s",
                            seconds(begin_ns),
                            status_name(status),
                            self.writes.tell(id),
                            seconds(last_ns)
                        )
                    });
                }
                last_ns = last_ns.max(access.end_ns);
            }
        }
    }

    fn blame(&mut self, rule: Rule, worker: &Worker, read: &Read, id: Id, other: Option<Id>) {
        self.report.blame(rule, (read.key, read.end_ns), || {
            let other = other.map_or(String::new(), |other| format!("; but {}", self.writes.tell(other)));
            format!("{}: {}{other}", worker.tell(read), self.writes.tell(id))
        });
    }

    fn bound_ns(&self) -> u64 {
        self.rules.bound_ms * NS_PER_MS
    }

    fn slack_ns(&self) -> u64 {
        self.rules.slack_ms * NS_PER_MS
    }
}
