//! Two processes on one store, of which one is slow.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use krate_model::kinds::external::{ExternalSyncState, ExternalWriteIntent};
use krate_model::kinds::sets::ActorKind;
use krate_model::kinds::shared::{Actor, ObjectRef};
use krate_model::kinds::work::Issue;
use krate_model::store::{
    ChangeSet, Changes, CommitError, Filter, Key, Page, Query, Revision, Store, StoreError, Stored,
};
use krate_model::{Kind, Resource};
use krate_providers::simulator::{Faults, NewIssue};
use krate_sync::driver::{Http, SendError};
use krate_sync::local::Local;
use krate_tests::world::{Crash, MortalStore, NAMESPACE, REPOSITORY, Wire, World, block_on, start};

/// A way to the forge on which the answer to the first read takes longer than a lease; meanwhile the other process works.
struct Slow {
    wire: Wire,
    world: Arc<World>,
    is_over: AtomicBool,
}

#[async_trait]
impl Http for Slow {
    async fn send(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, SendError> {
        let is_read = request.method() == http::Method::GET;
        let answer = self.wire.send(request).await;
        if is_read && !self.is_over.swap(true, Ordering::SeqCst) {
            for _ in 0..4 {
                self.world.pass_time(150);
                let _ = self.world.driver.run_due().await;
            }
        }
        answer
    }
}

#[test]
fn s34_a_look_that_outlasts_its_lease_sends_nothing_that_another_process_has_sent() {
    let world = World::new(1, Faults::none(), "bidirectional");
    world.forge().forge.by("ada", start()).open_issue(REPOSITORY, NewIssue::titled("Crash")).expect("opened");
    world.settle().expect("quiet");
    let issue = world.all::<Issue>().remove(0);
    let rename = |local: &mut Local| {
        if let Local::Issue(issue) = local {
            issue.spec.title = "Crash on start".into();
        }
    };
    let (reference, alice) = (ObjectRef::new(Kind::Issue.as_str(), issue.name()), Actor::new(ActorKind::User, "alice"));
    block_on(world.driver.edit(NAMESPACE, &reference, &alice, &rename)).expect("the edit is accepted");
    // Whoever was to send it dies before that: its outcome is unknown, and it is looked for first.
    world.plan_crash(Some(Crash { commit: 0, after: true }));
    let _ = world.pass();
    assert!(world.is_dead());
    world.restart();
    let phases = |world: &World| -> Vec<String> {
        world.all::<ExternalWriteIntent>().iter().map(|intent| intent.phase().to_owned()).collect()
    };
    assert_eq!(phases(&world), ["Sending"]);
    world.pass_time(150);
    let _ = world.pass();
    assert_eq!(phases(&world), ["Retrying"]);
    world.pass_time(150);

    let world = Arc::new(world);
    let slow = Slow { wire: world.wire(), world: Arc::clone(&world), is_over: AtomicBool::new(false) };
    let written = world.written().len();
    let other = world.other_driver(Arc::new(slow));
    block_on(other.run_due()).expect("the store can be read");
    world.settle().expect("quiet");
    assert_eq!(phases(&world), ["Succeeded"]);
    assert_eq!(world.written().len(), written + 1, "{:?}", world.written());
}

/// A store at which the other process commits so many times right before one of the reads, and comes no further.
struct Overtaken {
    store: Arc<MortalStore>,
    world: Arc<World>,
    read: u64,
    commits: u64,
    reads: AtomicU64,
}

impl Overtaken {
    async fn count(&self) {
        if self.reads.fetch_add(1, Ordering::SeqCst) == self.read {
            self.world.plan_crash(Some(Crash { commit: self.commits - 1, after: true }));
            let _ = self.world.driver.run_due().await;
            self.world.restart();
        }
    }
}

#[async_trait]
impl Store for Overtaken {
    async fn get(&self, key: &Key) -> Result<Option<Stored>, StoreError> {
        self.count().await;
        self.store.get(key).await
    }

    async fn list(&self, query: &Query) -> Result<Page, StoreError> {
        self.count().await;
        self.store.list(query).await
    }

    async fn commit(&self, changes: ChangeSet) -> Result<Revision, CommitError> {
        self.store.commit(changes).await
    }

    async fn changes(&self, after: Revision, filter: &Filter) -> Result<Changes, StoreError> {
        self.store.changes(after, filter).await
    }

    async fn revision(&self) -> Result<Revision, StoreError> {
        self.store.revision().await
    }
}

#[test]
fn s26_no_list_waits_for_a_binding_that_another_process_has_validated() {
    // Started and validated; and the records of the lists made.
    for commits in 1..=5 {
        let mut read = 0;
        while overtake(read, commits) {
            read += 1;
        }
        assert!(read > 20, "only {read} reads");
    }
}

/// Whether the pass came to that read at all.
fn overtake(read: u64, commits: u64) -> bool {
    let world = World::new(1, Faults::none(), "bidirectional");
    world.forge().forge.by("ada", start()).open_issue(REPOSITORY, NewIssue::titled("Crash")).expect("opened");
    let (world, reads) = (Arc::new(world), AtomicU64::new(0));
    let overtaken = Overtaken { store: Arc::clone(&world.store), world: Arc::clone(&world), read, commits, reads };
    let overtaken = Arc::new(overtaken);
    let slow = world.driver_over(Arc::clone(&overtaken) as Arc<dyn Store>, Arc::new(world.wire()));
    block_on(slow.run_due()).expect("the store can be read");
    for _ in 0..4 {
        world.pass_time(1);
        block_on(world.driver.run_due()).expect("the store can be read");
    }
    for state in world.all::<ExternalSyncState>() {
        assert_eq!(state.phase(), "Succeeded", "{}, overtaken at read {read} by {commits} commits", state.name());
    }
    assert_eq!(world.all::<Issue>().len(), 1, "overtaken at read {read} by {commits} commits");
    overtaken.reads.load(Ordering::SeqCst) > read
}
