//! What persons answer to the writes that wait for them, and that they take it back (S32, S39, R59, P32).

use krate_model::Resource;
use krate_model::audit::{AuditDraft, AuditOutcome};
use krate_model::kinds::external::{ExternalWriteIntent, ExternalWriteIntentPhase as IntentPhase, IntentApproval};
use krate_model::kinds::policy::{AgentApproval, AgentApprovalPhase, ApprovalDecision, WithdrawCommand};
use krate_model::kinds::shared::{Actor, ObjectRef};
use krate_policy::approval::{Tally, may_add, may_withdraw, tally};

use super::edits::usable;
use super::intents::{phase_of, reissued};
use super::{Driver, DriverError};
use crate::machines::intent::{self, Event};
use crate::machines::{Ctx, Policy};
use crate::object::controller;
use crate::plan::asked_again;
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

    /// Takes an answer back, by who gave it (P32): an approval that wasn't used is void and the write is asked about anew; a denial is no longer in the way of the
    /// same request (P33), and what it ended stays ended.
    ///
    /// `approval` is what the caller looked at and judged, as in [`Self::decide`].
    ///
    /// # Errors
    /// [`DriverError::Approval`] when this person has given no answer, [`DriverError::NotUnsent`] when the write was sent, others when the intent isn't there, or
    /// the approval moved. Nothing is stored then.
    pub async fn withdraw(
        &self,
        mut approval: Loaded<AgentApproval>,
        command: WithdrawCommand,
        by: &Actor,
    ) -> Result<(), DriverError> {
        let now = self.clock.now();
        let namespace = approval.object.namespace().to_owned();
        let status = approval.object.status.clone().unwrap_or_default();
        may_withdraw(&status.decisions, by)?;
        let mut changes = Changes::at(now);
        let mut draft = AuditDraft::new(namespace.as_str(), "ApprovalWithdrawn", now, by.clone())
            .organization(approval.object.spec.organization_ref.as_str())
            .object(ObjectRef::new(AgentApproval::KIND.as_str(), approval.object.name()))
            .moved(status.phase.as_str(), AgentApprovalPhase::Withdrawn.as_str())
            .outcome(AuditOutcome::Recorded);
        draft.reason.clone_from(&command.reason);
        changes.audit(draft);
        let name = approval.object.name().to_owned();
        let object = approval.change();
        object.spec.withdraw = Some(command);
        object.status_mut().phase = AgentApprovalPhase::Withdrawn;
        if status.phase == AgentApprovalPhase::Denied {
            changes.put(&approval)?;
            changes.commit(self.store()).await?;
            return Ok(());
        }
        let config = self.config().await?;
        let target = approval.object.spec.subject.name.clone();
        let found = records::get::<ExternalWriteIntent>(self.store(), &namespace, &target).await?;
        let mut intent = found.ok_or(DriverError::NotFound { what: "intent", name: target.clone() })?;
        let scope = usable(&config, &namespace, &intent.object.spec.binding_ref)?;
        let is_given = intent.object.status().and_then(|status| status.approval.as_ref());
        let is_given = is_given.is_some_and(|given| given.approval_ref == name);
        match phase_of(&intent.object) {
            IntentPhase::PendingApproval if status.phase == AgentApprovalPhase::Pending => {}
            IntentPhase::ReadyToSend if is_given => {
                let (actor, policy) = (controller(), Policy::of(&scope.policy));
                let ctx = Ctx { now, actor: &actor, policy: &policy, seed: self.seed };
                let event = reissued(scope, &intent.object.spec, intent.object.spec.desired_generation, None)?;
                let step = intent::step(&intent.object, event, &ctx)?;
                changes.audit_all(crate::moves::take(&mut intent, step));
            }
            phase => return Err(DriverError::NotUnsent { name: target, phase: phase.as_str().to_owned() }),
        }
        let again = asked_again(scope, &intent.object, now)?;
        for record in [approval, again] {
            changes.put(&record)?;
        }
        changes.put(&intent)?;
        changes.commit(self.store()).await?;
        Ok(())
    }
}
