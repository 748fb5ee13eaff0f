//! A forge to test against: repositories, issues, pull requests and webhooks that behave as GitHub's do, from a seed.
//!
//! The promise: [`Forge`] performs no I/O, reads no clock and draws no randomness of its own. Time comes in with every call,
//! chance comes from the seed, and every list has a defined order. So the same seed and the same calls give the same bytes,
//! and a failing history replays.
//!
//! People change things through [`Forge::by`]; clients read and write through [`Forge::handle`], which takes and returns plain
//! `http` values; what the forge wants to tell the world waits in [`Forge::take_deliveries`]. A test that knows everything
//! compares with [`Forge::issue`], [`Forge::comments`], [`Forge::effects`] and [`Forge::writes`].
//!
//! ```
//! use bytes::Bytes;
//! use chrono::{DateTime, Utc};
//! use krate_providers::simulator::{Forge, NewIssue};
//!
//! let noon = DateTime::<Utc>::from_timestamp(1_700_000_000, 0).unwrap();
//! let mut forge = Forge::seeded(7);
//! forge.add_token("t0ken", "krate[bot]");
//! forge.by("ada", noon).create_repository("acme/site")?;
//! forge.add_hook("acme/site", "http://127.0.0.1/hook", Some("s3cr3t"), noon)?;
//! let crash = forge.by("ada", noon).open_issue("acme/site", NewIssue::titled("Crash on start").label("bug"))?;
//!
//! let request = http::Request::get(format!("/repos/acme/site/issues/{crash}"))
//!     .header("authorization", "Bearer t0ken")
//!     .body(Bytes::new())
//!     .unwrap();
//! let response = forge.handle(&request, noon);
//! assert_eq!(response.status(), 200);
//!
//! let events: Vec<_> = forge.take_deliveries().iter().map(|delivery| delivery.event).collect();
//! assert_eq!(events, ["ping", "issues", "issues"]); // opened, and labeled
//! # Ok::<(), krate_providers::simulator::Refusal>(())
//! ```
//!
//! | to read about | see |
//! | --- | --- |
//! | what the forge holds | `model.rs`, `forge.rs` |
//! | what people can do | `actor.rs`, `upkeep.rs` |
//! | the REST dialect | `rest/` |
//! | payloads, signatures, hooks | `events.rs`, `webhooks.rs`, `json/` |
//! | who did what how often | `effects.rs` |
//! | lost, doubled, late and failing | `faults.rs` |
//!
//! Where GitHub's behaviour is not documented, the simulator takes the answer that is harder for a client: editing a comment or
//! renaming a label leaves the issue's `updated_at` as it was, and an edit that changes nothing sends no event.

mod actor;
mod effects;
mod events;
mod faults;
mod forge;
mod json;
mod limits;
mod model;
mod rest;
mod rng;
mod upkeep;
mod webhooks;

#[cfg(test)]
mod tests;

pub use actor::Actor;
pub use effects::{Effect, FieldError, Operation, Refusal, Via};
pub use faults::{Fault, Faults, Network, Reply};
pub use forge::{Forge, Urls};
pub use limits::Limits;
pub use model::{
    Association, Comment, Issue, IssueEdit, Label, Merge, Milestone, NewIssue, NewPullRequest, PullRequest, Repository,
    State, StateReason, User, UserKind,
};
pub use rng::Rng;
pub use webhooks::Delivery;
