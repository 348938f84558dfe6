//! Until when an entry lives: the earliest of everything asked, configured, and found in the value.

#![forbid(unsafe_code)]

use crate::clock;

/// `ttl_ms`: keep until removed or evicted.
pub const NEVER: i64 = -1;

/// What the writer of an entry asks for. Zero in any member means that it says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// From now, or [`NEVER`].
    pub ttl_ms: i64,
    /// Unix time.
    pub expires_at_ms: i64,
    /// A window that reads renew.
    pub sliding_ms: i64,
}

/// What the configuration says where the writer says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Defaults {
    /// From now, or [`NEVER`].
    pub ttl_ms: i64,
    /// A window that reads renew; 0 for none.
    pub sliding_ms: i64,
}

/// The limits of an entry's life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lifetime {
    /// Unix time of the absolute end; 0 for none.
    pub expires_at_ms: i64,
    /// The window that reads renew; 0 for none.
    pub sliding_ms: i64,
}

impl Lifetime {
    /// The earliest of what was `asked` and, where nothing was, the `defaults` and the end found in the value, at
    /// Unix time `now_ms`.
    #[must_use]
    pub fn resolve(asked: Asked, defaults: Defaults, found_ms: Option<i64>, now_ms: i64) -> Lifetime {
        let is_silent = asked.ttl_ms == 0 && asked.expires_at_ms == 0;
        let ttl_ms = if is_silent { defaults.ttl_ms } else { asked.ttl_ms };
        let ttl_end_ms = if ttl_ms > 0 { now_ms.saturating_add(ttl_ms) } else { 0 };
        let found_ms = found_ms.filter(|_| is_silent).unwrap_or(0);
        let expires_at_ms = earliest(earliest(ttl_end_ms, asked.expires_at_ms), found_ms);
        let sliding_ms = if asked.sliding_ms == 0 { defaults.sliding_ms } else { asked.sliding_ms };
        Lifetime { expires_at_ms, sliding_ms }
    }

    /// The Unix time of its end when nothing renews it after `now_ms`; 0 for never.
    #[must_use]
    pub fn ends_at_ms(self, now_ms: i64) -> i64 {
        let slides_to = if self.sliding_ms == 0 { 0 } else { now_ms.saturating_add(self.sliding_ms) };
        earliest(self.expires_at_ms, slides_to)
    }

    /// That of what both have written, at Unix time `now_ms`, which lives as long as the longer of them: without an end
    /// where one has none, and without a window where one has an end alone.
    #[must_use]
    pub fn or_longer(self, other: Option<Lifetime>, now_ms: i64) -> Lifetime {
        let Some(other) = other else { return self };
        let (ends, windows) =
            ([self.expires_at_ms, other.expires_at_ms], [self.sliding_ms, other.sliding_ms]);
        let [last, longest] = [ends, windows].map(|[one, other]| one.max(other));
        let expires_at_ms = if ends.contains(&0) { 0 } else { last };
        let is_endless = [self, other].contains(&Lifetime::default());
        let sliding_ms = match expires_at_ms {
            _ if is_endless => 0,
            _ if !windows.contains(&0) => longest,
            // One has an end and the other a window, which is to be open until then.
            0 => longest.max(last.saturating_sub(now_ms)),
            _ => 0,
        };
        Lifetime { expires_at_ms, sliding_ms }
    }

    /// Whether it has ended at Unix time `now_ms` already.
    #[must_use]
    pub fn has_ended(self, now_ms: i64) -> bool {
        self.expires_at_ms != 0 && self.expires_at_ms <= now_ms
    }
}

/// The earlier of two ends, of which each may be 0 for never.
#[must_use]
pub fn earliest(one: i64, other: i64) -> i64 {
    match (one, other) {
        (0, end) | (end, 0) => end,
        (one, other) => one.min(other),
    }
}

/// The coarse monotonic time at which an entry that ends at Unix time `ends_at_ms` (0 for never) is dead in this
/// process, when it may stay `max_ttl_ms` (0 for as long as it lives). Never later than the true end.
#[must_use]
pub fn deadline_ms(ends_at_ms: i64, max_ttl_ms: i64) -> i64 {
    if ends_at_ms == 0 && max_ttl_ms == 0 {
        return i64::MAX;
    }
    // Both coarse clocks move on at the same tick, so neither is behind the other. Before Unix time: a tick in between, or a
    // thread that gets no turn there, has it end early, never late.
    let now_ms = clock::coarse_ms();
    let left_ms = if ends_at_ms == 0 { i64::MAX } else { ends_at_ms.saturating_sub(clock::coarse_unix_ms()) };
    let left_ms = if max_ttl_ms == 0 { left_ms } else { left_ms.min(max_ttl_ms) };
    now_ms.saturating_add(left_ms).saturating_sub(clock::COARSE_LAG_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Defaults = Defaults { ttl_ms: 86_400_000, sliding_ms: 0 };

    #[test]
    fn defaults_and_the_value_speak_only_where_the_writer_is_silent() {
        let silent = Lifetime::resolve(Asked::default(), DAY, Some(5_000), 1_000);
        assert_eq!(silent.expires_at_ms, 5_000);
        let asked = Lifetime::resolve(Asked { ttl_ms: 10_000, ..Asked::default() }, DAY, Some(5_000), 1_000);
        assert_eq!(asked.expires_at_ms, 11_000);
        let never = Lifetime::resolve(Asked { ttl_ms: NEVER, ..Asked::default() }, DAY, Some(5_000), 1_000);
        assert_eq!(never.expires_at_ms, 0);
    }

    #[test]
    fn the_earliest_limit_holds() {
        let asked = Asked { ttl_ms: 10_000, expires_at_ms: 4_000, sliding_ms: 2_000 };
        let lifetime = Lifetime::resolve(asked, DAY, None, 1_000);
        assert_eq!(lifetime, Lifetime { expires_at_ms: 4_000, sliding_ms: 2_000 });
        assert_eq!(lifetime.ends_at_ms(1_000), 3_000);
        assert_eq!(lifetime.ends_at_ms(3_500), 4_000);
    }

    #[test]
    fn what_both_have_written_lives_as_long_as_the_longer() {
        let lives = |expires_at_ms, sliding_ms| Lifetime { expires_at_ms, sliding_ms };
        for (one, other, both) in [
            (lives(0, 0), lives(900, 50), lives(0, 0)),
            (lives(900, 0), lives(700, 0), lives(900, 0)),
            (lives(900, 50), lives(700, 60), lives(900, 60)),
            (lives(900, 50), lives(0, 60), lives(0, 60)),
            (lives(900, 50), lives(700, 0), lives(900, 0)),
            (lives(0, 50), lives(700, 0), lives(0, 600)),
            (lives(0, 650), lives(700, 0), lives(0, 650)),
        ] {
            assert_eq!(one.or_longer(Some(other), 100), both, "{one:?}, {other:?}");
            assert_eq!(other.or_longer(Some(one), 100), both, "{other:?}, {one:?}");
            assert_eq!(one.or_longer(None, 100), one);
        }
    }
}
