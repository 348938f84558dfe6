//! The seal from outside: what opens, and the reason for everything that does not, in words for a person.

use sha2::{Digest, Sha256};
use tokencache::crypto::envelope::OVERHEAD;
use tokencache::crypto::wrap::UnwrapKeys;
use tokencache::crypto::{self, Context, Foreign, Novelty, Refusal, Ring, Stamp, TOMBSTONE};
use tokencache::error::{Error, Kind};

#[path = "support/crypto.rs"]
mod support;
use support::{HERE, STAMP, key_id, opened, parse, refusal, ring, seal};

const WRITTEN: &str = "written 2026-08-21T10:02Z";

#[test]
fn what_was_sealed_opens_with_its_stamp_and_takes_128_bytes_more() {
    let ring = ring(&[("active", 1), ("retired", 2)]);
    for length in [0, 1, 2000, 7000] {
        let value = vec![0xA5; length];
        let stamp = Stamp { flags: TOMBSTONE, ..STAMP };
        let sealed = crypto::seal(&ring, &HERE, &stamp, &value).expect("sealed");
        assert_eq!((sealed.len(), OVERHEAD), (length + OVERHEAD, 128));
        let opened = opened(&ring, &sealed);
        assert_eq!((&opened.bytes[..], opened.stamp, opened.is_retired), (&value[..], stamp, false));
    }
}

#[test]
fn the_same_value_sealed_twice_is_never_the_same() {
    let ring = ring(&[("active", 1)]);
    let (one, two) = (seal(&ring, b"token"), seal(&ring, b"token"));
    for part in [48..80, 80..112, 112..117, 117..133] {
        assert_ne!(one[part.clone()], two[part]);
    }
}

#[test]
fn a_retired_key_opens_what_it_sealed_and_says_so() {
    let sealed = seal(&ring(&[("active", 1)]), b"token");
    let later = ring(&[("active", 2), ("retired", 1)]);
    assert!(opened(&later, &sealed).is_retired);
    assert_eq!(&seal(&later, b"token")[8..24], &key_id(2).0);
}

#[test]
fn an_unknown_key_is_named_with_those_that_are_here_and_the_time() {
    let refusal = refusal(&ring(&[("active", 2), ("retired", 3)]), &seal(&ring(&[("active", 1)]), b"token"));
    assert_eq!(refusal.kind(), Kind::SealUnknownKey);
    let sentence = Error::from(refusal).message;
    let here = format!("active {}, retired {}", key_id(2).short(), key_id(3).short());
    for part in [&key_id(1).to_string(), &here, WRITTEN, "\"Keys differ between machines\" in the README."] {
        assert!(sentence.contains(part), "{sentence}");
    }
}

#[test]
fn a_revoked_key_opens_nothing() {
    let sealed = seal(&ring(&[("active", 1)]), b"token");
    let refusal = refusal(&ring(&[("revoked", 1), ("active", 2)]), &sealed);
    assert_eq!(refusal.kind(), Kind::SealRevokedKey);
    let sentence = refusal.to_string();
    assert!(sentence.contains(&key_id(1).to_string()) && sentence.contains(WRITTEN), "{sentence}");
}

#[test]
fn an_entry_that_moved_to_another_key_or_prefix_does_not_open() {
    let ring = ring(&[("active", 1)]);
    let sealed = seal(&ring, b"token");
    let places: [(&[u8], &[u8]); 4] =
        [(b"orders:", b"user-b"), (b"billing:", b"user-a"), (b"orders:u", b"ser-a"), (b"", b"orders:user-a")];
    for (namespace, name) in places {
        let refusal = crypto::open(&ring, &Context { namespace, name }, &sealed).err().expect("refused");
        assert_eq!(refusal.kind(), Kind::SealWrongContext);
        assert!(refusal.to_string().contains("another cache key"), "{refusal}");
    }
}

#[test]
fn a_header_that_was_altered_is_the_wrong_context_and_a_body_that_was_is_broken() {
    let ring = ring(&[("active", 1)]);
    let sealed = seal(&ring, b"token");
    for at in (6..8).chain(24..sealed.len()) {
        let mut altered = sealed.clone();
        altered[at] ^= 1;
        let expected = if at < 112 { Kind::SealWrongContext } else { Kind::SealBroken };
        assert_eq!(refusal(&ring, &altered).kind(), expected, "{at}");
    }
}

#[test]
fn what_is_newer_is_named() {
    let ring = ring(&[("active", 1)]);
    let altered = |at: usize, byte: u8| {
        let mut bytes = seal(&ring, b"token");
        bytes[at] = byte;
        refusal(&ring, &bytes)
    };
    assert_eq!(altered(4, 2), Refusal::Unsupported(Novelty::Format(2)));
    assert_eq!(altered(5, 2), Refusal::Unsupported(Novelty::Suite(2)));
    let stamp = Stamp { flags: 2, ..STAMP };
    let flagged = crypto::seal(&ring, &HERE, &stamp, b"token").expect("sealed");
    let refused = refusal(&ring, &flagged);
    assert_eq!(refused, Refusal::Unsupported(Novelty::Flags(2)));
    assert_eq!(refused.kind(), Kind::SealUnsupported);
    assert!(refused.to_string().contains("the flags 0x0002"), "{refused}");
}

#[test]
fn what_is_cut_short_is_broken_at_every_length() {
    let ring = ring(&[("active", 1)]);
    let sealed = seal(&ring, b"token");
    for length in 1..sealed.len() {
        assert_eq!(refusal(&ring, &sealed[..length]).kind(), Kind::SealBroken, "{length}");
    }
    assert_eq!(refusal(&ring, b""), Refusal::Foreign(Foreign::Empty));
}

#[test]
fn what_others_wrote_is_named_and_never_opened() {
    let ring = ring(&[("active", 1)]);
    let protected =
        b"\x09\xF0\xC9\xF0\xA4\xA3\xA2\xA1\xB2\xB1\xC2\xC1\xD1\xD2\xE1\xE2\xE3\xE4\xE5\xE6 and more";
    let refused = refusal(&ring, protected);
    assert_eq!(refused.kind(), Kind::SealForeign);
    assert!(refused.to_string().contains("a1a2a3a4-b1b2-c1c2-d1d2-e1e2e3e4e5e6"), "{refused}");
    let json = refusal(&ring, b"{\"AccessToken\":{}}").to_string();
    assert!(json.contains("plain JSON") && json.contains("/encryption/accept_plaintext"), "{json}");
}

/// An envelope of suite 0.
fn clear(context_digest: [u8; 32], flags: u8, value: &[u8]) -> Vec<u8> {
    let mut bytes = [&b"\xF6TKC\x01\0\0"[..], &[flags], &[0; 72], &context_digest, value].concat();
    let tag = Sha256::digest(&bytes);
    bytes.extend_from_slice(&tag[..16]);
    bytes
}

#[test]
fn plain_text_is_refused_unless_the_caller_accepts_it() {
    let ring = ring(&[("active", 1)]);
    let digest = Sha256::digest(b"\0\0\0\x07orders:\0\0\0\x06user-a").into();
    let bytes = clear(digest, 0, b"token");
    assert_eq!(refusal(&ring, &bytes), Refusal::Foreign(Foreign::Clear));
    let (value, stamp) = crypto::open_plain(&HERE, &bytes).expect("accepted");
    assert_eq!((&value[..], stamp), (&b"token"[..], Some(Stamp::default())));
    for plain in [&b"{\"AccessToken\":{}}"[..], b"", b"anything"] {
        let (value, stamp) = crypto::open_plain(&HERE, plain).expect("accepted");
        assert_eq!((&value[..], stamp), (plain, None));
    }
}

#[test]
fn whoever_accepts_plain_text_still_takes_nothing_that_was_sealed_moved_or_damaged() {
    let digest = Sha256::digest(b"\0\0\0\x07orders:\0\0\0\x06user-a").into();
    let kind = |bytes: &[u8]| crypto::open_plain(&HERE, bytes).expect_err("refused").kind();
    assert_eq!(kind(&clear([7; 32], 0, b"token")), Kind::SealWrongContext);
    assert_eq!(kind(&clear(digest, 2, b"token")), Kind::SealUnsupported);
    let mut damaged = clear(digest, 0, b"token");
    damaged[112] ^= 1;
    assert_eq!(kind(&damaged), Kind::SealBroken);
    assert_eq!(kind(&seal(&ring(&[("active", 1)]), b"token")), Kind::SealUnknownKey);
    for sealed in [&b"\x09\xF0\xC9\xF0 and more"[..], b"gAAAAAB", b"age-encryption.org/v1\n", b"\x1F\x8B\x08"]
    {
        assert_eq!(kind(sealed), Kind::SealForeign);
    }
}

#[test]
fn a_ring_says_what_it_holds_by_name_alone() {
    let ring = ring(&[("active", 1), ("retired", 2), ("revoked", 3)]);
    assert_eq!((ring.known().active, ring.known().retired), (key_id(1), vec![key_id(2)]));
    assert_eq!(ring.keys().len(), 3);
    ring.relock();
    assert_eq!(&opened(&ring, &seal(&ring, b"token")).bytes[..], b"token");
    assert!(parse("{}").is_err());
}

#[test]
fn without_a_ring_anything_is_a_value_except_what_was_sealed() {
    let sealed = seal(&ring(&[("active", 1)]), b"token");
    let refused = crypto::refuse_sealed(&sealed).expect_err("refused");
    assert_eq!(refused.kind(), Kind::SealUnknownKey);
    let sentence = refused.to_string();
    assert!(sentence.contains(&key_id(1).to_string()) && sentence.contains("no key ring"), "{sentence}");
    assert_eq!(crypto::refuse_sealed(&sealed[..60]).expect_err("refused").kind(), Kind::SealBroken);
    assert_eq!(crypto::refuse_sealed(&clear([0; 32], 0, b"")), Err(Refusal::Foreign(Foreign::Clear)));
    for value in [&b"{}"[..], b"", b"anything", b"\x1F\x8B\x08", b"\x09\xF0\xC9\xF0"] {
        assert_eq!(crypto::refuse_sealed(value), Ok(()));
    }
}

#[test]
fn a_ring_may_be_shared_by_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Ring>();
    shared::<UnwrapKeys>();
}
