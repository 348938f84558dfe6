//! Open, configure, flush, close.

use std::ffi::c_char;
use std::time::Duration;

use super::guard::guard;
use super::types::{TC_ABI_VERSION, tc_cache, tc_status};
use super::{arguments, callbacks, fork, handle};
use crate::cache::Cache;
use crate::error::{Error, Kind};

/// Opens a cache from a JSON document (`config_len` bytes of UTF-8, or `TC_NTS`). Pass `TC_ABI_VERSION` first. Close
/// `*out_cache` with `tc_close`.
///
/// Does not wait for an L2 that is busy or away; `l2.require_at_open` does, and fails with its status. Fails for the
/// document, the key ring and the certificates that it names, for a database or journal file that cannot be used on this
/// machine, and where 256 caches are open: `TC_OUT_OF_MEMORY`. A journal file that others keep locked is waited for, up to
/// 2 s, and so are files that hang, however long.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tc_open(
    abi_version: u32,
    config: *const c_char,
    config_len: usize,
    out_cache: *mut *mut tc_cache,
) -> tc_status {
    guard(|| {
        if abi_version != TC_ABI_VERSION {
            let message = format!(
                "The caller was built for generation {abi_version} of the ABI, this library is generation \
                 {TC_ABI_VERSION}; build against its header."
            );
            return Err(Error::new(Kind::AbiMismatch, message));
        }
        // SAFETY: by the caller's contract.
        let config = unsafe { arguments::config(config, config_len) }?;
        arguments::output("out_cache", out_cache)?;
        fork::watch();
        let handle = handle::open(Cache::open(config)?)?;
        // SAFETY: not null and aligned; writable by the caller's contract.
        unsafe { out_cache.write(handle) };
        Ok(tc_status::TC_OK)
    })
}

/// Applies a new document to an open cache without losing an acknowledged write: a whole one, what it leaves out has its
/// default again. A member that cannot change while open is refused by name and nothing is applied. Allowed in a retry
/// callback.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tc_configure(
    cache: *mut tc_cache,
    config: *const c_char,
    config_len: usize,
) -> tc_status {
    guard(|| {
        // SAFETY: by the caller's contract.
        let config = unsafe { arguments::config(config, config_len) }?;
        handle::get(cache)?.configure(config)?;
        Ok(tc_status::TC_OK)
    })
}

/// Waits until accepted asynchronous calls have done their work and nothing is owed to L2, or `timeout_ms` is over: `TC_OK`,
/// or `TC_DEGRADED` when that was not so.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tc_flush(cache: *mut tc_cache, timeout_ms: u32) -> tc_status {
    guard(|| {
        let is_done = handle::get(cache)?.flush(Duration::from_millis(timeout_ms.into()));
        Ok(if is_done { tc_status::TC_OK } else { tc_status::TC_DEGRADED })
    })
}

/// Flushes, ends every call, waits for what was accepted and for callbacks that run, all of it within `resilience.close_ms`,
/// and frees. What has not ended by then ends later: `done` is called yet, and a callback that runs has its `user_data` until
/// `destroy`. `TC_DEGRADED` when something was still owed to L2: kept where there is a `resilience.journal_path`, else lost,
/// and the log says how many writes. Values outlive it. In a callback of this cache: `TC_OK`, accepted, and it takes effect
/// when the callback returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tc_close(cache: *mut tc_cache) -> tc_status {
    guard(|| {
        if callbacks::defer_close(cache)? {
            return Ok(tc_status::TC_OK);
        }
        let is_done = handle::close(cache)?.close();
        Ok(if is_done { tc_status::TC_OK } else { tc_status::TC_DEGRADED })
    })
}
