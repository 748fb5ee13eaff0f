//! The schema of a kind, from which its CRD, its defaults, its documentation and its rules of change are made. Spec:
//! resource-kinds.md R25, R67, R68.
//!
//! The derives give a schema; [`schema`] makes it structural and fills in what the spec says of every field without saying it
//! at the field: bounds, atomic lists. Five extensions of our own stay in it, and are not in the CRD:
//!
//! - `x-krate-immutable: true` at a property: it can't change, appear or vanish after creation (R6);
//!   `x-krate-immutable: all` at an object: none of its properties can, but the commands.
//! - `x-krate-command: true`: the property is a command (R37).
//! - `x-krate-union: [members]` at an object: exactly one of these members is there.
//! - `x-krate-json: true` at a string: it holds the text of one JSON value.
//! - `x-krate-ref: Kind`: the text, or each element of the list, is the name of an object of that kind (R32).

use std::sync::OnceLock;

use schemars::generate::SchemaSettings;
use schemars::transform::AddNullable;
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};

use crate::kinds::defined::{DEFINED, Defined};
use crate::{Kind, StorageClass};

/// The longest string where nothing else is written (section 4, notation).
pub const MAX_STRING: u64 = 1_024;
/// The longest list where nothing else is written.
pub const MAX_ITEMS: u64 = 256;
/// The largest map where nothing else is written.
pub const MAX_ENTRIES: u64 = 64;
const DNS_LABEL: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";

/// The schema of a kind: structural, bounded, with krate's own extensions. `None` for a kind that isn't defined yet.
///
/// ```
/// use krate_model::{Kind, schema::schema};
/// let issue = schema(Kind::Issue).unwrap();
/// assert_eq!(issue["properties"]["spec"]["properties"]["title"]["maxLength"], 512);
/// assert_eq!(issue["properties"]["spec"]["properties"]["organizationRef"]["x-krate-immutable"], true);
/// assert!(schema(Kind::View).is_none());
/// ```
pub fn schema(kind: Kind) -> Option<&'static Value> {
    static SCHEMAS: OnceLock<Vec<(Kind, Value)>> = OnceLock::new();
    SCHEMAS
        .get_or_init(|| DEFINED.iter().map(|defined| (defined.kind, structural(defined))).collect())
        .iter()
        .find(|(known, _)| *known == kind)
        .map(|(_, schema)| schema)
}

/// The schema that the derives make, in the dialect of a CRD.
pub(crate) fn raw<T: JsonSchema>() -> Value {
    let generator = SchemaSettings::openapi3()
        .with(|settings| {
            settings.inline_subschemas = true;
            settings.meta_schema = None;
        })
        .with_transform(AddNullable::default())
        .with_transform(kube::core::schema::StructuralSchemaRewriter)
        .with_transform(kube::core::schema::OptionalEnum)
        .with_transform(kube::core::schema::OptionalIntOrString)
        .into_generator();
    Schema::to_value(generator.into_root_schema_for::<T>())
}

fn structural(defined: &Defined) -> Value {
    let mut schema = (defined.raw_schema)();
    tidy(&mut schema);
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        properties.insert(
            "apiVersion".into(),
            json!({"type": "string", "description": "Group and version.", "maxLength": 253}),
        );
        properties.insert("kind".into(), json!({"type": "string", "description": "The kind.", "maxLength": 253}));
        properties.insert("metadata".into(), metadata(defined.kind));
    }
    schema
}

/// A CRD may only restrict the name; the rest is Kubernetes' own.
fn metadata(kind: Kind) -> Value {
    let mut metadata = json!({"type": "object", "description": "Name, namespace, labels."});
    if kind.info().class == StorageClass::Config {
        // R1: the name of a kind that is no Record becomes a label value or a file name.
        metadata["properties"] = json!({
            "name": {"type": "string", "maxLength": 63, "pattern": DNS_LABEL, "description": "A DNS label (R1)."},
        });
    }
    metadata
}

/// Makes a node and all below it structural and bounded.
fn tidy(node: &mut Value) {
    let Some(node) = node.as_object_mut() else { return };
    // `nullable` is schemars' word for an optional member; here such a member is absent, never null (R25).
    for foreign in ["nullable", "title", "$schema", "definitions", "components", "uniqueItems"] {
        node.remove(foreign);
    }
    node.retain(|_, value| !value.is_null());
    if let Some(values) = node.get_mut("enum").and_then(Value::as_array_mut) {
        values.retain(|value| !value.is_null());
    }
    // A union: optional members, of which exactly one is there (R25).
    if let Some(members) = node.remove("oneOf") {
        let members: Vec<Value> = members
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|member| member.pointer("/required/0").cloned())
            .collect();
        node.insert("x-krate-union".into(), members.into());
    }
    if node.get("format").and_then(Value::as_str).is_some_and(|format| format.starts_with("uint")) {
        node.remove("format");
    }
    if let Some(Value::String(text)) = node.get_mut("description") {
        *text = plain(text);
    }
    match node.get("type").and_then(Value::as_str) {
        Some("string") => {
            let bounded = ["maxLength", "enum"].iter().any(|bound| node.contains_key(*bound))
                || node.get("format").and_then(Value::as_str) == Some("date-time");
            if !bounded {
                node.insert("maxLength".into(), MAX_STRING.into());
            }
        }
        Some("array") => {
            bound(node, "maxItems", MAX_ITEMS);
            node.entry("x-kubernetes-list-type").or_insert_with(|| "atomic".into());
        }
        Some("object") if node.get("additionalProperties").is_some_and(Value::is_object) => {
            bound(node, "maxProperties", MAX_ENTRIES);
        }
        _ => {}
    }
    if node.get("additionalProperties").is_some_and(Value::is_boolean) {
        node.remove("additionalProperties");
    }
    for child in ["items", "additionalProperties"] {
        if let Some(child) = node.get_mut(child) {
            tidy(child);
        }
    }
    if let Some(properties) = node.get_mut("properties").and_then(Value::as_object_mut) {
        properties.values_mut().for_each(tidy);
    }
}

fn bound(node: &mut Map<String, Value>, name: &str, max: u64) {
    node.entry(name).or_insert_with(|| max.into());
}

/// A doc comment without what only rustdoc understands.
fn plain(text: &str) -> String {
    text.replace("[`", "`").replace("`]", "`").split_whitespace().collect::<Vec<_>>().join(" ")
}
