//! Who can, what one can, and what would change (P47).

use krate_model::Kind;
use krate_policy::decision::Outcome;
use krate_policy::request::Verb;
use krate_policy::review::review;
use krate_policy::snapshot::{Item, Key, Snapshot};
use krate_policy::who::{Place, if_gone, request, what_can, who_can};
use proptest::prelude::*;
use serde_json::json;

use super::world::{NS, item, permission, snapshot, user};

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
    let nothing = Key { kind: Kind::AgentSecretGrant, namespace: NS.into(), name: "model".into() };
    assert_eq!(if_gone(&snapshot(), &place(), &nothing, None), [], "no right hangs on a grant of a secret");
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
