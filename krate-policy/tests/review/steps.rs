//! Steps 1 to 6 and 10.

use krate_policy::decision::Outcome;
use krate_policy::reason::Code;
use krate_policy::review::{MAX_REQUEST_BYTES, read};
use krate_policy::snapshot::Snapshot;
use serde_json::json;

use super::world::{asked, codes, document, item, permission, snapshot, user};

#[test]
fn p5_an_allowed_names_what_allowed_it() {
    let decision = asked(&snapshot(), |_| ());
    assert_eq!((decision.outcome, codes(&decision)), (Outcome::Allowed, vec![]));
    assert_eq!(decision.by.as_deref(), Some("RepositoryPermission/ada-krate"));
    assert_eq!(decision.per_need[0].by.as_deref(), Some("AgentSecretGrant/model"));
    let versions: Vec<_> = decision.versions.iter().map(|version| &*version.name).collect();
    let expected = [
        "AgentSecretGrant/model",
        "AgentServiceAccount/agent-repair",
        "AgentStack/repair",
        "RepositoryPermission/ada-krate",
        "User/ada",
    ];
    assert_eq!(versions, expected);
}

#[test]
fn p1_nothing_is_allowed_by_an_empty_snapshot() {
    let decision = asked(&Snapshot::new(7), |_| ());
    assert_eq!((decision.outcome, codes(&decision)), (Outcome::Denied, vec!["InvalidRequest"]));
}

#[test]
fn p1_malformed_requests_are_denied() {
    for (path, value) in [
        ("/ref", json!("refs/heads/main ")),
        ("/ref", json!("refs/heads/../main")),
        ("/ref", json!("main")),
        ("/path", json!("a/../b")),
        ("/organization", json!("")),
        ("/subject/kind", json!("robot")),
        ("/actorChain", json!([])),
        ("/causeChain", json!([])),
        ("/action/verb", json!("*")),
        ("/action/kind", json!("Everything")),
        ("/needs/0/key", json!("")),
    ] {
        let decision = asked(&snapshot(), |document| {
            if path == "/path" {
                document["path"] = value.clone();
            } else {
                *document.pointer_mut(path).unwrap() = value.clone();
            }
        });
        assert_eq!(codes(&decision), ["InvalidRequest"], "{path} = {value}");
    }
}

#[test]
fn p1_p35_what_is_too_large_too_deep_or_brings_its_own_trust_is_refused() {
    let mut trusting = document();
    trusting["trust"] = json!("maintainer");
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let large = vec![b' '; MAX_REQUEST_BYTES + 1];
    for bytes in [trusting.to_string().as_bytes(), deep.as_bytes(), &large] {
        assert_eq!(read(bytes).unwrap_err().code, Code::InvalidRequest);
    }
    assert!(read(document().to_string().as_bytes()).is_ok());
}

#[test]
fn p11_an_old_snapshot_and_a_suspended_organization_are_a_no() {
    let decision = asked(&snapshot(), |document| document["snapshotVersion"] = json!(8));
    assert_eq!(codes(&decision), ["SnapshotTooOld"]);
    assert!(asked(&snapshot(), |document| document["snapshotVersion"] = json!(7)).is_allowed());
    let spec = json!({"displayName": "A", "slug": "a", "namespaceName": "krate-org-a", "suspend": true});
    let suspended = snapshot().with(8, [item("Organization", "a", spec, json!({"phase": "Suspended"}))]);
    assert_eq!(codes(&asked(&suspended, |_| ())), ["OrganizationSuspended"]);
}

#[test]
fn p6_a_repository_of_others_and_none_read_the_same() {
    let of_others = asked(&snapshot(), |document| document["repository"] = json!({"name": "krate", "uid": "u-other"}));
    let none = asked(&snapshot(), |document| document["repository"] = json!({"name": "nowhere", "uid": "u-nowhere"}));
    assert_eq!(codes(&of_others), ["CrossOrgDenied"]);
    assert_eq!(of_others, none);
}

#[test]
fn p7_a_secret_in_another_namespace_is_cross_org_unless_it_is_lent() {
    let ask = |document: &mut serde_json::Value| document["needs"][0]["namespace"] = json!("krate-secrets");
    assert_eq!(codes(&asked(&snapshot(), ask)), ["CrossOrgDenied"]);
    let spec = json!({
        "organizationRef": "a", "namespace": "krate-org-a", "platformSecrets": [{"name": "model", "keys": ["api-key"]}],
    });
    let lent = snapshot().with(8, [item("OrgNamespaceBinding", "a", spec, json!({"phase": "Bound"}))]);
    assert_eq!(codes(&asked(&lent, ask)), ["MissingSecretGrant"], "lent, but no grant names it there");
}

#[test]
fn p2_p52_unknown_and_suspended_subjects_stop_the_review() {
    let mallory = json!({"kind": "user", "name": "mallory", "uid": "u-mallory"});
    let unknown = asked(&snapshot(), |document| {
        document["subject"] = mallory.clone();
        document["actorChain"] = json!([mallory]);
    });
    assert_eq!(codes(&unknown), ["UnknownSubject"]);
    assert!(unknown.trust.is_none() && unknown.per_need.is_empty());
    let spec = json!({"organizationRef": "a", "displayName": "A", "email": "a@example.com", "state": "suspended"});
    let suspended = snapshot().with(8, [item("User", "ada", spec, json!({"phase": "Suspended"}))]);
    assert_eq!(codes(&asked(&suspended, |_| ())), ["SubjectSuspended"]);
}

#[test]
fn p20_a_person_made_again_under_the_same_name_is_another() {
    let decision = asked(&snapshot(), |document| {
        document["subject"]["uid"] = json!("u-other");
        document["actorChain"][0]["uid"] = json!("u-other");
    });
    assert_eq!(codes(&decision), ["UnknownSubject"]);
}

#[test]
fn p29_chains_that_repeat_or_end_at_an_agent_are_broken() {
    let agent = json!({"kind": "agent-stack", "name": "repair", "uid": "u-repair", "by": "rule"});
    let ends = asked(&snapshot(), |document| {
        document["subject"] = json!({"kind": "agent-stack", "name": "repair", "uid": "u-repair"});
        document["actorChain"] = json!([agent]);
    });
    assert_eq!(codes(&ends), ["BrokenActorChain"]);
    let twice = asked(&snapshot(), |document| {
        let link = document["actorChain"][0].clone();
        document["actorChain"] = json!([link, link]);
    });
    assert_eq!(codes(&twice), ["BrokenActorChain"]);
}

#[test]
fn p38_a_cause_that_meets_itself_is_a_loop() {
    let rule = item(
        "AgentTriggerRule",
        "fix",
        json!({
            "organizationRef": "a", "lifecycleState": "active", "sources": ["agent"], "agentStack": "repair", "taskKind": "fix",
            "owner": {"kind": "user", "name": "ada"},
        }),
        json!({"phase": "Active"}),
    );
    let decision = asked(&snapshot().with(8, [rule]), |document| {
        let mut agent = document["causeChain"][0].clone();
        agent["event"] = json!("agent");
        agent["rule"] = json!("fix");
        agent["object"] = json!("PullRequest/1");
        document["causeChain"] = json!([agent, agent, document["causeChain"][0]]);
    });
    assert_eq!(codes(&decision), ["CauseLoop"]);
}

#[test]
fn case_52_a_contributor_may_not_dispatch() {
    let decision = asked(&snapshot().with(8, [permission("ada", "write")]), |_| ());
    assert_eq!(codes(&decision), ["MissingRole"]);
}

#[test]
fn p39_a_role_binding_counts_by_uid_and_while_it_is_synced() {
    let binding = |uid: &str, phase: &str| {
        let spec = json!({
            "organizationRef": "a", "subject": {"kind": "user", "name": "eve"},
            "roleRef": {"kind": "RoleTemplate", "name": "krate-maintainer"}, "scope": {"kind": "repository", "name": "krate"},
        });
        item("AgentRoleBinding", "eve-role", spec, json!({"phase": phase, "subjectUid": uid}))
    };
    let by_eve = |document: &mut serde_json::Value| {
        let eve = json!({"kind": "user", "name": "eve", "uid": "u-eve"});
        document["subject"] = eve.clone();
        document["actorChain"] = json!([eve]);
    };
    for (uid, phase, expected) in [
        ("u-eve", "Synced", vec![]),
        ("u-eve", "Drifted", vec!["NativeRbacDrifted"]),
        ("u-eve", "Pending", vec!["MissingRole"]),
        ("u-other", "Synced", vec!["MissingRole"]),
    ] {
        let decision = asked(&snapshot().with(8, [user("eve"), binding(uid, phase)]), by_eve);
        assert_eq!(codes(&decision), expected, "{uid} {phase}");
    }
}

#[test]
fn p63_where_a_cluster_is_asked_an_old_answer_or_none_is_unavailable() {
    let native = snapshot().with_native(true);
    let answer = |at: &str, allowed: bool| json!([{"user": "ada", "verb": "dispatch", "kind": "AgentStack", "allowed": allowed, "at": at}]);
    assert_eq!(codes(&asked(&native, |_| ())), ["NativeRbacUnavailable"]);
    for (at, allowed, expected) in [
        ("2026-05-31T23:59:29Z", true, vec!["NativeRbacUnavailable"]),
        ("2026-06-01T00:00:01Z", true, vec!["NativeRbacUnavailable"]),
        ("2026-05-31T23:59:30Z", true, vec![]),
        ("2026-05-31T23:59:30Z", false, vec!["NativeRbacDenied"]),
    ] {
        let decision = asked(&native, |document| document["native"] = answer(at, allowed));
        assert_eq!(codes(&decision), expected, "{at} {allowed}");
    }
    assert_eq!(asked(&snapshot(), |_| ()).native, "off");
}

#[test]
fn p4_a_decision_ends_after_five_minutes_or_with_what_it_used() {
    let decision = asked(&snapshot(), |_| ());
    assert_eq!(decision.expires_at.to_rfc3339(), "2026-06-01T00:05:00+00:00");
    let late = asked(&snapshot(), |document| document["now"] = json!("2026-11-30T23:58:00Z"));
    assert_eq!(late.expires_at.to_rfc3339(), "2026-12-01T00:00:00+00:00");
}

#[test]
fn p46_an_explanation_tells_each_step_and_the_smallest_change_first() {
    use krate_policy::explain::explain;
    use krate_policy::review::review;
    let told = |snapshot: &Snapshot, change: fn(&mut serde_json::Value)| {
        let request = super::world::request(change);
        explain(&request, &review(&request, snapshot))
    };
    let all_in_order = told(&snapshot(), |_| ());
    assert!(all_in_order.contains("; 7 needs: in order; 8 limits: in order;"), "{all_in_order}");
    assert!(!all_in_order.contains("What would change it"), "{all_in_order}");
    // A hard block of the first steps hides what comes after (P52).
    let hidden = told(&snapshot(), |document| document["subject"]["uid"] = json!("u-other"));
    assert!(hidden.contains("3 identity: no; 4 explicit denials: not looked at;"), "{hidden}");
    // A grant is less of a change than a role.
    let both = told(&snapshot().with(8, [permission("ada", "read")]), |document| {
        document["ref"] = json!("refs/heads/release/1");
    });
    let line = both.lines().find(|line| line.starts_with("What would change it")).unwrap_or_else(|| panic!("{both}"));
    let (grant, role) = (line.find("another grant than AgentSecretGrant/model"), line.find("a role that has it"));
    assert!(grant.is_some() && grant < role, "{line}");
}
