//! What was said of L2 lately. One that is full, or denies its writes, is asked on, and every write would say it again.

#![forbid(unsafe_code)]

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::runtime::lock;

/// What has not been met for so long is news again.
const QUIET: Duration = Duration::from_secs(60);
/// So many sentences are known.
const SENTENCES: usize = 8;

/// The latest sentences, and when each was met last.
#[derive(Debug, Default)]
pub struct News(Mutex<Vec<(Arc<str>, Instant)>>);

impl News {
    /// Whether `sentence`, met at `now`, has not been met for a while.
    pub fn is_new(&self, sentence: &Arc<str>, now: Instant) -> bool {
        let mut met = lock(&self.0);
        met.retain(|(_, at)| now.saturating_duration_since(*at) <= QUIET);
        if let Some((_, at)) = met.iter_mut().find(|(before, _)| before == sentence) {
            *at = now;
            return false;
        }
        if met.len() == SENTENCES {
            met.remove(0);
        }
        met.push((Arc::clone(sentence), now));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_is_new_once_and_again_after_a_minute_without() {
        let (news, start) = (News::default(), Instant::now());
        let is_new =
            |sentence: &str, after_s| news.is_new(&sentence.into(), start + Duration::from_secs(after_s));
        assert!(is_new("full", 0) && is_new("no right", 0));
        assert!(!is_new("full", 50) && !is_new("full", 100), "not while it is met");
        assert!(is_new("no right", 100) && is_new("full", 161));
        for number in 0..20 {
            assert!(is_new(&number.to_string(), 200));
        }
        assert_eq!(lock(&news.0).len(), SENTENCES);
    }
}
