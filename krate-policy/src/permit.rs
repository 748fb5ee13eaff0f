//! What is done with a yes, later: a decision that is acted on, and a key that is used, are looked at again by the newest snapshot (P4, P21, P69).
//!
//! ```
//! # use krate_policy::{permit::Permit, request::Request, review::review, snapshot::Snapshot};
//! # fn act(request: &Request, snapshot: &Snapshot) -> Result<(), Box<dyn std::error::Error>> {
//! let decision = review(request, snapshot);
//! let mut permit = Permit::new(request, decision)?;
//! for used in permit.uses(request, request.now, snapshot).map_err(|reason| reason.text.to_string())? {
//!     // Store `used` on condition that what is stored has its resource version; where it hasn't, ask again by the newest snapshot.
//! }
//! permit.note_counted();
//! // … later, by whoever acts on it:
//! permit.check(request, request.now, snapshot).map_err(|reason| reason.text.to_string())?;
//! # Ok(()) }
//! ```

use std::sync::Arc;

use krate_model::kinds::shared::Time;
use krate_model::validate::{DEFAULT_PLATFORM_NAMESPACE, DEFAULT_SECRET_NAMESPACE};
use krate_model::{Digest, Kind, NotCanonical};
use serde_json::Value;

use crate::decision::{Decision, Outcome, TrustReport, Version};
use crate::grant::Grant;
use crate::reason::{Code, Reason};
use crate::request::{Need, Request};
use crate::review;
use crate::snapshot::{Held, Item, Snapshot};

/// A yes, with the digest of what was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permit {
    request: Digest,
    decision: Decision,
    is_counted: bool,
}

impl Permit {
    /// The decision on that request.
    ///
    /// # Errors
    /// [`NotCanonical`] where a precondition holds a number that canonical JSON has no form for.
    pub fn new(request: &Request, decision: Decision) -> Result<Self, NotCanonical> {
        let is_counted = decision.reservations.is_empty();
        Ok(Self { request: request.digest()?, decision, is_counted })
    }

    /// What was decided.
    pub const fn decision(&self) -> &Decision {
        &self.decision
    }

    /// What has to be stored before the yes is acted on (P22, P32): each grant and approval whose uses are counted, with one use more. Each is to be stored on
    /// condition that what is stored has its resource version: of two at once one is refused, asks again by the newest snapshot, and finds nothing left. All of
    /// them belong into one commit; then [`Permit::note_counted`].
    ///
    /// # Errors
    /// `GrantExhausted` and `ApprovalUsed` where no use is left, `StaleDecision` for another request, a no, or what is gone.
    pub fn uses(&self, request: &Request, now: Time, snapshot: &Snapshot) -> Result<Vec<Value>, Reason> {
        let namespace = self.stands(request, now, snapshot)?;
        let mut all = Vec::new();
        for reserved in &self.decision.reservations {
            let stale =
                || Reason::new(Code::StaleDecision, "reservations", "it isn't there any more, or has no status");
            let found = find(snapshot, namespace, &reserved.grant).filter(|held| held.version.uid == reserved.uid);
            let item = &found.ok_or_else(|| stale().by(reserved.grant.clone()))?.item;
            let (most, code, last) = match item {
                Item::AgentApproval(approval) => {
                    (Some(review::most_uses(request, snapshot, approval)), Code::ApprovalUsed, "Used")
                }
                grant => (Grant::of(grant).and_then(|(_, it)| it.max_uses()), Code::GrantExhausted, "Exhausted"),
            };
            let mut document = item.document();
            let uses = document.pointer("/status/uses").and_then(Value::as_i64).unwrap_or(0);
            // One whose number was taken off since is counted all the same.
            let next = uses.checked_add(1).filter(|next| most.is_none_or(|most| *next <= most));
            let Some(next) = next else {
                return Err(Reason::new(code, "reservations", "no use of it is left").by(reserved.grant.clone()));
            };
            let Some(status) = document.get_mut("status").and_then(Value::as_object_mut) else {
                return Err(stale().by(reserved.grant.clone()));
            };
            status.insert("uses".to_owned(), next.into());
            if most == Some(next) {
                status.insert("phase".to_owned(), last.into());
            }
            all.push(document);
        }
        Ok(all)
    }

    /// Notes that what [`Permit::uses`] says was stored.
    pub const fn note_counted(&mut self) {
        self.is_counted = true;
    }

    /// Whether it may be acted on: it is a yes, to exactly this request, not over, its uses are counted, and each resource that decided is as it was (P4). A grant
    /// whose uses are counted moves with each of them: it has to be in force still. An approval has to count as it did: nobody took it back or denied the same
    /// since, and each approver still has the right that they lent (P31 to P33).
    ///
    /// # Errors
    /// `StaleDecision`, with the field that differs; of an approval the code that says why it doesn't count any more.
    pub fn check(&self, request: &Request, now: Time, snapshot: &Snapshot) -> Result<(), Reason> {
        let namespace = self.stands(request, now, snapshot)?;
        if !self.is_counted {
            // P22: a yes with a reservation holds once its commit succeeded.
            return stale("reservations", "the uses that it takes aren't counted yet");
        }
        for decided in &self.decision.versions {
            let held = find(snapshot, namespace, &decided.name).filter(|held| held.version.uid == decided.uid);
            let is_counted = self.decision.reservations.iter().any(|it| it.uid == decided.uid);
            let same = match held.map(|held| (&held.item, &held.version)) {
                Some((Item::AgentApproval(_), _)) => {
                    review::approval_stands(request, now, snapshot, &self.decision, &decided.name)?;
                    true
                }
                Some((item, _)) if is_counted => Grant::of(item).is_some_and(|(_, grant)| grant.in_force(now).is_ok()),
                Some((_, version)) => version.version == decided.version,
                None => false,
            };
            if !same {
                let changed = Reason::new(Code::StaleDecision, "versions", "it has changed since");
                return Err(changed.by(decided.name.clone()));
            }
        }
        Ok(())
    }

    /// What holds whenever the yes is presented; with the organization's namespace.
    fn stands<'s>(&self, request: &Request, now: Time, snapshot: &'s Snapshot) -> Result<&'s str, Reason> {
        if self.decision.outcome != Outcome::Allowed {
            return stale("outcome", "the decision is no yes");
        }
        if request.digest().ok() != Some(self.request) {
            return stale("requestDigest", "the decision is for another request");
        }
        if now >= self.decision.expires_at {
            return stale("expiresAt", "the decision is over");
        }
        match snapshot.namespace_of(&request.organization) {
            Some(namespace) => Ok(namespace),
            None => stale("versions", "the organization isn't there any more"),
        }
    }

    /// The key that the yes gives for that need, as a handle for an attempt; `None` where it gives none.
    pub fn handle(&self, need: &Need, attempt: impl Into<Box<str>>, token: u64) -> Option<Handle> {
        let given = self.decision.per_need.iter().find(|it| *it.need == *need && it.outcome == Outcome::Allowed)?;
        let grant = self.decision.versions.iter().find(|version| Some(&version.name) == given.by.as_ref())?;
        let is_key = matches!(need, Need::Secret { .. } | Need::Config { .. });
        let is_yes = self.decision.outcome == Outcome::Allowed;
        (is_key && is_yes).then_some(Handle {
            grant: Arc::clone(grant),
            need: Arc::clone(&given.need),
            attempt: attempt.into(),
            token,
            request: self.request,
            trust: self.decision.trust.clone()?,
            is_approved: given.approval.is_some(),
        })
    }
}

fn stale<T>(field: &'static str, text: &'static str) -> Result<T, Reason> {
    Err(Reason::new(Code::StaleDecision, field, text))
}

/// The resource that a decision names: as `Kind/name` the organization's, or one of the platform's that it is lent; as `Kind/organization/name` what another
/// one shares.
fn find<'s>(snapshot: &'s Snapshot, namespace: &str, name: &str) -> Option<&'s Held> {
    let (kind, name) = name.split_once('/')?;
    let kind: Kind = kind.parse().ok()?;
    if let Some((owner, name)) = name.split_once('/') {
        return snapshot.held(kind, snapshot.namespace_of(owner)?, name);
    }
    let places = [namespace, DEFAULT_SECRET_NAMESPACE, DEFAULT_PLATFORM_NAMESPACE];
    places.into_iter().find_map(|namespace| snapshot.held(kind, namespace, name))
}

/// A key that an attempt was given, by reference: what it says is where the value is, never the value (P27). [`Permit::handle`] gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Handle {
    /// The grant.
    pub grant: Arc<Version>,
    /// Which key of which Secret or ConfigMap, for whom and for what.
    pub need: Arc<Need>,
    /// The attempt that it was given to.
    pub attempt: Box<str>,
    /// The attempt's token when it was; a newer one fences it off.
    pub token: u64,
    request: Digest,
    trust: TrustReport,
    is_approved: bool,
}

impl Handle {
    /// Whether the key may be read now, by the newest snapshot, for the request that it was given for (P21, P69): the attempt's token is current, the
    /// organization and everyone in the chain may act, and the grant gives the key by all that was asked of it when it was given (P19). That the value was changed is no
    /// change of the grant, and a decision's five minutes are none of the attempt's.
    ///
    /// # Errors
    /// `StaleDecision`, or the code of what is in the way by now.
    pub fn check(&self, request: &Request, token: u64, now: Time, snapshot: &Snapshot) -> Result<(), Reason> {
        if token != self.token {
            return stale("token", "the attempt has another token by now");
        }
        if request.digest().ok() != Some(self.request) {
            return stale("requestDigest", "the key was given for another request");
        }
        let asks = review::key_stands(request, now, snapshot, (&self.need, &self.grant), &self.trust)?;
        if asks && !self.is_approved {
            let text = "the grant wants a person by now, and nobody agreed when the key was given";
            return Err(Reason::new(Code::ApprovalRequired, "requiredApproval", text).by(self.grant.name.clone()));
        }
        Ok(())
    }
}
