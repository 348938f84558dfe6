//! Which of several items may not lie side by side in one document.

#![forbid(unsafe_code)]

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};

use super::item::{Item, Kind};
use super::merge::Kept;
use super::text::decoded;

/// Of access tokens of one client, account, realm and type that share a scope only the newest stays. MSAL deletes the
/// others when it saves one, and throws where it finds two (`multiple_matching_tokens_detected`). One that is gone for a
/// newer one takes with it what it had overlapped itself, as if all had been saved one after the other.
pub(super) fn drop_overlapping(kept: &mut Vec<Kept<'_, '_>>) {
    let mut tokens: Vec<_> = kept.iter().map(|kept| kept.item).filter(is_access_token).collect();
    tokens.sort_by(|one, other| other.age(one));
    let mut taken: HashMap<&str, HashSet<String>> = HashMap::new();
    let mut gone = HashSet::new();
    for token in tokens {
        let taken = taken.entry(&token.group).or_default();
        let scopes = token.scopes();
        if scopes.iter().any(|scope| taken.contains(scope)) {
            gone.insert(token.identity.clone());
        }
        taken.extend(scopes);
    }
    kept.retain(|kept| !is_access_token(&kept.item) || !gone.contains(&kept.item.identity));
}

/// A name stands once in a section: of two different items with the same one the newer stays.
pub(super) fn drop_namesakes(kept: &mut Vec<Kept<'_, '_>>) {
    let mut order: Vec<usize> = (0..kept.len()).collect();
    order.sort_by(|one, other| newer_first(&kept[*one], &kept[*other]));
    let mut names = HashSet::new();
    let is_first: HashSet<usize> = order
        .into_iter()
        .filter(|place| {
            let item = kept[*place].item;
            names.insert((item.kind.name(), decoded(item.key).into_owned()))
        })
        .collect();
    let mut place = 0;
    kept.retain(|_| {
        place += 1;
        is_first.contains(&(place - 1))
    });
}

fn newer_first(one: &Kept<'_, '_>, other: &Kept<'_, '_>) -> Ordering {
    other.written_at.cmp(&one.written_at).then_with(|| other.item.age(one.item))
}

fn is_access_token(item: &&Item<'_>) -> bool {
    item.kind == Kind::AccessToken
}
