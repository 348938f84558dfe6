//! The changes of others, as the server itself tells them, on the link that carries the data: what comes before an
//! answer is heard before it.

#![forbid(unsafe_code)]

use redis::{Cmd, PushInfo, PushKind, Value, cmd};

use crate::config::redis::Address;
use crate::l2::{Failure, Witness};

use super::diagnosis;

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

/// Tells `witness` what the server says unasked.
pub(super) fn tell(witness: &dyn Witness, push: &PushInfo) {
    if push.kind != PushKind::Invalidate {
        return;
    }
    match push.data.first() {
        Some(Value::Array(keys)) => {
            for key in keys {
                match key {
                    Value::BulkString(key) => witness.changed(key),
                    _ => witness.all_changed(),
                }
            }
        }
        // FLUSHALL, or something that this version does not know.
        _ => witness.all_changed(),
    }
}
