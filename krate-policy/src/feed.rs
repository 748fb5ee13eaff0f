//! Keeps a snapshot up to date from a store: all of it once, then what each commit touched (P48). Names no runtime; a future here waits for the store alone.
//!
//! ```
//! # use krate_model::store::MemoryStore;
//! # async fn example() -> Result<(), krate_policy::feed::FeedError> {
//! let store = MemoryStore::new();
//! let mut snapshot = krate_policy::feed::load(&store).await?;
//! // … before each decision, so that it sees every write before it:
//! snapshot = krate_policy::feed::catch_up(&store, snapshot).await?;
//! # Ok(()) }
//! ```

use std::collections::BTreeMap;

use krate_model::Kind;
use krate_model::store::{Collection, Filter, Query, Revision, Store, StoreError, Stored};
use serde_json::Value;

use crate::snapshot::{Item, Key, Snapshot};

/// Why a snapshot can't be made. There is no decision then: one made from a part of the resources could say yes where a resource that is missing says no.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FeedError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A resource in the store can't be read.
    #[error("{key}: {why}")]
    Unreadable {
        /// Which one.
        key: String,
        /// What is wrong.
        why: String,
    },
}

/// A snapshot of all that the store holds now.
///
/// # Errors
/// [`FeedError`].
pub async fn load(store: &dyn Store) -> Result<Snapshot, FeedError> {
    load_into(store, Snapshot::default()).await
}

/// The same, beside what `snapshot` knows that no store tells: controllers, administrators of the platform, whether a cluster is asked.
async fn load_into(store: &dyn Store, snapshot: Snapshot) -> Result<Snapshot, FeedError> {
    // What is written while the lists are read is read again with the next catching up.
    let revision = store.revision().await?;
    let mut items = Vec::new();
    for kind in Kind::ALL.iter().filter(|kind| Item::is_kept(**kind)) {
        let mut query = Query::new(*kind);
        loop {
            let page = store.list(&query).await?;
            for stored in &page.items {
                items.push(read(*kind, stored)?);
            }
            match page.next {
                Some(next) => query = query.after(next),
                None => break,
            }
        }
    }
    Ok(snapshot.emptied().with(revision.0, items))
}

/// `snapshot` as of the store's last commit; itself where nothing was committed since.
///
/// # Errors
/// [`FeedError`].
pub async fn catch_up(store: &dyn Store, snapshot: Snapshot) -> Result<Snapshot, FeedError> {
    if snapshot.version() == 0 {
        // From nothing the lists are shorter than the history.
        return load_into(store, snapshot).await;
    }
    let newest = store.revision().await?;
    let mut snapshot = snapshot;
    while Revision(snapshot.version()) < newest {
        let changes = match store.changes(Revision(snapshot.version()), &Filter::all()).await {
            Ok(changes) => changes,
            // Too long ago for the store to know: all of it again.
            Err(StoreError::WatchExpired { .. }) => return load_into(store, snapshot).await,
            Err(error) => return Err(error.into()),
        };
        let mut touched = BTreeMap::new();
        for change in &changes.touched {
            if let Collection::Kind(kind) = change.key.collection
                && Item::is_kept(kind)
            {
                touched.insert((kind, change.key.namespace.clone(), change.key.name.clone()), &change.key);
            }
        }
        let mut items = Vec::new();
        for ((kind, namespace, name), key) in touched {
            if let Some(stored) = store.get(key).await? {
                items.push(read(kind, &stored)?);
            } else {
                let key = Key { kind, namespace: (*namespace).into(), name: (*name).into() };
                snapshot = snapshot.without(snapshot.version(), &key);
            }
        }
        snapshot = snapshot.with(changes.revision.0, items);
    }
    Ok(snapshot)
}

fn read(kind: Kind, stored: &Stored) -> Result<Item, FeedError> {
    let unreadable = |why: String| FeedError::Unreadable { key: stored.key.to_string(), why };
    let mut document: Value = serde_json::from_slice(&stored.body).map_err(|error| unreadable(error.to_string()))?;
    if let Some(metadata) = document.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("resourceVersion".to_owned(), stored.revision.to_string().into());
    }
    match Item::read(kind, &document) {
        Some(Ok(item)) => Ok(item),
        Some(Err(error)) => Err(unreadable(error.to_string())),
        None => Err(unreadable("is of no kind that decisions are made from".to_owned())),
    }
}
