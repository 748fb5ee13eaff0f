//! Step 7 and the approvals of secrets.

use krate_model::Kind;
use krate_policy::decision::Outcome;
use krate_policy::snapshot::{Item, Key};
use serde_json::{Value, json};

use super::world::{NS, asked, codes, grant, is_grant, item, named_grant, snapshot};

/// The code of the review with the grant changed so.
fn with_grant(change: impl FnOnce(&mut Value, &mut Value)) -> Vec<&'static str> {
    codes(&asked(&snapshot().with(8, [grant(change)]), |_| ()))
}

#[test]
fn p19_each_check_of_a_grant_has_its_code() {
    assert_eq!(with_grant(|_, _| ()), [""; 0]);
    assert_eq!(with_grant(|spec, _| spec["secretRef"]["keys"] = json!(["other"])), ["GrantScopeMismatch"]);
    assert_eq!(with_grant(|spec, _| spec["purpose"] = json!("tool")), ["GrantScopeMismatch"]);
    assert_eq!(with_grant(|spec, _| spec["allowedRepositories"] = json!(["krate-fork"])), ["GrantScopeMismatch"]);
    for nothing in ["/allowedRepositories", "/secretRef/keys", "/allowedRefs/include"] {
        let found = with_grant(|spec, _| *spec.pointer_mut(nothing).expect("a list") = json!([]));
        assert_eq!(found, ["MissingSecretGrant"], "{nothing}: what fits nothing is no candidate");
    }
    assert_eq!(with_grant(|spec, _| spec["allowedRefs"] = Value::Null), ["GrantScopeMismatch"]);
    assert_eq!(
        with_grant(|spec, _| spec["allowedRefs"] = json!({"include": ["refs/heads/*"]})),
        ["GrantScopeMismatch"]
    );
    assert_eq!(with_grant(|spec, _| spec["allowedEnvironments"] = json!(["production"])), ["GrantScopeMismatch"]);
    assert_eq!(with_grant(|spec, _| spec["allowedTriggerSources"] = json!([])), ["GrantScopeMismatch"]);
    assert_eq!(with_grant(|_, status| status["phase"] = json!("Pending")), ["GrantNotReady"]);
    assert_eq!(with_grant(|spec, _| spec["revoked"] = json!(true)), ["GrantRevoked"]);
    assert_eq!(with_grant(|spec, _| spec["notBefore"] = json!("2026-06-02T00:00:00Z")), ["GrantNotReady"]);
    assert_eq!(with_grant(|spec, _| spec["expiresAt"] = json!("2026-06-01T00:00:00Z")), ["GrantExpired"]);
    let exhausted = |spec: &mut Value, status: &mut Value| {
        spec["maxUses"] = json!(2);
        status["uses"] = json!(2);
    };
    assert_eq!(with_grant(exhausted), ["GrantExhausted"]);
}

#[test]
fn p20_a_stack_or_secret_made_again_inherits_nothing() {
    assert_eq!(with_grant(|_, status| status["subjectUid"] = json!("u-old")), ["GrantScopeMismatch"]);
    assert_eq!(with_grant(|_, status| status["targetUid"] = json!("u-old")), ["GrantScopeMismatch"]);
    assert_eq!(with_grant(|_, status| status["subjectUid"] = Value::Null), ["GrantNotReady"]);
}

#[test]
fn p19_p20_a_repository_is_granted_by_its_id() {
    let uids = |uids: Value| with_grant(|_, status| status["repositoryUids"] = uids);
    assert_eq!(uids(json!({"krate": "u-krate", "other": "u-other"})), [""; 0]);
    assert_eq!(uids(json!({"krate": "u-old"})), ["GrantScopeMismatch"], "35c: another one under the old name");
    assert_eq!(uids(json!({"other": "u-krate"})), ["GrantNotReady"], "of a name that isn't listed nothing is known");
    assert_eq!(uids(json!({})), ["GrantNotReady"], "nobody took the uid down yet");
    let text = |uids: Value| {
        let world = snapshot().with(8, [grant(|_, status| status["repositoryUids"] = uids)]);
        asked(&world, |_| ()).reasons[0].text.to_string()
    };
    assert!(text(json!({"krate": "u-old"})).ends_with("but for its repository.uid"));
    assert!(text(json!({})).ends_with("but for its status.repositoryUids"));
    // The lists come before what is pending.
    let elsewhere = with_grant(|spec, status| {
        status["repositoryUids"] = json!({});
        spec["allowedTriggerSources"] = json!(["push"]);
    });
    assert_eq!(elsewhere, ["GrantScopeMismatch"]);
    // 36: it is called otherwise by now, and is the same.
    let spec = json!({"organizationRef": "a", "visibility": "private", "defaultBranch": "main"});
    let mut renamed = item("Repository", "renamed", spec, json!({"phase": "Ready"})).document();
    renamed["metadata"]["uid"] = json!("u-krate");
    let old = Key { kind: Kind::Repository, namespace: NS.into(), name: "krate".into() };
    let world = snapshot().without(8, &old).with(9, [Item::read(Kind::Repository, &renamed).unwrap().unwrap()]);
    let decision = asked(&world, |document| document["repository"]["name"] = json!("renamed"));
    assert_eq!((decision.outcome, codes(&decision)), (Outcome::Allowed, vec![]));
}

#[test]
fn p66_an_exclude_list_also_matches_other_spellings() {
    for git_ref in ["refs/heads/release/1", "refs/heads/Release/1"] {
        assert_eq!(
            codes(&asked(&snapshot(), |document| document["ref"] = json!(git_ref))),
            ["GrantScopeMismatch"],
            "{git_ref}"
        );
    }
}

#[test]
fn p22_a_counted_use_is_reserved() {
    let counted = snapshot().with(8, [grant(|spec, _| spec["maxUses"] = json!(1))]);
    let decision = asked(&counted, |_| ());
    assert!(decision.is_allowed());
    assert_eq!((&*decision.reservations[0].grant, decision.reservations[0].uses), ("AgentSecretGrant/model", 0));
}

#[test]
fn p67_the_target_is_there_with_its_keys() {
    use krate_policy::snapshot::Metadata;
    let with = |keys| snapshot().with_secret(8, NS, "model", Metadata { uid: "u-secret".into(), keys });
    assert_eq!(codes(&asked(&with(None), |_| ())), ["MetadataUnavailable"]);
    assert_eq!(codes(&asked(&with(Some([].into())), |_| ())), ["SecretKeyMissing"]);
}

#[test]
fn p53_of_two_grants_the_better_outcome_counts() {
    let two = snapshot().with(8, [named_grant("also", |spec, _| spec["requiredApproval"] = json!("always"))]);
    let decision = asked(&two, |_| ());
    assert!(decision.is_allowed());
    assert_eq!(decision.per_need[0].by.as_deref(), Some("AgentSecretGrant/model"));
}

#[test]
fn p19_the_least_grant_that_would_help_helps() {
    let key = Key { kind: krate_model::Kind::AgentSecretGrant, namespace: NS.into(), name: "model".into() };
    let decision = asked(&snapshot().without(8, &key), |_| ());
    assert_eq!(codes(&decision), ["MissingSecretGrant"]);
    let least = &decision.missing_grants[0].suggested;
    assert!(least.contains("allowedRefs:\n    include: [\"refs/heads/feature/x\"]"), "{least}");
}

fn stranger(document: &mut Value) {
    let mut issue = document["causeChain"][0].clone();
    issue["event"] = json!("label");
    issue["steering"] = json!([{"role": "author", "account": {"provider": "gh", "id": "99"}, "association": "NONE"}]);
    document["causeChain"] = json!([issue]);
}

#[test]
fn p23_p34_a_label_by_a_maintainer_is_no_trust_in_a_strangers_text() {
    let decision = asked(&snapshot(), stranger);
    assert_eq!((decision.outcome, codes(&decision)), (Outcome::RequiresApproval, vec!["ApprovalRequired"]));
    assert_eq!(decision.trust.as_ref().unwrap().steering.as_str(), "external");
    assert_eq!(&*decision.required_approvals[0].class, "secret-access");
    let never = |mount: &str| {
        let mount = json!(mount);
        snapshot().with(
            8,
            [grant(|spec, _| {
                spec["requiredApproval"] = json!("never");
                spec["mountPolicy"] = mount;
            })],
        )
    };
    assert!(asked(&never("never-mount-pass-by-reference"), stranger).is_allowed(), "by reference only");
    assert_eq!(asked(&never("env"), stranger).outcome, Outcome::RequiresApproval);
}

#[test]
fn p24_a_fork_gets_no_secret() {
    let fork = |document: &mut Value| {
        document["causeChain"][0]["head"] = json!({"repositoryId": "9", "sha": "abc"});
        document["causeChain"][0]["base"] = json!({"repositoryId": "1"});
    };
    assert_eq!(codes(&asked(&snapshot(), fork)), ["UntrustedCause"]);
    let gone = |document: &mut Value| {
        fork(document);
        document["causeChain"][0]["head"] = json!({"sha": "abc"});
    };
    assert_eq!(codes(&asked(&snapshot(), gone)), ["UntrustedCause"]);
    let named = snapshot().with(8, [grant(|spec, _| spec["allowForkCauses"] = json!(true))]);
    assert_eq!(codes(&asked(&named, fork)), ["UntrustedCause"], "what the stack says is not known");
    assert!(is_grant(&grant(|_, _| ())).is_some_and(|grant| !grant.spec.allow_fork_causes));
}

#[test]
fn p19_a_configuration_needs_a_grant_of_its_own() {
    use krate_policy::snapshot::Metadata;
    let ask = |document: &mut Value| {
        document["needs"][0]["type"] = json!("config");
        document["needs"][0]["purpose"] = json!("prompt-template");
    };
    assert_eq!(codes(&asked(&snapshot(), ask)), ["MissingConfigGrant"], "a grant of the Secret of that name is none");
    let (mut spec, status) = super::world::grant_parts();
    spec["configMapRef"] = spec["secretRef"].take();
    spec["purpose"] = json!("prompt-template");
    let config = super::world::item("AgentConfigGrant", "prompts", spec, status);
    let keys = Some(["api-key".into()].into());
    let snapshot =
        snapshot().with(8, [config]).with_config_map(8, NS, "model", Metadata { uid: "u-secret".into(), keys });
    assert!(asked(&snapshot, ask).is_allowed());
}

#[test]
fn p11_needs_of_what_snapshots_do_not_hold_are_denied() {
    for (need, code) in [
        (json!({"type": "tool", "name": "shell"}), "ToolDenied"),
        (json!({"type": "mcp-server", "name": "x"}), "McpServerNotReady"),
        (json!({"type": "skill", "name": "x"}), "SkillDenied"),
        (json!({"type": "host", "host": "example.com"}), "NetworkDenied"),
        (json!({"type": "path", "path": "src/lib.rs"}), "PathDenied"),
        (json!({"type": "pool", "name": "x"}), "PoolDenied"),
        (json!({"type": "memory", "source": "x", "path": "a"}), "MemoryScopeDenied"),
        (json!({"type": "target", "action": "branch-push"}), "TargetDenied"),
    ] {
        assert_eq!(codes(&asked(&snapshot(), |document| document["needs"] = json!([need]))), [code]);
    }
}

#[test]
fn p19_a_grant_begins_with_the_second_that_it_names() {
    assert_eq!(with_grant(|spec, _| spec["notBefore"] = json!("2026-06-01T00:00:00Z")), [""; 0]);
    assert_eq!(with_grant(|spec, _| spec["notBefore"] = json!("2026-06-01T00:00:01Z")), ["GrantNotReady"]);
}

#[test]
fn p67_keys_that_nobody_lists_are_a_no_unless_the_organization_admits_it() {
    use super::world::item;
    use krate_policy::snapshot::Metadata;
    let profile = |namespaces: Value| {
        let spec = json!({"organizationRef": "a", "displayName": "P", "mode": "enforce", "metadataBlindNamespaces": namespaces});
        let organization = json!({"displayName": "A", "slug": "a", "namespaceName": NS, "policyProfileRef": "p"});
        [
            item("PolicyProfile", "p", spec, json!({"phase": "Synced"})),
            item("Organization", "a", organization, json!({"phase": "Ready"})),
        ]
    };
    let unlisted = snapshot().with_secret(8, NS, "model", Metadata { uid: "u-secret".into(), keys: None });
    assert_eq!(codes(&asked(&unlisted, |_| ())), ["MetadataUnavailable"]);
    assert_eq!(codes(&asked(&unlisted.with(9, profile(json!(["elsewhere"]))), |_| ())), ["MetadataUnavailable"]);
    assert_eq!(codes(&asked(&unlisted.with(9, profile(json!([NS]))), |_| ())), [""; 0]);
    // A key that is known not to be there stays a no, and so does another Secret under the name.
    let listed = |uid: &str| {
        let metadata = Metadata { uid: uid.into(), keys: Some(["other".into()].into()) };
        snapshot().with(8, profile(json!([NS]))).with_secret(9, NS, "model", metadata)
    };
    assert_eq!(codes(&asked(&listed("u-secret"), |_| ())), ["SecretKeyMissing"]);
    assert_eq!(codes(&asked(&listed("u-other"), |_| ())), ["GrantScopeMismatch"]);
}
