//! Comments, below an issue and of the whole repository.

use http::StatusCode;

use super::Answered;
use super::answer::{Answer, Failure, array};
use super::call::Call;
use crate::simulator::forge::Forge;
use crate::simulator::json::object;
use crate::simulator::model::Comment;

impl Forge {
    /// Comments of one issue or pull request, oldest first.
    pub(super) fn list_comments(&self, call: &Call<'_>, id: u64, number: u64) -> Answered {
        let repository = self.rest_repository(id)?;
        let issue = repository.issue(number).ok_or(Failure::NotFound)?;
        let since = call.since("IssueComment")?;
        let comments = issue.comments.iter().filter_map(|id| repository.comments.get(id));
        let comments = comments.filter(|comment| since.is_none_or(|since| comment.updated_at >= since)).collect();
        let (comments, link) = call.page(comments, id, &format!("issues/{number}/comments"));
        let shapes = self.shapes();
        Ok(Answer::ok(array(comments, |o, comment| shapes.comment(o, repository, comment))).link(link))
    }

    /// Comments of the whole repository. Without `sort` by id, and `direction` counts only with `sort`.
    pub(super) fn list_all_comments(&self, call: &Call<'_>, id: u64) -> Answered {
        let repository = self.rest_repository(id)?;
        let since = call.since("IssueComment")?;
        let comments = repository.comments.values();
        let mut comments: Vec<&Comment> =
            comments.filter(|comment| since.is_none_or(|since| comment.updated_at >= since)).collect();
        match call.get("sort") {
            Some("updated") => comments.sort_by_key(|comment| (comment.updated_at, comment.id)),
            Some("created") => comments.sort_by_key(|comment| (comment.created_at, comment.id)),
            _ => {}
        }
        if call.get("sort").is_some() && !call.ascending(false) {
            comments.reverse();
        }
        let (comments, link) = call.page(comments, id, "issues/comments");
        let shapes = self.shapes();
        Ok(Answer::ok(array(comments, |o, comment| shapes.comment(o, repository, comment))).link(link))
    }

    pub(super) fn show_comment(&self, id: u64, comment: u64) -> Answered {
        let repository = self.rest_repository(id)?;
        let comment = repository.comments.get(&comment).ok_or(Failure::NotFound)?;
        let mut body = String::new();
        object(&mut body, |o| self.shapes().comment(o, repository, comment));
        Ok(Answer::ok(body).modified(comment.updated_at))
    }

    pub(super) fn create_comment(&mut self, call: &Call<'_>, id: u64, number: u64) -> Answered {
        let body = call.fields()?.text("body")?.unwrap_or_default();
        let (mut actor, full_name) = self.actor(call, id)?;
        let comment = actor.comment(&full_name, number, &body)?;
        let location = format!("{}/repos/{full_name}/issues/comments/{comment}", self.urls.api);
        let shown = self.show_comment(id, comment)?;
        Ok(Answer { status: StatusCode::CREATED, modified: None, ..shown }.location(location))
    }

    pub(super) fn update_comment(&mut self, call: &Call<'_>, id: u64, comment: u64) -> Answered {
        let body = call.fields()?.text("body")?.unwrap_or_default();
        let (mut actor, full_name) = self.actor(call, id)?;
        actor.edit_comment(&full_name, comment, &body)?;
        Ok(Answer { modified: None, ..self.show_comment(id, comment)? })
    }

    pub(super) fn remove_comment(&mut self, call: &Call<'_>, id: u64, comment: u64) -> Answered {
        let (mut actor, full_name) = self.actor(call, id)?;
        actor.delete_comment(&full_name, comment)?;
        Ok(Answer::new(StatusCode::NO_CONTENT, String::new()))
    }
}
