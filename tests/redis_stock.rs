//! Entries of stock .NET services, as recorded: those that it wrote, and odd ones that it did not.

#[path = "support/redis.rs"]
mod support;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use redis::cmd;
use serde_json::{Value, json};
use support::{Server, stored};
use tokencache::cache::{Cache, SetOptions, SetOutcome};
use tokencache::clock;
use tokencache::entry::{Asked, NEVER};

/// .NET ticks at Unix time 0, and at the end of its last year.
const UNIX_EPOCH_TICKS: i64 = 621_355_968_000_000_000;
const LAST_TICKS: i64 = 3_155_378_975_999_999_999;

type Fields = BTreeMap<String, Vec<u8>>;

fn entries(name: &str) -> Vec<Value> {
    let path = format!("{}/tests/fixtures/redis/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).expect("a fixture");
    let mut document: Value = serde_json::from_str(&text).expect("JSON");
    serde_json::from_value(document["entries"].take()).expect("a list")
}

fn bytes(hex: &Value) -> Vec<u8> {
    let hex = hex.as_str().expect("hex");
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex")).collect()
}

fn fields(entry: &Value) -> Fields {
    let fields = entry["fields_hex"].as_object().expect("fields");
    fields.iter().map(|(name, value)| (name.clone(), bytes(value))).collect()
}

fn number(bytes: &[u8]) -> i64 {
    std::str::from_utf8(bytes).expect("text").parse().expect("a number")
}

fn restore(server: &Server, redis_key: &[u8], fields: &Fields, pttl_ms: i64) {
    server.run::<()>(cmd("UNLINK").arg(redis_key));
    for (name, value) in fields {
        server.run::<()>(cmd("HSET").arg(redis_key).arg(name).arg(value));
    }
    if pttl_ms > 0 {
        server.run::<()>(cmd("PEXPIRE").arg(redis_key).arg(pttl_ms));
    }
}

/// `2026-11-24T22:15:52.6372608+00:00` in ticks.
fn written_at_ticks(entry: &Value) -> i64 {
    let text = entry["written_at"].as_str().expect("a time");
    let day = text.strip_prefix("2026-11-24T").expect("the day of the recording");
    let part = |range: std::ops::Range<usize>| number(&day.as_bytes()[range]);
    let seconds = (part(0..2) * 60 + part(3..5)) * 60 + part(6..8);
    // The day began at Unix time 1795478400.
    (1_795_478_400 + seconds) * 10_000_000 + part(9..16) + UNIX_EPOCH_TICKS
}

/// How long it will be served from here, in milliseconds.
fn left_ms(entry: &tokencache::entry::Entry) -> i64 {
    entry.deadline_ms().saturating_sub(clock::monotonic_ms())
}

#[test]
fn what_stock_services_wrote_is_read_with_its_bytes_and_its_lifetime() {
    let Some(server) = Server::start() else { return };
    let recorded = entries("stock-entries");
    assert_eq!(recorded.len(), 18);
    for entry in recorded {
        let name = entry["name"].as_str().expect("a name");
        let (mut fields, redis_key) = (fields(&entry), bytes(&entry["redis_key_hex"]));
        let pttl_ms = entry["pttl_ms"].as_i64().expect("a number");
        if entry["is_relative"] == true {
            let now = clock::unix_ms() * 10_000 + UNIX_EPOCH_TICKS;
            let absexp = number(&fields["absexp"]) - written_at_ticks(&entry) + now;
            fields.insert("absexp".into(), absexp.to_string().into());
        }
        let before = Instant::now();
        restore(&server, &redis_key, &fields, pttl_ms);
        let members = json!({"l2": {"key_prefix": entry["prefix"]}});
        let cache = server.open(members);
        let key = entry["key"].as_str().expect("a key").as_bytes();
        let found = cache.get(key).expect("a read").unwrap_or_else(|| panic!("{name} is not found"));
        let left = left_ms(&found);

        assert_eq!(found.data(), bytes(&entry["value_hex"]), "{name}");
        let (absexp, sldexp) = (number(&fields["absexp"]), number(&fields["sldexp"]));
        let expires_at_ms = if absexp < 0 { 0 } else { (absexp - UNIX_EPOCH_TICKS) / 10_000 };
        let sliding_ms = if sldexp < 0 { 0 } else { sldexp / 10_000 };
        let lifetime = found.lifetime();
        assert_eq!((lifetime.expires_at_ms, lifetime.sliding_ms), (expires_at_ms, sliding_ms), "{name}");
        if pttl_ms < 0 {
            assert!(left > 1_000_000_000_000, "{name}: {left} ms left, and it never ends");
        } else {
            // Its own end may lie before that of the key, whose TTL is in whole seconds. Clocks are read apart.
            let now_ms = clock::unix_ms();
            let passed = before.elapsed().as_millis() as i64;
            let latest =
                if expires_at_ms == 0 { pttl_ms } else { pttl_ms.min(expires_at_ms - now_ms + passed) };
            assert!(left <= latest + 20, "{name}: L1 keeps it {left} ms, L2 {latest}");
            assert!(left >= latest - passed - 1_000, "{name}: L1 keeps it {left} ms, L2 {latest}");
        }
        assert!(found.version() != 0 && found.version() != u64::MAX);
        assert_eq!(found.written_at_ms(), 0, "{name}: nobody said when");
    }
}

#[test]
fn a_compare_and_swap_over_what_a_stock_service_wrote_keeps_the_stock_form() {
    let Some(server) = Server::start() else { return };
    for entry in entries("stock-entries") {
        if entry["is_relative"] == true {
            continue;
        }
        let redis_key = bytes(&entry["redis_key_hex"]);
        restore(&server, &redis_key, &fields(&entry), entry["pttl_ms"].as_i64().expect("a number"));
        let cache = server.open(json!({"l2": {"key_prefix": entry["prefix"]}}));
        let key = entry["key"].as_str().expect("a key").as_bytes();
        let version = cache.get(key).expect("a read").expect("an entry").version();
        let swap = SetOptions { expected_version: version, ..SetOptions::default() };
        assert!(matches!(cache.set(key, b"ours", swap), Ok(SetOutcome::Stored(_))), "{entry}");
        assert_takes(&server, &redis_key);
    }
}

/// That a stock reader takes it: what it throws on must never be written.
fn assert_takes(server: &Server, redis_key: &[u8]) {
    let fields: Fields = server.run(cmd("HGETALL").arg(redis_key));
    let (absexp, sldexp) = (number(&fields["absexp"]), number(&fields["sldexp"]));
    assert!(absexp == -1 || (1..=LAST_TICKS).contains(&absexp), "absexp {absexp}");
    assert!(sldexp == -1 || sldexp > 0, "sldexp {sldexp}");
    assert!(fields.contains_key("data"));
}

/// What we make of each odd entry. Where we differ from stock: what is past has ended (stock serves it for ever, or
/// once more), and so has what a stock reader deletes as it reads; and where stock throws we answer a status.
const ANSWERS: &str = "
entry                 get              touch            set             remove
extra-fields          DATA             ok               ok              ok
extra-fields-sliding  DATA             ok               ok              ok
no-absexp             DATA             ok               ok              ok
no-sldexp             DATA             ok               ok              ok
data-only             DATA             ok               ok              ok
no-data               nothing          nothing          ok              ok
no-data-sliding       nothing          nothing          ok              ok
empty-data            empty            ok               ok              ok
foreign-hash          nothing          nothing          ok              ok
string                TC_L2_PROTOCOL   TC_L2_PROTOCOL   TC_L2_PROTOCOL  ok
list                  TC_L2_PROTOCOL   TC_L2_PROTOCOL   TC_L2_PROTOCOL  ok
past-absexp           nothing          nothing          ok              ok
past-absexp-sliding   nothing          nothing          ok              ok
future-absexp-no-ttl  DATA             ok               ok              ok
sliding-no-ttl        DATA             ok               ok              ok
sliding-longer-ttl    DATA             ok               ok              ok
sliding-half-second   DATA             ok               ok              ok
sliding-1500ms        DATA             ok               ok              ok
sliding-zero          nothing          nothing          ok              ok
sliding-minus-2       nothing          nothing          ok              ok
absexp-zero           nothing          nothing          ok              ok
absexp-minus-2        TC_L2_PROTOCOL   TC_L2_PROTOCOL   ok              ok
absexp-too-big        TC_L2_PROTOCOL   TC_L2_PROTOCOL   ok              ok
sldexp-max            DATA             ok               ok              ok
absexp-beyond-int64   TC_L2_PROTOCOL   TC_L2_PROTOCOL   ok              ok
absexp-text           TC_L2_PROTOCOL   TC_L2_PROTOCOL   ok              ok
absexp-empty          TC_L2_PROTOCOL   TC_L2_PROTOCOL   ok              ok
sldexp-empty          TC_L2_PROTOCOL   TC_L2_PROTOCOL   ok              ok
absexp-float          TC_L2_PROTOCOL   TC_L2_PROTOCOL   ok              ok
absexp-exponent       nothing          nothing          ok              ok
absexp-space          TC_L2_PROTOCOL   TC_L2_PROTOCOL   ok              ok
absexp-plus           nothing          nothing          ok              ok
absexp-leading-zero   DATA             ok               ok              ok
";

fn answers() -> BTreeMap<&'static str, Vec<&'static str>> {
    let mut lines = ANSWERS.trim().lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    let rows: BTreeMap<_, _> = lines.by_ref().map(|words| (words[0], words[1..].to_vec())).collect();
    assert_eq!(rows.len(), 33);
    rows
}

fn name<T>(answer: tokencache::error::Result<T>, done: impl FnOnce(T) -> String) -> String {
    answer.map_or_else(|error| error.kind.name().to_owned(), done)
}

fn answer(cache: &Cache, operation: &str, key: &[u8]) -> String {
    let lasting =
        |ttl_ms| SetOptions { asked: Asked { ttl_ms, ..Asked::default() }, ..SetOptions::default() };
    let nothing = || "nothing".to_owned();
    match operation {
        "get" => name(cache.get(key), |found| {
            found.map_or_else(nothing, |entry| match entry.data() {
                b"" => "empty".to_owned(),
                data => String::from_utf8_lossy(data).into_owned(),
            })
        }),
        "touch" => name(cache.touch(key), |found| if found { "ok".to_owned() } else { nothing() }),
        "set_never" => name(cache.set(key, b"NEW", lasting(NEVER)), |_| "ok".to_owned()),
        "set_hour" => name(cache.set(key, b"NEW", lasting(3_600_000)), |_| "ok".to_owned()),
        "remove" => name(cache.remove(key), |_| "ok".to_owned()),
        _ => panic!("{operation}"),
    }
}

/// Whether a TTL is what `expected` is after at most `passed`; below zero: none, or no key. A recorded one was itself
/// read a moment late.
fn is_ttl(found: i64, expected: i64, passed: Duration) -> bool {
    let passed = passed.as_millis() as i64 + 2;
    // A thousand years are as good as for ever.
    const ENDLESS_MS: i64 = 999 * 365 * 86_400_000;
    match expected {
        -1 => found == -1 || found > ENDLESS_MS,
        ..0 => found == expected,
        _ => (expected - passed..=expected + 10).contains(&found),
    }
}

#[test]
fn each_odd_entry_gets_the_answer_of_our_table_and_keeps_a_ttl_no_worse_than_stock_leaves() {
    let Some(server) = Server::start() else { return };
    let (answers, mut wrong) = (answers(), Vec::new());
    let cache = server.open_without_l1();
    for odd in entries("odd-entries") {
        let key = odd["name"].as_str().expect("a name");
        let seeded_ms = odd["pttl_ms"].as_i64().expect("a number");
        let is_hash = odd["type"] == "hash";
        for (operation, column) in
            [("get", 0), ("touch", 1), ("set_never", 2), ("set_hour", 2), ("remove", 3)]
        {
            let before = Instant::now();
            match odd["type"].as_str().expect("a type") {
                "hash" => restore(&server, &stored(key.as_bytes()), &fields(&odd), seeded_ms),
                "string" => server.run(cmd("SET").arg(stored(key.as_bytes())).arg("DATA")),
                "list" => server.run(cmd("RPUSH").arg(stored(key.as_bytes())).arg("DATA")),
                other => panic!("{other}"),
            }
            let (answer, expected) = (answer(&cache, operation, key.as_bytes()), answers[key][column]);
            let left = server.pttl(&stored(key.as_bytes()));
            let stock = &odd["stock"][operation];
            let stock_left = stock["pttl_ms"].as_i64().expect("a number");
            let is = |ttl| is_ttl(left, ttl, before.elapsed());
            let is_kept = match operation {
                "remove" => is(-2),
                _ if !is_hash => is(seeded_ms),
                "set_hour" => is(3_600_000),
                // Stock leaves an older TTL; we never keep one that was not asked for.
                "set_never" => is(-1),
                _ => is(seeded_ms) || is(stock_left) || (expected == "nothing" && is(-2)),
            };
            if answer != expected || !is_kept {
                wrong.push(format!(
                    "{operation} {key}: {answer}, TTL {left}; expected {expected}, TTL before {seeded_ms}; stock {stock}"
                ));
            }
            if operation.starts_with("set") && is_hash && answer == "ok" {
                assert_takes(&server, &stored(key.as_bytes()));
            }
            server.run::<()>(cmd("UNLINK").arg(stored(key.as_bytes())));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
