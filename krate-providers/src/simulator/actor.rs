//! Native changes to issues, pull requests and comments: what people do in the forge's own pages. REST writes end here too.

use chrono::{DateTime, Utc};

use super::effects::{Effect, FieldError, Operation, Refusal, Via};
use super::events::{Subject, Was};
use super::forge::Forge;
use super::model::{
    Comment, Issue, IssueEdit, Merge, NewIssue, NewPullRequest, PullRequest, Repository, Slot, State, StateReason,
    fold, same_name, whole_second,
};

/// An account at a moment, ready to change something. Made by [`Forge::by`].
pub struct Actor<'f> {
    pub(super) forge: &'f mut Forge,
    pub(super) login: String,
    pub(super) now: DateTime<Utc>,
    pub(super) via: Via,
}

impl<'f> Actor<'f> {
    pub(super) fn new(forge: &'f mut Forge, login: &str, now: DateTime<Utc>, via: Via) -> Self {
        let login = forge.world.user(login).map_or_else(|| login.to_owned(), |user| user.login.clone());
        Self { forge, login, now, via }
    }

    /// Opens an issue and returns its number.
    pub fn open_issue(&mut self, repository: &str, new: NewIssue) -> Result<u64, Refusal> {
        let id = self.find(repository)?;
        require_title("Issue", &new.title)?;
        self.check_people("Issue", &new.assignees)?;
        self.check_milestone(id, new.milestone)?;
        let labels = self.ensure_labels(id, &new.labels)?;
        let assignees = self.spelled(&new.assignees);
        let number = self.add_issue(id, new.title, new.body, None)?;
        let issue = issue_mut(self.forge, id, number)?;
        issue.labels = labels.iter().copied().collect();
        issue.assignees.clone_from(&assignees);
        issue.milestone = new.milestone;
        let object = issue.id;
        self.record(Operation::OpenIssue, id, Some(number), object, vec!["title", "body"]);
        self.tell_opened(id, number, &labels, &assignees);
        Ok(number)
    }

    /// Changes an issue, or the issue side of a pull request.
    pub fn edit_issue(&mut self, repository: &str, number: u64, edit: IssueEdit) -> Result<(), Refusal> {
        let id = self.find(repository)?;
        self.edit(Operation::EditIssue, id, number, edit)
    }

    /// Closes an issue as completed, or a pull request unmerged.
    pub fn close(&mut self, repository: &str, number: u64) -> Result<(), Refusal> {
        self.edit_issue(repository, number, IssueEdit::new().state(State::Closed))
    }

    /// Opens it again.
    pub fn reopen(&mut self, repository: &str, number: u64) -> Result<(), Refusal> {
        self.edit_issue(repository, number, IssueEdit::new().state(State::Open))
    }

    /// Deletes an issue with its comments. Pull requests cannot be deleted.
    pub fn delete_issue(&mut self, repository: &str, number: u64) -> Result<(), Refusal> {
        let id = self.find(repository)?;
        let issue = self.issue(id, number)?;
        if issue.pull.is_some() {
            return Err(Refusal::Invalid(FieldError::new("Issue", "number", "invalid").value(number)));
        }
        let object = issue.id;
        // The payload shows the issue as it was, so it is made before the issue goes.
        self.tell(id, number, "deleted", Was::Nothing);
        self.take_out(id, number, Slot::Gone);
        self.record(Operation::DeleteIssue, id, Some(number), object, vec!["deleted"]);
        Ok(())
    }

    /// Moves an issue to another repository and returns its number there. It gets a new id; the old number redirects.
    pub fn transfer(&mut self, repository: &str, number: u64, target: &str) -> Result<u64, Refusal> {
        let (from, to) = (self.find(repository)?, self.find(target)?);
        let old = self.issue(from, number)?.clone();
        if old.pull.is_some() || from == to {
            return Err(Refusal::Invalid(FieldError::new("Issue", "repository", "invalid").value(target)));
        }
        let names: Vec<String> = match self.forge.world.repositories.get(&from) {
            Some(repository) => repository.label_names(&old).into_iter().map(str::to_owned).collect(),
            None => Vec::new(),
        };
        let new_number = self.add_issue(to, old.title.clone(), old.body.clone(), None)?;
        // Labels that the target has not are dropped, as on GitHub.
        let kept = self.forge.world.repositories.get(&to).map_or_else(Vec::new, |target| {
            names.iter().filter_map(|name| target.label(name)).map(|label| label.id).collect()
        });
        let moved = issue_mut(self.forge, to, new_number)?;
        moved.author.clone_from(&old.author);
        moved.labels = kept.into_iter().collect();
        moved.assignees.clone_from(&old.assignees);
        moved.created_at = old.created_at;
        moved.state = old.state;
        moved.state_reason = old.state_reason;
        moved.closed_at = old.closed_at;
        moved.closed_by.clone_from(&old.closed_by);
        let object = moved.id;
        if old.state == State::Closed
            && let Some(target) = self.forge.world.repositories.get_mut(&to)
        {
            target.open_issues = target.open_issues.saturating_sub(1);
        }
        self.move_comments(from, to, &old, new_number);
        self.tell(from, number, "transferred", Was::MovedTo { repository: to, number: new_number });
        self.tell(to, new_number, "opened", Was::MovedFrom { repository: from, number });
        self.take_out(from, number, Slot::Moved { repository: to, number: new_number });
        self.record(Operation::TransferIssue, from, Some(number), object, vec!["repository"]);
        Ok(new_number)
    }

    /// Adds labels, making those that the repository has not yet.
    pub fn label(&mut self, repository: &str, number: u64, names: &[&str]) -> Result<(), Refusal> {
        let id = self.find(repository)?;
        let object = self.issue(id, number)?.id;
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let labels = self.ensure_labels(id, &names)?;
        let issue = issue_mut(self.forge, id, number)?;
        let added: Vec<u64> = labels.into_iter().filter(|label| issue.labels.insert(*label)).collect();
        if !added.is_empty() {
            self.touch(id, number);
        }
        self.record(Operation::AddLabels, id, Some(number), object, changed(!added.is_empty(), "labels"));
        for label in added {
            self.tell(id, number, "labeled", Was::Label(label));
        }
        Ok(())
    }

    /// Removes one label.
    pub fn unlabel(&mut self, repository: &str, number: u64, name: &str) -> Result<(), Refusal> {
        let id = self.find(repository)?;
        let object = self.issue(id, number)?.id;
        let missing = Refusal::NotFound { what: "label" };
        let label = self.repository(id)?.label(name).map(|label| label.id).ok_or(missing.clone())?;
        if !issue_mut(self.forge, id, number)?.labels.remove(&label) {
            return Err(missing);
        }
        self.touch(id, number);
        self.record(Operation::RemoveLabel, id, Some(number), object, vec!["labels"]);
        self.tell(id, number, "unlabeled", Was::Label(label));
        Ok(())
    }

    /// Comments on an issue or a pull request and returns the comment's id.
    pub fn comment(&mut self, repository: &str, number: u64, body: &str) -> Result<u64, Refusal> {
        let id = self.find(repository)?;
        self.issue(id, number)?;
        require_body(body)?;
        let comment = self.forge.fresh_id();
        let at = whole_second(self.now);
        let made = Comment {
            id: comment,
            number,
            author: self.login.clone(),
            body: body.to_owned(),
            created_at: at,
            updated_at: at,
        };
        if let Some(repository) = self.forge.world.repositories.get_mut(&id) {
            repository.comments.insert(comment, made);
        }
        issue_mut(self.forge, id, number)?.comments.insert(comment);
        self.touch(id, number);
        self.record(Operation::Comment, id, Some(number), comment, vec!["body"]);
        self.tell_comment(id, number, comment, "created", None);
        Ok(comment)
    }

    /// Changes a comment. The issue's own `updated_at` stays, so a listing of issues does not show it.
    pub fn edit_comment(&mut self, repository: &str, comment: u64, body: &str) -> Result<(), Refusal> {
        let id = self.find(repository)?;
        require_body(body)?;
        let at = whole_second(self.now);
        let found =
            self.forge.world.repositories.get_mut(&id).and_then(|repository| repository.comments.get_mut(&comment));
        let found = found.ok_or(Refusal::NotFound { what: "comment" })?;
        let number = found.number;
        let before = std::mem::replace(&mut found.body, body.to_owned());
        let differs = before != body;
        if differs {
            found.updated_at = found.updated_at.max(at);
        }
        self.record(Operation::EditComment, id, Some(number), comment, changed(differs, "body"));
        if differs {
            self.tell_comment(id, number, comment, "edited", Some(before));
        }
        Ok(())
    }

    /// Deletes a comment.
    pub fn delete_comment(&mut self, repository: &str, comment: u64) -> Result<(), Refusal> {
        let id = self.find(repository)?;
        let found = self.repository(id)?.comments.get(&comment).ok_or(Refusal::NotFound { what: "comment" })?;
        let number = found.number;
        // GitHub's payload already counts one comment less, while it still shows the comment.
        issue_mut(self.forge, id, number)?.comments.remove(&comment);
        self.touch(id, number);
        self.tell_comment(id, number, comment, "deleted", None);
        if let Some(repository) = self.forge.world.repositories.get_mut(&id) {
            repository.comments.remove(&comment);
        }
        self.record(Operation::DeleteComment, id, Some(number), comment, vec!["deleted"]);
        Ok(())
    }

    /// Opens a pull request and returns its number. The head is `branch`, or `owner:branch` for a fork's branch.
    pub fn open_pull_request(&mut self, repository: &str, new: NewPullRequest) -> Result<u64, Refusal> {
        let id = self.find(repository)?;
        require_title("PullRequest", &new.title)?;
        let (head_repository, head, head_sha) = self.head(id, &new.head)?;
        let base_sha = self.base(id, &new.base)?;
        if head_repository == id && head == new.base {
            return Err(custom("PullRequest", format!("No commits between {} and {head}", new.base)));
        }
        let taken = self.repository(id)?.issues().any(|issue| {
            issue.state == State::Open
                && issue.pull.as_ref().is_some_and(|pull| {
                    pull.head_repository == head_repository && pull.head == head && pull.base == new.base
                })
        });
        if taken {
            let owner = self.repository(head_repository)?.owner.clone();
            return Err(custom("PullRequest", format!("A pull request already exists for {owner}:{head}.")));
        }
        let pull = PullRequest {
            id: self.forge.fresh_id(),
            head_repository,
            head,
            head_sha,
            base: new.base,
            base_sha,
            draft: new.draft,
            commits: 1,
            merge: None,
        };
        let object = pull.id;
        let number = self.add_issue(id, new.title, new.body, Some(pull))?;
        self.record(Operation::OpenPullRequest, id, Some(number), object, vec!["title", "body"]);
        self.tell(id, number, "opened", Was::Nothing);
        Ok(number)
    }

    /// Changes a pull request.
    pub fn edit_pull_request(&mut self, repository: &str, number: u64, edit: IssueEdit) -> Result<(), Refusal> {
        let id = self.find(repository)?;
        self.pull(id, number)?;
        self.edit(Operation::EditPullRequest, id, number, edit)
    }

    /// Merges a pull request and returns the merge commit. With `expected_head`, only if that is still the head.
    pub fn merge(&mut self, repository: &str, number: u64, expected_head: Option<&str>) -> Result<String, Refusal> {
        let id = self.find(repository)?;
        let pull = self.pull(id, number)?.clone();
        if expected_head.is_some_and(|expected| expected != pull.head_sha) {
            return Err(Refusal::HeadModified);
        }
        if pull.draft || self.issue(id, number)?.state == State::Closed {
            return Err(Refusal::NotMergeable);
        }
        let sha = self.forge.fresh_sha();
        let at = whole_second(self.now);
        let by = self.login.clone();
        let issue = issue_mut(self.forge, id, number)?;
        issue.state = State::Closed;
        issue.closed_at = Some(at);
        issue.closed_by = Some(by.clone());
        if let Some(pull) = &mut issue.pull {
            pull.merge = Some(Merge { at, by, sha: sha.clone() });
        }
        self.touch(id, number);
        if let Some(repository) = self.forge.world.repositories.get_mut(&id) {
            repository.open_issues = repository.open_issues.saturating_sub(1);
        }
        self.record(Operation::MergePullRequest, id, Some(number), pull.id, vec!["state", "merged"]);
        self.tell(id, number, "closed", Was::Nothing);
        self.move_branch(id, &pull.base, &sha);
        Ok(sha)
    }

    // What follows serves the operations above.

    pub(super) fn find(&self, full_name: &str) -> Result<u64, Refusal> {
        self.forge
            .world
            .named(full_name)
            .map(|repository| repository.id)
            .ok_or(Refusal::NotFound { what: "repository" })
    }

    pub(super) fn repository(&self, id: u64) -> Result<&Repository, Refusal> {
        self.forge.world.repositories.get(&id).ok_or(Refusal::NotFound { what: "repository" })
    }

    fn issue(&self, repository: u64, number: u64) -> Result<&Issue, Refusal> {
        match self.forge.slot(repository, number) {
            Some(Slot::Here(issue)) => Ok(issue),
            Some(Slot::Gone) => Err(Refusal::Gone),
            Some(&Slot::Moved { repository, number }) => Err(Refusal::Moved { repository, number }),
            None => Err(Refusal::NotFound { what: "issue" }),
        }
    }

    fn pull(&self, repository: u64, number: u64) -> Result<&PullRequest, Refusal> {
        self.issue(repository, number)?.pull.as_ref().ok_or(Refusal::NotFound { what: "pull request" })
    }

    pub(super) fn touch(&mut self, repository: u64, number: u64) {
        if let Some(repository) = self.forge.world.repositories.get_mut(&repository) {
            repository.touch(number, self.now);
        }
    }

    pub(super) fn record(
        &mut self,
        operation: Operation,
        repository: u64,
        number: Option<u64>,
        object: u64,
        changed: Vec<&'static str>,
    ) {
        let count = self.forge.writes.entry(operation).or_default();
        *count = count.saturating_add(1);
        let (actor, via, at) = (self.login.clone(), self.via, self.now);
        self.forge.effects.push(Effect { operation, actor, via, at, repository, number, object, changed });
    }

    fn add_issue(
        &mut self,
        repository: u64,
        title: String,
        body: Option<String>,
        pull: Option<PullRequest>,
    ) -> Result<u64, Refusal> {
        let id = self.forge.fresh_id();
        let at = whole_second(self.now);
        let author = self.login.clone();
        let repository = self.forge.world.repositories.get_mut(&repository);
        let repository = repository.ok_or(Refusal::NotFound { what: "repository" })?;
        // Numbers are never used twice: a deleted issue keeps its slot.
        let number = repository.slots.last_key_value().map_or(1, |(last, _)| last.saturating_add(1));
        let issue = Issue {
            id,
            number,
            title,
            body,
            author,
            state: State::Open,
            state_reason: None,
            labels: std::collections::BTreeSet::new(),
            assignees: Vec::new(),
            milestone: None,
            comments: std::collections::BTreeSet::new(),
            created_at: at,
            updated_at: at,
            closed_at: None,
            closed_by: None,
            pull,
        };
        repository.slots.insert(number, Slot::Here(Box::new(issue)));
        repository.open_issues = repository.open_issues.saturating_add(1);
        Ok(number)
    }

    fn take_out(&mut self, repository: u64, number: u64, left: Slot) {
        let Some(repository) = self.forge.world.repositories.get_mut(&repository) else { return };
        if let Some(Slot::Here(issue)) = repository.slots.insert(number, left) {
            if issue.state == State::Open {
                repository.open_issues = repository.open_issues.saturating_sub(1);
            }
            for comment in &issue.comments {
                repository.comments.remove(comment);
            }
        }
    }

    fn move_comments(&mut self, from: u64, to: u64, old: &Issue, number: u64) {
        for &id in &old.comments {
            let comment = self.forge.world.repositories.get(&from).and_then(|repository| repository.comments.get(&id));
            let Some(mut comment) = comment.cloned() else { continue };
            comment.id = self.forge.fresh_id();
            comment.number = number;
            if let Some(target) = self.forge.world.repositories.get_mut(&to) {
                if let Some(issue) = target.issue_mut(number) {
                    issue.comments.insert(comment.id);
                }
                target.comments.insert(comment.id, comment);
            }
        }
    }

    fn edit(&mut self, operation: Operation, id: u64, number: u64, edit: IssueEdit) -> Result<(), Refusal> {
        let before = self.issue(id, number)?.clone();
        let resource = if before.pull.is_some() { "PullRequest" } else { "Issue" };
        if let Some(title) = &edit.title {
            require_title(resource, title)?;
        }
        self.check_people(resource, edit.assignees.as_deref().unwrap_or_default())?;
        self.check_milestone(id, edit.milestone.flatten())?;
        if let Some(base) = &edit.base {
            self.base(id, base)?;
        }
        let merged = before.pull.as_ref().is_some_and(|pull| pull.merge.is_some());
        if merged && edit.state == Some(State::Open) {
            return Err(Refusal::Invalid(FieldError::new("PullRequest", "state", "invalid").value("open")));
        }
        let labels = match &edit.labels {
            Some(names) => Some(self.ensure_labels(id, names)?),
            None => None,
        };
        let assignees = edit.assignees.as_deref().map(|logins| self.spelled(logins));
        let (at, by) = (whole_second(self.now), self.login.clone());

        let issue = issue_mut(self.forge, id, number)?;
        if let Some(title) = edit.title {
            issue.title = title;
        }
        if let Some(body) = edit.body {
            issue.body = body;
        }
        if let (Some(base), Some(pull)) = (edit.base, &mut issue.pull) {
            pull.base = base;
        }
        if let Some(labels) = labels {
            issue.labels = labels.into_iter().collect();
        }
        if let Some(assignees) = assignees {
            issue.assignees = assignees;
        }
        if let Some(milestone) = edit.milestone {
            issue.milestone = milestone;
        }
        set_state(issue, edit.state, edit.state_reason, at, by);
        let after = issue.clone();
        if let Some(repository) = self.forge.world.repositories.get_mut(&id) {
            match (before.state, after.state) {
                (State::Open, State::Closed) => repository.open_issues = repository.open_issues.saturating_sub(1),
                (State::Closed, State::Open) => repository.open_issues = repository.open_issues.saturating_add(1),
                _ => {}
            }
        }
        let fields = differences(&before, &after);
        if !fields.is_empty() {
            self.touch(id, number);
        }
        let object = after.pull.as_ref().map_or(after.id, |pull| pull.id);
        self.record(operation, id, Some(number), object, fields);
        self.tell_edited(id, number, &before, &after);
        Ok(())
    }

    fn tell_opened(&mut self, id: u64, number: u64, labels: &[u64], assignees: &[String]) {
        self.tell(id, number, "opened", Was::Nothing);
        for &label in labels {
            self.tell(id, number, "labeled", Was::Label(label));
        }
        for login in assignees {
            self.tell(id, number, "assigned", Was::Assignee(login.clone()));
        }
    }

    /// One delivery per kind of change, and per label and assignee: that is how GitHub splits an edit.
    fn tell_edited(&mut self, id: u64, number: u64, before: &Issue, after: &Issue) {
        let title = (before.title != after.title).then(|| before.title.clone());
        let body = (before.body != after.body).then(|| before.body.clone().unwrap_or_default());
        let base = match (&before.pull, &after.pull) {
            (Some(before), Some(after)) if before.base != after.base => {
                Some((before.base.clone(), before.base_sha.clone()))
            }
            _ => None,
        };
        if title.is_some() || body.is_some() || base.is_some() {
            self.tell(id, number, "edited", Was::Edited { title, body, base });
        }
        for &label in after.labels.difference(&before.labels) {
            self.tell(id, number, "labeled", Was::Label(label));
        }
        for &label in before.labels.difference(&after.labels) {
            self.tell(id, number, "unlabeled", Was::Label(label));
        }
        for login in after.assignees.iter().filter(|login| !before.assignees.contains(login)) {
            self.tell(id, number, "assigned", Was::Assignee(login.clone()));
        }
        for login in before.assignees.iter().filter(|login| !after.assignees.contains(login)) {
            self.tell(id, number, "unassigned", Was::Assignee(login.clone()));
        }
        if before.milestone != after.milestone {
            if let Some(milestone) = before.milestone {
                self.tell(id, number, "demilestoned", Was::Milestone(milestone));
            }
            if let Some(milestone) = after.milestone {
                self.tell(id, number, "milestoned", Was::Milestone(milestone));
            }
        }
        match (before.state, after.state) {
            (State::Open, State::Closed) => self.tell(id, number, "closed", Was::Nothing),
            (State::Closed, State::Open) => self.tell(id, number, "reopened", Was::Nothing),
            _ => {}
        }
    }

    fn tell(&mut self, repository: u64, number: u64, action: &'static str, was: Was) {
        let (login, now) = (self.login.clone(), self.now);
        self.forge.announce(repository, &login, now, &Subject::Issue { number, action, was });
    }

    fn tell_comment(&mut self, repository: u64, number: u64, comment: u64, action: &'static str, from: Option<String>) {
        let (login, now) = (self.login.clone(), self.now);
        self.forge.announce(repository, &login, now, &Subject::Comment { number, comment, action, from });
    }

    /// Ids of the labels of these names. Unknown ones are made, as GitHub does for whoever may write.
    fn ensure_labels(&mut self, repository: u64, names: &[String]) -> Result<Vec<u64>, Refusal> {
        if names.iter().any(|name| name.trim().is_empty()) {
            return Err(Refusal::Invalid(FieldError::new("Label", "name", "missing_field")));
        }
        let mut ids = Vec::new();
        for name in names {
            let known = self.repository(repository)?.label(name).map(|label| label.id);
            let id = match known {
                Some(id) => id,
                None => self.add_label(repository, name, "ededed")?,
            };
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        Ok(ids)
    }

    fn check_people(&self, resource: &'static str, logins: &[String]) -> Result<(), Refusal> {
        match logins.iter().find(|login| self.forge.world.user(login).is_none()) {
            Some(stranger) => Err(Refusal::Invalid(FieldError::new(resource, "assignees", "invalid").value(stranger))),
            None => Ok(()),
        }
    }

    fn check_milestone(&self, repository: u64, milestone: Option<u64>) -> Result<(), Refusal> {
        let Some(number) = milestone else { return Ok(()) };
        if self.repository(repository)?.milestones.contains_key(&number) {
            return Ok(());
        }
        Err(Refusal::Invalid(FieldError::new("Issue", "milestone", "invalid").value(number)))
    }

    /// Logins as their accounts spell them, each once.
    fn spelled(&self, logins: &[String]) -> Vec<String> {
        let mut spelled: Vec<String> = Vec::new();
        for login in logins {
            let login = self.forge.world.user(login).map_or(login, |user| &user.login);
            if !spelled.contains(login) {
                spelled.push(login.clone());
            }
        }
        spelled
    }

    /// Repository, branch and commit of a head given as `branch` or `owner:branch`.
    fn head(&self, base: u64, head: &str) -> Result<(u64, String, String), Refusal> {
        let invalid = || Refusal::Invalid(FieldError::new("PullRequest", "head", "invalid"));
        let repository = self.repository(base)?;
        let (repository, branch) = match head.split_once(':') {
            Some((owner, branch)) if same_name(owner, &repository.owner) => (repository, branch),
            Some((owner, branch)) => {
                let owner = fold(owner);
                let fork = self
                    .forge
                    .world
                    .repositories
                    .values()
                    .find(|fork| fork.fork_of == Some(base) && fold(&fork.owner) == owner);
                (fork.ok_or_else(invalid)?, branch)
            }
            None => (repository, head),
        };
        let sha = repository.branches.get(branch).ok_or_else(invalid)?;
        Ok((repository.id, branch.to_owned(), sha.clone()))
    }

    fn base(&self, repository: u64, branch: &str) -> Result<String, Refusal> {
        let sha = self.repository(repository)?.branches.get(branch).cloned();
        sha.ok_or_else(|| Refusal::Invalid(FieldError::new("PullRequest", "base", "invalid")))
    }
}

pub(super) fn issue_mut(forge: &mut Forge, repository: u64, number: u64) -> Result<&mut Issue, Refusal> {
    let found = forge.world.repositories.get_mut(&repository).and_then(|repository| repository.issue_mut(number));
    found.ok_or(Refusal::NotFound { what: "issue" })
}

fn set_state(issue: &mut Issue, state: Option<State>, reason: Option<StateReason>, at: DateTime<Utc>, by: String) {
    let Some(state) = state else { return };
    let moved = state != issue.state;
    issue.state = state;
    match state {
        State::Closed => {
            if moved {
                issue.closed_at = Some(at);
                issue.closed_by = Some(by);
            }
            if issue.pull.is_none() && (moved || reason.is_some()) {
                issue.state_reason = Some(reason.unwrap_or(StateReason::Completed));
            }
        }
        State::Open if moved => {
            issue.closed_at = None;
            issue.closed_by = None;
            if issue.pull.is_none() {
                issue.state_reason = Some(StateReason::Reopened);
            }
        }
        State::Open => {}
    }
}

fn differences(before: &Issue, after: &Issue) -> Vec<&'static str> {
    let base = |issue: &Issue| issue.pull.as_ref().map(|pull| pull.base.clone());
    let fields = [
        ("title", before.title != after.title),
        ("body", before.body != after.body),
        ("state", before.state != after.state),
        ("state_reason", before.state_reason != after.state_reason),
        ("labels", before.labels != after.labels),
        ("assignees", before.assignees != after.assignees),
        ("milestone", before.milestone != after.milestone),
        ("base", base(before) != base(after)),
    ];
    fields.into_iter().filter_map(|(field, differs)| differs.then_some(field)).collect()
}

fn changed(differs: bool, field: &'static str) -> Vec<&'static str> {
    if differs { vec![field] } else { Vec::new() }
}

fn require_title(resource: &'static str, title: &str) -> Result<(), Refusal> {
    if title.trim().is_empty() {
        return Err(Refusal::Invalid(FieldError::new(resource, "title", "missing_field")));
    }
    if title.chars().count() > 256 {
        let message = "title is too long (maximum is 256 characters)".to_owned();
        let error = FieldError::new(resource, "title", "custom");
        return Err(Refusal::Invalid(FieldError { message: Some(message), ..error }));
    }
    Ok(())
}

fn require_body(body: &str) -> Result<(), Refusal> {
    if body.trim().is_empty() {
        return Err(Refusal::Invalid(FieldError::new("IssueComment", "body", "missing_field")));
    }
    if body.chars().count() > 65_536 {
        let message = "body is too long (maximum is 65536 characters)".to_owned();
        let error = FieldError::new("IssueComment", "body", "custom");
        return Err(Refusal::Invalid(FieldError { message: Some(message), ..error }));
    }
    Ok(())
}

fn custom(resource: &'static str, message: String) -> Refusal {
    Refusal::Invalid(FieldError { message: Some(message), ..FieldError::new(resource, "base", "custom") })
}
