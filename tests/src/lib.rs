//! What the tests of the whole workspace share.

pub mod fuzz;
pub mod spdx;
pub mod workspace;
pub mod world;
