//! Whether a link that says nothing is still there: a stopped server sends no goodbye.

#![forbid(unsafe_code)]

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::{Either, select};
use redis::cmd;
use tokio::sync::Notify;

use super::exchange::Needed;
use super::feed::Feed;
use super::link::Link;
use super::up::Up;
use super::{diagnosis, feed, server};
use crate::clock;
use crate::config::Config;
use crate::defect;
use crate::l2::{Class, Failure};

/// How much longer a link may leave a heartbeat unanswered, silent or with callers that wait in vain: a server that is
/// busy comes back.
const PATIENCE: Duration = Duration::from_secs(1);
/// A wait is made of so many, and each counts as long as it was to be: a thread that got no turn for a while must not
/// take that for silence.
const SLICES: u32 = 5;

/// When bytes came last, and whether somebody waited for some in vain.
#[derive(Clone, Default)]
pub(super) struct Pulse(Arc<Signs>);

#[derive(Default)]
struct Signs {
    heard_at_ms: AtomicI64,
    is_doubted: AtomicBool,
    news: Notify,
}

impl Pulse {
    /// Bytes have come.
    pub fn beat(&self) {
        self.0.heard_at_ms.store(clock::monotonic_ms(), Ordering::Relaxed);
    }

    /// Whether any ever have.
    pub fn has_beaten(&self) -> bool {
        self.0.heard_at_ms.load(Ordering::Relaxed) != 0
    }

    /// An answer did not come in time.
    pub fn doubt(&self) {
        self.0.is_doubted.store(true, Ordering::Relaxed);
        self.ask();
    }

    /// Whoever watches is to ask now, and not only when it is due.
    pub fn ask(&self) {
        self.0.news.notify_one();
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
        let _needed = Needed { link: self.clone(), up: up.clone() };
        let mut feed = up.feed.clone();
        while self.is_up(&up) {
            defect::point("heartbeat");
            let news = pin!(up.pulse.0.news.notified());
            let _ = tokio::time::timeout(self.heartbeat().every(), select(news, pin!(self.closed()))).await;
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

    /// One question: whether it is still a primary, where it understands that. Where the server does not tell changes it
    /// is asked for them again, which is a question too.
    async fn beat(&self, up: &Up, feed: Feed) -> Result<Feed, Failure> {
        let address = &up.redis.address;
        let is_refused = matches!(feed, Feed::Refused(_));
        let question = match feed {
            Feed::Told => server::role(),
            Feed::Refused(_) => feed::tracking(self.prefix()),
            Feed::Unknown(_) => cmd("PING"),
        };
        let mut connection = up.connection.clone();
        let asked_ms = clock::monotonic_ms();
        let mut answer = pin!(connection.send_packed_command(&question));
        let timeout = self.heartbeat().timeout();
        let slice = timeout / SLICES;
        let (mut waited, mut is_late) = (Duration::ZERO, false);
        loop {
            match select(answer, pin!(tokio::time::sleep(slice))).await {
                // It refuses to answer, and is there.
                Either::Left((Err(error), _)) if error.clone().into_server_errors().is_some() => {
                    return Ok(feed);
                }
                Either::Left((Err(error), _)) => return Err(diagnosis::of_error(address, &error)),
                Either::Left((Ok(answer), _)) => {
                    if let Some(demoted) = server::demoted(address, &answer) {
                        self.depose(up, demoted.clone());
                        return Err(demoted);
                    }
                    let refused = feed::refused(address, &answer);
                    return Ok(if is_refused { refused.map_or(Feed::Told, Feed::Refused) } else { feed });
                }
                Either::Right((_, waiting)) => answer = waiting,
            }
            waited += slice;
            if waited < timeout {
                continue;
            }
            let message =
                format!("Redis at {address} left a heartbeat unanswered for {} ms.", waited.as_millis());
            let failure = Failure::new(Class::Timeout, message);
            // Other bytes show that it is there, and not that what it says is new.
            let is_silent = |time: Duration| up.pulse.silent_ms(asked_ms) >= time.as_millis() as i64;
            let (is_doubted, patience) = (up.pulse.is_doubted(), timeout + PATIENCE);
            let is_lost = is_silent(if is_doubted && !is_late { timeout } else { patience });
            if is_lost || is_doubted && waited >= patience {
                return Err(failure);
            }
            if !is_late {
                is_late = true;
                self.is_silent(up, &failure);
            }
        }
    }
}
