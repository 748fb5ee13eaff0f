//! What somebody is told who may not even look at what they asked to act on: that they may not, and with which codes, but no name that they didn't bring
//! (P6). Whoever may look, and lacks another right, is told everything, so that they can ask for it.

use std::sync::Arc;

use krate_model::Kind;

use super::{Review, role};
use crate::reason::Code;
use crate::request::{SubjectKind, Verb};

/// The steps whose reasons tell of resources that the request doesn't name: policies, rules, grants, limits, approvals.
const TELLING: [u8; 5] = [4, 5, 7, 8, 9];

pub(super) fn step(review: &mut Review<'_>) {
    if !review.decision.codes().any(|code| code == Code::MissingRole) {
        return;
    }
    let request = review.request;
    let Some(person) = request.actor_chain.last().filter(|link| link.kind == SubjectKind::User) else { return };
    let looks = |kind: Kind| role::may_on(review, &person.name, &Verb::Get, kind);
    let of_agent = review.agent.as_ref().map(|_| Kind::AgentStack);
    if review.kind.into_iter().chain(of_agent).all(looks) {
        return;
    }
    let decision = &mut review.decision;
    for reason in decision.reasons.iter_mut().filter(|reason| TELLING.contains(&reason.code.step())) {
        if !reason.name.is_empty() || reason.code.step() >= 7 {
            reason.name = Arc::default();
            reason.field = "".into();
            reason.text = "is told to those who may look at it".into();
        }
    }
    decision.per_need.retain_mut(|need| {
        (need.by, need.approval) = (None, None);
        request.needs.contains(&need.need)
    });
    decision.missing_grants.clear();
    decision.required_approvals.clear();
    decision.versions.clear();
    (decision.effective, decision.runtime_identity) = (None, None);
}
