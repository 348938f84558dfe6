//! What this process wrote lately and L2 acknowledged, for a while: another primary may never have had it, and then it
//! is made again. What is to be made again is owed: it answers reads here, and it is replayed.

#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::book::{Book, CLOCKS_APART_MS, Written};
use super::record::{Known, Numbered, Record};
use super::{Journal, Owed};
use crate::clock;
use crate::l2::replay::TRACED_MS;
use crate::l2::{Attempt, Succession};
use crate::runtime::lock;
use crate::stats::count;

/// How soon a primary that becomes a replica, and begins anew, is known to be one.
const EXPLAINED_MS: i64 = 3000;

/// For how long a link may be dead before it is known to be.
const NOTICED_MS: i64 = 60_000;

/// Within what time the answer to a write comes, if it comes.
const ANSWERED_MS: i64 = 120_000;

/// How much is remembered.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// For how long.
    pub age_ms: i64,
    /// Bytes: keys, values as they lie in L2, and what each takes beside them.
    pub max_bytes: u64,
    /// Keys.
    pub max_entries: u64,
    /// For how long nothing may be heard of L2, and it still be sure that what is not there was not taken away.
    pub deaf_ms: i64,
}

impl Extent {
    /// Thirty seconds, which no failover is to lose; in 32 MiB lie some 150 tokens of 7 KB for each second of it.
    pub const DEFAULT: Extent =
        Extent { age_ms: 30_000, max_bytes: 32 << 20, max_entries: 20_000, deaf_ms: TRACED_MS - NOTICED_MS };
}

/// The newest acknowledged write of each key, and what of that is to be made again. Any method may be called from any
/// thread at any time, and none waits.
pub struct Recent {
    extent: Extent,
    book: Mutex<Book>,
    /// As in the book, for those who take no lock.
    entries: AtomicU64,
    last_number: AtomicU64,
    term: AtomicU64,
    is_sure: AtomicBool,
    again: Journal,
    changes: AtomicU64,
    forgotten: AtomicU64,
}

/// When a write or a read of a key in L2 began: under which primary, and what was known of the key.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Which primary it was, of those that were met.
    pub term: u64,
    /// What was remembered last.
    number: u64,
}

/// What is remembered, and what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figures {
    /// Remembered now.
    pub remembered: Owed,
    /// To be made again, now.
    pub again: Owed,
    /// How often another primary was met.
    pub changes: u64,
    /// Writes that were forgotten before their time, for want of room.
    pub forgotten: u64,
}

impl Recent {
    /// Nothing yet.
    #[must_use]
    pub fn new(extent: Extent) -> Recent {
        Recent {
            extent,
            book: Mutex::default(),
            entries: 0.into(),
            last_number: 0.into(),
            term: 0.into(),
            is_sure: true.into(),
            again: Journal::within(extent.max_bytes, extent.max_entries),
            changes: 0.into(),
            forgotten: 0.into(),
        }
    }

    /// Which primary it is, of those that were met; to be asked for before a write or a read begins.
    #[must_use]
    pub fn term(&self) -> u64 {
        self.term.load(Ordering::Acquire)
    }

    /// Before a write or a read in L2 begins.
    #[must_use]
    pub fn moment(&self) -> Moment {
        Moment { term: self.term(), number: self.last_number.load(Ordering::Acquire) }
    }

    /// L2 has acknowledged `record`, which began at the moment `since`.
    pub fn remember(&self, key: &[u8], mut record: Record, since: Moment) {
        let now_ms = clock::coarse_ms();
        let mut book = lock(&self.book);
        // By now another process may have brought to L2 what was owed here meanwhile.
        if book.is_overtaken(key, record.clock) {
            return;
        }
        self.drop_again(key, record.clock);
        if record.over.take().is_some() {
            // As every other that L2 has: a base that was never there would bring back what the write before took away.
            record.base = None;
        }
        let mut gone = Vec::new();
        if let Some(before) = book.take(key) {
            if before.record.clock > record.clock {
                book.put(before);
                return;
            }
            // What lay there before the first of them is what another primary may have.
            if before.record.known != Known::Nothing {
                record.known = before.record.known;
            }
            gone.push(before);
        }
        if since.term == self.term() {
            book.put(Written { key: Arc::from(key), record, at_ms: now_ms, is_doubted: false });
            book.forget_old(now_ms - self.extent.age_ms, &mut gone);
            while book.bytes > self.extent.max_bytes || book.written.len() as u64 > self.extent.max_entries {
                let Some(oldest) = book.take_oldest() else { break };
                gone.push(oldest);
                count(&self.forgotten);
            }
        } else {
            // The primary has changed under it: nobody knows which of them has it.
            self.owe_again(&mut book, Arc::from(key), record, false);
        }
        self.count(&book);
        drop(book);
        // Values are wiped when they go, which takes its time.
        drop(gone);
    }

    /// What was written to `key` until the hybrid time `clock` does not matter any more.
    pub fn forget(&self, key: &[u8], clock: u64) {
        let mut book = lock(&self.book);
        self.drop_again(key, clock.saturating_add(1));
        let is_old = book.find(key).is_some_and(|written| written.record.clock <= clock);
        let gone = if is_old { book.take(key) } else { None };
        self.count(&book);
        drop(book);
        drop(gone);
    }

    /// A newer write of `key` at the hybrid time `clock` is owed: what was acknowledged before, or will be, does not matter
    /// any more.
    pub fn overtake(&self, key: &[u8], clock: u64) {
        let now_ms = clock::coarse_ms();
        let mut book = lock(&self.book);
        book.overtake(key, clock, now_ms);
        if book.overtaken.len() as u64 > self.extent.max_entries {
            book.forget_overtaken(now_ms - ANSWERED_MS, self.extent.max_entries);
        }
        self.drop_again(key, u64::MAX);
        let gone = book.take(key);
        self.count(&book);
        drop(book);
        drop(gone);
    }

    /// Somebody else has changed `key` since: what they did is not to be undone. Or it has ended there, which makes no
    /// difference to what it was set over; where it may be either, it is in doubt.
    pub fn changed(&self, key: &[u8]) {
        self.doubt(key, |_, _| true);
    }

    /// A read of L2 that began at the moment `since` has found `key`, by `is_it` as a record left it there or not:
    /// somebody else has changed it then, whether or not that was heard.
    pub fn found(&self, key: &[u8], since: Moment, is_it: impl FnOnce(&Record) -> bool) {
        self.doubt(key, |number, record| number <= since.number && !is_it(record));
    }

    fn doubt(&self, key: &[u8], is_changed: impl FnOnce(u64, &Record) -> bool) {
        if self.entries.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut book = lock(&self.book);
        let Some(number) = book.numbers.get(key).copied() else { return };
        let Some(written) =
            book.written.get_mut(&number).filter(|written| is_changed(number, &written.record))
        else {
            return;
        };
        if written.has_ended(clock::unix_ms() + CLOCKS_APART_MS) {
            written.is_doubted = true;
            return;
        }
        let gone = book.take(key);
        self.count(&book);
        drop(book);
        drop(gone);
    }

    /// Everything was changed at once: by somebody who wanted it so, or because the server becomes a replica.
    pub fn all_changed(&self) {
        let mut book = lock(&self.book);
        book.flushed = Some((book.last_number, clock::coarse_ms()));
    }

    /// There is no link any more; with `is_demoted` because its server is a replica now.
    pub fn has_parted(&self, is_demoted: bool) {
        let now_ms = clock::coarse_ms();
        let mut book = lock(&self.book);
        book.parted_ms.get_or_insert(now_ms);
        if is_demoted && book.flushed.is_some_and(|(_, at_ms)| now_ms - at_ms < EXPLAINED_MS) {
            book.flushed = None;
        }
    }

    /// There is a link again. What may be missing there is owed when this returns.
    pub fn has_met(&self, succession: &Succession) {
        let mut book = lock(&self.book);
        let parted_ms = book.parted_ms.take();
        if *succession == Succession::Same {
            book.unheard = book.last_number;
            return;
        }
        let is_sure = !matches!(succession, Succession::Unknown(_));
        let deaf_ms = parted_ms.map_or(0, |parted_ms| clock::coarse_ms() - parted_ms);
        let was_emptied = matches!(succession, Succession::Emptied(at_ms)
            if *at_ms > clock::unix_ms() - deaf_ms - NOTICED_MS && !book.has_heard(*at_ms));
        let has_missed = !is_sure || was_emptied || deaf_ms > self.extent.deaf_ms;
        let mut gone = Vec::new();
        book.forget_old(parted_ms.unwrap_or_else(clock::coarse_ms) - self.extent.age_ms, &mut gone);
        if self.again.is_empty(Attempt::at_once()).unwrap_or(false) {
            book.doubted.clear();
        }
        let flushed = book.flushed.take().map_or(0, |(number, _)| number);
        let written = std::mem::take(&mut book.written);
        book.numbers.clear();
        book.bytes = 0;
        for (number, Written { key, record, is_doubted, .. }) in written {
            if number > flushed {
                let is_doubted = is_doubted || has_missed || number <= book.unheard;
                self.owe_again(&mut book, key, record, is_doubted);
            }
        }
        self.is_sure.store(is_sure, Ordering::Release);
        self.changes.fetch_add(u64::from(is_sure), Ordering::Relaxed);
        self.term.fetch_add(1, Ordering::AcqRel);
        self.count(&book);
        drop(book);
        drop(gone);
    }

    /// Forgets what is old enough.
    pub fn sweep(&self) {
        let mut gone = Vec::new();
        let mut book = lock(&self.book);
        if book.parted_ms.is_none() {
            book.forget_old(clock::coarse_ms() - self.extent.age_ms, &mut gone);
            self.count(&book);
        }
        book.forget_overtaken(clock::coarse_ms() - ANSWERED_MS, self.extent.max_entries);
        drop(book);
        drop(gone);
    }

    /// What is to be made again.
    #[must_use]
    pub fn again(&self) -> &Journal {
        &self.again
    }

    /// Whether it is, because the primary is another; or it may be.
    #[must_use]
    pub fn is_sure(&self) -> bool {
        self.is_sure.load(Ordering::Acquire)
    }

    /// Whether nobody can have taken `key` away with intent, as far as was heard.
    #[must_use]
    pub fn is_undoubted(&self, key: &[u8]) -> bool {
        !lock(&self.book).doubted.contains(key)
    }

    /// What is remembered, and what became of it.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let book = lock(&self.book);
        let remembered = Owed { entries: book.written.len() as u64, bytes: book.bytes };
        drop(book);
        Figures {
            remembered,
            again: self.again.owed(Attempt::at_once()).unwrap_or_default(),
            changes: self.changes.load(Ordering::Relaxed),
            forgotten: self.forgotten.load(Ordering::Relaxed),
        }
    }

    fn count(&self, book: &Book) {
        self.entries.store(book.written.len() as u64, Ordering::Release);
        self.last_number.store(book.last_number, Ordering::Release);
    }

    fn owe_again(&self, book: &mut Book, key: Arc<[u8]>, record: Record, is_doubted: bool) {
        let is_newer = |there: &Numbered| there.record.clock > record.clock;
        if self.again.find(&key, Attempt::at_once()).ok().flatten().is_some_and(|there| is_newer(&there)) {
            return;
        }
        if self.again.owe(&key, record, Attempt::at_once()).is_err() {
            count(&self.forgotten);
        }
        if is_doubted {
            book.doubted.insert(key);
        } else {
            book.doubted.remove(&key);
        }
    }

    /// A write of `key` at hybrid time `clock` makes needless what is older, and itself.
    fn drop_again(&self, key: &[u8], clock: u64) {
        if self.again.is_empty(Attempt::at_once()).unwrap_or(true) {
            return;
        }
        if let Ok(Some(there)) = self.again.find(key, Attempt::at_once())
            && there.record.clock <= clock
        {
            let _ = self.again.settle(key, there.sequence, Attempt::at_once());
        }
    }
}
