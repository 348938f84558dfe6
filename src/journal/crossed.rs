//! What L2 has by now and could not be crossed out of the file, on a disk that is full or fails: this process neither
//! reads it nor brings it again. Another, and whoever comes after, brings it once more.

#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::sync::Mutex;

use crate::runtime::lock;

/// The number of the record of each key.
#[derive(Default)]
pub(super) struct CrossedOut(Mutex<HashMap<Vec<u8>, u64>>);

impl CrossedOut {
    pub fn add(&self, records: &[(&[u8], u64)]) {
        lock(&self.0).extend(records.iter().map(|(key, sequence)| (key.to_vec(), *sequence)));
    }

    pub fn has(&self, key: &[u8], sequence: u64) -> bool {
        lock(&self.0).get(key) == Some(&sequence)
    }

    pub fn all(&self) -> Vec<(Vec<u8>, u64)> {
        lock(&self.0).iter().map(|(key, sequence)| (key.clone(), *sequence)).collect()
    }

    /// The file has them no more.
    pub fn forget(&self, records: &[(Vec<u8>, u64)]) {
        let mut crossed_out = lock(&self.0);
        for (key, sequence) in records {
            if crossed_out.get(key) == Some(sequence) {
                crossed_out.remove(key);
            }
        }
    }

    /// The file is another one, and gives the same numbers again.
    pub fn clear(&self) {
        lock(&self.0).clear();
    }
}
