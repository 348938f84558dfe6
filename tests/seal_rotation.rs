//! A rotation of the key ring while three processes in two languages read and write, about a thousand times a second
//! together: no call fails, and every value read is one that was written under its key.

#[path = "support/library.rs"]
mod library;
#[path = "support/program.rs"]
mod program;
#[path = "support/crypto.rs"]
mod rings;
#[path = "support/redis.rs"]
mod support;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::Server;
use support::cache::{Shared, is_long, merge};
use tokencache::cache::{Cache, SetOptions};

/// As the workers have them.
const KEYS: u64 = 200;
const TIMES: usize = 20;
/// Who wrote what the workers find.
const DRIVER: usize = 3;
const DEADLINE: Duration = Duration::from_secs(600);

/// A ring: the number and the state of each of its keys.
type States<'a> = [(&'a str, u8)];

fn ring(states: &States<'_>) -> Value {
    let member = |(state, number): &(&str, u8)| match *state {
        // Without its material, as somebody who wants to be rid of the key writes it.
        "revoked" => json!({"state": "revoked", "id": rings::key_id(*number).to_string()}),
        state => json!({"state": state, "material": rings::base64(&rings::key(*number))}),
    };
    json!({"version": 1, "keys": states.iter().map(member).collect::<Vec<_>>()})
}

/// As `stats` shows a ring.
fn shown(states: &States<'_>) -> Value {
    let of = |state: &str| -> Vec<String> {
        let keys = states.iter().filter(|(it, _)| *it == state);
        keys.map(|(_, number)| rings::key_id(*number).to_string()).collect()
    };
    json!({"active": of("active")[0], "retired": of("retired"), "revoked": of("revoked")})
}

/// Puts another file in the place of the ring, at once.
fn replace(path: &Path, ring: &Value) {
    let next = path.with_extension("next");
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&next).unwrap();
    file.write_all(ring.to_string().as_bytes()).unwrap();
    fs::rename(next, path).unwrap();
}

/// How a worker gets its ring.
enum Source {
    File(PathBuf),
    /// With the document, through `tc_configure`.
    Document(Value),
}

/// A process that reads and writes until its input ends.
struct Worker {
    child: Child,
    output: BufReader<ChildStdout>,
    source: Source,
}

impl Worker {
    fn start(mut command: Command, source: Source) -> Worker {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Worker { child, output, source }
    }

    fn python(number: usize, document: &Value, source: Source) -> Worker {
        let mut command = Command::new("python3");
        command.arg(Path::new(program::ROOT).join("tests/rotation/worker.py"));
        command.arg(document.to_string()).arg(number.to_string());
        command.env("PYTHONPATH", Path::new(program::ROOT).join("bindings/python/src"));
        command.env("TOKENCACHE_LIBRARY", fs::canonicalize(library::library()).unwrap());
        Worker::start(command, source)
    }

    fn c(folder: &Path, document: &Value, source: Source) -> Worker {
        let mut command = Command::new(program::compile(&["rotation.c"], folder));
        command.arg(folder).arg(document.to_string());
        Worker::start(command, source)
    }

    fn say(&mut self, line: &str) -> Value {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
        let mut answer = String::new();
        self.output.read_line(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap_or_else(|_| panic!("a worker has ended: {answer}"))
    }

    fn operations(&mut self) -> u64 {
        let told = self.say("tell");
        number(&told["reads"]) + number(&told["writes"])
    }

    /// Hands it a ring, and waits until it has it.
    fn turn(&mut self, states: &States<'_>) {
        match &self.source {
            Source::File(path) => replace(path, &ring(states)),
            Source::Document(document) => {
                let mut document = document.clone();
                merge(&mut document, json!({"encryption": {"keyring": ring(states)}}));
                self.say(&format!("configure {document}"));
            }
        }
        let expected = shown(states);
        wait_until("a worker has the ring", || {
            let encryption = &self.say("tell")["stats"]["encryption"];
            assert_eq!(encryption["ring_problem"], Value::Null);
            ["active", "retired", "revoked"].iter().all(|state| encryption[*state] == expected[*state])
        });
    }
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("not a number: {value}"))
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Lets each of them do so much under the rings of now.
fn work(workers: &mut [Worker]) {
    let operations = if is_long() { 10_000 } else { 150 };
    let begin: Vec<u64> = workers.iter_mut().map(Worker::operations).collect();
    wait_until("the workers work", || {
        workers.iter_mut().zip(&begin).all(|(worker, begin)| worker.operations() >= begin + operations)
    });
}

/// Whether all that lies in L2 is sealed under the key of that number.
fn is_all_under(document: &Value, key: u8) -> bool {
    let cache = open(document, &[("active", key)]);
    (0..KEYS).all(|number| cache.get(format!("k{number}").as_bytes()).is_ok_and(|entry| entry.is_some()))
}

/// A cache of the test's own, which reads what lies in L2 and nothing else.
fn open(document: &Value, states: &States<'_>) -> std::sync::Arc<Cache> {
    let mut document = document.clone();
    merge(&mut document, json!({"l1": {"enabled": false}, "encryption": {"keyring": ring(states)}}));
    Cache::open(document.to_string().as_bytes()).unwrap()
}

/// Rotates on the L2 of `document`, which names no ring.
fn rotate(document: &Value, folder: &Path) {
    let first = [("active", 1)];
    let mine = open(document, &first);
    for key in 0..KEYS {
        let value = format!("key={key} writer={DRIVER} number=0;").repeat(TIMES);
        mine.set(format!("k{key}").as_bytes(), value.as_bytes(), SetOptions::default()).unwrap();
    }
    let with = |more: Value| {
        let mut document = document.clone();
        merge(&mut document, more);
        document
    };
    let in_file = |name: &str| {
        let path = folder.join(name);
        replace(&path, &ring(&first));
        let encryption = json!({"keyring_file": path});
        (with(json!({"l1": {"enabled": false}, "encryption": encryption})), Source::File(path))
    };
    let inline = with(json!({"encryption": {"keyring": ring(&first)}}));
    let ((python, python_file), (c, c_file)) = (in_file("python.json"), in_file("c.json"));
    let mut workers = [
        Worker::python(0, &python, python_file),
        Worker::python(1, &inline, Source::Document(document.clone())),
        Worker::c(folder, &c, c_file),
    ];
    work(&mut workers);
    let begin = Instant::now();
    for old in 1..=if is_long() { 6 } else { 2 } {
        let new = old + 1;
        let revoked: Vec<(&str, u8)> = (1..old).map(|number| ("revoked", number)).collect();
        // Everybody can open what is sealed under the new key before anybody seals under it.
        for keys in [[("active", old), ("retired", new)], [("retired", old), ("active", new)]] {
            for turn in 0..workers.len() {
                workers[turn].turn(&[&keys[..], &revoked].concat());
                work(&mut workers);
            }
        }
        wait_until("everything is under the new key", || is_all_under(document, new));
        for turn in 0..workers.len() {
            workers[turn].turn(&[&[("active", new), ("revoked", old)], &revoked[..]].concat());
            work(&mut workers);
        }
    }
    report(&mut workers, begin.elapsed());
}

fn report(workers: &mut [Worker], took: Duration) {
    let told: Vec<Value> = workers.iter_mut().map(|worker| worker.say("tell")).collect();
    let total = |name: &str| told.iter().map(|it| number(&it[name])).sum::<u64>();
    let [reads, writes, moved] = ["reads", "writes", "moved"].map(total);
    println!(
        "{reads} reads, {writes} writes, {moved} moved to a new key, {:.0} operations a second",
        (reads + writes) as f64 / took.as_secs_f64()
    );
    for failure in ["failed_reads", "failed_writes", "wrong"] {
        assert_eq!(total(failure), 0, "{failure}");
    }
    assert!(moved > 0, "nothing was found under a retired key");
    for (writer, it) in told.iter().enumerate() {
        let highest = told.iter().map(|it| number(&it["highest"][writer])).max();
        assert!(
            highest <= Some(number(&it["writes"])),
            "worker {writer} has written nothing like {highest:?}"
        );
        assert!(number(&it["highest"][(writer + 1) % told.len()]) > 0, "nobody reads what others write");
    }
    for worker in workers {
        drop(worker.child.stdin.take());
        assert!(worker.child.wait().unwrap().success());
    }
}

#[test]
fn no_read_fails_while_the_ring_of_three_processes_on_one_redis_is_rotated() {
    let Some(server) = Server::start() else { return };
    let document = server.document(json!({"encryption": {"algorithm": "aes-256-gcm"}}));
    rotate(&serde_json::from_str(&document).unwrap(), server.folder());
}

#[test]
fn no_read_fails_while_the_ring_of_three_processes_on_one_file_is_rotated() {
    let shared = Shared::new();
    let more = json!({"encryption": {"algorithm": "aes-256-gcm"}, "resilience": {"deadline_ms": 30_000}});
    rotate(&serde_json::from_str(&shared.document(more)).unwrap(), shared.folder());
}
