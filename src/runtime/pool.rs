//! Threads that share a queue.

#![forbid(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::lock;
use super::threads::start;
use crate::error::{Error, Result};

const IDLE: Duration = Duration::from_secs(5);
/// How long a job of a patient pool may wait behind others that are done one after the other.
const PATIENCE: Duration = Duration::from_micros(500);

thread_local! {
    /// Whose thread this is.
    static MINE: Cell<*const Pool> = const { Cell::new(ptr::null()) };
    /// The patient pools that have jobs of this thread to which nobody was called yet, while it is at [`together`].
    static UNCALLED: RefCell<Option<Vec<Arc<Pool>>>> = const { RefCell::new(None) };
}

/// Does `work`, which waits for nothing, and calls threads to the jobs that it gives to patient pools when it is done:
/// called to the first, a thread would compete with this one for every lock that the next one takes.
pub fn together(work: impl FnOnce()) {
    struct Calling;

    impl Drop for Calling {
        fn drop(&mut self) {
            for pool in UNCALLED.take().into_iter().flatten() {
                pool.call_at_last();
            }
        }
    }

    UNCALLED.set(Some(Vec::new()));
    let _calling = Calling;
    work();
}

/// Work for a thread.
pub type Job = Box<dyn FnOnce() + Send>;

/// A job that no thread can do.
pub struct Refused {
    /// Why.
    pub error: Error,
    /// The job.
    pub job: Job,
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Error {
        refused.error
    }
}

/// Threads that share a queue.
pub struct Pool {
    name: &'static str,
    max_threads: usize,
    /// Jobs are short as a rule: to call a thread for each costs more than it does. One thread does them, and another
    /// looks now and then whether one of them keeps the others waiting.
    is_patient: bool,
    /// It has a thread; to be asked without the lock.
    is_manned: AtomicBool,
    state: Mutex<Queue>,
    news: Condvar,
    /// Nobody has anything to do.
    rest: Condvar,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    threads: usize,
    /// Threads that wait for news.
    idle: usize,
    /// A thread was called and has not looked yet. It calls the next one, so that many jobs at once do not make all
    /// threads fight for the queue.
    is_calling: bool,
    /// How many jobs were taken before it was.
    taken_at_call: u64,
    /// One of the threads looks whether jobs are kept waiting.
    is_watched: bool,
    /// How many jobs there have been.
    given: u64,
    /// Somebody waits for rest.
    is_awaited: bool,
}

impl Queue {
    /// How many threads have a job, or were called to one.
    fn busy(&self) -> usize {
        self.threads - self.idle - usize::from(self.is_watched)
    }

    fn taken(&self) -> u64 {
        self.given - self.jobs.len() as u64
    }
}

impl Pool {
    /// One whose jobs wait for each other no longer than it takes to call a thread.
    pub(super) fn new(name: &'static str, max_threads: usize) -> Arc<Pool> {
        Pool::make(name, max_threads, false)
    }

    /// One whose jobs may wait for each other for a moment.
    pub(super) fn patient(name: &'static str, max_threads: usize) -> Arc<Pool> {
        Pool::make(name, max_threads, true)
    }

    fn make(name: &'static str, max_threads: usize, is_patient: bool) -> Arc<Pool> {
        let (news, rest) = (Condvar::new(), Condvar::new());
        let is_manned = AtomicBool::new(false);
        Arc::new(Pool { name, max_threads, is_patient, is_manned, state: Mutex::default(), news, rest })
    }

    /// Sees to it that there is a thread, so that the next job is not refused.
    pub fn man(self: &Arc<Self>) -> Result<()> {
        if self.is_manned.load(Ordering::Relaxed) {
            return Ok(());
        }
        let mut queue = lock(&self.state);
        if queue.threads == 0 { self.add(&mut queue) } else { Ok(()) }
    }

    fn add(self: &Arc<Self>, queue: &mut Queue) -> Result<()> {
        let pool = Arc::clone(self);
        start(self.name, move || pool.work())?;
        queue.threads += 1;
        self.is_manned.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Runs `job` as soon as a thread is free. Gives it back when none could be made and there is none.
    pub fn run(self: &Arc<Self>, job: Job) -> std::result::Result<(), Refused> {
        let mut queue = lock(&self.state);
        queue.jobs.push_back(job);
        queue.given += 1;
        if self.is_patient && self.is_called_later() {
            return Ok(());
        }
        match self.call_one(&mut queue) {
            Err(error) if queue.threads == 0 => {
                let job = queue.jobs.pop_back().unwrap_or_else(|| Box::new(|| ()));
                Err(Refused { error, job })
            }
            _ => Ok(()),
        }
    }

    fn is_called_later(self: &Arc<Self>) -> bool {
        UNCALLED.with_borrow_mut(|uncalled| {
            let Some(uncalled) = uncalled else { return false };
            if !uncalled.iter().any(|pool| Arc::ptr_eq(pool, self)) {
                uncalled.push(Arc::clone(self));
            }
            true
        })
    }

    /// Calls a thread to jobs that were taken without one. Where there is none and none can be made, this one does them.
    fn call_at_last(self: &Arc<Self>) {
        let mut queue = lock(&self.state);
        if self.call_one(&mut queue).is_err() && queue.threads == 0 {
            let jobs = std::mem::take(&mut queue.jobs);
            drop(queue);
            for job in jobs {
                let _ = catch_unwind(AssertUnwindSafe(job));
            }
        }
    }

    /// Calls a thread to the queue, unless one is on its way, or will come soon enough.
    fn call_one(self: &Arc<Self>, queue: &mut Queue) -> Result<()> {
        let comes_soon = self.is_patient && queue.is_watched && queue.busy() > 0;
        if queue.is_calling || queue.jobs.is_empty() || comes_soon {
            return Ok(());
        }
        if queue.idle > 0 {
            self.news.notify_one();
        } else if queue.threads < self.max_threads {
            self.add(queue)?;
        } else {
            return Ok(());
        }
        (queue.is_calling, queue.taken_at_call) = (true, queue.taken());
        Ok(())
    }

    /// How many jobs wait for a thread.
    #[must_use]
    pub fn waiting(&self) -> usize {
        lock(&self.state).jobs.len()
    }

    /// Waits until nothing is left to do or `deadline`; whether nothing is. In a job of this pool it waits for nothing: that
    /// would be for itself.
    pub fn drain(&self, deadline: Instant) -> bool {
        if ptr::eq(MINE.get(), self) {
            return true;
        }
        let mut queue = lock(&self.state);
        while !queue.jobs.is_empty() || queue.busy() > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            queue.is_awaited = true;
            queue = self.rest.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    fn work(self: &Arc<Self>) {
        MINE.set(Arc::as_ptr(self));
        let mut queue = lock(&self.state);
        queue.is_calling = false;
        queue = self.watch(queue);
        loop {
            if let Some(job) = queue.jobs.pop_front() {
                // Where no further thread can be made, those that there are do it all.
                let _ = self.call_one(&mut queue);
                drop(queue);
                // A job reports its own panics; one that did not must not cost a thread that others count on.
                let _ = catch_unwind(AssertUnwindSafe(job));
                queue = lock(&self.state);
                continue;
            }
            queue.idle += 1;
            if std::mem::take(&mut queue.is_awaited) {
                self.rest.notify_all();
            }
            let (back, wait) = self.news.wait_timeout(queue, IDLE).unwrap_or_else(PoisonError::into_inner);
            queue = back;
            queue.idle -= 1;
            queue.is_calling = false;
            if wait.timed_out() && queue.jobs.is_empty() {
                queue.threads -= 1;
                self.is_manned.store(queue.threads > 0, Ordering::Relaxed);
                return;
            }
            queue = self.watch(queue);
        }
    }

    /// In a patient pool a thread that was called looks on while others do what is to be done: until a job has waited
    /// too long, or none has come for a while.
    fn watch<'a>(&'a self, mut queue: MutexGuard<'a, Queue>) -> MutexGuard<'a, Queue> {
        let others_go_on = queue.busy() > 1 && queue.taken() > queue.taken_at_call;
        if !self.is_patient || queue.is_watched || !others_go_on {
            return queue;
        }
        queue.is_watched = true;
        loop {
            let given = queue.given;
            drop(queue);
            std::thread::sleep(PATIENCE);
            queue = lock(&self.state);
            if queue.taken() < given || queue.given == given {
                queue.is_watched = false;
                return queue;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::mpsc::channel;

    use super::*;

    const SOON: Duration = Duration::from_secs(20);

    #[test]
    fn a_job_that_hangs_keeps_nobody_waiting() {
        for pool in [Pool::new("tc-test", 8), Pool::patient("tc-test", 8)] {
            let (done, jobs) = channel();
            let mut hung = Vec::new();
            // All threads but one.
            for number in 0..8 {
                let (release, released) = channel::<()>();
                let (done, hangs) = (done.clone(), number < 7);
                let job = move || {
                    done.send(number).expect("somebody listens");
                    if hangs {
                        let _ = released.recv();
                    }
                };
                assert!(pool.run(Box::new(job)).is_ok());
                hung.push(release);
            }
            let mut seen: Vec<_> =
                (0..8).map(|_| jobs.recv_timeout(SOON).expect("every job begins")).collect();
            seen.sort_unstable();
            assert_eq!(seen, [0, 1, 2, 3, 4, 5, 6, 7]);
            assert!(!pool.drain(Instant::now()), "seven hang");
            drop(hung);
            assert!(pool.drain(Instant::now() + SOON));
        }
    }

    #[test]
    fn short_jobs_that_come_together_are_done_by_few_threads() {
        let pool = Pool::patient("tc-test", 8);
        let (done, jobs) = channel();
        let by_few = |_: &u32| {
            together(|| {
                for _ in 0..20 {
                    let done = done.clone();
                    let job = move || {
                        let begin = Instant::now();
                        while begin.elapsed() < PATIENCE / 32 {}
                        done.send(std::thread::current().id()).expect("somebody listens");
                    };
                    assert!(pool.run(Box::new(job)).is_ok());
                }
            });
            let threads: HashSet<_> =
                (0..20).map(|_| jobs.recv_timeout(SOON).expect("every job is done")).collect();
            threads.len() <= 2
        };
        // Where a thread gets no turn the next one is called, as it should be.
        let rounds = (0..200).filter(by_few).count();
        assert!(rounds > 100, "{rounds} of 200");
    }
}
