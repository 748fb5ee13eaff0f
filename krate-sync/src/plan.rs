//! From a wanted change to write intents. Spec: external-sync.md sections 2 and 8, S32, S33, S36, S38, S39.
//!
//! [`plan`] looks at one object and makes the intents that its state asks for: what differs from the base, isn't in conflict, and isn't on its way
//! already. It is idempotent: planning twice makes nothing new, and what was not sent yet is replaced when the wish changed.

use std::collections::BTreeMap;

use krate_model::kinds::external::{
    BodyText, Changes as FieldChanges, ExternalWriteIntent, ExternalWriteIntentPhase, ExternalWriteIntentSpec,
    IntentApprovalPolicy, IntentSource, IntentSourceKind, Labels, NewIssue, Payload,
};
use krate_model::kinds::policy::{
    AgentApproval, AgentApprovalPhase, AgentApprovalSpec, ApprovalAction, ApprovalClass, ApprovalSubject,
    ApprovalSubjectKind,
};
use krate_model::kinds::sets::{ActorKind, Interface, Mode, Operation};
use krate_model::kinds::shared::{Actor, NativeTarget, ObjectRef, Time};
use krate_model::kinds::work::IssueState;
use krate_model::{Kind, NotCanonical, Resource, named_by_digest};

use crate::key::{KeyError, KeyInput, RequestInput, request_digest};
use crate::local::{Local, spec_fields};
use crate::machines::{Ctx, Policy, Refused, intent};
use crate::merge::{Base, FieldOutcome, FieldRule, FieldValue, merge_field};
use crate::moves;
use crate::object::ObjectState;
use crate::records::Loaded;
use crate::scope::Scope;

/// Why a change can't be carried to the provider. The change is refused whole (S6, S38, R19).
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// The mode doesn't let local changes out.
    #[error("{path}: the binding's mode is {mode}; local changes of it are refused")]
    ReadOnly {
        /// The field.
        path: String,
        /// The mode.
        mode: Mode,
    },
    /// No operation of the provider carries the field (S6).
    #[error("{path}: {provider} has no operation that writes it")]
    Unrepresentable {
        /// The field.
        path: String,
        /// The provider.
        provider: String,
    },
    /// The native object was deleted: there is nothing to write to (S18).
    #[error("{path}: the object was deleted at {provider}; changes of it have nowhere to go (S18)")]
    Deleted {
        /// The first field of the change.
        path: String,
        /// The provider.
        provider: String,
    },
    /// What the new object is about was deleted at the provider (S18).
    #[error("spec.subject: {name} was deleted at its provider; nothing can be said about it there any more (S18)")]
    SubjectDeleted {
        /// The subject.
        name: String,
    },
    /// The policy forbids the operation.
    #[error("{operation}: the sync policy doesn't allow it (spec.writePolicy)")]
    Denied {
        /// The operation.
        operation: Operation,
    },
    /// The text holds something that looks like a credential (S38).
    #[error("{path}: holds something shaped like a credential; secrets go by reference")]
    Secret {
        /// The field.
        path: String,
    },
    /// What the object is about isn't at the provider yet.
    #[error("spec.subject: {name} isn't at the provider yet; write it first")]
    NoSubject {
        /// The subject.
        name: String,
    },
    /// A request has no exact digest.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A value has no canonical JSON.
    #[error(transparent)]
    NotCanonical(#[from] NotCanonical),
    /// A machine refused a transition.
    #[error(transparent)]
    Refused(#[from] Refused),
}

/// Who wants a change, and when.
#[derive(Debug, Clone)]
pub struct Wish {
    /// Who.
    pub actor: Actor,
    /// In which role.
    pub kind: IntentSourceKind,
    /// What made it want it.
    pub cause: Option<ObjectRef>,
    /// Whether a person has to approve in any case (a resolution by `reviewedWrite`).
    pub review: bool,
    /// When.
    pub now: Time,
}

impl Wish {
    /// A wish of krate's own: drift, or what a merge left to write.
    pub fn reconcile(now: Time) -> Self {
        Self { actor: crate::object::controller(), kind: IntentSourceKind::Reconcile, cause: None, review: false, now }
    }

    /// A person's or an agent's wish.
    pub fn of(actor: Actor, now: Time) -> Self {
        let kind =
            if actor.kind == ActorKind::Agent { IntentSourceKind::AgentAction } else { IntentSourceKind::UserAction };
        Self { actor, kind, cause: None, review: false, now }
    }
}

/// Makes the intents that the object's state asks for; what they are stays in `state`.
///
/// # Errors
/// [`PlanError`] when a change can't be carried; `state` must be dropped then.
pub fn plan(state: &mut ObjectState, scope: &Scope, wish: &Wish) -> Result<(), PlanError> {
    let Some(interface) = state.interface() else { return Ok(()) };
    let deleted = is_deleted(state);
    if deleted && wish.kind == IntentSourceKind::Reconcile {
        return Ok(());
    }
    let (wanted, approve) = wanted(state, scope, &interface, wish)?;
    if let (true, Some(field)) = (deleted, wanted.first()) {
        return Err(PlanError::Deleted { path: field.rule.path.to_string(), provider: scope.provider().to_owned() });
    }
    let payloads = payloads(state, scope, &wanted)?;
    place(state, scope, wish, &interface, payloads, approve)
}

/// Whether the provider's side of the object is gone (S18).
pub(crate) fn is_deleted(state: &ObjectState) -> bool {
    let status = state.link.as_ref().and_then(|link| link.object.status.as_ref());
    status.is_some_and(|status| status.tombstone.is_some())
}

/// Makes the intent that creates the object at the provider.
///
/// # Errors
/// As [`plan`].
pub fn plan_create(
    state: &mut ObjectState,
    scope: &Scope,
    wish: &Wish,
    subject: Option<&NativeTarget>,
) -> Result<(), PlanError> {
    let Some(local) = &state.local else { return Ok(()) };
    let (interface, payload, target) = match &local.object {
        Local::Issue(issue) => {
            let spec = &issue.spec;
            unwritten(local, &["spec.title", "spec.body.markdown", "spec.labels"], scope)?;
            let payload = Payload::CreateIssue(NewIssue {
                title: spec.title.clone(),
                body: spec.body.as_ref().map(|body| body.markdown.clone()),
                labels: spec.labels.iter().cloned().collect(),
                ..NewIssue::default()
            });
            (Interface::IssueTracking, payload, native_target(scope, "issue", None, None))
        }
        Local::Comment(comment) => {
            let Some(subject) = subject else {
                return Err(PlanError::NoSubject { name: comment.spec.subject.name.clone() });
            };
            let interface = if comment.spec.subject.kind == Kind::PullRequest.as_str() {
                Interface::GitForge
            } else {
                Interface::IssueTracking
            };
            let payload = Payload::CreateComment(BodyText { body: comment.spec.body.markdown.clone() });
            let target = native_target(scope, &subject.native_kind, None, subject.native_number);
            (interface, payload, target)
        }
        other => {
            return Err(PlanError::Unrepresentable {
                path: other.kind().as_str().to_owned(),
                provider: scope.provider().to_owned(),
            });
        }
    };
    let mode = scope.mode(&interface, local.object.kind(), "").unwrap_or(Mode::ReadOnly);
    if !mode.writes() {
        return Err(PlanError::ReadOnly { path: "metadata.name".to_owned(), mode });
    }
    let approve = needs_approval(&mode, wish);
    place(state, scope, wish, &interface, vec![(payload, target)], approve)
}

/// Refuses a new object with fields that its create can't carry.
fn unwritten(local: &Loaded<Local>, carried: &[&str], scope: &Scope) -> Result<(), PlanError> {
    let defaults =
        [FieldValue::Absent, FieldValue::Bool(false), FieldValue::text("open"), FieldValue::List(Vec::new())];
    for field in spec_fields(local.object.kind()) {
        if !carried.contains(&field.path) && !defaults.contains(&local.object.get(field.path)) {
            return Err(PlanError::Unrepresentable {
                path: field.path.to_owned(),
                provider: scope.provider().to_owned(),
            });
        }
    }
    Ok(())
}

/// A field with what it is to become, and what it was.
struct Wanted {
    rule: FieldRule<'static>,
    desired: FieldValue<'static>,
    before: FieldValue<'static>,
}

/// The fields that differ from what the provider is known, or about, to have; and whether one of them waits for a person.
fn wanted(
    state: &ObjectState,
    scope: &Scope,
    interface: &Interface,
    wish: &Wish,
) -> Result<(Vec<Wanted>, bool), PlanError> {
    let Some(local) = &state.local else { return Ok((Vec::new(), false)) };
    let mut wanted = Vec::new();
    let mut approve = false;
    for rule in scope.rules(interface, local.object.kind()) {
        let desired = local.object.get(&rule.path);
        let in_flight = state
            .intents
            .iter()
            .rev()
            .filter(|intent| is_to_come(&intent.object))
            .find_map(|intent| payload_value(&intent.object.spec.payload, &rule.path));
        let on_the_way = match in_flight {
            None if rule.path == "spec.labels" => labels_on_the_way(state, &rule),
            known => known,
        };
        let base = match &on_the_way {
            Some(value) => Base::Value(value.borrowed()),
            None => state.base(&rule.path),
        };
        let known_before = match &base {
            Base::Value(value) => value.clone().into_owned(),
            Base::Canonical(text) => serde_json::from_str(text).map_or(FieldValue::Absent, FieldValue::from_owned),
            Base::Unknown | Base::Absent | Base::Digest(_) => FieldValue::Absent,
        };
        // What the provider never told and nobody set here is no wish.
        let untouched = matches!(base, Base::Unknown) && (desired.is_empty() || desired == FieldValue::Bool(false));
        if untouched
            || merge_field(&rule, &base, &desired, &desired) == FieldOutcome::InSync
            || state.open_conflict(&rule.path).is_some()
        {
            continue;
        }
        if !rule.mode.writes() {
            if wish.kind == IntentSourceKind::Reconcile {
                continue;
            }
            return Err(PlanError::ReadOnly { path: rule.path.to_string(), mode: rule.mode.clone() });
        }
        approve |= needs_approval(&rule.mode, wish);
        let desired = desired.into_owned();
        wanted.push(Wanted { rule, desired, before: known_before });
    }
    Ok((wanted, approve))
}

/// The labels as they will be once what is on its way has arrived; nothing where no label is.
fn labels_on_the_way(state: &ObjectState, rule: &FieldRule<'_>) -> Option<FieldValue<'static>> {
    let same = |one: &str, other: &str| same_label(rule, one, other);
    let mut labels = known_base(state, &rule.path).map_or_else(Vec::new, |base| texts(&base));
    let mut any = false;
    for intent in state.intents.iter().filter(|intent| is_to_come(&intent.object)) {
        match &intent.object.spec.payload {
            Payload::AddLabels(added) => {
                any = true;
                labels.retain(|label: &String| !added.labels.iter().any(|new| same(new, label)));
                labels.extend(added.labels.iter().cloned());
            }
            Payload::RemoveLabels(removed) => {
                any = true;
                labels.retain(|label| !removed.labels.iter().any(|old| same(old, label)));
            }
            _ => {}
        }
    }
    any.then(|| FieldValue::List(labels.into_iter().map(Into::into).collect()))
}

/// The value of a base that was kept whole.
fn known_base(state: &ObjectState, path: &str) -> Option<FieldValue<'static>> {
    match state.base(path) {
        Base::Value(value) => Some(value.into_owned()),
        Base::Canonical(text) => Some(serde_json::from_str(text).map_or(FieldValue::Absent, FieldValue::from_owned)),
        Base::Absent => Some(FieldValue::Absent),
        Base::Unknown | Base::Digest(_) => None,
    }
}

fn same_label(rule: &FieldRule<'_>, one: &str, other: &str) -> bool {
    one == other || (rule.equality == crate::merge::Equality::AsciiCaseInsensitive && one.eq_ignore_ascii_case(other))
}

fn texts(value: &FieldValue<'_>) -> Vec<String> {
    match value {
        FieldValue::List(list) => list.iter().map(ToString::to_string).collect(),
        _ => Vec::new(),
    }
}

/// The base with what `theirs` shows of krate's own writes that nobody has seen yet; `None` where it shows none. An echo is no change of the
/// other side: what was edited here since then is a wish on top of it, and nobody's edit meets it (S20).
pub(crate) fn echoed(
    state: &ObjectState,
    rule: &FieldRule<'_>,
    desired: &FieldValue<'_>,
    theirs: &FieldValue<'_>,
) -> Option<FieldValue<'static>> {
    let to_come =
        state.intents.iter().filter(|intent| is_to_come(&intent.object)).map(|intent| &intent.object.spec.payload);
    if rule.path != "spec.labels" {
        // The provider may have added a reason to a state: only a wish for another state makes that an echo and no news.
        let shows = |wrote: &FieldValue<'_>| {
            wrote == theirs || (is_state_shown(&rule.path, theirs, wrote) && state_word(desired) != state_word(wrote))
        };
        let shown = to_come.filter_map(|payload| payload_value(payload, &rule.path)).any(|wrote| shows(&wrote));
        return shown.then(|| theirs.clone().into_owned());
    }
    let (mut labels, seen) = (texts(&known_base(state, &rule.path)?), texts(theirs));
    let holds = |list: &[String], label: &str| list.iter().any(|held| same_label(rule, held, label));
    let mut any = false;
    for payload in to_come {
        match payload {
            Payload::AddLabels(added) => {
                let new = added.labels.iter().filter(|label| holds(&seen, label) && !holds(&labels, label));
                let new: Vec<String> = new.cloned().collect();
                any |= !new.is_empty();
                labels.extend(new);
            }
            Payload::RemoveLabels(removed) => {
                let before = labels.len();
                labels.retain(|label| holds(&seen, label) || !holds(&removed.labels, label));
                any |= labels.len() != before;
            }
            _ => {}
        }
    }
    any.then(|| FieldValue::List(labels.into_iter().map(Into::into).collect()))
}

/// How a write stands to what is wished for and known now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is wished for, and isn't known to be there.
    Wished,
    /// The provider is known to have it already.
    There,
    /// Something else is wished for since.
    Gone,
}

/// How the change that `payload` makes to the object stands. What makes something new always stands.
pub(crate) fn standing(state: &ObjectState, payload: &Payload) -> Standing {
    let Some(local) = &state.local else { return Standing::Wished };
    if !WRITTEN_FIELDS.iter().any(|path| carries(payload, path)) {
        return Standing::Wished;
    }
    let desired: Vec<_> = WRITTEN_FIELDS.iter().map(|path| (*path, local.object.get(path))).collect();
    if !is_shown(payload, &desired) {
        return Standing::Gone;
    }
    let known: Vec<_> =
        WRITTEN_FIELDS.iter().filter_map(|path| known_base(state, path).map(|value| (*path, value))).collect();
    if is_shown(payload, &known) { Standing::There } else { Standing::Wished }
}

/// Section 2: which modes let a person look first, whoever asked.
fn needs_approval(mode: &Mode, wish: &Wish) -> bool {
    wish.review || matches!(mode, Mode::ExternalOwned | Mode::ReviewedWrite)
}

fn is_on_its_way(intent: &ExternalWriteIntent) -> bool {
    matches!(
        intent.status.as_ref().map(|status| &status.phase),
        Some(
            ExternalWriteIntentPhase::Sending
                | ExternalWriteIntentPhase::Retrying
                | ExternalWriteIntentPhase::AwaitingConfirmation
        )
    )
}

/// Whether the effect of the intent may come yet: it is on its way, and nobody has seen it. Once it was seen, the base tells what came of it.
fn is_to_come(intent: &ExternalWriteIntent) -> bool {
    is_on_its_way(intent) && intent.status.as_ref().is_some_and(|status| status.confirmation.is_none())
}

fn is_unsent(intent: &ExternalWriteIntent) -> bool {
    matches!(
        intent.status.as_ref().map(|status| &status.phase),
        Some(ExternalWriteIntentPhase::PendingApproval | ExternalWriteIntentPhase::ReadyToSend)
    )
}

fn native_target(scope: &Scope, kind: &str, id: Option<&str>, number: Option<i64>) -> NativeTarget {
    NativeTarget {
        native_kind: kind.to_owned(),
        native_id: id.map(str::to_owned),
        native_number: number,
        container: scope.container(),
    }
}

/// Where a write to the linked object goes.
pub(crate) fn target_of(state: &ObjectState, scope: &Scope) -> Option<NativeTarget> {
    let link = state.link.as_ref()?;
    let identity = &link.object.spec.external;
    let number = link.object.status.as_ref().and_then(|status| status.external.as_ref()).and_then(|e| e.native_number);
    Some(native_target(scope, &identity.native_kind, Some(&identity.native_id), number))
}

/// The operations that carry the wanted fields.
fn payloads(state: &ObjectState, scope: &Scope, wanted: &[Wanted]) -> Result<Vec<(Payload, NativeTarget)>, PlanError> {
    let (Some(local), Some(target)) = (&state.local, target_of(state, scope)) else { return Ok(Vec::new()) };
    let unrepresentable =
        |path: &str| PlanError::Unrepresentable { path: path.to_owned(), provider: scope.provider().to_owned() };
    let mut changes = FieldChanges::default();
    let mut made = Vec::new();
    for field in wanted {
        let path = field.rule.path.as_ref();
        match (&local.object, path) {
            (Local::Issue(_) | Local::PullRequest(_), "spec.title") => {
                changes.title = Some(text(&field.desired));
            }
            (Local::Issue(_) | Local::PullRequest(_), "spec.body.markdown") => {
                changes.body = Some(text(&field.desired));
            }
            (Local::PullRequest(_), "spec.base") => changes.base = Some(text(&field.desired)),
            (Local::Issue(issue), "spec.state") => {
                changes.state = Some(issue.spec.state.clone());
                changes.state_reason.clone_from(&issue.spec.state_reason);
            }
            (Local::PullRequest(_), "spec.state") => {
                changes.state = Some(IssueState::from_text(&text(&field.desired)));
            }
            (Local::Issue(_) | Local::PullRequest(_), "spec.labels") => {
                labels(field, &mut made);
            }
            (Local::Comment(comment), "spec.body.markdown") => {
                let body = BodyText { body: text(&field.desired) };
                made.push(if comment.spec.position.is_some() {
                    Payload::UpdatePullRequestComment(body)
                } else {
                    Payload::UpdateComment(body)
                });
            }
            _ => return Err(unrepresentable(path)),
        }
    }
    if changes != FieldChanges::default() {
        let update = match &local.object {
            Local::PullRequest(_) => Payload::UpdatePullRequest(changes),
            _ => Payload::UpdateIssue(changes),
        };
        made.insert(0, update);
    }
    for payload in &made {
        if scope.operation(&payload.operation()).is_none() {
            let path = wanted.first().map_or("", |field| field.rule.path.as_ref());
            return Err(unrepresentable(path));
        }
    }
    Ok(made.into_iter().map(|payload| (payload, target.clone())).collect())
}

/// Labels go as what was added and removed, so that a label that somebody else adds meanwhile stays.
fn labels(field: &Wanted, made: &mut Vec<Payload>) {
    let (desired, before) = (texts(&field.desired), texts(&field.before));
    let same = |one: &str, other: &str| same_label(&field.rule, one, other);
    let added: Vec<String> =
        desired.iter().filter(|label| !before.iter().any(|known| same(known, label))).cloned().collect();
    if !added.is_empty() {
        made.push(Payload::AddLabels(Labels { labels: added }));
    }
    for label in before.iter().filter(|label| !desired.iter().any(|kept| same(kept, label))) {
        made.push(Payload::RemoveLabels(Labels { labels: vec![label.clone()] }));
    }
}

fn text(value: &FieldValue<'_>) -> String {
    match value {
        FieldValue::Text(text) => text.to_string(),
        _ => String::new(),
    }
}

/// The value that a payload gives to a field; nothing where it doesn't set it, or only a part of it.
pub(crate) fn payload_value(payload: &Payload, path: &str) -> Option<FieldValue<'static>> {
    let owned = |text: &Option<String>| {
        text.clone().map(|text| if text.is_empty() { FieldValue::Absent } else { FieldValue::Text(text.into()) })
    };
    match payload {
        Payload::UpdateIssue(changes) | Payload::UpdatePullRequest(changes) => match path {
            "spec.title" => owned(&changes.title),
            "spec.body.markdown" => owned(&changes.body),
            "spec.base" => owned(&changes.base),
            "spec.state" => changes
                .state
                .as_ref()
                .map(|state| crate::local::state_value(state.as_str(), changes.state_reason.as_ref())),
            _ => None,
        },
        Payload::UpdateComment(body) | Payload::UpdatePullRequestComment(body) if path == "spec.body.markdown" => {
            owned(&Some(body.body.clone()))
        }
        _ => None,
    }
}

/// Whether a payload writes a field, wholly or in part.
pub(crate) fn carries(payload: &Payload, path: &str) -> bool {
    let labels = matches!(payload, Payload::AddLabels(_) | Payload::RemoveLabels(_));
    (labels && path == "spec.labels") || payload_value(payload, path).is_some()
}

/// Whether two payloads write the same field.
pub(crate) fn share_a_field(one: &Payload, other: &Payload) -> bool {
    WRITTEN_FIELDS.iter().any(|path| carries(one, path) && carries(other, path))
}

/// The fields that payloads write.
const WRITTEN_FIELDS: [&str; 5] = ["spec.title", "spec.body.markdown", "spec.base", "spec.state", "spec.labels"];

/// Whether an observation with these fields shows what the payload wrote (S34, S35).
pub fn is_shown(payload: &Payload, fields: &[(&'static str, FieldValue<'_>)]) -> bool {
    let find = |path: &str| fields.iter().find(|(known, _)| *known == path).map(|(_, value)| value);
    let has_label = |label: &str| matches!(find("spec.labels"), Some(FieldValue::List(list)) if list.iter().any(|held| held.eq_ignore_ascii_case(label)));
    match payload {
        Payload::UpdateIssue(_)
        | Payload::UpdatePullRequest(_)
        | Payload::UpdateComment(_)
        | Payload::UpdatePullRequestComment(_) => {
            ["spec.title", "spec.body.markdown", "spec.base", "spec.state"].iter().all(|path| {
                payload_value(payload, path).is_none_or(|wrote| match find(path) {
                    Some(observed) => *observed == wrote || is_state_shown(path, observed, &wrote),
                    None => wrote == FieldValue::Absent,
                })
            })
        }
        Payload::CloseIssue(_) => {
            find("spec.state").is_some_and(|state| state_word(state).as_deref() == Some("closed"))
        }
        Payload::AddLabels(labels) => labels.labels.iter().all(|label| has_label(label)),
        Payload::RemoveLabels(labels) => {
            find("spec.labels").is_some() && !labels.labels.iter().any(|label| has_label(label))
        }
        // Creates are found by their marker, not by their fields.
        _ => false,
    }
}

/// A provider may add a reason of its own to a state.
fn is_state_shown(path: &str, observed: &FieldValue<'_>, wrote: &FieldValue<'_>) -> bool {
    path == "spec.state" && matches!(wrote, FieldValue::Text(_)) && state_word(observed) == state_word(wrote)
}

fn state_word(value: &FieldValue<'_>) -> Option<String> {
    match value {
        FieldValue::Text(text) => Some(text.to_string()),
        FieldValue::Json(json) => json.get("state").and_then(|state| state.as_str()).map(str::to_owned),
        _ => None,
    }
}

/// Puts the intents for `payloads` in place of those that weren't sent yet.
fn place(
    state: &mut ObjectState,
    scope: &Scope,
    wish: &Wish,
    interface: &Interface,
    payloads: Vec<(Payload, NativeTarget)>,
    approve: bool,
) -> Result<(), PlanError> {
    let Some(local) = &state.local else { return Ok(()) };
    let target_ref = local.object.to_ref();
    let generation = local.object.generation().max(1);
    let mut kept: Vec<String> = Vec::new();
    let mut fresh: Vec<Loaded<ExternalWriteIntent>> = Vec::new();
    // S36: what is on its way comes first, each of it: one that stands in between may still be taken back.
    let on_the_way: Vec<String> = state
        .intents
        .iter()
        .filter(|intent| is_on_its_way(&intent.object))
        .map(|intent| intent.object.name().to_owned())
        .collect();
    let mut previous: Option<String> = None;
    for (payload, target) in payloads {
        let operation = payload.operation();
        let policy = &scope.policy.write_policy;
        let allowed = policy.allowed_operations.is_empty() || policy.allowed_operations.contains(&operation);
        if policy.denied_operations.contains(&operation) || !allowed {
            return Err(PlanError::Denied { operation });
        }
        if let Some(path) = secret_in(&payload) {
            return Err(PlanError::Secret { path: path.to_owned() });
        }
        // The same wish that still waits is the same intent: nobody is asked twice.
        if let Some(waiting) = state.intents.iter().find(|intent| {
            is_unsent(&intent.object)
                && intent.object.spec.payload == payload
                && intent.object.spec.native_target == target
        }) {
            let name = waiting.object.name().to_owned();
            previous = Some(name.clone());
            kept.push(name);
            continue;
        }
        let interface = operation.interface().filter(|own| scope.interface(own).is_some()).unwrap_or(interface.clone());
        let key = KeyInput {
            organization: scope.organization(),
            provider: scope.provider(),
            binding: scope.binding_name(),
            interface: &interface,
            operation: &operation,
            native_target: &target,
            payload: &payload,
            desired_generation: generation,
        };
        let mut idempotency_key = key.key()?;
        if target.native_id.is_none() {
            // Two objects that look alike are two creates: the key of a create holds the name of the local object through its cause.
            idempotency_key = krate_model::canonical_digest(&(idempotency_key, &target_ref))?;
        }
        let mode = Some(&scope.backend.object.spec.auth_ref.mode);
        let digest =
            request_digest(&RequestInput { key, precondition: None, credential_mode: mode, credential_account: None })?;
        let agent = wish.actor.kind == ActorKind::Agent;
        let trusted = agent
            && policy
                .trusted_agents
                .iter()
                .any(|entry| entry.agent == wish.actor.name && entry.operations.contains(&operation));
        // S39: an agent's write is a person's to approve unless the policy trusts that agent for that operation by name.
        let required = approve || (agent && policy.agent_write_requires_approval && !trusted);
        let name = named_by_digest(&format!("wi-{operation}"), &idempotency_key);
        if let Some(same) = state.intents.iter().find(|intent| intent.object.name() == name) {
            previous = Some(same.object.name().to_owned());
            kept.push(name);
            continue;
        }
        let spec = ExternalWriteIntentSpec {
            organization_ref: scope.organization().to_owned(),
            provider_ref: scope.provider().to_owned(),
            binding_ref: scope.binding_name().to_owned(),
            interface: interface.clone(),
            operation: operation.clone(),
            source: IntentSource { kind: wish.kind.clone(), actor: wish.actor.clone(), cause: wish.cause.clone() },
            target: target_ref.clone(),
            native_target: target,
            payload,
            precondition: None,
            desired_generation: generation,
            credential: None,
            request_digest: digest,
            idempotency_key,
            approval_policy: IntentApprovalPolicy {
                required,
                rules: policy.approvals.clone(),
                reason: required.then(|| reason(agent, wish).to_owned()),
            },
            depends_on: on_the_way.iter().cloned().chain(previous.take()).collect(),
            artifact_ref: None,
            cancel: None,
        };
        let mut intent = Loaded::new(ExternalWriteIntent::at(scope.namespace(), name.as_str(), spec));
        let policy = Policy::of(&scope.policy);
        let ctx = Ctx { now: wish.now, actor: &wish.actor, policy: &policy, seed: 0 };
        let step = intent::admit(&intent.object, &ctx);
        state.audit.extend(moves::take(&mut intent, step));
        if required {
            state.approvals.push(approval(scope, &intent.object, wish, name.clone()));
        }
        previous = Some(name);
        fresh.push(intent);
    }
    for intent in &mut state.intents {
        if is_unsent(&intent.object) && !kept.iter().any(|name| name == intent.object.name()) {
            state.audit.extend(moves::cancel_intent(intent, "a newer wish takes its place", wish.now)?);
        }
    }
    state.intents.extend(fresh);
    Ok(())
}

fn reason(agent: bool, wish: &Wish) -> &'static str {
    match (agent, wish.review) {
        (true, _) => "an agent asks for it",
        (false, true) => "the conflict is resolved by a reviewed write",
        (false, false) => "the binding's mode lets a person look first",
    }
}

/// The question that a person answers. It holds the digest of the request, and no other request can use the answer (S32): a request that takes the place
/// of another in the same intent is another question.
pub(crate) fn approval(
    scope: &Scope,
    intent: &ExternalWriteIntent,
    wish: &Wish,
    name: String,
) -> Loaded<AgentApproval> {
    let spec = AgentApprovalSpec {
        organization_ref: scope.organization().to_owned(),
        subject: ApprovalSubject { kind: ApprovalSubjectKind::WriteIntent, name: intent.name().to_owned() },
        class: ApprovalClass::WriteBack,
        action: ApprovalAction {
            summary: format!("{} on {} {}", intent.spec.operation, intent.spec.target.kind, intent.spec.target.name),
            target: Some(intent.spec.target.clone()),
        },
        requested_by: wish.actor.clone(),
        digest: intent.spec.request_digest,
        // Both end at once: the intent says until when an answer may come.
        expires_at: intent.status.as_ref().and_then(|status| status.not_before).unwrap_or(wish.now),
        policy: None,
        policy_reasons: intent.spec.approval_policy.reason.iter().cloned().collect(),
        artifact_refs: Vec::new(),
        decide: None,
        withdraw: None,
    };
    let mut approval = AgentApproval::at(scope.namespace(), name, spec);
    // Said from the start: who looks for what is pending finds it.
    approval.status_mut().phase = AgentApprovalPhase::Pending;
    Loaded::new(approval)
}

/// The field of a payload that holds something shaped like a credential (S38).
fn secret_in(payload: &Payload) -> Option<&'static str> {
    let fields: BTreeMap<&'static str, Option<&str>> = match payload {
        Payload::CreateIssue(new) => {
            [("payload.title", Some(new.title.as_str())), ("payload.body", new.body.as_deref())].into()
        }
        Payload::UpdateIssue(changes) | Payload::UpdatePullRequest(changes) => {
            [("payload.title", changes.title.as_deref()), ("payload.body", changes.body.as_deref())].into()
        }
        Payload::CreateComment(body) | Payload::UpdateComment(body) | Payload::UpdatePullRequestComment(body) => {
            [("payload.body", Some(body.body.as_str()))].into()
        }
        _ => BTreeMap::new(),
    };
    fields
        .into_iter()
        .find(|(_, text)| text.and_then(krate_model::validate::credential_in).is_some())
        .map(|(path, _)| path)
}
