//! What each call means is the same everywhere: random calls on L1 alone and on every L2, with L1 and without, sealed and in
//! plain text, by one cache and by two that share it, held against a map of what is there.

#[path = "support/crypto.rs"]
mod crypto;
#[path = "support/sealed.rs"]
mod sealed;
#[path = "support/redis.rs"]
mod support;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use sealed::{Place, Sqlite, sealing};
use serde_json::{Value, json};
use support::cache::{is_long, open_alone, statistics};
use support::{Server, wait_until};
use tokencache::cache::{Answer, Cache, SetOptions, SetOutcome};
use tokencache::entry::{Asked, NEVER, Tier};

const KEYS: [&[u8]; 5] = [b"a", b"\0", b"_k\xff\xfe", b"a\0", &[b'k'; 1024]];
const HOUR_MS: i64 = 3_600_000;
const ABSENT: u64 = u64::MAX;

/// What is there under a key.
#[derive(Clone, Debug, PartialEq)]
struct Known {
    data: Vec<u8>,
    version: u64,
    /// Once somebody has read it.
    expires_at_ms: Option<i64>,
}

type Map = HashMap<&'static [u8], Known>;

/// Caches, and what is to be found in them.
struct Scene {
    name: String,
    random: fastrand::Rng,
    caches: Vec<Arc<Cache>>,
    has_l2: bool,
    has_l1: bool,
    shared: Map,
    /// What each cache has for itself.
    local: Vec<Map>,
    /// Versions are never given twice; in Redis those of equal bytes are equal.
    given: HashSet<(usize, &'static [u8], u64)>,
    is_redis: bool,
    reads: Vec<u64>,
    conflicts: Vec<u64>,
}

impl Scene {
    fn run(&mut self, calls: usize) {
        for _ in 0..calls {
            let (who, key) = (self.random.usize(..self.caches.len()), KEYS[self.random.usize(..KEYS.len())]);
            match self.random.u32(..100) {
                0..40 => self.set(who, key),
                40..44 => self.set_briefly(who, key),
                44..52 => self.remove(who, key),
                52..82 => self.read(who, key),
                82..90 => self.peek(who, key),
                90..97 => self.touch(who, key),
                _ => {
                    self.caches[who].clear().expect("cleared");
                    self.local[who].clear();
                }
            }
        }
        for who in 0..self.caches.len() {
            self.count(who);
        }
    }

    fn known(&self, who: usize, key: &[u8]) -> Option<&Known> {
        self.local[who].get(key).or_else(|| self.shared.get(key))
    }

    fn options(&mut self, who: usize, key: &[u8]) -> SetOptions {
        let random = &mut self.random;
        let is_local = random.u8(..8) == 0;
        let now_ms = tokencache::clock::unix_ms();
        let there = if is_local || !self.has_l2 { &self.local[who] } else { &self.shared };
        let version = there.get(key).map_or(7, |known| known.version);
        SetOptions {
            asked: Asked {
                ttl_ms: *random.choice(&[0, 0, NEVER, HOUR_MS]).expect("one"),
                expires_at_ms: *random.choice(&[0, 0, 0, now_ms + HOUR_MS, now_ms, 1]).expect("one"),
                sliding_ms: *random.choice(&[0, 0, HOUR_MS]).expect("one"),
            },
            expected_version: *random.choice(&[0, 0, 0, ABSENT, version, version ^ 1]).expect("one"),
            is_local,
        }
    }

    fn set(&mut self, who: usize, key: &'static [u8]) {
        let options = self.options(who, key);
        let data = [&b"token"[..self.random.usize(..6)], &vec![b'.'; self.random.usize(..3) * 4000]].concat();
        let outcome = self.caches[who].set(key, &data, options);
        let is_here = options.is_local || !self.has_l2;
        let has_ended = (1..=tokencache::clock::unix_ms()).contains(&options.asked.expires_at_ms);
        if is_here && !self.has_l1 && !has_ended {
            assert_eq!(support::status(outcome), "TC_VALUE_TOO_LARGE", "{}", self.name);
            return;
        }
        let outcome = outcome.expect("a set");
        let said = format!("{}: {key:?} {options:?} {outcome:?}", self.name);
        let there = if is_here { &mut self.local[who] } else { &mut self.shared };
        let is_expected = match options.expected_version {
            0 => true,
            ABSENT => !there.contains_key(key),
            version => there.get(key).is_some_and(|known| known.version == version),
        };
        self.conflicts[who] += u64::from(!is_expected);
        let SetOutcome::Stored(version) = outcome else {
            assert!(outcome == SetOutcome::Conflict && !is_expected, "{said}");
            return;
        };
        assert!(is_expected && (version == 0) == has_ended, "{said}");
        there.remove(key);
        if !has_ended {
            there.insert(key, Known { data, version, expires_at_ms: None });
            let owner = if is_here { 1 + who } else { 0 };
            let may_be_known = self.is_redis && !is_here;
            assert!(self.given.insert((owner, key, version)) || may_be_known, "{said}");
        }
        if !is_here {
            self.local[who].remove(key);
        }
    }

    /// Stores what ends at once, and waits until it has.
    fn set_briefly(&mut self, who: usize, key: &'static [u8]) {
        let asked = Asked { ttl_ms: 1, ..Asked::default() };
        let options = SetOptions { asked, ..SetOptions::default() };
        let outcome = self.caches[who].set(key, b"brief", options);
        assert!(matches!(outcome, Ok(SetOutcome::Stored(1..))), "{}: {outcome:?}", self.name);
        std::thread::sleep(Duration::from_millis(5));
        self.shared.remove(key);
        self.local[who].remove(key);
    }

    fn remove(&mut self, who: usize, key: &[u8]) {
        assert_eq!(support::written(self.caches[who].remove(key)), "TC_OK", "{}", self.name);
        self.shared.remove(key);
        self.local[who].remove(key);
    }

    fn read(&mut self, who: usize, key: &'static [u8]) {
        let mut reads = 0;
        let answer = self.as_known(who, key, "a read", |cache| {
            reads += 1;
            match cache.answer(key).expect("a read") {
                Answer::Absent => None,
                Answer::Fresh(entry) => Some(entry),
                Answer::Degraded(entry) => panic!("{entry:?} cannot be trusted"),
            }
        });
        self.reads[who] += reads;
        let Some(entry) = answer else { return };
        match (self.has_l2, self.has_l1) {
            (false, _) => assert_eq!(entry.tier(), Tier::L1, "{}", self.name),
            (_, false) => assert_eq!(entry.tier(), Tier::L2, "{}", self.name),
            _ => {}
        }
        let name = &self.name;
        let there = if self.local[who].contains_key(key) { &mut self.local[who] } else { &mut self.shared };
        let known = there.get_mut(key).expect("it is known");
        let ends_at_ms = entry.lifetime().expires_at_ms;
        assert_eq!(*known.expires_at_ms.get_or_insert(ends_at_ms), ends_at_ms, "{name}: {key:?}");
    }

    fn peek(&mut self, who: usize, key: &'static [u8]) {
        let is_it = |known: &Known, cache: &Cache| {
            let entry = cache.peek_checked(key).expect("a peek");
            entry.is_none_or(|entry| entry.data() == known.data && entry.version() == known.version)
        };
        let (known, cache) = (self.known(who, key), &self.caches[who]);
        wait_until(&format!("{}: a peek finds what is there", self.name), || match known {
            Some(known) => is_it(known, cache),
            None => cache.peek_checked(key).expect("a peek").is_none(),
        });
    }

    fn touch(&mut self, who: usize, key: &'static [u8]) {
        let is_there = self.known(who, key).is_some();
        wait_until(&format!("{}: a touch finds what is there", self.name), || {
            self.caches[who].touch(key).expect("a touch") == is_there
        });
    }

    /// What `read` answers when it is what is there: at once, but for what another cache wrote of which Redis has not told.
    fn as_known(
        &self,
        who: usize,
        key: &[u8],
        what: &str,
        mut read: impl FnMut(&Cache) -> Option<tokencache::entry::Entry>,
    ) -> Option<tokencache::entry::Entry> {
        let known = self.known(who, key).map(|known| (&known.data[..], known.version));
        let mut tries = 0;
        let mut answer = None;
        wait_until(&format!("{}: {what} of {key:?} answers {known:?}", self.name), || {
            answer = read(&self.caches[who]);
            tries += 1;
            assert!(tries == 1 || self.may_lag(), "{}: {answer:?} is not {known:?}", self.name);
            answer.as_ref().map(|entry| (entry.data(), entry.version())) == known
        });
        answer
    }

    fn may_lag(&self) -> bool {
        self.is_redis && self.caches.len() > 1
    }

    fn count(&self, who: usize) {
        let told = statistics(&self.caches[who]);
        let number = |tier: &str, name: &str| told[tier][name].as_u64().expect("a number");
        assert_eq!(number("l1", "hits") + number("l1", "misses"), self.reads[who], "{}", self.name);
        if self.has_l2 {
            assert_eq!(
                number("l2", "hits") + number("l2", "misses"),
                number("l1", "misses"),
                "{}",
                self.name
            );
            assert_eq!(number("l2", "conflicts"), self.conflicts[who], "{}", self.name);
        }
    }
}

fn run(name: &str, caches: Vec<Arc<Cache>>, has_l2: bool, has_l1: bool) {
    let seed = fastrand::u64(..);
    let count = caches.len();
    let (is_redis, name) =
        (name.starts_with("redis"), format!("{name}, {count} caches, L1 {has_l1}, seed {seed}"));
    let mut scene = Scene {
        name,
        random: fastrand::Rng::with_seed(seed),
        caches,
        has_l2,
        has_l1,
        shared: Map::new(),
        local: vec![Map::new(); count],
        given: HashSet::new(),
        is_redis,
        reads: vec![0; count],
        conflicts: vec![0; count],
    };
    scene.run(if is_long() { 20_000 } else { 400 });
    scene.caches.iter().for_each(|cache| assert!(cache.close()));
}

fn everywhere(kind: &str, place: &dyn Fn() -> Option<Box<dyn Place>>) {
    for encryption in [json!({}), sealing(&[("active", 1)], json!({}))] {
        for (count, has_l1) in [(1, true), (1, false), (2, true), (2, false)] {
            let Some(place) = place() else { return };
            let mut members = json!({ "l1": { "enabled": has_l1 } });
            support::cache::merge(&mut members, encryption.clone());
            let open = |members: Value| Cache::open(place.document(members).as_bytes()).expect("it opens");
            let caches: Vec<_> = (0..count).map(|_| open(members.clone())).collect();
            wait_until("changes are heard of", || {
                caches.iter().all(|cache| statistics(cache)["coherence"]["feed"] == "up")
            });
            run(&format!("{kind} {encryption}"), caches, true, has_l1);
        }
    }
}

#[test]
fn in_l1_alone() {
    run("alone", vec![open_alone(json!({}))], false, true);
}

#[test]
fn on_sqlite() {
    everywhere("sqlite", &|| Some(Box::new(Sqlite::new())));
}

#[test]
fn on_redis() {
    everywhere("redis", &|| Some(Box::new(Server::start()?)));
}
