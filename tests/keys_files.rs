//! What `tokencache keys` does to the files of rings: nothing is overwritten, half written or lost.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::process::Command;

#[path = "support/command.rs"]
mod support;
use support::{DONE, Desk, UNUSABLE, USAGE, lend, run};

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
