//! From an accepted delivery to applied events (S10 to S12).

use krate_model::Kind;
use krate_model::Resource;
use krate_model::kinds::external::{
    BackfillMode, Disposition, ExternalWebhookDelivery, ExternalWebhookDeliveryPhase, RawPayload,
};
use krate_model::kinds::sets::ErrorClass;
use krate_model::kinds::shared::{BlobStorage, ErrorInfo};
use krate_model::observation::{CanonicalEvent, Normalized, ResourceKind};
use krate_model::store::{Expect, Stored};
use krate_providers::contract::Normalization;

use super::objects::{Cause, repository_of, scope_of};
use super::{Config, Driver, DriverError};
use crate::identity::{full_name, is_called_otherwise};
use crate::ingest::outcome_of;
use crate::kept::{Kept, kept};
use crate::local::local_kind;
use crate::machines::delivery::{self, Effect, Event};
use crate::machines::{Ctx, Due, Policy};
use crate::mistakes::{Mistake, made};
use crate::object::controller;
use crate::observe::{Applied, Shows, is_end};
use crate::order::Origin;
use crate::records::{self, Changes, Loaded, payload_key};
use crate::scope::Scope;

/// A delivery on its way: the record, and what its steps tell.
struct Work {
    delivery: Loaded<ExternalWebhookDelivery>,
    changes: Changes,
    policy: Policy,
    seed: u64,
    now: krate_model::kinds::shared::Time,
}

impl Work {
    fn step(&mut self, event: Event) -> Result<(), DriverError> {
        let actor = controller();
        let ctx = Ctx { now: self.now, actor: &actor, policy: &self.policy, seed: self.seed };
        let step = delivery::step(&self.delivery.object, event, &ctx)?;
        let audit = crate::moves::take(&mut self.delivery, step);
        self.changes.audit_all(audit);
        Ok(())
    }
}

impl Driver {
    pub(super) async fn process_delivery(&self, stored: &Stored, config: &Config) -> Result<(), DriverError> {
        let loaded = records::parse::<ExternalWebhookDelivery>(stored)?;
        let now = self.clock.now();
        let policy = Policy::default();
        let effect = match delivery::due(&loaded.object, &policy, now) {
            Due::Now(effect) => effect,
            Due::At(_) | Due::Idle => return Ok(()),
        };
        let mut work = Work { delivery: loaded, changes: Changes::at(now), policy, seed: self.seed, now };
        match effect {
            Effect::Process => self.process(&mut work, config).await?,
            Effect::Recover => work.step(Event::Abandoned)?,
            Effect::GiveUp => work.step(Event::Exhausted)?,
            Effect::Replay => work.step(Event::Replayed)?,
            Effect::Skip => work.step(Event::Skipped)?,
            // Only verified deliveries are recorded as such: one that isn't was never acknowledged.
            Effect::Verify => return Ok(()),
        }
        let Work { delivery, mut changes, .. } = work;
        if delivery.object.phase() == ExternalWebhookDeliveryPhase::DeadLettered.as_str() {
            // S26: what nobody could read is looked for in the lists. One that is being read just now shows it without being asked.
            let provider = delivery.object.spec.provider_ref.as_str();
            for scope in config.scopes().filter(|scope| scope.backend.object.name() == provider) {
                self.request_lists(scope, &BackfillMode::Incremental, now, &mut changes).await?;
            }
        }
        changes.put(&delivery)?;
        changes.commit(self.store()).await?;
        Ok(())
    }

    /// Writes a person's command about a dead-lettered delivery: to process it anew, or to be done with it. It is carried out in the next pass (R37).
    ///
    /// # Errors
    /// [`DriverError::NotFound`] when there is no such delivery, [`DriverError::NotDeadLettered`] when it isn't given up. Nothing is stored then.
    pub async fn dispose(&self, namespace: &str, delivery: &str, command: Disposition) -> Result<(), DriverError> {
        let found = records::get::<ExternalWebhookDelivery>(self.store(), namespace, delivery).await?;
        let mut found = found.ok_or(DriverError::NotFound { what: "delivery", name: delivery.to_owned() })?;
        let phase = found.object.phase();
        if phase != ExternalWebhookDeliveryPhase::DeadLettered.as_str() {
            return Err(DriverError::NotDeadLettered { name: delivery.to_owned(), phase: phase.to_owned() });
        }
        found.change().spec.disposition = Some(command);
        let mut changes = Changes::at(self.clock.now());
        changes.put(&found)?;
        changes.commit(self.store()).await?;
        Ok(())
    }

    async fn process(&self, work: &mut Work, config: &Config) -> Result<(), DriverError> {
        work.step(Event::Started)?;
        let object = &work.delivery.object;
        let (namespace, name) = (object.namespace().to_owned(), object.name().to_owned());
        let provider = object.spec.provider_ref.clone();
        let key = payload_key(&namespace, &name);
        let Some(payload) = self.store.get(&key).await? else {
            work.step(Event::Normalized { events: Vec::new() })?;
            let error = info(ErrorClass::Decode, "the payload is no longer stored", Some("$".to_owned()), work.now);
            return work.step(Event::Unprocessable { error });
        };
        let Some(backend) = config.backend(&provider) else {
            let error = info(ErrorClass::Configuration, "the provider isn't there", None, work.now);
            return work.step(Event::Failed { error });
        };
        let events = match backend.adapter.normalize(&object.spec.event_type, &payload.body) {
            Ok(Normalization::Events(events)) => events,
            Ok(Normalization::Ignored(_)) => Vec::new(),
            Err(error) => {
                let error = info(ErrorClass::Decode, &error.message, Some(error.path), work.now);
                return work.step(Event::Failed { error });
            }
        };
        work.step(Event::Normalized { events: Vec::new() })?;
        let mut applied = Vec::new();
        for event in &events {
            match self.take_event(config, &provider, event, &name).await {
                Ok(outcome) => applied.push(outcome),
                Err(DriverError::Provider(_)) if made(Mistake::DoneUnapplied) => applied.push(Applied::NoChange),
                Err(error) => {
                    let failed = error.failure().ok_or(error)?;
                    return work.step(Event::Failed { error: super::intents::of(&failed, work.now) });
                }
            }
        }
        // A payload that no binding is about falls under nobody's policy: its digest is enough.
        let mut policy = RawPayload::Digest;
        if let Some(scope) = events.first().and_then(|event| scope_of(config, &provider, event)) {
            work.delivery.change().spec.binding_ref = Some(scope.binding_name().to_owned());
            // What a policy that isn't there would have kept, nobody knows (R70): it may have been nothing.
            if scope.missing_policy.is_none() {
                policy = scope.policy.storage.raw_payload.clone();
            }
        }
        work.step(Event::Finished { outcome: outcome_of(applied) })?;
        let expect = Expect::At(payload.revision);
        match kept(&policy, &payload.body) {
            Kept::AsItIs => {}
            Kept::Redacted(body) => work.changes.put_private(key, expect, body),
            Kept::Nothing => {
                work.delivery.change().spec.payload.storage = BlobStorage::None;
                work.changes.delete(key, expect);
            }
        }
        Ok(())
    }

    async fn take_event(
        &self,
        config: &Config,
        provider: &str,
        event: &CanonicalEvent<'_>,
        delivery: &str,
    ) -> Result<Applied, DriverError> {
        let Some(scope) = scope_of(config, provider, event) else { return Ok(Applied::NoObject) };
        let is_repository = matches!(event.normalized, Normalized::Repository(_));
        if let (Some(target), Some(named)) = (scope.target(), repository_of(event)) {
            // Its provider is asked what it is called now: the event may be late.
            if is_repository && format!("{}/{}", named.owner, named.name) != full_name(target) {
                let news = self.see_target(scope).await?;
                return Ok(if news { Applied::Changed(vec!["status.target".to_owned()]) } else { Applied::NoChange });
            }
            if !is_repository && is_called_otherwise(target, &named) {
                // The name is for people; the event is taken whether it can be asked for or not, and a complete backfill asks again.
                let _ = self.see_target(scope).await;
            }
        }
        if local_kind(&event.resource_kind).is_none() {
            return Ok(Applied::NoObject);
        }
        let cause = Cause::Delivery(delivery);
        if !scope.policy.webhook_first
            && !is_end(event)
            && let Some(outcome) = self.take_hint(scope, event, cause).await?
        {
            return Ok(outcome);
        }
        let applied = self.apply(scope, event, Origin::Pushed, Shows::Webhook, cause).await?;
        match applied {
            Applied::NeedsParent => self.apply_with_parent(scope, event, Origin::Pushed, Shows::Webhook, cause).await,
            Applied::Hydrate => {
                // A part of an object that nobody has seen: there is no link yet that could be due, so it is read at once.
                let known = self.is_linked(scope, event).await?;
                if !known
                    && let Normalized::PullRequest(pull) = &event.normalized
                    && let Some(number) = pull.number
                {
                    return Ok(self.read_numbered(scope, Kind::PullRequest, number).await?.unwrap_or(Applied::Stale));
                }
                Ok(Applied::Hydrate)
            }
            other => Ok(other),
        }
    }
}

impl Driver {
    /// Where the policy doesn't put webhooks first, one says only that something happened to an object: what it is now is read. Nothing for an object that nothing
    /// reads.
    async fn take_hint(
        &self,
        scope: &Scope,
        event: &CanonicalEvent<'_>,
        cause: Cause<'_>,
    ) -> Result<Option<Applied>, DriverError> {
        let (kind, number) = match &event.normalized {
            Normalized::Issue(issue) => (Kind::Issue, issue.number),
            Normalized::PullRequest(pull) => (Kind::PullRequest, pull.number),
            Normalized::Comment(_) => (Kind::Comment, None),
            _ => return Ok(None),
        };
        if self.is_linked(scope, event).await? {
            let hint = CanonicalEvent { complete: false, ..event.clone() };
            return self.apply(scope, &hint, Origin::Pushed, Shows::Webhook, cause).await.map(Some);
        }
        let Some(number) = number else { return Ok(None) };
        Ok(Some(self.read_numbered(scope, kind, number).await?.unwrap_or(Applied::Stale)))
    }

    /// Reads what an event's object is about, and applies the event again.
    pub(super) async fn apply_with_parent(
        &self,
        scope: &Scope,
        event: &CanonicalEvent<'_>,
        origin: Origin,
        shows: Shows,
        cause: Cause<'_>,
    ) -> Result<Applied, DriverError> {
        let Some((kind, number)) = parent_number(event) else { return Ok(Applied::NeedsParent) };
        if self.read_numbered(scope, kind, number).await?.is_none() {
            return Ok(Applied::Stale);
        }
        self.apply(scope, event, origin, shows, cause).await
    }
}

fn parent_number(event: &CanonicalEvent<'_>) -> Option<(Kind, i64)> {
    match &event.normalized {
        Normalized::Comment(comment) => {
            let kind =
                if comment.subject_kind == Some(ResourceKind::PullRequest) { Kind::PullRequest } else { Kind::Issue };
            Some((kind, comment.subject_number?))
        }
        Normalized::Review(review) => Some((Kind::PullRequest, review.pull_request_number?)),
        _ => None,
    }
}

fn info(class: ErrorClass, message: &str, path: Option<String>, at: krate_model::kinds::shared::Time) -> ErrorInfo {
    ErrorInfo { class, message: message.to_owned(), path, until: None, request_id: None, at }
}
