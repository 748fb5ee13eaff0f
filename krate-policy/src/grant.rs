//! Grants of Secrets and ConfigMaps, read once when they come into a snapshot (permission-review.md section 5, P19 to P24).

use krate_model::kinds::grants::{
    AgentConfigGrantPhase, AgentSecretGrantPhase, GrantSubject, GrantTarget, RequiredApproval, SecretMount,
};
use krate_model::kinds::shared::{RefFilter, Time};
use krate_model::{Kind, Resource};
use std::sync::Arc;

use crate::decision::Version;
use crate::pattern::{Domain, Filter, Selection};
use crate::reason::Code;
use crate::request::Named;
use crate::snapshot::{GrantKey, Item};

/// Where a grant stands in its life, whatever it is a grant of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Active,
    Pending,
    Expired,
    Revoked,
    Exhausted,
}

/// A grant as it is judged.
#[derive(Debug, Clone)]
pub(crate) struct Grant {
    pub(crate) version: Arc<Version>,
    stack: Option<Box<str>>,
    service_account: Option<Box<str>>,
    keys: Names,
    purpose: Box<str>,
    repositories: Names,
    /// Uids of those, as they were granted (P20).
    repository_uids: Names,
    /// Those of which no uid is known yet.
    unbound: Names,
    /// `None` when the lists are absent, include nothing or can't be read: they fit no ref then.
    refs: Option<Filter>,
    has_refs: bool,
    environments: Names,
    sources: Names,
    allow_forks: bool,
    pub(crate) by_reference: bool,
    required: RequiredApproval,
    not_before: Option<Time>,
    expires_at: Option<Time>,
    max_uses: Option<i64>,
    pub(crate) uses: i64,
    phase: Phase,
    subject_uid: Option<Box<str>>,
    pub(crate) target_uid: Option<Box<str>>,
}

/// What a grant is compared with.
#[derive(Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) uid: &'a str,
    pub(crate) service_account: Option<&'a str>,
    pub(crate) stack: Option<&'a str>,
    pub(crate) key: &'a str,
    pub(crate) purpose: &'a str,
    pub(crate) repository: Option<&'a Named>,
    pub(crate) git_ref: Option<&'a str>,
    pub(crate) environment: Option<&'a str>,
    pub(crate) source: Option<&'a str>,
    pub(crate) now: Time,
    pub(crate) is_fork: bool,
    pub(crate) is_untrusted: bool,
    /// Whether the use that is asked about was counted already (P22), so that the last one is no hindrance.
    pub(crate) is_counted: bool,
}

/// What a grant says of a need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fit {
    /// It gives it.
    Full,
    /// It gives it once a person agrees.
    AfterApproval,
    /// It fails at that check: the further, the nearer (P19). Then the code and the field.
    Miss(std::cmp::Reverse<u8>, Code, &'static str),
}

impl Grant {
    /// The grant of an item, and what it is looked up by.
    pub(crate) fn of(item: &Item) -> Option<(GrantKey, Self)> {
        macro_rules! read {
            ($grant:ident, $target:expr, $phase:ident, $by_reference:expr) => {{
                let spec = &$grant.spec;
                let status = $grant.status.clone().unwrap_or_default();
                let phase = match status.phase {
                    $phase::Active => Phase::Active,
                    $phase::Revoked => Phase::Revoked,
                    $phase::Expired => Phase::Expired,
                    $phase::Exhausted => Phase::Exhausted,
                    _ => Phase::Pending,
                };
                let refs = match &spec.allowed_refs {
                    Some(RefFilter { include, exclude }) if !include.is_empty() => {
                        Filter::new(Some(include), exclude, Domain::Ref).ok()
                    }
                    _ => None,
                };
                let kind = kind_of(&**$grant);
                let uids = status.repository_uids;
                let uid = |name: &String| uids.get(name);
                let grant = Self {
                    version: version(kind, $grant.metadata()),
                    stack: spec.subject.stack_ref.as_deref().map(Into::into),
                    service_account: spec.subject.service_account_ref.as_deref().map(Into::into),
                    keys: Names::of(&$target.keys),
                    purpose: spec.purpose.as_str().into(),
                    repositories: Names::of(&spec.allowed_repositories),
                    repository_uids: Names::of(spec.allowed_repositories.iter().filter_map(uid)),
                    unbound: Names::of(spec.allowed_repositories.iter().filter(|name| uid(name).is_none())),
                    refs,
                    has_refs: spec.allowed_refs.is_some(),
                    environments: Names::of(&spec.allowed_environments),
                    sources: Names::of(&spec.allowed_trigger_sources),
                    allow_forks: spec.allow_fork_causes,
                    by_reference: $by_reference,
                    required: spec.required_approval.clone(),
                    not_before: spec.not_before,
                    expires_at: spec.expires_at,
                    max_uses: spec.max_uses,
                    uses: status.uses,
                    // P19: what isn't ready yet is told before what was taken back.
                    phase: if spec.revoked && phase != Phase::Pending { Phase::Revoked } else { phase },
                    subject_uid: status.subject_uid.map(Into::into),
                    target_uid: status.target_uid.map(Into::into),
                };
                Some((key(kind, $grant.namespace(), &spec.subject, $target), grant))
            }};
        }
        match item {
            Item::AgentSecretGrant(grant) => {
                read!(
                    grant,
                    &grant.spec.secret_ref,
                    AgentSecretGrantPhase,
                    grant.spec.mount_policy == SecretMount::ByReference
                )
            }
            // A configuration by reference is no different (section 7).
            Item::AgentConfigGrant(grant) => read!(grant, &grant.spec.config_map_ref, AgentConfigGrantPhase, true),
            _ => None,
        }
    }

    /// Whether there is anything that the lists fit at all; a grant of which there is nothing is no candidate (P15, P19). Absent refs fit a request without a ref.
    pub(crate) fn can_fit(&self) -> bool {
        !self.keys.is_empty() && !self.repositories.is_empty() && (self.refs.is_some() || !self.has_refs)
    }

    /// What the grant says of the need, each check in the order of P19.
    pub(crate) fn fit(&self, wanted: &Wanted<'_>) -> Fit {
        let miss = |at: u8, code, field| Fit::Miss(std::cmp::Reverse(at), code, field);
        let scope = |at, field| miss(at, Code::GrantScopeMismatch, field);
        if self.subject_uid.as_deref().is_some_and(|uid| uid != wanted.uid) {
            return scope(0, "subject.uid");
        }
        if self.stack.is_some() && self.stack.as_deref() != wanted.stack {
            return scope(0, "subject.stackRef");
        }
        if self.service_account.is_some() && self.service_account.as_deref() != wanted.service_account {
            return scope(0, "subject.serviceAccountRef");
        }
        if !self.keys.contains(wanted.key) {
            return scope(1, "keys");
        }
        if *self.purpose != *wanted.purpose {
            return scope(2, "purpose");
        }
        // P20: by id, under whatever name; another one under a name that is listed inherits nothing.
        let is_bound = match wanted.repository {
            Some(it) if self.repository_uids.contains(&it.uid) => true,
            Some(it) if self.unbound.contains(&it.name) => false,
            Some(it) if self.repositories.contains(&it.name) => return scope(3, "repository.uid"),
            _ => return scope(3, "allowedRepositories"),
        };
        let ref_fits = match (wanted.git_ref, &self.refs) {
            // P15: absent lists fit only a request without a ref.
            (None, _) => !self.has_refs,
            (Some(git_ref), Some(refs)) => matches!(refs.select(git_ref), Selection::Included(_)),
            (Some(_), None) => false,
        };
        if !ref_fits {
            return scope(4, "allowedRefs");
        }
        if !listed(&self.environments, wanted.environment) {
            return scope(5, "allowedEnvironments");
        }
        if !listed(&self.sources, wanted.source) {
            return scope(6, "allowedTriggerSources");
        }
        if !is_bound {
            return miss(7, Code::GrantNotReady, "status.repositoryUids");
        }
        if let Err((at, code, field)) = self.stands(wanted.now)
            && !(wanted.is_counted && code == Code::GrantExhausted)
        {
            return miss(at, code, field);
        }
        if !wanted.is_counted && self.max_uses.is_some_and(|most| self.uses >= most) {
            return miss(10, Code::GrantExhausted, "maxUses");
        }
        if wanted.is_fork && !self.allow_forks {
            return miss(11, Code::UntrustedCause, "allowForkCauses");
        }
        if wanted.is_fork && !self.by_reference {
            return miss(11, Code::UntrustedCause, "mountPolicy");
        }
        match &self.required {
            // P24: a fork gets it after an approval only, whatever is written.
            _ if wanted.is_fork => Fit::AfterApproval,
            RequiredApproval::Never if !wanted.is_untrusted || self.by_reference => Fit::Full,
            RequiredApproval::OnUntrustedRef if !wanted.is_untrusted => Fit::Full,
            _ => Fit::AfterApproval,
        }
    }

    /// Whether it is in force; else the check that fails, its code and field.
    fn stands(&self, now: Time) -> Result<(), (u8, Code, &'static str)> {
        match self.phase {
            // Without the uid nobody knows whose the grant is (P20).
            Phase::Pending => return Err((7, Code::GrantNotReady, "status.phase")),
            _ if self.subject_uid.is_none() => return Err((7, Code::GrantNotReady, "status.phase")),
            Phase::Active => {}
            Phase::Revoked => return Err((8, Code::GrantRevoked, "revoked")),
            Phase::Expired => return Err((9, Code::GrantExpired, "expiresAt")),
            Phase::Exhausted => return Err((10, Code::GrantExhausted, "maxUses")),
        }
        if self.not_before.is_some_and(|from| now < from) {
            return Err((9, Code::GrantNotReady, "notBefore"));
        }
        if self.expires_at.is_some_and(|end| end <= now) {
            return Err((9, Code::GrantExpired, "expiresAt"));
        }
        Ok(())
    }

    /// Whether what it gave may still be used: one whose last use was taken is in force for that use (P21, P22).
    pub(crate) fn in_force(&self, now: Time) -> Result<(), (Code, &'static str)> {
        match self.stands(now) {
            Err((_, Code::GrantExhausted, _)) | Ok(()) => Ok(()),
            Err((_, code, field)) => Err((code, field)),
        }
    }

    /// Until when the grant can be used.
    pub(crate) const fn expires_at(&self) -> Option<Time> {
        self.expires_at
    }

    /// How often it may be used, where that is counted (P22).
    pub(crate) const fn max_uses(&self) -> Option<i64> {
        self.max_uses
    }
}

/// A list of names, in their order: a grant's few names are asked in less memory than a tree of them takes.
#[derive(Debug, Clone)]
struct Names(Box<[Box<str>]>);

impl Names {
    fn of<'n>(names: impl IntoIterator<Item = &'n String>) -> Self {
        let mut names: Vec<Box<str>> = names.into_iter().map(|name| name.as_str().into()).collect();
        names.sort_unstable();
        Self(names.into())
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn contains(&self, name: &str) -> bool {
        self.0.binary_search_by(|known| (**known).cmp(name)).is_ok()
    }
}

/// A list of names: an empty one fits only a request without (P15).
fn listed(list: &Names, found: Option<&str>) -> bool {
    match found {
        None => list.is_empty(),
        Some(found) => list.contains(found),
    }
}

fn key(kind: Kind, namespace: &str, subject: &GrantSubject, target: &GrantTarget) -> GrantKey {
    let home = target.namespace.as_deref().unwrap_or(namespace);
    let parts = [namespace, subject.kind.as_str(), &subject.name, home, &target.name];
    GrantKey { kind, parts: parts.into() }
}

/// A resource that decided.
pub(crate) fn version(kind: Kind, metadata: &krate_model::kinds::shared::ObjectMeta) -> Arc<Version> {
    Arc::new(Version {
        name: format!("{kind}/{}", metadata.name.as_deref().unwrap_or_default()).into(),
        uid: metadata.uid.as_deref().unwrap_or_default().into(),
        version: metadata.resource_version.as_deref().unwrap_or_default().into(),
    })
}

const fn kind_of<R: Resource>(_: &R) -> Kind {
    R::KIND
}
