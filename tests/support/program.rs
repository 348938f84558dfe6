//! C programs against the library, and child processes with a deadline.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::library::library;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Compiles `sources`, names below tests/c, into `folder`.
pub fn compile(sources: &[&str], folder: &Path) -> PathBuf {
    let (program, soname) = (folder.join("program"), folder.join("libtokencache.so.1"));
    // A program asks for the library by its soname, under which cargo does not put it.
    symlink(fs::canonicalize(library()).unwrap(), &soname).unwrap();
    let mut compiler = Command::new("cc");
    compiler.args(["-std=c11", "-D_GNU_SOURCE", "-g", "-O1", "-Wall", "-Wextra", "-Werror", "-pthread"]);
    compiler.current_dir(Path::new(ROOT).join("tests/c")).args(["-I../../include", "-I.", "check.c"]);
    compiler.args(sources).arg(&soname).arg(format!("-Wl,-rpath,{}", folder.display()));
    let output = compiler.arg("-ldl").arg("-o").arg(&program).output().unwrap();
    assert!(output.status.success(), "{compiler:?}\n{}", String::from_utf8_lossy(&output.stderr));
    program
}

/// Runs `command` to its end, or ends it at `deadline`. What went wrong, with what it wrote.
pub fn run(command: &mut Command, folder: &Path, deadline: Duration) -> Result<(), String> {
    // Not a pipe: it fills up, and the child would wait for us.
    let path = folder.join("output");
    let output = File::create(&path).unwrap();
    let mut child = command.stdout(output.try_clone().unwrap()).stderr(output).spawn().unwrap();
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
    let written = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
    if status == "exit status: 0" { Ok(()) } else { Err(format!("{command:?}: {status}\n{written}")) }
}
