//! The JSON of a key ring, version 1, to keys. Taken apart by slices of its own text, so that the only copy of a key is
//! the one that is wiped; sentences name places and ids, never what stands there.

#![forbid(unsafe_code)]

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::key::from_hex;
use super::wrap::{self, Recipient, UnwrapKeys, Wrapped};
use super::{KeyId, Material};
use crate::timestamp;

/// The longest ring.
pub const MAX_BYTES: usize = 1 << 20;

const RING: [&str; 2] = ["version", "keys"];
const KEY: [&str; 5] = ["id", "created", "state", "material", "wrapped"];
const WRAPPED: [&str; 3] = ["to", "algorithm", "data"];

/// What a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It seals, and opens.
    Active,
    /// It opens what it sealed.
    Retired,
    /// It opens nothing.
    Revoked,
}

impl State {
    /// Its word in the ring.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            State::Active => "active",
            State::Retired => "retired",
            State::Revoked => "revoked",
        }
    }
}

/// A key as the text has it.
pub(super) struct Draft<'a> {
    pub id: KeyId,
    pub created: Option<String>,
    pub state: State,
    pub material: Option<Material>,
    pub wanted: Vec<Recipient>,
    /// All that the text says of it, by name.
    pub members: Vec<(String, &'a RawValue)>,
}

/// The keys that `text` holds; or what is wrong, as the rest of a sentence.
pub(super) fn read<'a>(text: &'a str, unwrap: &UnwrapKeys) -> Result<Vec<Draft<'a>>, String> {
    if text.len() > MAX_BYTES {
        return Err(format!("it has {} bytes; it must have {MAX_BYTES} at most.", text.len()));
    }
    let ring: &'a RawValue = serde_json::from_str(text).map_err(|error| {
        let unfinished = if error.is_eof() { "; was it still being written?" } else { "." };
        format!("it is not JSON: {error}{unfinished}")
    })?;
    let members = Object::read(ring, "", &RING)?;
    match members.get("version").map(RawValue::get) {
        Some("1") => {}
        Some(_) => return Err("its /version must be 1.".into()),
        None => return Err("its /version is missing; write \"version\": 1.".into()),
    }
    let keys = members.get("keys").ok_or("its /keys are missing; a ring has one key at least.")?;
    let keys = list(keys, "/keys")?.into_iter().enumerate();
    keys.map(|(index, key)| draft(key, &format!("/keys/{index}"), unwrap)).collect()
}

fn draft<'a>(key: &'a RawValue, place: &str, unwrap: &UnwrapKeys) -> Result<Draft<'a>, String> {
    let members = Object::read(key, place, &KEY)?;
    let state = match members.text("state")?.as_deref() {
        Some("active") => State::Active,
        Some("retired") => State::Retired,
        Some("revoked") => State::Revoked,
        _ => return Err(format!("{place}/state must be \"active\", \"retired\" or \"revoked\".")),
    };
    let given = match members.text("id")? {
        Some(text) => Some(KeyId::parse(&text).ok_or_else(|| {
            format!("{place}/id must be 32 hexadecimal digits; leave it out, and it is made from the key.")
        })?),
        None => None,
    };
    let created = members.text("created")?;
    if created.as_deref().is_some_and(|created| timestamp::parse(created).is_none()) {
        return Err(format!("{place}/created must be a time such as \"2026-11-24T10:00:00Z\"."));
    }
    let (material, wanted) = match (members.get("material"), members.get("wrapped")) {
        (Some(_), Some(_)) => {
            return Err(format!(
                "{place} has /material and /wrapped, which say the same thing; keep one of them."
            ));
        }
        (Some(material), None) => {
            let decoded = secret(material).and_then(|text| Material::from_base64(&text));
            (Some(decoded.ok_or_else(|| format!("{place}/material must be 32 bytes in base64."))?), vec![])
        }
        (None, Some(_)) if state == State::Revoked => (None, vec![]),
        (None, Some(wrapped)) => unwrapped(wrapped, &format!("{place}/wrapped"), unwrap)?,
        (None, None) if state == State::Revoked => (None, vec![]),
        (None, None) => {
            return Err(format!("{place} is {} and has neither /material nor /wrapped.", state.word()));
        }
    };
    let id = id(place, given, material.as_ref())?;
    Ok(Draft { id, created, state, material, wanted, members: members.members })
}

fn id(place: &str, given: Option<KeyId>, material: Option<&Material>) -> Result<KeyId, String> {
    let Some(material) = material else {
        return given
            .ok_or_else(|| format!("{place} needs an /id, because its key cannot be looked at here."));
    };
    if material.is_uniform() {
        return Err(format!(
            "{place} is one byte 32 times, which is no key; tokencache keys generate makes one."
        ));
    }
    match (given, material.id()) {
        (Some(given), derived) if given != derived => Err(format!(
            "the id {given} of {place} does not match its key, whose id is {derived}; was the ring edited by hand?"
        )),
        (_, derived) => Ok(derived),
    }
}

/// The key in one of its wraps; or nothing, and for whom they are.
fn unwrapped(
    wraps: &RawValue,
    place: &str,
    unwrap: &UnwrapKeys,
) -> Result<(Option<Material>, Vec<Recipient>), String> {
    let mut wanted = Vec::new();
    let mut broken = None;
    for (index, wrap) in list(wraps, place)?.into_iter().enumerate() {
        let place = format!("{place}/{index}");
        let members = Object::read(wrap, &place, &WRAPPED)?;
        let to = members.text("to")?.and_then(|text| from_hex(&text).map(Recipient)).ok_or_else(|| {
            format!("{place}/to must be the SHA-256 of a public key, 64 hexadecimal digits.")
        })?;
        if members.text("algorithm")?.as_deref() != Some(wrap::ALGORITHM) {
            return Err(format!("{place}/algorithm must be \"{}\".", wrap::ALGORITHM));
        }
        let data = members.text("data")?.and_then(|text| Wrapped::decode(to, &text)).ok_or_else(|| {
            format!("{place}/data must be base64 of 256 to 512 bytes, as long as the private key's modulus.")
        })?;
        match unwrap.open(&data) {
            Some(Ok(material)) => return Ok((Some(material), vec![])),
            Some(Err(())) => broken = broken.or(Some((place, to))),
            None => wanted.push(to),
        }
    }
    match broken {
        Some((place, to)) => Err(format!(
            "{place} is wrapped for the private key {}, which is here and does not open it; wrap the key anew.",
            to.short()
        )),
        None if wanted.is_empty() => Err(format!("{place} is empty; a wrapped key is wrapped for somebody.")),
        None => Ok((None, wanted)),
    }
}

/// For whom `wraps` are, as far as they can be read: those of a revoked key may be anything.
pub(super) fn recipients(wraps: &RawValue) -> Vec<Recipient> {
    let wraps = list(wraps, "").unwrap_or_default();
    let to = |wrap| Object::read(wrap, "", &WRAPPED).ok()?.text("to").ok()?;
    wraps.into_iter().filter_map(|wrap| from_hex(&to(wrap)?).map(Recipient)).collect()
}

/// The members of an object, as slices of the text.
struct Object<'a> {
    place: String,
    members: Vec<(String, &'a RawValue)>,
}

impl<'a> Object<'a> {
    fn read(value: &'a RawValue, place: &str, known: &[&str]) -> Result<Object<'a>, String> {
        let holder = if place.is_empty() { "it" } else { place };
        // Asked first: a complaint of the parser about the wrong type repeats what stands there.
        if !value.get().starts_with('{') {
            return Err(format!("{holder} must be a JSON object."));
        }
        let Slices(members) =
            serde_json::from_str(value.get()).map_err(|_| format!("{holder} has a name that is no text."))?;
        for (index, (name, _)) in members.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                let names = known.join(", ");
                return Err(format!("{place}/{} is not known; {holder} may have {names}.", token(name)));
            }
            if members[..index].iter().any(|(other, _)| other == name) {
                return Err(format!("{place}/{name} is given twice."));
            }
        }
        Ok(Object { place: place.into(), members })
    }

    fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.members.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
    }

    fn text(&self, name: &str) -> Result<Option<String>, String> {
        let text = self.get(name).map(|value| serde_json::from_str(value.get())).transpose();
        text.map_err(|_| format!("{}/{name} must be a text.", self.place))
    }
}

struct Slices<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Slices<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Slices<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Slices(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

fn list<'a>(value: &'a RawValue, place: &str) -> Result<Vec<&'a RawValue>, String> {
    let text = value.get();
    let list = if text.starts_with('[') { serde_json::from_str(text).ok() } else { None };
    list.ok_or_else(|| format!("{place} must be a list."))
}

/// The text that `value` is, without a copy in the parser's own buffer. What writers of JSON escape in base64 is read
/// (.NET writes `+` as `\u002B`), and nothing else.
fn secret(value: &RawValue) -> Option<Zeroizing<Vec<u8>>> {
    let mut rest = value.get().strip_prefix('"')?.strip_suffix('"')?.as_bytes();
    let mut text = Zeroizing::new(Vec::with_capacity(rest.len()));
    loop {
        rest = match rest {
            [] => return Some(text),
            [b'\\', b'/', rest @ ..] => {
                text.push(b'/');
                rest
            }
            [b'\\', b'u', b'0', b'0', high, low, rest @ ..] => {
                let digits = [*high, *low];
                text.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
                rest
            }
            [b'\\', ..] => return None,
            [byte, rest @ ..] => {
                text.push(*byte);
                rest
            }
        };
    }
}

/// A name for a sentence: shortened, and without what would break a line of a log.
fn token(name: &str) -> String {
    let clean = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let token: String = name.chars().take(32).map(clean).collect();
    if name.chars().nth(32).is_some() { format!("{token}…") } else { token }
}
