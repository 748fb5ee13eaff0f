//! Typed objects in a store: reading them, and gathering writes that a commit applies whole. Spec: design.md section 3.

use krate_model::audit::AuditDraft;
use krate_model::store::{
    ChangeSet, CommitError, Expect, IndexEntry, Key, Private, Query, Revision, Store, StoreError, Stored,
};
use krate_model::{API_VERSION, Digest, Resource};
use serde::de::DeserializeOwned;

use krate_model::kinds::shared::Time;

use crate::mistakes::{Mistake, made};

/// A typed object and the revision that it was read at.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded<T> {
    /// The object.
    pub object: T,
    /// The revision that it was read at; absent for one that isn't in the store yet.
    pub revision: Option<Revision>,
    /// Whether it differs from what the store holds.
    pub dirty: bool,
}

impl<T> Loaded<T> {
    /// An object that isn't in the store yet.
    pub fn new(object: T) -> Self {
        Self { object, revision: None, dirty: true }
    }

    /// The object, which is about to change.
    pub fn change(&mut self) -> &mut T {
        self.dirty = true;
        &mut self.object
    }

    pub(crate) fn expected(&self) -> Expect {
        if made(Mistake::RacesUnchecked) && self.revision.is_some() {
            return Expect::Any;
        }
        self.revision.map_or(Expect::Absent, Expect::At)
    }
}

/// What reading or writing typed objects can meet.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A commit was refused.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// What the store holds under a key is no object of its kind.
    #[error("{key}: not an object of its kind: {message}")]
    Damaged {
        /// Which object.
        key: Key,
        /// What was wrong, without values.
        message: String,
    },
    /// An object can't be written as JSON.
    #[error("{key}: can't be written: {message}")]
    Unwritable {
        /// Which object.
        key: Key,
        /// Why.
        message: String,
    },
}

impl RecordError {
    /// Whether somebody else was faster: load again and decide again.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Commit(CommitError::Conflict { .. }))
    }
}

/// The key of an object of kind `T`.
pub fn key_of<T: Resource>(namespace: &str, name: &str) -> Key {
    Key::new(T::KIND, namespace, name)
}

/// Reads a stored body as an object of kind `T`. Its `resourceVersion` is the revision that wrote it.
///
/// # Errors
/// [`RecordError::Damaged`] when it is none.
pub fn parse<T: Resource>(stored: &Stored) -> Result<Loaded<T>, RecordError> {
    let mut object: T = parse_body(&stored.key, &stored.body)?;
    object.metadata_mut().resource_version = Some(stored.revision.to_string());
    Ok(Loaded { object, revision: Some(stored.revision), dirty: false })
}

fn parse_body<T: DeserializeOwned>(key: &Key, body: &[u8]) -> Result<T, RecordError> {
    // Each load of an object comes by here: its text is looked at once, not string by string.
    let parsed = match std::str::from_utf8(body) {
        Ok(text) => serde_json::from_str(text),
        Err(_) => serde_json::from_slice(body),
    };
    parsed.map_err(|error| RecordError::Damaged {
        key: key.clone(),
        // serde's message can quote a value; the place is enough to find it.
        message: format!("line {}, column {}", error.line(), error.column()),
    })
}

/// The object of that name.
///
/// # Errors
/// [`RecordError`] when the store fails or holds something else.
pub async fn get<T: Resource>(
    store: &dyn Store,
    namespace: &str,
    name: &str,
) -> Result<Option<Loaded<T>>, RecordError> {
    store.get(&key_of::<T>(namespace, name)).await?.map(|stored| parse(&stored)).transpose()
}

/// All objects that `query` selects, page by page.
///
/// # Errors
/// As [`get`].
pub async fn list<T: Resource>(store: &dyn Store, query: Query) -> Result<Vec<Loaded<T>>, RecordError> {
    list_stored(store, query).await?.iter().map(parse).collect()
}

/// The same, not parsed.
pub async fn list_stored(store: &dyn Store, mut query: Query) -> Result<Vec<Stored>, StoreError> {
    let mut all = Vec::new();
    loop {
        let page = store.list(&query).await?;
        all.extend(page.items);
        match page.next {
            Some(next) => query.after = Some(next),
            None => return Ok(all),
        }
    }
}

/// Writes that belong together.
#[derive(Debug, Default)]
pub struct Changes {
    set: ChangeSet,
    // Uids and creation times of new objects.
    now: Option<Time>,
}

impl Changes {
    /// Nothing yet; new objects are made at `now`.
    pub fn at(now: Time) -> Self {
        Self { set: ChangeSet::new(), now: Some(now) }
    }

    /// When new objects are made.
    pub(crate) fn now(&self) -> Time {
        self.now.unwrap_or(Time::UNIX_EPOCH)
    }

    /// Writes the object where it differs from what the store holds.
    ///
    /// A new object gets its uid, creation time and first generation; a changed spec is the caller's to count ([`bump_generation`]).
    ///
    /// # Errors
    /// [`RecordError::Unwritable`] when the object has no JSON.
    pub fn put<T: Resource>(&mut self, loaded: &Loaded<T>) -> Result<(), RecordError> {
        if !loaded.dirty {
            return Ok(());
        }
        let key = key_of::<T>(loaded.object.namespace(), loaded.object.name());
        let mut object = loaded.object.clone();
        let metadata = object.metadata_mut();
        metadata.resource_version = None;
        metadata.generation.get_or_insert(1);
        if metadata.uid.is_none() {
            let at = self.now();
            metadata.uid = Some(uid(&key, at));
            metadata.creation_timestamp = Some(krate_model::condition::to_kube_time(at));
        }
        let mut indexes = Vec::new();
        object.indexes(&mut |index, value| indexes.push(IndexEntry::new(index, value)));
        let unwritable =
            |error: serde_json::Error| RecordError::Unwritable { key: key.clone(), message: error.to_string() };
        let body = serde_json::to_vec(&object).map_err(unwritable)?;
        self.set = std::mem::take(&mut self.set).put(key, loaded.expected(), body, indexes);
        Ok(())
    }

    /// Writes a private record.
    pub fn put_private(&mut self, key: Key, expect: Expect, body: Vec<u8>) {
        self.set = std::mem::take(&mut self.set).put(key, expect, body, []);
    }

    /// Refuses everything where the object, as it was read, has changed since.
    pub(crate) fn keep<T: Resource>(&mut self, read: &T) {
        let revision = read.metadata().resource_version.as_ref().and_then(|text| text.parse().ok());
        let expect = revision.map_or(Expect::Absent, Expect::At);
        self.set = std::mem::take(&mut self.set).keep(key_of::<T>(read.namespace(), read.name()), expect);
    }

    /// Removes a record.
    pub fn delete(&mut self, key: Key, expect: Expect) {
        self.set = std::mem::take(&mut self.set).delete(key, expect);
    }

    /// Adds an audit event.
    pub fn audit(&mut self, draft: AuditDraft) {
        self.set.audit.push(draft);
    }

    /// Adds audit events.
    pub fn audit_all(&mut self, drafts: impl IntoIterator<Item = AuditDraft>) {
        self.set.audit.extend(drafts);
    }

    /// Whether there is nothing to commit.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty()
    }

    /// Applies everything, or nothing.
    ///
    /// # Errors
    /// [`RecordError::Commit`] when somebody else was faster, or the store failed.
    pub async fn commit(self, store: &dyn Store) -> Result<Revision, RecordError> {
        Ok(store.commit(self.set).await?)
    }
}

/// Counts a change of the spec.
pub fn bump_generation<T: Resource>(object: &mut T) {
    let metadata = object.metadata_mut();
    metadata.generation = Some(metadata.generation.unwrap_or(0).saturating_add(1));
}

/// A uid in the form of a UUID, made from what the object is and when it was made: the same creation repeated has the same one.
fn uid(key: &Key, at: Time) -> String {
    let text = format!("{API_VERSION}/{key}@{}", at.timestamp_micros());
    let hex = Digest::of(text.as_bytes()).to_hex();
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    // Version 8: custom content; variant 10.
    format!("{}-{}-8{}-a{}-{}", part(0, 8), part(8, 12), part(13, 16), part(17, 20), part(20, 32))
}

/// The private record that holds a delivery's payload until the delivery is done.
pub fn payload_key(namespace: &str, delivery: &str) -> Key {
    Key::new(Private::Payload, namespace, delivery)
}
