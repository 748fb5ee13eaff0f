//! From the wish that an object goes to the write that takes it away (S4).

use krate_model::Kind;
use krate_model::kinds::external::{Nothing, Payload};
use krate_model::kinds::sets::Mode;
use krate_model::kinds::work::{IssueState, PullRequestState};

use super::place::{Writes, place};
use super::{PlanError, Wish, is_deleted, needs_approval, not_going, plan, target_of, writable};
use crate::local::Local;
use crate::object::ObjectState;
use crate::scope::Scope;

/// What became of the wish that an object goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Removal {
    /// No provider had it: it is gone.
    Removed,
    /// The provider has deleted it before.
    Gone,
    /// A write deletes it at the provider; it goes when that is known to be done.
    Deleting,
    /// The provider can't delete such an object: a write closes it instead.
    Closing,
    /// A binding: it goes when what it began has ended (R21).
    Ending,
}

/// Makes the write that takes the object away at its provider, or closes it where the provider deletes no such object. What stays there when the mode
/// doesn't let local changes out on their own stays here, too: then the wish is refused (S4).
///
/// # Errors
/// [`PlanError`] when the mode, the policy or the manifest doesn't have it; `state` must be dropped then.
pub fn plan_removal(state: &mut ObjectState, scope: &Scope, wish: &Wish) -> Result<Removal, PlanError> {
    not_going(state, scope)?;
    let (Some(interface), Some(local)) = (state.interface(), &mut state.local) else { return Ok(Removal::Removed) };
    let kind = local.object.kind();
    let mode = scope.mode(&interface, kind, "").unwrap_or(Mode::ReadOnly);
    writable(scope, "metadata.deletionTimestamp", &mode, mode.writes() && mode != Mode::ExternalOwned)?;
    let payload = match &mut local.object {
        Local::Comment(comment) if comment.spec.position.is_some() => Payload::DeletePullRequestComment(Nothing {}),
        Local::Comment(_) => Payload::DeleteComment(Nothing {}),
        Local::Issue(issue) => {
            issue.spec.state = IssueState::Closed;
            local.dirty = true;
            return close(state, scope, wish);
        }
        // From `merged` nothing leaves (R38), and it is no open one either.
        Local::PullRequest(pull) if pull.spec.state == PullRequestState::Open => {
            pull.spec.state = PullRequestState::Closed;
            local.dirty = true;
            return close(state, scope, wish);
        }
        _ => return Err(unrepresentable(kind, scope)),
    };
    if is_deleted(state) {
        return Ok(Removal::Gone);
    }
    let target = target_of(state, scope).filter(|_| scope.operation(&payload.operation()).is_some());
    let target = target.ok_or_else(|| unrepresentable(kind, scope))?;
    let approve = needs_approval(&mode, wish);
    let writes = Writes { payloads: vec![(payload, target)], approve, ..Writes::default() };
    place(state, scope, wish, &interface, writes)?;
    Ok(Removal::Deleting)
}

fn close(state: &mut ObjectState, scope: &Scope, wish: &Wish) -> Result<Removal, PlanError> {
    if is_deleted(state) {
        return Ok(Removal::Gone);
    }
    plan(state, scope, wish)?;
    let why = format!("{} deletes no such object: it is closed instead (S4)", scope.provider());
    let told = state.tell(scope, "RemovalCloses", wish.actor.clone(), wish.now).reason(why);
    state.audit.push(told);
    Ok(Removal::Closing)
}

fn unrepresentable(kind: Kind, scope: &Scope) -> PlanError {
    let path = format!("{kind}.metadata.deletionTimestamp");
    PlanError::Unrepresentable { path, provider: scope.provider().to_owned() }
}
