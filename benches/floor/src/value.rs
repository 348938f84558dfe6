//! A value as it is handed out through the ABI: one allocation, which its count keeps, as a short entry of L1 is. The peers
//! (`benches/peers`) hold the same, so that what differs is the cache.

use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::Arc;

/// What is handed out, with the first two members of `tc_value`.
#[repr(C)]
pub struct Head {
    pub data: *const u8,
    pub len: usize,
}

/// A `Head` and the bytes behind it in one allocation.
pub type Value = Arc<[MaybeUninit<u64>]>;

pub const OK: i32 = 0;
pub const NOT_FOUND: i32 = 1;
const PANIC: i32 = -99;

pub fn guard(body: impl FnOnce() -> i32) -> i32 {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or(PANIC)
}

fn words(len: usize) -> usize {
    (size_of::<Head>() + len).div_ceil(size_of::<u64>())
}

pub fn copy(bytes: &[u8]) -> Value {
    let mut value: Value = Arc::<[u64]>::new_uninit_slice(words(bytes.len()));
    let base = Arc::get_mut(&mut value).expect("nobody else has it yet").as_mut_ptr().cast::<u8>();
    // SAFETY: it is as long as the head and the bytes.
    unsafe {
        let data = base.add(size_of::<Head>());
        base.cast::<Head>().write(Head { data, len: bytes.len() });
        ptr::copy_nonoverlapping(bytes.as_ptr(), data, bytes.len());
    }
    value
}

pub fn head(value: &Value) -> &Head {
    // SAFETY: `copy` wrote one at the start.
    unsafe { &*value.as_ptr().cast::<Head>() }
}

/// # Safety
/// `data` points at `len` bytes.
pub unsafe fn bytes<'a>(data: *const u8, len: usize) -> &'a [u8] {
    // SAFETY: by the contract of this function.
    unsafe { std::slice::from_raw_parts(data, len) }
}

/// The value as a pointer that counts as one holder.
pub fn hand_out(value: Value) -> *const Head {
    Arc::into_raw(value).cast()
}

/// # Safety
/// `value` came from [`hand_out`] and is not used again.
pub unsafe fn take_back(value: *const Head) {
    // SAFETY: by the contract, this is the start of an Arc's words, and its own length says how many there are.
    unsafe {
        drop(Arc::from_raw(ptr::slice_from_raw_parts(value.cast::<MaybeUninit<u64>>(), words((*value).len))))
    };
}
