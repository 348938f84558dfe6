//! An entry's layout in memory: the reference count, the public head, the private atomics and the key in one place, which is
//! all that a hit touches beside the table of L1; and the bytes, right behind them or apart ([`allocation`]).
//!
//! ```text
//! Head   references │ PublicHead (what C sees as tc_value)      56 bytes
//! Meta   what every hit looks at                                32 bytes, and the key right behind it
//! key    key_len bytes, and up to 7 to align what follows
//! Limits those of an entry that slides or may not stay          24 bytes, of others none
//! data   len bytes, here or apart
//! ```
//!
//! A *view* is a `Head` and the entry that it owns: it has its own public head and points at the bytes of that entry.

mod allocation;
mod front;
mod groups;
mod hazard;
mod lasting;
mod lease;
pub mod reader;
mod slab;
mod spare;
mod spot;

use std::alloc::Layout;
use std::mem::{ManuallyDrop, offset_of};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use super::Tier;
use allocation::Allocation;
pub use front::Front;
pub use groups::{Groups, Right, Seen, share};
pub use lease::{release, retain};
pub use reader::{Own, Reader};
pub use spot::{Held, Spot};

/// Heads lie at multiples of it, so the public head of a counted reference does not; that of a lease does.
const HEAD_ALIGN: usize = 16;

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
#[repr(C)]
pub struct Head {
    /// How many there are, and [`OF_A_VIEW`] beside them.
    references: AtomicUsize,
    public: PublicHead,
}

/// As many references as an address space has no room for.
const OF_A_VIEW: usize = 1 << (usize::BITS - 1);

/// A view.
#[repr(C)]
struct View {
    head: Head,
    /// The entry whose bytes it shows.
    owner: *mut Head,
}

/// What every hit looks at.
#[repr(C)]
pub(super) struct Meta {
    /// Coarse monotonic time in ms from which the entry is dead here; `i64::MAX` for never.
    pub deadline_ms: AtomicI64,
    /// The epoch of its slot, as it was before the read of L2 began.
    pub epoch: AtomicU64,
    /// The global epoch of that moment: how many changes of everything were done.
    pub global_epoch: AtomicU32,
    /// When L2 last had it so: by the coarse monotonic clock, in parts of [`TICK_MS`].
    pub verified_at: AtomicU32,
    pub key_len: u32,
    /// The slot of its key in the epoch table.
    pub slot: u16,
    /// [`LOCAL`], [`SLIDES`], [`LIMITED`] and [`APART`].
    pub kind: u8,
    /// How often it was read since L1 looked, as far as L1 counts.
    pub reads: AtomicU8,
}

/// Kept in this process only, where nobody else can change it.
pub(super) const LOCAL: u8 = 1;
/// A read renews its window.
pub(super) const SLIDES: u8 = 2;

/// It has [`Limits`].
const LIMITED: u8 = 4;
/// Its bytes do not lie right behind.
const APART: u8 = 8;

/// So that 32 bits count for 34 years.
pub(super) const TICK_MS: i64 = 256;

/// What an entry has that slides, or that may not stay as long as it lives.
#[repr(C)]
pub(super) struct Limits {
    /// The latest that `deadline_ms` may become.
    pub stay_until_ms: AtomicI64,
    /// 0 for none.
    pub window_ms: i64,
    /// The monotonic time in ms from which a read renews the window.
    pub renew_at_ms: AtomicI64,
}

const _: () = assert!(offset_of!(Head, public) % HEAD_ALIGN == HEAD_ALIGN / 2 && size_of::<Meta>() == 32);

const META: usize = size_of::<Head>();
const KEY: usize = META + size_of::<Meta>();

/// Where the limits of an entry begin.
const fn limits(key_len: usize) -> usize {
    (KEY + key_len).next_multiple_of(align_of::<Limits>())
}

/// What head and key take, and the limits.
const fn head_len(key_len: usize, is_limited: bool) -> usize {
    limits(key_len) + if is_limited { size_of::<Limits>() } else { 0 }
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
        mut meta: Meta,
        limits_part: Option<Limits>,
    ) -> Option<Raw> {
        let is_limited = limits_part.is_some();
        meta.key_len = u32::try_from(key.len()).ok()?;
        let Allocation { head: base, data, is_apart } =
            Allocation::new(head_len(key.len(), is_limited), bytes.len())?;
        meta.kind |= if is_limited { LIMITED } else { 0 } | if is_apart { APART } else { 0 };
        // SAFETY: both are as long as was asked for, and a head aligned for Head; all parts lie inside it by its sums (key_len
        // fits u32, so they do not overflow), Meta and Limits are aligned because they begin at multiples of 8; nothing was
        // initialised before.
        unsafe {
            let base = base.as_ptr();
            public.data = data.as_ptr();
            public.len = bytes.len();
            let head = Head { references: AtomicUsize::new(1), public };
            base.cast::<Head>().write(head);
            base.add(META).cast::<Meta>().write(meta);
            if let Some(part) = limits_part {
                base.add(limits(key.len())).cast::<Limits>().write(part);
            }
            ptr::copy_nonoverlapping(key.as_ptr(), base.add(KEY), key.len());
            ptr::copy_nonoverlapping(bytes.as_ptr(), data.as_ptr(), bytes.len());
            Some(Raw(NonNull::new_unchecked(base.cast())))
        }
    }

    /// A view of `self` with another tier in its head.
    pub(super) fn view(self, tier: Tier) -> Option<Raw> {
        assert!(!self.is_view(), "a view shows an entry");
        let mut public = *self.public();
        public.tier = tier as i32;
        let base = spare::alloc(VIEW_LAYOUT)?.cast::<View>();
        let owner = self.into_pointer();
        let head = Head { references: AtomicUsize::new(1 | OF_A_VIEW), public };
        // SAFETY: freshly allocated for a View; the reference that `self` was now belongs to it.
        unsafe { base.write(View { head, owner }) };
        Some(Raw(base.cast().map_addr(|address| address | VIEW)))
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

    /// Those of an entry that has some.
    pub(super) fn limits(&self) -> Option<&Limits> {
        let (meta, base) = (self.meta(), self.entry_base());
        // SAFETY: as in `meta`; `entry` wrote them there, and said so in the kind.
        let part = || unsafe { &*base.add(limits(meta.key_len as usize)).cast::<Limits>() };
        (meta.kind & LIMITED != 0).then(part)
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
        if self.is_view() {
            // SAFETY: alive while a reference is, and with the tag it is a view, whose owner is immutable.
            unsafe { (*self.head().as_ptr().cast::<View>()).owner.cast() }
        } else {
            self.0.as_ptr().cast()
        }
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
            let base = head.as_ptr().cast::<u8>();
            if head.as_ref().references.load(Ordering::Relaxed) & OF_A_VIEW != 0 {
                let owner = (*base.cast::<View>()).owner;
                spare::dealloc(head.cast(), VIEW_LAYOUT);
                drop(Raw(NonNull::new_unchecked(owner)));
                return;
            }
            let meta = base.add(META).cast::<Meta>();
            let head_len = head_len((*meta).key_len as usize, (*meta).kind & LIMITED != 0);
            let is_apart = (*meta).kind & APART != 0;
            let PublicHead { data, len, .. } = head.as_ref().public;
            let data = NonNull::new_unchecked(data.cast_mut());
            Allocation { head: head.cast(), data, is_apart }.give_back(KEY, head_len, len);
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
        let references = unsafe { &self.head().as_ref().references };
        // Where this is the only one nobody can make another, and there is nothing to give back.
        if references.load(Ordering::Acquire) & !OF_A_VIEW == 1 {
            return Raw::free(self.head());
        }
        if references.fetch_sub(1, Ordering::Release) & !OF_A_VIEW == 1 {
            // As a fence would, which ThreadSanitizer does not see.
            let _ = references.load(Ordering::Acquire);
            Raw::free(self.head());
        }
    }
}

const VIEW_LAYOUT: Layout = match Layout::new::<View>().align_to(HEAD_ALIGN) {
    Ok(layout) => layout,
    Err(_) => panic!("a view is no longer than an address space"),
};

/// What an entry takes of the heap.
pub(super) fn heap_bytes(key_len: usize, len: usize, is_limited: bool) -> usize {
    allocation::heap_bytes(head_len(key_len, is_limited), len)
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
