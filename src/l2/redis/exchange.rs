//! Requests over the link, sent in one piece, and their answers, waited for or not.

#![forbid(unsafe_code)]

use std::time::Instant;

use redis::{Pipeline, RedisResult, Value};

use super::link::{Link, Up};
use super::{diagnosis, layout, wait};
use crate::l2::{Attempt, Class, Failure};

type Answers = Result<Vec<Value>, Failure>;

impl Link {
    /// Sends `requests` and waits for all answers, refusals of the server among them.
    pub fn ask(&self, up: &Up, requests: &Pipeline, attempt: Attempt<'_>) -> Answers {
        let mut connection = up.connection.clone();
        let answers = connection.send_packed_commands(requests, 0, requests.len());
        let answers = wait::until(attempt, answers)?;
        self.weigh(up, requests, answers)
    }

    /// As [`Link::ask`], without waiting: the thread of the link calls `done` with the answers, at `deadline` at the
    /// latest.
    pub fn begin(
        &self,
        up: Up,
        requests: Pipeline,
        deadline: Instant,
        done: impl FnOnce(&Up, Answers) + Send + 'static,
    ) {
        let link = self.clone();
        self.io().spawn(async move {
            let mut connection = up.connection.clone();
            let answers = connection.send_packed_commands(&requests, 0, requests.len());
            let answers = tokio::time::timeout_at(deadline.into(), answers).await.ok();
            done(&up, link.weigh(&up, &requests, answers));
        });
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
                up.doubt();
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
        }
        Err(failure)
    }
}
