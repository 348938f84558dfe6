//! What one member demands of another.

#![forbid(unsafe_code)]

use super::reader::Settings;
use super::refused;
use crate::error::Result;

/// Whether the members of a document go together.
///
/// # Errors
/// `InvalidConfig`, by the names of the members that do not.
pub(super) fn check(settings: &Settings) -> Result<()> {
    let rules =
        [sqlite_has_a_file, no_l2_has_no_file, encryption_is_decided, something_is_kept, backoff_can_grow];
    rules.iter().try_for_each(|rule| match rule(settings) {
        Some(complaint) => Err(refused(complaint)),
        None => Ok(()),
    })
}

fn has_l2(settings: &Settings) -> bool {
    settings.text("/l2/kind") != "none"
}

fn sqlite_has_a_file(settings: &Settings) -> Option<String> {
    let is_missing = settings.text("/l2/kind") == "sqlite" && !settings.is_given("/l2/path");
    is_missing
        .then(|| "/l2/path is required where /l2/kind is \"sqlite\"; name the file of the database.".into())
}

/// Somebody who names a file and forgets the kind believes that tokens are kept in it.
fn no_l2_has_no_file(settings: &Settings) -> Option<String> {
    let pointers = ["/l2/path", "/l2/capacity_bytes"];
    let idle = pointers.into_iter().find(|pointer| !has_l2(settings) && settings.is_given(pointer))?;
    Some(format!(
        "{idle} has nothing to act on where /l2/kind is \"none\"; leave it out, or make the kind \"sqlite\"."
    ))
}

/// Plain text is a decision: it has no default, not even while it is the only choice.
fn encryption_is_decided(settings: &Settings) -> Option<String> {
    let is_open = has_l2(settings) && !settings.is_given("/encryption/algorithm");
    is_open.then(|| {
        "/encryption/algorithm is required with an L2; this version understands the word \"none\", which keeps \
         entries in L2 in plain text."
            .into()
    })
}

fn something_is_kept(settings: &Settings) -> Option<String> {
    let is_nothing = !settings.boolean("/l1/enabled") && !has_l2(settings);
    is_nothing.then(|| {
        "/l1/enabled is false and /l2/kind is \"none\", so nothing would be kept; enable L1 or add an L2."
            .into()
    })
}

fn backoff_can_grow(settings: &Settings) -> Option<String> {
    let first: i64 = settings.number("/resilience/backoff_ms");
    let longest: i64 = settings.number("/resilience/max_backoff_ms");
    (longest < first).then(|| {
        format!(
            "/resilience/max_backoff_ms is {longest}, less than /resilience/backoff_ms, which is {first}; raise the \
             one or lower the other."
        )
    })
}
