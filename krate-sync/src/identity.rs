//! What a binding is bound to at its provider: known by id once it was read, whatever it is called later. Spec: external-sync.md S5, S16; known by name
//! only until then.
//!
//! Webhooks arrive late and out of order, so none of them says what a repository is called now. They only make krate ask; the answer decides.

use krate_model::Kind;
use krate_model::audit::{AuditDraft, AuditOutcome};
use krate_model::kinds::external::BoundTarget;
use krate_model::kinds::sets::{ErrorClass, Interface};
use krate_model::kinds::shared::{ObjectRef, Time};
use krate_model::observation::{CanonicalEvent, Normalized, RepositoryIdentity};
use krate_providers::contract::ProviderError;

use crate::object::controller;
use crate::scope::Scope;

/// The key of `externalRef` with the owner's name.
pub(crate) const OWNER: &str = "owner";
/// The key of `externalRef` with the repository's name.
pub(crate) const REPOSITORY: &str = "repository";
/// Former names that are kept.
const MAX_FORMER_NAMES: usize = 64;

/// What a read of the repository says about the binding's external side.
///
/// # Errors
/// The provider answered with something else, or with another repository than the one that is known.
pub(crate) fn bound(known: Option<&BoundTarget>, read: &CanonicalEvent<'_>) -> Result<BoundTarget, ProviderError> {
    let unread = |message: &str| ProviderError::new(ErrorClass::Decode, message);
    let Normalized::Repository(repository) = &read.normalized else {
        return Err(unread("the answer to a read of a repository is none"));
    };
    let (Some(owner), Some(name)) = (&repository.owner, &repository.name) else {
        return Err(unread("the repository has no owner or no name"));
    };
    if read.native_id.is_empty() {
        return Err(unread("the repository has no id"));
    }
    let mut former_names = Vec::new();
    if let Some(known) = known {
        if known.native_id != read.native_id {
            return Err(unread("another repository answered than the one that was asked for"));
        }
        former_names.clone_from(&known.former_names);
        let (before, now) = (full_name(known), format!("{owner}/{name}"));
        if before != now {
            former_names.retain(|former| *former != before && *former != now);
            former_names.push(before);
            let excess = former_names.len().saturating_sub(MAX_FORMER_NAMES);
            former_names.drain(..excess);
        }
    }
    let names = [(OWNER, owner), (REPOSITORY, name)];
    Ok(BoundTarget {
        native_kind: read.native_kind.to_string(),
        native_id: read.native_id.to_string(),
        container: names.into_iter().map(|(key, value)| (key.to_owned(), value.to_string())).collect(),
        former_names,
    })
}

/// Owner and name in one.
pub(crate) fn full_name(target: &BoundTarget) -> String {
    let part = |key: &str| target.container.get(key).map(String::as_str).unwrap_or_default();
    format!("{}/{}", part(OWNER), part(REPOSITORY))
}

/// Whether what an event calls the repository is worth a question: it is no name that is known already.
pub(crate) fn is_called_otherwise(target: &BoundTarget, seen: &RepositoryIdentity<'_>) -> bool {
    let name = format!("{}/{}", seen.owner, seen.name);
    name != full_name(target) && !target.former_names.contains(&name)
}

/// The audit event of another name (S41).
pub(crate) fn renamed(scope: &Scope, from: &BoundTarget, to: &BoundTarget, now: Time) -> AuditDraft {
    let owner = |target: &BoundTarget| target.container.get(OWNER).cloned().unwrap_or_default();
    let moved = !owner(from).eq_ignore_ascii_case(&owner(to));
    let kind = if moved { "RepositoryTransferred" } else { "RepositoryRenamed" };
    AuditDraft::new(scope.namespace(), kind, now, controller())
        .organization(scope.organization())
        .scope(scope.provider(), scope.binding_name(), Some(Interface::GitForge))
        .native(&to.native_kind, &to.native_id)
        .object(ObjectRef::new(Kind::ExternalBackendBinding.as_str(), scope.binding_name()))
        .moved(full_name(from), full_name(to))
        .outcome(AuditOutcome::Recorded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use krate_model::kinds::sets::EventAction;
    use krate_model::kinds::shared::Version;
    use krate_model::observation::{RepositoryObserved, ResourceKind};

    fn read<'a>(id: &'a str, owner: &'a str, name: &'a str) -> CanonicalEvent<'a> {
        let observed =
            RepositoryObserved { owner: Some(owner.into()), name: Some(name.into()), ..RepositoryObserved::default() };
        CanonicalEvent {
            ordinal: 0,
            interface: Interface::GitForge,
            resource_kind: ResourceKind::Repository,
            native_kind: "repository".into(),
            native_id: id.into(),
            node_id: None,
            action: EventAction::Other,
            native_action: None,
            event_time: None,
            observed_version: Version::default(),
            complete: true,
            actor: None,
            normalized: Normalized::Repository(observed),
        }
    }

    fn named<'a>(owner: &'a str, name: &'a str) -> RepositoryIdentity<'a> {
        RepositoryIdentity { id: "7".into(), owner: owner.into(), name: name.into() }
    }

    #[test]
    fn s5_the_id_stays_and_every_name_is_kept_once() {
        let mut target = bound(None, &read("7", "acme", "site")).expect("it is read");
        for (owner, name) in [("acme", "home"), ("beta", "home"), ("acme", "site"), ("acme", "site")] {
            target = bound(Some(&target), &read("7", owner, name)).expect("it is read");
            assert_eq!((target.native_id.as_str(), full_name(&target)), ("7", format!("{owner}/{name}")));
        }
        assert_eq!(target.former_names, ["acme/home", "beta/home"]);
        assert!(!is_called_otherwise(&target, &named("acme", "site")));
        assert!(!is_called_otherwise(&target, &named("acme", "home")), "a late webhook");
        assert!(is_called_otherwise(&target, &named("acme", "next")));
    }

    #[test]
    fn s5_another_repository_is_not_taken_for_the_one_that_is_known() {
        let target = bound(None, &read("7", "acme", "site")).expect("it is read");
        assert!(bound(Some(&target), &read("8", "acme", "site")).is_err());
        assert!(bound(None, &read("", "acme", "site")).is_err());
    }
}
