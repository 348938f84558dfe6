//! Fork. Before it, everything that no child may find locked is held, and SQLite's connections are closed; after it,
//! all is let go, and in the child every handle is suspended: it gets a fresh inside on first use.

use std::cell::Cell;
use std::mem::ManuallyDrop;
use std::sync::{MutexGuard, Once};

use super::handle;
use super::python::inbox;
use crate::l2::redis::socket;
use crate::l2::sqlite::fork as sqlite;
use crate::runtime;

/// A lock held over a fork.
pub type Held<T> = MutexGuard<'static, T>;

thread_local! {
    // Without a destructor: a thread that is ending, or a process at exit, may still fork.
    static HANDLES: Cell<Option<ManuallyDrop<Held<u64>>>> = const { Cell::new(None) };
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
    // Handles first: a handle's first use in a child makes a fresh inside under this lock, and needs the others.
    HANDLES.set(Some(ManuallyDrop::new(handle::hold())));
    sqlite::before_fork();
    runtime::before_fork();
    socket::before_fork();
    inbox::before_fork();
}

extern "C" fn after_in_parent() {
    inbox::after_fork(false);
    socket::after_fork(false);
    runtime::after_fork(false);
    sqlite::after_fork_in_parent();
    drop(HANDLES.take().map(ManuallyDrop::into_inner));
}

extern "C" fn after_in_child() {
    inbox::after_fork(true);
    socket::after_fork(true);
    runtime::after_fork(true);
    sqlite::after_fork_in_child();
    handle::suspend_all();
    drop(HANDLES.take().map(ManuallyDrop::into_inner));
    // Last: what was held back until now comes at once.
    runtime::unblock_in_child();
}
