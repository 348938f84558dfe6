//! The command line, taken apart.

#![forbid(unsafe_code)]

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use lexopt::{Arg, Parser};

use crate::{COMMANDS, Command, Failure, help};

/// What is wanted.
pub enum Call {
    /// Help, or the version.
    Say(&'static str),
    Run(&'static Command, Arguments),
}

/// What a command was given. What it does not take is empty.
#[derive(Default)]
pub struct Arguments {
    pub operands: Vec<OsString>,
    pub output: Option<PathBuf>,
    pub ring: Option<PathBuf>,
    pub to: Vec<PathBuf>,
    pub unwrap_keys: Vec<PathBuf>,
    pub prefix: Option<Vec<u8>>,
    pub key: Option<Vec<u8>>,
    pub longest_ttl_days: Option<u32>,
    pub reveals: bool,
    pub is_forced: bool,
}

impl Arguments {
    /// Operand `index` as a path. The table of the commands says how many there are.
    pub fn file(&self, index: usize) -> PathBuf {
        PathBuf::from(&self.operands[index])
    }
}

impl Call {
    pub fn from_command_line() -> Result<Call, Failure> {
        let mut parser = Parser::from_env();
        let word = match parser.next().map_err(|error| bad(&error, "tokencache"))? {
            None => return Err(Failure::usage(help::BRIEF)),
            Some(Arg::Short('h') | Arg::Long("help")) => return Ok(Call::Say(help::MAIN)),
            Some(Arg::Short('V') | Arg::Long("version")) => return Ok(Call::Say(help::VERSION)),
            Some(Arg::Value(word)) => word,
            Some(option) => return Err(bad(&option.unexpected(), "tokencache")),
        };
        match word.to_str() {
            Some("help") => Ok(Call::Say(help::MAIN)),
            Some("keys") => keys(&mut parser),
            _ => Err(Failure::usage(format!(
                "There is no command {}; the one that there is is \"keys\". Try tokencache --help.",
                shown(&word)
            ))),
        }
    }
}

fn keys(parser: &mut Parser) -> Result<Call, Failure> {
    let word = match parser.next().map_err(|error| bad(&error, "tokencache keys"))? {
        None => return Err(Failure::usage(help::BRIEF)),
        Some(Arg::Short('h') | Arg::Long("help")) => return Ok(Call::Say(help::MAIN)),
        Some(Arg::Value(word)) => word,
        Some(option) => return Err(bad(&option.unexpected(), "tokencache keys")),
    };
    if word == "help" {
        return Ok(Call::Say(help::MAIN));
    }
    let command = COMMANDS.iter().find(|command| word == command.name).ok_or_else(|| {
        let names = COMMANDS.map(|command| command.name).join(", ");
        let word = shown(&word);
        Failure::usage(format!(
            "There is no command keys {word}; there are {names}. Try tokencache keys --help."
        ))
    })?;
    arguments(parser, command)
}

fn arguments(parser: &mut Parser, command: &'static Command) -> Result<Call, Failure> {
    let whole = format!("tokencache keys {}", command.name);
    let complain = |complaint: String| Failure::usage(format!("{complaint} Try {whole} --help."));
    let mut arguments = Arguments::default();
    while let Some(argument) = parser.next().map_err(|error| bad(&error, &whole))? {
        let name = match argument {
            Arg::Short('h') | Arg::Long("help") => return Ok(Call::Say(command.help)),
            Arg::Value(operand) => {
                arguments.operands.push(operand);
                continue;
            }
            Arg::Short('o') => "output".to_owned(),
            Arg::Long(name) if name != "output" => name.to_owned(),
            option => return Err(bad(&option.unexpected(), &whole)),
        };
        if !command.options.contains(&name.as_str()) {
            return Err(complain(
                format!("The command {whole} takes no --{name}.").replace("--output", "-o"),
            ));
        }
        let is_given = match name.as_str() {
            "reveal-material" => std::mem::replace(&mut arguments.reveals, true),
            "force" => std::mem::replace(&mut arguments.is_forced, true),
            _ => {
                let value = parser.value().map_err(|error| bad(&error, &whole))?;
                match name.as_str() {
                    "to" => {
                        arguments.to.push(value.into());
                        false
                    }
                    "unwrap-key" => {
                        arguments.unwrap_keys.push(value.into());
                        false
                    }
                    "ring" => arguments.ring.replace(value.into()).is_some(),
                    "prefix" => arguments.prefix.replace(value.into_vec()).is_some(),
                    "key" => arguments.key.replace(value.into_vec()).is_some(),
                    "longest-ttl" => {
                        let days = value.to_str().and_then(|days| days.parse().ok());
                        let days = days.filter(|days| *days <= 36_500);
                        let complaint = || complain("--longest-ttl must be whole days, 0 to 36500.".into());
                        arguments.longest_ttl_days.replace(days.ok_or_else(complaint)?).is_some()
                    }
                    _ => arguments.output.replace(value.into()).is_some(),
                }
            }
        };
        if is_given {
            return Err(complain(format!("--{name} is given twice.").replace("--output", "The output file")));
        }
    }
    let (least, most) = command.operands;
    let given = arguments.operands.len();
    if !(least..=most).contains(&given) {
        let wanted = match (least, most) {
            (0, 0) => "no arguments but options",
            (1, 1) => "one argument, FILE",
            (2, 2) => "two arguments, FILE and ID",
            _ => "one or two arguments, FILE and FILE",
        };
        return Err(complain(format!("The command {whole} takes {wanted}; {given} were given.")));
    }
    Ok(Call::Run(command, arguments))
}

fn shown(word: &OsStr) -> String {
    word.to_string_lossy().escape_debug().to_string()
}

/// Without the value that is wrong: it may be a key that went to the wrong place.
fn bad(error: &lexopt::Error, whole: &str) -> Failure {
    let complaint = match error {
        lexopt::Error::MissingValue { option: Some(option) } => format!("{option} wants a value after it."),
        lexopt::Error::UnexpectedOption(option) => format!("There is no option {option}."),
        lexopt::Error::UnexpectedValue { option, .. } => format!("{option} takes no value."),
        _ => "The arguments cannot be read.".to_owned(),
    };
    Failure::usage(format!("{complaint} Try {whole} --help."))
}
