//! Get, peek, get into, set, remove, touch, clear.

use std::ffi::{c_char, c_void};

use super::types::{tc_cache, tc_set_options, tc_status, tc_value};

/// Reads from L1, then from L2. `TC_OK` or `TC_DEGRADED` with `*out_value`, to be released; `TC_NOT_FOUND`; a read
/// that found nothing while L2 could not be asked is L2's failure.
///
/// Keys are bytes: 1 to `limits.max_key_bytes` of any value (`key_len` may be `TC_NTS`), but not beginning with
/// `__tokencache:`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tc_get(
    cache: *mut tc_cache,
    key: *const c_char,
    key_len: usize,
    out_value: *mut *const tc_value,
) -> tc_status {
}

/// Reads from L1 alone: never waits for L2, a callback or another call. `TC_NOT_FOUND` also when the entry must be
/// checked against L2 first.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tc_peek(
    cache: *mut tc_cache,
    key: *const c_char,
    key_len: usize,
    out_value: *mut *const tc_value,
) -> tc_status {
}

/// Reads into the caller's buffer, as `tc_get`. `*out_len` is the length of the value, also with
/// `TC_BUFFER_TOO_SMALL`, when nothing was written to the buffer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tc_get_into(
    cache: *mut tc_cache,
    key: *const c_char,
    key_len: usize,
    buffer: *mut c_void,
    buffer_len: usize,
    out_len: *mut usize,
) -> tc_status {
}

/// Stores a copy of the bytes in both tiers. `options` and `out_version` may be null. `TC_CONFLICT` when
/// `expected_version` is not what is there. A set that has expired already removes: `TC_OK`, version 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tc_set(
    cache: *mut tc_cache,
    key: *const c_char,
    key_len: usize,
    data: *const c_void,
    len: usize,
    options: *const tc_set_options,
    out_version: *mut u64,
) -> tc_status {
}

/// Removes from both tiers. `TC_OK` also when there was nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tc_remove(cache: *mut tc_cache, key: *const c_char, key_len: usize) -> tc_status {
}

/// Renews a sliding entry without reading it: `TC_NOT_FOUND` when there is none, `TC_OK` when it does not slide.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tc_touch(cache: *mut tc_cache, key: *const c_char, key_len: usize) -> tc_status {
}

/// Empties L1 of this process, local-only entries included. L2 is untouched.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tc_clear(cache: *mut tc_cache) -> tc_status {
}
