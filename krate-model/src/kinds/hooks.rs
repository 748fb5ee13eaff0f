//! Hooks and events: the audit event as a kind. What it holds and how it is chained stands in [`audit`](crate::audit). Spec:
//! resource-kinds.md section 4, R44.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::shared::Condition;
pub use crate::audit::{AuditEvent, AuditEventSpec, AuditNative, AuditOutcome};
use crate::resource::{phases, resource};

phases! {
    /// Phases of an [`AuditEvent`]: it is written once and for all.
    AuditEventPhase { Recorded = "Recorded" }
}

/// What is so with an [`AuditEvent`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AuditEventStatus {
    /// Phase.
    pub phase: AuditEventPhase,
    /// Conditions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "super::shared::conditions_schema")]
    pub conditions: Vec<Condition>,
    /// The generation of the spec that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

resource!(AuditEvent, AuditEventSpec, AuditEventStatus, |spec| spec.organization_ref.as_deref(), |object, add| {
    for entry in object.spec.indexes() {
        add(entry.index, entry.value.as_ref().to_owned());
    }
});
