//! Tokencache against a second implementation of its seal, `tests/crypto/independent.py`, both ways.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::{Value, json};
use tokencache::crypto::wrap::{UnwrapKeys, Wrapper};
use tokencache::crypto::{self, Context, Material, Ring, Stamp, TOMBSTONE};
use tokencache::error::Kind;

#[path = "support/crypto.rs"]
mod support;
use support::{HERE, STAMP, base64, bytes, key, key_id, opened, refusal, ring, seal};

/// A Python that has `cryptography`: the one of this machine, or one in a virtual environment made below the build.
fn python() -> Option<&'static Path> {
    static PYTHON: OnceLock<Option<PathBuf>> = OnceLock::new();
    let has_it = |python: &Path| {
        let probe = Command::new(python).args(["-c", "import cryptography"]).stderr(Stdio::null()).status();
        probe.is_ok_and(|status| status.success())
    };
    let find = || {
        let ours = PathBuf::from("python3");
        if has_it(&ours) {
            return Some(ours);
        }
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python");
        let inside = folder.join("bin/python3");
        if !has_it(&inside) {
            let quiet = |command: &mut Command| {
                command
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .status()
                    .is_ok_and(|status| status.success())
            };
            quiet(Command::new("python3").args(["-m", "venv"]).arg(&folder));
            quiet(Command::new(&inside).args(["-m", "pip", "install", "--quiet", "cryptography"]));
        }
        has_it(&inside).then_some(inside)
    };
    let python = PYTHON.get_or_init(find).as_deref();
    if python.is_none() {
        println!("skipped: the second implementation of the seal needs Python with the package cryptography");
    }
    python
}

/// What the other one answers to `requests`.
fn ask(python: &Path, requests: &[Value]) -> Vec<Value> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/crypto/independent.py");
    let mut child = Command::new(python)
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python starts");
    let input = serde_json::to_vec(requests).expect("JSON");
    child.stdin.take().expect("piped").write_all(&input).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "independent.py failed; its words are above");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn stamps() -> [Stamp; 3] {
    [
        Stamp::default(),
        Stamp { flags: TOMBSTONE, ..STAMP },
        Stamp { version: u64::MAX, created_at_ms: i64::MAX, expires_at_ms: i64::MAX, flags: 0 },
    ]
}

const PLACES: [Context<'static>; 3] =
    [HERE, Context { namespace: b"", name: b"\x00\xFF" }, Context { namespace: b"orders:user-a", name: b"" }];

#[test]
fn the_other_one_opens_what_is_sealed_here() {
    let Some(python) = python() else { return };
    let ring = ring(&[("active", 1)]);
    let mut wanted = Vec::new();
    let mut requests = Vec::new();
    for (context, stamp) in PLACES.iter().zip(stamps()) {
        for length in [0, 1, 2000, 7000] {
            let value: Vec<u8> = (0..length).map(|_| fastrand::u8(..)).collect();
            let envelope = crypto::seal(&ring, context, &stamp, &value).expect("memory");
            requests.push(json!({
                "do": "open", "key": base64(&key(1)), "envelope": base64(&envelope),
                "namespace": base64(context.namespace), "name": base64(context.name),
            }));
            wanted.push(json!({
                "value": base64(&value), "flags": stamp.flags, "version": stamp.version,
                "created_at_ms": stamp.created_at_ms, "expires_at_ms": stamp.expires_at_ms,
            }));
        }
    }
    assert_eq!(ask(python, &requests), wanted);
}

#[test]
fn what_the_other_one_seals_opens_here() {
    let Some(python) = python() else { return };
    let ring = ring(&[("active", 2), ("retired", 1)]);
    for (context, stamp) in PLACES.iter().zip(stamps()) {
        let values: Vec<Vec<u8>> =
            [0, 1, 2000, 7000].map(|length| (0..length).map(|_| fastrand::u8(..)).collect()).into();
        let salt: [u8; 32] = std::array::from_fn(|_| fastrand::u8(..));
        let requests: Vec<Value> = values
            .iter()
            .map(|value| {
                json!({
                    "do": "seal", "key": base64(&key(1)), "salt": base64(&salt), "value": base64(value),
                    "namespace": base64(context.namespace), "name": base64(context.name), "flags": stamp.flags,
                    "version": stamp.version, "created_at_ms": stamp.created_at_ms,
                    "expires_at_ms": stamp.expires_at_ms,
                })
            })
            .collect();
        for (answer, value) in ask(python, &requests).iter().zip(&values) {
            let envelope = bytes(answer["envelope"].as_str().expect("a text"));
            let opened = crypto::open(&ring, context, &envelope).unwrap_or_else(|why| panic!("{why}"));
            assert_eq!((&opened.bytes[..], opened.stamp, opened.is_retired), (&value[..], stamp, true));
            let same = support::ring(&[("active", 1)]);
            let ours = crypto::seal_with_salt(&same, context, &stamp, value, &salt).expect("memory");
            assert_eq!(ours, envelope, "both make the same bytes of the same salt");
        }
    }
}

#[test]
fn the_other_one_agrees_with_the_committed_vectors() {
    let Some(python) = python() else { return };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/tkc1.json");
    let vectors: Value = serde_json::from_slice(&std::fs::read(path).expect("committed")).expect("JSON");
    let entries = vectors["entries"].as_array().expect("a list");
    let request = |entry: &Value, action: &str| {
        let mut request = entry.clone();
        request["key"] = vectors["key"].clone();
        request["do"] = action.into();
        request
    };
    let requests: Vec<Value> =
        entries.iter().flat_map(|entry| [request(entry, "seal"), request(entry, "open")]).collect();
    let answers = ask(python, &requests);
    for (entry, answers) in entries.iter().zip(answers.chunks(2)) {
        assert_eq!(answers[0]["envelope"], entry["envelope"]);
        for name in ["value", "version", "created_at_ms", "expires_at_ms", "flags"] {
            assert_eq!(answers[1][name], entry[name]);
        }
    }
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

fn wrapped(state: &str, number: u8, wraps: &[(String, String)]) -> String {
    let wraps: Vec<Value> = wraps
        .iter()
        .map(|(to, data)| json!({ "to": to, "algorithm": "rsa-oaep-sha256", "data": data }))
        .collect();
    json!({ "id": key_id(number).to_string(), "state": state, "wrapped": wraps }).to_string()
}

fn load(keys: &[String], unwrap: &UnwrapKeys) -> tokencache::error::Result<Ring> {
    let ring = format!(r#"{{"version": 1, "keys": [{}]}}"#, keys.join(", "));
    Ring::parse(&ring, "The key ring", unwrap)
}

fn holder(pems: &[&Value]) -> UnwrapKeys {
    let mut keys = UnwrapKeys::none();
    for pem in pems {
        keys.add_pem(text(pem), "The file key.pem").expect("a private key");
    }
    keys
}

#[test]
fn a_key_is_wrapped_and_unwrapped_both_ways_for_any_of_several_certificates() {
    let Some(python) = python() else { return };
    let make = |bits: u32| json!({ "do": "private_key", "bits": bits });
    let made = ask(python, &[make(2048), make(3072)]);
    let [first, second] = &made[..] else { panic!("two keys") };
    let sealed = seal(&ring(&[("active", 1)]), b"token");

    // Theirs to ours, for two recipients: each of them opens it, in either form of its file.
    let wraps: Vec<Value> = made
        .iter()
        .map(|it| json!({ "do": "wrap", "key": base64(&key(1)), "certificate": it["certificates"][0] }))
        .collect();
    let wraps: Vec<(String, String)> = ask(python, &wraps)
        .iter()
        .map(|it| (text(&it["to"]).to_owned(), text(&it["data"]).to_owned()))
        .collect();
    let active = [wrapped("active", 1, &wraps)];
    for file in [&first["pkcs8"], &first["pkcs1"], &second["pkcs8"], &second["pkcs1"]] {
        let ring = load(&active, &holder(&[file])).expect("a ring");
        assert_eq!(&opened(&ring, &sealed).bytes[..], b"token");
    }

    // Ours to theirs, for a certificate, its renewal, and the bare public key: one recipient, and it opens each.
    for pem in [&first["certificates"][0], &first["certificates"][1], &first["public"]] {
        let wrapper = Wrapper::from_pem(text(pem), "The file c.pem").expect("a public key");
        assert_eq!(wrapper.to().to_string(), text(&first["recipient"]));
        let data = wrapper.wrap(&Material::copy(&key(1))).expect("wrapped").data();
        let answer = ask(python, &[json!({ "do": "unwrap", "pem": first["pkcs8"], "data": data })]);
        assert_eq!(bytes(text(&answer[0]["key"])), key(1));
        let renewed = [wrapped("active", 1, &[(wrapper.to().to_string(), data)])];
        assert!(load(&renewed, &holder(&[&second["pkcs8"], &first["pkcs8"]])).is_ok());
    }
}

#[test]
fn a_key_whose_certificate_is_missing_is_known_and_says_which() {
    let Some(python) = python() else { return };
    let made = ask(python, &[json!({ "do": "private_key", "bits": 2048 })]);
    let wrapper = Wrapper::from_pem(text(&made[0]["public"]), "c.pem").expect("a public key");
    let data = wrapper.wrap(&Material::copy(&key(1))).expect("wrapped").data();
    let wraps = [(wrapper.to().to_string(), data.clone())];

    let active = support::member("active", 2);
    let ring = load(&[active.clone(), wrapped("retired", 1, &wraps)], &UnwrapKeys::none()).expect("a ring");
    let refused = refusal(&ring, &seal(&support::ring(&[("active", 1)]), b"token"));
    assert_eq!(refused.kind(), Kind::SealUnknownKey);
    let sentence = refused.to_string();
    for part in [&key_id(1).to_string(), &wrapper.to().short(), "/encryption/unwrap_key_files"] {
        assert!(sentence.contains(part), "{sentence}");
    }

    let refused = load(&[wrapped("active", 1, &wraps)], &UnwrapKeys::none()).err().expect("refused").message;
    assert!(refused.contains("the active key") && refused.contains(&wrapper.to().short()), "{refused}");

    let other = wrapper.wrap(&Material::copy(&key(3))).expect("wrapped").data();
    let keys = holder(&[&made[0]["pkcs8"]]);
    let swapped = [active.clone(), wrapped("retired", 1, &[(wrapper.to().to_string(), other)])];
    let refused = load(&swapped, &keys).err().expect("refused").message;
    assert!(refused.contains("does not match its key"), "{refused}");

    let mut damaged = bytes(&data);
    damaged[7] ^= 1;
    let damaged = [active, wrapped("retired", 1, &[(wrapper.to().to_string(), base64(&damaged))])];
    let refused = load(&damaged, &keys).err().expect("refused").message;
    assert!(refused.contains("/keys/1/wrapped/0") && refused.contains("does not open it"), "{refused}");
}

#[test]
fn what_does_not_wrap_is_named_by_its_file_and_what_it_holds() {
    let Some(python) = python() else { return };
    let other = |kind: &str| json!({ "do": "other_key", "kind": kind });
    let made = |bits: u32| json!({ "do": "private_key", "bits": bits });
    let answers = ask(python, &[other("curve"), other("passphrase"), made(1024), made(6144), made(2048)]);
    let [curve, locked, short, long, good] = &answers[..] else { panic!("five keys") };
    let private = |pem: &Value| {
        let refused = UnwrapKeys::none().add_pem(text(pem), "The file old.pem").expect_err("refused");
        assert_eq!(refused.kind, Kind::InvalidConfig);
        refused.message
    };
    let public =
        |pem: &Value| Wrapper::from_pem(text(pem), "The file old.pem").err().expect("refused").message;
    let cases = [
        (private(&curve["pkcs8"]), "no RSA key of 2048 to 4096 bits"),
        (private(&locked["pkcs8"]), "encrypted by a passphrase"),
        (private(&short["pkcs8"]), "2048 to 4096"),
        (private(&long["pkcs8"]), "2048 to 4096"),
        (private(&good["public"]), "begins with \"PUBLIC KEY\""),
        (private(&good["certificates"][0]), "begins with \"CERTIFICATE\""),
        (public(&curve["public"]), "no RSA key of 2048 to 4096 bits"),
        (public(&short["public"]), "2048 to 4096"),
        (public(&long["public"]), "2048 to 4096"),
        (public(&good["pkcs8"]), "holds \"PRIVATE KEY\"; give a certificate or a public key"),
    ];
    for (sentence, expected) in cases {
        assert!(sentence.starts_with("The file old.pem ") && sentence.contains(expected), "{sentence}");
        assert!(sentence.ends_with('.') && !sentence.ends_with(".."), "{sentence}");
    }
}
