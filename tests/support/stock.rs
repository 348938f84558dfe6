//! The cache of a stock .NET service, in a process that answers line by line: tests/dotnet/stock.

#![allow(dead_code)]

use std::fmt::Display;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::OnceLock;

use crate::dotnet::{build, dotnet};
use crate::support::{PREFIX, Server};

/// A .NET program that answers each line with one.
struct Program {
    child: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Program {
    fn start(program: &Path, server: &Server, arguments: &[&str]) -> Program {
        let mut command = dotnet();
        command.arg(program).arg(format!("127.0.0.1:{}", server.port())).arg(PREFIX).args(arguments);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("dotnet");
        let orders = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().expect("a pipe"));
        Program { child, orders, answers }
    }

    fn must(&mut self, line: impl Display) {
        assert_eq!(self.ask(line), "ok");
    }

    fn ask(&mut self, line: impl Display) -> String {
        let orders = self.orders.as_mut().expect("open until it is dropped");
        orders.write_all(format!("{line}\n").as_bytes()).expect("asked");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("an answer");
        assert!(answer.ends_with('\n'), "it is gone");
        answer.trim_end_matches('\n').to_owned()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // The end of its input is its end.
        self.orders = None;
        let _ = self.child.wait();
    }
}

/// A running one, whose `InstanceName` is the prefix of the caches of [`Server::open`].
pub struct Stock(Program);

/// Until when an entry is to live; `None`: nothing is said.
#[derive(Clone, Copy, Default)]
pub struct Lasting {
    pub expires_at_ms: Option<i64>,
    pub sliding_ms: Option<i64>,
}

impl Stock {
    /// One on `server`, or `None` where it cannot be built, about which the first test of a program says a word.
    pub fn on(server: &Server) -> Option<Stock> {
        static PROGRAM: OnceLock<Option<PathBuf>> = OnceLock::new();
        let program = PROGRAM.get_or_init(|| build("tests/dotnet/stock")).as_ref()?;
        Some(Stock(Program::start(program, server, &[])))
    }

    pub fn set(&mut self, key: &str, value: &[u8], lasting: Lasting) {
        let word = |limit: Option<i64>| limit.map_or_else(|| "-".to_owned(), |limit| limit.to_string());
        let (absolute, sliding) = (word(lasting.expires_at_ms), word(lasting.sliding_ms));
        self.0.must(format_args!("set {key} {} {absolute} {sliding}", base64(value)));
    }

    pub fn get(&mut self, key: &str) -> Option<Vec<u8>> {
        let answer = self.0.ask(format_args!("get {key}"));
        (answer != "null").then(|| bytes(&answer))
    }

    pub fn refresh(&mut self, key: &str) {
        self.0.must(format_args!("refresh {key}"));
    }

    pub fn remove(&mut self, key: &str) {
        self.0.must(format_args!("remove {key}"));
    }
}

/// A service with the adapter of Microsoft.Identity.Web over the stock cache: tests/dotnet/adapter.
pub struct Adapter(Program);

/// A token, and where it came from: `IdentityProvider`, `L1Cache` or `L2Cache`.
#[derive(Debug, PartialEq, Eq)]
pub struct Acquired {
    pub from: String,
    pub token: String,
}

impl Adapter {
    /// The key of the entry that it writes.
    pub const KEY: &str =
        "c0ffee00-0000-4000-8000-0000000000c1_7e000000-0000-4000-8000-000000000001_AppTokenCache";

    /// One on `server`, or `None` where it cannot be built, about which the first test of a program says a word.
    pub fn on(server: &Server, has_l1: bool, sliding_ms: Option<i64>) -> Option<Adapter> {
        static PROGRAM: OnceLock<Option<PathBuf>> = OnceLock::new();
        let program = PROGRAM.get_or_init(|| build("tests/dotnet/adapter")).as_ref()?;
        let sliding = sliding_ms.map_or_else(|| "-".to_owned(), |sliding_ms| sliding_ms.to_string());
        let l1 = if has_l1 { "l1" } else { "no-l1" };
        Some(Adapter(Program::start(program, server, &[l1, &sliding])))
    }

    /// A token, from the cache if that has one.
    pub fn acquire(&mut self) -> Acquired {
        self.token("acquire")
    }

    /// A new token, which it writes.
    pub fn renew(&mut self) -> Acquired {
        self.token("renew")
    }

    pub fn remove(&mut self) {
        self.0.must("remove");
    }

    fn token(&mut self, order: &str) -> Acquired {
        let answer = self.0.ask(order);
        assert!(!answer.starts_with('!'), "{answer}");
        let (from, token) = answer.split_once(' ').expect("two words");
        Acquired { from: from.to_owned(), token: token.to_owned() }
    }
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn base64(value: &[u8]) -> String {
    let mut text = String::new();
    for three in value.chunks(3) {
        let number = (0..3).fold(0, |number, at| number << 8 | usize::from(*three.get(at).unwrap_or(&0)));
        for at in 0..4 {
            let digit = char::from(DIGITS[number >> (18 - 6 * at) & 63]);
            text.push(if at > three.len() { '=' } else { digit });
        }
    }
    text
}

fn bytes(base64: &str) -> Vec<u8> {
    assert!(base64.len().is_multiple_of(4), "no base64: {base64}");
    let digit = |digit: &u8| DIGITS.iter().position(|known| known == digit).expect("a digit of base64");
    let mut bytes = Vec::new();
    for four in base64.as_bytes().chunks(4) {
        let len = four.iter().take_while(|byte| **byte != b'=').count();
        let number = four[..len].iter().fold(0, |number, byte| number << 6 | digit(byte)) << (6 * (4 - len));
        bytes.extend((1..len).map(|at| (number >> (24 - 8 * at)) as u8));
    }
    bytes
}
