//! Lost deliveries are found in the provider's log, named, and fetched from there; nothing else is read (S26, design.md section 4).

use krate_model::condition::condition;
use krate_model::kinds::external::{
    DeliveryLogStatus, ExternalBackendBinding, ExternalBackendBindingStatus, ExternalBackendProvider,
    ExternalSyncState, ExternalWebhookDelivery, LostWindow,
};
use krate_model::kinds::sets::ErrorClass;
use krate_model::kinds::work::Issue;
use krate_providers::simulator::{Faults, IssueEdit, Limits, NewIssue};
use krate_tests::world::{Crash, REPOSITORY, TOKEN, World};

/// Calls an hour of an installation's budget.
const AN_HOUR: u64 = 15_000;
/// Within which a lost delivery is found, in seconds.
const FOUND_WITHIN: i64 = 60;

/// A repository with one issue, in sync, whose hook's log is watched.
fn world() -> World {
    let world = World::new(3, Faults::none(), "bidirectional");
    world.change(|provider: &mut ExternalBackendProvider| {
        provider.spec.webhook.as_mut().expect("it has one").delivery_log = true;
    });
    {
        let forge = &mut world.forge().forge;
        forge.set_limits(Limits { per_hour: AN_HOUR, creations_per_minute: usize::MAX, ..Limits::default() });
        forge.by("ada", world.forge_now()).open_issue(REPOSITORY, NewIssue::titled("Issue 0")).expect("opened");
    }
    world.deliver();
    world.settle().expect("quiet");
    world.pass().expect("the store can be read");
    world
}

fn status(world: &World) -> ExternalBackendBindingStatus {
    world.all::<ExternalBackendBinding>().pop().and_then(|binding| binding.status).expect("it has one")
}

fn log(world: &World) -> DeliveryLogStatus {
    status(world).delivery_log.unwrap_or_default()
}

fn retitle(world: &World, title: &str) {
    let now = world.forge_now();
    world.forge().forge.by("ada", now).edit_issue(REPOSITORY, 1, IssueEdit::new().title(title)).expect("it is there");
}

/// Edits whose webhooks never arrive.
fn lose(world: &World, edits: usize) {
    for edit in 1..=edits {
        retitle(world, &format!("Lost edit {edit}"));
        world.forge().forge.take_deliveries();
        world.pass_time(1);
    }
}

fn title(world: &World) -> String {
    world.all::<Issue>().pop().expect("one was read").spec.title
}

/// Passes a second apart until `done`; how many seconds that took.
fn wait(world: &World, most: i64, done: impl Fn(&World) -> bool) -> i64 {
    for second in 0..most {
        if done(world) {
            return second;
        }
        world.pass_time(1);
        // A process that died is started again.
        if world.pass().is_none() || world.is_dead() {
            world.restart();
        }
    }
    panic!("not within {most} s: {:?}", log(world));
}

fn runs(world: &World) -> Vec<Option<String>> {
    world.all::<ExternalSyncState>().into_iter().map(|list| list.status.and_then(|status| status.run_id)).collect()
}

fn recovered(window: &LostWindow) -> (i64, i64) {
    (window.deliveries, window.recovered)
}

#[test]
fn s26_lost_deliveries_are_found_within_a_minute_named_and_fetched_alone() {
    let world = world();
    let (lists, first) = (runs(&world), world.forge_now());
    let before = world.forge().forge.requests();
    lose(&world, 3);
    assert!(wait(&world, FOUND_WITHIN, |world| title(world) == "Lost edit 3") <= FOUND_WITHIN);
    assert_eq!(runs(&world), lists, "no list was read");
    let window = log(&world).lost.pop().expect("it is named");
    assert_eq!(recovered(&window), (3, 3));
    assert_eq!((window.to - window.from).num_seconds(), 2);
    assert_eq!((window.from - first).num_seconds(), 0);
    let spent = world.forge().forge.requests() - before;
    assert!(spent <= 3 + 6, "one call each, and the looks: {spent}");
    // The window is audited and shows in the condition, until a webhook arrives again; while nothing happens, nothing is written.
    wait(&world, 30, |world| {
        let conditions = status(world).conditions;
        condition(&conditions, "WebhookReady").is_some_and(|it| it.reason == "DeliveriesLost")
    });
    let shown = world.all::<ExternalBackendBinding>();
    for _ in 0..30 {
        world.pass_time(1);
        world.pass().expect("the store can be read");
    }
    assert_eq!(world.all::<ExternalBackendBinding>(), shown, "S42: a condition's time moves with its status only");
    retitle(&world, "It arrives");
    assert_eq!(world.deliver(), 1);
    wait(&world, 30, |world| {
        let conditions = status(world).conditions;
        condition(&conditions, "WebhookReady").is_some_and(|it| it.reason == "Verified")
    });
}

#[test]
fn s11_a_delivery_that_comes_late_is_the_one_that_was_fetched() {
    let world = world();
    retitle(&world, "On its way");
    let late = world.forge().forge.take_deliveries().pop().expect("one was sent");
    wait(&world, FOUND_WITHIN, |world| title(world) == "On its way");
    let deliveries = world.all::<ExternalWebhookDelivery>();
    assert!(world.deliver_one(&late), "it is acknowledged");
    assert_eq!(world.all::<ExternalWebhookDelivery>(), deliveries, "and changes nothing");
    let fetched: Vec<_> = deliveries.iter().filter(|it| it.spec.source.contains_key("deliveryLog")).collect();
    let [fetched] = fetched.as_slice() else { panic!("one was fetched: {fetched:?}") };
    assert_eq!(fetched.spec.delivery_id, late.id);
    assert_eq!(fetched.spec.signature.algorithm.as_str(), "none", "nobody claims that it was signed");
}

#[test]
fn s26_what_arrives_in_time_is_not_taken_for_lost_and_looks_stay_within_three_percent() {
    let world = world();
    let before = world.forge().forge.requests();
    let lists = runs(&world);
    for second in 0..3600 {
        if second % 10 == 0 {
            retitle(&world, &format!("Title {second}"));
        }
        // Each is nine seconds on its way.
        if second % 10 == 9 {
            world.deliver();
        }
        world.pass_time(1);
        world.pass().expect("the store can be read");
    }
    let spent = world.forge().forge.requests() - before;
    // Three lists every quarter of an hour.
    let lists = if runs(&world) == lists { 0 } else { 4 * 3 * 2 };
    assert!(spent <= AN_HOUR * 3 / 100 + lists, "{spent}");
    assert_eq!(log(&world).lost, []);
    assert!(log(&world).checked_at.is_some_and(|at| (world.forge_now() - at).num_minutes() <= 11));
}

#[test]
fn s26_a_quiet_log_costs_nothing() {
    let world = world();
    wait(&world, 60, |world| log(world).checked_at.is_some());
    let spent = |world: &World| world.forge().forge.charged("krate-bot");
    let before = spent(&world);
    for _ in 0..300 {
        world.pass_time(1);
        world.pass().expect("the store can be read");
    }
    assert_eq!(spent(&world), before, "S25: what hasn't changed is free");
}

#[test]
fn s9_what_failed_to_prove_itself_is_fetched_from_who_can() {
    let world = world();
    world.forge().forge.rotate_secret(world.hook, "a secret that krate hasn't been told");
    retitle(&world, "Signed otherwise");
    assert_eq!(world.deliver(), 0, "it isn't believed");
    wait(&world, FOUND_WITHIN, |world| title(world) == "Signed otherwise");
    assert_eq!(log(&world).lost.first().map(recovered), Some((1, 1)));
}

#[test]
fn s26_what_the_log_does_not_give_is_looked_for_in_the_lists() {
    let world = world();
    // Payloads are longer than this: none is taken in.
    world.change(|provider: &mut ExternalBackendProvider| {
        provider.spec.webhook.as_mut().expect("it has one").max_body_bytes = 1024;
    });
    let lists = runs(&world);
    lose(&world, 1);
    wait(&world, FOUND_WITHIN, |world| title(world) == "Lost edit 1");
    assert_ne!(runs(&world), lists);
    assert_eq!(log(&world).lost.first().map(recovered), Some((1, 0)));
    // It isn't found again and again.
    for _ in 0..60 {
        world.pass_time(1);
        world.pass().expect("the store can be read");
    }
    assert_eq!(log(&world).lost.len(), 1);
}

#[test]
fn s26_a_long_outage_is_made_up_for_look_by_look() {
    let world = world();
    lose(&world, 300);
    wait(&world, 300, |world| title(world) == "Lost edit 300");
    let lost = log(&world).lost;
    assert_eq!(lost.iter().map(|window| window.deliveries).sum::<i64>(), 300);
    assert!(lost.iter().all(|window| window.deliveries == window.recovered), "{lost:?}");
}

#[test]
fn s26_what_is_further_back_than_a_look_reads_is_looked_for_in_the_lists() {
    let world = world();
    retitle(&world, "The first of many");
    world.forge().forge.take_deliveries();
    // More lines than a look reads; all of these arrive.
    for comment in 0..3_300 {
        let now = world.forge_now();
        world.forge().forge.by("ada", now).comment(REPOSITORY, 1, &format!("{comment}")).expect("it is there");
    }
    world.deliver();
    let lists = runs(&world);
    wait(&world, FOUND_WITHIN, |world| runs(world) != lists);
    wait(&world, 30, |world| title(world) == "The first of many");
}

#[test]
fn s26_a_crash_at_any_commit_loses_no_lost_delivery() {
    for commit in 0..12 {
        for after in [false, true] {
            let mut world = world();
            lose(&world, 3);
            world.plan_crash(Some(Crash { commit, after }));
            // The process that is started again knows what the store holds.
            while title(&world) != "Lost edit 3" {
                world.pass_time(1);
                if world.pass().is_none() || world.is_dead() {
                    world.start_cold();
                }
            }
            let named: i64 = log(&world).lost.iter().map(|window| window.deliveries).sum();
            assert_eq!(named, 3, "{commit}: the window is named, once: {:?}", log(&world));
            let fetched = world.all::<ExternalWebhookDelivery>();
            let fetched = fetched.iter().filter(|it| it.spec.source.contains_key("deliveryLog")).count();
            assert_eq!(fetched, 3, "{commit}: each once");
        }
    }
}

#[test]
fn s44_a_limit_in_the_middle_names_the_window_once_and_ends_with_all_of_it() {
    let world = world();
    lose(&world, 40);
    {
        let forge = &mut world.forge().forge;
        forge.set_limits(Limits { per_hour: forge.charged("krate-bot") + 20, ..Limits::default() });
    }
    for _ in 0..2 * 3600 {
        world.pass_time(1);
        world.pass().expect("the store can be read");
    }
    assert_eq!(log(&world).lost.iter().map(recovered).collect::<Vec<_>>(), [(40, 40)]);
}

#[test]
fn s26_a_process_that_starts_looks_back_to_where_the_last_one_was() {
    let mut world = world();
    wait(&world, 60, |world| log(world).checked_at.is_some());
    lose(&world, 2);
    world.start_cold();
    wait(&world, FOUND_WITHIN, |world| title(world) == "Lost edit 2");
    assert_eq!(log(&world).lost.iter().map(|window| window.recovered).sum::<i64>(), 2);
}

#[test]
fn s42_a_log_that_may_not_be_read_is_said_and_left_alone() {
    let world = world();
    wait(&world, 60, |world| log(world).checked_at.is_some());
    world.forge().forge.make_token_read_only(TOKEN);
    retitle(&world, "Seen by webhook");
    world.deliver();
    wait(&world, 120, |world| log(world).unread.is_some());
    let unread = log(&world).unread.expect("it says so");
    assert_eq!(unread.class, ErrorClass::NotFound);
    let before = world.forge().forge.requests();
    for _ in 0..600 {
        world.pass_time(1);
        world.pass().expect("the store can be read");
    }
    let spent = world.forge().forge.requests() - before;
    assert!(spent <= 4, "{spent}");
    assert_eq!(status(&world).staleness_bound.map(|bound| bound.to_string()), Some("15m".to_owned()));
}

#[test]
fn s42_a_repository_without_our_hook_says_so() {
    let world = world();
    world.forge().forge.set_hook_url(world.hook, "https://ci.example/hook?token=canary-in-a-query");
    let mut world = world;
    world.start_cold();
    wait(&world, 60, |world| log(world).unread.is_some());
    let unread = log(&world).unread.expect("it says so");
    assert!(unread.message.contains("/webhooks/gh"), "{}", unread.message);
    let provider = world.all::<ExternalBackendProvider>().pop().and_then(|it| it.status).expect("it has one");
    assert_eq!(provider.webhook_path.as_deref(), Some("/webhooks/gh"));
    let everything = format!("{:?}", world.all::<ExternalBackendBinding>());
    assert!(!everything.contains("canary"), "S47");
}
