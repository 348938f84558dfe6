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
    for key in rings.iter().flat_map(|ring| ring.keys()) {
        let need = Need::of(key.id, &rings, days);
        let line = format!("The key {} {}.", key.id, need.words(days));
        if key.state == KeyState::Retired && need != Need::Active && !notes.contains(&line) {
            notes.push(line);
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
        if key.state == KeyState::Active {
            obstacles.push(format!("{from} seals under {id}, which {lack}. {}", way_out(writer, reader, id)));
        } else if need == Need::Staged {
            notes.push(format!(
                "The key {id} is staged in {from} and {lack}; give it there before it is activated."
            ));
        } else if need.is_over() {
            notes.push(format!("The key {id} is in {from} and {lack}, where nobody needs it any more."));
        } else {
            obstacles.push(format!(
                "{from} still opens what was sealed under {id}, which {lack}; it {}.",
                need.words(days)
            ));
        }
    }
    obstacles
}

fn state(ring: &Edit, id: KeyId) -> Option<KeyState> {
    ring.keys().iter().find(|key| key.id == id).map(|key| key.state)
}

/// The way out where the active key of `writer` is not to be had in `reader`.
fn way_out(writer: Machine<'_>, reader: Machine<'_>, id: KeyId) -> String {
    let (from, to) = (writer.0.display(), reader.0.display());
    let is_shared = |key: &KeyId| matches!(state(reader.1, *key), Some(KeyState::Active | KeyState::Retired));
    let keys = writer.1.keys().iter().filter(|key| key.state == KeyState::Retired);
    match keys.map(|key| key.id).find(is_shared) {
        _ if state(reader.1, id) == Some(KeyState::Revoked) => {
            format!("Stage and activate another key, or give {from} the ring {to}.")
        }
        Some(shared) => format!(
            "Give {to} the ring {from}; until then {from} can seal under a key that both have (tokencache keys activate \
             {from} {}).",
            shared.short().trim_end_matches('…')
        ),
        None => format!(
            "Give both machines one ring: copy {from} or {to} to the other, with all keys that are needed."
        ),
    }
}
