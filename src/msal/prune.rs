//! Lets go of access tokens that have ended. Nothing else ends by itself.

#![forbid(unsafe_code)]

use std::collections::HashSet;

use super::document::{Document, Writer};
use super::item::Kind;
use super::text;
use super::value::Joined;
use crate::entry::Secret;

/// `document` without the access tokens that have ended at Unix time `now_ms`. `None` when there are none, when it is no
/// document of MSAL, and when there is no memory for it: then it stays as it is.
#[must_use]
pub fn prune(document: &[u8], now_ms: i64) -> Option<Secret> {
    if document.first() != Some(&b'{') {
        return None;
    }
    let read = Document::read(document).ok()?;
    let has_ended = |end: i64| end > 0 && end.saturating_mul(1000) <= now_ms;
    let tokens = read.items.iter().filter(|item| item.kind == Kind::AccessToken);
    let ended: HashSet<_> =
        tokens.filter(|token| has_ended(token.expires_on())).map(|token| token.key.get()).collect();
    if ended.is_empty() {
        return None;
    }
    let mut writer = Writer::new(document.len())?;
    writer.object(read.root.iter().map(|member| (member.0, *member)), |writer, (name, section)| {
        match text::members(section).filter(|_| Kind::of(name) == Some(Kind::AccessToken)) {
            Some(tokens) => {
                let left = tokens.into_iter().filter(|(key, _)| !ended.contains(key.get()));
                writer.object(left, |writer, token| writer.value(&Joined::Mine(token)));
            }
            None => writer.value(&Joined::Mine(section)),
        }
    });
    Some(writer.end())
}
