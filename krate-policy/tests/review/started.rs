//! What a rule starts: while it is in force, for its owner, and from the causes that it takes (P23, P61; `match.actors` and `match.fork`).

use krate_policy::snapshot::{Item, Snapshot};
use serde_json::{Value, json};

use super::world::{asked, codes, item, mapping, snapshot, stack, user};

fn rule(change: impl FnOnce(&mut Value, &mut Value)) -> Item {
    let mut spec = json!({
        "organizationRef": "a", "lifecycleState": "active", "sources": ["push"], "agentStack": "repair", "taskKind": "fix",
        "owner": {"kind": "user", "name": "ada", "uid": "u-ada"}, "match": {"actors": {"minLevel": "external"}},
    });
    let mut status = json!({"phase": "Active"});
    change(&mut spec, &mut status);
    item("AgentTriggerRule", "fix", spec, status)
}

/// Ada's rule starts the stack by itself.
fn started(world: &Snapshot, change: impl FnOnce(&mut Value)) -> Vec<&'static str> {
    let decision = asked(world, |document| {
        document["subject"] = json!({"kind": "agent-stack", "name": "repair", "uid": "u-repair"});
        document["actorChain"] = json!([
            {"kind": "agent-stack", "name": "repair", "uid": "u-repair", "by": "rule"},
            {"kind": "user", "name": "ada", "uid": "u-ada"},
        ]);
        document["causeChain"][0]["rule"] = json!("fix");
        document["causeChain"][0]["event"] = json!("push");
        document["needs"] = json!([]);
        change(document);
    });
    codes(&decision)
}

#[test]
fn p61_a_rule_starts_what_it_is_for_while_it_is_in_force_and_for_its_owner() {
    let plain = snapshot();
    let with = |change: &dyn Fn(&mut Value, &mut Value)| started(&plain.with(9, [rule(change)]), |_| ());
    assert_eq!(with(&|_, _| ()), [""; 0]);
    let denied = ["DelegationDenied"];
    assert_eq!(with(&|spec, _| spec["lifecycleState"] = json!("paused")), denied);
    assert_eq!(with(&|_, status| status["phase"] = json!("Blocked")), denied);
    assert_eq!(with(&|spec, _| spec["agentStack"] = json!("other")), denied);
    assert_eq!(with(&|spec, _| spec["owner"] = json!({"kind": "user", "name": "bob", "uid": "u-bob"})), denied);
    assert_eq!(with(&|spec, _| spec["owner"] = json!({"kind": "user", "name": "ada", "uid": "u-old"})), denied);
    assert_eq!(with(&|spec, _| spec["owner"] = json!({"kind": "user", "name": "eve", "uid": "u-ada"})), denied);
    assert_eq!(with(&|spec, _| spec["owner"] = json!({"kind": "user", "name": "ada"})), [""; 0]);
    let ruled = plain.with(9, [rule(|_, _| ())]);
    assert_eq!(started(&ruled, |document| document["actorChain"][0]["by"] = json!("token")), denied);
    let unnamed = started(&ruled, |document| {
        document["causeChain"][0].as_object_mut().unwrap().remove("rule");
    });
    assert_eq!(unnamed, denied);
    // What is already running goes on though its rule was paused since.
    let paused = plain.with(9, [rule(|spec, _| spec["lifecycleState"] = json!("paused"))]);
    let goes_on = started(&paused, |document| document["action"] = json!({"verb": "get", "kind": "Issue"}));
    assert_eq!(goes_on, [""; 0]);
    // Who only reads for themselves is asked for no rule, whatever the cause names.
    let reads = asked(&plain, |document| {
        document["causeChain"][0]["rule"] = json!("gone");
        document["action"] = json!({"verb": "get", "kind": "Issue"});
        document["needs"] = json!([]);
    });
    assert_eq!(codes(&reads), [""; 0]);
}

/// What is taken by `never`, `only`, `any` and by a word of a newer version (R26), of such a thing and of others.
const ADMITTANCE: [(&str, bool, bool); 4] =
    [("never", false, true), ("only", true, false), ("any", true, true), ("later", false, false)];

/// A rule with these match fields, and what it comes to for a cause changed so.
fn taken(matches: &Value, change: impl FnOnce(&mut Value)) -> Vec<&'static str> {
    let rule = rule(|spec, _| {
        for (field, value) in matches.as_object().unwrap() {
            spec["match"][field] = value.clone();
        }
    });
    let provider = json!({
        "organizationRef": "a", "providerType": "github", "displayName": "GitHub", "capabilities": {"issueTracking": true},
        "authRef": {"mode": "personal-access-token", "secretRef": {"name": "gh"}},
    });
    let provider = item("ExternalBackendProvider", "gh", provider, json!({"phase": "Ready", "account": {"id": "70"}}));
    let crew = json!({"organizationRef": "a", "displayName": "Crew", "members": ["bob"], "maintainers": ["cid"]});
    let crew = item("Team", "crew", crew, json!({"phase": "Ready"}));
    started(&snapshot().with(9, [rule, provider, crew, user("cid"), mapping("cid", "3")]), change)
}

fn heads() -> [(Option<Value>, bool); 4] {
    let sha = "a".repeat(40);
    [
        // A pull request of which nobody tells the head.
        (None, true),
        (Some(json!({"repositoryId": "9", "sha": sha})), false),
        (Some(json!({"repositoryId": "99", "sha": sha})), true),
        // P23: whose repository is gone comes from a fork.
        (Some(json!({"sha": sha})), true),
    ]
}

#[test]
fn p23_a_rule_takes_forks_as_its_match_says() {
    for (word, forks, others) in ADMITTANCE {
        for (head, is_fork) in heads() {
            let found = taken(&json!({"fork": word}), |document| {
                document["causeChain"][0]["event"] = json!("pull-request");
                if let Some(head) = &head {
                    document["causeChain"][0]["head"] = head.clone();
                    document["causeChain"][0]["base"] = json!({"repositoryId": "9"});
                }
            });
            let expected = if is_fork { forks } else { others };
            assert_eq!(found.is_empty(), expected, "{word}, {head:?}: {found:?}");
            assert!(expected || found == ["UntrustedCause"], "{word}, {head:?}: {found:?}");
        }
    }
    // What is said of nothing is `never`.
    let fork = |document: &mut Value| {
        document["causeChain"][0]["head"] = json!({"repositoryId": "99", "sha": "a".repeat(40)});
        document["causeChain"][0]["base"] = json!({"repositoryId": "9"});
    };
    assert_eq!((taken(&json!({}), fork), taken(&json!({}), |_| ())), (vec!["UntrustedCause"], vec![]));
    // A fork further back makes it a fork's, too.
    let behind = |document: &mut Value| {
        let mut older = document["causeChain"][0].clone();
        older.as_object_mut().unwrap().remove("rule");
        fork(document);
        let newest = document["causeChain"][0].clone();
        document["causeChain"] = json!([older, newest]);
        document["causeChain"][0]["rule"] = json!("fix");
        document["causeChain"][1].as_object_mut().unwrap().remove("rule");
    };
    assert_eq!((taken(&json!({"fork": "only"}), behind), taken(&json!({}), behind)), (vec![], vec!["UntrustedCause"]));
}

#[test]
fn p36_a_rule_takes_what_machines_did_as_its_match_says() {
    /// An event, whether it is a machine's, and how the cause is changed to it.
    type Event = (&'static str, Option<bool>, fn(&mut Value));
    let events: [Event; 7] = [
        ("a person's", Some(false), |_| ()),
        ("a stranger's", Some(false), |cause| cause["gate"]["account"]["id"] = json!("99")),
        ("krate's own account's", Some(true), |cause| cause["gate"]["account"]["id"] = json!("70")),
        ("a run's", Some(true), |cause| cause["run"] = json!("run-1")),
        ("an agent's", Some(true), |cause| cause["event"] = json!("agent")),
        ("a memory's", Some(true), |cause| cause["event"] = json!("memory")),
        // A rule asks for it by its sources.
        ("a schedule's", None, |cause| cause["event"] = json!("schedule")),
    ];
    for (word, machines, others) in ADMITTANCE {
        for (event, is_machines, change) in events {
            let actors = json!({"actors": {"minLevel": "external", "automation": word}});
            let found = taken(&actors, |document| {
                change(&mut document["causeChain"][0]);
                if ["agent", "memory"].map(Value::from).contains(&document["causeChain"][0]["event"]) {
                    // Behind the machine stands a person.
                    let mut cause = document["causeChain"][0].clone();
                    cause["event"] = json!("issue");
                    cause.as_object_mut().unwrap().remove("rule");
                    document["causeChain"] = json!([document["causeChain"][0], cause]);
                }
            });
            let expected = match is_machines {
                Some(true) => machines,
                Some(false) => others,
                None => word != "later",
            };
            assert_eq!(found.is_empty(), expected, "{word}, {event}: {found:?}");
            assert!(expected || found == ["UntrustedCause"], "{word}, {event}: {found:?}");
        }
    }
}

/// Who is who: their account, their name as a person, their team.
const ACCOUNTS: [(&str, Option<&str>, bool); 4] =
    [("1", Some("ada"), false), ("2", Some("bob"), true), ("3", Some("cid"), true), ("99", None, false)];

#[test]
fn p64_a_rule_takes_those_whom_it_includes_and_its_teams_by_verified_accounts() {
    let includes: [(Value, &[&str]); 7] = [
        (json!([]), &["1", "2", "3", "99"]),
        (json!(["ada"]), &["1"]),
        (json!(["ADA"]), &[]),
        (json!(["{ada,bob}"]), &["1", "2"]),
        (json!(["*"]), &["1", "2", "3", "99"]),
        // A person is not included by their account's id, and nobody by a login.
        (json!(["ext:1", "ext:99"]), &["99"]),
        (json!(["octocat", "{ada"]), &[]),
    ];
    let excludes: [(Value, &[&str]); 6] = [
        (json!([]), &[]),
        (json!(["ada"]), &["1"]),
        // P66: what excludes over-matches, and an account is excluded by its id, whoever it is.
        (json!(["BOB"]), &["2"]),
        (json!(["ext:2", "ext:99"]), &["2", "99"]),
        (json!(["ext:*"]), &["1", "2", "3", "99"]),
        (json!(["{ada"]), &["1", "2", "3", "99"]),
    ];
    let mut taken_ones = 0;
    for (include, included) in &includes {
        for (exclude, excluded) in &excludes {
            for teams in [json!([]), json!(["crew"]), json!(["crew", "gone"]), json!(["gone"])] {
                for (account, _, in_crew) in ACCOUNTS {
                    let actors =
                        json!({"minLevel": "external", "include": include, "exclude": exclude, "teams": teams});
                    let found = taken(&json!({"actors": actors}), |document| {
                        document["causeChain"][0]["event"] = json!("issue");
                        document["causeChain"][0]["gate"]["account"]["id"] = json!(account);
                    });
                    let in_team = teams == json!([]) || (in_crew && teams != json!(["gone"]));
                    let expected = included.contains(&account) && !excluded.contains(&account) && in_team;
                    assert_eq!(found.is_empty(), expected, "{actors}, {account}: {found:?}");
                    assert!(found.iter().all(|code| *code == "UntrustedCause"), "{actors}, {account}: {found:?}");
                    taken_ones += u32::from(expected);
                }
            }
        }
    }
    assert!(taken_ones > 20, "{taken_ones} were taken");
}

#[test]
fn p64_who_is_suspended_or_unverified_is_nobody_whom_a_rule_lists() {
    let actors = |field: &str, value: Value| {
        let mut actors = json!({"minLevel": "external"});
        actors[field] = value;
        rule(|spec, _| spec["match"]["actors"] = actors)
    };
    let crew = json!({"organizationRef": "a", "displayName": "Crew", "members": ["bob"]});
    let crew = item("Team", "crew", crew, json!({"phase": "Ready"}));
    let unverified = item(
        "IdentityMapping",
        "bob-gh",
        json!({"organizationRef": "a", "user": "bob", "provider": {"kind": "ExternalBackendProvider", "name": "gh"}, "subject": "2"}),
        json!({"phase": "Pending"}),
    );
    let suspended = item(
        "User",
        "bob",
        json!({"organizationRef": "a", "displayName": "bob", "email": "bob@example.com", "state": "suspended"}),
        json!({"phase": "Suspended"}),
    );
    let by_bob = |world: &Snapshot| {
        started(world, |document| {
            document["causeChain"][0]["event"] = json!("issue");
            document["causeChain"][0]["gate"]["account"]["id"] = json!("2");
        })
    };
    for rule in [actors("include", json!(["bob"])), actors("teams", json!(["crew"]))] {
        let world = snapshot().with(9, [rule, crew.clone()]);
        assert_eq!(by_bob(&world), [""; 0]);
        assert_eq!(by_bob(&world.with(10, [unverified.clone()])), ["UntrustedCause"]);
        assert_eq!(by_bob(&world.with(10, [suspended.clone()])), ["UntrustedCause"]);
    }
    // Who was suspended stays excluded by name.
    let world = snapshot().with(9, [actors("exclude", json!(["bob"])), suspended]);
    assert_eq!(by_bob(&world), ["UntrustedCause"]);
}

#[test]
fn p61_what_a_rule_takes_is_asked_of_starts_alone() {
    let only =
        json!({"fork": "only", "actors": {"minLevel": "maintainer", "include": ["nobody"], "automation": "only"}});
    let reads = |document: &mut Value| document["action"] = json!({"verb": "get", "kind": "Issue"});
    assert_eq!(taken(&only, reads), [""; 0]);
    assert_eq!(taken(&only, |_| ()), ["UntrustedCause"; 3]);
}

#[test]
fn r62_a_context_label_is_used_as_it_was_reviewed_or_from_trusted_causes() {
    let fragment = "Be careful.";
    let label = |requires: bool, reviewed: Option<&str>| {
        let mut spec = json!({
            "organizationRef": "a", "promptFragment": fragment, "allowedSources": ["issue"], "requiresReview": requires,
        });
        if let Some(text) = reviewed {
            spec["review"] = json!({"digest": krate_model::Digest::of(text.as_bytes()).to_string()});
        }
        item("AgentContextLabel", "careful", spec, json!({}))
    };
    let of_rule = rule(|spec, _| spec["contextLabels"] = json!(["careful"]));
    let of_stack = stack(|spec, _| spec["contextLabelRefs"] = json!(["careful"]));
    let by = |world: &Snapshot, account: &str| {
        started(world, |document| {
            document["causeChain"][0]["event"] = json!("issue");
            document["causeChain"][0]["gate"]["account"]["id"] = json!(account);
        })
    };
    // The label, and what a member's cause and a stranger's come to.
    let cases = [
        (Some(label(true, Some(fragment))), [None, None]),
        (Some(label(true, None)), [Some("StackNotReady"); 2]),
        (Some(label(true, Some("Be bold."))), [Some("StackNotReady"); 2]),
        (Some(label(false, None)), [None, Some("UntrustedCause")]),
        (Some(label(false, Some(fragment))), [None, Some("UntrustedCause")]),
        (None, [Some("StackNotReady"); 2]),
    ];
    for (label, expected) in cases {
        for world in [snapshot().with(9, [of_rule.clone()]), snapshot().with(9, [rule(|_, _| ()), of_stack.clone()])] {
            let world = world.with(10, label.clone());
            assert_eq!([by(&world, "1"), by(&world, "99")], expected.map(Vec::from_iter), "{label:?}");
        }
    }
    // A label that nothing names is no matter.
    let world = snapshot().with(9, [rule(|_, _| ()), label(true, None)]);
    assert_eq!(by(&world, "1"), [""; 0]);
}
