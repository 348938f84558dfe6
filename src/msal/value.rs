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
    match (mine, theirs) {
        (None, None) => None,
        (Some(mine), None) => (!is_base(mine)).then_some(Joined::Mine(mine)),
        (None, Some(theirs)) => (!is_base(theirs)).then_some(Joined::Theirs(theirs)),
        (Some(mine), Some(theirs)) if is_same(mine, theirs) => Some(Joined::Either(theirs)),
        (Some(mine), Some(theirs)) if is_base(mine) => Some(Joined::Theirs(theirs)),
        (Some(mine), Some(theirs)) if is_base(theirs) => Some(Joined::Mine(mine)),
        (Some(mine), Some(theirs)) => Some(match (text::members(mine), text::members(theirs)) {
            (Some(ours), Some(others)) => {
                Joined::Members(members(base.and_then(text::members), &ours, &others))
            }
            _ => greater(mine, theirs),
        }),
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
