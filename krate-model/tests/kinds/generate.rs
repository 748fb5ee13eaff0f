//! Documents of a kind, made from its schema: what a test knows of a field is what its schema says.

use std::collections::BTreeSet;

use krate_model::schema::schema;
use krate_model::{API_VERSION, Kind};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

/// How many of the optional fields are there.
#[derive(Clone, Copy)]
pub(crate) enum Fill {
    /// Some, another choice each time.
    Some,
    /// All of them.
    All,
}

/// Valid documents of `kind`.
pub(crate) fn documents(kind: Kind, fill: Fill) -> BoxedStrategy<Value> {
    let schema = schema(kind).expect("the kind is defined");
    let part = |name: &str| value(&schema["properties"][name], fill);
    let status = part("status");
    let status = match fill {
        Fill::All => status.prop_map(Some).boxed(),
        Fill::Some => proptest::option::of(status).boxed(),
    };
    (part("spec"), status)
        .prop_map(move |(spec, status)| {
            let mut document = json!({
                "apiVersion": API_VERSION, "kind": kind.as_str(),
                "metadata": {"name": "made", "namespace": "krate-org-a", "labels": {"a": "b"}},
                "spec": spec,
            });
            if let Some(status) = status {
                document["status"] = status;
            }
            document
        })
        .boxed()
}

fn value(schema: &Value, fill: Fill) -> BoxedStrategy<Value> {
    let flag = |name: &str| schema.get(name) == Some(&json!(true));
    if flag("x-kubernetes-preserve-unknown-fields") {
        return proptest::collection::btree_map("[a-z_]{1,8}", open(), 1..4).prop_map(|map| json!(map)).boxed();
    }
    if flag("x-kubernetes-int-or-string") {
        return prop_oneof![(0..1_000_000_i64).prop_map(Value::from), "[a-z0-9-]{1,9}".prop_map(Value::from)].boxed();
    }
    match schema["type"].as_str() {
        Some("object") => object(schema, fill),
        Some("array") => array(schema, fill),
        Some("string") => string(schema),
        Some("integer") => integer(schema),
        Some("boolean") => any::<bool>().prop_map(Value::from).boxed(),
        other => panic!("no value for the type {other:?} of {schema}"),
    }
}

/// Any JSON without floats, whose text may come back in another form.
fn open() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            proptest::collection::btree_map("[a-z]{1,4}", inner, 0..3).prop_map(|map| json!(map)),
        ]
    })
}

fn object(schema: &Value, fill: Fill) -> BoxedStrategy<Value> {
    if let Some(values) = schema.get("additionalProperties") {
        // A map that is there has an entry: an empty one is an absent one.
        return proptest::collection::btree_map("[a-zA-Z][a-zA-Z0-9.-]{0,12}", value(values, fill), 1..4)
            .prop_map(|map| json!(map))
            .boxed();
    }
    let names = |at: &str| -> BTreeSet<&str> {
        schema[at].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
    };
    let (required, union) = (names("required"), names("x-krate-union"));
    let mut members = Just(Map::new()).boxed();
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        if union.contains(name.as_str()) {
            continue;
        }
        let property = value(property, fill);
        let property = if required.contains(name.as_str()) || matches!(fill, Fill::All) {
            property.prop_map(Some).boxed()
        } else {
            proptest::option::weighted(0.3, property).boxed()
        };
        let name = name.clone();
        members = (members, property)
            .prop_map(move |(mut members, property)| {
                if let Some(property) = property {
                    members.insert(name.clone(), property);
                }
                members
            })
            .boxed();
    }
    if !union.is_empty() {
        let one = union
            .into_iter()
            .map(|name| {
                let name = name.to_owned();
                value(&schema["properties"][&name], fill).prop_map(move |value| (name.clone(), value)).boxed()
            })
            .collect::<Vec<_>>();
        members = (members, proptest::strategy::Union::new(one))
            .prop_map(|(mut members, (name, value))| {
                members.insert(name, value);
                members
            })
            .boxed();
    }
    members.prop_map(Value::Object).boxed()
}

fn array(schema: &Value, fill: Fill) -> BoxedStrategy<Value> {
    // A list that is there has an element: an empty one is an absent one.
    let min = usize::try_from(schema["minItems"].as_u64().unwrap_or(1)).unwrap();
    let keys: Vec<String> = schema["x-kubernetes-list-map-keys"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    let set = schema["x-kubernetes-list-type"] == "set";
    proptest::collection::vec(value(&schema["items"], fill), min..min + 2)
        .prop_map(move |mut items| {
            let mut seen = BTreeSet::new();
            items.retain(|item| {
                let identity: Vec<String> = keys.iter().map(|key| item[key].to_string()).collect();
                match (keys.is_empty(), set) {
                    (true, false) => true,
                    (true, true) => seen.insert(vec![item.to_string()]),
                    (false, _) => seen.insert(identity),
                }
            });
            Value::Array(items)
        })
        .boxed()
}

fn string(schema: &Value) -> BoxedStrategy<Value> {
    if let Some(values) = schema["enum"].as_array() {
        return select(values.clone()).boxed();
    }
    if schema.get("x-krate-json").is_some() {
        return open().prop_map(|value| Value::from(value.to_string())).boxed();
    }
    match schema["format"].as_str() {
        Some("date-time") => return seconds().boxed(),
        Some("duration") => return select(vec![json!("1h30m"), json!("250ms"), json!("0"), json!("1.5h")]).boxed(),
        Some("uri") => return "https://example\\.com/[a-z0-9/]{0,20}".prop_map(Value::from).boxed(),
        _ => {}
    }
    let max = usize::try_from(schema["maxLength"].as_u64().expect("every string is bounded")).unwrap();
    match schema["pattern"].as_str() {
        // proptest's patterns have no anchors.
        Some(pattern) => {
            let pattern =
                pattern.trim_start_matches('^').trim_end_matches('$').replace("]*", "]{0,9}").replace(")*", "){0,2}");
            proptest::string::string_regex(&pattern).unwrap().prop_map(Value::from).boxed()
        }
        None => {
            proptest::string::string_regex(&format!("\\PC{{1,{}}}", max.min(24))).unwrap().prop_map(Value::from).boxed()
        }
    }
}

/// A time in whole seconds, as Kubernetes' own times are.
fn seconds() -> impl Strategy<Value = Value> {
    (0..4_102_444_800_i64).prop_map(|seconds| {
        let time = chrono::DateTime::from_timestamp(seconds, 0).expect("before the year 2100");
        Value::from(time.to_rfc3339_opts(chrono::SecondsFormat::Secs, true))
    })
}

fn integer(schema: &Value) -> BoxedStrategy<Value> {
    let min = schema["minimum"].as_i64().unwrap_or(-(1 << 53));
    let max = schema["maximum"].as_i64().unwrap_or(1 << 53);
    (min..=max).prop_map(Value::from).boxed()
}
