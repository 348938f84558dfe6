//! A set that is merged with what others have made of the same value meanwhile: compared and swapped, and on a conflict
//! read, merged and tried again, until the deadline. While L2 is away it is owed with what it started from.

#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use super::terms::Terms;
use super::unheard::Fate;
use super::write::Write;
use super::{Cache, SetOptions, SetOutcome};
use crate::clock;
use crate::config::Config;
use crate::entry::{Entry, Lifetime, Secret, Tier};
use crate::error::{Error, Kind, Result};
use crate::journal::Known;
use crate::l2::replay::{Present, Seen};
use crate::l2::{Attempt, Class, Expected, Failure, Store, Stored};
use crate::msal::{self, Merged, Refusal, Side};
use crate::stats::Operation;

/// The longest pause before another try, so that those who meet again and again drift apart.
const MAX_PAUSE_MS: u64 = 16;

/// The value that a change started from.
#[derive(Clone, Copy, Debug)]
pub struct Base<'a> {
    /// Its bytes.
    pub data: &'a [u8],
    /// The version it had; 0 when that is not known.
    pub version: u64,
}

/// A set that is to be merged.
pub(super) struct Merge<'a> {
    pub key: &'a [u8],
    slot: u32,
    pub base: Option<&'a [u8]>,
    pub known: Known,
    pub mine: &'a [u8],
    options: SetOptions,
    pub at_ms: i64,
    is_local: bool,
    pub started: Instant,
}

/// What lies under a key.
pub(super) enum There {
    /// Nothing, and no word of a removal.
    Nothing,
    /// Nothing, since this Unix time.
    Removed(i64),
    Value(Stored),
}

/// What is to be written after a look at what is there.
enum Next {
    /// This, in the place of that, which was to live so long; nothing new to merge with where there is none.
    Write(Option<(Secret, Option<Lifetime>)>, Expected),
    /// All of it was removed later.
    Gone,
}

impl<'a> Merge<'a> {
    pub(super) fn with(&self, theirs: Side<'_>) -> std::result::Result<Option<Merged>, Refusal> {
        msal::merge(self.base, Side::written(self.mine, self.at_ms), theirs)
    }

    pub(super) fn write<'w>(&'w self, data: &'w [u8], expected: Expected, config: &Config) -> Write<'w> {
        Write {
            key: self.key,
            data,
            slot: self.slot,
            lifetime: Terms::from(config).lifetime(data, self.options, self.at_ms),
            written_at_ms: self.at_ms,
            expected,
            is_local: self.is_local,
            waits: false,
            follows: false,
            started: self.started,
        }
    }
}

impl Cache {
    /// Stores `data`, which was made of `base`, merged with what others have made of it since; both are MSAL caches.
    /// Answers what is stored, too: nothing, where nothing of it was left.
    pub fn set_merged(
        &self,
        key: &[u8],
        base: Option<Base<'_>>,
        data: &[u8],
        options: SetOptions,
    ) -> Result<(SetOutcome, Option<Entry>)> {
        let started = Instant::now();
        let config = self.config.load();
        let terms = Terms::from(&**config);
        self.check_key(key, &terms.limits)?;
        terms.check_value(data)?;
        if options.expected_version != 0 {
            let message = "options.expected_version must be 0 here: what the change started from is base.";
            return Err(Error::new(Kind::InvalidArgument, message));
        }
        msal::check(data).map_err(|refusal| not_msal("The value", "Store it with tc_set", refusal))?;
        msal::check(base.map_or(b"", |base| base.data))
            .map_err(|refusal| not_msal("base", "Give null where nothing is known", refusal))?;
        let merge = Merge {
            key,
            slot: self.slot(key),
            base: base.map(|base| base.data),
            known: base
                .filter(|base| base.version != 0)
                .map_or(Known::Nothing, |base| Known::Version(base.version)),
            mine: data,
            options,
            at_ms: clock::unix_ms(),
            is_local: options.is_local || self.store.is_none(),
            started,
        };
        let mut expected = match base {
            None => Some(Expected::Absent),
            Some(Base { version: 0, .. }) => None,
            Some(Base { version, .. }) => Some(Expected::Version(version)),
        };
        let deadline = started + Duration::from_millis(config.resilience.deadline_ms);
        let mut merged: Option<(Secret, Option<Lifetime>)> = None;
        self.wait_until_made_again(key, deadline)?;
        for meeting in 0_u32.. {
            if let Some(expected) = expected {
                let (data, theirs) =
                    merged.as_ref().map_or((data, None), |(data, theirs)| (&**data, *theirs));
                let pruned = terms.pruned(data, merge.at_ms);
                let data = pruned.as_deref().unwrap_or(data);
                terms.check_value(data)?;
                let (outcome, entry) = self.try_merged(&merge, (data, theirs), expected, &config)?;
                if outcome != SetOutcome::Conflict {
                    return Ok((outcome, entry));
                }
                pause(meeting, deadline);
            }
            if Instant::now() >= deadline {
                break;
            }
            match self.look_and_merge(&merge, &config)? {
                Next::Write(found, now) => (merged, expected) = (found, Some(now)),
                Next::Gone => {
                    self.l1.remove(key);
                    return Ok((SetOutcome::Stored(0), None));
                }
            }
        }
        Ok((SetOutcome::Conflict, None))
    }

    /// What the change may have begun from is to be on another primary first: missing there, it would look removed.
    fn wait_until_made_again(&self, key: &[u8], deadline: Instant) -> Result<()> {
        for meeting in 0.. {
            let is_due = self.to_be_made_again(key).map_err(Error::from)?.is_some();
            if !is_due || self.circuit.is_open() || Instant::now() >= deadline {
                break;
            }
            self.replay();
            pause(meeting, deadline);
        }
        Ok(())
    }

    /// One compare-and-swap of `data`, in which is what was to live as long as `theirs`, or what takes its place while L2
    /// is away.
    fn try_merged(
        &self,
        merge: &Merge<'_>,
        (data, theirs): (&[u8], Option<Lifetime>),
        expected: Expected,
        config: &Config,
    ) -> Result<(SetOutcome, Option<Entry>)> {
        let mut write = merge.write(data, expected, config);
        write.lifetime = write.lifetime.or_longer(theirs, merge.at_ms);
        let has_ended = write.lifetime.has_ended(merge.at_ms);
        let Some(store) = self.store.as_deref().filter(|_| !merge.is_local) else {
            let outcome = self.set_here(&write, self.l1.fetch(merge.key), has_ended, config.l1.max_ttl_ms)?;
            return self.handed_out(outcome, &write, config);
        };
        if has_ended {
            return Ok((self.remove_through(&write, store, config)?, None));
        }
        if self.owed_record(merge.key, merge.started)?.is_some() {
            let waiting = "The newest write of this key is still owed to L2, and this one with it.";
            return self.owe_merged(merge, config, (Failure::new(Class::Busy, waiting), Fate::Untried));
        }
        match self.put_through(&write, None, store, config)? {
            Ok(outcome) => self.handed_out(outcome, &write, config),
            Err(untaken) => self.owe_merged(merge, config, (untaken.failure, untaken.fate)),
        }
    }

    /// What a set has stored, to be handed out.
    pub(super) fn handed_out(
        &self,
        outcome: SetOutcome,
        write: &Write<'_>,
        config: &Config,
    ) -> Result<(SetOutcome, Option<Entry>)> {
        let (SetOutcome::Stored(version) | SetOutcome::Owed(version)) = outcome else {
            return Ok((outcome, None));
        };
        if version == 0 {
            return Ok((outcome, None));
        }
        let entry = self.entry(write, version, self.unverified_epoch(write.slot), config.l1.max_ttl_ms)?;
        let is_shared = matches!(outcome, SetOutcome::Stored(_)) && !write.is_local;
        let tier = if is_shared { Tier::L2 } else { Tier::L1 };
        let entry = entry.seen_from(tier).ok_or_else(|| Error::out_of_memory(write.data.len()))?;
        Ok((outcome, Some(entry)))
    }

    /// What lies there now, merged with the change.
    fn look_and_merge(&self, merge: &Merge<'_>, config: &Config) -> Result<Next> {
        let (there, version) = self.there(merge, config)?;
        let (side, expected, lifetime) = match &there {
            There::Nothing => return Ok(Next::Write(None, Expected::Absent)),
            There::Removed(at_ms) => (Side::removed(*at_ms), Expected::Absent, None),
            There::Value(stored) => {
                let side = Side::written(&stored.bytes, stored.written_at_ms);
                let lifetime = Some(stored.lifetime).filter(|_| !stored.bytes.is_empty());
                (side, Expected::Version(version), lifetime)
            }
        };
        let merged = merge.with(side).map_err(|refusal| {
            let message = format!(
                "What lies under this key is not an MSAL token cache, and nothing can be merged with it: {refusal}. \
                 Remove it, or store over it with tc_set."
            );
            Error::new(Kind::L2Protocol, message)
        })?;
        let merged = merged.ok_or_else(|| Error::out_of_memory(merge.mine.len()))?;
        let is_gone = matches!(there, There::Removed(_)) && !merged.holds_anything;
        Ok(if is_gone { Next::Gone } else { Next::Write(Some((merged.bytes, lifetime)), expected) })
    }

    /// What lies under the key, opened, and its version.
    fn there(&self, merge: &Merge<'_>, config: &Config) -> Result<(There, u64)> {
        let Some(store) = self.store.as_deref().filter(|_| !merge.is_local) else {
            let here = self.l1.get(merge.key);
            let here = here.filter(|here| here.is_local() && here.is_alive(clock::coarse_ms()));
            let Some(here) = here else { return Ok((There::Nothing, 0)) };
            let bytes = Secret::copy(here.data()).ok_or_else(|| Error::out_of_memory(here.data().len()))?;
            let version = here.version();
            let (written_at_ms, lifetime) = (here.written_at_ms(), here.lifetime());
            let stored = Stored { bytes, version, written_at_ms, lifetime, ends_at_ms: 0 };
            return Ok((There::Value(stored), version));
        };
        let call = self.call(Operation::Get, merge.key, config, merge.started);
        let stored_key = Self::stored_key(merge.key, config);
        let found = call.run(|attempt| found(store, &stored_key, attempt)).map_err(Error::from)?;
        let (found, _) = found;
        let There::Value(stored) = found else { return Ok((found, 0)) };
        let version = stored.version;
        self.check_found(&stored, config)?;
        let opened = self.unsealed(merge.key, stored, config)?;
        // One that cannot be opened, where the document calls that a miss, is written over.
        let nothing = || Stored {
            bytes: Secret::from(Vec::new()),
            version,
            written_at_ms: 0,
            lifetime: Lifetime::default(),
            ends_at_ms: 0,
        };
        Ok((There::Value(opened.map_or_else(nothing, |(stored, _)| stored)), version))
    }
}

/// What lies in `store` under `key`, as it lies there; and what was seen, where nothing does.
pub(super) fn found(
    store: &dyn Store,
    key: &[u8],
    attempt: Attempt<'_>,
) -> std::result::Result<(There, Option<Seen>), Failure> {
    if let Some(stored) = store.get(key, attempt)? {
        return Ok((There::Value(stored), None));
    }
    let seen = store.look(&[key], attempt)?.remove(0)?;
    Ok(match seen.present {
        Present::Tombstone { clock } => (There::Removed(unix_ms(clock)), Some(seen)),
        Present::Nothing | Present::Ended { .. } => (There::Nothing, Some(seen)),
        // Whoever has written in between is met by the comparison.
        Present::Ours { .. } | Present::Foreign { .. } => (There::Nothing, None),
    })
}

/// The Unix time of a hybrid clock.
pub(super) fn unix_ms(clock: u64) -> i64 {
    (clock >> 16) as i64
}

fn pause(meeting: u32, deadline: Instant) {
    let most = MAX_PAUSE_MS.min(1 << meeting.min(6));
    let pause = Duration::from_micros(fastrand::u64(0..most * 1000));
    std::thread::sleep(pause.min(deadline.saturating_duration_since(Instant::now())));
}

fn not_msal(what: &str, way_out: &str, refusal: Refusal) -> Error {
    let message = format!("{what} is not an MSAL token cache: {refusal}. {way_out}.");
    Error::new(Kind::InvalidArgument, message)
}
