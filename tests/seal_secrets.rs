//! What is never told and never left behind: values, keys, passwords and cache keys in logs, errors and statistics at
//! debug level; keys in a core dump of an open cache, and values and keys in that of a closed one.

#[path = "support/canary.rs"]
mod canary;
#[path = "support/library.rs"]
mod library;
#[path = "support/program.rs"]
mod program;
#[path = "support/redis.rs"]
mod support;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use canary::{Canary, hits};
use serde_json::{Value, json};
use support::cache::{Shared, merge};
use support::{Server, free_port};

const DEADLINE: Duration = Duration::from_secs(120);

/// All that must stay secret in one run.
struct Secrets {
    value: Canary,
    key: Canary,
    password: Canary,
    wrong_password: Canary,
    /// Of the keys of rings.
    materials: [Canary; 2],
}

impl Secrets {
    /// Made up, with those that the program itself has to know in its folder.
    fn in_folder(folder: &Path) -> Secrets {
        let secrets = Secrets {
            // So long that an entry has its bytes apart from its head, sealed or not.
            value: Canary::text("value", 2000),
            key: Canary::text("cache key", 73),
            password: Canary::text("password", 32),
            wrong_password: Canary::text("wrong password", 32),
            materials: [Canary::bytes("key A", 32), Canary::bytes("key B", 32)],
        };
        fs::write(folder.join("value"), &secrets.value.bytes).unwrap();
        fs::write(folder.join("key"), &secrets.key.bytes).unwrap();
        secrets
    }

    fn all(&self) -> Vec<&Canary> {
        let mut all = vec![&self.value, &self.key, &self.password, &self.wrong_password];
        all.extend(&self.materials);
        all
    }

    /// A ring of keys in these states; without one in place of a state the key is not in it.
    fn ring(&self, states: [&str; 2]) -> Value {
        let keys = states.iter().zip(&self.materials).filter(|(state, _)| !state.is_empty());
        let keys: Vec<Value> =
            keys.map(|(state, key)| json!({"state": state, "material": key.base64()})).collect();
        json!({"version": 1, "keys": keys})
    }

    /// Rings in which somebody has slipped, with a key where it is easily repeated.
    fn broken_rings(&self) -> Vec<String> {
        let whole = self.ring(["active", "retired"]).to_string();
        let key = self.materials[0].base64();
        let one = |member: Value| json!({"version": 1, "keys": [member]}).to_string();
        vec![
            whole[..whole.len() - 1].into(),
            whole[..whole.len() - 20].into(),
            whole.replace("}]", "} ]!"),
            json!(key).to_string(),
            json!({"version": key, "keys": []}).to_string(),
            json!({"version": 1, "keys": key}).to_string(),
            json!({"version": 1, "keys": [key]}).to_string(),
            one(json!({"state": key, "material": key})),
            one(json!({"state": "active", "material": &key[..40]})),
            one(json!({"state": "active", "material": format!("{key}?")})),
            one(json!({"state": "active", "material": [key]})),
            one(json!({"state": "active", "id": key})),
            one(json!({"state": "active", "id": "00000000000000000000000000000001", "material": key})),
            one(json!({"state": "active", "created": key, "material": key})),
            one(
                json!({"state": "active", "wrapped": [{"to": key, "algorithm": "RSA-OAEP-256", "data": key}]}),
            ),
            self.ring(["active", "active"]).to_string(),
            self.ring(["retired", "retired"]).to_string(),
        ]
    }
}

/// The documents of one run, in the order in which the program opens them.
struct Documents<'a> {
    folder: &'a Path,
    base: Value,
    count: usize,
}

impl Documents<'_> {
    fn with(&self, more: Value) -> Value {
        let mut document = self.base.clone();
        merge(&mut document, more);
        document
    }

    fn add(&mut self, more: Value) {
        self.add_text(&self.with(more).to_string());
    }

    fn add_text(&mut self, text: &str) {
        fs::write(self.folder.join(format!("{}.json", self.count)), text).unwrap();
        self.count += 1;
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// One whose ring lies in a file.
    fn add_ring(&mut self, ring: &Value, more: Value) {
        let path = self.file(&format!("ring-{}", self.count), &ring.to_string());
        let mut members = json!({"encryption": {"algorithm": "aes-256-gcm", "keyring_file": path}});
        merge(&mut members, more);
        self.add(members);
    }

    /// Everything that reads what the one before has left, one way or another.
    fn add_rings(&mut self, secrets: &Secrets) {
        self.add(json!({"encryption": {"algorithm": "none"}}));
        self.add_ring(&secrets.ring(["active", ""]), json!({}));
        self.add_ring(&secrets.ring(["", "active"]), json!({}));
        self.add_ring(&secrets.ring(["active", "revoked"]), json!({}));
        self.add_ring(&secrets.ring(["retired", "active"]), json!({"l1": {"enabled": false}}));
        self.add_ring(&secrets.ring(["active", ""]), json!({"encryption": {"unreadable": "miss"}}));
        self.add(json!({"encryption": {"algorithm": "none"}}));
        self.add_ring(&secrets.ring(["active", ""]), json!({"encryption": {"accept_plaintext": true}}));
        let small = json!({"limits": {"max_value_bytes": 1000, "max_key_bytes": 80}});
        self.add_ring(&secrets.ring(["active", ""]), small);
        self.add(json!({"encryption": {"keyring": secrets.ring(["active", "retired"])}}));
        for (number, ring) in secrets.broken_rings().iter().enumerate() {
            let path = self.file(&format!("broken-{number}"), ring);
            self.add(json!({"encryption": {"keyring_file": path}}));
            let text = self.with(json!({"encryption": {"keyring": "HERE"}})).to_string();
            let inline = text.replace("\"HERE\"", ring);
            self.add_text(&inline);
            fs::write(self.folder.join(format!("refused-{number}.json")), inline).unwrap();
        }
        let (key, ring) = (secrets.materials[0].base64(), secrets.ring(["active", ""]));
        self.add(json!({"encryption": {"keyring_env": key}}));
        // What the file holds, in the place of its name.
        for member in ["keyring_file", "keyring_env"] {
            self.add(json!({"encryption": {member: ring.to_string()}}));
            self.add(json!({"encryption": {member: format!("{ring:#}")}}));
        }
        self.add(json!({"encryption": {"material": key}}));
    }

    /// An L2 that is away, and one that turns us down.
    fn add_failures_of_redis(&mut self, server: &Server, secrets: &Secrets) {
        let ring = secrets.ring(["active", ""]);
        let url =
            |password: &Canary, port: u16| format!("redis://:{}@127.0.0.1:{port}/0", password.as_text());
        let away = free_port();
        let quick = json!({"resilience": {"deadline_ms": 500, "close_ms": 500}});
        for (password, port) in [(&secrets.password, away), (&secrets.wrong_password, server.port())] {
            let mut more = json!({"l2": {"url": url(password, port)}});
            merge(&mut more, quick.clone());
            self.add_ring(&ring, more);
        }
        for url in [
            url(&secrets.password, away).replace("redis:", "http:"),
            url(&secrets.password, away).replace("/0", "/x"),
            format!("redis://[{}", secrets.password.as_text()),
        ] {
            self.add(json!({"l2": {"url": url}}));
        }
    }
}

fn compiled(folder: &Path) -> PathBuf {
    let mut compiler = program::c();
    compiler.current_dir(Path::new(program::ROOT).join("tests/c"));
    // A first call that is bound late puts all registers on the stack, with what was last copied in them.
    compiler.args(["-I.", "-Wl,-z,now", "check.c", "seal_secrets.c"]);
    program::link(&mut compiler, folder)
}

/// Runs the program on all documents; what was said, by whatever way.
fn everything_said(folder: &Path) -> Vec<u8> {
    let program = compiled(folder);
    let ended = program::run_to_end(Command::new(program).arg(folder).arg("said"), folder, DEADLINE);
    assert!(ended.is_success(), "{}\n{}", ended.status, ended.errors);
    let mut said = fs::read(folder.join("said")).unwrap();
    said.extend(ended.output.into_bytes());
    said.extend(ended.errors.into_bytes());
    said
}

fn nothing_is_told(folder: &Path, secrets: &Secrets, expected: &[&str]) {
    let said = everything_said(folder);
    let text = String::from_utf8_lossy(&said);
    for status in expected {
        assert!(text.contains(status), "no call ended with {status}");
    }
    assert!(text.contains("log 4 "), "nothing was logged at debug level");
    let found = hits(&said, &secrets.all());
    assert!(found.is_empty(), "{found:#?}");
    println!("{} lines said, 0 hits", text.lines().count());
}

/// How every run ends some of its calls.
const STATUSES: [&str; 11] = [
    "TC_NOT_FOUND",
    "TC_CONFLICT",
    "TC_INVALID_ARGUMENT",
    "TC_INVALID_CONFIG",
    "TC_BUFFER_TOO_SMALL",
    "TC_VALUE_TOO_LARGE",
    "TC_SEAL_UNKNOWN_KEY",
    "TC_SEAL_BROKEN",
    "TC_SEAL_WRONG_CONTEXT",
    "TC_SEAL_REVOKED_KEY",
    "TC_SEAL_FOREIGN",
];

#[test]
fn no_secret_is_told_while_everything_happens_on_a_file() {
    let shared = Shared::new();
    let secrets = Secrets::in_folder(shared.folder());
    let base = json!({
        "version": 1,
        "l2": {"kind": "sqlite", "path": shared.database()},
        "resilience": {"deadline_ms": 30_000},
        "encryption": {"algorithm": "aes-256-gcm"},
        "logging": {"level": "debug"},
    });
    let mut documents = Documents { folder: shared.folder(), base, count: 0 };
    documents.add_rings(&secrets);
    let nowhere = json!({"l2": {"path": shared.folder().join("nowhere/tokens.db")}});
    documents.add_ring(&secrets.ring(["active", ""]), nowhere);
    nothing_is_told(shared.folder(), &secrets, &STATUSES);
}

/// A server that wants the password.
fn guarded_server(secrets: &Secrets) -> Option<Server> {
    Server::with(&["--requirepass", secrets.password.as_text()])
}

#[test]
fn no_secret_is_told_while_everything_happens_on_redis() {
    let folder = tempfile::tempdir().unwrap();
    let secrets = Secrets::in_folder(folder.path());
    let Some(server) = guarded_server(&secrets) else { return };
    let url = format!("redis://:{}@127.0.0.1:{}/0", secrets.password.as_text(), server.port());
    let base = json!({
        "version": 1,
        "l2": {"kind": "redis", "url": url, "key_prefix": "p:"},
        "resilience": {"deadline_ms": 30_000},
        "encryption": {"algorithm": "aes-256-gcm"},
        "logging": {"level": "debug"},
    });
    let mut documents = Documents { folder: folder.path(), base, count: 0 };
    documents.add_rings(&secrets);
    documents.add_failures_of_redis(&server, &secrets);
    let more = ["TC_L2_UNREACHABLE", "TC_L2_DENIED"];
    nothing_is_told(folder.path(), &secrets, &[&STATUSES[..], &more].concat());
}

/// What a core dump of the process has.
fn core(folder: &Path, process: u32) -> Vec<u8> {
    let prefix = folder.join("core");
    program::succeed(Command::new("gcore").arg("-o").arg(&prefix).arg(process.to_string()));
    let path = folder.join(format!("core.{process}"));
    let core = fs::read(&path).unwrap();
    fs::remove_file(path).unwrap();
    core
}

/// The program while it is open, and when it has closed.
struct Stopped {
    folder: PathBuf,
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Stopped {
    /// Open, with one document in `folder`.
    fn open(folder: &Path) -> Stopped {
        let mut command = Command::new(compiled(folder));
        command.arg(folder).arg("core").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut stopped = Stopped { folder: folder.to_owned(), child, output };
        stopped.has_said("open");
        stopped
    }

    fn close(&mut self) {
        self.go_on();
        self.has_said("closed");
    }

    /// Until the threads of the library have ended that end when they are idle: what one of them copied last is in its
    /// registers.
    fn is_idle(&self) {
        support::wait_until("its threads end", || {
            let threads = fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
            let names = threads.filter_map(|it| fs::read_to_string(it.unwrap().path().join("comm")).ok());
            names.filter(|name| !["program", "tc-io"].contains(&name.trim())).count() == 0
        });
    }

    fn end(mut self) {
        self.go_on();
        assert!(self.child.wait().unwrap().success());
    }

    fn go_on(&mut self) {
        self.child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    }

    fn has_said(&mut self, word: &str) {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        assert_eq!(line.trim(), word);
    }

    /// Which of the canaries a core dump has.
    fn hits(&self, canaries: &[&Canary]) -> Vec<String> {
        hits(&core(&self.folder, self.child.id()), canaries)
    }
}

fn no_key_is_in_a_core(folder: &Path, secrets: &Secrets) {
    let materials = [&secrets.materials[0], &secrets.materials[1]];
    let mut program = Stopped::open(folder);
    let found = program.hits(&[&materials[..], &[&secrets.value]].concat());
    assert!(found.iter().any(|hit| hit.contains("value at")), "this look does not find what is in memory");
    let found: Vec<&String> = found.iter().filter(|hit| hit.contains("key ")).collect();
    assert!(found.is_empty(), "while it is open: {found:#?}");
    program.close();
    let found = program.hits(&materials);
    assert!(found.is_empty(), "after it was closed: {found:#?}");
    program.end();
}

fn no_value_is_in_a_core_after_the_close(folder: &Path, secrets: &Secrets) {
    let mut program = Stopped::open(folder);
    program.close();
    program.is_idle();
    let found = program.hits(&[&secrets.value]);
    assert!(found.is_empty(), "{found:#?}");
    program.end();
}

fn has_gcore() -> bool {
    let has_it = program::is_installed("gcore");
    if !has_it {
        println!("skipped: gcore is not installed (Debian has it in the package gdb)");
    }
    has_it
}

/// Runs `check` on a folder with a cache on a file.
fn on_a_file(check: impl FnOnce(&Path, &Secrets)) {
    if !has_gcore() {
        return;
    }
    let shared = Shared::new();
    let secrets = Secrets::in_folder(shared.folder());
    let base = json!({"version": 1, "l2": {"kind": "sqlite", "path": shared.database()}});
    let mut documents = Documents { folder: shared.folder(), base, count: 0 };
    documents.add_ring(&secrets.ring(["active", "retired"]), json!({"logging": {"level": "debug"}}));
    check(shared.folder(), &secrets);
}

/// Runs `check` on a folder with a cache on a Redis that wants a password.
fn on_redis(check: impl FnOnce(&Path, &Secrets)) {
    if !has_gcore() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let secrets = Secrets::in_folder(folder.path());
    let Some(server) = guarded_server(&secrets) else { return };
    let base = json!({"version": 1, "l2": {"kind": "redis", "url": server.url(), "key_prefix": "p:"}});
    let mut documents = Documents { folder: folder.path(), base, count: 0 };
    let password = documents.file("password", secrets.password.as_text());
    let more = json!({"l2": {"password_file": password}, "resilience": {"deadline_ms": 30_000}});
    documents.add_ring(&secrets.ring(["active", "retired"]), more);
    check(folder.path(), &secrets);
}

#[test]
fn no_key_is_in_a_core_of_a_cache_on_a_file() {
    on_a_file(no_key_is_in_a_core);
}

#[test]
fn no_key_is_in_a_core_of_a_cache_on_redis() {
    on_redis(no_key_is_in_a_core);
}

#[test]
fn no_value_is_in_a_core_of_a_closed_cache_on_a_file() {
    on_a_file(no_value_is_in_a_core_after_the_close);
}

#[test]
fn no_value_is_in_a_core_of_a_closed_cache_on_redis() {
    on_redis(no_value_is_in_a_core_after_the_close);
}
