//! Certificates made by `openssl` when a test runs: none is kept, and none can expire in the repository.

#![allow(dead_code)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A folder of certificates and keys, as PEM.
pub struct Certificates {
    folder: TempDir,
}

/// For whom a certificate is.
pub enum For<'a> {
    /// A server with these names, as `subjectAltName` writes them.
    Server(&'a str),
    /// A client.
    Client,
}

impl Certificates {
    pub fn new() -> Certificates {
        Certificates { folder: tempfile::tempdir().expect("a temporary folder") }
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn certificate(&self, name: &str) -> PathBuf {
        self.folder().join(format!("{name}.pem"))
    }

    pub fn key(&self, name: &str) -> PathBuf {
        self.folder().join(format!("{name}.key"))
    }

    /// An authority that nobody else knows.
    pub fn authority(&self, name: &str) {
        let subject = format!("/CN={name}");
        let mut command =
            self.openssl("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30");
        command.args(["-subj", &subject, "-addext", "keyUsage=critical,keyCertSign,cRLSign", "-keyout"]);
        run(command.arg(self.key(name)).arg("-out").arg(self.certificate(name)));
    }

    /// A certificate of nobody's authority for an RSA key of `bits`, as one that wraps keys may be.
    pub fn rsa(&self, name: &str, bits: u32) {
        let mut command = self.openssl("req -x509 -nodes -days 30 -newkey");
        command.args([&format!("rsa:{bits}"), "-subj", &format!("/CN={name}"), "-keyout"]);
        run(command.arg(self.key(name)).arg("-out").arg(self.certificate(name)));
    }

    /// Another certificate for the key of `name`.
    pub fn renew(&self, name: &str, renewed: &str) {
        let mut command = self.openssl("req -x509 -days 60 -subj");
        command.arg(format!("/CN={renewed}")).arg("-key").arg(self.key(name));
        run(command.arg("-out").arg(self.certificate(renewed)));
    }

    /// A certificate of `authority` that is good today.
    pub fn issue(&self, authority: &str, name: &str, whom: For<'_>) {
        self.issue_between(authority, name, whom, None);
    }

    /// A certificate of `authority` that was good from 2020 to 2021.
    pub fn issue_expired(&self, authority: &str, name: &str, whom: For<'_>) {
        self.issue_between(authority, name, whom, Some(("20200101000000Z", "20210101000000Z")));
    }

    fn issue_between(&self, authority: &str, name: &str, whom: For<'_>, dates: Option<(&str, &str)>) {
        let at = |end: &str| self.folder().join(format!("{name}.{end}"));
        let extensions = match whom {
            For::Server(names) => format!("subjectAltName={names}\nextendedKeyUsage=serverAuth\n"),
            For::Client => "extendedKeyUsage=clientAuth\n".to_owned(),
        };
        // Only `openssl ca` can date a certificate back.
        let settings = "[ca]\ndefault_ca=own\n[own]\ndatabase=index\nserial=serial\nnew_certs_dir=.\npolicy=any\n\
                        default_md=sha256\ndefault_days=30\nunique_subject=no\n[any]\ncommonName=supplied\n";
        let write = |path: &Path, text: &str| fs::write(path, text).expect("written");
        write(&at("extensions"), &extensions);
        write(&self.folder().join("ca.conf"), settings);
        write(&self.folder().join("index"), "");
        write(&self.folder().join("serial"), &format!("{:016X}\n", fastrand::u64(1 << 60..1 << 62)));

        let mut request = self.openssl("req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes");
        request.args(["-subj", &format!("/CN={name}"), "-keyout"]).arg(self.key(name));
        run(request.arg("-out").arg(at("request")));
        let mut command = self.openssl("ca -batch -notext -config ca.conf");
        command.arg("-in").arg(at("request")).arg("-extfile").arg(at("extensions"));
        command.arg("-cert").arg(self.certificate(authority)).arg("-keyfile").arg(self.key(authority));
        if let Some((from, to)) = dates {
            command.args(["-startdate", from, "-enddate", to]);
        }
        run(command.arg("-out").arg(self.certificate(name)));
    }

    fn openssl(&self, line: &str) -> Command {
        let mut command = Command::new("openssl");
        command.args(line.split_whitespace()).current_dir(self.folder());
        command
    }
}

fn run(command: &mut Command) {
    let output = command.output().expect("openssl");
    assert!(output.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&output.stderr));
}
