//! Where the one link to Redis stands.

#![forbid(unsafe_code)]

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc::UnboundedSender;

use super::credentials::Readers;
use super::exchange::Letter;
use super::server::Server;
use super::up::Up;
use crate::config::Redis;
use crate::l2::Failure;

pub(super) struct State {
    pub redis: Arc<Redis>,
    /// Where the files and the name in it are looked up.
    pub readers: Readers,
    pub phase: Phase,
    /// Which attempt the phase belongs to: what an older one reports is no news.
    pub attempt: u64,
    /// When the next attempt may begin.
    pub not_before: Instant,
    /// Why there is no link, as far as it is known while the next attempt is under way.
    pub last: Option<Failure>,
    /// To which the newest link led.
    pub server: Option<Server>,
    /// The same of one that was lost or left, and not closed, since when there is none.
    pub lost: Option<Server>,
}

pub(super) enum Phase {
    /// Nobody has needed it yet.
    Idle,
    Connecting,
    Up(Up, UnboundedSender<Letter>),
    Down(Failure),
    Closed,
}

impl State {
    /// Of a link to `redis` that nobody has needed yet.
    pub fn new(redis: Redis) -> State {
        let redis = Arc::new(redis);
        State {
            redis,
            readers: Readers::default(),
            phase: Phase::Idle,
            attempt: 0,
            not_before: Instant::now(),
            last: None,
            server: None,
            lost: None,
        }
    }

    /// The link that `attempt` made, if it stands.
    pub fn made_by(&self, attempt: u64) -> Option<&Up> {
        match &self.phase {
            Phase::Up(up, _) if self.attempt == attempt => Some(up),
            _ => None,
        }
    }
}
