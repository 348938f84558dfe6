//! Requests over the link, sent in one piece, and their answers, waited for or not.

#![forbid(unsafe_code)]

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Instant;

use futures_util::StreamExt;
use futures_util::future::{Either, select};
use futures_util::stream::FuturesUnordered;
use redis::{Pipeline, RedisResult, Value};
use tokio::sync::mpsc::UnboundedReceiver;

use super::link::Link;
use super::up::Up;
use super::{diagnosis, layout, server, wait};
use crate::defect;
use crate::l2::{Attempt, Class, Failure};

/// What the server said, refusals among it, or why it said nothing.
pub(super) type Answers = Result<Vec<Value>, Failure>;

type Heard = Box<dyn FnOnce(Option<(&Up, Answers)>) + Send>;

/// Requests whose answers nobody waits for.
pub(super) struct Letter {
    pub requests: Pipeline,
    /// When `done` is called at the latest.
    pub deadline: Instant,
    /// Gets the answers, on the thread of the link; nothing where the requests were not sent.
    pub done: Heard,
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
        self.weigh(up, requests, answers)
    }

    /// Sends what comes over `letters`, all that has come in one piece, until nobody can send any more. One task does
    /// it for all, because a task for each would write to the socket for each.
    pub async fn post(self, up: Up, mut letters: UnboundedReceiver<Letter>) {
        let _needed = Needed { link: self.clone(), up: up.clone() };
        let mut under_way = FuturesUnordered::new();
        let mut is_open = true;
        poll_fn(move |context| {
            while is_open {
                match letters.poll_recv(context) {
                    Poll::Ready(Some(letter)) => under_way.push(self.exchange(&up, letter)),
                    Poll::Ready(None) => is_open = false,
                    Poll::Pending => break,
                }
            }
            while let Poll::Ready(Some(())) = under_way.poll_next_unpin(context) {}
            if is_open || !under_way.is_empty() { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
    }

    fn exchange(&self, up: &Up, letter: Letter) -> impl Future<Output = ()> + use<> {
        let (link, up) = (self.clone(), up.clone());
        async move {
            let mut connection = up.connection.clone();
            let answers = connection.send_packed_commands(&letter.requests, 0, letter.requests.len());
            defect::point("post");
            let answers = tokio::time::timeout_at(letter.deadline.into(), answers);
            let answers = match select(pin!(answers), pin!(link.closed())).await {
                Either::Left((answers, _)) => link.weigh(&up, &letter.requests, answers.ok()),
                Either::Right(_) => Err(wait::closed()),
            };
            (letter.done)(Some((&up, answers)));
        }
    }

    fn weigh(&self, up: &Up, requests: &Pipeline, answers: Option<RedisResult<Vec<Value>>>) -> Answers {
        match answers {
            Some(Ok(answers)) if answers.len() == requests.len() => Ok(answers),
            Some(Ok(_)) => Err(layout::unexpected()),
            Some(Err(error)) => {
                let failure = diagnosis::of_error(&up.redis.address, &error);
                self.lose(up, failure.clone());
                Err(failure)
            }
            None => {
                up.pulse.doubt();
                let message = format!("Redis at {} did not answer in time.", up.redis.address);
                Err(Failure::new(Class::Timeout, message))
            }
        }
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
