//! An entry as `Microsoft.Extensions.Caching.StackExchangeRedis` keeps it: a hash of `absexp` and `sldexp` (.NET ticks,
//! -1 for none) and `data`. Our own field `ver` rides along: the hybrid clock of the write, the version of what was
//! written, a quick hash of it, and the writer, each as 16 digits of hex. A foreign write leaves `ver` as it was; then
//! the hash does not fit any more, and only then a reader has to make the digest itself.

#![forbid(unsafe_code)]

use redis::Value;
use sha1::{Digest, Sha1};
use xxhash_rust::xxh3::xxh3_64;

use crate::clock;
use crate::entry::{Lifetime, Secret};
use crate::l2::replay::TRACED_MS;
use crate::l2::{Class, Failure, Stored};

/// The fields, in the order in which they are read and written.
pub(super) const FIELDS: [&str; 4] = ["absexp", "sldexp", "data", "ver"];

const TICKS_PER_MS: i64 = 10_000;
/// 1970 in ticks since the year 1.
const UNIX_EPOCH: i64 = 621_355_968_000_000_000;
/// The last moment of 9999, beyond which .NET throws.
const LAST: i64 = 3_155_378_975_999_999_999;
/// A thousand years: what Redis takes as a lifetime with room to spare.
pub(super) const LONGEST_MS: i64 = 1000 * 365 * 86_400_000;

/// The version of an entry that holds `data`: the first 8 bytes of its SHA-1, never 0 or `u64::MAX`.
pub(super) fn version(data: &[u8]) -> u64 {
    let digest = Sha1::digest(data);
    let (first, _) = digest.split_at(8);
    u64::from_be_bytes(first.try_into().expect("eight bytes")).clamp(1, u64::MAX - 1)
}

/// `number` as scripts compare it.
pub(super) fn hex(number: u64) -> String {
    format!("{number:016x}")
}

/// What a write stores beside `data`.
pub(super) struct Written {
    pub absexp: i64,
    pub sldexp: i64,
    pub ver: String,
    pub version: u64,
    /// How long Redis keeps it when nothing renews it; `None` for ever.
    pub ttl_ms: Option<i64>,
}

impl Written {
    /// `data`, written by `writer` at hybrid time `clock`, that lives for `lifetime` from now.
    pub fn new(data: &[u8], clock: u64, writer: u64, lifetime: Lifetime) -> Written {
        let version = version(data);
        Written {
            absexp: match lifetime.expires_at_ms {
                0 => -1,
                at_ms => at_ms.saturating_mul(TICKS_PER_MS).saturating_add(UNIX_EPOCH).min(LAST),
            },
            sldexp: match lifetime.sliding_ms {
                0 => -1,
                window_ms => window_ms.saturating_mul(TICKS_PER_MS),
            },
            ver: [clock, version, xxh3_64(data), writer].map(hex).concat(),
            version,
            ttl_ms: ttl_ms(lifetime),
        }
    }

    /// For how long its trace stays, in milliseconds; nothing for none.
    pub fn trace_ms(&self) -> String {
        let leaves = self.ttl_ms.is_some_and(|ttl_ms| ttl_ms <= TRACED_MS);
        if leaves { TRACED_MS.to_string() } else { String::new() }
    }

    /// The hybrid clock of the write, as a trace holds it.
    pub fn clock(&self) -> &str {
        &self.ver[..16]
    }
}

/// How long Redis keeps an entry of `lifetime` from now when nothing renews it; `None` for ever.
pub(super) fn ttl_ms(lifetime: Lifetime) -> Option<i64> {
    let now_ms = clock::unix_ms();
    let ends_at_ms = lifetime.ends_at_ms(now_ms);
    (ends_at_ms != 0).then(|| ends_at_ms.saturating_sub(now_ms).clamp(1, LONGEST_MS))
}

/// What the server answered to `HMGET` of the fields and `PTTL`, as an entry; `None` when there is no live one.
/// `clock_lead_ms` is how far the server's clock is ahead of ours.
pub(super) fn read(fields: Value, pttl: &Value, clock_lead_ms: i64) -> Result<Option<Stored>, Failure> {
    let (Value::Array(fields), Value::Int(pttl_ms)) = (fields, pttl) else { return Err(unexpected()) };
    let Ok([absexp, sldexp, data, ver]) = <[Value; 4]>::try_from(fields) else { return Err(unexpected()) };
    let Value::BulkString(data) = data else { return Ok(None) };
    let bytes = Secret::from(data);
    let now_ms = clock::unix_ms();
    let absolute = absolute("absexp", &absexp)?;
    let window = window("sldexp", &sldexp)?;
    let is_over =
        matches!(absolute, Some(at_ms) if at_ms <= now_ms.saturating_add(clock_lead_ms)) || window == Some(0);
    if is_over || *pttl_ms == -2 {
        return Ok(None);
    }
    let lifetime = Lifetime { expires_at_ms: absolute.unwrap_or(0), sliding_ms: window.unwrap_or(0) };
    let ends_at_ms = ends_at_ms(lifetime, *pttl_ms, now_ms, clock_lead_ms);
    let (version, written_at_ms) = own(&ver, &bytes).unwrap_or_else(|| (version(&bytes), 0));
    Ok(Some(Stored { bytes, version, written_at_ms, lifetime, ends_at_ms }))
}

/// The lifetime that the fields `absexp` and `sldexp` say.
pub(super) fn lifetime(fields: &Value) -> Result<Lifetime, Failure> {
    let Value::Array(fields) = fields else { return Err(unexpected()) };
    let [absexp, sldexp] = &fields[..] else { return Err(unexpected()) };
    let (absolute, window) = (absolute("absexp", absexp)?, window("sldexp", sldexp)?);
    Ok(Lifetime { expires_at_ms: absolute.unwrap_or(0), sliding_ms: window.unwrap_or(0) })
}

/// When an entry of this `lifetime` ends that Redis keeps for another `pttl_ms`; below 0 without an end.
pub(super) fn ends_at_ms(lifetime: Lifetime, pttl_ms: i64, now_ms: i64, clock_lead_ms: i64) -> i64 {
    let at_ms = lifetime.expires_at_ms;
    let by_absolute = (at_ms != 0).then(|| at_ms.saturating_sub(clock_lead_ms));
    let by_ttl = (pttl_ms >= 0).then(|| now_ms.saturating_add(pttl_ms));
    match (by_absolute, by_ttl) {
        (None, None) => lifetime.ends_at_ms(now_ms),
        (one, other) => one.unwrap_or(i64::MAX).min(other.unwrap_or(i64::MAX)),
    }
}

/// The version of `data` and when it was written, where `ver` was written with it.
fn own(ver: &Value, data: &[u8]) -> Option<(u64, i64)> {
    let Value::BulkString(ver) = ver else { return None };
    let part = |at: usize| u64::from_str_radix(std::str::from_utf8(ver.get(at..at + 16)?).ok()?, 16).ok();
    let (clock, version, hash) = (part(0)?, part(16)?, part(32)?);
    (ver.len() == 64 && hash == xxh3_64(data)).then_some((version, (clock >> 16) as i64))
}

/// An end in Unix time, if there is one.
fn absolute(field: &'static str, value: &Value) -> Result<Option<i64>, Failure> {
    match ticks(field, value)? {
        -1 => Ok(None),
        ticks @ 0..=LAST => Ok(Some((ticks - UNIX_EPOCH).div_euclid(TICKS_PER_MS))),
        _ => Err(malformed(field)),
    }
}

/// A window in milliseconds, if there is one; 0 when it was over at birth.
fn window(field: &'static str, value: &Value) -> Result<Option<i64>, Failure> {
    match ticks(field, value)? {
        -1 => Ok(None),
        ticks if ticks <= 0 => Ok(Some(0)),
        ticks => Ok(Some((ticks / TICKS_PER_MS).max(1))),
    }
}

/// A number as .NET's reader takes it: whole, also when it is written as `1e3`. A missing field says none.
#[expect(clippy::cast_possible_truncation, reason = "it was checked to be whole and in range")]
fn ticks(field: &'static str, value: &Value) -> Result<i64, Failure> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let text = match value {
        Value::Nil => return Ok(-1),
        Value::BulkString(text) => std::str::from_utf8(text).map_err(|_| malformed(field))?,
        _ => return Err(unexpected()),
    };
    let float = || text.parse::<f64>().ok().filter(|number| number.fract() == 0.0 && number.abs() < EXACT);
    text.parse().ok().or_else(|| float().map(|number| number as i64)).ok_or_else(|| malformed(field))
}

pub(super) fn malformed(field: &'static str) -> Failure {
    let message = format!(
        "The entry's field {field} in Redis is no number of .NET ticks that can be read, and was not written by this \
         library; a set or a remove of the key mends it."
    );
    Failure::new(Class::Protocol, message)
}

pub(super) fn unexpected() -> Failure {
    Failure::new(
        Class::Protocol,
        "Redis gave an answer of another shape than its commands promise; is a proxy between?",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_those_of_the_stock_writer() {
        let lifetime = Lifetime { expires_at_ms: 4_070_908_800_000, sliding_ms: 1_200_000 };
        let written = Written::new(b"value", 7, 1, lifetime);
        assert_eq!((written.absexp, written.sldexp), (662_065_056_000_000_000, 12_000_000_000));
        assert!(written.ttl_ms.is_some_and(|ttl_ms| (1_199_000..=1_200_000).contains(&ttl_ms)));
        let never = Written::new(b"", 7, 1, Lifetime::default());
        assert_eq!((never.absexp, never.sldexp, never.ttl_ms), (-1, -1, None));
        let far = Written::new(b"", 7, 1, Lifetime { expires_at_ms: i64::MAX, sliding_ms: i64::MAX });
        assert_eq!((far.absexp, far.sldexp, far.ttl_ms), (LAST, i64::MAX, Some(LONGEST_MS)));
    }

    #[test]
    fn a_version_is_the_beginning_of_the_digest() {
        assert_eq!(version(b""), 0xda39_a3ee_5e6b_4b0d);
        let ver = Value::BulkString(Written::new(b"", 0x1234_0001, 1, Lifetime::default()).ver.into_bytes());
        assert_eq!(own(&ver, b""), Some((version(b""), 0x1234)));
        assert_eq!(own(&ver, b"other"), None);
    }
}
