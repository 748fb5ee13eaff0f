//! Bindings stay in their organization, unless two organizations agree that they don't (S3, R34, P8).

use krate_model::condition::{condition, from_kube_time};
use krate_model::kinds::external::{
    ExternalBackendBinding, ExternalObjectLink, ExternalSyncState, ExternalSyncStatePhase, ExternalWebhookDelivery,
};
use krate_model::kinds::identity::{OrgSharingPolicy, OrgSharingPolicyPhase};
use krate_model::kinds::sets::ActorKind;
use krate_model::kinds::shared::{Actor, ObjectRef};
use krate_model::kinds::work::{Issue, IssueSpec};
use krate_model::store::{Expect, IndexEntry, Key, Query, Store};
use krate_model::{Kind, Resource};
use krate_providers::simulator::{Faults, IssueEdit, NewIssue};
use krate_sync::driver::{Clock, Config, DriverError};
use krate_sync::local::Local;
use krate_sync::records::{Changes, Loaded, list};
use krate_tests::world::{NAMESPACE, REPOSITORY, World, block_on, start};
use serde_json::{Value, json};

/// The namespace of the organization that shares.
const LENDER: &str = "krate-org-forge";

/// Writes an object as it stands, over whatever is there.
fn put<T: Resource>(world: &World, namespace: &str, name: &str, spec: &Value, labels: &Value) {
    let mut body = json!({
        "apiVersion": krate_model::API_VERSION, "kind": T::KIND.as_str(), "spec": spec,
        "metadata": {"name": name, "namespace": namespace, "uid": name, "generation": 1, "labels": labels},
    });
    let key = Key::new(T::KIND, namespace, name);
    block_on(async {
        if let Some(stored) = world.store.get(&key).await.expect("it can be read") {
            let known: Value = serde_json::from_slice(&stored.body).expect("JSON");
            if let Some(status) = known.get("status") {
                body["status"] = status.clone();
            }
        }
        let object: T = serde_json::from_value(body.clone()).expect("an object of its kind");
        let mut indexes = Vec::new();
        object.indexes(&mut |index, value| indexes.push(IndexEntry::new(index, value)));
        let set = krate_model::store::ChangeSet::new().put(key, Expect::Any, body.to_string().into_bytes(), indexes);
        world.store.commit(set).await.expect("it is written");
    });
}

fn organization(world: &World, name: &str, namespace: &str) {
    let spec = json!({"displayName": name, "slug": name, "namespaceName": namespace});
    put::<krate_model::kinds::identity::Organization>(world, namespace, name, &spec, &json!({}));
}

fn provider(world: &World, namespace: &str, name: &str, owner: &str, secret: &str) {
    let spec = json!({
        "organizationRef": owner, "providerType": "github", "displayName": "GitHub", "apiBaseUrl": "https://api.github.com",
        "authRef": {"mode": "personal-access-token", "secretRef": {"name": secret}},
        "capabilities": {"issueTracking": true, "gitForge": true},
    });
    put::<krate_model::kinds::external::ExternalBackendProvider>(
        world,
        namespace,
        name,
        &spec,
        &json!({"tier": "shared"}),
    );
}

fn sync_policy(world: &World, namespace: &str, name: &str, owner: &str) {
    let spec = json!({"organizationRef": owner});
    put::<krate_model::kinds::external::ExternalBackendSyncPolicy>(world, namespace, name, &spec, &json!({}));
}

/// One side's consent, with `changes` over what would admit the lender's provider and policy.
fn consent(world: &World, (source, target): (&str, &str), side: &str, namespace: &str, changes: &Value) {
    let mut spec = json!({
        "side": side, "sourceOrg": source, "targetOrg": target,
        "allowedRefs": [
            {"kind": "ExternalBackendProvider", "names": ["lent"], "verbs": ["reference"]},
            {"kind": "ExternalBackendSyncPolicy", "names": ["lent-policy"], "verbs": ["reference"]},
        ],
    });
    for (field, value) in changes.as_object().expect("an object") {
        spec[field] = value.clone();
    }
    let name = format!("{side}-{source}-{target}");
    put::<krate_model::kinds::identity::OrgSharingPolicy>(world, namespace, &name, &spec, &json!({}));
}

/// The binding `site`, with `changes` over the world's own; null takes a field away.
fn bind(world: &World, changes: &Value) {
    let mut spec = json!({
        "organizationRef": "acme", "providerRef": "gh", "syncPolicyRef": "policy",
        "targetRef": {"kind": "Repository", "name": "site"}, "externalRef": {"owner": "acme", "repository": "site"},
        "interfaces": [{"name": "issueTracking", "mode": "bidirectional"}],
    });
    for (field, value) in changes.as_object().expect("an object") {
        spec[field] = value.clone();
        if value.is_null() {
            spec.as_object_mut().expect("an object").remove(field);
        }
    }
    put::<ExternalBackendBinding>(world, NAMESPACE, "site", &spec, &json!({}));
}

/// Uses the lender's provider, and its policy too where asked.
fn bind_to_lent(world: &World, with_policy: bool) {
    let lent = |kind: &str, name: &str| json!({"organization": "forge", "kind": kind, "name": name});
    let mut changes = json!({"providerRef": null, "sharedProviderRef": lent("ExternalBackendProvider", "lent")});
    if with_policy {
        changes["syncPolicyRef"] = Value::Null;
        changes["sharedSyncPolicyRef"] = lent("ExternalBackendSyncPolicy", "lent-policy");
    }
    bind(world, &changes);
}

/// A world with an issue at the forge, two organizations, and a provider and policy that could be lent.
fn world() -> World {
    let world = World::new(7, Faults::none(), "bidirectional");
    world
        .forge()
        .forge
        .by("ada", start())
        .open_issue(REPOSITORY, NewIssue::titled("Broken"))
        .expect("the repository is there");
    organization(&world, "acme", NAMESPACE);
    organization(&world, "forge", LENDER);
    provider(&world, LENDER, "lent", "forge", "lent");
    sync_policy(&world, LENDER, "lent-policy", "forge");
    world
}

fn agree(world: &World, offer: &Value, accept: &Value) {
    consent(world, ("forge", "acme"), "offer", LENDER, offer);
    consent(world, ("forge", "acme"), "accept", NAMESPACE, accept);
}

/// The `Ready` condition of the binding: status, reason and message.
fn ready(world: &World) -> (String, String, String) {
    let binding =
        world.all::<ExternalBackendBinding>().into_iter().find(|it| it.name() == "site").expect("it is there");
    let conditions = binding.status.map(|status| status.conditions).unwrap_or_default();
    let ready = condition(&conditions, "Ready").cloned();
    ready.map(|it| (it.status, it.reason, it.message)).unwrap_or_default()
}

fn calls(world: &World) -> u64 {
    world.forge().forge.requests()
}

/// Works, and tells what the binding says; a refused one has asked the provider nothing.
#[track_caller]
fn assert_refused(world: &World, reason: &str, names: &str) {
    for _ in 0..3 {
        world.pass().expect("a pass");
    }
    let (status, told, message) = ready(world);
    assert_eq!((status.as_str(), told.as_str()), ("False", reason), "{message}");
    assert!(message.contains(names), "{message:?} names {names}");
    assert_eq!(calls(world), 0, "nothing was asked of the provider");
    assert!(world.all::<Issue>().is_empty());
}

#[track_caller]
fn assert_admitted(world: &World) {
    world.settle().expect("it comes to rest");
    assert_eq!(world.all::<Issue>().len(), 1, "{:?}", ready(world));
}

#[test]
fn s3_a_binding_inside_its_organization_is_used() {
    assert_admitted(&world());
}

#[test]
fn s3_a_shared_provider_and_policy_are_used_when_both_sides_agree() {
    let world = world();
    agree(&world, &json!({}), &json!({}));
    bind_to_lent(&world, true);
    assert_admitted(&world);
    // R4: what is made under a shared provider names its organization, too; it stands in the binding's namespace.
    let links = world.all::<ExternalObjectLink>();
    assert!(!links.is_empty() && links.iter().all(|link| link.spec.provider_ref == "forge/lent"), "{links:?}");
    let elsewhere = Query::new(Issue::KIND).in_namespace(LENDER);
    assert!(block_on(list::<Issue>(world.store.as_ref(), elsewhere)).expect("a list").is_empty());
}

#[test]
fn s3_a_selector_admits_what_its_labels_fit() {
    let expression = |operator: &str, tier: &str| json!({"matchExpressions": [{"key": "tier", "operator": operator, "values": [tier]}]});
    let cases = [
        (json!({"matchLabels": {"tier": "shared"}}), true),
        (json!({"matchLabels": {"tier": "own"}}), false),
        (expression("In", "shared"), true),
        (expression("NotIn", "shared"), false),
        // What can't be read shares nothing, and neither does what asks for nothing (P15).
        (expression("Like", "shared"), false),
        (json!({}), false),
    ];
    for (selector, admitted) in cases {
        let world = world();
        let kind = json!([{"kind": "ExternalBackendProvider", "selector": selector, "verbs": ["reference"]}]);
        agree(&world, &json!({"allowedRefs": kind}), &json!({}));
        bind_to_lent(&world, false);
        if admitted { assert_admitted(&world) } else { assert_refused(&world, "CrossOrgDenied", "lent") }
    }
}

#[test]
fn s3_each_part_that_lies_elsewhere_is_refused() {
    type Make = fn(&World);
    let cases: [(&str, &str, Make); 6] = [
        ("spec.targetRef", "target site", |world| {
            let spec = json!({"organizationRef": "forge", "visibility": "private"});
            put::<krate_model::kinds::forge::Repository>(world, NAMESPACE, "site", &spec, &json!({}));
        }),
        ("spec.targetRef", "target forge", |world| {
            bind(world, &json!({"targetRef": {"kind": "Organization", "name": "forge"}}));
        }),
        ("spec.providerRef", "provider gh", |world| provider(world, NAMESPACE, "gh", "forge", "gh")),
        ("spec.authRef.secretRef", "secret krate-org-forge/gh", |world| {
            provider(world, NAMESPACE, "gh", "acme", "krate-org-forge/gh");
        }),
        ("spec.syncPolicyRef", "policy policy", |world| sync_policy(world, NAMESPACE, "policy", "forge")),
        ("metadata.namespace", "namespace krate-org-acme", |world| organization(world, "other", NAMESPACE)),
    ];
    for (path, named, make) in cases {
        let world = world();
        make(&world);
        // Not even consent helps where the reference doesn't say that it leaves.
        agree(&world, &json!({}), &json!({}));
        assert_refused(&world, "CrossOrgDenied", &format!("{path}: {named}"));
    }
}

#[test]
fn s3_a_local_name_finds_nothing_in_another_namespace() {
    let world = world();
    bind(&world, &json!({"providerRef": "lent"}));
    assert_refused(&world, "NotFound", "spec.providerRef: provider lent");
}

#[test]
fn s3_a_shared_reference_without_consent_of_both_is_refused() {
    let now = json!("2026-05-28T20:26:40Z");
    assert_eq!(from_kube_time(&serde_json::from_value(now.clone()).expect("a time")), start());
    let lists = |entry: Value| json!({"allowedRefs": [entry]});
    let cases = [
        ("revoked", json!({"revoked": true})),
        ("over at this very moment", json!({"expiresAt": now})),
        ("another name", lists(json!({"kind": "ExternalBackendProvider", "names": ["gh"], "verbs": ["reference"]}))),
        ("another kind", lists(json!({"kind": "Repository", "names": ["lent"], "verbs": ["reference"]}))),
        ("another verb", lists(json!({"kind": "ExternalBackendProvider", "names": ["lent"], "verbs": ["read"]}))),
    ];
    for (case, change) in &cases {
        for (offer, accept) in [(change, &json!({})), (&json!({}), change)] {
            let world = world();
            agree(&world, offer, accept);
            bind_to_lent(&world, false);
            eprintln!("{case}");
            assert_refused(&world, "CrossOrgDenied", "spec.sharedProviderRef: provider lent");
        }
    }
    for (side, namespace) in [("offer", LENDER), ("accept", NAMESPACE)] {
        let world = world();
        consent(&world, ("forge", "acme"), side, namespace, &json!({}));
        bind_to_lent(&world, false);
        assert_refused(&world, "CrossOrgDenied", "lent");
    }
    // Who writes the other side's consent into the own namespace has given none.
    let world = world();
    consent(&world, ("forge", "acme"), "offer", NAMESPACE, &json!({}));
    consent(&world, ("forge", "acme"), "accept", NAMESPACE, &json!({}));
    bind_to_lent(&world, false);
    assert_refused(&world, "CrossOrgDenied", "lent");
}

#[test]
fn s3_a_shared_policy_needs_consent_of_its_own() {
    let world = world();
    let only = json!({"allowedRefs": [{"kind": "ExternalBackendProvider", "names": ["lent"], "verbs": ["reference"]}]});
    agree(&world, &only, &json!({}));
    bind_to_lent(&world, true);
    assert_refused(&world, "CrossOrgDenied", "spec.sharedSyncPolicyRef: policy lent-policy");
}

#[test]
fn s3_consent_is_not_transitive() {
    let world = world();
    organization(&world, "middle", "krate-org-middle");
    for (source, target, from, to) in
        [("forge", "middle", LENDER, "krate-org-middle"), ("middle", "acme", "krate-org-middle", NAMESPACE)]
    {
        consent(&world, (source, target), "offer", from, &json!({}));
        consent(&world, (source, target), "accept", to, &json!({}));
    }
    // What was offered to another one isn't offered to who accepts it unasked.
    consent(&world, ("forge", "acme"), "accept", NAMESPACE, &json!({}));
    bind_to_lent(&world, false);
    assert_refused(&world, "CrossOrgDenied", "lent");
    let through = json!({"organization": "middle", "kind": "ExternalBackendProvider", "name": "lent"});
    bind(&world, &json!({"providerRef": null, "sharedProviderRef": through}));
    assert_refused(&world, "NotFound", "spec.sharedProviderRef: provider lent");
}

#[test]
fn s3_consent_that_ends_stops_the_binding_and_consent_that_comes_back_lets_it_go_on() {
    let world = world();
    agree(&world, &json!({"expiresAt": "2026-05-28T20:36:40Z"}), &json!({}));
    bind_to_lent(&world, false);
    assert_admitted(&world);
    world.pass_time(24 * 3600);
    let before = calls(&world);
    world.pass().expect("a pass");
    assert_eq!((ready(&world).0, ready(&world).1), ("False".to_owned(), "CrossOrgDenied".to_owned()));
    let stored = block_on(world.store.revision()).expect("a revision");
    world.pass_time(24 * 3600);
    world.pass().expect("a pass");
    assert_eq!(block_on(world.store.revision()).expect("a revision"), stored, "it is said once");
    assert_eq!(calls(&world), before, "lists are due, and not read");
    agree(&world, &json!({"expiresAt": "2027-05-28T20:36:40Z"}), &json!({}));
    world.settle().expect("it comes to rest");
    assert!(calls(&world) > before);
    assert_ne!(ready(&world).0, "False");
}

#[test]
fn r66_consent_goes_by_its_times_and_never_by_the_phase_that_is_stored() {
    let said = |phase: OrgSharingPolicyPhase, expires_at: &str| {
        let world = world();
        agree(&world, &json!({"expiresAt": expires_at}), &json!({}));
        block_on(async {
            let found = list::<OrgSharingPolicy>(world.store.as_ref(), Query::new(Kind::OrgSharingPolicy)).await;
            let mut changes = Changes::at(start());
            for mut policy in found.expect("they can be read") {
                policy.change().status_mut().phase = phase.clone();
                changes.put(&policy).expect("JSON");
            }
            changes.commit(world.store.as_ref()).await.expect("written");
        });
        bind_to_lent(&world, false);
        world
    };
    let over = said(OrgSharingPolicyPhase::Active, "2026-05-28T20:00:00Z");
    over.pass().expect("a pass");
    assert_eq!(ready(&over).1, "CrossOrgDenied");
    assert_admitted(&said(OrgSharingPolicyPhase::Expired, "2027-05-28T20:36:40Z"));
}

#[test]
fn s37_nothing_is_changed_under_a_binding_that_may_not_be_used() {
    let world = world();
    agree(&world, &json!({"expiresAt": "2026-05-28T20:36:40Z"}), &json!({}));
    bind_to_lent(&world, false);
    assert_admitted(&world);
    let alice = Actor::new(ActorKind::User, "alice");
    let issue = world.all::<Issue>().remove(0);
    let edit = || {
        let change = |local: &mut Local| {
            if let Local::Issue(issue) = local {
                "Ours".clone_into(&mut issue.spec.title);
            }
        };
        let object = ObjectRef::new(Kind::Issue.as_str(), issue.name());
        block_on(world.driver.edit(NAMESPACE, &object, &alice, &change))
    };
    let make = || {
        let mut spec = IssueSpec::new("acme", "Made here");
        spec.repository = Some("site".to_owned());
        block_on(world.driver.create(Local::Issue(Issue::at(NAMESPACE, "made", spec)), &alice))
    };
    world.pass_time(24 * 3600);
    world.pass().expect("a pass");
    for refused in [edit(), make()] {
        let refused = refused.expect_err("it would never be sent");
        assert!(matches!(&refused, DriverError::Unusable { why, .. } if why.contains("OrgSharingPolicy")), "{refused}");
    }
    agree(&world, &json!({"expiresAt": "2027-05-28T20:36:40Z"}), &json!({}));
    edit().expect("accepted");
    make().expect("accepted");
    world.settle().expect("it comes to rest");
    let titles: Vec<String> =
        (1..=2).map(|number| world.forge().forge.issue(REPOSITORY, number).expect("there").title.clone()).collect();
    assert_eq!(titles, ["Ours", "Made here"]);
}

#[test]
fn s3_a_bindings_name_leads_to_no_other_organizations_binding() {
    let world = world();
    assert_admitted(&world);
    let config = block_on(Config::load(world.store.as_ref(), world.clock.now())).expect("it can be read");
    assert!(config.scope(NAMESPACE, "site").is_some());
    assert!(config.scope(LENDER, "site").is_none(), "it is another one's");
    assert!(
        block_on(world.driver.verify(LENDER, "site")).is_err()
            && block_on(world.driver.forecast(LENDER, "site")).is_err()
    );
}

#[test]
fn s3_a_name_that_is_taken_leads_to_no_other_organizations_provider() {
    let world = world();
    provider(&world, LENDER, "gh", "forge", "lent");
    let config = block_on(Config::load(world.store.as_ref(), start())).expect("it can be read");
    // Without a creation time it counts as the older one.
    assert_eq!(config.backend("gh").expect("one of them").object.namespace(), LENDER);
    assert!(config.scope(NAMESPACE, "site").is_none());
    assert_refused(&world, "NotFound", "spec.providerRef: provider gh");
}

#[test]
fn s3_what_a_refused_binding_left_due_waits_and_holds_up_nothing() {
    let world = world();
    world.pass().expect("a pass");
    sync_policy(&world, NAMESPACE, "policy", "forge");
    world.pass_time(24 * 3600);
    // The removal of what is over takes a few passes, too.
    for _ in 0..16 {
        world.pass().expect("it is told");
    }
    let stored = block_on(world.store.revision()).expect("a revision");
    let pass = world.pass().expect("a pass");
    assert_eq!((pass.done, pass.failed), (0, Vec::new()), "lists are due, and nobody tries them");
    assert!(pass.next.is_none_or(|at| at > world.clock.now()), "{:?}", pass.next);
    assert_eq!(block_on(world.store.revision()).expect("a revision"), stored);
    // More of them than one pass takes up, and older than what may be done.
    let mut changes = Changes::at(start());
    for number in 0..600 {
        let spec = json!({
            "organizationRef": "acme", "providerRef": "gh", "bindingRef": "site", "interface": "issueTracking",
            "resourceKind": "issue", "scopeKey": format!("{number}"),
        });
        let mut state = ExternalSyncState::at(
            NAMESPACE,
            format!("waits-{number:04}"),
            serde_json::from_value(spec).expect("a list"),
        );
        state.status_mut().phase = ExternalSyncStatePhase::Scheduled;
        state.status_mut().not_before = Some(start());
        changes.put(&Loaded::new(state)).expect("JSON");
    }
    block_on(changes.commit(world.store.as_ref())).expect("written");
    let spec = json!({
        "organizationRef": "acme", "providerRef": "gh",
        "targetRef": {"kind": "Repository", "name": "other"}, "externalRef": {"owner": "acme", "repository": "site"},
        "interfaces": [{"name": "issueTracking", "mode": "bidirectional"}],
    });
    put::<ExternalBackendBinding>(&world, NAMESPACE, "other", &spec, &json!({}));
    for _ in 0..4 {
        world.pass().expect("a pass");
    }
    assert_eq!(world.all::<Issue>().len(), 1, "the other binding's list was read");
}

#[test]
fn r3_a_suspended_organization_is_read_and_nothing_is_done_in_its_name() {
    let world = world();
    assert_admitted(&world);
    let suspend = |is_suspended: bool| {
        let spec = json!({"displayName": "acme", "slug": "acme", "namespaceName": NAMESPACE, "suspend": is_suspended});
        put::<krate_model::kinds::identity::Organization>(&world, NAMESPACE, "acme", &spec, &json!({}));
    };
    suspend(true);
    world.pass().expect("a pass");
    assert_eq!((ready(&world).0.as_str(), ready(&world).1.as_str()), ("False", "OrganizationSuspended"));
    let before = calls(&world);
    let alice = Actor::new(ActorKind::User, "alice");
    let object = ObjectRef::new(Kind::Issue.as_str(), world.all::<Issue>()[0].name());
    let edit = |local: &mut Local| {
        if let Local::Issue(issue) = local {
            "Ours".clone_into(&mut issue.spec.title);
        }
    };
    let refused = block_on(world.driver.edit(NAMESPACE, &object, &alice, &edit)).expect_err("it would never be sent");
    assert!(refused.to_string().contains("acme is suspended"), "{refused}");
    // Its provider goes on telling, and what it tells is recorded.
    let renamed = |title: &str| {
        let change = IssueEdit { title: Some(title.to_owned()), ..IssueEdit::default() };
        world.forge().forge.by("ada", world.forge_now()).edit_issue(REPOSITORY, 1, change).expect("edited");
    };
    world.pass_time(60);
    renamed("Told while suspended");
    let (told, recorded) = (world.deliver(), world.all::<ExternalWebhookDelivery>().len());
    assert!(told > 0 && recorded > 0);
    for _ in 0..3 {
        world.pass().expect("a pass");
    }
    let phases: Vec<String> = world.all::<ExternalWebhookDelivery>().iter().map(|it| it.phase().to_owned()).collect();
    assert!(phases.iter().all(|phase| phase == "Succeeded"), "{phases:?}");
    assert_eq!((world.all::<Issue>()[0].spec.title.as_str(), calls(&world)), ("Broken", before));
    suspend(false);
    world.settle().expect("it comes to rest");
    assert_eq!(world.all::<Issue>()[0].spec.title, "Told while suspended", "the lists are read again");
    assert_ne!(ready(&world).0, "False");
}

#[test]
fn r3_what_a_suspended_organization_lends_is_not_used() {
    let world = world();
    agree(&world, &json!({}), &json!({}));
    bind_to_lent(&world, false);
    let spec = json!({"displayName": "forge", "slug": "forge", "namespaceName": LENDER, "suspend": true});
    put::<krate_model::kinds::identity::Organization>(&world, LENDER, "forge", &spec, &json!({}));
    assert_refused(&world, "OrganizationSuspended", "spec.sharedProviderRef: organization forge");
}

#[test]
fn s46_what_cannot_be_read_of_the_configuration_stops_only_what_needs_it() {
    let damage = |world: &World, kind: Kind, namespace: &str, name: &str| {
        let set = krate_model::store::ChangeSet::new();
        let set = set.put(Key::new(kind, namespace, name), Expect::Any, b"{\"spec\": 7}".to_vec(), Vec::new());
        block_on(world.store.commit(set)).expect("written");
    };
    let world = world();
    for (kind, name) in [
        (Kind::ExternalBackendProvider, "broken"),
        (Kind::ExternalBackendBinding, "broken"),
        (Kind::ExternalBackendSyncPolicy, "broken"),
        (Kind::OrgSharingPolicy, "broken"),
    ] {
        damage(&world, kind, NAMESPACE, name);
    }
    let pass = world.pass().expect("a pass");
    assert_eq!(pass.failed.iter().filter(|failed| failed.contains("broken")).count(), 4, "{:?}", pass.failed);
    world.settle().expect("it comes to rest");
    assert_eq!(world.all::<Issue>().len(), 1, "the others go on");
    // Whose namespace is whose, nobody knows then: nothing is done.
    damage(&world, Kind::Organization, LENDER, "forge");
    assert!(block_on(world.driver.run_due()).is_err());
}
