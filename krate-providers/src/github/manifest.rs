//! What GitHub can do through this adapter: only what the codec really has (S2, S49).

use std::sync::LazyLock;

use krate_model::kinds::external::{
    ApiSupport, AuthModeSpec, CredentialKey, ExternalProviderCapabilityManifestSpec, ExternalRefKey, IdentitySpec,
    ManifestInterface, ManifestOperation, ManifestSource, ManifestWebhook, Paging, RateLimitKind, RateLimitModel,
    RateLimitScope,
};
use krate_model::kinds::sets::{AuthMode, Idempotency, Interface, Operation, SourceFormat, WebhookSignature};
use krate_model::kinds::shared::Dur;
use krate_model::observation::ResourceKind;

pub(super) const PROVIDER_TYPE: &str = "github";

/// The most objects that GitHub puts on a page.
pub(super) const MAX_PAGE_SIZE: u16 = 100;

static MANIFEST: LazyLock<ExternalProviderCapabilityManifestSpec> = LazyLock::new(build);

pub(super) fn manifest() -> &'static ExternalProviderCapabilityManifestSpec {
    &MANIFEST
}

/// How an operation behaves.
enum Behaviour {
    /// A list in pages that shift while they are read (S24), with ETags.
    List,
    /// What was sent, newest first: the cursor keeps its place.
    Log,
    /// A read that tells nothing to ask again by.
    Plain,
    /// One object, with ETags.
    Get,
    /// A write that finds itself again by reading: by the hidden key (a create), or by the value that it sets.
    Write,
    /// A write that GitHub refuses when the head moved.
    Guarded,
}
use Behaviour::{Get, Guarded, List, Log, Plain, Write};

/// Operation, behaviour, permission of krate, permission of GitHub, webhook events that confirm it.
type Row = (Operation, Behaviour, &'static str, &'static str, &'static [&'static str]);

const ISSUE_TRACKING: &[Row] = &[
    (Operation::ListIssues, List, "issues:read", "issues:read", &[]),
    (Operation::GetIssue, Get, "issues:read", "issues:read", &[]),
    (Operation::ListComments, List, "issues:read", "issues:read", &[]),
    (Operation::ListLabels, List, "issues:read", "issues:read", &[]),
    (Operation::CreateIssue, Write, "issues:write", "issues:write", &["issues"]),
    (Operation::UpdateIssue, Write, "issues:write", "issues:write", &["issues"]),
    (Operation::CloseIssue, Write, "issues:write", "issues:write", &["issues"]),
    (Operation::CreateComment, Write, "issues:write", "issues:write", &["issue_comment"]),
    (Operation::UpdateComment, Write, "issues:write", "issues:write", &["issue_comment"]),
    (Operation::DeleteComment, Write, "issues:write", "issues:write", &["issue_comment"]),
    (Operation::AddLabels, Write, "issues:write", "issues:write", &["issues", "pull_request"]),
    (Operation::RemoveLabels, Write, "issues:write", "issues:write", &["issues", "pull_request"]),
];

const GIT_FORGE: &[Row] = &[
    (Operation::GetRepository, Get, "repositories:read", "metadata:read", &[]),
    (Operation::ListPullRequests, List, "pull-requests:read", "pull_requests:read", &[]),
    (Operation::GetPullRequest, Get, "pull-requests:read", "pull_requests:read", &[]),
    (Operation::CreatePullRequest, Write, "pull-requests:write", "pull_requests:write", &["pull_request"]),
    (Operation::UpdatePullRequest, Write, "pull-requests:write", "pull_requests:write", &["pull_request"]),
    (Operation::MergePullRequest, Guarded, "pull-requests:merge", "contents:write", &["pull_request"]),
    (Operation::ListHooks, Plain, "hooks:read", "repository_hooks:read", &[]),
    (Operation::ListHookDeliveries, Log, "hooks:read", "repository_hooks:read", &[]),
    (Operation::GetHookDelivery, Plain, "hooks:read", "repository_hooks:read", &[]),
];

/// Event type, its actions (none: it has none), what it becomes.
type Event = (&'static str, &'static [&'static str], &'static [ResourceKind]);

const ISSUE_TRACKING_EVENTS: &[Event] = &[
    (
        "issues",
        &[
            "assigned",
            "closed",
            "deleted",
            "demilestoned",
            "edited",
            "labeled",
            "locked",
            "milestoned",
            "opened",
            "pinned",
            "reopened",
            "transferred",
            "typed",
            "unassigned",
            "unlabeled",
            "unlocked",
            "unpinned",
            "untyped",
        ],
        // S8: they are sent for pull requests as well.
        &[ResourceKind::Issue, ResourceKind::PullRequest],
    ),
    (
        "issue_comment",
        &["created", "deleted", "edited"],
        &[ResourceKind::Issue, ResourceKind::PullRequest, ResourceKind::Comment],
    ),
    ("label", &["created", "deleted", "edited"], &[ResourceKind::Label]),
    ("milestone", &["closed", "created", "deleted", "edited", "opened"], &[ResourceKind::Milestone]),
];

const CICD_EVENTS: &[Event] = &[
    (
        "check_run",
        &["completed", "created", "requested_action", "rerequested"],
        &[ResourceKind::Pipeline, ResourceKind::Job],
    ),
    ("check_suite", &["completed", "requested", "rerequested"], &[ResourceKind::Pipeline]),
    ("status", &[], &[ResourceKind::Pipeline, ResourceKind::Job]),
    ("workflow_job", &["completed", "in_progress", "queued", "waiting"], &[ResourceKind::Job]),
    ("workflow_run", &["completed", "in_progress", "requested"], &[ResourceKind::Pipeline]),
];

const GIT_FORGE_EVENTS: &[Event] = &[
    (
        "pull_request",
        &[
            "assigned",
            "auto_merge_disabled",
            "auto_merge_enabled",
            "closed",
            "converted_to_draft",
            "demilestoned",
            "dequeued",
            "edited",
            "enqueued",
            "labeled",
            "locked",
            "milestoned",
            "opened",
            "ready_for_review",
            "reopened",
            "review_request_removed",
            "review_requested",
            "synchronize",
            "unassigned",
            "unlabeled",
            "unlocked",
        ],
        &[ResourceKind::PullRequest],
    ),
    ("pull_request_review", &["dismissed", "edited", "submitted"], &[ResourceKind::PullRequest, ResourceKind::Review]),
    (
        "pull_request_review_comment",
        &["created", "deleted", "edited"],
        &[ResourceKind::PullRequest, ResourceKind::Comment],
    ),
    ("pull_request_review_thread", &["resolved", "unresolved"], &[ResourceKind::PullRequest, ResourceKind::Comment]),
    ("push", &[], &[ResourceKind::Ref, ResourceKind::Commit]),
    ("create", &[], &[ResourceKind::Ref]),
    ("delete", &[], &[ResourceKind::Ref]),
    ("public", &[], &[ResourceKind::Repository]),
    (
        "repository",
        &[
            "archived",
            "created",
            "deleted",
            "edited",
            "privatized",
            "publicized",
            "renamed",
            "transferred",
            "unarchived",
        ],
        &[ResourceKind::Repository],
    ),
    (
        "installation",
        &["created", "deleted", "new_permissions_accepted", "suspend", "unsuspend"],
        &[ResourceKind::Installation],
    ),
    ("installation_repositories", &["added", "removed"], &[ResourceKind::Installation]),
];

fn build() -> ExternalProviderCapabilityManifestSpec {
    ExternalProviderCapabilityManifestSpec {
        organization_ref: None,
        provider_type: PROVIDER_TYPE.to_owned(),
        source: ManifestSource::Builtin,
        provider_ref: None,
        adapter_ref: None,
        display_name: "GitHub".to_owned(),
        schema_version: "1".to_owned(),
        hosting: texts(&["saas", "enterprise-server"]),
        auth_modes: vec![
            auth_mode(AuthMode::GithubApp, &[("appId", true), ("privateKey", true), ("installationId", false)]),
            auth_mode(AuthMode::OauthUser, &[("token", true)]),
            auth_mode(AuthMode::PersonalAccessToken, &[("token", true)]),
            auth_mode(AuthMode::WebhookOnly, &[]),
        ],
        api: ApiSupport { rest: true, graphql: false, webhook: true },
        identity: IdentitySpec {
            native_id_fields: texts(&["id"]),
            global_id_field: Some("node_id".to_owned()),
            url_field: Some("html_url".to_owned()),
            version_fields: texts(&["updated_at"]),
        },
        version_granularity: Dur::literal("1s"),
        body_format: SourceFormat::Markdown,
        external_ref_keys: vec![
            // Not what a new account may be called: old ones begin or end with a hyphen and are still there, and managed users have an underscore.
            ref_key("owner", true, "[A-Za-z0-9_-]{1,100}"),
            ref_key("repository", true, "[A-Za-z0-9._-]{1,100}"),
            ref_key("installationId", false, "[0-9]{1,20}"),
        ],
        rate_limit_model: RateLimitModel { kind: RateLimitKind::Requests, per: RateLimitScope::Installation },
        webhook_signature: vec![WebhookSignature::HmacSha256],
        interfaces: vec![
            interface(Interface::IssueTracking, &["Issue", "Comment"], ISSUE_TRACKING, ISSUE_TRACKING_EVENTS),
            interface(Interface::Cicd, &["Pipeline", "Job"], &[], CICD_EVENTS),
            interface(
                Interface::GitForge,
                &["Repository", "PullRequest", "Review", "Comment"],
                GIT_FORGE,
                GIT_FORGE_EVENTS,
            ),
        ],
    }
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn auth_mode(name: AuthMode, keys: &[(&str, bool)]) -> AuthModeSpec {
    let credential_keys =
        keys.iter().map(|(name, required)| CredentialKey { name: (*name).to_owned(), required: *required }).collect();
    AuthModeSpec { name, credential_keys }
}

fn ref_key(name: &str, required: bool, pattern: &str) -> ExternalRefKey {
    ExternalRefKey { name: name.to_owned(), required, pattern: Some(pattern.to_owned()) }
}

fn interface(name: Interface, objects: &[&str], operations: &[Row], events: &[Event]) -> ManifestInterface {
    ManifestInterface {
        name,
        supported: true,
        limited: false,
        objects: texts(objects),
        operations: operations.iter().map(operation).collect(),
        webhooks: events
            .iter()
            .map(|(event, actions, yields)| ManifestWebhook {
                event: (*event).to_owned(),
                actions: texts(actions),
                yields: yields.to_vec(),
            })
            .collect(),
    }
}

fn operation((operation, behaviour, permission, scope, confirmed_by): &Row) -> ManifestOperation {
    let write = matches!(behaviour, Write | Guarded);
    let list = matches!(behaviour, List | Log);
    ManifestOperation {
        operation: operation.clone(),
        write,
        permissions: texts(&[permission]),
        auth_modes: vec![AuthMode::GithubApp, AuthMode::OauthUser, AuthMode::PersonalAccessToken],
        native_scopes: texts(&[scope]),
        idempotency: match behaviour {
            List | Log | Get | Plain => Idempotency::Native,
            Write => Idempotency::VerifyByRead,
            Guarded => Idempotency::Precondition,
        },
        rest_cost: 1,
        // GitHub's secondary limit counts a write as five reads.
        point_cost: if write { 5 } else { 1 },
        confirmed_by: texts(confirmed_by),
        response_confirms: write,
        conditional: matches!(behaviour, List | Log | Get),
        paging: match behaviour {
            List => Paging::Page,
            Log => Paging::Cursor,
            _ => Paging::NoPages,
        },
        // By time or by age (S24): nothing moves to a page that was read already.
        paging_stable: matches!(
            operation,
            Operation::ListIssues
                | Operation::ListPullRequests
                | Operation::ListComments
                | Operation::ListHookDeliveries
        ),
        max_page_size: list.then_some(i64::from(MAX_PAGE_SIZE)),
    }
}
