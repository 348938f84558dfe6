//! Open, configure, flush, close; and again in a forked child.

#![forbid(unsafe_code)]

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use super::failover::FailoverWitness;
use super::keys;
use super::peers::Peers;
use super::seal::Counters;
use super::terms::{Published, Terms};
use super::{Cache, HookHolder, owed};
use crate::clock::{self, HybridClock};
use crate::coherence::Coherence;
use crate::config::{self, Config, Keys, LogTo};
use crate::defect;
use crate::entry;
use crate::error::{Error, Result};
use crate::journal::{Extent, Journal, Recent};
use crate::l1::L1;
use crate::l2::redis::RedisStore;
use crate::l2::sqlite::SqliteStore;
use crate::l2::{Attempt, Class, Store, Witness};
use crate::log::{Level, Logger, Settings, Sink};
use crate::resilience::Hook;
use crate::resilience::circuit::Circuit;
use crate::runtime::{self, Signal, Tended, lock};
use crate::stats::{Operation, Stats};

/// Between two looks whether what is owed can be brought to L2.
const FLUSHING: Duration = Duration::from_millis(100);

/// How long a close waits at least until the log has taken what it was told.
const TELLING: Duration = Duration::from_millis(25);

impl Cache {
    /// Opens a cache from a JSON document.
    pub fn open(document: &[u8]) -> Result<Arc<Cache>> {
        let config = Config::parse(document)?;
        let log = Logger::new(log_settings(&config));
        let keys = keys::Keys::new(keys::load(&config.encryption)?, &log);
        let cache = Cache::build(Arc::new(config), log, Arc::default(), keys)?;
        cache.connect()?;
        cache.begin_to_look();
        cache.meet_peers();
        Ok(cache)
    }

    /// The same cache in a forked child: empty L1, its own threads and connections. This one is to be left alone.
    pub fn reopened(&self) -> Result<Arc<Cache>> {
        let config = self.config.load_full();
        let keys = self.keys.reopened(&config.encryption);
        let cache = Cache::build(config, self.log.renewed(), Arc::clone(&self.hook), keys)?;
        cache.begin_to_look();
        Ok(cache)
    }

    fn build(
        config: Arc<Config>,
        log: Logger,
        hook: Arc<arc_swap::ArcSwapOption<HookHolder>>,
        keys: keys::Keys,
    ) -> Result<Arc<Cache>> {
        let (runtime, log) = (runtime::current(), Arc::new(log));
        let recent =
            matches!(config.l2.kind, config::Kind::Redis(_)).then(|| Arc::new(Recent::new(Extent::DEFAULT)));
        let second_tier = second_tier(&config, &log, &runtime, recent.as_ref())?;
        let journal = owed::open(&config)?;
        let cache = Cache::assemble(config, log, hook, keys, second_tier, journal, recent)?;
        let tended: Weak<dyn Tended> = cache.me.clone();
        runtime.tend(tended)?;
        Ok(cache)
    }

    /// A cache that a model checker drives: over `second_tier`, with no thread of its own.
    #[cfg(feature = "shuttle")]
    pub fn over(
        document: &[u8],
        second_tier: impl FnOnce(&Config, &Arc<Logger>) -> SecondTier,
    ) -> Result<Arc<Cache>> {
        let config = Config::parse(document)?;
        let log = Arc::new(Logger::new(log_settings(&config)));
        let keys = keys::Keys::new(keys::load(&config.encryption)?, &log);
        let second_tier = second_tier(&config, &log);
        let journal = owed::open(&config)?;
        Cache::assemble(Arc::new(config), log, Arc::default(), keys, Some(second_tier), journal, None)
    }

    fn assemble(
        config: Arc<Config>,
        log: Arc<Logger>,
        hook: Arc<arc_swap::ArcSwapOption<HookHolder>>,
        keys: keys::Keys,
        second_tier: Option<SecondTier>,
        journal: Option<Journal>,
        recent: Option<Arc<Recent>>,
    ) -> Result<Arc<Cache>> {
        let (coherence, store) = second_tier.unzip();
        let tables_bytes = usize::try_from(config.l1.capacity_bytes / 128).unwrap_or(usize::MAX);
        let l1 = L1::new(config.l1.capacity_bytes, config.l1.is_enabled)
            .ok_or_else(|| Error::out_of_memory(tables_bytes))?;
        Ok(Arc::new_cyclic(|me| Cache {
            me: Weak::clone(me),
            l1,
            coherence,
            // Whoever opens it looks first, when L2 has been made.
            looked_at_ms: clock::monotonic_ms().into(),
            store,
            circuit: Circuit::default(),
            journal,
            replays: Default::default(),
            recent,
            is_probing: false.into(),
            opened_at: Instant::now(),
            keys,
            seals: Counters::default(),
            peers: Peers::default(),
            terms: Published::new(Terms::from(&*config)),
            config: ArcSwap::new(config),
            configuring: Mutex::default(),
            flights: Arc::default(),
            versions: HybridClock::new(),
            hook,
            log,
            stats: Stats::default(),
            signal: Arc::new(Signal::default()),
            runtime: runtime::current(),
            working: 0.into(),
            accepted: 0.into(),
        }))
    }

    /// An L2 that is busy or slow is no reason to fail; one that cannot be used on this machine is.
    fn connect(&self) -> Result<()> {
        let Some(store) = &self.store else { return Ok(()) };
        let config = self.config.load();
        let is_required = config.l2.require_at_open;
        let connected = if is_required {
            self.call(Operation::Connect, b"", &config, Instant::now()).run(|attempt| store.connect(attempt))
        } else {
            let is_closing = || false;
            store.connect(Attempt { deadline: Instant::now(), is_closing: &is_closing })
        };
        match connected {
            Ok(()) => Ok(()),
            // Nobody waited for it, so that it is late says nothing.
            Err(failure) if !is_required && matches!(failure.class, Class::Busy | Class::Timeout) => {
                let level = if failure.class == Class::Busy { Level::Warn } else { Level::Debug };
                self.log.write(level, "l2", || format!("L2 is not there yet: {failure}"));
                Ok(())
            }
            Err(failure) => {
                self.signal.close();
                store.close();
                Err(failure.into())
            }
        }
    }

    fn begin_to_look(&self) {
        if let Some(coherence) = &self.coherence {
            coherence.look();
        }
    }

    /// Applies a new document, or refuses it whole.
    pub fn configure(&self, document: &[u8]) -> Result<()> {
        let next = Config::parse(document)?;
        let _one_at_a_time = lock(&self.configuring);
        self.config.load().check_change(&next)?;
        let ring = keys::load(&next.encryption)?;
        self.configure_journal(&self.config.load(), &next)?;
        self.log.apply(log_settings(&next));
        self.l1.set_capacity_bytes(next.l1.capacity_bytes);
        self.l1.enable(next.l1.is_enabled);
        if let Some(store) = &self.store {
            store.configure(&next);
        }
        let terms = Terms::from(&next);
        let before = self.config.swap(Arc::new(next));
        self.terms.change(terms);
        self.use_ring(ring);
        let now = self.config.load();
        // Another server knows nothing of what the one before held.
        let has_moved = before.l2.kind != now.l2.kind && matches!(before.l2.kind, config::Kind::Redis(_));
        if has_moved || now.resilience.circuit_failures == 0 {
            self.circuit.close(&self.log);
        }
        self.circuit.hasten(&now.resilience);
        self.replay_soon();
        if has_moved || before.encryption.accept_plaintext != now.encryption.accept_plaintext {
            self.distrust_all();
        }
        if before.l1.max_ttl_ms != now.l1.max_ttl_ms {
            self.l1.limit_stay(entry::deadline_ms(0, now.l1.max_ttl_ms));
        }
        Ok(())
    }

    /// Waits until every accepted asynchronous call has done its work and nothing is owed to L2; whether that was so
    /// before `timeout` was over.
    #[must_use]
    pub fn flush(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let is_done = || self.working.load(Ordering::Acquire) == 0 && self.owes_nothing();
        self.replay_soon();
        loop {
            self.replay();
            if self.signal.wait_until(deadline.min(Instant::now() + FLUSHING), is_done) {
                return true;
            }
            if Instant::now() >= deadline || self.signal.is_closing() {
                return is_done();
            }
        }
    }

    /// Ends every call, waits for what was accepted and for running callbacks, and lets go of every resource. Whether
    /// all accepted work was done.
    pub fn close(&self) -> bool {
        let deadline = Instant::now() + Duration::from_millis(self.config.load().resilience.close_ms);
        // What comes to be owed while this closes is flushed too, or refused.
        let is_done = loop {
            let is_done = self.flush(deadline.saturating_duration_since(Instant::now()));
            if !is_done || self.journal.as_ref().is_none_or(Journal::end) {
                break is_done;
            }
        };
        self.signal.close();
        if let Some(store) = &self.store {
            store.interrupt();
        }
        let has_ended = self
            .signal
            .wait_until(deadline, || self.accepted.load(Ordering::Acquire) == 0 && self.signal.is_quiet());
        if let Some(store) = &self.store {
            store.close();
        }
        self.close_journal();
        self.l1.clear();
        // What is owed may have taken all the time, and what is left of it is worth a word.
        let told_by = deadline.max(Instant::now() + TELLING);
        let has_ended = self.runtime.logs.drain(told_by) && has_ended;
        if !has_ended {
            let left = self.accepted.load(Ordering::Acquire);
            self.log.write(Level::Warn, "cache", || {
                format!(
                    "The cache closed after resilience.close_ms, while {left} asynchronous calls had not completed \
                     or a callback had not returned."
                )
            });
        }
        // In a forked child the parent's inside shares them, and is never let go.
        self.hook.store(None);
        self.log.redirect(Level::Error, None);
        is_done
    }

    /// Asks `hook` about failed attempts; `None` goes back to the configuration.
    pub fn on_retry(&self, hook: Option<Arc<dyn Hook>>) {
        self.hook.store(hook.map(|hook| Arc::new(HookHolder(hook))));
    }

    /// Sends log records to `sink`; `None` goes back to the configuration.
    pub fn on_log(&self, level: Level, sink: Option<Box<dyn Sink>>) {
        self.log.redirect(level, sink);
    }

    /// The threads behind it.
    #[must_use]
    pub fn runtime(&self) -> &Arc<runtime::Runtime> {
        &self.runtime
    }

    /// Where its log goes.
    #[must_use]
    pub fn log(&self) -> &Logger {
        &self.log
    }
}

impl Tended for Cache {
    fn tend(&self) {
        if !self.signal.is_closing() {
            defect::point("tend");
            // First, because the tiers may take their time.
            self.probe();
            self.tend_tiers();
        }
    }

    fn look(&self) {
        if !self.signal.is_closing() {
            self.look_around();
        }
    }

    fn due_in(&self) -> Duration {
        if self.signal.is_closing() || !matches!(self.config.load().l2.kind, config::Kind::Sqlite { .. }) {
            return Duration::MAX;
        }
        let due_ms = self.looked_at_ms.load(Ordering::Relaxed).saturating_add(self.heartbeat_ms());
        let left_ms = due_ms.saturating_sub(clock::monotonic_ms()).max(1);
        Duration::from_millis(left_ms.unsigned_abs())
    }
}

/// A second tier, and what is known of the changes that others make to it.
pub type SecondTier = (Arc<Coherence>, Box<dyn Store>);

fn second_tier(
    config: &Config,
    log: &Arc<Logger>,
    runtime: &runtime::Runtime,
    recent: Option<&Arc<Recent>>,
) -> Result<Option<SecondTier>> {
    let prefix = config.l2.key_prefix.as_bytes();
    let witness = |coherence: &Arc<Coherence>| Arc::clone(coherence) as Arc<dyn Witness>;
    Ok(match &config.l2.kind {
        config::Kind::None => None,
        config::Kind::Sqlite { path, capacity_bytes } => {
            let coherence = Arc::new(Coherence::shared(path.clone(), prefix, log)?);
            let store = SqliteStore::new(path.clone(), *capacity_bytes, witness(&coherence));
            Some((coherence, Box::new(store)))
        }
        config::Kind::Redis(redis) => {
            let coherence = Arc::new(Coherence::told(prefix.len(), log)?);
            let witness = recent
                .map_or_else(|| witness(&coherence), |recent| FailoverWitness::of(&coherence, recent, log));
            let store = RedisStore::new((**redis).clone(), config, witness, runtime)?;
            Some((coherence, Box::new(store)))
        }
    })
}

fn log_settings(config: &Config) -> Settings {
    Settings {
        name: config.name.clone(),
        level: config.logging.level,
        to_stderr: config.logging.to == LogTo::Stderr,
        clear_keys: config.logging.keys == Keys::Clear,
        key_prefix: config.l2.key_prefix.clone(),
    }
}
