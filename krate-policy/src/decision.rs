//! What is answered. A decision says Allowed only where something named allows it (P5).

use std::sync::Arc;

use krate_model::kinds::shared::Time;
use krate_model::{Digest, NotCanonical, canonical_digest};
use serde::{Serialize, Serializer};

use crate::reason::{Code, Reason, Severity};
use crate::request::{Need, Request};
use crate::trust::{Because, Level};

/// The answer, the worst last, so that the worst of several is their maximum (P3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Outcome {
    /// Yes.
    Allowed,
    /// Not before persons have approved it.
    RequiresApproval,
    /// No.
    Denied,
}

/// What became of one need.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct NeedOutcome {
    /// The need.
    pub need: Arc<Need>,
    /// Its own outcome.
    pub outcome: Outcome,
    /// The grant or rule that gave it, as `Kind/name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<Arc<str>>,
    /// The approval without which it were none, as `Kind/name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval: Option<Arc<str>>,
}

/// A need that no grant fits, with the least one that would.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct MissingGrant {
    /// The need.
    pub need: Arc<Need>,
    /// What is in the way.
    pub code: Code,
    /// The least grant that would help, as YAML.
    pub suggested: String,
}

/// An approval that is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct RequiredApproval {
    /// The class.
    pub class: Box<str>,
    /// Roles and teams that may give it; empty means whoever could do it themselves (P31).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub approvers: Vec<Box<str>>,
    /// How many persons.
    pub quorum: u32,
    /// Until when it can be used.
    pub until: Time,
    /// What asks for it.
    pub by: Arc<str>,
}

/// How far the causes are trusted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TrustReport {
    /// Of who started it.
    #[serde(serialize_with = "level")]
    pub gate: Level,
    /// Of everybody whose text steers it.
    #[serde(serialize_with = "level")]
    pub steering: Level,
    /// Whether it comes from a fork.
    pub fork: bool,
    /// What made it so.
    pub because: Vec<Because>,
}

// serde's attribute hands over a reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn level<S: Serializer>(level: &Level, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(level.as_str())
}

/// A use to be counted before it happens, of a grant (P22) or of an approval (P32): [`Permit::uses`](crate::permit::Permit::uses) says what is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Reservation {
    /// The grant or approval, as `Kind/name`.
    pub grant: Arc<str>,
    /// Its uid.
    pub uid: Arc<str>,
    /// How many uses it had when this was decided.
    pub uses: i64,
}

/// A resource that decided, at its version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Version {
    /// As `Kind/name`; of another organization, that shares it, as `Kind/organization/name`.
    pub name: Arc<str>,
    /// Its uid.
    pub uid: Arc<str>,
    /// Its resource version.
    pub version: Box<str>,
}

/// What an agent may really use: what all that acts has in common (P25, P26), and what this decision gives.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Effective {
    /// Tools of its own that it may call, some once a person has agreed.
    pub tools: Vec<Box<str>>,
    /// MCP servers.
    pub servers: Vec<Box<str>>,
    /// Skills.
    pub skills: Vec<Box<str>>,
    /// What it may do with files: `none`, `read-only` or `workspace-write`.
    pub filesystem: Box<str>,
    /// Secrets and configurations as handles: grant, target and key, never a value (P27).
    pub handles: Vec<GivenHandle>,
    /// The pool that it runs in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<Box<str>>,
    /// Hosts that it asked for and may reach.
    pub hosts: Vec<Box<str>>,
    /// Paths that it asked for and may read or write.
    pub paths: Vec<Box<str>>,
    /// What it may write back.
    pub targets: Vec<Box<str>>,
}

/// A key that was given, by name alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct GivenHandle {
    /// The grant, as `Kind/name`.
    pub grant: Arc<str>,
    /// The Secret or ConfigMap.
    pub target: Box<str>,
    /// The key.
    pub key: Box<str>,
}

/// The answer to a [`Request`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Decision {
    /// The answer.
    pub outcome: Outcome,
    /// Why, in order (P2).
    pub reasons: Vec<Reason>,
    /// The role or rule that allows the action itself, as `Kind/name` (P5).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<Arc<str>>,
    /// Each need with its own outcome.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub per_need: Vec<NeedOutcome>,
    /// The account in the cluster that it runs as: of an agent's stack; none for a cause that isn't trusted (P24).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime_identity: Option<Arc<str>>,
    /// What an agent may use by it, once it is a yes; absent where no stack is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effective: Option<Effective>,
    /// Needs without a grant.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missing_grants: Vec<MissingGrant>,
    /// Approvals that are wanted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub required_approvals: Vec<RequiredApproval>,
    /// How far the causes are trusted; absent where no step came that far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trust: Option<TrustReport>,
    /// Uses to count.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reservations: Vec<Reservation>,
    /// What decided, at which versions (P4).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub versions: Vec<Arc<Version>>,
    /// Whether native access reviews were asked: `off` without a cluster (P63).
    pub native: &'static str,
    /// The snapshot that decided.
    pub snapshot_version: u64,
    /// Until when it holds (P4).
    pub expires_at: Time,
}

impl Decision {
    /// Whether it is a yes.
    pub fn is_allowed(&self) -> bool {
        self.outcome == Outcome::Allowed
    }

    /// The codes, in order.
    pub fn codes(&self) -> impl Iterator<Item = Code> + '_ {
        self.reasons.iter().map(|reason| reason.code)
    }

    /// The digest of the decision. Made when asked for, not with each review.
    ///
    /// # Errors
    /// [`NotCanonical`] never for what [`review`](crate::review::review) made: it holds no number without canonical form.
    pub fn digest(&self) -> Result<Digest, NotCanonical> {
        canonical_digest(self)
    }

    /// What an approval is bound to (P55): what is done, with what, by whom, as it would be done now; no time.
    ///
    /// # Errors
    /// [`NotCanonical`] where a precondition of the request holds a number that canonical JSON has no form for.
    pub fn approval_digest(&self, request: &Request) -> Result<Digest, NotCanonical> {
        let is_grant = |version: &&Arc<Version>| {
            version.name.starts_with("AgentSecretGrant/") || version.name.starts_with("AgentConfigGrant/")
        };
        let grants: Vec<_> = self.versions.iter().filter(is_grant).map(|version| &version.uid).collect();
        let trust = self.trust.as_ref().map(|trust| (trust.gate.as_str(), trust.steering.as_str(), trust.fork));
        let head = request.head().map(|head| &head.sha);
        let stack = request.agent_stack.as_ref().map(|stack| (&stack.uid, stack.snapshot_digest));
        let effective: Vec<_> = self.per_need.iter().map(|need| &need.need).collect();
        canonical_digest(&serde_json::json!({
            "organization": request.organization, "run": request.run, "action": request.action, "object": request.object,
            "repository": request.repository.as_ref().map(|repository| &repository.uid), "ref": request.git_ref,
            "path": request.path, "payload": request.payload_digest, "preconditions": request.preconditions,
            "credential": request.credential, "head": head, "stack": stack, "grants": grants, "effective": effective,
            "trust": trust, "agent": self.effective,
        }))
    }

    /// Adds what was found beside the review, and settles the outcome anew.
    pub(crate) fn add(&mut self, reasons: Vec<Reason>) {
        if !reasons.is_empty() {
            self.reasons.extend(reasons);
            self.settle();
        }
    }

    /// The outcome that the reasons and needs come to: the worst (P3).
    pub(crate) fn settle(&mut self) {
        let of = |severity| match severity {
            Severity::Hard => Outcome::Denied,
            Severity::Approval => Outcome::RequiresApproval,
            Severity::Warning => Outcome::Allowed,
        };
        let reasons = self.reasons.iter().map(|reason| of(reason.severity));
        let worst = reasons.chain(self.per_need.iter().map(|need| need.outcome)).max().unwrap_or(Outcome::Allowed);
        self.outcome = worst;
        if self.outcome == Outcome::Allowed && self.by.is_none() {
            // P5: there is no allow without a name.
            self.outcome = Outcome::Denied;
            self.reasons.push(Reason::new(Code::MissingRole, "action", "nothing that has a name allows it"));
        }
        self.reasons.sort_by(|one, other| one.order().cmp(&other.order()));
        self.reasons.dedup();
        if self.outcome == Outcome::Denied {
            self.reservations.clear();
        }
    }
}
