//! The seal of L2 by hand.

use std::ffi::{c_char, c_void};

use super::guard::{Answer, guard};
use super::types::{tc_cache, tc_status, tc_value};
use super::{arguments, handle, value};
use crate::entry::Entry;

/// The seal of L2 by hand: protect on machine 1, unprotect on machine 2. Seals `len` bytes for `key` under the active
/// key of the ring, as a set would, and answers the envelope; nothing is stored. Release `*out_envelope`.
/// `TC_INVALID_CONFIG` where the cache has no ring.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tc_protect(
    cache: *mut tc_cache,
    key: *const c_char,
    key_len: usize,
    data: *const c_void,
    len: usize,
    out_envelope: *mut *const tc_value,
) -> tc_status {
    guard(|| {
        // SAFETY: by the caller's contract.
        let (key, data) = unsafe { (arguments::key(key, key_len)?, arguments::value(data, len)?) };
        arguments::output("out_envelope", out_envelope)?;
        let envelope = handle::get(cache)?.protect(key, data)?;
        // SAFETY: not null and aligned; writable by the caller's contract.
        unsafe { give(Some(envelope), out_envelope) }
    })
}

/// Opens an envelope that was sealed for `key`, as a read would; one of the `TC_SEAL_...` says why it does not open,
/// `TC_NOT_FOUND` that it has ended by what is sealed in it. Nothing is read from a tier. Release `*out_value`.
/// `TC_INVALID_CONFIG` where the cache has no ring.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tc_unprotect(
    cache: *mut tc_cache,
    key: *const c_char,
    key_len: usize,
    envelope: *const c_void,
    len: usize,
    out_value: *mut *const tc_value,
) -> tc_status {
    guard(|| {
        // SAFETY: by the caller's contract.
        let (key, envelope) = unsafe { (arguments::key(key, key_len)?, arguments::value(envelope, len)?) };
        arguments::output("out_value", out_value)?;
        let opened = handle::get(cache)?.unprotect(key, envelope)?;
        // SAFETY: not null and aligned; writable by the caller's contract.
        unsafe { give(opened, out_value) }
    })
}

/// # Safety
/// `output` is writable.
unsafe fn give(entry: Option<Entry>, output: *mut *const tc_value) -> Answer {
    let Some(entry) = entry else { return Ok(tc_status::TC_NOT_FOUND) };
    // SAFETY: by the caller's contract.
    unsafe { output.write(value::give(entry)) };
    Ok(tc_status::TC_OK)
}
