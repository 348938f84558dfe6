//! Every C type and constant, in the order of the header.
//!
//! What C gives us is an open integer, never a Rust enum: a caller may pass any number.

use std::ffi::{c_char, c_void};

/// The generation of this header's layout; `tc_open` refuses any other.
pub const TC_ABI_VERSION: u32 = 1;
/// `ttl_ms`: keep until removed or evicted.
pub const TC_NEVER: i64 = -1;
/// `expected_version`: store only where no live entry exists.
pub const TC_VERSION_ABSENT: u64 = u64::MAX;
/// `flags` of a set: keep the entry in this process, off L2. It hides L2's entry of that key here until it is
/// removed, expires, is evicted, or is set without the flag. `expected_version` is compared with the entry of the tier
/// that the set goes to: with this flag with the local one alone, without it with L2's.
pub const TC_LOCAL_ONLY: u64 = 1;

/// How a call ended: below zero it failed (`tc_last_error` says why, on this thread), zero is done, above zero is an
/// answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub enum tc_status {
    /// Done.
    TC_OK = 0,
    /// No live entry: L1 does not have it and L2 was asked.
    TC_NOT_FOUND = 1,
    /// The entry's version is not the expected one; nothing was written.
    TC_CONFLICT = 2,
    /// Done without L2: a read unverified since, a write kept and owed to L2, a close or flush with something owed.
    TC_DEGRADED = 3,
    /// Null, an impossible key, length or time, a place that is not aligned, an unknown flag.
    TC_INVALID_ARGUMENT = -1,
    /// The document was refused, or a file that it names; the running configuration stands. The cache has no key ring.
    TC_INVALID_CONFIG = -2,
    /// The caller was built against another `TC_ABI_VERSION`.
    TC_ABI_MISMATCH = -3,
    /// The buffer is too small; the length needed was written.
    TC_BUFFER_TOO_SMALL = -4,
    /// Longer than `limits.max_value_bytes`, also where L2 holds it, or than L1 can hold where there is no L2.
    TC_VALUE_TOO_LARGE = -5,
    /// Null, never opened, closed already.
    TC_INVALID_HANDLE = -6,
    /// Closed while the call was under way.
    TC_CLOSED = -7,
    /// Memory, threads or handles ran out.
    TC_OUT_OF_MEMORY = -8,
    /// L2 refused, reset, cannot be found or opened, is a replica.
    TC_L2_UNREACHABLE = -20,
    /// L2 did not answer in time.
    TC_L2_TIMEOUT = -21,
    /// L2 is loading, failing over or locked: worth another try.
    TC_L2_BUSY = -22,
    /// L2 turned us down (credentials, permissions, read-only): no use trying again.
    TC_L2_DENIED = -23,
    /// L2 gave an answer that this library does not understand: not a database, damaged, a newer schema.
    TC_L2_PROTOCOL = -24,
    /// L2 was not tried: the circuit is open.
    TC_L2_SUSPENDED = -25,
    /// L2 has no room.
    TC_L2_FULL = -26,
    /// Sealed under a key that is not in this ring, or cannot be unwrapped here.
    TC_SEAL_UNKNOWN_KEY = -30,
    /// Damaged or truncated.
    TC_SEAL_BROKEN = -31,
    /// Sealed for another cache key or namespace, or its header was altered.
    TC_SEAL_WRONG_CONTEXT = -32,
    /// Sealed under a revoked key.
    TC_SEAL_REVOKED_KEY = -33,
    /// Not our envelope; `tc_last_error` says what it looks like.
    TC_SEAL_FOREIGN = -34,
    /// Written by a newer version of this library.
    TC_SEAL_UNSUPPORTED = -35,
    /// A defect in this library; the call was abandoned, the cache stays usable.
    TC_PANIC = -99,
}

/// What was asked of L2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub enum tc_operation {
    /// A read.
    TC_OPERATION_GET = 1,
    /// A write.
    TC_OPERATION_SET = 2,
    /// A removal.
    TC_OPERATION_REMOVE = 3,
    /// The renewal of a sliding entry.
    TC_OPERATION_TOUCH = 4,
    /// Opening or restoring the link to L2.
    TC_OPERATION_CONNECT = 5,
}

/// Which tier gave an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub enum tc_tier {
    /// Neither: not an entry.
    TC_TIER_NONE = 0,
    /// Memory of this process.
    TC_TIER_L1 = 1,
    /// The shared tier.
    TC_TIER_L2 = 2,
}

/// An open cache. Opaque and checked: a stale or invented handle is `TC_INVALID_HANDLE`, never a crash. Any function
/// may be called on it from any thread at any time.
#[repr(C)]
pub struct tc_cache {
    _private: [u8; 0],
}

/// Immutable bytes with a reference count, valid until the last `tc_value_release`, also after `tc_close`, and wiped
/// then.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct tc_value {
    /// The bytes; not NUL-terminated.
    pub data: *const c_void,
    /// How many.
    pub len: usize,
    /// Of the stored bytes: in Redis those that are equal have the same, elsewhere every write has its own. 0 for what is
    /// not an entry.
    pub version: u64,
    /// Unix time of the write; 0 when the writer did not say.
    pub written_at_ms: i64,
    /// Unix time of the absolute end; 0 for none. Sliding is not counted.
    pub expires_at_ms: i64,
    /// Which tier gave this answer.
    pub tier: tc_tier,
    /// `TC_VALUE_…`
    pub flags: u32,
}

/// `flags` of a value: sealed under a retired key; store it again to move it to the active one.
pub const TC_VALUE_RETIRED_KEY: u32 = 1;

/// How to store an entry. Zero in any member means the configured default. Start it with `TC_SET_OPTIONS`.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct tc_set_options {
    /// `sizeof(tc_set_options)`
    pub struct_size: usize,
    /// From now, at most 1,000 years, or `TC_NEVER`.
    pub ttl_ms: i64,
    /// Unix time, not after the year 9999. The earliest of all limits holds.
    pub expires_at_ms: i64,
    /// A window that reads renew, of at most 1,000 years.
    pub sliding_ms: i64,
    /// Store only over this version, or `TC_VERSION_ABSENT`; 0 stores over anything.
    pub expected_version: u64,
    /// `TC_LOCAL_ONLY` or 0.
    pub flags: u64,
}

/// How an asynchronous call ended. Valid during the callback.
#[repr(C)]
pub struct tc_result {
    /// As the call itself would have returned.
    pub status: tc_status,
    /// The entry read, or null; `tc_value_retain` keeps it beyond the callback.
    pub value: *const tc_value,
    /// The version written, or 0.
    pub version: u64,
    /// What `tc_last_error` would have said; empty when the call did not fail. Never null.
    pub message: *const c_char,
}

/// Called exactly once for each accepted asynchronous call, on a thread of the library, never inside the call.
pub type tc_done_fn = Option<unsafe extern "C" fn(user_data: *mut c_void, result: *const tc_result)>;

/// What a retry callback wants done. A value that is not named here follows the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct tc_decision(pub i32);
/// Follow `resilience` in the configuration.
pub const TC_DECISION_DEFAULT: i32 = 0;
/// Try again after `*delay_ms`.
pub const TC_DECISION_RETRY: i32 = 1;
/// Fail the call now.
pub const TC_DECISION_GIVE_UP: i32 = 2;

/// A failed attempt at L2. Valid during the callback.
#[repr(C)]
pub struct tc_failure {
    /// What was asked of L2.
    pub operation: tc_operation,
    /// Why it failed.
    pub status: tc_status,
    /// The cache key; null when the operation has none.
    pub key: *const c_char,
    /// Its length.
    pub key_len: usize,
    /// 1 for the first try.
    pub attempt: u32,
    /// `resilience.max_attempts`, which the callback cannot exceed.
    pub max_attempts: u32,
    /// Since the call began.
    pub elapsed_ms: u64,
    /// Until `resilience.deadline_ms` ends the call.
    pub remaining_ms: u64,
    /// A sentence. Never null.
    pub message: *const c_char,
}

/// Asked when an attempt at L2 has failed; `*delay_ms` holds the configured backoff and may be changed. Runs on
/// threads of the library, several at once, with no lock held.
pub type tc_retry_fn = Option<
    unsafe extern "C" fn(
        user_data: *mut c_void,
        failure: *const tc_failure,
        delay_ms: *mut u32,
    ) -> tc_decision,
>;

/// Called once, after the last use of `user_data`, on whatever thread that is: inside `tc_on_retry`, `tc_on_log` and
/// `tc_close` too.
pub type tc_destroy_fn = Option<unsafe extern "C" fn(user_data: *mut c_void)>;

/// The weight of a log record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct tc_level(pub i32);
/// Something failed that somebody must look at.
pub const TC_LEVEL_ERROR: i32 = 1;
/// Something is not as it should be, and was dealt with.
pub const TC_LEVEL_WARN: i32 = 2;
/// What happens rarely and is worth knowing.
pub const TC_LEVEL_INFO: i32 = 3;
/// Every attempt.
pub const TC_LEVEL_DEBUG: i32 = 4;

/// Called for each log record at or above the chosen level, on a thread of the library that does nothing else.
/// Both texts are valid during the callback, and never null.
pub type tc_log_fn = Option<
    unsafe extern "C" fn(
        user_data: *mut c_void,
        level: tc_level,
        target: *const c_char,
        message: *const c_char,
    ),
>;
