//! The journal's file, or the counter beside it, is taken away from a cache that uses it: it says so, once.

#[path = "support/cache.rs"]
mod cache;
#[path = "support/library.rs"]
mod library;
#[path = "support/program.rs"]
mod program;
#[path = "support/puppet.rs"]
mod puppet;
#[path = "support/sqlite.rs"]
mod sqlite;

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use serde_json::{Value, json};

use cache::Shared;
use puppet::Puppet;
use sqlite::wait_until;

/// A process whose L2 is away, and what it writes to its log.
struct Owing {
    shared: Shared,
    puppet: Puppet,
}

impl Owing {
    fn start() -> Owing {
        let shared = Shared::new();
        let mut document: Value = serde_json::from_str(&shared.document(json!({}))).unwrap();
        let more = json!({
            // Nobody listens there.
            "l2": {"kind": "redis", "url": "redis://127.0.0.1:1"},
            "logging": {"to": "stderr", "level": "info"},
            "resilience": {"journal_path": shared.folder().join("owed.db"), "deadline_ms": 500, "max_attempts": 1, "close_ms": 100},
        });
        document["l2"] = json!({});
        cache::merge(&mut document, more);
        let errors = File::create(shared.folder().join("said")).unwrap();
        let puppet = Puppet::with(&document.to_string(), errors.into());
        Owing { shared, puppet }
    }

    fn file(&self, end: &str) -> PathBuf {
        self.shared.folder().join(format!("owed.db{end}"))
    }

    fn owe(&mut self, key: &str) {
        assert_eq!(self.puppet.say(&format!("set {key} value")), "TC_DEGRADED");
    }

    fn journal(&mut self) -> Value {
        let stats: Value = serde_json::from_str(&self.puppet.say("stats")).unwrap();
        stats["journal"].clone()
    }

    fn said(&self, words: &str) -> usize {
        fs::read_to_string(self.shared.folder().join("said")).unwrap().matches(words).count()
    }
}

#[test]
fn a_journal_that_is_removed_while_something_is_owed_is_missed_in_the_log_and_in_the_figures() {
    let mut owing = Owing::start();
    owing.owe("a");
    owing.owe("b");
    for round in 1..=3 {
        for end in ["", "-wal", "-shm"] {
            fs::remove_file(owing.file(end)).unwrap();
        }
        wait_until("it is missed", || owing.journal()["lost_files"] == round);
        assert_eq!(owing.journal()["owed_entries"], 0);
        wait_until("it is told", || owing.said("up to 2 writes that were owed") >= round);
        assert_eq!(owing.said("was removed or replaced while it was open"), round, "once for each");
        assert_eq!(owing.said("up to 2 writes that were owed"), round);
        owing.owe("a");
        owing.owe("b");
        assert_eq!(owing.journal()["owed_entries"], 2);
    }
    assert_eq!(owing.journal()["reason"], "");
}

#[test]
fn a_counter_that_cannot_be_used_is_complained_of_once_and_until_it_can() {
    let mut owing = Owing::start();
    owing.owe("a");
    fs::remove_file(owing.file("-owed")).unwrap();
    symlink(owing.shared.folder().join("elsewhere"), owing.file("-owed")).unwrap();
    let complaint = "Every read that L1 does not answer looks into the journal first";
    wait_until("it complains", || owing.said(complaint) > 0);
    let reason = owing.journal()["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("owed.db-owed cannot be opened for writing"), "{reason}");
    // What is owed is served, and no more is: others could not be told.
    assert_eq!(owing.puppet.get("a"), "TC_DEGRADED l1 value");
    let refused = owing.puppet.say("set b value");
    assert!(refused.starts_with("TC_L2_"), "{refused}");
    fs::remove_file(owing.file("-owed")).unwrap();
    wait_until("it is well again", || owing.journal()["reason"] == "");
    owing.owe("b");
    wait_until("it is told", || owing.said("can be used again") > 0);
    assert_eq!((owing.said(complaint), owing.said("can be used again")), (1, 1));
}
