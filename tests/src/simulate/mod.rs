//! Simulated histories: two people, one on each side, who edit the same objects while everything fails that can fail. Design.md section 7.
//!
//! A history is a list of [`play::Step`]s, made from a seed. It is played against the simulated forge, comes to rest, and is checked; one that fails
//! is made as short as it can be and still fails.

pub mod campaign;
pub mod checks;
pub mod fault;
pub mod journal;
pub mod people;
pub mod play;
pub mod shrink;
pub mod small;
pub mod strikes;
pub mod way;
