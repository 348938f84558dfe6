//! Logs made by hand, in milliseconds.

use std::fmt::Write;

use crate::history::{Kind, Log, Tag};

/// Statuses of the ABI.
pub const OK: i8 = 0;
pub const NOT_FOUND: i8 = 1;
pub const CONFLICT: i8 = 2;
pub const DEGRADED: i8 = 3;
pub const TIMEOUT: i8 = -21;

/// Begin and end.
pub type Span = (u64, u64);

/// Writes down what a worker does.
pub struct Script {
    number: u32,
    written: u32,
    text: String,
    has_been_killed: bool,
}

/// How a set lives, in ms; 0: for ever.
#[derive(Clone, Copy, Default)]
pub struct Limits {
    pub ttl_ms: u32,
    pub sliding_ms: u32,
}

fn ns(ms: u64) -> u64 {
    ms * 1_000_000
}

/// The version that the script gives a write.
fn version(tag: Tag) -> u64 {
    (u64::from(tag.writer) << 32) + u64::from(tag.sequence) + 1
}

impl Script {
    pub fn new(number: u32) -> Script {
        Script { number, written: 0, text: format!("worker {number}\n"), has_been_killed: false }
    }

    /// Of one who reads when all is over.
    pub fn of_the_end(number: u32) -> Script {
        Script { text: format!("worker {number} final\n"), ..Script::new(number) }
    }

    fn begin(&mut self, kind: Kind, key: u32, begin_ms: u64, limits: Limits, base: Option<Tag>) -> Tag {
        let tag = Tag { writer: self.number, sequence: self.written };
        self.written += 1;
        let kind = match kind {
            Kind::Set => "set",
            Kind::Swap => "swap",
            Kind::Remove => "remove",
            Kind::Loss => "loss",
        };
        let base = base.map_or("- -".to_owned(), |base| format!("{} {}", base.writer, base.sequence));
        let (sequence, begin_ns) = (tag.sequence, ns(begin_ms));
        let Limits { ttl_ms, sliding_ms } = limits;
        writeln!(self.text, "b {sequence} {kind} {key} {begin_ns} {ttl_ms} {sliding_ms} 0 {base}")
            .expect("text");
        tag
    }

    fn end(&mut self, tag: Tag, end_ms: u64, status: i8) -> Tag {
        writeln!(self.text, "e {} {} {status} {}", tag.sequence, ns(end_ms), version(tag)).expect("text");
        tag
    }

    pub fn set(&mut self, key: u32, span: Span) -> Tag {
        self.set_with(key, span, OK, Limits::default())
    }

    pub fn set_with(&mut self, key: u32, span: Span, status: i8, limits: Limits) -> Tag {
        let tag = self.begin(Kind::Set, key, span.0, limits, None);
        self.end(tag, span.1, status)
    }

    /// One in whose middle the worker is killed.
    pub fn set_never_ended(&mut self, key: u32, begin_ms: u64) -> Tag {
        self.has_been_killed = true;
        self.begin(Kind::Set, key, begin_ms, Limits::default(), None)
    }

    pub fn swap(&mut self, key: u32, span: Span, base: Option<Tag>, status: i8) -> Tag {
        let tag = self.begin(Kind::Swap, key, span.0, Limits::default(), base);
        self.end(tag, span.1, status)
    }

    pub fn remove(&mut self, key: u32, span: Span, status: i8) -> Tag {
        let tag = self.begin(Kind::Remove, key, span.0, Limits::default(), None);
        self.end(tag, span.1, status)
    }

    /// L2 loses what it has.
    pub fn loss(&mut self, key: u32, span: Span) {
        let tag = self.begin(Kind::Loss, key, span.0, Limits::default(), None);
        self.end(tag, span.1, OK);
    }

    pub fn read(&mut self, key: u32, span: Span, seen: Tag) {
        self.read_as(key, span, seen, OK);
    }

    pub fn read_as(&mut self, key: u32, span: Span, seen: Tag, status: i8) {
        let seen_words = format!("{key} {} {}", seen.writer, seen.sequence);
        self.read_line(key, span, status, version(seen), &seen_words);
    }

    pub fn read_nothing(&mut self, key: u32, span: Span) {
        self.read_line(key, span, NOT_FOUND, 0, "- - -");
    }

    /// A read of which the words of the log are given.
    pub fn read_line(&mut self, key: u32, span: Span, status: i8, version: u64, seen: &str) {
        let (begin_ns, end_ns) = (ns(span.0), ns(span.1));
        writeln!(self.text, "r {key} {begin_ns} {end_ns} {status} 2 {version} {seen}").expect("text");
    }

    /// The worker is killed.
    pub fn is_killed(&mut self) {
        self.has_been_killed = true;
    }

    pub fn log(mut self) -> Log {
        self.text += if self.has_been_killed { "half a lin" } else { "q 0\n" };
        Log::Text(self.text)
    }
}
