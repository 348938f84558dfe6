//! Signals of a host in C, before a real Redis: those that its sockets could bring about, and those of its own.

#[path = "support/certificates.rs"]
mod certificates;
#[path = "support/library.rs"]
mod library;
#[path = "support/program.rs"]
mod program;
#[path = "support/redis.rs"]
mod redis;

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use certificates::{Certificates, For};
use redis::{GENEROUS, Server, document, free_port, is_installed, wait_until};
use serde_json::{Value, json};

const DEADLINE: Duration = Duration::from_secs(300);
const DEATHS: usize = 12;

#[test]
fn a_server_that_dies_in_the_middle_of_a_write_does_not_take_the_host_down() {
    let Some(server) = Server::start() else { return };
    let url = server.url();
    dies(server, &url, json!({}));
}

#[test]
fn a_server_that_dies_in_the_middle_of_a_tls_record_does_not_take_the_host_down() {
    let certificates = Certificates::new();
    let Some((server, url, l2)) = over_tls(&certificates) else { return };
    dies(server, &url, l2);
}

#[test]
fn a_storm_of_alarms_disturbs_nothing() {
    let Some(server) = Server::start() else { return };
    storm(&server.url(), json!({}));
}

#[test]
fn a_storm_of_alarms_disturbs_no_tls() {
    let certificates = Certificates::new();
    let Some((_server, url, l2)) = over_tls(&certificates) else { return };
    storm(&url, l2);
}

fn over_tls(certificates: &Certificates) -> Option<(Server, String, Value)> {
    if !is_installed("openssl") {
        println!("skipped: openssl is not installed");
        return None;
    }
    certificates.authority("ours");
    certificates.issue("ours", "server", For::Server("IP:127.0.0.1"));
    let port = free_port();
    let [chain, trusted] =
        ["server", "ours"].map(|name| certificates.certificate(name).display().to_string());
    let (port, key) = (port.to_string(), certificates.key("server").display().to_string());
    let options = [
        "--tls-port",
        &port,
        "--tls-cert-file",
        &chain,
        "--tls-key-file",
        &key,
        "--tls-ca-cert-file",
        &trusted,
    ];
    let server = Server::with(&[&options[..], &["--tls-auth-clients", "no"]].concat())?;
    Some((server, format!("rediss://127.0.0.1:{port}/0"), json!({"ca_file": trusted})))
}

fn dies(mut server: Server, url: &str, l2: Value) {
    let folder = tempfile::tempdir().unwrap();
    let program = program::compile(&["signals_redis.c"], folder.path());
    let resilience = json!({"deadline_ms": 200, "max_attempts": 1, "circuit_failures": 0, "close_ms": 100});
    let mut command = Command::new(program);
    command.arg(folder.path()).arg(document(url, json!({"l2": l2, "resilience": resilience})));
    command.env("TOKENCACHE_TEST_SCENE", "dies").stdin(Stdio::null());
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    for _ in 0..DEATHS {
        wait_until("it writes", || {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("the host has ended: {status}");
            }
            server.ask::<u64>("DBSIZE") > 0
        });
        std::thread::sleep(Duration::from_micros(fastrand::u64(0..20_000)));
        server.kill();
        server.restart();
    }
    fs::write(folder.path().join("over"), b"").unwrap();
    let mut ended = None;
    wait_until("the host ends", || {
        ended = child.try_wait().unwrap();
        ended.is_some()
    });
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{:?} within {GENEROUS:?}", output.status);
    print!("{DEATHS} deaths: {}", String::from_utf8_lossy(&output.stdout));
}

fn storm(url: &str, l2: Value) {
    let folder = tempfile::tempdir().unwrap();
    let program = program::compile(&["signals_redis.c"], folder.path());
    let patient = json!({
        "l2": l2,
        "resilience": {"deadline_ms": 60_000, "circuit_failures": 0},
        "coherence": {"heartbeat_timeout_ms": 10_000},
    });
    let mut command = Command::new(program);
    command.arg(folder.path()).arg(document(url, patient)).env("TOKENCACHE_TEST_SCENE", "storm");
    if let Err(why) = program::run(&mut command, folder.path(), DEADLINE) {
        panic!("{why}");
    }
    print!("{}", fs::read_to_string(folder.path().join("output")).unwrap());
}
