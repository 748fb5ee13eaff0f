//! `/repos/{owner}/{repo}/issues` and `/issues/{number}`.

use http::StatusCode;

use super::Answered;
use super::answer::{Answer, Failure, array};
use super::call::{Call, Fields};
use crate::simulator::effects::FieldError;
use crate::simulator::forge::Forge;
use crate::simulator::json::{Detail, object};
use crate::simulator::model::{Issue, IssueEdit, NewIssue, Repository, State, StateReason, same_name};

impl Forge {
    /// Issues and pull requests, as GitHub lists them together.
    pub(super) fn list_issues(&self, call: &Call<'_>, id: u64) -> Answered {
        let repository = self.rest_repository(id)?;
        let since = call.since("Issue")?;
        let wanted_state = state_filter(call);
        let labels: Vec<&str> = call.get("labels").map(|names| names.split(',').collect()).unwrap_or_default();
        let mut issues: Vec<&Issue> = repository
            .issues()
            .filter(|issue| wanted_state.is_none_or(|state| state == issue.state))
            .filter(|issue| since.is_none_or(|since| issue.updated_at >= since))
            .filter(|issue| labels.iter().all(|name| wears(repository, issue, name)))
            .filter(|issue| call.get("creator").is_none_or(|login| same_name(&issue.author, login)))
            .filter(|issue| call.get("assignee").is_none_or(|login| is_assigned(issue, login)))
            .collect();
        match call.get("sort") {
            Some("updated") => issues.sort_by_key(|issue| (issue.updated_at, issue.id)),
            Some("comments") => issues.sort_by_key(|issue| (issue.comments.len(), issue.id)),
            _ => issues.sort_by_key(|issue| (issue.created_at, issue.id)),
        }
        if !call.ascending(false) {
            issues.reverse();
        }
        let (issues, link) = call.page(issues, id, "issues");
        let shapes = self.shapes();
        Ok(Answer::ok(array(issues, |o, issue| shapes.issue(o, repository, issue, Detail::Listed))).link(link))
    }

    pub(super) fn show_issue(&self, id: u64, number: u64) -> Answered {
        let repository = self.rest_repository(id)?;
        let issue = repository.issue(number).ok_or(Failure::NotFound)?;
        let mut body = String::new();
        object(&mut body, |o| self.shapes().issue(o, repository, issue, Detail::Full));
        Ok(Answer::ok(body).modified(issue.updated_at))
    }

    pub(super) fn create_issue(&mut self, call: &Call<'_>, id: u64) -> Answered {
        let fields = call.fields()?;
        let new = NewIssue {
            title: fields.text("title")?.unwrap_or_default(),
            body: fields.text("body")?,
            labels: fields.names("labels")?.unwrap_or_default(),
            assignees: fields.names("assignees")?.unwrap_or_default(),
            milestone: fields.number("milestone")?.flatten(),
        };
        let (mut actor, full_name) = self.actor(call, id)?;
        let number = actor.open_issue(&full_name, new)?;
        let location = format!("{}/repos/{full_name}/issues/{number}", self.urls.api);
        let shown = self.show_issue(id, number)?;
        Ok(Answer { status: StatusCode::CREATED, modified: None, ..shown }.location(location))
    }

    pub(super) fn update_issue(&mut self, call: &Call<'_>, id: u64, number: u64) -> Answered {
        let edit = issue_edit(&call.fields()?, "Issue")?;
        let (mut actor, full_name) = self.actor(call, id)?;
        actor.edit_issue(&full_name, number, edit)?;
        Ok(Answer { modified: None, ..self.show_issue(id, number)? })
    }
}

/// `state`: open by default, `all` for no filter.
pub(super) fn state_filter(call: &Call<'_>) -> Option<State> {
    match call.get("state") {
        Some("all") => None,
        Some("closed") => Some(State::Closed),
        _ => Some(State::Open),
    }
}

pub(super) fn issue_edit(fields: &Fields, resource: &'static str) -> Result<IssueEdit, Failure> {
    let invalid =
        |field, value: String| Failure::Invalid(vec![FieldError::new(resource, field, "invalid").value(value)]);
    let state = match fields.text("state")? {
        None => None,
        Some(state) => match state.as_str() {
            "open" => Some(State::Open),
            "closed" => Some(State::Closed),
            _ => return Err(invalid("state", state)),
        },
    };
    let state_reason = match fields.text("state_reason")? {
        None => None,
        Some(reason) => match StateReason::ALL.into_iter().find(|known| known.as_str() == reason) {
            Some(known) => Some(known),
            None => return Err(invalid("state_reason", reason)),
        },
    };
    Ok(IssueEdit {
        title: fields.text("title")?,
        body: fields.clearable("body")?,
        state,
        state_reason,
        labels: fields.names("labels")?,
        assignees: fields.names("assignees")?,
        milestone: fields.number("milestone")?,
        base: None,
    })
}

fn wears(repository: &Repository, issue: &Issue, name: &str) -> bool {
    repository.label(name).is_some_and(|label| issue.labels.contains(&label.id))
}

fn is_assigned(issue: &Issue, login: &str) -> bool {
    match login {
        "none" => issue.assignees.is_empty(),
        "*" => !issue.assignees.is_empty(),
        login => issue.assignees.iter().any(|assignee| same_name(assignee, login)),
    }
}
