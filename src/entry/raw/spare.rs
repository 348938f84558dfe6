//! Where entries' memory comes from and goes to: a few blocks of entries that are gone, wiped, wait for the next entry of
//! their length. Where L1 is full, whoever stores one so takes the block of one that had to go, whichever thread's arena of
//! the heap that is in; otherwise each arena grows until it has room for all that comes and goes [measured from .NET with
//! four threads, values of one length and a limit of 64 MiB: 0.7 MiB over it; 1 to 12 where one block of each length waits,
//! 10 to 18 where none does].

use std::alloc::{self, Layout};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

/// How many lengths have places of their own; others of the same remainder share them.
const LENGTHS: usize = 64;
/// How many of one length may wait: so many threads may be between taking one and giving one back.
const EACH: usize = 2;
/// None of them is longer: together they take 2 MiB at most.
const LONGEST: usize = 16 << 10;
/// glibc's pieces are multiples of it, and lie at multiples of it; a word of each is its own.
const PIECE: usize = 16;
const WORD: usize = size_of::<usize>();

// What lengths of the same remainder are told apart by has room in the address of a block.
const _: () = assert!(LONGEST / PIECE / LENGTHS <= PIECE);

/// A block that waits, if one does. The lowest bits of its address, which are those of none, say how long it is.
type Place = AtomicPtr<u8>;

static WAITING: [[Place; EACH]; LENGTHS] =
    [const { [const { AtomicPtr::new(ptr::null_mut()) }; EACH] }; LENGTHS];

/// What malloc takes for so many bytes.
pub const fn piece(len: usize) -> usize {
    len.saturating_add(WORD + PIECE - 1) / PIECE * PIECE
}

/// What is asked of malloc for one kind of block, and where such wait.
struct Kind {
    layout: Layout,
    places: &'static [Place; EACH],
    /// Its length in pieces of [`PIECE`]: what is left of it by [`LENGTHS`], and how often that is in it, which stands in the
    /// lowest bits of its address.
    remainder: usize,
    mark: usize,
}

impl Kind {
    /// That of this layout, where its blocks wait. A sanitizer sees those that are used when they are gone, so none wait
    /// there.
    fn of(layout: Layout) -> Option<Kind> {
        let piece = piece(layout.size());
        if piece >= LONGEST || layout.align() > PIECE || cfg!(sanitized) {
            return None;
        }
        let (remainder, mark) = (piece / PIECE % LENGTHS, piece / PIECE / LENGTHS);
        Some(Kind { layout: of_piece(piece)?, places: &WAITING[remainder], remainder, mark })
    }

    fn is_of(&self, waiting: *mut u8) -> bool {
        !waiting.is_null() && waiting.addr() % PIECE == self.mark
    }

    /// A block that waited.
    fn take(&self) -> Option<*mut u8> {
        self.places.iter().find_map(|place| {
            let waiting = place.load(Ordering::Relaxed);
            let is_ours = self.is_of(waiting)
                && place
                    .compare_exchange(waiting, ptr::null_mut(), Ordering::Acquire, Ordering::Relaxed)
                    .is_ok();
            is_ours.then(|| waiting.map_addr(|address| address - self.mark))
        })
    }

    /// Has `block` wait, and gives back what has to go for that: itself, where as many wait already. Others of another length
    /// go, which nobody may ask for any more.
    fn keep(&self, block: *mut u8) -> Option<(*mut u8, Layout)> {
        let waiting = block.map_addr(|address| address | self.mark);
        let is_kept = |place: &Place| {
            place.load(Ordering::Relaxed).is_null()
                && place
                    .compare_exchange(ptr::null_mut(), waiting, Ordering::Release, Ordering::Relaxed)
                    .is_ok()
        };
        if self.places.iter().any(is_kept) {
            return None;
        }
        let others = |place: &&Place| !self.is_of(place.load(Ordering::Relaxed));
        let Some(place) = self.places.iter().find(others) else { return Some((block, self.layout)) };
        let other = place.swap(waiting, Ordering::AcqRel);
        let mark = other.addr() % PIECE;
        let layout = of_piece((mark * LENGTHS + self.remainder) * PIECE)?;
        (!other.is_null()).then(|| (other.map_addr(|address| address - mark), layout))
    }
}

/// How a block is asked for that takes a whole piece.
fn of_piece(piece: usize) -> Option<Layout> {
    Layout::from_size_align(piece.checked_sub(WORD)?, PIECE).ok()
}

/// As [`alloc::alloc`].
///
/// # Safety
/// As there.
pub unsafe fn alloc(layout: Layout) -> *mut u8 {
    let Some(kind) = Kind::of(layout) else {
        // SAFETY: the same contract.
        return unsafe { alloc::alloc(layout) };
    };
    // SAFETY: a piece is longer than the word that is taken off.
    kind.take().unwrap_or_else(|| unsafe { alloc::alloc(kind.layout) })
}

/// As [`alloc::dealloc`], for what was wiped.
///
/// # Safety
/// As there, and it came from [`alloc`].
pub unsafe fn dealloc(block: *mut u8, layout: Layout) {
    let Some(kind) = Kind::of(layout) else {
        // SAFETY: the same contract.
        return unsafe { alloc::dealloc(block, layout) };
    };
    if let Some((block, layout)) = kind.keep(block) {
        // SAFETY: it is nobody else's, and was asked of malloc as this: its length is what its mark and its place say.
        unsafe { alloc::dealloc(block, layout) };
    }
}
