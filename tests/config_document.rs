//! The configuration document, from outside: what is accepted, what is refused and in which words, and that schema,
//! README and parser say the same. `BLESS=1` rewrites the schema and the table in the README.

use std::path::Path;

use serde_json::{Value, json};
use tokencache::config::members::{self, Live, MEMBERS, Member};
use tokencache::config::shape::{NO_LIMIT, Shape};
use tokencache::config::{Config, FromValue, Keys, Kind, LogTo, schema};
use tokencache::error;
use tokencache::log::Level;

/// The members of the contract, version 1, section by section. They keep their names for good.
const CONTRACT: &[(&str, &str)] = &[
    ("", "version name"),
    ("/limits", "max_key_bytes max_value_bytes"),
    ("/l1", "enabled capacity_bytes max_ttl_ms"),
    (
        "/l2",
        "kind path capacity_bytes url username username_env username_file password password_env password_file",
    ),
    ("/l2", "key_prefix ca_file client_cert_file client_key_file require_at_open allow_plaintext write"),
    ("/expiry", "default_ttl_ms sliding_ms from_value"),
    ("/msal", "prune_expired"),
    (
        "/encryption",
        "algorithm keyring keyring_file keyring_env unwrap_key_files accept_plaintext strict_files",
    ),
    ("/encryption", "unreadable"),
    ("/coherence", "heartbeat_ms heartbeat_timeout_ms"),
    (
        "/resilience",
        "deadline_ms max_attempts backoff_ms max_backoff_ms stale_ms circuit_failures circuit_ratio",
    ),
    ("/resilience", "probe_ms close_ms journal_path journal_max_bytes journal_max_entries"),
    ("/logging", "to level keys"),
];

fn alone() -> Value {
    json!({ "version": 1 })
}

fn shared() -> Value {
    json!({ "version": 1, "l2": { "kind": "sqlite", "path": "tokens.db" }, "encryption": { "algorithm": "none" } })
}

fn remote() -> Value {
    json!({ "version": 1, "l2": { "kind": "redis", "url": "redis://localhost" }, "encryption": { "algorithm": "none" } })
}

fn sealed(ring: &str) -> Value {
    let value = if ring.ends_with("/keyring") { json!({}) } else { json!("ring") };
    with(with(shared(), "/encryption/algorithm", "aes-256-gcm"), ring, value)
}

/// A document in which `member` has something to act on.
fn base(member: &Member) -> Value {
    if member.meaning.starts_with("redis, `rediss://`") {
        let url = with(remote(), "/l2/url", "rediss://localhost");
        return with(with(url, "/l2/client_cert_file", "c.pem"), "/l2/client_key_file", "k.pem");
    }
    if member.pointer.starts_with("/l2/username") {
        return with(remote(), "/l2/password", "secret");
    }
    if member.pointer.starts_with("/encryption/keyring") {
        return sealed(member.pointer);
    }
    if member.section() == "/encryption" {
        return sealed("/encryption/keyring_file");
    }
    if member.meaning.starts_with("redis") { remote() } else { shared() }
}

/// `document` with `value` at `pointer`.
fn with(mut document: Value, pointer: &str, value: impl Into<Value>) -> Value {
    let place = pointer.split('/').skip(1).fold(&mut document, |place, name| &mut place[name]);
    *place = value.into();
    document
}

fn parse(document: &Value) -> error::Result<Config> {
    Config::parse(document.to_string().as_bytes())
}

fn accepted(document: &Value) -> Config {
    parse(document).unwrap_or_else(|error| panic!("{document}: {error}"))
}

fn refusal(document: &Value) -> String {
    let error = parse(document).expect_err(&document.to_string());
    assert_eq!(error.kind, error::Kind::InvalidConfig);
    error.message
}

/// Compares the file at `path` with what `wanted` makes of it, or rewrites it.
fn check_committed(path: &str, wanted: impl Fn(&str) -> String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    let wanted = wanted(&committed);
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, wanted).expect("writable");
    } else {
        assert!(
            committed == wanted,
            "{} is not what the table of members says; BLESS=1 rewrites it",
            path.display()
        );
    }
}

#[test]
fn the_committed_schema_is_made_from_the_table() {
    check_committed("packaging/config.schema.json", |_| schema::json_schema());
}

#[test]
fn the_readme_holds_the_table() {
    const BEGIN: &str = "<!-- config:begin -->\n";
    const END: &str = "<!-- config:end -->";
    check_committed("README.md", |readme| {
        let (before, rest) = readme.split_once(BEGIN).expect("README.md has the first marker");
        let (_, after) = rest.split_once(END).expect("README.md has the second marker");
        format!("{before}{BEGIN}{}{END}{after}", schema::markdown_table())
    });
}

#[test]
fn the_schema_has_every_member() {
    let schema: Value = serde_json::from_str(&schema::json_schema()).expect("JSON");
    for member in MEMBERS {
        let place = format!("{}/{}", member.section().replacen('/', "/properties/", 1), "properties");
        assert!(schema.pointer(&format!("{place}/{}", member.name())).is_some(), "{}", member.pointer);
    }
}

#[test]
fn every_member_of_the_contract_is_known_and_nothing_else_is() {
    let contract: Vec<String> = CONTRACT
        .iter()
        .flat_map(|(section, names)| names.split(' ').map(move |name| format!("{section}/{name}")))
        .collect();
    for pointer in &contract {
        assert!(members::find(pointer).is_some(), "{pointer}");
    }
    assert_eq!(contract.len(), MEMBERS.len());
}

#[test]
fn saying_a_default_changes_nothing() {
    for member in MEMBERS {
        if let Some(default) = member.default_value() {
            let base = if member.pointer == "/l2/kind" { alone() } else { base(member) };
            assert_eq!(
                accepted(&with(base.clone(), member.pointer, default)),
                accepted(&base),
                "{}",
                member.pointer
            );
        }
    }
}

#[test]
fn a_number_out_of_range_is_refused_with_member_number_and_range() {
    for member in MEMBERS {
        let outside = match member.shape {
            Shape::Integer { min, max: NO_LIMIT } => vec![min - 1],
            Shape::Integer { min, max } => vec![min - 1, max + 1],
            Shape::Lifetime => vec![-2, 0],
            Shape::Fraction => vec![-1, 0, 2],
            _ => vec![],
        };
        for number in outside {
            let refusal = refusal(&with(shared(), member.pointer, number));
            assert!(
                refusal.starts_with(&format!("{} is {number}; it must be ", member.pointer)),
                "{refusal}"
            );
            assert!(refusal.ends_with(&format!("{}.", member.shape.range())), "{refusal}");
        }
    }
}

#[test]
fn a_value_of_the_wrong_type_is_refused_with_its_member() {
    for member in MEMBERS {
        let wrong = [json!(null), json!([]), json!({}), json!(0.5)];
        let is_right = |value: &Value| match member.shape {
            Shape::Object => value.is_object(),
            Shape::Fraction => value.is_number(),
            _ => false,
        };
        for value in wrong.into_iter().filter(|value| !is_right(value)) {
            let refusal = refusal(&with(base(member), member.pointer, value));
            assert!(refusal.starts_with(&format!("{} is ", member.pointer)), "{refusal}");
        }
    }
}

#[test]
fn an_unknown_member_is_refused_with_the_nearest_name() {
    assert_eq!(
        refusal(&with(alone(), "/l1/capcity_bytes", 1)),
        "/l1/capcity_bytes is not known; did you mean capacity_bytes?"
    );
}

#[test]
fn version_1_opens_l1_alone() {
    let config = accepted(&alone());
    assert!(config.l1.is_enabled);
    assert_eq!((config.l1.capacity_bytes, config.l1.max_ttl_ms), (67_108_864, 0));
    assert_eq!((config.limits.max_key_bytes, config.limits.max_value_bytes), (1024, 1_048_576));
    assert_eq!(config.l2.kind, Kind::None);
    assert_eq!((config.expiry.default_ttl_ms, config.expiry.from_value), (1_209_600_000, FromValue::Msal));
    assert!(!config.msal.prune_expired);
    assert_eq!((config.resilience.deadline_ms, config.resilience.close_ms), (500, 5000));
    assert_eq!((config.logging.to, config.logging.keys), (LogTo::Stderr, Keys::Hashed));
    assert_eq!(config.logging.level, Level::Warn);
    assert!(config.name.starts_with("config_document"), "the name of this program, not {}", config.name);
}

#[test]
fn the_smallest_shared_document_opens_sqlite() {
    let config = accepted(&shared());
    assert_eq!(config.l2.kind, Kind::Sqlite { path: "tokens.db".into(), capacity_bytes: 1_073_741_824 });
}

#[test]
fn what_the_document_says_is_what_the_configuration_holds() {
    let config = accepted(&json!({
        "version": 1,
        "name": "orders-api",
        "limits": { "max_key_bytes": 65536, "max_value_bytes": 536_870_912 },
        "l1": { "enabled": false, "capacity_bytes": 65536, "max_ttl_ms": 1 },
        "l2": { "kind": "sqlite", "path": "a.db", "capacity_bytes": 0, "key_prefix": "orders:",
                "require_at_open": true },
        "expiry": { "default_ttl_ms": -1, "sliding_ms": 2, "from_value": "off" },
        "msal": { "prune_expired": true },
        "encryption": { "algorithm": "none" },
        "resilience": { "deadline_ms": 3, "max_attempts": 10, "backoff_ms": 0, "max_backoff_ms": 4, "close_ms": 0,
                        "circuit_failures": 7, "circuit_ratio": 0.25, "probe_ms": 50 },
        "logging": { "to": "none", "level": "debug", "keys": "clear" }
    }));
    assert_eq!(config.name, "orders-api");
    assert_eq!((config.limits.max_key_bytes, config.limits.max_value_bytes), (65_536, 536_870_912));
    assert!(!config.l1.is_enabled);
    assert_eq!((config.l1.capacity_bytes, config.l1.max_ttl_ms), (65_536, 1));
    assert_eq!(config.l2.kind, Kind::Sqlite { path: "a.db".into(), capacity_bytes: 0 });
    assert!(config.l2.require_at_open);
    assert_eq!(config.l2.key_prefix, "orders:");
    assert_eq!((config.expiry.default_ttl_ms, config.expiry.sliding_ms), (-1, 2));
    assert_eq!(config.expiry.from_value, FromValue::Off);
    assert!(config.msal.prune_expired);
    assert_eq!((config.resilience.deadline_ms, config.resilience.max_attempts), (3, 10));
    let backoff = (config.resilience.backoff_ms, config.resilience.max_backoff_ms);
    assert_eq!((backoff, config.resilience.close_ms), ((0, 4), 0));
    assert_eq!((config.resilience.circuit_failures, config.resilience.probe_ms), (7, 50));
    assert!((config.resilience.circuit_ratio - 0.25).abs() < f64::EPSILON);
    assert_eq!(
        (config.logging.to, config.logging.level, config.logging.keys),
        (LogTo::None, Level::Debug, Keys::Clear)
    );
}

#[test]
fn members_that_do_not_go_together_are_refused_by_name() {
    let without_path =
        json!({ "version": 1, "l2": { "kind": "sqlite" }, "encryption": { "algorithm": "none" } });
    let undecided = json!({ "version": 1, "l2": { "kind": "sqlite", "path": "a.db" } });
    let refusals = [
        (
            with(shared(), "/resilience/journal_path", shared()["l2"]["path"].clone()),
            "/resilience/journal_path is the file of /l2/path;",
        ),
        (
            with(with(shared(), "/l2/path", "a.db"), "/resilience/journal_path", "./a.db"),
            "/resilience/journal_path is the file of /l2/path;",
        ),
        (without_path, "/l2/path is required"),
        (undecided, "/encryption/algorithm is required with an L2;"),
        (with(alone(), "/l2/path", "a.db"), "/l2/path has nothing to act on"),
        (with(alone(), "/l2/capacity_bytes", 1), "/l2/capacity_bytes has nothing to act on"),
        (with(alone(), "/l1/enabled", false), "/l1/enabled is false and /l2/kind is \"none\""),
        (with(alone(), "/resilience/max_backoff_ms", 19), "/resilience/max_backoff_ms is 19, less than"),
        (with(alone(), "/resilience/backoff_ms", 201), "/resilience/max_backoff_ms is 200, less than"),
    ];
    for (document, expected) in refusals {
        let refusal = refusal(&document);
        assert!(refusal.starts_with(expected), "{refusal}");
    }
}

#[test]
fn l1_may_be_off_with_an_l2_and_values_may_be_larger_than_l1() {
    accepted(&with(shared(), "/l1/enabled", false));
    accepted(&with(shared(), "/l1/capacity_bytes", 65_536));
}

#[test]
fn what_is_fixed_cannot_change_on_an_open_cache() {
    let open = accepted(&shared());
    let refusals = [
        (
            with(shared(), "/l2/path", "b.db"),
            "/l2/path",
            r#"it is "tokens.db", the new document says "b.db""#,
        ),
        (with(shared(), "/l2/key_prefix", "p:"), "/l2/key_prefix", r#"it is "", the new document says "p:""#),
        (alone(), "/l2/kind", r#"it is "sqlite", the new document says "none""#),
        (
            with(shared(), "/resilience/journal_path", "owed.db"),
            "/resilience/journal_path",
            r#"it is null, the new document says "owed.db""#,
        ),
    ];
    for (document, pointer, change) in refusals {
        let error = open.check_change(&accepted(&document)).expect_err(pointer);
        let expected =
            format!("{pointer} cannot change while the cache is open ({change}); close it and open another.");
        assert_eq!((error.kind, error.message), (error::Kind::InvalidConfig, expected));
    }
    let kept = accepted(&with(shared(), "/resilience/journal_path", "owed.db"));
    let error = kept.check_change(&open).expect_err("the journal");
    assert!(error.message.contains(r#"it is "owed.db", the new document says null"#), "{error}");
}

#[test]
fn what_is_live_can_change_on_an_open_cache() {
    for member in MEMBERS.iter().filter(|member| member.live != Live::No) {
        let base = base(member);
        let open = accepted(&base);
        let other = match member.shape {
            Shape::Boolean => json!(member.default_value() == Some(json!(false))),
            Shape::Integer { min, .. } if member.pointer.ends_with("/backoff_ms") => json!(min),
            Shape::Integer { max, .. } => json!(max),
            Shape::Lifetime => json!(-1),
            Shape::Fraction => json!(1),
            Shape::Word { words } => json!(words.last()),
            Shape::Redis => json!("unix:///run/redis.sock/3"),
            Shape::Paths => json!(["a.pem", "b.pem"]),
            Shape::Object => json!({ "version": 1, "keys": [] }),
            Shape::Text | Shape::Path | Shape::Name => json!("other"),
        };
        let next = accepted(&with(base, member.pointer, other));
        assert_eq!(open.check_change(&next), Ok(()), "{}", member.pointer);
    }
}

#[test]
fn the_word_for_encryption_is_idle_without_an_l2() {
    let worded = accepted(&with(alone(), "/encryption/algorithm", "none"));
    assert_eq!(worded.check_change(&accepted(&alone())), Ok(()));
    assert_eq!(accepted(&alone()).check_change(&worded), Ok(()));
}
