//! Strict JSON: bytes of anybody to a value, bounded in size and nesting, with every member given once.

#![forbid(unsafe_code)]

use std::{fmt, io};

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use zeroize::{Zeroize, Zeroizing};

use super::refused;
use crate::error::Result;

/// The longest document.
pub const MAX_BYTES: usize = 1 << 20;
/// The deepest nesting of objects and lists.
pub const MAX_NESTING: usize = 32;

/// The value that `document` holds.
///
/// # Errors
/// `InvalidConfig`: too long, not UTF-8, not JSON, too deep, or a member given twice.
pub fn parse(document: &[u8]) -> Result<Value> {
    if document.len() > MAX_BYTES {
        let length = document.len();
        return Err(refused(format!(
            "The configuration document has {length} bytes; it must have {MAX_BYTES} at most."
        )));
    }
    let text = std::str::from_utf8(document).map_err(|error| {
        let offset = error.valid_up_to();
        refused(format!("The configuration document is not UTF-8 at byte offset {offset}; save it as UTF-8."))
    })?;
    let mut reader = serde_json::Deserializer::from_str(text);
    Strict { levels_left: MAX_NESTING }
        .deserialize(&mut reader)
        .and_then(|value| reader.end().map(|()| value))
        .map_err(|error| {
            let way_out = way_out(text);
            refused(format!("The configuration document cannot be read: {error}.{way_out}"))
        })
}

/// What a caller did who gave no document at all.
fn way_out(text: &str) -> &'static str {
    match text.trim_start().chars().next() {
        Some('{' | '[') => "",
        Some('\u{feff}') => " It begins with a byte order mark; save it without one.",
        _ => " Give the JSON itself, such as {\"version\": 1}, and not the name of a file.",
    }
}

/// A value that may hold secrets; every text in it is wiped when it goes.
pub struct Wiped(pub Value);

impl Wiped {
    /// It, as JSON. Sized before it is written, because a buffer that grows leaves copies behind.
    #[must_use]
    pub fn text(&self) -> Zeroizing<String> {
        let mut size = Size(0);
        let _ = serde_json::to_writer(&mut size, &self.0);
        let mut text = Zeroizing::new(Vec::with_capacity(size.0));
        let _ = serde_json::to_writer(&mut *text, &self.0);
        Zeroizing::new(String::from_utf8(std::mem::take(&mut *text)).expect("JSON is UTF-8"))
    }
}

impl Drop for Wiped {
    fn drop(&mut self) {
        let mut rest = vec![&mut self.0];
        while let Some(value) = rest.pop() {
            match value {
                Value::String(text) => text.zeroize(),
                Value::Array(values) => rest.extend(values),
                Value::Object(members) => rest.extend(members.values_mut()),
                Value::Null | Value::Bool(_) | Value::Number(_) => {}
            }
        }
    }
}

struct Size(usize);

impl io::Write for Size {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// serde_json alone keeps the last of two members with one name and nests to 128.
#[derive(Clone, Copy)]
struct Strict {
    levels_left: usize,
}

impl Strict {
    fn one_level_down<E: serde::de::Error>(self) -> std::result::Result<Strict, E> {
        match self.levels_left.checked_sub(1) {
            Some(levels_left) => Ok(Strict { levels_left }),
            None => Err(E::custom(format_args!("it nests deeper than {MAX_NESTING}"))),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> std::result::Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E>(self) -> std::result::Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> std::result::Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> std::result::Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> std::result::Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> std::result::Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> std::result::Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> std::result::Result<Value, A::Error> {
        let inner = self.one_level_down()?;
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(inner)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> std::result::Result<Value, A::Error> {
        let inner = self.one_level_down()?;
        let mut members = Map::new();
        while let Some(name) = object.next_key::<String>()? {
            let value = object.next_value_seed(inner)?;
            if members.contains_key(&name) {
                let name = super::reader::token(&name);
                return Err(A::Error::custom(format_args!("the member {name} is given twice")));
            }
            members.insert(name, value);
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(document: &[u8]) -> String {
        parse(document).expect_err("refused").message
    }

    #[test]
    fn nesting_ends_at_32_and_ten_thousand_levels_do_not_overflow_the_stack() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(parse(nested(32).as_bytes()).is_ok());
        for levels in [33, 10_000] {
            assert!(refusal(nested(levels).as_bytes()).contains("it nests deeper than 32"));
        }
        let objects = format!("{}1{}", "{\"a\":".repeat(10_000), "}".repeat(10_000));
        assert!(refusal(objects.as_bytes()).contains("it nests deeper than 32"));
    }

    #[test]
    fn the_first_byte_that_is_not_utf_8_is_named() {
        assert!(refusal(b"{\"name\": \"\xFF\"}").contains("at byte offset 10;"));
    }

    #[test]
    fn a_document_of_one_mebibyte_is_read_and_one_byte_more_is_not() {
        let mut document = b"{}".to_vec();
        document.resize(MAX_BYTES, b' ');
        assert!(parse(&document).is_ok());
        document.push(b' ');
        assert!(refusal(&document).contains("1048577 bytes"));
    }

    #[test]
    fn a_member_given_twice_is_refused() {
        assert!(
            refusal(br#"{"l1": {"enabled": true, "enabled": false}}"#).contains("enabled is given twice")
        );
    }

    #[test]
    fn what_is_not_json_is_refused_with_line_and_column() {
        for document in ["", "{", "{\"version\": 1} x", "{'version': 1}", "\u{feff}{}"] {
            assert!(refusal(document.as_bytes()).contains("at line 1 column"), "{document}");
        }
    }

    #[test]
    fn who_gave_no_document_at_all_is_told_what_one_is() {
        for document in ["", "config.json", "/etc/tokencache.json"] {
            assert!(refusal(document.as_bytes()).ends_with("and not the name of a file."), "{document}");
        }
        assert!(refusal("\u{feff}{}".as_bytes()).ends_with("a byte order mark; save it without one."));
        assert!(refusal(b"{").ends_with("column 1."));
    }
}
