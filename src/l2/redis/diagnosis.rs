//! Why Redis failed, from its own words. They are repeated where they help, and never where they could hold a key.

#![forbid(unsafe_code)]

use std::error::Error;
use std::io::{self, ErrorKind};

use redis::{RedisError, ServerError, Value};
use tokio_rustls::rustls::pki_types::UnixTime;
use tokio_rustls::rustls::{self, AlertDescription, CertificateError};

use crate::config::redis::{Address, Link};
use crate::l2::{Class, Failure};
use crate::timestamp;

/// What the first word of a refusal means.
const WORDS: [(&str, Class, &str); 19] = [
    ("READONLY", Class::Busy, "is a replica that takes no writes; point l2.url at the primary"),
    ("LOADING", Class::Busy, "is still loading its data"),
    ("MASTERDOWN", Class::Busy, "is a replica that has lost its primary"),
    ("BUSY", Class::Busy, "is kept busy by a script"),
    ("TRYAGAIN", Class::Busy, "is moving this key to another node"),
    ("CLUSTERDOWN", Class::Busy, "belongs to a cluster that is down"),
    ("NOREPLICAS", Class::Busy, "has fewer replicas than min-replicas-to-write asks for"),
    (
        "OOM",
        Class::Full,
        "has reached maxmemory and evicts nothing; raise it, or choose another maxmemory-policy",
    ),
    ("MISCONF", Class::Full, "cannot save its data to its disk, and takes no writes until it can"),
    ("WRONGPASS", Class::Denied, "knows no such user with this password"),
    (
        "NOAUTH",
        Class::Denied,
        "wants a password; give it by l2.password, l2.password_env or l2.password_file",
    ),
    ("DENIED", Class::Denied, "runs in protected mode and turns away other machines"),
    (
        "WRONGTYPE",
        Class::Protocol,
        "holds something else than an entry under this key; choose another l2.key_prefix",
    ),
    ("MOVED", Class::Protocol, CLUSTER),
    ("ASK", Class::Protocol, CLUSTER),
    ("CROSSSLOT", Class::Protocol, CLUSTER),
    ("NOPROTO", Class::Protocol, OLD),
    ("NOSCRIPT", Class::Busy, "forgot a script while it was called"),
    ("EXECABORT", Class::Protocol, "refused a transaction"),
];

const CLUSTER: &str =
    "is a node of a cluster, which this version does not speak with; point l2.url at a single server";
const LISTED: &str = "do that; the README lists what its ACL must allow";
const OLD: &str = "does not speak RESP3; this version needs Redis 6 or later";

/// What a refusal of the server means.
pub(super) fn of_server(address: &Address, error: &ServerError) -> Failure {
    of_words(address, error.code(), error.details().unwrap_or_default())
}

fn of_words(address: &Address, code: &str, details: &str) -> Failure {
    if let Some((_, cause)) = details.split_once("discarded because of: ") {
        let (code, details) = cause.split_once(' ').unwrap_or((cause, ""));
        return of_words(address, code, details);
    }
    // A script repeats what it was refused in words of its own.
    if code == "NOPERM"
        || details.contains("user executing the script")
        || details.contains("has no permissions")
    {
        return Failure::new(
            Class::Denied,
            format!("Redis at {address} does not let this user {} (NOPERM).", forbidden(details)),
        );
    }
    if let Some((_, class, meaning)) = WORDS.iter().find(|(word, ..)| *word == code) {
        return Failure::new(*class, format!("Redis at {address} {meaning} ({code})."));
    }
    if let Some(cause) = of_script(details) {
        return of_words(address, cause, "");
    }
    if details.contains("max number of clients") {
        let message = format!("Redis at {address} has as many clients as its maxclients allows.");
        return Failure::new(Class::Busy, message);
    }
    if details.contains("DB index") {
        let message = format!("Redis at {address} has no database of this number; change the end of l2.url.");
        return Failure::new(Class::Protocol, message);
    }
    if details.starts_with("unknown command") || details.starts_with("Unknown subcommand") {
        // What follows are the arguments, and with them the key.
        let command: String = details.chars().take_while(|c| *c != ',').take(60).collect();
        let message = format!("Redis at {address} does not know what it was asked ({command}).");
        return Failure::new(Class::Protocol, message);
    }
    let message = format!("Redis at {address} refused with {code}, which this version does not understand.");
    Failure::new(Class::Protocol, message)
}

/// The first word of what a script was refused, which it repeats in a sentence before Redis 7.
fn of_script(details: &str) -> Option<&'static str> {
    let repeated = details.strip_prefix("Error running script")?;
    let mut words = repeated.split_whitespace().map(|word| word.trim_start_matches('-'));
    words.find_map(|said| WORDS.iter().map(|(word, ..)| *word).find(|word| *word == said))
}

/// What the ACL of our user forbids. Redis names the command, and of a key only says that it was one.
fn forbidden(details: &str) -> String {
    let command = details.split_once("run the '").and_then(|(_, rest)| rest.split_once('\''));
    if let Some((command, _)) = command {
        let command: String = command.chars().take(60).collect();
        return format!("run {command}; the README lists what its ACL must allow");
    }
    let is_key = details.contains("access");
    if is_key { "at this key; its ACL must name l2.key_prefix, as ~orders:* does" } else { LISTED }.into()
}

/// The cause among `answers`: the first refusal, unless it only says that another one came before.
pub(super) fn refusal(answers: &[Value]) -> Option<&ServerError> {
    let mut found: Option<&ServerError> = None;
    for answer in answers {
        let error = match answer {
            Value::ServerError(error) => Some(error),
            Value::Array(inner) => refusal(inner),
            _ => None,
        };
        match (found, error) {
            (None, Some(error)) => found = Some(error),
            (Some(known), Some(error)) if known.code() == "EXECABORT" => found = Some(error),
            _ => {}
        }
    }
    found
}

/// What an error of the greeting means, in which we said to be `user`.
pub(super) fn of_greeting(address: &Address, user: &str, error: &RedisError) -> Failure {
    let is_turned_away = error.kind() == redis::ErrorKind::AuthenticationFailed;
    if is_turned_away || error.code() == Some("WRONGPASS") {
        let message = format!(
            "Redis at {address} does not let the user \"{user}\" in: it knows no such user with this password, or has \
             disabled it."
        );
        return Failure::new(Class::Denied, message);
    }
    let failure = of_error(address, error);
    if error.kind() == redis::ErrorKind::Parse { unintelligible(address, failure) } else { failure }
}

/// `failure` of a greeting to which nothing was answered that Redis would say. To a port that wants TLS ours is nonsense:
/// it sends an alert, or closes the link without a word.
pub(super) fn unintelligible(address: &Address, failure: Failure) -> Failure {
    if !matches!(address.link, Link::Tcp { is_tls: false, .. }) {
        return failure;
    }
    let message = format!("{failure} If this port speaks TLS, l2.url has to begin with rediss://.");
    Failure::new(failure.class, message)
}

/// What an error of the client means.
pub(super) fn of_error(address: &Address, error: &RedisError) -> Failure {
    if let Some(refusals) = error.clone().into_server_errors()
        && let Some((_, refusal)) = refusals.first()
    {
        return of_server(address, refusal);
    }
    match error.kind() {
        redis::ErrorKind::Server(_) => {
            return of_words(address, error.code().unwrap_or("ERR"), error.detail().unwrap_or_default());
        }
        redis::ErrorKind::RESP3NotSupported => {
            return Failure::new(Class::Protocol, format!("Redis at {address} {OLD}."));
        }
        redis::ErrorKind::Parse | redis::ErrorKind::UnexpectedReturnType => {
            let message = format!("What answers at {address} does not speak the protocol of Redis.");
            return Failure::new(Class::Protocol, message);
        }
        _ => {}
    }
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return of_io(address, error);
        }
        cause = error.source();
    }
    lost(address)
}

/// Nothing came of a link. A plain port takes the greeting of TLS for a command without an end, and waits.
pub(super) fn late(address: &Address) -> Failure {
    let message = match address.link {
        Link::Tcp { is_tls: true, .. } => {
            format!("No TLS link to Redis at {address} was made in time; does this port speak TLS?")
        }
        _ => format!("No link to Redis at {address} was made in time."),
    };
    Failure::new(Class::Timeout, message)
}

/// The link was closed by the other side.
pub(super) fn lost(address: &Address) -> Failure {
    Failure::new(Class::Unreachable, format!("The link to Redis at {address} was closed by the other side."))
}

/// What an error of the operating system, or of TLS, means.
pub(super) fn of_io(address: &Address, error: &io::Error) -> Failure {
    if let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return of_tls(address, tls);
    }
    match error.kind() {
        ErrorKind::TimedOut => {
            let message = format!("Redis at {address} has not answered for too long ({error}).");
            Failure::new(Class::Timeout, message)
        }
        ErrorKind::PermissionDenied => {
            let message = format!("This process may not connect to Redis at {address} ({error}).");
            Failure::new(Class::Denied, message)
        }
        ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => {
            let message = format!("The link to Redis at {address} was cut ({error}).");
            Failure::new(Class::Unreachable, message)
        }
        _ => Failure::new(Class::Unreachable, format!("Redis at {address} cannot be reached ({error}).")),
    }
}

/// What went wrong with the certificates, by cause: each has another remedy.
fn of_tls(address: &Address, error: &rustls::Error) -> Failure {
    use rustls::Error as Tls;
    let cause = match error {
        Tls::InvalidCertificate(error) => of_certificate(error),
        Tls::AlertReceived(AlertDescription::ProtocolVersion) | Tls::PeerIncompatible(_) => {
            "the server offers no version of TLS that is safe; it must speak TLS 1.2 or 1.3".to_owned()
        }
        Tls::AlertReceived(AlertDescription::CertificateRequired | AlertDescription::HandshakeFailure) => {
            "the server wants a certificate of ours; name one by l2.client_cert_file and l2.client_key_file"
                .to_owned()
        }
        Tls::AlertReceived(alert) => {
            format!("the server turned our certificate or our offer down ({alert:?})")
        }
        Tls::InvalidMessage(_) => "what answers there does not speak TLS; is it a plain port?".to_owned(),
        other => format!("the handshake failed ({other})"),
    };
    let end = if cause.ends_with('?') { "" } else { "." };
    Failure::new(Class::Denied, format!("No TLS link to Redis at {address}: {cause}{end}"))
}

/// A name in a certificate, which comes as `DnsName("host")`.
fn bare(name: &str) -> &str {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    inner.unwrap_or(name).trim_matches('"')
}

fn time(time: UnixTime) -> String {
    timestamp::second(i64::try_from(time.as_secs()).unwrap_or(i64::MAX).saturating_mul(1000))
}

fn of_certificate(error: &CertificateError) -> String {
    use CertificateError as Bad;
    match error {
        Bad::UnknownIssuer => {
            "its certificate was issued by an authority that we do not trust; name its CA by l2.ca_file"
                .into()
        }
        Bad::NotValidForNameContext { presented, .. } => format!(
            "its certificate was issued for {}, and not for the host name in l2.url",
            presented.iter().map(|name| bare(name)).collect::<Vec<_>>().join(", ")
        ),
        Bad::ExpiredContext { not_after, .. } => format!("its certificate expired at {}", time(*not_after)),
        Bad::NotValidYetContext { not_before, .. } => {
            format!(
                "its certificate is not valid before {}; is the clock of this machine right?",
                time(*not_before)
            )
        }
        Bad::Revoked => "its certificate was revoked".into(),
        other => format!("its certificate cannot be accepted ({other:?})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_script_was_refused_means_the_same_before_redis_7() {
        let link = Link::Unix("/run/redis".into());
        let address = Address { link, database: 0, username: None, password: None };
        let repeated = [
            (
                "@user_script:9: @user_script: 9: -OOM command not allowed when used memory > 'maxmemory'.",
                "OOM",
            ),
            ("@user_script:9: @user_script: 9: -NOREPLICAS Not enough good replicas to write.", "NOREPLICAS"),
            (
                "@user_script:9: @user_script: 9: -READONLY You can't write against a read only replica.",
                "READONLY",
            ),
            (
                "@user_script:2: WRONGTYPE Operation against a key holding the wrong kind of value",
                "WRONGTYPE",
            ),
        ];
        for (said, word) in repeated {
            let details = format!("Error running script (call to f_cf03614837032dfa742532): {said}");
            assert_eq!(of_words(&address, "ERR", &details), of_words(&address, word, ""), "{word}");
        }
    }
}
