//! Other caches behind the ABI of the floor, so that one driver in C measures them and tokencache alike: the same keys,
//! the same hash, values in one allocation, panics caught. Where they count bytes, an entry costs its key, its value and
//! [`OVERHEAD_BYTES`].

mod caches;
#[path = "../../floor/src/value.rs"]
mod value;

use caches::{Dash, Lru, Moka, Quick};
use value::{Head, NOT_FOUND, OK, Value, bytes, copy, guard, hand_out, take_back};

/// What a place in a table and the words of an allocation take, about.
const OVERHEAD_BYTES: u64 = 100;

/// What every peer can do, from any thread.
trait Peer {
    fn open(capacity_bytes: u64) -> Self;
    fn get(&self, key: &[u8]) -> Option<Value>;
    fn set(&self, key: &[u8], value: Value);
}

fn cost_bytes(key: &[u8], value: &Value) -> u64 {
    (key.len() + value::head(value).len) as u64 + OVERHEAD_BYTES
}

/// # Safety
/// `peer` came from its `open`, `key` is `key_len` bytes, `out_value` can be written.
unsafe fn get<P: Peer>(peer: *const P, key: *const u8, key_len: usize, out_value: *mut *const Head) -> i32 {
    guard(|| {
        // SAFETY: by the contract of this function.
        let (peer, key) = unsafe { (&*peer, bytes(key, key_len)) };
        let Some(value) = peer.get(key) else { return NOT_FOUND };
        // SAFETY: as above.
        unsafe { out_value.write(hand_out(value)) };
        OK
    })
}

/// # Safety
/// `peer` came from its `open`; `key` and `data` are as long as they say.
unsafe fn set<P: Peer>(peer: *const P, key: *const u8, key_len: usize, data: *const u8, len: usize) -> i32 {
    guard(|| {
        // SAFETY: by the contract of this function.
        let (peer, key, data) = unsafe { (&*peer, bytes(key, key_len), bytes(data, len)) };
        peer.set(key, copy(data));
        OK
    })
}

/// The functions of one peer; the arguments are those of `tc_get`, `tc_set` and `tc_close`.
macro_rules! export {
    ($peer:ty, $open:ident, $get:ident, $set:ident, $close:ident) => {
        #[unsafe(no_mangle)]
        pub extern "C" fn $open(capacity_bytes: u64) -> *mut $peer {
            Box::into_raw(Box::new(<$peer>::open(capacity_bytes)))
        }

        /// # Safety
        /// That of [`get`].
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $get(
            peer: *const $peer,
            key: *const u8,
            key_len: usize,
            out_value: *mut *const Head,
        ) -> i32 {
            // SAFETY: by the contract of this function.
            unsafe { get(peer, key, key_len, out_value) }
        }

        /// # Safety
        /// That of [`set`].
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $set(
            peer: *const $peer,
            key: *const u8,
            key_len: usize,
            data: *const u8,
            len: usize,
            _options: *const u8,
            _out_version: *mut u64,
        ) -> i32 {
            // SAFETY: by the contract of this function.
            unsafe { set(peer, key, key_len, data, len) }
        }

        /// # Safety
        /// `peer` came from its `open` and is not used again.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $close(peer: *mut $peer) -> i32 {
            // SAFETY: by the contract of this function.
            drop(unsafe { Box::from_raw(peer) });
            OK
        }
    };
}

export!(Moka, moka_open, moka_get, moka_set, moka_close);
export!(Quick, quick_cache_open, quick_cache_get, quick_cache_set, quick_cache_close);
export!(Dash, dashmap_open, dashmap_get, dashmap_set, dashmap_close);
export!(Lru, lru_open, lru_get, lru_set, lru_close);

/// `tc_value_release`, of a value of any peer.
///
/// # Safety
/// `value` came from the `get` of a peer and is not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn peer_value_release(value: *const Head) {
    let _ = guard(|| {
        // SAFETY: by the contract of this function.
        unsafe { take_back(value) };
        OK
    });
}
