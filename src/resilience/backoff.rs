//! How long to wait before the next try: exponential, with full jitter, so that many callers do not come back at
//! once.

#![forbid(unsafe_code)]

/// A random pause before the try that follows `attempt` (1 for the first), of at most `first_ms` doubled for each
/// attempt, and never more than `max_ms`.
#[must_use]
pub fn pause_ms(attempt: u32, first_ms: u64, max_ms: u64) -> u64 {
    let ceiling = first_ms.saturating_mul(1 << (attempt.clamp(1, 32) - 1)).min(max_ms);
    fastrand::u64(0..=ceiling)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ceiling_doubles_and_stays_below_the_maximum() {
        for (attempt, ceiling) in [(1, 20), (2, 40), (3, 80), (4, 100), (60, 100)] {
            let pauses: Vec<u64> = (0..2000).map(|_| pause_ms(attempt, 20, 100)).collect();
            assert!(pauses.iter().all(|pause| *pause <= ceiling));
            assert!(pauses.iter().any(|pause| *pause > ceiling / 2));
        }
    }
}
