//! Where the entry of a key lies: in one of two groups of each level. An entry never moves, and places are only ever added:
//! when both groups of a key are full, another level is put behind them.

#![forbid(unsafe_code)]

use std::sync::OnceLock;

use crate::entry::{Entry, Front, Groups, Held, Own, Right, Seen, share};

/// The number of a place, over all levels; every eighth is none.
pub type Place = u32;
/// There are fewer.
pub const MOST_PLACES: Place = Place::MAX >> 1;

/// How much smaller than the first level the next one is: long before all places are taken there are two groups that are
/// full. Each further one is twice as large as the one before, but half of all before it at most, so that no more than a third
/// of the places is there for a few entries.
const SMALLER: usize = 8;
/// More than there is room for among [`MOST_PLACES`].
const MORE_LEVELS: usize = 48;

struct Level(Groups);

impl Level {
    /// The two groups in which a key of this hash may lie.
    #[inline]
    fn groups(&self, hash: u64) -> [usize; 2] {
        [share(hash, self.0.count()), share(hash >> 24, self.0.count())]
    }

    /// Has both fetched.
    fn fetch(&self, hash: u64) {
        self.groups(hash).into_iter().for_each(|group| self.0.fetch(group));
    }

    fn hold(&self, hash: u64, key: &[u8], reader: Option<Own>) -> Option<Held> {
        self.groups(hash).into_iter().find_map(|group| self.0.hold(group, hash, key, reader))
    }

    /// The number of the place of `key` in this level.
    fn number(&self, right: &Right, hash: u64, key: &[u8]) -> Option<usize> {
        self.groups(hash).into_iter().find_map(|group| self.0.number(right, group, hash, key))
    }

    #[inline]
    fn numbers(&self) -> usize {
        self.0.count() * Groups::NUMBERS
    }
}

pub struct Directory {
    /// These go first: what waits for the next entry goes with the groups of the front.
    more: [OnceLock<Level>; MORE_LEVELS],
    front: &'static Front,
    /// The groups of the front.
    first: Level,
}

impl Directory {
    /// A directory that begins with about so many places, for `right` to change; `None` when there is no memory for it.
    pub fn new(places: usize, right: &Right) -> Option<Directory> {
        let first = Groups::lasting(places.div_ceil(Groups::PLACES), right)?;
        Some(Directory {
            front: first.front()?,
            first: Level(first),
            more: [const { OnceLock::new() }; MORE_LEVELS],
        })
    }

    /// Where a look-up begins.
    pub fn front(&self) -> &'static Front {
        self.front
    }

    #[inline]
    pub fn hash(&self, key: &[u8]) -> u64 {
        self.front.hash(key)
    }

    /// The levels behind the first.
    fn further(&self) -> impl Iterator<Item = &Level> {
        self.more.iter().map_while(OnceLock::get)
    }

    /// Each level, and the number of its first place.
    fn levels(&self) -> impl Iterator<Item = (usize, &Level)> {
        std::iter::once(&self.first).chain(self.further()).scan(0, |next, level| {
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
        self.front.find(key, reader).map_or_else(|hash| self.find_further(hash, key, reader), Some)
    }

    /// The entry of `key`, which was not where a look-up begins.
    #[cold]
    #[inline(never)]
    pub fn find_further(&self, hash: u64, key: &[u8], reader: Option<Own>) -> Option<Held> {
        // Each look waits for a line of its own: all are fetched at once.
        self.further().for_each(|level| level.fetch(hash));
        let second = self.first.groups(hash)[1];
        let held = self.first.0.hold(second, hash, key, reader);
        held.or_else(|| self.further().find_map(|level| level.hold(hash, key, reader)))
    }

    /// Has the group fetched in which a key of this hash lies, most likely.
    #[inline(always)]
    pub fn fetch(&self, hash: u64) {
        self.first.0.fetch(self.first.groups(hash)[0]);
    }

    /// Has the entry fetched that has this hash, most likely.
    #[inline(always)]
    pub fn fetch_entry(&self, hash: u64) {
        self.first.0.fetch_entries(self.first.groups(hash)[0], hash);
    }

    /// Where `key` lies.
    #[inline]
    pub fn place(&self, right: &Right, hash: u64, key: &[u8]) -> Option<Place> {
        // As in `find`.
        let number = self.first.0.number(right, self.first.groups(hash)[0], hash, key);
        number.map(|number| number as Place).or_else(|| self.further_place(right, hash, key))
    }

    #[cold]
    #[inline(never)]
    fn further_place(&self, right: &Right, hash: u64, key: &[u8]) -> Option<Place> {
        self.further().for_each(|level| level.fetch(hash));
        let number = |(first, level): (usize, &Level)| Some(first + level.number(right, hash, key)?);
        self.levels().find_map(number).map(|number| number as Place)
    }

    /// A place where a key of this hash may lie and nothing does; `None` when there is none and there can be no more.
    pub fn vacancy(&self, right: &Right, hash: u64) -> Option<Place> {
        for (first, level) in self.levels() {
            if let Some(number) = level.groups(hash).into_iter().find_map(|group| level.0.vacancy(group)) {
                return Some((first + number) as Place);
            }
        }
        let before = self.numbers();
        let next = self.more.iter().position(|level| level.get().is_none())?;
        let groups = ((self.first.0.count() / SMALLER) << next).min(before / Groups::NUMBERS / 2).max(1);
        if before + groups * Groups::NUMBERS > MOST_PLACES as usize {
            return None;
        }
        let next = &self.more[next];
        let level = Level(Groups::new(groups, right)?);
        let place = before + level.groups(hash)[0] * Groups::NUMBERS;
        next.set(level).ok()?;
        Some(place as Place)
    }

    /// A place where a key of this hash may lie, whatever does.
    pub fn taken(&self, hash: u64) -> Place {
        (self.first.groups(hash)[0] * Groups::NUMBERS) as Place
    }

    /// The groups among which `place` is, and its number there.
    #[inline]
    fn groups(&self, place: Place) -> Option<(&Groups, usize)> {
        let number = place as usize;
        if number < self.first.numbers() {
            Some((&self.first.0, number))
        } else {
            self.further_groups(number)
        }
    }

    fn further_groups(&self, number: usize) -> Option<(&Groups, usize)> {
        let (first, level) = self.levels().find(|(first, level)| number < first + level.numbers())?;
        Some((&level.0, number - first))
    }

    /// What lies in `place`.
    #[inline]
    pub fn at<'a>(&'a self, right: &'a Right, place: Place) -> Option<Seen<'a>> {
        let (groups, number) = self.groups(place)?;
        groups.at(right, number)
    }

    /// Puts `entry` into `place`, and gives back what was there.
    #[inline]
    pub fn fill(&self, right: &mut Right, place: Place, hash: u64, entry: Entry) -> Option<Entry> {
        let (groups, number) = self.groups(place)?;
        groups.put(right, number, hash, Some(entry))
    }

    /// Empties `place`.
    pub fn empty(&self, right: &mut Right, place: Place) -> Option<Entry> {
        let (groups, number) = self.groups(place)?;
        groups.put(right, number, 0, None)
    }
}
