//! What a member may hold, and how a value that it may not hold is refused.

#![forbid(unsafe_code)]

use serde_json::{Number, Value};

use super::redis::Address;

/// The maximum of an integer that has none.
pub const NO_LIMIT: i64 = i64::MAX;

/// What a member may hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    /// `true` or `false`.
    Boolean,
    /// Any text.
    Text,
    /// The name of a file.
    Path,
    /// The names of files.
    Paths,
    /// The name of an environment variable.
    Name,
    /// An object that another room reads.
    Object,
    /// The address of a Redis.
    Redis,
    /// A whole number between the two, both included; [`NO_LIMIT`] for no maximum.
    Integer {
        /// The least.
        min: i64,
        /// The most.
        max: i64,
    },
    /// A part of a whole: above 0, and 1 at most.
    Fraction,
    /// Milliseconds, 1 or more, or -1 for never.
    Lifetime,
    /// One of some words.
    Word {
        /// Those.
        words: &'static [&'static str],
    },
}

impl Shape {
    /// `value` as this shape holds it; or what is wrong, as the rest of a sentence that begins with the member.
    ///
    /// # Errors
    /// The rest of that sentence.
    pub fn check(&self, value: &Value) -> Result<Value, String> {
        match (self, value) {
            (Shape::Boolean, Value::Bool(_))
            | (Shape::Text, Value::String(_))
            | (Shape::Object, Value::Object(_)) => return Ok(value.clone()),
            (Shape::Path, value) if is_path(value) => return Ok(value.clone()),
            (Shape::Paths, Value::Array(paths)) if !paths.is_empty() && paths.iter().all(is_path) => {
                return Ok(value.clone());
            }
            (Shape::Name, Value::String(name)) if !name.is_empty() && !name.contains(['\0', '=']) => {
                return Ok(value.clone());
            }
            (Shape::Fraction, Value::Number(number))
                if number.as_f64().is_some_and(|number| number > 0.0 && number <= 1.0) =>
            {
                return Ok(value.clone());
            }
            (Shape::Redis, Value::String(url)) => {
                return Address::parse(url).map(|_| value.clone());
            }
            (Shape::Integer { .. } | Shape::Lifetime, Value::Number(number)) => {
                if let Some(number) = whole(number).filter(|number| self.holds(*number)) {
                    return Ok(number.into());
                }
            }
            (Shape::Word { words }, Value::String(word)) if words.contains(&word.as_str()) => {
                return Ok(value.clone());
            }
            _ => {}
        }
        let shown = match (self, value) {
            // What belongs into a text or an object may be a secret: a password of digits, a key without its ring.
            (Shape::Text | Shape::Object, Value::Number(_)) => "a number".into(),
            (Shape::Object, Value::String(text)) => of_length(text),
            _ => shown(value),
        };
        Err(format!("is {shown}; it must be {}.", self.wanted()))
    }

    /// The range, in words; empty when there is nothing to say.
    #[must_use]
    pub fn range(&self) -> String {
        match self {
            Shape::Boolean
            | Shape::Text
            | Shape::Path
            | Shape::Paths
            | Shape::Name
            | Shape::Object
            | Shape::Redis => String::new(),
            Shape::Integer { min, max } if min == max => min.to_string(),
            Shape::Integer { min, max: NO_LIMIT } => format!("{min} or more"),
            Shape::Integer { min, max } => format!("{min} to {max}"),
            Shape::Fraction => "above 0, up to 1".into(),
            Shape::Lifetime => "1 or more, or -1".into(),
            Shape::Word { words } => alternatives(words),
        }
    }

    fn holds(&self, number: i64) -> bool {
        match self {
            Shape::Integer { min, max } => (*min..=*max).contains(&number),
            Shape::Lifetime => number == -1 || number >= 1,
            _ => false,
        }
    }

    fn wanted(&self) -> String {
        match self {
            Shape::Boolean => "true or false".into(),
            Shape::Text => "a text".into(),
            Shape::Path => "the name of a file".into(),
            Shape::Paths => "a list of names of files, one at least".into(),
            Shape::Name => "the name of an environment variable".into(),
            Shape::Object => "an object".into(),
            Shape::Redis => "the address of a Redis, such as \"redis://localhost:6379/0\"".into(),
            Shape::Integer { min, max } if min == max => self.range(),
            Shape::Integer { .. } | Shape::Lifetime => format!("a whole number, {}", self.range()),
            Shape::Fraction => format!("a number {}", self.range()),
            Shape::Word { .. } => self.range(),
        }
    }
}

/// What a file holds is no name of one: it would be repeated by whoever does not find that file, and may be a key.
fn is_path(value: &Value) -> bool {
    let is_content = |text: &str| {
        let start = text.trim_start_matches(|it: char| it.is_whitespace() || it == '\u{feff}');
        text.contains(char::is_control) || start.starts_with('{') || start.starts_with("-----BEGIN")
    };
    value.as_str().is_some_and(|path| !path.is_empty() && !is_content(path))
}

/// JSON knows no integers: `1000`, `1000.0` and `1e3` are one number, also to a JSON Schema.
#[allow(clippy::cast_possible_truncation)]
fn whole(number: &Number) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    number.as_i64().or_else(|| {
        let float = number.as_f64()?;
        (float.fract() == 0.0 && float.abs() <= EXACT).then_some(float as i64)
    })
}

/// A text that does not look like a mistyped word may be a secret in the wrong place, so it is not repeated.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text)
            if text.len() <= 16 && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') =>
        {
            value.to_string()
        }
        Value::String(text) => of_length(text),
        Value::Array(_) => "a list".into(),
        Value::Object(_) => "an object".into(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

fn of_length(text: &str) -> String {
    format!("a text of {} bytes", text.len())
}

fn alternatives(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const BYTES: Shape = Shape::Integer { min: 1, max: 65_536 };

    #[test]
    fn a_whole_number_may_be_written_as_a_fraction() {
        assert_eq!(BYTES.check(&json!(1000.0)), Ok(json!(1000)));
        assert_eq!(BYTES.check(&json!(1.5)), Err("is 1.5; it must be a whole number, 1 to 65536.".into()));
        assert!(BYTES.check(&json!(u64::MAX)).is_err());
        assert!(BYTES.check(&json!(1e300)).is_err());
    }

    #[test]
    fn a_fraction_is_above_nothing_and_no_more_than_all() {
        for good in [json!(0.5), json!(1), json!(1e-3)] {
            assert_eq!(Shape::Fraction.check(&good), Ok(good.clone()));
        }
        for bad in [json!(0), json!(-0.5), json!(1.01), json!(1e300)] {
            let refusal = Shape::Fraction.check(&bad).expect_err("refused");
            assert!(refusal.ends_with("it must be a number above 0, up to 1."), "{refusal}");
        }
        assert!(Shape::Fraction.check(&json!("0.5")).is_err());
    }

    #[test]
    fn a_wrong_type_is_named_with_what_is_wanted() {
        assert_eq!(
            BYTES.check(&json!("12")),
            Err("is \"12\"; it must be a whole number, 1 to 65536.".into())
        );
        assert_eq!(Shape::Boolean.check(&json!(null)), Err("is null; it must be true or false.".into()));
        assert_eq!(Shape::Path.check(&json!("")), Err("is \"\"; it must be the name of a file.".into()));
        assert!(Shape::Path.check(&json!("a\0b")).is_err());
    }

    #[test]
    fn a_word_that_nobody_knows_is_answered_with_those_that_are_known() {
        let kind = Shape::Word { words: &["none", "sqlite"] };
        assert_eq!(kind.check(&json!("sqlit")), Err(r#"is "sqlit"; it must be "none" or "sqlite"."#.into()));
    }

    #[test]
    fn what_a_file_holds_is_taken_for_no_name_of_one_and_not_repeated() {
        let ring = r#"{"version":1,"keys":[{"state":"active","material":"hunter2="}]}"#;
        let key = "-----BEGIN PRIVATE KEY----- hunter2= -----END PRIVATE KEY-----";
        let [indented, marked] = [" ", "\u{feff}"].map(|before| format!("{before}{ring}"));
        let texts =
            [(ring, 63), (&indented, 64), (&marked, 66), (key, 62), ("hunter2=\n", 9), ("\nhunter2=", 9)];
        for (text, length) in texts {
            let refusal = Shape::Path.check(&json!(text)).expect_err("refused");
            assert_eq!(refusal, format!("is a text of {length} bytes; it must be the name of a file."));
            let refusal = Shape::Paths.check(&json!([text])).expect_err("refused");
            assert_eq!(refusal, "is a list; it must be a list of names of files, one at least.");
        }
        assert!(Shape::Path.check(&json!("/run/a {ring}-----BEGIN é.json")).is_ok());
    }

    #[test]
    fn a_text_that_may_be_a_secret_is_not_repeated() {
        let kind = Shape::Word { words: &["none"] };
        let refusal = kind.check(&json!("redis://user:hunter2@host")).expect_err("refused");
        assert_eq!(refusal, "is a text of 25 bytes; it must be \"none\".");
        assert_eq!(Shape::Text.check(&json!(48_151_623)), Err("is a number; it must be a text.".into()));
        assert_eq!(
            Shape::Object.check(&json!("hunter2")),
            Err("is a text of 7 bytes; it must be an object.".into())
        );
    }
}
