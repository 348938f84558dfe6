//! A real Redis that is full, forgets, is busy with itself, or knows us no more: with the circuit as it is by default,
//! what is owed meanwhile, what the server is spared, and that all of it ends by itself.

#[path = "support/crypto.rs"]
mod crypto;
#[path = "support/proxy.rs"]
mod proxy;
#[path = "support/sealed.rs"]
mod sealed;
#[path = "support/redis.rs"]
mod support;

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use proxy::Proxy;
use redis::cmd;
use sealed::heard::Heard;
use serde_json::{Value, json};
use support::cache::{merge, statistics};
use support::{GENEROUS, Server, document, status, wait_until, written};
use tokencache::cache::{Cache, SetOptions};

/// The commands of a look at what is owed, once a second: a batch of 32, each read, and tried in a transaction.
const ONE_LOOK: f64 = 32.0 * 12.0;

/// A cache that asks once and does not wait long.
fn open(server: &Server, more: Value) -> Arc<Cache> {
    let mut members = json!({"resilience": {"deadline_ms": 1_000, "max_attempts": 1}});
    merge(&mut members, more);
    server.open(members)
}

fn set(cache: &Cache, key: &str, value: &[u8]) -> &'static str {
    written(cache.set(key.as_bytes(), value, SetOptions::default()))
}

fn get(cache: &Cache, key: &str) -> Result<Option<Vec<u8>>, &'static str> {
    let found = cache.get(key.as_bytes()).map_err(|error| error.kind.name())?;
    Ok(found.map(|entry| entry.data().to_vec()))
}

fn owed(cache: &Cache) -> u64 {
    statistics(cache)["journal"]["owed_entries"].as_u64().expect("a number")
}

/// A value of 7 KB that says whose it is.
fn value(key: &str) -> Vec<u8> {
    format!("{key} ").bytes().cycle().take(7_000).collect()
}

fn figure(server: &Server, section: &str, name: &str) -> u64 {
    let info: String = server.ask(&format!("INFO {section}"));
    let line = info.lines().find_map(|line| line.strip_prefix(&format!("{name}:"))).expect("a figure");
    line.trim().parse().expect("a number")
}

#[test]
fn a_server_without_room_is_owed_what_it_does_not_take_and_is_not_pressed() {
    let Some(server) = Server::start() else { return };
    // It answers at once that it is full.
    let cache = open(&server, json!({"resilience": {"deadline_ms": 30_000}}));
    let heard = Heard::of(&cache);
    wait_until("it is connected", || set(&cache, "early", &value("early")) == "TC_OK");
    assert_eq!(set(&cache, "signed out", &value("signed out")), "TC_OK");
    let used = figure(&server, "memory", "used_memory");
    server.ask::<()>(&format!("CONFIG SET maxmemory {}", used + 300_000));
    let names: Vec<String> = (0..200).map(|number| format!("key {number:03} ")).collect();
    let answers: Vec<_> = names.iter().map(|key| set(&cache, key, &value(key))).collect();
    let kept = answers.iter().filter(|answer| **answer == "TC_DEGRADED").count();
    assert!(answers.iter().all(|answer| ["TC_OK", "TC_DEGRADED"].contains(answer)), "{answers:?}");
    assert!(kept > 20, "{kept} of 200 were too many for the server");

    // What is full is said, to whoever asks and in the log.
    let swap = SetOptions { expected_version: u64::MAX, ..SetOptions::default() };
    let refused = cache.set(b"swapped", &value("swapped"), swap).map(drop).expect_err("no room");
    assert_eq!(refused.kind.name(), "TC_L2_FULL");
    for words in ["has reached maxmemory and evicts nothing", &server.port().to_string()] {
        assert!(refused.message.contains(words), "{refused}");
    }
    wait_until("the log says why", || heard.says(&["maxmemory"]));

    // It is read as ever, and what is removed is removed there too, for which there is room.
    assert_eq!(statistics(&cache)["l2"]["circuit"]["state"], "closed");
    cache.clear().expect("cleared");
    assert_eq!(get(&cache, "early"), Ok(Some(value("early"))));
    let removed = written(cache.remove(b"signed out"));
    assert!(["TC_OK", "TC_DEGRADED"].contains(&removed), "{removed}");
    assert_eq!(get(&cache, "signed out"), Ok(None));
    wait_until("it is removed in L2", || {
        server.run::<i64>(cmd("EXISTS").arg(support::stored(b"signed out"))) == 0
    });

    // Nobody presses a server that has no room.
    let (begin, before) = (Instant::now(), figure(&server, "stats", "total_commands_processed"));
    thread::sleep(Duration::from_secs(3));
    let asked = figure(&server, "stats", "total_commands_processed") - before;
    let seconds = begin.elapsed().as_secs_f64();
    println!("{kept} writes owed: {:.0} commands a second while there is no room", asked as f64 / seconds);
    assert!((asked as f64) < ONE_LOOK * (seconds + 1.0), "{asked} commands in {seconds:.1} s");
    assert!(owed(&cache) > 0, "there is no room yet");

    server.ask::<()>("CONFIG SET maxmemory 0");
    let back = Instant::now();
    assert!(cache.flush(GENEROUS), "{} are still owed", owed(&cache));
    println!("{kept} writes arrived {:?} after there was room", back.elapsed());
    for key in &names {
        assert_eq!(server.fields(key.as_bytes())["data"], value(key));
    }
}

#[test]
fn what_a_server_evicts_is_a_miss_and_never_an_error() {
    let Some(server) = Server::start() else { return };
    let used = figure(&server, "memory", "used_memory");
    server.ask::<()>(&format!("CONFIG SET maxmemory {}", used + 1_500_000));
    server.ask::<()>("CONFIG SET maxmemory-policy allkeys-lru");
    for with_l1 in [true, false] {
        let cache = open(&server, json!({"l1": {"enabled": with_l1}, "resilience": {"deadline_ms": 30_000}}));
        wait_until("it is connected", || get(&cache, "nothing") == Ok(None));
        let names: Vec<String> = (0..600).map(|number| format!("{with_l1} {number:03} ")).collect();
        let (mut there, mut gone) = (0, 0);
        for key in &names {
            assert_eq!(set(&cache, key, &value(key)), "TC_OK");
        }
        for key in names.iter().chain(&names) {
            match get(&cache, key) {
                Ok(Some(found)) => {
                    there += 1;
                    assert_eq!(found, value(key));
                }
                Ok(None) => {
                    gone += 1;
                    // Who fetches the token anew stores it again, and reads it; what is newest may be evicted too.
                    wait_until("it is stored again and read", || {
                        assert_eq!(set(&cache, key, &value(key)), "TC_OK");
                        let found = get(&cache, key).expect("no error");
                        assert!(found.is_none() || found == Some(value(key)), "{key} is another");
                        found.is_some()
                    });
                }
                Err(status) => panic!("{key}: {status}"),
            }
        }
        let evicted = figure(&server, "stats", "evicted_keys");
        println!("L1 {with_l1}: {evicted} evicted; {there} reads found theirs, {gone} nothing");
        assert!(evicted > 100 && gone > 0 && there > 0);
        assert_eq!(owed(&cache), 0);
    }
}

/// Has somebody else store `k`, so that nothing but L2 ever answers for it.
fn stock(server: &Server, cache: &Cache) {
    server.run::<()>(cmd("HSET").arg(support::stored(b"k")).arg("data").arg("1"));
    wait_until("it is connected", || get(cache, "k") == Ok(Some(b"1".to_vec())));
}

/// Has `cache` meet the trouble of its server: calls fail with one of `statuses`, then nobody waits, and what is written
/// is owed; after `ends` it is used again, and has everything.
fn lasts_and_ends(server: &Server, cache: &Cache, what: &str, statuses: &[&str], ends: impl FnOnce()) {
    let mut seen = Vec::new();
    wait_until(&format!("{what}: the circuit opens"), || match get(cache, "k") {
        Err("TC_L2_SUSPENDED") => true,
        Err(status) => {
            seen.push(status);
            false
        }
        Ok(_) => false,
    });
    // On a loaded machine the answer may come too late.
    let is_expected = |status: &&str| statuses.contains(status) || *status == "TC_L2_TIMEOUT";
    assert!(seen.iter().all(is_expected) && !seen.is_empty(), "{what}: {seen:?}");
    assert_eq!(set(cache, what, b"owed"), "TC_DEGRADED", "{what}");
    assert_eq!(get(cache, what), Ok(Some(b"owed".to_vec())), "{what}");
    ends();
    let over = Instant::now();
    wait_until(&format!("{what}: L2 is used again"), || get(cache, "k") == Ok(Some(b"1".to_vec())));
    println!("{what}: used again after {:?}", over.elapsed());
    assert!(cache.flush(GENEROUS), "{what}");
    assert_eq!(server.fields(what.as_bytes())["data"], b"owed", "{what}");
}

#[test]
fn a_server_that_pauses_its_clients_is_left_alone_until_it_goes_on() {
    let Some(server) = Server::start() else { return };
    let members = json!({"l1": {"enabled": false}, "coherence": {"heartbeat_timeout_ms": 250}});
    let cache = open(&server, members);
    stock(&server, &cache);
    server.ask::<()>("CLIENT PAUSE 8000 ALL");
    let until_it_ends = || drop(server.ask::<String>("PING"));
    // A greeting is paused as well.
    lasts_and_ends(&server, &cache, "paused", &["TC_L2_TIMEOUT", "TC_L2_UNREACHABLE"], until_it_ends);
}

#[test]
fn a_server_that_is_kept_by_a_script_is_left_alone_until_the_script_is_killed() {
    let Some(server) = Server::with(&["--busy-reply-threshold", "20"]) else { return };
    let cache = open(&server, json!({"l1": {"enabled": false}}));
    stock(&server, &cache);
    thread::scope(|scope| {
        let runaway = scope.spawn(|| {
            let mut script = cmd("EVAL");
            script.arg("while true do end").arg(0);
            server.try_run::<()>(&script).expect_err("it is killed");
        });
        wait_until("the server is busy", || server.try_run::<String>(&cmd("PING")).is_err());
        lasts_and_ends(&server, &cache, "busy", &["TC_L2_BUSY"], || {
            server.ask::<()>("SCRIPT KILL");
            runaway.join().expect("it ends");
        });
    });
}

#[test]
fn a_server_that_takes_no_more_clients_is_left_alone_until_there_is_room() {
    let Some(server) = Server::start() else { return };
    let mut own = server.connection().expect("a connection");
    let cache = open(&server, json!({"l1": {"enabled": false}}));
    stock(&server, &cache);
    let mut allow = |clients: u32| {
        cmd("CONFIG").arg("SET").arg("maxclients").arg(clients).query::<()>(&mut own).expect("set");
    };
    allow(1);
    make_the_link_anew(&server, &cache);
    lasts_and_ends(&server, &cache, "crowded", &["TC_L2_BUSY", "TC_L2_UNREACHABLE"], || allow(100));
}

/// Has the cache give up its link and need another one.
fn make_the_link_anew(server: &Server, cache: &Cache) {
    let elsewhere = server.url().replace("/0", "/1");
    let members = json!({
        "l1": {"enabled": false},
        "l2": {"url": elsewhere},
        "resilience": {"deadline_ms": 1_000, "max_attempts": 1},
    });
    cache.configure(server.document(members.clone()).as_bytes()).expect("configured");
    let mut members = members;
    members["l2"]["url"] = json!(server.url());
    cache.configure(server.document(members).as_bytes()).expect("configured");
}

#[test]
fn a_server_that_loads_its_data_is_left_alone_until_it_has_loaded() {
    let slowly = ["--key-load-delay", "2000", "--loading-process-events-interval-bytes", "1024"];
    let options = [&slowly[..], &["--enable-debug-command", "yes"]].concat();
    let Some(mut server) = Server::with(&options) else { return };
    let cache = open(&server, json!({"l1": {"enabled": false}}));
    stock(&server, &cache);
    server.ask::<()>("DEBUG POPULATE 20000 filler 100");
    server.ask::<()>("SAVE");
    server.launch();
    let is_loading = |error: redis::RedisError| {
        error.kind() == redis::ErrorKind::Server(redis::ServerErrorKind::BusyLoading)
    };
    wait_until("the server loads", || server.try_run::<String>(&cmd("PING")).is_err_and(is_loading));
    let statuses = ["TC_L2_BUSY", "TC_L2_UNREACHABLE"];
    lasts_and_ends(&server, &cache, "loading", &statuses, || {
        server.ask::<()>("CONFIG SET key-load-delay 0");
        wait_until("it has loaded", || server.try_run::<String>(&cmd("PING")).is_ok());
    });
}

/// A node of a cluster whose slots nobody has; then it has all of them.
#[test]
fn a_cluster_that_is_down_is_left_alone_until_it_is_up() {
    let Some(server) = Server::node() else { return };
    let cache = open(&server, json!({"l1": {"enabled": false}}));
    lasts_and_ends(&server, &cache, "cluster", &["TC_L2_BUSY"], || {
        server.ask::<()>("CLUSTER ADDSLOTSRANGE 0 16383");
        let mut entry = cmd("HSET");
        entry.arg(support::stored(b"k")).arg("data").arg("1");
        wait_until("the cluster is up", || server.try_run::<()>(&entry).is_ok());
    });
}

#[test]
fn a_password_that_is_wrong_names_the_user_and_is_tried_once_a_second() {
    let Some(server) = Server::start() else { return };
    server.ask::<()>("ACL SETUSER orders on >right ~p:* +@all");
    let proxy = Proxy::before(server.port());
    let members = |more: Value| {
        let mut members = json!({
            "l1": {"enabled": false},
            "l2": {"username": "orders", "password": "wrong"},
            "resilience": {"deadline_ms": 300, "max_attempts": 3, "circuit_failures": 0},
        });
        merge(&mut members, more);
        document(&proxy.url(), members)
    };
    let required = members(json!({"l2": {"require_at_open": true}, "resilience": {"deadline_ms": 20_000}}));
    let refused = Cache::open(required.as_bytes()).map(drop).expect_err("refused");
    assert_eq!(refused.kind.name(), "TC_L2_DENIED");
    for words in ["\"orders\"", &proxy.url()] {
        assert!(refused.message.contains(words), "{refused}");
    }
    assert!(!refused.message.contains("wrong"), "{refused}");

    let cache = Cache::open(members(json!({})).as_bytes()).expect("the cache opens");
    let (begin, before) = (Instant::now(), proxy.accepted());
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let is_little = || proxy.accepted() < before + 2 && begin.elapsed() < GENEROUS;
                while begin.elapsed() < Duration::from_secs(4) || is_little() {
                    let asked = Instant::now();
                    let answer = status(cache.get(b"k").map(drop));
                    // On a loaded machine the refusal may come too late.
                    let is_late = answer == "TC_L2_TIMEOUT" && asked.elapsed() >= Duration::from_millis(300);
                    assert!(answer == "TC_L2_DENIED" || is_late, "{answer} after {:?}", asked.elapsed());
                    assert_eq!(set(&cache, "k2", b"1"), "TC_DEGRADED");
                    // What is refused is refused at once.
                    thread::sleep(Duration::from_millis(1));
                }
            });
        }
    });
    let (tries, seconds) = (proxy.accepted() - before, begin.elapsed().as_secs_f64());
    println!("wrong password: {tries} tries in {seconds:.1} s");
    assert!(tries >= 2 && tries as f64 <= seconds + 1.0, "{tries} tries in {seconds:.1} s");
    server.ask::<()>("ACL SETUSER orders resetpass >wrong");
    wait_until("it is let in", || set(&cache, "k", b"1") == "TC_OK");
}

#[test]
fn a_password_or_a_right_that_changes_while_the_circuit_is_open_is_found_by_the_next_probe() {
    let Some(server) = Server::start() else { return };
    let file = server.folder().join("password");
    std::fs::write(&file, "first").expect("written");
    server.ask::<()>("ACL SETUSER app on >first ~p:* +@all");
    let l2 = json!({"username": "app", "password_file": file});
    let cache = open(&server, json!({"l1": {"enabled": false}, "l2": l2}));
    stock(&server, &cache);
    server.ask::<()>("ACL SETUSER app resetpass >second");
    server.ask::<i64>("CLIENT KILL USER app");
    let statuses = ["TC_L2_DENIED", "TC_L2_UNREACHABLE"];
    lasts_and_ends(&server, &cache, "rotated", &statuses, || {
        std::fs::write(&file, "second").expect("written");
    });
    // The link stands, and may not read any more.
    server.ask::<()>("ACL SETUSER app -hmget");
    lasts_and_ends(&server, &cache, "forbidden", &["TC_L2_DENIED"], || {
        server.ask::<()>("ACL SETUSER app +hmget");
    });
}
