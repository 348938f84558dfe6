//! What is answered while L2 is away, and what becomes of it when L2 returns.

#[path = "support/canary.rs"]
mod canary;
#[path = "support/crypto.rs"]
mod crypto;
#[path = "support/sealed.rs"]
mod sealed;
#[path = "support/redis.rs"]
mod support;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use canary::Canary;
use sealed::heard::Heard;
use serde_json::{Value, json};
use support::cache::{merge, statistics};
use support::{Server, status, stored, wait_until, written};
use tokencache::cache::{Answer, Cache, SetOptions};
use tokencache::clock;

/// Where L2 cannot be asked in time.
const DEADLINE: Duration = Duration::from_millis(400);
/// Beyond the deadline, on a machine that has much to do; the one case that is held to 50 ms is a cell of the retry table.
const LATE: Duration = Duration::from_secs(10);

/// A server with a folder for journals, and caches that ask it once.
struct Scene {
    server: Server,
}

impl Scene {
    fn new() -> Option<Scene> {
        Some(Scene { server: Server::with(&["--appendonly", "yes", "--appendfsync", "no"])? })
    }

    fn journal(&self) -> std::path::PathBuf {
        self.server.folder().join("owed.db")
    }

    fn document(&self, more: Value) -> String {
        let mut members = json!({"resilience": {"max_attempts": 1, "close_ms": 200}});
        merge(&mut members, more);
        self.server.document(members)
    }

    fn open(&self, more: Value) -> Arc<Cache> {
        let cache = Cache::open(self.document(more).as_bytes()).expect("the cache opens");
        // It asks once, and on a loaded machine the greeting may come too late for that.
        wait_until("it is connected", || cache.get(b"nothing").is_ok());
        cache
    }

    fn with_journal(&self) -> Value {
        json!({"resilience": {"journal_path": self.journal()}})
    }

    /// Where nobody is to wait long for L2.
    fn brief() -> Value {
        json!({
            "coherence": {"heartbeat_timeout_ms": 250},
            "resilience": {"deadline_ms": DEADLINE.as_millis() as u64, "circuit_failures": 0},
        })
    }

    /// Once without and once with a file.
    fn each_journal(&self) -> [Value; 2] {
        [json!({}), self.with_journal()]
    }

    fn data(&self, key: &str) -> Option<Vec<u8>> {
        self.server.fields(key.as_bytes()).remove("data")
    }
}

fn set(cache: &Cache, key: &str, value: &str) -> &'static str {
    written(cache.set(key.as_bytes(), value.as_bytes(), SetOptions::default()))
}

fn remove(cache: &Cache, key: &str) -> &'static str {
    written(cache.remove(key.as_bytes()))
}

/// How a read is answered, and with what.
fn get(cache: &Cache, key: &str) -> (&'static str, String) {
    match cache.answer(key.as_bytes()) {
        Ok(Answer::Fresh(entry)) => ("TC_OK", text(entry.data())),
        Ok(Answer::Degraded(entry)) => ("TC_DEGRADED", text(entry.data())),
        Ok(Answer::Absent) => ("TC_NOT_FOUND", String::new()),
        Err(error) => (error.kind.name(), String::new()),
    }
}

fn text(data: &[u8]) -> String {
    String::from_utf8(data.to_vec()).expect("text")
}

fn is_gone(cache: &Cache, key: &str) -> bool {
    get(cache, key).0 == "TC_NOT_FOUND"
}

fn owed(cache: &Cache) -> u64 {
    statistics(cache)["journal"]["owed_entries"].as_u64().expect("a number")
}

fn wait_until_nothing_is_owed(cache: &Cache) {
    wait_until("nothing is owed", || owed(cache) == 0);
}

#[test]
fn a_sign_out_stays_a_sign_out_whatever_l2_says_and_a_later_sign_in_is_kept() {
    let Some(mut scene) = Scene::new() else { return };
    for journal in scene.each_journal() {
        let cache = scene.open(journal);
        let stranger = scene.open(json!({"l1": {"enabled": false}}));
        for key in ["signed out", "signed in again"] {
            assert_eq!(set(&cache, key, "old"), "TC_OK");
        }
        // L2 can be read all the time, and has what was removed.
        scene.server.ask::<()>("CONFIG SET min-replicas-to-write 1");
        assert_eq!(remove(&cache, "signed out"), "TC_DEGRADED");
        assert_eq!(remove(&cache, "signed in again"), "TC_DEGRADED");
        assert_eq!(get(&stranger, "signed out"), ("TC_OK", "old".into()), "others have not heard of it");
        for clears in [false, true] {
            if clears {
                cache.clear().expect("cleared");
            }
            assert!(is_gone(&cache, "signed out") && is_gone(&cache, "signed in again"));
            assert!(!cache.touch(b"signed out").expect("a touch"));
        }
        assert_eq!(set(&cache, "signed in again", "new"), "TC_DEGRADED");
        assert_eq!(get(&cache, "signed in again"), ("TC_DEGRADED", "new".into()));

        scene.server.kill();
        assert!(is_gone(&cache, "signed out"));
        assert_eq!(get(&cache, "signed in again"), ("TC_DEGRADED", "new".into()));
        scene.server.restart();
        wait_until("it is signed in", || {
            assert!(is_gone(&cache, "signed out"), "it has come back");
            assert_eq!(get(&cache, "signed in again").1, "new");
            scene.data("signed in again").as_deref() == Some(b"new")
        });
        wait_until_nothing_is_owed(&cache);
        assert!(is_gone(&cache, "signed out") && scene.data("signed out").is_none());
        assert_eq!(get(&cache, "signed in again").1, "new");
        wait_until("the stranger hears of it", || is_gone(&stranger, "signed out"));
        scene.server.ask::<()>("FLUSHALL");
    }
}

#[test]
fn what_is_owed_is_read_as_degraded_from_l1_and_then_from_the_journal() {
    let Some(mut scene) = Scene::new() else { return };
    for (journal, with_l1) in
        scene.each_journal().into_iter().flat_map(|it| [(it.clone(), true), (it, false)])
    {
        let mut members = json!({"l1": {"enabled": with_l1}});
        merge(&mut members, journal);
        let cache = scene.open(members);
        scene.server.kill();
        let version = match cache.set(b"k", b"1", SetOptions::default()) {
            Ok(tokencache::cache::SetOutcome::Owed(version)) => version,
            other => panic!("{other:?}"),
        };
        for _ in 0..2 {
            assert_eq!(get(&cache, "k"), ("TC_DEGRADED", "1".into()));
            assert_eq!(cache.get(b"k").expect("a read").expect("an entry").version(), version);
            assert!(cache.peek(b"k").is_none(), "a peek answers what was verified alone");
            assert!(cache.touch(b"k").expect("a touch"));
            cache.clear().expect("cleared");
        }
        let swap = SetOptions { expected_version: version, ..SetOptions::default() };
        assert_eq!(status(cache.set(b"k", b"2", swap)), "TC_L2_BUSY", "there is nothing to compare it with");
        scene.server.restart();
        wait_until_nothing_is_owed(&cache);
        wait_until("it is fresh", || get(&cache, "k") == ("TC_OK", "1".into()));
        let kept = cache.get(b"k").expect("a read").expect("an entry");
        assert_eq!(kept.version(), version, "it is the version that its writer was told");
        assert_eq!(written(cache.set(b"k", b"2", swap)), "TC_OK");
        scene.server.ask::<()>("FLUSHALL");
    }
}

#[test]
fn flush_and_close_are_bounded_and_say_how_much_is_owed() {
    let Some(mut scene) = Scene::new() else { return };
    for (round, journal) in scene.each_journal().into_iter().enumerate() {
        let cache = scene.open(journal);
        let heard = Heard::of(&cache);
        assert_eq!(set(&cache, "k", "1"), "TC_OK");
        assert!(cache.flush(Duration::ZERO));
        scene.server.kill();
        for number in 0..3 {
            assert_eq!(set(&cache, &format!("k{number}"), "1"), "TC_DEGRADED");
        }
        let begin = Instant::now();
        assert!(!cache.flush(Duration::from_millis(200)));
        let flushed = begin.elapsed();
        assert_eq!(owed(&cache), 3);
        assert!(!cache.close());
        let closed = begin.elapsed() - flushed;
        assert!(
            flushed >= Duration::from_millis(200) && flushed < Duration::from_millis(200) + LATE,
            "{flushed:?}"
        );
        assert!(closed < Duration::from_millis(200) + 2 * LATE, "{closed:?}");
        let words: &[&str] = if round == 0 {
            &["error journal: Writes that L2 never took, lost with this cache: 3"]
        } else {
            &["warn journal: Writes still owed to L2: 3; they are kept in ", "owed.db"]
        };
        assert!(heard.says(words), "{words:?}");
        scene.server.restart();
    }
    let cache = scene.open(scene.with_journal());
    assert!(cache.flush(support::GENEROUS), "another cache brings what the file kept");
    assert_eq!(scene.data("k2").as_deref(), Some(&b"1"[..]));
    assert!(cache.close());
}

#[test]
fn a_full_journal_refuses_with_the_status_of_l2_and_both_figures() {
    let Some(mut scene) = Scene::new() else { return };
    for mut journal in scene.each_journal() {
        let limits = json!({"resilience": {"journal_max_entries": 2, "journal_max_bytes": 10_000}});
        merge(&mut journal, limits);
        merge(&mut journal, Scene::brief());
        let cache = scene.open(journal);
        scene.server.kill();
        wait_until("it is known to be away", || get(&cache, "nothing").0 == "TC_L2_UNREACHABLE");
        assert_eq!((set(&cache, "a", "1"), remove(&cache, "b")), ("TC_DEGRADED", "TC_DEGRADED"));
        let refused = cache.set(b"c", b"1", SetOptions::default()).expect_err("no room");
        assert_eq!(refused.kind.name(), "TC_L2_UNREACHABLE");
        let figures = ["holds 2 entries", "resilience.journal_max_entries is 2"];
        assert!(figures.iter().all(|words| refused.message.contains(words)), "{refused}");
        let refused = cache.set(b"a", &[b'x'; 20_000], SetOptions::default()).expect_err("no room");
        let figures = ["needs 20129 bytes", "resilience.journal_max_bytes is 10000"];
        assert!(figures.iter().all(|words| refused.message.contains(words)), "{refused}");
        // A key that was refused is not served as if it had been written; what is owed for it stays.
        assert_eq!(get(&cache, "a"), ("TC_DEGRADED", "1".into()));
        assert_eq!(get(&cache, "c").0, "TC_L2_UNREACHABLE");
        assert_eq!(set(&cache, "a", "2"), "TC_DEGRADED", "in the place of what is owed there is room");
        scene.server.restart();
        wait_until_nothing_is_owed(&cache);
        assert_eq!(scene.data("a").as_deref(), Some(&b"2"[..]));
        scene.server.ask::<()>("FLUSHALL");
    }
}

#[test]
fn writes_behind_reach_l2_in_order_for_each_key_and_are_flushed() {
    let Some(scene) = Scene::new() else { return };
    for mut journal in scene.each_journal() {
        merge(&mut journal, json!({"l2": {"write": "behind"}}));
        let cache = scene.open(journal);
        for number in 0..1_000 {
            let key = format!("k{}", number % 10);
            assert_eq!(set(&cache, &key, &number.to_string()), "TC_DEGRADED");
            assert_eq!(get(&cache, &key).1, number.to_string(), "its own write is read back");
        }
        assert_eq!(remove(&cache, "k0"), "TC_DEGRADED");
        assert!(is_gone(&cache, "k0"));
        assert!(cache.flush(support::GENEROUS));
        assert_eq!(owed(&cache), 0);
        assert!(scene.data("k0").is_none());
        for key in 1..10 {
            assert_eq!(scene.data(&format!("k{key}")), Some((990 + key).to_string().into_bytes()));
            assert_eq!(get(&cache, &format!("k{key}")), ("TC_OK", (990 + key).to_string()));
        }
        let seen = cache.get(b"k1").expect("a read").expect("an entry").version();
        let swap = SetOptions { expected_version: seen, ..SetOptions::default() };
        assert_eq!(
            written(cache.set(b"k1", b"swapped", swap)),
            "TC_OK",
            "it is compared in L2, and so written there"
        );
        assert_eq!(scene.data("k1").as_deref(), Some(&b"swapped"[..]));
        assert!(cache.close());
        scene.server.ask::<()>("FLUSHALL");
    }
}

/// L2 itself takes it then, and only where that fails too it is refused, as one that is not made behind.
#[test]
fn a_write_behind_for_which_the_journal_has_no_room_waits_for_l2() {
    let Some(mut scene) = Scene::new() else { return };
    for mut journal in scene.each_journal() {
        merge(&mut journal, json!({"l2": {"write": "behind"}, "resilience": {"probe_ms": 50}}));
        merge(&mut journal, json!({"resilience": {"journal_max_entries": 3, "journal_max_bytes": 10_000}}));
        let cache = scene.open(journal);
        let long = "x".repeat(20_000);
        assert!(["TC_OK", "TC_DEGRADED"].contains(&set(&cache, "a", "1")));
        assert_eq!(set(&cache, "a", &long), "TC_OK");
        assert_eq!(get(&cache, "a"), ("TC_OK", long.clone()));
        let mut told = Vec::new();
        for number in 0..500 {
            let key = format!("k{}", number % 7);
            told.push(if number % 5 == 0 {
                remove(&cache, &key)
            } else {
                set(&cache, &key, &number.to_string())
            });
        }
        assert!(told.iter().all(|status| ["TC_OK", "TC_DEGRADED"].contains(status)), "{told:?}");
        assert!(told.contains(&"TC_OK"), "there was room for all");
        wait_until_nothing_is_owed(&cache);
        assert_eq!(scene.data("a"), Some(long.into_bytes()));
        for last in 493..500 {
            let expected = (last % 5 != 0).then(|| last.to_string().into_bytes());
            assert_eq!(scene.data(&format!("k{}", last % 7)), expected);
        }
        scene.server.kill();
        let mut refused = None;
        wait_until("one is refused", || {
            let key = format!("refused {}", clock::unix_ms());
            refused = cache.set(key.as_bytes(), b"1", SetOptions::default()).err();
            refused.is_some()
        });
        let refused = refused.expect("a refusal");
        assert!(!refused.message.contains("l2.write"), "{refused}");
        assert!(refused.message.contains("resilience.journal_max_entries is 3"), "{refused}");
        scene.server.restart();
        wait_until_nothing_is_owed(&cache);
        scene.server.ask::<()>("FLUSHALL");
    }
}

fn bytes_of(journal: &Path) -> Vec<u8> {
    let files = fs::read_dir(journal.parent().expect("a folder")).expect("a folder").flatten();
    let name = journal.file_name().expect("a name").to_string_lossy().into_owned();
    let own = files.filter(|file| file.file_name().to_string_lossy().starts_with(&name));
    own.flat_map(|file| fs::read(file.path()).expect("a file")).collect()
}

#[test]
fn values_are_sealed_in_the_file_exactly_as_in_l2() {
    let Some(mut scene) = Scene::new() else { return };
    let secret = Canary::text("the token", 2_000);
    let mut members = sealed::sealing(&[("active", 1)], json!({}));
    merge(&mut members, scene.with_journal());
    let cache = scene.open(members.clone());
    scene.server.kill();
    assert_eq!(set(&cache, "k", secret.as_text()), "TC_DEGRADED");
    assert_eq!(set(&cache, "canary of the canary", "1"), "TC_DEGRADED");
    cache.clear().expect("cleared");
    assert_eq!(get(&cache, "k"), ("TC_DEGRADED", secret.as_text().to_owned()), "it is opened again");
    let bytes = bytes_of(&scene.journal());
    assert!(
        bytes.windows(20).any(|window| window == b"canary of the canary"),
        "the right files were looked at"
    );
    assert_eq!(canary::hits(&bytes, &[&secret]), Vec::<String>::new());
    scene.server.restart();
    wait_until_nothing_is_owed(&cache);
    assert_eq!(canary::hits(&scene.data("k").expect("an envelope"), &[&secret]), Vec::<String>::new());
    wait_until("it is fresh", || get(&cache, "k") == ("TC_OK", secret.as_text().to_owned()));
    cache.clear().expect("cleared");
    assert_eq!(get(&cache, "k").1, secret.as_text());
}

#[test]
fn no_call_waits_longer_than_its_deadline_for_an_l2_that_hangs() {
    let Some(scene) = Scene::new() else { return };
    for mut journal in scene.each_journal() {
        merge(&mut journal, Scene::brief());
        let cache = scene.open(journal);
        wait_until("it is connected", || set(&cache, "k", "1") == "TC_OK");
        scene.server.stop();
        let mut longest = Duration::ZERO;
        for round in 0..5 {
            let key = format!("k{round}");
            let calls: [(&str, &dyn Fn() -> &'static str); 5] = [
                ("TC_L2_TIMEOUT", &|| get(&cache, &key).0),
                ("TC_DEGRADED", &|| set(&cache, &key, "2")),
                ("TC_DEGRADED", &|| get(&cache, &key).0),
                ("TC_DEGRADED", &|| remove(&cache, &key)),
                ("TC_NOT_FOUND", &|| get(&cache, &key).0),
            ];
            for (expected, call) in calls {
                let begin = Instant::now();
                assert_eq!(call(), expected);
                longest = longest.max(begin.elapsed());
            }
        }
        println!("the longest of the calls took {longest:?} of {DEADLINE:?}");
        assert!(longest < DEADLINE + LATE, "{longest:?}");
        scene.server.go_on();
        wait_until_nothing_is_owed(&cache);
    }
}

/// A stock writer says nothing of when it wrote: what we knew is replaced, and what came later stays.
#[test]
fn what_was_made_onto_a_stock_value_that_we_knew_replaces_it_and_no_later_one() {
    for journal in [false, true] {
        let Some(mut scene) = Scene::new() else { return };
        let cache = scene.open(if journal { scene.with_journal() } else { json!({}) });
        let stock = |server: &Server, key: &str, value: &str| {
            server.run::<()>(redis::cmd("HSET").arg(stored(key.as_bytes())).arg("data").arg(value));
        };
        for key in ["known", "changed"] {
            stock(&scene.server, key, "theirs");
            wait_until("it is known", || {
                // What was heard of the stock writer in the middle of the read is reason to read again.
                let found = cache.get(key.as_bytes()).expect("a read").expect("an entry");
                assert_eq!(found.data(), b"theirs");
                cache.peek(key.as_bytes()).is_some()
            });
        }
        scene.server.kill();
        assert_eq!(set(&cache, "changed", "ours"), "TC_DEGRADED");
        assert_eq!(set(&cache, "known", "first"), "TC_DEGRADED");
        assert_eq!(set(&cache, "known", "ours"), "TC_DEGRADED");
        scene.server.restart();
        stock(&scene.server, "changed", "later");
        assert!(cache.flush(support::GENEROUS));
        assert_eq!(scene.data("known").as_deref(), Some(&b"ours"[..]));
        assert_eq!(scene.data("changed").as_deref(), Some(&b"later"[..]));
    }
}
