//! Lists: order, indexes, paging.

use std::ops::Bound;

use super::super::{ChangeSet, Expect, Index, IndexEntry, Key, MAX_PAGE_BYTES, MAX_PAGE_ITEMS, Private, Query, Store};
use super::{Factory, HISTORY, all_pages, body, issue, names, put, tagged};
use crate::Kind;

pub(super) async fn a_list_is_ordered_by_namespace_and_name(factory: &dyn Factory) {
    let store = factory.open(HISTORY).await;
    let mut keys = Vec::new();
    for namespace in ["b", "a", "c"] {
        for name in ["2", "1", "10"] {
            let key = Key::new(Kind::Issue, namespace, name);
            put(&*store, &key, "x").await;
            put(&*store, &Key::new(Kind::Comment, namespace, name), "x").await;
            keys.push(key);
        }
    }
    keys.sort();
    for limit in [1, 2, 9, 100] {
        assert_eq!(all_pages(&*store, Query::new(Kind::Issue).limit(limit)).await, keys);
        let of_b = all_pages(&*store, Query::new(Kind::Issue).in_namespace("b").limit(limit)).await;
        assert_eq!(of_b, keys[3..6]);
    }
    let page = store.list(&Query::new(Kind::Issue)).await.expect("a list");
    assert_eq!(page.next, None);
    assert_eq!(page.revision, store.revision().await.expect("a revision"));
    assert_eq!(all_pages(&*store, Query::new(Kind::Review)).await, []);
    assert_eq!(all_pages(&*store, Query::new(Kind::Issue).in_namespace("aa")).await, []);
}

async fn seeded(factory: &dyn Factory) -> std::sync::Arc<dyn Store> {
    let store = factory.open(HISTORY).await;
    let rows = [
        ("n1", "a", "Open", "05"),
        ("n1", "b", "Open", "03"),
        ("n2", "a", "Open", "04"),
        ("n2", "c", "Closed", "01"),
        ("n3", "d", "Open", "02"),
    ];
    for (namespace, name, phase, due) in rows {
        let entries = [IndexEntry::new(Index::Phase, phase), IndexEntry::new(Index::Due, due)];
        let key = Key::new(Kind::Issue, namespace, name);
        store.commit(ChangeSet::new().put(key, Expect::Absent, body(name), entries)).await.expect("a write");
        // The same values elsewhere must not show.
        let key = Key::new(Kind::Comment, namespace, name);
        let entries = [IndexEntry::new(Index::Phase, phase), IndexEntry::new(Index::Due, due)];
        store.commit(ChangeSet::new().put(key, Expect::Absent, body(name), entries)).await.expect("a write");
    }
    store
}

fn places(keys: &[Key]) -> Vec<String> {
    keys.iter().map(|key| format!("{}/{}", key.namespace, key.name)).collect()
}

pub(super) async fn an_index_finds_equal_values(factory: &dyn Factory) {
    let store = seeded(factory).await;
    for limit in [1, 3, 100] {
        let found = |query: Query| all_pages(&*store, query.limit(limit));
        let open = found(Query::new(Kind::Issue).with(Index::Phase, "Open")).await;
        assert_eq!(places(&open), ["n1/a", "n1/b", "n2/a", "n3/d"]);
        let here = found(Query::new(Kind::Issue).in_namespace("n2").with(Index::Phase, "Open")).await;
        assert_eq!(places(&here), ["n2/a"]);
        let none = found(Query::new(Kind::Issue).with(Index::Phase, "Ope")).await;
        assert_eq!(none, []);
        let none = found(Query::new(Kind::Issue).with(Index::Binding, "Open")).await;
        assert_eq!(none, [], "an index is not another");
    }
}

pub(super) async fn an_index_finds_ranges(factory: &dyn Factory) {
    let store = seeded(factory).await;
    for limit in [1, 2, 100] {
        let found = async |query: Query| places(&all_pages(&*store, query.limit(limit)).await);
        let issues = || Query::new(Kind::Issue);
        assert_eq!(found(issues().between(Index::Due, ..="03")).await, ["n2/c", "n3/d", "n1/b"]);
        assert_eq!(found(issues().between(Index::Due, .."03")).await, ["n2/c", "n3/d"]);
        assert_eq!(found(issues().between(Index::Due, "02".."04")).await, ["n3/d", "n1/b"]);
        assert_eq!(found(issues().between(Index::Due, "04"..)).await, ["n2/a", "n1/a"]);
        let over = (Bound::Excluded("03"), Bound::Unbounded);
        assert_eq!(found(issues().between(Index::Due, over)).await, ["n2/a", "n1/a"]);
        assert_eq!(found(issues().between(Index::Due, ..)).await, ["n2/c", "n3/d", "n1/b", "n2/a", "n1/a"]);
        assert_eq!(found(issues().in_namespace("n1").between(Index::Due, ..)).await, ["n1/b", "n1/a"]);
        assert_eq!(found(issues().in_namespace("n2").between(Index::Due, "02"..)).await, ["n2/a"]);
        let upside_down = (Bound::Included("04"), Bound::Included("02"));
        assert_eq!(found(issues().between(Index::Due, upside_down)).await, [""; 0]);
    }
}

pub(super) async fn indexes_follow_updates_and_deletes(factory: &dyn Factory) {
    let store = factory.open(HISTORY).await;
    let key = issue("a");
    let labels = |values: &[&str]| -> Vec<IndexEntry> {
        values.iter().map(|value| IndexEntry::new(Index::Label, *value)).collect()
    };
    let with = async |value: &str| all_pages(&*store, Query::new(Kind::Issue).with(Index::Label, value)).await.len();
    let write = async |entries: Vec<IndexEntry>| {
        store.commit(ChangeSet::new().put(key.clone(), Expect::Any, body("x"), entries)).await.expect("a write");
    };
    write(labels(&["bug", "ui", "bug"])).await;
    assert_eq!([with("bug").await, with("ui").await, with("docs").await], [1, 1, 0]);
    let all = all_pages(&*store, Query::new(Kind::Issue).between(Index::Label, ..).limit(1)).await;
    assert_eq!(all.len(), 2, "once for each value");
    write(labels(&["ui", "docs"])).await;
    assert_eq!([with("bug").await, with("ui").await, with("docs").await], [0, 1, 1]);
    write(Vec::new()).await;
    assert_eq!([with("bug").await, with("ui").await, with("docs").await], [0, 0, 0]);
    write(labels(&["bug"])).await;
    store.commit(ChangeSet::new().delete(key.clone(), Expect::Any)).await.expect("a delete");
    assert_eq!(with("bug").await, 0);
}

pub(super) async fn odd_index_values_are_kept_apart(factory: &dyn Factory) {
    let store = factory.open(HISTORY).await;
    let long = "x".repeat(2000);
    let values = ["", "a", "a\0", "a\0b", "ab", "a/b", "é", "\u{10ffff}", &long];
    for (at, value) in values.iter().enumerate() {
        for namespace in ["", "b", "n"] {
            let key = Key::new(Kind::Issue, namespace, format!("{at}"));
            put(&*store, &key, value).await;
        }
    }
    for (at, value) in values.iter().enumerate() {
        let found = all_pages(&*store, Query::new(Kind::Issue).with(Index::Phase, *value).limit(2)).await;
        assert_eq!(places(&found), ["", "b", "n"].map(|namespace| format!("{namespace}/{at}")), "value {value:?}");
    }
    let over_a = (Bound::Excluded("a"), Bound::Excluded("ab"));
    let found = all_pages(&*store, Query::new(Kind::Issue).in_namespace("n").between(Index::Phase, over_a)).await;
    assert_eq!(places(&found), ["n/2", "n/3", "n/5"]);
}

pub(super) async fn pages_are_stable_while_rows_come_and_go(factory: &dyn Factory) {
    let store = factory.open(HISTORY).await;
    let stays: Vec<String> = (0..30).map(|at| format!("{at:02}-stays")).collect();
    for name in &stays {
        put(&*store, &issue(name), "Open").await;
    }
    for query in [Query::new(Kind::Issue), Query::new(Kind::Issue).with(Index::Phase, "Open")] {
        let mut query = query.limit(4);
        let mut seen = Vec::new();
        for round in 0.. {
            let page = store.list(&query).await.expect("a list");
            seen.extend(names(&page).into_iter().map(String::from));
            let Some(next) = page.next else { break };
            // Rows come before and after the position, and the very row that it names goes and comes back.
            put(&*store, &issue(&format!("00-{round}-new")), "Open").await;
            put(&*store, &issue(&format!("29-{round}-new")), "Open").await;
            let named = Key::new(Kind::Issue, next.namespace.clone(), next.name.clone());
            store.commit(ChangeSet::new().delete(named.clone(), Expect::Any)).await.expect("a delete");
            if round % 2 == 0 {
                put(&*store, &named, "Open").await;
            }
            query.after = Some(next);
        }
        let mut unique = seen.clone();
        unique.dedup();
        assert_eq!(seen, unique, "a row came twice");
        for name in &stays {
            assert!(seen.contains(name), "{name} was skipped");
            put(&*store, &issue(name), "Open").await;
        }
    }
}

pub(super) async fn a_page_is_bounded(factory: &dyn Factory) {
    let store = factory.open(HISTORY).await;
    for batch in 0..11 {
        let mut changes = ChangeSet::new();
        for at in 0..100 {
            changes = changes.put(issue(&format!("{batch:02}-{at:02}")), Expect::Absent, body("x"), tagged("x"));
        }
        store.commit(changes).await.expect("a hundred writes");
    }
    for (asked, got) in [(0, 1), (1, 1), (1000, 1000), (usize::MAX, MAX_PAGE_ITEMS)] {
        for query in [Query::new(Kind::Issue), Query::new(Kind::Issue).with(Index::Phase, "x")] {
            let page = store.list(&query.limit(asked)).await.expect("a list");
            assert_eq!(page.items.len(), got);
            assert!(page.next.is_some());
        }
    }
    assert_eq!(all_pages(&*store, Query::new(Kind::Issue).limit(usize::MAX)).await.len(), 1100);

    let large = vec![b'x'; MAX_PAGE_BYTES / 4];
    for name in ["a", "b", "c", "d", "e"] {
        let key = Key::new(Private::Payload, "ns", name);
        store.commit(ChangeSet::new().put(key, Expect::Absent, large.clone(), [])).await.expect("a large write");
    }
    let page = store.list(&Query::new(Private::Payload)).await.expect("a list");
    assert_eq!(names(&page), ["a", "b", "c", "d"]);
    assert_eq!(all_pages(&*store, Query::new(Private::Payload)).await.len(), 5);
}
