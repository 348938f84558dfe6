//! Writes the generated files, or says which of them are stale. Run it in the root of the repository:
//! `cargo run -p tokencache-generator -- --write`, or `--check`.

use std::path::Path;
use std::process::ExitCode;
use std::{env, fs};

fn main() -> ExitCode {
    let argument = env::args().nth(1);
    match run(argument.as_deref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn run(argument: Option<&str>) -> Result<(), String> {
    let write = match argument {
        Some("--write") => true,
        Some("--check") => false,
        _ => return Err("Say --write to write the generated files, or --check to compare them.".into()),
    };
    for file in tokencache_generator::generate(Path::new("."))? {
        if write {
            fs::write(file.path, file.text)
                .map_err(|error| format!("Cannot write {}: {error}", file.path))?;
        } else if fs::read_to_string(file.path).ok().as_ref() != Some(&file.text) {
            return Err(format!("{} is not what src/ffi says. Run the generator with --write.", file.path));
        }
    }
    Ok(())
}
