//! The encryption cases that people met, scene by scene, from C: who wrote, what happened in L2, who reads, and which
//! status and which words that gives. The scenes are data, which the Python package plays as well.

#[path = "support/certificates.rs"]
mod certificates;
#[path = "support/crypto.rs"]
mod crypto;
#[path = "support/library.rs"]
mod library;
#[path = "support/program.rs"]
mod program;
#[path = "support/sealed.rs"]
mod sealed;
#[path = "support/redis.rs"]
mod support;
#[path = "support/wrapping.rs"]
mod wrapping;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use certificates::Certificates;
use crypto::{base64, bytes};
use sealed::{Place, everywhere};
use serde_json::{Value, json};
use support::{GENEROUS, wait_until};
use tokencache::clock;

/// Everything that the scenes are played with.
struct Stage {
    script: Value,
    certificates: Certificates,
    folder: tempfile::TempDir,
    program: PathBuf,
}

#[test]
fn every_scene_ends_with_its_status_and_its_words_from_c() {
    let Some(certificates) = wrapping::certified(&["old", "new"]) else { return };
    certificates.renew("old", "renewed");
    let script = Path::new(program::ROOT).join("tests/fixtures/seal/scenes.json");
    let script: Value = serde_json::from_slice(&fs::read(script).expect("the scenes")).expect("JSON");
    let folder = tempfile::tempdir().expect("a folder");
    let mut compiler = program::c();
    compiler.arg(Path::new(program::ROOT).join("tests/c/seal_scenes.c"));
    let program = program::link(&mut compiler, folder.path());
    let stage = Stage { script, certificates, folder, program };
    let scenes = stage.script["scenes"].as_array().expect("scenes");
    assert_eq!(scenes.len(), 10);
    everywhere(|place| scenes.iter().for_each(|scene| stage.play(scene, place)));
}

impl Stage {
    fn play(&self, scene: &Value, place: &dyn Place) {
        // A prefix of its own keeps the peers of one scene out of the next.
        let prefix = format!("{}:{}", text(&scene["name"]).replace(' ', "-"), text(&self.script["prefix"]));
        let name = format!("{prefix}{}", text(&self.script["key"]));
        let written = self.document(&scene["write"], &prefix, place);
        let ttl_ms = scene["write"]["ttl_ms"].as_i64().unwrap_or(3_600_000);
        let mut end = 0;
        wait_until("L2 has what was written", || {
            self.run("set", &written, &[&ttl_ms.to_string()], scene);
            end = clock::unix_ms() + ttl_ms;
            self.meanwhile(&scene["meanwhile"], &prefix, &name, place)
        });
        if scene["write"]["ttl_ms"].is_i64() {
            wait_until("it is over", || clock::unix_ms() > end);
        }
        let said: Vec<String> = strings(&scene["says"]);
        let stats = strings(&scene["stats"]).into_iter().map(|words| format!("stats:{words}"));
        let expected: Vec<String> =
            [text(&scene["status"]).to_owned()].into_iter().chain(said).chain(stats).collect();
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        self.run("get", &self.document(&scene["read"], &prefix, place), &expected, scene);
    }

    /// Runs the program as one machine.
    fn run(&self, verb: &str, document: &str, more: &[&str], scene: &Value) {
        let mut command = Command::new(&self.program);
        command.args([verb, document, text(&self.script["key"]), text(&self.script["value"])]).args(more);
        let ended = program::run_to_end(&mut command, self.folder.path(), GENEROUS);
        assert!(ended.is_success(), "{}: {} {}", scene["name"], ended.status, ended.errors);
    }

    /// What happens in L2 in between; `false`: the entry was gone before it could.
    fn meanwhile(&self, act: &Value, prefix: &str, name: &str, place: &dyn Place) -> bool {
        let Some(stored) = place.bytes(name) else { return false };
        if let Some(length) = act["cut_to"].as_u64() {
            place.put(name, &stored[..usize::try_from(length).expect("short")]);
        }
        if let Some(payload) = act["put"].as_str() {
            place.put(name, &bytes(payload));
        }
        if let [at, byte] = act["set_byte"].as_array().map_or(&[][..], Vec::as_slice) {
            let mut altered = stored.clone();
            let at = usize::try_from(at.as_u64().expect("a place")).expect("short");
            altered[at] = u8::try_from(byte.as_u64().expect("a byte")).expect("a byte");
            place.put(name, &altered);
        }
        if let Some(other) = act["copy_to_prefix"].as_str() {
            place.put(&format!("{other}{}", text(&self.script["key"])), &stored);
        }
        if act["peer"].is_object() {
            let mut peer = act["peer"].clone();
            peer["written_at_ms"] = clock::unix_ms().into();
            let peers = json!({ "peers": [peer] }).to_string();
            place.put(&format!("{prefix}__tokencache:peers"), peers.as_bytes());
        }
        act["keep"] != true || place.keep(name)
    }

    /// The document of a machine; one that has no keys does not seal.
    fn document(&self, machine: &Value, prefix: &str, place: &dyn Place) -> String {
        let prefix = machine["key_prefix"].as_str().unwrap_or(prefix);
        let mut members = json!({ "l2": { "key_prefix": prefix } });
        if let Some(keys) = machine["keys"].as_array() {
            let keys: Vec<Value> = keys.iter().map(|key| self.key(key)).collect();
            members["encryption"] =
                json!({ "algorithm": "aes-256-gcm", "keyring": { "version": 1, "keys": keys } });
        }
        if machine["unwrap_with"].is_array() {
            let files = strings(&machine["unwrap_with"]);
            let files: Vec<PathBuf> = files.iter().map(|name| self.certificates.key(name)).collect();
            members["encryption"]["unwrap_key_files"] = json!(files);
        }
        place.document(members)
    }

    fn key(&self, key: &Value) -> Value {
        if !key["wrapped_for"].is_array() {
            return key.clone();
        }
        let material: [u8; 32] = bytes(text(&key["material"])).try_into().expect("32 bytes");
        assert_eq!(base64(&material), text(&key["material"]));
        let names = strings(&key["wrapped_for"]);
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let id = tokencache::crypto::Material::copy(&material).id().to_string();
        let wraps = wrapping::wraps(&self.certificates, &material, &names);
        json!({ "id": id, "state": key["state"], "wrapped": wraps })
    }
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().expect("a list").iter().map(|item| text(item).to_owned()).collect()
}
