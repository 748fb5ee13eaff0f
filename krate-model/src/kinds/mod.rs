//! The kinds: one file per bounded context. Spec: resource-kinds.md.

pub mod registry;
pub mod sets;
pub mod shared;
