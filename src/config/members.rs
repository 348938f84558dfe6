//! Every member of the configuration document, in one table. Parser, JSON Schema and README are made from it.

#![forbid(unsafe_code)]

use serde_json::Value;

use self::Fallback::{Json, Words};
use super::shape::NO_LIMIT;
use super::shape::Shape::{self, Boolean, Lifetime, Name, Path, Text};

/// What holds where the document does not say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fallback {
    /// This JSON.
    Json(&'static str),
    /// No single value; what happens, in words.
    Words(&'static str),
}

/// Whether `tc_configure` can change a member on an open cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Live {
    /// It can.
    Yes,
    /// It refuses.
    No,
    /// It has nothing to change: the member is looked at only at opening.
    Moot,
}

/// One member of the document.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Member {
    /// Where it stands, as a JSON pointer.
    pub pointer: &'static str,
    /// What it may hold.
    pub shape: Shape,
    /// What holds where the document does not say.
    pub fallback: Fallback,
    /// Whether `tc_configure` can change it.
    pub live: Live,
    /// What it means, in one line.
    pub meaning: &'static str,
}

impl Member {
    /// The pointer of the object that it stands in; empty for the document itself.
    #[must_use]
    pub fn section(&self) -> &'static str {
        self.pointer.rsplit_once('/').map_or("", |(section, _)| section)
    }

    /// Its name in that object.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.pointer.rsplit_once('/').map_or("", |(_, name)| name)
    }

    /// Its name in prose: `l1.capacity_bytes`.
    #[must_use]
    pub fn dotted(&self) -> String {
        self.pointer.trim_start_matches('/').replace('/', ".")
    }

    /// The value that holds where the document does not say, if there is one.
    #[must_use]
    pub fn default_value(&self) -> Option<Value> {
        match self.fallback {
            Fallback::Json(json) => serde_json::from_str(json).ok(),
            Fallback::Words(_) => None,
        }
    }
}

/// The member at `pointer`.
#[must_use]
pub fn find(pointer: &str) -> Option<&'static Member> {
    MEMBERS.iter().find(|member| member.pointer == pointer)
}

/// The names of the members and sections in `section`, in the order of the table.
#[must_use]
pub fn names_in(section: &str) -> Vec<&'static str> {
    let inside = |member: &Member| member.pointer.strip_prefix(section)?.strip_prefix('/')?.split('/').next();
    let mut names: Vec<&str> = MEMBERS.iter().filter_map(inside).collect();
    names.dedup();
    names
}

const fn integer(min: i64, max: i64) -> Shape {
    Shape::Integer { min, max }
}

const fn words(words: &'static [&'static str]) -> Shape {
    Shape::Word { words }
}

const fn live(pointer: &'static str, shape: Shape, fallback: Fallback, meaning: &'static str) -> Member {
    Member { pointer, shape, fallback, live: Live::Yes, meaning }
}

const fn fixed(pointer: &'static str, shape: Shape, fallback: Fallback, meaning: &'static str) -> Member {
    Member { pointer, shape, fallback, live: Live::No, meaning }
}

const fn moot(pointer: &'static str, shape: Shape, fallback: Fallback, meaning: &'static str) -> Member {
    Member { pointer, shape, fallback, live: Live::Moot, meaning }
}

/// The table. Members of one section stand together.
#[rustfmt::skip]
pub static MEMBERS: &[Member] = &[
    moot("/version", integer(1, 1), Words("required"), "the version of the document"),
    live("/name", Text, Words("program name"), "who this is, in logs and to its peers"),

    live("/limits/max_key_bytes", integer(1, 65_536), Json("1024"), "the longest key"),
    live("/limits/max_value_bytes", integer(1, 536_870_912), Json("1048576"), "the longest value"),

    live("/l1/enabled", Boolean, Json("true"), "false: every read is answered by L2"),
    live("/l1/capacity_bytes", integer(65_536, NO_LIMIT), Json("67108864"),
         "keys, values and overhead counted; a value that L1 cannot hold is served from L2 alone, without an L2 it is \
          `TC_VALUE_TOO_LARGE`"),
    live("/l1/max_ttl_ms", integer(0, NO_LIMIT), Json("0"),
         "longest stay in L1; 0: as long as the entry lives"),

    fixed("/l2/kind", words(&["none", "sqlite", "redis"]), Json("\"none\""),
          "the tier that processes share"),
    fixed("/l2/path", Path, Words("required with sqlite"), "sqlite: the file; created with mode 0600"),
    live("/l2/capacity_bytes", integer(0, NO_LIMIT), Json("1073741824"),
         "sqlite: beyond it expired entries go first, then what says of removals but the latest 256, then what nobody wrote \
          or read there for longest (a hit of L1 reads nothing there), and those 256 last; the file stays as long as it was, \
          and its log, of 16 MiB as a rule, is not counted; 0: no limit"),
    live("/l2/url", Shape::Redis, Words("required with redis"),
         "redis: `redis://host:port/db` (6379 and 0 where they are left out), `rediss://` for TLS, or `unix:///path/db`; user \
          and password are better given below"),
    live("/l2/username", Text, Words("the default user"), "redis: the user; read again at every reconnect, as are the \
          five below"),
    live("/l2/username_env", Name, Words("\u{2013}"), "redis: the environment variable that holds the user"),
    live("/l2/username_file", Path, Words("\u{2013}"), "redis: the file that holds the user; it may end with a newline"),
    live("/l2/password", Text, Words("none"), "redis: the password; better in one of the two below"),
    live("/l2/password_env", Name, Words("\u{2013}"), "redis: the environment variable that holds the password"),
    live("/l2/password_file", Path, Words("\u{2013}"),
         "redis: the file that holds the password; it may end with a newline"),
    fixed("/l2/key_prefix", Text, Json("\"\""),
          "put in front of every key, byte for byte; the same as .NET's `InstanceName`"),
    live("/l2/ca_file", Path, Words("the system's roots"),
         "redis, `rediss://`: PEM, the authorities that may vouch for the server; its host name is always checked"),
    live("/l2/client_cert_file", Path, Words("none"), "redis, `rediss://`: PEM, our certificate and its chain"),
    live("/l2/client_key_file", Path, Words("none"), "redis, `rediss://`: PEM, the key of our certificate"),
    moot("/l2/require_at_open", Boolean, Json("false"),
         "true: `tc_open` waits for L2, at most `deadline_ms`, and fails with its status"),
    live("/l2/allow_plaintext", Boolean, Json("false"),
         "redis: true: an unencrypted link to another machine is allowed"),
    live("/l2/write", words(&["through", "behind"]), Json("\"through\""),
         "`through`: a write returns when L2 has it; `behind`: when it is in the journal (`TC_DEGRADED`: kept and owed)"),

    live("/expiry/default_ttl_ms", Lifetime, Json("1209600000"),
         "14 days, where the caller says nothing; -1: never"),
    live("/expiry/sliding_ms", integer(0, NO_LIMIT), Json("0"), "default sliding window; 0: none"),
    live("/expiry/from_value", words(&["msal", "off"]), Json("\"msal\""),
         "`msal`: where the caller says nothing and the value is an MSAL cache without refresh tokens, it ends with its \
          last access token"),

    live("/msal/prune_expired", Boolean, Json("false"),
         "true: access tokens that have ended leave an MSAL cache when it is written; all else in it stays"),

    fixed("/encryption/algorithm", words(&["aes-256-gcm", "none"]), Words("required with an L2"),
          "how entries are sealed in L2; `none`: L2 holds them in plain text"),
    live("/encryption/keyring", Shape::Object, Words("one of three, with aes-256-gcm"),
         "the key ring itself, made by `tokencache keys generate`"),
    live("/encryption/keyring_file", Path, Words("\u{2013}"),
         "the file that holds the key ring; read again when it changes, and when an unknown key is met, at most every 5 s"),
    live("/encryption/keyring_env", Name, Words("\u{2013}"), "the environment variable that holds the key ring"),
    live("/encryption/unwrap_key_files", Shape::Paths, Words("none"),
         "PEM, the private keys of the certificates that the keys of the ring are wrapped for, old and new; PKCS#8 or \
          PKCS#1, without a passphrase"),
    live("/encryption/accept_plaintext", Boolean, Json("false"),
         "true, for the time of a migration: plain entries found in L2 are read; whoever can write to L2 can then \
          inject them, so opening warns and `tc_stats` counts them"),
    live("/encryption/strict_files", Boolean, Json("false"),
         "a file of the ring or of `unwrap_key_files` that group or others can write is always refused; one they can \
          read is a warning, with true refused"),
    live("/encryption/unreadable", words(&["error", "miss"]), Json("\"error\""),
         "what a read does with an entry that it cannot open: `error`: a `TC_SEAL_…`; `miss`: `TC_NOT_FOUND`, logged \
          and counted"),

    live("/coherence/heartbeat_ms", integer(50, 60_000), Json("1000"),
         "how often it is checked that changes of L2 are heard of"),
    live("/coherence/heartbeat_timeout_ms", integer(10, 60_000), Json("250"),
         "redis: how long the server may be silent before hits of L1 are checked against it"),

    live("/resilience/deadline_ms", integer(1, 60_000), Json("500"),
         "the whole of a call: queueing, connecting, every attempt"),
    live("/resilience/max_attempts", integer(1, 10), Json("2"), "the retry callback cannot exceed it"),
    live("/resilience/backoff_ms", integer(0, 60_000), Json("20"),
         "before the second attempt; exponential, full jitter"),
    live("/resilience/max_backoff_ms", integer(0, 60_000), Json("200"),
         "the longest backoff; not less than `backoff_ms`"),
    live("/resilience/stale_ms", integer(0, NO_LIMIT), Json("300000"),
         "how long an entry that cannot be verified may be served as `TC_DEGRADED`; 0: never"),
    live("/resilience/circuit_failures", integer(0, 1_000_000), Json("5"),
         "so many failures in a row open the circuit: calls are `TC_L2_SUSPENDED` at once; 0: no circuit"),
    live("/resilience/circuit_ratio", Shape::Fraction, Json("0.5"),
         "it opens too when this share of the last 20 attempts failed"),
    live("/resilience/probe_ms", integer(50, 600_000), Json("1000"),
         "while it is open, L2 is probed once in this time and up to a quarter more"),
    live("/resilience/close_ms", integer(0, 600_000), Json("5000"), "how long `tc_close` flushes"),
    fixed("/resilience/journal_path", Path, Words("memory"),
          "a file, created with mode 0600: what is owed to L2 survives the process; processes of one machine with the \
           same L2 and prefix may share it"),
    live("/resilience/journal_max_bytes", integer(0, NO_LIMIT), Json("67108864"),
         "when so much is owed, a write that L2 does not take fails instead of being owed"),
    live("/resilience/journal_max_entries", integer(0, NO_LIMIT), Json("100000"), "the same, in keys"),

    live("/logging/to", words(&["stderr", "none"]), Json("\"stderr\""),
         "a callback set with `tc_on_log` takes its place; what `tc_open` has to say still goes here"),
    live("/logging/level", words(&["error", "warn", "info", "debug"]), Json("\"warn\""),
         "the least urgent that is logged; a callback says its own"),
    live("/logging/keys", words(&["hashed", "clear"]), Json("\"hashed\""),
         "`hashed`: first 8 bytes of SHA-256(`key_prefix` + key) in hex, the same in every process"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_json_that_its_member_may_hold() {
        for member in MEMBERS {
            if let Json(json) = member.fallback {
                let default = member.default_value().unwrap_or_else(|| panic!("{} {json}", member.pointer));
                assert_eq!(member.shape.check(&default).as_ref(), Ok(&default), "{}", member.pointer);
            }
        }
    }

    #[test]
    fn a_section_knows_its_names_in_order() {
        assert_eq!(names_in("/l1"), ["enabled", "capacity_bytes", "max_ttl_ms"]);
        let top = [
            "version",
            "name",
            "limits",
            "l1",
            "l2",
            "expiry",
            "msal",
            "encryption",
            "coherence",
            "resilience",
            "logging",
        ];
        assert_eq!(names_in(""), top);
    }
}
