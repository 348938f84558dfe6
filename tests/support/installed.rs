//! What `tools/install` and `make install` need: what cargo has built, in one folder.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::library::library;

/// Makes `folder` as `cargo build` leaves its own; under test the parts lie where they like.
pub fn built(folder: &Path) -> &Path {
    fs::create_dir(folder).unwrap();
    let library = library();
    let archive =
        library.ancestors().map(|above| above.with_file_name("libtokencache.a")).find(|path| path.exists());
    let program = PathBuf::from(env!("CARGO_BIN_EXE_tokencache"));
    for file in
        [library.clone(), archive.expect("cargo builds the static library beside the shared one"), program]
    {
        let name = file.file_name().unwrap();
        symlink(fs::canonicalize(&file).unwrap(), folder.join(name)).unwrap();
    }
    folder
}
