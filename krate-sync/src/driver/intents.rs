//! Carrying out write intents: look, commit, send, commit (S32 to S37).

use krate_model::kinds::external::{
    ConfirmedBy, ExternalSyncConflict, ExternalSyncConflictSpec, ExternalWriteIntent, ExternalWriteIntentPhase,
    IntentResponse, Payload, SeenVersions,
};
use krate_model::kinds::policy::AgentApproval;
use krate_model::kinds::sets::{ConflictReason, ErrorClass, Idempotency, Operation, Strategy};
use krate_model::kinds::shared::{ErrorInfo, Time, Value, Version};
use krate_model::store::{Index, Query, Stored};
use krate_model::{Digest, Kind, Resource};
use krate_providers::contract::{Call, Outcome, ProviderError, SendOutcome};

use super::objects::Cause;
use super::{Config, Driver, DriverError};
use crate::machines::intent::{self, Effect, Event};
use crate::machines::{Ctx, Due, Gate, Policy, conflict};
use crate::object::{ObjectState, controller, is_final, is_open};
use crate::observe::Shows;
use crate::order::Origin;
use crate::plan::{Standing, Wish, carries, plan, share_a_field, standing};
use crate::records::{self, Changes, Loaded};
use crate::scope::Scope;

/// How long an intent waits for the one before it, or for a pause to end, until it looks again.
const HELD_PAUSE: chrono::TimeDelta = chrono::TimeDelta::seconds(1);

/// After how many failures a look counts as having failed: a write that is still to be sent keeps no count of its looks.
const LOOK_BACKOFF: i64 = 3;

/// Why a write that stood ready, or was to be sent again, isn't sent.
const NO_LONGER_WISHED: &str = "what it would write is no longer wished for here";

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
        let Some(scope) = config.scope(&intent.object.spec.binding_ref) else {
            return Err(DriverError::NotFound { what: "binding", name: intent.object.spec.binding_ref.clone() });
        };
        let now = self.clock.now();
        let policy = Policy::of(&scope.policy);
        match intent::due(&intent.object, &policy, now) {
            Due::Now(Effect::Cancel) => {
                let reason = intent.object.spec.cancel.as_ref().and_then(|command| command.reason.clone());
                let event = Event::Cancelled { reason: reason.unwrap_or_else(|| "cancelled".to_owned()) };
                self.step_intent(scope, intent, event).await.map(|_| ())
            }
            Due::Now(Effect::Recover) => {
                let error = info(ErrorClass::Timeout, "whoever was sending it is gone", now);
                let event = Self::unknown(scope, &intent.object, error)?;
                self.step_intent(scope, intent, event).await.map(|_| ())
            }
            Due::Now(Effect::Expire) => self.step_intent(scope, intent, Event::Expired).await.map(|_| ()),
            Due::Now(Effect::GiveUp) => self.step_intent(scope, intent, Event::Exhausted).await.map(|_| ()),
            Due::Now(Effect::Send) => self.send(scope, intent, false).await,
            Due::Now(Effect::VerifyThenSend) => self.send(scope, intent, true).await,
            Due::Now(Effect::ConfirmByRead) => self.confirm_by_read(scope, intent).await,
            Due::At(_) | Due::Idle => Ok(()),
        }
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
    async fn step_and_plan(
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
        // The intent itself is written through the state, so that the link's list of pending intents moves in the same commit.
        match state.intents.iter_mut().find(|known| known.object.name() == intent.object.name()) {
            Some(known) => *known = intent.clone(),
            None => state.intents.push(intent.clone()),
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

    /// What holds an intent back, if anything does (S36, S37).
    async fn gate(&self, scope: &Scope, intent: &ExternalWriteIntent) -> Result<Gate, DriverError> {
        if scope.is_paused() {
            return Ok(Gate::Paused {
                by: krate_model::kinds::shared::ObjectRef::new(
                    Kind::ExternalBackendBinding.as_str(),
                    scope.binding_name(),
                ),
            });
        }
        for before in &intent.spec.depends_on {
            let known = records::get::<ExternalWriteIntent>(self.store(), scope.namespace(), before).await?;
            // A conflict holds back what would write the same field, and nothing else (S27).
            let holds = known.is_some_and(|known| {
                let parted = phase_of(&known.object) == ExternalWriteIntentPhase::Conflict
                    && !share_a_field(&known.object.spec.payload, &intent.spec.payload);
                !is_final(&known.object) && !parted
            });
            if holds {
                return Ok(Gate::Behind { intent: before.clone() });
            }
        }
        Ok(Gate::Open)
    }

    async fn send(&self, scope: &Scope, intent: Loaded<ExternalWriteIntent>, verify: bool) -> Result<(), DriverError> {
        if self.gate(scope, &intent.object).await? != Gate::Open {
            let until = self.clock.now() + HELD_PAUSE;
            return self.step_intent(scope, intent, Event::Postponed { until }).await.map(|_| ());
        }
        let name = intent.object.name().to_owned();
        let exists = intent.object.spec.native_target.native_id.is_some();
        // What it changes, or what it is said about: a new issue has neither.
        let has_place = exists || intent.object.spec.native_target.native_number.is_some();
        let retried = phase_of(&intent.object) == ExternalWriteIntentPhase::Retrying;
        // A change that was sent once is looked for first, even where it surely failed: somebody else may have made it meanwhile.
        let seen = intent.object.status.as_ref().is_some_and(|status| status.confirmation.is_some());
        let mut verify = verify || (retried && (exists || seen));
        let intent = if verify || !exists {
            intent
        } else {
            // Nobody's edit is written over unseen: what the provider has now is merged first, and may take the wish back.
            match self.look(scope, &intent.object).await {
                Ok(()) => {}
                Err(DriverError::Provider(error)) if error.is_retryable() || error.sent == SendOutcome::Unknown => {
                    let now = self.clock.now();
                    let policy = Policy::of(&scope.policy);
                    let pause = policy.backoff(self.seed, &name, LOOK_BACKOFF).max(policy.base_delay);
                    let until = error.until.unwrap_or(now + pause);
                    return self.step_intent(scope, intent, Event::Postponed { until }).await.map(|_| ());
                }
                // The write itself will meet the same answer, and says it better.
                Err(DriverError::Provider(_)) => {}
                Err(other) => return Err(other),
            }
            let Some(again) = records::get::<ExternalWriteIntent>(self.store(), scope.namespace(), &name).await? else {
                return Ok(());
            };
            if phase_of(&again.object) != ExternalWriteIntentPhase::ReadyToSend {
                return Ok(());
            }
            match self.standing(scope, &again.object).await? {
                Standing::Wished => {}
                // Somebody else has done it: a read proves it, and nothing is sent.
                Standing::There => verify = true,
                Standing::Gone => {
                    let event = Event::Cancelled { reason: NO_LONGER_WISHED.to_owned() };
                    return self.step_and_plan(scope, again, event).await;
                }
            }
            again
        };

        let mut intent = self.step_intent(scope, intent, Event::Dispatched { gate: Gate::Open }).await?;
        if verify {
            // An observation has shown the effect since it was sent: it isn't wished for again, whatever came after it.
            let status = intent.object.status.as_ref();
            if let Some(known) = status.and_then(|status| status.confirmation.clone()) {
                let target = &intent.object.spec.native_target;
                let response = IntentResponse {
                    native_id: target.native_id.clone(),
                    native_number: target.native_number,
                    version: None,
                    digest: Some(known.digest),
                    request_id: None,
                };
                let event = Event::Proven { response, by: known.by, digest: known.digest };
                return self.step_intent(scope, intent, event).await.map(|_| ());
            }
            let shown = self.effect_shown(scope, &intent.object).await;
            // What it showed may have been noted on the intent.
            let again = records::get::<ExternalWriteIntent>(self.store(), scope.namespace(), &name).await?;
            intent = again.unwrap_or(intent);
            match shown {
                Ok(Some((response, digest))) => {
                    let event = Event::Proven { response, by: ConfirmedBy::Read, digest };
                    return self.step_intent(scope, intent, event).await.map(|_| ());
                }
                Ok(None) => {}
                // There is nothing to look at any more, and nothing to send to.
                Err(DriverError::Provider(error))
                    if has_place && matches!(error.class, ErrorClass::Gone | ErrorClass::NotFound) =>
                {
                    let event = Event::PermanentFailure { error: of(&error, self.clock.now()) };
                    return self.step_intent(scope, intent, event).await.map(|_| ());
                }
                Err(DriverError::Provider(error)) => {
                    // Still unknown: looking is tried again, sending isn't.
                    let error = of(&error, self.clock.now());
                    let event = Self::unknown(scope, &intent.object, error)?;
                    return self.step_intent(scope, intent, event).await.map(|_| ());
                }
                Err(other) => return Err(other),
            }
            // What the look showed instead was merged: where it met the wish, a person decides, and nothing is written over it (S27).
            if let Some(conflict) = self.in_the_way(scope, &intent.object).await? {
                let error = info(ErrorClass::Precondition, "the field is in conflict", self.clock.now());
                let event = Event::PreconditionFailed { error, conflict: Box::new(conflict) };
                // What else it carried goes on its way (S27).
                return self.step_and_plan(scope, intent, event).await;
            }
            // Whoever wished for it wishes for something else since, or took what the provider has: it isn't written over that.
            if self.standing(scope, &intent.object).await? == Standing::Gone {
                let event = Event::PermanentFailure {
                    error: info(ErrorClass::Precondition, NO_LONGER_WISHED, self.clock.now()),
                };
                return self.step_and_plan(scope, intent, event).await;
            }
        }
        self.perform(scope, intent).await
    }

    /// How the intent stands to what its object is to be, and is known to be, now.
    async fn standing(&self, scope: &Scope, intent: &ExternalWriteIntent) -> Result<Standing, DriverError> {
        let state = ObjectState::load_of_local(self.store(), scope.namespace(), &intent.spec.target).await?;
        Ok(standing(&state, &intent.spec.payload))
    }

    /// The open conflict about a field that the intent would write.
    async fn in_the_way(
        &self,
        scope: &Scope,
        intent: &ExternalWriteIntent,
    ) -> Result<Option<ExternalSyncConflict>, DriverError> {
        let state = ObjectState::load_of_local(self.store(), scope.namespace(), &intent.spec.target).await?;
        let met = state.conflicts.into_iter().map(|conflict| conflict.object);
        Ok(met.into_iter().find(|found| is_open(found) && carries(&intent.spec.payload, &found.spec.field_path)))
    }

    async fn perform(&self, scope: &Scope, intent: Loaded<ExternalWriteIntent>) -> Result<(), DriverError> {
        let spec = intent.object.spec.clone();
        let mut call = Call::new(spec.operation.clone(), &spec.native_target);
        call.payload = Some(&spec.payload);
        call.precondition = spec.precondition.as_ref();
        call.marker = spec.native_target.native_id.is_none().then_some(&spec.idempotency_key);
        let answered = self.call(scope, &call).await;
        let now = self.clock.now();
        let answer = match answered {
            Ok(answer) => answer,
            Err(DriverError::Provider(error)) => return self.failed(scope, intent, &error).await,
            Err(DriverError::Encode(error)) => {
                let event = Event::PermanentFailure { error: info(ErrorClass::Unsupported, &error.to_string(), now) };
                return self.step_intent(scope, intent, event).await.map(|_| ());
            }
            Err(DriverError::Secret(error)) => {
                let event = Event::TransientFailure { error: info(ErrorClass::Configuration, &error.to_string(), now) };
                return self.step_intent(scope, intent, event).await.map(|_| ());
            }
            Err(other) => return Err(other),
        };
        let decoded = scope.backend.adapter.decode(&call, &answer.response, now);
        let request_id = decoded.request_id.clone();
        match decoded.result {
            Ok(outcome) => {
                let name = intent.object.name().to_owned();
                let digest = Digest::of(answer.response.body());
                let mut response = IntentResponse {
                    native_id: spec.native_target.native_id.clone(),
                    native_number: spec.native_target.native_number,
                    version: None,
                    digest: Some(digest),
                    request_id,
                };
                let origin = Origin::Read { started_at: answer.started_at };
                let mut event_of_answer = None;
                if let Outcome::Object(event) = outcome {
                    response.native_id = Some(event.native_id.to_string());
                    response.version = Some(event.observed_version.clone());
                    event_of_answer = Some(event);
                }
                let confirms = scope.operation(&spec.operation).is_some_and(|known| known.response_confirms);
                let next = if confirms {
                    Event::Proven { response, by: ConfirmedBy::Response, digest }
                } else {
                    Event::Accepted { response }
                };
                // What the provider has now moves base and projection first, the intent last: a crash in between leaves a write that is looked for,
                // never one that is done and still wanted.
                let seen = match event_of_answer {
                    Some(event) => {
                        self.apply(scope, &event, origin, Shows::Response, Cause::Intent(&name)).await.map(|_| ())
                    }
                    // The answer shows a part, or nothing: the object is read.
                    None => self.look_at(scope, &spec.native_target).await,
                };
                let next = match seen {
                    Ok(()) => next,
                    // It is done all the same; where a read can prove it, one is due.
                    Err(DriverError::Provider(error)) if is_readable(scope, &spec.operation) => {
                        Self::unknown(scope, &intent.object, of(&error, self.clock.now()))?
                    }
                    Err(DriverError::Provider(_)) => next,
                    Err(other) => return Err(other),
                };
                let Some(intent) = records::get::<ExternalWriteIntent>(self.store(), scope.namespace(), &name).await?
                else {
                    return Ok(());
                };
                self.step_intent(scope, intent, next).await.map(|_| ())
            }
            Err(error) => self.failed(scope, intent, &error.request_id(request_id)).await,
        }
    }

    async fn failed(
        &self,
        scope: &Scope,
        intent: Loaded<ExternalWriteIntent>,
        error: &ProviderError,
    ) -> Result<(), DriverError> {
        let told = of(error, self.clock.now());
        let event = if error.sent == SendOutcome::Unknown {
            Self::unknown(scope, &intent.object, told)?
        } else if error.is_retryable() {
            Event::TransientFailure { error: told }
        } else if error.class == ErrorClass::Precondition {
            let conflict = Box::new(unconfirmed(scope, &intent.object, ConflictReason::PreconditionFailed)?);
            Event::PreconditionFailed { error: told, conflict }
        } else if error.class == ErrorClass::NotFound
            && matches!(intent.object.spec.payload, Payload::RemoveLabels(_))
            && let Ok(Some((response, digest))) = self.effect_shown(scope, &intent.object).await
        {
            // Somebody else has removed it: what was wished for is so.
            Event::Proven { response, by: ConfirmedBy::Read, digest }
        } else {
            Event::PermanentFailure { error: told }
        };
        self.step_intent(scope, intent, event).await.map(|_| ())
    }

    fn unknown(scope: &Scope, intent: &ExternalWriteIntent, error: ErrorInfo) -> Result<Event, DriverError> {
        let idempotency =
            scope.operation(&intent.spec.operation).map_or(Idempotency::None, |known| known.idempotency.clone());
        let conflict = Box::new(unconfirmed(scope, intent, ConflictReason::UnconfirmedWrite)?);
        Ok(Event::OutcomeUnknown { error, idempotency, conflict })
    }
}

fn phase_of(intent: &ExternalWriteIntent) -> ExternalWriteIntentPhase {
    intent.status.as_ref().map_or_else(ExternalWriteIntentPhase::default, |status| status.phase.clone())
}

/// Whether the manifest says that a read tells if the operation had its effect (S34).
fn is_readable(scope: &Scope, operation: &Operation) -> bool {
    scope.operation(operation).is_some_and(|known| known.idempotency == Idempotency::VerifyByRead)
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

fn info(class: ErrorClass, message: &str, at: Time) -> ErrorInfo {
    ErrorInfo { class, message: message.to_owned(), path: None, until: None, request_id: None, at }
}

fn of(error: &ProviderError, at: Time) -> ErrorInfo {
    ErrorInfo {
        class: error.class.clone(),
        message: error.message.clone(),
        path: error.path.clone(),
        until: error.until,
        request_id: error.request_id.clone(),
        at,
    }
}
