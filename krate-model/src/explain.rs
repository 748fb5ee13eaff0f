//! What a kind's fields are, from its schema: what `krate explain` prints.

use std::fmt;

use serde_json::Value;

use crate::Kind;
use crate::schema::schema;

/// One field of a kind.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Field {
    /// The way to it, such as `spec.body.markdown`; empty for the object itself.
    pub path: String,
    /// What it holds.
    pub shape: Shape,
    /// Whether it must be there, where its parent is.
    pub required: bool,
    /// Whether it can't change after creation (R6).
    pub immutable: bool,
    /// Whether writing it asks for an act (R37).
    pub command: bool,
    /// What it is where nothing is said (R67).
    pub default: Option<Value>,
    /// Every value that it may have, where these are few (R8).
    pub accepted: Vec<String>,
    /// What else is asked of it, such as `at most 512 characters`.
    pub bounds: Vec<String>,
    /// The kind of the object that it names.
    pub refers_to: Option<String>,
    /// What it is for.
    pub description: String,
    /// The fields inside it, in the order of their names.
    pub fields: Vec<Field>,
}

/// What a field holds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Shape {
    /// Text.
    String,
    /// A point in time.
    Time,
    /// A duration such as `1h30m`.
    Duration,
    /// An absolute address.
    Url,
    /// A whole number.
    Integer,
    /// True or false.
    Boolean,
    /// Text or a whole number, which are one value.
    IntOrString,
    /// Fields.
    Object,
    /// Any JSON.
    Open,
    /// Values by name.
    Map(Box<Shape>),
    /// A list that is one value.
    List(Box<Shape>),
    /// A list in which order and repeats mean nothing (R41).
    Set(Box<Shape>),
    /// A list of entries that are known by a key.
    ListMap(Box<Shape>, String),
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::String => f.write_str("string"),
            Self::Time => f.write_str("time"),
            Self::Duration => f.write_str("duration"),
            Self::Url => f.write_str("url"),
            Self::Integer => f.write_str("integer"),
            Self::Boolean => f.write_str("boolean"),
            Self::IntOrString => f.write_str("integer or string"),
            Self::Object => f.write_str("object"),
            Self::Open => f.write_str("any JSON object"),
            Self::Map(value) => write!(f, "map of {value}"),
            Self::List(item) => write!(f, "list of {item}"),
            Self::Set(item) => write!(f, "set of {item}"),
            Self::ListMap(item, key) => write!(f, "list of {item} by {key}"),
        }
    }
}

/// Why there is nothing to explain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotExplained {
    /// The kind has no fields yet.
    #[error("{0} is registered, its fields are not defined yet")]
    Undefined(Kind),
    /// There is no such field.
    #[error("{kind} has no field {path:?}; {parent} has {}", .accepted.join(", "))]
    NoField {
        /// The kind.
        kind: Kind,
        /// The path up to the name that isn't there.
        path: String,
        /// The object that was looked in.
        parent: String,
        /// The fields that are there.
        accepted: Vec<String>,
    },
}

/// The field at `path` (such as `spec.body`; empty for the whole object) with all fields inside it. Brackets after a name, as
/// error paths have them, are passed over.
///
/// # Errors
/// [`NotExplained`] where the kind isn't defined, or has no such field.
///
/// ```
/// use krate_model::{Kind, explain::explain};
/// let state = explain(Kind::Issue, "spec.state").unwrap();
/// assert_eq!(state.accepted, ["open", "closed"]);
/// assert_eq!(state.default.unwrap(), "open");
/// let error = explain(Kind::Repository, "spec.backend.kind").unwrap_err().to_string();
/// assert_eq!(error, "Repository has no field \"spec.backend.kind\"; spec.backend has bindingRef, mode");
/// ```
pub fn explain(kind: Kind, path: &str) -> Result<Field, NotExplained> {
    let mut node = schema(kind).ok_or(NotExplained::Undefined(kind))?;
    let mut at = String::new();
    let mut required = true;
    let mut parent_immutable = false;
    for name in path.split('.').filter(|name| !name.is_empty()) {
        let name = name.split('[').next().unwrap_or(name);
        let object = inner(node);
        let found = object.get("properties").and_then(|properties| properties.get(name));
        let parent = at.clone();
        at = join(&at, name);
        required = is_required(object, name);
        parent_immutable = all_immutable(object);
        node = found.ok_or_else(|| NotExplained::NoField {
            kind,
            path: at.clone(),
            parent: if parent.is_empty() { kind.to_string() } else { parent },
            accepted: properties(object).map(|(name, _)| name.clone()).collect(),
        })?;
    }
    Ok(field(at, node, required, parent_immutable))
}

fn field(path: String, node: &Value, required: bool, parent_immutable: bool) -> Field {
    let text = |name: &str| node.get(name).and_then(Value::as_str).map(str::to_owned);
    let flag = |name: &str| node.get(name).and_then(Value::as_bool) == Some(true);
    let object = inner(node);
    let command = flag("x-krate-command");
    let fields = properties(object)
        .map(|(name, property)| field(join(&path, name), property, is_required(object, name), all_immutable(object)))
        .collect();
    Field {
        shape: shape(node),
        required,
        immutable: flag("x-krate-immutable") || parent_immutable && !command,
        command,
        default: node.get("default").cloned(),
        accepted: accepted(node),
        bounds: bounds(node),
        refers_to: text("x-krate-ref"),
        description: text("description").unwrap_or_default(),
        fields,
        path,
    }
}

/// The object whose fields a path goes on into: of a list its element, of a map its value.
fn inner(mut node: &Value) -> &Value {
    while let Some(next) = node.get("items").or_else(|| node.get("additionalProperties")) {
        node = next;
    }
    node
}

fn properties(object: &Value) -> impl Iterator<Item = (&String, &Value)> {
    object.get("properties").and_then(Value::as_object).into_iter().flatten()
}

fn is_required(object: &Value, name: &str) -> bool {
    let required = object.get("required").and_then(Value::as_array);
    required.is_some_and(|required| required.iter().any(|known| known.as_str() == Some(name)))
}

fn all_immutable(object: &Value) -> bool {
    object.get("x-krate-immutable").and_then(Value::as_str) == Some("all")
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn shape(node: &Value) -> Shape {
    let text = |name: &str| node.get(name).and_then(Value::as_str);
    if node.get("x-kubernetes-int-or-string").is_some() {
        return Shape::IntOrString;
    }
    if node.get("x-kubernetes-preserve-unknown-fields").is_some() {
        return Shape::Open;
    }
    match (text("type"), text("format")) {
        (Some("string"), Some("date-time")) => Shape::Time,
        (Some("string"), Some("duration")) => Shape::Duration,
        (Some("string"), Some("uri")) => Shape::Url,
        (Some("integer" | "number"), _) => Shape::Integer,
        (Some("boolean"), _) => Shape::Boolean,
        (Some("array"), _) => {
            let item = Box::new(node.get("items").map_or(Shape::Open, shape));
            match text("x-kubernetes-list-type") {
                Some("set") => Shape::Set(item),
                Some("map") => {
                    let keys: Vec<&str> = crate::defaults::list_map_keys(node).collect();
                    Shape::ListMap(item, keys.join(", "))
                }
                _ => Shape::List(item),
            }
        }
        (Some("object"), _) => match node.get("additionalProperties") {
            Some(value) => Shape::Map(Box::new(shape(value))),
            None => Shape::Object,
        },
        _ => Shape::String,
    }
}

fn accepted(node: &Value) -> Vec<String> {
    let values = inner(node).get("enum").and_then(Value::as_array);
    values.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn bounds(node: &Value) -> Vec<String> {
    let number = |name: &str| node.get(name).and_then(Value::as_i64);
    let mut bounds = Vec::new();
    let mut say = |name: &str, before: &str, after: &str| {
        if let Some(number) = number(name) {
            bounds.push(format!("{before} {number}{after}"));
        }
    };
    say("minimum", "at least", "");
    say("maximum", "at most", "");
    say("minLength", "at least", " characters");
    say("maxLength", "at most", " characters");
    say("minItems", "at least", " elements");
    say("maxItems", "at most", " elements");
    say("maxProperties", "at most", " entries");
    if let Some(pattern) = node.get("pattern").and_then(Value::as_str) {
        bounds.push(format!("matches {pattern}"));
    }
    bounds
}
