//! Open, configure, flush, close.

use std::ffi::c_char;

use super::types::{tc_cache, tc_status};

/// Opens a cache from a JSON document (`config_len` bytes of UTF-8, or `TC_NTS`). Pass `TC_ABI_VERSION` first. Close
/// `*out_cache` with `tc_close`.
///
/// Does not wait for an L2 that is busy or away; `l2.require_at_open` does, and fails with its status. Fails for the
/// document, and for a database file that cannot be used on this machine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tc_open(
    abi_version: u32,
    config: *const c_char,
    config_len: usize,
    out_cache: *mut *mut tc_cache,
) -> tc_status {
}

/// Applies a new document to an open cache without losing an acknowledged write. A member that cannot change while
/// open is refused by name and nothing is applied. Allowed in a retry callback.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tc_configure(
    cache: *mut tc_cache,
    config: *const c_char,
    config_len: usize,
) -> tc_status {
}

/// Waits until nothing is owed to L2 or `timeout_ms` is over: `TC_OK`, or `TC_DEGRADED` while something is owed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tc_flush(cache: *mut tc_cache, timeout_ms: u32) -> tc_status {
}

/// Ends every call, waits at most `resilience.close_ms` for what was accepted, and frees. Values outlive it. In a
/// callback of this cache: `TC_OK`, accepted, and it takes effect when the callback returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tc_close(cache: *mut tc_cache) -> tc_status {
}
