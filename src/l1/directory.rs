//! Where the entries of L1 lie: groups of seven places in one cache line each, with a tag of eight bits for each place, so
//! that a look-up compares all tags at once and touches that line and the entry. Readers take no lock; one writer at a
//! time changes it. An entry never moves, and places are only ever added: when both groups of a key are full, another
//! level is put behind them.

#![forbid(unsafe_code)]

use std::hash::BuildHasher;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use foldhash::fast::RandomState;

use crate::entry::{Entry, Held, Key, Own, Reader, Spot};

/// The number of a place, over all levels; every eighth is none.
pub type Place = u32;
/// There are fewer.
pub const MOST_PLACES: Place = Place::MAX >> 1;

/// Numbers in a group, and places.
const NUMBERS: usize = 8;
const PLACES: usize = NUMBERS - 1;
/// Of every byte the lowest bit; and of those that are tags the highest, which each tag has.
const LOW: u64 = u64::MAX / 255;
const HIGH: u64 = (LOW << 7) >> 8;
/// How much smaller than the first level the next one is: long before all places are taken there are two groups that are
/// full. Each further one is twice as large as the one before.
const SMALLER: usize = 8;
/// More than there is room for among [`MOST_PLACES`].
const MORE_LEVELS: usize = 32;

#[repr(C, align(64))]
struct Group {
    tags: AtomicU64,
    spots: [Spot; PLACES],
}

impl Group {
    fn empty() -> Group {
        Group { tags: 0.into(), spots: std::array::from_fn(|_| Spot::empty()) }
    }

    /// The place and the entry of `key`, if it lies here.
    #[inline(always)]
    fn find(&self, tag: u64, key: &[u8], reader: Option<Own>) -> Option<(usize, Held)> {
        let differences = self.tags.load(Ordering::Acquire) ^ (LOW * tag);
        // The highest bit of each byte that is no different, and now and then of one above it.
        let mut candidates = differences.wrapping_sub(LOW) & !differences & HIGH;
        while candidates != 0 {
            let at = lowest(candidates);
            if let Some(held) = self.spots.get(at)?.hold(reader)
                && held.key() == key
            {
                return Some((at, held));
            }
            candidates &= candidates - 1;
        }
        None
    }

    fn put(&self, at: usize, tag: u64, entry: Option<Entry>) -> Option<Entry> {
        let old = self.spots[at].swap(entry);
        // Readers compare the key, so a tag that is new before its entry, or old after it, costs them a look.
        let others = self.tags.load(Ordering::Relaxed) & !(0xFF << (8 * at));
        self.tags.store(others | tag << (8 * at), Ordering::Release);
        old
    }
}

/// One of so many, fewer than 2³², by the lower half of `hash`.
#[inline]
pub fn share(hash: u64, many: usize) -> usize {
    ((u64::from(hash as u32) * many as u64) >> 32) as usize
}

/// The number of the byte of the lowest bit, among those that are tags.
#[inline]
fn lowest(bits: u64) -> usize {
    bits.trailing_zeros() as usize / 8
}

fn is_taken(tags: u64, at: usize) -> bool {
    tags & (0x80 << (8 * at)) != 0
}

/// The tag of a hash; its highest bit tells a place that is taken.
#[inline]
fn tag(hash: u64) -> u64 {
    hash >> 56 | 0x80
}

struct Level(Box<[Group]>);

impl Level {
    /// `None` when there is no memory for it.
    fn new(groups: usize) -> Option<Level> {
        let mut all = Vec::new();
        all.try_reserve_exact(groups).ok()?;
        all.resize_with(groups, Group::empty);
        Some(Level(all.into_boxed_slice()))
    }

    /// The two groups in which a key of this hash may lie.
    #[inline]
    fn groups(&self, hash: u64) -> [usize; 2] {
        [share(hash, self.0.len()), share(hash >> 24, self.0.len())]
    }

    /// The number of the place of `key` in this level, and its entry.
    fn find(&self, hash: u64, key: &[u8], reader: Option<Own>) -> Option<(usize, Held)> {
        let find = |group: usize| {
            let (at, held) = self.0[group].find(tag(hash), key, reader)?;
            Some((group * NUMBERS + at, held))
        };
        self.groups(hash).into_iter().find_map(find)
    }

    fn numbers(&self) -> usize {
        self.0.len() * NUMBERS
    }
}

pub struct Directory {
    hasher: RandomState,
    first: Level,
    more: [OnceLock<Level>; MORE_LEVELS],
}

impl Directory {
    /// A directory that begins with about so many places; `None` when there is no memory for it.
    pub fn new(places: usize) -> Option<Directory> {
        let first = Level::new(places.div_ceil(PLACES))?;
        Some(Directory { hasher: RandomState::default(), first, more: Default::default() })
    }

    #[inline]
    pub fn hash(&self, key: &[u8]) -> u64 {
        self.hasher.hash_one(Key(key))
    }

    /// Each level, and the number of its first place.
    fn levels(&self) -> impl Iterator<Item = (usize, &Level)> {
        let further = self.more.iter().map_while(OnceLock::get);
        std::iter::once(&self.first).chain(further).scan(0, |next, level| {
            let first = *next;
            *next += level.numbers();
            Some((first, level))
        })
    }

    /// One more than the number of the last place.
    pub fn numbers(&self) -> usize {
        self.levels().map(|(_, level)| level.numbers()).sum()
    }

    /// The entry of `key`, held for `reader`.
    #[inline(always)]
    pub fn find(&self, key: &[u8], reader: Option<Own>) -> Option<Held> {
        let hash = self.hash(key);
        // Nearly all lie in the first group that is looked into.
        if let Some((_, held)) = self.first.0[self.first.groups(hash)[0]].find(tag(hash), key, reader) {
            return Some(held);
        }
        self.find_further(hash, key, reader)
    }

    #[cold]
    #[inline(never)]
    fn find_further(&self, hash: u64, key: &[u8], reader: Option<Own>) -> Option<Held> {
        self.levels().find_map(|(_, level)| level.find(hash, key, reader)).map(|(_, held)| held)
    }

    /// Where `key` lies.
    pub fn place(&self, hash: u64, key: &[u8]) -> Option<Place> {
        let reader = Reader::own();
        let number = |(first, level): (usize, &Level)| {
            level.find(hash, key, reader).map(|(at, _)| (first + at) as Place)
        };
        self.levels().find_map(number)
    }

    /// A place where a key of this hash may lie and nothing does; `None` when there is none and there can be no more.
    pub fn vacancy(&self, hash: u64) -> Option<Place> {
        for (first, level) in self.levels() {
            for group in level.groups(hash) {
                let free = !level.0[group].tags.load(Ordering::Relaxed) & HIGH;
                if free != 0 {
                    return Some((first + group * NUMBERS + lowest(free)) as Place);
                }
            }
        }
        let before = self.numbers();
        let next = self.more.iter().position(|level| level.get().is_none())?;
        let groups = (self.first.0.len() / SMALLER).max(1) << next;
        if before + groups * NUMBERS > MOST_PLACES as usize {
            return None;
        }
        let next = &self.more[next];
        let level = Level::new(groups)?;
        let place = before + level.groups(hash)[0] * NUMBERS;
        next.set(level).ok()?;
        Some(place as Place)
    }

    /// A place where a key of this hash may lie, whatever does.
    pub fn taken(&self, hash: u64) -> Place {
        (self.first.groups(hash)[0] * NUMBERS) as Place
    }

    fn group(&self, place: Place) -> Option<(&Group, usize)> {
        let number = place as usize;
        let (first, level) = self.levels().find(|(first, level)| number < first + level.numbers())?;
        let at = number % NUMBERS;
        (at < PLACES).then(|| (&level.0[(number - first) / NUMBERS], at))
    }

    /// What lies in `place`.
    pub fn at(&self, place: Place) -> Option<Entry> {
        let (group, at) = self.group(place)?;
        if is_taken(group.tags.load(Ordering::Acquire), at) { group.spots[at].get() } else { None }
    }

    /// Puts `entry` into `place`, and gives back what was there.
    pub fn fill(&self, place: Place, hash: u64, entry: Entry) -> Option<Entry> {
        let (group, at) = self.group(place)?;
        group.put(at, tag(hash), Some(entry))
    }

    /// Empties `place`.
    pub fn empty(&self, place: Place) -> Option<Entry> {
        let (group, at) = self.group(place)?;
        group.put(at, 0, None)
    }
}
