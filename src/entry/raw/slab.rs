//! Cells side by side, for what a look-up reads of entries whose bytes lie elsewhere. So the heads and keys of a whole tier lie
//! in few pages, which the processor finds by what it remembers of the page tables; between the bytes each head would lie in a
//! page of its own.
//!
//! There is one size of cells, and a free one is taken before there is another slab: all slabs together are no more than the
//! cells that were ever in use at once. Nobody waits here for long: who finds another at work gets no cell after a few tries, and
//! lays head and bytes together; and what he gives back is left for the other. So a child forked in that moment has no cells, and
//! misses nothing else.

use std::alloc::{self, Layout};
use std::hint;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, Ordering, fence};
use std::sync::{Mutex, MutexGuard};

/// A cell is as long as an entry's head with a key of 88 bytes, or of 64 where it slides or may not stay. The keys of MSAL's users
/// have 73 bytes, those of its app tokens 87: such entries have a cell where they neither slide nor have to go before they end.
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

/// The first of the cells that were given back and not collected yet: each holds the address of the next.
static RETURNED: AtomicPtr<u8> = AtomicPtr::new(ptr::null_mut());

/// How often is looked whether the other is done, which takes half a microsecond.
const TRIES: usize = 32;

/// A cell; `None` when another is at work here, or there is no memory for it.
pub fn take() -> Option<NonNull<u8>> {
    if cfg!(sanitized) {
        // A sanitizer sees those that are used when they are gone, so each is an allocation there.
        // SAFETY: the size is not 0.
        return NonNull::new(unsafe { alloc::alloc(CELL) });
    }
    let cell = (0..TRIES).find_map(|_| try_lock().or_else(wait))?.take();
    collect();
    cell
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
        let mut next = RETURNED.load(Ordering::Relaxed);
        loop {
            cell.cast::<*mut u8>().write(next);
            match RETURNED.compare_exchange_weak(next, cell, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => break,
                Err(now) => next = now,
            }
        }
    }
    collect();
}

/// Has what was given back collected, by us or by whoever is at work here, who looks again when he is done.
fn collect() {
    // Between what we did and the look: so either we see the lock free, or the other what we left.
    fence(Ordering::SeqCst);
    while !RETURNED.load(Ordering::Relaxed).is_null() {
        let Some(mut slabs) = try_lock() else { return };
        slabs.collect();
        drop(slabs);
        fence(Ordering::SeqCst);
    }
}

fn try_lock() -> Option<MutexGuard<'static, Slabs>> {
    SLABS.try_lock().ok()
}

fn wait<T>() -> Option<T> {
    hint::spin_loop();
    None
}

/// A new slab, of which nothing was touched.
fn map() -> Option<NonNull<u8>> {
    // SAFETY: memory that nobody has yet, twice as much as is wanted; what is around the part that begins at a multiple is given
    // back. To say that it is to come in ordinary pages is no more than advice.
    unsafe {
        let (len, access) = (SLAB.size(), libc::PROT_READ | libc::PROT_WRITE);
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let whole = libc::mmap(ptr::null_mut(), 2 * len, access, flags, -1, 0);
        if whole == libc::MAP_FAILED {
            return None;
        }
        let before = whole.addr().next_multiple_of(SLAB.align()) - whole.addr();
        let slab = whole.byte_add(before);
        for (part, len) in [(whole, before), (slab.byte_add(len), len - before)] {
            if len > 0 {
                libc::munmap(part, len);
            }
        }
        libc::madvise(slab, len, libc::MADV_NOHUGEPAGE);
        NonNull::new(slab.cast())
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
                    // All of it is in use, so that a page of its length takes no more memory. And nobody waits for that page: what was
                    // touched already the system moves there in its own time.
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

    fn collect(&mut self) {
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
                libc::munmap(slab.cast(), SLAB.size());
            }
        }
    }

    /// Lists a new slab.
    fn add(&mut self) -> Option<()> {
        let slab = map()?.as_ptr().cast::<Slab>();
        let (before, after) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: nobody else's, and longer and more aligned than what stands at the beginning.
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

/// As another does who is at work here.
#[cfg(test)]
pub fn hold() -> impl Sized {
    SLABS.lock().expect("nobody panics with it")
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn taken() -> NonNull<u8> {
        loop {
            if let Some(cell) = take() {
                return cell;
            }
            std::thread::yield_now();
        }
    }

    /// Other tests take and give back at the same time.
    fn wait_until_collected() {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !RETURNED.load(Ordering::SeqCst).is_null() {
            assert!(Instant::now() < deadline, "cells that nobody collects");
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
        wait_until_collected();
    }

    #[test]
    fn what_is_given_back_while_another_is_at_work_comes_when_he_is_done() {
        if cfg!(sanitized) {
            return;
        }
        let cells = [(); 100].map(|()| taken());
        let slabs = hold();
        assert_eq!(take(), None, "nobody waits");
        for cell in cells {
            fill(cell, 2);
            give(cell, 2);
        }
        assert!(!RETURNED.load(Ordering::SeqCst).is_null(), "they are left");
        drop(slabs);
        collect();
        wait_until_collected();
    }

    fn lie_side_by_side(cells: [NonNull<u8>; 100]) -> bool {
        let pages = cells.map(|cell| cell.addr().get() >> 12);
        for cell in cells {
            fill(cell, 3);
            give(cell, 3);
        }
        pages.iter().collect::<std::collections::HashSet<_>>().len() < cells.len() / 2
    }

    /// But where other tests have left holes.
    #[test]
    fn cells_lie_side_by_side() {
        let do_now = || lie_side_by_side([(); 100].map(|()| taken()));
        assert!(cfg!(sanitized) || (0..1_000).any(|_| do_now()));
    }
}
