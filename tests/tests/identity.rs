//! A binding stays with its repository, whatever that is called, and with nobody else's; its phases move by its machine only.

use krate_model::kinds::external::{
    BackfillMode, BoundTarget, ExternalBackendBinding, ExternalBackendProvider, ExternalObjectLink,
    ExternalWebhookDelivery, ExternalWriteIntent, TombstoneReason,
};
use krate_model::kinds::forge::Repository;
use krate_model::kinds::hooks::AuditEvent;
use krate_model::kinds::sets::ActorKind;
use krate_model::kinds::shared::{Actor, ObjectRef, Time};
use krate_model::kinds::work::Issue;
use krate_model::{Kind, Resource};
use krate_providers::simulator::{Faults, NewIssue};
use krate_sync::driver::Clock;
use krate_sync::local::Local;
use krate_sync::records::{Changes, bump_generation, get};
use krate_tests::world::{NAMESPACE, REPOSITORY, SECRET, World, block_on, start};

fn unread() -> World {
    let world = World::new(5, Faults::none(), "bidirectional");
    world.forge().forge.by("ada", start()).open_issue(REPOSITORY, NewIssue::titled("Broken")).expect("opened");
    world
}

fn world() -> World {
    let world = unread();
    world.deliver();
    world.settle().expect("quiet");
    world
}

fn now(world: &World) -> Time {
    world.clock.now()
}

fn binding(world: &World) -> ExternalBackendBinding {
    world.all::<ExternalBackendBinding>().remove(0)
}

fn target(world: &World) -> BoundTarget {
    binding(world).status.and_then(|status| status.target).expect("the target was read")
}

fn name(world: &World) -> (String, String) {
    let container = target(world).container;
    (container["owner"].clone(), container["repository"].clone())
}

fn told(world: &World, kind: &str) -> Vec<(Option<String>, Option<String>)> {
    let events = world.all::<AuditEvent>().into_iter().map(|event| event.spec);
    events.filter(|spec| spec.kind == kind).map(|spec| (spec.from, spec.to)).collect()
}

fn arrive(world: &World) {
    world.pass_time(5);
    world.deliver();
    world.settle().expect("quiet");
}

fn read_all(world: &World) {
    block_on(world.driver.request_backfill(NAMESPACE, "site", BackfillMode::Complete)).expect("the binding is there");
    world.settle().expect("quiet");
}

fn edit_title(world: &World, issue: &Issue, title: &str) {
    let reference = ObjectRef::new(Kind::Issue.as_str(), issue.name());
    let apply = |local: &mut Local| {
        if let Local::Issue(issue) = local {
            title.clone_into(&mut issue.spec.title);
        }
    };
    let person = Actor::new(ActorKind::User, "cleo");
    block_on(world.driver.edit(NAMESPACE, &reference, &person, &apply)).expect("the edit is accepted");
}

fn change_binding(world: &World, change: impl Fn(&mut ExternalBackendBinding)) {
    block_on(async {
        let found = get::<ExternalBackendBinding>(world.store.as_ref(), NAMESPACE, "site").await;
        let mut loaded = found.expect("it can be read").expect("it is there");
        change(loaded.change());
        bump_generation(loaded.change());
        let mut changes = Changes::at(now(world));
        changes.put(&loaded).expect("JSON");
        changes.commit(world.store.as_ref()).await.expect("it is written");
    });
}

#[test]
fn s5_a_renamed_repository_is_followed() {
    let world = world();
    let id = target(&world).native_id;
    let at = now(&world);
    world.forge().forge.by("ada", at).rename_repository(REPOSITORY, "home").expect("renamed");
    arrive(&world);
    assert_eq!(name(&world), ("acme".to_owned(), "home".to_owned()));
    assert_eq!((target(&world).native_id, target(&world).former_names), (id, vec![REPOSITORY.to_owned()]));
    let moved = (Some(REPOSITORY.to_owned()), Some("acme/home".to_owned()));
    assert_eq!(told(&world, "RepositoryRenamed"), [moved]);
    let local = world.all::<Repository>().remove(0);
    assert_eq!(local.status.expect("a status").former_names, [REPOSITORY]);
    // Both directions go on.
    let issue = world.all::<Issue>().remove(0);
    edit_title(&world, &issue, "Ours");
    arrive(&world);
    assert_eq!(world.forge().forge.issue("acme/home", 1).expect("it is there").title, "Ours");
    let at = now(&world);
    world.forge().forge.by("ada", at).open_issue("acme/home", NewIssue::titled("Second")).expect("opened");
    arrive(&world);
    assert_eq!(world.all::<Issue>().len(), 2);
    assert_eq!(binding(&world).phase(), "Ready");
}

#[test]
fn s5_a_repository_that_went_to_another_owner_is_followed() {
    let world = world();
    let at = now(&world);
    world.forge().forge.by("ada", at).transfer_repository(REPOSITORY, "beta").expect("transferred");
    arrive(&world);
    assert_eq!(name(&world), ("beta".to_owned(), "site".to_owned()));
    assert_eq!(told(&world, "RepositoryTransferred").len(), 1);
    let issue = world.all::<Issue>().remove(0);
    edit_title(&world, &issue, "Ours");
    arrive(&world);
    assert_eq!(world.forge().forge.issue("beta/site", 1).expect("it is there").title, "Ours");
}

#[test]
fn s5_whoever_takes_the_old_name_is_not_taken_for_the_repository() {
    for told_in_time in [true, false] {
        let world = world();
        let at = now(&world);
        {
            let forge = &mut world.forge().forge;
            forge.by("ada", at).rename_repository(REPOSITORY, "home").expect("renamed");
            if !told_in_time {
                forge.take_deliveries();
            }
        }
        {
            let forge = &mut world.forge().forge;
            forge.by("eve", at).create_repository(REPOSITORY).expect("the name is free");
            forge.add_hook(REPOSITORY, "http://127.0.0.1/webhooks/gh", Some(SECRET), at).expect("a hook");
            forge.by("eve", at).open_issue(REPOSITORY, NewIssue::titled("Theirs")).expect("opened");
        }
        arrive(&world);
        let titles =
            |world: &World| -> Vec<String> { world.all::<Issue>().into_iter().map(|issue| issue.spec.title).collect() };
        assert_eq!(titles(&world), ["Broken"], "told in time: {told_in_time}");
        let ignored = |delivery: &ExternalWebhookDelivery| {
            let status = delivery.status.as_ref();
            status.and_then(|status| status.outcome.as_ref()).map(ToString::to_string) == Some("Ignored".to_owned())
        };
        let deliveries = world.all::<ExternalWebhookDelivery>();
        let theirs: Vec<_> = deliveries.iter().filter(|it| it.spec.received_at > at).collect();
        assert!(theirs.iter().any(|it| it.spec.event_type == "issues" && ignored(it)), "{theirs:#?}");
        // A write of the old time goes to the old repository, and a list reads that one.
        let issue = world.all::<Issue>().remove(0);
        edit_title(&world, &issue, "Ours");
        arrive(&world);
        read_all(&world);
        assert_eq!(titles(&world), ["Ours"]);
        assert_eq!(name(&world).1, "home", "seen by a complete backfill at the latest");
        let network = world.forge();
        assert_eq!(network.forge.issue("acme/home", 1).expect("it is there").title, "Ours");
        assert_eq!(network.forge.issue(REPOSITORY, 1).expect("it is there").title, "Theirs");
    }
}

#[test]
fn s16_a_late_webhook_with_an_old_name_renames_nothing_back() {
    let world = world();
    let at = now(&world);
    world.forge().forge.by("ada", at).open_issue(REPOSITORY, NewIssue::titled("Late")).expect("opened");
    let late = world.forge().arrivals(at + chrono::TimeDelta::seconds(5));
    assert!(!late.is_empty());
    world.forge().forge.by("ada", at).rename_repository(REPOSITORY, "home").expect("renamed");
    let first = world.forge().arrivals(at + chrono::TimeDelta::seconds(5));
    world.forge().forge.by("ada", at).rename_repository("acme/home", "house").expect("renamed");
    arrive(&world);
    assert_eq!(name(&world).1, "house");
    for delivery in first.iter().chain(&late) {
        assert!(world.deliver_one(delivery));
    }
    world.settle().expect("quiet");
    assert_eq!(name(&world).1, "house");
    assert_eq!(told(&world, "RepositoryRenamed").len(), 1, "it was asked when it was called so already");
    assert_eq!(world.all::<Issue>().len(), 2, "the late event is taken all the same");
}

#[test]
fn s18_an_issue_that_was_transferred_away_is_gone_here_and_stays_so() {
    let world = world();
    let at = now(&world);
    let number = world.forge().forge.by("ada", at).open_issue(REPOSITORY, NewIssue::titled("Moves")).expect("opened");
    arrive(&world);
    let at = now(&world);
    world.forge().forge.by("ada", at).create_repository("acme/other").expect("made");
    world.forge().forge.by("ada", at).transfer(REPOSITORY, number, "acme/other").expect("transferred");
    arrive(&world);
    let gone: Vec<_> = world
        .all::<ExternalObjectLink>()
        .into_iter()
        .filter_map(|link| link.status.and_then(|status| status.tombstone).map(|tombstone| tombstone.reason))
        .collect();
    assert_eq!(gone, [TombstoneReason::Transferred]);
    read_all(&world);
    let open: Vec<_> = world.all::<Issue>().into_iter().filter(|issue| issue.phase() != "Deleted").collect();
    assert_eq!(open.len(), 1, "it is another repository's now");
    assert!(world.all::<ExternalWriteIntent>().is_empty(), "and nothing is made again");
}

#[test]
fn s41_a_binding_comes_into_sync_by_its_machine_only() {
    let world = world();
    let moves: Vec<_> = told(&world, "BindingPhase")
        .into_iter()
        .map(|(from, to)| format!("{} {}", from.unwrap_or_default(), to.unwrap_or_default()))
        .collect();
    assert_eq!(moves, ["Pending ValidatingTarget", "ValidatingTarget Backfilling", "Backfilling Ready"]);
}

#[test]
fn s40_a_binding_by_a_name_that_was_left_fails_until_it_is_changed() {
    let world = unread();
    let at = now(&world);
    world.forge().forge.by("ada", at).rename_repository(REPOSITORY, "home").expect("renamed");
    world.settle().expect("quiet");
    let failed = binding(&world);
    assert_eq!(failed.phase(), "Failed");
    let error = failed.status.expect("a status").last_error.expect("it says why");
    assert_eq!(error.class.as_str(), "Configuration", "{error:?}");
    assert!(world.all::<Issue>().is_empty(), "nothing is read");
    let asked = world.forge().forge.requests();
    world.pass_time(3600);
    world.settle().expect("quiet");
    assert_eq!(world.forge().forge.requests(), asked, "it isn't asked for again as it is");
    // Its name is given back, and a person touches the binding.
    world.forge().forge.by("ada", at).rename_repository("acme/home", "site").expect("renamed");
    change_binding(&world, |binding| binding.spec.sync_policy_ref = None);
    world.settle().expect("quiet");
    assert_eq!((binding(&world).phase(), world.all::<Issue>().len()), ("Ready", 1));
}

#[test]
fn s40_a_hook_that_krate_can_not_register_is_told() {
    let world = unread();
    change_binding(&world, |binding| binding.spec.owns_hook = true);
    world.settle().expect("quiet");
    let failed = binding(&world);
    assert_eq!(failed.phase(), "Failed");
    assert_eq!(failed.status.expect("a status").last_error.expect("why").path.as_deref(), Some("spec.ownsHook"));
    change_binding(&world, |binding| binding.spec.owns_hook = false);
    world.settle().expect("quiet");
    assert_eq!(binding(&world).phase(), "Ready");
}

#[test]
fn s37_a_failed_provider_is_asked_nothing_until_it_is_changed() {
    let world = world();
    let change = |base: Option<&str>| {
        block_on(async {
            let found = get::<ExternalBackendProvider>(world.store.as_ref(), NAMESPACE, "gh").await;
            let mut loaded = found.expect("it can be read").expect("it is there");
            loaded.change().spec.api_base_url = base.map(str::to_owned);
            bump_generation(loaded.change());
            let mut changes = Changes::at(now(&world));
            changes.put(&loaded).expect("JSON");
            changes.commit(world.store.as_ref()).await.expect("it is written");
        });
        for _ in 0..4 {
            world.pass_time(6);
            world.pass().expect("a pass");
        }
    };
    let phase = || world.all::<ExternalBackendProvider>().remove(0).phase().to_owned();
    change(None);
    assert_eq!(phase(), "Failed");
    assert_eq!(binding(&world).phase(), "Paused", "what it is about waits");
    change(Some("https://api.github.com"));
    assert_eq!((phase().as_str(), binding(&world).phase()), ("Ready", "Ready"));
    let moves = told(&world, "ProviderPhase").len();
    assert!(moves >= 7, "each move is audited: {moves}");
}

#[test]
fn s40_a_filter_that_krate_does_not_apply_fails_its_binding_and_nothing_is_synced() {
    let world = unread();
    change_binding(&world, |binding| {
        let filter = serde_json::json!({"labels": ["public"]});
        binding.spec.interfaces[0].filter = Some(serde_json::from_value(filter).expect("a filter"));
    });
    world.settle().expect("quiet");
    let failed = binding(&world);
    assert_eq!((failed.phase(), world.all::<Issue>().len()), ("Failed", 0));
    let path = failed.status.expect("a status").last_error.expect("why").path;
    assert_eq!(path.as_deref(), Some("spec.interfaces[0].filter"));
    change_binding(&world, |binding| binding.spec.interfaces[0].filter = None);
    world.settle().expect("quiet");
    assert_eq!(binding(&world).phase(), "Ready");
}
