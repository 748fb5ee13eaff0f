//! What a provider said about native objects, in krate's words: canonical events and the typed objects inside them.
//! Spec: external-sync.md sections 4 to 6, resource-kinds.md R53.
//!
//! Everything borrows from the bytes it was read from, so that taking in a delivery copies nothing that is not kept;
//! `into_owned` makes the `'static` form that a record holds.
//!
//! A member that is `None`, or an empty list, was not said. Where the event is *complete*, every field that krate can write was
//! described, so `None` and the empty list then mean that the object has no such value. What krate only observes (counts,
//! `merge_state`, `merged_by`, `closed_by`) some answers leave out even then: `None` there leaves what is known.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::kinds::ci::{Conclusion, RunPhase};
use crate::kinds::sets::{EventAction, Interface, Visibility};
use crate::kinds::shared::{Time, Version};
use crate::kinds::work::{DiffSide, IssueState, IssueStateReason, MergeState, PullRequestState, Verdict};

/// Text that may borrow from what was read.
pub type Text<'a> = Cow<'a, str>;

/// The form of a value that borrows nothing.
trait IntoOwned {
    type Owned;
    fn into_owned(self) -> Self::Owned;
}

impl IntoOwned for Text<'_> {
    type Owned = Text<'static>;
    fn into_owned(self) -> Text<'static> {
        Cow::Owned(Cow::into_owned(self))
    }
}

impl<T: IntoOwned> IntoOwned for Option<T> {
    type Owned = Option<T::Owned>;
    fn into_owned(self) -> Self::Owned {
        self.map(IntoOwned::into_owned)
    }
}

impl<T: IntoOwned> IntoOwned for Vec<T> {
    type Owned = Vec<T::Owned>;
    fn into_owned(self) -> Self::Owned {
        self.into_iter().map(IntoOwned::into_owned).collect()
    }
}

macro_rules! owns_itself {
    ($($name:ty),+) => { $(impl IntoOwned for $name {
        type Owned = Self;
        fn into_owned(self) -> Self { self }
    })+ };
}
owns_itself!(
    bool,
    i64,
    Time,
    Visibility,
    IssueState,
    IssueStateReason,
    PullRequestState,
    Verdict,
    MergeState,
    RunPhase,
    Conclusion,
    DiffSide,
    ResourceKind
);

/// Declares a borrowed object: every member optional in JSON, and the conversion that copies each.
macro_rules! observed {
    ($(#[$meta:meta])* $name:ident<'a> { $($(#[$field_meta:meta])* $field:ident: $type:ty,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "camelCase", default)]
        pub struct $name<'a> {
            $($(#[$field_meta])* #[serde(skip_serializing_if = "is_default")] pub $field: $type,)+
        }

        impl fmt::Debug for $name<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut shown = f.debug_struct(stringify!($name));
                $(if !is_default(&self.$field) {
                    if WRITTEN_BY_USERS.contains(&stringify!($field)) {
                        shown.field(stringify!($field), &Redacted(&self.$field));
                    } else {
                        shown.field(stringify!($field), &self.$field);
                    }
                })+
                shown.finish()
            }
        }

        impl<'a> $name<'a> {
            /// The same, holding its own text.
            pub fn into_owned(self) -> $name<'static> {
                $name { $($field: IntoOwned::into_owned(self.$field),)+ }
            }
        }

        impl<'a> IntoOwned for $name<'a> {
            type Owned = $name<'static>;
            fn into_owned(self) -> $name<'static> {
                $name::into_owned(self)
            }
        }
    };
}

/// Members that hold text as users wrote it, which may be a secret: `Debug` shows its length and digest only (S47). In JSON it stands as it is.
const WRITTEN_BY_USERS: &[&str] =
    &["title", "body", "description", "message", "milestone", "labels", "topics", "author_name", "fields"];

/// A value whose text isn't shown.
struct Redacted<'v, T>(&'v T);

impl<T: fmt::Debug> fmt::Debug for Redacted<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{:?}", self.0);
        let digest = crate::Digest::of(text.as_bytes()).to_hex();
        write!(f, "<{} bytes, sha256:{}>", text.len(), digest.get(..12).unwrap_or_default())
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

crate::closed_set! {
    /// What a canonical event is about: a kind of its interface, or one of the six that are no kinds of krate.
    ResourceKind {
        Issue = "Issue", PullRequest = "PullRequest", Review = "Review", Comment = "Comment", Pipeline = "Pipeline",
        Job = "Job", RunnerPool = "RunnerPool", Repository = "Repository", SSHKey = "SSHKey",
        RepositoryPermission = "RepositoryPermission", BranchProtection = "BranchProtection", RefPolicy = "RefPolicy",
        Ref = "Ref", Commit = "Commit", Label = "Label", Milestone = "Milestone", Account = "Account",
        Installation = "Installation",
    }
}

observed! {
    /// An account as a provider names it. The id is what counts; a login can change hands.
    AccountObserved<'a> {
        /// The provider's stable id, as text.
        #[serde(borrow)]
        id: Text<'a>,
        /// The login at the time.
        #[serde(borrow)]
        login: Option<Text<'a>>,
        /// Whether the provider marks it as a bot or an app.
        #[schemars(extend("default" = false))]
        bot: bool,
    }
}

impl AccountObserved<'_> {
    /// The principal of an account that nobody mapped: `ext:` and the id (R54).
    pub fn principal(&self) -> String {
        format!("ext:{}", self.id)
    }
}

observed! {
    /// The repository that an object stands in.
    RepositoryIdentity<'a> {
        /// The provider's stable id, as text.
        #[serde(borrow)]
        id: Text<'a>,
        /// Owner: user, organization or group path.
        #[serde(borrow)]
        owner: Text<'a>,
        /// Name within the owner.
        #[serde(borrow)]
        name: Text<'a>,
    }
}

/// Provider fields without a field of krate, each as the JSON text it came in (S6). In JSON a map from name to that text.
#[derive(Debug, Clone, Default)]
pub struct NativeFields<'a>(pub Vec<(Text<'a>, Cow<'a, RawValue>)>);

impl IntoOwned for NativeFields<'_> {
    type Owned = NativeFields<'static>;
    fn into_owned(self) -> NativeFields<'static> {
        NativeFields(
            self.0
                .into_iter()
                .map(|(name, value)| (IntoOwned::into_owned(name), Cow::Owned(Cow::into_owned(value))))
                .collect(),
        )
    }
}

impl PartialEq for NativeFields<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.0.len() == other.0.len() && self.0.iter().zip(&other.0).all(|(a, b)| a.0 == b.0 && a.1.get() == b.1.get())
    }
}

impl Serialize for NativeFields<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value.get())))
    }
}

impl<'de> Deserialize<'de> for NativeFields<'_> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let map = BTreeMap::<String, String>::deserialize(deserializer)?;
        map.into_iter()
            .map(|(name, text)| {
                let value = RawValue::from_string(text).map_err(serde::de::Error::custom)?;
                Ok((Cow::Owned(name), Cow::Owned(value)))
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl JsonSchema for NativeFields<'_> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "NativeFields".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "object", "maxProperties": 256,
            "additionalProperties": {
                "type": "string", "maxLength": 65536, "x-krate-json": true,
                "description": "The value's own JSON text (S6).",
            },
        })
    }
}

observed! {
    /// An issue.
    IssueObserved<'a> {
        /// The number that people use.
        number: Option<i64>,
        /// Page for people.
        #[serde(borrow)]
        url: Option<Text<'a>>,
        /// Address in the provider's API.
        #[serde(borrow)]
        api_url: Option<Text<'a>>,
        /// Where it stands.
        #[serde(borrow)]
        repository: Option<RepositoryIdentity<'a>>,
        /// Title.
        #[serde(borrow)]
        title: Option<Text<'a>>,
        /// Body in the provider's own format.
        #[serde(borrow)]
        body: Option<Text<'a>>,
        /// Key that krate hid in the body when it wrote the object (S34); it is no part of `body`.
        #[serde(borrow)]
        marker: Option<Text<'a>>,
        /// State.
        state: Option<IssueState>,
        /// Names of the labels.
        #[serde(borrow)]
        labels: Vec<Text<'a>>,
        /// Who is assigned.
        #[serde(borrow)]
        assignees: Vec<AccountObserved<'a>>,
        /// Title of the milestone.
        #[serde(borrow)]
        milestone: Option<Text<'a>>,
        /// Who made it.
        #[serde(borrow)]
        author: Option<AccountObserved<'a>>,
        /// Why it is in its state.
        state_reason: Option<IssueStateReason>,
        /// Type, where the provider has types.
        #[serde(borrow)]
        issue_type: Option<Text<'a>>,
        /// Whether only members may comment.
        locked: Option<bool>,
        /// Number of comments.
        comment_count: Option<i64>,
        /// Who closed it.
        #[serde(borrow)]
        closed_by: Option<AccountObserved<'a>>,
        /// When it was closed.
        closed_at: Option<Time>,
        /// When it was made.
        created_at: Option<Time>,
        /// When it last changed.
        updated_at: Option<Time>,
        /// Provider fields that krate has no field for (S6).
        #[serde(borrow)]
        fields: NativeFields<'a>,
    }
}

observed! {
    /// A pull request.
    PullRequestObserved<'a> {
        /// The number that people use.
        number: Option<i64>,
        /// Page for people.
        #[serde(borrow)]
        url: Option<Text<'a>>,
        /// Address in the provider's API.
        #[serde(borrow)]
        api_url: Option<Text<'a>>,
        /// Where it stands.
        #[serde(borrow)]
        repository: Option<RepositoryIdentity<'a>>,
        /// Title.
        #[serde(borrow)]
        title: Option<Text<'a>>,
        /// Body in the provider's own format.
        #[serde(borrow)]
        body: Option<Text<'a>>,
        /// Key that krate hid in the body when it wrote the object (S34); it is no part of `body`.
        #[serde(borrow)]
        marker: Option<Text<'a>>,
        /// State.
        state: Option<PullRequestState>,
        /// Names of the labels.
        #[serde(borrow)]
        labels: Vec<Text<'a>>,
        /// Who is assigned.
        #[serde(borrow)]
        assignees: Vec<AccountObserved<'a>>,
        /// Title of the milestone.
        #[serde(borrow)]
        milestone: Option<Text<'a>>,
        /// Who made it.
        #[serde(borrow)]
        author: Option<AccountObserved<'a>>,
        /// Whether it is a draft.
        draft: Option<bool>,
        /// Whether only members may comment.
        locked: Option<bool>,
        /// Branch that is proposed.
        #[serde(borrow)]
        head_ref: Option<Text<'a>>,
        /// Newest commit of that branch.
        #[serde(borrow)]
        head_sha: Option<Text<'a>>,
        /// Repository of that branch; absent when it is gone.
        #[serde(borrow)]
        head_repository_id: Option<Text<'a>>,
        /// Branch to merge into.
        #[serde(borrow)]
        base_ref: Option<Text<'a>>,
        /// Its commit when the provider last looked.
        #[serde(borrow)]
        base_sha: Option<Text<'a>>,
        /// Whether head and base stand in different repositories; absent where that is not known (P23).
        from_fork: Option<bool>,
        /// Whose review is asked for.
        #[serde(borrow)]
        requested_reviewers: Vec<AccountObserved<'a>>,
        /// Slugs of the teams whose review is asked for.
        #[serde(borrow)]
        requested_teams: Vec<Text<'a>>,
        /// Method of the automatic merge, where one is set.
        #[serde(borrow)]
        auto_merge_method: Option<Text<'a>>,
        /// Whether it can be merged.
        merge_state: Option<MergeState>,
        /// Commit of the merge.
        #[serde(borrow)]
        merge_commit_sha: Option<Text<'a>>,
        /// Who merged it.
        #[serde(borrow)]
        merged_by: Option<AccountObserved<'a>>,
        /// When it was merged.
        merged_at: Option<Time>,
        /// When it was closed.
        closed_at: Option<Time>,
        /// Number of changed files.
        changed_files: Option<i64>,
        /// When it was made.
        created_at: Option<Time>,
        /// When it last changed.
        updated_at: Option<Time>,
        /// Provider fields that krate has no field for (S6).
        #[serde(borrow)]
        fields: NativeFields<'a>,
    }
}

observed! {
    /// A review of a pull request.
    ReviewObserved<'a> {
        /// Page for people.
        #[serde(borrow)]
        url: Option<Text<'a>>,
        /// Address in the provider's API.
        #[serde(borrow)]
        api_url: Option<Text<'a>>,
        /// Where it stands.
        #[serde(borrow)]
        repository: Option<RepositoryIdentity<'a>>,
        /// Number of the pull request.
        pull_request_number: Option<i64>,
        /// Id of the pull request.
        #[serde(borrow)]
        pull_request_id: Option<Text<'a>>,
        /// Verdict.
        verdict: Option<Verdict>,
        /// Body.
        #[serde(borrow)]
        body: Option<Text<'a>>,
        /// Key that krate hid in the body when it wrote the object (S34); it is no part of `body`.
        #[serde(borrow)]
        marker: Option<Text<'a>>,
        /// The commit that was reviewed.
        #[serde(borrow)]
        commit_sha: Option<Text<'a>>,
        /// Who reviewed.
        #[serde(borrow)]
        author: Option<AccountObserved<'a>>,
        /// When it was submitted.
        submitted_at: Option<Time>,
        /// When it last changed.
        updated_at: Option<Time>,
        /// Provider fields that krate has no field for (S6).
        #[serde(borrow)]
        fields: NativeFields<'a>,
    }
}

observed! {
    /// A comment on an issue, a pull request or a line of one.
    CommentObserved<'a> {
        /// Page for people.
        #[serde(borrow)]
        url: Option<Text<'a>>,
        /// Address in the provider's API.
        #[serde(borrow)]
        api_url: Option<Text<'a>>,
        /// Where it stands.
        #[serde(borrow)]
        repository: Option<RepositoryIdentity<'a>>,
        /// `Issue` or `PullRequest`.
        subject_kind: Option<ResourceKind>,
        /// Number of the issue or pull request.
        subject_number: Option<i64>,
        /// Id of the issue or pull request, where the provider says it.
        #[serde(borrow)]
        subject_id: Option<Text<'a>>,
        /// Id of the review that it belongs to.
        #[serde(borrow)]
        review_id: Option<Text<'a>>,
        /// Id of the comment that it answers.
        #[serde(borrow)]
        in_reply_to: Option<Text<'a>>,
        /// Body.
        #[serde(borrow)]
        body: Option<Text<'a>>,
        /// Key that krate hid in the body when it wrote the object (S34); it is no part of `body`.
        #[serde(borrow)]
        marker: Option<Text<'a>>,
        /// Who wrote it.
        #[serde(borrow)]
        author: Option<AccountObserved<'a>>,
        /// File, for a comment on a line.
        #[serde(borrow)]
        path: Option<Text<'a>>,
        /// Side of the diff.
        side: Option<DiffSide>,
        /// Last line.
        line: Option<i64>,
        /// First line, where it spans several.
        start_line: Option<i64>,
        /// Commit that the position refers to.
        #[serde(borrow)]
        commit_sha: Option<Text<'a>>,
        /// Whether its thread is resolved.
        resolved: Option<bool>,
        /// Whether it is hidden.
        minimized: Option<bool>,
        /// When it was made.
        created_at: Option<Time>,
        /// When it last changed.
        updated_at: Option<Time>,
        /// Provider fields that krate has no field for (S6).
        #[serde(borrow)]
        fields: NativeFields<'a>,
    }
}

observed! {
    /// A CI run.
    PipelineObserved<'a> {
        /// The number that people use.
        number: Option<i64>,
        /// Page for people.
        #[serde(borrow)]
        url: Option<Text<'a>>,
        /// Address in the provider's API.
        #[serde(borrow)]
        api_url: Option<Text<'a>>,
        /// Where it stands.
        #[serde(borrow)]
        repository: Option<RepositoryIdentity<'a>>,
        /// Name for people.
        #[serde(borrow)]
        name: Option<Text<'a>>,
        /// Ref that it runs on.
        #[serde(borrow)]
        git_ref: Option<Text<'a>>,
        /// Commit that it runs on.
        #[serde(borrow)]
        sha: Option<Text<'a>>,
        /// Workflow that defines it.
        #[serde(borrow)]
        workflow: Option<Text<'a>>,
        /// What started it, in the provider's words.
        #[serde(borrow)]
        event: Option<Text<'a>>,
        /// Numbers of the pull requests it belongs to.
        pull_request_numbers: Vec<i64>,
        /// Who started it.
        #[serde(borrow)]
        trigger: Option<AccountObserved<'a>>,
        /// How far it is.
        phase: Option<RunPhase>,
        /// How it ended.
        conclusion: Option<Conclusion>,
        /// Which attempt this is, from 1.
        attempt: Option<i64>,
        /// When it started.
        started_at: Option<Time>,
        /// When it ended.
        completed_at: Option<Time>,
        /// When it was made.
        created_at: Option<Time>,
        /// When it last changed.
        updated_at: Option<Time>,
        /// Provider fields that krate has no field for (S6).
        #[serde(borrow)]
        fields: NativeFields<'a>,
    }
}

observed! {
    /// A job, check or commit status of a run.
    JobObserved<'a> {
        /// Page for people.
        #[serde(borrow)]
        url: Option<Text<'a>>,
        /// Address in the provider's API.
        #[serde(borrow)]
        api_url: Option<Text<'a>>,
        /// Where it stands.
        #[serde(borrow)]
        repository: Option<RepositoryIdentity<'a>>,
        /// Name of the job, check or status context.
        #[serde(borrow)]
        name: Option<Text<'a>>,
        /// Id of the run.
        #[serde(borrow)]
        pipeline_id: Option<Text<'a>>,
        /// Commit.
        #[serde(borrow)]
        sha: Option<Text<'a>>,
        /// Runner that took it.
        #[serde(borrow)]
        runner_name: Option<Text<'a>>,
        /// Where its log is.
        #[serde(borrow)]
        log_url: Option<Text<'a>>,
        /// Its steps.
        #[serde(borrow)]
        steps: Vec<StepObserved<'a>>,
        /// How far it is.
        phase: Option<RunPhase>,
        /// How it ended.
        conclusion: Option<Conclusion>,
        /// Which attempt this is, from 1.
        attempt: Option<i64>,
        /// When it started.
        started_at: Option<Time>,
        /// When it ended.
        completed_at: Option<Time>,
        /// When it last changed.
        updated_at: Option<Time>,
        /// Provider fields that krate has no field for (S6).
        #[serde(borrow)]
        fields: NativeFields<'a>,
    }
}

observed! {
    /// One step of a job.
    StepObserved<'a> {
        /// Name.
        #[serde(borrow)]
        name: Option<Text<'a>>,
        /// How far it is.
        phase: Option<RunPhase>,
        /// How it ended.
        conclusion: Option<Conclusion>,
        /// When it started.
        started_at: Option<Time>,
        /// When it ended.
        completed_at: Option<Time>,
    }
}

observed! {
    /// A repository.
    RepositoryObserved<'a> {
        /// Owner.
        #[serde(borrow)]
        owner: Option<Text<'a>>,
        /// Name.
        #[serde(borrow)]
        name: Option<Text<'a>>,
        /// Owner before a transfer.
        #[serde(borrow)]
        former_owner: Option<Text<'a>>,
        /// Name before a rename.
        #[serde(borrow)]
        former_name: Option<Text<'a>>,
        /// Page for people.
        #[serde(borrow)]
        url: Option<Text<'a>>,
        /// Address in the provider's API.
        #[serde(borrow)]
        api_url: Option<Text<'a>>,
        /// Who may see it.
        visibility: Option<Visibility>,
        /// Default branch.
        #[serde(borrow)]
        default_branch: Option<Text<'a>>,
        /// Description.
        #[serde(borrow)]
        description: Option<Text<'a>>,
        /// Topics.
        #[serde(borrow)]
        topics: Vec<Text<'a>>,
        /// Whether it is read-only.
        archived: Option<bool>,
        /// HTTPS address for Git.
        #[serde(borrow)]
        clone_https: Option<Text<'a>>,
        /// SSH address for Git.
        #[serde(borrow)]
        clone_ssh: Option<Text<'a>>,
        /// Size.
        size_bytes: Option<i64>,
        /// Whether it is a fork.
        fork: Option<bool>,
        /// When it was made.
        created_at: Option<Time>,
        /// When it last changed.
        updated_at: Option<Time>,
        /// Provider fields that krate has no field for (S6).
        #[serde(borrow)]
        fields: NativeFields<'a>,
    }
}

observed! {
    /// A branch or tag that was made, moved or removed.
    RefObserved<'a> {
        /// Where it stands.
        #[serde(borrow)]
        repository: Option<RepositoryIdentity<'a>>,
        /// Full ref, such as `refs/heads/main`.
        #[serde(borrow)]
        name: Option<Text<'a>>,
        /// Commit before; absent for a new ref.
        #[serde(borrow)]
        before: Option<Text<'a>>,
        /// Commit after; absent for a removed ref.
        #[serde(borrow)]
        after: Option<Text<'a>>,
        /// Whether history was rewritten.
        forced: Option<bool>,
    }
}

observed! {
    /// A commit that a push brought.
    CommitObserved<'a> {
        /// Where it stands.
        #[serde(borrow)]
        repository: Option<RepositoryIdentity<'a>>,
        /// Commit.
        #[serde(borrow)]
        sha: Option<Text<'a>>,
        /// Message.
        #[serde(borrow)]
        message: Option<Text<'a>>,
        /// Name of the author.
        #[serde(borrow)]
        author_name: Option<Text<'a>>,
        /// Login of the author, where the provider knows one.
        #[serde(borrow)]
        author_login: Option<Text<'a>>,
        /// When it was committed.
        committed_at: Option<Time>,
        /// Page for people.
        #[serde(borrow)]
        url: Option<Text<'a>>,
        /// Paths that were added.
        #[serde(borrow)]
        added: Vec<Text<'a>>,
        /// Paths that changed.
        #[serde(borrow)]
        modified: Vec<Text<'a>>,
        /// Paths that went.
        #[serde(borrow)]
        removed: Vec<Text<'a>>,
    }
}

observed! {
    /// A label of a repository.
    LabelObserved<'a> {
        /// Where it stands.
        #[serde(borrow)]
        repository: Option<RepositoryIdentity<'a>>,
        /// Name.
        #[serde(borrow)]
        name: Option<Text<'a>>,
        /// Name before a rename.
        #[serde(borrow)]
        former_name: Option<Text<'a>>,
        /// Colour.
        #[serde(borrow)]
        color: Option<Text<'a>>,
        /// Description.
        #[serde(borrow)]
        description: Option<Text<'a>>,
    }
}

observed! {
    /// A milestone of a repository.
    MilestoneObserved<'a> {
        /// Where it stands.
        #[serde(borrow)]
        repository: Option<RepositoryIdentity<'a>>,
        /// The number that people use.
        number: Option<i64>,
        /// Title.
        #[serde(borrow)]
        title: Option<Text<'a>>,
        /// Description.
        #[serde(borrow)]
        description: Option<Text<'a>>,
        /// State.
        state: Option<IssueState>,
        /// When it is due.
        due_on: Option<Time>,
        /// When it was made.
        created_at: Option<Time>,
        /// When it last changed.
        updated_at: Option<Time>,
    }
}

observed! {
    /// An installation of krate's app, and what it may reach.
    InstallationObserved<'a> {
        /// Where it is installed.
        #[serde(borrow)]
        account: Option<AccountObserved<'a>>,
        /// Whether it is suspended.
        suspended: Option<bool>,
        /// Repositories that came within reach.
        #[serde(borrow)]
        repositories_added: Vec<RepositoryIdentity<'a>>,
        /// Repositories that went out of reach.
        #[serde(borrow)]
        repositories_removed: Vec<RepositoryIdentity<'a>>,
        /// Permissions, each as `name:level`.
        #[serde(borrow)]
        permissions: Vec<Text<'a>>,
        /// When it was made.
        created_at: Option<Time>,
        /// When it last changed.
        updated_at: Option<Time>,
    }
}

/// The typed object of an event: one member, named after the resource kind (R53).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
#[allow(clippy::large_enum_variant)] // Events are handled one by one and never stored in long lists.
pub enum Normalized<'a> {
    /// An Issue.
    #[serde(borrow)]
    Issue(IssueObserved<'a>),
    /// A PullRequest.
    #[serde(borrow)]
    PullRequest(PullRequestObserved<'a>),
    /// A Review.
    #[serde(borrow)]
    Review(ReviewObserved<'a>),
    /// A Comment.
    #[serde(borrow)]
    Comment(CommentObserved<'a>),
    /// A Pipeline.
    #[serde(borrow)]
    Pipeline(PipelineObserved<'a>),
    /// A Job.
    #[serde(borrow)]
    Job(JobObserved<'a>),
    /// A Repository.
    #[serde(borrow)]
    Repository(RepositoryObserved<'a>),
    /// A Ref.
    #[serde(borrow)]
    Ref(RefObserved<'a>),
    /// A Commit.
    #[serde(borrow)]
    Commit(CommitObserved<'a>),
    /// A Label.
    #[serde(borrow)]
    Label(LabelObserved<'a>),
    /// A Milestone.
    #[serde(borrow)]
    Milestone(MilestoneObserved<'a>),
    /// An Account.
    #[serde(borrow)]
    Account(AccountObserved<'a>),
    /// An Installation.
    #[serde(borrow)]
    Installation(InstallationObserved<'a>),
}

impl Normalized<'_> {
    /// The resource kind that the member is named after.
    pub fn resource_kind(&self) -> ResourceKind {
        match self {
            Self::Issue(_) => ResourceKind::Issue,
            Self::PullRequest(_) => ResourceKind::PullRequest,
            Self::Review(_) => ResourceKind::Review,
            Self::Comment(_) => ResourceKind::Comment,
            Self::Pipeline(_) => ResourceKind::Pipeline,
            Self::Job(_) => ResourceKind::Job,
            Self::Repository(_) => ResourceKind::Repository,
            Self::Ref(_) => ResourceKind::Ref,
            Self::Commit(_) => ResourceKind::Commit,
            Self::Label(_) => ResourceKind::Label,
            Self::Milestone(_) => ResourceKind::Milestone,
            Self::Account(_) => ResourceKind::Account,
            Self::Installation(_) => ResourceKind::Installation,
        }
    }

    /// The same, holding its own text.
    pub fn into_owned(self) -> Normalized<'static> {
        match self {
            Self::Issue(object) => Normalized::Issue(object.into_owned()),
            Self::PullRequest(object) => Normalized::PullRequest(object.into_owned()),
            Self::Review(object) => Normalized::Review(object.into_owned()),
            Self::Comment(object) => Normalized::Comment(object.into_owned()),
            Self::Pipeline(object) => Normalized::Pipeline(object.into_owned()),
            Self::Job(object) => Normalized::Job(object.into_owned()),
            Self::Repository(object) => Normalized::Repository(object.into_owned()),
            Self::Ref(object) => Normalized::Ref(object.into_owned()),
            Self::Commit(object) => Normalized::Commit(object.into_owned()),
            Self::Label(object) => Normalized::Label(object.into_owned()),
            Self::Milestone(object) => Normalized::Milestone(object.into_owned()),
            Self::Account(object) => Normalized::Account(object.into_owned()),
            Self::Installation(object) => Normalized::Installation(object.into_owned()),
        }
    }
}

/// Reads an object that borrows nothing, for records.
pub(crate) fn deserialize_owned<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Normalized<'static>, D::Error> {
    Normalized::deserialize(deserializer).map(Normalized::into_owned)
}

/// One thing that a provider said, in krate's words. Its JSON members are those of `ExternalSyncEvent.spec`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CanonicalEvent<'a> {
    /// Place among the events of one delivery, from 0 (S11).
    pub ordinal: u32,
    /// The interface that the kind belongs to.
    pub interface: Interface,
    /// What it is about.
    pub resource_kind: ResourceKind,
    /// The provider's own kind, such as `issue_comment`.
    #[serde(borrow)]
    pub native_kind: Text<'a>,
    /// The provider's id, as text. Empty where the provider named only the number and the repository, as GitHub does in an
    /// issue payload that is about a pull request (S8): the object is then found by those, or read.
    #[serde(borrow)]
    pub native_id: Text<'a>,
    /// The provider's global id.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub node_id: Option<Text<'a>>,
    /// What happened.
    pub action: EventAction,
    /// The provider's own word for what happened.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub native_action: Option<Text<'a>>,
    /// When it happened, by the provider's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_time: Option<Time>,
    /// Version of the object as it is described here (S15).
    pub observed_version: Version,
    /// Whether every field that krate can write is described (see the module).
    #[serde(default)]
    pub complete: bool,
    /// Who did it, by the provider's account.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<AccountObserved<'a>>,
    /// The object.
    #[serde(borrow)]
    pub normalized: Normalized<'a>,
}

impl CanonicalEvent<'_> {
    /// The same, holding its own text.
    pub fn into_owned(self) -> CanonicalEvent<'static> {
        CanonicalEvent {
            ordinal: self.ordinal,
            interface: self.interface,
            resource_kind: self.resource_kind,
            native_kind: IntoOwned::into_owned(self.native_kind),
            native_id: IntoOwned::into_owned(self.native_id),
            node_id: IntoOwned::into_owned(self.node_id),
            action: self.action,
            native_action: IntoOwned::into_owned(self.native_action),
            event_time: self.event_time,
            observed_version: self.observed_version,
            complete: self.complete,
            actor: IntoOwned::into_owned(self.actor),
            normalized: self.normalized.into_owned(),
        }
    }
}
