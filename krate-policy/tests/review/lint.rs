//! What is valid and wrong all the same (P70).

use krate_policy::lint::{Rule, lint};
use krate_policy::snapshot::{Item, Metadata, Snapshot};
use serde_json::{Value, json};

use super::world::{NS, grant, item, named_grant, stack};

/// The world, with a model provider of the stack that needs what is granted to it.
fn snapshot() -> Snapshot {
    let spec = json!({
        "organizationRef": "a", "provider": "anthropic", "authType": "token", "secretRef": {"name": "model", "key": "api-key"},
    });
    let provider = item("AgentProviderConfig", "models", spec, json!({}));
    super::world::snapshot().with(7, [provider, stack(|spec, _| spec["provider"] = json!("models"))])
}

fn found(snapshot: &Snapshot) -> Vec<(String, String, Rule)> {
    let now = "2026-06-01T00:00:00Z".parse().expect("a time");
    lint(snapshot, now).into_iter().map(|it| (it.name, it.field, it.rule)).collect()
}

fn with(items: impl IntoIterator<Item = Item>) -> Vec<(String, String, Rule)> {
    found(&snapshot().with(8, items))
}

fn one(name: &str, field: &str, rule: Rule) -> Vec<(String, String, Rule)> {
    vec![(name.to_owned(), field.to_owned(), rule)]
}

#[test]
fn p70_what_is_in_order_has_no_findings() {
    assert_eq!(found(&snapshot()), []);
}

#[test]
fn p70_grants_that_never_end_give_nothing_or_too_much_are_named() {
    let on = |change: fn(&mut Value)| with([grant(|spec, _| change(spec))]);
    let grant_name = "AgentSecretGrant/model";
    assert_eq!(
        on(|spec| {
            spec.as_object_mut().unwrap().remove("expiresAt");
        }),
        one(grant_name, "spec.expiresAt", Rule::NeverEnds)
    );
    assert_eq!(
        on(|spec| {
            spec.as_object_mut().unwrap().remove("expiresAt");
            spec["maxUses"] = json!(3);
        }),
        []
    );
    assert_eq!(
        on(|spec| spec["expiresAt"] = json!("2026-06-01T00:00:00Z")),
        one(grant_name, "spec.expiresAt", Rule::Ended)
    );
    assert_eq!(
        on(|spec| spec["allowedRepositories"] = json!([])),
        one(grant_name, "spec.allowedRepositories", Rule::MatchesNothing)
    );
    assert_eq!(
        on(|spec| spec["allowedRepositories"] = json!(["gone"])),
        one(grant_name, "spec.allowedRepositories", Rule::Dangling)
    );
    assert_eq!(
        on(|spec| spec["allowedRefs"] = json!({"include": []})),
        one(grant_name, "spec.allowedRefs", Rule::MatchesNothing)
    );
    assert_eq!(
        on(|spec| spec["allowedRefs"] = json!({"include": ["refs/heads/**"]})),
        one(grant_name, "spec.allowedRefs", Rule::TooWide)
    );
    assert_eq!(
        on(|spec| spec["allowedRefs"] = json!({"include": ["refs/heads/x/**", "refs/heads/x/y"]})),
        one(grant_name, "spec.allowedRefs", Rule::Unreachable)
    );
    assert_eq!(
        on(|spec| spec["allowedRefs"] = json!({"include": ["refs/heads/main"], "exclude": ["refs/heads/**"]})),
        one(grant_name, "spec.allowedRefs", Rule::Unreachable)
    );
    assert_eq!(
        on(|spec| spec["allowForkCauses"] = json!(true)),
        one(grant_name, "spec.allowForkCauses", Rule::TooWide)
    );
    assert_eq!(
        on(|spec| spec["secretRef"]["keys"] = json!(["api-key", "typo"])),
        one(grant_name, "spec", Rule::MatchesNothing)
    );
    let elsewhere = with([named_grant("other", |spec, _| spec["secretRef"]["name"] = json!("gone"))]);
    let unneeded = ("AgentSecretGrant/other".to_owned(), "spec.subject".to_owned(), Rule::Unused);
    assert_eq!(elsewhere, [one("AgentSecretGrant/other", "spec", Rule::Dangling), vec![unneeded]].concat());
    // P20: what was granted by its id, and stands under another name, or another one under its name.
    let bound = |status: Value| with([grant(|_, it| it["repositoryUids"] = status)]);
    assert_eq!(bound(json!({"krate": "u-krate"})), []);
    for status in [json!({"krate": "u-before"}), json!({})] {
        assert_eq!(bound(status), one(grant_name, "spec.allowedRepositories", Rule::Dangling));
    }
    let moved = grant(|spec, status| {
        spec["allowedRepositories"] = json!(["old"]);
        status["repositoryUids"] = json!({"old": "u-krate"});
    });
    let now = "2026-06-01T00:00:00Z".parse().expect("a time");
    let told = lint(&snapshot().with(8, [moved]), now);
    assert_eq!(told.len(), 1);
    assert!(told[0].text.starts_with("old is called krate by now"), "{}", told[0].text);
    let again = snapshot().with_secret(8, NS, "model", Metadata { uid: "u-again".into(), keys: None });
    assert_eq!(found(&again), one(grant_name, "spec", Rule::Dangling));
}

#[test]
fn p70_roles_policies_and_exceptions_that_hang_in_the_air_are_named() {
    let role = |name: &str, uid: &str| {
        let spec = json!({
            "organizationRef": "a", "subject": {"kind": "user", "name": name},
            "roleRef": {"kind": "RoleTemplate", "name": "krate-viewer"}, "scope": {"kind": "organization"},
        });
        item("AgentRoleBinding", "role", spec, json!({"phase": "Synced", "subjectUid": uid}))
    };
    assert_eq!(with([role("ada", "u-ada")]), []);
    assert_eq!(with([role("gone", "u-gone")]), one("AgentRoleBinding/role", "spec.subject", Rule::Dangling));
    assert_eq!(with([role("ada", "u-before")]), one("AgentRoleBinding/role", "spec.subject", Rule::Dangling));
    let template = || {
        let spec = json!({"organizationRef": "a", "displayName": "T", "targetKinds": ["Issue"], "engine": "krate", "krate": {"effect": "deny"}});
        item("PolicyTemplate", "t", spec, json!({"phase": "Ready"}))
    };
    let policy = |name: &str, scope: Value| {
        item(
            "PolicyBinding",
            name,
            json!({"organizationRef": "a", "templateRef": "t", "mode": "enforce", "match": scope}),
            json!({}),
        )
    };
    assert_eq!(with([policy("p", json!({}))]), one("PolicyBinding/p", "spec.templateRef", Rule::Dangling));
    assert_eq!(
        with([template(), policy("p", json!({"kinds": ["Review"]}))]),
        one("PolicyBinding/p", "spec.match.kinds", Rule::MatchesNothing)
    );
    assert_eq!(
        with([template(), policy("p", json!({})), policy("q", json!({"repositories": ["krate"]}))]),
        one("PolicyBinding/q", "spec.match", Rule::Unused)
    );
    // What holds somewhere only makes no other one needless.
    for scope in [
        json!({"repositories": ["krate"]}),
        json!({"environments": ["production"]}),
        json!({"runnerPools": ["small"]}),
        json!({"kinds": ["Issue"]}),
        json!({"subjectKinds": ["user"]}),
        json!({"refs": {"include": ["refs/heads/main"]}}),
        json!({"labels": {"matchLabels": {"a": "b"}}}),
        json!({"labels": {"matchExpressions": [{"key": "a", "operator": "Exists"}]}}),
    ] {
        assert_eq!(with([template(), policy("p", scope.clone()), policy("q", json!({}))]), [], "{scope}");
    }
    // Labels that select nothing are no scope.
    let everything = json!({"labels": {"matchLabels": {}}});
    assert_eq!(
        with([template(), policy("p", everything), policy("q", json!({}))]),
        one("PolicyBinding/q", "spec.match", Rule::Unused)
    );
    let exception = |policy: &str, until: &str| {
        let spec = json!({
            "organizationRef": "a", "policyRef": policy, "resourceRef": {"kind": "Repository", "name": "krate"},
            "justification": "The signing service is down today", "expiresAt": until,
        });
        item("PolicyExceptionRequest", "e", spec, json!({"phase": "Applied"}))
    };
    assert_eq!(
        with([exception("gone", "2026-06-02T00:00:00Z")]),
        one("PolicyExceptionRequest/e", "spec.policyRef", Rule::Dangling)
    );
    assert_eq!(
        with([template(), policy("p", json!({})), exception("p", "2026-05-01T00:00:00Z")]),
        one("PolicyExceptionRequest/e", "spec.expiresAt", Rule::Ended)
    );
}

#[test]
fn p70_grants_that_nothing_needs_are_named() {
    let on = |change: fn(&mut Value)| with([grant(|spec, _| change(spec))]);
    let named = |rule| one("AgentSecretGrant/model", "spec.subject", rule);
    assert_eq!(on(|spec| spec["purpose"] = json!("skill")), named(Rule::Unused), "no skill of the stack needs it");
    assert_eq!(on(|spec| spec["purpose"] = json!("tool")), [], "what tools need no stack tells");
    let gone = on(|spec| spec["subject"] = json!({"kind": "mcp-server", "name": "gone"}));
    assert_eq!(gone, named(Rule::Dangling));
    // R16: what a stack is granted is its servers', too.
    let server = |field: &str, keys: Value| {
        let spec = json!({
            "organizationRef": "a", "transport": "streamable-http", "url": "https://docs.example.com", "scope": "organization", field: keys,
        });
        item("AgentMcpServer", "docs", spec, json!({"phase": "Ready"}))
    };
    let with_server = |field: &str, named: bool| {
        let agent = stack(|spec, _| {
            spec["mcpServerRefs"] = if named { json!(["docs"]) } else { json!([]) };
        });
        let keys = if field == "envFrom" {
            json!([{"secretRef": {"name": "model"}}])
        } else {
            json!([{"name": "model", "key": "api-key"}])
        };
        with([agent, server(field, keys), grant(|spec, _| spec["purpose"] = json!("mcp-server"))])
    };
    assert_eq!(with_server("secretRefs", true), []);
    assert_eq!(with_server("envFrom", true), []);
    assert_eq!(with_server("secretRefs", false), named(Rule::Unused), "no stack names the server");
}

#[test]
fn p70_patterns_that_leave_nothing_out_are_named() {
    let refs = |include: Value| with([grant(|spec, _| spec["allowedRefs"] = json!({"include": include}))]);
    let wide = |include: Value| {
        let found = refs(include.clone());
        assert!(found.iter().all(|it| it.2 == Rule::TooWide), "{include}: {found:?}");
        !found.is_empty()
    };
    for everything in ["refs/**", "refs/heads/**", "refs/tags/**", "refs/pull/**", "refs/*/**", "refs/{heads,tags}/**"]
    {
        assert!(wide(json!([everything])), "{everything}");
    }
    for narrow in ["refs/heads/main", "refs/heads/*", "refs/heads/feature/**", "refs/tags/v*", "refs/pull/*/head"] {
        assert!(!wide(json!([narrow])), "{narrow}");
    }
    let rule = |include: &str, exclude: &[&str]| {
        let paths = json!({"include": [include], "exclude": exclude});
        let spec = json!({
            "organizationRef": "a", "lifecycleState": "active", "sources": ["ci"], "agentStack": "repair", "taskKind": "fix",
            "owner": {"kind": "user", "name": "ada", "uid": "u-ada"}, "writeBackPolicy": {"allowedPaths": paths},
        });
        with([item("AgentTriggerRule", "fix", spec, json!({"phase": "Active"}))])
    };
    assert_eq!(rule("**", &[]), one("AgentTriggerRule/fix", "spec.writeBackPolicy.allowedPaths", Rule::TooWide));
    assert_eq!(rule("**", &["**/*.env"]), []);
    assert_eq!(rule("src/**", &[]), []);
}
