//! A cache that is opened and closed again and again leaves nothing behind: no thread, no descriptor, no memory.

#[path = "support/library.rs"]
mod library;
#[path = "support/program.rs"]
mod program;
#[path = "support/redis.rs"]
mod redis;

use std::fs;
use std::process::Command;
use std::time::Duration;

use redis::Server;
use redis::cache::is_long;

const DEADLINE: Duration = Duration::from_secs(3000);

#[test]
fn on_sqlite() {
    leaves_nothing("memory", None);
}

#[test]
fn on_sqlite_with_a_journal_file() {
    leaves_nothing("file", None);
}

#[test]
fn on_redis() {
    if let Some(server) = Server::start() {
        leaves_nothing("memory", Some(&server));
    }
}

#[test]
fn on_redis_with_a_journal_file() {
    if let Some(server) = Server::start() {
        leaves_nothing("file", Some(&server));
    }
}

fn leaves_nothing(scene: &str, server: Option<&Server>) {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let program = program::compile(&["open_close.c"], folder);
    let mut command = Command::new(program);
    command.arg(folder).arg(if is_long() { "10000" } else { "300" }).env("TOKENCACHE_TEST_SCENE", scene);
    if let Some(server) = server {
        command.env("TOKENCACHE_TEST_REDIS", server.url());
    }
    if let Err(why) = program::run(&mut command, folder, DEADLINE) {
        panic!("{why}");
    }
    let kind = if server.is_some() { "Redis" } else { "SQLite" };
    print!("{kind}, journal in {scene}: {}", fs::read_to_string(folder.join("output")).unwrap());
}
