//! The key ring of a running cache: changed on disk, half-written, replaced by a document, refused.

#[path = "support/crypto.rs"]
mod crypto;
#[path = "support/proxy.rs"]
mod proxy;
#[path = "support/sealed.rs"]
mod sealed;
#[path = "support/redis.rs"]
mod support;

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crypto::key_id;
use proxy::Proxy;
use sealed::heard::Heard;
use sealed::*;
use serde_json::{Value, json};
use support::cache::{merge, statistics};
use support::{Server, wait_until};
use tokencache::cache::{Answer, Cache};
use tokencache::error::{Error, Kind};

const ONE: &[(&str, u8)] = &[("active", 1)];

/// A ring in a file of its own.
struct File(tempfile::TempDir);

impl File {
    fn of(keys: &[(&str, u8)]) -> File {
        let file = File(tempfile::tempdir().expect("a folder"));
        file.replace(&ring(keys).to_string(), 0o600);
        file
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("ring.json")
    }

    /// As every careful writer does it: nobody sees half of it.
    fn replace(&self, text: &str, mode: u32) {
        let next = self.0.path().join("next");
        write(&next, text, mode);
        fs::rename(next, self.path()).expect("renamed");
    }

    /// As a careless writer does it, who was interrupted.
    fn write_half(&self, keys: &[(&str, u8)]) {
        let text = ring(keys).to_string();
        fs::write(self.path(), &text[..text.len() / 2]).expect("written");
    }

    fn members(&self, encryption: Value) -> Value {
        let mut members =
            json!({ "encryption": { "algorithm": "aes-256-gcm", "keyring_file": self.path() } });
        merge(&mut members["encryption"], encryption);
        members
    }

    fn open(&self, place: &dyn Place) -> Arc<Cache> {
        open_with(place, self.members(json!({})))
    }
}

fn write(path: &Path, text: &str, mode: u32) {
    fs::write(path, text).expect("written");
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("ours");
}

fn wait_for_active(cache: &Cache, number: u8) {
    let id = key_id(number).to_string();
    wait_until("the ring is taken", || encryption(cache)["active"] == id.as_str());
}

/// Under which key what lies in L2 was sealed.
fn sealed_under(place: &dyn Place, key: &str) -> Vec<u8> {
    place.bytes(&name(key)).expect("an entry")[8..24].to_vec()
}

fn refused_open(place: &dyn Place, members: Value) -> Error {
    let error = Cache::open(place.document(members).as_bytes()).err().expect("refused");
    assert_eq!(error.kind, Kind::InvalidConfig);
    error
}

#[test]
fn a_ring_file_that_changes_takes_effect_without_a_restart() {
    everywhere(|place| {
        let file = File::of(ONE);
        let cache = file.open(place);
        set(&open(place, &[("active", 2)], json!({})), "theirs", b"token");
        assert_eq!(refusal(cache.get(b"theirs")).0, "TC_SEAL_UNKNOWN_KEY");

        file.replace(&ring(&[("active", 1), ("retired", 2)]).to_string(), 0o600);
        wait_until("the staged key opens", || cache.get(b"theirs").is_ok());
        assert_eq!(entry(&cache, "theirs").flags(), 1);

        set(&cache, "ours", b"token");
        assert_eq!(sealed_under(place, "ours"), key_id(1).0);
        file.replace(&ring(&[("active", 2), ("retired", 1)]).to_string(), 0o600);
        wait_for_active(&cache, 2);
        // The ring is taken first, and then what was opened under the one before is opened again.
        wait_until("its key is the active one now", || entry(&cache, "theirs").flags() == 0);
        wait_until("it is opened again in L1 as well", || entry(&cache, "ours").flags() == 1);
        set(&cache, "ours", b"token");
        assert_eq!(sealed_under(place, "ours"), key_id(2).0);
    });
}

#[test]
fn a_key_that_is_revoked_on_disk_shuts_what_l1_had_already() {
    everywhere(|place| {
        let file = File::of(ONE);
        let cache = file.open(place);
        set(&cache, "k", b"token");
        assert_eq!(entry(&cache, "k").data(), b"token");
        file.replace(&ring(&[("active", 2), ("revoked", 1)]).to_string(), 0o600);
        wait_for_active(&cache, 2);
        wait_until("it is shut", || cache.get(b"k").is_err());
        assert_eq!(refusal(cache.get(b"k")).0, "TC_SEAL_REVOKED_KEY");
    });
}

/// Its answer is on the way when what may be read is another.
#[test]
fn a_read_under_way_leaves_nothing_in_an_l1_that_is_void() {
    let Some(mut server) = Server::start() else { return };
    let proxy = Proxy::before(server.port());
    let document = |accept_plaintext: bool| {
        let encryption = json!({
            "algorithm": "aes-256-gcm", "keyring": ring(ONE), "accept_plaintext": accept_plaintext,
        });
        support::document(
            &proxy.url(),
            json!({"encryption": encryption, "resilience": {"deadline_ms": 30_000}}),
        )
    };
    let cache = Cache::open(document(true).as_bytes()).expect("the cache opens");
    set(&cache, "k", b"token");
    cache.clear().expect("cleared");
    let reads = || server.ask::<String>("INFO commandstats").matches("cmdstat_hmget").count();
    server.ask::<()>("CONFIG RESETSTAT");
    proxy.delay(std::time::Duration::from_millis(400));
    let reader = std::thread::spawn({
        let cache = Arc::clone(&cache);
        move || entry(&cache, "k").data().to_vec()
    });
    wait_until("its answer is on the way", || reads() > 0);
    cache.configure(document(false).as_bytes()).expect("a document");
    assert_eq!(reader.join().expect("a read"), b"token");
    server.kill();
    wait_until("it is told that L2 is away", || cache.get(b"k").is_err());
}

#[test]
fn a_half_written_ring_keeps_the_old_one_and_says_so_until_it_is_repaired() {
    everywhere(|place| {
        let file = File::of(ONE);
        let cache = file.open(place);
        let heard = Heard::of(&cache);
        set(&cache, "k", b"token");
        assert_eq!(encryption(&cache)["ring_problem"], Value::Null);
        let after = &[("active", 2), ("retired", 1)];
        file.write_half(after);
        wait_until("somebody says so", || encryption(&cache)["ring_problem"] != Value::Null);
        let problem = encryption(&cache)["ring_problem"].as_str().expect("a sentence").to_owned();
        for words in [&file.path().display().to_string()[..], "was it still being written?", "in use stays."]
        {
            assert!(problem.contains(words), "{problem}");
        }
        assert!(heard.says(&["warn encryption: ", &problem]));
        cache.clear().expect("cleared");
        assert_eq!(entry(&cache, "k").data(), b"token");
        set(&cache, "k", b"token");
        assert_eq!(sealed_under(place, "k"), key_id(1).0);

        file.replace(&ring(after).to_string(), 0o600);
        wait_for_active(&cache, 2);
        assert_eq!(encryption(&cache)["ring_problem"], Value::Null);
        wait_until("it is told", || heard.says(&["The key ring has changed", &key_id(2).short()]));
        assert_eq!(entry(&cache, "k").data(), b"token");
    });
}

#[test]
fn a_ring_that_vanishes_or_that_others_could_write_is_not_taken() {
    let place = Sqlite::new();
    let file = File::of(ONE);
    let cache = file.open(&place);
    set(&cache, "k", b"token");
    let problem = || encryption(&cache)["ring_problem"].as_str().unwrap_or_default().to_owned();
    fs::remove_file(file.path()).expect("removed");
    wait_until("somebody says that it is gone", || problem().contains("cannot be read"));
    assert!(problem().starts_with("The key ring cannot be used. The file "), "{}", problem());
    file.replace(&ring(&[("active", 2)]).to_string(), 0o620);
    wait_until("somebody says who could write it", || problem().contains("can be written by its group"));
    assert_eq!(encryption(&cache)["active"], key_id(1).to_string().as_str());
    assert_eq!(entry(&cache, "k").data(), b"token");
    fs::set_permissions(file.path(), Permissions::from_mode(0o600)).expect("ours");
    wait_for_active(&cache, 2);
    assert_eq!(problem(), "");
}

#[test]
fn a_ring_that_is_written_over_with_its_length_and_its_time_takes_effect() {
    let place = Sqlite::new();
    let file = File::of(&[("active", 1), ("retired", 2)]);
    let cache = file.open(&place);
    wait_for_active(&cache, 1);
    let before = fs::metadata(file.path()).expect("there");
    fs::write(file.path(), ring(&[("retired", 1), ("active", 2)]).to_string()).expect("written");
    let written = fs::File::options().write(true).open(file.path()).expect("ours");
    written.set_modified(before.modified().expect("a time")).expect("set");
    assert_eq!(fs::metadata(file.path()).expect("there").len(), before.len());
    wait_for_active(&cache, 2);
}

#[test]
fn a_ring_that_grows_while_l2_is_away_leaves_what_l1_has() {
    let Some(mut server) = Server::start() else { return };
    let file = File::of(ONE);
    let cache = open_with(&server, {
        let mut members = file.members(json!({}));
        merge(&mut members, json!({ "resilience": { "deadline_ms": 300 } }));
        members
    });
    set(&cache, "k", b"token");
    let heard = Heard::of(&cache);
    server.kill();
    let rotation: [&[(&str, u8)]; 2] = [&[("active", 1), ("retired", 2)], &[("active", 2), ("retired", 1)]];
    for (turns, keys) in (1..).zip(rotation) {
        file.replace(&ring(keys).to_string(), 0o600);
        wait_until("the ring is taken", || heard.count("The key ring has changed") == turns);
        let answer = cache.answer(b"k").expect("what L1 has");
        assert!(matches!(&answer, Answer::Degraded(entry) if entry.data() == b"token"), "{keys:?}");
    }
    file.replace(&ring(&[("active", 2), ("revoked", 1)]).to_string(), 0o600);
    wait_until("the ring is taken", || heard.count("The key ring has changed") == 3);
    assert!(cache.answer(b"k").is_err(), "what it held under the key that is revoked is gone");
}

#[test]
fn a_ring_behind_a_link_that_is_moved_takes_effect() {
    // So does Kubernetes with the files of a secret: ring.json -> ..data/ring.json, and ..data is a link that moves.
    let place = Sqlite::new();
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    for (name, number) in [("first", 1), ("second", 2)] {
        fs::create_dir(at(name)).expect("made");
        write(&at(name).join("ring.json"), &ring(&[("active", number)]).to_string(), 0o600);
    }
    symlink("first", at("..data")).expect("linked");
    symlink("..data/ring.json", at("ring.json")).expect("linked");
    let members = json!({ "encryption": { "algorithm": "aes-256-gcm", "keyring_file": at("ring.json") } });
    let cache = open_with(&place, members);
    wait_for_active(&cache, 1);
    symlink("second", at("..next")).expect("linked");
    fs::rename(at("..next"), at("..data")).expect("moved");
    wait_for_active(&cache, 2);
}

#[test]
fn a_new_document_brings_a_new_ring() {
    everywhere(|place| {
        let cache = open_with(place, sealing(ONE, json!({})));
        set(&cache, "k", b"token");
        let next = sealing(&[("active", 2), ("retired", 1)], json!({}));
        cache.configure(place.document(next).as_bytes()).expect("accepted");
        assert_eq!(encryption(&cache)["active"], key_id(2).to_string().as_str());
        assert_eq!(entry(&cache, "k").flags(), 1, "what L1 had is told anew");
        set(&cache, "k", b"token");
        assert_eq!((sealed_under(place, "k"), entry(&cache, "k").flags()), (key_id(2).0.to_vec(), 0));

        let file = File::of(&[("active", 3), ("retired", 2)]);
        cache.configure(place.document(file.members(json!({}))).as_bytes()).expect("from a file now");
        assert_eq!(entry(&cache, "k").flags(), 1);
        file.replace(&ring(&[("active", 2), ("retired", 3)]).to_string(), 0o600);
        wait_for_active(&cache, 2);
    });
}

#[test]
fn a_document_with_a_ring_that_is_refused_changes_nothing_at_all() {
    everywhere(|place| {
        let file = File::of(ONE);
        let cache = open_with(place, {
            let mut members = file.members(json!({ "unreadable": "error" }));
            merge(&mut members, json!({ "l1": { "capacity_bytes": 10_000_000 } }));
            members
        });
        set(&cache, "k", b"token");
        place.put(&name("plain"), b"{}");
        let refused_rings = [
            json!({ "version": 1, "keys": [] }),
            json!({ "version": 2, "keys": ring(ONE)["keys"] }),
            ring(&[("active", 1), ("active", 2)]),
            ring(&[("retired", 1)]),
        ];
        for ring in refused_rings {
            let mut next = json!({ "l1": { "capacity_bytes": 20_000_000 }, "logging": { "level": "debug" } });
            let encryption_members = json!({ "algorithm": "aes-256-gcm", "keyring": ring, "accept_plaintext": true, "unreadable": "miss" });
            merge(&mut next, json!({ "encryption": encryption_members }));
            let error = cache.configure(place.document(next).as_bytes()).expect_err("refused");
            assert_eq!(error.kind, Kind::InvalidConfig);
            assert!(
                error.message.starts_with("The key ring at /encryption/keyring cannot be used"),
                "{error}"
            );
            assert_eq!(statistics(&cache)["l1"]["capacity_bytes"], 10_000_000);
            assert_eq!(encryption(&cache)["active"], key_id(1).to_string().as_str());
            assert_eq!(refusal(cache.get(b"plain")).0, "TC_SEAL_FOREIGN");
            assert_eq!(entry(&cache, "k").data(), b"token");
        }
        file.replace(&ring(&[("active", 2)]).to_string(), 0o600);
        wait_for_active(&cache, 2);
    });
}

#[test]
fn the_algorithm_of_a_running_cache_stays() {
    let place = Sqlite::new();
    let cache = open(&place, ONE, json!({}));
    let error = cache.configure(place.document(json!({})).as_bytes()).expect_err("refused");
    assert!(error.message.starts_with("/encryption/algorithm cannot change"), "{error}");
    set(&cache, "k", b"token");
    assert_eq!(sealed_under(&place, "k"), key_id(1).0);
}

#[test]
fn whoever_else_can_write_a_ring_is_refused_and_whoever_can_read_it_is_warned_of() {
    let place = Sqlite::new();
    let file = File::of(ONE);
    let at = |mode: u32| fs::set_permissions(file.path(), Permissions::from_mode(mode)).expect("ours");
    for mode in [0o620, 0o602, 0o666] {
        at(mode);
        let error = refused_open(&place, file.members(json!({})));
        let chmod = format!("chmod go-w {}.", file.path().display());
        assert!(
            error.message.contains(&format!("mode {mode:04o}")) && error.message.ends_with(&chmod),
            "{error}"
        );
    }
    for mode in [0o644, 0o640] {
        at(mode);
        let error = refused_open(&place, file.members(json!({ "strict_files": true })));
        assert!(error.message.contains("/encryption/strict_files is true"), "{error}");
        // A record of the opening goes to standard error; that of the same document applied again is heard here.
        let cache = file.open(&place);
        let heard = Heard::of(&cache);
        let document = place.document(file.members(json!({})));
        cache.configure(document.as_bytes()).expect("accepted");
        assert!(heard.says(&["warn encryption: ", "can be read by its group or by others", "chmod 600"]));
    }
    at(0o600);
    let cache = open_with(&place, file.members(json!({ "strict_files": true })));
    let heard = Heard::of(&cache);
    let document = place.document(file.members(json!({ "strict_files": true })));
    cache.configure(document.as_bytes()).expect("accepted");
    assert!(!heard.says(&["warn"]));
}

#[test]
fn accepting_plain_text_is_warned_of() {
    let place = Sqlite::new();
    let cache = open(&place, ONE, json!({}));
    let heard = Heard::of(&cache);
    let document = place.document(sealing(ONE, json!({ "accept_plaintext": true })));
    cache.configure(document.as_bytes()).expect("accepted");
    assert!(heard.says(&["warn encryption: /encryption/accept_plaintext is true", "inject entries"]));
}

#[test]
fn plain_entries_that_were_accepted_are_refused_when_the_migration_is_over() {
    everywhere(|place| {
        let cache = open_with(place, sealing(ONE, json!({ "accept_plaintext": true })));
        place.put(&name("k"), b"{}");
        assert_eq!(entry(&cache, "k").data(), b"{}");
        let document = place.document(sealing(ONE, json!({ "accept_plaintext": false })));
        cache.configure(document.as_bytes()).expect("accepted");
        assert_eq!(refusal(cache.get(b"k")).0, "TC_SEAL_FOREIGN");
    });
}
