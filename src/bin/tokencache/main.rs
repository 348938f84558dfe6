//! `tokencache`: the key ring at the command line.

#![forbid(unsafe_code)]

mod arguments;
mod change;
mod compare;
mod help;
mod look;
mod output;
mod protect;
mod rings;

use std::process::ExitCode;

use tokencache::error::Error;

use self::arguments::{Arguments, Call};

/// How a command ended that did its work.
pub enum Outcome {
    /// As asked.
    Done,
    /// The answer to what was asked is no.
    No,
}

/// Why a command did not, in a sentence, and with which code it ends.
pub struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    /// The command line is not one.
    pub fn usage(message: impl Into<String>) -> Failure {
        Failure { code: 2, message: message.into() }
    }

    /// A file or a ring cannot be used, or not for this.
    pub fn unusable(message: impl Into<String>) -> Failure {
        Failure { code: 3, message: message.into() }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::unusable(error.message)
    }
}

/// A command of `tokencache keys`.
pub struct Command {
    /// What it is called.
    pub name: &'static str,
    /// The options that it takes.
    pub options: &'static [&'static str],
    /// How many arguments without a name it takes, at least and at most.
    pub operands: (usize, usize),
    /// What it says of itself.
    pub help: &'static str,
    /// What it does.
    pub run: fn(&Arguments) -> Result<Outcome, Failure>,
}

/// All of them, in the order in which they are needed.
pub const COMMANDS: [Command; 10] = [
    Command {
        name: "generate",
        options: &["ring", "output", "to"],
        operands: (0, 0),
        help: help::GENERATE,
        run: change::generate,
    },
    Command {
        name: "show",
        options: &["reveal-material", "unwrap-key"],
        operands: (1, 1),
        help: help::SHOW,
        run: look::show,
    },
    Command {
        name: "check",
        options: &["longest-ttl", "unwrap-key"],
        operands: (1, 2),
        help: help::CHECK,
        run: look::check,
    },
    Command { name: "stage", options: &["to"], operands: (1, 1), help: help::STAGE, run: change::stage },
    Command { name: "activate", options: &[], operands: (2, 2), help: help::ACTIVATE, run: change::activate },
    Command { name: "retire", options: &[], operands: (2, 2), help: help::RETIRE, run: change::retire },
    Command { name: "revoke", options: &[], operands: (2, 2), help: help::REVOKE, run: change::revoke },
    Command {
        name: "wrap",
        options: &["to", "output", "unwrap-key"],
        operands: (1, 1),
        help: help::WRAP,
        run: change::wrap,
    },
    Command {
        name: "protect",
        options: &["prefix", "key", "unwrap-key", "force"],
        operands: (1, 1),
        help: help::PROTECT,
        run: protect::protect,
    },
    Command {
        name: "unprotect",
        options: &["prefix", "key", "unwrap-key", "force"],
        operands: (1, 1),
        help: help::UNPROTECT,
        run: protect::unprotect,
    },
];

fn main() -> ExitCode {
    let ended = Call::from_command_line().and_then(|call| match call {
        Call::Say(text) => output::say(text).map(|()| Outcome::Done),
        Call::Run(command, arguments) => (command.run)(&arguments),
    });
    match ended {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::No) => ExitCode::from(1),
        Err(failure) => {
            output::note(&failure.message);
            ExitCode::from(failure.code)
        }
    }
}
