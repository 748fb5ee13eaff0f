//! One write, sent: look, commit, send, commit (S32 to S37).

use krate_model::kinds::external::{
    ConfirmedBy, ExternalSyncConflict, ExternalWriteIntent, ExternalWriteIntentPhase, IntentResponse, Payload,
};
use krate_model::kinds::sets::{ConflictReason, ErrorClass, Idempotency, Operation};
use krate_model::kinds::shared::ObjectRef;
use krate_model::{Digest, Kind, Resource};
use krate_providers::contract::{Call, Outcome, ProviderError, SendOutcome};

use super::intents::{info, of, phase_of, reissued, unconfirmed};
use super::looks::Looked;
use super::objects::Cause;
use super::{Driver, DriverError, MAX_RACES};
use crate::machines::intent::Event;
use crate::machines::{Gate, LIMIT_PAUSE, Policy, later};
use crate::mistakes::{Mistake, made};
use crate::object::{ObjectState, is_final, is_open};
use crate::observe::Shows;
use crate::order::Origin;
use crate::plan::{Standing, asks_now, carries, deletes, share_a_field, standing};
use crate::records::{self, Changes, Loaded};
use crate::scope::Scope;

/// How long an intent waits until it looks again whether it may go: what it waits for wakes it where that ends here.
const HELD_PAUSE: chrono::TimeDelta = chrono::TimeDelta::seconds(30);

/// After how many failures a look counts as having failed: a write that is still to be sent keeps no count of its looks.
const LOOK_BACKOFF: i64 = 3;

/// Why a person is asked about a write for which nobody was when it was planned.
const TIGHTENED: &str = "policy or mode let a person look first since it was planned";

/// Why a write that was approved isn't sent again.
const OTHER_SENDER: &str = "the provider's credential isn't the one that it was approved for";

/// Why a write that stood ready, or was to be sent again, isn't sent.
const NO_LONGER_WISHED: &str = "what it would write is no longer wished for here";

impl Driver {
    /// What holds an intent back, if anything does (S36, S37).
    async fn gate(&self, scope: &Scope, intent: &ExternalWriteIntent) -> Result<Gate, DriverError> {
        let sent = phase_of(intent) != ExternalWriteIntentPhase::ReadyToSend;
        // R21: what was sent in the name of a deleted binding is still looked for; it isn't sent again.
        let only_looks = scope.is_going() && sent;
        let paused = if only_looks { scope.is_provider_paused() } else { scope.is_paused() };
        if paused {
            let by = ObjectRef::new(Kind::ExternalBackendBinding.as_str(), scope.binding_name());
            return Ok(Gate::Paused { by });
        }
        if let Some(policy) = scope.missing_policy.as_ref().filter(|_| !only_looks) {
            let by = ObjectRef::new(Kind::ExternalBackendSyncPolicy.as_str(), policy);
            return Ok(Gate::Paused { by });
        }
        for before in &intent.spec.depends_on {
            let known = records::get::<ExternalWriteIntent>(self.store(), scope.namespace(), before).await?;
            let Some(known) = known.filter(|known| !is_final(&known.object)) else { continue };
            // A conflict holds back what would write its field, and nothing else (S27).
            let parted = phase_of(&known.object) == ExternalWriteIntentPhase::Conflict
                && !self.shares_conflict(scope, &known.object, intent).await?;
            if !parted && !made(Mistake::OrderIgnored) {
                return Ok(Gate::Behind { intent: before.clone() });
            }
        }
        // What was sent once is looked for first, and meets the conflict itself.
        match self.in_the_way(scope, intent).await?.filter(|_| !sent) {
            Some(conflict) => Ok(Gate::Behind { intent: conflict.name().to_owned() }),
            None => Ok(Gate::Open),
        }
    }

    /// Whether what `held` waits for a decision about is written by `intent` too: a field, or all that it writes.
    async fn shares_conflict(
        &self,
        scope: &Scope,
        held: &ExternalWriteIntent,
        intent: &ExternalWriteIntent,
    ) -> Result<bool, DriverError> {
        let (wrote, writes) = (&held.spec.payload, &intent.spec.payload);
        let name = held.status.as_ref().and_then(|status| status.conflict_ref.clone()).unwrap_or_default();
        let conflict = records::get::<ExternalSyncConflict>(self.store(), scope.namespace(), &name).await?;
        Ok(match conflict.map(|conflict| conflict.object.spec.field_path) {
            Some(path) if carries(wrote, &path) => carries(writes, &path),
            _ => share_a_field(wrote, writes),
        })
    }

    pub(super) async fn send(
        &self,
        scope: &Scope,
        intent: Loaded<ExternalWriteIntent>,
        verify: bool,
    ) -> Result<(), DriverError> {
        let gate = self.gate(scope, &intent.object).await?;
        if matches!(gate, Gate::Paused { .. }) && made(Mistake::PauseForgets) {
            let event = Event::Cancelled { reason: "paused".to_owned() };
            return self.step_intent(scope, intent, event).await.map(|_| ());
        }
        if gate != Gate::Open {
            let until = self.clock.now() + HELD_PAUSE;
            return self.step_intent(scope, intent, Event::Postponed { until }).await.map(|_| ());
        }
        let is_same_sender = intent.object.spec.credential.as_ref() == Some(&scope.credential());
        if phase_of(&intent.object) == ExternalWriteIntentPhase::ReadyToSend {
            // A policy or mode that was tightened since holds for what waited.
            let asks = match asks_now(scope, &intent.object) {
                Ok(asks) => asks && !intent.object.spec.approval_policy.required,
                Err(denied) => {
                    let intent = self.step_intent(scope, intent, Event::Dispatched { gate: Gate::Open }).await?;
                    let error = info(ErrorClass::Permission, &denied.to_string(), self.clock.now());
                    return self.step_intent(scope, intent, Event::PermanentFailure { error }).await.map(|_| ());
                }
            };
            if !is_same_sender || asks {
                let spec = &intent.object.spec;
                let asks = asks.then(|| TIGHTENED.to_owned());
                let event = reissued(scope, spec, spec.desired_generation, asks)?;
                return self.step_intent(scope, intent, event).await.map(|_| ());
            }
        }
        let name = intent.object.name().to_owned();
        let exists = intent.object.spec.native_target.native_id.is_some();
        // What it changes, or what it is said about: a new issue has neither.
        let has_place = exists || intent.object.spec.native_target.native_number.is_some();
        let retried = phase_of(&intent.object) == ExternalWriteIntentPhase::Retrying;
        // A change that was sent once is looked for first, even where it surely failed: somebody else may have made it meanwhile.
        let seen = intent.object.status.as_ref().is_some_and(|status| status.confirmation.is_some());
        let mut verify = verify || (retried && (exists || seen));
        if made(Mistake::RetryUnverified) {
            verify = false;
        }
        let intent = if verify || !exists || made(Mistake::WriteUnlooked) {
            intent
        } else {
            // Nobody's edit is written over unseen: what the provider has now is merged first, and may take the wish back.
            let pause = || {
                let policy = Policy::of(&scope.policy);
                self.clock.now() + policy.backoff(self.seed, &name, LOOK_BACKOFF).max(policy.base_delay)
            };
            match self.look(scope, &intent.object).await {
                Ok(Looked::Shown) => {}
                Ok(Looked::Missing) | Err(DriverError::Provider(_)) if made(Mistake::LookFailureIgnored) => {}
                // There is nothing to write to.
                Ok(Looked::Missing) => {
                    let gone = ProviderError::new(ErrorClass::NotFound, "the object that it changes isn't there");
                    let intent = self.step_intent(scope, intent, Event::Dispatched { gate: Gate::Open }).await?;
                    let event = Event::PermanentFailure { error: of(&gone, self.clock.now()) };
                    return self.step_intent(scope, intent, event).await.map(|_| ());
                }
                // Whatever the reason: nothing is written over what nobody could look at.
                Err(error) => {
                    let until = error.failure().ok_or(error)?.until;
                    let until = until.map_or_else(pause, |until| until.max(self.clock.now() + LIMIT_PAUSE));
                    return self.step_intent(scope, intent, Event::Postponed { until }).await.map(|_| ());
                }
            }
            let Some(again) = records::get::<ExternalWriteIntent>(self.store(), scope.namespace(), &name).await? else {
                return Ok(());
            };
            // Whoever cancelled it meanwhile has been told that it isn't sent.
            if phase_of(&again.object) != ExternalWriteIntentPhase::ReadyToSend || again.object.spec.cancel.is_some() {
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
                Standing::Unclear => {
                    let until = pause();
                    return self.step_intent(scope, again, Event::Postponed { until }).await.map(|_| ());
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
            let Some(again) = self.still_ours(scope, &intent.object).await? else { return Ok(()) };
            intent = again;
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
                Err(error) => {
                    // Still unknown: looking is tried again, sending isn't.
                    let failed = error.failure().ok_or(error)?;
                    let event = Self::unknown(scope, &intent.object, of(&failed, self.clock.now()))?;
                    return self.step_intent(scope, intent, event).await.map(|_| ());
                }
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
            intent = self.renewed(scope, intent).await?;
        }
        // Who approved it approved who sends it: whether another account tries again, a person decides anew (S32).
        if !is_same_sender && intent.object.spec.approval_policy.required {
            let error = info(ErrorClass::Precondition, OTHER_SENDER, self.clock.now());
            let conflict = Box::new(unconfirmed(scope, &intent.object, ConflictReason::PreconditionFailed)?);
            return self.step_intent(scope, intent, Event::PreconditionFailed { error, conflict }).await.map(|_| ());
        }
        // What waited for its next attempt is judged by policy and mode as they are now, as what is sent for the first time (R52).
        if let Err(denied) = asks_now(scope, &intent.object) {
            let error = info(ErrorClass::Permission, &denied.to_string(), self.clock.now());
            return self.step_intent(scope, intent, Event::PermanentFailure { error }).await.map(|_| ());
        }
        if scope.is_going() {
            let error =
                info(ErrorClass::Configuration, "its binding is deleted: it isn't sent again", self.clock.now());
            return self.step_intent(scope, intent, Event::PermanentFailure { error }).await.map(|_| ());
        }
        self.perform(scope, intent).await
    }

    /// A sent intent as it is after a look; nothing where another process has taken it over, because the look took longer than the lease.
    async fn still_ours(
        &self,
        scope: &Scope,
        sent: &ExternalWriteIntent,
    ) -> Result<Option<Loaded<ExternalWriteIntent>>, DriverError> {
        let known = records::get::<ExternalWriteIntent>(self.store(), scope.namespace(), sent.name()).await?;
        if made(Mistake::LeaseIgnored) {
            return Ok(known);
        }
        let sent_at = |intent: &ExternalWriteIntent| intent.status.as_ref().and_then(|status| status.sent_at);
        Ok(known.filter(|known| {
            phase_of(&known.object) == ExternalWriteIntentPhase::Sending && sent_at(&known.object) == sent_at(sent)
        }))
    }

    /// Commits a new lease where looking has used more than a quarter of it up: whoever takes the intent over at the same time wins or loses against this commit, and the
    /// loser sends nothing.
    async fn renewed(
        &self,
        scope: &Scope,
        mut intent: Loaded<ExternalWriteIntent>,
    ) -> Result<Loaded<ExternalWriteIntent>, DriverError> {
        let (now, lease) = (self.clock.now(), Policy::of(&scope.policy).lease);
        let until = intent.object.status.as_ref().and_then(|status| status.not_before);
        if until.is_some_and(|until| until - now >= lease * 3 / 4) || made(Mistake::LeaseIgnored) {
            return Ok(intent);
        }
        intent.change().status_mut().not_before = Some(later(now, lease));
        let mut changes = Changes::at(now);
        changes.put(&intent)?;
        changes.commit(self.store()).await?;
        let name = intent.object.name().to_owned();
        let again = self.still_ours(scope, &intent.object).await?;
        again.ok_or(DriverError::NotFound { what: "intent", name })
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
        if made(Mistake::SentIsDone) {
            let response = IntentResponse {
                native_id: spec.native_target.native_id.clone(),
                native_number: spec.native_target.native_number,
                version: None,
                digest: None,
                request_id: None,
            };
            let event = Event::Proven { response, by: ConfirmedBy::Response, digest: spec.request_digest };
            self.step_intent(scope, intent.clone(), event).await?;
        }
        let mut call = Call::new(spec.operation.clone(), &spec.native_target);
        call.payload = Some(&spec.payload);
        call.precondition = spec.precondition.as_ref();
        let is_marked = spec.native_target.native_id.is_none() && !made(Mistake::CreateUnmarked);
        call.marker = is_marked.then_some(&spec.idempotency_key);
        let answered = self.call(scope, &call).await;
        let now = self.clock.now();
        let answer = match answered {
            Ok(answer) => answer,
            Err(DriverError::Provider(error)) => return self.failed(scope, &intent.object, &error).await,
            Err(DriverError::Encode(error)) => {
                let event = Event::PermanentFailure { error: info(ErrorClass::Unsupported, &error.to_string(), now) };
                return self.answered(scope, &intent.object, event).await;
            }
            Err(DriverError::Secret(error)) => {
                let event = Event::TransientFailure { error: info(ErrorClass::Configuration, &error.to_string(), now) };
                return self.answered(scope, &intent.object, event).await;
            }
            Err(other) => return Err(other),
        };
        let decoded = self.decode(scope, &call, &answer);
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
                    None if deletes(&spec.payload) => {
                        self.bury_deleted(scope, &intent.object, origin, Shows::Response).await
                    }
                    // The answer shows a part, or nothing: the object is read.
                    None => self.look_at(scope, &spec.native_target).await.map(|_| ()),
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
                self.answered(scope, &intent.object, next).await
            }
            Err(error) => self.failed(scope, &intent.object, &error.request_id(request_id)).await,
        }
    }

    /// Takes the step that an answer in hand tells, on the intent as it is by now. Where somebody else was faster it is taken again: what is known to
    /// have happened doesn't wait until the lease ends. An effect is told whoever has the intent; that there is none, only while nobody else may be sending it.
    async fn answered(&self, scope: &Scope, sent: &ExternalWriteIntent, event: Event) -> Result<(), DriverError> {
        let is_effect = matches!(event, Event::Proven { .. } | Event::Accepted { .. });
        for last in (0..=MAX_RACES).rev() {
            let known = if is_effect {
                records::get::<ExternalWriteIntent>(self.store(), scope.namespace(), sent.name()).await?
            } else {
                self.still_ours(scope, sent).await?
            };
            let Some(intent) = known else { break };
            match self.step_intent(scope, intent, event.clone()).await {
                Err(error) if error.is_race() && last > 0 => {}
                done => return done.map(|_| ()),
            }
        }
        Ok(())
    }

    async fn failed(
        &self,
        scope: &Scope,
        intent: &ExternalWriteIntent,
        error: &ProviderError,
    ) -> Result<(), DriverError> {
        let told = of(error, self.clock.now());
        let event = if error.sent == SendOutcome::Unknown && made(Mistake::UnknownIsRefused) {
            Event::TransientFailure { error: told }
        } else if error.sent == SendOutcome::Unknown && made(Mistake::UnknownIsDone) {
            let target = &intent.spec.native_target;
            let response = IntentResponse {
                native_id: target.native_id.clone(),
                native_number: target.native_number,
                version: None,
                digest: None,
                request_id: None,
            };
            Event::Proven { response, by: ConfirmedBy::Response, digest: intent.spec.request_digest }
        } else if error.sent == SendOutcome::Unknown {
            Self::unknown(scope, intent, told)?
        } else if error.is_retryable() {
            Event::TransientFailure { error: told }
        } else if error.class == ErrorClass::Precondition {
            let conflict = Box::new(unconfirmed(scope, intent, ConflictReason::PreconditionFailed)?);
            Event::PreconditionFailed { error: told, conflict }
        } else if error.class == ErrorClass::NotFound
            && (matches!(intent.spec.payload, Payload::RemoveLabels(_)) || deletes(&intent.spec.payload))
        {
            // Somebody else may have removed it, or it is out of sight: a read tells, once it can't be one from before.
            Self::unknown(scope, intent, told)?
        } else {
            Event::PermanentFailure { error: told }
        };
        self.answered(scope, intent, event).await
    }
}

/// Whether the manifest says that a read tells if the operation had its effect (S34).
fn is_readable(scope: &Scope, operation: &Operation) -> bool {
    scope.operation(operation).is_some_and(|known| known.idempotency == Idempotency::VerifyByRead)
}
