//! What the forge holds: plain records, public to read so that a test can compare them with what it synced.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, SubsecRound, Utc};

/// Cuts `now` to whole seconds: GitHub's clock is no finer (S16).
pub(super) fn whole_second(now: DateTime<Utc>) -> DateTime<Utc> {
    now.trunc_subsecs(0)
}

/// What kind of account a login is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserKind {
    /// A person.
    User,
    /// An organization; owns repositories, does not act.
    Organization,
    /// An App's account; its login ends in `[bot]`.
    Bot,
}

impl UserKind {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::User => "User",
            Self::Organization => "Organization",
            Self::Bot => "Bot",
        }
    }
}

/// An account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// As the account spells it; compared without regard to case.
    pub login: String,
    /// Native id.
    pub id: u64,
    /// Person, organization or App.
    pub kind: UserKind,
}

/// How an author relates to a repository (`author_association`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Association {
    /// Owns the repository.
    Owner,
    /// Belongs to the organization that owns it.
    Member,
    /// Was invited to it.
    Collaborator,
    /// Has a merged commit in it.
    Contributor,
    /// A stranger.
    None,
}

impl Association {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "OWNER",
            Self::Member => "MEMBER",
            Self::Collaborator => "COLLABORATOR",
            Self::Contributor => "CONTRIBUTOR",
            Self::None => "NONE",
        }
    }
}

/// A label of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// Native id.
    pub id: u64,
    /// Unique in the repository without regard to case.
    pub name: String,
    /// Six hex digits.
    pub color: String,
    /// Free text.
    pub description: Option<String>,
    /// Whether the forge itself made it with the repository.
    pub default: bool,
}

/// A milestone of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Milestone {
    /// Native id.
    pub id: u64,
    /// Its number in the repository; not shared with issues.
    pub number: u64,
    /// Title.
    pub title: String,
    /// Login of who made it.
    pub creator: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// Open or closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Open.
    Open,
    /// Closed; a merged pull request is closed too.
    Closed,
}

impl State {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
        }
    }
}

/// Why an issue is in its state (`state_reason`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateReason {
    /// Closed as done.
    Completed,
    /// Closed as not planned.
    NotPlanned,
    /// Closed as a duplicate.
    Duplicate,
    /// Opened again.
    Reopened,
}

impl StateReason {
    pub(super) const ALL: [Self; 4] = [Self::Completed, Self::NotPlanned, Self::Duplicate, Self::Reopened];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::NotPlanned => "not_planned",
            Self::Duplicate => "duplicate",
            Self::Reopened => "reopened",
        }
    }
}

/// An issue, or the issue side of a pull request: they share numbers, comments, labels and most fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    /// Native id of the issue. A pull request's own id is another one ([`PullRequest::id`]).
    pub id: u64,
    /// Its number in the repository.
    pub number: u64,
    /// Title.
    pub title: String,
    /// Body; `None` where it was never given, as GitHub's `null`.
    pub body: Option<String>,
    /// Login of the author.
    pub author: String,
    /// Open or closed.
    pub state: State,
    /// Why it is in that state.
    pub state_reason: Option<StateReason>,
    /// Ids of its labels.
    pub labels: BTreeSet<u64>,
    /// Logins of its assignees, in the order in which they were assigned.
    pub assignees: Vec<String>,
    /// Number of its milestone.
    pub milestone: Option<u64>,
    /// Ids of its comments.
    pub comments: BTreeSet<u64>,
    /// When it was opened.
    pub created_at: DateTime<Utc>,
    /// When it last changed, in whole seconds.
    pub updated_at: DateTime<Utc>,
    /// When it was closed, while it is.
    pub closed_at: Option<DateTime<Utc>>,
    /// Who closed it, while it is.
    pub closed_by: Option<String>,
    /// The pull request's own part; `None` for a plain issue.
    pub pull: Option<PullRequest>,
}

/// What a pull request has beyond an issue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullRequest {
    /// Native id of the pull request.
    pub id: u64,
    /// Repository of the head branch; another one than the base's for a pull request from a fork.
    pub head_repository: u64,
    /// Head branch.
    pub head: String,
    /// Newest commit of the head branch.
    pub head_sha: String,
    /// Base branch.
    pub base: String,
    /// Commit of the base branch that it was opened against.
    pub base_sha: String,
    /// Whether it is a draft.
    pub draft: bool,
    /// How many heads were pushed to it, the first included.
    pub commits: u64,
    /// The merge, once it happened.
    pub merge: Option<Merge>,
}

/// A merge that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merge {
    /// When.
    pub at: DateTime<Utc>,
    /// Who.
    pub by: String,
    /// The commit that it made.
    pub sha: String,
}

/// A comment on an issue or a pull request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comment {
    /// Native id.
    pub id: u64,
    /// Number of the issue or pull request.
    pub number: u64,
    /// Login of the author.
    pub author: String,
    /// Body.
    pub body: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it last changed, in whole seconds.
    pub updated_at: DateTime<Utc>,
}

/// What stands under a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Slot {
    Here(Box<Issue>),
    /// Deleted: reads answer 410.
    Gone,
    /// Transferred: reads answer 301.
    Moved {
        repository: u64,
        number: u64,
    },
}

/// A repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// Native id: stays the same over renames and transfers.
    pub id: u64,
    /// Login of the owner.
    pub owner: String,
    /// Name without the owner.
    pub name: String,
    /// Whether only some tokens see it.
    pub private: bool,
    /// The repository that it was forked from.
    pub fork_of: Option<u64>,
    /// Default branch.
    pub default_branch: String,
    /// Branches and their newest commits.
    pub branches: BTreeMap<String, String>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When its own fields last changed.
    pub updated_at: DateTime<Utc>,
    /// When something was last pushed.
    pub pushed_at: DateTime<Utc>,
    /// Labels by id.
    pub labels: BTreeMap<u64, Label>,
    /// Milestones by number.
    pub milestones: BTreeMap<u64, Milestone>,
    /// Comments by id.
    pub comments: BTreeMap<u64, Comment>,
    pub(super) slots: BTreeMap<u64, Slot>,
    pub(super) open_issues: u64,
    pub(super) associations: BTreeMap<String, Association>,
}

impl Repository {
    /// `owner/name`.
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.owner, self.name)
    }

    /// Every issue and pull request that is there, by number.
    pub fn issues(&self) -> impl DoubleEndedIterator<Item = &Issue> {
        self.slots.values().filter_map(|slot| match slot {
            Slot::Here(issue) => Some(&**issue),
            Slot::Gone | Slot::Moved { .. } => None,
        })
    }

    /// The issue or pull request with `number`, where it is there.
    pub fn issue(&self, number: u64) -> Option<&Issue> {
        match self.slots.get(&number)? {
            Slot::Here(issue) => Some(issue),
            Slot::Gone | Slot::Moved { .. } => None,
        }
    }

    pub(super) fn issue_mut(&mut self, number: u64) -> Option<&mut Issue> {
        match self.slots.get_mut(&number)? {
            Slot::Here(issue) => Some(issue),
            Slot::Gone | Slot::Moved { .. } => None,
        }
    }

    /// The label of that name, without regard to case.
    pub fn label(&self, name: &str) -> Option<&Label> {
        self.labels.values().find(|label| same_name(&label.name, name))
    }

    /// Names of the labels of an issue, sorted.
    pub fn label_names(&self, issue: &Issue) -> Vec<&str> {
        let mut names: Vec<&str> =
            issue.labels.iter().filter_map(|id| self.labels.get(id)).map(|label| label.name.as_str()).collect();
        names.sort_unstable();
        names
    }

    /// How `login` relates to this repository.
    pub fn association(&self, login: &str) -> Association {
        if same_name(&self.owner, login) {
            return Association::Owner;
        }
        self.associations.get(&fold(login)).copied().unwrap_or(Association::None)
    }

    pub(super) fn touch(&mut self, number: u64, now: DateTime<Utc>) {
        if let Some(issue) = self.issue_mut(number) {
            // A clock that steps back never makes a change look older than the one before it.
            issue.updated_at = issue.updated_at.max(whole_second(now));
        }
    }
}

/// Logins, repository names and label names are unique without regard to case.
pub(super) fn fold(name: &str) -> String {
    name.to_lowercase()
}

pub(super) fn same_name(left: &str, right: &str) -> bool {
    left == right || fold(left) == fold(right)
}

/// An issue to open.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewIssue {
    /// Title; must not be blank.
    pub title: String,
    /// Body.
    pub body: Option<String>,
    /// Names of labels; those that the repository has not yet are made.
    pub labels: Vec<String>,
    /// Logins.
    pub assignees: Vec<String>,
    /// Number of a milestone.
    pub milestone: Option<u64>,
}

impl NewIssue {
    /// With this title and nothing else.
    pub fn titled(title: impl Into<String>) -> Self {
        Self { title: title.into(), ..Self::default() }
    }

    /// With this body.
    #[must_use]
    pub fn body(mut self, body: impl Into<String>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// With one more label.
    #[must_use]
    pub fn label(mut self, name: impl Into<String>) -> Self {
        self.labels.push(name.into());
        self
    }

    /// With one more assignee.
    #[must_use]
    pub fn assignee(mut self, login: impl Into<String>) -> Self {
        self.assignees.push(login.into());
        self
    }

    /// In this milestone.
    #[must_use]
    pub fn milestone(mut self, number: u64) -> Self {
        self.milestone = Some(number);
        self
    }
}

/// A pull request to open.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewPullRequest {
    /// Title; must not be blank.
    pub title: String,
    /// Body.
    pub body: Option<String>,
    /// Head branch: `branch`, or `owner:branch` for a fork's.
    pub head: String,
    /// Base branch.
    pub base: String,
    /// Whether it starts as a draft.
    pub draft: bool,
}

impl NewPullRequest {
    /// From branch `head` (`owner:branch` for a fork's) into branch `base`.
    pub fn new(title: impl Into<String>, head: impl Into<String>, base: impl Into<String>) -> Self {
        Self { title: title.into(), body: None, head: head.into(), base: base.into(), draft: false }
    }

    /// With this body.
    #[must_use]
    pub fn body(mut self, body: impl Into<String>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// As a draft.
    #[must_use]
    pub fn draft(mut self) -> Self {
        self.draft = true;
        self
    }
}

/// What to change on an issue or a pull request; what is `None` stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IssueEdit {
    /// New title.
    pub title: Option<String>,
    /// New body; `Some(None)` clears it.
    pub body: Option<Option<String>>,
    /// New state.
    pub state: Option<State>,
    /// Why; only together with a change of state.
    pub state_reason: Option<StateReason>,
    /// All labels from now on, by name.
    pub labels: Option<Vec<String>>,
    /// All assignees from now on.
    pub assignees: Option<Vec<String>>,
    /// New milestone; `Some(None)` clears it.
    pub milestone: Option<Option<u64>>,
    /// New base branch; pull requests only.
    pub base: Option<String>,
}

impl IssueEdit {
    /// Changes nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the title.
    #[must_use]
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = Some(title.into());
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<String>) -> Self {
        self.body = Some(Some(body.into()));
        self
    }

    /// Sets the state.
    #[must_use]
    pub fn state(mut self, state: State) -> Self {
        self.state = Some(state);
        self
    }

    /// Closes it for this reason.
    #[must_use]
    pub fn closed_as(mut self, reason: StateReason) -> Self {
        self.state = Some(State::Closed);
        self.state_reason = Some(reason);
        self
    }

    /// Sets all labels.
    #[must_use]
    pub fn labels<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.labels = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// Sets all assignees.
    #[must_use]
    pub fn assignees<S: Into<String>>(mut self, logins: impl IntoIterator<Item = S>) -> Self {
        self.assignees = Some(logins.into_iter().map(Into::into).collect());
        self
    }

    /// Sets or clears the milestone.
    #[must_use]
    pub fn milestone(mut self, number: Option<u64>) -> Self {
        self.milestone = Some(number);
        self
    }

    /// Sets the base branch of a pull request.
    #[must_use]
    pub fn base(mut self, branch: impl Into<String>) -> Self {
        self.base = Some(branch.into());
        self
    }
}
