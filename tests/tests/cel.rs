//! The CEL rules of the definitions against the code, on the same cases (R24).
//!
//! Both are asked; what each refuses is compared as (path, rule). The rules run in kube's own CEL interpreter; the cost limits of an
//! API server are not among what it knows.
#![allow(missing_docs)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use krate_model::Kind;
use krate_model::crd::crd;
use krate_model::kinds::defined::DEFINED;
use krate_model::schema::schema;
use krate_model::validate::{Request, View, Writer, validate};
use kube_cel::Validator;
use serde_json::{Value, json};

type Refusals = BTreeSet<(String, String)>;

fn definition(kind: Kind) -> Value {
    let crd = serde_json::to_value(crd(kind).expect("the kind is defined")).unwrap();
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
}

/// What the rules of the definition refuse: path and rule number, which the message starts with.
fn by_cel(kind: Kind, document: &Value, old: Option<&Value>) -> Refusals {
    let Err(errors) = Validator::new().validate(&definition(kind), document, old) else { return Refusals::new() };
    errors
        .as_slice()
        .iter()
        .map(|error| {
            let rule = error.message.split(':').next().unwrap_or_default();
            let number = rule.strip_prefix('R').is_some_and(|digits| digits.parse::<u32>().is_ok());
            assert!(number, "{kind}: {} did not run: {}", error.rule, error.message);
            (error.field_path.trim_start_matches('.').to_owned(), rule.to_owned())
        })
        .collect()
}

/// What the code refuses, of the rules that the definition has too.
fn by_code(document: &Value, old: Option<&Value>, rules: &[&str]) -> Refusals {
    let request = Request::new(Writer::Controller, "2026-06-01T00:00:00Z".parse().unwrap());
    validate(document, old, &View::partial([]), &request)
        .failures
        .iter()
        .map(|failure| (failure.path.clone(), failure.rule.to_string()))
        .filter(|(_, rule)| rules.contains(&rule.as_str()))
        .collect()
}

/// The least and the full example of every kind.
fn examples(kind: Kind) -> [Value; 2] {
    let file = format!("../krate-model/tests/examples/{}.yaml", kind.info().plural);
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(&file)).expect(&file);
    let documents: Vec<Value> = serde_saphyr::from_multiple(&text).expect(&file);
    documents.try_into().expect(&file)
}

#[test]
fn r24_no_rule_refuses_an_example_or_its_repetition() {
    for defined in DEFINED {
        for example in examples(defined.kind) {
            assert_eq!(by_cel(defined.kind, &example, None), Refusals::new(), "{}", defined.kind);
            assert_eq!(by_cel(defined.kind, &example, Some(&example)), Refusals::new(), "{}", defined.kind);
        }
    }
}

/// Another value of the same shape.
fn other(value: &Value) -> Value {
    match value {
        Value::String(text) if text.starts_with("sha256:") => json!(text.replace('0', "f")),
        Value::String(text) if text.contains("T00:00:00Z") => json!("2026-06-05T00:00:00Z"),
        Value::String(text) => json!(format!("{text}x")),
        Value::Number(number) => json!(number.as_i64().unwrap() + 1),
        Value::Bool(value) => json!(!value),
        Value::Array(items) => json!(items.iter().map(other).collect::<Vec<_>>()),
        Value::Object(members) => {
            json!(members.iter().map(|(name, value)| (name.clone(), other(value))).collect::<BTreeMap<_, _>>())
        }
        Value::Null => json!("x"),
    }
}

#[test]
fn r6_code_and_rules_refuse_every_change_of_an_immutable_field() {
    let mut seen = 0;
    for defined in DEFINED {
        let kind = defined.kind;
        let spec = &schema(kind).unwrap()["properties"]["spec"];
        let all = spec.get("x-krate-immutable") == Some(&json!("all"));
        let [_, full] = examples(kind);
        for (name, property) in spec["properties"].as_object().unwrap() {
            let flag = |name: &str| property.get(name) == Some(&json!(true));
            let immutable = flag("x-krate-immutable") || all && !flag("x-krate-command");
            let Some(value) = full["spec"].get(name) else { continue };
            let mut changed = full.clone();
            changed["spec"][name] = other(value);
            let mut without = full.clone();
            without["spec"].as_object_mut().unwrap().remove(name);
            let required = spec["required"].as_array().is_some_and(|required| required.contains(&json!(name)));
            let mut pairs = vec![(&full, &changed)];
            if !required && property.get("default").is_none() {
                pairs.extend([(&full, &without), (&without, &full)]);
            }
            for (old, new) in pairs {
                let wanted: Refusals =
                    immutable.then(|| (format!("spec.{name}"), "R6".to_owned())).into_iter().collect();
                let only = |found: Refusals| found.into_iter().filter(|(_, rule)| rule == "R6").collect::<Refusals>();
                assert_eq!(only(by_cel(kind, new, Some(old))), wanted, "{kind} spec.{name}: the definition");
                // The code tells the exact place below the field.
                let by_code = by_code(new, Some(old), &["R6"]);
                let at_field = by_code.iter().all(|(path, _)| path.starts_with(&format!("spec.{name}")));
                assert!(at_field && by_code.is_empty() != immutable, "{kind} spec.{name}: the code says {by_code:?}");
                seen += 1;
            }
        }
    }
    assert!(seen > 200, "only {seen} changes were tried");
}

/// A full example with some fields replaced (null removes), and what both have to refuse.
struct Case {
    kind: Kind,
    /// What the example has instead before, where it is changed.
    before: &'static [(&'static str, &'static str)],
    set: &'static [(&'static str, &'static str)],
    update: bool,
    refused: (&'static str, &'static str),
}

const fn case(kind: Kind, set: &'static [(&'static str, &'static str)], refused: (&'static str, &'static str)) -> Case {
    Case { kind, before: &[], set, update: false, refused }
}

const fn update(
    kind: Kind,
    set: &'static [(&'static str, &'static str)],
    refused: (&'static str, &'static str),
) -> Case {
    Case { kind, before: &[], set, update: true, refused }
}

const CASES: &[Case] = &[
    case(Kind::Organization, &[("/spec/slug", "\"b\"")], ("spec.slug", "R30")),
    case(Kind::OrgSharingPolicy, &[("/spec/targetOrg", "\"a\"")], ("spec.targetOrg", "R34")),
    update(Kind::OrgSharingPolicy, &[("/spec/revoked", "false")], ("spec.revoked", "R34")),
    case(Kind::Repository, &[("/spec/backend/mode", "\"managed\"")], ("spec.backend.bindingRef", "R71")),
    case(Kind::Repository, &[("/spec/backend/bindingRef", "null")], ("spec.backend.bindingRef", "R71")),
    case(Kind::SSHKey, &[("/spec/owner", "null")], ("spec.owner", "R71")),
    case(Kind::SSHKey, &[("/spec/repository", "\"krate\"")], ("spec.repository", "R71")),
    update(Kind::SSHKey, &[("/spec/revoked", "false")], ("spec.revoked", "R39")),
    case(Kind::Comment, &[("/spec/position/startLine", "9")], ("spec.position.line", "R49")),
    case(Kind::ExternalBackendProvider, &[("/spec/providerType", "\"custom\"")], ("spec.adapterRef", "R11")),
    case(Kind::ExternalBackendProvider, &[("/spec/adapterRef", "\"acme\"")], ("spec.adapterRef", "R11")),
    case(
        Kind::ExternalBackendProvider,
        &[("/spec/rateLimit/writeFloorPercent", "30")],
        ("spec.rateLimit.reservePercent", "R49"),
    ),
    case(Kind::ExternalBackendSyncPolicy, &[("/spec/retry/baseDelay", "\"11m\"")], ("spec.retry.maxDelay", "R49")),
    case(
        Kind::ExternalBackendSyncPolicy,
        &[("/spec/backfill/interval", "\"720m1s\"")],
        ("spec.backfill.fullResyncInterval", "R49"),
    ),
    case(
        Kind::ExternalBackendSyncPolicy,
        &[("/spec/backfill/overlap", "\"12h\"")],
        ("spec.backfill.fullResyncInterval", "R49"),
    ),
    case(
        Kind::AgentApproval,
        &[("/spec/decide/digest", "\"sha256:0000000000000000000000000000000000000000000000000000000000000002\"")],
        ("spec.decide.digest", "R59"),
    ),
    case(Kind::OrgSharingPolicy, &[("/spec/allowedRefs/0/names", "null")], ("spec.allowedRefs[0].names", "R24")),
    case(Kind::OrgSharingPolicy, &[("/spec/allowedRefs/1/names", "[\"gh\"]")], ("spec.allowedRefs[1].names", "R24")),
    Case {
        kind: Kind::PullRequest,
        before: &[("/spec/state", "\"merged\"")],
        set: &[("/spec/state", "\"open\"")],
        update: true,
        refused: ("spec.state", "R38"),
    },
    case(Kind::RunnerPool, &[("/spec/maxReplicas", "0")], ("spec.maxReplicas", "R15")),
    case(
        Kind::ExternalBackendProvider,
        &[("/spec/capabilities", "{\"issueTracking\": false}")],
        ("spec.capabilities", "R11"),
    ),
    case(Kind::ExternalBackendBinding, &[("/spec/providerRef", "null")], ("spec.providerRef", "R4")),
    case(
        Kind::ExternalBackendBinding,
        &[(
            "/spec/sharedSyncPolicyRef",
            "{\"kind\": \"ExternalBackendSyncPolicy\", \"name\": \"p\", \"organization\": \"b\"}",
        )],
        ("spec.sharedSyncPolicyRef", "R4"),
    ),
    case(Kind::ExternalSyncEvent, &[("/spec/sourceDelivery", "null")], ("spec.sourceDelivery", "R53")),
    case(Kind::ExternalSyncEvent, &[("/spec/sourceBackfill", "\"ess-1\"")], ("spec.sourceBackfill", "R53")),
    case(Kind::ExternalSyncEvent, &[("/spec/sourceIntent", "\"ewi-1\"")], ("spec.sourceIntent", "R53")),
    case(Kind::ExternalSyncConflict, &[("/spec/resolution/value", "null")], ("spec.resolution.value", "R53")),
    case(Kind::ExternalProviderCapabilityManifest, &[("/spec/providerRef", "\"gh\"")], ("spec.providerRef", "R63")),
    case(Kind::ExternalProviderCapabilityManifest, &[("/spec/adapterRef", "null")], ("spec.adapterRef", "R63")),
    case(Kind::AgentTriggerRule, &[("/spec/schedule", "null")], ("spec.schedule", "R18")),
    case(Kind::PolicyExceptionRequest, &[("/spec/actionClass", "null")], ("spec.actionClass", "R60")),
    case(Kind::AgentMcpServer, &[("/spec/url", "null")], ("spec.url", "R61")),
    case(Kind::AgentMcpServer, &[("/spec/command", "\"run\"")], ("spec.command", "R61")),
    case(Kind::AgentSkill, &[("/spec/sourceRef/path", "null")], ("spec.sourceRef.path", "R61")),
    case(Kind::AgentSkill, &[("/spec/sourceRef/repository", "null")], ("spec.sourceRef.repository", "R61")),
    case(
        Kind::AgentSkill,
        &[("/spec/format", "\"package\""), ("/spec/sourceRef/digest", "null")],
        ("spec.sourceRef.digest", "R61"),
    ),
    case(Kind::AgentMemorySource, &[("/spec/repositoryRef", "null")], ("spec.repositoryRef", "R4")),
    case(Kind::PolicyTemplate, &[("/spec/krate", "null")], ("spec.krate", "R61")),
    case(Kind::PolicyTemplate, &[("/spec/cel", "{\"expression\": \"true\"}")], ("spec.cel", "R61")),
    case(Kind::PolicyTemplate, &[("/spec/kyverno", "{\"policy\": {}}")], ("spec.kyverno", "R61")),
];

/// Puts each value in its place; null takes away what is there.
fn replace(document: &mut Value, set: &[(&str, &str)]) {
    for (pointer, value) in set {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let parent = document.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        match serde_json::from_str(value).unwrap() {
            Value::Null => parent.remove(name),
            value => parent.insert(name.to_owned(), value),
        };
    }
}

/// The message of each rule in a schema, and of those below it.
fn messages(schema: &Value, found: &mut BTreeSet<String>) {
    match schema {
        Value::Object(members) => {
            for rule in members.get("x-kubernetes-validations").and_then(Value::as_array).into_iter().flatten() {
                found.extend(rule["message"].as_str().map(str::to_owned));
            }
            members.values().for_each(|member| messages(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| messages(item, found)),
        _ => {}
    }
}

#[test]
fn r24_code_and_rules_refuse_the_same_at_the_same_place() {
    let mut untried: BTreeSet<(Kind, String)> = BTreeSet::new();
    for defined in DEFINED {
        let mut found = BTreeSet::new();
        messages(&definition(defined.kind), &mut found);
        // What may not change, and unions, have tests of their own.
        let own = |text: &String| text.starts_with("R6:") || text.ends_with("has exactly one member");
        untried.extend(found.into_iter().filter(|text| !own(text)).map(|text| (defined.kind, text)));
    }
    let mut differ = Vec::new();
    for Case { kind, before, set, update, refused } in CASES {
        let [_, mut full] = examples(*kind);
        replace(&mut full, before);
        let mut changed = full.clone();
        replace(&mut changed, set);
        let old = update.then_some(&full);
        let wanted = Refusals::from([(refused.0.to_owned(), refused.1.to_owned())]);
        let by_rules = by_cel(*kind, &changed, old);
        // The code also knows who writes, so it may refuse more under the same rule.
        let by_code = by_code(&changed, old, &[refused.1]);
        if by_rules != wanted || !by_code.is_superset(&wanted) {
            differ.push(format!("{kind} {wanted:?}: the definition says {by_rules:?}, the code {by_code:?}"));
        }
        if let Err(errors) = Validator::new().validate(&definition(*kind), &changed, old) {
            untried.retain(|(of, text)| of != kind || errors.as_slice().iter().all(|error| error.message != *text));
        }
    }
    assert!(differ.is_empty(), "{differ:#?}");
    assert!(untried.is_empty(), "rules that no case breaks: {untried:#?}");
}

#[test]
fn r24_a_union_without_a_member_or_with_two_is_refused_by_both() {
    let unions = [
        (Kind::ExternalWriteIntent, "payload", "R52", json!({"updateIssue": {}, "createComment": {"body": "b"}})),
        (Kind::ExternalSyncEvent, "normalized", "R53", json!({"issue": {}, "label": {}})),
    ];
    for (kind, field, rule, two) in unions {
        let [_, full] = examples(kind);
        for members in [json!({}), two] {
            let mut changed = full.clone();
            changed["spec"][field] = members;
            let wanted = Refusals::from([(format!("spec.{field}"), "R24".to_owned())]);
            assert_eq!(by_cel(kind, &changed, None), wanted, "{kind}: {changed}");
            // The code names the member, too: the one that another field asks for, or the one too many.
            let by_code = by_code(&changed, None, &[rule]);
            assert!(by_code.iter().any(|(path, _)| path.starts_with(&format!("spec.{field}."))), "{kind}: {by_code:?}");
        }
    }
}
