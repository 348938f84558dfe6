//! Disks that are full, read-only, or that lost the end of a file: what is said is true, and what was kept comes back.

#[path = "support/heard.rs"]
mod heard;
#[path = "support/mounted.rs"]
mod mounted;
#[path = "support/redis.rs"]
mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use heard::Heard;
use mounted::{Mounted, mount};
use serde_json::{Value, json};
use support::cache::{Shared, merge, statistics};
use support::{GENEROUS, Server, wait_until, written};
use tokencache::cache::{Answer, Cache, SetOptions};
use tokencache::l2::sqlite::fork;
use tokencache::log::Level;

/// A cache that asks once and does not wait long.
fn open(document: &str) -> Arc<Cache> {
    Cache::open(document.as_bytes()).expect("the cache opens")
}

fn brief(more: Value) -> Value {
    let mut members = json!({"resilience": {"deadline_ms": 300, "max_attempts": 1, "close_ms": 200, "circuit_failures": 0}});
    merge(&mut members, more);
    members
}

/// As [`brief`], where L2 itself says at once what is wrong.
fn patient(more: Value) -> Value {
    let mut members = brief(more);
    members["resilience"]["deadline_ms"] = json!(30_000);
    members
}

fn value(key: &str) -> Vec<u8> {
    format!("{key} ").bytes().cycle().take(7_000).collect()
}

fn set(cache: &Cache, key: &str) -> &'static str {
    written(cache.set(key.as_bytes(), &value(key), SetOptions::default()))
}

fn owed(cache: &Cache) -> u64 {
    statistics(cache)["journal"]["owed_entries"].as_u64().expect("a number")
}

/// A folder of 1 MB, or a word about it.
fn small_disk(path: &Path) -> Option<Mounted<'_>> {
    if mount(&["-t", "tmpfs", "-o", "size=1m", "tmpfs"], path) {
        return Some(Mounted(path));
    }
    println!("skipped: a tmpfs cannot be mounted here");
    None
}

#[test]
fn a_journal_on_a_full_disk_refuses_by_name_and_keeps_what_it_has() {
    let Some(mut server) = Server::start() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let Some(_disk) = small_disk(folder.path()) else { return };
    let path = folder.path().join("owed.db");
    let document = server.document(brief(json!({"resilience": {"journal_path": path}})));
    let cache = open(&document);
    wait_until("it is connected", || set(&cache, "before") == "TC_OK");
    server.kill();
    let mut kept = Vec::new();
    let mut refused = Vec::new();
    for number in 0..200 {
        let key = format!("key {number:03}");
        match cache.set(key.as_bytes(), &value(&key), SetOptions::default()) {
            Ok(_) => kept.push(key),
            Err(error) => {
                assert_eq!(error.kind.name(), "TC_L2_UNREACHABLE", "it is the failure of L2");
                for words in ["Nor could the write be kept", "owed.db", "full"] {
                    assert!(error.message.contains(words), "{words}: {error}");
                }
                refused.push(key);
            }
        }
    }
    assert!(kept.len() > 20 && refused.len() > 20, "{} kept, {} refused", kept.len(), refused.len());
    for key in &kept {
        assert_eq!(cache.get(key.as_bytes()).expect("a read").expect("an entry").data(), value(key));
    }
    for key in &refused {
        assert_eq!(
            cache.get(key.as_bytes()).map(drop).expect_err("L2 is away").kind.name(),
            "TC_L2_UNREACHABLE"
        );
    }
    // Whoever comes after, on the same full disk, brings what was kept.
    assert!(!cache.close());
    let next = open(&document);
    assert_eq!(owed(&next), kept.len() as u64);
    server.restart();
    // Where nothing more can be written nothing can be crossed out either; L2 does not wait for that.
    for key in &kept {
        wait_until("it is in L2", || server.fields(key.as_bytes()).remove("data") == Some(value(key)));
    }
    assert!(mount(&["-o", "remount,size=8m"], folder.path()));
    assert!(next.flush(GENEROUS), "{} are still owed", owed(&next));
    for key in &refused {
        assert!(!server.fields(key.as_bytes()).contains_key("data"), "{key} was refused");
    }
    println!("{} kept and brought, {} refused", kept.len(), refused.len());
}

/// The kernel makes a file system read-only under open files, as it does when a disk fails.
#[test]
fn a_journal_whose_disk_fails_refuses_and_what_it_had_is_brought_when_the_disk_is_back() {
    let Some(mut server) = Server::start() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let (image, disk) = (folder.path().join("image"), folder.path().join("disk"));
    fs::File::create(&image).and_then(|file| file.set_len(16 << 20)).expect("an image");
    fs::create_dir(&disk).expect("a folder");
    let made = Command::new("mkfs.ext4").arg("-q").arg(&image).status().is_ok_and(|status| status.success());
    let image = image.display().to_string();
    let options = ["-o", "loop,errors=remount-ro", &image];
    if !made || !mount(&options, &disk) {
        println!("skipped: an image of a disk cannot be mounted here");
        return;
    }
    let mounted = Mounted(&disk);
    let document = server.document(brief(json!({"resilience": {"journal_path": disk.join("owed.db")}})));
    let cache = open(&document);
    server.kill();
    assert_eq!(set(&cache, "kept"), "TC_DEGRADED");
    assert!(mount(&["-o", "remount,abort"], &disk));
    let error = cache.set(b"refused", b"1", SetOptions::default()).map(drop).expect_err("it cannot be kept");
    assert_eq!(error.kind.name(), "TC_L2_UNREACHABLE");
    assert!(
        error.message.contains("Nor could the write be kept") && error.message.contains("owed.db"),
        "{error}"
    );
    assert_eq!(cache.get(b"kept").expect("a read").expect("an entry").data(), value("kept"));
    server.restart();
    wait_until("L2 is written to as ever", || set(&cache, "another") == "TC_OK");
    wait_until("what it had is in L2", || server.fields(b"kept").remove("data") == Some(value("kept")));
    drop((cache, mounted));
    wait_until("the disk is back", || mount(&options, &disk));
    let _mounted = Mounted(&disk);
    let next = open(&document);
    assert!(next.flush(GENEROUS), "{} are still owed", owed(&next));
    assert_eq!(server.fields(b"kept")["data"], value("kept"));
    drop(next);
}

#[test]
fn a_database_on_a_full_disk_is_owed_what_does_not_fit_and_gets_it_when_there_is_room() {
    let shared = Shared::new();
    let Some(_disk) = small_disk(shared.folder()) else { return };
    let elsewhere = tempfile::tempdir().expect("a folder");
    let journal = elsewhere.path().join("owed.db");
    // Enough for the table of changes, which has to be there before a write.
    for members in [json!({}), json!({"resilience": {"journal_path": journal}})] {
        let cache = open(&shared.document(patient(members)));
        let names: Vec<String> = (0..120).map(|number| format!("key {number:03}")).collect();
        let answers: Vec<_> = names.iter().map(|key| set(&cache, key)).collect();
        let kept = answers.iter().filter(|answer| **answer == "TC_DEGRADED").count();
        assert!(answers.iter().all(|answer| ["TC_OK", "TC_DEGRADED"].contains(answer)), "{answers:?}");
        assert!(kept > 10, "{kept} of 120 did not fit");
        let swap = SetOptions { expected_version: u64::MAX, ..SetOptions::default() };
        let refused = cache.set(b"swapped", &[b'x'; 50_000], swap).map(drop).expect_err("no room");
        assert_eq!(refused.kind.name(), "TC_L2_FULL", "{refused}");
        for key in &names {
            assert_eq!(cache.get(key.as_bytes()).expect("a read").expect("an entry").data(), value(key));
        }
        assert!(mount(&["-o", "remount,size=16m"], shared.folder()));
        assert!(cache.flush(GENEROUS), "{} are still owed", owed(&cache));
        let other = open(&shared.document(patient(json!({}))));
        for key in &names {
            assert_eq!(other.get(key.as_bytes()).expect("a read").expect("an entry").data(), value(key));
            assert_eq!(written(other.remove(key.as_bytes())), "TC_OK");
        }
        drop((cache, other));
        for file in ["tokens.db", "tokens.db-wal", "tokens.db-shm"] {
            let _ = fs::remove_file(shared.folder().join(file));
        }
        assert!(mount(&["-o", "remount,size=1m"], shared.folder()));
        println!("{kept} of 120 did not fit at first");
    }
}

#[test]
fn that_the_disk_is_full_is_said_once_and_not_with_every_write() {
    let shared = Shared::new();
    let Some(_disk) = small_disk(shared.folder()) else { return };
    let cache = open(&shared.document(patient(json!({}))));
    let heard = Heard::from(&cache, Level::Warn);
    let answers: Vec<_> = (0..200).map(|number| set(&cache, &format!("key {number:03}"))).collect();
    assert!(answers.iter().filter(|answer| **answer == "TC_DEGRADED").count() > 50, "{answers:?}");
    assert_eq!(heard.count("status=TC_L2_FULL"), 1, "{:#?}", heard.records());
    assert!(heard.records().len() < 10, "{:#?}", heard.records());
}

#[test]
fn a_read_that_a_full_disk_keeps_from_the_database_is_answered_by_what_l1_has() {
    let shared = Shared::new();
    let Some(_disk) = small_disk(shared.folder()) else { return };
    let cache = open(&shared.document(patient(json!({}))));
    assert_eq!(set(&cache, "alice"), "TC_OK");
    let at = |name| shared.folder().join(name);
    fs::remove_file(at("tokens.db-epochs")).expect("it is there");
    fs::create_dir(at("tokens.db-epochs")).expect("a folder in its place");
    wait_until("L1 cannot know", || cache.peek(b"alice").is_none());
    // A fork closes the connections; the index of the log, which is made anew then, finds no room.
    fork::before_fork();
    fs::remove_file(at("tokens.db-shm")).expect("it is there");
    fs::write(at("filler"), vec![b'x'; 2 << 20]).expect_err("it is larger than the disk");
    fork::after_fork_in_parent();
    match cache.answer(b"alice") {
        Ok(Answer::Degraded(entry)) => assert_eq!(entry.data(), value("alice")),
        Ok(_) => panic!("the database could not be asked"),
        Err(error) => panic!("L1 has it: {error}"),
    }
    assert_eq!(statistics(&cache)["l2"]["failed_attempts"]["TC_L2_FULL"], 1);
    fs::remove_file(at("filler")).expect("it is there");
    fs::remove_dir(at("tokens.db-epochs")).expect("it is there");
    wait_until("it is compared", || matches!(cache.answer(b"alice"), Ok(Answer::Fresh(_))));
}

/// The files of a process that died, as they lay there; the last of them is the log.
struct Remains {
    files: Vec<(String, Vec<u8>)>,
    log: Vec<u8>,
}

impl Remains {
    /// Of `name` in `folder`, without what only a running process needs.
    fn of(folder: &Path, name: &str) -> Remains {
        let log = fs::read(folder.join(format!("{name}-wal"))).expect("a log");
        Remains { files: vec![(name.to_owned(), fs::read(folder.join(name)).expect("a file"))], log }
    }

    /// Lays them into a folder of their own, with another log.
    fn lay(&self, log: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let (name, bytes) = &self.files[0];
        fs::write(folder.path().join(name), bytes).expect("written");
        fs::write(folder.path().join(format!("{name}-wal")), log).expect("written");
        let path = folder.path().join(name);
        (folder, path)
    }

    /// The log cut short at so many lengths, and with rubbish at as many places.
    fn torn(&self, parts: usize) -> impl Iterator<Item = (String, Vec<u8>)> {
        let len = self.log.len();
        let cut_at = |at: usize| (format!("cut at {at}"), self.log[..at].to_vec());
        let cut = (0..parts).map(move |part| cut_at(len * part / parts));
        let few = (0..parts).map(move |bytes| cut_at(len - bytes));
        let spoilt = (0..parts).map(move |part| {
            let mut log = self.log.clone();
            let from = len * part / parts;
            log[from..(from + 40).min(len)].fill(0xA5);
            (format!("rubbish at {from}"), log)
        });
        cut.chain(few).chain(spoilt)
    }
}

const WRITES: usize = 40;

#[test]
fn a_database_whose_log_was_torn_holds_a_beginning_of_what_was_written_and_takes_more() {
    let shared = Shared::new();
    let cache = open(&shared.document(json!({})));
    for number in 0..WRITES {
        assert_eq!(
            written(cache.set(format!("{number}").as_bytes(), &value("k"), SetOptions::default())),
            "TC_OK"
        );
    }
    let remains = Remains::of(shared.folder(), "tokens.db");
    drop(cache);
    let mut seen = std::collections::BTreeSet::new();
    for (what, log) in remains.torn(60) {
        let (_folder, path) = remains.lay(&log);
        let document = json!({
            "version": 1,
            "l2": {"kind": "sqlite", "path": path},
            "encryption": {"algorithm": "none"},
            "logging": {"to": "none"},
            "l1": {"enabled": false},
            "resilience": {"deadline_ms": 30_000},
        });
        let cache = open(&document.to_string());
        let there: Vec<bool> = (0..WRITES)
            .map(|number| match cache.get(format!("{number}").as_bytes()) {
                Ok(Some(entry)) => {
                    assert_eq!(entry.data(), value("k"), "{what}");
                    true
                }
                Ok(None) => false,
                Err(error) => panic!("{what}: {error}"),
            })
            .collect();
        let kept = there.iter().take_while(|is_there| **is_there).count();
        assert!(there[kept..].iter().all(|is_there| !is_there), "{what}: no beginning: {there:?}");
        assert_eq!(set(&cache, "more"), "TC_OK", "{what}");
        assert_eq!(cache.get(b"more").expect("a read").expect("an entry").data(), value("more"), "{what}");
        seen.insert(kept);
    }
    println!("of {WRITES} writes there were, after as many accidents: {seen:?}");
    assert!(seen.len() > 10, "{seen:?}");
}

#[test]
fn a_journal_whose_log_was_torn_owes_a_beginning_of_what_was_owed_and_brings_it() {
    let Some(mut server) = Server::start() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("owed.db");
    let cache = open(&server.document(brief(json!({"resilience": {"journal_path": path}}))));
    server.kill();
    for number in 0..WRITES {
        let owed = cache.set(format!("{number}").as_bytes(), &value("k"), SetOptions::default());
        assert_eq!(written(owed), "TC_DEGRADED");
    }
    let remains = Remains::of(folder.path(), "owed.db");
    // A replay that waits for the server would else bring all of it when that is back.
    assert!(!cache.close());
    server.restart();
    let mut seen = std::collections::BTreeSet::new();
    for (what, log) in remains.torn(20) {
        let (_folder, path) = remains.lay(&log);
        server.ask::<()>("FLUSHALL");
        let members = brief(json!({"resilience": {"journal_path": path, "close_ms": 60_000}}));
        let cache = match Cache::open(server.document(members).as_bytes()) {
            Ok(cache) => cache,
            // Without its log the file is as it was made: empty, and no journal of anybody's.
            Err(error) => {
                assert!(
                    error.kind.name() == "TC_INVALID_CONFIG" && error.message.contains("owed.db"),
                    "{what}: {error}"
                );
                continue;
            }
        };
        assert!(cache.flush(GENEROUS), "{what}");
        let there: Vec<bool> = (0..WRITES)
            .map(|number| match server.fields(format!("{number}").as_bytes()).remove("data") {
                Some(data) => data == value("k"),
                None => false,
            })
            .collect();
        let kept = there.iter().take_while(|is_there| **is_there).count();
        assert!(there[kept..].iter().all(|is_there| !is_there), "{what}: no beginning: {there:?}");
        assert!(cache.close(), "{what}");
        seen.insert(kept);
    }
    println!("of {WRITES} writes were brought, after as many accidents: {seen:?}");
    assert!(seen.len() > 10, "{seen:?}");
}
