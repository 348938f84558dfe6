//! What a link that was given up had not delivered is not done later: a write that was made again over another link, and
//! that others have followed with their own, must not come back.

#[path = "support/proxy.rs"]
mod proxy;
#[path = "support/redis.rs"]
mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::thread;
use std::time::Duration;

use proxy::Proxy;
use serde_json::json;
use support::cache::statistics;
use support::{GENEROUS, Server, document, wait_until, written};
use tokencache::cache::{Cache, SetOptions, SetOutcome};
use tokencache::resilience::{Decision, FailedAttempt, Hook};

fn open(url: &str) -> Arc<Cache> {
    let members = json!({
        "l1": {"enabled": false},
        "coherence": {"heartbeat_ms": 50, "heartbeat_timeout_ms": 100},
        "resilience": {"deadline_ms": 30_000, "max_attempts": 10, "circuit_failures": 0},
    });
    Cache::open(document(url, members).as_bytes()).expect("the cache opens")
}

fn links(cache: &Cache, what: &str) -> u64 {
    statistics(cache)["l2"]["store"][format!("links_{what}")].as_u64().expect("a number")
}

/// Something on the way that takes what is sent and passes it on when its sender has long gone.
#[test]
fn a_write_that_something_on_the_way_holds_is_not_done_after_it_was_made_again() {
    let Some(server) = Server::start() else { return };
    let (slow, other) = (Proxy::before(server.port()), open(&server.url()));
    let cache = open(&slow.url());
    for round in 0..20 {
        let set =
            |cache: &Cache, value: &str| written(cache.set(b"key", value.as_bytes(), SetOptions::default()));
        assert_eq!(set(&cache, "before"), "TC_OK");
        let lost = links(&cache, "lost");
        slow.hold();
        let first = format!("first {round}");
        let setting = thread::spawn({
            let (cache, first) = (Arc::clone(&cache), first.clone());
            move || written(cache.set(b"key", first.as_bytes(), SetOptions::default()))
        });
        assert_eq!(setting.join().expect("no panic"), "TC_OK");
        assert!(links(&cache, "lost") > lost, "the link was not given up");
        let second = format!("second {round}");
        assert_eq!(set(&other, &second), "TC_OK");
        slow.release();
        // Both ways of the proxy have passed what they held, or have seen that there is nobody.
        wait_until("the proxy lets go", || slow.held() == 0);
        for _ in 0..3 {
            let found = other.get(b"key").expect("an answer").expect("the entry");
            assert_eq!(String::from_utf8_lossy(found.data()), second);
        }
    }
}

/// A process whose writes are owed in the file in `folder` when they take longer than `deadline_ms`.
fn process(slow: &Proxy, folder: &Path, deadline_ms: u64) -> Arc<Cache> {
    let members = json!({
        "l1": {"enabled": false},
        "resilience": {
            "deadline_ms": deadline_ms,
            "max_attempts": 1,
            "circuit_failures": 0,
            "close_ms": 0,
            "journal_path": folder.join("owed.db"),
        },
    });
    Cache::open(document(&slow.url(), members).as_bytes()).expect("the cache opens")
}

/// Whoever sent it has gone, and another process has brought to L2 what it had owed.
#[test]
fn a_write_that_is_held_on_the_way_is_not_done_after_another_process_has_brought_it() {
    let Some(server) = Server::start() else { return };
    let slow = Proxy::before(server.port());
    let folder = tempfile::tempdir().expect("a folder");
    let set =
        |cache: &Cache, value: &str| written(cache.set(b"key", value.as_bytes(), SetOptions::default()));
    for (is_tried, is_flushed) in [(false, true), (false, false), (true, true), (true, false)] {
        let gone = process(&slow, folder.path(), 200);
        wait_until("it is written", || set(&gone, "before") == "TC_OK");
        assert!(gone.flush(GENEROUS));
        slow.hold();
        assert_eq!(set(&gone, "first"), "TC_DEGRADED");
        // It begins to bring it there itself, over the link that is held, which is not to be forgotten for that.
        assert!(!is_tried || !gone.flush(Duration::from_millis(300)));
        assert!(!gone.close());
        let other = process(&slow, folder.path(), 30_000);
        if is_flushed {
            assert!(other.flush(GENEROUS));
        }
        // What it answers TC_DEGRADED to it still owes itself.
        wait_until("it is written over", || set(&other, "second") == "TC_OK");
        slow.release();
        wait_until("the proxy lets go", || slow.held() == 0);
        for _ in 0..3 {
            let found = other.get(b"key").expect("an answer").expect("the entry");
            let found = String::from_utf8_lossy(found.data());
            assert_eq!(found, "second", "tried: {is_tried}, flushed: {is_flushed}");
        }
    }
}

/// A merged set is stored where nothing is, and there is nothing again when somebody has signed out.
#[test]
fn a_merged_set_that_is_held_on_the_way_is_not_done_after_another_process_has_removed_it() {
    let Some(server) = Server::start() else { return };
    let slow = Proxy::before(server.port());
    let folder = tempfile::tempdir().expect("a folder");
    let gone = process(&slow, folder.path(), 200);
    let merge = |key: &[u8]| {
        let merged = gone.set_merged(key, None, b"{}", SetOptions::default());
        written(merged.map(|(outcome, _)| outcome))
    };
    // From then on the server knows the script.
    wait_until("one is stored", || {
        let _ = gone.remove(b"another");
        gone.flush(GENEROUS) && merge(b"another") == "TC_OK"
    });
    slow.hold();
    assert_eq!(merge(b"key"), "TC_DEGRADED");
    assert!(!gone.close());
    let other = process(&slow, folder.path(), 30_000);
    wait_until("it is removed", || written(other.remove(b"key")) == "TC_OK");
    slow.release();
    wait_until("the proxy lets go", || slow.held() == 0);
    for _ in 0..3 {
        assert!(other.get(b"key").expect("an answer").is_none());
    }
}

/// Whoever repairs the connection in the callback may name another way to the same server.
struct Detour {
    document: String,
    cache: OnceLock<Weak<Cache>>,
}

impl Hook for Detour {
    fn decide(&self, _: &FailedAttempt) -> Decision {
        let cache = self.cache.get().and_then(Weak::upgrade).expect("the cache");
        cache.configure(self.document.as_bytes()).expect("another way");
        Decision::Retry(0)
    }
}

#[test]
fn a_write_that_is_held_on_the_way_is_not_done_after_another_document_has_led_around_it() {
    let Some(server) = Server::start() else { return };
    let (slow, other) = (Proxy::before(server.port()), open(&server.url()));
    // The link is left before anybody has noticed that it is of no use.
    let members = json!({
        "l1": {"enabled": false},
        "coherence": {"heartbeat_ms": 60_000, "heartbeat_timeout_ms": 60_000},
        "resilience": {"deadline_ms": 4_000, "max_attempts": 2, "circuit_failures": 0},
    });
    let cache = Cache::open(document(&slow.url(), members.clone()).as_bytes()).expect("the cache opens");
    let set =
        |cache: &Cache, value: &str| written(cache.set(b"key", value.as_bytes(), SetOptions::default()));
    wait_until("it is written", || set(&cache, "before") == "TC_OK");
    let around = Arc::new(Detour { document: document(&server.url(), members), cache: OnceLock::new() });
    around.cache.set(Arc::downgrade(&cache)).expect("nobody has");
    cache.on_retry(Some(around));
    slow.hold();
    wait_until("it is made again", || set(&cache, "first") == "TC_OK");
    assert_eq!(set(&other, "second"), "TC_OK");
    slow.release();
    wait_until("the proxy lets go", || slow.held() == 0);
    for _ in 0..3 {
        let found = other.get(b"key").expect("an answer").expect("the entry");
        assert_eq!(String::from_utf8_lossy(found.data()), "second");
    }
}

/// The kernel would try for minutes to deliver what is left of a link.
#[test]
fn a_link_that_is_given_up_is_reset() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("redis://{}/0", listener.local_addr().expect("an address"));
    let Some(server) = Server::start() else { return };
    let cache = open(&url);
    let asking = thread::spawn(move || cache.get(b"key").map(drop));
    let (mut client, _) = listener.accept().expect("a link");
    let mut real = TcpStream::connect(("127.0.0.1", server.port())).expect("a server");
    real.set_nonblocking(true).expect("a socket");
    client.set_nonblocking(true).expect("a socket");
    let mut buffer = [0; 4096];
    // The greeting is answered, and after it nothing: the link stands, and is silent.
    let mut is_greeted = false;
    let ended = loop {
        match client.read(&mut buffer) {
            Ok(0) => break None,
            Ok(len) if !is_greeted => real.write_all(&buffer[..len]).expect("a server"),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::yield_now(),
            Err(error) => break Some(error.kind()),
        }
        if let Ok(len @ 1..) = real.read(&mut buffer) {
            is_greeted |= buffer[..len].windows(3).any(|window| window == b"run");
            client.write_all(&buffer[..len]).expect("a client");
        }
    };
    assert_eq!(ended, Some(ErrorKind::ConnectionReset));
    drop((listener, client));
    let _ = asking.join();
}

/// Has somebody else write, and the writer itself read that, before the attempt whose answer was lost is made again.
struct Rival {
    proxy: Proxy,
    other: Arc<Cache>,
    write: fn(&Cache),
    writer: OnceLock<Weak<Cache>>,
    has_written: AtomicBool,
}

impl Hook for Rival {
    fn decide(&self, _: &FailedAttempt) -> Decision {
        self.proxy.heal();
        (self.write)(&self.other);
        self.has_written.store(true, Ordering::SeqCst);
        let writer = self.writer.get().and_then(Weak::upgrade).expect("the writer");
        drop(writer.get(b"contested").expect("a read"));
        Decision::Retry(0)
    }
}

/// A key that held `before`, a cache whose next answer is lost, which is that to its next write and not to a heartbeat,
/// and what another makes of it then.
fn contested(server: &Server, write: fn(&Cache)) -> (Arc<Cache>, Arc<Rival>) {
    let (proxy, other) = (Proxy::before(server.port()), server.open(json!({})));
    let rival = Arc::new(Rival { proxy, other, write, writer: OnceLock::new(), has_written: false.into() });
    let members = json!({
        "coherence": {"heartbeat_ms": 60_000, "heartbeat_timeout_ms": 60_000},
        "resilience": {"deadline_ms": 30_000, "max_attempts": 2, "circuit_failures": 0},
    });
    let cache = Cache::open(document(&rival.proxy.url(), members).as_bytes()).expect("the cache opens");
    assert_eq!(set(&cache, "before"), "TC_OK");
    assert!(rival.writer.set(Arc::downgrade(&cache)).is_ok());
    cache.on_retry(Some(Arc::clone(&rival) as Arc<dyn Hook>));
    (cache, rival)
}

fn set(cache: &Cache, value: &str) -> &'static str {
    written(cache.set(b"contested", value.as_bytes(), SetOptions::default()))
}

/// Swaps what is there.
fn swap(cache: &Cache, value: &str) -> tokencache::error::Result<SetOutcome> {
    let expected_version = cache.get(b"contested").expect("a read").expect("an entry").version();
    cache.set(b"contested", value.as_bytes(), SetOptions { expected_version, ..SetOptions::default() })
}

#[test]
fn a_swap_whose_answer_was_lost_is_no_conflict_when_somebody_has_written_since() {
    let Some(server) = Server::start() else { return };
    let (cache, rival) = contested(&server, |other| assert_eq!(set(other, "theirs"), "TC_OK"));
    let expected_version = cache.get(b"contested").expect("a read").expect("an entry").version();
    rival.proxy.cut_after(0);
    let options = SetOptions { expected_version, ..SetOptions::default() };
    let refused = cache.set(b"contested", b"ours", options).map(drop).expect_err("nobody knows");
    assert_eq!(refused.kind.name(), "TC_L2_UNREACHABLE");
    assert!(refused.message.contains("nobody knows whether this write was made"), "{refused}");
    assert_eq!(server.fields(b"contested")["data"], b"theirs");
}

/// What was owed has been brought to L2, and has lost.
fn theirs_stands(server: &Server, cache: &Cache, rival: &Rival) {
    assert!(rival.has_written.load(Ordering::SeqCst), "nobody has written since: ours was not made");
    assert!(cache.flush(GENEROUS));
    assert_eq!(server.fields(b"contested")["data"], b"theirs");
    assert_eq!(cache.get(b"contested").expect("a read").expect("an entry").data(), b"theirs");
}

/// They read what was stored, and swap it: that their swap was acknowledged is not undone.
#[test]
fn a_set_whose_answer_was_lost_does_not_undo_the_swap_that_followed_it() {
    let Some(server) = Server::start() else { return };
    let (cache, rival) = contested(&server, |other| {
        wait_until("it is there", || {
            other.get(b"contested").is_ok_and(|found| found.expect("an entry").data() == b"ours")
        });
        assert!(matches!(swap(other, "theirs"), Ok(SetOutcome::Stored(_))));
    });
    rival.proxy.cut_after(0);
    assert_eq!(set(&cache, "ours"), "TC_DEGRADED");
    theirs_stands(&server, &cache, &rival);
}

/// They sign in again.
#[test]
fn a_removal_whose_answer_was_lost_does_not_undo_the_set_that_followed_it() {
    let Some(server) = Server::start() else { return };
    let (cache, rival) = contested(&server, |other| {
        wait_until("it is gone", || other.get(b"contested").is_ok_and(|found| found.is_none()));
        assert_eq!(set(other, "theirs"), "TC_OK");
    });
    rival.proxy.cut_after(0);
    assert_eq!(written(cache.remove(b"contested")), "TC_DEGRADED");
    theirs_stands(&server, &cache, &rival);
}

#[test]
fn a_set_and_a_removal_whose_answers_were_lost_are_acknowledged_when_nobody_has_written_since() {
    let Some(server) = Server::start() else { return };
    let (cache, rival) = contested(&server, |_| ());
    for is_set in [true, false] {
        rival.proxy.cut_after(0);
        let written = if is_set { set(&cache, "ours") } else { written(cache.remove(b"contested")) };
        assert_eq!(written, "TC_OK");
        let found = rival.other.get(b"contested").expect("a read").map(|entry| entry.data().to_vec());
        assert_eq!(found.as_deref(), is_set.then_some(&b"ours"[..]));
    }
}
