//! From what a provider said to a local object: the mergeable fields of an observation, a new object, and the status that is the
//! provider's alone. Spec: external-sync.md sections 3, 5 and 7.

use std::borrow::Cow;

use krate_model::kinds::ci::{Job, JobLog, JobSpec, JobStep, Pipeline, PipelineSpec, RunPhase};
use krate_model::kinds::forge::{CloneUrls, Repository, RepositoryPhase, RepositorySpec};
use krate_model::kinds::sets::{ActorKind, SourceFormat, Visibility};
use krate_model::kinds::shared::{Account, Actor, Body, ObjectRef};
use krate_model::kinds::work::{
    Comment, CommentPhase, CommentSpec, Issue, IssuePhase, IssueSpec, IssueState, Position, PullRequest,
    PullRequestHead, PullRequestPhase, PullRequestSpec, PullRequestState, Review, ReviewPhase, ReviewSpec, Verdict,
};
use krate_model::observation::{AccountObserved, Normalized, Text};
use krate_model::{Kind, Resource};

use crate::local::{Local, spec_fields, state_value};
use crate::merge::FieldValue;

fn optional<'a>(text: Option<&'a Text<'_>>) -> FieldValue<'a> {
    FieldValue::optional(text.map(AsRef::as_ref).filter(|text: &&str| !text.is_empty()))
}

fn principals(accounts: &[AccountObserved<'_>], teams: &[Text<'_>]) -> FieldValue<'static> {
    let mut names: Vec<Cow<'static, str>> = accounts.iter().map(|account| Cow::Owned(account.principal())).collect();
    names.extend(teams.iter().map(|team| Cow::Owned(format!("team/{team}"))));
    names.sort();
    FieldValue::List(names)
}

/// The mergeable fields that an observation describes, in the order of [`spec_fields`].
///
/// In a `complete` observation a value that wasn't said is absent; in another one it is left out, and the field stays as it is.
pub fn observed<'a>(normalized: &'a Normalized<'_>, complete: bool) -> Vec<(&'static str, FieldValue<'a>)> {
    let Some(kind) = crate::local::local_kind(&normalized.resource_kind()) else { return Vec::new() };
    spec_fields(kind)
        .filter_map(|field| match value(normalized, field.path) {
            Said::Value(value) => Some((field.path, value)),
            Said::Nothing if complete => Some((field.path, FieldValue::Absent)),
            Said::Nothing | Said::Unknowable => None,
        })
        .collect()
}

/// What an observation says about one field.
enum Said<'a> {
    Value(FieldValue<'a>),
    /// It could have said it, and didn't.
    Nothing,
    /// This provider's payloads don't have the field, or not always: its absence means nothing.
    Unknowable,
}

impl<'a> Said<'a> {
    fn some(value: FieldValue<'a>) -> Self {
        match value {
            FieldValue::Absent => Self::Nothing,
            value => Self::Value(value),
        }
    }

    fn known(value: Option<FieldValue<'a>>) -> Self {
        value.map_or(Self::Unknowable, Self::Value)
    }
}

fn value<'a>(normalized: &'a Normalized<'_>, path: &str) -> Said<'a> {
    match normalized {
        Normalized::Issue(issue) => match path {
            "spec.title" => Said::known(issue.title.as_deref().map(FieldValue::text)),
            "spec.body.markdown" => Said::some(optional(issue.body.as_ref())),
            "spec.state" => {
                Said::known(issue.state.as_ref().map(|state| state_value(state.as_str(), issue.state_reason.as_ref())))
            }
            "spec.labels" => Said::Value(FieldValue::list(&issue.labels)),
            "spec.assignees" => Said::Value(principals(&issue.assignees, &[])),
            "spec.milestone" => Said::some(optional(issue.milestone.as_ref())),
            "spec.issueType" => Said::some(optional(issue.issue_type.as_ref())),
            "spec.locked" => Said::known(issue.locked.map(FieldValue::Bool)),
            _ => Said::Unknowable,
        },
        Normalized::PullRequest(pull) => match path {
            "spec.title" => Said::known(pull.title.as_deref().map(FieldValue::text)),
            "spec.body.markdown" => Said::some(optional(pull.body.as_ref())),
            "spec.state" => Said::known(pull.state.as_ref().map(|state| state_value(state.as_str(), None))),
            "spec.draft" => Said::known(pull.draft.map(FieldValue::Bool)),
            "spec.base" => Said::known(pull.base_ref.as_deref().map(FieldValue::text)),
            "spec.labels" => Said::Value(FieldValue::list(&pull.labels)),
            "spec.assignees" => Said::Value(principals(&pull.assignees, &[])),
            "spec.requestedReviewers" => Said::Value(principals(&pull.requested_reviewers, &pull.requested_teams)),
            "spec.milestone" => Said::some(optional(pull.milestone.as_ref())),
            _ => Said::Unknowable,
        },
        Normalized::Review(review) => match path {
            "spec.verdict" => {
                Said::known(review.verdict.as_ref().map(|verdict| FieldValue::Text(verdict.as_str().into())))
            }
            "spec.body.markdown" => Said::some(optional(review.body.as_ref())),
            _ => Said::Unknowable,
        },
        Normalized::Comment(comment) => match path {
            "spec.body.markdown" => Said::some(optional(comment.body.as_ref())),
            "spec.minimized" => Said::known(comment.minimized.map(FieldValue::Bool)),
            "spec.resolved" => Said::known(comment.resolved.map(FieldValue::Bool)),
            _ => Said::Unknowable,
        },
        Normalized::Repository(repository) => match path {
            "spec.visibility" => Said::known(
                repository.visibility.as_ref().map(|visibility| FieldValue::Text(visibility.as_str().into())),
            ),
            "spec.defaultBranch" => Said::known(repository.default_branch.as_deref().map(FieldValue::text)),
            "spec.description" => Said::some(optional(repository.description.as_ref())),
            "spec.archived" => Said::known(repository.archived.map(FieldValue::Bool)),
            "spec.topics" => Said::Value(FieldValue::list(&repository.topics)),
            _ => Said::Unknowable,
        },
        _ => Said::Unknowable,
    }
}

/// What a new local object belongs to.
#[derive(Debug, Clone, Copy)]
pub struct Home<'h> {
    /// Namespace.
    pub namespace: &'h str,
    /// Name of the object.
    pub name: &'h str,
    /// Organization.
    pub organization: &'h str,
    /// The repository that the binding binds, where it binds one.
    pub repository: Option<&'h str>,
    /// The object that it is about: an issue or pull request of a comment, a pull request of a review, a run of a job. With its uid it owns the new one (R56).
    pub parent: Option<&'h ObjectRef>,
    /// The dialect of the provider's bodies.
    pub body_format: &'h SourceFormat,
}

/// A local object for an observation that is the first of its native object; `None` when it needs a parent or repository that isn't there.
pub fn new_local(normalized: &Normalized<'_>, home: Home<'_>) -> Option<Local> {
    let organization = home.organization;
    let mut local = match normalized {
        Normalized::Issue(_) => {
            let mut spec = IssueSpec::new(organization, "");
            spec.repository = home.repository.map(str::to_owned);
            Local::Issue(Issue::at(home.namespace, home.name, spec))
        }
        Normalized::PullRequest(pull) => {
            let head = PullRequestHead {
                r#ref: pull.head_ref.as_deref().unwrap_or_default().to_owned(),
                native_repository_id: pull.head_repository_id.as_deref().map(str::to_owned),
            };
            let base = pull.base_ref.as_deref().unwrap_or_default();
            let spec = PullRequestSpec::new(organization, home.repository?, "", head, base);
            Local::PullRequest(PullRequest::at(home.namespace, home.name, spec))
        }
        Normalized::Review(review) => {
            let parent = home.parent.filter(|parent| parent.kind == Kind::PullRequest.as_str())?;
            let verdict = review.verdict.clone().unwrap_or(Verdict::Commented);
            let mut spec = ReviewSpec::new(organization, parent.name.as_str(), verdict);
            spec.commit_sha = review.commit_sha.as_deref().map(str::to_owned);
            Local::Review(Review::at(home.namespace, home.name, spec))
        }
        Normalized::Comment(comment) => {
            let subject = ObjectRef { uid: None, ..home.parent?.clone() };
            let mut spec = CommentSpec::new(organization, subject, Body::markdown(""));
            if let (Some(path), Some(side), Some(line), Some(sha)) =
                (&comment.path, &comment.side, comment.line, &comment.commit_sha)
            {
                spec.position = Some(Position {
                    path: path.to_string(),
                    side: side.clone(),
                    line,
                    start_line: comment.start_line,
                    commit_sha: sha.to_string(),
                });
            }
            Local::Comment(Comment::at(home.namespace, home.name, spec))
        }
        Normalized::Repository(_) => Local::Repository(Repository::at(
            home.namespace,
            home.name,
            RepositorySpec::new(organization, Visibility::Private),
        )),
        Normalized::Pipeline(run) => {
            let mut spec =
                PipelineSpec::new(organization, home.repository?, run.git_ref.as_deref().unwrap_or_default());
            spec.sha = run.sha.as_deref().map(str::to_owned);
            spec.workflow = run.workflow.as_deref().map(str::to_owned);
            spec.event = run.event.as_deref().map(str::to_owned);
            Local::Pipeline(Pipeline::at(home.namespace, home.name, spec))
        }
        Normalized::Job(job) => {
            let parent = home.parent.filter(|parent| parent.kind == Kind::Pipeline.as_str())?;
            let spec = JobSpec::new(organization, parent.name.as_str(), job.name.as_deref().unwrap_or_default());
            Local::Job(Job::at(home.namespace, home.name, spec))
        }
        _ => return None,
    };
    for (path, value) in observed(normalized, true) {
        local.set(path, &value, home.body_format);
    }
    if let Some(parent) = home.parent {
        local.set_owner(parent);
    }
    Some(local)
}

fn actor(account: &AccountObserved<'_>, provider: &str) -> Actor {
    Actor {
        account: Some(Account {
            provider: provider.to_owned(),
            id: account.id.to_string(),
            login: account.login.as_deref().map(str::to_owned),
        }),
        ..Actor::new(ActorKind::Provider, account.login.as_deref().unwrap_or(&account.id))
    }
}

/// The provider's account as an actor.
pub fn actor_of(account: Option<&AccountObserved<'_>>, provider: &str) -> Option<Actor> {
    account.map(|account| actor(account, provider))
}

/// Sets `$to` to what was said, and leaves it where nothing was.
macro_rules! said {
    ($($to:expr => $said:expr;)+) => { $(if let Some(said) = $said { $to = Some(said); })+ };
}

/// Takes over what is the provider's alone: times, people, commits, progress. Then the phase that follows from it.
pub fn take_status(local: &mut Local, normalized: &Normalized<'_>, provider: &str) {
    let text = |text: &Option<Text<'_>>| text.as_deref().map(str::to_owned);
    match (local, normalized) {
        (Local::Issue(issue), Normalized::Issue(seen)) => {
            let status = issue.status_mut();
            said! {
                status.created_at => seen.created_at;
                status.updated_at => seen.updated_at;
                status.author => actor_of(seen.author.as_ref(), provider);
                status.comment_count => seen.comment_count;
            }
            if let Some(state) = &seen.state {
                let closed = *state == IssueState::Closed;
                status.phase = if closed { IssuePhase::Closed } else { IssuePhase::Open };
                status.closed_at = seen.closed_at.filter(|_| closed).or(status.closed_at.filter(|_| closed));
                status.closed_by =
                    if closed { actor_of(seen.closed_by.as_ref(), provider).or(status.closed_by.take()) } else { None };
            }
        }
        (Local::PullRequest(pull), Normalized::PullRequest(seen)) => {
            let status = pull.status_mut();
            said! {
                status.created_at => seen.created_at;
                status.updated_at => seen.updated_at;
                status.closed_at => seen.closed_at;
                status.merged_at => seen.merged_at;
                status.author => actor_of(seen.author.as_ref(), provider);
                status.merged_by => actor_of(seen.merged_by.as_ref(), provider);
                status.head_sha => text(&seen.head_sha);
                status.base_sha => text(&seen.base_sha);
                status.merge_state => seen.merge_state.clone();
                status.from_fork => seen.from_fork;
                status.changed_files => seen.changed_files;
            }
            if let Some(state) = &seen.state {
                // Every form of a pull request tells it, and null is that there is none: what an older one told isn't kept beside a newer one,
                // or the order of arrival would stay visible.
                status.merge_commit_sha = text(&seen.merge_commit_sha);
                status.phase = match state {
                    PullRequestState::Merged => PullRequestPhase::Merged,
                    PullRequestState::Closed => PullRequestPhase::Closed,
                    _ if seen.draft == Some(true) => PullRequestPhase::Draft,
                    _ => PullRequestPhase::Open,
                };
                // Of a pull request that is open again nobody says that it was closed.
                if !matches!(status.phase, PullRequestPhase::Merged | PullRequestPhase::Closed) {
                    status.closed_at = None;
                }
            }
        }
        (Local::Review(review), Normalized::Review(seen)) => {
            let status = review.status_mut();
            said! {
                status.author => actor_of(seen.author.as_ref(), provider);
                status.submitted_at => seen.submitted_at;
            }
            status.phase = match (&seen.verdict, seen.submitted_at) {
                (Some(Verdict::Dismissed), _) => ReviewPhase::Dismissed,
                (None, None) => ReviewPhase::Pending,
                _ => ReviewPhase::Submitted,
            };
        }
        (Local::Comment(comment), Normalized::Comment(seen)) => {
            let status = comment.status_mut();
            said! {
                status.author => actor_of(seen.author.as_ref(), provider);
                status.created_at => seen.created_at;
                status.updated_at => seen.updated_at;
            }
            let minimized = seen.minimized == Some(true);
            status.phase = if minimized { CommentPhase::Minimized } else { CommentPhase::Visible };
        }
        (Local::Repository(repository), Normalized::Repository(seen)) => {
            let status = repository.status_mut();
            said! { status.size_bytes => seen.size_bytes; }
            let clone = CloneUrls { https: text(&seen.clone_https), ssh: text(&seen.clone_ssh) };
            if clone.https.is_some() || clone.ssh.is_some() {
                status.clone_urls = Some(clone);
            }
            if let Some(name) = text(&seen.former_name).filter(|name| !status.former_names.contains(name)) {
                status.former_names.push(name);
            }
            status.phase = if seen.archived == Some(true) { RepositoryPhase::Archived } else { RepositoryPhase::Ready };
        }
        (Local::Pipeline(run), Normalized::Pipeline(seen)) => {
            let status = run.status_mut();
            said! {
                status.number => seen.number;
                status.attempt => seen.attempt;
                status.conclusion => seen.conclusion.clone();
                status.started_at => seen.started_at;
                status.completed_at => seen.completed_at;
                status.trigger => actor_of(seen.trigger.as_ref(), provider);
            }
            if let Some(phase) = &seen.phase {
                status.phase = phase.clone();
                if is_running(phase) {
                    status.conclusion = None;
                    status.completed_at = None;
                }
            }
        }
        (Local::Job(job), Normalized::Job(seen)) => {
            let status = job.status_mut();
            said! {
                status.attempt => seen.attempt;
                status.conclusion => seen.conclusion.clone();
                status.runner_name => text(&seen.runner_name);
                status.started_at => seen.started_at;
                status.completed_at => seen.completed_at;
            }
            if let Some(url) = text(&seen.log_url) {
                status.log = Some(JobLog { url: Some(url), blob: None });
            }
            if !seen.steps.is_empty() {
                status.steps = seen
                    .steps
                    .iter()
                    .map(|step| JobStep {
                        name: text(&step.name),
                        phase: step.phase.clone(),
                        conclusion: step.conclusion.clone(),
                        started_at: step.started_at,
                        completed_at: step.completed_at,
                    })
                    .collect();
            }
            if let Some(phase) = &seen.phase {
                status.phase = phase.clone();
                if is_running(phase) {
                    status.conclusion = None;
                    status.completed_at = None;
                }
            }
        }
        // An object never changes its kind: its link says which.
        _ => {}
    }
}

/// Whether a run, or a job of one, is under way: one that was started again has not ended.
fn is_running(phase: &RunPhase) -> bool {
    matches!(phase, RunPhase::Queued | RunPhase::Waiting | RunPhase::Running)
}

/// Marks the object as gone at the provider.
pub fn mark_deleted(local: &mut Local) {
    match local {
        Local::Issue(issue) => issue.status_mut().phase = IssuePhase::Deleted,
        Local::PullRequest(pull) => pull.status_mut().phase = PullRequestPhase::Deleted,
        Local::Review(review) => review.status_mut().phase = ReviewPhase::Deleted,
        Local::Comment(comment) => comment.status_mut().phase = CommentPhase::Deleted,
        Local::Repository(repository) => repository.status_mut().phase = RepositoryPhase::Deleted,
        // Runs have no such phase: they stay as the last observation left them.
        Local::Pipeline(_) | Local::Job(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use krate_model::kinds::ci::Conclusion;
    use krate_model::kinds::shared::Time;
    use krate_model::observation::{JobObserved, PipelineObserved, PullRequestObserved};

    use super::*;

    #[test]
    fn s19_what_is_open_again_shows_no_end() {
        let head = PullRequestHead { r#ref: "fix".to_owned(), native_repository_id: None };
        let mut pull = Local::PullRequest(PullRequest::at("n", "p", PullRequestSpec::new("o", "r", "t", head, "main")));
        let mut run = Local::Pipeline(Pipeline::at("n", "r", PipelineSpec::new("o", "r", "main")));
        let mut job = Local::Job(Job::at("n", "j", JobSpec::new("o", "r", "build")));
        let end = Some(Time::UNIX_EPOCH);
        for (state, phase, closed_at) in
            [(PullRequestState::Closed, RunPhase::Failed, end), (PullRequestState::Open, RunPhase::Running, None)]
        {
            let conclusion = closed_at.map(|_| Conclusion::Failure);
            let seen = PullRequestObserved { state: Some(state), closed_at, ..PullRequestObserved::default() };
            take_status(&mut pull, &Normalized::PullRequest(seen), "gh");
            let seen = PipelineObserved {
                phase: Some(phase.clone()),
                completed_at: closed_at,
                conclusion: conclusion.clone(),
                ..PipelineObserved::default()
            };
            let again = JobObserved {
                phase: Some(phase),
                completed_at: closed_at,
                conclusion: conclusion.clone(),
                ..JobObserved::default()
            };
            take_status(&mut job, &Normalized::Job(again), "gh");
            let Local::Job(job) = &job else { panic!("its kind stays") };
            let shown = job.status.as_ref().map(|status| (status.completed_at, status.conclusion.clone()));
            assert_eq!(shown, Some((closed_at, conclusion.clone())));
            take_status(&mut run, &Normalized::Pipeline(seen), "gh");
            let (Local::PullRequest(pull), Local::Pipeline(run)) = (&pull, &run) else { panic!("their kinds stay") };
            assert_eq!(pull.status.as_ref().and_then(|status| status.closed_at), closed_at);
            let shown = run.status.as_ref().map(|status| (status.completed_at, status.conclusion.clone()));
            assert_eq!(shown, Some((closed_at, conclusion)));
        }
    }

    /// One that is read again has no test merge while the provider makes a new one, whichever webhook came before.
    #[test]
    fn s19_a_merge_commit_that_is_no_more_is_not_shown() {
        let head = PullRequestHead { r#ref: "fix".to_owned(), native_repository_id: None };
        let mut pull = Local::PullRequest(PullRequest::at("n", "p", PullRequestSpec::new("o", "r", "t", head, "main")));
        for sha in [Some("c4295bd7"), None, Some("aa218f56"), None] {
            let seen = PullRequestObserved {
                state: Some(PullRequestState::Open),
                merge_commit_sha: sha.map(Into::into),
                ..PullRequestObserved::default()
            };
            take_status(&mut pull, &Normalized::PullRequest(seen), "gh");
            // What tells nothing of the pull request itself leaves it.
            take_status(&mut pull, &Normalized::PullRequest(PullRequestObserved::default()), "gh");
            let Local::PullRequest(pull) = &pull else { panic!("its kind stays") };
            let shown = pull.status.as_ref().and_then(|status| status.merge_commit_sha.as_deref());
            assert_eq!(shown, sha);
        }
    }
}
