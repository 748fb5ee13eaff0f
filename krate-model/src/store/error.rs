//! What a store answers when it doesn't do as asked.

use std::sync::Arc;

use super::{Expect, Key, Revision};

/// The store failed: nothing is known to have changed, unless the variant says so.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The watch's history no longer reaches back that far, or `after` is of another store.
    #[error(
        "the watch from revision {after} has expired: history holds {oldest} to {newest}; list again and watch from there"
    )]
    WatchExpired {
        /// Where the watch wanted to go on.
        after: Revision,
        /// The oldest revision that a watch can go on after.
        oldest: Revision,
        /// The newest one.
        newest: Revision,
    },
    /// The medium is full. Nothing that was acknowledged is lost.
    #[error("{store}: no space left; free some and try again")]
    Full {
        /// Which store.
        store: Arc<str>,
        /// What the medium said.
        #[source]
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// What was read makes no sense.
    #[error("{store}: damaged: {what}")]
    Damaged {
        /// Which store.
        store: Arc<str>,
        /// What was found, without content.
        what: Arc<str>,
    },
    /// The store can't be reached or refuses to work; trying again later may help.
    #[error("{store}: unavailable")]
    Unavailable {
        /// Which store.
        store: Arc<str>,
        /// Why.
        #[source]
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// The answer to a commit was lost: it happened or it didn't. Read before repeating.
    #[error("{store}: the outcome of the commit is unknown; read before repeating it")]
    OutcomeUnknown {
        /// Which store.
        store: Arc<str>,
        /// What came in the place of an answer.
        #[source]
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
}

/// A change set that changed nothing.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// Somebody else was there first.
    #[error("{key}: expected {expected}, found {}", Found(.found))]
    Conflict {
        /// The first key whose state was another.
        key: Key,
        /// What the write expected.
        expected: Expect,
        /// What is there.
        found: Option<Revision>,
    },
    /// No store may apply it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A change set that no store may apply, whatever it holds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Two writes to one key.
    #[error("{key} is written twice in one change set")]
    WrittenTwice {
        /// The key.
        key: Key,
    },
    /// Audit events come from drafts and are never changed (R44).
    #[error("{key} is append-only: add an audit draft to the change set instead (R44)")]
    AppendOnly {
        /// The key.
        key: Key,
    },
    /// Over the limit of its collection (R22).
    #[error("{key} has {bytes} bytes, at most {max_bytes} are allowed (R22)")]
    TooLarge {
        /// The key.
        key: Key,
        /// Size of the body.
        bytes: usize,
        /// The limit.
        max_bytes: usize,
    },
    /// Namespace, name and index value make too long a row.
    #[error("{key}: namespace, name and the longest index value have {bytes} bytes, at most {max_bytes} are allowed")]
    TooLong {
        /// The key.
        key: Key,
        /// Their size together.
        bytes: usize,
        /// The limit.
        max_bytes: usize,
    },
    /// The beginning of an audit chain can't go: it is broken, or isn't there (R44).
    #[error("the audit chain of {namespace} can't be cut after event {upto}: {why}")]
    Retire {
        /// The namespace of the chain.
        namespace: Arc<str>,
        /// The number of the last event that was to go.
        upto: i64,
        /// Why.
        why: Box<str>,
    },
    /// The draft has no canonical JSON.
    #[error("audit event {kind:?} of namespace {namespace}: {source}")]
    Audit {
        /// The namespace of the chain.
        namespace: Arc<str>,
        /// The event's type.
        kind: Box<str>,
        /// Why.
        source: crate::NotCanonical,
    },
}

struct Found<'a>(&'a Option<Revision>);

impl std::fmt::Display for Found<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(revision) => write!(f, "revision {revision}"),
            None => f.write_str("nothing"),
        }
    }
}
