//! The one link to Redis: made when it is needed, replaced when it is lost, tried at most once a second. Nothing above
//! this room knows how many links there are.

#![forbid(unsafe_code)]

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::select;
use redis::aio::SendError;
use redis::{PushInfo, PushKind};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::sync::mpsc::unbounded_channel;

use super::connect::{Connected, Wanted, connect};
use super::credentials::Readers;
use super::echoes::Echoes;
use super::exchange::Letter;
use super::feed::Feed;
use super::heartbeat::Heartbeat;
use super::state::{Phase, State};
use super::up::Up;
use super::{diagnosis, emptied, feed, wait};
use crate::config::{Config, Redis};
use crate::l2::{Attempt, Class, Failure, Hearing, LinkId, Witness};
use crate::runtime::lock;

/// Between the beginnings of two attempts, with up to a quarter more.
const PACE: Duration = Duration::from_secs(1);
/// How long one attempt may take.
const CONNECTING: Duration = Duration::from_millis(1500);

/// The link of one store; clones share it.
#[derive(Clone)]
pub(super) struct Link {
    shared: Arc<Shared>,
    io: Handle,
}

struct Shared {
    state: Mutex<State>,
    news: Condvar,
    closing: Notify,
    witness: Arc<dyn Witness>,
    prefix: String,
    heartbeat: Heartbeat,
    echoes: Echoes,
    links: AtomicU64,
    attempts: AtomicU64,
    losses: AtomicU64,
}

impl Link {
    /// A link to `redis` that nobody has needed yet, driven by `io`. `witness` hears of changes.
    pub fn new(redis: Redis, config: &Config, witness: Arc<dyn Witness>, io: Handle) -> Link {
        let shared = Shared {
            state: Mutex::new(State::new(redis)),
            news: Condvar::new(),
            closing: Notify::new(),
            witness,
            prefix: config.l2.key_prefix.clone(),
            heartbeat: Heartbeat::new(config),
            echoes: Echoes::default(),
            links: 0.into(),
            attempts: 0.into(),
            losses: 0.into(),
        };
        Link { shared: Arc::new(shared), io }
    }

    /// The link, as soon as it stands. Its failure is the answer when this caller saw it fail, and when the next
    /// attempt would begin too late.
    pub fn up(&self, attempt: Attempt<'_>) -> Result<Up, Failure> {
        let mut state = lock(&self.shared.state);
        let mut has_tried = false;
        loop {
            let now = Instant::now();
            let news_at = match &state.phase {
                Phase::Up(up, _) => return Ok(up.clone()),
                Phase::Closed => return Err(wait::closed()),
                Phase::Down(failure) if has_tried || state.not_before >= attempt.deadline.max(now) => {
                    return Err(failure.clone());
                }
                Phase::Down(_) if state.not_before > now => Some(state.not_before - now),
                Phase::Idle | Phase::Down(_) => {
                    self.connect(&mut state);
                    has_tried = true;
                    None
                }
                Phase::Connecting => {
                    has_tried = true;
                    None
                }
            };
            let Some(patience) = wait::patience(attempt)? else {
                return Err(state.last.clone().unwrap_or_else(|| diagnosis::late(&state.redis.address)));
            };
            let patience = news_at.map_or(patience, |news_at| news_at.min(patience));
            state = self.shared.news.wait_timeout(state, patience).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The link if it stands now.
    pub fn up_now(&self) -> Option<Up> {
        match &lock(&self.shared.state).phase {
            Phase::Up(up, _) => Some(up.clone()),
            _ => None,
        }
    }

    /// Which is the newest, whether it stands or not.
    pub fn newest(&self) -> Option<LinkId> {
        lock(&self.shared.state).server.as_ref()?.link()
    }

    /// Gives `letter` to the link if it stands now; else gives it back.
    pub fn send(&self, letter: Letter) -> Option<Letter> {
        match &lock(&self.shared.state).phase {
            Phase::Up(_, post) => post.send(letter).err().map(|returned| returned.0),
            _ => Some(letter),
        }
    }

    /// Begins an attempt if there is no link and one is due. Nobody waits for it.
    pub fn restore(&self) {
        let mut state = lock(&self.shared.state);
        if matches!(state.phase, Phase::Idle | Phase::Down(_)) && state.not_before <= Instant::now() {
            self.connect(&mut state);
        }
    }

    fn connect(&self, state: &mut State) {
        let jitter = PACE.mul_f64(fastrand::f64() / 4.0);
        state.attempt += 1;
        state.not_before = Instant::now() + PACE + jitter;
        state.phase = Phase::Connecting;
        self.shared.attempts.fetch_add(1, Ordering::Relaxed);
        let (link, redis, attempt) = (self.clone(), Arc::clone(&state.redis), state.attempt);
        let (lost, readers) = (state.lost.clone(), Arc::clone(&state.readers));
        let is_lost = Arc::new(AtomicBool::new(false));
        let pushes = {
            let link = self.clone();
            let (redis, is_lost) = (Arc::clone(&redis), Arc::clone(&is_lost));
            move |push: PushInfo| {
                if push.kind == PushKind::Disconnection {
                    is_lost.store(true, Ordering::SeqCst);
                    link.lose_attempt(attempt, diagnosis::lost(&redis.address), false);
                } else {
                    link.tell(attempt, &push);
                }
                Ok::<(), SendError>(())
            }
        };
        // A task of its own, so that even a defect in it ends the attempt.
        let connecting = self.io.spawn({
            let (shared, redis) = (Arc::clone(&self.shared), Arc::clone(&redis));
            async move {
                let wanted =
                    Wanted { redis: &redis, readers: &readers, prefix: &shared.prefix, lost: lost.as_ref() };
                tokio::time::timeout(CONNECTING, connect(wanted, pushes)).await
            }
        });
        self.io.spawn(async move {
            let connected = match connecting.await {
                Ok(Ok(connected)) => connected,
                Ok(Err(_)) => {
                    let message = format!("Redis at {} did not answer the greeting in time.", redis.address);
                    Err(Failure::new(Class::Timeout, message))
                }
                Err(_) => Err(Failure::new(
                    Class::Protocol,
                    "Connecting to Redis failed by a defect in Tokencache.",
                )),
            };
            link.end(attempt, connected, redis, &is_lost);
        });
    }

    fn end(
        &self,
        attempt: u64,
        connected: Result<Connected, Failure>,
        redis: Arc<Redis>,
        is_lost: &AtomicBool,
    ) {
        let lost = diagnosis::lost(&redis.address);
        let connected = connected.map(|connected| Up::new(connected, redis, attempt));
        let mut state = lock(&self.shared.state);
        // Nobody could lose it while it was being made.
        let connected =
            connected.and_then(|made| if is_lost.load(Ordering::SeqCst) { Err(lost) } else { Ok(made) });
        // It may have been closed or configured anew since.
        if state.attempt != attempt || !matches!(state.phase, Phase::Connecting) {
            return;
        }
        state.phase = match connected {
            Ok((up, server)) => {
                self.shared.links.fetch_add(1, Ordering::Relaxed);
                // Before anybody can read there.
                self.shared.witness.has_met(&server.follows(state.server.as_ref()));
                (state.server, state.lost) = (Some(server), None);
                let (post, letters) = unbounded_channel();
                self.io.spawn(self.clone().post(up.clone(), letters));
                self.io.spawn(self.clone().watch(up.clone()));
                state.last = None;
                self.shared.tell(&up.feed);
                Phase::Up(up, post)
            }
            Err(failure) => {
                state.last = Some(failure.clone());
                self.shared.witness.is_deaf(Hearing::Lost, &failure);
                self.restore_later(&state);
                Phase::Down(failure)
            }
        };
        drop(state);
        self.shared.news.notify_all();
    }

    /// The link of `attempt` says `push` unasked. Once it is lost, nobody listens: what a server says that has become a
    /// replica is not about the primary.
    fn tell(&self, attempt: u64, push: &PushInfo) {
        let state = lock(&self.shared.state);
        if state.attempt != attempt || !matches!(state.phase, Phase::Up(..) | Phase::Connecting) {
            return;
        }
        let is_all = feed::tell(self.shared.witness.as_ref(), &self.shared.echoes, push);
        if let Some(up) = state.made_by(attempt).filter(|_| is_all) {
            // So does everything change where a primary becomes a replica, and begins anew.
            up.pulse.ask();
            let (mut connection, word) = (up.connection.clone(), emptied::tell(&self.shared.prefix));
            self.io.spawn(async move { connection.send_packed_command(&word).await });
        }
    }

    /// The link of `up` is of no use any more, for the reason of `failure`.
    pub fn lose(&self, up: &Up, failure: Failure) {
        self.lose_attempt(up.attempt, failure, false);
    }

    /// The server at the other end of `up` is a primary no more.
    pub fn depose(&self, up: &Up, failure: Failure) {
        self.lose_attempt(up.attempt, failure, true);
    }

    fn lose_attempt(&self, attempt: u64, failure: Failure, is_demoted: bool) {
        let mut state = lock(&self.shared.state);
        if state.made_by(attempt).is_none() {
            return;
        }
        self.shared.part(&failure, is_demoted);
        self.shared.losses.fetch_add(1, Ordering::Relaxed);
        state.last = Some(failure.clone());
        self.restore_later(&state);
        state.lost = state.server.clone();
        let before = std::mem::replace(&mut state.phase, Phase::Down(failure));
        drop(state);
        if let Phase::Up(up, _) = &before {
            up.cut();
        }
        drop(before);
        self.shared.news.notify_all();
    }

    /// Whoever uses L1 alone waits for no link, and yet needs one to trust it.
    fn restore_later(&self, state: &State) {
        let (link, at, attempt) = (self.clone(), state.not_before, state.attempt);
        self.io.spawn(async move {
            let due = tokio::time::sleep_until(at.into());
            let _ = select(pin!(due), pin!(link.closed())).await;
            let is_same = lock(&link.shared.state).attempt == attempt;
            if is_same {
                link.restore();
            }
        });
    }

    /// Whether the link of `up` stands.
    pub fn is_up(&self, up: &Up) -> bool {
        lock(&self.shared.state).made_by(up.attempt).is_some()
    }

    /// The link of `up` has answered.
    pub fn hear(&self, up: &Up, feed: &Feed) {
        let state = lock(&self.shared.state);
        if state.made_by(up.attempt).is_some() {
            self.shared.tell(feed);
        }
    }

    /// The link of `up` says nothing.
    pub fn is_silent(&self, up: &Up, failure: &Failure) {
        let state = lock(&self.shared.state);
        if state.attempt == up.attempt {
            self.shared.witness.is_deaf(Hearing::Lost, failure);
        }
    }

    /// What every key begins with.
    pub fn prefix(&self) -> &str {
        &self.shared.prefix
    }

    /// What our own scripts make it tell us.
    pub fn echoes(&self) -> &Echoes {
        &self.shared.echoes
    }

    /// How often it is asked.
    pub fn heartbeat(&self) -> &Heartbeat {
        &self.shared.heartbeat
    }

    /// Takes over another address or other credentials: the next call uses them, at once.
    pub fn configure(&self, redis: Redis, config: &Config) {
        self.shared.heartbeat.configure(config);
        let mut state = lock(&self.shared.state);
        if let Phase::Up(up, _) = &state.phase {
            // Whoever sleeps until the next heartbeat sleeps as long as the document before said.
            up.pulse.ask();
        }
        let is_same = *state.redis == redis;
        if is_same || matches!(state.phase, Phase::Closed) {
            return;
        }
        // What hangs over the document before does not hold this one up.
        (state.redis, state.readers) = (Arc::new(redis), Readers::default());
        state.attempt += 1;
        state.not_before = Instant::now();
        state.last = None;
        let moved = Failure::new(Class::Unreachable, "L2 has another address or other credentials now.");
        self.shared.part(&moved, false);
        let before = std::mem::replace(&mut state.phase, Phase::Idle);
        if matches!(before, Phase::Up(..)) {
            // The new address may be another way to the same server.
            state.lost = state.server.clone();
        }
        drop(state);
        drop(before);
        self.shared.news.notify_all();
    }

    /// Closes it for good.
    pub fn close(&self) {
        let mut state = lock(&self.shared.state);
        state.attempt += 1;
        let before = std::mem::replace(&mut state.phase, Phase::Closed);
        drop(state);
        drop(before);
        self.shared.news.notify_all();
        self.shared.closing.notify_waiters();
    }

    /// Ends when it is closed for good.
    pub async fn closed(&self) {
        let mut news = pin!(self.shared.closing.notified());
        // Listens before it looks, so that a close in between is heard.
        news.as_mut().enable();
        if !matches!(lock(&self.shared.state).phase, Phase::Closed) {
            news.await;
        }
    }

    /// Whether it stands, how often it was tried, made and lost.
    pub fn figures(&self) -> [(&'static str, u64); 4] {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        [
            ("link_is_up", u64::from(self.up_now().is_some())),
            ("link_attempts", load(&self.shared.attempts)),
            ("links_made", load(&self.shared.links)),
            ("links_lost", load(&self.shared.losses)),
        ]
    }
}

impl Shared {
    fn part(&self, why: &Failure, is_demoted: bool) {
        self.witness.is_deaf(Hearing::Lost, why);
        self.witness.has_parted(is_demoted);
        self.echoes.forget();
    }

    fn tell(&self, feed: &Feed) {
        match feed.failure() {
            None => self.witness.hears(),
            Some(failure) => self.witness.is_deaf(Hearing::Refused, failure),
        }
    }
}
