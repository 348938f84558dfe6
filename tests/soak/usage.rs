//! What a process holds, as the kernel counts it.

use std::fmt;
use std::fs;

use nix::unistd::Pid;

#[derive(Debug, Clone, Copy)]
pub struct Usage {
    pub resident_kb: u64,
    pub descriptors: u64,
    pub threads: u64,
}

impl Usage {
    pub fn of(process: Pid) -> Usage {
        let count = |folder: &str| fs::read_dir(format!("/proc/{process}/{folder}")).expect("procfs").count();
        let status = fs::read_to_string(format!("/proc/{process}/status")).expect("procfs");
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("resident memory");
        let resident = resident.split_whitespace().next().expect("a number");
        Usage {
            resident_kb: resident.parse().expect("a number"),
            descriptors: count("fd") as u64,
            threads: count("task") as u64,
        }
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Usage { resident_kb, descriptors, threads } = self;
        write!(f, "{:.1} MB, {descriptors} fd, {threads} threads", *resident_kb as f64 / 1024.0)
    }
}
