//! The CustomResourceDefinitions of the defined kinds. Spec: resource-kinds.md R24, R25, R68, R69.
//!
//! Structural, bounded, without krate's own schema extensions: the rules that those stand for are in there as CEL. The same source
//! gives the same bytes (R69).

pub use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceColumnDefinition, CustomResourceValidation,
};
use serde_json::{Map, Value, json};

use crate::Kind;
use crate::kinds::defined::{DEFINED, Defined};
use crate::schema::schema;

/// The definitions of all defined kinds, in the order of the registry.
pub fn crds() -> Vec<CustomResourceDefinition> {
    DEFINED.iter().map(definition).collect()
}

/// The definition of one kind; `None` where it isn't defined yet.
pub fn crd(kind: Kind) -> Option<CustomResourceDefinition> {
    Defined::of(kind).map(definition)
}

fn definition(defined: &Defined) -> CustomResourceDefinition {
    let mut crd = (defined.crd)();
    for version in &mut crd.spec.versions {
        let columns = version.additional_printer_columns.get_or_insert_default();
        columns.push(column("Phase", "string", ".status.phase"));
        columns.push(column("Age", "date", ".metadata.creationTimestamp"));
        let mut schema = schema(defined.kind).cloned().unwrap_or_default();
        with_rules(&mut schema, "");
        // A schema that the typed form doesn't take leaves none, and the test of every definition says which.
        let props = serde_json::from_value(schema).ok();
        version.schema = Some(CustomResourceValidation { open_api_v3_schema: props });
    }
    crd
}

fn column(name: &str, type_: &str, path: &str) -> CustomResourceColumnDefinition {
    CustomResourceColumnDefinition {
        name: name.into(),
        type_: type_.into(),
        json_path: path.into(),
        ..Default::default()
    }
}

/// Takes krate's extensions out of a schema, and puts in the CEL rules that they stand for. `path` is the way to the node.
fn with_rules(node: &mut Value, path: &str) {
    let Some(node) = node.as_object_mut() else { return };
    let mut rules = rules_of_change(node, path);
    rules.extend(rules_of_unions(node, path));
    if !rules.is_empty()
        && let Value::Array(all) = node.entry("x-kubernetes-validations").or_insert_with(|| json!([]))
    {
        all.extend(rules);
    }
    node.retain(|name, _| !name.starts_with("x-krate-"));
    for child in ["items", "additionalProperties"] {
        if let Some(child) = node.get_mut(child) {
            with_rules(child, &format!("{path}[]"));
        }
    }
    if let Some(properties) = node.get_mut("properties").and_then(Value::as_object_mut) {
        for (name, property) in properties {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            with_rules(property, &path);
        }
    }
}

/// One rule for each property of `node` that can't change, appear or vanish (R6).
fn rules_of_change(node: &Map<String, Value>, path: &str) -> Vec<Value> {
    let all = node.get("x-krate-immutable").and_then(Value::as_str) == Some("all");
    let required: Vec<&str> =
        node.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let properties = node.get("properties").and_then(Value::as_object);
    let mut rules = Vec::new();
    for (name, property) in properties.into_iter().flatten() {
        let flag = |name: &str| property.get(name).and_then(Value::as_bool) == Some(true);
        if !(flag("x-krate-immutable") || all && !flag("x-krate-command")) {
            continue;
        }
        let field = cel_name(name);
        let same = if property.pointer("/additionalProperties/x-kubernetes-int-or-string").is_some() {
            // R68: 123 and "123" are one value.
            format!(
                "size(self.{field}) == size(oldSelf.{field}) && self.{field}.all(key, key in oldSelf.{field} && \
                 string(self.{field}[key]) == string(oldSelf.{field}[key]))"
            )
        } else {
            format!("self.{field} == oldSelf.{field}")
        };
        // What is required or has a default is always there.
        let rule = if required.contains(&name.as_str()) || property.get("default").is_some() {
            same
        } else {
            format!("has(self.{field}) == has(oldSelf.{field}) && (!has(self.{field}) || ({same}))")
        };
        let path = format!("{path}.{name}");
        let path = path.trim_start_matches('.');
        rules.push(json!({
            "rule": rule,
            "message": format!("R6: {path} can't change, appear or vanish after creation"),
            "fieldPath": format!(".{name}"),
            "reason": "FieldValueForbidden",
        }));
    }
    rules
}

/// One rule for each property of `node` that is a union.
fn rules_of_unions(node: &Map<String, Value>, path: &str) -> Vec<Value> {
    let properties = node.get("properties").and_then(Value::as_object);
    let mut rules = Vec::new();
    for (name, property) in properties.into_iter().flatten() {
        let Some(members) = property.get("x-krate-union").and_then(Value::as_array) else { continue };
        let field = cel_name(name);
        let present: Vec<String> = members
            .iter()
            .filter_map(Value::as_str)
            .map(|member| format!("has(self.{field}.{})", cel_name(member)))
            .collect();
        let exactly_one = format!("[{}].filter(present, present).size() == 1", present.join(", "));
        let required =
            node.get("required").and_then(Value::as_array).is_some_and(|all| all.iter().any(|one| one == name));
        let rule = if required { exactly_one } else { format!("!has(self.{field}) || {exactly_one}") };
        let path = format!("{path}.{name}");
        rules.push(json!({
            "rule": rule,
            "message": format!("R24: {} has exactly one member", path.trim_start_matches('.')),
            "fieldPath": format!(".{name}"),
            "reason": "FieldValueInvalid",
        }));
    }
    rules
}

/// A property's name as CEL has it: its keywords are escaped.
fn cel_name(name: &str) -> String {
    const KEYWORDS: [&str; 20] = [
        "true",
        "false",
        "null",
        "in",
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
        "var",
        "void",
    ];
    if KEYWORDS.contains(&name) || name == "while" { format!("__{name}__") } else { name.to_owned() }
}
