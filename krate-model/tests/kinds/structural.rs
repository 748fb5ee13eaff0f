//! Every schema against the rules of structural schemas, offline (R25, R68, R69).

use std::collections::BTreeSet;

use krate_model::crd::crds;
use serde_json::Value;

/// Calls `look` for every schema node of every definition, with the way to it.
fn for_every_node(mut look: impl FnMut(&str, &Value)) {
    for crd in crds() {
        let crd = serde_json::to_value(&crd).unwrap();
        let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        walk(schema, crd["spec"]["names"]["kind"].as_str().unwrap(), &mut look);
    }
}

fn walk(node: &Value, path: &str, look: &mut impl FnMut(&str, &Value)) {
    look(path, node);
    for (name, property) in node["properties"].as_object().into_iter().flatten() {
        walk(property, &format!("{path}.{name}"), look);
    }
    for (child, mark) in [("items", "[]"), ("additionalProperties", "{}")] {
        if let Some(child) = node.get(child) {
            walk(child, &format!("{path}{mark}"), look);
        }
    }
}

fn flag(node: &Value, name: &str) -> bool {
    node.get(name) == Some(&Value::Bool(true))
}

#[test]
fn r25_every_node_has_a_type_and_nothing_that_a_structural_schema_lacks() {
    const KNOWN: [&str; 23] = [
        "type",
        "description",
        "format",
        "enum",
        "default",
        "properties",
        "required",
        "items",
        "additionalProperties",
        "pattern",
        "minimum",
        "maximum",
        "minLength",
        "maxLength",
        "minItems",
        "maxItems",
        "minProperties",
        "maxProperties",
        "x-kubernetes-list-type",
        "x-kubernetes-list-map-keys",
        "x-kubernetes-validations",
        "x-kubernetes-preserve-unknown-fields",
        "x-kubernetes-int-or-string",
    ];
    for_every_node(|path, node| {
        let node_type = node["type"].as_str();
        let open = flag(node, "x-kubernetes-int-or-string");
        assert!(node_type.is_some() != open, "{path} has no type");
        for name in node.as_object().unwrap().keys() {
            assert!(KNOWN.contains(&name.as_str()), "{path} has {name}");
        }
        let format = node["format"].as_str();
        assert!(
            matches!(format, None | Some("date-time" | "duration" | "uri" | "int32" | "int64")),
            "{path} has the format {format:?}"
        );
        let both = node.get("properties").is_some() && node.get("additionalProperties").is_some();
        assert!(!both, "{path} is an object and a map");
        for required in node["required"].as_array().into_iter().flatten() {
            assert!(node["properties"].get(required.as_str().unwrap()).is_some(), "{path} requires {required}");
        }
    });
}

#[test]
fn r25_strings_lists_and_maps_are_bounded() {
    for_every_node(|path, node| {
        let bounded = match node["type"].as_str() {
            Some("string") => {
                node.get("enum").is_some() || node["format"] == "date-time" || node.get("maxLength").is_some()
            }
            Some("array") => node.get("maxItems").is_some(),
            Some("object") if node.get("additionalProperties").is_some() => node.get("maxProperties").is_some(),
            None => flag(node, "x-kubernetes-int-or-string") && node.get("maxLength").is_some(),
            _ => true,
        };
        assert!(bounded, "{path} has no bound");
    });
}

#[test]
fn r25_every_list_says_what_it_is_and_list_maps_have_their_keys() {
    for_every_node(|path, node| {
        if node["type"] != "array" {
            return;
        }
        let items = &node["items"];
        match node["x-kubernetes-list-type"].as_str() {
            Some("atomic") => {}
            Some("set") => assert_eq!(items["type"], "string", "{path}: a set holds scalars"),
            Some("map") => {
                for key in node["x-kubernetes-list-map-keys"].as_array().expect(path) {
                    let name = key.as_str().unwrap();
                    assert_eq!(items["properties"][name]["type"], "string", "{path}: the key {name} is a string");
                    let required = items["required"].as_array().is_some_and(|required| required.contains(key));
                    assert!(
                        required || items["properties"][name].get("default").is_some(),
                        "{path}: the key {name} may be absent"
                    );
                }
            }
            other => panic!("{path}: list type {other:?}"),
        }
    });
}

#[test]
fn r68_open_content_stands_only_where_it_is_allowed() {
    for_every_node(|path, node| {
        if flag(node, "x-kubernetes-preserve-unknown-fields") {
            assert!(path.ends_with("external.extensions.fields"), "{path} is open");
        }
        if flag(node, "x-kubernetes-int-or-string") {
            assert!(path.ends_with(".externalRef{}"), "{path} is an integer or a string");
        }
    });
}

#[test]
fn r25_defaults_fit_their_own_schema() {
    for_every_node(|path, node| {
        let Some(default) = node.get("default") else { return };
        let fits = match node["type"].as_str() {
            Some("string") => default.as_str().is_some_and(|text| {
                node["enum"].as_array().is_none_or(|accepted| accepted.iter().any(|one| one == text))
            }),
            Some("integer") => {
                default.as_i64().is_some() && {
                    node["minimum"].as_f64().is_none_or(|min| default.as_f64().is_some_and(|number| number >= min))
                        && node["maximum"]
                            .as_f64()
                            .is_none_or(|max| default.as_f64().is_some_and(|number| number <= max))
                }
            }
            Some("boolean") => default.is_boolean(),
            Some("object") => default
                .as_object()
                .is_some_and(|members| members.keys().all(|name| node["properties"].get(name).is_some())),
            _ => false,
        };
        assert!(fits, "{path} has the default {default}");
    });
}

#[test]
fn r10_every_reference_to_a_secret_or_config_map_has_kubernetes_form() {
    let forms = |reference: &Value| {
        let form = |name: &str| {
            reference["properties"].get(name).map(|node| node.get("items").unwrap_or(node)["pattern"].clone())
        };
        ["name", "key", "keys"].map(form)
    };
    let mut found = BTreeSet::new();
    for_every_node(|path, node| {
        let name = path.rsplit('.').next().unwrap_or_default();
        let words = ["secretref", "configmapref", "configref", "caref", "platformsecret", "platformconfigmap"];
        if !words.iter().any(|word| name.to_lowercase().contains(word)) {
            return;
        }
        match node["type"].as_str() {
            // A named reference holds the reference itself.
            Some("object") if node["properties"].get("secretRef").is_none() => {
                let [name, key, keys] = forms(node);
                assert!(name.is_some_and(|form| form.is_string()), "{path}: its name has any form");
                assert!(key.or(keys).is_none_or(|form| form.is_string()), "{path}: its keys have any form");
                found.insert(path.to_owned());
            }
            Some("string") => {
                assert!(node["pattern"].is_string(), "{path} has any form");
                found.insert(path.to_owned());
            }
            _ => {}
        }
    });
    assert!(found.len() >= 17, "{found:#?}");
}

#[test]
fn every_field_is_described() {
    for_every_node(|path, node| {
        // Elements and values of maps are described by their list and map; Kubernetes' own label selector as it comes.
        let own = !path.ends_with(['}', ']']) && !path.contains(".selector.");
        assert!(!own || node["description"].as_str().is_some_and(|text| !text.is_empty()), "{path} is not described");
    });
}

#[test]
fn r24_every_rule_names_its_number_and_the_field_and_has_a_reason() {
    for_every_node(|path, node| {
        for rule in node["x-kubernetes-validations"].as_array().into_iter().flatten() {
            let message = rule["message"].as_str().expect(path);
            let number = message.split(':').next().unwrap();
            assert!(
                number.strip_prefix('R').is_some_and(|digits| digits.parse::<u32>().is_ok()),
                "{path}: {message:?} names no rule"
            );
            assert!(rule["reason"].as_str().is_some_and(|reason| reason.starts_with("FieldValue")), "{path}: {rule}");
            let mut at = node;
            for name in rule["fieldPath"].as_str().expect(path).split('.').skip(1) {
                at = &at["properties"][name];
                // The name is in the definition's schema of `metadata` only where it is restricted.
                assert!(at.is_object(), "{path}: {rule} points at no field");
            }
            assert!(
                !rule["rule"].as_str().unwrap().contains("oldSelf") || !path.contains("[]"),
                "{path}: an element has no old self"
            );
        }
    });
}

#[test]
fn r25_columns_are_those_of_the_spec_then_phase_and_age() {
    let expected: &[(&str, &[&str])] = &[
        ("Organization", &["Namespace", "Ready"]),
        ("OrgNamespaceBinding", &["Organization", "Namespace"]),
        ("OrgSharingPolicy", &["Side", "Source", "Target", "Expires"]),
        ("User", &[]),
        ("Team", &[]),
        ("IdentityMapping", &[]),
        ("Repository", &["Visibility", "Branch", "Backend"]),
        ("SSHKey", &[]),
        ("RepositoryPermission", &[]),
        ("RefPolicy", &[]),
        ("BranchProtection", &[]),
        ("Issue", &["Title", "Repository", "Number", "Updated"]),
        ("PullRequest", &["Title", "Repository", "Number", "Head", "Mergeable"]),
        ("Review", &["Pull request", "Verdict", "Author"]),
        ("Comment", &["Subject", "Author"]),
        ("Pipeline", &["Repository", "Ref", "Conclusion"]),
        ("Job", &["Pipeline", "Step", "Conclusion"]),
        ("RunnerPool", &[]),
        ("AuditEvent", &["Type", "Actor", "Object", "Outcome"]),
        ("ExternalBackendProvider", &["Type", "Account", "Ready", "Conflicts", "Pending writes"]),
        ("ExternalBackendBinding", &["Provider", "Target", "Ready", "Conflicts", "Last backfill"]),
        ("ExternalBackendSyncPolicy", &["Provider", "Interval", "Default mode"]),
        ("ExternalProviderCapabilityManifest", &["Type", "Source"]),
        ("ExternalWebhookDelivery", &["Provider", "Event", "Outcome", "Attempts"]),
        ("ExternalSyncEvent", &["Provider", "Kind", "Native", "Action"]),
        ("ExternalSyncState", &["Binding", "Kind", "Mode", "Watermark"]),
        ("ExternalWriteIntent", &["Operation", "Target", "Attempts"]),
        ("ExternalSyncConflict", &["Resource", "Field", "Reason"]),
        ("ExternalObjectLink", &["Provider", "Native", "Local"]),
        ("PolicyProfile", &["Mode"]),
        ("PolicyTemplate", &[]),
        ("PolicyBinding", &["Template", "Mode"]),
        ("PolicyExceptionRequest", &["Policy", "Expires"]),
        ("AgentServiceAccount", &["Account", "Ready"]),
        ("AgentRoleBinding", &["Subject", "Role", "Scope"]),
        ("AgentSecretGrant", &["Subject", "Secret", "Purpose", "Expires"]),
        ("AgentConfigGrant", &["Subject", "ConfigMap", "Purpose", "Expires"]),
        ("AgentApproval", &["Subject", "Class", "Expires"]),
        ("AgentStack", &["Agent", "Model", "Ready"]),
        ("AgentSubagent", &[]),
        ("AgentToolProfile", &[]),
        ("AgentMcpServer", &[]),
        ("AgentSkill", &[]),
        ("AgentTriggerRule", &["Stack", "State", "Last triggered"]),
        ("AgentContextLabel", &[]),
        ("AgentWorkspacePolicy", &[]),
        ("AgentProviderConfig", &[]),
        ("AgentMemorySource", &[]),
    ];
    let crds = crds();
    assert_eq!(crds.len(), expected.len());
    for (crd, (kind, names)) in crds.iter().zip(expected) {
        assert_eq!(crd.spec.names.kind, *kind);
        let columns = crd.spec.versions[0].additional_printer_columns.as_ref().unwrap();
        let found: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        let wanted: Vec<&str> = names.iter().copied().chain(["Phase", "Age"]).collect();
        assert_eq!(found, wanted, "{kind}");
        let paths: BTreeSet<&str> = columns.iter().map(|column| column.json_path.as_str()).collect();
        assert_eq!(paths.len(), columns.len(), "{kind}: two columns show one field");
        // Kubernetes shows the first of them only.
        assert!(!paths.iter().any(|path| path.contains("[*]")), "{kind}: a column over all entries of a list");
        let schema = serde_json::to_value(crd.spec.versions[0].schema.as_ref().unwrap()).unwrap();
        for path in paths.iter().filter(|path| !path.starts_with(".metadata")) {
            let mut at = &schema["openAPIV3Schema"];
            for step in path.split('.').skip(1).take_while(|step| !step.starts_with("type==")) {
                let name = step.split('[').next().unwrap();
                at = &at["properties"][name];
                at = at.get("items").unwrap_or(at);
            }
            assert!(at.is_object(), "{kind}: no field for the column at {path}");
        }
    }
}

#[test]
fn s51_no_kind_has_a_place_for_a_runners_registration_token() {
    // What is named like a secret and is none: names of a credential's parts, which credential was used, how much a model may read, and
    // what an account's tokens are like.
    const KEPT: [&str; 8] = [
        "credentialkeys[]",
        "credential",
        "tokensperday",
        "tokensperminute",
        "maxtokens",
        "automountserviceaccounttoken",
        "tokenaudience",
        "tokenexpirationseconds",
    ];
    let mut places = BTreeSet::new();
    for_every_node(|path, node| {
        let name = path.rsplit('.').next().unwrap_or_default().to_lowercase();
        // A reference names a secret of Kubernetes, and says nothing of its value (R9).
        let is_reference = name.ends_with("ref");
        let tells = ["token", "registration", "password", "credential"].iter().any(|word| name.contains(word));
        if tells && !is_reference && !KEPT.iter().any(|kept| name == *kept || format!("{name}[]") == *kept) {
            places.insert(format!("{path}: {node}"));
        }
    });
    assert!(places.is_empty(), "{places:#?}");
}
