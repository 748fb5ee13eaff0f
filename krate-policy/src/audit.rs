//! What is recorded of a decision (P49): who asked for what, for whom, by which causes, with which answer and why. Codes and digests, never a value and never a
//! text that somebody wrote.

use krate_model::audit::{AuditDraft, AuditOutcome};
use krate_model::kinds::sets::ActorKind;
use krate_model::kinds::shared::{Actor, ObjectRef};
use krate_model::validate::DEFAULT_PLATFORM_NAMESPACE;

use crate::decision::{Decision, Outcome};
use crate::reason::Code;
use crate::request::{Request, SubjectKind, Verb};
use crate::snapshot::Snapshot;

/// What is to be recorded of a review, by whoever acts on it or refuses by it: of each yes to more than looking, of each no to what an agent or a controller
/// asks, and of whatever broke glass or met a binding that has drifted. `None` for the rest. Of a write it is [`admit`](crate::admission::admit) that says
/// what is recorded.
pub fn of_review(request: &Request, decision: &Decision, snapshot: &Snapshot) -> Option<AuditDraft> {
    let looks = matches!(request.action.verb, Verb::Get | Verb::List | Verb::Watch);
    let is_machines = request.actor_chain.iter().any(|link| link.kind != SubjectKind::User);
    let is_told = match decision.outcome {
        Outcome::Allowed => !looks,
        Outcome::Denied => is_machines,
        Outcome::RequiresApproval => false,
    };
    let is_grave = decision.codes().any(|code| matches!(code, Code::BreakGlassUsed | Code::NativeRbacDrifted));
    if !is_told && !is_grave {
        return None;
    }
    // What names no organization that is there is the platform's to know.
    let namespace = snapshot.namespace_of(&request.organization);
    let mut draft = draft(request, decision, namespace.unwrap_or(DEFAULT_PLATFORM_NAMESPACE), "Review");
    draft.organization = namespace.map(|_| request.organization.to_string());
    let object = request.object.as_ref().map(|object| ObjectRef::new(&*object.kind, &*object.name));
    let stack = || request.agent_stack.as_ref().map(|stack| ObjectRef::new("AgentStack", &*stack.name));
    draft.object = object.or_else(stack);
    draft.to = Some(format!("{} {}", request.action.verb, request.action.kind));
    draft.correlation_id = request.run.as_deref().map(str::to_owned);
    Some(draft)
}

/// What every record of a decision holds.
pub(crate) fn draft(request: &Request, decision: &Decision, namespace: &str, kind: &str) -> AuditDraft {
    let mut draft = AuditDraft::new(namespace, kind, request.now, actor(request));
    draft.organization = Some(request.organization.to_string());
    draft.outcome = if decision.outcome == Outcome::Allowed { AuditOutcome::Succeeded } else { AuditOutcome::Denied };
    let codes: Vec<&str> = decision.codes().map(Code::as_str).collect();
    draft.reason = (!codes.is_empty()).then(|| codes.join(" "));
    draft.digests.extend(request.digest().ok().map(|digest| ("request".to_owned(), digest)));
    draft.digests.extend(decision.digest().ok().map(|digest| ("decision".to_owned(), digest)));
    draft.cause_chain = request.cause_chain.iter().rev().map(|cause| cause.event.to_string()).collect();
    draft
}

/// The chain as an actor: the subject, and for whom it acts.
pub(crate) fn actor(request: &Request) -> Actor {
    let mut chain: Option<Actor> = None;
    for link in request.actor_chain.iter().rev() {
        let kind = match link.kind {
            SubjectKind::User => ActorKind::User,
            SubjectKind::Controller | SubjectKind::Runner => ActorKind::Controller,
            _ => ActorKind::Agent,
        };
        let mut actor = Actor::new(kind, &*link.name);
        actor.uid = Some(link.uid.to_string());
        actor.on_behalf_of = chain.map(Box::new);
        chain = Some(actor);
    }
    chain.unwrap_or_else(|| Actor::new(ActorKind::System, "nobody"))
}
