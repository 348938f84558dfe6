//! Envelopes that somebody damaged, cut, spliced or moved: never bytes, and always the reason that is true.
//! `TOKENCACHE_TEST_LONG` makes it a million of them.

use fastrand::Rng;
use tokencache::crypto::{self, Context};
use tokencache::error::Kind;

#[path = "support/crypto.rs"]
mod support;
use support::{HERE, STAMP, key_id, ring};

const THERE: Context<'static> = Context { namespace: b"orders:", name: b"user-b" };

/// An envelope, and whether it belongs here and its key opens.
struct Original {
    bytes: Vec<u8>,
    is_ours: bool,
}

/// Sealed under the active key, a retired one, one revoked since, and one that is not here; here and elsewhere.
fn originals() -> Vec<Original> {
    let mut originals = Vec::new();
    for number in 1..=4 {
        let sealer = ring(&[("active", number)]);
        for (context, is_here) in [(&HERE, true), (&THERE, false)] {
            for length in [0, 1, 16, 300, 2000] {
                let value: Vec<u8> = (0..length).map(|_| fastrand::u8(..)).collect();
                let bytes = crypto::seal(&sealer, context, &STAMP, &value).expect("memory");
                originals.push(Original { bytes, is_ours: is_here && number <= 2 });
            }
        }
    }
    originals
}

/// What is wrong with `bytes`, told from the layout and from what was really sealed; `None` for what was.
fn truth(bytes: &[u8], originals: &[Original]) -> Option<Kind> {
    let ours = || originals.iter().filter(|original| original.is_ours);
    if ours().any(|original| original.bytes == bytes) {
        return None;
    }
    let magic = b"\xF6TKC";
    Some(match bytes {
        [] => Kind::SealForeign,
        _ if bytes.len() < 4 && magic.starts_with(bytes) => Kind::SealBroken,
        _ if !bytes.starts_with(magic) => Kind::SealForeign,
        [_, _, _, _, 2..=255, ..] => Kind::SealUnsupported,
        [_, _, _, _, 0, ..] => Kind::SealBroken,
        _ if bytes.len() < 128 => Kind::SealBroken,
        [_, _, _, _, _, 0, ..] => Kind::SealForeign,
        [_, _, _, _, _, 2..=255, ..] => Kind::SealUnsupported,
        _ if bytes[8..24] == key_id(3).0 => Kind::SealRevokedKey,
        _ if bytes[8..24] != key_id(1).0 && bytes[8..24] != key_id(2).0 => Kind::SealUnknownKey,
        _ if ours().all(|original| original.bytes[..112] != bytes[..112]) => Kind::SealWrongContext,
        _ => Kind::SealBroken,
    })
}

fn mutate(random: &mut Rng, originals: &[Original]) -> Vec<u8> {
    let mut bytes = random.choice(originals).expect("some").bytes.clone();
    let other = &random.choice(originals).expect("some").bytes;
    match random.u8(0..8) {
        0..=2 => {
            for _ in 0..random.usize(1..=8) {
                let at = random.usize(..bytes.len());
                bytes[at] ^= 1 << random.u8(..8);
            }
        }
        3 => bytes.truncate(random.usize(..bytes.len())),
        4 => bytes.extend((0..random.usize(1..40)).map(|_| random.u8(..))),
        5 => bytes = [&bytes[..112], &other[112..]].concat(),
        6 => {
            let at = random.usize(..bytes.len().min(other.len()));
            bytes = [&bytes[..at], &other[at..]].concat();
        }
        _ => {
            let (from, to) = (random.usize(..bytes.len()), random.usize(..bytes.len()));
            let part = other[from.min(to).min(other.len())..from.max(to).min(other.len())].to_vec();
            bytes[from.min(to)..][..part.len()].copy_from_slice(&part);
        }
    }
    bytes
}

#[test]
fn no_mutation_gives_bytes_and_each_is_called_what_it_is() {
    let is_long = std::env::var_os("TOKENCACHE_TEST_LONG").is_some();
    let rounds = if is_long { 1_000_000 } else { 100_000 };
    let seed = fastrand::u64(..);
    let mut random = Rng::with_seed(seed);
    let reader = ring(&[("active", 1), ("retired", 2), ("revoked", 3)]);
    let originals = originals();
    let mut seen = std::collections::BTreeMap::new();
    for round in 0..rounds {
        let bytes = mutate(&mut random, &originals);
        let answer = crypto::open(&reader, &HERE, &bytes).err().map(|refusal| refusal.kind());
        let truth = truth(&bytes, &originals);
        assert_eq!(answer, truth, "round {round} of seed {seed}");
        *seen.entry(truth.map_or("untouched", Kind::name)).or_insert(0) += 1;
    }
    println!("{rounds} mutations: {seen:?}");
    assert_eq!(seen.len(), 7, "all six reasons, and some that changed nothing: {seen:?}");
}

#[test]
fn every_byte_of_an_envelope_counts() {
    let ring = ring(&[("active", 1)]);
    let sealed = crypto::seal(&ring, &HERE, &STAMP, b"a token").expect("memory");
    for at in 0..sealed.len() {
        for change in 1..=255 {
            let mut bytes = sealed.clone();
            bytes[at] ^= change;
            assert!(crypto::open(&ring, &HERE, &bytes).is_err(), "byte {at} ^ {change}");
        }
    }
}

#[test]
fn two_entries_that_change_places_are_both_at_the_wrong_one() {
    let ring = ring(&[("active", 1)]);
    for (from, to) in [(&HERE, &THERE), (&THERE, &HERE)] {
        let sealed = crypto::seal(&ring, from, &STAMP, b"a token").expect("memory");
        let refusal = crypto::open(&ring, to, &sealed).err().expect("refused");
        assert_eq!(refusal.kind(), Kind::SealWrongContext);
    }
}
