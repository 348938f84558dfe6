//! The memory of an epoch table: a page of header and the slots, private to this process or those of a file that
//! processes share. It keeps its address for its whole life, so that a hit finds a counter without asking which of
//! the two it is.

use std::fs::File;
use std::io;
use std::num::NonZeroUsize;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

use nix::sys::mman::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};

/// How many slots there are.
pub const SLOTS: usize = 1 << 16;
/// The header, which is the same in every version of the file.
pub const HEADER_WORDS: usize = 512;
/// How long a file of this version is.
pub const FILE_BYTES: usize = (HEADER_WORDS + SLOTS) * size_of::<AtomicU64>();
const HEADER_BYTES: usize = HEADER_WORDS * size_of::<AtomicU64>();

/// The counters.
pub struct Words(NonNull<[AtomicU64; HEADER_WORDS + SLOTS]>);

// SAFETY: what lies behind the pointer is atomic, and stays mapped until the last owner drops it.
unsafe impl Send for Words {}
// SAFETY: as above.
unsafe impl Sync for Words {}

/// How much of a file is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Header and slots, of a file that is [`FILE_BYTES`] long.
    Whole,
    /// The header alone, of a file whose slots another version laid out.
    Header,
}

impl Words {
    /// Counters at 0 that only this process sees.
    ///
    /// # Errors
    /// When there is no address space for them.
    pub fn private() -> io::Result<Words> {
        let length = NonZeroUsize::new(FILE_BYTES).expect("the table is not empty");
        // SAFETY: a new mapping at an address of the kernel's choice touches nothing that exists.
        let pages = unsafe { mmap_anonymous(None, length, access(), MapFlags::MAP_PRIVATE) }?;
        Ok(Words(pages.cast()))
    }

    /// Puts those of `file` in the place of the present ones. The file must be long enough, and stay so: who truncates
    /// it takes the process down, as with SQLite's own `-shm`.
    ///
    /// # Errors
    /// When the file cannot be mapped; the present ones stay.
    pub fn attach(&self, file: &File, extent: Extent) -> io::Result<()> {
        self.detach()?;
        let bytes = if extent == Extent::Whole { FILE_BYTES } else { HEADER_BYTES };
        let length = NonZeroUsize::new(bytes).expect("the header is not empty");
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
        let length = NonZeroUsize::new(FILE_BYTES).expect("the table is not empty");
        let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_FIXED;
        let here = NonZeroUsize::new(self.0.as_ptr() as usize);
        // SAFETY: as in `attach`.
        unsafe { mmap_anonymous(here, length, access(), flags) }?;
        Ok(())
    }
}

fn access() -> ProtFlags {
    ProtFlags::PROT_READ | ProtFlags::PROT_WRITE
}

impl Deref for Words {
    type Target = [AtomicU64; HEADER_WORDS + SLOTS];

    #[inline(always)]
    fn deref(&self) -> &Self::Target {
        // SAFETY: mapped, aligned to a page and as long as the array from `private` until `drop`; all bits are valid
        // for atomics, and nothing reads or writes them otherwise in this process.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        // SAFETY: the range is our own mapping, and nobody can borrow it any more.
        let _ = unsafe { munmap(self.0.cast(), FILE_BYTES) };
    }
}
