//! What can happen to a Redis and to the one that follows it, behind the address of a service.

use std::thread::sleep;
use std::time::Duration;

use serde_json::json;

use super::walk::{Fault, Victim, up_to_ms};
use crate::proxy::Proxy;
use crate::support::{self, Server};

pub struct Pair {
    primary: Server,
    replica: Server,
    proxy: Proxy,
}

impl Pair {
    pub fn start() -> Option<Pair> {
        let primary = Server::with(&["--repl-diskless-sync-delay", "0"])?;
        let replica = Server::with(&["--repl-diskless-sync-delay", "0"])?;
        let proxy = Proxy::before(primary.port());
        let pair = Pair { primary, replica, proxy };
        pair.follow();
        Some(pair)
    }

    fn follow(&self) {
        self.replica.ask::<String>(&format!("REPLICAOF 127.0.0.1 {}", self.primary.port()));
        support::wait_until("the replica follows", || {
            self.replica.ask::<String>("INFO replication").contains("master_link_status:up")
        });
    }

    /// The replica takes over, without what it has not heard of for a while.
    fn fail_over(&mut self, ms: u64, end: fn(&mut Server)) {
        self.replica.ask::<String>("REPLICAOF 127.0.0.1 1");
        sleep(up_to_ms(ms));
        end(&mut self.primary);
        self.replica.ask::<String>("REPLICAOF NO ONE");
        sleep(up_to_ms(300));
        self.proxy.repoint(self.replica.port());
        self.proxy.cut();
        std::mem::swap(&mut self.primary, &mut self.replica);
        sleep(up_to_ms(500));
        self.replica.restart();
        self.follow();
    }
}

impl Victim for Pair {
    const NAME: &str = "Redis, failing over";

    fn document(&self) -> String {
        let journal = self.primary.folder().join("owed.db");
        let resilience = json!({"deadline_ms": 300, "close_ms": 60_000, "journal_path": journal});
        let coherence = json!({"heartbeat_timeout_ms": 250});
        support::document(&self.proxy.url(), json!({"coherence": coherence, "resilience": resilience}))
    }

    const FAULTS: &[Fault<Pair>] = &[
        ("primary killed", |pair, _| pair.fail_over(700, Server::kill)),
        ("primary killed, nothing lost", |pair, _| pair.fail_over(1, Server::kill)),
        ("primary stopped", |pair, _| pair.fail_over(700, |server| server.stop())),
        ("link cut", |pair, _| pair.proxy.cut()),
        ("link cut within an answer", |pair, _| {
            pair.proxy.cut_after(fastrand::usize(..20_000));
            sleep(up_to_ms(500));
            pair.proxy.heal();
        }),
        ("clients killed", |pair, _| {
            let _ = pair.primary.try_run::<i64>(::redis::cmd("CLIENT").arg("KILL").arg("TYPE").arg("normal"));
        }),
    ];

    /// A worker that stood still meanwhile makes its own again when it goes on.
    const BOUND: Duration = Duration::from_secs(10);
    const FAILS_OVER: bool = true;
}
