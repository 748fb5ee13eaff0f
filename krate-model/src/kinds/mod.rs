//! The kinds: one file per bounded context. Spec: resource-kinds.md.
//!
//! A kind is a spec and a status; kube's derive makes the object around them, and `resource!` gives it [`Resource`](crate::Resource).
//! What serde and schemars have no word for stands in schema extensions: `x-krate-immutable` (i in the spec's tables), `x-krate-command`
//! (⌘) and `x-krate-ref` (→Kind). [`schema`](crate::schema) reads them; CRDs have the rules made from them instead.

// kube's derives copy each struct, with its `pub`, into a function body; two columns of one type are no mistake; and
// the spec's booleans are booleans.
#![allow(unreachable_pub, clippy::duplicated_attributes, clippy::struct_excessive_bools)]

pub mod agents;
pub mod ci;
pub mod defined;
mod duration;
pub mod enforcement;
pub mod external;
pub mod forge;
pub mod grants;
pub mod hooks;
pub mod identity;
pub mod labels;
pub mod members;
mod payload;
pub mod policy;
pub mod pools;
pub mod protection;
pub mod registry;
pub mod sets;
pub mod shared;
pub mod tools;
pub mod triggers;
pub mod work;
