//! Why L2 failed, and what follows from it. The rules are a table, so that they can be read, tested and changed as
//! one thing.

#![forbid(unsafe_code)]

use std::fmt;
use std::sync::Arc;

use crate::error::{Error, Kind};
use crate::stats::Operation;

/// The classes of failure of a second tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Refused, reset, not found, cannot be opened.
    Unreachable,
    /// No answer in time.
    Timeout,
    /// Loading, failing over, locked.
    Busy,
    /// Credentials, permissions, a file or a file system that is read-only.
    Denied,
    /// An answer we do not understand: not a database, damaged, a newer schema.
    Protocol,
    /// The circuit is open.
    Suspended,
    /// No room.
    Full,
    /// The cache is closing.
    Closed,
}

/// Whether a failure says that L2 as a whole cannot serve, so that the circuit counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counts {
    /// Nothing gets through.
    Always,
    /// Where reading meets it. A lock, a replica and a right that is missing turn writes away and still answer reads,
    /// which must go on.
    FromReads,
    /// It concerns one key or one call, or L2 has answered and can be read.
    Never,
}

impl Counts {
    /// Whether it counts where `operation` meets it.
    #[must_use]
    pub fn of(self, operation: Operation) -> bool {
        match self {
            Counts::Always => true,
            Counts::FromReads => matches!(operation, Operation::Get | Operation::Connect),
            Counts::Never => false,
        }
    }
}

/// What follows from a class of failure when the application says nothing.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// The class.
    pub class: Class,
    /// The status that the caller sees.
    pub kind: Kind,
    /// Whether the configured policy tries again. The retry callback may ask for it in any case.
    pub retried: bool,
    /// Whether the circuit counts it.
    pub counts: Counts,
}

/// The rules, one for each class.
pub const RULES: [Rule; 8] = [
    rule(Class::Unreachable, Kind::L2Unreachable, true, Counts::Always),
    rule(Class::Timeout, Kind::L2Timeout, true, Counts::Always),
    rule(Class::Busy, Kind::L2Busy, true, Counts::FromReads),
    rule(Class::Denied, Kind::L2Denied, false, Counts::FromReads),
    rule(Class::Protocol, Kind::L2Protocol, false, Counts::Never),
    rule(Class::Suspended, Kind::L2Suspended, false, Counts::Never),
    rule(Class::Full, Kind::L2Full, false, Counts::Never),
    rule(Class::Closed, Kind::Closed, false, Counts::Never),
];

const fn rule(class: Class, kind: Kind, retried: bool, counts: Counts) -> Rule {
    Rule { class, kind, retried, counts }
}

impl Class {
    /// What follows from this class.
    #[must_use]
    pub fn rule(self) -> &'static Rule {
        &RULES[self as usize]
    }
}

/// A failed try at L2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Its class.
    pub class: Class,
    /// A full sentence without keys, values or secrets. Shared, because an open circuit gives the same to every call.
    pub message: Arc<str>,
}

impl Failure {
    /// A failure of `class`, explained by `message`.
    pub fn new(class: Class, message: impl Into<Arc<str>>) -> Self {
        Failure { class, message: message.into() }
    }

    /// What was asked of a cache that closes.
    #[must_use]
    pub fn closed() -> Self {
        Failure::new(Class::Closed, "The cache was closed while this call was under way.")
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Error {
        Error::new(failure.class.rule().kind, &*failure.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_class_stands_at_its_own_row() {
        for (row, rule) in RULES.iter().enumerate() {
            assert_eq!(rule.class as usize, row);
            assert_eq!(rule.class.rule().class, rule.class);
        }
    }
}
