//! What the library says of itself.

use std::ffi::c_char;

use super::types::{tc_cache, tc_status, tc_value};

/// Counters and health as a JSON document. Release `*out_json`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tc_stats(cache: *mut tc_cache, out_json: *mut *const tc_value) -> tc_status {
}

/// Explains the last failure on this thread; the text stays until the next one there. Never null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tc_last_error() -> *const c_char {
}

/// The name of a `tc_status`, such as `TC_OK`, for logs. Never null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tc_status_name(status: i32) -> *const c_char {
}

/// The version of this library, such as `1.0.0`. Never null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tc_version() -> *const c_char {
}
