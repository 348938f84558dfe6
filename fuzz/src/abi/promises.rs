//! What the library owes its caller: each accepted call is answered once, each callback gets its data back once.

use std::ffi::{CStr, c_char, c_void};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use tokencache::ffi::*;

use super::{contents, said};

/// How long an answer that was promised may stay away.
const LONG: Duration = Duration::from_secs(20);

/// What was promised and has not come yet: answers to asynchronous calls, and the last word to each callback.
static PROMISED: AtomicI64 = AtomicI64::new(0);

/// Every cache is closed: nothing is promised any more, or will soon have come.
pub fn are_kept() {
    let end = Instant::now() + LONG;
    while PROMISED.load(Ordering::SeqCst) != 0 {
        assert!(Instant::now() < end, "{} promises are not kept", PROMISED.load(Ordering::SeqCst));
        std::thread::yield_now();
    }
}

/// Whatever; it must come back as it was.
pub fn data() -> *mut c_void {
    (&raw const PROMISED).cast_mut().cast()
}

fn is_kept(user_data: *mut c_void) {
    assert_eq!(user_data, data());
    let before = PROMISED.fetch_sub(1, Ordering::SeqCst);
    assert!(before > 0, "a promise was kept twice");
}

/// An accepted call is answered once.
pub fn promises(has_done: bool, call: impl FnOnce(tc_done_fn) -> tc_status) {
    PROMISED.fetch_add(1, Ordering::SeqCst);
    let status = call(if has_done { Some(on_done) } else { None });
    said(status);
    if status != tc_status::TC_OK {
        PROMISED.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What was taken with a callback, or with none, is given back once.
pub fn promises_an_end(call: impl FnOnce(tc_destroy_fn) -> tc_status) {
    PROMISED.fetch_add(1, Ordering::SeqCst);
    let status = call(Some(on_destroy));
    said(status);
    if status != tc_status::TC_OK {
        PROMISED.fetch_sub(1, Ordering::SeqCst);
    }
}

unsafe extern "C" fn on_done(user_data: *mut c_void, result: *const tc_result) {
    // SAFETY: valid during the callback.
    let result = unsafe { &*result };
    assert_ne!(result.status, tc_status::TC_PANIC);
    if !result.value.is_null() {
        std::hint::black_box(contents(result.value).len());
    }
    is_kept(user_data);
}

unsafe extern "C" fn on_destroy(user_data: *mut c_void) {
    is_kept(user_data);
}

pub unsafe extern "C" fn on_retry(
    _: *mut c_void,
    failure: *const tc_failure,
    delay_ms: *mut u32,
) -> tc_decision {
    // SAFETY: both are valid during the callback.
    let attempt = unsafe {
        delay_ms.write(1);
        (*failure).attempt
    };
    tc_decision(if attempt == 1 { TC_DECISION_RETRY } else { TC_DECISION_DEFAULT })
}

pub unsafe extern "C" fn on_log(_: *mut c_void, _: tc_level, target: *const c_char, message: *const c_char) {
    for text in [target, message] {
        // SAFETY: texts that are valid during the callback.
        assert!(unsafe { CStr::from_ptr(text) }.to_str().is_ok());
    }
}
