//! A set that L1 alone takes: nobody but this process knows of it.

#![forbid(unsafe_code)]

use super::terms::Terms;
use super::write::Write;
use super::{Cache, SetOptions, SetOutcome};
use crate::clock;
use crate::entry::Entry;
use crate::error::{Error, Kind, Result};
use crate::l1::{Arrival, Expectation, Put};
use crate::l2::Expected;
use crate::stats::{Latency, count};

/// Whoever closes the cache waits for sets in L1 of values up to this length, and so do others who open and close.
const SHORT_BYTES: usize = 64 << 10;

impl Cache {
    /// As [`Cache::set`], where L1 alone takes it and it is soon done, waiting for nobody but for L1's locks; else `None`.
    pub fn set_in_l1(&self, key: &[u8], data: &[u8], options: SetOptions) -> Option<Result<SetOutcome>> {
        let is_short = data.len() <= SHORT_BYTES;
        (is_short && self.stays_here(options)).then(|| {
            let terms = self.terms.read().unwrap_or_else(|| Terms::from(&**self.config.load()));
            // Only L2 has deadlines, so nobody asks when this began.
            self.set_under(&terms, key, data, options, self.opened_at, None)
        })
    }

    pub(super) fn stays_here(&self, options: SetOptions) -> bool {
        options.is_local || self.store.is_none()
    }

    /// Stores or, with `removes`, removes in this process alone; comparing and storing is one step. `hash` is what
    /// [`L1::fetch`](crate::l1::L1::fetch) said.
    pub(super) fn set_here(
        &self,
        write: &Write<'_>,
        hash: u64,
        removes: bool,
        max_ttl_ms: i64,
    ) -> Result<SetOutcome> {
        let (key, data) = (write.key, write.data);
        if !removes && !self.l1.admits(key.len(), data.len()) {
            return Err(self.not_admitted(data));
        }
        let sample = Latency::sample();
        // Beside an L2 what is read there lands here too: by turns, so that it does not take the place of this one.
        let turn = self.store.is_some().then(|| self.l1.turn(write.slot));
        let is_expected = |here: Option<&Entry>| {
            let here = here.filter(|here| here.is_local() && here.is_alive(clock::coarse_ms()));
            match write.expected {
                Expected::Anything => true,
                Expected::Absent => here.is_none(),
                Expected::Version(version) => here.is_some_and(|here| here.version() == version),
            }
        };
        if removes {
            let is_done = self.l1.remove_if(hash, key, is_expected);
            return Ok(if is_done { SetOutcome::Stored(0) } else { self.conflict_here() });
        }
        let has_expectation = write.expected != Expected::Anything;
        // Already here, so that what is refused is not copied first.
        if has_expectation && !is_expected(self.l1.get(key).as_ref()) {
            return Ok(self.conflict_here());
        }
        let version = self.versions.next_at(write.written_at_ms);
        // What it takes the place of is fetched while it is copied.
        self.l1.fetch_entry(hash);
        let entry = self.entry(write, version, (0, 0), max_ttl_ms)?;
        let expectation = has_expectation.then_some(&is_expected as Expectation<'_>);
        let put = self.l1.put_onto(hash, entry, Arrival::Written, expectation);
        drop(turn);
        match put {
            Put::Held => {
                self.stats.l1_set.record_sample(sample);
                Ok(SetOutcome::Stored(version))
            }
            Put::NotHeld => Err(Error::out_of_memory(data.len())),
            Put::Refused => Ok(self.conflict_here()),
        }
    }

    #[cold]
    fn not_admitted(&self, data: &[u8]) -> Error {
        let message = format!(
            "The value is {} bytes long, more than L1 can hold, and this entry has no other tier; enable \
             L1, raise l1.capacity_bytes ({}) or configure an L2.",
            data.len(),
            self.config.load().l1.capacity_bytes
        );
        Error::new(Kind::ValueTooLarge, message)
    }

    pub(super) fn conflict_here(&self) -> SetOutcome {
        count(&self.stats.conflicts);
        SetOutcome::Conflict
    }
}
