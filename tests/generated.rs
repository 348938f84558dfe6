//! What is committed is what `src/ffi` says. `BLESS=1 cargo test --test generated` rewrites it.

use std::collections::HashSet;
use std::path::Path;
use std::{env, fs};

#[test]
fn the_committed_header_and_bindings_are_those_of_src_ffi() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let bless = env::var_os("BLESS").is_some_and(|value| value == "1");
    for file in tokencache_generator::generate(root).unwrap() {
        let path = root.join(file.path);
        if bless {
            fs::write(&path, &file.text).unwrap();
        }
        let committed = fs::read_to_string(&path).unwrap_or_default();
        if let Some((number, line)) = first_difference(&committed, &file.text) {
            panic!("{}:{number} should be {line:?}. BLESS=1 rewrites the file.", file.path);
        }
    }
}

#[test]
fn the_generated_files_name_no_path_of_this_machine() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for file in tokencache_generator::generate(root).unwrap() {
        assert!(!file.text.contains(env!("CARGO_MANIFEST_DIR")), "{} is not reproducible.", file.path);
    }
}

#[test]
fn the_header_declares_nothing_twice() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let header = fs::read_to_string(root.join("include/tokencache.h")).unwrap();
    let mut seen = HashSet::new();
    for line in header.lines().filter(|line| line.contains(" tc_") && line.contains('(')) {
        assert!(line.starts_with("//") || line.starts_with(" *") || seen.insert(line), "{line} stands twice");
    }
    assert!(seen.len() > 20, "{seen:?}");
}

/// The number and the right text of the first line that differs.
fn first_difference(committed: &str, right: &str) -> Option<(usize, String)> {
    if committed == right {
        return None;
    }
    let same = committed.lines().zip(right.lines()).take_while(|(a, b)| a == b).count();
    Some((same + 1, right.lines().nth(same).unwrap_or("the end of the file").to_string()))
}
