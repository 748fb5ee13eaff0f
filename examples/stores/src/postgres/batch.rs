//! What a batch reads before it decides, and the columns of what it writes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use krate_model::store::{Body, ChangeSet, Current, IndexEntry, Key, Planned, Revision, StoreError, asks};
use sqlx::Row;
use sqlx::postgres::PgConnection;

use super::error::Fault;
use super::read::{action_code, revision_of};

/// An index row of an object; the index as a name, because a newer version may have written one that this one doesn't know.
type Entry = (String, String);

/// What the change sets of a batch are about: as it was, and as they leave it.
pub(super) struct Known {
    store: Arc<str>,
    objects: BTreeMap<Key, State>,
}

#[derive(Default)]
struct State {
    /// The entries that are in the database, if the object is.
    before: Option<BTreeSet<Entry>>,
    now: Option<Now>,
    is_written: bool,
}

struct Now {
    revision: Revision,
    /// Absent where nobody asked for it.
    body: Option<Body>,
    entries: Vec<IndexEntry>,
}

impl Known {
    pub(super) fn new(store: &Arc<str>) -> Self {
        Self { store: Arc::clone(store), objects: BTreeMap::new() }
    }

    pub(super) async fn read(&mut self, connection: &mut PgConnection, sets: &[ChangeSet]) -> Result<(), Fault> {
        let mut asked: BTreeMap<Key, bool> = BTreeMap::new();
        for (key, with_body) in sets.iter().flat_map(asks) {
            *asked.entry(key).or_default() |= with_body;
        }
        let mut keys = Keys::default();
        asked.keys().for_each(|key| keys.push(key));
        let with_body: Vec<bool> = asked.values().copied().collect();
        let found = sqlx::query(
            "SELECT k.place, o.revision, o.entries, CASE WHEN k.with_body THEN o.body END
             FROM unnest($1::text[], $2::bytea[], $3::bytea[], $4::bool[]) WITH ORDINALITY
                 AS k (collection, namespace, name, with_body, place)
             JOIN krate_object o ON (o.collection, o.namespace, o.name) = (k.collection, k.namespace, k.name)",
        )
        .bind(&keys.collection)
        .bind(&keys.namespace)
        .bind(&keys.name)
        .bind(&with_body)
        .fetch_all(connection)
        .await?;
        let mut rows = BTreeMap::new();
        for row in &found {
            rows.insert(row.try_get::<i64, _>(0)?, row);
        }
        for (place, key) in (1..).zip(asked.into_keys()) {
            let mut state = State::default();
            if let Some(row) = rows.get(&place) {
                let entries = serde_json::from_str(row.try_get(2)?);
                state.before = Some(entries.map_err(|_| Fault::Damaged(format!("the entries of {key}")))?);
                let body: Option<&[u8]> = row.try_get(3)?;
                state.now =
                    Some(Now { revision: revision_of(row, 1)?, body: body.map(Body::from), entries: Vec::new() });
            }
            self.objects.insert(key, state);
        }
        Ok(())
    }

    pub(super) fn apply(&mut self, planned: Vec<Planned>, revision: Revision) {
        for step in planned {
            let (key, now) = match step {
                Planned::Put { key, body, indexes, .. } => {
                    (key, Some(Now { revision, body: Some(body), entries: indexes }))
                }
                Planned::Delete { key } => (key, None),
            };
            let state = self.objects.entry(key).or_default();
            state.now = now;
            state.is_written = true;
        }
    }

    fn find(&self, key: &Key) -> Result<Option<&Now>, StoreError> {
        let state = self.objects.get(key).ok_or_else(|| StoreError::Damaged {
            store: Arc::clone(&self.store),
            what: format!("{key} is decided on and was not read").into(),
        })?;
        Ok(state.now.as_ref())
    }
}

impl Current for Known {
    fn revision_of(&self, key: &Key) -> Result<Option<Revision>, StoreError> {
        Ok(self.find(key)?.map(|now| now.revision))
    }

    fn body_of(&self, key: &Key) -> Result<Option<Body>, StoreError> {
        Ok(self.find(key)?.and_then(|now| now.body.clone()))
    }

    fn name(&self) -> Arc<str> {
        Arc::clone(&self.store)
    }
}

/// What a batch writes, column by column, as the server takes it.
#[derive(Default)]
pub(super) struct Rows<'a> {
    pub(super) puts: Puts<'a>,
    pub(super) deletes: Keys<'a>,
    /// Entries that go.
    pub(super) strays: Entries<'a>,
    /// Entries that come.
    pub(super) entries: Entries<'a>,
}

#[derive(Default)]
pub(super) struct Keys<'a> {
    pub(super) collection: Vec<&'static str>,
    pub(super) namespace: Vec<&'a [u8]>,
    pub(super) name: Vec<&'a [u8]>,
}

#[derive(Default)]
pub(super) struct Puts<'a> {
    pub(super) keys: Keys<'a>,
    pub(super) revision: Vec<i64>,
    pub(super) entries: Vec<String>,
    pub(super) body: Vec<&'a [u8]>,
}

#[derive(Default)]
pub(super) struct Entries<'a> {
    pub(super) keys: Keys<'a>,
    pub(super) index: Vec<&'a str>,
    pub(super) value: Vec<&'a [u8]>,
}

/// The rows of the history, one a step.
#[derive(Default)]
pub(super) struct History {
    pub(super) revision: Vec<i64>,
    pub(super) ordinal: Vec<i32>,
    pub(super) action: Vec<i16>,
    pub(super) collection: Vec<&'static str>,
    pub(super) namespace: Vec<Vec<u8>>,
    pub(super) name: Vec<Vec<u8>>,
}

impl History {
    pub(super) fn remember(&mut self, planned: &[Planned], revision: Revision) {
        for (ordinal, step) in (0..).zip(planned) {
            let key = step.key();
            self.revision.push(column(revision));
            self.ordinal.push(ordinal);
            self.action.push(action_code(step.action()));
            self.collection.push(key.collection.name());
            self.namespace.push(key.namespace.as_bytes().to_vec());
            self.name.push(key.name.as_bytes().to_vec());
        }
    }
}

impl<'a> Keys<'a> {
    fn push(&mut self, key: &'a Key) {
        self.collection.push(key.collection.name());
        self.namespace.push(key.namespace.as_bytes());
        self.name.push(key.name.as_bytes());
    }
}

impl<'a> Entries<'a> {
    fn push(&mut self, key: &'a Key, index: &'a str, value: &'a str) {
        self.keys.push(key);
        self.index.push(index);
        self.value.push(value.as_bytes());
    }
}

impl<'a> Rows<'a> {
    /// What changes between the state that was read and the one that the batch leaves.
    pub(super) fn of(known: &'a Known) -> Self {
        let mut rows = Self::default();
        for (key, state) in known.objects.iter().filter(|(_, state)| state.is_written) {
            let before = state.before.as_ref().unwrap_or(const { &BTreeSet::new() });
            let mut now: BTreeSet<(&str, &str)> = BTreeSet::new();
            match &state.now {
                Some(Now { revision, body, entries }) => {
                    now.extend(entries.iter().map(|entry| (entry.index.name(), &*entry.value)));
                    rows.puts.keys.push(key);
                    rows.puts.revision.push(column(*revision));
                    // Texts have a JSON form always.
                    rows.puts.entries.push(serde_json::to_string(&now).unwrap_or_default());
                    rows.puts.body.push(body.as_deref().unwrap_or_default());
                }
                None if state.before.is_some() => rows.deletes.push(key),
                None => {}
            }
            for (index, value) in before {
                if !now.contains(&(index.as_str(), value.as_str())) {
                    rows.strays.push(key, index, value);
                }
            }
            for (index, value) in now {
                if !before.contains(&(index.to_owned(), value.to_owned())) {
                    rows.entries.push(key, index, value);
                }
            }
        }
        rows
    }
}

pub(super) fn column(revision: Revision) -> i64 {
    // A commit a nanosecond reaches this in 292 years.
    i64::try_from(revision.0).unwrap_or(i64::MAX)
}
