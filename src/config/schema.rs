//! The table of members for other readers: a JSON Schema for editors, Markdown for the README.

#![forbid(unsafe_code)]

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::members::{Fallback, Live, MEMBERS, Member};
use super::shape::{NO_LIMIT, Shape};

/// The document as a JSON Schema (draft 2020-12).
#[must_use]
pub fn json_schema() -> String {
    let mut schema = object();
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    schema["title"] = "The configuration document of Tokencache".into();
    schema["required"] = json!(["version"]);
    for member in MEMBERS {
        let mut holder = &mut schema;
        if let Some(section) = member.section().strip_prefix('/') {
            holder = &mut holder["properties"][section];
            if holder.is_null() {
                *holder = object();
            }
        }
        holder["properties"][member.name()] = property(member);
    }
    format!("{schema:#}\n")
}

/// The document as a table in Markdown.
#[must_use]
pub fn markdown_table() -> String {
    let mut table = String::from("| member | default | range, meaning | live |\n|---|---|---|---|\n");
    for member in MEMBERS {
        let default = match member.fallback {
            Fallback::Json(json) => format!("`{json}`"),
            Fallback::Words(words) => words.into(),
        };
        let live = match member.live {
            Live::Yes => "yes",
            Live::No => "no",
            Live::Moot => "–",
        };
        let _ =
            writeln!(table, "| `{}` | {default} | {} | {live} |", member.dotted(), range_and_meaning(member));
    }
    table
}

fn object() -> Value {
    json!({ "type": "object", "additionalProperties": false, "properties": {} })
}

fn property(member: &Member) -> Value {
    let mut property = match member.shape {
        Shape::Boolean => json!({ "type": "boolean" }),
        Shape::Text => json!({ "type": "string" }),
        Shape::Path => json!({ "type": "string", "minLength": 1 }),
        Shape::Paths => {
            json!({ "type": "array", "minItems": 1, "items": { "type": "string", "minLength": 1 } })
        }
        Shape::Object => json!({ "type": "object" }),
        Shape::Name => json!({ "type": "string", "minLength": 1, "pattern": "^[^=]+$" }),
        Shape::Redis => json!({ "type": "string", "pattern": "^(rediss?|unix)://" }),
        Shape::Integer { min, max: NO_LIMIT } => json!({ "type": "integer", "minimum": min }),
        Shape::Integer { min, max } => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Shape::Fraction => json!({ "type": "number", "exclusiveMinimum": 0, "maximum": 1 }),
        Shape::Lifetime => json!({ "type": "integer", "minimum": -1, "not": { "const": 0 } }),
        Shape::Word { words } => json!({ "enum": words }),
    };
    property["description"] = member.meaning.replace('`', "").into();
    if let Some(default) = member.default_value() {
        property["default"] = default;
    }
    property
}

fn range_and_meaning(member: &Member) -> String {
    match member.shape.range() {
        range if range.is_empty() => member.meaning.into(),
        range => format!("{}; {}", range.replace('"', "`"), member.meaning),
    }
}
