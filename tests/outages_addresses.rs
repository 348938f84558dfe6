//! A journal's file belongs to one L2, by its address: others are refused, and who was not told of a new one knows nothing.

#[path = "support/redis.rs"]
mod support;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use support::cache::merge;
use support::{GENEROUS, Server, wait_until, written};
use tokencache::cache::{Cache, SetOptions};

/// A server, and the document of caches that share a journal in its folder.
struct Scene(Server);

impl Scene {
    fn document(&self, more: Value) -> String {
        let mut members = json!({
            "resilience": {"max_attempts": 1, "close_ms": 200, "journal_path": self.0.folder().join("owed.db")},
        });
        merge(&mut members, more);
        self.0.document(members)
    }

    fn open(&self) -> Arc<Cache> {
        let cache = Cache::open(self.document(json!({})).as_bytes()).expect("the cache opens");
        wait_until("it is connected", || cache.get(b"nothing").is_ok());
        cache
    }

    fn refuse_writes(&self, refuses: bool) {
        self.0.ask::<()>(&format!("CONFIG SET min-replicas-to-write {}", u8::from(refuses)));
    }
}

fn set(cache: &Cache, value: &[u8]) -> &'static str {
    written(cache.set(b"k", value, SetOptions::default()))
}

fn is_gone(cache: &Cache, key: &[u8]) -> bool {
    cache.get(key).expect("a read").is_none()
}

#[test]
fn a_journal_of_another_l2_or_prefix_is_refused_by_name() {
    let Some(scene) = Server::start().map(Scene) else { return };
    let ours = scene.open();
    for other in [json!({"key_prefix": "other:"}), json!({"url": "redis://127.0.0.1:1/0"})] {
        let document = scene.document(json!({"l2": other}));
        let refused = Cache::open(document.as_bytes()).map(drop).expect_err("refused");
        assert_eq!(refused.kind.name(), "TC_INVALID_CONFIG");
        let words = ["/resilience/journal_path", &format!("redis://127.0.0.1:{}/0 p:", scene.0.port())];
        assert!(words.iter().all(|words| refused.message.contains(words)), "{refused}");
    }
    assert_eq!(set(&ours, b"1"), "TC_OK");
}

/// They have not heard of it yet, and reach L2 by its old address.
#[test]
fn what_is_owed_hides_what_l2_has_from_those_too_whose_journal_was_led_to_another_address() {
    let Some(scene) = Server::start().map(Scene) else { return };
    let [leads, stays] = [scene.open(), scene.open()];
    assert_eq!(set(&stays, b"old"), "TC_OK");
    scene.refuse_writes(true);
    assert_eq!(written(stays.remove(b"k")), "TC_DEGRADED");
    let document = scene.document(json!({"l2": {"url": format!("redis://localhost:{}/0", scene.0.port())}}));
    leads.configure(document.as_bytes()).expect("it is the same server");
    for clears in [false, true] {
        if clears {
            stays.clear().expect("cleared");
        }
        let refused = stays.get(b"k").expect_err("it was removed, and nobody here can say so");
        assert_eq!(refused.kind.name(), "TC_L2_PROTOCOL");
        assert!(refused.message.contains("tc_configure name the new one"), "{refused}");
        assert!(is_gone(&stays, b"another"));
        assert!(!stays.flush(Duration::ZERO), "it is owed still");
        assert_eq!(written(stays.remove(b"another")), "TC_L2_BUSY", "it cannot be kept here");
        assert!(is_gone(&leads, b"k"));
    }
    stays.configure(document.as_bytes()).expect("it is the same server");
    assert!(is_gone(&stays, b"k"));
    scene.refuse_writes(false);
    assert!(leads.flush(GENEROUS) && stays.flush(GENEROUS), "nothing is owed");
    assert!(is_gone(&stays, b"k") && !scene.0.fields(b"k").contains_key("data"));
}
