//! Clocks that are wrong, step, or stand in another century, in processes of their own before one Redis whose clock is
//! right: entries end when they should, and nobody's order is poisoned.

#[path = "support/library.rs"]
mod library;
#[path = "support/program.rs"]
mod program;
#[path = "support/puppet.rs"]
mod puppet;
#[path = "support/redis.rs"]
mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use puppet::Puppet;
use serde_json::{Value, json};
use support::cache::merge;
use support::{GENEROUS, Server, stored, wait_until, written};
use tokencache::cache::{Cache, SetOptions};
use tokencache::entry::Asked;

const LIBRARIES: [&str; 2] =
    ["/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1", "/usr/lib/faketime/libfaketimeMT.so.1"];
/// An hour ahead, an hour behind, and in the next century.
const SKEWS: [&str; 3] = ["+3600", "-3600", "+2500000000"];

/// A process whose wall clock goes wrong as a file says; its monotonic clock is that of the machine.
struct Skewed {
    puppet: Puppet,
    file: PathBuf,
}

impl Skewed {
    fn start(skew: &str, folder: &Path, document: &str) -> Option<Skewed> {
        let Some(library) = LIBRARIES.into_iter().find(|path| Path::new(path).exists()) else {
            println!("skipped: libfaketime is not installed");
            return None;
        };
        let file = folder.join(format!("clock-{}", fastrand::u64(..)));
        fs::write(&file, format!("{skew}\n")).expect("written");
        let words = [
            "env".to_owned(),
            format!("LD_PRELOAD={library}"),
            format!("FAKETIME_TIMESTAMP_FILE={}", file.display()),
            "FAKETIME_NO_CACHE=1".to_owned(),
            "FAKETIME_DONT_FAKE_MONOTONIC=1".to_owned(),
        ];
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        Some(Skewed { puppet: Puppet::within(&words, document), file })
    }

    fn step(&self, skew: &str) {
        // Whole at any moment: it is read at each look at the clock.
        let next = self.file.with_extension("next");
        fs::write(&next, format!("{skew}\n")).expect("written");
        fs::rename(next, &self.file).expect("renamed");
    }
}

fn set(cache: &Cache, key: &str, ttl_ms: i64) {
    let asked = Asked { ttl_ms, ..Asked::default() };
    let options = SetOptions { asked, ..SetOptions::default() };
    assert_eq!(written(cache.set(key.as_bytes(), b"value", options)), "TC_OK");
}

fn pttl(server: &Server, key: &str) -> i64 {
    server.pttl(&stored(key.as_bytes()))
}

fn is_there(answer: &str) -> bool {
    ["TC_OK l1 value", "TC_OK l2 value"].contains(&answer)
}

/// Reads until L2's entry has ended, and a second more; nobody may miss it before, or have it after.
fn serves_until_the_end(server: &Server, puppet: &mut Puppet, key: &str, what: &str) {
    let mut served = 0;
    loop {
        let left_ms = pttl(server, key);
        let answer = puppet.get(key);
        // Looked at once more: it may have ended while a loaded machine asked.
        if left_ms < 1_000 || pttl(server, key) < 1_000 {
            break;
        }
        assert!(is_there(&answer), "{what}: {answer} with {left_ms} ms to go");
        served += 1;
    }
    wait_until("it has ended in L2", || pttl(server, key) == -2);
    let end = Instant::now();
    wait_until("it has ended here", || puppet.get(key).starts_with("TC_NOT_FOUND"));
    // The machine may be busy; the clocks are an hour off at least.
    assert!(end.elapsed() < GENEROUS / 2, "{what}: {:?} late", end.elapsed());
    println!("{what}: served {served} times, and ended {:?} after L2", end.elapsed());
}

fn cache_of(server: &Server, more: Value) -> Arc<Cache> {
    let mut members = json!({"resilience": {"max_attempts": 1}});
    merge(&mut members, more);
    let cache = server.open(members);
    // It asks once, and on a loaded machine the greeting may come too late for that.
    wait_until("it is connected", || cache.get(b"nothing").is_ok());
    cache
}

#[test]
fn readers_whose_clock_is_wrong_serve_an_entry_until_its_end_and_not_longer() {
    let Some(server) = Server::start() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let cache = cache_of(&server, json!({}));
    for skew in SKEWS {
        let Some(mut reader) = Skewed::start(skew, folder.path(), &server.document(json!({}))) else {
            return;
        };
        set(&cache, skew, 4_000);
        serves_until_the_end(&server, &mut reader.puppet, skew, skew);
    }
}

#[test]
fn a_clock_that_steps_moves_no_end() {
    let Some(server) = Server::start() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let cache = cache_of(&server, json!({}));
    let Some(mut reader) = Skewed::start("+0", folder.path(), &server.document(json!({}))) else { return };
    for (number, skew) in ["-3600", "+2500000000", "+0", "+3600"].into_iter().enumerate() {
        let (brief, long) = (format!("brief {number}"), format!("long {number}"));
        let (brief, long) = (brief.replace(' ', "-"), long.replace(' ', "-"));
        set(&cache, &long, 3_600_000);
        assert!(is_there(&reader.puppet.get(&long)));
        wait_until("it is read before its end", || {
            set(&cache, &brief, 4_000);
            is_there(&reader.puppet.get(&brief))
        });
        reader.step(skew);
        serves_until_the_end(&server, &mut reader.puppet, &brief, &format!("stepped to {skew}"));
        assert!(reader.puppet.reads(&long, "value"), "{skew}: it has hours to go");
    }
}

/// Its end is written by its own clock, so that others may miss what it wrote; nobody has it for longer than they should.
#[test]
fn what_a_writer_with_a_wrong_clock_wrote_ends_on_time_or_before() {
    let Some(server) = Server::start() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let cache = cache_of(&server, json!({"l1": {"enabled": false}}));
    for skew in SKEWS {
        let document = server.document(json!({"expiry": {"default_ttl_ms": 4_000}}));
        let Some(mut writer) = Skewed::start(skew, folder.path(), &document) else { return };
        let (mut left_ms, mut is_read) = (0, false);
        wait_until("it is looked at before its end", || {
            writer.puppet.set("k", "value");
            left_ms = pttl(&server, "k");
            is_read = cache.get(b"k").expect("a read").is_some();
            pttl(&server, "k") > 0
        });
        assert!((1..=4_000).contains(&left_ms), "{skew}: {left_ms} ms");
        let is_behind = skew.starts_with('-');
        assert_eq!(is_read, !is_behind, "{skew}");
        wait_until("it has ended in L2", || pttl(&server, "k") == -2);
        assert!(cache.get(b"k").expect("a read").is_none(), "{skew}");
        wait_until("its writer has it no more", || writer.puppet.get("k").starts_with("TC_NOT_FOUND"));
    }
}

#[test]
fn a_writer_in_another_century_poisons_nobodys_order() {
    let Some(server) = Server::start() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let cache = cache_of(&server, json!({"l1": {"enabled": false}}));
    let Some(mut future) = Skewed::start(SKEWS[2], folder.path(), &server.document(json!({}))) else {
        return;
    };
    let data = |key: &str| server.fields(key.as_bytes()).remove("data");
    let set = |key: &str, value: &[u8]| written(cache.set(key.as_bytes(), value, SetOptions::default()));
    for key in ["set", "owed", "removed"] {
        future.puppet.set(key, "future");
    }
    assert_eq!(set("set", b"now"), "TC_OK");
    wait_until("the other one hears of it", || future.puppet.reads("set", "now"));
    // What is owed was written later, whatever the other one's clock says.
    server.ask::<()>("CONFIG SET min-replicas-to-write 1");
    assert_eq!(set("owed", b"now"), "TC_DEGRADED");
    assert_eq!(written(cache.remove(b"removed")), "TC_DEGRADED");
    server.ask::<()>("CONFIG SET min-replicas-to-write 0");
    assert!(cache.flush(GENEROUS));
    assert_eq!(data("owed").as_deref(), Some(&b"now"[..]));
    assert_eq!(data("removed"), None);
    wait_until("the other one hears of it", || future.puppet.reads("owed", "now"));
    wait_until("also of the remove", || future.puppet.get("removed").starts_with("TC_NOT_FOUND"));
    // And its own versions are versions: a swap over one is a swap.
    assert_eq!(future.puppet.say("swap set swapped"), "TC_OK");
    assert_eq!(data("set").as_deref(), Some(&b"swapped"[..]));
}
