//! Runs an operation of L2: inside one deadline, with as many attempts as are allowed, each asked of the
//! application.

#![forbid(unsafe_code)]

pub mod backoff;
pub mod circuit;
mod news;

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use self::circuit::{Circuit, Pass};
use crate::config::Resilience;
use crate::defect;
use crate::error::Kind;
use crate::l2::{Attempt, Class, Failure};
use crate::log::{Level, Logger};
use crate::runtime::{Refused, Runtime, Signal, lock};
use crate::stats::{Operation, Stats, count};

/// What the application wants done about a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Follow the configuration.
    Default,
    /// Try again after the pause in milliseconds.
    Retry(u64),
    /// Fail the call now.
    GiveUp,
}

/// A failed attempt, as the application hears of it.
#[derive(Clone, Debug)]
pub struct FailedAttempt {
    /// What was asked of L2.
    pub operation: Operation,
    /// Why it failed.
    pub kind: Kind,
    /// The cache key; empty when the operation has none.
    pub key: Vec<u8>,
    /// 1 for the first.
    pub attempt: u32,
    /// How many there may be.
    pub max_attempts: u32,
    /// Since the call began.
    pub elapsed_ms: u64,
    /// Until the deadline.
    pub remaining_ms: u64,
    /// A sentence.
    pub message: Arc<str>,
    /// The configured pause before the next try.
    pub delay_ms: u64,
}

/// The application's say. Implemented in `ffi` over its callback.
pub trait Hook: Send + Sync {
    /// Decides. Runs on a callback thread with no lock held, several at once, and may block.
    fn decide(&self, failed: &FailedAttempt) -> Decision;
}

/// Questions that may wait for a callback thread; beyond it the callbacks hang, and the configuration decides.
const MAX_WAITING: usize = 1000;

thread_local! {
    static IS_DECIDING: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread does what a retry callback asked for: then nobody is asked again.
#[must_use]
pub fn is_deciding() -> bool {
    IS_DECIDING.get()
}

/// Runs `work` as if `is_deciding` had been said of this thread.
pub fn as_deciding<R>(is_deciding: bool, work: impl FnOnce() -> R) -> R {
    IS_DECIDING.set(is_deciding);
    let done = catch_unwind(AssertUnwindSafe(work));
    IS_DECIDING.set(false);
    done.unwrap_or_else(|panic| resume_unwind(panic))
}

/// A call that may need L2: what it is, and whom it concerns.
pub struct Call<'a> {
    /// What is asked.
    pub operation: Operation,
    /// The cache key.
    pub key: &'a [u8],
    /// When it began.
    pub started: Instant,
    /// The rules.
    pub policy: &'a Resilience,
    /// Whether L2 is to be asked at all.
    pub circuit: &'a Circuit,
    /// The application's say.
    pub hook: Option<Arc<dyn Hook>>,
    /// Wakes it up.
    pub signal: &'a Arc<Signal>,
    /// Where callbacks run.
    pub runtime: &'a Runtime,
    /// Where it is told.
    pub log: &'a Logger,
    /// Where it is counted.
    pub stats: &'a Stats,
}

impl Call<'_> {
    /// When the call must have ended.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.started + Duration::from_millis(self.policy.deadline_ms)
    }

    /// Runs `operation` until it succeeds or nothing more may be tried.
    pub fn run<T>(&self, operation: impl FnMut(Attempt<'_>) -> Result<T, Failure>) -> Result<T, Failure> {
        self.resume(None, operation)
    }

    /// As [`Call::run`], or with `is_later` not at all: what is to be done is owed.
    pub fn run_unless<T>(
        &self,
        is_later: bool,
        operation: impl FnMut(Attempt<'_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        if is_later {
            return Err(Failure::new(
                Class::Suspended,
                "Writes are made behind the caller's back (l2.write).",
            ));
        }
        self.run(operation)
    }

    /// When an attempt that begins now as the first must have ended.
    #[must_use]
    pub fn first_deadline(&self) -> Instant {
        let now = Instant::now();
        now + self.deadline().saturating_duration_since(now) / self.policy.max_attempts.max(1)
    }

    /// As [`Call::run`], where the first attempt may have been made already.
    pub fn resume<T>(
        &self,
        mut first: Option<(Pass, Result<T, Failure>)>,
        mut operation: impl FnMut(Attempt<'_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let is_closing = || self.signal.is_closing();
        let mut attempt = 1;
        let mut last = None;
        let outcome = loop {
            if is_closing() {
                break Err(closed());
            }
            let share = self.remaining() / (self.policy.max_attempts.max(attempt) - attempt + 1);
            let has_begun = first.is_some();
            let (pass, answer) = match first.take() {
                Some(made) => made,
                None => match (self.circuit.enter(), last.take()) {
                    (Ok(pass), _) => {
                        defect::point("attempt");
                        let deadline = Instant::now() + share;
                        (pass, operation(Attempt { deadline, is_closing: &is_closing }))
                    }
                    (Err(suspended), None) => return Err(self.suspended(suspended)),
                    // What was met says more than that it is not to be met again.
                    (Err(_), Some(failure)) => break Err(failure),
                },
            };
            match answer {
                Ok(done) => {
                    self.circuit.succeeded(pass, self.log);
                    break Ok(done);
                }
                Err(failure) => {
                    self.note(&failure, attempt);
                    if has_begun || self.is_fair(share) {
                        self.circuit.failed(pass, self.operation, &failure, self.policy, self.log);
                    }
                    if !self.tries_again(&failure, attempt) {
                        break Err(if is_closing() { closed() } else { failure });
                    }
                    last = Some(failure);
                }
            }
            attempt += 1;
            count(&self.stats.retries);
        };
        self.stats.l2(self.operation).record(self.started.elapsed());
        if let Err(failure) = &outcome {
            self.stats.failed(failure.class.rule().kind, true);
        }
        outcome
    }

    fn suspended(&self, refusal: Failure) -> Failure {
        self.circuit.note_suspended();
        self.stats.failed(refusal.class.rule().kind, true);
        refusal
    }

    /// Whether L2 had the time to answer: what a queue or a callback has used up is not its fault.
    fn is_fair(&self, share: Duration) -> bool {
        share * self.policy.max_attempts.max(1) * 2 >= Duration::from_millis(self.policy.deadline_ms)
    }

    fn remaining(&self) -> Duration {
        self.deadline().saturating_duration_since(Instant::now())
    }

    /// Decides, pauses, and answers whether there is to be another attempt.
    fn tries_again(&self, failure: &Failure, attempt: u32) -> bool {
        if failure.class == Class::Closed {
            return false;
        }
        let delay_ms = backoff::pause_ms(attempt, self.policy.backoff_ms, self.policy.max_backoff_ms);
        let pause_ms = match self.ask(failure, attempt, delay_ms) {
            Decision::GiveUp => return false,
            Decision::Retry(pause_ms) => pause_ms,
            Decision::Default if failure.class.rule().retried => delay_ms,
            Decision::Default => return false,
        };
        let pause = Duration::from_millis(pause_ms);
        let is_over = attempt >= self.policy.max_attempts || pause >= self.remaining();
        if is_over || self.signal.is_closing() || self.circuit.is_open() {
            return false;
        }
        !self.signal.wait_until(Instant::now() + pause, || self.signal.is_closing())
    }

    fn ask(&self, failure: &Failure, attempt: u32, delay_ms: u64) -> Decision {
        let Some(hook) = self.hook.clone().filter(|_| !is_deciding()) else { return Decision::Default };
        if failure.class == Class::Suspended || self.runtime.deciders.waiting() >= MAX_WAITING {
            return Decision::Default;
        }
        let failed = FailedAttempt {
            operation: self.operation,
            kind: failure.class.rule().kind,
            key: self.key.to_vec(),
            attempt,
            max_attempts: self.policy.max_attempts,
            elapsed_ms: millis(self.started.elapsed()),
            remaining_ms: millis(self.remaining()),
            message: Arc::clone(&failure.message),
            delay_ms,
        };
        count(&self.stats.callbacks);
        let answer = Arc::new(Mutex::new(None));
        let (reply, signal) = (Arc::clone(&answer), Arc::clone(self.signal));
        let in_callback = self.signal.expect_callback();
        let asked = self.runtime.deciders.run(Box::new(move || {
            defect::point("decide");
            let decision = catch_unwind(AssertUnwindSafe(|| as_deciding(true, || hook.decide(&failed))));
            *lock(&reply) = Some(decision.unwrap_or(Decision::Default));
            signal.notify();
            drop(hook);
            drop(in_callback);
        }));
        if let Err(Refused { error, .. }) = asked {
            self.log
                .write(Level::Error, "resilience", || format!("The retry callback was not asked: {error}"));
            return Decision::Default;
        }
        let has_answer = || lock(&answer).is_some() || self.signal.is_closing();
        self.signal.wait_until(self.deadline(), has_answer);
        // Nobody answered in time: the deadline ends the call.
        lock(&answer).take().unwrap_or(Decision::GiveUp)
    }

    fn note(&self, failure: &Failure, attempt: u32) {
        let kind = failure.class.rule().kind;
        self.stats.failed(kind, false);
        let is_asked_on = matches!(failure.class, Class::Full | Class::Denied);
        let is_news = !is_asked_on || self.circuit.news.is_new(&failure.message, Instant::now());
        self.log.write(if is_news { Level::Warn } else { Level::Debug }, "l2", || {
            format!(
                "operation={} tier=l2 key={} attempt={attempt} in_retry={} status={} elapsed_ms={}: {failure}",
                self.operation.name(),
                self.log.key(self.key),
                attempt > 1,
                kind.name(),
                millis(self.started.elapsed()),
            )
        });
    }
}

fn closed() -> Failure {
    Failure::new(Class::Closed, "The cache was closed while this call was under way.")
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
