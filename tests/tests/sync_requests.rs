//! When lists are read again, on a simulated forge (S26).

use krate_model::kinds::external::{
    BackfillMode, ExternalBackendBinding, ExternalBackendSyncPolicy, ExternalSyncState, ExternalWebhookDelivery,
};
use krate_model::kinds::work::Issue;
use krate_model::{BACKFILL_REQUESTED, Resource};
use krate_providers::simulator::{Faults, NewIssue};
use krate_tests::world::{NAMESPACE, REPOSITORY, World, block_on, start};

fn quiet() -> World {
    let world = World::new(1, Faults::none(), "bidirectional");
    world.forge().forge.by("ada", start()).open_issue(REPOSITORY, NewIssue::titled("First")).expect("opened");
    world.settle().expect("quiet");
    world.forge().forge.take_deliveries();
    world
}

/// Sets the annotation, as a person does.
fn ask(world: &World, value: &str) {
    block_on(world.driver.command_backfill(NAMESPACE, "site", value)).expect("written");
    let binding = world.all::<ExternalBackendBinding>().remove(0);
    let annotations = binding.metadata.annotations.expect("there are some");
    assert_eq!(annotations.get(BACKFILL_REQUESTED).map(String::as_str), Some(value));
}

/// The runs so far, and how much the newest of each list read.
fn runs(world: &World) -> Vec<(Option<String>, Option<BackfillMode>)> {
    let status = |state: &ExternalSyncState| state.status.clone().expect("a status");
    world.all::<ExternalSyncState>().iter().map(status).map(|status| (status.run_id, status.mode)).collect()
}

fn handled(world: &World) -> Option<String> {
    world.all::<ExternalBackendBinding>()[0].status.as_ref().and_then(|status| status.handled_backfill_request.clone())
}

/// An issue whose webhook is lost, so that only a list shows it.
fn open_unheard(world: &World, title: &str) {
    let now = start() + chrono::TimeDelta::seconds(60);
    world.forge().forge.by("ada", now).open_issue(REPOSITORY, NewIssue::titled(title)).expect("opened");
    world.forge().forge.take_deliveries();
}

#[test]
fn s26_a_new_value_of_the_annotation_asks_for_one_complete_backfill() {
    let world = quiet();
    open_unheard(&world, "Second");
    let before = runs(&world);
    ask(&world, "2026-11-25 alice");
    for _ in 0..8 {
        world.pass().expect("the store is there");
        world.pass_time(1);
    }
    let after = runs(&world);
    assert_eq!(handled(&world).as_deref(), Some("2026-11-25 alice"));
    assert_eq!(world.all::<Issue>().len(), 2);
    for (old, new) in before.iter().zip(&after) {
        assert_ne!(old.0, new.0, "every list was read");
        assert_eq!(new.1, Some(BackfillMode::Complete));
    }
    // The value that was handled asks for nothing more; a new one does.
    for _ in 0..4 {
        world.pass().expect("the store is there");
        world.pass_time(1);
    }
    assert_eq!(runs(&world), after);
    ask(&world, "again");
    for _ in 0..8 {
        world.pass().expect("the store is there");
        world.pass_time(1);
    }
    assert!(after.iter().zip(runs(&world)).all(|(old, new)| old.0 != new.0));
}

#[test]
fn s26_what_would_be_stale_is_read_again_though_the_interval_is_longer() {
    for (stale_after, is_read) in [("1h", true), ("6h", false)] {
        let world = World::new(1, Faults::none(), "bidirectional");
        world.change(|policy: &mut ExternalBackendSyncPolicy| {
            policy.spec.backfill.interval = "12h".parse().expect("a duration");
            policy.spec.stale_after = stale_after.parse().expect("a duration");
        });
        world.settle().expect("quiet");
        open_unheard(&world, "Unheard");
        world.pass_time(3_700);
        world.settle().expect("quiet");
        assert_eq!(world.all::<Issue>().len() == 1, is_read, "{stale_after}");
    }
}

#[test]
fn s21_a_run_over_more_objects_than_the_policy_allows_at_once_goes_on_later_where_it_was() {
    let world = World::paged("bidirectional", 2);
    world.change(|policy: &mut ExternalBackendSyncPolicy| policy.spec.backfill.max_objects_per_run = Some(4));
    for count in 0..9 {
        let title = format!("Issue {count}");
        world.forge().forge.by("ada", start()).open_issue(REPOSITORY, NewIssue::titled(&title)).expect("opened");
    }
    world.forge().forge.take_deliveries();
    let mut seen = Vec::new();
    for _ in 0..3 {
        for _ in 0..20 {
            world.pass().expect("the store is there");
            world.pass_time(1);
        }
        seen.push(world.all::<Issue>().len());
        world.pass_time(15 * 60);
    }
    // A page begins where the one before it ended, so that some rows are seen twice.
    assert!(seen.is_sorted_by(|one, next| one < next) && seen[0] <= 4 && seen[2] == 9, "{seen:?}");
    let complete = world.all::<ExternalSyncState>().iter().all(|state| {
        state.status.as_ref().is_some_and(|status| status.last_complete_at.is_some() && status.tombstones_made == 0)
    });
    assert!(complete, "it is one run, and it has met everything");
}

#[test]
fn s26_a_request_survives_a_crash_at_each_commit_of_it() {
    for crash_at in 1..=4 {
        for after in [false, true] {
            let world = quiet();
            open_unheard(&world, "Second");
            ask(&world, "now");
            world.plan_crash(Some(krate_tests::world::Crash { commit: crash_at, after }));
            for _ in 0..12 {
                world.pass();
                if world.is_dead() {
                    world.restart();
                }
                world.pass_time(1);
            }
            assert_eq!(handled(&world).as_deref(), Some("now"), "commit {crash_at}");
            assert_eq!(world.all::<Issue>().len(), 2, "commit {crash_at}");
        }
    }
}

/// A second issue is opened, and nobody can read the webhook about it.
fn deliver_unreadable(world: &World) {
    let now = start() + chrono::TimeDelta::seconds(60);
    world.forge().forge.by("ada", now).open_issue(REPOSITORY, NewIssue::titled("Second")).expect("opened");
    let mut broken = world.forge().forge.take_deliveries().into_iter().next().expect("one");
    // The signature is over the body alone: to the reader it is a pull request without one.
    broken.headers.insert("x-github-event", http::HeaderValue::from_static("pull_request"));
    assert!(world.deliver_one(&broken));
}

#[test]
fn s26_a_delivery_that_nobody_could_read_makes_the_lists_be_read() {
    let world = quiet();
    deliver_unreadable(&world);
    let before = runs(&world);
    for _ in 0..40 {
        let next = world.pass().and_then(|pass| pass.next).expect("something is due");
        let wait = next - krate_sync::driver::Clock::now(world.clock.as_ref());
        if wait > chrono::TimeDelta::minutes(10) {
            break;
        }
        world.clock.advance(wait.max(chrono::TimeDelta::milliseconds(50)));
        if world.all::<Issue>().len() == 2 {
            break;
        }
    }
    let deliveries = world.all::<ExternalWebhookDelivery>();
    assert!(deliveries.iter().any(|delivery| delivery.phase() == "DeadLettered"), "{deliveries:#?}");
    assert_eq!(world.all::<Issue>().len(), 2, "before the interval elapses");
    assert_ne!(runs(&world)[0].0, before[0].0);
}

#[test]
fn r37_a_delivery_that_was_given_up_is_processed_anew_or_done_with_by_command() {
    let world = quiet();
    deliver_unreadable(&world);
    let broken = |world: &World| {
        let mut all = world.all::<ExternalWebhookDelivery>();
        all.retain(|delivery| delivery.spec.event_type == "pull_request");
        all.pop().expect("it is there")
    };
    let dispose = |act: &str| {
        let command = serde_json::json!({"id": act, "act": act, "reason": "a look at it"});
        let command = serde_json::from_value(command).expect("a command");
        block_on(world.driver.dispose(NAMESPACE, broken(&world).name(), command))
    };
    let early = dispose("skip").expect_err("it isn't given up yet");
    assert!(early.to_string().contains("only one that is DeadLettered"), "{early}");
    world.settle().expect("quiet");
    assert_eq!(broken(&world).phase(), "DeadLettered");

    dispose("replay").expect("taken in");
    world.pass().expect("the store is there");
    assert_ne!(broken(&world).phase(), "DeadLettered", "it is tried anew");
    world.settle().expect("quiet");
    let status = broken(&world).status.expect("a status");
    assert_eq!((broken(&world).phase(), broken(&world).spec.disposition.is_none()), ("DeadLettered", true));
    assert!(status.attempts > 1 && status.error.is_some(), "{status:?}");

    dispose("skip").expect("taken in");
    world.settle().expect("quiet");
    let outcome = broken(&world).status.and_then(|status| status.outcome).map(|outcome| outcome.to_string());
    assert_eq!((broken(&world).phase(), outcome.as_deref()), ("Succeeded", Some("Skipped")));
    dispose("replay").expect_err("it is done with");
}
