//! Which references may leave an organization. Spec: external-sync.md S3; resource-kinds.md R4, R34; permission-review.md P8.
//!
//! What lies in which organization is told by namespaces, which are an organization's alone, and by what the object says itself; both have to agree.
//! Secrets have no way out: a provider that is shared is used, and its credentials stay where they are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use krate_model::kinds::external::{BindingTargetKind, ExternalBackendBinding, ExternalBackendProvider};
use krate_model::kinds::identity::{OrgSharingPolicy, OrgSharingPolicySpec, Organization, SharedVerb, SharingSide};
use krate_model::kinds::shared::Time;
use krate_model::{Kind, Resource, Selector};

/// Why a binding is refused before anything is asked of its provider.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// A part of it lies in another organization, and nothing admits the reference.
    #[error("{path}: {part} {name} belongs to another organization than {own}, and no OrgSharingPolicy admits it")]
    OtherOrganization {
        /// Where the reference stands.
        path: &'static str,
        /// What it refers to: target, provider, secret, policy, or the binding's own namespace.
        part: &'static str,
        /// Name of what it refers to.
        name: String,
        /// The binding's organization.
        own: String,
    },
    /// What it names isn't there.
    #[error("{path}: {part} {name} isn't there")]
    NotFound {
        /// Where the reference stands.
        path: &'static str,
        /// What it refers to.
        part: &'static str,
        /// Name of what it refers to.
        name: String,
    },
    /// Its organization, or the one that lends it the provider, is suspended: what it has is read, and nothing is done in its name (R3).
    #[error("{path}: organization {organization} is suspended")]
    Suspended {
        /// Where the organization is named.
        path: &'static str,
        /// Which one.
        organization: String,
    },
    /// Bindings and providers are looked up by their names alone, and an older one has this name.
    #[error("metadata.name: an older {kind} is named {name}, too; choose another name")]
    NameTaken {
        /// Of which kind.
        kind: Kind,
        /// The name.
        name: String,
    },
}

impl Refusal {
    /// Every reason that [`Self::reason`] gives.
    pub const REASONS: [&'static str; 4] = ["CrossOrgDenied", "NotFound", "OrganizationSuspended", "NameTaken"];

    /// The reason that a condition gives.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::OtherOrganization { .. } => "CrossOrgDenied",
            Self::NotFound { .. } => "NotFound",
            Self::Suspended { .. } => "OrganizationSuspended",
            Self::NameTaken { .. } => "NameTaken",
        }
    }
}

/// An object as a reference finds it.
#[derive(Debug, Clone, Copy)]
pub struct Found<'a> {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// The organization that it says it belongs to.
    pub organization: &'a str,
    /// Its labels.
    pub labels: Option<&'a BTreeMap<String, String>>,
}

impl<'a> Found<'a> {
    /// An object that belongs to an organization by a field.
    pub fn of<T: Resource>(object: &'a T, organization: &'a str) -> Self {
        let metadata = object.metadata();
        let (namespace, name) = (object.namespace(), object.name());
        Self { kind: T::KIND, namespace, name, organization, labels: metadata.labels.as_ref() }
    }
}

/// The organizations' namespaces and what they agreed to share.
#[derive(Debug, Clone, Default)]
pub struct Sharing {
    namespaces: BTreeMap<String, String>,
    suspended: BTreeSet<String>,
    policies: Vec<Arc<OrgSharingPolicy>>,
}

impl Sharing {
    /// What these objects say.
    pub fn new(organizations: &[Arc<Organization>], policies: Vec<Arc<OrgSharingPolicy>>) -> Self {
        let namespaces =
            organizations.iter().map(|it| (it.name().to_owned(), it.spec.namespace_name.clone())).collect();
        let suspended = organizations.iter().filter(|it| it.spec.suspend).map(|it| it.name().to_owned()).collect();
        Self { namespaces, suspended, policies }
    }

    /// The namespace of an organization.
    pub fn namespace(&self, organization: &str) -> Option<&str> {
        self.namespaces.get(organization).map(String::as_str)
    }

    /// Whether the object lies in that organization: it says so, and its namespace is no other organization's.
    fn lies_in(&self, found: &Found<'_>, organization: &str) -> bool {
        found.organization == organization
            && self.namespaces.iter().all(|(name, namespace)| namespace != found.namespace || name == organization)
    }

    /// Whether both organizations agree, now, that `target` refers to the object (R34). Consent isn't transitive (P8): only policies that name exactly
    /// these two are asked.
    pub fn admits(&self, found: &Found<'_>, target: &str, now: Time) -> bool {
        let source = found.organization;
        let consents = |side: SharingSide, home: &str| {
            let Some(home) = self.namespace(home) else { return false };
            self.policies.iter().any(|object| {
                let policy = &object.spec;
                policy.side == side
                    && object.namespace() == home
                    && policy.source_org == source
                    && policy.target_org == target
                    && !policy.revoked
                    && policy.expires_at.is_none_or(|end| end > now)
                    && lists(policy, found)
            })
        };
        // The object has to be the source's to give.
        self.namespace(source) == Some(found.namespace)
            && consents(SharingSide::Offer, source)
            && consents(SharingSide::Accept, target)
    }
}

fn lists(policy: &OrgSharingPolicySpec, found: &Found<'_>) -> bool {
    static NONE: BTreeMap<String, String> = BTreeMap::new();
    // A selector that asks for nothing shares nothing, and so does one that can't be read, as in the permission review (P8, P15).
    let selects = |selector: &_| {
        Selector::new(selector).is_ok_and(|it| !it.is_empty() && it.matches(found.labels.unwrap_or(&NONE)))
    };
    policy.allowed_refs.iter().any(|allowed| {
        allowed.kind == found.kind.as_str()
            && allowed.verbs.contains(&SharedVerb::Reference)
            && (allowed.names.contains(found.name) || allowed.selector.as_ref().is_some_and(selects))
    })
}

/// What a binding refers to, as far as it is there.
#[derive(Debug, Clone, Copy)]
pub struct Parts<'a> {
    /// Its target; absent where it isn't there yet.
    pub target: Option<Found<'a>>,
    /// Its provider.
    pub provider: &'a ExternalBackendProvider,
    /// The policy in force; absent where none is named, or it isn't there.
    pub policy: Option<Found<'a>>,
}

/// Whether the binding may be used at all (S3). Pure: the same objects at the same time give the same answer.
///
/// # Errors
/// [`Refusal`] with the first part that lies elsewhere.
pub fn judge(binding: &ExternalBackendBinding, parts: &Parts<'_>, sharing: &Sharing, now: Time) -> Result<(), Refusal> {
    let spec = &binding.spec;
    let own = spec.organization_ref.as_str();
    let refused = |path: &'static str, part: &'static str, name: &str| {
        Err(Refusal::OtherOrganization { path, part, name: name.to_owned(), own: own.to_owned() })
    };
    if !sharing.lies_in(&Found::of(binding, own), own) {
        return refused("metadata.namespace", "namespace", binding.namespace());
    }
    let suspended = |path: &'static str, organization: &str| {
        Err(Refusal::Suspended { path, organization: organization.to_owned() })
    };
    if sharing.suspended.contains(own) {
        return suspended("spec.organizationRef", own);
    }
    let target = &spec.target_ref;
    let is_other_organization = target.kind == BindingTargetKind::Organization && target.name != own;
    if is_other_organization || parts.target.is_some_and(|found| !sharing.lies_in(&found, own)) {
        return refused("spec.targetRef", "target", &target.name);
    }
    let provider = Found::of(parts.provider, &parts.provider.spec.organization_ref);
    // The binding says itself where its provider is: a local name isn't made a shared one by a policy.
    let (path, owner) = match &spec.shared_provider_ref {
        Some(shared) => ("spec.sharedProviderRef", shared.organization.as_str()),
        None => ("spec.providerRef", own),
    };
    if !sharing.lies_in(&provider, owner) || (owner != own && !sharing.admits(&provider, own, now)) {
        return refused(path, "provider", provider.name);
    }
    if sharing.suspended.contains(owner) {
        return suspended(path, owner);
    }
    if let Some(name) = secret_names(parts.provider).into_iter().find(|name| name.contains('/')) {
        return refused("spec.authRef.secretRef", "secret", name);
    }
    if let Some(policy) = parts.policy {
        let (path, owner) = match (&spec.shared_sync_policy_ref, &spec.sync_policy_ref) {
            (Some(shared), _) => ("spec.sharedSyncPolicyRef", shared.organization.as_str()),
            (None, Some(_)) => ("spec.syncPolicyRef", own),
            // The provider's own, which lies where the provider does.
            (None, None) => ("spec.providerRef", owner),
        };
        if !sharing.lies_in(&policy, owner) || (owner != own && !sharing.admits(&policy, own, now)) {
            return refused(path, "policy", policy.name);
        }
    }
    Ok(())
}

/// Every Secret that a provider names: they lie in its own namespace, and a name that would leave it is none.
fn secret_names(provider: &ExternalBackendProvider) -> BTreeSet<&str> {
    let webhooks = provider.spec.webhook.iter().flat_map(|webhook| &webhook.secret_refs);
    std::iter::once(provider.spec.auth_ref.secret_ref.name.as_str())
        .chain(webhooks.map(|secret| secret.secret_ref.name.as_str()))
        .collect()
}
