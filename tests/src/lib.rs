//! What the tests of the whole workspace share.

pub mod checks;
pub mod fuzz;
pub mod history;
mod mortal;
pub mod spdx;
pub mod workspace;
pub mod world;
