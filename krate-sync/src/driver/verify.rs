//! Comparing projections with what the provider has, without changing either.

use std::collections::BTreeSet;

use krate_model::kinds::external::{ExternalObjectLink, ExternalSyncState, ExternalWriteIntent};
use krate_model::kinds::sets::{ErrorClass, Interface, Mode, Operation};
use krate_model::kinds::shared::{NativeTarget, ObjectRef, Time};
use krate_model::observation::{CanonicalEvent, ResourceKind};
use krate_model::store::{Index, Query};
use krate_model::{Kind, Resource};
use krate_providers::contract::{Call, Cursor, Outcome, ProviderError};
use serde::Serialize;
use serde_json::Value as Json;

use super::backfills::LISTS;
use super::pages::{is_listed, list_target};
use super::{Driver, DriverError};
use crate::local::local_kind;
use crate::merge::{Base, FieldOutcome, FieldRule, FieldValue, merge_field};
use crate::object::{ObjectState, is_final, link_name};
use crate::observed::observed;
use crate::plan::carries;
use crate::quota::Purpose;
use crate::records::{self, Loaded};
use crate::scope::Scope;

/// What the projections of a binding and its provider differ in.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Verification {
    /// Objects that were compared.
    pub compared: usize,
    /// Requests to the provider; those that it answered with "not modified" cost no quota where its manifest says that conditions are honoured.
    pub requests: usize,
    /// Those of them that were answered with "not modified" (S25).
    pub not_modified: usize,
    /// The differences, by list, in the provider's order.
    pub differences: Vec<Difference>,
}

/// One thing that isn't the same on both sides.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Difference {
    /// The local object, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<ObjectRef>,
    /// What the provider calls it: its kind, and its number or id; empty for what it never had.
    pub native: String,
    /// What differs.
    pub what: What,
    /// The field, where both sides have the object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The field's value here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub here: Option<Json>,
    /// The field's value at the provider; not there where it is as it was, and only the digest of a long value was kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub there: Option<Json>,
    /// Who owns it: the mode of the field, or of the object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<Mode>,
    /// Since when, as far as it is known: when the write or the conflict was made, or when the provider last changed the object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// What is known to bring it about.
    pub because: Because,
}

/// What a difference is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum What {
    /// Both sides have the object, and a field has two values.
    Differs,
    /// The provider has it, and it isn't here.
    NotHere,
    /// It is here, and the provider doesn't have it, or hides it.
    NotThere,
}

/// What brings a difference about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Because {
    /// A conflict of this name waits for a person.
    Conflict(String),
    /// A write of this name is on its way, or waits.
    Write(String),
    /// Nothing that is recorded here: the next backfill repairs it, or a bug made it.
    Unknown,
}

impl Driver {
    /// Compares everything that the lists of a binding show with what stands here. Reads only: nothing is applied, written or recorded, on either side.
    /// What didn't change since the last run is asked for by its tag (S25), and compared with what was agreed on then.
    ///
    /// # Errors
    /// [`DriverError::NotFound`] without such a binding; the provider's error where a list can't be read: then nothing is said about any of it.
    pub async fn verify(&self, namespace: &str, binding: &str) -> Result<Verification, DriverError> {
        let config = self.config().await?;
        let scope = config
            .scope(namespace, binding)
            .ok_or_else(|| DriverError::NotFound { what: "binding", name: binding.to_owned() })?;
        let mut found = Verification::default();
        let driver = self.spending(Purpose::Backfill);
        for state in self.states_of(scope).await? {
            Box::pin(driver.verify_list(scope, &state.object, &mut found)).await?;
        }
        self.verify_creates(scope, &mut found).await?;
        Ok(found)
    }

    async fn verify_list(
        &self,
        scope: &Scope,
        state: &ExternalSyncState,
        found: &mut Verification,
    ) -> Result<(), DriverError> {
        let kind = &state.spec.resource_kind;
        let Some((interface, _, operation)) = LISTS.iter().find(|(_, listed, _)| listed == kind) else { return Ok(()) };
        let target = list_target(scope, kind);
        let (_, progress, _) = self.progress(scope, state).await?;
        let (mut met, mut read) = (BTreeSet::new(), BTreeSet::new());
        let mut cursor: Option<Cursor> = None;
        loop {
            let mut call = Call::new(operation.clone(), &target);
            call.cursor = cursor.as_ref();
            call.page_size = scope.policy.backfill.page_size.and_then(|size| u16::try_from(size).ok());
            let at = cursor.as_ref().map(|cursor| cursor.0.clone());
            // A list that leads back is read on by its next run.
            if !read.insert(at.clone()) {
                break;
            }
            let known = self.known_page(scope, &progress, at.as_ref(), None).await?;
            let version = known.as_ref().map(super::pages::Page::version);
            call.known = version.as_ref();
            let answer = self.call(scope, &call).await?;
            found.requests = found.requests.saturating_add(1);
            let next = match (self.decode(scope, &call, &answer).result?, known) {
                (Outcome::Page { objects, next, .. }, _) => {
                    for event in &objects {
                        let (provider, kind, id) = (scope.provider(), &event.native_kind, &event.native_id);
                        // A list that goes on by time shows the last row of a page again.
                        if met.insert(link_name(scope.organization(), provider, kind, id)?) {
                            self.verify_event(scope, event, found).await?;
                        }
                    }
                    next
                }
                (Outcome::NotModified, Some(known)) => {
                    found.not_modified = found.not_modified.saturating_add(1);
                    for name in known.met {
                        if !met.contains(&name) {
                            self.verify_known(scope, &name, interface, found).await?;
                            met.insert(name);
                        }
                    }
                    known.next.map(Cursor)
                }
                _ => return Err(ProviderError::new(ErrorClass::Decode, "the answer to a list is no page").into()),
            };
            match next {
                Some(next) => cursor = Some(next),
                None => break,
            }
        }
        self.verify_unmet(scope, kind, interface, &met, found).await
    }

    /// An object as the provider has it now.
    async fn verify_event(
        &self,
        scope: &Scope,
        event: &CanonicalEvent<'_>,
        found: &mut Verification,
    ) -> Result<(), DriverError> {
        // A part of an object is compared as a whole by another list (S8).
        let Some(kind) = local_kind(&event.resource_kind).filter(|_| event.complete) else { return Ok(()) };
        found.compared = found.compared.saturating_add(1);
        let name = link_name(scope.organization(), scope.provider(), &event.native_kind, &event.native_id)?;
        let state = ObjectState::load(self.store(), scope.namespace(), &name).await?;
        let is_gone = state.link.as_ref().and_then(|link| link.object.status.as_ref()?.tombstone.as_ref()).is_some();
        if state.local.is_none() || is_gone {
            found.differences.push(Difference {
                resource: state.local.map(|local| local.object.to_ref()),
                native: format!("{} {}", event.native_kind, event.native_id),
                what: What::NotHere,
                path: None,
                here: None,
                there: None,
                owner: scope.mode(&event.interface, kind, ""),
                since: event.observed_version.updated_at,
                because: Because::Unknown,
            });
            return Ok(());
        }
        let fields = observed(&event.normalized, event.complete);
        for rule in scope.rules(&event.interface, kind) {
            if let Some((_, theirs)) = fields.iter().find(|(path, _)| *path == rule.path) {
                let since = event.observed_version.updated_at;
                let native = format!("{} {}", event.native_kind, event.native_id);
                found.differences.extend(differs(&state, &rule, &Base::Value(theirs.borrowed()), native, since));
            }
        }
        Ok(())
    }

    /// An object that the provider has as it had it: what was agreed on then is what it has.
    async fn verify_known(
        &self,
        scope: &Scope,
        link: &str,
        interface: &Interface,
        found: &mut Verification,
    ) -> Result<(), DriverError> {
        found.compared = found.compared.saturating_add(1);
        let state = ObjectState::load(self.store(), scope.namespace(), link).await?;
        let (Some(link), Some(local)) = (&state.link, &state.local) else { return Ok(()) };
        let external = link.object.status.as_ref().and_then(|status| status.external.as_ref());
        let since = external.and_then(|external| external.version.updated_at);
        for rule in scope.rules(interface, local.object.kind()) {
            let base = state.base(&rule.path);
            if matches!(base, Base::Unknown) {
                continue;
            }
            found.differences.extend(differs(&state, &rule, &base, native(&link.object), since));
        }
        Ok(())
    }

    /// What is here and in no list. Rows shift while pages are read (S24): what can be read alone is asked for.
    async fn verify_unmet(
        &self,
        scope: &Scope,
        kind: &ResourceKind,
        interface: &Interface,
        met: &BTreeSet<String>,
        found: &mut Verification,
    ) -> Result<(), DriverError> {
        let query = Query::new(Kind::ExternalObjectLink)
            .in_namespace(scope.namespace())
            .with(Index::Binding, scope.binding_name());
        for link in records::list::<ExternalObjectLink>(self.store(), query).await? {
            let status = link.object.status.clone().unwrap_or_default();
            let listed_here = link.object.spec.local_ref.kind == kind.as_str() && is_listed(&link.object);
            if !listed_here || status.tombstone.is_some() || met.contains(link.object.name()) {
                continue;
            }
            let number = status.external.as_ref().and_then(|external| external.native_number);
            let operation = match Kind::lookup(&link.object.spec.local_ref.kind) {
                Some(Kind::Issue) => Some(Operation::GetIssue),
                Some(Kind::PullRequest) => Some(Operation::GetPullRequest),
                _ => None,
            };
            if let Some((operation, number)) = operation.zip(number) {
                let target = NativeTarget {
                    native_kind: link.object.spec.external.native_kind.clone(),
                    native_id: None,
                    native_number: Some(number),
                    container: scope.container(),
                };
                let call = Call::new(operation, &target);
                let answer = self.call(scope, &call).await?;
                found.requests = found.requests.saturating_add(1);
                match self.decode(scope, &call, &answer).result {
                    Ok(Outcome::Object(event)) => {
                        self.verify_event(scope, &event, found).await?;
                        continue;
                    }
                    Err(error) if !matches!(error.class, ErrorClass::NotFound | ErrorClass::Gone) => {
                        return Err(error.into());
                    }
                    _ => {}
                }
            }
            found.compared = found.compared.saturating_add(1);
            let local = &link.object.spec.local_ref;
            found.differences.push(Difference {
                resource: Some(local.clone()),
                native: native(&link.object),
                what: What::NotThere,
                path: None,
                here: None,
                there: None,
                owner: Kind::lookup(&local.kind).and_then(|kind| scope.mode(interface, kind, "")),
                since: status.external.and_then(|external| external.last_seen_at),
                because: Because::Unknown,
            });
        }
        Ok(())
    }

    /// What is still to be made at the provider.
    async fn verify_creates(&self, scope: &Scope, found: &mut Verification) -> Result<(), DriverError> {
        let query = Query::new(Kind::ExternalWriteIntent)
            .in_namespace(scope.namespace())
            .with(Index::Binding, scope.binding_name());
        for intent in records::list::<ExternalWriteIntent>(self.store(), query).await? {
            let spec = &intent.object.spec;
            let creates = spec.native_target.native_id.is_none() && !is_final(&intent.object);
            // One whose answer is lost may have been met by a list.
            let state = ObjectState::load_of_local(self.store(), scope.namespace(), &spec.target).await?;
            if !creates || state.link.is_some() {
                continue;
            }
            found.differences.push(Difference {
                resource: Some(spec.target.clone()),
                native: String::new(),
                what: What::NotThere,
                path: None,
                here: None,
                there: None,
                owner: Kind::lookup(&spec.target.kind).and_then(|kind| scope.mode(&spec.interface, kind, "")),
                since: made_at(&intent),
                because: Because::Write(intent.object.name().to_owned()),
            });
        }
        Ok(())
    }
}

/// A field that has two values, and what is known about why.
fn differs(
    state: &ObjectState,
    rule: &FieldRule<'static>,
    theirs: &Base<'_>,
    native: String,
    changed_at: Option<Time>,
) -> Option<Difference> {
    let local = state.local.as_ref()?;
    let ours = local.object.get(&rule.path);
    // The same by the equality of the field: then it would be in sync if the other side were the base.
    if merge_field(rule, theirs, &ours, &ours) == FieldOutcome::InSync {
        return None;
    }
    let path = rule.path.as_ref();
    let write =
        state.intents.iter().find(|intent| !is_final(&intent.object) && carries(&intent.object.spec.payload, path));
    let (because, since) = match (state.open_conflict(path), write) {
        (Some(conflict), _) => (Because::Conflict(conflict.object.name().to_owned()), made_at(conflict)),
        (None, Some(write)) => (Because::Write(write.object.name().to_owned()), made_at(write)),
        (None, None) => (Because::Unknown, changed_at),
    };
    Some(Difference {
        resource: Some(local.object.to_ref()),
        native,
        what: What::Differs,
        path: Some(path.to_owned()),
        here: ours.to_json(),
        there: theirs.value().as_ref().and_then(FieldValue::to_json),
        owner: Some(rule.mode.clone()),
        since,
        because,
    })
}

fn native(link: &ExternalObjectLink) -> String {
    format!("{} {}", link.spec.external.native_kind, link.spec.external.native_id)
}

fn made_at<T: Resource>(loaded: &Loaded<T>) -> Option<Time> {
    loaded.object.metadata().creation_timestamp.as_ref().map(krate_model::condition::from_kube_time)
}
