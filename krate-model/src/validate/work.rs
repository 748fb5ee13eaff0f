//! Repositories, issues, pull requests and what is said on them (R14, R38, R47, R54, R71).

use super::failure::{Code, Findings};
use super::path::{text, texts};
use super::rules::Rule;
use super::ssh::SshPublicKey;
use super::{Subject, Writer};
use crate::pattern::Domain;
use crate::{Kind, is_dns_label};

pub(super) fn check(subject: &Subject<'_>, findings: &mut Findings) {
    match subject.kind {
        Kind::Repository => repository(subject, findings),
        Kind::SSHKey => ssh_key(subject, findings),
        Kind::Issue => principals(subject, "assignees", false, findings),
        Kind::PullRequest => {
            principals(subject, "assignees", false, findings);
            principals(subject, "requestedReviewers", true, findings);
            pull_request(subject, findings);
        }
        Kind::BranchProtection => {
            principals(subject, "restrictPushTo", true, findings);
            super::pattern::check_filter(subject.spec, "refs", Domain::Ref, findings);
        }
        Kind::RefPolicy => {
            super::pattern::check_filter(subject.spec, "refs", Domain::Ref, findings);
            super::pattern::check_list(subject.spec.get("deny"), "spec.deny", Domain::Ref, findings);
        }
        Kind::Comment => comment(subject, findings),
        _ => {}
    }
}

/// R71: `field` stands there exactly when `wanted`; `why` says of what it depends.
pub(super) fn exactly_when(
    subject: &Subject<'_>,
    field: &str,
    wanted: bool,
    rule: Rule,
    why: &str,
    findings: &mut Findings,
) {
    let is_there = super::path::get(subject.spec, field).is_some();
    if wanted && !is_there {
        findings.fail(format!("spec.{field}"), rule, Code::Required, format!("is required {why}"));
    } else if is_there && !wanted {
        findings.fail(format!("spec.{field}"), rule, Code::Forbidden, format!("is allowed only {why}"));
    }
}

fn repository(subject: &Subject<'_>, findings: &mut Findings) {
    let is_external = text(subject.spec, "backend.mode") == Some("external");
    exactly_when(subject, "backend.bindingRef", is_external, Rule::r(71), "where backend.mode is external", findings);
}

fn ssh_key(subject: &Subject<'_>, findings: &mut Findings) {
    let scope = text(subject.spec, "scope");
    exactly_when(subject, "owner", scope == Some("user"), Rule::r(71), "where scope is user", findings);
    exactly_when(subject, "repository", scope == Some("deploy"), Rule::r(71), "where scope is deploy", findings);
    if let Some(Err(problem)) = text(subject.spec, "key").map(str::parse::<SshPublicKey>) {
        findings.fail("spec.key", Rule::r(14), Code::Invalid, problem.to_string());
    }
}

/// R14: what a key is called and of which type it is, is computed from it and taken from nobody, not even its controller.
pub(super) fn check_status(subject: &Subject<'_>, findings: &mut Findings) {
    let key = text(subject.spec, "key").filter(|_| subject.kind == Kind::SSHKey).map(str::parse::<SshPublicKey>);
    let Some(Ok(key)) = key else { return };
    for (field, computed) in [("fingerprint", key.fingerprint), ("keyType", key.key_type)] {
        let at = format!("status.{field}");
        if text(subject.document, &at).is_some_and(|found| found != computed) {
            findings.fail_near(at, Rule::r(14), Code::Invalid, "is that of another key", Some(computed));
        }
    }
}

/// R54: a principal is a User's name, or `ext:` and an account id; with `teams`, `team/` and a Team's name too.
fn principals(subject: &Subject<'_>, field: &str, teams: bool, findings: &mut Findings) {
    for (at, principal) in texts(subject.spec, field) {
        let at = format!("spec.{field}[{at}]");
        let named = match (principal.strip_prefix("ext:"), principal.strip_prefix("team/")) {
            (Some(id), _) if !id.is_empty() && !id.chars().any(char::is_whitespace) => continue,
            (_, Some(team)) if teams => (Kind::Team, team),
            _ => (Kind::User, principal),
        };
        let (kind, name) = named;
        if !is_dns_label(name) {
            let or_team = if teams { ", team/ and the name of a Team," } else { "" };
            let message =
                format!("is no principal: write the name of a User{or_team} or ext: and an account id, not a login");
            findings.fail(at, Rule::r(54), Code::Invalid, message);
        } else if subject.view.get(kind, subject.namespace(), name).is_none() {
            if subject.view.is_complete() {
                findings.unresolved(at, kind.as_str(), name);
            } else {
                findings.unchecked(at, Rule::r(54), format!("{kind} {name} is not among the given documents"));
            }
        }
    }
}

fn pull_request(subject: &Subject<'_>, findings: &mut Findings) {
    let (state, at) = (text(subject.spec, "state"), "spec.state");
    let was = subject.old_spec().and_then(|old| text(old, "state"));
    let is_merged = subject.old.and_then(|old| text(old, "status.phase")) == Some("Merged");
    if state == Some("merged") {
        if was != Some("merged") && subject.request.writer != Writer::Controller {
            let message = "merged is never set by hand; write the merge command";
            findings.fail_near(at, Rule::r(38), Code::Forbidden, message, Some("spec.merge"));
        }
    } else if was == Some("merged") || (is_merged && subject.sets("state") && was != state) {
        findings.fail(at, Rule::r(38), Code::Forbidden, "nothing leaves merged");
    }
    if subject.sets("merge")
        && let Some(expected) = text(subject.spec, "merge.expectedHeadSha")
        && let head = subject.old.and_then(|old| text(old, "status.headSha"))
        && head != Some(expected)
    {
        let message = match head {
            Some(_) => "is not the head that was observed; look at what changed and ask again",
            None => "can't be compared: no head was observed yet",
        };
        findings.fail_near("spec.merge.expectedHeadSha", Rule::r(38), Code::Invalid, message, head);
    }
}

fn comment(subject: &Subject<'_>, findings: &mut Findings) {
    let kind = text(subject.spec, "subject.kind");
    if kind.is_some_and(|kind| !matches!(kind, "Issue" | "PullRequest")) {
        let message = "a comment stands on an issue or a pull request";
        findings.fail_set("spec.subject.kind", Rule::r(47), message, ["Issue", "PullRequest"]);
    }
}
