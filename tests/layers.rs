//! Imports point downwards only, and `unsafe` lives where it is allowed to.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What every room may use.
const GROUND: [&str; 8] = ["error", "clock", "timestamp", "regular", "log", "stats", "sync", "defect"];

/// Each room, and the rooms below it that it may use.
const ROOMS: [(&str, &[&str]); 22] = [
    // The command line, which is a crate of its own.
    ("bin", &["crypto", "config"]),
    ("ffi", &["cache", "resilience", "runtime", "l2", "entry"]),
    (
        "cache",
        &[
            "l1",
            "crypto",
            "epoch",
            "coherence",
            "journal",
            "resilience",
            "l2",
            "msal",
            "entry",
            "config",
            "runtime",
        ],
    ),
    ("coherence", &["epoch", "l2"]),
    ("journal", &["epoch", "l2", "entry", "config", "runtime"]),
    ("resilience", &["l2", "config", "runtime"]),
    ("l2", &["entry", "config", "runtime"]),
    ("l1", &["entry"]),
    ("crypto", &["entry"]),
    ("msal", &["entry"]),
    ("epoch", &[]),
    ("config", &[]),
    ("entry", &[]),
    ("runtime", &[]),
    ("stats", &[]),
    ("log", &[]),
    ("clock", &[]),
    ("timestamp", &[]),
    ("defect", &[]),
    ("regular", &[]),
    ("sync", &[]),
    ("error", &[]),
];

/// Where the word may stand.
const UNSAFE: [&str; 3] = ["src/ffi/", "src/entry/raw", "src/epoch/words.rs"];

#[test]
fn imports_point_downwards() {
    let mut wrong = Vec::new();
    for (file, text) in sources() {
        let room = room_of(&file);
        let allowed = ROOMS.iter().find(|(name, _)| *name == room).map(|(_, below)| *below);
        let allowed = allowed.unwrap_or_else(|| panic!("{room} is a room without a row in the table"));
        for used in rooms_used(&text) {
            let is_ground = GROUND.contains(&used.as_str()) && !GROUND.contains(&room.as_str());
            let is_ground = is_ground || (room == "stats" && used == "error");
            if used != room && !is_ground && !allowed.contains(&used.as_str()) {
                wrong.push(format!("{}: {room} may not use {used}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn unsafe_code_lives_in_its_rooms_alone() {
    for (file, text) in sources() {
        let name = file.to_string_lossy().into_owned();
        let may = UNSAFE.iter().any(|place| name.contains(place));
        // entry/mod.rs opens the door of its own room `raw`, and forbids the rest.
        let is_shut = text.contains("#![forbid(unsafe_code)]") || text.contains("#![deny(unsafe_code)]");
        assert!(may || is_shut || name.ends_with("src/lib.rs"), "{name} does not forbid unsafe code");
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        let has_unsafe = code.clone().any(|line| {
            let line = line.replace("unsafe_code", "").replace("unsafe_op_in_unsafe_fn", "");
            line.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "unsafe")
        });
        assert!(may || !has_unsafe, "{name} holds unsafe code");
    }
}

#[test]
fn no_file_holds_more_than_one_idea() {
    for (file, text) in sources() {
        let lines = text.lines().count();
        assert!(lines <= 400, "{} has {lines} lines", file.display());
    }
}

fn sources() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder of the project") {
            let path = entry.expect("an entry of it").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("a source file");
                found.push((path, text));
            }
        }
    }
    found.retain(|(path, _)| !path.ends_with("src/lib.rs"));
    found
}

fn room_of(file: &Path) -> String {
    let inside = file.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).expect("below src");
    let first = inside.components().next().expect("a name").as_os_str().to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

/// The rooms named after `crate::`, or after the name of the library, in `use` lines, lists of them, and paths.
fn rooms_used(text: &str) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    for rest in text.replace("tokencache::", "crate::").split("crate::").skip(1) {
        let names = match rest.strip_prefix('{') {
            Some(list) => list.split('}').next().unwrap_or("").split(',').collect(),
            None => vec![rest],
        };
        for name in names {
            let name: String =
                name.trim().chars().take_while(|c| c.is_ascii_lowercase() || c.is_ascii_digit()).collect();
            if ROOMS.iter().any(|(room, _)| *room == name) {
                used.insert(name);
            }
        }
    }
    used
}
