//! `tokencache keys`, run as a person runs it: a rotation between two machines, wrapped rings, what is refused and how it
//! ends, and that no key is ever printed unasked.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::process::Command;

use tokencache::crypto::wrap::UnwrapKeys;
use tokencache::crypto::{self, Context, Ring, Stamp, TOMBSTONE};

#[path = "support/command.rs"]
mod support;
use support::{DONE, Desk, NO, UNUSABLE, USAGE, certificate, lend, openssl, renew, run};

const PLACE: &str = "--prefix orders: --key user-a";
const ALL: [&str; 10] =
    ["generate", "show", "check", "stage", "activate", "retire", "revoke", "wrap", "protect", "unprotect"];

/// Whether what `from` protects opens on `to`; both ways round is one line in each step of a rotation.
fn reads(desk: &Desk, from: &str, to: &str) -> bool {
    // Binary, and with what a text would lose.
    let value = b"\0token of user a\xFF\r\n";
    let sealed = desk.feed(&format!("protect {from} {PLACE}"), value);
    assert_eq!((sealed.code, sealed.bytes.len()), (DONE, value.len() + 128), "{}", sealed.errors);
    opens(desk, to, &sealed.bytes, value)
}

fn opens(desk: &Desk, ring: &str, envelope: &[u8], value: &[u8]) -> bool {
    let opened = desk.feed(&format!("unprotect {ring} {PLACE}"), envelope);
    if opened.code == DONE {
        assert_eq!(opened.bytes, value);
        return true;
    }
    assert_eq!((opened.code, opened.bytes.len()), (NO, 0), "{}", opened.errors);
    assert!(opened.errors.contains("TC_SEAL_"), "{}", opened.errors);
    false
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
    assert!(opens(&desk, "b.json", &early, b"early"));

    assert!(desk.done(&format!("retire a.json {old}")).contains("already"));
    desk.done(&format!("revoke a.json {old}"));
    assert!(!desk.read("a.json").contains("\"retired\"") && desk.materials("a.json").len() == 1);
    check(NO, &["What a.json wrote, b.json can read: yes", "What b.json wrote, a.json can read: no", &old]);
    assert!(reads(&desk, "a.json", "b.json") && reads(&desk, "b.json", "a.json"));
    assert!(opens(&desk, "b.json", &early, b"early") && !opens(&desk, "a.json", &early, b"early"));
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

#[test]
fn a_file_that_is_there_is_never_overwritten() {
    let desk = Desk::new();
    assert!(desk.done("generate").contains("tokencache-keyring.json"));
    assert_eq!(
        (desk.names(), desk.mode("tokencache-keyring.json")),
        (vec!["tokencache-keyring.json".into()], 0o600)
    );
    let before = desk.read("tokencache-keyring.json");
    for line in
        ["generate", "generate -o tokencache-keyring.json", "generate --ring ./tokencache-keyring.json"]
    {
        assert!(desk.refused(line, UNUSABLE).contains("is there already"));
    }
    assert_eq!(desk.read("tokencache-keyring.json"), before);
    std::os::unix::fs::symlink(desk.path("nowhere"), desk.path("link")).expect("a link");
    assert!(desk.refused("generate -o link", UNUSABLE).contains("is there already"));
    assert_eq!(desk.names(), ["link", "tokencache-keyring.json"]);
    assert!(desk.refused("generate -o none/ring.json", UNUSABLE).contains("nothing was changed"));
    desk.refused("generate -o x --ring y", USAGE);
}

#[test]
fn a_ring_keeps_its_order_its_owner_and_what_is_not_changed() {
    let desk = Desk::new();
    desk.done("generate -o a.json");
    for _ in 0..3 {
        desk.done("stage a.json");
    }
    // As another tool writes it: other order, no id, a link to the file.
    let mut ring = desk.ring("a.json");
    ring["keys"][1].as_object_mut().expect("a key").remove("id");
    ring["keys"][2].as_object_mut().expect("a key").remove("created");
    let old = serde_json::to_string_pretty(&ring).expect("JSON");
    fs::write(desk.path("a.json"), &old).expect("written");
    std::os::unix::fs::symlink("a.json", desk.path("link.json")).expect("a link");
    desk.set_mode("a.json", 0o640);
    let id = desk.ring("a.json")["keys"][3]["id"].as_str().expect("an id").to_owned();
    let ended = desk.keys(&format!("activate link.json {id}"));
    assert_eq!(ended.code, DONE);
    assert!(ended.errors.contains("was 0640 and is 0600 now"), "{}", ended.errors);
    assert!(desk.path("link.json").is_symlink());
    assert_eq!(desk.mode("a.json"), 0o600);
    ring["keys"][0]["state"] = "retired".into();
    ring["keys"][3]["state"] = "active".into();
    assert_eq!(desk.ring("a.json"), ring);
    assert_eq!(desk.names(), ["a.json", "link.json"]);
}

#[test]
fn several_who_change_a_ring_at_once_lose_no_key() {
    let desk = Desk::new();
    desk.done("generate -o ring.json");
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| (0..5).for_each(|_| drop(desk.done("stage ring.json"))));
        }
        // Whoever looks meanwhile sees a whole ring.
        scope.spawn(|| (0..30).for_each(|_| drop(desk.done("check ring.json"))));
    });
    assert_eq!((desk.ids("ring.json", "active").len(), desk.ids("ring.json", "retired").len()), (1, 30));
    assert_eq!(desk.names(), ["ring.json"]);
}

#[test]
fn two_active_keys_are_mended() {
    let desk = Desk::new();
    desk.done("generate -o a.json");
    desk.done("stage a.json");
    let whole = desk.read("a.json").replace("retired", "active");
    fs::write(desk.path("a.json"), &whole).expect("written");
    assert!(desk.refused("check a.json", UNUSABLE).contains("are both active"));
    assert!(desk.refused("stage a.json", UNUSABLE).contains("are both active"));
    assert_eq!(desk.read("a.json"), whole);
    let ids = desk.ids("a.json", "active");
    desk.done(&format!("retire a.json {}", ids[0]));
    assert_eq!(desk.ids("a.json", "active"), ids[1..]);
    desk.done("check a.json");
}

#[test]
fn what_cannot_be_written_leaves_everything_as_it_was() {
    let desk = Desk::new();
    desk.done("generate -o ring.json");
    let before = desk.read("ring.json");
    // The limit ends the write in its middle: with an error, and with the signal that kills.
    for (trap, code) in [("trap '' XFSZ; ", Some(UNUSABLE)), ("", None)] {
        let script = format!("{trap}ulimit -c 0; ulimit -f 0; exec \"$0\" keys stage ring.json");
        let mut shell = Command::new("sh");
        shell.args(["-c", &script, env!("CARGO_BIN_EXE_tokencache")]).current_dir(desk.path(""));
        let output = shell.output().expect("a shell");
        assert_eq!(output.status.code(), code, "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(desk.read("ring.json"), before);
        if code.is_some() {
            assert!(String::from_utf8_lossy(&output.stderr).contains("nothing was changed."));
            assert_eq!(desk.names(), ["ring.json"]);
        }
    }
    desk.done("check ring.json");
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let desk = Desk::new();
    desk.done("generate -o ring.json");
    let before = desk.read("ring.json");
    lend(env!("CARGO_BIN_EXE_tokencache").as_ref(), &desk.path("program"));
    let mut command = Command::new(desk.path("program"));
    // Root can write everywhere, so it is somebody else who tries.
    if fs::metadata(desk.path("")).expect("there").uid() == 0 {
        std::os::unix::fs::chown(desk.path("ring.json"), Some(65534), None).expect("root");
        command.uid(65534).gid(65534);
    }
    fs::set_permissions(desk.path(""), fs::Permissions::from_mode(0o555)).expect("ours");
    let ended = run(command.args(["keys", "stage"]).arg(desk.path("ring.json")), b"");
    fs::set_permissions(desk.path(""), fs::Permissions::from_mode(0o755)).expect("ours");
    assert_eq!(ended.code, UNUSABLE, "{}", ended.errors);
    assert!(ended.errors.contains("ring.json cannot be written (Permission denied"), "{}", ended.errors);
    assert_eq!(desk.read("ring.json"), before);
    assert_eq!(desk.names(), ["program", "ring.json"]);
}

#[test]
fn the_last_key_that_seals_is_kept_and_what_is_revoked_stays_so() {
    let desk = Desk::new();
    desk.done("generate -o a.json");
    desk.done("stage a.json");
    let [active, spare] = ["active", "retired"].map(|state| desk.ids("a.json", state).remove(0));
    for verb in ["retire", "revoke"] {
        assert!(
            desk.refused(&format!("{verb} a.json {active}"), UNUSABLE).contains("activate another first")
        );
    }
    assert!(desk.done(&format!("activate a.json {active}")).contains("already"));
    desk.done(&format!("revoke a.json {spare}"));
    for verb in ["activate", "retire"] {
        assert!(desk.refused(&format!("{verb} a.json {spare}"), UNUSABLE).contains("for good"));
    }
    assert!(
        desk.refused("activate a.json 0123456789abcdef0123456789abcdef", UNUSABLE).contains("has no key")
    );
    desk.refused("activate a.json xyz", USAGE);
    for _ in 0..17 {
        desk.done("stage a.json");
    }
    // Of 19 keys two begin alike.
    let ids: Vec<String> =
        ["active", "retired", "revoked"].iter().flat_map(|state| desk.ids("a.json", state)).collect();
    let alike = ids
        .iter()
        .find(|id| ids.iter().filter(|other| other[..1] == id[..1]).count() > 1)
        .expect("16 digits");
    assert!(desk.refused(&format!("activate a.json {}", &alike[..1]), UNUSABLE).contains("give more digits"));
}

#[test]
fn no_output_holds_a_key_unless_it_is_asked_for() {
    let desk = Desk::new();
    certificate(&desk, "one", 2048);
    desk.done("generate -o a.json");
    desk.done("stage a.json");
    let id = desk.ids("a.json", "retired").remove(0);
    let old = desk.ids("a.json", "active").remove(0);
    let materials = desk.materials("a.json");
    let mut said = String::new();
    for line in [
        "show a.json".into(),
        "check a.json".into(),
        "check a.json a.json".into(),
        "stage a.json".into(),
        format!("activate a.json {id}"),
        format!("protect a.json {PLACE}"),
        format!("unprotect a.json {PLACE}"),
        "wrap a.json --to one.pem -o w.json".into(),
        "show w.json --unwrap-key one.key".into(),
        "check w.json --unwrap-key one.key".into(),
        format!("retire a.json {old}"),
        format!("revoke a.json {old}"),
        // Keys at places where they do not belong.
        format!("activate a.json {}", materials[0]),
        format!("show a.json --reveal-material={}", materials[0]),
    ] {
        let ended = desk.keys(&line);
        said.push_str(&ended.text);
        said.push_str(&ended.errors);
    }
    // Broken at every place where a key stands.
    let whole = desk.read("a.json");
    for (from, to) in
        [("\"material\"", "\"matter\""), ("\"version\": 1", "\"version\": 2"), ("=\"", "\""), ("]", "")]
    {
        fs::write(desk.path("broken.json"), whole.replacen(from, to, 1)).expect("written");
        desk.set_mode("broken.json", 0o600);
        for line in ["show broken.json", "check broken.json", "stage broken.json"] {
            said.push_str(&desk.refused(line, UNUSABLE));
        }
    }
    assert!(said.contains(&id) && said.len() > 3000, "{said}");
    for material in &materials {
        assert!(!said.contains(&material[..12]), "a key was printed");
    }
    let shown = desk.keys("show a.json --reveal-material");
    assert!(shown.errors.contains("can open every entry"), "{}", shown.errors);
    assert!(shown.text.contains(&materials[1]) && !shown.text.contains(&materials[0]));
}

#[test]
fn who_else_can_read_or_write_a_ring_is_said() {
    let desk = Desk::new();
    desk.done("generate -o a.json");
    desk.set_mode("a.json", 0o644);
    let ended = desk.keys("check a.json");
    assert_eq!(ended.code, DONE);
    assert!(
        ended.text.contains("mode 0644") && ended.errors.contains("chmod 600 a.json"),
        "{}",
        ended.errors
    );
    desk.set_mode("a.json", 0o666);
    for line in ["check a.json", "show a.json", "stage a.json", "protect a.json --prefix p --key k"] {
        assert!(desk.refused(line, UNUSABLE).contains("chmod go-w a.json"));
    }
}

#[test]
fn why_an_envelope_stays_shut_is_told_apart() {
    let desk = Desk::new();
    desk.done("generate -o a.json");
    desk.done("generate -o b.json");
    let sealed = desk.feed(&format!("protect a.json {PLACE}"), b"value").bytes;
    let id = desk.ids("a.json", "active").remove(0);
    let mut damaged = sealed.clone();
    damaged[115] ^= 1;
    let with_newline = [&sealed[..], b"\n"].concat();
    let cases: [(&str, &[u8], &[&str]); 8] = [
        (PLACE, &with_newline, &["TC_SEAL_BROKEN", "did a tool add one"]),
        (PLACE, &damaged, &["TC_SEAL_BROKEN", &id]),
        (PLACE, &sealed[..60], &["TC_SEAL_BROKEN", "cut short"]),
        (PLACE, b"{\"AccessToken\": {}}", &["TC_SEAL_FOREIGN"]),
        (PLACE, b"", &["TC_SEAL_FOREIGN"]),
        ("--prefix orders: --key user-b", &sealed, &["TC_SEAL_WRONG_CONTEXT", &id]),
        ("--prefix carts: --key user-a", &sealed, &["TC_SEAL_WRONG_CONTEXT", &id]),
        ("--prefix=orders:user --key=-a", &sealed, &["TC_SEAL_WRONG_CONTEXT", &id]),
    ];
    for (place, envelope, expected) in cases {
        let ended = desk.feed(&format!("unprotect a.json {place}"), envelope);
        assert_eq!((ended.code, ended.bytes.len()), (NO, 0), "{place}");
        assert!(expected.iter().all(|part| ended.errors.contains(part)), "{}", ended.errors);
        assert!(!ended.errors.contains("user-b"), "{}", ended.errors);
    }
    let ended = desk.feed(&format!("unprotect b.json {PLACE}"), &sealed);
    assert!(ended.code == NO && ended.errors.contains("TC_SEAL_UNKNOWN_KEY") && ended.errors.contains(&id));
    desk.done("stage a.json");
    desk.done(&format!("activate a.json {}", desk.ids("a.json", "retired")[0]));
    let ended = desk.feed(&format!("unprotect a.json {PLACE}"), &sealed);
    assert_eq!((ended.code, ended.text.as_str()), (DONE, "value"));
    assert!(ended.errors.contains("under a retired key"), "{}", ended.errors);
    desk.done(&format!("revoke a.json {id}"));
    let ended = desk.feed(&format!("unprotect a.json {PLACE}"), &sealed);
    assert!(ended.code == NO && ended.errors.contains("TC_SEAL_REVOKED_KEY"), "{}", ended.errors);
}

#[test]
fn an_entry_that_ended_or_was_removed_has_no_value() {
    let desk = Desk::new();
    desk.done("generate -o a.json");
    let ring = Ring::parse(&desk.read("a.json"), "The ring", &UnwrapKeys::none()).expect("a ring");
    let now = tokencache::clock::unix_ms();
    let context = Context { namespace: b"orders:", name: b"user-a" };
    let written = Stamp { version: 1, created_at_ms: now - 7_200_000, ..Stamp::default() };
    for (stamp, expected) in [
        (Stamp { expires_at_ms: now - 3_600_000, ..written }, Some("ended")),
        (Stamp { flags: TOMBSTONE, ..written }, Some("removal")),
        (Stamp { expires_at_ms: now + 3_600_000, ..written }, None),
        (written, None),
    ] {
        let sealed = crypto::seal(&ring, &context, &stamp, b"value").expect("sealed");
        let ended = desk.feed(&format!("unprotect a.json {PLACE}"), &sealed);
        match expected {
            Some(word) => {
                assert_eq!((ended.code, ended.bytes.len()), (NO, 0));
                assert!(
                    ended.errors.contains("TC_NOT_FOUND") && ended.errors.contains(word),
                    "{}",
                    ended.errors
                );
            }
            None => assert_eq!((ended.code, ended.text.as_str()), (DONE, "value"), "{}", ended.errors),
        }
    }
}

#[test]
fn values_of_any_length_come_back_whole() {
    let desk = Desk::new();
    desk.done("generate -o a.json");
    for length in [0, 1, 65_535, 65_536, 65_537, 3_000_000] {
        let value: Vec<u8> = (0..length).map(|_| fastrand::u8(..)).collect();
        let sealed = desk.feed(&format!("protect a.json {PLACE}"), &value);
        assert!(opens(&desk, "a.json", &sealed.bytes, &value), "{length}");
    }
    let sealed =
        run(desk.command().args(["keys", "protect", "a.json", "--prefix", "", "--key", "k"]), b"value");
    let opened =
        run(desk.command().args(["keys", "unprotect", "a.json", "--prefix=", "--key=k"]), &sealed.bytes);
    assert_eq!((opened.code, opened.text.as_str()), (DONE, "value"));
}

#[test]
fn a_terminal_gets_colour_and_nothing_binary() {
    if Command::new("script").arg("--version").output().is_err() {
        println!("skipped: a terminal needs script (util-linux)");
        return;
    }
    let desk = Desk::new();
    desk.done("generate -o a.json");
    let terminal = |line: &str, name: &str| {
        let line = format!("{} keys {line}", env!("CARGO_BIN_EXE_tokencache"));
        let mut script = Command::new("script");
        script.args(["-qec", &line, "/dev/null"]).current_dir(desk.path("")).env_remove("NO_COLOR");
        run(script.env("TERM", "xterm").env(name, "1"), b"")
    };
    assert!(terminal("show a.json", "COLOUR").text.contains("\x1b[32mactive\x1b[0m"));
    assert!(!terminal("show a.json", "NO_COLOR").text.contains('\x1b'));
    assert!(!desk.done("show a.json").contains('\x1b'));

    let refused = terminal(&format!("protect a.json {PLACE} < /dev/null"), "COLOUR");
    assert!(refused.code == USAGE && refused.text.contains("--force") && !refused.text.contains("TKC"));
    let forced = terminal(&format!("protect a.json {PLACE} --force < /dev/null"), "COLOUR");
    assert!(forced.code == DONE && forced.text.contains("TKC"), "{}", forced.text);
    for (value, code) in [(&b"text\n"[..], DONE), (b"\x1b[2J", USAGE), (b"\xFF", USAGE)] {
        let sealed = desk.feed(&format!("protect a.json {PLACE}"), value).bytes;
        fs::write(desk.path("sealed"), sealed).expect("written");
        assert_eq!(terminal(&format!("unprotect a.json {PLACE} < sealed"), "COLOUR").code, code);
        assert_eq!(terminal(&format!("unprotect a.json {PLACE} --force < sealed"), "COLOUR").code, DONE);
    }
}

#[test]
fn help_teaches_and_every_command_has_its_own() {
    let desk = Desk::new();
    let main = run(desk.command().arg("--help"), b"");
    assert_eq!((main.code, main.errors.as_str()), (DONE, ""));
    for part in
        ["A rotation, in steps", "Exit codes:", "Protect on machine 1, unprotect on machine 2", "--version"]
    {
        assert!(main.text.contains(part), "{part}");
    }
    for command in ALL {
        assert!(main.text.contains(&format!("\n  {command} ")), "{command}");
        let help = desk.done(&format!("{command} --help"));
        assert!(help.starts_with(&format!("tokencache keys {command}")), "{help}");
        assert!(help.contains("\nExample") && help.contains("\nExit codes: 0 "), "{help}");
        assert_eq!(desk.done(&format!("{command} -h")), help);
    }
    for text in [desk.done("--help"), desk.done("help"), run(desk.command().arg("help"), b"").text] {
        assert_eq!(text, main.text);
    }
    let version = run(desk.command().arg("--version"), b"");
    assert_eq!((version.code, version.text), (DONE, format!("tokencache {}\n", env!("CARGO_PKG_VERSION"))));
    assert!(desk.names().is_empty());
}

#[test]
fn a_wrong_command_line_ends_with_2_and_says_where_to_look() {
    let desk = Desk::new();
    desk.done("generate -o a.json");
    let before = desk.read("a.json");
    for line in [
        "",
        "frobnicate",
        "--frob",
        "show",
        "show a.json a.json",
        "show a.json --force",
        "generate a.json",
        "stage a.json --to",
        "stage a.json --frob",
        "stage a.json --output b.json",
        "check a.json --longest-ttl soon",
        "check a.json --longest-ttl -1",
        "check a.json --longest-ttl 1 --longest-ttl 2",
        "check a.json a.json a.json",
        "activate a.json",
        "protect a.json --prefix p",
        "unprotect a.json --key k",
        "protect a.json --prefix p --prefix q --key k",
    ] {
        desk.refused(line, USAGE);
    }
    for arguments in [&[][..], &["frobnicate"], &["-x"], &["--frob=x"]] {
        let ended = run(desk.command().args(arguments), b"");
        assert!(ended.code == USAGE && ended.errors.contains("--help"), "{arguments:?}: {}", ended.errors);
    }
    assert_eq!(desk.read("a.json"), before);
    for line in ["show none", "check a.json none", "show ."] {
        desk.refused(line, UNUSABLE);
    }
}
