//! The members of the document that are for the seal: where the key ring is, and what must not be left open.

use std::path::PathBuf;

use serde_json::{Value, json};
use tokencache::config::{Config, Encryption, Source, Unreadable};
use tokencache::error;

fn parse(encryption: &Value) -> error::Result<Config> {
    let l2 = json!({ "kind": "sqlite", "path": "tokens.db" });
    let document = json!({ "version": 1, "l2": l2, "encryption": encryption });
    Config::parse(document.to_string().as_bytes())
}

fn encryption(encryption: &Value) -> Encryption {
    parse(encryption).unwrap_or_else(|error| panic!("{encryption}: {error}")).encryption
}

fn refusal(encryption: &Value) -> String {
    let error = parse(encryption).expect_err(&encryption.to_string());
    assert_eq!(error.kind, error::Kind::InvalidConfig);
    error.message
}

#[test]
fn a_ring_stands_in_the_document_the_environment_or_a_file() {
    let ring = json!({ "version": 1, "keys": [{ "state": "active", "material": "c2VjcmV0+/==" }] });
    let inline = encryption(&json!({ "algorithm": "aes-256-gcm", "keyring": ring }));
    let text = inline.keyring.expect("a ring").read().expect("inline");
    assert_eq!(serde_json::from_str::<Value>(&text).expect("JSON"), ring);
    let named = encryption(&json!({ "algorithm": "aes-256-gcm", "keyring_env": "TC_RING" }));
    assert_eq!(named.keyring, Some(Source::Environment("TC_RING".into())));
    let filed = encryption(&json!({ "algorithm": "aes-256-gcm", "keyring_file": "/run/ring.json" }));
    assert_eq!(filed.keyring, Some(Source::File("/run/ring.json".into())));
}

#[test]
fn what_the_document_does_not_say_is_the_safe_choice() {
    let quiet = encryption(&json!({ "algorithm": "aes-256-gcm", "keyring_file": "r" }));
    assert!(!quiet.accept_plaintext && !quiet.strict_files && quiet.unwrap_key_files.is_empty());
    assert_eq!(quiet.unreadable, Unreadable::Error);
    assert_eq!(encryption(&json!({ "algorithm": "none" })).keyring, None);
}

#[test]
fn what_the_document_says_is_what_the_configuration_holds() {
    let said = encryption(&json!({
        "algorithm": "aes-256-gcm", "keyring_file": "r", "unwrap_key_files": ["/new.pem", "/old.pem"],
        "accept_plaintext": true, "strict_files": true, "unreadable": "miss"
    }));
    assert!(said.accept_plaintext && said.strict_files);
    assert_eq!(said.unwrap_key_files, [PathBuf::from("/new.pem"), PathBuf::from("/old.pem")]);
    assert_eq!(said.unreadable, Unreadable::Miss);
}

#[test]
fn members_that_do_not_go_together_are_refused_by_name() {
    let refusals = [
        (
            json!({ "algorithm": "aes-256-gcm" }),
            "/encryption/algorithm is \"aes-256-gcm\" without a key ring;",
        ),
        (
            json!({ "algorithm": "aes-256-gcm", "keyring": {}, "keyring_file": "r" }),
            "/encryption/keyring and /encryption/keyring_file say the same thing;",
        ),
        (
            json!({ "algorithm": "none", "keyring_file": "r" }),
            "/encryption/keyring_file has nothing to act on where /encryption/algorithm is \"none\";",
        ),
        (
            json!({ "algorithm": "none", "accept_plaintext": true }),
            "/encryption/accept_plaintext has nothing to act on where /encryption/algorithm is \"none\";",
        ),
        (json!({ "keyring_file": "r" }), "/encryption/algorithm is required with an L2;"),
        (
            json!({ "algorithm": "aes-256-gcn" }),
            "/encryption/algorithm is \"aes-256-gcn\"; it must be \"aes-256-gcm\"",
        ),
        (
            json!({ "algorithm": "aes-256-gcm", "keyring_file": "r", "unwrap_key_files": "a.pem" }),
            "/encryption/unwrap_key_files is a text of 5 bytes; it must be a list of names of files",
        ),
        (
            json!({ "algorithm": "aes-256-gcm", "keyring_file": "r", "unwrap_key_files": ["a.pem", ""] }),
            "/encryption/unwrap_key_files is a list; it must be a list of names of files, one at least.",
        ),
        (
            json!({ "algorithm": "aes-256-gcm", "keyring": "ring.json" }),
            "/encryption/keyring is a text of 9 bytes; it must be an object.",
        ),
    ];
    for (encryption, expected) in refusals {
        let refusal = refusal(&encryption);
        assert!(refusal.starts_with(expected), "{refusal}");
    }
}

#[test]
fn a_ring_may_be_there_without_an_l2() {
    let encryption = json!({ "algorithm": "aes-256-gcm", "keyring_file": "r" });
    let document = |encryption| json!({ "version": 1, "encryption": encryption }).to_string();
    assert!(Config::parse(document(encryption).as_bytes()).is_ok());
    let refused = Config::parse(document(json!({ "keyring_file": "r" })).as_bytes()).expect_err("refused");
    assert!(
        refused.message.starts_with("/encryption/keyring_file has nothing to act on without"),
        "{refused}"
    );
}

#[test]
fn the_algorithm_cannot_change_while_the_ring_can() {
    let sealed =
        |ring: &str| parse(&json!({ "algorithm": "aes-256-gcm", "keyring_file": ring })).expect("accepted");
    assert_eq!(sealed("a").check_change(&sealed("b")), Ok(()));
    let plain = parse(&json!({ "algorithm": "none" })).expect("accepted");
    let error = sealed("a").check_change(&plain).expect_err("refused");
    assert!(error.message.starts_with("/encryption/algorithm cannot change"), "{error}");
}

#[test]
fn a_ring_in_the_document_does_not_show() {
    let ring = json!({ "version": 1, "keys": [{ "state": "active", "material": "aHVudGVyMg==" }] });
    let config = parse(&json!({ "algorithm": "aes-256-gcm", "keyring": ring })).expect("accepted");
    assert!(!format!("{config:?}").contains("aHVudGVyMg"));
    let refused = refusal(&json!({ "algorithm": "none", "keyring": ring }));
    assert!(!refused.contains("aHVudGVyMg"), "{refused}");
}
