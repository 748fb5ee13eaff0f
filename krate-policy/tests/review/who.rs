//! Who can, what one can, and what would change (P47).

use krate_model::Kind;
use krate_policy::decision::Outcome;
use krate_policy::request::Verb;
use krate_policy::review::review;
use krate_policy::snapshot::{Item, Key, Snapshot};
use krate_policy::who::{Place, if_gone, request, what_can, who_can};
use proptest::prelude::*;
use serde_json::json;

use super::world::{NS, grant, item, named_grant, permission, snapshot, stack, user};

fn place() -> Place {
    let mut place = Place::new("a", "2026-06-01T00:00:00Z".parse().expect("a time"));
    place.repository = Some("krate".into());
    place
}

fn admin(name: &str) -> Item {
    let spec =
        json!({"organizationRef": "a", "displayName": name, "email": format!("{name}@example.com"), "admin": true});
    item("User", name, spec, json!({"phase": "Active"}))
}

fn names(snapshot: &Snapshot, verb: &Verb, kind: Kind, asker: Option<&str>) -> Vec<String> {
    who_can(snapshot, &place(), verb, kind, asker).iter().map(|who| who.person.to_string()).collect()
}

#[test]
fn p47_persons_are_found_with_the_role_that_lets_them() {
    let snapshot = snapshot().with(8, [user("eve"), permission("eve", "write"), user("nobody"), admin("root")]);
    assert_eq!(names(&snapshot, &Verb::Dispatch, Kind::AgentStack, None), ["ada", "bob", "root"]);
    assert_eq!(names(&snapshot, &Verb::Create, Kind::Issue, None), ["ada", "bob", "eve", "root"]);
    assert_eq!(names(&snapshot, &Verb::BreakGlass, Kind::Issue, None), ["root"]);
    let found = who_can(&snapshot, &place(), &Verb::Create, Kind::Issue, None);
    assert_eq!(found[2].by.as_deref(), Some("RepositoryPermission/eve-krate"));
    let what = what_can(&snapshot, &place(), "eve", None);
    assert!(what.iter().any(|it| it.kind == Kind::Issue && it.verb == Verb::Create));
    assert!(!what.iter().any(|it| it.kind == Kind::AgentStack && it.verb == Verb::Dispatch));
}

#[test]
fn p6_p47_an_asker_sees_only_what_they_may_read() {
    let snapshot = snapshot().with(8, [user("nobody")]);
    assert_eq!(
        names(&snapshot, &Verb::Dispatch, Kind::AgentStack, Some("bob")),
        ["ada", "bob"],
        "a maintainer lists users"
    );
    assert_eq!(names(&snapshot, &Verb::Dispatch, Kind::AgentStack, Some("nobody")), [""; 0]);
    assert_eq!(what_can(&snapshot, &place(), "ada", Some("nobody")), []);
    assert_eq!(names(&snapshot, &Verb::Dispatch, Kind::AgentStack, Some("mallory")), [""; 0]);
    let mut elsewhere = place();
    elsewhere.organization = "b".into();
    assert_eq!(who_can(&snapshot, &elsewhere, &Verb::Get, Kind::Issue, None), []);
}

#[test]
fn p47_what_would_change_if_a_resource_went() {
    let key = Key { kind: Kind::RepositoryPermission, namespace: NS.into(), name: "ada-krate".into() };
    let changes = if_gone(&snapshot(), &place(), &key, None);
    assert!(changes.iter().all(|change| &*change.person == "ada" && change.after == Outcome::Denied));
    assert!(changes.iter().any(|change| change.verb == Verb::Dispatch && change.kind == Kind::AgentStack));
}

/// The world with a model provider that the stack names, so that a start needs the grant.
fn needing(change: impl FnOnce(&mut serde_json::Value, &mut serde_json::Value)) -> Snapshot {
    let spec = json!({
        "organizationRef": "a", "provider": "anthropic", "authType": "token", "secretRef": {"name": "model", "key": "api-key"},
    });
    let provider = item("AgentProviderConfig", "models", spec, json!({}));
    snapshot().with(8, [provider, stack(|spec, _| spec["provider"] = json!("models")), grant(change)])
}

#[test]
fn p47_what_would_change_for_agents_if_a_grant_went() {
    let key = Key { kind: Kind::AgentSecretGrant, namespace: NS.into(), name: "model".into() };
    let told = |snapshot: &Snapshot, place: &Place| -> Vec<String> {
        let all = if_gone(snapshot, place, &key, None);
        assert!(all.iter().all(|it| it.verb == Verb::Dispatch && it.kind == Kind::AgentStack), "{all:?}");
        let name = |name: &Option<Box<str>>| name.as_deref().unwrap_or("-").to_owned();
        let all = all.iter().map(|it| {
            let place = [&it.stack, &it.repository, &it.git_ref, &it.trigger_source].map(name).join(" ");
            format!("{} {place} {:?} {:?}", it.person, it.before, it.after)
        });
        all.collect()
    };
    let everywhere = Place::new("a", "2026-06-01T00:00:00Z".parse().expect("a time"));
    let lost = |who: &str, at: &str| format!("{who} repair krate {at} Allowed Denied");
    let example = "refs/heads/x manual";
    assert_eq!(told(&needing(|_, _| ()), &everywhere), [lost("ada", example), lost("bob", example)]);
    let two = needing(|spec, _| {
        spec["allowedRefs"] = json!({"include": ["refs/heads/main", "refs/heads/{v1,v2}-*"]});
        spec["allowedTriggerSources"] = json!(["ci", "manual"]);
    });
    let mut bobs = told(&two, &everywhere);
    bobs.retain(|it| it.starts_with("bob"));
    let expected = ["refs/heads/main ci", "refs/heads/main manual", "refs/heads/v1-x ci", "refs/heads/v1-x manual"];
    assert_eq!(bobs, expected.map(|at| lost("bob", at)));
    // What the question says of the place stays.
    let mut main = place();
    main.git_ref = Some("refs/heads/main".into());
    assert_eq!(told(&two, &main).len(), 4);
    // Where another grant gives the same, nothing hangs on this one.
    let doubled = needing(|_, _| ()).with(9, [named_grant("spare", |_, _| ())]);
    assert_eq!(told(&doubled, &everywhere), [""; 0]);
    assert_eq!(told(&snapshot(), &everywhere), [""; 0], "no stack needs it");
    let gone = Key { name: "gone".into(), ..key.clone() };
    assert_eq!(if_gone(&needing(|_, _| ()), &everywhere, &gone, None), []);
}

#[test]
fn p47_what_agents_may_do_is_the_reviews_answer_too() {
    let world = needing(|_, _| ());
    let mut through = place();
    through.stack = Some("repair".into());
    // A start is the person's act, and needs all that the stack names.
    let starts = who_can(&world, &through, &Verb::Dispatch, Kind::AgentStack, None);
    assert_eq!(starts, [], "the grant is for branches, and the question is about none");
    through.git_ref = Some("refs/heads/main".into());
    let starts = who_can(&world, &through, &Verb::Dispatch, Kind::AgentStack, None);
    assert_eq!(starts.iter().map(|it| &*it.person).collect::<Vec<_>>(), ["ada", "bob"]);
    let asked = request(&world, &through, "ada", &Verb::Update, Kind::Issue);
    assert_eq!((&*asked.subject.name, asked.actor_chain.len()), ("repair", 2));
    // All else the agent does for them, cut to what they may and to what no agent may.
    for verb in Verb::ALL {
        for kind in Kind::ALL {
            let found = who_can(&world, &through, verb, *kind, None);
            for person in ["ada", "bob"] {
                let answer = review(&request(&world, &through, person, verb, *kind), &world).outcome;
                let listed = found.iter().find(|who| &*who.person == person).map_or(Outcome::Denied, |who| who.outcome);
                assert_eq!(listed, answer, "{person} {verb} {kind}");
                let own = review(&request(&world, &place(), person, verb, *kind), &world).outcome;
                let is_start = matches!(kind, Kind::AgentStack | Kind::AgentDispatchRun | Kind::AgentTriggerEvent);
                assert!(
                    answer >= own || *verb == Verb::Dispatch && is_start,
                    "{person} {verb} {kind}: more than theirs"
                );
            }
        }
    }
    assert_eq!(who_can(&world, &through, &Verb::Create, Kind::AgentSecretGrant, None), []);
    let mut gone = through.clone();
    gone.stack = Some("gone".into());
    assert_eq!(who_can(&world, &gone, &Verb::Get, Kind::Issue, None), []);
}

proptest! {
    // Each case asks some six thousand questions.
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn p47_the_answers_are_those_of_the_review(
        permissions in proptest::collection::vec((0..4_usize, 0..5_usize), 0..6),
        admins in proptest::collection::vec(0..4_usize, 0..2),
        verb in 0..Verb::ALL.len(),
        kind in 0..Kind::ALL.len(),
    ) {
        const PEOPLE: [&str; 4] = ["ada", "bob", "eve", "fay"];
        let granted = permissions.iter().map(|(who, what)| permission(PEOPLE[*who], ["read", "triage", "write", "maintain", "admin"][*what]));
        let admins = admins.iter().map(|who| admin(PEOPLE[*who]));
        let snapshot = snapshot().with(8, [user("eve"), user("fay")]).with(9, admins.chain(granted));
        let (verb, kind) = (&Verb::ALL[verb], Kind::ALL[kind]);
        let found = who_can(&snapshot, &place(), verb, kind, None);
        for person in PEOPLE {
            let answer = review(&request(&snapshot, &place(), person, verb, kind), &snapshot).outcome;
            let listed = found.iter().find(|who| &*who.person == person);
            prop_assert_eq!(listed.map_or(Outcome::Denied, |who| who.outcome), answer);
            let what = what_can(&snapshot, &place(), person, None);
            let own = what.iter().find(|it| it.verb == *verb && it.kind == kind);
            prop_assert_eq!(own.map_or(Outcome::Denied, |it| it.outcome), answer);
        }
    }
}
