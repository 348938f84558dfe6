//! One counter per slot of keys: "has anybody changed this since I read it?" An entry remembers the epochs of its
//! slot and of everything as they were before the read of L2 began, and may be served while both still stand. So one
//! change is one increment, and a change that arrives while a read is under way marks the result at birth.
//!
//! A counter is two: writes *begun* in its upper half, and *done* in its lower. While they differ, which happens in a table
//! that processes share, somebody is writing, or died doing so, and what is read is not to be trusted.

#![deny(unsafe_code)]

#[allow(unsafe_code)]
mod words;

use std::collections::VecDeque;
use std::fs::File;
use std::hash::BuildHasher;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use foldhash::quality::FixedState;

use crate::clock;
use crate::error::{Error, Result};
use crate::sync::{Mutex, lock, step};
pub use words::{PAGE_WORDS, Words};

/// The epochs of a slot, and of everything: that one only where it is settled, so one half says it.
pub type Epoch = (u64, u32);

/// The epoch of everything when nobody tells us of changes: it never stands, for no counter is moved so often.
const UNTRUSTED: u32 = u32::MAX;
/// How many slots there are.
pub const SLOTS: usize = 1 << 16;
/// The header, which is the same in every version of the file.
pub const HEADER_WORDS: usize = PAGE_WORDS;
const TABLE_WORDS: usize = HEADER_WORDS + SLOTS;
/// How long a file of this version is.
pub const FILE_BYTES: usize = TABLE_WORDS * size_of::<AtomicU64>();
/// Where the header has the epoch of everything.
pub const GLOBAL: usize = 2;
/// How many changes of everything are remembered.
const REMEMBERED: usize = 32;

/// Who can change the counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// This process, which hears of every change of L2.
    Own,
    /// Every process that shares the file, each for its own writes.
    Shared,
}

/// How much of a file is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Header and slots, of a file that is [`FILE_BYTES`] long.
    Whole,
    /// The header alone, of a file whose slots another version laid out.
    Header,
}

/// The counters of one cache.
pub struct EpochTable {
    words: Words<TABLE_WORDS>,
    reach: Reach,
    /// Odd while every change of L2 reaches the counters.
    feeds: AtomicU64,
    /// When which epoch of everything ended.
    ended: Mutex<VecDeque<(u32, i64)>>,
    /// For a test that shows what would happen.
    #[cfg(feature = "shuttle")]
    is_blind: std::sync::atomic::AtomicBool,
}

/// The slot of `key`.
#[must_use]
pub fn slot(key: &[u8]) -> u32 {
    (FixedState::with_seed(1).hash_one(key) >> 48) as u32
}

/// Whether what is read under `epoch` will be told when it changes.
#[must_use]
pub fn is_trusted(epoch: Epoch) -> bool {
    epoch.1 != UNTRUSTED
}

impl EpochTable {
    /// A table that nobody feeds yet.
    ///
    /// # Errors
    /// `OutOfMemory`.
    pub fn new(reach: Reach) -> Result<EpochTable> {
        let words = Words::private().map_err(|_| Error::out_of_memory(FILE_BYTES))?;
        Ok(EpochTable {
            words,
            reach,
            feeds: 0.into(),
            ended: Mutex::default(),
            #[cfg(feature = "shuttle")]
            is_blind: false.into(),
        })
    }

    /// From now on an entry is trusted whatever happens, and a read lands under the epoch of when it ends.
    #[cfg(feature = "shuttle")]
    pub fn forget_the_guard(&self) {
        self.is_blind.store(true, Ordering::SeqCst);
    }

    /// The epochs of `slot` and of everything, to be taken *before* a read of L2 begins.
    #[must_use]
    pub fn now(&self, slot: u32) -> Epoch {
        let before = self.feeds.load(Ordering::SeqCst);
        let here = self.at(slot).load(Ordering::Acquire);
        let global = self.global().load(Ordering::Acquire);
        let is_settled = is_settled(here) && is_settled(global);
        // Looked at again: whoever stops the feed says so before it moves the epoch or puts other counters here.
        let is_trusted = is_settled && is_fed(before) && self.feeds.load(Ordering::SeqCst) == before;
        (here, if is_trusted { global as u32 } else { UNTRUSTED })
    }

    /// The epoch of what is not to be trusted, though nobody is known to have changed it since.
    #[must_use]
    pub fn unverified(&self, slot: u32) -> Epoch {
        (self.at(slot).load(Ordering::Acquire), UNTRUSTED)
    }

    /// Whether nobody has changed anything in `slot` since `epoch`.
    #[inline(always)]
    #[must_use]
    pub fn stands(&self, slot: u32, epoch: Epoch) -> bool {
        #[cfg(feature = "shuttle")]
        if self.is_blind.load(Ordering::SeqCst) {
            return true;
        }
        self.at(slot).load(Ordering::Acquire) == epoch.0
            && self.global().load(Ordering::Relaxed) == settled(epoch.1)
    }

    /// Whether nobody is known to have changed anything in `slot` since `epoch`.
    #[must_use]
    pub fn slot_stands(&self, slot: u32, epoch: Epoch) -> bool {
        #[cfg(feature = "shuttle")]
        if self.is_blind.load(Ordering::SeqCst) {
            return true;
        }
        self.at(slot).load(Ordering::Acquire) == epoch.0
    }

    /// Somebody changed something in `slot`, or may have.
    pub fn bump(&self, slot: u32) {
        change(self.at(slot));
    }

    /// Nothing that was read before may be trusted without another look.
    pub fn bump_all(&self) {
        self.remember_end();
        change(self.global());
    }

    /// Somebody changed everything: what was read before is known to be another now.
    pub fn change_all(&self) {
        // First, because it alone keeps all of it from being served as it is.
        self.bump_all();
        (0..SLOTS as u32).for_each(|slot| self.bump(slot));
    }

    /// From now on every change of L2 reaches the counters. Answers whether that is news.
    pub fn feed(&self) -> bool {
        self.turn_feed(true)
    }

    /// From now on changes of L2 may be missed. Answers whether that is news.
    pub fn starve(&self) -> bool {
        let is_news = self.turn_feed(false);
        if is_news {
            self.bump_all();
        }
        is_news
    }

    fn turn_feed(&self, on: bool) -> bool {
        let turned = self.feeds.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |feeds| {
            (is_fed(feeds) != on).then_some(feeds + 1)
        });
        turned.is_ok()
    }

    /// Whether every change of L2 reaches the counters.
    #[must_use]
    pub fn is_fed(&self) -> bool {
        is_fed(self.feeds.load(Ordering::SeqCst))
    }

    /// Until when, by the coarse monotonic clock, an entry under `epoch` was vouched for, if the table remembers it.
    #[must_use]
    pub fn stood_until_ms(&self, epoch: Epoch) -> Option<i64> {
        if self.global().load(Ordering::Acquire) == settled(epoch.1) {
            return Some(clock::coarse_ms());
        }
        let ended = lock(&self.ended);
        ended.iter().rev().find(|(global, _)| *global == epoch.1).map(|(_, at_ms)| *at_ms)
    }

    /// Our own write, begun at `epoch`, is done: answers the epoch under which its entry is valid, or `None` when
    /// somebody else changed something in between.
    #[must_use]
    pub fn advance(&self, slot: u32, epoch: Epoch) -> Option<Epoch> {
        let at = self.at(slot);
        let next = changed(epoch.0);
        let has_advanced = match self.reach {
            // Its own steps have moved the counter, by one if they were the only ones.
            Reach::Shared => is_settled(epoch.0) && at.load(Ordering::Acquire) == next,
            Reach::Own => at.compare_exchange(epoch.0, next, Ordering::AcqRel, Ordering::Acquire).is_ok(),
        };
        if !has_advanced {
            self.bump(slot);
        }
        has_advanced.then_some((next, epoch.1))
    }

    /// A write to `slot`, or with `None` to a slot that this version cannot tell, is about to reach L2. Answers its
    /// number, for [`EpochTable::end`]. Only one process at a time may do so.
    pub fn begin(&self, slot: Option<u32>) -> u32 {
        let begun = |word: u64| (upper(word).wrapping_add(1), word as u32);
        let before = update(self.place(slot), |word| {
            let (begun, done) = begun(word);
            join(begun, done)
        });
        begun(before).0
    }

    /// The write that [`EpochTable::begin`] called `number` has reached L2, or failed to. It heals what writers before
    /// it left open.
    pub fn end(&self, slot: Option<u32>, number: u32) {
        update(self.place(slot), |word| {
            let done = word as u32;
            let is_later = number.wrapping_sub(done) < u32::MAX / 2;
            join(upper(word), if is_later { number } else { done })
        });
    }

    /// Whoever uses this table is to trust nothing in it any more.
    pub fn retire(&self) {
        self.remember_end();
        self.begin(None);
    }

    /// Whether a write that nobody could tell the slot of is open, or the table is retired.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !is_settled(self.global().load(Ordering::Acquire))
    }

    /// Uses a retired table again, under an epoch of everything that nobody has seen. No write may be open.
    pub fn revive(&self) {
        update(self.global(), |word| join(upper(word), upper(word)));
    }

    /// Puts `done`, which nobody has seen, in the place of the epoch of everything. One that is open is left to its writer.
    pub fn renew(&self, done: u32) {
        update(self.global(), |word| if is_settled(word) { settled(done) } else { word });
    }

    /// Takes the counters of `file` in place of the present ones. The table must not be fed.
    ///
    /// # Errors
    /// When the file cannot be mapped.
    pub fn attach(&self, file: &File, extent: Extent) -> io::Result<()> {
        self.remember_end();
        self.words.attach(file, if extent == Extent::Whole { TABLE_WORDS } else { HEADER_WORDS })
    }

    /// Lets go of the file. Which slots had moved is remembered, where all of it can be read.
    ///
    /// # Errors
    /// When there is no memory to take its place.
    pub fn detach(&self, is_whole: bool) -> io::Result<()> {
        let words = if is_whole { &self.words[..] } else { &[] };
        let known: Vec<u64> = words.iter().map(|word| word.load(Ordering::Acquire)).collect();
        self.words.detach()?;
        for (word, known) in self.words.iter().zip(known) {
            // It may have been moved already.
            update(word, |now| if now == 0 || !is_settled(known) { known } else { changed(known) });
        }
        Ok(())
    }

    fn remember_end(&self) {
        let mut ended = lock(&self.ended);
        let global = self.global().load(Ordering::Acquire);
        if !is_settled(global) {
            return;
        }
        if ended.len() == REMEMBERED {
            ended.pop_front();
        }
        ended.push_back((global as u32, clock::coarse_ms()));
    }

    fn place(&self, slot: Option<u32>) -> &AtomicU64 {
        slot.map_or_else(|| self.global(), |slot| self.at(slot))
    }

    #[inline(always)]
    fn at(&self, slot: u32) -> &AtomicU64 {
        step();
        &self.words[HEADER_WORDS + slot as usize % SLOTS]
    }

    #[inline(always)]
    fn global(&self) -> &AtomicU64 {
        step();
        &self.words[GLOBAL]
    }
}

fn is_fed(feeds: u64) -> bool {
    feeds % 2 == 1
}

fn upper(word: u64) -> u32 {
    (word >> 32) as u32
}

fn join(begun: u32, done: u32) -> u64 {
    u64::from(begun) << 32 | u64::from(done)
}

/// Whether all writes that were begun are done.
fn is_settled(word: u64) -> bool {
    word == settled(word as u32)
}

/// The counter after so many writes.
#[inline(always)]
fn settled(done: u32) -> u64 {
    join(done, done)
}

/// What a settled counter is after one change.
fn changed(word: u64) -> u64 {
    settled((word as u32).wrapping_add(1))
}

/// Moves a counter. One that is not settled is left to its writer: nothing under it is trusted, and what it settles to
/// nobody has seen.
fn change(counter: &AtomicU64) {
    update(counter, |word| if is_settled(word) { changed(word) } else { word });
}

fn update(counter: &AtomicU64, to: impl Fn(u64) -> u64) -> u64 {
    let updated = counter.fetch_update(Ordering::AcqRel, Ordering::Acquire, |word| Some(to(word)));
    updated.unwrap_or_else(|word| word)
}

#[cfg(test)]
mod tests;
