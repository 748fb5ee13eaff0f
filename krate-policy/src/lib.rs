//! Who may do what: the one place that says yes or no, for people, agents and controllers.
//!
//! So far it holds the pattern grammar of grants ([`pattern`]), which admission in `krate-model` reads, too.
//!
//! Pure: no I/O, no task, no clock, no randomness. Time is passed in; the same input gives the same output on every target.

pub use krate_model::pattern;
