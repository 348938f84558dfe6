//! Who goes when L1 is full: S3-FIFO. What is new stands in a short queue; what was read there comes to the main one,
//! in which whoever was read since it passed goes round again; who was not, and comes back soon, enters the main one
//! at once. There are two short queues, so that what is read from L2 cannot push out what was written.

#![forbid(unsafe_code)]

use std::ops::Range;

use super::Arrival;
use super::directory::{Directory, Place};
use super::ghosts::Ghosts;
use super::queues::{Queue, Queues};
use crate::entry::Entry;

/// Shares of the capacity. That of the newest writes is more than the promised eighth, because what an entry costs is
/// more than its key and bytes.
const WRITTEN_SHARE: f64 = 0.16;
const FETCHED_SHARE: f64 = 0.09;

/// How many that were read may be passed until one of them goes all the same: where all were, whoever stores something
/// would otherwise wait until all were passed three times.
const ROUNDS: u32 = 256;

pub struct Eviction {
    queues: Queues,
    ghosts: Ghosts,
    capacity_bytes: u64,
    /// Until somebody has to go the main queue is filled first. So those that come and go later share a small part of the
    /// heap, where they leave no holes [measured with four threads: 1.0 of the limit, 1.8 where they share all of it].
    is_filling: bool,
    evictions: u64,
}

impl Eviction {
    pub fn new(capacity_bytes: u64) -> Eviction {
        Eviction {
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

    /// Stores `entry` in place of what was under its key, and makes room for it.
    pub fn put(&mut self, directory: &Directory, entry: Entry, arrival: Arrival) {
        let hash = directory.hash(entry.key());
        let known = directory.place(hash, entry.key());
        let Some(place) = known.or_else(|| self.vacancy(directory, hash)) else { return };
        let cost_bytes = entry.cost_bytes();
        let before = directory.fill(place, hash, entry.clone());
        let stood = before.and_then(|before| self.queues.leave(place, before.cost_bytes()));
        let is_known = stood == Some(Queue::Main)
            || stood.is_none() && self.ghosts.take(hash, self.queues.entries(Queue::Main));
        self.is_filling |= self.bytes() < self.capacity_bytes / 2;
        let queue = match arrival {
            _ if self.is_filling && self.has_room_in_main(cost_bytes) => Queue::Main,
            Arrival::Read if is_known => Queue::Main,
            Arrival::Read if stood != Some(Queue::Written) => Queue::Fetched,
            // Where nobody can overtake it, and from there to the main one, if it was there before.
            _ => Queue::Written,
        };
        if is_known {
            entry.mark_read();
        }
        drop(entry);
        self.queues.push(queue, place, cost_bytes);
        self.shrink(directory, Some(place));
    }

    /// Whether the short queues keep their shares when so much more stands in the main one.
    fn has_room_in_main(&self, cost_bytes: u64) -> bool {
        let share = 1.0 - WRITTEN_SHARE - FETCHED_SHARE;
        (self.queues.bytes(Queue::Main) + cost_bytes) as f64 <= self.capacity_bytes as f64 * share
    }

    fn vacancy(&mut self, directory: &Directory, hash: u64) -> Option<Place> {
        let place = directory.vacancy(hash).unwrap_or_else(|| {
            let place = directory.taken(hash);
            self.remove(directory, place);
            place
        });
        self.ghosts.reserve(directory.numbers());
        self.queues.reserve(directory.numbers()).then_some(place)
    }

    /// Empties `place`.
    pub fn remove(&mut self, directory: &Directory, place: Place) {
        if let Some(entry) = directory.empty(place) {
            self.queues.leave(place, entry.cost_bytes());
        }
    }

    /// Removes of what lies in `places` what `goes` says.
    pub fn sift(&mut self, directory: &Directory, places: Range<Place>, goes: impl Fn(&Entry) -> bool) {
        for place in places {
            if directory.at(place).is_some_and(|entry| goes(&entry)) {
                self.remove(directory, place);
            }
        }
    }

    pub fn set_capacity_bytes(&mut self, directory: &Directory, capacity_bytes: u64) {
        self.capacity_bytes = capacity_bytes;
        self.shrink(directory, None);
    }

    /// Lets go what no longer fits, but never `newest`.
    fn shrink(&mut self, directory: &Directory, newest: Option<Place>) {
        let mut rounds = ROUNDS;
        while self.bytes() > self.capacity_bytes {
            let Some((queue, place)) = self.next(newest) else { return };
            let Some(entry) = directory.at(place) else { return };
            let is_main = queue == Queue::Main;
            let was_read = if is_main { rounds > 0 && entry.take_mark() } else { entry.take_all_marks() };
            if was_read || Some(place) == newest {
                rounds = rounds.saturating_sub(1);
                self.queues.leave(place, entry.cost_bytes());
                self.queues.push(Queue::Main, place, entry.cost_bytes());
                continue;
            }
            if !is_main {
                self.ghosts.remember(directory.hash(entry.key()));
            }
            drop(entry);
            self.is_filling = false;
            self.evictions += 1;
            self.remove(directory, place);
        }
    }

    /// The queue whose turn it is, and its first.
    fn next(&self, newest: Option<Place>) -> Option<(Queue, Place)> {
        let exceeds = |queue, share| self.queues.bytes(queue) as f64 > self.capacity_bytes as f64 * share;
        let short = [(Queue::Written, WRITTEN_SHARE), (Queue::Fetched, FETCHED_SHARE)];
        let long = short.into_iter().filter(|(queue, share)| exceeds(*queue, *share)).map(|(queue, _)| queue);
        long.chain([Queue::Main, Queue::Fetched, Queue::Written])
            .filter_map(|queue| Some((queue, self.queues.first(queue)?)))
            .find(|(queue, place)| Some(*place) != newest || self.queues.entries(*queue) > 1)
    }
}
