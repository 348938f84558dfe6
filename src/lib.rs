//! **Tokencache**: the token cache that every service can share.
//!
//! A process opens a *cache* from a JSON document. It holds *entries*, a key and opaque bytes, in two *tiers*: L1 in
//! the memory of this process, and L2 that processes and servers share. The C ABI in [`ffi`] is the product; the rest
//! is its inside, public for this project's own tests and benchmarks.
//!
//! # The rooms
//!
//! Imports point down only, and `tests/layers.rs` checks them.
//!
//! | room | what it holds |
//! |---|---|
//! | [`ffi`] | C names, and nearly all of `unsafe` |
//! | [`cache`] | the tiers together: read path, write path, single flight |
//! | [`resilience`] | runs an operation of L2: deadline, attempts, the application's say, the circuit |
//! | [`journal`] | what is owed to L2: writes it has not taken, their replay |
//! | [`l2`] | what every second tier promises, classes of failure; SQLite, Redis |
//! | [`l1`] | the tier in memory, bounded in bytes |
//! | [`crypto`] | entries sealed at rest: the envelope, the key ring |
//! | [`coherence`] | other people's changes, turned into epochs |
//! | [`epoch`] | "has anybody changed this since I read it?" |
//! | [`config`] | the JSON document |
//! | [`msal`] | an MSAL token cache: the changes of two servers become one again |
//! | [`entry`] | an entry, its layout in memory, until when it lives |
//! | [`runtime`] | the threads |
//! | [`error`], [`clock`], [`log`], [`stats`], [`sync`] | what every room may use |

#![deny(unsafe_op_in_unsafe_fn)]

pub mod cache;
pub mod clock;
pub mod coherence;
pub mod config;
pub mod crypto;
pub mod entry;
pub mod epoch;
pub mod error;
pub mod ffi;
pub mod journal;
pub mod l1;
pub mod l2;
pub mod log;
pub mod msal;
pub mod resilience;
pub mod runtime;
pub mod stats;
pub mod sync;
