//! The application's callbacks: registration, and the last use of their data.

use std::cell::RefCell;
use std::ffi::{c_char, c_void};
use std::sync::Arc;

use super::guard::{guard, status, text};
use super::types::{
    TC_DECISION_GIVE_UP, TC_DECISION_RETRY, TC_LEVEL_DEBUG, TC_LEVEL_ERROR, TC_LEVEL_INFO, TC_LEVEL_WARN,
    tc_cache, tc_decision, tc_destroy_fn, tc_failure, tc_level, tc_log_fn, tc_operation, tc_retry_fn,
    tc_status,
};
use super::{arguments, handle};
use crate::error::{Error, Kind, Result};
use crate::log::{Level, Sink};
use crate::resilience::{Decision, FailedAttempt, Hook};
use crate::runtime;
use crate::stats::Operation;

/// Log records that may wait for the log callback.
const MAX_WAITING_LOGS: usize = 10_000;

type RetryFn = unsafe extern "C" fn(*mut c_void, *const tc_failure, *mut u32) -> tc_decision;
type LogFn = unsafe extern "C" fn(*mut c_void, tc_level, *const c_char, *const c_char);

/// The application's say when L2 fails: asked once for each failed attempt, the last one included. Null goes back to
/// `resilience`. Calls made inside it do not ask it again. A caller leaves at its deadline even while it is being
/// asked. `destroy`, which may be null, runs once, after the last call of the callback has
/// returned; not at all when this call fails.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tc_on_retry(
    cache: *mut tc_cache,
    callback: tc_retry_fn,
    user_data: *mut c_void,
    destroy: tc_destroy_fn,
) -> tc_status {
    guard(|| {
        let cache_here = handle::get(cache)?;
        // Not before: when the handle is refused, `user_data` stays the caller's and is not destroyed.
        let registration = Registration { handle: cache as u64, user_data, destroy };
        let hook = callback.map(|callback| Arc::new(RetryHook { callback, registration }) as Arc<dyn Hook>);
        cache_here.on_retry(hook);
        Ok(tc_status::TC_OK)
    })
}

/// Sends log records at or above `level` to the callback instead of `logging.to`. Null goes back to the
/// configuration. While 10,000 records of the process wait, the next are dropped, and counted. `destroy` as in
/// `tc_on_retry`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tc_on_log(
    cache: *mut tc_cache,
    level: tc_level,
    callback: tc_log_fn,
    user_data: *mut c_void,
    destroy: tc_destroy_fn,
) -> tc_status {
    guard(|| {
        let level = level_of(level)?;
        let cache_here = handle::get(cache)?;
        let registration = Registration { handle: cache as u64, user_data, destroy };
        let sink = callback.map(|callback| {
            let log = Arc::new(LogCallback { callback, registration });
            Box::new(LogSink { log }) as Box<dyn Sink>
        });
        cache_here.on_log(level, sink);
        Ok(tc_status::TC_OK)
    })
}

/// The data of a callback, given back when the last call of it has returned.
struct Registration {
    handle: u64,
    user_data: *mut c_void,
    destroy: tc_destroy_fn,
}

// SAFETY: the contract lets the callback be called on any thread, several at once.
unsafe impl Send for Registration {}
// SAFETY: as above.
unsafe impl Sync for Registration {}

impl Drop for Registration {
    fn drop(&mut self) {
        if let Some(destroy) = self.destroy {
            // SAFETY: the application's own function and data; nobody uses the data after this.
            unsafe { destroy(self.user_data) };
        }
    }
}

struct RetryHook {
    callback: RetryFn,
    registration: Registration,
}

impl Hook for RetryHook {
    fn decide(&self, failed: &FailedAttempt) -> Decision {
        let message = text(&failed.message);
        let failure = tc_failure {
            operation: operation(failed.operation),
            status: status(failed.kind),
            key: if failed.key.is_empty() { std::ptr::null() } else { failed.key.as_ptr().cast() },
            key_len: failed.key.len(),
            attempt: failed.attempt,
            max_attempts: failed.max_attempts,
            elapsed_ms: failed.elapsed_ms,
            remaining_ms: failed.remaining_ms,
            message: message.as_ptr(),
        };
        let mut delay_ms = u32::try_from(failed.delay_ms).unwrap_or(u32::MAX);
        let decision = in_callback(self.registration.handle, || {
            // SAFETY: the application's own function and data; the failure and the delay live until it returns.
            unsafe { (self.callback)(self.registration.user_data, &raw const failure, &raw mut delay_ms) }
        });
        match decision.0 {
            TC_DECISION_RETRY => Decision::Retry(delay_ms.into()),
            TC_DECISION_GIVE_UP => Decision::GiveUp,
            _ => Decision::Default,
        }
    }
}

struct LogCallback {
    callback: LogFn,
    registration: Registration,
}

struct LogSink {
    log: Arc<LogCallback>,
}

impl Sink for LogSink {
    fn write(&self, level: Level, target: &'static str, message: &str) -> bool {
        // Not the runtime of the registration: a forked child has the sink, and not its threads.
        let logs = Arc::clone(&runtime::current().logs);
        if logs.waiting() >= MAX_WAITING_LOGS {
            return false;
        }
        let (log, target, message) = (Arc::clone(&self.log), text(target), text(message));
        let record = move || {
            in_callback(log.registration.handle, || {
                let level = tc_level(level as i32);
                // SAFETY: the application's own function and data; the texts live until it returns.
                unsafe {
                    (log.callback)(log.registration.user_data, level, target.as_ptr(), message.as_ptr())
                };
            });
            drop(log);
        };
        logs.run(Box::new(record)).is_ok()
    }
}

struct Running {
    handle: u64,
    closes: bool,
}

thread_local! {
    static RUNNING: RefCell<Option<Running>> = const { RefCell::new(None) };
}

/// Runs a callback of the cache of `handle`; a close that it asks for takes effect when it has returned. It may be inside of
/// another: an answer for an inbox comes on any thread.
pub fn in_callback<R>(handle: u64, callback: impl FnOnce() -> R) -> R {
    let outer = RUNNING.replace(Some(Running { handle, closes: false }));
    let answer = callback();
    let running = RUNNING.replace(outer);
    if running.is_some_and(|running| running.closes) {
        close_elsewhere(handle);
    }
    answer
}

/// The handle is gone at once; the cache waits for this callback among others, so it closes on another thread.
fn close_elsewhere(handle: u64) {
    // Whoever closed it meanwhile has done what was asked.
    let Ok(cache) = handle::close(handle as *mut tc_cache) else { return };
    let runtime = Arc::clone(cache.runtime());
    let _ = runtime.workers.run(Box::new(move || {
        cache.close();
    }));
}

/// Whether this is a callback of the cache of `handle`: then it is closed when the callback returns.
pub fn defer_close(handle: *mut tc_cache) -> Result<bool> {
    let is_first = RUNNING.with_borrow_mut(|running| match running {
        Some(running) if running.handle == handle as u64 => {
            Some(!std::mem::replace(&mut running.closes, true))
        }
        _ => None,
    });
    match is_first {
        None => Ok(false),
        Some(true) => handle::with(handle, |_| true),
        Some(false) => {
            let message = "The cache is being closed already; it is gone when this callback returns.";
            Err(Error::new(Kind::InvalidHandle, message))
        }
    }
}

fn level_of(level: tc_level) -> Result<Level> {
    match level.0 {
        TC_LEVEL_ERROR => Ok(Level::Error),
        TC_LEVEL_WARN => Ok(Level::Warn),
        TC_LEVEL_INFO => Ok(Level::Info),
        TC_LEVEL_DEBUG => Ok(Level::Debug),
        other => Err(arguments::invalid(format!(
            "The level is {other}; TC_LEVEL_ERROR (1) to TC_LEVEL_DEBUG (4)."
        ))),
    }
}

fn operation(operation: Operation) -> tc_operation {
    match operation {
        Operation::Get => tc_operation::TC_OPERATION_GET,
        Operation::Set => tc_operation::TC_OPERATION_SET,
        Operation::Remove => tc_operation::TC_OPERATION_REMOVE,
        Operation::Touch => tc_operation::TC_OPERATION_TOUCH,
        Operation::Connect => tc_operation::TC_OPERATION_CONNECT,
    }
}
