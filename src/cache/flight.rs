//! Single flight: concurrent reads of one key make one read of L2.

#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;

use crate::entry::Entry;
use crate::error::{Error, Kind, Result};
use crate::runtime::lock;

/// What a read of L2 found.
pub type Landed = Result<Option<Entry>>;

#[derive(Default)]
struct Flight {
    landed: Mutex<Option<Landed>>,
    news: Condvar,
}

/// A read belongs to the epochs from before it began: a caller that knows of a later change must not join it.
type Route = (Vec<u8>, (u64, u64));

/// The reads under way.
#[derive(Default)]
pub struct Flights {
    under_way: Mutex<HashMap<Route, Arc<Flight>>>,
}

impl Flights {
    /// Answers what the read of `key` that began at `epoch` found: its own, made with `read`, or that of another
    /// caller, waited for until `deadline`. The flag says whether it was another's.
    pub fn join(
        &self,
        key: &[u8],
        epoch: (u64, u64),
        deadline: Instant,
        read: impl FnOnce() -> Landed,
    ) -> (Landed, bool) {
        let route = (key.to_vec(), epoch);
        let mut under_way = lock(&self.under_way);
        if let Some(flight) = under_way.get(&route).cloned() {
            drop(under_way);
            return (flight.wait(deadline), true);
        }
        let flight = Arc::new(Flight::default());
        under_way.insert(route.clone(), Arc::clone(&flight));
        drop(under_way);
        // Lands also when `read` panics, so that nobody waits for a read that is gone.
        let mut landing = Landing { flights: self, route, flight, landed: None };
        let landed = read();
        landing.landed = Some(landed.clone());
        (landed, false)
    }
}

impl Flight {
    fn wait(&self, deadline: Instant) -> Landed {
        let mut landed = lock(&self.landed);
        loop {
            if let Some(landed) = &*landed {
                return landed.clone();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let message =
                    "The read of this key by another caller did not end within resilience.deadline_ms.";
                return Err(Error::new(Kind::L2Timeout, message));
            }
            landed = self.news.wait_timeout(landed, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

struct Landing<'a> {
    flights: &'a Flights,
    route: Route,
    flight: Arc<Flight>,
    landed: Option<Landed>,
}

impl Drop for Landing<'_> {
    fn drop(&mut self) {
        lock(&self.flights.under_way).remove(&self.route);
        let landed = self.landed.take().unwrap_or_else(|| {
            Err(Error::new(Kind::Panic, "The read of this key by another caller was abandoned by a defect."))
        });
        *lock(&self.flight.landed) = Some(landed);
        self.flight.news.notify_all();
    }
}
