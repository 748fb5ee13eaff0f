//! What the engine keeps to on its way, on a simulated forge: no secret in a write (S38), budgets noted by every call (S43), a provider an interface (S52).

use krate_model::audit::AuditEvent;
use krate_model::kinds::external::{
    ExternalBackendBinding, ExternalBackendProvider, ExternalBackendSyncPolicy, ExternalWebhookDelivery,
    ExternalWriteIntent, ExternalWriteIntentPhase,
};
use krate_model::kinds::sets::{ActorKind, ErrorClass, Interface, Mode, Operation};
use krate_model::kinds::shared::{Actor, Body, ErrorInfo, ObjectRef};
use krate_model::kinds::work::{Comment, CommentSpec, Issue, IssueSpec, PullRequest};
use krate_model::{Kind, Resource};
use krate_providers::simulator::{Faults, IssueEdit, Limits, NewIssue, NewPullRequest};
use krate_sync::driver::{Clock, DriverError};
use krate_sync::local::Local;
use krate_sync::plan::PlanError;
use krate_sync::records::{Changes, Loaded, get};
use krate_tests::world::{NAMESPACE, REPOSITORY, World, block_on, start};

/// Shaped like a token; it belongs to nobody.
const TOKEN_SHAPE: &str = "ghp_0123456789abcdefghijklmnopqrstuvwxyz";

fn alice() -> Actor {
    Actor::new(ActorKind::User, "alice")
}

fn world() -> World {
    let world = World::new(1, Faults::none(), "bidirectional");
    world.forge().forge.by("ada", start()).open_issue(REPOSITORY, NewIssue::titled("Crash")).expect("opened");
    world.settle().expect("quiet");
    world.pass_time(5);
    world
}

fn edit(world: &World, change: impl Fn(&mut IssueSpec) + Sync) -> Result<Local, DriverError> {
    let object = ObjectRef::new(Kind::Issue.as_str(), world.all::<Issue>()[0].name());
    let apply = |local: &mut Local| {
        if let Local::Issue(issue) = local {
            change(&mut issue.spec);
        }
    };
    block_on(world.driver.edit(NAMESPACE, &object, &alice(), &apply))
}

fn put<T: Resource>(world: &World, loaded: &Loaded<T>) {
    let mut changes = Changes::at(start());
    changes.put(loaded).expect("JSON");
    block_on(changes.commit(world.store.as_ref())).expect("written");
}

fn title_there(world: &World) -> String {
    world.forge().forge.issue(REPOSITORY, 1).expect("there").title.clone()
}

/// The one write was not sent, and says why.
fn refused(world: &World) -> ErrorInfo {
    world.settle().expect("quiet");
    assert_eq!(title_there(world), "Crash");
    let intent = world.all::<ExternalWriteIntent>().remove(0);
    assert_eq!(intent.phase(), "Failed");
    intent.status.and_then(|status| status.error).expect("it says why")
}

#[test]
fn r70_without_the_policy_that_is_named_krate_reads_and_writes_nothing_and_loses_no_edit() {
    let world = world();
    let named = world.all::<ExternalBackendBinding>()[0].spec.sync_policy_ref.clone();
    // What is held back looks again and again: no world with it is ever quiet.
    let work = || {
        for _ in 0..10 {
            world.pass_time(10);
            world.pass().expect("the store can be read");
        }
    };
    let name_policy = |name: Option<String>| {
        world.change(|binding: &mut ExternalBackendBinding| binding.spec.sync_policy_ref = name);
        work();
    };
    let degraded = || {
        let binding = world.all::<ExternalBackendBinding>().remove(0);
        let conditions = binding.status.expect("shown").conditions;
        let found = conditions.into_iter().find(|it| it.type_ == "Degraded").expect("the condition");
        (found.status, found.reason)
    };
    assert_eq!(degraded(), ("False".to_owned(), "PolicyInForce".to_owned()));
    edit(&world, |spec| "Ours".clone_into(&mut spec.title)).expect("accepted");
    name_policy(Some("nowhere".to_owned()));
    assert_eq!(degraded(), ("True".to_owned(), "PolicyMissing".to_owned()));
    assert_eq!(title_there(&world), "Crash", "what waited isn't sent");
    let refused = edit(&world, |spec| spec.body = Some(Body::markdown("Ours"))).expect_err("refused");
    assert_eq!(
        refused.to_string(),
        "spec.title: the sync policy \"nowhere\" isn't there, and without it nothing is written; make it, or name another one (R70)"
    );
    let mut comment = IssueSpec::new("acme", "Made here");
    comment.repository = Some("site".to_owned());
    let made = block_on(world.driver.create(Local::Issue(Issue::at(NAMESPACE, "made", comment)), &alice()));
    assert!(matches!(made, Err(DriverError::Plan(PlanError::PolicyMissing { .. }))), "{made:?}");

    // What happens there meanwhile is taken in, and takes nothing away.
    let now = world.clock.now();
    let theirs = IssueEdit { body: Some(Some("Theirs".into())), ..IssueEdit::default() };
    world.forge().forge.by("bob", now).edit_issue(REPOSITORY, 1, theirs).expect("edited");
    world.forge().forge.by("bob", now).label(REPOSITORY, 1, &["bug"]).expect("labelled");
    world.deliver();
    work();
    let issue = world.all::<Issue>().remove(0).spec;
    assert_eq!((issue.title.as_str(), issue.body.expect("a body").markdown.as_str()), ("Ours", "Theirs"));
    assert_eq!(issue.labels.len(), 1);

    name_policy(named);
    assert_eq!(degraded(), ("False".to_owned(), "PolicyInForce".to_owned()));
    assert_eq!(title_there(&world), "Ours");
}

#[test]
fn s39_what_waits_is_not_sent_once_the_policy_denies_it() {
    let world = world();
    edit(&world, |spec| "Ours".clone_into(&mut spec.title)).expect("accepted");
    world.change(|policy: &mut ExternalBackendSyncPolicy| {
        policy.spec.write_policy.denied_operations = vec![Operation::UpdateIssue];
    });
    let error = refused(&world);
    assert_eq!(error.class, ErrorClass::Permission);
    assert_eq!(error.message, "updateIssue: the sync policy doesn't allow it (spec.writePolicy)");
}

#[test]
fn r52_what_is_to_be_tried_again_is_not_sent_once_it_is_forbidden() {
    let world = world();
    edit(&world, |spec| "Ours".clone_into(&mut spec.title)).expect("accepted");
    world.change(|intent: &mut ExternalWriteIntent| {
        let status = intent.status_mut();
        (status.phase, status.attempts) = (ExternalWriteIntentPhase::Retrying, 1);
    });
    world.change(|policy: &mut ExternalBackendSyncPolicy| {
        policy.spec.write_policy.denied_operations = vec![Operation::UpdateIssue];
    });
    let error = refused(&world);
    assert_eq!(error.class, ErrorClass::Permission);
}

#[test]
fn r45_the_mode_that_a_policy_proposes_changes_no_binding() {
    let world = World::new(1, Faults::none(), "read-only");
    world.forge().forge.by("ada", start()).open_issue(REPOSITORY, NewIssue::titled("Crash")).expect("opened");
    world.change(|policy: &mut ExternalBackendSyncPolicy| policy.spec.write_policy.default_mode = Mode::Bidirectional);
    world.settle().expect("quiet");
    let refused = edit(&world, |spec| "Ours".clone_into(&mut spec.title)).expect_err("refused");
    assert_eq!(refused.to_string(), "spec.title: the binding's mode is read-only; local changes of it are refused");
}

#[test]
fn s12_s46_what_no_store_takes_is_given_up_and_holds_nothing_else_up() {
    let world = World::new(1, Faults::none(), "bidirectional");
    world.settle().expect("quiet");
    world.change(|provider: &mut ExternalBackendProvider| {
        provider.spec.webhook.as_mut().expect("it has webhooks").max_body_bytes = 26_214_400;
    });
    world.change(|policy: &mut ExternalBackendSyncPolicy| policy.spec.retry.max_attempts = 3);
    let now = world.clock.now();
    let huge = NewIssue::titled("Too large").body("x".repeat(1_200_000));
    world.forge().forge.by("ada", now).open_issue(REPOSITORY, huge).expect("opened");
    world.deliver();
    world.forge().forge.by("ada", now).open_issue(REPOSITORY, NewIssue::titled("Small")).expect("opened");
    world.deliver();
    for _ in 0..10 {
        world.pass_time(300);
        world.pass().expect("the store is there");
    }
    let titles: Vec<String> = world.all::<Issue>().into_iter().map(|issue| issue.spec.title).collect();
    assert_eq!(titles, ["Small"]);
    let deliveries = world.all::<ExternalWebhookDelivery>();
    let given_up: Vec<_> = deliveries.iter().filter(|delivery| delivery.phase() == "DeadLettered").collect();
    assert_eq!(given_up.len(), 1, "{deliveries:?}");
    let error = given_up[0].status.as_ref().and_then(|status| status.error.as_ref()).expect("it says why");
    assert!(error.message.contains("are allowed (R22)"), "{error:?}");
}

#[test]
fn r52_what_waits_is_not_sent_once_its_interface_is_off() {
    let world = world();
    edit(&world, |spec| "Ours".clone_into(&mut spec.title)).expect("accepted");
    world.change(|binding: &mut ExternalBackendBinding| {
        for interface in &mut binding.spec.interfaces {
            interface.enabled = interface.name != Interface::IssueTracking;
        }
    });
    let error = refused(&world);
    assert_eq!(error.message, "issueTracking: binding site doesn't sync it; nothing of it is written");
}

#[test]
fn r52_what_waits_is_not_sent_once_its_binding_only_reads() {
    let world = world();
    edit(&world, |spec| "Ours".clone_into(&mut spec.title)).expect("accepted");
    world.change(|binding: &mut ExternalBackendBinding| {
        for interface in &mut binding.spec.interfaces {
            interface.mode = Mode::ReadOnly;
        }
    });
    let error = refused(&world);
    assert_eq!(error.message, "spec.title: the binding's mode is read-only; local changes of it are refused");
}

#[test]
fn s38_a_write_with_a_secret_is_refused_wherever_it_stands_and_nothing_is_stored() {
    let world = world();
    let before = world.all::<Issue>();
    let made = |mut spec: IssueSpec| {
        spec.repository = Some("site".to_owned());
        block_on(world.driver.create(Local::Issue(Issue::at(NAMESPACE, "made", spec)), &alice()))
    };
    let mut labelled = IssueSpec::new("acme", "Fine");
    labelled.labels.insert("fine".to_owned());
    labelled.labels.insert(TOKEN_SHAPE.to_owned());
    let mut with_body = IssueSpec::new("acme", "Fine");
    with_body.body = Some(Body::markdown(format!("Try this:\n\n    export TOKEN={TOKEN_SHAPE}\n")));
    let about = ObjectRef::new(Kind::Issue.as_str(), before[0].name());
    let comment = Comment::at(NAMESPACE, "c1", CommentSpec::new("acme", about, Body::markdown(TOKEN_SHAPE)));
    let refused = [
        ("payload.updateIssue.title", edit(&world, |spec| spec.title = format!("See {TOKEN_SHAPE}"))),
        ("payload.updateIssue.body", edit(&world, |spec| spec.body = Some(Body::markdown(TOKEN_SHAPE)))),
        ("payload.addLabels.labels[0]", edit(&world, |spec| spec.labels.extend([TOKEN_SHAPE.to_owned()]))),
        ("payload.createIssue.title", made(IssueSpec::new("acme", TOKEN_SHAPE))),
        ("payload.createIssue.body", made(with_body)),
        ("payload.createIssue.labels[1]", made(labelled)),
        ("payload.createComment.body", block_on(world.driver.create(Local::Comment(comment), &alice()))),
    ];
    for (wanted, result) in refused {
        let error = result.expect_err(wanted);
        assert!(matches!(&error, DriverError::Plan(PlanError::Secret { path }) if path == wanted), "{wanted}: {error}");
        assert!(!format!("{error} {error:?}").contains(TOKEN_SHAPE), "S47: {wanted}");
    }
    world.settle().expect("quiet");
    assert!(world.all::<ExternalWriteIntent>().is_empty());
    assert_eq!(world.written().len(), 0);
    assert_eq!((world.all::<Issue>(), world.all::<Comment>().len()), (before, 0));
}

#[test]
fn s43_every_call_of_a_write_is_a_reading_of_its_budget_in_the_status() {
    let world = world();
    world.forge().forge.set_limits(Limits { per_hour: 60, creations_per_minute: usize::MAX, ..Limits::default() });
    let reading = || {
        let provider = world.all::<ExternalBackendProvider>().remove(0);
        let limits = provider.status.map(|status| status.rate_limits).unwrap_or_default();
        limits.into_iter().find(|reading| reading.scope == "core").map(|reading| (reading.limit, reading.remaining))
    };
    let mut remaining = Vec::new();
    for number in 0..12 {
        edit(&world, |spec| spec.title = format!("Title {number}")).expect("accepted");
        // Within the interval of the lists: only the writes call.
        for _ in 0..4 {
            world.pass().expect("the store is there");
            world.pass_time(2);
        }
        remaining.push(reading());
    }
    assert_eq!(world.written().len(), 12);
    let shown: Vec<i64> = remaining.iter().flatten().filter(|(limit, _)| *limit == 60).map(|(_, left)| *left).collect();
    assert!(shown.len() >= 11, "{remaining:?}");
    assert!(shown.first() > shown.last() && shown.is_sorted_by(|one, next| one >= next), "{remaining:?}");
}

/// The issues of the repository are on another provider than its code.
fn split() -> World {
    let world = World::new(1, Faults::none(), "bidirectional");
    let metadata = |name: &str| serde_json::json!({"name": name, "namespace": NAMESPACE});
    world.forge().forge.by("ada", start()).create_repository("acme/tracker").expect("made");
    let mut forge: Loaded<ExternalBackendBinding> =
        block_on(get(world.store.as_ref(), NAMESPACE, "site")).expect("readable").expect("there");
    forge.change().spec.interfaces.retain(|interface| interface.name == Interface::GitForge);
    put(&world, &forge);
    let provider: ExternalBackendProvider = serde_json::from_value(serde_json::json!({
        "apiVersion": krate_model::API_VERSION, "kind": "ExternalBackendProvider", "metadata": metadata("issues"),
        "spec": {
            "organizationRef": "acme", "providerType": "github", "displayName": "Issues",
            "apiBaseUrl": "https://api.github.com",
            "authRef": {"mode": "personal-access-token", "secretRef": {"name": "issues"}},
            "webhook": {"secretRefs": [{"name": "first", "secretRef": {"name": "issues", "key": "webhook"}}]},
            "capabilities": {"issueTracking": true},
        },
    }))
    .expect("a provider");
    let binding: ExternalBackendBinding = serde_json::from_value(serde_json::json!({
        "apiVersion": krate_model::API_VERSION, "kind": "ExternalBackendBinding", "metadata": metadata("a-tracker"),
        "spec": {
            "organizationRef": "acme", "providerRef": "issues", "syncPolicyRef": "policy",
            "targetRef": {"kind": "Repository", "name": "site"},
            "externalRef": {"owner": "acme", "repository": "tracker"},
            "interfaces": [{"name": "issueTracking", "mode": "bidirectional"}],
        },
    }))
    .expect("a binding");
    put(&world, &Loaded::new(provider));
    put(&world, &Loaded::new(binding));
    world
}

#[test]
fn s52_an_event_of_one_provider_leads_to_a_write_on_another_and_the_audit_trail_has_both() {
    let world = split();
    world.settle().expect("quiet");
    {
        let mut network = world.forge();
        let mut ada = network.forge.by("ada", start() + chrono::TimeDelta::seconds(2));
        ada.push(REPOSITORY, "topic").expect("pushed");
        ada.open_pull_request(REPOSITORY, NewPullRequest::new("Fix", "topic", "main")).expect("opened");
    }
    world.deliver();
    world.settle().expect("quiet");
    let pull = world.all::<PullRequest>().remove(0);
    // What the pull request brought up becomes an issue of the same repository.
    let mut spec = IssueSpec::new("acme", format!("Follow up on {}", pull.spec.title));
    spec.repository = Some(pull.spec.repository.clone());
    block_on(world.driver.create(Local::Issue(Issue::at(NAMESPACE, "follow-up", spec)), &alice())).expect("accepted");
    world.settle().expect("quiet");

    assert!(world.forge().forge.issue("acme/tracker", 1).is_some_and(|issue| issue.title == "Follow up on Fix"));
    assert_eq!(world.written().len(), 1, "and nowhere else");
    let intent = world.all::<ExternalWriteIntent>().remove(0);
    assert_eq!((intent.spec.provider_ref.as_str(), intent.spec.binding_ref.as_str()), ("issues", "a-tracker"));
    let audit = world.all::<AuditEvent>();
    let about = |provider: &str, kind: &str| {
        audit.iter().any(|event| event.spec.provider.as_deref() == Some(provider) && event.spec.kind == kind)
    };
    assert!(about("gh", "DeliveryPhase") && about("issues", "WriteIntentPhase"), "{audit:#?}");
    assert!(!about("gh", "WriteIntentPhase"));
}

/// What somebody else than a controller has put on an object.
fn mark<T: Resource>(world: &World, name: &str) {
    let mut loaded: Loaded<T> = block_on(get(world.store.as_ref(), NAMESPACE, name)).expect("readable").expect("there");
    let metadata = loaded.change().metadata_mut();
    metadata.annotations.get_or_insert_default().insert("example.com/note".to_owned(), "mine".to_owned());
    metadata.labels.get_or_insert_default().insert("a5c.ai/owner".to_owned(), "alice".to_owned());
    metadata.finalizers.get_or_insert_default().push("example.com/hold".to_owned());
    let field =
        serde_json::json!([{"manager": "alice", "operation": "Update", "fieldsV1": {"f:spec": {"f:title": {}}}}]);
    metadata.managed_fields = serde_json::from_value(field).expect("managed fields");
    put(world, &loaded);
}

/// Whether all of it is still there.
fn is_marked<T: Resource>(object: &T) -> bool {
    let metadata = object.metadata();
    let managers = metadata.managed_fields.iter().flatten().filter_map(|entry| entry.manager.as_deref());
    metadata.annotations.as_ref().is_some_and(|all| all.get("example.com/note").is_some_and(|note| note == "mine"))
        && metadata.labels.as_ref().is_some_and(|all| all.contains_key("a5c.ai/owner"))
        && metadata.finalizers.iter().flatten().any(|held| held == "example.com/hold")
        && managers.eq(["alice"])
}

#[test]
fn r28_what_others_put_on_an_object_survives_each_write_of_the_controllers() {
    let world = world();
    mark::<Issue>(&world, world.all::<Issue>()[0].name());
    mark::<ExternalBackendBinding>(&world, "site");
    mark::<ExternalBackendProvider>(&world, "gh");
    let (issue, binding) = (world.all::<Issue>().remove(0), world.all::<ExternalBackendBinding>().remove(0));
    let provider = world.all::<ExternalBackendProvider>().remove(0);
    // An observation, a write with its answer, a conflict, and the statuses of all of them.
    edit(&world, |spec| spec.title = "Ours".to_owned()).expect("accepted");
    let at = start() + chrono::TimeDelta::seconds(6);
    let theirs = krate_providers::simulator::IssueEdit::new().title("Theirs");
    world.forge().forge.by("bob", at).edit_issue(REPOSITORY, 1, theirs).expect("edited");
    world.deliver();
    world.settle().expect("quiet");
    let after = world.all::<Issue>().remove(0);
    assert!(after.metadata().resource_version != issue.metadata().resource_version, "it was written");
    assert!(is_marked(&after), "{:#?}", after.metadata());
    let after = world.all::<ExternalBackendBinding>().remove(0);
    assert!(after.metadata().resource_version != binding.metadata().resource_version, "it was written");
    assert!(is_marked(&after) && after.spec == binding.spec, "{after:#?}");
    let after = world.all::<ExternalBackendProvider>().remove(0);
    assert!(after.metadata().resource_version != provider.metadata().resource_version, "it was written");
    assert!(is_marked(&after) && after.spec == provider.spec, "{after:#?}");
}
