//! Around every exported body: a panic becomes `TC_PANIC`, an error becomes a status and this thread's last error.

use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::types::tc_status;
use crate::error::{Error, Kind};

/// What a body answers when it did not fail.
pub type Answer = Result<tc_status, Error>;

thread_local! {
    /// With its NUL; empty where there was none, or no memory for it.
    static LAST_ERROR: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Runs `body`.
#[inline]
pub fn guard(body: impl FnOnce() -> Answer) -> tc_status {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(status)) => status,
        Ok(Err(error)) => fail(&error),
        Err(panic) => {
            // The payload's own drop may panic again.
            std::mem::forget(panic);
            fail(&defect())
        }
    }
}

/// What a caught panic is called.
pub fn defect() -> Error {
    let message = "A defect in Tokencache: the call was abandoned, the cache stays usable. Please report it.";
    Error::new(Kind::Panic, message)
}

#[cold]
fn fail(error: &Error) -> tc_status {
    set_last_error(&error.message);
    status(error.kind)
}

/// Keeps `message` for `tc_last_error`, without the NULs that C cannot hold, if there is memory for it.
pub fn set_last_error(message: &str) {
    // A thread that is ending has no place for it any more.
    let _ = LAST_ERROR.try_with(|last| {
        let Ok(mut last) = last.try_borrow_mut() else { return };
        last.clear();
        if last.try_reserve(message.len() + 1).is_ok() {
            last.extend(message.bytes().map(|byte| if byte == 0 { b' ' } else { byte }));
            last.push(0);
        }
    });
}

/// The text of this thread's last failure.
pub fn last_error() -> *const c_char {
    let address = |last: &RefCell<Vec<u8>>| {
        let last = last.try_borrow().ok().filter(|last| !last.is_empty());
        last.map_or(c"".as_ptr(), |last| last.as_ptr().cast())
    };
    LAST_ERROR.try_with(address).unwrap_or(c"".as_ptr())
}

/// `message` for C, without the NULs that it cannot hold.
pub fn text(message: &str) -> CString {
    CString::new(message.replace('\0', " ")).unwrap_or_default()
}

/// The status of a kind of failure.
pub fn status(kind: Kind) -> tc_status {
    match kind {
        Kind::InvalidArgument => tc_status::TC_INVALID_ARGUMENT,
        Kind::InvalidConfig => tc_status::TC_INVALID_CONFIG,
        Kind::AbiMismatch => tc_status::TC_ABI_MISMATCH,
        Kind::BufferTooSmall => tc_status::TC_BUFFER_TOO_SMALL,
        Kind::ValueTooLarge => tc_status::TC_VALUE_TOO_LARGE,
        Kind::InvalidHandle => tc_status::TC_INVALID_HANDLE,
        Kind::Closed => tc_status::TC_CLOSED,
        Kind::OutOfMemory => tc_status::TC_OUT_OF_MEMORY,
        Kind::L2Unreachable => tc_status::TC_L2_UNREACHABLE,
        Kind::L2Timeout => tc_status::TC_L2_TIMEOUT,
        Kind::L2Busy => tc_status::TC_L2_BUSY,
        Kind::L2Denied => tc_status::TC_L2_DENIED,
        Kind::L2Protocol => tc_status::TC_L2_PROTOCOL,
        Kind::L2Suspended => tc_status::TC_L2_SUSPENDED,
        Kind::L2Full => tc_status::TC_L2_FULL,
        Kind::SealUnknownKey => tc_status::TC_SEAL_UNKNOWN_KEY,
        Kind::SealBroken => tc_status::TC_SEAL_BROKEN,
        Kind::SealWrongContext => tc_status::TC_SEAL_WRONG_CONTEXT,
        Kind::SealRevokedKey => tc_status::TC_SEAL_REVOKED_KEY,
        Kind::SealForeign => tc_status::TC_SEAL_FOREIGN,
        Kind::SealUnsupported => tc_status::TC_SEAL_UNSUPPORTED,
        Kind::Panic => tc_status::TC_PANIC,
    }
}

/// The name of a status.
pub fn name(status: i32) -> &'static CStr {
    match status {
        0 => c"TC_OK",
        1 => c"TC_NOT_FOUND",
        2 => c"TC_CONFLICT",
        3 => c"TC_DEGRADED",
        -1 => c"TC_INVALID_ARGUMENT",
        -2 => c"TC_INVALID_CONFIG",
        -3 => c"TC_ABI_MISMATCH",
        -4 => c"TC_BUFFER_TOO_SMALL",
        -5 => c"TC_VALUE_TOO_LARGE",
        -6 => c"TC_INVALID_HANDLE",
        -7 => c"TC_CLOSED",
        -8 => c"TC_OUT_OF_MEMORY",
        -20 => c"TC_L2_UNREACHABLE",
        -21 => c"TC_L2_TIMEOUT",
        -22 => c"TC_L2_BUSY",
        -23 => c"TC_L2_DENIED",
        -24 => c"TC_L2_PROTOCOL",
        -25 => c"TC_L2_SUSPENDED",
        -26 => c"TC_L2_FULL",
        -30 => c"TC_SEAL_UNKNOWN_KEY",
        -31 => c"TC_SEAL_BROKEN",
        -32 => c"TC_SEAL_WRONG_CONTEXT",
        -33 => c"TC_SEAL_REVOKED_KEY",
        -34 => c"TC_SEAL_FOREIGN",
        -35 => c"TC_SEAL_UNSUPPORTED",
        -99 => c"TC_PANIC",
        _ => c"TC_UNKNOWN_STATUS",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_statuses_have_the_same_numbers_and_names() {
        let kinds = [
            Kind::InvalidArgument,
            Kind::InvalidConfig,
            Kind::AbiMismatch,
            Kind::BufferTooSmall,
            Kind::ValueTooLarge,
            Kind::InvalidHandle,
            Kind::Closed,
            Kind::OutOfMemory,
            Kind::L2Unreachable,
            Kind::L2Timeout,
            Kind::L2Busy,
            Kind::L2Denied,
            Kind::L2Protocol,
            Kind::L2Suspended,
            Kind::L2Full,
            Kind::SealUnknownKey,
            Kind::SealBroken,
            Kind::SealWrongContext,
            Kind::SealRevokedKey,
            Kind::SealForeign,
            Kind::SealUnsupported,
            Kind::Panic,
        ];
        for kind in kinds {
            assert_eq!(status(kind) as i32, kind.code());
            assert_eq!(name(kind.code()).to_str(), Ok(kind.name()));
        }
    }

    #[test]
    fn a_panic_becomes_a_status_and_a_sentence() {
        let answer = guard(|| panic!("on purpose"));
        assert_eq!(answer, tc_status::TC_PANIC);
        // SAFETY: never null, NUL-terminated, alive until this thread's next failure.
        let message = unsafe { CStr::from_ptr(last_error()) };
        assert!(message.to_string_lossy().contains("defect"));
    }
}
