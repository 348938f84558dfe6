//! What each target does with the bytes of the fuzzer. `tests/fuzz_regressions.rs` does the same with those that once
//! were a finding.

pub mod abi;
pub mod document;
pub mod envelope;
pub mod journal_file;
pub mod key_ring;
pub mod redis_hash;
