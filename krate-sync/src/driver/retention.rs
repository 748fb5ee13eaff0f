//! What came to its end long ago goes (R57): by policy, a bounded number of records a step, and never what something that lives still names.
//!
//! One step looks at the next few ended records of one kind, in the order in which they ended. A crash between steps leaves some of them for the next round.
//! The audit goes by prefixes, and a checkpoint stays in the place of each, so that the rest of the chain is still provable (R44).

use std::collections::BTreeSet;
use std::sync::PoisonError;

use chrono::TimeDelta;
use krate_model::audit::AuditEventSpec;
use krate_model::kinds::external::{
    ExternalBackendSyncPolicySpec, ExternalObjectLink, ExternalSyncConflict, ExternalSyncEvent,
    ExternalWebhookDelivery, ExternalWriteIntent,
};
use krate_model::kinds::policy::{AgentApproval, ApprovalSubjectKind};
use krate_model::kinds::shared::{Dur, Time};
use krate_model::store::{ChangeSet, CommitError, Expect, Index, Key, Position, Query, Stored, sortable_time};
use krate_model::{Digest, Kind, Resource};
use serde::Deserialize;

use super::removals::DEPENDANTS;
use super::{Config, Driver, DriverError};
use crate::object::{is_final, is_open, value_key};
use crate::records::{self, RecordError, payload_key};

/// Records that one step looks at.
const STEP: usize = 128;
/// Audit events that one step takes away at most.
const AUDIT_STEP: usize = 500;
/// Between the rounds.
const BETWEEN_ROUNDS: TimeDelta = TimeDelta::hours(1);
/// How long intents, conflicts, approvals and the audit are kept.
const KEPT: TimeDelta = TimeDelta::hours(8760);

/// What goes, in this order: what names others before what it names.
const KINDS: [Kind; 6] = [
    Kind::ExternalSyncEvent,
    Kind::ExternalWebhookDelivery,
    Kind::AgentApproval,
    Kind::ExternalSyncConflict,
    Kind::ExternalWriteIntent,
    Kind::ExternalObjectLink,
];

/// Where the round is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Round {
    /// When the last one ended.
    ended: Option<Time>,
    /// The place in [`KINDS`]; behind them comes the audit.
    kind: usize,
    after: Option<Position>,
}

/// Whose and in which phase a local object is.
#[derive(Deserialize)]
struct Local {
    #[serde(default)]
    status: LocalStatus,
}

#[derive(Default, Deserialize)]
struct LocalStatus {
    #[serde(default)]
    phase: String,
}

impl Driver {
    /// One step of the round, when it is time. Answers when the next one is due, where the round goes on.
    pub(super) async fn prune(&self, config: &Config, now: Time) -> Result<Option<Time>, DriverError> {
        let mut round = self.notes.lock().unwrap_or_else(PoisonError::into_inner).round.clone();
        let begins = round.kind == 0 && round.after.is_none();
        // A clock that was set back doesn't hold the next round up.
        if begins && round.ended.is_some_and(|ended| ended <= now && now < ended + BETWEEN_ROUNDS) {
            return Ok(None);
        }
        // What goes wrong is left to the next round.
        let step = match KINDS.get(round.kind) {
            Some(kind) => {
                let page = self.prune_kind(*kind, config, round.after.take(), now).await;
                page.map(|after| {
                    round.after = after;
                    true
                })
            }
            None => self.prune_audit(config, now).await,
        };
        let more = matches!(step, Ok(true)) || round.kind < KINDS.len();
        if round.after.is_none() {
            round.kind = round.kind.saturating_add(1).min(KINDS.len());
        }
        if !more {
            round = Round { ended: Some(now), ..Round::default() };
        }
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).round = round;
        step.map(|_| more.then_some(now))
    }

    /// Takes the next page of a kind; where the one after it begins.
    async fn prune_kind(
        &self,
        kind: Kind,
        config: &Config,
        after: Option<Position>,
        now: Time,
    ) -> Result<Option<Position>, DriverError> {
        let shortest = config.all_scopes().map(|scope| kept(kind, &scope.policy)).min();
        let upto = sortable_time(now - shortest.unwrap_or(KEPT).min(kept(kind, &unnamed())));
        let mut query = Query::new(kind).between(Index::Ended, ..=upto.as_str()).limit(STEP);
        query.after = after;
        let page = self.store.list(&query).await?;
        for stored in &page.items {
            let Some(changes) = self.removal(kind, stored, config, now).await? else { continue };
            match self.store.commit(changes).await {
                // Somebody has just changed it: the next round looks again.
                Ok(_) | Err(CommitError::Conflict { .. }) => {}
                Err(error) => return Err(RecordError::from(error).into()),
            }
        }
        Ok(page.next)
    }

    /// What takes the record away with what belongs to it alone; nothing where it is too young, or something that lives needs it.
    async fn removal(
        &self,
        kind: Kind,
        stored: &Stored,
        config: &Config,
        now: Time,
    ) -> Result<Option<ChangeSet>, DriverError> {
        let namespace = &stored.key.namespace;
        let gone = ChangeSet::new().delete(stored.key.clone(), Expect::At(stored.revision));
        let policy = |binding: Option<&str>| {
            let Some(name) = binding else { return unnamed() };
            match config.scope(namespace, name) {
                Some(scope) if scope.missing_policy.is_none() => (*scope.policy).clone(),
                // How long a policy that isn't there, or a binding that may not be used, would have it kept, nobody knows (R70).
                None if config.why_refused(namespace, name).is_none() && !config.is_damaged(namespace, name) => {
                    unnamed()
                }
                _ => kept_long(),
            }
        };
        let changes = match kind {
            Kind::ExternalSyncEvent => {
                let event = records::parse::<ExternalSyncEvent>(stored)?.object;
                is_over(&event, &policy(Some(&event.spec.binding_ref)), now).then_some(gone)
            }
            Kind::ExternalWebhookDelivery => {
                let delivery = records::parse::<ExternalWebhookDelivery>(stored)?.object;
                let over = is_over(&delivery, &policy(delivery.spec.binding_ref.as_deref()), now);
                over.then(|| gone.delete(payload_key(namespace, &stored.key.name), Expect::Any))
            }
            Kind::AgentApproval => {
                let approval = records::parse::<AgentApproval>(stored)?.object;
                let subject = &approval.spec.subject;
                let intent = match subject.kind {
                    ApprovalSubjectKind::WriteIntent => {
                        records::get::<ExternalWriteIntent>(self.store(), namespace, &subject.name).await?
                    }
                    // Whose approvals these are keeps them as long as it needs them.
                    _ => return Ok(None),
                };
                let needed = intent.is_some_and(|intent| !is_final(&intent.object));
                (!needed && is_over(&approval, &unnamed(), now)).then_some(gone)
            }
            Kind::ExternalSyncConflict => {
                let conflict = records::parse::<ExternalSyncConflict>(stored)?.object;
                let named = self.named_by_open(namespace, &conflict.spec.resource.kind, &conflict.spec.resource.name);
                let needed = named.await?.contains(conflict.name()) || self.is_left_apart(&conflict).await?;
                if needed || !is_over(&conflict, &unnamed(), now) {
                    return Ok(None);
                }
                Some(self.with_values(&conflict, gone).await?)
            }
            Kind::ExternalWriteIntent => {
                let intent = records::parse::<ExternalWriteIntent>(stored)?.object;
                let named = self.named_by_open(namespace, &intent.spec.target.kind, &intent.spec.target.name);
                let needed = named.await?.contains(intent.name());
                (!needed && is_over(&intent, &unnamed(), now)).then_some(gone)
            }
            _ => {
                let link = records::parse::<ExternalObjectLink>(stored)?.object;
                if !is_over(&link, &policy(Some(&link.spec.binding_ref)), now) {
                    return Ok(None);
                }
                self.removal_of_tombstone(&link, gone).await?
            }
        };
        Ok(changes)
    }

    /// `gone` with the values that stand beside the conflict, but for those that another one names as well.
    async fn with_values(
        &self,
        conflict: &ExternalSyncConflict,
        mut gone: ChangeSet,
    ) -> Result<ChangeSet, DriverError> {
        let digests: BTreeSet<Digest> = conflict.spec.values_beside().map(|value| value.digest).collect();
        for digest in digests {
            let key = value_key(conflict.namespace(), &digest);
            // Read before it is asked who names it: whoever names it later writes it anew, and this removal is too late.
            let Some(stored) = self.store.get(&key).await? else { continue };
            let named = Query::new(Kind::ExternalSyncConflict)
                .in_namespace(conflict.namespace())
                .with(Index::Digest, digest.to_string())
                .limit(2);
            if self.store.list(&named).await?.items.iter().all(|it| &*it.key.name == conflict.name()) {
                gone = gone.delete(key, Expect::At(stored.revision));
            }
        }
        Ok(gone)
    }

    /// Whether the conflict still says which values somebody chose to leave apart (S27).
    async fn is_left_apart(&self, conflict: &ExternalSyncConflict) -> Result<bool, DriverError> {
        let link =
            records::get::<ExternalObjectLink>(self.store(), conflict.namespace(), &conflict.spec.link_ref).await?;
        let status = link.and_then(|link| link.object.status);
        Ok(status.is_some_and(|status| status.ignored_conflicts.iter().any(|name| name == conflict.name())))
    }

    /// The names of intents and conflicts that an open intent or conflict about the local object refers to.
    async fn named_by_open(&self, namespace: &str, kind: &str, name: &str) -> Result<BTreeSet<String>, DriverError> {
        let about = format!("{kind}/{name}");
        let mut named = BTreeSet::new();
        let query = Query::new(Kind::ExternalWriteIntent).in_namespace(namespace).with(Index::Local, about.as_str());
        for intent in records::list::<ExternalWriteIntent>(self.store(), query).await? {
            if !is_final(&intent.object) {
                named.extend(intent.object.spec.depends_on);
                named.extend(intent.object.status.and_then(|status| status.conflict_ref));
            }
        }
        let query = Query::new(Kind::ExternalSyncConflict).in_namespace(namespace).with(Index::Local, about.as_str());
        for conflict in records::list::<ExternalSyncConflict>(self.store(), query).await? {
            if is_open(&conflict.object) {
                named.extend(conflict.object.spec.intent_ref);
                let status = conflict.object.status.unwrap_or_default();
                named.extend(status.supersedes.into_iter().chain(status.resolution_intent));
            }
        }
        Ok(named)
    }

    /// A tombstone goes with its projection, unless something hangs on either.
    async fn removal_of_tombstone(
        &self,
        link: &ExternalObjectLink,
        gone: ChangeSet,
    ) -> Result<Option<ChangeSet>, DriverError> {
        let Some(status) = link.status.as_ref().filter(|status| status.tombstone.is_some()) else { return Ok(None) };
        if !status.pending_intents.is_empty() || !status.open_conflicts.is_empty() {
            return Ok(None);
        }
        let local = &link.spec.local_ref;
        let Some(kind) = Kind::lookup(&local.kind) else { return Ok(None) };
        for child in DEPENDANTS {
            let parent = format!("{}/{}", local.kind, local.name);
            let query = Query::new(child).in_namespace(link.namespace()).with(Index::Parent, parent).limit(1);
            if !self.store.list(&query).await?.items.is_empty() {
                return Ok(None);
            }
        }
        let Some(stored) = self.store.get(&Key::new(kind, link.namespace(), local.name.as_str())).await? else {
            return Ok(Some(gone));
        };
        // Somebody may have taken it up again.
        let deleted = serde_json::from_slice::<Local>(&stored.body).is_ok_and(|local| local.status.phase == "Deleted");
        Ok(deleted.then(|| gone.delete(stored.key.clone(), Expect::At(stored.revision))))
    }

    /// Takes the beginnings of the audit chains whose time is over; whether there is more of them.
    async fn prune_audit(&self, config: &Config, now: Time) -> Result<bool, DriverError> {
        let providers = config.backends().map(|backend| backend.object.namespace().to_owned());
        let bindings = config.all_scopes().map(|scope| scope.namespace().to_owned());
        let mut more = false;
        for namespace in providers.chain(bindings).collect::<BTreeSet<_>>() {
            let query = Query::new(Kind::AuditEvent).in_namespace(namespace.as_str()).limit(AUDIT_STEP);
            let page = self.store.list(&query).await?;
            let mut ends: Option<(i64, i64)> = None;
            for stored in &page.items {
                let event: Recorded = serde_json::from_slice(&stored.body).map_err(|error| RecordError::Damaged {
                    key: stored.key.clone(),
                    message: format!("line {}, column {}", error.line(), error.column()),
                })?;
                if event.spec.at > now - KEPT {
                    break;
                }
                let sequence = event.spec.sequence;
                ends = Some((ends.map_or(sequence.saturating_sub(1), |(after, _)| after), sequence));
            }
            let Some((after, upto)) = ends else { continue };
            match self.store.commit(ChangeSet::new().retiring(namespace, after, upto)).await {
                // All of the page went: there may be more.
                Ok(_) => more |= page.next.is_some(),
                Err(CommitError::Conflict { .. }) => {}
                Err(error) => return Err(RecordError::from(error).into()),
            }
        }
        Ok(more)
    }
}

/// An audit event as the store holds it.
#[derive(Deserialize)]
struct Recorded {
    spec: AuditEventSpec,
}

/// The policy of what no binding is about.
fn unnamed() -> ExternalBackendSyncPolicySpec {
    ExternalBackendSyncPolicySpec::new("")
}

/// What may be needed longer than anybody can tell is kept for as long as anything is.
fn kept_long() -> ExternalBackendSyncPolicySpec {
    let mut policy = unnamed();
    if let Ok(long) = format!("{}h", KEPT.num_hours()).parse::<Dur>() {
        policy.storage.retention = long.clone();
        policy.storage.tombstone_retention = long;
    }
    policy
}

/// How long an ended record of the kind is kept.
fn kept(kind: Kind, policy: &ExternalBackendSyncPolicySpec) -> TimeDelta {
    // What can't be read is kept long.
    let of = |text: &Dur| text.to_delta().unwrap_or(KEPT);
    match kind {
        Kind::ExternalSyncEvent | Kind::ExternalWebhookDelivery => of(&policy.storage.retention),
        // A full read after it has to have shown that the object doesn't come back.
        Kind::ExternalObjectLink => {
            of(&policy.storage.tombstone_retention).max(of(&policy.backfill.full_resync_interval))
        }
        _ => KEPT,
    }
}

/// Whether the record ended longer ago than it is kept.
fn is_over<T: Resource>(record: &T, policy: &ExternalBackendSyncPolicySpec, now: Time) -> bool {
    let mut ended = None;
    record.indexes(&mut |index, value| {
        if index == Index::Ended {
            ended = Some(value);
        }
    });
    ended.is_some_and(|ended| ended <= sortable_time(now - kept(T::KIND, policy)))
}
