//! How a caller's thread waits for an answer: asleep, until the answer, its deadline or the close of the cache.

#![forbid(unsafe_code)]

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use crate::l2::{Attempt, Class, Failure};

/// How often a waiter looks up whether the cache is closing.
const GLANCE: Duration = Duration::from_millis(20);

struct Sleeper(Thread);

impl Wake for Sleeper {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// What `answer` becomes; `None` when the attempt is over first.
pub(super) fn until<T>(attempt: Attempt<'_>, answer: impl Future<Output = T>) -> Result<Option<T>, Failure> {
    let waker = Waker::from(Arc::new(Sleeper(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut answer = pin!(answer);
    loop {
        if let Poll::Ready(answer) = answer.as_mut().poll(&mut context) {
            return Ok(Some(answer));
        }
        let Some(patience) = patience(attempt)? else { return Ok(None) };
        thread::park_timeout(patience);
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
