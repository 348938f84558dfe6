//! The header keeps the contract, every compiler takes it, and the library exports it and nothing else.

#[path = "support/library.rs"]
mod library;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use library::library;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

#[test]
fn the_header_keeps_every_value_size_offset_and_signature_of_the_contract() {
    compile_contract("tests/fixtures/contract");
    compile_contract("include");
}

#[test]
fn the_header_is_clean_in_old_and_new_c_and_cpp() {
    let languages =
        [("gcc", "c99", "c"), ("gcc", "c17", "c"), ("g++", "c++11", "c++"), ("g++", "c++20", "c++")];
    for (compiler, standard, language) in languages {
        // C has no other cast, and gcc says so.
        let casts: &[&str] = if language == "c++" { &["-Wold-style-cast"] } else { &[] };
        run(Command::new(compiler)
            .args(casts)
            .args([
                "-Wconversion",
                "-x",
                language,
                &format!("-std={standard}"),
                "-Wall",
                "-Wextra",
                "-pedantic",
                "-Werror",
            ])
            .args(["-fsyntax-only", "-Iinclude", "tests/c/header.c"]));
    }
}

#[test]
fn the_library_exports_the_functions_of_the_header_and_nothing_else() {
    let output = run(Command::new("nm").args(["-D", "--defined-only"]).arg(library()));
    let exported: BTreeSet<_> =
        output.lines().filter_map(|line| line.split_whitespace().nth(2)).map(str::to_string).collect();
    assert_eq!(exported, declared());
}

#[test]
fn the_soname_is_the_generation_of_the_abi() {
    let output = run(Command::new("readelf").arg("-d").arg(library()));
    assert!(output.contains("soname: [libtokencache.so.1]"), "{output}");
    assert!(output.contains("NODELETE"), "{output}");
}

/// Every name that the header follows with an opening parenthesis, callback types aside.
fn declared() -> BTreeSet<String> {
    let header = fs::read_to_string(Path::new(ROOT).join("include/tokencache.h")).unwrap();
    let code =
        header.lines().filter(|line| !line.starts_with([' ', '/', '#']) && !line.starts_with("typedef"));
    code.filter_map(|line| line.split_once('(')?.0.rsplit([' ', '*']).next().map(str::to_string)).collect()
}

fn compile_contract(include: &str) {
    let object = tempfile::tempdir().unwrap();
    run(Command::new("cc")
        .args(["-std=c11", "-Wall", "-Wextra", "-pedantic", "-Werror", "-I", include])
        .args(["-c", "tests/c/contract.c", "-o"])
        .arg(object.path().join("contract.o")));
}

fn run(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.current_dir(ROOT).output().unwrap();
    assert!(status.success(), "{command:?}\n{}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}
