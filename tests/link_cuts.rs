//! A link to Redis that is cut at every byte of a write, of its request and of its reply: no answer says more than is
//! true, and L2 is level with what was said as soon as there is a link again.

#[path = "support/proxy.rs"]
mod proxy;
#[path = "support/redis.rs"]
mod support;

use std::io::{Read, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use proxy::Proxy;
use serde_json::json;
use support::cache::statistics;
use support::{GENEROUS, Server, document, wait_until};
use tokencache::cache::{Cache, SetOptions, SetOutcome};

/// Each waits for a link of its own, which takes a second to come back.
const AT_ONCE: usize = 48;

/// What is written while the link is cut.
#[derive(Clone, Copy, Debug)]
enum Write {
    Set,
    Swap,
    Remove,
}

/// In which direction the link is cut.
#[derive(Clone, Copy, Debug)]
enum Toward {
    Server,
    Client,
}

/// What was answered.
#[derive(Debug, PartialEq)]
enum Answer {
    Done,
    Owed,
    Failed(&'static str),
}

/// A cache behind a proxy of its own, which says nothing that it is not asked for.
fn open(server: &Server) -> (Proxy, Arc<Cache>) {
    let proxy = Proxy::before(server.port());
    let quiet = json!({
        "coherence": {"heartbeat_ms": 60_000, "heartbeat_timeout_ms": 60_000},
        "resilience": {"max_attempts": 1, "circuit_failures": 0},
    });
    let cache = Cache::open(document(&proxy.url(), quiet).as_bytes()).expect("the cache opens");
    (proxy, cache)
}

fn value(key: &str, number: u8) -> Vec<u8> {
    format!("{key} {number}").into_bytes()
}

/// Writes through a link that stands from then on; the version.
fn begin(cache: &Cache, key: &str) -> u64 {
    let mut seen = None;
    wait_until("there is a link", || {
        let answer = cache.set(key.as_bytes(), &value(key, 1), SetOptions::default());
        seen = if let Ok(SetOutcome::Stored(version)) = answer { Some(version) } else { None };
        seen.is_some()
    });
    seen.expect("a version")
}

impl Write {
    fn run(self, cache: &Cache, key: &str, seen: u64) -> Answer {
        let expected_version = if matches!(self, Write::Swap) { seen } else { 0 };
        let options = SetOptions { expected_version, ..SetOptions::default() };
        let answer = match self {
            Write::Set | Write::Swap => cache.set(key.as_bytes(), &value(key, 2), options),
            Write::Remove => cache.remove(key.as_bytes()),
        };
        match answer {
            Ok(SetOutcome::Stored(_)) => Answer::Done,
            Ok(SetOutcome::Owed(_)) => Answer::Owed,
            Ok(SetOutcome::Conflict) => panic!("{key}: nobody else writes here"),
            Err(error) => Answer::Failed(error.kind.name()),
        }
    }

    /// What L2 holds of `key` when it was done.
    fn effect(self, key: &str) -> Option<Vec<u8>> {
        (!matches!(self, Write::Remove)).then(|| value(key, 2))
    }

    /// How many bytes pass toward the server and toward the client.
    fn len(self, server: &Server) -> [usize; 2] {
        let (proxy, cache) = open(server);
        // As long as the keys that follow.
        let key = name(self, Toward::Server, 0);
        let mut passed = [0, 0];
        // The first time a server is told its scripts.
        for _ in 0..2 {
            let (seen, before) = (begin(&cache, &key), proxy.passed());
            assert_eq!(self.run(&cache, &key, seen), Answer::Done);
            let after = proxy.passed();
            passed = [after[0] - before[0], after[1] - before[1]];
        }
        passed
    }
}

fn name(write: Write, toward: Toward, at: usize) -> String {
    format!("{write:?} {toward:?} {at:05}")
}

/// Has the link cut after `at` bytes, and answers what was said.
fn cut(server: &Server, write: Write, toward: Toward, at: usize) -> Answer {
    let key = name(write, toward, at);
    let (proxy, cache) = open(server);
    let seen = begin(&cache, &key);
    match toward {
        Toward::Server => proxy.cut_request_after(at),
        Toward::Client => proxy.cut_after(at),
    }
    let answer = write.run(&cache, &key, seen);
    let stored = || server.fields(key.as_bytes()).remove("data");
    let (before, after) = (Some(value(&key, 1)), write.effect(&key));
    let is_level = || stored() == after;
    let what = format!("{key}: {answer:?}");
    match &answer {
        Answer::Done => assert!(is_level(), "{what}, and L2 has not heard of it"),
        Answer::Owed | Answer::Failed("TC_L2_UNREACHABLE") => {
            let found = stored();
            assert!(found == before || found == after, "{what}, and L2 has something else: {found:?}");
        }
        Answer::Failed(_) => panic!("{what}"),
    }
    proxy.heal();
    if answer == Answer::Owed {
        assert!(cache.flush(GENEROUS), "{what}, and L2 never gets it");
        assert!(is_level(), "{what}, and L2 has {:?}", stored());
    }
    wait_until(&format!("{what}: it is read from L2 as it is"), || {
        let found = cache.get(key.as_bytes());
        found.is_ok_and(|found| found.map(|entry| entry.data().to_vec()) == stored())
    });
    assert_eq!(statistics(&cache)["journal"]["owed_entries"], 0, "{what}");
    answer
}

fn cut_at_every_byte(write: Write) {
    let Some(server) = Server::start() else { return };
    let [request, reply] = write.len(&server);
    let cuts: Vec<_> = (0..=request)
        .map(|at| (Toward::Server, at))
        .chain((0..=reply).map(|at| (Toward::Client, at)))
        .collect();
    let (next, counts) = (AtomicUsize::new(0), [0; 3].map(AtomicUsize::new));
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(&(toward, at)) = cuts.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let count = match cut(&server, write, toward, at) {
                        Answer::Done => 0,
                        Answer::Owed => 1,
                        Answer::Failed(_) => 2,
                    };
                    counts[count].fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    let [done, owed, failed] = counts.map(AtomicUsize::into_inner);
    println!(
        "{write:?}: {request} bytes of a request, {reply} of a reply; {done} done, {owed} owed, {failed} failed"
    );
    assert!(owed + failed >= request, "the cuts are no cuts");
}

#[test]
fn a_set_is_done_or_owed_wherever_its_link_is_cut() {
    cut_at_every_byte(Write::Set);
}

#[test]
fn a_swap_is_done_or_failed_wherever_its_link_is_cut() {
    cut_at_every_byte(Write::Swap);
}

#[test]
fn a_remove_is_done_or_owed_wherever_its_link_is_cut() {
    cut_at_every_byte(Write::Remove);
}

/// What the tests rely on that cut the answer to one write and not the write itself.
#[test]
fn a_cut_that_is_asked_for_when_something_has_passed_waits_for_what_comes_next() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let proxy = Proxy::before(listener.local_addr().expect("an address").port());
    for round in 0..200 {
        let mut client = TcpStream::connect(("127.0.0.1", proxy.port())).expect("the proxy");
        let (mut server, _) = listener.accept().expect("the proxy's link");
        let [_, before] = proxy.passed();
        server.write_all(b"1").expect("a link");
        let end = Instant::now() + GENEROUS;
        while proxy.passed()[1] == before {
            assert!(Instant::now() < end, "never: it passes");
        }
        // The proxy is about to write what it has counted.
        proxy.cut_after(0);
        let mut answer = [0];
        client.read_exact(&mut answer).expect("it has passed");
        client.write_all(b"2").expect("a link");
        server.read_exact(&mut answer).unwrap_or_else(|error| panic!("round {round}: {error}"));
        server.write_all(b"3").expect("a link");
        assert!(!matches!(client.read(&mut answer), Ok(1..)), "round {round}: it is not cut");
        proxy.heal();
    }
}
