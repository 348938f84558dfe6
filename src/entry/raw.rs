//! An entry's layout in memory: one allocation that holds the reference count, the public head, the private atomics,
//! the key and the bytes, so that a hit touches the table of L1 and one place.
//!
//! ```text
//! Head   references │ owner │ PublicHead (what C sees as tc_value)      64 bytes, one cache line
//! Meta   what every hit looks at                                       48 bytes, and the key right behind it
//! key    key_len bytes, and up to 7 to align what follows
//! Rare   what is looked at now and then
//! data   len bytes
//! ```
//!
//! A *view* is a `Head` alone: it has its own public head and points at the bytes of the entry that it owns.

mod hazard;
mod lease;
pub mod reader;
mod spot;

use std::alloc::{Layout, alloc, dealloc};
use std::mem::{ManuallyDrop, offset_of};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU64, AtomicUsize, Ordering};

use super::Tier;
pub use lease::{release, retain};
pub use reader::{Own, Reader};
pub use spot::{Held, Spot};

/// Heads lie at multiples of it. What is handed out and no counted reference lies elsewhere.
pub const COUNTED_ALIGN: usize = 16;

/// What the caller of the C ABI may read; the same layout as `tc_value`.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct PublicHead {
    /// The bytes.
    pub data: *const u8,
    /// How many.
    pub len: usize,
    /// Changes with every write; 0 for what is not an entry.
    pub version: u64,
    /// Unix time of the write.
    pub written_at_ms: i64,
    /// Unix time of the absolute end; 0 for none.
    pub expires_at_ms: i64,
    /// Which tier gave this answer.
    pub tier: i32,
    /// `TC_VALUE_…` flags.
    pub flags: u32,
}

/// What every reference points at.
#[repr(C, align(16))]
pub struct Head {
    references: AtomicUsize,
    /// Null for an entry; for a view, the entry whose bytes it shows.
    owner: *mut Head,
    public: PublicHead,
}

/// What every hit looks at.
#[repr(C)]
pub(super) struct Meta {
    /// Coarse monotonic time in ms from which the entry is dead here; `i64::MAX` for never.
    pub deadline_ms: AtomicI64,
    /// The sliding window; 0 for none.
    pub sliding_ms: i64,
    /// The epoch of its slot, as it was before the read of L2 began.
    pub epoch: AtomicU64,
    /// The global epoch of that moment.
    pub global_epoch: AtomicU64,
    /// The slot of its key in the epoch table, or [`NO_SLOT`].
    pub slot: u32,
    pub key_len: u32,
    /// How often it was read since L1 looked, as far as L1 counts.
    pub reads: AtomicU8,
}

/// Instead of a slot: kept in this process only, where nobody else can change it.
pub(super) const NO_SLOT: u32 = u32::MAX;

/// What is looked at now and then.
#[repr(C)]
pub(super) struct Rare {
    /// The monotonic time in ms from which a read renews the sliding window.
    pub renew_at_ms: AtomicI64,
    /// The latest that `deadline_ms` may become.
    pub stay_until_ms: i64,
    /// The coarse monotonic time in ms at which L2 last had it so.
    pub verified_at_ms: AtomicI64,
}

const _: () = assert!(align_of::<Head>() == COUNTED_ALIGN && offset_of!(Head, public) % COUNTED_ALIGN == 0);

const META: usize = size_of::<Head>();
const KEY: usize = META + size_of::<Meta>();

/// Where the rare part of an entry begins, and where its bytes do.
const fn rare(key_len: usize) -> usize {
    (KEY + key_len).next_multiple_of(align_of::<Rare>())
}

const fn data(key_len: usize) -> usize {
    rare(key_len) + size_of::<Rare>()
}

/// A counted reference to an entry or a view: the address of its head, and for a view one more, which no head has. So
/// whoever looks for an entry's key or its end does not touch the line of the count, which other threads write to.
pub struct Raw(NonNull<Head>);

const VIEW: usize = 1;

// SAFETY: everything behind the pointer is immutable or atomic, and the count is atomic.
unsafe impl Send for Raw {}
// SAFETY: as above.
unsafe impl Sync for Raw {}

impl Raw {
    /// A new entry, or `None` when there is no memory for it.
    pub(super) fn entry(
        key: &[u8],
        bytes: &[u8],
        mut public: PublicHead,
        meta: Meta,
        rare_part: Rare,
    ) -> Option<Raw> {
        debug_assert_eq!(meta.key_len as usize, key.len());
        let layout = layout(key.len(), bytes.len())?;
        // SAFETY: the size is not 0.
        let base = NonNull::new(unsafe { alloc(layout) })?.as_ptr();
        // SAFETY: the allocation is as long as `layout` made it and aligned for Head; all parts lie inside it by its sums
        // (key_len fits u32, so they do not overflow), Meta and Rare are aligned because they begin at multiples of
        // 8; nothing was initialised before.
        unsafe {
            public.data = base.add(data(key.len()));
            public.len = bytes.len();
            let head = Head { references: AtomicUsize::new(1), owner: ptr::null_mut(), public };
            base.cast::<Head>().write(head);
            base.add(META).cast::<Meta>().write(meta);
            base.add(rare(key.len())).cast::<Rare>().write(rare_part);
            ptr::copy_nonoverlapping(key.as_ptr(), base.add(KEY), key.len());
            ptr::copy_nonoverlapping(bytes.as_ptr(), base.add(data(key.len())), bytes.len());
            Some(Raw(NonNull::new_unchecked(base.cast())))
        }
    }

    /// A view of `self` with another tier in its head.
    pub(super) fn view(self, tier: Tier) -> Option<Raw> {
        assert!(!self.is_view(), "a view shows an entry");
        let mut public = *self.public();
        public.tier = tier as i32;
        let layout = Layout::new::<Head>();
        // SAFETY: the size is not 0.
        let base = NonNull::new(unsafe { alloc(layout) }.cast::<Head>())?;
        let owner = self.into_pointer();
        // SAFETY: freshly allocated for a Head; the reference that `self` was now belongs to the view.
        unsafe { base.write(Head { references: AtomicUsize::new(1), owner, public }) };
        Some(Raw(base.map_addr(|address| address | VIEW)))
    }

    #[inline(always)]
    fn head(&self) -> NonNull<Head> {
        // SAFETY: the address of a head, which is not 0.
        unsafe { NonNull::new_unchecked(self.0.as_ptr().map_addr(|address| address & !VIEW)) }
    }

    pub(super) fn public(&self) -> &PublicHead {
        // SAFETY: alive while a reference is, and immutable.
        unsafe { &self.head().as_ref().public }
    }

    /// What every hit looks at; of the entry behind it, when this is a view.
    pub(super) fn meta(&self) -> &Meta {
        // SAFETY: an entry's Head is followed by its Meta; a view's owner is an entry that lives as long as the view.
        unsafe { &*self.entry_base().add(META).cast::<Meta>() }
    }

    pub(super) fn rare(&self) -> &Rare {
        // SAFETY: as in `meta`; the rare part stands where `entry` wrote it.
        unsafe { &*self.entry_base().add(rare(self.meta().key_len as usize)).cast::<Rare>() }
    }

    pub(super) fn key(&self) -> &[u8] {
        // SAFETY: `key_len` bytes follow the Meta and are never written again.
        unsafe { std::slice::from_raw_parts(self.entry_base().add(KEY), self.meta().key_len as usize) }
    }

    pub(super) fn data(&self) -> &[u8] {
        let public = self.public();
        // SAFETY: `len` bytes at `data` live as long as the entry, and are never written again.
        unsafe { std::slice::from_raw_parts(public.data, public.len) }
    }

    pub(super) fn is_same(&self, other: &Raw) -> bool {
        self.0 == other.0
    }

    #[inline(always)]
    fn is_view(&self) -> bool {
        self.0.addr().get() & VIEW != 0
    }

    #[inline(always)]
    fn entry_base(&self) -> *const u8 {
        // SAFETY: alive while a reference is; `owner` is immutable.
        if self.is_view() { unsafe { self.head().as_ref().owner.cast() } } else { self.0.as_ptr().cast() }
    }

    fn into_pointer(self) -> *mut Head {
        let pointer = self.0.as_ptr();
        std::mem::forget(self);
        pointer
    }

    /// # Safety
    /// It came from [`Raw::into_pointer`], and stands for one reference.
    unsafe fn from_pointer(head: *mut Head) -> Raw {
        // SAFETY: by the contract not null.
        Raw(unsafe { NonNull::new_unchecked(head) })
    }

    /// Gives the reference away as the address of its public head.
    #[must_use]
    pub fn into_public(self) -> *const PublicHead {
        let head = self.head().as_ptr();
        std::mem::forget(self);
        // SAFETY: the head is alive; only an address is taken.
        unsafe { &raw const (*head).public }
    }

    /// Adds a reference to one that was given away.
    ///
    /// # Safety
    /// `public` came from [`Raw::into_public`], and a reference to it is alive.
    unsafe fn retain_public(public: *const PublicHead) {
        // SAFETY: by the contract; neither of the two is dropped.
        let raw = ManuallyDrop::new(unsafe { Raw::from_public(public) });
        std::mem::forget(Raw::clone(&raw));
    }

    /// A reference given away by [`Raw::into_public`], to be cloned or dropped: it does not tell a view from an entry.
    ///
    /// # Safety
    /// `public` came from [`Raw::into_public`], and the reference it stands for is not used again by its giver.
    unsafe fn from_public(public: *const PublicHead) -> Raw {
        // SAFETY: by the contract, `public` is the member of a live Head.
        unsafe {
            let head = public.cast::<u8>().sub(offset_of!(Head, public)).cast_mut();
            Raw(NonNull::new_unchecked(head.cast()))
        }
    }

    #[cold]
    fn free(head: NonNull<Head>) {
        // SAFETY: the last reference is gone, so nobody else reads or writes here; sizes are as they were allocated.
        unsafe {
            let owner = head.as_ref().owner;
            if !owner.is_null() {
                dealloc(head.as_ptr().cast(), Layout::new::<Head>());
                drop(Raw(NonNull::new_unchecked(owner)));
                return;
            }
            let base = head.as_ptr().cast::<u8>();
            let meta = base.add(META).cast::<Meta>();
            let (key_len, len) = ((*meta).key_len as usize, head.as_ref().public.len);
            libc::explicit_bzero(base.add(KEY).cast(), data(key_len) + len - KEY);
            dealloc(base, layout(key_len, len).unwrap_unchecked());
        }
    }
}

impl Clone for Raw {
    #[inline]
    fn clone(&self) -> Raw {
        // SAFETY: alive, because `self` is a reference to it.
        unsafe { self.head().as_ref() }.references.fetch_add(1, Ordering::Relaxed);
        Raw(self.0)
    }
}

impl Drop for Raw {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: alive until the count that this reference holds is given back here.
        if unsafe { self.head().as_ref() }.references.fetch_sub(1, Ordering::Release) == 1 {
            // As a fence would, which ThreadSanitizer does not see.
            // SAFETY: nobody but this one can free it.
            let _ = unsafe { self.head().as_ref() }.references.load(Ordering::Acquire);
            Raw::free(self.head());
        }
    }
}

/// How an entry is allocated; `None` for what no allocation can hold.
fn layout(key_len: usize, len: usize) -> Option<Layout> {
    Layout::from_size_align(data(key_len).checked_add(len)?, align_of::<Head>()).ok()
}

/// What an entry takes of the heap: the allocator's own header, and what is lost between entries of many sizes that
/// threads allocate and free for each other.
pub(super) fn heap_bytes(key_len: usize, len: usize) -> usize {
    let size = data(key_len).saturating_add(len).saturating_add(16);
    size.saturating_add(size / 16)
}

/// Bytes that are wiped when dropped.
pub struct Secret(Vec<u8>);

impl Secret {
    /// A copy of `bytes`, or `None` when there is no memory for it.
    #[must_use]
    pub fn copy(bytes: &[u8]) -> Option<Secret> {
        let mut copy = Vec::new();
        copy.try_reserve_exact(bytes.len()).ok()?;
        copy.extend_from_slice(bytes);
        Some(Secret(copy))
    }
}

impl From<Vec<u8>> for Secret {
    fn from(bytes: Vec<u8>) -> Secret {
        Secret(bytes)
    }
}

impl std::ops::Deref for Secret {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Secret({} bytes)", self.0.len())
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        // SAFETY: the vector owns `len` initialised bytes at its pointer.
        unsafe { libc::explicit_bzero(self.0.as_mut_ptr().cast(), self.0.len()) };
    }
}
