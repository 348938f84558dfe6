//! The circuit before a real L2 that goes and comes back: who is kept from it, who asks it meanwhile, and how soon
//! calls go to it again.

#[path = "support/proxy.rs"]
mod proxy;
#[path = "support/redis.rs"]
mod support;

use std::io::Read;
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use proxy::Proxy;
use serde_json::{Value, json};
use support::cache::{merge, statistics};
use support::{GENEROUS, Server, document, free_port, status, wait_until, written};
use tokencache::cache::{Cache, SetOptions};
use tokencache::log::{Level, Sink};
use tokencache::resilience::{Decision, FailedAttempt, Hook};

/// A call that waits for L2 waits this long; one that does not is over in a part of it on any machine.
const DEADLINE: Duration = Duration::from_secs(30);
/// What is promised to be 2 s, on a machine that has much to do.
const RECOVERY: Duration = Duration::from_secs(20);

/// A cache without L1 that asks once.
fn open(url: &str, more: Value) -> Arc<Cache> {
    let deadline_ms = u64::try_from(DEADLINE.as_millis()).expect("a small number");
    let mut members = json!({
        "l1": {"enabled": false},
        "resilience": {"deadline_ms": deadline_ms, "max_attempts": 1},
    });
    merge(&mut members, more);
    Cache::open(document(url, members).as_bytes()).expect("the cache opens")
}

/// Members for a server that stands still: how soon that is noticed, and who waits how long for it.
fn brief(deadline_ms: u64, probe_ms: u64) -> Value {
    json!({
        "coherence": {"heartbeat_timeout_ms": 250},
        "resilience": {"deadline_ms": deadline_ms, "probe_ms": probe_ms},
    })
}

/// Stores what is read, however short the deadline is, so that nothing but L2 answers for it.
fn stock(cache: &Cache) {
    wait_until("it is stored", || written(cache.set(b"k", b"1", SetOptions::default())) == "TC_OK");
    assert!(cache.flush(GENEROUS));
}

fn get(cache: &Cache) -> &'static str {
    status(cache.get(b"k").map(drop))
}

/// Of a key of its own: what is owed for it would answer for L2.
fn set(cache: &Cache) -> &'static str {
    written(cache.set(b"set", b"2", SetOptions::default()))
}

fn circuit(cache: &Cache) -> Value {
    statistics(cache)["l2"]["circuit"].clone()
}

fn state(cache: &Cache) -> String {
    circuit(cache)["state"].as_str().expect("a word").to_owned()
}

/// Fails as often as it takes; how often that was.
fn until_it_opens(cache: &Cache) -> usize {
    let begin = Instant::now();
    let mut failures = 0;
    while get(cache) != "TC_L2_SUSPENDED" {
        failures += 1;
        assert!(begin.elapsed() < GENEROUS, "it does not open after {failures} failures");
    }
    failures
}

/// Waits until calls go through again, and says after how long.
fn recovery(cache: &Cache, what: &str) {
    let begin = Instant::now();
    wait_until("L2 is used again", || get(cache) == "TC_OK");
    let took = begin.elapsed();
    println!("{what}: used again after {took:?}");
    assert!(took < RECOVERY, "{took:?}");
    wait_until("it is closed", || state(cache) == "closed");
}

/// Every operation, many times: none waits, and what is written is kept.
fn nobody_waits(cache: &Cache) {
    let begin = Instant::now();
    for _ in 0..100 {
        assert_eq!([get(cache), status(cache.touch(b"k"))], ["TC_L2_SUSPENDED"; 2]);
        assert_eq!([set(cache), written(cache.remove(b"removed"))], ["TC_DEGRADED"; 2]);
    }
    assert!(begin.elapsed() < DEADLINE / 2, "{:?}", begin.elapsed());
}

#[derive(Default)]
struct Asked(AtomicUsize);

impl Hook for Asked {
    fn decide(&self, _: &FailedAttempt) -> Decision {
        self.0.fetch_add(1, Ordering::SeqCst);
        Decision::Default
    }
}

#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<(Level, String)>>>);

impl Sink for Heard {
    fn write(&self, level: Level, _: &'static str, message: &str) -> bool {
        self.0.lock().expect("nobody panics here").push((level, message.to_owned()));
        true
    }
}

impl Heard {
    fn about_the_circuit(&self) -> Vec<(Level, String)> {
        let heard = self.0.lock().expect("nobody panics here").clone();
        heard.into_iter().filter(|(_, message)| message.starts_with("The circuit")).collect()
    }
}

#[test]
fn a_server_that_is_killed_is_left_alone_until_it_is_back() {
    let Some(mut server) = Server::start() else { return };
    let cache = open(&server.url(), json!({}));
    stock(&cache);
    let (asked, heard) = (Arc::new(Asked::default()), Heard::default());
    cache.on_retry(Some(Arc::clone(&asked) as Arc<dyn Hook>));
    cache.on_log(Level::Warn, Some(Box::new(heard.clone())));
    server.kill();
    assert_eq!(until_it_opens(&cache), 5);
    nobody_waits(&cache);
    assert_eq!(asked.0.load(Ordering::SeqCst), 5, "TC_L2_SUSPENDED is no attempt");

    let error = cache.get(b"k").map(drop).expect_err("suspended");
    assert!(error.message.contains("5 attempts in a row failed; it is probed each 1000 ms"), "{error}");
    let l2 = &statistics(&cache)["l2"];
    let told = &l2["circuit"];
    assert_eq!((&told["state"], &told["opened"]), (&json!("open"), &json!(1)));
    assert!(told["suspended_calls"].as_u64() >= Some(402), "{told}");
    assert_eq!(l2["failed_calls"]["TC_L2_SUSPENDED"], told["suspended_calls"]);
    assert_eq!(l2["failed_attempts"]["TC_L2_SUSPENDED"], 0);
    assert!(error.message.contains(told["reason"].as_str().expect("a sentence")), "{told}");
    wait_until("time passes", || circuit(&cache)["open_ms"].as_u64() > Some(10));

    server.restart();
    recovery(&cache, "killed");
    // Whoever closes it says so a moment later.
    wait_until("both are told", || heard.about_the_circuit().len() >= 2);
    let said = heard.about_the_circuit();
    let [(Level::Warn, opened), (Level::Warn, closed)] = &said[..] else { panic!("{said:?}") };
    assert!(opened.contains("opened, because 5 attempts in a row failed"), "{opened}");
    assert!(closed.contains("closed: L2 answers again, after "), "{closed}");
    let records = heard.0.lock().expect("nobody panics here").len();
    assert!(records < 20, "{records} records: a suspended call is not one");
}

#[test]
fn a_server_that_stands_still_is_left_alone_until_it_goes_on() {
    let Some(server) = Server::start() else { return };
    let cache = open(&server.url(), brief(400, 1_000));
    stock(&cache);
    server.stop();
    until_it_opens(&cache);
    let mut longest = Duration::ZERO;
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(3) {
        let call = Instant::now();
        assert_eq!(get(&cache), "TC_L2_SUSPENDED");
        longest = longest.max(call.elapsed());
    }
    println!("stopped: the longest of the calls took {longest:?}");
    server.go_on();
    recovery(&cache, "stopped");
}

#[test]
fn a_link_that_swallows_everything_is_replaced_and_used_again() {
    let Some(server) = Server::start() else { return };
    let proxy = Proxy::before(server.port());
    let cache = open(&proxy.url(), brief(300, 1_000));
    stock(&cache);
    proxy.fall_silent();
    until_it_opens(&cache);
    let before = proxy.accepted();
    wait_until("another link is tried", || proxy.accepted() > before);
    proxy.heal();
    recovery(&cache, "silent");
}

#[test]
fn a_server_slower_than_the_deadline_stays_away() {
    let Some(server) = Server::start() else { return };
    let proxy = Proxy::before(server.port());
    let cache = open(&proxy.url(), brief(300, 100));
    stock(&cache);
    proxy.delay(Duration::from_millis(700));
    until_it_opens(&cache);
    wait_until("it is probed", || circuit(&cache)["probes"].as_u64() >= Some(4));
    assert_eq!(get(&cache), "TC_L2_SUSPENDED", "its answers come too late for calls");
    proxy.heal();
    recovery(&cache, "slow");
}

#[test]
fn at_most_one_probe_a_second_reaches_a_server_that_takes_nobody() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let knocks = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&knocks);
    std::thread::spawn(move || {
        for mut link in listener.incoming().flatten() {
            counted.fetch_add(1, Ordering::SeqCst);
            let _ = link.read(&mut [0; 64]);
        }
    });
    let cache = open(&format!("redis://127.0.0.1:{port}/0"), json!({}));
    until_it_opens(&cache);
    let (before, begin) = (knocks.load(Ordering::SeqCst), Instant::now());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while begin.elapsed() < Duration::from_secs(6) {
                    assert_eq!(get(&cache), "TC_L2_SUSPENDED");
                    std::thread::sleep(Duration::from_micros(100));
                }
            });
        }
    });
    wait_until("it is probed", || knocks.load(Ordering::SeqCst) > before);
    let (knocks, seconds) = (knocks.load(Ordering::SeqCst) - before, begin.elapsed().as_secs_f64());
    println!("{knocks} links in {seconds:.1} s");
    assert!(knocks >= 1 && knocks as f64 <= seconds + 1.0, "{knocks} links in {seconds:.1} s");
}

#[test]
fn at_most_one_probe_a_second_reaches_a_server_that_refuses_reads() {
    let Some(server) = Server::start() else { return };
    server.ask::<()>("ACL SETUSER app on >secret ~p:* +@all");
    // Heartbeats are no probes.
    let members =
        json!({"l2": {"username": "app", "password": "secret"}, "coherence": {"heartbeat_ms": 60_000}});
    let cache = open(&server.url(), members);
    wait_until("it is connected", || get(&cache) == "TC_OK");
    // It is let in, and may do nothing there.
    server.ask::<()>("ACL SETUSER app -@all");
    assert_eq!(until_it_opens(&cache), 5);
    let pings = || {
        let calls: String = server.ask("INFO commandstats");
        let ping = calls.lines().find(|line| line.starts_with("cmdstat_ping:"));
        let refused =
            ping.and_then(|line| line.split("rejected_calls=").nth(1)?.split(',').next()?.parse().ok());
        refused.unwrap_or(0_u64)
    };
    let (before, begin) = (pings(), Instant::now());
    while begin.elapsed() < Duration::from_secs(5) {
        assert_eq!(get(&cache), "TC_L2_SUSPENDED");
    }
    wait_until("it is probed", || pings() > before);
    let (probes, seconds) = (pings() - before, begin.elapsed().as_secs_f64());
    println!("{probes} probes in {seconds:.1} s");
    assert!(probes >= 1 && probes as f64 <= seconds + 1.0, "{probes} probes in {seconds:.1} s");
    server.ask::<()>("ACL SETUSER app +@all");
    recovery(&cache, "refused");
}

#[test]
fn what_refuses_writes_alone_is_read_as_ever() {
    let Some(server) = Server::start() else { return };
    let cache = open(&server.url(), json!({}));
    stock(&cache);
    server.ask::<()>("CONFIG SET min-replicas-to-write 1");
    for _ in 0..30 {
        assert_eq!(set(&cache), "TC_DEGRADED");
    }
    assert_eq!((get(&cache), state(&cache).as_str()), ("TC_OK", "closed"));
    server.ask::<()>("CONFIG SET min-replicas-to-write 0");
    server.ask::<()>("CONFIG SET maxmemory 1");
    for _ in 0..30 {
        assert_eq!(set(&cache), "TC_DEGRADED");
    }
    assert_eq!((get(&cache), state(&cache).as_str()), ("TC_OK", "closed"));
}

#[test]
fn a_share_of_the_last_20_is_enough() {
    let Some(server) = Server::start() else { return };
    let proxy = Proxy::before(server.port());
    let share = json!({"resilience": {"circuit_failures": 1000, "circuit_ratio": 0.2}});
    let cache = open(&proxy.url(), share);
    for number in 1..=4 {
        wait_until("it is connected", || get(&cache) == "TC_OK");
        proxy.cut_after(3);
        assert_ne!(get(&cache), "TC_OK");
        proxy.heal();
        // Those that were lost in connecting count as well.
        if state(&cache) == "open" {
            break;
        }
        assert!(number < 4, "4 of 20 have failed");
    }
    assert!(circuit(&cache)["reason"].is_string());
    recovery(&cache, "cut");
}

#[test]
fn another_address_closes_it_at_once_also_from_the_callback() {
    let (Some(mut here), Some(there)) = (Server::start(), Server::start()) else { return };
    let cache = open(&here.url(), json!({}));
    // Nothing is written, so that nothing is made again on the other server and answers for it.
    wait_until("it is connected", || get(&cache) == "TC_OK");
    let document_of = |server: &Server| {
        document(&server.url(), json!({"l1": {"enabled": false}, "resilience": {"max_attempts": 2}}))
    };
    here.kill();
    until_it_opens(&cache);
    cache.configure(document_of(&there).as_bytes()).expect("configured");
    assert_eq!((get(&cache), state(&cache).as_str()), ("TC_OK", "closed"));
    // What it wrote to the one before it makes again on this one, and until then knows.
    assert!(cache.flush(GENEROUS));

    cache.configure(document_of(&here).as_bytes()).expect("configured");
    let lead = Lead { cache: Arc::downgrade(&cache), to: document_of(&there), ..Lead::default() };
    let lead = Arc::new(lead);
    cache.on_retry(Some(Arc::clone(&lead) as Arc<dyn Hook>));
    let mut more =
        json!({"l1": {"enabled": false}, "resilience": {"max_attempts": 2, "circuit_failures": 1}});
    merge(&mut more, json!({"resilience": {"deadline_ms": 20_000}}));
    cache.configure(document(&here.url(), more).as_bytes()).expect("configured");
    assert_eq!(get(&cache), "TC_OK", "the attempt after the callback goes to the other server");
    assert_eq!(*lead.inside.lock().expect("a lock"), ["TC_L2_SUSPENDED", "TC_OK"]);
    assert_eq!(circuit(&cache)["opened"], 2);
    cache.on_retry(None);
}

/// Reads, leads to another server, and reads again.
#[derive(Default)]
struct Lead {
    cache: std::sync::Weak<Cache>,
    to: String,
    inside: Mutex<Vec<&'static str>>,
}

impl Hook for Lead {
    fn decide(&self, _: &FailedAttempt) -> Decision {
        let cache = self.cache.upgrade().expect("an open cache");
        let mut inside = self.inside.lock().expect("a lock");
        inside.push(get(&cache));
        cache.configure(self.to.as_bytes()).expect("configured");
        inside.push(get(&cache));
        Decision::Retry(0)
    }
}

#[test]
fn a_document_with_another_time_between_probes_and_replays_holds_at_once() {
    let Some(mut server) = Server::start() else { return };
    let members = |probe_ms| {
        json!({
            "l1": {"enabled": false},
            "resilience": {"deadline_ms": 1000, "max_attempts": 1, "probe_ms": probe_ms, "close_ms": 0},
        })
    };
    let cache = server.open(members(600_000));
    stock(&cache);
    server.kill();
    wait_until("it is owed", || set(&cache) == "TC_DEGRADED");
    // The replay that fails rests for as long as a probe would.
    assert!(!cache.flush(Duration::from_millis(100)));
    until_it_opens(&cache);
    server.restart();
    cache.configure(server.document(members(50)).as_bytes()).expect("configured");
    wait_until("it is asked", || state(&cache) != "open");
    wait_until("nothing is owed", || statistics(&cache)["journal"]["owed_entries"] == 0);
}

#[test]
fn a_document_without_a_circuit_closes_it() {
    let address = format!("redis://127.0.0.1:{}/0", free_port());
    let cache = open(&address, json!({}));
    until_it_opens(&cache);
    let without =
        json!({"l1": {"enabled": false}, "resilience": {"circuit_failures": 0, "deadline_ms": 100}});
    cache.configure(document(&address, without).as_bytes()).expect("configured");
    for _ in 0..10 {
        assert_ne!(get(&cache), "TC_L2_SUSPENDED");
    }
    assert_eq!(state(&cache), "closed");
}

#[test]
fn a_call_whose_own_attempts_open_it_says_what_it_met() {
    let address = format!("redis://127.0.0.1:{}/0", free_port());
    let retries = json!({"max_attempts": 10, "backoff_ms": 0, "max_backoff_ms": 0, "circuit_failures": 2,
                         "deadline_ms": 60_000});
    let cache = open(&address, json!({"resilience": retries}));
    assert_eq!(get(&cache), "TC_L2_UNREACHABLE");
    assert_eq!((statistics(&cache)["l2"]["retries"].as_u64(), state(&cache).as_str()), (Some(1), "open"));
}

#[test]
fn a_read_that_nobody_waits_for_is_answered_too() {
    let cache = open(&format!("redis://127.0.0.1:{}/0", free_port()), json!({}));
    until_it_opens(&cache);
    let (told, landed) = channel();
    let told = move |found: tokencache::error::Result<_>| told.send(found.map(drop)).expect("a listener");
    cache.get_in_background(b"k", Instant::now(), Box::new(told));
    assert_eq!(status(landed.recv_timeout(GENEROUS).expect("an answer")), "TC_L2_SUSPENDED");
}

#[test]
fn a_forked_child_starts_closed() {
    let cache = open(&format!("redis://127.0.0.1:{}/0", free_port()), json!({}));
    until_it_opens(&cache);
    let child = cache.reopened().expect("another inside");
    assert_eq!(state(&child), "closed");
    assert_eq!(get(&child), "TC_L2_UNREACHABLE");
}

#[test]
fn closing_does_not_wait_for_a_probe() {
    let Some(server) = Server::start() else { return };
    let cache = open(&server.url(), brief(300, 50));
    wait_until("it is connected", || get(&cache) == "TC_OK");
    server.stop();
    until_it_opens(&cache);
    wait_until("it is probed", || circuit(&cache)["probes"].as_u64() >= Some(1));
    let begin = Instant::now();
    cache.close();
    assert!(begin.elapsed() < GENEROUS / 4, "{:?}", begin.elapsed());
    server.go_on();
}
