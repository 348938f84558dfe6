//! Who goes when L1 is full: S3-FIFO. What is new stands in a short queue; what was read there comes to the main one,
//! in which whoever was read since it passed goes round again. Who had to go, and comes back soon, enters the main one at
//! once, or counts as read where it is written. There are two short queues, so that what is read from L2 cannot push out
//! what was written.

#![forbid(unsafe_code)]

use std::ops::Range;

use super::Arrival;
use super::directory::{Directory, Place};
use super::ghosts::Ghosts;
use super::queues::{Queue, Queues};
use crate::entry::{Entry, Right, Seen};

/// Shares of the capacity. That of the newest writes is more than the promised eighth, because what an entry costs is
/// more than its key and bytes, and the last one may not fit.
const WRITTEN_SHARE: f64 = 0.13;
const FETCHED_SHARE: f64 = 0.09;

/// How many that were read may be passed until one of them goes all the same: where all were, whoever stores something
/// would otherwise wait until all were passed seven times.
const ROUNDS: u32 = 256;

pub struct Eviction {
    /// To change the directory: whoever has the lock of this sees what lies there, and it stays.
    right: Right,
    queues: Queues,
    ghosts: Ghosts,
    capacity_bytes: u64,
    /// Until somebody has to go, the oldest move on to the main queue, until it has all but the share of the newest writes.
    /// So those that come and go later are few: each thread's arena of the heap may come to have room for all of them
    /// [measured with four threads: 1.0 of the limit, 1.4 where the main queue leaves room for what is read from L2, 1.8 where
    /// nobody moves on].
    is_filling: bool,
    evictions: u64,
}

impl Eviction {
    pub fn new(right: Right, capacity_bytes: u64) -> Eviction {
        Eviction {
            right,
            queues: Queues::new(),
            ghosts: Ghosts::default(),
            capacity_bytes,
            is_filling: true,
            evictions: 0,
        }
    }

    pub fn capacity_bytes(&self) -> u64 {
        self.capacity_bytes
    }

    pub fn entries(&self) -> u64 {
        self.queues.all_entries()
    }

    pub fn bytes(&self) -> u64 {
        self.queues.all_bytes()
    }

    pub fn evictions(&self) -> u64 {
        self.evictions
    }

    /// Where `key`, which has this hash, lies.
    #[inline]
    pub fn place(&self, directory: &Directory, hash: u64, key: &[u8]) -> Option<Place> {
        directory.place(&self.right, hash, key)
    }

    /// What lies in `place`.
    #[inline]
    pub fn at<'a>(&'a self, directory: &'a Directory, place: Place) -> Option<Seen<'a>> {
        directory.at(&self.right, place)
    }

    /// Stores `entry`, whose key has this hash, where that lies, if it is `known`, and makes room for it; `false` when there is
    /// no memory for its place. One of those that had to go is `gone`, to be wiped when nobody waits for that.
    pub fn put(
        &mut self,
        directory: &Directory,
        (hash, known): (u64, Option<Place>),
        (entry, cost_bytes, arrival): (Entry, u64, Arrival),
        gone: &mut Option<Entry>,
    ) -> bool {
        let Some(place) = known.or_else(|| self.vacancy(directory, hash)) else { return false };
        let stood = known.is_some_and(|place| self.queues.standing(place) == Some(Queue::Main));
        let is_back = known.is_none() && self.ghosts.take(hash, self.queues.entries(Queue::Main) * 7 / 10);
        let queue = match arrival {
            Arrival::Read if stood || is_back => Queue::Main,
            Arrival::Read => Queue::Fetched,
            // Where nobody can overtake it, and from there to the main one, if it was there before.
            Arrival::Written => Queue::Written,
        };
        if stood || is_back && queue == Queue::Written {
            entry.mark_read();
        }
        *gone = directory.fill(&mut self.right, place, hash, entry);
        if let Some(before) = gone {
            self.queues.leave(place, before.cost_bytes());
        }
        self.queues.push(queue, place, cost_bytes);
        self.settle(directory, place);
        self.shrink(directory, Some(place), usize::MAX, gone);
        true
    }

    /// While nobody has to go, the oldest of the short queues move on, but not `newest`.
    fn settle(&mut self, directory: &Directory, newest: Place) {
        self.is_filling |= self.bytes() < self.capacity_bytes / 2;
        while self.is_filling {
            let Some((_, place)) = self.overlong().filter(|(_, place)| *place != newest) else { return };
            let Some(cost_bytes) = self.at(directory, place).map(|entry| entry.cost_bytes()) else { return };
            if !self.has_room_in_main(cost_bytes) {
                return;
            }
            self.queues.leave(place, cost_bytes);
            self.queues.push(Queue::Main, place, cost_bytes);
        }
    }

    /// Whether the newest writes keep their share when so much more stands in the main one.
    fn has_room_in_main(&self, cost_bytes: u64) -> bool {
        let share = 1.0 - WRITTEN_SHARE;
        (self.queues.bytes(Queue::Main) + cost_bytes) as f64 <= self.capacity_bytes as f64 * share
    }

    fn vacancy(&mut self, directory: &Directory, hash: u64) -> Option<Place> {
        let place = match directory.vacancy(&self.right, hash) {
            Some(place) => place,
            None => {
                let place = directory.taken(hash);
                drop(self.remove(directory, place));
                self.evictions += 1;
                place
            }
        };
        // Not before the first is stored: a cache that holds nothing yet is to be opened at once.
        self.ghosts.reserve(directory.numbers() / 2);
        self.queues.reserve(directory.numbers()).then_some(place)
    }

    /// Empties `place`.
    pub fn remove(&mut self, directory: &Directory, place: Place) -> Option<Entry> {
        let entry = directory.empty(&mut self.right, place)?;
        self.queues.leave(place, entry.cost_bytes());
        Some(entry)
    }

    /// Removes of what lies in `places` what `goes` says.
    pub fn sift(&mut self, directory: &Directory, places: Range<Place>, goes: impl Fn(&Entry) -> bool) {
        for place in places {
            if self.at(directory, place).is_some_and(|entry| goes(&entry)) {
                drop(self.remove(directory, place));
            }
        }
    }

    pub fn set_capacity_bytes(&mut self, capacity_bytes: u64) {
        self.capacity_bytes = capacity_bytes;
    }

    /// Lets go what no longer fits, but never `newest`, and not more than `most`; whether nothing more has to go. The first
    /// becomes `gone`, unless something is.
    pub fn shrink(
        &mut self,
        directory: &Directory,
        newest: Option<Place>,
        most: usize,
        gone: &mut Option<Entry>,
    ) -> bool {
        let (mut rounds, mut evicted) = (ROUNDS, 0);
        while self.bytes() > self.capacity_bytes {
            let Some((queue, place)) = self.next(newest) else { return true };
            let Some(entry) = directory.at(&self.right, place) else { return true };
            if evicted == most {
                return false;
            }
            let is_main = queue == Queue::Main;
            let was_read = if is_main { rounds > 0 && entry.take_mark() } else { entry.take_marks() };
            if was_read || Some(place) == newest {
                rounds = rounds.saturating_sub(1);
                self.queues.leave(place, entry.cost_bytes());
                self.queues.push(Queue::Main, place, entry.cost_bytes());
                continue;
            }
            self.ghosts.remember(directory.hash(entry.key()));
            self.is_filling = false;
            self.evictions += 1;
            evicted += 1;
            let entry = self.remove(directory, place);
            if gone.is_none() {
                *gone = entry;
            }
        }
        true
    }

    /// A short queue that has more than its share, and its first.
    fn overlong(&self) -> Option<(Queue, Place)> {
        let exceeds = |queue, share| self.queues.bytes(queue) as f64 > self.capacity_bytes as f64 * share;
        let (queue, _) = [(Queue::Written, WRITTEN_SHARE), (Queue::Fetched, FETCHED_SHARE)]
            .into_iter()
            .find(|(queue, share)| exceeds(*queue, *share))?;
        Some((queue, self.queues.first(queue)?))
    }

    /// The queue whose turn it is, and its first.
    fn next(&self, newest: Option<Place>) -> Option<(Queue, Place)> {
        let first = |queue| Some((queue, self.queues.first(queue)?));
        let others = [Queue::Main, Queue::Fetched, Queue::Written].into_iter().filter_map(first);
        let is_alone = |queue, place| Some(place) == newest && self.queues.entries(queue) == 1;
        self.overlong().into_iter().chain(others).find(|(queue, place)| !is_alone(*queue, *place))
    }
}
