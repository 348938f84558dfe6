//! The members of the document that are for Redis: where it is, who we are, and what must not be sent in plain text.

use serde_json::{Value, json};
use tokencache::config::redis::Source;
use tokencache::config::{Config, Kind, Redis};
use tokencache::error;

fn parse(l2: &Value) -> error::Result<Config> {
    let document = json!({ "version": 1, "l2": l2, "encryption": { "algorithm": "none" } });
    Config::parse(document.to_string().as_bytes())
}

fn redis(l2: &Value) -> Redis {
    match parse(l2).unwrap_or_else(|error| panic!("{l2}: {error}")).l2.kind {
        Kind::Redis(redis) => *redis,
        other => panic!("{other:?}"),
    }
}

fn refusal(l2: &Value) -> String {
    parse(l2).expect_err(&l2.to_string()).message
}

fn read(source: Option<Source>) -> String {
    source.expect("given").read().expect("readable").to_string()
}

#[test]
fn user_and_password_come_from_the_document_the_environment_a_file_or_the_url() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("password");
    std::fs::write(&file, "from file\r\n").expect("written");
    let in_file = redis(
        &json!({ "kind": "redis", "url": "redis://localhost", "username": "me", "password_file": file }),
    );
    assert_eq!((read(in_file.username), read(in_file.password)), ("me".into(), "from file".into()));
    let in_environment =
        redis(&json!({ "kind": "redis", "url": "redis://localhost", "password_env": "PATH" }));
    assert_eq!(read(in_environment.password), std::env::var("PATH").expect("set"));
    let in_url = redis(&json!({ "kind": "redis", "url": "redis://me:p%40ss@localhost/4" }));
    assert_eq!((read(in_url.username), read(in_url.password)), ("me".into(), "p@ss".into()));
    assert_eq!(in_url.address.to_string(), "redis://localhost:6379/4");
}

#[test]
fn a_secret_that_cannot_be_had_is_named_by_its_place() {
    let sources = [
        (Source::Environment("TOKENCACHE_TEST_UNSET".into()), "TOKENCACHE_TEST_UNSET"),
        (Source::File("/nonexistent/password".into()), "/nonexistent/password"),
    ];
    for (source, place) in sources {
        assert!(source.read().expect_err(place).contains(place));
    }
}

#[test]
fn secrets_do_not_show() {
    let l2 = json!({ "kind": "redis", "url": "redis://me:hunter2@localhost" });
    assert!(!format!("{:?}", parse(&l2)).contains("hunter2"));
    let l2 = json!({ "kind": "redis", "url": "redis://localhost", "password": "hunter2" });
    assert!(!format!("{:?}", parse(&l2)).contains("hunter2"));
    for url in
        ["redis://me:hunter2@far.away", "http://me:hunter2@localhost", "redis://me:hunter2@localhost/x"]
    {
        assert!(!refusal(&json!({ "kind": "redis", "url": url })).contains("hunter2"), "{url}");
    }
}

#[test]
fn members_that_do_not_go_together_are_refused_by_name() {
    let refusals = [
        (json!({ "kind": "redis" }), "/l2/url is required where /l2/kind is \"redis\";"),
        (
            json!({ "kind": "none", "url": "redis://localhost" }),
            "/l2/url has nothing to act on where /l2/kind is \"none\"",
        ),
        (
            json!({ "kind": "sqlite", "path": "a.db", "password": "p" }),
            "/l2/password has nothing to act on where /l2/kind is \"sqlite\"",
        ),
        (
            json!({ "kind": "redis", "url": "redis://localhost", "path": "a.db" }),
            "/l2/path has nothing to act on where /l2/kind is \"redis\"",
        ),
        (
            json!({ "kind": "redis", "url": "redis://localhost", "password": "a", "password_env": "B" }),
            "/l2/password and /l2/password_env say the same thing;",
        ),
        (
            json!({ "kind": "redis", "url": "redis://:p@localhost", "password": "a" }),
            "/l2/password and the user part of /l2/url say the same thing;",
        ),
        (
            json!({ "kind": "redis", "url": "redis://me@localhost" }),
            "/l2/url or /l2/username names a user without",
        ),
        (
            json!({ "kind": "redis", "url": "rediss://localhost", "client_cert_file": "c.pem" }),
            "/l2/client_cert_file is given without /l2/client_key_file;",
        ),
        (
            json!({ "kind": "redis", "url": "redis://localhost", "ca_file": "ca.pem" }),
            "/l2/ca_file has nothing to act on where /l2/url has no TLS;",
        ),
        (
            json!({ "kind": "redis", "url": "redis://cache.internal:7000/2" }),
            "/l2/url is redis://cache.internal:7000/2, a link to another machine in plain text;",
        ),
    ];
    for (l2, expected) in refusals {
        let refusal = refusal(&l2);
        assert!(refusal.starts_with(expected), "{refusal}");
    }
}

#[test]
fn plain_text_may_leave_the_machine_where_the_document_says_so() {
    redis(&json!({ "kind": "redis", "url": "redis://cache.internal", "allow_plaintext": true }));
    redis(&json!({ "kind": "redis", "url": "rediss://cache.internal" }));
    redis(&json!({ "kind": "redis", "url": "unix:///run/redis.sock" }));
}
