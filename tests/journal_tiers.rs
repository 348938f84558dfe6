//! Replays onto both second tiers: who wins there, and how long ten thousand take.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::json;
use tokencache::clock;
use tokencache::coherence::Coherence;
use tokencache::config::{Config, Kind};
use tokencache::journal::{Journal, Known, Pass, Record};
use tokencache::l2::redis::RedisStore;
use tokencache::l2::replay::{Present, Seen, Target, Write};
use tokencache::l2::{Class, Expected, Store, Written};

#[path = "support/journal.rs"]
mod journal;
#[path = "support/redis.rs"]
mod redis_server;
#[path = "support/sqlite.rs"]
mod sqlite;
use journal::*;
use redis_server::{PREFIX, Server};
use sqlite::{FOREVER, soon, wait_past, wait_until};
use tokencache::entry::Lifetime;

const HOUR_MS: i64 = 3_600_000;

fn read(store: &dyn Store, key: &str) -> Option<Vec<u8>> {
    store.get(key.as_bytes(), soon()).expect("a get").map(|stored| stored.bytes.to_vec())
}

fn write(store: &dyn Store, key: &str, value: &[u8], clock: u64) -> u64 {
    let written_at_ms = (clock >> 16) as i64;
    let written = store.set(key.as_bytes(), value, clock, written_at_ms, FOREVER, Expected::Anything, soon());
    let Ok(Written::Stored(version)) = written else { panic!("{written:?}") };
    version
}

fn look(target: &impl Target, key: &str) -> Seen {
    target.look(&[key.as_bytes()], soon()).expect("a look").remove(0).expect("an answer")
}

/// What both stores do alike. `prefix` is what their keys begin with.
fn meets_what_is_there<T: Target + Store>(store: &T, prefix: &str) {
    let named = |key: &str| format!("{prefix}{key}");
    let now_ms = clock::unix_ms();
    let ago = |hours: i64| time(now_ms - hours * HOUR_MS);
    let written = |hours, record: Record| Record {
        clock: ago(hours),
        written_at_ms: now_ms - hours * HOUR_MS,
        ..record
    };
    let look = |key: &str| look(store, &named(key)).present;
    let journal = in_memory();

    for key in ["older", "newer", "known", "removed older", "removed newer", "signed out", "ended"] {
        let clock = if key.contains("newer") || key == "known" { ago(1) } else { ago(3) };
        let version = write(store, &named(key), b"theirs", clock);
        assert_eq!(look(key), Present::Ours { clock, version });
        if key.contains("removed") {
            let removed = store.remove(named(key).as_bytes(), clock + 1, Expected::Anything, soon());
            assert!(matches!(removed, Ok(Written::Stored(_))), "{removed:?}");
            assert_eq!(look(key), Present::Tombstone { clock: clock + 1 });
        }
        let record = match key {
            "known" => Record { known: Known::Version(version), ..set(b"ours") },
            "signed out" => removal(),
            "ended" => set_until(b"ours", clock::unix_ms() + 20),
            _ => set(b"ours"),
        };
        owe(&journal, key, written(2, record));
    }
    let brief = Lifetime { expires_at_ms: clock::unix_ms() + 20, sliding_ms: 0 };
    for key in ["newer, has ended", "newer, has ended and is tended away"] {
        let key = &named(key);
        let stored = store.set(key.as_bytes(), b"theirs", ago(1), 0, brief, Expected::Anything, soon());
        assert!(matches!(stored, Ok(Written::Stored(_))), "{stored:?}");
        if key.ends_with("away") {
            wait_past(brief.expires_at_ms);
            store.tend(soon()).expect("tended");
        }
    }
    for key in ["newer, has ended", "newer, has ended and is tended away"] {
        owe(&journal, key, written(2, set(b"ours")));
        wait_until("it has ended", || look(key) == Present::Ended { clock: ago(1) });
    }
    assert_eq!(look("nothing"), Present::Nothing);
    owe(&journal, "nothing", written(2, set(b"ours")));
    owe(&journal, "nothing, old", written(25, set(b"ours")));
    owe(&journal, "nothing, removed", written(2, removal()));
    wait_past(clock::unix_ms() + 25);

    let pass = replay(&journal, store, prefix.as_bytes()).expect("a pass");
    assert_eq!(pass, Pass { replayed: 7, superseded: 5, refused: 0, kept: 0 });
    let there = |key: &str| read(store, &named(key)).map(|value| String::from_utf8(value).unwrap());
    for (key, expected) in [
        ("older", Some("ours")),
        ("newer", Some("theirs")),
        ("known", Some("ours")),
        ("removed older", Some("ours")),
        ("removed newer", None),
        ("signed out", None),
        ("ended", None),
        ("newer, has ended", None),
        ("newer, has ended and is tended away", None),
        ("nothing", Some("ours")),
        ("nothing, old", None),
        ("nothing, removed", None),
    ] {
        assert_eq!(there(key).as_deref(), expected, "{key}");
    }
    assert!(matches!(look("signed out"), Present::Tombstone { clock } if clock >= ago(2)));
    assert!(matches!(look("older"), Present::Ours { clock, .. } if clock == ago(2)));
    assert!(journal.is_empty(soon()).unwrap());
}

/// A write that comes between look and write is not undone.
fn writes_only_onto_what_was_seen<T: Target + Store>(store: &T, prefix: &str) {
    let key = format!("{prefix}raced");
    let now = time(clock::unix_ms());
    let value = Some((&b"ours"[..], FOREVER));
    let replay = |value, seen: &Seen| {
        let write =
            Write { key: key.as_bytes(), seen, value, clock: now, written_at_ms: 0, ends_at_ms: None };
        store.replay(&[write], soon()).unwrap().remove(0).unwrap()
    };
    let changes: [&dyn Fn(); 4] = [
        &|| assert!(write(store, &key, b"first", now) > 0),
        &|| assert!(write(store, &key, b"second", now + 1) > 0),
        &|| assert!(store.remove(key.as_bytes(), now + 2, Expected::Anything, soon()).is_ok()),
        &|| assert!(write(store, &key, b"last", now + 3) > 0),
    ];
    for change in changes {
        let seen = look(store, &key);
        change();
        assert!(!replay(value, &seen));
        assert!(!replay(None, &seen));
    }
    assert_eq!(read(store, &key), Some(b"last".to_vec()));
}

#[test]
fn a_database_takes_replays() {
    let (_folder, path) = sqlite::place();
    let store = sqlite::store(&path);
    meets_what_is_there(&store, "");
    writes_only_onto_what_was_seen(&store, "");
}

fn redis_store(server: &Server) -> RedisStore {
    let document = json!({
        "version": 1,
        "l2": { "kind": "redis", "url": server.url(), "key_prefix": PREFIX },
        "encryption": { "algorithm": "none" },
        "coherence": { "heartbeat_timeout_ms": 30_000 },
    });
    let config = Config::parse(document.to_string().as_bytes()).expect("a document");
    let Kind::Redis(redis) = &config.l2.kind else { panic!("a Redis") };
    let witness = Arc::new(Coherence::told(PREFIX.len(), &Arc::new(quiet())).expect("there is memory"));
    let runtime = tokencache::runtime::current();
    let store = RedisStore::new((**redis).clone(), &config, witness, &runtime).unwrap();
    store.connect(soon()).expect("a link");
    store
}

#[test]
fn a_redis_takes_replays() {
    let Some(server) = Server::start() else { return };
    let store = redis_store(&server);
    meets_what_is_there(&store, PREFIX);
    writes_only_onto_what_was_seen(&store, PREFIX);
}

#[test]
fn the_value_of_a_stock_writer_wins_unless_it_is_the_one_that_was_known() {
    let Some(server) = Server::start() else { return };
    let store = redis_store(&server);
    let journal = in_memory();
    let version = write(&store, "p:a", b"ours before", 5 << 16);
    for key in ["p:a", "p:b", "p:c"] {
        let fields = ["absexp", "-1", "sldexp", "-1", "data", "foreign"];
        server.run::<()>(redis::cmd("HSET").arg(key).arg(&fields));
    }
    let foreign = store.get(b"p:b", soon()).unwrap().unwrap().version;
    assert_eq!(look(&store, "p:a").present, Present::Foreign { version: foreign });
    owe(&journal, "a", Record { known: Known::Version(version), ..set(b"mine") });
    owe(&journal, "b", Record { known: Known::Version(foreign), ..set(b"mine") });
    owe(&journal, "c", removal());
    let pass = replay(&journal, &store, b"p:").unwrap();
    assert_eq!(pass, Pass { replayed: 1, superseded: 2, refused: 0, kept: 0 });
    let values = ["p:a", "p:b", "p:c"].map(|key| read(&store, key).unwrap());
    assert_eq!(values, [b"foreign".to_vec(), b"mine".to_vec(), b"foreign".to_vec()]);
}

#[test]
fn a_key_of_another_type_stays_owed_and_holds_up_nothing() {
    let Some(server) = Server::start() else { return };
    let store = redis_store(&server);
    let journal = in_memory();
    server.run::<()>(redis::cmd("SET").arg("p:a").arg("text"));
    owe(&journal, "a", set(b"1"));
    owe(&journal, "b", set(b"1"));
    assert_eq!(
        replay(&journal, &store, b"p:").unwrap(),
        Pass { replayed: 1, superseded: 0, refused: 1, kept: 0 }
    );
    assert_eq!(keys(&all(&journal)), ["a"]);
    server.run::<()>(redis::cmd("DEL").arg("p:a"));
    assert_eq!(replay(&journal, &store, b"p:").unwrap().replayed, 1);
}

/// More than a batch of `refused`, then what is `taken`.
fn holds_up_nothing(target: &impl Target, prefix: &str, refused: fn() -> Record, taken: fn() -> Record) {
    let journal = in_memory();
    for number in 0..100 {
        owe(&journal, &format!("refused {number}"), refused());
    }
    owe(&journal, "taken", taken());
    let pass = replay(&journal, target, prefix.as_bytes()).unwrap();
    assert_eq!(pass, Pass { replayed: 1, superseded: 0, refused: 100, kept: 0 });
    assert_eq!(journal.owed(soon()).unwrap().entries, 100);
    let failed = journal.progress().failed.load(Ordering::Relaxed);
    assert!(failed < 50, "{failed}: soon they are not even tried");
}

#[test]
fn what_never_fits_stays_owed_and_holds_up_nothing() {
    let (_folder, path) = sqlite::place();
    let store = sqlite::store_of(&path, 100_000);
    holds_up_nothing(&store, "", || set(&[7; 100_000]), || set(b"1"));
}

#[test]
fn what_is_denied_stays_owed_and_holds_up_nothing() {
    let Some(server) = Server::start() else { return };
    let store = redis_store(&server);
    server.ask::<()>("ACL SETUSER default -unlink");
    holds_up_nothing(&store, PREFIX, removal, || set(b"1"));
    server.ask::<()>("ACL SETUSER default +unlink -hset");
    holds_up_nothing(&store, PREFIX, || set(b"1"), removal);
    server.ask::<()>("ACL SETUSER default -hmget");
    let journal = in_memory();
    owe(&journal, "a", removal());
    assert_eq!(replay(&journal, &store, PREFIX.as_bytes()).unwrap_err().class, Class::Denied);
}

fn ten_thousand(journal: &Journal) {
    for i in 0..10_000 {
        owe(journal, &format!("k{i}"), if i % 10 == 0 { removal() } else { set(&[7; 7000]) });
    }
}

fn replays_in_time(target: &impl Target, prefix: &[u8], path: &Path) {
    let journal = open(path);
    let began = std::time::Instant::now();
    ten_thousand(&journal);
    let owed = began.elapsed();
    let began = std::time::Instant::now();
    assert_eq!(replay(&journal, target, prefix).unwrap().replayed, 10_000);
    println!("owed 10,000 in {owed:?}, replayed in {:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(60));
    assert!(journal.is_empty(soon()).unwrap());
}

#[test]
fn ten_thousand_reach_redis_and_a_database_within_a_minute() {
    let folder = tempfile::tempdir().unwrap();
    replays_in_time(&sqlite::store(&folder.path().join("l2.db")), b"", &folder.path().join("one.db"));
    let Some(server) = Server::start() else { return };
    replays_in_time(&redis_store(&server), b"p:", &folder.path().join("two.db"));
}
