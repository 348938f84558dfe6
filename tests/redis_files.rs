//! Files that a link to Redis needs and that would keep its reader waiting: they are named, and keep nobody else waiting.

#[path = "support/crypto.rs"]
mod crypto;
#[path = "support/hung.rs"]
mod hung;
#[path = "support/mounted.rs"]
mod mounted;
#[path = "support/sealed.rs"]
mod sealed;
#[path = "support/redis.rs"]
mod support;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use hung::Hung;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::{Value, json};
use support::cache::statistics;
use support::{Server, document, status, wait_until, written};
use tokencache::cache::{Cache, SetOptions};

/// Each member that names a file; one that TLS needs is read before anybody is called.
const MEMBERS: [&str; 5] =
    ["password_file", "username_file", "ca_file", "client_cert_file", "client_key_file"];

/// A cache whose `member` names `file`. What it refuses is to be told, and not kept for later.
fn naming(server: &Server, member: &str, file: &Path, deadline_ms: u64) -> Arc<Cache> {
    let mut l2 = json!({ member: file });
    if member == "username_file" {
        l2["password"] = json!("secret");
    }
    if member.starts_with("client_") {
        for other in ["client_cert_file", "client_key_file"] {
            l2[other] = json!(file);
        }
    }
    let scheme = if member.ends_with("name_file") || member.starts_with("pass") { "redis" } else { "rediss" };
    let url = format!("{scheme}://127.0.0.1:{}/0", server.port());
    let resilience = json!({"deadline_ms": deadline_ms, "max_attempts": 1, "circuit_failures": 0});
    let members = json!({"l2": l2, "l1": {"enabled": false}, "resilience": resilience});
    Cache::open(document(&url, members).as_bytes()).expect("the cache opens")
}

fn set(cache: &Cache) -> &'static str {
    written(cache.set(b"k", b"1", SetOptions::default()))
}

fn pipe(path: &Path) {
    let _ = fs::remove_file(path);
    mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR).expect("a pipe");
}

#[test]
fn a_pipe_in_the_place_of_a_file_is_named_and_holds_up_no_other_link() {
    let Some(server) = Server::start() else { return };
    let file = server.folder().join("pipe");
    pipe(&file);
    for member in MEMBERS {
        let waiting = naming(&server, member, &file, 30_000);
        let refused = waiting.get(b"k").map(drop).expect_err("refused");
        assert_eq!(refused.kind.name(), "TC_L2_DENIED", "{member}: {refused}");
        let what = match member {
            "password_file" => "The password for Redis at ",
            "username_file" => "The user for Redis at ",
            "ca_file" => "l2.ca_file",
            // The certificate is read first, and both are the pipe.
            _ => "l2.client_cert_file",
        };
        for words in [&*file.display().to_string(), "is not a regular file", what] {
            assert!(refused.message.contains(words), "{member}: {refused}");
        }
        assert_eq!(set(&server.open_without_l1()), "TC_OK");
    }
}

#[test]
fn a_password_file_that_becomes_a_pipe_and_a_file_again_is_read_again() {
    let Some(server) = Server::start() else { return };
    let file = server.folder().join("password");
    server.ask::<()>("ACL SETUSER app on >secret ~p:* +@all");
    fs::write(&file, "secret\n").expect("written");
    let members = json!({
        "l1": {"enabled": false},
        "l2": {"username": "app", "password_file": file},
        "resilience": {"max_attempts": 1},
    });
    let (cache, other) = (server.open(members), server.open_without_l1());
    wait_until("it is connected", || set(&cache) == "TC_OK");
    pipe(&file);
    server.ask::<i64>("CLIENT KILL USER app");
    wait_until("the pipe is met", || set(&cache) == "TC_DEGRADED");
    assert_eq!(set(&other), "TC_OK");
    fs::remove_file(&file).expect("removed");
    fs::write(&file, "secret\n").expect("written");
    wait_until("the file is read again", || set(&cache) == "TC_OK");
}

/// Runs `work`, and ends the test if it does not end.
fn ends<T: Send + 'static>(what: &str, work: impl FnOnce() -> T + Send + 'static) -> T {
    let (tell, told) = channel();
    std::thread::spawn(move || tell.send(work()));
    told.recv_timeout(support::GENEROUS).unwrap_or_else(|_| panic!("never: {what}"))
}

#[test]
fn files_on_a_file_system_that_hangs_hold_up_neither_their_callers_nor_any_other_link() {
    let Some(server) = Server::start() else { return };
    let share = server.folder().join("share");
    fs::create_dir(&share).expect("a folder");
    let Some(hung) = Hung::at(&share) else { return };
    let waiting: Vec<_> =
        ["password_file", "ca_file"].map(|member| naming(&server, member, &share.join("file"), 3_000)).into();
    for cache in &waiting {
        let asked = Arc::clone(cache);
        let refused = ends("a call returns", move || asked.get(b"k").map(drop)).expect_err("refused");
        assert_eq!(refused.kind.name(), "TC_L2_TIMEOUT", "{refused}");
        for words in [&*share.display().to_string(), "are not read yet"] {
            assert!(refused.message.contains(words), "{refused}");
        }
    }
    let other = server.open_without_l1();
    ends("another link is made", move || wait_until("it works", || set(&other) == "TC_OK"));
    for cache in waiting {
        ends("a cache is closed", move || cache.close());
    }
    drop(hung);
}

/// The ring is looked at twice a second, by nobody who has other work.
#[test]
fn a_ring_on_a_file_system_that_hangs_leaves_the_one_in_use_and_holds_up_no_other_cache() {
    let Some(server) = Server::start() else { return };
    let folder = server.folder().join("ring");
    fs::create_dir(&folder).expect("a folder");
    let file = folder.join("ring.json");
    let write = || {
        fs::write(&file, sealed::ring(&[("active", 1)]).to_string()).expect("written");
        let ours_alone = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        fs::set_permissions(&file, ours_alone).expect("ours");
    };
    write();
    let members: Value =
        json!({"encryption": {"algorithm": "aes-256-gcm", "keyring_file": file}, "l1": {"enabled": false}});
    let cache = server.open(members);
    assert_eq!(set(&cache), "TC_OK");
    // Its table is looked after by the thread that tends all caches.
    let shared = support::cache::Shared::new();
    let beside = shared.open(json!({"coherence": {"heartbeat_ms": 50}}));
    assert_eq!(written(beside.set(b"k", b"1", SetOptions::default())), "TC_OK");
    let lost = || statistics(&beside)["coherence"]["feeds_lost"].as_u64().expect("a number");
    let before = lost();
    let Some(hung) = Hung::at(&folder) else { return };
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(2) {
        let asked = Arc::clone(&cache);
        assert_eq!(status(ends("a read returns", move || asked.get(b"k").map(drop))), "TC_OK");
    }
    // A key that it may have is looked for in vain, and not for ever; what it says of itself waits for nobody.
    let elsewhere = server.open(sealed::sealing(&[("active", 2)], json!({})));
    assert_eq!(written(elsewhere.set(b"another", b"1", SetOptions::default())), "TC_OK");
    let asked = Arc::clone(&cache);
    let found = ends("a read returns", move || asked.get(b"another").map(drop));
    assert_eq!(status(found), "TC_SEAL_UNKNOWN_KEY");
    let asked = Arc::clone(&cache);
    ends("the counters are told", move || statistics(&asked));
    fs::remove_file(shared.folder().join("tokens.db-epochs")).expect("the table");
    wait_until("the loss of the table is noticed", || lost() > before);
    drop(hung);
    write();
    assert_eq!(set(&cache), "TC_OK");
}
