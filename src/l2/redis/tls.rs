//! What TLS trusts, and who we are to it. Read anew for every link, so that renewed files take effect.

#![forbid(unsafe_code)]

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use zeroize::Zeroizing;

use crate::config::Redis;
use crate::l2::{Class, Failure};
use crate::regular::Regular;

/// Longer than every root of every system.
const MAX_BYTES: usize = 16 << 20;

/// What makes a TLS link of a plain one. The name of the host is always checked.
pub(super) fn connector(redis: &Redis) -> Result<TlsConnector, Failure> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| denied(format!("TLS cannot be used here ({error}).")))?
        .with_root_certificates(roots(redis)?);
    let config = match &redis.client_certificate {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = certificates("l2.client_cert_file", certificate)?;
            let secret =
                PrivateKeyDer::from_pem_slice(&pem("l2.client_key_file", key)?).map_err(|error| {
                    denied(format!(
                        "{} (l2.client_key_file) holds no private key in PEM without a passphrase ({error}).",
                        key.display()
                    ))
                })?;
            builder.with_client_auth_cert(chain, secret).map_err(|error| {
                denied(format!(
                    "The key in {} does not belong to the certificate in {} ({error}).",
                    key.display(),
                    certificate.display()
                ))
            })?
        }
    };
    Ok(Arc::new(config).into())
}

fn roots(redis: &Redis) -> Result<RootCertStore, Failure> {
    let mut roots = RootCertStore::empty();
    match &redis.ca_file {
        Some(path) => {
            for certificate in certificates("l2.ca_file", path)? {
                roots.add(certificate).map_err(|error| {
                    denied(format!("{} (l2.ca_file) holds no usable authority ({error}).", path.display()))
                })?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if roots.is_empty() {
        return Err(denied("This system has no roots of trust for TLS; name a file by l2.ca_file.".into()));
    }
    Ok(roots)
}

fn certificates(member: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let read = CertificateDer::pem_slice_iter(&pem(member, path)?).collect::<Result<Vec<_>, _>>();
    let certificates = read.map_err(|error| malformed(member, path, &error))?;
    if certificates.is_empty() {
        return Err(denied(format!("{} ({member}) holds no certificate in PEM.", path.display())));
    }
    Ok(certificates)
}

fn pem(member: &str, path: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let bytes = Regular::open(path).and_then(|file| file.read(MAX_BYTES));
    bytes.map_err(|complaint| denied(format!("{} ({member}) {complaint}", path.display())))
}

fn malformed(member: &str, path: &Path, error: &dyn std::fmt::Display) -> Failure {
    denied(format!("{} ({member}) cannot be read as PEM ({error}).", path.display()))
}

fn denied(message: String) -> Failure {
    Failure::new(Class::Denied, message)
}
