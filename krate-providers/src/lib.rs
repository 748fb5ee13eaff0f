//! What krate knows about forges, trackers and CI systems: the contract, one folder per provider, and a deterministic forge for tests.
//!
//! Pure: requests and responses are values; whoever embeds a provider brings the HTTP client, the clock and the retries.

pub mod contract;
#[cfg(feature = "github")]
pub mod github;
pub mod registry;
#[cfg(feature = "simulator")]
pub mod simulator;
#[cfg(any(test, feature = "testkit"))]
pub mod suite;
