//! What is looked at when a yes is acted on, and what is recorded of it.

use krate_model::audit::AuditOutcome;
use krate_policy::audit;
use krate_policy::permit::Permit;
use krate_policy::reason::Code;
use krate_policy::request::Request;
use krate_policy::review::review;
use krate_policy::snapshot::{Item, Key, Snapshot};
use serde_json::{Value, json};

use super::world::{NS, answer, asked, asking, codes, item, permission, request, snapshot, user};

fn no(_: &mut Value, status: &mut Value) {
    status["phase"] = json!("Denied");
    status["decisions"][0]["verdict"] = json!("denied");
}

fn presenting() -> Request {
    request(|document| document["approvals"] = json!(["yes"]))
}

#[test]
fn p33_a_no_is_final_for_its_digest_also_where_nobody_presents_it() {
    let asked_again = |items: Vec<Item>| asked(&asking().with(9, items), |_| ());
    let denied = asked_again(vec![answer("first", &asking(), no)]);
    assert_eq!(codes(&denied), ["ApprovalDenied", "ApprovalRequired"]);
    assert_eq!(&*denied.reasons[0].name, "AgentApproval/first", "the first no is named");
    // A yes of somebody else beside it is none, whether that is presented or not.
    let beside = asking().with(9, [answer("first", &asking(), no), answer("yes", &asking(), |_, _| ())]);
    assert_eq!(codes(&review(&presenting(), &beside)), ["ApprovalDenied"]);
    let taken_back = answer("first", &asking(), |spec, status| {
        no(spec, status);
        status["phase"] = json!("Withdrawn");
    });
    assert_eq!(codes(&asked_again(vec![taken_back])), ["ApprovalRequired"], "the denier took it back");
    let of_another_class = answer("first", &asking(), |spec, status| {
        no(spec, status);
        spec["class"] = json!("merge");
    });
    assert_eq!(codes(&asked_again(vec![of_another_class])), ["ApprovalRequired"]);
    let by_an_agent = answer("first", &asking(), |_, status| {
        status["decisions"][0]["verdict"] = json!("denied");
        status["decisions"][0]["by"] = json!({"kind": "agent", "name": "fixer"});
    });
    assert_eq!(codes(&asked_again(vec![by_an_agent])), ["ApprovalRequired"], "who can't answer can't deny either");
    // Another request has another digest.
    let other = asked(&asking().with(9, [answer("first", &asking(), no)]), |document| document["run"] = json!("b"));
    assert_eq!(codes(&other), ["ApprovalRequired"]);
}

#[test]
fn p54_who_presents_none_is_told_which_of_the_runs_do_not_count_and_why() {
    let old = |change: fn(&mut Value, &mut Value)| {
        let world = asking().with(
            9,
            [answer("old", &asking(), |spec, status| {
                spec["digest"] = json!(format!("sha256:{}", "1".repeat(64)));
                change(spec, status);
            })],
        );
        let decision = asked(&world, |document| document["run"] = json!("run"));
        let told: Vec<String> =
            decision.reasons.iter().map(|it| format!("{:?} {} {}", it.severity, it.code, it.name)).collect();
        (format!("{:?}", decision.outcome), told.join(", "))
    };
    let asks = "Approval ApprovalRequired AgentSecretGrant/model";
    let stale = format!("{asks}, Warning ApprovalStale AgentApproval/old");
    assert_eq!(old(|_, _| ()), ("RequiresApproval".to_owned(), stale));
    assert_eq!(old(|spec, _| spec["class"] = json!("merge")).1, asks, "of another class than what is asked for");
    assert_eq!(old(|spec, _| spec["subject"]["name"] = json!("another")).1, asks, "another run's");
    let presented = asked(&asking().with(9, [answer("yes", &asking(), |_, _| ())]), |document| {
        document["approvals"] = json!(["yes"]);
        document["run"] = json!("run");
    });
    assert_eq!(codes(&presented), ["ApprovalStale", "ApprovalRequired"], "one that is presented is a no");
}

#[test]
fn p31_p32_an_approval_counts_still_when_what_it_approves_is_done() {
    let world = asking().with(9, [answer("yes", &asking(), |_, _| ())]);
    let asked = presenting();
    let decision = review(&asked, &world);
    assert_eq!(codes(&decision), [""; 0]);
    assert_eq!(decision.per_need[0].approval.as_deref(), Some("AgentApproval/yes"));
    let mut permit = Permit::new(&asked, decision).expect("a permit");
    let counted = &permit.uses(&asked, asked.now, &world).expect("a use is left")[..];
    let [document] = counted else { panic!("{counted:?}") };
    assert_eq!((&document["status"]["uses"], &document["status"]["phase"]), (&json!(1), &json!("Used")));
    let mut stored = document.clone();
    stored["metadata"]["resourceVersion"] = json!("10");
    let stored = Item::read(krate_model::Kind::AgentApproval, &stored).expect("a kind").expect("an approval");
    let used = world.with(10, [stored]);
    assert_eq!(permit.uses(&asked, asked.now, &used).map_err(|reason| reason.code), Err(Code::ApprovalUsed));
    permit.note_counted();
    let code = |world: &Snapshot| permit.check(&asked, asked.now, world).map_err(|reason| reason.code);
    assert_eq!(code(&used), Ok(()), "its own use is no hindrance");
    let key = Key { kind: krate_model::Kind::RepositoryPermission, namespace: NS.into(), name: "bob-krate".into() };
    assert_eq!(code(&used.without(11, &key)), Err(Code::ApproverNotAllowed), "bob couldn't do it himself any more");
    assert_eq!(code(&used.with(11, [permission("bob", "write")])), Err(Code::ApproverNotAllowed));
    let with = |change: fn(&mut Value, &mut Value)| used.with(11, [answer("yes", &asking(), change)]);
    assert_eq!(code(&with(|_, status| status["phase"] = json!("Withdrawn"))), Err(Code::ApprovalStale));
    assert_eq!(code(&with(|spec, _| spec["expiresAt"] = json!("2026-06-01T00:00:00Z"))), Err(Code::ApprovalExpired));
    assert_eq!(code(&with(no)), Err(Code::ApprovalDenied));
    let denied_beside = used.with(11, [answer("no", &asking(), no)]);
    assert_eq!(code(&denied_beside), Err(Code::ApprovalDenied), "exactly this was denied since (P33)");
    let gone = Key { kind: krate_model::Kind::AgentApproval, namespace: NS.into(), name: "yes".into() };
    assert_eq!(code(&used.without(11, &gone)), Err(Code::StaleDecision));
}

#[test]
fn p62_an_approval_that_is_presented_twice_is_counted_once() {
    let world = asking().with(9, [answer("yes", &asking(), |_, _| ())]);
    let twice = asked(&world, |document| document["approvals"] = json!(["yes", "yes"]));
    assert_eq!((codes(&twice), twice.reservations.len()), (vec![], 1));
    // What nothing asks for isn't used up by who presents it.
    let unasked = snapshot().with(9, [answer("yes", &snapshot(), |_, _| ())]);
    assert_eq!(review(&presenting(), &unasked).reservations, []);
}

#[test]
fn p49_what_has_an_effect_and_what_an_agent_is_refused_is_recorded_without_a_value() {
    let canary = "ghp_000000000000000000000000000000000000";
    let recorded = |world: &Snapshot, change: &dyn Fn(&mut Value)| {
        let asked = request(|document| {
            document["payloadDigest"] = json!(format!("sha256:{}", "1".repeat(64)));
            document["preconditions"] = json!({"note": canary});
            change(document);
        });
        let record = audit::of_review(&asked, &review(&asked, world), world);
        assert!(!format!("{record:?}").contains(canary));
        record
    };
    let yes = recorded(&snapshot(), &|_| ()).expect("a start is an effect");
    assert_eq!((yes.outcome, yes.actor.name.as_str(), &*yes.namespace), (AuditOutcome::Succeeded, "ada", NS));
    assert!(yes.digests.contains_key("request") && yes.digests.contains_key("decision"));
    assert_eq!(yes.cause_chain, ["manual"]);
    let looks = |document: &mut Value| document["action"] = json!({"verb": "get", "kind": "Issue"});
    assert_eq!(recorded(&snapshot(), &looks), None, "who only looks changes nothing");
    let denied = |document: &mut Value| document["ref"] = json!("refs/heads/release/1");
    assert_eq!(recorded(&snapshot(), &denied), None, "a person's no has no effect");
    let by_agent = |document: &mut Value| {
        denied(document);
        document["subject"] = json!({"kind": "agent-stack", "name": "repair", "uid": "u-repair"});
        document["actorChain"] = json!([
            {"kind": "agent-stack", "name": "repair", "uid": "u-repair", "by": "token"}, {"kind": "user", "name": "ada", "uid": "u-ada"},
        ]);
    };
    let no = recorded(&snapshot(), &by_agent).expect("an agent's no is recorded");
    assert_eq!((no.outcome, no.actor.name.as_str()), (AuditOutcome::Denied, "repair"));
    assert_eq!(no.actor.on_behalf_of.map(|person| person.name).as_deref(), Some("ada"));
    assert_eq!(no.reason.as_deref(), Some("GrantScopeMismatch"));
    let elsewhere = |document: &mut Value| {
        by_agent(document);
        document["organization"] = json!("nowhere");
    };
    let platform = recorded(&snapshot(), &elsewhere).expect("so is one that names no organization");
    assert_eq!((platform.organization, &*platform.namespace == NS), (None, false));
}

#[test]
fn p24_p26_who_isnt_trusted_runs_without_an_accounts_token() {
    let identity = |change: &dyn Fn(&mut Value)| asked(&snapshot(), change).runtime_identity;
    assert_eq!(identity(&|_| ()).as_deref(), Some("AgentServiceAccount/agent-repair"));
    let fork = |document: &mut Value| {
        document["needs"] = json!([]);
        document["causeChain"][0]["head"] = json!({"repositoryId": "9", "sha": "abc"});
        document["causeChain"][0]["base"] = json!({"repositoryId": "1"});
    };
    assert_eq!(codes(&asked(&snapshot(), fork)), [""; 0], "it runs, and without");
    assert_eq!(identity(&fork), None);
    let steered = |document: &mut Value| {
        document["causeChain"][0]["steering"] =
            json!([{"role": "bundle-part", "account": {"provider": "gh", "id": "99"}, "association": "NONE"}]);
    };
    assert_eq!(identity(&steered), None);
}

#[test]
fn p6_who_may_not_even_look_is_told_no_name_that_they_did_not_bring() {
    let rule = json!({"effect": "deny", "verbs": ["dispatch"]});
    let template = json!({"organizationRef": "a", "displayName": "T", "targetKinds": ["AgentStack"], "engine": "krate", "krate": rule});
    let world = snapshot().with(
        8,
        [
            user("mallory"),
            item("PolicyTemplate", "hush", template, json!({"phase": "Ready"})),
            item(
                "PolicyBinding",
                "hush",
                json!({"organizationRef": "a", "templateRef": "hush", "mode": "enforce"}),
                json!({"phase": "Applied"}),
            ),
        ],
    );
    let by = |who: &str| {
        asked(&world, |document| {
            document["subject"] = json!({"kind": "user", "name": who, "uid": format!("u-{who}")});
            document["actorChain"] = json!([document["subject"]]);
            document["ref"] = json!("refs/heads/release/1");
        })
    };
    let stranger = by("mallory");
    assert_eq!(codes(&stranger), ["ExplicitDeny", "MissingRole", "GrantScopeMismatch"]);
    let told = serde_json::to_string(&stranger).expect("JSON");
    for name in ["PolicyBinding", "hush", "AgentSecretGrant", "allowedRefs", "RepositoryPermission", "agent-repair"] {
        assert!(!told.contains(name), "{name} in {told}");
    }
    let explained = krate_policy::explain::explain(&request(|_| ()), &stranger);
    assert!(!explained.contains("hush") && !explained.contains("AgentSecretGrant"), "{explained}");
    // Who may look is told, so that they know what to ask for.
    let viewer = world.with(9, [permission("mallory", "read")]);
    let decision = review(
        &request(|document| {
            document["subject"] = json!({"kind": "user", "name": "mallory", "uid": "u-mallory"});
            document["actorChain"] = json!([document["subject"]]);
        }),
        &viewer,
    );
    assert_eq!(&*decision.reasons[0].name, "PolicyBinding/hush");
}
