//! Watches over several processes.

use std::time::Duration;

use krate_model::Kind;
use krate_model::store::suite::block_on;
use krate_model::store::{ChangeSet, Expect, Filter, Key, Revision, Store, StoreError};
use krate_stores::PostgresStore;

use super::server::{RUNTIME, assert_whole, execute, number, open, open_with, schema, server_or_skip};

/// Less than the time after which a store looks without having been told.
const SOON: Duration = Duration::from_secs(4);

fn put(store: &PostgresStore, name: &str) -> Revision {
    let changes = ChangeSet::new().put(Key::new(Kind::Issue, "ns", name), Expect::Any, *b"x", []);
    block_on(store.commit(changes)).unwrap()
}

#[test]
fn a_watch_hears_of_the_commits_of_another_process() {
    let url = schema(&server_or_skip!());
    let [here, there] = [open(&url), open(&url)];
    let mut after = put(&here, "first");
    for round in 0..5 {
        let seen = RUNTIME.block_on(async {
            let all = Filter::all();
            let watch = tokio::time::timeout(SOON, here.changes(after, &all));
            let changes = ChangeSet::new().put(Key::new(Kind::Issue, "ns", format!("{round}")), Expect::Any, *b"x", []);
            let (seen, made) = tokio::join!(watch, there.commit(changes));
            made.unwrap();
            seen.expect("it was told").unwrap()
        });
        assert_eq!(*seen.touched[0].key.name, *format!("{round}"));
        after = seen.revision;
    }
}

#[test]
fn no_watch_of_any_process_sees_a_revision_late_or_leaves_one_out() {
    const WRITERS: usize = 4;
    const EACH: usize = 50;
    let url = schema(&server_or_skip!());
    let stores = [open(&url), open(&url)];
    let last = (WRITERS * EACH) as u64;
    std::thread::scope(|scope| {
        for watcher in 0..4 {
            let store = &stores[watcher % 2];
            scope.spawn(move || {
                let mut after = Revision::ZERO;
                while after.0 < last {
                    let seen = block_on(store.changes(after, &Filter::all())).unwrap();
                    for touched in seen.touched {
                        assert_eq!(touched.revision.0, after.0 + 1, "each revision is one commit of one object");
                        after = touched.revision;
                    }
                    assert_eq!(after, seen.revision);
                }
            });
        }
        for writer in 0..WRITERS {
            let store = &stores[writer % 2];
            scope.spawn(move || (0..EACH).for_each(|number| _ = put(store, &format!("{writer}-{number}"))));
        }
    });
    assert_whole(&url);
}

#[test]
fn a_watch_goes_on_when_its_connection_was_cut() {
    let url = schema(&server_or_skip!());
    let name = format!("watch-{}", std::process::id());
    let [here, there] = [open(&format!("{url}&application_name={name}")), open(&url)];
    let mut after = put(&here, "first");
    for round in 0..3 {
        let seen = RUNTIME.block_on(async {
            let all = Filter::all();
            let mut watch = std::pin::pin!(tokio::time::timeout(SOON * 4, here.changes(after, &all)));
            // It waits.
            assert!(futures::poll!(&mut watch).is_pending());
            tokio::task::block_in_place(|| {
                std::thread::scope(|scope| scope.spawn(|| cut(&url, &name)).join().unwrap());
            });
            let changes = ChangeSet::new().put(Key::new(Kind::Issue, "ns", format!("{round}")), Expect::Any, *b"x", []);
            there.commit(changes).await.unwrap();
            watch.await.expect("in time").unwrap()
        });
        assert_eq!(*seen.touched[0].key.name, *format!("{round}"));
        after = seen.revision;
    }
}

fn cut(url: &str, name: &str) {
    let all =
        format!("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = '{name}'");
    assert!(number(url, &all) > 0, "there is something to cut");
}

#[test]
fn history_is_cut_to_what_was_asked_for_in_whole_commits() {
    let url = schema(&server_or_skip!());
    let store = open_with(&url, |options| options.max_history = 32);
    for round in 0..40 {
        let keys = (0..3).map(|number| Key::new(Kind::Issue, "ns", format!("{round}-{number}")));
        let changes = keys.fold(ChangeSet::new(), |changes, key| changes.put(key, Expect::Absent, *b"x", []));
        block_on(store.commit(changes)).unwrap();
        let kept = number(&url, "SELECT count(*) FROM krate_history");
        assert!(kept <= 34 && (round < 12 || kept >= 30), "{kept} rows after {round}");
        assert_whole(&url);
    }
    let forgotten = Revision(number(&url, "SELECT forgotten FROM krate_state").try_into().unwrap());
    let expired = block_on(store.changes(Revision(forgotten.0 - 1), &Filter::all()));
    assert!(matches!(expired, Err(StoreError::WatchExpired { oldest, .. }) if oldest == forgotten), "{expired:?}");
    let kept = block_on(store.changes(forgotten, &Filter::all())).unwrap();
    assert_eq!(kept.touched.len() as u64, 3 * (40 - forgotten.0));

    // One commit that is longer than the history may be stays whole.
    let keys = (0..100).map(|number| Key::new(Kind::Comment, "ns", format!("{number}")));
    let changes = keys.fold(ChangeSet::new(), |changes, key| changes.put(key, Expect::Absent, *b"x", []));
    let made = block_on(store.commit(changes)).unwrap();
    let seen = block_on(store.changes(Revision(made.0 - 1), &Filter::all())).unwrap();
    assert_eq!(seen.touched.len(), 100);
    assert_whole(&url);
}

#[test]
fn a_watch_from_before_a_restore_expires() {
    let url = schema(&server_or_skip!());
    let store = open(&url);
    let after = put(&store, "first");
    put(&store, "second");
    execute(
        &url,
        "UPDATE krate_state SET revision = 1, history = 1; DELETE FROM krate_history WHERE revision > 1;
         DELETE FROM krate_entry; DELETE FROM krate_object WHERE revision > 1",
    );
    let expired = block_on(store.changes(Revision(2), &Filter::all()));
    assert!(matches!(expired, Err(StoreError::WatchExpired { newest, .. }) if newest == after), "{expired:?}");
}
