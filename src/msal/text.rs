//! Pieces of JSON as they were written, and what they say whoever wrote them: one library puts blanks between, escapes
//! other characters than the next, or writes a number as text. No copy of a token is made to compare it.

#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::str::Chars;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Names and values of an object, in their order. Of a name that is given twice the last value counts, as for every
/// parser that MSAL uses.
pub(super) type Members<'a> = Vec<(&'a RawValue, &'a RawValue)>;

/// The members of the object `value`; `None` when it is none.
pub(super) fn members<'a>(value: &'a RawValue) -> Option<Members<'a>> {
    // Asked first, so that the parser never complains about the type: it would repeat what stands there.
    if !value.get().starts_with('{') {
        return None;
    }
    let Pieces(mut pieces) = serde_json::from_str(value.get()).ok()?;
    let mut later = HashSet::with_capacity(pieces.len());
    let is_last: Vec<_> = pieces.iter().rev().map(|(name, _)| later.insert(decoded(name))).collect();
    if later.len() < pieces.len() {
        let mut is_last = is_last.into_iter().rev();
        pieces.retain(|_| is_last.next() == Some(true));
    }
    Some(pieces)
}

/// The member of `members` with this name.
pub(super) fn find<'a>(members: &Members<'a>, name: &str) -> Option<&'a RawValue> {
    members.iter().find(|(known, _)| is_named(known, name)).map(|(_, value)| *value)
}

/// Whether `raw` is the text `name`, which has nothing that must be escaped.
pub(super) fn is_named(raw: &RawValue, name: &str) -> bool {
    let text = raw.get();
    text.get(1..text.len().saturating_sub(1)) == Some(name) || (text.contains('\\') && decoded(raw) == name)
}

/// What a text or a number says; empty for everything else.
pub(super) fn decoded(raw: &RawValue) -> Cow<'_, str> {
    let text = raw.get();
    match text.as_bytes().first() {
        Some(b'"') if !text.contains('\\') => Cow::Borrowed(&text[1..text.len() - 1]),
        Some(b'"') => Cow::Owned(Plain::new(text).filter_map(char::from_u32).collect()),
        Some(b'-' | b'0'..=b'9') => Cow::Borrowed(text),
        _ => Cow::Borrowed(""),
    }
}

/// Seconds since 1970, as text or number; 0 for what is neither.
pub(super) fn seconds(raw: Option<&RawValue>) -> i64 {
    raw.and_then(|raw| decoded(raw).parse().ok()).unwrap_or(0)
}

/// Whether both say the same: members in whatever order.
pub(super) fn is_same(one: &RawValue, other: &RawValue) -> bool {
    if one.get() == other.get() {
        return true;
    }
    match (members(one), members(other)) {
        (Some(one), Some(other)) => are_same(&one, &other),
        (None, None) => order(one, other) == Ordering::Equal,
        _ => false,
    }
}

/// Whether both are the same members.
pub(super) fn are_same(one: &Members<'_>, other: &Members<'_>) -> bool {
    let others: HashMap<_, _> = other.iter().map(|(name, value)| (decoded(name), *value)).collect();
    let is_there = |(name, value): &(&RawValue, &RawValue)| {
        others.get(&decoded(name)).is_some_and(|there| is_same(there, value))
    };
    one.len() == other.len() && one.iter().all(is_there)
}

/// An order of what values say, which is as good as any other: it decides where nothing else does.
pub(super) fn order(one: &RawValue, other: &RawValue) -> Ordering {
    if one.get() == other.get() {
        return Ordering::Equal;
    }
    let kinds = kind(one).cmp(&kind(other));
    kinds.then_with(|| Plain::new(one.get()).cmp(Plain::new(other.get())))
}

/// A number and the same number as text are one kind.
fn kind(raw: &RawValue) -> u8 {
    match raw.get().as_bytes().first() {
        Some(b'"' | b'-' | b'0'..=b'9') => b'"',
        Some(first) => *first,
        None => 0,
    }
}

/// The characters that JSON stands for, without blanks. Within lists and objects the ends of a text have a mark.
struct Plain<'a> {
    rest: Chars<'a>,
    is_alone: bool,
    is_text: bool,
}

/// Not a character.
const TEXT_ENDS: u32 = u32::MAX;

impl<'a> Plain<'a> {
    fn new(json: &'a str) -> Plain<'a> {
        let is_alone = !json.starts_with(['{', '[']);
        Plain { rest: json.chars(), is_alone, is_text: false }
    }

    fn escaped(&mut self) -> Option<u32> {
        Some(match self.rest.next()? {
            'b' => 8,
            't' => 9,
            'n' => 10,
            'f' => 12,
            'r' => 13,
            'u' => {
                let first = self.unit()?;
                let mut ahead = Plain { rest: self.rest.clone(), ..*self };
                match (first, ahead.rest.next(), ahead.rest.next()) {
                    (0xD800..0xDC00, Some('\\'), Some('u')) => match ahead.unit() {
                        Some(second @ 0xDC00..0xE000) => {
                            self.rest = ahead.rest;
                            0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00)
                        }
                        _ => first,
                    },
                    _ => first,
                }
            }
            other => u32::from(other),
        })
    }

    fn unit(&mut self) -> Option<u32> {
        (0..4).try_fold(0, |unit, _| Some(unit * 16 + self.rest.next()?.to_digit(16)?))
    }
}

impl Iterator for Plain<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        loop {
            match self.rest.next()? {
                '"' => {
                    self.is_text = !self.is_text;
                    if !self.is_alone {
                        return Some(TEXT_ENDS);
                    }
                }
                '\\' if self.is_text => return self.escaped(),
                ' ' | '\t' | '\n' | '\r' if !self.is_text => {}
                other => return Some(u32::from(other)),
            }
        }
    }
}

struct Pieces<'a>(Members<'a>);

impl<'de> Deserialize<'de> for Pieces<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Pieces<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pieces = Vec::new();
                while let Some(piece) = map.next_entry()? {
                    pieces.push(piece);
                }
                Ok(Pieces(pieces))
            }
        }
        deserializer.deserialize_map(Object)
    }
}
