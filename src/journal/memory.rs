//! What is owed, in the memory of this process, and gone with it.

#![forbid(unsafe_code)]

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::bounds::{Bounds, Owed};
use super::ledger::{BATCH_BYTES, Due, Ledger, Sight, Turn};
use super::record::{Change, Numbered, Onto, Record};
use crate::clock;
use crate::l2::{Attempt, Failure};
use crate::runtime::lock;

/// Records in memory. Values are wiped when they go.
#[derive(Default)]
pub(super) struct Memory {
    book: Mutex<Book>,
    /// As in the book, for readers who take no lock.
    entries: AtomicU64,
    is_replaying: Arc<AtomicBool>,
}

#[derive(Default)]
struct Book {
    sequences: HashMap<Arc<[u8]>, u64>,
    records: BTreeMap<u64, (Arc<[u8]>, Record)>,
    bytes: u64,
    last_sequence: u64,
    is_closed: bool,
    /// No set ends before this; `None` when none ends.
    next_end_ms: Option<i64>,
}

impl Ledger for Memory {
    fn owe(
        &self,
        key: &[u8],
        mut record: Record,
        onto: Onto,
        bounds: &Bounds,
        _attempt: Attempt<'_>,
    ) -> Result<bool, Failure> {
        let mut book = lock(&self.book);
        if book.is_closed {
            return Err(Failure::closed());
        }
        if !onto.is(book.sequences.get(key).copied()) {
            return Ok(false);
        }
        let now_ms = clock::unix_ms();
        let cost_bytes = record.cost_bytes(key.len());
        let owed = match book.admit(key, cost_bytes, bounds) {
            Err(_) if book.next_end_ms.is_some_and(|end_ms| end_ms <= now_ms) => {
                book.bury_ended(now_ms);
                book.admit(key, cost_bytes, bounds)
            }
            admitted => admitted,
        }?;
        let before = book.record(key).map(|(_, record)| (record.clock, record.known));
        (record.clock, record.known) = record.following(before, now_ms);
        book.put(key, record, owed);
        self.entries.store(owed.entries, Ordering::Release);
        Ok(true)
    }

    fn find(&self, key: &[u8], _attempt: Attempt<'_>) -> Result<Option<Numbered>, Failure> {
        let book = lock(&self.book);
        let Some((sequence, record)) = book.record(key) else { return Ok(None) };
        Ok(Some(Numbered { sequence, record: record.copy()? }))
    }

    fn sequence(&self, key: &[u8], _attempt: Attempt<'_>) -> Result<Option<u64>, Failure> {
        Ok(lock(&self.book).sequences.get(key).copied())
    }

    fn settle(&self, settled: &[(&[u8], u64)], _attempt: Attempt<'_>) -> Result<Vec<u64>, Failure> {
        let mut book = lock(&self.book);
        let mut forgotten = Vec::with_capacity(settled.len());
        for (key, sequence) in settled {
            if book.sequences.get(*key) == Some(sequence) {
                book.take(key);
                forgotten.push(*sequence);
            }
        }
        self.entries.store(book.records.len() as u64, Ordering::Release);
        Ok(forgotten)
    }

    fn batch(&self, after: u64, limit: usize, _attempt: Attempt<'_>) -> Result<Vec<Due>, Failure> {
        let book = lock(&self.book);
        let mut room_bytes = BATCH_BYTES;
        let mut batch = Vec::new();
        for (sequence, (key, record)) in book.records.range((Bound::Excluded(after), Bound::Unbounded)) {
            let cost_bytes = record.cost_bytes(key.len());
            if batch.len() == limit || (cost_bytes > room_bytes && !batch.is_empty()) {
                break;
            }
            room_bytes = room_bytes.saturating_sub(cost_bytes);
            batch.push(Due { key: key.to_vec(), sequence: *sequence, record: record.copy()? });
        }
        Ok(batch)
    }

    fn bury_ended(&self, _attempt: Attempt<'_>) -> Result<(), Failure> {
        lock(&self.book).bury_ended(clock::unix_ms());
        Ok(())
    }

    fn entries(&self) -> Option<u64> {
        Some(self.entries.load(Ordering::Acquire))
    }

    fn look(&self, _attempt: Attempt<'_>) -> Sight {
        Sight::default()
    }

    fn owed(&self, _attempt: Attempt<'_>) -> Result<Owed, Failure> {
        let book = lock(&self.book);
        Ok(book.owed())
    }

    fn claim(&self) -> Result<Option<Turn>, Failure> {
        let is_free = !self.is_replaying.swap(true, Ordering::AcqRel);
        Ok(is_free.then(|| Box::new(Claim(Arc::clone(&self.is_replaying))) as Turn))
    }

    fn rename(&self, _identity: &str, _attempt: Attempt<'_>) -> Result<(), Failure> {
        Ok(())
    }

    fn end(&self) -> bool {
        let mut book = lock(&self.book);
        book.is_closed |= book.records.is_empty();
        book.is_closed
    }

    fn close(&self, _attempt: Attempt<'_>) -> Result<Owed, Failure> {
        let mut book = lock(&self.book);
        book.is_closed = true;
        Ok(book.owed())
    }
}

struct Claim(Arc<AtomicBool>);

impl Drop for Claim {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl Book {
    fn owed(&self) -> Owed {
        Owed { entries: self.records.len() as u64, bytes: self.bytes }
    }

    fn record(&self, key: &[u8]) -> Option<(u64, &Record)> {
        let sequence = *self.sequences.get(key)?;
        self.records.get(&sequence).map(|(_, record)| (sequence, record))
    }

    fn admit(&self, key: &[u8], cost_bytes: u64, bounds: &Bounds) -> Result<Owed, Failure> {
        let freed_bytes = self.record(key).map(|(_, record)| record.cost_bytes(key.len()));
        bounds.admit(self.owed(), cost_bytes, freed_bytes)
    }

    fn take(&mut self, key: &[u8]) -> Option<Arc<[u8]>> {
        let (key, sequence) = self.sequences.remove_entry(key)?;
        let (_, record) = self.records.remove(&sequence)?;
        self.bytes -= record.cost_bytes(key.len());
        Some(key)
    }

    fn put(&mut self, key: &[u8], record: Record, owed: Owed) {
        let key = self.take(key).unwrap_or_else(|| Arc::from(key));
        self.last_sequence += 1;
        self.next_end_ms = earlier(self.next_end_ms, end_ms(&record.change));
        self.sequences.insert(Arc::clone(&key), self.last_sequence);
        self.records.insert(self.last_sequence, (key, record));
        self.bytes = owed.bytes;
    }

    /// Lets go of the values of sets that have ended.
    fn bury_ended(&mut self, now_ms: i64) {
        if self.next_end_ms.is_none_or(|end_ms| end_ms > now_ms) {
            return;
        }
        self.next_end_ms = None;
        for (key, record) in self.records.values_mut() {
            let before_bytes = record.cost_bytes(key.len());
            let change = std::mem::replace(&mut record.change, Change::Remove);
            record.change = change.due(now_ms);
            record.base = record.base.take().filter(|_| record.change.value().is_some());
            self.bytes = self.bytes - before_bytes + record.cost_bytes(key.len());
            self.next_end_ms = earlier(self.next_end_ms, end_ms(&record.change));
        }
    }
}

fn end_ms(change: &Change) -> Option<i64> {
    change.value().map(|(_, lifetime)| lifetime.expires_at_ms).filter(|end_ms| *end_ms != 0)
}

fn earlier(one: Option<i64>, other: Option<i64>) -> Option<i64> {
    one.into_iter().chain(other).min()
}
