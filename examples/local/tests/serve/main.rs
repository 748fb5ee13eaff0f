//! `krate serve` as a real process, asked over real HTTP.
//!
//! `harness` starts and stops it; `hook` makes signed deliveries; `simulated` and `told_forge` are providers. The stories:
//! `bad_input`, `bad_start`, `canaries`, `cli`, `documented`, `lifecycle`, `replay`, `shared`.

mod bad_input;
mod bad_start;
mod canaries;
mod cli;
mod documented;
mod harness;
mod hook;
mod lifecycle;
#[path = "../../../../krate-providers/tests/support/mod.rs"]
mod payloads;
mod people;
mod replay;
mod shared;
mod simulated;
mod told_forge;
