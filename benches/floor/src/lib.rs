//! The floor of the benchmarks: what a zero-copy hit costs at least, behind the same ABI.
//!
//! An unsynchronised map from key bytes to an `Arc`, with L1's hash and L1's guard against panics, and nothing else: no
//! lock, no limit, no expiry, no checked handle. Two threads may read it together while nobody writes. The *bare* table
//! is lower still: it does not even compare the key, which is what a copying get is measured against.
#![warn(missing_docs)]

mod value;

use std::hash::BuildHasher;
use std::ptr;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use value::{Head, NOT_FOUND, OK, Value, bytes, copy, guard, hand_out, head, take_back};

/// The map of the floor.
pub struct Floor {
    map: HashMap<Box<[u8]>, Value, RandomState>,
}

/// A table indexed by the hash alone; of keys that collide the last one is found.
pub struct Bare {
    hasher: RandomState,
    slots: Vec<Option<Value>>,
}

/// Five times as many slots as the benchmark has keys, so that few of them share a value.
const BARE_SLOTS: usize = 1 << 19;

const BUFFER_TOO_SMALL: i32 = -4;

/// An empty floor.
#[unsafe(no_mangle)]
pub extern "C" fn floor_open() -> *mut Floor {
    Box::into_raw(Box::new(Floor { map: HashMap::default() }))
}

/// `tc_set`, whose last two arguments it ignores.
///
/// # Safety
/// `floor` came from [`floor_open`] and nobody else uses it now; `key` and `data` are as long as they say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn floor_set(
    floor: *mut Floor,
    key: *const u8,
    key_len: usize,
    data: *const u8,
    len: usize,
    _options: *const u8,
    _out_version: *mut u64,
) -> i32 {
    guard(|| {
        // SAFETY: by the contract of this function.
        let (floor, key, data) = unsafe { (&mut *floor, bytes(key, key_len), bytes(data, len)) };
        let value = copy(data);
        match floor.map.get_mut(key) {
            Some(present) => *present = value,
            None => {
                floor.map.insert(key.into(), value);
            }
        }
        OK
    })
}

/// `tc_get`.
///
/// # Safety
/// `floor` came from [`floor_open`] and nobody writes to it now; `key` is `key_len` bytes; `out_value` can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn floor_get(
    floor: *const Floor,
    key: *const u8,
    key_len: usize,
    out_value: *mut *const Head,
) -> i32 {
    guard(|| {
        // SAFETY: by the contract of this function.
        let (floor, key) = unsafe { (&*floor, bytes(key, key_len)) };
        let Some(value) = floor.map.get(key) else { return NOT_FOUND };
        // SAFETY: as above.
        unsafe { out_value.write(hand_out(value.clone())) };
        OK
    })
}

/// `tc_value_release`.
///
/// # Safety
/// `value` came from [`floor_get`] and is not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn floor_value_release(value: *const Head) {
    let _ = guard(|| {
        // SAFETY: by the contract of this function.
        unsafe { take_back(value) };
        OK
    });
}

/// As many arguments as `tc_get` has, and nothing done: what a call costs by itself.
#[unsafe(no_mangle)]
pub extern "C" fn floor_nothing(
    _floor: *const Floor,
    _key: *const u8,
    _key_len: usize,
    _out_value: *mut *const Head,
) -> i32 {
    OK
}

/// A bare table of what the floor holds now.
///
/// # Safety
/// `floor` came from [`floor_open`] and nobody writes to it now.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bare_open(floor: *const Floor) -> *mut Bare {
    // SAFETY: by the contract of this function.
    let floor = unsafe { &*floor };
    let mut bare = Bare { hasher: floor.map.hasher().clone(), slots: vec![None; BARE_SLOTS] };
    for (key, value) in &floor.map {
        let slot = bare.slot(key);
        bare.slots[slot] = Some(value.clone());
    }
    Box::into_raw(Box::new(bare))
}

impl Bare {
    #[inline]
    fn slot(&self, key: &[u8]) -> usize {
        self.hasher.hash_one(key) as usize % BARE_SLOTS
    }
}

/// `tc_get_into`.
///
/// # Safety
/// `bare` came from [`bare_open`]; `key` and `buffer` are as long as they say; `out_len` can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bare_get_into(
    bare: *const Bare,
    key: *const u8,
    key_len: usize,
    buffer: *mut u8,
    buffer_len: usize,
    out_len: *mut usize,
) -> i32 {
    guard(|| {
        // SAFETY: by the contract of this function.
        let (bare, key) = unsafe { (&*bare, bytes(key, key_len)) };
        let Some(value) = &bare.slots[bare.slot(key)] else { return NOT_FOUND };
        let head = head(value);
        // SAFETY: as above; the bytes are copied only where they fit.
        unsafe {
            out_len.write(head.len);
            if head.len > buffer_len {
                return BUFFER_TOO_SMALL;
            }
            ptr::copy_nonoverlapping(head.data, buffer, head.len);
        }
        OK
    })
}

/// Frees a bare table, so that a set on the floor frees what it replaces.
///
/// # Safety
/// `bare` came from [`bare_open`] and is not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bare_close(bare: *mut Bare) {
    // SAFETY: by the contract of this function.
    drop(unsafe { Box::from_raw(bare) });
}
