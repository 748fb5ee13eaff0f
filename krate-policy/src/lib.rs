//! Who may do what: the one place that says yes or no, for people, agents and controllers.
//!
//! [`review::review`] answers a [`request::Request`] by a [`snapshot::Snapshot`] with a [`decision::Decision`]. Grants are written in
//! [`pattern`]s over refs, paths and names, [`host`]s and [`command`]s; how far the causes of an action are [`trust`]ed and what an
//! answer to an [`approval`] is worth are questions of their own; and so is what an agent's [stack](stacks) names and isn't there.
//!
//! Pure: no I/O, no task, no clock, no randomness. Time is passed in; the same input gives the same output on every target.

pub mod admission;
pub mod approval;
pub mod audit;
pub mod cases;
pub mod command;
pub mod decision;
pub mod explain;
pub mod feed;
mod grant;
mod guard;
pub mod host;
pub mod lint;
pub mod native;
pub mod paths;
pub mod permit;
pub mod reason;
pub mod request;
pub mod review;
pub mod roles;
mod shards;
pub mod snapshot;
pub mod stacks;
mod tools;
pub mod trust;
pub mod who;
pub use krate_model::pattern;
