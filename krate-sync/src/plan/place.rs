//! Intents from payloads: keyed, taking the place of what was not sent yet, with the approval that they wait for.

use krate_model::kinds::external::{
    ExternalWriteIntent, ExternalWriteIntentSpec, IntentApprovalPolicy, IntentSource, IntentSourceKind, IntentWarning,
    Payload,
};
use krate_model::kinds::policy::{
    AgentApproval, AgentApprovalPhase, AgentApprovalSpec, ApprovalAction, ApprovalClass, ApprovalSubject,
    ApprovalSubjectKind, ApprovalTerms,
};
use krate_model::kinds::sets::{ActorKind, Interface, Operation};
use krate_model::kinds::shared::{Actor, ApprovalRule, NativeTarget, Time};
use krate_model::{NotCanonical, Resource, derived_name, named_by_digest};

use super::on_the_way::is_unsent;
use super::payload::{secret_in, share_a_field};
use super::{PlanError, Wish, is_asked_about};
use crate::machines::intent::write_back;
use crate::machines::{Ctx, Policy, intent};
use crate::mistakes::{Mistake, made};
use crate::moves;
use crate::object::{ObjectState, is_in_flight};
use crate::records::Loaded;
use crate::scope::Scope;
use krate_model::key::{KeyInput, RequestInput, created, request_digest};

/// Refuses what the policy doesn't allow, and what looks like a credential (S38).
pub(super) fn permitted(scope: &Scope, payload: &Payload) -> Result<(), PlanError> {
    let operation = payload.operation();
    let policy = &scope.policy.write_policy;
    let allowed = policy.allowed_operations.is_empty() || policy.allowed_operations.contains(&operation);
    if policy.denied_operations.contains(&operation) || !allowed {
        return Err(PlanError::Denied { operation });
    }
    secret_in(payload).map_or(Ok(()), |path| Err(PlanError::Secret { path }))
}

/// What is to be written, and how.
#[derive(Default)]
pub(super) struct Writes {
    pub(super) payloads: Vec<(Payload, NativeTarget)>,
    /// Whether a person looks first.
    pub(super) approve: bool,
    /// What of the wish they don't carry (S6).
    pub(super) warnings: Vec<IntentWarning>,
}

/// Puts the intents for `writes` in place of those that weren't sent yet.
pub(super) fn place(
    state: &mut ObjectState,
    scope: &Scope,
    wish: &Wish,
    interface: &Interface,
    writes: Writes,
) -> Result<(), PlanError> {
    let Writes { payloads, approve, warnings } = writes;
    let Some(local) = &state.local else { return Ok(()) };
    let target_ref = local.object.to_ref();
    let generation = local.object.generation().max(1);
    let mut kept: Vec<String> = Vec::new();
    let mut fresh: Vec<Loaded<ExternalWriteIntent>> = Vec::new();
    // S36: what is on its way comes first, each of it: one that stands in between may still be taken back.
    let on_the_way: Vec<String> = state
        .intents
        .iter()
        .filter(|intent| is_in_flight(&intent.object))
        .map(|intent| intent.object.name().to_owned())
        .collect();
    let mut previous: Option<String> = None;
    for (payload, target) in payloads {
        permitted(scope, &payload)?;
        let operation = payload.operation();
        let policy = &scope.policy.write_policy;
        // The same wish that still waits is the same intent: nobody is asked twice.
        if let Some(waiting) = state.intents.iter_mut().find(|intent| {
            is_unsent(&intent.object)
                && intent.object.spec.payload == payload
                && intent.object.spec.native_target == target
        }) {
            // What it doesn't carry may be more, or less, than before.
            if waiting.object.status().is_none_or(|status| status.warnings != warnings) {
                waiting.change().status_mut().warnings.clone_from(&warnings);
            }
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
            target: created(&target, &target_ref),
            payload: &payload,
            desired_generation: if made(Mistake::KeyWithoutGeneration) { 1 } else { generation },
        };
        let mut idempotency_key = key.key()?;
        if made(Mistake::KeyWithoutPayload) {
            idempotency_key = krate_model::canonical_digest(&(&operation, &target, key.target, generation.min(1)))?;
        }
        // What krate plans anew for somebody is still their wish, and nobody else's to ask for (P30).
        let asked = state
            .intents
            .iter()
            .rev()
            .find(|intent| is_asked_about(intent) && share_a_field(&intent.object.spec.payload, &payload));
        let mut source = match asked.filter(|_| wish.kind == IntentSourceKind::Reconcile) {
            Some(asked) => asked.object.spec.source.clone(),
            None => IntentSource {
                kind: wish.kind.clone(),
                actor: wish.actor.clone(),
                cause: wish.cause.clone(),
                others: Vec::new(),
            },
        };
        source.others = others(state, &payload, &source);
        let credential = scope.credential();
        let digest = request_digest(&RequestInput { key, precondition: None, credential: Some(&credential) })?;
        let required = approve || is_agents(scope, &source.actor, &operation);
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
            source: source.clone(),
            target: target_ref.clone(),
            native_target: target,
            payload,
            precondition: None,
            desired_generation: generation,
            credential: Some(credential),
            request_digest: digest,
            idempotency_key,
            approval_policy: IntentApprovalPolicy {
                required,
                rules: policy.approvals.clone(),
                reason: required.then(|| reason(&source.actor, wish).to_owned()),
            },
            depends_on: on_the_way.iter().cloned().chain(previous.take()).collect(),
            artifact_ref: None,
            cancel: None,
        };
        let mut intent = Loaded::new(ExternalWriteIntent::at(scope.namespace(), name.as_str(), spec));
        intent.object.status_mut().warnings.clone_from(&warnings);
        let policy = Policy::of(&scope.policy);
        let ctx = Ctx { now: wish.now, actor: &wish.actor, policy: &policy, seed: 0 };
        let step = intent::admit(&intent.object, &ctx);
        state.audit.extend(moves::take(&mut intent, step));
        if required {
            state.approvals.push(approval(scope, &intent.object, wish.now, name.clone()));
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

/// Who, beside `source`, wished for what `payload` writes and wasn't sent: it takes the place of theirs, and is theirs to ask for as well (P30).
fn others(state: &ObjectState, payload: &Payload, source: &IntentSource) -> Vec<Actor> {
    let replaced = state.intents.iter().map(|intent| &intent.object);
    let replaced = replaced.filter(|it| is_unsent(it) && share_a_field(&it.spec.payload, payload));
    let theirs = replaced.flat_map(|it| std::iter::once(&it.spec.source.actor).chain(&it.spec.source.others));
    let mut others = source.others.clone();
    for actor in theirs.filter(|actor| matches!(actor.kind, ActorKind::User | ActorKind::Agent)) {
        if *actor != source.actor && !others.contains(actor) {
            others.push(actor.clone());
        }
    }
    others
}

/// S39: an agent's write is a person's to approve unless the policy trusts that agent for that operation by name.
pub(super) fn is_agents(scope: &Scope, actor: &Actor, operation: &Operation) -> bool {
    let policy = &scope.policy.write_policy;
    let mut trusted = policy.trusted_agents.iter().filter(|entry| entry.agent == actor.name);
    actor.kind == ActorKind::Agent
        && policy.agent_write_requires_approval
        && !trusted.any(|entry| entry.operations.contains(operation))
}

fn reason(actor: &Actor, wish: &Wish) -> &'static str {
    match (actor.kind == ActorKind::Agent, wish.review) {
        (true, _) => "an agent asks for it",
        (false, true) => "the conflict is resolved by a reviewed write",
        (false, false) => "the binding's mode lets a person look first",
    }
}

/// The terms of the sync policy for write-backs, as they are when it is asked: a later change of the policy doesn't lower them (P32).
fn terms(rules: &[ApprovalRule]) -> Option<ApprovalTerms> {
    let rule = write_back(rules)?;
    let named = !rule.approvers.roles.is_empty() || !rule.approvers.teams.is_empty();
    let approvers = named.then(|| rule.approvers.clone());
    Some(ApprovalTerms { approvers, quorum: rule.quorum, uses: rule.uses, separation: rule.separation })
}

/// The question about another request in the place of `intent` (S32).
pub(crate) fn asked_again(
    scope: &Scope,
    intent: &ExternalWriteIntent,
    now: Time,
) -> Result<Loaded<AgentApproval>, NotCanonical> {
    // The same request may be asked about again, where a credential goes and comes back.
    let name = derived_name("approval", &(intent.name(), &intent.spec.request_digest, now))?;
    Ok(approval(scope, intent, now, name))
}

/// The question that a person answers. It holds the digest of the request, and no other request can use the answer (S32): a request that takes the place
/// of another in the same intent is another question.
fn approval(scope: &Scope, intent: &ExternalWriteIntent, now: Time, name: String) -> Loaded<AgentApproval> {
    let spec = AgentApprovalSpec {
        organization_ref: scope.organization().to_owned(),
        subject: ApprovalSubject { kind: ApprovalSubjectKind::WriteIntent, name: intent.name().to_owned() },
        class: ApprovalClass::WriteBack,
        action: ApprovalAction {
            summary: format!("{} on {} {}", intent.spec.operation, intent.spec.target.kind, intent.spec.target.name),
            target: Some(intent.spec.target.clone()),
        },
        requested_by: intent.spec.source.actor.clone(),
        also_requested_by: intent.spec.source.others.clone(),
        digest: intent.spec.request_digest,
        // Both end at once: the intent says until when an answer may come.
        expires_at: intent.status.as_ref().and_then(|status| status.not_before).unwrap_or(now),
        policy: terms(&intent.spec.approval_policy.rules),
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
