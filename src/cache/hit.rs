//! What L1 answers by itself.

#![forbid(unsafe_code)]

use std::time::Instant;

use super::Cache;
use crate::clock;
use crate::entry::{self, Entry, Front, Held, Own, Reader};
use crate::epoch::Epoch;
use crate::log::Level;

impl Cache {
    /// Where a look-up in L1 begins, for whoever is not inside yet.
    #[must_use]
    pub fn front(&self) -> &'static Front {
        self.l1.front()
    }

    /// The entry of `key` when L1 can answer: no lock, no allocation but for what a thread's
    /// first read sets up, no copy.
    #[must_use]
    pub fn peek(&self, key: &[u8]) -> Option<Entry> {
        self.vouch(self.l1.hold(key, Reader::own())?).map(Held::counted)
    }

    /// What lies in L1 under `key`, whose hash this is and which was not found in the front.
    #[must_use]
    pub fn hold_further(&self, hash: u64, key: &[u8], reader: Own) -> Option<Held> {
        self.l1.hold_further(hash, key, Some(reader))
    }

    /// What lies in L1 may answer, when it is alive and nobody has changed it.
    #[inline(always)]
    #[must_use]
    pub fn vouch(&self, entry: Held) -> Option<Held> {
        let now_ms = clock::coarse_ms();
        let stands = |slot, epoch| {
            self.coherence.as_ref().is_none_or(|coherence| coherence.epochs.stands(slot, epoch))
        };
        if entry.answers_plainly(now_ms, stands) { Some(entry) } else { self.hold_carefully(entry, now_ms) }
    }

    #[cold]
    fn hold_carefully(&self, entry: Held, now_ms: i64) -> Option<Held> {
        if !entry.is_alive(now_ms) || !self.is_trusted(&entry) {
            return None;
        }
        self.slide(&entry, now_ms);
        Some(entry)
    }

    /// Whether nobody can have changed it since it was read.
    pub(super) fn is_trusted(&self, entry: &Entry) -> bool {
        match &self.coherence {
            None => true,
            Some(coherence) => entry.is_local() || coherence.epochs.stands(entry.slot(), entry.epoch()),
        }
    }

    /// Whether nobody is known to have changed anything in `slot` since `epoch`.
    pub(super) fn slot_stands(&self, slot: u32, epoch: Epoch) -> bool {
        self.coherence.as_ref().is_none_or(|coherence| coherence.epochs.slot_stands(slot, epoch))
    }

    /// Times a read of L1.
    #[cold]
    pub fn sample(&self, key: &[u8]) {
        let started = Instant::now();
        let entry = self.l1.get(key);
        self.stats.l1_get.record(started.elapsed());
        drop(entry);
    }

    /// A read renews the window: here at once, in L2 by a touch that no caller waits for.
    pub(super) fn slide(&self, entry: &Entry, now_ms: i64) {
        if self.store.is_none() || entry.is_local() {
            self.renew(entry, entry.lifetime().ends_at_ms(clock::unix_ms()));
        } else if entry.claims_renewal(now_ms)
            && let Some(me) = self.me.upgrade()
        {
            let entry = entry.clone();
            let touch = move || {
                // Somebody has written: the window may be another, or gone.
                let stands = me.slot_stands(entry.slot(), entry.epoch());
                if let Err(error) = if stands { me.touch(entry.key()).map(drop) } else { Ok(()) } {
                    me.log
                        .write(Level::Debug, "cache", || format!("A sliding entry was not renewed: {error}"));
                }
            };
            // Without a thread for it the entry ends a little earlier, which is never wrong.
            let _ = self.runtime.workers.run(Box::new(touch));
        }
    }

    /// The entry ends at Unix time `ends_at_ms` now, and never after its own absolute end: that was sealed in it, and what
    /// L2 says may have been altered.
    pub(super) fn renew(&self, entry: &Entry, ends_at_ms: i64) {
        let ends_at_ms = entry::earliest(ends_at_ms, entry.lifetime().expires_at_ms);
        let deadline_ms = entry::deadline_ms(ends_at_ms, 0);
        entry.set_deadline_ms(deadline_ms);
        self.l1.note_deadline(entry.deadline_ms());
    }
}
