//! Agents: what their stacks need, what a child has, and what becomes of a yes later.

use krate_policy::decision::{Decision, Outcome};
use krate_policy::lint::{Rule, lint};
use krate_policy::permit::Permit;
use krate_policy::reason::Code;
use krate_policy::request::Need;
use krate_policy::review::review;
use krate_policy::snapshot::{Item, Key, Metadata, Snapshot};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::world::{NS, asked, codes, grant, item, request, snapshot, stack};

fn ready() -> Value {
    json!({"phase": "Ready"})
}

// Callers write the values in place.
#[allow(clippy::needless_pass_by_value)]
fn profile(name: &str, spec: Value) -> Item {
    let mut all = json!({"organizationRef": "a", "filesystemPolicy": "none", "approvalPolicyByTool": {}});
    for (field, value) in spec.as_object().unwrap() {
        all[field] = value.clone();
    }
    item("AgentToolProfile", name, all, ready())
}

fn needs_of(decision: &Decision) -> Vec<String> {
    let told = decision.per_need.iter().map(|it| {
        let need = serde_json::to_value(&it.need).unwrap();
        let name = need.get("key").or(need.get("name")).unwrap();
        format!("{} {} {:?}", need["type"].as_str().unwrap(), name.as_str().unwrap(), it.outcome)
    });
    told.collect()
}

#[test]
fn p51_a_run_needs_all_that_its_stack_names_though_nobody_asked() {
    let server = item(
        "AgentMcpServer",
        "docs",
        json!({
            "organizationRef": "a", "transport": "stdio", "command": "docs", "scope": "organization",
            "secretRefs": [{"name": "docs", "key": "token"}],
            "headersFrom": [{"name": "X-Key", "secretRef": {"name": "docs", "key": "header"}}],
            "configRefs": [{"name": "docs", "key": "settings"}], "envFrom": [{"secretRef": {"name": "env"}}],
        }),
        ready(),
    );
    let skill = item(
        "AgentSkill",
        "triage",
        json!({
            "organizationRef": "a", "format": "inline", "sourceRef": {}, "requiredTools": ["git", "docs/search"],
            "requiredSecretRefs": [{"name": "triage", "key": "token"}],
        }),
        ready(),
    );
    let model = item(
        "AgentProviderConfig",
        "claude",
        json!({"organizationRef": "a", "provider": "anthropic", "authType": "token", "secretRef": {"name": "model", "key": "api-key"}}),
        ready(),
    );
    let pool =
        item("RunnerPool", "small", json!({"organizationRef": "a", "warmReplicas": 0, "maxReplicas": 1}), ready());
    let full = stack(|spec, _| {
        spec["mcpServerRefs"] = json!(["docs"]);
        spec["skillRefs"] = json!(["triage"]);
        spec["provider"] = json!("claude");
        spec["runnerPool"] = json!("small");
    });
    let keys = Some(["first".into(), "second".into()].into());
    let world = snapshot().with(8, [server, skill, model, pool, full]).with_secret(
        8,
        NS,
        "env",
        Metadata { uid: "u-env".into(), keys },
    );
    let decision = asked(&world, |document| document["needs"] = json!([]));
    assert_eq!(decision.outcome, Outcome::Denied);
    let mut found = needs_of(&decision);
    found.sort();
    assert_eq!(
        found,
        [
            "config settings Denied",
            "mcp-server docs Allowed",
            "pool small Allowed",
            "secret api-key Allowed",
            "secret first Denied",
            "secret header Denied",
            "secret second Denied",
            "secret token Denied",
            "secret token Denied",
            "skill triage Allowed",
            "tool git Denied",
            "tool search Denied",
        ]
    );
    // Nobody can list the keys of that one: then no grant names them.
    let blind = world.with_secret(9, NS, "env", Metadata { uid: "u-env".into(), keys: None });
    let decision = asked(&blind, |document| document["needs"] = json!([]));
    assert!(needs_of(&decision).contains(&"secret * Denied".to_owned()));
}

#[test]
fn p51_a_stack_that_names_what_is_not_there_starts_nothing() {
    for (field, value) in [
        ("provider", json!("gone")),
        ("subagentRefs", json!(["gone"])),
        ("toolProfileRef", json!("gone")),
        ("workspacePolicyRef", json!("gone")),
    ] {
        let decision = asked(&snapshot().with(8, [stack(|spec, _| spec[field] = value.clone())]), |_| ());
        assert_eq!(codes(&decision), ["StackNotReady"], "{field}");
    }
    for (field, code) in [("mcpServerRefs", "McpServerNotReady"), ("skillRefs", "SkillDenied")] {
        let decision = asked(&snapshot().with(8, [stack(|spec, _| spec[field] = json!(["gone"]))]), |_| ());
        assert_eq!(codes(&decision), [code], "{field}");
    }
}

#[test]
fn p24_what_runs_for_others_shares_nothing() {
    let policy = |spec: Value| {
        let mut all = json!({"organizationRef": "a", "retentionPolicy": {}});
        for (field, value) in spec.as_object().unwrap() {
            all[field] = value.clone();
        }
        [
            item("AgentWorkspacePolicy", "shared", all, ready()),
            stack(|spec, _| spec["workspacePolicyRef"] = json!("shared")),
        ]
    };
    let stranger = |document: &mut Value| {
        document["needs"] = json!([]);
        document["causeChain"][0]["steering"] =
            json!([{"role": "author", "account": {"provider": "gh", "id": "99"}, "association": "NONE"}]);
    };
    for shared in [json!({"mode": "shared-worktree"}), json!({"caches": "repository"}), json!({"trustTier": "trusted"})]
    {
        let world = snapshot().with(8, policy(shared.clone()));
        assert_eq!(codes(&asked(&world, stranger)), ["UntrustedCause"], "{shared}");
        assert_eq!(codes(&asked(&world, |document| document["needs"] = json!([]))), [""; 0], "{shared}, a member");
    }
    assert_eq!(codes(&asked(&snapshot().with(8, policy(json!({}))), stranger)), [""; 0], "isolated");
}

#[test]
fn p27_the_effective_set_holds_names_only() {
    let world = snapshot().with(
        8,
        [
            profile(
                "p",
                json!({
                    "nativeTools": {"git": true}, "filesystemPolicy": "read-only",
                    "approvalPolicyByTool": {"git": "allow", "shell": "allow", "browser": "deny"},
                }),
            ),
            stack(|spec, _| spec["toolProfileRef"] = json!("p")),
        ],
    );
    let decision = asked(&world, |_| ());
    let effective = serde_json::to_value(decision.effective.as_ref().unwrap()).unwrap();
    assert_eq!(
        effective,
        json!({
            "tools": ["git"], "servers": [], "skills": [], "filesystem": "read-only", "targets": [], "hosts": [], "paths": [],
            "handles": [{"grant": "AgentSecretGrant/model", "target": "model", "key": "api-key"}],
        })
    );
    assert_eq!(decision.runtime_identity.as_deref(), Some("AgentServiceAccount/agent-repair"));
    let decision = asked(&world, |document| {
        document["needs"] = json!([{"type": "path", "path": "src/lib.rs"}, {"type": "host", "host": "example.com"}]);
    });
    let effective = decision.effective.unwrap();
    assert_eq!(
        (effective.paths.len(), effective.hosts.len()),
        (1, 0),
        "what was asked for and isn't given is none of it"
    );
}

#[test]
fn p4_p63_a_yes_is_for_what_was_asked_and_for_what_decided() {
    let world = snapshot();
    let asked = request(|_| ());
    let permit = Permit::new(&asked, review(&asked, &world)).unwrap();
    let now = asked.now;
    assert_eq!(permit.check(&asked, now, &world), Ok(()));
    let mut later = asked.clone();
    later.native = Vec::new();
    later.now = "2026-06-01T00:01:00Z".parse().unwrap();
    assert_eq!(permit.check(&later, later.now, &world), Ok(()), "P55: the time is no part of it");
    let field = |reason: Result<(), krate_policy::reason::Reason>| {
        let reason = reason.unwrap_err();
        assert_eq!(reason.code, Code::StaleDecision);
        reason.field.to_string()
    };
    let other = request(|document| document["ref"] = json!("refs/heads/feature/y"));
    assert_eq!(field(permit.check(&other, now, &world)), "requestDigest");
    assert_eq!(field(permit.check(&asked, "2026-06-01T00:05:00Z".parse().unwrap(), &world)), "expiresAt");
    let changed = world.with(8, [newer(&grant(|_, _| ()))]);
    assert_eq!(field(permit.check(&asked, now, &changed)), "versions");
    let key = Key { kind: krate_model::Kind::AgentStack, namespace: NS.into(), name: "repair".into() };
    assert_eq!(field(permit.check(&asked, now, &world.without(8, &key))), "versions");
    let denied = request(|document| document["ref"] = json!("refs/heads/release/1"));
    let no = Permit::new(&denied, review(&denied, &world)).unwrap();
    assert_eq!(field(no.check(&denied, now, &world)), "outcome");
}

fn newer(item: &Item) -> Item {
    let mut document = item.document();
    document["metadata"]["resourceVersion"] = json!("2");
    let kind = document["kind"].as_str().unwrap().parse().unwrap();
    Item::read(kind, &document).unwrap().unwrap()
}

#[test]
fn p22_a_counted_grant_moves_with_each_use_and_the_yes_stands() {
    let counted = |uses: i64, revoked: bool| {
        grant(|spec, status| {
            spec["maxUses"] = json!(1);
            spec["revoked"] = json!(revoked);
            status["uses"] = json!(uses);
            status["phase"] = json!(if uses == 1 { "Exhausted" } else { "Active" });
        })
    };
    let world = snapshot().with(8, [counted(0, false)]);
    let asked = request(|_| ());
    let mut permit = Permit::new(&asked, review(&asked, &world)).unwrap();
    assert_eq!(permit.decision().reservations.len(), 1);
    let counted_now = world.with(9, [newer(&counted(1, false))]);
    let early = permit.check(&asked, asked.now, &counted_now).unwrap_err();
    assert_eq!((early.code, &*early.field), (Code::StaleDecision, "reservations"), "nobody said that it was counted");
    permit.note_counted();
    assert_eq!(permit.check(&asked, asked.now, &counted_now), Ok(()));
    assert!(permit.check(&asked, asked.now, &world.with(9, [newer(&counted(1, true))])).is_err());
    let again = review(&asked, &world.with(9, [counted(1, false)]));
    assert_eq!(codes(&again), ["GrantExhausted"]);
}

#[test]
fn p21_p69_a_handle_is_looked_at_again_at_each_use() {
    let world = snapshot();
    let now = "2026-06-01T00:00:00Z".parse().unwrap();
    let asked = request(|_| ());
    let permit = Permit::new(&asked, review(&asked, &world)).unwrap();
    let handle = permit.handle(&asked.needs[0], "run-1/1", 7).unwrap();
    assert_eq!(permit.handle(&Need::Pool { name: "open".into() }, "run-1/1", 7), None, "it gives no such key");
    let code = |snapshot: &Snapshot, token| handle.check(&asked, token, now, snapshot).map_err(|reason| reason.code);
    assert_eq!(code(&world, 7), Ok(()));
    assert_eq!(code(&world, 8), Err(Code::StaleDecision), "fenced");
    let with = |change: fn(&mut Value, &mut Value)| world.with(8, [grant(change)]);
    assert_eq!(code(&with(|spec, _| spec["revoked"] = json!(true)), 7), Err(Code::GrantRevoked));
    assert_eq!(code(&with(|spec, _| spec["expiresAt"] = json!("2026-06-01T00:00:00Z")), 7), Err(Code::GrantExpired));
    assert_eq!(code(&with(|spec, _| spec["secretRef"]["keys"] = json!(["other"])), 7), Err(Code::GrantScopeMismatch));
    assert_eq!(code(&with(|spec, _| spec["notBefore"] = json!("2026-06-02T00:00:00Z")), 7), Err(Code::GrantNotReady));
    let key = Key { kind: krate_model::Kind::AgentSecretGrant, namespace: NS.into(), name: "model".into() };
    assert_eq!(code(&world.without(8, &key), 7), Err(Code::GrantRevoked));
    let rotated = Metadata { uid: "u-secret".into(), keys: None };
    assert_eq!(code(&world.with_secret(8, NS, "model", rotated), 7), Ok(()), "rotation is no change of the grant");
    let another = Metadata { uid: "u-other".into(), keys: None };
    assert_eq!(code(&world.with_secret(8, NS, "model", another), 7), Err(Code::GrantScopeMismatch));
}

#[test]
fn p19_p69_a_handle_asks_of_the_grant_all_that_was_asked_when_it_was_given() {
    let world = snapshot();
    let asked = request(|_| ());
    let permit = Permit::new(&asked, review(&asked, &world)).unwrap();
    let handle = permit.handle(&asked.needs[0], "run-1/1", 7).unwrap();
    let code = |snapshot: &Snapshot| handle.check(&asked, 7, asked.now, snapshot).map_err(|reason| reason.code);
    let with = |change: fn(&mut Value, &mut Value)| code(&world.with(8, [grant(change)]));
    for (field, value) in [
        ("purpose", json!("tool")),
        ("allowedTriggerSources", json!(["label"])),
        ("allowedRefs", json!({"include": ["refs/heads/main"]})),
        ("allowedEnvironments", json!(["production"])),
        ("allowedRepositories", json!(["other"])),
    ] {
        let narrowed = world.with(8, [grant(|spec, _| spec[field] = value.clone())]);
        assert_eq!(code(&narrowed), Err(Code::GrantScopeMismatch), "{field}");
    }
    assert_eq!(with(|_, status| status["subjectUid"] = json!("u-before")), Err(Code::GrantScopeMismatch));
    assert_eq!(with(|_, status| status["repositoryUids"] = json!({})), Err(Code::GrantNotReady));
    assert_eq!(with(|spec, _| spec["requiredApproval"] = json!("always")), Err(Code::ApprovalRequired));
    // Its last use is the one that was counted for it.
    let taken = with(|spec, status| {
        spec["maxUses"] = json!(1);
        (status["uses"], status["phase"]) = (json!(1), json!("Exhausted"));
    });
    assert_eq!(taken, Ok(()));
    let without = Metadata { uid: "u-secret".into(), keys: Some(["other".into()].into()) };
    assert_eq!(code(&world.with_secret(8, NS, "model", without)), Err(Code::SecretKeyMissing));
    let elsewhere = stack(|spec, _| spec["secretPolicy"] = json!({"allowedSecretRefs": ["other"]}));
    assert_eq!(code(&world.with(8, [elsewhere])), Err(Code::GrantScopeMismatch));
    // Whoever it is done for may act still, and so may the stack.
    let spec = json!({"organizationRef": "a", "displayName": "ada", "email": "ada@example.com", "state": "suspended"});
    let suspended = item("User", "ada", spec, json!({"phase": "Suspended"}));
    assert_eq!(code(&world.with(8, [suspended])), Err(Code::SubjectSuspended));
    let blocked = stack(|_, status| status["phase"] = json!("Blocked"));
    assert_eq!(code(&world.with(8, [blocked])), Err(Code::StackNotReady));
    let other = request(|document| document["ref"] = json!("refs/heads/feature/y"));
    let refused = handle.check(&other, 7, asked.now, &world).map_err(|reason| reason.field.to_string());
    assert_eq!(refused, Err("requestDigest".to_owned()));
}

#[test]
fn p22_p32_of_two_that_take_the_last_use_one_is_stored_and_the_other_finds_none() {
    let counted = |version: &str, uses: i64| {
        let mut document = grant(|spec, status| {
            spec["maxUses"] = json!(2);
            status["uses"] = json!(uses);
        })
        .document();
        document["metadata"]["resourceVersion"] = json!(version);
        Item::read(krate_model::Kind::AgentSecretGrant, &document).unwrap().unwrap()
    };
    let world = snapshot().with(8, [counted("8", 1)]);
    let asked = request(|_| ());
    let permits = [0, 1].map(|_| Permit::new(&asked, review(&asked, &world)).unwrap());
    let [first, second] = [0, 1].map(|at: usize| permits[at].uses(&asked, asked.now, &world).unwrap());
    assert_eq!(first, second, "both would store the same, on the same condition");
    let [document] = &first[..] else { panic!("{first:?}") };
    assert_eq!(
        (&document["metadata"]["resourceVersion"], &document["status"]["uses"], &document["status"]["phase"]),
        (&json!("8"), &json!(2), &json!("Exhausted"))
    );
    let stored = world.with(9, [counted("9", 2)]);
    let late = permits[1].uses(&asked, asked.now, &stored).unwrap_err();
    assert_eq!((late.code, &*late.name), (Code::GrantExhausted, "AgentSecretGrant/model"));
    // One that stands under the name by now isn't the one that was reserved.
    let mut another = counted("9", 0).document();
    another["metadata"]["uid"] = json!("u-another");
    let another = Item::read(krate_model::Kind::AgentSecretGrant, &another).unwrap().unwrap();
    let gone = permits[1].uses(&asked, asked.now, &world.with(9, [another])).unwrap_err();
    assert_eq!((gone.code, &*gone.field), (Code::StaleDecision, "reservations"));
    let other = request(|document| document["ref"] = json!("refs/heads/feature/y"));
    assert_eq!(permits[0].uses(&other, asked.now, &world).unwrap_err().code, Code::StaleDecision);
}

#[test]
fn p70_what_agents_have_and_nobody_needs_is_named() {
    let at = "2026-06-01T00:00:00Z".parse().unwrap();
    let found = |items: Vec<Item>| -> Vec<(String, Rule)> {
        // What tools need no stack tells, so that no grant for one is called unused.
        let world = snapshot().with(7, [grant(|spec, _| spec["purpose"] = json!("tool"))]);
        lint(&world.with(8, items), at).into_iter().map(|it| (format!("{} {}", it.name, it.field), it.rule)).collect()
    };
    let shell = json!({
        "nativeTools": {"shell": true}, "networkPolicy": {"allowHosts": ["example.com", "*"]},
        "approvalPolicyByTool": {"shell": "allow"}, "allowedCommands": ["a | b"], "deniedCommands": ["$x"],
    });
    assert_eq!(
        found(vec![profile("p", shell), stack(|spec, _| spec["toolProfileRef"] = json!("p"))]),
        [
            ("AgentStack/repair spec.toolProfileRef".to_owned(), Rule::TooWide),
            ("AgentToolProfile/p spec.allowedCommands".to_owned(), Rule::MatchesNothing),
            ("AgentToolProfile/p spec.deniedCommands".to_owned(), Rule::MatchesNothing),
            ("AgentToolProfile/p spec.networkPolicy.allowHosts".to_owned(), Rule::MatchesNothing),
        ]
    );
    assert_eq!(
        found(vec![profile("p", json!({"networkPolicy": {"default": "allow"}}))]),
        [
            ("AgentToolProfile/p metadata.name".to_owned(), Rule::Unused),
            ("AgentToolProfile/p spec.networkPolicy.default".to_owned(), Rule::TooWide),
        ]
    );
    // A shell that reaches nobody, a network without a shell, and a shell that is on and denied send nothing away.
    let hosts = json!({"allowHosts": ["example.com"]});
    for harmless in [
        json!({"nativeTools": {"shell": true}, "approvalPolicyByTool": {"shell": "allow"}}),
        json!({"nativeTools": {"git": true}, "approvalPolicyByTool": {"git": "allow"}, "networkPolicy": hosts}),
        json!({"nativeTools": {"shell": true}, "approvalPolicyByTool": {"shell": "deny"}, "networkPolicy": hosts}),
    ] {
        let items = vec![profile("p", harmless.clone()), stack(|spec, _| spec["toolProfileRef"] = json!("p"))];
        assert_eq!(found(items), [], "{harmless}");
    }
    let pool =
        item("RunnerPool", "idle", json!({"organizationRef": "a", "warmReplicas": 0, "maxReplicas": 1}), ready());
    assert_eq!(found(vec![pool]), [("RunnerPool/idle metadata.name".to_owned(), Rule::Unused)]);
    let rule = json!({
        "organizationRef": "a", "sources": ["push"], "agentStack": "gone", "taskKind": "fix",
        "owner": {"kind": "user", "name": "nobody"},
    });
    assert_eq!(
        found(vec![item("AgentTriggerRule", "r", rule, json!({"phase": "Active"}))]),
        [
            ("AgentTriggerRule/r spec.agentStack".to_owned(), Rule::Dangling),
            ("AgentTriggerRule/r spec.owner".to_owned(), Rule::Dangling),
        ]
    );
}

#[test]
fn p26_a_tool_of_the_agents_own_is_on_only_where_the_profile_turns_it_on() {
    for tool in ["shell", "filesystem", "browser", "codeSearch", "git", "testRunner", "packageManager"] {
        for is_on in [false, true] {
            let mut spec = json!({"nativeTools": {}, "approvalPolicyByTool": {}});
            spec["nativeTools"][tool] = json!(is_on);
            spec["approvalPolicyByTool"][tool] = json!("allow");
            let world = snapshot().with(8, [profile("p", spec), stack(|spec, _| spec["toolProfileRef"] = json!("p"))]);
            let decision = asked(&world, |document| document["needs"] = json!([{"type": "tool", "name": tool}]));
            assert_eq!(decision.outcome == Outcome::Allowed, is_on, "{tool}");
        }
    }
}

const TOOLS: [&str; 4] = ["git", "shell", "browser", "codeSearch"];
const WAYS: [&str; 5] = ["allow", "allow-workspace", "prompt", "prompt-on-denied-or-privileged", "deny"];
const FILES: [&str; 3] = ["none", "read-only", "workspace-write"];
const HOSTS: [&str; 3] = ["example.com", "*.example.com", "10.0.0.7"];

fn profiles() -> impl Strategy<Value = Value> {
    let tools = proptest::collection::vec((any::<bool>(), 0..6_usize), TOOLS.len());
    let hosts = proptest::sample::subsequence(HOSTS.to_vec(), 0..=HOSTS.len());
    let commands = proptest::sample::subsequence(vec!["git", "git push", "python3", "ls"], 0..=4);
    let denied = proptest::sample::subsequence(vec!["git push --force", "rm"], 0..=2);
    (tools, 0..FILES.len(), any::<bool>(), hosts, commands, denied).prop_map(
        |(tools, files, open, hosts, commands, denied)| {
            let mut spec = json!({
                "filesystemPolicy": FILES[files], "allowedCommands": commands, "deniedCommands": denied,
                "networkPolicy": {"default": if open { "allow" } else { "deny" }, "allowHosts": hosts},
                "nativeTools": {}, "approvalPolicyByTool": {},
            });
            for (tool, (is_on, way)) in TOOLS.iter().zip(tools) {
                spec["nativeTools"][*tool] = json!(is_on);
                if let Some(way) = WAYS.get(way) {
                    spec["approvalPolicyByTool"][*tool] = json!(way);
                }
            }
            spec
        },
    )
}

fn a_need() -> impl Strategy<Value = Value> {
    let tool = (0..TOOLS.len(), 0..5_usize).prop_map(|(tool, command)| {
        let commands = [
            json!([]),
            json!(["git", "push", "-f"]),
            json!(["git", "push", "origin"]),
            json!(["python3", "x"]),
            json!(["ls"]),
        ];
        json!({"type": "tool", "name": TOOLS[tool], "command": commands[command]})
    });
    let host =
        prop_oneof![Just("example.com"), Just("a.example.com"), Just("10.0.0.7"), Just("10.0.0.8"), Just("evil.net")];
    let host = host.prop_map(|host| json!({"type": "host", "host": host}));
    let path = any::<bool>().prop_map(|write| json!({"type": "path", "path": "src/lib.rs", "write": write}));
    prop_oneof![tool, host, path]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn p25_p62_a_child_never_has_more_than_its_parent(parent in profiles(), child in profiles(), need in a_need()) {
        let world = snapshot().with(8, [
            profile("parent", parent),
            profile("child", child),
            item("AgentSubagent", "sub", json!({"organizationRef": "a", "rolePrompt": "x", "taskKinds": ["x"], "toolProfileRef": "child"}), ready()),
            stack(|spec, _| {
                spec["toolProfileRef"] = json!("parent");
                spec["subagentRefs"] = json!(["sub"]);
            }),
        ]);
        let acting = |links: Value| {
            let need = need.clone();
            asked(&world, move |document| {
                document["subject"] = json!({"kind": links[0]["kind"], "name": links[0]["name"], "uid": links[0]["uid"]});
                document["action"] = json!({"verb": "use", "kind": "AgentStack"});
                document["actorChain"] = links;
                document["needs"] = json!([need]);
            })
        };
        let person = json!({"kind": "user", "name": "ada", "uid": "u-ada"});
        let of_stack = json!({"kind": "agent-stack", "name": "repair", "uid": "u-repair", "by": "token"});
        let of_child = json!({"kind": "subagent", "name": "sub", "uid": "u-sub", "by": "delegation"});
        let above = acting(json!([of_stack, person]));
        let below = acting(json!([of_child, of_stack, person]));
        prop_assert!(below.outcome >= above.outcome, "{} above, {} below", json!(above), json!(below));
        // And what is told to be effective is what is given.
        if let (Some(effective), Some(true)) = (&above.effective, need["command"].as_array().map(Vec::is_empty)) {
            let listed = effective.tools.iter().any(|tool| **tool == *need["name"].as_str().unwrap());
            prop_assert_eq!(listed, above.outcome != Outcome::Denied);
        }
    }
}

#[test]
fn p11_the_budgets_of_a_day_hold_in_each_scope_that_the_request_is_in() {
    let budgets = json!([
        {"scope": "organization", "costMicrosPerDay": 100, "runsPerDay": 3},
        {"scope": "person", "tokensPerDay": 50},
        {"scope": "rule", "runsPerDay": 1},
    ]);
    let items = [
        item(
            "Organization",
            "a",
            json!({"displayName": "A", "slug": "a", "namespaceName": NS, "policyProfileRef": "strict"}),
            ready(),
        ),
        item(
            "PolicyProfile",
            "strict",
            json!({"organizationRef": "a", "displayName": "Strict", "mode": "enforce", "budgets": budgets}),
            json!({"phase": "Synced"}),
        ),
    ];
    let world = snapshot().with(8, items);
    let with = |today: Value, asked_tokens: u64| {
        asked(&world, |document| document["usage"] = json!({"today": today, "askedTokens": asked_tokens}))
    };
    let told = |decision: &Decision| {
        let over = decision.reasons.iter().filter(|reason| reason.code == Code::BudgetExceeded);
        over.map(|reason| reason.text.to_string()).collect::<Vec<_>>()
    };
    let day = |cost: u64, runs: u64, tokens: u64| {
        json!([
            {"scope": "organization", "costMicros": cost, "runs": runs},
            {"scope": "person", "tokens": tokens},
        ])
    };
    // By hand there is no rule, so its budget is nobody's.
    let within = with(day(99, 2, 49), 0);
    assert_eq!((within.outcome, told(&within)), (Outcome::Allowed, vec![]));
    assert!(within.versions.iter().any(|it| &*it.name == "PolicyProfile/strict"));
    let spent = |scope: &str| vec![format!("what was used today of the budget of the {scope} leaves nothing for it")];
    assert_eq!(told(&with(day(100, 2, 49), 0)), spent("organization"));
    assert_eq!(told(&with(day(99, 3, 49), 0)), spent("organization"));
    assert_eq!(told(&with(day(99, 2, 50), 0)), spent("person"));
    assert_eq!(told(&with(day(99, 2, 40), 11)), spent("person"));
    assert_eq!(told(&with(day(99, 2, 40), 10)), [""; 0]);
    let by_repository = json!([{"scope": "repository", "runsPerDay": 1}]);
    let profile = item(
        "PolicyProfile",
        "strict",
        json!({"organizationRef": "a", "displayName": "Strict", "mode": "enforce", "budgets": by_repository}),
        json!({"phase": "Synced"}),
    );
    let here = world.with(9, [profile]);
    let used = |runs: u64| {
        told(&asked(&here, |document| document["usage"] = json!({"today": [{"scope": "repository", "runs": runs}]})))
    };
    assert_eq!((used(0), used(1)), (vec![], spent("repository")));
    let nowhere = asked(&here, |document| {
        document.as_object_mut().unwrap().remove("repository");
    });
    assert_eq!(told(&nowhere), [""; 0], "it is in no repository");
    let unknown =
        |scope: &str| format!("what was used today of the budget of the {scope} isn't told, and counts as used up");
    assert_eq!(told(&asked(&world, |_| ())), [unknown("organization"), unknown("person")]);
    assert_eq!(told(&with(json!([{"scope": "person"}]), 0)), [unknown("organization")]);
}

#[test]
fn p51_what_is_asked_for_and_found_is_judged_once() {
    let pool =
        item("RunnerPool", "small", json!({"organizationRef": "a", "warmReplicas": 0, "maxReplicas": 1}), ready());
    let world = snapshot().with(8, [pool, stack(|spec, _| spec["runnerPool"] = json!("small"))]);
    let decision = asked(&world, |document| document["needs"] = json!([{"type": "pool", "name": "small"}]));
    assert_eq!(needs_of(&decision), ["pool small Allowed"]);
    assert_eq!(decision.effective.unwrap().pool.as_deref(), Some("small"));
    let server = json!({"organizationRef": "a", "transport": "stdio", "command": "docs", "scope": "organization"});
    let world = world.with(
        9,
        [item("AgentMcpServer", "docs", server, ready()), stack(|spec, _| spec["mcpServerRefs"] = json!(["docs"]))],
    );
    let decision = asked(&world, |document| {
        document["action"] = json!({"verb": "use", "kind": "AgentMcpServer"});
        document["object"] = json!({"kind": "AgentMcpServer", "name": "docs", "uid": "u-docs"});
        document["needs"] = json!([{"type": "mcp-server", "name": "docs"}]);
    });
    assert_eq!(needs_of(&decision), ["mcp-server docs Allowed"]);
    // Its own organization may be named, too.
    let decision = asked(&world, |document| {
        document["action"] = json!({"verb": "use", "kind": "AgentMcpServer"});
        document["object"] = json!({"kind": "AgentMcpServer", "name": "docs", "uid": "u-docs", "organization": "a"});
        document["needs"] = json!([]);
    });
    assert_eq!(needs_of(&decision), ["mcp-server docs Allowed"]);
}

#[test]
fn p27_p55_the_effective_set_holds_what_was_given_and_each_class_is_asked_for_by_its_name() {
    let network = json!({"allowHosts": ["example.com"]});
    let world = snapshot().with(
        8,
        [
            profile("p", json!({"networkPolicy": network, "nativeTools": {"git": true}, "approvalPolicyByTool": {"git": "prompt"}})),
            stack(|spec, _| {
                spec["toolProfileRef"] = json!("p");
                spec["writeBackPolicy"] = json!({"allowedTargets": ["issue-comment", "branch-push"], "requireApproval": false});
            }),
        ],
    );
    let needs = json!([
        {"type": "host", "host": "example.com"}, {"type": "target", "action": "issue-comment"},
        {"type": "target", "action": "branch-push"}, {"type": "tool", "name": "git"},
    ]);
    let trusted = asked(&world, |document| document["needs"] = needs.clone());
    let effective = trusted.effective.as_ref().unwrap();
    assert_eq!(
        (&*effective.hosts, &*effective.targets),
        (&["example.com".into()][..], &["issue-comment".into(), "branch-push".into()][..])
    );
    // For a stranger each of them is asked for, under the name of its class.
    let asked_for = asked(&world, |document| {
        document["needs"] = needs;
        document["causeChain"][0]["steering"] =
            json!([{"role": "author", "account": {"provider": "gh", "id": "99"}, "association": "NONE"}]);
    });
    let mut classes: Vec<&str> = asked_for.required_approvals.iter().map(|it| &*it.class).collect();
    classes.sort_unstable();
    assert_eq!(classes, ["branch-push", "network", "tool-use", "write-back"]);
}

#[test]
fn p19_p27_a_configuration_is_suggested_as_one_and_no_list_of_secrets_holds_for_it() {
    let world = snapshot().with(8, [stack(|spec, _| spec["secretPolicy"] = json!({"allowedSecretRefs": ["model"]}))]);
    let need = json!([{
        "type": "config", "user": {"kind": "agent-stack", "name": "repair", "uid": "u-repair"}, "name": "settings",
        "key": "theme", "purpose": "mcp-config",
    }]);
    let lacking = asked(&world, |document| document["needs"] = need.clone());
    let suggested = &lacking.missing_grants[0].suggested;
    assert!(suggested.contains("kind: AgentConfigGrant") && suggested.contains("configMapRef:"), "{suggested}");
    let secret = asked(&world, |document| document["needs"][0]["name"] = json!("other"));
    assert!(secret.missing_grants[0].suggested.contains("secretRef:"));
    let config = item(
        "AgentConfigGrant",
        "settings",
        json!({
            "organizationRef": "a", "subject": {"kind": "agent-stack", "name": "repair"}, "configMapRef": {"name": "settings", "keys": ["theme"]},
            "purpose": "mcp-config", "allowedRepositories": ["krate"], "allowedRefs": {"include": ["refs/heads/**"]},
            "allowedTriggerSources": ["manual"],
        }),
        json!({"phase": "Active", "subjectUid": "u-repair", "targetUid": "u-settings", "repositoryUids": {"krate": "u-krate"}}),
    );
    let keys = Some(["theme".into()].into());
    let world = world.with(9, [config]).with_config_map(9, NS, "settings", Metadata { uid: "u-settings".into(), keys });
    let given = asked(&world, |document| document["needs"] = need.clone());
    assert_eq!((given.outcome, codes(&given)), (Outcome::Allowed, vec![]));
    // Its handle is looked at again as that of a Secret is.
    let question = request(|document| document["needs"] = need.clone());
    let permit = Permit::new(&question, given).unwrap();
    let handle = permit.handle(&question.needs[0], "run-1/1", 7).unwrap();
    let now = question.now;
    assert_eq!(handle.check(&question, 7, now, &world), Ok(()));
    let other = Metadata { uid: "u-other".into(), keys: None };
    assert!(handle.check(&question, 7, now, &world.with_config_map(9, NS, "settings", other)).is_err());
}

#[test]
fn p19_a_need_of_no_part_of_the_stack_keeps_the_code_of_its_grant() {
    // The grant has ended: that is told, and not that the user isn't the stack's.
    let ended = named_grant_of("subagent", "nobody", |spec| spec["expiresAt"] = json!("2026-06-01T00:00:00Z"));
    let decision = asked(&snapshot().with(8, [ended]), |document| {
        document["needs"][0]["user"] = json!({"kind": "subagent", "name": "nobody", "uid": "u-nobody"});
    });
    assert_eq!(codes(&decision), ["GrantExpired"]);
    let stands = named_grant_of("subagent", "nobody", |_| ());
    let decision = asked(&snapshot().with(8, [stands]), |document| {
        document["needs"][0]["user"] = json!({"kind": "subagent", "name": "nobody", "uid": "u-nobody"});
    });
    assert_eq!(codes(&decision), ["GrantScopeMismatch"]);
}

fn named_grant_of(kind: &str, name: &str, change: impl FnOnce(&mut Value)) -> Item {
    super::world::named_grant("theirs", |spec, status| {
        spec["subject"] = json!({"kind": kind, "name": name});
        status["subjectUid"] = json!(format!("u-{name}"));
        change(spec);
    })
}

#[test]
fn p35_every_trigger_source_is_known_and_no_other_word_is() {
    for event in [
        "push",
        "tag",
        "release",
        "pull-request",
        "review",
        "issue",
        "issue-comment",
        "pull-request-comment",
        "label",
        "ci",
        "schedule",
        "manual",
        "webhook",
        "agent",
        "external-sync",
        "memory",
    ] {
        let decision = asked(&snapshot(), |document| document["causeChain"][0]["event"] = json!(event));
        assert!(decision.reasons.iter().all(|it| !it.text.contains("no known source")), "{event}");
    }
    let decision = asked(&snapshot(), |document| document["causeChain"][0]["event"] = json!("rumour"));
    assert!(codes(&decision).contains(&"UntrustedCause"));
    // GitLab's levels are read as numbers, and two answers for one question are none.
    let with = |association: Value, level: Value| {
        asked(&snapshot(), |document| {
            document["causeChain"][0]["event"] = json!("push");
            document["causeChain"][0]["gate"]["association"] = association;
            document["causeChain"][0]["gate"]["permission"] = level;
        })
    };
    let steering = |association: Value, level: Value| with(association, level).trust.unwrap().steering.to_string();
    assert_eq!(steering(Value::Null, json!(40)), "maintainer");
    assert_eq!(steering(Value::Null, json!(20)), "contributor");
    assert_eq!(steering(json!("MEMBER"), Value::Null), "maintainer");
    assert_eq!(steering(json!("MEMBER"), json!(40)), "external");
}
