//! Everything that a decision about one native object needs, and all that the decision changes. Spec: design.md section 4, S31.
//!
//! [`ObjectState`] is loaded with a handful of reads by name, changed by pure functions ([`observe`](crate::observe::observe),
//! [`plan`](crate::plan::plan)), and committed whole. Its size is that of the one object, so the cost of a decision
//! doesn't grow with the store.

use krate_model::audit::{AuditDraft, AuditOutcome};
use krate_model::kinds::external::{
    BaseField, ExternalObjectLink, ExternalObjectLinkPhase, ExternalObjectLinkSpec, ExternalSyncConflict,
    ExternalSyncConflictPhase, ExternalSyncEvent, ExternalWriteIntent, ExternalWriteIntentPhase, NativeIdentity,
    Payload,
};
use krate_model::kinds::policy::{AgentApproval, AgentApprovalPhase, ApprovalSubjectKind};
use krate_model::kinds::sets::{ActorKind, Interface};
use krate_model::kinds::shared::{Actor, ObjectRef, SyncSummary, Time, Value};
use krate_model::store::{Expect, Index, Key, Private, Query, Store};
use krate_model::{Digest, Kind, NotCanonical, ORPHANED_FROM, Resource, derived_name};

use crate::local::{Local, each};
use crate::merge::{Base, FieldRule, FieldValue};
use crate::records::{self, Changes, Loaded, RecordError, bump_generation};
use crate::scope::Scope;

/// The longest base value that a link holds as text, in bytes. Beyond it the digest tells same from changed (resource-kinds.md, ExternalObjectLink).
const MAX_BASE_BYTES: usize = 1024;

/// The name under which a native object's link stands: derived, so that the same object has the same link (R36, S5).
///
/// # Errors
/// [`NotCanonical`] never, for text.
pub fn link_name(
    organization: &str,
    provider: &str,
    native_kind: &str,
    native_id: &str,
) -> Result<String, NotCanonical> {
    derived_name(native_kind, &[organization, provider, native_kind, native_id])
}

/// The name of the local object of a native object that was first seen at the provider (R36).
///
/// # Errors
/// As [`link_name`].
pub fn projection_name(
    kind: Kind,
    organization: &str,
    provider: &str,
    native_kind: &str,
    native_id: &str,
) -> Result<String, NotCanonical> {
    derived_name(kind.as_str(), &[organization, provider, native_kind, native_id])
}

/// One native object with all that is known about it.
#[derive(Debug, Clone, Default)]
pub struct ObjectState {
    /// Its link; absent for one that nobody has seen yet.
    pub link: Option<Loaded<ExternalObjectLink>>,
    /// The local object; absent with the link, or once a deletion was seen before anything else.
    pub local: Option<Loaded<Local>>,
    /// Its write intents that aren't final, in the order of admission (S36).
    pub intents: Vec<Loaded<ExternalWriteIntent>>,
    /// The write whose answer is observed, where it was given up before the answer came.
    pub answered: Option<Payload>,
    /// Its open conflicts, and the ignored ones that still hold.
    pub conflicts: Vec<Loaded<ExternalSyncConflict>>,
    /// What it is about: the issue of a comment, the pull request of a review, the run of a job.
    pub parent: Option<ObjectRef>,
    /// Records that the decision makes besides: they are new, and named after their content.
    pub events: Vec<ExternalSyncEvent>,
    /// Approvals that its intents wait for.
    pub approvals: Vec<Loaded<AgentApproval>>,
    /// Values that are too long for the record that names them, by digest.
    pub values: Vec<(Digest, String)>,
    /// What is to be told.
    pub audit: Vec<AuditDraft>,
    /// Whether the decision left something to write: a drift, a merge of both sides, or the rest of a wish that met a conflict. A wish that the
    /// provider refused is none: it isn't sent again as it is (S45).
    pub replan: bool,
}

impl ObjectState {
    /// Reads what belongs to the native object of that link.
    ///
    /// # Errors
    /// [`RecordError`] when the store fails or holds something else.
    pub async fn load(store: &dyn Store, namespace: &str, link: &str) -> Result<Self, RecordError> {
        let Some(link) = records::get::<ExternalObjectLink>(store, namespace, link).await? else {
            return Ok(Self::default());
        };
        let local = load_local(store, namespace, &link.object.spec.local_ref).await?;
        let mut state = Self { local, ..Self::default() };
        if let Some(status) = &link.object.status {
            for name in &status.pending_intents {
                state.intents.extend(records::get::<ExternalWriteIntent>(store, namespace, name).await?);
            }
            for name in status.open_conflicts.iter().chain(&status.ignored_conflicts) {
                state.conflicts.extend(records::get::<ExternalSyncConflict>(store, namespace, name).await?);
            }
        }
        state.link = Some(link);
        state.load_approvals(store, namespace).await?;
        Ok(state)
    }

    /// Reads what the writes that ask for an answer wait for.
    async fn load_approvals(&mut self, store: &dyn Store, namespace: &str) -> Result<(), RecordError> {
        for intent in self.intents.iter().filter(|intent| asks(&intent.object)) {
            let subject = format!("{}/{}", ApprovalSubjectKind::WriteIntent, intent.object.name());
            let query = Query::new(Kind::AgentApproval).in_namespace(namespace).with(Index::Subject, subject);
            self.approvals.extend(records::list::<AgentApproval>(store, query).await?);
        }
        Ok(())
    }

    /// Reads what belongs to a local object, whether it has a link or not yet.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub async fn load_of_local(store: &dyn Store, namespace: &str, local: &ObjectRef) -> Result<Self, RecordError> {
        let local_object = load_local(store, namespace, local).await?;
        let external = local_object.as_ref().and_then(|loaded| loaded.object.external().cloned());
        if let (Some(external), Some(loaded)) = (external, &local_object) {
            let organization = each!(&loaded.object, object => object.organization().unwrap_or_default().to_owned());
            let named = link_name(&organization, &external.provider_ref, &external.native_kind, &external.native_id);
            if let Ok(name) = named {
                return Self::load(store, namespace, &name).await;
            }
        }
        // Without a link the intents are found by what they are about.
        let query = Query::new(Kind::ExternalWriteIntent)
            .in_namespace(namespace)
            .with(Index::Local, format!("{}/{}", local.kind, local.name));
        let intents = records::list::<ExternalWriteIntent>(store, query).await?;
        let intents = intents.into_iter().filter(|intent| !is_final(&intent.object)).collect();
        let mut state = Self { local: local_object, intents, ..Self::default() };
        state.load_approvals(store, namespace).await?;
        Ok(state)
    }

    /// Puts everything that changed into `changes`.
    ///
    /// # Errors
    /// [`RecordError::Unwritable`] when an object has no JSON.
    pub fn write(&mut self, changes: &mut Changes) -> Result<(), RecordError> {
        self.end_dependents(changes.now());
        self.wake();
        self.refresh_link();
        if let Some(link) = &self.link {
            changes.put(link)?;
        }
        if let Some(local) = self.local.as_ref().filter(|local| local.dirty) {
            each!(&local.object, object => changes.put(&Loaded {
                object: object.clone(),
                revision: local.revision,
                dirty: true,
            }))?;
        }
        for intent in &self.intents {
            changes.put(intent)?;
        }
        for conflict in &self.conflicts {
            changes.put(conflict)?;
        }
        for approval in &self.approvals {
            changes.put(approval)?;
        }
        for (digest, text) in &self.values {
            changes.put_private(value_key(self.namespace(), digest), Expect::Any, text.clone().into_bytes());
        }
        changes.audit_all(self.audit.drain(..));
        Ok(())
    }

    /// What hangs on something that ended ends with it: a write with the conflict that it met, an approval with the write that asked for it.
    fn end_dependents(&mut self, now: Time) {
        for intent in
            self.intents.iter_mut().filter(|intent| is_in(&intent.object, &ExternalWriteIntentPhase::Conflict))
        {
            let met = intent.object.status.as_ref().and_then(|status| status.conflict_ref.as_deref());
            let over = self
                .conflicts
                .iter()
                .find(|conflict| Some(conflict.object.name()) == met && !is_open(&conflict.object));
            if let Some(conflict) = over {
                // The table has this move from every conflict: a refusal would leave the intent as it is.
                let reason = format!("{} is {}", conflict.object.name(), conflict.object.phase());
                self.audit.extend(crate::moves::withdraw_intent(intent, &reason, now).unwrap_or_default());
            }
        }
        for approval in &mut self.approvals {
            let pending =
                approval.object.status.as_ref().is_none_or(|status| status.phase == AgentApprovalPhase::Pending);
            let name = &approval.object.spec.subject.name;
            let intent = self.intents.iter().find(|intent| intent.object.name() == name);
            if pending && intent.is_some_and(|intent| !asks(&intent.object)) {
                let late = approval.object.spec.expires_at <= now;
                let phase = if late { AgentApprovalPhase::Expired } else { AgentApprovalPhase::Stale };
                approval.change().status_mut().phase = phase;
            }
        }
    }

    /// What waited for something that has just ended is looked at again at once (S36).
    fn wake(&mut self) {
        let ended: Vec<String> = self
            .intents
            .iter()
            .filter(|intent| {
                intent.dirty && (is_final(&intent.object) || is_in(&intent.object, &ExternalWriteIntentPhase::Conflict))
            })
            .map(|intent| intent.object.name().to_owned())
            .collect();
        let decided = self.conflicts.iter().any(|conflict| conflict.dirty && !is_open(&conflict.object));
        for intent in &mut self.intents {
            let waits = is_in(&intent.object, &ExternalWriteIntentPhase::ReadyToSend)
                && intent.object.status.as_ref().is_some_and(|status| status.not_before.is_some());
            if waits && (decided || intent.object.spec.depends_on.iter().any(|before| ended.contains(before))) {
                intent.change().status_mut().not_before = None;
            }
        }
    }

    fn namespace(&self) -> &str {
        match (&self.link, &self.local) {
            (Some(link), _) => link.object.namespace(),
            (None, Some(local)) => local.object.namespace(),
            (None, None) => "",
        }
    }

    /// Brings the link's lists and the local object's summary to what the intents and conflicts are now.
    fn refresh_link(&mut self) {
        let pending: Vec<String> = self
            .intents
            .iter()
            .filter(|intent| !is_final(&intent.object))
            .map(|intent| intent.object.name().to_owned())
            .collect();
        let such = |is: fn(&ExternalSyncConflict) -> bool| -> Vec<String> {
            let conflicts = self.conflicts.iter().map(|conflict| &conflict.object);
            conflicts.filter(|conflict| is(conflict)).map(|conflict| conflict.name().to_owned()).collect()
        };
        let (open, ignored) = (such(is_open), such(is_ignored));
        let mut needs_hydration = false;
        let mut external = None;
        if let Some(link) = &mut self.link {
            let status = link.object.status_mut();
            needs_hydration = status.needs_hydration;
            let changed = status.pending_intents != pending
                || status.open_conflicts != open
                || status.ignored_conflicts != ignored;
            if changed {
                status.pending_intents.clone_from(&pending);
                status.open_conflicts.clone_from(&open);
                status.ignored_conflicts = ignored;
            }
            external.clone_from(&status.external);
            link.dirty |= changed;
        }
        if let (Some(local), Some(external)) = (&mut self.local, external) {
            let summary = SyncSummary {
                last_synced_at: external.last_synced_at,
                needs_hydration,
                pending_intents: i64::try_from(pending.len()).unwrap_or(i64::MAX),
                open_conflicts: i64::try_from(open.len()).unwrap_or(i64::MAX),
            };
            let known = each!(&local.object, object => object.status.as_ref().and_then(|status| status.sync.clone()));
            if local.dirty || known.as_ref() != Some(&summary) || local.object.external() != Some(&external) {
                local.dirty = true;
                local.object.set_external(external, summary);
            }
        }
    }

    /// The link; made for a native object that has none yet.
    pub(crate) fn link_or_new(
        &mut self,
        scope: &Scope,
        identity: NativeIdentity,
        local: ObjectRef,
    ) -> Result<&mut Loaded<ExternalObjectLink>, NotCanonical> {
        let name = link_name(scope.organization(), scope.provider(), &identity.native_kind, &identity.native_id)?;
        Ok(self.link.get_or_insert_with(|| {
            let spec = ExternalObjectLinkSpec {
                organization_ref: scope.organization().to_owned(),
                provider_ref: scope.provider().to_owned(),
                binding_ref: scope.binding_name().to_owned(),
                local_ref: local,
                external: identity,
            };
            let mut link = ExternalObjectLink::at(scope.namespace(), name, spec);
            link.status_mut().phase = ExternalObjectLinkPhase::Linked;
            Loaded::new(link)
        }))
    }

    /// Whether no binding has the object: nobody has seen it yet, or the binding that had is gone.
    pub(crate) fn is_unbound(&self) -> bool {
        self.link.as_ref().is_none_or(|link| is_nobodys(&link.object))
    }

    /// The object stays when its binding goes, as nobody's: nothing is read or written of it until another binding sees it (R21).
    pub(crate) fn orphan(&mut self, binding: &str) {
        let Some(link) = &mut self.link else { return };
        let link = link.change();
        // Another binding may have the same name and be about something else.
        link.spec.binding_ref.clear();
        let status = link.status_mut();
        status.needs_hydration = false;
        status.not_before = None;
        status.hydration_attempts = 0;
        if status.phase == ExternalObjectLinkPhase::Linked {
            status.phase = ExternalObjectLinkPhase::Orphaned;
        }
        if let Some(local) = &mut self.local {
            let annotations =
                each!(local.change(), object => object.metadata_mut().annotations.get_or_insert_default());
            annotations.insert(ORPHANED_FROM.to_owned(), binding.to_owned());
        }
    }

    /// Lets a binding have an object that is nobody's. What it reads first is news, also where it was read before: what was changed here meanwhile is compared with it, and
    /// written where the mode says so.
    pub(crate) fn take_up(&mut self, scope: &Scope) {
        let Some(link) = self.link.as_mut().filter(|link| is_nobodys(&link.object)) else { return };
        let link = link.change();
        scope.binding_name().clone_into(&mut link.spec.binding_ref);
        let status = link.status_mut();
        if status.phase == ExternalObjectLinkPhase::Orphaned {
            status.phase = ExternalObjectLinkPhase::Linked;
        }
        status.observed_digest = None;
        if let Some(external) = &mut status.external {
            scope.binding_name().clone_into(&mut external.binding_ref);
        }
        if let Some(local) = &mut self.local {
            let annotations = each!(local.change(), object => object.metadata_mut().annotations.as_mut());
            annotations.map(|annotations| annotations.remove(ORPHANED_FROM));
        }
        self.replan = true;
    }

    /// The base of a field.
    pub fn base(&self, path: &str) -> Base<'_> {
        let kept = self
            .link
            .as_ref()
            .and_then(|link| link.object.status.as_ref())
            .and_then(|status| status.base.iter().find(|field| field.path == path));
        kept.map(|field| &field.value).into()
    }

    /// Moves the base of a field.
    pub(crate) fn set_base(&mut self, rule: &FieldRule<'_>, value: &FieldValue<'_>) -> Result<(), NotCanonical> {
        let Some(link) = &mut self.link else { return Ok(()) };
        let kept = value.to_base(rule, MAX_BASE_BYTES)?;
        let status = link.object.status_mut();
        match status.base.iter_mut().find(|field| field.path == rule.path) {
            Some(field) if field.value == kept => return Ok(()),
            Some(field) => field.value = kept,
            None => {
                status.base.push(BaseField { path: rule.path.to_string(), value: kept });
                status.base.sort_by(|one, other| one.path.cmp(&other.path));
            }
        }
        link.dirty = true;
        Ok(())
    }

    /// Lets the provider's value of a field stand, which the next read shows: until then `held` counts as agreed, so that nobody writes it.
    pub(crate) fn ask_for(&mut self, rule: &FieldRule<'_>, held: &FieldValue<'_>) -> Result<(), NotCanonical> {
        self.set_base(rule, held)?;
        self.look_again();
        Ok(())
    }

    /// Asks for a read of the object, which is merged though it shows what was seen before.
    pub(crate) fn look_again(&mut self) {
        if let Some(link) = &mut self.link {
            link.dirty = true;
            let status = link.object.status_mut();
            status.observed_digest = None;
            status.needs_hydration = true;
            status.not_before = None;
        }
    }

    /// The open conflict about a field (S28).
    pub(crate) fn open_conflict(&self, path: &str) -> Option<&Loaded<ExternalSyncConflict>> {
        self.conflicts.iter().find(|conflict| conflict.object.spec.field_path == path && is_open(&conflict.object))
    }

    /// The open conflict about a field, to be moved.
    pub(crate) fn open_conflict_mut(&mut self, path: &str) -> Option<&mut Loaded<ExternalSyncConflict>> {
        self.conflicts.iter_mut().find(|conflict| conflict.object.spec.field_path == path && is_open(&conflict.object))
    }

    /// What krate itself has made of the object, or is about to, and nobody has seen yet.
    pub(crate) fn own_payloads(&self) -> impl Iterator<Item = &Payload> {
        let to_come = self.intents.iter().map(|intent| &intent.object).filter(|intent| is_to_come(intent));
        to_come.map(|intent| &intent.spec.payload).chain(&self.answered)
    }

    /// The conflict about a field that somebody chose to ignore, while both sides may be as they were then.
    pub(crate) fn ignored_conflict(&self, path: &str) -> Option<&ExternalSyncConflict> {
        let mut conflicts = self.conflicts.iter().map(|conflict| &conflict.object);
        conflicts.find(|conflict| conflict.spec.field_path == path && is_ignored(conflict))
    }

    /// Forgets such a conflict: a side has moved.
    pub(crate) fn end_ignored(&mut self, path: &str) {
        self.conflicts.retain(|conflict| conflict.object.spec.field_path != path || !is_ignored(&conflict.object));
    }

    /// An audit event about this object.
    pub(crate) fn tell(&self, scope: &Scope, kind: &str, actor: Actor, now: Time) -> AuditDraft {
        let mut draft = AuditDraft::new(scope.namespace(), kind, now, actor)
            .organization(scope.organization())
            .outcome(AuditOutcome::Succeeded);
        if let Some(link) = &self.link {
            let identity = &link.object.spec.external;
            draft = draft
                .scope(scope.provider(), scope.binding_name(), Some(identity.interface.clone()))
                .native(&identity.native_kind, &identity.native_id)
                .object(link.object.spec.local_ref.clone());
        } else if let Some(local) = &self.local {
            draft = draft.scope(scope.provider(), scope.binding_name(), None).object(local.object.to_ref());
        }
        draft
    }

    /// Counts a new wish for the object: its intents are other requests than those of an earlier one (S33).
    pub(crate) fn wish_anew(&mut self) {
        if let Some(local) = &mut self.local {
            local.dirty = true;
            each!(&mut local.object, object => bump_generation(object));
        }
    }

    /// The interface of the object.
    pub(crate) fn interface(&self) -> Option<Interface> {
        self.link.as_ref().map(|link| link.object.spec.external.interface.clone())
    }
}

/// krate's own controller, as an actor.
pub fn controller() -> Actor {
    Actor::new(ActorKind::Controller, "krate-sync")
}

/// Whether nothing can happen to the intent any more.
pub(crate) fn is_final(intent: &ExternalWriteIntent) -> bool {
    matches!(
        intent.status.as_ref().map(|status| &status.phase),
        Some(
            ExternalWriteIntentPhase::Succeeded | ExternalWriteIntentPhase::Rejected | ExternalWriteIntentPhase::Failed
        )
    )
}

/// Whether the binding of the object is gone.
pub(crate) fn is_nobodys(link: &ExternalObjectLink) -> bool {
    link.spec.binding_ref.is_empty()
}

/// Whether the intent was sent, and it isn't known what became of it.
pub(crate) fn is_in_flight(intent: &ExternalWriteIntent) -> bool {
    matches!(
        intent.status.as_ref().map(|status| &status.phase),
        Some(
            ExternalWriteIntentPhase::Sending
                | ExternalWriteIntentPhase::Retrying
                | ExternalWriteIntentPhase::AwaitingConfirmation
        )
    )
}

/// Whether the effect of the intent may come yet: it is on its way, and nobody has seen it. Once it was seen, the base tells what came of it.
pub(crate) fn is_to_come(intent: &ExternalWriteIntent) -> bool {
    is_in_flight(intent) && intent.status.as_ref().is_some_and(|status| status.confirmation.is_none())
}

fn is_in(intent: &ExternalWriteIntent, phase: &ExternalWriteIntentPhase) -> bool {
    intent.status.as_ref().map_or(*phase == ExternalWriteIntentPhase::default(), |status| status.phase == *phase)
}

/// Whether the intent waits for a person's answer.
pub(crate) fn asks(intent: &ExternalWriteIntent) -> bool {
    is_in(intent, &ExternalWriteIntentPhase::PendingApproval)
}

/// Whether the conflict still counts.
pub(crate) fn is_open(conflict: &ExternalSyncConflict) -> bool {
    matches!(
        conflict.status.as_ref().map_or(&ExternalSyncConflictPhase::Open, |status| &status.phase),
        ExternalSyncConflictPhase::Open | ExternalSyncConflictPhase::Resolving
    )
}

/// Whether somebody chose to leave both sides as they are.
pub(crate) fn is_ignored(conflict: &ExternalSyncConflict) -> bool {
    conflict.status.as_ref().is_some_and(|status| status.phase == ExternalSyncConflictPhase::Ignored)
}

/// Where a value stands that is too long for its record.
pub(crate) fn value_key(namespace: &str, digest: &Digest) -> Key {
    Key::new(Private::SyncRecord, namespace, format!("value-{}", digest.to_hex()))
}

/// The value that a record names, from the record or from beside it.
///
/// # Errors
/// [`RecordError`] when the store fails.
pub async fn full_value(
    store: &dyn Store,
    namespace: &str,
    value: &Value,
) -> Result<Option<serde_json::Value>, RecordError> {
    if value.absent {
        return Ok(Some(serde_json::Value::Null));
    }
    if let Some(json) = value.to_json() {
        return Ok(Some(json));
    }
    let stored = store.get(&value_key(namespace, &value.digest)).await?;
    Ok(stored.and_then(|stored| serde_json::from_slice(&stored.body).ok()))
}

pub(crate) async fn load_local(
    store: &dyn Store,
    namespace: &str,
    reference: &ObjectRef,
) -> Result<Option<Loaded<Local>>, RecordError> {
    async fn of<T: Resource>(
        store: &dyn Store,
        namespace: &str,
        name: &str,
        wrap: fn(T) -> Local,
    ) -> Result<Option<Loaded<Local>>, RecordError> {
        let loaded = records::get::<T>(store, namespace, name).await?;
        Ok(loaded.map(|loaded| Loaded { object: wrap(loaded.object), revision: loaded.revision, dirty: false }))
    }
    let name = reference.name.as_str();
    match Kind::lookup(&reference.kind) {
        Some(Kind::Issue) => of(store, namespace, name, Local::Issue).await,
        Some(Kind::PullRequest) => of(store, namespace, name, Local::PullRequest).await,
        Some(Kind::Review) => of(store, namespace, name, Local::Review).await,
        Some(Kind::Comment) => of(store, namespace, name, Local::Comment).await,
        Some(Kind::Repository) => of(store, namespace, name, Local::Repository).await,
        Some(Kind::Pipeline) => of(store, namespace, name, Local::Pipeline).await,
        Some(Kind::Job) => of(store, namespace, name, Local::Job).await,
        _ => Ok(None),
    }
}
