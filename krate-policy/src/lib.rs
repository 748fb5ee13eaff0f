//! Who may do what: the one place that says yes or no, for people, agents and controllers.
//!
//! So far it holds what grants are written in: [`pattern`]s over refs, paths and names, [`host`]s and [`command`]s.
//!
//! Pure: no I/O, no task, no clock, no randomness. Time is passed in; the same input gives the same output on every target.

pub mod command;
pub mod host;
pub use krate_model::pattern;
