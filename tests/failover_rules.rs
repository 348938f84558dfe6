//! What was acknowledged and is not on the new primary is there again, and nothing else is.

#[path = "support/library.rs"]
mod library;
#[path = "support/failover.rs"]
mod pair;
#[path = "support/program.rs"]
mod program;
#[path = "support/proxy.rs"]
mod proxy;
#[path = "support/puppet.rs"]
mod puppet;
#[path = "support/sqlite.rs"]
mod sqlite;
#[path = "support/redis.rs"]
mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use pair::{Pair, SOON, again, again_is_done, found, remembered, set, set_for, swap};
use serde_json::json;
use support::{GENEROUS, Over, Server, stored, wait_until, written};
use tokencache::cache::{Answer, Cache};
use tokencache::clock;
use tokencache::entry::Asked;
use tokencache::log::{Level, Sink};

const SETS: usize = 300;

#[test]
fn what_only_the_old_primary_had_acknowledged_is_on_the_new_one_within_seconds() {
    let Some(pair) = Pair::start() else { return };
    let cache = pair.open(json!({}));
    for at in 0..SETS {
        set(&cache, &format!("both{at}"), "old");
    }
    pair.catch_up();
    pair.promote();
    // The split brain: all of this is acknowledged by the old primary, and by nobody else.
    for at in 0..SETS {
        set(&cache, &format!("new{at}"), "1");
        match at % 3 {
            0 => set(&cache, &format!("both{at}"), "2"),
            1 => swap(&cache, &format!("both{at}"), "3"),
            _ => assert_eq!(written(cache.remove(format!("both{at}").as_bytes())), "TC_OK"),
        }
    }
    set(&cache, "contested", "ours");
    set(&cache, "kept", "ours");
    let other = pair.new.open(json!({}));
    set(&other, "contested", "theirs");
    pair.new.ask::<()>("HSET p:foreign absexp -1 sldexp -1 data stock");
    set(&cache, "foreign", "ours");

    let expected = |at: usize| ["2", "3", ""][at % 3];
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let over = Over(&is_over);
        // Whatever the new primary says meanwhile, nobody here reads what was before.
        for _ in 0..2 {
            scope.spawn(|| {
                let mut reads = 0;
                while !is_over.load(Ordering::Relaxed) {
                    let at = fastrand::usize(..SETS);
                    let key = format!("both{at}");
                    match cache.answer(key.as_bytes()) {
                        Ok(Answer::Absent) => assert_eq!(expected(at), "", "{key} was lost"),
                        Ok(Answer::Fresh(entry) | Answer::Degraded(entry)) => {
                            assert_eq!(String::from_utf8_lossy(entry.data()), expected(at), "{key}");
                        }
                        Err(error) => assert!(error.kind.name().starts_with("TC_L2"), "{error:?}"),
                    }
                    reads += 1;
                }
                println!("{reads} reads meanwhile");
            });
        }
        let begin = Instant::now();
        pair.fail_over();
        again_is_done(&cache, 1);
        println!("{} after the change all was there: {}", SOON.told(begin), again(&cache));
        drop(over);
    });
    let reader = pair.new.open_without_l1();
    for at in 0..SETS {
        assert_eq!(found(&reader, &format!("new{at}")), "1");
        assert_eq!(found(&reader, &format!("both{at}")), expected(at), "both{at}");
        assert_eq!(found(&cache, &format!("both{at}")), expected(at), "both{at}");
    }
    assert_eq!(found(&reader, "contested"), "theirs", "it was the later one");
    assert_eq!(found(&reader, "foreign"), "stock", "who knows when that was");
    assert_eq!(found(&reader, "kept"), "ours");
    // A write is one of ours again at once, and known to whoever swaps.
    swap(&cache, "new1", "4");
    assert_eq!(found(&reader, "new1"), "4");
    assert_eq!(again(&cache)["superseded"], 2, "{}", again(&cache));
}

#[test]
fn the_same_server_gets_nothing_back_that_was_flushed_or_cut() {
    let Some(pair) = Pair::start() else { return };
    let cache = pair.open(json!({}));
    set(&cache, "k", "1");
    assert_eq!(written(cache.remove(b"gone")), "TC_OK");
    pair.old.ask::<()>("FLUSHALL");
    for cut in ["CLIENT KILL TYPE normal", "PING"] {
        let links = cache_links(&cache);
        pair.old.ask::<redis::Value>(cut);
        pair.proxy.cut();
        wait_until("there is another link", || cache_links(&cache) > links);
        assert!(cache.flush(GENEROUS));
        assert_eq!(found(&cache, "k"), "");
    }
    // That everything was gone may have been on the link that was cut: then there is no word of it.
    assert!(pair.old.keys().iter().all(|key| key == b"p:__tokencache:emptied"), "{:?}", pair.old.keys());
    assert_eq!(again(&cache)["primary_changes"], 0);

    // Nor does another primary: it was flushed before that one was met.
    pair.promote();
    set(&cache, "later", "1");
    pair.fail_over();
    again_is_done(&cache, 1);
    assert_eq!((found(&cache, "k"), found(&cache, "later")), (String::new(), "1".into()));
    // The removal may be made again: that everything was gone may have been on the link that was cut.
    assert!(again(&cache)["written_again"].as_u64() <= Some(2), "{}", again(&cache));
}

fn cache_links(cache: &Cache) -> u64 {
    support::cache::statistics(cache)["l2"]["store"]["links_made"].as_u64().expect("a number")
}

#[test]
fn a_server_that_was_restarted_empty_has_what_was_written_lately() {
    for members in [json!({}), json!({"resilience": {"journal_path": "owed.db"}})] {
        let Some(mut server) = Server::start() else { return };
        let folder = tempfile::tempdir().expect("a folder");
        let mut members = members;
        if let Some(path) = members.pointer_mut("/resilience/journal_path") {
            *path = json!(folder.path().join("owed.db"));
        }
        let cache = server.open(members);
        for at in 0..100 {
            set(&cache, &format!("k{at}"), "1");
        }
        assert_eq!(written(cache.remove(b"k7")), "TC_OK");
        server.restart();
        let begin = Instant::now();
        again_is_done(&cache, 1);
        println!("{} after the restart: {}", SOON.told(begin), again(&cache));
        let reader = server.open_without_l1();
        for at in 0..100 {
            assert_eq!(found(&reader, &format!("k{at}")), if at == 7 { "" } else { "1" });
        }
        assert!(server.keys().iter().any(|key| key.starts_with(b"p:__tokencache:gone")), "a tombstone");
        assert_eq!(again(&cache)["written_again"], 100);
    }
}

#[test]
fn what_somebody_else_did_on_the_old_primary_is_not_undone() {
    let Some(pair) = Pair::start() else { return };
    let (cache, other) = (pair.open(json!({})), pair.old.open(json!({})));
    for key in ["deleted", "removed", "replaced", "swapped", "evicted"] {
        set(&cache, key, "1");
    }
    // Each swap is told to whoever made it as well; that is no change of another.
    swap(&cache, "swapped", "2");
    pair.old.ask::<i64>("DEL p:deleted");
    assert_eq!(written(other.remove(b"removed")), "TC_OK");
    set(&other, "replaced", "3");
    pair.old.ask::<i64>("UNLINK p:evicted");
    wait_until("all is heard of", || remembered(&cache) == 1);
    // The new one knows nothing of all this, and whoever did it is gone.
    drop(other);
    pair.promote();
    pair.new.ask::<()>("FLUSHALL");
    pair.fail_over();
    again_is_done(&cache, 1);
    let there: Vec<_> =
        ["deleted", "removed", "replaced", "evicted", "swapped"].map(|key| found(&cache, key)).into();
    assert_eq!(there, ["", "", "", "", "2"]);
}

#[test]
fn two_who_make_the_same_key_again_agree_on_the_later_one() {
    let Some(pair) = Pair::start() else { return };
    let caches = [pair.open(json!({})), pair.open(json!({}))];
    pair.promote();
    for at in 0..50 {
        let (one, other) = (&caches[at % 2], &caches[1 - at % 2]);
        set(one, &format!("k{at}"), "earlier");
        if at % 5 == 0 {
            assert_eq!(written(other.remove(format!("k{at}").as_bytes())), "TC_OK");
        } else {
            set(other, &format!("k{at}"), "later");
        }
    }
    pair.fail_over();
    for cache in &caches {
        again_is_done(cache, 1);
    }
    let reader = pair.new.open_without_l1();
    for at in 0..50 {
        assert_eq!(found(&reader, &format!("k{at}")), if at % 5 == 0 { "" } else { "later" }, "k{at}");
    }
}

#[test]
fn what_is_owed_at_the_same_time_is_newer_and_is_brought_there_once() {
    let folder = tempfile::tempdir().expect("a folder");
    for journal in [json!(null), json!(folder.path().join("owed.db"))] {
        let Some(pair) = Pair::start() else { return };
        let mut members = json!({"resilience": {"max_attempts": 1}});
        if !journal.is_null() {
            members["resilience"]["journal_path"] = journal;
        }
        let cache = pair.open(members);
        wait_until("it is connected", || cache.get(b"nothing").is_ok());
        for key in ["set", "removed", "revived", "untouched"] {
            set(&cache, key, "both");
        }
        pair.catch_up();
        pair.promote();
        for key in ["set", "removed", "untouched"] {
            set(&cache, key, "old");
        }
        assert_eq!(written(cache.remove(b"revived")), "TC_OK");
        // Nobody answers at the address of the service.
        pair.proxy.repoint(1);
        pair.proxy.cut();
        wait_until("the link is lost", || !pair::is_up(&cache));
        let newest =
            |key: &str, text: &str| written(cache.set(key.as_bytes(), text.as_bytes(), Default::default()));
        assert_eq!([newest("set", "newest"), newest("revived", "newest")], ["TC_DEGRADED"; 2]);
        assert_eq!(written(cache.remove(b"removed")), "TC_DEGRADED");
        pair.fail_over();
        again_is_done(&cache, 1);
        let reader = pair.new.open_without_l1();
        let there = ["set", "removed", "revived", "untouched"].map(|key| found(&reader, key));
        assert_eq!(there, ["newest", "", "newest", "old"]);
        assert_eq!(again(&cache)["written_again"], 1, "{}", again(&cache));
        assert_eq!(support::cache::statistics(&cache)["journal"]["replayed"], 3);
    }
}

#[test]
fn what_was_made_again_is_made_again_on_the_next_primary_too() {
    let Some(pair) = Pair::start() else { return };
    let cache = pair.open(json!({}));
    pair.promote();
    set(&cache, "k", "1");
    pair.fail_over();
    again_is_done(&cache, 1);
    // Back, to a server that forgot all and was started anew.
    let third = Server::start().expect("a server");
    pair.proxy.repoint(third.port());
    pair.proxy.cut();
    again_is_done(&cache, 2);
    assert_eq!(found(&third.open_without_l1(), "k"), "1");
}

#[test]
fn another_address_of_l2_gets_what_was_written_lately() {
    let Some(pair) = Pair::start() else { return };
    let cache = pair.open(json!({}));
    pair.promote();
    set(&cache, "k", "1");
    cache.configure(pair.new.document(json!({})).as_bytes()).expect("configured");
    assert_eq!(found(&cache, "k"), "1");
    again_is_done(&cache, 1);
    assert_eq!(found(&pair.new.open_without_l1(), "k"), "1");
}

#[test]
fn nothing_lives_longer_for_being_made_again() {
    let Some(pair) = Pair::start() else { return };
    let cache = pair.open(json!({}));
    set(&cache, "brief", "older");
    set(&cache, "slid out", "older");
    pair.catch_up();
    pair.promote();
    let now_ms = clock::unix_ms();
    let asked = |expires_at_ms, sliding_ms| Asked { expires_at_ms, sliding_ms, ..Asked::default() };
    set_for(&cache, "brief", "newer", asked(now_ms + 1500, 0));
    set_for(&cache, "slid out", "newer", asked(now_ms + 3_600_000, 1500));
    set_for(&cache, "ends", "1", asked(now_ms + 3_600_000, 0));
    set_for(&cache, "slides", "1", asked(now_ms + 3_600_000, 600_000));
    let written_ms = clock::unix_ms();
    wait_until("the brief ones are over", || {
        clock::unix_ms() > written_ms + 1500
            && pair.old.pttl(b"p:brief") == -2
            && pair.old.pttl(b"p:slid out") == -2
    });
    pair.fail_over();
    again_is_done(&cache, 1);
    assert_eq!([found(&cache, "brief"), found(&cache, "ends"), found(&cache, "slides")], ["", "1", "1"]);
    let left = |key: &str| pair.new.pttl(&stored(key.as_bytes()));
    // They lost more than a second and a half, but for the time that the request takes.
    assert!(left("slides") <= 599_000 && left("ends") <= 3_599_000, "{} {}", left("slides"), left("ends"));
    assert_eq!(found(&cache, "slid out"), "");
}

#[test]
fn a_primary_that_follows_another_is_left_and_what_it_forgot_is_on_that_one() {
    // Without a word: a heartbeat sees it, or that everything changes as it begins anew. Or a write meets it.
    for writes in [false, true] {
        let Some(pair) = Pair::start() else { return };
        let cache = pair.open(json!({}));
        set(&cache, "k", "1");
        pair.catch_up();
        pair.promote();
        for at in 0..50 {
            set(&cache, &format!("lost{at}"), "1");
        }
        pair.old.ask::<()>(&format!("REPLICAOF 127.0.0.1 {}", pair.new.port()));
        // As the address of a service does, when it comes to know.
        pair.proxy.repoint(pair.new.port());
        if writes {
            let answer = cache.set(b"late", b"1", Default::default());
            assert!(["TC_OK", "TC_DEGRADED"].contains(&written(answer)));
        }
        let begin = Instant::now();
        again_is_done(&cache, 1);
        println!("{}, writes: {writes}: {}", SOON.told(begin), again(&cache));
        let reader = pair.new.open_without_l1();
        for at in 0..50 {
            assert_eq!(found(&reader, &format!("lost{at}")), "1");
        }
        assert_eq!(found(&reader, "late"), if writes { "1" } else { "" });
    }
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Sink for Lines {
    fn write(&self, level: Level, _target: &'static str, message: &str) -> bool {
        self.0.lock().expect("lines").push(format!("{} {message}", level.word()));
        true
    }
}

#[test]
fn where_nobody_may_know_whether_it_is_another_only_what_is_safe_is_made_again() {
    let Some(pair) = Pair::start() else { return };
    let user = json!({"l2": {"username": "app", "password": "secret"}});
    for server in [&pair.old, &pair.new] {
        server.ask::<()>("ACL SETUSER app on >secret ~p:* +@all -info");
    }
    // Nobody answers before somebody listens.
    pair.proxy.repoint(1);
    let cache = pair.open(user);
    let lines = Lines::default();
    cache.on_log(Level::Warn, Some(Box::new(lines.clone())));
    pair.proxy.repoint(pair.old.port());
    for key in ["replaced", "removed"] {
        set(&cache, key, "both");
    }
    pair.catch_up();
    pair.promote();
    set(&cache, "replaced", "newer");
    assert_eq!(written(cache.remove(b"removed")), "TC_OK");
    set(&cache, "revoked", "1");
    pair.old.ask::<i64>("DEL p:revoked");
    set(&cache, "unknown there", "1");
    for _ in 0..2 {
        let links = cache_links(&cache);
        pair.fail_over();
        wait_until("it is settled", || cache_links(&cache) > links && cache.flush(GENEROUS));
    }
    let reader = pair.new.open_without_l1();
    let there = ["replaced", "removed", "revoked", "unknown there"].map(|key| found(&reader, key));
    assert_eq!(there, ["newer", "", "", ""], "what is not there may have been revoked");
    assert_eq!(again(&cache)["primary_changes"], 0);
    wait_until("the log says so", || {
        lines.0.lock().expect("lines").iter().any(|line| line.contains("+info"))
    });
    cache.on_log(Level::Warn, None);
    let told = lines.0.lock().expect("lines").iter().filter(|line| line.contains("+info")).count();
    assert_eq!(told, 1, "{:?}", lines.0.lock().expect("lines"));
}

#[test]
fn the_log_has_one_line_with_what_became_of_it() {
    let Some(pair) = Pair::start() else { return };
    let cache = pair.open(json!({}));
    let lines = Lines::default();
    cache.on_log(Level::Warn, Some(Box::new(lines.clone())));
    set(&cache, "there", "1");
    pair.catch_up();
    pair.promote();
    set(&cache, "lost", "1");
    set(&cache, "contested", "1");
    set(&pair.new.open(json!({})), "contested", "2");
    pair.fail_over();
    again_is_done(&cache, 1);
    let expected = "warn L2 has another primary now: of 3 keys that were written here in the 30 s before, 1 were there, 1 \
                    were written again, and 1 were not, because of what is there.";
    wait_until("it is told", || lines.0.lock().expect("lines").iter().any(|line| line == expected));
}

#[test]
fn a_forked_child_remembers_nothing_of_its_parent() {
    let Some(server) = Server::start() else { return };
    let mut parent = puppet::Puppet::start(&server.document(json!({})));
    parent.set("k", "1");
    let failover = |puppet: &mut puppet::Puppet, question: &str| -> serde_json::Value {
        let stats: serde_json::Value = serde_json::from_str(&puppet.say(question)).expect("JSON");
        stats["l2"]["failover"].clone()
    };
    assert_eq!(failover(&mut parent, "stats")["remembered_entries"], 1);
    assert_eq!(parent.say("fork"), "forked");
    assert_eq!(failover(&mut parent, "child stats")["remembered_entries"], 0);
    assert_eq!(failover(&mut parent, "stats")["remembered_entries"], 1);
}
