//! The epoch file beside the database: deleted, damaged, of another version, not to be written; and a database that is
//! another one.

#[path = "support/cache.rs"]
mod cache;
#[path = "support/library.rs"]
mod library;
#[path = "support/program.rs"]
mod program;
#[path = "support/puppet.rs"]
mod puppet;
#[path = "support/sqlite.rs"]
mod support;

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::time::Instant;

use serde_json::{Value, json};
use tokencache::cache::{Answer, Cache, SetOptions};
use tokencache::entry::Tier;

use cache::{Shared, statistics};
use puppet::Puppet;
use support::{role, wait_until};

const WHOLE: u64 = 4096 + 65_536 * 8;

fn epochs(shared: &Shared) -> PathBuf {
    shared.folder().join("tokens.db-epochs")
}

fn with_heartbeat(shared: &Shared, heartbeat_ms: u64) -> String {
    let more = json!({"coherence": {"heartbeat_ms": heartbeat_ms}, "resilience": {"deadline_ms": 30_000}});
    shared.document(more)
}

fn number(value: &Value, name: &str) -> u64 {
    value[name].as_u64().unwrap_or_else(|| panic!("{name} in {value}"))
}

fn set(cache: &Cache, key: &str, text: &str) {
    cache.set(key.as_bytes(), text.as_bytes(), SetOptions::default()).expect("stored");
}

/// Status, tier and text of a read.
fn read(cache: &Cache, key: &str) -> String {
    let shown = |status: &str, entry: &tokencache::entry::Entry| {
        let tier = if entry.tier() == Tier::L1 { "l1" } else { "l2" };
        format!("{status} {tier} {}", String::from_utf8_lossy(entry.data()))
    };
    match cache.answer(key.as_bytes()) {
        Ok(Answer::Fresh(entry)) => shown("fresh", &entry),
        Ok(Answer::Degraded(entry)) => shown("degraded", &entry),
        Ok(Answer::Absent) => "absent".into(),
        Err(error) => error.kind.name().into(),
    }
}

/// Waits until a second read of `key` is answered by L1.
fn wait_for_trust(cache: &Cache, key: &str) {
    wait_until("L1 is trusted", || {
        let _ = cache.get(key.as_bytes());
        cache.peek(key.as_bytes()).is_some()
    });
}

#[test]
fn a_deleted_file_is_found_missing_within_a_heartbeat_and_mapped_anew() {
    const HEARTBEAT_MS: u64 = 100;
    let shared = Shared::new();
    let mut old = [0, 1].map(|_| Puppet::start(&with_heartbeat(&shared, HEARTBEAT_MS)));
    let mut late = Vec::new();
    for round in 1..=10 {
        let (before, after) = (format!("before{round}"), format!("after{round}"));
        old[0].set("k", &before);
        for puppet in &mut old {
            assert!(puppet.reads("k", &before));
            wait_until("L1 is trusted", || puppet.has("k", &before));
        }
        let restored = old.each_mut().map(|puppet| number(&puppet.coherence(), "feeds_restored"));
        fs::remove_file(epochs(&shared)).expect("it was there");
        let mut third = Puppet::start(&with_heartbeat(&shared, HEARTBEAT_MS));
        third.set("k", &after);
        let written = Instant::now();
        for (puppet, restored) in old.iter_mut().zip(restored) {
            wait_until("it notices", || number(&puppet.coherence(), "feeds_restored") > restored);
            late.push(written.elapsed());
            assert!(puppet.reads("k", &after), "stale: {}", puppet.get("k"));
            // The others notice at their own time, and what they do then is looked at once more.
            wait_until("it is trusted again", || puppet.reads("k", &after) && puppet.has("k", &after));
            let coherence = puppet.coherence();
            assert_eq!(coherence["feed"], "up");
            assert_eq!(number(&coherence, "feeds_lost"), number(&coherence, "feeds_restored"));
        }
        // All three have the same file again.
        third.set("k", &before);
        assert!(old[0].reads("k", &before) && old[1].reads("k", &before));
    }
    println!(
        "deleted 10 times: noticed {:?} after the write at the latest, 0 stale from then on",
        late.iter().max()
    );
    assert_eq!(fs::metadata(epochs(&shared)).expect("a new one").len(), WHOLE);
}

#[test]
fn a_writer_notices_at_its_next_write_that_the_file_was_deleted() {
    let shared = Shared::new();
    // No heartbeat comes to its help.
    let mut writer = Puppet::start(&with_heartbeat(&shared, 60_000));
    for round in 0..20 {
        let (before, after) = (format!("before{round}"), format!("after{round}"));
        writer.set("k", &before);
        fs::remove_file(epochs(&shared)).expect("it was there");
        let mut reader = Puppet::start(&with_heartbeat(&shared, 60_000));
        assert!(reader.reads("k", &before) && reader.has("k", &before));
        writer.set("k", &after);
        assert!(reader.reads("k", &after), "stale: {}", reader.get("k"));
        assert!(writer.reads("k", &after) && writer.has("k", &after));
    }
}

#[test]
fn a_damaged_file_is_replaced_by_the_next_writer() {
    let good = {
        let shared = Shared::new();
        set(&shared.open(json!({})), "k", "v");
        fs::read(epochs(&shared)).expect("a good one")
    };
    let mut other_magic = good.clone();
    other_magic[0] ^= 1;
    let damages = [
        Vec::new(),
        b"TCEPOCHS".to_vec(),
        b"garbage ".repeat(65_536),
        good[..good.len() - 8].to_vec(),
        other_magic,
    ];
    for (number, damage) in damages.iter().enumerate() {
        let shared = Shared::new();
        let more = json!({"coherence": {"heartbeat_ms": 50}, "resilience": {"deadline_ms": 30_000}});
        set(&shared.open(more.clone()), "k", "v");
        fs::write(epochs(&shared), damage).expect("damaged");
        let before = fs::metadata(epochs(&shared)).expect("it is there").ino();
        let cache = shared.open(more);
        set(&cache, "k", "new");
        let about = fs::metadata(epochs(&shared)).expect("it is there");
        assert_ne!(about.ino(), before, "damage {number}: it is another one");
        assert_eq!(about.len(), WHOLE);
        wait_for_trust(&cache, "k");
        assert_eq!(statistics(&cache)["coherence"]["feed"], "up");
        assert_eq!(fs::read_dir(shared.folder()).expect("its names").filter(is_ours_in_part).count(), 0);
    }
}

fn is_ours_in_part(name: &std::io::Result<fs::DirEntry>) -> bool {
    name.as_ref().expect("a name").file_name().to_string_lossy().contains("-epochs.")
}

#[test]
fn beside_another_version_every_hit_is_verified_and_own_writes_move_the_epoch_of_everything() {
    let shared = Shared::new();
    set(&shared.open(json!({})), "k", "v");
    let mut other = fs::read(epochs(&shared)).expect("a file");
    other[8..16].copy_from_slice(&3_u64.to_ne_bytes());
    other.extend_from_slice(&[0; 4096]);
    fs::write(epochs(&shared), &other).expect("of another version");
    let said = shared.folder().join("said");
    let mut document: Value = serde_json::from_str(&with_heartbeat(&shared, 50)).expect("JSON");
    cache::merge(&mut document, json!({"logging": {"to": "stderr", "level": "info"}}));
    let mut puppet = Puppet::with(&document.to_string(), File::create(&said).expect("a file").into());
    let file = File::open(epochs(&shared)).expect("it is there");
    let halves = || {
        let mut word = [0; 8];
        file.read_exact_at(&mut word, 16).expect("a header");
        let word = u64::from_ne_bytes(word);
        ((word >> 32) as u32, word as u32)
    };
    for round in 0..20 {
        let before = halves();
        puppet.set("k", &round.to_string());
        assert_eq!(halves(), (before.0 + 1, before.1 + 1), "begun and done");
        for _ in 0..10 {
            assert_eq!(puppet.get("k"), format!("TC_OK l2 {round}"), "verified");
        }
    }
    assert!(fs::read(epochs(&shared)).expect("it is there")[WHOLE as usize..].iter().all(|byte| *byte == 0));
    assert_eq!(puppet.coherence()["feed"], "unavailable");
    let words = puppet.coherence()["reason"].as_str().expect("a sentence").to_owned();
    assert!(words.contains("another version") && words.contains("remove the file"), "{words}");
    fs::remove_file(epochs(&shared)).expect("as the sentence says");
    wait_until("L1 is trusted again", || puppet.reads("k", "19") && puppet.has("k", "19"));
    assert_eq!(puppet.coherence()["feed"], "up");
    wait_until("it is logged", || fs::read_to_string(&said).expect("text").contains("heard of again"));
    let said = fs::read_to_string(said).expect("text");
    assert_eq!(said.matches("another version").count(), 1, "one warning: {said}");
    assert_eq!(said.matches("heard of again").count(), 1, "{said}");
}

#[test]
fn a_file_of_an_older_version_is_replaced_and_whoever_has_it_trusts_it_no_more() {
    let shared = Shared::new();
    set(&shared.open(json!({})), "k", "v");
    let mut older = fs::read(epochs(&shared)).expect("a file");
    older[8..16].copy_from_slice(&1_u64.to_ne_bytes());
    fs::write(epochs(&shared), &older).expect("of an older version");
    let file = File::open(epochs(&shared)).expect("it is there");
    let cache = shared.open(json!({}));
    set(&cache, "k", "w");
    let mut halves = [[0; 4]; 2];
    file.read_exact_at(halves.as_flattened_mut(), 16).expect("a header");
    assert_ne!(halves[0], halves[1], "its epoch of everything is open");
    wait_for_trust(&cache, "k");
    assert_eq!(read(&cache, "k"), "fresh l1 w");
    assert_eq!(fs::read(epochs(&shared)).expect("another")[8..16], 2_u64.to_ne_bytes());
}

#[test]
fn what_another_database_replaced_is_not_served_later_than_a_heartbeat() {
    const HEARTBEAT_MS: u64 = 100;
    let (shared, other) = (Shared::new(), Shared::new());
    let mut puppet = Puppet::start(&with_heartbeat(&shared, HEARTBEAT_MS));
    let mut late = Vec::new();
    for round in 0..5 {
        let (old, new) = (format!("old{round}"), format!("new{round}"));
        puppet.set("k", &old);
        puppet.set("gone", &old);
        wait_until("L1 is trusted", || puppet.has("k", &old) && puppet.has("gone", &old));
        let replacement = other.open(json!({"resilience": {"deadline_ms": 30_000}}));
        set(&replacement, "k", &new);
        replacement.close();
        drop(replacement);
        // A connection that was in use when it closed takes what is in the log into the database a little later.
        let log = PathBuf::from(format!("{}-wal", other.database().display()));
        wait_until("its log is gone", || !log.exists());
        fs::rename(other.database(), shared.database()).expect("replaced");
        let replaced = Instant::now();
        wait_until("it notices", || puppet.reads("k", &new));
        late.push(replaced.elapsed());
        assert_eq!(puppet.get("gone"), "TC_NOT_FOUND - -");
        wait_until("L1 is trusted", || puppet.has("k", &new));
    }
    println!("another database: noticed after {:?} at the latest", late.iter().max());
}

/// Beside the file itself, as SQLite's own log.
#[test]
fn who_comes_by_a_link_to_the_database_hears_of_the_others_and_they_of_it() {
    let (shared, elsewhere) = (Shared::new(), Shared::new());
    // No heartbeat comes to its help.
    let mut one = Puppet::start(&with_heartbeat(&shared, 60_000));
    one.set("k", "old");
    symlink(shared.database(), elsewhere.database()).expect("a link");
    let mut other = Puppet::start(&with_heartbeat(&elsewhere, 60_000));
    for round in 0..5 {
        let (first, second) = (format!("first{round}"), format!("second{round}"));
        one.set("k", &first);
        assert!(other.reads("k", &first) && other.has("k", &first), "{}", other.get("k"));
        other.set("k", &second);
        assert!(one.reads("k", &second) && one.has("k", &second), "{}", one.get("k"));
    }
    assert_eq!(fs::read_dir(elsewhere.folder()).expect("its names").count(), 1, "the link alone");
}

#[test]
fn a_file_from_a_backup_vouches_for_nothing_that_was_read_after_it_was_copied() {
    let shared = Shared::new();
    let mut both = [0, 1].map(|_| Puppet::start(&with_heartbeat(&shared, 50)));
    both[1].set("k", "a");
    let copy = fs::read(epochs(&shared)).expect("a file");
    both[1].set("k", "b");
    wait_until("L1 is trusted", || both[0].has("k", "b"));
    let restored = both.each_mut().map(|puppet| number(&puppet.coherence(), "feeds_restored"));
    let beside = shared.folder().join("restored");
    fs::write(&beside, copy).and_then(|()| fs::rename(&beside, epochs(&shared))).expect("put back");
    for (puppet, restored) in both.iter_mut().zip(restored) {
        wait_until("it notices", || number(&puppet.coherence(), "feeds_restored") > restored);
    }
    // Its counter comes to where it was when the other read it.
    both[1].set("k", "c");
    assert!(both[0].reads("k", "c"), "stale: {}", both[0].get("k"));
}

/// As a cleaner of old files does it, which takes for old what is only mapped into memory.
#[test]
fn those_who_lost_the_log_of_the_database_or_its_index_share_the_new_one_soon() {
    for gone in [&["tokens.db-wal", "tokens.db-shm"][..], &["tokens.db-wal"], &["tokens.db-shm"]] {
        let shared = Shared::new();
        let mut old = [0, 1].map(|_| Puppet::start(&with_heartbeat(&shared, 60_000)));
        old[0].set("k", "old");
        assert!(old[1].reads("k", "old"));
        let heard = old.each_mut().map(|puppet| number(&puppet.coherence(), "changes_heard"));
        for name in gone {
            fs::remove_file(shared.folder().join(name)).expect("it was there");
        }
        for (puppet, heard) in old.iter_mut().zip(heard) {
            wait_until("it notices", || number(&puppet.coherence(), "changes_heard") > heard);
        }
        let mut new = Puppet::start(&with_heartbeat(&shared, 60_000));
        for round in 0..20 {
            let [one, other] = ["one", "other"].map(|word| format!("{word}{round}"));
            old[0].set("k", &one);
            assert!(new.reads("k", &one) && old[1].reads("k", &one), "{gone:?}: {}", new.get("k"));
            new.set("m", &other);
            assert!(old.iter_mut().all(|old| old.reads("m", &other)), "{gone:?}: {}", old[1].get("m"));
        }
        old.iter_mut().chain([&mut new]).for_each(Puppet::kill);
        let mut next = Puppet::start(&with_heartbeat(&shared, 60_000));
        assert!(next.reads("k", "one19") && next.reads("m", "other19"), "{gone:?}");
        next.kill();
        support::check_integrity(&shared.database());
    }
}

#[test]
fn the_file_has_the_mode_of_the_database() {
    for mode in [0o600, 0o640, 0o660, 0o666] {
        let shared = Shared::new();
        let cache = shared.open(json!({"resilience": {"deadline_ms": 30_000}}));
        let mode_of = |path: PathBuf| fs::metadata(path).expect("it is there").mode() & 0o777;
        assert_eq!(mode_of(epochs(&shared)), 0o600);
        fs::set_permissions(shared.database(), Permissions::from_mode(mode)).expect("changed");
        fs::remove_file(epochs(&shared)).expect("removed");
        set(&cache, "k", "v");
        assert_eq!(mode_of(epochs(&shared)), mode);
    }
}

fn is_refused(cache: &Cache, shared: &std::path::Path, way_out: &str) {
    let error = cache.set(b"k", b"new", SetOptions::default()).expect_err("it cannot be told to others");
    let text = error.to_string();
    assert!(text.contains(&format!("{}-epochs", shared.display())) && text.contains(way_out), "{text}");
    assert_eq!(cache.remove(b"k").expect_err("nor can this").kind, error.kind);
}

/// Another user.
#[test]
fn child_may_not_write_the_epochs() {
    let Some(path) = role("no epochs") else { return };
    let document = json!({
        "version": 1, "l2": {"kind": "sqlite", "path": path}, "encryption": {"algorithm": "none"},
        "logging": {"to": "none"}, "resilience": {"deadline_ms": 30_000, "journal_max_entries": 0}
    });
    let cache = Cache::open(document.to_string().as_bytes()).expect("it opens");
    is_refused(&cache, &path, "let whoever may write to the database write to this file");
    for _ in 0..10 {
        assert_eq!(read(&cache, "k"), "fresh l2 old", "every hit is verified");
    }
    assert_eq!(statistics(&cache)["coherence"]["feed"], "unavailable");
    fs::write(path.with_extension("done"), b"").expect("written");
}

#[test]
fn who_may_write_the_database_and_not_the_epochs_is_refused_with_the_way_out() {
    const NOBODY: u32 = 65534;
    let shared = Shared::new();
    let cache = shared.open(json!({"resilience": {"deadline_ms": 30_000}}));
    set(&cache, "k", "old");
    for name in ["tokens.db", "tokens.db-wal", "tokens.db-shm"] {
        fs::set_permissions(shared.folder().join(name), Permissions::from_mode(0o666)).expect("changed");
    }
    fs::set_permissions(shared.folder(), Permissions::from_mode(0o777)).expect("changed");
    fs::set_permissions(epochs(&shared), Permissions::from_mode(0o644)).expect("changed");
    let mut command = support::command("child_may_not_write_the_epochs", "no epochs", &shared.database());
    match command.uid(NOBODY).gid(NOBODY).status() {
        Ok(status) => assert!(status.success() && shared.database().with_extension("done").exists()),
        Err(error) => println!("skipped: another user cannot be taken on here ({error})"),
    }
    assert_eq!(read(&cache, "k"), "fresh l1 old", "nobody else's trust is touched");
}

#[test]
fn a_dangling_link_in_its_place_is_not_followed() {
    let shared = Shared::new();
    let resilience = json!({"deadline_ms": 30_000, "journal_max_entries": 0});
    let cache = shared.open(json!({"coherence": {"heartbeat_ms": 50}, "resilience": resilience}));
    set(&cache, "k", "old");
    fs::remove_file(epochs(&shared)).expect("removed");
    symlink(shared.folder().join("elsewhere"), epochs(&shared)).expect("a link");
    is_refused(&cache, &shared.database(), "cannot be opened for writing");
    assert!(!shared.folder().join("elsewhere").exists());
    assert_eq!(read(&cache, "k"), "fresh l2 old");
    assert_eq!(read(&cache, "k"), "fresh l2 old");
    fs::remove_file(epochs(&shared)).expect("removed");
    set(&cache, "k", "new");
    wait_for_trust(&cache, "k");
    assert_eq!(read(&cache, "k"), "fresh l1 new");
}
