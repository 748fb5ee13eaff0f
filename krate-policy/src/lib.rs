//! Who may do what: the one place that says yes or no, for people, agents and controllers.
//!
//! So far it holds what grants are written in: [`pattern`]s over refs, paths and names, [`host`]s and [`command`]s; how far
//! the causes of an action are [`trust`]ed; and what an answer to an [`approval`] is worth.
//!
//! Pure: no I/O, no task, no clock, no randomness. Time is passed in; the same input gives the same output on every target.

pub mod approval;
pub mod command;
pub mod host;
pub mod trust;
pub use krate_model::pattern;
