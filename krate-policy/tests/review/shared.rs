//! What one organization shares with another, and what an agent may do with it (P4, P6, P8; R4, R34).

use krate_policy::decision::{Decision, Outcome};
use krate_policy::permit::Permit;
use krate_policy::reason::Code;
use krate_policy::review::review;
use krate_policy::snapshot::{Item, Key, Snapshot};
use serde_json::{Value, json};

use super::world::{NS, asked, codes, item, request, snapshot, stack};

const THEIRS: &str = "krate-org-b";

/// An item of organization b.
// Callers write the values in place.
#[allow(clippy::needless_pass_by_value)]
fn theirs(kind: &str, name: &str, labels: Value, spec: Value, status: Value) -> Item {
    let document = json!({
        "apiVersion": "krate.a5c.ai/v1alpha1", "kind": kind,
        "metadata": {"name": name, "namespace": THEIRS, "uid": format!("b-{name}"), "resourceVersion": "1", "labels": labels},
        "spec": spec, "status": status,
    });
    Item::read(kind.parse().unwrap(), &document).expect("a kind that is kept").expect("a document of it")
}

fn ready() -> Value {
    json!({"phase": "Ready"})
}

/// One side's consent; both list the same.
fn side(side: &str, refs: &Value) -> Item {
    let spec = json!({"side": side, "sourceOrg": "b", "targetOrg": "a", "allowedRefs": refs});
    let status = json!({"phase": "Active"});
    match side {
        "offer" => theirs("OrgSharingPolicy", "to-a", json!({}), spec, status),
        _ => item("OrgSharingPolicy", "from-b", spec, status),
    }
}

fn server(change: impl FnOnce(&mut Value)) -> Item {
    let mut spec = json!({"organizationRef": "b", "transport": "stdio", "command": "docs", "scope": "organization"});
    change(&mut spec);
    theirs("AgentMcpServer", "docs", json!({"tier": "shared"}), spec, ready())
}

fn skill(change: impl FnOnce(&mut Value)) -> Item {
    let mut spec = json!({"organizationRef": "b", "format": "inline", "sourceRef": {}});
    change(&mut spec);
    theirs("AgentSkill", "triage", json!({}), spec, ready())
}

fn named(kind: &str, names: &[&str]) -> Value {
    json!({"kind": kind, "names": names, "verbs": ["reference"]})
}

/// Organization a with a stack that names b's server and skill, and b, which shares what `refs` lists.
fn world(refs: &Value) -> Snapshot {
    let b = Item::read(
        krate_model::Kind::Organization,
        &json!({
            "apiVersion": "krate.a5c.ai/v1alpha1", "kind": "Organization",
            "metadata": {"name": "b", "namespace": "krate-system", "uid": "b-org", "resourceVersion": "1"},
            "spec": {"displayName": "B", "slug": "b", "namespaceName": THEIRS}, "status": ready(),
        }),
    );
    let stack = stack(|spec, _| {
        spec["sharedRefs"] = json!([
            {"organization": "b", "kind": "AgentMcpServer", "name": "docs"},
            {"organization": "b", "kind": "AgentSkill", "name": "triage"},
        ]);
    });
    let items = [b.unwrap().unwrap(), stack, server(|_| ()), skill(|_| ()), side("offer", refs), side("accept", refs)];
    snapshot().with(8, items)
}

fn both() -> Value {
    json!([named("AgentMcpServer", &["docs"]), named("AgentSkill", &["triage"])])
}

fn outcomes(decision: &Decision) -> Vec<(String, Outcome)> {
    let shared = decision.per_need.iter().filter_map(|it| {
        let need = serde_json::to_value(&it.need).unwrap();
        let name = need["name"].as_str().unwrap();
        let name = need["server"].as_str().map_or_else(|| name.to_owned(), |server| format!("{server}/{name}"));
        name.contains('/').then_some((name, it.outcome))
    });
    shared.collect()
}

#[test]
fn r4_p8_a_stack_uses_what_both_sides_share_and_the_decision_names_all_that_decided() {
    let world = world(&both());
    let decision = asked(&world, |_| ());
    assert_eq!(decision.outcome, Outcome::Allowed, "{:?}", decision.reasons);
    assert_eq!(
        outcomes(&decision),
        [("b/docs".to_owned(), Outcome::Allowed), ("b/triage".to_owned(), Outcome::Allowed)]
    );
    let used: Vec<&str> = decision.versions.iter().map(|it| &*it.name).collect();
    for name in ["AgentMcpServer/b/docs", "AgentSkill/b/triage", "OrgSharingPolicy/b/to-a", "OrgSharingPolicy/from-b"] {
        assert!(used.contains(&name), "{name} in {used:?}");
    }
    let effective = decision.effective.as_ref().unwrap();
    assert_eq!((&effective.servers[..], &effective.skills[..]), (&["b/docs".into()][..], &["b/triage".into()][..]));
}

#[test]
fn r4_what_is_shared_is_asked_for_and_acts_by_its_owner_and_name() {
    let world = world(&both());
    let chain = |name: &str, uid: &str| {
        let request = request(|document| {
            document["subject"] = json!({"kind": "mcp-server", "name": name, "uid": uid});
            document["actorChain"] = json!([
                {"kind": "mcp-server", "name": name, "uid": uid, "by": "delegation"},
                {"kind": "agent-stack", "name": "repair", "uid": "u-repair", "by": "delegation"},
                {"kind": "user", "name": "ada", "uid": "u-ada"},
            ]);
            document["action"] = json!({"verb": "get", "kind": "Issue"});
            document["needs"] =
                json!([{"type": "mcp-server", "name": "b/docs"}, {"type": "skill", "name": "b/triage"}]);
        });
        codes(&review(&request, &world))
    };
    assert_eq!(chain("b/docs", "b-docs"), [""; 0]);
    assert_eq!(chain("b/docs", "b-other"), ["UnknownSubject"]);
    assert_eq!(chain("c/docs", "b-docs"), ["UnknownSubject"]);
    assert_eq!(chain("docs", "b-docs"), ["UnknownSubject"]);
    assert_eq!(chain("b/docs/x", "b-docs"), ["InvalidRequest"]);
    assert_eq!(chain("/docs", "b-docs"), ["InvalidRequest"]);
}

#[test]
fn p8_r34_without_either_side_or_beyond_it_nothing_is_shared_and_nothing_is_told() {
    let missing = |world: &Snapshot| {
        let decision = asked(world, |_| ());
        assert_eq!(decision.outcome, Outcome::Denied);
        let told = |name: &str| {
            let text = decision.reasons.iter().find(|reason| reason.text.starts_with(name)).map(|it| it.text.clone());
            text.unwrap_or_default().replace(name, "it")
        };
        (codes(&decision).contains(&"McpServerNotReady"), told("b/docs"))
    };
    let there = world(&both());
    // P6: one that doesn't exist reads the same as one that isn't shared.
    let gone = there
        .without(9, &Key { kind: krate_model::Kind::AgentMcpServer, namespace: THEIRS.into(), name: "docs".into() });
    let expected = (true, "it: isn't there".to_owned());
    assert_eq!(missing(&gone), expected);
    for namespace in [NS, THEIRS] {
        let name = if namespace == NS { "from-b" } else { "to-a" };
        let key = Key { kind: krate_model::Kind::OrgSharingPolicy, namespace: namespace.into(), name: name.into() };
        assert_eq!(missing(&there.without(9, &key)), expected, "{name}");
    }
    let wrong =
        json!([{"kind": "AgentMcpServer", "names": ["docs"], "verbs": ["read"]}, named("AgentSkill", &["triage"])]);
    assert_eq!(missing(&world(&wrong)), expected);
    let other = json!([named("AgentMcpServer", &["other"]), named("AgentSkill", &["triage"])]);
    assert_eq!(missing(&there.with(9, [side("offer", &other)])), expected);
    assert_eq!(missing(&there.with(9, [side("accept", &other)])), expected);
}

#[test]
fn r34_a_selector_shares_by_the_labels_that_the_object_has_now() {
    let by = |selector: Value| json!([{"kind": "AgentMcpServer", "selector": selector, "verbs": ["reference"]}, named("AgentSkill", &["triage"])]);
    let outcome = |refs: &Value| asked(&world(refs), |_| ()).outcome;
    assert_eq!(outcome(&by(json!({"matchLabels": {"tier": "shared"}}))), Outcome::Allowed);
    let not_own = json!({"matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["own"]}]});
    assert_eq!(outcome(&by(not_own)), Outcome::Allowed);
    for nothing in [
        json!({}),
        json!({"matchLabels": {"tier": "own"}}),
        json!({"matchExpressions": [{"key": "tier", "operator": "Like", "values": ["shared"]}]}),
    ] {
        assert_eq!(outcome(&by(nothing.clone())), Outcome::Denied, "{nothing}");
    }
}

#[test]
fn r4_secrets_are_never_shared_so_what_needs_one_is_not_either() {
    for field in ["secretRefs", "configRefs"] {
        let needs = server(|spec| spec[field] = json!([{"name": "docs", "key": "token"}]));
        let decision = asked(&world(&both()).with(9, [needs]), |_| ());
        assert!(decision.reasons.iter().any(|reason| reason.text.contains("never shared")), "{:?}", decision.reasons);
        assert_eq!(decision.outcome, Outcome::Denied);
    }
    for field in ["requiredSecretRefs", "requiredConfigRefs"] {
        let needs = skill(|spec| spec[field] = json!([{"name": "docs", "key": "token"}]));
        assert_eq!(codes(&asked(&world(&both()).with(9, [needs]), |_| ())), ["SkillDenied"], "{field}");
    }
    for (field, value) in [
        ("headersFrom", json!([{"name": "X-Key", "secretRef": {"name": "docs", "key": "header"}}])),
        ("envFrom", json!([{"secretRef": {"name": "env"}}])),
    ] {
        let needs = server(|spec| spec[field] = value);
        assert_eq!(codes(&asked(&world(&both()).with(9, [needs]), |_| ())), ["McpServerNotReady"], "{field}");
    }
}

#[test]
fn p8_what_a_shared_skill_asks_for_has_to_be_shared_itself() {
    let skill = skill(|spec| {
        spec["requiredMcpServers"] = json!(["search"]);
        spec["requiredTools"] = json!(["search/find"]);
    });
    let decision = asked(&world(&both()).with(9, [skill]), |_| ());
    let denied: Vec<_> = outcomes(&decision).into_iter().filter(|it| it.1 == Outcome::Denied).map(|it| it.0).collect();
    assert_eq!(denied, ["b/search", "b/search/find"]);
}

#[test]
fn p25_a_subagent_has_nothing_of_what_is_shared_with_its_stack() {
    let world = world(&both()).with(
        9,
        [
            stack(|spec, _| {
                spec["subagentRefs"] = json!(["helper"]);
                spec["sharedRefs"] = json!([{"organization": "b", "kind": "AgentMcpServer", "name": "docs"}]);
            }),
            item(
                "AgentSubagent",
                "helper",
                json!({"organizationRef": "a", "rolePrompt": "help", "taskKinds": ["x"], "outputContract": {"format": "checklist"}}),
                ready(),
            ),
        ],
    );
    let used = |chain: Value, uid: &str| {
        let request = request(|document| {
            document["subject"] = json!({"kind": chain[0]["kind"], "name": chain[0]["name"], "uid": uid});
            document["actorChain"] = chain;
            document["needs"] = json!([]);
            document["action"] = json!({"verb": "use", "kind": "AgentMcpServer"});
            document["object"] = json!({"kind": "AgentMcpServer", "name": "docs", "organization": "b"});
        });
        codes(&review(&request, &world))
    };
    let stack = json!({"kind": "agent-stack", "name": "repair", "uid": "u-repair", "by": "delegation"});
    let ada = json!({"kind": "user", "name": "ada", "uid": "u-ada"});
    assert!(!used(json!([stack, ada]), "u-repair").contains(&"McpServerNotReady"));
    let helper = json!({"kind": "subagent", "name": "helper", "uid": "u-helper", "by": "delegation"});
    assert!(used(json!([helper, stack, ada]), "u-helper").contains(&"McpServerNotReady"));
}

#[test]
fn p51_an_agent_uses_a_shared_server_only_where_its_stack_names_it() {
    let unnamed = world(&both()).with(9, [stack(|_, _| ())]);
    let decision = asked(&unnamed, |document| {
        document["needs"] = json!([]);
        document["action"] = json!({"verb": "use", "kind": "AgentMcpServer"});
        document["object"] = json!({"kind": "AgentMcpServer", "name": "docs", "organization": "b"});
    });
    assert!(codes(&decision).contains(&"McpServerNotReady"), "{:?}", decision.reasons);
}

#[test]
fn p4_p21_a_decision_is_over_when_the_other_side_takes_its_offer_back() {
    let world = world(&both());
    let question = request(|_| ());
    let permit = Permit::new(&question, review(&question, &world)).unwrap();
    assert_eq!(permit.check(&question, question.now, &world), Ok(()));
    let offer = |version: &str, revoked: bool| {
        let mut document = side("offer", &both()).document();
        document["metadata"]["resourceVersion"] = version.into();
        document["spec"]["revoked"] = revoked.into();
        Item::read(krate_model::Kind::OrgSharingPolicy, &document).unwrap().unwrap()
    };
    let revoked = world.with(9, [offer("2", true)]);
    let stale = permit.check(&question, question.now, &revoked).unwrap_err();
    assert_eq!((stale.code, &*stale.name), (Code::StaleDecision, "OrgSharingPolicy/b/to-a"));
    let changed = world.with(9, [server(|spec| spec["suspend"] = json!(true))]);
    assert_eq!(permit.check(&question, question.now, &changed), Ok(()), "the same version is the same resource");
}

#[test]
fn p8_each_part_of_a_sharing_policy_counts_for_a_person_who_reads_too() {
    let refs = json!([{"kind": "AgentMcpServer", "names": ["docs"], "verbs": ["read"]}]);
    let plain = world(&refs);
    let reads = |world: &Snapshot, verb: &str| {
        let decision = asked(world, |document| {
            document["action"] = json!({"verb": verb, "kind": "AgentMcpServer"});
            document["object"] = json!({"kind": "AgentMcpServer", "name": "docs", "organization": "b"});
            document["needs"] = json!([]);
            document.as_object_mut().unwrap().remove("agentStack");
        });
        !codes(&decision).contains(&"CrossOrgDenied")
    };
    for verb in ["get", "list", "watch"] {
        assert!(reads(&plain, verb), "{verb}");
    }
    assert!(!reads(&plain, "use") && !reads(&plain, "update"));
    for name in ["offer", "accept"] {
        let changed = |change: &dyn Fn(&mut Value)| {
            let mut document = side(name, &refs).document();
            change(&mut document);
            plain.with(9, [Item::read(krate_model::Kind::OrgSharingPolicy, &document).unwrap().unwrap()])
        };
        assert!(reads(&changed(&|_| ()), "get"));
        for (pointer, value) in [
            ("/spec/revoked", json!(true)),
            ("/spec/side", json!("other")),
            ("/spec/sourceOrg", json!("c")),
            ("/spec/targetOrg", json!("c")),
            ("/status/phase", json!("Pending")),
            ("/spec/expiresAt", json!("2026-06-01T00:00:00Z")),
            ("/spec/allowedRefs/0/kind", json!("AgentSkill")),
            ("/spec/allowedRefs/0/names", json!(["other"])),
        ] {
            let set = |document: &mut Value| {
                let (parent, field) = pointer.rsplit_once('/').unwrap();
                document.pointer_mut(parent).unwrap()[field] = value.clone();
            };
            assert!(!reads(&changed(&set), "get"), "{name} {pointer}");
        }
        let later = changed(&|document| document["spec"]["expiresAt"] = json!("2026-06-01T00:00:01Z"));
        assert!(reads(&later, "get"));
    }
}

#[test]
fn r4_a_stack_names_owner_kind_and_name_of_what_it_shares() {
    let named = |refs: Value| world(&both()).with(9, [stack(|spec, _| spec["sharedRefs"] = refs)]);
    let own = |organization: &str, kind: &str, name: &str| json!([{"organization": organization, "kind": kind, "name": name}]);
    let uses = |world: &Snapshot, needs: Value| {
        let decision = asked(world, |document| {
            document["subject"] = json!({"kind": "agent-stack", "name": "repair", "uid": "u-repair"});
            document["actorChain"] = json!([
                {"kind": "agent-stack", "name": "repair", "uid": "u-repair", "by": "delegation"},
                {"kind": "user", "name": "ada", "uid": "u-ada"},
            ]);
            document["action"] = json!({"verb": "get", "kind": "Issue"});
            document["needs"] = needs;
        });
        let policies = decision.versions.iter().filter(|it| it.name.starts_with("OrgSharingPolicy")).count();
        (decision.outcome == Outcome::Allowed, policies)
    };
    let (server, skill) =
        (json!([{"type": "mcp-server", "name": "b/docs"}]), json!([{"type": "skill", "name": "b/triage"}]));
    // Each by itself names both sides' policies.
    assert_eq!(uses(&named(own("b", "AgentMcpServer", "docs")), server.clone()), (true, 2));
    assert_eq!(uses(&named(own("b", "AgentSkill", "triage")), skill.clone()), (true, 2));
    for other in
        [own("c", "AgentMcpServer", "docs"), own("b", "AgentSkill", "docs"), own("b", "AgentMcpServer", "other")]
    {
        assert_eq!(uses(&named(other.clone()), server.clone()), (false, 0), "{other}");
    }
    assert_eq!(uses(&named(own("b", "AgentMcpServer", "triage")), skill), (false, 0));
    // A tool of a shared server is reviewed like any other.
    let reviewed = self::server(|spec| {
        spec["reviewedTools"] = json!([{"name": "find", "schemaDigest": format!("sha256:{}", "0".repeat(64))}]);
        spec["approvalPolicy"] = json!("allow");
    });
    let world = named(own("b", "AgentMcpServer", "docs")).with(10, [reviewed]);
    let tool = |name: &str| json!([{"type": "tool", "server": "b/docs", "name": name}]);
    assert_eq!((uses(&world, tool("find")), uses(&world, tool("other"))), ((true, 2), (false, 0)));
}
