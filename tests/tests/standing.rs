//! What providers and bindings show about themselves, and that they are written only when that changes (S42).

use bytes::Bytes;
use krate_model::condition::{condition, is_true};
use krate_model::kinds::external::{ExternalBackendBinding, ExternalBackendProvider, ExternalSyncConflict};
use krate_model::kinds::hooks::AuditEvent;
use krate_model::kinds::sets::{ActorKind, Interface};
use krate_model::kinds::shared::{Actor, ObjectRef};
use krate_model::kinds::work::Issue;
use krate_model::store::Store;
use krate_model::{Kind, Resource};
use krate_providers::simulator::{Faults, IssueEdit, Limits, NewIssue};
use krate_sync::driver::Config;
use krate_sync::local::Local;
use krate_sync::records::{Changes, get};
use krate_tests::world::{NAMESPACE, REPOSITORY, World, block_on, start};

fn world(mode: &str) -> World {
    let world = World::new(11, Faults::none(), mode);
    world.forge().forge.by("ada", start()).open_issue(REPOSITORY, NewIssue::titled("Broken")).expect("opened");
    world
}

fn binding(world: &World) -> ExternalBackendBinding {
    world.all::<ExternalBackendBinding>().remove(0)
}

fn provider(world: &World) -> ExternalBackendProvider {
    world.all::<ExternalBackendProvider>().remove(0)
}

fn holds(world: &World, kind: &str) -> bool {
    let [ours, theirs] = [
        is_true(&binding(world).status.unwrap_or_default().conditions, kind),
        is_true(&provider(world).status.unwrap_or_default().conditions, kind),
    ];
    assert_eq!(ours, theirs, "{kind} of the binding and of its only provider");
    ours
}

/// Time goes by and the driver works, until the next look is over.
fn look(world: &World) {
    for _ in 0..3 {
        world.pass_time(6);
        world.pass().expect("a pass");
    }
}

fn edit_title(world: &World, title: &str) {
    let issue = world.all::<Issue>().remove(0);
    let reference = ObjectRef::new(Kind::Issue.as_str(), issue.name());
    let apply = |local: &mut Local| {
        if let Local::Issue(issue) = local {
            title.clone_into(&mut issue.spec.title);
        }
    };
    let person = Actor::new(ActorKind::User, "cleo");
    block_on(world.driver.edit(NAMESPACE, &reference, &person, &apply)).expect("the edit is accepted");
}

#[test]
fn s42_a_quiet_system_shows_that_it_is_ready_and_writes_no_status() {
    let world = world("bidirectional");
    world.deliver();
    world.settle().expect("quiet");
    look(&world);
    for kind in ["Ready", "WebhookReady", "IssueTrackingReady", "GitForgeReady", "BackfillHealthy"] {
        assert!(holds(&world, kind), "{kind}: {:?}", binding(&world).status);
    }
    assert!(!holds(&world, "RateLimited") && !holds(&world, "ConflictsPresent"));
    assert_eq!(provider(&world).phase(), "Ready");
    let shown = provider(&world).status.expect("a status");
    assert!(shown.manifest.is_some() && is_true(&shown.conditions, "AuthReady"));
    assert!(is_true(&shown.conditions, "InstallationReady"), "tokens need no installation");
    assert_eq!(shown.rate_limits.len(), 1, "{shown:?}");
    let generations = shown.conditions.iter().map(|it| it.observed_generation);
    assert!(generations.clone().all(|it| it == Some(1)), "{shown:?}");
    let before = block_on(world.store.revision()).expect("a revision");
    for _ in 0..8 {
        world.pass_time(7);
        let pass = world.pass().expect("a pass");
        assert_eq!(pass.done, 0, "{pass:?}");
    }
    assert_eq!(block_on(world.store.revision()).expect("a revision"), before, "nothing is written");
}

#[test]
fn s42_a_wrong_signature_shows_until_a_right_one_comes() {
    let world = world("bidirectional");
    world.deliver();
    world.settle().expect("quiet");
    look(&world);
    assert!(holds(&world, "WebhookReady"));
    let now = world.clock.clone();
    let now = krate_sync::driver::Clock::now(now.as_ref());
    world.forge().forge.by("ada", now).open_issue(REPOSITORY, NewIssue::titled("Again")).expect("opened");
    let arrived = world.forge().arrivals(now);
    let request = arrived[0].to_request();
    let forged = Bytes::from_static(b"{\"action\": \"opened\"}");
    block_on(async {
        let config = Config::load(world.store.as_ref(), now).await.expect("it can be read");
        let refused = world.driver.accept(&config, "gh", request.headers(), &forged).await.expect("a store");
        assert!(refused.is_err());
    });
    look(&world);
    assert!(!holds(&world, "WebhookReady"));
    let shown = provider(&world).status.expect("a status");
    let failed = condition(&shown.conditions, "WebhookReady").expect("it is told").clone();
    assert_eq!(failed.reason, "SignatureRejected");
    assert_eq!(shown.last_delivery.expect("it came").failed_at, Some(now));
    assert!(world.deliver_one(&arrived[0]));
    look(&world);
    assert!(holds(&world, "WebhookReady"));
}

#[test]
fn s42_a_rate_limit_shows_with_its_end() {
    let world = world("bidirectional");
    world.forge().forge.set_limits(Limits { per_hour: 1, ..Limits::default() });
    look(&world);
    assert!(holds(&world, "RateLimited"));
    let shown = provider(&world).status.expect("a status");
    let limited = condition(&shown.conditions, "RateLimited").expect("it is told");
    assert!(limited.message.starts_with("until 2026-"), "{limited:?}");
    assert_eq!(shown.rate_limits[0].remaining, 0, "{shown:?}");
    world.forge().forge.set_limits(Limits::default());
    world.pass_time(3700);
    world.settle().expect("quiet");
    look(&world);
    assert!(!holds(&world, "RateLimited") && holds(&world, "Ready"));
}

#[test]
fn s42_a_write_that_waits_is_counted() {
    let world = world("reviewed-write");
    world.settle().expect("quiet");
    edit_title(&world, "Ours");
    look(&world);
    let pending = |interfaces: Vec<(Interface, i64)>| {
        let own = interfaces.into_iter().find(|(name, _)| *name == Interface::IssueTracking);
        own.expect("the interface").1
    };
    let ours = binding(&world).status.expect("a status").interfaces;
    assert_eq!(pending(ours.into_iter().map(|it| (it.name, it.pending_writes)).collect()), 1);
    let theirs = provider(&world).status.expect("a status").interfaces;
    assert_eq!(pending(theirs.into_iter().map(|it| (it.name, it.pending_writes)).collect()), 1);
}

#[test]
fn s42_r25_the_columns_show_all_interfaces() {
    let world = world("reviewed-write");
    world.settle().expect("quiet");
    edit_title(&world, "Ours");
    look(&world);
    let (ours, theirs) = (binding(&world).status.expect("a status"), provider(&world).status.expect("a status"));
    assert!(ours.interfaces.len() > 1 && theirs.interfaces.len() > 1, "{ours:?} {theirs:?}");
    assert_eq!((ours.open_conflicts, theirs.open_conflicts), (Some(0), Some(0)));
    assert_eq!(theirs.pending_writes, Some(theirs.interfaces.iter().map(|it| it.pending_writes).sum()));
    assert_eq!(theirs.pending_writes, Some(1));
    let longest_ago = ours.interfaces.iter().filter_map(|it| it.last_backfill_at).min();
    assert!(longest_ago.is_some() && ours.last_backfill_at == longest_ago, "{ours:?}");
}

#[test]
fn s41_s42_an_open_conflict_shows_and_moves_the_binding() {
    let world = world("bidirectional");
    world.settle().expect("quiet");
    world.pass_time(5);
    let now = krate_sync::driver::Clock::now(world.clock.as_ref());
    let theirs = IssueEdit { title: Some("Theirs".into()), ..IssueEdit::default() };
    world.forge().forge.by("bob", now).edit_issue(REPOSITORY, 1, theirs).expect("edited");
    edit_title(&world, "Ours");
    world.settle().expect("quiet");
    look(&world);
    assert_eq!(world.all::<ExternalSyncConflict>().len(), 1);
    assert!(holds(&world, "ConflictsPresent"));
    let shown = binding(&world);
    assert_eq!(shown.phase(), "Conflict");
    let shown = shown.status.expect("a status");
    assert_eq!(shown.interfaces.iter().map(|it| it.open_conflicts).sum::<i64>(), 1);
    assert_eq!((shown.open_conflicts, provider(&world).status.expect("a status").open_conflicts), (Some(1), Some(1)));
    let moves: Vec<AuditEvent> = world.all::<AuditEvent>();
    assert!(moves.iter().any(|event| format!("{:?}", event.spec).contains("BindingPhase")), "the move is audited");
}

#[test]
fn s37_s42_a_suspended_binding_is_paused_and_goes_on_when_it_is_resumed() {
    let world = world("bidirectional");
    world.settle().expect("quiet");
    let suspend = |suspended: bool| {
        block_on(async {
            let found = get::<ExternalBackendBinding>(world.store.as_ref(), NAMESPACE, "site").await;
            let mut loaded = found.expect("it can be read").expect("it is there");
            loaded.change().spec.suspend = suspended;
            krate_sync::records::bump_generation(loaded.change());
            let mut changes = Changes::at(start());
            changes.put(&loaded).expect("JSON");
            changes.commit(world.store.as_ref()).await.expect("it is written");
        });
        look(&world);
    };
    for (suspended, phase) in [(true, "Paused"), (false, "Ready")] {
        suspend(suspended);
        let shown = binding(&world);
        assert_eq!(shown.phase(), phase);
        let status = shown.status.expect("a status");
        assert_eq!(is_true(&status.conditions, "Ready"), !suspended);
        assert_eq!(status.observed_generation, shown.metadata.generation);
    }
    // What nobody has read for longer than the policy lets it be is stale, and said to be.
    suspend(true);
    world.pass_time(7 * 3_600);
    look(&world);
    let conditions = binding(&world).status.expect("a status").conditions;
    let healthy = conditions.iter().find(|it| it.type_ == "BackfillHealthy").expect("the condition");
    assert_eq!((healthy.status.as_str(), healthy.reason.as_str()), ("False", "Stale"));
    suspend(false);
    world.settle().expect("quiet");
    look(&world);
    assert!(holds(&world, "BackfillHealthy"));
}
