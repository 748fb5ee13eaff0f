//! Two-way sync of forge objects, decided by pure functions: what both sides' changes come to, what is to be written, and what happens next.

pub mod key;
pub mod machines;
pub mod merge;
