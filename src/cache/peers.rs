//! Who shares this L2, and which keys they hold: each process writes it into one small entry of the library's own and
//! reads the others', so that a ring that differs is known before a user meets it.

#![forbid(unsafe_code)]

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Cache, Over};
use crate::clock;
use crate::config::Config;
use crate::crypto::{KeyId, Ring};
use crate::entry::Lifetime;
use crate::l2::{Attempt, Class, Expected, Failure, Store, Written};
use crate::log::Level;
use crate::runtime::lock;

/// The key of that entry, under the prefix.
const ENTRY: &[u8] = b"__tokencache:peers";
/// How long a process is remembered that says nothing more, and how often it says it again.
const REMEMBERED_MS: i64 = 150_000;
const AGAIN: Duration = Duration::from_secs(60);
/// Between two tries, when L2 does not take it or something has changed again.
const PACE: Duration = Duration::from_secs(1);
/// More processes than that do not fit; the newest are kept.
const MOST: usize = 500;
/// Two clocks further apart make expiry wrong.
const CLOCK_MS: u64 = 2000;
const TRIES: usize = 30;
/// How far ahead another clock may be before its record is passed over.
const CLOCKS_APART_MS: i64 = 5 * 60_000;
/// What a record may hold.
const MOST_BYTES: usize = 256;
const MOST_KEYS: usize = 100;
/// What all of them may take: an entry that somebody has made longer takes sixteen times its length in memory.
const MOST_ENTRY_BYTES: usize = MOST * 8192;
/// Sentences that are kept.
const MOST_WARNINGS: usize = 50;

/// One process, as the others see it.
#[derive(Clone, Serialize, Deserialize)]
struct Peer {
    /// Drawn anew by every process: machines may share a name, and processes a number.
    #[serde(default)]
    id: u64,
    name: String,
    host: String,
    process: u32,
    library: String,
    active: String,
    #[serde(default)]
    opens: Vec<String>,
    /// How far its clock is behind that of L2, where L2 has one.
    #[serde(default)]
    behind_ms: i64,
    written_at_ms: i64,
}

#[derive(Serialize, Deserialize)]
struct Entry<T> {
    peers: Vec<T>,
}

/// What this process knows of the others.
pub(super) struct Peers {
    id: u64,
    is_wanted: AtomicBool,
    is_announcing: AtomicBool,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    others: Vec<Peer>,
    /// Sentences that were logged already.
    warnings: Vec<String>,
    tried_at: Option<Instant>,
    next_at: Option<Instant>,
}

impl Default for Peers {
    fn default() -> Self {
        Peers {
            // Where the system gives none, the number of the process has to do.
            id: getrandom::u64().unwrap_or_else(|_| std::process::id().into()),
            is_wanted: AtomicBool::new(true),
            is_announcing: AtomicBool::new(false),
            known: Mutex::default(),
        }
    }
}

impl Peers {
    /// The ring has changed: the others are to know.
    pub fn announce_soon(&self) {
        self.is_wanted.store(true, Ordering::Release);
    }

    /// The rest of a sentence about a key that is not here: who has it.
    pub fn holders_of(&self, id: KeyId) -> String {
        let id = id.to_string();
        let known = lock(&self.known);
        let holders: Vec<String> =
            known.others.iter().filter(|peer| peer.opens.contains(&id)).map(Peer::place).take(8).collect();
        if holders.is_empty() { String::new() } else { format!(" It is held by {}.", holders.join(", ")) }
    }

    /// What `tc_stats` says of them.
    pub fn describe(&self) -> Value {
        let known = lock(&self.known);
        let others: Vec<Value> = known
            .others
            .iter()
            .map(|peer| {
                json!({
                    "name": peer.name, "host": peer.host, "process": peer.process, "library": peer.library,
                    "active": peer.active, "opens": peer.opens, "clock_behind_ms": peer.behind_ms,
                })
            })
            .collect();
        json!({ "others": others, "warnings": known.warnings })
    }

    fn is_due(&self) -> bool {
        let known = lock(&self.known);
        let has_rested = known.tried_at.is_none_or(|at| at.elapsed() >= PACE);
        let is_time = known.next_at.is_some_and(|at| at <= Instant::now());
        has_rested && (is_time || self.is_wanted.load(Ordering::Acquire))
    }
}

impl Peer {
    fn place(&self) -> String {
        format!("{} ({})", self.host, self.name)
    }

    /// Whoever can write to L2 can write records, and they end up in logs: what is no record of ours is passed over.
    fn is_plausible(&self, now_ms: i64) -> bool {
        let is_word = |text: &str| text.len() <= MOST_BYTES && !text.chars().any(char::is_control);
        let is_id = |text: &String| KeyId::parse(text).is_some();
        let is_recent =
            (now_ms - REMEMBERED_MS..=now_ms.saturating_add(CLOCKS_APART_MS)).contains(&self.written_at_ms);
        is_recent
            && [&self.name, &self.host, &self.library].into_iter().all(|text| is_word(text))
            && is_id(&self.active)
            && self.opens.len() <= MOST_KEYS
            && self.opens.iter().all(is_id)
    }
}

impl Cache {
    /// Tells the others which keys are here, and learns which are there, on a worker, if it is time.
    pub(super) fn meet_peers(&self) {
        let has_ring = self.keys.ring().is_some();
        if !has_ring || self.store.is_none() || self.circuit.is_open() || !self.peers.is_due() {
            return;
        }
        if self.peers.is_announcing.swap(true, Ordering::AcqRel) {
            return;
        }
        let Some(me) = self.me.upgrade() else { return };
        let refused = self.runtime.workers.run(Box::new(move || me.announce()));
        if refused.is_err() {
            self.peers.is_announcing.store(false, Ordering::Release);
        }
    }

    fn announce(&self) {
        let _over = Over(&self.peers.is_announcing);
        self.peers.is_wanted.store(false, Ordering::Release);
        let (Some(store), Some(ring)) = (&self.store, self.keys.ring()) else { return };
        let config = self.config.load();
        let own = self.own_record(&config, &ring, store.as_ref());
        let met = self.exchange_records(&config, store.as_ref(), &own);
        let pause = match met {
            Ok(others) => {
                self.compare(&ring, &own, others);
                AGAIN
            }
            Err(failure) => {
                self.log.write(Level::Debug, "encryption", || format!("The peers were not told: {failure}"));
                PACE
            }
        };
        let mut known = lock(&self.peers.known);
        known.tried_at = Some(Instant::now());
        known.next_at = Some(Instant::now() + pause);
        drop(known);
    }

    fn own_record(&self, config: &Config, ring: &Ring, store: &dyn Store) -> Peer {
        Peer {
            id: self.peers.id,
            name: config.name.chars().filter(|c| !c.is_control()).take(MOST_BYTES / 4).collect(),
            host: nix::unistd::gethostname()
                .map_or_else(|_| "?".into(), |name| name.to_string_lossy().into()),
            process: std::process::id(),
            library: env!("CARGO_PKG_VERSION").into(),
            active: ring.known().active.to_string(),
            opens: ring.opened().map(|id| id.to_string()).collect(),
            behind_ms: store.clock_lead_ms().unwrap_or(0),
            written_at_ms: clock::unix_ms(),
        }
    }

    /// Puts our record among the others'; answers those.
    fn exchange_records(&self, config: &Config, store: &dyn Store, own: &Peer) -> Result<Vec<Peer>, Failure> {
        let key = Self::stored_key(ENTRY, config);
        let is_closing = || self.signal.is_closing();
        let attempt = || Attempt {
            deadline: Instant::now() + Duration::from_millis(config.resilience.deadline_ms),
            is_closing: &is_closing,
        };
        let mut tries = 0;
        loop {
            let stored = store.get(&key, attempt())?;
            let expected =
                stored.as_ref().map_or(Expected::Absent, |stored| Expected::Version(stored.version));
            let stored = stored.filter(|stored| stored.bytes.len() <= MOST_ENTRY_BYTES);
            let read = stored.and_then(|stored| serde_json::from_slice::<Entry<Value>>(&stored.bytes).ok());
            let now_ms = clock::unix_ms();
            // One record that cannot be read does not hide the others.
            let records = read.map(|entry| entry.peers).unwrap_or_default();
            let mut peers: Vec<Peer> =
                records.into_iter().filter_map(|record| serde_json::from_value(record).ok()).collect();
            peers.retain(|peer| peer.is_plausible(now_ms) && peer.id != own.id);
            peers.sort_by_key(|peer| std::cmp::Reverse(peer.written_at_ms));
            peers.truncate(MOST - 1);
            let others = peers.clone();
            peers.push(own.clone());
            let Ok(text) = serde_json::to_vec(&Entry { peers }) else { return Ok(others) };
            let now_ms = clock::unix_ms();
            let lifetime = Lifetime { expires_at_ms: now_ms + REMEMBERED_MS, sliding_ms: 0 };
            let version = self.versions.next();
            match store.set(&key, &text, version, now_ms, lifetime, expected, attempt())? {
                Written::Stored(_) => return Ok(others),
                Written::Conflict if tries < TRIES => tries += 1,
                Written::Conflict => {
                    return Err(Failure::new(
                        Class::Busy,
                        "Too many processes say which keys they hold at once.",
                    ));
                }
            }
            // Whoever starts a hundred processes at once has them all here.
            std::thread::sleep(Duration::from_millis(fastrand::u64(0..=5 * (tries as u64 + 1))));
        }
    }

    fn compare(&self, ring: &Ring, own: &Peer, others: Vec<Peer>) {
        let mut warnings = Vec::new();
        if own.behind_ms.unsigned_abs() > CLOCK_MS {
            warnings.push(format!(
                "The clock of this machine is {} than that of L2; set both by NTP.",
                apart(own.behind_ms)
            ));
        }
        for peer in &others {
            if !own.opens.contains(&peer.active) {
                warnings.push(format!(
                    "{} seals under the key {}, which is not in this ring ({}): what it writes cannot be read here. \
                     Give both the same ring; see \"Keys differ between machines\" in the README.",
                    peer.place(),
                    peer.active,
                    ring.known()
                ));
            } else if !peer.opens.contains(&own.active) {
                warnings.push(format!(
                    "{} does not have the key {}, under which is sealed here: it cannot read what is written here. \
                     Give both the same ring; see \"Keys differ between machines\" in the README.",
                    peer.place(),
                    own.active
                ));
            }
            let behind_ms = peer.behind_ms.saturating_sub(own.behind_ms);
            if behind_ms.unsigned_abs() > CLOCK_MS {
                warnings.push(format!(
                    "The clock of {} is {} than the one here; set both by NTP.",
                    peer.place(),
                    apart(behind_ms)
                ));
            }
        }
        warnings.sort();
        warnings.dedup();
        warnings.truncate(MOST_WARNINGS);
        let mut known = lock(&self.peers.known);
        for warning in &warnings {
            if !known.warnings.contains(warning) {
                self.log.write(Level::Warn, "encryption", || warning.clone());
            }
        }
        known.warnings = warnings;
        known.others = others;
    }
}

fn apart(behind_ms: i64) -> String {
    let seconds = behind_ms.unsigned_abs() as f64 / 1000.0;
    format!("{seconds:.1} s {}", if behind_ms > 0 { "further back" } else { "further ahead" })
}
