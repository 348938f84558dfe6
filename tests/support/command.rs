//! The program `tokencache`, run as a person runs it.

#![allow(dead_code, reason = "no test needs all of it")]

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// What it exits with.
pub const DONE: i32 = 0;
pub const NO: i32 = 1;
pub const USAGE: i32 = 2;
pub const UNUSABLE: i32 = 3;

/// Where an entry lies, for what is sealed or opened.
pub const PLACE: &str = "--prefix orders: --key user-a";

/// A folder in which it runs.
pub struct Desk {
    folder: TempDir,
}

/// How it ended.
pub struct Ended {
    pub code: i32,
    pub bytes: Vec<u8>,
    pub text: String,
    pub errors: String,
}

impl Desk {
    pub fn new() -> Desk {
        Desk { folder: tempfile::tempdir().expect("a folder") }
    }

    /// Whether the key of `ring` opens `envelope`, which then holds `value`.
    pub fn opens(&self, ring: &str, envelope: &[u8], value: &[u8]) -> bool {
        let opened = self.feed(&format!("unprotect {ring} {PLACE}"), envelope);
        if opened.code == DONE {
            assert_eq!(opened.bytes, value);
            return true;
        }
        assert_eq!((opened.code, opened.bytes.len()), (NO, 0), "{}", opened.errors);
        assert!(opened.errors.contains("TC_SEAL_"), "{}", opened.errors);
        false
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The names of what lies in it.
    pub fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).expect("a folder");
        let mut names: Vec<_> =
            entries.map(|it| it.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tokencache"));
        command.current_dir(self.folder.path()).env_remove("NO_COLOR");
        command
    }

    /// Runs `tokencache keys` with the words of `line` and nothing on standard input.
    pub fn keys(&self, line: &str) -> Ended {
        self.feed(line, b"")
    }

    /// Runs `tokencache keys` with the words of `line`, and `input`.
    pub fn feed(&self, line: &str, input: &[u8]) -> Ended {
        run(self.command().arg("keys").args(line.split_whitespace()), input)
    }

    /// Runs what must succeed, and answers what it printed.
    pub fn done(&self, line: &str) -> String {
        let ended = self.keys(line);
        assert_eq!(ended.code, DONE, "{line}: {}{}", ended.text, ended.errors);
        ended.text
    }

    /// Runs what must fail with `code` and say why in a sentence, which is answered.
    pub fn refused(&self, line: &str, code: i32) -> String {
        let ended = self.keys(line);
        assert_eq!(ended.code, code, "{line}: {}{}", ended.text, ended.errors);
        let sentence = ended.errors.trim_end();
        assert!(
            sentence.starts_with("tokencache: ") && sentence.ends_with(['.', '?', ')']),
            "{line}: {sentence}"
        );
        ended.errors
    }

    pub fn copy(&self, from: &str, to: &str) {
        fs::copy(self.path(from), self.path(to)).expect("copied");
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect("read")
    }

    pub fn mode(&self, name: &str) -> u32 {
        fs::metadata(self.path(name)).expect("there").permissions().mode() & 0o777
    }

    pub fn set_mode(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).expect("ours");
    }

    /// A ring as JSON.
    pub fn ring(&self, name: &str) -> Value {
        serde_json::from_str(&self.read(name)).expect("JSON")
    }

    /// The ids of the keys of a ring in `state`.
    pub fn ids(&self, name: &str, state: &str) -> Vec<String> {
        let ring = self.ring(name);
        let keys = ring["keys"].as_array().expect("keys").iter().filter(|key| key["state"] == state);
        keys.map(|key| key["id"].as_str().expect("an id").to_owned()).collect()
    }

    /// Every material of a ring.
    pub fn materials(&self, name: &str) -> Vec<String> {
        let ring = self.ring(name);
        let keys = ring["keys"].as_array().expect("keys").iter();
        keys.filter_map(|key| key["material"].as_str().map(str::to_owned)).collect()
    }
}

pub fn run(command: &mut Command, input: &[u8]) -> Ended {
    let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = pipes.spawn().expect("started");
    // One that refuses before it reads closes the pipe.
    let _ = child.stdin.take().expect("a pipe").write_all(input);
    let Output { status, stdout, stderr } = child.wait_with_output().expect("ended");
    let text = String::from_utf8_lossy(&stdout).into_owned();
    let errors = String::from_utf8(stderr).expect("UTF-8");
    Ended { code: status.code().unwrap_or(-1), text, bytes: stdout, errors }
}

/// Puts the first RSA key of `bits` bits and a certificate of it into `desk`, as NAME.key and NAME.pem.
pub fn certificate(desk: &Desk, name: &str, bits: u32) {
    let line = format!(
        "req -x509 -newkey rsa:{bits} -nodes -days 2 -subj /CN={name} -keyout {name}.key -out {name}.pem"
    );
    openssl(desk, &line);
    desk.set_mode(&format!("{name}.key"), 0o600);
    desk.set_mode(&format!("{name}.pem"), 0o644);
}

/// Another certificate of the same key, as RENEWED.pem.
pub fn renew(desk: &Desk, name: &str, renewed: &str) {
    openssl(desk, &format!("req -x509 -new -key {name}.key -days 9 -subj /CN={renewed} -out {renewed}.pem"));
    desk.set_mode(&format!("{renewed}.pem"), 0o644);
}

pub fn openssl(desk: &Desk, line: &str) {
    let output = Command::new("openssl").args(line.split_whitespace()).current_dir(desk.path("")).output();
    let output = output.expect("openssl");
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Where `path` may be run by anybody: `program`, copied into it.
///
/// By a process of its own: a child that another test starts while this one writes would hold the file
/// open for writing, and until that child runs its program nobody may run the copy.
pub fn lend(program: &Path, path: &Path) {
    let status = Command::new("install").args(["-m", "755"]).arg(program).arg(path).status();
    assert!(status.expect("install").success(), "{} was not copied", program.display());
}
