//! Looking at the provider before and after a write: what is there now, and whether an effect is (S34, S35).

use krate_model::kinds::external::{
    ConfirmedBy, ExternalWriteIntent, ExternalWriteIntentPhase, IntentResponse, Payload,
};
use krate_model::kinds::sets::{ConflictReason, Operation};
use krate_model::kinds::shared::{NativeTarget, Time};
use krate_model::observation::{CanonicalEvent, Normalized};
use krate_model::{Digest, Kind, Resource, canonical_digest};
use krate_providers::contract::{Call, Outcome};

use super::intents::unconfirmed;
use super::objects::Cause;
use super::{Driver, DriverError};
use crate::machines::intent::Event;
use crate::merge::FieldValue;
use crate::object::{ObjectState, link_name};
use crate::observe::Shows;
use crate::observed::observed;
use crate::order::Origin;
use crate::plan::is_shown;
use crate::records::{self, Loaded};
use crate::scope::Scope;

impl Driver {
    /// Reads the target of a write, and merges what it shows.
    pub(super) async fn look(&self, scope: &Scope, intent: &ExternalWriteIntent) -> Result<(), DriverError> {
        self.look_at(scope, &intent.spec.native_target).await
    }

    pub(super) async fn look_at(&self, scope: &Scope, target: &NativeTarget) -> Result<(), DriverError> {
        let kind = match target.native_kind.as_str() {
            "pull_request" => Kind::PullRequest,
            "issue" => Kind::Issue,
            kind => {
                // Comments have no number: they are found by their link.
                let Some(id) = &target.native_id else { return Ok(()) };
                let name = link_name(scope.organization(), scope.provider(), kind, id)?;
                if let Some(link) = records::get(self.store(), scope.namespace(), &name).await? {
                    self.read_comment(scope, &link).await?;
                }
                return Ok(());
            }
        };
        if let Some(number) = target.native_number {
            self.read_numbered(scope, kind, number).await?;
        }
        Ok(())
    }

    /// S34: whether the effect of a write whose outcome is unknown is there already.
    pub(super) async fn effect_shown(
        &self,
        scope: &Scope,
        intent: &ExternalWriteIntent,
    ) -> Result<Option<(IntentResponse, Digest)>, DriverError> {
        let spec = &intent.spec;
        if spec.native_target.native_id.is_none()
            && let Some(made) = self.made_already(scope, intent).await?
        {
            return Ok(Some(made));
        }
        let (operation, since) = match &spec.payload {
            Payload::CreateIssue(_) => (Operation::ListIssues, Some(intent.created())),
            Payload::CreateComment(_) | Payload::UpdateComment(_) => (Operation::ListComments, None),
            // It has no number yet.
            Payload::CreatePullRequest(_) => (Operation::ListPullRequests, Some(intent.created())),
            Payload::UpdatePullRequest(_) | Payload::MergePullRequest(_) => (Operation::GetPullRequest, None),
            _ if spec.native_target.native_kind == "pull_request" => (Operation::GetPullRequest, None),
            _ => (Operation::GetIssue, None),
        };
        let mut cursor = None;
        loop {
            let mut call = Call::new(operation.clone(), &spec.native_target);
            call.cursor = cursor.as_ref();
            // The provider's clock may be behind ours.
            call.since = since.map(|at| at - chrono::TimeDelta::minutes(10));
            let answer = self.call(scope, &call).await?;
            let decoded = scope.backend.adapter.decode(&call, &answer.response, self.clock.now());
            let origin = Origin::Read { started_at: answer.started_at };
            let (events, next): (Vec<CanonicalEvent<'_>>, _) = match decoded.result? {
                Outcome::Object(event) => (vec![*event], None),
                Outcome::Page { objects, next, .. } => (objects, next),
                _ => (Vec::new(), None),
            };
            for event in &events {
                if shows(event, intent) {
                    let digest = canonical_digest(event)?;
                    let response = IntentResponse {
                        native_id: Some(event.native_id.to_string()),
                        native_number: spec.native_target.native_number,
                        version: Some(event.observed_version.clone()),
                        digest: Some(digest),
                        request_id: None,
                    };
                    self.apply(scope, event, origin, Shows::Read, Cause::Intent(intent.name())).await?;
                    return Ok(Some((response, digest)));
                }
                if spec.native_target.native_id.as_deref() == Some(event.native_id.as_ref()) {
                    self.apply(scope, event, origin, Shows::Read, Cause::Intent(intent.name())).await?;
                }
            }
            match next {
                Some(next) => cursor = Some(next),
                None => return Ok(None),
            }
        }
    }

    /// What a create made, where a webhook or a list has shown it meanwhile: its marker was recognised then, and may be edited away by now.
    async fn made_already(
        &self,
        scope: &Scope,
        intent: &ExternalWriteIntent,
    ) -> Result<Option<(IntentResponse, Digest)>, DriverError> {
        let state = ObjectState::load_of_local(self.store(), scope.namespace(), &intent.spec.target).await?;
        let status = state.link.as_ref().and_then(|link| link.object.status.as_ref());
        let (Some(external), Some(digest)) =
            (status.and_then(|status| status.external.as_ref()), status.and_then(|status| status.observed_digest))
        else {
            return Ok(None);
        };
        let response = IntentResponse {
            native_id: Some(external.native_id.clone()),
            native_number: external.native_number,
            version: Some(external.version.clone()),
            digest: Some(digest),
            request_id: None,
        };
        Ok(Some((response, digest)))
    }

    pub(super) async fn confirm_by_read(
        &self,
        scope: &Scope,
        intent: Loaded<ExternalWriteIntent>,
    ) -> Result<(), DriverError> {
        let name = intent.object.name().to_owned();
        let shown = self.effect_shown(scope, &intent.object).await?;
        let Some(intent) = records::get::<ExternalWriteIntent>(self.store(), scope.namespace(), &name).await? else {
            return Ok(());
        };
        if intent.object.status.as_ref().map(|status| &status.phase)
            != Some(&ExternalWriteIntentPhase::AwaitingConfirmation)
        {
            return Ok(());
        }
        let event = if let Some((_, digest)) = shown {
            Event::Confirmed { by: ConfirmedBy::Read, digest }
        } else {
            let conflict = Box::new(unconfirmed(scope, &intent.object, ConflictReason::UnconfirmedWrite)?);
            Event::NeverShown { conflict }
        };
        self.step_intent(scope, intent, event).await.map(|_| ())
    }
}

trait Created {
    fn created(&self) -> Time;
}

impl Created for ExternalWriteIntent {
    fn created(&self) -> Time {
        let made = self.metadata().creation_timestamp.as_ref().map(krate_model::condition::from_kube_time);
        made.or(self.status.as_ref().and_then(|status| status.sent_at)).unwrap_or(Time::UNIX_EPOCH)
    }
}

/// Whether an object shows the effect of an intent.
fn shows(event: &CanonicalEvent<'_>, intent: &ExternalWriteIntent) -> bool {
    let spec = &intent.spec;
    if spec.native_target.native_id.is_none() {
        let marker = match &event.normalized {
            Normalized::Issue(issue) => issue.marker.as_deref(),
            Normalized::Comment(comment) => comment.marker.as_deref(),
            Normalized::PullRequest(pull) => pull.marker.as_deref(),
            _ => None,
        };
        let key = spec.idempotency_key.to_hex();
        return marker.is_some_and(|marker| !marker.is_empty() && key.starts_with(marker));
    }
    let same = spec.native_target.native_id.as_deref() == Some(event.native_id.as_ref());
    let fields: Vec<(&'static str, FieldValue<'_>)> = observed(&event.normalized, event.complete);
    same && is_shown(&spec.payload, &fields)
}
