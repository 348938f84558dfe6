//! What the library says of itself.

use std::ffi::{CStr, c_char};

use super::guard::{self, guard};
use super::types::{tc_cache, tc_status, tc_value};
use super::{arguments, handle, value};
use crate::entry::Entry;
use crate::error::Error;

const VERSION: &CStr = match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
    Ok(version) => version,
    Err(_) => c"",
};

/// Counters and health as a JSON document. Release `*out_json`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tc_stats(cache: *mut tc_cache, out_json: *mut *const tc_value) -> tc_status {
    guard(|| {
        arguments::output("out_json", out_json)?;
        let (cache, hits) = handle::get_with_hits(cache)?;
        let document = cache.statistics(hits)?;
        let entry = Entry::document(document.as_bytes());
        let entry = entry.ok_or_else(|| Error::out_of_memory(document.len()))?;
        // SAFETY: not null and aligned; writable by the caller's contract.
        unsafe { out_json.write(value::give(entry)) };
        Ok(tc_status::TC_OK)
    })
}

/// Explains the last failure on this thread; the text stays until the next one there. Never null; empty before the first, and
/// where there was no memory for it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tc_last_error() -> *const c_char {
    guard::last_error()
}

/// The name of a `tc_status`, such as `TC_OK`, for logs. Never null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tc_status_name(status: i32) -> *const c_char {
    guard::name(status).as_ptr()
}

/// The version of this library, such as `1.0.0`. Never null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tc_version() -> *const c_char {
    VERSION.as_ptr()
}
