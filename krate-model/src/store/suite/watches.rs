//! Watches: each commit once, in order, or an honest answer that it is too late.

use super::super::{Action, ChangeSet, Changes, Expect, Filter, Key, Query, Revision, Store, StoreError, Touched};
use super::{BoxFuture, Factory, HISTORY, body, draft, issue, put, step_aside, together};
use crate::Kind;

async fn next(store: &dyn Store, after: Revision, filter: &Filter) -> Changes {
    let changes = store.changes(after, filter).await.expect("the watch goes on");
    assert!(!changes.touched.is_empty(), "a watch answers with something");
    let revisions: Vec<Revision> = changes.touched.iter().map(|touched| touched.revision).collect();
    assert!(revisions.is_sorted(), "{revisions:?} are out of order");
    assert!(revisions.iter().all(|revision| *revision > after && *revision <= changes.revision));
    changes
}

pub(super) async fn a_watch_sees_each_commit_once_and_in_order(factory: &dyn Factory) {
    let store = factory.open(HISTORY).await;
    let mut expected = Vec::new();
    for at in 0..700 {
        let [a, b] = [issue(&format!("{}", at % 5)), Key::new(Kind::Comment, "ns", format!("{at}"))];
        let action = if at < 5 { Action::Created } else { Action::Updated };
        let changes =
            ChangeSet::new().put(a.clone(), Expect::Any, body("x"), []).put(b.clone(), Expect::Any, body("x"), []);
        let revision = store.commit(changes).await.expect("a write");
        expected.push(Touched { revision, key: a, action });
        expected.push(Touched { revision, key: b, action: Action::Created });
    }
    let revision = store.commit(ChangeSet::new().delete(issue("0"), Expect::Any)).await.expect("a delete");
    expected.push(Touched { revision, key: issue("0"), action: Action::Deleted });
    store.commit(ChangeSet::new().delete(issue("0"), Expect::Any)).await.expect("a delete of nothing");

    let (mut after, mut seen) = (Revision::ZERO, Vec::new());
    while seen.len() < expected.len() {
        let changes = next(&*store, after, &Filter::all()).await;
        seen.extend(changes.touched);
        after = changes.revision;
        // A batch never ends inside a commit.
        assert!(expected.get(seen.len()).is_none_or(|touched| touched.revision > after));
    }
    assert_eq!(seen, expected);
    let middle = expected[700].revision;
    let resumed = next(&*store, middle, &Filter::all()).await;
    assert_eq!(resumed.touched[..10], expected[702..712], "a watch resumes after a revision");
}

pub(super) async fn a_watch_waits_for_the_next_commit(factory: &dyn Factory) {
    let store = factory.open(HISTORY).await;
    let mut after = put(&*store, &issue("before"), "x").await;
    for at in 0..20 {
        let key = issue(&format!("{at}"));
        let watch: BoxFuture<'_, Option<Changes>> =
            Box::pin(async { Some(next(&*store, after, &Filter::all()).await) });
        let write: BoxFuture<'_, Option<Changes>> = Box::pin(async {
            for _ in 0..at % 4 {
                step_aside().await;
            }
            put(&*store, &key, "x").await;
            None
        });
        let mut seen = together(vec![watch, write]).await;
        let changes = seen.swap_remove(0).expect("the watch is the first");
        assert_eq!(changes.touched.len(), 1);
        assert_eq!(changes.touched[0].key, key);
        after = changes.revision;
    }
}

pub(super) async fn a_watch_passes_over_what_it_does_not_want(factory: &dyn Factory) {
    let store = factory.open(HISTORY).await;
    let filter = Filter::of([Kind::Issue, Kind::Comment]).in_namespace("mine");
    let wanted = [Key::new(Kind::Issue, "mine", "a"), Key::new(Kind::Comment, "mine", "b")];
    let watch: BoxFuture<'_, Vec<Key>> = Box::pin(async {
        let (mut after, mut seen) = (Revision::ZERO, Vec::new());
        while seen.len() < wanted.len() {
            let changes = next(&*store, after, &filter).await;
            seen.extend(changes.touched.into_iter().map(|touched| touched.key));
            after = changes.revision;
        }
        seen
    });
    let write: BoxFuture<'_, Vec<Key>> = Box::pin(async {
        for key in &wanted {
            for other in [Key::new(Kind::Review, "mine", "a"), Key::new(Kind::Issue, "theirs", "a")] {
                put(&*store, &other, "x").await;
                step_aside().await;
            }
            let changes = ChangeSet::new().put(key.clone(), Expect::Any, body("x"), []).audited(draft("mine", key));
            store.commit(changes).await.expect("a write");
            step_aside().await;
        }
        Vec::new()
    });
    let seen = together(vec![watch, write]).await;
    assert_eq!(seen[0], wanted);
}

pub(super) async fn a_watch_goes_on_where_a_list_was_read(factory: &dyn Factory) {
    let store = factory.open(HISTORY).await;
    put(&*store, &issue("listed"), "x").await;
    let page = store.list(&Query::new(Kind::Issue)).await.expect("a list");
    put(&*store, &issue("watched"), "x").await;
    let changes = next(&*store, page.revision, &Filter::of([Kind::Issue])).await;
    assert_eq!(changes.touched.len(), 1);
    assert_eq!(changes.touched[0].key, issue("watched"));
}

pub(super) async fn a_watch_that_is_too_old_expires(factory: &dyn Factory) {
    let store = factory.open(8).await;
    for at in 0..50 {
        put(&*store, &issue(&format!("{at}")), "x").await;
    }
    let newest = store.revision().await.expect("a revision");
    match store.changes(Revision::ZERO, &Filter::all()).await {
        Err(StoreError::WatchExpired { after, oldest, newest: told }) => {
            assert_eq!((after, told), (Revision::ZERO, newest));
            assert!(oldest > Revision::ZERO && oldest < newest);
            let kept = next(&*store, oldest, &Filter::all()).await;
            assert!(kept.touched.len() >= 8, "less was kept than was asked for");
            let first = 50 - kept.touched.len();
            let expected: Vec<Key> = (first..50).map(|at| issue(&format!("{at}"))).collect();
            assert_eq!(kept.touched.into_iter().map(|touched| touched.key).collect::<Vec<_>>(), expected);
        }
        // A store may keep more than it was asked to; then it has to show all of it.
        Ok(changes) => assert_eq!(changes.touched.len(), 50),
        Err(other) => panic!("{other}"),
    }
    // A revision that was never given out belongs to another store, or to this one before a restore.
    let unknown = store.changes(Revision(newest.0 + 1), &Filter::all()).await;
    assert!(matches!(unknown, Err(StoreError::WatchExpired { .. })), "{unknown:?}");
}

pub(super) async fn many_watches_wake_together(factory: &dyn Factory) {
    let store = factory.open(HISTORY).await;
    let filter = Filter::all();
    let mut futures: Vec<BoxFuture<'_, usize>> = Vec::new();
    for _ in 0..50 {
        futures.push(Box::pin(async { next(&*store, Revision::ZERO, &filter).await.touched.len() }));
    }
    futures.push(Box::pin(async {
        step_aside().await;
        put(&*store, &issue("a"), "x").await;
        1
    }));
    assert_eq!(together(futures).await, vec![1; 51]);
}
