//! What a decision is made from: the policy resources at one moment, immutable, shared without locks, changed by making a new one
//! that shares all it can with the old (permission-review.md section 1; P48).
//!
//! ```
//! use krate_model::Resource;
//! use krate_model::kinds::identity::{Organization, OrganizationSpec};
//! use krate_policy::snapshot::{Item, Snapshot};
//! let acme = Organization::at("krate-system", "acme", OrganizationSpec::new("Acme", "acme", "krate-org-acme"));
//! let first = Snapshot::new(1).with(2, [Item::from(acme)]);
//! assert_eq!(first.version(), 2);
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use krate_model::kinds::agents::{
    AgentProviderConfig, AgentServiceAccount, AgentStack, AgentSubagent, AgentWorkspacePolicy,
};
use krate_model::kinds::enforcement::{PolicyBinding, PolicyExceptionRequest, PolicyProfile, PolicyTemplate};
use krate_model::kinds::external::{
    BindingTargetKind, ExternalBackendBinding, ExternalBackendProvider, ExternalBackendSyncPolicy,
    ExternalProviderCapabilityManifest,
};
use krate_model::kinds::forge::Repository;
use krate_model::kinds::grants::{AgentConfigGrant, AgentRoleBinding, AgentSecretGrant};
use krate_model::kinds::identity::{OrgNamespaceBinding, OrgSharingPolicy, Organization};
use krate_model::kinds::labels::AgentContextLabel;
use krate_model::kinds::members::{IdentityMapping, IdentityMappingPhase, RepositoryPermission, Team, User};
use krate_model::kinds::policy::{AgentApproval, ApprovalSubjectKind};
use krate_model::kinds::pools::RunnerPool;
use krate_model::kinds::shared::Time;
use krate_model::kinds::tools::{AgentMcpServer, AgentMemorySource, AgentSkill, AgentToolProfile};
use krate_model::kinds::triggers::AgentTriggerRule;
use krate_model::validate::{self, Code, DEFAULT_SECRET_NAMESPACE, Failure, View, Writer};
use krate_model::{Kind, Resource};

use crate::approval;
use crate::decision::Version;
use crate::grant::Grant;
use crate::guard::Guard;
use crate::request::Named;
use crate::roles::Controller;
use crate::shards::{Keyed, Parts, Shards};
use crate::tools::Tools;

/// What is known of a Secret or a ConfigMap: never a value (P67).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// Its uid.
    pub uid: Box<str>,
    /// Names of its keys; absent where they can't be listed.
    pub keys: Option<BTreeSet<Box<str>>>,
}

macro_rules! items {
    ($($kind:ident),+ $(,)?) => {
        /// A resource that decisions are made from.
        #[derive(Debug, Clone, PartialEq)]
        #[non_exhaustive]
        pub enum Item {
            $(#[doc = concat!("A ", stringify!($kind), ".")] $kind(Box<$kind>),)+
        }

        $(impl From<$kind> for Item {
            fn from(object: $kind) -> Self {
                Self::$kind(Box::new(object))
            }
        })+

        /// A kind that is kept.
        pub(crate) trait Kept: Resource {
            /// The object, where the item is one of this kind.
            fn of(item: &Item) -> Option<&Self>;
        }

        $(impl Kept for $kind {
            fn of(item: &Item) -> Option<&Self> {
                match item {
                    Item::$kind(object) => Some(object),
                    _ => None,
                }
            }
        })+

        impl Item {
            /// Kind, namespace and name.
            fn key(&self) -> Key {
                match self {
                    $(Self::$kind(object) => {
                        Key { kind: $kind::KIND, namespace: object.namespace().into(), name: object.name().into() }
                    })+
                }
            }

            /// Whether resources of that kind are kept.
            pub const fn is_kept(kind: Kind) -> bool {
                matches!(kind, $(Kind::$kind)|+)
            }

            /// The uid, once a store has given one.
            pub fn uid(&self) -> Option<&str> {
                match self {
                    $(Self::$kind(object) => object.metadata.uid.as_deref(),)+
                }
            }

            /// Its labels.
            pub(crate) fn labels(&self) -> &BTreeMap<String, String> {
                static NONE: BTreeMap<String, String> = BTreeMap::new();
                match self {
                    $(Self::$kind(object) => object.metadata.labels.as_ref().unwrap_or(&NONE),)+
                }
            }

            /// What it is called in decisions, with its uid and version.
            fn version(&self) -> Arc<Version> {
                match self {
                    $(Self::$kind(object) => crate::grant::version($kind::KIND, &object.metadata),)+
                }
            }

            /// Its document.
            pub fn document(&self) -> serde_json::Value {
                match self {
                    $(Self::$kind(object) => serde_json::to_value(object).unwrap_or_default(),)+
                }
            }

            /// Reads a document of one of these kinds; `None` for any other.
            ///
            /// # Errors
            /// What is missing in the document or of another type.
            pub fn read(kind: Kind, document: &serde_json::Value) -> Option<Result<Self, serde_json::Error>> {
                match kind {
                    $(Kind::$kind => Some(serde::Deserialize::deserialize(document).map(|object: $kind| object.into())),)+
                    _ => None,
                }
            }
        }
    };
}

items! {
    Organization, OrgNamespaceBinding, OrgSharingPolicy, User, Team, IdentityMapping, Repository, RepositoryPermission, AgentRoleBinding, AgentSecretGrant,
    AgentConfigGrant, AgentApproval, PolicyProfile, PolicyTemplate, PolicyBinding, PolicyExceptionRequest, ExternalBackendProvider, ExternalBackendBinding,
    ExternalBackendSyncPolicy, ExternalProviderCapabilityManifest, RunnerPool, AgentServiceAccount, AgentStack, AgentSubagent, AgentToolProfile,
    AgentMcpServer, AgentSkill, AgentTriggerRule, AgentWorkspacePolicy, AgentProviderConfig, AgentMemorySource, AgentContextLabel,
}

/// Why a document can't be taken in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DocumentError {
    /// A text that every document has isn't there.
    #[error("has no text at {pointer}")]
    Missing {
        /// Where it should be.
        pointer: &'static str,
    },
    /// It isn't as its kind is.
    #[error("is no {kind}: {why}")]
    Unreadable {
        /// The kind.
        kind: String,
        /// What is wrong.
        why: String,
    },
    /// It has a field that nobody reads: without it the document may say more than was written, as an `exclude` that is misspelt does (R7).
    #[error("{failure}")]
    UnknownField {
        /// Where, and what would be accepted.
        failure: String,
    },
    /// Decisions are made from other kinds.
    #[error("is of kind {kind:?}, from which no decision is made")]
    OtherKind {
        /// The kind.
        kind: String,
    },
}

/// The first field of a document that its kind doesn't have. Only that is asked of it: a snapshot is also made of what a later version wrote, or nobody admitted.
fn unknown_field(document: &serde_json::Value) -> Option<String> {
    // When it is looked at makes no difference to its fields.
    let by = validate::Request::new(Writer::Controller, Time::UNIX_EPOCH);
    let report = validate::validate(document, None, &View::partial([]), &by);
    let unknown = |failure: &&Failure| failure.code == Code::Forbidden && failure.rule.to_string() == "R7";
    report.failures.iter().find(unknown).map(ToString::to_string)
}

/// Where a resource stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace.
    pub namespace: Box<str>,
    /// Its name.
    pub name: Box<str>,
}

impl Keyed for Key {
    type Ref<'a> = (Kind, [&'a str; 2]);

    fn borrowed(&self) -> Self::Ref<'_> {
        (self.kind, [&self.namespace, &self.name])
    }

    fn is(&self, at: Self::Ref<'_>) -> bool {
        self.borrowed() == at
    }
}

/// A resource as it is kept, with what decisions call it.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) item: Item,
    pub(crate) version: Arc<Version>,
}

/// A resource of a known kind, with what decisions call it.
#[derive(Debug)]
pub(crate) struct Known<'a, R> {
    pub(crate) object: &'a R,
    pub(crate) version: &'a Arc<Version>,
}

impl<R> Clone for Known<'_, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for Known<'_, R> {}

impl<R> std::ops::Deref for Known<'_, R> {
    type Target = R;

    fn deref(&self) -> &R {
        self.object
    }
}

/// A person, with what gives them rights.
#[derive(Clone, Copy)]
pub(crate) struct Person<'a> {
    pub(crate) user: Known<'a, User>,
    rights: Option<&'a BTreeMap<Key, Arc<Held>>>,
}

impl<'a> Person<'a> {
    pub(crate) fn name(&self) -> &'a str {
        self.user.object.metadata.name.as_deref().unwrap_or_default()
    }

    /// Their role bindings, permissions and teams.
    pub(crate) fn rights(&self) -> impl Iterator<Item = &'a Held> {
        self.rights.into_iter().flat_map(BTreeMap::values).map(Arc::as_ref)
    }
}

/// The policy resources of all organizations at one moment.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    version: u64,
    items: Shards<Key, Arc<Held>>,
    /// Organizations, by slug.
    organizations: BTreeMap<Box<str>, Arc<Held>>,
    /// Organization → where its namespace binding stands.
    binding_keys: BTreeMap<Box<str>, Key>,
    /// What a resource, or a whole namespace (no name), is looked up for: sharing policies of a namespace, exceptions of a policy, bindings of a repository,
    /// manifests of a provider type (no namespace).
    about: Shards<Key, BTreeMap<Key, Arc<Held>>>,
    /// Namespace → its policies, by name.
    guards: Shards<Box<str>, BTreeMap<Box<str>, Arc<Guard>>>,
    /// (namespace, tool profile) → it, read.
    tools: Shards<Parts<2>, Arc<Tools>>,
    /// Who administers the platform, by name, with their uid.
    platform_admins: BTreeMap<Box<str>, Box<str>>,
    /// Controllers of krate that write, by name, with their uid.
    controllers: BTreeMap<Box<str>, (Box<str>, Controller)>,
    is_native_asked: bool,
    /// (namespace, user of the grant, target) → grants, by name. What a question looks at is one entry of this.
    pub(crate) grants: Shards<GrantKey, Vec<Arc<Grant>>>,
    /// (namespace, kind, subject) → its role bindings, repository permissions and teams.
    rights: Shards<Parts<3>, BTreeMap<Key, Arc<Held>>>,
    /// (namespace, provider, account id) → its mappings.
    accounts: Shards<Parts<3>, BTreeMap<Key, Arc<Held>>>,
    pub(crate) secrets: Shards<Parts<2>, Metadata>,
    pub(crate) config_maps: Shards<Parts<2>, Metadata>,
}

/// What grants are looked up by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct GrantKey {
    pub(crate) kind: Kind,
    /// Where the grant is; kind and name of who uses it; namespace and name of what is granted.
    pub(crate) parts: Parts<5>,
}

impl Keyed for GrantKey {
    type Ref<'a> = (Kind, [&'a str; 5]);

    fn borrowed(&self) -> Self::Ref<'_> {
        (self.kind, self.parts.borrowed())
    }

    fn is(&self, at: Self::Ref<'_>) -> bool {
        self.borrowed() == at
    }
}

impl Snapshot {
    /// An empty one.
    pub fn new(version: u64) -> Self {
        Self { version, ..Self::default() }
    }

    /// Which one it is: the revision of the store that it was made from.
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// The same with these resources put in, each in place of an older one of its key.
    #[must_use]
    pub fn with(&self, version: u64, items: impl IntoIterator<Item = Item>) -> Self {
        let mut next = Self { version, ..self.clone() };
        for item in items {
            next.remove(&item.key());
            next.insert(item);
        }
        next
    }

    /// One without resources, with what it knows that no store tells.
    pub(crate) fn emptied(&self) -> Self {
        Self {
            controllers: self.controllers.clone(),
            platform_admins: self.platform_admins.clone(),
            is_native_asked: self.is_native_asked,
            ..Self::default()
        }
    }

    /// The same without the resource of that key.
    #[must_use]
    pub fn without(&self, version: u64, key: &Key) -> Self {
        let mut next = Self { version, ..self.clone() };
        next.remove(key);
        next
    }

    /// The same, with what is known of a Secret.
    #[must_use]
    pub fn with_secret(&self, version: u64, namespace: &str, name: &str, metadata: Metadata) -> Self {
        let mut next = Self { version, ..self.clone() };
        next.secrets.change([namespace, name].into(), |slot| *slot = Some(metadata));
        next
    }

    /// The same, with what is known of a ConfigMap.
    #[must_use]
    pub fn with_config_map(&self, version: u64, namespace: &str, name: &str, metadata: Metadata) -> Self {
        let mut next = Self { version, ..self.clone() };
        next.config_maps.change([namespace, name].into(), |slot| *slot = Some(metadata));
        next
    }

    /// The same with what a document tells: a resource that decisions are made from, or of a Secret or a ConfigMap the uid and the names of its keys.
    /// The snapshot's version is the highest resource version among them.
    ///
    /// # Errors
    /// [`DocumentError`] says what is missing, which field nobody knows, or that decisions aren't made from its kind.
    pub fn with_document(&self, document: &serde_json::Value) -> Result<Self, DocumentError> {
        let text = |pointer: &'static str| document.pointer(pointer).and_then(serde_json::Value::as_str);
        let needed = |pointer: &'static str| text(pointer).ok_or(DocumentError::Missing { pointer });
        let version = text("/metadata/resourceVersion").and_then(|version| version.parse().ok()).unwrap_or(0);
        let version = self.version.max(version);
        let kind = needed("/kind")?;
        if kind == "Secret" || kind == "ConfigMap" {
            // A document that holds none of them is of somebody who may read the metadata only.
            let fields =
                ["data", "stringData", "binaryData"].iter().filter_map(|field| document.get(field)?.as_object());
            let fields: Vec<_> = fields.collect();
            let keys = fields.iter().flat_map(|field| field.keys()).map(|key| key.as_str().into()).collect();
            let metadata =
                Metadata { uid: needed("/metadata/uid")?.into(), keys: (!fields.is_empty()).then_some(keys) };
            let (namespace, name) = (needed("/metadata/namespace")?, needed("/metadata/name")?);
            return Ok(if kind == "Secret" {
                self.with_secret(version, namespace, name, metadata)
            } else {
                self.with_config_map(version, namespace, name, metadata)
            });
        }
        let read = kind.parse::<Kind>().ok().and_then(|kind| Item::read(kind, document));
        match read {
            Some(Ok(item)) => match unknown_field(document) {
                Some(failure) => Err(DocumentError::UnknownField { failure }),
                None => Ok(self.with(version, [item])),
            },
            Some(Err(error)) => Err(DocumentError::Unreadable { kind: kind.to_owned(), why: error.to_string() }),
            None => Err(DocumentError::OtherKind { kind: kind.to_owned() }),
        }
    }

    /// The organizations, by name.
    pub fn organizations(&self) -> impl Iterator<Item = &str> {
        self.organizations.keys().map(|name| &**name)
    }

    /// The namespaces of all organizations.
    pub(crate) fn namespaces(&self) -> impl Iterator<Item = &str> {
        self.organizations.values().filter_map(|held| Some(&*Organization::of(&held.item)?.spec.namespace_name))
    }

    fn insert(&mut self, item: Item) {
        let key = item.key();
        let held = Arc::new(Held { version: item.version(), item });
        self.index(&key, &held, true);
        self.items.change(key, |slot| *slot = Some(held));
    }

    fn remove(&mut self, key: &Key) {
        if let Some(old) = self.items.get(key.borrowed()).cloned() {
            self.index(key, &old, false);
            self.items.change(key.clone(), |slot| *slot = None);
        }
    }

    /// Puts an item into the indexes, or takes it out.
    fn index(&mut self, key: &Key, held: &Arc<Held>, insert: bool) {
        let item = &held.item;
        match item {
            Item::Organization(organization) => {
                let slug: Box<str> = organization.spec.slug.as_str().into();
                if insert {
                    self.organizations.insert(slug, Arc::clone(held));
                } else {
                    self.organizations.remove(&slug);
                }
            }
            Item::AgentSecretGrant(_) | Item::AgentConfigGrant(_) => {
                let Some((at, grant)) = Grant::of(item) else { return };
                self.grants.change(at, |slot| {
                    let grants = slot.get_or_insert_default();
                    let place = grants.binary_search_by(|known| known.version.name.cmp(&grant.version.name));
                    if let Ok(place) = place {
                        grants.remove(place);
                    }
                    if insert {
                        let (Ok(place) | Err(place)) = place;
                        grants.insert(place, Arc::new(grant));
                    }
                    if grants.is_empty() {
                        *slot = None;
                    }
                });
            }
            Item::AgentRoleBinding(binding) => {
                let subject = &binding.spec.subject;
                self.right(key, held, subject.kind.as_str(), &subject.name, insert);
            }
            Item::RepositoryPermission(permission) => {
                let subject = &permission.spec.subject;
                self.right(key, held, subject.kind.as_str(), &subject.name, insert);
            }
            Item::Team(team) => {
                for member in team.spec.members.union(&team.spec.maintainers) {
                    self.right(key, held, "user", member, insert);
                }
            }
            Item::IdentityMapping(mapping) => {
                let at = [&*key.namespace, &mapping.spec.provider.name, &mapping.spec.subject];
                self.accounts.change(at.into(), |slot| put(slot, key, held, insert));
                self.stands_for(Kind::IdentityMapping, &key.namespace, &mapping.spec.user, key, held, insert);
            }
            Item::OrgNamespaceBinding(binding) => {
                let organization: Box<str> = binding.spec.organization_ref.as_str().into();
                if insert {
                    self.binding_keys.insert(organization, key.clone());
                } else {
                    self.binding_keys.remove(&organization);
                }
            }
            Item::OrgSharingPolicy(_) => self.stands_for(Kind::OrgSharingPolicy, &key.namespace, "", key, held, insert),
            Item::PolicyBinding(binding) => {
                let guard = Arc::new(Guard::of(binding));
                self.guards.change(key.namespace.clone(), |slot| {
                    let guards = slot.get_or_insert_default();
                    if insert {
                        guards.insert(key.name.clone(), guard);
                    } else {
                        guards.remove(&key.name);
                    }
                    if guards.is_empty() {
                        *slot = None;
                    }
                });
            }
            Item::PolicyExceptionRequest(exception) => {
                self.stands_for(Kind::PolicyBinding, &key.namespace, &exception.spec.policy_ref, key, held, insert);
                if let Some(asked) = exception.spec.requested_by.as_ref().filter(|_| exception.spec.break_glass) {
                    let kind = Kind::PolicyExceptionRequest;
                    self.stands_for(kind, &key.namespace, &asked.name, key, held, insert);
                }
            }
            Item::AgentApproval(approval) => {
                let subject = &approval.spec.subject;
                if subject.kind == ApprovalSubjectKind::DispatchRun {
                    self.stands_for(Kind::AgentDispatchRun, &key.namespace, &subject.name, key, held, insert);
                }
                // Where somebody said no: who asks again doesn't name it (P33).
                if approval::is_denied(approval) {
                    let digest = approval.spec.digest.to_string();
                    self.stands_for(Kind::AgentApproval, &key.namespace, &digest, key, held, insert);
                    self.stands_for(Kind::AgentApproval, &key.namespace, "", key, held, insert);
                }
            }
            Item::ExternalBackendBinding(binding) => {
                let target = &binding.spec.target_ref;
                if target.kind == BindingTargetKind::Repository {
                    self.stands_for(Kind::Repository, &key.namespace, &target.name, key, held, insert);
                }
            }
            Item::ExternalProviderCapabilityManifest(manifest) => {
                let kind = Kind::ExternalProviderCapabilityManifest;
                self.stands_for(kind, "", &manifest.spec.provider_type, key, held, insert);
            }
            Item::AgentToolProfile(profile) => {
                let at = [&*key.namespace, &*key.name];
                self.tools.change(at.into(), |slot| *slot = insert.then(|| Arc::new(Tools::of(profile))));
            }
            Item::RunnerPool(_)
            | Item::AgentServiceAccount(_)
            | Item::AgentStack(_)
            | Item::AgentSubagent(_)
            | Item::AgentMcpServer(_)
            | Item::AgentSkill(_)
            | Item::AgentTriggerRule(_)
            | Item::AgentWorkspacePolicy(_)
            | Item::AgentProviderConfig(_)
            | Item::AgentMemorySource(_)
            | Item::AgentContextLabel(_)
            | Item::PolicyProfile(_)
            | Item::PolicyTemplate(_)
            | Item::ExternalBackendProvider(_)
            | Item::ExternalBackendSyncPolicy(_) => {}
            Item::User(_) => self.stands_for(Kind::User, &key.namespace, "", key, held, insert),
            Item::Repository(_) => {}
        }
    }

    fn stands_for(&mut self, kind: Kind, namespace: &str, name: &str, key: &Key, held: &Arc<Held>, insert: bool) {
        let at = Key { kind, namespace: namespace.into(), name: name.into() };
        self.about.change(at, |slot| put(slot, key, held, insert));
    }

    /// What is looked up for a resource, in the order of names.
    fn standing_for(&self, kind: Kind, namespace: &str, name: &str) -> impl Iterator<Item = &Item> {
        self.about.get((kind, [namespace, name])).into_iter().flat_map(BTreeMap::values).map(|held| &held.item)
    }

    /// Names of the users of a namespace.
    pub(crate) fn users(&self, namespace: &str) -> impl Iterator<Item = Box<str>> {
        self.about.get((Kind::User, [namespace, ""])).into_iter().flat_map(BTreeMap::keys).map(|key| key.name.clone())
    }

    /// An account that is a user's by a verified mapping: its provider, and its id there.
    pub(crate) fn account_of(&self, namespace: &str, user: &str) -> Option<(Box<str>, Box<str>)> {
        self.standing_for(Kind::IdentityMapping, namespace, user).find_map(|item| match item {
            Item::IdentityMapping(mapping)
                if mapping.status.as_ref().is_some_and(|it| it.phase == IdentityMappingPhase::Verified) =>
            {
                let spec = &mapping.spec;
                Some((spec.provider.name.as_str().into(), spec.subject.as_str().into()))
            }
            _ => None,
        })
    }

    /// Everything that is kept, in no order that means anything.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&Key, &Item)> {
        self.items.iter().map(|(key, held)| (key, &held.item))
    }

    /// The policies of a namespace, by name.
    pub(crate) fn guards(&self, namespace: &str) -> impl Iterator<Item = &Guard> {
        self.guards.get(namespace).into_iter().flat_map(|guards| guards.values().map(Arc::as_ref))
    }

    /// The exceptions that were asked for of a policy.
    pub(crate) fn exceptions(&self, namespace: &str, policy: &str) -> impl Iterator<Item = &PolicyExceptionRequest> {
        self.standing_for(Kind::PolicyBinding, namespace, policy).filter_map(|item| match item {
            Item::PolicyExceptionRequest(exception) => Some(exception.as_ref()),
            _ => None,
        })
    }

    /// The broken glass of a person.
    pub(crate) fn broken_glass(&self, namespace: &str, person: &str) -> impl Iterator<Item = &PolicyExceptionRequest> {
        self.standing_for(Kind::PolicyExceptionRequest, namespace, person).filter_map(PolicyExceptionRequest::of)
    }

    /// The approvals of a namespace that somebody denied: those of a digest, or of the empty text all of them.
    pub(crate) fn denied(&self, namespace: &str, digest: &str) -> impl Iterator<Item = &AgentApproval> {
        self.standing_for(Kind::AgentApproval, namespace, digest).filter_map(AgentApproval::of)
    }

    /// The approvals that were asked for a run.
    pub(crate) fn approvals_of_run(&self, namespace: &str, run: &str) -> impl Iterator<Item = &AgentApproval> {
        self.standing_for(Kind::AgentDispatchRun, namespace, run).filter_map(AgentApproval::of)
    }

    /// The bindings of a repository.
    pub(crate) fn bindings(&self, namespace: &str, repository: &str) -> impl Iterator<Item = &ExternalBackendBinding> {
        self.standing_for(Kind::Repository, namespace, repository).filter_map(|item| match item {
            Item::ExternalBackendBinding(binding) => Some(binding.as_ref()),
            _ => None,
        })
    }

    /// What providers of a type can do.
    pub(crate) fn manifest(&self, provider_type: &str) -> Option<&ExternalProviderCapabilityManifest> {
        let kind = Kind::ExternalProviderCapabilityManifest;
        self.standing_for(kind, "", provider_type).find_map(|item| match item {
            Item::ExternalProviderCapabilityManifest(manifest) => Some(manifest.as_ref()),
            _ => None,
        })
    }

    fn right(&mut self, key: &Key, held: &Arc<Held>, kind: &str, name: &str, insert: bool) {
        let at = [&*key.namespace, kind, name];
        self.rights.change(at.into(), |slot| put(slot, key, held, insert));
    }

    /// The resource of that key.
    pub(crate) fn item(&self, kind: Kind, namespace: &str, name: &str) -> Option<&Item> {
        Some(&self.held(kind, namespace, name)?.item)
    }

    /// The same, with what decisions call it.
    pub(crate) fn held(&self, kind: Kind, namespace: &str, name: &str) -> Option<&Held> {
        self.items.get((kind, [namespace, name])).map(Arc::as_ref)
    }

    /// The resource of that kind and name.
    pub(crate) fn get<R: Kept>(&self, namespace: &str, name: &str) -> Option<Known<'_, R>> {
        let held = self.held(R::KIND, namespace, name)?;
        Some(Known { object: R::of(&held.item)?, version: &held.version })
    }

    /// A tool profile, read.
    pub(crate) fn tools(&self, namespace: &str, name: &str) -> Option<&Tools> {
        self.tools.get([namespace, name]).map(Arc::as_ref)
    }

    /// The same, with a controller of krate that acts for itself; nobody else may under that name.
    #[must_use]
    pub fn with_controller(mut self, name: &str, uid: &str, controller: Controller) -> Self {
        self.controllers.insert(name.into(), (uid.into(), controller));
        self
    }

    /// The same, with a person who administers the platform: organizations, and what is lent to them (P9).
    #[must_use]
    pub fn with_platform_admin(mut self, name: &str, uid: &str) -> Self {
        self.platform_admins.insert(name.into(), uid.into());
        self
    }

    pub(crate) fn is_platform_admin(&self, name: &str, uid: &str) -> bool {
        self.platform_admins.get(name).is_some_and(|known| **known == *uid)
    }

    /// The organization whose namespace that is.
    pub fn organization_of(&self, namespace: &str) -> Option<&str> {
        let is_its = |held: &Held| Organization::of(&held.item).is_some_and(|it| it.spec.namespace_name == namespace);
        self.organizations.iter().find(|(_, held)| is_its(held)).map(|(name, _)| &**name)
    }

    /// A repository by name, with the uid of the one that stands there; one that isn't there has none that fits.
    pub(crate) fn named_repository(&self, namespace: &str, name: &str) -> Named {
        let uid = self.repository(namespace, name).and_then(|found| found.metadata.uid.as_deref());
        Named { name: name.into(), uid: uid.unwrap_or("none").into(), snapshot_digest: None }
    }

    /// The repository of a record that names its binding.
    pub fn repository_of(&self, namespace: &str, record: &serde_json::Value) -> Option<&str> {
        let binding = record.pointer("/spec/bindingRef")?.as_str()?;
        let target = &self.get::<ExternalBackendBinding>(namespace, binding)?.object.spec.target_ref;
        (target.kind == BindingTargetKind::Repository).then_some(target.name.as_str())
    }

    /// The roles of a team.
    pub(crate) fn roles_of_team(&self, namespace: &str, team: &str) -> impl Iterator<Item = &AgentRoleBinding> {
        self.rights(namespace, "team", team).filter_map(|held| match &held.item {
            Item::AgentRoleBinding(binding) => Some(&**binding),
            _ => None,
        })
    }

    /// The controller of that name and uid.
    pub(crate) fn controller(&self, name: &str, uid: &str) -> Option<&Controller> {
        self.controllers.get(name).filter(|(known, _)| **known == *uid).map(|(_, controller)| controller)
    }

    pub(crate) fn organization(&self, slug: &str) -> Option<&Organization> {
        Organization::of(&self.organizations.get(slug)?.item)
    }

    /// The namespace of an organization.
    pub(crate) fn namespace_of(&self, organization: &str) -> Option<&str> {
        Some(&self.organization(organization)?.spec.namespace_name)
    }

    pub(crate) fn sharing(&self, namespace: &str) -> impl Iterator<Item = Known<'_, OrgSharingPolicy>> {
        let held = self.about.get((Kind::OrgSharingPolicy, [namespace, ""])).into_iter().flat_map(BTreeMap::values);
        held.filter_map(|held| Some(Known { object: OrgSharingPolicy::of(&held.item)?, version: &held.version }))
    }

    /// Whether the platform lends the organization that key of a Secret (of a grant of Secrets) or ConfigMap (R10).
    pub(crate) fn is_lent(&self, organization: &str, namespace: &str, grant: Kind, name: &str, key: &str) -> bool {
        let held = self.binding_keys.get(organization).and_then(|at| self.items.get(at.borrowed()));
        let Some(Item::OrgNamespaceBinding(binding)) = held.map(|held| &held.item) else { return false };
        let spec = &binding.spec;
        let lent = if grant == Kind::AgentSecretGrant { &spec.platform_secrets } else { &spec.platform_config_maps };
        namespace == DEFAULT_SECRET_NAMESPACE && lent.iter().any(|lent| lent.name == name && lent.keys.contains(key))
    }

    /// Whether decisions need an answer of Kubernetes, too (P63).
    pub(crate) const fn is_native_asked(&self) -> bool {
        self.is_native_asked
    }

    /// The same, with or without a cluster that is to be asked (P63).
    #[must_use]
    pub const fn with_native(mut self, is_asked: bool) -> Self {
        self.is_native_asked = is_asked;
        self
    }

    pub(crate) fn user(&self, namespace: &str, name: &str) -> Option<Known<'_, User>> {
        self.get(namespace, name)
    }

    pub(crate) fn person(&self, namespace: &str, name: &str) -> Option<Person<'_>> {
        Some(Person { user: self.user(namespace, name)?, rights: self.rights.get([namespace, "user", name]) })
    }

    pub(crate) fn repository(&self, namespace: &str, name: &str) -> Option<&Repository> {
        Some(self.get(namespace, name)?.object)
    }

    /// What gives the subject rights: its role bindings, permissions and teams.
    pub(crate) fn rights(&self, namespace: &str, kind: &str, name: &str) -> impl Iterator<Item = &Held> {
        self.rights.get([namespace, kind, name]).into_iter().flat_map(BTreeMap::values).map(Arc::as_ref)
    }

    /// The mapping of an account, where there is one only.
    pub(crate) fn mapping(&self, namespace: &str, provider: &str, id: &str) -> Option<&IdentityMapping> {
        let mut found = self.accounts.get([namespace, provider, id])?.values();
        match (found.next().map(|held| &held.item), found.next()) {
            (Some(Item::IdentityMapping(mapping)), None) => Some(mapping),
            _ => None,
        }
    }
}

fn put(slot: &mut Option<BTreeMap<Key, Arc<Held>>>, key: &Key, held: &Arc<Held>, insert: bool) {
    let found = slot.get_or_insert_default();
    if insert {
        found.insert(key.clone(), Arc::clone(held));
    } else {
        found.remove(key);
    }
    if found.is_empty() {
        *slot = None;
    }
}
