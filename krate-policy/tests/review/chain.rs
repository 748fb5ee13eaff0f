//! What acts inside of a stack, link by link, and what each part of it is given (P20, P25, P61).

use krate_policy::decision::{Decision, Outcome};
use krate_policy::snapshot::{Item, Snapshot};
use serde_json::{Value, json};

use super::world::{asked, codes, item, named_grant, permission, snapshot, stack};

fn ready() -> Value {
    json!({"phase": "Ready"})
}

// Callers write the values in place.
#[allow(clippy::needless_pass_by_value)]
fn made(kind: &str, name: &str, spec: Value) -> Item {
    let mut all = json!({"organizationRef": "a"});
    for (field, value) in spec.as_object().unwrap() {
        all[field] = value.clone();
    }
    item(kind, name, all, ready())
}

fn subagent(name: &str, change: impl FnOnce(&mut Value)) -> Item {
    let mut spec = json!({
        "rolePrompt": "help", "taskKinds": ["x"], "outputContract": {"format": "checklist"}, "toolProfileRef": "p",
        "mcpServerRefs": ["docs"], "skillRefs": ["triage"],
    });
    change(&mut spec);
    made("AgentSubagent", name, spec)
}

fn server(change: impl FnOnce(&mut Value)) -> Item {
    let mut spec = json!({"transport": "stdio", "command": "docs", "scope": "organization"});
    change(&mut spec);
    made("AgentMcpServer", "docs", spec)
}

fn full(change: impl FnOnce(&mut Value)) -> Item {
    stack(|spec, _| {
        spec["mcpServerRefs"] = json!(["docs"]);
        spec["skillRefs"] = json!(["triage"]);
        spec["subagentRefs"] = json!(["helper", "second"]);
        spec["toolProfileRef"] = json!("p");
        spec["runnerPool"] = json!("small");
        change(spec);
    })
}

/// The stack `repair` with a server, a skill, two subagents, a tool and a pool, all Ready; and others that aren't its own.
fn world() -> Snapshot {
    let profile = json!({
        "nativeTools": {"git": true}, "filesystemPolicy": "none", "approvalPolicyByTool": {"git": "allow", "shell": "deny"},
    });
    let skill = |name: &str| made("AgentSkill", name, json!({"format": "inline", "sourceRef": {}}));
    let account = json!({"namespace": "krate-org-a", "serviceAccountName": "other"});
    snapshot().with(
        8,
        [
            full(|_| ()),
            server(|_| ()),
            made("AgentMcpServer", "search", json!({"transport": "stdio", "command": "x", "scope": "organization"})),
            skill("triage"),
            skill("other"),
            subagent("helper", |_| ()),
            subagent("second", |_| ()),
            subagent("stranger", |_| ()),
            made("AgentToolProfile", "p", profile),
            made("RunnerPool", "small", json!({"warmReplicas": 0, "maxReplicas": 1})),
            made("RunnerPool", "large", json!({"warmReplicas": 0, "maxReplicas": 1})),
            made("AgentServiceAccount", "other", account),
        ],
    )
}

fn link(kind: &str, name: &str, uid: &str) -> Value {
    json!({"kind": kind, "name": name, "uid": uid, "by": "delegation"})
}

/// The chain: these links, newest first, then the stack and Ada.
fn chain(links: &[Value]) -> Value {
    let mut all = links.to_vec();
    all.push(link("agent-stack", "repair", "u-repair"));
    all.push(json!({"kind": "user", "name": "ada", "uid": "u-ada"}));
    Value::Array(all)
}

/// What is asked by that chain: to read an issue, which needs nothing.
fn acting(snapshot: &Snapshot, links: &[Value], needs: Value) -> Decision {
    asked(snapshot, |document| {
        let chain = chain(links);
        document["subject"] = json!({"kind": chain[0]["kind"], "name": chain[0]["name"], "uid": chain[0]["uid"]});
        document["actorChain"] = chain;
        document["action"] = json!({"verb": "get", "kind": "Issue"});
        document["needs"] = needs;
    })
}

#[test]
fn p20_p25_each_link_is_there_by_its_uid_and_the_stacks_own() {
    let world = world();
    let found = |links: &[Value]| codes(&acting(&world, links, json!([])));
    let own = [
        link("subagent", "helper", "u-helper"),
        link("mcp-server", "docs", "u-docs"),
        link("skill", "triage", "u-triage"),
        link("tool", "git", "u-p"),
        link("runner", "small", "u-small"),
    ];
    for own in &own {
        assert_eq!(found(std::slice::from_ref(own)), [""; 0], "{own}");
        let mut other = own.clone();
        other["uid"] = json!("u-another");
        assert_eq!(found(&[other]), ["UnknownSubject"], "another uid than that of {own}");
        let mut gone = own.clone();
        gone["name"] = json!("gone");
        assert_eq!(found(&[gone]), ["UnknownSubject"], "another name than that of {own}");
    }
    for foreign in [
        link("subagent", "stranger", "u-stranger"),
        link("mcp-server", "search", "u-search"),
        link("skill", "other", "u-other"),
    ] {
        assert_eq!(found(std::slice::from_ref(&foreign)), ["DelegationDenied"], "{foreign}");
    }
    // A tool that the profile denies is none of the agent's, though the uid is the profile's.
    assert_eq!(found(&[link("tool", "shell", "u-p")]), ["UnknownSubject"]);
    assert_eq!(found(&[link("team", "x", "u-x")]), ["DelegationDenied"]);
    // The narrowest of all that acts has to name it.
    let narrow = world.with(9, [subagent("helper", |spec| spec["mcpServerRefs"] = json!([]))]);
    let links = [link("mcp-server", "docs", "u-docs"), link("subagent", "helper", "u-helper")];
    assert_eq!(codes(&acting(&narrow, &links, json!([]))), ["DelegationDenied"]);
    assert_eq!(codes(&acting(&world, &links, json!([]))), [""; 0]);
    let mut pending = subagent("helper", |_| ()).document();
    pending["status"]["phase"] = json!("Pending");
    let pending = Item::read(krate_model::Kind::AgentSubagent, &pending).unwrap().unwrap();
    let links = [link("subagent", "helper", "u-helper")];
    assert_eq!(codes(&acting(&world.with(9, [pending]), &links, json!([]))), ["StackNotReady"]);
}

#[test]
fn p25_four_subagents_are_as_deep_as_it_goes_and_each_link_stands_once() {
    let helpers: Vec<Item> = (0..5).map(|n| subagent(&format!("h{n}"), |_| ())).collect();
    let names: Vec<String> = (0..5).map(|n| format!("h{n}")).collect();
    let world = world().with(9, helpers).with(9, [full(|spec| spec["subagentRefs"] = json!(names))]);
    let links = |count: usize| -> Vec<Value> {
        (0..count).map(|n| link("subagent", &format!("h{n}"), &format!("u-h{n}"))).collect()
    };
    assert_eq!(codes(&acting(&world, &links(4), json!([]))), [""; 0]);
    assert_eq!(codes(&acting(&world, &links(5), json!([]))), ["DelegationDenied"]);
    let mut twice = links(2);
    twice[1] = twice[0].clone();
    assert_eq!(codes(&acting(&world, &twice, json!([]))), ["BrokenActorChain"]);
    // The subject is the first link, in each of its parts.
    for (field, value) in [("kind", "user"), ("name", "h1"), ("uid", "u-h1")] {
        let decision = asked(&world, |document| {
            document["actorChain"] = chain(&links(1));
            document["subject"] = json!({"kind": "subagent", "name": "h0", "uid": "u-h0"});
            document["subject"][field] = json!(value);
        });
        assert_eq!(codes(&decision), ["BrokenActorChain"], "{field}");
    }
}

#[test]
fn p20_p25_a_part_is_given_what_was_granted_to_it_as_long_as_it_is_a_part_of_all_that_acts() {
    let world = world();
    let given = |world: &Snapshot, links: &[Value], kind: &str, name: &str, uid: &str| {
        let grant = named_grant("part", |spec, status| {
            spec["subject"] = json!({"kind": kind, "name": name});
            spec["purpose"] = json!("tool");
            status["subjectUid"] = json!(uid);
        });
        let need = json!([{
            "type": "secret", "user": {"kind": kind, "name": name, "uid": uid}, "name": "model", "key": "api-key",
            "purpose": "tool",
        }]);
        let decision = acting(&world.with(9, [grant]), links, need);
        match decision.outcome {
            Outcome::Allowed => "given".to_owned(),
            _ => decision.reasons.iter().map(|it| format!("{:?} {}", it.code, it.field)).collect::<Vec<_>>().join(", "),
        }
    };
    let helper = [link("subagent", "helper", "u-helper")];
    let second = [link("subagent", "second", "u-second")];
    let no_part = "GrantScopeMismatch user, which is no part of the stack";
    for (kind, name, uid) in [
        ("mcp-server", "docs", "u-docs"),
        ("skill", "triage", "u-triage"),
        ("tool", "git", "u-p"),
        ("runner", "small", "u-small"),
        ("service-account", "agent-repair", "u-agent-repair"),
    ] {
        for links in [&[][..], &helper[..]] {
            assert_eq!(given(&world, links, kind, name, uid), "given", "{kind} in {links:?}");
        }
        assert_eq!(given(&world, &[], kind, name, "u-another"), no_part, "{kind} of another uid");
    }
    for (kind, name, uid) in [
        ("mcp-server", "search", "u-search"),
        ("skill", "other", "u-other"),
        ("tool", "shell", "u-p"),
        ("tool", "browser", "u-p"),
        ("runner", "large", "u-large"),
        ("service-account", "other", "u-other"),
        ("subagent", "stranger", "u-stranger"),
    ] {
        assert_eq!(given(&world, &[], kind, name, uid), no_part, "{kind} {name}");
    }
    // What is the stack's own is no subagent's, and what is one subagent's is no other's.
    assert_eq!(given(&world, &[], "agent-stack", "repair", "u-repair"), "given");
    assert_eq!(given(&world, &[], "agent-stack", "repair", "u-old"), no_part);
    assert_eq!(given(&world, &helper, "agent-stack", "repair", "u-repair"), no_part);
    assert_eq!(given(&world, &helper, "subagent", "helper", "u-helper"), "given");
    assert_eq!(given(&world, &second, "subagent", "helper", "u-helper"), no_part);
    assert_eq!(given(&world, &[], "subagent", "helper", "u-helper"), "given", "as the stack that has it");
    assert_eq!(given(&world, &helper, "subagent", "helper", "u-another"), no_part);
    // A part that the subagent doesn't have is none of its own.
    let none = |spec: &mut Value| {
        spec["mcpServerRefs"] = json!([]);
        spec["skillRefs"] = json!([]);
        spec.as_object_mut().unwrap().remove("toolProfileRef");
    };
    let bare = world.with(9, [subagent("helper", none)]);
    for (kind, name, uid) in [("mcp-server", "docs", "u-docs"), ("skill", "triage", "u-triage"), ("tool", "git", "u-p")]
    {
        assert_eq!(given(&bare, &helper, kind, name, uid), no_part, "{kind}");
    }
    // The stack may say which Secrets it uses at all.
    let listed =
        |names: Value| world.with(9, [full(|spec| spec["secretPolicy"] = json!({"allowedSecretRefs": names}))]);
    assert_eq!(given(&listed(json!(["model"])), &[], "skill", "triage", "u-triage"), "given");
    let unlisted = given(&listed(json!(["other"])), &[], "skill", "triage", "u-triage");
    assert_eq!(unlisted, "GrantScopeMismatch stack's secretPolicy.allowedSecretRefs");
}

#[test]
fn p51_a_server_is_for_the_stacks_and_repositories_that_it_lists() {
    let world = world();
    let fits = |scope: &str, stacks: &[&str], repositories: &[&str]| {
        let world = world.with(
            9,
            [server(|spec| {
                spec["scope"] = json!(scope);
                spec["allowedAgentStacks"] = json!(stacks);
                spec["repositories"] = json!(repositories);
            })],
        );
        let decision = acting(&world, &[], json!([{"type": "mcp-server", "name": "docs"}]));
        assert!(codes(&decision).iter().all(|code| *code == "McpServerNotReady"), "{:?}", decision.reasons);
        decision.outcome == Outcome::Allowed
    };
    assert!(fits("organization", &[], &[]) && fits("organization", &["repair"], &["other"]));
    assert!(!fits("organization", &["other"], &["krate"]));
    assert!(fits("repository", &[], &["krate"]) && fits("repository", &["repair"], &["krate"]));
    assert!(!fits("repository", &[], &[]) && !fits("repository", &["repair"], &["other"]));
    assert!(!fits("repository", &["other"], &["krate"]));
    assert!(fits("stack", &["repair"], &[]) && !fits("stack", &[], &["krate"]) && !fits("stack", &["other"], &[]));
    assert!(!fits("world", &["repair"], &["krate"]), "a scope that nobody knows");
    for change in [json!({"suspend": true}), json!({"status": "Pending"})] {
        let mut document = server(|_| ()).document();
        if change["suspend"] == json!(true) {
            document["spec"]["suspend"] = json!(true);
        } else {
            document["status"]["phase"] = json!("Pending");
        }
        let server = Item::read(krate_model::Kind::AgentMcpServer, &document).unwrap().unwrap();
        let decision = acting(&world.with(9, [server]), &[], json!([{"type": "mcp-server", "name": "docs"}]));
        assert_eq!(codes(&decision), ["McpServerNotReady"], "{change}");
    }
}

#[test]
fn p20_the_account_of_a_stack_is_for_the_repositories_and_pools_that_it_lists() {
    let world = world();
    let fits = |repositories: &[&str], pools: &[&str]| {
        let account = json!({
            "namespace": "krate-org-a", "serviceAccountName": "agent-repair", "allowedRepositories": repositories,
            "allowedRunnerPools": pools,
        });
        let world = world.with(9, [made("AgentServiceAccount", "agent-repair", account)]);
        let codes = codes(&acting(&world, &[], json!([])));
        assert!(codes.is_empty() || codes == ["IdentityNotReady"], "{codes:?}");
        codes.is_empty()
    };
    assert!(fits(&[], &[]) && fits(&["krate"], &["small"]) && fits(&["krate", "other"], &[]));
    assert!(!fits(&["other"], &["small"]) && !fits(&["krate"], &["large"]) && !fits(&["other"], &["large"]));
}

#[test]
fn p51_the_stack_that_is_named_is_the_one_that_acts_as_it_was_seen() {
    let digest = |n: u8| format!("sha256:{}", format!("{n:02x}").repeat(32));
    let mut known = full(|_| ()).document();
    known["status"]["snapshotDigest"] = json!(digest(1));
    let known = Item::read(krate_model::Kind::AgentStack, &known).unwrap().unwrap();
    let second =
        json!({"baseAgent": "codex", "adapter": "local", "runtimeIdentity": {"serviceAccountRef": "agent-repair"}});
    let world = world().with(9, [known, made("AgentStack", "second", second)]);
    let named = |stack: Value| {
        let decision = asked(&world, |document| {
            let chain = chain(&[]);
            document["subject"] = json!({"kind": "agent-stack", "name": "repair", "uid": "u-repair"});
            document["actorChain"] = chain;
            document["action"] = json!({"verb": "get", "kind": "Issue"});
            document["needs"] = json!([]);
            document["agentStack"] = stack;
        });
        codes(&decision)
    };
    assert_eq!(named(json!({"name": "repair", "uid": "u-repair"})), [""; 0]);
    assert_eq!(named(json!({"name": "repair", "uid": "u-repair", "snapshotDigest": digest(1)})), [""; 0]);
    assert_eq!(named(json!({"name": "repair", "uid": "u-repair", "snapshotDigest": digest(2)})), ["StackNotReady"]);
    assert_eq!(named(json!({"name": "second", "uid": "u-second"})), ["BrokenActorChain"]);
}

#[test]
fn p61_an_agent_writes_no_policy_and_nothing_that_says_what_agents_do() {
    let world = world().with(9, [permission("ada", "admin")]);
    let writes = |verb: &str, kind: &str| {
        let decision = asked(&world, |document| {
            document["subject"] = json!({"kind": "agent-stack", "name": "repair", "uid": "u-repair"});
            document["actorChain"] = chain(&[]);
            document["action"] = json!({"verb": verb, "kind": kind});
            document["needs"] = json!([]);
        });
        codes(&decision).contains(&"UntrustedCause")
    };
    let kinds = [
        "AgentStack",
        "AgentTriggerRule",
        "AgentToolProfile",
        "PolicyBinding",
        "AgentContextLabel",
        "Team",
        "SSHKey",
        "RepositoryPermission",
        "RefPolicy",
        "BranchProtection",
        "ExternalBackendSyncPolicy",
    ];
    for kind in kinds {
        assert!(writes("update", kind) && writes("delete", kind) && writes("create", kind), "{kind}");
        assert!(!writes("get", kind), "{kind} is read");
    }
    for kind in ["Issue", "PullRequest", "ExternalBackendBinding", "AgentDispatchRun"] {
        assert!(!writes("update", kind), "{kind}");
    }
}

#[test]
fn p24_a_pool_is_for_the_repositories_that_it_lists_and_a_trusted_one_for_no_others() {
    let world = world();
    let may = |tier: &str, repositories: &[&str]| {
        let pool = json!({"warmReplicas": 0, "maxReplicas": 1, "trustTier": tier, "allowedRepositories": repositories});
        let world = world.with(9, [made("RunnerPool", "small", pool)]);
        let decision = acting(&world, &[], json!([{"type": "pool", "name": "small"}]));
        assert!(codes(&decision).iter().all(|code| *code == "PoolDenied"), "{:?}", decision.reasons);
        decision.outcome == Outcome::Allowed
    };
    assert!(may("untrusted", &[]) && may("untrusted", &["krate"]) && may("trusted", &["krate"]));
    assert!(!may("untrusted", &["other"]) && !may("trusted", &["other"]) && !may("trusted", &[]));
}

#[test]
fn p51_a_skill_is_for_the_stacks_agents_and_tasks_that_it_lists() {
    let world = world();
    let fits = |lists: Value| {
        let mut spec = json!({"format": "inline", "sourceRef": {}});
        for (field, value) in lists.as_object().unwrap() {
            spec[field] = value.clone();
        }
        let world = world.with(9, [made("AgentSkill", "triage", spec)]);
        let decision = asked(&world, |document| {
            document["subject"] = json!({"kind": "agent-stack", "name": "repair", "uid": "u-repair"});
            document["actorChain"] = chain(&[]);
            document["action"] = json!({"verb": "get", "kind": "Issue"});
            document["taskKind"] = json!("fix");
            document["needs"] = json!([{"type": "skill", "name": "triage"}]);
        });
        assert!(codes(&decision).iter().all(|code| *code == "SkillDenied"), "{:?}", decision.reasons);
        decision.outcome == Outcome::Allowed
    };
    let (stacks, agents, tasks) = ("allowedAgentStacks", "compatibleBaseAgents", "taskKinds");
    assert!(fits(json!({})) && fits(json!({stacks: ["repair"], agents: ["claude-code"], tasks: ["fix"]})));
    for (list, other) in [(stacks, "other"), (agents, "codex"), (tasks, "review")] {
        assert!(!fits(json!({list: [other]})), "{list}");
    }
}

#[test]
fn p56_a_memory_is_for_the_repositories_teams_stacks_and_sources_that_it_lists() {
    let team = json!({"displayName": "Core", "members": ["ada"]});
    let world = world().with(9, [made("Team", "core", team), full(|spec| spec["memorySourceRefs"] = json!(["docs"]))]);
    let reads = |applies: Value, phase: &str, path: &str| {
        let spec = json!({
            "organizationRef": "a", "repositoryRef": "brain", "appliesTo": applies, "include": {"paths": ["docs/**"]},
            "exclude": {"paths": ["docs/private/**"]},
        });
        let world = world.with(9, [item("AgentMemorySource", "docs", spec, json!({"phase": phase}))]);
        let decision = acting(&world, &[], json!([{"type": "memory", "source": "docs", "path": path}]));
        assert!(codes(&decision).iter().all(|code| *code == "MemoryScopeDenied"), "{:?}", decision.reasons);
        decision.outcome == Outcome::Allowed
    };
    let all = json!({"repositories": ["krate"], "teams": ["core"], "stacks": ["repair"], "triggers": ["manual"]});
    assert!(reads(all.clone(), "Ready", "docs/a") && !reads(all.clone(), "Pending", "docs/a"));
    assert!(!reads(all.clone(), "Ready", "src/a") && !reads(all.clone(), "Ready", "docs/private/a"));
    assert!(!reads(json!({}), "Ready", "docs/a"), "it is for nobody");
    for (list, own, other) in [
        ("repositories", "krate", "other"),
        ("teams", "core", "other"),
        ("stacks", "repair", "other"),
        ("triggers", "manual", "push"),
    ] {
        assert!(reads(json!({list: [own]}), "Ready", "docs/a"), "{list}");
        let mut one = all.clone();
        one[list] = json!([other]);
        assert!(!reads(one, "Ready", "docs/a"), "{list}, all others fit");
    }
}

#[test]
fn p46_a_no_names_what_was_asked_for() {
    for need in [
        json!({"type": "tool", "name": "the-name"}),
        json!({"type": "mcp-server", "name": "the-name"}),
        json!({"type": "skill", "name": "the-name"}),
        json!({"type": "pool", "name": "the-name"}),
        json!({"type": "host", "host": "the-name.example.com"}),
        json!({"type": "path", "path": "the-name"}),
        json!({"type": "memory", "source": "x", "path": "the-name"}),
        json!({"type": "target", "action": "the-name"}),
    ] {
        let decision = acting(&world(), &[], json!([need]));
        assert!(decision.reasons[0].text.starts_with("the-name"), "{:?}", decision.reasons);
    }
}
