//! Keeps calls from an L2 that cannot serve: after enough failures they are answered at once, and probes of the
//! library's own find out when L2 is back. A probe that succeeds opens it half: calls go through again, and the first
//! that fails ends that, until a few have succeeded.

#![forbid(unsafe_code)]

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use serde_json::{Value, json};

use super::news::News;
use crate::clock;
use crate::config::Resilience;
use crate::l2::{Class, Failure};
use crate::log::{Level, Logger};
use crate::runtime::lock;
use crate::stats::{Operation, count};

/// The attempts that the ratio is taken of. Those that were not made yet count as good.
const RECENT: u32 = 20;
/// So many successes close a circuit that is half open.
const PROVEN: u32 = 3;

/// What a call meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
enum Gate {
    /// Closed, and nothing failed lately, so that a success is no news.
    Clean,
    /// Closed.
    Watched,
    HalfOpen,
    Open,
}

const GATE_BITS: u32 = 2;
const GATE: u64 = (1 << GATE_BITS) - 1;

/// Leave to ask L2 once. What comes of it is no news when the circuit has opened or closed since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pass(u64);

/// The circuit of one L2.
#[derive(Default)]
pub struct Circuit {
    /// The gate, and above it how often the circuit has opened or closed: all that a call looks at while it is closed.
    word: AtomicU64,
    state: Mutex<State>,
    /// What a suspended call is told, made before there is one.
    refusal: ArcSwapOption<Failure>,
    suspended_calls: AtomicU64,
    /// What was said of an L2 that is asked on.
    pub(super) news: News,
}

struct State {
    gate: Gate,
    changes: u64,
    /// A bit for each of the last attempts, set where it failed.
    recent: u32,
    in_a_row: u32,
    successes: u32,
    outage: Option<Outage>,
    /// The last failure that counted.
    reason: Option<Arc<str>>,
    opened: u64,
    probes: u64,
    probe_at: Option<Instant>,
}

struct Outage {
    since: Instant,
    since_unix_ms: i64,
    why: String,
    /// A probe was answered.
    answered_at: Option<Instant>,
}

impl Default for State {
    fn default() -> Self {
        State {
            gate: Gate::Clean,
            changes: 0,
            recent: 0,
            in_a_row: 0,
            successes: 0,
            outage: None,
            reason: None,
            opened: 0,
            probes: 0,
            probe_at: None,
        }
    }
}

impl Circuit {
    /// Leave to ask L2, or what to answer instead.
    #[inline]
    pub fn enter(&self) -> Result<Pass, Failure> {
        let word = self.word.load(Ordering::Acquire);
        if word & GATE == Gate::Open as u64 { Err(self.refused()) } else { Ok(Pass(word >> GATE_BITS)) }
    }

    /// Whether calls are answered without L2.
    #[inline]
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.word.load(Ordering::Acquire) & GATE == Gate::Open as u64
    }

    #[cold]
    fn refused(&self) -> Failure {
        let refusal = self.refusal.load();
        refusal.as_ref().map_or_else(
            || Failure::new(Class::Suspended, "L2 was not asked: its circuit is open."),
            |refusal| Failure::clone(refusal),
        )
    }

    /// A call was answered without L2.
    pub fn note_suspended(&self) {
        count(&self.suspended_calls);
    }

    /// What was asked with `pass` was answered.
    #[inline]
    pub fn succeeded(&self, pass: Pass, log: &Logger) {
        if self.word.load(Ordering::Relaxed) & GATE != Gate::Clean as u64 {
            self.note_success(pass, log);
        }
    }

    #[cold]
    fn note_success(&self, pass: Pass, log: &Logger) {
        let mut state = lock(&self.state);
        if pass.0 != state.changes {
            return;
        }
        let ended = match state.gate {
            Gate::Clean | Gate::Watched => {
                state.remember(false);
                None
            }
            Gate::HalfOpen => state.prove(),
            Gate::Open => None,
        };
        self.publish(&state);
        drop(state);
        if let Some(open_ms) = ended {
            log.write(Level::Warn, "l2", || {
                format!("The circuit of L2 closed: L2 answers again, after {open_ms} ms.")
            });
        }
    }

    /// What was asked with `pass` failed.
    pub fn failed(
        &self,
        pass: Pass,
        operation: Operation,
        failure: &Failure,
        policy: &Resilience,
        log: &Logger,
    ) {
        if policy.circuit_failures == 0 || !failure.class.rule().counts.of(operation) {
            return;
        }
        let mut state = lock(&self.state);
        if pass.0 != state.changes {
            return;
        }
        let is_new = match state.gate {
            Gate::Clean | Gate::Watched => {
                state.remember(true);
                let Some(why) = state.too_much(policy) else { return self.publish(&state) };
                state.begin_outage(why, policy);
                true
            }
            Gate::HalfOpen => {
                state.turn(Gate::Open);
                false
            }
            Gate::Open => return,
        };
        state.reason = Some(Arc::clone(&failure.message));
        self.refuse(&state, policy);
        let why = state.outage.as_ref().map_or_else(String::new, |outage| outage.why.clone());
        drop(state);
        if is_new {
            log.write(Level::Warn, "l2", || {
                format!(
                    "The circuit of L2 opened, because {why}: calls are answered TC_L2_SUSPENDED until a probe, one \
                     each {} ms, is answered. The last failure: {failure}",
                    policy.probe_ms
                )
            });
        } else {
            log.write(Level::Info, "l2", || format!("L2 failed again after it had answered: {failure}"));
        }
    }

    /// Forgets what was: L2 is another one now, or there is to be no circuit.
    pub fn close(&self, log: &Logger) {
        let mut state = lock(&self.state);
        let was_open_ms = state.end_outage();
        self.publish(&state);
        drop(state);
        if let Some(open_ms) = was_open_ms {
            log.write(Level::Warn, "l2", || {
                format!("The circuit of L2 closed after {open_ms} ms, because the configuration changed.")
            });
        }
    }

    /// When the next probe is due; `None` while none is needed.
    #[must_use]
    pub fn next_probe(&self) -> Option<Instant> {
        let word = self.word.load(Ordering::Acquire) & GATE;
        if word == Gate::Clean as u64 || word == Gate::Watched as u64 {
            return None;
        }
        lock(&self.state).probe_at
    }

    /// The next probe is due no later than by `policy`, which may be another than the one it was set by.
    pub fn hasten(&self, policy: &Resilience) {
        let mut state = lock(&self.state);
        let latest = Instant::now() + pace(policy);
        state.probe_at = state.probe_at.map(|at| at.min(latest));
    }

    /// A probe begins.
    pub fn begin_probe(&self, policy: &Resilience) -> Pass {
        let mut state = lock(&self.state);
        state.probe_at = Some(Instant::now() + pace(policy));
        state.probes += 1;
        Pass(state.changes)
    }

    /// The probe that was begun with `pass` has ended.
    pub fn end_probe(&self, pass: Pass, answer: Result<(), Failure>, policy: &Resilience, log: &Logger) {
        let failure = match answer {
            Err(failure) if failure.class == Class::Closed => return,
            // L2 that refuses something has answered.
            Err(failure) if failure.class.rule().counts.of(Operation::Connect) => failure,
            _ => return self.answered(pass, log),
        };
        let mut state = lock(&self.state);
        if pass.0 != state.changes {
            return;
        }
        if state.gate == Gate::HalfOpen {
            drop(state);
            return self.failed(pass, Operation::Connect, &failure, policy, log);
        }
        state.reason = Some(Arc::clone(&failure.message));
        self.refuse(&state, policy);
        drop(state);
        log.write(Level::Debug, "l2", || format!("L2 did not answer a probe: {failure}"));
    }

    fn answered(&self, pass: Pass, log: &Logger) {
        let mut state = lock(&self.state);
        if pass.0 != state.changes {
            return;
        }
        if state.gate == Gate::HalfOpen {
            drop(state);
            return self.note_success(pass, log);
        }
        state.successes = 1;
        if let Some(outage) = &mut state.outage {
            outage.answered_at = Some(Instant::now());
        }
        state.turn(Gate::HalfOpen);
        self.publish(&state);
        drop(state);
        log.write(Level::Info, "l2", || "L2 has answered a probe: calls go to it again.".into());
    }

    /// What `tc_stats` says of it.
    #[must_use]
    pub fn describe(&self) -> Value {
        let state = lock(&self.state);
        json!({
            "state": match state.gate {
                Gate::Clean | Gate::Watched => "closed",
                Gate::HalfOpen => "half_open",
                Gate::Open => "open",
            },
            "opened": state.opened,
            "open_ms": state.outage.as_ref().map_or(0, |outage| millis(outage.since.elapsed())),
            "reason": state.reason.as_deref(),
            "probes": state.probes,
            "suspended_calls": self.suspended_calls.load(Ordering::Relaxed),
        })
    }

    /// Says anew what suspended calls are told, and then that they are.
    fn refuse(&self, state: &State, policy: &Resilience) {
        let mut message = String::from("L2 was not asked: its circuit is open");
        if let Some(outage) = &state.outage {
            let seconds = outage.since_unix_ms.div_euclid(1000).rem_euclid(86_400);
            let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
            let _ = write!(message, " since {hour:02}:{minute:02}:{second:02} UTC, because {}", outage.why);
        }
        let _ = write!(message, "; it is probed each {} ms.", policy.probe_ms);
        if let Some(reason) = &state.reason {
            let _ = write!(message, " The last failure: {reason}");
        }
        self.refusal.store(Some(Arc::new(Failure::new(Class::Suspended, message))));
        self.publish(state);
    }

    fn publish(&self, state: &State) {
        self.word.store(state.changes << GATE_BITS | state.gate as u64, Ordering::Release);
    }
}

impl State {
    fn turn(&mut self, gate: Gate) {
        self.gate = gate;
        self.changes += 1;
    }

    fn remember(&mut self, has_failed: bool) {
        self.recent = (self.recent << 1 | u32::from(has_failed)) & ((1 << RECENT) - 1);
        self.in_a_row = if has_failed { self.in_a_row.saturating_add(1) } else { 0 };
        self.gate = if self.recent == 0 { Gate::Clean } else { Gate::Watched };
    }

    /// Why this is more than may fail, if it is.
    fn too_much(&self, policy: &Resilience) -> Option<String> {
        if self.in_a_row >= policy.circuit_failures {
            let attempts = if self.in_a_row == 1 { "attempt" } else { "attempts in a row" };
            return Some(format!("{} {attempts} failed", self.in_a_row));
        }
        let failed = self.recent.count_ones();
        (f64::from(failed) >= policy.circuit_ratio * f64::from(RECENT))
            .then(|| format!("{failed} of the last {RECENT} attempts failed"))
    }

    fn begin_outage(&mut self, why: String, policy: &Resilience) {
        let now = Instant::now();
        self.outage = Some(Outage { since: now, since_unix_ms: clock::unix_ms(), why, answered_at: None });
        self.opened += 1;
        self.probe_at = Some(now + pace(policy));
        self.turn(Gate::Open);
    }

    /// L2 has answered while the circuit is half open; for how long it had been open, if it is closed by that.
    fn prove(&mut self) -> Option<u64> {
        self.successes += 1;
        (self.successes >= PROVEN).then(|| self.end_outage()).flatten()
    }

    /// Closes; for how long it had been open.
    fn end_outage(&mut self) -> Option<u64> {
        (self.recent, self.in_a_row, self.successes, self.probe_at) = (0, 0, 0, None);
        self.turn(Gate::Clean);
        let outage = self.outage.take()?;
        let until = outage.answered_at.unwrap_or_else(Instant::now);
        Some(millis(until.saturating_duration_since(outage.since)))
    }
}

/// Until the next probe: with up to a quarter more, so that many processes do not come back at once.
fn pace(policy: &Resilience) -> Duration {
    Duration::from_millis(policy.probe_ms).mul_f64(1.0 + fastrand::f64() / 4.0)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
