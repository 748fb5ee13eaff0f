//! Step 9: what wants a person, and what the approvals that are presented are worth (section 6).

use std::sync::Arc;

use krate_model::Kind;
use krate_model::kinds::policy::{AgentApproval, AgentApprovalPhase, ApprovalClass};
use krate_model::kinds::shared::{Actor, ApprovalRule};

use super::{Review, agents, cause, policies, role};
use crate::approval::{Tally, asked_for, tally};
use crate::decision::{Outcome, RequiredApproval, Reservation};
use crate::reason::{Code, Reason};
use crate::request::{Need, Verb};
use crate::roles::operation_of;
use crate::snapshot::{Item, Kept as _};

pub(super) fn step(review: &mut Review<'_>) {
    // P29: only persons approve, and not through what acts for them.
    if review.request.action.verb == Verb::Decide && agents::is_agents(review) {
        review.deny(Code::ApproverNotAllowed, "actorChain", "only persons approve, for themselves");
    }
    // One approval of a class covers what the digest names: all that the request asks for of that class.
    let mut given = Vec::new();
    for name in &review.request.approvals {
        let found = review.snapshot.item(Kind::AgentApproval, review.namespace, name);
        let Some(Item::AgentApproval(approval)) = found else {
            review.deny(Code::ApprovalStale, "approvals", "an approval is presented that is not there");
            continue;
        };
        let known = crate::grant::version(Kind::AgentApproval, &approval.metadata);
        match worth(review, approval, Moment::Review) {
            Ok(()) => {
                let uses = approval.status.as_ref().map_or(0, |status| status.uses);
                review.used(&known, Some(approval.spec.expires_at));
                given.push((approval.spec.class.clone(), known, uses));
            }
            Err((code, text)) => review.say(Reason::new(code, "approvals", text).by(known.name.clone())),
        }
    }
    let given_by = |class: &ApprovalClass| given.iter().find(|(of, ..)| of == class).map(|(_, known, _)| &known.name);
    let mut asked = Vec::new();
    let until = review.decision.expires_at;
    let mut asking: Vec<(ApprovalClass, &'static str, Arc<str>)> = Vec::new();
    for need in &mut review.decision.per_need {
        if need.outcome == Outcome::RequiresApproval {
            let class = class_of(&need.need);
            if let Some(approval) = given_by(&class) {
                need.outcome = Outcome::Allowed;
                need.approval = Some(approval.clone());
            } else {
                asking.extend(need.by.clone().map(|by| (class.clone(), "needs", by)));
            }
            asked.push(class);
        }
    }
    for (class, by) in std::mem::take(&mut review.asks) {
        asked.push(class.clone());
        if given_by(&class).is_some() {
            continue;
        }
        // P50: it counts as the approval of what the person does themselves; what an agent needs for it is asked for all the same.
        match policies::broken_glass(review, &class) {
            Some(glass) => {
                let known = crate::grant::version(Kind::PolicyExceptionRequest, &glass.metadata);
                let text = format!("counts as the approval that {by} asks for");
                review.say(Reason::new(Code::BreakGlassUsed, "action", text).by(known.name.clone()));
                review.used(&known, Some(glass.spec.expires_at));
            }
            None => asking.push((class, "action", by)),
        }
    }
    denied_before(review, &asked);
    // P54: one of another class than what is asked for here doesn't count, and is presented.
    for (class, known, uses) in given.iter().filter(|_| !asked.is_empty()) {
        if asked.contains(class) {
            // P32: it is used as often as it says, so that this use is counted before what it approves is done.
            let use_of_it = Reservation { grant: known.name.clone(), uid: known.uid.clone(), uses: *uses };
            if !review.decision.reservations.contains(&use_of_it) {
                review.decision.reservations.push(use_of_it);
            }
        } else {
            let text = "it is of another class than what is asked for";
            review.say(Reason::new(Code::ApprovalStale, "approvals", text).by(known.name.clone()));
        }
    }
    asking.dedup();
    let classes: Vec<ApprovalClass> = asking.iter().map(|(class, ..)| class.clone()).collect();
    not_presented(review, &classes);
    for (class, field, by) in asking {
        let rule = rule_for(review, &class);
        review.decision.required_approvals.push(RequiredApproval {
            class: class.as_str().into(),
            approvers: rule.map_or_else(Vec::new, |rule| {
                let named = rule.approvers.roles.iter().chain(&rule.approvers.teams);
                named.map(|name| name.as_str().into()).collect()
            }),
            quorum: rule.map_or(1, |rule| u32::try_from(rule.quorum).unwrap_or(1).max(1)),
            until,
            by: by.clone(),
        });
        review.say(Reason::new(Code::ApprovalRequired, field, "a person has to agree first").by(by));
    }
}

/// P33: a no is final for its digest, also where who asks again leaves it out.
fn denied_before(review: &mut Review<'_>, asked: &[ApprovalClass]) {
    let (request, snapshot, namespace) = (review.request, review.snapshot, review.namespace);
    if asked.is_empty() || snapshot.denied(namespace, "").next().is_none() {
        return;
    }
    let Ok(digest) = review.decision.approval_digest(request) else { return };
    for approval in snapshot.denied(namespace, &digest.to_string()) {
        let is_presented = request.approvals.iter().any(|name| Some(&**name) == approval.metadata.name.as_deref());
        if !is_presented && asked.contains(&approval.spec.class) {
            let known = crate::grant::version(Kind::AgentApproval, &approval.metadata);
            let text = "it was denied for exactly this, and nobody took that back";
            review.say(Reason::new(Code::ApprovalDenied, "approvals", text).by(known.name.clone()));
        }
    }
}

/// P54: who presents none and needs one is told which of the run's don't count, and why.
fn not_presented(review: &mut Review<'_>, asked: &[ApprovalClass]) {
    let (request, snapshot, namespace) = (review.request, review.snapshot, review.namespace);
    let Some(run) = request.run.as_deref().filter(|_| request.approvals.is_empty()) else { return };
    for approval in snapshot.approvals_of_run(namespace, run).filter(|it| asked.contains(&it.spec.class)) {
        // A denial of exactly this was told as that (P33).
        if let Err((code, text)) = worth(review, approval, Moment::Review)
            && code != Code::ApprovalDenied
        {
            let known = crate::grant::version(Kind::AgentApproval, &approval.metadata);
            review.say(Reason::new(code, "approvals", text).warning().by(known.name.clone()));
        }
    }
}

/// Whether an approval that a decision names still counts for it, when it is acted on (P31 to P33): its use has been counted by then.
pub(super) fn stands(review: &Review<'_>, name: &str) -> Result<(), (Code, &'static str)> {
    let found = review.snapshot.item(Kind::AgentApproval, review.namespace, name).and_then(AgentApproval::of);
    let Some(approval) = found else { return Err((Code::ApprovalStale, "it isn't there any more")) };
    worth(review, approval, Moment::Use)?;
    let digest = approval.spec.digest.to_string();
    let mut others = review.snapshot.denied(review.namespace, &digest);
    if others.any(|other| other.spec.class == approval.spec.class) {
        return Err((Code::ApprovalDenied, "exactly this was denied since"));
    }
    Ok(())
}

/// How often an approval may be used: by the stricter of its own terms and the organization's profile.
pub(super) fn most_uses(review: &Review<'_>, approval: &AgentApproval) -> i64 {
    let own = approval.spec.policy.as_ref().map_or(1, |terms| terms.uses);
    rule_for(review, &approval.spec.class).map_or(own, |rule| own.min(rule.uses))
}

/// When an approval is looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// When it is presented: it has to have a use left.
    Review,
    /// When what it approves is done: that use was counted.
    Use,
}

/// The class of approval that a need asks for.
fn class_of(need: &Need) -> ApprovalClass {
    match need {
        Need::Secret { .. } | Need::Config { .. } => ApprovalClass::SecretAccess,
        Need::Host { .. } => ApprovalClass::Network,
        Need::Target { action } => {
            let operation = operation_of(action.split('/').next().unwrap_or_default());
            operation.map_or(ApprovalClass::WriteBack, |operation| policies::class_of_operation(&operation))
        }
        _ => ApprovalClass::ToolUse,
    }
}

/// What the organization's profile asks of approvals of a class.
fn rule_for<'a>(review: &Review<'a>, class: &ApprovalClass) -> Option<&'a ApprovalRule> {
    super::profile(review)?.object.spec.approvals.iter().find(|rule| rule.class == class.as_str())
}

/// Whether the approval counts for this request, as it is now (P28 to P33, P54).
fn worth(review: &Review<'_>, approval: &AgentApproval, moment: Moment) -> Result<(), (Code, &'static str)> {
    let status = approval.status.clone().unwrap_or_default();
    if review.decision.approval_digest(review.request).ok() != Some(approval.spec.digest) {
        return Err((Code::ApprovalStale, "it is for something else, or for what this was before"));
    }
    match status.phase {
        AgentApprovalPhase::Approved | AgentApprovalPhase::Pending => {}
        AgentApprovalPhase::Used if moment == Moment::Use => {}
        AgentApprovalPhase::Used => return Err((Code::ApprovalUsed, "it has been used")),
        AgentApprovalPhase::Denied => return Err((Code::ApprovalDenied, "it has been denied")),
        AgentApprovalPhase::Expired => return Err((Code::ApprovalExpired, "it has expired")),
        _ => return Err((Code::ApprovalStale, "it has been voided or withdrawn")),
    }
    // Whoever wrote the approval down can't loosen what the organization's profile asks of its class: the stricter of both holds.
    let rule = rule_for(review, &approval.spec.class);
    if moment == Moment::Review && status.uses >= most_uses(review, approval) {
        return Err((Code::ApprovalUsed, "it has been used as often as it may be"));
    }
    let by = match tally(&approval.spec, &status.decisions, review.request.now) {
        Tally::Approved { by } => by,
        Tally::Denied { .. } => return Err((Code::ApprovalDenied, "it has been denied")),
        Tally::Expired => return Err((Code::ApprovalExpired, "it has expired")),
        Tally::Waiting { .. } => {
            let refused = status
                .decisions
                .iter()
                .find_map(|answer| crate::approval::may_answer(&approval.spec, &answer.by, &answer.verdict).err());
            return Err(match refused {
                Some(crate::approval::Refusal::SelfApproval { .. }) => {
                    (Code::SelfApproval, "who asked can't approve it")
                }
                Some(_) => (Code::ApproverNotAllowed, "only persons approve, for themselves"),
                None => (Code::QuorumNotMet, "more persons have to agree"),
            });
        }
    };
    if rule.is_some_and(|rule| usize::try_from(rule.quorum).is_ok_and(|quorum| by.len() < quorum)) {
        return Err((Code::QuorumNotMet, "more persons have to agree by now"));
    }
    let separate =
        approval.spec.policy.as_ref().is_none_or(|terms| terms.separation) || rule.is_some_and(|rule| rule.separation);
    for person in &by {
        if separate && (is_party(review, person) || asked_for(&approval.spec, person)) {
            return Err((Code::SelfApproval, "an approver asked for it, started it or steers it"));
        }
        // P31: at the time of the use, too; by uid, so that a successor of the same name doesn't count.
        let user = review.snapshot.user(review.namespace, &person.name);
        if user.is_none_or(|user| user.metadata.uid != person.uid) || !role::could(review, &person.name) {
            return Err((Code::ApproverNotAllowed, "an approver couldn't do it themselves"));
        }
        let named = |rule: &ApprovalRule| !rule.approvers.roles.is_empty() || !rule.approvers.teams.is_empty();
        if rule.is_some_and(|rule| named(rule) && !role::is_among(review, &person.name, &rule.approvers)) {
            return Err((Code::ApproverNotAllowed, "an approver is none of those that the profile names"));
        }
    }
    Ok(())
}

/// Whether the person is in the actor chain, or one of their accounts started or steers a cause (P30).
fn is_party(review: &Review<'_>, person: &Actor) -> bool {
    let request = review.request;
    let in_chain =
        request.actor_chain.iter().any(|link| *link.name == *person.name || Some(&*link.uid) == person.uid.as_deref());
    let actors = request.cause_chain.iter().flat_map(|cause| std::iter::once(&cause.gate).chain(&cause.steering));
    in_chain
        || actors.filter_map(|actor| actor.account.as_ref()).any(|account| {
            let own = person.account.as_ref();
            own.is_some_and(|own| *own.provider == *account.provider && *own.id == *account.id)
                || cause::person_of(review, &account.provider, &account.id) == Some(&*person.name)
        })
}
