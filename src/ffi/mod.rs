//! The C ABI: names, unsafe, and nothing else. The files stand in the order of the header.
//!
//! Every exported body is [`guard::guard`]: it catches a panic, and writes outputs only when the status says that
//! there is something to write.

#![allow(non_camel_case_types)]
// What is safe to pass stands in the text of each function, for readers of the header: a section called Safety would be
// noise in C.
#![allow(clippy::missing_safety_doc)]

mod arguments;
mod background;
mod callbacks;
mod diagnostics;
mod entries;
mod fork;
mod guard;
mod handle;
mod lifecycle;
mod merge;
mod python;
mod seal;
mod types;
mod value;

pub use background::*;
pub use callbacks::{tc_on_log, tc_on_retry};
pub use diagnostics::*;
pub use entries::*;
pub use lifecycle::*;
pub use merge::tc_set_merged;
pub use python::{tc_python, tc_python_done, tc_python_hit, tc_python_inbox};
pub use seal::{tc_protect, tc_unprotect};
pub use types::*;
pub use value::{tc_value_release, tc_value_retain};
