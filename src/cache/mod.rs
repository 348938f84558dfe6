//! The tiers together.

#![forbid(unsafe_code)]

mod background;
mod failover;
mod flight;
mod here;
mod hit;
mod join;
mod keys;
mod lifecycle;
mod meet;
mod merge;
mod owed;
mod peers;
mod probe;
mod read;
mod replays;
mod seal;
mod statistics;
mod terms;
mod unheard;
mod write;

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Instant;

use arc_swap::{ArcSwap, ArcSwapOption};

use crate::clock::HybridClock;
use crate::coherence::Coherence;
use crate::config::{Config, Limits};
use crate::entry::{Asked, Entry};
use crate::epoch::{self, Epoch};
use crate::error::{Error, Kind, Result};
use crate::journal::{Journal, Recent};
use crate::l1::L1;
use crate::l2::{Attempt, Failure, OWN, Store};
use crate::log::Logger;
use crate::resilience::circuit::Circuit;
use crate::resilience::{Call, Hook};
use crate::runtime::{Runtime, Signal};
use crate::stats::{Operation, Stats};
pub use background::InProgress;
pub use background::Told;
use flight::Flights;
use keys::Keys;
pub use merge::Base;
use peers::Peers;
use replays::Replays;
use seal::Counters;
use terms::Published;

/// An open cache.
pub struct Cache {
    me: Weak<Cache>,
    config: ArcSwap<Config>,
    terms: Published,
    configuring: Mutex<()>,
    l1: L1,
    /// Needed only where somebody else can change L2.
    coherence: Option<Arc<Coherence>>,
    looked_at_ms: AtomicI64,
    store: Option<Box<dyn Store>>,
    opened_at: Instant,
    circuit: Circuit,
    journal: Option<Journal>,
    replays: Replays,
    /// Needed only where L2 can fail over.
    recent: Option<Arc<Recent>>,
    is_probing: AtomicBool,
    keys: Keys,
    seals: Counters,
    peers: Peers,
    flights: Arc<Flights>,
    versions: HybridClock,
    hook: Arc<ArcSwapOption<HookHolder>>,
    log: Arc<Logger>,
    stats: Stats,
    signal: Arc<Signal>,
    runtime: Arc<Runtime>,
    /// Asynchronous calls that were accepted: those at work, and those whose completion has not returned.
    working: AtomicUsize,
    accepted: AtomicUsize,
}

struct HookHolder(Arc<dyn Hook>);

/// What is done by one at a time is over, however it ended.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// What a set asks for.
#[derive(Clone, Copy, Debug, Default)]
pub struct SetOptions {
    /// Until when the entry lives.
    pub asked: Asked,
    /// 0 stores over anything, `u64::MAX` only where no live entry exists, else only over this version.
    pub expected_version: u64,
    /// Keep it in this process, off L2.
    pub is_local: bool,
}

/// What a read answers.
#[derive(Clone, Debug)]
pub enum Answer {
    /// An entry that nobody has changed, as far as can be known.
    Fresh(Entry),
    /// An entry that could not be checked against L2.
    Degraded(Entry),
    /// No live entry.
    Absent,
}

impl Answer {
    /// Of a read that was not answered for want of something better.
    fn fresh(entry: Option<Entry>) -> Answer {
        entry.map_or(Answer::Absent, Answer::Fresh)
    }

    /// The entry, whatever it is worth.
    #[must_use]
    pub fn entry(self) -> Option<Entry> {
        match self {
            Answer::Fresh(entry) | Answer::Degraded(entry) => Some(entry),
            Answer::Absent => None,
        }
    }
}

/// How a set ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetOutcome {
    /// Stored under this version; 0 when it had expired already, and so removed what was there.
    Stored(u64),
    /// L2 did not take it; it is kept here, under this version, and owed.
    Owed(u64),
    /// The entry's version is not the expected one; nothing was written.
    Conflict,
}

impl Cache {
    /// Empties L1.
    pub fn clear(&self) -> Result<()> {
        if self.signal.is_closing() {
            return Err(Error::closed());
        }
        if let Some(coherence) = &self.coherence {
            coherence.doubt_reads_under_way();
        }
        self.l1.clear();
        Ok(())
    }

    /// A call of `operation` on `key` that began at `started`.
    fn call<'a>(
        &'a self,
        operation: Operation,
        key: &'a [u8],
        config: &'a Config,
        started: Instant,
    ) -> Call<'a> {
        Call {
            operation,
            key,
            started,
            policy: &config.resilience,
            circuit: &self.circuit,
            hook: self.hook.load().as_ref().map(|holder| Arc::clone(&holder.0)),
            signal: &self.signal,
            runtime: &self.runtime,
            log: &self.log,
            stats: &self.stats,
        }
    }

    fn check_key(&self, key: &[u8], limits: &Limits) -> Result<()> {
        if self.signal.is_closing() {
            return Err(Error::closed());
        }
        let limit = limits.max_key_bytes;
        if key.len() > limit {
            let len = key.len();
            let message = format!("The key is {len} bytes long; limits.max_key_bytes allows {limit}.");
            return Err(Error::new(Kind::InvalidArgument, message));
        }
        if key.is_empty() {
            return Err(Error::new(Kind::InvalidArgument, "The key is empty; a key has at least one byte."));
        }
        if key.starts_with(OWN) {
            let message =
                "The key begins with __tokencache:, which is the library's own space; choose another.";
            return Err(Error::new(Kind::InvalidArgument, message));
        }
        Ok(())
    }

    /// The key as L2 knows it.
    fn stored_key<'a>(key: &'a [u8], config: &Config) -> Cow<'a, [u8]> {
        let prefix = config.l2.key_prefix.as_bytes();
        if prefix.is_empty() { Cow::Borrowed(key) } else { Cow::Owned([prefix, key].concat()) }
    }

    /// The slot of `key`; nobody asks for it where L1 is alone.
    fn slot(&self, key: &[u8]) -> u32 {
        self.coherence.as_ref().map_or(0, |coherence| coherence.slot(key))
    }

    fn epoch(&self, slot: u32) -> Epoch {
        self.coherence.as_ref().map_or((0, 0), |coherence| coherence.epochs.now(slot))
    }

    /// The epoch of what is kept here without being trusted.
    fn unverified_epoch(&self, slot: u32) -> Epoch {
        self.coherence.as_ref().map_or((0, 0), |coherence| coherence.epochs.unverified(slot))
    }

    /// Takes `epoch` again, now that there is a link, where it was taken while changes were not heard of.
    fn take_epoch(
        &self,
        slot: u32,
        epoch: &mut Epoch,
        store: &dyn Store,
        attempt: Attempt<'_>,
    ) -> std::result::Result<(), Failure> {
        if !epoch::is_trusted(*epoch) {
            store.ready(attempt)?;
            *epoch = self.epoch(slot);
            // Something may have come to be owed since it was asked what is.
            if !self.journal.as_ref().is_none_or(Journal::is_surely_empty) {
                *epoch = self.unverified_epoch(slot);
            }
        }
        Ok(())
    }

    fn bump(&self, slot: u32) {
        if let Some(coherence) = &self.coherence {
            coherence.epochs.bump(slot);
        }
    }
}
