//! The attempts at one write, of which one may not have been heard of: it may have been made, or be made yet.

#![forbid(unsafe_code)]

use crate::entry::Lifetime;
use crate::journal::{Known, is_later};
use crate::l2::replay::{self, Present};
use crate::l2::{Attempt, Class, Expected, Failure, Store, Written};

/// How often somebody else may come between a look and a write.
const LOOKS: usize = 8;

/// A write, as each attempt makes it.
#[derive(Clone, Copy)]
pub(super) struct Attempted<'a> {
    /// As L2 knows it.
    pub key: &'a [u8],
    /// The bytes and until when they live; `None` removes.
    pub value: Option<(&'a [u8], Lifetime)>,
    pub clock: u64,
    pub written_at_ms: i64,
    pub expected: Expected,
    /// What it is made onto.
    pub known: Known,
}

/// What the attempts at a write have come to so far.
#[derive(Default)]
pub(super) struct Attempts {
    are_any: bool,
    unheard: Option<Failure>,
}

/// What has become of a write that L2 did not acknowledge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It was not tried.
    Untried,
    /// It was tried, and not made.
    Undone,
    /// Nobody knows.
    Unheard,
}

impl Attempts {
    /// Makes one, after `prepare`.
    pub fn make(
        &mut self,
        write: &Attempted<'_>,
        store: &dyn Store,
        attempt: Attempt<'_>,
        prepare: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<Written, Failure> {
        self.are_any = true;
        prepare()?;
        let made = match &self.unheard {
            Some(_) if write.expected == Expected::Anything => write.again(store, attempt),
            _ => write.first(store, attempt),
        };
        self.count(made, write.expected, |class| store.may_have_written(class))
    }

    /// What an attempt counts as. A conflict of a comparison is none after one that was not heard of: that may have been
    /// made, and somebody have written since.
    fn count(
        &mut self,
        made: Result<Written, Failure>,
        expected: Expected,
        may_have_written: impl FnOnce(Class) -> bool,
    ) -> Result<Written, Failure> {
        match (made, &self.unheard) {
            (Err(failure), _) if may_have_written(failure.class) => {
                self.unheard = Some(failure.clone());
                Err(failure)
            }
            (Ok(Written::Conflict), Some(before)) if expected != Expected::Anything => Err(overtaken(before)),
            (made, _) => made,
        }
    }

    /// What the call has come to. A write that expects nothing meets no conflict: it is not made because of what others
    /// have written.
    pub fn end(&self, outcome: Result<Written, Failure>, expected: Expected) -> Result<Written, Failure> {
        match (outcome, &self.unheard) {
            (Ok(Written::Conflict), Some(before)) if expected == Expected::Anything => Err(overtaken(before)),
            (outcome, _) => outcome,
        }
    }

    /// What has become of the write, where none of them was acknowledged.
    pub fn fate(&self) -> Fate {
        match (&self.unheard, self.are_any) {
            (Some(_), _) => Fate::Unheard,
            (None, true) => Fate::Undone,
            (None, false) => Fate::Untried,
        }
    }
}

/// The write that failed so may have been made, and somebody have written since.
fn overtaken(before: &Failure) -> Failure {
    let message = format!(
        "{before} Somebody else has written since, so that nobody knows whether this write was made before; read again."
    );
    Failure::new(before.class, message)
}

impl Attempted<'_> {
    fn first(&self, store: &dyn Store, attempt: Attempt<'_>) -> Result<Written, Failure> {
        let Attempted { key, clock, written_at_ms, expected, .. } = *self;
        match self.value {
            Some((bytes, lifetime)) => {
                store.set(key, bytes, clock, written_at_ms, lifetime, expected, attempt)
            }
            None => store.remove(key, clock, expected, attempt),
        }
    }

    /// After an attempt that was not heard of: it may have been made, and others have got acknowledged what they made of
    /// it, which is not written over.
    fn again(&self, store: &dyn Store, attempt: Attempt<'_>) -> Result<Written, Failure> {
        let Attempted { key, value, clock, written_at_ms, known, .. } = *self;
        for _ in 0..LOOKS {
            let seen = match store.look(&[key], attempt)?.remove(0) {
                // What lies there is nobody's: it is written over.
                Err(failure) if failure.class == Class::Protocol => return self.first(store, attempt),
                seen => seen?,
            };
            if let Present::Ours { clock: theirs, version } = seen.present
                && theirs == clock
            {
                return Ok(Written::Stored(version));
            }
            if is_later(seen.present, clock, known, store.now_ms()) {
                break;
            }
            let write = replay::Write { key, seen: &seen, value, clock, written_at_ms, ends_at_ms: None };
            if store.replay(&[write], attempt)?.remove(0)? {
                return Ok(Written::Stored(value.map_or(0, |(bytes, _)| store.version_of(bytes, clock))));
            }
        }
        Ok(Written::Conflict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conflict_after_an_attempt_that_may_have_been_made_is_its_failure() {
        for (first, is_unheard) in [(Class::Unreachable, true), (Class::Timeout, true), (Class::Busy, false)]
        {
            let mut attempts = Attempts::default();
            let mut count = |made| attempts.count(made, Expected::Version(7), |class| class != Class::Busy);
            let failed = Err(Failure::new(first, "failed."));
            assert_eq!(count(failed).expect_err("it failed").class, first);
            let then = count(Ok(Written::Conflict)).err().map(|failure| failure.class);
            assert_eq!(then, is_unheard.then_some(first), "{first:?}");
            assert!(matches!(count(Ok(Written::Stored(7))), Ok(Written::Stored(7))));
        }
    }
}
