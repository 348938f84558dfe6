//! Merged sets that L2 did not take: owed with what they started from, and joined with what is owed already.

#![forbid(unsafe_code)]

use std::borrow::Cow;

use super::merge::{Merge, unix_ms};
use super::terms::Terms;
use super::unheard::Fate;
use super::{Cache, SetOutcome};
use crate::config::Config;
use crate::entry::{Entry, Lifetime, Secret};
use crate::error::{Error, Kind, Result};
use crate::journal::{Change, Known, Numbered, Onto, Record};
use crate::l2::{Expected, Failure, Stored};
use crate::msal::Side;

/// What L2 or the journal holds cannot be opened; `is_for_now` where its key may come.
pub(super) struct NotOpened {
    pub is_for_now: bool,
}

impl Cache {
    /// L2 did not take it for the reason of `failure`, and may do so late: it is owed, merged with what is owed already.
    pub(super) fn owe_merged(
        &self,
        merge: &Merge<'_>,
        config: &Config,
        (failure, fate): (Failure, Fate),
    ) -> Result<(SetOutcome, Option<Entry>)> {
        let written = merge.write(merge.mine, Expected::Anything, config);
        self.distrust(&written);
        let link = self.late_over(fate);
        loop {
            let owed = self.owed_record(merge.key, merge.started)?;
            let onto = Onto::Number(owed.as_ref().map(|owed| owed.sequence));
            let over = owed.as_ref().and_then(|owed| owed.record.under());
            let theirs = owed.as_ref().and_then(|owed| Some(owed.record.change.value()?.1));
            let (merged, base) = match owed {
                None => (None, self.sealed_base(merge, config)?),
                Some(Numbered { record, .. }) => {
                    let Some((merged, base)) = self.join_record(merge, record, config)? else {
                        self.l1.remove(merge.key);
                        return Ok((SetOutcome::Owed(0), None));
                    };
                    (Some(merged), base)
                }
            };
            let data = merged.as_deref().unwrap_or(merge.mine);
            let terms = Terms::from(config);
            let pruned = terms.pruned(data, merge.at_ms);
            let data = pruned.as_deref().unwrap_or(data);
            terms.check_value(data)?;
            let mut write = merge.write(data, Expected::Anything, config);
            write.lifetime = write.lifetime.or_longer(theirs, merge.at_ms);
            let clock = self.versions.next();
            let sealed = self.sealed(merge.key, data, clock, write.lifetime.expires_at_ms, config)?;
            let version = self.store.as_ref().map_or(clock, |store| store.version_of(&sealed, clock));
            let bytes = Secret::copy(&sealed).ok_or_else(|| Error::out_of_memory(sealed.len()))?;
            let change = Change::Set { bytes, lifetime: write.lifetime };
            // The journal knows what that was made onto which this is over.
            let known = if over.is_some() { Known::Nothing } else { merge.known };
            let (written_at_ms, base) = (merge.at_ms, Some(base));
            let record = Record { change, clock, written_at_ms, known, base, over, link };
            let epoch = self.unverified_epoch(write.slot);
            if self.keep_onto(merge.key, record, onto, &failure, merge.started).map_err(Error::from)? {
                self.hold(&write, version, epoch);
                self.replay();
                return self.handed_out(SetOutcome::Owed(version), &write, config);
            }
        }
    }

    fn sealed_base(&self, merge: &Merge<'_>, config: &Config) -> Result<Secret> {
        let base = match merge.base {
            // Nothing is nothing, sealed or not.
            None | Some(b"") => Cow::Borrowed(&b""[..]),
            Some(base) => self.sealed(merge.key, base, self.versions.next(), 0, config)?,
        };
        Secret::copy(&base).ok_or_else(|| Error::out_of_memory(base.len()))
    }

    /// The change merged with what is owed, and what that started from; `None` when what is owed has removed all of it.
    fn join_record(
        &self,
        merge: &Merge<'_>,
        record: Record,
        config: &Config,
    ) -> Result<Option<(Secret, Secret)>> {
        let Record { change, clock, written_at_ms, base, .. } = record;
        let held_up = || {
            let message = "What is owed to L2 under this key is not an MSAL token cache that can be opened; try again \
                           when tc_flush answers TC_OK.";
            Error::new(Kind::L2Busy, message)
        };
        let (merged, base) = match change {
            Change::Set { bytes, .. } => {
                let len = bytes.len();
                let base = base.map_or_else(|| Secret::copy(&bytes), Some);
                let base = base.ok_or_else(|| Error::out_of_memory(len))?;
                let owed = self.opened_now(merge.key, Some(bytes), config).map_err(|_| held_up())?;
                (merge.with(Side::written(&owed, written_at_ms)), Some(base))
            }
            Change::Remove => (merge.with(Side::removed(unix_ms(clock))), None),
        };
        let merged = merged.map_err(|_| held_up())?;
        let merged = merged.ok_or_else(|| Error::out_of_memory(merge.mine.len()))?;
        Ok(match base {
            None if !merged.holds_anything => None,
            base => Some((merged.bytes, base.unwrap_or_else(|| Secret::from(Vec::new())))),
        })
    }

    /// Bytes as L2 holds them, opened.
    pub(super) fn opened_now(
        &self,
        key: &[u8],
        bytes: Option<Secret>,
        config: &Config,
    ) -> std::result::Result<Secret, NotOpened> {
        let bytes = bytes.ok_or(NotOpened { is_for_now: true })?;
        let lifetime = Lifetime::default();
        let stored = Stored { bytes, version: 0, written_at_ms: 0, lifetime, ends_at_ms: 0 };
        self.opened_stored(key, stored, config).map(|stored| stored.bytes)
    }

    /// As [`Cache::opened_now`], with the lifetime that was sealed in it.
    pub(super) fn opened_stored(
        &self,
        key: &[u8],
        stored: Stored,
        config: &Config,
    ) -> std::result::Result<Stored, NotOpened> {
        if stored.bytes.is_empty() {
            return Ok(stored);
        }
        match self.unsealed(key, stored, config) {
            Ok(opened) => opened.map(|(stored, _)| stored).ok_or(NotOpened { is_for_now: false }),
            Err(error) => Err(NotOpened { is_for_now: error.kind == Kind::SealUnknownKey }),
        }
    }
}
