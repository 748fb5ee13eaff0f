//! Whose turn it is: what is slow, busy or broken delays nobody else (S46).

use std::cell::Cell;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use async_trait::async_trait;
use bytes::Bytes;
use futures::FutureExt;
use krate_model::kinds::external::{ExternalBackendBinding, ExternalBackendProvider, ExternalWebhookDelivery};
use krate_model::kinds::forge::Repository;
use krate_model::kinds::work::Issue;
use krate_model::store::Query;
use krate_model::{Kind, Resource};
use krate_providers::simulator::{Faults, NewIssue};
use krate_sync::driver::{Clock, Http, SendError};
use krate_sync::records::{Changes, Loaded};
use krate_tests::world::{NAMESPACE, REPOSITORY, Wire, World, block_on, start};
use serde_json::{Value, json};

/// A way to the forge on which requests to one host never come back.
struct Hanging(Wire);

#[async_trait]
impl Http for Hanging {
    async fn send(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, SendError> {
        if request.uri().host() == Some("hanging.example") {
            std::future::pending::<()>().await;
        }
        self.0.send(request).await
    }
}

fn json_of<T: Resource + serde::Serialize>(world: &World) -> Value {
    serde_json::to_value(world.all::<T>().remove(0)).expect("JSON")
}

/// Copies of the world's own provider, binding and repository, under other names, in `namespace`.
fn add(world: &World, namespace: &str, name: &str, api: &str) {
    let mut changes = Changes::at(world.clock.now());
    let copy = |object: Value, name: &str, set: &[(&str, Value)]| {
        let mut object = object;
        object["metadata"] = json!({"name": name, "namespace": namespace});
        object.as_object_mut().expect("an object").remove("status");
        for (path, value) in set {
            *object.pointer_mut(path).expect("it is there") = value.clone();
        }
        object
    };
    let provider = copy(json_of::<ExternalBackendProvider>(world), name, &[("/spec/apiBaseUrl", json!(api))]);
    let binding = copy(
        json_of::<ExternalBackendBinding>(world),
        name,
        &[("/spec/providerRef", json!(name)), ("/spec/targetRef/name", json!(name))],
    );
    let repository = copy(json_of::<Repository>(world), name, &[]);
    let read = "what was written can be read";
    changes.put(&Loaded::new(serde_json::from_value::<ExternalBackendProvider>(provider).expect(read))).expect("JSON");
    changes.put(&Loaded::new(serde_json::from_value::<ExternalBackendBinding>(binding).expect(read))).expect("JSON");
    changes.put(&Loaded::new(serde_json::from_value::<Repository>(repository).expect(read))).expect("JSON");
    block_on(changes.commit(world.store.as_ref())).expect("new names");
}

#[test]
fn s46_a_provider_that_never_answers_holds_up_no_other() {
    let world = World::new(3, Faults::none(), "bidirectional");
    world.forge().forge.by("ada", start()).open_issue(REPOSITORY, NewIssue::titled("Crash")).expect("opened");
    add(&world, NAMESPACE, "a-hanging", "https://hanging.example");
    let driver = world.other_driver(Arc::new(Hanging(world.wire())));
    let passes = Cell::new(0);
    // Asked inside of the loop that runs the driver: the store in memory answers at once.
    let is_read = || {
        let found = krate_sync::records::list::<Issue>(world.store.as_ref(), Query::new(Kind::Issue));
        !found.now_or_never().expect("at once").expect("it can be read").is_empty()
    };
    let stop = poll_fn(|_| if is_read() || passes.get() > 50 { Poll::Ready(()) } else { Poll::Pending });
    {
        let mut run = Box::pin(driver.run(stop, |_| passes.set(passes.get() + 1)));
        // It doesn't end: what it has begun hangs, and whoever runs it lets go of it.
        block_on(poll_fn(|context| match run.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(()),
            Poll::Pending if is_read() => Poll::Ready(()),
            Poll::Pending => Poll::Pending,
        }));
    }
    assert!(is_read(), "after {} passes", passes.get());
    assert_eq!(world.all::<Issue>()[0].spec.title, "Crash");
}

#[test]
fn s46_the_flood_of_one_organization_does_not_hold_up_another() {
    let world = World::new(3, Faults::none(), "bidirectional");
    world.settle().expect("quiet");
    world.forge().forge.by("ada", start()).open_issue(REPOSITORY, NewIssue::titled("Crash")).expect("opened");
    world.deliver();
    let template = serde_json::to_value(world.all::<ExternalWebhookDelivery>().remove(0)).expect("JSON");
    world.settle().expect("quiet");
    add(&world, "krate-org-beta", "beta", "https://api.github.com");
    // Older than the one of the other organization, and more than several passes take. Their payloads are lost, which is told soon.
    let put = |namespace: &str, provider: &str, number: usize| {
        let mut delivery = template.clone();
        delivery["metadata"] = json!({"name": format!("{provider}-{number:05}"), "namespace": namespace});
        delivery["spec"]["providerRef"] = json!(provider);
        let delivery: ExternalWebhookDelivery = serde_json::from_value(delivery).expect("a delivery");
        let mut changes = Changes::at(world.clock.now());
        changes.put(&Loaded::new(delivery)).expect("JSON");
        block_on(changes.commit(world.store.as_ref())).expect("a new name");
    };
    for number in 0..1500 {
        put(NAMESPACE, "gh", number);
    }
    put("krate-org-beta", "zz-beta", 0);
    let waits = |namespace: &str| {
        let query = Query::new(Kind::ExternalWebhookDelivery).in_namespace(namespace).limit(1000);
        let found = block_on(krate_sync::records::list::<ExternalWebhookDelivery>(world.store.as_ref(), query));
        let found = found.expect("the store can be read");
        found.into_iter().filter(|delivery| delivery.object.phase() == "Queued").count()
    };
    assert_eq!(waits("krate-org-beta"), 1);
    world.pass().expect("the store can be read");
    assert_eq!(waits("krate-org-beta"), 0, "it had its turn in the first pass");
    assert!(waits(NAMESPACE) >= 1000, "the flood isn't over by far");
    for _ in 0..6 {
        world.pass().expect("the store can be read");
    }
    assert_eq!(waits(NAMESPACE), 0, "and is worked off as fast as before");
}
