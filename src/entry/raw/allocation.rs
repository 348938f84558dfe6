//! The memory of an entry: one block that holds its head, its key and its bytes; or, where the bytes are many, a cell for head
//! and key beside the cells of other entries, and a block for the bytes. A hit of the second kind takes three quarters of the
//! time [measured with 7,000 bytes, among 20,000 and 100,000 entries].

use std::alloc::Layout;
use std::ptr::NonNull;

use super::spare::{self, Waiting};
use super::{HEAD_ALIGN, slab};

/// Fewer bytes than these lie behind their key, so that cells are a tenth of what a tier holds at most, or has held, also where
/// it comes to hold entries that need none while some that do stay in every slab.
const APART_FROM: usize = 1536;

/// Blocks that wait for the next entry with as many bytes. In each stands the address of a cell, which waits with it: so one
/// step takes or gives both.
static PAIRS: Waiting = Waiting::none();

/// How much of a cell an entry fills at least, or it is not worth one.
const FILLED: usize = slab::CELL.size() - 16;

type Cell = NonNull<u8>;

/// The memory of one entry.
pub struct Allocation {
    /// Where its head is.
    pub head: NonNull<u8>,
    /// Where its bytes are.
    pub data: NonNull<u8>,
    /// Not right behind the head.
    pub is_apart: bool,
}

const fn may_lie_apart(head_len: usize, len: usize) -> bool {
    len >= APART_FROM && FILLED <= head_len && head_len <= slab::CELL.size()
}

/// What head and key of `head_len` bytes and `len` bytes take of the heap, or now and then a few less.
pub fn heap_bytes(head_len: usize, len: usize) -> usize {
    if may_lie_apart(head_len, len) {
        slab::CELL.size().saturating_add(spare::piece(len))
    } else {
        spare::piece(head_len.saturating_add(len))
    }
}

fn layout(len: usize) -> Option<Layout> {
    Layout::from_size_align(len, HEAD_ALIGN).ok()
}

impl Allocation {
    /// For head and key of `head_len` bytes, which are not 0, and for `len` bytes; `None` when there is no memory for it.
    pub fn new(head_len: usize, len: usize) -> Option<Allocation> {
        if may_lie_apart(head_len, len)
            && let Some(made) = Allocation::apart(layout(len)?)
        {
            return Some(made);
        }
        Allocation::together(head_len, len)
    }

    fn together(head_len: usize, len: usize) -> Option<Allocation> {
        let head = spare::alloc(layout(head_len.checked_add(len)?)?)?;
        // SAFETY: not beyond the end of what was allocated.
        let data = unsafe { head.add(head_len) };
        Some(Allocation { head, data, is_apart: false })
    }

    fn apart(layout: Layout) -> Option<Allocation> {
        let (head, data) = match PAIRS.take(layout) {
            // SAFETY: `give_back` wrote it there; a block is longer than an address, and aligned for it.
            Some(data) => (unsafe { data.cast::<Cell>().read() }, data),
            None => {
                let cell = slab::take()?;
                let Some(data) = spare::ask(layout) else {
                    // SAFETY: taken above, and nobody's.
                    unsafe { slab::give_back(cell) };
                    return None;
                };
                (cell, data)
            }
        };
        Some(Allocation { head, data, is_apart: true })
    }

    /// Gives it back, after what lies behind the first `plain_len` bytes was wiped.
    ///
    /// # Safety
    /// It was made with these lengths, and nobody uses it any more. `plain_len` is no more than `head_len`.
    pub unsafe fn give_back(self, plain_len: usize, head_len: usize, len: usize) {
        let secret = self.head.as_ptr().wrapping_add(plain_len).cast();
        // SAFETY: by the contract, and the layouts could be made before.
        unsafe {
            if !self.is_apart {
                libc::explicit_bzero(secret, head_len - plain_len + len);
                return spare::dealloc(self.head, layout(head_len + len).unwrap_unchecked());
            }
            libc::explicit_bzero(secret, head_len - plain_len);
            libc::explicit_bzero(self.data.as_ptr().cast(), len);
            self.data.cast::<Cell>().write(self.head);
            if let Some((block, layout)) = PAIRS.keep(self.data, layout(len).unwrap_unchecked()) {
                let_go(block, layout);
            }
        }
    }
}

/// Gives the cell in a block that waited back, and the block.
///
/// # Safety
/// It is for this layout, and nobody else's.
unsafe fn let_go(block: NonNull<u8>, layout: Layout) {
    // SAFETY: by the contract, and `give_back` wrote it there.
    unsafe {
        slab::give_back(block.cast::<Cell>().read());
        spare::let_go(block, layout);
    }
}

/// Nothing waits any more: when a tier has gone, a cell that does would keep all of its slab.
pub fn drain() {
    // SAFETY: what comes out is nobody else's.
    PAIRS.drain().for_each(|(block, layout)| unsafe { let_go(block, layout) });
}

#[cfg(test)]
mod tests {
    use std::slice;

    use super::*;

    /// Together, apart, where the head is too long for that, and where blocks do not wait.
    const LENGTHS: [(usize, usize); 8] = [
        (88, 0),
        (160, 1535),
        (160, 1536),
        (168, 1536),
        (159, 7000),
        (176, 7000),
        (177, 7000),
        (168, 100_000),
    ];

    /// # Safety
    /// It was made with these lengths.
    unsafe fn parts<'a>(of: &Allocation, (head_len, len): (usize, usize)) -> [&'a mut [u8]; 2] {
        // SAFETY: by the contract.
        unsafe {
            let head = slice::from_raw_parts_mut(of.head.as_ptr(), head_len);
            [head, slice::from_raw_parts_mut(of.data.as_ptr(), len)]
        }
    }

    #[test]
    fn an_allocation_belongs_to_one_at_a_time_whatever_waited() {
        std::thread::scope(|scope| {
            for thread in 0..4_u8 {
                scope.spawn(move || {
                    for round in 0..2_000_usize {
                        let lengths = [round, round * 3 + 1].map(|at| LENGTHS[at % LENGTHS.len()]);
                        let made = lengths.map(|(head_len, len)| {
                            Allocation::new(head_len, len).expect("memory for an entry")
                        });
                        for (made, lengths) in made.iter().zip(lengths) {
                            // SAFETY: made with these lengths.
                            unsafe { parts(made, lengths) }.into_iter().for_each(|part| part.fill(thread));
                        }
                        std::thread::yield_now();
                        for (made, (head_len, len)) in made.into_iter().zip(lengths) {
                            // SAFETY: made with these lengths, and used by nobody else.
                            unsafe {
                                let mut all = parts(&made, (head_len, len)).into_iter().flatten();
                                assert!(all.all(|byte| *byte == thread), "another has written here");
                                made.give_back(0, head_len, len);
                            }
                        }
                    }
                });
            }
        });
    }

    /// Whoever asks whether a value can be held does not know yet whether it will slide.
    #[test]
    fn an_entry_with_limits_is_never_cheaper() {
        for key_len in 0..200 {
            for len in [0, 1, APART_FROM - 1, APART_FROM, APART_FROM + 1, 7000] {
                let [plain, limited] =
                    [false, true].map(|is_limited| crate::entry::cost_bytes(key_len, len, is_limited));
                assert!(plain <= limited, "a key of {key_len} bytes and {len}: {plain} and {limited}");
            }
        }
    }

    #[test]
    fn where_another_is_at_work_on_the_cells_head_and_bytes_lie_together() {
        if cfg!(sanitized) {
            return;
        }
        let (head_len, len) = (168, 9_000);
        let slabs = slab::hold();
        let together = Allocation::new(head_len, len).expect("memory for an entry");
        assert!(!together.is_apart, "there is no cell");
        drop(slabs);
        // SAFETY: made with these lengths, and used by nobody else.
        unsafe {
            parts(&together, (head_len, len)).into_iter().for_each(|part| part.fill(1));
            together.give_back(0, head_len, len);
        }
    }
}
