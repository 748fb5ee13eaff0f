//! Keys, rules for refs and protected refs: who may write them, and that loosening them is granting (section 9; P44, P61).

use std::collections::BTreeSet;

use krate_policy::admission::{Admission, Change};
use krate_policy::snapshot::{Item, Snapshot};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Value, json};

use super::admission::{by, codes, create, delete, document, update, with, write_by};
use super::world::{item, permission, snapshot, texts, user};

const KINDS: [&str; 3] = ["SSHKey", "RefPolicy", "BranchProtection"];

/// Root administers the organization, rae the repository krate, ada maintains it; cyd has the bare verbs on these kinds, everywhere.
fn world() -> Snapshot {
    let mut root = user("root").document();
    root["spec"]["admin"] = json!(true);
    let root = Item::read(krate_model::Kind::User, &root).unwrap().unwrap();
    let bare = json!({
        "organizationRef": "a", "subject": {"kind": "user", "name": "cyd"}, "roleRef": {"kind": "Role", "name": "keeper"},
        "scope": {"kind": "organization"},
        "resourceRules": [{
            "apiGroups": ["krate.a5c.ai"], "resources": ["sshkeys", "refpolicies", "branchprotections"],
            "verbs": ["get", "create", "update", "delete"],
        }],
    });
    let bare = item("AgentRoleBinding", "cyd-keeper", bare, json!({"phase": "Synced", "subjectUid": "u-cyd"}));
    let other = json!({"organizationRef": "a", "visibility": "private"});
    let other = item("Repository", "other", other, json!({"phase": "Ready"}));
    snapshot().with(8, [root, other, user("rae"), user("cyd"), permission("rae", "admin"), bare])
}

fn key(change: impl FnOnce(&mut Value)) -> Value {
    let mut spec = json!({
        "scope": "deploy", "repository": "krate",
        "key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIApv8FzKsxIaAAiC1zndVhD7EZXnG8FXn50DrELAG7Y+",
    });
    change(&mut spec);
    document("SSHKey", "one", spec)
}

/// An object of the kind, about krate, with this in its spec.
fn about(kind: &str, spec: &Value) -> Value {
    let mut all = match kind {
        "SSHKey" => return key(|all| spec.as_object().unwrap().iter().for_each(|(name, it)| all[name] = it.clone())),
        _ => json!({"repository": "krate", "refs": {"include": ["refs/heads/main"]}}),
    };
    spec.as_object().unwrap().iter().for_each(|(name, value)| all[name] = value.clone());
    document(kind, "one", all)
}

fn found(admission: &Admission) -> Vec<(&'static str, String)> {
    let reasons = admission.decision.iter().flat_map(|decision| &decision.reasons);
    reasons.map(|reason| (reason.code.as_str(), reason.field.to_string())).collect()
}

/// Kind, field, a value of it, one that is stricter and one that is looser; null is a field that isn't there.
fn rows() -> Vec<(&'static str, &'static str, Value, Value, Value)> {
    let end = |month: u8| json!(format!("2027-{month:02}-01T00:00:00Z"));
    vec![
        ("SSHKey", "readOnly", json!(null), json!(true), json!(false)),
        ("SSHKey", "expiresAt", end(6), end(5), end(7)),
        ("SSHKey", "expiresAt", end(6), end(6), json!(null)),
        ("SSHKey", "expiresAt", end(6), json!("2027-06-01T01:00:00+02:00"), json!("2027-06-01T01:00:00-02:00")),
        (
            "RefPolicy",
            "refs/include",
            json!(["refs/heads/a"]),
            json!(["refs/heads/b", "refs/heads/a"]),
            json!(["refs/heads/b"]),
        ),
        ("RefPolicy", "refs/exclude", json!(["refs/heads/a"]), json!([]), json!(["refs/heads/a", "refs/heads/b"])),
        ("RefPolicy", "deny", json!(["refs/heads/a"]), json!(["refs/heads/a", "refs/tags/**"]), json!(null)),
        ("RefPolicy", "deny", json!(["refs/heads/**"]), json!(["refs/heads/**"]), json!(["refs/heads/a"])),
        ("RefPolicy", "blockForcePush", json!(null), json!(true), json!(false)),
        ("RefPolicy", "blockDeletion", json!(null), json!(true), json!(false)),
        ("RefPolicy", "requireSignedCommits", json!(true), json!(true), json!(null)),
        ("RefPolicy", "requireLinearHistory", json!(true), json!(true), json!(false)),
        ("RefPolicy", "maxFileBytes", json!(100), json!(99), json!(101)),
        ("RefPolicy", "maxFileBytes", json!(100), json!(100), json!(null)),
        (
            "BranchProtection",
            "refs/include",
            json!(["refs/heads/a"]),
            json!(["refs/heads/a", "refs/heads/b"]),
            json!([]),
        ),
        ("BranchProtection", "refs/exclude", json!(["refs/heads/a"]), json!(null), json!(["refs/heads/*"])),
        ("BranchProtection", "requirePullRequest", json!(true), json!(null), json!(false)),
        ("BranchProtection", "requiredApprovals", json!(null), json!(2), json!(0)),
        ("BranchProtection", "requiredApprovals", json!(3), json!(10), json!(null)),
        ("BranchProtection", "dismissStaleApprovals", json!(null), json!(true), json!(false)),
        ("BranchProtection", "requiredChecks", json!(["build"]), json!(["test", "build"]), json!(["test"])),
        ("BranchProtection", "requireConversationResolution", json!(true), json!(true), json!(null)),
        (
            "BranchProtection",
            "restrictPushTo",
            json!(["ada", "bob"]),
            json!(["bob"]),
            json!(["ada", "bob", "team/core"]),
        ),
        ("BranchProtection", "restrictPushTo", json!(["ada"]), json!(["ada"]), json!([])),
        ("BranchProtection", "enforceForAdmins", json!(null), json!(true), json!(false)),
    ]
}

fn set(document: &Value, field: &str, value: &Value) -> Value {
    let mut changed = document.clone();
    let at = format!("/spec/{field}");
    let (parent, name) = at.rsplit_once('/').unwrap();
    let parent = changed.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    if value.is_null() {
        parent.remove(name);
    } else {
        parent.insert(name.to_owned(), value.clone());
    }
    changed
}

#[test]
fn p44_who_has_the_bare_verb_tightens_and_who_administers_loosens() {
    let world = world();
    let mut seen = BTreeSet::new();
    for (kind, field, value, stricter, looser) in rows() {
        let plain = about(kind, &json!({}));
        let [old, tight, loose] = [value, stricter, looser].map(|value| set(&plain, field, &value));
        let path = format!("spec.{}", field.replace('/', "."));
        assert_eq!(found(&update("cyd", &old, &tight, &world)), [], "{kind} {path}: {}", tight["spec"]);
        let refused = update("cyd", &old, &loose, &world);
        assert_eq!(found(&refused), [("EscalationDenied", path.clone())], "{kind}: {}", loose["spec"]);
        let text = &refused.decision.as_ref().unwrap().reasons[0].text;
        assert!(text.contains("krate") && text.contains("krate-repository-admin") && text.contains("cyd"), "{text}");
        for person in ["rae", "root"] {
            for new in [&tight, &loose] {
                let admission = update(person, &old, new, &world);
                assert!(admission.is_allowed(), "{person}, {kind} {path}: {admission:?}");
            }
        }
        if old != loose {
            assert_eq!(
                codes(&update("ada", &old, &loose, &world)),
                ["EscalationDenied", "MissingRole"],
                "{kind} {path}"
            );
        }
        seen.insert((kind, field));
    }
    // Every field of a spec but who it belongs to and what it is called has its row.
    for kind in KINDS {
        let named = ["organizationRef", "repository", "refs", "scope", "key", "owner", "title", "revoked"];
        let schema = krate_model::schema::schema(kind.parse().unwrap()).unwrap();
        let fields = schema["properties"]["spec"]["properties"].as_object().unwrap().keys();
        for field in fields.filter(|field| !named.contains(&field.as_str())) {
            assert!(seen.contains(&(kind, field.as_str())), "{kind}: no row says when {field} is looser");
        }
    }
}

#[test]
fn p44_making_a_key_and_unmaking_a_protection_is_granting() {
    let world = world();
    let granted = |field: &str| vec![("EscalationDenied", field.to_owned())];
    let fine = Vec::new();
    for kind in KINDS {
        let one = about(kind, &json!({}));
        let (made, gone) = (found(&create("cyd", &one, &world)), found(&delete("cyd", &one, &world)));
        let (as_made, as_gone) =
            if kind == "SSHKey" { (granted("spec.key"), fine.clone()) } else { (fine.clone(), granted("spec")) };
        assert_eq!((made, gone), (as_made, as_gone), "{kind}");
        for person in ["rae", "root"] {
            assert_eq!(found(&create(person, &one, &world)), [], "{person}, {kind}");
            assert_eq!(found(&delete(person, &one, &world)), [], "{person}, {kind}");
        }
        assert_eq!(codes(&create("ada", &one, &world)).last(), Some(&"MissingRole"), "{kind}");
    }
    // What is made as revoked gives nothing, nor does what becomes so, whatever else is written.
    let revoked = key(|spec| spec["revoked"] = json!(true));
    assert_eq!(found(&create("cyd", &revoked, &world)), []);
    let wider = with(&revoked, "/spec/readOnly", json!(false));
    assert_eq!(found(&update("cyd", &key(|_| ()), &wider, &world)), []);
    // Back from it is refused twice: by who may, and for everybody.
    let again = update("cyd", &revoked, &key(|_| ()), &world);
    assert_eq!(found(&again), granted("spec.revoked"));
    assert!(!update("root", &revoked, &key(|_| ()), &world).is_allowed());
}

#[test]
fn p61_what_is_moved_is_granted_where_it_was_and_where_it_goes() {
    let world = world();
    for kind in ["RefPolicy", "BranchProtection"] {
        let here = about(kind, &json!({}));
        let there = with(&here, "/spec/repository", json!("other"));
        // Rae administers krate alone.
        let moved = update("rae", &here, &there, &world);
        assert_eq!(found(&moved), [("EscalationDenied", "spec.repository".to_owned())], "{kind}");
        assert!(moved.decision.unwrap().reasons[0].text.contains("in other"));
        assert_eq!(codes(&update("rae", &there, &here, &world)), ["EscalationDenied", "MissingRole"], "{kind}");
        assert_eq!(codes(&update("root", &here, &there, &world)), [""; 0], "{kind}");
    }
}

#[test]
fn p61_a_policy_of_every_repository_is_of_who_administers_them_all() {
    let world = world();
    let everywhere = set(&about("RefPolicy", &json!({})), "repository", &json!(null));
    let mut at_krate = by(&world, "rae");
    at_krate.repository = by(&world, "rae")
        .repository
        .or_else(|| serde_json::from_value(json!({"name": "krate", "uid": "u-krate"})).unwrap());
    let here = about("RefPolicy", &json!({}));
    let person = key(|spec| {
        spec["scope"] = json!("user");
        spec["owner"] = json!("rae");
        spec.as_object_mut().unwrap().remove("repository");
    });
    let write = |change| codes(&write_by(&at_krate, change, krate_model::validate::Part::Main, &world));
    // Where the writer is says nothing of what the policy is about.
    assert_eq!(write(Change::Create { new: &everywhere }), ["MissingRole"]);
    assert_eq!(write(Change::Create { new: &here }), [""; 0]);
    assert_eq!(write(Change::Update { old: &here, new: &everywhere }), ["EscalationDenied"]);
    assert_eq!(write(Change::Create { new: &person }), ["EscalationDenied", "MissingRole"]);
    assert_eq!(
        (codes(&create("root", &person, &world)), codes(&create("root", &everywhere, &world))),
        (vec![], vec![])
    );
}

#[test]
fn r14_nothing_of_a_private_key_is_told_by_admission() {
    let world = world();
    let body = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQ";
    let private = format!("-----BEGIN OPENSSH PRIVATE KEY-----\n{body}\n-----END OPENSSH PRIVATE KEY-----");
    let new = key(|spec| spec["key"] = json!(private));
    for admission in [create("root", &new, &world), update("root", &key(|_| ()), &new, &world)] {
        assert!(!admission.is_allowed());
        let told = format!("{:?} {:?} {:?}", admission.decision, admission.report, admission.audit);
        assert!(told.contains("R14") && !told.contains(body) && !told.contains("BEGIN"), "{told}");
    }
}

/// What somebody tries.
#[derive(Debug, Clone, Copy)]
struct Attempt {
    at: &'static str,
    who: &'static str,
    /// Whether they administer the repository.
    is_admin: bool,
    /// As a push, or by a pull request with so many fresh and stale approvals.
    approvals: Option<(i64, i64)>,
    checks: &'static [&'static str],
    /// For protections: whether conversations are open. For policies: whether it forces, and so on.
    flags: [bool; 4],
}

const REFS: [&str; 3] = ["refs/heads/main", "refs/heads/a", "refs/heads/b"];
const CHECKS: [&[&str]; 4] = [&[], &["build"], &["test"], &["build", "test"]];

fn attempts() -> impl Iterator<Item = Attempt> {
    let approvals = [None, Some((0, 0)), Some((0, 2)), Some((1, 0)), Some((1, 1)), Some((2, 0))];
    let all = REFS.iter().flat_map(move |at| {
        ["ada", "bob"].into_iter().flat_map(move |who| {
            approvals.into_iter().flat_map(move |approvals| {
                CHECKS.iter().flat_map(move |checks| (0..32_u8).map(move |bits| (*at, who, approvals, *checks, bits)))
            })
        })
    });
    all.map(|(at, who, approvals, checks, bits)| {
        let flag = |bit: u8| bits & (1 << bit) != 0;
        Attempt { at, who, is_admin: flag(4), approvals, checks, flags: [flag(0), flag(1), flag(2), flag(3)] }
    })
}

/// The specification read slowly: whether a filter of literal refs and `refs/heads/**` selects a ref.
fn selects(filter: &Value, found: &str) -> bool {
    let is_in = |list: &str| texts(&filter[list]).iter().any(|it| *it == found || *it == "refs/heads/**");
    is_in("include") && !is_in("exclude")
}

/// Whether a protection lets somebody do what they try.
fn is_let(spec: &Value, attempt: &Attempt) -> bool {
    let is = |field: &str, default: bool| spec[field].as_bool().unwrap_or(default);
    if !selects(&spec["refs"], attempt.at) || (attempt.is_admin && !is("enforceForAdmins", true)) {
        return true;
    }
    let pushers = texts(&spec["restrictPushTo"]);
    let may_push = pushers.is_empty() || pushers.contains(&attempt.who);
    let Some((fresh, stale)) = attempt.approvals else { return may_push && !is("requirePullRequest", true) };
    let counted = if is("dismissStaleApprovals", true) { fresh } else { fresh + stale };
    let checked = texts(&spec["requiredChecks"]).iter().all(|check| attempt.checks.contains(check));
    let resolved = !(is("requireConversationResolution", false) && attempt.flags[0]);
    may_push && checked && resolved && counted >= spec["requiredApprovals"].as_i64().unwrap_or(1)
}

/// Whether a policy of refs lets somebody do what they try: to force, to delete, to push unsigned commits, or a merge, with so large a file.
fn is_moved(spec: &Value, attempt: &Attempt) -> bool {
    let is = |field: &str, default: bool| spec[field].as_bool().unwrap_or(default);
    let [forces, deletes, unsigned, merges] = attempt.flags;
    let bytes = attempt.approvals.map_or(0, |(fresh, _)| fresh);
    if texts(&spec["deny"]).iter().any(|it| *it == attempt.at || *it == "refs/heads/**") {
        return false;
    }
    !selects(&spec["refs"], attempt.at)
        || !((forces && is("blockForcePush", true))
            || (deletes && is("blockDeletion", true))
            || (unsigned && is("requireSignedCommits", false))
            || (merges && is("requireLinearHistory", false))
            || spec["maxFileBytes"].as_i64().is_some_and(|most| bytes > most))
}

fn lists(of: &'static [&'static str]) -> impl Strategy<Value = Value> {
    subsequence(of.to_vec(), 0..=of.len()).prop_map(Value::from)
}

fn maybe(value: impl Strategy<Value = Value> + 'static) -> BoxedStrategy<Value> {
    prop_oneof![1 => Just(json!(null)), 3 => value].boxed()
}

fn filters() -> impl Strategy<Value = Value> {
    let patterns: &[&str] = &["refs/heads/main", "refs/heads/a", "refs/heads/b", "refs/heads/**"];
    let literals: &[&str] = &["refs/heads/a", "refs/heads/b"];
    (lists(patterns), lists(literals)).prop_map(|(include, exclude)| json!({"include": include, "exclude": exclude}))
}

fn specs(kind: &'static str) -> impl Strategy<Value = Value> {
    let flag = || maybe(any::<bool>().prop_map(Value::from));
    let fields: Vec<(&str, BoxedStrategy<Value>)> = match kind {
        "BranchProtection" => vec![
            ("refs", filters().boxed()),
            ("requirePullRequest", flag()),
            ("requiredApprovals", maybe((0..3_i64).prop_map(Value::from))),
            ("dismissStaleApprovals", flag()),
            ("requiredChecks", lists(&["build", "test"]).boxed()),
            ("requireConversationResolution", flag()),
            ("restrictPushTo", lists(&["ada", "bob"]).boxed()),
            ("enforceForAdmins", flag()),
        ],
        _ => vec![
            ("refs", filters().boxed()),
            ("deny", lists(&["refs/heads/main", "refs/heads/a", "refs/heads/**"]).boxed()),
            ("blockForcePush", flag()),
            ("blockDeletion", flag()),
            ("requireSignedCommits", flag()),
            ("requireLinearHistory", flag()),
            ("maxFileBytes", maybe(select(vec![1, 2]).prop_map(Value::from))),
        ],
    };
    fields.into_iter().fold(Just(json!({"repository": "krate"})).boxed(), |all, (name, value)| {
        let put = move |(mut all, value): (Value, Value)| {
            if !value.is_null() {
                all[name] = value;
            }
            all
        };
        (all, value).prop_map(put).boxed()
    })
}

/// A spec, and one that differs in one or two fields: two that have nothing in common say little.
fn pairs(kind: &'static str) -> impl Strategy<Value = (Value, Value)> {
    (specs(kind), specs(kind), subsequence((0..9_usize).collect::<Vec<_>>(), 1..=3)).prop_map(|(old, other, taken)| {
        let mut new = old.clone();
        let names: BTreeSet<String> =
            old.as_object().unwrap().keys().chain(other.as_object().unwrap().keys()).cloned().collect();
        for (at, name) in names.iter().enumerate() {
            if taken.contains(&at) {
                match other.get(name) {
                    Some(value) => new[name] = value.clone(),
                    None => drop(new.as_object_mut().unwrap().remove(name)),
                }
            }
        }
        (old, new)
    })
}

/// What cyd may write lets nobody do what they couldn't before.
fn holds(
    kind: &str,
    old: &Value,
    new: &Value,
    world: &Snapshot,
    lets: fn(&Value, &Attempt) -> bool,
) -> Result<(), TestCaseError> {
    let change = update("cyd", &document(kind, "one", old.clone()), &document(kind, "one", new.clone()), world);
    if codes(&change).contains(&"EscalationDenied") {
        return Ok(());
    }
    for attempt in attempts() {
        prop_assert!(!lets(new, &attempt) || lets(old, &attempt), "{attempt:?}\nold {old}\nnew {new}");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn p44_p61_a_protection_that_is_not_loosened_lets_nobody_do_more((old, new) in pairs("BranchProtection")) {
        holds("BranchProtection", &old, &new, &world(), is_let)?;
    }

    #[test]
    fn p44_p61_a_policy_of_refs_that_is_not_loosened_lets_nobody_do_more((old, new) in pairs("RefPolicy")) {
        holds("RefPolicy", &old, &new, &world(), is_moved)?;
    }
}
