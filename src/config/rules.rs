//! What one member demands of another.

#![forbid(unsafe_code)]

use super::encryption::KEYRING;
use super::reader::Settings;
use super::redis::{Address, Link};
use super::refused;
use crate::error::Result;

/// Whether the members of a document go together.
///
/// # Errors
/// `InvalidConfig`, by the names of the members that do not.
pub(super) fn check(settings: &Settings) -> Result<()> {
    let rules = [
        sqlite_has_a_file,
        redis_has_an_address,
        the_journal_has_a_file_of_its_own,
        nothing_is_idle,
        secrets_have_one_source,
        a_password_stands_with_its_user,
        certificates_have_keys,
        tls_files_need_tls,
        plain_text_stays_here,
        encryption_is_decided,
        the_ring_has_one_source,
        nothing_of_encryption_is_idle,
        something_is_kept,
        backoff_can_grow,
    ];
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

fn redis_has_an_address(settings: &Settings) -> Option<String> {
    let is_missing = settings.text("/l2/kind") == "redis" && !settings.is_given("/l2/url");
    is_missing.then(|| {
        "/l2/url is required where /l2/kind is \"redis\"; write where it is, such as \"redis://localhost:6379/0\"."
            .into()
    })
}

/// The one that is opened first would make the file its own, and the other be refused also when this is mended.
fn the_journal_has_a_file_of_its_own(settings: &Settings) -> Option<String> {
    let [database, journal] = ["/l2/path", "/resilience/journal_path"];
    let is_given = settings.is_given(database) && settings.is_given(journal);
    let is_one = is_given && settings.file(database) == settings.file(journal);
    is_one.then(|| format!("{journal} is the file of {database}; give the journal a file of its own."))
}

const OF_SQLITE: [&str; 2] = ["/l2/path", "/l2/capacity_bytes"];
const USERNAME: [&str; 3] = ["/l2/username", "/l2/username_env", "/l2/username_file"];
const PASSWORD: [&str; 3] = ["/l2/password", "/l2/password_env", "/l2/password_file"];
const TLS_FILES: [&str; 3] = ["/l2/ca_file", "/l2/client_cert_file", "/l2/client_key_file"];

/// Somebody who names a file or a server and forgets the kind believes that tokens are kept in it.
fn nothing_is_idle(settings: &Settings) -> Option<String> {
    let kind = settings.text("/l2/kind");
    let of_redis = [&["/l2/url", "/l2/allow_plaintext"][..], &USERNAME, &PASSWORD, &TLS_FILES].concat();
    let groups = [("sqlite", OF_SQLITE.to_vec()), ("redis", of_redis)];
    let mut idle = groups.into_iter().filter(|(wanted, _)| *wanted != kind);
    idle.find_map(|(wanted, pointers)| {
        let idle = pointers.into_iter().find(|pointer| settings.is_given(pointer))?;
        Some(format!(
            "{idle} has nothing to act on where /l2/kind is \"{kind}\"; leave it out, or make the kind \"{wanted}\"."
        ))
    })
}

fn address(settings: &Settings) -> Option<Address> {
    Address::parse(&settings.text("/l2/url")).ok()
}

fn secrets_have_one_source(settings: &Settings) -> Option<String> {
    let address = address(settings);
    let in_url = |part: fn(&Address) -> bool| address.as_ref().is_some_and(part);
    let groups = [
        (USERNAME, in_url(|address| address.username.is_some())),
        (PASSWORD, in_url(|address| address.password.is_some())),
    ];
    groups.into_iter().find_map(|(pointers, is_in_url)| {
        let mut given: Vec<_> = pointers.into_iter().filter(|pointer| settings.is_given(pointer)).collect();
        if is_in_url {
            given.push("the user part of /l2/url");
        }
        (given.len() > 1).then(|| format!("{} say the same thing; keep one of them.", given.join(" and ")))
    })
}

fn a_password_stands_with_its_user(settings: &Settings) -> Option<String> {
    let has_user = USERNAME.into_iter().any(|pointer| settings.is_given(pointer));
    let has_password = PASSWORD.into_iter().any(|pointer| settings.is_given(pointer));
    let (in_url, also) =
        address(settings).map_or((false, false), |it| (it.username.is_some(), it.password.is_some()));
    ((has_user || in_url) && !has_password && !also).then(|| {
        "/l2/url or /l2/username names a user without a password; Redis needs one with it, so write /l2/password, \
         /l2/password_env or /l2/password_file (an empty one for a user who needs none)."
            .into()
    })
}

fn certificates_have_keys(settings: &Settings) -> Option<String> {
    let [_, certificate, key] = TLS_FILES;
    let (given, missing) = match (settings.is_given(certificate), settings.is_given(key)) {
        (true, false) => (certificate, key),
        (false, true) => (key, certificate),
        _ => return None,
    };
    Some(format!("{given} is given without {missing}; a client's certificate and its key go together."))
}

fn tls_files_need_tls(settings: &Settings) -> Option<String> {
    let is_tls = matches!(address(settings)?.link, Link::Tcp { is_tls: true, .. });
    let idle = TLS_FILES.into_iter().find(|pointer| !is_tls && settings.is_given(pointer))?;
    Some(format!("{idle} has nothing to act on where /l2/url has no TLS; write rediss://, or leave it out."))
}

/// Tokens are secrets: that they cross a network in plain text must have been meant.
fn plain_text_stays_here(settings: &Settings) -> Option<String> {
    let address = address(settings)?;
    let is_open = !address.is_private() && !settings.boolean("/l2/allow_plaintext");
    is_open.then(|| {
        format!(
            "/l2/url is {address}, a link to another machine in plain text; write rediss://, or set \
             /l2/allow_plaintext to true where the network itself is trusted."
        )
    })
}

/// Plain text is a decision: it has no default.
fn encryption_is_decided(settings: &Settings) -> Option<String> {
    let is_open = has_l2(settings) && !settings.is_given("/encryption/algorithm");
    is_open.then(|| {
        "/encryption/algorithm is required with an L2; write \"aes-256-gcm\", or the word \"none\", which keeps \
         entries in L2 in plain text."
            .into()
    })
}

fn is_sealed(settings: &Settings) -> bool {
    settings.text("/encryption/algorithm") == "aes-256-gcm"
}

fn the_ring_has_one_source(settings: &Settings) -> Option<String> {
    let given: Vec<_> = KEYRING.into_iter().filter(|pointer| settings.is_given(pointer)).collect();
    if given.len() > 1 {
        return Some(format!("{} say the same thing; keep one of them.", given.join(" and ")));
    }
    (given.is_empty() && is_sealed(settings)).then(|| {
        "/encryption/algorithm is \"aes-256-gcm\" without a key ring; write /encryption/keyring_file, \
         /encryption/keyring_env or /encryption/keyring (tokencache keys generate makes one)."
            .into()
    })
}

/// Somebody who names a key ring and forgets the algorithm believes that entries are sealed.
fn nothing_of_encryption_is_idle(settings: &Settings) -> Option<String> {
    if is_sealed(settings) {
        return None;
    }
    const OTHERS: [&str; 4] = [
        "/encryption/unwrap_key_files",
        "/encryption/accept_plaintext",
        "/encryption/strict_files",
        "/encryption/unreadable",
    ];
    let idle = KEYRING.into_iter().chain(OTHERS).find(|pointer| settings.is_given(pointer))?;
    let way_out = "leave it out, or make the algorithm \"aes-256-gcm\"";
    Some(if settings.is_given("/encryption/algorithm") {
        format!("{idle} has nothing to act on where /encryption/algorithm is \"none\"; {way_out}.")
    } else {
        format!("{idle} has nothing to act on without /encryption/algorithm; {way_out}.")
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
