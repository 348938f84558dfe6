//! Where a Redis is, and how a process says who it is.

#![forbid(unsafe_code)]

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use percent_encoding::percent_decode_str;
use url::{Host, Url};
use zeroize::Zeroizing;

use super::reader::Settings;
pub use super::source::Source;
use super::source::source;

/// A Redis, and what it takes to be let in.
#[derive(Clone, Debug, PartialEq)]
pub struct Redis {
    /// Where it is.
    pub address: Address,
    /// The user, where it is not the default one.
    pub username: Option<Source>,
    /// The password.
    pub password: Option<Source>,
    /// The authorities that may vouch for the server, instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Our certificate and its key.
    pub client_certificate: Option<(PathBuf, PathBuf)>,
    /// Whether the link may leave this machine in plain text.
    pub allow_plaintext: bool,
}

/// The address of a Redis. Shown without the user part.
#[derive(Clone, PartialEq)]
pub struct Address {
    /// How it is reached.
    pub link: Link,
    /// The number of its database.
    pub database: i64,
    /// The user part of the URL.
    pub username: Option<String>,
    /// The password in the URL.
    pub password: Option<Zeroizing<String>>,
}

/// How a Redis is reached.
#[derive(Clone, Debug, PartialEq)]
pub enum Link {
    /// By TCP.
    Tcp {
        /// A name, or an address without brackets.
        host: String,
        /// The port.
        port: u16,
        /// Whether the link is encrypted.
        is_tls: bool,
    },
    /// By a socket in the file system.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.link {
            Link::Tcp { host, port, is_tls } => {
                let scheme = if *is_tls { "rediss" } else { "redis" };
                let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
                write!(formatter, "{scheme}://{host}:{port}/{}", self.database)
            }
            Link::Unix(path) => write!(formatter, "unix://{}/{}", path.display(), self.database),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl Address {
    /// The address that `text` names; or what is wrong, as the rest of a sentence that begins with the member. It
    /// never repeats the text, which may hold a password.
    ///
    /// # Errors
    /// The rest of that sentence.
    pub fn parse(text: &str) -> Result<Address, String> {
        const WANTED: &str = "redis://host:port/db, rediss://host:port/db or unix:///path/db";
        let url = Url::parse(text).map_err(|error| format!("is no URL ({error}); write {WANTED}."))?;
        if url.fragment().is_some() {
            return Err(format!("has a part after \"#\", which means nothing here; write {WANTED}."));
        }
        let (link, path) = match url.scheme() {
            scheme @ ("redis" | "rediss") => {
                let host = match url.host() {
                    Some(Host::Domain(name)) if !name.is_empty() => decode(name)?,
                    Some(Host::Ipv4(address)) => address.to_string(),
                    Some(Host::Ipv6(address)) => address.to_string(),
                    _ => return Err(format!("names no host; write {WANTED}.")),
                };
                // It is shown, and a connection string of another client has its password behind a comma.
                if host.contains(|c: char| !c.is_alphanumeric() && !".-_:".contains(c)) {
                    return Err(format!("names a host that cannot be one; write {WANTED}."));
                }
                let port = url.port().unwrap_or(6379);
                (Link::Tcp { host, port, is_tls: scheme == "rediss" }, url.path().trim_matches('/'))
            }
            "unix" => {
                if url.host_str().is_some_and(|host| !host.is_empty()) {
                    return Err("must have three slashes before its path: unix:///path/db.".into());
                }
                let path = url.path();
                let (socket, last) = path.rsplit_once('/').unwrap_or((path, ""));
                let is_number = !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit());
                let (socket, database) = if is_number { (socket, last) } else { (path, "") };
                if socket.trim_matches('/').is_empty() {
                    return Err(format!("names no socket; write {WANTED}."));
                }
                (Link::Unix(decode(socket)?.into()), database)
            }
            _ => return Err(format!("has a scheme that this version does not know; write {WANTED}.")),
        };
        let database = database(&url, path)?;
        let username = Some(decode(url.username())?).filter(|name| !name.is_empty());
        let password = url.password().map(decode).transpose()?.map(Zeroizing::new);
        Ok(Address { link, database, username, password })
    }

    /// Whether what is sent stays on this machine, or is encrypted.
    #[must_use]
    pub fn is_private(&self) -> bool {
        match &self.link {
            Link::Unix(_) | Link::Tcp { is_tls: true, .. } => true,
            Link::Tcp { host, .. } => {
                let is_loopback = host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
                is_loopback || host == "localhost" || host.ends_with(".localhost")
            }
        }
    }
}

fn decode(text: &str) -> Result<String, String> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(String::from).map_err(|_| "holds bytes that are not UTF-8 behind its % signs.".into())
}

/// The number behind the last slash, or of `?db=`.
fn database(url: &Url, path: &str) -> Result<i64, String> {
    let mut number = path.to_owned();
    for (name, value) in url.query_pairs() {
        if name != "db" || !path.is_empty() {
            return Err("may have ?db=N behind its path, once, and nothing else.".into());
        }
        number = value.into_owned();
    }
    if number.is_empty() {
        return Ok(0);
    }
    let parsed = number.parse().ok().filter(|number| (0..=i64::from(i32::MAX)).contains(number));
    parsed.ok_or_else(|| "must end with the number of a database, such as /0.".into())
}

impl Redis {
    /// The files that are read for every link.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let secrets = [&self.username, &self.password].into_iter().flatten().filter_map(Source::file);
        let ours = self.client_certificate.iter().flat_map(|(certificate, key)| [certificate, key]);
        secrets.chain(self.ca_file.iter().chain(ours).map(PathBuf::as_path))
    }

    pub(super) fn from_settings(settings: &Settings) -> Redis {
        let address = Address::parse(&settings.text("/l2/url")).expect("its shape was checked");
        let path = |pointer| settings.is_given(pointer).then(|| settings.file(pointer));
        let from_url = |secret: &Option<Zeroizing<String>>| secret.clone().map(Source::Inline);
        Redis {
            username: source(settings, ["/l2/username", "/l2/username_env", "/l2/username_file"])
                .or_else(|| address.username.clone().map(|name| Source::Inline(Zeroizing::new(name)))),
            password: source(settings, ["/l2/password", "/l2/password_env", "/l2/password_file"])
                .or_else(|| from_url(&address.password)),
            ca_file: path("/l2/ca_file"),
            client_certificate: path("/l2/client_cert_file").zip(path("/l2/client_key_file")),
            allow_plaintext: settings.boolean("/l2/allow_plaintext"),
            address,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(url: &str) -> String {
        Address::parse(url).map_or_else(|complaint| complaint, |address| address.to_string())
    }

    #[test]
    fn an_address_is_shown_without_its_user_part() {
        let cases = [
            ("redis://localhost", "redis://localhost:6379/0"),
            ("redis://me:secret@cache.internal:7000/3", "redis://cache.internal:7000/3"),
            ("rediss://:p%40ss@[::1]:6380/1", "rediss://[::1]:6380/1"),
            ("unix:///run/redis.sock", "unix:///run/redis.sock/0"),
            ("unix:///run/redis.sock/2", "unix:///run/redis.sock/2"),
            ("unix:///run/redis.sock?db=4", "unix:///run/redis.sock/4"),
            ("redis://127.0.0.1:1/?db=5", "redis://127.0.0.1:1/5"),
        ];
        for (url, expected) in cases {
            assert_eq!(shown(url), expected);
        }
        let address = Address::parse("rediss://me:p%40ss@host").expect("an address");
        assert_eq!(address.username.as_deref(), Some("me"));
        assert_eq!(address.password.as_ref().map(|secret| secret.as_str()), Some("p@ss"));
        assert!(!format!("{address:?}").contains("p@ss"));
    }

    #[test]
    fn what_is_no_address_is_refused_without_being_repeated() {
        let urls = [
            "secret",
            "http://secret",
            "redis://",
            "redis:///secret",
            "redis://h/secret",
            "redis://h/-1",
            "redis://h/0?secret=1",
            "redis://h/0?db=1",
            "redis://h#secret",
            "redis://h,password=secret",
            "rediss://h,user=me,password=secret:6380/0",
            "redis://h%20secret",
            "unix://secret/path",
            "unix:///",
            "unix:///3",
        ];
        for url in urls {
            let complaint = Address::parse(url).expect_err(url);
            assert!(!complaint.contains("secret") && complaint.ends_with('.'), "{url}: {complaint}");
        }
    }

    #[test]
    fn only_what_leaves_the_machine_in_plain_text_is_not_private() {
        for url in ["redis://127.0.0.1", "redis://[::1]", "redis://localhost", "unix:///a", "rediss://far"] {
            assert!(Address::parse(url).expect(url).is_private(), "{url}");
        }
        for url in ["redis://far", "redis://10.0.0.1", "redis://[2001:db8::1]", "redis://localhost.example"] {
            assert!(!Address::parse(url).expect(url).is_private(), "{url}");
        }
    }
}
