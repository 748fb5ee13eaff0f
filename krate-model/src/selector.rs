//! Label selectors, read as Kubernetes reads them.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::{Selector as Parsed, SelectorExt as _};

/// A label selector that was read: which objects it is about, by their labels.
///
/// ```
/// # use std::collections::BTreeMap;
/// # use krate_model::Selector;
/// # use serde_json::json;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let written = json!({"matchExpressions": [{"key": "tier", "operator": "In", "values": ["shared"]}]});
/// let selector = Selector::new(&serde_json::from_value(written)?)?;
/// assert!(selector.matches(&BTreeMap::from([("tier".to_owned(), "shared".to_owned())])));
/// assert!(!selector.matches(&BTreeMap::new()));
/// let unknown = json!({"matchExpressions": [{"key": "tier", "operator": "Like"}]});
/// assert!(Selector::new(&serde_json::from_value(unknown)?).is_err());
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector(Parsed);

impl Selector {
    /// Reads a selector.
    ///
    /// # Errors
    /// [`NotASelector`] where an operator isn't known, or lacks its values.
    pub fn new(selector: &LabelSelector) -> Result<Self, NotASelector> {
        Parsed::try_from(selector.clone()).map(Self).map_err(|error| NotASelector(error.to_string()))
    }

    /// Whether an object with these labels is among them.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.matches(labels)
    }

    /// Whether it asks for nothing: to Kubernetes, such a one is about every object.
    pub fn is_empty(&self) -> bool {
        self.0.selects_all()
    }
}

/// A label selector that can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("is no label selector: {0} (accepted operators: In and NotIn with values, Exists, DoesNotExist)")]
pub struct NotASelector(String);
