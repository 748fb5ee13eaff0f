//! Writes: who may, what a write lends, and what is stored.

use krate_model::Kind;
use krate_model::validate::{Part, View};
use krate_policy::admission::{Admission, Change, Write, admit, questions};
use krate_policy::request::{NativeAnswer, NativeQuestion, Request, Verb};
use krate_policy::roles::Controller;
use krate_policy::snapshot::{Item, Snapshot};
use krate_policy::who::{self, Place};
use serde_json::{Value, json};

use super::world::{NS, item, mapping, permission, role, snapshot, user};

pub(crate) fn by(snapshot: &Snapshot, person: &str) -> Request {
    let place = Place::new("a", "2026-06-01T00:00:00Z".parse().unwrap());
    who::request(snapshot, &place, person, &Verb::Update, Kind::Issue)
}

/// An administrator `root`, a person `eve` who owns grants, beside ada and bob who maintain krate.
fn world() -> Snapshot {
    let mut root = user("root").document();
    root["spec"]["admin"] = json!(true);
    let grants = role("eve", "krate-secret-grant-admin");
    let binding = item(
        "ExternalBackendBinding",
        "gh-krate",
        json!({
            "organizationRef": "a", "providerRef": "gh", "targetRef": {"kind": "Repository", "name": "krate"},
            "externalRef": {"owner": "o", "repository": "krate"}, "interfaces": [{"name": "issueTracking", "mode": "bidirectional"}],
        }),
        json!({"phase": "Ready"}),
    );
    let root = Item::read(Kind::User, &root).unwrap().unwrap();
    snapshot()
        .with(8, [root, user("eve"), user("cyd"), permission("cyd", "write"), mapping("cyd", "3"), grants, binding])
        .with_platform_admin("root", "u-root")
        .with_controller("krate-operator", "u-operator", Controller::Operator)
}

// Callers write the values in place.
#[allow(clippy::needless_pass_by_value)]
pub(crate) fn document(kind: &str, name: &str, spec: Value) -> Value {
    let mut all = json!({"organizationRef": "a"});
    for (field, value) in spec.as_object().unwrap() {
        all[field] = value.clone();
    }
    json!({
        "apiVersion": "krate.a5c.ai/v1alpha1", "kind": kind, "spec": all,
        "metadata": {"name": name, "namespace": NS},
    })
}

pub(crate) fn codes(admission: &Admission) -> Vec<&'static str> {
    admission
        .decision
        .iter()
        .flat_map(krate_policy::decision::Decision::codes)
        .map(krate_policy::reason::Code::as_str)
        .collect()
}

pub(crate) fn write_by(request: &Request, change: Change<'_>, part: Part, world: &Snapshot) -> Admission {
    admit(&Write { by: request, change, part }, &View::partial([]), world)
}

pub(crate) fn create(person: &str, new: &Value, world: &Snapshot) -> Admission {
    write_by(&by(world, person), Change::Create { new }, Part::Main, world)
}

pub(crate) fn update(person: &str, old: &Value, new: &Value, world: &Snapshot) -> Admission {
    write_by(&by(world, person), Change::Update { old, new }, Part::Main, world)
}

pub(crate) fn delete(person: &str, old: &Value, world: &Snapshot) -> Admission {
    write_by(&by(world, person), Change::Delete { old }, Part::Main, world)
}

pub(crate) fn with(document: &Value, pointer: &str, value: Value) -> Value {
    let mut changed = document.clone();
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    changed.pointer_mut(parent).unwrap()[field] = value;
    changed
}

fn issue() -> Value {
    document("Issue", "one", json!({"title": "One", "repository": "krate"}))
}

fn secret_grant() -> Value {
    document(
        "AgentSecretGrant",
        "more",
        json!({
            "subject": {"kind": "agent-stack", "name": "repair"}, "secretRef": {"name": "model", "keys": ["api-key"]},
            "purpose": "model-provider-token", "allowedRepositories": ["krate"], "expiresAt": "2026-12-01T00:00:00Z",
        }),
    )
}

fn rule() -> Value {
    document(
        "AgentTriggerRule",
        "fix",
        json!({
            "sources": ["ci"], "agentStack": "repair", "taskKind": "fix", "match": {"repositories": ["krate"]},
            "writeBackPolicy": {"allowedTargets": ["issue-comment"]},
        }),
    )
}

#[test]
fn p41_each_kind_is_written_by_those_of_its_row() {
    let world = world();
    let permission = document(
        "RepositoryPermission",
        "new",
        json!({"repository": "krate", "subject": {"kind": "user", "name": "eve"}, "permission": "read"}),
    );
    let stack = document(
        "AgentStack",
        "second",
        json!({"baseAgent": "codex", "adapter": "local", "runtimeIdentity": {"serviceAccountRef": "agent-repair"}}),
    );
    let policy = document("PolicyBinding", "strict", json!({"templateRef": "t", "mode": "audit"}));
    let exception = document(
        "PolicyExceptionRequest",
        "please",
        json!({
            "policyRef": "strict", "resourceRef": {"kind": "Repository", "name": "krate"},
            "justification": "The signing service is down today", "expiresAt": "2026-06-02T00:00:00Z",
        }),
    );
    let sharing = document(
        "OrgSharingPolicy",
        "to-b",
        json!({"side": "offer", "sourceOrg": "a", "targetOrg": "b", "allowedRefs": [{"kind": "AgentSkill", "names": ["x"], "verbs": ["reference"]}]}),
    );
    let mut sharing = sharing;
    sharing["spec"].as_object_mut().unwrap().remove("organizationRef");
    for (who, what, allowed) in [
        ("cyd", issue(), true),
        ("eve", issue(), false),
        ("root", issue(), true),
        ("eve", secret_grant(), true),
        ("ada", secret_grant(), false),
        ("root", secret_grant(), true),
        ("ada", stack.clone(), false),
        ("root", stack, true),
        ("ada", permission.clone(), false),
        ("root", permission, true),
        ("ada", policy.clone(), false),
        ("root", policy, true),
        ("cyd", with(&exception, "/spec/repository", json!("krate")), false),
        ("root", exception, true),
        ("ada", sharing.clone(), false),
        ("root", sharing, true),
        ("root", document("User", "new", json!({"displayName": "N", "email": "n@example.com"})), true),
        ("ada", document("User", "new", json!({"displayName": "N", "email": "n@example.com"})), false),
    ] {
        let answer = create(who, &what, &world);
        assert_eq!(
            answer.is_allowed(),
            allowed,
            "{who} {} {:?} {:?}",
            what["kind"],
            codes(&answer),
            answer.report.failures
        );
    }
}

#[test]
fn p43_what_counts_is_who_writes_and_not_a_name_in_the_object() {
    let world = world();
    let mut forged = rule();
    forged["spec"]["owner"] = json!({"kind": "user", "name": "root"});
    let answer = create("ada", &forged, &world);
    let stored = answer.document.clone().unwrap();
    assert_eq!(stored["spec"]["owner"], json!({"kind": "user", "name": "ada", "uid": "u-ada"}), "{:?}", codes(&answer));
    // Who only pauses it doesn't become its owner; who takes it up, or changes what it does, does.
    let paused = with(&stored, "/spec/lifecycleState", json!("paused"));
    assert_eq!(update("bob", &stored, &paused, &world).document.unwrap()["spec"]["owner"]["name"], "ada");
    let active = with(&paused, "/spec/lifecycleState", json!("active"));
    assert_eq!(update("bob", &paused, &active, &world).document.unwrap()["spec"]["owner"]["name"], "bob");
    let other = with(&stored, "/spec/taskKind", json!("review"));
    assert_eq!(update("bob", &stored, &other, &world).document.unwrap()["spec"]["owner"]["name"], "bob");
    let mut asked = document(
        "PolicyExceptionRequest",
        "please",
        json!({
            "policyRef": "strict", "resourceRef": {"kind": "Repository", "name": "krate"}, "requestedBy": {"kind": "user", "name": "bob"},
            "justification": "The signing service is down today", "expiresAt": "2026-06-02T00:00:00Z",
        }),
    );
    assert_eq!(create("root", &asked, &world).document.unwrap()["spec"]["requestedBy"]["name"], "root");
    // R20: nor does a status come with a new object.
    asked["status"] = json!({"phase": "Approved"});
    assert_eq!(create("root", &asked, &world).document.unwrap().get("status"), None);
}

#[test]
fn p43_a_status_is_its_controllers_and_a_controllers_spec_is_nobodys_grant() {
    let world = world();
    let old = secret_grant();
    let new = with(&with(&old, "/status", json!({})), "/status/phase", json!("Active"));
    let status =
        |request: &Request| codes(&write_by(request, Change::Update { old: &old, new: &new }, Part::Status, &world));
    let mut operator = by(&world, "ada");
    operator.subject =
        serde_json::from_value(json!({"kind": "controller", "name": "krate-operator", "uid": "u-operator"})).unwrap();
    operator.actor_chain = vec![
        serde_json::from_value(json!({"kind": "controller", "name": "krate-operator", "uid": "u-operator"})).unwrap(),
    ];
    assert_eq!(status(&operator), [""; 0], "53");
    assert_eq!(status(&by(&world, "ada")), ["MissingRole"]);
    let mut stranger = operator.clone();
    stranger.subject.uid = "u-other".into();
    stranger.actor_chain[0].uid = "u-other".into();
    assert_eq!(status(&stranger), ["UnknownSubject"]);
    let spec = write_by(&operator, Change::Create { new: &old }, Part::Main, &world);
    assert_eq!(codes(&spec), ["MissingRole"], "52c");
    let delivery = document("ExternalWebhookDelivery", "d", json!({}));
    assert_eq!(codes(&write_by(&operator, Change::Create { new: &delivery }, Part::Main, &world)), [""; 0]);
    assert_eq!(codes(&create("root", &delivery, &world)), [""; 0], "the role would allow it");
    assert!(!create("root", &delivery, &world).is_allowed(), "R19: and the kind doesn't");
    let kinds = [&operator, &by(&world, "ada")].map(|request| {
        write_by(request, Change::Create { new: &delivery }, Part::Main, &world).audit.unwrap().actor.kind.to_string()
    });
    assert_eq!(kinds, ["controller", "user"], "P49: who it was");
}

#[test]
fn p44_nobody_lends_what_they_have_not() {
    let world = world();
    // 51b: a rule with a write-back target, a repository or a stack's start that its writer lacks.
    assert_eq!(
        codes(&create("ada", &rule(), &world)),
        ["MissingRole"],
        "a role in one repository writes no rule of the whole organization"
    );
    let in_repository = world.with(9, [item(
        "AgentRoleBinding",
        "ada-writes-rules",
        json!({
            "organizationRef": "a", "subject": {"kind": "user", "name": "ada"}, "roleRef": {"kind": "Role", "name": "rules"}, "scope": {"kind": "organization"},
            "resourceRules": [{"apiGroups": ["krate.a5c.ai"], "resources": ["agenttriggerrules", "agentstacks"], "verbs": ["create", "update"]}],
        }),
        json!({"phase": "Synced", "subjectUid": "u-ada"}),
    )]);
    assert_eq!(codes(&create("ada", &rule(), &in_repository)), [""; 0]);
    let wider = with(&rule(), "/spec/match/repositories", json!(["krate", "other"]));
    assert_eq!(codes(&create("ada", &wider, &in_repository)), ["EscalationDenied"; 2], "neither start nor comment");
    let everywhere = with(&rule(), "/spec/match", json!({}));
    assert_eq!(codes(&create("ada", &everywhere, &in_repository)), ["EscalationDenied"; 2]);
    let unknown = with(&rule(), "/spec/writeBackPolicy/allowedTargets", json!(["format-disk"]));
    assert_eq!(codes(&create("ada", &unknown, &in_repository)), ["EscalationDenied"]);
    let off = with(&wider, "/spec/lifecycleState", json!("disabled"));
    assert_eq!(codes(&update("ada", &wider, &off, &in_repository)), [""; 0], "taking it out of force lends nothing");
    // A stack's targets.
    let stack = document(
        "AgentStack",
        "second",
        json!({"baseAgent": "codex", "adapter": "local", "runtimeIdentity": {"serviceAccountRef": "agent-repair"}, "writeBackPolicy": {"allowedTargets": ["branch-push"]}}),
    );
    assert_eq!(codes(&create("ada", &stack, &in_repository)), ["EscalationDenied"]);
    assert_eq!(codes(&create("root", &stack, &in_repository)), [""; 0]);
}

#[test]
fn p44_roles_and_permissions_are_given_by_those_who_have_them() {
    let mut admin = permission("bob", "admin").document();
    admin["metadata"]["name"] = json!("bob-krate");
    let world = world().with(9, [Item::read(Kind::RepositoryPermission, &admin).unwrap().unwrap()]);
    let given = |permission: &str| {
        document(
            "RepositoryPermission",
            "new",
            json!({"repository": "krate", "subject": {"kind": "user", "name": "eve"}, "permission": permission}),
        )
    };
    for permission in ["read", "maintain", "admin"] {
        assert_eq!(codes(&create("bob", &given(permission), &world)), [""; 0], "{permission}");
    }
    assert_eq!(codes(&create("ada", &given("read"), &world)), ["MissingRole"]);
    let role = |kind: &str, name: &str| {
        document(
            "AgentRoleBinding",
            "new",
            json!({"subject": {"kind": "user", "name": "eve"}, "roleRef": {"kind": kind, "name": name}, "scope": {"kind": "organization"}}),
        )
    };
    assert_eq!(codes(&create("root", &role("RoleTemplate", "krate-maintainer"), &world)), [""; 0]);
    assert_eq!(codes(&create("root", &role("RoleTemplate", "krate-everything"), &world)), ["EscalationDenied"]);
    // 51a: what Kubernetes lets nobody bind.
    assert_eq!(codes(&create("root", &role("ClusterRole", "cluster-admin"), &world)), ["EscalationDenied"]);
    let mut asked = by(&world, "root");
    asked.native = vec![
        serde_json::from_value(json!({
            "asked": {
                "user": "root", "verb": "bind", "group": "rbac.authorization.k8s.io", "resource": "clusterroles", "namespace": NS, "name": "view",
            },
            "allowed": true, "at": "2026-06-01T00:00:00Z",
        }))
        .unwrap(),
    ];
    let answer = |request: &Request, kind: &str, name: &str| {
        codes(&write_by(request, Change::Create { new: &role(kind, name) }, Part::Main, &world))
    };
    assert_eq!(answer(&asked, "ClusterRole", "view"), [""; 0]);
    assert_eq!(answer(&asked, "ClusterRole", "cluster-admin"), ["EscalationDenied"], "P63: it was asked of another");
    assert_eq!(answer(&asked, "Role", "view"), ["EscalationDenied"], "P63: it was asked of a ClusterRole");
    asked.native[0].at = "2026-05-31T23:59:00Z".parse().unwrap();
    assert_eq!(answer(&asked, "ClusterRole", "view"), ["EscalationDenied"], "an old answer is none");
    // A team lends what it has to whoever joins it.
    let binds = json!({
        "organizationRef": "a", "subject": {"kind": "user", "name": "bob"}, "roleRef": {"kind": "Role", "name": "teams"}, "scope": {"kind": "organization"},
        "resourceRules": [{"apiGroups": ["krate.a5c.ai"], "resources": ["teams"], "verbs": ["create", "update"]}],
    });
    let powerful = item(
        "AgentRoleBinding",
        "core-admin",
        json!({
            "organizationRef": "a", "subject": {"kind": "team", "name": "core"}, "roleRef": {"kind": "RoleTemplate", "name": "krate-org-admin"},
            "scope": {"kind": "organization"},
        }),
        json!({"phase": "Synced", "subjectUid": "u-core"}),
    );
    let bound = item("AgentRoleBinding", "bob-teams", binds, json!({"phase": "Synced", "subjectUid": "u-bob"}));
    let world = world.with(10, [bound, powerful]);
    let team = |members: Value| {
        document(
            "Team",
            "core",
            json!({"displayName": "Core", "members": members, "repositoryGrants": [{"repository": "krate", "permission": "write"}]}),
        )
    };
    assert_eq!(codes(&update("bob", &team(json!([])), &team(json!(["bob"])), &world)), ["EscalationDenied"]);
    assert_eq!(
        codes(&update("bob", &team(json!(["eve", "bob"])), &team(json!(["bob"])), &world)),
        [""; 0],
        "who leaves lends nothing"
    );
}

#[test]
fn p44_case_48b_the_last_administrator_stays() {
    let world = world();
    let root = |admin: bool, state: &str| {
        let mut root = document(
            "User",
            "root",
            json!({"displayName": "root", "email": "root@example.com", "admin": admin, "state": state}),
        );
        root["metadata"]["uid"] = json!("u-root");
        root
    };
    let old = root(true, "active");
    assert_eq!(codes(&update("root", &old, &root(false, "active"), &world)), ["ExplicitDeny"]);
    assert_eq!(codes(&update("root", &old, &root(true, "suspended"), &world)), ["ExplicitDeny"]);
    assert_eq!(codes(&delete("root", &old, &world)), ["ExplicitDeny"]);
    let mut second = user("second").document();
    second["spec"]["admin"] = json!(true);
    let two = world.with(9, [Item::read(Kind::User, &second).unwrap().unwrap()]);
    assert_eq!(codes(&delete("root", &old, &two)), [""; 0]);
}

#[test]
fn p44_case_54_the_old_policy_judges_the_edit_that_would_lift_it() {
    let policies = [
        item(
            "PolicyTemplate",
            "frozen",
            json!({"organizationRef": "a", "displayName": "Frozen", "targetKinds": ["PolicyBinding"], "engine": "krate", "krate": {"effect": "deny", "verbs": ["update", "delete"]}}),
            json!({"phase": "Ready"}),
        ),
        item(
            "PolicyBinding",
            "frozen",
            json!({"organizationRef": "a", "templateRef": "frozen", "mode": "enforce"}),
            json!({"phase": "Applied"}),
        ),
    ];
    let world = world().with(9, policies);
    let mut old = document("PolicyBinding", "frozen", json!({"templateRef": "frozen", "mode": "enforce"}));
    old["metadata"]["uid"] = json!("u-frozen");
    let lifted = with(&old, "/spec/mode", json!("audit"));
    assert_eq!(codes(&update("root", &old, &lifted, &world)), ["ExplicitDeny"]);
    assert_eq!(codes(&delete("root", &old, &world)), ["ExplicitDeny"]);
}

#[test]
fn p43_case_55_a_bulk_deletion_is_judged_one_by_one() {
    let world = world();
    let grants: Vec<Value> = (0..10)
        .map(|at| {
            let mut grant = secret_grant();
            grant["metadata"]["name"] = json!(format!("g{at}"));
            grant
        })
        .collect();
    let mut others = grants;
    others[4]["metadata"]["namespace"] = json!("krate-org-b");
    let answers: Vec<Admission> = others.iter().map(|grant| delete("eve", grant, &world)).collect();
    assert_eq!(answers.iter().filter(|answer| answer.is_allowed()).count(), 9);
    assert_eq!(codes(&answers[4]), ["CrossOrgDenied"]);
    let user = document("User", "cyd", json!({"displayName": "C", "email": "c@example.com"}));
    assert_eq!(codes(&delete("eve", &user, &world)), ["MissingRole"]);
}

#[test]
fn p9_the_platforms_objects_are_its_administrators() {
    let world = world();
    let organization = json!({
        "apiVersion": "krate.a5c.ai/v1alpha1", "kind": "Organization", "metadata": {"name": "c", "namespace": "krate-system"},
        "spec": {"displayName": "C", "slug": "c", "namespaceName": "krate-org-c"},
    });
    assert_eq!(codes(&create("root", &organization, &world)), [""; 0]);
    assert_eq!(codes(&create("ada", &organization, &world)), ["MissingRole"]);
    let mut agent = by(&world, "root");
    agent.subject =
        serde_json::from_value(json!({"kind": "agent-stack", "name": "repair", "uid": "u-repair"})).unwrap();
    agent.actor_chain.insert(
        0,
        serde_json::from_value(json!({"kind": "agent-stack", "name": "repair", "uid": "u-repair", "by": "token"}))
            .unwrap(),
    );
    assert_eq!(
        codes(&write_by(&agent, Change::Create { new: &organization }, Part::Main, &world)),
        ["MissingRole"],
        "not through an agent"
    );
}

#[test]
fn p42_other_kinds_are_never_touched() {
    let world = world();
    for other in [
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": NS}}),
        json!({"apiVersion": "apps/v1", "kind": "Issue"}),
        json!(null),
    ] {
        let answer = create("nobody", &other, &world);
        assert!(answer.is_allowed() && answer.decision.is_none() && answer.audit.is_none());
        assert_eq!(answer.document, Some(other));
    }
}

#[test]
fn p58_an_edit_of_a_synced_object_goes_by_mode_and_write_policy() {
    let world = world();
    let (old, new) = (issue(), with(&issue(), "/spec/title", json!("Two")));
    assert_eq!(codes(&update("cyd", &old, &new, &world)), [""; 0]);
    let read_only = item(
        "ExternalBackendBinding",
        "gh-krate",
        json!({
            "organizationRef": "a", "providerRef": "gh", "targetRef": {"kind": "Repository", "name": "krate"},
            "externalRef": {"owner": "o", "repository": "krate"}, "interfaces": [{"name": "issueTracking", "mode": "read-only"}],
        }),
        json!({"phase": "Ready"}),
    );
    assert_eq!(codes(&update("cyd", &old, &new, &world.with(9, [read_only.clone()]))), ["ModeForbidsWrite"]);
    // S2: the mode of the field that is changed.
    let mut by_field = read_only.document();
    by_field["spec"]["interfaces"][0]["kinds"] =
        json!([{"kind": "Issue", "fields": [{"path": "spec.title", "mode": "bidirectional"}]}]);
    let by_field = world.with(9, [Item::read(Kind::ExternalBackendBinding, &by_field).unwrap().unwrap()]);
    assert_eq!(codes(&update("cyd", &old, &new, &by_field)), [""; 0]);
    let body = with(&new, "/spec/body", json!({"markdown": "Two"}));
    assert_eq!(codes(&update("cyd", &old, &body, &by_field)), ["ModeForbidsWrite"]);
    assert_eq!(codes(&update("eve", &old, &new, &world)), ["MissingRole"]);
    // What changes nothing asks for no more than looking.
    assert_eq!(codes(&update("cyd", &new, &new, &world)), [""; 0]);
    assert_eq!(codes(&update("eve", &new, &new, &world)), ["MissingRole"]);
}

#[test]
fn p29_p30_an_answer_that_would_not_count_is_not_taken() {
    let world = world();
    let approval = document(
        "AgentApproval",
        "ap",
        json!({
            "subject": {"kind": "writeIntent", "name": "w"}, "class": "write-back", "action": {"summary": "Close it"},
            "requestedBy": {"kind": "user", "name": "ada"}, "expiresAt": "2026-06-02T00:00:00Z", "repository": "krate",
            "digest": "sha256:0000000000000000000000000000000000000000000000000000000000000001",
        }),
    );
    let answered = with(
        &approval,
        "/spec/decide",
        json!({"id": "d", "verdict": "approved", "digest": "sha256:0000000000000000000000000000000000000000000000000000000000000001"}),
    );
    assert_eq!(codes(&update("ada", &approval, &answered, &world)), ["SelfApproval"]);
    assert_eq!(codes(&update("bob", &approval, &answered, &world)), [""; 0]);
    assert_eq!(codes(&update("cyd", &approval, &answered, &world)), ["MissingRole"], "P31: the right itself");
    // P32: where the terms name who may answer, nobody else does.
    let named = |approvers: Value| with(&approval, "/spec/policy", json!({"quorum": 1, "approvers": approvers}));
    let answers = |approval: &Value, who: &str| {
        let answered = with(approval, "/spec/decide", answered["spec"]["decide"].clone());
        codes(&update(who, approval, &answered, &world))
    };
    assert_eq!(answers(&named(json!({"teams": ["nobodys"]})), "bob"), ["ApproverNotAllowed"]);
    assert_eq!(answers(&named(json!({"roles": ["krate-org-admin"]})), "bob"), ["ApproverNotAllowed"]);
    let mut agent = by(&world, "bob");
    agent.subject =
        serde_json::from_value(json!({"kind": "agent-stack", "name": "repair", "uid": "u-repair"})).unwrap();
    agent.actor_chain.insert(
        0,
        serde_json::from_value(json!({"kind": "agent-stack", "name": "repair", "uid": "u-repair", "by": "token"}))
            .unwrap(),
    );
    let answer = write_by(&agent, Change::Update { old: &approval, new: &answered }, Part::Main, &world);
    assert!(codes(&answer).contains(&"ApproverNotAllowed"), "{:?}", codes(&answer));
}

#[test]
fn p49_every_answer_leaves_what_is_to_be_recorded_and_no_value_of_it() {
    let world = world();
    let canary = "ghp_000000000000000000000000000000000000";
    let mut secret = issue();
    secret["spec"]["title"] = json!(canary);
    for (who, new) in [("cyd", issue()), ("eve", issue()), ("cyd", secret)] {
        let answer = create(who, &new, &world);
        let audit = answer.audit.clone().unwrap();
        assert_eq!((audit.actor.name.as_str(), audit.to.as_deref()), (who, Some("Create")));
        assert_eq!(audit.outcome.as_str() == "Succeeded", answer.is_allowed());
        assert_eq!(audit.reason.is_none(), answer.is_allowed(), "a yes needs no reason, and a no has one");
        assert!(audit.digests.contains_key("request") && audit.digests.contains_key("decision"));
        assert!(!format!("{audit:?}").contains(canary));
        let told = answer.report.failures.iter().map(ToString::to_string).collect::<String>();
        assert!(!told.contains(canary));
    }
}

#[test]
fn p17_p18_what_a_profile_lists_can_be_read() {
    let world = world();
    let profile = |hosts: Value, commands: Value| {
        let spec = json!({"filesystemPolicy": "none", "approvalPolicyByTool": {}, "networkPolicy": {"allowHosts": hosts}, "allowedCommands": commands});
        codes(&create("root", &document("AgentToolProfile", "p", spec), &world))
    };
    assert_eq!(profile(json!(["*.example.com"]), json!(["git status"])), [""; 0]);
    assert_eq!(profile(json!(["*"]), json!([])), ["InvalidRequest"]);
    assert_eq!(profile(json!([]), json!(["git status | sh"])), ["InvalidRequest"]);
}

fn controller(world: &Snapshot, uid: &str) -> Request {
    let mut request = by(world, "ada");
    let link = json!({"kind": "controller", "name": "krate-operator", "uid": uid});
    request.subject = serde_json::from_value(link.clone()).unwrap();
    request.actor_chain = vec![serde_json::from_value(link).unwrap()];
    request
}

#[test]
fn p9_p43_a_status_of_the_platforms_is_its_controllers_alone() {
    let world = world();
    let old = json!({
        "apiVersion": "krate.a5c.ai/v1alpha1", "kind": "Organization", "metadata": {"name": "a", "namespace": "krate-system"},
        "spec": {"displayName": "A", "slug": "a", "namespaceName": NS},
    });
    let new = with(&with(&old, "/status", json!({})), "/status/phase", json!("Ready"));
    let asked = |request: &Request, part: Part| {
        codes(&write_by(request, Change::Update { old: &old, new: &new }, part, &world))
    };
    assert_eq!(asked(&controller(&world, "u-operator"), Part::Status), [""; 0]);
    assert_eq!(asked(&controller(&world, "u-other"), Part::Status), ["MissingRole"]);
    assert_eq!(asked(&by(&world, "root"), Part::Status), ["MissingRole"], "not even an administrator's");
    assert_eq!(asked(&by(&world, "root"), Part::Main), [""; 0]);
    assert_eq!(asked(&controller(&world, "u-operator"), Part::Main), ["MissingRole"], "nor is the spec a controller's");
    let mut behind = controller(&world, "u-operator");
    behind.actor_chain.push(serde_json::from_value(json!({"kind": "user", "name": "ada", "uid": "u-ada"})).unwrap());
    assert_eq!(asked(&behind, Part::Status), ["MissingRole"], "a controller acts for itself here");
}

#[test]
fn r37_a_write_of_several_verbs_needs_each_of_them() {
    let merges = item(
        "AgentRoleBinding",
        "eve-merges",
        json!({
            "organizationRef": "a", "subject": {"kind": "user", "name": "eve"}, "roleRef": {"kind": "Role", "name": "merges"}, "scope": {"kind": "organization"},
            "resourceRules": [{"apiGroups": ["krate.a5c.ai"], "resources": ["pullrequests"], "verbs": ["merge"]}],
        }),
        json!({"phase": "Synced", "subjectUid": "u-eve"}),
    );
    let binding = krate_policy::snapshot::Key {
        kind: Kind::ExternalBackendBinding,
        namespace: NS.into(),
        name: "gh-krate".into(),
    };
    // Without a provider, so that roles alone decide.
    let world = world().with(9, [merges]).without(10, &binding);
    let old = document(
        "PullRequest",
        "pr",
        json!({"repository": "krate", "title": "One", "head": {"ref": "x"}, "base": "main"}),
    );
    let titled = with(&old, "/spec/title", json!("Two"));
    let command = json!({"method": "squash", "expectedHeadSha": "1111111111111111111111111111111111111111"});
    let merged = with(&old, "/spec/merge", command.clone());
    let both = with(&titled, "/spec/merge", command);
    let asked = |person: &str, new: &Value| codes(&update(person, &old, new, &world));
    for (person, title, merge) in [("ada", true, true), ("cyd", true, false), ("eve", false, true)] {
        let expected = |allowed: bool| if allowed { vec![] } else { vec!["MissingRole"] };
        assert_eq!(asked(person, &titled), expected(title), "{person} edits");
        assert_eq!(asked(person, &merged), expected(merge), "{person} merges");
        assert_eq!(asked(person, &both), expected(title && merge), "{person} does both");
    }
}

#[test]
fn r19_who_acts_for_another_person_is_no_person_to_the_rules_of_a_kind() {
    let world = world();
    let mut delegated = by(&world, "cyd");
    assert!(write_by(&delegated, Change::Create { new: &issue() }, Part::Main, &world).is_allowed());
    delegated.actor_chain[0].by = serde_json::from_value(json!("delegation")).unwrap();
    delegated.actor_chain.push(serde_json::from_value(json!({"kind": "user", "name": "ada", "uid": "u-ada"})).unwrap());
    let answer = write_by(&delegated, Change::Create { new: &issue() }, Part::Main, &world);
    let rules: Vec<String> = answer.report.failures.iter().map(|failure| failure.rule.to_string()).collect();
    assert_eq!((codes(&answer), rules), (vec![], vec!["R19".to_owned()]));
}

/// A person who may write objects of these kinds in the whole organization, and nothing else.
fn may_write(person: &str, plurals: &Value) -> Item {
    item(
        "AgentRoleBinding",
        &format!("{person}-writes"),
        json!({
            "organizationRef": "a", "subject": {"kind": "user", "name": person}, "roleRef": {"kind": "Role", "name": "writes"}, "scope": {"kind": "organization"},
            "resourceRules": [{"apiGroups": ["krate.a5c.ai"], "resources": plurals, "verbs": ["create", "update"]}],
        }),
        json!({"phase": "Synced", "subjectUid": format!("u-{person}")}),
    )
}

#[test]
fn p44_who_may_write_permissions_gives_no_more_than_their_own() {
    let world = world().with(9, [may_write("cyd", &json!(["repositorypermissions"]))]);
    let given = |permission: &str, revoked: bool| {
        document(
            "RepositoryPermission",
            "new",
            json!({"repository": "krate", "subject": {"kind": "user", "name": "eve"}, "permission": permission, "revoked": revoked}),
        )
    };
    // cyd has `write` on the repository.
    for (permission, expected) in [("read", vec![]), ("write", vec![]), ("maintain", vec!["EscalationDenied"])] {
        assert_eq!(codes(&create("cyd", &given(permission, false), &world)), expected, "{permission}");
    }
    let taken = update("cyd", &given("admin", false), &given("admin", true), &world);
    assert_eq!(codes(&taken), [""; 0], "taking one away gives nothing");
}

#[test]
fn p44_a_secret_is_granted_and_named_by_who_may_read_it_in_the_cluster() {
    let world = world().with_native(true);
    let provider = document(
        "ExternalBackendProvider",
        "gh",
        json!({
            "providerType": "github", "displayName": "GitHub", "authRef": {"mode": "personal-access-token", "secretRef": {"name": "gh"}},
            "webhook": {"secretRefs": []}, "capabilities": {"issueTracking": true},
        }),
    );
    // Everything that is asked is answered with yes, but what the Secret was asked, which is answered so.
    let asked = |new: &Value, old: Option<&Value>, reads: Option<bool>| {
        let mut request = by(&world, "root");
        let change = old.map_or(Change::Create { new }, |old| Change::Update { old, new });
        for asked in questions(&Write { by: &request.clone(), change, part: Part::Main }, &world) {
            let allowed = if &*asked.resource == "secrets" { reads } else { Some(true) };
            request.native.extend(allowed.map(|allowed| NativeAnswer { asked, allowed, at: request.now }));
        }
        codes(&write_by(&request, change, Part::Main, &world))
    };
    for new in [secret_grant(), provider.clone()] {
        assert_eq!(asked(&new, None, Some(true)), [""; 0], "{}", new["kind"]);
        assert_eq!(asked(&new, None, Some(false)), ["EscalationDenied"], "{}", new["kind"]);
        assert_eq!(asked(&new, None, None), ["NativeRbacUnavailable"], "{}: nobody asked", new["kind"]);
    }
    let revoked = with(&secret_grant(), "/spec/revoked", json!(true));
    assert_eq!(asked(&revoked, Some(&secret_grant()), None), [""; 0], "taking it away reads nothing");
    let wider = with(&secret_grant(), "/spec/allowedRepositories", json!(["krate", "other"]));
    assert_eq!(asked(&wider, Some(&secret_grant()), None), ["NativeRbacUnavailable"]);
    let renamed = with(&provider, "/spec/displayName", json!("Hub"));
    assert_eq!(asked(&renamed, Some(&provider), None), [""; 0], "another name reads no Secret");
    let other = with(&provider, "/spec/authRef/secretRef/name", json!("other"));
    assert_eq!(asked(&other, Some(&provider), None), ["NativeRbacUnavailable"]);
}

#[test]
fn p61_p63_what_agents_are_given_to_read_is_the_writers_to_read() {
    let world = world().with_native(true);
    // Everything that is asked is answered with yes, but about one resource, which is answered so.
    let asked = |new: &Value, old: Option<&Value>, resource: &str, reads: Option<bool>| {
        let mut request = by(&world, "root");
        let change = old.map_or(Change::Create { new }, |old| Change::Update { old, new });
        for asked in questions(&Write { by: &request.clone(), change, part: Part::Main }, &world) {
            let allowed = if &*asked.resource == resource { reads } else { Some(true) };
            request.native.extend(allowed.map(|allowed| NativeAnswer { asked, allowed, at: request.now }));
        }
        codes(&write_by(&request, change, Part::Main, &world))
    };
    let mut config = secret_grant();
    config["kind"] = json!("AgentConfigGrant");
    config["spec"]["configMapRef"] = config["spec"]["secretRef"].take();
    config["spec"].as_object_mut().unwrap().remove("secretRef");
    config["spec"]["purpose"] = json!("mcp-config");
    let server = document(
        "AgentMcpServer",
        "docs",
        json!({"transport": "streamable-http", "url": "https://docs.example.com", "scope": "organization"}),
    );
    let skill = document("AgentSkill", "triage", json!({"format": "inline", "sourceRef": digest("x")}));
    let models = document("AgentProviderConfig", "models", json!({"provider": "anthropic", "authType": "token"}));
    let key = json!({"name": "model", "key": "api-key"});
    for (new, resource) in [
        (config.clone(), "configmaps"),
        (with(&server, "/spec/secretRefs", json!([key])), "secrets"),
        (with(&server, "/spec/headersFrom", json!([{"name": "authorization", "secretRef": key}])), "secrets"),
        (with(&server, "/spec/envFrom", json!([{"secretRef": {"name": "model"}}])), "secrets"),
        (with(&server, "/spec/envFrom", json!([{"configMapRef": {"name": "model"}}])), "configmaps"),
        (with(&server, "/spec/configRefs", json!([key])), "configmaps"),
        (with(&skill, "/spec/requiredSecretRefs", json!([key])), "secrets"),
        (with(&skill, "/spec/requiredConfigRefs", json!([key])), "configmaps"),
        (with(&models, "/spec/secretRef", key.clone()), "secrets"),
    ] {
        assert_eq!(asked(&new, None, resource, Some(true)), [""; 0], "{new}");
        assert_eq!(asked(&new, None, resource, Some(false)), ["EscalationDenied"], "{new}");
        assert_eq!(asked(&new, None, resource, None), ["NativeRbacUnavailable"], "{new}: nobody asked");
        let renamed = with(&new, "/metadata/labels", json!({"tier": "one"}));
        assert_eq!(asked(&renamed, Some(&new), resource, None), [""; 0], "{new}: what was given before is no more");
    }
    let revoked = with(&config, "/spec/revoked", json!(true));
    assert_eq!(asked(&revoked, Some(&config), "configmaps", None), [""; 0], "taking it away reads nothing");
}

#[test]
fn p61_what_agents_work_with_is_given_by_who_may_use_it() {
    let plurals = json!([
        "agentmcpservers",
        "agentskills",
        "agentsubagents",
        "agentworkspacepolicies",
        "agenttoolprofiles",
        "agentstacks"
    ]);
    // Cyd may write all of them, and use none; eve maintains the organization.
    let world = world().with(9, [may_write("cyd", &plurals), role("eve", "krate-maintainer")]);
    let server = document(
        "AgentMcpServer",
        "docs",
        json!({"transport": "streamable-http", "url": "https://docs.example.com", "scope": "organization"}),
    );
    let skill = document("AgentSkill", "triage", json!({"format": "inline", "sourceRef": digest("x")}));
    let subagent = document("AgentSubagent", "checker", json!({"rolePrompt": "Check.", "taskKinds": ["check"]}));
    let workspaces = document("AgentWorkspacePolicy", "shared", json!({"retentionPolicy": {}}));
    let profile = document("AgentToolProfile", "narrow", json!({"filesystemPolicy": "none"}));
    let agent = document(
        "AgentStack",
        "new",
        json!({"baseAgent": "claude-code", "adapter": "local", "runtimeIdentity": {"serviceAccountRef": "agent-repair"}}),
    );
    for (old, pointer, value) in [
        (&server, "/spec/url", json!("https://evil.example.com")),
        (&server, "/spec/approvalPolicy", json!("allow")),
        (&skill, "/spec/promptFragment", json!("Do more.")),
        (&subagent, "/spec/toolProfileRef", json!("narrow")),
        (&subagent, "/spec/mcpServerRefs", json!(["docs"])),
        (&subagent, "/spec/skillRefs", json!(["triage"])),
        (&workspaces, "/spec/trustTier", json!("trusted")),
        (&workspaces, "/spec/caches", json!("repository")),
        (&workspaces, "/spec/mode", json!("shared-worktree")),
        (&profile, "/spec/allowedCommands", json!(["git"])),
        (&agent, "/spec/toolProfileRef", json!("narrow")),
        (&agent, "/spec/mcpServerRefs", json!(["docs"])),
        (&agent, "/spec/skillRefs", json!(["triage"])),
        (&agent, "/spec/memorySourceRefs", json!(["knowledge"])),
        (&agent, "/spec/runnerPool", json!("open")),
    ] {
        let more = with(old, pointer, value);
        assert_eq!(codes(&update("cyd", old, &more, &world)), ["EscalationDenied"], "{pointer} of {}", old["kind"]);
        assert_eq!(codes(&update("eve", old, &more, &world)), [""; 0], "{pointer} of {}", old["kind"]);
    }
    // What isn't more is nobody's to lend.
    for (kind, old, pointer) in [
        ("a label", &server, "/metadata/labels"),
        ("a label", &profile, "/metadata/labels"),
        ("a label", &agent, "/metadata/labels"),
    ] {
        let labelled = with(old, pointer, json!({"tier": "one"}));
        assert_eq!(codes(&update("cyd", old, &labelled, &world)), [""; 0], "{kind} of {}", old["kind"]);
    }
    let fewer = with(&subagent, "/spec/skillRefs", json!(["triage"]));
    assert_eq!(codes(&update("cyd", &fewer, &subagent, &world)), [""; 0]);
    let suspended = with(&server, "/spec/suspend", json!(true));
    assert_eq!(codes(&update("cyd", &server, &suspended, &world)), [""; 0]);
    assert_eq!(codes(&update("cyd", &suspended, &server, &world)), ["EscalationDenied"], "taking it up again lends it");
    let shared = with(&workspaces, "/spec/caches", json!("repository"));
    assert_eq!(codes(&update("cyd", &shared, &workspaces, &world)), [""; 0]);
}

#[test]
fn p63_what_kubernetes_says_of_one_secret_is_nothing_about_another() {
    let world = world().with_native(true);
    let asked = |by_whom: &str, new: &Value| {
        let by = by(&world, by_whom);
        questions(&Write { by: &by, change: Change::Create { new }, part: Part::Main }, &world)
    };
    let grant = secret_grant();
    let read = asked("root", &grant).into_iter().find(|question| &*question.resource == "secrets").unwrap();
    assert_eq!(
        json!(read),
        json!({"user": "root", "verb": "get", "group": "", "resource": "secrets", "namespace": NS, "name": "model"})
    );
    let answered = |new: &Value, questions: Vec<NativeQuestion>| {
        let mut request = by(&world, "root");
        let at = request.now;
        request.native = questions.into_iter().map(|asked| NativeAnswer { asked, allowed: true, at }).collect();
        codes(&write_by(&request, Change::Create { new }, Part::Main, &world))
    };
    assert_eq!(answered(&grant, asked("root", &grant)), [""; 0]);
    for (pointer, value) in [("/spec/secretRef/name", "root-of-all"), ("/spec/secretRef/namespace", "krate-system")] {
        // The same but for the Secret: the answers about the first say nothing.
        let other = with(&grant, pointer, json!(value));
        let codes = answered(&other, asked("root", &grant));
        assert_eq!(codes, ["NativeRbacUnavailable"], "{pointer}");
    }
    let codes = answered(&grant, asked("eve", &grant));
    assert_eq!(codes, ["NativeRbacUnavailable", "NativeRbacUnavailable"], "eve's answers are none of root's");
    let binding = |name: &str| {
        let spec = json!({"subject": {"kind": "user", "name": "eve"}, "roleRef": {"kind": "ClusterRole", "name": name}, "scope": {"kind": "organization"}});
        document("AgentRoleBinding", "new", spec)
    };
    assert_eq!(answered(&binding("view"), asked("root", &binding("view"))), [""; 0]);
    let other = answered(&binding("cluster-admin"), asked("root", &binding("view")));
    assert_eq!(other, ["NativeRbacUnavailable"], "view is no cluster-admin");
    let foreign = with(&grant, "/metadata/namespace", json!("krate-org-b"));
    assert_eq!(asked("root", &foreign), [], "nothing is asked about what isn't this organization's (P6)");
}

#[test]
fn p44_an_agent_is_trusted_by_who_could_do_it_themselves() {
    let world = world().with(9, [may_write("eve", &json!(["externalbackendsyncpolicies"]))]);
    let trusting = |operations: Value| {
        document(
            "ExternalBackendSyncPolicy",
            "careful",
            json!({"writePolicy": {"trustedAgents": [{"agent": "repair", "operations": operations}]}}),
        )
    };
    let (little, more) = (trusting(json!(["createComment"])), trusting(json!(["createComment", "updateIssue"])));
    assert_eq!(codes(&create("root", &more, &world)), [""; 0]);
    assert_eq!(codes(&create("eve", &little, &world)), ["EscalationDenied"]);
    assert_eq!(codes(&update("eve", &little, &more, &world)), ["EscalationDenied"], "one operation more");
    assert_eq!(codes(&update("eve", &more, &little, &world)), [""; 0], "less trust lends nothing");
}

#[test]
fn p42_r40_what_calls_itself_krates_is_never_left_alone() {
    let world = world();
    let of = |version: &str, kind: &str| {
        let mut document = issue();
        (document["apiVersion"], document["kind"]) = (json!(version), json!(kind));
        document
    };
    // Both forms of the group are judged, as one.
    for version in ["krate.a5c.ai/v1alpha1", "records.krate.a5c.ai/v1alpha1"] {
        assert_eq!(codes(&create("cyd", &of(version, "Issue"), &world)), [""; 0], "{version}");
        assert_eq!(codes(&create("eve", &of(version, "Issue"), &world)), ["MissingRole"], "{version}");
    }
    for unknown in
        [of("krate.a5c.ai/v1alpha1", "Issues"), of("krate.a5c.ai/v2", "Issue"), of("records.krate.a5c.ai/v2", "Issue")]
    {
        let answer = create("root", &unknown, &world);
        assert_eq!((codes(&answer), answer.is_allowed()), (vec!["InvalidRequest"], false), "{unknown}");
    }
    // Nor does an update lead out of what is judged, or to another object.
    let old = issue();
    for (pointer, value) in [
        ("/apiVersion", json!("v1")),
        ("/kind", json!("Comment")),
        ("/metadata/name", json!("two")),
        ("/metadata/namespace", json!("krate-org-b")),
    ] {
        let new = with(&old, pointer, value);
        assert!(!update("root", &old, &new, &world).is_allowed(), "{pointer}");
        assert_eq!(codes(&update("eve", &old, &new, &world)).len(), 1, "{pointer}");
    }
}

#[test]
fn p9_what_may_stand_in_either_place_is_the_platforms_where_it_stands_there() {
    let world = world();
    let mut template = document(
        "PolicyTemplate",
        "shared",
        json!({"displayName": "Shared", "targetKinds": ["Issue"], "engine": "krate", "krate": {"effect": "deny"}}),
    );
    assert_eq!(codes(&create("root", &template, &world)), [""; 0], "the organization's own");
    template["metadata"]["namespace"] = json!("krate-system");
    template["spec"].as_object_mut().unwrap().remove("organizationRef");
    assert_eq!(codes(&create("root", &template, &world)), [""; 0], "the platform's, by its administrator");
    assert_eq!(codes(&create("ada", &template, &world)), ["MissingRole"]);
}

fn digest(text: &str) -> Value {
    json!({"digest": krate_model::Digest::of(text.as_bytes()).to_string()})
}

/// Two maintainers of the whole organization, and somebody who may write labels and review none.
fn reviewers() -> Snapshot {
    let writer = item(
        "AgentRoleBinding",
        "cyd-labels",
        json!({
            "organizationRef": "a", "subject": {"kind": "user", "name": "cyd"}, "roleRef": {"kind": "Role", "name": "labels"},
            "scope": {"kind": "organization"},
            "resourceRules": [{"apiGroups": ["krate.a5c.ai"], "resources": ["agentcontextlabels"], "verbs": ["create", "update"]}],
        }),
        json!({"phase": "Synced", "subjectUid": "u-cyd"}),
    );
    world().with(9, [role("ada", "krate-maintainer"), role("bob", "krate-maintainer"), writer])
}

#[test]
fn r62_a_reviewer_is_not_the_last_editor() {
    let world = reviewers();
    let label =
        document("AgentContextLabel", "careful", json!({"promptFragment": "Be careful.", "allowedSources": ["issue"]}));
    let written = |person: &str, old: Option<&Value>, new: &Value| {
        let admission = match old {
            Some(old) => update(person, old, new, &world),
            None => create(person, new, &world),
        };
        assert!(admission.is_allowed(), "{person}: {admission:?}");
        admission.document.unwrap()
    };
    let review = |person: &str, label: &Value, text: &str| {
        let admission = update(person, label, &with(label, "/spec/review", digest(text)), &world);
        (codes(&admission), admission.report.failures.iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    let fine = (vec![], vec![]);
    // Who made it is its editor, whatever the document says (P43).
    let forged = with(&label, "/spec/editor", json!({"kind": "user", "name": "bob", "uid": "u-bob"}));
    let first = written("ada", None, &forged);
    assert_eq!(first["spec"]["editor"], json!({"kind": "user", "name": "ada", "uid": "u-ada"}));
    assert_eq!(review("ada", &first, "Be careful."), (vec!["SelfApproval"], vec![]));
    assert_eq!(review("bob", &first, "Be careful."), fine);
    // Who changes anything else is no editor, and forges none.
    let renamed = with(
        &with(&first, "/spec/displayName", json!("Careful")),
        "/spec/editor",
        json!({"kind": "user", "name": "eve"}),
    );
    let second = written("bob", Some(&first), &renamed);
    assert_eq!(second["spec"]["editor"], first["spec"]["editor"]);
    assert_eq!(review("bob", &second, "Be careful."), fine);
    // Who changes the fragment is.
    let third = written("bob", Some(&second), &with(&second, "/spec/promptFragment", json!("Be bold.")));
    assert_eq!(third["spec"]["editor"]["name"], "bob");
    assert_eq!(review("bob", &third, "Be bold."), (vec!["SelfApproval"], vec![]));
    assert_eq!(review("ada", &third, "Be bold."), fine);
    // Nor does root, who may do everything, review what root wrote.
    let fourth = written("root", Some(&third), &with(&third, "/spec/promptFragment", json!("Be brave.")));
    assert_eq!(review("root", &fourth, "Be brave."), (vec!["SelfApproval"], vec![]));
    // Reviewing is another right than writing.
    assert_eq!(review("cyd", &fourth, "Be brave."), (vec!["MissingRole"], vec![]));
    let (_, failures) = review("ada", &fourth, "Be bold.");
    assert!(
        failures.len() == 1 && failures[0].starts_with("spec.review.digest: ") && failures[0].contains("R62"),
        "{failures:?}"
    );
}

#[test]
fn r62_who_had_the_fragment_written_is_its_editor_and_of_nobody_nobody_is_another_one() {
    let world = reviewers();
    let label = |editor: Value| {
        let spec = json!({"promptFragment": "Be careful.", "allowedSources": ["issue"], "editor": editor});
        document("AgentContextLabel", "careful", spec)
    };
    let review = |person: &str, label: &Value| {
        codes(&update(person, label, &with(label, "/spec/review", digest("Be careful.")), &world))
    };
    let ada = json!({"kind": "user", "name": "ada", "uid": "u-ada"});
    let by_agent = label(json!({"kind": "agent", "name": "repair", "uid": "u-repair", "onBehalfOf": ada}));
    assert_eq!((review("ada", &by_agent), review("bob", &by_agent)), (vec!["SelfApproval"], vec![]));
    // One person under another name, or made anew under the same one, is no second person (P64).
    assert_eq!(review("ada", &label(json!({"kind": "user", "name": "ada-l", "uid": "u-ada"}))), ["SelfApproval"]);
    assert_eq!(review("ada", &label(json!({"kind": "user", "name": "ada", "uid": "u-before"}))), ["SelfApproval"]);
    // Where nobody knows the editor, nobody reviews; the next write makes one known, and that can't be the review.
    let mut unknown = label(json!(null));
    unknown["spec"].as_object_mut().unwrap().remove("editor");
    assert_eq!(
        (review("ada", &unknown), review("bob", &unknown)),
        (vec!["ApproverNotAllowed"], vec!["ApproverNotAllowed"])
    );
    let named = update("ada", &unknown, &with(&unknown, "/spec/displayName", json!("Careful")), &world);
    let named = named.document.unwrap();
    assert_eq!((review("ada", &named), review("bob", &named)), (vec!["SelfApproval"], vec![]));
}

#[test]
fn r62_an_edit_clears_the_review() {
    let world = reviewers();
    let spec = json!({
        "promptFragment": "Be careful.", "allowedSources": ["issue"], "review": digest("Be careful."),
        "editor": {"kind": "user", "name": "ada", "uid": "u-ada"},
    });
    let reviewed = document("AgentContextLabel", "careful", spec);
    let bold = with(&reviewed, "/spec/promptFragment", json!("Be bold."));
    let edited = update("cyd", &reviewed, &bold, &world);
    assert!(edited.is_allowed(), "{edited:?}");
    let stored = edited.document.unwrap();
    assert_eq!((stored["spec"].get("review"), &stored["spec"]["editor"]["name"]), (None, &json!("cyd")));
    // Nobody edits and reviews in one breath.
    let both = update("bob", &reviewed, &with(&bold, "/spec/review", digest("Be bold.")), &world);
    assert!(!both.report.is_valid(), "{both:?}");
    // Anything else leaves it.
    let renamed = update("cyd", &reviewed, &with(&reviewed, "/spec/displayName", json!("Careful")), &world);
    assert_eq!(renamed.document.unwrap()["spec"]["review"], digest("Be careful."));
}

#[test]
fn r37_a_command_that_is_taken_out_is_a_change() {
    let world = reviewers();
    let spec = json!({
        "promptFragment": "Be careful.", "allowedSources": ["issue"], "review": digest("Be careful."),
        "editor": {"kind": "user", "name": "ada", "uid": "u-ada"},
    });
    let reviewed = document("AgentContextLabel", "careful", spec);
    let mut without = reviewed.clone();
    without["spec"].as_object_mut().unwrap().remove("review");
    let viewer = world.with(10, [role("eve", "krate-viewer")]);
    assert_eq!(codes(&update("eve", &reviewed, &reviewed, &viewer)), [""; 0], "who reads may write nothing");
    assert_eq!(codes(&update("eve", &reviewed, &without, &viewer)), ["MissingRole"]);
    assert_eq!(codes(&update("cyd", &reviewed, &without, &viewer)), [""; 0]);
}
