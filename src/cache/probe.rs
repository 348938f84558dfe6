//! Probes of an L2 that the circuit keeps calls from: made by the library itself, so that no caller waits for them.

#![forbid(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::Cache;
use crate::config::Config;
use crate::defect;
use crate::l2::{Attempt, Failure, Store};
use crate::runtime::TENDING;

/// How long a probe waits for a new link at least, which may not be tried at once.
const PATIENCE: Duration = Duration::from_millis(1500);

/// A cache is probing its L2, until this is dropped.
struct Probing(Arc<Cache>);

impl Drop for Probing {
    fn drop(&mut self) {
        self.0.is_probing.store(false, Ordering::Release);
    }
}

impl Cache {
    /// Makes the probes that are due before the next tending, on a thread of their own.
    pub(super) fn probe(&self) {
        let horizon = Instant::now() + TENDING;
        if !self.is_due(horizon) || self.is_probing.swap(true, Ordering::AcqRel) {
            return;
        }
        let Some(probing) = self.me.upgrade().map(Probing) else { return };
        // Where no thread can be made now, the next tending tries again.
        let _ = self.runtime.probes.run(Box::new(move || probing.0.probe_until(horizon)));
    }

    fn is_due(&self, horizon: Instant) -> bool {
        self.circuit.next_probe().is_some_and(|at| at < horizon)
    }

    fn probe_until(&self, horizon: Instant) {
        let Some(store) = &self.store else { return };
        let is_over = || self.signal.is_closing() || self.circuit.next_probe().is_none();
        while let Some(at) = self.circuit.next_probe().filter(|at| *at < horizon) {
            if self.signal.wait_until(at, is_over) {
                return;
            }
            self.probe_once(store.as_ref());
        }
    }

    /// L2 has taken something, from whoever had begun to bring it before the circuit opened: it can be read there now and
    /// nowhere else, so calls must not be kept from it for longer than a probe takes.
    pub(super) fn probe_soon(&self, store: &dyn Store, has_probed: &AtomicBool) {
        if self.circuit.is_open() && !has_probed.swap(true, Ordering::Relaxed) {
            self.probe_once(store);
        }
    }

    fn probe_once(&self, store: &dyn Store) {
        let config = self.config.load();
        let pass = self.circuit.begin_probe(&config.resilience);
        defect::point("probe");
        let answer = self.ask(store, &config);
        self.circuit.end_probe(pass, answer, &config.resilience, &self.log);
    }

    /// Whether L2 answers, and in the time that a call would have.
    fn ask(&self, store: &dyn Store, config: &Config) -> Result<(), Failure> {
        let is_closing = || self.signal.is_closing();
        let within = |time| Attempt { deadline: Instant::now() + time, is_closing: &is_closing };
        let begun = Instant::now();
        let deadline = Duration::from_millis(config.resilience.deadline_ms);
        store.connect(within(PATIENCE.max(deadline)))?;
        if begun.elapsed() <= deadline { Ok(()) } else { store.connect(within(deadline)) }
    }
}
