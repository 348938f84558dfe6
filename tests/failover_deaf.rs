//! What others have done on the new primary while this process heard nothing of it is not undone when it makes again what
//! it had written before, also where nothing of that is left.

#[path = "support/failover.rs"]
mod pair;
#[path = "support/proxy.rs"]
mod proxy;
#[path = "support/redis.rs"]
mod support;

use pair::{Pair, again, again_is_done, found, set, set_for};
use proxy::Proxy;
use serde_json::json;
use support::{Server, document, free_port, wait_until, written};
use tokencache::cache::{Cache, SetOptions};
use tokencache::entry::Asked;

const BRIEF: Asked = Asked { ttl_ms: 1_500, expires_at_ms: 0, sliding_ms: 0 };
const SLIDING: Asked = Asked { ttl_ms: 0, expires_at_ms: 0, sliding_ms: 300 };

#[test]
fn what_was_written_over_and_has_ended_unheard_is_not_made_again() {
    let Some(pair) = Pair::start() else { return };
    let (cache, reader) = (pair.open(json!({})), pair.new.open_without_l1());
    let keys = ["set", "slides", "swapped", "owed", "removed", "lost"];
    for key in &keys[..5] {
        set(&cache, key, "1");
    }
    pair.catch_up();
    pair.promote();
    set(&cache, "lost", "1");
    pair.proxy.repoint(free_port());
    pair.proxy.cut();

    let other = pair.new.open(json!({}));
    let swap = other.get(b"swapped").expect("a read").expect("an entry").version();
    set_for(&other, "set", "2", BRIEF);
    set_for(&other, "slides", "2", SLIDING);
    let options = SetOptions { expected_version: swap, asked: BRIEF, ..SetOptions::default() };
    assert_eq!(written(other.set(b"swapped", b"2", options)), "TC_OK");
    assert_eq!(written(other.remove(b"removed")), "TC_OK");
    let proxy = Proxy::before(free_port());
    let away = Cache::open(document(&proxy.url(), json!({})).as_bytes()).expect("the cache opens");
    let options = SetOptions { asked: SLIDING, ..SetOptions::default() };
    assert_eq!(written(away.set(b"owed", b"2", options)), "TC_DEGRADED");
    proxy.repoint(pair.new.port());
    wait_until("it is brought there", || again(&away)["pending"] == 0 && away.flush(support::GENEROUS));
    for key in &keys[..5] {
        wait_until("it has ended", || pair.new.pttl(format!("p:{key}").as_bytes()) == -2);
    }

    pair.fail_over();
    again_is_done(&cache, 1);
    assert_eq!(keys.map(|key| found(&reader, key)), ["", "", "", "", "", "1"], "{}", again(&cache));
    assert_eq!(keys.map(|key| found(&cache, key)), ["", "", "", "", "", "1"]);
}

#[test]
fn what_was_written_over_and_flushed_unheard_is_not_made_again() {
    let Some(pair) = Pair::start() else { return };
    let (cache, reader) = (pair.open(json!({})), pair.new.open_without_l1());
    set(&cache, "set", "1");
    pair.catch_up();
    pair.promote();
    pair.proxy.repoint(free_port());
    pair.proxy.cut();

    let other = pair.new.open(json!({}));
    set(&other, "set", "2");
    pair.new.ask::<()>("FLUSHALL");
    wait_until("word of it is there", || pair.new.ask::<u64>("EXISTS p:__tokencache:emptied") == 1);

    pair.fail_over();
    again_is_done(&cache, 1);
    assert_eq!(found(&reader, "set"), "", "{}", again(&cache));
    assert_eq!(found(&cache, "set"), "");
}

/// While it loads, nobody can ask it whether everything was deleted there: that is no word that it was.
#[test]
fn a_server_that_comes_back_with_older_data_and_loads_it_first_has_what_was_written_lately() {
    let slowly = ["--key-load-delay", "2000", "--loading-process-events-interval-bytes", "1024"];
    let options = [&slowly[..], &["--enable-debug-command", "yes"]].concat();
    let Some(mut server) = Server::with(&options) else { return };
    let cache = server.open(json!({}));
    set(&cache, "old", "1");
    server.ask::<()>("DEBUG POPULATE 3000 filler 100");
    server.ask::<()>("SAVE");
    set(&cache, "new", "1");
    set(&cache, "old", "2");
    server.launch();
    wait_until("the cache finds a server that loads", || {
        cache.get(b"unknown").is_err_and(|error| error.kind.name() == "TC_L2_BUSY")
    });
    server.ask::<()>("CONFIG SET key-load-delay 0");
    again_is_done(&cache, 1);
    let reader = server.open_without_l1();
    assert_eq!((found(&reader, "old"), found(&reader, "new")), ("2".into(), "1".into()), "{}", again(&cache));
}
