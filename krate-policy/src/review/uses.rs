//! What is looked at again when a yes is acted on, by the newest snapshot (P21, P31, P32, P69): by the very functions that decided.

use std::sync::Arc;

use krate_model::kinds::policy::AgentApproval;
use krate_model::kinds::shared::Time;

use super::{Review, approvals, identity, needs, scope, shape};
use crate::decision::{Decision, TrustReport, Version};
use crate::reason::{Reason, Severity};
use crate::request::{Action, Need, Request, Verb};
use crate::snapshot::Snapshot;
use crate::trust::Trust;

fn trust(report: &TrustReport) -> Trust {
    Trust { gate: report.gate, steering: report.steering, is_fork: report.fork, is_loop: false, because: Vec::new() }
}

/// Whether a key that a yes gave may be used at `now`: the organization is in work, everyone in the chain may act, and the grant gives the key as it did (P19),
/// for the trust that was found then. With whether a person has to have agreed.
pub(crate) fn key_stands(
    asked: &Request,
    now: Time,
    snapshot: &Snapshot,
    (need, grant): (&Arc<Need>, &Version),
    report: &TrustReport,
) -> Result<bool, Reason> {
    // What has begun goes on though its rule was paused since, or a newer snapshot was asked for then.
    let action =
        Action { verb: Verb::Use, subresource: None, operation: None, fields: Vec::new(), ..asked.action.clone() };
    let request = Request { now, action, ..asked.clone() };
    let mut review = Review::new(&request, snapshot);
    for step in [shape::step, scope::step, identity::step] {
        step(&mut review);
        let hard = |reason: &&Reason| reason.severity == Severity::Hard;
        if let Some(reason) = review.decision.reasons.iter().find(hard) {
            return Err(reason.clone());
        }
    }
    review.trust = trust(report);
    needs::still(&review, need, grant)
}

/// Whether an approval that a decision names, as `AgentApproval/name`, still counts for it at `now`.
pub(crate) fn approval_stands(
    asked: &Request,
    now: Time,
    snapshot: &Snapshot,
    decision: &Decision,
    name: &str,
) -> Result<(), Reason> {
    let request = Request { now, ..asked.clone() };
    let mut review = Review::within(&request, snapshot);
    review.decision = decision.clone();
    let bare = name.split_once('/').map_or(name, |(_, bare)| bare);
    approvals::stands(&review, bare).map_err(|(code, text)| Reason::new(code, "approvals", text).by(name))
}

/// How often an approval may be used.
pub(crate) fn most_uses(asked: &Request, snapshot: &Snapshot, approval: &AgentApproval) -> i64 {
    approvals::most_uses(&Review::within(asked, snapshot), approval)
}
