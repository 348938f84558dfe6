//! The primitives, at one place: another provider would stand in here.

#![forbid(unsafe_code)]

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use hkdf::Hkdf;
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

use super::Context;
use super::envelope::{BOUND_BYTES, HEADER_BYTES, TAG_BYTES};
use super::locked::KEY_BYTES;

const INFO: &[u8] = b"tokencache/envelope/1";

/// What belongs to one entry alone: the key that seals it, and the commitment to that key, its header and its context.
pub(super) struct OneTime(Zeroizing<[u8; 64]>);

impl OneTime {
    pub fn derive(
        key: &[u8; KEY_BYTES],
        salt: &[u8; 32],
        header: &[u8; HEADER_BYTES],
        context: &Context<'_>,
    ) -> OneTime {
        let (mut extracted, hkdf) = Hkdf::<Sha256>::extract(Some(salt), key);
        extracted.zeroize();
        let mut both = Zeroizing::new([0; 64]);
        let info = [INFO, &header[..BOUND_BYTES], &digest(context)];
        hkdf.expand_multi_info(&info, &mut both[..]).expect("HKDF gives as many as 8160 bytes");
        OneTime(both)
    }

    pub fn commitment(&self) -> &[u8; 32] {
        self.0.last_chunk().expect("64 bytes end with 32")
    }

    /// Seals what is in `body` where it is, and gives its tag; `None` when there is no memory for the key.
    pub fn seal(&self, header: &[u8; HEADER_BYTES], body: &mut [u8]) -> Option<[u8; TAG_BYTES]> {
        let tag = self.encrypt(header, body);
        wipe_stack();
        tag
    }

    /// Opens `sealed` into `plaintext`, which is as long, or answers `false` and leaves nothing in it. `None` when there is no
    /// memory for the key.
    pub fn open(
        &self,
        header: &[u8; HEADER_BYTES],
        sealed: &[u8],
        tag: &[u8; TAG_BYTES],
        plaintext: &mut [u8],
    ) -> Option<bool> {
        let is_open = self.decrypt(header, sealed, tag, plaintext);
        wipe_stack();
        if is_open != Some(true) {
            plaintext.zeroize();
        }
        is_open
    }

    #[inline(never)]
    fn encrypt(&self, header: &[u8; HEADER_BYTES], body: &mut [u8]) -> Option<[u8; TAG_BYTES]> {
        let tag = self.aead()?.seal_in_place_separate_tag(nonce(), Aad::from(header), body).ok()?;
        tag.as_ref().first_chunk().copied()
    }

    #[inline(never)]
    fn decrypt(
        &self,
        header: &[u8; HEADER_BYTES],
        sealed: &[u8],
        tag: &[u8; TAG_BYTES],
        plaintext: &mut [u8],
    ) -> Option<bool> {
        Some(self.aead()?.open_separate_gather(nonce(), Aad::from(header), sealed, tag, plaintext).is_ok())
    }

    fn aead(&self) -> Option<LessSafeKey> {
        let key: &[u8; KEY_BYTES] = self.0.first_chunk().expect("64 bytes begin with 32");
        UnboundKey::new(&AES_256_GCM, key).ok().map(LessSafeKey::new)
    }
}

/// Always zeros, because a key is used once.
fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}

/// The cipher leaves the last block of a value, and what its keys expand to, on the stack below its caller: this takes
/// the same place and leaves zeros there.
#[inline(never)]
fn wipe_stack() {
    // Somebody may look at it, so the zeros are really written.
    std::hint::black_box(&mut [0_u64; 1024]);
}

/// The hash of where an entry belongs. With their lengths, so that no two contexts are one row of bytes.
pub(super) fn digest(context: &Context<'_>) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in [context.namespace, context.name] {
        let length = u32::try_from(part.len()).unwrap_or(u32::MAX);
        hash.update(length.to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// The tag of an entry in the clear suite.
pub(super) fn checksum(header: &[u8; HEADER_BYTES], body: &[u8]) -> [u8; TAG_BYTES] {
    let hash: [u8; 32] = Sha256::new().chain_update(header).chain_update(body).finalize().into();
    *hash.first_chunk().expect("32 bytes begin with 16")
}
