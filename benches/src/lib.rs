//! What the measurements share: a clock that compares like with like, and the payload that they run on.
//!
//! Machines are noisy, so nothing here judges by a single time: the candidates take turns in short batches, and a ratio is the median over the
//! turns. `cargo bench -p krate-benches` measures; any other way of starting a bench runs each candidate once, to see that it works.

pub mod compare;
pub mod payload;
pub mod pulls;

pub use compare::{Candidate, Comparison, compare};
