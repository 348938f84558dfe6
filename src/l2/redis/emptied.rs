//! Word of a FLUSHALL for those who did not hear it. It deletes every tombstone and every trace, and so what would tell a
//! process that comes back later that its writes were replaced there. Whoever hears it leaves this word.

#![forbid(unsafe_code)]

use redis::{Cmd, Value, cmd};

use crate::clock;
use crate::l2::OWN;
use crate::l2::replay::TRACED_MS;

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

/// When it was, by the `answer` to [`ask`] and the clock of whoever heard it. Where the word cannot be read, it may have
/// been just now.
pub(super) fn at_ms(answer: &Value) -> Option<i64> {
    let number = |text: &[u8]| std::str::from_utf8(text).ok()?.parse().ok();
    match answer {
        Value::Nil => None,
        Value::BulkString(text) => Some(number(text).unwrap_or_else(clock::unix_ms)),
        _ => Some(clock::unix_ms()),
    }
}
