//! File systems that a test mounts, where it may.

#![allow(dead_code)]

use std::path::Path;
use std::process::Command;

/// Mounts at `path` what `options` say; whether that could be done here.
pub fn mount(options: &[&str], path: &Path) -> bool {
    Command::new("mount").args(options).arg(path).status().is_ok_and(|status| status.success())
}

/// Is unmounted when it is dropped.
pub struct Mounted<'a>(pub &'a Path);

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}
