//! Carrying out write intents: look, commit, send, commit (S32 to S37).

use krate_model::kinds::external::{
    ExternalSyncConflict, ExternalSyncConflictSpec, ExternalWriteIntent, ExternalWriteIntentPhase,
    ExternalWriteIntentSpec, IntentCancel, SeenVersions,
};
use krate_model::kinds::policy::AgentApproval;
use krate_model::kinds::sets::{ConflictReason, ErrorClass, Idempotency, Strategy};
use krate_model::kinds::shared::{ErrorInfo, Time, Value, Version};
use krate_model::store::{Index, Query, Stored};
use krate_model::{Kind, Resource};
use krate_providers::contract::ProviderError;

use super::resolutions::take_back;
use super::{Config, Driver, DriverError};
use crate::machines::intent::{self, Effect, Event, Reissue};
use crate::machines::{Ctx, Due, Policy, conflict};
use crate::mistakes::{Mistake, made};
use crate::object::{ObjectState, controller};
use crate::plan::{PlanError, Wish, asked_again, is_asked_again, is_unsent, plan, proven};
use crate::records::{self, Changes, Loaded};
use crate::scope::Scope;

impl Driver {
    /// Ends the leases of whoever was sending before: for a process that has the store to itself, and so knows that nobody else lives. What was being
    /// sent is looked for at once instead of when the lease runs out (S34).
    ///
    /// # Errors
    /// [`DriverError`] when the store can't be read or written.
    pub async fn take_over(&self) -> Result<(), DriverError> {
        let now = self.clock.now();
        let sending = ExternalWriteIntentPhase::Sending.as_str().to_owned();
        let query = Query::new(Kind::ExternalWriteIntent).with(Index::Phase, sending.as_str());
        let mut changes = Changes::at(now);
        for mut intent in records::list::<ExternalWriteIntent>(self.store(), query).await? {
            intent.change().status_mut().not_before = Some(now);
            changes.put(&intent)?;
        }
        if !changes.is_empty() {
            changes.commit(self.store()).await?;
        }
        Ok(())
    }

    pub(super) async fn advance_intent(&self, stored: &Stored, config: &Config) -> Result<(), DriverError> {
        let intent = records::parse::<ExternalWriteIntent>(stored)?;
        let Some(scope) = config.scope(intent.object.namespace(), &intent.object.spec.binding_ref) else {
            return Err(DriverError::NotFound { what: "binding", name: intent.object.spec.binding_ref.clone() });
        };
        let now = self.clock.now();
        let policy = Policy::of(&scope.policy);
        match intent::due(&intent.object, &policy, now) {
            Due::Now(Effect::Cancel) => {
                let reason = intent.object.spec.cancel.as_ref().and_then(|command| command.reason.clone());
                let event = Event::Cancelled { reason: reason.unwrap_or_else(|| "cancelled".to_owned()) };
                self.end_unsent(scope, intent, event, None).await
            }
            Due::Now(Effect::Recover) => {
                let error = info(ErrorClass::Timeout, "whoever was sending it is gone", now);
                let event = Self::unknown(scope, &intent.object, error)?;
                self.step_intent(scope, intent, event).await.map(|_| ())
            }
            // Nobody has decided against it: a person's edit stays where it can't be sent without being asked about again.
            Due::Now(Effect::Expire) if is_asked_again(scope, &intent.object) => {
                self.step_intent(scope, intent, Event::Expired).await.map(|_| ())
            }
            Due::Now(Effect::Expire) => self.end_unsent(scope, intent, Event::Expired, None).await,
            Due::Now(Effect::GiveUp) => self.step_intent(scope, intent, Event::Exhausted).await.map(|_| ()),
            Due::Now(Effect::Send) => self.send(scope, intent, false).await,
            Due::Now(Effect::VerifyThenSend) => self.send(scope, intent, true).await,
            Due::Now(Effect::ConfirmByRead) => self.confirm_by_read(scope, intent).await,
            Due::At(_) | Due::Idle => Ok(()),
        }
    }

    /// Writes a person's command that a write which wasn't sent isn't sent: its fields are then as they were before it was wished for. It is carried out in the next
    /// pass (R37). A new object whose create is cancelled stays here alone.
    ///
    /// # Errors
    /// [`DriverError::NotFound`] when there is no such intent, [`DriverError::NotUnsent`] when it was sent or has ended. Nothing is stored then.
    pub async fn cancel(&self, namespace: &str, intent: &str, command: IntentCancel) -> Result<(), DriverError> {
        let found = records::get::<ExternalWriteIntent>(self.store(), namespace, intent).await?;
        let mut found = found.ok_or(DriverError::NotFound { what: "intent", name: intent.to_owned() })?;
        if !is_unsent(&found.object) {
            let phase = found.object.phase().to_owned();
            return Err(DriverError::NotUnsent { name: intent.to_owned(), phase });
        }
        found.change().spec.cancel = Some(command);
        let mut changes = Changes::at(self.clock.now());
        changes.put(&found)?;
        changes.commit(self.store()).await?;
        Ok(())
    }

    /// Ends a write that wasn't sent, by `event`, and takes back what it wished for: left as it is, the next edit of somebody else would send it along, without the
    /// approval that it didn't get (S39). `approval` says so in the same commit.
    pub(super) async fn end_unsent(
        &self,
        scope: &Scope,
        mut intent: Loaded<ExternalWriteIntent>,
        event: Event,
        approval: Option<Loaded<AgentApproval>>,
    ) -> Result<(), DriverError> {
        let (now, actor, policy) = (self.clock.now(), controller(), Policy::of(&scope.policy));
        let ctx = Ctx { now, actor: &actor, policy: &policy, seed: self.seed };
        let step = intent::step(&intent.object, event, &ctx)?;
        let mut changes = Changes::at(now);
        changes.audit_all(crate::moves::take(&mut intent, step));
        let spec = intent.object.spec.clone();
        let mut state = ObjectState::load_of_local(self.store(), scope.namespace(), &spec.target).await?;
        state.intents.retain(|known| known.object.name() != intent.object.name());
        state.intents.push(intent);
        if let Some(approval) = approval {
            state.approvals.retain(|known| known.object.name() != approval.object.name());
            state.approvals.push(approval);
        }
        take_back(&mut state, scope, &spec.payload, &spec.interface).map_err(PlanError::from)?;
        state.write(&mut changes)?;
        changes.commit(self.store()).await?;
        Ok(())
    }

    /// One step, committed with everything of its object that changes with it.
    pub(super) async fn step_intent(
        &self,
        scope: &Scope,
        intent: Loaded<ExternalWriteIntent>,
        event: Event,
    ) -> Result<Loaded<ExternalWriteIntent>, DriverError> {
        self.step_intent_with(scope, intent, event, None, false).await
    }

    /// [`Self::step_intent`], in one commit with the plan of what else its wish has left to write.
    pub(super) async fn step_and_plan(
        &self,
        scope: &Scope,
        intent: Loaded<ExternalWriteIntent>,
        event: Event,
    ) -> Result<(), DriverError> {
        self.step_intent_with(scope, intent, event, None, true).await.map(|_| ())
    }

    /// [`Self::step_intent`], in one commit with the approval that says so, and with a new plan for its object.
    pub(super) async fn step_intent_with(
        &self,
        scope: &Scope,
        mut intent: Loaded<ExternalWriteIntent>,
        event: Event,
        approval: Option<Loaded<AgentApproval>>,
        anew: bool,
    ) -> Result<Loaded<ExternalWriteIntent>, DriverError> {
        let now = self.clock.now();
        let actor = controller();
        let policy = Policy::of(&scope.policy);
        let ctx = Ctx { now, actor: &actor, policy: &policy, seed: self.seed };
        let is_proven = matches!(event, Event::Proven { .. });
        let is_reissued = matches!(event, Event::Reissued { .. });
        let mut step = intent::step(&intent.object, event, &ctx)?;
        let mut changes = Changes::at(now);
        let also = std::mem::take(&mut step.also);
        changes.audit_all(crate::moves::take(&mut intent, step));
        let mut state = ObjectState::load_of_local(self.store(), scope.namespace(), &intent.object.spec.target).await?;
        for record in also {
            let crate::machines::Also::Conflict(found) = record;
            let known = records::get::<ExternalSyncConflict>(self.store(), scope.namespace(), found.name()).await?;
            if known.is_none() {
                let opened = conflict::open(&found, None, &ctx);
                changes.audit_all(opened.audit);
                state.conflicts.push(Loaded::new(opened.record));
            }
        }
        if is_proven
            && !made(Mistake::LabelProofForgotten)
            && let Some(labels) = proven(&state, &intent.object.spec.payload)
            && let Some(kind) = state.local.as_ref().map(|local| local.object.kind())
        {
            let rules = scope.rules(&intent.object.spec.interface, kind);
            if let Some(rule) = rules.iter().find(|rule| rule.path == "spec.labels") {
                state.set_base(rule, &labels)?;
            }
        }
        // The intent itself is written through the state, so that the link's list of pending intents moves in the same commit.
        match state.intents.iter_mut().find(|known| known.object.name() == intent.object.name()) {
            Some(known) => *known = intent.clone(),
            None => state.intents.push(intent.clone()),
        }
        if is_reissued && phase_of(&intent.object) == ExternalWriteIntentPhase::PendingApproval {
            state.approvals.push(asked_again(scope, &intent.object, now)?);
        }
        if let Some(approval) = approval {
            state.approvals.retain(|known| known.object.name() != approval.object.name());
            state.approvals.push(approval);
        }
        if anew {
            // Where the rest can't be carried, the step itself stands all the same.
            let mut planned = state.clone();
            planned.wish_anew();
            if plan(&mut planned, scope, &Wish::reconcile(now)).is_ok() {
                state = planned;
            }
        }
        state.write(&mut changes)?;
        changes.commit(self.store()).await?;
        let name = intent.object.name().to_owned();
        let again = records::get::<ExternalWriteIntent>(self.store(), scope.namespace(), &name).await?;
        again.ok_or(DriverError::NotFound { what: "intent", name })
    }

    pub(super) fn unknown(scope: &Scope, intent: &ExternalWriteIntent, error: ErrorInfo) -> Result<Event, DriverError> {
        let idempotency =
            scope.operation(&intent.spec.operation).map_or(Idempotency::None, |known| known.idempotency.clone());
        let conflict = Box::new(unconfirmed(scope, intent, ConflictReason::UnconfirmedWrite)?);
        Ok(Event::OutcomeUnknown { error, idempotency, conflict })
    }
}

/// The same wish as another request, sent by who sends for the scope now (S32).
/// `asks` says why a person has to look first, where nobody was to be asked before.
pub(super) fn reissued(
    scope: &Scope,
    spec: &ExternalWriteIntentSpec,
    generation: i64,
    asks: Option<String>,
) -> Result<Event, PlanError> {
    let request = Reissue { asks, ..Reissue::of(spec, generation, scope.credential())? };
    Ok(Event::Reissued { request: Box::new(request) })
}

pub(super) fn phase_of(intent: &ExternalWriteIntent) -> ExternalWriteIntentPhase {
    intent.status.as_ref().map_or_else(ExternalWriteIntentPhase::default, |status| status.phase.clone())
}

/// The conflict of a write that nobody can vouch for: a person looks (S34).
pub(super) fn unconfirmed(
    scope: &Scope,
    intent: &ExternalWriteIntent,
    reason: ConflictReason,
) -> Result<ExternalSyncConflict, DriverError> {
    let spec = &intent.spec;
    let payload = serde_json::to_value(&spec.payload).unwrap_or_default();
    let conflict = ExternalSyncConflictSpec {
        organization_ref: spec.organization_ref.clone(),
        provider_ref: spec.provider_ref.clone(),
        binding_ref: spec.binding_ref.clone(),
        interface: spec.interface.clone(),
        resource: spec.target.clone(),
        link_ref: intent.name().to_owned(),
        field_path: format!("operation.{}", spec.operation),
        reason,
        strategy: Strategy::Scalar,
        base: None,
        desired: Value::of(Some(&payload), krate_model::kinds::shared::MAX_VALUE_BYTES)?,
        observed: Value::of(None, 0)?,
        desired_by: Some(spec.source.actor.clone()),
        observed_by: None,
        versions: SeenVersions { desired_generation: spec.desired_generation, observed: Version::default() },
        intent_ref: Some(intent.name().to_owned()),
        resolution: None,
    };
    let name = conflict::name(&conflict)?;
    Ok(ExternalSyncConflict::at(scope.namespace(), name, conflict))
}

pub(super) fn info(class: ErrorClass, message: &str, at: Time) -> ErrorInfo {
    ErrorInfo { class, message: message.to_owned(), path: None, until: None, request_id: None, at }
}

pub(super) fn of(error: &ProviderError, at: Time) -> ErrorInfo {
    ErrorInfo {
        class: error.class.clone(),
        message: error.message.clone(),
        path: error.path.clone(),
        until: error.until,
        request_id: error.request_id.clone(),
        at,
    }
}
