//! From a wanted change to write intents. Spec: external-sync.md sections 2 and 8, S32, S33, S36, S38, S39.
//!
//! [`plan`] looks at one object and makes the intents that its state asks for: what differs from the base, isn't in conflict, and isn't on its way
//! already. It is idempotent: planning twice makes nothing new, and what was not sent yet is replaced when the wish changed.

mod conflicts;
mod on_the_way;
mod payload;
mod place;
mod removal;

use krate_model::key::KeyError;
use krate_model::kinds::external::{
    BodyText, Changes as FieldChanges, ExternalWriteIntent, ExternalWriteIntentPhase, ExternalWriteIntentSpec,
    IntentSourceKind, IntentWarning, Labels, LossyWrites, NewIssue, Payload, WarningCode,
};
use krate_model::kinds::sets::{ActorKind, Interface, Mode, Operation};
use krate_model::kinds::shared::{Actor, NativeTarget, ObjectRef, Time};
use krate_model::kinds::work::IssueState;
use krate_model::{Kind, NotCanonical};

use crate::local::{Local, spec_fields};
use crate::machines::Refused;
use crate::merge::{Base, FieldOutcome, FieldRule, FieldValue, merge_field};
use crate::mistakes::{Mistake, made};
use crate::object::{ObjectState, asks, is_final, is_to_come};
use crate::records::Loaded;
use crate::scope::Scope;

pub(crate) use on_the_way::{Standing, before, echoed, is_unsent, proven, standing};
use on_the_way::{is_held, labels_on_the_way, same_label, texts};
pub use payload::{carries, is_shown};
pub(crate) use payload::{deletes, is_state_shown, payload_value, share_a_field};
pub(crate) use place::asked_again;
use place::{Writes, place};
pub use removal::{Removal, plan_removal};

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
    /// The binding's sync policy isn't there: nobody knows what it allows (R70).
    #[error(
        "{path}: the sync policy {policy:?} isn't there, and without it nothing is written; make it, or name another one (R70)"
    )]
    PolicyMissing {
        /// The field.
        path: String,
        /// Name of the policy.
        policy: String,
    },
    /// The binding doesn't sync the interface any more.
    #[error("{interface}: binding {binding} doesn't sync it; nothing of it is written")]
    InterfaceOff {
        /// The interface.
        interface: Interface,
        /// The binding.
        binding: String,
    },
    /// A value that the field can't hold: of another shape, or a word that isn't one of its own (S1).
    #[error("{path}: this is no value that the field can have")]
    NoSuchValue {
        /// The field.
        path: String,
    },
    /// A value that is named by its digest alone, and isn't kept.
    #[error(
        "{path}: this value has {bytes} bytes, and is named by its digest alone; a value that is given has at most {}: edit the object here, and decide for that",
        krate_model::kinds::shared::MAX_VALUE_BYTES
    )]
    ValueNotKept {
        /// The field.
        path: String,
        /// Its length.
        bytes: i64,
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
    /// The object is being made at the provider: it can be removed once that is known to be done.
    #[error("metadata.deletionTimestamp: {intent} is making the object at the provider; remove it when that has ended")]
    BeingMade {
        /// The write that makes it.
        intent: String,
    },
    /// The binding is deleted: nothing new is written in its name (R21).
    #[error("{kind}: binding {binding} is being deleted; its objects can be changed when it is gone (R21)")]
    BindingDeleted {
        /// The kind of the object.
        kind: Kind,
        /// The binding.
        binding: String,
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
    /// The field that a resolution decides about.
    pub decides: Option<String>,
    /// Whether a person has to approve in any case (a resolution by `reviewedWrite`).
    pub review: bool,
    /// When.
    pub now: Time,
}

impl Wish {
    /// A wish of krate's own: drift, or what a merge left to write.
    pub fn reconcile(now: Time) -> Self {
        let (actor, kind) = (crate::object::controller(), IntentSourceKind::Reconcile);
        Self { actor, kind, cause: None, decides: None, review: false, now }
    }

    /// A person's or an agent's wish.
    pub fn of(actor: Actor, now: Time) -> Self {
        let kind =
            if actor.kind == ActorKind::Agent { IntentSourceKind::AgentAction } else { IntentSourceKind::UserAction };
        Self { actor, kind, cause: None, decides: None, review: false, now }
    }

    /// Whether somebody is there who wishes for the field, and can be told that it can't be written.
    fn asks_for(&self, path: &str) -> bool {
        match self.kind {
            IntentSourceKind::Reconcile => false,
            IntentSourceKind::ConflictResolution => self.decides.as_deref().is_none_or(|decided| decided == path),
            _ => true,
        }
    }
}

/// Makes the intents that the object's state asks for; what they are stays in `state`.
///
/// # Errors
/// [`PlanError`] when a change can't be carried; `state` must be dropped then.
pub fn plan(state: &mut ObjectState, scope: &Scope, wish: &Wish) -> Result<(), PlanError> {
    let Some(interface) = state.interface() else { return Ok(()) };
    if wish.kind == IntentSourceKind::Reconcile && !is_brought_in_order(state, scope) {
        return Ok(());
    }
    not_going(state, scope)?;
    conflicts::follow(state, scope, wish)?;
    let (mut wanted, approve) = wanted(state, scope, &interface, wish)?;
    if let (true, Some(field)) = (is_deleted(state), wanted.first()) {
        return Err(PlanError::Deleted { path: field.rule.path.to_string(), provider: scope.provider().to_owned() });
    }
    let warnings = leave_out(state, scope, wish, &mut wanted);
    let payloads = payloads(state, scope, &wanted)?;
    place(state, scope, wish, &interface, Writes { payloads, approve, warnings })
}

/// Whether the other side is written to without anybody's new wish. What a person wants gone isn't: only a newer wish of somebody takes the place of that one.
fn is_brought_in_order(state: &ObjectState, scope: &Scope) -> bool {
    let goes = || state.intents.iter().any(|intent| !is_final(&intent.object) && deletes(&intent.object.spec.payload));
    !(is_deleted(state) || scope.is_going() || goes())
}

/// The fields that krate would write back and can't: the provider has no operation for them, or the policy doesn't allow it (S6). Nobody is there to refuse.
///
/// # Errors
/// As [`plan`], where it isn't a field that can't be written.
pub(crate) fn uncarried(state: &ObjectState, scope: &Scope, now: Time) -> Result<Vec<FieldRule<'static>>, PlanError> {
    let Some(interface) = state.interface().filter(|_| is_brought_in_order(state, scope)) else {
        return Ok(Vec::new());
    };
    let (wanted, _) = wanted(state, scope, &interface, &Wish::reconcile(now))?;
    let uncarried = wanted.into_iter().filter(|field| carry(state, scope, field).is_err());
    Ok(uncarried.map(|field| field.rule).collect())
}

/// Whether the field can be written, alone.
fn carry(state: &ObjectState, scope: &Scope, field: &Wanted) -> Result<(), PlanError> {
    let payloads = payloads(state, scope, std::slice::from_ref(field))?;
    payloads.iter().try_for_each(|(payload, _)| place::permitted(scope, payload))
}

/// Refuses a wish that would be written in the name of a deleted binding (R21).
fn not_going(state: &ObjectState, scope: &Scope) -> Result<(), PlanError> {
    match &state.local {
        Some(local) if scope.is_going() => {
            Err(PlanError::BindingDeleted { kind: local.object.kind(), binding: scope.binding_name().to_owned() })
        }
        _ => Ok(()),
    }
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
    not_going(state, scope)?;
    let Some(local) = &state.local else { return Ok(()) };
    let mut warnings = Vec::new();
    let (interface, payload, target) = match &local.object {
        Local::Issue(issue) => {
            let spec = &issue.spec;
            warnings = unwritten(local, &["spec.title", "spec.body.markdown", "spec.labels"], scope)?;
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
    writable(scope, "metadata.name", &mode, mode.writes())?;
    let approve = needs_approval(&mode, wish);
    place(state, scope, wish, &interface, Writes { payloads: vec![(payload, target)], approve, warnings })
}

/// Takes out what can't be written: where the policy lets a write go without what no operation carries, which is said of each (S6), and what nobody wishes for now, so
/// that it holds up nothing else. A change of nothing else is no write, and is refused as ever.
fn leave_out(state: &ObjectState, scope: &Scope, wish: &Wish, wanted: &mut Vec<Wanted>) -> Vec<IntentWarning> {
    wanted.retain(|field| wish.asks_for(&field.rule.path) || carry(state, scope, field).is_ok());
    let refused = |field: &Wanted| matches!(carry(state, scope, field), Err(PlanError::Unrepresentable { .. }));
    if !warns(scope) || wanted.iter().all(refused) {
        return Vec::new();
    }
    let left: Vec<Wanted> = wanted.extract_if(.., |field| refused(field)).collect();
    left.iter().map(|field| lossy(&field.rule.path, scope)).collect()
}

/// Whether the policy lets a write go that can't carry all that is wished for.
fn warns(scope: &Scope) -> bool {
    scope.policy.conflict_policy.lossy_writes == LossyWrites::Warn
}

fn lossy(path: &str, scope: &Scope) -> IntentWarning {
    let message = format!("{} has no operation that writes it: it stays here", scope.provider());
    IntentWarning { code: WarningCode::LossyWrite, path: path.to_owned(), message }
}

/// The fields of a new object that its create can't carry.
///
/// # Errors
/// [`PlanError::Unrepresentable`] for the first one, unless the policy lets it go without.
fn unwritten(local: &Loaded<Local>, carried: &[&str], scope: &Scope) -> Result<Vec<IntentWarning>, PlanError> {
    let mut warnings = Vec::new();
    let defaults =
        [FieldValue::Absent, FieldValue::Bool(false), FieldValue::text("open"), FieldValue::List(Vec::new())];
    for field in spec_fields(local.object.kind()) {
        if carried.contains(&field.path) || defaults.contains(&local.object.get(field.path)) {
            continue;
        }
        if !warns(scope) {
            let provider = scope.provider().to_owned();
            return Err(PlanError::Unrepresentable { path: field.path.to_owned(), provider });
        }
        warnings.push(lossy(field.path, scope));
    }
    Ok(warnings)
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
            None if rule.path == "spec.labels" && !made(Mistake::LabelsTwice) => labels_on_the_way(state, &rule),
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
            || (state.open_conflict(&rule.path).is_some() && !made(Mistake::ConflictNotHeld))
            || state.ignored_conflict(&rule.path).is_some()
            || is_held(state, &rule.path)
        {
            continue;
        }
        let writes = rule.mode.writes();
        if wish.kind != IntentSourceKind::Reconcile {
            writable(scope, &rule.path, &rule.mode, writes)?;
        } else if !writes {
            continue;
        }
        // What a person was asked about is asked again in whatever takes its place (S39).
        let asked = |intent: &Loaded<ExternalWriteIntent>| {
            is_asked_about(intent) && carries(&intent.object.spec.payload, &rule.path)
        };
        approve |= needs_approval(&rule.mode, wish) || state.intents.iter().any(asked);
        let desired = desired.into_owned();
        wanted.push(Wanted { rule, desired, before: known_before });
    }
    Ok((wanted, approve))
}

/// Refuses somebody's change at `path` where the mode doesn't let it out, or nobody knows what the policy allows (R70).
fn writable(scope: &Scope, path: &str, mode: &Mode, writes: bool) -> Result<(), PlanError> {
    let path = path.to_owned();
    match &scope.missing_policy {
        _ if !writes => Err(PlanError::ReadOnly { path, mode: mode.clone() }),
        Some(policy) => Err(PlanError::PolicyMissing { path, policy: policy.clone() }),
        None => Ok(()),
    }
}

/// What policy and mode say now about a write that was planned before: whether a person has to look first (S39), by the same rules as when it was planned.
///
/// # Errors
/// [`PlanError`] when it isn't allowed any more (R52).
pub(crate) fn asks_now(scope: &Scope, intent: &ExternalWriteIntent) -> Result<bool, PlanError> {
    let spec = &intent.spec;
    place::permitted(scope, &spec.payload)?;
    let Some(kind) = Kind::lookup(&spec.target.kind) else { return Ok(true) };
    if scope.interface(&spec.interface).is_none() {
        let binding = scope.binding_name().to_owned();
        return Err(PlanError::InterfaceOff { interface: spec.interface.clone(), binding });
    }
    let modes = modes_of(scope, spec, kind);
    if let Some((path, mode)) = modes.iter().find(|(_, mode)| !mode.writes()) {
        return Err(PlanError::ReadOnly { path: path.clone(), mode: mode.clone() });
    }
    let is_reviewed = modes.iter().any(|(_, mode)| is_reviewed(mode));
    Ok(is_reviewed || place::is_agents(scope, &spec.source.actor, &spec.operation))
}

/// The modes of all that a write carries, each with its field.
fn modes_of(scope: &Scope, spec: &ExternalWriteIntentSpec, kind: Kind) -> Vec<(String, Mode)> {
    let rules = scope.rules(&spec.interface, kind).into_iter();
    let carried = rules.filter(|rule| carries(&spec.payload, &rule.path));
    let whole = scope.mode(&spec.interface, kind, "").map(|mode| ("metadata.name".to_owned(), mode));
    let is_whole = spec.native_target.native_id.is_none() || deletes(&spec.payload);
    carried.map(|rule| (rule.path.to_string(), rule.mode.clone())).chain(whole.filter(|_| is_whole)).collect()
}

/// Whether whoever plans what a person wished for here next has to ask for it again, whoever they are: then it may stay as it is wished for, though nobody said yes.
pub(crate) fn is_asked_again(scope: &Scope, intent: &ExternalWriteIntent) -> bool {
    let spec = &intent.spec;
    let modes = Kind::lookup(&spec.target.kind).map(|kind| modes_of(scope, spec, kind)).unwrap_or_default();
    spec.source.actor.kind == ActorKind::User && !modes.is_empty() && modes.iter().all(|(_, mode)| is_reviewed(mode))
}

/// Whether a person is asked about the write, or was until something else took its place just now: nobody has said yes to it.
pub(crate) fn is_asked_about(intent: &Loaded<ExternalWriteIntent>) -> bool {
    let phase = intent.object.status.as_ref().map(|status| &status.phase);
    let was_ended_here = intent.dirty && phase == Some(&ExternalWriteIntentPhase::Rejected);
    asks(&intent.object) || (was_ended_here && intent.object.spec.approval_policy.required)
}

/// Section 2: which modes let a person look first, whoever asked.
fn needs_approval(mode: &Mode, wish: &Wish) -> bool {
    wish.review || is_reviewed(mode)
}

fn is_reviewed(mode: &Mode) -> bool {
    matches!(mode, Mode::ExternalOwned | Mode::ReviewedWrite)
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
            (Local::Issue(_), "spec.state") if crate::mistakes::made(Mistake::StateForgotten) => {}
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
        if crate::mistakes::made(Mistake::WholeObjectWritten) {
            changes.title.get_or_insert_with(|| text(&local.object.get("spec.title")));
            changes.body.get_or_insert_with(|| text(&local.object.get("spec.body.markdown")));
        }
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
    if crate::mistakes::made(Mistake::RemovalForgotten) {
        return;
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
