//! `krate serve` as a real process, asked over real HTTP.
//!
//! `harness` starts and stops it; `hook` makes signed deliveries; `told_forge` is a provider that knows what the recorded payloads tell. The
//! stories: `bad_input`, `bad_start`, `canaries`, `lifecycle`, `replay`.

mod bad_input;
mod bad_start;
mod canaries;
mod harness;
mod hook;
mod lifecycle;
#[path = "../../../../krate-providers/tests/support/mod.rs"]
mod payloads;
mod replay;
mod told_forge;
