//! Pointers and lengths from C into slices: nulls, impossible lengths, alignment, structs of another size.

use std::ffi::{CStr, c_char, c_void};

use super::python::tc_python;
use super::types::{TC_LOCAL_ONLY, tc_set_options, tc_value};
use crate::cache::SetOptions;
use crate::entry::Asked;
use crate::error::{Error, Kind, Result};

/// Given as a length: the text before it ends with a NUL.
const TC_NTS: usize = usize::MAX;
/// The largest `limits.max_key_bytes`.
const MAX_KEY_BYTES: usize = 65_536;
/// A document is at most 1 MiB long.
const MAX_CONFIG_BYTES: usize = 1 << 20;
/// A thousand years.
const MAX_SPAN_MS: i64 = 31_556_952_000_000;
/// The end of the year 9999.
const MAX_TIME_MS: i64 = 253_402_300_799_999;

/// The key at `data`.
///
/// # Safety
/// `data` is null or readable for `len` bytes, or with `TC_NTS` up to and with a NUL.
#[inline]
pub unsafe fn key<'a>(data: *const c_char, len: usize) -> Result<&'a [u8]> {
    if !data.is_null() && len.wrapping_sub(1) < MAX_KEY_BYTES {
        // SAFETY: not null, a possible length, and by the caller's contract readable for it.
        let key: &[u8] = unsafe { std::slice::from_raw_parts(data.cast(), len) };
        if key[0] != b'_' {
            return Ok(key);
        }
    }
    // SAFETY: by this function's own contract.
    unsafe { unusual_key(data, len) }
}

#[cold]
unsafe fn unusual_key<'a>(data: *const c_char, len: usize) -> Result<&'a [u8]> {
    // An empty span of .NET, and others, has no address.
    let key = match len {
        0 => &[],
        // SAFETY: by the caller's contract.
        _ => unsafe { bytes_or_text("key", data, len) }?,
    };
    if key.is_empty() {
        return Err(invalid("The key is empty; a key has at least one byte."));
    }
    if key.len() > MAX_KEY_BYTES {
        return Err(invalid(format!(
            "The key is {} bytes long; at most {MAX_KEY_BYTES} are possible.",
            key.len()
        )));
    }
    if key.starts_with(b"__tokencache:") {
        return Err(invalid(
            "The key begins with __tokencache:, which is the library's own space; choose another.",
        ));
    }
    Ok(key)
}

/// The document at `data`.
///
/// # Safety
/// As for [`key`].
pub unsafe fn config<'a>(data: *const c_char, len: usize) -> Result<&'a [u8]> {
    // SAFETY: by this function's own contract.
    let config = unsafe { bytes_or_text("config", data, len) }?;
    if config.len() > MAX_CONFIG_BYTES {
        let message =
            format!("The document is {} bytes long; at most {MAX_CONFIG_BYTES} are read.", config.len());
        return Err(Error::new(Kind::InvalidConfig, message));
    }
    Ok(config)
}

#[inline]
unsafe fn bytes_or_text<'a>(name: &str, data: *const c_char, len: usize) -> Result<&'a [u8]> {
    if data.is_null() {
        return Err(null(name));
    }
    if len == TC_NTS {
        // SAFETY: not null, and by the caller's contract it ends with a NUL.
        return Ok(unsafe { CStr::from_ptr(data) }.to_bytes());
    }
    if len > isize::MAX as usize {
        return Err(impossible(name, len));
    }
    // SAFETY: not null, a possible length, and by the caller's contract readable for it.
    Ok(unsafe { std::slice::from_raw_parts(data.cast(), len) })
}

/// The value at `data`.
///
/// # Safety
/// `data` is null or readable for `len` bytes.
pub unsafe fn value<'a>(data: *const c_void, len: usize) -> Result<&'a [u8]> {
    if len > isize::MAX as usize {
        return Err(Error::new(Kind::ValueTooLarge, format!("No value can be {len} bytes long.")));
    }
    if data.is_null() {
        return if len == 0 { Ok(&[]) } else { Err(null("data")) };
    }
    // SAFETY: not null, a possible length, and by the caller's contract readable for it.
    Ok(unsafe { std::slice::from_raw_parts(data.cast(), len) })
}

/// The bytes and the version of a value that was handed out; `None` for null.
///
/// # Safety
/// `base` is null, or a value that was handed out and is not yet released for the last time.
pub unsafe fn base<'a>(base: *const tc_value) -> Result<Option<(&'a [u8], u64)>> {
    if base.is_null() {
        return Ok(None);
    }
    if !base.is_aligned() {
        return Err(misaligned("base"));
    }
    // SAFETY: not null, aligned, and by the caller's contract a value, which is never written to.
    let base = unsafe { &*base };
    // SAFETY: a value points at as many bytes as it says.
    let data = unsafe { value(base.data, base.len) }?;
    Ok(Some((data, base.version)))
}

/// What `python` names, when it names all of it.
///
/// # Safety
/// `python` is null, or readable for the `struct_size` it begins with.
pub unsafe fn python<'a>(python: *const tc_python) -> Result<&'a tc_python> {
    if python.is_null() {
        return Err(null("python"));
    }
    if !python.is_aligned() {
        return Err(misaligned("python"));
    }
    // SAFETY: not null, aligned, and it begins with struct_size.
    let (size, known) = unsafe { (*python.cast::<usize>(), size_of::<tc_python>()) };
    if size != known {
        return Err(invalid(format!("python.struct_size is {size}; this version knows one of {known}.")));
    }
    // SAFETY: as long as it is, and laid out as nothing but addresses.
    let addresses: &[usize] = unsafe { std::slice::from_raw_parts(python.cast(), size / size_of::<usize>()) };
    if addresses.contains(&0) {
        return Err(invalid("python has a member that is null."));
    }
    // SAFETY: as above.
    Ok(unsafe { &*python })
}

/// Refuses a place for an output that is not there, or that no such output can be written to.
#[inline(always)]
pub fn output<T>(name: &'static str, output: *mut T) -> Result<()> {
    if output.is_null() {
        return Err(null(name));
    }
    if !output.is_aligned() {
        return Err(misaligned(name));
    }
    Ok(())
}

/// As [`output`], for one that may be null.
pub fn optional_output<T>(name: &'static str, place: *mut T) -> Result<()> {
    if place.is_null() { Ok(()) } else { output(name, place) }
}

#[cold]
fn misaligned(name: &str) -> Error {
    invalid(format!("{name} is not aligned for its type."))
}

/// The options at `options`, as far as this version knows them.
///
/// # Safety
/// `options` is null, or readable for the `struct_size` it begins with.
pub unsafe fn set_options(options: *const tc_set_options) -> Result<SetOptions> {
    if options.is_null() {
        return Ok(SetOptions::default());
    }
    if !options.is_aligned() {
        return Err(misaligned("options"));
    }
    // SAFETY: not null, aligned, and it begins with struct_size.
    let size = unsafe { *options.cast::<usize>() };
    let known = size_of::<tc_set_options>();
    if size < size_of::<usize>() || size > 4096 {
        let message = format!("options.struct_size is {size}; start it with TC_SET_OPTIONS (here {known}).");
        return Err(invalid(message));
    }
    // SAFETY: not null, aligned, and `size` bytes are readable; all bit patterns are valid.
    let options = unsafe { if size == known { *options } else { options_of_size(options, size)? } };
    check_options(&options)?;
    let tc_set_options { ttl_ms, expires_at_ms, sliding_ms, expected_version, flags, .. } = options;
    let asked = Asked { ttl_ms, expires_at_ms, sliding_ms };
    Ok(SetOptions { asked, expected_version, is_local: flags & TC_LOCAL_ONLY != 0 })
}

/// What this version knows of options that another one laid out.
///
/// # Safety
/// `options` is readable for `size` bytes.
#[cold]
unsafe fn options_of_size(options: *const tc_set_options, size: usize) -> Result<tc_set_options> {
    let known = size_of::<tc_set_options>();
    let mut copy = tc_set_options {
        struct_size: size,
        ttl_ms: 0,
        expires_at_ms: 0,
        sliding_ms: 0,
        expected_version: 0,
        flags: 0,
    };
    // SAFETY: by the contract; no more than both sides have are copied; all bit patterns are valid.
    unsafe {
        std::ptr::copy_nonoverlapping(options.cast::<u8>(), (&raw mut copy).cast::<u8>(), size.min(known));
        if size > known {
            let tail = std::slice::from_raw_parts(options.cast::<u8>().add(known), size - known);
            if tail.iter().any(|byte| *byte != 0) {
                let message = format!(
                    "options has {size} bytes, of which this version knows {known}; the rest is not 0."
                );
                return Err(invalid(message));
            }
        }
    }
    Ok(copy)
}

fn check_options(options: &tc_set_options) -> Result<()> {
    if options.flags & !TC_LOCAL_ONLY != 0 {
        return Err(invalid(format!(
            "options.flags is {:#x}; only TC_LOCAL_ONLY (1) is known.",
            options.flags
        )));
    }
    let spans = [
        ("ttl_ms", options.ttl_ms, -1, MAX_SPAN_MS),
        ("expires_at_ms", options.expires_at_ms, 0, MAX_TIME_MS),
        ("sliding_ms", options.sliding_ms, 0, MAX_SPAN_MS),
    ];
    for (name, value, least, most) in spans {
        if !(least..=most).contains(&value) {
            return Err(invalid(format!("options.{name} is {value}; {least} to {most} are possible.")));
        }
    }
    Ok(())
}

#[cold]
fn null(name: &str) -> Error {
    invalid(format!("{name} is null."))
}

#[cold]
fn impossible(name: &str, len: usize) -> Error {
    invalid(format!("{name} cannot be {len} bytes long."))
}

#[cold]
pub fn invalid(message: impl Into<String>) -> Error {
    Error::new(Kind::InvalidArgument, message)
}
