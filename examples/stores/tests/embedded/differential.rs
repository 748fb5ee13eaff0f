//! The store in memory and the embedded one give the same answers to the same questions.

use krate_model::Kind;
use krate_model::audit::AuditDraft;
use krate_model::kinds::sets::ActorKind;
use krate_model::kinds::shared::{Actor, parse_time};
use krate_model::store::suite::block_on;
use krate_model::store::{
    Change, ChangeSet, Changes, Collection, Expect, Filter, Index, IndexEntry, Key, MemoryStore, Page, Private, Query,
    Revision, Store, StoreError, Write,
};
use krate_stores::{EmbeddedStore, Options};
use proptest::prelude::*;

use super::disk::Disk;

const MAX_HISTORY: usize = 12;
const NAMESPACES: [&str; 3] = ["", "a", "a\0b"];
const NAMES: [&str; 4] = ["", "b", "c", "c/d"];
const VALUES: [&str; 4] = ["", "x", "x\0", "y"];
const INDEXES: [Index; 2] = [Index::Phase, Index::Due];

#[derive(Debug, Clone)]
enum Deed {
    Commit(ChangeSet),
    Restart,
}

fn any_key() -> impl Strategy<Value = Key> {
    let collections = prop_oneof![
        4 => Just(Kind::Issue.into()),
        2 => Just(Kind::Comment.into()),
        2 => Just(Private::Cursor.into()),
        1 => Just(Kind::AuditEvent.into()),
    ];
    (collections, prop::sample::select(&NAMESPACES[..]), prop::sample::select(&NAMES[..]))
        .prop_map(|(collection, namespace, name): (Collection, _, _)| Key::new(collection, namespace, name))
}

fn any_entry() -> impl Strategy<Value = IndexEntry> {
    (prop::sample::select(&INDEXES[..]), prop::sample::select(&VALUES[..]))
        .prop_map(|(index, value)| IndexEntry::new(index, value))
}

fn any_write() -> impl Strategy<Value = Write> {
    let expect = prop_oneof![
        2 => Just(Expect::Absent),
        3 => (0..30u64).prop_map(|at| Expect::At(Revision(at))),
        5 => Just(Expect::Any),
    ];
    let change = prop_oneof![
        6 => (prop::collection::vec(any::<u8>(), 0..20), prop::collection::vec(any_entry(), 0..4))
            .prop_map(|(body, indexes)| Change::Put { body: body.into(), indexes }),
        3 => Just(Change::Delete),
        1 => Just(Change::Keep),
    ];
    (any_key(), expect, change).prop_map(|(key, expect, change)| Write { key, expect, change })
}

fn any_draft() -> impl Strategy<Value = AuditDraft> {
    (prop::sample::select(&NAMESPACES[..]), "[a-z]{0,3}").prop_map(|(namespace, kind)| {
        let at = parse_time("2026-06-01T00:00:00Z").unwrap();
        AuditDraft::new(namespace, kind, at, Actor::new(ActorKind::System, "test"))
    })
}

fn any_deed() -> impl Strategy<Value = Deed> {
    let changes = (prop::collection::vec(any_write(), 0..4), prop::collection::vec(any_draft(), 0..3))
        .prop_map(|(writes, audit)| Deed::Commit(ChangeSet { writes, audit, retired: Vec::new() }));
    prop_oneof![20 => changes, 1 => Just(Deed::Restart)]
}

fn open(disk: &Disk) -> EmbeddedStore {
    let disk = disk.clone();
    let mut options = Options::default();
    options.max_history = MAX_HISTORY as u64;
    options.check = false;
    EmbeddedStore::open_on("disk", options, move || Ok(disk.clone())).unwrap()
}

/// A watch from `after`, when it wouldn't wait.
fn watch(store: &dyn Store, after: Revision, newest: Revision, filter: &Filter) -> Option<Result<Changes, StoreError>> {
    if after == newest {
        return None;
    }
    let mut future = std::pin::pin!(store.changes(after, filter));
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    match future.as_mut().poll(&mut cx) {
        std::task::Poll::Ready(changes) => Some(changes),
        std::task::Poll::Pending => None,
    }
}

fn pages(store: &dyn Store, mut query: Query) -> Vec<Page> {
    let mut pages = Vec::new();
    loop {
        let page = block_on(store.list(&query)).unwrap();
        query.after.clone_from(&page.next);
        pages.push(page);
        if query.after.is_none() {
            return pages;
        }
    }
}

fn compare(memory: &dyn Store, embedded: &dyn Store) -> Result<(), TestCaseError> {
    let newest = block_on(memory.revision()).unwrap();
    prop_assert_eq!(newest, block_on(embedded.revision()).unwrap());
    let collections: [Collection; 5] = [
        Kind::Issue.into(),
        Kind::Comment.into(),
        Private::Cursor.into(),
        Kind::AuditEvent.into(),
        Private::Audit.into(),
    ];
    for collection in collections {
        let everywhere = Query::new(collection).limit(3);
        let mut queries = vec![everywhere.clone()];
        queries.extend(NAMESPACES.map(|namespace| everywhere.clone().in_namespace(namespace)));
        for query in queries.clone() {
            for index in INDEXES {
                queries.extend(VALUES.map(|value| query.clone().with(index, value)));
                queries.push(query.clone().between(index, "x"..="y"));
                queries
                    .push(query.clone().between(index, (std::ops::Bound::Excluded("x"), std::ops::Bound::Unbounded)));
            }
        }
        for query in queries {
            let (expected, found) = (pages(memory, query.clone()), pages(embedded, query.clone()));
            prop_assert_eq!(expected, found, "{:?}", query);
        }
    }
    for after in 0..=newest.0 + 1 {
        for filter in [Filter::all(), Filter::of([Kind::Issue]), Filter::all().in_namespace("a")] {
            let told = |store| watch(store, Revision(after), newest, &filter).map(|told| format!("{told:?}"));
            prop_assert_eq!(told(memory), told(embedded), "watch after {}", after);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn both_stores_answer_alike(deeds in prop::collection::vec(any_deed(), 1..30)) {
        let disk = Disk::default();
        let (memory, mut embedded) = (MemoryStore::with_history(MAX_HISTORY), open(&disk));
        for deed in deeds {
            match deed {
                Deed::Commit(changes) => {
                    let expected = block_on(memory.commit(changes.clone()));
                    let found = block_on(embedded.commit(changes));
                    prop_assert_eq!(format!("{expected:?}"), format!("{found:?}"));
                }
                Deed::Restart => {
                    drop(embedded);
                    embedded = open(&disk);
                }
            }
        }
        compare(&memory, &embedded)?;
        prop_assert!(embedded.agreement().unwrap().is_whole());
    }
}
