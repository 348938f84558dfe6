//! A stock .NET service on the same Redis: what we write it reads, what it writes we read.

#[path = "support/dotnet.rs"]
mod dotnet;
#[path = "support/library.rs"]
mod library;
#[path = "support/program.rs"]
mod program;
#[path = "support/stock.rs"]
mod stock;
#[path = "support/redis.rs"]
mod support;

use redis::cmd;
use serde_json::json;
use stock::{Lasting, Stock};
use support::{Server, stored};
use tokencache::cache::{Cache, SetOptions, SetOutcome};
use tokencache::clock;
use tokencache::entry::{Asked, Lifetime, NEVER};

const HOUR_MS: i64 = 3_600_000;
/// Not of whole seconds, to which a stock writer cuts the TTL.
const WINDOW_MS: i64 = 1_200_500;
/// What a loaded machine may take for a few calls.
const SLACK_MS: i64 = 120_000;

/// A value and how long it lives, in each of the forms that services store.
struct Shape {
    key: &'static str,
    value: Vec<u8>,
    lasting: Lasting,
}

fn shapes() -> [Shape; 7] {
    let absolute = Some(clock::unix_ms() + HOUR_MS);
    let shape = |key, value: &[u8], expires_at_ms, sliding_ms| Shape {
        key,
        value: value.to_vec(),
        lasting: Lasting { expires_at_ms, sliding_ms },
    };
    let token: Vec<u8> = (0..7_168).map(|at| b"eyJhbGciOiJSUzI1NiJ9."[at * at % 21]).collect();
    let binary: Vec<u8> = (0..=255).chain((0..=255).rev()).collect();
    [
        shape("absolute", b"until then", absolute, None),
        shape("sliding", b"while it is read", None, Some(WINDOW_MS)),
        shape("both", b"while it is read, until then", absolute, Some(WINDOW_MS)),
        shape("none", b"for ever", None, None),
        shape("empty", b"", absolute, None),
        shape("7-kb", &token, absolute, Some(WINDOW_MS)),
        shape("binary", &binary, None, None),
    ]
}

impl Lasting {
    /// The same, as our writers ask for it.
    fn options(self) -> SetOptions {
        let asked = Asked {
            ttl_ms: if self.expires_at_ms.is_none() { NEVER } else { 0 },
            expires_at_ms: self.expires_at_ms.unwrap_or(0),
            sliding_ms: self.sliding_ms.unwrap_or(0),
        };
        SetOptions { asked, ..SetOptions::default() }
    }

    /// The same, as our readers find it.
    fn lifetime(self) -> Lifetime {
        Lifetime { expires_at_ms: self.expires_at_ms.unwrap_or(0), sliding_ms: self.sliding_ms.unwrap_or(0) }
    }
}

/// That Redis keeps `shape` for as long as it is to live from now, in whole seconds or not.
fn assert_pttl(server: &Server, shape: &Shape, when: &str) {
    let left = server.pttl(&stored(shape.key.as_bytes()));
    let expected = match (shape.lasting.expires_at_ms, shape.lasting.sliding_ms) {
        (_, Some(window_ms)) => window_ms,
        (Some(_), None) => HOUR_MS,
        (None, None) => -1,
    };
    let is_expected =
        if expected < 0 { left == -1 } else { (expected - SLACK_MS..=expected).contains(&left) };
    assert!(is_expected, "{} {when}: TTL {left}, and it is to live {expected}", shape.key);
}

/// Leaves a key a life so short that a renewal is seen.
fn shorten(server: &Server, key: &str) {
    server.run::<()>(cmd("PEXPIRE").arg(stored(key.as_bytes())).arg(2 * SLACK_MS));
}

fn expecting(expected_version: u64) -> SetOptions {
    SetOptions { expected_version, ..SetOptions::default() }
}

fn version(outcome: tokencache::error::Result<SetOutcome>) -> u64 {
    match outcome.expect("a write") {
        SetOutcome::Stored(version) => version,
        SetOutcome::Owed(_) => panic!("owed to L2"),
        SetOutcome::Conflict => panic!("a conflict"),
    }
}

fn data(cache: &Cache, key: &str) -> Option<Vec<u8>> {
    cache.get(key.as_bytes()).expect("a read").map(|entry| entry.data().to_vec())
}

/// The beginning of the SHA-1 of what lies there, as the server makes it.
fn digest(server: &Server, key: &str) -> u64 {
    let script = "return string.sub(redis.sha1hex(redis.call('HGET', KEYS[1], 'data')), 1, 16)";
    let hex: String = server.run(cmd("EVAL").arg(script).arg(1).arg(stored(key.as_bytes())));
    u64::from_str_radix(&hex, 16).expect("hex")
}

fn both() -> Option<(Server, Stock)> {
    let server = Server::start()?;
    let stock = Stock::on(&server)?;
    Some((server, stock))
}

#[test]
fn stock_reads_what_we_write() {
    let Some((server, mut stock)) = both() else { return };
    let cache = server.open(json!({}));
    for shape in shapes() {
        version(cache.set(shape.key.as_bytes(), &shape.value, shape.lasting.options()));
        assert_pttl(&server, &shape, "as we wrote it");
        assert!(stock.get(shape.key).as_ref() == Some(&shape.value), "{}", shape.key);
        assert_pttl(&server, &shape, "as stock read it");
        // And once more, now that the reader has renewed what slides.
        assert!(stock.get(shape.key).as_ref() == Some(&shape.value), "{}", shape.key);
    }
    assert_eq!(stock.get("nothing"), None);
}

#[test]
fn we_read_what_stock_writes() {
    let Some((server, mut stock)) = both() else { return };
    let caches = [server.open(json!({})), server.open_without_l1()];
    for shape in shapes() {
        stock.set(shape.key, &shape.value, shape.lasting);
        assert_pttl(&server, &shape, "as stock wrote it");
        for cache in &caches {
            let entry = cache.get(shape.key.as_bytes()).expect("a read").expect("an entry");
            assert!(entry.data() == shape.value, "{}", shape.key);
            assert_eq!(entry.lifetime(), shape.lasting.lifetime(), "{}", shape.key);
            assert_eq!(entry.version(), digest(&server, shape.key));
            assert_eq!(entry.written_at_ms(), 0, "stock writers do not say when");
        }
        assert_pttl(&server, &shape, "as we read it");
    }
}

#[test]
fn each_renews_what_the_other_wrote() {
    let Some((server, mut stock)) = both() else { return };
    let cache = server.open_without_l1();
    for shape in shapes() {
        let key = shape.key;
        cache.set(key.as_bytes(), &shape.value, shape.lasting.options()).expect("stored");
        if shape.lasting.sliding_ms.is_some() {
            shorten(&server, key);
        }
        stock.refresh(key);
        assert_pttl(&server, &shape, "ours, refreshed by stock");

        server.ask::<()>(&format!("UNLINK p:{key}"));
        stock.set(key, &shape.value, shape.lasting);
        if shape.lasting.sliding_ms.is_some() {
            shorten(&server, key);
        }
        assert_eq!(cache.touch(key.as_bytes()), Ok(true));
        assert_pttl(&server, &shape, "of stock, touched by us");
        assert!(data(&cache, key).as_ref() == Some(&shape.value), "{key}");
    }
}

#[test]
fn a_renewal_stops_at_the_absolute_end() {
    let Some((server, mut stock)) = both() else { return };
    let cache = server.open_without_l1();
    let lasting = Lasting { expires_at_ms: Some(clock::unix_ms() + HOUR_MS), sliding_ms: Some(2 * HOUR_MS) };
    let left = |key: &str| server.pttl(&stored(key.as_bytes()));
    cache.set(b"ours", b"1", lasting.options()).expect("stored");
    stock.set("theirs", b"1", lasting);
    shorten(&server, "ours");
    shorten(&server, "theirs");
    stock.refresh("ours");
    assert_eq!(cache.touch(b"theirs"), Ok(true));
    for key in ["ours", "theirs"] {
        assert!((HOUR_MS - SLACK_MS..=HOUR_MS).contains(&left(key)), "{key}: {}", left(key));
    }
}

#[test]
fn each_sees_what_the_other_removed() {
    let Some((server, mut stock)) = both() else { return };
    let cache = server.open_without_l1();
    let seen = version(cache.set(b"k", b"ours", SetOptions::default()));
    stock.remove("k");
    assert_eq!(data(&cache, "k"), None);
    assert_eq!(data(&server.open(json!({})), "k"), None);
    assert_eq!(cache.touch(b"k"), Ok(false));
    assert_eq!(cache.set(b"k", b"late", expecting(seen)), Ok(SetOutcome::Conflict));
    version(cache.set(b"k", b"ours", expecting(u64::MAX)));

    assert_eq!(stock.get("k").as_deref(), Some(&b"ours"[..]));
    cache.remove(b"k").expect("removed");
    assert_eq!(stock.get("k"), None);
    // What we remember of the remove is no obstacle to a writer who knows nothing of it.
    stock.set("k", b"theirs", Lasting::default());
    assert_eq!(data(&cache, "k").as_deref(), Some(&b"theirs"[..]));
    cache.remove(b"k").expect("removed");
    assert_eq!(stock.get("k"), None);
}

#[test]
fn a_compare_and_swap_notices_a_stock_write() {
    let Some((server, mut stock)) = both() else { return };
    for cache in [server.open_without_l1(), server.open(json!({}))] {
        let seen = version(cache.set(b"k", b"ours", SetOptions::default()));
        stock.set("k", b"theirs", Lasting::default());
        assert_eq!(cache.set(b"k", b"late", expecting(seen)), Ok(SetOutcome::Conflict));
        assert_eq!(cache.set(b"k", b"late", expecting(u64::MAX)), Ok(SetOutcome::Conflict));
        assert_eq!(stock.get("k").as_deref(), Some(&b"theirs"[..]));
        let entry = cache.get(b"k").expect("a read").expect("an entry");
        assert_eq!(entry.data(), b"theirs", "after a conflict a reader sees who was faster");
        version(cache.set(b"k", b"merged", expecting(entry.version())));
        assert_eq!(stock.get("k").as_deref(), Some(&b"merged"[..]));
        assert_eq!(data(&cache, "k").as_deref(), Some(&b"merged"[..]));
    }
}

#[test]
fn a_stock_write_leaves_our_field_and_we_do_not_believe_it() {
    let Some((server, mut stock)) = both() else { return };
    let cache = server.open_without_l1();
    let seen = version(cache.set(b"k", b"ours", SetOptions::default()));
    let ver = server.fields(b"k")["ver"].clone();
    stock.set("k", b"theirs", Lasting::default());
    let fields = server.fields(b"k");
    assert_eq!((&fields["ver"], &fields["data"][..]), (&ver, &b"theirs"[..]));
    let entry = cache.get(b"k").expect("a read").expect("an entry");
    assert_eq!(entry.version(), digest(&server, "k"));
    assert_ne!(entry.version(), seen);
    assert_eq!(entry.written_at_ms(), 0, "the field says when we wrote, not when they did");
}
