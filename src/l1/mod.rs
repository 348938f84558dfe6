//! The tier in memory. It keeps its limit in bytes, keys and overhead counted; admits every new entry; and of the
//! newest writes keeps an eighth of its capacity, counted alike, whether anybody reads them or not.

#![forbid(unsafe_code)]

mod directory;
mod eviction;
mod ghosts;
mod queues;

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use directory::{Directory, Place};
use eviction::Eviction;

use crate::defect;
use crate::entry::{Entry, Front, Held, Own, Reader, Right, cost_bytes};
use crate::sync::{Mutex, MutexGuard, lock, step};

/// How an entry comes to L1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Somebody stored it: it takes its place among the newest.
    Written,
    /// It was read from L2: what was evicted a while ago comes back as one that is read often.
    Read,
}

/// Whether what lies under a key is what is to be replaced.
pub type Expectation<'a> = &'a dyn Fn(Option<&Entry>) -> bool;

/// How a put ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// L1 has it.
    Held,
    /// For want of room or of memory, L1 has nothing under its key.
    NotHeld,
    /// Something else lies there than was expected, and stays.
    Refused,
}

/// What an entry is taken to cost when the first places are made, which is what an app token does; all of them take 1 % of
/// the capacity. Smaller ones need more of them, in levels behind the first.
const USUAL_BYTES: u64 = 2048;
/// Of the first level. A tier that needs more finds them as it grows.
const FIRST_PLACES: std::ops::RangeInclusive<u64> = 64..=1 << 20;

/// How much is looked at, or let go, under one lock: from 50 µs to ten times that, where all of it goes.
const AT_ONCE: usize = 512;
/// Between two such: a lock that is taken again at once goes to nobody who waits for it.
const PAUSE: Duration = Duration::from_micros(20);

/// The tier.
pub struct L1 {
    directory: Directory,
    eviction: Mutex<Eviction>,
    /// That of the eviction, for those who only ask.
    capacity_bytes: AtomicU64,
    /// Beside an L2 writers of a key take turns, so that what lies here follows what lies there.
    turns: Box<[Mutex<()>]>,
    is_enabled: AtomicBool,
    earliest_deadline_ms: AtomicI64,
}

impl L1 {
    /// A tier of `capacity_bytes`; `None` when there is no memory for its first places.
    #[must_use]
    pub fn new(capacity_bytes: u64, is_enabled: bool) -> Option<L1> {
        let places = (capacity_bytes / USUAL_BYTES).clamp(*FIRST_PLACES.start(), *FIRST_PLACES.end());
        let right = Right::another();
        Some(L1 {
            directory: Directory::new(places as usize, &right)?,
            eviction: Mutex::new(Eviction::new(right, capacity_bytes)),
            capacity_bytes: capacity_bytes.into(),
            turns: (0..64).map(|_| Mutex::new(())).collect(),
            is_enabled: AtomicBool::new(is_enabled),
            earliest_deadline_ms: AtomicI64::new(i64::MAX),
        })
    }

    /// The entry of `key`, alive or not.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<Entry> {
        self.hold(key, Reader::own()).map(Held::counted)
    }

    /// As [`L1::get`], held for `reader`.
    #[inline(always)]
    #[must_use]
    pub fn hold(&self, key: &[u8], reader: Option<Own>) -> Option<Held> {
        step();
        self.directory.find(key, reader)
    }

    /// Where a look-up begins: who finds its entry there need not ask this tier.
    #[must_use]
    pub fn front(&self) -> &'static Front {
        self.directory.front()
    }

    /// As [`L1::hold`], of a key of `hash` that was not found in the front.
    #[must_use]
    pub fn hold_further(&self, hash: u64, key: &[u8], reader: Option<Own>) -> Option<Held> {
        self.directory.find_further(hash, key, reader)
    }

    /// The right to write entries of `slot`, until it is dropped.
    pub fn turn(&self, slot: u32) -> MutexGuard<'_, ()> {
        lock(&self.turns[slot as usize % self.turns.len()])
    }

    /// Stores `entry` in place of what was under its key; `false` where it is not held, for want of room or of memory.
    /// Beside an L2 call it with the [`L1::turn`] of its slot.
    pub fn put(&self, entry: Entry, arrival: Arrival) -> bool {
        let hash = self.directory.hash(entry.key());
        self.put_onto(hash, entry, arrival, None) == Put::Held
    }

    /// The hash of `key`. From now on the processor fetches the line in which its place is.
    #[inline]
    #[must_use]
    pub fn fetch(&self, key: &[u8]) -> u64 {
        let hash = self.directory.hash(key);
        self.directory.fetch(hash);
        hash
    }

    /// Has the entry fetched too that lies under the key of `hash`, when its place is there.
    #[inline]
    pub fn fetch_entry(&self, hash: u64) {
        self.directory.fetch_entry(hash);
    }

    /// As [`L1::put`], of a key of `hash`, where what lies under it `is_expected`, if anything is; comparing and storing is one
    /// step.
    #[inline]
    pub fn put_onto(
        &self,
        hash: u64,
        entry: Entry,
        arrival: Arrival,
        is_expected: Option<Expectation<'_>>,
    ) -> Put {
        defect::point("l1-put");
        let (cost_bytes, mut gone) = (entry.cost_bytes(), None);
        let mut eviction = lock(&self.eviction);
        let known = eviction.place(&self.directory, hash, entry.key());
        if let Some(is_expected) = is_expected
            && !is_expected(known.and_then(|place| eviction.at(&self.directory, place)).as_deref())
        {
            return Put::Refused;
        }
        if !self.is_enabled.load(Ordering::Relaxed) || cost_bytes > eviction.capacity_bytes() {
            drop(known.and_then(|place| eviction.remove(&self.directory, place)));
            return Put::NotHeld;
        }
        let deadline_ms = entry.deadline_ms();
        let is_held = eviction.put(&self.directory, (hash, known), (entry, cost_bytes, arrival), &mut gone);
        // Not before: a sweep in between would forget it. One that sets it back now waits for us, and then looks at the entry.
        if deadline_ms < self.earliest_deadline_ms.load(Ordering::Relaxed) {
            self.note_deadline(deadline_ms);
        }
        drop(eviction);
        // To wipe it takes longer than all of this.
        drop(gone);
        if is_held { Put::Held } else { Put::NotHeld }
    }

    /// Whether a key and a value of these lengths can be held, however long they are to live.
    #[must_use]
    pub fn admits(&self, key_len: usize, value_len: usize) -> bool {
        self.is_enabled.load(Ordering::Relaxed)
            && cost_bytes(key_len, value_len, true) <= self.capacity_bytes.load(Ordering::Relaxed)
    }

    /// An entry that is here ends at `deadline_ms`.
    pub fn note_deadline(&self, deadline_ms: i64) {
        self.earliest_deadline_ms.fetch_min(deadline_ms, Ordering::Relaxed);
    }

    /// Removes the entry of `key`.
    pub fn remove(&self, key: &[u8]) {
        self.remove_if(self.directory.hash(key), key, |_| true);
    }

    /// Removes the entry of `key` unless this process alone knows of it.
    pub fn remove_shared(&self, key: &[u8]) {
        let is_shared = |entry: Option<&Entry>| entry.is_some_and(|entry| !entry.is_local());
        self.remove_if(self.directory.hash(key), key, is_shared);
    }

    /// Removes the entry of `key`, whose hash this is, where what lies there, if anything does, `goes`; whether it did.
    pub fn remove_if(&self, hash: u64, key: &[u8], goes: impl FnOnce(Option<&Entry>) -> bool) -> bool {
        let mut eviction = lock(&self.eviction);
        let known = eviction.place(&self.directory, hash, key);
        let does = goes(known.and_then(|place| eviction.at(&self.directory, place)).as_deref());
        let gone = known.filter(|_| does).and_then(|place| eviction.remove(&self.directory, place));
        drop(eviction);
        drop(gone);
        does
    }

    /// Removes what L2 has too. Beside an L2 call it without a turn: what is on its way here by one goes too.
    pub fn forget_shared(&self) {
        self.turns.iter().for_each(|turn| drop(lock(turn)));
        self.sift(|entry| !entry.is_local(), PAUSE);
    }

    /// Removes what L2 has too; what is here alone may not stay beyond the coarse monotonic time `until_ms`.
    pub fn limit_stay(&self, until_ms: i64) {
        let goes = |entry: &Entry| {
            if entry.is_local() {
                entry.limit_stay(until_ms);
                self.note_deadline(entry.deadline_ms());
            }
            !entry.is_local()
        };
        self.sift(goes, PAUSE);
    }

    /// Removes everything.
    pub fn clear(&self) {
        self.sift(|_| true, Duration::ZERO);
    }

    /// Removes, and so wipes, what is dead at the coarse monotonic time `now_ms`.
    pub fn sweep(&self, now_ms: i64) {
        if now_ms < self.earliest_deadline_ms.load(Ordering::Relaxed) {
            return;
        }
        self.earliest_deadline_ms.store(i64::MAX, Ordering::Relaxed);
        self.sift(
            |entry| {
                let deadline_ms = entry.deadline_ms();
                if now_ms < deadline_ms {
                    self.note_deadline(deadline_ms);
                }
                now_ms >= deadline_ms
            },
            PAUSE,
        );
    }

    /// Removes what `goes` says, a few at a time with a `pause` after each, so that nobody who stores something waits for
    /// all of it.
    fn sift(&self, goes: impl Fn(&Entry) -> bool, pause: Duration) {
        let mut first = 0;
        // Asked again each time: there may be more by now.
        while first < self.directory.numbers() {
            let end = self.directory.numbers().min(first + AT_ONCE);
            lock(&self.eviction).sift(&self.directory, first as Place..end as Place, &goes);
            first = end;
            if !pause.is_zero() && first < self.directory.numbers() {
                std::thread::sleep(pause);
            }
        }
    }

    /// Takes over a new limit; what no longer fits is evicted now.
    pub fn set_capacity_bytes(&self, capacity_bytes: u64) {
        lock(&self.eviction).set_capacity_bytes(capacity_bytes);
        self.capacity_bytes.store(capacity_bytes, Ordering::Relaxed);
        while !lock(&self.eviction).shrink(&self.directory, None, AT_ONCE, &mut None) {
            std::thread::sleep(PAUSE);
        }
    }

    /// Switches the tier on or off; off, it holds nothing.
    pub fn enable(&self, is_enabled: bool) {
        self.is_enabled.store(is_enabled, Ordering::Relaxed);
        if !is_enabled {
            // Whoever puts an entry in looks whether it is on with the lock that this one takes.
            self.clear();
        }
    }

    /// How many entries it holds.
    #[must_use]
    pub fn entries(&self) -> u64 {
        lock(&self.eviction).entries()
    }

    /// How many bytes it holds, keys and overhead counted.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        lock(&self.eviction).bytes()
    }

    /// How many entries had to go for others.
    #[must_use]
    pub fn evictions(&self) -> u64 {
        lock(&self.eviction).evictions()
    }
}
