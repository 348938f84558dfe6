//! A link that stands, for the calls that use it.

#![forbid(unsafe_code)]

use std::sync::Arc;

use redis::aio::MultiplexedConnection;
use tokio::task::AbortHandle;

use super::connect::Connected;
use super::feed::Feed;
use super::heartbeat::Pulse;
use super::server::Server;
use crate::clock;
use crate::config::Redis;

#[derive(Clone)]
pub(super) struct Up {
    pub connection: MultiplexedConnection,
    pub redis: Arc<Redis>,
    /// How far the server's clock is ahead of our monotonic one.
    lead_ms: i64,
    pub pulse: Pulse,
    /// Whether the server told its changes when the link was made.
    pub feed: Feed,
    /// Which attempt made it.
    pub attempt: u64,
    driver: Arc<Driver>,
}

/// Closes the socket when the last call that uses it has gone.
struct Driver(AbortHandle);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Up {
    /// What `attempt` at `redis` has made, and where it leads.
    pub fn new(connected: Connected, redis: Arc<Redis>, attempt: u64) -> (Up, Server) {
        let up = Up {
            connection: connected.connection,
            redis,
            lead_ms: connected.clock_lead_ms,
            pulse: connected.pulse,
            feed: connected.feed,
            attempt,
            driver: Arc::new(Driver(connected.driver)),
        };
        (up, connected.server)
    }

    /// How far the server's clock is ahead of ours.
    pub fn clock_lead_ms(&self) -> i64 {
        self.lead_ms + clock::monotonic_ms() - clock::unix_ms()
    }

    /// Whether nobody reads and writes it any more.
    pub fn is_over(&self) -> bool {
        self.driver.0.is_finished()
    }

    /// Closes the socket now, whoever uses it: nothing that was sent over it is to be done any more.
    pub fn cut(&self) {
        self.driver.0.abort();
    }
}
