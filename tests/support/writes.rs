//! What was written when, so that a read can be told to be stale; a writer that goes on writing, and a reader that
//! never rests.

#![allow(dead_code)]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use redis::{Connection, cmd};
use tokencache::cache::{Answer, Cache};

use crate::support::{Over, Server, stored};

/// The key that is written and read.
pub const KEY: &[u8] = b"hot";
/// How long a change may be on its way while nothing is wrong: both processes and the reader share the machine with
/// other tests.
pub const UNDER_WAY: Duration = Duration::from_millis(200);
const WRITES: usize = 200_000;

/// The writes of one writer, numbered from 1.
pub struct History {
    began: Instant,
    /// When each was answered, in microseconds since the beginning; 0 for never.
    answered_us: Vec<AtomicU64>,
}

/// A read that was answered as if it were sure.
#[derive(Clone, Copy, Debug)]
pub struct Stale {
    /// When it began.
    pub at: Instant,
    /// How long there had been something newer.
    pub lag: Duration,
}

/// What a reader saw.
#[derive(Debug, Default)]
pub struct Seen {
    pub fresh: u64,
    pub degraded: u64,
    pub failed: u64,
    /// Those that were more than [`UNDER_WAY`] behind.
    pub stale: Vec<Stale>,
    pub worst: Duration,
}

impl Default for History {
    fn default() -> History {
        History { began: Instant::now(), answered_us: (0..WRITES).map(|_| AtomicU64::new(0)).collect() }
    }
}

impl History {
    fn answer(&self, number: usize) {
        let us = u64::try_from(self.began.elapsed().as_micros()).expect("a short test").max(1);
        self.answered_us[number].store(us, Ordering::SeqCst);
    }

    /// How long before `at` something newer than `number` was acknowledged, of what was written up to now.
    fn lag(&self, number: usize, at: Instant, newest: usize) -> Duration {
        let newer = self.answered_us[number + 1..=newest.max(number)].iter();
        let first_us = newer.map(|us| us.load(Ordering::SeqCst)).find(|us| *us != 0);
        first_us
            .map_or(Duration::ZERO, |us| at.saturating_duration_since(self.began + Duration::from_micros(us)))
    }

    /// Writes and reads until `during` is over, and answers what was seen.
    pub fn of(server: &mut Server, cache: &Cache, during: impl FnOnce(&mut Server)) -> Seen {
        let history = History::default();
        let (is_over, newest) = (AtomicBool::new(false), AtomicU64::new(0));
        let socket = server.socket();
        thread::scope(|scope| {
            let over = Over(&is_over);
            scope.spawn(|| {
                let url = format!("unix://{}?user=tests&pass=tests", socket.display());
                let connect = || {
                    let link = redis::Client::open(url.as_str()).ok()?.get_connection().ok()?;
                    // A server that stands still must not keep this thread when the test is over.
                    link.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
                    Some(link)
                };
                let mut link: Option<Connection> = None;
                let mut number = 0_usize;
                while !is_over.load(Ordering::Relaxed) {
                    if link.is_none() {
                        link = connect();
                    }
                    if let Some(to) = &mut link {
                        number += 1;
                        newest.store(number as u64, Ordering::SeqCst);
                        let mut entry = cmd("HSET");
                        entry.arg(stored(KEY)).arg("absexp").arg(-1).arg("sldexp").arg(-1);
                        match entry.arg("data").arg(number.to_string()).exec(to) {
                            Ok(()) => history.answer(number),
                            Err(_) => link = None,
                        }
                    }
                    thread::sleep(Duration::from_millis(2));
                }
            });
            let reader = scope.spawn(|| {
                let mut seen = Seen::default();
                while !is_over.load(Ordering::Relaxed) {
                    let at = Instant::now();
                    let entry = match cache.answer(KEY) {
                        Ok(Answer::Fresh(entry)) => entry,
                        Ok(Answer::Degraded(_)) => {
                            seen.degraded += 1;
                            continue;
                        }
                        Ok(Answer::Absent) => continue,
                        Err(_) => {
                            seen.failed += 1;
                            continue;
                        }
                    };
                    seen.fresh += 1;
                    let number = std::str::from_utf8(entry.data()).expect("a number").parse().expect("one");
                    let newest = usize::try_from(newest.load(Ordering::SeqCst)).expect("a short test");
                    let lag = history.lag(number, at, newest);
                    seen.worst = seen.worst.max(lag);
                    if lag > UNDER_WAY {
                        seen.stale.push(Stale { at, lag });
                    }
                }
                seen
            });
            during(server);
            drop(over);
            reader.join().expect("the reader")
        })
    }
}
