//! GitHub's JSON shapes, as its REST answers and webhook payloads have them. A test compares every key and type with recorded
//! ones; a key that GitHub has and nothing here needs may be missing, one that GitHub lacks may not be there.

mod repository;
mod writer;

use std::fmt;

use super::forge::{Urls, World};
use super::model::{Comment, Issue, Label, Milestone, PullRequest, Repository, State, User};
pub(super) use writer::{Object, list, object, string};

/// Renders the objects of one world below one pair of base URLs.
#[derive(Clone, Copy)]
pub(super) struct Shapes<'w> {
    pub(super) world: &'w World,
    pub(super) urls: &'w Urls,
}

/// How much of an object an answer carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Detail {
    /// As an element of a list.
    Listed,
    /// As the object itself.
    Full,
    /// As a member of a webhook payload.
    Hooked,
    /// As a member of the payload of a push.
    Pushed,
}

/// `https://api…/repos/owner/name`.
#[derive(Clone, Copy)]
struct Api<'a>(&'a Urls, &'a Repository);

impl fmt::Display for Api<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/repos/{}/{}", self.0.api, self.1.owner, self.1.name)
    }
}

/// `https://…/owner/name`.
#[derive(Clone, Copy)]
struct Web<'a>(&'a Urls, &'a Repository);

impl fmt::Display for Web<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.0.web, self.1.owner, self.1.name)
    }
}

/// A path segment, percent-encoded as GitHub writes label names.
pub(super) struct Segment<'a>(pub(super) &'a str);

impl fmt::Display for Segment<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~:@!$&'()*+,;=".contains(&byte) {
                write!(f, "{}", char::from(byte))?;
            } else {
                write!(f, "%{byte:02X}")?;
            }
        }
        Ok(())
    }
}

/// A global node id: a kind's prefix and the native id.
pub(super) struct NodeId(pub(super) &'static str, pub(super) u64);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_kwDO{:011x}", self.0, self.1)
    }
}

impl<'w> Shapes<'w> {
    fn api(self, repository: &'w Repository) -> Api<'w> {
        Api(self.urls, repository)
    }

    fn web(self, repository: &'w Repository) -> Web<'w> {
        Web(self.urls, repository)
    }

    /// The user as member `key`; `null` where the account is gone.
    pub(super) fn user_member(self, o: &mut Object<'_>, key: &str, login: Option<&str>) {
        match login.and_then(|login| self.world.user(login)) {
            Some(user) => o.object(key, |o| self.user(o, user)),
            None => o.null(key),
        }
    }

    pub(super) fn user(self, o: &mut Object<'_>, user: &User) {
        let (login, api, web) = (&user.login, &self.urls.api, &self.urls.web);
        o.text("login", login);
        o.plain("id", user.id);
        o.shown("node_id", NodeId("U", user.id));
        o.shown("avatar_url", format_args!("{web}/avatars/u/{}?v=4", user.id));
        o.text("gravatar_id", "");
        o.shown("url", format_args!("{api}/users/{login}"));
        o.shown("html_url", format_args!("{web}/{login}"));
        o.shown("followers_url", format_args!("{api}/users/{login}/followers"));
        o.shown("following_url", format_args!("{api}/users/{login}/following{{/other_user}}"));
        o.shown("gists_url", format_args!("{api}/users/{login}/gists{{/gist_id}}"));
        o.shown("starred_url", format_args!("{api}/users/{login}/starred{{/owner}}{{/repo}}"));
        o.shown("subscriptions_url", format_args!("{api}/users/{login}/subscriptions"));
        o.shown("organizations_url", format_args!("{api}/users/{login}/orgs"));
        o.shown("repos_url", format_args!("{api}/users/{login}/repos"));
        o.shown("events_url", format_args!("{api}/users/{login}/events{{/privacy}}"));
        o.shown("received_events_url", format_args!("{api}/users/{login}/received_events"));
        o.text("type", user.kind.as_str());
        o.plain("site_admin", false);
    }

    /// The short form of an organization that payloads carry beside the repository.
    pub(super) fn organization(self, o: &mut Object<'_>, user: &User) {
        let (login, api) = (&user.login, &self.urls.api);
        o.text("login", login);
        o.plain("id", user.id);
        o.shown("node_id", NodeId("O", user.id));
        o.shown("url", format_args!("{api}/orgs/{login}"));
        o.shown("repos_url", format_args!("{api}/orgs/{login}/repos"));
        o.shown("events_url", format_args!("{api}/orgs/{login}/events"));
        o.shown("hooks_url", format_args!("{api}/orgs/{login}/hooks"));
        o.shown("issues_url", format_args!("{api}/orgs/{login}/issues"));
        o.shown("members_url", format_args!("{api}/orgs/{login}/members{{/member}}"));
        o.shown("public_members_url", format_args!("{api}/orgs/{login}/public_members{{/member}}"));
        o.shown("avatar_url", format_args!("{}/avatars/u/{}?v=4", self.urls.web, user.id));
        o.text("description", "");
    }

    pub(super) fn label(self, o: &mut Object<'_>, repository: &Repository, label: &Label) {
        o.plain("id", label.id);
        o.shown("node_id", NodeId("LA", label.id));
        o.shown("url", format_args!("{}/labels/{}", self.api_of(repository), Segment(&label.name)));
        o.text("name", &label.name);
        o.text("color", &label.color);
        o.plain("default", label.default);
        o.maybe_text("description", label.description.as_deref());
    }

    fn api_of<'a>(self, repository: &'a Repository) -> Api<'a>
    where
        'w: 'a,
    {
        Api(self.urls, repository)
    }

    pub(super) fn milestone(self, o: &mut Object<'_>, repository: &Repository, milestone: &Milestone) {
        let api = self.api_of(repository);
        let number = milestone.number;
        let (mut open, mut closed) = (0_u64, 0_u64);
        for issue in repository.issues().filter(|issue| issue.milestone == Some(number)) {
            match issue.state {
                State::Open => open += 1,
                State::Closed => closed += 1,
            }
        }
        o.shown("url", format_args!("{api}/milestones/{number}"));
        o.shown("html_url", format_args!("{}/milestone/{number}", Web(self.urls, repository)));
        o.shown("labels_url", format_args!("{api}/milestones/{number}/labels"));
        o.plain("id", milestone.id);
        o.shown("node_id", NodeId("MI", milestone.id));
        o.plain("number", number);
        o.text("title", &milestone.title);
        o.null("description");
        self.user_member(o, "creator", Some(&milestone.creator));
        o.plain("open_issues", open);
        o.plain("closed_issues", closed);
        o.text("state", "open");
        o.time("created_at", milestone.created_at);
        o.time("updated_at", milestone.created_at);
        o.null("due_on");
        o.null("closed_at");
    }

    /// What issues and pull requests have in common, in the middle of both shapes.
    fn labels_and_people(self, o: &mut Object<'_>, repository: &'w Repository, issue: &'w Issue) {
        let labels = issue.labels.iter().filter_map(|id| repository.labels.get(id));
        o.list("labels", labels, |out, label| object(out, |o| self.label(o, repository, label)));
        o.text("state", issue.state.as_str());
        o.plain("locked", false);
        self.user_member(o, "assignee", issue.assignees.first().map(String::as_str));
        let assignees = issue.assignees.iter().filter_map(|login| self.world.user(login));
        o.list("assignees", assignees, |out, user| object(out, |o| self.user(o, user)));
        match issue.milestone.and_then(|number| repository.milestones.get(&number)) {
            Some(milestone) => o.object("milestone", |o| self.milestone(o, repository, milestone)),
            None => o.null("milestone"),
        }
    }

    fn reactions(o: &mut Object<'_>, url: impl fmt::Display) {
        o.object("reactions", |o| {
            o.shown("url", format_args!("{url}/reactions"));
            for name in ["total_count", "+1", "-1", "laugh", "hooray", "confused", "heart", "rocket", "eyes"] {
                o.plain(name, 0);
            }
        });
    }

    pub(super) fn issue(self, o: &mut Object<'_>, repository: &'w Repository, issue: &'w Issue, detail: Detail) {
        let (api, web, number) = (self.api(repository), self.web(repository), issue.number);
        let page = if issue.pull.is_some() { "pull" } else { "issues" };
        o.shown("url", format_args!("{api}/issues/{number}"));
        o.shown("repository_url", api);
        o.shown("labels_url", format_args!("{api}/issues/{number}/labels{{/name}}"));
        o.shown("comments_url", format_args!("{api}/issues/{number}/comments"));
        o.shown("events_url", format_args!("{api}/issues/{number}/events"));
        o.shown("html_url", format_args!("{web}/{page}/{number}"));
        o.plain("id", issue.id);
        match &issue.pull {
            // The issue side of a pull request has an id of its own, but the pull request's node id.
            Some(pull) => o.shown("node_id", NodeId("PR", pull.id)),
            None => o.shown("node_id", NodeId("I", issue.id)),
        }
        o.plain("number", number);
        o.text("title", &issue.title);
        self.user_member(o, "user", Some(&issue.author));
        self.labels_and_people(o, repository, issue);
        o.plain("comments", issue.comments.len());
        o.time("created_at", issue.created_at);
        o.time("updated_at", issue.updated_at);
        o.maybe_time("closed_at", issue.closed_at);
        o.text("author_association", repository.association(&issue.author).as_str());
        o.null("active_lock_reason");
        if let Some(pull) = &issue.pull {
            o.plain("draft", pull.draft);
            o.object("pull_request", |o| {
                o.shown("url", format_args!("{api}/pulls/{number}"));
                o.shown("html_url", format_args!("{web}/pull/{number}"));
                o.shown("diff_url", format_args!("{web}/pull/{number}.diff"));
                o.shown("patch_url", format_args!("{web}/pull/{number}.patch"));
                o.maybe_time("merged_at", pull.merge.as_ref().map(|merge| merge.at));
            });
        }
        o.maybe_text("body", issue.body.as_deref());
        if detail == Detail::Full {
            self.user_member(o, "closed_by", issue.closed_by.as_deref());
        }
        Self::reactions(o, format_args!("{api}/issues/{number}"));
        o.shown("timeline_url", format_args!("{api}/issues/{number}/timeline"));
        o.null("performed_via_github_app");
        o.maybe_text("state_reason", issue.state_reason.map(super::model::StateReason::as_str));
    }

    pub(super) fn comment(self, o: &mut Object<'_>, repository: &'w Repository, comment: &Comment) {
        let (api, id, number) = (self.api(repository), comment.id, comment.number);
        let is_pull = repository.issue(number).is_some_and(|issue| issue.pull.is_some());
        let page = if is_pull { "pull" } else { "issues" };
        o.shown("url", format_args!("{api}/issues/comments/{id}"));
        o.shown("html_url", format_args!("{}/{page}/{number}#issuecomment-{id}", self.web(repository)));
        o.shown("issue_url", format_args!("{api}/issues/{number}"));
        o.plain("id", id);
        o.shown("node_id", NodeId("IC", id));
        self.user_member(o, "user", Some(&comment.author));
        o.time("created_at", comment.created_at);
        o.time("updated_at", comment.updated_at);
        o.text("author_association", repository.association(&comment.author).as_str());
        o.text("body", &comment.body);
        Self::reactions(o, format_args!("{api}/issues/comments/{id}"));
        o.null("performed_via_github_app");
    }

    pub(super) fn pull(
        self,
        o: &mut Object<'_>,
        repository: &'w Repository,
        issue: &'w Issue,
        pull: &'w PullRequest,
        detail: Detail,
    ) {
        let (api, web, number) = (self.api(repository), self.web(repository), issue.number);
        let statuses = format!("{api}/statuses/{}", pull.head_sha);
        o.shown("url", format_args!("{api}/pulls/{number}"));
        o.plain("id", pull.id);
        o.shown("node_id", NodeId("PR", pull.id));
        o.shown("html_url", format_args!("{web}/pull/{number}"));
        o.shown("diff_url", format_args!("{web}/pull/{number}.diff"));
        o.shown("patch_url", format_args!("{web}/pull/{number}.patch"));
        o.shown("issue_url", format_args!("{api}/issues/{number}"));
        o.plain("number", number);
        o.text("title", &issue.title);
        self.user_member(o, "user", Some(&issue.author));
        o.maybe_text("body", issue.body.as_deref());
        o.time("created_at", issue.created_at);
        o.time("updated_at", issue.updated_at);
        o.maybe_time("closed_at", issue.closed_at);
        o.maybe_time("merged_at", pull.merge.as_ref().map(|merge| merge.at));
        o.maybe_text("merge_commit_sha", pull.merge.as_ref().map(|merge| merge.sha.as_str()));
        o.list("requested_reviewers", [] as [&str; 0], string);
        o.list("requested_teams", [] as [&str; 0], string);
        self.labels_and_people(o, repository, issue);
        o.shown("commits_url", format_args!("{api}/pulls/{number}/commits"));
        o.shown("review_comments_url", format_args!("{api}/pulls/{number}/comments"));
        o.shown("review_comment_url", format_args!("{api}/pulls/comments{{/number}}"));
        o.shown("comments_url", format_args!("{api}/issues/{number}/comments"));
        o.text("statuses_url", &statuses);
        let head = self.world.repositories.get(&pull.head_repository);
        o.object("head", |o| self.branch(o, head, &pull.head, &pull.head_sha));
        o.object("base", |o| self.branch(o, Some(repository), &pull.base, &pull.base_sha));
        o.object("_links", |o| {
            let mut link = |name: &str, href: fmt::Arguments<'_>| o.object(name, |o| o.shown("href", href));
            link("self", format_args!("{api}/pulls/{number}"));
            link("html", format_args!("{web}/pull/{number}"));
            link("issue", format_args!("{api}/issues/{number}"));
            link("comments", format_args!("{api}/issues/{number}/comments"));
            link("review_comments", format_args!("{api}/pulls/{number}/comments"));
            link("review_comment", format_args!("{api}/pulls/comments{{/number}}"));
            link("commits", format_args!("{api}/pulls/{number}/commits"));
            link("statuses", format_args!("{statuses}"));
        });
        o.text("author_association", repository.association(&issue.author).as_str());
        o.null("auto_merge");
        o.null("active_lock_reason");
        o.plain("draft", pull.draft);
        if detail == Detail::Listed {
            return;
        }
        let merged = pull.merge.is_some();
        o.plain("merged", merged);
        if merged {
            o.null("mergeable");
            o.null("rebaseable");
        } else {
            o.plain("mergeable", true);
            o.plain("rebaseable", true);
        }
        o.text("mergeable_state", if merged { "unknown" } else { "clean" });
        self.user_member(o, "merged_by", pull.merge.as_ref().map(|merge| merge.by.as_str()));
        o.plain("comments", issue.comments.len());
        o.plain("review_comments", 0);
        o.plain("maintainer_can_modify", false);
        o.plain("commits", pull.commits);
        o.plain("additions", pull.commits);
        o.plain("deletions", 0);
        o.plain("changed_files", 1);
    }

    /// One end of a pull request. A fork that was deleted leaves `repo: null`.
    fn branch(self, o: &mut Object<'_>, repository: Option<&'w Repository>, branch: &str, sha: &str) {
        let owner = repository.map(|repository| repository.owner.as_str());
        o.shown("label", format_args!("{}:{branch}", owner.unwrap_or("unknown")));
        o.text("ref", branch);
        o.text("sha", sha);
        self.user_member(o, "user", owner);
        match repository {
            Some(repository) => o.object("repo", |o| self.repository(o, repository, Detail::Listed)),
            None => o.null("repo"),
        }
    }
}
