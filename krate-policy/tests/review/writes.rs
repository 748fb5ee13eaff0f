//! What a write comes to: the provider's operation, the verb, the repository, and what is put down of who wrote it.

use krate_model::kinds::sets::Operation;
use krate_model::validate::{Part, View};
use krate_model::{ClosedSet, Kind};
use krate_policy::admission::{Change, Write, admit};
use krate_policy::decision::Outcome;
use krate_policy::request::{Named, Request, Verb};
use krate_policy::snapshot::{Item, Snapshot};
use krate_policy::who::{self, Place};
use serde_json::{Value, json};

use super::world::{NS, item, permission, role, snapshot, user};

/// Root administers the organization; the repository is bound with all interfaces, and its policy denies one operation.
fn denying(operation: &str) -> Snapshot {
    let mut root = user("root").document();
    root["spec"]["admin"] = json!(true);
    let interfaces: Vec<Value> = ["issueTracking", "cicd", "gitForge"]
        .iter()
        .map(|name| json!({"name": name, "mode": "bidirectional"}))
        .collect();
    let binding = json!({
        "organizationRef": "a", "providerRef": "gh", "syncPolicyRef": "careful", "interfaces": interfaces,
        "targetRef": {"kind": "Repository", "name": "krate"}, "externalRef": {"owner": "acme", "repository": "krate"},
    });
    let policy = json!({"organizationRef": "a", "writePolicy": {"deniedOperations": [operation]}});
    snapshot().with(
        8,
        [
            Item::read(Kind::User, &root).unwrap().unwrap(),
            item("ExternalBackendBinding", "gh-krate", binding, json!({})),
            item("ExternalBackendSyncPolicy", "careful", policy, json!({})),
        ],
    )
}

fn by(world: &Snapshot, person: &str) -> Request {
    let place = Place::new("a", "2026-06-01T00:00:00Z".parse().unwrap());
    let mut request = who::request(world, &place, person, &Verb::Update, Kind::Issue);
    request.repository = Some(Named { name: "krate".into(), uid: "u-krate".into(), snapshot_digest: None });
    request
}

fn codes(world: &Snapshot, person: &str, change: Change<'_>, part: Part) -> Vec<&'static str> {
    let admission = admit(&Write { by: &by(world, person), change, part }, &View::partial([]), world);
    admission
        .decision
        .iter()
        .flat_map(krate_policy::decision::Decision::codes)
        .map(krate_policy::reason::Code::as_str)
        .collect()
}

/// The operations whose denial stops the write.
fn operations(change: Change<'_>, part: Part) -> Vec<&'static str> {
    let writes = Operation::ALL.iter().filter(|operation| operation.is_write());
    let stops = |name: &&str| codes(&denying(name), "root", change, part).contains(&"ExplicitDeny");
    writes.map(ClosedSet::as_str).filter(stops).collect()
}

// Callers write the values in place.
#[allow(clippy::needless_pass_by_value)]
fn document(kind: &str, spec: Value) -> Value {
    let mut all = json!({"organizationRef": "a", "repository": "krate"});
    for (field, value) in spec.as_object().unwrap() {
        all[field] = value.clone();
    }
    json!({
        "apiVersion": "krate.a5c.ai/v1alpha1", "kind": kind, "spec": all,
        "metadata": {"name": "one", "namespace": NS, "uid": "u-one"},
    })
}

#[test]
fn p58_each_write_comes_to_the_one_operation_that_the_provider_will_be_asked_for() {
    let open = document("Issue", json!({"title": "One", "state": "open"}));
    let renamed = document("Issue", json!({"title": "Two", "state": "open"}));
    let closed = document("Issue", json!({"title": "One", "state": "closed"}));
    let renamed_closed = document("Issue", json!({"title": "Two", "state": "closed"}));
    let pull = document("PullRequest", json!({"title": "One"}));
    let (renamed_pull, merged) = (
        document("PullRequest", json!({"title": "Two"})),
        document("PullRequest", json!({"title": "One", "merge": {"method": "squash"}})),
    );
    let review = document("Review", json!({"verdict": "approve"}));
    let other_review = document("Review", json!({"verdict": "comment"}));
    let comment = |on: &str, text: &str| {
        document("Comment", json!({"subject": {"kind": on, "name": "x"}, "body": {"markdown": text}}))
    };
    let (on_issue, on_pull) = (comment("Issue", "One"), comment("PullRequest", "One"));
    let (on_issue_two, on_pull_two) = (comment("Issue", "Two"), comment("PullRequest", "Two"));
    let pipeline = document("Pipeline", json!({"ref": "refs/heads/main"}));
    let cancelled = document("Pipeline", json!({"ref": "refs/heads/main", "cancel": {"requestId": "1"}}));
    let rerun = document("Pipeline", json!({"ref": "refs/heads/main", "rerun": {"requestId": "1"}}));
    let team = document("Team", json!({"displayName": "One"}));
    let (create, delete) = (|new| Change::Create { new }, |old| Change::Delete { old });
    let update = |old, new| Change::Update { old, new };
    for (change, expected) in [
        (create(&open), "createIssue"),
        (delete(&open), "closeIssue"),
        (update(&open, &renamed), "updateIssue"),
        (update(&open, &closed), "closeIssue"),
        (update(&closed, &open), "updateIssue"),
        (update(&closed, &renamed_closed), "updateIssue"),
        (create(&pull), "createPullRequest"),
        (update(&pull, &renamed_pull), "updatePullRequest"),
        (delete(&pull), "updatePullRequest"),
        (update(&pull, &merged), "mergePullRequest"),
        (create(&review), "createReview"),
        (update(&review, &other_review), "dismissReview"),
        (delete(&review), "dismissReview"),
        (create(&on_issue), "createComment"),
        (update(&on_issue, &on_issue_two), "updateComment"),
        (delete(&on_issue), "deleteComment"),
        (create(&on_pull), "createPullRequestComment"),
        (update(&on_pull, &on_pull_two), "updatePullRequestComment"),
        (delete(&on_pull), "deletePullRequestComment"),
        (update(&pipeline, &cancelled), "cancelPipeline"),
        (update(&pipeline, &rerun), "rerunPipeline"),
    ] {
        assert_eq!(operations(change, Part::Main), [expected], "{change:?}");
    }
    assert_eq!(operations(create(&team), Part::Main), [""; 0], "no provider is asked");
    assert_eq!(operations(update(&open, &closed), Part::Status), [""; 0], "a status is told, not asked for");
}

/// Whether the person may make the document.
fn may_create(world: &Snapshot, person: &str, new: &Value) -> bool {
    !codes(world, person, Change::Create { new }, Part::Main).contains(&"MissingRole")
}

#[test]
fn r19_records_that_persons_make_are_made_with_the_verb_that_they_stand_for() {
    let steward = role("sam", "krate-memory-steward");
    let world = denying("").with(9, [user("sam"), user("cyd"), permission("cyd", "write"), steward]);
    let made = |kind: &str| document(kind, json!({}));
    // A maintainer dispatches; a contributor doesn't, and a steward of memory neither.
    assert!(may_create(&world, "ada", &made("AgentTriggerEvent")));
    assert!(
        !may_create(&world, "cyd", &made("AgentTriggerEvent"))
            && !may_create(&world, "sam", &made("AgentTriggerEvent"))
    );
    for kind in ["AgentMemoryUpdate", "AgentRunMemoryImport", "AgentMemoryQuery"] {
        assert!(may_create(&world, "sam", &made(kind)), "{kind}");
        assert!(!may_create(&world, "cyd", &made(kind)), "{kind}");
    }
}

#[test]
fn p41_the_repository_of_a_write_is_the_one_that_its_document_names() {
    let other = item(
        "Repository",
        "other",
        json!({"organizationRef": "a", "visibility": "private", "defaultBranch": "main"}),
        json!({"phase": "Ready"}),
    );
    // Ada administers krate, and nothing else.
    let world = snapshot().with(8, [other, permission("ada", "admin")]);
    let may = |old: &Value, new: &Value| {
        let stored = Item::read(old["kind"].as_str().unwrap().parse().unwrap(), old).unwrap().unwrap();
        let world = world.with(9, [stored]);
        let mut request = by(&world, "ada");
        request.repository = None;
        let write = Write { by: &request, change: Change::Update { old, new }, part: Part::Main };
        let decision = admit(&write, &View::partial([]), &world).decision.unwrap();
        let codes: Vec<&str> = decision.codes().map(krate_policy::reason::Code::as_str).collect();
        assert!(codes.is_empty() || codes == ["MissingRole"], "{codes:?}");
        codes.is_empty()
    };
    let binding = |kind: &str, name: &str, phase: &str| {
        let mut binding = document(
            "ExternalBackendBinding",
            json!({
                "targetRef": {"kind": kind, "name": name}, "displayName": phase, "providerRef": "gh",
                "externalRef": {"owner": "acme", "repository": name}, "interfaces": [],
            }),
        );
        binding["spec"].as_object_mut().unwrap().remove("repository");
        binding
    };
    assert!(may(&binding("Repository", "krate", "one"), &binding("Repository", "krate", "two")));
    assert!(!may(&binding("Repository", "other", "one"), &binding("Repository", "other", "two")));
    assert!(!may(&binding("Organization", "krate", "one"), &binding("Organization", "krate", "two")));
}

#[test]
fn p41_a_policy_for_a_repository_is_about_the_repository_itself_too() {
    let policies = [
        item(
            "PolicyTemplate",
            "frozen",
            json!({"organizationRef": "a", "displayName": "Frozen", "targetKinds": ["Repository"], "engine": "krate", "krate": {"effect": "deny"}}),
            json!({"phase": "Ready"}),
        ),
        item(
            "PolicyBinding",
            "frozen",
            json!({"organizationRef": "a", "templateRef": "frozen", "mode": "enforce", "match": {"repositories": ["one"]}}),
            json!({"phase": "Applied"}),
        ),
    ];
    let repository = document("Repository", json!({"visibility": "private", "defaultBranch": "main"}));
    let stored = Item::read(Kind::Repository, &repository).unwrap().unwrap();
    let world = denying("").with(9, policies).with(9, [stored]);
    let mut request = by(&world, "root");
    request.repository = None;
    let mut new = repository.clone();
    new["spec"]["description"] = json!("Two");
    let change = Change::Update { old: &repository, new: &new };
    let decision =
        admit(&Write { by: &request, change, part: Part::Main }, &View::partial([]), &world).decision.unwrap();
    assert!(decision.codes().any(|code| code.as_str() == "ExplicitDeny"), "{:?}", decision.reasons);
}

#[test]
fn a54_r60_who_wrote_is_put_down_and_never_taken_from_the_document() {
    let world = denying("");
    let stored = |change: Change<'_>| {
        let by = by(&world, "root");
        admit(&Write { by: &by, change, part: Part::Main }, &View::partial([]), &world).document.unwrap()
    };
    let forged = json!({"kind": "user", "name": "somebody", "uid": "u-somebody"});
    let approval = document("AgentApproval", json!({"requestedBy": forged}));
    assert_eq!(stored(Change::Create { new: &approval })["spec"]["requestedBy"]["name"], "root");
    // Later, who asked first stays; nobody else is put in their place.
    let asked = json!({"kind": "user", "name": "ada", "uid": "u-ada"});
    let before = document("AgentApproval", json!({"requestedBy": asked}));
    let after = stored(Change::Update { old: &before, new: &before });
    assert_eq!(after["spec"]["requestedBy"]["name"], "ada");
    let rule = |spec: Value| {
        let mut rule = document("AgentTriggerRule", json!({"agentStack": "repair", "owner": asked}));
        for (field, value) in spec.as_object().unwrap() {
            rule["spec"][field] = value.clone();
        }
        rule
    };
    let owner = |old: &Value, new: &Value| {
        stored(Change::Update { old, new })["spec"]["owner"]["name"].as_str().map(str::to_owned)
    };
    let (draft, active) = (rule(json!({"lifecycleState": "draft"})), rule(json!({"lifecycleState": "active"})));
    let paused = rule(json!({"lifecycleState": "paused"}));
    let other = rule(json!({"lifecycleState": "active", "taskKind": "fix"}));
    assert_eq!(owner(&draft, &active).as_deref(), Some("root"), "taking it into force is lending");
    assert_eq!(owner(&active, &paused).as_deref(), Some("ada"), "pausing isn't");
    assert_eq!(owner(&active, &active).as_deref(), Some("ada"));
    assert_eq!(owner(&active, &other).as_deref(), Some("root"), "it says something else");
    assert_eq!(owner(&other, &active).as_deref(), Some("root"), "it says less");
}

#[test]
fn p9_the_platforms_objects_are_its_administrators_own_and_its_controllers_within_their_part() {
    let world = denying("").with_platform_admin("root", "u-root");
    let organization = json!({
        "apiVersion": "krate.a5c.ai/v1alpha1", "kind": "Organization",
        "metadata": {"name": "b", "namespace": "krate-system"},
        "spec": {"displayName": "B", "slug": "b", "namespaceName": "krate-org-b"},
    });
    let outcome = |change: &dyn Fn(&mut Request)| {
        let mut request = by(&world, "root");
        change(&mut request);
        let write = Write { by: &request, change: Change::Create { new: &organization }, part: Part::Main };
        admit(&write, &View::partial([]), &world).decision.unwrap().outcome
    };
    assert_eq!(outcome(&|_| ()), Outcome::Allowed);
    assert_eq!(outcome(&|request| request.subject.uid = "u-other".into()), Outcome::Denied);
    // An agent that acts for the administrator isn't the administrator, whatever it calls itself.
    let longer = outcome(&|request| {
        let link = request.actor_chain[0].clone();
        request.actor_chain.push(link);
    });
    assert_eq!(longer, Outcome::Denied);
    let other_kind = outcome(&|request| request.subject.kind = krate_policy::request::SubjectKind::Controller);
    assert_eq!(other_kind, Outcome::Denied);
}

#[test]
fn p44_an_organization_keeps_an_administrator_who_can_act() {
    let admin = |name: &str, admin: bool, state: &str| {
        let mut person = user(name).document();
        person["spec"]["admin"] = json!(admin);
        person["spec"]["state"] = json!(state);
        person
    };
    let read = |document: &Value| Item::read(Kind::User, document).unwrap().unwrap();
    let changes = |others: &[Value], old: &Value, new: Option<&Value>| {
        let world = denying("").with(9, others.iter().chain([old]).map(read));
        let change = new.map_or(Change::Delete { old }, |new| Change::Update { old, new });
        codes(&world, "root", change, Part::Main).contains(&"ExplicitDeny")
    };
    let root = admin("root", true, "active");
    let (no_admin, suspended) = (admin("root", false, "active"), admin("root", true, "suspended"));
    let second = [admin("eve", true, "active")];
    for left in [Some(&no_admin), Some(&suspended), None] {
        assert!(changes(&[], &root, left) && !changes(&second, &root, left), "{left:?}");
    }
    // Another who is none, or is suspended, doesn't stay in their place.
    for other in [admin("eve", false, "active"), admin("eve", true, "suspended")] {
        assert!(changes(std::slice::from_ref(&other), &root, None), "{other}");
        assert!(!changes(&[], &other, None), "and may go themselves");
    }
    let mut renamed = root.clone();
    renamed["spec"]["displayName"] = json!("R.");
    assert!(!changes(&[], &root, Some(&renamed)));
}

/// Bob may write teams and role bindings of the organization, and maintains krate.
fn lender() -> Snapshot {
    let binds = json!({
        "organizationRef": "a", "subject": {"kind": "user", "name": "bob"}, "roleRef": {"kind": "Role", "name": "teams"}, "scope": {"kind": "organization"},
        "resourceRules": [{"apiGroups": ["krate.a5c.ai"], "resources": ["teams", "agentrolebindings"], "verbs": ["create", "update"]}],
    });
    denying("")
        .with(9, [item("AgentRoleBinding", "bob-teams", binds, json!({"phase": "Synced", "subjectUid": "u-bob"}))])
}

#[test]
fn p44_what_a_team_has_is_lent_to_whoever_joins_and_what_it_is_given_to_all() {
    let world = lender();
    let team = |members: &[&str], grants: Value| {
        let mut team = document("Team", json!({"displayName": "Core", "members": members, "repositoryGrants": grants}));
        team["spec"].as_object_mut().unwrap().remove("repository");
        team
    };
    let grant = |permission: &str| json!([{"repository": "krate", "permission": permission}]);
    let writes = |old: &Value, new: &Value| {
        let world = world.with(10, [Item::read(Kind::Team, old).unwrap().unwrap()]);
        codes(&world, "bob", Change::Update { old, new }, Part::Main)
    };
    let lends = ["EscalationDenied"];
    // Bob maintains, so he lends that, and not the administration.
    assert_eq!(writes(&team(&["ada"], json!([])), &team(&["ada"], grant("maintain"))), [""; 0]);
    assert_eq!(writes(&team(&["ada"], json!([])), &team(&["ada"], grant("admin"))), lends);
    assert_eq!(writes(&team(&["ada"], grant("admin")), &team(&["ada", "cyd"], grant("admin"))), lends, "who joins");
    assert_eq!(writes(&team(&["ada", "cyd"], grant("admin")), &team(&["ada"], grant("admin"))), [""; 0], "who leaves");
    let mut renamed = team(&["ada"], grant("admin"));
    renamed["spec"]["displayName"] = json!("The core");
    assert_eq!(writes(&team(&["ada"], grant("admin")), &renamed), [""; 0], "what was there stays");
    assert_eq!(writes(&team(&["ada"], grant("admin")), &team(&["ada"], grant("maintain"))), [""; 0], "less");
}

#[test]
fn p44_a_role_template_is_given_by_those_who_have_all_of_it_there() {
    let world = lender();
    let role = |name: &str, scope: Value| {
        let mut role = document(
            "AgentRoleBinding",
            json!({"subject": {"kind": "user", "name": "cyd"}, "roleRef": {"kind": "RoleTemplate", "name": name}, "scope": scope}),
        );
        role["spec"].as_object_mut().unwrap().remove("repository");
        role
    };
    let gives = |role: &Value| codes(&world, "bob", Change::Create { new: role }, Part::Main);
    let krate = || json!({"kind": "repository", "name": "krate"});
    assert_eq!(gives(&role("krate-maintainer", krate())), [""; 0], "his own, where he has it");
    let lends = ["EscalationDenied"];
    assert_eq!(gives(&role("krate-maintainer", json!({"kind": "repository", "name": "other"}))), lends);
    assert_eq!(gives(&role("krate-maintainer", json!({"kind": "organization"}))), lends);
    assert_eq!(gives(&role("krate-repository-admin", krate())), lends);
    assert_eq!(gives(&role("krate-agent-readonly", krate())), lends, "no template of persons");
    assert_eq!(gives(&role("krate-nobody", krate())), lends);
}

#[test]
fn p29_p30_an_answer_is_judged_where_one_is_given_and_nowhere_else() {
    let world = denying("");
    let approval = |spec: Value| {
        let mut approval = document(
            "AgentApproval",
            json!({
                "subject": {"kind": "dispatchRun", "name": "run"}, "class": "secret-access", "action": {"summary": "use the key"},
                "requestedBy": {"kind": "user", "name": "root", "uid": "u-root"}, "digest": format!("sha256:{}", "0".repeat(64)),
                "expiresAt": "2026-06-01T12:00:00Z",
            }),
        );
        for (field, value) in spec.as_object().unwrap() {
            approval["spec"][field] = value.clone();
        }
        approval
    };
    let answer = json!({"decide": {"id": "1", "verdict": "approved", "digest": format!("sha256:{}", "0".repeat(64))}});
    let writes = |old: &Value, new: &Value| {
        let world = world.with(10, [Item::read(Kind::AgentApproval, old).unwrap().unwrap()]);
        codes(&world, "root", Change::Update { old, new }, Part::Main)
    };
    let asked = approval(json!({}));
    assert_eq!(writes(&asked, &approval(answer.clone())), ["SelfApproval"]);
    let withdraws = approval(json!({"withdraw": {"id": "2"}}));
    assert_eq!(writes(&asked, &withdraws), [""; 0], "who asked may take it back");
    assert_eq!(writes(&approval(answer.clone()), &approval(answer)), [""; 0], "an answer that stands is no new one");
}

#[test]
fn p9_a_kind_that_stands_in_either_place_is_the_platforms_only_in_its_namespace() {
    let world = denying("").with_platform_admin("pia", "u-pia").with(9, [user("pia")]);
    let template = |namespace: &str| {
        let mut template =
            document("PolicyTemplate", json!({"displayName": "T", "targetKinds": ["Issue"], "engine": "krate"}));
        template["spec"].as_object_mut().unwrap().remove("repository");
        template["metadata"] = json!({"name": "t", "namespace": namespace});
        template
    };
    let may = |person: &str, namespace: &str| {
        codes(&world, person, Change::Create { new: &template(namespace) }, Part::Main).is_empty()
    };
    assert!(may("pia", "krate-system") && !may("root", "krate-system"));
    assert!(may("root", NS) && !may("pia", NS));
    // The user of a controller's name and uid isn't the controller.
    let controlled = world.with_controller("pia-operator", "u-operator", krate_policy::roles::Controller::Operator);
    let mut request = by(&controlled, "root");
    request.subject.name = "pia-operator".into();
    request.subject.uid = "u-operator".into();
    let mut status = template("krate-system");
    status["status"] = json!({"phase": "Ready"});
    let write = Write {
        by: &request,
        change: Change::Update { old: &template("krate-system"), new: &status },
        part: Part::Status,
    };
    assert_eq!(admit(&write, &View::partial([]), &controlled).decision.unwrap().outcome, Outcome::Denied);
}

#[test]
fn p66_a_write_falls_under_a_policy_by_the_labels_before_it_and_after_it() {
    let policies = [
        item(
            "PolicyTemplate",
            "frozen",
            json!({"organizationRef": "a", "displayName": "Frozen", "targetKinds": ["Issue"], "engine": "krate", "krate": {"effect": "deny"}}),
            json!({"phase": "Ready"}),
        ),
        item(
            "PolicyBinding",
            "frozen",
            json!({"organizationRef": "a", "templateRef": "frozen", "mode": "enforce", "match": {"labels": {"matchLabels": {"tier": "one"}}}}),
            json!({"phase": "Applied"}),
        ),
    ];
    let world = denying("").with(9, policies);
    let issue = |title: &str, labels: Value| {
        let mut issue = document("Issue", json!({"title": title}));
        issue["metadata"]["labels"] = labels;
        issue
    };
    let stops = |change: Change<'_>| codes(&world, "root", change, Part::Main).contains(&"ExplicitDeny");
    let (one, two, none) = (json!({"tier": "one"}), json!({"tier": "two"}), Value::Null);
    assert!(stops(Change::Create { new: &issue("a", one.clone()) }));
    assert!(
        !stops(Change::Create { new: &issue("a", two.clone()) })
            && !stops(Change::Create { new: &issue("a", none.clone()) })
    );
    let update = |before: &Value, after: &Value| {
        stops(Change::Update { old: &issue("a", before.clone()), new: &issue("b", after.clone()) })
    };
    assert!(update(&one, &one) && update(&one, &two) && update(&one, &none) && update(&two, &one));
    assert!(!update(&two, &two) && !update(&two, &none) && !update(&none, &none));
    assert!(stops(Change::Delete { old: &issue("a", one) }) && !stops(Change::Delete { old: &issue("a", two) }));
}
