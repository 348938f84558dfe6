//! Threads that take no signal.

#![forbid(unsafe_code)]

use std::cell::Cell;

use nix::sys::signal::{SigSet, SigmaskHow};

use crate::error::{Error, Kind, Result};

thread_local! {
    /// Of a thread of the library: what was blocked where it was started.
    static APPLICATIONS: Cell<Option<SigSet>> = const { Cell::new(None) };
}

/// Starts a thread of the library.
pub(super) fn start(name: &str, body: impl FnOnce() + Send + 'static) -> Result<()> {
    let thread = std::thread::Builder::new().name(name.to_owned());
    let started = without_signals(|before| {
        thread.spawn(move || {
            APPLICATIONS.set(before);
            body();
        })
    });
    started.map(drop).map_err(|error| no_thread(name, &error))
}

/// Runs `starting`, whose new threads inherit that signals are blocked from their first instruction on; blocked inside
/// them, a signal could come before. It is told what was blocked before.
pub(super) fn without_signals<T>(starting: impl FnOnce(Option<SigSet>) -> T) -> T {
    let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK).ok();
    // A thread of the library that starts another one passes on what the application had.
    let started = starting(APPLICATIONS.get().or(before));
    if let Some(before) = before {
        let _ = before.thread_set_mask();
    }
    started
}

/// In a child that a callback of the application has forked: blocks what the application blocks, for the thread of the
/// library that made it is now the child's only one.
pub fn unblock_in_child() {
    if let Some(applications) = APPLICATIONS.take() {
        let _ = applications.thread_set_mask();
    }
}

pub(super) fn no_thread(name: &str, error: &std::io::Error) -> Error {
    Error::new(Kind::OutOfMemory, format!("The thread {name} could not be started ({error})."))
}
