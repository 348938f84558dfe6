//! What L2 has by now, while the journal's file cannot be written: nothing in it hides, undoes or brings back anything.

#[path = "support/redis.rs"]
mod support;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use serde_json::json;
use support::cache::statistics;
use support::{GENEROUS, Server, wait_until, written};
use tokencache::cache::{Cache, SetOptions};

struct Scene {
    server: Server,
    cache: Arc<Cache>,
}

impl Scene {
    fn new() -> Option<Scene> {
        let server = Server::start()?;
        let resilience = json!({
            "journal_path": server.folder().join("owed.db"),
            "deadline_ms": 400, "max_attempts": 1, "close_ms": 0, "circuit_failures": 0, "probe_ms": 50,
        });
        let cache = server.open(json!({"resilience": resilience}));
        wait_until("it is connected", || cache.get(b"k").is_ok());
        Some(Scene { server, cache })
    }

    fn journal(&self) -> PathBuf {
        self.server.folder().join("owed.db")
    }

    fn set(&self, value: &[u8]) -> &'static str {
        written(self.cache.set(b"k", value, SetOptions::default()))
    }

    fn refuse_writes(&self, refuses: bool) {
        self.server.ask::<()>(&format!("CONFIG SET min-replicas-to-write {}", u8::from(refuses)));
    }

    /// What is read past L1, within a deadline that a busy machine may break.
    fn value(&self) -> Option<Vec<u8>> {
        let mut read = None;
        wait_until("it is read", || {
            self.cache.clear().expect("cleared");
            read = self.cache.get(b"k").ok();
            read.is_some()
        });
        read.flatten().map(|entry| entry.data().to_vec())
    }

    /// Keeps everybody from writing the journal, as a full disk does.
    fn hold(&self) -> Connection {
        let holder = Connection::open(self.journal()).expect("the journal");
        holder.busy_timeout(GENEROUS).expect("patience");
        holder.execute_batch("BEGIN IMMEDIATE").expect("it is held");
        holder
    }
}

#[test]
fn a_set_that_l2_has_is_not_hidden_by_an_older_one_that_cannot_be_crossed_out() {
    let Some(scene) = Scene::new() else { return };
    for (removes, new) in [(false, &b"first"[..]), (true, b"second")] {
        scene.refuse_writes(true);
        let owed = if removes { written(scene.cache.remove(b"k")) } else { scene.set(b"old") };
        assert_eq!(owed, "TC_DEGRADED");
        let holder = scene.hold();
        scene.refuse_writes(false);
        assert_eq!(scene.set(new), "TC_OK");
        for _ in 0..20 {
            assert_eq!(scene.value().as_deref(), Some(new), "removes: {removes}");
        }
        holder.execute_batch("ROLLBACK").expect("it held the journal");
        assert!(scene.cache.flush(GENEROUS), "nothing is owed");
        assert_eq!(scene.value().as_deref(), Some(new));
        assert_eq!(statistics(&scene.cache)["journal"]["owed_entries"], 0);
    }
}

/// A stock writer's delete leaves no trace, and what is brought twice would undo it.
#[test]
fn what_was_brought_and_cannot_be_crossed_out_is_not_brought_again() {
    let Some(scene) = Scene::new() else { return };
    scene.refuse_writes(true);
    assert_eq!(scene.set(b"once"), "TC_DEGRADED");
    let holder = scene.hold();
    scene.refuse_writes(false);
    let name = support::stored(b"k");
    wait_until("it is there", || scene.server.fields(b"k").contains_key("data"));
    // It learns first that it cannot cross it out.
    wait_until("it has given up", || {
        scene.value().is_some() && statistics(&scene.cache)["journal"]["is_replaying"] == false
    });
    scene.server.run::<()>(redis::cmd("DEL").arg(&name));
    for _ in 0..3 {
        let _ = scene.cache.flush(Duration::from_secs(1));
        assert!(!scene.server.fields(b"k").contains_key("data"), "it has come back");
    }
    assert_eq!(scene.value(), None);
    holder.execute_batch("ROLLBACK").expect("it held the journal");
    assert!(scene.cache.flush(GENEROUS), "nothing is owed");
    assert_eq!(scene.value(), None);
    // What is owed after that, of the same key, is brought.
    scene.refuse_writes(true);
    assert_eq!(scene.set(b"again"), "TC_DEGRADED");
    assert_eq!(scene.value().as_deref(), Some(&b"again"[..]));
    scene.refuse_writes(false);
    assert!(scene.cache.flush(GENEROUS), "nothing is owed");
    assert!(scene.server.fields(b"k").contains_key("data"));
}

/// Records of another file have the same numbers.
#[test]
fn what_is_owed_in_a_file_that_was_put_in_its_place_is_brought() {
    let Some(scene) = Scene::new() else { return };
    scene.refuse_writes(true);
    assert_eq!(scene.set(b"ours"), "TC_DEGRADED");
    let holder = scene.hold();
    scene.refuse_writes(false);
    wait_until("it is there", || scene.server.fields(b"k").contains_key("data"));
    wait_until("it cannot be crossed out", || {
        scene.value().is_some() && statistics(&scene.cache)["journal"]["is_replaying"] == false
    });
    scene.refuse_writes(true);
    drop(holder);
    for end in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{end}", scene.journal().display()));
    }
    let resilience = json!({
        "journal_path": scene.journal(), "deadline_ms": 400, "max_attempts": 1, "close_ms": 0,
    });
    let another = scene.server.open(json!({"resilience": resilience}));
    assert_eq!(written(another.set(b"k", b"theirs", SetOptions::default())), "TC_DEGRADED");
    another.close();
    scene.refuse_writes(false);
    assert!(scene.cache.flush(GENEROUS), "nothing is owed");
    wait_until("it is brought", || scene.server.fields(b"k").remove("data") == Some(b"theirs".into()));
}

/// Of a process whose clock was ahead, or of this one before its clock went back.
#[test]
fn what_l2_has_is_not_undone_by_what_a_clock_that_was_ahead_owed_before() {
    let Some(scene) = Scene::new() else { return };
    // It tries once, and then not for long.
    let resilience =
        json!({"journal_path": scene.journal(), "deadline_ms": 400, "close_ms": 0, "probe_ms": 60_000});
    let open = || scene.server.open(json!({"resilience": resilience}));
    for removes in [false, true] {
        let cache = open();
        wait_until("it is connected", || cache.get(b"k").is_ok());
        scene.refuse_writes(true);
        assert_eq!(written(cache.set(b"k", b"old", SetOptions::default())), "TC_DEGRADED");
        wait_until("it was refused", || statistics(&cache)["journal"]["is_replaying"] == false);
        let minute = 60_000_i64 << 16;
        let journal = Connection::open(scene.journal()).expect("the journal");
        journal.busy_timeout(GENEROUS).expect("patience");
        assert_eq!(journal.execute("UPDATE owed SET clock = clock + ?1", [minute]), Ok(1));
        drop(journal);
        let holder = scene.hold();
        scene.refuse_writes(false);
        let new = match removes {
            true => cache.remove(b"k"),
            false => cache.set(b"k", b"new", SetOptions::default()),
        };
        assert_eq!(written(new), "TC_OK");
        cache.close();
        holder.execute_batch("ROLLBACK").expect("it held the journal");
        let next = open();
        assert!(next.flush(GENEROUS), "nothing is owed");
        next.clear().expect("cleared");
        let there = next.get(b"k").expect("a read").map(|entry| entry.data().to_vec());
        assert_eq!(there, (!removes).then(|| b"new".to_vec()), "removes: {removes}");
        next.close();
    }
}
