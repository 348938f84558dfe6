//! The groups that a look-up begins with, and the hash by which it finds its own. They are never freed, so that a reader may
//! look into them before anybody knows that it is inside the tier: what it finds there it holds, and only then asks whether
//! the tier is still there, which one locked instruction less costs. When its tier is gone a front waits for the next one.

use std::hash::BuildHasher;
use std::ops::Deref;

use foldhash::fast::RandomState;

use super::allocation;
use super::groups::{self, Group};
use super::lasting::{Lasting, Link, List};
use super::reader::Own;
use super::spot::Held;
use crate::entry::Key;

/// The first groups of one tier after the other.
pub struct Front {
    hasher: RandomState,
    groups: Box<[Group]>,
    link: Link<Front>,
}

static FRONTS: List<Front> = List::empty();

impl Lasting for Front {
    fn link(&self) -> &Link<Front> {
        &self.link
    }
}

impl Front {
    /// One of so many groups, or up to twice as many, where nothing lies; `None` when there is no memory for it.
    pub(super) fn claim(groups: usize) -> Option<Claimed> {
        let (rounded, most) = (rounded(groups), 2 * groups);
        let fits = |front: &Front| (rounded..=most).contains(&front.groups.len());
        let make = || {
            let groups = groups::empty(rounded)?;
            Some(Front { hasher: RandomState::default(), groups, link: Link::owned() })
        };
        let front = FRONTS.claim(fits, make)?;
        Some(Claimed { front, groups: &front.groups })
    }

    /// The hash of `key`, here and in the groups behind.
    #[inline(always)]
    #[must_use]
    pub fn hash(&self, key: &[u8]) -> u64 {
        self.hasher.hash_one(Key(key))
    }

    /// The entry of `key` that lies where nearly all do, held for `reader`; or the hash by which to look further.
    #[inline(always)]
    pub fn find(&self, key: &[u8], reader: Option<Own>) -> Result<Held, u64> {
        let hash = self.hash(key);
        let group = groups::share(hash, self.groups.len());
        self.groups[group].hold(hash, key, reader).ok_or(hash)
    }
}

/// So many, or up to a quarter more: four numbers from one power of two to the next. Of tiers one after the other, each with a
/// few groups more than the one before, each would leave a front behind that is too small for all that come.
fn rounded(groups: usize) -> usize {
    groups.next_multiple_of((groups.next_power_of_two() / 8).max(1))
}

/// A front that is one tier's, until this is dropped.
pub struct Claimed {
    front: &'static Front,
    groups: &'static [Group],
}

impl Claimed {
    pub(super) fn front(&self) -> &'static Front {
        self.front
    }
}

impl Deref for Claimed {
    type Target = [Group];

    #[inline(always)]
    fn deref(&self) -> &[Group] {
        self.groups
    }
}

impl Drop for Claimed {
    fn drop(&mut self) {
        self.groups.iter().for_each(Group::clear);
        allocation::drain();
        groups::give_back(self.groups);
        self.front.link.give_back();
    }
}

#[cfg(test)]
mod tests {
    use std::ptr;

    use super::*;
    use crate::entry::{Entry, Groups, Parts, Right};

    #[test]
    fn a_front_waits_for_the_next_tier_with_nothing_in_it() {
        // A number of groups that no other test asks for.
        let mut right = Right::another();
        let groups = Groups::lasting(12_000, &right).expect("memory for it");
        let front = groups.front().expect("it lasts");
        let hash = front.hash(b"key");
        let number = groups::share(hash, groups.count()) * Groups::NUMBERS;
        groups.put(&mut right, number, hash, Entry::new(Parts::lasting(b"key", b"value")));
        let held = front.find(b"key", None).expect("it lies there");
        drop(groups);
        assert!(front.find(b"key", None).is_err(), "it has gone with its tier");
        assert_eq!(held.data(), b"value", "and is held still");
        let mut right = Right::another();
        let next = Groups::lasting(7000, &right).expect("memory for it");
        assert!(ptr::eq(next.front().expect("it lasts"), front), "the same memory");
        next.put(&mut right, number, hash, Entry::new(Parts::lasting(b"key", b"other")));
        assert_eq!(front.find(b"key", None).expect("it lies there").data(), b"other");
        let another = Groups::lasting(12_000, &Right::another()).expect("memory for it");
        assert!(!ptr::eq(another.front().expect("it lasts"), front), "which is one tier's at a time");
    }

    #[test]
    fn tiers_that_grow_one_after_the_other_leave_few_fronts() {
        for groups in (17_000..32_000).step_by(100) {
            let groups = Groups::lasting(groups, &Right::another()).expect("memory for it");
            assert!(!groups.front().expect("it lasts").groups.is_empty());
        }
        let left = FRONTS.all().filter(|front| (17_000..=40_000).contains(&front.groups.len())).count();
        assert!(left <= 4, "{left} fronts");
    }
}
