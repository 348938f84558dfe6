//! Processes that share a Redis: no update is lost, a blind writer among them is noticed every time, and what L1
//! answers costs Redis nothing.

#[path = "support/redis.rs"]
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::process::{Child, Command, Stdio};

use redis::cmd;
use serde_json::json;
use support::{Server, stored, wait_until};
use tokencache::cache::{Cache, SetOptions, SetOutcome};

const PROCESSES: u64 = 8;
const INCREMENTS: u64 = 200;
const KEY: &[u8] = b"counter";

/// A count that a blind writer sets back, under a new generation each time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Count {
    generation: u64,
    count: u64,
}

impl Count {
    fn parse(text: &[u8]) -> Count {
        let text = std::str::from_utf8(text).expect("text");
        let (generation, count) = text.split_once(':').expect("two numbers");
        Count { generation: generation.parse().expect("a number"), count: count.parse().expect("a number") }
    }

    fn text(self) -> String {
        format!("{}:{}", self.generation, self.count)
    }
}

/// One of the processes below: counts on from whatever it finds, and writes down what each of its counts was based on.
#[test]
fn child_increments() {
    let Ok(document) = std::env::var("TC_TEST_DOCUMENT") else { return };
    let path = std::env::var("TC_TEST_PATH").expect("a path");
    let cache = Cache::open(document.as_bytes()).expect("the cache opens");
    let mut based_on = String::new();
    for _ in 0..INCREMENTS {
        based_on += &increment(&cache).map_or("none".to_owned(), Count::text);
        based_on.push('\n');
    }
    fs::File::create(path).expect("a file").write_all(based_on.as_bytes()).expect("written");
}

fn increment(cache: &Cache) -> Option<Count> {
    loop {
        let found = cache.get(KEY).expect("a read");
        let (base, expected_version) = match &found {
            Some(entry) => (Some(Count::parse(entry.data())), entry.version()),
            None => (None, u64::MAX),
        };
        let next =
            base.map_or(Count { generation: 0, count: 1 }, |base| Count { count: base.count + 1, ..base });
        let options = SetOptions { expected_version, ..SetOptions::default() };
        match cache.set(KEY, next.text().as_bytes(), options).expect("a write") {
            SetOutcome::Stored(_) => return base,
            SetOutcome::Owed(_) => panic!("owed to L2"),
            SetOutcome::Conflict => {}
        }
    }
}

fn children(server: &Server) -> Vec<(Child, std::path::PathBuf)> {
    let document = server.document(json!({"l1": {"enabled": true}}));
    let spawn = |number| {
        let path = server.folder().join(format!("child-{number}"));
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(["child_increments", "--exact", "--test-threads=1"]);
        command.env("TC_TEST_DOCUMENT", &document).env("TC_TEST_PATH", &path).stdout(Stdio::null());
        (command.spawn().expect("a child"), path)
    };
    (0..PROCESSES).map(spawn).collect()
}

/// What every count was based on.
fn bases(children: Vec<(Child, std::path::PathBuf)>) -> Vec<Option<Count>> {
    let mut bases = Vec::new();
    for (mut child, path) in children {
        assert!(child.wait().expect("its end").success());
        let text = fs::read_to_string(path).expect("what it wrote down");
        bases.extend(text.lines().map(|line| (line != "none").then(|| Count::parse(line.as_bytes()))));
    }
    bases
}

fn current(server: &Server) -> Option<Count> {
    let data: Option<Vec<u8>> = server.run(cmd("HGET").arg(stored(KEY)).arg("data"));
    data.map(|data| Count::parse(&data))
}

#[test]
fn eight_processes_that_compare_and_swap_lose_nothing() {
    let Some(server) = Server::start() else { return };
    let mut bases = bases(children(&server));
    bases.sort();
    let total = PROCESSES * INCREMENTS;
    assert_eq!(bases.len() as u64, total);
    assert_eq!(bases[0], None, "one was first");
    let counts: Vec<_> = bases[1..].iter().map(|base| base.expect("one was first, no other").count).collect();
    assert_eq!(counts, (1..total).collect::<Vec<_>>(), "each was based on what another had stored");
    assert_eq!(current(&server), Some(Count { generation: 0, count: total }));
    assert!(server.keys().iter().all(|key| key == &stored(KEY)), "nothing is left on the stage");
}

#[test]
fn what_a_blind_writer_writes_among_them_is_never_overwritten_unseen() {
    // Where the machine stands still for as long as the processes take, they hardly meet.
    for more in (0..3).rev() {
        let Some(server) = Server::start() else { return };
        let used = counted_on_from(&server);
        if used > 5 {
            return;
        }
        assert!(more > 0, "only {used} blind writes were counted on from");
    }
}

/// How many writes of a blind writer the processes have counted on from; none was overwritten unseen.
fn counted_on_from(server: &Server) -> usize {
    let mut own = server.connection().expect("a connection");
    let mut children = children(server);
    let mut generation = 0;
    let is_running = |children: &mut Vec<(Child, std::path::PathBuf)>| {
        children.iter_mut().any(|(child, _)| child.try_wait().expect("its state").is_none())
    };
    while is_running(&mut children) {
        generation += 1;
        let mut blind = cmd("HMSET");
        blind.arg(stored(KEY)).arg("absexp").arg(-1).arg("sldexp").arg(-1);
        blind.arg("data").arg(Count { generation, count: 0 }.text()).query::<()>(&mut own).expect("written");
        // Others count on from it a few times; who did not see it would set the generation back.
        for _ in 0..20 {
            let mut read = cmd("HGET");
            let data: Vec<u8> = read.arg(stored(KEY)).arg("data").query(&mut own).expect("read");
            assert_eq!(
                Count::parse(&data).generation,
                generation,
                "it was overwritten by one who had not seen it"
            );
        }
    }
    let mut of_generation: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    let bases = bases(children);
    assert_eq!(bases.len() as u64, PROCESSES * INCREMENTS);
    for base in bases.into_iter().flatten() {
        of_generation.entry(base.generation).or_default().push(base.count);
    }
    let used = of_generation.len();
    for (generation, mut counts) in of_generation {
        counts.sort_unstable();
        let first = u64::from(generation == 0);
        let expected: Vec<_> = (first..first + counts.len() as u64).collect();
        assert_eq!(counts, expected, "generation {generation}: each was based on what another had stored");
    }
    println!("{generation} blind writes, {used} of them counted on from");
    used
}

#[test]
fn what_l1_answers_costs_redis_nothing() {
    let Some(server) = Server::start() else { return };
    // However long it takes: heartbeats are not counted here.
    let quiet = json!({"heartbeat_ms": 60_000, "heartbeat_timeout_ms": 60_000});
    let cache = server.open(json!({ "coherence": quiet }));
    let keys: Vec<_> = (0..100).map(|number| format!("k{number}").into_bytes()).collect();
    for key in &keys {
        cache.set(key, &[7; 7_000], SetOptions::default()).expect("stored");
        wait_until("L1 vouches for it", || {
            cache.get(key).expect("a read").is_some() && cache.peek(key).is_some()
        });
    }
    let mut own = server.connection().expect("a connection");
    cmd("CONFIG").arg("RESETSTAT").query::<()>(&mut own).expect("reset");
    let hits = if support::cache::is_long() { 1_000_000 } else { 100_000 };
    for number in 0..hits {
        let entry = cache.get(&keys[number % keys.len()]).expect("a read").expect("an entry");
        assert_eq!(entry.data().len(), 7_000);
    }
    let figures: String = cmd("INFO").arg("commandstats").query(&mut own).expect("figures");
    let commands: Vec<_> = figures.lines().filter(|line| line.starts_with("cmdstat_")).collect();
    let others: Vec<_> =
        commands.iter().filter(|line| !line.starts_with("cmdstat_config|resetstat")).collect();
    assert!(others.is_empty(), "{hits} hits: {others:?}");
}
