//! The memory of an entry: one block that holds its head, its key and its bytes; or, where the bytes are many, a cell for head
//! and key beside the cells of other entries, and a block for the bytes. A hit of the second kind takes three quarters of the
//! time [measured with 7,000 bytes, among 20,000 and 100,000 entries].

use std::alloc::Layout;
use std::ptr::NonNull;

use super::spare::{self, Waiting};
use super::{HEAD_ALIGN, slab};

/// Fewer bytes than these lie behind their key. Apart they would be found sooner too, in 0.7 to 0.9 of the time, but copied out
/// and stored up to a tenth later, and take 16 bytes more [measured with 500, among 20,000 and 100,000 entries].
const APART_FROM: usize = 1024;

/// The blocks that wait hold what goes with them, so that one step takes or gives both.
#[repr(C)]
struct Pair {
    cell: NonNull<u8>,
    cell_len: usize,
}

static PAIRS: Waiting = Waiting::none();

/// The memory of one entry.
pub struct Allocation {
    /// Where its head is.
    pub head: NonNull<u8>,
    /// Where its bytes are.
    pub data: NonNull<u8>,
}

const fn is_apart(head_len: usize, len: usize) -> bool {
    len >= APART_FROM && head_len <= slab::LONGEST
}

/// What head and key of `head_len` bytes and `len` bytes take of the heap.
pub fn heap_bytes(head_len: usize, len: usize) -> usize {
    if is_apart(head_len, len) {
        slab::cell_bytes(head_len).saturating_add(spare::piece(len))
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
        if is_apart(head_len, len) {
            return Allocation::apart(head_len, layout(len)?);
        }
        let head = spare::alloc(layout(head_len.checked_add(len)?)?)?;
        // SAFETY: not beyond the end of what was allocated.
        Some(Allocation { head, data: unsafe { head.add(head_len) } })
    }

    fn apart(head_len: usize, layout: Layout) -> Option<Allocation> {
        let Some(data) = PAIRS.take(layout) else {
            return Allocation::with_cell(head_len, spare::ask(layout)?, layout);
        };
        // SAFETY: `give_back` wrote it there; a block is longer than a pair, and aligned for it.
        let Pair { cell, cell_len } = unsafe { data.cast::<Pair>().read() };
        if slab::cell_bytes(cell_len) == slab::cell_bytes(head_len) {
            return Some(Allocation { head: cell, data });
        }
        // SAFETY: it came with the block, and is nobody's.
        unsafe { slab::give_back(cell, cell_len) };
        Allocation::with_cell(head_len, data, layout)
    }

    /// A block of this layout and a cell for it.
    fn with_cell(head_len: usize, data: NonNull<u8>, layout: Layout) -> Option<Allocation> {
        let Some(head) = slab::take(head_len) else {
            // SAFETY: it is nobody's, and was asked for so.
            unsafe { spare::let_go(data, layout) };
            return None;
        };
        Some(Allocation { head, data })
    }

    /// Gives it back, after what lies behind the first `plain_len` bytes was wiped.
    ///
    /// # Safety
    /// It was made with these lengths, and nobody uses it any more. `plain_len` is no more than `head_len`.
    pub unsafe fn give_back(self, plain_len: usize, head_len: usize, len: usize) {
        let secret = self.head.as_ptr().wrapping_add(plain_len).cast();
        // SAFETY: by the contract, and the layouts could be made before.
        unsafe {
            if !is_apart(head_len, len) {
                libc::explicit_bzero(secret, head_len - plain_len + len);
                return spare::dealloc(self.head, layout(head_len + len).unwrap_unchecked());
            }
            libc::explicit_bzero(secret, head_len - plain_len);
            libc::explicit_bzero(self.data.as_ptr().cast(), len);
            self.data.cast::<Pair>().write(Pair { cell: self.head, cell_len: head_len });
            if let Some((block, layout)) = PAIRS.keep(self.data, layout(len).unwrap_unchecked()) {
                let Pair { cell, cell_len } = block.cast::<Pair>().read();
                slab::give_back(cell, cell_len);
                spare::let_go(block, layout);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::slice;

    use super::*;

    /// Together, apart, where the head is too long for that, and where blocks do not wait.
    const LENGTHS: [(usize, usize); 8] =
        [(88, 0), (90, 1023), (168, 1024), (90, 1024), (168, 7000), (512, 7000), (513, 7000), (168, 100_000)];

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
}
