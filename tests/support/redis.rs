//! A real redis-server of a test's own, on loopback and on a socket, which leaves nothing behind.

#![allow(dead_code)]

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use redis::{Cmd, Connection, FromRedisValue, RedisResult};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokencache::cache::{Cache, SetOutcome};

#[path = "cache.rs"]
pub mod cache;

/// Long enough for a loaded machine.
pub const GENEROUS: Duration = Duration::from_secs(60);

/// The prefix of the caches that [`Server::open`] opens.
pub const PREFIX: &str = "p:";

/// A running server. Whatever its `default` user may do, the tests have a user of their own, over the socket.
pub struct Server {
    folder: TempDir,
    options: Vec<String>,
    port: u16,
    child: Option<Child>,
}

impl Server {
    /// A server without a password, or `None` and a word about it where there is no redis-server.
    pub fn start() -> Option<Server> {
        Server::with(&[])
    }

    /// A server with `options` of its command line.
    pub fn with(options: &[&str]) -> Option<Server> {
        Server::at(free_port(), options)
    }

    /// A node of a cluster, alone.
    pub fn node() -> Option<Server> {
        // Nodes talk to each other 10,000 ports above, where the system must have given none to somebody else.
        let is_free = |port: &u16| *port < 22_700 && TcpListener::bind(("127.0.0.1", port + 10_000)).is_ok();
        let port = std::iter::repeat_with(free_port).find(is_free).expect("without end");
        Server::at(port, &["--cluster-enabled", "yes"])
    }

    /// A server on a port that a test has chosen before.
    pub fn at(port: u16, options: &[&str]) -> Option<Server> {
        if !is_installed("redis-server") {
            println!("skipped: redis-server is not installed");
            return None;
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let options = options.iter().map(ToString::to_string).collect();
        let mut server = Server { folder, options, port, child: None };
        server.restart();
        Some(server)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn socket(&self) -> PathBuf {
        self.folder().join("redis.sock")
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// Starts it, as it was started before, and waits until it answers.
    pub fn restart(&mut self) {
        self.launch();
        wait_until("the server answers", || {
            let child = self.child.as_mut().expect("a server");
            if let Some(status) = child.try_wait().expect("its state") {
                panic!("redis-server: {status}\n{}", self.log());
            }
            self.try_run::<String>(&redis::cmd("PING")).is_ok()
        });
    }

    /// Starts it and waits for nothing.
    pub fn launch(&mut self) {
        self.kill();
        // What its predecessor left; the new one would be told from it by nobody.
        let _ = fs::remove_file(self.socket());
        let mut command = Command::new("redis-server");
        command.args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--unixsocket"]);
        command.arg(self.socket()).arg("--dir").arg(self.folder()).arg("--logfile").arg(self.log_file());
        command.args(["--save", "", "--appendonly", "no"]);
        command.args(["--user", "tests", "on", ">tests", "~*", "&*", "+@all"]);
        command.args(&self.options).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.child = Some(command.spawn().expect("redis-server"));
    }

    /// Ends it as `kill -9` does.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Stops it, so that it answers nobody and says no goodbye.
    pub fn stop(&self) {
        self.signal(Signal::SIGSTOP);
    }

    pub fn go_on(&self) {
        self.signal(Signal::SIGCONT);
    }

    fn signal(&self, signal: Signal) {
        let pid = self.child.as_ref().expect("a server").id();
        kill(Pid::from_raw(pid.try_into().expect("a process id")), signal).expect("the signal is sent");
    }

    fn log_file(&self) -> PathBuf {
        self.folder().join("log")
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// A connection of the tests' own user.
    pub fn connection(&self) -> RedisResult<Connection> {
        let url = format!("unix://{}?user=tests&pass=tests", self.socket().display());
        let connection = redis::Client::open(url)?.get_connection_with_timeout(GENEROUS)?;
        connection.set_read_timeout(Some(GENEROUS))?;
        Ok(connection)
    }

    pub fn try_run<T: FromRedisValue>(&self, command: &Cmd) -> RedisResult<T> {
        command.query(&mut self.connection()?)
    }

    /// What the server answers to `command`.
    pub fn run<T: FromRedisValue>(&self, command: &Cmd) -> T {
        self.try_run(command).expect("an answer")
    }

    /// What the server answers to a command without spaces in its arguments.
    pub fn ask<T: FromRedisValue>(&self, line: &str) -> T {
        let mut words = line.split_whitespace();
        let mut command = redis::cmd(words.next().expect("a command"));
        for word in words {
            command.arg(word);
        }
        self.run(&command)
    }

    /// Every key that there is, of every database's first.
    pub fn keys(&self) -> Vec<Vec<u8>> {
        self.ask("KEYS *")
    }

    /// What `key` of the usual prefix is in L2.
    pub fn fields(&self, key: &[u8]) -> std::collections::BTreeMap<String, Vec<u8>> {
        self.run(redis::cmd("HGETALL").arg(stored(key)))
    }

    /// What is left of the life of a key, as PTTL says it.
    pub fn pttl(&self, redis_key: &[u8]) -> i64 {
        self.run(redis::cmd("PTTL").arg(redis_key))
    }

    /// As [`document`], with this server as L2.
    pub fn document(&self, more: Value) -> String {
        document(&self.url(), more)
    }

    pub fn open(&self, more: Value) -> Arc<Cache> {
        Cache::open(self.document(more).as_bytes()).expect("the cache opens")
    }

    /// A cache whose every read is answered by L2.
    pub fn open_without_l1(&self) -> Arc<Cache> {
        self.open(json!({"l1": {"enabled": false}}))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A document with the Redis at `url` as L2, a deadline and a heartbeat that no load of the machine breaks, and `more`
/// members: a test in which a server falls silent says how long that may last.
pub fn document(url: &str, more: Value) -> String {
    let mut document = json!({
        "version": 1,
        "l2": { "kind": "redis", "url": url, "key_prefix": PREFIX },
        "encryption": { "algorithm": "none" },
        "coherence": { "heartbeat_timeout_ms": 30_000 },
        "resilience": { "deadline_ms": 30_000 },
        "logging": { "to": "none" },
    });
    cache::merge(&mut document, more);
    document.to_string()
}

/// The name in Redis of `key` of a cache of [`Server::open`].
pub fn stored(key: &[u8]) -> Vec<u8> {
    [PREFIX.as_bytes(), key].concat()
}

/// A port that nobody listens on.
///
/// Not of the range from which the kernel takes the ports of outgoing connections: there a client that knocks at a
/// server that is away may meet itself, and hold the port when the server comes back.
pub fn free_port() -> u16 {
    loop {
        let port = fastrand::u16(20_000..30_000);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

pub fn is_installed(tool: &str) -> bool {
    std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .any(|folder| folder.join(tool).is_file())
}

/// Waits until `condition` holds.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + GENEROUS;
    while !condition() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The name of the status that a set or a remove ended with.
pub fn written(answer: tokencache::error::Result<SetOutcome>) -> &'static str {
    match answer {
        Ok(SetOutcome::Stored(_)) => "TC_OK",
        Ok(SetOutcome::Owed(_)) => "TC_DEGRADED",
        Ok(SetOutcome::Conflict) => "TC_CONFLICT",
        Err(error) => error.kind.name(),
    }
}

/// The name of the status that a call ended with.
pub fn status<T: std::fmt::Debug>(answer: tokencache::error::Result<T>) -> &'static str {
    answer.map_or_else(|error| error.kind.name(), |_| "TC_OK")
}

/// Says that it is over also where a test fails, so that nobody waits for a thread that goes on.
pub struct Over<'a>(pub &'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
