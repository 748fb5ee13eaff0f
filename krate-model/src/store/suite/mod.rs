//! The checks that every store passes, for whoever writes one.
//!
//! Give [`CHECKS`] a [`Factory`] and an executor of your choice. The checks spawn nothing: what is concurrent in them is polled side by side in one future,
//! so they run under any runtime, or under [`block_on`] when the store needs none. A check panics when the store breaks a promise.
//!
//! ```
//! use std::sync::Arc;
//! use krate_model::store::suite::{BoxFuture, CHECKS, Factory, block_on};
//! use krate_model::store::{MemoryStore, Store};
//!
//! struct InMemory;
//!
//! impl Factory for InMemory {
//!     fn open(&self, max_history: usize) -> BoxFuture<'_, Arc<dyn Store>> {
//!         Box::pin(async move { Arc::new(MemoryStore::with_history(max_history)) as Arc<dyn Store> })
//!     }
//!     fn reopen(&self, _: Arc<dyn Store>) -> BoxFuture<'_, Option<Arc<dyn Store>>> {
//!         Box::pin(async { None })
//!     }
//! }
//!
//! for check in CHECKS {
//!     println!("{}", check.name);
//!     block_on((check.run)(&InMemory));
//! }
//! ```

mod commits;
mod lists;
mod watches;

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use super::{ChangeSet, Expect, Index, IndexEntry, Key, Page, Query, Revision, Store};
use crate::audit::{AuditDraft, AuditEventSpec};
use crate::kinds::sets::ActorKind;
use crate::kinds::shared::{Actor, ObjectRef, Time};
use crate::{Kind, audit};

/// A future of any shape.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Makes the stores that are checked.
pub trait Factory: Send + Sync {
    /// A new, empty store, whose watch may forget what is older than the newest `max_history` touched objects, but needn't.
    fn open(&self, max_history: usize) -> BoxFuture<'_, Arc<dyn Store>>;

    /// The same store after a restart; `None` when nothing survives one.
    fn reopen(&self, store: Arc<dyn Store>) -> BoxFuture<'_, Option<Arc<dyn Store>>>;
}

/// One promise of the port.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Check {
    /// What holds.
    pub name: &'static str,
    /// Panics when it doesn't.
    pub run: for<'a> fn(&'a dyn Factory) -> BoxFuture<'a, ()>,
}

impl std::fmt::Debug for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

macro_rules! checks {
    ($($module:ident: $($name:ident),+;)+) => {
        /// Every check.
        pub const CHECKS: &[Check] = &[
            $($(Check { name: stringify!($name), run: |factory| Box::pin($module::$name(factory)) }),+),+
        ];
    };
}

checks! {
    commits:
        what_was_committed_is_read_back,
        a_conflict_names_key_expected_and_found_and_changes_nothing,
        a_change_set_is_whole_or_not_at_all,
        a_kept_object_must_be_as_expected,
        r22_r44_what_no_store_may_apply_is_refused,
        r44_a_cut_audit_chain_is_still_proven_and_only_a_whole_beginning_goes,
        an_empty_change_set_changes_nothing,
        revisions_grow_with_every_commit,
        one_of_two_workers_wins,
        r44_audit_chains_have_no_gap_under_concurrent_commits,
        r44_a_refused_commit_leaves_no_audit_event,
        a_dropped_commit_is_whole_or_not_at_all,
        odd_names_are_kept_apart,
        big_bodies_are_kept_whole,
        a_restart_keeps_everything;
    lists:
        a_list_is_ordered_by_namespace_and_name,
        an_index_finds_equal_values,
        an_index_finds_ranges,
        indexes_follow_updates_and_deletes,
        odd_index_values_are_kept_apart,
        pages_are_stable_while_rows_come_and_go,
        a_page_is_bounded;
    watches:
        a_watch_sees_each_commit_once_and_in_order,
        a_watch_waits_for_the_next_commit,
        a_watch_passes_over_what_it_does_not_want,
        a_watch_goes_on_where_a_list_was_read,
        a_watch_that_is_too_old_expires,
        many_watches_wake_together;
}

const HISTORY: usize = 10_000;

struct Parked(std::thread::Thread);

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs `future` on this thread; for stores that need no runtime.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Parked(std::thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        std::thread::park();
    }
}

/// Polls all of `futures` side by side, and returns what they return, in their order.
async fn together<T: Unpin>(futures: Vec<BoxFuture<'_, T>>) -> Vec<T> {
    let mut futures: Vec<_> = futures.into_iter().map(Ok).collect();
    poll_fn(|cx| {
        for slot in &mut futures {
            if let Ok(future) = slot
                && let Poll::Ready(output) = future.as_mut().poll(cx)
            {
                *slot = Err(output);
            }
        }
        if futures.iter().any(Result::is_ok) { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    futures.into_iter().filter_map(Result::err).collect()
}

/// Lets the others go on.
async fn step_aside() {
    let mut stepped = false;
    poll_fn(|cx| {
        if stepped {
            return Poll::Ready(());
        }
        stepped = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Polls `future` once and drops it.
async fn abandon<F: Future>(future: F) {
    let mut future = pin!(future);
    poll_fn(|cx| {
        let _ = future.as_mut().poll(cx);
        Poll::Ready(())
    })
    .await;
}

fn issue(name: &str) -> Key {
    Key::new(Kind::Issue, "ns", name)
}

fn body(text: &str) -> Arc<[u8]> {
    text.as_bytes().into()
}

fn tagged(value: &str) -> Vec<IndexEntry> {
    vec![IndexEntry::new(Index::Phase, value)]
}

fn draft(namespace: &str, object: &Key) -> AuditDraft {
    let at = Time::from_timestamp(1_780_000_000, 0).unwrap_or_default();
    AuditDraft::new(namespace, "Suite", at, Actor::new(ActorKind::System, "suite"))
        .object(ObjectRef::new(object.collection.name(), &*object.name))
}

async fn put(store: &dyn Store, key: &Key, text: &str) -> Revision {
    store.commit(ChangeSet::new().put(key.clone(), Expect::Any, body(text), tagged(text))).await.expect("a plain write")
}

async fn text_of(store: &dyn Store, key: &Key) -> Option<String> {
    let found = store.get(key).await.expect("a read")?;
    assert_eq!(found.key, *key, "get answers with the key it was asked for");
    Some(String::from_utf8_lossy(&found.body).into_owned())
}

async fn revision_of(store: &dyn Store, key: &Key) -> Option<Revision> {
    store.get(key).await.expect("a read").map(|found| found.revision)
}

fn names(page: &Page) -> Vec<&str> {
    page.items.iter().map(|item| &*item.key.name).collect()
}

/// Every page of `query`, one after another.
async fn all_pages(store: &dyn Store, mut query: Query) -> Vec<Key> {
    let mut keys = Vec::new();
    loop {
        let page = store.list(&query).await.expect("a list");
        keys.extend(page.items.into_iter().map(|item| item.key));
        match page.next {
            Some(next) => query.after = Some(next),
            None => return keys,
        }
    }
}

/// The audit events of `namespace`, checked to be one whole chain; returns how many.
async fn audited(store: &dyn Store, namespace: &str) -> i64 {
    let mut query = Query::new(Kind::AuditEvent).in_namespace(namespace).limit(7);
    let mut events = Vec::new();
    loop {
        let page = store.list(&query).await.expect("a list");
        for item in &page.items {
            let object: serde_json::Value = serde_json::from_slice(&item.body).expect("an audit event is JSON");
            let event: AuditEventSpec =
                serde_json::from_value(object["spec"].clone()).expect("an audit event has a spec");
            assert_eq!(*item.key.name, *event.name());
            events.push(event);
        }
        match page.next {
            Some(next) => query.after = Some(next),
            None => break,
        }
    }
    let (start, head) = super::chain_ends(store, namespace).await.expect("a chain");
    audit::verify_chain(&start, &events, &head).expect("the audit chain is whole");
    head.sequence
}
