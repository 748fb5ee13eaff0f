//! The phases of the kinds against those of their machines (R39).
//!
//! The tables here are the specification's, written down once more by hand: `external-sync.md` sections 6, 8 and 9, and for kinds
//! without a machine the lists of `resource-kinds.md` section 4.

use std::collections::BTreeSet;

use krate_model::kinds::defined::DEFINED;
use krate_model::schema::schema;
use krate_model::{Kind, apply_defaults};
use serde_json::json;

const MACHINES: &[(Kind, &str)] = &[
    (Kind::ExternalBackendProvider, "Pending Authenticating Discovering Ready Degraded Paused Failed"),
    (
        Kind::ExternalBackendBinding,
        "Pending ValidatingTarget RegisteringWebhook Backfilling Ready Conflict Paused Failed",
    ),
    (
        Kind::ExternalWebhookDelivery,
        "Received SignatureRejected Queued Normalizing Processing Succeeded Retrying DeadLettered",
    ),
    (Kind::ExternalSyncState, "Scheduled Listing Hydrating Applying Checkpointing RateLimited Succeeded Failed"),
    (
        Kind::ExternalWriteIntent,
        "PendingApproval ReadyToSend Sending AwaitingConfirmation Succeeded Conflict Retrying Rejected Failed",
    ),
    (Kind::ExternalSyncConflict, "Open Resolving Resolved Ignored Superseded"),
];

const WITHOUT_MACHINE: &[(Kind, &str)] = &[
    (Kind::Organization, "Pending Ready Suspended Terminating Failed"),
    (Kind::OrgNamespaceBinding, "Pending Bound Failed"),
    (Kind::OrgSharingPolicy, "Pending Active Expired Revoked"),
    (Kind::Repository, "Pending Ready Archived Deleted Failed"),
    (Kind::Issue, "Pending Open Closed Deleted"),
    (Kind::PullRequest, "Pending Draft Open Merged Closed Deleted"),
    (Kind::Review, "Pending Submitted Dismissed Deleted"),
    (Kind::Comment, "Pending Visible Minimized Deleted"),
    (Kind::Pipeline, "Queued Waiting Running Succeeded Failed Cancelled Skipped Unknown"),
    (Kind::Job, "Queued Waiting Running Succeeded Failed Cancelled Skipped Unknown"),
    (Kind::AuditEvent, "Recorded"),
    (Kind::ExternalBackendSyncPolicy, "Ready Invalid"),
    (Kind::ExternalProviderCapabilityManifest, "Ready Stale Invalid"),
    (Kind::ExternalSyncEvent, "Pending Applied Stale Ignored Failed"),
    (Kind::ExternalObjectLink, "Linked Tombstoned Orphaned"),
    (Kind::User, "Active Suspended"),
    (Kind::Team, "Pending Ready"),
    (Kind::IdentityMapping, "Pending Verified Rejected"),
    (Kind::SSHKey, "Pending Active Revoked Expired Failed"),
    (Kind::RefPolicy, "Pending Active Failed"),
    (Kind::BranchProtection, "Pending Applied Drifted Failed"),
    (Kind::RepositoryPermission, "Pending Applied Drifted Revoked Failed"),
    (Kind::AgentRoleBinding, "Pending Synced Drifted Denied Failed"),
    (Kind::AgentSecretGrant, "Pending Active Expired Revoked Exhausted"),
    (Kind::AgentConfigGrant, "Pending Active Expired Revoked Exhausted"),
    (Kind::PolicyProfile, "Pending Synced Degraded"),
    (Kind::PolicyTemplate, "Pending Ready Invalid"),
    (Kind::PolicyBinding, "Pending Rendered Applied Degraded"),
    (Kind::PolicyExceptionRequest, "Requested Approved Denied Expired Applied"),
    (Kind::AgentApproval, "Pending Approved Denied Used Expired Stale Withdrawn"),
    (Kind::RunnerPool, "Pending Ready Degraded Failed"),
    (Kind::AgentServiceAccount, "Pending Ready Drifted Failed"),
    (Kind::AgentStack, "Pending Ready Blocked Error"),
    (Kind::AgentSubagent, "Pending Ready Blocked Error"),
    (Kind::AgentToolProfile, "Pending Ready Blocked Error"),
    (Kind::AgentMcpServer, "Pending Ready Blocked Error"),
    (Kind::AgentSkill, "Pending Ready Blocked Error"),
    (Kind::AgentTriggerRule, "Draft Active Paused Disabled Archived Blocked"),
    (Kind::AgentContextLabel, "PendingReview Reviewed Drifted"),
    (Kind::AgentWorkspacePolicy, "Pending Ready Error"),
    (Kind::AgentProviderConfig, "Pending Ready Error"),
    (Kind::AgentMemorySource, "Pending Ready Error"),
];

#[test]
fn r39_the_phases_of_a_kind_are_exactly_those_of_its_machine() {
    let mut seen = BTreeSet::new();
    for (kind, phases) in MACHINES.iter().chain(WITHOUT_MACHINE) {
        let defined = DEFINED.iter().find(|defined| defined.kind == *kind).unwrap();
        let expected: Vec<&str> = phases.split(' ').collect();
        assert_eq!(defined.phases, expected, "{kind}");
        let accepted = &schema(*kind).unwrap()["properties"]["status"]["properties"]["phase"]["enum"];
        assert_eq!(*accepted, json!(expected), "{kind}");
        seen.insert(*kind);
    }
    assert_eq!(seen.len(), DEFINED.len(), "every defined kind is in one of the tables");
}

#[test]
fn r39_an_object_starts_in_the_first_phase() {
    for defined in DEFINED {
        let mut document = json!({"status": {}});
        apply_defaults(defined.kind, &mut document);
        assert_eq!(document["status"]["phase"], defined.phases[0], "{}", defined.kind);
    }
}
