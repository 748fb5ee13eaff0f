//! Step 9: what wants a person, and what the approvals that are presented are worth (section 6).

use krate_model::Kind;
use krate_model::kinds::policy::{AgentApproval, AgentApprovalPhase, ApprovalClass};
use krate_model::kinds::shared::Actor;

use super::{Review, cause, role};
use crate::approval::{Tally, tally};
use crate::decision::{Outcome, RequiredApproval};
use crate::reason::{Code, Reason};
use crate::snapshot::Item;

pub(super) fn step(review: &mut Review<'_>) {
    // One approval of the class covers what the digest names: all needs of the request.
    let mut is_given = false;
    for name in &review.request.approvals {
        let found = review.snapshot.item(Kind::AgentApproval, review.namespace, name);
        let Some(Item::AgentApproval(approval)) = found else {
            review.deny(Code::ApprovalStale, "approvals", "an approval is presented that is not there");
            continue;
        };
        match worth(review, approval) {
            Ok(()) => {
                is_given |= approval.spec.class == ApprovalClass::SecretAccess;
                review.used(
                    crate::grant::version(Kind::AgentApproval, &approval.metadata),
                    Some(approval.spec.expires_at),
                );
            }
            Err((code, text)) => {
                let by = crate::grant::version(Kind::AgentApproval, &approval.metadata).name;
                review.say(Reason::new(code, "approvals", text).by(by));
            }
        }
    }
    let until = review.decision.expires_at;
    let mut asking = Vec::new();
    for need in &mut review.decision.per_need {
        if need.outcome == Outcome::RequiresApproval {
            if is_given {
                need.outcome = Outcome::Allowed;
            } else {
                asking.extend(need.by.clone());
            }
        }
    }
    asking.dedup();
    for by in asking {
        review.decision.required_approvals.push(RequiredApproval {
            class: ApprovalClass::SecretAccess.as_str().into(),
            approvers: Vec::new(),
            quorum: 1,
            until,
            by: by.clone(),
        });
        review.say(Reason::new(Code::ApprovalRequired, "needs", "a person has to agree first").by(by));
    }
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
    let most = approval.spec.policy.as_ref().map_or(1, |terms| terms.uses);
    if status.uses >= most {
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
    let separate = approval.spec.policy.as_ref().is_none_or(|terms| terms.separation);
    for person in &by {
        if separate && is_party(review, person) {
            return Err((Code::SelfApproval, "an approver asked for it, started it or steers it"));
        }
        // P31: at the time of the use, too; by uid, so that a successor of the same name doesn't count.
        let user = review.snapshot.user(review.namespace, &person.name);
        if user.is_none_or(|user| user.metadata.uid != person.uid) || !role::could(review, &person.name) {
            return Err((Code::ApproverNotAllowed, "an approver couldn't do it themselves"));
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
