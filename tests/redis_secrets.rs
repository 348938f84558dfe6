//! What must not be told: passwords, in whatever goes wrong; and what must not be done unasked: a plain link elsewhere.

#[path = "support/redis.rs"]
mod support;

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use support::{Server, document, free_port, status};
use tokencache::cache::{Cache, SetOptions};
use tokencache::log::{Level, Sink};

/// The passwords of this file, all of them; none may be seen anywhere.
const SECRETS: [&str; 2] = ["sup3rs3cret", "0therS3cret"];

#[derive(Clone, Default)]
struct Heard(Arc<Mutex<String>>);

impl Heard {
    fn say(&self, text: &str) {
        self.0.lock().expect("nobody panics here").push_str(text);
    }
}

impl Sink for Heard {
    fn write(&self, _: Level, target: &'static str, message: &str) -> bool {
        self.say(&format!("{target}: {message}\n"));
        true
    }
}

/// Everything that opening, calling, configuring and counting says.
fn everything_said(document: &str) -> (String, usize) {
    let heard = Heard::default();
    let mut failures = 0;
    let mut fail = |answer: Result<(), tokencache::error::Error>| {
        if let Err(error) = answer {
            failures += 1;
            heard.say(&format!("{error:?} {error}\n"));
        }
    };
    match Cache::open(document.as_bytes()) {
        Err(error) => fail(Err(error)),
        Ok(cache) => {
            cache.on_log(Level::Debug, Some(Box::new(heard.clone())));
            fail(cache.get(b"k").map(drop));
            fail(cache.set(b"k", b"1", SetOptions::default()).map(drop));
            fail(cache.remove(b"k").map(drop));
            fail(cache.configure(document.replace("redis://", "http://").as_bytes()));
            fail(cache.configure(document.as_bytes()));
            heard.say(&cache.statistics(0).expect("statistics"));
            cache.close();
        }
    }
    let said = heard.0.lock().expect("nobody panics here").clone();
    (said, failures)
}

#[test]
fn no_password_is_ever_told() {
    let Some(server) = Server::start() else { return };
    let [secret, other] = SECRETS;
    server.ask::<()>("ACL SETUSER app on >something ~* +@all");
    server.ask::<()>("ACL SETUSER reader on >sup3rs3cret ~* +@connection +hget");
    server.ask::<()>("SET p:k string");
    let at = |authority: &str| format!("redis://{authority}127.0.0.1:{}/0", server.port());
    let (quick, away) = (json!({"resilience": {"deadline_ms": 300, "journal_max_entries": 0}}), free_port());
    let with = |l2: Value| json!({"resilience": {"deadline_ms": 300, "journal_max_entries": 0}, "l2": l2});
    let documents = [
        document(&at(&format!("app:{secret}@")), quick.clone()),
        document(&at(&format!(":{secret}@")), quick.clone()),
        document(&at(&format!("reader:{secret}@")), quick.clone()),
        document(&format!("redis://app:{secret}@127.0.0.1:{away}/0"), quick.clone()),
        document(&format!("rediss://app:{secret}@127.0.0.1:{}/0", server.port()), quick.clone()),
        document(&format!("redis://app:{secret}@127.0.0.1:99999999/0"), quick.clone()),
        document(&format!("redis://app:{secret}@[::1/0"), quick.clone()),
        document(&format!("http://app:{secret}@127.0.0.1/0"), quick.clone()),
        document(&format!("redis://app:{secret}@192.0.2.1/0"), quick.clone()),
        document(&format!("redis://app:{secret}@127.0.0.1:{}/notanumber", server.port()), quick.clone()),
        document(&format!("unix:///nowhere.sock?user=app&pass={secret}"), quick),
        document(&at(&format!("app:{secret}@")), with(json!({"password": other}))),
        document(&at(""), with(json!({"username": "app", "password": other}))),
        document(&at(""), with(json!({"username": "app", "password": other, "password_file": "/nowhere"}))),
    ];
    for document in documents {
        let (said, failures) = everything_said(&document);
        assert!(failures > 0, "{document} should have failed");
        for secret in SECRETS {
            assert!(!said.contains(secret), "{document}\nsays:\n{said}");
        }
    }
}

#[test]
fn a_plain_link_to_another_machine_has_to_be_allowed() {
    for address in ["redis://192.0.2.1:6379", "redis://cache.example:6379/0", "redis://[2001:db8::1]:6379"] {
        let refused = Cache::open(document(address, json!({})).as_bytes()).map(drop).expect_err("refused");
        assert_eq!(refused.kind.name(), "TC_INVALID_CONFIG");
        assert!(refused.message.contains("allow_plaintext"), "{}", refused.message);
        let allowed = document(address, json!({"l2": {"allow_plaintext": true}}));
        assert_eq!(status(Cache::open(allowed.as_bytes()).map(drop)), "TC_OK");
    }
    let addresses = [
        "redis://127.0.0.1:1",
        "redis://127.8.9.1:1",
        "redis://localhost:1",
        "redis://[::1]:1",
        "rediss://192.0.2.1:1",
        "unix:///nowhere.sock",
    ];
    for address in addresses {
        assert_eq!(
            status(Cache::open(document(address, json!({})).as_bytes()).map(drop)),
            "TC_OK",
            "{address}"
        );
    }
}

#[test]
fn a_plain_link_elsewhere_is_refused_to_an_open_cache_too() {
    let Some(server) = Server::start() else { return };
    let cache = server.open(json!({}));
    let elsewhere = document("redis://192.0.2.1:6379", json!({}));
    assert_eq!(status(cache.configure(elsewhere.as_bytes())), "TC_INVALID_CONFIG");
    assert_eq!(status(cache.set(b"k", b"1", SetOptions::default())), "TC_OK");
}
