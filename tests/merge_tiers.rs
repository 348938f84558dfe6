//! Merged sets on every tier: in memory, on SQLite and on Redis, sealed or not, and while L2 is away.

#[path = "support/msal.rs"]
mod msal;
#[path = "support/redis.rs"]
mod support;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use msal::{Answer, Library, empty, save, sign_out};
use rusqlite::Connection;
use serde_json::{Value, json};
use support::cache::{Shared, merge, open_alone};
use support::{Server, stored, wait_until};
use tokencache::cache::{Base, Cache, SetOptions, SetOutcome};
use tokencache::clock;
use tokencache::entry::{Asked, Entry};
use tokencache::error::Kind;

const KEY: &[u8] = b"alice.home";

fn now() -> i64 {
    clock::unix_ms() / 1000
}

fn alice(scopes: &str, at: i64) -> Answer<'_> {
    Answer { account: "alice.home", client: "c1", realm: "home", scopes, at, rotates: true }
}

fn read(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).expect("JSON")
}

fn document(scopes: &[&str], at: i64) -> Value {
    let mut document = empty();
    for scopes in scopes {
        save(&mut document, Library::DotNet, &alice(scopes, at));
    }
    document
}

fn put(cache: &Cache, base: Option<&Entry>, document: &Value) -> (SetOutcome, Option<Value>) {
    let base = base.map(|base| Base { data: base.data(), version: base.version() });
    let bytes = serde_json::to_vec(document).expect("JSON");
    let (outcome, entry) = cache.set_merged(KEY, base, &bytes, SetOptions::default()).expect("merged");
    if let (SetOutcome::Stored(version) | SetOutcome::Owed(version), Some(entry)) = (outcome, &entry) {
        assert_eq!(entry.version(), version);
    }
    (outcome, entry.map(|entry| read(entry.data())))
}

fn current(cache: &Cache) -> Option<Value> {
    cache.get(KEY).expect("a read").map(|entry| read(entry.data()))
}

fn scopes(document: &Value) -> Vec<&str> {
    let tokens = document["AccessToken"].as_object().expect("a section").values();
    let mut scopes: Vec<_> = tokens.map(|token| token["target"].as_str().expect("a target")).collect();
    scopes.sort_unstable();
    scopes
}

/// Each adds a token to what both have read, and one of them signs another account out.
fn two_servers(one: &Cache, other: &Cache) {
    let at = now() - 60;
    let mut first = document(&["orders"], at);
    save(&mut first, Library::DotNet, &Answer { account: "bob.home", ..alice("orders", at) });
    assert!(matches!(put(one, None, &first), (SetOutcome::Stored(_), Some(found)) if found == first));
    let bases = [one, other].map(|cache| cache.get(KEY).expect("a read").expect("an entry"));
    let [mut mine, mut theirs] = [read(bases[0].data()), read(bases[1].data())];
    save(&mut mine, Library::DotNet, &alice("billing", at + 10));
    save(&mut theirs, Library::DotNet, &alice("stock", at + 20));
    sign_out(&mut theirs, "bob.home");
    assert!(matches!(put(one, Some(&bases[0]), &mine).0, SetOutcome::Stored(_)));
    let (outcome, merged) = put(other, Some(&bases[1]), &theirs);
    assert!(matches!(outcome, SetOutcome::Stored(_)), "{outcome:?}");
    let merged = merged.expect("something");
    assert_eq!(scopes(&merged), ["billing", "orders", "stock"]);
    assert_eq!(merged["RefreshToken"], theirs["RefreshToken"]);
    for cache in [one, other] {
        assert_eq!(current(cache).as_ref(), Some(&merged));
    }
    if !std::ptr::eq(one, other) {
        one.clear().expect("an open cache");
        assert_eq!(current(one).as_ref(), Some(&merged));
    }
}

#[test]
fn what_two_servers_changed_is_merged_in_memory() {
    let cache = open_alone(json!({}));
    two_servers(&cache, &cache);
    let shared = Shared::new();
    let cache = shared.open(json!({}));
    let options = SetOptions { is_local: true, ..SetOptions::default() };
    for scope in ["orders", "stock"] {
        let bytes = serde_json::to_vec(&document(&[scope], now())).expect("JSON");
        cache.set_merged(KEY, None, &bytes, options).expect("merged");
    }
    assert_eq!(scopes(&current(&cache).expect("an entry")), ["orders", "stock"]);
    assert!(current(&shared.open(json!({}))).is_none(), "it is kept off L2");
}

#[test]
fn what_two_servers_changed_is_merged_on_sqlite() {
    let shared = Shared::new();
    two_servers(&shared.open(json!({})), &shared.open(json!({})));
    assert!(!holds_plain_text(&Sealed::new().merged_on_sqlite()));
}

#[test]
fn what_two_servers_changed_is_merged_on_redis() {
    let Some(server) = Server::start() else { return };
    two_servers(&server.open(json!({})), &server.open(json!({})));
    let sealed = Sealed::new();
    let Some(server) = Server::start() else { return };
    two_servers(&server.open(sealed.members()), &server.open(sealed.members()));
    let data: Vec<u8> = server.run(redis::cmd("HGET").arg(stored(KEY)).arg("data"));
    assert!(!holds_plain_text(&data));
}

fn holds_plain_text(bytes: &[u8]) -> bool {
    bytes.windows(7).any(|window| window == b"made-up")
}

/// A ring of its own.
struct Sealed(Value);

impl Sealed {
    fn new() -> Sealed {
        let material = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
        let key = json!({ "created": "2026-11-24T10:00:00Z", "state": "active", "material": material });
        Sealed(json!({ "version": 1, "keys": [key] }))
    }

    fn members(&self) -> Value {
        json!({ "encryption": { "algorithm": "aes-256-gcm", "keyring": self.0 } })
    }

    /// What the database holds then.
    fn merged_on_sqlite(&self) -> Vec<u8> {
        let shared = Shared::new();
        two_servers(&shared.open(self.members()), &shared.open(self.members()));
        let database = Connection::open(shared.database()).expect("a database");
        database.query_row("SELECT value FROM entries", (), |row| row.get(0)).expect("an entry")
    }
}

/// Members for an L2 that is away.
fn hasty(journal: Option<&Path>) -> Value {
    let mut resilience = json!({ "deadline_ms": 700, "max_attempts": 1, "probe_ms": 50, "close_ms": 0 });
    if let Some(journal) = journal {
        resilience["journal_path"] = json!(journal);
    }
    json!({ "coherence": { "heartbeat_timeout_ms": 250 }, "resilience": resilience })
}

/// The same while L2 is there.
fn patient(journal: Option<&Path>) -> Value {
    let mut members = hasty(journal);
    merge(&mut members, json!({ "resilience": { "deadline_ms": 30_000, "max_attempts": 4 } }));
    members
}

fn is_owed((outcome, merged): (SetOutcome, Option<Value>)) -> Value {
    assert!(matches!(outcome, SetOutcome::Owed(_)), "{outcome:?}");
    merged.expect("something")
}

/// While L2 is away two servers go on, one of them in several steps and with a restart; all of it is there in the end.
fn an_outage(members: &Value, is_sealed: bool) {
    let Some(server) = Server::start() else { return };
    let journal = server.folder().join("owed.db");
    let with = |mut all: Value| {
        merge(&mut all, members.clone());
        server.document(all)
    };
    let open = |all: Value| Cache::open(with(all).as_bytes()).expect("the cache opens");
    let (one, other) = (open(patient(Some(&journal))), open(patient(None)));
    let at = now() - 60;
    put(&one, None, &document(&["orders"], at));
    let base = one.get(KEY).expect("a read").expect("an entry");
    let other_base = other.get(KEY).expect("a read").expect("an entry");
    one.configure(with(hasty(Some(&journal))).as_bytes()).expect("configured");
    other.configure(with(hasty(None)).as_bytes()).expect("configured");
    server.stop();
    let mut mine = read(base.data());
    save(&mut mine, Library::DotNet, &alice("billing", at + 10));
    assert_eq!(is_owed(put(&one, Some(&base), &mine)), mine);
    // Made of the same, so that it meets what is owed already.
    let mut more = read(base.data());
    save(&mut more, Library::DotNet, &alice("mail", at + 20));
    assert_eq!(scopes(&is_owed(put(&one, Some(&base), &more))), ["billing", "mail", "orders"]);
    // Of what is owed.
    let owed = one.get(KEY).expect("a read").expect("an entry");
    let mut last = read(owed.data());
    save(&mut last, Library::DotNet, &alice("files", at + 30));
    is_owed(put(&one, Some(&owed), &last));
    let mut theirs = read(other_base.data());
    save(&mut theirs, Library::DotNet, &alice("stock", at + 40));
    is_owed(put(&other, Some(&other_base), &theirs));
    drop((base, owed, one));
    if is_sealed {
        let kept: Vec<u8> = ["owed.db", "owed.db-wal"]
            .iter()
            .flat_map(|name| std::fs::read(server.folder().join(name)).unwrap_or_default())
            .collect();
        assert!(!holds_plain_text(&kept), "what is owed lies open in the file");
    }
    let one = open(hasty(Some(&journal)));
    server.go_on();
    for cache in [&one, &other] {
        wait_until("nothing is owed", || cache.flush(Duration::from_secs(1)));
    }
    let document = current(&server.open(merged_members(members))).expect("an entry");
    assert_eq!(scopes(&document), ["billing", "files", "mail", "orders", "stock"]);
    assert_eq!(document["RefreshToken"], theirs["RefreshToken"], "the newest of all");
}

fn merged_members(members: &Value) -> Value {
    let mut all = json!({ "l1": { "enabled": false } });
    merge(&mut all, members.clone());
    all
}

#[test]
fn what_is_owed_is_merged_when_l2_is_back() {
    an_outage(&json!({}), false);
}

#[test]
fn what_is_owed_is_merged_when_l2_is_back_sealed_too() {
    an_outage(&Sealed::new().members(), true);
}

/// A sign-out that happened while something was owed wins over what is older, and loses to what is newer.
#[test]
fn a_removal_meets_what_is_owed() {
    for (later, stays) in [(-30, false), (3600, true)] {
        let Some(server) = Server::start() else { return };
        let (away, here) = (server.open(patient(None)), server.open(json!({})));
        let at = now() - 60;
        put(&away, None, &document(&["orders"], at));
        let base = away.get(KEY).expect("a read").expect("an entry");
        away.configure(server.document(hasty(None)).as_bytes()).expect("configured");
        server.stop();
        let mut mine = read(base.data());
        save(&mut mine, Library::DotNet, &alice("billing", now() + later));
        is_owed(put(&away, Some(&base), &mine));
        // Of the others the first to reach L2.
        let remover = std::thread::spawn({
            let here = Arc::clone(&here);
            move || here.remove(KEY).expect("removed")
        });
        server.go_on();
        remover.join().expect("its end");
        wait_until("nothing is owed", || {
            here.flush(Duration::from_secs(1)) && away.flush(Duration::from_secs(1))
        });
        let found = current(&server.open_without_l1());
        // Where what is owed came first, the removal took it with the rest.
        if let Some(found) = found {
            assert!(stays);
            assert_eq!(scopes(&found), ["billing"]);
        }
    }
}

#[test]
fn what_lies_there_and_cannot_be_merged_is_left_alone() {
    let shared = Shared::new();
    let cache = shared.open(json!({}));
    cache.set(KEY, b"something else", SetOptions::default()).expect("stored");
    let bytes = serde_json::to_vec(&document(&["orders"], now())).expect("JSON");
    let refused = cache.set_merged(KEY, None, &bytes, SetOptions::default()).expect_err("refused");
    assert_eq!(refused.kind, Kind::L2Protocol);
    assert!(!refused.message.contains("something else"), "{}", refused.message);
    assert_eq!(cache.get(KEY).expect("a read").expect("an entry").data(), b"something else");
}

/// MSAL.NET says an end where it sees no refresh token; one that another server has added must outlive that.
#[test]
fn what_two_servers_changed_lives_as_long_as_the_longer_of_both() {
    let hour = clock::unix_ms() + 3_600_000;
    let minute = SetOptions {
        asked: Asked { expires_at_ms: clock::unix_ms() + 60_000, ..Asked::default() },
        ..SetOptions::default()
    };
    let without = |tokens: &Value| {
        let mut tokens = tokens.clone();
        tokens["RefreshToken"] = json!({});
        serde_json::to_vec(&tokens).expect("JSON")
    };
    let shared = Shared::new();
    let [one, other] = [0, 1].map(|_| shared.open(hasty(None)));
    put(&one, None, &document(&["orders"], now()));
    let (outcome, _) =
        other.set_merged(KEY, None, &without(&document(&["stock"], now())), minute).expect("merged");
    assert!(matches!(outcome, SetOutcome::Stored(_)));
    let found = one.get(KEY).expect("a read").expect("an entry");
    assert_eq!(read(found.data())["RefreshToken"].as_object().map(serde_json::Map::len), Some(1));
    assert!(found.lifetime().expires_at_ms > hour, "it ends with what was added to it");

    one.remove(KEY).expect("removed");
    let lock = Connection::open(shared.database()).expect("a connection");
    lock.execute_batch("BEGIN IMMEDIATE").expect("the file is locked");
    is_owed(put(&one, None, &document(&["orders"], now() + 60)));
    let bytes = without(&document(&["stock"], now() + 60));
    let (outcome, entry) = one.set_merged(KEY, None, &bytes, minute).expect("merged");
    assert!(matches!(outcome, SetOutcome::Owed(_)));
    assert!(entry.expect("an entry").lifetime().expires_at_ms > hour, "so does what is owed");
}

#[test]
fn ended_tokens_leave_what_is_written_where_the_document_says_so() {
    let bytes = |document: &Value| serde_json::to_vec(document).expect("JSON");
    let old = document(&["orders"], now() - 7200);
    let mut both = old.clone();
    save(&mut both, Library::DotNet, &alice("stock", now()));
    for (prunes, left) in [(false, vec!["orders", "stock"]), (true, vec!["stock"])] {
        let shared = Shared::new();
        let cache = shared.open(json!({ "msal": { "prune_expired": prunes } }));
        for merges in [false, true] {
            if merges {
                put(&cache, None, &both);
            } else {
                cache.set(KEY, &bytes(&both), SetOptions::default()).expect("stored");
            }
            cache.clear().expect("an open cache");
            let found = current(&cache).expect("an entry");
            assert_eq!(scopes(&found), left);
            for name in ["RefreshToken", "IdToken", "Account", "AppMetadata"] {
                assert_eq!(found[name], both[name], "{name}");
            }
            cache.remove(KEY).expect("removed");
        }
        cache.set(KEY, b"{not a document", SetOptions::default()).expect("stored");
        assert_eq!(cache.get(KEY).expect("a read").expect("an entry").data(), b"{not a document");
    }
}

/// One that was made before there was anything to merge holds writes that nobody may lose.
#[test]
fn a_journal_of_an_earlier_version_is_taken_over() {
    let Some(server) = Server::start() else { return };
    let undone = [
        (1, "ALTER TABLE owed DROP COLUMN over_clock; ALTER TABLE owed DROP COLUMN base; DROP TABLE links"),
        (2, "ALTER TABLE owed DROP COLUMN over_clock; DROP TABLE links"),
        (3, "ALTER TABLE owed DROP COLUMN over_clock"),
    ];
    for (version, undo) in undone {
        let journal = server.folder().join(format!("owed{version}.db"));
        server.ask::<()>("FLUSHALL");
        let first = server.open(hasty(Some(&journal)));
        server.stop();
        first.set(b"plain", b"kept", SetOptions::default()).expect("owed");
        first.close();
        let file = Connection::open(&journal).expect("a database");
        file.execute_batch(&format!("{undo}; PRAGMA user_version = {version}")).expect("as it was");
        drop(file);
        let next = server.open(hasty(Some(&journal)));
        is_owed(put(&next, None, &document(&["orders"], now())));
        server.go_on();
        wait_until("nothing is owed", || next.flush(Duration::from_secs(1)));
        let reader = server.open_without_l1();
        assert_eq!(reader.get(b"plain").expect("a read").expect("an entry").data(), b"kept");
        assert_eq!(scopes(&current(&reader).expect("an entry")), ["orders"]);
    }
}

/// A merged set that L2 had acknowledged is made again where a new primary has never had it, and the next one is merged
/// with it there.
#[test]
fn what_was_merged_lately_is_on_the_next_primary() {
    let Some(mut server) = Server::start() else { return };
    let cache = server.open(json!({"resilience": {"deadline_ms": 60_000}}));
    let at = now() - 60;
    put(&cache, None, &document(&["orders"], at));
    let base = cache.get(KEY).expect("a read").expect("the entry");
    let (outcome, _) = put(&cache, Some(&base), &document(&["orders", "mail"], at));
    assert!(matches!(outcome, SetOutcome::Stored(_)));
    let base = cache.get(KEY).expect("a read").expect("the entry");
    // It keeps nothing on disk: what comes up is another primary, and empty.
    server.restart();
    let changes = || support::cache::statistics(&cache)["l2"]["failover"]["primary_changes"] == 1;
    wait_until("the restart is noticed", changes);
    let (outcome, found) = put(&cache, Some(&base), &document(&["orders", "mail", "files"], at));
    assert!(matches!(outcome, SetOutcome::Stored(_)));
    assert_eq!(scopes(&found.expect("a document")), ["files", "mail", "orders"]);
    let reader = server.open(json!({"l1": {"enabled": false}}));
    assert_eq!(scopes(&current(&reader).expect("a document")), ["files", "mail", "orders"]);
}
