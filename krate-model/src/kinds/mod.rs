//! The kinds: one file per bounded context. Spec: resource-kinds.md.

// kube's schema derive copies each struct, with its `pub`, into a function body.
#[allow(unreachable_pub)]
pub mod identity;
pub mod registry;
pub mod sets;
pub mod shared;
