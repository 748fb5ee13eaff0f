//! What a change set comes to: the one place where preconditions are checked and audit events are chained, for every store.

use std::collections::BTreeSet;
use std::collections::btree_map::{BTreeMap, Entry};
use std::sync::Arc;

use super::{
    Action, Body, Change, ChangeSet, CommitError, IndexEntry, Key, MAX_INDEXED_BYTES, Private, Refusal, RetiredAudit,
    Revision, StoreError,
};
use crate::Kind;
use crate::audit::{self, AuditDraft, AuditEventSpec, ChainHead};

/// The state that a change set is checked against, frozen until the plan is applied.
pub trait Current {
    /// The revision of the object under `key`.
    fn revision_of(&self, key: &Key) -> Result<Option<Revision>, StoreError>;
    /// The body of the object under `key`.
    fn body_of(&self, key: &Key) -> Result<Option<Body>, StoreError>;
    /// How the store calls itself in errors.
    fn name(&self) -> Arc<str>;
}

/// One thing to do. A plan holds at most one a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Planned {
    /// Write this object and exactly these index entries.
    Put {
        /// The object.
        key: Key,
        /// Whether it was there.
        action: Action,
        /// Its bytes.
        body: Body,
        /// What it is found by.
        indexes: Vec<IndexEntry>,
    },
    /// Remove this object, which is there, and its index entries.
    Delete {
        /// The object.
        key: Key,
    },
}

impl Planned {
    /// The object.
    pub fn key(&self) -> &Key {
        match self {
            Self::Put { key, .. } | Self::Delete { key } => key,
        }
    }

    /// What happens to it.
    pub fn action(&self) -> Action {
        match self {
            Self::Put { action, .. } => *action,
            Self::Delete { .. } => Action::Deleted,
        }
    }
}

/// What [`plan`] asks [`Current`] for: each key, and whether for its body, too. For stores that read it before they decide.
pub fn asks(changes: &ChangeSet) -> BTreeMap<Key, bool> {
    let written = changes.writes.iter().map(|write| (write.key.clone(), false));
    // The chains come last: a write may keep one, and its body is read all the same.
    let heads = changes.audit.iter().map(|draft| head_key(Arc::clone(&draft.namespace)));
    let retired = changes.retired.iter().flat_map(|retired| {
        let event = |sequence| Key::new(Kind::AuditEvent, Arc::clone(&retired.namespace), audit::event_name(sequence));
        // Where too many are to go, nothing but the checkpoint is asked for.
        let upto = if retired.is_bounded() { retired.upto } else { retired.after };
        let events = (retired.after.saturating_add(1)..=upto).map(event);
        events.chain([checkpoint_key(Arc::clone(&retired.namespace))])
    });
    written.chain(heads.chain(retired).map(|key| (key, true))).collect()
}

/// What `changes` come to on the `current` state. Applying the whole plan, or nothing, is left to the store. An empty plan makes no revision.
///
/// # Errors
/// [`CommitError`] as [`Store::commit`](super::Store::commit) returns it.
pub fn plan(changes: ChangeSet, current: &dyn Current) -> Result<Vec<Planned>, CommitError> {
    let mut planned = Vec::with_capacity(changes.writes.len() + 2 * changes.audit.len());
    let mut seen = BTreeSet::new();
    for write in &changes.writes {
        refuse(&write.key, &write.change)?;
        if !seen.insert(&write.key) {
            return Err(Refusal::WrittenTwice { key: write.key.clone() }.into());
        }
    }
    for write in changes.writes {
        let found = current.revision_of(&write.key)?;
        if !write.expect.is_met_by(found) {
            return Err(CommitError::Conflict { key: write.key, expected: write.expect, found });
        }
        match write.change {
            Change::Put { body, mut indexes } => {
                indexes.sort_unstable();
                indexes.dedup();
                planned.push(Planned::Put { key: write.key, action: put_action(found.is_some()), body, indexes });
            }
            Change::Delete if found.is_some() => planned.push(Planned::Delete { key: write.key }),
            Change::Delete | Change::Keep => {}
        }
    }
    plan_audit(changes.audit, current, &mut planned)?;
    let mut cut = BTreeSet::new();
    for retired in changes.retired {
        if !cut.insert(Arc::clone(&retired.namespace)) {
            return Err(Refusal::WrittenTwice { key: checkpoint_key(retired.namespace) }.into());
        }
        plan_retired(&retired, current, &mut planned)?;
    }
    Ok(planned)
}

fn put_action(existed: bool) -> Action {
    if existed { Action::Updated } else { Action::Created }
}

fn refuse(key: &Key, change: &Change) -> Result<(), Refusal> {
    if key.collection.is_append_only() && !matches!(change, Change::Keep) {
        return Err(Refusal::AppendOnly { key: key.clone() });
    }
    match change {
        Change::Put { body, indexes } => refuse_size(key, body).and_then(|()| refuse_long(key, indexes)),
        Change::Delete | Change::Keep => Ok(()),
    }
}

fn refuse_long(key: &Key, indexes: &[IndexEntry]) -> Result<(), Refusal> {
    let longest = indexes.iter().map(|entry| entry.value.len()).max().unwrap_or_default();
    let bytes = key.namespace.len().saturating_add(key.name.len()).saturating_add(longest);
    if bytes > MAX_INDEXED_BYTES {
        return Err(Refusal::TooLong { key: key.clone(), bytes, max_bytes: MAX_INDEXED_BYTES });
    }
    Ok(())
}

fn refuse_size(key: &Key, body: &Body) -> Result<(), Refusal> {
    let (bytes, max_bytes) = (body.len(), key.collection.max_bytes());
    if bytes > max_bytes {
        return Err(Refusal::TooLarge { key: key.clone(), bytes, max_bytes });
    }
    Ok(())
}

/// R44: each namespace's chain goes on from its head, without gaps, in the same step as the writes.
fn plan_audit(drafts: Vec<AuditDraft>, current: &dyn Current, planned: &mut Vec<Planned>) -> Result<(), CommitError> {
    let mut heads: BTreeMap<Arc<str>, (ChainHead, bool)> = BTreeMap::new();
    for draft in drafts {
        let namespace = Arc::clone(&draft.namespace);
        let (head, _) = match heads.entry(Arc::clone(&namespace)) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(read_head(&namespace, current)?),
        };
        let kind = draft.kind.as_str().into();
        let event =
            head.append(draft).map_err(|source| Refusal::Audit { namespace: Arc::clone(&namespace), kind, source })?;
        let key = Key::new(Kind::AuditEvent, Arc::clone(&namespace), event.name());
        let body = Body::from(event.to_body(&namespace));
        let indexes = event.indexes();
        refuse_size(&key, &body)?;
        refuse_long(&key, &indexes)?;
        planned.push(Planned::Put { key, action: Action::Created, body, indexes });
    }
    for (namespace, (head, existed)) in heads {
        planned.push(Planned::Put {
            key: head_key(namespace),
            action: put_action(existed),
            body: head.to_json().into_bytes().into(),
            indexes: Vec::new(),
        });
    }
    Ok(())
}

/// R44: only a whole prefix goes, and the checkpoint that takes its place is where its last event stood. A broken chain isn't cut: what is wrong with it
/// would be gone with it.
fn plan_retired(retired: &RetiredAudit, current: &dyn Current, planned: &mut Vec<Planned>) -> Result<(), CommitError> {
    let RetiredAudit { namespace, after, upto } = retired;
    let refused = |why: String| Refusal::Retire { namespace: Arc::clone(namespace), upto: *upto, why: why.into() };
    let (start, existed) = read_chain(&checkpoint_key(Arc::clone(namespace)), namespace, current)?;
    if start.sequence != *after {
        return Err(refused(format!("its checkpoint is at {}, not at {after}", start.sequence)).into());
    }
    if !retired.is_bounded() {
        return Err(refused(format!("behind {after}, 1 to {MAX_RETIRED} events go at once")).into());
    }
    let mut events = Vec::new();
    for sequence in start.sequence.saturating_add(1)..=*upto {
        let key = Key::new(Kind::AuditEvent, Arc::clone(namespace), audit::event_name(sequence));
        let body = current.body_of(&key)?.ok_or_else(|| refused(format!("event {sequence} isn't there")))?;
        events.push(
            AuditEventSpec::from_object(&body).ok_or_else(|| refused(format!("event {sequence} can't be read")))?,
        );
        planned.push(Planned::Delete { key });
    }
    let Some(last) = events.last() else { return Ok(()) };
    let end = ChainHead { sequence: last.sequence, digest: last.digest };
    audit::verify_chain(&start, &events, &end).map_err(|broken| refused(broken.to_string()))?;
    planned.push(Planned::Put {
        key: checkpoint_key(Arc::clone(namespace)),
        action: put_action(existed),
        body: end.to_json().into_bytes().into(),
        indexes: Vec::new(),
    });
    Ok(())
}

fn read_head(namespace: &Arc<str>, current: &dyn Current) -> Result<(ChainHead, bool), StoreError> {
    read_chain(&head_key(Arc::clone(namespace)), namespace, current)
}

fn read_chain(key: &Key, namespace: &str, current: &dyn Current) -> Result<(ChainHead, bool), StoreError> {
    match current.body_of(key)? {
        None => Ok((ChainHead::start(namespace), false)),
        Some(body) => match ChainHead::from_json(&body) {
            Some(head) => Ok((head, true)),
            None => Err(StoreError::Damaged { store: current.name(), what: format!("{key} is no chain head").into() }),
        },
    }
}

/// Events of a chain that go at once at most.
pub(super) const MAX_RETIRED: i64 = 1000;

/// The key of the checkpoint that stands for what went of `namespace`'s audit chain.
pub(crate) fn checkpoint_key(namespace: Arc<str>) -> Key {
    Key::new(Private::Audit, namespace, "checkpoint")
}

/// The key of the head of `namespace`'s audit chain.
pub(crate) fn head_key(namespace: Arc<str>) -> Key {
    Key::new(Private::Audit, namespace, "head")
}
