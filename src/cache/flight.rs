//! Single flight: concurrent reads of one key make one read of L2.

#![forbid(unsafe_code)]

use std::sync::{Arc, PoisonError};
use std::time::Instant;

use foldhash::HashMap;

use crate::entry::Entry;
use crate::epoch::{self, Epoch};
use crate::error::{Error, Kind, Result};
use crate::sync::{Condvar, Mutex, lock};

/// What a read of L2 found.
pub type Landed = Result<Option<Entry>>;

/// Is told what a read found, on the thread that found it: it must not wait.
type Told = Box<dyn FnOnce(Landed) + Send>;

#[derive(Default)]
struct Flight {
    state: Mutex<State>,
    news: Condvar,
}

#[derive(Default)]
struct State {
    landed: Option<Landed>,
    aboard: Vec<Told>,
    is_awaited: bool,
}

/// A read belongs to the epochs from before it began: a caller that knows of a later change must not join it. Where
/// changes are not heard of, nobody can know, and nobody joins.
type Route = (Arc<[u8]>, Epoch);

/// The reads under way.
#[derive(Default)]
pub struct Flights {
    under_way: Mutex<HashMap<Route, Arc<Flight>>>,
}

impl Flights {
    /// Answers what the read of `key` that began at `epoch` found: its own, made with `read`, or that of another
    /// caller, waited for until `deadline`. The flag says whether it was another's.
    pub fn join(
        self: &Arc<Self>,
        key: &[u8],
        epoch: Epoch,
        deadline: Instant,
        read: impl FnOnce() -> Landed,
    ) -> (Landed, bool) {
        let landing = match self.find(key.into(), epoch, None) {
            Ok(landing) => landing,
            Err(flight) => return (flight.wait(deadline), true),
        };
        let landed = read();
        landing.land(landed.clone());
        (landed, false)
    }

    /// As [`Flights::join`] for a caller that does not wait: it is `told`. Whoever gets the landing has to make the
    /// read.
    pub fn board(self: &Arc<Self>, key: Arc<[u8]>, epoch: Epoch, told: Told) -> Option<Landing> {
        self.find(key, epoch, Some(told)).ok()
    }

    /// A new flight, to be landed by this caller; or the one that it has joined.
    fn find(
        self: &Arc<Self>,
        key: Arc<[u8]>,
        epoch: Epoch,
        told: Option<Told>,
    ) -> std::result::Result<Landing, Arc<Flight>> {
        let route = (key, epoch);
        let mut under_way = lock(&self.under_way);
        if let Some(flight) = under_way.get(&route).filter(|_| epoch::is_trusted(epoch)) {
            // Under the lock that every landing takes, so that none can pass by in between.
            lock(&flight.state).aboard.extend(told);
            return Err(Arc::clone(flight));
        }
        let flight = Arc::<Flight>::default();
        under_way.insert(route.clone(), Arc::clone(&flight));
        Ok(Landing { flights: Arc::clone(self), route, flight, told, landed: None })
    }
}

impl Flight {
    fn wait(&self, deadline: Instant) -> Landed {
        let mut state = lock(&self.state);
        state.is_awaited = true;
        loop {
            if let Some(landed) = &state.landed {
                return landed.clone();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let message =
                    "The read of this key by another caller did not end within resilience.deadline_ms.";
                return Err(Error::new(Kind::L2Timeout, message));
            }
            state = self.news.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// The end of a read. It lands also when it is dropped, so that nobody waits for a read that is gone.
pub struct Landing {
    flights: Arc<Flights>,
    route: Route,
    flight: Arc<Flight>,
    /// Of whoever made it.
    told: Option<Told>,
    landed: Option<Landed>,
}

impl Landing {
    /// The read found `landed`.
    pub fn land(mut self, landed: Landed) {
        self.landed = Some(landed);
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        let mut under_way = lock(&self.flights.under_way);
        if under_way.get(&self.route).is_some_and(|flight| Arc::ptr_eq(flight, &self.flight)) {
            under_way.remove(&self.route);
        }
        drop(under_way);
        let landed = self.landed.take().unwrap_or_else(|| {
            Err(Error::new(Kind::Panic, "The read of this key by another caller was abandoned by a defect."))
        });
        let mut state = lock(&self.flight.state);
        state.landed = Some(landed.clone());
        let aboard = std::mem::take(&mut state.aboard);
        let is_awaited = state.is_awaited;
        drop(state);
        // A system call, also where nobody waits.
        if is_awaited {
            self.flight.news.notify_all();
        }
        for told in self.told.take().into_iter().chain(aboard) {
            told(landed.clone());
        }
    }
}
