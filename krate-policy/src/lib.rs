//! Who may do what: the one place that says yes or no, for people, agents and controllers.
//!
//! So far it holds what grants are written in: [`pattern`]s over refs, paths and names, [`host`]s and [`command`]s; and how far
//! the causes of an action are [`trust`]ed.
//!
//! Pure: no I/O, no task, no clock, no randomness. Time is passed in; the same input gives the same output on every target.

pub mod command;
pub mod host;
pub mod trust;
pub use krate_model::pattern;
