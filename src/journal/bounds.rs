//! How much may be owed.

#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicU64, Ordering};

use crate::defect;
use crate::l2::{Class, Failure};

/// How much is owed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owed {
    /// Keys.
    pub entries: u64,
    /// Keys, values and what each record takes beside them.
    pub bytes: u64,
}

/// The limits, which may change at any time.
pub(super) struct Bounds {
    max_bytes: AtomicU64,
    max_entries: AtomicU64,
}

impl Bounds {
    pub fn new(max_bytes: u64, max_entries: u64) -> Bounds {
        Bounds { max_bytes: max_bytes.into(), max_entries: max_entries.into() }
    }

    pub fn set(&self, max_bytes: u64, max_entries: u64) {
        self.max_bytes.store(max_bytes, Ordering::Relaxed);
        self.max_entries.store(max_entries, Ordering::Relaxed);
    }

    /// What is owed when a record of `cost_bytes` joins what is `owed`, in the place of one that cost `freed_bytes`, or
    /// why it may not. What does not make it more is always welcome.
    pub fn admit(&self, owed: Owed, cost_bytes: u64, freed_bytes: Option<u64>) -> Result<Owed, Failure> {
        defect::point("owe");
        let max_bytes = self.max_bytes.load(Ordering::Relaxed);
        let max_entries = self.max_entries.load(Ordering::Relaxed);
        let entries = owed.entries + u64::from(freed_bytes.is_none());
        let bytes = owed.bytes.saturating_sub(freed_bytes.unwrap_or(0)).saturating_add(cost_bytes);
        let Owed { entries: before, bytes: bytes_before } = owed;
        let message = if bytes > bytes_before && bytes > max_bytes {
            format!(
                "The journal is full: it holds {bytes_before} bytes in {before} entries, this one needs {cost_bytes} \
                 bytes, and resilience.journal_max_bytes is {max_bytes}; bring L2 back, or raise the limit."
            )
        } else if entries > before && entries > max_entries {
            format!(
                "The journal is full: it holds {before} entries, and resilience.journal_max_entries is {max_entries}; \
                 bring L2 back, or raise the limit."
            )
        } else {
            return Ok(Owed { entries, bytes });
        };
        Err(Failure::new(Class::Full, message))
    }
}
