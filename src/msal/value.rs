//! The changes of two writers to one value of which nothing is known but that it is JSON.

#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::HashMap;

use serde_json::value::RawValue;

use super::text::{self, Members, decoded, is_same};

/// What comes of a value: it itself, as one of the writers left it, or members of both.
pub(super) enum Joined<'a> {
    /// As both have it.
    Either(&'a RawValue),
    /// As the one has it who writes now.
    Mine(&'a RawValue),
    /// As it lies there.
    Theirs(&'a RawValue),
    /// An object with members of both.
    Members(Vec<(&'a RawValue, Joined<'a>)>),
}

/// Members by name, to look them up.
pub(super) struct Index<'a>(HashMap<Cow<'a, str>, &'a RawValue>);

impl<'a> Index<'a> {
    pub(super) fn of(members: &Members<'a>) -> Index<'a> {
        Index(members.iter().map(|(name, value)| (decoded(name), *value)).collect())
    }

    pub(super) fn get(&self, name: &RawValue) -> Option<&'a RawValue> {
        self.0.get(&decoded(name)).copied()
    }
}

/// What comes of a value that was `base`: who has changed it wins; where both have, members are joined one by one.
pub(super) fn join<'a>(
    base: Option<&'a RawValue>,
    mine: Option<&'a RawValue>,
    theirs: Option<&'a RawValue>,
) -> Option<Joined<'a>> {
    let is_base = |value| base.is_some_and(|base| is_same(base, value));
    let (mine, theirs) = match (mine, theirs) {
        (None, None) => return None,
        (Some(mine), None) => return (!is_base(mine)).then_some(Joined::Mine(mine)),
        (None, Some(theirs)) => return (!is_base(theirs)).then_some(Joined::Theirs(theirs)),
        (Some(mine), Some(theirs)) => (mine, theirs),
    };
    // Objects are compared member by member while these are joined: to compare them first, again on each level, takes
    // seconds where there are many.
    if mine.get() != theirs.get()
        && let (Some(ours), Some(others)) = (text::members(mine), text::members(theirs))
    {
        let joined = members(base.and_then(text::members), &ours, &others);
        return Some(whole((mine, ours.len()), (theirs, others.len()), joined));
    }
    Some(if is_same(mine, theirs) {
        Joined::Either(theirs)
    } else if is_base(mine) {
        Joined::Theirs(theirs)
    } else if is_base(theirs) {
        Joined::Mine(mine)
    } else {
        greater(mine, theirs)
    })
}

/// What came of two objects with so many members: one of them, where it is all that came of both.
fn whole<'a>(
    (mine, ours): (&'a RawValue, usize),
    (theirs, others): (&'a RawValue, usize),
    joined: Vec<(&'a RawValue, Joined<'a>)>,
) -> Joined<'a> {
    use Joined::{Either, Mine, Theirs};
    let is_mine =
        joined.len() == ours && joined.iter().all(|(_, value)| matches!(value, Either(_) | Mine(_)));
    let is_theirs =
        joined.len() == others && joined.iter().all(|(_, value)| matches!(value, Either(_) | Theirs(_)));
    match (is_mine, is_theirs) {
        (true, true) => Either(theirs),
        (true, false) => Mine(mine),
        (false, true) => Theirs(theirs),
        (false, false) => Joined::Members(joined),
    }
}

/// The members that come of an object of both.
fn members<'a>(
    base: Option<Members<'a>>,
    mine: &Members<'a>,
    theirs: &Members<'a>,
) -> Vec<(&'a RawValue, Joined<'a>)> {
    let base = Index::of(&base.unwrap_or_default());
    let (ours, others) = (Index::of(mine), Index::of(theirs));
    let added = mine.iter().filter(|(name, _)| others.get(name).is_none());
    let names = theirs.iter().chain(added).map(|(name, _)| *name);
    names.filter_map(|name| Some((name, join(base.get(name), ours.get(name), others.get(name))?))).collect()
}

/// Where nothing else decides: the same one, whoever asks.
pub(super) fn greater<'a>(mine: &'a RawValue, theirs: &'a RawValue) -> Joined<'a> {
    if text::order(mine, theirs) == Ordering::Greater { Joined::Mine(mine) } else { Joined::Theirs(theirs) }
}
