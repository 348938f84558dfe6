//! How a call waits: shorter than anybody notices at first, longer when it lasts, never past its deadline.

#![forbid(unsafe_code)]

use std::cell::Cell;
use std::time::{Duration, Instant};

use crate::l2::{Attempt, Class, Failure};

const YIELDS: u32 = 3;
const SHORTEST: Duration = Duration::from_micros(50);
const LONGEST: Duration = Duration::from_millis(1);
/// How often a waiter looks up whether the cache is closing.
const GLANCE: Duration = Duration::from_millis(10);

/// The time that one glance may take; `None` when the attempt is over.
pub(super) fn glance(attempt: Attempt<'_>) -> Result<Option<Duration>, Failure> {
    if (attempt.is_closing)() {
        return Err(closed());
    }
    let left = attempt.deadline.saturating_duration_since(Instant::now());
    Ok((!left.is_zero()).then(|| left.min(GLANCE)))
}

pub(super) fn closed() -> Failure {
    Failure::new(Class::Closed, "The cache was closed while this call was under way.")
}

/// The pauses between tries at a locked database.
#[derive(Default)]
pub(super) struct Pauses(u32);

impl Pauses {
    /// Pauses; `false` when the attempt is over.
    pub fn pause(&mut self, attempt: Attempt<'_>) -> Result<bool, Failure> {
        let Some(left) = glance(attempt)? else { return Ok(false) };
        self.0 += 1;
        if self.0 <= YIELDS {
            std::thread::yield_now();
        } else {
            let longer = SHORTEST * 2_u32.saturating_pow((self.0 - YIELDS - 1).min(8));
            std::thread::sleep(longer.min(LONGEST).min(left));
        }
        Ok(true)
    }
}

thread_local! {
    static DEADLINE: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// While it lives, statements of this thread end at a deadline.
pub(super) struct Limit;

impl Limit {
    pub fn until(deadline: Instant) -> Limit {
        DEADLINE.set(Some(deadline));
        Limit
    }

    /// Does what must not be told to have ended early, such as a commit: SQLite asks once more when it is already made.
    pub fn lifted<T>(work: impl FnOnce() -> T) -> T {
        let deadline = DEADLINE.take();
        let done = work();
        DEADLINE.set(deadline);
        done
    }

    /// Whether the deadline of this thread's call has passed: SQLite's progress handler asks.
    pub fn is_over() -> bool {
        DEADLINE.try_with(Cell::get).ok().flatten().is_some_and(|deadline| Instant::now() >= deadline)
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        DEADLINE.set(None);
    }
}
