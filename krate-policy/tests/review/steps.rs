//! Steps 1 to 6 and 10.

use krate_model::Kind;
use krate_policy::decision::Outcome;
use krate_policy::native::question;
use krate_policy::reason::Code;
use krate_policy::review::{MAX_REQUEST_BYTES, read, review};
use krate_policy::snapshot::{Item, Key, Snapshot};
use serde_json::{Value, json};

use super::world::{NS, asked, codes, document, item, permission, request, snapshot, text, user};

fn key(kind: &str, name: &str) -> Key {
    Key { kind: kind.parse().unwrap(), namespace: NS.into(), name: name.into() }
}

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
            "owner": {"kind": "user", "name": "ada"}, "match": {"actors": {"automation": "any"}},
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
fn p57_a_cause_holds_for_the_head_that_it_saw_and_while_it_is_there() {
    let (seen, moved) = ("a".repeat(40), "b".repeat(40));
    for (head, present, expected) in [
        (&seen, None, &[][..]),
        (&seen, Some(true), &[]),
        (&moved, None, &["CauseGone"]),
        (&seen, Some(false), &["CauseGone"]),
        (&moved, Some(false), &["CauseGone", "CauseGone"]),
    ] {
        let decision = asked(&snapshot(), |document| {
            document["causeChain"][0]["head"] = json!({"repositoryId": "1", "sha": seen});
            document["causeChain"][0]["base"] = json!({"repositoryId": "1"});
            document["preconditions"] = json!({"headSha": head});
            if let Some(present) = present {
                document["preconditions"]["causePresent"] = json!(present);
            }
        });
        assert_eq!(codes(&decision), expected, "{head} {present:?}");
    }
}

#[test]
fn p57_who_starts_something_has_looked_and_who_has_not_is_told_so() {
    let seen = "a".repeat(40);
    let started = |verb: &str, event: &str, told: Value| {
        let decision = asked(&snapshot(), |document| {
            document["needs"] = json!([]);
            document["action"] = json!({"verb": verb, "kind": "AgentStack"});
            document["causeChain"][0]["event"] = json!(event);
            document["causeChain"][0]["steering"] = json!([document["causeChain"][0]["gate"]]);
            if event == "pull-request" {
                document["causeChain"][0]["head"] = json!({"repositoryId": "1", "sha": seen});
                document["causeChain"][0]["base"] = json!({"repositoryId": "1"});
            }
            document["preconditions"] = told;
        });
        codes(&decision)
    };
    let gone = ["CauseGone"];
    assert_eq!(started("dispatch", "pull-request", json!({})), gone, "where the head is now isn't told");
    assert_eq!(started("dispatch", "pull-request", json!({"headSha": 7})), gone, "and so it isn't");
    assert_eq!(started("dispatch", "pull-request", json!({"headSha": seen})), [""; 0]);
    for event in ["label", "issue-comment"] {
        assert_eq!(started("dispatch", event, json!({})), gone, "{event}: whether it is there isn't told");
        assert_eq!(started("dispatch", event, json!({"causePresent": "yes"})), gone, "{event}: and so it isn't");
        assert_eq!(started("dispatch", event, json!({"causePresent": true})), [""; 0], "{event}");
    }
    // Nothing is started: what goes on has its cause, and a person who asks by hand is there.
    assert_eq!(started("get", "label", json!({})), [""; 0]);
    assert_eq!(started("dispatch", "manual", json!({})), [""; 0]);
    assert_eq!(started("get", "pull-request", json!({"headSha": "b"})), gone, "what is told counts always");
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
        item(
            "AgentRoleBinding",
            "eve-role",
            spec,
            json!({"phase": phase, "subjectUid": uid, "repositoryUid": "u-krate"}),
        )
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
    let question = question(&request(|_| ()), &native);
    let answer = |at: &str, allowed: bool| json!([{"asked": question, "allowed": allowed, "at": at}]);
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

#[test]
fn p1_p11_each_part_of_a_request_is_well_formed_or_it_is_no_request() {
    let long = |bytes: usize| "a".repeat(bytes);
    let is_refused = |pointer: &str, value: Value| {
        let document = at(pointer, value);
        let request = serde_json::from_value(document.clone());
        request.map_or(true, |request| codes(&review(&request, &snapshot())) == ["InvalidRequest"])
    };
    // Names, ids and texts, each at the place where it stands: empty, one byte too long, and with what no name has.
    let names = [
        "/organization",
        "/subject/name",
        "/actorChain/0/name",
        "/repository/name",
        "/agentStack/name",
        "/runnerPool/name",
        "/object/name",
        "/needs/0/user/name",
        "/needs/0/name",
        "/needs/0/namespace",
        "/needs/0/key",
        "/approvals/0",
        "/needs/1/user/name",
        "/needs/1/name",
        "/needs/1/namespace",
        "/needs/1/key",
        "/needs/2/source",
        "/needs/3/server",
        "/needs/4/name",
        "/needs/5/name",
        "/needs/6/name",
    ];
    let ids = [
        "/subject/uid",
        "/actorChain/0/uid",
        "/actorChain/0/account/provider",
        "/actorChain/0/account/id",
        "/repository/uid",
        "/agentStack/uid",
        "/runnerPool/uid",
        "/object/uid",
        "/object/organization",
        "/causeChain/0/event",
        "/causeChain/0/source",
        "/causeChain/0/rule",
        "/causeChain/0/object",
        "/causeChain/0/run",
        "/causeChain/0/gate/account/provider",
        "/causeChain/0/gate/account/id",
        "/causeChain/0/gate/association",
        "/causeChain/0/steering/0/association",
        "/causeChain/0/head/sha",
        "/causeChain/0/head/repositoryId",
        "/causeChain/0/base/repositoryId",
        "/action/subresource",
        "/action/operation",
        "/action/fields/0",
        "/environment",
        "/triggerSource",
        "/taskKind",
        "/credential",
        "/run",
        "/needs/0/user/uid",
        "/needs/3/name",
        "/needs/7/host",
        "/needs/8/action",
    ];
    for pointer in names.iter().chain(&ids) {
        for wrong in [String::new(), long(254)] {
            assert!(is_refused(pointer, json!(wrong)), "{pointer} of {} bytes", wrong.len());
        }
    }
    for pointer in names {
        for wrong in ["a\0b", "a/b/c", "a\nb"] {
            assert!(is_refused(pointer, json!(wrong)), "{pointer} = {wrong:?}");
        }
    }
    // Words of closed sets that nobody knows.
    for pointer in [
        "/subject/kind",
        "/actorChain/0/kind",
        "/actorChain/0/by",
        "/causeChain/0/gate/role",
        "/causeChain/0/steering/0/role",
        "/action/verb",
        "/action/kind",
        "/object/kind",
        "/needs/0/user/kind",
        "/needs/0/purpose",
        "/needs/1/purpose",
        "/needs/9/entry",
    ] {
        assert!(is_refused(pointer, json!("whatever")), "{pointer}");
    }
    for (pointer, wrong) in [
        ("/ref", "main"),
        ("/ref", ""),
        ("/path", "../x"),
        ("/path", ""),
        ("/needs/2/path", "../x"),
        ("/needs/9/path", "/x"),
    ] {
        assert!(is_refused(pointer, json!(wrong)), "{pointer} = {wrong:?}");
    }
    // Lists and texts at their longest, and one beyond.
    let many = |one: Value, count: usize| Value::Array(vec![one; count]);
    let (full, line) = (full(), long(4096));
    let path = |bytes: usize| json!(format!("{}a", "a/".repeat(bytes / 2)));
    let tool = |word: &str, count: usize| json!([{"type": "tool", "name": "shell", "command": vec![word; count]}]);
    for (pointer, most, beyond) in [
        (
            "/causeChain/0/steering",
            many(full["causeChain"][0]["steering"][0].clone(), 256),
            many(full["causeChain"][0]["steering"][0].clone(), 257),
        ),
        ("/causeChain", many(full["causeChain"][0].clone(), 64), many(full["causeChain"][0].clone(), 65)),
        ("/action/fields", many(json!("spec.title"), 256), many(json!("spec.title"), 257)),
        ("/needs", many(full["needs"][4].clone(), 256), many(full["needs"][4].clone(), 257)),
        ("/approvals", many(json!("yes"), 256), many(json!("yes"), 257)),
        ("/usage/today", many(json!({"scope": "person"}), 256), many(json!({"scope": "person"}), 257)),
        ("/needs/3/command", json!(vec!["a"; 256]), json!(vec!["a"; 257])),
        ("/needs", tool(&line, 1), tool(&long(4097), 1)),
        ("/path", path(4094), path(4098)),
        ("/needs/9/path", path(4094), path(4098)),
        ("/needs/2/path", path(4094), path(4098)),
        (
            "/needs",
            json!([{"type": "tool", "name": "shell", "line": line}]),
            json!([{"type": "tool", "name": "shell", "line": long(4097)}]),
        ),
    ] {
        assert!(!is_refused(pointer, most), "{pointer} at its longest");
        assert!(is_refused(pointer, beyond), "{pointer}, one beyond");
    }
    assert!(is_refused("/actorChain", json!([])) && is_refused("/causeChain", json!([])));
    let links: Vec<Value> = (0..9).map(|n| json!({"kind": "user", "name": "ada", "uid": format!("u-{n}")})).collect();
    assert!(is_refused("/actorChain", json!(links)) && !is_refused("/actorChain", json!(links[..8])));
    assert!(is_refused("/needs/3/line", json!("git status")), "a command and a line");
    let labels: serde_json::Map<String, Value> = (0..257).map(|n| (n.to_string(), json!("x"))).collect();
    assert!(is_refused("/object/labels", json!(labels)) && is_refused("/object/labelsAfter", json!(labels)));
    let deep = |depth: usize| (1..depth).fold(json!(1), |inner, _| json!({"a": inner}));
    assert!(
        !is_refused("/preconditions", json!({"a": deep(16)})) && is_refused("/preconditions", json!({"a": deep(17)}))
    );
    let fields = |count: usize| (0..count).map(|n| (n.to_string(), json!(1))).collect::<serde_json::Map<_, _>>();
    assert!(is_refused("/preconditions", json!(fields(257))) && !is_refused("/preconditions", json!(fields(256))));
    assert!(!is_refused("/organization", json!("a")), "as it stands it is one");
}

/// A request with every field.
fn full() -> Value {
    let mut document = document();
    document["object"] = json!({"kind": "AgentStack", "name": "repair", "uid": "u-repair", "organization": "a"});
    document["runnerPool"] = json!({"name": "small", "uid": "u-small"});
    document["actorChain"][0]["account"] = json!({"provider": "gh", "id": "1"});
    let gate = document["causeChain"][0]["gate"].clone();
    document["causeChain"][0]["steering"] = json!([gate]);
    document["causeChain"][0]["head"] = json!({"sha": "a".repeat(40), "repositoryId": "9"});
    document["causeChain"][0]["base"] = json!({"repositoryId": "9"});
    document["usage"] = json!({});
    let user = document["needs"][0]["user"].clone();
    let secret = document["needs"][0].clone();
    document["needs"] = json!([
        secret, {"type": "config", "user": user, "name": "c", "key": "k", "purpose": "mcp-config"},
        {"type": "memory", "source": "docs", "path": "a"}, {"type": "tool", "name": "shell", "server": "docs", "command": ["a"]},
        {"type": "pool", "name": "small"}, {"type": "mcp-server", "name": "docs"}, {"type": "skill", "name": "triage"},
        {"type": "host", "host": "example.com"}, {"type": "target", "action": "issue-comment"}, {"type": "path", "path": "a"},
    ]);
    document["approvals"] = json!(["yes"]);
    document["action"]["fields"] = json!(["spec.title"]);
    document
}

/// The full request with another value at a place.
fn at(pointer: &str, value: Value) -> Value {
    let mut document = full();
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    match document.pointer_mut(parent).unwrap() {
        Value::Array(items) => items[field.parse::<usize>().unwrap()] = value,
        Value::Object(fields) => {
            fields.insert(field.to_owned(), value);
        }
        other => panic!("{pointer} is in {other}"),
    }
    document
}

#[test]
fn p1_a_request_is_read_up_to_its_last_byte_and_no_further() {
    let mut text = serde_json::to_vec(&document()).unwrap();
    text.resize(MAX_REQUEST_BYTES, b' ');
    assert!(read(&text).is_ok());
    text.push(b' ');
    assert_eq!(read(&text).unwrap_err().code, Code::InvalidRequest);
}

#[test]
fn p10_a_team_gives_what_it_has_in_that_repository_and_no_other() {
    let team = |repository: &str, members: &[&str]| {
        item(
            "Team",
            "core",
            json!({
                "organizationRef": "a", "displayName": "Core", "members": members,
                "repositoryGrants": [{"repository": repository, "permission": "maintain"}],
            }),
            json!({"phase": "Ready", "repositoryUids": {"krate": "u-krate", "other": "u-other"}}),
        )
    };
    // Ada's own permission is no more than to write; her team's is to maintain.
    let may = |team: krate_policy::snapshot::Item| {
        let decision = asked(&snapshot().with(8, [permission("ada", "write"), team]), |_| ());
        assert!(decision.reasons.iter().all(|it| it.code == Code::MissingRole), "{:?}", decision.reasons);
        decision.outcome == Outcome::Allowed
    };
    assert!(may(team("krate", &["ada"])));
    assert!(!may(team("other", &["ada"])) && !may(team("krate", &["bob"])));
    // It counts for how far she is trusted, too.
    let trust = |team: krate_policy::snapshot::Item| {
        let decision = asked(&snapshot().with(8, [permission("ada", "read"), team]), |_| ());
        decision.trust.unwrap().steering.to_string()
    };
    assert_eq!(trust(team("krate", &["ada"])), "maintainer");
    assert_eq!(
        (trust(team("other", &["ada"])), trust(team("krate", &["bob"]))),
        ("contributor".into(), "contributor".into())
    );
}

#[test]
fn p20_a_repository_keeps_a_team_and_a_role_by_its_id_and_a_new_one_of_the_name_inherits_nothing() {
    let team = |uids: Value| {
        let spec = json!({
            "organizationRef": "a", "displayName": "Core", "members": ["ada"], "repositoryGrants": [{"repository": "krate", "permission": "maintain"}],
        });
        item("Team", "core", spec, json!({"phase": "Ready", "repositoryUids": uids}))
    };
    let role = |uid: Value| {
        let spec = json!({
            "organizationRef": "a", "subject": {"kind": "user", "name": "ada"}, "roleRef": {"kind": "RoleTemplate", "name": "krate-maintainer"},
            "scope": {"kind": "repository", "name": "krate"},
        });
        item(
            "AgentRoleBinding",
            "ada-maintains",
            spec,
            json!({"phase": "Synced", "subjectUid": "u-ada", "repositoryUid": uid}),
        )
    };
    // Ada has nothing there of her own.
    let nothing = snapshot().without(8, &key("RepositoryPermission", "ada-krate"));
    let may = |given: &Item, name: &str, uid: &str| {
        let spec = json!({"organizationRef": "a", "visibility": "private", "defaultBranch": "main"});
        let mut repository = item("Repository", name, spec, json!({"phase": "Ready"})).document();
        repository["metadata"]["uid"] = json!(uid);
        let repository = Item::read(Kind::Repository, &repository).unwrap().unwrap();
        let world = nothing.without(8, &key("Repository", "krate")).with(8, [repository, given.clone()]);
        let decision = asked(&world, |document| {
            document["repository"] = json!({"name": name, "uid": uid});
            document["needs"] = json!([]);
        });
        assert!(decision.reasons.iter().all(|it| it.code == Code::MissingRole), "{:?}", decision.reasons);
        decision.outcome == Outcome::Allowed
    };
    for given in [team(json!({"krate": "u-krate"})), role(json!("u-krate"))] {
        assert!(may(&given, "krate", "u-krate"));
        assert!(may(&given, "renamed", "u-krate"), "36: by id, whatever it is called");
        assert!(!may(&given, "krate", "u-new"), "35c: another one of that name");
    }
    for pending in [team(json!({})), team(json!({"other": "u-krate"})), role(json!(null))] {
        assert!(!may(&pending, "krate", "u-krate"), "nobody took the uid down yet");
    }
    // The same for how far she is trusted.
    let trust = |uids: Value| {
        let decision = asked(&nothing.with(8, [team(uids)]), |_| ());
        decision.trust.unwrap().steering.to_string()
    };
    assert_eq!(trust(json!({"krate": "u-krate"})), "maintainer");
    assert_eq!((trust(json!({"krate": "u-old"})), trust(json!({}))), ("external".into(), "external".into()));
}

#[test]
fn p10_a_role_reaches_as_far_as_its_scope() {
    let role = |scope: Value| {
        item(
            "AgentRoleBinding",
            "cyd-maintains",
            json!({
                "organizationRef": "a", "subject": {"kind": "user", "name": "ada"},
                "roleRef": {"kind": "RoleTemplate", "name": "krate-maintainer"}, "scope": scope,
            }),
            json!({"phase": "Synced", "subjectUid": "u-ada", "repositoryUid": format!("u-{}", text(&scope["name"]))}),
        )
    };
    let may = |scope: Value, environment: Option<&str>| {
        let world = snapshot().with(8, [permission("ada", "read"), role(scope)]);
        let decision = asked(&world, |document| {
            if let Some(environment) = environment {
                document["environment"] = json!(environment);
            }
            document["needs"] = json!([]);
        });
        assert!(decision.reasons.iter().all(|it| it.code == Code::MissingRole), "{:?}", decision.reasons);
        decision.outcome == Outcome::Allowed
    };
    assert!(may(json!({"kind": "organization"}), None) && may(json!({"kind": "organization"}), Some("production")));
    assert!(may(json!({"kind": "repository", "name": "krate"}), None));
    assert!(!may(json!({"kind": "repository", "name": "other"}), None));
    let production = || json!({"kind": "environment", "name": "production"});
    assert!(may(production(), Some("production")));
    assert!(!may(production(), Some("staging")) && !may(production(), None));
    assert!(!may(json!({"kind": "galaxy", "name": "krate"}), None));
}

#[test]
fn p63_an_answer_of_kubernetes_counts_for_the_very_question_that_would_be_asked() {
    let mut ada = user("ada").document();
    ada["spec"]["username"] = json!("ada@sign-in");
    let core = json!({"organizationRef": "a", "displayName": "Core", "members": ["ada"], "repositoryGrants": []});
    let known = [Item::read(Kind::User, &ada).unwrap().unwrap(), item("Team", "core", core, json!({"phase": "Ready"}))];
    let asked_there = snapshot().with(8, known).with_native(true);
    let on_the_stack = |document: &mut Value| {
        document["object"] = json!({"kind": "AgentStack", "name": "repair", "uid": "u-repair"});
    };
    let expected = json!({
        "user": "ada@sign-in", "groups": ["krate:org:a:team:core"], "verb": "dispatch", "group": "krate.a5c.ai", "resource": "agentstacks",
        "namespace": "krate-org-a", "name": "repair",
    });
    assert_eq!(json!(question(&request(on_the_stack), &asked_there)), expected);
    let answered = |field: &str, value: &Value, allowed: bool| {
        let decision = asked(&asked_there, |document| {
            on_the_stack(document);
            let mut asked = expected.clone();
            if !field.is_empty() {
                asked[field] = value.clone();
            }
            document["native"] = json!([{"asked": asked, "allowed": allowed, "at": "2026-06-01T00:00:00Z"}]);
        });
        codes(&decision)
    };
    assert_eq!(answered("", &json!(null), true), [""; 0]);
    assert_eq!(answered("", &json!(null), false), ["NativeRbacDenied"]);
    for (field, value) in [
        ("user", json!("ada")),
        ("user", json!("bob")),
        ("groups", json!([])),
        ("verb", json!("get")),
        ("group", json!("")),
        ("resource", json!("issues")),
        ("subresource", json!("status")),
        ("namespace", json!("krate-org-b")),
        ("name", json!("other")),
        ("name", json!(null)),
    ] {
        for allowed in [true, false] {
            assert_eq!(answered(field, &value, allowed), ["NativeRbacUnavailable"], "{field} {value} {allowed}");
        }
    }
}

#[test]
fn p7_a_key_of_another_namespace_is_the_platforms_that_it_lends_or_nobodys() {
    let need = |kind: &str, purpose: &str, namespace: &str| {
        let decision = asked(&snapshot(), |document| {
            document["needs"] = json!([{
                "type": kind, "user": {"kind": "agent-stack", "name": "repair", "uid": "u-repair"}, "name": "model",
                "key": "api-key", "purpose": purpose, "namespace": namespace,
            }]);
        });
        codes(&decision)
    };
    for (kind, purpose) in [("secret", "tool"), ("config", "mcp-config")] {
        assert_eq!(need(kind, purpose, "krate-org-b"), ["CrossOrgDenied"], "{kind}");
        assert!(!need(kind, purpose, "krate-org-a").contains(&"CrossOrgDenied"), "{kind} of its own");
    }
}

#[test]
fn p4_a_role_that_somebody_has_through_a_team_ends_with_the_team() {
    let team = json!({"organizationRef": "a", "displayName": "Core", "members": ["ada"]});
    let role = json!({
        "organizationRef": "a", "subject": {"kind": "team", "name": "core"}, "roleRef": {"kind": "RoleTemplate", "name": "krate-maintainer"},
        "scope": {"kind": "organization"},
    });
    let given = [
        item("Team", "core", team, json!({"phase": "Ready"})),
        item("AgentRoleBinding", "core-maintains", role, json!({"phase": "Synced", "subjectUid": "u-core"})),
    ];
    let world = snapshot().without(8, &key("RepositoryPermission", "ada-krate")).with(8, given);
    let decision = asked(&world, |document| document["needs"] = json!([]));
    assert!(!decision.codes().any(|code| code == Code::MissingRole), "{:?}", decision.reasons);
    assert_eq!(decision.by.as_deref(), Some("AgentRoleBinding/core-maintains"));
    let used: Vec<&str> = decision.versions.iter().map(|version| &*version.name).collect();
    assert!(used.contains(&"Team/core") && used.contains(&"AgentRoleBinding/core-maintains"), "{used:?}");
}
