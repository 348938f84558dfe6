//! A random walk of one user's token cache through an L2 that takes no writes now and then: it is merged and stored by two
//! processes over one journal, one after the other, so that nothing that was acknowledged is lost and nothing that was
//! taken away comes back, whatever a replay does meanwhile.

#[path = "support/msal.rs"]
mod msal;
#[path = "support/proxy.rs"]
mod proxy;
#[path = "support/redis.rs"]
mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use msal::{Answer, Library, empty, save};
use proxy::Proxy;
use serde_json::{Value, json};
use support::cache::{is_long, merge};
use support::{GENEROUS, Server, document};
use tokencache::cache::{Base, Cache, SetOptions, SetOutcome};
use tokencache::clock;

const KEY: &[u8] = b"alice.home";
const STEPS: usize = 50;

/// The scopes of its access tokens.
type Scopes = BTreeSet<String>;

fn scopes(document: &Value) -> Scopes {
    let tokens = document["AccessToken"].as_object().into_iter().flatten();
    tokens.map(|(_, token)| token["target"].as_str().expect("a target").into()).collect()
}

struct Walk {
    rng: Rng,
    server: Server,
    proxy: Proxy,
    config: Value,
    caches: Vec<Arc<Cache>>,
    /// What may lie there: one thing, unless a write has failed.
    possible: Vec<Scopes>,
    tokens: i64,
    said: Vec<String>,
}

impl Walk {
    fn start(seed: u64) -> Option<Walk> {
        let (mut rng, server) = (Rng::with_seed(seed), Server::start()?);
        let proxy = Proxy::before(server.port());
        let mut members = json!({"resilience": {"close_ms": 0, "probe_ms": 50, "max_attempts": 1}});
        let has_file = rng.bool();
        if has_file {
            merge(&mut members, json!({"resilience": {"journal_path": server.folder().join("owed.db")}}));
        }
        let config: Value = serde_json::from_str(&document(&proxy.url(), members)).expect("JSON");
        let open = |_| Cache::open(config.to_string().as_bytes()).expect("the cache opens");
        let caches: Vec<_> = (0..1 + usize::from(has_file)).map(open).collect();
        let said = vec![format!("seed {seed}, {} caches", caches.len())];
        let mut walk = Walk { rng, server, proxy, config, caches, possible: vec![], tokens: 0, said };
        let mut first = empty();
        walk.add(&mut first);
        let bytes = serde_json::to_vec(&first).expect("JSON");
        walk.caches[0].set(KEY, &bytes, SetOptions::default()).expect("taken");
        walk.possible.push(scopes(&first));
        Some(walk)
    }

    fn add(&mut self, document: &mut Value) {
        self.tokens += 1;
        let at = clock::unix_ms() / 1000 - 7200 + self.tokens;
        let (scopes, account) = (format!("s{}", self.tokens), "alice.home");
        let answer = Answer { account, client: "c1", realm: "home", scopes: &scopes, at, rotates: false };
        save(document, Library::DotNet, &answer);
    }

    fn take(&mut self, document: &mut Value) {
        let Some(gone) = self.rng.choice(scopes(document)) else { return };
        let tokens = document["AccessToken"].as_object_mut().expect("a section");
        tokens.retain(|_, token| token["target"] != gone);
    }

    fn holds(&mut self, what: &str, found: &[u8]) {
        let found = scopes(&serde_json::from_slice(found).expect("JSON"));
        let possible = &self.possible;
        assert!(possible.contains(&found), "{:#?}\n{what}: {found:?}, not {possible:?}", self.said);
        self.possible = vec![found];
    }

    fn write(&mut self) {
        let by = self.rng.usize(..self.caches.len());
        let cache = Arc::clone(&self.caches[by]);
        let Ok(entry) = cache.get(KEY) else { return };
        let entry = entry.expect("nobody removes it");
        self.holds(&format!("read by {by}"), entry.data());
        let mut document = serde_json::from_slice(entry.data()).expect("JSON");
        let is_plain = self.rng.u8(..6) == 0;
        match self.rng.bool() {
            true => self.add(&mut document),
            false => self.take(&mut document),
        }
        let bytes = serde_json::to_vec(&document).expect("JSON");
        let outcome = if is_plain {
            cache.set(KEY, &bytes, SetOptions::default())
        } else {
            let base = Base { data: entry.data(), version: entry.version() };
            cache.set_merged(KEY, Some(base), &bytes, SetOptions::default()).map(|(outcome, _)| outcome)
        };
        let new = scopes(&document);
        self.said.push(format!("{by} stores, plain: {is_plain}, {new:?}: {outcome:?}"));
        match outcome {
            Ok(SetOutcome::Conflict) => {}
            Ok(_) => self.possible = vec![new],
            Err(_) => self.possible.push(new),
        }
        // A change takes its time to the others.
        self.caches.iter().for_each(|cache| cache.clear().expect("cleared"));
    }

    fn refuse(&mut self, refuses: bool) {
        self.server.ask::<()>(&format!("CONFIG SET min-replicas-to-write {}", u8::from(refuses)));
        self.said.push(format!("refuses: {refuses}"));
    }

    fn step(&mut self) {
        match self.rng.u8(..20) {
            0..=11 => self.write(),
            12..=13 => self.refuse(true),
            14..=15 => self.refuse(false),
            16 => self.proxy.delay(Duration::from_millis(self.rng.u64(..20))),
            17 => self.proxy.heal(),
            18 => {
                let write = self.rng.choice(["behind", "through"]);
                merge(&mut self.config, json!({"l2": {"write": write}}));
                self.caches[0].configure(self.config.to_string().as_bytes()).expect("taken");
            }
            _ => std::thread::sleep(Duration::from_millis(self.rng.u64(..60))),
        }
    }

    fn end(&mut self) {
        self.refuse(false);
        self.proxy.heal();
        assert!(self.caches.iter().all(|cache| cache.flush(GENEROUS)), "nothing is owed: {:#?}", self.said);
        let entry = self.server.open_without_l1().get(KEY).expect("a read").expect("an entry");
        self.holds("in L2", entry.data());
    }
}

#[test]
fn what_is_merged_and_stored_while_l2_comes_and_goes_is_there_and_nothing_else() {
    let end = Instant::now() + Duration::from_secs(if is_long() { 300 } else { 8 });
    while Instant::now() < end {
        let Some(mut walk) = Walk::start(fastrand::u64(..)) else { return };
        for _ in 0..3 {
            (0..STEPS).for_each(|_| walk.step());
            walk.end();
        }
    }
}
