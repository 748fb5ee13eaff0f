//! What all typed kinds have in common, whatever their fields: identity, spec, status. Spec: resource-kinds.md sections 1 and 3.
//!
//! The typed objects are made by kube's `CustomResource` derive; [`resource!`] adds [`Resource`] to them.

use std::fmt::Debug;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::core::ObjectMeta;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::condition::from_kube_time;
use crate::kinds::shared::{Condition, ExternalEnvelope, ObjectRef, Time};
use crate::store::{Index, sortable_time};
use crate::{ClosedSet, Kind};

/// A typed object of one kind.
///
/// ```
/// use krate_model::Resource;
/// use krate_model::kinds::identity::{Organization, OrganizationSpec};
/// let mut organization = Organization::at("krate-system", "acme", OrganizationSpec::new("Acme", "acme", "krate-org-acme"));
/// assert_eq!((organization.namespace(), organization.name()), ("krate-system", "acme"));
/// assert_eq!(organization.status(), None);
/// organization.status_mut().namespace_ready = true;
/// ```
pub trait Resource: Serialize + DeserializeOwned + Clone + PartialEq + Debug + Send + Sync + 'static {
    /// The kind that objects of this type are of.
    const KIND: Kind;
    /// Every phase, in the order of the spec; the first one is where an object starts (R39).
    const PHASES: &'static [&'static str];
    /// What is wanted.
    type Spec: Clone + PartialEq + Debug + Send + Sync + 'static;
    /// What was observed. Its default stands in the first phase.
    type Status: Clone + Default + PartialEq + Debug + Send + Sync + 'static;

    /// An object of that namespace and name, without status.
    ///
    /// (`new` is taken by kube's derive, which knows no namespace.)
    fn at(namespace: impl Into<String>, name: impl Into<String>, spec: Self::Spec) -> Self;
    /// Name, namespace, labels and what the store adds.
    fn metadata(&self) -> &ObjectMeta;
    /// Name, namespace, labels and what the store adds.
    fn metadata_mut(&mut self) -> &mut ObjectMeta;
    /// What is wanted.
    fn spec(&self) -> &Self::Spec;
    /// What is wanted.
    fn spec_mut(&mut self) -> &mut Self::Spec;
    /// What was observed, if anything was yet.
    fn status(&self) -> Option<&Self::Status>;
    /// What was observed; a status in the first phase is made where there was none.
    fn status_mut(&mut self) -> &mut Self::Status;
    /// The phase, as it stands in JSON; the first one while there is no status.
    fn phase(&self) -> &str;
    /// The organization that the object belongs to, where it names one (R35).
    fn organization(&self) -> Option<&str>;

    /// What the object is found by, besides its name.
    ///
    /// - `phase`: every object; the first phase while there is no status.
    /// - `provider`, `binding`, `native` (`provider/nativeKind/nativeId`): objects with an external identity.
    /// - `repository`: the name of the repository.
    /// - `parent`: `Kind/name` of the owner (R56): the pull request of a review, the subject of a comment, the run of a job.
    /// - `due`: a record that isn't final and has work, as [`sortable_time`](crate::store::sortable_time) of when.
    fn indexes(&self, add: &mut dyn FnMut(Index, String));

    /// The namespace; empty where none is set.
    fn namespace(&self) -> &str {
        self.metadata().namespace.as_deref().unwrap_or_default()
    }

    /// The name; empty where none is set.
    fn name(&self) -> &str {
        self.metadata().name.as_deref().unwrap_or_default()
    }

    /// Makes `owner` the object that this one goes with, as its controller (R56). Nothing where the owner's uid isn't known: a name may be another object's
    /// tomorrow.
    fn set_owner(&mut self, owner: &ObjectRef) {
        let Some(uid) = owner.uid.clone() else { return };
        let reference = OwnerReference {
            api_version: crate::API_VERSION.to_owned(),
            kind: owner.kind.clone(),
            name: owner.name.clone(),
            uid,
            controller: Some(true),
            block_owner_deletion: None,
        };
        self.metadata_mut().owner_references = Some(vec![reference]);
    }

    /// The generation of the spec; 0 before a store has counted it.
    fn generation(&self) -> i64 {
        self.metadata().generation.unwrap_or_default()
    }
}

/// The phases of a status, by the type of its `phase`.
pub(crate) const fn phases_of<S, P: ClosedSet>(_: fn(&S) -> &P) -> &'static [&'static str] {
    P::ACCEPTED
}

/// Adds the index entries of an external identity.
pub(crate) fn index_envelope(external: Option<&ExternalEnvelope>, add: &mut dyn FnMut(Index, String)) {
    if let Some(external) = external {
        add(Index::Provider, external.provider_ref.clone());
        add(Index::Binding, external.binding_ref.clone());
        add(Index::Native, native_index(&external.provider_ref, &external.native_kind, &external.native_id));
    }
}

/// Adds when a record came to its end: the newest of the times that it tells of (R57).
pub(crate) fn index_ended(
    metadata: &ObjectMeta,
    conditions: &[Condition],
    times: impl IntoIterator<Item = Option<Time>>,
    add: &mut dyn FnMut(Index, String),
) {
    let made = metadata.creation_timestamp.as_ref().map(from_kube_time);
    let moved = conditions.iter().map(|condition| Some(from_kube_time(&condition.last_transition_time)));
    let ended = times.into_iter().chain(moved).chain([made]).flatten().max();
    add(Index::Ended, sortable_time(ended.unwrap_or(Time::UNIX_EPOCH)));
}

/// The value of the index `native`.
pub fn native_index(provider: &str, native_kind: &str, native_id: &str) -> String {
    format!("{provider}/{native_kind}/{native_id}")
}

/// Implements [`Resource`] for a type that kube's `CustomResource` derive made.
///
/// The first closure says which organization the spec names, the second adds what the object is found by besides its phase.
macro_rules! resource {
    ($kind:ident, $spec:ty, $status:ty, $organization:expr) => {
        $crate::resource::resource!($kind, $spec, $status, $organization, |_, _| ());
    };
    ($kind:ident, $spec:ty, $status:ty, $organization:expr, $indexes:expr) => {
        impl $crate::Resource for $kind {
            const KIND: $crate::Kind = $crate::Kind::$kind;
            const PHASES: &'static [&'static str] = $crate::resource::phases_of::<$status, _>(|status| &status.phase);
            type Spec = $spec;
            type Status = $status;

            fn at(namespace: impl Into<String>, name: impl Into<String>, spec: $spec) -> Self {
                let metadata = ::kube::core::ObjectMeta {
                    namespace: Some(namespace.into()),
                    name: Some(name.into()),
                    ..Default::default()
                };
                Self { metadata, spec, status: None }
            }
            fn metadata(&self) -> &::kube::core::ObjectMeta {
                &self.metadata
            }
            fn metadata_mut(&mut self) -> &mut ::kube::core::ObjectMeta {
                &mut self.metadata
            }
            fn spec(&self) -> &$spec {
                &self.spec
            }
            fn spec_mut(&mut self) -> &mut $spec {
                &mut self.spec
            }
            fn status(&self) -> Option<&$status> {
                self.status.as_ref()
            }
            fn status_mut(&mut self) -> &mut $status {
                self.status.get_or_insert_with(Default::default)
            }
            fn phase(&self) -> &str {
                match &self.status {
                    Some(status) => status.phase.as_str(),
                    None => Self::PHASES.first().copied().unwrap_or_default(),
                }
            }
            fn organization(&self) -> Option<&str> {
                let organization: fn(&$spec) -> Option<&str> = $organization;
                organization(&self.spec)
            }
            fn indexes(&self, add: &mut dyn FnMut($crate::store::Index, String)) {
                add($crate::store::Index::Phase, $crate::Resource::phase(self).to_owned());
                let indexes: fn(&$kind, &mut dyn FnMut($crate::store::Index, String)) = $indexes;
                indexes(self, add);
            }
        }
    };
}

/// Declares the phases of a kind: a closed set whose default is the first one, where every object starts (R39).
macro_rules! phases {
    ($(#[$meta:meta])* $name:ident { $first:ident = $first_text:literal $(, $variant:ident = $text:literal)* $(,)? }) => {
        $crate::closed_set! { $(#[$meta])* $name { $first = $first_text $(, $variant = $text)* } }

        impl Default for $name {
            fn default() -> Self {
                Self::$first
            }
        }
    };
}

pub(crate) use {phases, resource};
