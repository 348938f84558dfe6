//! What can happen to a Redis and to the way there.

use std::thread::sleep;
use std::time::Duration;

use serde_json::json;

use super::walk::{Fault, Victim, up_to_ms};
use crate::proxy::Proxy;
use crate::support::{self, Server};

pub struct Redis {
    server: Server,
    proxy: Proxy,
}

impl Redis {
    pub fn start() -> Option<Redis> {
        // What it has acknowledged it has also when it was killed: with `everysec` it may put off its writes.
        let server = Server::with(&["--appendonly", "yes", "--appendfsync", "no"])?;
        let proxy = Proxy::before(server.port());
        Some(Redis { server, proxy })
    }

    /// As it is told for a while, and then as before.
    fn for_a_while(&self, told: &str, restored: &str) {
        self.server.ask::<String>(told);
        sleep(up_to_ms(1_500));
        self.server.ask::<String>(restored);
    }
}

impl Victim for Redis {
    const NAME: &str = "Redis";

    fn document(&self) -> String {
        let journal = self.server.folder().join("owed.db");
        let resilience = json!({"deadline_ms": 300, "close_ms": 60_000, "journal_path": journal});
        let coherence = json!({"heartbeat_timeout_ms": 250});
        support::document(&self.proxy.url(), json!({"coherence": coherence, "resilience": resilience}))
    }

    const FAULTS: &[Fault<Redis>] = &[
        ("server killed, restarted", |redis, _| {
            redis.server.kill();
            sleep(up_to_ms(1_500));
            redis.server.restart();
        }),
        ("server stopped", |redis, _| {
            redis.server.stop();
            sleep(up_to_ms(2_000));
            redis.server.go_on();
        }),
        ("link cut", |redis, _| redis.proxy.cut()),
        ("link cut within an answer", |redis, _| {
            redis.proxy.cut_after(fastrand::usize(..20_000));
            sleep(up_to_ms(500));
            redis.proxy.heal();
        }),
        ("link cut within a request", |redis, _| {
            redis.proxy.cut_request_after(fastrand::usize(..20_000));
            sleep(up_to_ms(500));
            redis.proxy.heal();
        }),
        ("black hole", |redis, _| {
            redis.proxy.fall_silent();
            sleep(up_to_ms(2_000));
            redis.proxy.heal();
        }),
        ("answers in a black hole", |redis, _| {
            redis.proxy.fall_silent_to_client();
            sleep(up_to_ms(2_000));
            redis.proxy.heal();
        }),
        ("requests in a black hole", |redis, _| {
            redis.proxy.fall_silent_to_server();
            sleep(up_to_ms(2_000));
            redis.proxy.heal();
        }),
        ("answers delayed", |redis, _| {
            redis.proxy.delay(up_to_ms(400));
            sleep(up_to_ms(1_500));
            redis.proxy.heal();
        }),
        ("clients killed", |redis, _| {
            // Our own link is one of them.
            let _ = redis.server.try_run::<i64>(::redis::cmd("CLIENT").arg("KILL").arg("TYPE").arg("normal"));
        }),
        ("writes paused", |redis, _| {
            redis.server.ask::<String>(&format!("CLIENT PAUSE {} WRITE", up_to_ms(1_000).as_millis()));
        }),
        ("writes forbidden", |redis, _| {
            redis.for_a_while("ACL SETUSER default -@write", "ACL SETUSER default +@all");
        }),
        ("all forbidden", |redis, _| {
            redis.for_a_while("ACL SETUSER default -@all", "ACL SETUSER default +@all");
        }),
        ("memory full", |redis, _| {
            redis.for_a_while("CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0");
        }),
        ("all flushed", |redis, crew| crew.lose_all(|| redis.server.ask("FLUSHALL"))),
    ];

    /// A server that stands still is noticed when a heartbeat stays away.
    const BOUND: Duration = Duration::from_secs(2);
}
