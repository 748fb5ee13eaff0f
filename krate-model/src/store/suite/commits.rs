//! Commits: preconditions, atomicity, audit, durability.

use super::super::{
    Change, ChangeSet, CommitError, Expect, Filter, Index, IndexEntry, Key, Private, Query, Refusal, Revision,
    StoreError, Write,
};
use super::{
    BoxFuture, Factory, HISTORY, abandon, all_pages, audited, body, draft, issue, names, put, revision_of, tagged,
    text_of, together,
};
use crate::Kind;

pub(super) async fn what_was_committed_is_read_back(factory: &dyn Factory) {
    let store = factory.open(HISTORY).await;
    let key = issue("a");
    assert_eq!(text_of(&*store, &key).await, None);
    let made = put(&*store, &key, "one").await;
    assert_eq!(text_of(&*store, &key).await.as_deref(), Some("one"));
    assert_eq!(revision_of(&*store, &key).await, Some(made));
    let changed = put(&*store, &key, "two").await;
    assert_eq!(text_of(&*store, &key).await.as_deref(), Some("two"));
    assert_eq!(revision_of(&*store, &key).await, Some(changed));
    store.commit(ChangeSet::new().delete(key.clone(), Expect::At(changed))).await.expect("a delete");
    assert_eq!(text_of(&*store, &key).await, None);
    store.commit(ChangeSet::new().delete(key.clone(), Expect::Any)).await.expect("a delete of nothing");
    put(&*store, &key, "").await;
    assert_eq!(text_of(&*store, &key).await.as_deref(), Some(""));
}

pub(super) async fn a_conflict_names_key_expected_and_found_and_changes_nothing(factory: &dyn Factory) {
    let store = factory.open(HISTORY).await;
    let (here, gone) = (issue("here"), issue("gone"));
    let old = put(&*store, &here, "old").await;
    let new = put(&*store, &here, "new").await;
    let cases = [
        (&here, Expect::Absent, Some(new)),
        (&here, Expect::At(old), Some(new)),
        (&here, Expect::At(Revision(new.0 + 1)), Some(new)),
        (&gone, Expect::At(new), None),
        (&gone, Expect::At(Revision::ZERO), None),
    ];
    for (wanted, expect, state) in cases {
        let put = Change::Put { body: body("lost"), indexes: tagged("lost") };
        for change in [put, Change::Delete, Change::Keep] {
            let write = Write { key: wanted.clone(), expect, change };
            match store.commit(ChangeSet::new().with(write)).await {
                Err(CommitError::Conflict { key, expected, found }) => {
                    assert_eq!((&key, expected, found), (wanted, expect, state));
                }
                other => panic!("{wanted} {expect}: {other:?} in the place of a conflict"),
            }
        }
    }
    assert_eq!(text_of(&*store, &here).await.as_deref(), Some("new"));
    assert_eq!(text_of(&*store, &gone).await, None);
    assert_eq!(store.revision().await.expect("a revision"), new);
    for expect in [Expect::Any, Expect::Absent] {
        let kept = store.commit(ChangeSet::new().keep(gone.clone(), expect)).await;
        assert_eq!(kept.expect("met by an absent object"), new);
    }
    let kept = store.commit(ChangeSet::new().keep(here.clone(), Expect::At(new))).await;
    assert_eq!(kept.expect("met by the object"), new);
}

pub(super) async fn a_change_set_is_whole_or_not_at_all(factory: &dyn Factory) {
    let store = factory.open(HISTORY).await;
    let [a, b, c] = ["a", "b", "c"].map(issue);
    let before = put(&*store, &b, "b").await;
    put(&*store, &c, "c").await;
    let start = store.revision().await.expect("a revision");
    let changes = || {
        ChangeSet::new()
            .put(a.clone(), Expect::Absent, body("a"), tagged("a"))
            .put(b.clone(), Expect::At(before), body("b2"), tagged("b2"))
            .audited(draft("ns", &a))
    };
    let failed = store.commit(changes().delete(c.clone(), Expect::At(before))).await;
    assert!(matches!(failed, Err(CommitError::Conflict { ref key, .. }) if *key == c), "{failed:?}");
    assert_eq!(text_of(&*store, &a).await, None);
    assert_eq!(text_of(&*store, &b).await.as_deref(), Some("b"));
    assert_eq!(all_pages(&*store, Query::new(Kind::Issue).with(Index::Phase, "b2")).await, []);
    assert_eq!(audited(&*store, "ns").await, 0);
    assert_eq!(store.revision().await.expect("a revision"), start);

    let made = store.commit(changes().delete(c.clone(), Expect::Any)).await.expect("all preconditions hold");
    assert_eq!(revision_of(&*store, &a).await, Some(made));
    assert_eq!(revision_of(&*store, &b).await, Some(made));
    assert_eq!(revision_of(&*store, &c).await, None);
    assert_eq!(audited(&*store, "ns").await, 1);
}

pub(super) async fn a_kept_object_must_be_as_expected(factory: &dyn Factory) {
    let store = factory.open(HISTORY).await;
    let (lease, work) = (Key::new(Private::Lease, "ns", "worker"), issue("work"));
    let held = put(&*store, &lease, "me").await;
    let write = |text: &str| {
        ChangeSet::new().keep(lease.clone(), Expect::At(held)).put(work.clone(), Expect::Any, body(text), [])
    };
    store.commit(write("mine")).await.expect("the lease is held");
    assert_eq!(revision_of(&*store, &lease).await, Some(held), "keeping writes nothing");
    put(&*store, &lease, "another").await;
    let late = store.commit(write("late")).await;
    assert!(matches!(late, Err(CommitError::Conflict { ref key, .. }) if *key == lease), "{late:?}");
    assert_eq!(text_of(&*store, &work).await.as_deref(), Some("mine"));
}

pub(super) async fn r22_r44_what_no_store_may_apply_is_refused(factory: &dyn Factory) {
    let store = factory.open(HISTORY).await;
    let key = issue("a");
    let twice = ChangeSet::new()
        .put(key.clone(), Expect::Any, body("1"), [])
        .put(issue("b"), Expect::Any, body("1"), [])
        .delete(key.clone(), Expect::Any);
    let refused = store.commit(twice).await;
    assert!(matches!(refused, Err(CommitError::Refused(Refusal::WrittenTwice { .. }))), "{refused:?}");

    store.commit(ChangeSet::new().audited(draft("ns", &key))).await.expect("an audit event");
    let events = all_pages(&*store, Query::new(Kind::AuditEvent)).await;
    let event = events.first().expect("the event is readable").clone();
    for key in [event.clone(), Key::new(Kind::AuditEvent, "ns", "forged"), super::super::plan::head_key("ns".into())] {
        let forged = store.commit(ChangeSet::new().put(key.clone(), Expect::Any, body("{}"), [])).await;
        assert!(matches!(forged, Err(CommitError::Refused(Refusal::AppendOnly { .. }))), "{forged:?}");
        let removed = store.commit(ChangeSet::new().delete(key, Expect::Any)).await;
        assert!(matches!(removed, Err(CommitError::Refused(Refusal::AppendOnly { .. }))), "{removed:?}");
    }
    assert_eq!(audited(&*store, "ns").await, 1);

    for (kind, limit) in [(Kind::Issue, 1024 * 1024), (Kind::Repository, 256 * 1024)] {
        let key = Key::new(kind, "ns", "large");
        let at_limit = ChangeSet::new().put(key.clone(), Expect::Any, vec![b'x'; limit], []);
        store.commit(at_limit).await.expect("the largest allowed");
        let over = store.commit(ChangeSet::new().put(key, Expect::Any, vec![b'x'; limit + 1], [])).await;
        match over {
            Err(CommitError::Refused(Refusal::TooLarge { bytes, max_bytes, .. })) => {
                assert_eq!((bytes, max_bytes), (limit + 1, limit));
            }
            other => panic!("{other:?} in the place of a refusal"),
        }
    }
    for (name, value) in [(2000, 500), (2000, 499), (2500, 0)] {
        // "ns" has two bytes.
        let key = Key::new(Kind::Issue, "ns", random(name));
        let over = store.commit(ChangeSet::new().put(key, Expect::Any, body("x"), tagged(&random(value)))).await;
        assert!(matches!(over, Err(CommitError::Refused(Refusal::TooLong { .. }))), "{name} and {value}: {over:?}");
    }
    for (name, value) in [(1998, 500), (2498, 0), (1, 2497)] {
        let key = Key::new(Kind::Issue, "ns", random(name));
        store.commit(ChangeSet::new().put(key, Expect::Any, body("x"), tagged(&random(value)))).await.expect("fits");
    }
    assert_eq!(text_of(&*store, &key).await, None);
}

/// Text that no database makes much shorter.
fn random(length: usize) -> String {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(
            b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_"
                [usize::from(state.to_le_bytes()[3] % 64)],
        )
    };
    (0..length).map(|_| next()).collect()
}

pub(super) async fn r44_a_cut_audit_chain_is_still_proven_and_only_a_whole_beginning_goes(factory: &dyn Factory) {
    let store = factory.open(HISTORY).await;
    let key = issue("a");
    for _ in 0..5 {
        store.commit(ChangeSet::new().audited(draft("ns", &key))).await.expect("an audit event");
    }
    let cut = |after: i64, upto: i64| store.commit(ChangeSet::new().retiring("ns", after, upto));
    for (after, upto) in [(0, 0), (0, 6), (1, 3), (0, i64::MAX), (i64::MIN, 2)] {
        let refused = cut(after, upto).await;
        assert!(matches!(refused, Err(CommitError::Refused(Refusal::Retire { .. }))), "{after} {upto}: {refused:?}");
    }
    cut(0, 2).await.expect("the beginning goes");
    assert_eq!(all_pages(&*store, Query::new(Kind::AuditEvent)).await.len(), 3);
    assert_eq!(audited(&*store, "ns").await, 5);
    let again = cut(0, 2).await;
    assert!(matches!(again, Err(CommitError::Refused(Refusal::Retire { .. }))), "{again:?}");
    // In one step with growth, and down to the last.
    store.commit(ChangeSet::new().audited(draft("ns", &key)).retiring("ns", 2, 5)).await.expect("both");
    cut(5, 6).await.expect("all of it");
    store.commit(ChangeSet::new().audited(draft("ns", &key))).await.expect("it goes on");
    assert_eq!(audited(&*store, "ns").await, 7);
}

pub(super) async fn an_empty_change_set_changes_nothing(factory: &dyn Factory) {
    let store = factory.open(HISTORY).await;
    assert_eq!(store.commit(ChangeSet::new()).await.expect("nothing to do"), Revision::ZERO);
    let made = put(&*store, &issue("a"), "a").await;
    assert_eq!(store.commit(ChangeSet::new()).await.expect("nothing to do"), made);
}

pub(super) async fn revisions_grow_with_every_commit(factory: &dyn Factory) {
    let store = factory.open(HISTORY).await;
    assert_eq!(store.revision().await.expect("a revision"), Revision::ZERO);
    let mut last = Revision::ZERO;
    for at in 0..20 {
        let key = Key::new(Kind::Issue, format!("ns{}", at % 3), format!("{at}"));
        let made = put(&*store, &key, "x").await;
        assert!(made > last, "{made} after {last}");
        assert_eq!(store.revision().await.expect("a revision"), made);
        last = made;
    }
    let gone = store.commit(ChangeSet::new().delete(Key::new(Kind::Issue, "ns0", "0"), Expect::Any)).await;
    assert!(gone.expect("a delete") > last);
}

pub(super) async fn one_of_two_workers_wins(factory: &dyn Factory) {
    const ROUNDS: usize = 40;
    let store = factory.open(HISTORY).await;
    let record = issue("record");
    let mut last = put(&*store, &record, "start").await;
    for round in 0..ROUNDS {
        // All have seen the same before the first one writes, however long a read takes.
        let looks = (0..3).map(|_| -> BoxFuture<'_, Option<Revision>> { Box::pin(revision_of(&*store, &record)) });
        let seen = together(looks.collect()).await;
        let claims =
            seen.into_iter().enumerate().map(|(worker, seen)| -> BoxFuture<'_, Result<Revision, CommitError>> {
                let (store, record) = (&*store, &record);
                Box::pin(async move {
                    let seen = seen.expect("the record is there");
                    let claim = format!("{round}/{worker}");
                    store
                        .commit(ChangeSet::new().put(record.clone(), Expect::At(seen), body(&claim), tagged(&claim)))
                        .await
                })
            });
        let outcomes = together(claims.collect()).await;
        let (won, others): (Vec<_>, Vec<_>) =
            outcomes.into_iter().enumerate().partition(|(_, outcome)| outcome.is_ok());
        let [(winner, Ok(made))] = won.as_slice() else { panic!("{} workers won", won.len()) };
        assert_eq!(text_of(&*store, &record).await, Some(format!("{round}/{winner}")));
        for (_, outcome) in others {
            match outcome {
                Err(CommitError::Conflict { key, expected, found }) => {
                    assert_eq!((key, expected, found), (record.clone(), Expect::At(last), Some(*made)));
                }
                other => panic!("{other:?} in the place of a conflict"),
            }
        }
        last = *made;
    }
}

pub(super) async fn r44_audit_chains_have_no_gap_under_concurrent_commits(factory: &dyn Factory) {
    let store = factory.open(HISTORY).await;
    let commits = (0..60).map(|at| -> BoxFuture<'_, Revision> {
        let store = &*store;
        Box::pin(async move {
            let key = issue(&format!("{at}"));
            let namespace = ["ns", "other", "krate-system"][at % 3];
            let mut changes = ChangeSet::new().put(key.clone(), Expect::Absent, body("x"), []);
            for _ in 0..=at % 2 {
                changes = changes.audited(draft(namespace, &key));
            }
            store.commit(changes.audited(draft("ns", &key))).await.expect("no two of these conflict")
        })
    });
    let mut revisions = together(commits.collect()).await;
    revisions.sort_unstable();
    revisions.dedup();
    assert_eq!(revisions.len(), 60, "each commit has a revision of its own");
    // 60 commits audit once in `ns`, and once or twice in one of three namespaces in turn.
    assert_eq!(audited(&*store, "ns").await, 60 + 30);
    assert_eq!(audited(&*store, "other").await, 30);
    assert_eq!(audited(&*store, "krate-system").await, 30);

    let about = Query::new(Kind::AuditEvent).with(Index::Subject, "Issue/7");
    assert_eq!(all_pages(&*store, about).await.len(), 3, "an event is found by its object");
}

pub(super) async fn r44_a_refused_commit_leaves_no_audit_event(factory: &dyn Factory) {
    let store = factory.open(HISTORY).await;
    let key = issue("a");
    for expected in 1..5 {
        let lost = ChangeSet::new().put(key.clone(), Expect::At(Revision(999_999)), body("x"), []);
        let lost = store.commit(lost.audited(draft("ns", &key))).await;
        assert!(matches!(lost, Err(CommitError::Conflict { .. })), "{lost:?}");
        store.commit(ChangeSet::new().audited(draft("ns", &key))).await.expect("an audit event");
        assert_eq!(audited(&*store, "ns").await, expected);
    }
}

pub(super) async fn a_dropped_commit_is_whole_or_not_at_all(factory: &dyn Factory) {
    let store = factory.open(HISTORY).await;
    for round in 0..20 {
        let (a, b) = (issue(&format!("{round}a")), issue(&format!("{round}b")));
        let changes = ChangeSet::new()
            .put(a.clone(), Expect::Absent, body("x"), tagged("x"))
            .put(b.clone(), Expect::Absent, body("x"), tagged("x"))
            .audited(draft("ns", &a));
        abandon(store.commit(changes)).await;
    }
    // Whatever was on its way has happened before a later commit is answered, or never does.
    put(&*store, &issue("last"), "last").await;
    let found = all_pages(&*store, Query::new(Kind::Issue)).await;
    let found: Vec<&str> = found.iter().map(|key| &*key.name).collect();
    for round in 0..20 {
        let both = [format!("{round}a"), format!("{round}b")].map(|name| found.contains(&&*name));
        assert_eq!(both[0], both[1], "half of change set {round} is there");
    }
    let pairs = i64::try_from((found.len() - 1) / 2).expect("a small number");
    assert_eq!(audited(&*store, "ns").await, pairs);
}

pub(super) async fn odd_names_are_kept_apart(factory: &dyn Factory) {
    let store = factory.open(HISTORY).await;
    let pairs = [
        ("a", "b/c"),
        ("a/b", "c"),
        ("a", "b"),
        ("ab", ""),
        ("", "ab"),
        ("a\0", "b"),
        ("a", "\0b"),
        ("a\0b", ""),
        ("a\u{1}", "b"),
        ("a:b", "c"),
        ("a", "b:c"),
        ("%", "_"),
        ("é", "e\u{301}"),
        ("e\u{301}", "é"),
        ("\u{10ffff}", "\u{10ffff}"),
    ];
    for (namespace, name) in pairs {
        for collection in [Key::new(Kind::Issue, namespace, name), Key::new(Private::Cursor, namespace, name)] {
            let text = format!("{collection:?}");
            let changes = ChangeSet::new().put(collection, Expect::Absent, body(&text), tagged("odd"));
            store.commit(changes).await.expect("no other key is the same");
        }
    }
    for (namespace, name) in pairs {
        for key in [Key::new(Kind::Issue, namespace, name), Key::new(Private::Cursor, namespace, name)] {
            assert_eq!(text_of(&*store, &key).await, Some(format!("{key:?}")));
        }
        let all = all_pages(&*store, Query::new(Kind::Issue).in_namespace(namespace)).await;
        let expected = pairs.iter().filter(|(other, _)| *other == namespace).count();
        assert_eq!(all.len(), expected, "namespace {namespace:?}");
        let found = all_pages(&*store, Query::new(Kind::Issue).in_namespace(namespace).with(Index::Phase, "odd")).await;
        assert_eq!(found, all, "namespace {namespace:?} by index");
    }
    let all = all_pages(&*store, Query::new(Kind::Issue).limit(2)).await;
    let mut expected = pairs.map(|(namespace, name)| Key::new(Kind::Issue, namespace, name)).to_vec();
    expected.sort();
    assert_eq!(all, expected);
}

pub(super) async fn big_bodies_are_kept_whole(factory: &dyn Factory) {
    let store = factory.open(HISTORY).await;
    let bytes: Vec<u8> = (0..8_000_000_u32).map(|at| (at % 251).to_le_bytes()[0]).collect();
    let key = Key::new(Private::Payload, "ns", "payload");
    store.commit(ChangeSet::new().put(key.clone(), Expect::Absent, bytes.clone(), [])).await.expect("a large write");
    let found = store.get(&key).await.expect("a read").expect("it is there");
    assert!(*found.body == *bytes, "the body is another after the way through the store");
}

pub(super) async fn a_restart_keeps_everything(factory: &dyn Factory) {
    let store = factory.open(HISTORY).await;
    let gone = issue("gone");
    put(&*store, &gone, "gone").await;
    let mut revisions = Vec::new();
    for at in 0..50 {
        let key = Key::new(Kind::Issue, ["ns", "other"][at % 2], format!("{at:02}"));
        let entries = [IndexEntry::new(Index::Phase, ["Open", "Closed"][at % 2])];
        let changes = ChangeSet::new().put(key.clone(), Expect::Absent, body(&format!("{at}")), entries);
        let made = store.commit(changes.audited(draft("ns", &key))).await.expect("a write");
        revisions.push((key, made, format!("{at}")));
    }
    store.commit(ChangeSet::new().delete(gone.clone(), Expect::Any)).await.expect("a delete");
    let last = store.revision().await.expect("a revision");
    let Some(store) = factory.reopen(store).await else { return };

    assert_eq!(store.revision().await.expect("a revision"), last);
    assert_eq!(text_of(&*store, &gone).await, None);
    for (key, made, text) in &revisions {
        assert_eq!(revision_of(&*store, key).await, Some(*made));
        assert_eq!(text_of(&*store, key).await.as_ref(), Some(text));
    }
    let open = store.list(&Query::new(Kind::Issue).with(Index::Phase, "Open")).await.expect("a list");
    assert_eq!(names(&open).len(), 25);
    assert_eq!(audited(&*store, "ns").await, 50);
    store.commit(ChangeSet::new().audited(draft("ns", &gone))).await.expect("an audit event");
    assert_eq!(audited(&*store, "ns").await, 51, "the chain goes on where it was");
    assert!(put(&*store, &gone, "again").await > last);

    // The watch goes on, or says that it can't; it never leaves out a commit in silence.
    let (first, made, _) = &revisions[0];
    match store.changes(Revision(made.0 - 1), &Filter::of([Kind::Issue])).await {
        Ok(changes) => assert_eq!((&changes.touched[0].key, changes.touched[0].revision), (first, *made)),
        Err(StoreError::WatchExpired { .. }) => {}
        Err(other) => panic!("{other}"),
    }
}
