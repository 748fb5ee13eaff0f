//! What a watch shows.

use std::sync::Arc;

use super::{Collection, Key, Revision};

/// A batch ends with the commit that brings it to so many entries.
pub const MAX_BATCH: usize = 1000;

/// Which changes a watch wants.
///
/// ```
/// use krate_model::{Kind, store::{Filter, Key}};
/// let filter = Filter::of([Kind::Issue]).in_namespace("krate-org-a");
/// assert!(filter.lets_through(&Key::new(Kind::Issue, "krate-org-a", "first")));
/// assert!(!filter.lets_through(&Key::new(Kind::Issue, "krate-org-b", "first")));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of these collections; empty means all.
    pub collections: Vec<Collection>,
    /// Of this namespace; absent means all.
    pub namespace: Option<Arc<str>>,
}

impl Filter {
    /// Everything.
    pub fn all() -> Self {
        Self::default()
    }

    /// Only these collections.
    pub fn of<C: Into<Collection>>(collections: impl IntoIterator<Item = C>) -> Self {
        Self { collections: collections.into_iter().map(Into::into).collect(), namespace: None }
    }

    /// Only this namespace.
    #[must_use]
    pub fn in_namespace(mut self, namespace: impl Into<Arc<str>>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// Whether the watch wants to know about `key`.
    pub fn lets_through(&self, key: &Key) -> bool {
        (self.collections.is_empty() || self.collections.contains(&key.collection))
            && self.namespace.as_ref().is_none_or(|namespace| *namespace == key.namespace)
    }
}

/// What a commit did to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// It wasn't there before.
    Created,
    /// It was.
    Updated,
    /// It is gone.
    Deleted,
}

/// One object that a commit touched. The watch names it; its present state is read with `get`, which may be newer than `revision`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Touched {
    /// The commit.
    pub revision: Revision,
    /// The object.
    pub key: Key,
    /// What happened to it.
    pub action: Action,
}

/// A batch of what commits touched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// In the order of the commits; never empty.
    pub touched: Vec<Touched>,
    /// How far the batch reaches: the `after` of the next call.
    pub revision: Revision,
}
