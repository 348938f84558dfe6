//! Places at which a test plants a defect, to see that it takes nothing else down. In a release there are none.

#![forbid(unsafe_code)]

/// Their names.
pub const POINTS: [&str; 16] = [
    "attempt",
    "connect",
    "decide",
    "found",
    "heartbeat",
    "l1-put",
    "open",
    "owe",
    "post",
    "probe",
    "push",
    "replay",
    "seal",
    "sqlite",
    "tend",
    "work",
];

/// Panics where `TOKENCACHE_PANIC_AT` was `name:times` when this was first asked, so many times; only in a build with
/// debug assertions.
#[inline]
pub fn point(name: &'static str) {
    if cfg!(debug_assertions) {
        planted::meet(name);
    }
}

mod planted {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    struct Planted {
        at: String,
        left: AtomicU32,
    }

    static PLANTED: LazyLock<Option<Planted>> = LazyLock::new(|| {
        let word = std::env::var("TOKENCACHE_PANIC_AT").ok()?;
        let (at, times) = word.split_once(':')?;
        Some(Planted { at: at.to_owned(), left: AtomicU32::new(times.parse().ok()?) })
    });

    pub fn meet(name: &'static str) {
        debug_assert!(super::POINTS.contains(&name), "{name} is not among the names");
        let Some(planted) = PLANTED.as_ref().filter(|planted| planted.at == name) else { return };
        let less = |left: u32| left.checked_sub(1);
        if planted.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok() {
            panic!("planted at {name}");
        }
    }
}
