//! The library under test.

use std::env;
use std::path::PathBuf;

/// `TOKENCACHE_LIBRARY`, or the one cargo built beside this program.
pub fn library() -> PathBuf {
    if let Some(path) = env::var_os("TOKENCACHE_LIBRARY") {
        return path.into();
    }
    let program = env::current_exe().unwrap();
    let found = program.ancestors().map(|folder| folder.join("libtokencache.so")).find(|path| path.exists());
    found.expect("cargo builds libtokencache.so before the tests; TOKENCACHE_LIBRARY names another one.")
}
