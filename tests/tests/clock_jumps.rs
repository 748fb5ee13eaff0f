//! The machine's clock is set back or forward while deliveries wait. The provider's clock goes on as before.

use chrono::TimeDelta;
use krate_model::Resource;
use krate_model::kinds::external::{ExternalObjectLink, ExternalWebhookDelivery};
use krate_model::kinds::work::Issue;
use krate_providers::simulator::{Faults, IssueEdit, NewIssue};
use krate_tests::world::{REPOSITORY, World, start};

/// Set back by two hours or by a second; forward by an hour or by a month.
const JUMPS: [i64; 4] = [-7200, -1, 3600, 30 * 24 * 3600];

/// Somebody sets the title there, at the provider's second.
fn retitle(world: &World, title: &str, second: i64) {
    let edit = IssueEdit { title: Some(title.into()), ..IssueEdit::default() };
    let at = start() + TimeDelta::seconds(second);
    world.forge().forge.by("bob", at).edit_issue(REPOSITORY, 1, edit).expect("edited");
}

/// Accepts the webhooks that wait, whatever the time is.
fn accept(world: &World) {
    let deliveries = world.forge().forge.take_deliveries();
    deliveries.iter().for_each(|delivery| assert!(world.deliver_one(delivery), "{}", delivery.id));
}

fn shows(world: &World, title: &str, jump: i64) {
    world.settle().expect("quiet");
    let issues = world.all::<Issue>();
    assert_eq!(issues.iter().map(|issue| issue.spec.title.as_str()).collect::<Vec<_>>(), [title], "after {jump} s");
    let deliveries = world.all::<ExternalWebhookDelivery>();
    assert!(deliveries.iter().all(|delivery| delivery.phase() == "Succeeded"), "after {jump} s: {deliveries:#?}");
    let waits = |link: &ExternalObjectLink| link.status.as_ref().is_some_and(|status| status.needs_hydration);
    assert!(!world.all::<ExternalObjectLink>().iter().any(waits), "after {jump} s");
}

#[test]
fn s10_a_clock_that_jumps_loses_nothing() {
    for jump in JUMPS {
        let world = World::new(3, Faults::none(), "bidirectional");
        world.forge().forge.by("ada", start()).open_issue(REPOSITORY, NewIssue::titled("first")).expect("opened");
        accept(&world);
        shows(&world, "first", 0);
        // Accepted before the jump, processed after it.
        retitle(&world, "second", 10);
        accept(&world);
        world.pass_time(jump);
        shows(&world, "second", jump);
        // Accepted and processed after it.
        retitle(&world, "third", 20);
        accept(&world);
        shows(&world, "third", jump);
    }
}

#[test]
fn s16_a_read_decides_also_after_the_clock_was_set_back() {
    for jump in JUMPS {
        let world = World::new(4, Faults::none(), "bidirectional");
        world.forge().forge.by("ada", start()).open_issue(REPOSITORY, NewIssue::titled("first")).expect("opened");
        accept(&world);
        retitle(&world, "second", 10);
        accept(&world);
        shows(&world, "second", 0);
        world.pass_time(jump);
        // In the provider's second of the edit before: only a read can tell which one is newer.
        retitle(&world, "third", 10);
        accept(&world);
        shows(&world, "third", jump);
    }
}
