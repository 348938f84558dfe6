//! The primitives, at one place: another provider would stand in here.

#![forbid(unsafe_code)]

use aes_gcm::aead::AeadInOut;
use aes_gcm::aead::inout::InOutBuf;
use aes_gcm::{Aes256Gcm, KeyInit};
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

    /// Seals `plaintext` into `sealed`, which is as long. The nonce is always zeros, because the key is used once.
    pub fn seal(&self, header: &[u8; HEADER_BYTES], plaintext: &[u8], sealed: &mut [u8]) -> [u8; TAG_BYTES] {
        let tag = self.encrypt(header, plaintext, sealed);
        wipe_stack();
        tag
    }

    /// Opens `sealed` into `plaintext`, which is as long, or answers `false` and leaves nothing in it.
    pub fn open(
        &self,
        header: &[u8; HEADER_BYTES],
        sealed: &[u8],
        tag: &[u8; TAG_BYTES],
        plaintext: &mut [u8],
    ) -> bool {
        let is_open = self.decrypt(header, sealed, tag, plaintext);
        wipe_stack();
        if !is_open {
            plaintext.zeroize();
        }
        is_open
    }

    #[inline(never)]
    fn encrypt(&self, header: &[u8; HEADER_BYTES], plaintext: &[u8], sealed: &mut [u8]) -> [u8; TAG_BYTES] {
        let buffer = InOutBuf::new(plaintext, sealed).expect("both are as long");
        let tag = self.aead().encrypt_inout_detached(&[0; 12].into(), header, buffer);
        tag.expect("an entry is shorter than 64 GiB").into()
    }

    #[inline(never)]
    fn decrypt(
        &self,
        header: &[u8; HEADER_BYTES],
        sealed: &[u8],
        tag: &[u8; TAG_BYTES],
        plaintext: &mut [u8],
    ) -> bool {
        let buffer = InOutBuf::new(sealed, plaintext).expect("both are as long");
        self.aead().decrypt_inout_detached(&[0; 12].into(), header, buffer, tag.into()).is_ok()
    }

    fn aead(&self) -> Aes256Gcm {
        let key: &[u8; KEY_BYTES] = self.0.first_chunk().expect("64 bytes begin with 32");
        Aes256Gcm::new(key.into())
    }
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
