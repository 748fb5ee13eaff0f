//! The store port: where objects live. Spec: resource-kinds.md section 1, R20, R22, R44; design sections 3 and 4.
//!
//! A store keeps opaque bodies under [`Key`]s, and knows three things about them: the [`Revision`] that last wrote each, the [`IndexEntry`]s it is found
//! by, and the audit chain of each namespace. What a body means, and which indexes it has, is the typed layer's business.
//!
//! - [`Store::commit`] applies a [`ChangeSet`] whole or not at all. Each write states what it expects to find ([`Expect`]); when one finds something else,
//!   nothing changes. The change set's audit drafts are numbered and chained in the same step (R44), so that two commits never compete for the chain.
//! - [`Store::list`] reads a page by collection, namespace and index, and goes on after a [`Position`], not at an offset: a concurrent insert moves no row.
//! - [`Store::changes`] is the watch: it waits for commits after a revision and names what they touched.
//!
//! Every implementation decides through [`plan`], so that all refuse and write the same; and runs the suite in `suite` (feature `testkit`).
//! [`MemoryStore`] is the reference. Nothing here names a runtime: a waiting future is woken by the commit that it waits for.

mod error;
mod memory;
mod packed;
mod plan;
mod query;
mod signal;
#[cfg(any(test, feature = "testkit"))]
pub mod suite;
mod types;
mod watch;

pub use error::{CommitError, Refusal, StoreError};
pub use memory::{MemoryStore, MemoryUse};
pub use plan::{Current, Planned, asks, plan};
pub use query::{MAX_PAGE_BYTES, MAX_PAGE_ITEMS, Page, PageBuilder, Position, Query, Range, Select};
pub use signal::Signal;
pub use types::{
    Body, Change, ChangeSet, Collection, Expect, Index, IndexEntry, Key, MAX_INDEXED_BYTES, MAX_PRIVATE_BYTES, Private,
    RetiredAudit, Revision, Stored, Write, sortable_time,
};
pub use watch::{Action, Changes, Filter, MAX_BATCH, Touched};

use async_trait::async_trait;

use crate::audit::ChainHead;

/// Where objects live. Object safe; every method may be called from any task or thread, and dropping its future at any point loses nothing but the answer.
#[async_trait]
pub trait Store: Send + Sync {
    /// The object under `key`, as of the last commit.
    async fn get(&self, key: &Key) -> Result<Option<Stored>, StoreError>;

    /// One page of objects.
    async fn list(&self, query: &Query) -> Result<Page, StoreError>;

    /// Applies `changes` whole, or not at all. When it returns `Ok`, they are as durable as the store can make them.
    ///
    /// An empty change set writes nothing and returns the current revision. A dropped future may or may not have committed: read before repeating.
    async fn commit(&self, changes: ChangeSet) -> Result<Revision, CommitError>;

    /// What the commits after `after` touched, in order; waits until there is something that `filter` lets through.
    ///
    /// Go on with [`Changes::revision`]. A batch holds whole commits, and each commit is seen once.
    ///
    /// # Errors
    /// [`StoreError::WatchExpired`] when the store no longer knows all commits after `after`: list again, and watch from the page's revision.
    async fn changes(&self, after: Revision, filter: &Filter) -> Result<Changes, StoreError>;

    /// The revision of the last commit.
    async fn revision(&self) -> Result<Revision, StoreError>;
}
/// From where to where `namespace`'s audit chain leads: its checkpoint, or its start where nothing went yet, and its head. With them
/// [`verify_chain`](crate::audit::verify_chain) proves the events that are there.
///
/// # Errors
/// [`StoreError`] when the store fails, or holds something else in their place.
pub async fn chain_ends(store: &dyn Store, namespace: &str) -> Result<(ChainHead, ChainHead), StoreError> {
    let read = async |key: Key| match store.get(&key).await? {
        None => Ok(None),
        Some(stored) => match ChainHead::from_json(&stored.body) {
            Some(head) => Ok(Some(head)),
            None => Err(StoreError::Damaged { store: "audit chain".into(), what: key.to_string().into() }),
        },
    };
    let start = read(plan::checkpoint_key(namespace.into())).await?.unwrap_or_else(|| ChainHead::start(namespace));
    let head = read(plan::head_key(namespace.into())).await?.unwrap_or_else(|| start.clone());
    Ok((start, head))
}
