//! The log of a worker: a line for each event, in the order in which they happened to it.
//!
//! ```text
//! worker NUMBER [final]
//! b SEQUENCE KIND KEY BEGIN_NS TTL_MS SLIDING_MS EXPECTED_VERSION BASE_WRITER BASE_SEQUENCE    a write begins
//! e SEQUENCE END_NS STATUS VERSION                                                            it has ended
//! r KEY BEGIN_NS END_NS STATUS TIER VERSION SEEN_KEY SEEN_WRITER SEEN_SEQUENCE                 a read
//! q NS                                                                                        an orderly end
//! ```
//!
//! Kinds are `set`, `swap`, `remove` and `loss`, by which L2 itself lost what it had; times are CLOCK_MONOTONIC, which all processes of a machine share; `-` stands
//! for what there is not, `?` for a value that is none of ours.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;

/// Where a log is.
#[derive(Debug, Clone)]
pub enum Log {
    File(PathBuf),
    Text(String),
}

/// A write, by who wrote it and his how manyth it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tag {
    pub writer: u32,
    pub sequence: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Set,
    Swap,
    Remove,
    /// L2 lost what it had; who owes it something may bring that yet.
    Loss,
}

/// What a read was answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    Nothing,
    Unreadable,
    Value { key: u32, tag: Tag },
}

#[derive(Debug, Clone, Copy)]
pub struct Read {
    pub key: u32,
    pub begin_ns: u64,
    pub end_ns: u64,
    pub status: i8,
    pub tier: u8,
    /// 0: the call does not tell.
    pub version: u64,
    pub seen: Seen,
}

#[derive(Debug, Clone, Copy)]
pub struct Begun {
    pub sequence: u32,
    pub kind: Kind,
    pub key: u32,
    pub begin_ns: u64,
    /// 0: it does not end.
    pub ttl_ms: u32,
    /// 0: it does not slide.
    pub sliding_ms: u32,
    /// What a swap replaces; `None`: it stores only where there is nothing.
    pub base: Option<Tag>,
}

#[derive(Debug, Clone, Copy)]
pub struct Ended {
    pub sequence: u32,
    pub end_ns: u64,
    pub status: i8,
    pub version: u64,
}

#[derive(Debug, Clone, Copy)]
pub enum Event {
    Worker { number: u32, is_final: bool },
    Begun(Begun),
    Ended(Ended),
    Read(Read),
    Quit,
}

impl Log {
    /// Hands over every event.
    pub fn each(&self, mut take: impl FnMut(Event)) {
        let mut lines = self.open();
        let mut line = Vec::new();
        loop {
            line.clear();
            lines.read_until(b'\n', &mut line).expect("a log that can be read");
            // One that was killed may leave half a line.
            if line.pop() != Some(b'\n') {
                return;
            }
            let event = parse(&line);
            take(event.unwrap_or_else(|| panic!("no event: {:?}", String::from_utf8_lossy(&line))));
        }
    }

    fn open(&self) -> Box<dyn BufRead + '_> {
        match self {
            Log::File(path) => {
                let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                Box::new(BufReader::with_capacity(1 << 18, file))
            }
            Log::Text(text) => Box::new(text.as_bytes()),
        }
    }
}

fn parse(line: &[u8]) -> Option<Event> {
    let mut words = Words(line);
    let event = match words.next()? {
        b"worker" => Event::Worker { number: words.number()?, is_final: words.next() == Some(b"final") },
        b"b" => Event::Begun(Begun {
            sequence: words.number()?,
            kind: match words.next()? {
                b"set" => Kind::Set,
                b"swap" => Kind::Swap,
                b"remove" => Kind::Remove,
                b"loss" => Kind::Loss,
                _ => return None,
            },
            key: words.number()?,
            begin_ns: words.number()?,
            ttl_ms: words.number()?,
            sliding_ms: words.number()?,
            base: {
                // For the reader of the log; who compares versions has the writes themselves.
                words.next()?;
                words.tag()?
            },
        }),
        b"e" => Event::Ended(Ended {
            sequence: words.number()?,
            end_ns: words.number()?,
            status: words.status()?,
            version: words.number()?,
        }),
        b"r" => Event::Read(Read {
            key: words.number()?,
            begin_ns: words.number()?,
            end_ns: words.number()?,
            status: words.status()?,
            tier: words.number()?,
            version: words.number()?,
            seen: words.seen()?,
        }),
        b"q" => Event::Quit,
        _ => return None,
    };
    Some(event)
}

/// What is left of a line.
struct Words<'a>(&'a [u8]);

impl<'a> Words<'a> {
    fn next(&mut self) -> Option<&'a [u8]> {
        let len = self.0.iter().position(|byte| *byte == b' ').unwrap_or(self.0.len());
        let (word, rest) = self.0.split_at(len);
        self.0 = rest.get(1..).unwrap_or_default();
        (!word.is_empty()).then_some(word)
    }

    fn number<T: TryFrom<u64>>(&mut self) -> Option<T> {
        number(self.next()?)
    }

    fn status(&mut self) -> Option<i8> {
        let word = self.next()?;
        match word.strip_prefix(b"-") {
            Some(digits) => number::<i8>(digits).map(|status| -status),
            None => number(word),
        }
    }

    /// A tag, which may be that of nothing.
    fn tag(&mut self) -> Option<Option<Tag>> {
        match (self.next()?, self.next()?) {
            (b"-", _) => Some(None),
            (writer, sequence) => Some(Some(Tag { writer: number(writer)?, sequence: number(sequence)? })),
        }
    }

    fn seen(&mut self) -> Option<Seen> {
        match self.next()? {
            b"-" => Some(Seen::Nothing),
            b"?" => Some(Seen::Unreadable),
            key => Some(Seen::Value { key: number(key)?, tag: self.tag()?? }),
        }
    }
}

fn number<T: TryFrom<u64>>(digits: &[u8]) -> Option<T> {
    let add = |sum: u64, digit: &u8| {
        let digit = digit.wrapping_sub(b'0');
        (digit < 10).then_some(())?;
        sum.checked_mul(10)?.checked_add(digit.into())
    };
    T::try_from(digits.iter().try_fold(0, add)?).ok()
}
