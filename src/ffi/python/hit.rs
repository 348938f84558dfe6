//! A read of L1.

use std::ffi::c_void;
use std::panic::catch_unwind;
use std::ptr;

use super::{Method, ONE_ARGUMENT, Object, PYTHON, tc_python, the_one};
use crate::ffi::guard::guard;
use crate::ffi::types::{tc_cache, tc_status};
use crate::ffi::{arguments, handle};

/// For CPython alone, and with its lock held: makes a function object. Called with a key, a `str` or `bytes`, it
/// returns the `bytes` that L1 holds; or `None`, and then `tc_get` says what there is. It keeps no reference to the
/// cache, and returns `None` once that is closed. `*out_function` is a new reference.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tc_python_hit(
    cache: *mut tc_cache,
    python: *const tc_python,
    out_function: *mut *mut c_void,
) -> tc_status {
    guard(|| {
        arguments::output("out_function", out_function)?;
        // SAFETY: by the caller's contract.
        let python = the_one(unsafe { arguments::python(python) }?)?;
        handle::with(cache, |_| ())?;
        // SAFETY: by the caller's contract Python's lock is held.
        unsafe {
            let this = python.bytes(&(cache as u64).to_ne_bytes());
            out_function.write(python.function(&HIT, this)?);
        }
        Ok(tc_status::TC_OK)
    })
}

/// What the function object does: `this` is what it was made with.
///
/// # Safety
/// Python calls it, as it calls any function.
unsafe extern "C" fn hit(this: Object, key: Object) -> Object {
    let Some(python) = PYTHON.get() else { return ptr::null_mut() };
    let found = catch_unwind(|| {
        // SAFETY: Python holds its lock, and both objects, during the call; `this` are the bytes of a handle.
        unsafe {
            let handle = (python.bytes_as_string)(this).cast::<u64>().read_unaligned();
            let (_, held) = handle::hit(handle as *mut tc_cache, python.key(key)?)?;
            Some(python.bytes(held.data()))
        }
    });
    // SAFETY: Python holds its lock during the call.
    found.ok().flatten().unwrap_or_else(|| unsafe { python.none() })
}

static HIT: Method = Method { name: c"hit".as_ptr(), call: hit, flags: ONE_ARGUMENT, doc: ptr::null() };
