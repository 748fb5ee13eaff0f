//! Step 1: the request is well-formed, within limits, about an organization that is there and in work, and the snapshot is new enough.

use krate_model::{ClosedSet, Kind};
use serde_json::Value;

use super::Review;
use crate::pattern::Domain;
use crate::reason::{Code, Reason};
use crate::request::{Need, Request, SubjectKind, Verb};

/// Largest request, as JSON.
pub const MAX_REQUEST_BYTES: usize = 256 * 1024;
/// Most needs of a request.
pub const MAX_NEEDS: usize = 256;
/// Longest actor chain.
pub const MAX_ACTORS: usize = 8;
/// Longest cause chain that is looked at; one over 16 is a loop (P38).
const MAX_CAUSES: usize = 64;
/// Most steering actors of a cause, approvals and answers of a request.
const MAX_LIST: usize = 256;
/// Longest name.
const MAX_NAME: usize = 253;
/// Longest ref or path.
const MAX_TEXT: usize = 4096;
/// Deepest preconditions.
const MAX_DEPTH: usize = 16;

/// Reads a request from JSON, within the limits of step 1.
///
/// # Errors
/// `InvalidRequest` for what is too large, too deep, no JSON, or has a field that no request has, such as a trust level of its own (P35).
pub fn read(json: &[u8]) -> Result<Request, Reason> {
    if json.len() > MAX_REQUEST_BYTES {
        let text = format!("the request has {} bytes, at most {MAX_REQUEST_BYTES} are read", json.len());
        return Err(Reason::new(Code::InvalidRequest, "", text));
    }
    serde_json::from_slice(json).map_err(|error| Reason::new(Code::InvalidRequest, "", error.to_string()))
}

pub(super) fn step(review: &mut Review<'_>) {
    let (request, snapshot) = (review.request, review.snapshot);
    if let Some((field, text)) = malformed(request, review.kind) {
        return review.deny(Code::InvalidRequest, field, text);
    }
    if request.snapshot_version.is_some_and(|least| snapshot.version() < least) {
        return review.deny(Code::SnapshotTooOld, "snapshotVersion", "the snapshot is older than the request demands");
    }
    let Some(organization) = snapshot.organization(&request.organization) else {
        return review.deny(Code::InvalidRequest, "organization", "there is no such organization");
    };
    review.namespace = &organization.spec.namespace_name;
    review.organization = Some(organization);
    let is_read = matches!(request.action.verb, Verb::Get | Verb::List | Verb::Watch | Verb::Delete);
    if organization.spec.suspend && !is_read {
        review.deny(
            Code::OrganizationSuspended,
            "organization",
            "the organization is suspended: reads and deletion only",
        );
    }
}

/// The first thing that is wrong with the request.
fn malformed(request: &Request, kind: Option<Kind>) -> Option<(&'static str, &'static str)> {
    let (name, id) = (is_name, is_id);
    let text = |text: &str| !text.is_empty() && text.len() <= MAX_TEXT;
    let named = |it: &Option<crate::request::Named>| it.as_ref().is_none_or(|it| name(&it.name) && id(&it.uid));
    let account = |it: &Option<crate::request::AccountRef>| it.as_ref().is_none_or(|it| id(&it.provider) && id(&it.id));
    let optional = |it: &Option<Box<str>>| it.as_deref().is_none_or(id);
    if !name(&request.organization) {
        return Some(("organization", "is no name"));
    }
    if !request.subject.kind.is_known()
        || !is_name_of(&request.subject.kind, &request.subject.name)
        || !id(&request.subject.uid)
    {
        return Some(("subject", "is none that is known"));
    }
    let link = |link: &crate::request::Link| {
        link.kind.is_known()
            && is_name_of(&link.kind, &link.name)
            && id(&link.uid)
            && account(&link.account)
            && link.by.as_ref().is_none_or(ClosedSet::is_known)
    };
    if request.actor_chain.is_empty() || request.actor_chain.len() > MAX_ACTORS || !request.actor_chain.iter().all(link)
    {
        return Some(("actorChain", "holds 1 to 8 links, each with kind, name and uid"));
    }
    let actor = |actor: &crate::request::CauseActor| {
        actor.role.is_known() && account(&actor.account) && optional(&actor.association)
    };
    let cause = |cause: &crate::request::CauseEvent| {
        id(&cause.event)
            && actor(&cause.gate)
            && cause.steering.len() <= MAX_LIST
            && cause.steering.iter().all(actor)
            && [&cause.source, &cause.rule, &cause.object, &cause.run].iter().all(|it| optional(it))
            && cause.head.as_ref().is_none_or(|head| id(&head.sha) && optional(&head.repository_id))
            && cause.base.as_ref().is_none_or(|base| id(&base.repository_id))
    };
    if request.cause_chain.is_empty()
        || request.cause_chain.len() > MAX_CAUSES
        || !request.cause_chain.iter().all(cause)
    {
        return Some(("causeChain", "holds at least one event, each with its gate"));
    }
    if !request.action.verb.is_known() || kind.is_none() {
        return Some(("action", "is no verb on a kind"));
    }
    if !optional(&request.action.subresource) || !optional(&request.action.operation) {
        return Some(("action", "names no operation"));
    }
    if request.action.fields.len() > MAX_LIST || !request.action.fields.iter().all(|it| id(it)) {
        return Some(("action.fields", "holds at most 256 names of fields"));
    }
    let object = |object: &crate::request::Target| {
        object.kind.parse::<Kind>().is_ok()
            && name(&object.name)
            && optional(&object.uid)
            && optional(&object.organization)
            && [&object.labels, &object.labels_after].into_iter().flatten().all(|labels| labels.len() <= MAX_LIST)
    };
    if !request.object.as_ref().is_none_or(object) {
        return Some(("object", "is no object of a kind that is known"));
    }
    if ![&request.repository, &request.agent_stack, &request.runner_pool].iter().all(|it| named(it)) {
        return Some(("repository", "is no name with a uid"));
    }
    if !request.git_ref.as_deref().is_none_or(|it| text(it) && Domain::Ref.check(it).is_ok()) {
        return Some(("ref", "is no full ref by Git's rules (P12)"));
    }
    if !request.path.as_deref().is_none_or(|it| text(it) && Domain::Path.check(it).is_ok()) {
        return Some(("path", "is no relative path (P12)"));
    }
    let words = [&request.environment, &request.trigger_source, &request.task_kind, &request.credential, &request.run];
    if !words.iter().all(|it| optional(it)) {
        return Some(("environment", "environment, triggerSource, taskKind, credential and run are names"));
    }
    if request.needs.len() > MAX_NEEDS || !request.needs.iter().all(|it| need(it)) {
        return Some(("needs", "holds at most 256 needs, each with its names"));
    }
    let today = request.usage.as_ref().map_or(0, |usage| usage.today.len());
    let lists = request.approvals.len().max(request.native.len()).max(today) <= MAX_LIST;
    if !lists || !request.approvals.iter().all(|it| name(it)) {
        return Some((
            "approvals",
            "holds at most 256 names of approvals; native and usage.today hold at most 256, too",
        ));
    }
    if request.preconditions.len() > MAX_LIST || !request.preconditions.values().all(|it| is_shallow(it, MAX_DEPTH)) {
        return Some(("preconditions", "is nested too deeply"));
    }
    None
}

fn is_name(text: &str) -> bool {
    is_id(text) && !text.bytes().any(|byte| matches!(byte, b'/' | b'\0' | b'\n'))
}

fn is_id(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_NAME
}

/// Whether it names a server or a skill: of the organization, or of another one as `<organization>/<name>` (R4).
fn is_part(text: &str) -> bool {
    text.split_once('/').map_or_else(|| is_name(text), |(owner, bare)| is_name(owner) && is_name(bare))
}

fn is_name_of(kind: &SubjectKind, text: &str) -> bool {
    if matches!(kind, SubjectKind::McpServer | SubjectKind::Skill) { is_part(text) } else { is_name(text) }
}

fn need(need: &Need) -> bool {
    let (name, id) = (is_name, is_id);
    let user = |user: &crate::request::User| user.kind.is_known() && name(&user.name) && name(&user.uid);
    match need {
        Need::Secret { user: by, name: target, namespace, key, purpose } => {
            user(by) && name(target) && namespace.as_deref().is_none_or(name) && name(key) && purpose.is_known()
        }
        Need::Config { user: by, name: target, namespace, key, purpose } => {
            user(by) && name(target) && namespace.as_deref().is_none_or(name) && name(key) && purpose.is_known()
        }
        Need::Path { path, entry, .. } => {
            path.len() <= MAX_TEXT && Domain::Path.check(path).is_ok() && entry.is_known()
        }
        Need::Memory { source, path } => name(source) && path.len() <= MAX_TEXT && Domain::Path.check(path).is_ok(),
        Need::Tool { name: it, server, command, line } => {
            let text = |text: &str| text.len() <= MAX_TEXT;
            id(it)
                && server.as_deref().is_none_or(is_part)
                && command.len() <= MAX_LIST
                && command.iter().all(|word| text(word))
                && line.as_deref().is_none_or(text)
                && (command.is_empty() || line.is_none())
        }
        Need::McpServer { name: it } | Need::Skill { name: it } => is_part(it),
        Need::Pool { name: it } => name(it),
        Need::Host { host: it, .. } | Need::Target { action: it } => id(it),
    }
}

fn is_shallow(value: &Value, depth: usize) -> bool {
    let Some(depth) = depth.checked_sub(1) else { return false };
    match value {
        Value::Array(items) => items.iter().all(|item| is_shallow(item, depth)),
        Value::Object(fields) => fields.values().all(|field| is_shallow(field, depth)),
        _ => true,
    }
}
