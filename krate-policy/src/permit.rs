//! What is done with a yes, later: a decision that is acted on, and a key that is used, are looked at again by the newest snapshot (P4, P21, P69).
//!
//! ```
//! # use krate_policy::{permit::Permit, request::Request, review::review, snapshot::Snapshot};
//! # fn act(request: &Request, snapshot: &Snapshot) -> Result<(), Box<dyn std::error::Error>> {
//! let decision = review(request, snapshot);
//! let permit = Permit::new(request, decision)?;
//! // … later, by whoever acts on it:
//! permit.check(request, request.now, snapshot).map_err(|reason| reason.text.to_string())?;
//! # Ok(()) }
//! ```

use std::sync::Arc;

use krate_model::kinds::shared::Time;
use krate_model::validate::{DEFAULT_PLATFORM_NAMESPACE, DEFAULT_SECRET_NAMESPACE};
use krate_model::{Digest, Kind, NotCanonical};

use crate::decision::{Decision, Outcome, Version};
use crate::grant::Grant;
use crate::reason::{Code, Reason};
use crate::request::Request;
use crate::snapshot::{Held, Item, Metadata, Snapshot};

/// A yes, with the digest of what was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permit {
    request: Digest,
    decision: Decision,
}

impl Permit {
    /// The decision on that request.
    ///
    /// # Errors
    /// [`NotCanonical`] where a precondition holds a number that canonical JSON has no form for.
    pub fn new(request: &Request, decision: Decision) -> Result<Self, NotCanonical> {
        Ok(Self { request: request.digest()?, decision })
    }

    /// What was decided.
    pub const fn decision(&self) -> &Decision {
        &self.decision
    }

    /// Whether it may be acted on: it is a yes, to exactly this request, not over, and each resource that decided is as it was (P4). A grant whose uses are
    /// counted moves with each of them; it has to be in force still.
    ///
    /// # Errors
    /// `StaleDecision`, with the field that differs.
    pub fn check(&self, request: &Request, now: Time, snapshot: &Snapshot) -> Result<(), Reason> {
        let stale = |field: &'static str, text: &'static str| Err(Reason::new(Code::StaleDecision, field, text));
        if self.decision.outcome != Outcome::Allowed {
            return stale("outcome", "the decision is no yes");
        }
        if request.digest().ok() != Some(self.request) {
            return stale("requestDigest", "the decision is for another request");
        }
        if now >= self.decision.expires_at {
            return stale("expiresAt", "the decision is over");
        }
        let Some(namespace) = snapshot.organizations.get(&request.organization) else {
            return stale("versions", "the organization isn't there any more");
        };
        for decided in &self.decision.versions {
            let is_counted = self.decision.reservations.iter().any(|it| it.grant == decided.name);
            let found = find(snapshot, namespace, &decided.name);
            let same = found.is_some_and(|held| {
                let is = &held.version;
                let as_it_was = if is_counted { is_in_force(&held.item, now) } else { is.version == decided.version };
                is.uid == decided.uid && as_it_was
            });
            if !same {
                return Err(
                    Reason::new(Code::StaleDecision, "versions", "it has changed since").by(decided.name.clone())
                );
            }
        }
        Ok(())
    }
}

/// The resource that a decision names: as `Kind/name` the organization's, or one of the platform's that it is lent; as `Kind/organization/name` what another
/// one shares.
fn find<'s>(snapshot: &'s Snapshot, namespace: &str, name: &str) -> Option<&'s Held> {
    let (kind, name) = name.split_once('/')?;
    let kind: Kind = kind.parse().ok()?;
    if let Some((owner, name)) = name.split_once('/') {
        return snapshot.held(kind, snapshot.organizations.get(owner)?, name);
    }
    let places = [namespace, DEFAULT_SECRET_NAMESPACE, DEFAULT_PLATFORM_NAMESPACE];
    places.into_iter().find_map(|namespace| snapshot.held(kind, namespace, name))
}

fn is_in_force(item: &Item, now: Time) -> bool {
    Grant::of(item).is_some_and(|(_, grant)| grant.in_force(now).is_ok())
}

/// A key that an attempt was given, by reference: what it says is where the value is, never the value (P27).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Handle {
    /// The grant.
    pub grant: Arc<Version>,
    /// Where the Secret or ConfigMap stands.
    pub namespace: Box<str>,
    /// Its name.
    pub target: Box<str>,
    /// The key.
    pub key: Box<str>,
    /// The attempt that it was given to.
    pub attempt: Box<str>,
    /// The attempt's token when it was; a newer one fences it off.
    pub token: u64,
}

impl Handle {
    /// A handle of what a grant gives to an attempt.
    pub fn new(
        grant: Arc<Version>,
        target: [&str; 2],
        key: impl Into<Box<str>>,
        attempt: impl Into<Box<str>>,
        token: u64,
    ) -> Self {
        let [namespace, name] = target;
        Self {
            grant,
            namespace: namespace.into(),
            target: name.into(),
            key: key.into(),
            attempt: attempt.into(),
            token,
        }
    }

    /// Whether the key may be read now, by the newest snapshot: the attempt's token is current, the grant is the same and in force, and still gives
    /// this key of this target (P21, P69). That the value was changed is no change of the grant.
    ///
    /// # Errors
    /// `StaleDecision`, or the code of what has become of the grant.
    pub fn check(&self, organization: &str, token: u64, now: Time, snapshot: &Snapshot) -> Result<(), Reason> {
        let no = |code, field: &'static str, text: &'static str| {
            Err(Reason::new(code, field, text).by(self.grant.name.clone()))
        };
        if token != self.token {
            return no(Code::StaleDecision, "token", "the attempt has another token by now");
        }
        let Some(namespace) = snapshot.organizations.get(organization) else {
            return no(Code::StaleDecision, "organization", "the organization isn't there any more");
        };
        let found = find(snapshot, namespace, &self.grant.name).filter(|held| held.version.uid == self.grant.uid);
        let Some(item) = found.map(|held| &held.item) else {
            return no(Code::GrantRevoked, "grant", "the grant isn't there any more");
        };
        let Some((_, grant)) = Grant::of(item) else {
            return no(Code::StaleDecision, "grant", "is no grant");
        };
        if let Err((code, field)) = grant.in_force(now) {
            return no(code, field, "the grant is not in force any more");
        }
        let (keys, targets) = match item {
            Item::AgentSecretGrant(it) => (&it.spec.secret_ref.keys, &snapshot.secrets),
            Item::AgentConfigGrant(it) => (&it.spec.config_map_ref.keys, &snapshot.config_maps),
            _ => return no(Code::StaleDecision, "grant", "is no grant"),
        };
        if !keys.contains(&*self.key) {
            return no(Code::GrantScopeMismatch, "keys", "the grant doesn't give this key any more");
        }
        let found: Option<&Metadata> = targets.get([&self.namespace, &self.target]);
        match found {
            None => no(Code::GrantNotReady, "target", "what it is a key of isn't there any more"),
            Some(found) if grant.target_uid.as_deref() != Some(&*found.uid) => {
                no(Code::GrantScopeMismatch, "target.uid", "another one stands under the name of what it is a key of")
            }
            Some(_) => Ok(()),
        }
    }
}
