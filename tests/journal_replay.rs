//! Replays: onto a target that fails as it is told, and onto both second tiers.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::json;
use tokencache::clock;
use tokencache::config::{Config, Kind};
use tokencache::journal::{Journal, Known, Pass, Record, Replay};
use tokencache::l2::redis::RedisStore;
use tokencache::l2::replay::{Present, Seen, Target, Write};
use tokencache::l2::sqlite::SqliteStore;
use tokencache::l2::{Attempt, Class, Expected, Failure, Store, Written};
use tokencache::log::{self, Level, Logger, Sink};

#[path = "support/journal.rs"]
mod journal;
#[path = "support/redis.rs"]
mod redis_server;
#[path = "support/sqlite.rs"]
mod sqlite;
use journal::*;
use redis_server::{PREFIX, Server};
use sqlite::{FOREVER, soon, wait_past};

const HOUR_MS: i64 = 3_600_000;

fn replay<T: Target + ?Sized>(journal: &Journal, target: &T, key_prefix: &[u8]) -> Result<Pass, Failure> {
    replay_with(journal, target, key_prefix, &quiet(), &|_| ())
}

fn replay_with<T: Target + ?Sized>(
    journal: &Journal,
    target: &T,
    key_prefix: &[u8],
    log: &Logger,
    decided: &(dyn Fn(&[u8]) + Sync),
) -> Result<Pass, Failure> {
    let turn = journal.claim_replay().expect("a lock").expect("a turn");
    let patience = Duration::from_secs(60);
    Replay { target, key_prefix, patience, is_closing: &|| false, decided, log }.run(&turn)
}

fn in_memory() -> Journal {
    Journal::open(&settings(None), IDENTITY, None, soon()).expect("a journal")
}

/// A target that a test tells what to say.
#[derive(Default)]
struct Told {
    present: HashMap<Vec<u8>, Present>,
    failing: HashMap<Vec<u8>, Class>,
    /// Fails for everything.
    is_mad: bool,
    /// How often a write finds something else than what was seen.
    conflicts: Mutex<u32>,
    /// The keys, and whether something was stored under them.
    written: Mutex<Vec<(Vec<u8>, bool)>>,
}

impl Target for Told {
    fn look(&self, key: &[u8], _attempt: Attempt<'_>) -> Result<Seen, Failure> {
        if self.is_mad {
            return Err(Failure::new(Class::Protocol, "It is mad."));
        }
        let present = self.present.get(key).copied().unwrap_or(Present::Nothing);
        Ok(Seen { present, mark: key.to_vec() })
    }

    fn replay(&self, key: &[u8], write: &Write<'_>, seen: &Seen, _: Attempt<'_>) -> Result<bool, Failure> {
        assert_eq!(seen.mark, key);
        if let Some(class) = self.failing.get(key) {
            return Err(Failure::new(*class, "It fails as it was told."));
        }
        let mut conflicts = self.conflicts.lock().unwrap();
        if *conflicts > 0 {
            *conflicts -= 1;
            return Ok(false);
        }
        self.written.lock().unwrap().push((key.to_vec(), write.value.is_some()));
        Ok(true)
    }
}

impl Told {
    fn keys(&self) -> Vec<String> {
        let written = self.written.lock().unwrap();
        written.iter().map(|(key, _)| String::from_utf8(key.clone()).unwrap()).collect()
    }
}

#[test]
fn everything_that_is_owed_reaches_l2_in_order_under_its_prefix() {
    each_kind(|journal| {
        for i in 0..200 {
            owe(journal, &format!("{i:03}"), if i % 2 == 0 { set(b"1") } else { removal() });
        }
        let (target, told) = (Told::default(), Mutex::new(Vec::new()));
        let decided = |key: &[u8]| {
            assert!(journal.find(key, soon()).unwrap().is_some(), "it is told before it is settled");
            told.lock().unwrap().push(key.to_vec());
        };
        let pass = replay_with(journal, &target, b"p:", &quiet(), &decided).unwrap();
        assert_eq!(pass, Pass { replayed: 200, superseded: 0, refused: 0 });
        let expected: Vec<_> = (0..200).map(|i| format!("p:{i:03}")).collect();
        assert_eq!(target.keys(), expected);
        assert_eq!(told.lock().unwrap().len(), 200);
        let written = target.written.lock().unwrap();
        assert!(written.iter().enumerate().all(|(i, (_, is_set))| *is_set == (i % 2 == 0)));
        assert!(journal.is_empty(soon()).unwrap());
        assert_eq!(journal.progress().replayed.load(Ordering::Relaxed), 200);
    });
}

#[test]
fn what_is_written_meanwhile_stays_owed_and_follows() {
    let journal = in_memory();
    owe(&journal, "a", set(b"1"));
    owe(&journal, "b", set(b"1"));
    let target = Told::default();
    let decided = |key: &[u8]| {
        if key == b"a" && target.written.lock().unwrap().len() == 1 {
            owe(&journal, "a", set(b"2"));
        }
    };
    let pass = replay_with(&journal, &target, b"", &quiet(), &decided).unwrap();
    assert_eq!(pass.replayed, 3);
    assert_eq!(target.keys(), ["a", "b", "a"]);
    assert!(journal.is_empty(soon()).unwrap());
}

#[test]
fn a_failure_of_l2_ends_the_pass_and_loses_nothing() {
    let journal = in_memory();
    for key in ["a", "b", "c"] {
        owe(&journal, key, set(b"1"));
    }
    for class in
        [Class::Unreachable, Class::Timeout, Class::Busy, Class::Denied, Class::Suspended, Class::Closed]
    {
        let target = Told { failing: [(b"b".to_vec(), class)].into(), ..Told::default() };
        owe(&journal, "a", set(b"1"));
        assert_eq!(replay(&journal, &target, b"").unwrap_err().class, class);
        assert!(find(&journal, "b").is_some() && find(&journal, "c").is_some());
    }
    assert_eq!(journal.progress().failed.load(Ordering::Relaxed), 6);
}

#[test]
fn a_key_that_l2_refuses_holds_up_nothing_else_and_is_given_up_after_a_day() {
    let journal = in_memory();
    for key in ["a", "b", "c"] {
        owe(&journal, key, set(b"1"));
    }
    let target = Told { failing: [(b"b".to_vec(), Class::Protocol)].into(), ..Told::default() };
    let pass = replay(&journal, &target, b"").unwrap();
    assert_eq!(pass, Pass { replayed: 2, superseded: 0, refused: 1 });
    assert_eq!(keys(&all(&journal)), ["b"]);
    owe(&journal, "b", Record { written_at_ms: clock::unix_ms() - 25 * HOUR_MS, ..removal() });
    assert_eq!(replay(&journal, &target, b"").unwrap().superseded, 1);
    assert!(journal.is_empty(soon()).unwrap());

    // An L2 that has gone mad refuses everything, and nothing is given up for that.
    owe(&journal, "b", Record { written_at_ms: clock::unix_ms() - 25 * HOUR_MS, ..removal() });
    let target = Told { is_mad: true, ..Told::default() };
    assert_eq!(replay(&journal, &target, b"").unwrap_err().class, Class::Protocol);
    assert!(find(&journal, "b").is_some());
}

#[test]
fn removals_go_on_where_there_is_no_room() {
    let journal = in_memory();
    for i in 0..200 {
        owe(&journal, &format!("s{i}"), set(b"1"));
    }
    owe(&journal, "gone", removal());
    let failing = (0..200).map(|i| (format!("s{i}").into_bytes(), Class::Full)).collect();
    let target = Told { failing, ..Told::default() };
    let pass = replay(&journal, &target, b"").unwrap();
    assert_eq!(pass, Pass { replayed: 1, superseded: 0, refused: 200 });
    assert_eq!(target.keys(), ["gone"]);
    assert_eq!(journal.progress().failed.load(Ordering::Relaxed), 1, "sets were not even tried");
}

#[test]
fn a_change_between_look_and_write_is_looked_at_again() {
    let journal = in_memory();
    owe(&journal, "a", set(b"1"));
    let target = Told { conflicts: 3.into(), ..Told::default() };
    assert_eq!(replay(&journal, &target, b"").unwrap().replayed, 1);
    owe(&journal, "a", set(b"1"));
    let target = Told { conflicts: 1000.into(), ..Told::default() };
    assert_eq!(replay(&journal, &target, b"").unwrap(), Pass { refused: 1, ..Pass::default() });
    assert!(find(&journal, "a").is_some());
}

#[test]
fn losers_are_counted_and_logged_without_their_keys() {
    struct Lines(std::sync::Arc<Mutex<Vec<String>>>);
    impl Sink for Lines {
        fn write(&self, level: Level, _target: &'static str, message: &str) -> bool {
            self.0.lock().unwrap().push(format!("{} {message}", level.word()));
            true
        }
    }
    let lines = std::sync::Arc::new(Mutex::new(Vec::new()));
    let (name, key_prefix) = (String::new(), String::new());
    let log = Logger::new(log::Settings {
        name,
        level: Level::Info,
        to_stderr: false,
        clear_keys: false,
        key_prefix,
    });
    log.redirect(Level::Info, Some(Box::new(Lines(std::sync::Arc::clone(&lines)))));
    let journal = in_memory();
    owe(&journal, "secret-user", set(b"1"));
    owe(&journal, "other", set(b"1"));
    let present = [(b"secret-user".to_vec(), Present::Foreign { version: 5 })].into();
    let target = Told { present, ..Told::default() };
    let pass = replay_with(&journal, &target, b"", &log, &|_| ()).unwrap();
    assert_eq!(pass, Pass { replayed: 1, superseded: 1, refused: 0 });
    assert_eq!(journal.progress().superseded.load(Ordering::Relaxed), 1);
    let lines = lines.lock().unwrap();
    let hashed = log.key(b"secret-user");
    assert_eq!(
        lines[0],
        format!("info The owed write of {hashed} was given up: another program has written it meanwhile.")
    );
    assert!(lines[1].starts_with("warn Of what was owed to L2, 1 writes were replayed, 1 lost"), "{lines:?}");
    assert!(lines.iter().all(|line| !line.contains("secret-user")));
}

fn read(store: &dyn Store, key: &str) -> Option<Vec<u8>> {
    store.get(key.as_bytes(), soon()).expect("a get").map(|stored| stored.bytes.to_vec())
}

fn write(store: &dyn Store, key: &str, value: &[u8], clock: u64) -> u64 {
    let written_at_ms = (clock >> 16) as i64;
    let written = store.set(key.as_bytes(), value, clock, written_at_ms, FOREVER, Expected::Anything, soon());
    let Ok(Written::Stored(version)) = written else { panic!("{written:?}") };
    version
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
    let look = |key: &str| store.look(named(key).as_bytes(), soon()).expect("a look").present;
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
    assert_eq!(look("nothing"), Present::Nothing);
    owe(&journal, "nothing", written(2, set(b"ours")));
    owe(&journal, "nothing, old", written(25, set(b"ours")));
    owe(&journal, "nothing, removed", written(2, removal()));
    wait_past(clock::unix_ms() + 25);

    let pass = replay(&journal, store, prefix.as_bytes()).expect("a pass");
    assert_eq!(pass, Pass { replayed: 7, superseded: 3, refused: 0 });
    let there = |key: &str| read(store, &named(key)).map(|value| String::from_utf8(value).unwrap());
    for (key, expected) in [
        ("older", Some("ours")),
        ("newer", Some("theirs")),
        ("known", Some("ours")),
        ("removed older", Some("ours")),
        ("removed newer", None),
        ("signed out", None),
        ("ended", None),
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
    let ours = Write { value, clock: now, written_at_ms: 0 };
    let gone = Write { value: None, ..ours };
    let changes: [&dyn Fn(); 4] = [
        &|| assert!(write(store, &key, b"first", now) > 0),
        &|| assert!(write(store, &key, b"second", now + 1) > 0),
        &|| assert!(store.remove(key.as_bytes(), now + 2, Expected::Anything, soon()).is_ok()),
        &|| assert!(write(store, &key, b"last", now + 3) > 0),
    ];
    for change in changes {
        let seen = store.look(key.as_bytes(), soon()).unwrap();
        change();
        assert!(!store.replay(key.as_bytes(), &ours, &seen, soon()).unwrap());
        assert!(!store.replay(key.as_bytes(), &gone, &seen, soon()).unwrap());
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
    });
    let config = Config::parse(document.to_string().as_bytes()).expect("a document");
    let Kind::Redis(redis) = &config.l2.kind else { panic!("a Redis") };
    let store = RedisStore::new((**redis).clone(), PREFIX.len(), &tokencache::runtime::current()).unwrap();
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
    assert_eq!(store.look(b"p:a", soon()).unwrap().present, Present::Foreign { version: foreign });
    owe(&journal, "a", Record { known: Known::Version(version), ..set(b"mine") });
    owe(&journal, "b", Record { known: Known::Version(foreign), ..set(b"mine") });
    owe(&journal, "c", removal());
    let pass = replay(&journal, &store, b"p:").unwrap();
    assert_eq!(pass, Pass { replayed: 1, superseded: 2, refused: 0 });
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
    assert_eq!(replay(&journal, &store, b"p:").unwrap(), Pass { replayed: 1, superseded: 0, refused: 1 });
    assert_eq!(keys(&all(&journal)), ["a"]);
    server.run::<()>(redis::cmd("DEL").arg("p:a"));
    assert_eq!(replay(&journal, &store, b"p:").unwrap().replayed, 1);
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
    replays_in_time(&SqliteStore::new(folder.path().join("l2.db"), 0), b"", &folder.path().join("one.db"));
    let Some(server) = Server::start() else { return };
    replays_in_time(&redis_store(&server), b"p:", &folder.path().join("two.db"));
}
