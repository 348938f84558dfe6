//! Where a server is, who we are to it and whom we trust: looked up anew for every link, so that what was renewed takes
//! effect. The files may lie on something that hangs, and so may whoever knows the name of its host: that is done on a
//! helper, and no link but the one that needs it waits.

#![forbid(unsafe_code)]

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use redis::RedisConnectionInfo;
use tokio::sync::Mutex;
use tokio_rustls::TlsConnector;

use super::diagnosis::of_io;
use super::tls;
use crate::config::Redis;
use crate::config::redis::Link;
use crate::l2::{Class, Failure};

/// How long reading may take: nearly as long as all of an attempt, but what it waits for is to be told.
const READING: Duration = Duration::from_millis(1400);

/// Who reads. One at a time: a reader that hangs is not joined by another at each attempt.
pub(super) type Readers = Arc<Mutex<()>>;

/// What was read.
#[derive(Clone)]
pub(super) struct Credentials {
    /// Who we are, and nothing more: a server that turns us away answers one command, and the client hears it only where
    /// it expects one answer.
    pub who: RedisConnectionInfo,
    /// What makes a TLS link of a plain one, where one is wanted.
    pub tls: Option<TlsConnector>,
    /// Of its host, where it is not a socket in the file system.
    pub addresses: Vec<SocketAddr>,
}

impl Credentials {
    /// What `redis` names.
    pub async fn of(redis: &Arc<Redis>, readers: &Readers) -> Result<Credentials, Failure> {
        let Ok(turn) = Arc::clone(readers).try_lock_owned() else { return Err(late(redis)) };
        let named = Arc::clone(redis);
        let reading = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            Credentials::read(&named)
        });
        match tokio::time::timeout(READING, reading).await {
            Ok(Ok(read)) => read,
            Ok(Err(_)) => {
                Err(Failure::new(Class::Protocol, "Reading a file failed by a defect in Tokencache."))
            }
            Err(_) => Err(late(redis)),
        }
    }

    /// As whom we introduce ourselves.
    pub fn user(&self) -> &str {
        self.who.username().unwrap_or("default")
    }

    fn read(redis: &Redis) -> Result<Credentials, Failure> {
        let denied = |what: &str, why: String| {
            let address = &redis.address;
            Failure::new(Class::Denied, format!("The {what} for Redis at {address} cannot be had. {why}"))
        };
        let mut who = RedisConnectionInfo::default().set_skip_set_lib_name();
        if let Some(username) = &redis.username {
            who = who.set_username(username.read().map_err(|why| denied("user", why))?.as_str());
        }
        if let Some(password) = &redis.password {
            who = who.set_password(password.read().map_err(|why| denied("password", why))?.as_str());
        }
        let is_tls = matches!(redis.address.link, Link::Tcp { is_tls: true, .. });
        let tls = is_tls.then(|| tls::connector(redis)).transpose()?;
        let addresses = match &redis.address.link {
            Link::Tcp { host, port, .. } => {
                let found = (host.as_str(), *port).to_socket_addrs();
                found.map_err(|error| of_io(&redis.address, &error))?.collect()
            }
            Link::Unix(_) => Vec::new(),
        };
        Ok(Credentials { who, tls, addresses })
    }
}

fn late(redis: &Redis) -> Failure {
    let files = redis.files().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
    let is_name = matches!(&redis.address.link, Link::Tcp { host, .. } if host.parse::<IpAddr>().is_err());
    let what = match (files.is_empty(), is_name) {
        (true, _) => "the name of its host is not resolved yet; does DNS answer?".to_owned(),
        (false, false) => format!("its files are not read yet ({files}); does their file system answer?"),
        (false, true) => format!(
            "its files are not read yet ({files}), or the name of its host is not resolved; do their file system and DNS \
             answer?"
        ),
    };
    Failure::new(Class::Timeout, format!("No link to Redis at {}: {what}", redis.address))
}
