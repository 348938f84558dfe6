//! Counters in memory of their own, private to this process or those of a file that processes share. They keep their
//! address for their whole life, so that a hit finds a counter without asking which of the two it is.

use std::fs::File;
use std::io;
use std::num::NonZeroUsize;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

use nix::sys::mman::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};

/// As many counters as this make whole pages.
pub const PAGE_WORDS: usize = 512;

/// So many counters, which is whole pages of them.
pub struct Words<const COUNT: usize>(NonNull<[AtomicU64; COUNT]>);

// SAFETY: what lies behind the pointer is atomic, and stays mapped until the last owner drops it.
unsafe impl<const COUNT: usize> Send for Words<COUNT> {}
// SAFETY: as above.
unsafe impl<const COUNT: usize> Sync for Words<COUNT> {}

impl<const COUNT: usize> Words<COUNT> {
    const BYTES: usize = COUNT * size_of::<AtomicU64>();

    /// Counters at 0 that only this process sees.
    ///
    /// # Errors
    /// When there is no address space for them.
    pub fn private() -> io::Result<Self> {
        let length = length(Self::BYTES);
        // SAFETY: a new mapping at an address of the kernel's choice touches nothing that exists.
        let pages = unsafe { mmap_anonymous(None, length, access(), MapFlags::MAP_PRIVATE) }?;
        Ok(Words(pages.cast()))
    }

    /// Puts the first `count` of `file` in the place of the present ones; the others begin at 0. The file must be long
    /// enough, and stay so: who truncates it takes the process down, as with SQLite's own `-shm`.
    ///
    /// # Errors
    /// When the file cannot be mapped; the present ones stay.
    pub fn attach(&self, file: &File, count: usize) -> io::Result<()> {
        self.detach()?;
        let length = length(count.min(COUNT) * size_of::<AtomicU64>());
        let flags = MapFlags::MAP_SHARED | MapFlags::MAP_FIXED;
        let here = NonZeroUsize::new(self.0.as_ptr() as usize);
        // SAFETY: the address range is our own mapping, at least as long; the kernel replaces it in one step, and what
        // other threads read through it before and after are valid atomics.
        unsafe { mmap(here, length, access(), flags, file, 0) }?;
        Ok(())
    }

    /// Goes back to counters at 0 that only this process sees.
    ///
    /// # Errors
    /// When there is no memory for them.
    pub fn detach(&self) -> io::Result<()> {
        let length = length(Self::BYTES);
        let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_FIXED;
        let here = NonZeroUsize::new(self.0.as_ptr() as usize);
        // SAFETY: as in `attach`.
        unsafe { mmap_anonymous(here, length, access(), flags) }?;
        Ok(())
    }
}

fn length(bytes: usize) -> NonZeroUsize {
    NonZeroUsize::new(bytes).expect("there is a counter")
}

fn access() -> ProtFlags {
    ProtFlags::PROT_READ | ProtFlags::PROT_WRITE
}

impl<const COUNT: usize> Deref for Words<COUNT> {
    type Target = [AtomicU64; COUNT];

    #[inline(always)]
    fn deref(&self) -> &Self::Target {
        // SAFETY: mapped, aligned to a page and as long as the array from `private` until `drop`; all bits are valid
        // for atomics, and nothing reads or writes them otherwise in this process.
        unsafe { self.0.as_ref() }
    }
}

impl<const COUNT: usize> Drop for Words<COUNT> {
    fn drop(&mut self) {
        // SAFETY: the range is our own mapping, and nobody can borrow it any more.
        let _ = unsafe { munmap(self.0.cast(), Self::BYTES) };
    }
}
