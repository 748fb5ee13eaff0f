//! Agents' configuration (R4, R18, R61, R62).

use serde_json::Value;

use super::failure::{Code, Findings};
use super::path::{Path, ROOT, get, list, map, text};
use super::references::{cross_organization, cross_organizations};
use super::rules::Rule;
use super::schedule::{cron_problem, is_zone};
use super::work::exactly_when;
use super::{Subject, Writer};
use crate::pattern::Domain;
use crate::{Digest, Kind};

/// Members of a trigger rule's `match`, each with the sources that it needs one of.
const MATCHERS: &[(&str, &[&str])] = &[
    ("push", &["push", "tag"]),
    ("pullRequest", &["pull-request", "pull-request-comment", "review"]),
    ("issue", &["issue", "issue-comment", "label"]),
    ("label", &["label"]),
    ("comment", &["issue-comment", "pull-request-comment"]),
    ("review", &["review"]),
    ("ci", &["ci"]),
    ("release", &["release"]),
    ("webhook", &["webhook"]),
    ("externalSync", &["external-sync"]),
    ("memory", &["memory"]),
    ("agent", &["agent"]),
];

pub(super) fn check(subject: &Subject<'_>, findings: &mut Findings) {
    match subject.kind {
        Kind::AgentTriggerRule => trigger_rule(subject, findings),
        Kind::AgentMcpServer => mcp_server(subject, findings),
        Kind::AgentSkill => skill(subject, findings),
        Kind::AgentContextLabel => context_label(subject, findings),
        Kind::AgentStack => {
            cross_organizations(subject, "sharedRefs", &[Kind::AgentMcpServer, Kind::AgentSkill], findings);
        }
        Kind::AgentMemorySource => memory_source(subject, findings),
        _ => {}
    }
    for field in ["budget", "budgets"] {
        budget(subject.spec.get(field), ROOT.field("spec").field(field), findings);
    }
}

/// R61: an amount of a budget is at least 1.
fn budget(budget: Option<&Value>, path: Path<'_>, findings: &mut Findings) {
    for (name, amount) in budget.and_then(Value::as_object).into_iter().flatten() {
        if amount.as_i64().is_some_and(|amount| amount < 1) {
            findings.fail(path.field(name), Rule::r(61), Code::Invalid, "a budget is at least 1");
        }
    }
}

fn trigger_rule(subject: &Subject<'_>, findings: &mut Findings) {
    let sources: Vec<&str> = list(subject.spec, "sources").iter().filter_map(Value::as_str).collect();
    let is_scheduled = sources.contains(&"schedule");
    exactly_when(subject, "schedule", is_scheduled, Rule::r(18), "where sources hold schedule", findings);
    if let Some(problem) = text(subject.spec, "schedule.cron").and_then(cron_problem) {
        findings.fail("spec.schedule.cron", Rule::r(18), Code::Invalid, problem);
    }
    if text(subject.spec, "schedule.timeZone").is_some_and(|zone| !is_zone(zone)) {
        let message = "is no zone of the IANA database: UTC, or an area and a place, such as Europe/Berlin";
        findings.fail("spec.schedule.timeZone", Rule::r(18), Code::Invalid, message);
    }
    for (member, needs) in MATCHERS {
        let is_used = get(subject.spec, &format!("match.{member}")).is_some();
        if is_used && !needs.iter().any(|source| sources.contains(source)) {
            let message = format!("matches nothing: sources hold none of {}", needs.join(", "));
            findings.fail(format!("spec.match.{member}"), Rule::r(18), Code::Forbidden, message);
        }
    }
    for (member, field) in [("label", "names"), ("comment", "commands")] {
        let at = format!("match.{member}");
        if map(subject.spec, &at).is_some() && list(subject.spec, &format!("{at}.{field}")).is_empty() {
            findings.fail(format!("spec.{at}.{field}"), Rule::r(18), Code::Required, "is required");
        }
    }
    if get(subject.spec, "contextBundleTemplate.redactSecrets") == Some(&Value::Bool(false)) {
        let message = "secrets are always taken out of what a run is told";
        findings.fail("spec.contextBundleTemplate.redactSecrets", Rule::r(18), Code::Forbidden, message);
    }
    super::pattern::check_filter(subject.spec, "match.refs", Domain::Ref, findings);
    super::pattern::check_filter(subject.spec, "match.paths", Domain::Path, findings);
    super::pattern::check_filter(subject.spec, "match.actors", Domain::Name, findings);
}

/// R4: one memory, of this organization or of another; and a source that nobody reads says nothing.
fn memory_source(subject: &Subject<'_>, findings: &mut Findings) {
    let (local, shared) = ("repositoryRef", "sharedRepositoryRef");
    match (subject.spec.get(local), subject.spec.get(shared)) {
        (None, None) => {
            findings.fail(
                "spec.repositoryRef",
                Rule::r(4),
                Code::Required,
                "is required, or sharedRepositoryRef in its place",
            );
        }
        (Some(_), Some(_)) => {
            let message = "stands in the place of repositoryRef; only one of them is allowed";
            findings.fail("spec.sharedRepositoryRef", Rule::r(4), Code::Forbidden, message);
        }
        _ => {}
    }
    cross_organization(subject, shared, Kind::AgentMemoryRepository, findings);
    let lists = ["repositories", "teams", "stacks", "triggers"];
    if map(subject.spec, "appliesTo").is_some()
        && lists.iter().all(|name| list(subject.spec, &format!("appliesTo.{name}")).is_empty())
    {
        let message = "names nobody; at least one repository, team, stack or trigger source is needed";
        findings.fail("spec.appliesTo", Rule::r(4), Code::Required, message);
    }
    for filter in ["include", "exclude"] {
        let at = format!("{filter}.paths");
        super::pattern::check_list(get(subject.spec, &at), &format!("spec.{at}"), Domain::Path, findings);
    }
}

fn mcp_server(subject: &Subject<'_>, findings: &mut Findings) {
    let Some(transport) = text(subject.spec, "transport") else { return };
    let is_local = transport == "stdio";
    exactly_when(subject, "url", !is_local, Rule::r(61), "for a transport over the network", findings);
    exactly_when(subject, "command", is_local, Rule::r(61), "for the transport stdio", findings);
}

/// R62: a review is a person's, of the fragment as it stands, and comes in a write of its own. Whether that person is another one than `spec.editor` is for
/// admission to say, which knows who writes (P43).
fn context_label(subject: &Subject<'_>, findings: &mut Findings) {
    let Some(review) = subject.spec.get("review") else { return };
    let fragment = text(subject.spec, "promptFragment").unwrap_or_default();
    let old = subject.old_spec();
    if old.and_then(|old| old.get("review")) != Some(review) && subject.request.writer != Writer::Person {
        findings.fail("spec.review", Rule::r(62), Code::Forbidden, "only a person reviews a label");
    }
    match old {
        None => {
            let message = "a new label was seen by nobody but its editor; its review is another write";
            findings.fail("spec.review", Rule::r(62), Code::Forbidden, message);
        }
        Some(old) if text(old, "promptFragment") != Some(fragment) => {
            let message =
                "its review is void once it changes: take spec.review out, and let somebody else write it anew";
            findings.fail("spec.promptFragment", Rule::r(62), Code::Forbidden, message);
        }
        Some(_) => {
            let current = Digest::of(fragment.as_bytes()).to_string();
            if text(review, "digest") != Some(current.as_str()) {
                let message = "is the digest of another fragment than the one that stands here";
                findings.fail_near("spec.review.digest", Rule::r(62), Code::Invalid, message, Some(&current));
            }
        }
    }
}

fn skill(subject: &Subject<'_>, findings: &mut Findings) {
    let Some(format) = text(subject.spec, "format") else { return };
    let needed: &[&str] = match format {
        "file" | "directory" => &["repository", "path"],
        "inline" | "package" => &["digest"],
        _ => return,
    };
    for field in needed {
        let at = format!("sourceRef.{field}");
        if get(subject.spec, &at).is_none() {
            let message = format!("is required for the format {format}");
            findings.fail(format!("spec.{at}"), Rule::r(61), Code::Required, message);
        }
    }
}
