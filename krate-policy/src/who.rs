//! Who can do a thing, what somebody can do, and what would change if a resource went (P47). Each answer is [`review`]'s own, for a person who acts for
//! themselves by hand, or through a stack that they set to work: there is nothing that could disagree with it.

use std::collections::BTreeSet;
use std::sync::Arc;

use krate_model::Kind;
use krate_model::kinds::shared::{RefFilter, Time};
use serde::Serialize;

use crate::decision::Outcome;
use crate::pattern::{Domain, Filter, Selection};
use crate::request::{
    AccountRef, Action, CauseActor, CauseEvent, Link, LinkBy, Named, Request, SteeringRole, Subject, SubjectKind,
    Target, Verb,
};
use crate::review::review;
use crate::snapshot::{Item, Key, Snapshot};

/// Where a question is about.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Place {
    /// The organization.
    pub organization: Box<str>,
    /// The time.
    pub now: Time,
    /// The object.
    pub object: Option<Target>,
    /// The repository, by name: rights on a repository count in it only.
    pub repository: Option<Box<str>>,
    /// The full ref.
    pub git_ref: Option<Box<str>>,
    /// The environment.
    pub environment: Option<Box<str>>,
    /// The trigger source; absent: by hand.
    pub trigger_source: Option<Box<str>>,
    /// Through which stack: a start is one of it, all else is done by it for the person. Absent: the person themselves.
    pub stack: Option<Box<str>>,
}

impl Place {
    /// The whole of an organization.
    pub fn new(organization: impl Into<Box<str>>, now: Time) -> Self {
        Self {
            organization: organization.into(),
            now,
            object: None,
            repository: None,
            git_ref: None,
            environment: None,
            trigger_source: None,
            stack: None,
        }
    }
}

/// A person, and what the answer to them is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Who {
    /// Their name.
    pub person: Box<str>,
    /// Yes, or yes once a person has agreed.
    pub outcome: Outcome,
    /// The role that allows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<Arc<str>>,
}

/// An action, and what the answer about it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct What {
    /// The verb.
    pub verb: Verb,
    /// The kind.
    pub kind: Kind,
    /// Yes, or yes once a person has agreed.
    pub outcome: Outcome,
    /// The role that allows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<Arc<str>>,
}

/// What would be answered otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Change {
    /// Whose answer.
    pub person: Box<str>,
    /// About which verb.
    pub verb: Verb,
    /// On which kind.
    pub kind: Kind,
    /// Through which stack; absent: by the person themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stack: Option<Box<str>>,
    /// In which repository.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repository: Option<Box<str>>,
    /// At which ref.
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    pub git_ref: Option<Box<str>>,
    /// In which environment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<Box<str>>,
    /// From which trigger source; absent: by hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trigger_source: Option<Box<str>>,
    /// The answer now.
    pub before: Outcome,
    /// The answer then.
    pub after: Outcome,
}

/// The persons who may do `verb` on `kind`, by name. `asker` sees only themselves where they may not list the organization's users; without an asker
/// everybody is shown: whoever holds the snapshot asks for themselves.
pub fn who_can(snapshot: &Snapshot, place: &Place, verb: &Verb, kind: Kind, asker: Option<&str>) -> Vec<Who> {
    let snapshot = &without_cluster(snapshot);
    let mut found = Vec::new();
    for person in shown(snapshot, place, asker) {
        let answer = ask(snapshot, place, &person, verb, kind);
        if answer.outcome != Outcome::Denied {
            found.push(Who { person, outcome: answer.outcome, by: answer.by });
        }
    }
    found
}

/// What `person` may do, in the order of kinds and verbs; nothing where the asker may not know.
pub fn what_can(snapshot: &Snapshot, place: &Place, person: &str, asker: Option<&str>) -> Vec<What> {
    let snapshot = &without_cluster(snapshot);
    if !shown(snapshot, place, asker).iter().any(|known| &**known == person) {
        return Vec::new();
    }
    let mut found = Vec::new();
    for kind in Kind::ALL {
        for verb in Verb::ALL {
            let answer = ask(snapshot, place, person, verb, *kind);
            if answer.outcome != Outcome::Denied {
                found.push(What { verb: verb.clone(), kind: *kind, outcome: answer.outcome, by: answer.by });
            }
        }
    }
    found
}

/// What would be answered otherwise if the resource of that key went: to whom the asker may see, about every verb and kind in that place, and about a start of
/// each stack. Where the resource is a grant, stacks are started in each repository, ref, environment and trigger source that it lists, of a pattern in one that it fits.
pub fn if_gone(snapshot: &Snapshot, place: &Place, key: &Key, asker: Option<&str>) -> Vec<Change> {
    let before = &without_cluster(snapshot);
    let after = &before.without(before.version(), key);
    let starts = starts(before, place, key);
    let mut found = Vec::new();
    for person in shown(before, place, asker) {
        let mut look = |place: &Place, verb: &Verb, kind: Kind| {
            let was = ask(before, place, &person, verb, kind).outcome;
            let is = ask(after, place, &person, verb, kind).outcome;
            if was != is {
                found.push(Change {
                    person: person.clone(),
                    verb: verb.clone(),
                    kind,
                    stack: place.stack.clone(),
                    repository: place.repository.clone(),
                    git_ref: place.git_ref.clone(),
                    environment: place.environment.clone(),
                    trigger_source: place.trigger_source.clone(),
                    before: was,
                    after: is,
                });
            }
        };
        for kind in Kind::ALL {
            Verb::ALL.iter().for_each(|verb| look(place, verb, *kind));
        }
        starts.iter().for_each(|start| look(start, &Verb::Dispatch, Kind::AgentStack));
    }
    found
}

/// Most places that the starts of a stack are asked about.
const MAX_PLACES: usize = 64;

/// Where starts of the organization's stacks may hang on that resource.
fn starts(snapshot: &Snapshot, place: &Place, key: &Key) -> Vec<Place> {
    let Some(namespace) = snapshot.namespace_of(&place.organization) else { return Vec::new() };
    let places = match snapshot.item(key.kind, &key.namespace, &key.name) {
        Some(Item::AgentSecretGrant(grant)) => {
            let spec = &grant.spec;
            let names = [&spec.allowed_repositories, &spec.allowed_environments, &spec.allowed_trigger_sources];
            each(place, names, spec.allowed_refs.as_ref())
        }
        Some(Item::AgentConfigGrant(grant)) => {
            let spec = &grant.spec;
            let names = [&spec.allowed_repositories, &spec.allowed_environments, &spec.allowed_trigger_sources];
            each(place, names, spec.allowed_refs.as_ref())
        }
        _ => vec![place.clone()],
    };
    let stacks: BTreeSet<&Key> = snapshot
        .all()
        .map(|(at, _)| at)
        .filter(|at| at.kind == Kind::AgentStack && *at.namespace == *namespace)
        .collect();
    let through = |stack: &Key| {
        let stack = stack.name.clone();
        places.iter().map(move |place| Place { stack: Some(stack.clone()), ..place.clone() })
    };
    stacks.into_iter().flat_map(through).collect()
}

/// One place for each choice of what a grant lists: repositories, environments, trigger sources and refs. What the question itself says of the place stays.
fn each(place: &Place, names: [&BTreeSet<String>; 3], refs: Option<&RefFilter>) -> Vec<Place> {
    // A grant without a list fits only what has none; a start has a trigger source always.
    let choices = |asked: &Option<Box<str>>, listed: Vec<Box<str>>| -> Vec<Option<Box<str>>> {
        match asked {
            Some(asked) => vec![Some(asked.clone())],
            None if listed.is_empty() => vec![None],
            None => listed.into_iter().map(Some).collect(),
        }
    };
    let [repositories, environments, sources] =
        names.map(|list| list.iter().map(|name| name.as_str().into()).collect::<Vec<Box<str>>>());
    let mut all = Vec::new();
    let (refs, sources) = (choices(&place.git_ref, examples(refs)), choices(&place.trigger_source, sources));
    let environments = choices(&place.environment, environments);
    for repository in choices(&place.repository, repositories) {
        for git_ref in &refs {
            for environment in &environments {
                for trigger_source in &sources {
                    // Lists of 256 each would be more places than anybody waits for.
                    if all.len() >= MAX_PLACES {
                        return all;
                    }
                    all.push(Place {
                        repository: repository.clone(),
                        git_ref: git_ref.clone(),
                        environment: environment.clone(),
                        trigger_source: trigger_source.clone(),
                        ..place.clone()
                    });
                }
            }
        }
    }
    all
}

/// Refs that a filter includes, one for each of its patterns.
fn examples(refs: Option<&RefFilter>) -> Vec<Box<str>> {
    let Some(RefFilter { include, exclude }) = refs else { return Vec::new() };
    let Ok(filter) = Filter::new(Some(include), exclude, Domain::Ref) else { return Vec::new() };
    let fits = |text: &String| matches!(filter.select(text), Selection::Included(_));
    include.iter().map(|pattern| example(pattern)).filter(fits).map(Into::into).collect()
}

/// A text that a pattern fits, where it holds no escapes: `x` for what is left open, the first of alternatives.
fn example(pattern: &str) -> String {
    let mut text = String::new();
    let mut of_first = true;
    for part in pattern.split_inclusive(['{', ',', '}']) {
        let (plain, end) = part.split_at(part.len().saturating_sub(1));
        let (plain, end) = if part.ends_with(['{', ',', '}']) { (plain, end) } else { (part, "") };
        if of_first {
            text.push_str(&plain.replace("**", "x").replace(['*', '?'], "x"));
        }
        of_first = end != ",";
    }
    text
}

/// Kubernetes is asked when somebody acts, not when somebody wonders.
fn without_cluster(snapshot: &Snapshot) -> Snapshot {
    snapshot.clone().with_native(false)
}

/// The persons that the asker may know of, by name.
fn shown(snapshot: &Snapshot, place: &Place, asker: Option<&str>) -> Vec<Box<str>> {
    let Some(namespace) = snapshot.namespace_of(&place.organization) else { return Vec::new() };
    let all = snapshot.users(namespace);
    match asker {
        None => all.collect(),
        Some(asker) if ask(snapshot, place, asker, &Verb::List, Kind::User).outcome == Outcome::Allowed => {
            all.collect()
        }
        Some(asker) => all.filter(|person| &**person == asker).collect(),
    }
}

struct Answer {
    outcome: Outcome,
    by: Option<Arc<str>>,
}

fn ask(snapshot: &Snapshot, place: &Place, person: &str, verb: &Verb, kind: Kind) -> Answer {
    let decision = review(&request(snapshot, place, person, verb, kind), snapshot);
    Answer { outcome: decision.outcome, by: decision.by }
}

fn link(subject: &Subject, by: Option<LinkBy>) -> Link {
    let Subject { kind, name, uid } = subject.clone();
    Link { kind, name, uid, account: None, by }
}

/// The request of a person who acts by hand, for themselves, or of the stack of that place for them.
pub fn request(snapshot: &Snapshot, place: &Place, person: &str, verb: &Verb, kind: Kind) -> Request {
    let namespace = snapshot.namespace_of(&place.organization).unwrap_or_default();
    let uid = snapshot.user(namespace, person).and_then(|user| user.object.metadata.uid.as_deref()).unwrap_or("none");
    let repository = place.repository.as_ref().map(|name| snapshot.named_repository(namespace, name));
    // Who has no account anywhere is known by krate's own sign-in, and trusted as nobody's account is.
    let account = snapshot.account_of(namespace, person);
    let (provider, id) = account.unwrap_or_else(|| ("krate".into(), uid.into()));
    let gate = CauseActor {
        role: SteeringRole::Author,
        account: Some(AccountRef { provider, id }),
        association: None,
        permission: None,
    };
    let cause = CauseEvent {
        event: "manual".into(),
        source: None,
        at: place.now,
        verified: true,
        gate,
        steering: Vec::new(),
        rule: None,
        object: None,
        run: None,
        head: None,
        base: None,
    };
    let mut subject = Subject { kind: SubjectKind::User, name: person.into(), uid: uid.into() };
    let mut actor_chain = vec![link(&subject, None)];
    let agent_stack = place.stack.as_ref().map(|name| {
        let found = snapshot.item(Kind::AgentStack, namespace, name).and_then(Item::uid);
        Named { name: name.clone(), uid: found.unwrap_or("none").into(), snapshot_digest: None }
    });
    let starts =
        *verb == Verb::Dispatch && matches!(kind, Kind::AgentStack | Kind::AgentDispatchRun | Kind::AgentTriggerEvent);
    if let Some(stack) = agent_stack.as_ref().filter(|_| !starts) {
        subject = Subject { kind: SubjectKind::AgentStack, name: stack.name.clone(), uid: stack.uid.clone() };
        actor_chain.insert(0, link(&subject, Some(LinkBy::Token)));
    }
    Request {
        organization: place.organization.clone(),
        subject,
        now: place.now,
        snapshot_version: None,
        actor_chain,
        cause_chain: vec![cause],
        action: Action {
            verb: verb.clone(),
            kind: kind.as_str().into(),
            subresource: None,
            operation: None,
            fields: Vec::new(),
        },
        object: place.object.clone(),
        repository,
        git_ref: place.git_ref.clone(),
        path: None,
        environment: place.environment.clone(),
        trigger_source: Some(place.trigger_source.clone().unwrap_or_else(|| "manual".into())),
        task_kind: None,
        agent_stack,
        runner_pool: None,
        needs: Vec::new(),
        payload_digest: None,
        preconditions: serde_json::Map::new(),
        credential: None,
        bundle_digest: None,
        run: None,
        approvals: Vec::new(),
        native: Vec::new(),
        usage: None,
    }
}
