//! Calls that answer later. While L2 does what is asked of it no thread waits for it; what fails goes on, with retries
//! and the application's say, on a worker.

#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::flight::Landing;
use super::{Answer, Cache};
use crate::epoch::Epoch;
use crate::error::{Error, Result as Outcome};
use crate::journal::Moment;
use crate::l2::{Failure, Stored};
use crate::resilience::{self, circuit::Pass};
use crate::runtime::lock;
use crate::stats::{Operation, count};

/// An attempt that was made, and with which leave.
type Found = (Pass, Result<Option<Stored>, Failure>);

/// Is told the answer to a read, on the thread that has it: it must not wait.
pub type Told = Box<dyn FnOnce(Outcome<Answer>) + Send>;

impl Cache {
    /// As [`Cache::get_since`]: `told` gets the answer, on this thread when L1 has it. Waits for nothing.
    pub fn get_in_background(self: &Arc<Self>, key: &[u8], started: Instant, told: Told) {
        if let Some(entry) = self.peek(key) {
            count(&self.stats.l1_hits);
            return told(Ok(Answer::Fresh(entry)));
        }
        match self.peek_missed(key) {
            Ok(None) if self.store.is_some() => {}
            known => return told(known.map(Answer::fresh)),
        }
        let since = self.moment();
        // As in `get_missed`.
        let slot = self.slot(key);
        let under = (slot, self.epoch(slot));
        if !self.has_to_look_into_a_file() {
            return self.look(key, under, since, started, told);
        }
        let (me, key, is_deciding) = (Arc::clone(self), key.to_vec(), resilience::is_deciding());
        let work = move |told: Told| {
            resilience::as_deciding(is_deciding, || me.look(&key, under, since, started, told));
        };
        self.work_on(told, work, |told, error| told(Err(error)));
    }

    /// In the journal, and where it has nothing in L2.
    fn look(
        self: &Arc<Self>,
        key: &[u8],
        (slot, epoch): (u32, Epoch),
        since: Option<Moment>,
        started: Instant,
        told: Told,
    ) {
        match self.owed(key, started) {
            Ok(None) => {}
            Ok(Some(owed)) => return told(Ok(owed)),
            Err(error) => return told(Err(error)),
        }
        if resilience::is_deciding() {
            return self.read_alone(key.to_vec(), (slot, epoch), started, told);
        }
        // One copy for all who need it later.
        let key: Arc<[u8]> = key.into();
        let (me, asked) = (Arc::clone(self), Arc::clone(&key));
        let told = Box::new(move |landed| told(me.hand_out(&asked, landed)));
        match self.flights.board(Arc::clone(&key), epoch, told) {
            Some(landing) => {
                Read { cache: Arc::clone(self), key, slot, epoch, since, started, landing }.begin();
            }
            None => count(&self.stats.shared_reads),
        }
    }

    /// For a retry callback, which must not wait for the read that asked it.
    fn read_alone(self: &Arc<Self>, key: Vec<u8>, under: (u32, Epoch), started: Instant, told: Told) {
        let me = Arc::clone(self);
        let work = move |told: Told| {
            told(resilience::as_deciding(true, || me.read_through(&key, under, started)));
        };
        self.work_on(told, work, |told, error| told(Err(error)));
    }

    /// Does `work` with `cargo` on a worker; `refuse` takes it where there is none.
    fn work_on<T: Send + 'static>(
        &self,
        cargo: T,
        work: impl FnOnce(T) + Send + 'static,
        refuse: impl FnOnce(T, Error),
    ) {
        let hold = Arc::new(Mutex::new(Some(cargo)));
        let held = Arc::clone(&hold);
        let job = move || {
            let cargo = lock(&held).take();
            if let Some(cargo) = cargo {
                work(cargo);
            }
        };
        if let Err(refused) = self.runtime.workers.run(Box::new(job)) {
            let cargo = lock(&hold).take();
            if let Some(cargo) = cargo {
                refuse(cargo, refused.into());
            }
        }
    }

    /// How many asynchronous calls were accepted and have not completed.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Acquire)
    }

    /// An asynchronous call was accepted; dropping the two parts says that its work, and its completion, are done.
    #[must_use]
    pub fn accept(self: &Arc<Self>) -> (InProgress, InProgress) {
        self.working.fetch_add(1, Ordering::AcqRel);
        self.accepted.fetch_add(1, Ordering::AcqRel);
        (
            InProgress { cache: Arc::clone(self), is_work: true },
            InProgress { cache: Arc::clone(self), is_work: false },
        )
    }
}

/// A read of L2 that somebody was promised.
struct Read {
    cache: Arc<Cache>,
    key: Arc<[u8]>,
    slot: u32,
    epoch: Epoch,
    since: Option<Moment>,
    started: Instant,
    landing: Landing,
}

impl Read {
    fn begin(self) {
        let cache = Arc::clone(&self.cache);
        let config = cache.config.load();
        let Some(store) = &cache.store else { return };
        // What L2 says is not all that is to be known then.
        let is_made_again = cache.to_be_made_again(&self.key).map_or(true, |again| again.is_some());
        if is_made_again {
            return self.heard(None);
        }
        let Ok(pass) = cache.circuit.enter() else { return self.heard(None) };
        let deadline = cache.call(Operation::Get, &self.key, &config, self.started).first_deadline();
        let stored_key = match Cache::stored_key(&self.key, &config) {
            Cow::Borrowed(_) => Arc::clone(&self.key),
            Cow::Owned(stored_key) => stored_key.into(),
        };
        let done = Box::new(move |found: Option<_>| self.heard(found.map(|found| (pass, found))));
        store.begin_get(stored_key, deadline, done);
    }

    fn heard(self, found: Option<Found>) {
        // A failure is one under whichever primary.
        let stands = |found: &Option<Stored>| self.cache.has_stood(&self.key, self.since, found.as_ref());
        let found = found.filter(|(_, found)| found.as_ref().map_or(true, stands));
        // This may be the thread of the link: what may read a file goes on elsewhere.
        if let Some((_, Ok(stored))) = &found
            && !stored.as_ref().is_some_and(|stored| self.cache.misses_a_key(&stored.bytes))
        {
            return self.end(found);
        }
        let cache = Arc::clone(&self.cache);
        cache.work_on(
            (self, found),
            |(read, found)| read.end(found),
            |(read, _), error| read.landing.land(Err(error)),
        );
    }

    /// Goes on until it has an answer, and lands.
    fn end(self, first: Option<Found>) {
        let Read { cache, key, slot, epoch, started, landing, .. } = self;
        let config = cache.config.load();
        let call = cache.call(Operation::Get, &key, &config, started);
        let Some(store) = &cache.store else { return };
        let mut epoch = epoch;
        let found = call.resume(first, |attempt| {
            let stored_key = Cache::stored_key(&key, &config);
            cache.read_store((&key, &stored_key), slot, &mut epoch, store.as_ref(), attempt)
        });
        landing.land(cache.found(&key, slot, epoch, found));
    }
}

/// A part of an accepted call that has not ended.
pub struct InProgress {
    cache: Arc<Cache>,
    is_work: bool,
}

impl Drop for InProgress {
    fn drop(&mut self) {
        let counter = if self.is_work { &self.cache.working } else { &self.cache.accepted };
        counter.fetch_sub(1, Ordering::AcqRel);
        self.cache.signal.notify();
    }
}
