//! Programs in C and C++ against the library, and child processes with a deadline.

#![allow(dead_code)]

use std::env;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::library::library;

/// Of the project.
pub const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Compiles `sources`, names below tests/c, into `folder`.
pub fn compile(sources: &[&str], folder: &Path) -> PathBuf {
    let mut compiler = c();
    compiler.current_dir(Path::new(ROOT).join("tests/c")).args(["-I.", "check.c"]).args(sources);
    link(&mut compiler, folder)
}

/// A C compiler; what it compiles is to be added.
pub fn c() -> Command {
    let mut compiler = Command::new("cc");
    compiler.args(["-std=c11", "-D_GNU_SOURCE", "-g", "-O1", "-Wall", "-Wextra", "-Werror", "-pthread"]);
    compiler.arg(format!("-I{ROOT}/include"));
    compiler
}

/// A compiler of C++, of a `standard` such as `c++17`.
pub fn cpp(compiler: &str, standard: &str) -> Command {
    let mut compiler = Command::new(compiler);
    compiler.arg(format!("-std={standard}")).args(["-g", "-O1", "-Wall", "-Wextra", "-pedantic"]);
    compiler.args([
        "-Wshadow",
        "-Wconversion",
        "-Wsign-conversion",
        "-Wold-style-cast",
        "-Werror",
        "-pthread",
    ]);
    compiler.arg(format!("-I{ROOT}/include")).arg(format!("-I{ROOT}/bindings/cpp"));
    compiler
}

/// Makes a program in `folder` of what `compiler` was given, and the library.
pub fn link(compiler: &mut Command, folder: &Path) -> PathBuf {
    let (program, soname) = (folder.join("program"), folder.join("libtokencache.so.1"));
    // A program asks for the library by its soname, under which cargo does not put it.
    symlink(fs::canonicalize(library()).unwrap(), &soname).unwrap();
    compiler.arg(&soname).arg(format!("-Wl,-rpath,{}", folder.display()));
    succeed(compiler.arg("-ldl").arg("-o").arg(&program));
    program
}

/// Runs a tool that must succeed.
pub fn succeed(tool: &mut Command) {
    let output = tool.output().unwrap();
    let [said, complained] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    assert!(output.status.success(), "{tool:?}\n{said}{complained}");
}

/// Whether there is a program of that name.
pub fn is_installed(name: &str) -> bool {
    env::split_paths(&env::var_os("PATH").unwrap_or_default()).any(|folder| folder.join(name).is_file())
}

/// How a program ended, and what it wrote.
pub struct Ended {
    pub status: String,
    pub output: String,
    pub errors: String,
}

impl Ended {
    pub fn is_success(&self) -> bool {
        self.status == "exit status: 0"
    }
}

/// Runs `command` to its end, or ends it at `deadline`. What went wrong, with what it wrote.
pub fn run(command: &mut Command, folder: &Path, deadline: Duration) -> Result<(), String> {
    let ended = run_to_end(command, folder, deadline);
    if ended.is_success() {
        return Ok(());
    }
    Err(format!("{command:?}: {}\n{}{}", ended.status, ended.output, ended.errors))
}

/// Runs `command` to its end, or ends it at `deadline`.
pub fn run_to_end(command: &mut Command, folder: &Path, deadline: Duration) -> Ended {
    // Not pipes: they fill up, and the child would wait for us.
    let paths = ["output", "errors"].map(|name| folder.join(name));
    let [output, errors] = paths.each_ref().map(|path| File::create(path).unwrap());
    let mut child = command.stdout(output).stderr(errors).spawn().unwrap();
    let end = Instant::now() + deadline;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status.to_string();
        }
        if Instant::now() >= end {
            child.kill().unwrap();
            child.wait().unwrap();
            break format!("it did not end within {deadline:?}");
        }
        thread::sleep(Duration::from_millis(5));
    };
    let [output, errors] = paths.map(|path| String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned());
    Ended { status, output, errors }
}
