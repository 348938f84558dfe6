//! A primary is lost under load, and Sentinels name another: what was acknowledged is there, what was removed is not.

#[path = "support/proxy.rs"]
mod proxy;
#[path = "support/sentinels.rs"]
mod sentinels;
#[path = "support/sqlite.rs"]
mod sqlite;
#[path = "support/redis.rs"]
mod support;

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sentinels::Troop;
use serde_json::{Value, json};
use sqlite::{command, role};
use support::cache::statistics;
use support::{GENEROUS, document, wait_until, written};
use tokencache::cache::{Cache, SetOptions};

/// Of each writer, so that each is written again and again.
const KEYS: usize = 100;

/// Each key is set and removed by turns, some always set.
fn removes(number: usize) -> bool {
    number / KEYS % 2 == 1 && !number.is_multiple_of(3)
}

/// Opens the cache of the document at the path and writes keys that begin with the name of that file, until it is told
/// to rest; reads until its input ends. It says how each write ended, and in the end what became of what was to be made
/// again.
#[test]
fn child_writes() {
    let Some(path) = role("write") else { return };
    let cache = Cache::open(&std::fs::read(&path).expect("a document")).expect("the cache opens");
    let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
    let is_resting = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&is_resting);
    let input =
        std::thread::spawn(move || std::io::stdin().lines().for_each(|_| told.store(true, Ordering::SeqCst)));
    let mut output = std::io::stdout();
    let mut say = |words: String| writeln!(output, "\n{words}").and_then(|()| output.flush()).expect("heard");
    let is_there = |number: usize| {
        // What it has written itself it does not lose from sight.
        let Ok(found) = cache.get(format!("{name}{}", number % KEYS).as_bytes()) else { return };
        let found = found.map(|entry| String::from_utf8_lossy(entry.data()).into_owned());
        assert_eq!(found, (!removes(number)).then(|| format!("{number}")), "own write {number}");
    };
    let (mut number, mut has_flushed) = (0, false);
    while !input.is_finished() {
        std::thread::sleep(Duration::from_millis(1));
        if is_resting.load(Ordering::SeqCst) {
            if !has_flushed {
                has_flushed = cache.flush(GENEROUS);
                say(format!("rests {has_flushed} now"));
            }
            (number - KEYS..number).for_each(is_there);
            continue;
        }
        let key = format!("{name}{}", number % KEYS);
        let answer = if removes(number) {
            cache.remove(key.as_bytes())
        } else {
            cache.set(key.as_bytes(), format!("{number}").as_bytes(), SetOptions::default())
        };
        say(format!("end {number} {}", written(answer)));
        is_there(number);
        number += 1;
    }
    // Who still has a link to the old one knows of nothing to be made again.
    let has_met = || statistics(&cache)["l2"]["failover"]["primary_changes"] != 0;
    wait_until("the new primary is met, and nothing owed", || has_met() && cache.flush(GENEROUS));
    say(format!("stats {}", statistics(&cache)["l2"]["failover"]));
}

/// What a writer has said: of each key the number of the last write that was acknowledged or kept, and whether it
/// removed.
#[derive(Default)]
struct Said {
    kept: HashMap<usize, usize>,
    acknowledged: usize,
    owed: usize,
    failed: usize,
    last_ok: Option<Instant>,
    is_resting: bool,
    stats: Value,
}

struct Writer {
    name: String,
    child: Child,
    input: Option<ChildStdin>,
    said: Arc<Mutex<Said>>,
    listener: Option<std::thread::JoinHandle<()>>,
}

impl Writer {
    fn start(name: &str, folder: &Path, document: &str) -> Writer {
        let path = folder.join(name).with_extension("json");
        std::fs::write(&path, document).expect("written");
        let mut command = command("child_writes", "write", &path);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a child");
        let lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let said = Arc::<Mutex<Said>>::default();
        let heard = Arc::clone(&said);
        let listener = std::thread::spawn(move || {
            for line in lines {
                hear(&mut heard.lock().expect("nobody panics here"), &line.expect("text"));
            }
        });
        let input = child.stdin.take();
        Writer { name: name.into(), child, input, said, listener: Some(listener) }
    }

    fn said<T>(&self, look: impl FnOnce(&Said) -> T) -> T {
        look(&self.said.lock().expect("nobody panics here"))
    }

    fn acknowledged(&self) -> usize {
        self.said(|said| said.acknowledged)
    }

    /// Waits until L2 has acknowledged so many more writes.
    fn go_on(&self, more: usize) {
        let before = self.acknowledged();
        wait_until("it goes on", || self.acknowledged() >= before + more);
    }

    fn rest(&mut self) {
        writeln!(self.input.as_mut().expect("its input"), "rest").expect("told");
    }

    /// Waits until it writes no more, and nothing that it wrote is owed: the old primary has it all.
    fn wait_for_rest(&self) {
        wait_until("it rests", || self.said(|said| said.is_resting));
    }

    fn end(&mut self) {
        drop(self.input.take());
        assert!(self.child.wait().expect("its end").success(), "{} failed", self.name);
        self.listener.take().expect("a listener").join().expect("heard");
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn hear(said: &mut Said, line: &str) {
    let mut words = line.split(' ');
    match (words.next(), words.next(), words.next()) {
        (Some("end"), Some(number), Some(status)) => {
            let number: usize = number.parse().expect("a number");
            match status {
                "TC_OK" => {
                    said.acknowledged += 1;
                    said.last_ok = Some(Instant::now());
                }
                "TC_DEGRADED" => said.owed += 1,
                _ => said.failed += 1,
            }
            if status == "TC_OK" || status == "TC_DEGRADED" {
                said.kept.insert(number % KEYS, number);
            }
        }
        (Some("rests"), Some("true"), _) => said.is_resting = true,
        (Some("stats"), Some(_), _) => {
            said.stats = serde_json::from_str(&line["stats ".len()..]).expect("JSON");
        }
        _ => {}
    }
}

/// What is on the server in the end is what each writer wrote last.
fn all_is_there(troop: &Troop, primary: usize, writers: &[Writer]) {
    let reader = troop.servers[primary].open_without_l1();
    for writer in writers {
        let said = writer.said.lock().expect("nobody panics here");
        println!("{}: {} acknowledged, {} owed; {}", writer.name, said.acknowledged, said.owed, said.stats);
        assert_eq!(said.failed, 0, "of {}", writer.name);
        assert_eq!(said.kept.len(), KEYS);
        for (key, number) in &said.kept {
            let found = reader.get(format!("{}{key}", writer.name).as_bytes()).expect("a read");
            let found = found.map(|entry| String::from_utf8_lossy(entry.data()).into_owned());
            assert_eq!(found, (!removes(*number)).then(|| format!("{number}")), "{}{key}", writer.name);
        }
    }
}

fn start(troop: &Troop, folder: &Path) -> Vec<Writer> {
    let members = json!({
        "coherence": {"heartbeat_timeout_ms": 250},
        "resilience": {"deadline_ms": 500, "close_ms": 60_000},
    });
    let document = document(&troop.proxy.url(), members);
    let writers: Vec<_> = ["one", "two"].map(|name| Writer::start(name, folder, &document)).into();
    for writer in &writers {
        writer.go_on(2 * KEYS);
    }
    writers
}

#[test]
fn a_primary_that_is_killed_takes_nothing_along_that_was_acknowledged() {
    let Some(troop) = Troop::start() else { return };
    let mut troop = troop;
    let folder = tempfile::tempdir().expect("a folder");
    let mut writers = start(&troop, folder.path());
    let begin = Instant::now();
    troop.servers[0].kill();
    let now = troop.serve(|| {
        let now = troop.wait_for_successor(0);
        println!("{:.2} s after the kill there was another primary", begin.elapsed().as_secs_f64());
        for writer in &writers {
            wait_until("it is acknowledged again", || {
                writer.said(|said| said.last_ok > Some(begin + Duration::from_secs(1)))
            });
            let resumed = begin.elapsed().as_secs_f64();
            println!("{}: acknowledged again {resumed:.2} s after the kill", writer.name);
            writer.go_on(2 * KEYS);
        }
        writers.iter_mut().for_each(Writer::end);
        now
    });
    all_is_there(&troop, now, &writers);
}

#[test]
fn what_an_old_primary_acknowledged_when_it_was_one_no_more_is_on_the_new_one() {
    let Some(troop) = Troop::start() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let mut writers = start(&troop, folder.path());
    troop.servers[0].stop();
    let now = troop.wait_for_successor(0);
    // Until the Sentinels make a replica of it, it acknowledges what nobody else will ever see.
    troop.servers[0].go_on();
    for writer in &writers {
        writer.go_on(KEYS);
    }
    writers.iter_mut().for_each(Writer::rest);
    for writer in &writers {
        writer.wait_for_rest();
    }
    let begin = Instant::now();
    troop.lead_to(now);
    writers.iter_mut().for_each(Writer::end);
    println!("{:.2} s after the service led to the new primary all was there", begin.elapsed().as_secs_f64());
    all_is_there(&troop, now, &writers);
    let lost: u64 = writers
        .iter()
        .map(|writer| writer.said(|said| said.stats["written_again"].as_u64().expect("a number")))
        .sum();
    assert!(lost > 0, "the old one had acknowledged nothing");
}
