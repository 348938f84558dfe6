//! Get, peek, get into, set, remove, touch, clear.

use std::ffi::{c_char, c_void};
use std::time::Instant;

use super::guard::guard;
use super::types::{tc_cache, tc_set_options, tc_status, tc_value};
use super::{arguments, handle, value};
use crate::cache::{Answer, SetOutcome};
use crate::entry::Entry;
use crate::error::{Error, Kind, Result};

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
    guard(|| {
        // SAFETY: by the caller's contract.
        let key = unsafe { arguments::key(key, key_len) }?;
        arguments::output("out_value", out_value)?;
        let (value, status) = match handle::hit(cache, key) {
            Some((reader, held)) => (held.lend(reader).cast(), tc_status::TC_OK),
            None => match found(missed(cache, key)?) {
                Some((entry, status)) => (value::give(entry), status),
                None => return Ok(tc_status::TC_NOT_FOUND),
            },
        };
        // SAFETY: not null and aligned; writable by the caller's contract.
        unsafe { out_value.write(value) };
        Ok(status)
    })
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
    guard(|| {
        // SAFETY: by the caller's contract.
        let key = unsafe { arguments::key(key, key_len) }?;
        arguments::output("out_value", out_value)?;
        let value = match handle::hit(cache, key) {
            Some((reader, held)) => held.lend(reader).cast(),
            None => match handle::get(cache)?.peek_checked(key)? {
                Some(entry) => value::give(entry),
                None => return Ok(tc_status::TC_NOT_FOUND),
            },
        };
        // SAFETY: not null and aligned; writable by the caller's contract.
        unsafe { out_value.write(value) };
        Ok(tc_status::TC_OK)
    })
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
    guard(|| {
        // SAFETY: by the caller's contract.
        let key = unsafe { arguments::key(key, key_len) }?;
        arguments::output("out_len", out_len)?;
        if buffer.is_null() && buffer_len != 0 {
            return Err(arguments::invalid("buffer is null, but buffer_len is not 0."));
        }
        // SAFETY: the buffer is writable for `buffer_len` bytes and `out_len` not null and aligned, by the caller's contract.
        let copy = |entry: &Entry| unsafe { copy_out(entry.data(), buffer, buffer_len, out_len) };
        if let Some((_, held)) = handle::hit(cache, key) {
            copy(&held)?;
            return Ok(tc_status::TC_OK);
        }
        let Some((entry, status)) = found(missed(cache, key)?) else {
            return Ok(tc_status::TC_NOT_FOUND);
        };
        copy(&entry)?;
        Ok(status)
    })
}

/// Stores a copy of the bytes in both tiers. `options` and `out_version` may be null. `TC_CONFLICT` when
/// `expected_version` is not what is there. A set that has expired already removes: `TC_OK`, version 0. `TC_DEGRADED` when
/// L2 did not take it: it is kept here and owed to L2; never with `expected_version`, which is L2's failure then.
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
    guard(|| {
        // SAFETY: by the caller's contract.
        let (key, data, options) = unsafe {
            (arguments::key(key, key_len)?, arguments::value(data, len)?, arguments::set_options(options)?)
        };
        arguments::optional_output("out_version", out_version)?;
        let outcome = match handle::inside(cache).and_then(|cache| cache.set_in_l1(key, data, options)) {
            Some(outcome) => outcome,
            None => handle::get(cache)?.set(key, data, options),
        };
        let (status, version) = written(outcome?);
        if status != tc_status::TC_CONFLICT && !out_version.is_null() {
            // SAFETY: not null and aligned; writable by the caller's contract.
            unsafe { out_version.write(version) };
        }
        Ok(status)
    })
}

/// Removes from both tiers. `TC_OK` also when there was nothing; `TC_DEGRADED` when L2 did not take it: nobody finds it
/// here any more, and the removal is owed to L2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tc_remove(cache: *mut tc_cache, key: *const c_char, key_len: usize) -> tc_status {
    guard(|| {
        // SAFETY: by the caller's contract.
        let key = unsafe { arguments::key(key, key_len) }?;
        Ok(written(handle::get(cache)?.remove_since(key, Instant::now())?).0)
    })
}

/// Renews a sliding entry without reading it: `TC_NOT_FOUND` when there is none, `TC_OK` when it does not slide.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tc_touch(cache: *mut tc_cache, key: *const c_char, key_len: usize) -> tc_status {
    guard(|| {
        // SAFETY: by the caller's contract.
        let key = unsafe { arguments::key(key, key_len) }?;
        let is_there = handle::get(cache)?.touch(key)?;
        Ok(if is_there { tc_status::TC_OK } else { tc_status::TC_NOT_FOUND })
    })
}

/// Empties L1 of this process, local-only entries included. L2 is untouched.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tc_clear(cache: *mut tc_cache) -> tc_status {
    guard(|| {
        handle::get(cache)?.clear()?;
        Ok(tc_status::TC_OK)
    })
}

/// Copies `data` to where the caller wants it, and says how long it is.
///
/// # Safety
/// `buffer` can be written for `buffer_len` bytes, and `out_len` at all.
#[inline(always)]
unsafe fn copy_out(data: &[u8], buffer: *mut c_void, buffer_len: usize, out_len: *mut usize) -> Result<()> {
    // SAFETY: by the contract.
    unsafe { out_len.write(data.len()) };
    if data.len() > buffer_len {
        let message = format!("The value is {} bytes long, the buffer {buffer_len}.", data.len());
        return Err(Error::new(Kind::BufferTooSmall, message));
    }
    if !data.is_empty() {
        // SAFETY: by the contract, and it is long enough; it is the caller's own, so it cannot overlap an entry.
        unsafe { std::ptr::copy_nonoverlapping(data.as_ptr(), buffer.cast(), data.len()) };
    }
    Ok(())
}

#[cold]
fn missed(cache: *mut tc_cache, key: &[u8]) -> Result<Answer> {
    match handle::with(cache, |cache| cache.get_suspended(key))? {
        Some(entry) => Ok(Answer::Degraded(entry)),
        None => handle::get(cache)?.get_missed(key, Instant::now()),
    }
}

/// What the caller is told of a write, and its version.
pub(super) fn written(outcome: SetOutcome) -> (tc_status, u64) {
    match outcome {
        SetOutcome::Stored(version) => (tc_status::TC_OK, version),
        SetOutcome::Owed(version) => (tc_status::TC_DEGRADED, version),
        SetOutcome::Conflict => (tc_status::TC_CONFLICT, 0),
    }
}

/// An entry, and what the caller is told of it.
#[inline(always)]
pub(super) fn found(answer: Answer) -> Option<(Entry, tc_status)> {
    match answer {
        Answer::Fresh(entry) => Some((entry, tc_status::TC_OK)),
        Answer::Degraded(entry) => Some((entry, tc_status::TC_DEGRADED)),
        Answer::Absent => None,
    }
}
