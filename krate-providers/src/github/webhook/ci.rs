//! Payloads about workflow runs and jobs, checks and commit statuses.

use krate_model::kinds::sets::EventAction;
use serde::Deserialize;

use super::super::ci::{CheckRun, CheckSuite, Status, WorkflowJob, WorkflowRun};
use super::super::decode::parse;
use super::super::event::{Because, action};
use super::super::native::{Repo, Str, User, account};
use super::super::object::{from_object, payload};
use super::{Events, happened};
use crate::contract::{DecodeError, Ignored, Normalization};

from_object!(StatusContext);

payload! { WorkflowRunPayload { workflow_run: WorkflowRun, } }

pub(super) fn workflow_run(body: &[u8]) -> Events<'_> {
    let payload: WorkflowRunPayload<'_> = parse(body)?;
    let event = payload.workflow_run.event(payload.repository.identity());
    Ok(happened("workflow_run", payload.action, payload.sender, event))
}

payload! { WorkflowJobPayload { workflow_job: WorkflowJob, } }

pub(super) fn workflow_job(body: &[u8]) -> Events<'_> {
    let payload: WorkflowJobPayload<'_> = parse(body)?;
    let event = payload.workflow_job.event(payload.repository.identity());
    Ok(happened("workflow_job", payload.action, payload.sender, event))
}

payload! { CheckRunPayload { check_run: CheckRun, } }

/// First the suite, then the check.
pub(super) fn check_run(body: &[u8]) -> Events<'_> {
    let payload: CheckRunPayload<'_> = parse(body)?;
    let actor = account(payload.sender);
    let what = action("check_run", &payload.action.0);
    let (pipeline, job) = payload.check_run.events(&payload.repository.identity());
    let pipeline = pipeline.map(|event| event.because(EventAction::Updated, None, actor.clone()));
    let job = job.because(what, Some(payload.action.0), actor);
    Ok(pipeline.into_iter().chain([job]).collect())
}

payload! { CheckSuitePayload { check_suite: CheckSuite, } }

pub(super) fn check_suite(body: &[u8]) -> Result<Normalization<'_>, DecodeError> {
    let payload: CheckSuitePayload<'_> = parse(body)?;
    if payload.check_suite.is_workflow_run() {
        return Ok(Normalization::Ignored(Ignored::NoLocalMeaning {
            event_type: "check_suite",
            why: "a suite of GitHub Actions is a workflow run, whose own events say the same",
        }));
    }
    let event = payload.check_suite.event(payload.repository.identity());
    Ok(Normalization::Events(happened("check_suite", payload.action, payload.sender, event)))
}

#[derive(Deserialize)]
#[serde(remote = "Self")]
struct StatusContext<'a> {
    #[serde(borrow)]
    repository: Repo<'a>,
    #[serde(borrow)]
    sender: Option<User<'a>>,
}

pub(super) fn status(body: &[u8]) -> Events<'_> {
    let status: Status<'_> = parse(body)?;
    let context: StatusContext<'_> = parse(body)?;
    let actor = account(context.sender);
    let what = if status.is_final() { EventAction::Completed } else { EventAction::Updated };
    let (pipeline, job) = status.events(&context.repository.identity());
    Ok(vec![pipeline.because(EventAction::Updated, None, actor.clone()), job.because(what, None, actor)])
}
