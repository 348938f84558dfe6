//! Why L2 failed, and what follows from it. The rules are a table, so that they can be read, tested and changed as
//! one thing.

#![forbid(unsafe_code)]

use std::fmt;

use crate::error::{Error, Kind};

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

/// What follows from a class of failure when the application says nothing.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// The class.
    pub class: Class,
    /// The status that the caller sees.
    pub kind: Kind,
    /// Whether the configured policy tries again. The retry callback may ask for it in any case.
    pub retried: bool,
}

/// The rules, one for each class.
pub const RULES: [Rule; 8] = [
    Rule { class: Class::Unreachable, kind: Kind::L2Unreachable, retried: true },
    Rule { class: Class::Timeout, kind: Kind::L2Timeout, retried: true },
    Rule { class: Class::Busy, kind: Kind::L2Busy, retried: true },
    Rule { class: Class::Denied, kind: Kind::L2Denied, retried: false },
    Rule { class: Class::Protocol, kind: Kind::L2Protocol, retried: false },
    Rule { class: Class::Suspended, kind: Kind::L2Suspended, retried: false },
    Rule { class: Class::Full, kind: Kind::L2Full, retried: false },
    Rule { class: Class::Closed, kind: Kind::Closed, retried: false },
];

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
    /// A full sentence without keys, values or secrets.
    pub message: String,
}

impl Failure {
    /// A failure of `class`, explained by `message`.
    pub fn new(class: Class, message: impl Into<String>) -> Self {
        Failure { class, message: message.into() }
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
        Error::new(failure.class.rule().kind, failure.message)
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
