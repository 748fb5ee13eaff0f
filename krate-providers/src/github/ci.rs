//! Workflow runs and jobs, checks and commit statuses.
//!
//! A check or a status is a job of a pipeline that stands for its suite, or for its commit and context. A check of GitHub
//! Actions *is* the workflow job of the same id, and its suite is the workflow run (resource-kinds.md section 6).

use std::borrow::Cow;

use krate_model::Digest;
use krate_model::kinds::ci::{Conclusion, RunPhase};
use krate_model::kinds::sets::Interface;
use krate_model::observation::{
    CanonicalEvent, JobObserved, Normalized, PipelineObserved, RepositoryIdentity, StepObserved, Text,
};

use super::event::{Because, Identity, event, kind};
use super::native::{Id, Numbered, Str, User, When, account, is_dropped, native, set, text, version, when};
use super::object::from_object;

from_object!(Step App Status);

/// The slug of the app that runs workflows.
const ACTIONS: &str = "github-actions";

/// The longest native id that an envelope holds.
const MAX_ID_BYTES: usize = 253;

/// How far a run is, from GitHub's two words; none, where it says neither.
fn phase(status: Option<&str>, conclusion: Option<&str>) -> Option<RunPhase> {
    Some(match (status, conclusion) {
        (None, None) => return None,
        (_, Some("success" | "neutral")) => RunPhase::Succeeded,
        (_, Some("failure" | "timed_out" | "startup_failure")) => RunPhase::Failed,
        (_, Some("cancelled")) => RunPhase::Cancelled,
        (_, Some("skipped")) => RunPhase::Skipped,
        // A person has to let it go on.
        (_, Some("action_required")) | (Some("waiting"), None) => RunPhase::Waiting,
        (Some("queued" | "requested" | "pending"), None) => RunPhase::Queued,
        (Some("in_progress"), None) => RunPhase::Running,
        _ => RunPhase::Undetermined,
    })
}

fn conclusion(native: &str) -> Conclusion {
    match native {
        "timed_out" => Conclusion::TimedOut,
        "action_required" => Conclusion::ActionRequired,
        "startup_failure" => Conclusion::StartupFailure,
        other => Conclusion::from_text(other),
    }
}

/// Both of GitHub's words in krate's.
fn run_state(status: Option<Str<'_>>, ended: Option<Str<'_>>) -> (Option<RunPhase>, Option<Conclusion>) {
    let (status, ended) = (text(status), text(ended));
    (phase(status.as_deref(), ended.as_deref()), ended.as_deref().map(conclusion))
}

fn numbers(pull_requests: Option<Vec<Numbered>>) -> Vec<i64> {
    pull_requests.unwrap_or_default().into_iter().map(|pull_request| pull_request.number).collect()
}

native! {
    /// A workflow run.
    WorkflowRun {
        required {
            id: Id<'a> = "id",
        }
        optional {
            node_id: Str<'a> = "node_id",
            html_url: Str<'a> = "html_url",
            url: Str<'a> = "url",
            name: Str<'a> = "name",
            head_branch: Str<'a> = "head_branch",
            head_sha: Str<'a> = "head_sha",
            path: Str<'a> = "path",
            cause: Str<'a> = "event",
            pull_requests: Vec<Numbered> = "pull_requests",
            actor: User<'a> = "actor",
            triggering_actor: User<'a> = "triggering_actor",
            status: Str<'a> = "status",
            conclusion: Str<'a> = "conclusion",
            run_number: i64 = "run_number",
            run_attempt: i64 = "run_attempt",
            run_started_at: When = "run_started_at",
            created_at: When = "created_at",
            updated_at: When = "updated_at",
        }
    }
}

impl<'a> WorkflowRun<'a> {
    pub(super) fn event(self, repository: RepositoryIdentity<'a>) -> CanonicalEvent<'a> {
        let updated_at = when(self.updated_at);
        let (phase, conclusion) = run_state(self.status, self.conclusion);
        let observed = PipelineObserved {
            number: self.run_number,
            url: text(self.html_url),
            api_url: text(self.url),
            repository: Some(repository),
            name: text(self.name),
            git_ref: text(self.head_branch),
            sha: text(self.head_sha),
            workflow: text(self.path),
            event: text(self.cause),
            pull_request_numbers: numbers(self.pull_requests),
            trigger: account(self.triggering_actor.or(self.actor)),
            // GitHub names no end; the last change of an ended run is it.
            completed_at: updated_at.filter(|_| conclusion.is_some()),
            phase,
            conclusion,
            attempt: self.run_attempt,
            started_at: when(self.run_started_at),
            created_at: when(self.created_at),
            updated_at,
            fields: self.rest,
        };
        let identity =
            Identity { kind: kind::WORKFLOW_RUN, id: self.id.0, node_id: self.node_id, version: version(updated_at) };
        event(Interface::Cicd, identity, Normalized::Pipeline(observed))
    }
}

/// One step of a workflow job.
#[derive(Debug, serde::Deserialize)]
#[serde(remote = "Self")]
pub(super) struct Step<'a> {
    #[serde(borrow)]
    name: Option<Str<'a>>,
    #[serde(borrow)]
    status: Option<Str<'a>>,
    #[serde(borrow)]
    conclusion: Option<Str<'a>>,
    started_at: Option<When>,
    completed_at: Option<When>,
}

native! {
    /// A workflow job.
    WorkflowJob {
        required {
            id: Id<'a> = "id",
            name: Str<'a> = "name",
        }
        optional {
            node_id: Str<'a> = "node_id",
            html_url: Str<'a> = "html_url",
            url: Str<'a> = "url",
            run_id: Id<'a> = "run_id",
            head_sha: Str<'a> = "head_sha",
            runner_name: Str<'a> = "runner_name",
            steps: Vec<Step<'a>> = "steps",
            status: Str<'a> = "status",
            conclusion: Str<'a> = "conclusion",
            run_attempt: i64 = "run_attempt",
            created_at: When = "created_at",
            started_at: When = "started_at",
            completed_at: When = "completed_at",
        }
    }
}

impl<'a> WorkflowJob<'a> {
    pub(super) fn event(self, repository: RepositoryIdentity<'a>) -> CanonicalEvent<'a> {
        let (started_at, completed_at) = (when(self.started_at), when(self.completed_at));
        // A job has no time of its last change: the newest of what it has orders its states.
        let updated_at = completed_at.max(started_at).max(when(self.created_at));
        let (phase, conclusion) = run_state(self.status, self.conclusion);
        let steps = self.steps.unwrap_or_default().into_iter().map(|step| {
            let (phase, conclusion) = run_state(step.status, step.conclusion);
            StepObserved {
                name: text(step.name),
                phase,
                conclusion,
                started_at: when(step.started_at),
                completed_at: when(step.completed_at),
            }
        });
        let observed = JobObserved {
            url: text(self.html_url),
            api_url: text(self.url),
            repository: Some(repository),
            name: Some(self.name.0),
            pipeline_id: self.run_id.map(|id| id.0),
            sha: text(self.head_sha),
            runner_name: text(self.runner_name),
            log_url: None,
            steps: steps.collect(),
            phase,
            conclusion,
            attempt: self.run_attempt,
            started_at,
            completed_at,
            updated_at,
            fields: self.rest,
        };
        let identity =
            Identity { kind: kind::WORKFLOW_JOB, id: self.id.0, node_id: self.node_id, version: version(updated_at) };
        event(Interface::Cicd, identity, Normalized::Job(observed))
    }
}

/// The app that made a check.
#[derive(Debug, serde::Deserialize)]
#[serde(remote = "Self")]
pub(super) struct App<'a> {
    #[serde(borrow)]
    slug: Option<Str<'a>>,
    #[serde(borrow)]
    name: Option<Str<'a>>,
}

impl App<'_> {
    fn is_actions(&self) -> bool {
        self.slug.as_ref().is_some_and(|slug| slug.0 == ACTIONS)
    }
}

native! {
    /// A suite of checks.
    CheckSuite {
        required {
            id: Id<'a> = "id",
        }
        optional {
            node_id: Str<'a> = "node_id",
            url: Str<'a> = "url",
            head_branch: Str<'a> = "head_branch",
            head_sha: Str<'a> = "head_sha",
            pull_requests: Vec<Numbered> = "pull_requests",
            app: App<'a> = "app",
            status: Str<'a> = "status",
            conclusion: Str<'a> = "conclusion",
            created_at: When = "created_at",
            updated_at: When = "updated_at",
        }
    }
}

impl<'a> CheckSuite<'a> {
    /// Whether a workflow run says the same.
    pub(super) fn is_workflow_run(&self) -> bool {
        self.app.as_ref().is_some_and(App::is_actions)
    }

    pub(super) fn event(self, repository: RepositoryIdentity<'a>) -> CanonicalEvent<'a> {
        let updated_at = when(self.updated_at);
        let (phase, conclusion) = run_state(self.status, self.conclusion);
        let observed = PipelineObserved {
            api_url: text(self.url),
            repository: Some(repository),
            name: self.app.and_then(|app| text(app.name)),
            git_ref: text(self.head_branch),
            sha: text(self.head_sha),
            pull_request_numbers: numbers(self.pull_requests),
            completed_at: updated_at.filter(|_| conclusion.is_some()),
            phase,
            conclusion,
            created_at: when(self.created_at),
            updated_at,
            fields: self.rest,
            ..PipelineObserved::default()
        };
        let identity =
            Identity { kind: kind::CHECK_SUITE, id: self.id.0, node_id: self.node_id, version: version(updated_at) };
        event(Interface::Cicd, identity, Normalized::Pipeline(observed))
    }
}

native! {
    /// A check.
    CheckRun {
        required {
            id: Id<'a> = "id",
            name: Str<'a> = "name",
        }
        optional {
            node_id: Str<'a> = "node_id",
            html_url: Str<'a> = "html_url",
            url: Str<'a> = "url",
            head_sha: Str<'a> = "head_sha",
            details_url: Str<'a> = "details_url",
            check_suite: CheckSuite<'a> = "check_suite",
            app: App<'a> = "app",
            status: Str<'a> = "status",
            conclusion: Str<'a> = "conclusion",
            started_at: When = "started_at",
            completed_at: When = "completed_at",
        }
    }
}

impl<'a> CheckRun<'a> {
    /// The suite as a pipeline, then the check as its job; for a check of GitHub Actions only the workflow job.
    pub(super) fn events(
        self,
        repository: &RepositoryIdentity<'a>,
    ) -> (Option<CanonicalEvent<'a>>, CanonicalEvent<'a>) {
        let is_workflow_job = self.app.as_ref().is_some_and(App::is_actions);
        let (started_at, completed_at) = (when(self.started_at), when(self.completed_at));
        let updated_at = completed_at.max(started_at);
        let (phase, conclusion) = run_state(self.status, self.conclusion);
        let suite = self.check_suite.filter(|_| !is_workflow_job);
        let observed = JobObserved {
            url: text(self.html_url),
            api_url: text(self.url),
            repository: Some(repository.clone()),
            name: Some(self.name.0),
            pipeline_id: suite.as_ref().map(|suite| suite.id.0.clone()),
            sha: text(self.head_sha),
            log_url: text(self.details_url),
            phase,
            conclusion,
            started_at,
            completed_at,
            updated_at,
            fields: self.rest,
            ..JobObserved::default()
        };
        let kind = if is_workflow_job { kind::WORKFLOW_JOB } else { kind::CHECK };
        let identity = Identity { kind, id: self.id.0, node_id: self.node_id, version: version(updated_at) };
        let job = event(Interface::Cicd, identity, Normalized::Job(observed));
        let pipeline = suite.map(|suite| suite.event(repository.clone()).incomplete());
        // A check doesn't name the run of its workflow job.
        (pipeline, if is_workflow_job { job.incomplete() } else { job })
    }
}

/// A commit status, which is a whole payload.
#[derive(Debug, serde::Deserialize)]
#[serde(remote = "Self")]
pub(super) struct Status<'a> {
    #[serde(borrow)]
    sha: Str<'a>,
    #[serde(borrow)]
    context: Str<'a>,
    #[serde(borrow)]
    state: Str<'a>,
    #[serde(borrow)]
    target_url: Option<Str<'a>>,
    created_at: Option<When>,
    updated_at: Option<When>,
}

impl<'a> Status<'a> {
    /// Whether nothing more comes.
    pub(super) fn is_final(&self) -> bool {
        self.state.0 != "pending"
    }

    /// A status has an id for each time that it is set; what stays is its commit and context.
    pub(super) fn events(self, repository: &RepositoryIdentity<'a>) -> (CanonicalEvent<'a>, CanonicalEvent<'a>) {
        let (phase, conclusion) = match &*self.state.0 {
            "success" => (RunPhase::Succeeded, Some(Conclusion::Success)),
            "failure" | "error" => (RunPhase::Failed, Some(Conclusion::Failure)),
            "pending" => (RunPhase::Running, None),
            _ => (RunPhase::Undetermined, None),
        };
        let updated_at = when(self.updated_at);
        let completed_at = updated_at.filter(|_| conclusion.is_some());
        let id: Text<'a> = Cow::Owned(status_id(&repository.id, &self.sha.0, &self.context.0));
        let pipeline = PipelineObserved {
            repository: Some(repository.clone()),
            name: Some(self.context.0.clone()),
            sha: Some(self.sha.0.clone()),
            phase: Some(phase.clone()),
            conclusion: conclusion.clone(),
            completed_at,
            created_at: when(self.created_at),
            updated_at,
            ..PipelineObserved::default()
        };
        let job = JobObserved {
            repository: Some(repository.clone()),
            name: Some(self.context.0),
            pipeline_id: Some(id.clone()),
            sha: Some(self.sha.0),
            log_url: text(self.target_url),
            phase: Some(phase),
            conclusion,
            completed_at,
            updated_at,
            ..JobObserved::default()
        };
        // S5: two projections, so two identities.
        let identity = |kind, id| Identity { kind, id, node_id: None, version: version(updated_at) };
        (
            event(Interface::Cicd, identity(kind::PIPELINE, id.clone()), Normalized::Pipeline(pipeline)).incomplete(),
            event(Interface::Cicd, identity(kind::STATUS, id), Normalized::Job(job)),
        )
    }
}

/// Repository too: a fork has the same commits.
fn status_id(repository: &str, sha: &str, context: &str) -> String {
    let id = format!("{repository}:{sha}:{context}");
    if id.len() <= MAX_ID_BYTES { id } else { Digest::of(id.as_bytes()).to_hex() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_conclusion_of_github_has_a_phase_and_a_word() {
        for (native, expected) in [
            ("success", RunPhase::Succeeded),
            ("neutral", RunPhase::Succeeded),
            ("failure", RunPhase::Failed),
            ("timed_out", RunPhase::Failed),
            ("startup_failure", RunPhase::Failed),
            ("cancelled", RunPhase::Cancelled),
            ("skipped", RunPhase::Skipped),
            ("action_required", RunPhase::Waiting),
            ("stale", RunPhase::Undetermined),
        ] {
            assert_eq!(phase(Some("completed"), Some(native)), Some(expected), "{native}");
            assert!(krate_model::ClosedSet::is_known(&conclusion(native)), "{native}");
        }
        assert_eq!(phase(Some("in_progress"), None), Some(RunPhase::Running));
        assert_eq!(phase(None, None), None);
        assert_eq!(phase(Some("a word of next year"), None), Some(RunPhase::Undetermined));
    }

    #[test]
    fn a_status_is_known_by_repository_commit_and_context() {
        assert_eq!(status_id("1", "abc", "ci/build"), "1:abc:ci/build");
        assert_eq!(status_id("1", "abc", &"c".repeat(255)).len(), 64);
    }
}
