//! TLS: who is believed, who is not, and that each refusal says what is wrong.

#[path = "support/certificates.rs"]
mod certificates;
#[path = "support/redis.rs"]
mod support;

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::LazyLock;
use std::thread;
use std::time::Instant;

use certificates::{Certificates, For};
use serde_json::{Value, json};
use support::{Server, document, free_port, is_installed, status};
use tokencache::cache::{Cache, SetOptions};
use tokencache::error::Error;

const LOCALHOST: &str = "DNS:localhost,IP:127.0.0.1";

static CERTIFICATES: LazyLock<Certificates> = LazyLock::new(|| {
    let made = Certificates::new();
    made.authority("ours");
    made.authority("theirs");
    made.issue("ours", "good", For::Server(LOCALHOST));
    made.issue("ours", "elsewhere", For::Server("DNS:cache.example"));
    made.issue_expired("ours", "expired", For::Server(LOCALHOST));
    made.issue("ours", "client", For::Client);
    made.issue("theirs", "stranger", For::Client);
    made
});

fn path(path: &Path) -> String {
    path.display().to_string()
}

fn certificate(name: &str) -> String {
    path(&CERTIFICATES.certificate(name))
}

fn key(name: &str) -> String {
    path(&CERTIFICATES.key(name))
}

/// A server with this certificate, and the address at which it speaks TLS.
fn server(name: &str, more: &[&str]) -> Option<(Server, String)> {
    if !is_installed("openssl") {
        println!("skipped: openssl is not installed");
        return None;
    }
    let port = free_port();
    let (tls_port, chain, own_key, trusted) =
        (port.to_string(), certificate(name), key(name), certificate("ours"));
    let mut options = vec!["--tls-port", &tls_port, "--tls-cert-file", &chain, "--tls-key-file", &own_key];
    options.extend(["--tls-ca-cert-file", &trusted]);
    if !more.contains(&"--tls-auth-clients") {
        options.extend(["--tls-auth-clients", "no"]);
    }
    options.extend(more);
    let server = Server::with(&options)?;
    Some((server, format!("rediss://127.0.0.1:{port}/0")))
}

fn trusting(authority: &str) -> Value {
    json!({"ca_file": certificate(authority)})
}

/// What a set through such a link comes to.
fn try_set(url: &str, l2: Value) -> Result<(), Error> {
    let end = Instant::now() + support::GENEROUS;
    loop {
        match try_set_within(30_000, url, l2.clone()) {
            // On a loaded machine the greeting may come too late.
            Err(error) if error.kind.name() == "TC_L2_TIMEOUT" && Instant::now() < end => {}
            answer => return answer,
        }
    }
}

fn try_set_within(deadline_ms: u64, url: &str, l2: Value) -> Result<(), Error> {
    // What is refused is to be told, and not kept for later.
    let resilience = json!({"deadline_ms": deadline_ms, "max_attempts": 1, "journal_max_entries": 0});
    let members = json!({"l2": l2, "resilience": resilience});
    let cache = Cache::open(document(url, members).as_bytes())?;
    cache.set(b"k", b"1", SetOptions::default()).map(drop)
}

fn denied(url: &str, l2: Value) -> String {
    let refused = try_set(url, l2).expect_err("refused");
    assert_eq!(refused.kind.name(), "TC_L2_DENIED", "{}", refused.message);
    println!("{}", refused.message);
    refused.message
}

#[test]
fn a_server_with_a_good_certificate_is_believed_by_name_and_by_address() {
    let Some((server, url)) = server("good", &[]) else { return };
    assert_eq!(status(try_set(&url, trusting("ours"))), "TC_OK");
    assert_eq!(status(try_set(&url.replace("127.0.0.1", "localhost"), trusting("ours"))), "TC_OK");
    let cache =
        server.open(json!({"l2": {"url": url, "ca_file": certificate("ours")}, "l1": {"enabled": false}}));
    let value: Vec<u8> = (0..1_u32 << 20).map(|i| (i >> 3) as u8).collect();
    cache.set(b"big", &value, SetOptions::default()).expect("stored");
    assert!(cache.get(b"big").expect("a read").expect("an entry").data() == value);
    let version = cache.get(b"big").expect("a read").expect("an entry").version();
    cache
        .set(b"big", b"2", SetOptions { expected_version: version, ..SetOptions::default() })
        .expect("swapped");
    let user = json!({"ca_file": certificate("ours"), "username": "tests", "password": "tests"});
    assert_eq!(status(try_set(&url, user)), "TC_OK");
}

#[test]
fn each_refusal_is_denied_and_says_what_is_wrong() {
    let ours = || trusting("ours");
    let Some((good, good_url)) = server("good", &[]) else { return };
    let Some((_elsewhere, elsewhere)) = server("elsewhere", &[]) else { return };
    let Some((_expired, expired)) = server("expired", &[]) else { return };
    let old = ["--tls-protocols", "TLSv1", "--tls-ciphers", "DEFAULT@SECLEVEL=0"];
    let Some((_old, old)) = server("good", &old) else { return };
    let Some((_asks, asks)) = server("good", &["--tls-auth-clients", "yes"]) else { return };
    let messages = [
        denied(&good_url, trusting("theirs")),
        denied(&elsewhere, ours()),
        denied(&expired, ours()),
        denied(&old, ours()),
        denied(&asks, ours()),
    ];
    // What a person needs who has to renew it: whose it is, and since when.
    assert!(messages[1].contains("issued for cache.example, and"), "{}", messages[1]);
    assert!(messages[2].contains("expired at 2021-01-01T00:00:00Z"), "{}", messages[2]);
    let of_its_port =
        |message: &String| message.split(|letter: char| letter.is_ascii_digit()).collect::<Vec<_>>().concat();
    let distinct: HashSet<_> = messages.iter().map(of_its_port).collect();
    assert_eq!(distinct.len(), messages.len(), "{messages:#?}");

    // Nobody whom the system's roots know has made these.
    denied(&good_url, json!({}));
    // A server that speaks no TLS waits for the end of a line, which our greeting may hold by chance.
    let plain = status(try_set_within(3_000, &format!("rediss://127.0.0.1:{}/0", good.port()), ours()));
    assert!(["TC_L2_DENIED", "TC_L2_TIMEOUT"].contains(&plain), "{plain}");
}

/// Redis resets the link, as what closes it does with our greeting unread; others send an alert, or close it when they have
/// read that.
#[test]
fn a_plain_link_to_a_port_that_speaks_tls_names_the_way_out() {
    let refused = |url: &str, l2| {
        let refused = try_set(&url.replace("rediss://", "redis://"), l2).expect_err("no Redis answers");
        println!("{} {}", refused.kind.name(), refused.message);
        refused.message
    };
    const WAY_OUT: &str = "If this port speaks TLS, l2.url has to begin with rediss://.";
    let alert: &[u8] = &[21, 3, 1, 0, 2, 2, 70];
    for answer in [alert, &[]] {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("redis://{}/0", listener.local_addr().expect("an address"));
        thread::spawn(move || {
            for mut link in listener.incoming().map_while(Result::ok) {
                let _ = link.read(&mut [0; 4096]).and_then(|_| link.write_all(answer));
            }
        });
        assert!(refused(&url, json!({})).contains(WAY_OUT), "{answer:?}");
    }
    let Some((server, url)) = server("good", &[]) else { return };
    assert!(refused(&url, json!({})).contains(WAY_OUT));
    // A refusal that Redis itself speaks is not about that.
    let denied = refused(&server.url(), json!({"username": "tests", "password": "wrong"}));
    assert!(!denied.contains("rediss://"), "{denied}");
}

#[test]
fn a_client_certificate_is_shown_where_the_server_asks_for_one() {
    let Some((_server, url)) = server("good", &["--tls-auth-clients", "yes"]) else { return };
    let showing = |name: &str| json!({"ca_file": certificate("ours"), "client_cert_file": certificate(name), "client_key_file": key(name)});
    assert_eq!(status(try_set(&url, showing("client"))), "TC_OK");
    let missing = denied(&url, trusting("ours"));
    let stranger = denied(&url, showing("stranger"));
    assert_ne!(missing, stranger);
}

#[test]
fn files_that_are_no_certificates_are_named() {
    let Some((_server, url)) = server("good", &[]) else { return };
    let nonsense = CERTIFICATES.folder().join("nonsense");
    std::fs::write(&nonsense, "This is a letter.").expect("written");
    for file in [path(&nonsense), "/nowhere/at/all.pem".to_owned()] {
        let good = certificate("client");
        let members = [
            ("ca_file", json!({"ca_file": file})),
            (
                "client_cert_file",
                json!({"ca_file": certificate("ours"), "client_cert_file": file, "client_key_file": key("client")}),
            ),
            (
                "client_key_file",
                json!({"ca_file": certificate("ours"), "client_cert_file": good, "client_key_file": file}),
            ),
        ];
        for (member, l2) in members {
            let refused = try_set(&url, l2).expect_err("refused");
            let kind = refused.kind.name();
            assert!(["TC_L2_DENIED", "TC_INVALID_CONFIG"].contains(&kind), "{kind}: {}", refused.message);
            assert!(refused.message.contains(member), "{member}: {}", refused.message);
        }
    }
}

#[test]
fn a_certificate_that_is_replaced_is_believed_at_the_next_link() {
    let Some((mut server, url)) = server("good", &[]) else { return };
    let trusted = CERTIFICATES.folder().join("rotating.pem");
    std::fs::copy(CERTIFICATES.certificate("theirs"), &trusted).expect("copied");
    let members = json!({"l2": {"url": url, "ca_file": trusted}});
    let cache = server.open(members);
    assert_eq!(status(cache.get(b"k").map(drop)), "TC_L2_DENIED");
    std::fs::copy(CERTIFICATES.certificate("ours"), &trusted).expect("copied");
    let set = || support::written(cache.set(b"k", b"1", SetOptions::default()));
    support::wait_until("the new authority is believed", || set() == "TC_OK");
    server.kill();
    assert_eq!(set(), "TC_DEGRADED");
}
