//! The calls that answer by a callback.

use std::ffi::{c_char, c_void};

use super::types::{tc_cache, tc_done_fn, tc_set_options, tc_status};

/// `tc_get` in the background. `TC_OK` means accepted: `done` is then called exactly once, on a thread of the
/// library, never inside this call. Two accepted calls are not ordered against each other.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tc_get_async(
    cache: *mut tc_cache,
    key: *const c_char,
    key_len: usize,
    done: tc_done_fn,
    user_data: *mut c_void,
) -> tc_status {
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
}
