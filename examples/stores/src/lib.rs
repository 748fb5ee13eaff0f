//! Stores that outlive a process: the port of `krate-model` on an embedded database.
//!
//! [`EmbeddedStore`] keeps everything in one file, survives `kill -9` and power loss at any point, and makes many commits with one sync. It passes the same
//! suite as krate's store in memory, and runs under any async runtime or none.

mod embedded;

pub use embedded::{Agreement, Counters, EmbeddedStore, OpenError, Options};
/// What an [`EmbeddedStore`] can be put on instead of a file.
pub use redb::StorageBackend;
