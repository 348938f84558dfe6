//! The attempts at one write, of which one may not have been heard of: it may have been made, or be made yet.

#![forbid(unsafe_code)]

use crate::l2::{Failure, Store, Written};

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
    /// What the attempt that `store` has answered so counts as. A conflict is none after one that was not heard of: that
    /// may have been made, and somebody have written since.
    pub fn count(
        &mut self,
        written: Result<Written, Failure>,
        store: &dyn Store,
    ) -> Result<Written, Failure> {
        self.are_any = true;
        match (written, &self.unheard) {
            (Err(failure), _) if store.may_have_written(failure.class) => {
                self.unheard = Some(failure.clone());
                Err(failure)
            }
            (Ok(Written::Conflict), Some(before)) => {
                let message = format!(
                    "{before} Somebody else has written since, so that nobody knows whether this write was made before; \
                     read again."
                );
                Err(Failure::new(before.class, message))
            }
            (written, _) => written,
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
