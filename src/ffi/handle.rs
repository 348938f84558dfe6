//! Checked handles. A `tc_cache *` is no address: its value is the number of a slot and a tag that changes with
//! every open and close, so that null, garbage and closed handles are an answer, never a crash.
//!
//! A hit, and a short set in L1 alone, says in its thread's own memory that it is inside; any other call enters by counting itself
//! in and leaves by counting itself out, in counters that are striped, so that threads do not meet in one of them. `close`
//! changes the tag first and then waits until nobody is inside and as many have left as entered. Only what never waits,
//! but for the locks of L1, runs inside; a call that may wait takes a reference to the cache and leaves.
//!
//! A hit is heard of, as being inside, by the locked instruction that names the entry it has found. Before that it has looked
//! into the front alone, which is never freed.

use std::hash::{BuildHasher, RandomState};
use std::ops::Deref;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::fork;
use super::types::tc_cache;
use crate::cache::Cache;
use crate::entry::raw::reader::{self, CACHES};
use crate::entry::{Front, Held, Own, Reader};
use crate::error::{Error, Kind, Result};
use crate::runtime::lock;
use crate::stats::stripe;

const SLOTS: usize = CACHES;
const STRIPES: usize = 16;
/// One read in this many is timed.
const SAMPLED: u64 = 1024;

/// Two cache lines, because a processor fetches them in pairs.
#[repr(align(128))]
struct Stripe {
    entered: AtomicU64,
    left: AtomicU64,
}

impl Stripe {
    fn has_visitors(&self) -> bool {
        // Those that left first: when both are equal then, nobody was inside in between.
        let left = self.left.load(Ordering::SeqCst);
        left != self.entered.load(Ordering::SeqCst)
    }
}

#[repr(align(64))]
struct Slot {
    /// The handle under which it is open; while it is not, one that leads to another slot.
    handle: AtomicU64,
    /// In a forked child, the handle whose inside is still the parent's.
    suspended: AtomicU64,
    /// Hits before it was opened.
    hits_before: AtomicU64,
    /// From `Arc::into_raw`; null while it is not open.
    cache: AtomicPtr<Cache>,
    /// Where look-ups in its L1 begin; null while it is not open, or suspended.
    front: AtomicPtr<Front>,
    stripes: [Stripe; STRIPES],
}

impl Slot {
    const fn closed(number: usize) -> Slot {
        Slot {
            handle: AtomicU64::new(Slot::nobody(number)),
            suspended: AtomicU64::new(Slot::nobody(number)),
            hits_before: AtomicU64::new(0),
            cache: AtomicPtr::new(ptr::null_mut()),
            front: AtomicPtr::new(ptr::null_mut()),
            stripes: [const { Stripe { entered: AtomicU64::new(0), left: AtomicU64::new(0) } }; STRIPES],
        }
    }

    /// The cache behind it, for a thread whose `visit` has been heard of, if it is open under `handle`.
    #[inline(always)]
    fn visited(&self, handle: u64, reader: Own, visit: reader::Visit) -> Option<Inside> {
        if self.handle.load(Ordering::SeqCst) != handle {
            return None;
        }
        // SAFETY: it is open, and has a cache then.
        let cache = unsafe { NonNull::new_unchecked(self.cache.load(Ordering::Acquire)) };
        Some(Inside { cache, reader, _visit: visit })
    }

    /// Puts `cache` behind `handle`. Only the holder of [`NEXT_TAG`] does.
    fn fill(&self, handle: u64, cache: Arc<Cache>) {
        self.front.store(ptr::from_ref(cache.front()).cast_mut(), Ordering::Release);
        self.cache.store(Arc::into_raw(cache).cast_mut(), Ordering::Release);
        self.handle.store(handle, Ordering::SeqCst);
    }

    const fn nobody(number: usize) -> u64 {
        if number == 0 { 1 } else { 0 }
    }

    fn of(handle: u64) -> &'static Slot {
        &TABLE[number(handle)]
    }
}

/// The number of the slot of `handle`.
#[inline(always)]
fn number(handle: u64) -> usize {
    handle as usize % SLOTS
}

/// All hits that slot `number` ever had.
fn all_hits(number: usize) -> u64 {
    Reader::all().map(|reader| reader.hits(number)).sum()
}

static TABLE: [Slot; SLOTS] = {
    let mut table = [const { Slot::closed(1) }; SLOTS];
    table[0] = Slot::closed(0);
    table
};

/// The tag of the next handle, 0 before the first; and the right to open, close and replace.
static NEXT_TAG: Mutex<u64> = Mutex::new(0);

/// A cache that this thread has said it is inside of, until this is dropped. It does nothing there that waits, but for the
/// locks of L1, and enters no cache.
pub struct Inside {
    cache: NonNull<Cache>,
    reader: Own,
    _visit: reader::Visit,
}

impl Deref for Inside {
    type Target = Cache;

    #[inline(always)]
    fn deref(&self) -> &Cache {
        // SAFETY: the slot was open under the handle when this thread was inside, so `close` does not let go of the cache
        // before the visit ends.
        unsafe { self.cache.as_ref() }
    }
}

/// Inside the cache of `handle`. `None` also for one that is not open, or suspended; the caller goes on with [`get`], which
/// says so.
#[inline(always)]
pub fn inside(handle: *mut tc_cache) -> Option<Inside> {
    let reader = Reader::own()?;
    Slot::of(handle as u64).visited(handle as u64, reader, reader.enter(handle as u64))
}

/// What L1 has for `key`, and the reader who holds it: the whole of a hit. `None` as for [`inside`].
#[inline(always)]
pub fn hit(handle: *mut tc_cache, key: &[u8]) -> Option<(Own, Held)> {
    let (reader, slot) = (Reader::own()?, Slot::of(handle as u64));
    let visit = reader.enter_unheard(handle as u64);
    // SAFETY: null, or a front, and no front is ever freed.
    let front = unsafe { slot.front.load(Ordering::Acquire).as_ref() }?;
    let held = match front.find(key, Some(reader)) {
        // It has named what it holds, and so is heard of.
        Ok(held) => answer(handle, key, &slot.visited(handle as u64, reader, visit)?, held),
        Err(hash) => {
            drop(visit);
            hit_further(handle, hash, key)
        }
    };
    Some((reader, held?))
}

/// As [`hit`], of a key of `hash` that does not lie in the front.
#[cold]
#[inline(never)]
fn hit_further(handle: *mut tc_cache, hash: u64, key: &[u8]) -> Option<Held> {
    let cache = inside(handle)?;
    answer(handle, key, &cache, cache.hold_further(hash, key, cache.reader)?)
}

/// What lies in L1 under `key`, if it may answer.
#[inline(always)]
fn answer(handle: *mut tc_cache, key: &[u8], cache: &Inside, held: Held) -> Option<Held> {
    let held = cache.vouch(held)?;
    if cache.reader.count_hit(number(handle as u64)).is_multiple_of(SAMPLED) {
        cache.sample(key);
    }
    Some(held)
}

/// Runs `body` on the cache of `handle`. It must not wait.
pub fn with<R>(handle: *mut tc_cache, body: impl FnOnce(&Cache) -> R) -> Result<R> {
    let handle = handle as u64;
    let slot = Slot::of(handle);
    let stripe = &slot.stripes[stripe()];
    stripe.entered.fetch_add(1, Ordering::SeqCst);
    let visit = Visit(stripe);
    if slot.handle.load(Ordering::SeqCst) != handle {
        drop(visit);
        reopen(handle)?;
        return with(handle as *mut tc_cache, body);
    }
    // SAFETY: the slot is open under this handle and we are counted in, so `close` does not let go of the cache
    // before `visit` is dropped.
    let cache = unsafe { &*slot.cache.load(Ordering::Acquire) };
    Ok(body(cache))
}

/// Counted in, until dropped.
struct Visit<'a>(&'a Stripe);

impl Drop for Visit<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.left.fetch_add(1, Ordering::Release);
    }
}

/// As [`get`], and how many reads of it were hits.
pub fn get_with_hits(handle: *mut tc_cache) -> Result<(Arc<Cache>, u64)> {
    with(handle, |cache| {
        let handle = handle as u64;
        let before = Slot::of(handle).hits_before.load(Ordering::Relaxed);
        (share(cache), all_hits(number(handle)).saturating_sub(before))
    })
}

/// A reference to the cache of `handle`, for a call that may wait.
pub fn get(handle: *mut tc_cache) -> Result<Arc<Cache>> {
    with(handle, share)
}

fn share(cache: &Cache) -> Arc<Cache> {
    // SAFETY: `cache` lives in an Arc, which the slot's own reference keeps alive.
    unsafe {
        Arc::increment_strong_count(cache);
        Arc::from_raw(cache)
    }
}

/// A handle for `cache`.
pub fn open(cache: Arc<Cache>) -> Result<*mut tc_cache> {
    let mut next_tag = lock(&NEXT_TAG);
    let Some((number, slot)) =
        TABLE.iter().enumerate().find(|(_, slot)| slot.cache.load(Ordering::Acquire).is_null())
    else {
        drop(next_tag);
        cache.close();
        let message = format!("{SLOTS} caches are open in this process; close one first.");
        return Err(Error::new(Kind::OutOfMemory, message));
    };
    if *next_tag == 0 {
        // Another copy of this library in the process counts from elsewhere, so its handles are unknown here.
        *next_tag = RandomState::new().hash_one(&raw const TABLE as usize) >> 16;
    }
    // The upper bit keeps a handle from being an address that somebody could read.
    *next_tag = (*next_tag + 1) & ((1 << 47) - 1);
    let handle = 1 << 63 | *next_tag << 8 | number as u64;
    slot.hits_before.store(all_hits(number), Ordering::Relaxed);
    slot.fill(handle, cache);
    Ok(handle as *mut tc_cache)
}

/// Takes `handle` out of use; the cache it stood for is then the caller's to close.
pub fn close(handle: *mut tc_cache) -> Result<Arc<Cache>> {
    with(handle, |_| ())?;
    let _one_at_a_time = lock(&NEXT_TAG);
    let slot = Slot::of(handle as u64);
    let nobody = Slot::nobody(number(handle as u64));
    let swapped = slot.handle.compare_exchange(handle as u64, nobody, Ordering::SeqCst, Ordering::SeqCst);
    if swapped.is_err() {
        return Err(unknown());
    }
    slot.front.store(ptr::null_mut(), Ordering::Release);
    wait_for_visitors(slot, handle as u64);
    let cache = slot.cache.swap(ptr::null_mut(), Ordering::AcqRel);
    // SAFETY: it came from Arc::into_raw in `open`, nobody can enter any more, and whoever had entered has left.
    Ok(unsafe { Arc::from_raw(cache) })
}

/// In a forked child: puts a fresh inside behind a suspended handle.
#[cold]
fn reopen(handle: u64) -> Result<()> {
    let slot = Slot::of(handle);
    // In this order, so that it is seen in one of them while another thread reopens it.
    if slot.suspended.load(Ordering::SeqCst) != handle && slot.handle.load(Ordering::SeqCst) != handle {
        return Err(unknown());
    }
    let _one_at_a_time = lock(&NEXT_TAG);
    if slot.suspended.load(Ordering::SeqCst) != handle {
        // Another thread has done it, or closed it since.
        return if slot.handle.load(Ordering::SeqCst) == handle { Ok(()) } else { Err(unknown()) };
    }
    // SAFETY: suspended, so nobody is inside, and only the holder of the lock replaces it.
    let fresh = unsafe { &*slot.cache.load(Ordering::Acquire) }.reopened()?;
    // The parent's inside is left alone: its locks may be held for ever by threads that are not here.
    slot.fill(handle, fresh);
    slot.suspended.store(Slot::nobody(number(handle)), Ordering::SeqCst);
    Ok(())
}

fn wait_for_visitors(slot: &Slot, handle: u64) {
    Reader::all().for_each(Reader::hear);
    for reader in Reader::all() {
        while reader.is_inside(handle) {
            std::thread::yield_now();
        }
    }
    for stripe in &slot.stripes {
        while stripe.has_visitors() {
            std::thread::yield_now();
        }
    }
}

/// In a forked child: suspends what is open until it is used again. Visitors on threads that are not here will never
/// leave, so they are counted out.
pub fn suspend_all() {
    Reader::forget_others();
    for (number, slot) in TABLE.iter().enumerate() {
        if !slot.cache.load(Ordering::Relaxed).is_null() {
            slot.front.store(ptr::null_mut(), Ordering::Release);
            let handle = slot.handle.swap(Slot::nobody(number), Ordering::SeqCst);
            if handle != Slot::nobody(number) {
                slot.suspended.store(handle, Ordering::SeqCst);
            }
            slot.hits_before.store(all_hits(number), Ordering::Relaxed);
        }
        // Closed slots too, for stale handles lead there. Memory that nobody visits stays shared with the parent.
        for stripe in slot.stripes.iter().filter(|stripe| stripe.has_visitors()) {
            stripe.left.store(stripe.entered.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }
}

/// Holds the right to open and close; kept over a fork.
pub fn hold() -> fork::Held<u64> {
    lock(&NEXT_TAG)
}

#[cold]
fn unknown() -> Error {
    let message = "The handle is null, was never opened by this library, or is closed already.";
    Error::new(Kind::InvalidHandle, message)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize};
    use std::thread;

    use super::*;
    use crate::cache::SetOptions;

    const DOCUMENT: &[u8] = br#"{"version": 1, "l1": {"capacity_bytes": 65536}, "logging": {"to": "none"}}"#;

    fn open_one() -> u64 {
        let handle = open(Cache::open(DOCUMENT).expect("it opens")).expect("a slot is free");
        let set =
            get(handle).expect("it is open").set(b"key", &handle.addr().to_le_bytes(), SetOptions::default());
        assert!(set.is_ok());
        handle.addr() as u64
    }

    #[test]
    fn what_is_hit_is_of_the_cache_whose_handle_was_asked() {
        let current: [AtomicU64; 2] = [open_one().into(), open_one().into()];
        let is_over = AtomicBool::new(false);
        let [hits, wrong] = [const { AtomicUsize::new(0) }; 2];
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while !is_over.load(Ordering::Relaxed) {
                        for handle in current.iter().map(|handle| handle.load(Ordering::Acquire)) {
                            // As often after it was closed as before.
                            for _ in 0..200 {
                                if let Some((_, held)) = hit(handle as *mut tc_cache, b"key") {
                                    let is_its = held.data() == handle.to_le_bytes();
                                    hits.fetch_add(1, Ordering::Relaxed);
                                    wrong.fetch_add(usize::from(!is_its), Ordering::Relaxed);
                                }
                            }
                        }
                    }
                });
            }
            // One is opened where another was, with the memory of a third.
            for round in 0..100 {
                let seen = hits.load(Ordering::Relaxed);
                while hits.load(Ordering::Relaxed) == seen {
                    thread::yield_now();
                }
                let old = current[round % 2].load(Ordering::Acquire) as *mut tc_cache;
                close(old).expect("it is open").close();
                wrong.fetch_add(usize::from(hit(old, b"key").is_some()), Ordering::Relaxed);
                current[round % 2].store(open_one(), Ordering::Release);
            }
            is_over.store(true, Ordering::Relaxed);
        });
        assert_eq!(wrong.into_inner(), 0, "hits of another cache, or of none");
        current.iter().for_each(|handle| drop(close(handle.load(Ordering::Acquire) as *mut tc_cache)));
    }
}
