//! Defaults and the order of sets, from the schema alone. Spec: resource-kinds.md R41, R67.

use serde_json::{Map, Value};

use crate::schema::schema;
use crate::{Kind, canonical_json};

/// Puts in the defaults of the kind's schema where `document` says nothing, as an API server does. Applying them twice is applying
/// them once (R67). A kind that isn't defined has none.
///
/// ```
/// use krate_model::{Kind, apply_defaults};
/// let mut issue = serde_json::json!({"spec": {"organizationRef": "a", "title": "First"}});
/// apply_defaults(Kind::Issue, &mut issue);
/// assert_eq!(issue["spec"]["state"], "open");
/// assert!(issue.get("status").is_none());
/// ```
pub fn apply_defaults(kind: Kind, document: &mut Value) {
    if let Some(schema) = schema(kind) {
        default(schema, document);
    }
}

fn default(schema: &Value, value: &mut Value) {
    match value {
        Value::Object(members) => {
            if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
                for (name, property) in properties {
                    let said = members.get(name).is_some_and(|member| !member.is_null());
                    if let (false, Some(default)) = (said, property.get("default")) {
                        members.insert(name.clone(), default.clone());
                    }
                }
            }
            for (name, member) in members.iter_mut() {
                if let Some(schema) = member_schema(schema, name) {
                    default(schema, member);
                }
            }
        }
        Value::Array(items) => {
            if let Some(schema) = schema.get("items") {
                for item in items {
                    default(schema, item);
                }
            }
        }
        _ => {}
    }
}

/// Puts the elements of sets and the entries of list-maps in the byte order of element and key; repeats in a set go (R41). Atomic
/// lists keep their order. An integer where text would be the same value becomes that text (R68). What is compared or digested goes
/// through this first.
///
/// ```
/// use krate_model::{Kind, normalize_sets};
/// let mut issue = serde_json::json!({"spec": {"labels": ["b", "a", "b"]}});
/// normalize_sets(Kind::Issue, &mut issue);
/// assert_eq!(issue["spec"]["labels"], serde_json::json!(["a", "b"]));
/// ```
pub fn normalize_sets(kind: Kind, document: &mut Value) {
    if let Some(schema) = schema(kind) {
        normalize(schema, document);
    }
}

fn normalize(schema: &Value, value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, member) in members.iter_mut() {
                if let Some(schema) = member_schema(schema, name) {
                    normalize(schema, member);
                }
            }
        }
        Value::Array(items) => {
            if let Some(schema) = schema.get("items") {
                for item in items.iter_mut() {
                    normalize(schema, item);
                }
            }
            match schema.get("x-kubernetes-list-type").and_then(Value::as_str) {
                Some("set") => {
                    items.sort_by_cached_key(sort_text);
                    items.dedup();
                }
                Some("map") => {
                    let keys: Vec<&str> = list_map_keys(schema).collect();
                    items.sort_by_cached_key(|item| {
                        keys.iter().map(|key| item.get(key).map(sort_text)).collect::<Vec<_>>()
                    });
                }
                _ => {}
            }
        }
        Value::Number(number) if schema.get("x-kubernetes-int-or-string").is_some() => {
            *value = Value::String(number.to_string());
        }
        _ => {}
    }
}

/// The keys of a list-map, in their order.
pub(crate) fn list_map_keys(schema: &Value) -> impl Iterator<Item = &str> {
    schema.get("x-kubernetes-list-map-keys").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

fn member_schema<'a>(schema: &'a Value, name: &str) -> Option<&'a Value> {
    let properties: Option<&Map<String, Value>> = schema.get("properties").and_then(Value::as_object);
    properties.and_then(|properties| properties.get(name)).or_else(|| schema.get("additionalProperties"))
}

fn sort_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        // Elements are scalars, which always have a canonical form; what has none sorts first.
        other => canonical_json(other).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn r67_a_null_is_no_value_where_there_is_a_default() {
        let mut document = json!({"spec": {"state": null, "body": {"markdown": "x"}}});
        apply_defaults(Kind::Issue, &mut document);
        assert_eq!(document["spec"]["state"], "open");
        assert_eq!(document["spec"]["body"]["sourceFormat"], "markdown");
    }

    #[test]
    fn r41_list_maps_are_ordered_by_key_and_atomic_lists_keep_their_order() {
        let mut document = json!({"spec": {"platformSecrets": [
            {"name": "b", "keys": ["z", "y"]}, {"name": "B", "keys": []}, {"name": "a", "keys": []},
        ]}});
        normalize_sets(Kind::OrgNamespaceBinding, &mut document);
        let names: Vec<_> =
            document["spec"]["platformSecrets"].as_array().unwrap().iter().map(|s| &s["name"]).collect();
        assert_eq!(names, ["B", "a", "b"]);
        assert_eq!(document["spec"]["platformSecrets"][2]["keys"], json!(["y", "z"]));

        let mut document = json!({"spec": {"steps": ["b", "a", "b"]}});
        normalize_sets(Kind::Pipeline, &mut document);
        assert_eq!(document["spec"]["steps"], json!(["b", "a", "b"]));
    }
}
