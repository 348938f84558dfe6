//! Word of a FLUSHALL for those who did not hear it. It deletes every tombstone and every trace, and so what would tell a
//! process that comes back later that its writes were replaced there. Whoever hears it leaves this word.

#![forbid(unsafe_code)]

use redis::{Cmd, Value, cmd};

use super::diagnosis;
use crate::clock;
use crate::config::redis::Address;
use crate::l2::replay::TRACED_MS;
use crate::l2::{Class, Failure, OWN};

fn name(prefix: &str) -> Vec<u8> {
    [prefix.as_bytes(), OWN, b"emptied"].concat()
}

/// Leaves word that it was now. That of the first who does stands: the next FLUSHALL deletes it.
pub(super) fn tell(prefix: &str) -> Cmd {
    let mut set = cmd("SET");
    set.arg(name(prefix)).arg(clock::unix_ms()).arg("NX").arg("PX").arg(TRACED_MS);
    set
}

/// Asks for the word.
pub(super) fn ask(prefix: &str) -> Cmd {
    let mut get = cmd("GET");
    get.arg(name(prefix));
    get
}

/// When it was, by the `answer` to [`ask`] and the clock of whoever heard it. Where the word may not be read, it may have
/// been just now; where it cannot be read yet, because the server loads its data, there is nothing to go by.
pub(super) fn at_ms(address: &Address, answer: &Value) -> Result<Option<i64>, Failure> {
    let number = |text: &[u8]| std::str::from_utf8(text).ok()?.parse().ok();
    match answer {
        Value::Nil => Ok(None),
        Value::BulkString(text) => Ok(Some(number(text).unwrap_or_else(clock::unix_ms))),
        Value::ServerError(refusal) => match diagnosis::of_server(address, refusal) {
            failure if failure.class == Class::Busy => Err(failure),
            _ => Ok(Some(clock::unix_ms())),
        },
        _ => Ok(Some(clock::unix_ms())),
    }
}
