//! Who can do a thing, what somebody can do, and what would change if a resource went (P47). Each answer is [`review`]'s own, for a person who acts for
//! themselves by hand: there is nothing that could disagree with it.

use std::sync::Arc;

use krate_model::Kind;
use krate_model::kinds::shared::Time;
use serde::Serialize;

use crate::decision::Outcome;
use crate::request::{
    AccountRef, Action, CauseActor, CauseEvent, Link, Request, SteeringRole, Subject, SubjectKind, Target, Verb,
};
use crate::review::review;
use crate::snapshot::{Key, Snapshot};

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

/// What would be answered otherwise if the resource of that key went: to whom the asker may see, about every verb and kind.
pub fn if_gone(snapshot: &Snapshot, place: &Place, key: &Key, asker: Option<&str>) -> Vec<Change> {
    let before = &without_cluster(snapshot);
    let after = &before.without(before.version(), key);
    let mut found = Vec::new();
    for person in shown(before, place, asker) {
        for kind in Kind::ALL {
            for verb in Verb::ALL {
                let was = ask(before, place, &person, verb, *kind).outcome;
                let is = ask(after, place, &person, verb, *kind).outcome;
                if was != is {
                    found.push(Change {
                        person: person.clone(),
                        verb: verb.clone(),
                        kind: *kind,
                        before: was,
                        after: is,
                    });
                }
            }
        }
    }
    found
}

/// Kubernetes is asked when somebody acts, not when somebody wonders.
fn without_cluster(snapshot: &Snapshot) -> Snapshot {
    snapshot.clone().with_native(false)
}

/// The persons that the asker may know of, by name.
fn shown(snapshot: &Snapshot, place: &Place, asker: Option<&str>) -> Vec<Box<str>> {
    let Some(namespace) = snapshot.organizations.get(&place.organization) else { return Vec::new() };
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

/// The request of a person who acts by hand, for themselves.
pub fn request(snapshot: &Snapshot, place: &Place, person: &str, verb: &Verb, kind: Kind) -> Request {
    let namespace = snapshot.organizations.get(&place.organization).map_or("", |namespace| &**namespace);
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
    Request {
        organization: place.organization.clone(),
        subject: Subject { kind: SubjectKind::User, name: person.into(), uid: uid.into() },
        now: place.now,
        snapshot_version: None,
        actor_chain: vec![Link {
            kind: SubjectKind::User,
            name: person.into(),
            uid: uid.into(),
            account: None,
            by: None,
        }],
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
        trigger_source: Some("manual".into()),
        task_kind: None,
        agent_stack: None,
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
