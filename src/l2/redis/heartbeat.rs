//! Whether a link that says nothing is still there: a stopped server sends no goodbye.

#![forbid(unsafe_code)]

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::{Either, select};
use redis::cmd;
use tokio::sync::Notify;

use super::feed::Feed;
use super::link::{Link, Up};
use super::{diagnosis, feed};
use crate::clock;
use crate::config::Config;
use crate::l2::{Class, Failure};

/// How long a silent link may go on when nobody has waited in vain: a server that is busy comes back.
const PATIENCE: Duration = Duration::from_secs(1);
/// A wait is made of so many, so that a thread which got no turn for a while does not take that for silence.
const SLICES: u32 = 5;

/// When bytes came last, and whether somebody waited for some in vain.
#[derive(Clone, Default)]
pub(super) struct Pulse(Arc<Signs>);

#[derive(Default)]
struct Signs {
    heard_at_ms: AtomicI64,
    is_doubted: AtomicBool,
    doubt: Notify,
}

impl Pulse {
    /// Bytes have come.
    pub fn beat(&self) {
        self.0.heard_at_ms.store(clock::monotonic_ms(), Ordering::Relaxed);
    }

    /// An answer did not come in time.
    pub fn doubt(&self) {
        self.0.is_doubted.store(true, Ordering::Relaxed);
        self.0.doubt.notify_one();
    }

    fn is_doubted(&self) -> bool {
        self.0.is_doubted.load(Ordering::Relaxed)
    }

    fn silent_ms(&self, since_ms: i64) -> i64 {
        clock::monotonic_ms() - self.0.heard_at_ms.load(Ordering::Relaxed).max(since_ms)
    }
}

/// How often a link is asked, and how long its silence may last.
pub(super) struct Heartbeat {
    every_ms: AtomicU64,
    timeout_ms: AtomicU64,
}

impl Heartbeat {
    pub fn new(config: &Config) -> Heartbeat {
        let heartbeat = Heartbeat { every_ms: 0.into(), timeout_ms: 0.into() };
        heartbeat.configure(config);
        heartbeat
    }

    pub fn configure(&self, config: &Config) {
        self.every_ms.store(config.coherence.heartbeat_ms, Ordering::Relaxed);
        self.timeout_ms.store(config.coherence.heartbeat_timeout_ms, Ordering::Relaxed);
    }

    fn every(&self) -> Duration {
        Duration::from_millis(self.every_ms.load(Ordering::Relaxed))
    }

    fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms.load(Ordering::Relaxed))
    }
}

impl Link {
    /// Asks the link of `up` again and again, until it is lost.
    pub(super) async fn watch(self, up: Up) {
        let mut feed = up.feed.clone();
        while self.is_up(&up) {
            let doubt = pin!(up.pulse.0.doubt.notified());
            let _ = tokio::time::timeout(self.heartbeat().every(), select(doubt, pin!(self.closed()))).await;
            match self.beat(&up, feed).await {
                Ok(now) => {
                    up.pulse.0.is_doubted.store(false, Ordering::Relaxed);
                    self.hear(&up, &now);
                    feed = now;
                }
                Err(failure) => {
                    self.lose(&up, failure);
                    return;
                }
            }
        }
    }

    /// One question. Where the server does not tell changes it is asked for them again, which is a question too.
    async fn beat(&self, up: &Up, feed: Feed) -> Result<Feed, Failure> {
        let address = &up.redis.address;
        let is_refused = matches!(feed, Feed::Refused(_));
        let question = if is_refused { feed::tracking(self.prefix()) } else { cmd("PING") };
        let mut connection = up.connection.clone();
        let asked_ms = clock::monotonic_ms();
        let mut answer = pin!(connection.send_packed_command(&question));
        let mut timeout = self.heartbeat().timeout();
        let mut is_silent = false;
        loop {
            match select(answer, pin!(tokio::time::sleep(timeout / SLICES))).await {
                // It refuses to answer, and is there.
                Either::Left((Err(error), _)) if error.clone().into_server_errors().is_some() => {
                    return Ok(feed);
                }
                Either::Left((Err(error), _)) => return Err(diagnosis::of_error(address, &error)),
                Either::Left((Ok(answer), _)) => {
                    let refused = feed::refused(address, &answer);
                    return Ok(if is_refused { refused.map_or(Feed::Told, Feed::Refused) } else { feed });
                }
                Either::Right((_, waiting)) => answer = waiting,
            }
            let silent_ms = up.pulse.silent_ms(asked_ms);
            if silent_ms < i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX) {
                continue;
            }
            let message = format!("Redis at {address} has been silent for {silent_ms} ms.");
            let failure = Failure::new(Class::Timeout, message);
            if is_silent || up.pulse.is_doubted() {
                return Err(failure);
            }
            is_silent = true;
            timeout += PATIENCE;
            self.is_silent(up, &failure);
        }
    }
}
