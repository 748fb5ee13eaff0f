//! Why something is as it is: what led to it, by which rule it was decided, and what happens next, and when. It is one question, answered from indexes: it costs
//! what the one object has around it, not what the store holds.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use krate_model::audit::AuditEventSpec;
use krate_model::kinds::external::{
    ExternalObjectLink, ExternalSyncConflict, ExternalSyncEvent, ExternalSyncState, ExternalWebhookDelivery,
    ExternalWriteIntent, ExternalWriteIntentPhase as Intent, RateLimitStatus,
};
use krate_model::kinds::sets::{ConflictReason, Mode, Operation, Strategy};
use krate_model::kinds::shared::{Actor, ErrorInfo, ObjectRef, Time, Version};
use krate_model::store::{Index, Key, Query};
use krate_model::{Kind, Resource, native_index};
use serde::{Deserialize, Serialize};

use super::{Config, Driver, DriverError};
use crate::local::local_kind;
use crate::machines::{Due, Policy, backfill, conflict, delivery, intent};
use crate::quota::{Caller, Purpose, Shares};
use crate::records::{self, Loaded};
use crate::scope::Scope;

/// The newest causes and audit events that an answer holds.
const NEWEST: usize = 20;

/// Why an object, a delivery, a write or a conflict is as it is.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Why {
    /// What was asked about.
    pub object: ObjectRef,
    /// The local objects that it is about: itself, where it is one; none, where nothing came of it.
    pub about: Vec<ObjectRef>,
    /// How they are tied to the provider's.
    pub links: Vec<Tie>,
    /// What their provider told that changed them, newest first.
    pub causes: Vec<Cause>,
    /// Fields on which the two sides don't agree.
    pub conflicts: Vec<Disagreement>,
    /// What krate writes, or wrote.
    pub writes: Vec<Write>,
    /// The newest audit events about all of this, newest first.
    pub events: Vec<AuditEventSpec>,
    /// The provider's budgets as last read, and its pause where it asked for one.
    pub budgets: Vec<RateLimitStatus>,
    /// What is done next, the soonest first.
    pub next: Vec<Next>,
}

/// A local object and the provider's.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Tie {
    /// The link's record.
    pub name: String,
    /// Its phase.
    pub phase: String,
    /// The provider.
    pub provider: String,
    /// The binding.
    pub binding: String,
    /// The provider's own kind.
    pub native_kind: String,
    /// The provider's id.
    pub native_id: String,
    /// The version that was seen last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// When it was seen last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seen_at: Option<Time>,
    /// The local generation on which both sides agreed last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_agreed_generation: Option<i64>,
    /// Whether the provider deleted it.
    pub is_deleted: bool,
}

/// Something that the provider told.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Cause {
    /// The event's record.
    pub name: String,
    /// Where it came from: a delivery, a list, or the answer to a write.
    pub source: ObjectRef,
    /// What happened there.
    pub action: String,
    /// Who did it there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<Actor>,
    /// When, by the provider's clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Time>,
    /// When it was applied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub applied_at: Option<Time>,
    /// The version that it told of.
    pub version: Version,
    /// The fields that it changed here.
    pub changed_fields: Vec<String>,
}

/// A field on which the two sides don't agree.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Disagreement {
    /// The conflict's record.
    pub name: String,
    /// Its phase.
    pub phase: String,
    /// The field.
    pub field_path: String,
    /// Why there is no merging it.
    pub reason: ConflictReason,
    /// How the field merges.
    pub strategy: Strategy,
    /// Who owns the field, by the binding; absent, where the binding is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// The value on which both agreed last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<serde_json::Value>,
    /// The value here.
    pub desired: serde_json::Value,
    /// The value there.
    pub observed: serde_json::Value,
    /// Who set the value here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub desired_by: Option<Actor>,
    /// Who set the value there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_by: Option<Actor>,
    /// What is wrong with the resolution.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorInfo>,
}

/// A write of krate's.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Write {
    /// The intent's record.
    pub name: String,
    /// Its phase.
    pub phase: String,
    /// What it does.
    pub operation: Operation,
    /// Who wants it.
    pub by: Actor,
    /// What made them want it: an edit, or a decision about a conflict.
    pub source: String,
    /// The generation of the local object that it writes.
    pub generation: i64,
    /// How often it was sent.
    pub attempts: i64,
    /// Whether the outcome of the last attempt is unknown, so that it is looked for before anything is sent again.
    pub verify_first: bool,
    /// What confirmed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confirmed_by: Option<String>,
    /// What went wrong last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorInfo>,
}

/// Something that is done next.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Next {
    /// To which record.
    pub record: ObjectRef,
    /// What.
    pub does: String,
    /// Not before this time; absent: now, or when what it waits for comes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Time>,
    /// What it waits for beside the time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<String>,
}

/// What is gathered for an answer.
#[derive(Default)]
struct Around {
    deliveries: Vec<Loaded<ExternalWebhookDelivery>>,
    links: Vec<Loaded<ExternalObjectLink>>,
    causes: Vec<Loaded<ExternalSyncEvent>>,
    conflicts: Vec<Loaded<ExternalSyncConflict>>,
    intents: Vec<Loaded<ExternalWriteIntent>>,
    about: Vec<ObjectRef>,
}

impl Driver {
    /// Why `name` of `kind` is as it is: a local object, a delivery, a write intent or a conflict. Asks nothing of the provider, and changes nothing.
    ///
    /// # Errors
    /// [`DriverError::NotFound`] where it isn't there.
    pub async fn why(&self, kind: Kind, namespace: &str, name: &str) -> Result<Why, DriverError> {
        let now = self.clock.now();
        let config = self.config().await?;
        let around = Box::pin(self.around(kind, namespace, name)).await?;
        let object = ObjectRef::new(kind.as_str(), name);
        let events = self.newest_events(namespace, &object, &around).await?;
        let scope = around.bindings().into_iter().find_map(|binding| config.scope(namespace, &binding));
        let budgets = scope.map(|scope| self.with_ledger(scope.backend.object.name(), |ledger| ledger.shown()));
        let next = Box::pin(self.next_of(&around, &config, now)).await?;
        let mut causes: Vec<Cause> = around.causes.iter().map(|event| cause(&event.object)).collect();
        causes.sort_by_key(|cause| Reverse(cause.applied_at));
        causes.truncate(NEWEST);
        Ok(Why {
            object,
            about: around.about.clone(),
            links: around.links.iter().map(|link| tie(&link.object)).collect(),
            causes,
            conflicts: around.conflicts.iter().map(|conflict| disagreement(&conflict.object, &config)).collect(),
            writes: around.intents.iter().map(|intent| write(&intent.object)).collect(),
            events,
            budgets: budgets.unwrap_or_default(),
            next,
        })
    }

    async fn around(&self, kind: Kind, namespace: &str, name: &str) -> Result<Around, DriverError> {
        let missing = || DriverError::NotFound { what: "the object", name: format!("{kind}/{name}") };
        let mut around = Around::default();
        match kind {
            Kind::ExternalWebhookDelivery => {
                around.deliveries.push(records::get(self.store(), namespace, name).await?.ok_or_else(missing)?);
                let parent = format!("{kind}/{name}");
                let query = Query::new(Kind::ExternalSyncEvent).in_namespace(namespace).with(Index::Parent, parent);
                around.causes = records::list(self.store(), query).await?;
                let statuses = around.causes.iter().filter_map(|event| event.object.status.as_ref());
                let links: BTreeSet<String> = statuses.filter_map(|status| status.link_ref.clone()).collect();
                for link in links {
                    around.links.extend(records::get::<ExternalObjectLink>(self.store(), namespace, &link).await?);
                }
                around.about = around.links.iter().map(|link| link.object.spec.local_ref.clone()).collect();
            }
            Kind::ExternalWriteIntent => {
                let found: Loaded<ExternalWriteIntent> =
                    records::get(self.store(), namespace, name).await?.ok_or_else(missing)?;
                around.about.push(found.object.spec.target.clone());
                self.take_object(&mut around, namespace).await?;
            }
            Kind::ExternalSyncConflict => {
                let found: Loaded<ExternalSyncConflict> =
                    records::get(self.store(), namespace, name).await?.ok_or_else(missing)?;
                around.about.push(found.object.spec.resource.clone());
                self.take_object(&mut around, namespace).await?;
                // It may be settled already, and is what was asked about.
                if !around.conflicts.iter().any(|known| known.object.name() == name) {
                    around.conflicts.push(found);
                }
            }
            _ => {
                if self.store.get(&Key::new(kind, namespace, name)).await?.is_none() {
                    return Err(missing());
                }
                around.about.push(ObjectRef::new(kind.as_str(), name));
                self.take_object(&mut around, namespace).await?;
            }
        }
        Ok(around)
    }

    /// Takes in what refers to the one local object that it is about.
    async fn take_object(&self, around: &mut Around, namespace: &str) -> Result<(), DriverError> {
        let Some(local) = around.about.first() else { return Ok(()) };
        let local = format!("{}/{}", local.kind, local.name);
        let of = |kind| Query::new(kind).in_namespace(namespace).with(Index::Local, local.as_str());
        around.links = records::list(self.store(), of(Kind::ExternalObjectLink)).await?;
        around.intents = records::list(self.store(), of(Kind::ExternalWriteIntent)).await?;
        around.conflicts = records::list(self.store(), of(Kind::ExternalSyncConflict)).await?;
        around.conflicts.retain(|conflict| matches!(conflict.object.phase(), "Open" | "Resolving"));
        for link in &around.links {
            let (spec, native) = (&link.object.spec, &link.object.spec.external);
            let at = native_index(&spec.provider_ref, &native.native_kind, &native.native_id);
            let query = Query::new(Kind::ExternalSyncEvent).in_namespace(namespace).with(Index::Native, at);
            around.causes.extend(records::list(self.store(), query).await?);
        }
        Ok(())
    }

    /// The newest audit events about all that was gathered, newest first.
    async fn newest_events(
        &self,
        namespace: &str,
        object: &ObjectRef,
        around: &Around,
    ) -> Result<Vec<AuditEventSpec>, DriverError> {
        #[derive(Deserialize)]
        struct Recorded {
            spec: AuditEventSpec,
        }
        let mut events: Vec<AuditEventSpec> = Vec::new();
        for subject in around.subjects(object) {
            let mut query = Query::new(Kind::AuditEvent).in_namespace(namespace).with(Index::Subject, subject);
            loop {
                let page = self.store.list(&query).await?;
                let read = page.items.iter().filter_map(|stored| serde_json::from_slice::<Recorded>(&stored.body).ok());
                events.extend(read.map(|event| event.spec));
                match page.next {
                    Some(next) => query = query.after(next),
                    None => break,
                }
            }
            // Only the newest are kept from subject to subject.
            events.sort_by_key(|event| Reverse(event.sequence));
            events.truncate(NEWEST);
        }
        Ok(events)
    }

    async fn next_of(&self, around: &Around, config: &Config, now: Time) -> Result<Vec<Next>, DriverError> {
        let mut next = Vec::new();
        for delivery in &around.deliveries {
            next.extend(next_of_delivery(&delivery.object, now));
        }
        for conflict in &around.conflicts {
            next.extend(next_of_conflict(&conflict.object));
        }
        for intent in &around.intents {
            next.extend(self.next_of_intent(
                &intent.object,
                config.scope(intent.object.namespace(), &intent.object.spec.binding_ref),
                now,
            ));
        }
        for link in &around.links {
            let status = link.object.status.as_ref();
            let Some(scope) = config.scope(link.object.namespace(), &link.object.spec.binding_ref) else { continue };
            if status.is_some_and(|status| status.needs_hydration) {
                let at = status.and_then(|status| status.not_before).filter(|at| *at > now);
                let waits_for = self.waits_for_budget(scope, None, Purpose::Hydration, now);
                next.push(Next { at, waits_for, ..does(&link.object, "its provider is asked what it is now") });
            }
            let kind = &link.object.spec.local_ref.kind;
            for state in self.states_of(scope).await? {
                let listed = local_kind(&state.object.spec.resource_kind);
                if listed.is_some_and(|listed| listed.as_str() == kind) {
                    next.extend(next_of_list(&state.object, scope, now));
                }
            }
        }
        next.sort_by_key(|next| (next.waits_for.is_some(), next.at));
        Ok(next)
    }

    /// What a budget lets wait, where it does.
    fn waits_for_budget(
        &self,
        scope: &Scope,
        operation: Option<&Operation>,
        purpose: Purpose,
        now: Time,
    ) -> Option<String> {
        if scope.is_paused() {
            return Some("its provider or binding is suspended, or has failed".to_owned());
        }
        if let (Purpose::Write, Some(policy)) = (purpose, &scope.missing_policy) {
            return Some(format!("the sync policy {policy:?}, which isn't there (R70)"));
        }
        let operation = operation.unwrap_or(&Operation::GetIssue);
        let shares = Shares::of(scope.backend.object.spec.rate_limit.as_ref());
        let cost = scope.cost(operation);
        let provider = scope.backend.object.name();
        let caller = Caller { purpose, tenant: scope.namespace() };
        let denied = self.with_ledger(provider, |ledger| ledger.allow(operation, cost, caller, &shares, now)).err()?;
        Some(format!("{denied}; until {}", denied.until().to_rfc3339()))
    }

    fn next_of_intent(&self, object: &ExternalWriteIntent, scope: Option<&Scope>, now: Time) -> Option<Next> {
        let policy = scope.map_or_else(Policy::default, |scope| Policy::of(&scope.policy));
        let status = object.status.clone().unwrap_or_default();
        let budget = || {
            let scope = scope?;
            self.waits_for_budget(scope, Some(&object.spec.operation), Purpose::Write, now)
        };
        let (what, waits_for) = match status.phase {
            Intent::PendingApproval => {
                ("it is rejected, unless a person has approved it", Some("an approval".to_owned()))
            }
            Intent::Conflict => {
                let conflict = status.conflict_ref.as_deref().unwrap_or("its conflict");
                ("it is sent anew or given up", Some(format!("a decision about {conflict}")))
            }
            Intent::ReadyToSend if !object.spec.depends_on.is_empty() => (
                "it is sent",
                budget().or_else(|| Some(format!("{}, if not done yet", object.spec.depends_on.join(", ")))),
            ),
            Intent::ReadyToSend => ("it is sent", budget()),
            Intent::Retrying if status.verify_first => {
                ("the provider is asked whether it was carried out, and it is sent if not", budget())
            }
            Intent::Retrying => ("it is sent again", budget()),
            Intent::Sending => ("it is looked for, if no answer has come", None),
            Intent::AwaitingConfirmation => {
                ("the provider is asked what it is now", Some("its confirmation".to_owned()))
            }
            _ => return None,
        };
        let at = match intent::due(object, &policy, now) {
            Due::At(at) => Some(at),
            Due::Now(_) | Due::Idle => None,
        };
        Some(Next { at, waits_for, ..does(object, what) })
    }
}

impl Around {
    fn bindings(&self) -> BTreeSet<String> {
        let links = self.links.iter().map(|link| link.object.spec.binding_ref.clone());
        let intents = self.intents.iter().map(|intent| intent.object.spec.binding_ref.clone());
        links.chain(intents).collect()
    }

    /// Everything gathered, as audit events name it.
    fn subjects(&self, object: &ObjectRef) -> BTreeSet<String> {
        fn names<T: Resource>(records: &[Loaded<T>]) -> impl Iterator<Item = String> {
            records.iter().map(|record| format!("{}/{}", T::KIND, record.object.name()))
        }
        let mut all: BTreeSet<String> = self.about.iter().map(|it| format!("{}/{}", it.kind, it.name)).collect();
        all.insert(format!("{}/{}", object.kind, object.name));
        all.extend(names(&self.links).chain(names(&self.conflicts)).chain(names(&self.intents)));
        all
    }
}

fn does<T: Resource>(object: &T, what: &str) -> Next {
    Next { record: ObjectRef::new(T::KIND.as_str(), object.name()), does: what.to_owned(), at: None, waits_for: None }
}

fn next_of_delivery(object: &ExternalWebhookDelivery, now: Time) -> Option<Next> {
    let at = match delivery::due(object, &Policy::default(), now) {
        Due::At(at) => Some(at),
        Due::Now(_) => None,
        Due::Idle if object.phase() == "DeadLettered" => {
            let waits_for = Some("a person's command: replay or skip".to_owned());
            return Some(Next { waits_for, ..does(object, "it is processed again, or left") });
        }
        Due::Idle => return None,
    };
    Some(Next { at, ..does(object, "it is processed") })
}

fn next_of_conflict(object: &ExternalSyncConflict) -> Option<Next> {
    match conflict::due(object) {
        Due::Now(_) => Some(does(object, "the decision is put in force")),
        _ if object.phase() == "Open" => {
            let waits_for = Some("a person's decision, or that the sides come to agree".to_owned());
            Some(Next { waits_for, ..does(object, "one value is taken for both sides") })
        }
        _ => None,
    }
}

fn next_of_list(state: &ExternalSyncState, scope: &Scope, now: Time) -> Option<Next> {
    let waits_for = scope.is_paused().then(|| "its provider or binding is suspended, or has failed".to_owned());
    let at = match backfill::due(state, now) {
        Due::At(at) => Some(at),
        Due::Now(_) => None,
        Due::Idle => return None,
    };
    Some(Next { at, waits_for, ..does(state, "its list is read") })
}

fn tie(link: &ExternalObjectLink) -> Tie {
    let (spec, status) = (&link.spec, link.status.clone().unwrap_or_default());
    Tie {
        name: link.name().to_owned(),
        phase: link.phase().to_owned(),
        provider: spec.provider_ref.clone(),
        binding: spec.binding_ref.clone(),
        native_kind: spec.external.native_kind.clone(),
        native_id: spec.external.native_id.clone(),
        last_seen_at: status.external.as_ref().and_then(|external| external.last_seen_at),
        version: status.external.map(|external| external.version),
        last_agreed_generation: status.last_agreed_generation,
        is_deleted: status.tombstone.is_some(),
    }
}

fn cause(event: &ExternalSyncEvent) -> Cause {
    let (spec, status) = (&event.spec, event.status.clone().unwrap_or_default());
    let source = match (&spec.source_delivery, &spec.source_backfill, &spec.source_intent) {
        (Some(name), _, _) => ObjectRef::new(Kind::ExternalWebhookDelivery.as_str(), name),
        (_, Some(name), _) => ObjectRef::new(Kind::ExternalSyncState.as_str(), name),
        (_, _, name) => ObjectRef::new(Kind::ExternalWriteIntent.as_str(), name.as_deref().unwrap_or_default()),
    };
    Cause {
        name: event.name().to_owned(),
        source,
        action: spec.action.to_string(),
        actor: spec.actor.clone(),
        at: spec.event_time,
        applied_at: status.applied_at,
        version: spec.observed_version.clone(),
        changed_fields: status.changed_fields,
    }
}

fn disagreement(conflict: &ExternalSyncConflict, config: &Config) -> Disagreement {
    let spec = &conflict.spec;
    let mode = config.scope(conflict.namespace(), &spec.binding_ref).and_then(|scope| {
        let kind = spec.resource.kind.parse().ok()?;
        scope.mode(&spec.interface, kind, &spec.field_path)
    });
    Disagreement {
        name: conflict.name().to_owned(),
        phase: conflict.phase().to_owned(),
        field_path: spec.field_path.clone(),
        reason: spec.reason.clone(),
        strategy: spec.strategy.clone(),
        mode,
        base: spec.base.as_ref().map(shown),
        desired: shown(&spec.desired),
        observed: shown(&spec.observed),
        desired_by: spec.desired_by.clone(),
        observed_by: spec.observed_by.clone(),
        error: conflict.status.as_ref().and_then(|status| status.error.clone()),
    }
}

/// A kept value: itself, or its digest where only that was kept.
fn shown(value: &krate_model::kinds::shared::Value) -> serde_json::Value {
    match value.to_json() {
        None if !value.absent => serde_json::json!({"digest": value.digest, "bytes": value.bytes}),
        json => json.unwrap_or_default(),
    }
}

fn write(intent: &ExternalWriteIntent) -> Write {
    let (spec, status) = (&intent.spec, intent.status.clone().unwrap_or_default());
    Write {
        name: intent.name().to_owned(),
        phase: intent.phase().to_owned(),
        operation: spec.operation.clone(),
        by: spec.source.actor.clone(),
        source: spec.source.kind.to_string(),
        generation: spec.desired_generation,
        attempts: status.attempts,
        verify_first: status.verify_first,
        confirmed_by: status.confirmation.map(|confirmation| confirmation.by.to_string()),
        error: status.error,
    }
}
