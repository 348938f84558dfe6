//! One attempt at a link: socket, TLS, greeting.

#![forbid(unsafe_code)]

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use redis::aio::{AsyncPushSender, MultiplexedConnection, SendError};
use redis::{AsyncConnectionConfig, ProtocolVersion, PushInfo, RedisError, Value, cmd, pipe};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, BufReader};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::AbortHandle;
use tokio_rustls::rustls::pki_types::ServerName;

use super::credentials::{Credentials, Readers};
use super::diagnosis::{of_error, of_greeting, of_io, of_server};
use super::feed::Feed;
use super::heartbeat::Pulse;
use super::server::Server;
use super::socket::Socket;
use super::watched::{FirstError, Watched};
use super::{diagnosis, emptied, feed, layout, server};
use crate::clock;
use crate::config::Redis;
use crate::config::redis::Link;
use crate::defect;
use crate::l2::{Class, Failure};

/// After so long without an acknowledgement of what was sent, the kernel gives a link up.
const UNACKNOWLEDGED: Duration = Duration::from_secs(2);
/// How long one of the addresses of a host has before the next is tried too.
const HEAD_START: Duration = Duration::from_millis(250);
const KEEPALIVE: Duration = Duration::from_secs(10);
const READ_BYTES: usize = 64 * 1024;
/// Of the year 9999.
const LAST_SECOND: i64 = 253_402_300_799;
/// Requests that wait to be written: beyond it callers wait, each until its own deadline.
const WAITING_REQUESTS: usize = 4096;

/// A link that stands.
pub(super) struct Connected {
    pub connection: MultiplexedConnection,
    /// Reads and writes it; aborting it closes the socket.
    pub driver: AbortHandle,
    /// How far the server's clock is ahead of the monotonic clock of this process.
    pub clock_lead_ms: i64,
    /// When bytes came last.
    pub pulse: Pulse,
    /// Whether the server tells its changes.
    pub feed: Feed,
    /// Which primary it leads to.
    pub server: Server,
}

/// What a link is asked to be.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub redis: &'a Arc<Redis>,
    /// Where its files and its name are looked up.
    pub readers: &'a Readers,
    /// The changes of which keys are to be told.
    pub prefix: &'a str,
    /// Where the link led that was lost, if one was.
    pub lost: Option<&'a Server>,
}

/// Connects and greets. `pushes` hears what the server says unasked, and that the link is lost; where the other side
/// does not know the protocol of pushes, nobody hears.
pub(super) async fn connect(
    wanted: Wanted<'_>,
    pushes: impl AsyncPushSender + Clone,
) -> Result<Connected, Failure> {
    defect::point("connect");
    let credentials = Credentials::of(wanted.redis, wanted.readers).await?;
    if let Some(connected) = begin(wanted, &credentials, Some(pushes.clone())).await? {
        return Ok(connected);
    }
    let connected = begin(wanted, &credentials, None::<fn(PushInfo) -> Result<(), SendError>>).await?;
    connected.ok_or_else(|| feed::old(&wanted.redis.address))
}

/// One connection; none where the other side does not know the protocol that `pushes` takes.
async fn begin(
    wanted: Wanted<'_>,
    credentials: &Credentials,
    pushes: Option<impl AsyncPushSender>,
) -> Result<Option<Connected>, Failure> {
    let redis = wanted.redis;
    let address = &redis.address;
    let failed = |error: &io::Error| of_io(address, error);
    match &address.link {
        Link::Unix(path) => {
            let stream = UnixStream::connect(path).await.map_err(|error| failed(&error))?;
            greet(wanted, credentials, Socket::new(stream), pushes).await
        }
        Link::Tcp { host, .. } => {
            let stream = dial(&credentials.addresses).await.map_err(|error| failed(&error))?;
            harden(&stream).map_err(|error| failed(&error))?;
            let stream = Socket::new(stream);
            let Some(tls) = &credentials.tls else { return greet(wanted, credentials, stream, pushes).await };
            let name = ServerName::try_from(host.clone()).map_err(|_| {
                Failure::new(
                    Class::Denied,
                    format!("{address} has no host name that a certificate could vouch for."),
                )
            })?;
            let stream = tls.connect(name, stream).await;
            greet(wanted, credentials, stream.map_err(|error| failed(&error))?, pushes).await
        }
    }
}

/// To the first of `addresses` that takes it. Beside one that says nothing the next is tried, as RFC 8305 has it.
async fn dial(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let (mut left, mut dialling) = (addresses.iter(), FuturesUnordered::new());
    let mut failed = io::Error::from(ErrorKind::AddrNotAvailable);
    loop {
        dialling.extend(left.next().map(TcpStream::connect));
        let is_last = left.len() == 0;
        let dialled = match is_last {
            true => dialling.next().await,
            false => tokio::time::timeout(HEAD_START, dialling.next()).await.ok().flatten(),
        };
        match dialled {
            Some(Ok(stream)) => return Ok(stream),
            Some(Err(error)) => failed = error,
            None if is_last => return Err(failed),
            None => {}
        }
    }
}

fn harden(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    // What a link has not delivered when it is given up is not to arrive later: the kernel would go on trying.
    socket.set_linger(Some(Duration::ZERO))?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE))?;
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED))
}

async fn greet<S>(
    wanted: Wanted<'_>,
    credentials: &Credentials,
    stream: S,
    pushes: Option<impl AsyncPushSender>,
) -> Result<Option<Connected>, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (first, pulse) = (FirstError::default(), Pulse::default());
    let address = wanted.redis.address.clone();
    let stream = Watched { stream, address, first: first.clone(), pulse: pulse.clone() };
    // One system call reads what many requests were answered.
    let stream = BufReader::with_capacity(READ_BYTES, stream);
    let greeted = first.ends(introduce(wanted, credentials, stream, pulse.clone(), pushes)).await;
    greeted.map_err(|failure| {
        if pulse.has_beaten() { failure } else { diagnosis::unintelligible(&wanted.redis.address, failure) }
    })
}

async fn introduce<S>(
    Wanted { redis, prefix, lost, .. }: Wanted<'_>,
    credentials: &Credentials,
    stream: S,
    pulse: Pulse,
    pushes: Option<impl AsyncPushSender>,
) -> Result<Option<Connected>, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let failed = |error: RedisError| of_error(&redis.address, &error);
    let mut config =
        AsyncConnectionConfig::new().set_response_timeout(None).set_pipeline_buffer_size(WAITING_REQUESTS);
    let is_told = pushes.is_some();
    if let Some(pushes) = pushes {
        config = config.set_push_sender(pushes);
    }
    let protocol = if is_told { ProtocolVersion::RESP3 } else { ProtocolVersion::RESP2 };
    let who = credentials.who.clone().set_protocol(protocol);
    let (mut connection, driver) = match MultiplexedConnection::new_with_config(&who, stream, config).await {
        Err(error) if is_told && feed::is_old(&error) => return Ok(None),
        made => made.map_err(|error| of_greeting(&redis.address, credentials.user(), &error))?,
    };
    let driver = tokio::spawn(driver).abort_handle();
    let mut requests = pipe();
    requests.cmd("TIME");
    // Names us in CLIENT LIST; servers before 7.2 do not know it, and nothing depends on it.
    requests.cmd("CLIENT").arg("SETINFO").arg("LIB-NAME").arg("tokencache");
    requests.cmd("CLIENT").arg("SETINFO").arg("LIB-VER").arg(env!("CARGO_PKG_VERSION"));
    if redis.address.database != 0 {
        requests.cmd("SELECT").arg(redis.address.database);
    }
    server::ask(&mut requests);
    requests.add_command(if is_told { feed::tracking(prefix) } else { cmd("PING") });
    // After which it would be heard here.
    requests.add_command(emptied::ask(prefix));
    let answers = connection.send_packed_commands(&requests, 0, requests.len()).await.map_err(failed)?;
    let [time, _, _, others @ .., tracked, emptied] = &answers[..] else { return Err(layout::unexpected()) };
    let (selected, said) = others.split_at(others.len().saturating_sub(server::ASKED));
    if let [Value::ServerError(refusal)] = selected {
        return Err(of_server(&redis.address, refusal));
    }
    let server = server::meet(&redis.address, said)?.emptied_at(emptied::at_ms(&redis.address, emptied)?);
    if let Some(end) = lost.and_then(|lost| server.end(lost)) {
        // Not everybody has the right, and it may be gone; but nothing may be asked of this link before that is done.
        connection.send_packed_command(&end).await.or_else(|error| {
            error.clone().into_server_errors().map(|_| Value::Nil).ok_or_else(|| failed(error))
        })?;
    }
    let feed = match feed::refused(&redis.address, tracked) {
        None if is_told => Feed::Told,
        None => Feed::Unknown(feed::old(&redis.address)),
        Some(failure) => Feed::Refused(failure),
    };
    // A server whose time may not be asked for is taken to share ours.
    let clock_lead_ms = server_ms(time).unwrap_or_else(clock::unix_ms) - clock::monotonic_ms();
    Ok(Some(Connected { connection, driver, clock_lead_ms, pulse, feed, server }))
}

/// The Unix time in an answer to `TIME`.
fn server_ms(time: &Value) -> Option<i64> {
    let Value::Array(parts) = time else { return None };
    let number = |part: &Value| match part {
        Value::BulkString(text) => std::str::from_utf8(text).ok()?.parse::<i64>().ok(),
        _ => None,
    };
    let (seconds, micros) = (number(parts.first()?)?, number(parts.get(1)?)?);
    // What is sent may be anything; a time beyond the year 9999 is none.
    (0..=LAST_SECOND).contains(&seconds).then(|| seconds * 1000 + micros.clamp(0, 999_999) / 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_cannot_be_is_none() {
        let time = |seconds: &str| {
            let part = |text: &str| Value::BulkString(text.as_bytes().to_vec());
            server_ms(&Value::Array(vec![part(seconds), part("250999")]))
        };
        assert_eq!(time("1787306520"), Some(1_787_306_520_250));
        for impossible in ["9223372036854775807", "253402300800", "-1", "soon"] {
            assert_eq!(time(impossible), None);
        }
    }
}
