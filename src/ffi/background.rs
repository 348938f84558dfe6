//! The calls that answer by a callback.

use std::ffi::{c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::entries::{found, written};
use super::guard::{self, defect, guard, status, text};
use super::types::{tc_cache, tc_done_fn, tc_result, tc_set_options, tc_status, tc_value};
use super::{arguments, callbacks, handle, python, value};
use crate::cache::{Answer, Cache, InProgress, SetOutcome};
use crate::defect;
use crate::entry::{Entry, Secret};
use crate::error::{Error, Kind, Result};
use crate::resilience;
use crate::runtime::Pool;

/// Accepted calls of one cache that have not completed.
const MAX_WAITING: usize = 100_000;

/// `tc_get` in the background. `TC_OK` means accepted: `done` is then called exactly once, on a thread of the
/// library, never inside this call. Two accepted calls are not ordered against each other. While 100,000 of a cache are under
/// way the next is `TC_OUT_OF_MEMORY`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tc_get_async(
    cache: *mut tc_cache,
    key: *const c_char,
    key_len: usize,
    done: tc_done_fn,
    user_data: *mut c_void,
) -> tc_status {
    guard(|| {
        // SAFETY: by the caller's contract.
        let key = unsafe { arguments::key(key, key_len) }?;
        let mut completion = Completion::new(cache, done, user_data)?;
        let cache = accept(cache)?;
        let callbacks = Arc::clone(&cache.runtime().callbacks);
        if !completion.is_for_inbox() {
            // What L1 answers is told before this returns; without another thread, inside of this call.
            callbacks.man()?;
        }
        let working = completion.accept(&cache);
        let told = move |answer: Result<Answer>| {
            completion.set_outcome(Some(answer.map(Outcome::of_read)));
            drop(working);
            complete(&callbacks, completion);
        };
        cache.get_in_background(key, Instant::now(), Box::new(told));
        Ok(tc_status::TC_OK)
    })
}

/// `tc_set` in the background; key, bytes and options are copied before this returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tc_set_async(
    cache: *mut tc_cache,
    key: *const c_char,
    key_len: usize,
    data: *const c_void,
    len: usize,
    options: *const tc_set_options,
    done: tc_done_fn,
    user_data: *mut c_void,
) -> tc_status {
    guard(|| {
        // SAFETY: by the caller's contract.
        let (key, data, options) = unsafe {
            (arguments::key(key, key_len)?, arguments::value(data, len)?, arguments::set_options(options)?)
        };
        handle::with(cache, |cache| cache.check_value(data))??;
        let (key, data) = (key.to_vec(), Secret::copy(data).ok_or_else(|| Error::out_of_memory(len))?);
        let completion = Completion::new(cache, done, user_data)?;
        start(cache, completion, move |cache, started| {
            cache.set_since(&key, &data, options, started).map(Outcome::of_write)
        })
    })
}

/// `tc_remove` in the background.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tc_remove_async(
    cache: *mut tc_cache,
    key: *const c_char,
    key_len: usize,
    done: tc_done_fn,
    user_data: *mut c_void,
) -> tc_status {
    guard(|| {
        // SAFETY: by the caller's contract.
        let key = unsafe { arguments::key(key, key_len) }?.to_vec();
        let completion = Completion::new(cache, done, user_data)?;
        start(cache, completion, move |cache, started| {
            cache.remove_since(&key, started).map(Outcome::of_write)
        })
    })
}

struct Outcome {
    status: tc_status,
    entry: Option<Entry>,
    version: u64,
}

impl Outcome {
    fn of_write(outcome: SetOutcome) -> Outcome {
        let (status, version) = written(outcome);
        Outcome { status, entry: None, version }
    }

    fn of_read(answer: Answer) -> Outcome {
        match found(answer) {
            Some((entry, status)) => Outcome { status, version: entry.version(), entry: Some(entry) },
            None => Outcome { status: tc_status::TC_NOT_FOUND, version: 0, entry: None },
        }
    }
}

/// The caller's `done`: called exactly once when the call was accepted, also when the work was abandoned.
struct Completion {
    handle: u64,
    done: unsafe extern "C" fn(*mut c_void, *const tc_result),
    user_data: *mut c_void,
    outcome: Option<Result<Outcome>>,
    /// From when the call is accepted until `done` has returned.
    accepted: Option<InProgress>,
    /// What was accepted may be refused yet, where another thread is to do it.
    is_refused: Option<Arc<AtomicBool>>,
}

// SAFETY: the contract lets `done` be called on any thread.
unsafe impl Send for Completion {}

impl Completion {
    fn new(handle: *mut tc_cache, done: tc_done_fn, user_data: *mut c_void) -> Result<Completion> {
        let done = done.ok_or_else(|| arguments::invalid("done is null."))?;
        Ok(Completion {
            handle: handle as u64,
            done,
            user_data,
            outcome: None,
            accepted: None,
            is_refused: None,
        })
    }

    /// From now on `done` will be called. Answers what says, when it is dropped, that the work is done.
    fn accept(&mut self, cache: &Arc<Cache>) -> InProgress {
        let (working, accepted) = cache.accept();
        self.accepted = Some(accepted);
        working
    }

    /// Then it can be told on any thread.
    fn is_for_inbox(&self) -> bool {
        python::inbox::is_for_inbox(self.done)
    }

    fn set_outcome(&mut self, outcome: Option<Result<Outcome>>) {
        self.outcome = outcome;
    }
}

impl Drop for Completion {
    fn drop(&mut self) {
        let is_refused = self.is_refused.as_ref().is_some_and(|refused| refused.load(Ordering::Acquire));
        if self.accepted.is_none() || is_refused {
            return;
        }
        let outcome = self.outcome.take().unwrap_or_else(|| Err(defect()));
        let (status, entry, version, message) = match outcome {
            Ok(outcome) => (outcome.status, outcome.entry, outcome.version, None),
            Err(error) => (status(error.kind), None, 0, Some(text(&error.message))),
        };
        let message = message.as_deref().unwrap_or_default();
        let given: *const tc_value = entry.map_or(std::ptr::null(), value::give);
        let result = tc_result { status, value: given, version, message: message.as_ptr() };
        callbacks::in_callback(self.handle, || {
            // SAFETY: the caller's own function and data; the result lives until it returns.
            unsafe { (self.done)(self.user_data, &raw const result) };
            // A close that `done` asked for comes next, and must not wait for `done`.
            drop(self.accepted.take());
        });
        // SAFETY: the reference given above, or null.
        unsafe { value::tc_value_release(given) };
    }
}

/// The cache, if it can take one more.
fn accept(handle: *mut tc_cache) -> Result<Arc<Cache>> {
    let cache = handle::get(handle)?;
    if cache.accepted() >= MAX_WAITING {
        let message = format!("{MAX_WAITING} asynchronous calls are under way; wait for some of them first.");
        return Err(Error::new(Kind::OutOfMemory, message));
    }
    Ok(cache)
}

/// Calls `done` on a callback thread. Where none can be made, dropping the job completes the call on this one; so does
/// dropping one for an inbox.
fn complete(callbacks: &Arc<Pool>, completion: Completion) {
    if !completion.is_for_inbox() {
        drop(callbacks.run(Box::new(move || drop(completion))));
    }
}

fn start(
    handle: *mut tc_cache,
    mut completion: Completion,
    work: impl FnOnce(&Cache, Instant) -> Result<Outcome> + Send + 'static,
) -> guard::Answer {
    let cache = accept(handle)?;
    let runtime = Arc::clone(cache.runtime());
    let working = completion.accept(&cache);
    let is_refused = Arc::new(AtomicBool::new(false));
    completion.is_refused = Some(Arc::clone(&is_refused));
    let callbacks = Arc::clone(&runtime.callbacks);
    let (started, is_deciding) = (Instant::now(), resilience::is_deciding());
    let job = move || {
        let work = || {
            defect::point("work");
            resilience::as_deciding(is_deciding, || work(&cache, started))
        };
        completion.set_outcome(catch_unwind(AssertUnwindSafe(work)).ok());
        drop(cache);
        drop(working);
        complete(&callbacks, completion);
    };
    runtime.workers.run(Box::new(job)).map_err(|refused| {
        is_refused.store(true, Ordering::Release);
        Error::from(refused)
    })?;
    Ok(tc_status::TC_OK)
}
