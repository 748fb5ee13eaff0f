//! What krate's objects are: kinds, identity, canonical JSON, validation, and the port that stores them.
//!
//! Pure: no I/O, no task, no clock, no randomness. Time is passed in; the same input gives the same output on every target.

#[macro_use]
mod closed;
pub mod audit;
mod canonical;
pub mod condition;
pub mod crd;
mod defaults;
mod digest;
pub mod explain;
pub mod key;
pub mod kinds;
mod names;
pub mod observation;
pub mod pattern;
mod resource;
pub mod schema;
mod selector;
pub mod store;
pub mod validate;

pub use canonical::{NotCanonical, canonical_digest, canonical_json};
pub use closed::{ClosedSet, NotInSet};
pub use defaults::{apply_defaults, normalize_sets};
pub use digest::{Digest, NotADigest};
pub use kinds::registry::{
    API_VERSION, BACKFILL_REQUESTED, Context, FORCE_DELETE, GROUP, Home, Kind, KindInfo, MIN_FORCE_REASON, NotAKind,
    ORPHANED_FROM, Priority, SYNC_FINALIZER, StorageClass, VERSION, is_force_reason,
};
pub use names::{MAX_LABEL_BYTES, MAX_SUBDOMAIN_BYTES, derived_name, is_dns_label, is_dns_subdomain, named_by_digest};
pub use resource::{Resource, native_index};
pub use selector::{NotASelector, Selector};

/// What [`closed_set!`] expands to; not for direct use.
#[doc(hidden)]
pub mod __private {
    pub use schemars::{JsonSchema, Schema, SchemaGenerator};
    pub use serde::{Deserialize, Deserializer, Serialize, Serializer};

    /// The schema of a closed set.
    pub fn string_enum_schema(accepted: &[&str]) -> Schema {
        schemars::json_schema!({"type": "string", "enum": accepted})
    }
}
