//! Other processes that do as they are told: `tests/c/puppet.c`.

#![allow(dead_code)]

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::program;

/// A process with a cache of its own.
pub struct Puppet {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Puppet {
    /// Starts one whose cache is opened from `document`.
    pub fn start(document: &str) -> Puppet {
        Puppet::with(document, Stdio::inherit())
    }

    /// As [`Puppet::start`], by way of another program: what it is called with, and what it calls the puppet after.
    pub fn within(words: &[&str], document: &str) -> Puppet {
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).arg(program());
        Puppet::by(command, document, Stdio::inherit())
    }

    /// As [`Puppet::start`], with what it complains of going to `errors`.
    pub fn with(document: &str, errors: Stdio) -> Puppet {
        Puppet::by(Command::new(program()), document, errors)
    }

    fn by(mut command: Command, document: &str, errors: Stdio) -> Puppet {
        command.arg(".").arg(document).stderr(errors).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("a puppet");
        let input = child.stdin.take().expect("its input");
        let output = BufReader::new(child.stdout.take().expect("its output"));
        let mut puppet = Puppet { child, input, output };
        assert_eq!(puppet.answer().as_deref(), Some("open"));
        puppet
    }

    /// Tells it something, and waits for its answer.
    pub fn say(&mut self, line: &str) -> String {
        self.tell(line);
        self.answer().unwrap_or_else(|| panic!("the puppet has died of: {line}"))
    }

    pub fn tell(&mut self, line: &str) {
        self.input.write_all(format!("{line}\n").as_bytes()).expect("it listens");
    }

    /// What it says next; `None` when it is dead.
    pub fn answer(&mut self) -> Option<String> {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("text");
        line.ends_with('\n').then(|| line.trim_end().to_owned())
    }

    pub fn set(&mut self, key: &str, text: &str) {
        assert_eq!(self.say(&format!("set {key} {text}")), "TC_OK");
    }

    /// What it reads, as it was answered: status, tier, value.
    pub fn get(&mut self, key: &str) -> String {
        self.say(&format!("get {key}"))
    }

    /// Whether it reads `text`, from whatever tier, as fresh.
    pub fn reads(&mut self, key: &str, text: &str) -> bool {
        let answer = self.get(key);
        answer == format!("TC_OK l1 {text}") || answer == format!("TC_OK l2 {text}")
    }

    /// Whether L1 answers `text` to it.
    pub fn has(&mut self, key: &str, text: &str) -> bool {
        self.get(key) == format!("TC_OK l1 {text}")
    }

    /// What it says of changes that others make.
    pub fn coherence(&mut self) -> Value {
        let stats: Value = serde_json::from_str(&self.say("stats")).expect("JSON");
        stats["coherence"].clone()
    }

    /// What its process is called.
    pub fn pid(&self) -> i32 {
        self.child.id().try_into().expect("a process id")
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid()), signal).expect("the signal is sent");
    }

    /// Ends it as `kill -9` does.
    pub fn kill(&mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("its end");
    }
}

impl Drop for Puppet {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program, compiled once for all tests of a binary; in the folder of the build, because what a static holds is never
/// dropped.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let own = std::env::current_exe().expect("this program");
        let folder = own.with_extension("puppet");
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir(&folder).expect("a folder");
        program::compile(&["puppet.c"], &folder)
    })
}
