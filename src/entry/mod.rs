//! An entry: a key, opaque bytes, a version, and until when it lives.

#![deny(unsafe_code)]

mod from_value;
mod lifetime;
#[allow(unsafe_code)]
pub mod raw;

use std::hash::{Hash, Hasher};
use std::sync::atomic::Ordering;

pub use from_value::last_token_expires_at_ms;
pub use lifetime::{Asked, Defaults, Lifetime, NEVER, deadline_ms, earliest};
pub use raw::{Front, Groups, Held, Own, Reader, Right, Secret, Seen, Spot, share};
use raw::{LOCAL, Limits, Meta, PublicHead, Raw, SLIDES, TICK_MS};

use crate::clock;

/// Which tier gave an answer. The numbers are those of `tc_tier`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Tier {
    /// Neither: not an entry.
    None = 0,
    /// Memory of this process.
    L1 = 1,
    /// The shared tier.
    L2 = 2,
}

/// What is stored under a key, and what is known of it.
#[derive(Clone, Copy)]
pub struct Parts<'a> {
    /// The key.
    pub key: &'a [u8],
    /// The bytes.
    pub data: &'a [u8],
    /// See `tc_value.version`.
    pub version: u64,
    /// Unix time of the write; 0 when unknown.
    pub written_at_ms: i64,
    /// Until when it lives.
    pub lifetime: Lifetime,
    /// From which coarse monotonic time it is dead in this process; `i64::MAX` for never.
    pub deadline_ms: i64,
    /// Beyond which coarse monotonic time it may not stay in L1, however often it is renewed.
    pub stay_until_ms: i64,
    /// The slot of its key in the epoch table.
    pub slot: u32,
    /// The epochs of its slot and of everything, from before it was read.
    pub epoch: (u64, u32),
    /// Kept in this process only.
    pub is_local: bool,
    /// `tc_value.flags`.
    pub flags: u32,
}

impl<'a> Parts<'a> {
    /// Those of an entry that never ends, of which nothing else is known.
    #[must_use]
    pub fn lasting(key: &'a [u8], data: &'a [u8]) -> Parts<'a> {
        Parts {
            key,
            data,
            version: 0,
            written_at_ms: 0,
            lifetime: Lifetime::default(),
            deadline_ms: i64::MAX,
            stay_until_ms: i64::MAX,
            slot: 0,
            epoch: (0, 0),
            is_local: false,
            flags: 0,
        }
    }
}

/// A counted reference to an immutable entry. Its bytes are wiped when the last reference goes.
#[derive(Clone)]
pub struct Entry(Raw);

impl Entry {
    /// A new entry; `None` when there is no memory for it.
    #[must_use]
    pub fn new(parts: Parts<'_>) -> Option<Entry> {
        let public = PublicHead {
            data: std::ptr::null(),
            len: 0,
            version: parts.version,
            written_at_ms: parts.written_at_ms,
            expires_at_ms: parts.lifetime.expires_at_ms,
            tier: Tier::L1 as i32,
            flags: parts.flags,
        };
        let window_ms = parts.lifetime.sliding_ms;
        let kind = |is_so, kind| if is_so { kind } else { 0 };
        let meta = Meta {
            deadline_ms: parts.deadline_ms.into(),
            epoch: parts.epoch.0.into(),
            global_epoch: parts.epoch.1.into(),
            // Nobody asks when it is compared with nothing.
            verified_at: if parts.is_local { 0 } else { tick_now() }.into(),
            key_len: 0,
            slot: parts.slot as u16,
            kind: kind(parts.is_local, LOCAL) | kind(window_ms != 0, SLIDES),
            reads: 0.into(),
        };
        let limits = || Limits {
            stay_until_ms: parts.stay_until_ms.into(),
            window_ms,
            renew_at_ms: renewal(window_ms, parts.deadline_ms).into(),
        };
        let is_limited = window_ms != 0 || parts.stay_until_ms != i64::MAX;
        Raw::entry(parts.key, parts.data, public, meta, is_limited.then(limits)).map(Entry)
    }

    /// Bytes that are no entry: a document made by this library.
    #[must_use]
    pub fn document(data: &[u8]) -> Option<Entry> {
        Entry::apart(data, 0, 0)
    }

    /// Bytes that lie in no tier, written at Unix time `written_at_ms`, with `flags`.
    #[must_use]
    pub fn apart(data: &[u8], written_at_ms: i64, flags: u32) -> Option<Entry> {
        let parts = Parts { written_at_ms, flags, ..Parts::lasting(b"", data) };
        Entry::new(parts)?.seen_from(Tier::None)
    }

    /// The same bytes, in an answer that says it came from `tier`; `None` when there is no memory for its head.
    #[must_use]
    pub fn seen_from(self, tier: Tier) -> Option<Entry> {
        self.0.view(tier).map(Entry)
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        self.0.key()
    }

    /// The bytes.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        self.0.data()
    }

    /// See `tc_value.version`.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.0.public().version
    }

    /// See `tc_value.flags`.
    #[must_use]
    pub fn flags(&self) -> u32 {
        self.0.public().flags
    }

    /// Unix time of the write; 0 when unknown.
    #[must_use]
    pub fn written_at_ms(&self) -> i64 {
        self.0.public().written_at_ms
    }

    /// Until when it lives.
    #[must_use]
    pub fn lifetime(&self) -> Lifetime {
        let sliding_ms = self.0.limits().map_or(0, |limits| limits.window_ms);
        Lifetime { expires_at_ms: self.0.public().expires_at_ms, sliding_ms }
    }

    /// The tier that gave this answer.
    #[must_use]
    pub fn tier(&self) -> Tier {
        match self.0.public().tier {
            1 => Tier::L1,
            2 => Tier::L2,
            _ => Tier::None,
        }
    }

    /// Kept in this process only.
    #[inline]
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.0.meta().kind & LOCAL != 0
    }

    /// Whether it may still be served at the coarse monotonic time `now_ms`.
    #[inline]
    #[must_use]
    pub fn is_alive(&self, now_ms: i64) -> bool {
        now_ms < self.deadline_ms()
    }

    /// The coarse monotonic time from which it is dead in this process.
    #[inline]
    #[must_use]
    pub fn deadline_ms(&self) -> i64 {
        self.0.meta().deadline_ms.load(Ordering::Relaxed)
    }

    /// Moves the end, as far as it may stay.
    pub fn set_deadline_ms(&self, deadline_ms: i64) {
        let stay_until_ms =
            self.0.limits().map_or(i64::MAX, |limits| limits.stay_until_ms.load(Ordering::Relaxed));
        self.0.meta().deadline_ms.store(deadline_ms.min(stay_until_ms), Ordering::Relaxed);
    }

    /// It may not stay beyond the coarse monotonic time `until_ms`.
    pub fn limit_stay(&self, until_ms: i64) {
        if let Some(limits) = self.0.limits() {
            limits.stay_until_ms.fetch_min(until_ms, Ordering::Relaxed);
        }
        self.0.meta().deadline_ms.fetch_min(until_ms, Ordering::Relaxed);
    }

    /// Whether it slides, and a read at monotonic `now_ms` is the one that renews its window: at most one in each
    /// quarter of it.
    #[must_use]
    pub fn claims_renewal(&self, now_ms: i64) -> bool {
        let Some(Limits { window_ms, renew_at_ms, .. }) = self.sliding() else { return false };
        let due = renew_at_ms.load(Ordering::Relaxed);
        let next = now_ms.saturating_add(window_ms / 4);
        now_ms >= due && renew_at_ms.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Whether a read at the coarse monotonic time `now_ms`, which is noted, may be answered with it, as far as it knows
    /// itself: it is alive, does not slide, and `stands` says that its slot and its epochs do.
    #[inline(always)]
    #[must_use]
    pub fn answers_plainly(&self, now_ms: i64, stands: impl FnOnce(u32, (u64, u32)) -> bool) -> bool {
        let meta = self.0.meta();
        note_read(meta);
        now_ms < meta.deadline_ms.load(Ordering::Relaxed)
            && meta.kind & SLIDES == 0
            && (meta.kind & LOCAL != 0 || stands(u32::from(meta.slot), self.epoch()))
    }

    /// The slot of its key in the epoch table.
    #[inline]
    #[must_use]
    pub fn slot(&self) -> u32 {
        u32::from(self.0.meta().slot)
    }

    /// The epochs of its slot and of everything under which it may be served.
    #[inline]
    #[must_use]
    pub fn epoch(&self) -> (u64, u32) {
        let meta = self.0.meta();
        (meta.epoch.load(Ordering::Relaxed), meta.global_epoch.load(Ordering::Relaxed))
    }

    /// Trusts it again under the epochs from before it was compared with L2. Its window is as new as its end says.
    pub fn verify(&self, epoch: (u64, u32)) {
        let meta = self.0.meta();
        meta.verified_at.store(tick_now(), Ordering::Relaxed);
        if let Some(Limits { window_ms, renew_at_ms, .. }) = self.sliding() {
            renew_at_ms.fetch_max(renewal(*window_ms, self.deadline_ms()), Ordering::Relaxed);
        }
        meta.global_epoch.store(epoch.1, Ordering::Relaxed);
        meta.epoch.store(epoch.0, Ordering::Release);
    }

    /// When it was read from L2 or compared with it last, by the coarse monotonic clock, or up to [`TICK_MS`] before.
    #[must_use]
    pub fn verified_at_ms(&self) -> i64 {
        i64::from(self.0.meta().verified_at.load(Ordering::Relaxed)) * TICK_MS
    }

    fn sliding(&self) -> Option<&Limits> {
        self.0.limits().filter(|limits| limits.window_ms != 0)
    }

    /// Notes that it was read, as far as L1 counts.
    pub fn mark_read(&self) {
        note_read(self.0.meta());
    }

    /// Takes a part of one of the reads that were noted away, half of them all where they are many; whether there were any.
    #[must_use]
    pub fn take_mark(&self) -> bool {
        let reads = &self.0.meta().reads;
        let known = reads.load(Ordering::Relaxed);
        reads.store(if known > MANY { known / 2 } else { known.saturating_sub(1) }, Ordering::Relaxed);
        known > 0
    }

    /// Takes all of them away, but one where there were several; whether there were any.
    #[must_use]
    pub fn take_marks(&self) -> bool {
        let reads = &self.0.meta().reads;
        let known = reads.load(Ordering::Relaxed);
        reads.store(if known > READ { READ } else { 0 }, Ordering::Relaxed);
        known > 0
    }

    /// What it costs in memory, with its place in L1's table.
    #[inline]
    #[must_use]
    pub fn cost_bytes(&self) -> u64 {
        cost_bytes(self.key().len(), self.data().len(), self.0.limits().is_some())
    }

    /// Whether both are the same in memory.
    #[must_use]
    pub fn is_same(&self, other: &Entry) -> bool {
        self.0.is_same(&other.0)
    }

    /// Gives the reference away, to be handed out of the library.
    #[inline]
    #[must_use]
    pub fn into_raw(self) -> Raw {
        self.0
    }
}

/// What an entry with a key and a value of these lengths costs in memory, which is more where it slides or may not stay: its
/// place in the heap, and in L1's tables.
#[inline]
#[must_use]
pub fn cost_bytes(key_len: usize, value_len: usize, is_limited: bool) -> u64 {
    const TABLE: u64 = 32;
    (raw::heap_bytes(key_len, value_len, is_limited) as u64).saturating_add(TABLE)
}

/// What a read counts: so many passes of L1's main queue.
const READ: u8 = 2;
/// Half of what is counted. Who has more may have been read long ago, and loses half with a pass.
const MANY: u8 = 7;

/// One that is read all the time is not written to.
#[inline(always)]
fn note_read(meta: &Meta) {
    let known = meta.reads.load(Ordering::Relaxed);
    if known < 2 * MANY {
        meta.reads.store(known + READ, Ordering::Relaxed);
    }
}

fn tick_now() -> u32 {
    (clock::coarse_ms() / TICK_MS) as u32
}

/// A read renews the window from when a quarter of it is over, however old the entry was when it came here.
fn renewal(sliding_ms: i64, deadline_ms: i64) -> i64 {
    let quarter_ms = sliding_ms / 4;
    clock::coarse_ms().saturating_add(quarter_ms).min(deadline_ms.saturating_sub(3 * quarter_ms))
}

/// A key to look up among entries.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Key<'a>(pub &'a [u8]);

impl Hash for Key<'_> {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Without the length that a slice puts in front: a key is hashed alone.
        state.write(self.0);
    }
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Entry({} bytes, version {})", self.data().len(), self.version())
    }
}
