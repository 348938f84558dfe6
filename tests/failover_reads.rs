//! Until what was acknowledged is on the new primary again, a key reads as it will be there.

#[path = "support/failover.rs"]
mod pair;
#[path = "support/proxy.rs"]
mod proxy;
#[path = "support/redis.rs"]
mod support;

use pair::{Pair, again, again_is_done, found, set, set_for};
use serde_json::json;
use support::{wait_until, written};
use tokencache::cache::Answer;
use tokencache::clock;
use tokencache::entry::Asked;

#[test]
fn a_key_reads_as_it_will_be_until_it_has_been_made_again() {
    let Some(pair) = Pair::start() else { return };
    let cache = pair.open(json!({"resilience": {"circuit_failures": 0}}));
    pair.promote();
    let ends_ms = clock::unix_ms() + 3_600_000;
    for key in ["lost", "replaced", "removed"] {
        set(&cache, key, "1");
    }
    set_for(&cache, "slid out", "1", Asked { expires_at_ms: ends_ms, sliding_ms: 300, ..Asked::default() });
    let other = pair.new.open(json!({}));
    set(&other, "replaced", "2");
    set(&other, "removed", "2");
    assert_eq!(written(other.remove(b"removed")), "TC_OK");
    wait_until("it slides out", || pair.old.pttl(b"p:slid out") == -2);
    // There is no room for what is to be made again.
    pair.new.ask::<()>("CONFIG SET maxmemory 1");
    pair.fail_over();
    wait_until("it is met", || again(&cache)["primary_changes"] == 1);
    let answer = |key: &str| match cache.answer(key.as_bytes()).expect("an answer") {
        Answer::Degraded(entry) => format!("{} (degraded)", String::from_utf8_lossy(entry.data())),
        Answer::Fresh(entry) => String::from_utf8_lossy(entry.data()).into_owned(),
        Answer::Absent => String::new(),
    };
    for _ in 0..3 {
        assert_eq!(answer("lost"), "1 (degraded)");
        assert!(answer("replaced").starts_with('2'), "{}", answer("replaced"));
        assert_eq!([answer("removed"), answer("slid out")], ["", ""]);
    }
    pair.new.ask::<()>("CONFIG SET maxmemory 0");
    again_is_done(&cache, 1);
    let reader = pair.new.open_without_l1();
    assert_eq!(
        ["lost", "replaced", "removed", "slid out"].map(|key| found(&reader, key)),
        ["1", "2", "", ""]
    );
}
