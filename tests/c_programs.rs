//! Programs in C and C++, as an application would write them, against the built library; then again under valgrind.

#[path = "support/library.rs"]
mod library;
#[path = "support/program.rs"]
mod program;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(120);
/// Of a program in which every instruction costs fifty.
const SLOW_DEADLINE: Duration = Duration::from_secs(300);

#[test]
fn entries() {
    passes("entries");
}

#[test]
fn options() {
    passes("options");
}

#[test]
fn versions() {
    passes("versions");
}

#[test]
fn merged() {
    passes("merged");
}

#[test]
fn asynchronous() {
    passes("asynchronous");
}

#[test]
fn callbacks() {
    passes("callbacks");
}

#[test]
fn lifecycle() {
    passes("lifecycle");
}

#[test]
fn no_thread() {
    passes("no_thread");
}

/// A test for each program below tests/cpp.
mod cpp {
    #[test]
    fn entries() {
        super::passes_in_cpp("entries", &[]);
    }

    #[test]
    fn versions() {
        super::passes_in_cpp("versions", &[]);
    }

    #[test]
    fn asynchronous() {
        super::passes_in_cpp("asynchronous", &[]);
    }

    #[test]
    fn callbacks() {
        super::passes_in_cpp("callbacks", &[]);
    }

    #[test]
    fn lifecycle() {
        super::passes_in_cpp("lifecycle", &[]);
    }

    #[test]
    fn expected() {
        super::passes_in_cpp("expected", &[]);
    }

    #[test]
    fn expected_without_exceptions() {
        super::passes_in_cpp("expected", &["-fno-exceptions", "-fno-rtti"]);
    }
}

#[test]
fn the_first_programs_say_hello() {
    let mut compilers = vec![(program::c(), "examples/c/hello.c")];
    if program::is_installed("c++") {
        compilers.push((program::cpp("c++", "c++17"), "examples/cpp/hello.cpp"));
    }
    for (mut compiler, source) in compilers {
        let folder = tempfile::tempdir().unwrap();
        let program = program::link(compiler.arg(Path::new(program::ROOT).join(source)), folder.path());
        let mut hello = Command::new(program);
        let ended = program::run_to_end(hello.current_dir(folder.path()), folder.path(), DEADLINE);
        assert!(ended.is_success(), "{source}: {}\n{}", ended.status, ended.errors);
        assert_eq!(ended.output, "alice: made-up-token, from L1\n", "{source}");
    }
}

#[test]
fn the_cpp_header_compiles_without_a_warning_in_each_standard() {
    for compiler in ["c++", "clang++"] {
        if !program::is_installed(compiler) {
            println!("skipped: {compiler} is not installed");
            continue;
        }
        for standard in ["c++17", "c++20", "c++2b"] {
            for source in ["tests/cpp/callbacks.cpp", "tests/cpp/expected.cpp", "examples/cpp/hello.cpp"] {
                let mut check = program::cpp(compiler, standard);
                check.arg("-fsyntax-only").arg(Path::new(program::ROOT).join(source));
                program::succeed(&mut check);
            }
        }
    }
}

fn passes(name: &str) {
    let folder = tempfile::tempdir().unwrap();
    let program = program::compile(&[&format!("{name}.c")], folder.path());
    runs_well(&program, folder.path());
}

fn passes_in_cpp(name: &str, flags: &[&str]) {
    if !program::is_installed("c++") {
        println!("skipped: c++ is not installed");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut compiler = program::cpp("c++", "c++17");
    compiler.args(flags).current_dir(Path::new(program::ROOT).join("tests/cpp"));
    compiler.args(["check.cpp", &format!("{name}.cpp")]);
    runs_well(&program::link(&mut compiler, folder.path()), folder.path());
}

/// On each tier, and under valgrind.
fn runs_well(program: &Path, folder: &Path) {
    for tier in ["l1", "sqlite"] {
        let own = |kind: &str| {
            let own = folder.join(format!("{tier}-{kind}"));
            fs::create_dir(&own).unwrap();
            own
        };
        run(Command::new(program), &own("plain"), tier, DEADLINE);
        if program::is_installed("valgrind") {
            let mut valgrind = Command::new("valgrind");
            valgrind.args([
                "-q",
                "--error-exitcode=9",
                "--leak-check=full",
                "--errors-for-leak-kinds=definite",
            ]);
            // Threads that poll would otherwise keep the one processor from those that they wait for.
            valgrind.args(["--show-leak-kinds=definite", "--fair-sched=try"]).arg(program);
            valgrind.env("TOKENCACHE_TEST_SLOW", "1");
            run(valgrind, &own("valgrind"), tier, SLOW_DEADLINE);
        }
    }
    if !program::is_installed("valgrind") {
        println!("skipped: valgrind is not installed");
    }
}

fn run(mut command: Command, folder: &Path, tier: &str, deadline: Duration) {
    if let Err(why) = program::run(command.arg(folder).arg(tier), folder, deadline) {
        panic!("{why}");
    }
}
