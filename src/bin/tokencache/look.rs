//! What a ring holds, and whether it can be used.

#![forbid(unsafe_code)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tokencache::crypto::Ring;
use tokencache::crypto::edit::{Edit, Entry};
use tokencache::crypto::ring::KeyState;
use tokencache::crypto::wrap::{Recipient, UnwrapKeys};

use crate::arguments::Arguments;
use crate::output::{Look, note, paint, say, table, write};
use crate::rings::{self, Need, painted};
use crate::{Failure, Outcome, compare};

pub const LONGEST_TTL_DAYS: u32 = 14;

pub fn show(arguments: &Arguments) -> Result<Outcome, Failure> {
    let path = arguments.file(0);
    let unwrap = rings::unwrap_keys(&arguments.unwrap_keys)?;
    let ring = rings::read(&path, &unwrap)?;
    let heads = ["key", "state", "created", "age", "held", "whole id"];
    let mut rows = vec![(None, heads.map(str::to_owned).to_vec())];
    let mut recipients: Vec<Recipient> = Vec::new();
    for key in ring.keys() {
        let (created, age) = rings::created(key);
        let cells =
            vec![key.id.short(), key.state.word().into(), created, age, held(key), key.id.to_string()];
        rows.push((Some(rings::look(key.state)), cells));
        for to in &key.wrapped_for {
            if !recipients.contains(to) {
                recipients.push(*to);
            }
        }
    }
    let count = counted(ring.keys().len());
    say(&format!("{}, mode {}: {count}.\n\n{}", rings::name(&path), mode(&path), table(&rows, 1)))?;
    if !recipients.is_empty() {
        say("\nWrapped for (SHA-256 of the public key):\n")?;
        for to in recipients {
            let is_here = unwrap.recipients().any(|here| here == to);
            say(&format!("  {to}{}\n", if is_here { "  (its private key is here)" } else { "" }))?;
        }
    }
    if arguments.reveals {
        reveal(&ring)?;
    }
    Ok(Outcome::Done)
}

fn reveal(ring: &Edit) -> Result<(), Failure> {
    note(
        "Here is the material of the keys: whoever sees it can open every entry. Clear the screen and its history.",
    );
    say("\nMaterial, base64:\n")?;
    for key in ring.keys() {
        match &key.material {
            Some(material) => {
                say(&format!("  {}  ", key.id))?;
                write(material.reveal().as_bytes())?;
                say("\n")?;
            }
            None if key.state == KeyState::Revoked => say(&format!("  {}  gone: it is revoked\n", key.id))?,
            None => say(&format!("  {}  wrapped; give --unwrap-key KEY.pem\n", key.id))?,
        }
    }
    Ok(())
}

pub fn check(arguments: &Arguments) -> Result<Outcome, Failure> {
    let days = arguments.longest_ttl_days.unwrap_or(LONGEST_TTL_DAYS);
    let unwrap = rings::unwrap_keys(&arguments.unwrap_keys)?;
    let path = arguments.file(0);
    let ring = valid(&path, &unwrap)?;
    if arguments.operands.len() == 2 {
        let other = arguments.file(1);
        let other_ring = valid(&other, &unwrap)?;
        return compare::compare([(&path, &ring), (&other, &other_ring)], days);
    }
    let count = counted(ring.keys().len());
    say(&format!("{} is valid, mode {}: {count}.\n\n", rings::name(&path), mode(&path)))?;
    let mut shut = Vec::new();
    for key in ring.keys() {
        let (created, age) = rings::created(key);
        let padding = " ".repeat(8 - key.state.word().len());
        let mut line =
            format!("  {}{padding}{}  created {created} ({age})", painted(key.state), key.id.short());
        if key.state == KeyState::Retired {
            line.push_str(&format!("; it {}", Need::of(key.id, &[&ring], days).words(days)));
        }
        say(&format!("{line}.\n"))?;
        if key.state != KeyState::Revoked && key.material.is_none() {
            shut.push(key);
        }
    }
    if shut.is_empty() {
        return Ok(Outcome::Done);
    }
    let is_asked = !arguments.unwrap_keys.is_empty();
    for key in shut {
        let look = if is_asked { Look::Bad } else { Look::Fair };
        let to = names(&key.wrapped_for);
        let shut = paint("not opened", look);
        say(&format!("\n  {}  {shut}: it is wrapped for {to}.", key.id.short()))?;
    }
    if is_asked {
        say(
            "\n\nNone of the private keys given opens these; wrap the ring for one of them, or give another.\n",
        )?;
        return Ok(Outcome::No);
    }
    say("\n\nWhether it opens is seen with --unwrap-key KEY.pem.\n")?;
    Ok(Outcome::Done)
}

/// The ring in `path`, where a cache could be opened with it, once its private keys are there.
fn valid(path: &Path, unwrap: &UnwrapKeys) -> Result<Edit, Failure> {
    let ring = rings::read(path, unwrap)?;
    // Written anew in memory only: that looks at the keys together.
    let text = ring.text()?;
    if ring.keys().iter().all(|key| key.state != KeyState::Active || key.material.is_some()) {
        Ring::parse(&text, &rings::name(path), unwrap)?;
    }
    Ok(ring)
}

/// How a key is held, and for whom.
fn held(key: &Entry) -> String {
    match (&key.wrapped_for[..], &key.material) {
        ([], Some(_)) => "in the clear".into(),
        ([], None) => "gone".into(),
        (to, _) => format!("wrapped for {}", names(to)),
    }
}

fn names(to: &[Recipient]) -> String {
    to.iter().map(Recipient::short).collect::<Vec<_>>().join(", ")
}

fn mode(path: &Path) -> String {
    fs::metadata(path).map_or("unknown".into(), |it| format!("{:04o}", it.permissions().mode() & 0o777))
}

fn counted(keys: usize) -> String {
    if keys == 1 { "1 key".into() } else { format!("{keys} keys") }
}
