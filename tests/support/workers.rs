//! Processes that write and read tagged values and note what they did, for [`crate::history`].

#![allow(dead_code, reason = "no test needs all of it")]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use rustix::time::{ClockId, clock_gettime};
use tempfile::TempDir;

use crate::history::Log;
use crate::library::library;
use crate::program::{ROOT, compile};

/// How long to wait for what must happen.
const DEADLINE: Duration = Duration::from_secs(120);
/// Of an operation in a log: few lines are longer, none is much shorter.
const LINE_LEN: u64 = 60;

#[derive(Debug, Clone, Copy)]
pub enum Language {
    C,
    Python,
}

/// What a worker is to do.
#[derive(Debug, Clone, Copy)]
pub struct Orders {
    pub keys: u32,
    /// 0: until it is stopped.
    pub operations: u64,
    /// 0: as many as it can.
    pub operations_per_second: u32,
}

/// Workers, and the logs of all that there ever were.
pub struct Crew {
    folder: TempDir,
    program: PathBuf,
    seed: u32,
    keys: u32,
    workers: Vec<Worker>,
    /// When L2 lost all that it had.
    losses_ns: Vec<(i64, i64)>,
}

struct Worker {
    folder: PathBuf,
    /// Until it has ended.
    child: Option<Child>,
    log_len: u64,
}

impl Worker {
    fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    fn log_len(&self) -> u64 {
        fs::metadata(self.log()).map_or(0, |log| log.len())
    }

    fn has_ended(&mut self) -> bool {
        let Some(child) = &mut self.child else { return true };
        let Some(status) = child.try_wait().expect("its state") else { return false };
        let errors = fs::read_to_string(self.folder.join("errors")).unwrap_or_default();
        assert!(status.success(), "{}: {status}\n{errors}", self.folder.display());
        self.child = None;
        true
    }
}

impl Crew {
    /// Nobody yet.
    pub fn new() -> Crew {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let program = compile(&["history.c"], folder.path());
        let seed = fastrand::u32(..);
        println!("seed {seed}");
        Crew { folder, program, seed, keys: 0, workers: Vec::new(), losses_ns: Vec::new() }
    }

    /// Starts a worker whose cache is opened with `document`; its number.
    pub fn start(&mut self, language: Language, document: &str, orders: Orders) -> usize {
        self.keys = self.keys.max(orders.keys);
        self.spawn(language, document, orders, "mixed")
    }

    fn spawn(&mut self, language: Language, document: &str, orders: Orders, role: &str) -> usize {
        let number = self.workers.len();
        let folder = self.folder.path().join(format!("worker-{number}"));
        fs::create_dir(&folder).expect("a folder");
        fs::write(folder.join("document.json"), document).expect("written");
        let Orders { keys, operations, operations_per_second } = orders;
        let seed = u64::from(self.seed) + number as u64;
        let mut command = match language {
            Language::C => Command::new(&self.program),
            Language::Python => python(),
        };
        command
            .arg(&folder)
            .arg(format!("{number} {seed} {keys} {operations} {operations_per_second} {role}"));
        let errors = fs::File::create(folder.join("errors")).expect("a file");
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(errors);
        let child = Some(command.spawn().expect("a worker"));
        self.workers.push(Worker { folder, child, log_len: 0 });
        number
    }

    /// Waits until every worker that still runs has done some `operations` more.
    pub fn wait_for_operations(&mut self, operations: u64) {
        for worker in &mut self.workers {
            worker.log_len = worker.log_len();
        }
        wait_until("the workers work", || {
            let is_done = |worker: &mut Worker| {
                worker.has_ended() || worker.log_len() >= worker.log_len + operations * LINE_LEN
            };
            self.workers.iter_mut().all(is_done)
        });
    }

    /// Ends one as `kill -9` does.
    pub fn kill(&mut self, number: usize) {
        let mut child = self.workers[number].child.take().expect("one that runs");
        child.kill().expect("killed");
        child.wait().expect("its end");
    }

    /// Has one stand still, or go on.
    pub fn signal(&self, number: usize, signal: Signal) {
        signal::kill(self.pid(number), signal).expect("the signal is sent");
    }

    /// Of one that runs.
    pub fn pid(&self, number: usize) -> Pid {
        let child = self.workers[number].child.as_ref().expect("one that runs");
        Pid::from_raw(child.id().try_into().expect("a process id"))
    }

    /// How many operations have been done, or a few more.
    pub fn operations_about(&self) -> u64 {
        self.workers.iter().map(Worker::log_len).sum::<u64>() / LINE_LEN
    }

    /// Has L2 lose all that it has, by `work`, and notes it.
    pub fn lose_all(&mut self, work: impl FnOnce()) {
        let begin_ns = now_ns();
        work();
        self.losses_ns.push((begin_ns, now_ns()));
    }

    /// The losses, as the log of one more who writes.
    fn losses(&self) -> Log {
        let mut text = format!("worker {}\n", self.workers.len());
        for (loss, (begin_ns, end_ns)) in self.losses_ns.iter().enumerate() {
            for key in 0..self.keys {
                let sequence = loss * self.keys as usize + key as usize;
                let _ = writeln!(text, "b {sequence} loss {key} {begin_ns} 0 0 0 - -");
                let _ = writeln!(text, "e {sequence} {end_ns} 0 0");
            }
        }
        text += "q 0\n";
        Log::Text(text)
    }

    /// Waits until each has done what it was asked for.
    pub fn wait(&mut self) {
        // As long as they get on, they may take as long as they were asked to.
        let mut done = 0;
        while !self.workers.iter_mut().all(Worker::has_ended) {
            wait_until("the workers get on", || {
                let len = self.workers.iter().map(Worker::log_len).sum();
                let gets_on = len > done;
                done = len;
                gets_on || self.workers.iter_mut().all(Worker::has_ended)
            });
        }
    }

    /// Has all end now.
    pub fn stop(&mut self) {
        for child in self.workers.iter_mut().filter_map(|worker| worker.child.as_mut()) {
            drop(child.stdin.take());
        }
        self.wait();
    }

    /// Has all end, and a new process read what is there then. The whole history.
    pub fn finish(mut self, document: &str) -> History {
        self.stop();
        let orders = Orders { keys: self.keys, operations: 0, operations_per_second: 0 };
        self.spawn(Language::C, document, orders, "final");
        self.wait();
        // One that was killed before it had begun has none.
        let logs = self.workers.iter().map(Worker::log).filter(|log| log.exists());
        let mut logs: Vec<_> = logs.map(Log::File).collect();
        if !self.losses_ns.is_empty() {
            logs.push(self.losses());
        }
        History { logs, crew: self }
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        for child in self.workers.iter_mut().filter_map(|worker| worker.child.as_mut()) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Logs, which are there as long as this is.
pub struct History {
    pub logs: Vec<Log>,
    crew: Crew,
}

impl History {
    /// Leaves the logs where they are, for a look at them.
    pub fn keep(self) -> PathBuf {
        let folder = self.crew.folder.path().to_owned();
        // Nobody of the crew runs any more; but for its folder there is nothing to be dropped.
        std::mem::forget(self);
        folder
    }
}

fn python() -> Command {
    let mut python = Command::new("python3");
    python.arg(Path::new(ROOT).join("tests/history/worker.py"));
    python.env("PYTHONPATH", Path::new(ROOT).join("bindings/python/src"));
    python.env("PYTHONDONTWRITEBYTECODE", "1").env("TOKENCACHE_LIBRARY", library());
    python
}

/// As the workers take it.
pub fn now_ns() -> i64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < end, "never: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}
