//! Laws over many requests and snapshots.

use krate_policy::decision::Outcome;
use krate_policy::reason::Severity;
use krate_policy::request::Request;
use krate_policy::review::{read, review};
use krate_policy::snapshot::{Item, Key};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::world::{NS, document, named_grant, snapshot};

fn words() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!(null)),
        Just(json!([])),
        Just(json!({})),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        Just(json!("refs/heads/main")),
        Just(json!("krate")),
        Just(json!("ada")),
        Just(json!("u-ada")),
        Just(json!("agent")),
    ]
}

/// Every place of a document.
fn places(value: &Value, at: String, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| places(value, format!("{at}/{name}"), found)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, value)| places(value, format!("{at}/{index}"), found));
        }
        _ => {}
    }
    found.push(at);
}

fn changed(changes: &[(prop::sample::Index, Value)]) -> Value {
    let mut changed = document();
    for (index, value) in changes {
        let mut found = Vec::new();
        places(&changed, String::new(), &mut found);
        let place: &String = index.get(&found);
        if let Some(slot) = changed.pointer_mut(place) {
            *slot = value.clone();
        }
    }
    changed
}

fn requests() -> impl Strategy<Value = Option<Request>> {
    proptest::collection::vec((any::<prop::sample::Index>(), words()), 0..3)
        .prop_map(|changes| read(changed(&changes).to_string().as_bytes()).ok())
}

fn grants() -> impl Strategy<Value = Vec<Item>> {
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), 0..3_usize);
    proptest::collection::vec(flags, 0..5).prop_map(|all| {
        let made = all.into_iter().enumerate().map(|(index, (is_revoked, is_wide, is_mine, approval))| {
            named_grant(&format!("g{index}"), |spec, status| {
                spec["revoked"] = json!(is_revoked);
                spec["allowedRefs"] = json!({"include": [if is_wide { "refs/heads/**" } else { "refs/heads/main" }]});
                spec["requiredApproval"] = json!(["never", "on-untrusted-ref", "always"][approval]);
                status["subjectUid"] = json!(if is_mine { "u-repair" } else { "u-other" });
            })
        });
        made.collect()
    })
}

proptest! {
    #[test]
    fn p1_review_is_total_and_the_same_each_time(request in requests()) {
        if let Some(request) = request {
            let snapshot = snapshot();
            let first = review(&request, &snapshot);
            prop_assert_eq!(serde_json::to_string(&first).unwrap(), serde_json::to_string(&review(&request, &snapshot)).unwrap());
            prop_assert!(first.outcome != Outcome::Allowed || first.by.is_some());
            prop_assert!(first.outcome != Outcome::Denied || !first.reasons.is_empty());
        }
    }

    #[test]
    fn p3_the_outcome_is_the_worst_of_needs_and_reasons(grants in grants(), request in requests()) {
        if let Some(request) = request {
            let decision = review(&request, &snapshot().with(8, grants));
            let reasons = decision.reasons.iter().map(|reason| match reason.severity {
                Severity::Hard => Outcome::Denied,
                Severity::Approval => Outcome::RequiresApproval,
                Severity::Warning => Outcome::Allowed,
            });
            let worst = reasons.chain(decision.per_need.iter().map(|need| need.outcome)).max();
            prop_assert_eq!(decision.outcome, worst.unwrap_or(Outcome::Allowed));
        }
    }

    #[test]
    fn p53_p62_removing_a_grant_never_allows_more(grants in grants(), gone in 0..5_usize) {
        let request: Request = serde_json::from_value(document()).unwrap();
        let key = |name: &str| Key { kind: krate_model::Kind::AgentSecretGrant, namespace: NS.into(), name: name.into() };
        let all = snapshot().without(8, &key("model")).with(9, grants);
        let fewer = all.without(10, &key(&format!("g{gone}")));
        prop_assert!(review(&request, &fewer).outcome >= review(&request, &all).outcome);
    }

    #[test]
    fn p48_a_snapshot_changed_step_by_step_answers_as_one_made_at_once(grants in grants()) {
        let request: Request = serde_json::from_value(document()).unwrap();
        let at_once = snapshot().with(9, grants.clone());
        let mut by_steps = snapshot();
        for grant in grants {
            by_steps = by_steps.with(8, [grant.clone()]).with(9, [grant]);
        }
        prop_assert_eq!(review(&request, &by_steps.with(9, [])), review(&request, &at_once));
    }
}
