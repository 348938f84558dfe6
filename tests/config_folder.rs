//! A process that goes to another folder after it has opened its cache, as every daemon does, goes on reading the files
//! that the document named. Alone in its file, because a process has one folder.

#[path = "support/crypto.rs"]
mod crypto;
#[path = "support/sealed.rs"]
mod sealed;
#[path = "support/redis.rs"]
mod support;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use crypto::key_id;
use sealed::{encryption, ring};
use serde_json::json;
use support::{Server, document, wait_until, written};
use tokencache::cache::{Cache, SetOptions};

#[test]
fn files_with_a_name_from_here_are_read_again_from_anywhere() {
    let Some(server) = Server::with(&["--requirepass", "one"]) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let write = |name: &str, text: &str| {
        fs::write(at("next"), text).expect("written");
        fs::set_permissions(at("next"), Permissions::from_mode(0o600)).expect("ours");
        fs::rename(at("next"), at(name)).expect("renamed");
    };
    write("ring.json", &ring(&[("active", 1)]).to_string());
    write("password", "one\n");
    let members = json!({
        "l2": { "password_file": "password" },
        "encryption": { "algorithm": "aes-256-gcm", "keyring_file": "./ring.json" },
    });
    std::env::set_current_dir(folder.path()).expect("there");
    let cache = Cache::open(document(&server.url(), members).as_bytes()).expect("the cache opens");
    cache.set(b"k", b"token", SetOptions::default()).expect("stored");
    std::env::set_current_dir("/").expect("there");

    write("ring.json", &ring(&[("active", 2), ("retired", 1)]).to_string());
    let id = key_id(2).to_string();
    wait_until("the ring is taken", || encryption(&cache)["active"] == id.as_str());

    write("password", "other\n");
    server.ask::<()>("CONFIG SET requirepass other");
    server.ask::<i64>("CLIENT KILL TYPE normal");
    wait_until("the link is made anew", || {
        written(cache.set(b"k", b"newer", SetOptions::default())) == "TC_OK"
    });
}
