//! Whether two machines can read what each other wrote.

#![forbid(unsafe_code)]

use std::path::Path;

use tokencache::crypto::KeyId;
use tokencache::crypto::edit::Edit;
use tokencache::crypto::ring::KeyState;

use crate::output::{Look, paint, say};
use crate::rings::{Need, painted};
use crate::{Failure, Outcome};

/// A machine, by the file with its ring.
type Machine<'a> = (&'a Path, &'a Edit);

pub fn compare(machines: [Machine<'_>; 2], days: u32) -> Result<Outcome, Failure> {
    let [one, other] = machines;
    for (path, ring) in machines {
        let of = |state| {
            let keys = ring.keys().iter().filter(move |key| key.state == state);
            keys.map(|key| key.id.short()).collect::<Vec<_>>()
        };
        let mut line = format!("{}: ", path.display());
        let states = [KeyState::Active, KeyState::Retired, KeyState::Revoked];
        let parts = states.map(|state| (state, of(state))).into_iter().filter(|(_, ids)| !ids.is_empty());
        let parts: Vec<_> =
            parts.map(|(state, ids)| format!("{} {}", painted(state), ids.join(", "))).collect();
        line.push_str(&parts.join("; "));
        say(&format!("{line}\n"))?;
    }
    say("\n")?;
    let mut notes = Vec::new();
    let mut is_good = true;
    for (writer, reader) in [(one, other), (other, one)] {
        let obstacles = obstacles(writer, reader, days, &mut notes);
        let answer = if obstacles.is_empty() { paint("yes", Look::Good) } else { paint("no", Look::Bad) };
        let (from, to) = (writer.0.display(), reader.0.display());
        say(&format!("What {from} wrote, {to} can read: {answer}\n"))?;
        for obstacle in &obstacles {
            say(&format!("  {obstacle}\n"))?;
        }
        is_good &= obstacles.is_empty();
    }
    let rings = [one.1, other.1];
    let mut told: Vec<KeyId> = Vec::new();
    for key in rings.iter().flat_map(|ring| ring.keys()).filter(|key| key.state == KeyState::Retired) {
        let is_on_both =
            rings.iter().all(|ring| state(ring, key.id).is_some_and(|it| it != KeyState::Revoked));
        if is_on_both && !told.contains(&key.id) {
            told.push(key.id);
            let words = match Need::of(key.id, &rings, days) {
                Need::Active => "seals on one of them; it is needed on both".into(),
                need => need.words(days),
            };
            notes.push(format!("The key {} {words}.", key.id));
        }
    }
    if rings
        .iter()
        .flat_map(|ring| ring.keys())
        .any(|key| key.material.is_none() && !key.wrapped_for.is_empty())
    {
        notes.push(
            "Wrapped keys were compared by their ids, as if each machine had a private key for them; tokencache keys \
             check FILE --unwrap-key KEY.pem says whether it has."
                .into(),
        );
    }
    if !notes.is_empty() {
        say(&format!("\n{}\n", notes.join("\n")))?;
    }
    Ok(if is_good { Outcome::Done } else { Outcome::No })
}

/// What keeps `reader` from what `writer` may have written; what does not matter, or not yet, goes to `notes`.
fn obstacles(writer: Machine<'_>, reader: Machine<'_>, days: u32, notes: &mut Vec<String>) -> Vec<String> {
    let mut obstacles = Vec::new();
    for key in writer.1.keys() {
        if key.state == KeyState::Revoked {
            continue;
        }
        let id = key.id;
        let (from, to) = (writer.0.display(), reader.0.display());
        let lack = match state(reader.1, id) {
            Some(KeyState::Active | KeyState::Retired) => continue,
            Some(KeyState::Revoked) => format!("is revoked in {to}"),
            None => format!("is not in {to}"),
        };
        let need = Need::of(id, &[writer.1, reader.1], days);
        let way_out = way_out(writer, reader, id);
        if key.state == KeyState::Active {
            obstacles.push(format!("{from} seals under {id}, which {lack}. {way_out}"));
        } else if need == Need::Staged {
            notes.push(format!(
                "The key {id} is staged in {from} and {lack}; give it there before it is activated."
            ));
        } else if need.is_over() {
            notes.push(format!("The key {id} is in {from} and {lack}; it {}.", need.words(days)));
        } else {
            obstacles.push(format!(
                "{from} opens what was sealed under {id}, which {lack}; the key {}. {way_out}",
                need.words(days)
            ));
        }
    }
    obstacles
}

fn state(ring: &Edit, id: KeyId) -> Option<KeyState> {
    ring.keys().iter().find(|key| key.id == id).map(|key| key.state)
}

/// The way out where `reader` does not open what the key `id` of `writer` sealed.
fn way_out(writer: Machine<'_>, reader: Machine<'_>, id: KeyId) -> String {
    let (from, to) = (writer.0.display(), reader.0.display());
    let opens = |ring: &Edit, id| matches!(state(ring, id), Some(KeyState::Active | KeyState::Retired));
    if state(reader.1, id) == Some(KeyState::Revoked) {
        return if state(writer.1, id) == Some(KeyState::Active) {
            format!("Activate another key in {from}, one that {to} has, and revoke this one there too.")
        } else {
            format!("If it is to be revoked, revoke it in {from} too.")
        };
    }
    if !reader.1.keys().iter().all(|key| key.state == KeyState::Revoked || opens(writer.1, key.id)) {
        return "Neither ring has all keys; put those of both into one file, one of them active, and give it to both."
            .into();
    }
    let shared =
        writer.1.keys().iter().find(|key| key.id != id && opens(writer.1, key.id) && opens(reader.1, key.id));
    match shared {
        Some(shared) if state(writer.1, id) == Some(KeyState::Active) => format!(
            "Copy {from} to {to}; until that is done, {from} can seal under a key that both have (tokencache keys \
             activate {from} {}).",
            shared.id.short().trim_end_matches('…')
        ),
        _ => format!("Copy {from} to {to}."),
    }
}
