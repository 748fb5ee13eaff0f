//! Budgets: what is kept for whom while a list is read, and that a limit loses and repeats nothing (S43, S44).

use chrono::TimeDelta;
use krate_model::Resource;
use krate_model::condition::condition;
use krate_model::kinds::external::{
    ExternalBackendBinding, ExternalBackendProvider, ExternalSyncState, ExternalSyncStatePhase, ExternalWebhookDelivery,
};
use krate_model::kinds::sets::ActorKind;
use krate_model::kinds::shared::{Actor, ObjectRef};
use krate_model::kinds::work::{Issue, IssueSpec};
use krate_providers::simulator::{Limits, NewIssue, NewPullRequest};
use krate_sync::driver::Basis;
use krate_sync::local::Local;
use krate_tests::world::{NAMESPACE, REPOSITORY, World, block_on, start};

/// Requests an hour: 10 of them are the reserve, 5 the floor of writes.
const AN_HOUR: u64 = 100;

/// Issues, each of which takes two pages of one row: a list by time shows the last row of a page again.
const ISSUES: i64 = 60;

/// A repository whose issues need more pages than an hour's budget has.
fn world(issues: i64, per_hour: u64) -> World {
    let world = World::paged("bidirectional", 1);
    {
        let forge = &mut world.forge().forge;
        forge.set_limits(Limits { per_hour, creations_per_minute: usize::MAX, ..Limits::default() });
        for number in 0..issues {
            let mut ada = forge.by("ada", start() + TimeDelta::seconds(number));
            ada.open_issue(REPOSITORY, NewIssue::titled(format!("Issue {number}"))).expect("opened");
        }
        forge.take_deliveries();
    }
    world.pass_time(issues);
    world
}

/// Passes within the hour, a second apart; how many requests they made.
fn work(world: &World, seconds: i64) -> u64 {
    let before = world.forge().forge.requests();
    for _ in 0..seconds {
        world.pass_time(1);
        world.pass().expect("the store can be read");
    }
    world.forge().forge.requests() - before
}

fn issues_list(world: &World) -> ExternalSyncState {
    let lists = world.all::<ExternalSyncState>();
    lists.into_iter().find(|list| list.spec.resource_kind.as_str() == "Issue").expect("it was made")
}

fn is_limited(world: &World) -> bool {
    let provider = world.all::<ExternalBackendProvider>().pop().expect("it is there");
    let binding = world.all::<ExternalBackendBinding>().pop().expect("it is there");
    let holds = |conditions: &[_]| condition(conditions, "RateLimited").is_some_and(|it| it.status == "True");
    let shown = (
        holds(&provider.status.expect("it has one").conditions),
        holds(&binding.status.expect("it has one").conditions),
    );
    assert_eq!(shown.0, shown.1, "provider and binding say the same");
    shown.0
}

fn retitle(world: &World, title: &str) {
    let issue = world.all::<Issue>().into_iter().next().expect("one was read");
    let person = Actor::new(ActorKind::User, "grace");
    let about = ObjectRef::new("Issue", issue.name());
    let edit = |local: &mut Local| {
        if let Local::Issue(issue) = local {
            title.clone_into(&mut issue.spec.title);
        }
    };
    block_on(world.driver.edit(NAMESPACE, &about, &person, &edit)).expect("taken in");
}

#[test]
fn s43_a_backfill_leaves_the_reserve_and_writes_and_webhooks_go_on() {
    let world = world(ISSUES, AN_HOUR);
    let spent = work(&world, 200);
    assert_eq!(spent, AN_HOUR - 10, "the reserve is left alone");
    let list = issues_list(&world).status.expect("it has one");
    assert_eq!(list.phase, ExternalSyncStatePhase::RateLimited);
    let shown = world.all::<ExternalBackendProvider>().pop().and_then(|it| it.status).expect("it has one");
    assert_eq!(shown.rate_limits[0].scope, "core");
    assert_eq!(shown.rate_limits[0].limit, 100);
    assert!((10..20).contains(&shown.rate_limits[0].remaining), "to a tenth: {:?}", shown.rate_limits);
    assert!(is_limited(&world));

    // A write goes out, with the look before it.
    retitle(&world, "A better title");
    assert_eq!(work(&world, 20), 2);
    let written = world.written();
    assert_eq!(written.len(), 1, "{written:?}");
    world.forge().forge.take_deliveries();

    // The rest comes with the next hour, and nothing twice.
    let read = world.all::<Issue>().len();
    world.pass_time(3600);
    work(&world, 120);
    assert!(!is_limited(&world));
    assert_eq!(issues_list(&world).status.expect("it has one").phase, ExternalSyncStatePhase::Succeeded);
    assert_eq!(world.all::<Issue>().len(), 60, "{read} were read in the first hour");
    assert_eq!(world.written().len(), 1);
}

#[test]
fn s43_the_forecast_says_how_many_calls_and_until_when() {
    let world = world(ISSUES, 40);
    let forecast = || block_on(world.driver.forecast(NAMESPACE, "site")).expect("the binding is there");
    assert!(forecast().lists.is_empty(), "nothing was asked for yet");
    work(&world, 11);
    let list = forecast().lists.into_iter().find(|list| list.kind.as_str() == "Issue").expect("it is read");
    let read = issues_list(&world).status.expect("it has one").pages_read;
    // Pages by time show the last row of the one before again: with one row a page the provider counts too few.
    assert_eq!(list.by, Basis::Provider);
    assert!(list.calls.is_some_and(|calls| (60 - read..60).contains(&calls)), "{list:?} after {read}");
    let done_by = list.done_by.expect("the calls are known");
    let end = start() + TimeDelta::seconds(ISSUES) + TimeDelta::hours(1);
    assert!(done_by > end && done_by < end + TimeDelta::minutes(3), "{done_by}: the hour's budget has 36 of them");
    while issues_list(&world).status.expect("it has one").phase != ExternalSyncStatePhase::Succeeded {
        world.pass_time(60);
        world.pass().expect("the store can be read");
    }
    let list = forecast().lists.into_iter().find(|list| list.kind.as_str() == "Issue").expect("it was read");
    assert_eq!((list.running, list.by), (false, Basis::LastRun));
    assert!(list.calls.is_some_and(|calls| (60..=121).contains(&calls)), "{list:?}");
    let missing = block_on(world.driver.forecast(NAMESPACE, "nowhere")).expect_err("there is no such binding");
    assert_eq!(missing.to_string(), "binding nowhere isn't there");
}

#[test]
fn s44_a_limit_of_the_account_stops_every_call_and_survives_a_restart() {
    let mut world = world(30, AN_HOUR);
    work(&world, 10);
    let now = world.forge_now();
    world.forge().forge.limit_secondarily("krate-bot", now, 300);
    assert_eq!(work(&world, 30), 1, "one call learns of it, and nobody else asks");
    assert!(is_limited(&world));
    retitle(&world, "A better title");
    world.start_cold();
    assert_eq!(work(&world, 200), 0);
    work(&world, 200);
    assert!(!is_limited(&world));
    assert_eq!(world.written().len(), 1);
    assert_eq!(world.all::<Issue>().len(), 30);
}

#[test]
fn s44_no_delivery_is_given_up_for_a_limit() {
    let world = world(3, AN_HOUR);
    work(&world, 20);
    let now = world.forge_now();
    // A comment on a pull request that isn't known here needs a read of it.
    {
        let forge = &mut world.forge().forge;
        forge.by("ada", now).push(REPOSITORY, "topic").expect("pushed");
        let number = forge
            .by("ada", now)
            .open_pull_request(REPOSITORY, NewPullRequest::new("Unknown here", "topic", "main"))
            .expect("opened");
        forge.take_deliveries();
        forge.by("ada", now).comment(REPOSITORY, number, "A remark").expect("written");
        forge.exhaust_quota("krate-bot", now);
    }
    assert_eq!(world.deliver(), 1);
    for _ in 0..60 {
        world.pass_time(59);
        world.pass().expect("the store can be read");
    }
    let waits = world.all::<ExternalWebhookDelivery>().pop().expect("it was taken in");
    assert_eq!(waits.phase(), "Retrying");
    assert!(waits.status.is_some_and(|status| status.attempts <= 1), "a limit costs no attempt");
    world.pass_time(120);
    world.settle().expect("all is read");
    assert_eq!(world.all::<ExternalWebhookDelivery>().pop().expect("it is there").phase(), "Succeeded");
    assert!(world.shown().iter().any(|line| line.contains("A remark")), "{:?}", world.shown());
}

#[test]
fn s44_a_limit_holds_although_the_clock_was_set_back_since_the_budget_was_known() {
    let world = world(2, 5_000);
    work(&world, 30);
    // By this clock the window ends later now than it did, so that each answer looks like one of a window before.
    world.clock.set_by(TimeDelta::seconds(-300));
    let now = world.forge_now();
    world.forge().forge.exhaust_quota("krate-bot", now);
    let actor = Actor::new(ActorKind::User, "alice");
    for number in 0..6 {
        let mut spec = IssueSpec::new("acme", format!("Made {number}"));
        spec.repository = Some("site".to_owned());
        let issue = Local::Issue(Issue::at(NAMESPACE, format!("made-{number}"), spec));
        block_on(world.driver.create(issue, &actor)).expect("it is taken in");
    }
    let asked = work(&world, 20);
    assert_eq!(asked, 1, "one call meets the limit, and no other one");
}
