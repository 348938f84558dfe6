//! What each refusal of a real Redis is called, and that work goes on when its reason has gone.

#[path = "support/redis.rs"]
mod support;

use std::sync::Arc;
use std::thread;

use redis::cmd;
use serde_json::{Value, json};
use support::{Server, status, wait_until, written};
use tokencache::cache::{Cache, SetOptions};

fn once() -> Value {
    json!({"l1": {"enabled": false}, "resilience": {"deadline_ms": 30_000, "max_attempts": 1, "circuit_failures": 0}})
}

/// Of a key of its own: what is owed for it would answer for L2.
fn set(cache: &Cache) -> &'static str {
    written(cache.set(b"set", b"new", SetOptions::default()))
}

fn remove(cache: &Cache) -> &'static str {
    written(cache.remove(b"removed"))
}

fn swap(cache: &Cache, expected_version: u64) -> &'static str {
    written(cache.set(b"k", b"new", SetOptions { expected_version, ..SetOptions::default() }))
}

fn get(cache: &Cache) -> &'static str {
    status(cache.get(b"k").map(drop))
}

/// What get, compare-and-swap, touch, set and remove answer.
fn answers(cache: &Cache) -> [&'static str; 5] {
    [get(cache), swap(cache, 7), status(cache.touch(b"k")), set(cache), remove(cache)]
}

/// That all of them say that L2 fails as a whole. On a loaded machine its greeting may come too late for a call.
fn all_fail(cache: &Cache, failure: &'static str) {
    let all = [failure, failure, failure, "TC_DEGRADED", "TC_DEGRADED"];
    wait_until("all fail", || {
        let seen = answers(cache);
        let is_expected = seen.iter().zip(all).all(|(seen, all)| *seen == all || *seen == "TC_L2_TIMEOUT");
        assert!(is_expected, "{seen:?} instead of {all:?}");
        seen == all
    });
}

/// Has a read fail with `failure`, however late the greeting comes at first; what it says.
fn why(cache: &Cache, failure: &str) -> String {
    let mut why = String::new();
    wait_until(failure, || {
        let error = cache.get(b"k").expect_err("no link");
        assert!([failure, "TC_L2_TIMEOUT"].contains(&error.kind.name()), "{error}");
        why = error.message.clone();
        error.kind.name() == failure
    });
    why
}

fn stock(cache: &Arc<Cache>) {
    let asked = tokencache::entry::Asked { sliding_ms: 3_600_000, ..Default::default() };
    let options = SetOptions { asked, ..SetOptions::default() };
    wait_until("it is stored", || written(cache.set(b"k", b"old", options)) == "TC_OK");
    assert!(cache.flush(support::GENEROUS));
}

/// A primary that does not wait five seconds for more replicas.
fn primary() -> Option<Server> {
    Server::with(&["--repl-diskless-sync-delay", "0"])
}

/// A primary and its replica, which is started with `options`.
fn pair(options: &[&str]) -> Option<(Server, Server)> {
    let primary = primary()?;
    let port = primary.port().to_string();
    let replica = Server::with(&[&["--replicaof", "127.0.0.1", &port], options].concat()).expect("a replica");
    wait_until("the replica follows", || {
        replica.ask::<String>("INFO replication").contains("master_link_status:up")
    });
    Some((primary, replica))
}

#[test]
fn a_replica_is_refused_by_a_sentence_that_names_its_primary() {
    // One that takes writes forgets them when it next follows its primary.
    for read_only in ["yes", "no"] {
        let Some((primary, replica)) = pair(&["--replica-read-only", read_only]) else { return };
        stock(&primary.open(once()));
        wait_until("the replica has it", || replica.ask::<i64>("EXISTS p:k") == 1);
        let cache = replica.open(once());
        all_fail(&cache, "TC_L2_UNREACHABLE");
        let why = why(&cache, "TC_L2_UNREACHABLE");
        let (its, of) = (replica.port(), primary.port());
        assert_eq!(
            why,
            format!(
                "Redis at redis://127.0.0.1:{its}/0 is a replica of the primary at 127.0.0.1:{of}, which refuses \
                 writes or loses them; point l2.url at the primary."
            )
        );
        replica.ask::<()>("REPLICAOF NO ONE");
        wait_until("it has become a primary", || set(&cache) == "TC_OK");
    }
}

#[test]
fn a_replica_is_refused_also_where_nobody_may_ask_for_its_primary() {
    let Some((_primary, replica)) = pair(&[]) else { return };
    replica.ask::<()>("ACL SETUSER app on >secret ~p:* +@all -info -role");
    let mut members = once();
    support::cache::merge(&mut members, json!({"l2": {"username": "app", "password": "secret"}}));
    let cache = replica.open(members);
    let why = why(&cache, "TC_L2_UNREACHABLE");
    assert!(
        why.ends_with("is a replica, which refuses writes or loses them; point l2.url at the primary."),
        "{why}"
    );
}

#[test]
fn a_replica_that_knows_no_hello_is_refused_where_its_rights_let_it_say_what_it_is() {
    let Some((_primary, replica)) = pair(&["--rename-command", "HELLO", ""]) else { return };
    let cache = replica.open(once());
    all_fail(&cache, "TC_L2_UNREACHABLE");
    replica.ask::<()>("ACL SETUSER app on >secret ~p:* +@all -info");
    let mut members = once();
    support::cache::merge(&mut members, json!({"l2": {"username": "app", "password": "secret"}}));
    let cache = replica.open(members);
    wait_until("nobody knows, until it is written to", || get(&cache) == "TC_OK");
    assert_eq!(set(&cache), "TC_DEGRADED");
}

#[test]
fn a_primary_that_becomes_a_replica_is_left_at_the_next_heartbeat_or_write() {
    let Some((primary, _replica)) = pair(&[]) else { return };
    let other = self::primary().expect("another primary");
    for writes in [false, true] {
        // Read only: no heartbeat comes in time to tell it.
        let heartbeat = json!({"coherence": {"heartbeat_ms": if writes { 60_000 } else { 100 }}});
        let mut members = once();
        support::cache::merge(&mut members, heartbeat);
        let cache = primary.open(members);
        wait_until("it is stored", || set(&cache) == "TC_OK");
        primary.ask::<()>(&format!("REPLICAOF 127.0.0.1 {}", other.port()));
        let is_up = || support::cache::statistics(&cache)["l2"]["store"]["link_is_up"] == 1;
        if writes {
            let why = cache.set(b"swap", b"", SetOptions { expected_version: 7, ..SetOptions::default() });
            assert_eq!(status(why), "TC_L2_BUSY");
            assert!(!is_up());
        }
        wait_until("the link is given up", || !is_up());
        assert_eq!(set(&cache), "TC_DEGRADED");
        primary.ask::<()>("REPLICAOF NO ONE");
        wait_until("it is a primary again", || cache.flush(std::time::Duration::from_millis(100)));
        assert_eq!(set(&cache), "TC_OK");
    }
}

#[test]
fn a_replica_that_has_lost_its_primary_is_a_replica() {
    let Some((mut primary, replica)) = pair(&["--replica-serve-stale-data", "no"]) else { return };
    let cache = replica.open(once());
    primary.kill();
    wait_until("the replica has noticed", || {
        replica.ask::<String>("INFO replication").contains("master_link_status:down")
    });
    all_fail(&cache, "TC_L2_UNREACHABLE");
}

#[test]
fn a_sentinel_is_no_second_tier() {
    let Some(server) = Server::start() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let port = support::free_port();
    let config = folder.path().join("sentinel.conf");
    let watched = format!("sentinel monitor main 127.0.0.1 {} 1\n", server.port());
    std::fs::write(&config, format!("port {port}\nbind 127.0.0.1\n{watched}")).expect("written");
    let mut sentinel = std::process::Command::new("redis-server");
    sentinel.arg(&config).arg("--sentinel").stdout(std::process::Stdio::null());
    let mut sentinel = sentinel.spawn().expect("a sentinel");
    wait_until("it listens", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    let cache = Cache::open(support::document(&format!("redis://127.0.0.1:{port}/0"), once()).as_bytes());
    let why = why(&cache.expect("the cache opens"), "TC_L2_PROTOCOL");
    let _ = (sentinel.kill(), sentinel.wait());
    assert!(why.contains("is a Sentinel, which holds no data"), "{why}");
}

#[test]
fn a_node_of_a_cluster_is_named_as_one() {
    let Some(server) = Server::node() else { return };
    let cache = server.open(once());
    wait_until("it has no slots", || get(&cache) == "TC_L2_BUSY");
    // All but that of the key, which another node has.
    let slot: u64 = server.ask("CLUSTER KEYSLOT p:k");
    server.ask::<()>(&format!("CLUSTER ADDSLOTSRANGE 0 {} {} 16383", slot - 1, slot + 1));
    let other = Server::node().expect("another node");
    other.ask::<()>(&format!("CLUSTER ADDSLOTS {slot}"));
    server.ask::<()>(&format!("CLUSTER MEET 127.0.0.1 {}", other.port()));
    wait_until("it knows the other", || get(&cache) == "TC_L2_PROTOCOL");
    let why = cache.get(b"k").expect_err("moved").message;
    assert!(why.contains("is a node of a cluster") && why.ends_with("(MOVED)."), "{why}");
}

#[test]
fn a_server_without_room_is_full_for_writes_and_read_as_ever() {
    let Some(server) = Server::start() else { return };
    let cache = server.open(once());
    stock(&cache);
    server.ask::<()>("CONFIG SET maxmemory 1");
    assert_eq!(get(&cache), "TC_OK");
    assert_eq!(
        (set(&cache), swap(&cache, 7), swap(&cache, u64::MAX)),
        ("TC_DEGRADED", "TC_L2_FULL", "TC_L2_FULL")
    );
    assert_eq!(status(cache.touch(b"k")), "TC_OK", "it needs no room");
    assert_eq!(server.fields(b"k")["data"], b"old");
    // A remove writes a tombstone, for which there may be no room; then it has removed nothing.
    let is_there = server.ask::<i64>("EXISTS p:k") == 1;
    let answer = written(cache.remove(b"k"));
    assert!(is_there && ["TC_OK", "TC_DEGRADED"].contains(&answer), "{answer}");
    assert_eq!(server.ask::<i64>("EXISTS p:k") == 1, answer == "TC_DEGRADED");
    assert!(cache.get(b"k").expect("a read").is_none(), "it is removed here in any case");
    server.ask::<()>("CONFIG SET maxmemory 0");
    assert_eq!(set(&cache), "TC_OK");
}

#[test]
fn a_server_that_runs_a_long_script_is_busy() {
    let Some(server) = Server::with(&["--busy-reply-threshold", "20"]) else { return };
    let cache = server.open(once());
    stock(&cache);
    thread::scope(|scope| {
        let runaway = scope.spawn(|| {
            let mut script = cmd("EVAL");
            script.arg("while true do end").arg(0);
            server.try_run::<()>(&script).expect_err("it is killed");
        });
        let is_busy = || server.try_run::<String>(&cmd("PING")).is_err();
        wait_until("the server is busy", is_busy);
        all_fail(&cache, "TC_L2_BUSY");
        server.ask::<()>("SCRIPT KILL");
        runaway.join().expect("it ends");
    });
    assert_eq!(set(&cache), "TC_OK");
}

#[test]
fn a_server_that_loads_its_data_is_busy() {
    let slowly = ["--key-load-delay", "2000", "--loading-process-events-interval-bytes", "1024"];
    let options = [&slowly[..], &["--enable-debug-command", "yes"]].concat();
    let Some(mut server) = Server::with(&options) else { return };
    // What it wrote itself it would make again, and until then know.
    stock(&server.open(once()));
    let cache = server.open(once());
    wait_until("it is connected", || get(&cache) == "TC_OK");
    server.ask::<()>("DEBUG POPULATE 20000 filler 100");
    server.ask::<()>("SAVE");
    server.launch();
    let is_loading = |error: redis::RedisError| {
        error.kind() == redis::ErrorKind::Server(redis::ServerErrorKind::BusyLoading)
    };
    wait_until("the server loads", || server.try_run::<String>(&cmd("PING")).is_err_and(is_loading));
    let mut seen = get(&cache);
    wait_until("the cache finds the server", || {
        seen = get(&cache);
        !["TC_L2_UNREACHABLE", "TC_L2_TIMEOUT"].contains(&seen)
    });
    assert_eq!(seen, "TC_L2_BUSY");
    all_fail(&cache, "TC_L2_BUSY");
    server.ask::<()>("CONFIG SET key-load-delay 0");
    wait_until("it has loaded", || get(&cache) == "TC_OK");
    assert_eq!(cache.get(b"k").expect("a read").expect("an entry").data(), b"old");
}

#[test]
fn a_server_that_takes_no_more_clients_is_busy() {
    let Some(server) = Server::start() else { return };
    let mut own = server.connection().expect("a connection");
    cmd("CONFIG").arg("SET").arg("maxclients").arg(1).query::<()>(&mut own).expect("set");
    let cache = server.open(once());
    for _ in 0..3 {
        why(&cache, "TC_L2_BUSY");
        assert_eq!(set(&cache), "TC_DEGRADED");
    }
    cmd("CONFIG").arg("SET").arg("maxclients").arg(100).query::<()>(&mut own).expect("set");
    wait_until("there is room", || set(&cache) == "TC_OK");
}

#[test]
fn credentials_that_are_wrong_missing_or_not_enough_are_denied() {
    let Some(server) = Server::start() else { return };
    server.ask::<()>("ACL SETUSER app on >right ~p:* +@connection +hmget +pttl +time +multi +exec");
    server.ask::<()>("ACL SETUSER default off");
    let open = |l2: Value| {
        let mut members = once();
        support::cache::merge(&mut members, json!({ "l2": l2 }));
        server.open(members)
    };
    all_fail(&open(json!({})), "TC_L2_DENIED");
    let is_denied = |cache: &Cache| wait_until("it is denied", || swap(cache, 7) == "TC_L2_DENIED");
    is_denied(&open(json!({"password": "right"})));
    is_denied(&open(json!({"username": "app", "password": "wrong"})));
    let app = json!({"username": "app", "password": "right"});
    let cache = open(app.clone());
    is_denied(&cache);
    assert_eq!((set(&cache), remove(&cache)), ("TC_DEGRADED", "TC_DEGRADED"));
    let mut elsewhere = app;
    elsewhere["key_prefix"] = json!("q:");
    is_denied(&open(elsewhere));
    server.ask::<()>("ACL SETUSER app +@all");
    assert_eq!(set(&cache), "TC_OK");
}

#[test]
fn a_value_beyond_what_the_server_takes_stays_owed_and_holds_up_nothing_else() {
    let Some(server) = Server::with(&["--proto-max-bulk-len", "1mb"]) else { return };
    let mut members = once();
    support::cache::merge(&mut members, json!({"limits": {"max_value_bytes": 8 << 20}}));
    let cache = server.open(members);
    // The server breaks off the link, which tells nobody why.
    assert_eq!(written(cache.set(b"k", &vec![1; 2 << 20], SetOptions::default())), "TC_DEGRADED");
    wait_until("the next is stored", || set(&cache) == "TC_OK");
    server.ask::<()>("CONFIG SET min-replicas-to-write 1");
    assert_eq!(written(cache.set(b"later", b"1", SetOptions::default())), "TC_DEGRADED");
    server.ask::<()>("CONFIG SET min-replicas-to-write 0");
    wait_until("what is owed behind it is stored", || server.fields(b"later").contains_key("data"));
    wait_until("it alone is owed", || support::cache::statistics(&cache)["journal"]["owed_entries"] == 1);
}
