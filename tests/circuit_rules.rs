//! What opens the circuit, what closes it, and whose outcome is no news, without any L2.

use std::time::{Duration, Instant};

use serde_json::Value;
use tokencache::config::{Config, Resilience};
use tokencache::l2::{Class, Failure};
use tokencache::log::{Level, Logger, Settings};
use tokencache::resilience::circuit::{Circuit, Pass};
use tokencache::stats::Operation;

/// A circuit, and what a cache tells it.
struct Told {
    circuit: Circuit,
    policy: Resilience,
    log: Logger,
}

impl Told {
    fn with(members: &str) -> Told {
        let document = format!(r#"{{"version": 1, "resilience": {{{members}}}}}"#);
        let policy = Config::parse(document.as_bytes()).expect("a document").resilience;
        let log = Logger::new(Settings {
            name: String::new(),
            level: Level::Error,
            to_stderr: false,
            clear_keys: false,
            key_prefix: String::new(),
        });
        Told { circuit: Circuit::default(), policy, log }
    }

    fn enter(&self) -> Pass {
        self.circuit.enter().expect("leave to ask")
    }

    fn fail(&self, pass: Pass, class: Class, operation: Operation) {
        let failure = Failure::new(class, "It is away.");
        self.circuit.failed(pass, operation, &failure, &self.policy, &self.log);
    }

    /// Attempts, one after the other: `x` for one that fails.
    fn attempts(&self, outcomes: &str) {
        for outcome in outcomes.chars() {
            match outcome {
                'x' => self.fail(self.enter(), Class::Unreachable, Operation::Get),
                _ => self.circuit.succeeded(self.enter(), &self.log),
            }
        }
    }

    fn probe(&self, answer: Result<(), Class>) {
        let pass = self.circuit.begin_probe(&self.policy);
        let answer = answer.map_err(|class| Failure::new(class, "Still away."));
        self.circuit.end_probe(pass, answer, &self.policy, &self.log);
    }

    fn state(&self) -> String {
        self.said("state").as_str().expect("a word").to_owned()
    }

    fn said(&self, name: &str) -> Value {
        self.circuit.describe()[name].clone()
    }
}

#[test]
fn failures_in_a_row_open_it_and_a_success_between_them_does_not_let_them_add_up() {
    let told = Told::with("");
    told.attempts("xxxx.xxxx.");
    assert_eq!(told.state(), "closed");
    let told = Told::with("");
    told.attempts(".xxxxx");
    assert_eq!((told.state().as_str(), told.said("opened")), ("open", 1.into()));
    let refusal = told.circuit.enter().expect_err("suspended");
    assert_eq!(refusal.class, Class::Suspended);
    for part in
        ["circuit is open since ", " UTC, because 5 attempts in a row failed", "each 1000 ms", "It is away."]
    {
        assert!(refusal.message.contains(part), "{refusal}");
    }
    let told = Told::with(r#""circuit_failures": 1"#);
    told.attempts("x");
    assert!(told.circuit.enter().expect_err("suspended").message.contains("because 1 attempt failed"));
}

#[test]
fn a_share_of_the_last_20_opens_it() {
    let told = Told::with("");
    told.attempts(&".x".repeat(9));
    assert_eq!(told.state(), "closed");
    told.attempts(".x");
    assert_eq!(told.state(), "open");
    assert!(
        told.circuit.enter().expect_err("suspended").message.contains("10 of the last 20 attempts failed")
    );

    let told = Told::with("");
    told.attempts(&"x..".repeat(200));
    assert_eq!(told.state(), "closed", "a third is not half");
    let told = Told::with(r#""circuit_ratio": 0.3"#);
    told.attempts(&("x..".repeat(5) + "x"));
    assert_eq!(told.state(), "open", "6 of 20 are 0.3");
    let told = Told::with(r#""circuit_ratio": 1, "circuit_failures": 1000"#);
    told.attempts("xxxxxxxxxxxxxxxxxxx");
    assert_eq!(told.state(), "closed");
    told.attempts("x");
    assert_eq!(told.state(), "open");
}

#[test]
fn without_a_circuit_nothing_opens() {
    let told = Told::with(r#""circuit_failures": 0"#);
    told.attempts(&"x".repeat(100));
    assert_eq!((told.state().as_str(), told.circuit.next_probe()), ("closed", None));
}

#[test]
fn only_what_says_that_l2_cannot_be_read_counts() {
    const OPEN: &str = "open";
    const CLOSED: &str = "closed";
    // A read, a write.
    let table = [
        (Class::Unreachable, OPEN, OPEN),
        (Class::Timeout, OPEN, OPEN),
        (Class::Busy, OPEN, CLOSED),
        (Class::Denied, OPEN, CLOSED),
        (Class::Protocol, CLOSED, CLOSED),
        (Class::Full, CLOSED, CLOSED),
        (Class::Closed, CLOSED, CLOSED),
    ];
    for (class, reads, writes) in table {
        let operations = [
            (Operation::Get, reads),
            (Operation::Connect, reads),
            (Operation::Set, writes),
            (Operation::Remove, writes),
            (Operation::Touch, writes),
        ];
        for (operation, expected) in operations {
            let told = Told::with("");
            for _ in 0..5 {
                told.fail(told.enter(), class, operation);
            }
            assert_eq!(told.state(), expected, "{class:?} {operation:?}");
        }
    }
}

#[test]
fn a_probe_lets_calls_through_and_the_first_failure_ends_that() {
    let told = Told::with("");
    told.attempts("xxxxx");
    told.probe(Err(Class::Timeout));
    assert_eq!((told.state().as_str(), told.said("reason")), ("open", "Still away.".into()));
    for _ in 0..3 {
        told.probe(Ok(()));
        assert_eq!(told.state(), "half_open");
        told.attempts(".x");
        assert_eq!(told.state(), "open");
    }
    assert_eq!(told.said("opened"), 1, "it is one outage");
    told.probe(Ok(()));
    told.attempts("..");
    assert_eq!((told.state().as_str(), told.said("open_ms")), ("closed", 0.into()));
    told.attempts("xxxx");
    assert_eq!(told.state(), "closed", "what was is forgotten");
    told.attempts("x");
    assert_eq!(told.said("opened"), 2);
}

#[test]
fn where_nobody_calls_probes_close_it() {
    let told = Told::with("");
    told.attempts("xxxxx");
    for state in ["half_open", "half_open", "closed"] {
        told.probe(Ok(()));
        assert_eq!(told.state(), state);
    }
    assert_eq!((told.circuit.next_probe(), told.said("probes")), (None, 3.into()));
    told.attempts("xxxxx");
    told.probe(Ok(()));
    told.probe(Err(Class::Busy));
    assert_eq!(told.state(), "open");
    // A full disk answers reads, and a cache that closes says nothing of L2.
    told.probe(Err(Class::Closed));
    assert_eq!(told.state(), "open");
    told.probe(Err(Class::Full));
    assert_eq!(told.state(), "half_open");
}

#[test]
fn what_was_asked_before_a_change_is_no_news_after_it() {
    let told = Told::with("");
    let before = told.enter();
    told.attempts("xxxxx");
    told.circuit.succeeded(before, &told.log);
    assert_eq!(told.state(), "open");
    told.probe(Ok(()));
    told.fail(before, Class::Timeout, Operation::Get);
    assert_eq!(told.state(), "half_open");
    let half_open = told.enter();
    let probe = told.circuit.begin_probe(&told.policy);
    told.circuit.close(&told.log);
    told.circuit.end_probe(probe, Err(Failure::new(Class::Timeout, "Late.")), &told.policy, &told.log);
    for _ in 0..10 {
        told.fail(half_open, Class::Timeout, Operation::Get);
    }
    assert_eq!((told.state().as_str(), told.said("opened")), ("closed", 1.into()));
    told.attempts("xxxx.");
}

#[test]
fn probes_are_never_closer_than_their_time_and_not_all_at_once() {
    let told = Told::with(r#""probe_ms": 1000"#);
    told.attempts("xxxxx");
    // Since some time before a probe began, and since some time after: in between this thread may get no turn.
    let pauses: Vec<[Duration; 2]> = (0..200)
        .map(|_| {
            let before = Instant::now();
            told.circuit.begin_probe(&told.policy);
            let after = Instant::now();
            let next = told.circuit.next_probe().expect("another");
            [next - before, next.saturating_duration_since(after)]
        })
        .collect();
    let shortest = pauses.iter().map(|[since_before, _]| *since_before).min().expect("a pause");
    let longest = pauses.iter().map(|[_, since_after]| *since_after).max().expect("a pause");
    assert!(shortest >= Duration::from_secs(1), "{shortest:?}");
    assert!(longest < Duration::from_millis(1300), "{longest:?}");
    assert!(longest - shortest > Duration::from_millis(100), "they are spread");
}
