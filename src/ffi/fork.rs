//! Fork. Before it, everything that no child may find locked is held, and SQLite's connections are closed; after it,
//! all is let go, and in the child every handle is suspended: it gets a fresh inside on first use.

use std::cell::RefCell;
use std::sync::{MutexGuard, Once};

use super::handle;
use crate::l2::sqlite::fork as sqlite;
use crate::runtime;

/// A lock held over a fork.
pub type Held<T> = MutexGuard<'static, T>;

thread_local! {
    static HANDLES: RefCell<Option<Held<u64>>> = const { RefCell::new(None) };
}

/// Asks the C library to tell us of forks.
pub fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: the three functions are part of a library that is never unmapped (-z nodelete).
        unsafe { libc::pthread_atfork(Some(before), Some(after_in_parent), Some(after_in_child)) };
    });
}

extern "C" fn before() {
    sqlite::before_fork();
    let held = handle::hold();
    HANDLES.with_borrow_mut(|handles| *handles = Some(held));
    runtime::before_fork();
}

extern "C" fn after_in_parent() {
    runtime::after_fork(false);
    HANDLES.with_borrow_mut(|handles| *handles = None);
    sqlite::after_fork_in_parent();
}

extern "C" fn after_in_child() {
    runtime::after_fork(true);
    handle::suspend_all();
    HANDLES.with_borrow_mut(|handles| *handles = None);
    sqlite::after_fork_in_child();
}
