//! Step 9: what wants a person, and what the approvals that are presented are worth (section 6).

use std::sync::Arc;

use krate_model::Kind;
use krate_model::kinds::policy::{AgentApproval, AgentApprovalPhase, ApprovalClass};
use krate_model::kinds::shared::{Actor, ApprovalRule};

use super::{Review, agents, cause, policies, role};
use crate::approval::{Tally, acts_in, tally};
use crate::decision::{Outcome, RequiredApproval};
use crate::reason::{Code, Reason};
use crate::request::{Need, Verb};
use crate::roles::operation_of;
use crate::snapshot::Item;

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
        match worth(review, approval) {
            Ok(()) => {
                given.push((approval.spec.class.clone(), known.name.clone()));
                review.used(&known, Some(approval.spec.expires_at));
            }
            Err((code, text)) => review.say(Reason::new(code, "approvals", text).by(known.name.clone())),
        }
    }
    let is_given = |class: &ApprovalClass| given.iter().any(|(known, _)| known == class);
    let mut asked = Vec::new();
    let until = review.decision.expires_at;
    let mut asking: Vec<(ApprovalClass, &'static str, Arc<str>)> = Vec::new();
    for need in &mut review.decision.per_need {
        if need.outcome == Outcome::RequiresApproval {
            let class = class_of(&need.need);
            if is_given(&class) {
                need.outcome = Outcome::Allowed;
            } else {
                asking.extend(need.by.clone().map(|by| (class.clone(), "needs", by)));
            }
            asked.push(class);
        }
    }
    for (class, by) in std::mem::take(&mut review.asks) {
        asked.push(class.clone());
        if !is_given(&class) {
            asking.push((class, "action", by));
        }
    }
    // P54: one of another class than what is asked for here doesn't count, and is presented.
    for (_, name) in given.iter().filter(|(class, _)| !asked.is_empty() && !asked.contains(class)) {
        let text = "it is of another class than what is asked for";
        review.say(Reason::new(Code::ApprovalStale, "approvals", text).by(name.clone()));
    }
    asking.dedup();
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
fn worth(review: &Review<'_>, approval: &AgentApproval) -> Result<(), (Code, &'static str)> {
    let status = approval.status.clone().unwrap_or_default();
    if review.decision.approval_digest(review.request).ok() != Some(approval.spec.digest) {
        return Err((Code::ApprovalStale, "it is for something else, or for what this was before"));
    }
    match status.phase {
        AgentApprovalPhase::Approved | AgentApprovalPhase::Pending => {}
        AgentApprovalPhase::Used => return Err((Code::ApprovalUsed, "it has been used")),
        AgentApprovalPhase::Denied => return Err((Code::ApprovalDenied, "it has been denied")),
        AgentApprovalPhase::Expired => return Err((Code::ApprovalExpired, "it has expired")),
        _ => return Err((Code::ApprovalStale, "it has been voided or withdrawn")),
    }
    // Whoever wrote the approval down can't loosen what the organization's profile asks of its class: the stricter of both holds.
    let rule = rule_for(review, &approval.spec.class);
    let most = approval.spec.policy.as_ref().map_or(1, |terms| terms.uses);
    if status.uses >= rule.map_or(most, |rule| most.min(rule.uses)) {
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
        if separate && (is_party(review, person) || acts_in(&approval.spec.requested_by, person)) {
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
