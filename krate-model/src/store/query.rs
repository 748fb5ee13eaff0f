//! Lists: what to read, where to go on, and how a page fills.

use std::cmp::Ordering;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use super::{Collection, Index, Key, Revision, Stored};

/// The most objects of one page, whatever the query asks for.
pub const MAX_PAGE_ITEMS: usize = 1000;
/// A page ends with the object that brings its bodies to this size.
pub const MAX_PAGE_BYTES: usize = 16 * 1024 * 1024;
/// The objects of a page when the query names no limit.
const DEFAULT_LIMIT: usize = 500;

/// The bounds of index values, which compare as bytes.
pub type Range = (Bound<Arc<str>>, Bound<Arc<str>>);

/// Which objects of a collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Select {
    /// All, ordered by namespace and name.
    All,
    /// Those with a value of `index` in `range`, ordered by value, namespace and name; one with two such values comes twice.
    Index {
        /// The index.
        index: Index,
        /// The values.
        range: Range,
    },
}

/// Where a list goes on: after this row, whether it still exists or not.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    /// The index value of the last row; empty in a list without index.
    pub value: Arc<str>,
    /// The namespace of the last row.
    pub namespace: Arc<str>,
    /// The name of the last row.
    pub name: Arc<str>,
}

/// What to list.
///
/// ```
/// use krate_model::{Kind, store::{Index, Query}};
/// let open = Query::new(Kind::Issue).in_namespace("krate-org-a").with(Index::Phase, "Open").limit(50);
/// let due = Query::new(Kind::ExternalWriteIntent).between(Index::Due, ..="8006000000000000");
/// # let _ = (open, due);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// Of which collection.
    pub collection: Collection,
    /// Of which namespace; absent means all.
    pub namespace: Option<Arc<str>>,
    /// Which objects.
    pub select: Select,
    /// Where to go on.
    pub after: Option<Position>,
    /// At most so many: clamped to 1 to [`MAX_PAGE_ITEMS`].
    pub limit: usize,
}

impl Query {
    /// All objects of `collection`.
    pub fn new(collection: impl Into<Collection>) -> Self {
        Self { collection: collection.into(), namespace: None, select: Select::All, after: None, limit: DEFAULT_LIMIT }
    }

    /// Only those of `namespace`.
    #[must_use]
    pub fn in_namespace(mut self, namespace: impl Into<Arc<str>>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// Only those whose `index` has exactly `value`.
    #[must_use]
    pub fn with(mut self, index: Index, value: impl Into<Arc<str>>) -> Self {
        let value = value.into();
        let range = (Bound::Included(Arc::clone(&value)), Bound::Included(value));
        self.select = Select::Index { index, range };
        self
    }

    /// Only those whose `index` has a value in `range`.
    #[must_use]
    pub fn between<'a>(mut self, index: Index, range: impl RangeBounds<&'a str>) -> Self {
        let range =
            (range.start_bound().map(|value| Arc::from(*value)), range.end_bound().map(|value| Arc::from(*value)));
        self.select = Select::Index { index, range };
        self
    }

    /// From the row after `position`.
    #[must_use]
    pub fn after(mut self, position: Position) -> Self {
        self.after = Some(position);
        self
    }

    /// At most `limit` objects a page.
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// Where a store starts to read its rows, which are ordered as [`Position`] is.
    pub fn start(&self) -> Bound<Position> {
        let value: Arc<str> = match &self.select {
            Select::All | Select::Index { range: (Bound::Unbounded, _), .. } => "".into(),
            Select::Index { range: (Bound::Included(value), _), .. } => Arc::clone(value),
            // The least text over `value`.
            Select::Index { range: (Bound::Excluded(value), _), .. } => format!("{value}\0").into(),
        };
        // The first value may be cut at the namespace: its rows before that belong to others.
        let namespace = self.namespace.clone().unwrap_or_else(|| "".into());
        let first = Position { value, namespace, name: "".into() };
        match &self.after {
            Some(after) if *after >= first => Bound::Excluded(after.clone()),
            _ => Bound::Included(first),
        }
    }

    /// What to do with the row of `namespace` under `value`, read in order from [`start`](Self::start).
    fn fit(&self, value: &str, namespace: &str) -> Fit {
        let last_value = match &self.select {
            Select::All => true,
            Select::Index { range: (_, Bound::Included(last)), .. } => match value.cmp(last) {
                Ordering::Greater => return Fit::Beyond,
                ordering => ordering == Ordering::Equal,
            },
            Select::Index { range: (_, Bound::Excluded(end)), .. } if value >= &**end => return Fit::Beyond,
            Select::Index { .. } => false,
        };
        match self.namespace.as_deref().map(|wanted| namespace.cmp(wanted)) {
            None | Some(Ordering::Equal) => Fit::Wanted,
            Some(Ordering::Greater) if last_value => Fit::Beyond,
            Some(_) => Fit::Skipped,
        }
    }
}

enum Fit {
    Wanted,
    Skipped,
    Beyond,
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The objects, in the order of the query.
    pub items: Vec<Stored>,
    /// Where the next page starts, when there may be one.
    pub next: Option<Position>,
    /// The state that was read: a watch from here misses nothing that the page doesn't show.
    pub revision: Revision,
}

/// Fills a page up to its bounds, the same in every store.
#[derive(Debug)]
pub struct PageBuilder<'a> {
    query: &'a Query,
    items: Vec<Stored>,
    last_value: Arc<str>,
    bytes: usize,
    more: bool,
}

impl<'a> PageBuilder<'a> {
    /// A page for `query`.
    pub fn new(query: &'a Query) -> Self {
        Self { query, items: Vec::new(), last_value: "".into(), bytes: 0, more: false }
    }

    /// Offers the next row: of `namespace`, under index value `value` (empty without index). `read` is called when the page takes it.
    ///
    /// Answers whether to go on to the row after it.
    ///
    /// # Errors
    /// What `read` returns.
    pub fn offer<E>(
        &mut self,
        value: &str,
        namespace: &str,
        read: impl FnOnce() -> Result<Stored, E>,
    ) -> Result<bool, E> {
        match self.query.fit(value, namespace) {
            Fit::Beyond => return Ok(false),
            Fit::Skipped => return Ok(true),
            Fit::Wanted => {}
        }
        if self.items.len() >= self.query.limit.clamp(1, MAX_PAGE_ITEMS) || self.bytes >= MAX_PAGE_BYTES {
            self.more = true;
            return Ok(false);
        }
        let item = read()?;
        self.bytes = self.bytes.saturating_add(item.body.len());
        self.items.push(item);
        if *self.last_value != *value {
            self.last_value = value.into();
        }
        Ok(true)
    }

    /// The page, read at `revision`.
    pub fn finish(self, revision: Revision) -> Page {
        let last = self.items.last().filter(|_| self.more).map(|item| &item.key);
        let next = last.map(|Key { namespace, name, .. }| Position {
            value: Arc::clone(&self.last_value),
            namespace: Arc::clone(namespace),
            name: Arc::clone(name),
        });
        Page { items: self.items, next, revision }
    }
}
