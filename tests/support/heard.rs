//! What a cache says in its log.

#![allow(dead_code, reason = "no test needs all of it")]

use std::sync::{Arc, Mutex};

use tokencache::cache::Cache;
use tokencache::log::{Level, Sink};

/// The records, each as its level, who speaks, and the message.
#[derive(Clone, Default)]
pub struct Heard(Arc<Mutex<Vec<String>>>);

impl Heard {
    pub fn of(cache: &Cache) -> Heard {
        Heard::from(cache, Level::Info)
    }

    /// Of this level and above.
    pub fn from(cache: &Cache, level: Level) -> Heard {
        let heard = Heard::default();
        cache.on_log(level, Some(Box::new(heard.clone())));
        heard
    }

    pub fn records(&self) -> Vec<String> {
        self.0.lock().expect("the log").clone()
    }

    /// Whether a record has all of these words.
    pub fn says(&self, words: &[&str]) -> bool {
        self.records().iter().any(|record| words.iter().all(|words| record.contains(words)))
    }

    /// How many records have this word.
    pub fn count(&self, word: &str) -> usize {
        self.records().iter().filter(|record| record.contains(word)).count()
    }
}

impl Sink for Heard {
    fn write(&self, level: Level, target: &'static str, message: &str) -> bool {
        self.0.lock().expect("the log").push(format!("{} {target}: {message}", level.word()));
        true
    }
}
