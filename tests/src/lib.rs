//! What the tests of the whole workspace share.

pub mod fleet;
pub mod fuzz;
mod mortal;
pub mod neighbours;
pub mod simulate;
pub mod spdx;
pub mod timeline;
pub mod workspace;
pub mod world;
