//! Whose entry was evicted lately: who comes back so soon is read often.

#![forbid(unsafe_code)]

use crate::entry::share;

/// A table without collisions resolved: a key that takes another's line makes it forgotten, which costs a hit at most.
#[derive(Default)]
pub struct Ghosts {
    lines: Vec<Ghost>,
    evicted: u64,
}

#[derive(Clone, Copy, Default)]
struct Ghost {
    print: u16,
    /// Which part of all evictions it was in; 0 for none.
    part: u16,
}

impl Ghosts {
    /// Has at least so many lines from now on, if there is memory for them; with more, what is remembered goes.
    pub fn reserve(&mut self, lines: usize) {
        if lines > self.lines.len() {
            self.lines.clear();
            if self.lines.try_reserve_exact(lines).is_ok() {
                self.lines.resize(lines, Ghost::default());
            }
        }
    }

    fn line(&mut self, hash: u64) -> Option<&mut Ghost> {
        let line = share(hash, self.lines.len());
        self.lines.get_mut(line)
    }

    /// As many evictions as are told apart from those before them: all lines are overwritten long before the parts begin
    /// again.
    fn part_len(&self) -> u64 {
        self.lines.len() as u64 / 4096 + 1
    }

    fn part(&self) -> u16 {
        (self.evicted / self.part_len() % u64::from(u16::MAX)) as u16 + 1
    }

    /// What has this hash was evicted.
    pub fn remember(&mut self, hash: u64) {
        self.evicted += 1;
        let ghost = Ghost { print: print(hash), part: self.part() };
        if let Some(line) = self.line(hash) {
            *line = ghost;
        }
    }

    /// Whether it was among about the last `latest` that were evicted. It is not any more.
    pub fn take(&mut self, hash: u64, latest: u64) -> bool {
        let (now, parts) = (self.part(), latest / self.part_len());
        let Some(line) = self.line(hash) else { return false };
        let age = (u64::from(now) + u64::from(u16::MAX) - u64::from(line.part)) % u64::from(u16::MAX);
        let is_there = line.part != 0 && line.print == print(hash) && age < parts;
        if is_there {
            *line = Ghost::default();
        }
        is_there
    }
}

/// Of the bits of a hash those that choose no line.
fn print(hash: u64) -> u16 {
    (hash >> 48) as u16
}
