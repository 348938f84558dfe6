//! Merged sets that were owed meet what lies in L2 when it is back.

#![forbid(unsafe_code)]

use std::time::Instant;

use super::Cache;
use super::join::NotOpened;
use super::merge::{There, found, unix_ms};
use super::owed::UNHURRIED;
use super::terms::Terms;
use crate::clock;
use crate::config::Config;
use crate::entry::{Lifetime, Secret};
use crate::journal::{Change, Due, Joined, Journal, Moment, Record, is_old, merged_clock};
use crate::l2::replay::{Seen, Write};
use crate::l2::{Attempt, Expected, Failure, Store, Stored, Written};
use crate::msal::{self, Merged, Side};

/// How often a replay meets another writer of the same key before the record waits for the next.
const MEETINGS: usize = 8;

/// What is due, opened.
struct Ours<'a> {
    due: &'a Due,
    journal: &'a Journal,
    stored_key: &'a [u8],
    /// As it is owed.
    value: (&'a [u8], Lifetime),
    mine: Secret,
    base: Secret,
    is_old: bool,
}

/// What lies in L2, opened.
enum Theirs {
    /// Nothing, since this Unix time.
    Removed(i64),
    Value(Stored),
}

impl Cache {
    /// Merges what is owed by `journal` with what lies in L2 by now.
    pub(super) fn join_owed(&self, due: &Due, journal: &Journal) -> Result<Joined, Failure> {
        let Some(store) = self.store.as_deref() else { return Ok(Joined::Plain) };
        let config = self.config.load();
        let (Some(value), Some(base)) = (due.record.change.value(), &due.record.base) else {
            return Ok(Joined::Plain);
        };
        let is_old = is_old(&due.record, clock::unix_ms());
        let open = |bytes: &[u8]| self.opened_now(&due.key, Secret::copy(bytes), &config);
        let (mine, base) = match open(value.0).and_then(|mine| Ok((mine, open(base)?))) {
            Ok(both) => both,
            Err(not_opened) => return Ok(unopened(&not_opened, is_old)),
        };
        let stored_key = Self::stored_key(&due.key, &config);
        let ours = Ours { due, journal, stored_key: &stored_key, value, mine, base, is_old };
        for _ in 0..MEETINGS {
            if let Some(joined) = self.meet(&ours, store, &config)? {
                return Ok(joined);
            }
        }
        Ok(Joined::Contended)
    }

    /// One try; `None` when somebody has come in between.
    fn meet(&self, ours: &Ours<'_>, store: &dyn Store, config: &Config) -> Result<Option<Joined>, Failure> {
        let is_closing = || self.signal.is_closing();
        let attempt = Attempt { deadline: Instant::now() + UNHURRIED, is_closing: &is_closing };
        let since = self.moment();
        let put = |seen: &Seen, value, clock, written_at_ms| {
            let (key, value) = (ours.stored_key, Some(value));
            let write = Write { key, seen, value, clock, written_at_ms, ends_at_ms: None };
            store.replay(&[write], attempt)?.remove(0)
        };
        let (there, seen) = found(store, ours.stored_key, attempt)?;
        if ours.is_overtaken(attempt)? {
            return Ok(Some(Joined::Overtaken));
        }
        let theirs = match self.theirs(ours, there, config) {
            Ok(Some(theirs)) => theirs,
            Ok(None) => {
                // Where somebody has come in between, there is something to merge it with.
                let Some(seen) = seen else { return Ok(None) };
                let Record { clock, written_at_ms, .. } = ours.due.record;
                let is_put = put(&seen, ours.value, clock, written_at_ms)?;
                return Ok(is_put.then_some(Joined::Written));
            }
            Err(joined) => return Ok(Some(joined)),
        };
        let merged = match ours.merged(&theirs) {
            Ok(merged) => merged,
            Err(joined) => return Ok(Some(joined)),
        };
        // Of what has come there since, nothing is written over.
        let present = match &seen {
            Some(seen) => seen.present,
            None => store.look(&[ours.stored_key], attempt)?.remove(0)?.present,
        };
        let clock = merged_clock(&ours.due.record, present, store.now_ms());
        let (now_ms, terms) = (clock::unix_ms(), Terms::from(config));
        let pruned = terms.pruned(&merged.bytes, now_ms);
        let merged = pruned.as_ref().unwrap_or(&merged.bytes);
        let lifetime = match &theirs {
            Theirs::Value(stored) => ours.value.1.or_longer(Some(stored.lifetime), now_ms),
            Theirs::Removed(_) => ours.value.1,
        };
        // Nobody could read it.
        if terms.check_value(merged).is_err() {
            return Ok(Some(Joined::Plain));
        }
        let sealed = self.sealed(&ours.due.key, merged, clock, lifetime.expires_at_ms, config);
        let Ok(sealed) = sealed else { return Ok(Some(Joined::Plain)) };
        let is_written = match (&theirs, &seen) {
            (Theirs::Value(stored), _) => {
                let expected = Expected::Version(stored.version);
                let written =
                    store.set(ours.stored_key, &sealed, clock, now_ms, lifetime, expected, attempt)?;
                matches!(written, Written::Stored(_))
            }
            // A removal since then is one that was seen by nobody yet.
            (Theirs::Removed(_), Some(seen)) => put(seen, (&sealed, lifetime), clock, now_ms)?,
            (Theirs::Removed(_), None) => false,
        };
        if is_written {
            self.remember_joined(ours.due, &sealed, lifetime, (clock, now_ms), since);
        }
        Ok(is_written.then_some(Joined::Written))
    }

    /// What is `there`, opened: `None` where ours goes as it is. Fails with what comes of ours when it cannot be merged.
    fn theirs(&self, ours: &Ours<'_>, there: There, config: &Config) -> Result<Option<Theirs>, Joined> {
        match there {
            There::Nothing if ours.is_old => Err(Joined::Plain),
            There::Nothing => Ok(None),
            There::Removed(at_ms) => Ok(Some(Theirs::Removed(at_ms))),
            // The document may come to allow it, as that of whoever has stored it does.
            There::Value(stored) if self.check_found(&stored, config).is_err() => {
                Err(unopened(&NotOpened { is_for_now: true }, ours.is_old))
            }
            There::Value(stored) => self
                .opened_stored(&ours.due.key, stored, config)
                .map(|stored| Some(Theirs::Value(stored)))
                .map_err(|not_opened| unopened(&not_opened, ours.is_old)),
        }
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

impl Ours<'_> {
    /// Whether it has been overtaken: by something that is owed in its place as it is, or by what was written past the
    /// journal and may be what was found in L2.
    fn is_overtaken(&self, attempt: Attempt<'_>) -> Result<bool, Failure> {
        let owed = self.journal.find(&self.due.key, attempt)?;
        // What it was merged into has started from where it did, and does so from it when L2 has it.
        let base = self.due.record.base.as_deref();
        let is_in = |record: &Record| record.base.is_some() && record.base.as_deref() == base;
        Ok(owed.is_none_or(|owed| owed.sequence != self.due.sequence && !is_in(&owed.record)))
    }

    /// Both, or what comes of ours when there is nothing to be merged.
    fn merged(&self, theirs: &Theirs) -> Result<Merged, Joined> {
        let side = match theirs {
            Theirs::Value(stored) => Side::written(&stored.bytes, stored.written_at_ms),
            Theirs::Removed(at_ms) => Side::removed(*at_ms),
        };
        let is_removed = matches!(theirs, Theirs::Removed(_));
        // What was there when it was removed is not kept by whoever has added to it since.
        let over = self.due.record.over.filter(|_| self.base.is_empty() && !is_removed);
        let left = over.map(|over| msal::merge(None, Side::removed(unix_ms(over)), side));
        let side = match &left {
            Some(Ok(Some(left))) => Side::written(&left.bytes, 0),
            None => side,
            Some(_) => return Err(Joined::Plain),
        };
        let mine = Side::written(&self.mine, self.due.record.written_at_ms);
        match msal::merge(Some(&self.base), mine, side) {
            Ok(Some(merged)) if is_removed && !merged.holds_anything => Err(Joined::Removed),
            Ok(Some(merged)) => Ok(merged),
            Ok(None) | Err(_) => Err(Joined::Plain),
        }
    }
}

/// What comes of ours where something is not opened: whoever gets the key merges it; written as it is it would take the place
/// of what others have made.
fn unopened(NotOpened { is_for_now }: &NotOpened, is_old: bool) -> Joined {
    if *is_for_now && !is_old { Joined::Contended } else { Joined::Plain }
}
