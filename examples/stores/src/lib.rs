//! Stores that outlive a process: the port of `krate-model` on an embedded database, and on Postgres.
//!
//! [`EmbeddedStore`] keeps everything in one file, survives `kill -9` and power loss at any point, and makes many commits with one sync. It belongs to one
//! process, and runs under any async runtime or none. [`PostgresStore`] is for several processes on one database, and works on tokio. Both pass the
//! same suite as krate's store in memory.

mod embedded;
mod postgres;

pub use embedded::{Agreement, Counters, EmbeddedStore, OpenError, Options};
pub use postgres::{PostgresOpenError, PostgresOptions, PostgresStore};
/// What an [`EmbeddedStore`] can be put on instead of a file.
pub use redb::StorageBackend;
