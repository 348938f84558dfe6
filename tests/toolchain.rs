//! The oldest toolchain that is said to do is one that does.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const OLDEST: &str = env!("CARGO_PKG_RUST_VERSION");

fn numbers(version: &str) -> Vec<u32> {
    version.split('.').map(|part| part.parse().expect("a number")).collect()
}

#[test]
fn no_dependency_asks_for_a_newer_toolchain_than_the_readme_does() {
    let readme = fs::read_to_string(Path::new(ROOT).join("README.md")).expect("the README");
    assert!(readme.contains(&format!("a Rust toolchain ({OLDEST} or later")), "{OLDEST}");

    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--locked", "--offline", "--format-version", "1"]);
    cargo.args(["--filter-platform", "x86_64-unknown-linux-gnu"]).current_dir(ROOT);
    let said = cargo.output().expect("cargo");
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let metadata: Value = serde_json::from_slice(&said.stdout).expect("JSON");
    for package in metadata["packages"].as_array().expect("packages") {
        let Some(wanted) = package["rust_version"].as_str() else { continue };
        assert!(numbers(wanted) <= numbers(&format!("{OLDEST}.0")), "{} wants {wanted}", package["name"]);
    }
}
