//! The review: ten steps, in order (permission-review.md section 3). One file a step; this one says in which order, and what a hard
//! block stops (P2, P52).
//!
//! What a step can't find out is a no (P11), and there is no yes without a name (P5): a need that no step settled is denied.

mod agents;
mod approvals;
mod cause;
mod conceal;
mod effective;
mod identity;
mod limits;
mod needs;
mod parts;
mod policies;
mod role;
mod rule;
mod scope;
mod shape;
mod tools;
mod uses;

use std::borrow::Cow;
use std::sync::Arc;

use krate_model::Kind;
use krate_model::kinds::enforcement::PolicyProfile;
use krate_model::kinds::identity::Organization;
use krate_model::kinds::members::Permission;
use krate_model::kinds::policy::ApprovalClass;
use krate_model::kinds::shared::{Approvers, Time};

use crate::decision::{Decision, Outcome, Version};
use crate::reason::{Code, Reason, Severity};
use crate::request::{Named, Request, Verb};
use crate::snapshot::{Known, Person, Snapshot};
use crate::trust::Trust;

pub(crate) use agents::keys_of;
pub(crate) use role::answer;
pub(crate) use scope::Party;
pub use shape::{MAX_ACTORS, MAX_NEEDS, MAX_REQUEST_BYTES, read};
pub(crate) use uses::{approval_stands, key_stands, most_uses};

/// How long a decision holds at most (P4).
const MAX_VALID_MINUTES: i64 = 5;

/// A request under review.
struct Review<'a> {
    request: &'a Request,
    snapshot: &'a Snapshot,
    /// What is acted on; a request about no known kind ends at step 1.
    kind: Option<Kind>,
    /// Namespace of the organization; known after step 1.
    namespace: &'a str,
    /// The organization; known after step 1.
    organization: Option<&'a Organization>,
    /// The person that the chain ends at; known after step 3.
    person: Option<Person<'a>>,
    /// The agent that acts or is set to work; known after step 3.
    agent: Option<agents::Agent<'a>>,
    /// Known after step 5.
    trust: Trust,
    /// Approvals that policies and modes ask for, with what asks.
    asks: Vec<(ApprovalClass, Arc<str>)>,
    decision: Decision,
}

/// The answer to `request` by `snapshot`. Pure and total (P1).
pub fn review(request: &Request, snapshot: &Snapshot) -> Decision {
    let mut review = Review::new(request, snapshot);
    review.take_steps();
    review.end()
}

/// The profile that the organization names.
fn profile<'a>(review: &Review<'a>) -> Option<Known<'a, PolicyProfile>> {
    review.snapshot.get(review.namespace, review.organization?.spec.policy_profile_ref.as_deref()?)
}

/// A no for these reasons alone.
pub(crate) fn refused(request: &Request, snapshot: &Snapshot, reasons: impl IntoIterator<Item = Reason>) -> Decision {
    let mut review = Review::new(request, snapshot);
    review.decision.reasons.extend(reasons);
    review.end()
}

/// A yes that something outside of the review gives, by its name.
pub(crate) fn allowed(request: &Request, snapshot: &Snapshot, by: String) -> Decision {
    let mut review = Review::new(request, snapshot);
    review.decision.by = Some(by.into());
    review.end()
}

/// The rights of persons, as the review sees them, in the repository of a request.
pub(crate) struct Rights<'a> {
    request: Request,
    snapshot: &'a Snapshot,
}

impl<'a> Rights<'a> {
    pub(crate) fn of(request: &Request, snapshot: &'a Snapshot) -> Self {
        Self { request: request.clone(), snapshot }
    }

    /// The same, in that repository, or in none.
    pub(crate) fn in_repository(&self, repository: Option<Named>) -> Self {
        Self { request: Request { repository, ..self.request.clone() }, snapshot: self.snapshot }
    }

    /// Whether a person has that verb on that kind.
    pub(crate) fn may(&self, person: &str, verb: &Verb, kind: Kind) -> bool {
        role::may_on(&self.review(), person, verb, kind)
    }

    /// Whether a person is one of those approvers.
    pub(crate) fn is_among(&self, person: &str, approvers: &Approvers) -> bool {
        role::is_among(&self.review(), person, approvers)
    }

    /// A person's permission on a repository.
    pub(crate) fn permission(&self, person: &str, repository: &Named) -> Option<Permission> {
        role::permission(&self.review(), person, repository)
    }

    fn review(&self) -> Review<'_> {
        Review::within(&self.request, self.snapshot)
    }
}

impl<'a> Review<'a> {
    fn new(request: &'a Request, snapshot: &'a Snapshot) -> Self {
        let limit = chrono::TimeDelta::try_minutes(MAX_VALID_MINUTES).unwrap_or_default();
        let decision = Decision {
            outcome: Outcome::Denied,
            reasons: Vec::new(),
            by: None,
            per_need: Vec::new(),
            runtime_identity: None,
            effective: None,
            missing_grants: Vec::new(),
            required_approvals: Vec::new(),
            trust: None,
            reservations: Vec::new(),
            versions: Vec::new(),
            native: "off",
            snapshot_version: snapshot.version(),
            // A time at the end of the calendar gets no five minutes more: the decision is over at once.
            expires_at: request.now.checked_add_signed(limit).unwrap_or(request.now),
        };
        let trust = Trust {
            gate: crate::trust::Level::Anonymous,
            steering: crate::trust::Level::Anonymous,
            is_fork: false,
            is_loop: false,
            because: Vec::new(),
        };
        let kind = request.action.kind.parse().ok();
        Self {
            request,
            snapshot,
            kind,
            namespace: "",
            organization: None,
            person: None,
            agent: None,
            trust,
            asks: Vec::new(),
            decision,
        }
    }
}

impl<'a> Review<'a> {
    /// One that no step has looked at, within the request's organization.
    fn within(request: &'a Request, snapshot: &'a Snapshot) -> Self {
        let mut review = Self::new(request, snapshot);
        review.organization = snapshot.organization(&request.organization);
        review.namespace = review.organization.map_or("", |it| &it.spec.namespace_name);
        review
    }

    /// The person of that name: mostly the one that everything is asked for.
    fn person(&self, name: &str) -> Option<Person<'a>> {
        let known = self.person.filter(|person| person.name() == name);
        known.or_else(|| self.snapshot.person(self.namespace, name))
    }
}

impl Review<'_> {
    /// Takes the steps, in order, as far as nothing hides the rest.
    fn take_steps(&mut self) {
        // P52: what these hide stays hidden.
        for step in [shape::step, scope::step, identity::step] {
            step(self);
            if self.is_blocked() {
                return;
            }
        }
        cause::step(self);
        policies::step(self);
        role::step(self);
        needs::step(self);
        limits::step(self);
        effective::tell(self);
        approvals::step(self);
        conceal::step(self);
    }

    fn say(&mut self, reason: Reason) {
        self.decision.reasons.push(reason);
    }

    fn deny(&mut self, code: Code, field: &'static str, text: impl Into<Cow<'static, str>>) {
        self.say(Reason::new(code, field, text));
    }

    fn is_blocked(&self) -> bool {
        self.decision.reasons.iter().any(|reason| reason.severity == Severity::Hard)
    }

    /// Notes a resource that decided, and that the decision ends with it (P4).
    fn used(&mut self, version: &Arc<Version>, ends: Option<Time>) {
        if let Some(end) = ends {
            self.decision.expires_at = self.decision.expires_at.min(end);
        }
        if let Err(at) = self.decision.versions.binary_search(version) {
            self.decision.versions.insert(at, Arc::clone(version));
        }
    }

    fn end(mut self) -> Decision {
        self.decision.settle();
        self.decision
    }
}
