//! A stock service renews a sliding entry at each hit of its own, a hundred times a second, while we read it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use redis::cmd;

use crate::stock::Stock;
use crate::support::cache::statistics;
use crate::support::{Server, stored};
use crate::{catch_up, hold, is_one, open, read, sliding, write};

const KEY: &str = "hot";
const PACE: Duration = Duration::from_millis(10);
const RENEWALS: u64 = 300;

#[test]
fn a_stock_shaped_peer_that_renews_at_each_of_its_hits_costs_a_look_and_replaces_nothing() {
    let Some(server) = Server::start() else { return };
    for readers in [1, 4] {
        let mut link = server.connection().expect("a connection");
        let hit = || {
            let mut hit = redis::pipe();
            hit.cmd("HMGET").arg(stored(KEY.as_bytes())).arg(&["absexp", "sldexp", "data"]).ignore();
            hit.add_command(cmd("EXPIRE").arg(stored(KEY.as_bytes())).arg(3_600).clone());
            let [renewed]: [i64; 1] = hit.query(&mut link).expect("an answer");
            assert_eq!(renewed, 1);
        };
        storm(&server, readers, hit);
    }
}

#[test]
fn a_stock_service_that_renews_at_each_of_its_hits_costs_a_look_and_replaces_nothing() {
    let Some(server) = Server::start() else { return };
    let Some(mut stock) = Stock::on(&server) else { return };
    storm(&server, 4, || assert_eq!(stock.get(KEY).as_deref(), Some(&b"hot"[..])));
}

fn storm(server: &Server, readers: usize, mut hit: impl FnMut()) {
    let cache = open(server);
    write(&cache, KEY.as_bytes(), b"hot", sliding());
    let held = hold(&cache, KEY.as_bytes());
    let counts = || {
        catch_up(&cache);
        let all = statistics(&cache);
        let count = |part: &str, name: &str| all[part][name].as_u64().expect("a count");
        [count("coherence", "changes_heard"), count("l1", "unverified"), count("l2", "hits")]
    };
    let before = counts();
    let (is_over, reads, replaced) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..readers {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    let found = read(&cache, KEY.as_bytes()).expect("it never ends");
                    replaced.fetch_add(u64::from(!is_one(&found, &held)), Ordering::Relaxed);
                    reads.fetch_add(1, Ordering::Relaxed);
                    // Together ten thousand a second and more.
                    thread::sleep(Duration::from_micros(50));
                }
            });
        }
        let begun = Instant::now();
        for renewal in 0..RENEWALS {
            hit();
            thread::sleep((PACE * u32::try_from(renewal + 1).expect("few")).saturating_sub(begun.elapsed()));
        }
        is_over.store(true, Ordering::Relaxed);
    });
    let after = counts();
    let [heard, looks, asked] = [0, 1, 2].map(|at| after[at] - before[at]);
    let (reads, replaced) = (reads.into_inner(), replaced.into_inner());
    println!(
        "{RENEWALS} renewals, {readers} readers, {reads} reads: {heard} pushes heard, {looks} looks at L2, {replaced} \
         entries replaced"
    );
    assert_eq!((heard, replaced), (RENEWALS, 0));
    assert!(looks > 0 && looks <= heard, "{looks} looks for {heard} pushes");
    assert_eq!(asked, looks, "every read of L2 found what was here");
}
