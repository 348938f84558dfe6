//! A key ring that somebody changes. Its keys keep their order, and what is not changed stands as it stood; what comes
//! out is a ring that can be read, or nothing.

#![forbid(unsafe_code)]

use zeroize::Zeroizing;

use super::document::{self, State};
use super::ring::one_active;
use super::wrap::{self, Recipient, UnwrapKeys, Wrapper};
use super::{KeyId, Material};
use crate::error::{Error, Kind, Result};

/// A ring, taken apart to be changed.
pub struct Edit {
    name: String,
    keys: Vec<Entry>,
}

/// A key of it.
pub struct Entry {
    /// Its name.
    pub id: KeyId,
    /// When it was made, as the ring says it.
    pub created: Option<String>,
    /// What it may do.
    pub state: State,
    /// For whom it is wrapped; nobody where it is in the clear, or not here.
    pub wrapped_for: Vec<Recipient>,
    /// The key, where it is in the clear or one of the private keys opens it.
    pub material: Option<Material>,
    members: Vec<(String, Zeroizing<String>)>,
}

impl Edit {
    /// A ring without a key, to which one is to be added. `name` is what sentences call it.
    #[must_use]
    pub fn empty(name: &str) -> Edit {
        Edit { name: name.into(), keys: vec![] }
    }

    /// The ring that `text` holds, also one in which none or several keys are active: that can be mended.
    ///
    /// # Errors
    /// `InvalidConfig`, by the place in the ring that is wrong.
    pub fn parse(text: &str, name: &str, unwrap: &UnwrapKeys) -> Result<Edit> {
        let drafts = document::read(text, unwrap).map_err(|complaint| unusable(name, &complaint))?;
        let keys = drafts.into_iter().map(|draft| {
            let wraps = draft.members.iter().find(|(name, _)| name == "wrapped");
            let raw = |(name, value): &(String, &serde_json::value::RawValue)| {
                (name.clone(), Zeroizing::new(value.get().to_owned()))
            };
            Entry {
                id: draft.id,
                created: draft.created,
                state: draft.state,
                wrapped_for: wraps.map(|(_, wraps)| document::recipients(wraps)).unwrap_or_default(),
                material: draft.material,
                members: draft.members.iter().map(raw).collect(),
            }
        });
        Ok(Edit { name: name.into(), keys: keys.collect() })
    }

    /// Its keys, in its own order.
    #[must_use]
    pub fn keys(&self) -> &[Entry] {
        &self.keys
    }

    /// Adds a key, for whom `to` says, or in the clear.
    ///
    /// # Errors
    /// `OutOfMemory`.
    pub fn add(&mut self, material: Material, state: State, created: &str, to: &[Wrapper]) -> Result<KeyId> {
        let id = material.id();
        let mut members =
            vec![member("id", &id), member("created", &created), member("state", &state.word())];
        members.push(match to {
            [] => ("material".into(), quoted(&material.reveal())),
            to => ("wrapped".into(), wrapped(&material, to)?),
        });
        let wrapped_for = to.iter().map(Wrapper::to).collect();
        let created = Some(created.to_owned());
        self.keys.push(Entry { id, created, state, wrapped_for, material: Some(material), members });
        Ok(id)
    }

    /// Makes `id` active or retired.
    pub fn set_state(&mut self, id: KeyId, state: State) {
        if let Some(key) = self.find(id) {
            key.state = state;
            key.put("state", Zeroizing::new(format!("\"{}\"", state.word())));
        }
    }

    /// Revokes `id`, and drops what it is.
    pub fn revoke(&mut self, id: KeyId) {
        self.set_state(id, State::Revoked);
        if let Some(key) = self.find(id) {
            key.members.retain(|(name, _)| name != "material" && name != "wrapped");
            // It was made from the key where the ring left it out.
            if !key.members.iter().any(|(name, _)| name == "id") {
                key.members.insert(0, member("id", &id));
            }
            key.material = None;
            key.wrapped_for.clear();
        }
    }

    /// Wraps every key that is here for `to`, and for nobody else. Answers how many.
    ///
    /// # Errors
    /// `InvalidConfig`: a key is not here; `OutOfMemory`.
    pub fn wrap(&mut self, to: &[Wrapper]) -> Result<usize> {
        let mut count = 0;
        for key in &mut self.keys {
            let Some(material) = &key.material else {
                if key.state == State::Revoked {
                    continue;
                }
                let wanted = key.wrapped_for.iter().map(Recipient::short).collect::<Vec<_>>().join(", ");
                let complaint = format!(
                    "the key {} is wrapped already, for private keys that are not here (SHA-256 of the public key: \
                     {wanted}).",
                    key.id
                );
                return Err(unusable(&self.name, &complaint));
            };
            let wraps = wrapped(material, to)?;
            key.members.retain(|(name, _)| name != "material");
            key.put("wrapped", wraps);
            key.wrapped_for = to.iter().map(Wrapper::to).collect();
            count += 1;
        }
        Ok(count)
    }

    /// The ring as a text, read back before it is given away.
    ///
    /// # Errors
    /// `InvalidConfig`: what is wrong with the keys together.
    pub fn text(&self) -> Result<Zeroizing<String>> {
        // Into one buffer that never grows, so that no copy of a key is left behind.
        let names = self.keys.iter().flat_map(|key| &key.members);
        let room = names.map(|(name, value)| name.len() + value.len() + 16).sum::<usize>();
        let mut text = Zeroizing::new(String::with_capacity(room + 32 * self.keys.len() + 64));
        text.push_str("{\n  \"version\": 1,\n  \"keys\": [");
        for (index, key) in self.keys.iter().enumerate() {
            text.push_str(if index == 0 { "\n    {" } else { ",\n    {" });
            for (index, (name, value)) in key.members.iter().enumerate() {
                text.push_str(if index == 0 { "\n      \"" } else { ",\n      \"" });
                text.push_str(name);
                text.push_str("\": ");
                text.push_str(value);
            }
            text.push_str("\n    }");
        }
        text.push_str("\n  ]\n}\n");
        let read = document::read(&text, &UnwrapKeys::none())
            .and_then(|drafts| one_active(&drafts).map(|_| drafts))
            .map_err(|complaint| unusable(&self.name, &complaint))?;
        let same = read
            .iter()
            .map(|draft| (draft.id, draft.state))
            .eq(self.keys.iter().map(|key| (key.id, key.state)));
        if !same {
            let message =
                format!("{} would lose a key, so it stays as it is; please report this.", self.name);
            return Err(Error::new(Kind::Panic, message));
        }
        Ok(text)
    }

    fn find(&mut self, id: KeyId) -> Option<&mut Entry> {
        self.keys.iter_mut().find(|key| key.id == id)
    }
}

impl Entry {
    fn put(&mut self, name: &str, value: Zeroizing<String>) {
        match self.members.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value,
            None => self.members.push((name.into(), value)),
        }
    }
}

fn unusable(name: &str, complaint: &str) -> Error {
    Error::new(Kind::InvalidConfig, format!("{name} cannot be used: {complaint}"))
}

/// A member whose text needs no escapes.
fn member(name: &str, value: &dyn std::fmt::Display) -> (String, Zeroizing<String>) {
    (name.into(), Zeroizing::new(format!("\"{value}\"")))
}

fn quoted(secret: &str) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(secret.len() + 2));
    for part in ["\"", secret, "\""] {
        text.push_str(part);
    }
    text
}

fn wrapped(material: &Material, to: &[Wrapper]) -> Result<Zeroizing<String>> {
    let wraps = to.iter().map(|to| {
        let data = to.wrap(material)?.data();
        Ok(format!(
            "{{\n        \"to\": \"{}\",\n        \"algorithm\": \"{}\",\n        \"data\": \"{data}\"\n      }}",
            to.to(),
            wrap::ALGORITHM
        ))
    });
    let wraps = wraps.collect::<Result<Vec<_>>>()?;
    Ok(Zeroizing::new(format!("[{}]", wraps.join(", "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{"keys": [
        {"state": "retired", "material": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "created": "2026-08-20T10:00:00+02:00"},
        {"material": "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=", "state": "active"},
        {"id": "7f3a9c01d2e4060708090a0b0c0d0eff", "state": "revoked", "wrapped": "of an older tool"}
    ], "version": 1}"#;

    fn edit() -> Edit {
        Edit::parse(TEXT, "The ring", &UnwrapKeys::none()).expect("a ring")
    }

    #[test]
    fn what_is_not_changed_stands_as_it_stood() {
        let text = edit().text().expect("a ring");
        let values = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
        assert_eq!(values(&text), values(TEXT));
        let again = Edit::parse(&text, "The ring", &UnwrapKeys::none()).expect("a ring").text();
        assert_eq!(*again.expect("a ring"), *text);
        let names =
            |index: usize| edit().keys[index].members.iter().map(|it| it.0.clone()).collect::<Vec<_>>();
        assert_eq!(
            (names(0), names(1)),
            (
                vec!["state".into(), "material".into(), "created".into()],
                vec!["material".to_owned(), "state".into()]
            )
        );
    }

    #[test]
    fn the_text_never_outgrows_its_buffer() {
        let mut edit = edit();
        for _ in 0..50 {
            let material = Material::generate().expect("random bytes");
            edit.add(material, State::Retired, "2026-11-24T10:00:00Z", &[]).expect("added");
        }
        let names = edit.keys.iter().flat_map(|key| &key.members);
        let room = names.map(|(name, value)| name.len() + value.len() + 16).sum::<usize>();
        assert!(edit.text().expect("a ring").len() <= room + 32 * edit.keys.len() + 64);
    }

    #[test]
    fn a_key_whose_id_was_left_out_has_it_when_it_is_revoked() {
        let mut edit = edit();
        let id = edit.keys[0].id;
        edit.revoke(id);
        let text = edit.text().expect("a ring");
        assert!(text.contains(&format!("\"id\": \"{id}\"")) && !text.contains("AAECAwQF"), "{}", *text);
    }

    #[test]
    fn a_change_that_leaves_no_ring_gives_no_text() {
        let mut edit = edit();
        let [retired, active] = [edit.keys[0].id, edit.keys[1].id];
        edit.set_state(active, State::Retired);
        assert!(edit.text().expect_err("refused").message.contains("none of its keys is active"));
        for id in [retired, active] {
            edit.set_state(id, State::Active);
        }
        assert!(edit.text().expect_err("refused").message.contains("are both active"));
    }
}
