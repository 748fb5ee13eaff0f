//! Step 4: explicit denials, their exceptions, and what a binding lets be written.

use krate_policy::decision::{Decision, Outcome};
use krate_policy::snapshot::{Item, Snapshot};
use serde_json::{Value, json};

use super::world::{asked, codes, item, permission, snapshot, stack, user};

const UNTIL: &str = "2026-06-01T01:00:00Z";

fn template(rule: &Value) -> Item {
    let spec = json!({
        "organizationRef": "a", "displayName": "No dispatch", "targetKinds": ["AgentStack"], "engine": "krate", "krate": rule,
    });
    item("PolicyTemplate", "no-dispatch", spec, json!({"phase": "Ready"}))
}

fn binding(change: impl FnOnce(&mut Value)) -> Item {
    let mut spec =
        json!({"organizationRef": "a", "templateRef": "no-dispatch", "mode": "enforce", "profileRef": "strict"});
    change(&mut spec);
    item("PolicyBinding", "no-dispatch", spec, json!({"phase": "Applied"}))
}

fn profile(failure: &str) -> Item {
    let spec = json!({
        "organizationRef": "a", "displayName": "Strict", "mode": "enforce", "failurePolicy": failure,
        "exceptionPolicy": {"approvers": {"roles": [], "teams": ["security"]}},
    });
    item("PolicyProfile", "strict", spec, json!({"phase": "Synced"}))
}

fn team(members: &[&str]) -> Item {
    item(
        "Team",
        "security",
        json!({"organizationRef": "a", "displayName": "Security", "members": members}),
        json!({"phase": "Ready"}),
    )
}

fn exception(change: impl FnOnce(&mut Value, &mut Value)) -> Item {
    let mut spec = json!({
        "organizationRef": "a", "policyRef": "no-dispatch", "resourceRef": {"kind": "Repository", "name": "krate"},
        "subject": {"kind": "User", "name": "ada"}, "requestedBy": {"kind": "user", "name": "ada", "uid": "u-ada"},
        "justification": "The signing service is down today", "expiresAt": UNTIL,
    });
    let mut status = json!({"phase": "Applied", "approvers": [{"kind": "user", "name": "bob", "uid": "u-bob"}]});
    change(&mut spec, &mut status);
    item("PolicyExceptionRequest", "today", spec, status)
}

fn denying() -> Snapshot {
    let rule = json!({"effect": "deny", "verbs": ["dispatch"]});
    snapshot().with(8, [template(&rule), binding(|_| ()), profile("failClosed"), team(&["bob"])])
}

fn plain(snapshot: &Snapshot) -> Decision {
    asked(snapshot, |_| ())
}

#[test]
fn p10_case_48_a_deny_overrides_every_allow_and_is_named() {
    let decision = plain(&denying());
    assert_eq!((decision.outcome, codes(&decision)), (Outcome::Denied, vec!["ExplicitDeny"]));
    assert_eq!(&*decision.reasons[0].name, "PolicyBinding/no-dispatch");
    // P52: after a hard block of this step the others still tell.
    let two = asked(&denying().with(9, [permission("ada", "write")]), |_| ());
    assert_eq!(codes(&two), ["ExplicitDeny", "MissingRole"]);
}

#[test]
fn p45_case_49_a_deny_in_audit_mode_warns_and_allows() {
    let decision = plain(&denying().with(9, [binding(|spec| spec["mode"] = json!("audit"))]));
    assert_eq!((decision.outcome, codes(&decision)), (Outcome::Allowed, vec!["WouldDeny"]));
    let off = plain(&denying().with(9, [binding(|spec| spec["suspend"] = json!(true))]));
    assert_eq!(codes(&off), [""; 0]);
}

#[test]
fn p68_case_71_an_approved_running_exception_lifts_it_and_is_named() {
    let lifted = plain(&denying().with(9, [exception(|_, _| ())]));
    assert_eq!((lifted.outcome, codes(&lifted)), (Outcome::Allowed, vec!["ExceptionApplied"]));
    assert_eq!(&*lifted.reasons[0].name, "PolicyExceptionRequest/today");
    assert!(lifted.versions.iter().any(|version| &*version.name == "PolicyExceptionRequest/today"));
    for (what, made) in [
        ("ended", exception(|spec, _| spec["expiresAt"] = json!("2026-06-01T00:00:00Z"))),
        ("not approved", exception(|_, status| status["phase"] = json!("Requested"))),
        ("approved by nobody", exception(|_, status| status["approvers"] = json!([]))),
        (
            "approved by no approver",
            exception(|_, status| status["approvers"] = json!([{"kind": "user", "name": "eve"}])),
        ),
        (
            "approved by a token of bob",
            exception(|_, status| {
                status["approvers"] =
                    json!([{"kind": "user", "name": "bob", "onBehalfOf": {"kind": "user", "name": "bob2"}}]);
            }),
        ),
        ("for another object", exception(|spec, _| spec["resourceRef"]["name"] = json!("other"))),
        ("for another subject", exception(|spec, _| spec["subject"]["name"] = json!("bob"))),
        ("of another policy", exception(|spec, _| spec["policyRef"] = json!("another"))),
        ("of another repository by uid", exception(|spec, _| spec["resourceRef"]["uid"] = json!("u-before"))),
    ] {
        let decision = plain(&denying().with(9, [made, user("eve"), permission("eve", "maintain")]));
        assert_eq!(codes(&decision), ["ExplicitDeny"], "{what}");
    }
    // Who approved their own is told that it was that.
    let own = exception(|_, status| status["approvers"] = json!([{"kind": "user", "name": "ada"}]));
    let decision = plain(&denying().with(9, [own]));
    assert_eq!(codes(&decision), ["ExplicitDeny", "SelfApproval"]);
    let both = json!([{"kind": "user", "name": "ada"}, {"kind": "user", "name": "bob"}]);
    let decision = plain(&denying().with(9, [exception(|_, status| status["approvers"] = both)]));
    assert_eq!(codes(&decision), ["ExceptionApplied"], "bob is one of those who may");
}

#[test]
fn p68_an_exception_is_for_one_subject_and_without_one_for_who_asked() {
    let open = || {
        exception(|spec, _| {
            spec.as_object_mut().expect("a spec").remove("subject");
        })
    };
    let world = denying().with(9, [open()]);
    assert_eq!(codes(&plain(&world)), ["ExceptionApplied"], "ada asked for it");
    let by_bob = asked(&world, |document| {
        document["needs"] = json!([]);
        document["subject"] = json!({"kind": "user", "name": "bob", "uid": "u-bob"});
        document["actorChain"] = json!([document["subject"]]);
    });
    assert_eq!(codes(&by_bob), ["ExplicitDeny"], "it isn't everybody's");
    let of_stack = |kind: &str| {
        let spec = json!({"kind": kind, "name": "repair"});
        let world = denying().with(9, [exception(|it, _| it["subject"] = spec)]);
        let decision = asked(&world, |document| {
            document["needs"] = json!([]);
            document["subject"] = json!({"kind": "agent-stack", "name": "repair", "uid": "u-repair"});
            document["actorChain"] = json!([
                {"kind": "agent-stack", "name": "repair", "uid": "u-repair", "by": "token"},
                {"kind": "user", "name": "ada", "uid": "u-ada"},
            ]);
        });
        codes(&decision)
    };
    assert_eq!((of_stack("AgentStack"), of_stack("Subagent")), (vec!["ExceptionApplied"], vec!["ExplicitDeny"]));
}

#[test]
fn p50_case_71_breaking_glass_is_for_the_person_who_may_and_acts() {
    let glass = || {
        exception(|spec, status| {
            spec["breakGlass"] = json!(true);
            spec["actionClass"] = json!("run-start");
            status["approvers"] = json!([]);
        })
    };
    assert_eq!(codes(&plain(&denying().with(9, [glass()]))), ["ExplicitDeny"], "no role gives the right");
    let admin = item(
        "User",
        "ada",
        json!({"organizationRef": "a", "displayName": "Ada", "email": "ada@example.com", "admin": true}),
        json!({"phase": "Active"}),
    );
    let broken = plain(&denying().with(9, [glass(), admin.clone()]));
    assert_eq!((broken.outcome, codes(&broken)), (Outcome::Allowed, vec!["BreakGlassUsed"]));
    let of_bob = exception(|spec, _| {
        spec["breakGlass"] = json!(true);
        spec["requestedBy"] = json!({"kind": "user", "name": "bob"});
    });
    assert_eq!(codes(&plain(&denying().with(9, [of_bob, admin]))), ["ExplicitDeny"], "another's glass");
}

#[test]
fn p66_a_denied_name_is_found_in_any_case_and_a_ref_too() {
    let on_release = |include: &str| {
        denying().with(
            9,
            [binding(|spec| spec["match"] = json!({"refs": {"include": [include], "exclude": ["refs/heads/tmp/**"]}}))],
        )
    };
    let at = |snapshot: &Snapshot, git_ref: &str| {
        asked(snapshot, |document| {
            document["ref"] = json!(git_ref);
            document["needs"] = json!([]);
        })
    };
    assert_eq!(codes(&at(&on_release("refs/heads/release/**"), "refs/heads/Release/1")), ["ExplicitDeny"]);
    assert_eq!(codes(&at(&on_release("refs/heads/release/**"), "refs/heads/main")), [""; 0]);
    assert_eq!(codes(&at(&on_release("refs/heads/**"), "refs/heads/tmp/x")), [""; 0]);
    assert_eq!(
        codes(&at(&on_release("refs/heads/**"), "refs/heads/TMP/x")),
        ["ExplicitDeny"],
        "what is let off is meant exactly"
    );
    let production = denying().with(9, [binding(|spec| spec["match"] = json!({"environments": ["production"]}))]);
    let staged = |name: &str| {
        asked(&production, |document| {
            document["environment"] = json!(name);
            document["needs"] = json!([]);
        })
    };
    assert_eq!(codes(&staged("Production")), ["ExplicitDeny"]);
    assert_eq!(codes(&staged("staging")), [""; 0]);
}

#[test]
fn p11_p45_a_policy_that_cannot_be_judged_denies_unless_its_profile_says_otherwise() {
    for broken in [
        binding(|spec| spec["templateRef"] = json!("gone")),
        binding(|spec| spec["match"] = json!({"labels": {"matchExpressions": [{"key": "tier", "operator": "Like"}]}})),
    ] {
        let closed = plain(&denying().with(9, [broken.clone()]));
        assert_eq!(codes(&closed), ["ExplicitDeny"]);
        let open = plain(&denying().with(9, [broken, profile("failOpen")]));
        assert_eq!((open.outcome, codes(&open)), (Outcome::Allowed, vec!["WouldDeny"]));
    }
}

#[test]
fn p66_a_policy_about_labels_holds_by_those_that_an_object_has_had_or_would_get() {
    let by = |kind: &str| {
        let template = item(
            "PolicyTemplate",
            "no-dispatch",
            json!({"organizationRef": "a", "displayName": "No runs", "engine": "krate", "targetKinds": [kind], "krate": {"effect": "deny"}}),
            json!({"phase": "Ready"}),
        );
        let guarded = binding(|spec| spec["match"] = json!({"labels": {"matchLabels": {"tier": "one"}}}));
        denying().with(9, [template, guarded])
    };
    // A stack that is set to work, and a repository: their labels are the snapshot's to tell.
    let labelled = |tier: &str| {
        let mut document = stack(|_, _| ()).document();
        document["metadata"]["labels"] = json!({"tier": tier});
        Item::read(krate_model::Kind::AgentStack, &document).unwrap().unwrap()
    };
    let stacks = by("AgentStack");
    assert_eq!(codes(&plain(&stacks)), [""; 0], "it has none");
    assert_eq!(codes(&plain(&stacks.with(9, [labelled("two")]))), [""; 0]);
    assert_eq!(codes(&plain(&stacks.with(9, [labelled("one")]))), ["ExplicitDeny"]);
    // An issue is in no snapshot: who asks tells its labels, or it isn't known and denied.
    let issues = by("Issue");
    let edit = |labels: Value, after: Value| {
        let decision = asked(&issues, |document| {
            document["action"] = json!({"verb": "update", "kind": "Issue"});
            document["object"] = json!({"kind": "Issue", "name": "krate-1"});
            for (field, value) in [("labels", labels), ("labelsAfter", after)] {
                if !value.is_null() {
                    document["object"][field] = value;
                }
            }
            document["needs"] = json!([]);
        });
        codes(&decision).contains(&"ExplicitDeny")
    };
    let (one, two) = (json!({"tier": "one"}), json!({"tier": "two"}));
    assert!(edit(Value::Null, Value::Null));
    assert!(edit(one.clone(), Value::Null) && edit(one.clone(), two.clone()) && edit(two.clone(), one));
    assert!(!edit(two.clone(), Value::Null) && !edit(two.clone(), two) && !edit(json!({}), Value::Null));
}

#[test]
fn p34_a_policy_for_little_trust_holds_for_the_lowest_who_steers() {
    let rule = json!({"effect": "deny", "minTrust": "member"});
    let snapshot = denying().with(9, [template(&rule)]);
    assert_eq!(codes(&plain(&snapshot)), [""; 0], "a maintainer's own act");
    let steered = asked(&snapshot, |document| {
        document["needs"] = json!([]);
        document["causeChain"][0]["event"] = json!("label");
        document["causeChain"][0]["steering"] =
            json!([{"role": "author", "account": {"provider": "gh", "id": "99"}, "association": "NONE"}]);
    });
    assert_eq!(codes(&steered), ["ExplicitDeny"]);
}

#[test]
fn p54_a_policy_that_wants_a_person_is_answered_by_an_approval_of_its_class() {
    let rule = json!({"effect": "require-approval", "approvalClass": "run-start"});
    let decision = plain(&denying().with(9, [template(&rule)]));
    assert_eq!((decision.outcome, codes(&decision)), (Outcome::RequiresApproval, vec!["ApprovalRequired"]));
    assert_eq!((&*decision.required_approvals[0].class, decision.required_approvals[0].quorum), ("run-start", 1));
    let profiled = item(
        "Organization",
        "a",
        json!({"displayName": "A", "slug": "a", "namespaceName": "krate-org-a", "policyProfileRef": "strict"}),
        json!({"phase": "Ready"}),
    );
    let strict = item(
        "PolicyProfile",
        "strict",
        json!({
            "organizationRef": "a", "displayName": "Strict", "mode": "enforce",
            "approvals": [{"class": "run-start", "approvers": {"roles": [], "teams": ["security"]}, "quorum": 2}],
        }),
        json!({"phase": "Synced"}),
    );
    let asking = denying().with(9, [template(&rule), profiled, strict]);
    let wanted = plain(&asking).required_approvals[0].clone();
    assert_eq!((wanted.quorum, wanted.approvers), (2, vec!["security".into()]));
    let approval = |by: &[&str], class: &str| {
        let answers: Vec<Value> = by
            .iter()
            .map(|name| json!({"by": {"kind": "user", "name": name, "uid": format!("u-{name}")}, "at": "2026-06-01T00:00:00Z", "verdict": "approved"}))
            .collect();
        let digest = plain(&asking).approval_digest(&super::world::request(|_| ())).expect("it has one");
        let spec = json!({
            "organizationRef": "a", "subject": {"kind": "dispatchRun", "name": "run"}, "class": class, "action": {"summary": "run it"},
            "requestedBy": {"kind": "user", "name": "ada", "uid": "u-ada"}, "digest": digest, "expiresAt": "2026-06-02T00:00:00Z",
        });
        item("AgentApproval", "yes", spec, json!({"phase": "Approved", "decisions": answers}))
    };
    let with = |approval: Item| {
        let people = ["bob", "cyd"].map(|name| permission(name, "maintain"));
        let all =
            asking.with(10, people.into_iter().chain([user("cyd"), user("dan"), team(&["bob", "cyd"]), approval]));
        asked(&all, |document| document["approvals"] = json!(["yes"]))
    };
    assert_eq!(codes(&with(approval(&["bob", "cyd"], "run-start"))), [""; 0]);
    assert!(with(approval(&["bob", "cyd"], "run-start")).is_allowed());
    assert_eq!(codes(&with(approval(&["bob"], "run-start"))), ["ApprovalRequired", "QuorumNotMet"]);
    assert_eq!(
        codes(&with(approval(&["bob", "cyd"], "merge"))),
        ["ApprovalStale", "ApprovalRequired"],
        "of another class"
    );
    assert!(!with(approval(&["bob", "dan"], "run-start")).is_allowed(), "dan is in no team that the profile names");
}

fn bound(change: impl FnOnce(&mut Value, &mut Value)) -> Snapshot {
    let mut binding = json!({
        "organizationRef": "a", "providerRef": "gh", "syncPolicyRef": "careful", "targetRef": {"kind": "Repository", "name": "krate"},
        "externalRef": {"owner": "acme", "repository": "krate"}, "interfaces": [{"name": "issueTracking", "mode": "bidirectional"}],
    });
    let mut policy = json!({"organizationRef": "a", "writePolicy": {}});
    change(&mut binding, &mut policy);
    let provider = item(
        "ExternalBackendProvider",
        "gh",
        json!({"organizationRef": "a", "providerType": "github", "displayName": "GitHub", "authRef": {"mode": "github-app", "secretRef": {"name": "gh"}}, "capabilities": {"issueTracking": true}}),
        json!({"phase": "Ready", "installations": [{"id": "1", "account": "acme", "permissions": {"issues": "read"}}]}),
    );
    let items = [
        item("ExternalBackendBinding", "gh-krate", binding, json!({})),
        item("ExternalBackendSyncPolicy", "careful", policy, json!({})),
        provider,
    ];
    snapshot().with(8, items)
}

fn writing(snapshot: &Snapshot) -> Decision {
    asked(snapshot, |document| {
        document["action"] = json!({"verb": "update", "kind": "Issue", "operation": "updateIssue"});
        document["needs"] = json!([]);
        document.as_object_mut().unwrap().remove("agentStack");
    })
}

#[test]
fn s2_p58_a_field_may_have_a_mode_of_its_own() {
    let by_field = |mode: &str| {
        let fields = json!([{"path": "spec.title", "mode": mode}]);
        let kinds = json!([{"kind": "Issue", "mode": "read-only", "fields": fields}]);
        bound(|binding, _| binding["interfaces"][0]["kinds"] = kinds)
    };
    let writes = |snapshot: &Snapshot, fields: &[&str]| {
        let decision = asked(snapshot, |document| {
            document["action"] =
                json!({"verb": "update", "kind": "Issue", "operation": "updateIssue", "fields": fields});
            document["needs"] = json!([]);
            document.as_object_mut().unwrap().remove("agentStack");
        });
        decision.reasons.iter().map(|it| format!("{:?} {}", it.code, it.text)).collect::<Vec<_>>()
    };
    assert_eq!(writes(&by_field("bidirectional"), &["spec.title"]), [""; 0]);
    let no = |what: &str| format!("ModeForbidsWrite the mode read-only lets nobody write {what} there");
    assert_eq!(writes(&by_field("bidirectional"), &["spec.title", "spec.labels"]), [no("spec.labels")]);
    assert_eq!(writes(&by_field("bidirectional"), &[]), [no("anything")], "which fields isn't told");
    assert_eq!(writes(&by_field("read-only"), &["spec.title"]), [no("spec.title")]);
    let asks = writes(&by_field("reviewed-write"), &["spec.title"]);
    assert!(asks.len() == 1 && asks[0].starts_with("ApprovalRequired"), "{asks:?}");
}

#[test]
fn p58_case_61_a_write_needs_a_mode_that_writes_and_a_policy_that_lets_it() {
    assert_eq!(codes(&writing(&bound(|_, _| ()))), [""; 0]);
    for (mode, expected) in [
        ("read-only", vec!["ModeForbidsWrite"]),
        ("write-nothing", vec!["ModeForbidsWrite"]),
        ("external-owned", vec!["ApprovalRequired"]),
        ("reviewed-write", vec!["ApprovalRequired"]),
        ("write-through", vec![]),
    ] {
        let decision = writing(&bound(|binding, _| binding["interfaces"][0]["mode"] = json!(mode)));
        assert_eq!(codes(&decision), expected, "{mode}");
    }
    let by_kind =
        bound(|binding, _| binding["interfaces"][0]["kinds"] = json!([{"kind": "Issue", "mode": "read-only"}]));
    assert_eq!(codes(&writing(&by_kind)), ["ModeForbidsWrite"]);
    let off = bound(|binding, _| binding["interfaces"][0]["enabled"] = json!(false));
    assert_eq!(codes(&writing(&off)), ["ModeForbidsWrite"]);
    assert_eq!(codes(&writing(&snapshot())), ["ModeForbidsWrite"], "bound to nothing");
    let denied = bound(|_, policy| policy["writePolicy"]["deniedOperations"] = json!(["updateIssue"]));
    assert_eq!(codes(&writing(&denied)), ["ExplicitDeny"]);
    let others = bound(|_, policy| policy["writePolicy"]["allowedOperations"] = json!(["createComment"]));
    assert_eq!(codes(&writing(&others)), ["ExplicitDeny"]);
    let missing = bound(|binding, _| binding["syncPolicyRef"] = json!("gone"));
    assert_eq!(codes(&writing(&missing)), ["ModeForbidsWrite"]);
}

#[test]
fn p58_who_does_not_say_which_operation_it_comes_to_is_held_to_all_of_them() {
    let write = |snapshot: &Snapshot, by: Value, action: Value| {
        asked(snapshot, |document| {
            document["action"] = action;
            document["needs"] = json!([]);
            document["subject"] = json!({"kind": by[0]["kind"], "name": by[0]["name"], "uid": by[0]["uid"]});
            document["actorChain"] = by;
        })
    };
    let ada = || json!([{"kind": "user", "name": "ada", "uid": "u-ada"}]);
    let update = || json!({"verb": "update", "kind": "Issue"});
    let with = |change: fn(&mut Value, &mut Value)| codes(&write(&bound(change), ada(), update()));
    assert_eq!(with(|_, _| ()), [""; 0]);
    assert_eq!(with(|binding, _| binding["interfaces"][0]["mode"] = json!("read-only")), ["ModeForbidsWrite"]);
    assert_eq!(with(|binding, _| binding["interfaces"][0]["mode"] = json!("reviewed-write")), ["ApprovalRequired"]);
    for denied in ["updateIssue", "closeIssue"] {
        let world = bound(|_, policy| policy["writePolicy"]["deniedOperations"] = json!([denied]));
        assert_eq!(codes(&write(&world, ada(), update())), ["ExplicitDeny"], "{denied}");
    }
    assert_eq!(codes(&write(&snapshot(), ada(), update())), [""; 0], "nothing binds it: krate's own");
    // An agent's write wants a person, whether it says what it comes to or not, and wherever the issue is kept.
    let agent = || {
        json!([
            {"kind": "agent-stack", "name": "repair", "uid": "u-repair", "by": "token"},
            {"kind": "user", "name": "ada", "uid": "u-ada"},
        ])
    };
    let by_agent = |world: &Snapshot| codes(&write(world, agent(), update()));
    assert_eq!(by_agent(&bound(|_, _| ())), ["ApprovalRequired"]);
    assert_eq!(by_agent(&snapshot()), ["ApprovalRequired"], "nothing binds it, so that no policy trusts the agent");
    let trusted = |operations: Value| {
        bound(|_, policy| {
            policy["writePolicy"]["trustedAgents"] = json!([{"agent": "repair", "operations": operations}]);
        })
    };
    assert_eq!(by_agent(&trusted(json!(["updateIssue"]))), ["ApprovalRequired"], "it may come to closing it");
    assert_eq!(by_agent(&trusted(json!(["updateIssue", "closeIssue"]))), [""; 0]);
    let reads = json!({"verb": "get", "kind": "Issue"});
    assert_eq!(codes(&write(&bound(|_, _| ()), agent(), reads)), [""; 0]);
}

#[test]
fn p58_p61_an_operation_is_a_right_of_its_own() {
    let with = |permitted: &str, action: Value| {
        let world = bound(|_, _| ()).with(9, [permission("ada", permitted)]);
        let decision = asked(&world, |document| {
            document["action"] = action;
            document["needs"] = json!([]);
            document.as_object_mut().unwrap().remove("agentStack");
        });
        codes(&decision)
    };
    let as_a_read = |operation: &str| json!({"verb": "get", "kind": "Issue", "operation": operation});
    assert_eq!(with("read", as_a_read("getIssue")), [""; 0]);
    assert_eq!(with("read", as_a_read("updateIssue")), ["MissingRole"], "a read that comes to a write is none");
    assert_eq!(with("write", as_a_read("updateIssue")), [""; 0]);
    let merge = |verb: &str| json!({"verb": verb, "kind": "PullRequest", "operation": "createIssue"});
    assert_eq!(with("triage", merge("get")), ["MissingRole"]);
    let sync = json!({"verb": "update", "kind": "Issue", "operation": "syncLabels"});
    assert_eq!(with("write", sync), [""; 0]);
}

#[test]
fn p50_broken_glass_counts_as_the_approval_of_its_class_and_for_no_fork_and_no_agent() {
    let rule = json!({"effect": "require-approval", "approvalClass": "run-start", "verbs": ["dispatch"]});
    let admin = item(
        "User",
        "ada",
        json!({"organizationRef": "a", "displayName": "Ada", "email": "ada@example.com", "admin": true}),
        json!({"phase": "Active"}),
    );
    let world = |change: fn(&mut Value)| {
        let glass = exception(|spec, status| {
            spec["breakGlass"] = json!(true);
            spec["actionClass"] = json!("run-start");
            // Of another policy: it is the class that it counts for.
            spec["policyRef"] = json!("another");
            status["approvers"] = json!([]);
            change(spec);
        });
        denying().with(9, [template(&rule), admin.clone(), glass])
    };
    let broken = plain(&world(|_| ()));
    assert_eq!((broken.outcome, codes(&broken)), (Outcome::Allowed, vec!["BreakGlassUsed"]));
    assert_eq!(&*broken.reasons[0].name, "PolicyExceptionRequest/today");
    let asks = ["ApprovalRequired"];
    assert_eq!(codes(&plain(&world(|spec| spec["actionClass"] = json!("merge")))), asks);
    assert_eq!(codes(&plain(&world(|spec| spec["expiresAt"] = json!("2026-06-01T01:00:01Z")))), asks, "over an hour");
    assert_eq!(codes(&plain(&world(|spec| spec["requestedBy"]["name"] = json!("bob")))), asks);
    assert_eq!(codes(&plain(&world(|spec| spec["resourceRef"]["name"] = json!("other")))), asks);
    let right = world(|_| ()).with(10, [user("ada")]);
    assert_eq!(codes(&plain(&right)), asks, "without the right to break it");
    let fork = asked(&world(|_| ()), |document| {
        document["needs"] = json!([]);
        document["causeChain"][0]["head"] = json!({"repositoryId": "9", "sha": "abc"});
        document["causeChain"][0]["base"] = json!({"repositoryId": "1"});
    });
    assert_eq!(codes(&fork), asks);
    let agent = asked(&world(|_| ()), |document| {
        document["needs"] = json!([]);
        document["subject"] = json!({"kind": "agent-stack", "name": "repair", "uid": "u-repair"});
        document["actorChain"] = json!([
            {"kind": "agent-stack", "name": "repair", "uid": "u-repair", "by": "token"}, {"kind": "user", "name": "ada", "uid": "u-ada"},
        ]);
    });
    assert_eq!(codes(&agent), asks);
    // What the agent is given for it is asked for all the same.
    let secret = super::world::grant(|spec, _| spec["requiredApproval"] = json!("always"));
    assert_eq!(codes(&plain(&world(|_| ()).with(10, [secret]))), ["BreakGlassUsed", "ApprovalRequired"]);
}

#[test]
fn p40_case_62_what_the_provider_would_refuse_is_said_beforehand() {
    let manifest = |scope: &str| {
        item(
            "ExternalProviderCapabilityManifest",
            "github",
            json!({
                "organizationRef": "a", "providerType": "github", "source": "custom", "adapterRef": "x", "displayName": "GitHub", "schemaVersion": "1", "hosting": ["saas"],
                "authModes": [], "api": {"rest": true, "graphql": false, "webhook": true}, "identity": {"nativeIdFields": ["id"], "versionFields": []},
                "versionGranularity": "1s", "bodyFormat": "markdown", "externalRefKeys": [], "rateLimitModel": {"kind": "requests", "per": "installation"},
                "webhookSignature": [], "interfaces": [{"name": "issueTracking", "supported": true, "objects": ["Issue"], "operations": [{
                    "operation": "updateIssue", "write": true, "permissions": [], "authModes": [], "nativeScopes": [scope], "idempotency": "native",
                    "restCost": 1, "pointCost": 1, "confirmedBy": [], "responseConfirms": true, "conditional": false, "paging": "none", "pagingStable": false,
                }], "webhooks": []}],
            }),
            json!({}),
        )
    };
    assert_eq!(codes(&writing(&bound(|_, _| ()).with(9, [manifest("issues:write")]))), ["ProviderPermissionMissing"]);
    assert_eq!(codes(&writing(&bound(|_, _| ()).with(9, [manifest("issues:read")]))), [""; 0]);
}

#[test]
fn p11_a_policy_holds_by_its_engine_and_with_the_parameters_that_it_needs() {
    let with = |engine: &str, parameter: Option<Value>, values: Value| {
        let mut template = template(&json!({"effect": "require-approval", "approvalClass": "run-start"})).document();
        template["spec"]["engine"] = json!(engine);
        if let Some(parameter) = parameter {
            template["spec"]["parameters"] = json!([parameter]);
        }
        let template = Item::read(krate_model::Kind::PolicyTemplate, &template).unwrap().unwrap();
        codes(&plain(&denying().with(9, [template, binding(|spec| spec["parameters"] = values)])))
    };
    let (asks, denies) = (["ApprovalRequired"], ["ExplicitDeny"]);
    assert_eq!(with("krate", None, json!({})), asks);
    let needed = json!({"name": "limit", "type": "string", "required": true});
    assert_eq!(with("krate", Some(needed.clone()), json!({})), denies, "it can't be judged");
    assert_eq!(with("krate", Some(needed.clone()), json!({"limit": "1"})), asks);
    assert_eq!(with("krate", Some(needed), json!({"other": "1"})), denies);
    let default = json!({"name": "limit", "type": "string", "required": true, "default": "1"});
    assert_eq!(with("krate", Some(default), json!({})), asks);
    let optional = json!({"name": "limit", "type": "string", "required": false});
    assert_eq!(with("krate", Some(optional), json!({})), asks);
    // Others judge these, where they are installed; what nobody judges is a no.
    assert_eq!((with("cel", None, json!({})), with("kyverno", None, json!({}))), (vec![], vec![]));
    assert_eq!(with("rego", None, json!({})), denies);
}

#[test]
fn p68_an_exception_is_for_its_object_and_subject_by_uid_where_it_says_one() {
    let lifts = |object: Value, change: fn(&mut Value, &mut Value)| {
        let decision = asked(&denying().with(9, [exception(change)]), |document| {
            if !object.is_null() {
                document["object"] = object;
            }
        });
        !codes(&decision).contains(&"ExplicitDeny")
    };
    let stack = |spec: &mut Value, _: &mut Value| spec["resourceRef"] = json!({"kind": "AgentStack", "name": "repair"});
    let named = json!({"kind": "AgentStack", "name": "repair", "uid": "u-repair"});
    assert!(lifts(named.clone(), stack));
    assert!(!lifts(Value::Null, stack), "the request is about no such object");
    let mut own = named.clone();
    own["organization"] = json!("a");
    assert!(lifts(own, stack), "its own organization, by name");
    let mut other_kind = named.clone();
    other_kind["kind"] = json!("AgentTriggerRule");
    other_kind.as_object_mut().unwrap().remove("uid");
    assert!(!lifts(other_kind, stack));
    let plain = Value::Null;
    assert!(lifts(plain.clone(), |spec, _| spec["subject"]["uid"] = json!("u-ada")));
    assert!(!lifts(plain.clone(), |spec, _| spec["subject"]["uid"] = json!("u-before")));
    assert!(!lifts(plain.clone(), |spec, _| spec["subject"]["kind"] = json!("Team")));
    // Who asked doesn't give it, by whatever they are called now; and who has only their old name isn't them.
    let given = |approver: Value| {
        let made = exception(|_, status| status["approvers"] = json!([approver]));
        let world = denying().with(9, [made, team(&["ada", "ada-2", "bob"]), user("ada-2")]);
        !codes(&self::plain(&world)).contains(&"ExplicitDeny")
    };
    assert!(given(json!({"kind": "user", "name": "bob", "uid": "u-bob"})));
    assert!(!given(json!({"kind": "user", "name": "ada", "uid": "u-other"})));
    assert!(!given(json!({"kind": "user", "name": "ada-2", "uid": "u-ada"})));
    assert!(given(json!({"kind": "user", "name": "ada-2", "uid": "u-ada-2"})));
    assert!(given(json!({"kind": "user", "name": "bob"})), "nobody knows who asked by a uid that isn't told");
}

#[test]
fn p68_an_approver_has_the_role_that_the_profile_names_as_who_they_are_now() {
    let role = |change: fn(&mut Value, &mut Value)| {
        let mut spec = json!({
            "organizationRef": "a", "subject": {"kind": "user", "name": "bob"},
            "roleRef": {"kind": "RoleTemplate", "name": "krate-agent-approver"}, "scope": {"kind": "organization"},
        });
        let mut status = json!({"phase": "Synced", "subjectUid": "u-bob"});
        change(&mut spec, &mut status);
        item("AgentRoleBinding", "bob-approves", spec, status)
    };
    let profile = |roles: &[&str], teams: &[&str]| {
        let mut profile = profile("failClosed").document();
        profile["spec"]["exceptionPolicy"]["approvers"] = json!({"roles": roles, "teams": teams});
        Item::read(krate_model::Kind::PolicyProfile, &profile).unwrap().unwrap()
    };
    let given = |profile: Item, role: Item| {
        let world = denying().with(9, [exception(|_, _| ()), profile, role, team(&[])]);
        !codes(&plain(&world)).contains(&"ExplicitDeny")
    };
    let approver = ["krate-agent-approver"];
    assert!(given(profile(&approver, &[]), role(|_, _| ())));
    assert!(given(profile(&approver, &["nobody"]), role(|_, _| ())));
    assert!(!given(profile(&["krate-org-admin"], &[]), role(|_, _| ())), "of another role");
    assert!(!given(profile(&[], &[]), role(|_, _| ())), "where nobody is named, an administrator");
    assert!(!given(profile(&[], &["security"]), role(|_, _| ())));
    let mine = profile(&approver, &[]);
    assert!(!given(mine.clone(), role(|_, status| status["phase"] = json!("Drifted"))));
    assert!(!given(mine.clone(), role(|_, status| status["subjectUid"] = json!("u-before"))));
    assert!(!given(mine.clone(), role(|_, status| status["subjectUid"] = Value::Null)));
    assert!(!given(mine, role(|spec, _| spec["roleRef"]["kind"] = json!("ClusterRole"))));
}

#[test]
fn p50_glass_is_broken_for_one_class_of_action() {
    let admin = || {
        let spec = json!({"organizationRef": "a", "displayName": "Ada", "email": "ada@example.com", "admin": true});
        item("User", "ada", spec, json!({"phase": "Active"}))
    };
    let broken = |class: &str, action: Value, kind: &str, change: fn(&mut Value)| {
        let template = item(
            "PolicyTemplate",
            "no-dispatch",
            json!({
                "organizationRef": "a", "displayName": "Frozen", "targetKinds": [kind], "engine": "krate", "krate": {"effect": "deny"},
            }),
            json!({"phase": "Ready"}),
        );
        let glass = exception(|spec, _| {
            spec["breakGlass"] = json!(true);
            spec["actionClass"] = json!(class);
            change(spec);
        });
        let decision = asked(&denying().with(9, [template, glass, admin()]), |document| {
            document["action"] = action;
            document["needs"] = json!([]);
            document.as_object_mut().unwrap().remove("agentStack");
        });
        let found = codes(&decision);
        assert!(found.contains(&"BreakGlassUsed") != found.contains(&"ExplicitDeny"), "{found:?}");
        found.contains(&"BreakGlassUsed")
    };
    let as_is: fn(&mut Value) = |_| ();
    let resolve = json!({"verb": "resolve", "kind": "ExternalSyncConflict"});
    assert!(broken("conflict-resolution", resolve.clone(), "ExternalSyncConflict", as_is));
    assert!(!broken("merge", resolve, "ExternalSyncConflict", as_is));
    let merge = |kind: &str| json!({"verb": "merge", "kind": kind});
    assert!(broken("merge", merge("PullRequest"), "PullRequest", as_is));
    assert!(!broken("merge", merge("AgentMemoryUpdate"), "AgentMemoryUpdate", as_is), "of no class");
    let update = json!({"verb": "update", "kind": "Issue", "operation": "updateIssue"});
    assert!(broken("write-back", update.clone(), "Issue", as_is));
    assert!(!broken("run-start", update.clone(), "Issue", as_is));
    assert!(!broken("write-back", update.clone(), "Issue", |spec| spec["requestedBy"]["uid"] = json!("u-before")));
    assert!(!broken("write-back", update, "Issue", |spec| {
        spec.as_object_mut().unwrap().remove("actionClass");
    }));
}

#[test]
fn p40_the_installation_is_the_owners_or_the_only_one() {
    let writes = |installations: Value, owner: Option<&str>| {
        let manifest = json!({
            "organizationRef": "a", "providerType": "github", "source": "custom", "adapterRef": "x", "displayName": "GitHub", "schemaVersion": "1", "hosting": ["saas"],
            "authModes": [], "api": {"rest": true, "graphql": false, "webhook": true}, "identity": {"nativeIdFields": ["id"], "versionFields": []},
            "versionGranularity": "1s", "bodyFormat": "markdown", "externalRefKeys": [], "rateLimitModel": {"kind": "requests", "per": "installation"},
            "webhookSignature": [], "interfaces": [{"name": "issueTracking", "supported": true, "objects": ["Issue"], "operations": [{
                "operation": "updateIssue", "write": true, "permissions": [], "authModes": [], "nativeScopes": ["issues:write"], "idempotency": "native",
                "restCost": 1, "pointCost": 1, "confirmedBy": [], "responseConfirms": true, "conditional": false, "paging": "none", "pagingStable": false,
            }], "webhooks": []}],
        });
        let bound = bound(|binding, _| match owner {
            Some(owner) => binding["externalRef"]["owner"] = json!(owner),
            None => binding["externalRef"] = json!({"repository": "krate"}),
        });
        let mut provider = item(
            "ExternalBackendProvider",
            "gh",
            json!({"organizationRef": "a", "providerType": "github", "displayName": "GitHub", "authRef": {"mode": "github-app", "secretRef": {"name": "gh"}}, "capabilities": {"issueTracking": true}}),
            json!({"phase": "Ready"}),
        )
        .document();
        provider["status"]["installations"] = installations;
        let provider = Item::read(krate_model::Kind::ExternalBackendProvider, &provider).unwrap().unwrap();
        let manifest = item("ExternalProviderCapabilityManifest", "github", manifest, json!({}));
        codes(&writing(&bound.with(9, [provider, manifest])))
    };
    let one = |account: Option<&str>, level: &str| {
        let mut one = json!({"id": "1", "permissions": {"issues": level}});
        if let Some(account) = account {
            one["account"] = json!(account);
        }
        one
    };
    let lacks = ["ProviderPermissionMissing"];
    assert_eq!(writes(json!([one(Some("other"), "write"), one(Some("acme"), "read")]), Some("acme")), lacks);
    assert_eq!(writes(json!([one(Some("other"), "read"), one(Some("acme"), "write")]), Some("acme")), [""; 0]);
    assert_eq!(writes(json!([one(Some("other"), "read")]), Some("acme")), lacks, "the only one");
    let two = json!([one(Some("other"), "read"), one(Some("more"), "read")]);
    assert_eq!(writes(two, Some("acme")), [""; 0], "which one it is isn't known: the provider tells");
    // An owner that isn't told is no account that isn't told.
    assert_eq!(writes(json!([one(None, "read"), one(Some("more"), "write")]), None), [""; 0]);
    let mut suspended = one(Some("acme"), "admin");
    suspended["suspended"] = json!(true);
    assert_eq!(writes(json!([suspended]), Some("acme")), lacks);
}
