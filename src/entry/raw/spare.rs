//! Where entries' memory comes from and goes to: a few blocks of entries that are gone, wiped, wait for the next entry of
//! their length. Where L1 is full, whoever stores one so takes the block of one that had to go, whichever thread's arena of
//! the heap that is in; otherwise each arena grows until it has room for all that comes and goes [measured from .NET with
//! four threads, values of one length and a limit of 64 MiB: 1 to 8 MiB over it, otherwise 10 to 18].

use std::alloc::{self, Layout};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

/// How many may wait, of different lengths.
const SPARES: usize = 64;
/// None of them is longer: together they take 1 MiB at most.
const LONGEST: usize = 16 << 10;
/// glibc's pieces are multiples of it, of which a word is its own.
const PIECE: usize = 16;
const WORD: usize = size_of::<usize>();

/// What stands at the beginning of a block that waits: how long it is.
type Length = usize;

static WAITING: [AtomicPtr<Length>; SPARES] = [const { AtomicPtr::new(ptr::null_mut()) }; SPARES];

/// What malloc takes for so many bytes.
pub const fn piece(len: usize) -> usize {
    len.saturating_add(WORD + PIECE - 1) / PIECE * PIECE
}

/// Where blocks of this layout wait, if they do, and how much is asked of malloc for them. A sanitizer sees those that are
/// used when they are gone, so nothing waits there.
fn whole(layout: Layout) -> Option<(&'static AtomicPtr<Length>, Layout)> {
    let piece = piece(layout.size());
    if piece > LONGEST || cfg!(sanitized) {
        return None;
    }
    let whole = Layout::from_size_align(piece - WORD, layout.align()).ok()?;
    Some((&WAITING[piece / PIECE % SPARES], whole))
}

/// As [`alloc::alloc`], for layouts of one alignment, which is that of a word or more.
///
/// # Safety
/// As there.
pub unsafe fn alloc(layout: Layout) -> *mut u8 {
    let Some((place, whole)) = whole(layout) else {
        // SAFETY: the same contract.
        return unsafe { alloc::alloc(layout) };
    };
    let waiting = place.swap(ptr::null_mut(), Ordering::Acquire);
    // SAFETY: what waits belongs to whoever takes it away, and `dealloc` has written how much was asked of malloc for it.
    unsafe {
        if !waiting.is_null() && *waiting == whole.size() {
            return waiting.cast();
        }
        if !waiting.is_null() {
            alloc::dealloc(waiting.cast(), Layout::from_size_align_unchecked(*waiting, whole.align()));
        }
        alloc::alloc(whole)
    }
}

/// As [`alloc::dealloc`], for what was wiped.
///
/// # Safety
/// As there, and it came from [`alloc`].
pub unsafe fn dealloc(block: *mut u8, layout: Layout) {
    let Some((place, whole)) = whole(layout) else {
        // SAFETY: the same contract.
        return unsafe { alloc::dealloc(block, layout) };
    };
    let waiting = block.cast::<Length>();
    // SAFETY: by the contract it is nobody else's, aligned for a word and as long as one.
    unsafe { waiting.write(whole.size()) };
    if place.compare_exchange(ptr::null_mut(), waiting, Ordering::Release, Ordering::Relaxed).is_err() {
        // SAFETY: as above; another one waits there, so this one is known to nobody.
        unsafe { alloc::dealloc(block, whole) };
    }
}
