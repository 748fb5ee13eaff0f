//! What persons answer to the writes that wait for them (S32, S39, R59).

use krate_model::Resource;
use krate_model::kinds::external::{ExternalWriteIntent, IntentApproval};
use krate_model::kinds::policy::{AgentApproval, AgentApprovalPhase, ApprovalDecision};
use krate_policy::approval::{Tally, may_add, tally};

use super::{Driver, DriverError};
use crate::machines::intent::Event;
use crate::records::{self, Changes, Loaded};

impl Driver {
    /// Takes a person's answer in: the decision, the approval and the intent that waits for it move in one commit, so that no crash leaves an answer
    /// without its effect. An approval that needs several persons waits until the last of them has answered (P32).
    ///
    /// `approval` is what the caller looked at and judged: where somebody else has changed it since, nothing is committed.
    ///
    /// # Errors
    /// [`DriverError::Approval`] when this person may not answer; others when the intent isn't there, refuses the answer, or the approval moved. Nothing is stored then.
    pub async fn decide(
        &self,
        mut approval: Loaded<AgentApproval>,
        decision: ApprovalDecision,
    ) -> Result<(), DriverError> {
        let config = self.config().await?;
        let namespace = approval.object.namespace().to_owned();
        let target = approval.object.spec.subject.name.clone();
        let Some(intent) = records::get::<ExternalWriteIntent>(self.store(), &namespace, &target).await? else {
            return Err(DriverError::NotFound { what: "intent", name: target });
        };
        let Some(scope) = config.scope(&namespace, &intent.object.spec.binding_ref) else {
            return Err(DriverError::NotFound { what: "binding", name: intent.object.spec.binding_ref.clone() });
        };
        let spec = approval.object.spec.clone();
        let answers = approval.object.status().map(|status| status.decisions.as_slice()).unwrap_or_default();
        may_add(&spec, answers, &decision.by, &decision.verdict)?;
        let at = decision.at;
        let name = approval.object.name().to_owned();
        let status = approval.change().status_mut();
        status.decisions.push(decision);
        let (event, phase) = match tally(&spec, &status.decisions, self.clock.now()) {
            Tally::Approved { by } => {
                let approval = IntentApproval { approval_ref: name, digest: spec.digest, by, at: Some(at) };
                (Event::Approved { approval }, AgentApprovalPhase::Used)
            }
            Tally::Denied { by, reason } => {
                (Event::Denied { by, reason: reason.unwrap_or_default() }, AgentApprovalPhase::Denied)
            }
            Tally::Waiting { .. } => {
                let mut changes = Changes::at(self.clock.now());
                changes.put(&approval)?;
                changes.commit(self.store()).await?;
                return Ok(());
            }
            // A state that this version doesn't know is no yes (P1).
            _ => (Event::Expired, AgentApprovalPhase::Expired),
        };
        status.uses = i64::from(phase == AgentApprovalPhase::Used);
        status.phase = phase;
        if matches!(event, Event::Approved { .. }) {
            return self.step_intent_with(scope, intent, event, Some(approval), false).await.map(|_| ());
        }
        self.end_unsent(scope, intent, event, Some(approval)).await
    }
}
