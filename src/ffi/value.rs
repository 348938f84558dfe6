//! `tc_value`: the one thing handed out.

use std::mem::offset_of;

use super::types::tc_value;
use crate::entry::Entry;
use crate::entry::raw::{self, PublicHead};

// The entry's own head is what C reads.
const _: () = {
    assert!(size_of::<tc_value>() == size_of::<PublicHead>());
    assert!(offset_of!(tc_value, data) == offset_of!(PublicHead, data));
    assert!(offset_of!(tc_value, len) == offset_of!(PublicHead, len));
    assert!(offset_of!(tc_value, version) == offset_of!(PublicHead, version));
    assert!(offset_of!(tc_value, written_at_ms) == offset_of!(PublicHead, written_at_ms));
    assert!(offset_of!(tc_value, expires_at_ms) == offset_of!(PublicHead, expires_at_ms));
    assert!(offset_of!(tc_value, tier) == offset_of!(PublicHead, tier));
    assert!(offset_of!(tc_value, flags) == offset_of!(PublicHead, flags));
};

/// Hands `entry` out; `tc_value_release` takes it back.
#[inline]
pub fn give(entry: Entry) -> *const tc_value {
    entry.into_raw().into_public().cast()
}

/// Adds a reference and returns the same pointer. Null is returned as null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tc_value_retain(value: *const tc_value) -> *const tc_value {
    if !value.is_null() {
        // SAFETY: by the caller's contract a value that was handed out and not yet released for the last time.
        unsafe { raw::retain(value.cast()) };
    }
    value
}

/// Drops a reference. Null is ignored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tc_value_release(value: *const tc_value) {
    if !value.is_null() {
        // SAFETY: by the caller's contract one of its own references to a value that was handed out.
        unsafe { raw::release(value.cast()) };
    }
}
