//! The closed sets that several kinds share. Spec: resource-kinds.md section 3. A set that one kind has alone stands beside the kind.

crate::closed_set! {
    /// What of a provider a binding uses.
    Interface { IssueTracking = "issueTracking", Cicd = "cicd", GitForge = "gitForge" }
}

crate::closed_set! {
    /// Who owns the truth (external-sync.md section 2).
    Mode {
        ReadOnly = "read-only", ExternalOwned = "external-owned", KrateOwned = "krate-owned",
        Bidirectional = "bidirectional", WriteThrough = "write-through", ReviewedWrite = "reviewed-write",
    }
}

impl Mode {
    /// Whether an observation changes the projection.
    pub fn takes_observed(&self) -> bool {
        !matches!(self, Self::KrateOwned | Self::Unknown(_))
    }

    /// Whether a local change may become a write at the provider, at once or after an approval.
    pub fn writes(&self) -> bool {
        !matches!(self, Self::ReadOnly | Self::Unknown(_))
    }
}

crate::closed_set! {
    /// Every operation of every interface, in the provider-neutral words.
    Operation {
        ListIssues = "listIssues", GetIssue = "getIssue", ListComments = "listComments", ListLabels = "listLabels",
        ListIssueEvents = "listIssueEvents", CreateIssue = "createIssue", UpdateIssue = "updateIssue",
        CloseIssue = "closeIssue", TransitionIssue = "transitionIssue", CreateComment = "createComment",
        UpdateComment = "updateComment", DeleteComment = "deleteComment", AddLabels = "addLabels",
        RemoveLabels = "removeLabels", SyncLabels = "syncLabels",
        ListPipelines = "listPipelines", GetPipeline = "getPipeline", ListJobs = "listJobs", GetJobLog = "getJobLog",
        ListArtifacts = "listArtifacts", ListRunners = "listRunners", RerunPipeline = "rerunPipeline",
        CancelPipeline = "cancelPipeline", CreateCheck = "createCheck", UpdateCheck = "updateCheck",
        RegisterRunner = "registerRunner",
        ListRepositories = "listRepositories", GetRepository = "getRepository", ListPullRequests = "listPullRequests",
        GetPullRequest = "getPullRequest", ListReviews = "listReviews", ListPullRequestComments = "listPullRequestComments",
        ListRefs = "listRefs", GetCommit = "getCommit", ListDeployKeys = "listDeployKeys",
        ListCollaborators = "listCollaborators", GetBranchProtection = "getBranchProtection",
        CreateRepository = "createRepository", UpdateRepository = "updateRepository",
        CreatePullRequest = "createPullRequest", UpdatePullRequest = "updatePullRequest",
        MergePullRequest = "mergePullRequest", CreateReview = "createReview", DismissReview = "dismissReview",
        CreatePullRequestComment = "createPullRequestComment", UpdatePullRequestComment = "updatePullRequestComment",
        DeletePullRequestComment = "deletePullRequestComment", CreateRef = "createRef", UpdateRef = "updateRef",
        DeleteRef = "deleteRef", CreateRelease = "createRelease", UpdateRelease = "updateRelease",
        SyncDeployKeys = "syncDeployKeys", SyncCollaborators = "syncCollaborators",
        SyncBranchProtection = "syncBranchProtection",
        ListHooks = "listHooks", ListHookDeliveries = "listHookDeliveries", GetHookDelivery = "getHookDelivery",
    }
}

impl Operation {
    /// Whether the operation changes something at the provider. An unknown operation is no write that anything allows.
    pub fn is_write(&self) -> bool {
        !["list", "get"].iter().any(|read| self.as_str().starts_with(read)) && crate::ClosedSet::is_known(self)
    }

    /// The interface that the operation belongs to; `None` for an unknown one.
    pub fn interface(&self) -> Option<Interface> {
        let at = Self::ALL.iter().position(|known| known == self)?;
        // The list above holds the interfaces one after another, as the spec's table does.
        let first = |operation: &Self| Self::ALL.iter().position(|known| known == operation).unwrap_or(usize::MAX);
        Some(if at < first(&Self::ListPipelines) {
            Interface::IssueTracking
        } else if at < first(&Self::ListRepositories) {
            Interface::Cicd
        } else {
            Interface::GitForge
        })
    }
}

crate::closed_set! {
    /// What happened to a native object.
    EventAction {
        Created = "created", Updated = "updated", Deleted = "deleted", Reopened = "reopened", Closed = "closed",
        Merged = "merged", Transferred = "transferred", Labeled = "labeled", Unlabeled = "unlabeled",
        Assigned = "assigned", Unassigned = "unassigned", Submitted = "submitted", Dismissed = "dismissed",
        Resolved = "resolved", Queued = "queued", Started = "started", Completed = "completed", Moved = "moved",
        Archived = "archived", Other = "other",
    }
}

crate::closed_set! {
    /// How a field merges (external-sync.md section 7).
    Strategy {
        Scalar = "scalar", Set = "set", Map = "map", Text = "text", Monotonic = "monotonic", Append = "append",
        Version = "version",
    }
}

crate::closed_set! {
    /// Why two sides could not be brought together.
    ConflictReason {
        ConcurrentEdit = "ConcurrentEdit", PreconditionFailed = "PreconditionFailed",
        UnrepresentableValue = "UnrepresentableValue", OwnershipViolation = "OwnershipViolation",
        UnconfirmedWrite = "UnconfirmedWrite", BaseUnknown = "BaseUnknown",
    }
}

crate::closed_set! {
    /// What to do about a conflict.
    ResolutionStrategy {
        PreferExternal = "preferExternal", PreferKrate = "preferKrate", Manual = "manual",
        ReviewedWrite = "reviewedWrite", Ignore = "ignore",
    }
}

crate::closed_set! {
    /// What makes a repeated write harmless (S34).
    Idempotency { Native = "native", Precondition = "precondition", VerifyByRead = "verify-by-read", None = "none" }
}

crate::closed_set! {
    /// How krate proves to a provider who it is.
    AuthMode {
        GithubApp = "github-app", OauthUser = "oauth-user", OauthApp = "oauth-app",
        PersonalAccessToken = "personal-access-token", ProjectToken = "project-token", GroupToken = "group-token",
        AppPassword = "app-password", ApiKey = "api-key", Basic = "basic", ServicePrincipal = "service-principal",
        SshKey = "ssh-key", WebhookOnly = "webhook-only",
    }
}

crate::closed_set! {
    /// How a provider proves that a webhook is its own.
    WebhookSignature {
        HmacSha256 = "hmac-sha256", HmacSha256Timestamped = "hmac-sha256-timestamped",
        StandardWebhooks = "standard-webhooks", SharedToken = "shared-token", Basic = "basic", Jwt = "jwt",
        SshSession = "ssh-session", None = "none",
    }
}

crate::closed_set! {
    /// The class of a provider error, the same for every provider (external-sync.md section 11).
    ErrorClass {
        Authentication = "Authentication", Permission = "Permission", NotFound = "NotFound", Gone = "Gone",
        Validation = "Validation", Precondition = "Precondition", RateLimited = "RateLimited",
        Transient = "Transient", Timeout = "Timeout", Decode = "Decode", Unsupported = "Unsupported",
        Configuration = "Configuration",
    }
}

crate::closed_set! {
    /// How far a cause is trusted with runners.
    TrustTier { Trusted = "trusted", Untrusted = "untrusted" }
}

crate::closed_set! {
    /// Who may see a repository.
    Visibility { Private = "private", Internal = "internal", Public = "public" }
}

crate::closed_set! {
    /// The dialect of a rich text.
    SourceFormat {
        Markdown = "markdown", GitlabMarkdown = "gitlab-markdown",
        AtlassianDocumentFormat = "atlassian-document-format", LinearMarkdown = "linear-markdown", Html = "html",
        Plain = "plain",
    }
}

crate::closed_set! {
    /// Who acts.
    ActorKind { User = "user", Agent = "agent", Controller = "controller", Provider = "provider", System = "system" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_know_their_interface_and_direction() {
        assert_eq!(Operation::SyncLabels.interface(), Some(Interface::IssueTracking));
        assert_eq!(Operation::RegisterRunner.interface(), Some(Interface::Cicd));
        assert_eq!(Operation::ListRepositories.interface(), Some(Interface::GitForge));
        assert!(Operation::SyncLabels.is_write() && !Operation::GetIssue.is_write() && !Operation::ListJobs.is_write());
        assert!(!Operation::from_text("dropDatabase").is_write());
    }
}
