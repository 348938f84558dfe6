//! Where entries' memory comes from and goes to: a few blocks of entries that are gone, wiped, wait for the next entry of
//! their length. Where L1 is full, whoever stores one so takes the block of one that had to go, whichever thread's arena of
//! the heap that is in; otherwise each arena grows until it has room for all that comes and goes [measured from .NET with
//! four threads, values of one length and a limit of 64 MiB: 0.7 MiB over it; 1 to 12 where one block of each length waits,
//! 10 to 18 where none does].

use std::alloc::{self, Layout};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, Ordering};

/// How many lengths have places of their own; others of the same remainder share them.
const LENGTHS: usize = 32;
/// How many of one length may wait: so many threads may be between taking one and giving one back.
const EACH: usize = 2;
/// None of them is longer: together those of one kind take half a MiB at most.
const LONGEST: usize = 8 << 10;
/// glibc's pieces are multiples of it, and lie at multiples of it; a word of each is its own.
const PIECE: usize = 16;
const WORD: usize = size_of::<usize>();

// What lengths of the same remainder are told apart by has room in the address of a block.
const _: () = assert!(LONGEST / PIECE / LENGTHS <= PIECE);

/// A block that waits, if one does. The lowest bits of its address, which are those of none, say how long it is.
type Place = AtomicPtr<u8>;

/// What malloc takes for so many bytes.
pub const fn piece(len: usize) -> usize {
    len.saturating_add(WORD + PIECE - 1) / PIECE * PIECE
}

/// How a block is asked for that takes a whole piece.
fn of_piece(piece: usize) -> Option<Layout> {
    Layout::from_size_align(piece.checked_sub(WORD)?, PIECE).ok()
}

/// What is asked of malloc for one kind of block.
struct Kind {
    layout: Layout,
    /// Its length in pieces of [`PIECE`]: what is left of it by [`LENGTHS`], and how often that is in it, which stands in the
    /// lowest bits of its address.
    remainder: usize,
    mark: usize,
}

impl Kind {
    /// That of this layout, where its blocks may wait. A sanitizer sees those that are used when they are gone, so none wait
    /// there.
    fn of(layout: Layout) -> Option<Kind> {
        let piece = piece(layout.size());
        if piece >= LONGEST || layout.align() > PIECE || cfg!(sanitized) {
            return None;
        }
        let (remainder, mark) = (piece / PIECE % LENGTHS, piece / PIECE / LENGTHS);
        Some(Kind { layout: of_piece(piece)?, remainder, mark })
    }

    fn is_of(&self, waiting: *mut u8) -> bool {
        !waiting.is_null() && waiting.addr() % PIECE == self.mark
    }
}

/// How a block for this layout is asked of malloc.
fn asked(layout: Layout) -> Layout {
    Kind::of(layout).map_or(layout, |kind| kind.layout)
}

/// A block from malloc, which may come to wait.
pub fn ask(layout: Layout) -> Option<NonNull<u8>> {
    // SAFETY: no entry and no piece has the size 0.
    NonNull::new(unsafe { alloc::alloc(asked(layout)) })
}

/// Gives a block to malloc.
///
/// # Safety
/// It came from [`ask`] with this layout, and may have waited since; nobody uses it any more.
pub unsafe fn let_go(block: NonNull<u8>, layout: Layout) {
    // SAFETY: by the contract.
    unsafe { alloc::dealloc(block.as_ptr(), asked(layout)) };
}

/// Blocks that wait.
pub struct Waiting([[Place; EACH]; LENGTHS]);

impl Waiting {
    pub const fn none() -> Waiting {
        Waiting([const { [const { AtomicPtr::new(ptr::null_mut()) }; EACH] }; LENGTHS])
    }

    /// A block for this layout that waited.
    pub fn take(&self, layout: Layout) -> Option<NonNull<u8>> {
        let kind = Kind::of(layout)?;
        self.0[kind.remainder].iter().find_map(|place| {
            let waiting = place.load(Ordering::Relaxed);
            let is_ours = kind.is_of(waiting)
                && place
                    .compare_exchange(waiting, ptr::null_mut(), Ordering::Acquire, Ordering::Relaxed)
                    .is_ok();
            is_ours.then(|| waiting.map_addr(|address| address - kind.mark)).and_then(NonNull::new)
        })
    }

    /// Has `block`, which is for this layout, wait; and gives back what has to go for that, and the layout that is for: itself,
    /// where as many wait already. Others of another length go, which nobody may ask for any more.
    pub fn keep(&self, block: NonNull<u8>, layout: Layout) -> Option<(NonNull<u8>, Layout)> {
        let Some(kind) = Kind::of(layout) else { return Some((block, layout)) };
        let places = &self.0[kind.remainder];
        let waiting = block.as_ptr().map_addr(|address| address | kind.mark);
        let is_kept = |place: &Place| {
            place.load(Ordering::Relaxed).is_null()
                && place
                    .compare_exchange(ptr::null_mut(), waiting, Ordering::Release, Ordering::Relaxed)
                    .is_ok()
        };
        if places.iter().any(is_kept) {
            return None;
        }
        let others = |place: &&Place| !kind.is_of(place.load(Ordering::Relaxed));
        let Some(place) = places.iter().find(others) else { return Some((block, layout)) };
        waited(place.swap(waiting, Ordering::AcqRel), kind.remainder)
    }

    /// Gives back all that wait, each with the layout that it is for.
    pub fn drain(&self) -> impl Iterator<Item = (NonNull<u8>, Layout)> {
        let all = self.0.iter().enumerate();
        let all = all.flat_map(|(remainder, places)| places.iter().map(move |place| (remainder, place)));
        all.filter_map(|(remainder, place)| waited(place.swap(ptr::null_mut(), Ordering::Acquire), remainder))
    }
}

/// The block that waited as this in a place of this remainder.
fn waited(waiting: *mut u8, remainder: usize) -> Option<(NonNull<u8>, Layout)> {
    let mark = waiting.addr() % PIECE;
    let block = NonNull::new(waiting.map_addr(|address| address - mark))?;
    Some((block, of_piece((mark * LENGTHS + remainder) * PIECE)?))
}

static BLOCKS: Waiting = Waiting::none();

/// A block for this layout, whose size is not 0; `None` when there is no memory for it.
pub fn alloc(layout: Layout) -> Option<NonNull<u8>> {
    BLOCKS.take(layout).or_else(|| ask(layout))
}

/// Takes back what was wiped.
///
/// # Safety
/// It came from [`alloc`] with this layout, and nobody uses it any more.
pub unsafe fn dealloc(block: NonNull<u8>, layout: Layout) {
    if let Some((block, layout)) = BLOCKS.keep(block, layout) {
        // SAFETY: it is nobody else's, and was asked for as this: its length is what its mark and its place say.
        unsafe { let_go(block, layout) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two of one remainder.
    const LENGTHS_OF_ONE: [usize; 2] = [500 * PIECE - WORD, (500 - LENGTHS) * PIECE - WORD];

    fn layout(len: usize) -> Layout {
        Layout::from_size_align(len, align_of::<usize>()).expect("a layout")
    }

    /// A block of this length, all of which is written.
    fn take(len: usize, with: u8) -> *mut u8 {
        // SAFETY: it is as long as was asked for.
        unsafe {
            let block = alloc(layout(len)).expect("memory for a block");
            block.write_bytes(with, len);
            block.as_ptr()
        }
    }

    /// Gives back what was taken with the same length and byte, if that is what it holds.
    fn give(block: *mut u8, len: usize, with: u8) {
        // SAFETY: it was taken with this length.
        unsafe {
            assert!(std::slice::from_raw_parts(block, len).iter().all(|byte| *byte == with));
            dealloc(NonNull::new_unchecked(block), layout(len));
        }
    }

    /// Whether what waited was given out again; not where entries of other tests came in between.
    fn waits(long: usize, short: usize) -> bool {
        let blocks = [(); 3].map(|()| take(long, 1));
        blocks.iter().for_each(|block| give(*block, long, 1));
        let again = [(); 2].map(|()| take(long, 2));
        again.iter().for_each(|block| give(*block, long, 2));
        let block = take(short, 3);
        give(block, short, 3);
        let same = take(short, 4);
        give(same, short, 4);
        again.iter().all(|block| blocks.contains(block)) && same == block
    }

    #[test]
    fn blocks_wait_for_their_length_in_the_place_of_others() {
        let [long, short] = LENGTHS_OF_ONE;
        assert!(cfg!(sanitized) || (0..100).any(|_| waits(long, short)));
    }

    #[test]
    fn a_block_belongs_to_one_at_a_time() {
        std::thread::scope(|scope| {
            for thread in 0..4_u8 {
                scope.spawn(move || {
                    for round in 0..5_000 {
                        let len = LENGTHS_OF_ONE[round % 2];
                        let block = take(len, thread);
                        std::thread::yield_now();
                        give(block, len, thread);
                    }
                });
            }
        });
    }
}
