//! Three-way merge. What both writers started from says what each of them has added, replaced and removed; the times in
//! the tokens say who was later.
//!
//! - Of an access token the newer stays (`cached_at`, then `expires_on`).
//! - Of a refresh or ID token the one that replaced the base's stays; where both did, the newer: by
//!   `last_modification_time` where both have it, else by the newest access token that lies beside it, since the provider
//!   sends them together.
//! - Of an account, and of what is not known, the members that somebody changed stay.
//! - What one has removed is gone, unless the other has replaced it meanwhile. Where all of an account was removed
//!   (a sign-out), or the whole entry, only what was written later than that comes back.
//! - Environments that are aliases of each other stay apart, as MSAL.NET and MSAL for Python keep them apart.
//!
//! `merge(base, a, b)` and `merge(base, b, a)` hold the same, and a merge of the result changes nothing.

#![forbid(unsafe_code)]

use std::cmp::Ordering;
use std::collections::HashMap;

use serde_json::value::RawValue;

use super::document::{Document, Refusal, Writer};
use super::item::{Item, Kind};
use super::overlap::{drop_namesakes, drop_overlapping};
use super::value::{Index, Joined, greater, join};
use crate::entry::Secret;

/// What one of the writers has made of the base.
#[derive(Clone, Copy)]
pub struct Side<'a> {
    document: &'a [u8],
    at_ms: i64,
    is_removal: bool,
}

impl<'a> Side<'a> {
    /// `document`, written at Unix time `at_ms`; 0 when that is not known.
    #[must_use]
    pub fn written(document: &'a [u8], at_ms: i64) -> Side<'a> {
        Side { document, at_ms, is_removal: false }
    }

    /// It was removed as a whole, at Unix time `at_ms`.
    #[must_use]
    pub fn removed(at_ms: i64) -> Side<'a> {
        Side { document: b"", at_ms, is_removal: true }
    }
}

/// What came of both.
#[derive(Debug)]
pub struct Merged {
    /// The document.
    pub bytes: Secret,
    /// Whether a token or an account is left in it.
    pub holds_anything: bool,
}

/// What a side says, with what can be read between its lines.
struct Reading<'a> {
    document: Document<'a>,
    at_ms: i64,
    is_removal: bool,
    /// Of each circle, the time of the newest access token that is not the base's.
    added: HashMap<String, i64>,
}

impl<'a> Reading<'a> {
    fn of(side: Side<'a>, base: &Document<'_>) -> Result<Reading<'a>, Refusal> {
        let document = Document::read(side.document)?;
        let mut added = HashMap::new();
        for item in document.items.iter().filter(|item| item.kind == Kind::AccessToken) {
            if !base.find(item).is_some_and(|before| before.is_same_write(item)) {
                for circle in &item.circles {
                    let newest = added.entry(circle.clone()).or_insert(0);
                    *newest = item.written_at().max(*newest);
                }
            }
        }
        Ok(Reading { document, at_ms: side.at_ms, is_removal: side.is_removal, added })
    }

    /// When all of `owner` was removed here, by Unix time, if it was.
    fn removed_at_ms(&self, owner: &str, base: &Document<'_>) -> Option<i64> {
        let is_signed_out = !owner.is_empty() && base.knows(owner) && !self.document.knows(owner);
        if !self.is_removal && !is_signed_out {
            return None;
        }
        let known = base.newest(owner).max(self.newest_added());
        Some(if self.at_ms == 0 { known.saturating_mul(1000) } else { self.at_ms })
    }

    fn newest_added(&self) -> i64 {
        self.added.values().copied().max().unwrap_or(0)
    }

    /// When `item` of this side was written, in Unix seconds: what it says itself, or what lies beside it.
    fn written_at(&self, item: &Item<'_>) -> i64 {
        let own = item.written_at();
        if own == 0 { self.beside(item) } else { own }
    }

    fn beside(&self, item: &Item<'_>) -> i64 {
        let newest = item.circles.iter().rev().map(|circle| self.document.newest(circle));
        newest.into_iter().find(|newest| *newest != 0).unwrap_or(0)
    }
}

/// An item that stays.
pub(super) struct Kept<'d, 'a> {
    pub item: &'d Item<'a>,
    pub value: Joined<'a>,
    pub written_at: i64,
}

/// What comes of `base`, of which `mine` and `theirs` were made. Without a base nothing is known to be removed.
///
/// # Errors
/// The first of them that is no document.
pub fn merge(base: Option<&[u8]>, mine: Side<'_>, theirs: Side<'_>) -> Result<Option<Merged>, Refusal> {
    let base = Document::read(base.unwrap_or_default())?;
    let mine = Reading::of(mine, &base)?;
    let theirs = Reading::of(theirs, &base)?;
    let mut kept = Vec::new();
    for item in &theirs.document.items {
        kept.extend(match mine.document.find(item) {
            Some(other) => Some(both(&base, (&mine, other), (&theirs, item))),
            None => survives(item, &base, &theirs, &mine).then(|| Kept {
                item,
                value: Joined::Theirs(item.raw),
                written_at: theirs.written_at(item),
            }),
        });
    }
    for item in mine.document.items.iter().filter(|item| theirs.document.find(item).is_none()) {
        if survives(item, &base, &mine, &theirs) {
            kept.push(Kept { item, value: Joined::Mine(item.raw), written_at: mine.written_at(item) });
        }
    }
    drop_overlapping(&mut kept);
    drop_namesakes(&mut kept);
    let root = root(&base, &mine.document, &theirs.document);
    let holds_anything = kept.iter().any(|kept| kept.item.kind != Kind::AppMetadata);
    let whole = whole(&root, &kept, &mine.document, &theirs.document);
    let bytes = match whole {
        Some(whole) => Secret::copy(whole),
        None => write(&root, &kept, mine.document.bytes.len() + theirs.document.bytes.len()),
    };
    Ok(bytes.map(|bytes| Merged { bytes, holds_anything }))
}

/// Whether `item`, which `other` does not have, stays.
fn survives(item: &Item<'_>, base: &Document<'_>, own: &Reading<'_>, other: &Reading<'_>) -> bool {
    let before = base.find(item);
    // Somebody has seen it and let it go.
    let is_seen = before.is_some_and(|before| before.is_same_write(item) || is_older(item, before));
    let added = item.circles.last().and_then(|circle| own.added.get(circle)).copied().unwrap_or(0);
    // It is written anew with each answer of the provider, and most often the same.
    let is_renewed = item.kind == Kind::Account && added != 0;
    let Some(removed_at_ms) = other.removed_at_ms(&item.owner, base) else { return !is_seen || is_renewed };
    match item.kind {
        Kind::Account => is_after(added, removed_at_ms),
        Kind::AppMetadata => is_after(own.newest_added(), removed_at_ms),
        _ if is_seen => false,
        Kind::AccessToken => is_after(item.written_at(), removed_at_ms),
        Kind::RefreshToken | Kind::IdToken => {
            let own = item.written_at();
            is_after(if own == 0 { added } else { own }, removed_at_ms)
        }
    }
}

fn is_older(item: &Item<'_>, before: &Item<'_>) -> bool {
    item.kind == Kind::AccessToken && item.written_at() < before.written_at()
}

/// In the second of a removal, the removal holds.
fn is_after(seconds: i64, removed_at_ms: i64) -> bool {
    seconds.saturating_mul(1000) > removed_at_ms
}

/// What comes of an item that both have.
fn both<'d, 'a>(
    base: &Document<'a>,
    (mine, my_item): (&Reading<'a>, &'d Item<'a>),
    (theirs, their_item): (&Reading<'a>, &'d Item<'a>),
) -> Kept<'d, 'a> {
    let before = base.find(their_item);
    let written_at = mine.written_at(my_item).max(theirs.written_at(their_item));
    let is_text = matches!(their_item.kind, Kind::Account | Kind::AppMetadata);
    if is_text || my_item.is_same_write(their_item) {
        let before = before.filter(|before| is_text || before.is_same_write(their_item));
        let value = join(before.map(|before| before.raw), Some(my_item.raw), Some(their_item.raw));
        return match value {
            Some(Joined::Mine(_)) => Kept { item: my_item, value: Joined::Mine(my_item.raw), written_at },
            value => {
                let value = value.unwrap_or(Joined::Theirs(their_item.raw));
                Kept { item: their_item, value, written_at }
            }
        };
    }
    let is_before = |item: &Item<'_>| before.is_some_and(|before| before.is_same_write(item));
    let order = match their_item.kind {
        Kind::AccessToken => my_item.age(their_item),
        _ if is_before(my_item) => Ordering::Less,
        _ if is_before(their_item) => Ordering::Greater,
        _ => match (my_item.written_at(), their_item.written_at()) {
            (ours, others) if ours != 0 && others != 0 => ours.cmp(&others),
            _ => mine.beside(my_item).cmp(&theirs.beside(their_item)),
        },
    };
    let value = match order {
        Ordering::Greater => Joined::Mine(my_item.raw),
        Ordering::Less => Joined::Theirs(their_item.raw),
        Ordering::Equal => greater(my_item.raw, their_item.raw),
    };
    if matches!(value, Joined::Mine(_)) {
        Kept { item: my_item, value, written_at: mine.written_at(my_item) }
    } else {
        Kept { item: their_item, value, written_at: theirs.written_at(their_item) }
    }
}

/// A member of the document: a section, or what is not known.
enum Node<'a> {
    Section(Kind),
    Other(Joined<'a>),
}

fn root<'a>(
    base: &Document<'a>,
    mine: &Document<'a>,
    theirs: &Document<'a>,
) -> Vec<(&'a RawValue, Node<'a>)> {
    let [before, ours, others] = [base, mine, theirs].map(|document| Index::of(&document.root));
    let added = mine.root.iter().filter(|(name, _)| others.get(name).is_none());
    let names = theirs.root.iter().chain(added).map(|(name, _)| *name);
    let node = |name: &'a RawValue| match Kind::of(name) {
        Some(kind) => Some((name, Node::Section(kind))),
        None => Some((name, Node::Other(join(before.get(name), ours.get(name), others.get(name))?))),
    };
    names.filter_map(node).collect()
}

/// One of the two documents, when nothing but what it holds is left: byte for byte then.
fn whole<'a>(
    root: &[(&RawValue, Node<'_>)],
    kept: &[Kept<'_, '_>],
    mine: &Document<'a>,
    theirs: &Document<'a>,
) -> Option<&'a [u8]> {
    let values = || {
        let others = root.iter().filter_map(|(_, node)| match node {
            Node::Other(value) => Some(value),
            Node::Section(_) => None,
        });
        others.chain(kept.iter().map(|kept| &kept.value))
    };
    let is_all_of =
        |document: &Document<'_>| document.count == kept.len() && document.root.len() == root.len();
    if is_all_of(theirs) && values().all(|value| matches!(value, Joined::Theirs(_) | Joined::Either(_))) {
        return Some(theirs.bytes);
    }
    let is_mine =
        is_all_of(mine) && values().all(|value| matches!(value, Joined::Mine(_) | Joined::Either(_)));
    is_mine.then_some(mine.bytes)
}

fn write(root: &[(&RawValue, Node<'_>)], kept: &[Kept<'_, '_>], bytes: usize) -> Option<Secret> {
    let mut writer = Writer::new(bytes)?;
    writer.object(root.iter().map(|(name, node)| (*name, node)), |writer, node| match node {
        Node::Other(value) => writer.value(value),
        Node::Section(kind) => {
            let items = kept.iter().filter(|kept| kept.item.kind == *kind);
            writer.object(items.map(|kept| (kept.item.key, &kept.value)), Writer::value);
        }
    });
    Some(writer.end())
}
