//! Owed writes, as a Redis takes them: compared and done in one step, by the server itself. They are rare, so the
//! script and the value travel with each.

#![forbid(unsafe_code)]

use redis::{Value, cmd};
use sha1::{Digest, Sha1};

use super::layout::{Written as Fields, hex, unexpected};
use super::{RedisStore, TOMBSTONE_MS, names, reading, single};
use crate::clock;
use crate::l2::replay::{Present, Seen, Target, Write};
use crate::l2::{Attempt, Failure, Store};

/// KEYS: the entry, its tombstone. ARGV: what must lie there, as [`mark`] says it; the lifetime in milliseconds, nothing
/// for ever, or `gone` for a removal, then: the new tombstone and how long it stays, or absexp, sldexp, data, ver.
const REPLAY: &str = r"
local entry = redis.call('HMGET', KEYS[1], 'data', 'ver')
local digest = entry[1] and redis.sha1hex(entry[1]) or ''
local seen = digest .. '|' .. (entry[2] or '') .. '|' .. (redis.call('GET', KEYS[2]) or '')
if seen ~= ARGV[1] then return 0 end
if ARGV[2] == 'gone' then
  redis.call('UNLINK', KEYS[1])
  redis.call('SET', KEYS[2], ARGV[3], 'PX', ARGV[4])
  return 1
end
redis.call('HSET', KEYS[1], 'absexp', ARGV[3], 'sldexp', ARGV[4], 'data', ARGV[5], 'ver', ARGV[6])
if ARGV[2] == '' then redis.call('PERSIST', KEYS[1]) else redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 1
";

/// What the server holds of a key, whether it is alive or not.
fn mark(data: Option<&[u8]>, ver: &[u8], tombstone: &[u8]) -> Vec<u8> {
    let digest: String = data.map_or_else(String::new, |data| {
        Sha1::digest(data).iter().map(|byte| format!("{byte:02x}")).collect()
    });
    [digest.as_bytes(), b"|", ver, b"|", tombstone].concat()
}

fn text(value: &Value) -> &[u8] {
    if let Value::BulkString(text) = value { text } else { b"" }
}

/// The hybrid clock that a `ver` or a tombstone begins with.
fn clock(text: &[u8]) -> Option<u64> {
    u64::from_str_radix(std::str::from_utf8(text.get(..16)?).ok()?, 16).ok()
}

impl Target for RedisStore {
    fn look(&self, key: &[u8], attempt: Attempt<'_>) -> Result<Seen, Failure> {
        let up = self.link.up(attempt)?;
        let mut requests = reading(key);
        requests.cmd("GET").arg(names::tombstone(key, self.prefix_len));
        let mut answers = self.link.ask(&up, &requests, attempt)?;
        self.link.check(&up, &answers)?;
        let gone = answers.pop().ok_or_else(unexpected)?;
        let Some(Value::Array(fields)) = answers.first() else { return Err(unexpected()) };
        let [_, _, data, ver] = &fields[..] else { return Err(unexpected()) };
        let found = if let Value::BulkString(data) = data { Some(&data[..]) } else { None };
        let mark = mark(found, text(ver), text(&gone));
        let written = clock(text(ver));
        let present = match Self::entry(&self.link, &up, answers)? {
            Some(stored) => match written {
                // Only of what was written together with its `ver` is it known when it was.
                Some(clock) if stored.written_at_ms != 0 => Present::Ours { clock, version: stored.version },
                _ => Present::Foreign { version: stored.version },
            },
            None => clock(text(&gone)).map_or(Present::Nothing, |clock| Present::Tombstone { clock }),
        };
        Ok(Seen { present, mark })
    }

    fn replay(
        &self,
        key: &[u8],
        write: &Write<'_>,
        seen: &Seen,
        attempt: Attempt<'_>,
    ) -> Result<bool, Failure> {
        let mut request = cmd("EVAL");
        request.arg(REPLAY).arg(2).arg(key).arg(names::tombstone(key, self.prefix_len)).arg(&seen.mark);
        match write.value {
            Some((data, lifetime)) => {
                let fields = Fields::new(data, write.clock, self.writer, lifetime);
                let ttl_ms = fields.ttl_ms.map_or_else(String::new, |ttl_ms| ttl_ms.to_string());
                request.arg(ttl_ms).arg(fields.absexp).arg(fields.sldexp).arg(data).arg(fields.ver);
            }
            None => {
                let tombstone = [write.clock, self.writer].map(hex).concat();
                request.arg("gone").arg(tombstone).arg(TOMBSTONE_MS);
            }
        }
        let up = self.link.up(attempt)?;
        let answers = self.link.ask(&up, &single(request), attempt)?;
        self.link.check(&up, &answers)?;
        match answers[..] {
            [Value::Int(done)] => Ok(done == 1),
            _ => Err(unexpected()),
        }
    }

    fn now_ms(&self) -> i64 {
        clock::unix_ms().saturating_add(self.clock_lead_ms().unwrap_or(0))
    }
}
