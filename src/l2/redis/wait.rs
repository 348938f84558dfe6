//! How a caller's thread waits for an answer: asleep, until the answer, its deadline or the close of the cache.

#![forbid(unsafe_code)]

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::l2::sleeper::Sleeper;
use crate::l2::{Attempt, Class, Failure};

/// How often a waiter looks up whether the cache is closing.
const GLANCE: Duration = Duration::from_millis(20);

/// What `answer` becomes; `None` when the attempt is over first. When `lost` says why nobody is there any more who could
/// answer, that is the failure: a request that is handed to the link in the moment in which it ends waits for nobody.
pub(super) fn until<T>(
    attempt: Attempt<'_>,
    lost: impl Fn() -> Option<Failure>,
    answer: impl Future<Output = T>,
) -> Result<Option<T>, Failure> {
    let sleeper = Arc::new(Sleeper::default());
    let waker = Waker::from(Arc::clone(&sleeper));
    let mut context = Context::from_waker(&waker);
    let mut answer = pin!(answer);
    loop {
        // Asked first: what was answered before it was lost is an answer.
        let lost = lost();
        if let Poll::Ready(answer) = answer.as_mut().poll(&mut context) {
            return Ok(Some(answer));
        }
        if let Some(failure) = lost {
            return Err(failure);
        }
        let Some(patience) = patience(attempt)? else { return Ok(None) };
        sleeper.sleep(patience);
    }
}

/// How long the next sleep may last; `None` when the attempt is over.
pub(super) fn patience(attempt: Attempt<'_>) -> Result<Option<Duration>, Failure> {
    if (attempt.is_closing)() {
        return Err(closed());
    }
    let left = attempt.deadline.saturating_duration_since(Instant::now());
    Ok((!left.is_zero()).then(|| left.min(GLANCE)))
}

pub(super) fn closed() -> Failure {
    Failure::new(Class::Closed, "The cache was closed while this call was under way.")
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn nobody_waits_for_a_link_that_has_ended() {
        let attempt = Attempt { deadline: Instant::now() + Duration::from_secs(600), is_closing: &|| false };
        let looks = Cell::new(0);
        let lost = || {
            looks.set(looks.get() + 1);
            (looks.get() > 2).then(|| Failure::new(Class::Unreachable, "lost"))
        };
        let failure = until(attempt, lost, std::future::pending::<()>()).expect_err("nobody answers");
        assert_eq!((failure.class, failure.to_string().as_str()), (Class::Unreachable, "lost"));
        let lost = || Some(Failure::new(Class::Unreachable, "lost"));
        assert_eq!(until(attempt, lost, std::future::ready(7)).expect("it was answered before"), Some(7));
    }
}
