//! Role templates: what each may do, by verb and kind, without wildcards (permission-review.md section 8, P39).

use krate_model::Kind;
use krate_model::kinds::members::Permission;
use krate_model::kinds::registry::{Context, Home, StorageClass};
use krate_model::kinds::sets::Operation;

use crate::request::Verb;

krate_model::closed_set! {
    /// The templates of persons' roles. Those of runners and controllers are native roles only.
    Template {
        Viewer = "krate-viewer", Contributor = "krate-contributor", Maintainer = "krate-maintainer",
        RepositoryAdmin = "krate-repository-admin", OrgAdmin = "krate-org-admin",
        SecretGrantAdmin = "krate-secret-grant-admin", AgentApprover = "krate-agent-approver",
        MemorySteward = "krate-memory-steward",
    }
}

/// A field of a spec by which a person asks for an act (R37): its verb, and the subresource that it stands for in Kubernetes.
pub(crate) struct CommandField {
    pub(crate) kind: Kind,
    pub(crate) field: &'static str,
    pub(crate) verb: Verb,
    pub(crate) subresource: &'static str,
}

const fn command(kind: Kind, field: &'static str, verb: Verb, subresource: &'static str) -> CommandField {
    CommandField { kind, field, verb, subresource }
}

/// Every command whose verb is another than writing (R37).
pub(crate) const COMMANDS: &[CommandField] = &[
    command(Kind::AgentApproval, "decide", Verb::Decide, "decision"),
    command(Kind::AgentApproval, "withdraw", Verb::Decide, "decision"),
    command(Kind::AgentContextLabel, "review", Verb::Decide, "review"),
    command(Kind::ExternalSyncConflict, "resolution", Verb::Resolve, "resolution"),
    command(Kind::ExternalWebhookDelivery, "disposition", Verb::Replay, "disposition"),
    command(Kind::ExternalWriteIntent, "cancel", Verb::Cancel, "cancel"),
    command(Kind::AgentDispatchRun, "cancel", Verb::Cancel, "cancel"),
    command(Kind::AgentDispatchRun, "continue", Verb::Dispatch, "continue"),
    command(Kind::Pipeline, "cancel", Verb::Cancel, "cancel"),
    command(Kind::Pipeline, "rerun", Verb::Dispatch, "rerun"),
    command(Kind::PullRequest, "merge", Verb::Merge, "merge"),
];

krate_model::closed_set! {
    /// Programs of krate that act for themselves, each with what it needs and no more.
    Controller { Operator = "krate-operator", Gateway = "krate-gateway" }
}

impl Controller {
    /// Whether it has that verb on that kind, or on a subresource of it. Specs of what persons write are theirs; a controller writes their status, and records.
    pub fn allows(&self, verb: &Verb, kind: Kind, subresource: Option<&str>) -> bool {
        let is_record = kind.info().class == StorageClass::Record;
        match self {
            Self::Operator => {
                is_read(verb)
                    || (subresource == Some("status") && matches!(verb, Verb::Update | Verb::Patch))
                    || (subresource.is_none() && is_record && (is_write(verb) || *verb == Verb::Delete))
            }
            Self::Gateway => {
                let takes_in = kind == Kind::ExternalWebhookDelivery && *verb == Verb::Create && subresource.is_none();
                takes_in
                    || (is_read(verb) && matches!(kind, Kind::ExternalBackendProvider | Kind::ExternalWebhookDelivery))
            }
            Self::Unknown(_) => false,
        }
    }
}

const fn is_read(verb: &Verb) -> bool {
    matches!(verb, Verb::Get | Verb::List | Verb::Watch)
}

const fn is_write(verb: &Verb) -> bool {
    matches!(verb, Verb::Create | Verb::Update | Verb::Patch)
}

impl Template {
    /// The template of a permission on a repository.
    pub const fn of(permission: &Permission) -> Option<Self> {
        match permission {
            Permission::Read | Permission::Triage => Some(Self::Viewer),
            Permission::Write => Some(Self::Contributor),
            Permission::Maintain => Some(Self::Maintainer),
            Permission::Admin => Some(Self::RepositoryAdmin),
            _ => None,
        }
    }

    /// Whether the template has that verb on that kind. `bind`, `escalate` and `break-glass` come from no template but the
    /// organization's admin.
    pub fn allows(&self, verb: &Verb, kind: Kind) -> bool {
        match self {
            Self::Viewer => {
                is_read(verb) && !matches!(kind, Kind::AgentSessionTranscript | Kind::AgentSessionAttachment)
            }
            Self::Contributor => {
                Self::Viewer.allows(verb, kind)
                    || (is_write(verb)
                        && matches!(kind, Kind::Issue | Kind::Comment | Kind::PullRequest | Kind::Review))
                    || (*verb == Verb::Create && matches!(kind, Kind::Pipeline | Kind::PolicyExceptionRequest))
            }
            Self::Maintainer => {
                Self::Contributor.allows(verb, kind)
                    || match verb {
                        Verb::Merge => kind == Kind::PullRequest,
                        Verb::Resolve => kind == Kind::ExternalSyncConflict,
                        Verb::Replay => matches!(kind, Kind::ExternalWebhookDelivery | Kind::ExternalWriteIntent),
                        Verb::Dispatch => {
                            matches!(
                                kind,
                                Kind::AgentStack | Kind::AgentDispatchRun | Kind::AgentTriggerEvent | Kind::Pipeline
                            )
                        }
                        // Who may set an agent to work may use what it works with.
                        Verb::Use => matches!(
                            kind,
                            Kind::AgentStack
                                | Kind::AgentToolProfile
                                | Kind::AgentMcpServer
                                | Kind::AgentSkill
                                | Kind::AgentMemorySource
                                | Kind::RunnerPool
                        ),
                        Verb::Cancel => {
                            matches!(
                                kind,
                                Kind::AgentDispatchRun
                                    | Kind::AgentDispatchAttempt
                                    | Kind::Pipeline
                                    | Kind::ExternalWriteIntent
                            )
                        }
                        Verb::Decide => matches!(kind, Kind::AgentApproval | Kind::AgentContextLabel),
                        Verb::Create | Verb::Update | Verb::Patch => matches!(
                            kind,
                            Kind::AgentStack
                                | Kind::AgentToolProfile
                                | Kind::AgentMcpServer
                                | Kind::AgentSkill
                                | Kind::AgentSubagent
                                | Kind::AgentWorkspacePolicy
                                | Kind::AgentTriggerRule
                                | Kind::AgentContextLabel
                        ),
                        _ => false,
                    }
            }
            Self::RepositoryAdmin => {
                Self::Maintainer.allows(verb, kind)
                    || ((is_write(verb) || *verb == Verb::Delete)
                        && matches!(
                            kind,
                            Kind::ExternalBackendBinding
                                | Kind::ExternalBackendSyncPolicy
                                | Kind::BranchProtection
                                | Kind::RefPolicy
                                | Kind::SSHKey
                                | Kind::RepositoryPermission
                        ))
            }
            Self::OrgAdmin => {
                Self::Viewer.allows(verb, kind)
                    || (kind.info().home != Home::Platform && !matches!(verb, Verb::Unknown(_)))
            }
            Self::SecretGrantAdmin => {
                (is_read(verb) || is_write(verb) || *verb == Verb::Delete)
                    && matches!(kind, Kind::AgentSecretGrant | Kind::AgentConfigGrant)
            }
            Self::AgentApprover => kind == Kind::AgentApproval && (is_read(verb) || *verb == Verb::Decide),
            Self::MemorySteward => {
                kind.info().context == Context::Memory
                    && (is_read(verb)
                        || matches!(verb, Verb::Query | Verb::Propose | Verb::Merge)
                        || (is_write(verb) && kind == Kind::AgentMemoryOntology))
            }
            Self::Unknown(_) => false,
        }
    }
}

/// The operations that a verb on a kind may come to at a provider (P58); none for what no provider holds. Which of several it is, what is written says: whether
/// an issue is closed by it, whether a comment is on a pull request.
pub(crate) const fn operations(verb: &Verb, kind: Kind) -> &'static [Operation] {
    match (kind, verb) {
        (Kind::Issue, Verb::Create) => &[Operation::CreateIssue],
        (Kind::Issue, Verb::Update | Verb::Patch) => &[Operation::UpdateIssue, Operation::CloseIssue],
        (Kind::Issue, Verb::Delete) => &[Operation::CloseIssue],
        (Kind::PullRequest, Verb::Create) => &[Operation::CreatePullRequest],
        (Kind::PullRequest, Verb::Update | Verb::Patch | Verb::Delete) => &[Operation::UpdatePullRequest],
        (Kind::PullRequest, Verb::Merge) => &[Operation::MergePullRequest],
        (Kind::Review, Verb::Create) => &[Operation::CreateReview],
        (Kind::Review, Verb::Update | Verb::Patch | Verb::Delete) => &[Operation::DismissReview],
        (Kind::Comment, Verb::Create) => &[Operation::CreateComment, Operation::CreatePullRequestComment],
        (Kind::Comment, Verb::Update | Verb::Patch) => &[Operation::UpdateComment, Operation::UpdatePullRequestComment],
        (Kind::Comment, Verb::Delete) => &[Operation::DeleteComment, Operation::DeletePullRequestComment],
        (Kind::Pipeline, Verb::Cancel) => &[Operation::CancelPipeline],
        (Kind::Pipeline, Verb::Dispatch) => &[Operation::RerunPipeline],
        _ => &[],
    }
}

/// The right that a person needs to do themselves what an operation does; none for what only reads, and for what nobody knows.
pub(crate) fn right_of(operation: &Operation) -> Option<(Verb, Kind)> {
    Some(match operation {
        Operation::CreateIssue => (Verb::Create, Kind::Issue),
        Operation::UpdateIssue
        | Operation::CloseIssue
        | Operation::TransitionIssue
        | Operation::AddLabels
        | Operation::RemoveLabels
        | Operation::SyncLabels => (Verb::Update, Kind::Issue),
        Operation::CreateComment | Operation::CreatePullRequestComment => (Verb::Create, Kind::Comment),
        Operation::UpdateComment
        | Operation::DeleteComment
        | Operation::UpdatePullRequestComment
        | Operation::DeletePullRequestComment => (Verb::Update, Kind::Comment),
        Operation::CreatePullRequest | Operation::CreateRef | Operation::UpdateRef | Operation::DeleteRef => {
            (Verb::Create, Kind::PullRequest)
        }
        Operation::UpdatePullRequest | Operation::CreateReview | Operation::DismissReview => {
            (Verb::Update, Kind::PullRequest)
        }
        Operation::MergePullRequest | Operation::CreateRelease | Operation::UpdateRelease => {
            (Verb::Merge, Kind::PullRequest)
        }
        Operation::RerunPipeline | Operation::CreateCheck | Operation::UpdateCheck => (Verb::Dispatch, Kind::Pipeline),
        Operation::CancelPipeline => (Verb::Cancel, Kind::Pipeline),
        Operation::CreateRepository => (Verb::Create, Kind::Repository),
        Operation::UpdateRepository => (Verb::Update, Kind::Repository),
        Operation::RegisterRunner => (Verb::Create, Kind::RunnerPool),
        Operation::SyncDeployKeys => (Verb::Update, Kind::SSHKey),
        Operation::SyncCollaborators => (Verb::Update, Kind::RepositoryPermission),
        Operation::SyncBranchProtection => (Verb::Update, Kind::BranchProtection),
        _ => return None,
    })
}

/// The operation that a write-back action comes to (A36); none for what asks a person and changes nothing.
pub(crate) fn operation_of(action: &str) -> Option<Operation> {
    Some(match action {
        "issue-comment" => Operation::CreateComment,
        "pull-request-comment" => Operation::CreatePullRequestComment,
        "review" => Operation::CreateReview,
        "branch-push" => Operation::UpdateRef,
        "branch-create" => Operation::CreateRef,
        "pull-request-open" => Operation::CreatePullRequest,
        "check-rerun" | "workflow-rerun" => Operation::RerunPipeline,
        "release-note" => Operation::UpdateRelease,
        _ => return None,
    })
}

/// The right that a person needs to do themselves what a write-back action does: that of its operation (P61).
pub(crate) fn right_of_action(action: &str) -> Option<(Verb, Kind)> {
    if action == "approval-request" {
        return Some((Verb::Get, Kind::AgentApproval));
    }
    right_of(&operation_of(action)?)
}
