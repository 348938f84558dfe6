//! Rings in files: how they are read here, and how long their keys are needed.

#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};

use tokencache::crypto::edit::{Edit, Entry};
use tokencache::crypto::ring::KeyState;
use tokencache::crypto::wrap::{UnwrapKeys, Wrapper};
use tokencache::crypto::{KeyId, files};
use tokencache::{clock, timestamp};

use crate::output::{Look, note};
use crate::{Failure, output};

const DAY_MS: i64 = 86_400_000;

/// What sentences call the ring in `path`.
pub fn name(path: &Path) -> String {
    format!("The key ring in {}", path.display())
}

/// The ring in `path`. Where others can read its file, that is said.
pub fn read(path: &Path, unwrap: &UnwrapKeys) -> Result<Edit, Failure> {
    let file = files::read(path, false)?;
    if let Some(warning) = file.warning {
        note(&warning);
    }
    Ok(Edit::parse(&file.text, &name(path), unwrap)?)
}

/// The private keys in `paths`.
pub fn unwrap_keys(paths: &[PathBuf]) -> Result<UnwrapKeys, Failure> {
    let (keys, warnings) = files::read_unwrap_keys(paths, false)?;
    warnings.iter().for_each(|warning| note(warning));
    Ok(keys)
}

/// The public keys in `paths`, each once: a renewed certificate is the same key.
pub fn wrappers(paths: &[PathBuf]) -> Result<Vec<Wrapper>, Failure> {
    let mut wrappers: Vec<Wrapper> = Vec::new();
    for path in paths {
        // One that others can write would let them in; that they can read it is what it is for.
        let file = files::read(path, false)?;
        let wrapper = Wrapper::from_pem(&file.text, &format!("The file {}", path.display()))?;
        if !wrappers.iter().any(|known| known.to() == wrapper.to()) {
            wrappers.push(wrapper);
        }
    }
    Ok(wrappers)
}

/// The one key of `ring` whose id begins like `beginning`.
pub fn find(ring: &Edit, path: &Path, beginning: &std::ffi::OsStr) -> Result<KeyId, Failure> {
    // As it is shown, too: 7f3a9c01…
    let digits = beginning.to_str().map(|text| text.trim_end_matches('…').to_ascii_lowercase());
    let digits = digits
        .filter(|text| (1..=32).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let digits = digits.ok_or_else(|| {
        Failure::usage("ID must be the id of a key, or its beginning: up to 32 hexadecimal digits.")
    })?;
    let ids = ring.keys().iter().map(|key| key.id);
    let found: Vec<KeyId> = ids.filter(|id| id.to_string().starts_with(&digits)).collect();
    let shown = path.display();
    match found[..] {
        [id] => Ok(id),
        [] => Err(Failure::unusable(format!(
            "{} has no key {digits}; tokencache keys show {shown} lists those that it has.",
            name(path)
        ))),
        _ => {
            let ids = found.iter().map(KeyId::to_string).collect::<Vec<_>>().join(", ");
            Err(Failure::unusable(format!(
                "{} has {} keys that begin with {digits} ({ids}); give more digits.",
                name(path),
                found.len()
            )))
        }
    }
}

/// The colour of a state.
pub fn look(state: KeyState) -> Look {
    match state {
        KeyState::Active => Look::Good,
        KeyState::Retired => Look::Fair,
        KeyState::Revoked => Look::Bad,
    }
}

/// The word of a state, in its colour.
pub fn painted(state: KeyState) -> String {
    output::paint(state.word(), look(state))
}

/// When a key was made, and how long ago.
pub fn created(key: &Entry) -> (String, String) {
    let Some(created) = &key.created else { return ("unknown".into(), "unknown".into()) };
    let age = clock::unix_ms() - timestamp::parse(created).unwrap_or(0);
    let age = match age.div_euclid(DAY_MS) {
        // Two clocks are never quite the same.
        _ if age < -60_000 => "in the future: is a clock wrong?".into(),
        ..=0 => "today".into(),
        1 => "1 day".into(),
        days => format!("{days} days"),
    };
    (created.clone(), age)
}

/// How long a key is needed, by the times of all keys that are known.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Something seals under it.
    Active,
    /// It is newer than what seals now: staged for the next rotation, or rolled back from.
    Staged,
    /// Until this Unix time in ms, by the key after it.
    Until(i64, KeyId),
    /// Nobody can say: it, or the active key, has no time.
    Unknown,
}

impl Need {
    /// How long `key` is needed among `rings`, where an entry lives `longest_ttl_days`.
    pub fn of(id: KeyId, rings: &[&Edit], longest_ttl_days: u32) -> Need {
        let keys = || rings.iter().flat_map(|ring| ring.keys());
        let made = |key: &Entry| key.created.as_deref().and_then(timestamp::parse);
        if keys().any(|key| key.id == id && key.state == KeyState::Active) {
            return Need::Active;
        }
        let own = keys().filter(|key| key.id == id).find_map(made);
        let sealing = keys().filter(|key| key.state == KeyState::Active).map(made);
        let newest = sealing.max().flatten();
        let (Some(own), Some(newest)) = (own, newest) else { return Need::Unknown };
        if own > newest {
            return Need::Staged;
        }
        // What is revoked may have been before it ever sealed, and the key before it went on.
        let others = keys().filter(|key| key.id != id && key.state != KeyState::Revoked);
        let later = others.filter_map(|key| Some((made(key)?, key.id)));
        let next = later.filter(|(made, _)| (own..=newest).contains(made)).min_by_key(|(made, _)| *made);
        next.map_or(Need::Unknown, |(made, id)| {
            Need::Until(made.saturating_add(i64::from(longest_ttl_days) * DAY_MS), id)
        })
    }

    /// Whether an entry under the key may still be there.
    pub fn is_over(self) -> bool {
        matches!(self, Need::Until(end, _) if end <= clock::unix_ms())
    }

    /// In words, after the key.
    pub fn words(self, longest_ttl_days: u32) -> String {
        match self {
            Need::Active => "seals now".into(),
            Need::Staged => {
                "is newer than the active key: staged, it has sealed nothing unless it was active before"
                    .into()
            }
            Need::Until(end, next) if end <= clock::unix_ms() => format!(
                "was needed until {}: {longest_ttl_days} days after {} was made; add the days until that one was \
                 activated",
                timestamp::minute(end),
                next.short()
            ),
            Need::Until(end, next) => format!(
                "is needed until {}: {longest_ttl_days} days after {} was made; add the days until that one was \
                 activated",
                timestamp::minute(end),
                next.short()
            ),
            Need::Unknown => {
                "may be needed: the ring does not say when it, or the active key, was made".into()
            }
        }
    }
}
