//! Merged sets that are owed, and what they meet in L2 by the time they are brought there.

#[path = "support/msal.rs"]
mod msal;
#[path = "support/proxy.rs"]
mod proxy;
#[path = "support/redis.rs"]
mod support;

use std::sync::Arc;
use std::time::Duration;

use msal::{Answer, Library, empty, save};
use proxy::Proxy;
use serde_json::{Value, json};
use support::cache::{merge, statistics};
use support::{Server, document, wait_until};
use tokencache::cache::{Base, Cache, SetOptions, SetOutcome};
use tokencache::clock;
use tokencache::entry::Entry;

const KEY: &[u8] = b"alice.home";

fn saved(base: &[u8], scopes: &str, at: i64) -> Vec<u8> {
    let mut document: Value =
        if base.is_empty() { empty() } else { serde_json::from_slice(base).expect("JSON") };
    let alice = Answer { account: "alice.home", client: "c1", realm: "home", scopes, at, rotates: true };
    save(&mut document, Library::DotNet, &alice);
    serde_json::to_vec(&document).expect("JSON")
}

fn put(cache: &Cache, base: Option<&Entry>, bytes: &[u8]) -> SetOutcome {
    let base = base.map(|base| Base { data: base.data(), version: base.version() });
    cache.set_merged(KEY, base, bytes, SetOptions::default()).expect("merged").0
}

fn scopes(cache: &Cache) -> Vec<String> {
    let entry = cache.get(KEY).expect("a read").expect("an entry");
    let document: Value = serde_json::from_slice(entry.data()).expect("JSON");
    let tokens = document["AccessToken"].as_object().expect("a section").values();
    let mut scopes: Vec<_> = tokens.map(|token| token["target"].as_str().expect("a target").into()).collect();
    scopes.sort();
    scopes
}

/// Two servers of one user, with members of their own; the way of the first to Redis can be cut.
fn two(server: &Server, members: [Value; 2]) -> (Proxy, [Arc<Cache>; 2]) {
    let proxy = Proxy::before(server.port());
    let [mut away, here] = members;
    merge(&mut away, json!({"resilience": {"max_attempts": 1, "close_ms": 0, "probe_ms": 50}}));
    let away = Cache::open(document(&proxy.url(), away).as_bytes()).expect("the cache opens");
    let here = server.open(here);
    wait_until("both are connected", || away.get(KEY).is_ok() && here.get(KEY).is_ok());
    (proxy, [away, here])
}

/// What both have read when `by` has stored it, the first of them cut off from then on.
fn parted(proxy: &Proxy, caches: &[Arc<Cache>; 2], by: usize, bytes: &[u8]) -> [Entry; 2] {
    assert!(matches!(put(&caches[by], None, bytes), SetOutcome::Stored(_)));
    let read = [&caches[0], &caches[1]].map(|cache| cache.get(KEY).expect("a read").expect("an entry"));
    proxy.repoint(support::free_port());
    proxy.cut();
    read
}

fn refuse_writes(server: &Server, refuses: bool) {
    server.ask::<()>(&format!("CONFIG SET min-replicas-to-write {}", u8::from(refuses)));
}

fn an_hour_ago() -> i64 {
    clock::unix_ms() / 1000 - 3600
}

/// How often the server was asked for a tombstone or a trace (`get`), or for an entry (`hmget`).
fn calls(server: &Server, command: &str) -> u64 {
    let said: String = server.ask("INFO commandstats");
    let calls =
        said.split(&format!("cmdstat_{command}:calls=")).nth(1).and_then(|rest| rest.split(',').next());
    calls.map_or(0, |calls| calls.parse().expect("a number"))
}

#[test]
fn a_removal_between_the_look_and_the_write_of_a_replay_stands() {
    let Some(server) = Server::start() else { return };
    let (proxy, [away, here]) = two(&server, [json!({}), json!({})]);
    refuse_writes(&server, true);
    let outcome = put(&away, None, &saved(b"", "orders", an_hour_ago()));
    assert!(matches!(outcome, SetOutcome::Owed(_)), "{outcome:?}");
    proxy.delay(Duration::from_millis(150));
    let before = calls(&server, "get");
    refuse_writes(&server, false);
    let flusher = std::thread::spawn({
        let away = Arc::clone(&away);
        move || away.flush(support::GENEROUS)
    });
    wait_until("it has looked", || calls(&server, "get") >= before + 2);
    assert!(matches!(here.remove(KEY), Ok(SetOutcome::Stored(_))));
    assert!(flusher.join().expect("its end"), "nothing is owed");
    assert!(server.open_without_l1().get(KEY).expect("a read").is_none(), "it has come back");
}

/// Of a number for each key, the first of which seals.
fn ring(numbers: &[u8]) -> Value {
    let key = |(at, number): (usize, &u8)| {
        let material =
            ["AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "AQECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="]
                [*number as usize];
        let state = if at == 0 { "active" } else { "retired" };
        json!({"created": "2026-11-24T10:00:00Z", "state": state, "material": material})
    };
    let keys: Vec<_> = numbers.iter().enumerate().map(key).collect();
    json!({"encryption": {"algorithm": "aes-256-gcm", "keyring": {"version": 1, "keys": keys}}})
}

/// The ring of one server is behind: what it owes waits for the key, and takes the place of nothing.
#[test]
fn what_is_owed_waits_for_the_key_of_what_lies_there() {
    let Some(server) = Server::start() else { return };
    let (proxy, caches) = two(&server, [ring(&[0]), ring(&[1, 0])]);
    let at = an_hour_ago();
    let [base, other] = parted(&proxy, &caches, 0, &saved(b"", "orders", at));
    let [behind, ahead] = caches;
    let store_there = || put(&ahead, Some(&other), &saved(other.data(), "stock", at + 20));
    assert!(matches!(store_there(), SetOutcome::Stored(_)));
    // Later than what it meets there: it would win.
    let outcome = put(&behind, Some(&base), &saved(base.data(), "billing", at + 10));
    assert!(matches!(outcome, SetOutcome::Owed(_)), "{outcome:?}");
    proxy.repoint(server.port());
    let tried = || statistics(&behind)["encryption"]["refused"]["TC_SEAL_UNKNOWN_KEY"].as_u64();
    wait_until("it has met what lies there", || {
        assert!(!behind.flush(Duration::from_millis(100)), "nothing is owed any more");
        tried().is_some_and(|tried| tried > 0)
    });
    assert_eq!(scopes(&ahead), ["orders", "stock"]);
    behind.configure(document(&proxy.url(), ring(&[1, 0])).as_bytes()).expect("configured");
    assert!(behind.flush(support::GENEROUS), "it is owed still");
    assert_eq!(scopes(&ahead), ["billing", "orders", "stock"]);
}

/// What L2 has is what was merged, and neither what was owed nor what somebody else has written.
#[test]
fn what_was_merged_by_a_replay_is_on_the_next_primary_also_when_it_was_read() {
    let Some(mut server) = Server::start() else { return };
    let (proxy, caches) = two(&server, [json!({}), json!({})]);
    let at = an_hour_ago();
    let [base, other] = parted(&proxy, &caches, 1, &saved(b"", "orders", at));
    let [away, here] = caches;
    let outcome = put(&away, Some(&base), &saved(base.data(), "billing", at + 10));
    assert!(matches!(outcome, SetOutcome::Owed(_)), "{outcome:?}");
    assert!(matches!(
        put(&here, Some(&other), &saved(other.data(), "stock", at + 20)),
        SetOutcome::Stored(_)
    ));
    here.close();
    proxy.repoint(server.port());
    assert!(away.flush(support::GENEROUS), "it is owed still");
    wait_until("it is read", || matches!(away.answer(KEY), Ok(tokencache::cache::Answer::Fresh(_))));
    assert_eq!(scopes(&away), ["billing", "orders", "stock"]);
    // It keeps nothing on disk: what comes up is another primary, and empty.
    server.restart();
    wait_until("the restart is noticed", || {
        statistics(&away)["l2"]["failover"]["primary_changes"] == 1 && away.flush(Duration::from_secs(1))
    });
    assert_eq!(scopes(&server.open_without_l1()), ["billing", "orders", "stock"]);
}

/// A merged set that was owed over a plain set or a removal, and what another server has stored before that, or since.
#[test]
fn what_is_merged_with_an_owed_set_or_removal_is_lost_no_more_than_what_others_store_later() {
    let after = ["files", "mail", "orders"];
    for (removes, is_later, expected) in [
        (false, true, &after[..]),
        (false, false, &after[1..]),
        (true, true, &after[..2]),
        (true, false, &["mail"]),
    ] {
        let Some(server) = Server::start() else { return };
        let owed = json!({"resilience": {"journal_path": server.folder().join("owed.db")}});
        let (proxy, caches) = two(&server, [owed, json!({})]);
        let first = saved(b"", "orders", an_hour_ago());
        let [_, base] = parted(&proxy, &caches, 1, &first);
        let [away, here] = caches;
        // Of a moment ago in the next second of a removal.
        let soon = clock::unix_ms() / 1000 + 60;
        let store_there = || put(&here, Some(&base), &saved(base.data(), "files", soon));
        if !is_later {
            assert!(matches!(store_there(), SetOutcome::Stored(_)));
        }
        let before = match removes {
            true => away.remove(KEY),
            false => away.set(KEY, &first, SetOptions::default()),
        };
        assert!(matches!(before, Ok(SetOutcome::Owed(_))), "{before:?}");
        let base = away.get(KEY).expect("a read");
        let mine = saved(base.as_ref().map_or(b"", |base| base.data()), "mail", soon);
        assert!(matches!(put(&away, base.as_ref(), &mine), SetOutcome::Owed(_)));
        if is_later {
            assert!(matches!(store_there(), SetOutcome::Stored(_)));
        }
        proxy.repoint(server.port());
        assert!(away.flush(support::GENEROUS), "it is owed still");
        assert_eq!(scopes(&server.open_without_l1()), expected, "removes: {removes}, is_later: {is_later}");
    }
}

/// Each of them may be stored, and both together would be refused to whoever reads them.
#[test]
fn what_was_owed_is_not_merged_into_more_than_a_value_may_be() {
    let Some(server) = Server::start() else { return };
    let limits = json!({"limits": {"max_value_bytes": 1000}});
    let (proxy, caches) = two(&server, [limits.clone(), limits]);
    let apps = |client: &str| format!(r#"{{"AppMetadata": {{"{client}": {{"client_id": "{client}"}}}}}}"#);
    let [base, other] = parted(&proxy, &caches, 1, b"{}");
    let [away, here] = caches;
    let owed = put(&away, Some(&base), apps(&"a".repeat(300)).as_bytes());
    assert!(matches!(owed, SetOutcome::Owed(_)), "{owed:?}");
    let later = apps(&"b".repeat(300));
    std::thread::sleep(Duration::from_millis(10));
    assert!(matches!(put(&here, Some(&other), later.as_bytes()), SetOutcome::Stored(_)));
    proxy.repoint(server.port());
    assert!(away.flush(support::GENEROUS), "it is owed still");
    for cache in [&away, &here] {
        cache.clear().expect("cleared");
        let entry = cache.get(KEY).expect("it can be read").expect("an entry");
        assert_eq!(entry.data(), later.as_bytes(), "the later one");
    }
}

/// As in a farm whose servers are told one by one that values may be longer.
#[test]
fn what_is_owed_waits_until_what_lies_there_may_be_so_long() {
    let Some(server) = Server::start() else { return };
    let limits = |bytes: u32| json!({"limits": {"max_value_bytes": bytes}});
    let (proxy, caches) = two(&server, [limits(1000), limits(2000)]);
    let apps = |client: &str| format!(r#"{{"AppMetadata": {{"{client}": {{"client_id": "{client}"}}}}}}"#);
    let [base, other] = parted(&proxy, &caches, 1, b"{}");
    let [away, here] = caches;
    let (short, long) = ("a".repeat(10), "b".repeat(600));
    assert!(matches!(put(&here, Some(&other), apps(&long).as_bytes()), SetOutcome::Stored(_)));
    std::thread::sleep(Duration::from_millis(10));
    let owed = put(&away, Some(&base), apps(&short).as_bytes());
    assert!(matches!(owed, SetOutcome::Owed(_)), "{owed:?}");
    proxy.repoint(server.port());
    wait_until("it is connected again", || away.get(b"other").is_ok());
    assert!(!away.flush(Duration::from_millis(500)), "nothing is owed any more");
    away.configure(document(&proxy.url(), limits(2000)).as_bytes()).expect("taken");
    assert!(away.flush(support::GENEROUS), "it is owed still");
    let entry = server.open_without_l1().get(KEY).expect("a read").expect("an entry");
    let document: Value = serde_json::from_slice(entry.data()).expect("JSON");
    let apps = document["AppMetadata"].as_object().expect("a section");
    assert!(apps.contains_key(&short) && apps.contains_key(&long), "{:?}", apps.keys());
}

/// It has reached L2 past the journal, or is owed itself; what it was made over is in the hands of a replay.
#[test]
fn what_is_stored_or_removed_while_an_owed_set_is_merged_is_not_undone_by_it() {
    for (write, removes) in [("behind", true), ("behind", false), ("through", true), ("through", false)] {
        let Some(server) = Server::start() else { return };
        let members =
            json!({"l2": {"write": write}, "resilience": {"journal_path": server.folder().join("owed.db")}});
        let (proxy, [cache, _]) = two(&server, [members, json!({})]);
        let first = saved(b"", "orders", an_hour_ago());
        cache.set(KEY, &first, SetOptions::default()).expect("taken");
        assert!(cache.flush(support::GENEROUS), "nothing is owed");
        let base = cache.get(KEY).expect("a read").expect("an entry");
        refuse_writes(&server, true);
        let outcome = put(&cache, Some(&base), &saved(&first, "billing", an_hour_ago() + 10));
        assert!(matches!(outcome, SetOutcome::Owed(_)), "{outcome:?}");
        wait_until("it was refused", || statistics(&cache)["journal"]["is_replaying"] == false);
        proxy.delay(Duration::from_millis(100));
        let before = calls(&server, "hmget");
        refuse_writes(&server, false);
        let flusher = std::thread::spawn({
            let cache = Arc::clone(&cache);
            move || cache.flush(support::GENEROUS)
        });
        // The first is the question whether L2 answers.
        wait_until("it is read, to be merged", || calls(&server, "hmget") >= before + 2);
        let written = match removes {
            true => cache.remove(KEY),
            false => cache.set(KEY, &first, SetOptions::default()),
        };
        assert!(matches!(written, Ok(SetOutcome::Stored(_) | SetOutcome::Owed(_))), "{written:?}");
        assert!(flusher.join().expect("its end"), "it is owed still");
        let past = server.open_without_l1();
        let expected: &[&str] = if removes { &[] } else { &["orders"] };
        let there = if past.get(KEY).expect("a read").is_some() { scopes(&past) } else { vec![] };
        assert_eq!(there, expected, "{write}, removes: {removes}");
    }
}
