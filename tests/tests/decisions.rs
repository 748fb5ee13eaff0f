//! What persons decide, on the simulated forge: approvals, resolutions, and edits of what is gone.

use krate_model::kinds::external::{ExternalSyncConflict, ExternalWriteIntent, Resolution};
use krate_model::kinds::policy::{AgentApproval, ApprovalDecision, ApprovalVerdict};
use krate_model::kinds::sets::{ActorKind, ResolutionStrategy};
use krate_model::kinds::shared::{Actor, Body, ObjectRef};
use krate_model::kinds::work::{Comment, CommentSpec, Issue, IssueSpec};
use krate_model::{Kind, Resource};
use krate_providers::simulator::{Faults, IssueEdit, NewIssue};
use krate_sync::driver::{Clock, DriverError};
use krate_sync::local::Local;
use krate_sync::records;
use krate_tests::world::{Crash, NAMESPACE, REPOSITORY, World, block_on, start};

fn person() -> Actor {
    Actor::new(ActorKind::User, "alice")
}

fn world(mode: &str) -> World {
    let world = World::new(1, Faults::none(), mode);
    world.forge().forge.by("ada", start()).open_issue(REPOSITORY, NewIssue::titled("Crash")).expect("opened");
    world.deliver();
    world.settle().expect("quiet");
    world.pass_time(5);
    world
}

fn issue(world: &World) -> Issue {
    world.all::<Issue>().pop().expect("an issue")
}

fn edit(world: &World, change: impl Fn(&mut IssueSpec) + Sync) -> Result<Local, DriverError> {
    let reference = ObjectRef::new(Kind::Issue.as_str(), issue(world).name());
    let apply = |local: &mut Local| {
        if let Local::Issue(issue) = local {
            change(&mut issue.spec);
        }
    };
    block_on(world.driver.edit(NAMESPACE, &reference, &person(), &apply))
}

fn only<T: Resource>(world: &World) -> T {
    let mut all = world.all::<T>();
    assert_eq!(all.len(), 1, "one {}", T::KIND);
    all.remove(0)
}

fn decide(world: &World, verdict: ApprovalVerdict) -> Result<(), DriverError> {
    decide_as(world, Actor::new(ActorKind::User, "bea"), verdict)
}

fn decide_as(world: &World, by: Actor, verdict: ApprovalVerdict) -> Result<(), DriverError> {
    let name = only::<AgentApproval>(world).name().to_owned();
    let decision = ApprovalDecision { by, at: world.clock.now(), verdict, reason: None };
    block_on(async {
        let approval = records::get::<AgentApproval>(world.store.as_ref(), NAMESPACE, &name).await?;
        world.driver.decide(approval.expect("it is there"), decision).await
    })
}

#[test]
fn s18_an_edit_of_a_deleted_object_is_refused_and_changes_nothing() {
    let world = world("bidirectional");
    let now = world.clock.now();
    world.forge().forge.by("ada", now).delete_issue(REPOSITORY, 1).expect("deleted");
    world.deliver();
    world.settle().expect("quiet");
    let before = issue(&world);
    let refused = edit(&world, |spec| spec.title = "Too late".to_owned()).expect_err("refused");
    assert_eq!(refused.to_string(), "spec.title: the object was deleted at gh; changes of it have nowhere to go (S18)");
    assert_eq!(issue(&world), before);
    let about = ObjectRef::new(Kind::Issue.as_str(), before.name());
    let comment = Comment::at(NAMESPACE, "c1", CommentSpec::new("acme", about, Body::markdown("Still?")));
    let refused = block_on(world.driver.create(Local::Comment(comment), &person())).expect_err("refused");
    assert!(refused.to_string().starts_with("spec.subject: "), "{refused}");
    assert!(world.all::<Comment>().is_empty() && world.all::<ExternalWriteIntent>().is_empty());
}

#[test]
fn s32_a_decision_and_its_effect_are_one_commit_wherever_the_process_dies() {
    for after in [false, true] {
        let world = world("reviewed-write");
        edit(&world, |spec| spec.title = "Approved".to_owned()).expect("accepted");
        world.settle().expect("quiet");
        assert_eq!(only::<ExternalWriteIntent>(&world).phase(), "PendingApproval");
        world.plan_crash(Some(Crash { commit: 0, after }));
        decide(&world, ApprovalVerdict::Approved).expect_err("the process died");
        world.restart();
        let (approval, intent) = (only::<AgentApproval>(&world), only::<ExternalWriteIntent>(&world));
        let expected = if after { ("Used", "ReadyToSend") } else { ("Pending", "PendingApproval") };
        assert_eq!((approval.phase(), intent.phase()), expected);
        assert_eq!(approval.status.as_ref().is_some_and(|status| !status.decisions.is_empty()), after);
        if !after {
            decide(&world, ApprovalVerdict::Approved).expect("once more");
        }
        world.settle().expect("quiet");
        assert_eq!(world.forge().forge.issue(REPOSITORY, 1).expect("there").title, "Approved");
        decide(&world, ApprovalVerdict::Denied).expect_err("it was decided already (S40)");
    }
}

#[test]
fn p29_p30_only_another_person_lets_a_write_go() {
    let world = world("reviewed-write");
    edit(&world, |spec| spec.title = "Approved".to_owned()).expect("accepted");
    world.settle().expect("quiet");
    for by in [person(), Actor::new(ActorKind::Agent, "fixer"), Actor::new(ActorKind::Controller, "sync")] {
        let refused = decide_as(&world, by.clone(), ApprovalVerdict::Approved).expect_err("refused");
        assert!(matches!(refused, DriverError::Approval(_)), "{by:?}: {refused}");
        world.settle().expect("quiet");
        assert_eq!(only::<ExternalWriteIntent>(&world).phase(), "PendingApproval");
        assert!(only::<AgentApproval>(&world).status.is_none_or(|status| status.decisions.is_empty()));
    }
    decide(&world, ApprovalVerdict::Approved).expect("another person");
    world.settle().expect("quiet");
    assert_eq!(world.forge().forge.issue(REPOSITORY, 1).expect("there").title, "Approved");
}

#[test]
fn s32_an_approval_that_nobody_answers_ends_with_its_write() {
    let world = world("reviewed-write");
    edit(&world, |spec| spec.title = "Unanswered".to_owned()).expect("accepted");
    world.settle().expect("quiet");
    world.pass_time(24 * 3_600 + 1);
    world.settle().expect("quiet");
    assert_eq!(only::<ExternalWriteIntent>(&world).phase(), "Rejected");
    assert_eq!(only::<AgentApproval>(&world).phase(), "Expired");
    decide(&world, ApprovalVerdict::Approved).expect_err("too late");
    assert_eq!(world.forge().forge.issue(REPOSITORY, 1).expect("there").title, "Crash");
}

#[test]
fn s32_an_approval_for_a_wish_that_changed_is_stale() {
    let world = world("reviewed-write");
    edit(&world, |spec| spec.title = "First wish".to_owned()).expect("accepted");
    edit(&world, |spec| spec.title = "Second wish".to_owned()).expect("accepted");
    let mut phases: Vec<String> = world.all::<AgentApproval>().iter().map(|a| a.phase().to_owned()).collect();
    phases.sort();
    assert_eq!(phases, ["Pending", "Stale"]);
}

#[test]
fn s27_a_resolution_that_cannot_be_carried_out_leaves_the_conflict_open_and_says_why() {
    let world = world("bidirectional");
    let now = world.clock.now();
    let title = IssueEdit { title: Some("Theirs".into()), ..IssueEdit::default() };
    world.forge().forge.by("bob", now).edit_issue(REPOSITORY, 1, title).expect("edited");
    edit(&world, |spec| spec.title = "Ours".to_owned()).expect("accepted");
    world.settle().expect("quiet");
    let conflict = only::<ExternalSyncConflict>(&world);
    // Something shaped like a credential never goes out (S38).
    let secret = serde_json::json!(format!("token ghp_{}", "a1B2".repeat(9)));
    let resolution = Resolution {
        strategy: ResolutionStrategy::Manual,
        value: Some(krate_model::kinds::shared::Value::of(Some(&secret), 1024).expect("JSON")),
        seen_versions: conflict.spec.versions.clone(),
        comment: None,
    };
    block_on(world.driver.resolve(NAMESPACE, conflict.name(), resolution, &person())).expect("taken in");
    world.settle().expect("quiet: it is not tried for ever");
    let conflict = only::<ExternalSyncConflict>(&world);
    assert_eq!(conflict.phase(), "Open");
    let error = conflict.status.as_ref().and_then(|status| status.error.as_ref()).expect("it says why");
    assert!(error.message.contains("shaped like a credential"), "{error:?}");
    assert_eq!(issue(&world).spec.title, "Ours");
}
