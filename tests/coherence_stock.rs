//! L1 beside stock .NET services on one Redis: what they write, renew and remove is heard, and what we do they see at
//! once. Where there is no SDK, their recorded traffic is replayed.

#[path = "support/dotnet.rs"]
mod dotnet;
#[path = "coherence_stock/hidden.rs"]
mod hidden;
#[path = "support/library.rs"]
mod library;
#[path = "support/program.rs"]
mod program;
#[path = "coherence_stock/replay.rs"]
mod replay;
#[path = "support/stock.rs"]
mod stock;
#[path = "coherence_stock/storm.rs"]
mod storm;
#[path = "support/redis.rs"]
mod support;
#[path = "support/traffic.rs"]
mod traffic;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use redis::cmd;
use serde_json::json;
use stock::{Adapter, Lasting, Stock};
use support::cache::is_long;
use support::{GENEROUS, PREFIX, Server, stored};
use tokencache::cache::{Cache, SetOptions, SetOutcome};
use tokencache::clock;
use tokencache::entry::{Asked, Entry, NEVER};

const HOUR_MS: i64 = 3_600_000;
/// So much later than half that no read of ours renews a window of an hour yet, and so much earlier than its end that
/// a renewal is seen.
const SHORTENED_MS: i64 = 50 * 60_000;
/// What a loaded machine may take for a few calls.
const SLACK_MS: i64 = 120_000;

/// A cache that does not take a loaded machine for a server that is gone.
fn open(server: &Server) -> Arc<Cache> {
    open_at(server, PREFIX)
}

fn open_at(server: &Server, prefix: &str) -> Arc<Cache> {
    let coherence = json!({"heartbeat_ms": 60_000, "heartbeat_timeout_ms": 60_000});
    server.open(json!({"l2": {"key_prefix": prefix}, "coherence": coherence}))
}

fn absolute() -> Lasting {
    Lasting { expires_at_ms: Some(clock::unix_ms() + HOUR_MS), sliding_ms: None }
}

fn sliding() -> Lasting {
    Lasting { expires_at_ms: None, sliding_ms: Some(HOUR_MS) }
}

/// The same, as our writers ask for it.
fn options(lasting: Lasting) -> SetOptions {
    let asked = Asked {
        ttl_ms: if lasting.expires_at_ms.is_none() { NEVER } else { 0 },
        expires_at_ms: lasting.expires_at_ms.unwrap_or(0),
        sliding_ms: lasting.sliding_ms.unwrap_or(0),
    };
    SetOptions { asked, ..SetOptions::default() }
}

fn write(cache: &Cache, key: &[u8], value: &[u8], lasting: Lasting) {
    assert!(matches!(cache.set(key, value, options(lasting)), Ok(SetOutcome::Stored(_))));
}

fn read(cache: &Cache, key: &[u8]) -> Option<Entry> {
    cache.get(key).expect("a read")
}

fn data(cache: &Cache, key: &[u8]) -> Option<Vec<u8>> {
    read(cache, key).map(|entry| entry.data().to_vec())
}

/// Waits until what was done before has been heard: this read is answered by L2, on the link that tells the changes,
/// and what comes before an answer is heard before it.
fn catch_up(cache: &Cache) {
    assert!(read(cache, b"nothing is ever here").is_none());
}

/// The entry that L1 serves, with everything heard that was done up to now.
fn hold(cache: &Cache, key: &[u8]) -> Entry {
    catch_up(cache);
    read(cache, key).expect("an entry");
    cache.peek(key).expect("L1 serves what was just read")
}

/// Waits until `condition` holds, without sleeping, which would be longer than what is waited for.
fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + GENEROUS;
    while !condition() {
        assert!(Instant::now() < end, "never: {what}");
        thread::yield_now();
    }
}

fn until_unverified(cache: &Cache, key: &[u8]) {
    until("the change is heard", || cache.peek(key).is_none());
}

/// Whether both are one entry, also where one is a view of it.
fn is_one(one: &Entry, other: &Entry) -> bool {
    std::ptr::eq(one.data(), other.data())
}

fn left_ms(entry: &Entry) -> i64 {
    entry.deadline_ms().saturating_sub(clock::monotonic_ms())
}

fn assert_left(entry: &Entry, expected_ms: i64, when: &str) {
    let left = left_ms(entry);
    assert!((expected_ms - SLACK_MS..=expected_ms).contains(&left), "{when}: {left} ms of {expected_ms}");
}

fn both() -> Option<(Server, Stock)> {
    let server = Server::start()?;
    let stock = Stock::on(&server)?;
    Some((server, stock))
}

#[test]
fn what_a_stock_service_does_is_heard() {
    let Some((server, mut stock)) = both() else { return };
    let cache = open(&server);
    let both = Lasting { sliding_ms: Some(HOUR_MS), expires_at_ms: Some(clock::unix_ms() + 3 * HOUR_MS) };
    for (key, lasting) in
        [("absolute", absolute()), ("sliding", sliding()), ("both", both), ("none", Lasting::default())]
    {
        stock.set(key, b"first", lasting);
        let first = hold(&cache, key.as_bytes());
        assert_eq!(first.data(), b"first");

        stock.set(key, b"second", lasting);
        until_unverified(&cache, key.as_bytes());
        assert_eq!(read(&cache, key.as_bytes()).expect("an entry").data(), b"second", "{key}");
        assert_eq!(first.data(), b"first", "who has read it may go on reading it");

        let second = hold(&cache, key.as_bytes());
        for call in [Stock::refresh, |stock: &mut Stock, key: &str| drop(stock.get(key))] {
            renew(&server, &cache, &mut stock, (key, lasting, &second), call);
        }

        // The same bytes once more are no change.
        stock.set(key, b"second", lasting);
        until_unverified(&cache, key.as_bytes());
        assert!(is_one(&second, &hold(&cache, key.as_bytes())), "{key}");

        stock.remove(key);
        until_unverified(&cache, key.as_bytes());
        assert!(read(&cache, key.as_bytes()).is_none(), "{key}");
    }
}

/// That a `call` of stock, which renews what slides, leaves `held` where it is, with the life that it has now.
fn renew(
    server: &Server,
    cache: &Cache,
    stock: &mut Stock,
    (key, lasting, held): (&str, Lasting, &Entry),
    call: impl Fn(&mut Stock, &str),
) {
    if lasting.sliding_ms.is_none() {
        call(stock, key);
        catch_up(cache);
        assert!(is_one(held, &cache.peek(key.as_bytes()).expect("nothing was changed")), "{key}");
        return;
    }
    server.run::<()>(cmd("PEXPIRE").arg(stored(key.as_bytes())).arg(SHORTENED_MS));
    let shortened = hold(cache, key.as_bytes());
    assert_left(&shortened, SHORTENED_MS, key);
    call(stock, key);
    until_unverified(cache, key.as_bytes());
    let renewed = read(cache, key.as_bytes()).expect("an entry");
    assert!(is_one(held, &shortened) && is_one(held, &renewed), "{key}");
    assert_left(&renewed, HOUR_MS, key);
    assert!(left_ms(&renewed) > SHORTENED_MS, "{key}");
}

#[test]
fn what_we_do_a_stock_service_sees_at_once() {
    let Some((server, mut stock)) = both() else { return };
    let cache = open(&server);
    for (key, lasting) in [("absolute", absolute()), ("sliding", sliding())] {
        for value in [&b"first"[..], b"second"] {
            write(&cache, key.as_bytes(), value, lasting);
            let held = cache.peek(key.as_bytes()).expect("a writer keeps what it wrote");
            assert_eq!(stock.get(key).as_deref(), Some(value), "{key}");
            catch_up(&cache);
            // Its EXPIRE is one more look for us, and no more.
            assert_eq!(cache.peek(key.as_bytes()).is_none(), lasting.sliding_ms.is_some(), "{key}");
            assert!(is_one(&held, &hold(&cache, key.as_bytes())), "{key}");
        }
        cache.remove(key.as_bytes()).expect("removed");
        assert_eq!(stock.get(key), None, "{key}");
    }
}

/// A stock service says what an entry is and then until when the key lives: in between it may die, or we look.
#[test]
fn an_entry_whose_key_has_no_end_yet_does_not_outlive_its_own_by_our_renewal() {
    let Some(server) = Server::start() else { return };
    let cache = open(&server);
    let minutes_ms = 5 * 60_000;
    let absexp = (clock::unix_ms() + minutes_ms) * 10_000 + traffic::UNIX_EPOCH_TICKS;
    let mut set = cmd("HMSET");
    set.arg(stored(b"k")).arg("absexp").arg(absexp).arg("sldexp").arg(HOUR_MS * 10_000);
    server.run::<()>(set.arg("data").arg("theirs"));
    let held = hold(&cache, b"k");
    assert_left(&held, minutes_ms, "as it was read");
    assert_eq!(cache.touch(b"k"), Ok(true));
    assert_left(&hold(&cache, b"k"), minutes_ms, "as we renewed it");
}

/// Rounds in which now the one writes, now the other, while a thread reads all the time.
#[test]
fn in_thousands_of_alternating_rounds_nothing_is_stale_and_nothing_is_lost() {
    let Some((server, mut stock)) = both() else { return };
    let cache = open(&server);
    let rounds: u64 = if is_long() { 40_000 } else { 4_000 };
    let (is_over, reads, backwards) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let (mut stale, mut unseen, mut removed, mut at_once, mut heard) = (0, 0, 0, 0, 0);
    let key = "k";
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut newest = 0;
            while !is_over.load(Ordering::Relaxed) {
                let seen = read(&cache, key.as_bytes()).map_or(newest, |entry| number(&entry));
                backwards.fetch_add(u64::from(seen < newest), Ordering::Relaxed);
                newest = newest.max(seen);
                reads.fetch_add(1, Ordering::Relaxed);
                thread::sleep(Duration::from_micros(100));
            }
        });
        for round in 1..=rounds {
            let value = format!("{round} {}", "x".repeat(2_000));
            let lasting = if round % 4 < 2 { absolute() } else { sliding() };
            let (is_stock, removes) = (round % 2 == 1, round % 16 > 13);
            let expected = (!removes).then_some(value.as_bytes());
            match (is_stock, removes) {
                (true, false) => stock.set(key, value.as_bytes(), lasting),
                (true, true) => stock.remove(key),
                (false, false) => write(&cache, key.as_bytes(), value.as_bytes(), lasting),
                (false, true) => assert!(cache.remove(key.as_bytes()).is_ok()),
            }
            removed += u64::from(removes);
            if is_stock {
                // The other reader may have been faster, and L1 have the new value by now.
                let is_heard =
                    || cache.peek(key.as_bytes()).is_none_or(|entry| Some(entry.data()) == expected);
                at_once += u64::from(is_heard());
                catch_up(&cache);
                heard += u64::from(is_heard());
            } else {
                unseen += u64::from(stock.get(key).as_deref() != expected);
            }
            stale += u64::from(data(&cache, key.as_bytes()).as_deref() != expected);
        }
        is_over.store(true, Ordering::Relaxed);
    });
    let (reads, backwards) = (reads.into_inner(), backwards.into_inner());
    println!(
        "{rounds} rounds ({removed} removes): {heard} changes of the stock service heard, {at_once} of them before its \
         caller could ask; {stale} stale, {unseen} of ours unseen, {backwards} of {reads} reads beside them went backwards"
    );
    assert_eq!((stale, unseen, backwards, heard), (0, 0, 0, rounds / 2));
    assert_eq!(removed, rounds / 16 * 2);
}

fn number(entry: &Entry) -> u64 {
    let text = std::str::from_utf8(entry.data()).expect("text");
    text.split(' ').next().and_then(|number| number.parse().ok()).expect("a number")
}

#[test]
fn an_adapter_of_identity_web_is_heard_with_its_own_l1_and_without() {
    for has_l1 in [true, false] {
        for sliding_ms in [None, Some(HOUR_MS)] {
            let Some(server) = Server::start() else { return };
            let Some(mut adapter) = Adapter::on(&server, has_l1, sliding_ms) else { return };
            let cache = open(&server);
            let first = adapter.acquire();
            assert_eq!(first.from, "IdentityProvider");
            let mut held = hold(&cache, Adapter::KEY.as_bytes());
            assert!(holds(&held, &first.token));
            for _ in 0..100 {
                let renewed = adapter.renew();
                assert_eq!(renewed.from, "IdentityProvider");
                until_unverified(&cache, Adapter::KEY.as_bytes());
                let found = read(&cache, Adapter::KEY.as_bytes()).expect("an entry");
                assert!(holds(&found, &renewed.token) && !is_one(&found, &held));

                held = hold(&cache, Adapter::KEY.as_bytes());
                let again = adapter.acquire();
                assert_eq!(again.token, renewed.token);
                assert_eq!(again.from, if has_l1 { "L1Cache" } else { "L2Cache" });
                catch_up(&cache);
                assert_eq!(cache.peek(Adapter::KEY.as_bytes()).is_none(), sliding_ms.is_some());
                assert!(is_one(&held, &hold(&cache, Adapter::KEY.as_bytes())), "its hit is no change");
            }
            adapter.remove();
            until_unverified(&cache, Adapter::KEY.as_bytes());
            assert!(read(&cache, Adapter::KEY.as_bytes()).is_none());
        }
    }
}

fn holds(entry: &Entry, token: &str) -> bool {
    entry.data().windows(token.len()).any(|part| part == token.as_bytes())
}

#[test]
fn an_adapter_without_its_own_l1_reads_what_we_write() {
    for sliding_ms in [None, Some(HOUR_MS)] {
        let Some(server) = Server::start() else { return };
        let Some(mut adapter) = Adapter::on(&server, false, sliding_ms) else { return };
        let cache = open(&server);
        let first = adapter.acquire();
        for round in 0..100 {
            let held = hold(&cache, Adapter::KEY.as_bytes());
            let blob = String::from_utf8(held.data().to_vec()).expect("JSON");
            let ours = format!("ours-{round:03}-{}", &first.token);
            let before = blob.split("\"secret\":\"").nth(1).and_then(|rest| rest.split('"').next());
            let blob = blob.replace(before.expect("a token"), &ours);
            let lasting = Lasting { sliding_ms, ..absolute() };
            write(&cache, Adapter::KEY.as_bytes(), blob.as_bytes(), lasting);
            let found = adapter.acquire();
            assert_eq!((&*found.from, &*found.token), ("L2Cache", &*ours));
        }
        cache.remove(Adapter::KEY.as_bytes()).expect("removed");
        assert_eq!(adapter.acquire().from, "IdentityProvider", "what we removed it has not");
    }
}
