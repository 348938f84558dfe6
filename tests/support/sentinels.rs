//! A primary with two replicas, three Sentinels that watch them, and the address of a service that leads to whom they
//! name.

#![allow(dead_code, reason = "no test needs all of it")]

use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::proxy::Proxy;
use crate::support::{GENEROUS, Server, free_port, wait_until};

const NAME: &str = "main";

/// Three servers, the first of them the primary to begin with.
pub struct Troop {
    pub servers: Vec<Server>,
    pub proxy: Proxy,
    sentinels: Vec<Sentinel>,
}

struct Sentinel {
    port: u16,
    child: Child,
    _folder: TempDir,
}

impl Troop {
    pub fn start() -> Option<Troop> {
        let first = Server::with(&["--repl-diskless-sync-delay", "0"])?;
        let port = first.port().to_string();
        let options = ["--repl-diskless-sync-delay", "0", "--replicaof", "127.0.0.1", &port];
        let replicas = (0..2).map(|_| Server::with(&options).expect("a replica"));
        let servers: Vec<_> = std::iter::once(first).chain(replicas).collect();
        for replica in &servers[1..] {
            wait_until("the replicas follow", || {
                replica.ask::<String>("INFO replication").contains("master_link_status:up")
            });
        }
        let sentinels = (0..3).map(|_| Sentinel::watching(servers[0].port())).collect();
        let troop = Troop { proxy: Proxy::before(servers[0].port()), servers, sentinels };
        wait_until("the Sentinels know one another and the replicas", || {
            troop.sentinels.iter().all(|sentinel| {
                let known = sentinel.ask("MASTER").unwrap_or_default();
                let is = |name: &str, value: &str| {
                    known.windows(2).any(|pair| pair[0] == name && pair[1] == value)
                };
                is("num-slaves", "2") && is("num-other-sentinels", "2") && is("flags", "master")
            })
        });
        Some(troop)
    }

    /// Which of the servers the Sentinels name.
    pub fn primary(&self) -> usize {
        let named = |sentinel: &Sentinel| {
            sentinel.ask("GET-MASTER-ADDR-BY-NAME").and_then(|address| {
                let port = address.get(1)?.parse::<u16>().ok()?;
                self.servers.iter().position(|server| server.port() == port)
            })
        };
        self.sentinels.iter().find_map(named).expect("a name")
    }

    /// Waits until the Sentinels name another than `before`, and it takes writes.
    pub fn wait_for_successor(&self, before: usize) -> usize {
        let mut now = before;
        wait_until("another is named", || {
            now = self.primary();
            now != before && self.servers[now].ask::<String>("INFO replication").contains("role:master")
        });
        now
    }

    /// Has the address of the service lead to whom they name, again and again, until `work` is done.
    pub fn serve<T>(&self, work: impl FnOnce() -> T) -> T {
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            let over = crate::support::Over(&is_over);
            scope.spawn(|| {
                let mut before = self.primary();
                while !is_over.load(Ordering::Relaxed) {
                    let now = self.primary();
                    if now != before {
                        self.lead_to(now);
                        before = now;
                    }
                    thread::sleep(Duration::from_millis(20));
                }
            });
            let done = work();
            drop(over);
            done
        })
    }

    pub fn lead_to(&self, server: usize) {
        self.proxy.repoint(self.servers[server].port());
        self.proxy.cut();
    }
}

impl Sentinel {
    fn watching(primary: u16) -> Sentinel {
        let folder = tempfile::tempdir().expect("a folder");
        let (port, path) = (free_port(), folder.path().join("sentinel.conf"));
        let config = format!(
            "port {port}\nbind 127.0.0.1\ndir {}\nsentinel monitor {NAME} 127.0.0.1 {primary} 2\n\
             sentinel down-after-milliseconds {NAME} 5000\nsentinel failover-timeout {NAME} 10000\n",
            folder.path().display()
        );
        std::fs::write(&path, config).expect("written");
        let mut command = Command::new("redis-server");
        command.arg(&path).arg("--sentinel").stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.spawn().expect("a Sentinel");
        Sentinel { port, child, _folder: folder }
    }

    /// What it says of the troop.
    fn ask(&self, question: &str) -> Option<Vec<String>> {
        let client = redis::Client::open(format!("redis://127.0.0.1:{}/", self.port)).ok()?;
        let mut link = client.get_connection_with_timeout(GENEROUS).ok()?;
        redis::cmd("SENTINEL").arg(question).arg(NAME).query(&mut link).ok()
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for `condition`, and says how long that took.
pub fn timed(what: &str, condition: impl FnMut() -> bool) -> Duration {
    let begin = Instant::now();
    wait_until(what, condition);
    begin.elapsed()
}
