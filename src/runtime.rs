//! The threads of the library: workers behind the asynchronous calls, callback threads that run the application's
//! code and nothing else, and one that tends open caches. All are made on demand, block every signal, and go when
//! there is nothing to do. There is one runtime per process; a forked child makes its own.

#![forbid(unsafe_code)]

mod pool;
mod threads;

use std::cell::Cell;
use std::io;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::error::Result;
pub use pool::{Job, Pool, Refused, together};
pub use threads::unblock_in_child;
use threads::{no_thread, start, without_signals};

/// Who looks up names and reads files for links: so many must hang before a link waits that has nothing to do with them.
const HELPERS: usize = 8;
/// Between two tendings.
pub const TENDING: Duration = Duration::from_millis(500);

/// What is tended about twice a second.
pub trait Tended: Send + Sync {
    /// Does what nobody waits for.
    fn tend(&self);

    /// Looks whether all is well, if that is due; waits for nothing.
    fn look(&self);

    /// How long until the next look is due.
    fn due_in(&self) -> Duration;
}

/// The threads of this process.
pub struct Runtime {
    /// Run the application's retry callbacks.
    pub deciders: Arc<Pool>,
    /// Run the application's completion callbacks, which do not wait for its retry callbacks.
    pub callbacks: Arc<Pool>,
    /// Runs the application's log callbacks, in order.
    pub logs: Arc<Pool>,
    /// Do what asynchronous calls ask for.
    pub workers: Arc<Pool>,
    /// Probe what calls are kept from. Not workers, because they wait for what does not answer.
    pub probes: Arc<Pool>,
    tended: Arc<(Mutex<Tending>, Condvar)>,
    /// Reads and writes the links to servers. No code of the application ever runs on it.
    io: Mutex<Option<tokio::runtime::Runtime>>,
}

#[derive(Default)]
struct Tending {
    is_running: bool,
    caches: Vec<Weak<dyn Tended>>,
}

/// The runtime, and the generation of forks that it belongs to.
type Current = Option<(u64, Arc<Runtime>)>;

static GENERATION: AtomicU64 = AtomicU64::new(0);
static CURRENT: Mutex<Current> = Mutex::new(None);

thread_local! {
    // Without a destructor: a thread that is ending, or a process at exit, may still fork.
    static HELD_OVER_FORK: Cell<Option<ManuallyDrop<MutexGuard<'static, Current>>>> = const { Cell::new(None) };
}

/// How many forks lie between this process and the one that loaded the library.
fn generation() -> u64 {
    GENERATION.load(Ordering::Relaxed)
}

/// Holds what no child may find locked. Called on the forking thread.
pub fn before_fork() {
    HELD_OVER_FORK.set(Some(ManuallyDrop::new(lock(&CURRENT))));
}

/// Lets go again, in the parent and in the child. Called on the thread that forked.
pub fn after_fork(is_child: bool) {
    drop(HELD_OVER_FORK.take().map(ManuallyDrop::into_inner));
    if is_child {
        GENERATION.fetch_add(1, Ordering::Relaxed);
    }
}

/// The runtime of this process.
#[must_use]
pub fn current() -> Arc<Runtime> {
    let mut current = lock(&CURRENT);
    if let Some((generation, runtime)) = &*current
        && *generation == self::generation()
    {
        return Arc::clone(runtime);
    }
    let runtime = Arc::new(Runtime {
        deciders: Pool::new("tc-retry", 8),
        callbacks: Pool::patient("tc-callback", 8),
        logs: Pool::new("tc-log", 1),
        workers: Pool::new("tc-worker", 16),
        probes: Pool::new("tc-probe", 16),
        tended: Arc::default(),
        io: Mutex::default(),
    });
    // The parent's threads do not exist here, and its locks may be held by them for ever: it is left alone.
    std::mem::forget(current.replace((self::generation(), Arc::clone(&runtime))));
    runtime
}

impl Runtime {
    /// Tends `cache` until it is gone.
    pub fn tend(&self, cache: Weak<dyn Tended>) -> Result<()> {
        let mut tending = lock(&self.tended.0);
        tending.caches.push(cache);
        // It may be due before all others.
        self.tended.1.notify_all();
        if !tending.is_running {
            let tended = Arc::clone(&self.tended);
            start("tc-tend", move || tend_all(&tended))?;
            tending.is_running = true;
        }
        Ok(())
    }

    /// The thread that reads and writes the links to servers.
    pub fn io(&self) -> Result<tokio::runtime::Handle> {
        let mut io = lock(&self.io);
        if let Some(running) = &*io {
            return Ok(running.handle().clone());
        }
        // One worker: a second adds contention and no speed. Its helpers look up the names of hosts and read files.
        let mut thread = tokio::runtime::Builder::new_multi_thread();
        thread.worker_threads(1).max_blocking_threads(HELPERS).thread_name("tc-io").enable_io().enable_time();
        // It panics where its thread cannot be started, and loses memory: one of ours tells before. Should the last thread
        // go to somebody else in between, it must not panic past the signals that are blocked here.
        start("tc-io", || ())?;
        let built = without_signals(|_| catch_unwind(AssertUnwindSafe(|| thread.build())));
        let built = built.unwrap_or_else(|_| Err(io::Error::other("the system refused it")));
        let running = built.map_err(|error| no_thread("tc-io", &error))?;
        Ok(io.insert(running).handle().clone())
    }
}

fn tend_all((tended, news): &(Mutex<Tending>, Condvar)) {
    let mut due = Instant::now() + TENDING;
    let mut pause = Duration::ZERO;
    loop {
        let caches: Vec<_> = {
            let waited = news.wait_timeout(lock(tended), pause);
            let mut tending = waited.unwrap_or_else(PoisonError::into_inner).0;
            tending.caches.retain(|cache| cache.strong_count() > 0);
            if tending.caches.is_empty() {
                tending.is_running = false;
                return;
            }
            tending.caches.iter().filter_map(Weak::upgrade).collect()
        };
        // A defect in one cache must not end the tending of all.
        let shielded = |work: &dyn Fn()| drop(catch_unwind(AssertUnwindSafe(work)));
        let look = || caches.iter().for_each(|cache| shielded(&|| cache.look()));
        look();
        if Instant::now() >= due {
            for cache in &caches {
                shielded(&|| cache.tend());
                // One may have taken its time.
                look();
            }
            due = Instant::now() + TENDING;
        }
        let tending = due.saturating_duration_since(Instant::now());
        pause = caches.iter().map(|cache| cache.due_in()).fold(tending, Duration::min);
    }
}

/// A place to wait for something rare: a decision of the application, the end of a pause, the close of the cache.
#[derive(Default)]
pub struct Signal {
    lock: Mutex<()>,
    news: Condvar,
    /// How many wait. Mostly nobody does, and then news, of which every asynchronous call has some, costs no system call.
    waiting: AtomicUsize,
    is_closing: AtomicBool,
    callbacks: AtomicUsize,
}

/// A callback of the application is wanted or runs, until this is dropped.
pub struct InCallback(Arc<Signal>);

impl Drop for InCallback {
    fn drop(&mut self) {
        self.0.callbacks.fetch_sub(1, Ordering::AcqRel);
        self.0.notify();
    }
}

impl Signal {
    /// Whether the cache is closing.
    #[inline]
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.is_closing.load(Ordering::Acquire)
    }

    /// Ends every wait. Answers whether this was the first time.
    pub fn close(&self) -> bool {
        let was_closing = self.is_closing.swap(true, Ordering::AcqRel);
        self.notify();
        !was_closing
    }

    /// A callback of the application will run.
    #[must_use]
    pub fn expect_callback(self: &Arc<Self>) -> InCallback {
        self.callbacks.fetch_add(1, Ordering::AcqRel);
        InCallback(Arc::clone(self))
    }

    /// Whether no callback of the application runs or is wanted.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.callbacks.load(Ordering::Acquire) == 0
    }

    /// Something changed: whoever waits looks again.
    pub fn notify(&self) {
        // A change of the counter, not a look at it: whoever begins to wait after it has seen what is new.
        if self.waiting.fetch_add(0, Ordering::AcqRel) > 0 {
            drop(lock(&self.lock));
            self.news.notify_all();
        }
    }

    /// Waits until `is_done` or `deadline`; answers what `is_done` said last.
    pub fn wait_until(&self, deadline: Instant, is_done: impl Fn() -> bool) -> bool {
        self.waiting.fetch_add(1, Ordering::AcqRel);
        let mut guard = lock(&self.lock);
        let is_done = loop {
            if is_done() {
                break true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break false;
            }
            guard = self.news.wait_timeout(guard, left).unwrap_or_else(PoisonError::into_inner).0;
        };
        self.waiting.fetch_sub(1, Ordering::AcqRel);
        is_done
    }
}

/// Locks, also after a panic elsewhere: what these locks guard is valid between any two statements.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
