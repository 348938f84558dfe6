//! The requests that read, store and renew one entry.

#![forbid(unsafe_code)]

use redis::{Cmd, Pipeline, Value, cmd, pipe};

use super::layout::{FIELDS, Written as Fields};
use super::names;

/// What a set stores.
pub(super) struct Set<'a> {
    pub key: &'a [u8],
    pub data: &'a [u8],
    pub fields: Fields,
}

impl Set<'_> {
    pub fn store_at(&self, key: &[u8]) -> Cmd {
        let [absexp, sldexp, data, ver] = FIELDS;
        let mut store = cmd("HSET");
        store.arg(key).arg(absexp).arg(self.fields.absexp).arg(sldexp).arg(self.fields.sldexp);
        store.arg(data).arg(self.data).arg(ver).arg(&self.fields.ver);
        store
    }

    /// Has `script` compare, with what is to be stored at `staging`: nobody else ever finds it there, and nothing stays
    /// there, whatever becomes of the script.
    pub fn staged_at(&self, staging: &[u8], script: Cmd) -> Pipeline {
        let mut requests = pipe();
        requests.cmd("MULTI").add_command(self.store_at(staging)).add_command(script);
        requests.cmd("UNLINK").arg(staging).cmd("EXEC");
        requests
    }

    /// What an entry leaves that ends soon: the server forgets it, and what is older must not be made again in its place.
    pub fn trace(&self, prefix_len: usize) -> Option<Cmd> {
        let trace_ms = Some(self.fields.trace_ms()).filter(|trace_ms| !trace_ms.is_empty())?;
        let mut trace = cmd("SET");
        trace.arg(names::trace(self.key, prefix_len)).arg(self.fields.clock()).arg("PX").arg(trace_ms);
        Some(trace)
    }

    pub fn end_of(&self, key: &[u8]) -> Cmd {
        self.fields.ttl_ms.map_or_else(|| persist(key), |ttl_ms| expire(key, ttl_ms))
    }
}

/// What the script said in what [`Set::staged_at`] has `done`.
pub(super) fn in_place(done: &[Value]) -> Option<i64> {
    if let [_, Value::Int(said), _] = done { Some(*said) } else { None }
}

/// Two requests for each of `keys`.
pub(super) fn reading<'a>(keys: impl ExactSizeIterator<Item = &'a [u8]>) -> Pipeline {
    let mut requests = Pipeline::with_capacity(2 * keys.len());
    for key in keys {
        let mut fields = Cmd::with_capacity(2 + FIELDS.len(), key.len() + 64);
        fields.arg("HMGET").arg(key).arg(&FIELDS);
        let mut pttl = Cmd::with_capacity(2, key.len() + 16);
        pttl.arg("PTTL").arg(key);
        requests.add_command(fields).add_command(pttl);
    }
    requests
}

pub(super) fn single(request: Cmd) -> Pipeline {
    let mut requests = pipe();
    requests.add_command(request);
    requests
}

pub(super) fn persist(key: &[u8]) -> Cmd {
    let mut persist = cmd("PERSIST");
    persist.arg(key);
    persist
}

pub(super) fn expire(key: &[u8], ttl_ms: i64) -> Cmd {
    let mut expire = cmd("PEXPIRE");
    expire.arg(key).arg(ttl_ms);
    expire
}
