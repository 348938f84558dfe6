//! A file system that never answers, as a share whose server is gone: FUSE, with nobody behind it.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::mounted::Mounted;

/// Is there until it is dropped; whoever hangs in it then goes on with an error.
pub struct Hung<'a> {
    /// Ends first: what waits for an answer keeps the mount busy.
    _nobody: File,
    _mounted: Mounted<'a>,
}

impl Hung<'_> {
    /// At `path`, a folder; `None` and a word about it where that cannot be done here.
    pub fn at(path: &Path) -> Option<Hung<'_>> {
        let device = File::options().read(true).write(true).open("/dev/fuse").ok();
        let hung = device.and_then(|nobody| {
            let mut mount = Command::new("mount");
            mount.args(["-i", "-t", "fuse", "-o", "fd=0,rootmode=40000,user_id=0,group_id=0", "none"]);
            let its_end = Stdio::from(nobody.try_clone().ok()?);
            let is_mounted = mount.arg(path).stdin(its_end).status().is_ok_and(|status| status.success());
            is_mounted.then(|| Hung { _nobody: nobody, _mounted: Mounted(path) })
        });
        if hung.is_none() {
            println!("skipped: no file system that hangs can be mounted here");
        }
        hung
    }
}
