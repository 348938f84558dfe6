//! A document to settings: every member known, of the right shape, and named when it is not.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::path::{self, PathBuf};

use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::members::{self, MEMBERS, Member};
use super::nearest::nearest;
use super::{json, refused};
use crate::error::Result;

/// What a document says, with the defaults of the table where it says nothing. Members are named by JSON pointer.
pub struct Settings {
    given: BTreeMap<&'static str, json::Wiped>,
}

impl Settings {
    /// What `document` says.
    ///
    /// # Errors
    /// `InvalidConfig`, by the name of the member.
    pub fn read(document: &[u8]) -> Result<Settings> {
        let document = json::Wiped(json::parse(document)?);
        let Value::Object(members) = &document.0 else {
            return Err(refused(
                "The configuration document must be a JSON object, such as {\"version\": 1}.",
            ));
        };
        // First, because a document of another version may well have members that this one does not know.
        match members.get("version") {
            Some(version) => check("/version", version)?,
            None => return Err(refused("/version is required; write \"version\": 1.")),
        };
        let mut settings = Settings { given: BTreeMap::new() };
        settings.take("", members)?;
        Ok(settings)
    }

    fn take(&mut self, section: &str, object: &Map<String, Value>) -> Result<()> {
        for (name, value) in object {
            let pointer = format!("{section}/{}", token(name));
            if let Some(member) = members::find(&pointer) {
                self.given.insert(member.pointer, json::Wiped(check(member.pointer, value)?));
            } else if MEMBERS.iter().all(|member| member.section() != pointer) {
                return Err(unknown(section, name));
            } else if let Value::Object(inner) = value {
                self.take(&pointer, inner)?;
            } else {
                return Err(refused(format!("{pointer} must be an object, such as \"{name}\": {{}}.")));
            }
        }
        Ok(())
    }

    /// Whether the document itself says it.
    #[must_use]
    pub fn is_given(&self, pointer: &str) -> bool {
        self.given.contains_key(pointer)
    }

    /// What the document says, else the default, if there is one.
    #[must_use]
    pub fn get(&self, pointer: &str) -> Option<Value> {
        self.given
            .get(pointer)
            .map(|value| value.0.clone())
            .or_else(|| members::find(pointer)?.default_value())
    }

    /// What the document itself says, as JSON.
    #[must_use]
    pub fn secret_json(&self, pointer: &str) -> Option<Zeroizing<String>> {
        self.given.get(pointer).map(json::Wiped::text)
    }

    /// A member that is `true` or `false`.
    #[must_use]
    pub fn boolean(&self, pointer: &str) -> bool {
        self.get(pointer).as_ref().and_then(Value::as_bool).expect("the table says that it is a boolean")
    }

    /// A member that is a text or a word; empty where neither document nor table say one.
    #[must_use]
    pub fn text(&self, pointer: &str) -> String {
        let given = self.given.get(pointer).and_then(|value| value.0.as_str()).map(str::to_owned);
        given.unwrap_or_else(|| {
            let default = members::find(pointer).and_then(Member::default_value);
            default.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned()
        })
    }

    /// A member that names a file, which is read again, wherever this process goes meanwhile.
    #[must_use]
    pub fn file(&self, pointer: &str) -> PathBuf {
        at_home(&self.text(pointer))
    }

    /// A member that is a part of a whole.
    #[must_use]
    pub fn fraction(&self, pointer: &str) -> f64 {
        self.get(pointer).as_ref().and_then(Value::as_f64).expect("the table says that it is a number")
    }

    /// A member that is a whole number.
    #[must_use]
    pub fn number<T: TryFrom<i64>>(&self, pointer: &str) -> T {
        let number = self.get(pointer).as_ref().and_then(Value::as_i64);
        number
            .and_then(|number| T::try_from(number).ok())
            .expect("the table keeps it in the range of its type")
    }
}

/// `path` from the folder in which this process is now.
pub(super) fn at_home(path: &str) -> PathBuf {
    path::absolute(path).unwrap_or_else(|_| path.into())
}

/// `name` as a token of a JSON pointer, shortened and without control characters, because it goes into messages. A
/// known name is its own token, and no other name has that one.
pub(super) fn token(name: &str) -> String {
    const LONGEST: usize = 64;
    let escaped = |c| match c {
        '~' => "~0".into(),
        '/' => "~1".into(),
        c if c.is_control() => c.escape_default().to_string(),
        c => String::from(c),
    };
    let mut token: String = name.chars().take(LONGEST).map(escaped).collect();
    if name.chars().nth(LONGEST).is_some() {
        token.push('…');
    }
    token
}

fn check(pointer: &'static str, value: &Value) -> Result<Value> {
    let member = members::find(pointer).expect("only pointers of the table come here");
    member.shape.check(value).map_err(|complaint| refused(format!("{pointer} {complaint}")))
}

fn unknown(section: &str, name: &str) -> crate::error::Error {
    let name = token(name);
    let way_out = match nearest(&name, &members::names_in(section)) {
        Some(near) => format!("did you mean {near}?"),
        None => {
            let holder = if section.is_empty() { "the document" } else { section };
            format!("{holder} knows {}.", members::names_in(section).join(", "))
        }
    };
    refused(format!("{section}/{name} is not known; {way_out}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(document: &str) -> String {
        Settings::read(document.as_bytes()).err().expect("refused").message
    }

    #[test]
    fn an_unknown_member_is_refused_with_the_nearest_name() {
        let refusals = [
            (
                r#"{"l1": {"capcity_bytes": 1}}"#,
                "/l1/capcity_bytes is not known; did you mean capacity_bytes?",
            ),
            (r#"{"loging": {}}"#, "/loging is not known; did you mean logging?"),
            (r#"{"l2": {"ulr": "x"}}"#, "/l2/ulr is not known; did you mean url?"),
            (
                r#"{"l1": {"colour": 1}}"#,
                "/l1/colour is not known; /l1 knows enabled, capacity_bytes, max_ttl_ms.",
            ),
            (
                r#"{"l1/enabled": 1}"#,
                "/l1~1enabled is not known; the document knows version, name, limits, l1, l2,",
            ),
        ];
        for (members, expected) in refusals {
            let document = members.replacen('{', r#"{"version": 1, "#, 1);
            let message = refusal(&document);
            assert!(message.starts_with(expected), "{message}");
        }
    }

    #[test]
    fn a_long_or_odd_name_does_not_flood_the_message() {
        let message = refusal(&format!(r#"{{"version": 1, "{}\n": 1}}"#, "x".repeat(100_000)));
        assert!(message.len() < 300, "{message}");
        assert!(refusal(r#"{"version": 1, "a\u0007b": 1}"#).starts_with(r"/a\u{7}b is not known"));
    }

    #[test]
    fn the_version_is_required_and_looked_at_first() {
        assert_eq!(refusal("{}"), "/version is required; write \"version\": 1.");
        let message = refusal(r#"{"from_the_future": true, "version": 2}"#);
        assert_eq!(message, "/version is 2; it must be 1.");
    }

    #[test]
    fn what_should_be_an_object_must_be_one() {
        assert!(refusal("[]").contains("must be a JSON object"));
        assert_eq!(refusal(r#"{"version": 1, "l1": null}"#), r#"/l1 must be an object, such as "l1": {}."#);
    }
}
