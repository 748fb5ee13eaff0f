//! Two-way sync of forge objects, decided by pure functions: what both sides' changes come to, what is to be written, and what happens next.

pub mod driver;
mod identity;
pub mod ingest;
mod kept;
pub mod local;
pub mod machines;
pub mod merge;
#[doc(hidden)]
pub mod mistakes;
mod moves;
pub mod object;
pub mod observe;
pub mod observed;
pub mod order;
pub mod plan;
pub mod quota;
pub mod records;
pub mod scope;
pub mod sharing;
pub mod status;
