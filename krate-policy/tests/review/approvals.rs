//! Step 9: what presented approvals are worth.

use krate_policy::decision::Outcome;
use krate_policy::explain::explain;
use krate_policy::review::review;
use krate_policy::snapshot::Item;
use serde_json::{Value, json};

use super::world::{answer, asked, asking, codes, item, permission, request, snapshot};

/// Bob's approval of what Ada asks for, changed so.
fn approval(change: impl FnOnce(&mut Value, &mut Value)) -> Item {
    answer("yes", &asking(), change)
}

fn presented(change: impl FnOnce(&mut Value, &mut Value)) -> Vec<&'static str> {
    let snapshot = asking().with(9, [approval(change)]);
    codes(&asked(&snapshot, |document| document["approvals"] = json!(["yes"])))
}

#[test]
fn p54_none_presented_asks_and_one_that_counts_lifts_it() {
    let decision = asked(&asking(), |_| ());
    assert_eq!((decision.outcome, codes(&decision)), (Outcome::RequiresApproval, vec!["ApprovalRequired"]));
    assert_eq!(presented(|_, _| ()), [""; 0]);
}

#[test]
fn p28_p55_an_approval_for_anything_else_is_stale() {
    let snapshot = asking().with(9, [approval(|_, _| ())]);
    let with = |field: &str, value: Value| {
        let decision = asked(&snapshot, |document| {
            document["approvals"] = json!(["yes"]);
            document[field] = value;
        });
        (decision.outcome, codes(&decision))
    };
    for (field, value) in [
        ("payloadDigest", json!(format!("sha256:{}", "0".repeat(64)))),
        ("run", json!("another")),
        ("ref", json!("refs/heads/feature/y")),
        ("preconditions", json!({"etag": "2"})),
    ] {
        let (outcome, codes) = with(field, value);
        assert_eq!(outcome, Outcome::Denied, "{field}");
        assert!(codes.contains(&"ApprovalStale"), "{field}");
    }
    assert_eq!(with("now", json!("2026-06-01T06:00:00Z")).0, Outcome::Allowed, "a wait voids nothing");
}

#[test]
fn p29_p30_p31_only_a_person_who_is_no_party_and_could_do_it_approves() {
    let by = |actor: Value| presented(move |_, status| status["decisions"][0]["by"] = actor);
    let has = |codes: Vec<&'static str>, code: &str| codes.contains(&code);
    assert!(has(by(json!({"kind": "agent", "name": "repair"})), "ApproverNotAllowed"));
    assert!(has(
        by(json!({"kind": "user", "name": "bob", "uid": "u-bob", "onBehalfOf": {"kind": "agent", "name": "x"}})),
        "ApproverNotAllowed"
    ));
    assert!(has(by(json!({"kind": "user", "name": "ada", "uid": "u-ada"})), "SelfApproval"));
    assert!(has(by(json!({"kind": "user", "name": "bob", "uid": "u-old"})), "ApproverNotAllowed"));
    let lost = asking().with(9, [approval(|_, _| ()), permission("bob", "write")]);
    assert!(has(codes(&asked(&lost, |document| document["approvals"] = json!(["yes"]))), "ApproverNotAllowed"));
    let other = |spec: &mut Value, _: &mut Value| spec["requestedBy"] = json!({"kind": "controller", "name": "c"});
    assert!(presented(other).is_empty());
    let by_ada = presented(|spec, status| {
        spec["requestedBy"] = json!({"kind": "controller", "name": "c"});
        status["decisions"][0]["by"] = json!({"kind": "user", "name": "ada", "uid": "u-ada"});
    });
    assert!(has(by_ada, "SelfApproval"), "she is in the actor chain, whoever wrote the request down");
}

#[test]
fn p32_p33_used_expired_denied_and_short_approvals_do_not_count() {
    let has = |codes: Vec<&'static str>, code: &str| assert!(codes.contains(&code), "{code}: {codes:?}");
    has(presented(|_, status| status["uses"] = json!(1)), "ApprovalUsed");
    has(presented(|spec, _| spec["expiresAt"] = json!("2026-06-01T00:00:00Z")), "ApprovalExpired");
    has(presented(|_, status| status["decisions"][0]["verdict"] = json!("denied")), "ApprovalDenied");
    has(presented(|_, status| status["phase"] = json!("Withdrawn")), "ApprovalStale");
    has(presented(|spec, _| spec["policy"] = json!({"quorum": 2})), "QuorumNotMet");
}

#[test]
fn p46_an_explanation_says_who_what_and_what_would_help() {
    let request = request(|_| ());
    let text = explain(&request, &review(&request, &snapshot()));
    let said = "ada may dispatch AgentStack: RepositoryPermission/ada-krate allows it.\n- AgentSecretGrant/model gives what is needed\n\
         Trust: maintainer started it, maintainer steers it: causeChain[0].gate is maintainer.\nSteps: 1 shape";
    assert!(text.starts_with(said), "{text}");
    let text = explain(&request, &review(&request, &asking()));
    assert!(text.contains("once a person has agreed") && text.contains("secret-access"), "{text}");
    let looked = "Looked at: AgentSecretGrant/model, AgentServiceAccount/agent-repair, AgentStack/repair, RepositoryPermission/ada-krate, User/ada.";
    assert!(text.contains(looked), "{text}");
    // A stranger's text makes it a stranger's: the explanation says which one.
    let request = super::world::request(|document| {
        document["causeChain"][0]["event"] = json!("label");
        document["causeChain"][0]["steering"] =
            json!([{"role": "author", "account": {"provider": "gh", "id": "99"}, "association": "NONE"}]);
    });
    let text = explain(&request, &review(&request, &snapshot()));
    let trust = "Trust: maintainer started it, external steers it: causeChain[0].steering[0] is external.\n";
    assert!(text.contains(trust), "{text}");
}

#[test]
fn p32_p33_what_an_approval_has_come_to_counts_whoever_said_yes_before() {
    for (phase, code) in [
        ("Used", "ApprovalUsed"),
        ("Denied", "ApprovalDenied"),
        ("Expired", "ApprovalExpired"),
        ("Voided", "ApprovalStale"),
        ("Withdrawn", "ApprovalStale"),
    ] {
        let found = presented(|_, status| status["phase"] = json!(phase));
        assert!(found.contains(&code), "{phase}: {found:?}");
    }
    assert_eq!(presented(|_, status| status["phase"] = json!("Pending")), [""; 0], "its answers count, not the phase");
}

#[test]
fn p30_a_party_is_found_by_name_by_uid_and_by_every_account() {
    let no_party = |spec: &mut Value, _: &mut Value| spec["requestedBy"] = json!({"kind": "controller", "name": "c"});
    assert_eq!(presented(no_party), [""; 0]);
    let approver = |actor: Value| {
        presented(|spec, status| {
            no_party(spec, status);
            status["decisions"][0]["by"] = actor;
        })
    };
    let selfish = |actor: Value| approver(actor).contains(&"SelfApproval");
    // In the actor chain: Ada, by her name, or under another name by her uid.
    assert!(selfish(json!({"kind": "user", "name": "ada", "uid": "u-other"})));
    assert!(selfish(json!({"kind": "user", "name": "bob", "uid": "u-ada"})));
    // By an account of the cause: the gate's is Ada's, provider and id.
    let account = |provider: &str, id: &str| json!({"kind": "user", "name": "bob", "uid": "u-bob", "account": {"provider": provider, "id": id}});
    assert!(selfish(account("gh", "1")));
    assert!(!selfish(account("gl", "1")) && !selfish(account("gh", "2")) && !selfish(account("gl", "2")));
}

#[test]
fn p31_an_approver_is_one_of_those_that_the_profile_names_by_role_or_team() {
    let with = |roles: &[&str], teams: &[&str], members: &[&str]| {
        let organization =
            json!({"displayName": "A", "slug": "a", "namespaceName": "krate-org-a", "policyProfileRef": "strict"});
        let profile = json!({
            "organizationRef": "a", "displayName": "Strict", "mode": "enforce",
            "approvals": [{"class": "secret-access", "approvers": {"roles": roles, "teams": teams}}],
        });
        let team = json!({"organizationRef": "a", "displayName": "Security", "members": members});
        let items = [
            item("Organization", "a", organization, json!({"phase": "Ready"})),
            item("PolicyProfile", "strict", profile, json!({"phase": "Synced"})),
            item("Team", "security", team, json!({"phase": "Ready"})),
        ];
        let asking = asking().with(9, items);
        // The profile isn't what the approval is bound to, so that it can be changed while one waits.
        let snapshot = asking.with(10, [approval(|_, _| ())]);
        codes(&asked(&snapshot, |document| document["approvals"] = json!(["yes"])))
    };
    assert_eq!(with(&[], &[], &[]), [""; 0], "whoever could do it themselves");
    assert_eq!(with(&[], &["security"], &["bob"]), [""; 0]);
    assert!(with(&[], &["security"], &["ada"]).contains(&"ApproverNotAllowed"));
    assert!(with(&["krate-org-admin"], &[], &["bob"]).contains(&"ApproverNotAllowed"));
    assert_eq!(with(&["krate-org-admin"], &["security"], &["bob"]), [""; 0]);
}

#[test]
fn p30_p32_an_approval_cannot_loosen_what_the_profile_asks_of_its_class() {
    let with = |rule: Value, change: fn(&mut Value, &mut Value)| {
        let organization =
            json!({"displayName": "A", "slug": "a", "namespaceName": "krate-org-a", "policyProfileRef": "strict"});
        let mut rule = rule;
        rule["class"] = json!("secret-access");
        let profile = json!({"organizationRef": "a", "displayName": "Strict", "mode": "enforce", "approvals": [rule]});
        let items = [
            item("Organization", "a", organization, json!({"phase": "Ready"})),
            item("PolicyProfile", "strict", profile, json!({"phase": "Synced"})),
        ];
        let snapshot = asking().with(9, items).with(10, [approval(change)]);
        codes(&asked(&snapshot, |document| document["approvals"] = json!(["yes"])))
    };
    let own = |spec: &mut Value, status: &mut Value| {
        spec["policy"] = json!({"separation": false});
        status["decisions"][0]["by"] = json!({"kind": "user", "name": "ada", "uid": "u-ada"});
    };
    assert!(with(json!({}), own).contains(&"SelfApproval"));
    assert!(!with(json!({"separation": false}), own).contains(&"SelfApproval"));
    let used = |spec: &mut Value, status: &mut Value| {
        spec["policy"] = json!({"uses": 5});
        status["uses"] = json!(1);
    };
    assert!(with(json!({}), used).contains(&"ApprovalUsed"));
    assert_eq!(with(json!({"uses": 2}), used), [""; 0]);
}
