//! An attempt at a write whose answer was not heard: it may have been made, or be made yet.

#![forbid(unsafe_code)]

use crate::l2::{Class, Failure, Written};

/// Whether an attempt that failed so may have been made, or be made yet.
pub(super) fn is_under_way(class: Class) -> bool {
    matches!(class, Class::Unreachable | Class::Timeout)
}

/// What an attempt at a write has come to. A conflict is none after one that was `unheard`: that may have been made, and
/// somebody have written since.
pub(super) fn sure(
    written: Result<Written, Failure>,
    unheard: &mut Option<Failure>,
) -> Result<Written, Failure> {
    match (written, &unheard) {
        (Err(failure), _) if is_under_way(failure.class) => {
            *unheard = Some(failure.clone());
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

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(class: Class) -> Result<Written, Failure> {
        Err(Failure::new(class, "failed."))
    }

    #[test]
    fn a_conflict_after_an_attempt_that_may_have_been_made_is_its_failure() {
        for (first, expected) in [
            (Class::Unreachable, Some(Class::Unreachable)),
            (Class::Timeout, Some(Class::Timeout)),
            (Class::Busy, None),
        ] {
            let mut unheard = None;
            assert_eq!(sure(failed(first), &mut unheard).expect_err("it failed").class, first);
            let then = sure(Ok(Written::Conflict), &mut unheard);
            assert_eq!(then.err().map(|failure| failure.class), expected, "{first:?}");
            assert!(matches!(sure(Ok(Written::Stored(7)), &mut unheard), Ok(Written::Stored(7))));
        }
    }
}
