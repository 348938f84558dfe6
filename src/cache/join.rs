//! Merged sets that L2 did not take: owed with what they started from, joined with what is owed already, and with what
//! lies in L2 when it is back.

#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::time::Instant;

use super::merge::{Merge, There, found, unix_ms};
use super::owed::UNHURRIED;
use super::terms::Terms;
use super::unheard::Fate;
use super::{Cache, SetOutcome};
use crate::clock;
use crate::config::Config;
use crate::entry::{Entry, Lifetime, Secret};
use crate::error::{Error, Kind, Result};
use crate::journal::{Change, Due, Joined, Known, Moment, Numbered, Onto, Record, is_old};
use crate::l2::replay::{Seen, Write};
use crate::l2::{Attempt, Expected, Failure, Stored, Written};
use crate::msal::{self, Side};

/// How often a replay meets another writer of the same key before the record waits for the next.
const MEETINGS: usize = 8;

/// What L2 or the journal holds cannot be opened; `is_for_now` where its key may come.
struct NotOpened {
    is_for_now: bool,
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
            write.lifetime = later(write.lifetime, theirs, merge.at_ms);
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
    fn opened_now(
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
    fn opened_stored(
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

    /// Merges what is owed with what lies in L2 by now.
    pub(super) fn join_owed(&self, due: &Due) -> std::result::Result<Joined, Failure> {
        let Some(store) = self.store.as_deref() else { return Ok(Joined::Plain) };
        let config = self.config.load();
        let terms = Terms::from(&**config);
        let stored_key = Self::stored_key(&due.key, &config);
        let open = |bytes: &[u8]| self.opened_now(&due.key, Secret::copy(bytes), &config);
        let Record { change, base, over, clock, written_at_ms, .. } = &due.record;
        let (Some((bytes, owed_lifetime)), Some(base)) = (change.value(), base) else {
            return Ok(Joined::Plain);
        };
        let is_old = is_old(&due.record, clock::unix_ms());
        // Whoever gets the key merges it; written as it is it would take the place of what others have made.
        let unopened = |is_for_now| if is_for_now && !is_old { Joined::Contended } else { Joined::Plain };
        let (mine, base) = match open(bytes).and_then(|mine| Ok((mine, open(base)?))) {
            Ok(both) => both,
            Err(NotOpened { is_for_now }) => return Ok(unopened(is_for_now)),
        };
        let mine = Side::written(&mine, *written_at_ms);
        let is_closing = || self.signal.is_closing();
        for _ in 0..MEETINGS {
            let attempt = Attempt { deadline: Instant::now() + UNHURRIED, is_closing: &is_closing };
            let since = self.moment();
            let put = |seen: &Seen, value, clock, written_at_ms| {
                let write = Write {
                    key: &stored_key,
                    seen,
                    value: Some(value),
                    clock,
                    written_at_ms,
                    ends_at_ms: None,
                };
                store.replay(&[write], attempt)?.remove(0)
            };
            let (there, seen) = found(store, &stored_key, attempt)?;
            let mut lifetime = owed_lifetime;
            let (theirs, expected) = match there {
                There::Nothing if is_old => return Ok(Joined::Plain),
                There::Nothing => {
                    // Where somebody has come in between, there is something to merge it with.
                    let Some(seen) = seen else { continue };
                    if put(&seen, (bytes, lifetime), *clock, *written_at_ms)? {
                        return Ok(Joined::Written);
                    }
                    continue;
                }
                There::Removed(at_ms) => (Err(at_ms), None),
                // The document may come to allow it, as that of whoever has stored it does.
                There::Value(stored) if self.check_found(&stored, &config).is_err() => {
                    return Ok(unopened(true));
                }
                There::Value(stored) => {
                    let (version, at_ms) = (stored.version, stored.written_at_ms);
                    match self.opened_stored(&due.key, stored, &config) {
                        Ok(stored) => {
                            lifetime = later(lifetime, Some(stored.lifetime), clock::unix_ms());
                            (Ok((stored.bytes, at_ms)), Some(Expected::Version(version)))
                        }
                        Err(NotOpened { is_for_now }) => return Ok(unopened(is_for_now)),
                    }
                }
            };
            let side = match &theirs {
                Ok((bytes, at_ms)) => Side::written(bytes, *at_ms),
                Err(at_ms) => Side::removed(*at_ms),
            };
            // What was there when it was removed is not kept by whoever has added to it since.
            let removed = over.filter(|_| base.is_empty() && theirs.is_ok());
            let left = removed.map(|over| msal::merge(None, Side::removed(unix_ms(over)), side));
            let side = match &left {
                Some(Ok(Some(left))) => Side::written(&left.bytes, 0),
                None => side,
                Some(_) => return Ok(Joined::Plain),
            };
            let Ok(Some(merged)) = msal::merge(Some(&base), mine, side) else { return Ok(Joined::Plain) };
            if theirs.is_err() && !merged.holds_anything {
                return Ok(Joined::Removed);
            }
            let (clock, now_ms) = (self.versions.next(), clock::unix_ms());
            let pruned = terms.pruned(&merged.bytes, now_ms);
            let merged = pruned.as_ref().unwrap_or(&merged.bytes);
            // Nobody could read it.
            if terms.check_value(merged).is_err() {
                return Ok(Joined::Plain);
            }
            let sealed = self.sealed(&due.key, merged, clock, lifetime.expires_at_ms, &config);
            let Ok(sealed) = sealed else { return Ok(Joined::Plain) };
            let is_written = match (expected, &seen) {
                (Some(expected), _) => {
                    let written =
                        store.set(&stored_key, &sealed, clock, now_ms, lifetime, expected, attempt)?;
                    matches!(written, Written::Stored(_))
                }
                // A removal since then is one that was seen by nobody yet.
                (None, Some(seen)) => put(seen, (&sealed, lifetime), clock, now_ms)?,
                (None, None) => false,
            };
            if is_written {
                self.remember_joined(due, &sealed, lifetime, (clock, now_ms), since);
                return Ok(Joined::Written);
            }
        }
        Ok(Joined::Contended)
    }

    /// L2 has `sealed` in the place of what was `due`: found there, that is no change of somebody else's.
    fn remember_joined(
        &self,
        due: &Due,
        sealed: &[u8],
        lifetime: Lifetime,
        (clock, written_at_ms): (u64, i64),
        since: Option<Moment>,
    ) {
        if let (Some(recent), Some(since)) = (&self.recent, since)
            && let (Some(bytes), Ok(record)) = (Secret::copy(sealed), due.record.copy())
        {
            let change = Change::Set { bytes, lifetime };
            let record = Record { change, clock, written_at_ms, ..record };
            self.remember_record(recent, &due.key, record, since, Instant::now());
        }
    }
}

/// What both have written, at Unix time `now_ms`, lives as long as the longer of them: without an end where one has none,
/// and without a window where one has an end alone.
pub(super) fn later(one: Lifetime, other: Option<Lifetime>, now_ms: i64) -> Lifetime {
    let Some(other) = other else { return one };
    let (ends, windows) = ([one.expires_at_ms, other.expires_at_ms], [one.sliding_ms, other.sliding_ms]);
    let [last, longest] = [ends, windows].map(|[one, other]| one.max(other));
    let expires_at_ms = if ends.contains(&0) { 0 } else { last };
    let is_endless = [one, other].contains(&Lifetime::default());
    let sliding_ms = match expires_at_ms {
        _ if is_endless => 0,
        _ if !windows.contains(&0) => longest,
        // One has an end and the other a window, which is to be open until then.
        0 => longest.max(last.saturating_sub(now_ms)),
        _ => 0,
    };
    Lifetime { expires_at_ms, sliding_ms }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_both_have_written_lives_as_long_as_the_longer() {
        let lives = |expires_at_ms, sliding_ms| Lifetime { expires_at_ms, sliding_ms };
        for (one, other, both) in [
            (lives(0, 0), lives(900, 50), lives(0, 0)),
            (lives(900, 0), lives(700, 0), lives(900, 0)),
            (lives(900, 50), lives(700, 60), lives(900, 60)),
            (lives(900, 50), lives(0, 60), lives(0, 60)),
            (lives(900, 50), lives(700, 0), lives(900, 0)),
            (lives(0, 50), lives(700, 0), lives(0, 600)),
            (lives(0, 650), lives(700, 0), lives(0, 650)),
        ] {
            assert_eq!(later(one, Some(other), 100), both, "{one:?}, {other:?}");
            assert_eq!(later(other, Some(one), 100), both, "{other:?}, {one:?}");
            assert_eq!(later(one, None, 100), one);
        }
    }
}
