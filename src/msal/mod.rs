//! What an MSAL token cache (the document of `SerializeMsalV3`, which every MSAL library reads) is made of, and how
//! the changes that two servers made to one of them become one again. Pure: no clock, no network, no SDK.
//!
//! A document is an object of five sections, each a map of items. What is not known is kept as it is: nodes, members,
//! items of any shape; and what is kept is kept byte for byte, because everything here is a slice of what was given.
//!
//! - `merge.rs` says which items remain, `item.rs` what makes two of them the same and which is newer.
//! - `value.rs` compares and joins what nothing is known of.
//! - `prune.rs` lets go of access tokens that have ended.

#![forbid(unsafe_code)]

mod document;
mod item;
mod merge;
mod overlap;
mod prune;
mod text;
mod value;

pub use document::Refusal;
pub use merge::{Merged, Side, merge};
pub use prune::prune;

/// Whether `document` is one that can be merged.
///
/// # Errors
/// What keeps it from it, without a word of what it holds.
pub fn check(document: &[u8]) -> Result<(), Refusal> {
    document::Document::read(document).map(drop)
}
