//! What the fuzzer once found, and what it begins with, through the same functions as in fuzz/.
//! `cargo test --features fuzz --test fuzz_regressions`.

#![cfg(feature = "fuzz")]

#[path = "../fuzz/src/lib.rs"]
mod targets;

use std::fs;
use std::path::Path;

/// Runs `target` on each file of `name` below fuzz/regressions.
fn replay(name: &str, target: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/regressions").join(name);
    let mut files: Vec<_> =
        fs::read_dir(&folder).expect("a folder").map(|file| file.expect("a file").path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{}: nothing to replay", folder.display());
    for file in files {
        println!("{}", file.display());
        target(&fs::read(&file).expect("its bytes"));
    }
}

#[test]
fn documents() {
    replay("document", targets::document::run);
}

#[test]
fn key_rings() {
    replay("key_ring", targets::key_ring::run);
}

#[test]
fn envelopes() {
    replay("envelope", targets::envelope::run);
}

#[test]
fn redis_hashes() {
    replay("redis_hash", targets::redis_hash::run);
}

#[test]
fn journal_files() {
    replay("journal_file", targets::journal_file::run);
}

#[test]
fn calls() {
    replay("abi", targets::abi::run);
}
