//! From a change to the payload that GitHub would send about it.

use chrono::{DateTime, SecondsFormat, Utc};

use super::forge::{Forge, World};
use super::json::{Detail, Object, Shapes, object, string};
use super::model::{Issue, Repository, UserKind};
use super::webhooks::{Hook, Scope};

/// What an event is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Subject {
    /// An issue or pull request: which of the two decides the event's name.
    Issue {
        number: u64,
        action: &'static str,
        was: Was,
    },
    Comment {
        number: u64,
        comment: u64,
        action: &'static str,
        from: Option<String>,
    },
    Label {
        label: u64,
        action: &'static str,
        was: Was,
    },
    Milestone {
        number: u64,
        action: &'static str,
    },
    Repository {
        action: &'static str,
        was: Was,
    },
    Push {
        branch: String,
        before: Option<String>,
        after: String,
    },
    Ping {
        hook: u64,
    },
}

/// What the payload says beside the object itself: what was before, or what was added or taken away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Was {
    Nothing,
    Edited { title: Option<String>, body: Option<String>, base: Option<(String, String)> },
    Label(u64),
    Assignee(String),
    Milestone(u64),
    Head { before: String, after: String },
    MovedTo { repository: u64, number: u64 },
    MovedFrom { repository: u64, number: u64 },
    Named(String),
    RepositoryNamed(String),
    OwnedBy(String),
}

/// The name of an event and its action.
pub(super) type Name = (&'static str, Option<&'static str>);

const NO_COMMIT: &str = "0000000000000000000000000000000000000000";

impl Forge {
    /// Queues a delivery about `subject` for every hook that wants it.
    pub(super) fn announce(&mut self, repository: u64, sender: &str, now: DateTime<Utc>, subject: &Subject) {
        let Some(name) = name(&self.world, repository, subject) else { return };
        let only = match subject {
            Subject::Ping { hook } => Some(*hook),
            _ => None,
        };
        let wanting = self.hooks_wanting(repository, name.0, only);
        for (hook, scope) in wanting {
            let body = self.payload(repository, sender, now, subject, name, hook, scope);
            self.queue(hook, repository, name, now, body);
        }
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of one payload; a struct would be built for this call only"
    )]
    fn payload(
        &self,
        repository: u64,
        sender: &str,
        now: DateTime<Utc>,
        subject: &Subject,
        name: Name,
        hook: u64,
        scope: Scope,
    ) -> String {
        let shapes = Shapes { world: &self.world, urls: &self.urls };
        let mut body = String::with_capacity(16 * 1024);
        let Some(repository) = self.world.repositories.get(&repository) else { return body };
        object(&mut body, |o| {
            if let Some(action) = name.1 {
                o.text("action", action);
            }
            match subject {
                Subject::Issue { number, was, .. } => shapes.issue_members(o, repository, *number, was),
                Subject::Comment { number, comment, from, .. } => {
                    shapes.comment_members(o, repository, *number, *comment, from.as_deref());
                }
                Subject::Label { label, was, .. } => {
                    shapes.label_member(o, repository, *label);
                    shapes.changes(o, was);
                }
                Subject::Milestone { number, .. } => shapes.milestone_member(o, repository, *number),
                Subject::Repository { was, .. } => shapes.changes(o, was),
                Subject::Push { branch, before, after } => {
                    shapes.push_members(o, repository, branch, before.as_deref(), after, sender, now);
                }
                Subject::Ping { .. } => self.ping_members(o, repository, hook),
            }
            let detail = if matches!(subject, Subject::Push { .. }) { Detail::Pushed } else { Detail::Hooked };
            o.object("repository", |o| shapes.repository(o, repository, detail));
            let owner = shapes.world.user(&repository.owner);
            if let Some(owner) = owner.filter(|owner| owner.kind == UserKind::Organization) {
                o.object("organization", |o| shapes.organization(o, owner));
            }
            if let Scope::App { installation } = scope {
                o.object("installation", |o| {
                    o.plain("id", installation);
                    o.shown("node_id", format_args!("IN_kwDO{installation:011x}"));
                });
            }
            shapes.user_member(o, "sender", Some(sender));
        });
        body
    }
}

fn name(world: &World, repository: u64, subject: &Subject) -> Option<Name> {
    Some(match subject {
        Subject::Issue { number, action, .. } => {
            let is_pull = world.repositories.get(&repository)?.issue(*number)?.pull.is_some();
            (if is_pull { "pull_request" } else { "issues" }, Some(action))
        }
        Subject::Comment { action, .. } => ("issue_comment", Some(action)),
        Subject::Label { action, .. } => ("label", Some(action)),
        Subject::Milestone { action, .. } => ("milestone", Some(action)),
        Subject::Repository { action, .. } => ("repository", Some(action)),
        Subject::Push { .. } => ("push", None),
        Subject::Ping { .. } => ("ping", None),
    })
}

impl<'w> Shapes<'w> {
    fn issue_members(self, o: &mut Object<'_>, repository: &'w Repository, number: u64, was: &Was) {
        let Some(issue) = repository.issue(number) else { return };
        match &issue.pull {
            Some(pull) => {
                o.plain("number", number);
                o.object("pull_request", |o| self.pull(o, repository, issue, pull, Detail::Hooked));
            }
            None => o.object("issue", |o| self.issue(o, repository, issue, Detail::Hooked)),
        }
        match was {
            Was::Label(label) => self.label_member(o, repository, *label),
            Was::Assignee(login) => self.user_member(o, "assignee", Some(login)),
            Was::Milestone(number) => self.milestone_member(o, repository, *number),
            Was::Head { before, after } => {
                o.text("before", before);
                o.text("after", after);
            }
            was => self.changes(o, was),
        }
    }

    fn comment_members(
        self,
        o: &mut Object<'_>,
        repository: &'w Repository,
        number: u64,
        comment: u64,
        from: Option<&str>,
    ) {
        if let Some(from) = from {
            o.object("changes", |o| o.object("body", |o| o.text("from", from)));
        }
        if let Some(issue) = repository.issue(number) {
            o.object("issue", |o| self.issue(o, repository, issue, Detail::Hooked));
        }
        if let Some(comment) = repository.comments.get(&comment) {
            o.object("comment", |o| self.comment(o, repository, comment));
        }
    }

    fn label_member(self, o: &mut Object<'_>, repository: &'w Repository, label: u64) {
        if let Some(label) = repository.labels.get(&label) {
            o.object("label", |o| self.label(o, repository, label));
        }
    }

    fn milestone_member(self, o: &mut Object<'_>, repository: &'w Repository, number: u64) {
        if let Some(milestone) = repository.milestones.get(&number) {
            o.object("milestone", |o| self.milestone(o, repository, milestone));
        }
    }

    fn changes(self, o: &mut Object<'_>, was: &Was) {
        match was {
            Was::Edited { title, body, base } => o.object("changes", |o| {
                if let Some(title) = title {
                    o.object("title", |o| o.text("from", title));
                }
                if let Some(body) = body {
                    o.object("body", |o| o.text("from", body));
                }
                if let Some((branch, sha)) = base {
                    o.object("base", |o| {
                        o.object("ref", |o| o.text("from", branch));
                        o.object("sha", |o| o.text("from", sha));
                    });
                }
            }),
            Was::MovedTo { repository, number } => {
                self.other_issue(o, *repository, *number, "new_issue", "new_repository");
            }
            Was::MovedFrom { repository, number } => {
                self.other_issue(o, *repository, *number, "old_issue", "old_repository");
            }
            Was::Named(name) => o.object("changes", |o| o.object("name", |o| o.text("from", name))),
            Was::RepositoryNamed(name) => o.object("changes", |o| {
                o.object("repository", |o| o.object("name", |o| o.text("from", name)));
            }),
            Was::OwnedBy(login) => o.object("changes", |o| {
                o.object("owner", |o| {
                    o.object("from", |o| {
                        let kind = self.world.user(login).map(|user| user.kind);
                        let key = if kind == Some(UserKind::Organization) { "organization" } else { "user" };
                        self.user_member(o, key, Some(login));
                    });
                });
            }),
            Was::Nothing | Was::Label(_) | Was::Assignee(_) | Was::Milestone(_) | Was::Head { .. } => {}
        }
    }

    fn other_issue(self, o: &mut Object<'_>, repository: u64, number: u64, issue_key: &str, repository_key: &str) {
        let Some(repository) = self.world.repositories.get(&repository) else { return };
        let issue: Option<&'w Issue> = repository.issue(number);
        o.object("changes", |o| {
            if let Some(issue) = issue {
                o.object(issue_key, |o| self.issue(o, repository, issue, Detail::Hooked));
            }
            o.object(repository_key, |o| self.repository(o, repository, Detail::Hooked));
        });
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of one payload; a struct would be built for this call only"
    )]
    fn push_members(
        self,
        o: &mut Object<'_>,
        repository: &'w Repository,
        branch: &str,
        before: Option<&str>,
        after: &str,
        pusher: &str,
        now: DateTime<Utc>,
    ) {
        let (web, full_name) = (&self.urls.web, repository.full_name());
        let before_sha = before.unwrap_or(NO_COMMIT);
        let email = format!("{pusher}@users.noreply.github.com");
        let commit = |o: &mut Object<'_>| {
            o.text("id", after);
            o.plain("distinct", true);
            o.text("message", "A commit");
            o.text("timestamp", &now.to_rfc3339_opts(SecondsFormat::Secs, true));
            o.shown("url", format_args!("{web}/{full_name}/commit/{after}"));
            for person in ["author", "committer"] {
                o.object(person, |o| {
                    o.text("name", pusher);
                    o.text("email", &email);
                    o.text("username", pusher);
                });
            }
            o.list("added", [] as [&str; 0], string);
            o.list("removed", [] as [&str; 0], string);
            o.list("modified", ["README.md"], string);
        };
        o.shown("ref", format_args!("refs/heads/{branch}"));
        o.text("before", before_sha);
        o.text("after", after);
        o.plain("created", before.is_none());
        o.plain("deleted", false);
        o.plain("forced", false);
        o.null("base_ref");
        o.shown("compare", format_args!("{web}/{full_name}/compare/{before_sha}...{after}"));
        o.list("commits", [()], |out, ()| object(out, commit));
        o.object("head_commit", commit);
        o.object("pusher", |o| {
            o.text("name", pusher);
            o.text("email", &email);
        });
    }
}

impl Forge {
    fn ping_members(&self, o: &mut Object<'_>, repository: &Repository, id: u64) {
        let Some(hook) = self.hooks.get(&id) else { return };
        o.text("zen", "Keep it logically awesome.");
        o.plain("hook_id", id);
        o.object("hook", |o| self.hook_members(o, repository, id, hook));
    }

    pub(super) fn hook_members(&self, o: &mut Object<'_>, repository: &Repository, id: u64, hook: &Hook) {
        let base = format!("{}/repos/{}/hooks/{id}", self.urls.api, repository.full_name());
        o.text("type", if hook.scope == Scope::Repository { "Repository" } else { "App" });
        o.plain("id", id);
        o.text("name", "web");
        o.plain("active", true);
        o.list("events", hook.events(), string);
        o.object("config", |o| {
            o.text("content_type", "json");
            o.text("url", &hook.url);
            o.text("insecure_ssl", "0");
        });
        o.time("updated_at", hook.created_at);
        o.time("created_at", hook.created_at);
        o.text("url", &base);
        o.shown("test_url", format_args!("{base}/test"));
        o.shown("ping_url", format_args!("{base}/pings"));
        o.shown("deliveries_url", format_args!("{base}/deliveries"));
        o.object("last_response", |o| {
            o.null("code");
            o.text("status", "unused");
            o.null("message");
        });
    }
}
