//! The changes of others, as the server itself tells them, on the link that carries the data: what comes before an
//! answer is heard before it.

#![forbid(unsafe_code)]

use redis::{Cmd, ErrorKind, PushInfo, PushKind, RedisError, Value, cmd};

use crate::config::redis::Address;
use crate::defect;
use crate::l2::{Class, Failure, Witness};

use super::diagnosis;
use super::echoes::Echoes;

/// Whether a server tells its changes.
#[derive(Clone)]
pub(super) enum Feed {
    Told,
    /// It may, once its rights or what stands between are others.
    Refused(Failure),
    /// This link cannot carry them.
    Unknown(Failure),
}

impl Feed {
    /// Why changes are not told.
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Feed::Told => None,
            Feed::Refused(failure) | Feed::Unknown(failure) => Some(failure),
        }
    }
}

/// Whether `error` says that the other side does not know RESP3.
pub(super) fn is_old(error: &RedisError) -> bool {
    let detail = error.detail().unwrap_or_default().to_ascii_lowercase();
    let is_unknown = detail.contains("unknown command") && detail.contains("hello");
    error.kind() == ErrorKind::RESP3NotSupported || error.code() == Some("NOPROTO") || is_unknown
}

/// What it means that the other side does not know RESP3.
pub(super) fn old(address: &Address) -> Failure {
    let message = format!(
        "Redis at {address} refuses HELLO 3, with which CLIENT TRACKING begins; it takes Redis 6 or later, and no \
         proxy in between that does not know it."
    );
    Failure::new(Class::Protocol, message)
}

/// Asks for the changes of all keys that begin with `prefix`, but those that this link makes.
pub(super) fn tracking(prefix: &str) -> Cmd {
    let mut tracking = cmd("CLIENT");
    tracking.arg("TRACKING").arg("ON").arg("BCAST");
    if !prefix.is_empty() {
        tracking.arg("PREFIX").arg(prefix);
    }
    tracking.arg("NOLOOP");
    tracking
}

/// Why the server does not tell its changes, from its `answer` to [`tracking`].
pub(super) fn refused(address: &Address, answer: &Value) -> Option<Failure> {
    let Value::ServerError(error) = answer else { return None };
    let code = error.code();
    let class = diagnosis::of_server(address, error).class;
    let message = format!(
        "Redis at {address} refuses CLIENT TRACKING ({code}); it takes Redis 6 or later, no proxy in between, and \
         +client|tracking in the ACL of this user."
    );
    Some(Failure::new(class, message))
}

/// Tells `witness` what the server says unasked, but for what our own scripts made it say. Whether it was that anything
/// may have changed.
pub(super) fn tell(witness: &dyn Witness, echoes: &Echoes, push: &PushInfo) -> bool {
    defect::point("push");
    if push.kind != PushKind::Invalidate {
        return false;
    }
    let Some(Value::Array(keys)) = push.data.first() else {
        // FLUSHALL, or something that this version does not know.
        witness.all_changed();
        return true;
    };
    let mut is_all = false;
    for key in keys {
        match key {
            Value::BulkString(key) if echoes.take(key) => witness.may_have_changed(key),
            Value::BulkString(key) => witness.changed(key),
            _ => {
                witness.all_changed();
                is_all = true;
            }
        }
    }
    is_all
}
