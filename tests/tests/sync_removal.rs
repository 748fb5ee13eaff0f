//! What becomes of the wish that an object goes, on a simulated forge (S4).

use krate_model::kinds::external::{ExternalBackendSyncPolicy, ExternalWriteIntent};
use krate_model::kinds::sets::{ActorKind, Operation};
use krate_model::kinds::shared::{Actor, Body, ObjectRef};
use krate_model::kinds::work::{Comment, CommentSpec, Issue, IssueSpec};
use krate_model::store::{Query, Store};
use krate_model::{Kind, Resource};
use krate_providers::simulator::{Faults, NewIssue, State};
use krate_sync::driver::{Clock, DriverError};
use krate_sync::local::Local;
use krate_sync::plan::{PlanError, Removal};
use krate_sync::records::{Changes, Loaded, get};
use krate_tests::world::{NAMESPACE, REPOSITORY, World, block_on, start};

fn alice() -> Actor {
    Actor::new(ActorKind::User, "alice")
}

/// A world with an issue and a comment on it, made there.
fn world(mode: &str) -> World {
    let world = World::new(1, Faults::none(), mode);
    {
        let mut network = world.forge();
        let mut ada = network.forge.by("ada", start());
        ada.open_issue(REPOSITORY, NewIssue::titled("Crash")).expect("opened");
        ada.comment(REPOSITORY, 1, "Seen").expect("commented");
    }
    world.settle().expect("quiet");
    world.pass_time(5);
    world
}

fn issue(world: &World) -> ObjectRef {
    ObjectRef::new(Kind::Issue.as_str(), world.all::<Issue>()[0].name())
}

fn comment(world: &World) -> ObjectRef {
    ObjectRef::new(Kind::Comment.as_str(), world.all::<Comment>()[0].name())
}

fn remove(world: &World, object: &ObjectRef) -> Result<Removal, DriverError> {
    block_on(world.driver.remove(NAMESPACE, object, &alice()))
}

fn writes(world: &World) -> Vec<String> {
    world.written().into_iter().map(|written| written.line).collect()
}

#[test]
fn s4_where_the_provider_owns_the_truth_nothing_goes() {
    for mode in ["read-only", "external-owned"] {
        let world = world(mode);
        for object in [issue(&world), comment(&world)] {
            let refused = remove(&world, &object);
            assert!(matches!(refused, Err(DriverError::Plan(PlanError::ReadOnly { .. }))), "{mode}: {refused:?}");
        }
        world.settle().expect("quiet");
        assert!(world.all::<ExternalWriteIntent>().is_empty(), "{mode}");
        assert_eq!((world.all::<Comment>()[0].phase(), writes(&world).len()), ("Visible", 0), "{mode}");
    }
}

#[test]
fn s4_a_comment_goes_by_one_write_where_the_mode_lets_it() {
    for mode in ["krate-owned", "bidirectional", "write-through"] {
        let world = world(mode);
        assert_eq!(remove(&world, &comment(&world)).expect("accepted"), Removal::Deleting, "{mode}");
        assert_eq!(world.forge().forge.comments(REPOSITORY, 1).len(), 1, "{mode}: nothing goes before the write");
        world.settle().expect("quiet");
        assert!(world.forge().forge.comments(REPOSITORY, 1).is_empty(), "{mode}");
        assert_eq!(world.all::<Comment>()[0].phase(), "Deleted", "{mode}");
        let intents = world.all::<ExternalWriteIntent>();
        assert_eq!((intents.len(), intents[0].phase()), (1, "Succeeded"), "{mode}");
        assert_eq!(writes(&world).len(), 1, "{mode}: {:?}", writes(&world));
        // Its echo, and a second wish, change nothing.
        world.deliver();
        world.settle().expect("quiet");
        assert_eq!(remove(&world, &comment(&world)).expect("accepted"), Removal::Gone, "{mode}");
        assert_eq!((writes(&world).len(), world.all::<Comment>()[0].phase()), (1, "Deleted"), "{mode}");
    }
}

#[test]
fn s4_an_issue_is_closed_instead_and_that_is_said() {
    let world = world("krate-owned");
    assert_eq!(remove(&world, &issue(&world)).expect("accepted"), Removal::Closing);
    world.settle().expect("quiet");
    let state = world.forge().forge.issue(REPOSITORY, 1).map(|issue| issue.state);
    assert_eq!(state, Some(State::Closed), "it is still there");
    assert_eq!(world.all::<Issue>()[0].phase(), "Closed");
    let audit = block_on(world.store.list(&Query::new(Kind::AuditEvent))).expect("readable").items;
    let told = audit.iter().map(|stored| String::from_utf8_lossy(&stored.body).into_owned());
    let told: Vec<_> = told.filter(|text| text.contains("RemovalCloses")).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("closed instead") && told[0].contains("alice"), "{}", told[0]);
}

#[test]
fn s4_the_policy_and_a_person_are_asked_first() {
    let refusing = world("bidirectional");
    let mut policy: Loaded<ExternalBackendSyncPolicy> =
        block_on(get(refusing.store.as_ref(), NAMESPACE, "policy")).expect("readable").expect("there");
    policy.change().spec.write_policy.denied_operations = [Operation::DeleteComment].into();
    let mut changes = Changes::at(start());
    changes.put(&policy).expect("JSON");
    block_on(changes.commit(refusing.store.as_ref())).expect("written");
    let refused = remove(&refusing, &comment(&refusing));
    assert!(matches!(refused, Err(DriverError::Plan(PlanError::Denied { .. }))), "{refused:?}");

    let asking = world("reviewed-write");
    assert_eq!(remove(&asking, &comment(&asking)).expect("accepted"), Removal::Deleting);
    for _ in 0..4 {
        asking.pass().expect("the store is there");
        asking.pass_time(1);
    }
    assert_eq!(asking.all::<ExternalWriteIntent>()[0].phase(), "PendingApproval");
    assert_eq!(asking.forge().forge.comments(REPOSITORY, 1).len(), 1);
}

#[test]
fn s4_a_newer_word_from_there_does_not_take_the_wish_back() {
    // It is drift, which would be brought in order otherwise.
    let world = world("krate-owned");
    let id = world.forge().forge.comments(REPOSITORY, 1)[0].id;
    assert_eq!(remove(&world, &comment(&world)).expect("accepted"), Removal::Deleting);
    let at = start() + chrono::TimeDelta::seconds(6);
    world.forge().forge.by("bob", at).edit_comment(REPOSITORY, id, "Edited there").expect("edited");
    world.deliver();
    world.settle().expect("quiet");
    assert!(world.forge().forge.comments(REPOSITORY, 1).is_empty());
    assert_eq!(writes(&world).len(), 1, "{:?}", writes(&world));
}

#[test]
fn s4_what_no_provider_has_goes_at_once() {
    let world = World::new(1, Faults::none(), "read-only");
    let about = ObjectRef::new(Kind::Issue.as_str(), "unbound");
    let local = Comment::at(NAMESPACE, "c1", CommentSpec::new("acme", about, Body::markdown("Text")));
    let object = Local::Comment(local.clone()).to_ref();
    let mut changes = Changes::at(start());
    changes.put(&Loaded::new(local)).expect("JSON");
    block_on(changes.commit(world.store.as_ref())).expect("written");
    assert_eq!(remove(&world, &object).expect("accepted"), Removal::Removed);
    assert!(world.all::<Comment>().is_empty());
    assert!(matches!(remove(&world, &object), Err(DriverError::NotFound { .. })));
}

#[test]
fn r56_what_is_about_an_object_names_it_as_its_owner_and_goes_with_it() {
    let world = world("bidirectional");
    let issue = world.all::<Issue>().remove(0);
    let about = |name: &str| ObjectRef::new(Kind::Issue.as_str(), name);
    let say = |name: &str, subject: &str| {
        let spec = CommentSpec::new("acme", about(subject), Body::markdown("Text"));
        block_on(world.driver.create(Local::Comment(Comment::at(NAMESPACE, name, spec)), &alice())).expect("accepted");
    };
    say("made-here", issue.name());
    world.forge().forge.by("ada", world.clock.now()).comment(REPOSITORY, 1, "Made there").expect("commented");
    world.deliver();
    world.settle().expect("quiet");
    let comments = world.all::<Comment>();
    assert!(comments.len() >= 2, "{comments:?}");
    for comment in comments {
        let owners = comment.metadata.owner_references.clone().unwrap_or_default();
        let named = owners.iter().map(|it| (it.kind.as_str(), it.name.as_str(), Some(&it.uid), it.controller));
        let owner = ("Issue", issue.name(), issue.metadata.uid.as_ref(), Some(true));
        assert_eq!(named.collect::<Vec<_>>(), [owner], "{comment:?}");
        assert!(comment.spec.subject.uid.is_none(), "a person's spec stays as it would be written");
    }

    // What no provider has goes with all that was said about it here, and with nothing else.
    let mut changes = Changes::at(start());
    changes.put(&Loaded::new(Issue::at(NAMESPACE, "local", IssueSpec::new("acme", "Here only")))).expect("JSON");
    block_on(changes.commit(world.store.as_ref())).expect("written");
    say("about-local", "local");
    let before = world.all::<Comment>().len();
    assert_eq!(remove(&world, &about("local")).expect("accepted"), Removal::Removed);
    let left = world.all::<Comment>();
    assert_eq!(left.len(), before - 1);
    assert!(left.iter().all(|comment| comment.spec.subject.name == issue.name()));
}
