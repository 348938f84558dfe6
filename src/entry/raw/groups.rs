//! Groups of seven places in one cache line each, with a tag of eight bits for each place, so that a look-up compares all tags
//! at once and touches that line and the entry. Readers take no lock. Whoever has the [`Right`] changes what lies here, and
//! sees it without holding it, because nobody else takes anything away.

use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};

use super::front::{Claimed, Front};
use super::reader::Own;
use super::spot::{Held, Spot};
use crate::entry::Entry;

/// Numbers in a group, and places: the last number is none.
const NUMBERS: usize = 8;
const PLACES: usize = NUMBERS - 1;
/// Of every byte the lowest bit; and of those that are tags the highest, which each tag has.
const LOW: u64 = u64::MAX / 255;
const HIGH: u64 = (LOW << 7) >> 8;

/// The right to change the groups that are made with it. There is one of each.
pub struct Right(u64);

impl Right {
    /// One for groups that are still to be made.
    #[must_use]
    pub fn another() -> Right {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Right(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// An entry where it lies, as long as the right to take it away is not used.
pub struct Seen<'a> {
    entry: ManuallyDrop<Entry>,
    right: PhantomData<&'a Right>,
}

impl Deref for Seen<'_> {
    type Target = Entry;

    #[inline(always)]
    fn deref(&self) -> &Entry {
        // SAFETY: `Spot::swap` lets no view in.
        unsafe { std::hint::assert_unchecked(!self.entry.0.is_view()) };
        &self.entry
    }
}

/// One of so many, fewer than 2³², by the lower half of `hash`.
#[inline(always)]
#[must_use]
pub fn share(hash: u64, many: usize) -> usize {
    ((u64::from(hash as u32) * many as u64) >> 32) as usize
}

#[repr(C, align(64))]
pub struct Group {
    tags: AtomicU64,
    spots: [Spot; PLACES],
}

/// So many groups where nothing lies; `None` when there is no memory for them.
pub(super) fn empty(groups: usize) -> Option<Box<[Group]>> {
    let mut all = Vec::new();
    all.try_reserve_exact(groups).ok()?;
    all.resize_with(groups, Group::empty);
    Some(all.into_boxed_slice())
}

/// Leaves the memory of groups where nothing lies to the system until somebody looks there again.
pub(super) fn give_back(groups: &[Group]) {
    let all = groups.as_ptr_range();
    // SAFETY: only asks.
    let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(1 << 16);
    let first = all.start.map_addr(|address| address.next_multiple_of(page));
    let len = (all.end.addr() / page * page).saturating_sub(first.addr());
    // SAFETY: whole pages of our own, which hold zeros, as those do that the system has in their place: nobody who looks sees a
    // difference. Where it will not have them they stay.
    unsafe { libc::madvise(first.cast_mut().cast(), len, libc::MADV_DONTNEED) };
}

impl Group {
    fn empty() -> Group {
        Group { tags: 0.into(), spots: std::array::from_fn(|_| Spot::empty()) }
    }

    /// Takes away all that lies here.
    pub(super) fn clear(&self) {
        for spot in self.spots.iter().filter(|spot| !spot.address().is_null()) {
            drop(spot.swap(None));
        }
        self.tags.store(0, Ordering::Release);
    }

    /// The entry of `key`, if it lies here, held for `reader`.
    #[inline(always)]
    pub(super) fn hold(&self, hash: u64, key: &[u8], reader: Option<Own>) -> Option<Held> {
        for at in self.candidates(hash) {
            if let Some(held) = self.spots.get(at)?.hold(reader)
                && held.key() == key
            {
                return Some(held);
            }
        }
        None
    }

    /// The places that may have the tag of `hash`.
    #[inline(always)]
    fn candidates(&self, hash: u64) -> Candidates {
        let differences = self.tags.load(Ordering::Acquire) ^ (LOW * tag(hash));
        // The highest bit of each byte that is no different, and now and then of one above it.
        Candidates(differences.wrapping_sub(LOW) & !differences & HIGH)
    }
}

struct Candidates(u64);

impl Iterator for Candidates {
    type Item = usize;

    #[inline(always)]
    fn next(&mut self) -> Option<usize> {
        let at = (self.0 != 0).then(|| lowest(self.0));
        self.0 &= self.0.wrapping_sub(1);
        at
    }
}

/// The number of the byte of the lowest bit, among those that are tags.
#[inline]
fn lowest(bits: u64) -> usize {
    bits.trailing_zeros() as usize / 8
}

/// The tag of a hash; its highest bit tells a place that is taken.
#[inline]
fn tag(hash: u64) -> u64 {
    hash >> 56 | 0x80
}

/// Has the line so far behind `address` fetched, whether or not anything lies there.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn fetch<T>(address: *const T, behind: usize) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: no more than a hint, which reads nothing that could be missed.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast::<i8>().wrapping_add(behind)) };
}

#[cfg(not(target_arch = "x86_64"))]
fn fetch<T>(_address: *const T, _behind: usize) {}

/// Groups that last for ever, or as long as their tier.
enum All {
    Lasting(Claimed),
    Owned(Box<[Group]>),
}

impl Deref for All {
    type Target = [Group];

    #[inline(always)]
    fn deref(&self) -> &[Group] {
        match self {
            All::Lasting(claimed) => claimed,
            All::Owned(groups) => groups,
        }
    }
}

/// As many groups as it was made with.
pub struct Groups {
    all: All,
    right: u64,
}

impl Groups {
    /// Numbers of places in one group.
    pub const NUMBERS: usize = NUMBERS;
    /// Places in one group.
    pub const PLACES: usize = PLACES;

    /// So many, for `right` to change; `None` when there is no memory for them.
    #[must_use]
    pub fn new(groups: usize, right: &Right) -> Option<Groups> {
        Some(Groups { all: All::Owned(empty(groups)?), right: right.0 })
    }

    /// As many, or up to twice as many, in memory that is never freed.
    #[must_use]
    pub fn lasting(groups: usize, right: &Right) -> Option<Groups> {
        Some(Groups { all: All::Lasting(Front::claim(groups)?), right: right.0 })
    }

    /// The front that these are, if they last.
    #[must_use]
    pub fn front(&self) -> Option<&'static Front> {
        match &self.all {
            All::Lasting(claimed) => Some(claimed.front()),
            All::Owned(_) => None,
        }
    }

    /// How many there are.
    #[inline]
    #[must_use]
    pub fn count(&self) -> usize {
        self.all.len()
    }

    /// The entry of `key`, if it lies in this group, held for `reader`.
    #[inline(always)]
    #[must_use]
    pub fn hold(&self, group: usize, hash: u64, key: &[u8], reader: Option<Own>) -> Option<Held> {
        self.all[group].hold(hash, key, reader)
    }

    /// Has this group fetched into the processor's cache, for whoever is to look into it soon.
    #[inline(always)]
    pub fn fetch(&self, group: usize) {
        fetch(&raw const self.all[group], 0);
    }

    /// Has what may have this hash in this group fetched, as far as its key and what every look reads.
    #[inline(always)]
    pub fn fetch_entries(&self, group: usize, hash: u64) {
        let group = &self.all[group];
        for spot in group.candidates(hash).filter_map(|at| group.spots.get(at)) {
            (0..3).for_each(|line| fetch(spot.address(), 64 * line));
        }
    }

    /// The number of the place of `key`, if it lies in this group.
    #[inline(always)]
    #[must_use]
    pub fn number(&self, right: &Right, group: usize, hash: u64, key: &[u8]) -> Option<usize> {
        let is_here = |number: &usize| self.at(right, *number).is_some_and(|seen| seen.key() == key);
        self.all[group].candidates(hash).map(|at| group * NUMBERS + at).find(is_here)
    }

    /// The number of a place in this group where nothing lies.
    #[must_use]
    pub fn vacancy(&self, group: usize) -> Option<usize> {
        let free = !self.all[group].tags.load(Ordering::Relaxed) & HIGH;
        (free != 0).then(|| group * NUMBERS + lowest(free))
    }

    /// What lies in the place of this number.
    #[inline]
    #[must_use]
    pub fn at<'a>(&'a self, right: &'a Right, number: usize) -> Option<Seen<'a>> {
        assert_eq!(self.right, right.0, "groups have a right of their own");
        let spot = self.all.get(number / NUMBERS)?.spots.get(number % NUMBERS)?;
        // SAFETY: what lies here is taken away by `put`, or with the groups themselves. `put` wants the right, of which there is
        // no other, for itself alone. While what is seen borrows both, neither can be.
        let entry = unsafe { spot.see() }?;
        Some(Seen { entry, right: PhantomData })
    }

    /// Puts `entry` of this hash into the place of this number, and gives back what was there.
    #[inline]
    pub fn put(&self, right: &mut Right, number: usize, hash: u64, entry: Option<Entry>) -> Option<Entry> {
        assert_eq!(self.right, right.0, "groups have a right of their own");
        let (group, at) = (self.all.get(number / NUMBERS)?, number % NUMBERS);
        let tag = if entry.is_some() { tag(hash) } else { 0 };
        let old = group.spots.get(at)?.swap(entry);
        // Readers compare the key, so a tag that is new before its entry, or old after it, costs them a look.
        let others = group.tags.load(Ordering::Relaxed) & !(0xFF << (8 * at));
        group.tags.store(others | tag << (8 * at), Ordering::Release);
        old
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Parts;

    #[test]
    #[should_panic(expected = "a right of their own")]
    fn groups_are_changed_by_their_own_right_alone() {
        let (own, mut another) = (Right::another(), Right::another());
        let groups = Groups::new(1, &own).expect("memory for a group");
        let entry = Entry::new(Parts::lasting(b"key", b"value"));
        groups.put(&mut another, 0, 0, entry);
    }

    #[test]
    fn what_was_seen_is_there_again_when_another_lies_in_its_place() {
        let mut right = Right::another();
        let groups = Groups::new(2, &right).expect("memory for a group");
        for data in [b"one", b"two"] {
            groups.put(&mut right, 9, 0, Entry::new(Parts::lasting(b"key", data)));
            let number = groups.number(&right, 1, 0, b"key");
            assert_eq!(number, Some(9));
            let kept = groups.at(&right, 9).map(|seen| Entry::clone(&seen)).expect("an entry lies there");
            drop(groups.put(&mut right, 9, 0, None));
            assert_eq!((kept.data(), groups.at(&right, 9).is_none()), (&data[..], true));
        }
        assert!(groups.at(&right, 7).is_none() && groups.at(&right, 16).is_none(), "no such places");
    }
}
