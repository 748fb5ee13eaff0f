//! Who did what, when, why, with which outcome. Spec: resource-kinds.md section 4, R35, R44; external-sync.md S41.

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::sets::Interface;
use super::shared::{Actor, Condition, ObjectRef, Time};
use crate::Digest;
use crate::audit::{AuditNative, AuditOutcome};
use crate::resource::{phases, resource};

/// Who did what, when, why, with which outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "krate.a5c.ai",
    version = "v1alpha1",
    kind = "AuditEvent",
    plural = "auditevents",
    shortname = "kaudit",
    category = "krate",
    category = "krate-hooks",
    namespaced,
    status = "AuditEventStatus",
    derive = "PartialEq",
    doc = "Who did what, when, why, with which outcome.",
    printcolumn(name = "Type", type_ = "string", json_path = ".spec.type"),
    printcolumn(name = "Actor", type_ = "string", json_path = ".spec.actor.name"),
    printcolumn(name = "Object", type_ = "string", json_path = ".spec.object.name"),
    printcolumn(name = "Outcome", type_ = "string", json_path = ".spec.outcome")
)]
#[serde(rename_all = "camelCase")]
pub struct AuditEventSpec {
    /// The organization; absent exactly in the platform namespace (R35).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), extend("x-krate-immutable" = true, "x-krate-ref" = "Organization"))]
    pub organization_ref: Option<String>,
    /// Position in the organization's chain, without gaps (R44).
    #[schemars(range(min = 0), extend("x-krate-immutable" = true))]
    pub sequence: i64,
    /// What happened.
    #[serde(rename = "type")]
    #[schemars(length(max = 253), extend("x-krate-immutable" = true))]
    pub r#type: String,
    /// When.
    #[schemars(extend("x-krate-immutable" = true))]
    pub at: Time,
    /// Who did it.
    #[schemars(extend("x-krate-immutable" = true))]
    pub actor: Actor,
    /// What it was done to.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-krate-immutable" = true))]
    pub object: Option<ObjectRef>,
    /// The provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), extend("x-krate-immutable" = true))]
    pub provider: Option<String>,
    /// The binding.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), extend("x-krate-immutable" = true))]
    pub binding: Option<String>,
    /// The interface.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-krate-immutable" = true))]
    pub interface: Option<Interface>,
    /// The native object.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-krate-immutable" = true))]
    pub native: Option<AuditNative>,
    /// The phase before.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), extend("x-krate-immutable" = true))]
    pub from: Option<String>,
    /// The phase after.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), extend("x-krate-immutable" = true))]
    pub to: Option<String>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-krate-immutable" = true))]
    pub reason: Option<String>,
    /// How it ended.
    #[schemars(extend("x-krate-immutable" = true))]
    pub outcome: AuditOutcome,
    /// Digests of what was involved, by role.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("x-krate-immutable" = true))]
    pub digests: BTreeMap<String, String>,
    /// What led to it, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-krate-immutable" = true))]
    pub cause_chain: Vec<String>,
    /// Ties together what belongs together.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), extend("x-krate-immutable" = true))]
    pub correlation_id: Option<String>,
    /// Digest of the event before (R44).
    #[schemars(extend("x-krate-immutable" = true))]
    pub previous_digest: Digest,
    /// Digest of this event.
    #[schemars(extend("x-krate-immutable" = true))]
    pub digest: Digest,
}

phases! {
    /// Phases of an [`AuditEvent`].
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

resource!(AuditEvent, AuditEventSpec, AuditEventStatus, |spec| spec.organization_ref.as_deref());
