//! The repository shape: the longest, and a part of every payload.

use super::{Api, Detail, NodeId, Object, Shapes, Web, string};
use crate::simulator::model::Repository;

/// Members that are the API URL of the repository and a suffix.
const LINKS: [(&str, &str); 37] = [
    ("forks_url", "/forks"),
    ("keys_url", "/keys{/key_id}"),
    ("collaborators_url", "/collaborators{/collaborator}"),
    ("teams_url", "/teams"),
    ("hooks_url", "/hooks"),
    ("issue_events_url", "/issues/events{/number}"),
    ("events_url", "/events"),
    ("assignees_url", "/assignees{/user}"),
    ("branches_url", "/branches{/branch}"),
    ("tags_url", "/tags"),
    ("blobs_url", "/git/blobs{/sha}"),
    ("git_tags_url", "/git/tags{/sha}"),
    ("git_refs_url", "/git/refs{/sha}"),
    ("trees_url", "/git/trees{/sha}"),
    ("statuses_url", "/statuses/{sha}"),
    ("languages_url", "/languages"),
    ("stargazers_url", "/stargazers"),
    ("contributors_url", "/contributors"),
    ("subscribers_url", "/subscribers"),
    ("subscription_url", "/subscription"),
    ("commits_url", "/commits{/sha}"),
    ("git_commits_url", "/git/commits{/sha}"),
    ("comments_url", "/comments{/number}"),
    ("issue_comment_url", "/issues/comments{/number}"),
    ("contents_url", "/contents/{+path}"),
    ("compare_url", "/compare/{base}...{head}"),
    ("merges_url", "/merges"),
    ("archive_url", "/{archive_format}{/ref}"),
    ("downloads_url", "/downloads"),
    ("issues_url", "/issues{/number}"),
    ("pulls_url", "/pulls{/number}"),
    ("milestones_url", "/milestones{/number}"),
    ("notifications_url", "/notifications{?since,all,participating}"),
    ("labels_url", "/labels{/name}"),
    ("releases_url", "/releases{/id}"),
    ("deployments_url", "/deployments"),
    ("url", ""),
];

impl<'w> Shapes<'w> {
    pub(in crate::simulator) fn repository(self, o: &mut Object<'_>, repository: &'w Repository, detail: Detail) {
        let (api, web) = (Api(self.urls, repository), Web(self.urls, repository));
        let host = self.urls.web.split_once("://").map_or(self.urls.web.as_str(), |(_, host)| host);
        let full_name = repository.full_name();
        o.plain("id", repository.id);
        o.shown("node_id", NodeId("R", repository.id));
        o.text("name", &repository.name);
        o.text("full_name", &full_name);
        o.plain("private", repository.private);
        self.user_member(o, "owner", Some(&repository.owner));
        o.shown("html_url", web);
        o.null("description");
        o.plain("fork", repository.fork_of.is_some());
        for (key, suffix) in LINKS {
            o.shown(key, format_args!("{api}{suffix}"));
        }
        // A push alone has two of the times in Unix seconds.
        if detail == Detail::Pushed {
            o.plain("created_at", repository.created_at.timestamp());
            o.time("updated_at", repository.updated_at);
            o.plain("pushed_at", repository.pushed_at.timestamp());
        } else {
            o.time("created_at", repository.created_at);
            o.time("updated_at", repository.updated_at);
            o.time("pushed_at", repository.pushed_at);
        }
        o.shown("git_url", format_args!("git://{host}/{full_name}.git"));
        o.shown("ssh_url", format_args!("git@{host}:{full_name}.git"));
        o.shown("clone_url", format_args!("{web}.git"));
        o.shown("svn_url", web);
        o.null("homepage");
        o.plain("size", 0);
        o.plain("stargazers_count", 0);
        o.plain("watchers_count", 0);
        o.null("language");
        o.plain("has_issues", true);
        o.plain("has_projects", true);
        o.plain("has_downloads", true);
        o.plain("has_wiki", true);
        o.plain("has_pages", false);
        o.plain("forks_count", 0);
        o.null("mirror_url");
        o.plain("archived", false);
        o.plain("disabled", false);
        o.plain("open_issues_count", repository.open_issues);
        o.null("license");
        o.plain("forks", 0);
        o.plain("open_issues", repository.open_issues);
        o.plain("watchers", 0);
        o.text("default_branch", &repository.default_branch);
        o.plain("is_template", false);
        o.list("topics", [] as [&str; 0], string);
        o.text("visibility", if repository.private { "private" } else { "public" });
        o.plain("web_commit_signoff_required", false);
        if detail == Detail::Full {
            o.object("permissions", |o| {
                for permission in ["admin", "push", "pull"] {
                    o.plain(permission, true);
                }
            });
            o.plain("allow_rebase_merge", true);
            o.plain("allow_squash_merge", true);
            o.plain("allow_merge_commit", true);
            o.plain("subscribers_count", 0);
            o.plain("network_count", 0);
        }
    }
}
