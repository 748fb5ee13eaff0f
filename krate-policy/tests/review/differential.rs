//! The engine against the specification read slowly: on generated worlds and requests, and on every one of a small scope.

use std::collections::BTreeSet;

use krate_policy::review::{read, review};
use krate_policy::snapshot::{Metadata, Snapshot};
use serde_json::{Value, json};

use super::reference::{World, reference};
use super::world::{NS, item, user};

/// Decisions that are compared, unless `KRATE_DECISIONS` says otherwise.
const DECISIONS: u64 = 200_000;
/// Requests that are put to each generated world.
const REQUESTS: u64 = 50;

/// Puts a request to both; which outcome it has.
fn compare(world: &World, snapshot: &Snapshot, document: &Value, named: &str) -> usize {
    let asked = read(document.to_string().as_bytes()).expect("a request");
    let decision = review(&asked, snapshot);
    let found: BTreeSet<String> = decision.codes().map(|code| code.as_str().to_owned()).collect();
    let (outcome, codes) = reference(world, document);
    assert_eq!(
        (decision.outcome, &found),
        (outcome, &codes),
        "{named}: the engine, then the reference, on {document:#} in {world:#?}"
    );
    decision.outcome as usize
}

/// A small generator of numbers: what fails is made again from its seed.
struct Draw(u64);

impl Draw {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((bits ^ (bits >> 31)) % u64::try_from(most).expect("it fits")).expect("it fits")
    }

    fn of(&mut self, all: &[Value]) -> Value {
        all[self.below(all.len())].clone()
    }
}

const REFS: [&str; 5] =
    ["refs/heads/main", "refs/heads/Main", "refs/heads/feature/x", "refs/heads/release/1", "refs/pull/7/head"];
const PATTERNS: [&str; 5] =
    ["refs/heads/**", "refs/heads/*", "refs/heads/main", "refs/heads/release/**", "refs/pull/*/head"];

fn world(draw: &mut Draw) -> World {
    let mut world: World = Vec::new();
    for (name, account) in [("ada", "1"), ("bob", "2")] {
        let state = json!(if draw.below(12) == 0 { "suspended" } else { "active" });
        let spec = json!({
            "organizationRef": "a", "displayName": name, "email": format!("{name}@example.com"), "state": state, "admin": draw.below(4) == 0,
        });
        world.push(("User", name.to_owned(), spec, json!({"phase": "Active"})));
        let phase = draw.of(&[json!("Verified"), json!("Verified"), json!("Pending")]);
        let spec = json!({"organizationRef": "a", "user": name, "provider": {"kind": "ExternalBackendProvider", "name": "gh"}, "subject": account});
        world.push(("IdentityMapping", format!("{name}-gh"), spec, json!({"phase": phase})));
        if draw.below(6) > 0 {
            let permission = draw.of(&["read", "triage", "write", "maintain", "maintain", "admin"].map(Value::from));
            let spec = json!({
                "organizationRef": "a", "repository": "krate", "subject": {"kind": "user", "name": name}, "permission": permission, "revoked": draw.below(8) == 0,
            });
            let phase = draw.of(&[json!("Applied"), json!("Applied"), json!("Applied"), json!("Drifted")]);
            world.push((
                "RepositoryPermission",
                format!("{name}-krate"),
                spec,
                json!({"phase": phase, "repositoryUid": "u-krate"}),
            ));
        }
    }
    for index in 0..draw.below(4) {
        let pattern = |draw: &mut Draw| draw.of(&PATTERNS.map(Value::from));
        let mut spec = json!({
            "organizationRef": "a", "subject": {"kind": "agent-stack", "name": "repair"}, "purpose": "model-provider-token",
            "secretRef": {"name": "model", "keys": [draw.of(&[json!("api-key"), json!("api-key"), json!("other")])]},
            "allowedRepositories": draw.of(&[json!(["krate"]), json!(["krate"]), json!(["other"]), json!([])]),
            "allowedTriggerSources": draw.of(&[json!(["manual", "label", "pull-request"]), json!(["manual"]), json!([])]),
            "allowedEnvironments": draw.of(&[json!([]), json!([]), json!(["production"])]),
            "requiredApproval": draw.of(&[json!("never"), json!("on-untrusted-ref"), json!("always")]),
            "mountPolicy": draw.of(&[json!("env"), json!("never-mount-pass-by-reference")]),
            "revoked": draw.below(8) == 0, "allowForkCauses": draw.below(2) == 0,
        });
        if draw.below(9) > 0 {
            let exclude = if draw.below(3) == 0 { json!([pattern(draw)]) } else { json!([]) };
            spec["allowedRefs"] = json!({"include": [pattern(draw), pattern(draw)], "exclude": exclude});
        }
        if draw.below(2) == 0 {
            spec["expiresAt"] =
                draw.of(&[json!("2026-06-01T00:00:00Z"), json!("2026-06-01T00:00:01Z"), json!("2026-12-01T00:00:00Z")]);
        }
        if draw.below(3) == 0 {
            spec["maxUses"] = json!(2);
        }
        let status = json!({
            "phase": draw.of(&[json!("Active"), json!("Active"), json!("Active"), json!("Pending")]), "uses": draw.below(4),
            "subjectUid": draw.of(&[json!("u-repair"), json!("u-repair"), json!("u-before")]), "targetUid": "u-secret",
            "repositoryUids": draw.of(&[
                json!({"krate": "u-krate", "other": "u-other"}), json!({"krate": "u-krate"}), json!({"krate": "u-before", "other": "u-krate"}), json!({}),
            ]),
        });
        world.push(("AgentSecretGrant", format!("g{index}"), spec, status));
    }
    agent(draw, &mut world);
    rule(draw, &mut world);
    for index in 0..draw.below(5).saturating_sub(2) {
        let mut rule =
            json!({"effect": draw.of(&[json!("deny"), json!("require-approval")]), "approvalClass": "run-start"});
        if draw.below(2) == 0 {
            rule["verbs"] = json!([draw.of(&[json!("dispatch"), json!("update"), json!("merge")])]);
        }
        if draw.below(2) == 0 {
            rule["minTrust"] = draw.of(&[json!("contributor"), json!("member"), json!("maintainer")]);
        }
        let kinds = draw.of(&[
            json!(["AgentStack"]),
            json!(["Issue", "PullRequest"]),
            json!(["AgentStack", "Issue", "PullRequest"]),
        ]);
        let spec =
            json!({"organizationRef": "a", "displayName": "T", "targetKinds": kinds, "engine": "krate", "krate": rule});
        world.push(("PolicyTemplate", format!("t{index}"), spec, json!({"phase": "Ready"})));
        let mut scope = json!({});
        if draw.below(2) == 0 {
            scope["refs"] = json!({"include": [draw.of(&PATTERNS.map(Value::from))], "exclude": draw.of(&[json!([]), json!(["refs/heads/main"])])});
        }
        if draw.below(3) == 0 {
            scope["environments"] = json!(["Production"]);
        }
        if draw.below(3) == 0 {
            scope["repositories"] = draw.of(&[json!(["krate"]), json!(["other"])]);
        }
        let spec = json!({
            "organizationRef": "a", "templateRef": draw.of(&[json!(format!("t{index}")), json!(format!("t{index}")), json!("gone")]),
            "mode": draw.of(&[json!("enforce"), json!("enforce"), json!("audit")]), "match": scope, "suspend": draw.below(8) == 0,
        });
        world.push(("PolicyBinding", format!("p{index}"), spec, json!({})));
    }
    world
}

/// The stack `repair` with its account, two subagents and two tool profiles, each of them mostly as it should be.
fn agent(draw: &mut Draw, world: &mut World) {
    let phase = |draw: &mut Draw| json!({"phase": if draw.below(40) == 0 { "Pending" } else { "Ready" }});
    let profile = |draw: &mut Draw| draw.of(&["p", "p", "p", "q", "q", "", "gone"].map(Value::from));
    for name in ["p", "q"] {
        let mut by_tool = json!({});
        if draw.below(6) > 0 {
            by_tool["git"] = draw.of(&[json!("allow"), json!("allow"), json!("prompt"), json!("deny")]);
        }
        let spec = json!({
            "organizationRef": "a", "filesystemPolicy": "none", "nativeTools": {"git": draw.below(6) > 0}, "approvalPolicyByTool": by_tool,
        });
        world.push(("AgentToolProfile", name.to_owned(), spec, phase(draw)));
    }
    for name in ["helper", "second"] {
        let mut spec = json!({"organizationRef": "a", "rolePrompt": "x", "taskKinds": ["x"], "outputContract": {"format": "checklist"}});
        let named = profile(draw);
        if named != "" {
            spec["toolProfileRef"] = named;
        }
        world.push(("AgentSubagent", name.to_owned(), spec, phase(draw)));
    }
    let refs = [
        json!(["helper", "second"]),
        json!(["helper", "second"]),
        json!(["helper", "second"]),
        json!(["helper", "second"]),
        json!(["helper"]),
        json!([]),
        json!(["helper", "gone"]),
    ];
    let secrets = json!({
        "allowOnForks": draw.below(2) == 0, "allowedSecretRefs": draw.of(&[json!([]), json!([]), json!([]), json!(["model"]), json!(["other"])]),
    });
    let mut spec = json!({
        "organizationRef": "a", "baseAgent": "claude-code", "adapter": "local", "runtimeIdentity": {"serviceAccountRef": "agent-repair"},
        "subagentRefs": draw.of(&refs), "secretPolicy": secrets,
    });
    let named = profile(draw);
    if named != "" {
        spec["toolProfileRef"] = named;
    }
    if draw.below(30) > 0 {
        world.push(("AgentStack", "repair".to_owned(), spec, phase(draw)));
    }
    if draw.below(30) > 0 {
        let spec = json!({"organizationRef": "a", "namespace": NS, "serviceAccountName": "agent-repair"});
        world.push(("AgentServiceAccount", "agent-repair".to_owned(), spec, phase(draw)));
    }
}

/// The rule `fix`, mostly in force for ada and the stack, with what it asks of who is behind a cause.
fn rule(draw: &mut Draw, world: &mut World) {
    let mostly = |draw: &mut Draw, usual: &str, other: &str| json!(if draw.below(20) == 0 { other } else { usual });
    let names = |draw: &mut Draw| {
        draw.of(&[json!(["ada"]), json!(["*"]), json!(["Ada"]), json!(["ext:1"]), json!(["ext:99", "bob"])])
    };
    let some = |draw: &mut Draw| if draw.below(2) == 0 { names(draw) } else { json!([]) };
    let word =
        |draw: &mut Draw| draw.of(&["any", "any", "any", "any", "any", "never", "only", "later"].map(Value::from));
    let levels = ["external", "external", "external", "first-time", "contributor", "member", "maintainer"];
    let actors = json!({
        "minLevel": draw.of(&levels.map(Value::from)), "include": some(draw), "exclude": some(draw), "automation": word(draw),
    });
    let spec = json!({
        "organizationRef": "a", "lifecycleState": mostly(draw, "active", "paused"), "sources": ["pull-request"], "taskKind": "fix",
        "agentStack": mostly(draw, "repair", "other"), "owner": {"kind": "user", "name": mostly(draw, "ada", "bob")},
        "match": {"fork": word(draw), "actors": actors},
    });
    if draw.below(20) > 0 {
        world.push(("AgentTriggerRule", "fix".to_owned(), spec, json!({"phase": mostly(draw, "Active", "Blocked")})));
    }
}

/// Links that act for a person, newest first: none, the stack, or subagents inside of it.
fn links(draw: &mut Draw) -> Vec<Value> {
    let link = |draw: &mut Draw, kind: &str, name: &str| {
        let uid = if draw.below(40) == 0 { "u-before".to_owned() } else { format!("u-{name}") };
        let by = ["delegation", "token", "rule"][draw.below(40).saturating_sub(37)];
        json!({"kind": kind, "name": name, "uid": uid, "by": by})
    };
    let mut links = Vec::new();
    if draw.below(2) == 0 {
        for name in ["second", "helper"] {
            if draw.below(3) == 0 {
                links.push(link(draw, "subagent", name));
            }
        }
        links.push(link(draw, "agent-stack", "repair"));
        if draw.below(2) == 0 {
            links.last_mut().expect("one").as_object_mut().expect("a link").insert("by".to_owned(), json!("rule"));
        }
    }
    links
}

fn request(draw: &mut Draw) -> Value {
    let account = |draw: &mut Draw| {
        let mut actor = json!({"role": "author", "association": draw.of(&["OWNER", "MEMBER", "CONTRIBUTOR", "FIRST_TIMER", "NONE", "WHAT"].map(Value::from))});
        if draw.below(8) > 0 {
            actor["account"] =
                json!({"provider": "gh", "id": draw.of(&[json!("1"), json!("1"), json!("2"), json!("99")])});
        }
        actor
    };
    let event = draw.of(&[json!("manual"), json!("manual"), json!("label"), json!("pull-request")]);
    let mut cause =
        json!({"event": event, "at": "2026-06-01T00:00:00Z", "verified": draw.below(8) > 0, "gate": account(draw)});
    if draw.below(2) == 0 {
        cause["steering"] = json!([account(draw)]);
    }
    if cause["event"] == "pull-request" && draw.below(12) > 0 {
        cause["base"] = json!({"repositoryId": "1"});
        cause["head"] = draw.of(&[
            json!({"sha": "c", "repositoryId": "1"}),
            json!({"sha": "c", "repositoryId": "7"}),
            json!({"sha": "c"}),
        ]);
    }
    let (name, uid) = [("ada", "u-ada"), ("bob", "u-bob"), ("ada", "u-before"), ("mallory", "u-mallory")]
        [[0, 0, 0, 1, 1, draw.below(4)][draw.below(6)]];
    let subject = json!({"kind": "user", "name": name, "uid": uid});
    let mut chain = links(draw);
    chain.push(subject);
    let by_rule = chain.iter().any(|link| link["by"] == "rule");
    if by_rule && draw.below(20) > 0 || draw.below(20) == 0 {
        cause["rule"] = json!("fix");
    }
    let first = json!({"kind": chain[0]["kind"], "name": chain[0]["name"], "uid": chain[0]["uid"]});
    let mut request = json!({
        "organization": "a", "now": "2026-06-01T00:00:00Z", "subject": first, "actorChain": chain, "causeChain": [cause],
        "action": draw.of(&[
            json!({"verb": "dispatch", "kind": "AgentStack"}), json!({"verb": "dispatch", "kind": "AgentStack"}), json!({"verb": "update", "kind": "Issue"}),
            json!({"verb": "merge", "kind": "PullRequest"}), json!({"verb": "get", "kind": "Issue"}),
        ]),
        "triggerSource": cause["event"],
    });
    // Who starts something mostly looked whether the cause still holds.
    for (name, usual, others) in
        [("headSha", json!("c"), [json!("d"), json!(7)]), ("causePresent", json!(true), [json!(false), json!("yes")])]
    {
        match draw.below(12) {
            0 => {}
            1 => request["preconditions"][name] = draw.of(&others),
            _ => request["preconditions"][name] = usual,
        }
    }
    if draw.below(16) > 0 {
        request["repository"] =
            json!({"name": "krate", "uid": if draw.below(16) == 0 { "u-before" } else { "u-krate" }});
    }
    if draw.below(5) > 0 {
        request["ref"] = draw.of(&REFS.map(Value::from));
    }
    if draw.below(4) == 0 {
        request["environment"] = draw.of(&[json!("production"), json!("staging")]);
    }
    if draw.below(4) > 0 {
        let key = if draw.below(6) == 0 { "other" } else { "api-key" };
        request["needs"] = json!([{
            "type": "secret", "user": {"kind": "agent-stack", "name": "repair", "uid": "u-repair"}, "name": "model", "key": key,
            "purpose": "model-provider-token",
        }]);
    }
    if draw.below(4) == 0 {
        let needs = request["needs"].as_array().cloned().unwrap_or_default();
        request["needs"] = json!([&needs[..], &[json!({"type": "tool", "name": "git"})]].concat());
    }
    // A person may name the stack that is set to work.
    if chain.len() == 1 && draw.below(3) == 0 {
        request["agentStack"] = json!({"name": "repair", "uid": "u-repair"});
    }
    request
}

fn snapshot(world: &World) -> Snapshot {
    let org = item(
        "Organization",
        "a",
        json!({"displayName": "A", "slug": "a", "namespaceName": NS}),
        json!({"phase": "Ready"}),
    );
    let repository = item(
        "Repository",
        "krate",
        json!({"organizationRef": "a", "visibility": "private", "defaultBranch": "main"}),
        json!({"phase": "Ready"}),
    );
    let keys = Some(["api-key".into(), "other".into()].into());
    let items = world.iter().map(|(kind, name, spec, status)| item(kind, name, spec.clone(), status.clone()));
    Snapshot::new(0).with(7, [org, repository, user("nobody")].into_iter().chain(items)).with_secret(
        7,
        NS,
        "model",
        Metadata { uid: "u-secret".into(), keys },
    )
}

#[test]
fn p1_the_engine_says_what_the_specification_says() {
    let all = std::env::var("KRATE_DECISIONS").ok().and_then(|text| text.parse().ok()).unwrap_or(DECISIONS);
    let first: u64 = std::env::var("KRATE_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut outcomes = [0_u64; 3];
    for seed in first..first + all.div_ceil(REQUESTS) {
        let mut draw = Draw(seed.wrapping_mul(0x2545_f491_4f6c_dd1d));
        let world = world(&mut draw);
        let snapshot = snapshot(&world);
        for _ in 0..REQUESTS {
            outcomes[compare(&world, &snapshot, &request(&mut draw), &format!("KRATE_SEED={seed}"))] += 1;
        }
    }
    println!("allowed, to be approved, denied: {outcomes:?}");
    assert!(outcomes.iter().all(|count| *count > all / 1000), "all outcomes are met: {outcomes:?}");
}

/// Every request of a small alphabet in every world of another one.
#[test]
fn p1_p62_the_engine_says_what_the_specification_says_of_every_case_in_a_small_scope() {
    let permissions = ["", "read", "triage", "write", "maintain", "admin"];
    let policies = [
        json!(null),
        json!({"mode": "enforce", "krate": {"effect": "deny"}}),
        json!({"mode": "audit", "krate": {"effect": "deny"}}),
        json!({"mode": "enforce", "krate": {"effect": "require-approval", "approvalClass": "run-start"}}),
        json!({"mode": "enforce", "krate": {"effect": "deny", "minTrust": "member"}}),
    ];
    let mut decisions = 0_u64;
    for (permission, policy) in permissions.iter().flat_map(|one| policies.iter().map(move |other| (one, other))) {
        for (approval, mount) in ["never", "on-untrusted-ref", "always"]
            .iter()
            .flat_map(|one| ["env", "never-mount-pass-by-reference"].iter().map(move |other| (one, other)))
        {
            let world = small_world(permission, policy, approval, mount);
            let snapshot = snapshot(&world);
            for request in small_requests() {
                compare(&world, &snapshot, &request, "small scope");
                decisions += 1;
            }
        }
    }
    println!("{decisions} decisions");
    assert_eq!(decisions, 6 * 5 * 6 * 864);
}

fn small_world(permission: &str, policy: &Value, approval: &str, mount: &str) -> World {
    let person = json!({"organizationRef": "a", "displayName": "Ada", "email": "ada@example.com"});
    let account = json!({"organizationRef": "a", "user": "ada", "provider": {"kind": "ExternalBackendProvider", "name": "gh"}, "subject": "1"});
    let grant = json!({
        "organizationRef": "a", "subject": {"kind": "agent-stack", "name": "repair"}, "purpose": "model-provider-token",
        "secretRef": {"name": "model", "keys": ["api-key"]}, "allowedRepositories": ["krate"],
        "allowedRefs": {"include": ["refs/heads/**"], "exclude": ["refs/heads/release/**"]},
        "allowedTriggerSources": ["manual", "label", "pull-request"], "requiredApproval": approval, "mountPolicy": mount,
    });
    let status = json!({
        "phase": "Active", "subjectUid": "u-repair", "targetUid": "u-secret", "repositoryUids": {"krate": "u-krate"},
    });
    let mut world: World = vec![
        ("User", "ada".to_owned(), person, json!({"phase": "Active"})),
        ("IdentityMapping", "ada-gh".to_owned(), account, json!({"phase": "Verified"})),
        ("AgentSecretGrant", "g".to_owned(), grant, status),
    ];
    if !permission.is_empty() {
        let spec = json!({"organizationRef": "a", "repository": "krate", "subject": {"kind": "user", "name": "ada"}, "permission": permission});
        world.push((
            "RepositoryPermission",
            "ada-krate".to_owned(),
            spec,
            json!({"phase": "Applied", "repositoryUid": "u-krate"}),
        ));
    }
    if !policy.is_null() {
        let spec = json!({"organizationRef": "a", "displayName": "T", "targetKinds": ["AgentStack"], "engine": "krate", "krate": policy["krate"]});
        world.push(("PolicyTemplate", "t".to_owned(), spec, json!({"phase": "Ready"})));
        let spec = json!({"organizationRef": "a", "templateRef": "t", "mode": policy["mode"]});
        world.push(("PolicyBinding", "p".to_owned(), spec, json!({})));
    }
    world
}

fn small_requests() -> Vec<Value> {
    let mut all = Vec::new();
    let ada = json!({"kind": "user", "name": "ada", "uid": "u-ada"});
    let actor = |account: &str, association: &str| {
        let mut actor = json!({"role": "author", "association": association});
        if !account.is_empty() {
            actor["account"] = json!({"provider": "gh", "id": account});
        }
        actor
    };
    let heads = [
        json!(null),
        json!({"sha": "c", "repositoryId": "1"}),
        json!({"sha": "c", "repositoryId": "7"}),
        json!({"sha": "c"}),
    ];
    for bits in 0..864 {
        let mut left = bits;
        let mut choice = |of: usize| {
            let found = left % of;
            left /= of;
            found
        };
        let (verb, kind) = [("dispatch", "AgentStack"), ("update", "Issue"), ("get", "Issue")][choice(3)];
        let account = ["1", "99", ""][choice(3)];
        let association = ["MEMBER", "NONE"][choice(2)];
        let is_verified = choice(2) == 0;
        let is_steered = choice(2) == 0;
        let git_ref = ["refs/heads/main", "refs/heads/Release/1"][choice(2)];
        // Manual, label, or a pull request with one of four heads.
        let event = choice(6);
        let source = ["manual", "label", "pull-request"][event.min(2)];
        let mut cause = json!({
            "event": source, "at": "2026-06-01T00:00:00Z", "verified": is_verified,
            "gate": actor(account, association),
        });
        if is_steered {
            cause["steering"] = json!([actor("99", "NONE")]);
        }
        if event >= 2 && !heads[event - 2].is_null() {
            cause["base"] = json!({"repositoryId": "1"});
            cause["head"] = heads[event - 2].clone();
        }
        all.push(json!({
            "organization": "a", "now": "2026-06-01T00:00:00Z", "subject": ada, "actorChain": [ada], "causeChain": [cause],
            "action": {"verb": verb, "kind": kind}, "repository": {"name": "krate", "uid": "u-krate"}, "ref": git_ref,
            "triggerSource": cause["event"], "preconditions": {"headSha": "c", "causePresent": true},
            "needs": [{
                "type": "secret", "user": {"kind": "agent-stack", "name": "repair", "uid": "u-repair"}, "name": "model", "key": "api-key",
                "purpose": "model-provider-token",
            }],
        }));
    }
    all
}
