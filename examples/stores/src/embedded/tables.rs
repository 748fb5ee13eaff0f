//! The tables: objects, their index rows, the watch's history, and a few numbers.

use std::sync::Arc;

use krate_model::store::{
    Action, Body, Changes, Collection, Current, Filter, Key, MAX_BATCH, Page, PageBuilder, Planned, Position, Query,
    Revision, Select, StoreError, Stored, Touched,
};
use redb::{ReadTransaction, ReadableTable, ReadableTableMetadata, Table, TableDefinition, WriteTransaction};

use super::error::store_error;

/// (collection, namespace, name): as names, not numbers, because the order of kinds may change and the file stays.
type ObjectKey<'a> = (&'a str, &'a str, &'a str);
/// (revision, (index, value)…, body).
type Object<'a> = (u64, Vec<(&'a str, &'a str)>, &'a [u8]);
/// (collection, index, value, namespace, name).
type IndexRow<'a> = (&'a str, &'a str, &'a str, &'a str, &'a str);
/// (action, collection, namespace, name).
type HistoryRow<'a> = (u8, &'a str, &'a str, &'a str);

const OBJECTS: TableDefinition<'_, ObjectKey<'static>, Object<'static>> = TableDefinition::new("objects");
const INDEXES: TableDefinition<'_, IndexRow<'static>, ()> = TableDefinition::new("indexes");
/// Under (revision, number within the commit).
const HISTORY: TableDefinition<'_, (u64, u32), HistoryRow<'static>> = TableDefinition::new("history");
const NUMBERS: TableDefinition<'_, &'static str, u64> = TableDefinition::new("numbers");

const REVISION: &str = "revision";
/// The revision that the history starts after.
const FORGOTTEN: &str = "forgotten";
const FORMAT: &str = "format";
/// The format of the file that this version reads and writes.
pub(super) const SUPPORTED_FORMAT: u64 = 1;

/// The tables of one write transaction.
pub(super) struct Tables<'txn> {
    objects: Table<'txn, ObjectKey<'static>, Object<'static>>,
    indexes: Table<'txn, IndexRow<'static>, ()>,
    history: Table<'txn, (u64, u32), HistoryRow<'static>>,
    numbers: Table<'txn, &'static str, u64>,
    store: Arc<str>,
}

impl<'txn> Tables<'txn> {
    pub(super) fn open(transaction: &'txn WriteTransaction, store: &Arc<str>) -> Result<Self, redb::Error> {
        Ok(Self {
            objects: transaction.open_table(OBJECTS)?,
            indexes: transaction.open_table(INDEXES)?,
            history: transaction.open_table(HISTORY)?,
            numbers: transaction.open_table(NUMBERS)?,
            store: Arc::clone(store),
        })
    }

    /// Marks a new file, and answers the format of an old one.
    pub(super) fn format(&mut self) -> Result<u64, redb::Error> {
        if let Some(found) = self.numbers.get(FORMAT)? {
            return Ok(found.value());
        }
        self.numbers.insert(FORMAT, SUPPORTED_FORMAT)?;
        Ok(SUPPORTED_FORMAT)
    }

    pub(super) fn revision(&self) -> Result<Revision, redb::Error> {
        number(&self.numbers, REVISION).map(Revision)
    }

    /// Writes a whole plan as `revision`.
    pub(super) fn apply(&mut self, planned: &[Planned], revision: Revision) -> Result<(), redb::Error> {
        for (ordinal, step) in (0..).zip(planned) {
            let key = step.key();
            self.remove(key)?;
            if let Planned::Put { body, indexes, .. } = step {
                let (collection, namespace, name) = names(key);
                let entries: Vec<_> = indexes.iter().map(|entry| (entry.index.name(), &*entry.value)).collect();
                for (index, value) in &entries {
                    self.indexes.insert((collection, *index, *value, namespace, name), ())?;
                }
                self.objects.insert((collection, namespace, name), (revision.0, entries, &**body))?;
            }
            let (collection, namespace, name) = names(key);
            let action = action_code(step.action());
            self.history.insert((revision.0, ordinal), (action, collection, namespace, name))?;
        }
        self.numbers.insert(REVISION, revision.0)?;
        Ok(())
    }

    fn remove(&mut self, key: &Key) -> Result<(), redb::Error> {
        let (collection, namespace, name) = names(key);
        if let Some(object) = self.objects.remove((collection, namespace, name))? {
            for (index, value) in object.value().1 {
                self.indexes.remove((collection, index, value, namespace, name))?;
            }
        }
        Ok(())
    }

    /// Cuts the history to `max` rows, whole commits only, and never the newest commit.
    pub(super) fn forget(&mut self, max: u64) -> Result<(), redb::Error> {
        let newest = number(&self.numbers, REVISION)?;
        while self.history.len()? > max {
            let Some(oldest) = self.history.first()?.map(|(key, _)| key.value().0) else { return Ok(()) };
            if oldest == newest {
                return Ok(());
            }
            while self.history.first()?.is_some_and(|(key, _)| key.value().0 == oldest) {
                self.history.pop_first()?;
            }
            self.numbers.insert(FORGOTTEN, oldest)?;
        }
        Ok(())
    }
}

impl Current for Tables<'_> {
    fn revision_of(&self, key: &Key) -> Result<Option<Revision>, StoreError> {
        let found = self.objects.get(names(key)).map_err(|error| store_error(&self.store, error.into()))?;
        Ok(found.map(|object| Revision(object.value().0)))
    }

    fn body_of(&self, key: &Key) -> Result<Option<Body>, StoreError> {
        let found = self.objects.get(names(key)).map_err(|error| store_error(&self.store, error.into()))?;
        Ok(found.map(|object| object.value().2.into()))
    }

    fn name(&self) -> Arc<str> {
        Arc::clone(&self.store)
    }
}

pub(super) fn read(transaction: &ReadTransaction, key: &Key) -> Result<Option<Stored>, redb::Error> {
    let objects = transaction.open_table(OBJECTS)?;
    Ok(objects.get(names(key))?.map(|object| stored(key.clone(), &object.value())))
}

pub(super) fn read_revision(transaction: &ReadTransaction) -> Result<Revision, redb::Error> {
    number(&transaction.open_table(NUMBERS)?, REVISION).map(Revision)
}

pub(super) fn page(transaction: &ReadTransaction, query: &Query) -> Result<Page, redb::Error> {
    let objects = transaction.open_table(OBJECTS)?;
    let collection = query.collection.name();
    let key = |namespace: &str, name: &str| Key::new(query.collection, namespace, name);
    let start = query.start();
    let start = start.as_ref();
    let mut page = PageBuilder::new(query);
    match &query.select {
        Select::All => {
            let from = start.map(|Position { namespace, name, .. }| (collection, &**namespace, &**name));
            for row in objects.range::<ObjectKey<'_>>((from, std::ops::Bound::Unbounded))? {
                let (row, object) = row?;
                let (found, namespace, name) = row.value();
                let take = || Ok::<_, redb::Error>(stored(key(namespace, name), &object.value()));
                if found != collection || !page.offer("", namespace, take)? {
                    break;
                }
            }
        }
        Select::Index { index, .. } => {
            let index = index.name();
            let rows = transaction.open_table(INDEXES)?;
            let from =
                start.map(|Position { value, namespace, name }| (collection, index, &**value, &**namespace, &**name));
            for row in rows.range::<IndexRow<'_>>((from, std::ops::Bound::Unbounded))? {
                let (row, _) = row?;
                let (found, found_index, value, namespace, name) = row.value();
                let take = || {
                    let object = objects.get((collection, namespace, name))?.ok_or_else(|| {
                        redb::Error::Corrupted(format!(
                            "index {index} names {}, which isn't there",
                            key(namespace, name)
                        ))
                    })?;
                    Ok::<_, redb::Error>(stored(key(namespace, name), &object.value()))
                };
                if (found, found_index) != (collection, index) || !page.offer(value, namespace, take)? {
                    break;
                }
            }
        }
    }
    Ok(page.finish(read_revision(transaction)?))
}

/// What a look into the history comes to.
pub(super) enum Look {
    Found(Changes),
    /// Nothing that the filter wants, up to here.
    Nothing(Revision),
    Expired {
        oldest: Revision,
        newest: Revision,
    },
}

pub(super) fn changes(transaction: &ReadTransaction, after: Revision, filter: &Filter) -> Result<Look, redb::Error> {
    let numbers = transaction.open_table(NUMBERS)?;
    let (oldest, newest) = (Revision(number(&numbers, FORGOTTEN)?), Revision(number(&numbers, REVISION)?));
    if after < oldest || after > newest {
        return Ok(Look::Expired { oldest, newest });
    }
    let mut touched: Vec<Touched> = Vec::new();
    let mut reached = after;
    for row in transaction.open_table(HISTORY)?.range((after.0.saturating_add(1), 0)..)? {
        let (row, entry) = row?;
        let revision = Revision(row.value().0);
        if touched.len() >= MAX_BATCH && revision > reached {
            return Ok(Look::Found(Changes { touched, revision: reached }));
        }
        reached = revision;
        let (action, collection, namespace, name) = entry.value();
        // A kind that only a newer version knows is nothing that a watch of this one can ask for.
        let Some(collection) = Collection::from_name(collection) else { continue };
        let key = Key::new(collection, namespace, name);
        if filter.lets_through(&key) {
            touched.push(Touched { revision, key, action: action_of(action)? });
        }
    }
    if touched.is_empty() { Ok(Look::Nothing(newest)) } else { Ok(Look::Found(Changes { touched, revision: reached })) }
}

/// Whether objects and index rows say the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Agreement {
    /// Objects.
    pub objects: u64,
    /// Index rows that an object names and that are there.
    pub index_rows: u64,
    /// Index rows that an object names and that are missing.
    pub missing_rows: u64,
    /// Index rows that no object names.
    pub stray_rows: u64,
}

impl Agreement {
    /// Whether nothing is missing and nothing is stray.
    pub fn is_whole(&self) -> bool {
        self.missing_rows == 0 && self.stray_rows == 0
    }
}

pub(super) fn agreement(transaction: &ReadTransaction) -> Result<Agreement, redb::Error> {
    let indexes = transaction.open_table(INDEXES)?;
    let mut agreement = Agreement::default();
    for row in transaction.open_table(OBJECTS)?.iter()? {
        let (key, object) = row?;
        let (collection, namespace, name) = key.value();
        agreement.objects = agreement.objects.saturating_add(1);
        for (index, value) in object.value().1 {
            let is_there = indexes.get((collection, index, value, namespace, name))?.is_some();
            let count = if is_there { &mut agreement.index_rows } else { &mut agreement.missing_rows };
            *count = count.saturating_add(1);
        }
    }
    agreement.stray_rows = indexes.len()?.saturating_sub(agreement.index_rows);
    Ok(agreement)
}

fn names(key: &Key) -> ObjectKey<'_> {
    (key.collection.name(), &key.namespace, &key.name)
}

fn stored(key: Key, object: &Object<'_>) -> Stored {
    Stored { key, revision: Revision(object.0), body: object.2.into() }
}

fn number(numbers: &impl ReadableTable<&'static str, u64>, name: &str) -> Result<u64, redb::Error> {
    Ok(numbers.get(name)?.map_or(0, |found| found.value()))
}

fn action_code(action: Action) -> u8 {
    match action {
        Action::Created => 1,
        Action::Updated => 2,
        Action::Deleted => 3,
    }
}

fn action_of(code: u8) -> Result<Action, redb::Error> {
    match code {
        1 => Ok(Action::Created),
        2 => Ok(Action::Updated),
        3 => Ok(Action::Deleted),
        _ => Err(redb::Error::Corrupted(format!("history has action {code}"))),
    }
}
