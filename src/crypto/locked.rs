//! Memory for keys: locked, so that it is never swapped; left out of core dumps; wiped when it goes. A forked child
//! has it too, and goes on using it.

#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicBool, Ordering};

use memmap2::{Advice, MmapMut};
use zeroize::Zeroize;

use super::Material;
use crate::error::{Error, Result};

/// How long a key is.
pub const KEY_BYTES: usize = 32;

/// A fixed number of keys, in pages of their own.
pub struct Locked {
    pages: MmapMut,
    is_locked: AtomicBool,
}

impl Locked {
    /// Room for `count` keys.
    ///
    /// # Errors
    /// `OutOfMemory`.
    pub fn new(count: usize) -> Result<Locked> {
        let length = count.max(1) * KEY_BYTES;
        let pages = MmapMut::map_anon(length).map_err(|_| Error::out_of_memory(length))?;
        // Where the kernel cannot do it, a core dump is as the host's administrator has set it.
        #[cfg(target_os = "linux")]
        let _ = pages.advise(Advice::DontDump);
        let locked = Locked { pages, is_locked: AtomicBool::new(false) };
        locked.relock();
        Ok(locked)
    }

    /// Locks the pages again: a forked child has them, and has them unlocked.
    pub fn relock(&self) {
        self.is_locked.store(self.pages.lock().is_ok(), Ordering::Relaxed);
    }

    /// Whether the pages are locked. A process has a limit of locked memory, and what lies beyond it may be swapped.
    pub fn is_locked(&self) -> bool {
        self.is_locked.load(Ordering::Relaxed)
    }

    /// Puts a key in place `index`.
    pub(super) fn put(&mut self, index: usize, key: &Material) {
        self.pages[index * KEY_BYTES..][..KEY_BYTES].copy_from_slice(&key.0[..]);
    }

    /// The key in place `index`.
    pub(super) fn key(&self, index: usize) -> &[u8; KEY_BYTES] {
        self.pages[index * KEY_BYTES..].first_chunk().expect("there is room for whole keys")
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        self.pages.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_kept_in_locked_pages_that_no_core_dump_has() {
        let mut locked = Locked::new(3).expect("memory");
        locked.put(2, &Material::copy(&[9; KEY_BYTES]));
        assert_eq!(locked.key(2), &[9; KEY_BYTES]);
        assert_eq!(locked.key(1), &[0; KEY_BYTES]);
        let maps = std::fs::read_to_string("/proc/self/smaps").expect("Linux");
        // Neighbours of the same kind are one mapping to the kernel.
        let ours = locked.pages.as_ptr() as usize;
        let holds = |line: &str| {
            let range = line.split(' ').next()?;
            let (from, to) = range.split_once('-')?;
            let bound = |text| usize::from_str_radix(text, 16).ok();
            Some(bound(from)? <= ours && ours < bound(to)?)
        };
        let after = maps.lines().skip_while(|line| holds(line) != Some(true));
        let flags = after.into_iter().find_map(|line| line.strip_prefix("VmFlags: ")).expect("mapped");
        let flags: Vec<&str> = flags.split(' ').collect();
        assert!(flags.contains(&"dd"), "{flags:?}");
        assert_eq!(flags.contains(&"lo"), locked.is_locked());
    }
}
