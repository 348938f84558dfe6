//! No connection crosses a fork: SQLite's table of locks would survive in the child and the locks would not, so that
//! parent and child overwrite each other. These three belong into `pthread_atfork`; all run on the forking thread.

#![forbid(unsafe_code)]

use std::cell::Cell;
use std::mem::ManuallyDrop;
use std::sync::{MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::registry::{self, CHANGED, Registry};

/// How long a fork waits for running calls. A disk that is busy may hold up a checkpoint for longer than the 100 ms that
/// a fork should take, and a child without its database is worse than a late one.
const PATIENCE: Duration = Duration::from_secs(1);

thread_local! {
    // Without a destructor: a thread that is ending, or a process at exit, may still fork.
    static HELD: Cell<Option<ManuallyDrop<MutexGuard<'static, Registry>>>> = const { Cell::new(None) };
}

/// Bars new calls, waits a little for running ones, closes every connection, and holds the registry's lock until the
/// fork is over.
pub fn before_fork() {
    let mut registry = registry::lock();
    registry.forks += 1;
    let end = Instant::now() + PATIENCE;
    while registry.running > 0 {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        registry = CHANGED.wait_timeout(registry, left).unwrap_or_else(PoisonError::into_inner).0;
    }
    registry.take_all().into_iter().for_each(|link| link.close_without_checkpoint());
    HELD.set(Some(ManuallyDrop::new(registry)));
}

/// Calls begin again; connections are opened when they are needed.
pub fn after_fork_in_parent() {
    let mut registry = held();
    registry.forks = registry.forks.saturating_sub(1);
    drop(registry);
    CHANGED.notify_all();
}

/// The child begins without connections and without the parent's threads. When calls were still running, SQLite's own
/// locks are as those calls left them, and the child never calls it again.
pub fn after_fork_in_child() {
    held().forget_threads();
}

fn held() -> MutexGuard<'static, Registry> {
    HELD.take().map_or_else(registry::lock, ManuallyDrop::into_inner)
}
