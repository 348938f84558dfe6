//! Set, merged.

use std::ffi::{c_char, c_void};
use std::ptr;

use super::entries::written;
use super::guard::guard;
use super::types::{tc_cache, tc_set_options, tc_status, tc_value};
use super::{arguments, handle, value};
use crate::cache::Base;

/// Stores an MSAL token cache (what `SerializeMsalV3` makes, or `SerializableTokenCache.serialize`) that the caller has
/// changed, merged with what others have made of it meanwhile. `base` is the value that the change started from, as it
/// was read from this cache and not yet released; null when nothing was there. It tells what the caller has removed from
/// what it never saw.
///
/// While what lies there is still `base`, the bytes are stored as they are. Else they are merged, inside
/// `resilience.deadline_ms`, as often as others come between: of access tokens the newer stays, and of two that share a
/// scope too; a refresh token that was replaced gives way to the new one; what one side has removed is gone, unless the
/// other has written it later; what MSAL does not know is kept. While L2 is away it is owed with its base, and merged when
/// L2 is back: `TC_DEGRADED`.
///
/// `*out_merged` is what is stored, to be released; null, with version 0, where nothing was left to store. `options`,
/// `out_version` and `out_merged` may be null; `options->expected_version` must be 0. `TC_INVALID_ARGUMENT` when the bytes
/// or the base are not an MSAL token cache; `TC_L2_PROTOCOL` when what lies there is not; `TC_CONFLICT` when others came
/// between until the deadline: nothing was written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tc_set_merged(
    cache: *mut tc_cache,
    key: *const c_char,
    key_len: usize,
    base: *const tc_value,
    data: *const c_void,
    len: usize,
    options: *const tc_set_options,
    out_version: *mut u64,
    out_merged: *mut *const tc_value,
) -> tc_status {
    guard(|| {
        // SAFETY: by the caller's contract.
        let (key, base, data, options) = unsafe {
            (
                arguments::key(key, key_len)?,
                arguments::base(base)?,
                arguments::value(data, len)?,
                arguments::set_options(options)?,
            )
        };
        arguments::optional_output("out_version", out_version)?;
        arguments::optional_output("out_merged", out_merged)?;
        let base = base.map(|(data, version)| Base { data, version });
        let (outcome, entry) = handle::get(cache)?.set_merged(key, base, data, options)?;
        let (status, version) = written(outcome);
        if status == tc_status::TC_CONFLICT {
            return Ok(status);
        }
        if !out_version.is_null() {
            // SAFETY: not null and aligned; writable by the caller's contract.
            unsafe { out_version.write(version) };
        }
        if !out_merged.is_null() {
            // SAFETY: as above.
            unsafe { out_merged.write(entry.map_or(ptr::null(), value::give)) };
        }
        Ok(status)
    })
}
