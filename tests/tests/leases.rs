//! Two processes on one store, of which one is slow (S34).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use krate_model::kinds::external::ExternalWriteIntent;
use krate_model::kinds::sets::ActorKind;
use krate_model::kinds::shared::{Actor, ObjectRef};
use krate_model::kinds::work::Issue;
use krate_model::{Kind, Resource};
use krate_providers::simulator::{Faults, NewIssue};
use krate_sync::driver::{Http, SendError};
use krate_sync::local::Local;
use krate_tests::world::{Crash, NAMESPACE, REPOSITORY, Wire, World, block_on, start};

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
