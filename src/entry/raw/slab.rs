//! Cells of equal sizes side by side, for what a look-up reads of entries whose bytes lie elsewhere. So the heads and keys of a
//! whole tier lie in few pages, which the processor finds by what it remembers of the page tables; between the bytes each head
//! would lie in a page of its own.

use std::alloc::{self, Layout};
use std::cell::Cell;
use std::mem::ManuallyDrop;
use std::ptr::{self, NonNull};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// No cell is longer.
pub const LONGEST: usize = 512;
/// Lengths of cells are multiples of it, and cells lie at multiples of it.
const STEP: usize = 16;
const SIZES: usize = LONGEST / STEP;
/// A slab lies at a multiple of its own length, by which a cell finds it.
const SLAB: Layout = match Layout::from_size_align(1 << 20, 1 << 20) {
    Ok(layout) => layout,
    Err(_) => panic!("a power of two"),
};

/// What stands at the beginning of a slab; the cells follow.
#[repr(C, align(64))]
struct Slab {
    /// Its neighbours among those of its size that have a free cell.
    before: *mut Slab,
    after: *mut Slab,
    /// The first of the cells that were given back: each holds the address of the next.
    free: *mut u8,
    /// How many cells were ever taken: those behind them were never touched, and cost no memory.
    begun: usize,
    taken: usize,
    cell_bytes: usize,
}

impl Slab {
    const fn cells(&self) -> usize {
        (SLAB.size() - size_of::<Slab>()) / self.cell_bytes
    }

    fn has_room(&self) -> bool {
        self.taken < self.cells()
    }
}

/// Of each size the first slab that has a free cell.
struct Slabs([*mut Slab; SIZES]);

// SAFETY: slabs are the process's, and whoever has the lock is the only one who reads or writes what is at their beginning.
unsafe impl Send for Slabs {}

static SLABS: Mutex<Slabs> = Mutex::new(Slabs([ptr::null_mut(); SIZES]));

thread_local! {
    // Without a destructor: a thread that is ending, or a process at exit, may still fork.
    static HELD: Cell<Option<ManuallyDrop<MutexGuard<'static, Slabs>>>> = const { Cell::new(None) };
}

fn lock() -> MutexGuard<'static, Slabs> {
    SLABS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Holds all slabs over a fork. This and the next belong into `pthread_atfork`; both run on the forking thread.
pub fn before_fork() {
    HELD.set(Some(ManuallyDrop::new(lock())));
}

/// Lets go of them, in the parent and in the child.
pub fn after_fork() {
    drop(HELD.take().map(ManuallyDrop::into_inner));
}

/// What a cell takes for `len` bytes, which are 1 to [`LONGEST`].
pub const fn cell_bytes(len: usize) -> usize {
    len.next_multiple_of(STEP)
}

/// A cell for `len` bytes, which are 1 to [`LONGEST`]; `None` when there is no memory for it.
pub fn take(len: usize) -> Option<NonNull<u8>> {
    let cell_bytes = cell_bytes(len);
    if cfg!(sanitized) {
        // SAFETY: the size is not 0.
        return NonNull::new(unsafe { alloc::alloc(alone(cell_bytes)) });
    }
    lock().take(cell_bytes)
}

/// Takes a cell back.
///
/// # Safety
/// It came from [`take`] with this length, and nobody uses it any more.
pub unsafe fn give_back(cell: NonNull<u8>, len: usize) {
    if cfg!(sanitized) {
        // SAFETY: it was asked for so.
        return unsafe { alloc::dealloc(cell.as_ptr(), alone(cell_bytes(len))) };
    }
    // SAFETY: by the contract.
    unsafe { lock().give_back(cell.as_ptr()) }
}

/// A sanitizer sees those that are used when they are gone, so each is an allocation there.
const fn alone(cell_bytes: usize) -> Layout {
    match Layout::from_size_align(cell_bytes, STEP) {
        Ok(layout) => layout,
        Err(_) => panic!("a cell is no longer than an address space"),
    }
}

impl Slabs {
    fn take(&mut self, cell_bytes: usize) -> Option<NonNull<u8>> {
        let first = *self.first(cell_bytes);
        let slab = if first.is_null() { self.add(cell_bytes)? } else { first };
        // SAFETY: a slab that is listed is alive and nobody else's, has a free cell, and each of those holds the next one's
        // address; a cell that was never taken lies inside the slab.
        unsafe {
            let cell = if (*slab).free.is_null() {
                (*slab).begun += 1;
                slab.cast::<u8>().add(size_of::<Slab>() + ((*slab).begun - 1) * cell_bytes)
            } else {
                let cell = (*slab).free;
                (*slab).free = cell.cast::<*mut u8>().read();
                cell
            };
            (*slab).taken += 1;
            if !(*slab).has_room() {
                self.unlist(slab);
            }
            NonNull::new(cell)
        }
    }

    /// # Safety
    /// The cell is one of a slab, and was taken.
    unsafe fn give_back(&mut self, cell: *mut u8) {
        let slab = cell.map_addr(|address| address & !(SLAB.size() - 1)).cast::<Slab>();
        // SAFETY: a slab is alive while a cell of it is taken, and nobody else's; an empty one is listed nowhere any more.
        unsafe {
            if !(*slab).has_room() {
                self.list(slab);
            }
            cell.cast::<*mut u8>().write((*slab).free);
            (*slab).free = cell;
            (*slab).taken -= 1;
            if (*slab).taken == 0 {
                self.unlist(slab);
                alloc::dealloc(slab.cast(), SLAB);
            }
        }
    }

    /// A new slab, which is listed.
    fn add(&mut self, cell_bytes: usize) -> Option<*mut Slab> {
        // SAFETY: the size is not 0.
        let slab = unsafe { alloc::alloc(SLAB) }.cast::<Slab>();
        if slab.is_null() {
            return None;
        }
        let (before, after) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: freshly allocated, and longer and more aligned than what stands at the beginning.
        unsafe {
            slab.write(Slab { before, after, free: ptr::null_mut(), begun: 0, taken: 0, cell_bytes });
            self.list(slab);
        }
        Some(slab)
    }

    fn first(&mut self, cell_bytes: usize) -> &mut *mut Slab {
        &mut self.0[cell_bytes / STEP - 1]
    }

    /// # Safety
    /// The slab is alive and not listed.
    unsafe fn list(&mut self, slab: *mut Slab) {
        // SAFETY: by the contract; what is listed is alive.
        unsafe {
            let first = self.first((*slab).cell_bytes);
            (*slab).before = ptr::null_mut();
            (*slab).after = *first;
            if let Some(after) = first.as_mut() {
                after.before = slab;
            }
            *first = slab;
        }
    }

    /// # Safety
    /// The slab is listed.
    unsafe fn unlist(&mut self, slab: *mut Slab) {
        // SAFETY: what is listed is alive, and so are its neighbours.
        unsafe {
            let Slab { before, after, cell_bytes, .. } = *slab;
            match before.as_mut() {
                Some(before) => before.after = after,
                None => *self.first(cell_bytes) = after,
            }
            if let Some(after) = after.as_mut() {
                after.before = before;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A length that no entry of another test has.
    const LEN: usize = 490;

    fn fill(cell: NonNull<u8>, with: u8) {
        // SAFETY: it is as long as was asked for.
        unsafe { cell.as_ptr().write_bytes(with, LEN) };
    }

    /// Gives back a cell that holds what it was filled with.
    fn give(cell: NonNull<u8>, with: u8) {
        // SAFETY: it was taken with this length, and filled.
        unsafe {
            assert!(std::slice::from_raw_parts(cell.as_ptr(), LEN).iter().all(|byte| *byte == with));
            give_back(cell, LEN);
        }
    }

    #[test]
    fn cells_are_one_owners_each_and_slabs_go_when_nobody_has_one() {
        let threads = 4_usize;
        let cells = SLAB.size() / LEN;
        std::thread::scope(|scope| {
            for thread in 0..threads {
                scope.spawn(move || {
                    let with = |number: usize| (number * threads + thread) as u8;
                    let mut taken: Vec<_> =
                        (0..cells).map(|_| take(LEN).expect("memory for a cell")).collect();
                    taken.iter().enumerate().for_each(|(number, cell)| fill(*cell, with(number)));
                    // Every second one comes back, and is taken again.
                    for number in (0..cells).step_by(2) {
                        give(taken[number], with(number));
                    }
                    for number in (0..cells).step_by(2) {
                        taken[number] = take(LEN).expect("memory for a cell");
                        fill(taken[number], with(number));
                    }
                    taken.iter().enumerate().for_each(|(number, cell)| give(*cell, with(number)));
                });
            }
        });
        assert!(lock().first(cell_bytes(LEN)).is_null(), "a slab that nobody uses");
    }

    #[test]
    fn cells_lie_side_by_side() {
        let cells = [(); 100].map(|()| take(16 * STEP).expect("memory for a cell"));
        let pages = cells.map(|cell| cell.addr().get() >> 12);
        let many = pages.iter().collect::<std::collections::HashSet<_>>().len();
        assert!(cfg!(sanitized) || many < cells.len() / 2, "{many} pages");
        // SAFETY: taken above.
        cells.into_iter().for_each(|cell| unsafe { give_back(cell, 16 * STEP) });
    }
}
