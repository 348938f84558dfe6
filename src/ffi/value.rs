//! `tc_value`: the one thing handed out.

use super::types::tc_value;

/// Adds a reference and returns the same pointer. Null is returned as null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tc_value_retain(value: *const tc_value) -> *const tc_value {
}

/// Drops a reference. Null is ignored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tc_value_release(value: *const tc_value) {
}
