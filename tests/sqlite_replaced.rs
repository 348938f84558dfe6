//! Another file takes the place of the database, by a rename, while several processes work on it.

#[path = "support/cache.rs"]
mod cache;
#[path = "support/library.rs"]
mod library;
#[path = "support/program.rs"]
mod program;
#[path = "support/puppet.rs"]
mod puppet;

use std::fs;
use std::path::PathBuf;

use serde_json::json;

use cache::{Shared, is_long, wait_until};
use puppet::Puppet;

/// A database with nothing in it, whose log is in it.
fn template() -> (Shared, PathBuf) {
    let shared = Shared::new();
    shared.open(json!({})).close();
    let log = PathBuf::from(format!("{}-wal", shared.database().display()));
    wait_until("its log is gone", || !log.exists());
    let path = shared.database();
    (shared, path)
}

/// Each of them removes the log of the old file, and none that of the new one.
#[test]
fn those_who_notice_together_that_the_file_is_another_one_lose_nothing_of_it() {
    let (_folder, template) = template();
    let shared = Shared::new();
    let mut puppets = [0; 4].map(|_| Puppet::start(&shared.document(json!({"l1": {"enabled": false}}))));
    let rounds = if is_long() { 5000 } else { 400 };
    for round in 0..rounds {
        puppets[0].set("old", "value");
        let beside = shared.folder().join("new");
        fs::copy(&template, &beside).expect("a copy");
        fs::rename(&beside, shared.database()).expect("replaced");
        for (number, puppet) in puppets.iter_mut().enumerate() {
            puppet.tell(&format!("set {round}-{number} value"));
        }
        for puppet in &mut puppets {
            assert_eq!(puppet.answer().as_deref(), Some("TC_OK"));
        }
        for puppet in &mut puppets {
            for number in 0..4 {
                assert_eq!(puppet.get(&format!("{round}-{number}")), "TC_OK l2 value", "round {round}");
            }
            assert_eq!(puppet.get("old"), "TC_NOT_FOUND - -", "round {round}: what was in the old log");
        }
    }
}
