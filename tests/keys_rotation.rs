//! `tokencache keys` through a rotation between two machines, with plain rings and with rings wrapped for certificates.

use std::fs;

#[path = "support/command.rs"]
mod support;
use support::{DONE, Desk, NO, PLACE, UNUSABLE, USAGE, certificate, openssl, renew};

/// Whether what `from` protects opens on `to`; both ways round is one line in each step of a rotation.
fn reads(desk: &Desk, from: &str, to: &str) -> bool {
    // Binary, and with what a text would lose.
    let value = b"\0token of user a\xFF\r\n";
    let sealed = desk.feed(&format!("protect {from} {PLACE}"), value);
    assert_eq!((sealed.code, sealed.bytes.len()), (DONE, value.len() + 128), "{}", sealed.errors);
    desk.opens(to, &sealed.bytes, value)
}

/// Sets when key `index` was made: days ago.
fn age(desk: &Desk, ring: &str, index: usize, days: i64) {
    let mut json = desk.ring(ring);
    let ms = tokencache::clock::unix_ms() - days * 86_400_000;
    json["keys"][index]["created"] = tokencache::timestamp::second(ms).into();
    fs::write(desk.path(ring), json.to_string()).expect("written");
}

#[test]
fn a_rotation_keeps_two_machines_reading_each_other_at_every_step() {
    let desk = Desk::new();
    let check = |code: i32, expected: &[&str]| {
        let ended = desk.keys("check a.json b.json");
        assert_eq!(ended.code, code, "{}{}", ended.text, ended.errors);
        for part in expected {
            assert!(ended.text.contains(part), "{part} is not in {}", ended.text);
        }
    };
    let yes = ["What a.json wrote, b.json can read: yes", "What b.json wrote, a.json can read: yes"];
    desk.done("generate -o a.json");
    desk.copy("a.json", "b.json");
    let old = desk.ids("a.json", "active").remove(0);
    check(DONE, &yes);
    let early = desk.feed(&format!("protect a.json {PLACE}"), b"early").bytes;

    let staged = desk.done("stage a.json");
    let new = desk.ids("a.json", "retired").remove(0);
    assert!(staged.contains(&new) && staged.contains(&format!("activate a.json {}", &new[..8])), "{staged}");
    check(DONE, &yes);
    check(DONE, &[&format!("The key {new} is staged in a.json and is not in b.json")]);
    assert!(reads(&desk, "a.json", "b.json") && reads(&desk, "b.json", "a.json"));
    desk.copy("a.json", "b.json");
    check(DONE, &yes);
    assert!(reads(&desk, "a.json", "b.json") && reads(&desk, "b.json", "a.json"));

    desk.done(&format!("activate a.json {}", &new[..4]));
    assert_eq!(
        (desk.ids("a.json", "active"), desk.ids("a.json", "retired")),
        (vec![new.clone()], vec![old.clone()])
    );
    check(DONE, &yes);
    assert!(reads(&desk, "a.json", "b.json") && reads(&desk, "b.json", "a.json"));
    desk.copy("a.json", "b.json");
    check(DONE, &yes);
    check(DONE, &[&format!("The key {old} is needed until"), "14 days after"]);
    assert!(desk.opens("b.json", &early, b"early"));

    assert!(desk.done(&format!("retire a.json {old}")).contains("already"));
    desk.done(&format!("revoke a.json {old}"));
    assert!(!desk.read("a.json").contains("\"retired\"") && desk.materials("a.json").len() == 1);
    check(NO, &["What a.json wrote, b.json can read: yes", "What b.json wrote, a.json can read: no", &old]);
    assert!(reads(&desk, "a.json", "b.json") && reads(&desk, "b.json", "a.json"));
    assert!(desk.opens("b.json", &early, b"early") && !desk.opens("a.json", &early, b"early"));
    desk.copy("a.json", "b.json");
    check(DONE, &yes);
    assert!(reads(&desk, "a.json", "b.json") && reads(&desk, "b.json", "a.json"));
    assert_eq!(desk.names(), ["a.json", "b.json"]);
}

#[test]
fn a_key_activated_too_early_is_found_and_rolled_back() {
    let desk = Desk::new();
    desk.done("generate -o a.json");
    desk.copy("a.json", "b.json");
    desk.done("stage a.json");
    let [old, new] = ["active", "retired"].map(|state| desk.ids("a.json", state).remove(0));
    desk.done(&format!("activate a.json {new}"));
    let ended = desk.keys("check a.json b.json");
    assert_eq!(ended.code, NO);
    for part in [
        "What a.json wrote, b.json can read: no",
        "What b.json wrote, a.json can read: yes",
        &format!("a.json seals under {new}, which is not in b.json. Copy a.json to b.json;"),
        &format!("activate a.json {}", &old[..8]),
    ] {
        assert!(ended.text.contains(part), "{part} is not in {}", ended.text);
    }
    assert!(!reads(&desk, "a.json", "b.json") && reads(&desk, "b.json", "a.json"));
    desk.done(&format!("activate a.json {}…", &old[..8]));
    assert_eq!(desk.keys("check a.json b.json").code, DONE);
    assert!(reads(&desk, "a.json", "b.json"));
}

#[test]
fn two_rings_that_never_met_cannot_read_each_other() {
    let desk = Desk::new();
    desk.done("generate --ring a.json");
    desk.done("generate -o b.json");
    let ended = desk.keys("check a.json b.json");
    assert_eq!((ended.code, ended.text.matches("can read: no").count()), (NO, 2), "{}", ended.text);
    assert!(ended.text.contains("Neither ring has all keys"), "{}", ended.text);
    assert!(!reads(&desk, "a.json", "b.json") && !reads(&desk, "b.json", "a.json"));
}

#[test]
fn an_old_key_is_needed_until_the_longest_lived_entry_has_ended() {
    let desk = Desk::new();
    desk.done("generate -o a.json");
    desk.done("stage a.json");
    let new = desk.ids("a.json", "retired").remove(0);
    desk.done(&format!("activate a.json {new}"));
    age(&desk, "a.json", 0, 90);
    age(&desk, "a.json", 1, 20);
    let text = desk.done("check a.json");
    assert!(text.contains("90 days") && text.contains("was needed until"), "{text}");
    assert!(desk.done("check a.json --longest-ttl 30").contains("is needed until"));
    let old = desk.ids("a.json", "retired").remove(0);
    desk.copy("a.json", "b.json");
    desk.done(&format!("revoke b.json {old}"));
    assert_eq!(desk.keys("check a.json b.json").code, DONE);
    assert_eq!(desk.keys("check b.json a.json --longest-ttl 30").code, NO);
}

#[test]
fn a_key_goes_on_being_needed_where_the_one_staged_after_it_was_revoked_and_never_sealed() {
    let desk = Desk::new();
    desk.done("generate -o a.json");
    desk.done("stage a.json");
    desk.done(&format!("revoke a.json {}", desk.ids("a.json", "retired")[0]));
    desk.done("stage a.json");
    desk.done(&format!("activate a.json {}", desk.ids("a.json", "retired")[0]));
    age(&desk, "a.json", 0, 40);
    age(&desk, "a.json", 1, 30);
    let text = desk.done("check a.json");
    assert!(text.contains("is needed until") && !text.contains("was needed until"), "{text}");
    desk.copy("a.json", "b.json");
    desk.done(&format!("revoke b.json {}", desk.ids("a.json", "retired")[0]));
    assert_eq!(desk.keys("check a.json b.json").code, NO);
}

#[test]
fn a_ring_wrapped_for_certificates_opens_for_their_owners_alone() {
    let desk = Desk::new();
    for (name, bits) in [("one", 2048), ("two", 4096), ("other", 2048)] {
        certificate(&desk, name, bits);
    }
    renew(&desk, "one", "renewed");
    openssl(&desk, "rsa -in two.key -pubout -out two.pub");
    desk.set_mode("two.pub", 0o644);
    desk.done("generate -o plain.json");
    desk.done("stage plain.json");
    let materials = desk.materials("plain.json");

    // The renewed certificate is the same recipient, so it is wrapped for once.
    desk.done("wrap plain.json --to one.pem --to renewed.pem --to two.pub -o ring.json");
    assert_eq!((desk.mode("ring.json"), desk.mode("plain.json")), (0o600, 0o600));
    let wraps = |ring: &str| desk.ring(ring)["keys"][0]["wrapped"].as_array().expect("wraps").len();
    assert_eq!((wraps("ring.json"), desk.materials("ring.json").len()), (2, 0));
    assert_eq!(desk.ids("ring.json", "active"), desk.ids("plain.json", "active"));
    let sealed = desk.feed(&format!("protect plain.json {PLACE}"), b"value").bytes;
    for key in ["one", "two"] {
        let opened = desk.feed(&format!("unprotect ring.json {PLACE} --unwrap-key {key}.key"), &sealed);
        assert_eq!((opened.code, opened.text.as_str()), (DONE, "value"), "{}", opened.errors);
        desk.done(&format!("check ring.json --unwrap-key {key}.key --unwrap-key other.key"));
    }
    assert!(desk.done("check ring.json").contains("--unwrap-key"));
    assert!(desk.done("check plain.json ring.json").contains("compared by their ids"));
    let ended = desk.keys("check ring.json --unwrap-key other.key");
    assert_eq!((ended.code, ended.text.matches("not opened").count()), (NO, 2), "{}", ended.text);
    for line in [
        "unprotect ring.json --prefix p --key k",
        "protect ring.json --prefix p --key k --unwrap-key other.key",
    ] {
        assert!(desk.refused(line, UNUSABLE).contains("--unwrap-key"));
    }
    let shown = desk.done("show ring.json --reveal-material --unwrap-key two.key");
    assert!(materials.iter().all(|material| shown.contains(material)), "it was asked for");
    assert!(desk.done("show ring.json --reveal-material").contains("wrapped; give --unwrap-key"));

    // A rotation in a wrapped ring never puts a key in the clear.
    assert!(desk.refused("stage ring.json", USAGE).contains("--to"));
    desk.done("stage ring.json --to one.pem --to two.pem");
    let newest = desk.ids("ring.json", "retired").remove(1);
    desk.done(&format!("activate ring.json {newest}"));
    assert!(desk.materials("ring.json").is_empty());

    // Wrapped anew: for whom is not named, it is shut.
    let before = desk.read("ring.json");
    assert!(desk.refused("wrap ring.json --to other.pem", UNUSABLE).contains("--unwrap-key"));
    assert_eq!(desk.read("ring.json"), before);
    desk.done("wrap ring.json --to other.pem --unwrap-key one.key");
    desk.done("check ring.json --unwrap-key other.key");
    assert_eq!(desk.keys("check ring.json --unwrap-key one.key").code, NO);
    desk.done("generate -o wrapped.json --to one.pem");
    assert!(desk.materials("wrapped.json").is_empty());

    for (line, expected) in [
        ("wrap plain.json", "--to"),
        ("wrap plain.json --to one.key", "PRIVATE KEY"),
        ("wrap plain.json --to none.pem", "none.pem cannot be read"),
        ("wrap plain.json --to one.pem -o ring.json", "is there already"),
    ] {
        let code = if line == "wrap plain.json" { USAGE } else { UNUSABLE };
        assert!(desk.refused(line, code).contains(expected), "{line}");
    }
    assert_eq!(desk.materials("plain.json"), materials);
}

#[test]
fn a_certificate_renewed_with_the_same_key_still_opens() {
    let desk = Desk::new();
    certificate(&desk, "old", 2048);
    renew(&desk, "old", "new");
    assert_ne!(desk.read("old.pem"), desk.read("new.pem"));
    desk.done("generate -o a.json --to old.pem");
    desk.done("generate -o b.json --to new.pem");
    let recipient = |ring: &str| desk.ring(ring)["keys"][0]["wrapped"][0]["to"].clone();
    assert_eq!(recipient("a.json"), recipient("b.json"));
    let sealed = desk.feed(&format!("protect a.json {PLACE} --unwrap-key old.key"), b"value").bytes;
    let opened = desk.feed(&format!("unprotect a.json {PLACE} --unwrap-key old.key"), &sealed);
    assert_eq!((opened.code, opened.text.as_str()), (DONE, "value"));
}
