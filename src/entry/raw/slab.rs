//! Cells side by side, for what a look-up reads of entries whose bytes lie elsewhere. So the heads and keys of a whole tier lie
//! in few pages, which the processor finds by what it remembers of the page tables; between the bytes each head would lie in a
//! page of its own.
//!
//! There is one size of cells, and a free one is taken before there is another slab: all slabs together are no more than the
//! cells that were ever in use at once. Nobody waits here: who comes while another takes a cell gets none, and lays head and
//! bytes together; and what he gives back is left where the next one finds it. So a child forked in that moment has no cells,
//! and misses nothing else.

use std::alloc::{self, Layout};
use std::ptr::{self, NonNull};
use std::sync::Mutex;
use std::sync::atomic::{AtomicPtr, Ordering};

/// A cell is as long as an entry's head with a key of 88 bytes, or of 64 where it slides or may not stay. The keys of MSAL's users
/// have 73 bytes, those of its app tokens 87.
pub const CELL: Layout = layout(176, 16);

/// A slab lies at a multiple of its own length, by which a cell finds it. It is as long as a large page of the processor.
const SLAB: Layout = layout(2 << 20, 2 << 20);
const CELLS: usize = (SLAB.size() - size_of::<Slab>()) / CELL.size();

const fn layout(len: usize, align: usize) -> Layout {
    match Layout::from_size_align(len, align) {
        Ok(layout) => layout,
        Err(_) => panic!("a power of two, and no longer than an address space"),
    }
}

/// What stands at the beginning of a slab; the cells follow.
#[repr(C, align(64))]
struct Slab {
    /// Its neighbours among those that have a free cell.
    before: *mut Slab,
    after: *mut Slab,
    /// The first of the cells that were given back: each holds the address of the next.
    free: *mut u8,
    /// How many cells were ever taken: those behind them were never touched, and cost no memory.
    begun: usize,
    taken: usize,
}

struct Slabs {
    /// Those that have a free cell.
    first: *mut Slab,
    /// How many of them have no other.
    empty: usize,
}

// SAFETY: slabs are the process's, and whoever has the lock is the only one who reads or writes what is at their beginning.
unsafe impl Send for Slabs {}

static SLABS: Mutex<Slabs> = Mutex::new(Slabs { first: ptr::null_mut(), empty: 0 });

/// The first of the cells that were given back while another had the lock: each holds the address of the next.
static RETURNED: AtomicPtr<u8> = AtomicPtr::new(ptr::null_mut());

/// A cell; `None` when another takes one just now, or there is no memory for it.
pub fn take() -> Option<NonNull<u8>> {
    if cfg!(sanitized) {
        // A sanitizer sees those that are used when they are gone, so each is an allocation there.
        // SAFETY: the size is not 0.
        return NonNull::new(unsafe { alloc::alloc(CELL) });
    }
    let mut slabs = SLABS.try_lock().ok()?;
    slabs.collect();
    slabs.take()
}

/// Takes a cell back.
///
/// # Safety
/// It came from [`take`], and nobody uses it any more.
pub unsafe fn give_back(cell: NonNull<u8>) {
    let cell = cell.as_ptr();
    // SAFETY: by the contract; what stands in a cell that is nobody's is the address of another.
    unsafe {
        if cfg!(sanitized) {
            return alloc::dealloc(cell, CELL);
        }
        if let Ok(mut slabs) = SLABS.try_lock() {
            slabs.collect();
            return slabs.give_back(cell);
        }
        let mut next = RETURNED.load(Ordering::Relaxed);
        loop {
            cell.cast::<*mut u8>().write(next);
            match RETURNED.compare_exchange_weak(next, cell, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => next = now,
            }
        }
    }
}

impl Slabs {
    fn take(&mut self) -> Option<NonNull<u8>> {
        if self.first.is_null() {
            self.add()?;
        }
        let slab = self.first;
        // SAFETY: a slab that is listed is alive and nobody else's, has a free cell, and each of those holds the next one's
        // address; a cell that was never taken lies inside the slab.
        unsafe {
            let cell = if (*slab).free.is_null() {
                (*slab).begun += 1;
                if (*slab).begun == CELLS {
                    // All of it is in use, so that a page of its length takes no more memory. Now is when nobody waits for that:
                    // what was touched already the system moves there in its own time, within half a minute.
                    libc::madvise(slab.cast(), SLAB.size(), libc::MADV_HUGEPAGE);
                }
                slab.cast::<u8>().add(size_of::<Slab>() + ((*slab).begun - 1) * CELL.size())
            } else {
                let cell = (*slab).free;
                (*slab).free = cell.cast::<*mut u8>().read();
                cell
            };
            if (*slab).taken == 0 {
                self.empty -= 1;
            }
            (*slab).taken += 1;
            if (*slab).taken == CELLS {
                self.unlist(slab);
            }
            NonNull::new(cell)
        }
    }

    /// Takes back what was left while another had the lock.
    fn collect(&mut self) {
        if RETURNED.load(Ordering::Relaxed).is_null() {
            return;
        }
        let mut cell = RETURNED.swap(ptr::null_mut(), Ordering::Acquire);
        while !cell.is_null() {
            // SAFETY: it was given back, and holds the address of the next.
            unsafe {
                let next = cell.cast::<*mut u8>().read();
                self.give_back(cell);
                cell = next;
            }
        }
    }

    /// # Safety
    /// The cell is one of a slab, and was taken.
    unsafe fn give_back(&mut self, cell: *mut u8) {
        let slab = cell.map_addr(|address| address & !(SLAB.size() - 1)).cast::<Slab>();
        // SAFETY: a slab is alive while a cell of it is taken, and nobody else's; when it goes it is listed nowhere any more.
        unsafe {
            if (*slab).taken == CELLS {
                self.list(slab);
            }
            cell.cast::<*mut u8>().write((*slab).free);
            (*slab).free = cell;
            (*slab).taken -= 1;
            if (*slab).taken > 0 {
                return;
            }
            // One that is empty stays, so that few entries that come and go do not make and unmake it each time.
            self.empty += 1;
            if self.empty > 1 {
                self.empty -= 1;
                self.unlist(slab);
                alloc::dealloc(slab.cast(), SLAB);
            }
        }
    }

    /// Lists a new slab.
    fn add(&mut self) -> Option<()> {
        // SAFETY: the size is not 0.
        let slab = NonNull::new(unsafe { alloc::alloc(SLAB) })?.as_ptr().cast::<Slab>();
        let (before, after) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: freshly allocated, and longer and more aligned than what stands at the beginning.
        unsafe {
            slab.write(Slab { before, after, free: ptr::null_mut(), begun: 0, taken: 0 });
            self.list(slab);
        }
        self.empty += 1;
        Some(())
    }

    /// # Safety
    /// The slab is alive and not listed.
    unsafe fn list(&mut self, slab: *mut Slab) {
        // SAFETY: by the contract; what is listed is alive.
        unsafe {
            (*slab).before = ptr::null_mut();
            (*slab).after = self.first;
            if let Some(after) = self.first.as_mut() {
                after.before = slab;
            }
        }
        self.first = slab;
    }

    /// # Safety
    /// The slab is listed.
    unsafe fn unlist(&mut self, slab: *mut Slab) {
        // SAFETY: what is listed is alive, and so are its neighbours.
        unsafe {
            let Slab { before, after, .. } = *slab;
            match before.as_mut() {
                Some(before) => before.after = after,
                None => self.first = after,
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

    fn taken() -> NonNull<u8> {
        loop {
            if let Some(cell) = take() {
                return cell;
            }
            std::thread::yield_now();
        }
    }

    fn fill(cell: NonNull<u8>, with: u8) {
        // SAFETY: it is as long.
        unsafe { cell.as_ptr().write_bytes(with, CELL.size()) };
    }

    /// Gives back a cell that holds what it was filled with.
    fn give(cell: NonNull<u8>, with: u8) {
        // SAFETY: it was taken, and filled.
        unsafe {
            let bytes = std::slice::from_raw_parts(cell.as_ptr(), CELL.size());
            assert!(bytes.iter().all(|byte| *byte == with), "another has written here");
            give_back(cell);
        }
    }

    #[test]
    fn a_cell_is_one_owners_and_slabs_that_nobody_uses_go() {
        let threads = 4_usize;
        std::thread::scope(|scope| {
            for thread in 0..threads {
                scope.spawn(move || {
                    let with = |number: usize| (number * threads + thread) as u8;
                    let mut cells: Vec<_> = (0..CELLS).map(|_| taken()).collect();
                    cells.iter().enumerate().for_each(|(number, cell)| fill(*cell, with(number)));
                    // Every second one comes back, and is taken again.
                    for number in (0..CELLS).step_by(2) {
                        give(cells[number], with(number));
                    }
                    for number in (0..CELLS).step_by(2) {
                        cells[number] = taken();
                        fill(cells[number], with(number));
                    }
                    cells.iter().enumerate().for_each(|(number, cell)| give(*cell, with(number)));
                });
            }
        });
        // What came back while another had the lock comes with the next.
        give_and_take();
        let slabs = SLABS.lock().expect("nobody panics with it");
        assert!(slabs.empty <= 1, "{} slabs that nobody uses", slabs.empty);
    }

    fn give_and_take() {
        let cell = taken();
        fill(cell, 1);
        give(cell, 1);
    }

    #[test]
    fn cells_lie_side_by_side() {
        let cells = [(); 100].map(|()| taken());
        let pages = cells.map(|cell| cell.addr().get() >> 12);
        let many = pages.iter().collect::<std::collections::HashSet<_>>().len();
        assert!(cfg!(sanitized) || many < cells.len() / 2, "{many} pages");
        for cell in cells {
            fill(cell, 2);
            give(cell, 2);
        }
    }
}
