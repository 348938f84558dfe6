//! Test keys wrapped for certificates of RSA keys, which openssl makes.

#![allow(dead_code, reason = "no test needs all of it")]

use std::fs;

use serde_json::{Value, json};
use tokencache::crypto::Material;
use tokencache::crypto::wrap::{ALGORITHM, Wrapper};

use crate::certificates::Certificates;
use crate::support::is_installed;

/// Certificates of RSA keys, or `None` and a word about it where there is no openssl.
pub fn certified(names: &[&str]) -> Option<Certificates> {
    if !is_installed("openssl") {
        println!("skipped: openssl is not installed");
        return None;
    }
    let certificates = Certificates::new();
    for name in names {
        certificates.rsa(name, 2048);
    }
    Some(certificates)
}

/// `material`, wrapped for the certificates `names`, as a ring has it.
pub fn wraps(certificates: &Certificates, material: &[u8; 32], names: &[&str]) -> Vec<Value> {
    let wrap = |name: &&str| {
        let pem = fs::read_to_string(certificates.certificate(name)).expect("a certificate");
        let wrapper = Wrapper::from_pem(&pem, name).expect("an RSA key");
        let data = wrapper.wrap(&Material::copy(material)).expect("memory").data();
        json!({ "to": wrapper.to().to_string(), "algorithm": ALGORITHM, "data": data })
    };
    names.iter().map(wrap).collect()
}
