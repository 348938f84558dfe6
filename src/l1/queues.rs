//! First in, first out: queues of places, each place in one of them at most, linked through one table, so that it can
//! leave from the middle.

#![forbid(unsafe_code)]

use super::directory::{MOST_PLACES, Place};

/// No place.
const NONE: Place = MOST_PLACES;

/// Why an entry is kept, which is the queue that it stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queue {
    /// Somebody stored it lately.
    Written,
    /// It was read from L2 lately.
    Fetched,
    /// It was read again, or stayed when nobody had to go.
    Main,
}

const QUEUES: [Queue; 3] = [Queue::Written, Queue::Fetched, Queue::Main];

/// Its neighbours, of 31 bits each, and the queue in the two that are left: there is one of these for each place, taken or
/// not.
#[derive(Clone, Copy)]
struct Link(u64);

impl Link {
    const NOWHERE: Link = Link(3);

    fn new(before: Place, behind: Place, queue: Queue) -> Link {
        Link(u64::from(before) << 33 | u64::from(behind) << 2 | queue as u64)
    }

    fn before(self) -> Place {
        (self.0 >> 33) as Place
    }

    fn behind(self) -> Place {
        (self.0 >> 2) as Place & NONE
    }

    fn queue(self) -> Option<Queue> {
        QUEUES.get(self.0 as usize & 3).copied()
    }

    fn set_before(&mut self, before: Place) {
        self.0 = self.0 & ((1 << 33) - 1) | u64::from(before) << 33;
    }

    fn set_behind(&mut self, behind: Place) {
        self.0 = self.0 & !(u64::from(NONE) << 2) | u64::from(behind) << 2;
    }
}

#[derive(Clone, Copy)]
struct Ends {
    first: Place,
    last: Place,
    entries: u64,
    bytes: u64,
}

pub struct Queues {
    links: Vec<Link>,
    ends: [Ends; 3],
}

impl Queues {
    pub fn new() -> Queues {
        Queues { links: Vec::new(), ends: [Ends { first: NONE, last: NONE, entries: 0, bytes: 0 }; 3] }
    }

    /// Takes note of so many places; `false` when there is no memory for them.
    pub fn reserve(&mut self, places: usize) -> bool {
        let more = places.saturating_sub(self.links.len());
        let has_memory = self.links.try_reserve_exact(more).is_ok();
        if has_memory {
            self.links.resize(self.links.len() + more, Link::NOWHERE);
        }
        has_memory
    }

    pub fn first(&self, queue: Queue) -> Option<Place> {
        Some(self.ends[queue as usize].first).filter(|place| *place != NONE)
    }

    pub fn entries(&self, queue: Queue) -> u64 {
        self.ends[queue as usize].entries
    }

    pub fn bytes(&self, queue: Queue) -> u64 {
        self.ends[queue as usize].bytes
    }

    pub fn all_entries(&self) -> u64 {
        self.ends.iter().map(|ends| ends.entries).sum()
    }

    pub fn all_bytes(&self) -> u64 {
        self.ends.iter().map(|ends| ends.bytes).sum()
    }

    /// The queue in which `place` stands.
    pub fn standing(&self, place: Place) -> Option<Queue> {
        self.links[place as usize].queue()
    }

    /// `place`, which stands nowhere, becomes the last of `queue`.
    pub fn push(&mut self, queue: Queue, place: Place, cost_bytes: u64) {
        let ends = &mut self.ends[queue as usize];
        self.links[place as usize] = Link::new(ends.last, NONE, queue);
        match ends.last {
            NONE => ends.first = place,
            last => self.links[last as usize].set_behind(place),
        }
        ends.last = place;
        ends.entries += 1;
        ends.bytes += cost_bytes;
    }

    /// `place` leaves the queue in which it stands.
    pub fn leave(&mut self, place: Place, cost_bytes: u64) -> Option<Queue> {
        let link = self.links[place as usize];
        let (before, behind, queue) = (link.before(), link.behind(), link.queue()?);
        let ends = &mut self.ends[queue as usize];
        match before {
            NONE => ends.first = behind,
            before => self.links[before as usize].set_behind(behind),
        }
        match behind {
            NONE => ends.last = before,
            behind => self.links[behind as usize].set_before(before),
        }
        ends.entries -= 1;
        ends.bytes -= cost_bytes;
        self.links[place as usize] = Link::NOWHERE;
        Some(queue)
    }
}
