//! Owed writes, as a Redis takes them: compared and done in one step, by the server itself. They are rare, so the
//! script and the value travel with each.

#![forbid(unsafe_code)]

use redis::{Cmd, Pipeline, Value, cmd, pipe};
use sha1::{Digest, Sha1};

use super::layout::{FIELDS, Written as Fields, hex, unexpected};
use super::up::Up;
use super::{RedisStore, TOMBSTONE_MS, names, server};
use crate::clock;
use crate::l2::replay::{Answers, Present, Seen, Target, Write};
use crate::l2::{Attempt, Failure, LinkId, Store};

/// KEYS: the entry, its tombstone, its trace. ARGV: what must lie there, as [`mark`] says it; the lifetime in milliseconds,
/// nothing for ever, or `gone` for a removal, then: the new tombstone and how long it stays, or absexp, sldexp, data, ver,
/// the new trace and how long it stays, nothing for none.
const REPLAY: &str = r"
local entry = redis.call('HMGET', KEYS[1], 'data', 'ver')
local digest = entry[1] and redis.sha1hex(entry[1]) or ''
local seen = digest .. '|' .. (entry[2] or '')
seen = seen .. '|' .. (redis.call('GET', KEYS[2]) or '') .. '|' .. (redis.call('GET', KEYS[3]) or '')
if seen ~= ARGV[1] then return 0 end
if ARGV[2] == 'gone' then
  redis.call('UNLINK', KEYS[1])
  redis.call('SET', KEYS[2], ARGV[3], 'PX', ARGV[4])
  return 1
end
redis.call('HSET', KEYS[1], 'absexp', ARGV[3], 'sldexp', ARGV[4], 'data', ARGV[5], 'ver', ARGV[6])
if ARGV[2] == '' then redis.call('PERSIST', KEYS[1]) else redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
if ARGV[8] ~= '' then redis.call('SET', KEYS[3], ARGV[7], 'PX', ARGV[8]) end
return 1
";

/// What the server holds of a key, whether it is alive or not.
fn mark(data: Option<&[u8]>, ver: &[u8], tombstone: &[u8], trace: &[u8]) -> Vec<u8> {
    let digest: String = data.map_or_else(String::new, |data| {
        Sha1::digest(data).iter().map(|byte| format!("{byte:02x}")).collect()
    });
    [digest.as_bytes(), b"|", ver, b"|", tombstone, b"|", trace].concat()
}

fn text(value: &Value) -> &[u8] {
    if let Value::BulkString(text) = value { text } else { b"" }
}

/// The hybrid clock that a `ver`, a tombstone or a trace begins with.
fn clock(text: &[u8]) -> Option<u64> {
    u64::from_str_radix(std::str::from_utf8(text.get(..16)?).ok()?, 16).ok()
}

/// Requests for one key, and how many answers they get.
const LOOKED_AT: usize = 4;

impl Target for RedisStore {
    fn look(&self, keys: &[&[u8]], attempt: Attempt<'_>) -> Answers<Seen> {
        let up = self.link.up(attempt)?;
        let mut requests = Pipeline::with_capacity(LOOKED_AT * keys.len());
        for key in keys {
            requests.cmd("HMGET").arg(*key).arg(&FIELDS).cmd("PTTL").arg(*key);
            requests.cmd("GET").arg(names::tombstone(key, self.prefix_len));
            requests.cmd("GET").arg(names::trace(key, self.prefix_len));
        }
        let answers = self.link.ask(&up, &requests, attempt)?;
        Ok(answers.chunks(LOOKED_AT).map(|answers| self.seen(&up, answers)).collect())
    }

    fn replay(&self, writes: &[Write<'_>], attempt: Attempt<'_>) -> Answers<bool> {
        let up = self.link.up(attempt)?;
        let mut requests = Pipeline::with_capacity(writes.len());
        for write in writes {
            self.link.echoes().expect(write.key);
            requests.add_command(self.request(write));
        }
        let asked = self.link.ask(&up, &requests, attempt);
        let has_written = |at: usize| asked.as_ref().is_ok_and(|all| all.get(at) == Some(&Value::Int(1)));
        for (_, write) in writes.iter().enumerate().filter(|(at, _)| !has_written(*at)) {
            self.link.echoes().take(write.key);
        }
        let answers = asked?;
        let done = |answer| match self.link.check(&up, std::slice::from_ref(answer)) {
            Ok(()) => {
                if let Value::Int(done) = answer {
                    Ok(*done == 1)
                } else {
                    Err(unexpected())
                }
            }
            Err(failure) => Err(failure),
        };
        Ok(answers.iter().map(done).collect())
    }

    fn end_links(&self, links: &[LinkId], attempt: Attempt<'_>) -> Result<(), Failure> {
        let up = self.link.up(attempt)?;
        let Some(own) = self.link.newest() else { return Ok(()) };
        let mut requests = pipe();
        for link in links.iter().filter(|link| link.run == own.run) {
            // An answer over our own says that all is done that was sent over it before.
            requests.add_command(if link.client == own.client { cmd("PING") } else { server::end(*link) });
        }
        if requests.is_empty() {
            return Ok(());
        }
        // Most are gone; and where the user may not, nothing is left to be done.
        self.link.ask(&up, &requests, attempt).map(drop)
    }

    fn now_ms(&self) -> i64 {
        clock::unix_ms().saturating_add(self.clock_lead_ms().unwrap_or(0))
    }
}

impl RedisStore {
    fn seen(&self, up: &Up, answers: &[Value]) -> Result<Seen, Failure> {
        self.link.check(up, answers)?;
        let [entry @ Value::Array(fields), pttl, gone, trace] = answers else { return Err(unexpected()) };
        let [_, _, data, ver] = &fields[..] else { return Err(unexpected()) };
        let found = if let Value::BulkString(data) = data { Some(&data[..]) } else { None };
        let mark = mark(found, text(ver), text(gone), text(trace));
        let present = match self.link.entry(up, [entry.clone(), pttl.clone()], up.clock_lead_ms())? {
            Some(stored) => match clock(text(ver)) {
                // Only of what was written together with its `ver` is it known when it was.
                Some(clock) if stored.written_at_ms != 0 => Present::Ours { clock, version: stored.version },
                _ => Present::Foreign { version: stored.version },
            },
            None => match (clock(text(gone)), clock(text(trace))) {
                (None, None) => Present::Nothing,
                (Some(clock), trace) if Some(clock) >= trace => Present::Tombstone { clock },
                (_, trace) => trace.map_or(Present::Nothing, |clock| Present::Ended { clock }),
            },
        };
        Ok(Seen { present, mark })
    }

    fn request(&self, write: &Write<'_>) -> Cmd {
        let mut request = cmd("EVAL");
        request.arg(REPLAY).arg(3).arg(write.key).arg(names::tombstone(write.key, self.prefix_len));
        request.arg(names::trace(write.key, self.prefix_len)).arg(&write.seen.mark);
        match write.value {
            Some((data, lifetime)) => {
                let mut fields = Fields::new(data, write.clock, self.writer, lifetime);
                let left_ms =
                    write.ends_at_ms.map(|ends_at_ms| ends_at_ms.saturating_sub(clock::unix_ms()).max(1));
                fields.ttl_ms = fields.ttl_ms.into_iter().chain(left_ms).min();
                let ttl_ms = fields.ttl_ms.map_or_else(String::new, |ttl_ms| ttl_ms.to_string());
                request.arg(ttl_ms).arg(fields.absexp).arg(fields.sldexp).arg(data).arg(&fields.ver);
                request.arg(fields.clock()).arg(fields.trace_ms());
            }
            None => {
                let tombstone = [write.clock, self.writer].map(hex).concat();
                request.arg("gone").arg(tombstone).arg(TOMBSTONE_MS);
            }
        }
        request
    }
}
