//! A value sealed on one machine, and opened on another.

#![forbid(unsafe_code)]

use std::io::{self, IsTerminal, Read};

use tokencache::crypto::envelope::OVERHEAD;
use tokencache::crypto::ring::KeyState;
use tokencache::crypto::wrap::Recipient;
use tokencache::crypto::{self, Context, Refusal, Ring, Stamp, TOMBSTONE};
use tokencache::{clock, timestamp};
use zeroize::Zeroizing;

use crate::arguments::Arguments;
use crate::output::{note, write};
use crate::{Failure, Outcome, rings};

/// The most that `limits.max_value_bytes` allows.
const MAX_VALUE_BYTES: usize = 536_870_912;

pub fn protect(arguments: &Arguments) -> Result<Outcome, Failure> {
    let context = context(arguments)?;
    if io::stdout().is_terminal() && !arguments.is_forced {
        return Err(Failure::usage(
            "An envelope is binary, and standard output is a terminal; send it to a file (> FILE), or give --force.",
        ));
    }
    let ring = ring(arguments)?;
    let value = input(MAX_VALUE_BYTES)?;
    let stamp = Stamp { created_at_ms: clock::unix_ms(), ..Stamp::default() };
    write(&crypto::seal(&ring, &context, &stamp, &value)?)?;
    Ok(Outcome::Done)
}

pub fn unprotect(arguments: &Arguments) -> Result<Outcome, Failure> {
    let context = context(arguments)?;
    let ring = ring(arguments)?;
    let envelope = input(MAX_VALUE_BYTES + OVERHEAD)?;
    let opened = match crypto::open(&ring, &context, &envelope) {
        Ok(opened) => opened,
        Err(Refusal::OutOfMemory(bytes)) => {
            return Err(Failure::unusable(format!("{bytes} bytes of memory could not be allocated.")));
        }
        Err(refusal) => {
            let way_out = match refusal {
                Refusal::MissingUnwrapKey { .. } => " Here that is --unwrap-key KEY.pem.",
                Refusal::Broken { .. } if envelope.ends_with(b"\n") => {
                    " It ends with a newline: did a tool add one, as redis-cli does?"
                }
                _ => "",
            };
            note(&format!("{}: {refusal}{way_out}", refusal.kind().name()));
            return Ok(Outcome::No);
        }
    };
    let end = opened.stamp.expires_at_ms;
    if end != 0 && end <= clock::unix_ms() {
        note(&format!(
            "TC_NOT_FOUND: The entry opens, and ended {}; a cache does not hand it out.",
            timestamp::minute(end)
        ));
        return Ok(Outcome::No);
    }
    if opened.stamp.flags & TOMBSTONE != 0 {
        note("TC_NOT_FOUND: The entry opens, and is the mark of a removal; it has no value.");
        return Ok(Outcome::No);
    }
    if opened.is_retired {
        note(
            "The entry was sealed under a retired key; storing the value again seals it under the active one.",
        );
    }
    if !is_text(&opened.bytes) && io::stdout().is_terminal() && !arguments.is_forced {
        return Err(Failure::usage(
            "The value is binary, and standard output is a terminal; send it to a file (> FILE), or give --force.",
        ));
    }
    write(&opened.bytes)?;
    Ok(Outcome::Done)
}

fn context(arguments: &Arguments) -> Result<Context<'_>, Failure> {
    match (&arguments.prefix, &arguments.key) {
        (Some(namespace), Some(name)) => Ok(Context { namespace, name }),
        _ => Err(Failure::usage(
            "Give --prefix and --key, the l2.key_prefix and the cache key of the entry: it opens only where it was \
             sealed for. The prefix may be empty (--prefix '').",
        )),
    }
}

fn ring(arguments: &Arguments) -> Result<Ring, Failure> {
    let path = arguments.file(0);
    let unwrap = rings::unwrap_keys(&arguments.unwrap_keys)?;
    let ring = rings::read(&path, &unwrap)?;
    let is_shut = |key: &&crypto::edit::Entry| key.state == KeyState::Active && key.material.is_none();
    if let Some(key) = ring.keys().iter().find(is_shut) {
        let wanted = key.wrapped_for.iter().map(Recipient::short).collect::<Vec<_>>().join(", ");
        return Err(Failure::unusable(format!(
            "The active key {} in {} is wrapped for private keys that are not here (SHA-256 of the public key: \
             {wanted}); name one of them with --unwrap-key KEY.pem.",
            key.id,
            path.display()
        )));
    }
    Ok(Ring::parse(&ring.text()?, &rings::name(&path), &unwrap)?)
}

/// All of standard input. Its buffer is wiped whenever it grows, so that no copy is left behind.
fn input(most: usize) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let mut buffer = Zeroizing::new(vec![0; 1 << 16]);
    let mut filled = 0;
    let mut input = io::stdin().lock();
    loop {
        if filled > most {
            return Err(Failure::unusable(format!("Standard input has more than {most} bytes.")));
        }
        if filled == buffer.len() {
            let mut larger = Zeroizing::new(vec![0; 2 * filled]);
            larger[..filled].copy_from_slice(&buffer);
            buffer = larger;
        }
        match input.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                return Err(Failure::unusable(format!("Standard input cannot be read ({error}).")));
            }
        }
    }
    buffer.truncate(filled);
    Ok(buffer)
}

fn is_text(bytes: &[u8]) -> bool {
    let shows = |c: char| !c.is_control() || matches!(c, '\n' | '\r' | '\t');
    std::str::from_utf8(bytes).is_ok_and(|text| text.chars().all(shows))
}
