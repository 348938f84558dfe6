//! Why a call failed: a kind, which is the status of the C ABI, and a sentence for a person.

#![forbid(unsafe_code)]

use std::fmt::{self, Write as _};

/// The kinds of failure. The numbers are the negative `tc_status` values of the C ABI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
#[non_exhaustive]
pub enum Kind {
    /// Null, an impossible length, text that is not UTF-8, an unknown flag.
    InvalidArgument = -1,
    /// The configuration document was refused.
    InvalidConfig = -2,
    /// The caller was built against another generation of the ABI.
    AbiMismatch = -3,
    /// The caller's buffer is too small.
    BufferTooSmall = -4,
    /// The value is longer than `limits.max_value_bytes`, or than L1 can hold where there is no L2.
    ValueTooLarge = -5,
    /// Null, never opened, closed already.
    InvalidHandle = -6,
    /// Closed while the call was under way.
    Closed = -7,
    /// Memory, threads or handles ran out.
    OutOfMemory = -8,
    /// L2 refused, reset, cannot be found or opened.
    L2Unreachable = -20,
    /// L2 did not answer in time.
    L2Timeout = -21,
    /// L2 is loading, failing over or locked: worth another try.
    L2Busy = -22,
    /// L2 turned us down: credentials, permissions.
    L2Denied = -23,
    /// L2 gave an answer that this library does not understand.
    L2Protocol = -24,
    /// L2 was not tried: the circuit is open.
    L2Suspended = -25,
    /// L2 has no room.
    L2Full = -26,
    /// The entry was sealed under a key that is not in this ring.
    SealUnknownKey = -30,
    /// The entry is damaged or cut short.
    SealBroken = -31,
    /// The entry was sealed for another cache key or prefix, or its header was altered.
    SealWrongContext = -32,
    /// The entry was sealed under a key that is revoked.
    SealRevokedKey = -33,
    /// The entry is not an envelope of ours.
    SealForeign = -34,
    /// The entry was written by a newer version of this library.
    SealUnsupported = -35,
    /// A defect in this library.
    Panic = -99,
}

impl Kind {
    /// The number in the C ABI.
    #[must_use]
    pub fn code(self) -> i32 {
        self as i32
    }

    /// The name in the C ABI, as it appears in logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::InvalidArgument => "TC_INVALID_ARGUMENT",
            Kind::InvalidConfig => "TC_INVALID_CONFIG",
            Kind::AbiMismatch => "TC_ABI_MISMATCH",
            Kind::BufferTooSmall => "TC_BUFFER_TOO_SMALL",
            Kind::ValueTooLarge => "TC_VALUE_TOO_LARGE",
            Kind::InvalidHandle => "TC_INVALID_HANDLE",
            Kind::Closed => "TC_CLOSED",
            Kind::OutOfMemory => "TC_OUT_OF_MEMORY",
            Kind::L2Unreachable => "TC_L2_UNREACHABLE",
            Kind::L2Timeout => "TC_L2_TIMEOUT",
            Kind::L2Busy => "TC_L2_BUSY",
            Kind::L2Denied => "TC_L2_DENIED",
            Kind::L2Protocol => "TC_L2_PROTOCOL",
            Kind::L2Suspended => "TC_L2_SUSPENDED",
            Kind::L2Full => "TC_L2_FULL",
            Kind::SealUnknownKey => "TC_SEAL_UNKNOWN_KEY",
            Kind::SealBroken => "TC_SEAL_BROKEN",
            Kind::SealWrongContext => "TC_SEAL_WRONG_CONTEXT",
            Kind::SealRevokedKey => "TC_SEAL_REVOKED_KEY",
            Kind::SealForeign => "TC_SEAL_FOREIGN",
            Kind::SealUnsupported => "TC_SEAL_UNSUPPORTED",
            Kind::Panic => "TC_PANIC",
        }
    }
}

/// A failure: its kind, and a full sentence that names the thing, the value and the way out. It never holds a token,
/// a secret or a raw cache key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// What kind of failure it is.
    pub kind: Kind,
    /// The sentence.
    pub message: String,
}

/// What fallible functions of this crate return.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// A failure of `kind`, explained by `message`.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Error { kind, message: message.into() }
    }

    /// The cache was closed while the call was under way.
    #[must_use]
    pub fn closed() -> Self {
        Error::new(Kind::Closed, "The cache was closed while this call was under way.")
    }

    /// The allocator refused `bytes` bytes. Where it refuses those of a sentence too, there is none.
    #[must_use]
    pub fn out_of_memory(bytes: usize) -> Self {
        let mut message = String::new();
        if message.try_reserve(64).is_ok() {
            let _ = write!(message, "{bytes} bytes of memory could not be allocated.");
        }
        Error::new(Kind::OutOfMemory, message)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
