//! `tokencache keys`, run as a person runs it: what it prints, what it refuses and how it ends, and that no key is ever
//! printed unasked.

use std::fs;
use std::process::Command;

use tokencache::crypto::wrap::UnwrapKeys;
use tokencache::crypto::{self, Context, Ring, Stamp, TOMBSTONE};

#[path = "support/command.rs"]
mod support;
use support::{DONE, Desk, NO, PLACE, UNUSABLE, USAGE, certificate, run};

const ALL: [&str; 10] =
    ["generate", "show", "check", "stage", "activate", "retire", "revoke", "wrap", "protect", "unprotect"];

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
        assert!(desk.opens("a.json", &sealed.bytes, &value), "{length}");
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
