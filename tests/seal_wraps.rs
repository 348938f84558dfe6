//! A ring whose keys are wrapped for certificates: the old one and the new one, a renewed one, one that is missing.

#[path = "support/certificates.rs"]
mod certificates;
#[path = "support/crypto.rs"]
mod crypto;
#[path = "support/sealed.rs"]
mod sealed;
#[path = "support/redis.rs"]
mod support;
#[path = "support/wrapping.rs"]
mod wrapping;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use certificates::Certificates;
use crypto::{key, key_id};
use sealed::heard::Heard;
use sealed::*;
use serde_json::{Value, json};
use support::wait_until;
use tokencache::cache::Cache;
use tokencache::error::{Error, Kind};
use wrapping::{certified, wraps};

/// Test key `number`, wrapped for the certificates `names`.
fn wrapped(certificates: &Certificates, state: &str, number: u8, names: &[&str]) -> Value {
    let wraps = wraps(certificates, &key(number), names);
    json!({ "id": key_id(number).to_string(), "state": state, "wrapped": wraps })
}

/// Members with a ring of `keys`, and the private keys `names` to unwrap them.
fn members(certificates: &Certificates, keys: &[Value], names: &[&str]) -> Value {
    let files: Vec<_> = names.iter().map(|name| certificates.key(name)).collect();
    json!({
        "l1": { "enabled": false },
        "encryption": {
            "algorithm": "aes-256-gcm",
            "keyring": { "version": 1, "keys": keys },
            "unwrap_key_files": files,
        },
    })
}

fn refused_open(place: &dyn Place, members: Value) -> Error {
    let error = Cache::open(place.document(members).as_bytes()).err().expect("refused");
    assert_eq!(error.kind, Kind::InvalidConfig);
    error
}

#[test]
fn a_key_that_is_wrapped_for_two_certificates_opens_with_either_private_key() {
    let Some(pki) = certified(&["old", "new"]) else { return };
    everywhere(|place| {
        let keys = [wrapped(&pki, "active", 1, &["old", "new"])];
        let machines = [["old"], ["new"]].map(|names| open_with(place, members(&pki, &keys, &names)));
        for (writer, reader) in [(0, 1), (1, 0)] {
            set(&machines[writer], "k", b"token");
            assert_eq!(entry(&machines[reader], "k").data(), b"token");
        }
        let plain = open(place, &[("active", 1)], json!({}));
        assert_eq!(entry(&plain, "k").data(), b"token", "wrapped or not, it is the same key");
    });
}

#[test]
fn old_entries_open_while_the_old_private_key_is_listed_beside_the_new_one() {
    let Some(pki) = certified(&["old", "new"]) else { return };
    everywhere(|place| {
        let before = [wrapped(&pki, "active", 1, &["old"])];
        set(&open_with(place, members(&pki, &before, &["old"])), "k", b"token");
        let after = [wrapped(&pki, "active", 2, &["new"]), wrapped(&pki, "retired", 1, &["old"])];
        for order in [["old", "new"], ["new", "old"]] {
            let read = entry(&open_with(place, members(&pki, &after, &order)), "k");
            assert_eq!((read.data(), read.flags()), (&b"token"[..], 1));
        }
    });
}

#[test]
fn a_missing_private_key_is_a_sentence_that_names_the_key_and_for_whom_it_is_wrapped() {
    let Some(pki) = certified(&["old", "new"]) else { return };
    everywhere(|place| {
        let before = [wrapped(&pki, "active", 1, &["old"])];
        set(&open_with(place, members(&pki, &before, &["old"])), "k", b"token");
        let retired = wrapped(&pki, "retired", 1, &["old"]);
        let recipient = retired["wrapped"][0]["to"].as_str().expect("a hash")[..8].to_owned();
        let after = [wrapped(&pki, "active", 2, &["new"]), retired];
        let cache = open_with(place, members(&pki, &after, &["new"]));
        let (status, message) = refusal(cache.get(b"k"));
        assert_eq!(status, "TC_SEAL_UNKNOWN_KEY");
        let parts = [&key_id(1).to_string()[..], "wrapped for private keys that are not here", &recipient];
        for words in
            parts.into_iter().chain(["/encryption/unwrap_key_files", "\"Keys differ between machines\""])
        {
            assert!(message.contains(words), "{message}");
        }
        assert_eq!(refused(&cache, status), 1);
        set(&cache, "mine", b"token");
        assert_eq!(entry(&cache, "mine").data(), b"token", "the rest goes on");

        let repaired = members(&pki, &after, &["new", "old"]);
        cache.configure(place.document(repaired).as_bytes()).expect("accepted");
        assert_eq!(entry(&cache, "k").data(), b"token");
    });
}

#[test]
fn a_renewed_certificate_of_the_same_key_opens_what_the_old_one_did() {
    let Some(pki) = certified(&["first"]) else { return };
    pki.renew("first", "renewed");
    let texts = ["first", "renewed"].map(|name| fs::read(pki.certificate(name)).expect("a certificate"));
    assert_ne!(texts[0], texts[1]);
    everywhere(|place| {
        let before = [wrapped(&pki, "active", 1, &["first"])];
        set(&open_with(place, members(&pki, &before, &["first"])), "k", b"token");
        let after = [wrapped(&pki, "active", 1, &["renewed"])];
        assert_eq!(before[0]["wrapped"][0]["to"], after[0]["wrapped"][0]["to"], "named by its key");
        assert_eq!(entry(&open_with(place, members(&pki, &after, &["first"])), "k").data(), b"token");
    });
}

#[test]
fn an_active_key_that_cannot_be_unwrapped_is_refused_at_open() {
    let Some(pki) = certified(&["old", "new"]) else { return };
    let place = Sqlite::new();
    let keys = [wrapped(&pki, "active", 1, &["old"])];
    let error = refused_open(&place, members(&pki, &keys, &["new"]));
    for words in
        [&key_id(1).to_string()[..], "private keys that are not here", "/encryption/unwrap_key_files"]
    {
        assert!(error.message.contains(words), "{error}");
    }
    let mut forged = keys[0].clone();
    forged["wrapped"][0]["to"] = wrapped(&pki, "active", 1, &["new"])["wrapped"][0]["to"].clone();
    let error = refused_open(&place, members(&pki, &[forged], &["new"]));
    assert!(error.message.contains("which is here and does not open it"), "{error}");
}

#[test]
fn a_private_key_that_is_put_into_its_file_later_takes_effect() {
    let Some(pki) = certified(&["old", "new"]) else { return };
    let place = Sqlite::new();
    set(&open(&place, &[("active", 1)], json!({})), "k", b"token");
    let later = pki.folder().join("later.key");
    let put = |name: &str| {
        let next = pki.folder().join("next");
        fs::copy(pki.key(name), &next).expect("copied");
        fs::set_permissions(&next, Permissions::from_mode(0o600)).expect("ours");
        fs::rename(next, &later).expect("renamed");
    };
    put("new");
    let keys = [wrapped(&pki, "active", 2, &["new"]), wrapped(&pki, "retired", 1, &["old"])];
    let cache = open_with(&place, members(&pki, &keys, &["new", "later"]));
    assert_eq!(refusal(cache.get(b"k")).0, "TC_SEAL_UNKNOWN_KEY");
    put("old");
    wait_until("the old key opens", || cache.get(b"k").is_ok());
    assert_eq!(entry(&cache, "k").data(), b"token");
}

#[test]
fn private_keys_are_looked_after_as_the_ring_is() {
    let Some(pki) = certified(&["new"]) else { return };
    let place = Sqlite::new();
    let keys = [wrapped(&pki, "active", 1, &["new"])];
    let at = |mode: u32| fs::set_permissions(pki.key("new"), Permissions::from_mode(mode)).expect("ours");
    let shown = pki.key("new").display().to_string();
    at(0o660);
    let error = refused_open(&place, members(&pki, &keys, &["new"]));
    assert!(error.message.contains(&shown) && error.message.contains("chmod go-w"), "{error}");
    at(0o640);
    let cache = open_with(&place, members(&pki, &keys, &["new"]));
    let heard = Heard::of(&cache);
    let document = place.document(members(&pki, &keys, &["new"]));
    cache.configure(document.as_bytes()).expect("accepted");
    assert!(heard.says(&["warn encryption: ", &shown, "can be read by its group"]));
    let mut strict = members(&pki, &keys, &["new"]);
    strict["encryption"]["strict_files"] = json!(true);
    let error = refused_open(&place, strict);
    assert!(error.message.contains(&shown) && error.message.contains("strict_files"), "{error}");
    fs::remove_file(pki.key("new")).expect("removed");
    let error = refused_open(&place, members(&pki, &keys, &["new"]));
    assert!(error.message.contains(&shown) && error.message.contains("cannot be read"), "{error}");
    assert!(
        error.message.starts_with("A private key of /encryption/unwrap_key_files cannot be used. "),
        "{error}"
    );
}
