//! Who answers at the other end of a link: a primary, or a replica that is not to be written to; and whether it is the
//! one that the link before led to, which its run id tells: drawn anew at each start, by every server.

#![forbid(unsafe_code)]

use redis::{Cmd, FromRedisValue, Pipeline, ServerError, Value, cmd};

use super::diagnosis;
use crate::config::redis::Address;
use crate::l2::{Class, Failure, LinkId, Succession};

/// How many requests [`ask`] adds.
pub(super) const ASKED: usize = 3;

/// A server that takes writes and keeps them.
#[derive(Clone, Debug)]
pub(super) struct Server {
    /// Its run id, or why it does not tell it.
    run_id: Result<String, Failure>,
    database: i64,
    /// Which of its clients the link is.
    client: Option<i64>,
    /// When everything was deleted there, if that is known.
    emptied_at_ms: Option<i64>,
}

/// Asks for its role, for which everybody has the right, and for what says more, which takes `+info`.
pub(super) fn ask(requests: &mut Pipeline) {
    // Two questions, because Redis 6 answers one section at a time.
    requests.add_command(role()).cmd("INFO").arg("server").cmd("INFO").arg("replication");
}

/// Asks for its role.
pub(super) fn role() -> Cmd {
    cmd("HELLO")
}

/// The primary of the answers to [`ask`], or why it is none.
pub(super) fn meet(address: &Address, answers: &[Value]) -> Result<Server, Failure> {
    let [hello, server, replication] = answers else { return Err(super::layout::unexpected()) };
    let replication = text(replication).unwrap_or_default();
    let line = |name| line(&replication, name);
    let role = member(hello, "role").or_else(|| line("role"));
    if member(hello, "mode").as_deref() == Some("sentinel") {
        let message = format!(
            "What answers at {address} is a Sentinel, which holds no data; point l2.url at the primary, this version \
             does not ask a Sentinel for it."
        );
        return Err(Failure::new(Class::Protocol, message));
    }
    if role.is_some_and(|role| is_replica(&role)) {
        let primary =
            line("master_host").zip(line("master_port")).map(|(host, port)| format!("{host}:{port}"));
        return Err(replica(address, primary.as_deref()));
    }
    let run_id = match server {
        // It will tell when the script has ended.
        Value::ServerError(error) if diagnosis::of_server(address, error).class == Class::Busy => {
            return Err(diagnosis::of_server(address, error));
        }
        server => text(server).and_then(|text| self::line(&text, "run_id")).ok_or_else(|| untold(address)),
    };
    Ok(Server { run_id, database: address.database, client: number(hello, "id"), emptied_at_ms: None })
}

impl Server {
    /// Everything was deleted there at this Unix time, as far as is known.
    #[must_use]
    pub fn emptied_at(self, emptied_at_ms: Option<i64>) -> Server {
        Server { emptied_at_ms, ..self }
    }

    /// Whether this is the server that `before` was.
    pub fn follows(&self, before: Option<&Server>) -> Succession {
        match (before, &self.run_id) {
            (_, Err(failure)) | (Some(Server { run_id: Err(failure), .. }), _) => {
                Succession::Unknown(failure.clone())
            }
            (Some(Server { run_id: Ok(before), database, .. }), Ok(now))
                if before != now || *database != self.database =>
            {
                self.emptied_at_ms.map_or(Succession::Another, Succession::Emptied)
            }
            _ => Succession::Same,
        }
    }

    /// Which link this is, where the server tells it.
    pub fn link(&self) -> Option<LinkId> {
        let run = u64::from_str_radix(self.run_id.as_ref().ok()?.get(..16)?, 16).ok()?;
        Some(LinkId { run, client: self.client?.try_into().ok()? })
    }

    /// Ends the link to this server that was `lost`, if it was one: what something on the way still holds of it, as a
    /// write that was since made again over another link, must not arrive after that.
    pub fn end(&self, lost: &Server) -> Option<Cmd> {
        let (here, lost) = (self.link()?, lost.link()?);
        (here.run == lost.run).then(|| end(lost))
    }
}

/// Ends a link to the server that is asked.
pub(super) fn end(link: LinkId) -> Cmd {
    let mut kill = cmd("CLIENT");
    kill.arg("KILL").arg("ID").arg(link.client);
    kill
}

/// Why a link is of no use any more, where `answer` to [`role`] says that its server has become a replica.
pub(super) fn demoted(address: &Address, answer: &Value) -> Option<Failure> {
    member(answer, "role").filter(|role| is_replica(role)).map(|_| replica(address, None))
}

/// Whether `refusal` says that its server has become a replica.
pub(super) fn is_demotion(refusal: &ServerError) -> bool {
    let says =
        |word| refusal.code() == word || refusal.details().is_some_and(|details| details.contains(word));
    says("READONLY") || says("MASTERDOWN")
}

fn is_replica(role: &str) -> bool {
    matches!(role, "replica" | "slave")
}

/// One that takes writes (`replica-read-only no`) is no better: nobody gets them from it, and it forgets them when it
/// next follows its primary.
fn replica(address: &Address, primary: Option<&str>) -> Failure {
    let of = primary.map_or_else(String::new, |primary| format!(" of the primary at {primary}"));
    let message = format!(
        "Redis at {address} is a replica{of}, which refuses writes or loses them; point l2.url at the primary."
    );
    Failure::new(Class::Unreachable, message)
}

fn untold(address: &Address) -> Failure {
    let message = format!(
        "Redis at {address} does not tell its run id (INFO server), and so nobody knows after a lost link whether it is \
         still the same; give this user +info in its ACL"
    );
    Failure::new(Class::Denied, message)
}

fn member(hello: &Value, name: &str) -> Option<String> {
    find(hello, name).and_then(text)
}

fn number(hello: &Value, name: &str) -> Option<i64> {
    match find(hello, name)? {
        Value::Int(number) => Some(*number),
        _ => None,
    }
}

/// A member of the answer to `HELLO`: a map, in the older protocol a list.
fn find<'a>(hello: &'a Value, name: &str) -> Option<&'a Value> {
    let is_it = |key: &Value| text(key).as_deref() == Some(name);
    match hello {
        Value::Map(pairs) => pairs.iter().find(|(key, _)| is_it(key)).map(|(_, value)| value),
        Value::Array(list) => list.chunks_exact(2).find(|pair| is_it(&pair[0])).map(|pair| &pair[1]),
        _ => None,
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::BulkString(_) | Value::SimpleString(_) | Value::VerbatimString { .. } => {
            String::from_redis_value_ref(value).ok()
        }
        _ => None,
    }
}

/// What `INFO` says of `name`, unless it says nothing.
fn line(info: &str, name: &str) -> Option<String> {
    let found = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?.trim();
    (!found.is_empty()).then(|| found.to_owned())
}
