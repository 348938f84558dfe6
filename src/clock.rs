//! What time it is: Unix time for what is stored, monotonic time for what is waited for.

#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

/// Unix time in milliseconds.
#[must_use]
pub fn unix_ms() -> i64 {
    read_unix_ms(nix::time::ClockId::CLOCK_REALTIME)
}

/// Unix time in milliseconds, behind [`unix_ms`] by as much as [`coarse_ms`] lies behind [`monotonic_ms`].
#[must_use]
pub fn coarse_unix_ms() -> i64 {
    read_unix_ms(nix::time::ClockId::CLOCK_REALTIME_COARSE)
}

fn read_unix_ms(clock: nix::time::ClockId) -> i64 {
    // By way of the C library, as everything that tells the system's time.
    clock.now().map_or(0, |time| {
        time.tv_sec().saturating_mul(1000).saturating_add(time.tv_nsec() / 1_000_000).max(0)
    })
}

/// Monotonic time in milliseconds.
#[must_use]
pub fn monotonic_ms() -> i64 {
    read_ms(ClockId::Monotonic)
}

/// Monotonic time in milliseconds, behind [`monotonic_ms`] by at most [`COARSE_LAG_MS`]: it costs a read of memory.
#[inline]
#[must_use]
pub fn coarse_ms() -> i64 {
    read_ms(ClockId::MonotonicCoarse)
}

/// How far the coarse clock may lie behind: one tick at 100 Hz, and what rounding takes. What ends by the coarse
/// clock ends so much earlier.
pub const COARSE_LAG_MS: i64 = 11;

#[inline]
fn read_ms(clock: ClockId) -> i64 {
    let time = clock_gettime(clock);
    // Unsigned, because dividing so costs less; neither part is ever negative.
    (time.tv_sec as u64 * 1000 + time.tv_nsec as u64 / 1_000_000) as i64
}

/// A hybrid clock: milliseconds in the upper 48 bits, the fraction of one in the lower 16, or a count where time stands
/// still. It never repeats and never goes back in this process, whatever the system's clock does. The fraction tells
/// apart what processes of one machine do one after the other.
#[derive(Debug, Default)]
pub struct HybridClock(AtomicU64);

impl HybridClock {
    /// A clock that has told no time yet.
    #[must_use]
    pub const fn new() -> Self {
        HybridClock(AtomicU64::new(0))
    }

    /// The next time.
    pub fn next(&self) -> u64 {
        self.after(hybrid_now())
    }

    /// The next time, which is after `before` too: a clock that goes back makes nothing older that follows it.
    pub fn next_after(&self, before: u64) -> u64 {
        self.after(hybrid_now().max(before.saturating_add(1)))
    }

    /// The next time where the clock was read at Unix time `now_ms`, for what no other process sees.
    pub fn next_at(&self, now_ms: i64) -> u64 {
        self.after((now_ms.max(1) as u64) << 16)
    }

    fn after(&self, now: u64) -> u64 {
        let last = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(now.max(last + 1)));
        let last = last.unwrap_or_else(|last| last);
        now.max(last + 1)
    }
}

/// The system's time, as a hybrid clock tells it.
fn hybrid_now() -> u64 {
    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let fraction = (u64::from(time.subsec_nanos() % 1_000_000) << 16) / 1_000_000;
    ((time.as_millis() as u64).max(1) << 16) | fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hybrid_time_is_the_time_of_the_system() {
        let before_ms = unix_ms() as u64;
        let now = hybrid_now();
        assert!((before_ms..=unix_ms() as u64).contains(&(now >> 16)));
        let later = std::iter::repeat_with(hybrid_now).find(|later| *later != now).expect("it goes on");
        assert!(later > now);
    }

    #[test]
    fn the_coarse_clock_lies_behind_by_no_more_than_its_lag() {
        for _ in 0..1000 {
            // In this order: between the two this thread may get no turn for a while.
            let (exact, coarse) = (monotonic_ms(), coarse_ms());
            assert!(exact - coarse <= COARSE_LAG_MS, "{coarse} {exact}");
        }
    }

    #[test]
    fn hybrid_times_rise() {
        let clock = HybridClock::new();
        let times: Vec<u64> = (0..100_000).map(|_| clock.next()).collect();
        assert!(times.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
