//! Keys wrapped for certificates: RSA-OAEP with SHA-256. A recipient is named by the SHA-256 of its public key, so a
//! renewed certificate of the same key opens what the old one did.

#![forbid(unsafe_code)]

use std::fmt;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::{
    OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, OaepPublicEncryptingKey, PrivateDecryptingKey,
    PublicEncryptingKey,
};
use base64ct::{Base64, Encoding};
use sha2::{Digest, Sha256};
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::server::ParsedCertificate;
use zeroize::{Zeroize, Zeroizing};

use super::key::hex;
use super::locked::KEY_BYTES;
use super::{Material, pem};
use crate::error::{Error, Kind, Result};

/// Its word in the ring.
pub const ALGORITHM: &str = "rsa-oaep-sha256";

const BITS: std::ops::RangeInclusive<usize> = 2048..=4096;

/// The name of a public key: the SHA-256 of its `SubjectPublicKeyInfo` in DER.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Recipient(pub [u8; 32]);

impl Recipient {
    /// Its beginning, for a sentence.
    #[must_use]
    pub fn short(&self) -> String {
        format!("{}…", hex(&self.0[..4]))
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// A key, wrapped for one recipient.
pub struct Wrapped {
    /// For whom.
    pub to: Recipient,
    data: Vec<u8>,
}

impl Wrapped {
    pub(super) fn decode(to: Recipient, text: &str) -> Option<Wrapped> {
        let data = Base64::decode_vec(text).ok()?;
        (BITS.start() / 8..=BITS.end() / 8).contains(&data.len()).then_some(Wrapped { to, data })
    }

    /// What stands in the ring as `data`.
    #[must_use]
    pub fn data(&self) -> String {
        Base64::encode_string(&self.data)
    }
}

/// A public key to wrap for.
pub struct Wrapper {
    to: Recipient,
    key: OaepPublicEncryptingKey,
}

impl Wrapper {
    /// The public key in `text`, PEM: a certificate, or a public key by itself. `name` is what sentences call it.
    ///
    /// # Errors
    /// `InvalidConfig`: what it holds instead.
    pub fn from_pem(text: &str, name: &str) -> Result<Wrapper> {
        let refused = |complaint: &str| Error::new(Kind::InvalidConfig, format!("{name} {complaint}."));
        let block = pem::first_block(text).map_err(|complaint| refused(&complaint))?;
        let spki = match block.label.as_str() {
            "PUBLIC KEY" => block.der.to_vec(),
            "CERTIFICATE" => {
                let certificate = CertificateDer::from(&block.der[..]);
                let parsed = ParsedCertificate::try_from(&certificate);
                let parsed = parsed.map_err(|_| refused("holds a certificate that cannot be read"))?;
                parsed.subject_public_key_info().to_vec()
            }
            label => {
                let label = label.escape_debug();
                return Err(refused(&format!(
                    "holds \"{label}\"; give a certificate or a public key in PEM"
                )));
            }
        };
        let wanted = "holds no RSA key of 2048 to 4096 bits, and that is what wraps";
        let key = PublicEncryptingKey::from_der(&spki).map_err(|_| refused(wanted))?;
        check_size(key.key_size_bits()).map_err(|complaint| refused(&complaint))?;
        let to = recipient(&key).ok_or_else(|| refused(wanted))?;
        Ok(Wrapper { to, key: OaepPublicEncryptingKey::new(key).map_err(|_| refused(wanted))? })
    }

    /// Whom it wraps for.
    #[must_use]
    pub fn to(&self) -> Recipient {
        self.to
    }

    /// `key`, wrapped.
    ///
    /// # Errors
    /// `OutOfMemory`.
    pub fn wrap(&self, key: &Material) -> Result<Wrapped> {
        let mut data = vec![0; self.key.ciphertext_size()];
        let written = self.key.encrypt(&OAEP_SHA256_MGF1SHA256, &key.0[..], &mut data, None);
        let length = written.map_err(|_| Error::out_of_memory(self.key.ciphertext_size()))?.len();
        data.truncate(length);
        Ok(Wrapped { to: self.to, data })
    }
}

/// Private keys that open what is wrapped for them.
#[derive(Default)]
pub struct UnwrapKeys(Vec<(Recipient, OaepPrivateDecryptingKey)>);

impl UnwrapKeys {
    /// None at all.
    #[must_use]
    pub fn none() -> UnwrapKeys {
        UnwrapKeys::default()
    }

    /// Adds the private key in `text`, PEM: PKCS#8 or PKCS#1, without a passphrase. `name` is what sentences call it.
    ///
    /// # Errors
    /// `InvalidConfig`: what it holds instead.
    pub fn add_pem(&mut self, text: &str, name: &str) -> Result<()> {
        let refused = |complaint: &str| Error::new(Kind::InvalidConfig, format!("{name} {complaint}."));
        let block = pem::first_block(text).map_err(|complaint| refused(&complaint))?;
        let pkcs8 = match block.label.as_str() {
            "PRIVATE KEY" => block.der,
            "RSA PRIVATE KEY" => pem::pkcs8(&block.der),
            "ENCRYPTED PRIVATE KEY" => return Err(refused("has a key that is encrypted by a passphrase")),
            label => {
                let label = label.escape_debug();
                return Err(refused(&format!("begins with \"{label}\"; give the private key alone, in PEM")));
            }
        };
        let wanted = "holds no RSA key of 2048 to 4096 bits, and that is what wraps";
        let key = PrivateDecryptingKey::from_pkcs8(&pkcs8).map_err(|_| refused(wanted))?;
        check_size(key.key_size_bits()).map_err(|complaint| refused(&complaint))?;
        let to = recipient(&key.public_key()).ok_or_else(|| refused(wanted))?;
        self.0.push((to, OaepPrivateDecryptingKey::new(key).map_err(|_| refused(wanted))?));
        Ok(())
    }

    /// Whose they are.
    pub fn recipients(&self) -> impl Iterator<Item = Recipient> {
        self.0.iter().map(|(recipient, _)| *recipient)
    }

    /// The key in `wrapped`, where one of these is its recipient; an error where it is, and does not open it.
    pub(super) fn open(&self, wrapped: &Wrapped) -> Option<std::result::Result<Material, ()>> {
        let (_, key) = self.0.iter().find(|(recipient, _)| *recipient == wrapped.to)?;
        let mut buffer = Zeroizing::new(vec![0; key.min_output_size()]);
        let opened = key.decrypt(&OAEP_SHA256_MGF1SHA256, &wrapped.data, &mut buffer, None);
        let material = opened.ok().and_then(|bytes| {
            let material = <&[u8; KEY_BYTES]>::try_from(&*bytes).ok().map(Material::copy);
            bytes.zeroize();
            material
        });
        Some(material.ok_or(()))
    }
}

fn check_size(bits: usize) -> std::result::Result<(), String> {
    if BITS.contains(&bits) {
        return Ok(());
    }
    Err(format!("holds a key of {bits} bits; it must have {} to {}", BITS.start(), BITS.end()))
}

fn recipient(key: &PublicEncryptingKey) -> Option<Recipient> {
    Some(Recipient(Sha256::digest(key.as_der().ok()?.as_ref()).into()))
}
