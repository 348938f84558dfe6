//! What a fork must find whole: the idle connections, the queues and the running calls of every pool of this
//! process, under one lock, because [`super::fork`] holds it while the process is copied.
//!
//! Whatever touches SQLite, or takes another lock of this folder, happens between [`Registry::enter`] and
//! [`Registry::leave`].

#![forbid(unsafe_code)]

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::connection::{Identity, Link, Opened};
use crate::l2::sleeper::Sleeper;

/// Idle connections that a pool keeps; what is beyond them is closed.
const IDLE: usize = 16;

static REGISTRY: Mutex<Registry> =
    Mutex::new(Registry { forks: 0, running: 0, is_cut_off: false, last_id: 0, desks: BTreeMap::new() });

/// Told when a running call ends, a fork is over, or a pool closes.
pub(super) static CHANGED: Condvar = Condvar::new();

/// The registry, locked.
pub(super) fn lock() -> MutexGuard<'static, Registry> {
    REGISTRY.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) struct Registry {
    /// Forks under way: no call begins.
    pub forks: usize,
    /// Calls inside SQLite.
    pub running: usize,
    /// This process was forked from one whose calls did not end in time: SQLite's own locks are in an unknown state.
    pub is_cut_off: bool,
    last_id: u64,
    desks: BTreeMap<u64, Desk>,
}

/// What the registry holds of one pool.
#[derive(Default)]
struct Desk {
    idle: Vec<Link>,
    turns: VecDeque<(u64, Arc<Sleeper>)>,
    last_ticket: u64,
    is_closed: bool,
}

/// Whether a call may begin.
pub(super) enum Entry {
    Admitted,
    /// Not before a fork is over.
    Later,
    Closed,
    CutOff,
}

impl Registry {
    pub fn add(&mut self) -> u64 {
        self.last_id += 1;
        self.desks.insert(self.last_id, Desk::default());
        self.last_id
    }

    pub fn remove(&mut self, id: u64) {
        self.desks.remove(&id);
    }

    /// Counts a call as running, unless something is in its way.
    pub fn enter(&mut self, id: u64) -> Entry {
        if self.is_cut_off {
            return Entry::CutOff;
        }
        if self.desks.get(&id).is_none_or(|desk| desk.is_closed) {
            return Entry::Closed;
        }
        if self.forks > 0 {
            return Entry::Later;
        }
        self.running += 1;
        Entry::Admitted
    }

    pub fn leave(&mut self) {
        self.running = self.running.saturating_sub(1);
        if self.forks > 0 {
            CHANGED.notify_all();
        }
    }

    /// An idle connection to the file `identity`, and those to another file, which its path stood for before.
    pub fn take(&mut self, id: u64, identity: Option<Identity>) -> (Option<Link>, Vec<Link>) {
        let Some(desk) = self.desks.get_mut(&id) else { return (None, Vec::new()) };
        if desk.idle.iter().all(|link| Some(link.opened.file) == identity) {
            return (desk.idle.pop(), Vec::new());
        }
        let (mut current, stale): (Vec<_>, Vec<_>) =
            desk.idle.drain(..).partition(|link| Some(link.opened.file) == identity);
        let link = current.pop();
        desk.idle = current;
        (link, stale)
    }

    /// Keeps `link` for the next call, or returns it to be closed.
    pub fn keep(&mut self, id: u64, link: Link) -> Option<Link> {
        match self.desks.get_mut(&id) {
            Some(desk) if !desk.is_closed && desk.idle.len() < IDLE => desk.idle.push(link),
            _ => return Some(link),
        }
        None
    }

    /// What an idle connection was opened to.
    pub fn opened(&self, id: u64) -> Option<Opened> {
        self.desks.get(&id)?.idle.first().map(|link| link.opened)
    }

    pub fn idle(&self, id: u64) -> usize {
        self.desks.get(&id).map_or(0, |desk| desk.idle.len())
    }

    /// Admits no further call, and returns the connections to be closed, counted as a running call.
    pub fn close(&mut self, id: u64) -> Vec<Link> {
        self.running += 1;
        CHANGED.notify_all();
        self.desks.get_mut(&id).map_or_else(Vec::new, |desk| {
            desk.is_closed = true;
            std::mem::take(&mut desk.idle)
        })
    }

    /// Every idle connection of the process.
    pub fn take_all(&mut self) -> Vec<Link> {
        self.desks.values_mut().flat_map(|desk| std::mem::take(&mut desk.idle)).collect()
    }

    /// A place in the queue of writers.
    pub fn queue(&mut self, id: u64, writer: Arc<Sleeper>) -> u64 {
        let Some(desk) = self.desks.get_mut(&id) else { return 0 };
        desk.last_ticket += 1;
        desk.turns.push_back((desk.last_ticket, writer));
        desk.last_ticket
    }

    /// Whether it is the turn of `ticket`; so it is when the queue does not know it, for a fork emptied it.
    pub fn is_first(&self, id: u64, ticket: u64) -> bool {
        let Some(desk) = self.desks.get(&id) else { return true };
        desk.turns.front().is_none_or(|(first, _)| *first == ticket)
    }

    /// Gives up the place of `ticket`, and wakes whose turn has come.
    pub fn unqueue(&mut self, id: u64, ticket: u64) {
        let Some(desk) = self.desks.get_mut(&id) else { return };
        desk.turns.retain(|(other, _)| *other != ticket);
        if let Some((_, next)) = desk.turns.front() {
            next.rouse();
        }
    }

    /// Forgets the threads that a forked child does not have.
    pub fn forget_threads(&mut self) {
        self.is_cut_off |= self.running > 0;
        self.running = 0;
        self.forks = 0;
        for desk in self.desks.values_mut() {
            desk.turns.clear();
        }
    }
}
