//! The store in memory: the reference for all others, and what tests and simulations run on.
//!
//! Compact: an object costs its body, one shared key, and a few words per index entry; equal index values and namespaces share one text. Where there are
//! many objects, their bodies may be kept packed ([`MemoryStore::packed`]).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::packed::{Held, Packer};
use super::{
    Action, Body, ChangeSet, Changes, Collection, CommitError, Current, Filter, Index, IndexEntry, Key, MAX_BATCH,
    Page, PageBuilder, Planned, Position, Query, Revision, Select, Signal, Store, StoreError, Stored, Touched, plan,
};

/// How many touched objects the watch remembers when nobody says otherwise.
const DEFAULT_HISTORY: usize = 65_536;

/// What errors call it.
const NAME: &str = "memory";

/// A store in memory. It lives as long as the value does; clones of an `Arc<MemoryStore>` share it.
///
/// ```
/// use krate_model::{Kind, store::{ChangeSet, CommitError, Expect, Key, MemoryStore, Store}};
/// # let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
/// # let mut story = std::pin::pin!(async {
/// let store = MemoryStore::new();
/// let key = Key::new(Kind::Issue, "krate-org-a", "first");
/// let made = store.commit(ChangeSet::new().put(key.clone(), Expect::Absent, *b"{}", [])).await.unwrap();
/// assert_eq!(store.get(&key).await.unwrap().unwrap().revision, made);
///
/// let again = store.commit(ChangeSet::new().put(key.clone(), Expect::Absent, *b"{}", [])).await;
/// assert!(matches!(again, Err(CommitError::Conflict { found: Some(found), .. }) if found == made));
/// # });
/// # assert!(std::future::Future::poll(story.as_mut(), &mut cx).is_ready());
/// ```
pub struct MemoryStore {
    state: Mutex<State>,
    committed: Signal,
    max_history: usize,
}

#[derive(Default)]
struct State {
    revision: Revision,
    objects: BTreeMap<Arc<Key>, Object>,
    indexes: BTreeMap<(Collection, Index), BTreeSet<Row>>,
    namespaces: BTreeSet<Arc<str>>,
    /// Where bodies are kept packed.
    packer: Option<Packer>,
    history: VecDeque<Remembered>,
    /// The revision that the history starts after.
    forgotten: Revision,
}

struct Object {
    revision: Revision,
    body: Held,
    indexes: Box<[IndexEntry]>,
}

/// One index entry of one object; ordered by value, then key.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    value: Arc<str>,
    key: Arc<Key>,
}

struct Remembered {
    revision: Revision,
    key: Arc<Key>,
    action: Action,
}

/// What a [`MemoryStore`] holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryUse {
    /// Objects.
    pub objects: usize,
    /// Bytes of their bodies, as they are kept.
    pub body_bytes: usize,
    /// Index entries.
    pub index_entries: usize,
    /// Touched objects that the watch remembers.
    pub history: usize,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("holds", &self.usage()).finish_non_exhaustive()
    }
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::with_history(DEFAULT_HISTORY)
    }

    /// An empty store whose watch remembers about `max_touched` touched objects, in whole commits.
    pub fn with_history(max_touched: usize) -> Self {
        Self { state: Mutex::default(), committed: Signal::default(), max_history: max_touched }
    }

    /// The same, but what is written from here on is kept packed: a body costs what distinguishes it from others of its kind. For very many objects; writing
    /// one takes some microseconds more, reading one about half of one.
    #[must_use]
    pub fn packed(self) -> Self {
        self.lock().packer.get_or_insert_default();
        self
    }

    /// What it holds.
    pub fn usage(&self) -> MemoryUse {
        let state = self.lock();
        MemoryUse {
            objects: state.objects.len(),
            body_bytes: state.objects.values().map(|object| object.body.len()).sum(),
            index_entries: state.objects.values().map(|object| object.indexes.len()).sum(),
            history: state.history.len(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic can't leave half a commit: planning comes first, and applying only moves values.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn get(&self, key: &Key) -> Result<Option<Stored>, StoreError> {
        self.lock().objects.get(key).map(|object| object.to_stored(key)).transpose()
    }

    async fn list(&self, query: &Query) -> Result<Page, StoreError> {
        self.lock().page(query)
    }

    async fn commit(&self, changes: ChangeSet) -> Result<Revision, CommitError> {
        let revision = {
            let mut state = self.lock();
            let planned = plan(changes, &*state)?;
            if planned.is_empty() {
                return Ok(state.revision);
            }
            state.apply(planned, self.max_history)
        };
        self.committed.notify();
        Ok(revision)
    }

    async fn changes(&self, after: Revision, filter: &Filter) -> Result<Changes, StoreError> {
        let mut after = after;
        self.committed.until(|| self.lock().changes(&mut after, filter).transpose()).await
    }

    async fn revision(&self) -> Result<Revision, StoreError> {
        Ok(self.lock().revision)
    }
}

impl Object {
    fn to_stored(&self, key: &Key) -> Result<Stored, StoreError> {
        Ok(Stored { key: key.clone(), revision: self.revision, body: self.body(key)? })
    }

    fn body(&self, key: &Key) -> Result<Body, StoreError> {
        self.body.body().ok_or_else(|| damaged(format!("the packed body of {key}")))
    }
}

fn damaged(what: String) -> StoreError {
    StoreError::Damaged { store: NAME.into(), what: what.into() }
}

impl Current for State {
    fn revision_of(&self, key: &Key) -> Result<Option<Revision>, StoreError> {
        Ok(self.objects.get(key).map(|object| object.revision))
    }

    fn body_of(&self, key: &Key) -> Result<Option<Body>, StoreError> {
        self.objects.get(key).map(|object| object.body(key)).transpose()
    }

    fn name(&self) -> Arc<str> {
        NAME.into()
    }
}

impl State {
    fn apply(&mut self, planned: Vec<Planned>, max_history: usize) -> Revision {
        let revision = Revision(self.revision.0.saturating_add(1));
        self.revision = revision;
        for step in planned {
            let action = step.action();
            let key = match step {
                Planned::Put { key, body, indexes, .. } => self.put(key, body, indexes, revision),
                Planned::Delete { key } => self.remove(&key).unwrap_or_else(|| Arc::new(key)),
            };
            self.history.push_back(Remembered { revision, key, action });
        }
        self.forget(max_history);
        revision
    }

    fn put(&mut self, key: Key, body: Body, indexes: Vec<IndexEntry>, revision: Revision) -> Arc<Key> {
        let key = match self.remove(&key) {
            Some(known) => known,
            None => Arc::new(Key { namespace: self.interned(key.namespace), ..key }),
        };
        let mut kept = Vec::with_capacity(indexes.len());
        for IndexEntry { index, value } in indexes {
            let rows = self.indexes.entry((key.collection, index)).or_default();
            kept.push(IndexEntry { index, value: share(rows, value, &key) });
        }
        let body = match &mut self.packer {
            Some(packer) => packer.pack(key.collection, body),
            None => Held::Plain(body),
        };
        self.objects.insert(Arc::clone(&key), Object { revision, body, indexes: kept.into() });
        key
    }

    fn remove(&mut self, key: &Key) -> Option<Arc<Key>> {
        let (key, object) = self.objects.remove_entry(key)?;
        for IndexEntry { index, value } in object.indexes {
            let at = (key.collection, index);
            if let Some(rows) = self.indexes.get_mut(&at) {
                rows.remove(&Row { value, key: Arc::clone(&key) });
                if rows.is_empty() {
                    self.indexes.remove(&at);
                }
            }
        }
        Some(key)
    }

    fn interned(&mut self, namespace: Arc<str>) -> Arc<str> {
        if let Some(known) = self.namespaces.get(&namespace) {
            return Arc::clone(known);
        }
        self.namespaces.insert(Arc::clone(&namespace));
        namespace
    }

    /// Cuts the history to `max` entries, whole commits only, and never the newest commit.
    fn forget(&mut self, max: usize) {
        while self.history.len() > max {
            let Some(oldest) = self.history.front().map(|touched| touched.revision) else { return };
            if oldest == self.revision {
                return;
            }
            while self.history.front().is_some_and(|touched| touched.revision == oldest) {
                self.history.pop_front();
            }
            self.forgotten = oldest;
        }
    }

    fn changes(&self, after: &mut Revision, filter: &Filter) -> Result<Option<Changes>, StoreError> {
        if *after < self.forgotten || *after > self.revision {
            return Err(StoreError::WatchExpired { after: *after, oldest: self.forgotten, newest: self.revision });
        }
        let first = self.history.partition_point(|touched| touched.revision <= *after);
        let mut touched = Vec::new();
        for entry in self.history.range(first..) {
            if touched.len() >= MAX_BATCH && entry.revision > *after {
                break;
            }
            *after = entry.revision;
            if filter.lets_through(&entry.key) {
                touched.push(Touched { revision: entry.revision, key: Key::clone(&entry.key), action: entry.action });
            }
        }
        if touched.is_empty() {
            // A commit that only this filter skips is not looked at again.
            *after = self.revision;
            return Ok(None);
        }
        Ok(Some(Changes { touched, revision: *after }))
    }

    fn page(&self, query: &Query) -> Result<Page, StoreError> {
        let mut page = PageBuilder::new(query);
        let start = query.start();
        let read = |key: &Key| match self.objects.get(key) {
            Some(object) => object.to_stored(key),
            // `put` and `remove` write object and rows under one lock, so a row without object can't be.
            None => Err(damaged(format!("an index names {key}"))),
        };
        let key = |at: Position| Key { collection: query.collection, namespace: at.namespace, name: at.name };
        match &query.select {
            Select::All => {
                let from = (start.map(key), Bound::Unbounded);
                for (key, object) in self.objects.range::<Key, _>(from) {
                    let mine = key.collection == query.collection;
                    if !mine || !page.offer("", &key.namespace, || object.to_stored(key))? {
                        break;
                    }
                }
            }
            Select::Index { index, .. } => {
                let from = start.map(|at| Row { value: Arc::clone(&at.value), key: Arc::new(key(at)) });
                let Some(rows) = self.indexes.get(&(query.collection, *index)) else {
                    return Ok(page.finish(self.revision));
                };
                for Row { value, key } in rows.range((from, Bound::Unbounded)) {
                    if !page.offer(value, &key.namespace, || read(key))? {
                        break;
                    }
                }
            }
        }
        Ok(page.finish(self.revision))
    }
}

/// Adds `key` under `value`, and returns the text of the value that the rows share.
fn share(rows: &mut BTreeSet<Row>, value: Arc<str>, key: &Arc<Key>) -> Arc<str> {
    let mut row = Row { value, key: Arc::clone(key) };
    // Rows of an equal value are neighbours.
    let known = [rows.range(&row..).next(), rows.range(..&row).next_back()]
        .into_iter()
        .flatten()
        .find(|neighbour| neighbour.value == row.value)
        .map(|neighbour| Arc::clone(&neighbour.value));
    if let Some(known) = known {
        row.value = known;
    }
    let value = Arc::clone(&row.value);
    rows.insert(row);
    value
}

#[cfg(test)]
mod tests {
    use super::super::suite::{BoxFuture, CHECKS, Factory, block_on};
    use super::*;

    struct InMemory(fn(MemoryStore) -> MemoryStore);

    impl Factory for InMemory {
        fn open(&self, max_history: usize) -> BoxFuture<'_, Arc<dyn Store>> {
            Box::pin(async move { Arc::new((self.0)(MemoryStore::with_history(max_history))) as Arc<dyn Store> })
        }
        fn reopen(&self, _: Arc<dyn Store>) -> BoxFuture<'_, Option<Arc<dyn Store>>> {
            Box::pin(async { None })
        }
    }

    #[test]
    fn the_store_suite_passes() {
        for (how, made) in [("as they came", InMemory(|store| store)), ("packed", InMemory(MemoryStore::packed))] {
            for check in CHECKS {
                println!("{}, {how}", check.name);
                block_on((check.run)(&made));
            }
        }
    }

    #[test]
    fn threads_that_fight_over_one_record_lose_no_write() {
        use super::super::{CommitError, Expect};
        use crate::Kind;

        let store = MemoryStore::new();
        let key = Key::new(Kind::Issue, "ns", "counter");
        let count = |stored: &Stored| String::from_utf8_lossy(&stored.body).parse::<u32>().unwrap();
        block_on(store.commit(ChangeSet::new().put(key.clone(), Expect::Absent, *b"0", []))).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut written = 0;
                    while written < 100 {
                        let seen = block_on(store.get(&key)).unwrap().unwrap();
                        let next = (count(&seen) + 1).to_string().into_bytes();
                        let changes = ChangeSet::new().put(key.clone(), Expect::At(seen.revision), next, []);
                        match block_on(store.commit(changes)) {
                            Ok(_) => written += 1,
                            Err(CommitError::Conflict { .. }) => {}
                            Err(other) => panic!("{other}"),
                        }
                    }
                });
            }
        });
        assert_eq!(count(&block_on(store.get(&key)).unwrap().unwrap()), 400);
    }
}
