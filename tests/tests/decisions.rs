//! What persons decide, on the simulated forge: approvals, resolutions, and edits of what is gone.

use krate_model::kinds::external::{
    ExternalBackendBinding, ExternalBackendProvider, ExternalBackendSyncPolicy, ExternalSyncConflict,
    ExternalWebhookDelivery, ExternalWriteIntent, ExternalWriteIntentPhase, IntentCancel, LossyWrites, Resolution,
    SeenVersions, WarningCode,
};
use krate_model::kinds::policy::{AgentApproval, ApprovalDecision, ApprovalVerdict, WithdrawCommand};
use krate_model::kinds::sets::{ActorKind, ConflictReason, Mode, Operation, ResolutionStrategy};
use krate_model::kinds::shared::{Actor, Body, ObjectRef};
use krate_model::kinds::work::{Comment, CommentSpec, Issue, IssueSpec};
use krate_model::store::{Query, Store};
use krate_model::{Kind, Resource};
use krate_policy::approval::Refusal;
use krate_providers::simulator::{Faults, IssueEdit, NewIssue};
use krate_sync::driver::{Clock, DriverError};
use krate_sync::local::Local;
use krate_sync::merge::FieldValue;
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
    edit_by(world, &person(), change)
}

fn edit_by(world: &World, by: &Actor, change: impl Fn(&mut IssueSpec) + Sync) -> Result<Local, DriverError> {
    let reference = ObjectRef::new(Kind::Issue.as_str(), issue(world).name());
    let apply = |local: &mut Local| {
        if let Local::Issue(issue) = local {
            change(&mut issue.spec);
        }
    };
    block_on(world.driver.edit(NAMESPACE, &reference, by, &apply))
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
    decide_named(world, &name, by, verdict)
}

fn decide_named(world: &World, name: &str, by: Actor, verdict: ApprovalVerdict) -> Result<(), DriverError> {
    let decision = ApprovalDecision { by, at: world.clock.now(), verdict, reason: None };
    block_on(async {
        let approval = records::get::<AgentApproval>(world.store.as_ref(), NAMESPACE, name).await?;
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
fn p30_nobody_approves_a_write_that_holds_an_edit_of_theirs() {
    let user = |name: &str| Actor::new(ActorKind::User, name);
    let world = world("reviewed-write");
    edit_by(&world, &user("ada"), |spec| spec.title = "Ada's".to_owned()).expect("accepted");
    edit_by(&world, &user("bob"), |spec| spec.body = Some(Body::markdown("Bob's"))).expect("accepted");
    edit_by(&world, &user("cid"), |spec| spec.title = "Cid's".to_owned()).expect("accepted");
    let waiting = world.all::<AgentApproval>().into_iter().find(|it| it.phase() == "Pending").expect("it asks");
    for name in ["ada", "bob", "cid"] {
        let refused = decide_named(&world, waiting.name(), user(name), ApprovalVerdict::Approved);
        let refused = refused.expect_err("an edit of theirs is in it, or was");
        assert!(matches!(refused, DriverError::Approval(Refusal::SelfApproval { .. })), "{name}: {refused}");
    }
    decide_named(&world, waiting.name(), user("bea"), ApprovalVerdict::Approved).expect("nothing of hers is in it");
    world.settle().expect("quiet");
    assert_eq!(title_there(&world), "Cid's");
}

#[test]
fn s32_p32_a_write_waits_for_as_many_persons_as_its_policy_says() {
    let world = world("reviewed-write");
    world.change(|policy: &mut ExternalBackendSyncPolicy| {
        let rule = serde_json::json!([{"class": "write-back", "quorum": 2, "approvers": {"teams": ["crew"]}}]);
        policy.spec.write_policy.approvals = serde_json::from_value(rule).expect("a rule");
    });
    edit(&world, |spec| spec.title = "Approved".to_owned()).expect("accepted");
    world.settle().expect("quiet");
    let terms = only::<AgentApproval>(&world).spec.policy.expect("the terms");
    assert_eq!((terms.quorum, terms.separation), (2, true));
    assert_eq!(terms.approvers.expect("who").teams, ["crew"]);
    // A policy that is loosened afterwards changes nothing about what was asked.
    world.change(|policy: &mut ExternalBackendSyncPolicy| policy.spec.write_policy.approvals.clear());
    let user = |name: &str| Actor::new(ActorKind::User, name);
    decide_as(&world, user("bea"), ApprovalVerdict::Approved).expect("the first");
    decide_as(&world, user("bea"), ApprovalVerdict::Approved).expect_err("each counts once");
    world.settle().expect("quiet");
    assert_eq!(only::<ExternalWriteIntent>(&world).phase(), "PendingApproval");
    decide_as(&world, user("cid"), ApprovalVerdict::Approved).expect("the second");
    world.settle().expect("quiet");
    assert_eq!(title_there(&world), "Approved");
}

#[test]
fn p32_an_answer_is_taken_back_by_who_gave_it_until_the_write_was_sent() {
    let bob = || Actor::new(ActorKind::User, "bob");
    let withdraw = |world: &World, name: &str, by: Actor| {
        let found =
            block_on(records::get::<AgentApproval>(world.store.as_ref(), NAMESPACE, name)).expect("it can be read");
        let command = WithdrawCommand { id: "w-1".to_owned(), reason: Some("I looked at the wrong one".to_owned()) };
        block_on(world.driver.withdraw(found.expect("it is there"), command, &by))
    };
    let pending = |world: &World| {
        let mut all = world.all::<AgentApproval>();
        all.retain(|approval| approval.phase() == "Pending");
        all.pop().map(|approval| approval.name().to_owned())
    };
    let world = world("reviewed-write");
    edit(&world, |spec| spec.title = "Ours".to_owned()).expect("accepted");
    let first = pending(&world).expect("it asks");
    let nobodys = withdraw(&world, &first, bob()).expect_err("bob hasn't answered");
    assert!(matches!(nobodys, DriverError::Approval(Refusal::NotAnswered { .. })), "{nobodys}");
    decide_named(&world, &first, bob(), ApprovalVerdict::Approved).expect("another person");
    assert_eq!(only::<ExternalWriteIntent>(&world).phase(), "ReadyToSend");
    let others = withdraw(&world, &first, Actor::new(ActorKind::User, "carol")).expect_err("it is bob's answer");
    assert!(matches!(others, DriverError::Approval(_)), "{others}");
    withdraw(&world, &first, bob()).expect("it wasn't sent");
    assert_eq!(only::<ExternalWriteIntent>(&world).phase(), "PendingApproval");
    world.settle().expect("quiet");
    assert_eq!(title_there(&world), "Crash", "nobody's yes stands");
    let again = pending(&world).expect("it asks anew");
    assert_ne!(again, first);
    let audit = block_on(world.store.list(&Query::new(Kind::AuditEvent).in_namespace(NAMESPACE))).expect("readable");
    let told = audit.items.iter().map(|stored| String::from_utf8_lossy(&stored.body).into_owned());
    let told = told.filter(|event| event.contains("ApprovalWithdrawn")).collect::<String>();
    assert!(told.contains("bob") && told.contains("I looked at the wrong one"), "{told}");
    // Who took it back may give it again: it is another question.
    decide_named(&world, &again, bob(), ApprovalVerdict::Approved).expect("another person");
    world.settle().expect("quiet");
    assert_eq!(title_there(&world), "Ours");
    let sent = withdraw(&world, &again, bob()).expect_err("it is done");
    assert!(matches!(sent, DriverError::NotUnsent { .. }), "{sent}");

    // Of several persons who have to say yes, one takes it back before the last has.
    world.change(|policy: &mut ExternalBackendSyncPolicy| {
        let rule = serde_json::json!([{"class": "write-back", "quorum": 2}]);
        policy.spec.write_policy.approvals = serde_json::from_value(rule).expect("a rule");
    });
    edit(&world, |spec| spec.title = "Ours again".to_owned()).expect("accepted");
    let first = pending(&world).expect("it asks");
    decide_named(&world, &first, bob(), ApprovalVerdict::Approved).expect("one of two");
    withdraw(&world, &first, bob()).expect("it wasn't sent");
    let again = pending(&world).expect("it asks anew");
    decide_named(&world, &again, Actor::new(ActorKind::User, "carol"), ApprovalVerdict::Approved).expect("one of two");
    assert_eq!(pending(&world).as_deref(), Some(again.as_str()), "bob's yes is void");
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
    assert_eq!(title_there(&world), "Crash");
    // Nobody has decided against it: the edit stays here, and is asked about with the next one.
    assert_eq!(issue(&world).spec.title, "Unanswered");
    edit(&world, |spec| spec.body = Some(Body::markdown("Text"))).expect("accepted");
    world.settle().expect("quiet");
    assert_eq!(title_there(&world), "Crash");
    approve_what_waits(&world);
    world.settle().expect("quiet");
    assert_eq!(title_there(&world), "Unanswered");
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

/// The one approval that nobody has answered yet is approved by another person than the one who asked.
fn approve_what_waits(world: &World) {
    let waiting: Vec<AgentApproval> =
        world.all::<AgentApproval>().into_iter().filter(|approval| approval.phase() == "Pending").collect();
    assert_eq!(waiting.len(), 1, "one waits");
    decide_named(world, waiting[0].name(), Actor::new(ActorKind::User, "bea"), ApprovalVerdict::Approved)
        .expect("approved");
}

#[test]
fn s32_an_approval_is_void_where_another_credential_is_to_send_the_write() {
    for sent_before in [false, true] {
        let world = world("reviewed-write");
        edit(&world, |spec| spec.title = "Approved".to_owned()).expect("accepted");
        let asked = only::<ExternalWriteIntent>(&world).spec;
        assert_eq!(asked.credential.expect("who sends it").account.as_deref(), Some("secret:gh"));
        decide(&world, ApprovalVerdict::Approved).expect("approved");
        if sent_before {
            world.change(|intent: &mut ExternalWriteIntent| {
                let status = intent.status_mut();
                status.phase = ExternalWriteIntentPhase::Retrying;
                (status.attempts, status.verify_first) = (1, true);
            });
        }
        world.change(|provider: &mut ExternalBackendProvider| {
            "other-token".clone_into(&mut provider.spec.auth_ref.secret_ref.name);
        });
        world.settle().expect("quiet");
        assert_eq!(title_there(&world), "Crash", "nobody has approved that the other one writes it");
        if sent_before {
            // What may have been written once is looked at by a person first.
            let conflict = only::<ExternalSyncConflict>(&world);
            assert_eq!(conflict.spec.reason, ConflictReason::PreconditionFailed);
            let resolution = Resolution {
                strategy: ResolutionStrategy::PreferKrate,
                value: None,
                seen_versions: conflict.spec.versions.clone(),
                comment: None,
            };
            block_on(world.driver.resolve(NAMESPACE, conflict.name(), resolution, &person())).expect("decided");
            world.settle().expect("quiet");
        }
        let again = only::<ExternalWriteIntent>(&world);
        assert_eq!(again.phase(), "PendingApproval");
        assert_ne!(again.spec.request_digest, asked.request_digest);
        assert_eq!(again.spec.credential.expect("who sends it").account.as_deref(), Some("secret:other-token"));
        approve_what_waits(&world);
        world.settle().expect("quiet");
        assert_eq!(title_there(&world), "Approved");
    }
}

#[test]
fn s6_a_write_that_cannot_carry_all_says_so_or_is_refused_as_the_policy_has_it() {
    let assign = |spec: &mut IssueSpec| spec.assignees = ["alice".to_owned()].into_iter().collect();
    let both = |spec: &mut IssueSpec| {
        assign(spec);
        spec.title = "Ours".to_owned();
    };
    let made = || {
        let mut spec = IssueSpec::new("acme", "Made here");
        spec.repository = Some("site".to_owned());
        assign(&mut spec);
        Local::Issue(Issue::at(NAMESPACE, "made", spec))
    };
    let refused = "spec.assignees: gh has no operation that writes it";
    let world = world("bidirectional");
    assert_eq!(edit(&world, both).expect_err("refused").to_string(), refused);
    assert_eq!(block_on(world.driver.create(made(), &person())).expect_err("refused").to_string(), refused);

    world.change(|policy: &mut ExternalBackendSyncPolicy| {
        policy.spec.conflict_policy.lossy_writes = LossyWrites::Warn;
    });
    assert_eq!(edit(&world, assign).expect_err("nothing of it would be written").to_string(), refused);
    edit(&world, both).expect("accepted");
    block_on(world.driver.create(made(), &person())).expect("accepted");
    let intents = world.all::<ExternalWriteIntent>();
    assert_eq!(intents.len(), 2);
    for intent in &intents {
        // Before it is sent, and after it.
        let warnings = &intent.status.as_ref().expect("a status").warnings;
        assert_eq!(warnings.len(), 1, "{intent:?}");
        assert_eq!((&warnings[0].code, warnings[0].path.as_str()), (&WarningCode::LossyWrite, "spec.assignees"));
    }
    world.settle().expect("quiet");
    assert_eq!(title_there(&world), "Ours");
    let here = world.all::<Issue>().into_iter().find(|issue| issue.spec.title == "Ours").expect("there");
    assert_eq!(here.spec.assignees.len(), 1, "what isn't carried stays here");
    assert!(world.all::<ExternalWriteIntent>().iter().all(|intent| intent.phase() == "Succeeded"));
}

#[test]
fn s27_a_write_of_what_the_provider_has_already_is_agreed_on() {
    let world = world("bidirectional");
    edit(&world, |spec| spec.title = "Ours".to_owned()).expect("accepted");
    world.settle().expect("quiet");
    // Within the second of that write: it may have been written over, so that somebody decides, and what is decided is there already.
    retitle_there(&world, "Theirs");
    edit(&world, |spec| spec.title = "Mine".to_owned()).expect("accepted");
    world.settle().expect("quiet");
    prefer(&world, &open(&world).remove(0), ResolutionStrategy::PreferExternal);
    world.pass_time(60);
    retitle_there(&world, "Theirs again");
    world.deliver();
    world.settle().expect("quiet");
    assert_eq!((issue(&world).spec.title.as_str(), open(&world).len()), ("Theirs again", 0));
}

#[test]
fn s6_what_a_write_left_out_holds_up_nothing_later() {
    let world = world("bidirectional");
    let policy = |to: LossyWrites| {
        world.change(|policy: &mut ExternalBackendSyncPolicy| policy.spec.conflict_policy.lossy_writes = to.clone());
    };
    policy(LossyWrites::Warn);
    // A field that GitHub never shows: no observation can say that it differs.
    let rank = |spec: &mut IssueSpec| spec.priority = Some("high".to_owned());
    edit(&world, |spec| spec.title = "Ours".to_owned()).expect("accepted");
    let warnings = |world: &World| only::<ExternalWriteIntent>(world).status.expect("a status").warnings.len();
    assert_eq!(warnings(&world), 0);
    edit(&world, |spec| {
        rank(spec);
        spec.title = "Ours".to_owned();
    })
    .expect("the title goes");
    assert_eq!(warnings(&world), 1, "the same write now says what it doesn't carry");
    world.settle().expect("quiet");
    // What its provider tells, and what a person decides about another field, goes on.
    world.pass_time(60);
    retitle_there(&world, "Theirs");
    edit(&world, |spec| spec.title = "Mine".to_owned()).expect("accepted");
    world.settle().expect("quiet");
    prefer(&world, &open(&world).remove(0), ResolutionStrategy::PreferExternal);
    assert_eq!((issue(&world).spec.title.as_str(), issue(&world).spec.priority.as_deref()), ("Theirs", Some("high")));
    // Also once the policy lets no such write go any more.
    policy(LossyWrites::Refuse);
    world.pass_time(60);
    retitle_there(&world, "Theirs again");
    world.deliver();
    world.settle().expect("quiet");
    assert_eq!(issue(&world).spec.title, "Theirs again");
    let told = edit(&world, |spec| spec.priority = Some("low".to_owned())).expect_err("refused");
    assert!(told.to_string().contains("gh has no operation that writes it"), "{told}");
}

#[test]
fn s39_what_waits_is_asked_about_once_policy_or_mode_let_a_person_look_first() {
    let agent = Actor::new(ActorKind::Agent, "fixer");
    for is_agents in [true, false] {
        let world = world("bidirectional");
        let by = if is_agents { agent.clone() } else { person() };
        world.change(|policy: &mut ExternalBackendSyncPolicy| {
            let trusted = serde_json::json!([{"agent": "fixer", "operations": ["updateIssue"]}]);
            policy.spec.write_policy.trusted_agents = serde_json::from_value(trusted).expect("entries");
        });
        edit_by(&world, &by, |spec| spec.title = "Ours".to_owned()).expect("accepted");
        assert_eq!(only::<ExternalWriteIntent>(&world).phase(), "ReadyToSend");
        if is_agents {
            world.change(|policy: &mut ExternalBackendSyncPolicy| policy.spec.write_policy.trusted_agents.clear());
        } else {
            world.change(|binding: &mut ExternalBackendBinding| {
                for interface in &mut binding.spec.interfaces {
                    interface.mode = Mode::ReviewedWrite;
                }
            });
        }
        world.settle().expect("quiet");
        assert_eq!(title_there(&world), "Crash", "nobody has looked at it");
        let waits = only::<ExternalWriteIntent>(&world);
        assert_eq!((waits.phase(), waits.spec.approval_policy.required), ("PendingApproval", true));
        approve_what_waits(&world);
        world.settle().expect("quiet");
        assert_eq!(title_there(&world), "Ours");
    }
}

#[test]
fn r37_a_write_that_is_cancelled_is_never_sent_and_its_fields_are_as_they_were() {
    let cancel = |world: &World, name: &str| {
        let command = IntentCancel { id: "alice-1".to_owned(), reason: Some("changed my mind".to_owned()) };
        block_on(world.driver.cancel(NAMESPACE, name, command))
    };
    for mode in ["reviewed-write", "bidirectional"] {
        let world = world(mode);
        edit(&world, |spec| spec.title = "Ours".to_owned()).expect("accepted");
        let intent = only::<ExternalWriteIntent>(&world).name().to_owned();
        let generation = issue(&world).metadata.generation;
        cancel(&world, &intent).expect("accepted");
        world.settle().expect("quiet");
        assert_eq!(title_there(&world), "Crash", "{mode}");
        assert_eq!(issue(&world).spec.title, "Crash", "{mode}");
        assert!(issue(&world).metadata.generation > generation, "{mode}: the spec has changed");
        assert_eq!(only::<ExternalWriteIntent>(&world).phase(), "Rejected");
        for approval in world.all::<AgentApproval>() {
            assert_eq!(approval.phase(), "Stale", "nobody is asked any more");
        }
        edit(&world, |spec| spec.title = "Ours again".to_owned()).expect("accepted");
        if mode == "reviewed-write" {
            approve_what_waits(&world);
        }
        world.settle().expect("quiet");
        assert_eq!(title_there(&world), "Ours again", "{mode}");
        let sent = world.all::<ExternalWriteIntent>().into_iter().find(|it| it.phase() == "Succeeded").expect("sent");
        let refused = cancel(&world, sent.name()).expect_err("it was sent");
        assert!(matches!(refused, DriverError::NotUnsent { .. }), "{refused}");
    }
}

#[test]
fn s39_p33_what_was_denied_or_nobody_answered_is_not_sent_along_with_the_next_edit() {
    let agent = Actor::new(ActorKind::Agent, "fixer");
    for is_denied in [true, false] {
        let world = world("bidirectional");
        edit_by(&world, &agent, |spec| spec.title = "By an agent".to_owned()).expect("accepted");
        if is_denied {
            decide(&world, ApprovalVerdict::Denied).expect("denied");
        } else {
            world.pass_time(24 * 3_600 + 1);
        }
        world.settle().expect("quiet");
        assert_eq!(only::<ExternalWriteIntent>(&world).phase(), "Rejected");
        assert_eq!(issue(&world).spec.title, "Crash", "its fields are as they were");
        edit(&world, |spec| spec.body = Some(Body::markdown("By a person"))).expect("accepted");
        world.settle().expect("quiet");
        let there = world.forge().forge.issue(REPOSITORY, 1).expect("there").clone();
        assert_eq!((there.title.as_str(), there.body.as_deref()), ("Crash", Some("By a person")));
    }
}

#[test]
fn s39_p30_what_a_conflict_takes_out_of_a_question_is_asked_again_in_the_same_name() {
    for by in [Actor::new(ActorKind::Agent, "fixer"), person()] {
        let mode = if by == person() { "reviewed-write" } else { "bidirectional" };
        let world = world(mode);
        edit_by(&world, &by, |spec| {
            spec.title = "Ours".to_owned();
            spec.body = Some(Body::markdown("Ours"));
        })
        .expect("accepted");
        retitle_there(&world, "Theirs");
        world.settle().expect("quiet");
        let there = world.forge().forge.issue(REPOSITORY, 1).expect("there").clone();
        assert_eq!((there.title.as_str(), there.body.as_deref()), ("Theirs", None), "{by:?}: nobody has approved");
        let waits: Vec<AgentApproval> =
            world.all::<AgentApproval>().into_iter().filter(|it| it.phase() == "Pending").collect();
        assert_eq!(waits.len(), 1, "the rest is asked about anew");
        assert_eq!(waits[0].spec.requested_by, by, "and it is still the wish of who made it");
        let own = decide_named(&world, waits[0].name(), person(), ApprovalVerdict::Approved);
        assert_eq!(own.is_err(), by == person(), "nobody approves their own");
        if own.is_err() {
            approve_what_waits(&world);
        }
        world.settle().expect("quiet");
        let there = world.forge().forge.issue(REPOSITORY, 1).expect("there").clone();
        assert_eq!((there.title.as_str(), there.body.as_deref()), ("Theirs", Some("Ours")));
    }
}

#[test]
fn r37_cancelling_a_newer_wish_leaves_an_older_one_that_was_sent() {
    let world = world("bidirectional");
    edit(&world, |spec| spec.title = "First".to_owned()).expect("accepted");
    world.change(|intent: &mut ExternalWriteIntent| {
        let status = intent.status_mut();
        status.phase = ExternalWriteIntentPhase::Retrying;
        (status.attempts, status.verify_first) = (1, true);
    });
    edit(&world, |spec| spec.title = "Second".to_owned()).expect("accepted");
    let newer = world.all::<ExternalWriteIntent>().into_iter().find(|it| it.phase() == "ReadyToSend").expect("there");
    let command = IntentCancel { id: "alice-1".to_owned(), reason: None };
    block_on(world.driver.cancel(NAMESPACE, newer.name(), command)).expect("accepted");
    world.settle().expect("quiet");
    assert_eq!((issue(&world).spec.title.as_str(), title_there(&world).as_str()), ("First", "First"));
}

#[test]
fn s29_a_value_that_its_field_cannot_hold_decides_nothing() {
    let world = world("bidirectional");
    let conflict = two_titles(&world);
    for value in [serde_json::json!(5), serde_json::json!(["a"]), serde_json::json!(""), serde_json::Value::Null] {
        let resolution = Resolution {
            strategy: ResolutionStrategy::Manual,
            value: Some(krate_model::kinds::shared::Value::of(Some(&value), 1024).expect("JSON")),
            seen_versions: conflict.spec.versions.clone(),
            comment: None,
        };
        let refused = block_on(world.driver.resolve(NAMESPACE, conflict.name(), resolution, &person()));
        let refused = refused.expect_err("no title").to_string();
        assert_eq!(refused, "spec.title: this is no value that the field can have", "{value}");
    }
    world.settle().expect("quiet");
    assert_eq!((issue(&world).spec.title.as_str(), title_there(&world).as_str()), ("Ours", "Theirs"));
}

#[test]
fn s6_every_field_that_merges_can_be_read_and_set_so_that_no_edit_of_it_is_dropped() {
    let world = world("bidirectional");
    for (change, path) in [
        ((|spec| spec.priority = Some("high".to_owned())) as fn(&mut IssueSpec), "spec.priority"),
        (|spec| spec.workflow_state = Some("doing".to_owned()), "spec.workflowState"),
        (|spec| spec.project = Some("q3".to_owned()), "spec.project"),
        (|spec| spec.milestone = Some("v1".to_owned()), "spec.milestone"),
        (|spec| spec.locked = true, "spec.locked"),
    ] {
        let refused = edit(&world, change).expect_err("GitHub's adapter writes none of them").to_string();
        assert_eq!(refused, format!("{path}: gh has no operation that writes it"));
    }
    let words = serde_json::json!({"state": "closed", "stateReason": "completed"});
    let local = Local::Issue(issue(&world));
    let holds = |path: &str, value: serde_json::Value| local.can_hold(path, &FieldValue::from_owned(value));
    assert!(holds("spec.state", words) && holds("spec.state", "open".into()));
    assert!(!holds("spec.state", "shut".into()) && !holds("spec.state", 1.into()));
    assert!(holds("spec.labels", serde_json::json!(["b", "a"])) && holds("spec.labels", serde_json::json!([])));
    assert!(!holds("spec.labels", "bug".into()) && !holds("spec.labels", serde_json::json!([1])));
    assert!(holds("spec.body.markdown", serde_json::Value::Null) && holds("spec.body.markdown", "".into()));
    assert!(!holds("spec.body.markdown", 5.into()) && !holds("spec.locked", "yes".into()));
}

#[test]
fn s39_an_agents_edit_waits_for_a_person_unless_the_policy_trusts_it_for_that_operation_by_name() {
    let agent = Actor::new(ActorKind::Agent, "fixer");
    let update = serde_json::json!([{"agent": "fixer", "operations": ["updateIssue"]}]);
    let comment = serde_json::json!([{"agent": "fixer", "operations": ["createComment"]}]);
    let other = serde_json::json!([{"agent": "fixer-2", "operations": ["updateIssue"]}]);
    let none = serde_json::json!([]);
    for (mode, trusted, waits) in [
        ("bidirectional", &none, true),
        ("bidirectional", &comment, true),
        ("bidirectional", &other, true),
        ("bidirectional", &update, false),
        ("write-through", &none, true),
        ("write-through", &update, false),
        ("reviewed-write", &update, true),
    ] {
        let world = world(mode);
        world.change(|policy: &mut ExternalBackendSyncPolicy| {
            let entries = serde_json::from_value(trusted.clone()).expect("entries");
            policy.spec.write_policy.trusted_agents = entries;
        });
        edit_by(&world, &agent, |spec| spec.title = "By an agent".to_owned()).expect("accepted");
        world.settle().expect("quiet");
        let seen = if waits { "Crash" } else { "By an agent" };
        assert_eq!(title_there(&world), seen, "{mode} {trusted}");
        if waits {
            // No agent lets it go, not even another one.
            let refused = decide_as(&world, Actor::new(ActorKind::Agent, "reviewer"), ApprovalVerdict::Approved);
            assert!(matches!(refused, Err(DriverError::Approval(_))), "{refused:?}");
            decide(&world, ApprovalVerdict::Approved).expect("a person");
            world.settle().expect("quiet");
            assert_eq!(title_there(&world), "By an agent", "{mode} {trusted}");
        }
    }
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

/// Both sides give the issue a title of their own; the open conflict about it.
fn two_titles(world: &World) -> ExternalSyncConflict {
    retitle_there(world, "Theirs");
    edit(world, |spec| "Ours".clone_into(&mut spec.title)).expect("accepted");
    world.settle().expect("quiet");
    only::<ExternalSyncConflict>(world)
}

fn retitle_there(world: &World, title: &str) {
    let now = world.clock.now();
    world.forge().forge.by("bob", now).edit_issue(REPOSITORY, 1, IssueEdit::new().title(title)).expect("edited");
    world.deliver();
}

fn title_there(world: &World) -> String {
    world.forge().forge.issue(REPOSITORY, 1).expect("there").title.clone()
}

fn ignore(world: &World, conflict: &ExternalSyncConflict) {
    prefer(world, conflict, ResolutionStrategy::Ignore);
}

fn prefer(world: &World, conflict: &ExternalSyncConflict, strategy: ResolutionStrategy) {
    let resolution = Resolution { strategy, value: None, seen_versions: conflict.spec.versions.clone(), comment: None };
    block_on(world.driver.resolve(NAMESPACE, conflict.name(), resolution, &person())).expect("taken in");
    world.settle().expect("quiet");
}

fn open(world: &World) -> Vec<ExternalSyncConflict> {
    world.all::<ExternalSyncConflict>().into_iter().filter(|conflict| conflict.phase() == "Open").collect()
}

/// The text that a side of a conflict has.
fn text_of(value: &krate_model::kinds::shared::Value) -> Option<String> {
    value.to_json().and_then(|json| json.as_str().map(str::to_owned))
}

#[test]
fn s27_what_somebody_chose_to_leave_apart_is_written_by_nobody() {
    let world = world("bidirectional");
    let conflict = two_titles(&world);
    ignore(&world, &conflict);
    assert_eq!(only::<ExternalSyncConflict>(&world).phase(), "Ignored");
    // Another field is edited here, then there, and the process starts anew: the titles stay as they are.
    edit(&world, |spec| spec.body = Some(Body::markdown("Seen"))).expect("accepted");
    world.settle().expect("quiet");
    world.restart();
    world.pass_time(5);
    let now = world.clock.now();
    let labels = IssueEdit { body: Some(Some("Seen, too".to_owned())), ..IssueEdit::new() };
    world.forge().forge.by("bob", now).edit_issue(REPOSITORY, 1, labels).expect("edited");
    world.deliver();
    world.settle().expect("quiet");
    assert_eq!((issue(&world).spec.title.as_str(), title_there(&world).as_str()), ("Ours", "Theirs"));
    assert_eq!(issue(&world).spec.body.expect("a body").markdown, "Seen, too");
    assert!(open(&world).is_empty());
}

#[test]
fn s27_r57_what_says_that_values_were_left_apart_is_not_pruned() {
    let world = world("bidirectional");
    let conflict = two_titles(&world);
    ignore(&world, &conflict);
    for _ in 0..3 {
        world.pass_time(370 * 24 * 3_600);
        world.settle().expect("quiet");
    }
    let pruned = world.all::<ExternalWriteIntent>().is_empty();
    assert!(pruned, "what ended so long ago goes: {:?}", world.all::<ExternalWriteIntent>());
    assert_eq!(only::<ExternalSyncConflict>(&world).name(), conflict.name());
    edit(&world, |spec| spec.body = Some(Body::markdown("Seen"))).expect("accepted");
    world.settle().expect("quiet");
    assert_eq!(title_there(&world), "Theirs");
}

#[test]
fn s27_what_was_left_apart_is_a_conflict_again_once_a_side_moves() {
    let world = world("bidirectional");
    let conflict = two_titles(&world);
    ignore(&world, &conflict);
    world.pass_time(5);
    edit(&world, |spec| spec.title = "Ours again".to_owned()).expect("accepted");
    world.settle().expect("quiet");
    let found = open(&world);
    let sides = |conflict: &ExternalSyncConflict| (text_of(&conflict.spec.desired), text_of(&conflict.spec.observed));
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(found.iter().map(sides).collect::<Vec<_>>(), [(some("Ours again"), some("Theirs"))]);
    assert_eq!(title_there(&world), "Theirs");

    ignore(&world, &found[0]);
    world.pass_time(5);
    retitle_there(&world, "Theirs again");
    world.settle().expect("quiet");
    let found = open(&world);
    assert_eq!(found.iter().map(sides).collect::<Vec<_>>(), [(some("Ours again"), some("Theirs again"))]);
    assert_eq!(issue(&world).spec.title, "Ours again");

    // They come to agree: there is nothing to decide any more (S28).
    ignore(&world, &found[0]);
    world.pass_time(5);
    retitle_there(&world, "Ours again");
    world.settle().expect("quiet");
    assert!(open(&world).is_empty());
    world.pass_time(5);
    edit(&world, |spec| spec.title = "Both".to_owned()).expect("accepted");
    world.settle().expect("quiet");
    assert_eq!(title_there(&world), "Both");
}

/// What drifts, and how it is made to: the first has no operation, the second one that the policy forbids.
fn drift(world: &World, field: &str) {
    let now = world.clock.now();
    let mut network = world.forge();
    let mut bob = network.forge.by("bob", now);
    let edit = match field {
        "spec.assignees" => IssueEdit { assignees: Some(vec!["bob".to_owned()]), ..IssueEdit::new() },
        _ => IssueEdit::new().title("Theirs"),
    };
    bob.edit_issue(REPOSITORY, 1, edit).expect("edited");
    bob.open_issue(REPOSITORY, NewIssue::titled("The next one")).expect("opened");
}

#[test]
fn s29_s39_a_policy_lets_a_person_review_what_krate_would_write_in_a_conflict() {
    for approved in [true, false] {
        let world = world("bidirectional");
        world.change(|policy: &mut ExternalBackendSyncPolicy| {
            policy.spec.conflict_policy.default_resolution = ResolutionStrategy::ReviewedWrite;
        });
        edit(&world, |spec| spec.title = "Ours".to_owned()).expect("accepted");
        retitle_there(&world, "Theirs");
        world.settle().expect("quiet");
        let found = only::<ExternalSyncConflict>(&world);
        assert_eq!((found.phase(), title_there(&world).as_str()), ("Resolved", "Theirs"));
        assert_eq!(found.status.and_then(|status| status.resolved_by).map(|by| by.kind), Some(ActorKind::Controller));
        let waits: Vec<ExternalWriteIntent> = world.all();
        let waits: Vec<_> = waits.iter().filter(|intent| intent.phase() == "PendingApproval").collect();
        assert_eq!(waits.len(), 1, "{waits:#?}");
        if approved {
            approve_what_waits(&world);
        } else {
            let approvals: Vec<AgentApproval> = world.all();
            let pending = approvals.iter().find(|approval| approval.phase() == "Pending").expect("one waits");
            let bea = Actor::new(ActorKind::User, "bea");
            decide_named(&world, pending.name(), bea, ApprovalVerdict::Denied).expect("denied");
        }
        world.settle().expect("quiet");
        world.deliver();
        world.settle().expect("quiet");
        let expected = if approved { "Ours" } else { "Theirs" };
        assert_eq!((title_there(&world).as_str(), issue(&world).spec.title.as_str()), (expected, expected));
    }
}

#[test]
fn s6_drift_that_nobody_can_write_back_stays_apart_where_the_policy_ignores_it() {
    let world = world("krate-owned");
    world.change(|policy: &mut ExternalBackendSyncPolicy| {
        policy.spec.conflict_policy.default_resolution = ResolutionStrategy::Ignore;
    });
    drift(&world, "spec.assignees");
    world.deliver();
    world.settle().expect("quiet");
    let found = only::<ExternalSyncConflict>(&world);
    assert_eq!((found.phase(), found.spec.field_path.as_str()), ("Ignored", "spec.assignees"));
    assert_eq!(found.spec.reason, ConflictReason::UnrepresentableValue);
    // What else moves there is brought in order, and it is told once.
    world.pass_time(5);
    retitle_there(&world, "Theirs");
    world.deliver();
    world.settle().expect("quiet");
    assert_eq!((title_there(&world).as_str(), only::<ExternalSyncConflict>(&world).phase()), ("Crash", "Ignored"));
}

#[test]
fn s6_drift_that_nobody_can_write_back_waits_in_a_conflict_and_holds_nothing_up() {
    for (field, by_webhook) in
        [("spec.assignees", true), ("spec.assignees", false), ("spec.title", true), ("spec.title", false)]
    {
        let world = world("krate-owned");
        world.change(|policy: &mut ExternalBackendSyncPolicy| {
            policy.spec.write_policy.denied_operations = [Operation::UpdateIssue].into();
        });
        drift(&world, field);
        if by_webhook {
            world.deliver();
        } else {
            world.forge().arrivals(world.clock.truth() + chrono::TimeDelta::days(1));
            world.pass_time(3_600);
        }
        world.settle().expect("quiet: it is not tried for ever");
        let issues = world.all::<Issue>();
        assert_eq!(issues.len(), 2, "{field}, {by_webhook}: what comes after it goes on");
        let found = only::<ExternalSyncConflict>(&world);
        assert_eq!((found.phase(), found.spec.field_path.as_str()), ("Open", field));
        assert_eq!(found.spec.reason, ConflictReason::UnrepresentableValue);
        assert!(world.all::<ExternalWebhookDelivery>().iter().all(|it| it.phase() == "Succeeded"));
        let of_drift = |world: &World| {
            let audit = block_on(world.store.list(&Query::new(Kind::AuditEvent))).expect("readable").items;
            audit.iter().filter(|stored| String::from_utf8_lossy(&stored.body).contains("\"Drift\"")).count()
        };
        assert_eq!(of_drift(&world), 1, "{field}: it is told (section 2)");

        // What else moves there is brought in order, and the conflict stays.
        world.pass_time(5);
        let now = world.clock.now();
        let labels = IssueEdit { labels: Some(vec!["bug".to_owned()]), ..IssueEdit::new() };
        world.forge().forge.by("bob", now).edit_issue(REPOSITORY, 1, labels).expect("edited");
        world.deliver();
        world.settle().expect("quiet");
        assert_eq!(only::<ExternalSyncConflict>(&world).phase(), "Open");
        let lines = |world: &World| world.written().into_iter().map(|written| written.line).collect::<Vec<_>>();
        assert_eq!(lines(&world).len(), 1, "{field}: {:?}", lines(&world));
        assert!(lines(&world)[0].contains("/labels"), "{field}: {:?}", lines(&world));

        // It can't be written back by a decision either, and the conflict says why.
        let decide = |world: &World, strategy| {
            let resolution =
                Resolution { strategy, value: None, seen_versions: found.spec.versions.clone(), comment: None };
            block_on(world.driver.resolve(NAMESPACE, found.name(), resolution, &person())).expect("taken in");
            world.settle().expect("quiet");
        };
        decide(&world, ResolutionStrategy::PreferKrate);
        let error = only::<ExternalSyncConflict>(&world).status.and_then(|status| status.error).expect("it says why");
        assert!(error.message.contains(if field == "spec.title" { "updateIssue" } else { field }), "{}", error.message);
        decide(&world, ResolutionStrategy::PreferExternal);
        assert_eq!(only::<ExternalSyncConflict>(&world).phase(), "Resolved");
        let taken = world
            .all::<Issue>()
            .into_iter()
            .any(|issue| !issue.spec.assignees.is_empty() || issue.spec.title == "Theirs");
        assert!(taken && lines(&world).len() == 1, "{field}: {:?}", lines(&world));
    }
}

#[test]
fn s29_a_decision_about_what_has_moved_since_is_refused_at_once_and_the_new_values_can_be_decided_about() {
    let world = world("bidirectional");
    let seen = two_titles(&world);
    assert_eq!(seen.spec.desired_by, Some(person()), "who and what (design section 4)");
    let resolve = |conflict: &ExternalSyncConflict, versions: &SeenVersions| {
        let resolution = Resolution {
            strategy: ResolutionStrategy::PreferKrate,
            value: None,
            seen_versions: versions.clone(),
            comment: None,
        };
        block_on(world.driver.resolve(NAMESPACE, conflict.name(), resolution, &person()))
    };
    edit(&world, |spec| spec.title = "Ours again".to_owned()).expect("accepted");
    let refused = resolve(&seen, &seen.spec.versions).expect_err("nobody has seen the new title");
    assert!(matches!(&refused, DriverError::Replaced { by, .. } if *by == open(&world)[0].name()), "{refused}");
    world.settle().expect("quiet");
    let found = open(&world).pop().expect("it is open still");
    assert_eq!(text_of(&found.spec.desired).as_deref(), Some("Ours again"));
    assert_eq!(text_of(&found.spec.observed).as_deref(), Some("Theirs"));
    assert_eq!(found.spec.desired_by, Some(person()));
    resolve(&found, &seen.spec.versions).expect_err("what was seen before");
    resolve(&found, &found.spec.versions).expect("what is there now");
    world.settle().expect("quiet");
    assert_eq!((title_there(&world).as_str(), open(&world).len()), ("Ours again", 0));
}
