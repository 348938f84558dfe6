//! Who we are to a server and whom we trust, read anew for every link, so that what was renewed takes effect. The files
//! may lie on something that hangs: they are read on a helper, and no link but the one that needs them waits.

#![forbid(unsafe_code)]

use std::sync::Arc;
use std::time::Duration;

use redis::RedisConnectionInfo;
use tokio::sync::Mutex;
use tokio_rustls::TlsConnector;

use super::tls;
use crate::config::Redis;
use crate::config::redis::Link;
use crate::l2::{Class, Failure};

/// How long reading may take.
const READING: Duration = Duration::from_secs(1);

/// Who reads them. One at a time: a reader that hangs is not joined by another at each attempt.
pub(super) type Readers = Arc<Mutex<()>>;

/// What was read.
#[derive(Clone)]
pub(super) struct Credentials {
    /// Who we are, and nothing more: a server that turns us away answers one command, and the client hears it only where
    /// it expects one answer.
    pub who: RedisConnectionInfo,
    /// What makes a TLS link of a plain one, where one is wanted.
    pub tls: Option<TlsConnector>,
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
        let denied = |message| Failure::new(Class::Denied, message);
        let mut who = RedisConnectionInfo::default().set_skip_set_lib_name();
        if let Some(username) = &redis.username {
            who = who.set_username(username.read().map_err(denied)?.as_str());
        }
        if let Some(password) = &redis.password {
            who = who.set_password(password.read().map_err(denied)?.as_str());
        }
        let is_tls = matches!(redis.address.link, Link::Tcp { is_tls: true, .. });
        let tls = is_tls.then(|| tls::connector(redis)).transpose()?;
        Ok(Credentials { who, tls })
    }
}

fn late(redis: &Redis) -> Failure {
    let files = redis.files().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
    let message = format!(
        "The files for the link to Redis at {} are not read yet ({files}); does their file system answer?",
        redis.address
    );
    Failure::new(Class::Timeout, message)
}
