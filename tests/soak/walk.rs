//! Workers on a second tier to which one thing after another happens.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tokencache::cache::Cache;

use super::usage::Usage;
use crate::history::{Report, Rules, check};
use crate::support::GENEROUS;
use crate::workers::{Crew, Language, Orders, now_ns};

/// What can happen, by its name; all is well again when it returns.
pub type Fault<V> = (&'static str, fn(&mut V, &mut Crew));

/// The same of workers.
type OfWorkers<V> = (&'static str, fn(&mut Walk<V>));

/// A second tier that can be hurt.
pub trait Victim: Sized + 'static {
    const NAME: &str;
    const FAULTS: &[Fault<Self>];
    /// How long others may be answered with something older than an acknowledged write.
    const BOUND: Duration;
    /// It goes back to what it had when another takes its place, and what was written since is made again by whoever wrote
    /// it: no worker is killed.
    const FAILS_OVER: bool = false;

    /// Of a cache over it.
    fn document(&self) -> String;
}

/// What came of it.
pub struct Outcome {
    pub name: &'static str,
    pub report: Report,
    pub faults: BTreeMap<&'static str, u64>,
    /// Of the worker of each language that was never killed: once it was warm, and in the end.
    pub elders: Vec<(&'static str, Usage, Usage)>,
}

/// And as many operations a second as leave room for the faults and the rest of the machine.
const LANGUAGES: [(&str, Language, u32); 2] = [("C", Language::C, 10_000), ("Python", Language::Python, 500)];
const KEYS: u32 = 24;
/// How often a line says that it goes on.
const PROGRESS: Duration = Duration::from_secs(10);
/// How late a change may be heard of in a walk of seconds.
const SHORT: Duration = Duration::from_secs(10);

struct Walk<V> {
    victim: V,
    document: String,
    crew: Crew,
    elders: Vec<usize>,
    mortals: Vec<usize>,
    faults: BTreeMap<&'static str, u64>,
    /// Which, from when to when.
    struck: Vec<(&'static str, i64, i64)>,
}

/// A time of up to `ms`.
pub fn up_to_ms(ms: u64) -> Duration {
    Duration::from_millis(fastrand::u64(1..=ms))
}

/// Hurts `victim` for as long as it `lasts`, and holds the histories of its workers against the rules.
pub fn walk<V: Victim>(victim: V, lasts: Duration) -> Outcome {
    let (document, crew) = (victim.document(), Crew::new());
    let (elders, mortals, faults, struck) = <_>::default();
    let mut walk = Walk { victim, document, crew, elders, mortals, faults, struck };
    for which in 0..LANGUAGES.len() {
        let (elder, mortal) = (walk.start(which), walk.start(which));
        walk.elders.push(elder);
        walk.mortals.push(mortal);
    }
    walk.crew.wait_for_operations(1_000);
    let first = walk.usage();
    walk.go_on_for(lasts);
    walk.crew.wait_for_operations(1_000);
    let last = walk.usage();
    walk.crew.stop();
    walk.settle();
    // A short one is a test among others, on a machine that has much else to do.
    let bound = if lasts < Duration::from_secs(60) { SHORT } else { V::BOUND };
    let bound_ms = bound.as_millis() as u64;
    let rules = Rules { bound_ms, l2_goes_back: V::FAILS_OVER, ..Rules::default() };
    let history = walk.crew.finish(&walk.document);
    let report = check(&history.logs, &rules);
    if !report.violated.is_empty() {
        println!(
            "{}: the logs are in {}; what was done to it, in seconds:",
            V::NAME,
            history.keep().display()
        );
        for (name, begin_ns, end_ns) in walk.struck {
            println!("  {:.3} to {:.3}: {name}", begin_ns as f64 / 1e9, end_ns as f64 / 1e9);
        }
    }
    let elders = LANGUAGES.iter().zip(first.into_iter().zip(last));
    let elders = elders.map(|((language, ..), (first, last))| (*language, first, last)).collect();
    Outcome { name: V::NAME, report, faults: walk.faults, elders }
}

impl<V: Victim> Walk<V> {
    /// Starts a worker of one of the [`LANGUAGES`].
    fn start(&mut self, which: usize) -> usize {
        let (_, language, operations_per_second) = LANGUAGES[which];
        self.crew.start(language, &self.document, Orders { keys: KEYS, operations: 0, operations_per_second })
    }

    fn go_on_for(&mut self, lasts: Duration) {
        let (begin, mut said) = (Instant::now(), Instant::now());
        while begin.elapsed() < lasts {
            self.strike();
            std::thread::sleep(up_to_ms(2_000));
            if said.elapsed() >= PROGRESS {
                said = Instant::now();
                self.say(begin.elapsed());
            }
        }
    }

    /// Something happens to the second tier or to a worker.
    fn strike(&mut self) {
        let of_workers: [OfWorkers<V>; 2] =
            [("worker stopped", Walk::stop_one), ("worker killed", Walk::kill_one)];
        let of_workers = &of_workers[..if V::FAILS_OVER { 1 } else { 2 }];
        let which = fastrand::usize(..V::FAULTS.len() + of_workers.len());
        let begin_ns = now_ns();
        let name = match V::FAULTS.get(which) {
            Some((name, strike)) => {
                strike(&mut self.victim, &mut self.crew);
                name
            }
            None => {
                let (name, strike) = of_workers[which - V::FAULTS.len()];
                strike(self);
                name
            }
        };
        self.struck.push((name, begin_ns, now_ns()));
        *self.faults.entry(name).or_default() += 1;
    }

    /// Another takes its place.
    fn kill_one(&mut self) {
        let which = fastrand::usize(..self.mortals.len());
        self.crew.kill(self.mortals[which]);
        self.mortals[which] = self.start(which);
    }

    fn stop_one(&mut self) {
        let all: Vec<_> = self.elders.iter().chain(&self.mortals).copied().collect();
        let which = all[fastrand::usize(..all.len())];
        self.crew.signal(which, Signal::SIGSTOP);
        std::thread::sleep(up_to_ms(1_500));
        self.crew.signal(which, Signal::SIGCONT);
    }

    fn usage(&self) -> Vec<Usage> {
        self.elders.iter().map(|elder| Usage::of(self.crew.pid(*elder))).collect()
    }

    fn say(&self, since: Duration) {
        let usage: Vec<_> = self.usage().iter().map(ToString::to_string).collect();
        println!(
            "  {:<6} {:4} s: about {} operations, {} faults; {}",
            V::NAME,
            since.as_secs(),
            self.crew.operations_about(),
            self.faults.values().sum::<u64>(),
            usage.join("; ")
        );
    }

    /// What the killed have owed is brought to L2.
    fn settle(&self) {
        let cache = Cache::open(self.document.as_bytes()).expect("the cache opens");
        assert!(cache.flush(GENEROUS), "{}", cache.statistics(0).expect("statistics"));
        cache.close();
    }
}
