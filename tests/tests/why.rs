//! One question tells why something is as it is: what led to it, by which rule, and what comes next, and when (S41, S42).

use std::time::Instant;

use krate_model::kinds::external::{ExternalSyncConflict, ExternalWebhookDelivery, ExternalWriteIntent};
use krate_model::kinds::sets::{ActorKind, Mode, Operation, Strategy};
use krate_model::kinds::shared::{Actor, ObjectRef};
use krate_model::kinds::work::Issue;
use krate_model::{Kind, Resource};
use krate_providers::simulator::{Faults, IssueEdit, Limits, NewIssue};
use krate_sync::driver::{DriverError, Why};
use krate_sync::local::Local;
use krate_tests::world::{NAMESPACE, REPOSITORY, World, block_on};

fn world() -> World {
    let world = World::new(5, Faults::none(), "bidirectional");
    open(&world, 1);
    world.settle().expect("quiet");
    world
}

fn open(world: &World, issues: usize) {
    let now = world.forge_now();
    for number in 0..issues {
        let new = NewIssue::titled(format!("Issue {number}"));
        world.forge().forge.by("ada", now).open_issue(REPOSITORY, new).expect("opened");
    }
    world.deliver();
}

fn ask(world: &World, kind: Kind, name: &str) -> Why {
    block_on(world.driver.why(kind, NAMESPACE, name)).expect("it is there")
}

fn issue(world: &World) -> ObjectRef {
    ObjectRef::new("Issue", world.all::<Issue>().first().expect("one was read").name())
}

fn edit_here(world: &World, title: &str) {
    let person = Actor::new(ActorKind::User, "grace");
    let edit = |local: &mut Local| {
        if let Local::Issue(issue) = local {
            title.clone_into(&mut issue.spec.title);
        }
    };
    block_on(world.driver.edit(NAMESPACE, &issue(world), &person, &edit)).expect("taken in");
}

fn edit_there(world: &World, title: &str) {
    let now = world.forge_now();
    world.forge().forge.by("ada", now).edit_issue(REPOSITORY, 1, IssueEdit::new().title(title)).expect("it is there");
}

#[test]
fn s41_a_delivery_tells_what_it_changed_and_the_object_tells_of_the_delivery() {
    let world = world();
    world.pass_time(5);
    edit_there(&world, "By webhook");
    let deliveries: Vec<_> = world.all::<ExternalWebhookDelivery>().iter().map(|it| it.name().to_owned()).collect();
    world.deliver();
    let all = world.all::<ExternalWebhookDelivery>();
    let new = all.iter().find(|it| !deliveries.contains(&it.name().to_owned())).expect("it came").name().to_owned();
    // Before it was processed it says what is due.
    let waiting = ask(&world, Kind::ExternalWebhookDelivery, &new);
    assert_eq!(waiting.about, []);
    assert_eq!(waiting.next[0].does, "it is processed");
    world.pass().expect("the store can be read");
    let why = ask(&world, Kind::ExternalWebhookDelivery, &new);
    assert_eq!(why.about, [issue(&world)]);
    assert_eq!(why.causes[0].changed_fields, ["spec.title"]);
    assert!(why.next.iter().all(|next| next.record.kind == "ExternalSyncState"), "only lists go on: {:?}", why.next);
    let why = ask(&world, Kind::Issue, &issue(&world).name);
    let cause = &why.causes[0];
    assert_eq!((cause.source.name.as_str(), cause.action.as_str()), (new.as_str(), "updated"));
    assert_eq!(cause.actor.as_ref().map(|actor| actor.name.as_str()), Some("ada"));
    assert_eq!(
        cause.version,
        why.links[0]
            .version
            .clone()
            .map(|mut v| {
                v.etag = None;
                v
            })
            .expect("it was seen")
    );
}

#[test]
fn s42_a_write_says_who_wants_it_and_what_it_waits_for() {
    let world = world();
    {
        let forge = &mut world.forge().forge;
        forge.set_limits(Limits { creations_per_minute: usize::MAX, ..Limits::default() });
        forge.limit_secondarily("krate-bot", world.clock.truth(), 120);
    }
    edit_here(&world, "By grace");
    for _ in 0..3 {
        world.pass();
    }
    let name = issue(&world).name;
    let why = ask(&world, Kind::Issue, &name);
    let write = &why.writes[0];
    assert_eq!((&write.operation, write.by.name.as_str()), (&Operation::UpdateIssue, "grace"));
    assert!(why.next[0].record.kind == "ExternalWriteIntent" || why.next[0].waits_for.is_none());
    let next = why.next.iter().find(|next| next.record.name == write.name).expect("it goes on");
    let waits_for = next.waits_for.as_deref().expect("for the limit");
    assert!(waits_for.contains("the provider asked for a pause; until "), "{waits_for}");
    assert!(why.budgets.iter().any(|budget| budget.scope == "pause"), "{:?}", why.budgets);
    // Asked about by its own name it tells the same.
    let intents = world.all::<ExternalWriteIntent>();
    let own = ask(&world, Kind::ExternalWriteIntent, intents[0].name());
    assert_eq!((own.about, own.writes, own.next), (vec![issue(&world)], why.writes, why.next));
    world.settle().expect("quiet");
    let why = ask(&world, Kind::Issue, &name);
    assert_eq!((why.writes[0].phase.as_str(), why.writes[0].attempts), ("Succeeded", 1));
    assert!(why.writes[0].confirmed_by.is_some());
    assert!(why.events.iter().any(|event| event.to.as_deref() == Some("Succeeded")));
}

#[test]
fn s28_a_conflict_says_by_which_rule_and_who_has_to_decide() {
    let world = world();
    world.pass_time(5);
    edit_there(&world, "Theirs");
    edit_here(&world, "Ours");
    world.deliver();
    world.settle().expect("quiet");
    let conflict = world.all::<ExternalSyncConflict>().pop().expect("the title is in conflict");
    let why = ask(&world, Kind::ExternalSyncConflict, conflict.name());
    assert_eq!(why.about, [issue(&world)]);
    let told = &why.conflicts[0];
    assert_eq!(
        (told.field_path.as_str(), &told.mode, &told.strategy),
        ("spec.title", &Some(Mode::Bidirectional), &Strategy::Scalar)
    );
    assert_eq!((told.desired.as_str(), told.observed.as_str()), (Some("Ours"), Some("Theirs")));
    let next = why.next.iter().find(|next| next.record.name == conflict.name()).expect("it waits");
    assert!(next.waits_for.as_deref().is_some_and(|what| what.starts_with("a person's decision")));
}

#[test]
fn s42_what_is_not_there_is_said() {
    let world = world();
    let missing = block_on(world.driver.why(Kind::Issue, NAMESPACE, "nobody"));
    assert!(matches!(missing, Err(DriverError::NotFound { name, .. }) if name == "Issue/nobody"));
}

/// Its cost is that of the object's own records. No time is asserted: the figure is printed, and stands in the README.
#[test]
fn s31_the_answer_costs_what_the_object_has_around_it() {
    let world = world();
    open(&world, std::env::var("KRATE_OBJECTS").ok().and_then(|text| text.parse().ok()).unwrap_or(300));
    world.settle().expect("quiet");
    let name = issue(&world).name;
    let mut took = Vec::new();
    for _ in 0..9 {
        let began = Instant::now();
        ask(&world, Kind::Issue, &name);
        took.push(began.elapsed());
    }
    took.sort();
    // The first one pays for the memory that the test gave back before it.
    println!(
        "why among {} issues: {:?} (median of nine, the worst {:?})",
        world.all::<Issue>().len(),
        took[4],
        took[8]
    );
    let why = ask(&world, Kind::Issue, &name);
    assert!(why.causes.len() <= 20 && why.events.len() <= 20);
    assert_eq!(why.links.len(), 1);
}
