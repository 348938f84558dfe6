//! The key ring: one key that seals, and those that still open.

#![forbid(unsafe_code)]

use super::document::{self, Draft, State};
use super::locked::{KEY_BYTES, Locked};
use super::wrap::{Recipient, UnwrapKeys};
use super::{KeyId, Known};
use crate::error::{Error, Kind, Result};

pub use super::document::MAX_BYTES;
pub use super::document::State as KeyState;

/// The keys of a process. Their bytes lie in locked memory and are shown nowhere.
pub struct Ring {
    keys: Vec<Key>,
    active: usize,
    pages: Locked,
}

/// What may be known of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its name.
    pub id: KeyId,
    /// When it was made, as the ring says it, in RFC 3339.
    pub created: Option<String>,
    /// What it may do.
    pub state: State,
    /// For whom it is wrapped, where nobody of them is here. Such a key is known and cannot be used.
    pub wanted: Vec<Recipient>,
}

/// What a ring has under an id.
pub(super) enum Lookup<'a> {
    Opens { key: &'a [u8; KEY_BYTES], is_retired: bool },
    Revoked,
    Wrapped(&'a [Recipient]),
    Unknown,
}

impl Ring {
    /// The ring that `text` holds. `name` is what sentences call it, such as `The key ring in /run/ring.json`, and
    /// `unwrap` opens the keys that are wrapped.
    ///
    /// # Errors
    /// `InvalidConfig`, by the place in the ring that is wrong; `OutOfMemory`.
    pub fn parse(text: &str, name: &str, unwrap: &UnwrapKeys) -> Result<Ring> {
        let drafts =
            document::read(text, unwrap).and_then(|drafts| check(&drafts).map(|active| (drafts, active)));
        let (drafts, active) = drafts.map_err(|complaint| {
            Error::new(Kind::InvalidConfig, format!("{name} cannot be used: {complaint}"))
        })?;
        let mut pages = Locked::new(drafts.len())?;
        let mut keys = Vec::with_capacity(drafts.len());
        for (index, draft) in drafts.into_iter().enumerate() {
            // What is revoked opens nothing, so its bytes have no place in memory.
            if let Some(material) = draft.material.filter(|_| draft.state != State::Revoked) {
                pages.put(index, &material);
            }
            keys.push(Key { id: draft.id, created: draft.created, state: draft.state, wanted: draft.wanted });
        }
        Ok(Ring { keys, active, pages })
    }

    /// Its keys, in its own order.
    #[must_use]
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// The names of the active key and of the retired ones.
    #[must_use]
    pub fn known(&self) -> Known {
        let retired = self.keys.iter().filter(|key| key.state == State::Retired);
        Known { active: self.keys[self.active].id, retired: retired.map(|key| key.id).collect() }
    }

    /// The names of the keys that open here what was sealed under them.
    pub fn opened(&self) -> impl Iterator<Item = KeyId> {
        let opens = |key: &&Key| key.state != State::Revoked && key.wanted.is_empty();
        self.keys.iter().filter(opens).map(|key| key.id)
    }

    /// Whether its keys are kept from being swapped: a process may lock only so much memory.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.pages.is_locked()
    }

    /// Locks its memory again, in a forked child.
    pub fn relock(&self) {
        self.pages.relock();
    }

    pub(super) fn active(&self) -> (KeyId, &[u8; KEY_BYTES]) {
        (self.keys[self.active].id, self.pages.key(self.active))
    }

    pub(super) fn find(&self, id: KeyId) -> Lookup<'_> {
        let Some(index) = self.keys.iter().position(|key| key.id == id) else { return Lookup::Unknown };
        let key = &self.keys[index];
        match key.state {
            State::Revoked => Lookup::Revoked,
            _ if !key.wanted.is_empty() => Lookup::Wrapped(&key.wanted),
            state => Lookup::Opens { key: self.pages.key(index), is_retired: state == State::Retired },
        }
    }
}

/// The place of the active key; or what is wrong with the keys together.
fn check(drafts: &[Draft<'_>]) -> std::result::Result<usize, String> {
    let active = one_active(drafts)?;
    match &drafts[active] {
        draft if draft.wanted.is_empty() => Ok(active),
        draft => Err(format!(
            "the active key {} (/keys/{active}) is wrapped for private keys that are not here (SHA-256 of the \
             public key: {}); name one of them in /encryption/unwrap_key_files.",
            draft.id,
            draft.wanted.iter().map(Recipient::short).collect::<Vec<_>>().join(", ")
        )),
    }
}

/// The place of the active key, whether it can be used here or not.
pub(super) fn one_active(drafts: &[Draft<'_>]) -> std::result::Result<usize, String> {
    for (index, draft) in drafts.iter().enumerate() {
        if let Some(first) = drafts[..index].iter().position(|other| other.id == draft.id) {
            return Err(format!("/keys/{index} has the id {} of /keys/{first}; keep one of them.", draft.id));
        }
    }
    let active: Vec<usize> =
        (0..drafts.len()).filter(|index| drafts[*index].state == State::Active).collect();
    match active[..] {
        [active] => Ok(active),
        [] => {
            Err("none of its keys is active; make one \"active\", so that there is one to seal under.".into())
        }
        [first, second, ..] => Err(format!(
            "/keys/{first} ({}) and /keys/{second} ({}) are both active; make all but one \"retired\".",
            drafts[first].id, drafts[second].id
        )),
    }
}
