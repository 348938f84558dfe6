//! The read path behind a hit: one flight to L2.

#![forbid(unsafe_code)]

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::flight::Landed;
use super::{Answer, Cache};
use crate::clock;
use crate::config::Config;
use crate::defect;
use crate::entry::{self, Entry, Parts, Tier};
use crate::epoch::Epoch;
use crate::error::{Error, Kind, Result};
use crate::l1::Arrival;
use crate::l2::{Failure, Stored};
use crate::log::Level;
use crate::resilience;
use crate::stats::{Operation, count};

impl Cache {
    /// The entry of `key`, from L1 or from L2.
    pub fn get(&self, key: &[u8]) -> Result<Option<Entry>> {
        self.answer(key).map(Answer::entry)
    }

    /// As [`Cache::get`], and says what the entry is worth.
    pub fn answer(&self, key: &[u8]) -> Result<Answer> {
        match self.peek(key) {
            Some(entry) => {
                count(&self.stats.l1_hits);
                Ok(Answer::Fresh(entry))
            }
            None => match self.get_suspended(key) {
                Some(entry) => Ok(Answer::Degraded(entry)),
                None => self.get_missed(key, Instant::now()),
            },
        }
    }

    /// The entry of `key` after [`Cache::peek`] did not have it, for a call that began at `started`.
    pub fn get_missed(&self, key: &[u8], started: Instant) -> Result<Answer> {
        if let Some(entry) = self.peek_missed(key)? {
            return Ok(Answer::Fresh(entry));
        }
        // Before it is asked what is owed: what comes to be owed later ends it.
        let slot = self.slot(key);
        let epoch = self.epoch(slot);
        match self.owed(key, started)? {
            Some(owed) => Ok(owed),
            None => self.read_through(key, (slot, epoch), started),
        }
    }

    /// The entry of `key` from L2, under the epoch of its slot from before it was asked what is owed.
    pub(super) fn read_through(&self, key: &[u8], under: (u32, Epoch), started: Instant) -> Result<Answer> {
        let Some(store) = self.store.as_deref() else { return Ok(Answer::Absent) };
        let ((slot, epoch), config) = (under, self.config.load());
        let call = self.call(Operation::Get, key, &config, started);
        let read = || {
            // The read of another may have landed since this caller looked.
            if let Some(entry) = self.peek(key) {
                return Ok(Some(entry));
            }
            let stored_key = Self::stored_key(key, &config);
            let mut epoch = epoch;
            let found =
                call.run(|attempt| self.read_store((key, &stored_key), slot, &mut epoch, store, attempt));
            self.found(key, slot, epoch, found)
        };
        // In its callback the application may repair L2 and read again: not by waiting for the read that asked it.
        let (landed, is_shared) = if resilience::is_deciding() || self.circuit.is_open() {
            (read(), false)
        } else {
            self.flights.join(key, epoch, call.deadline(), read)
        };
        if is_shared {
            count(&self.stats.shared_reads);
        }
        self.hand_out(key, landed)
    }

    /// What a read of L2 found, as the caller gets it.
    pub(super) fn hand_out(&self, key: &[u8], landed: Landed) -> Result<Answer> {
        let entry = match landed {
            Ok(Some(entry)) => entry,
            Ok(None) => return Ok(Answer::Absent),
            Err(error) => {
                if let Some(again) = self.made_again(key)? {
                    return Ok(again);
                }
                return self.unverified(key, &error).map(Answer::Degraded).ok_or(error);
            }
        };
        if entry.lifetime().sliding_ms != 0 {
            self.slide(&entry, clock::coarse_ms());
        }
        let entry = entry.seen_from(Tier::L2).ok_or_else(|| Error::out_of_memory(64))?;
        if self.to_be_made_again(key)?.is_none() {
            return Ok(Answer::Fresh(entry));
        }
        count(&self.stats.degraded_reads);
        Ok(Answer::Degraded(entry))
    }

    /// What L1 has of `key`, where L2 could not be asked for the reason of `error`: unless somebody is known to have
    /// changed it, and for a while.
    fn unverified(&self, key: &[u8], error: &Error) -> Option<Entry> {
        let is_away = matches!(
            error.kind,
            Kind::L2Unreachable
                | Kind::L2Timeout
                | Kind::L2Busy
                | Kind::L2Denied
                | Kind::L2Suspended
                | Kind::L2Full
        );
        if is_away {
            return self.unverified_here(key);
        }
        // L2 was asked, and has something else, whatever that is.
        self.l1.remove_shared(key);
        None
    }

    fn unverified_here(&self, key: &[u8]) -> Option<Entry> {
        let coherence = self.coherence.as_ref()?;
        let now_ms = clock::coarse_ms();
        let entry = self.l1.get(key).filter(|entry| entry.is_alive(now_ms))?;
        let epoch = entry.epoch();
        if !entry.is_local() {
            let vouched_ms = coherence.epochs.stood_until_ms(epoch).unwrap_or(0).max(entry.verified_at_ms());
            let is_recent = now_ms.saturating_sub(vouched_ms) < self.config.load().resilience.stale_ms;
            if !is_recent || !coherence.slot_stands(entry.slot(), epoch) {
                return None;
            }
        }
        count(&self.stats.degraded_reads);
        Some(entry)
    }

    /// What the open circuit leaves of a read that [`Cache::peek`] did not answer: what L1 has, for a while. Nothing, where
    /// more is to be looked at than L1.
    #[must_use]
    pub fn get_suspended(&self, key: &[u8]) -> Option<Entry> {
        if !self.circuit.is_open() || !self.surely_owes_nothing() {
            return None;
        }
        let entry = self.unverified_here(key)?;
        self.circuit.note_suspended();
        self.stats.failed(Kind::L2Suspended, true);
        count(&self.stats.l1_misses);
        Some(entry)
    }

    /// The entry of `key` in L1, after [`Cache::peek`] did not have it.
    pub fn peek_missed(&self, key: &[u8]) -> Result<Option<Entry>> {
        let entry = self.peek_checked(key)?;
        if entry.is_none() {
            count(&self.stats.l1_misses);
        }
        Ok(entry)
    }

    /// As [`Cache::peek_missed`], for who asks L1 alone: a miss is counted by the read that comes after it.
    pub fn peek_checked(&self, key: &[u8]) -> Result<Option<Entry>> {
        self.check_key(key, &self.config.load().limits)?;
        Ok(self.peek(key))
    }

    /// L2 has answered a read that began at `epoch`.
    pub(super) fn found(
        &self,
        key: &[u8],
        slot: u32,
        epoch: Epoch,
        found: std::result::Result<Option<Stored>, Failure>,
    ) -> Landed {
        defect::point("found");
        let Some(stored) = found? else {
            count(&self.stats.l2_misses);
            self.l1.remove_shared(key);
            return Ok(None);
        };
        count(&self.stats.l2_hits);
        let config = self.config.load();
        self.check_found(&stored, &config)?;
        let Some((stored, flags)) = self.unsealed(key, stored, &config)? else {
            self.l1.remove_shared(key);
            return Ok(None);
        };
        self.log.write(Level::Debug, "cache", || {
            format!("operation=get tier=l2 key={} size={}", self.log.key(key), stored.bytes.len())
        });
        self.land(key, slot, epoch, &stored, flags, &config).map(Some)
    }

    /// Keeps what was read from L2, if it may still be trusted.
    fn land(
        &self,
        key: &[u8],
        slot: u32,
        epoch: Epoch,
        stored: &Stored,
        flags: u32,
        config: &Config,
    ) -> Result<Entry> {
        let turn = self.l1.turn(slot);
        let here = self.l1.get(key);
        if let Some(here) = &here
            && !here.is_local()
            && here.is_alive(clock::coarse_ms())
            && here.version() == stored.version
            && here.lifetime() == stored.lifetime
            && here.flags() == flags
            && here.data() == &*stored.bytes
        {
            count(&self.stats.l1_unverified);
            self.renew(here, stored.ends_at_ms);
            here.verify(epoch);
            return Ok(here.clone());
        }
        let entry = as_entry(key, stored, flags, (slot, epoch), config)?;
        if let Some(hiding) = here.filter(|here| here.is_local() && here.is_alive(clock::coarse_ms())) {
            return Ok(hiding);
        }
        // One that cannot be trusted is kept too: it is served when L2 cannot be asked.
        if self.slot_stands(slot, epoch) {
            self.l1.put(entry.clone(), Arrival::Read);
        }
        drop(turn);
        Ok(entry)
    }

    /// Renews the sliding window of `key`; whether there is a live entry.
    pub fn touch(&self, key: &[u8]) -> Result<bool> {
        let (config, started) = (self.config.load(), Instant::now());
        self.check_key(key, &config.limits)?;
        let turn = self.store.is_some().then(|| self.l1.turn(self.slot(key)));
        let here = self.l1.get(key).filter(|entry| entry.is_alive(clock::coarse_ms()));
        drop(turn);
        if let Some(entry) = &here
            && (self.store.is_none() || entry.is_local())
        {
            if entry.lifetime().sliding_ms != 0 {
                self.renew(entry, entry.lifetime().ends_at_ms(clock::unix_ms()));
            }
            return Ok(true);
        }
        let Some(store) = &self.store else { return Ok(false) };
        // Its window begins when L2 has it.
        let waiting = match self.owed_record(key, started)? {
            None => self.standing_again(key)?,
            owed => owed,
        };
        if let Some(waiting) = waiting {
            return Ok(waiting.record.change.value().is_some());
        }
        let call = self.call(Operation::Touch, key, &config, started);
        let stored_key = Self::stored_key(key, &config);
        let known = here.as_ref().filter(|entry| self.is_trusted(entry)).map(Entry::lifetime);
        let touched: std::result::Result<_, Failure> =
            call.run(|attempt| store.touch(&stored_key, known, attempt));
        let Some(ends_at_ms) = touched.map_err(Error::from)? else {
            self.l1.remove_shared(key);
            return Ok(false);
        };
        if let Some(entry) = here
            && self.is_trusted(&entry)
        {
            self.renew(&entry, ends_at_ms);
        }
        Ok(true)
    }

    /// Checks, where that is due, that changes of L2 are still heard of.
    pub(super) fn look_around(&self) {
        let (Some(coherence), now_ms) = (&self.coherence, clock::monotonic_ms()) else { return };
        let due_ms = self.looked_at_ms.load(Ordering::Relaxed).saturating_add(self.heartbeat_ms());
        if now_ms >= due_ms {
            self.looked_at_ms.store(now_ms, Ordering::Relaxed);
            coherence.look();
        }
    }

    pub(super) fn heartbeat_ms(&self) -> i64 {
        i64::try_from(self.config.load().coherence.heartbeat_ms).unwrap_or(i64::MAX)
    }

    /// Does what nobody waits for: wipes what has expired in L1, lets L2 tidy up.
    pub(super) fn tend_tiers(&self) {
        self.l1.sweep(clock::coarse_ms());
        if let Some(recent) = &self.recent {
            recent.sweep();
        }
        self.watch_ring();
        self.look_at_journal();
        self.replay();
        self.meet_peers();
        let Some(store) = &self.store else { return };
        let is_closing = || self.signal.is_closing();
        let deadline = Instant::now() + Duration::from_millis(500);
        if let Err(failure) = store.tend(crate::l2::Attempt { deadline, is_closing: &is_closing }) {
            self.log.write(Level::Debug, "l2", || format!("L2 was not tidied: {failure}"));
        }
    }
}

/// What L2, or the journal for it, holds of `key`, as an entry under the epoch of its slot.
pub(super) fn as_entry(
    key: &[u8],
    stored: &Stored,
    flags: u32,
    (slot, epoch): (u32, Epoch),
    config: &Config,
) -> Result<Entry> {
    let max_ttl_ms = config.l1.max_ttl_ms;
    let entry = Entry::new(Parts {
        key,
        data: &stored.bytes,
        version: stored.version,
        written_at_ms: stored.written_at_ms,
        lifetime: stored.lifetime,
        deadline_ms: entry::deadline_ms(stored.ends_at_ms, max_ttl_ms),
        stay_until_ms: entry::deadline_ms(0, max_ttl_ms),
        slot,
        epoch,
        is_local: false,
        flags,
    });
    entry.ok_or_else(|| Error::out_of_memory(stored.bytes.len()))
}
