//! Whose entry was evicted lately without having been read: who comes back so soon is read often.

#![forbid(unsafe_code)]

/// A table without collisions resolved: a key that takes another's line makes it forgotten, which costs a hit at most.
#[derive(Default)]
pub struct Ghosts {
    lines: Vec<Ghost>,
    evicted: u32,
}

#[derive(Clone, Copy, Default)]
struct Ghost {
    print: u32,
    /// The how-manieth it was.
    number: u32,
}

impl Ghosts {
    /// Has at least so many lines from now on, if there is memory for them; with more, what is remembered goes.
    pub fn reserve(&mut self, lines: usize) {
        let lines = lines.next_power_of_two();
        if lines > self.lines.len() {
            self.lines.clear();
            if self.lines.try_reserve_exact(lines).is_ok() {
                self.lines.resize(lines, Ghost::default());
            }
        }
    }

    fn line(&mut self, hash: u64) -> Option<&mut Ghost> {
        let mask = self.lines.len().wrapping_sub(1);
        self.lines.get_mut(hash as usize & mask)
    }

    /// What has this hash was evicted.
    pub fn remember(&mut self, hash: u64) {
        self.evicted = self.evicted.wrapping_add(1).max(1);
        let number = self.evicted;
        if let Some(line) = self.line(hash) {
            *line = Ghost { print: print(hash), number };
        }
    }

    /// Whether it was among the last `latest` that were evicted. It is not any more.
    pub fn take(&mut self, hash: u64, latest: u64) -> bool {
        let now = self.evicted;
        let Some(line) = self.line(hash) else { return false };
        let is_there = line.number != 0
            && line.print == print(hash)
            && u64::from(now.wrapping_sub(line.number)) < latest;
        if is_there {
            *line = Ghost::default();
        }
        is_there
    }
}

/// Of the bits of a hash those that do not choose its line.
fn print(hash: u64) -> u32 {
    (hash >> 32) as u32
}
