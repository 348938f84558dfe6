//! The real code of `cache` and `epoch` under a model checker, which decides at every lock and counter which thread
//! goes on. Two processes share an L2; whatever the order, nobody is left with a value that L2 no longer has.
//! `cargo test --features shuttle --test interleavings`.

#![cfg(feature = "shuttle")]

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::sync::Mutex;
use shuttle::{Config as Limits, Runner, thread};
use tokencache::cache::{Cache, SetOptions};
use tokencache::clock;
use tokencache::coherence::Coherence;
use tokencache::config::Config;
use tokencache::entry::{Lifetime, Secret};
use tokencache::l2::replay::{self, Answers, Seen, Target};
use tokencache::l2::{Attempt, Class, Expected, Failure, Store, Stored, Witness, Written};

const KEY: &[u8] = b"oid.tid";
const DOCUMENT: &[u8] =
    br#"{"version": 1, "l1": {"capacity_bytes": 65536}, "l2": {"kind": "sqlite", "path": "/nowhere"},
    "encryption": {"algorithm": "none"}, "logging": {"to": "none"},
    "resilience": {"max_attempts": 1, "deadline_ms": 60000, "journal_max_entries": 0}}"#;

/// One key of a server, as all processes see it.
#[derive(Default)]
struct Server {
    entry: Option<(Vec<u8>, u64)>,
    writes: u64,
    /// What was pushed to each process and not yet read.
    pushes: Vec<usize>,
}

/// How a process hears of the others' writes.
#[derive(Clone, Copy, PartialEq)]
enum Feed {
    /// The server pushes them, before any later answer.
    Pushed,
    /// Writers say so in a table that all share.
    Table,
}

/// A process's way to the server.
struct Model {
    server: Arc<Mutex<Server>>,
    witness: Arc<Coherence>,
    feed: Feed,
    own: usize,
    /// Sets that take effect and are not answered.
    unanswered: Arc<Mutex<VecDeque<bool>>>,
}

impl Model {
    /// What was pushed before the answer is read before it.
    fn read_pushes(&self, count: usize) {
        for _ in 0..count {
            self.witness.changed(KEY);
        }
    }

    fn write(&self, entry: Option<&[u8]>, expected: Expected) -> Result<Written, Failure> {
        let mut server = self.server.lock().unwrap();
        let now = server.entry.as_ref().map(|(_, version)| *version);
        let fits = match expected {
            Expected::Anything => true,
            Expected::Absent => now.is_none(),
            Expected::Version(version) => now == Some(version),
        };
        if !fits {
            return Ok(Written::Conflict);
        }
        let mark = (self.feed == Feed::Table).then(|| self.witness.begins(KEY)).transpose()?;
        server.writes += 1;
        let version = server.writes;
        server.entry = entry.map(|bytes| (bytes.to_vec(), version));
        let own = self.own;
        let others = server.pushes.iter_mut().enumerate().filter(|(process, _)| *process != own);
        others.for_each(|(_, pushed)| *pushed += 1);
        let before = std::mem::take(&mut server.pushes[own]);
        drop(server);
        match mark {
            Some(mark) => self.witness.ends(KEY, mark),
            None => self.read_pushes(before),
        }
        if self.unanswered.lock().unwrap().pop_front() == Some(true) {
            return Err(Failure::new(Class::Timeout, "The answer was lost."));
        }
        Ok(Written::Stored(version))
    }
}

impl Store for Model {
    fn connect(&self, _: Attempt<'_>) -> Result<(), Failure> {
        Ok(())
    }

    fn get(&self, _: &[u8], _: Attempt<'_>) -> Result<Option<Stored>, Failure> {
        let mut server = self.server.lock().unwrap();
        let entry = server.entry.clone();
        let before = if self.feed == Feed::Pushed { std::mem::take(&mut server.pushes[self.own]) } else { 0 };
        drop(server);
        self.read_pushes(before);
        Ok(entry.map(|(bytes, version)| Stored {
            bytes: Secret::from(bytes),
            version,
            written_at_ms: 0,
            lifetime: Lifetime::default(),
            ends_at_ms: 0,
        }))
    }

    fn set(
        &self,
        _: &[u8],
        bytes: &[u8],
        _: u64,
        _: i64,
        _: Lifetime,
        expected: Expected,
        _: Attempt<'_>,
    ) -> Result<Written, Failure> {
        self.write(Some(bytes), expected)
    }

    fn remove(&self, _: &[u8], _: u64, expected: Expected, _: Attempt<'_>) -> Result<Written, Failure> {
        self.write(None, expected)
    }

    fn touch(&self, _: &[u8], _: Option<Lifetime>, _: Attempt<'_>) -> Result<Option<i64>, Failure> {
        Ok(Some(clock::unix_ms()))
    }

    fn configure(&self, _: &Config) {}

    fn tend(&self, _: Attempt<'_>) -> Result<(), Failure> {
        Ok(())
    }

    fn figures(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }

    fn close(&self) {}
}

/// Nothing is ever owed here.
impl Target for Model {
    fn look(&self, _: &[&[u8]], _: Attempt<'_>) -> Answers<Seen> {
        Ok(Vec::new())
    }

    fn replay(&self, _: &[replay::Write<'_>], _: Attempt<'_>) -> Answers<bool> {
        Ok(Vec::new())
    }
}

/// Processes that share a server.
struct World {
    server: Arc<Mutex<Server>>,
    processes: Vec<(Arc<Cache>, Arc<Coherence>)>,
    unanswered: Arc<Mutex<VecDeque<bool>>>,
}

impl World {
    fn new(feed: Feed, database: &Path) -> World {
        let server = Arc::new(Mutex::new(Server { pushes: vec![0; 2], ..Server::default() }));
        let unanswered: Arc<Mutex<VecDeque<bool>>> = Arc::new(Mutex::new(VecDeque::new()));
        let process = |own| {
            let mut known = None;
            let cache = Cache::over(DOCUMENT, |_, log| {
                let witness = Arc::new(match feed {
                    Feed::Pushed => Coherence::told(0, log).unwrap(),
                    Feed::Table => Coherence::shared(database.to_owned(), b"", log).unwrap(),
                });
                match feed {
                    Feed::Pushed => witness.hears(),
                    Feed::Table => witness.look(),
                }
                known = Some(Arc::clone(&witness));
                let (server, unanswered) = (Arc::clone(&server), Arc::clone(&unanswered));
                let store = Model { server, witness: Arc::clone(&witness), feed, own, unanswered };
                (witness, Box::new(store))
            });
            (cache.unwrap(), known.unwrap())
        };
        World { processes: vec![process(0), process(1)], server, unanswered }
    }

    /// A thread of process `own` that does `work` once.
    fn begin(&self, own: usize, work: impl FnOnce(&Cache) + Send + 'static) -> thread::JoinHandle<()> {
        let cache = Arc::clone(&self.processes[own].0);
        thread::spawn(move || work(&cache))
    }

    /// All is said and done: every push is read, and then nobody holds what L2 does not.
    fn settle(&self) {
        for (own, (cache, witness)) in self.processes.iter().enumerate() {
            let left = std::mem::take(&mut self.server.lock().unwrap().pushes[own]);
            (0..left).for_each(|_| witness.changed(KEY));
            let held = cache.peek(KEY).map(|entry| entry.data().to_vec());
            let there = self.server.lock().unwrap().entry.clone().map(|(bytes, _)| bytes);
            assert!(held.is_none() || held == there, "process {own} holds {held:?}, L2 has {there:?}");
        }
    }
}

fn set(bytes: &'static [u8]) -> impl FnOnce(&Cache) + Send {
    move |cache: &Cache| {
        if cache.set(KEY, bytes, SetOptions::default()).is_ok() {
            let own = cache.peek(KEY).map(|entry| entry.data().to_vec());
            // A read right after it may find another's write, never the value from before all.
            assert_ne!(own.as_deref(), Some(&b"old"[..]), "an own write was not read back");
        }
    }
}

fn get(cache: &Cache) {
    cache.get(KEY).unwrap();
}

fn remove(cache: &Cache) {
    let _ = cache.remove(KEY);
}

/// How many orders of each kind are tried.
fn orders() -> usize {
    if std::env::var_os("TOKENCACHE_TEST_LONG").is_some() { 100_000 } else { 3_000 }
}

fn explore(feed: Feed, scene: impl Fn(&World) + Send + Sync + 'static) {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("tokens.db");
    std::fs::write(&database, b"").unwrap();
    let scene = Arc::new(scene);
    let schedulers: [Box<dyn Scheduler + Send>; 2] =
        [Box::new(RandomScheduler::new(orders())), Box::new(PctScheduler::new(3, orders()))];
    for scheduler in schedulers {
        let (scene, database) = (Arc::clone(&scene), database.clone());
        let mut limits = Limits::new();
        limits.stack_size = 1 << 20;
        Runner::new(scheduler, limits).run(move || {
            let world = World::new(feed, &database);
            world.processes[0].0.set(KEY, b"old", SetOptions::default()).unwrap();
            get(&world.processes[1].0);
            scene(&world);
            world.settle();
        });
    }
}

fn together(threads: Vec<thread::JoinHandle<()>>) {
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

fn two_readers_and_two_writers(world: &World) {
    together(vec![
        world.begin(0, get),
        world.begin(0, set(b"mine")),
        world.begin(1, get),
        world.begin(1, set(b"theirs")),
    ]);
}

fn a_read_beside_an_own_write(world: &World) {
    world.processes[0].0.clear().unwrap();
    together(vec![world.begin(0, get), world.begin(0, get), world.begin(0, set(b"new"))]);
}

fn a_removal_beside_reads(world: &World) {
    world.processes[1].0.clear().unwrap();
    together(vec![world.begin(0, remove), world.begin(1, get), world.begin(1, get), world.begin(0, get)]);
}

fn a_write_whose_answer_is_lost(world: &World) {
    world.unanswered.lock().unwrap().push_back(true);
    together(vec![world.begin(0, set(b"lost")), world.begin(0, get), world.begin(1, get)]);
}

fn a_feed_that_goes_and_comes(world: &World) {
    let witness = Arc::clone(&world.processes[1].1);
    let server = Arc::clone(&world.server);
    let blinks = thread::spawn(move || {
        witness.is_deaf(tokencache::l2::Hearing::Lost, &Failure::new(Class::Unreachable, "It is lost."));
        // What is pushed while nobody listens is lost.
        server.lock().unwrap().pushes[1] = 0;
        witness.hears();
    });
    together(vec![world.begin(1, get), world.begin(0, set(b"new")), blinks]);
}

#[test]
fn pushes_leave_nobody_with_an_old_value() {
    explore(Feed::Pushed, two_readers_and_two_writers);
    explore(Feed::Pushed, a_read_beside_an_own_write);
    explore(Feed::Pushed, a_removal_beside_reads);
    explore(Feed::Pushed, a_write_whose_answer_is_lost);
    explore(Feed::Pushed, a_feed_that_goes_and_comes);
}

#[test]
fn a_shared_table_leaves_nobody_with_an_old_value() {
    explore(Feed::Table, two_readers_and_two_writers);
    explore(Feed::Table, a_read_beside_an_own_write);
    explore(Feed::Table, a_removal_beside_reads);
    explore(Feed::Table, a_write_whose_answer_is_lost);
}

#[test]
fn without_the_guard_the_checker_finds_an_old_value() {
    for (feed, scene) in [
        (Feed::Pushed, a_read_beside_an_own_write as fn(&World)),
        (Feed::Pushed, two_readers_and_two_writers),
        (Feed::Table, two_readers_and_two_writers),
    ] {
        let found = std::panic::catch_unwind(|| {
            explore(feed, move |world| {
                world.processes.iter().for_each(|(_, coherence)| coherence.epochs.forget_the_guard());
                scene(world);
            });
        });
        assert!(found.is_err(), "nothing was found");
    }
}
