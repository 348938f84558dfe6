//! The name of a Redis that leads elsewhere from now on: it is looked up anew for every link.
//!
//! Each cache lives in a process that sees a list of hosts of its own, in a mount namespace.

#[path = "support/library.rs"]
mod library;
#[path = "support/program.rs"]
mod program;
#[path = "support/puppet.rs"]
mod puppet;
#[path = "support/redis.rs"]
mod support;

use std::fs;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use puppet::Puppet;
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};
use support::{Server, document, free_port, wait_until};

const NAME: &str = "cache.tokencache.test";

fn may_mount() -> bool {
    let may = Command::new("unshare").args(["--mount", "true"]).stderr(Stdio::null()).status();
    may.is_ok_and(|status| status.success())
}

/// A cache whose process finds `file` in the place of `name`, and nobody else does.
fn seeing(file: &Path, name: &str, document: &str) -> Puppet {
    let script = format!(r#"mount --bind "$0" {name} && exec "$@""#);
    let file = file.to_str().expect("text");
    Puppet::within(&["unshare", "--mount", "--propagation", "private", "sh", "-c", &script, file], document)
}

#[test]
fn a_name_that_leads_elsewhere_is_followed_at_the_next_link() {
    if !may_mount() {
        println!("skipped: a process cannot have a list of hosts of its own here");
        return;
    }
    let port = free_port();
    let (Some(mut first), Some(second)) =
        (Server::at(port, &["--bind", "127.0.0.1"]), Server::at(port, &["--bind", "127.0.0.2"]))
    else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let hosts = folder.path().join("hosts");
    // Written into and not replaced: it is this file that the process sees.
    let lead_to = |address: &str| fs::write(&hosts, format!("{address} {NAME}\n")).expect("written");
    lead_to("127.0.0.1");
    let members = json!({
        "l2": {"allow_plaintext": true},
        "resilience": {"deadline_ms": 1_000, "max_attempts": 1},
    });
    let url = format!("redis://{NAME}:{port}/0");
    let mut cache = seeing(&hosts, "/etc/hosts", &document(&url, members));
    wait_until("it is stored", || cache.say("set k first") == "TC_OK");
    assert_eq!(first.fields(b"k")["data"], b"first");
    lead_to("127.0.0.2");
    // The link that stands is not given up for a name.
    wait_until("it is stored", || cache.say("set k still-first") == "TC_OK");
    assert_eq!(first.fields(b"k")["data"], b"still-first");
    first.kill();
    wait_until("the name is followed", || cache.say("set k second").starts_with("TC_OK"));
    assert_eq!(second.fields(b"k")["data"], b"second");
    // A name that leads nowhere is said, with the name.
    fs::write(&hosts, "").expect("written");
    second.ask::<i64>("CLIENT KILL TYPE normal");
    let swap = |cache: &mut Puppet| cache.say("get unknown");
    wait_until("the name is missed", || swap(&mut cache).starts_with("TC_L2_"));
    lead_to("127.0.0.2");
    wait_until("the name is back", || cache.say("set k third").starts_with("TC_OK"));
    assert_eq!(second.fields(b"k")["data"], b"third");
}

/// Names are looked up on threads that all links share, and a name server that says nothing keeps each of them for half a
/// minute.
#[test]
fn a_name_that_nobody_answers_for_keeps_one_thread_however_often_it_is_tried() {
    let nobody = UdpSocket::bind("127.0.0.77:53");
    if nobody.is_err() || !may_mount() {
        println!("skipped: a process cannot have a name server of its own here");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let servers = folder.path().join("resolv.conf");
    fs::write(&servers, "nameserver 127.0.0.77\n".repeat(3)).expect("written");
    let members = json!({
        "l2": {"allow_plaintext": true},
        "resilience": {"deadline_ms": 3_000, "max_attempts": 1},
    });
    let mut cache = seeing(&servers, "/etc/resolv.conf", &document("redis://nobody.example:6379/0", members));
    let answer = cache.say("get k");
    if !answer.starts_with("TC_L2_TIMEOUT") {
        println!("skipped: names are not looked up as resolv.conf says here ({answer})");
        return;
    }
    wait_until("it is tried again and again", || {
        let stats: Value = serde_json::from_str(&cache.say("stats")).expect("JSON");
        stats["l2"]["store"]["link_attempts"].as_u64() > Some(5)
    });
    let threads = fs::read_dir(format!("/proc/{}/task", cache.pid())).expect("its threads");
    let of_links = threads.filter(|thread| {
        let name =
            thread.as_ref().ok().and_then(|thread| fs::read_to_string(thread.path().join("comm")).ok());
        name.is_some_and(|name| name.trim() == "tc-io")
    });
    // The one that drives all links, and the one that waits.
    assert_eq!(of_links.count(), 2);
}

/// Of two addresses of a name the first is a host that says nothing: to a queue that is full nobody answers.
#[test]
fn an_address_that_says_nothing_leaves_time_for_the_next() {
    if !may_mount() {
        println!("skipped: a process cannot have a list of hosts of its own here");
        return;
    }
    let port = free_port();
    let Some(server) = Server::at(port, &["--bind", "127.0.0.2"]) else { return };
    let deaf = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    deaf.bind(&address.into()).expect("a port");
    deaf.listen(0).expect("a queue");
    let filled = (0..10).map_while(|_| TcpStream::connect_timeout(&address, Duration::from_millis(500)).ok());
    let filled: Vec<_> = filled.collect();
    assert!(filled.len() < 10, "its queue has no end");
    let folder = tempfile::tempdir().expect("a folder");
    let hosts = folder.path().join("hosts");
    fs::write(&hosts, format!("127.0.0.1 {NAME}\n127.0.0.2 {NAME}\n")).expect("written");
    let members = json!({"l2": {"allow_plaintext": true}, "resilience": {"deadline_ms": 3_000}});
    let mut cache = seeing(&hosts, "/etc/hosts", &document(&format!("redis://{NAME}:{port}/0"), members));
    wait_until("it is stored", || cache.say("set k 1") == "TC_OK");
    assert_eq!(server.fields(b"k")["data"], b"1");
}
