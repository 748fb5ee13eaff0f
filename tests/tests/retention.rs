//! What is over goes in time, and nothing that something living needs (R57); the audit stays provable (R44).

use std::collections::BTreeSet;

use krate_model::audit::{AuditEventSpec, verify_chain};
use krate_model::kinds::external::{
    ExternalBackendBinding, ExternalBackendSyncPolicy, ExternalObjectLink, ExternalSyncConflict, ExternalSyncEvent,
    ExternalWebhookDelivery, ExternalWriteIntent, Resolution,
};
use krate_model::kinds::hooks::AuditEvent;
use krate_model::kinds::policy::AgentApproval;
use krate_model::kinds::sets::{ActorKind, ResolutionStrategy};
use krate_model::kinds::shared::{Actor, MAX_VALUE_BYTES, ObjectRef, Time, Value};
use krate_model::kinds::work::Issue;
use krate_model::store::{Key, Private, Query, Store, chain_ends};
use krate_model::{Kind, Resource};
use krate_providers::simulator::{Faults, IssueEdit, NewIssue, Rng};
use krate_sync::driver::Clock;
use krate_sync::local::Local;
use krate_sync::records::{Changes, get};
use krate_tests::world::{Crash, NAMESPACE, REPOSITORY, World, block_on, start};

const HOUR: i64 = 3600;

fn world(seed: u64, mode: &str) -> World {
    let world = World::new(seed, Faults::none(), mode);
    world.forge().forge.by("ada", start()).open_issue(REPOSITORY, NewIssue::titled("Broken")).expect("opened");
    world.deliver();
    world.settle().expect("quiet");
    world
}

fn now(world: &World) -> Time {
    world.clock.now()
}

/// Time goes by, and the driver comes round to everything.
fn wait(world: &World, hours: i64) {
    world.pass_time(hours * HOUR);
    world.settle().expect("quiet");
    // A round is a step for each kind and one for the audit, and more where a page is full.
    for _ in 0..24 {
        world.pass_time(6);
        world.pass();
    }
}

fn first_issue(world: &World) -> Issue {
    world.all::<Issue>().into_iter().min_by_key(|issue| issue.spec.title.clone()).expect("an issue")
}

fn edit_title(world: &World, title: &str) {
    // A deleted one has gone in the end.
    let Some(issue) = world.all::<Issue>().into_iter().next() else { return };
    let reference = ObjectRef::new(Kind::Issue.as_str(), issue.name());
    let apply = |local: &mut Local| {
        if let Local::Issue(issue) = local {
            title.clone_into(&mut issue.spec.title);
        }
    };
    let person = Actor::new(ActorKind::User, "cleo");
    let _ = block_on(world.driver.edit(NAMESPACE, &reference, &person, &apply));
}

fn edit_there(world: &World, title: &str) {
    let edit = IssueEdit { title: Some(title.to_owned()), ..IssueEdit::default() };
    let _ = world.forge().forge.by("bob", now(world)).edit_issue(REPOSITORY, 1, edit);
}

fn proven(world: &World) -> i64 {
    let events: Vec<AuditEventSpec> = world.all::<AuditEvent>().into_iter().map(|event| event.spec).collect();
    let (from, to) = block_on(chain_ends(world.store.as_ref(), NAMESPACE)).expect("a chain");
    verify_chain(&from, &events, &to).expect("the chain holds");
    from.sequence
}

fn payloads(world: &World) -> usize {
    block_on(world.store.list(&Query::new(Private::Payload))).expect("it can be read").items.len()
}

#[test]
fn r57_what_is_over_goes_when_its_time_is_up_and_sync_goes_on() {
    let world = world(3, "bidirectional");
    edit_title(&world, "Ours");
    world.pass_time(5);
    world.settle().expect("quiet");
    world.deliver();
    world.settle().expect("quiet");
    assert!(payloads(&world) > 0 && !world.all::<ExternalSyncEvent>().is_empty());
    wait(&world, 719);
    assert!(!world.all::<ExternalWebhookDelivery>().is_empty(), "a month isn't over");
    wait(&world, 2);
    assert!(world.all::<ExternalWebhookDelivery>().is_empty() && payloads(&world) == 0);
    assert!(world.all::<ExternalSyncEvent>().iter().all(|event| {
        event
            .status
            .as_ref()
            .and_then(|status| status.applied_at)
            .is_some_and(|at| at > start() + chrono::TimeDelta::hours(1))
    }));
    assert_eq!(world.all::<ExternalWriteIntent>().len(), 1, "intents are kept for a year");
    assert_eq!(proven(&world), 0);
    wait(&world, 8760);
    assert!(world.all::<ExternalWriteIntent>().is_empty());
    assert!(proven(&world) > 0, "the audit begins at a checkpoint");
    assert!(world.all::<AuditEvent>().iter().all(|event| event.spec.at > now(&world) - chrono::TimeDelta::hours(8761)));
    // What lives is untouched.
    assert_eq!((world.all::<ExternalObjectLink>().len(), first_issue(&world).spec.title.as_str()), (1, "Ours"));
    edit_there(&world, "Theirs");
    world.pass_time(5);
    world.deliver();
    world.settle().expect("quiet");
    assert_eq!(first_issue(&world).spec.title, "Theirs");
    assert!(world.all::<ExternalSyncConflict>().is_empty());
}

#[test]
fn r57_the_policy_of_a_binding_says_how_long() {
    let world = world(4, "bidirectional");
    block_on(async {
        let found = get::<ExternalBackendSyncPolicy>(world.store.as_ref(), NAMESPACE, "policy").await;
        let mut policy = found.expect("it can be read").expect("it is there");
        policy.change().spec.storage.retention = "24h".parse().expect("a duration");
        let mut changes = Changes::at(now(&world));
        changes.put(&policy).expect("JSON");
        changes.commit(world.store.as_ref()).await.expect("it is written");
    });
    let bound = |world: &World| {
        world.all::<ExternalWebhookDelivery>().iter().filter(|delivery| delivery.spec.binding_ref.is_some()).count()
    };
    assert!(bound(&world) > 0);
    let unbound = world.all::<ExternalWebhookDelivery>().len() - bound(&world);
    wait(&world, 26);
    assert_eq!(bound(&world), 0);
    assert_eq!(world.all::<ExternalWebhookDelivery>().len(), unbound, "what is nobody's is kept as by default");
}

#[test]
fn r57_r70_nothing_goes_while_nobody_knows_how_long_its_policy_keeps_it() {
    let world = world(2, "bidirectional");
    assert!(!world.all::<ExternalWebhookDelivery>().is_empty());
    world.change(|binding: &mut ExternalBackendBinding| binding.spec.sync_policy_ref = Some("nowhere".to_owned()));
    wait(&world, 721);
    assert!(!world.all::<ExternalWebhookDelivery>().is_empty(), "the default would be 720 hours");
    world.change(|binding: &mut ExternalBackendBinding| binding.spec.sync_policy_ref = Some("policy".to_owned()));
    wait(&world, 1);
    assert!(world.all::<ExternalWebhookDelivery>().is_empty());
}

#[test]
fn r57_a_tombstone_goes_with_its_projection_and_never_before_a_full_read() {
    let world = world(6, "bidirectional");
    let at = now(&world);
    world.forge().forge.by("ada", at).delete_issue(REPOSITORY, 1).expect("deleted");
    world.pass_time(5);
    world.deliver();
    world.settle().expect("quiet");
    wait(&world, 8000);
    assert_eq!((world.all::<ExternalObjectLink>().len(), world.all::<Issue>().len()), (1, 1));
    wait(&world, 800);
    assert_eq!((world.all::<ExternalObjectLink>().len(), world.all::<Issue>().len()), (0, 0));
}

/// Whatever an open record names is there.
fn nothing_is_missing(world: &World) {
    let intents = world.all::<ExternalWriteIntent>();
    let conflicts = world.all::<ExternalSyncConflict>();
    let known: BTreeSet<&str> =
        intents.iter().map(Resource::name).chain(conflicts.iter().map(Resource::name)).collect();
    let mut named: Vec<String> = Vec::new();
    for link in world.all::<ExternalObjectLink>() {
        let status = link.status.unwrap_or_default();
        named.extend(status.pending_intents.into_iter().chain(status.open_conflicts));
        let local = &link.spec.local_ref;
        let kind = Kind::lookup(&local.kind).expect("a kind");
        let key = Key::new(kind, NAMESPACE, local.name.as_str());
        assert!(block_on(world.store.get(&key)).expect("a read").is_some(), "{} lost its projection", local.name);
    }
    for conflict in conflicts.iter().filter(|conflict| ["Open", "Resolving"].contains(&conflict.phase())) {
        named.extend(conflict.spec.intent_ref.clone());
        named.extend(conflict.status.as_ref().and_then(|status| status.supersedes.clone()));
    }
    for intent in intents.iter().filter(|intent| !["Succeeded", "Rejected", "Failed"].contains(&intent.phase())) {
        named.extend(intent.spec.depends_on.clone());
        named.extend(intent.status.as_ref().and_then(|status| status.conflict_ref.clone()));
        let asks = intent.phase() == "PendingApproval";
        let asked = world.all::<AgentApproval>().iter().any(|it| it.spec.subject.name == intent.name());
        assert!(!asks || asked, "{} lost its approval", intent.name());
    }
    for name in named {
        assert!(known.contains(name.as_str()), "{name} is named and gone");
    }
}

#[test]
fn r57_never_takes_what_something_open_names() {
    for seed in 0..12 {
        let mut rng = Rng::stream(seed, "retention");
        let world = world(seed, if seed % 2 == 0 { "bidirectional" } else { "reviewed-write" });
        for deed in 0..=rng.below(9) {
            match rng.below(6) {
                0 => edit_title(&world, &format!("ours {deed}")),
                1 => edit_there(&world, &format!("theirs {deed}")),
                2 => {
                    edit_title(&world, &format!("ours {deed}"));
                    edit_there(&world, &format!("theirs {deed}"));
                }
                3 if rng.below(4) == 0 => {
                    let _ = world.forge().forge.by("ada", now(&world)).delete_issue(REPOSITORY, 1);
                }
                4 => resolve(&world),
                _ => {
                    // A step is cut off somewhere: the next round goes on.
                    world.plan_crash(Some(Crash { commit: rng.below(40), after: rng.below(2) == 0 }));
                    world.pass_time(i64::try_from(rng.below(9000)).expect("it is small") * HOUR);
                    for _ in 0..3 {
                        world.pass();
                    }
                    world.restart();
                    wait(&world, 1);
                }
            }
            world.pass_time(5);
            world.deliver();
            world.settle().expect("quiet");
            nothing_is_missing(&world);
            proven(&world);
        }
        wait(&world, 20_000);
        nothing_is_missing(&world);
        proven(&world);
        let long_ago = now(&world) - chrono::TimeDelta::hours(722);
        for event in world.all::<ExternalSyncEvent>() {
            let applied = event.status.as_ref().and_then(|status| status.applied_at);
            assert!(applied.is_none_or(|at| at > long_ago), "seed {seed}: {event:?}");
        }
    }
}

/// A text that is too long for the record of a conflict.
fn long(text: &str) -> String {
    format!("{text} ").repeat(4_000)
}

/// Names of the values that stand beside conflicts.
fn values(world: &World) -> BTreeSet<String> {
    let kept = block_on(world.store.list(&Query::new(Private::SyncRecord))).expect("it can be read").items;
    kept.into_iter().map(|it| it.key.name.to_string()).filter(|name| name.starts_with("value-")).collect()
}

/// Both sides write another long text into an issue's body.
fn both_write(world: &World, number: u64, ours: &str, theirs: &str) {
    let issue = world.all::<Issue>().into_iter().find(|issue| {
        let external = issue.status.as_ref().and_then(|status| status.external.as_ref());
        external.and_then(|it| it.native_number) == i64::try_from(number).ok()
    });
    let reference = ObjectRef::new(Kind::Issue.as_str(), issue.expect("it is shown").name());
    let apply = |local: &mut Local| {
        if let Local::Issue(issue) = local {
            issue.spec.body = Some(serde_json::from_value(serde_json::json!({"markdown": ours})).expect("a body"));
        }
    };
    let person = Actor::new(ActorKind::User, "cleo");
    block_on(world.driver.edit(NAMESPACE, &reference, &person, &apply)).expect("it is taken");
    let edit = IssueEdit::new().body(theirs);
    world.forge().forge.by("bob", now(world)).edit_issue(REPOSITORY, number, edit).expect("it is there");
    world.pass_time(5);
    world.deliver();
    world.settle().expect("quiet");
}

#[test]
fn r57_the_long_values_of_a_conflict_go_with_the_last_that_names_them() {
    let world = world(5, "bidirectional");
    world.forge().forge.by("ada", now(&world)).open_issue(REPOSITORY, NewIssue::titled("Too")).expect("opened");
    world.deliver();
    world.settle().expect("quiet");
    let theirs = long("theirs");
    both_write(&world, 1, &long("ours"), &theirs);
    let of_first = values(&world);
    assert_eq!(of_first.len(), 2, "both sides' texts: {of_first:?}");
    resolve(&world);
    world.settle().expect("quiet");
    both_write(&world, 2, &long("mine"), &theirs);
    assert_eq!(values(&world).len(), 3, "one text is the same");
    wait(&world, 8_761);
    let open: Vec<String> = world.all::<ExternalSyncConflict>().iter().map(|it| it.phase().to_owned()).collect();
    assert_eq!(open, ["Open"], "the one that was decided has gone");
    let left = values(&world);
    assert_eq!(left.len(), 2, "{left:?}");
    assert_eq!(left.intersection(&of_first).count(), 1, "what the open one shows stays");
    resolve(&world);
    world.settle().expect("quiet");
    let shown = world.all::<Issue>().into_iter().find(|issue| issue.spec.title == "Too").expect("it is shown");
    assert_eq!(shown.spec.body.map(|body| body.markdown), Some(theirs), "its text was there to be taken");
    wait(&world, 8_761);
    assert!(values(&world).is_empty() && world.all::<ExternalSyncConflict>().is_empty());
}

#[test]
fn s29_a_value_that_is_named_by_its_digest_alone_decides_nothing() {
    let world = world(6, "bidirectional");
    both_write(&world, 1, "ours", "theirs");
    let open = world.all::<ExternalSyncConflict>().into_iter().find(|it| it.phase() == "Open").expect("one");
    let value = Value::of(Some(&serde_json::json!(long("both"))), MAX_VALUE_BYTES).expect("JSON");
    let resolution = Resolution {
        strategy: ResolutionStrategy::Manual,
        value: Some(value),
        seen_versions: open.spec.versions.clone(),
        comment: None,
    };
    let person = Actor::new(ActorKind::User, "cleo");
    let refused = block_on(world.driver.resolve(NAMESPACE, open.name(), resolution, &person));
    let told = refused.expect_err("nobody knows the text").to_string();
    assert!(told.contains("spec.body.markdown") && told.contains("16384"), "{told}");
    world.settle().expect("quiet");
    assert_eq!(first_issue(&world).spec.body.map(|body| body.markdown).as_deref(), Some("ours"), "nothing is emptied");
}

fn resolve(world: &World) {
    let open = world.all::<ExternalSyncConflict>().into_iter().find(|it| it.phase() == "Open");
    let Some(open) = open else { return };
    let resolution = Resolution {
        strategy: ResolutionStrategy::PreferExternal,
        value: None,
        seen_versions: open.spec.versions.clone(),
        comment: None,
    };
    let person = Actor::new(ActorKind::User, "cleo");
    block_on(world.driver.resolve(NAMESPACE, open.name(), resolution, &person)).expect("it is open");
}
