//! The application's callbacks: registration, and the last use of their data.

use std::ffi::c_void;

use super::types::{tc_cache, tc_destroy_fn, tc_level, tc_log_fn, tc_retry_fn, tc_status};

/// The application's say when L2 fails: asked once for each failed attempt, the last one included. Null goes back to
/// `resilience`. Calls made inside it do not ask it again. A caller leaves at its deadline even while it is being
/// asked. `destroy`, which may be null, runs once, after the last call of the callback has returned.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tc_on_retry(
    cache: *mut tc_cache,
    callback: tc_retry_fn,
    user_data: *mut c_void,
    destroy: tc_destroy_fn,
) -> tc_status {
}

/// Sends log records at or above `level` to the callback instead of `logging.to`. Null goes back to the
/// configuration. `destroy` as in `tc_on_retry`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tc_on_log(
    cache: *mut tc_cache,
    level: tc_level,
    callback: tc_log_fn,
    user_data: *mut c_void,
    destroy: tc_destroy_fn,
) -> tc_status {
}
