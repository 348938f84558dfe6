//! `tc_stats` and docs/statistics.md have the same members.

#[path = "support/crypto.rs"]
mod crypto;
#[path = "support/sealed.rs"]
mod sealed;
#[path = "support/redis.rs"]
mod support;

use std::collections::BTreeSet;
use std::sync::Mutex;

use sealed::{everywhere, open_plain, open_with, sealing};
use serde_json::{Value, json};
use support::Server;
use support::cache::statistics;
use tokencache::cache::Cache;

/// The members that the rows of the page begin with.
fn documented() -> BTreeSet<String> {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/statistics.md"));
    let page = page.expect("the page");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once(" |"));
    rows.flat_map(|(members, _)| members.split(", ").map(|member| member.trim_matches('`').to_owned()))
        .collect()
}

/// The members of `value` as far as the page goes into them: whole, where it names them, else part by part.
fn members(value: &Value, path: &str, documented: &BTreeSet<String>, found: &mut BTreeSet<String>) {
    let goes_on = documented.iter().any(|member| member.starts_with(&format!("{path}.")));
    match value.as_object() {
        Some(parts) if path.is_empty() || goes_on || !documented.contains(path) => {
            for (name, part) in parts {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                members(part, &path, documented, found);
            }
        }
        // "Without an L2 … are null."
        _ if value.is_null() && goes_on && !documented.contains(path) => {}
        _ => {
            found.insert(path.to_owned());
        }
    }
}

#[test]
fn every_member_is_documented_and_every_documented_one_is_there() {
    let documented = documented();
    let found = Mutex::new(BTreeSet::new());
    let look =
        |cache: &Cache| members(&statistics(cache), "", &documented, &mut found.lock().expect("unpoisoned"));
    look(&Cache::open(br#"{"version": 1}"#).expect("the cache opens"));
    everywhere(|place| {
        look(&open_plain(place));
        look(&open_with(place, sealing(&[("active", 1)], json!({}))));
    });
    let found = found.into_inner().expect("unpoisoned");
    let unsaid: Vec<_> = found.difference(&documented).collect();
    assert!(unsaid.is_empty(), "docs/statistics.md says nothing of {unsaid:?}");
    if Server::start().is_some() {
        let gone: Vec<_> = documented.difference(&found).collect();
        assert!(gone.is_empty(), "docs/statistics.md has {gone:?}, and tc_stats has not");
    }
}
