//! The Postgres store: the suite, and what happens to it when processes and servers die, connections break and URLs are wrong.
//!
//! These tests need a server: `scripts/postgres with cargo test`. Without one they say that they are skipped.

mod crash;
mod line;
mod open;
mod server;
#[path = "../story/mod.rs"]
mod story;
mod suite;
mod watch;
