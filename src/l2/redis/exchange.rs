//! Requests over the link, sent in one piece, and their answers, waited for or not.

#![forbid(unsafe_code)]

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Instant;

use futures_util::StreamExt;
use futures_util::future::{Either, select};
use futures_util::stream::FuturesUnordered;
use redis::{Pipeline, RedisResult, Value};
use tokio::sync::mpsc::UnboundedReceiver;

use super::link::Link;
use super::requests::reading;
use super::up::Up;
use super::{diagnosis, layout, server, wait};
use crate::defect;
use crate::l2::{Answered, Attempt, Class, Failure, Stored};
use crate::runtime::together;

/// What the server said, refusals among it, or why it said nothing.
pub(super) type Answers = Result<Vec<Value>, Failure>;

/// How many letters go together, and are answered together. What a request costs on this side is the same for one and for
/// many; and while the answers to some come, the server has the questions of others.
const TOGETHER: usize = 16;
/// How long values may be all together that are answered together, as far as those before them say: the first of them
/// waits for the last, and over a slow network many long ones would all be late.
const TOGETHER_BYTES: usize = 128 * 1024;

/// How long values have been lately: longer at once, shorter by and by.
#[derive(Default)]
struct Lengths(AtomicUsize);

impl Lengths {
    fn note(&self, len: usize) {
        let known = self.0.load(Ordering::Relaxed);
        self.0.store(len.max(known - known / 8), Ordering::Relaxed);
    }

    /// How many letters may go together.
    fn together(&self) -> usize {
        (TOGETHER_BYTES / self.0.load(Ordering::Relaxed).max(1)).clamp(1, TOGETHER)
    }
}

/// A read whose answer nobody waits for.
pub(super) struct Letter {
    pub key: Arc<[u8]>,
    /// When `done` is called at the latest.
    pub deadline: Instant,
    /// Gets the answer, on the thread of the link; nothing where the question was not sent.
    pub done: Answered,
}

/// What a link is of no use without, however it ends: by a defect, too.
pub(super) struct Needed {
    pub link: Link,
    pub up: Up,
}

impl Drop for Needed {
    fn drop(&mut self) {
        let message = "The link to Redis was given up because of a defect in Tokencache.";
        self.link.lose(&self.up, Failure::new(Class::Unreachable, message));
    }
}

impl Link {
    /// Sends `requests` and waits for all answers, refusals of the server among them.
    pub fn ask(&self, up: &Up, requests: &Pipeline, attempt: Attempt<'_>) -> Answers {
        let mut connection = up.connection.clone();
        let answers = connection.send_packed_commands(requests, 0, requests.len());
        let lost = || up.is_over().then(|| diagnosis::lost(&up.redis.address));
        let answers = wait::until(attempt, lost, answers)?;
        self.weigh(up, requests.len(), answers)
    }

    /// Sends what comes over `letters`, all that has come in one piece, until nobody can send any more. One task does
    /// it for all, because a task for each would write to the socket for each.
    pub async fn post(self, up: Up, mut letters: UnboundedReceiver<Letter>) {
        let _needed = Needed { link: self.clone(), up: up.clone() };
        let mut under_way = FuturesUnordered::new();
        let lengths = Arc::<Lengths>::default();
        let mut is_open = true;
        poll_fn(move |context| {
            while is_open {
                let mut come = Vec::new();
                match letters.poll_recv_many(context, &mut come, lengths.together()) {
                    Poll::Ready(0) => is_open = false,
                    Poll::Ready(_) => {
                        under_way.push(self.clone().exchange(up.clone(), come, Arc::clone(&lengths)));
                    }
                    Poll::Pending => break,
                }
            }
            while let Poll::Ready(Some(())) = under_way.poll_next_unpin(context) {}
            if is_open || !under_way.is_empty() { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
    }

    async fn exchange(self, up: Up, letters: Vec<Letter>, lengths: Arc<Lengths>) {
        let requests = reading(letters.iter().map(|letter| &letter.key[..]));
        let mut connection = up.connection.clone();
        let mut answers = pin!(connection.send_packed_commands(&requests, 0, requests.len()));
        let mut closed = pin!(self.closed());
        defect::point("post");
        let mut letters: Vec<_> = letters.into_iter().map(Some).collect();
        let answers = loop {
            let Some(due) = letters.iter().flatten().map(|letter| letter.deadline).min() else { return };
            let due = pin!(tokio::time::sleep_until(due.into()));
            match select(select(answers.as_mut(), closed.as_mut()), due).await {
                Either::Left((Either::Left((answers, _)), _)) => {
                    break self.weigh(&up, requests.len(), Some(answers));
                }
                Either::Left((Either::Right(_), _)) => break Err(wait::closed()),
                Either::Right(_) => self.give_up(&up, &mut letters),
            }
        };
        together(|| self.answer(&up, letters, answers, &lengths));
    }

    /// Gives each of `letters` that has not been answered its part of `answers`.
    fn answer(&self, up: &Up, letters: Vec<Option<Letter>>, answers: Answers, lengths: &Lengths) {
        let mut answers = answers.map(Vec::into_iter);
        let clock_lead_ms = up.clock_lead_ms();
        for letter in letters {
            let answer = match &mut answers {
                Ok(answers) => Ok([answers.next(), answers.next()].map(Option::unwrap_or_default)),
                Err(failure) => Err(failure.clone()),
            };
            if let Some(letter) = letter {
                let found = answer.and_then(|answer| self.entry(up, answer, clock_lead_ms));
                if let Ok(Some(stored)) = &found {
                    lengths.note(stored.bytes.len());
                }
                (letter.done)(Some(found));
            }
        }
    }

    /// Answers those of `letters` whose time is over.
    fn give_up(&self, up: &Up, letters: &mut [Option<Letter>]) {
        let failure = self.late(up);
        let now = Instant::now();
        for letter in letters {
            if let Some(letter) = letter.take_if(|letter| letter.deadline <= now) {
                (letter.done)(Some(Err(failure.clone())));
            }
        }
    }

    fn weigh(&self, up: &Up, asked: usize, answers: Option<RedisResult<Vec<Value>>>) -> Answers {
        match answers {
            Some(Ok(answers)) if answers.len() == asked => Ok(answers),
            Some(Ok(_)) => Err(layout::unexpected()),
            Some(Err(error)) => {
                let failure = diagnosis::of_error(&up.redis.address, &error);
                self.lose(up, failure.clone());
                Err(failure)
            }
            None => Err(self.late(up)),
        }
    }

    fn late(&self, up: &Up) -> Failure {
        up.pulse.doubt();
        Failure::new(Class::Timeout, format!("Redis at {} did not answer in time.", up.redis.address))
    }

    /// The live entry that the answers to [`reading`] hold.
    pub fn entry(&self, up: &Up, answers: [Value; 2], clock_lead_ms: i64) -> Result<Option<Stored>, Failure> {
        self.check(up, &answers)?;
        let [fields, pttl] = answers;
        layout::read(fields, &pttl, clock_lead_ms)
    }

    /// The first refusal among `answers`, as a failure.
    pub fn check(&self, up: &Up, answers: &[Value]) -> Result<(), Failure> {
        let Some(refusal) = diagnosis::refusal(answers) else { return Ok(()) };
        let failure = diagnosis::of_server(&up.redis.address, refusal);
        if refusal.code() == "NOAUTH" {
            // The server has forgotten who we are; the next link introduces itself again.
            self.lose(up, failure.clone());
        } else if server::is_demotion(refusal) {
            // The name of the primary may lead to another by now.
            self.depose(up, failure.clone());
        }
        Err(failure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_values_are_not_answered_together() {
        let lengths = Lengths::default();
        assert_eq!(lengths.together(), TOGETHER);
        lengths.note(7_000);
        assert_eq!(lengths.together(), TOGETHER);
        lengths.note(1 << 20);
        assert_eq!(lengths.together(), 1);
        (0..100).for_each(|_| lengths.note(7_000));
        assert_eq!(lengths.together(), TOGETHER);
    }
}
