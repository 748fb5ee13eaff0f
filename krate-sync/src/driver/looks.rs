//! Looking at the provider before and after a write: what is there now, and whether an effect is (S34, S35).

use krate_model::kinds::external::{
    ConfirmedBy, ExternalWriteIntent, ExternalWriteIntentPhase, IntentResponse, Payload,
};
use krate_model::kinds::sets::{ConflictReason, Operation};
use krate_model::kinds::shared::{NativeTarget, Time};
use krate_model::kinds::work::PullRequestState;
use krate_model::observation::{CanonicalEvent, Normalized};
use krate_model::{Digest, Kind, Resource, canonical_digest};
use krate_providers::contract::{Call, Outcome};

use super::intents::unconfirmed;
use super::objects::Cause;
use super::{Driver, DriverError};
use crate::local::Local;
use crate::machines::intent::Event;
use crate::merge::FieldValue;
use crate::mistakes::{Mistake, made};
use crate::object::{ObjectState, link_name};
use crate::observe::Shows;
use crate::observed::observed;
use crate::order::Origin;
use crate::plan::{deletes, is_shown, target_of};
use crate::records::{self, Loaded};
use crate::scope::Scope;

/// How far the provider's clock may be behind this one, so that what a create made is found by its age.
const CLOCKS_APART: chrono::TimeDelta = chrono::TimeDelta::hours(2);

/// What a look at the target of a write came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Looked {
    /// What is there was merged, or can't be read.
    Shown,
    /// It isn't there, or is out of sight.
    Missing,
}

impl Driver {
    /// Reads the target of a write, and merges what it shows.
    pub(super) async fn look(&self, scope: &Scope, intent: &ExternalWriteIntent) -> Result<Looked, DriverError> {
        self.look_at(scope, &intent.spec.native_target).await
    }

    pub(super) async fn look_at(&self, scope: &Scope, target: &NativeTarget) -> Result<Looked, DriverError> {
        let shown = |found: bool| if found { Looked::Shown } else { Looked::Missing };
        let kind = match target.native_kind.as_str() {
            "pull_request" => Kind::PullRequest,
            "issue" => Kind::Issue,
            kind => {
                // Comments have no number: they are found by their link.
                let Some(id) = &target.native_id else { return Ok(Looked::Shown) };
                let name = link_name(scope.organization(), scope.provider(), kind, id)?;
                return match records::get(self.store(), scope.namespace(), &name).await? {
                    Some(link) => Ok(shown(self.read_comment(scope, &link).await?.is_some())),
                    None => Ok(Looked::Shown),
                };
            }
        };
        match target.native_number {
            Some(number) => Ok(shown(self.read_numbered(scope, kind, number).await?.is_some())),
            None => Ok(Looked::Shown),
        }
    }

    /// S34: whether the effect of a write whose outcome is unknown is there already.
    pub(super) async fn effect_shown(
        &self,
        scope: &Scope,
        intent: &ExternalWriteIntent,
    ) -> Result<Option<(IntentResponse, Digest)>, DriverError> {
        let spec = &intent.spec;
        if spec.native_target.native_id.is_none()
            && !made(Mistake::MadeForgotten)
            && let Some(shown) = self.made_already(scope, intent).await?
        {
            return Ok(Some(shown));
        }
        let (operation, since) = (shown_by(intent), is_dated(&spec.payload).then(|| intent.created()));
        // Comments have no number: what they are about has.
        let target = if operation == Operation::ListComments && spec.native_target.native_id.is_some() {
            self.subject_of(scope, intent).await?.unwrap_or_else(|| spec.native_target.clone())
        } else {
            spec.native_target.clone()
        };
        let mut cursor = None;
        loop {
            let mut call = Call::new(operation.clone(), &target);
            call.cursor = cursor.as_ref();
            call.since = since.map(|at| at - CLOCKS_APART);
            let answer = self.call(scope, &call).await?;
            let decoded = self.decode(scope, &call, &answer);
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
            let is_whole = cursor.is_none() && next.is_none();
            match next {
                Some(next) => cursor = Some(next),
                // What stands between two pages can be missed while they are read (S24): only a list of one page shows that something isn't there. Else it
                // is deleted once more, which harms nothing.
                None if is_whole
                    && deletes(&spec.payload)
                    && !events
                        .iter()
                        .any(|event| spec.native_target.native_id.as_deref() == Some(&event.native_id)) =>
                {
                    let digest = Digest::of(answer.response.body());
                    let response = IntentResponse {
                        native_id: spec.native_target.native_id.clone(),
                        native_number: None,
                        version: None,
                        digest: Some(digest),
                        request_id: None,
                    };
                    self.bury_deleted(scope, intent, origin, Shows::Read).await?;
                    return Ok(Some((response, digest)));
                }
                None => return Ok(None),
            }
        }
    }

    /// Where the object stands at the provider that a written comment is about.
    async fn subject_of(
        &self,
        scope: &Scope,
        intent: &ExternalWriteIntent,
    ) -> Result<Option<NativeTarget>, DriverError> {
        let state = ObjectState::load_of_local(self.store(), scope.namespace(), &intent.spec.target).await?;
        let Some(Local::Comment(comment)) = state.local.map(|local| local.object) else { return Ok(None) };
        let subject = ObjectState::load_of_local(self.store(), scope.namespace(), &comment.spec.subject).await?;
        Ok(target_of(&subject, scope))
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

/// What shows the effect of a write.
fn shown_by(intent: &ExternalWriteIntent) -> Operation {
    match &intent.spec.payload {
        Payload::CreateIssue(_) => Operation::ListIssues,
        // It has no number yet.
        Payload::CreatePullRequest(_) => Operation::ListPullRequests,
        Payload::CreateComment(_) | Payload::UpdateComment(_) | Payload::DeleteComment(_) => Operation::ListComments,
        Payload::UpdatePullRequest(_) | Payload::MergePullRequest(_) => Operation::GetPullRequest,
        Payload::CreateReview(_) => Operation::ListReviews,
        Payload::CreatePullRequestComment(_)
        | Payload::UpdatePullRequestComment(_)
        | Payload::DeletePullRequestComment(_) => Operation::ListPullRequestComments,
        // Labels, and the state of an issue: GitHub counts a pull request as one.
        _ if intent.spec.native_target.native_kind == "pull_request" => Operation::GetPullRequest,
        _ => Operation::GetIssue,
    }
}

/// Whether only what is younger than the write can show its effect.
fn is_dated(payload: &Payload) -> bool {
    matches!(payload, Payload::CreateIssue(_) | Payload::CreatePullRequest(_))
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
    if let (Payload::MergePullRequest(_), Normalized::PullRequest(pull)) = (&spec.payload, &event.normalized) {
        return same && pull.state == Some(PullRequestState::Merged);
    }
    let fields: Vec<(&'static str, FieldValue<'_>)> = observed(&event.normalized, event.complete);
    same && is_shown(&spec.payload, &fields)
}
