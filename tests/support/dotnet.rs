//! .NET projects, where an SDK and their packages are at hand.

#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::program::{ROOT, is_installed};

/// The first major version of the SDK that can build ours.
const NEEDED_SDK: u32 = 10;

/// The program that a project below the root builds, or `None` and one line about what is missing here.
pub fn build(project: &str) -> Option<PathBuf> {
    match try_build(project) {
        Ok(program) => Some(program),
        Err(missing) => {
            println!("skipped: {project} cannot be built ({missing})");
            None
        }
    }
}

fn try_build(project: &str) -> Result<PathBuf, String> {
    if !is_installed("dotnet") {
        return Err("dotnet is not installed".into());
    }
    let output = dotnet().arg("--version").output().expect("dotnet");
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let major = version.split('.').next().and_then(|major| major.parse().ok());
    if major.is_none_or(|major: u32| major < NEEDED_SDK) {
        return Err(format!("it needs a .NET SDK {NEEDED_SDK} or newer"));
    }
    let mut build = dotnet();
    build.args(["build", "-c", "Release", "-v", "quiet", "-t:Build", "-getProperty:TargetPath"]);
    let output = build.arg(Path::new(ROOT).join(project)).output().expect("dotnet");
    let [said, complained] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    if output.status.success() {
        return Ok(said.trim().into());
    }
    // What NuGet says when no source has a package, or none has this version of it, or none answers.
    let is_about_packages =
        |line: &&str| ["NU1101", "NU1102", "NU1301"].iter().any(|code| line.contains(code));
    match said.lines().chain(complained.lines()).find(is_about_packages) {
        Some(line) => Err(line.rsplit_once(": error ").map_or(line, |(_, error)| error).trim().to_owned()),
        None => panic!("{build:?}\n{said}{complained}"),
    }
}

/// `dotnet`, without builders that stay behind to be fast the next time: they would keep our pipes open.
pub fn dotnet() -> Command {
    let mut dotnet = Command::new("dotnet");
    dotnet.env("MSBUILDDISABLENODEREUSE", "1").env("UseSharedCompilation", "false");
    dotnet
}
