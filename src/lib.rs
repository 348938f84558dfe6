//! scaffold
#![deny(unsafe_op_in_unsafe_fn)]
pub mod clock;
pub mod config;
pub mod entry;
pub mod error;
pub mod l2;
