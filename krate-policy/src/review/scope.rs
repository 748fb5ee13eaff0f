//! Step 2: everything that is named belongs to the organization, or comes through sharing policies of both sides (P6 to P9).

use std::sync::Arc;

use krate_model::kinds::identity::{OrgSharingPolicy, OrgSharingPolicyPhase, SharedVerb, SharingSide};
use krate_model::kinds::shared::Time;
use krate_model::{Kind, Selector};

use super::Review;
use crate::decision::Version;
use crate::reason::Code;
use crate::request::{Need, Verb};
use crate::snapshot::{Item, Snapshot};

/// One text for what belongs to others and for what isn't there (P6).
const NOT_HERE: &str = "is not there, or not this organization's";

pub(super) fn step(review: &mut Review<'_>) {
    let (request, snapshot, namespace) = (review.request, review.snapshot, review.namespace);
    if let Some(named) = &request.repository {
        let found = snapshot.repository(namespace, &named.name);
        if found.is_none_or(|found| found.metadata.uid.as_deref() != Some(&*named.uid)) {
            review.deny(Code::CrossOrgDenied, "repository", NOT_HERE);
        }
    }
    for (field, named, kind) in
        [("agentStack", &request.agent_stack, Kind::AgentStack), ("runnerPool", &request.runner_pool, Kind::RunnerPool)]
    {
        if let Some(named) = named
            && snapshot.item(kind, namespace, &named.name).is_none_or(|found| found.uid() != Some(&*named.uid))
        {
            review.deny(Code::CrossOrgDenied, field, NOT_HERE);
        }
    }
    if let Some(object) = &request.object {
        let foreign = object.organization.as_deref().filter(|organization| *organization != &*request.organization);
        if let Some(owner) = foreign {
            let verb = match request.action.verb {
                Verb::Get | Verb::List | Verb::Watch => Some(SharedVerb::Read),
                Verb::Use => Some(SharedVerb::Reference),
                _ => None,
            };
            match verb.and_then(|verb| shared(review, owner, &object.kind, &object.name, &verb)) {
                Some(shared) => shared.used(review),
                None => review.deny(Code::CrossOrgDenied, "object", NOT_HERE),
            }
        } else if let (Ok(kind), Some(uid)) = (object.kind.parse::<Kind>(), &object.uid)
            && Item::is_kept(kind)
            && snapshot.item(kind, namespace, &object.name).is_none_or(|item| item.uid() != Some(uid))
        {
            review.deny(Code::CrossOrgDenied, "object", NOT_HERE);
        }
    }
    for need in &request.needs {
        let (kind, found, name, key) = match &**need {
            Need::Secret { namespace, name, key, .. } => (Kind::AgentSecretGrant, namespace, name, key),
            Need::Config { namespace, name, key, .. } => (Kind::AgentConfigGrant, namespace, name, key),
            _ => continue,
        };
        let foreign = found.as_deref().filter(|found| *found != namespace);
        if foreign.is_some_and(|foreign| !snapshot.is_lent(&request.organization, foreign, kind, name, key)) {
            review.deny(Code::CrossOrgDenied, "needs", NOT_HERE);
        }
    }
}

/// The policies of both sides by which something of another organization is shared, and when that ends (R34).
pub(crate) struct Shared {
    policies: [Arc<Version>; 2],
    end: Option<Time>,
}

impl Shared {
    /// Notes that both decided: when either goes, the decision does (P4).
    pub(super) fn used(&self, review: &mut Review<'_>) {
        for policy in &self.policies {
            review.used(policy, self.end);
        }
    }
}

/// What a decision calls a resource of another organization: `Kind/organization/name`.
pub(super) fn foreign(owner: &str, version: &Version) -> Arc<Version> {
    let name = version.name.replacen('/', &format!("/{owner}/"), 1).into();
    Arc::new(Version { name, ..version.clone() })
}

/// Whom something may be shared with, at a moment.
pub(crate) struct Party<'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) organization: &'a str,
    pub(crate) namespace: &'a str,
    pub(crate) now: Time,
}

/// By which policies `owner` shares that object with the asking organization for that verb, if both sides agree (P8).
pub(super) fn shared(review: &Review<'_>, owner: &str, kind: &str, name: &str, verb: &SharedVerb) -> Option<Shared> {
    let (request, snapshot, namespace) = (review.request, review.snapshot, review.namespace);
    Party { snapshot, organization: &request.organization, namespace, now: request.now }.shared(owner, kind, name, verb)
}

impl Party<'_> {
    /// By which policies `owner` shares that object for that verb, if both sides agree (P8).
    pub(crate) fn shared(&self, owner: &str, kind: &str, name: &str, verb: &SharedVerb) -> Option<Shared> {
        let Self { snapshot, organization, namespace: own, now } = *self;
        let namespace = snapshot.namespace_of(owner)?;
        let labels = || snapshot.item(kind.parse().ok()?, namespace, name).map(Item::labels);
        // A selector that asks for nothing shares nothing, as an empty list does (P15), and so does one that can't be read.
        let selects = |selector: &_| {
            Selector::new(selector).is_ok_and(|it| !it.is_empty() && labels().is_some_and(|labels| it.matches(labels)))
        };
        let fits = |policy: &OrgSharingPolicy, side: SharingSide| {
            policy.spec.side == side
                && policy.spec.source_org == owner
                && policy.spec.target_org == organization
                && !policy.spec.revoked
                && policy.status.as_ref().is_some_and(|status| status.phase == OrgSharingPolicyPhase::Active)
                && policy.spec.expires_at.is_none_or(|end| now < end)
                && policy.spec.allowed_refs.iter().any(|shared| {
                    let listed = || shared.names.contains(name) || shared.selector.as_ref().is_some_and(selects);
                    shared.kind == kind && shared.verbs.contains(verb) && listed()
                })
        };
        let offer = snapshot.sharing(namespace).find(|policy| fits(policy, SharingSide::Offer))?;
        let accept = snapshot.sharing(own).find(|policy| fits(policy, SharingSide::Accept))?;
        let end = [offer.spec.expires_at, accept.spec.expires_at].into_iter().flatten().min();
        Some(Shared { policies: [foreign(owner, offer.version), Arc::clone(accept.version)], end })
    }
}
