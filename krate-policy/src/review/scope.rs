//! Step 2: everything that is named belongs to the organization, or comes through sharing policies of both sides (P6 to P9).

use krate_model::Kind;
use krate_model::kinds::identity::{OrgSharingPolicy, OrgSharingPolicyPhase, SharedVerb, SharingSide};

use super::Review;
use crate::reason::Code;
use crate::request::{Need, Verb};
use crate::snapshot::Item;

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
            match shared(review, owner, &object.kind, &object.name) {
                Some((version, end)) => review.used(&version, end),
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

/// The policies by which `owner` shares that object for the verb of the request: one of each side (P8).
fn shared(
    review: &Review<'_>,
    owner: &str,
    kind: &str,
    name: &str,
) -> Option<(std::sync::Arc<crate::decision::Version>, Option<krate_model::kinds::shared::Time>)> {
    let request = review.request;
    let verb = match request.action.verb {
        Verb::Get | Verb::List | Verb::Watch => SharedVerb::Read,
        Verb::Use => SharedVerb::Reference,
        _ => return None,
    };
    let namespace = review.snapshot.organizations.get(owner)?;
    let fits = |policy: &OrgSharingPolicy, side: SharingSide| {
        policy.spec.side == side
            && policy.spec.source_org == owner
            && policy.spec.target_org == *request.organization
            && !policy.spec.revoked
            && policy.status.as_ref().is_some_and(|status| status.phase == OrgSharingPolicyPhase::Active)
            && policy.spec.expires_at.is_none_or(|end| request.now < end)
            && policy.spec.allowed_refs.iter().any(|shared| {
                // Labels of another organization's object are not known here, so a selector shares nothing yet.
                shared.kind == kind && shared.verbs.contains(&verb) && shared.names.contains(name)
            })
    };
    let offer = review.snapshot.sharing(namespace).find(|policy| fits(policy, SharingSide::Offer))?;
    let accept = review.snapshot.sharing(review.namespace).find(|policy| fits(policy, SharingSide::Accept))?;
    let end = [offer.spec.expires_at, accept.spec.expires_at].into_iter().flatten().min();
    Some((crate::grant::version(Kind::OrgSharingPolicy, &accept.metadata), end))
}
