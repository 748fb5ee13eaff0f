//! Keys, revisions, index entries, change sets.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::audit::AuditDraft;
use crate::kinds::shared::Time;
use crate::{Kind, StorageClass};

/// The bytes of an object, shared rather than copied.
pub type Body = Arc<[u8]>;

/// The largest body of a private record: a provider's largest payload, and room.
pub const MAX_PRIVATE_BYTES: usize = 32 * 1024 * 1024;
/// The most bytes that namespace, name and the longest index value of an object may have together: a row of an index holds all three, and has to fit a
/// page of any database.
pub const MAX_INDEXED_BYTES: usize = 2500;
/// The largest body of a Record (R22).
const MAX_RECORD_BYTES: usize = 1024 * 1024;
/// The largest body of a Config object (R22).
const MAX_CONFIG_BYTES: usize = 256 * 1024;

macro_rules! named {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        #[repr(u8)]
        pub enum $name { $($(#[$vmeta])* $variant,)+ }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name that a store may persist; it never changes.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// The one with this name.
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($text => Some(Self::$variant),)+ _ => None }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.name())
            }
        }
    };
}

named! {
    /// Records of krate itself, which no API serves.
    Private {
        /// Raw webhook payloads, by digest.
        Payload = "private.payload",
        /// What a decision about one native object needs: identity, version, base, pending intents.
        SyncRecord = "private.syncrecord",
        /// Keys of what was taken in already.
        Dedupe = "private.dedupe",
        /// Who works on what, until when.
        Lease = "private.lease",
        /// Quota and budget ledgers.
        Ledger = "private.ledger",
        /// Parts of a budget that are set aside.
        Reservation = "private.reservation",
        /// Failure counts of circuit breakers.
        Breaker = "private.breaker",
        /// How far a reader or a backfill has come.
        Cursor = "private.cursor",
        /// Head and checkpoint of each namespace's audit chain; written by stores alone.
        Audit = "private.audit",
    }
}

named! {
    /// What objects are found by. The values are the typed layer's; they compare as bytes.
    Index {
        /// When the record wants to be looked at, as [`sortable_time`].
        Due = "due",
        /// The phase.
        Phase = "phase",
        /// The provider's name.
        Provider = "provider",
        /// The binding's name.
        Binding = "binding",
        /// The repository's name.
        Repository = "repository",
        /// The object that this one belongs to: the issue of a comment, the run of a job.
        Parent = "parent",
        /// What this one is about, as `Kind/name`.
        Subject = "subject",
        /// The native identity.
        Native = "native",
        /// The local object of a link.
        Local = "local",
        /// The uid.
        Uid = "uid",
        /// The owner.
        Owner = "owner",
        /// A label, as `key=value`.
        Label = "label",
        /// The correlation id.
        Correlation = "correlation",
        /// A digest that the object is known by.
        Digest = "digest",
        /// The type of an audit event, or of whatever has types.
        Type = "type",
        /// The organization that a reference from elsewhere names.
        Organization = "organization",
        /// When a record came to its end, as [`sortable_time`]: how long ago that was decides when it goes (R57).
        Ended = "ended",
    }
}

/// A set of objects that are keyed and listed together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Collection {
    /// The objects of a kind.
    Kind(Kind),
    /// Private records of one sort.
    Private(Private),
}

impl Collection {
    /// The name that a store may persist.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kind(kind) => kind.info().name,
            Self::Private(private) => private.name(),
        }
    }

    /// The collection with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Private::from_name(name).map(Self::Private).or_else(|| Kind::from_str(name).ok().map(Self::Kind))
    }

    /// The largest body (R22).
    pub const fn max_bytes(self) -> usize {
        match self {
            Self::Private(_) => MAX_PRIVATE_BYTES,
            Self::Kind(kind) => match kind.info().class {
                StorageClass::Config => MAX_CONFIG_BYTES,
                StorageClass::Record => MAX_RECORD_BYTES,
            },
        }
    }

    /// Whether only the store itself writes it: audit events and the heads of their chains (R44).
    pub const fn is_append_only(self) -> bool {
        matches!(self, Self::Kind(Kind::AuditEvent) | Self::Private(Private::Audit))
    }
}

impl From<Kind> for Collection {
    fn from(kind: Kind) -> Self {
        Self::Kind(kind)
    }
}

impl From<Private> for Collection {
    fn from(private: Private) -> Self {
        Self::Private(private)
    }
}

impl fmt::Display for Collection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The name of one object in a store.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// The collection.
    pub collection: Collection,
    /// The namespace; empty for private records that belong to none.
    pub namespace: Arc<str>,
    /// The name.
    pub name: Arc<str>,
}

impl Key {
    /// The key of `name` in `namespace`.
    ///
    /// ```
    /// use krate_model::{Kind, store::Key};
    /// assert_eq!(Key::new(Kind::Issue, "krate-org-a", "first").to_string(), "Issue krate-org-a/first");
    /// ```
    pub fn new(collection: impl Into<Collection>, namespace: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
        Self { collection: collection.into(), namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.collection, self.namespace, self.name)
    }
}

/// The number of a commit: store-wide, it grows with every commit. An object's `resourceVersion` is the revision that last wrote it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Revision(pub u64);

impl Revision {
    /// The revision of a store that nobody has written to.
    pub const ZERO: Self = Self(0);
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for Revision {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// An object as it stands in a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its key.
    pub key: Key,
    /// The revision that last wrote it.
    pub revision: Revision,
    /// Its bytes.
    pub body: Body,
}

/// One value that an object is found by. An object may have several of one index.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IndexEntry {
    /// The index.
    pub index: Index,
    /// The value.
    pub value: Arc<str>,
}

impl IndexEntry {
    /// An entry of `index`.
    pub fn new(index: Index, value: impl Into<Arc<str>>) -> Self {
        Self { index, value: value.into() }
    }
}

/// A time as an index value: texts that compare as the instants do, to the microsecond, over chrono's whole range.
///
/// ```
/// use krate_model::{kinds::shared::parse_time, store::sortable_time};
/// let [a, b] = ["1969-12-31T23:59:59Z", "2026-01-01T00:00:00.5+02:00"].map(|text| sortable_time(parse_time(text).unwrap()));
/// assert!(a < b);
/// ```
pub fn sortable_time(time: Time) -> String {
    // Flipping the sign bit maps the order of i64 to that of u64; fixed-width hex keeps it.
    format!("{:016x}", time.timestamp_micros().cast_unsigned() ^ (1 << 63))
}

/// What a write expects to find under its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Nothing.
    Absent,
    /// The object as this revision wrote it.
    At(Revision),
    /// Whatever is there.
    Any,
}

impl Expect {
    /// Whether `found` is what was expected.
    pub fn is_met_by(self, found: Option<Revision>) -> bool {
        match self {
            Self::Any => true,
            Self::Absent => found.is_none(),
            Self::At(revision) => found == Some(revision),
        }
    }
}

impl fmt::Display for Expect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("absent"),
            Self::At(revision) => write!(f, "at revision {revision}"),
            Self::Any => f.write_str("anything"),
        }
    }
}

/// What a write does to the object under its key.
#[derive(Clone, PartialEq, Eq)]
pub enum Change {
    /// Makes it, or replaces body and indexes.
    Put {
        /// The new bytes.
        body: Body,
        /// Everything that it is found by from now on.
        indexes: Vec<IndexEntry>,
    },
    /// Removes it; removing what is not there changes nothing.
    Delete,
    /// Leaves it: the write only states what the rest of the change set rests on, such as a lease that must still be held.
    Keep,
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Bodies hold what users wrote (S47).
        match self {
            Self::Put { body, indexes } => {
                f.debug_struct("Put").field("bytes", &body.len()).field("indexes", indexes).finish()
            }
            Self::Delete => f.write_str("Delete"),
            Self::Keep => f.write_str("Keep"),
        }
    }
}

/// One write of a change set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// What is written.
    pub key: Key,
    /// What must be there.
    pub expect: Expect,
    /// What happens to it.
    pub change: Change,
}

/// Writes that happen together or not at all, and the audit events that say why.
///
/// ```
/// use krate_model::{Kind, store::{ChangeSet, Expect, Index, IndexEntry, Key}};
/// let key = Key::new(Kind::Issue, "krate-org-a", "first");
/// let changes = ChangeSet::new().put(key, Expect::Absent, *b"{}", [IndexEntry::new(Index::Repository, "krate")]);
/// assert_eq!(changes.writes.len(), 1);
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ChangeSet {
    /// The writes, at most one a key.
    pub writes: Vec<Write>,
    /// What the audit chains of the drafts' namespaces grow by, in this order.
    pub audit: Vec<AuditDraft>,
    /// Beginnings of audit chains that go, at most one a namespace.
    pub retired: Vec<RetiredAudit>,
}

/// The beginning of a namespace's audit chain, which goes because its time is over (R44). What goes is checked first, and a checkpoint takes its place, so
/// that the rest stays provable: [`chain_ends`](super::chain_ends) says from where to where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetiredAudit {
    /// The namespace.
    pub namespace: Arc<str>,
    /// The number of the last event that went before: the checkpoint's, or 0.
    pub after: i64,
    /// The number of the last event that goes.
    pub upto: i64,
}

impl RetiredAudit {
    /// Whether something goes, and no more than a store takes at once.
    pub(super) fn is_bounded(&self) -> bool {
        (1..=super::plan::MAX_RETIRED).contains(&self.upto.saturating_sub(self.after))
    }
}

impl ChangeSet {
    /// No change yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes or replaces the object under `key`.
    #[must_use]
    pub fn put(
        self,
        key: Key,
        expect: Expect,
        body: impl Into<Body>,
        indexes: impl IntoIterator<Item = IndexEntry>,
    ) -> Self {
        let change = Change::Put { body: body.into(), indexes: indexes.into_iter().collect() };
        self.with(Write { key, expect, change })
    }

    /// Removes the object under `key`.
    #[must_use]
    pub fn delete(self, key: Key, expect: Expect) -> Self {
        self.with(Write { key, expect, change: Change::Delete })
    }

    /// Rests on the object under `key` without writing it.
    #[must_use]
    pub fn keep(self, key: Key, expect: Expect) -> Self {
        self.with(Write { key, expect, change: Change::Keep })
    }

    /// Adds a write.
    #[must_use]
    pub fn with(mut self, write: Write) -> Self {
        self.writes.push(write);
        self
    }

    /// Adds an audit event.
    #[must_use]
    pub fn audited(mut self, draft: AuditDraft) -> Self {
        self.audit.push(draft);
        self
    }

    /// Takes away the events of `namespace`'s audit chain behind number `after`, where the chain begins now, up to number `upto`.
    #[must_use]
    pub fn retiring(mut self, namespace: impl Into<Arc<str>>, after: i64, upto: i64) -> Self {
        self.retired.push(RetiredAudit { namespace: namespace.into(), after, upto });
        self
    }

    /// Whether it would do nothing at all.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty() && self.audit.is_empty() && self.retired.is_empty()
    }
}
