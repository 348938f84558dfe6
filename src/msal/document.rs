//! A document, read into slices of itself, and written from slices of several.

#![forbid(unsafe_code)]

use std::collections::{HashMap, HashSet};
use std::fmt;

use serde_json::value::RawValue;

use super::item::{Item, Kind};
use super::text::{self, Members};
use super::value::Joined;
use crate::entry::Secret;

/// MSAL.NET reads nothing that is nested deeper.
const MAX_NESTING: usize = 64;

/// Why something is not a document that can be merged. Says nothing of what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It begins with a byte order mark, which no MSAL reads.
    ByteOrderMark,
    /// It is nested deeper than MSAL reads.
    TooDeep,
    /// It is not JSON, or more than one value.
    NotJson {
        /// Where it ceases to be.
        line: usize,
        /// Where in it.
        column: usize,
    },
    /// It is JSON, but not an object.
    NotAnObject,
    /// The section of this name is not an object.
    NotASection(&'static str),
    /// Something in the section of this name is not an object.
    NotAnItem(&'static str),
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::ByteOrderMark => formatter.write_str("it begins with a byte order mark"),
            Refusal::TooDeep => write!(formatter, "it is nested deeper than {MAX_NESTING} levels"),
            Refusal::NotJson { line, column } => {
                write!(formatter, "it ceases to be JSON at line {line}, column {column}")
            }
            Refusal::NotAnObject => formatter.write_str("it is JSON, but not an object"),
            Refusal::NotASection(name) => write!(formatter, "its section {name} is not an object"),
            Refusal::NotAnItem(name) => {
                write!(formatter, "its section {name} holds something that is not an object")
            }
        }
    }
}

/// A document.
#[derive(Default)]
pub(super) struct Document<'a> {
    pub bytes: &'a [u8],
    pub root: Members<'a>,
    /// In the order in which they stand there; of the same item the newest.
    pub items: Vec<Item<'a>>,
    /// How many items there are in all.
    pub count: usize,
    by_identity: HashMap<String, usize>,
    owners: HashSet<String>,
    /// The newest access token of each circle, in Unix seconds.
    newest: HashMap<String, i64>,
}

impl<'a> Document<'a> {
    /// Nothing at all is a document without items, as MSAL takes it.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Document<'a>, Refusal> {
        if bytes.is_empty() {
            return Ok(Document::default());
        }
        if bytes.starts_with(b"\xEF\xBB\xBF") {
            return Err(Refusal::ByteOrderMark);
        }
        if nesting(bytes) > MAX_NESTING {
            return Err(Refusal::TooDeep);
        }
        let not_json =
            |error: serde_json::Error| Refusal::NotJson { line: error.line(), column: error.column() };
        let whole: &RawValue = serde_json::from_slice(bytes).map_err(not_json)?;
        let root = text::members(whole).ok_or(Refusal::NotAnObject)?;
        let mut document = Document { bytes, ..Document::default() };
        for (name, section) in &root {
            if let Some(kind) = Kind::of(name).filter(|_| section.get() != "null") {
                document.read_section(kind, section)?;
            }
        }
        document.root = root;
        Ok(document)
    }

    fn read_section(&mut self, kind: Kind, section: &'a RawValue) -> Result<(), Refusal> {
        for (key, raw) in text::members(section).ok_or(Refusal::NotASection(kind.name()))? {
            let item = Item::read(kind, key, raw).ok_or(Refusal::NotAnItem(kind.name()))?;
            self.count += 1;
            if kind == Kind::AccessToken {
                for of in &item.circles {
                    let newest = self.newest.entry(of.clone()).or_insert(0);
                    *newest = item.written_at().max(*newest);
                }
            }
            self.owners.insert(item.owner.clone());
            let place = *self.by_identity.entry(item.identity.clone()).or_insert(self.items.len());
            match self.items.get_mut(place) {
                Some(there) if there.written_at() <= item.written_at() => *there = item,
                Some(_) => {}
                None => self.items.push(item),
            }
        }
        Ok(())
    }

    /// The item that is the same as `item`.
    pub(super) fn find(&self, item: &Item<'_>) -> Option<&Item<'a>> {
        self.items.get(*self.by_identity.get(&item.identity)?)
    }

    /// The time of the newest access token of a circle; 0 when there is none.
    pub(super) fn newest(&self, of: &str) -> i64 {
        self.newest.get(of).copied().unwrap_or(0)
    }

    /// Whether anything of `owner` is here.
    pub(super) fn knows(&self, owner: &str) -> bool {
        self.owners.contains(owner)
    }
}

/// How deep lists and objects are nested.
fn nesting(bytes: &[u8]) -> usize {
    let (mut depth, mut deepest, mut is_text, mut is_escaped) = (0_usize, 0, false, false);
    for byte in bytes {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_text => is_escaped = true,
            b'"' => is_text = !is_text,
            b'{' | b'[' if !is_text => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !is_text => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// Writes a document. There is room for everything from the first, because a buffer that grows leaves copies behind.
pub(super) struct Writer(Vec<u8>);

impl Writer {
    /// For what is made of pieces of documents of `bytes` in all. `None` when there is no memory for it.
    pub(super) fn new(bytes: usize) -> Option<Writer> {
        let mut buffer = Vec::new();
        buffer.try_reserve_exact(bytes.saturating_add(MARKS)).ok()?;
        Some(Writer(buffer))
    }

    pub(super) fn object<'m, V: 'm>(
        &mut self,
        members: impl IntoIterator<Item = (&'m RawValue, V)>,
        mut write: impl FnMut(&mut Writer, V),
    ) {
        self.0.push(b'{');
        for (index, (name, value)) in members.into_iter().enumerate() {
            if index != 0 {
                self.0.push(b',');
            }
            self.0.extend_from_slice(name.get().as_bytes());
            self.0.push(b':');
            write(self, value);
        }
        self.0.push(b'}');
    }

    pub(super) fn value(&mut self, value: &Joined<'_>) {
        match value {
            Joined::Either(raw) | Joined::Mine(raw) | Joined::Theirs(raw) => {
                self.0.extend_from_slice(raw.get().as_bytes());
            }
            Joined::Members(members) => {
                let members = members.iter().map(|(name, value)| (*name, value));
                self.object(members, Writer::value);
            }
        }
    }

    pub(super) fn end(self) -> Secret {
        debug_assert!(self.0.capacity() >= self.0.len());
        Secret::from(self.0)
    }
}

/// Braces around what neither document has a section for.
const MARKS: usize = 64;
