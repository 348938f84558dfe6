//! The second tier as a Redis that servers share, also with the stock cache of .NET.

#![forbid(unsafe_code)]

mod connect;
mod credentials;
mod diagnosis;
mod echoes;
mod emptied;
mod exchange;
mod feed;
mod heartbeat;
mod layout;
mod link;
mod names;
mod replay;
mod requests;
mod scripts;
mod server;
pub mod socket;
mod state;
mod tls;
mod up;
mod wait;
mod watched;

use std::iter;
use std::sync::Arc;
use std::time::Instant;

use redis::{Cmd, Pipeline, Value, cmd, pipe};

use self::exchange::Letter;
use self::layout::{FIELDS, Written as Fields, hex, unexpected};
use self::link::Link;
use self::requests::{Set, expire, persist, reading, single};
use self::scripts::{CONDITIONAL_REMOVE, CONDITIONAL_SET, Script};
use self::up::Up;
use super::{Answered, Attempt, Expected, Failure, LinkId, Store, Stored, Witness, Written};
use crate::clock;
use crate::config::{self, Config};
use crate::entry::Lifetime;
use crate::error::{Error, Kind, Result as Outcome};
use crate::runtime::Runtime;

/// How long it is remembered that an entry was removed.
const TOMBSTONE_MS: &str = "86400000";

/// A store in a Redis.
pub struct RedisStore {
    link: Link,
    witness: Arc<dyn Witness>,
    prefix_len: usize,
    /// Tells our writes from those of everybody else: two processes may well write the same bytes in one millisecond.
    writer: u64,
}

/// What a hash with these fields is read as, for the fuzz target of that name.
///
/// # Errors
/// As the read of an entry.
#[cfg(feature = "fuzz")]
pub fn found(
    fields: [Option<Vec<u8>>; 4],
    pttl_ms: i64,
    clock_lead_ms: i64,
) -> std::result::Result<Option<Stored>, Failure> {
    let fields = fields.map(|field| field.map_or(Value::Nil, Value::BulkString));
    layout::read(Value::Array(fields.into()), &Value::Int(pttl_ms), clock_lead_ms)
}

impl RedisStore {
    /// A store in `redis`, to which a link is made when it is needed. What others change there is told to `witness`.
    ///
    /// # Errors
    /// `OutOfMemory` when the thread of its link cannot be started, or the system has no random bytes.
    pub fn new(
        redis: config::Redis,
        config: &Config,
        witness: Arc<dyn Witness>,
        runtime: &Runtime,
    ) -> Outcome<RedisStore> {
        // From the system: a generator of our own would tell a forked child the same number as its parent.
        let writer = getrandom::u64().map_err(|error| {
            Error::new(Kind::OutOfMemory, format!("The system gives no random bytes ({error})."))
        })?;
        let link = Link::new(redis, config, Arc::clone(&witness), runtime.io()?);
        Ok(RedisStore { link, witness, prefix_len: config.l2.key_prefix.len(), writer })
    }

    /// Runs `script` among the requests that `beside` puts around it, in one trip; whether it has written the first of
    /// `keys`, or had before.
    fn run(
        &self,
        script: &Script,
        keys: &[&[u8]],
        arguments: &[&[u8]],
        beside: impl Fn(Cmd) -> Pipeline,
        attempt: Attempt<'_>,
    ) -> Result<bool, Failure> {
        self.link.echoes().expect(keys[0]);
        let done = self.ask_script(script, keys, arguments, beside, attempt);
        if !matches!(done, Ok(1)) {
            self.link.echoes().take(keys[0]);
        }
        Ok(done? == 1)
    }

    fn ask_script(
        &self,
        script: &Script,
        keys: &[&[u8]],
        arguments: &[&[u8]],
        beside: impl Fn(Cmd) -> Pipeline,
        attempt: Attempt<'_>,
    ) -> Result<i64, Failure> {
        let up = self.link.up(attempt)?;
        let mut answers = self.link.ask(&up, &beside(script.by_name(keys, arguments)), attempt)?;
        if diagnosis::refusal(&answers).is_some_and(|refusal| refusal.code() == "NOSCRIPT") {
            answers = self.link.ask(&up, &beside(script.by_text(keys, arguments)), attempt)?;
        }
        self.link.check(&up, &answers)?;
        match &answers[..] {
            [Value::Int(answer)] => Ok(*answer),
            [.., Value::Array(done)] => requests::in_place(done).ok_or_else(unexpected),
            _ => Err(unexpected()),
        }
    }

    fn set_plainly(&self, set: &Set<'_>, attempt: Attempt<'_>) -> Result<(), Failure> {
        let up = self.link.up(attempt)?;
        let mut requests = pipe();
        requests.cmd("MULTI").cmd("PTTL").arg(set.key).add_command(set.store_at(set.key));
        requests.add_command(set.end_of(set.key));
        if let Some(trace) = set.trace(self.prefix_len) {
            requests.add_command(trace);
        }
        requests.cmd("EXEC");
        let answers = self.link.ask(&up, &requests, attempt)?;
        let refused = self.link.check(&up, &answers);
        if refused.is_err() {
            self.restore_end(&up, set.key, answers.last(), attempt);
        }
        refused
    }

    /// A transaction does not undo: what is no entry of ours kept its value, and gets back the end that it had.
    fn restore_end(&self, up: &Up, key: &[u8], done: Option<&Value>, attempt: Attempt<'_>) {
        let Some(Value::Array(done)) = done else { return };
        if let [Value::Int(pttl_ms), Value::ServerError(_), Value::Int(1), ..] = done[..] {
            let end =
                if pttl_ms < 0 { persist(key) } else { expire(key, pttl_ms.clamp(1, layout::LONGEST_MS)) };
            let _ = self.link.ask(up, &single(end), attempt);
        }
    }

    /// Moves the end of an entry that lives for `lifetime`: later, never earlier, and never of one that has none. What
    /// somebody put there in between may have a shorter life, and gets that.
    fn renew(&self, key: &[u8], lifetime: Lifetime, attempt: Attempt<'_>) -> Result<Option<i64>, Failure> {
        let up = self.link.up(attempt)?;
        let ask = |renewal: &Cmd| {
            let mut requests = pipe();
            requests.add_command(renewal.clone()).cmd("HMGET").arg(key).arg(&FIELDS[..2]);
            requests.cmd("PTTL").arg(key);
            let answers = self.link.ask(&up, &requests, attempt);
            // The server tells a key once in each turn of its loop, and not to whom changed it last: our renewal may have
            // kept another's write from us. A write of ours cannot: what it leaves is ours.
            if !matches!(answers.as_deref(), Ok([Value::Int(0), ..])) {
                self.witness.may_have_changed(key);
            }
            answers
        };
        let end = |lifetime| expire(key, layout::ttl_ms(lifetime).unwrap_or(layout::LONGEST_MS));
        let mut answers = ask(end(lifetime).arg("GT"));
        let is_old =
            |answers: &[Value]| matches!(answers, [Value::ServerError(error), ..] if error.code() == "ERR");
        if answers.as_deref().is_ok_and(is_old) {
            // Before Redis 7.
            answers = ask(&end(lifetime));
        }
        let (mut answers, mut renewed) = (answers?, lifetime);
        let there = loop {
            self.link.check(&up, &answers)?;
            let there = layout::lifetime(&answers[1])?;
            if there == renewed || !matches!(answers[2], Value::Int(left_ms) if left_ms > 0) {
                break there;
            }
            // And again, where somebody has put yet another there meanwhile: it was given the end of what it replaced.
            answers = ask(&end(there))?;
            renewed = there;
        };
        match answers[2] {
            Value::Int(-2) => Ok(None),
            Value::Int(pttl_ms) => {
                let now_ms = clock::unix_ms();
                Ok(Some(layout::ends_at_ms(there, pttl_ms, now_ms, up.clock_lead_ms())))
            }
            _ => Err(unexpected()),
        }
    }

    fn set_if(&self, set: &Set<'_>, expected: &str, attempt: Attempt<'_>) -> Result<bool, Failure> {
        let ttl_ms = set.fields.ttl_ms.map(|ttl_ms| ttl_ms.to_string()).unwrap_or_default();
        let trace_ms = set.fields.trace_ms();
        let trace = (!trace_ms.is_empty()).then(|| names::trace(set.key, self.prefix_len));
        let staging = names::staging(set.key, self.prefix_len, &hex(self.writer));
        let keys = [Some(set.key), trace.as_deref(), staging.as_deref()];
        let keys: Vec<_> = keys.into_iter().flatten().collect();
        let arguments =
            [expected.as_bytes(), set.fields.ver.as_bytes(), ttl_ms.as_bytes(), trace_ms.as_bytes()];
        match &staging {
            Some(staging) => {
                let beside = |script| set.staged_at(staging, script);
                self.run(&CONDITIONAL_SET, &keys, &arguments, beside, attempt)
            }
            None => {
                let (absexp, sldexp) = (set.fields.absexp.to_string(), set.fields.sldexp.to_string());
                let arguments = [&arguments[..], &[absexp.as_bytes(), sldexp.as_bytes(), set.data]].concat();
                self.run(&CONDITIONAL_SET, &keys, &arguments, single, attempt)
            }
        }
    }
}

impl Store for RedisStore {
    fn connect(&self, attempt: Attempt<'_>) -> Result<(), Failure> {
        let up = self.link.up(attempt)?;
        let answers = self.link.ask(&up, &single(cmd("PING")), attempt)?;
        self.link.check(&up, &answers)
    }

    fn ready(&self, attempt: Attempt<'_>) -> Result<(), Failure> {
        self.link.up(attempt).map(drop)
    }

    fn get(&self, key: &[u8], attempt: Attempt<'_>) -> Result<Option<Stored>, Failure> {
        let up = self.link.up(attempt)?;
        let answers = self.link.ask(&up, &reading(iter::once(key)), attempt)?;
        self.link.entry(&up, answers.try_into().map_err(|_| unexpected())?, up.clock_lead_ms())
    }

    fn begin_get(&self, key: Arc<[u8]>, deadline: Instant, done: Answered) {
        if let Some(returned) = self.link.send(Letter { key, deadline, done }) {
            (returned.done)(None);
        }
    }

    fn set(
        &self,
        key: &[u8],
        bytes: &[u8],
        version: u64,
        _written_at_ms: i64,
        lifetime: Lifetime,
        expected: Expected,
        attempt: Attempt<'_>,
    ) -> Result<Written, Failure> {
        let set = Set { key, data: bytes, fields: Fields::new(bytes, version, self.writer, lifetime) };
        let is_stored = match expected {
            Expected::Anything => self.set_plainly(&set, attempt).map(|()| true)?,
            Expected::Absent => self.set_if(&set, "", attempt)?,
            Expected::Version(expected) => self.set_if(&set, &hex(expected), attempt)?,
        };
        Ok(if is_stored { Written::Stored(set.fields.version) } else { Written::Conflict })
    }

    fn link(&self) -> Option<LinkId> {
        self.link.newest()
    }

    fn version_of(&self, bytes: &[u8], _proposed: u64) -> u64 {
        layout::version(bytes)
    }

    /// The same bytes have the same version, and to compare them costs a tenth of it.
    fn has_left(&self, bytes: &[u8], _proposed: u64, found: &Stored) -> bool {
        *found.bytes == *bytes
    }

    fn remove(
        &self,
        key: &[u8],
        version: u64,
        expected: Expected,
        attempt: Attempt<'_>,
    ) -> Result<Written, Failure> {
        let (tombstone, clock) =
            (names::tombstone(key, self.prefix_len), [version, self.writer].map(hex).concat());
        let wanted = match expected {
            Expected::Anything => {
                let up = self.link.up(attempt)?;
                let mut requests = pipe();
                requests.cmd("MULTI").cmd("UNLINK").arg(key);
                requests.cmd("SET").arg(&tombstone).arg(&clock).arg("PX").arg(TOMBSTONE_MS).cmd("EXEC");
                let answers = self.link.ask(&up, &requests, attempt)?;
                self.link.check(&up, &answers)?;
                return Ok(Written::Stored(version));
            }
            Expected::Absent => String::new(),
            Expected::Version(expected) => hex(expected),
        };
        let arguments = [wanted.as_bytes(), clock.as_bytes(), TOMBSTONE_MS.as_bytes()];
        let is_done = self.run(&CONDITIONAL_REMOVE, &[key, &tombstone], &arguments, single, attempt)?;
        Ok(if is_done { Written::Stored(version) } else { Written::Conflict })
    }

    fn touch(
        &self,
        key: &[u8],
        known: Option<Lifetime>,
        attempt: Attempt<'_>,
    ) -> Result<Option<i64>, Failure> {
        let lifetime = match known {
            Some(lifetime) => lifetime,
            None => match self.get(key, attempt)? {
                None => return Ok(None),
                Some(stored) if stored.lifetime.sliding_ms == 0 => return Ok(Some(stored.ends_at_ms)),
                Some(stored) => stored.lifetime,
            },
        };
        self.renew(key, lifetime, attempt)
    }

    fn configure(&self, config: &Config) {
        if let config::Kind::Redis(redis) = &config.l2.kind {
            self.link.configure((**redis).clone(), config);
        }
    }

    /// The link looks after itself.
    fn tend(&self, _attempt: Attempt<'_>) -> Result<(), Failure> {
        self.link.restore();
        Ok(())
    }

    fn clock_lead_ms(&self) -> Option<i64> {
        let up = self.link.up_now()?;
        Some(up.clock_lead_ms())
    }

    fn figures(&self) -> Vec<(&'static str, u64)> {
        self.link.figures().into()
    }

    fn interrupt(&self) {
        self.link.close();
    }

    fn close(&self) {
        self.link.close();
    }
}
