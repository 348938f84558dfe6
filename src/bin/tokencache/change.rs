//! The commands that write a ring.

#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};

use tokencache::crypto::edit::Edit;
use tokencache::crypto::files::{self, Held};
use tokencache::crypto::ring::KeyState;
use tokencache::crypto::wrap::{Recipient, UnwrapKeys, Wrapper};
use tokencache::crypto::{KeyId, Material};
use tokencache::{clock, timestamp};

use crate::arguments::Arguments;
use crate::output::{note, say};
use crate::rings::{self, painted};
use crate::{Failure, Outcome};

const DEFAULT_FILE: &str = "tokencache-keyring.json";

pub fn generate(arguments: &Arguments) -> Result<Outcome, Failure> {
    let path = match (&arguments.ring, &arguments.output) {
        (Some(_), Some(_)) => {
            return Err(Failure::usage("--ring and -o name the same file; give one of them."));
        }
        (Some(path), None) | (None, Some(path)) => path.clone(),
        (None, None) => PathBuf::from(DEFAULT_FILE),
    };
    let to = rings::wrappers(&arguments.to)?;
    let mut ring = Edit::empty(&rings::name(&path));
    let id = ring.add(Material::generate()?, KeyState::Active, &timestamp::second(clock::unix_ms()), &to)?;
    files::create(&path, &ring.text()?)?;
    let shown = path.display();
    say(&format!(
        "Made {shown} (mode 0600) with the {} key {id}{}.\nGive every machine this same file; one that makes its own \
         cannot read what the others write.\n",
        painted(KeyState::Active),
        whom(&to)
    ))?;
    Ok(Outcome::Done)
}

pub fn stage(arguments: &Arguments) -> Result<Outcome, Failure> {
    let path = arguments.file(0);
    let to = rings::wrappers(&arguments.to)?;
    let mut open = Open::new(&path, &UnwrapKeys::none())?;
    let is_wrapped = open.ring.keys().iter().any(|key| !key.wrapped_for.is_empty());
    if is_wrapped && to.is_empty() {
        return Err(Failure::usage(format!(
            "The keys in {} are wrapped; say for whom the new one is to be wrapped, with --to CERTIFICATE.pem for each \
             of them.",
            path.display()
        )));
    }
    let id = open.ring.add(Material::generate()?, KeyState::Retired, &now_after(&open.ring), &to)?;
    open.write()?;
    let shown = path.display();
    say(&format!(
        "Added the {} key {id}{} to {shown}: it opens, and does not seal yet.\nGive every machine this file; when all of \
         them have it, go on with: tokencache keys activate {shown} {}\n",
        painted(KeyState::Retired),
        whom(&to),
        digits(id)
    ))?;
    Ok(Outcome::Done)
}

pub fn activate(arguments: &Arguments) -> Result<Outcome, Failure> {
    let (path, mut open, id, state) = open_key(arguments)?;
    let shown = path.display();
    match state {
        KeyState::Revoked => {
            return Err(Failure::unusable(format!(
                "The key {id} in {shown} is revoked, and that is for good; tokencache keys stage {shown} makes a new one."
            )));
        }
        KeyState::Active if active(&open.ring) == [id] => {
            say(&format!("The key {id} in {shown} is {} already.\n", painted(KeyState::Active)))?;
            return Ok(Outcome::Done);
        }
        _ => {}
    }
    let before: Vec<KeyId> = active(&open.ring).into_iter().filter(|other| *other != id).collect();
    for other in &before {
        open.ring.set_state(*other, KeyState::Retired);
    }
    open.ring.set_state(id, KeyState::Active);
    open.write()?;
    let mut text = format!("The key {id} in {shown} is {} now.\n", painted(KeyState::Active));
    for other in before {
        text.push_str(&format!(
            "{other} is {}: it opens what it sealed. Keep it until the last such entry has ended; tokencache keys \
             check {shown} says when.\n",
            painted(KeyState::Retired)
        ));
    }
    say(&text)?;
    Ok(Outcome::Done)
}

pub fn retire(arguments: &Arguments) -> Result<Outcome, Failure> {
    let (path, mut open, id, state) = open_key(arguments)?;
    let shown = path.display();
    match state {
        KeyState::Revoked => {
            return Err(Failure::unusable(format!(
                "The key {id} in {shown} is revoked, and that is for good: what it sealed stays shut."
            )));
        }
        KeyState::Active if active(&open.ring) == [id] => return Err(needs_successor(&path, id)),
        KeyState::Retired => {
            say(&format!("The key {id} in {shown} is {} already.\n", painted(KeyState::Retired)))?;
            return Ok(Outcome::Done);
        }
        KeyState::Active => {}
    }
    open.ring.set_state(id, KeyState::Retired);
    open.write()?;
    let retired = painted(KeyState::Retired);
    say(&format!("The key {id} in {shown} is {retired} now: it opens what it sealed, and seals nothing.\n"))?;
    Ok(Outcome::Done)
}

pub fn revoke(arguments: &Arguments) -> Result<Outcome, Failure> {
    let (path, mut open, id, state) = open_key(arguments)?;
    let shown = path.display();
    if state == KeyState::Active {
        return Err(needs_successor(&path, id));
    }
    open.ring.revoke(id);
    open.write()?;
    say(&format!(
        "The key {id} in {shown} is {} now, and its material is gone from this file: what it sealed stays shut.\nGive \
         every machine this file, and destroy older copies of it.\n",
        painted(KeyState::Revoked)
    ))?;
    Ok(Outcome::Done)
}

pub fn wrap(arguments: &Arguments) -> Result<Outcome, Failure> {
    let path = arguments.file(0);
    if arguments.to.is_empty() {
        return Err(Failure::usage(
            "Say for whom, with --to CERTIFICATE.pem for each of them. Try tokencache keys wrap --help.",
        ));
    }
    let to = rings::wrappers(&arguments.to)?;
    let unwrap = rings::unwrap_keys(&arguments.unwrap_keys)?;
    let mut open = Open::new(&path, &unwrap)?;
    let count = open.ring.wrap(&to).map_err(|error| {
        Failure::unusable(format!("{} Name one of them with --unwrap-key KEY.pem.", error.message))
    })?;
    let written = match &arguments.output {
        Some(output) => {
            files::create(output, &open.ring.text()?)?;
            output
        }
        None => {
            open.write()?;
            &path
        }
    };
    let keys = if count == 1 { "The key".to_owned() } else { format!("{count} keys") };
    let are = if count == 1 { "is" } else { "are" };
    let shown = written.display();
    let mut text = format!("{keys} in {shown} {are}{} now.\n", whom(&to).trim_start_matches(','));
    text.push_str(match arguments.output {
        Some(_) => "The ring that it was made from is as it was; where its keys are in the clear, destroy it.\n",
        None => "Copies and backups of the file from before are as they were; where their keys are in the clear, destroy \
                 them.\n",
    });
    say(&text)?;
    Ok(Outcome::Done)
}

/// A ring that nobody else changes meanwhile.
struct Open {
    path: PathBuf,
    held: Held,
    ring: Edit,
}

impl Open {
    fn new(path: &Path, unwrap: &UnwrapKeys) -> Result<Open, Failure> {
        let held = Held::new(path)?;
        let file = files::read(path, false)?;
        let ring = Edit::parse(&file.text, &rings::name(path), unwrap)?;
        Ok(Open { path: path.into(), held, ring })
    }

    fn write(&self) -> Result<(), Failure> {
        self.held.replace(&self.ring.text()?)?;
        let mode = self.held.mode();
        if mode & 0o077 != 0 {
            note(&format!(
                "The mode of {} was {mode:04o} and is 0600 now, for its owner alone; chmod it if its group must read it.",
                self.path.display()
            ));
        }
        Ok(())
    }
}

fn open_key(arguments: &Arguments) -> Result<(PathBuf, Open, KeyId, KeyState), Failure> {
    let path = arguments.file(0);
    let open = Open::new(&path, &UnwrapKeys::none())?;
    let id = rings::find(&open.ring, &path, &arguments.operands[1])?;
    let state = open.ring.keys().iter().find(|key| key.id == id).map_or(KeyState::Revoked, |key| key.state);
    Ok((path, open, id, state))
}

fn active(ring: &Edit) -> Vec<KeyId> {
    ring.keys().iter().filter(|key| key.state == KeyState::Active).map(|key| key.id).collect()
}

fn needs_successor(path: &Path, id: KeyId) -> Failure {
    let shown = path.display();
    Failure::unusable(format!(
        "The key {id} in {shown} is the active one, and without it nothing could be sealed; activate another first \
         (tokencache keys stage {shown}, then tokencache keys activate {shown} ID)."
    ))
}

/// Now, but after every key of `ring`, so that their order can be told from their times.
fn now_after(ring: &Edit) -> String {
    let now = clock::unix_ms();
    let made = ring.keys().iter().filter_map(|key| key.created.as_deref().and_then(timestamp::parse));
    // One far in the future is a wrong clock, which is not to be handed on.
    let newest = made.filter(|made| *made < now + 60_000).max().unwrap_or(0);
    timestamp::second(now.max(newest + 1000))
}

fn whom(to: &[Wrapper]) -> String {
    match to {
        [] => String::new(),
        to => {
            let to: Vec<_> = to.iter().map(|to| to.to()).map(|to: Recipient| to.short()).collect();
            format!(", wrapped for {}", to.join(", "))
        }
    }
}

fn digits(id: KeyId) -> String {
    id.short().trim_end_matches('…').to_owned()
}
