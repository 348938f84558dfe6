//! The right to replay a journal file: one process at a time, under a lock that dies with it.

#![forbid(unsafe_code)]

use std::fs::File;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};

use crate::l2::sqlite::sidecar::Sidecar;
use crate::l2::{Class, Failure};

/// Which process replays, for each file; files that share a place wait for one another. A child begins with the marks
/// of its parent, and takes no notice of them. No lock is held over a fork.
static HOLDERS: [AtomicU32; 64] = [const { AtomicU32::new(0) }; 64];

/// The lock, until it is dropped. It is one of POSIX: a child that was forked meanwhile does not keep it alive, as it
/// would one that belongs to a descriptor. In turn it does not hold off other threads of its process, which the mark
/// does, and it ends when any descriptor of the file is closed: nobody opens the file without having the mark.
pub(super) struct FileTurn {
    file: Option<File>,
    holder: &'static AtomicU32,
    process: u32,
}

impl FileTurn {
    /// Takes the lock on `file`, which is made when it is not there; `None` while another has it.
    pub fn take(file: &Sidecar) -> Result<Option<FileTurn>, Failure> {
        let place = BuildHasherDefault::<DefaultHasher>::new().hash_one(file.path()) as usize % HOLDERS.len();
        let Some(turn) = FileTurn::mark(&HOLDERS[place]) else { return Ok(None) };
        turn.lock(file).map_err(|error| {
            let message = format!(
                "The lock of the journal at {} cannot be used ({error}), and so what is owed is not replayed; let \
                 this user read and write it and its directory.",
                file.path().display()
            );
            Failure::new(Class::Unreachable, message)
        })
    }

    fn mark(holder: &'static AtomicU32) -> Option<FileTurn> {
        let process = std::process::id();
        let before = holder.load(Ordering::Acquire);
        let is_marked = before != process
            && holder.compare_exchange(before, process, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        // Not made where it is not marked: dropped, it would end the mark of whoever has it.
        is_marked.then(|| FileTurn { file: None, holder, process })
    }

    fn lock(mut self, file: &Sidecar) -> io::Result<Option<FileTurn>> {
        let file = self.file.insert(file.open_or_make()?);
        let whole = libc::flock {
            l_type: libc::F_WRLCK as libc::c_short,
            l_whence: libc::SEEK_SET as libc::c_short,
            l_start: 0,
            l_len: 0,
            l_pid: 0,
        };
        match fcntl(&*file, FcntlArg::F_SETLK(&whole)) {
            Ok(_) => Ok(Some(self)),
            Err(Errno::EACCES | Errno::EAGAIN) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl Drop for FileTurn {
    fn drop(&mut self) {
        // Before the mark goes: whoever has it next may open the file.
        drop(self.file.take());
        let _ = self.holder.compare_exchange(self.process, 0, Ordering::AcqRel, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_held_off_leaves_the_mark_where_it_is() {
        static HOLDER: AtomicU32 = AtomicU32::new(0);
        let turn = FileTurn::mark(&HOLDER);
        assert!(turn.is_some());
        (0..2).for_each(|_| assert!(FileTurn::mark(&HOLDER).is_none()));
    }

    #[test]
    fn a_mark_of_the_process_before_the_fork_holds_nobody_off() {
        static HOLDER: AtomicU32 = AtomicU32::new(1);
        let turn = FileTurn::mark(&HOLDER).expect("process 1 is not this one");
        assert!(FileTurn::mark(&HOLDER).is_none());
        drop(turn);
        assert_eq!(HOLDER.load(Ordering::Relaxed), 0);
        let copy = FileTurn { file: None, holder: &HOLDER, process: 1 };
        let turn = FileTurn::mark(&HOLDER);
        drop(copy);
        assert!(turn.is_some() && FileTurn::mark(&HOLDER).is_none(), "only its own process ends a mark");
    }
}
