//! The sync engine on a simulated forge, one story a test.

use krate_model::kinds::external::{ExternalSyncConflict, ExternalWebhookDelivery, ExternalWriteIntent, Resolution};
use krate_model::kinds::sets::{ActorKind, ResolutionStrategy};
use krate_model::kinds::shared::{Actor, Body, ObjectRef};
use krate_model::kinds::work::{Comment, CommentSpec, Issue, IssueSpec};
use krate_model::{Kind, Resource};
use krate_providers::simulator::{Faults, IssueEdit, NewIssue};
use krate_sync::local::Local;
use krate_tests::world::{NAMESPACE, REPOSITORY, World, block_on};

fn person() -> Actor {
    Actor::new(ActorKind::User, "alice")
}

fn world() -> World {
    World::new(1, Faults::none(), "bidirectional")
}

fn only_issue(world: &World) -> Issue {
    let mut issues = world.all::<Issue>();
    assert_eq!(issues.len(), 1, "{issues:#?}");
    issues.remove(0)
}

fn edit(world: &World, issue: &Issue, change: impl Fn(&mut IssueSpec) + Sync) {
    let reference = ObjectRef::new(Kind::Issue.as_str(), issue.name());
    let apply = |local: &mut Local| {
        if let Local::Issue(issue) = local {
            change(&mut issue.spec);
        }
    };
    block_on(world.driver.edit(NAMESPACE, &reference, &person(), &apply)).expect("the edit is accepted");
}

fn open_one(world: &World) {
    let now = krate_tests::world::start();
    world.forge().forge.by("ada", now).open_issue(REPOSITORY, NewIssue::titled("Crash").label("bug")).expect("opened");
}

#[test]
fn s10_a_webhook_becomes_a_projection_with_its_envelope() {
    let world = world();
    open_one(&world);
    assert_eq!(world.deliver(), 3, "ping, opened and labeled are acknowledged");
    world.settle().expect("quiet");
    let issue = only_issue(&world);
    assert_eq!(issue.spec.title, "Crash");
    let external = issue.status.as_ref().and_then(|status| status.external.as_ref()).expect("an envelope (S5)");
    assert_eq!(external.native_number, Some(1));
    let deliveries = world.all::<ExternalWebhookDelivery>();
    assert!(deliveries.iter().all(|delivery| delivery.phase() == "Succeeded"), "{deliveries:#?}");
}

#[test]
fn s11_the_same_deliveries_again_change_nothing() {
    let world = world();
    open_one(&world);
    let deliveries: Vec<_> = world.forge().forge.deliveries().cloned().collect();
    deliveries.iter().for_each(|delivery| assert!(world.deliver_one(delivery)));
    world.settle().expect("quiet");
    let (before, count) = (only_issue(&world), world.all::<ExternalWebhookDelivery>().len());
    deliveries.iter().for_each(|delivery| assert!(world.deliver_one(delivery)));
    world.settle().expect("quiet");
    assert_eq!(only_issue(&world), before);
    assert_eq!(world.all::<ExternalWebhookDelivery>().len(), count);
}

#[test]
fn s34_a_local_edit_reaches_the_provider_once_and_its_echo_changes_nothing() {
    let world = world();
    open_one(&world);
    world.deliver();
    world.settle().expect("quiet");
    world.pass_time(5);
    edit(&world, &only_issue(&world), |spec| spec.title = "Crash on start".to_owned());
    world.settle().expect("quiet");
    assert_eq!(world.forge().forge.issue(REPOSITORY, 1).expect("there").title, "Crash on start");
    let writes = world.forge().forge.writes().values().sum::<u64>();
    world.deliver();
    world.settle().expect("quiet");
    assert_eq!(world.forge().forge.writes().values().sum::<u64>(), writes, "S20: the echo is not written again");
    let intents = world.all::<ExternalWriteIntent>();
    assert_eq!(intents.len(), 1, "{intents:#?}");
    assert_eq!(intents[0].phase(), "Succeeded");
    assert!(intents[0].status.as_ref().is_some_and(|status| status.confirmation.is_some()), "S35");
    assert!(world.all::<ExternalSyncConflict>().is_empty());
}

#[test]
fn s27_both_edit_the_title_neither_is_overwritten_and_a_person_decides() {
    let world = world();
    open_one(&world);
    world.deliver();
    world.settle().expect("quiet");
    world.pass_time(5);
    let now = krate_tests::world::start() + chrono::TimeDelta::seconds(5);
    world
        .forge()
        .forge
        .by("bob", now)
        .edit_issue(REPOSITORY, 1, IssueEdit { title: Some("Theirs".into()), ..IssueEdit::default() })
        .expect("edited");
    edit(&world, &only_issue(&world), |spec| {
        spec.title = "Ours".to_owned();
        spec.labels.insert("ui".to_owned());
    });
    world.settle().expect("quiet");
    world.deliver();
    world.settle().expect("quiet");
    assert_eq!(world.forge().forge.issue(REPOSITORY, 1).expect("there").title, "Theirs");
    assert_eq!(only_issue(&world).spec.title, "Ours");
    let labels: Vec<String> = world.forge().forge.label_names(REPOSITORY, 1).into_iter().map(str::to_owned).collect();
    assert!(labels.contains(&"ui".to_owned()), "fields without conflict keep syncing: {labels:?}");
    let conflicts = world.all::<ExternalSyncConflict>();
    assert_eq!(conflicts.len(), 1, "{conflicts:#?}");
    let conflict = &conflicts[0];
    assert_eq!((conflict.spec.field_path.as_str(), conflict.phase()), ("spec.title", "Open"));

    let resolution = Resolution {
        strategy: ResolutionStrategy::PreferKrate,
        value: None,
        seen_versions: conflict.spec.versions.clone(),
        comment: None,
    };
    block_on(world.driver.resolve(NAMESPACE, conflict.name(), resolution, &person())).expect("accepted");
    world.settle().expect("quiet");
    assert_eq!(world.forge().forge.issue(REPOSITORY, 1).expect("there").title, "Ours");
    assert_eq!(world.all::<ExternalSyncConflict>()[0].phase(), "Resolved");
}

#[test]
fn s33_an_issue_and_a_comment_made_here_are_made_there_once() {
    let world = world();
    world.settle().expect("quiet");
    let mut spec = IssueSpec::new("acme", "Made here");
    spec.repository = Some("site".to_owned());
    spec.body = Some(Body::markdown("Text"));
    let issue = Issue::at(NAMESPACE, "first", spec);
    block_on(world.driver.create(Local::Issue(issue), &person())).expect("accepted");
    world.settle().expect("quiet");
    world.deliver();
    world.settle().expect("quiet");
    let issue = only_issue(&world);
    assert_eq!(issue.name(), "first", "R36: it keeps its name");
    assert_eq!(issue.status.as_ref().and_then(|s| s.external.as_ref()).and_then(|e| e.native_number), Some(1));
    assert_eq!(issue.spec.body.as_ref().map(|body| body.markdown.as_str()), Some("Text"));

    let about = ObjectRef::new(Kind::Issue.as_str(), "first");
    let comment = Comment::at(NAMESPACE, "c1", CommentSpec::new("acme", about, Body::markdown("Here too")));
    block_on(world.driver.create(Local::Comment(comment), &person())).expect("accepted");
    world.settle().expect("quiet");
    world.deliver();
    world.settle().expect("quiet");
    assert_eq!(world.forge().forge.comments(REPOSITORY, 1).len(), 1);
    let comments = world.all::<Comment>();
    assert_eq!(comments.len(), 1, "{comments:#?}");
    assert_eq!(comments[0].name(), "c1");
    // Whoever has the request has its key: nothing else went into it.
    let intents = world.all::<ExternalWriteIntent>();
    assert_eq!(intents.len(), 2);
    for intent in intents {
        let spec = serde_json::to_value(&intent.spec).expect("JSON");
        let part = |name: &str| spec[name].clone();
        let request = serde_json::json!({
            "organization": part("organizationRef"), "provider": part("providerRef"), "binding": part("bindingRef"),
            "interface": part("interface"), "operation": part("operation"), "nativeTarget": part("nativeTarget"),
            "target": part("target"), "payload": part("payload"), "desiredGeneration": part("desiredGeneration"),
        });
        assert_eq!(krate_model::key::key_of_json(&request), Ok(intent.spec.idempotency_key), "{request}");
    }
}

#[test]
fn s19_a_complete_backfill_alone_shows_everything() {
    let world = world();
    open_one(&world);
    {
        let now = krate_tests::world::start();
        let mut network = world.forge();
        network.forge.by("ada", now).comment(REPOSITORY, 1, "Seen it too").expect("commented");
    }
    world.settle().expect("quiet");
    let shown = world.shown();
    assert_eq!(shown.len(), 2, "{shown:#?}");
}

#[test]
fn s34_a_write_to_a_renamed_repository_reaches_it_and_buries_nothing() {
    let world = world();
    open_one(&world);
    world.deliver();
    world.settle().expect("quiet");
    let now = krate_tests::world::start() + chrono::TimeDelta::seconds(5);
    world.forge().forge.by("ada", now).rename_repository(REPOSITORY, "elsewhere").expect("renamed");
    // The webhook about it is lost: only the repository's native id still leads there (S5).
    world.forge().forge.take_deliveries();
    world.pass_time(5);
    edit(&world, &only_issue(&world), |spec| spec.title = "Moved".to_owned());
    for _ in 0..3 {
        world.pass_time(24 * 60 * 60);
        world.settle().expect("quiet");
    }
    assert_eq!(only_issue(&world).spec.title, "Moved");
    assert_eq!(world.shown().len(), 1, "the issue is not gone: {:#?}", world.shown());
    let phases: Vec<_> = world.all::<ExternalWriteIntent>().iter().map(|intent| intent.phase().to_owned()).collect();
    assert_eq!(phases, ["Succeeded"]);
    assert_eq!(world.forge().forge.issue("acme/elsewhere", 1).expect("there").title, "Moved");
}
