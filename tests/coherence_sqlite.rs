//! Processes that share a SQLite file and keep L1 on: what one has written, the next read of another finds.

#[path = "support/cache.rs"]
mod cache;
#[path = "support/library.rs"]
mod library;
#[path = "support/program.rs"]
mod program;
#[path = "support/puppet.rs"]
mod puppet;
#[path = "support/sqlite.rs"]
mod support;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::json;
use tokencache::cache::{Cache, SetOptions};
use tokencache::coherence::Coherence;
use tokencache::l2::sqlite::SqliteStore;
use tokencache::l2::{Failure, Hearing, Mark, Witness};
use tokencache::log::{Level, Logger, Settings};

use cache::{Shared, is_long};
use puppet::Puppet;
use support::{put, role};

fn patient(shared: &Shared) -> String {
    shared.document(json!({"resilience": {"deadline_ms": 30_000}}))
}

fn often(long: u32, short: u32) -> u32 {
    if is_long() { long } else { short }
}

fn text(cache: &Cache, key: &str) -> Option<String> {
    let entry = cache.get(key.as_bytes()).expect("a read")?;
    Some(String::from_utf8(entry.data().to_vec()).expect("text"))
}

fn set(cache: &Cache, key: &str, text: &str) {
    cache.set(key.as_bytes(), text.as_bytes(), SetOptions::default()).expect("stored");
}

/// A cache that answers what L2 has.
fn truth(shared: &Shared) -> Arc<Cache> {
    shared.open(json!({"l1": {"enabled": false}, "resilience": {"deadline_ms": 30_000}}))
}

#[test]
fn what_one_process_has_written_the_next_read_of_another_finds() {
    let shared = Shared::new();
    let mut puppets = [Puppet::start(&patient(&shared)), Puppet::start(&patient(&shared))];
    let mut known: HashMap<String, String> = HashMap::new();
    let (rounds, started) = (often(100_000, 10_000), Instant::now());
    let (mut stale, mut hits, mut repeated) = (0, 0, 0);
    for round in 0..rounds {
        if round % 1000 == 0 {
            puppets.swap(0, 1);
        }
        let [writer, reader] = &mut puppets;
        let (key, value) = (format!("k{}", round % 7), round.to_string());
        let word = match round % 10 {
            4 | 7 if known.contains_key(&key) => "swap",
            9 => "remove",
            _ => "set",
        };
        assert_eq!(writer.say(&format!("{word} {key} {value}")), "TC_OK");
        if word == "remove" {
            known.remove(&key);
            stale += u32::from(reader.get(&key) != "TC_NOT_FOUND - -");
        } else {
            stale += u32::from(!reader.reads(&key, &value));
            if round % 8 == 0 {
                repeated += 1;
                hits += u32::from(reader.has(&key, &value));
            }
            known.insert(key, value);
        }
    }
    println!(
        "{rounds} writes, {stale} stale reads; {hits} of {repeated} second reads from L1; {:.1} s",
        started.elapsed().as_secs_f64()
    );
    assert_eq!(stale, 0);
    assert_eq!(hits, repeated, "L1 is on");
}

/// A coherence that stops in the middle: before the write of `k` is committed, or after.
struct Stops {
    inner: Coherence,
    before: bool,
}

impl Stops {
    fn stop() -> ! {
        println!("\nstopped");
        loop {
            std::thread::park();
        }
    }
}

impl Witness for Stops {
    fn changed(&self, key: &[u8]) {
        self.inner.changed(key);
    }
    fn may_have_changed(&self, key: &[u8]) {
        self.inner.may_have_changed(key);
    }
    fn all_changed(&self) {
        self.inner.all_changed();
    }
    fn hears(&self) {
        self.inner.hears();
    }
    fn is_deaf(&self, hearing: Hearing, why: &Failure) {
        self.inner.is_deaf(hearing, why);
    }
    fn begins(&self, key: &[u8]) -> Result<Mark, Failure> {
        let mark = self.inner.begins(key)?;
        if self.before { Stops::stop() } else { Ok(mark) }
    }
    fn ends(&self, _key: &[u8], _mark: Mark) {
        Stops::stop()
    }
    fn settles(&self) {
        self.inner.settles();
    }
}

#[test]
fn child_dies_in_a_write() {
    let (path, before) = match (role("before"), role("after")) {
        (Some(path), _) => (path, true),
        (_, Some(path)) => (path, false),
        _ => return,
    };
    let settings = Settings {
        name: "dies".into(),
        level: Level::Error,
        to_stderr: false,
        clear_keys: false,
        key_prefix: String::new(),
    };
    let log = Arc::new(Logger::new(settings));
    let inner = Coherence::shared(path.clone(), b"", &log).expect("there is memory");
    let store = SqliteStore::new(path, 0, Arc::new(Stops { inner, before }));
    let _ = put(&store, "k", b"dying", 1, support::FOREVER, tokencache::l2::Expected::Anything);
}

/// Lets a process write `k`, and kills it in the middle.
fn die(shared: &Shared, role: &str) {
    use std::io::{BufRead, BufReader};
    let mut command = support::command("child_dies_in_a_write", role, &shared.database());
    let mut child = command.stdout(std::process::Stdio::piped()).spawn().expect("a child");
    let output = BufReader::new(child.stdout.take().expect("its output"));
    assert!(output.lines().any(|line| line.expect("text") == "stopped"), "it has not come so far");
    child.kill().expect("killed");
    child.wait().expect("its end");
}

#[test]
fn a_slot_that_a_dead_writer_left_open_is_not_trusted_until_the_next_one_heals_it() {
    for (role, left) in [("before", "old"), ("after", "dying")] {
        let shared = Shared::new();
        let document = shared.document(json!({"coherence": {"heartbeat_ms": 50}}));
        let mut puppets = [Puppet::start(&patient(&shared)), Puppet::start(&document)];
        for round in 0..3 {
            let own = shared.open(json!({"resilience": {"deadline_ms": 30_000}}));
            set(&own, "k", "old");
            set(&own, "other", "old");
            for puppet in &mut puppets {
                assert!(puppet.reads("k", "old") && puppet.has("k", "old") && puppet.reads("other", "old"));
            }
            die(&shared, role);
            let until = Instant::now() + Duration::from_millis(700);
            let mut reads = 0;
            while Instant::now() < until || reads <= 2 {
                for puppet in &mut puppets {
                    assert_eq!(puppet.get("k"), format!("TC_OK l2 {left}"), "{role}: not from L1");
                    assert!(puppet.has("other", "old"), "another slot stands");
                    reads += 1;
                }
            }
            let healed = round.to_string();
            set(&own, "k", &healed);
            for puppet in &mut puppets {
                assert!(puppet.reads("k", &healed) && puppet.has("k", &healed), "trusted again");
            }
        }
    }
}

#[test]
fn a_writer_killed_at_any_moment_leaves_nobody_with_an_old_value() {
    let shared = Shared::new();
    let (truth, own) = (truth(&shared), shared.open(json!({"resilience": {"deadline_ms": 30_000}})));
    let mut readers = [Puppet::start(&patient(&shared)), Puppet::start(&patient(&shared))];
    let (rounds, mut next, mut left_open, mut read) = (often(200, 60), 1_u64, 0, 0_u64);
    let number = |answer: &str| -> u64 {
        let value = answer.strip_prefix("TC_OK l").and_then(|rest| rest.get(2..));
        value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{answer}"))
    };
    for _ in 0..rounds {
        let mut writer = Puppet::start(&patient(&shared));
        writer.tell(&format!("write_on k {next}"));
        let mut told = 0;
        for _ in 0..fastrand::u32(1..12) {
            told = writer.answer().expect("it writes").parse().expect("a number");
            for reader in &mut readers {
                read += 1;
                assert!(number(&reader.get("k")) >= told, "stale while it writes");
            }
        }
        // Any moment of a write, which takes about so long.
        let moment = Instant::now() + Duration::from_micros(fastrand::u64(0..400));
        while Instant::now() < moment {
            std::hint::spin_loop();
        }
        writer.kill();
        while let Some(line) = writer.answer() {
            told = line.parse().expect("a number");
        }
        let stored: u64 = text(&truth, "k").expect("an entry").parse().expect("a number");
        assert!(stored == told || stored == told + 1);
        let mut is_open = false;
        for reader in &mut readers {
            assert_eq!(number(&reader.get("k")), stored, "stale after its death");
            is_open |= !reader.has("k", &stored.to_string());
        }
        left_open += u32::from(is_open);
        let healed = (stored + 1).to_string();
        set(&own, "k", &healed);
        for reader in &mut readers {
            assert!(reader.reads("k", &healed) && reader.has("k", &healed), "trusted again");
        }
        next = stored + 2;
    }
    println!("{rounds} writers killed, {left_open} left their slot open; {read} reads meanwhile, 0 stale");
}

#[test]
fn who_writes_a_row_under_another_prefix_is_heard_of() {
    let shared = Shared::new();
    let [whole, part, none] = [("orders:", "k"), ("ord", "ers:k"), ("", "orders:k")].map(|(prefix, key)| {
        (shared.open(json!({"l2": {"key_prefix": prefix}, "coherence": {"heartbeat_ms": 60_000}})), key)
    });
    for (writer, reader) in [(&whole, &none), (&none, &whole), (&part, &whole), (&whole, &part)] {
        set(&writer.0, writer.1, "old");
        assert_eq!(text(&reader.0, reader.1).as_deref(), Some("old"));
        assert!(reader.0.peek(reader.1.as_bytes()).is_some(), "L1 has it");
        set(&writer.0, writer.1, "new");
        assert_eq!(text(&reader.0, reader.1).as_deref(), Some("new"));
        writer.0.remove(writer.1.as_bytes()).expect("removed");
        assert_eq!(text(&reader.0, reader.1), None);
    }
}

#[test]
fn parent_and_forked_child_hear_of_each_other() {
    let shared = Shared::new();
    let mut family = Puppet::start(&patient(&shared));
    family.set("k", "parent");
    assert!(family.has("k", "parent"));
    assert_eq!(family.say("fork"), "forked");
    for round in 0..often(10_000, 1_000) {
        let (parents, childs) = (format!("p{round}"), format!("c{round}"));
        family.set("k", &parents);
        let heard = family.say("child get k");
        assert!(heard.starts_with("TC_OK ") && heard.ends_with(&format!(" {parents}")), "the child: {heard}");
        assert_eq!(family.say("child get k"), format!("TC_OK l1 {parents}"));
        assert_eq!(family.say(&format!("child set k {childs}")), "TC_OK");
        assert!(family.reads("k", &childs), "the parent: {}", family.get("k"));
        assert!(family.has("k", &childs));
    }
    assert_eq!(family.say("child remove k"), "TC_OK");
    assert_eq!(family.get("k"), "TC_NOT_FOUND - -");
}

#[test]
fn at_rest_l1_holds_what_l2_does_whatever_was_read_and_written_and_held_up_before() {
    let shared = Shared::new();
    let (truth, own) = (truth(&shared), shared.open(json!({"resilience": {"deadline_ms": 30_000}})));
    let mut puppet = Puppet::start(&patient(&shared));
    let (rounds, mut stale, mut held, mut stalls) = (often(10_000, 1_000), 0, 0, 0);
    set(&own, "k0", "first");
    for round in 0..rounds {
        let key = format!("k{}", round % 3);
        let theirs = if round % 3 == 0 { String::new() } else { format!("theirs{round}") };
        puppet.tell(&format!("storm {key} {theirs}"));
        for write in 0..3 {
            // In the middle of whatever its four threads do.
            let is_stalled = fastrand::bool();
            if is_stalled {
                puppet.signal(Signal::SIGSTOP);
                stalls += 1;
            }
            write_around(&own, &key, &format!("ours{round}-{write}"), || puppet.signal(Signal::SIGCONT));
        }
        assert_eq!(puppet.answer().as_deref(), Some("done"));
        let stored = text(&truth, &key);
        let expected = stored.unwrap_or_else(|| "-".into());
        let peeked = puppet.say(&format!("peek {key}"));
        let is_held = peeked.starts_with("TC_OK");
        held += u32::from(is_held);
        stale += u32::from(is_held && peeked != format!("TC_OK l1 {expected}"));
        stale += u32::from(!puppet.reads(&key, &expected));
        stale += u32::from(text(&own, &key).as_deref() != Some(&expected));
    }
    println!("{rounds} rounds, {stalls} stalls, L1 held the key after {held}, {stale} stale");
    assert_eq!(stale, 0);
}

/// Writes, and lets go on who was stopped: after that, or where it was stopped with the write lock in its hands, after
/// a while.
fn write_around(cache: &Cache, key: &str, value: &str, go_on: impl FnOnce()) {
    let is_written = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            set(cache, key, value);
            is_written.store(true, Ordering::SeqCst);
        });
        let until = Instant::now() + Duration::from_millis(5);
        while !is_written.load(Ordering::SeqCst) && Instant::now() < until {
            std::thread::yield_now();
        }
        go_on();
    });
}
