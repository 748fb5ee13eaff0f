//! `krate serve` as a real process, asked over real HTTP.
//!
//! `harness` starts and stops it; `hook` makes signed deliveries. The stories: `bad_input`, `lifecycle`.

mod bad_input;
mod harness;
mod hook;
mod lifecycle;
