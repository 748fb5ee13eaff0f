//! `/repos/{owner}/{repo}/pulls` and `/pulls/{number}`.

use http::StatusCode;

use super::Answered;
use super::answer::{Answer, Failure, array};
use super::call::Call;
use super::issues::{issue_edit, state_filter};
use crate::simulator::forge::Forge;
use crate::simulator::json::{Detail, object};
use crate::simulator::model::{Issue, NewPullRequest, PullRequest, same_name};

impl Forge {
    /// Pull requests. There is no `since`; by age newest first, by anything else ascending unless told.
    pub(super) fn list_pulls(&self, call: &Call<'_>, id: u64) -> Answered {
        let repository = self.rest_repository(id)?;
        let wanted_state = state_filter(call);
        let mut pulls: Vec<(&Issue, &PullRequest)> = repository
            .issues()
            .filter_map(|issue| Some((issue, issue.pull.as_ref()?)))
            .filter(|(issue, _)| wanted_state.is_none_or(|state| state == issue.state))
            .filter(|(_, pull)| call.get("base").is_none_or(|base| base == pull.base))
            .filter(|(_, pull)| call.get("head").is_none_or(|head| self.is_head(pull, head)))
            .collect();
        let by_age = !matches!(call.get("sort"), Some("updated" | "popularity" | "long-running"));
        match call.get("sort") {
            Some("updated") => pulls.sort_by_key(|(issue, pull)| (issue.updated_at, pull.id)),
            Some("popularity") => pulls.sort_by_key(|(issue, pull)| (issue.comments.len(), pull.id)),
            _ => pulls.sort_by_key(|(issue, pull)| (issue.created_at, pull.id)),
        }
        if !call.ascending(!by_age) {
            pulls.reverse();
        }
        let (pulls, link) = call.page(pulls, id, "pulls");
        let shapes = self.shapes();
        let body = array(pulls, |o, (issue, pull)| shapes.pull(o, repository, issue, pull, Detail::Listed));
        Ok(Answer::ok(body).link(link))
    }

    pub(super) fn show_pull(&self, id: u64, number: u64) -> Answered {
        let repository = self.rest_repository(id)?;
        let issue = repository.issue(number).ok_or(Failure::NotFound)?;
        let pull = issue.pull.as_ref().ok_or(Failure::NotFound)?;
        let mut body = String::new();
        object(&mut body, |o| self.shapes().pull(o, repository, issue, pull, Detail::Full));
        Ok(Answer::ok(body).modified(issue.updated_at))
    }

    pub(super) fn create_pull(&mut self, call: &Call<'_>, id: u64) -> Answered {
        let fields = call.fields()?;
        let new = NewPullRequest {
            title: fields.text("title")?.unwrap_or_default(),
            body: fields.text("body")?,
            head: fields.text("head")?.unwrap_or_default(),
            base: fields.text("base")?.unwrap_or_default(),
            draft: fields.flag("draft")?.unwrap_or(false),
        };
        let (mut actor, full_name) = self.actor(call, id)?;
        let number = actor.open_pull_request(&full_name, new)?;
        let location = format!("{}/repos/{full_name}/pulls/{number}", self.urls.api);
        let shown = self.show_pull(id, number)?;
        Ok(Answer { status: StatusCode::CREATED, modified: None, ..shown }.location(location))
    }

    /// Title, body, state and base; labels and people of a pull request are changed through its issue.
    pub(super) fn update_pull(&mut self, call: &Call<'_>, id: u64, number: u64) -> Answered {
        let fields = call.fields()?;
        let mut edit = issue_edit(&fields, "PullRequest")?;
        edit.base = fields.text("base")?;
        edit.state_reason = None;
        edit.labels = None;
        edit.assignees = None;
        edit.milestone = None;
        let (mut actor, full_name) = self.actor(call, id)?;
        actor.edit_pull_request(&full_name, number, edit)?;
        Ok(Answer { modified: None, ..self.show_pull(id, number)? })
    }

    pub(super) fn merge_pull(&mut self, call: &Call<'_>, id: u64, number: u64) -> Answered {
        let expected = call.fields()?.text("sha")?;
        let (mut actor, full_name) = self.actor(call, id)?;
        let sha = actor.merge(&full_name, number, expected.as_deref())?;
        let mut body = String::new();
        object(&mut body, |o| {
            o.text("sha", &sha);
            o.plain("merged", true);
            o.text("message", "Pull Request successfully merged");
        });
        Ok(Answer::ok(body))
    }

    /// `owner:branch`.
    fn is_head(&self, pull: &PullRequest, wanted: &str) -> bool {
        let owner = self.world.repositories.get(&pull.head_repository).map(|repository| repository.owner.as_str());
        wanted
            .split_once(':')
            .is_some_and(|(login, branch)| branch == pull.head && owner.is_some_and(|owner| same_name(owner, login)))
    }
}
