//! What persons answer to the writes that wait for them (S32, S39, R59).

use krate_model::Resource;
use krate_model::kinds::external::{ExternalWriteIntent, IntentApproval};
use krate_model::kinds::policy::{AgentApproval, AgentApprovalPhase, ApprovalDecision, ApprovalVerdict};

use super::{Config, Driver, DriverError};
use crate::machines::intent::Event;
use crate::records::{self, Loaded};

impl Driver {
    /// Takes a person's answer in: the decision, the approval and the intent that waits for it move in one commit, so that no crash leaves an answer
    /// without its effect.
    ///
    /// `approval` is what the caller looked at and judged: where somebody else has changed it since, nothing is committed.
    ///
    /// # Errors
    /// [`DriverError`] when the intent isn't there, refuses the answer, or the approval moved. Nothing is stored then.
    pub async fn decide(
        &self,
        mut approval: Loaded<AgentApproval>,
        decision: ApprovalDecision,
    ) -> Result<(), DriverError> {
        let config = Config::load(self.store()).await?;
        let namespace = approval.object.namespace().to_owned();
        let target = approval.object.spec.subject.name.clone();
        let Some(intent) = records::get::<ExternalWriteIntent>(self.store(), &namespace, &target).await? else {
            return Err(DriverError::NotFound { what: "intent", name: target });
        };
        let Some(scope) = config.scope(&intent.object.spec.binding_ref) else {
            return Err(DriverError::NotFound { what: "binding", name: intent.object.spec.binding_ref.clone() });
        };
        let (event, phase) = if approval.object.spec.expires_at <= self.clock.now() {
            (Event::Expired, AgentApprovalPhase::Expired)
        } else if decision.verdict == ApprovalVerdict::Approved {
            let approval = IntentApproval {
                approval_ref: approval.object.name().to_owned(),
                digest: approval.object.spec.digest,
                by: vec![decision.by.clone()],
                at: Some(decision.at),
            };
            (Event::Approved { approval }, AgentApprovalPhase::Used)
        } else {
            let event = Event::Denied { by: decision.by.clone(), reason: decision.reason.clone().unwrap_or_default() };
            (event, AgentApprovalPhase::Denied)
        };
        let status = approval.change().status_mut();
        status.uses = i64::from(phase == AgentApprovalPhase::Used);
        status.phase = phase;
        status.decisions.push(decision);
        self.step_intent_with(scope, intent, event, Some(approval)).await.map(|_| ())
    }
}
