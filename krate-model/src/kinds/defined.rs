//! The kinds that have a typed definition, and what can be done with a document whose kind is only known at run time.

use serde_json::Value;

use super::{
    agents, ci, enforcement, external, forge, grants, hooks, identity, labels, members, policy, pools, protection,
    tools, triggers, work,
};
use crate::store::IndexEntry;
use crate::{Kind, Resource};

/// A kind that is defined: its schema, and its documents read as typed objects.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Defined {
    /// The kind.
    pub kind: Kind,
    /// Every phase, in the order of the spec (R39).
    pub phases: &'static [&'static str],
    pub(crate) crd: fn() -> crate::crd::CustomResourceDefinition,
    pub(crate) raw_schema: fn() -> Value,
    retype: fn(&Value) -> Result<Value, serde_json::Error>,
    indexes: fn(&Value) -> Result<Vec<IndexEntry>, serde_json::Error>,
}

impl Defined {
    /// The definition of `kind`, where there is one.
    pub fn of(kind: Kind) -> Option<&'static Self> {
        DEFINED.iter().find(|defined| defined.kind == kind)
    }

    /// `document` read as a typed object and written again: unknown fields are gone, defaults are there.
    ///
    /// # Errors
    /// What is missing or of another type.
    pub fn retype(&self, document: &Value) -> Result<Value, serde_json::Error> {
        (self.retype)(document)
    }

    /// What `document` is found by: the entries of [`Resource::indexes`].
    ///
    /// # Errors
    /// What is missing or of another type.
    pub fn indexes(&self, document: &Value) -> Result<Vec<IndexEntry>, serde_json::Error> {
        (self.indexes)(document)
    }
}

fn retype<R: Resource>(document: &Value) -> Result<Value, serde_json::Error> {
    serde_json::to_value(serde::Deserialize::deserialize(document).map(|object: R| object)?)
}

fn indexes<R: Resource>(document: &Value) -> Result<Vec<IndexEntry>, serde_json::Error> {
    let object: R = serde::Deserialize::deserialize(document)?;
    let mut entries = Vec::new();
    object.indexes(&mut |index, value| entries.push(IndexEntry::new(index, value)));
    Ok(entries)
}

macro_rules! defined {
    ($($module:ident::$kind:ident),+ $(,)?) => {
        /// Every kind that is defined, in the order of the registry.
        pub static DEFINED: &[Defined] = &[$(Defined {
            kind: Kind::$kind,
            phases: <$module::$kind as Resource>::PHASES,
            crd: <$module::$kind as ::kube::CustomResourceExt>::crd,
            raw_schema: crate::schema::raw::<$module::$kind>,
            retype: retype::<$module::$kind>,
            indexes: indexes::<$module::$kind>,
        }),+];
    };
}

defined! {
    identity::Organization, identity::OrgNamespaceBinding, identity::OrgSharingPolicy, members::User, members::Team, members::IdentityMapping,
    forge::Repository, protection::SSHKey, members::RepositoryPermission, protection::RefPolicy, protection::BranchProtection,
    work::Issue, work::PullRequest, work::Review, work::Comment,
    ci::Pipeline, ci::Job, pools::RunnerPool,
    hooks::AuditEvent,
    external::ExternalBackendProvider, external::ExternalBackendBinding, external::ExternalBackendSyncPolicy,
    external::ExternalProviderCapabilityManifest, external::ExternalWebhookDelivery, external::ExternalSyncEvent,
    external::ExternalSyncState, external::ExternalWriteIntent, external::ExternalSyncConflict,
    external::ExternalObjectLink,
    enforcement::PolicyProfile, enforcement::PolicyTemplate, enforcement::PolicyBinding, enforcement::PolicyExceptionRequest,
    agents::AgentServiceAccount, grants::AgentRoleBinding, grants::AgentSecretGrant, grants::AgentConfigGrant,
    policy::AgentApproval,
    agents::AgentStack, agents::AgentSubagent, tools::AgentToolProfile, tools::AgentMcpServer, tools::AgentSkill, triggers::AgentTriggerRule,
    labels::AgentContextLabel,
    agents::AgentWorkspacePolicy, agents::AgentProviderConfig, tools::AgentMemorySource,
}
